import type { Conf } from '../conf/parse.js';
import { type Problem, problem } from '../conf/problem.js';
import { type Machine, needsPhysical } from '../machine.js';
import type { Port } from './ports.js';
import type { Threads } from './workers.js';

/** What a packet takes besides its data: headroom, rte_mbuf, and what the pool adds. */
const BYTES_AROUND_PACKET = 384;
const BYTES_OF_PACKET = 2048;
/** A connection of 128 bytes, its two places in the hash table at half load, and its place in the wheel. */
const BYTES_PER_CONNECTION = 224;
/** Services, routes, neighbours, message rings, DPDK's own. */
const MEGABYTES_FOR_THE_REST = 128;
const MEGABYTES_PER_WORKER = 16;
/** DPDK's own bound of a thread's cache of a pool (RTE_MEMPOOL_CACHE_MAX_SIZE). */
const LARGEST_CACHE = 512;

export interface Memory {
  hugepages: boolean;
  /** Megabytes set aside at start, in all and by NUMA node. */
  megabytes: number;
  perNode: Map<number, number>;
  parts: { what: string; megabytes: number }[];
  cache: number;
}

const inMegabytes = (bytes: number): number => Math.ceil(bytes / 1048576);
const roundUp = (value: number, step: number): number => Math.ceil(value / step) * step;

/** Every queue can be full of packets while each worker holds a cache and a burst: with fewer packets than that, ports starve. */
function checkPool(conf: Conf, ports: Port[], threads: Threads, cache: number, problems: Problem[]): void {
  const { pktpool_size: size } = conf.model.netif_defs;
  const rings = ports.reduce(
    (sum, port) =>
      sum +
      (threads.rxq.get(port.name) ?? 0) * port.device.rx.descriptor_number +
      (threads.txq.get(port.name) ?? 0) * port.device.tx.descriptor_number,
    0,
  );
  const need = rings + (threads.workers.length + 1) * (Math.ceil(cache * 1.5) + 64);
  if (need <= size) return;
  problems.push(
    problem(
      'error',
      conf.lines.get('netif_defs/pktpool_size') ?? 0,
      `pktpool_size ${size}`,
      `the queues and caches alone can hold ${need} packets`,
      `write "pktpool_size ${2 ** Math.ceil(Math.log2(need * 2)) - 1}"`,
    ),
  );
}

/** How much memory the process needs, of which kind, and on which node. */
export function planMemory(
  conf: Conf,
  machine: Machine,
  ports: Port[],
  threads: Threads,
  problems: Problem[],
): Memory {
  const { netif_defs: netif, ipvs_defs: ipvs, global_defs: global } = conf.model;
  const cache = Math.min(netif.pktpool_cache, LARGEST_CACHE, Math.floor(netif.pktpool_size / 1.5));
  if (cache < netif.pktpool_cache) {
    problems.push(
      problem(
        'note',
        conf.lines.get('netif_defs/pktpool_cache') ?? 0,
        `pktpool_cache ${netif.pktpool_cache} counts as ${cache}`,
        `DPDK takes no more than ${LARGEST_CACHE}, and no more than two thirds of the pool`,
        `write "pktpool_cache ${cache}"`,
      ),
    );
  }
  checkPool(conf, ports, threads, cache, problems);

  const nodes = [...new Set([threads.master, ...threads.workers].map((thread) => thread.node))].sort(
    (a, b) => a - b,
  );
  const frame = Math.max(BYTES_OF_PACKET, ...ports.map((port) => roundUp(port.device.mtu + 64, 64)));
  const packets = inMegabytes(netif.pktpool_size * (frame + BYTES_AROUND_PACKET));
  const connections = inMegabytes(ipvs.conn.conn_pool_size * BYTES_PER_CONNECTION);
  const rest = MEGABYTES_FOR_THE_REST + threads.workers.length * MEGABYTES_PER_WORKER;
  const parts = [
    {
      what: `${netif.pktpool_size} packets${nodes.length > 1 ? ` on each of ${nodes.length} nodes` : ''}`,
      megabytes: packets * nodes.length,
    },
    { what: `${ipvs.conn.conn_pool_size} connections`, megabytes: connections },
    { what: 'tables, rings and the rest', megabytes: rest },
  ];
  const need = global.memory ?? packets * nodes.length + connections + rest;

  const free = machine.hugepages.reduce(
    (sum, pages) => sum + Math.floor((pages.free * pages.size) / 1024),
    0,
  );
  const wanted = global.hugepages;
  const line = conf.lines.get('global_defs/hugepages') ?? 0;
  const page =
    machine.hugepages.some((pages) => pages.free > 0 && pages.size === 1048576) &&
    !machine.hugepages.some((pages) => pages.free > 0 && pages.size === 2048)
      ? 1024
      : 2;
  const command = `sysctl -w vm.nr_hugepages=${Math.ceil(roundUp(need, 64) / 2)}`;
  const cards = ports.some((port) => !port.virtual);
  const physical = ports
    .flatMap((port) => [port.binding, ...port.members.map((member) => member.binding)])
    .flatMap((binding) =>
      binding.bus === 'pci' ? machine.nics.filter((nic) => nic.address === binding.address) : [],
    )
    .find((nic) => needsPhysical(machine, nic));
  let hugepages = false;
  if (wanted !== 'off') {
    hugepages = free >= need;
    if (!hugepages && !physical && (wanted === 'on' || free > 0 || cards)) {
      problems.push(
        problem(
          wanted === 'on' ? 'error' : 'warning',
          line,
          `${free} MB of hugepages are free`,
          `the plan needs ${need} MB${wanted === 'on' ? ' and "hugepages on" allows nothing else' : ', so ordinary memory is used, which is slower'}`,
          `run "${command}", or write "memory MB" or a smaller conn_pool_size`,
        ),
      );
    }
  }
  if (!hugepages && physical) {
    problems.push(
      problem(
        'error',
        line,
        `${physical.address} is held by ${physical.driver} without an IOMMU`,
        `it works with hugepages alone, and ${wanted === 'off' ? '"hugepages off" allows none' : `${free} MB of the ${need} MB that the plan needs are free`}`,
        `${wanted === 'off' ? 'take "hugepages off" away and ' : ''}run "${command}"`,
      ),
    );
  }
  // A hard bound without hugepages, where DPDK cannot grow; memory that nobody touches costs nothing.
  const total = global.memory ?? (hugepages ? roundUp(need, Math.max(64, page)) : roundUp(need * 1.25, 64));
  const { available, limit } = machine.memory;
  const ceiling = Math.min(available || Number.POSITIVE_INFINITY, limit ?? Number.POSITIVE_INFINITY);
  if (!hugepages && need > ceiling) {
    problems.push(
      problem(
        'warning',
        0,
        `${ceiling} MB of memory are available`,
        `the plan needs up to ${need} MB once all connections are in use`,
        'write a smaller conn_pool_size or pktpool_size',
      ),
    );
  }
  const perNode = new Map<number, number>();
  // Packets on each node; connections where their workers are.
  for (const node of nodes) {
    const here = threads.workers.filter((worker) => worker.node === node).length;
    const share = threads.workers.length === 0 ? 0 : here / threads.workers.length;
    perNode.set(
      node,
      roundUp(((packets + connections * share + rest / nodes.length) * total) / need, Math.max(64, page)),
    );
  }
  return { hugepages, megabytes: total, perNode, parts, cache };
}
