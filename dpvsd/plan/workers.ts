import type { Worker } from '../conf/items.js';
import type { Conf } from '../conf/parse.js';
import { type Problem, problem } from '../conf/problem.js';
import { type Machine, writeList } from '../machine.js';
import { type EalOption, valuesOf } from './eal.js';
import type { Port } from './ports.js';
import { queueArgument } from './vdev.js';

/** A thread: an lcore in DPDK's words, on a CPU. */
export interface Thread {
  name: string;
  lcore: number;
  cpu: number;
  node: number;
}

/** What a worker has of one port. `rx` is absent when it only sends there. */
export interface Queue {
  port: string;
  rx?: number;
  tx: number;
}

export interface ForwardingWorker extends Thread {
  queues: Queue[];
}

export interface Threads {
  master: Thread;
  workers: ForwardingWorker[];
  /** Queues to set up, by port. */
  rxq: Map<string, number>;
  txq: Map<string, number>;
}

/** No lab gets better with more; a rack says how many it wants. */
const MOST_ON_VIRTUAL_PORTS = 4;
const MOST_ON_NICS = 16;

class Placement {
  readonly #conf: Conf;
  readonly #machine: Machine;
  readonly #lcores: Map<number, number> | undefined;
  readonly #main: number | undefined;
  readonly #problems: Problem[];

  constructor(
    conf: Conf,
    machine: Machine,
    lcores: Map<number, number> | undefined,
    options: EalOption[],
    problems: Problem[],
  ) {
    this.#conf = conf;
    this.#machine = machine;
    this.#lcores = lcores;
    this.#problems = problems;
    const main = valuesOf(options, '--main-lcore')[0];
    this.#main = main === undefined ? undefined : Number(main);
  }

  line(worker: Worker, item = ''): number {
    const path = `worker_defs/worker ${worker.name}`;
    return this.#conf.lines.get(item === '' ? path : `${path}/${item}`) ?? this.#conf.lines.get(path) ?? 0;
  }

  node(cpu: number): number {
    return this.#machine.cpus.find(({ id }) => id === cpu)?.node ?? 0;
  }

  /**
   * The CPU that a worker block asks for. With lcores given behind `--`, cpu_id is the number of an lcore, as in DPVS.
   * @returns undefined when there is no such CPU; the problem is noted
   */
  cpuOf(worker: Worker): number | undefined {
    const id = worker.cpu_id;
    const error = (why: string, instead: string) => {
      this.#problems.push(
        problem(
          'error',
          this.line(worker, 'cpu_id'),
          `worker ${worker.name}${id === undefined ? '' : `: cpu_id ${id}`}`,
          why,
          instead,
        ),
      );
      return undefined;
    };
    const allowed = writeList(this.#machine.allowed);
    if (id === undefined)
      return error('its CPU is missing', `add "cpu_id N"; this process may use ${allowed}`);
    if (this.#lcores) {
      const cpu = this.#lcores.get(id);
      return (
        cpu ??
        error(
          `the lcores given behind "--" are ${writeList(this.#lcores.keys())}`,
          'add it to -l, or leave -l out',
        )
      );
    }
    if (!this.#machine.cpus.some((cpu) => cpu.id === id)) {
      return error(
        'this machine has no such CPU',
        `write one of ${writeList(this.#machine.cpus.map((cpu) => cpu.id))}`,
      );
    }
    if (!this.#machine.allowed.includes(id)) {
      return error(
        'this process may not use that CPU (cpuset, container or taskset)',
        `write one of ${allowed}`,
      );
    }
    return id;
  }

  /** CPUs for workers, best first: isolated ones, then those near the first port, then whole cores before hyperthreads. */
  spare(taken: number[], near: number | undefined): number[] {
    const { cpus, allowed, isolated } = this.#machine;
    const rank = (id: number) => {
      const cpu = cpus.find((one) => one.id === id)!;
      return (
        (isolated.includes(id) ? 0 : 4) +
        (near === undefined || cpu.node === near ? 0 : 2) +
        (cpu.core === id ? 0 : 1)
      );
    };
    return allowed.filter((id) => !taken.includes(id)).sort((a, b) => rank(a) - rank(b) || a - b);
  }

