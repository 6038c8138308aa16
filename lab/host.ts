import { attempt, type CommandOptions, type Finished, Running, run } from './command.js';

/** A host of the lab: a network namespace with a name. */
export class Host {
  constructor(
    readonly name: string,
    readonly namespace: string,
  ) {}

  #inside(command: readonly string[]): string[] {
    return ['ip', 'netns', 'exec', this.namespace, ...command];
  }

  /** Runs a command on this host; it has to succeed. @returns its stdout */
  run(command: readonly string[], options?: CommandOptions): Promise<string> {
    return run(this.#inside(command), options);
  }

  /** Runs a command on this host; a failure is for the caller to judge. */
  attempt(command: readonly string[], options?: CommandOptions): Promise<Finished> {
    return attempt(this.#inside(command), options);
  }

  /** Starts a program on this host that ends with the lab, however the lab ends. */
  start(command: readonly string[], onLine?: (line: string) => void, env?: Record<string, string>): Running {
    return new Running(this.#inside(['setpriv', '--pdeathsig', 'KILL', ...command]), onLine, env);
  }

  /** Runs lines of ip(8) in this host's namespace, all in one process. */
  async ip(lines: readonly string[]): Promise<void> {
    await run(['ip', '-n', this.namespace, '-batch', '-'], {
      input: lines.map((line) => `${line}\n`).join(''),
    });
  }

  /** Writes kernel settings: `net/ipv4/ip_forward` -> `1`. Settings that this kernel does not have are left out. */
  async sysctl(settings: Readonly<Record<string, string | number>>): Promise<void> {
    const lines = Object.entries(settings).map(
      ([key, value]) => `[ ! -e /proc/sys/${key} ] || echo ${value} > /proc/sys/${key}\n`,
    );
    await this.run(['sh', '-e'], { input: lines.join('') });
  }
}
