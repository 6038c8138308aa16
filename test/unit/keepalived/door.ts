import { type ChildProcess, spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));

/** Waits for a condition; the limit is for what hangs. */
export async function until(what: () => string, condition: () => boolean, limit = 30_000): Promise<void> {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

/** bin/keepalived in a folder of its own, and a server for it to check. */
export class Door {
  readonly folder = mkdtempSync(join(tmpdir(), `door-${process.pid}-`));
  output = '';
  child: ChildProcess | undefined;
  port = 0;
  /** When the server was asked, milliseconds of the monotonic clock. */
  readonly asked: number[] = [];
  #server: Server | undefined;

  at(name: string): string {
    return join(this.folder, name);
  }

  /** @param more lines of global_defs */
  static globals(more = ''): string {
    return `global_defs {\n router_id T\n lvs_director dry-run\n script_user root\n${more}\n}\n`;
  }

  async serve(): Promise<void> {
    const server = createServer((socket) => {
      this.asked.push(performance.now());
      socket.on('error', () => {});
      socket.end();
    });
    await new Promise<void>((resolve) => server.listen(0, '127.0.0.1', resolve));
    this.#server = server;
    this.port = (server.address() as { port: number }).port;
  }

  /** A virtual server with one real server, the one of `serve`. */
  virtualServer(weight: number, more = ''): string {
    return `virtual_server 127.0.0.1 18080 {\n delay_loop 0.2\n protocol TCP\n lb_algo rr\n lb_kind NAT\n${more}\n real_server 127.0.0.1 ${this.port} {\n weight ${weight}\n TCP_CHECK {\n warmup 0\n retry 5\n }\n }\n}\n`;
  }

  /** Puts a configuration in place, whole at once. */
  configure(text: string): void {
    writeFileSync(this.at('new.conf'), text);
    renameSync(this.at('new.conf'), this.at('keepalived.conf'));
  }

  /** @param before words in front of the command: `ip netns exec NAME` */
  start(options: string[], before: string[] = []): ChildProcess {
    const [command = '', ...words] = [...before, process.execPath, program, '-n', '-l', '-G'];
    this.child = spawn(command, [...words, '-f', this.at('keepalived.conf'), ...options], {
      env: { ...process.env, TMPDIR: this.folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [this.child.stdout, this.child.stderr]) {
      stream?.on('data', (chunk: Buffer) => {
        this.output += chunk.toString();
      });
    }
    return this.child;
  }

  /** Pid files in the folder. */
  pids(...names: ('k' | 'c' | 'r')[]): string[] {
    const option = { k: '-p', c: '-c', r: '-r' };
    return names.flatMap((name) => [option[name], this.at(`${name}.pid`)]);
  }

  pid(name: 'k' | 'c' | 'r'): number {
    return Number(readFileSync(this.at(`${name}.pid`), 'utf8'));
  }

  async logged(text: string | RegExp, limit?: number): Promise<void> {
    const found = () => (typeof text === 'string' ? this.output.includes(text) : text.test(this.output));
    await until(() => `'${text}' in\n${this.output}`, found, limit);
  }

  /** Sends a signal to the front door. @returns the exit code when it has ended */
  async stop(): Promise<number | null> {
    const { child } = this;
    if (!child || child.exitCode !== null || child.signalCode !== null) return child?.exitCode ?? null;
    child.kill('SIGTERM');
    return new Promise((resolve) => child.once('exit', resolve));
  }

  async end(): Promise<void> {
    const { child } = this;
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    this.#server?.close();
    rmSync(this.folder, { recursive: true, force: true });
  }
}