  /** The master when no block says: its CPU should be free of workers, and not an isolated one. */
  defaultMaster(workerCpus: number[]): Thread | undefined {
    if (this.#lcores) {
      const ids = [...this.#lcores.keys()].sort((a, b) => a - b);
      const blocks = this.#conf.model.worker_defs.worker;
      const lcore =
        this.#main ?? ids.find((id) => !blocks.some((w) => w.type === 'slave' && w.cpu_id === id));
      const cpu = lcore === undefined ? undefined : this.#lcores.get(lcore);
      if (lcore === undefined || cpu === undefined) {
        this.#problems.push(
          problem(
            'error',
            0,
            'no lcore is left for the master',
            'every lcore behind "--" is a worker',
            'give one more, for instance by "--lcores 0@0,1@1"',
          ),
        );
        return undefined;
      }
      return { name: 'master', lcore, cpu, node: this.node(cpu) };
    }
    const { allowed, isolated } = this.#machine;
    const free = allowed.filter((id) => !workerCpus.includes(id));
    const cpu = free.find((id) => !isolated.includes(id)) ?? free[0] ?? allowed[0] ?? 0;
    return { name: 'master', lcore: 0, cpu, node: this.node(cpu) };
  }
}

/** As many workers as somebody asked for by queue numbers, otherwise as many as there are CPUs to spare; queue i is worker i's. */
function defaultThreads(
  place: Placement,
  ports: Port[],
  given: Thread | undefined,
  lcores: Map<number, number> | undefined,
): { master: Thread; workers: ForwardingWorker[] } | undefined {
  const master = given ?? place.defaultMaster([]);
  if (!master) return undefined;
  const queues = (port: Port) => Math.min(port.mostRx, port.mostTx);
  const asked = ports.filter((port) => port.chosen).map(queues);
  const most = Math.min(...ports.map(queues));
  const virtual = ports.every((port) => port.virtual);
  const spare = lcores
    ? [...lcores.keys()].filter((id) => id !== master.lcore).sort((a, b) => a - b)
    : place.spare([master.cpu], ports.find((port) => port.node !== undefined)?.node);
  const count =
    asked.length > 0
      ? Math.min(...asked)
      : Math.max(1, Math.min(spare.length, most, virtual ? MOST_ON_VIRTUAL_PORTS : MOST_ON_NICS));
  const workers: ForwardingWorker[] = [];
  for (let i = 0; i < count; i++) {
    let lcore = i + 1;
    let cpu: number;
    if (lcores) {
      const id = spare[i];
      if (id === undefined) break;
      lcore = id;
      cpu = lcores.get(id) ?? 0;
    } else {
      // With fewer CPUs than workers, the master's, which mostly sleeps, is shared before a worker's.
      const order = [...spare, master.cpu];
      cpu = order[i % order.length]!;
    }
    workers.push({
      name: `worker${i}`,
      lcore,
      cpu,
      node: place.node(cpu),
      queues: ports.map((port) => ({ port: port.name, rx: i, tx: i })),
    });
  }
  return { master, workers };
}

/** The threads as the worker blocks have them. */
function writtenThreads(
  place: Placement,
  slaves: Worker[],
  ports: Port[],
  given: Thread | undefined,
  lcores: Map<number, number> | undefined,
  conf: Conf,
  problems: Problem[],
): { master: Thread; workers: ForwardingWorker[] } | undefined {
  const workers: ForwardingWorker[] = [];
  for (const [index, block] of slaves.entries()) {
    const cpu = place.cpuOf(block);
    if (cpu === undefined) continue;
    const lcore = lcores ? block.cpu_id! : index + 1;
    const queues: Queue[] = [];
    for (const use of block.port) {
      const line = place.line(block, `port ${use.name}`);
      if (!ports.some((port) => port.name === use.name)) {
        const bond = conf.model.netif_defs.bonding.find((one) => one.slave.includes(use.name));
        const known = conf.model.netif_defs.device.some((device) => device.name === use.name);
        if (bond || !known) {
          problems.push(
            problem(
              'error',
              line,
              `port ${use.name} of worker ${block.name}`,
              bond ? `it is a slave of ${bond.name}` : 'there is no such device',
              bond
                ? `write "port ${bond.name}"`
                : `write one of: ${ports.map((port) => port.name).join(' ')}`,
            ),
          );
        }
        continue;
      }
      if (use.rx_queue_ids.length === 0 && use.tx_queue_ids.length === 0) {
        problems.push(
          problem(
            'error',
            line,
            `port ${use.name} of worker ${block.name}`,
            'it names no queue',
            `write "rx_queue_ids ${index}" and "tx_queue_ids ${index}" in it`,
          ),
        );
        continue;
      }
      if (use.tx_queue_ids.length > 1) {
        problems.push(
          problem(
            'note',
            line,
            `worker ${block.name} sends to queue ${use.tx_queue_ids[0]} of ${use.name} only`,
            'one sending queue of a port is enough for one CPU',
            'name one',
          ),
        );
      }
      // -1: the next free one, found below when all written ones are known.
      const tx = use.tx_queue_ids[0] ?? -1;
      if (use.rx_queue_ids.length === 0) queues.push({ port: use.name, tx });
      for (const rx of use.rx_queue_ids) queues.push({ port: use.name, rx, tx });
    }
    workers.push({ name: block.name, lcore, cpu, node: place.node(cpu), queues });
  }
  const master = given ?? place.defaultMaster(workers.map((worker) => worker.cpu));
  if (!master) return undefined;
  if (!given) {
    problems.push(
      problem(
        'note',
        0,
        `the master runs on CPU ${master.cpu}`,
        'no worker block is of type master',
        'add "worker NAME { type master; cpu_id N }" (on lines of their own) to choose',
      ),
    );
  }
  for (const port of ports) fillPort(port, workers, problems, conf);
  return { master, workers };
}

