import { deepEqual, equal } from 'node:assert/strict';
import { format } from '../../../keepalived/grammar/diagnostics.js';
import { type ParseOptions, parse } from '../../../keepalived/parse.js';
import { writeModel } from '../../../keepalived/write.js';
import { Random } from '../random.js';
import { randomConfiguration, Samples } from './random-configuration.js';

const surroundings: ParseOptions = {
  hostname: 'node.example.net',
  interfaceExists: () => true,
  scripts: { find: (program) => program, writable: () => false, defaultUser: () => true },
};

/** The first place where two texts differ, with what is around it. */
function difference(one: string, other: string): string {
  const a = one.split('\n');
  const b = other.split('\n');
  const at = a.findIndex((line, index) => line !== b[index]);
  return `line ${at}: '${a.slice(at, at + 3).join(' | ')}' against '${b.slice(at, at + 3).join(' | ')}'`;
}

describe('a model as text', () => {
  for (let seed = 1; seed <= 60; seed++) {
    it(`reads back as the same model (seed ${seed})`, () => {
      const samples = new Samples(new Random(seed));
      const text = randomConfiguration(samples, { density: [0.1, 0.3, 0.6, 0.9][seed % 4] as number });
      const first = parse('/random.conf', { ...surroundings, text });
      const written = writeModel(first.model);
      const second = parse('/written.conf', { ...surroundings, text: written });
      equal(difference(writeModel(second.model), written), "line -1: '' against ''");
      deepEqual(second.model, first.model);
      // What was written is in order: nothing in it is unknown, missing or out of range.
      const bad = second.diagnostics.findings.filter((finding) =>
        ['unknown-keyword', 'missing-parameter', 'invalid-number', 'unmatched-quote', 'deprecated'].includes(
          finding.kind,
        ),
      );
      deepEqual(bad.map(format), []);
    });
  }

  it('covers models with something of everything', () => {
    const samples = new Samples(new Random(7));
    const { model } = parse('/random.conf', {
      ...surroundings,
      text: randomConfiguration(samples, { density: 1 }),
    });
    equal(model.vrrp.instances.length > 0, true);
    equal(model.loadBalancing.virtualServers.length > 0, true);
    equal(model.bfd.sessions.length > 0, true);
    equal(model.vrrp.scripts.length, 3);
  });
});
