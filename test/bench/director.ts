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

/** CPUs of the two poll-mode processes: they must not share one. */
export const DIRECTOR_CPU = 1;
export const GENERATOR_CPU = 0;

/** Work of the director's worker so far. */
export interface Work {
  packets: number;
  busyCycles: number;
  cycles: number;
  connections: number;
}

/** A dpvsd on one memif port, with a folder of its own, configured by the commands that operators type. */
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
  static async start(options: {
    connections: number;
    hugepages: boolean;
    memory?: number;
  }): Promise<BenchDirector> {
    const placeholder = '@SOCKET@';
    const conf = `
      global_defs {
        log_level WARNING
        <init> kni off
        <init> idle_policy poll
        <init> hugepages ${options.hugepages ? 'auto' : 'off'}
      }
      netif_defs {
        <init> pktpool_size 65535
        <init> device dpdk0 {
          vdev net_memif0,role=server,socket=${placeholder},socket-abstract=no,id=0,rsize=11
          rx {
            queue_number 1
            descriptor_number 2048
          }
          tx {
            queue_number 1
            descriptor_number 2048
          }
        }
      }
      worker_defs {
        <init> worker cpu0 {
          type master
          cpu_id ${GENERATOR_CPU}
        }
        <init> worker cpu1 {
          type slave
          cpu_id ${DIRECTOR_CPU}
          port dpdk0 {
            rx_queue_ids 0
            tx_queue_ids 0
          }
        }
      }
      ipvs_defs {
        conn {
          <init> conn_pool_size ${options.connections}
        }
      }
    `;
    const folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-memif-'));
    const director = new BenchDirector(conf.replace(placeholder, join(folder, 'memif.sock')));
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

  /** What the worker has done since the start. */
  work(): Promise<Work> {
    return this.#client(async (client) => {
      const work: Work = { packets: 0, busyCycles: 0, cycles: 0, connections: 0 };
      for await (const { row } of client.get(Table.TABLE_WORKERS)) {
        if (row?.$case !== 'lcore' || row.value.role !== 'worker') continue;
        work.packets += row.value.rxPackets;
        work.busyCycles += row.value.busyCycles;
        work.cycles += row.value.cycles;
        work.connections += row.value.connections;
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

  async stop(): Promise<void> {
    if (this.#child.exitCode === null && this.#child.signalCode === null) {
      this.#child.kill('SIGTERM');
      const hard = setTimeout(() => this.#child.kill('SIGKILL'), 10_000);
      await new Promise((resolve) => this.#child.once('exit', resolve));
      clearTimeout(hard);
    }
    rmSync(this.folder, { recursive: true, force: true });
    rmSync(this.#memifFolder, { recursive: true, force: true });
  }
}

/** A native program of the benchmark: its lines of JSON, one by one. */
export class NativeProgram {
  readonly #child: ChildProcess;
  readonly #lines: AsyncIterator<string>;
  #errors = '';

  constructor(
    name: string,
    cpu: number,
    memif: string,
    role: 'client' | 'server',
    args: string[],
    hugepages: boolean,
  ) {
    const memory = hugepages ? ['--in-memory', '-m', '200'] : ['--no-huge', '--no-shconf', '-m', '200'];
    this.#child = spawn(
      native(name),
      [
        '--lcores',
        `0@${cpu}`,
        '--no-pci',
        '--no-telemetry',
        '--log-level',
        'error',
        ...memory,
        '--vdev',
        `net_memif0,role=${role},socket=${memif},socket-abstract=no,id=0,rsize=11${role === 'client' ? ',zero-copy=no' : ''}`,
        '--',
        ...args,
      ],
      { stdio: ['ignore', 'pipe', 'pipe'] },
    );
    this.#child.stderr?.on('data', (data) => {
      this.#errors = (this.#errors + String(data)).slice(-4000);
    });
    this.#lines = createInterface({ input: this.#child.stdout! })[Symbol.asyncIterator]();
  }

  /** The next line that is JSON. */
  async next(): Promise<Record<string, number | boolean>> {
    for (;;) {
      const { value, done } = await this.#lines.next();
      if (done) throw new Error(`${this.#child.spawnfile} ended: ${this.#errors}`);
      if (value.startsWith('{')) return JSON.parse(value);
    }
  }

  signal(name: NodeJS.Signals): void {
    this.#child.kill(name);
  }

  async stop(): Promise<void> {
    if (this.#child.exitCode !== null || this.#child.signalCode !== null) return;
    this.#child.kill('SIGTERM');
    const hard = setTimeout(() => this.#child.kill('SIGKILL'), 5000);
    await new Promise((resolve) => this.#child.once('exit', resolve));
    clearTimeout(hard);
  }
}
