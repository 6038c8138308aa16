import { equal } from 'node:assert/strict';
import { parse } from '../../../keepalived/parse.js';
import { writeModel } from '../../../keepalived/write.js';
import { Random } from '../random.js';
import { randomConfiguration, Samples } from './random-configuration.js';

/** Pieces that mean something to one of the layers. */
const pieces = [
  '{',
  '}',
  '"',
  "'",
  '\\',
  '#',
  '!',
  '$',
  '@',
  '~',
  '${',
  '~SEQ(',
  '~LST(',
  ')',
  ',',
  '/',
  '-',
  ':',
  '\n',
  '\0',
  '\t',
  '99999999999999999999',
  '-1',
  '0x',
  'include x',
  '$A=',
  '\u00fc',
  '\ud83d',
];

describe('damaged configurations', function () {
  this.timeout(60_000);

  it('are read to their end, and what was understood is a model that reads back', () => {
    const surroundings = {
      hostname: 'node',
      interfaceExists: () => true,
      scripts: { find: (program: string) => program, writable: () => false, defaultUser: () => true },
    };
    for (let seed = 1; seed <= 300; seed++) {
      const random = new Random(seed);
      let text = randomConfiguration(new Samples(random), { density: 0.25 });
      for (let count = random.within(1, 30); count > 0; count--) {
        const at = random.within(0, text.length);
        const cut = random.chance(0.5) ? random.within(0, 40) : 0;
        text = text.slice(0, at) + (random.chance(0.7) ? random.pick(pieces) : '') + text.slice(at + cut);
      }
      const damaged = parse('/damaged.conf', { ...surroundings, text });
      const written = writeModel(damaged.model);
      const again = parse('/written.conf', { ...surroundings, text: written });
      const unknown = again.diagnostics.findings.filter((finding) => finding.kind === 'unknown-keyword');
      equal(unknown.length, 0, `seed ${seed}: ${unknown[0]?.text}`);
    }
  });
});
