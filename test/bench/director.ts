import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { DpvsdClient } from '../../dpvsd/client.js';
import { Table } from '../../dpvsd/generated/control.js';

export const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
export const native = (name: string): string => join(root, 'build', 'native', name);

/** Compiles the benchmark's native programs. */
export function makePrograms(): void {
  const made = spawnSync('make', ['-s', '-C', join(root, 'dpvsd', 'native'), 'bench'], { stdio: 'inherit' });
  if (made.status !== 0) throw new Error('the native programs of the benchmark do not build');
}

/** CPUs of the two poll-mode processes: they must not share one. */
export const DIRECTOR_CPU = 1;
export const GENERATOR_CPU = 0;

/** What a thread that polls has done so far; cycles of the time-stamp counter. */
export interface Lane {
  packets: number;
  busyCycles: number;
  cycles: number;
}

/** Work of the director's workers so far, in all and of each. */
export interface Work extends Lane {
  connections: number;
  lanes: Lane[];
}

export interface DirectorOptions {
  connections: number;
  hugepages: boolean;
  /** The port's virtual device; a memif server without it. */
  vdev?: string;
  /** CPU of each worker, which serves the queue of its number. */
  cpus?: number[];
  /** Buffers of the packet pool. */
  packets?: number;
}

/** The blocks of dpvs.conf for so many workers. */
function workerBlocks(cpus: readonly number[]): string {
  return cpus
    .map(
      (cpu, i) => `
        <init> worker cpu${i + 1} {
          type slave
          cpu_id ${cpu}
          port dpdk0 {
            rx_queue_ids ${i}
            tx_queue_ids ${i}
          }
        }`,
    )
    .join('');
}

/** A dpvsd on one port, with a folder of its own, configured by the commands that operators type. */
export class BenchDirector {
  readonly folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-bench-'));
  readonly memif = join(this.folder, 'memif.sock');
  readonly ipc = join(this.folder, 'ipc');
  readonly #child: ChildProcess;
  #output = '';

