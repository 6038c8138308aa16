import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { nothing, type Outcome, single } from './outcome.js';
import { runProgram } from './program.js';

/** What the reporter writes for each test. */
export type TestEvent =
  | { result: 'passed'; name: string; ms: number }
  | { result: 'failed'; name: string; output: string }
  | { result: 'skipped'; name: string; reason: string };

/**
 * Runs compiled mocha files, one after the other, in a process of their own.
 * @param folder where the files are, below dist/test
 * @param ending how their names end
 * @param timeout milliseconds that one test may take unless it says otherwise
 * @param limit milliseconds for all of them
 * @param filter only tests whose full title contains this text
 */
export async function runMocha(
  root: string,
  name: string,
  { folder, ending }: { folder: string; ending: string },
  {
    timeout,
    limit,
    filter,
    onLine,
  }: { timeout: number; limit: number; filter?: string | undefined; onLine: (line: string) => void },
): Promise<Outcome> {
  const found = testFiles(root, join('dist', 'test', folder), ending);
  if (found.length === 0)
    return single(name, { output: `no test files *${ending} below dist/test/${folder}` });
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
function testFiles(root: string, folder: string, ending: string): string[] {
  if (!existsSync(join(root, folder))) return [];
  return (readdirSync(join(root, folder), { recursive: true }) as string[])
    .map((file) => join(folder, file))
    .filter((file) => file.endsWith(ending))
    .filter((file) => existsSync(join(root, file.replace(/^dist./, '').replace(/\.js$/, '.ts'))))
    .sort();
}
