import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { until } from '../../lab/command.js';
import { pcap } from '../packets/capture.js';
import { packet, udp } from '../packets/wire.js';
import type { Bench, BenchOptions, Figure } from './bench.js';
import { BenchDirector, type FloorReport, type Lane, makePrograms, NativeProgram } from './director.js';
import { borrowHugepages } from './hugepages.js';

/** What DPDK's net_pcap gives the first port of a process. */
const PORT_MAC = '02:70:63:61:70:00';
const CLIENT_MAC = '02:00:00:00:0c:01';
const SERVER_MAC = '02:00:00:00:05:01';
const VIP = '10.0.7.1';
const SERVER = '10.0.5.1';
const LOCAL = '10.0.6.1';
const PORT = 80;

/** All ports that one local address gives out (core/local_port.h): with so many flows each has a connection. */
const LOCAL_PORTS = Array.from({ length: 65_536 - 1024 }, (_, i) => 1024 + i);

interface Case {
  name: string;
  forward: 'fullnat' | 'dr';
  flows: number;
  /** FullNAT: answers of the server to every local port, in the queue of its owner or of anybody. */
  replies?: 'owner' | 'any';
}

const cases: Case[] = [
  { name: 'UDP DR, 256 flows', forward: 'dr', flows: 256 },
  { name: 'UDP DR, 16k flows', forward: 'dr', flows: 16_384 },
  { name: 'UDP FullNAT, one way, 256 flows', forward: 'fullnat', flows: 256 },
  { name: 'UDP FullNAT, one way, 16k flows', forward: 'fullnat', flows: 16_384 },
  {
    name: 'UDP FullNAT, both ways, 64k flows, replies at their worker',
    forward: 'fullnat',
    flows: LOCAL_PORTS.length,
    replies: 'owner',
  },
  {
    name: 'UDP FullNAT, both ways, 64k flows, half of the replies handed over',
    forward: 'fullnat',
    flows: LOCAL_PORTS.length,
    replies: 'any',
  },
];

/** CPUs of the workers, by their number. */
const CPUS = [[1], [1, 0]] as const;
/** Buffers of a pool beside those that the port plays. */
const SPARE = 32_767;

/** 60 bytes: 64 with the checksum that a wire adds. */
function frame(source: string, bytes: Uint8Array): Uint8Array {
  const whole = new Uint8Array(60);
  const mac = (text: string): number[] => text.split(':').map((part) => Number.parseInt(part, 16));
  whole.set([...mac(PORT_MAC), ...mac(source), 0x08, 0x00]);
  whole.set(bytes, 14);
  return whole;
}

const payload = new Uint8Array(18);

const request = (flow: number): Uint8Array => {
  const from = `10.1.${(flow >> 8) & 255}.${flow & 255}`;
  return frame(CLIENT_MAC, packet({ from, to: VIP }, udp({ from: 1024 + (flow >> 16), to: PORT, payload })));
};

const reply = (port: number): Uint8Array =>
  frame(SERVER_MAC, packet({ from: SERVER, to: LOCAL }, udp({ from: PORT, to: port, payload })));

/** What each of so many queues plays: the flows are split as RSS would, each always to the same queue. */
function queuesOf({ flows, replies }: Case, count: number): Uint8Array[][] {
  const queues: Uint8Array[][] = Array.from({ length: count }, () => []);
  for (let flow = 0; flow < flows; flow++) {
    const asked = queues[flow % count]!;
    asked.push(request(flow));
    const port = LOCAL_PORTS[flow]!;
    // The low bit of a local port names its owner of two (core/steer.h); the next one does not.
    if (replies !== undefined) queues[(replies === 'owner' ? port : port >> 1) % count]!.push(reply(port));
  }
  return queues;
}

