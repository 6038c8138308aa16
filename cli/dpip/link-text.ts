import type { LinkRow, MemoryRow, PortCounters, WorkerRow } from '../../dpvsd/generated/control.js';
import { formatMac } from '../address.js';
import type { Counter } from './counters.js';

/** Words in columns of 20 (counters) or 16 (rates) below four blanks. */
function columns(width: number, ...words: (string | number)[]): string {
  return `    ${words.map((word) => String(word).padEnd(width)).join('')}`;
}

/** The three lines of a port, as scripts know them. */
export function* linkLines(row: LinkRow): Generator<string> {
  yield `${row.index}: ${row.device}: socket ${row.socket} mtu ${row.mtu} rx-queue ${row.rxQueues} tx-queue ${row.txQueues}`;
  const words = [
    row.up ? 'UP' : 'DOWN',
    `${row.speed} Mbps`,
    row.fullDuplex ? 'full-duplex' : 'half-duplex',
    row.autonegotiation ? 'auto-nego' : 'fixed-nego',
    ...(row.promiscuous ? ['promisc'] : []),
    ...(row.allmulticast ? ['allmulticast'] : []),
    // The spelling is DPVS's; scripts match it.
    ...(row.forward2kni ? ['foward2kni'] : []),
    ...(row.lldp ? ['lldp'] : []),
  ];
  yield `    ${words.map((word) => `${word} `).join('')}`;
  yield `    addr ${formatMac(row.mac).toUpperCase()} ${row.offloads.map((word) => `${word} `).join('')}`;
}

const noCounters: PortCounters = {
  rxPackets: 0,
  txPackets: 0,
  rxBytes: 0,
  txBytes: 0,
  rxMissed: 0,
  rxErrors: 0,
  txErrors: 0,
  rxNoBuffer: 0,
  txDropped: 0,
};

/** Counters of a port, and the packet buffers of its NUMA node. */
export function* linkStatLines(row: LinkRow, memory: MemoryRow[]): Generator<string> {
  const counters = row.counters ?? noCounters;
  yield columns(20, 'ipackets', 'opackets', 'ibytes', 'obytes');
  yield columns(20, counters.rxPackets, counters.txPackets, counters.rxBytes, counters.txBytes);
  yield columns(20, 'ierrors', 'oerrors', 'imissed', 'rx_nombuf');
  yield columns(20, counters.rxErrors, counters.txErrors, counters.rxMissed, counters.rxNoBuffer);
  const pools = memory.filter(({ name }) => name.startsWith('pktpool'));
  const pool = pools.find(({ name }) => name === `pktpool-${row.socket}`) ?? pools[0];
  yield columns(20, 'mbuf-avail', 'mbuf-inuse', 'odropped');
  yield columns(20, pool ? pool.size - pool.used : '-', pool ? pool.used : '-', counters.txDropped);
}

/** What -v adds: where the port is, its twin, which worker serves which queue. */
export function* linkVerboseLines(row: LinkRow, workers: WorkerRow[]): Generator<string> {
  yield columns(32, 'pci_addr', 'driver_name');
  yield columns(32, row.bus, row.driver);
  if (row.twin !== '') yield `    kernel twin ${row.twin} (${row.twinKind})`;
  const queues = workers.flatMap((worker) =>
    worker.queues
      .filter((queue) => queue.startsWith(`${row.device}:`))
      .map((queue) => `    ${queue.slice(row.device.length + 1)} cpu${worker.cpu}`),
  );
  if (queues.length > 0) yield '    Queue Configuration:';
  for (const queue of queues) yield `    ${queue}`;
}

/** Growth per second. */
function rate(before: number, after: number, seconds: number): number {
  return seconds > 0 ? Math.round((after - before) / seconds) : 0;
}

/** What a port's counters grew by per second. */
export function linkRates(before: LinkRow, after: LinkRow, seconds: number): PortCounters {
  const [then, now] = [before.counters ?? noCounters, after.counters ?? noCounters];
  const rates = { ...noCounters };
  for (const name of Object.keys(noCounters) as (keyof PortCounters)[])
    rates[name] = rate(then[name], now[name], seconds);
  return rates;
}

export function* linkRateLines(before: LinkRow, after: LinkRow, seconds: number): Generator<string> {
  const rates = linkRates(before, after, seconds);
  const per = (name: keyof PortCounters) => rates[name];
  yield columns(16, 'ipackets/pps', 'opackets/pps', 'ibytes/Bps', 'obytes/Bps');
  yield columns(16, per('rxPackets'), per('txPackets'), per('rxBytes'), per('txBytes'));
  yield columns(16, 'ierrors/pps', 'oerrors/pps', 'imissed/pps', 'rx_nombuf/pps');
  yield columns(16, per('rxErrors'), per('txErrors'), per('rxMissed'), per('rxNoBuffer'));
}

