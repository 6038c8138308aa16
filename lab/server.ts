import {
  closeSync,
  existsSync,
  ftruncateSync,
  mkdirSync,
  openSync,
  readSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Hopeless, type Running, until } from './command.js';
import type { Host } from './host.js';
import type { Pair } from './plan.js';
import { HTTP_PORT } from './ports.js';

/** What a real server has counted. */
export interface Served {
  requests: number;
  /** Requests that were answered with a status of 400 or more, or not to their end (nginx's 499). */
  errors: number;
}

/** A real server: nginx with a page that names it, and the UDP and upload responder. */
export class RealServer {
  readonly #folder: string;
  readonly #log: string;
  #nginx: Running | undefined;
  #responder: Running | undefined;
  #logEnd = 0;
  readonly #served: Served = { requests: 0, errors: 0 };

  /**
   * @param folder the lab's folder; a folder `shared` in it is served below /shared/
   * @param virtual the virtual address too, when it is on this server's loopback device (DR)
   */
  constructor(
    readonly host: Host,
    readonly address: Pair,
    folder: string,
    readonly virtual?: Pair,
  ) {
    this.#folder = join(folder, host.name);
    this.#log = join(this.#folder, 'access.log');
    const pages = join(this.#folder, 'pages');
    mkdirSync(pages, { recursive: true });
    writeFileSync(join(pages, 'index.html'), `${host.name}\n`);
    if (!existsSync(join(pages, 'shared'))) symlinkSync(join(folder, 'shared'), join(pages, 'shared'));
    const at = (name: string) => join(this.#folder, name);
    writeFileSync(
      at('nginx.conf'),
      `# One process: nothing is left behind when it is killed.
master_process off;
daemon off;
# The lab's folder is for root alone.
user root;
pid ${at('nginx.pid')};
error_log ${at('error.log')};
worker_rlimit_nofile 4096;
events { worker_connections 2048; }
http {
  log_format lab '$status';
  access_log ${this.#log} lab;
  client_body_temp_path ${at('body')};
  proxy_temp_path ${at('proxy')};
  fastcgi_temp_path ${at('fastcgi')};
  uwsgi_temp_path ${at('uwsgi')};
  scgi_temp_path ${at('scgi')};
  keepalive_timeout 60;
  keepalive_requests 1000000;
  server {
    listen ${HTTP_PORT} backlog=4096;
    listen [::]:${HTTP_PORT} backlog=4096;
    root ${pages};
    add_header X-Server ${host.name};
    # The same files, slowly: for connections that last. (curl's own limit lets megabytes pass at once, and then pauses for minutes.)
    location /slow/ {
      alias ${pages}/shared/;
      limit_rate 200k;
    }
  }
}
`,
    );
  }

  get name(): string {
    return this.host.name;
  }

  /** Both programs run. */
  get running(): boolean {
    const both = [this.#nginx, this.#responder];
    return both.every((each) => each !== undefined && each.ended === undefined);
  }

  /** Starts both programs and waits until they answer. */
  async start(): Promise<void> {
    await Promise.all([this.startHttp(), this.startResponder()]);
  }

  async startHttp(): Promise<void> {
    const nginx = this.host.start([
      'nginx',
      '-e',
      join(this.#folder, 'error.log'),
      '-p',
      this.#folder,
      '-c',
      join(this.#folder, 'nginx.conf'),
    ]);
    this.#nginx = nginx;
    await until(`nginx on ${this.name}`, async () => {
      if (nginx.ended) throw new Hopeless(`nginx ${nginx.ended}: ${nginx.output}`);
      const { stdout } = await this.host.attempt(['ss', '-Hltn', `sport = :${HTTP_PORT}`]);
      return stdout.includes('LISTEN');
    });
  }

  async startResponder(): Promise<void> {
    const addresses = [this.address.v4, this.address.v6];
    if (this.virtual) addresses.push(this.virtual.v4, this.virtual.v6);
    const program = fileURLToPath(new URL('./responder.js', import.meta.url));
    const responder = this.host.start([process.execPath, program, this.name, ...addresses]);
    this.#responder = responder;
    await until(`the responder on ${this.name}`, () => {
      if (responder.ended) throw new Hopeless(`responder ${responder.ended}: ${responder.output}`);
      return responder.output.includes('ready');
    });
  }

  /** Ends the UDP and upload responder alone. */
  async stopResponder(): Promise<void> {
    await this.#responder?.stop();
  }

  /** Ends both programs: connections break and new ones are refused, as when a server's services stop. */
  async stop(): Promise<void> {
    await Promise.all([this.#nginx?.stop(), this.#responder?.stop()]);
  }

  /** What nginx has served since the start of the lab. */
  served(): Served {
    if (!existsSync(this.#log)) return this.#served;
    const file = openSync(this.#log, 'r+');
    try {
      const buffer = Buffer.alloc(64 * 1024);
      for (;;) {
        const length = readSync(file, buffer, 0, buffer.length, this.#logEnd);
        // Only whole lines: the last one may still be on its way.
        const whole = buffer.subarray(0, length).lastIndexOf(0x0a) + 1;
        if (whole === 0) break;
        for (const status of buffer.subarray(0, whole).toString('latin1').trimEnd().split('\n')) {
          this.#served.requests++;
          if (Number(status) >= 400) this.#served.errors++;
        }
        this.#logEnd += whole;
      }
      // A lab that runs for days must not fill the disk.
      if (this.#logEnd > 4 * 1024 * 1024) {
        ftruncateSync(file);
        this.#logEnd = 0;
      }
    } finally {
      closeSync(file);
    }
    return this.#served;
  }
}
