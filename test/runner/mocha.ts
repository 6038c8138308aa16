import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { add, nothing, type Outcome, single } from './outcome.js';
import { runProgram } from './program.js';

/** What the reporter writes for each test. */
export type TestEvent =
  | { result: 'passed'; name: string; ms: number }
  | { result: 'failed'; name: string; output: string }
  | { result: 'skipped'; name: string; reason: string };

/** How a group of mocha files is run. */
export interface MochaOptions {
  /** Milliseconds that one test may take unless it says otherwise. */
  timeout: number;
  /** Milliseconds for all that one process runs. */
  limit: number;
  /** Only tests whose full title contains this text. */
  filter?: string | undefined;
  onLine: (line: string) => void;
}

/** Where test files are, below dist/test, and how their names end. */
export interface TestFiles {
  folder: string;
  ending: string;
}

/** Runs compiled mocha files, one after the other, in a process of their own. */
export async function runMocha(
  root: string,
  name: string,
  files: TestFiles,
  options: MochaOptions,
): Promise<Outcome> {
  const found = testFiles(root, files);
  if (found.length === 0) return noFiles(name, files);
  return await runFiles(root, name, found, options);
}

/**
 * Runs each compiled mocha file in a process of its own, several at a time: for tests that mostly wait.
 * @param lanes how many files run at a time
 * @param alone names (below the folder, without the ending) of files that need the machine for themselves; they run last
 */
export async function runMochaInLanes(
  root: string,
  name: string,
  files: TestFiles,
  options: MochaOptions,
  { lanes, alone }: { lanes: number; alone: readonly string[] },
): Promise<Outcome> {
  // A few tests that somebody chose: not worth a process for each file.
  if (options.filter !== undefined) return await runMocha(root, name, files, options);
  const found = testFiles(root, files);
  if (found.length === 0) return noFiles(name, files);
  const short = (file: string) =>
    file.slice(join('dist', 'test', files.folder).length + 1, -files.ending.length);
  const unknown = alone.find((wanted) => !found.some((file) => short(file) === wanted));
  if (unknown !== undefined) throw new Error(`${name}: there is no file '${unknown}' to be run alone`);
  const total = nothing();
  const run = async (file: string) =>
    add(total, await runFiles(root, `${name}-${short(file).replaceAll('/', '-')}`, [file], options));
  // The longest first, as far as its size tells, so that no lane is left with a long one at the end.
  const waiting = found
    .filter((file) => !alone.includes(short(file)))
    .sort((a, b) => statSync(join(root, b)).size - statSync(join(root, a)).size);
  const lane = async () => {
    for (let file = waiting.shift(); file !== undefined; file = waiting.shift()) await run(file);
  };
  await Promise.all(Array.from({ length: lanes }, lane));
  for (const file of found.filter((each) => alone.includes(short(each)))) await run(file);
  return total;
}

function noFiles(name: string, { folder, ending }: TestFiles): Outcome {
  return single(name, { output: `no test files *${ending} below dist/test/${folder}` });
}

async function runFiles(
  root: string,
  name: string,
  found: readonly string[],
  { timeout, limit, filter, onLine }: MochaOptions,
): Promise<Outcome> {
  const scratch = join(root, 'build', 'test');
  mkdirSync(scratch, { recursive: true });
  const events = join(scratch, `${name}-${process.pid}.events`);
  rmSync(events, { force: true });
  const ended = await runProgram(
    process.execPath,
    [
      '--enable-source-maps',
      join('dist', 'test', 'runner', 'mocha-process.js'),
      String(timeout),
      filter ?? '',
      ...found,
    ],
    { cwd: root, limit, env: { DPVS_HA_TEST_EVENTS: events }, onLine },
  );
  const outcome = nothing();
  if (existsSync(events)) {
    for (const line of readFileSync(events, 'utf8').split('\n')) {
      if (line === '') continue;
      const event = JSON.parse(line) as TestEvent;
      if (event.result === 'passed') outcome.passed++;
      else if (event.result === 'failed') outcome.failed.push({ name: event.name, output: event.output });
      else outcome.skipped.push({ name: event.name, reason: event.reason });
    }
    rmSync(events, { force: true });
  }
  // Mocha's exit code is the number of failures: anything else means that it did not come to its end.
  const expected = Math.min(outcome.failed.length, 255);
  if (ended.timedOut || ended.code !== expected) {
    const tests = outcome.passed + outcome.failed.length + outcome.skipped.length;
    outcome.failed.push({
      name: `${name}: mocha did not come to its end (exit ${ended.code ?? 'by signal'}) after ${tests} tests`,
      output: ended.output.slice(-8000),
    });
  }
  return outcome;
}

/** Compiled test files whose TypeScript source is still there: dist/ keeps files of sources that were renamed or removed. */
function testFiles(root: string, { folder: below, ending }: TestFiles): string[] {
  const folder = join('dist', 'test', below);
  if (!existsSync(join(root, folder))) return [];
  return (readdirSync(join(root, folder), { recursive: true }) as string[])
    .map((file) => join(folder, file))
    .filter((file) => file.endsWith(ending))
    .filter((file) => existsSync(join(root, file.replace(/^dist./, '').replace(/\.js$/, '.ts'))))
    .sort();
}
