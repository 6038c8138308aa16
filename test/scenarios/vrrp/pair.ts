import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** Which program runs a node. */
export type Kind = 'ours' | 'keepalived';

/** The compiled tests are three folders below dist/. */
export const program = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));

let counter = 0;

/** Runs a command to its end. @throws with what it wrote to stderr */
export function run(command: string, ...args: string[]): string {
  const done = spawnSync(command, args, { encoding: 'utf8' });
  if (done.status !== 0) {
    throw new Error(`${command} ${args.join(' ')}: ${done.error?.message ?? done.stderr.trim()}`);
  }
  return done.stdout;
}

/** Why these scenarios cannot run here, or undefined. */
export function whyNoPair(...programs: string[]): string | undefined {
  if (process.getuid?.() !== 0) return 'network namespaces need root';
  for (const name of ['ip', ...programs]) {
    if (spawnSync('sh', ['-c', `command -v ${name}`]).status !== 0) return `${name} is not installed`;
  }
  const probe = `vp${process.pid}-probe`;
  const made = spawnSync('ip', ['netns', 'add', probe], { encoding: 'utf8' });
  if (made.status !== 0) return `no network namespaces here: ${made.stderr.trim()}`;
  spawnSync('ip', ['netns', 'del', probe]);
  return undefined;
}

