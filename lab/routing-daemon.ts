import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { attempt, run, until } from './command.js';
import type { Host } from './host.js';

/** Where Debian has FRR's daemons; FRR_FOLDER names those of another version. */
const FRR = process.env.FRR_FOLDER ?? '/usr/lib/frr';

export type DaemonName = 'zebra' | 'ospfd' | 'ospf6d' | 'bfdd';

/** Why there is no FRR here, or undefined. */
export function whyNoFrr(): string | undefined {
  return existsSync(`${FRR}/ospfd`) ? undefined : 'the package frr is not installed';
}

/** bfdd's control socket would be at one place for all hosts; FRR 10 has none. */
async function hasControlSocket(): Promise<boolean> {
  return (await attempt([`${FRR}/bfdd`, '--help'])).stdout.includes('--bfdctl');
}

/** FRR's daemons on one host, with configurations, sockets and logs in a folder of their own. */
export class RoutingDaemons {
  /** Folder of the VTY sockets: `vty` of an ospf_bridge block. */
  readonly folder: string;
  readonly #host: Host;
  readonly #ports: Partial<Record<DaemonName, number>>;

  /** @param parent a folder that FRR's user can reach @param ports telnet VTYs, where wanted */
  constructor(host: Host, parent: string, ports: Partial<Record<DaemonName, number>> = {}) {
    this.#host = host;
    this.#ports = ports;
    this.folder = join(parent, host.name);
    mkdirSync(this.folder);
  }

  /** Starts a daemon with this configuration (default: the one it had), and waits for its VTY. */
  async start(name: DaemonName, configuration?: string): Promise<void> {
    const file = join(this.folder, `${name}.conf`);
    if (configuration !== undefined) writeFileSync(file, configuration);
    await run(['chown', '-R', 'frr:frr', this.folder]);
    const at = (ending: string) => join(this.folder, ending);
    const output = at(`${name}.out`);
    const command = [
      // FRR 10 keeps its standard output open, and whoever waits for its end waits for ever.
      ...['sh', '-c', 'exec "$@" > "$0" 2>&1', output],
      `${FRR}/${name}`,
      ...['-d', '-f', file, '-i', at(`${name}.pid`), '-z', at('zserv.api')],
      ...['--vty_socket', this.folder, '-A', '127.0.0.1', '-P', String(this.#ports[name] ?? 0)],
      ...['--log', `file:${at(`${name}.log`)}`],
      ...(name === 'bfdd' && (await hasControlSocket()) ? ['--bfdctl', at('bfdd.sock')] : []),
    ];
    const { code } = await this.#host.attempt(command);
    if (code !== 0) throw new Error(`${name}: exit ${code}: ${readFileSync(output, 'utf8').slice(-2000)}`);
    await until(`the VTY of ${name} on ${this.#host.name}`, () => existsSync(at(`${name}.vty`)));
  }

  pid(name: DaemonName): number {
    return Number(readFileSync(join(this.folder, `${name}.pid`), 'utf8'));
  }

  /** Ends a daemon, or stops and continues it. */
  kill(name: DaemonName, signal: NodeJS.Signals = 'SIGKILL'): void {
    process.kill(this.pid(name), signal);
  }

  /** Commands for one daemon by vtysh. @returns what it said */
  async ask(name: DaemonName, ...commands: string[]): Promise<string> {
    const words = commands.flatMap((command) => ['-c', command]);
    const asked = await attempt(['vtysh', '--vty_socket', this.folder, '-d', name, ...words]);
    return asked.stdout;
  }
}
