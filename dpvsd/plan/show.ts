import type { Conf } from '../conf/parse.js';
import { writeList } from '../machine.js';
import type { Plan } from './plan.js';
import type { Queue } from './workers.js';

/** Columns as wide as their widest cell, two blanks between. */
function table(rows: string[][]): string[] {
  const widths = (rows[0] ?? []).map((_, column) => Math.max(...rows.map((row) => row[column]?.length ?? 0)));
  return rows.map((row) => `  ${row.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ')}`.trimEnd());
}

/** `dpdk0: rx 0-1 tx 0`. */
function queuesOf(queues: Queue[]): string {
  const ports = [...new Set(queues.map((queue) => queue.port))];
  return ports
    .map((port) => {
      const mine = queues.filter((queue) => queue.port === port);
      const rx = mine.flatMap((queue) => (queue.rx === undefined ? [] : [queue.rx]));
      return `${port} rx ${rx.length > 0 ? writeList(rx) : 'none'} tx ${writeList(mine.map((queue) => queue.tx))}`;
    })
    .join(', ');
}

/** A word as a shell would need it. */
export const shellWord = (word: string): string =>
  /^[\w@%+=:,./-]+$/.test(word) ? word : `'${word.replaceAll("'", "'\\''")}'`;

/** The plan in the form that `-t` prints. */
export function showPlan(plan: Plan, conf: Conf): string {
  const { memory } = plan;
  const nodes =
    memory.hugepages && memory.perNode.size > 1
      ? ` (${[...memory.perNode].map(([node, megabytes]) => `node ${node}: ${megabytes} MB`).join(', ')})`
      : '';
  const lines = [
    'Ports',
    ...table([
      ['name', 'device', 'rx queues', 'tx queues', 'descriptors', 'mtu', 'kernel twin', 'node'],
      ...plan.ports.map((port) => [
        port.name,
        `${port.device}${port.members.length > 0 ? ` (${port.members.join(' + ')})` : ''}`,
        String(port.rxq),
        String(port.txq),
        `${port.rxd}/${port.txd}`,
        port.mtu === 0 ? "device's" : String(port.mtu),
        port.kni ?? 'none',
        port.node === undefined ? '-' : String(port.node),
      ]),
    ]),
    'Threads',
    ...table([
      ['name', 'role', 'lcore', 'CPU', 'node', 'queues'],
      [
        plan.master.name,
        'master',
        String(plan.master.lcore),
        String(plan.master.cpu),
        String(plan.master.node),
        'control, kernel twins',
      ],
      ...plan.workers.map((worker) => [
        worker.name,
        'worker',
        String(worker.lcore),
        String(worker.cpu),
        String(worker.node),
        queuesOf(worker.queues),
      ]),
    ]),
    `Idle policy: ${plan.idle}`,
    `Memory: ${memory.megabytes} MB of ${memory.hugepages ? 'hugepages' : 'ordinary memory'}${nodes}`,
    ...memory.parts.map((part) => `  ${part.megabytes} MB for ${part.what}`),
    `EAL: ${plan.eal.map(shellWord).join(' ')}`,
  ];
  if (conf.without.length > 0) {
    lines.push('Accepted without effect');
    lines.push(
      ...conf.without.map(({ path, line, why }) => `  line ${line}: ${path.split('/').at(-1)}: ${why}`),
    );
  }
  return `${lines.join('\n')}\n`;
}
