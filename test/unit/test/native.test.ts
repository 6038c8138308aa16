import { strict as assert } from 'node:assert';
import { readTestLines } from '../../runner/native.js';
import { skipBecause } from '../../runner/skip.js';

describe('test runner', () => {
  it('reads the verdict lines of C tests, with what was printed before a failure', () => {
    const outcome = readTestLines(
      'test-core',
      'ok a: of two parts\nseed 7\nnot ok b: 1 != 2\nskip c: no clang\nok d\n',
    );
    assert.equal(outcome.passed, 2);
    assert.deepEqual(outcome.failed, [{ name: 'test-core: b', output: '1 != 2\nseed 7' }]);
    assert.deepEqual(outcome.skipped, [{ name: 'test-core: c', reason: 'no clang' }]);
  });

  it('leaves the reason of a skip where the reporter finds it', () => {
    const test = { title: 'x' };
    let skipped = false;
    const context = {
      test,
      skip: () => {
        skipped = true;
      },
    } as unknown as Mocha.Context;
    skipBecause(context, 'needs root');
    assert.deepEqual([skipped, test], [true, { title: 'x', skipReason: 'needs root' }]);
  });
});
