/**
 * When a checker takes its server out and in, without time or sockets: an outcome goes in, the next state and the delay to the
 * next run come out. Every kind of scheduled checker runs on it.
 */

/** What one run of a check found. `deferred`: a local obstacle (no socket, no route of our own) that says nothing about the server. */
export type Outcome = 'success' | 'failure' | 'deferred';

export interface CheckerState {
  /** What the checker believes; before its first run: what it starts with. */
  readonly up: boolean;
  readonly hasRun: boolean;
  /** Failures forgiven so far. */
  readonly retries: number;
  /** Which of several things is looked at next (the URLs of HTTP_GET); 0 for all other kinds. */
  readonly step: number;
  /** The step whose failure took the server out; -1 when there is none. */
  readonly failedStep: number;
}

export interface CheckerPolicy {
  retry: number;
  delayBeforeRetry: number;
  delayLoop: number;
  /**
   * Failures while the server is already out: `wait` comes back after delayLoop, `retry` goes through the retries each time,
   * `slow` comes back after the longer of the two delays.
   */
  whileDown: 'wait' | 'retry' | 'slow';
  /** Things to look at, one per run; all must do well before the server is in. */
  steps: number;
  /** Goes to the next step at once while the server is not in. */
  fastRecovery: boolean;
}

export interface Advance {
  state: CheckerState;
  /** The belief changed. */
  change?: 'up' | 'down';
  /** The first run found what the checker had assumed. */
  confirmed?: boolean;
  /** The server was given up after this many retries. */
  gaveUpAfter?: number;
  /** A failure was forgiven. */
  forgiven?: boolean;
  /** Milliseconds until the next run (from the end of this one; MISC_CHECK counts from its beginning). */
  delay: number;
}

/**
 * The state before the first run. Retries count as spent: the first failure after the start takes the server out at once.
 * @param up false for `alpha`
 */
export function initialState(up: boolean, policy: { retry: number }): CheckerState {
  return { up, hasRun: false, retries: policy.retry, step: 0, failedStep: -1 };
}

/** One run's outcome applied to the state. Pure. */
export function advance(state: CheckerState, outcome: Outcome, policy: CheckerPolicy): Advance {
  if (outcome === 'deferred') return { state, delay: policy.delayLoop };
  return outcome === 'success' ? succeed(state, policy) : fail(state, policy);
}

function succeed(state: CheckerState, policy: CheckerPolicy): Advance {
  if (policy.steps > 1) {
    const recovered = state.failedStep >= 0 && state.failedStep === state.step && state.step > 0;
    // The step that failed is well again: everything is looked at from the beginning before the server returns.
    const step = recovered ? 0 : state.step + 1;
    if (step < policy.steps) {
      const hurry = policy.fastRecovery && !(state.up && state.hasRun);
      return {
        state: { ...state, step, retries: 0, failedStep: -1 },
        delay: hurry ? 0 : policy.delayLoop,
      };
    }
  }
  if (state.up && state.hasRun) {
    const settled = state.retries === 0 && state.step === 0 && state.failedStep < 0;
    return { state: settled ? state : settledUp, delay: policy.delayLoop };
  }
  return state.up
    ? { state: settledUp, confirmed: true, delay: policy.delayLoop }
    : { state: settledUp, change: 'up', delay: policy.delayLoop };
}

const settledUp: CheckerState = { up: true, hasRun: true, retries: 0, step: 0, failedStep: -1 };

function fail(state: CheckerState, policy: CheckerPolicy): Advance {
  const out = !state.up && state.hasRun;
  const forgives = !out || policy.whileDown === 'retry';
  if (forgives && state.retries < policy.retry) {
    return {
      state: { ...state, retries: state.retries + 1 },
      forgiven: true,
      delay: policy.delayBeforeRetry,
    };
  }
  const delay =
    policy.whileDown === 'slow' ? Math.max(policy.delayBeforeRetry, policy.delayLoop) : policy.delayLoop;
  const next: CheckerState = {
    up: false,
    hasRun: true,
    retries: 0,
    step: state.step,
    failedStep: policy.steps > 1 ? state.step : -1,
  };
  if (out) return { state: next, delay };
  // Before the first run the retries were spent by decree.
  const gaveUpAfter = state.hasRun ? state.retries : 0;
  if (!state.up) return { state: next, confirmed: true, gaveUpAfter, delay };
  return { state: next, change: 'down', gaveUpAfter, delay };
}
