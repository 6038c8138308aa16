import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { parse } from '../../../keepalived/parse.js';
import { keepalivedConf, sampleFile } from '../../../lab/keepalived.js';
import { planOf } from '../../../lab/plan.js';

/** Reads a file as the lab's director would. */
function modelOf(text: string) {
  const { model, diagnostics } = parse('/keepalived.conf', { text, interfaceExists: () => true });
  assert.deepEqual(
    diagnostics.findings.map((finding) => finding.text),
    [],
  );
  assert.equal(diagnostics.exitCode('upstream'), 0);
  return model.loadBalancing;
}

describe('keepalived.conf of the lab', () => {
  it('the sample is read without a remark: both families, TCP and UDP, FullNAT, every server checked', () => {
    const { virtualServers } = modelOf(readFileSync(sampleFile, 'utf8'));
    assert.deepEqual(
      virtualServers.map(({ realServers }) =>
        realServers.map(({ checkers }) => checkers.map(({ kind }) => kind)),
      ),
      ['TCP_CHECK', 'UDP_CHECK', 'TCP_CHECK', 'UDP_CHECK'].map((kind) => [[kind], [kind], [kind]]),
    );
  });

  it('the sample says what the lab writes for another shape', () => {
    assert.deepEqual(modelOf(readFileSync(sampleFile, 'utf8')), modelOf(keepalivedConf(planOf(2, 3))));
    const five = modelOf(keepalivedConf(planOf(1, 5)));
    assert.deepEqual(
      five.virtualServers.map(({ realServers }) => realServers.length),
      [5, 5, 5, 5],
    );
  });
});
