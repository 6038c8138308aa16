import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { type Bench, type Figure, machine, table } from './bench.js';
import { dataplane } from './dataplane.js';
import { healthcheck } from './healthcheck.js';
import { keepalivedParse } from './keepalived-parse.js';
import { load } from './load.js';
import { ospf } from './ospf.js';
import { twin } from './twin.js';
import { vrrp } from './vrrp.js';
import { workers } from './workers.js';

const benches: Bench[] = [dataplane, workers, load, healthcheck, vrrp, twin, keepalivedParse, ospf];

const usage = `npm run bench [-- [--quick] [NAME[:PART]...]]
${benches.map(({ name, about }) => `  ${name.padEnd(14)} ${about}`).join('\n')}
Without a name all of them. vrrp has parts: gaps, gaps-1, gaps-0.1, gaps-0.03, gaps-0.01, instances,
addresses, steadiness; ospf: many (1,000 addresses alone); healthcheck: words of
its rows ("healthcheck:UDP, every 2 s"). The figures are also written as JSON to build/bench.json.`;

/** Runs the named benchmarks one after the other and prints their tables; @returns the exit code. */
async function main(argv: string[]): Promise<number> {
  if (argv.includes('--help') || argv.includes('-h')) {
    console.log(usage);
    return 0;
  }
  const quick = argv.includes('--quick');
  const wanted = argv.filter((word) => !word.startsWith('-')).map((word) => word.split(':'));
  const names = wanted.map(([name = '']) => name);
  const unknown = names.find((name) => !benches.some((bench) => bench.name === name));
  if (unknown !== undefined) {
    console.error(`bench: there is no '${unknown}'\n${usage}`);
    return 2;
  }
  const chosen = names.length === 0 ? benches : benches.filter(({ name }) => names.includes(name));
  const results: Record<string, Figure[] | string> = {};
  let failed = false;
  const file = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', 'build', 'bench.json');
  mkdirSync(dirname(file), { recursive: true });
  const write = () =>
    writeFileSync(file, `${JSON.stringify({ machine: machine(), quick, results }, undefined, 2)}\n`);
  for (const bench of chosen) {
    console.error(`bench: ${bench.name}: ${bench.about}`);
    try {
      const only = wanted.find(([name]) => name === bench.name)?.[1];
      const partial = (measured: Figure[]) => {
        results[bench.name] = measured;
        write();
      };
      const figures = await bench.run({ quick, partial, ...(only === undefined ? {} : { only }) });
      results[bench.name] = figures;
      console.log(`\n${bench.name}: ${bench.about}\n${table(figures)}\n`);
    } catch (error) {
      failed = true;
      const reason = error instanceof Error ? error.message : String(error);
      results[bench.name] = `failed: ${reason}`;
      console.error(`bench: ${bench.name} failed: ${reason}`);
    }
    write();
  }
  console.log(`JSON: ${file}`);
  return failed ? 1 : 0;
}

process.exitCode = await main(process.argv.slice(2));