/** Waits until the condition holds. @throws after `limit` milliseconds, with `what` */
export async function until(
  what: string | (() => string),
  condition: () => boolean,
  limit = 15_000,
): Promise<void> {
  const end = performance.now() + limit;
  while (!condition()) {
    if (performance.now() > end)
      throw new Error(`not within ${limit} ms: ${typeof what === 'string' ? what : what()}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

export function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

/** One of the hosts: a namespace with eth0 on the common bridge, and eth1 on another. */
export class Node {
  readonly name: string;
  readonly namespace: string;
  readonly directory: string;
  /** Name of the host's port in the switch, for carrier loss. */
  readonly port: string;
  readonly #switch: string;
  #child: ChildProcess | undefined;
  #log = '';
  #exited = false;

  constructor(name: string, number: number, base: string, directory: string) {
    this.name = name;
    this.namespace = `${base}-${name}`;
    this.directory = join(directory, name);
    this.port = `p${name}`;
    this.#switch = `${base}-sw`;
    mkdirSync(this.directory);
    run('ip', 'netns', 'add', this.namespace);
    run('ip', '-n', this.namespace, 'link', 'set', 'lo', 'up');
    for (const [index, network] of ['10.55.0', '10.56.0'].entries()) {
      const port = index === 0 ? this.port : `q${name}`;
      run(
        'ip',
        'link',
        'add',
        `eth${index}`,
        'netns',
        this.namespace,
        'type',
        'veth',
        'peer',
        'name',
        port,
        'netns',
        this.#switch,
      );
      this.ip('link', 'set', `eth${index}`, 'addrgenmode', 'none');
      this.ip('addr', 'add', `${network}.${number}/24`, 'dev', `eth${index}`);
      this.ip('addr', 'add', `fe80::${index}:${number}/64`, 'dev', `eth${index}`, 'nodad');
      this.ip('addr', 'add', `fd55:${index}::${number}/64`, 'dev', `eth${index}`, 'nodad');
      this.ip('link', 'set', `eth${index}`, 'up');
      run('ip', '-n', this.#switch, 'link', 'set', port, 'master', `br${index}`, 'up');
    }
  }

  /** `ip` inside the host. */
  ip(...args: string[]): string {
    return run('ip', '-n', this.namespace, ...args);
  }

  /** The whole host is gone, or its cable: the port of the switch goes down. */
  cable(connected: boolean, port = this.port): void {
    run('ip', '-n', this.#switch, 'link', 'set', port, connected ? 'up' : 'down');
  }

  /** The switch lets nothing pass between isolated ports, while all links stay up. */
  isolate(isolated: boolean): void {
    run(
      'ip',
      '-n',
      this.#switch,
      'link',
      'set',
      this.port,
      'type',
      'bridge_slave',
      'isolated',
      isolated ? 'on' : 'off',
    );
  }

  /** Starts VRRP with this configuration; the text is the same for both programs. */
  start(kind: Kind, configuration: string, environment: Record<string, string> = {}): void {
    const file = join(this.directory, 'keepalived.conf');
    writeFileSync(file, configuration);
    this.#exited = false;
    this.#log = '';
    const files = ['p', 'r', 'c', 'b'].flatMap((flag) => [`-${flag}`, join(this.directory, `${flag}.pid`)]);
    const command = [
      ...(kind === 'ours' ? [process.execPath, '--enable-source-maps', program] : ['keepalived']),
      ...['--dont-fork', '--log-console', '--no-syslog', '-D', '-P', '-f', file, ...files],
    ];
    const child = spawn('ip', ['netns', 'exec', this.namespace, ...command], {
      stdio: ['ignore', 'pipe', 'pipe'],
      env: { ...process.env, ...environment, TMPDIR: this.directory },
    });
    const collect = (data: Buffer) => {
      this.#log += data.toString();
    };
    child.stdout.on('data', collect);
    child.stderr.on('data', collect);
    child.on('exit', () => {
      if (this.#child === child) this.#exited = true;
    });
    this.#child = child;
  }

  /** What the program has written so far. */
  get log(): string {
    return this.#log;
  }

  /** Nobody reads what the program writes from now on. */
  deafen(): void {
    this.#child?.stdout?.destroy();
    this.#child?.stderr?.destroy();
  }

  get running(): boolean {
    return this.#child !== undefined && !this.#exited;
  }

  /** Signal to the front process. */
  signal(signal: NodeJS.Signals | number): void {
    // Node's own kill knows no real-time signals.
    if (this.#child?.pid) run('kill', `-${String(signal).replace('SIG', '')}`, String(this.#child.pid));
  }

  /** Rewrites the configuration and makes the program read it. */
  reload(configuration: string): void {
    writeFileSync(join(this.directory, 'keepalived.conf'), configuration);
    this.signal('SIGHUP');
  }

  /** The process that speaks VRRP. */
  get worker(): number {
    const pid = Number(this.file('r.pid'));
    if (!pid) throw new Error(`${this.name}: no VRRP process:\n${this.#log}`);
    return pid;
  }

  /** Ends everything without a last word. */
  async crash(): Promise<void> {
    const child = this.#child;
    if (!child || this.#exited) return;
    // Both before either can act: the worker would leave in order, the parent would start another worker.
    child.kill('SIGSTOP');
    process.kill(this.worker, 'SIGKILL');
    child.kill('SIGKILL');
    await until('the crash', () => this.#exited);
    // A machine that starts anew has an empty /run.
    for (const flag of ['p', 'r', 'c', 'b']) rmSync(join(this.directory, `${flag}.pid`), { force: true });
  }

  async stop(): Promise<void> {
    const child = this.#child;
    if (!child || this.#exited) return;
    child.kill('SIGTERM');
    await until(
      () => `${this.name} ends:\n${this.#log}`,
      () => this.#exited,
      15_000,
    );
  }

  /** Whether this host has the address now. */
  has(address: string): boolean {
    return this.addresses().has(address);
  }

  /** All addresses of the host. */
  addresses(): Set<string> {
    const found = new Set<string>();
    for (const match of this.ip('-o', 'addr', 'show').matchAll(/inet6? ([0-9a-f.:]+)/g)) found.add(match[1]!);
    return found;
  }

  file(name: string): string {
    try {
      return readFileSync(join(this.directory, name), 'utf8');
    } catch {
      return '';
    }
  }

  remove(): void {
    this.#child?.kill('SIGKILL');
    try {
      if (this.running) process.kill(this.worker, 'SIGKILL');
    } catch {
      // Nothing runs any more.
    }
    spawnSync('ip', ['netns', 'del', this.namespace]);
  }
}

/** Hosts a and b (10.55.0.1 and 10.55.0.2) and an onlooker c on one bridge. */
export class Pair {
  readonly a: Node;
  readonly b: Node;
  readonly c: Node;
  readonly directory: string;
  readonly switch: string;
  #capture: ChildProcess | undefined;

  constructor() {
    const base = `vp${process.pid}x${counter++}`;
    this.directory = mkdtempSync(join(tmpdir(), 'vrrp-pair-'));
    this.switch = `${base}-sw`;
    run('ip', 'netns', 'add', this.switch);
    for (const bridge of ['br0', 'br1']) {
      run('ip', '-n', this.switch, 'link', 'add', bridge, 'type', 'bridge', 'mcast_snooping', '0');
      run('ip', '-n', this.switch, 'link', 'set', bridge, 'addrgenmode', 'none');
      run('ip', '-n', this.switch, 'link', 'set', bridge, 'up');
    }
    this.a = new Node('a', 1, base, this.directory);
    this.b = new Node('b', 2, base, this.directory);
    this.c = new Node('c', 99, base, this.directory);
  }

  /** Records everything on the bridge from now on. */
  async capture(): Promise<void> {
    const file = join(this.directory, 'capture.pcap');
    this.#capture = spawn(
      'ip',
      [
        'netns',
        'exec',
        this.switch,
        'tcpdump',
        '-i',
        'br0',
        '-U',
        '--immediate-mode',
        '-B',
        '8192',
        '-Z',
        'root',
        '-w',
        file,
      ],
      {
        stdio: ['ignore', 'ignore', 'pipe'],
      },
    );
    let said = '';
    this.#capture.stderr!.on('data', (data: Buffer) => {
      said += data.toString();
    });
    await until(
      () => `tcpdump listens: ${said}`,
      () => said.includes('listening on'),
    );
  }

  /** Ends the recording. @returns lines of tshark: the given fields, separated by tabs, of packets that match the filter */
  async dissect(filter: string, ...fields: string[]): Promise<string[][]> {
    const capture = this.#capture;
    if (capture) {
      const ended = new Promise((resolve) => capture.once('exit', resolve));
      // What has just been sent must reach it first.
      await pause(500);
      capture.kill('SIGINT');
      await ended;
      this.#capture = undefined;
    }
    const output = run(
      'tshark',
      '-r',
      join(this.directory, 'capture.pcap'),
      '-Y',
      filter,
      '-T',
      'fields',
      ...fields.flatMap((field) => ['-e', field]),
    );
    return output
      .split('\n')
      .filter((line) => line !== '')
      .map((line) => line.split('\t'));
  }

  remove(): void {
    this.#capture?.kill('SIGKILL');
    for (const node of [this.a, this.b, this.c]) node?.remove();
    spawnSync('ip', ['netns', 'del', this.switch]);
    rmSync(this.directory, { recursive: true, force: true });
  }
}

/** What of an instance differs between the hosts or from the plain one. */
export interface InstanceText {
  name: string;
  id: number;
  priority: number;
  /** Lines of the block besides those below. */
  lines?: string[];
  addresses: string[];
  interface?: string;
}

/** A vrrp_instance block. */
export function instanceText({
  name,
  id,
  priority,
  lines = [],
  addresses,
  interface: device = 'eth0',
}: InstanceText): string {
  return `vrrp_instance ${name} {
  interface ${device}
  virtual_router_id ${id}
  priority ${priority}
${lines.map((line) => `  ${line}\n`).join('')}  virtual_ipaddress {
${addresses.map((address) => `    ${address}\n`).join('')}  }
}
`;
}
