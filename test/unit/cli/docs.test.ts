import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import { runDpip, runIpvsadm } from './harness.js';

/** The commands of a page's shell examples, each with the folder of docs/ as its source. */
function commands(page: string, program: string): string[] {
  const text = readFileSync(fileURLToPath(new URL(`../../../../docs/${page}`, import.meta.url)), 'utf8');
  const blocks = [...text.matchAll(/```sh\n([\s\S]*?)```/g)].map((found) => found[1] ?? '');
  return blocks
    .join('')
    .split('\n')
    .filter((line) => line.startsWith(`${program} `) && !/[<>]/.test(line))
    .map((line) => line.slice(program.length + 1));
}

describe('examples of the manual', () => {
  let fake: FakeDpvsd;
  before(async () => {
    fake = await FakeDpvsd.start();
    fake.tables.workers.push({ ...fake.tables.workers[0]!, cpu: 0, role: 'master' });
  });
  after(() => fake.stop());

  for (const [page, program, run] of [
    ['dpip.md', 'dpip', runDpip],
    ['ipvsadm.md', 'ipvsadm', runIpvsadm],
  ] as const) {
    const examples = commands(page, program);
    it(`docs/${page} has examples`, () => assert.ok(examples.length >= 5));
    for (const example of examples) {
      it(`${program} ${example}`, async () => {
        const { code, stderr } = await run(fake.path, example.replace(/-i 1\b/, '-i 0.01'));
        assert.equal(code, 0, stderr);
      });
    }
  }
});
