import type { Conf } from '../conf/parse.js';
import { hasErrors, type Problem, problem } from '../conf/problem.js';
import type { Machine } from '../machine.js';
import { type EalOption, has, readEalOptions, readLcores, valuesOf, writeEalOption } from './eal.js';
import { type Memory, planMemory } from './memory.js';
import { type Binding, type Port, planPorts, twinName } from './ports.js';
import { vdevName, withQueues } from './vdev.js';
import { type ForwardingWorker, planThreads, type Thread, type Threads } from './workers.js';

/** Bounds of the native process (dpvsd/native/core/base.h). */
const MOST_PORTS = 32;
const MOST_WORKERS = 64;

/** A port as it will be set up. Its place in the list is its number in the settings of the native process. */
export interface PlannedPort {
  name: string;
  bus: 'pci' | 'vdev';
  /** PCI address, or name of the virtual device: what DPDK knows the port by. */
  device: string;
  /** Devices that it is bonded from. */
  members: string[];
  node: number | undefined;
  rxq: number;
  txq: number;
  rxd: number;
  txd: number;
  burst: number;
  mtu: number;
  promisc: boolean;
  allmulti: boolean;
  kni: string | undefined;
  rss: string[];
}

/** What will run where: everything that the native process and EAL have to be told. */
export interface Plan {
  idle: 'poll' | 'adaptive';
  master: Thread;
  workers: ForwardingWorker[];
  ports: PlannedPort[];
  /** What the kernel twins are, of those ports that have one. */
  twinKind: 'tap' | 'virtio-user';
  memory: Memory;
  /** EAL's options, the operator's own among them, without the program's name. */
  eal: string[];
}

/** EAL's words for the plan. What the operator wrote behind `--` wins over what would be chosen here. */
function ealLine(ports: Port[], threads: Threads, memory: Memory, options: EalOption[]): string[] {
  const line: string[] = [];
  const add = (name: string, value?: string) =>
    line.push(...writeEalOption(value === undefined ? { name } : { name, value }));
  if (!has(options, '-l', '-c', '--lcores')) {
    add(
      '--lcores',
      [threads.master, ...threads.workers].map(({ lcore, cpu }) => `${lcore}@${cpu}`).join(','),
    );
  }
  if (!has(options, '--main-lcore')) add('--main-lcore', String(threads.master.lcore));
  const noHuge = !memory.hugepages || has(options, '--no-huge');
  // Nothing of the process stays behind, even after kill -9, and instances need no names of their own. DPDK takes --in-memory with
  // hugepages only; without them nothing but the shared configuration would be a file.
  if (
    !has(
      options,
      '--in-memory',
      '--no-shconf',
      '--legacy-mem',
      '--huge-unlink',
      '--proc-type',
      '--file-prefix',
    )
  ) {
    add(noHuge ? '--no-shconf' : '--in-memory');
    // Otherwise each hugepage of 2 MB takes a descriptor: 16 GB would take 8,192.
    if (!noHuge && !has(options, '--single-file-segments')) add('--single-file-segments');
  }
  if (!has(options, '--telemetry', '--no-telemetry')) add('--no-telemetry');
  if (noHuge && !has(options, '--no-huge')) add('--no-huge');
  if (!has(options, '-m', '--socket-mem')) {
    const nodes = [...memory.perNode.keys()];
    if (!noHuge && nodes.length > 1) {
      const all = Array.from({ length: Math.max(...nodes) + 1 }, (_, node) => memory.perNode.get(node) ?? 0);
      add('--socket-mem', all.join(','));
    } else add('-m', String(memory.megabytes));
  }

  const bindings: { binding: Binding; queues: number }[] = ports.flatMap((port) => {
    const queues = Math.max(threads.rxq.get(port.name) ?? 1, threads.txq.get(port.name) ?? 1);
    return [...port.members, port].map(({ binding }) => ({ binding, queues }));
  });
  const cards = bindings.flatMap(({ binding }) => (binding.bus === 'pci' ? [binding] : []));
  for (const card of cards)
    add('--allow', [card.address, ...(card.arguments ? [card.arguments] : [])].join(','));
  const planned = new Set(cards.map((card) => card.address));
  const others = valuesOf(options, '--allow').filter(
    (value) =>
      ![...planned].some((address) =>
        value
          .toLowerCase()
          .split(',')[0]!
          .endsWith(address.replace(/^0000:/, '')),
      ),
  );
  if (cards.length === 0 && others.length === 0 && !has(options, '--no-pci', '--block')) add('--no-pci');
  const virtual = bindings.flatMap(({ binding, queues }) =>
    binding.bus === 'vdev' ? [withQueues(binding.text, queues)] : [],
  );
  for (const text of virtual) add('--vdev', text);

  // The operator's: without the cards and virtual devices that became ports above.
  const names = new Set(virtual.map(vdevName));
  for (const option of options) {
    if (option.name === '--allow' && !others.includes(option.value ?? '')) continue;
    if (option.name === '--vdev' && names.has(vdevName(option.value ?? ''))) continue;
    line.push(...writeEalOption(option));
  }
  return line;
}