export function linkJson(row: LinkRow, stats: boolean): Record<string, unknown> {
  const { mac, counters, ...plain } = row;
  return { ...plain, mac: formatMac(mac), ...(stats ? { counters: counters ?? noCounters } : {}) };
}

/** The two lines of a thread of dpvsd. */
export function* workerLines(row: WorkerRow): Generator<string> {
  yield `${row.lcore + 1}: cpu${row.cpu}: socket ${row.socket}`;
  yield `    queues ${row.queues.length > 0 ? row.queues.join(' ') : 'none'}`;
}

/** What a worker dropped, for whatever reason. */
function dropped(row: WorkerRow, counters: Counter[]): number {
  if (row.role !== 'worker') return 0;
  let sum = 0;
  for (const { name, workers } of counters) if (name.startsWith('drop.')) sum += workers[row.number] ?? 0;
  return sum;
}

const percent = (part: number, whole: number): string =>
  whole > 0 ? `${((100 * part) / whole).toFixed(1)}%` : '-';

/** Counters of a thread: loops, with packets (pktburst), without (zpktburst), with a full burst (fpktburst) ... */
export function* workerStatLines(row: WorkerRow, counters: Counter[], verbose: boolean): Generator<string> {
  yield columns(20, 'lcore_loop', 'pktburst', 'zpktburst', 'fpktburst');
  yield columns(20, row.loops, row.busyLoops, row.loops - row.busyLoops, row.burstsFull);
  yield columns(20, 'ipackets', 'opackets', 'handed-over', 'taken-over');
  yield columns(20, row.rxPackets, row.txPackets, row.handedOver, row.takenOver);
  yield columns(20, 'connections', 'dropped', 'sleeps', 'busy');
  yield columns(20, row.connections, dropped(row, counters), row.sleeps, percent(row.busyCycles, row.cycles));
  if (row.role !== 'worker') return;
  const own = counters.map((counter) => ({ ...counter, sum: counter.workers[row.number] ?? 0, workers: [] }));
  yield* counterLines(own, verbose);
}

export function* workerRateLines(before: WorkerRow, after: WorkerRow, seconds: number): Generator<string> {
  const per = (now: number, then: number) => rate(then, now, seconds);
  yield columns(16, 'lcore_loop/lps', 'pktburst/nps', 'fpktburst/nps', 'busy');
  yield columns(
    16,
    per(after.loops, before.loops),
    per(after.busyLoops, before.busyLoops),
    per(after.burstsFull, before.burstsFull),
    percent(after.busyCycles - before.busyCycles, after.cycles - before.cycles),
  );
  yield columns(16, 'ipackets/pps', 'opackets/pps', 'handed-over/pps', 'sleeps/nps');
  yield columns(
    16,
    per(after.rxPackets, before.rxPackets),
    per(after.txPackets, before.txPackets),
    per(after.handedOver, before.handedOver),
    per(after.sleeps, before.sleeps),
  );
}

export function workerJson(row: WorkerRow, counters: Counter[] | undefined): Record<string, unknown> {
  if (!counters) {
    const { number, lcore, cpu, name, role, queues, socket } = row;
    return { number, lcore, cpu, name, role, queues, socket };
  }
  const own = counters.map(({ name, workers }) => [name, workers[row.number] ?? 0] as const);
  return { ...row, ...(row.role === 'worker' ? { counters: Object.fromEntries(own) } : {}) };
}

/**
 * Named counters with their sum and, where there is more than one worker, one column per worker.
 * @param all also those that are 0
 */
export function* counterLines(counters: Counter[], all: boolean): Generator<string> {
  const shown = counters.filter(({ sum }) => all || sum > 0);
  if (shown.length === 0) return;
  const workers = Math.max(0, ...counters.map((counter) => counter.workers.length));
  const heads = ['sum', ...(workers > 1 ? Array.from({ length: workers }, (_, n) => `worker${n + 1}`) : [])];
  const name = Math.max(24, ...shown.map((counter) => counter.name.length + 2));
  yield `    ${'counters'.padEnd(name)}${heads.map((head) => head.padStart(16)).join('')}${all ? '  meaning' : ''}`;
  for (const counter of shown) {
    const numbers = [
      counter.sum,
      ...(workers > 1 ? Array.from({ length: workers }, (_, n) => counter.workers[n] ?? 0) : []),
    ];
    const text = numbers.map((number) => String(number).padStart(16)).join('');
    yield `    ${counter.name.padEnd(name)}${text}${all ? `  ${counter.help}` : ''}`;
  }
}