  private constructor(conf: string) {
    const file = join(this.folder, 'dpvs.conf');
    writeFileSync(file, conf);
    this.#child = spawn(
      join(root, 'bin', 'dpvsd'),
      ['-c', file, '-p', join(this.folder, 'pid'), '-x', this.ipc],
      {
        stdio: ['ignore', 'pipe', 'pipe'],
      },
    );
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream?.on('data', (data) => {
        this.#output = (this.#output + String(data)).slice(-8000);
      });
    }
  }

  /** Starts one and waits until it answers. */
  static async start(options: DirectorOptions): Promise<BenchDirector> {
    const cpus = options.cpus ?? [DIRECTOR_CPU];
    const folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-memif-'));
    const memif = `net_memif0,role=server,socket=${join(folder, 'memif.sock')},socket-abstract=no,id=0,rsize=11`;
    const conf = `
      global_defs {
        log_level WARNING
        <init> kni off
        <init> idle_policy poll
        <init> hugepages ${options.hugepages ? 'auto' : 'off'}
      }
      netif_defs {
        <init> pktpool_size ${options.packets ?? 65_535}
        <init> device dpdk0 {
          vdev ${options.vdev ?? memif}
          rx {
            queue_number ${cpus.length}
            descriptor_number 2048
          }
          tx {
            queue_number ${cpus.length}
            descriptor_number 2048
          }
        }
      }
      worker_defs {
        <init> worker cpu0 {
          type master
          cpu_id ${GENERATOR_CPU}
        }
        ${workerBlocks(cpus)}
      }
      ipvs_defs {
        conn {
          <init> conn_pool_size ${options.connections}
        }
      }
    `;
    const director = new BenchDirector(conf);
    director.#memifFolder = folder;
    const deadline = Date.now() + 60_000;
    for (;;) {
      try {
        (await DpvsdClient.connect({ path: director.ipc, client: 'bench' })).close();
        return director;
      } catch (error) {
        if (director.#child.exitCode !== null || Date.now() > deadline) {
          await director.stop();
          throw new Error(`dpvsd does not start: ${director.#output || error}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 100));
      }
    }
  }

  #memifFolder = '';

  get socket(): string {
    return join(this.#memifFolder, 'memif.sock');
  }

  /** Runs one of bin/ against this director; throws with its words when it fails. */
  command(name: 'dpip' | 'ipvsadm', ...args: string[]): string {
    return this.input(name, undefined, ...args);
  }

  /** The same with text on its standard input. */
  input(name: 'dpip' | 'ipvsadm', text: string | undefined, ...args: string[]): string {
    const done = spawnSync(join(root, 'bin', name), args, {
      env: { ...process.env, DPVS_IPC_FILE: this.ipc },
      encoding: 'utf8',
      maxBuffer: 1 << 28,
      ...(text === undefined ? {} : { input: text }),
    });
    if (done.status !== 0)
      throw new Error(`${name} ${args.join(' ')}: ${done.stderr || done.stdout || done.error}`);
    return done.stdout;
  }

  async #client<T>(use: (client: DpvsdClient) => Promise<T>): Promise<T> {
    const client = await DpvsdClient.connect({ path: this.ipc, client: 'bench' });
    try {
      return await use(client);
    } finally {
      client.close();
    }
  }

  /** What the workers have done since the start. */
  work(): Promise<Work> {
    return this.#client(async (client) => {
      const work: Work = { packets: 0, busyCycles: 0, cycles: 0, connections: 0, lanes: [] };
      for await (const { row } of client.get(Table.TABLE_WORKERS)) {
        if (row?.$case !== 'lcore' || row.value.role !== 'worker') continue;
        const { rxPackets: packets, busyCycles, cycles, connections } = row.value;
        work.lanes.push({ packets, busyCycles, cycles });
        work.packets += packets;
        work.busyCycles += busyCycles;
        work.cycles += cycles;
        work.connections += connections;
      }
      return work;
    });
  }

  /** MAC address of the port. */
  mac(): Promise<string> {
    return this.#client(async (client) => {
      for await (const { row } of client.get(Table.TABLE_LINKS))
        if (row?.$case === 'link')
          return Buffer.from(row.value.mac)
            .toString('hex')
            .replace(/..(?=.)/g, '$&:');
      throw new Error('dpvsd has no link');
    });
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  /** Stands still until `resume`: others have its cores meanwhile. */
  pause(): void {
    this.#child.kill('SIGSTOP');
  }

  resume(): void {
    this.#child.kill('SIGCONT');
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      this.#child.kill('SIGCONT');
      const hard = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
      await new Promise((resolve) => this.#child.once('exit', resolve));
      clearTimeout(hard);
    }
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.#memifFolder, { recursive: true, force: true });
  }
}

/** The end of a memif that a program of the benchmark takes, as virtual device. */
export const memifDevice = (role: 'client' | 'server', socket: string): string =>
  `net_memif0,role=${role},socket=${socket},socket-abstract=no,id=0,rsize=11${role === 'client' ? ',zero-copy=no' : ''}`;

/** A native program of the benchmark, with a thread on each CPU: its lines of JSON, one by one. */
export class NativeProgram {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(
    name: string,
    cpus: readonly number[],
    vdev: string,
    args: string[],
    { hugepages, megabytes = 200 }: { hugepages: boolean; megabytes?: number },
  ) {
    const memory = hugepages ? ['--in-memory'] : ['--no-huge', '--no-shconf'];
    this.#child = spawn(
      native(name),
      [
        ...['--lcores', cpus.map((cpu, i) => `${i}@${cpu}`).join(',')],
        ...['--no-pci', '--no-telemetry', '--log-level', 'error', ...memory, '-m', String(megabytes)],
        ...['--vdev', vdev, '--', ...args],
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child.stderr?.on('data', (data) => {
      this.#errors = (this.#errors + String(data)).slice(-4000);
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line that is JSON. */
  async next<T = Record<string, number | boolean>>(): Promise<T> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`${this.#child.spawnfile} ended: ${this.#errors}`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }

  get pid(): number {
    return this.#child.pid ?? 0;
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    this.#child.kill('SIGCONT');
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await new Promise((resolve) => this.#child.once('exit', resolve));
    clearTimeout(hard);
  }
}

/** What bench-floor tells. */
export interface FloorReport {
  /** Of the time-stamp counter. */
  hz: number;
  lanes: Lane[];
}
