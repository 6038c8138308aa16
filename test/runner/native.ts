import { existsSync, mkdirSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { add, nothing, type Outcome, single } from './outcome.js';
import { runProgram } from './program.js';

type OnLine = (line: string) => void;

/** Reads the lines `ok NAME`, `not ok NAME: reason`, `skip NAME: reason` that the C test programs print. */
export function readTestLines(program: string, output: string): Outcome {
  const outcome = nothing();
  // What a test printed before its verdict belongs to it.
  let before: string[] = [];
  for (const line of output.split('\n')) {
    const verdict = /^(ok|not ok|skip) (.*)$/.exec(line);
    if (!verdict) {
      if (line !== '') before.push(line);
      continue;
    }
    const [, kind, rest = ''] = verdict;
    const colon = rest.indexOf(': ');
    const name = `${program}: ${colon < 0 || kind === 'ok' ? rest : rest.slice(0, colon)}`;
    const reason = colon < 0 ? '' : rest.slice(colon + 2);
    if (kind === 'ok') outcome.passed++;
    else if (kind === 'skip') outcome.skipped.push({ name, reason: reason || 'no reason given' });
    else outcome.failed.push({ name, output: [reason, ...before].join('\n') });
    before = [];
  }
  return outcome;
}

async function runTestProgram(root: string, file: string, limit: number, onLine: OnLine): Promise<Outcome> {
  const name = basename(file);
  const ended = await runProgram(file, [], {
    cwd: root,
    limit,
    onLine: (line) => onLine(`${name}: ${line}`),
  });
  const outcome = readTestLines(name, ended.output);
  const tests = outcome.passed + outcome.failed.length + outcome.skipped.length;
  if (ended.timedOut || ended.code === undefined || (ended.code !== 0 && outcome.failed.length === 0)) {
    outcome.failed.push({
      name: `${name}: ended with ${ended.timedOut ? 'the time limit' : (ended.code ?? 'a signal')} after ${tests} tests`,
      output: ended.output.slice(-8000),
    });
  } else if (tests === 0) {
    outcome.failed.push({ name: `${name}: printed no test result`, output: ended.output.slice(-8000) });
  }
  return outcome;
}

async function make(root: string, target: string, onLine: OnLine): Promise<Outcome | undefined> {
  const ended = await runProgram('make', ['-s', '-j2', '-C', join('dpvsd', 'native'), target], {
    cwd: root,
    limit: 300_000,
    onLine,
  });
  if (ended.code === 0) return undefined;
  return single(`make ${target}`, { output: ended.output.slice(-8000) });
}

function programs(root: string, prefix: string): string[] {
  const folder = join(root, 'build', 'native');
  if (!existsSync(folder)) return [];
  return readdirSync(folder)
    .filter((name) => name.startsWith(prefix) && !name.includes('.'))
    .sort()
    .map((name) => join(folder, name));
}

/** C unit tests and model tests: the programs build/native/test-*, without the fixture runner. */
export async function runNativeTests(root: string, onLine: OnLine): Promise<Outcome> {
  // `make test` would run them by itself; building is all that is needed here, so that each result is counted once.
  const broken = await make(root, 'test-programs', onLine);
  if (broken) return broken;
  const total = nothing();
  // Other things lie in build/ as well, such as programs whose source has gone.
  const found = programs(root, 'test-').filter((file) =>
    existsSync(join(root, 'test', 'unit', 'dpvsd', 'native', `${basename(file).slice(5)}.c`)),
  );
  for (const file of found) add(total, await runTestProgram(root, file, 240_000, onLine));
  if (found.length === 0)
    add(total, single('C tests', { output: 'make test-programs built no build/native/test-* program' }));
  return total;
}

/** Packet fixtures: bytes in, bytes out, counters, drop reason. */
export async function runFixtures(root: string, onLine: OnLine): Promise<Outcome> {
  const broken = await make(root, 'test-programs', onLine);
  if (broken) return broken;
  const [file] = programs(root, 'test-fixtures');
  if (!file)
    return single('packet fixtures', { output: 'make test-programs built no build/native/test-fixtures' });
  return await runTestProgram(root, file, 120_000, onLine);
}

/**
 * Fuzzers under the address and undefined-behaviour sanitizers: each starts from its corpus in test/fuzz/corpus/NAME.
 * @param seconds for all of them together
 */
export async function runFuzzers(root: string, seconds: number, onLine: OnLine): Promise<Outcome> {
  const broken = await make(root, 'fuzz', onLine);
  if (broken) {
    const text = broken.failed[0]?.output ?? '';
    if (/clang: (No such file|not found|command not found)|libclang_rt|cannot find.*fuzzer/i.test(text))
      return single('fuzzers', { reason: 'clang with its fuzzer and sanitizer runtime is not installed' });
    return broken;
  }
  const found = programs(root, 'fuzz-').filter((file) =>
    existsSync(join(root, 'test', 'fuzz', `${basename(file)}.c`)),
  );
  if (found.length === 0)
    return single('fuzzers', { output: 'make fuzz built no build/native/fuzz-* program' });
  const each = Math.max(1, Math.floor(seconds / found.length));
  const total = nothing();
  // All at once: each has a core's work for its time, and the machine has several.
  const fuzz = async (file: string): Promise<void> => {
    const name = basename(file).replace(/^fuzz-/, '');
    // New inputs go to the first folder; the corpus in the repository is only read.
    const scratch = join(root, 'build', 'fuzz', name);
    mkdirSync(scratch, { recursive: true });
    const corpus = join(root, 'test', 'fuzz', 'corpus', name);
    onLine(`fuzz-${name}: ${each} s`);
    const ended = await runProgram(
      file,
      [
        `-max_total_time=${each}`,
        '-timeout=10',
        '-rss_limit_mb=2048',
        '-print_final_stats=1',
        `-artifact_prefix=${scratch}/found-`,
        scratch,
        ...(existsSync(corpus) ? [corpus] : []),
      ],
      { cwd: root, limit: (each + 60) * 1000 },
    );
    const runs = /stat::number_of_executed_units:\s*(\d+)/.exec(ended.output)?.[1];
    onLine(`fuzz-${name}: ${runs ?? 'no'} inputs`);
    const label = `fuzz-${name} (${each} s)`;
    if (ended.code === 0) add(total, single(label, 'passed'));
    else add(total, single(label, { output: ended.output.slice(-12000) }));
  };
  await Promise.all(found.map(fuzz));
  return total;
}
