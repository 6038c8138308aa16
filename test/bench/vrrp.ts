import { type ChildProcess, spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { addressDefaults } from '../../keepalived/model/vrrp.js';
import { Log } from '../../lib/log.js';
import { DataplaneAddresses } from '../../vrrp/dataplane-addresses.js';
import {
  instanceText,
  type Kind,
  type Node,
  Pair,
  pause,
  program,
  run,
  until,
  whyNoPair,
} from '../scenarios/vrrp/pair.js';
import type { Bench, BenchOptions, Figure } from './bench.js';
import { BenchDirector } from './director.js';

/**
 * Fail-over as a client sees it, beside Debian's keepalived in the same run: a UDP probe every millisecond from a third host, the
 * gap in its answers while the master crashes, is stopped, or loses its cable. Then the price of many instances, and whether
 * anybody takes over without need.
 */
export const vrrp: Bench = {
  name: 'vrrp',
  about:
    'VRRP: fail-over gaps, 255 instances, 1,000 addresses, steadiness at 10 ms, beside Debian’s keepalived',
  async run(options) {
    const reason = whyNoPair('keepalived', 'chrt');
    if (reason) throw new Error(reason);
    const { only = '' } = options;
    const figures: Figure[] = [];
    if ('gaps'.startsWith(only) || only.startsWith('gaps-')) figures.push(...(await gaps(options)));
    if ('instances'.startsWith(only)) figures.push(...(await manyInstances(options)));
    if ('addresses'.startsWith(only)) figures.push(...(await manyAddresses()));
    if ('steadiness'.startsWith(only)) figures.push(...(await steadiness(options)));
    return figures;
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

/** Starts a part of the measurement on a host: before everything else there, since what it does must not wait for its turn. */
function helper(node: Node, ...args: string[]): ChildProcess {
  const program = [process.execPath, '--max-semi-space-size=1', probeProgram, ...args];
  return spawn('ip', ['netns', 'exec', node.namespace, 'chrt', '--rr', '2', ...program], {
    stdio: ['ignore', 'pipe', 'inherit'],
  });
}

/**
 * The part of an interval between two adverts in which failures happen. Close to an advert the little by which a failure comes early or
 * late would decide whether that advert still leaves, which moves the gap by a whole interval.
 */
const PHASES = { first: 0.1, last: 0.9 };
/** What a failure takes from the order to its effect, milliseconds: a first guess, and how much each trial adds to what is known. */
const LEAD = { guess: 4, share: 1 / 4, most: 20 };
/** Node's timers are this inexact, milliseconds: what is left is waited for awake. */
const AWAKE = 2;

/** The clock of the probe's and the adverts' times, milliseconds. */
const now = () => Number(process.hrtime.bigint()) / 1e6;

/** A pair of one program, with answers on both hosts and the probe on the third. */
class Trial {
  readonly pair = new Pair();
  readonly kind: Kind;
  readonly #interval: number;
  readonly #helpers: ChildProcess[] = [];
  readonly #leads = new Map<Failure, number>();
  #longest = 0;
  /** The last answer before the longest gap. */
  #before = 0;
  #last = 0;
  #answeredBy = '';
  #onAdvert: (() => void) | undefined;
  /** The last advert of node a, and the first answer of node b after that. */
  #lastAdvert = { at: 0, priority: 0 };
  #taken = 0;

  constructor(kind: Kind, interval: number) {
    this.kind = kind;
    this.#interval = interval;
    for (const node of [this.pair.a, this.pair.b]) this.#helpers.push(helper(node, 'answer', node.name));
    const probe = helper(this.pair.c, 'probe', ADDRESS);
    createInterface({ input: probe.stdout! }).on('line', (line) => {
      // Time of each answer at the probe, and who gave it.
      const [at, by] = line.split(' ') as [string, string];
      const time = Number(at);
      if (this.#last > 0 && time - this.#last > this.#longest) {
        this.#longest = time - this.#last;
        this.#before = this.#last;
      }
      if (by === 'b' && this.#answeredBy !== 'b') this.#taken = time;
      this.#last = time;
      this.#answeredBy = by;
    });
    const adverts = helper(this.pair.c, 'adverts');
    createInterface({ input: adverts.stdout! }).on('line', (line) => {
      const [at, from, priority] = line.split(' ').map(Number) as [number, number, number];
      if (from !== 1) return;
      this.#lastAdvert = { at, priority };
      this.#onAdvert?.();
    });
    this.#helpers.push(probe, adverts);
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

  /**
   * @param phase when between two adverts it happens, 0 to 1
   * @returns the gap in milliseconds, and how long after its time the other node answered: what it does not owe to the moment
   */
  async once(failure: Failure, phase: number): Promise<{ gap: number; behind: number }> {
    await this.#answers('a');
    // The backup must have heard the master, and the probe a steady row of answers.
    await pause(Math.max(300, this.#interval * 1500));
    const ordered = await this.#moment(failure, phase);
    this.#longest = 0;
    await failure.happen(this.pair.a);
    await this.#answers('b');
    await pause(50);
    const gap = this.#longest;
    const took = this.#before - ordered;
    const known = this.#leads.get(failure) ?? LEAD.guess;
    if (took >= 0 && took < LEAD.most) this.#leads.set(failure, known + (took - known) * LEAD.share);
    const { at, priority } = this.#lastAdvert;
    const due = this.#interval * 1000 * ((priority === 0 ? 0 : 3) + (256 - 100) / 256);
    const behind = this.#taken - at - due;
    await failure.heal(this.pair.a, () => this.startA());
    return { gap, behind };
  }

  /**
   * Waits until a failure that is ordered now takes effect at the given phase.
   * @returns what time it is
   */
  async #moment(failure: Failure, phase: number): Promise<number> {
    await new Promise<void>((resolve) => {
      this.#onAdvert = resolve;
    });
    this.#onAdvert = undefined;
    const interval = this.#interval * 1000;
    const lead = this.#leads.get(failure) ?? LEAD.guess;
    let at = this.#lastAdvert.at + phase * interval - lead;
    while (at < now() + AWAKE) at += interval;
    await pause(at - now() - AWAKE);
    let time = now();
    while (time < at) time = now();
    return time;
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

async function gaps({ quick, only }: BenchOptions): Promise<Figure[]> {
  const figures: Figure[] = [];
  const chosen = Number(only?.replace(/^gaps-?/, '')) || undefined;
  for (const interval of chosen ? [chosen] : quick ? [0.1, 0.01] : [1, 0.1, 0.03, 0.01]) {
    const trials = quick ? 5 : interval >= 1 ? 7 : 15;
    // The two pairs take turns, so that the machine's moods hit both.
    const pairs = kinds.map((kind) => new Trial(kind, interval));
    try {
      for (const pair of pairs) await pair.begin();
      for (const failure of failures) {
        const found = new Map<Kind, { gap: number; behind: number }[]>(kinds.map((kind) => [kind, []]));
        for (let i = 0; i < trials; i++) {
          // A failure right before an advert is missed an interval earlier than one right after it: both programs get the same
          // moments, spread evenly, so that medians of few trials can be compared.
          const phase = PHASES.first + (PHASES.last - PHASES.first) * ((i + 0.5) / trials);
          for (const pair of pairs) found.get(pair.kind)!.push(await pair.once(failure, phase));
          if (interval >= 1)
            console.error(`  ${failure.name}, advert_int ${interval}: ${i + 1} of ${trials} trials`);
        }
        for (const kind of kinds) {
          const sorted = found
            .get(kind)!
            .map(({ gap }) => gap)
            .sort((a, b) => a - b);
          const behind = found
            .get(kind)!
            .map((one) => one.behind)
            .sort((a, b) => a - b);
          figures.push({
            case: `${failure.name}, advert_int ${interval}, ${kind}`,
            values: {
              'min ms': sorted[0]!,
              'median ms': sorted[sorted.length >> 1]!,
              'max ms': sorted.at(-1)!,
              'behind due, median ms': behind[behind.length >> 1]!,
              'behind due, max ms': behind.at(-1)!,
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

/** How long 1,000 addresses take from the decision to become master: in the kernel, and in a dataplane. */
async function manyAddresses(): Promise<Figure[]> {
  const figures: Figure[] = [];
  const texts = Array.from({ length: 1000 }, (_, i) => `10.77.${i >> 8}.${i & 255}`);
  const pair = new Pair();
  try {
    const excluded = texts.map((address) => `    ${address}/32\n`).join('');
    const block = instanceText({
      name: 'VI',
      id: 33,
      priority: 150,
      addresses: [ADDRESS],
      lines: ['version 3'],
    });
    pair.a.start('ours', block.replace(/}\n$/, `  virtual_ipaddress_excluded {\n${excluded}  }\n}\n`));
    await until(
      () => `a is master: ${pair.a.log}`,
      () => pair.a.log.includes('Entering MASTER STATE'),
    );
    pair.a.signal(Number(run(process.execPath, program, '--signum=JSON')));
    await until('the dump', () => pair.a.file('keepalived.json') !== '');
    const [state] = JSON.parse(pair.a.file('keepalived.json')) as { data: { take_over_ms: number } }[];
    figures.push({ case: '1,000 addresses in the kernel', values: { ms: state!.data.take_over_ms } });
  } finally {
    pair.remove();
  }
  const director = await BenchDirector.start({ connections: 65_536, hugepages: false });
  const log = new Log((_severity, line) => console.error(`  ${line}`));
  const sink = new DataplaneAddresses(log, () => ({ garpInterval: 0, gnaInterval: 0 }), director.ipc);
  try {
    await until('the dataplane answers', () => sink.available);
    const addresses = texts.map((address) => ({ spec: addressDefaults(address), interface: 'dpdk0' }));
    // As a backup does when it starts.
    sink.prepare(addresses);
    const start = performance.now();
    sink.add(addresses);
    await sink.flush();
    const owned = performance.now() - start;
    sink.announce(addresses, 1);
    await sink.flush();
    const announced = performance.now() - start;
    figures.push({
      case: '1,000 addresses in the dataplane',
      values: { ms: owned, 'announcements ordered ms': announced },
    });
  } finally {
    sink.close();
    await director.stop();
  }
  for (const { case: name, values } of figures) console.error(`  ${name}: ${JSON.stringify(values)}`);
  return figures;
}

/** Trackers of every kind that both programs have in a namespace, none of which ever changes. */
const trackers = `vrrp_script fine {
  script "/bin/true"
  interval 1
}
vrrp_track_file number {
  file /dev/null
}
`;
const tracking = [
  'track_script {',
  'fine',
  '}',
  'track_file {',
  'number',
  '}',
  'track_interface {',
  'eth1',
  '}',
];

function steadyText(kind: Kind, priority: number): string {
  const ours = kind === 'ours';
  const lines = ['state BACKUP', 'version 3', 'advert_int 0.01', ...tracking];
  // keepalived hears of processes by the kernel's connector, which is silent outside the first network namespace.
  if (ours) lines.push('track_process {', 'init', '}');
  return `${ours ? 'global_defs {\n  json_version 2\n}\nvrrp_track_process init {\n  process systemd\n  quorum 0\n  weight 1\n}\n' : ''}${trackers}${instanceText({ name: 'VI', id: 200, priority, addresses: [ADDRESS], lines })}`;
}

async function steadiness({ quick }: BenchOptions): Promise<Figure[]> {
  const seconds = quick ? 10 : 600;
  const figures: Figure[] = [];
  for (const kind of kinds) {
    const pair = new Pair();
    const adverts = helper(pair.c, 'adverts');
    try {
      let last = 0;
      let late: number[] = [];
      createInterface({ input: adverts.stdout! }).on('line', (line) => {
        const [at, from] = line.split(' ').map(Number) as [number, number, number];
        if (from !== 1) return;
        if (last > 0) late.push(at - last - 10);
        last = at;
      });
      pair.a.start(kind, steadyText(kind, 150));
      await until(
        () => `a is master: ${pair.a.log}`,
        () => pair.a.has(ADDRESS),
      );
      pair.b.start(kind, steadyText(kind, 100));
      await until(
        () => `b is backup: ${pair.b.log}`,
        () => pair.b.log.includes('Entering BACKUP'),
      );
      await pause(1000);
      const takeovers = () => pair.b.log.match(/Entering MASTER/g)?.length ?? 0;
      const before = takeovers();
      late = [];
      for (let passed = 0; passed < seconds; passed += 60) {
        if (passed > 0)
          console.error(`  ${kind}: ${passed} of ${seconds} s, take-overs: ${takeovers() - before}`);
        await pause(Math.min(60, seconds - passed) * 1000);
      }
      const sorted = late.sort((x, y) => x - y);
      const share = (of: number) => sorted[Math.min(sorted.length - 1, Math.floor(of * sorted.length))] ?? 0;
      figures.push({
        case: `false take-overs, advert_int 0.01, ${kind}`,
        values: {
          'take-overs': takeovers() - before,
          seconds,
          adverts: sorted.length,
          'late p50 ms': share(0.5),
          'late p99 ms': share(0.99),
          'late max ms': share(1),
          ...(kind === 'ours' ? await loopDelays(pair) : {}),
        },
      });
      console.error(`  ${figures.at(-1)!.case}: ${JSON.stringify(figures.at(-1)!.values)}`);
    } finally {
      adverts.kill('SIGKILL');
      pair.remove();
    }
  }
  return figures;
}

/** How late timers were, as our two processes tell. */
async function loopDelays(pair: Pair): Promise<Record<string, number>> {
  const values: Record<string, number> = {};
  const signal = Number(run(process.execPath, program, '--signum=JSON'));
  for (const [role, node] of [
    ['master', pair.a],
    ['backup', pair.b],
  ] as const) {
    node.signal(signal);
    await until('the dump', () => node.file('keepalived.json') !== '');
    const { event_loop: loop } = JSON.parse(node.file('keepalived.json')) as {
      event_loop: { p50_ms: number; p99_ms: number; max_ms: number };
    };
    values[`${role} timers p50 ms`] = loop.p50_ms;
    values[`${role} timers p99 ms`] = loop.p99_ms;
    values[`${role} timers max ms`] = loop.max_ms;
  }
  return values;
}