function configure(director: BenchDirector, { forward }: Case): void {
  director.command('dpip', 'addr', 'add', '10.0.0.1/16', 'dev', 'dpdk0');
  director.command('dpip', 'addr', 'add', `${VIP}/32`, 'dev', 'dpdk0');
  director.command('dpip', 'neigh', 'add', '10.0.0.2', 'lladdr', CLIENT_MAC, 'dev', 'dpdk0');
  director.command('dpip', 'neigh', 'add', SERVER, 'lladdr', SERVER_MAC, 'dev', 'dpdk0');
  director.command('dpip', 'route', 'add', 'default', 'via', '10.0.0.2', 'dev', 'dpdk0');
  const service = `-u ${VIP}:${PORT}`;
  const lines = [
    `-A ${service} -s rr`,
    `-a ${service} -r ${SERVER}:${PORT} ${forward === 'dr' ? '-g' : '-b'}`,
  ];
  if (forward === 'fullnat') lines.push(`-P ${service} -z ${LOCAL} -F dpdk0`);
  director.input('ipvsadm', `${lines.join('\n')}\n`, '-R');
}

/** A program that polls, stands still but for its turns, and tells what each of its threads has done. */
interface Runner {
  pause(): void;
  resume(): void;
  lanes(): Promise<Lane[]>;
  readonly pid: number;
  /** Whether the process's first thread is a master that polls nothing. */
  readonly master: boolean;
  stop(): Promise<void>;
}

/** Nanoseconds that each thread has had a CPU, the first thread first. */
function cpuTimes(pid: number): number[] {
  return readdirSync(`/proc/${pid}/task`)
    .map(Number)
    .sort((a, b) => a - b)
    .map((thread) => Number(readFileSync(`/proc/${pid}/task/${thread}/schedstat`, 'utf8').split(' ')[0]));
}

/** Packets and the time that threads had a CPU for them. */
interface Sample {
  packets: number;
  polling: number;
  master: number;
  at: number;
}

async function sample(runner: Runner): Promise<Sample> {
  const packets = (await runner.lanes()).reduce((sum, lane) => sum + lane.packets, 0);
  const [first = 0, ...others] = cpuTimes(runner.pid);
  const rest = others.reduce((sum, one) => sum + one, 0);
  return {
    packets,
    polling: runner.master ? rest : rest + first,
    master: runner.master ? first : 0,
    at: performance.now(),
  };
}

/**
 * Millions of packets per second of so many threads. Time in which a thread had no CPU does not count: with as many threads as
 * cores, whatever else runs on the machine takes it from one of them.
 */
const rate = (before: Sample, after: Sample, threads: number): number =>
  ((after.packets - before.packets) * threads * 1e3) / Math.max(1, after.polling - before.polling);

async function startFloor(
  vdev: string,
  cpus: readonly number[],
  held: number,
  hugepages: boolean,
): Promise<Runner> {
  const megabytes = Math.ceil(((held + SPARE) * 2500) / 2 ** 20) + 64;
  const program = new NativeProgram('bench-floor', cpus, vdev, ['net_pcap0', String(held)], {
    hugepages,
    megabytes,
  });
  const report = async (): Promise<FloorReport> => {
    program.signal('SIGUSR1');
    return await program.next<FloorReport>();
  };
  try {
    await program.next();
    return {
      pause: () => program.signal('SIGSTOP'),
      resume: () => program.signal('SIGCONT'),
      lanes: async () => (await report()).lanes,
      pid: program.pid,
      master: false,
      stop: () => program.stop(),
    };
  } catch (error) {
    await program.stop();
    throw error;
  }
}

async function startDirector(
  one: Case,
  vdev: string,
  cpus: readonly number[],
  held: number,
  hugepages: boolean,
): Promise<Runner> {
  const director = await BenchDirector.start({
    connections: 262_144,
    hugepages,
    vdev,
    cpus: [...cpus],
    packets: held + SPARE,
  });
  try {
    const mac = await director.mac();
    if (mac !== PORT_MAC) throw new Error(`net_pcap's first port is ${mac}, not ${PORT_MAC}`);
    configure(director, one);
    await until(`${one.flows} connections`, async () => (await director.work()).connections === one.flows, {
      limit: 60_000,
      every: 200,
    });
    return {
      pause: () => director.pause(),
      resume: () => director.resume(),
      lanes: async () => (await director.work()).lanes,
      pid: director.pid,
      master: true,
      stop: () => director.stop(),
    };
  } catch (error) {
    await director.stop();
    throw error;
  }
}