/**
 * Turns a configuration into what will run on this machine.
 * @param words what stands behind `--` on the command line
 * @param running the plan is for comparing with a process that runs already and has its memory: what is left does not matter
 * @returns the plan, unless something is wrong; and all that there is to say, the faults of the file first
 */
export function makePlan(
  conf: Conf,
  machine: Machine,
  words: string[],
  { running = false }: { running?: boolean } = {},
): { plan?: Plan; problems: Problem[] } {
  const found: Problem[] = [];
  const options = readEalOptions(words, found);
  const lcores = readLcores(options, found);
  const ports = planPorts(conf, machine, options, found);
  const virtual = ports.every((port) => port.virtual);
  const idle = conf.model.global_defs.idle_policy ?? (virtual ? 'adaptive' : 'poll');
  const threads = planThreads(conf, machine, ports, options, lcores, idle === 'poll', found);
  for (const [what, count, most] of [
    ['ports', ports.length, MOST_PORTS],
    ['workers', threads?.workers.length ?? 0, MOST_WORKERS],
  ] as const) {
    if (count <= most) continue;
    found.push(
      problem(
        'error',
        0,
        `${count} ${what}`,
        `one process takes at most ${most}`,
        'divide them among several instances',
      ),
    );
  }
  const { kni, kni_kind: asked } = conf.model.global_defs;
  const twinKind = asked === 'auto' ? 'tap' : asked;
  if (kni && twinKind === 'virtio-user' && !machine.vhostNet) {
    found.push(
      problem(
        'error',
        conf.lines.get('global_defs/kni_kind') ?? 0,
        'kni_kind virtio-user',
        '/dev/vhost-net is missing',
        'run "modprobe vhost_net", or write "kni_kind tap"',
      ),
    );
  }
  const memory = threads && planMemory(conf, machine, ports, threads, running ? [] : found);
  const problems = [...conf.problems, ...found.sort((a, b) => a.line - b.line)];
  if (!threads || !memory || hasErrors(problems)) return { problems };
  const plan: Plan = {
    idle,
    master: threads.master,
    workers: threads.workers,
    twinKind,
    memory,
    ports: ports.map((port) => ({
      name: port.name,
      bus: port.binding.bus,
      device: port.binding.bus === 'pci' ? port.binding.address : vdevName(port.binding.text),
      members: port.members.map((member) => member.name),
      node: port.node,
      rxq: threads.rxq.get(port.name) ?? 0,
      txq: threads.txq.get(port.name) ?? 0,
      rxd: port.device.rx.descriptor_number,
      txd: port.device.tx.descriptor_number,
      burst: port.device.rx.max_burst_size,
      mtu: port.device.mtu,
      promisc: port.device.promisc_mode,
      allmulti: port.device.allmulticast,
      kni: kni ? twinName(port) : undefined,
      rss: port.device.rx.rss,
    })),
    eal: ealLine(ports, threads, memory, options),
  };
  return { plan, problems };
}
