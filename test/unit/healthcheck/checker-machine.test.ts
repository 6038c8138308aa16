import assert from 'node:assert/strict';
import {
  advance,
  type CheckerPolicy,
  type CheckerState,
  initialState,
  type Outcome,
} from '../../../healthcheck/checker-machine.js';

const policy: CheckerPolicy = {
  retry: 2,
  delayBeforeRetry: 1000,
  delayLoop: 10_000,
  whileDown: 'wait',
  steps: 1,
  fastRecovery: false,
};

/** Runs outcomes through the machine: `s` success, `f` failure, `d` deferred. Each result is change or `-`, and the delay in seconds. */
function run(outcomes: string, options: Partial<CheckerPolicy> = {}, start?: CheckerState): string {
  const rules = { ...policy, ...options };
  let state = start ?? initialState(true, rules);
  const names: Record<string, Outcome> = { s: 'success', f: 'failure', d: 'deferred' };
  return [...outcomes]
    .map((outcome) => {
      const next = advance(state, names[outcome]!, rules);
      state = next.state;
      return `${next.change ?? (next.confirmed ? 'confirmed' : '-')}@${next.delay / 1000}`;
    })
    .join(' ');
}

describe('checker machine', () => {
  it('takes a server out at the first failure after the start, without retries', () => {
    assert.equal(run('f'), 'down@10');
    assert.equal(run('fff'), 'down@10 -@10 -@10');
  });

  it('forgives as many failures as there are retries once it was up', () => {
    assert.equal(run('sfff'), 'confirmed@10 -@1 -@1 down@10');
    assert.equal(run('sffsfff'), 'confirmed@10 -@1 -@1 -@10 -@1 -@1 down@10');
  });

  it('brings a server back at its first success', () => {
    assert.equal(run('fsf'), 'down@10 up@10 -@1');
  });

  it('starts down with alpha: a failure confirms, a success is a change', () => {
    const alpha = initialState(false, policy);
    assert.equal(run('fs', {}, alpha), 'confirmed@10 up@10');
    assert.equal(run('s', {}, alpha), 'up@10');
  });

  it('counts what is our own fault neither way', () => {
    assert.equal(run('sfdffd'), 'confirmed@10 -@1 -@10 -@1 down@10 -@10');
  });

  it('repeats its retries while the server is out when the kind does so', () => {
    assert.equal(run('ffff', { whileDown: 'retry' }), 'down@10 -@1 -@1 -@10');
  });

  it('comes back after the longer delay when the kind does so', () => {
    assert.equal(run('ff', { whileDown: 'slow', delayBeforeRetry: 30_000 }), 'down@30 -@30');
  });

  it('looks at all steps before the server is in, one per run', () => {
    assert.equal(run('sss', { steps: 3 }), '-@10 -@10 confirmed@10');
    assert.equal(run('sssf', { steps: 3, retry: 0 }), '-@10 -@10 confirmed@10 down@10');
  });

  it('goes through the steps at once while the server is not in, with fast recovery', () => {
    const fast = { steps: 2, fastRecovery: true, retry: 0 };
    assert.equal(run('ssfss', fast), '-@0 confirmed@10 down@10 -@0 up@10');
    assert.equal(run('ssss', fast), '-@0 confirmed@10 -@10 -@10');
  });

  it('begins at the first step again when the failed one has recovered', () => {
    // The second step fails; after its recovery both must do well.
    assert.equal(run('ssfss', { steps: 2, retry: 0 }), '-@10 confirmed@10 down@10 -@10 up@10');
    assert.equal(run('sssfsss', { steps: 2, retry: 0 }), '-@10 confirmed@10 -@10 down@10 -@10 -@10 up@10');
  });

  it('is up exactly when the last retry+1 outcomes are not all failures, on random input', () => {
    let seed = 7;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed / 0x7fffffff;
    };
    for (let round = 0; round < 200; round++) {
      const retry = Math.floor(random() * 4);
      const rules = { ...policy, retry };
      let state = advance(initialState(true, rules), 'success', rules).state;
      let failures = 0;
      let up = true;
      for (let step = 0; step < 100; step++) {
        const good = random() < 0.6;
        // The naive twin: a counter of consecutive failures.
        failures = good ? 0 : failures + 1;
        if (good) up = true;
        else if (failures > retry) up = false;
        state = advance(state, good ? 'success' : 'failure', rules).state;
        assert.equal(state.up, up);
      }
    }
  });
});
