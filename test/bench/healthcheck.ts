import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import type { Bench, BenchOptions, Figure } from './bench.js';

/**
 * Tens of thousands of servers checked by this suite and by Debian's keepalived, one after the other in one run, in a network namespace
 * of their own. Rate and regularity are counted by the peers (check-peers.c), CPU time and memory are read from /proc, for both alike.
 */

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');

interface Scale {
  servers: number;
  /** delay_loop, milliseconds. */
  period: number;
}

interface Program {
  name: string;
  command: string[];
  env: NodeJS.ProcessEnv;
}

export const healthcheck: Bench = {
  name: 'healthcheck',
  about: 'health checks: 10,000 and 50,000 servers, TCP and UDP, beside Debian’s keepalived',
  async run(options) {
    const folder = mkdtempSync(join(tmpdir(), `bench-checks-${process.pid}-`));
    const namespace = `checks-${process.pid}`;
    try {
      return await measureAll(folder, namespace, options);
    } finally {
      spawnSync('ip', ['netns', 'del', namespace], { stdio: 'ignore' });
      rmSync(folder, { recursive: true, force: true });
    }
  },
};

async function measureAll(folder: string, namespace: string, options: BenchOptions): Promise<Figure[]> {
  const { quick, only } = options;
  must('ip', ['netns', 'add', namespace]);
  must('ip', ['-n', namespace, 'link', 'set', 'lo', 'up']);
  // All of 127.0.0.0/8 answers; nothing here may wait for ports in TIME_WAIT.
  must('ip', ['netns', 'exec', namespace, 'sysctl', '-qw', 'net.ipv4.ip_local_port_range=1024 65000']);
  const peers = join(folder, 'check-peers');
  must('gcc', ['-O2', '-o', peers, join(root, 'test', 'bench', 'check-peers.c')]);
  const programs: Program[] = [
    { name: 'ours', command: [process.execPath, join(root, 'bin', 'keepalived')], env: process.env },
  ];
  if (existsSync('/usr/sbin/keepalived')) {
    const recorder = join(folder, 'ipvs-recorder.so');
    const source = join(root, 'test', 'scenarios', 'healthcheck', 'ipvs-recorder.c');
    must('gcc', ['-shared', '-fPIC', '-O1', '-o', recorder, source, '-ldl']);
    programs.push({
      name: 'keepalived',
      command: ['/usr/sbin/keepalived'],
      env: { ...process.env, LD_PRELOAD: recorder },
    });
  } else console.error('bench: keepalived is not installed: nothing to compare with');
  const scales: Scale[] = quick
    ? [{ servers: 10_000, period: 5000 }]
    : [
        { servers: 10_000, period: 2000 },
        { servers: 10_000, period: 1000 },
        { servers: 50_000, period: 5000 },
      ];
  const pairs = scales
    .flatMap((scale) => (['TCP', 'UDP'] as const).map((kind) => ({ scale, kind })))
    .filter(({ scale, kind }) => only === undefined || describe(scale, kind).includes(only));
  if (pairs.length === 0) throw new Error(`nothing is called '${only}'`);
  const bed: Bed = {
    folder,
    namespace,
    peers,
    duration: quick ? 5000 : 10_000,
    deadline: performance.now() + (quick ? QUICK_LIMIT : LIMIT),
  };
  const figures: Figure[] = [];
  let failures = 0;
  for (const { scale, kind } of pairs) {
    try {
      figures.push(...(await measurePair(bed, programs, scale, kind)));
    } catch (error) {
      // What others have shown is worth having all the same.
      failures++;
      const reason = (error as Error).message;
      console.error(`bench: healthcheck: ${describe(scale, kind)}: ${reason}`);
      figures.push({ case: `FAILED, ${describe(scale, kind)}`, values: { reason } });
    }
    options.partial?.(figures);
  }
  if (failures === pairs.length) throw new Error('nothing could be measured');
  return figures;
}

/** No measurement begins that would end later than this after the start, milliseconds. */
const LIMIT = 14 * 60_000;
const QUICK_LIMIT = 4 * 60_000;
/** What starting, ending and a busy machine add to one measurement at most, as a rule; milliseconds. */
const MARGIN = 30_000;

function describe({ servers, period }: Scale, kind: string): string {
  return `${servers} servers, ${kind}, every ${period / 1000} s`;
}