/** Gives every worker a queue of a port that no block mentions, and a sending queue where a block left it out. */
function fillPort(port: Port, workers: ForwardingWorker[], problems: Problem[], conf: Conf): void {
  const users = workers.filter((worker) => worker.queues.some((queue) => queue.port === port.name));
  if (users.length === 0 && workers.length > 0) {
    const some = workers.slice(0, Math.min(port.mostRx, port.mostTx));
    for (const [i, worker] of some.entries()) worker.queues.push({ port: port.name, rx: i, tx: i });
    problems.push(
      problem(
        'note',
        conf.lines.get(port.path) ?? 0,
        `device ${port.name}`,
        'no worker block mentions it',
        `queue N of it goes to worker N (${some.length} of ${workers.length} workers)`,
      ),
    );
    return;
  }
  const taken = new Set(
    workers.flatMap((w) => w.queues.filter((q) => q.port === port.name).map((q) => q.tx)),
  );
  for (const worker of users) {
    const open = worker.queues.filter((queue) => queue.port === port.name && queue.tx < 0);
    if (open.length === 0) continue;
    let free = 0;
    while (taken.has(free)) free++;
    taken.add(free);
    for (const queue of open) queue.tx = free;
  }
}

/** Every queue has exactly one worker, none is left out, and there are no more than the port has. */
function checkQueues(
  port: Port,
  workers: ForwardingWorker[],
  conf: Conf,
  problems: Problem[],
): { rx: number; tx: number } {
  const at = (worker: string) =>
    conf.lines.get(`worker_defs/worker ${worker}/port ${port.name}`) ??
    conf.lines.get(`worker_defs/worker ${worker}`) ??
    conf.lines.get(port.path) ??
    0;
  const rx = new Map<number, string>();
  const tx = new Map<number, string>();
  for (const worker of workers) {
    for (const queue of worker.queues) {
      if (queue.port !== port.name) continue;
      const uses: ['rx' | 'tx', number | undefined, Map<number, string>][] = [
        ['rx', queue.rx, rx],
        ['tx', queue.tx, tx],
      ];
      for (const [kind, id, owners] of uses) {
        if (id === undefined) continue;
        const other = owners.get(id);
        if (other !== undefined && (other !== worker.name || kind === 'rx')) {
          problems.push(
            problem(
              'error',
              at(worker.name),
              `${kind} queue ${id} of ${port.name}`,
              `worker ${other} has it already`,
              'give each queue to one worker',
            ),
          );
        }
        owners.set(id, worker.name);
      }
    }
  }
  const count = (owners: Map<number, string>) => Math.max(-1, ...owners.keys()) + 1;
  const line = conf.lines.get(port.path) ?? 0;
  if (rx.size === 0) {
    problems.push(
      problem(
        'error',
        line,
        `device ${port.name}`,
        'no worker receives from it',
        `add "port ${port.name} { rx_queue_ids 0 }" to a worker`,
      ),
    );
  }
  const gaps = Array.from({ length: count(rx) }, (_, id) => id).filter((id) => !rx.has(id));
  if (gaps.length > 0) {
    problems.push(
      problem(
        'error',
        line,
        `rx queue ${writeList(gaps)} of ${port.name}`,
        'no worker receives from it, and what the NIC puts there would be lost',
        'number the queues of a port from 0 without gaps',
      ),
    );
  }
  for (const [kind, need, most] of [
    ['rx', count(rx), port.mostRx],
    ['tx', count(tx), port.mostTx],
  ] as const) {
    if (need <= most) continue;
    const key = port.binding.bus === 'vdev' ? queueArgument(port.binding.text) : undefined;
    const { queue_number: written } = port.device[kind];
    const byItem = written !== 0 && written < need;
    problems.push(
      problem(
        'error',
        conf.lines.get(byItem ? `${port.path}/${kind}/queue_number` : `${port.path}/vdev`) ?? line,
        `device ${port.name} has ${most} ${kind} queue${most === 1 ? '' : 's'}`,
        `the workers want ${need}`,
        byItem
          ? `write "queue_number ${need}" in its ${kind} block`
          : key
            ? `write "${key}=${need}" in its vdev, or leave ${key} out`
            : 'use fewer workers',
      ),
    );
    // The other direction would only say the same.
    if (!byItem) break;
  }
  return { rx: count(rx), tx: count(tx) };
}

