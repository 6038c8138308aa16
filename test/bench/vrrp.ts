import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { instanceText, type Kind, type Node, Pair, pause, until, whyNoPair } from '../scenarios/vrrp/pair.js';
import type { Bench, BenchOptions, Figure } from './bench.js';

/**
 * Fail-over as a client sees it, beside Debian's keepalived in the same run: a UDP probe every millisecond from a third host, the
 * gap in its answers while the master crashes, is stopped, or loses its cable. Then the price of many instances, and whether
 * anybody takes over without need.
 */
export const vrrp: Bench = {
  name: 'vrrp',
  about: 'VRRP: fail-over gaps, 255 instances, steadiness at 10 ms, beside Debian’s keepalived',
  async run(options) {
    const reason = whyNoPair('keepalived');
    if (reason) throw new Error(reason);
    return [...(await gaps(options)), ...(await manyInstances(options)), ...(await steadiness(options))];
  },
};

const ADDRESS = '10.55.0.200';
const probeProgram = fileURLToPath(new URL('./vrrp-probe.js', import.meta.url));
const kinds: Kind[] = ['ours', 'keepalived'];

interface Failure {
  name: string;
  /** Makes node a fail. */
  happen(a: Node): Promise<void>;
  /** Makes node a come back. */
  heal(a: Node, start: () => void): Promise<void>;
}

const failures: Failure[] = [
  {
    name: 'node crash',
    async happen(a) {
      a.cable(false);
      await a.crash();
    },
    async heal(a, start) {
      // A machine that starts anew has no virtual addresses.
      if (a.has(ADDRESS)) a.ip('addr', 'del', `${ADDRESS}/32`, 'dev', 'eth0');
      a.cable(true);
      start();
    },
  },
  {
    name: 'SIGTERM',
    happen: (a) => a.stop(),
    async heal(_a, start) {
      start();
    },
  },
  {
    name: 'carrier loss',
    async happen(a) {
      a.cable(false);
    },
    async heal(a) {
      a.cable(true);
    },
  },
];

function configuration(interval: number, priority: number): string {
  return instanceText({
    name: 'VI',
    id: 200,
    priority,
    addresses: [ADDRESS],
    lines: ['state BACKUP', `version ${interval >= 1 ? 2 : 3}`, `advert_int ${interval}`],
  });
}

/** A pair of one program, with answers on both hosts and the probe on the third. */
class Trial {
  readonly pair = new Pair();
  readonly kind: Kind;
  readonly #interval: number;
  readonly #helpers: ChildProcess[] = [];
  #longest = 0;
  #last = 0;
  #answeredBy = '';

