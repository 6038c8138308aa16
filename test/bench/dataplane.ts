import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Bench, BenchOptions, Figure } from './bench.js';
import {
  BenchDirector,
  DIRECTOR_CPU,
  type FloorReport,
  GENERATOR_CPU,
  type Lane,
  makePrograms,
  memifDevice,
  NativeProgram,
} from './director.js';
import { borrowHugepages } from './hugepages.js';

interface Case {
  name: string;
  mode: 'udp' | 'oneway' | 'tcp';
  forward: 'fullnat' | 'dr';
  flows: number;
}

const cases: Case[] = [
  { name: 'UDP FullNAT, both ways, 256 flows', mode: 'udp', forward: 'fullnat', flows: 256 },
  { name: 'UDP FullNAT, both ways, 10k flows', mode: 'udp', forward: 'fullnat', flows: 10_000 },
  { name: 'UDP FullNAT, both ways, 100k flows', mode: 'udp', forward: 'fullnat', flows: 100_000 },
  { name: 'UDP FullNAT, both ways, 1M flows', mode: 'udp', forward: 'fullnat', flows: 1_000_000 },
  { name: 'UDP FullNAT, one way, 1M flows', mode: 'oneway', forward: 'fullnat', flows: 1_000_000 },
  { name: 'UDP DR, 256 flows', mode: 'oneway', forward: 'dr', flows: 256 },
  { name: 'UDP DR, 10k flows', mode: 'oneway', forward: 'dr', flows: 10_000 },
  { name: 'UDP DR, 1M flows', mode: 'oneway', forward: 'dr', flows: 1_000_000 },
  { name: 'TCP FullNAT, new connections', mode: 'tcp', forward: 'fullnat', flows: 1_000_000 },
];

/** Packets under way: fills rings of 2048 in bursts without overflowing them. */
const WINDOW = 1024;
const VIP = '10.0.7.1';
const SERVERS = 4;
const LOCAL_ADDRESSES = 32;

function configure(director: BenchDirector, { mode, forward }: Case): void {
  director.command('dpip', 'addr', 'add', '10.0.0.1/16', 'dev', 'dpdk0');
  director.command('dpip', 'addr', 'add', `${VIP}/32`, 'dev', 'dpdk0');
  director.command('dpip', 'neigh', 'add', '10.0.0.2', 'lladdr', '02:00:00:00:0c:01', 'dev', 'dpdk0');
  director.command('dpip', 'route', 'add', 'default', 'via', '10.0.0.2', 'dev', 'dpdk0');
  const service = `${mode === 'tcp' ? '-t' : '-u'} ${VIP}:80`;
  const lines = [`-A ${service} -s rr`];
  for (let i = 1; i <= SERVERS; i++) {
    director.command('dpip', 'neigh', 'add', `10.0.5.${i}`, 'lladdr', `02:00:00:00:05:0${i}`, 'dev', 'dpdk0');
    lines.push(`-a ${service} -r 10.0.5.${i}:80 ${forward === 'dr' ? '-g' : '-b'} -w 1`);
  }
  if (forward === 'fullnat') {
    for (let i = 1; i <= LOCAL_ADDRESSES; i++) lines.push(`-P ${service} -z 10.0.6.${i} -F dpdk0`);
  }
  director.input('ipvsadm', `${lines.join('\n')}\n`, '-R');
}

const perPacket = (before: Lane, after: Lane): number =>
  (after.busyCycles - before.busyCycles) / Math.max(1, after.packets - before.packets);

/** Cycles that receiving, swapping MAC addresses and sending back cost on the same kind of port. */
async function floor(seconds: number, hugepages: boolean): Promise<{ cycles: number; mpps: number }> {
  const folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-floor-'));
  const memif = join(folder, 'memif.sock');
  const swap = new NativeProgram(
    'bench-floor',
    [DIRECTOR_CPU],
    memifDevice('server', memif),
    ['net_memif0'],
    {
      hugepages,
    },
  );
  let generator: NativeProgram | undefined;
  try {
    await swap.next();
    const args = ['--mode', 'echo', '--seconds', String(seconds), '--window', String(WINDOW)];
    generator = new NativeProgram(
      'bench-generator',
      [GENERATOR_CPU],
      memifDevice('client', memif),
      [...args, '--director', '02:00:00:00:00:01', '--vip', VIP, '--client', '10.1.0.1'],
      { hugepages },
    );
    while (!(await generator.next()).warm);
    swap.signal('SIGUSR1');
    const before = await swap.next<FloorReport>();
    const sent = await generator.next();
    swap.signal('SIGTERM');
    const after = await swap.next<FloorReport>();
    return {
      cycles: perPacket(before.lanes[0]!, after.lanes[0]!),
      mpps: Number(sent.client) / Number(sent.seconds) / 1e6,
    };
  } finally {
    await swap.stop();
    await generator?.stop();
    rmSync(folder, { recursive: true, force: true });
  }
}

async function measure(one: Case, seconds: number, hugepages: boolean): Promise<Figure> {
  const base = await floor(Math.max(1, seconds / 2), hugepages);
  const director = await BenchDirector.start({ connections: 2_200_000, hugepages });
  let generator: NativeProgram | undefined;
  try {
    configure(director, one);
    const args = ['--mode', one.mode, '--flows', String(one.flows), '--seconds', String(seconds)];
    generator = new NativeProgram(
      'bench-generator',
      [GENERATOR_CPU],
      memifDevice('client', director.socket),
      [
        ...args,
        ...['--window', String(one.mode === 'tcp' ? 256 : WINDOW), '--director', await director.mac()],
        ...['--vip', VIP, '--client', '10.1.0.1'],
      ],
      { hugepages },
    );
    while (!(await generator.next()).warm);
    const before = await director.work();
    const result = await generator.next();
    const after = await director.work();
    const cycles = perPacket(before, after);
    const packets = Number(result.client) + Number(result.server);
    const values: Figure['values'] = {
      Mpps: packets / Number(result.seconds) / 1e6,
      'cycles/packet': cycles,
      'floor cycles': base.cycles,
      'above floor': cycles - base.cycles,
      'floor Mpps': base.mpps,
    };
    if (one.mode === 'tcp') {
      const finished = Number(result.finished) / Number(result.seconds);
      values['connections/s'] = Math.round(finished);
      values['cycles/connection'] = Math.round(
        (after.busyCycles - before.busyCycles) / Math.max(1, Number(result.finished)),
      );
    }
    return { case: one.name, values };
  } finally {
    await director.stop();
    await generator?.stop();
  }
}

async function run({ quick }: BenchOptions): Promise<Figure[]> {
  makePrograms();
  const pages = borrowHugepages(1800);
  if (!pages.there)
    console.error('bench: no hugepages to be had: figures with many flows show TLB misses as well');
  try {
    const figures: Figure[] = [];
    for (const one of cases) {
      console.error(`bench: ${one.name}`);
      figures.push(await measure(one, quick ? 2 : 6, pages.there));
    }
    return figures;
  } finally {
    pages.giveBack();
  }
}

/** Packets: cycles and rates of one worker over memif, beside the floor of the same port in the same run. */
export const dataplane: Bench = {
  name: 'dataplane',
  about: 'one worker, one memif port, 64-byte frames, 4 real servers, rr; floor: swapping MAC addresses',
  run,
};
