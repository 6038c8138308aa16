import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { runMocha, runMochaInLanes } from './runner/mocha.js';
import { runFixtures, runFuzzers, runNativeTests } from './runner/native.js';
import { add, nothing, type Outcome, summary } from './runner/outcome.js';
import { runBiome, runClangFormat } from './runner/style.js';

const root = join(dirname(), '..', '..');

function dirname(): string {
  return fileURLToPath(new URL('.', import.meta.url));
}

/** One part of `npm test`. */
interface Step {
  name: string;
  /** The names under which `npm test -- PART` runs it. */
  parts: string[];
  run(onLine: (line: string) => void, filter: string | undefined): Promise<Outcome>;
}

const minute = 60_000;

/** Scenarios whose subject is time itself, on a machine that nothing else loads. */
const scenariosAlone = ['twin', 'pair'];

const steps: Step[] = [
  { name: 'biome check', parts: ['lint'], run: () => runBiome(root) },
  { name: 'clang-format', parts: ['lint'], run: () => runClangFormat(root) },
  { name: 'C tests', parts: ['native', 'unit'], run: (onLine) => runNativeTests(root, onLine) },
  { name: 'packet fixtures', parts: ['packets', 'native'], run: (onLine) => runFixtures(root, onLine) },
  {
    name: 'TypeScript tests',
    parts: ['unit'],
    run: (onLine, filter) =>
      runMocha(
        root,
        'unit',
        { folder: 'unit', ending: '.test.js' },
        {
          timeout: 20_000,
          limit: 5 * minute,
          filter,
          onLine,
        },
      ),
  },
  {
    name: 'scenarios',
    parts: ['scenarios'],
    run: (onLine, filter) =>
      runMochaInLanes(
        root,
        'scenarios',
        { folder: 'scenarios', ending: '.scenario.js' },
        {
          timeout: 2 * minute,
          limit: 25 * minute,
          filter,
          onLine,
        },
        // They mostly wait: for adverts, adjacencies, time-outs.
        { lanes: Math.min(2, availableParallelism()), alone: scenariosAlone },
      ),
  },
  { name: 'fuzzers', parts: ['fuzz'], run: (onLine) => runFuzzers(root, 60, onLine) },
];

function usage(): string {
  const parts = [...new Set(steps.flatMap((step) => step.parts))];
  return `usage: npm test [-- PART [TEXT]]   PART: ${parts.join(', ')}; TEXT: only tests whose title contains it`;
}

/** Runs one step and says how it goes: every line when it is the only one asked for, else a mark now and then. */
async function runStep(step: Step, filter: string | undefined): Promise<Outcome> {
  const started = performance.now();
  console.log(`==> ${step.name}`);
  let outcome: Outcome;
  try {
    outcome = await step.run((line) => console.log(`    ${line}`), filter);
  } catch (error) {
    outcome = {
      ...nothing(),
      failed: [{ name: step.name, output: String((error as Error).stack ?? error) }],
    };
  }
  const seconds = ((performance.now() - started) / 1000).toFixed(1);
  console.log(`<== ${step.name}: ${summary(outcome)} in ${seconds} s`);
  return outcome;
}

async function main(argv: string[]): Promise<number> {
  const [part, ...rest] = argv;
  if (part === '-h' || part === '--help') {
    console.log(usage());
    return 0;
  }
  const chosen = part === undefined ? steps : steps.filter((step) => step.parts.includes(part));
  if (chosen.length === 0) {
    console.error(`npm test: there is no part '${part}'\n${usage()}`);
    return 2;
  }
  const filter = rest.length > 0 ? rest.join(' ') : undefined;
  const total = nothing();
  for (const step of chosen) add(total, await runStep(step, filter));

  console.log('');
  for (const { name, reason } of total.skipped) console.log(`skipped: ${name}: ${reason}`);
  for (const { name, output } of total.failed) {
    console.log(`\nFAILED: ${name}`);
    for (const line of output.trimEnd().split('\n')) console.log(`    ${line}`);
  }
  if (total.failed.length > 0) console.log('');
  console.log(summary(total));
  return total.failed.length > 0 ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