/** Where it all happens. */
interface Bed {
  folder: string;
  namespace: string;
  /** The compiled check-peers. */
  peers: string;
  /** Of one measurement, milliseconds. */
  duration: number;
  /** On the clock of performance.now(). */
  deadline: number;
}

/** Part of the wanted rate below which a program did something else than it was asked for: its cost says nothing then. */
const ENOUGH = 0.8;
/** How often a pair is tried, each time at half the rate. */
const ATTEMPTS = 3;

/**
 * All programs one after the other at one scale. Only programs that keep up with the same rate can be compared: on a machine that is
 * too busy or too small for it the whole pair is measured again at half the rate.
 */
async function measurePair(
  bed: Bed,
  programs: Program[],
  wanted: Scale,
  kind: 'TCP' | 'UDP',
): Promise<Figure[]> {
  for (let attempt = 1; ; attempt++) {
    const scale = { servers: wanted.servers, period: wanted.period * 2 ** (attempt - 1) };
    const every = describe(scale, kind);
    const measured: Measured[] = [];
    for (const program of programs) {
      const expected = warmUp(scale) + duration(bed, scale);
      if (performance.now() + expected + MARGIN > bed.deadline)
        throw new Error('there was no time left for it');
      console.error(`bench: healthcheck: ${program.name}, ${every}: about ${Math.round(expected / 1000)} s`);
      const one = await measure(bed, program, scale, kind);
      measured.push(one);
      console.error(`bench: healthcheck: ${JSON.stringify(one.values)}`);
      // There is nothing to compare with any more.
      if (measured.at(-1)!.kept < ENOUGH && attempt < ATTEMPTS) break;
    }
    const behind = measured.find(({ kept }) => kept < ENOUGH);
    if (behind && attempt < ATTEMPTS) {
      const part = Math.round(behind.kept * 100);
      console.error(`bench: healthcheck: only ${part} % of the checks were made: again at half the rate`);
      continue;
    }
    const figures = measured.map(({ values }, index) => ({
      case: `${programs[index]!.name}, ${every}`,
      values,
    }));
    const [ours, theirs] = measured;
    if (!ours || !theirs) return figures;
    const ratio = (of: (one: Measured) => number) => Math.round((of(ours) / of(theirs)) * 100) / 100;
    const verdict = behind ? 'NOT COMPARABLE, the machine is too busy' : 'ours / keepalived';
    figures.push({
      case: `${verdict}, ${every}`,
      values: {
        'CPU us/check': ratio(({ microseconds }) => microseconds),
        'RSS MB': ratio(({ values }) => values['RSS MB'] as number),
        'own MB': ratio(({ values }) => values['own MB'] as number),
      },
    });
    return figures;
  }
}

interface Measured {
  /** Checks made as a part of those wanted. */
  kept: number;
  /** CPU time of one check, microseconds. */
  microseconds: number;
  values: Figure['values'];
}

/** Warm-up spreads the first checks over one period; then one more, so that all is steady. */
function warmUp({ period }: Scale): number {
  return 2 * period + 3000;
}

function duration(bed: Bed, { period }: Scale): number {
  return Math.max(bed.duration, 2 * period);
}