  constructor(kind: Kind, interval: number) {
    this.kind = kind;
    this.#interval = interval;
    for (const node of [this.pair.a, this.pair.b]) this.#helper(node, 'answer', node.name);
    const probe = this.#helper(this.pair.c, 'probe', ADDRESS);
    createInterface({ input: probe.stdout! }).on('line', (line) => {
      // Time of each answer at the probe, and who gave it.
      const [at, by] = line.split(' ') as [string, string];
      const time = Number(at);
      if (this.#last > 0) this.#longest = Math.max(this.#longest, time - this.#last);
      this.#last = time;
      this.#answeredBy = by;
    });
  }

  #helper(node: Node, ...args: string[]): ChildProcess {
    const child = spawn('ip', ['netns', 'exec', node.namespace, process.execPath, probeProgram, ...args], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    this.#helpers.push(child);
    return child;
  }

  startA(): void {
    this.pair.a.start(this.kind, configuration(this.#interval, 150));
  }

  async begin(): Promise<void> {
    this.startA();
    await this.#answers('a');
    this.pair.b.start(this.kind, configuration(this.#interval, 100));
    await until(
      () => `b is backup: ${this.pair.b.log}`,
      () => this.pair.b.log.includes('Entering BACKUP'),
    );
  }

  /** @returns the gap in milliseconds */
  async once(failure: Failure): Promise<number> {
    await this.#answers('a');
    // The backup must have heard the master, and the probe a steady row of answers.
    await pause(Math.max(300, this.#interval * 1500));
    // At any moment between two adverts: the rhythm of the trials must not fall into step with theirs.
    await pause(Math.random() * this.#interval * 1000);
    this.#longest = 0;
    await failure.happen(this.pair.a);
    await this.#answers('b');
    await pause(50);
    const gap = this.#longest;
    await failure.heal(this.pair.a, () => this.startA());
    return gap;
  }

  async #answers(by: string): Promise<void> {
    await until(
      () => `answers from ${by}\na: ${this.pair.a.log}\nb: ${this.pair.b.log}`,
      () => this.#answeredBy === by,
      30_000,
    );
  }

  remove(): void {
    for (const helper of this.#helpers) helper.kill('SIGKILL');
    this.pair.remove();
  }
}

async function gaps({ quick }: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  for (const interval of quick ? [0.1, 0.01] : [1, 0.1, 0.03, 0.01]) {
    const trials = quick ? 3 : interval >= 1 ? 5 : 11;
    // The two pairs take turns, so that the machine's moods hit both.
    const pairs = kinds.map((kind) => new Trial(kind, interval));
    try {
      for (const pair of pairs) await pair.begin();
      for (const failure of failures) {
        const found = new Map<Kind, number[]>(kinds.map((kind) => [kind, []]));
        for (let i = 0; i < trials; i++) {
          for (const pair of pairs) found.get(pair.kind)!.push(await pair.once(failure));
        }
        for (const kind of kinds) {
          const sorted = found.get(kind)!.sort((a, b) => a - b);
          figures.push({
            case: `${failure.name}, advert_int ${interval}, ${kind}`,
            values: {
              'min ms': sorted[0]!,
              'median ms': sorted[sorted.length >> 1]!,
              'max ms': sorted.at(-1)!,
              trials,
            },
          });
          console.error(`  ${figures.at(-1)!.case}: ${sorted.map((ms) => ms.toFixed(0)).join(' ')} ms`);
        }
      }
    } finally {
      for (const pair of pairs) pair.remove();
    }
  }
  return figures;
}

/** CPU time of a process and its children in milliseconds, and the memory that it uses, MB. */
function usage(pid: number): { cpu: number; memory: number } {
  const stat = readFileSync(`/proc/${pid}/stat`, 'latin1');
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const ticks = Number(fields[11]) + Number(fields[12]);
  const memory = Number(/VmRSS:\s+(\d+)/.exec(readFileSync(`/proc/${pid}/status`, 'latin1'))![1]) / 1024;
  return { cpu: ticks * 10, memory };
}

async function manyInstances({ quick }: BenchOptions): Promise<Figure[]> {
  const seconds = quick ? 5 : 20;
  const figures: Figure[] = [];
  const text = (priority: number) =>
    Array.from({ length: 255 }, (_, i) =>
      instanceText({
        name: `VI_${i + 1}`,
        id: i + 1,
        priority,
        addresses: [`10.66.0.${i + 1}`],
        lines: ['state BACKUP', 'version 3', 'advert_int 0.1'],
      }),
    ).join('');
  for (const kind of kinds) {
    const pair = new Pair();
    try {
      const start = performance.now();
      pair.a.start(kind, text(150));
      await until(
        () => `all are master: ${pair.a.log.slice(-2000)}`,
        () => pair.a.addresses().size >= 255,
        60_000,
      );
      const allMaster = performance.now() - start;
      pair.b.start(kind, text(100));
      await until('b is backup', () => (pair.b.log.match(/Entering BACKUP/g)?.length ?? 0) >= 255, 60_000);
      await pause(2000);
      const before = [usage(pair.a.worker), usage(pair.b.worker)];
      await pause(seconds * 1000);
      const after = [usage(pair.a.worker), usage(pair.b.worker)];
      const percent = (i: number) => ((after[i]!.cpu - before[i]!.cpu) / (seconds * 1000)) * 100;
      figures.push({
        case: `255 instances, advert_int 0.1, ${kind}`,
        values: {
          'master CPU %': percent(0),
          'backup CPU %': percent(1),
          'master MB': after[0]!.memory,
          'all master after ms': Math.round(allMaster),
        },
      });
      console.error(`  ${figures.at(-1)!.case}: ${JSON.stringify(figures.at(-1)!.values)}`);
    } finally {
      pair.remove();
    }
  }
  return figures;
}

async function steadiness({ quick }: BenchOptions): Promise<Figure[]> {
  const seconds = quick ? 10 : 600;
  const figures: Figure[] = [];
  for (const kind of kinds) {
    const pair = new Pair();
    try {
      pair.a.start(kind, configuration(0.01, 150));
      await until('a is master', () => pair.a.has(ADDRESS));
      pair.b.start(kind, configuration(0.01, 100));
      await until('b is backup', () => pair.b.log.includes('Entering BACKUP'));
      await pause(1000);
      const takeovers = () => pair.b.log.match(/Entering MASTER/g)?.length ?? 0;
      const before = takeovers();
      await pause(seconds * 1000);
      figures.push({
        case: `false take-overs, advert_int 0.01, ${kind}`,
        values: { 'take-overs': takeovers() - before, seconds },
      });
    } finally {
      pair.remove();
    }
  }
  return figures;
}