/** Says who shares a CPU, and who works far from its card. */
function adviseOnCpus(
  master: Thread,
  workers: ForwardingWorker[],
  ports: Port[],
  poll: boolean,
  problems: Problem[],
): void {
  const byCpu = new Map<number, string[]>();
  for (const thread of [master, ...workers]) {
    byCpu.set(thread.cpu, [...(byCpu.get(thread.cpu) ?? []), thread.name]);
  }
  for (const [cpu, names] of byCpu) {
    if (names.length < 2) continue;
    problems.push(
      problem(
        'warning',
        0,
        `${names.slice(0, -1).join(', ')} and ${names.at(-1)} share CPU ${cpu}`,
        poll
          ? 'a polling worker leaves the others waiting for whole time slices'
          : 'they take turns, which costs speed',
        `give each a cpu_id of its own${poll ? ', or write "idle_policy adaptive"' : ''}`,
      ),
    );
  }
  for (const port of ports) {
    if (port.node === undefined) continue;
    const far = workers.filter(
      (worker) => worker.node !== port.node && worker.queues.some((q) => q.port === port.name),
    );
    if (far.length === 0) continue;
    problems.push(
      problem(
        'warning',
        0,
        `${far.map((worker) => worker.name).join(' ')} and ${port.name} are on different NUMA nodes`,
        `each packet crosses between the sockets (the card is on node ${port.node})`,
        `use CPUs of node ${port.node}`,
      ),
    );
  }
}

/**
 * Decides which thread runs where and which queues are whose.
 * @param lcores lcore to CPU as given behind `--`; undefined when nothing is given and the planner numbers them itself
 * @returns undefined when it cannot be done; the reasons are in `problems`
 */
export function planThreads(
  conf: Conf,
  machine: Machine,
  ports: Port[],
  options: EalOption[],
  lcores: Map<number, number> | undefined,
  poll: boolean,
  problems: Problem[],
): Threads | undefined {
  const place = new Placement(conf, machine, lcores, options, problems);
  const blocks = conf.model.worker_defs.worker;
  const masters = blocks.filter((block) => block.type === 'master');
  const slaves = blocks.filter((block) => block.type === 'slave');
  for (const extra of masters.slice(1)) {
    problems.push(
      problem(
        'error',
        place.line(extra),
        `worker ${extra.name}`,
        `${masters[0]!.name} is the master already`,
        'write "type slave" for all others',
      ),
    );
  }
  for (const block of blocks.filter((one) => one.type === 'kni')) {
    problems.push(
      problem(
        'note',
        place.line(block),
        `worker ${block.name} is left out`,
        'the master serves the kernel twins',
        'take the block away, and its CPU is free for a slave',
      ),
    );
  }
  let master: Thread | undefined;
  if (masters[0]) {
    const cpu = place.cpuOf(masters[0]);
    if (cpu === undefined) {
      // Nothing will come of it, but the other workers' mistakes are worth telling at once.
      for (const slave of slaves) place.cpuOf(slave);
      return undefined;
    }
    master = { name: masters[0].name, lcore: lcores ? masters[0].cpu_id! : 0, cpu, node: place.node(cpu) };
  }
  if (ports.length === 0) return undefined;
  const threads =
    slaves.length === 0
      ? defaultThreads(place, ports, master, lcores)
      : writtenThreads(place, slaves, ports, master, lcores, conf, problems);
  if (!threads) return undefined;
  if (threads.workers.length === 0) {
    if (slaves.length === 0) {
      problems.push(
        problem(
          'error',
          0,
          'no lcore is left for a worker',
          'the lcores behind "--" are the master alone',
          'give one more, for instance by "-l 0-1"',
        ),
      );
    }
    return undefined;
  }
  const rxq = new Map<string, number>();
  const txq = new Map<string, number>();
  for (const port of ports) {
    const counts = checkQueues(port, threads.workers, conf, problems);
    rxq.set(port.name, counts.rx);
    txq.set(port.name, counts.tx);
    const deaf = threads.workers.filter((worker) => !worker.queues.some((queue) => queue.port === port.name));
    if (deaf.length > 0 && counts.rx > 0) {
      problems.push(
        problem(
          'warning',
          conf.lines.get(port.path) ?? 0,
          `${deaf.map((worker) => worker.name).join(' ')} cannot send to ${port.name}`,
          'a worker needs a queue of every port that its packets leave by',
          `add "port ${port.name} { tx_queue_ids N }" to each`,
        ),
      );
    }
  }
  adviseOnCpus(threads.master, threads.workers, ports, poll, problems);
  return { ...threads, rxq, txq };
}