async function measure(bed: Bed, program: Program, scale: Scale, kind: 'TCP' | 'UDP'): Promise<Measured> {
  const { folder, namespace } = bed;
  const port = 9000;
  const file = join(folder, 'keepalived.conf');
  writeFileSync(file, configuration(scale, kind, port));
  const inside = (command: string[], env: NodeJS.ProcessEnv, output: 'pipe' | 'ignore') =>
    spawn('ip', ['netns', 'exec', namespace, ...command], { env, stdio: ['pipe', output, 'ignore'] });
  const peers = inside([bed.peers, String(port), String(scale.period)], process.env, 'pipe');
  const lines = createInterface(peers.stdout!)[Symbol.asyncIterator]();
  // Its end is seen by what it no longer answers.
  peers.stdin!.on('error', () => {});
  if ((await lines.next()).done) throw new Error('the peers did not start');
  const checkerPid = join(folder, 'checkers.pid');
  rmSync(checkerPid, { force: true });
  const started = performance.now();
  const child = inside(
    [...program.command, '-C', '-n', '-G', '-f', file, '-p', join(folder, 'parent.pid'), '-c', checkerPid],
    program.env,
    'ignore',
  );
  try {
    await until(() => existsSync(checkerPid), 'the checker to start');
    await sleep(warmUp(scale));
    const pid = Number(readFileSync(checkerPid, 'utf8'));
    if (!existsSync(`/proc/${pid}`)) throw new Error(`${program.name} has ended`);
    const report = async (order: string): Promise<Record<string, number>> => {
      peers.stdin!.write(order);
      const { done, value } = await lines.next();
      if (done) throw new Error('the peers have ended');
      return JSON.parse(value) as Record<string, number>;
    };
    peers.stdin!.write('reset\n');
    const before = cpuSeconds(pid);
    await sleep(duration(bed, scale));
    if (!existsSync(`/proc/${pid}`)) throw new Error(`${program.name} has ended`);
    const used = cpuSeconds(pid) - before;
    const { checks = 0, milliseconds = 1, p50 = 0, p99 = 0 } = await report('report\n');
    const wanted = (scale.servers / scale.period) * milliseconds;
    const microseconds = (used * 1e6) / Math.max(1, checks);
    return {
      kept: checks / wanted,
      microseconds,
      values: {
        checks,
        'checks/s': Math.round((checks / milliseconds) * 1000),
        'wanted/s': Math.round((scale.servers / scale.period) * 1000),
        'late p50 ms': p50,
        'late p99 ms': p99,
        'CPU %': Math.round((used / milliseconds) * 1e6) / 10,
        'CPU us/check': Math.round(microseconds * 10) / 10,
        'RSS MB': Math.round(memory(pid, 'status', 'VmRSS')),
        // Without what is shared with other processes: Node's program text is in memory once, and counted in each RSS.
        'own MB': Math.round(memory(pid, 'smaps_rollup', 'Pss')),
      },
    };
  } finally {
    await end(child);
    peers.stdin!.end();
    await end(peers);
    console.error(`bench: took ${Math.round((performance.now() - started) / 1000)} s`);
  }
}

/** Ten servers to a virtual server, each at an address of its own. */
function configuration({ servers, period }: Scale, kind: 'TCP' | 'UDP', port: number): string {
  const check =
    kind === 'TCP'
      ? 'TCP_CHECK {\n connect_timeout 2\n }'
      : 'UDP_CHECK {\n connect_timeout 2\n payload 70696e67\n require_reply 70696e67\n }';
  const text: string[] = ['global_defs {\n lvs_director dry-run\n script_user root\n}'];
  for (let first = 0; first < servers; first += 10) {
    const vip = `10.${(first >> 16) & 255}.${(first >> 8) & 255}.${first & 255}`;
    text.push(
      `virtual_server ${vip} 80 {\n delay_loop ${period / 1000}\n lb_algo rr\n lb_kind NAT\n protocol ${kind}`,
    );
    for (let index = first; index < Math.min(first + 10, servers); index++) {
      const address = `127.${1 + ((index >> 16) & 15)}.${(index >> 8) & 255}.${index & 255}`;
      text.push(` real_server ${address} ${port} {\n ${check}\n }`);
    }
    text.push('}');
  }
  return text.join('\n');
}

/** User and system time of a process so far, seconds. */
function cpuSeconds(pid: number): number {
  const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
    .replace(/^.*\) /, '')
    .split(' ');
  return (Number(fields[11]) + Number(fields[12])) / 100;
}

/** A line of a process's file in /proc that counts memory, in megabytes. */
function memory(pid: number, file: 'status' | 'smaps_rollup', name: string): number {
  const text = readFileSync(`/proc/${pid}/${file}`, 'utf8');
  return Number(new RegExp(`${name}:\\s*(\\d+)`).exec(text)?.[1] ?? 0) / 1024;
}

function must(command: string, words: string[]): void {
  const done = spawnSync(command, words, { encoding: 'utf8' });
  if (done.status !== 0) {
    throw new Error(`${command} ${words.join(' ')}: ${(done.stderr || done.error?.message || '').trim()}`);
  }
}

async function end(child: ChildProcess): Promise<void> {
  if (child.exitCode !== null || child.signalCode !== null) return;
  const gone = new Promise((resolve) => child.on('exit', resolve));
  child.kill('SIGTERM');
  const timer = setTimeout(() => child.kill('SIGKILL'), 20_000);
  await gone;
  clearTimeout(timer);
}

function sleep(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}

async function until(condition: () => boolean, what: string): Promise<void> {
  const limit = performance.now() + 60_000;
  while (!condition()) {
    if (performance.now() > limit) throw new Error(`waited in vain for ${what}`);
    await sleep(50);
  }
}
