import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Hopeless, type Running, until } from './command.js';
import { bin } from './director.js';
import type { Host } from './host.js';
import { type Family, families, type Plan } from './plan.js';
import { HTTP_PORT, UDP_PORT } from './ports.js';
import type { LabRecord } from './registry.js';
import { Statistics } from './statistics.js';

/** The file that `npm start` uses unless told otherwise: three servers on the inner network. */
export const sampleFile = fileURLToPath(new URL('../../conf/keepalived.conf.lab.sample', import.meta.url));

/** bin/keepalived on the director: virtual servers and health checks from a keepalived.conf. */
export class Keepalived {
  /** Its configuration, which may be changed while it runs: {@link reload}. */
  readonly file: string;
  readonly logFile: string;
  readonly #pids: string[];
  #running: Running | undefined;

  constructor(
    readonly host: Host,
    readonly record: LabRecord,
    text: string,
  ) {
    const at = (name: string) => join(record.folder, name);
    this.file = at('keepalived.conf');
    this.logFile = at('keepalived.log');
    this.#pids = ['-p', at('keepalived.pid'), '-c', at('checkers.pid'), '-r', at('vrrp.pid')];
    writeFileSync(this.file, text);
  }

  /** Starts it and waits until its virtual servers are in dpvsd. */
  async start(): Promise<void> {
    const command = [bin('keepalived'), '-C', '-n', '-G', `--log-file=${this.logFile}`, '-f', this.file];
    const running = this.host.start([...command, ...this.#pids], undefined, {
      DPVS_IPC_FILE: this.record.ipc,
    });
    this.#running = running;
    const statistics = new Statistics(this.record.ipc);
    try {
      await until(
        'virtual servers in dpvsd',
        async () => {
          if (running.ended) throw new Hopeless(`keepalived: ${running.ended}`);
          return (await statistics.read()).servers.length > 0;
        },
        { limit: 60_000 },
      );
    } catch (error) {
      throw new Error(`${(error as Error).message}\n${this.said()}`);
    } finally {
      statistics.close();
    }
  }

  /** Reads its file again. */
  reload(): void {
    this.#running?.kill('SIGHUP');
  }

  /** The last lines of its output and log. */
  said(): string {
    const log = existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8').slice(-4000) : '';
    return `${this.#running?.output.slice(-4000) ?? ''}${log}`.trim();
  }

  /** How it ended, undefined while it runs. */
  get ended(): string | undefined {
    return this.#running?.ended;
  }

  /** Ends it in order: its virtual servers go from dpvsd. */
  async stop(): Promise<void> {
    await this.#running?.stop(10_000);
  }
}

/** A keepalived.conf for the lab's addresses, of the same content as the sample: HTTP and UDP, IPv4 and IPv6, every server checked. */
export function keepalivedConf(plan: Plan): string {
  const checks = {
    TCP: `TCP_CHECK {
            connect_timeout 3
            retry 0
        }`,
    UDP: `UDP_CHECK {
            connect_timeout 3
            retry 0
            payload "hello"
            require_reply "hello ok"
            min_reply_length 8
        }`,
  };
  const service = (family: Family, protocol: keyof typeof checks, port: number) => `
virtual_server ${plan.virtual[family]} ${port} {
    delay_loop 1
    lb_algo rr
    lb_kind FNAT
    protocol ${protocol}
    laddr_group_name locals_${family}
${plan.servers
  .map(
    (server) => `
    real_server ${server[family]} ${port} {
        weight 1
        ${checks[protocol]}
    }
`,
  )
  .join('')}}
`;
  const locals = families.map(
    (family) => `
local_address_group locals_${family} {
${plan.locals.map((local) => `    ${local[family]} ${plan.innerDevice}\n`).join('')}}
`,
  );
  const services = families.flatMap((family) => [
    service(family, 'TCP', HTTP_PORT),
    service(family, 'UDP', UDP_PORT),
  ]);
  return `# The virtual servers of the lab, for ${plan.servers.length} servers.
${[...locals, ...services].join('')}`;
}