const median = (values: readonly number[]): number => [...values].sort((a, b) => a - b)[values.length >> 1]!;

/** Lets each runner run alone for a moment, in turn. @returns the rates of each, and the masters' shares of a core, % */
async function alternate(
  runners: readonly { runner: Runner; threads: number }[],
  rounds: number,
  slice: number,
) {
  const rates: number[][] = runners.map(() => []);
  const masters: number[] = [];
  for (let round = 0; round < rounds; round++) {
    for (const [i, { runner, threads }] of runners.entries()) {
      runner.resume();
      // Caches are another's: warm first.
      await sleep(slice / 4);
      const before = await sample(runner);
      await sleep(slice);
      const after = await sample(runner);
      runner.pause();
      rates[i]!.push(rate(before, after, threads));
      if (runner.master) masters.push((after.master - before.master) / 1e4 / (after.at - before.at));
    }
  }
  return { rates, masters };
}

async function measure(one: Case, { quick }: BenchOptions, hugepages: boolean): Promise<Figure> {
  const folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-workers-'));
  const runners: { runner: Runner; threads: number }[] = [];
  const vdevs: string[] = [];
  const held = one.flows * (one.replies ? 2 : 1);
  try {
    for (const { length } of CPUS) {
      const files = queuesOf(one, length).map((frames, queue) => {
        const file = join(folder, `${length}-${queue}.pcap`);
        writeFileSync(file, pcap(frames.map((bytes) => ({ at: 0, bytes }))));
        return `rx_pcap=${file}`;
      });
      vdevs.push(`net_pcap0,${files.join(',')},infinite_rx=1`);
    }
    for (const [i, cpus] of CPUS.entries()) {
      const runner = await startFloor(vdevs[i]!, cpus, held, hugepages);
      runners.push({ runner, threads: cpus.length });
      runner.pause();
    }
    for (const [i, cpus] of CPUS.entries()) {
      const runner = await startDirector(one, vdevs[i]!, cpus, held, hugepages);
      runners.push({ runner, threads: cpus.length });
      runner.pause();
    }
    const { rates, masters } = await alternate(runners, quick ? 5 : 15, quick ? 300 : 500);
    const [floor1, floor2, worker1, worker2] = rates as [number[], number[], number[], number[]];
    const ratio = (two: number[], single: number[]): number =>
      median(two.map((value, i) => value / single[i]!));
    return {
      case: one.name,
      values: {
        'Mpps, 1': median(worker1),
        'Mpps, 2': median(worker2),
        ratio: ratio(worker2, worker1),
        'floor Mpps, 1': median(floor1),
        'floor Mpps, 2': median(floor2),
        'floor ratio': ratio(floor2, floor1),
        'master % of a core': median(masters),
      },
    };
  } finally {
    for (const { runner } of runners) await runner.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function run(options: BenchOptions): Promise<Figure[]> {
  makePrograms();
  const pages = borrowHugepages(3000);
  if (!pages.there) console.error('bench: no hugepages to be had: figures show TLB misses as well');
  try {
    const figures: Figure[] = [];
    for (const one of cases) {
      console.error(`bench: ${one.name}`);
      figures.push(await measure(one, options, pages.there));
    }
    return figures;
  } finally {
    pages.giveBack();
  }
}

/** Two workers beside one, on ports that play captures from memory and forget what is sent: no generator is needed. */
export const workers: Bench = {
  name: 'workers',
  about:
    'two workers on two cores against one, on a port that plays captures (net_pcap); floor: the same port alone',
  run,
};
