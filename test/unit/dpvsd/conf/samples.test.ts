import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { reference, sampleOfAllItems } from '../../../../dpvsd/conf/document.js';
import { items } from '../../../../dpvsd/conf/items.js';
import { parseConf } from '../../../../dpvsd/conf/parse.js';
import type { Body } from '../../../../dpvsd/conf/schema.js';
import { readMachine } from '../../../../dpvsd/machine.js';
import { makePlan } from '../../../../dpvsd/plan/plan.js';
import { fakeFiles } from '../fake-machine.js';

const root = fileURLToPath(new URL('../../../../..', import.meta.url));
const samples = readdirSync(`${root}/conf`).filter((name) => name.startsWith('dpvs.conf'));

describe('samples of dpvs.conf', () => {
  it('are all there', () => {
    for (const name of ['sample', 'single-nic.sample', 'bond.sample', 'vdev.sample', 'items']) {
      assert.ok(samples.includes(`dpvs.conf.${name}`), name);
    }
  });

  for (const name of samples) {
    it(`${name} is read without a complaint and yields a plan on a server with two cards`, () => {
      const conf = parseConf(readFileSync(`${root}/conf/${name}`, 'utf8'));
      assert.deepEqual(conf.problems, []);
      const { plan, problems } = makePlan(conf, readMachine(fakeFiles()), []);
      assert.deepEqual(
        problems.filter((problem) => problem.severity !== 'note'),
        [],
      );
      assert.ok(plan);
    });
  }

  it('dpvs.conf.items says what the defaults are', () => {
    const read = parseConf(sampleOfAllItems()).model;
    const plain = parseConf('').model;
    // Blocks with names exist in the one only, and hold examples.
    for (const model of [read, plain]) {
      model.netif_defs.device = [];
      model.netif_defs.bonding = [];
      model.worker_defs.worker = [];
    }
    assert.deepEqual(read, plain);
  });

  it('dpvs.conf.items names every item', () => {
    const text = sampleOfAllItems();
    const check = (body: Body) => {
      for (const [keyword, entry] of Object.entries(body)) {
        assert.match(text, new RegExp(`^[ !]*(<init> )?${keyword}( |$)`, 'm'));
        if (entry.form !== 'item') check(entry.body);
      }
    };
    check(items as Body);
  });

  for (const [path, made] of [
    ['docs/dpvs-conf.md', reference],
    ['conf/dpvs.conf.items', sampleOfAllItems],
  ] as const) {
    it(`${path} is what the table yields (otherwise run: node dist/dpvsd/conf/write-documents.js)`, () => {
      assert.equal(readFileSync(`${root}/${path}`, 'utf8'), made());
    });
  }
});
