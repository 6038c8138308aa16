import type { Global } from '../keepalived/model/global.js';
import type { Notify } from '../keepalived/notify/index.js';
import type { Clock } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import type { Reactor } from './sockets.js';

/** What one probe found out. */
export type Verdict =
  /** `weight` is the one that a script asks for in place of the configured one (MISC_CHECK misc_dynamic). */
  | { outcome: 'success'; weight?: number }
  /** `reason` completes the sentence "check of ... failed: ". */
  | { outcome: 'failure'; reason: string }
  /** An obstacle of our own; says nothing about the server. */
  | { outcome: 'deferred'; reason: string };

export const success: Verdict = { outcome: 'success' };

export function failure(reason: string): Verdict {
  return { outcome: 'failure', reason };
}

export function deferred(reason: string): Verdict {
  return { outcome: 'deferred', reason };
}

/** A check that can be run again and again. */
export interface Probe {
  /**
   * Runs once.
   * @param step which of several things to look at (URLs of HTTP_GET), else 0
   * @param done called exactly once unless aborted; possibly before this call returns
   * @returns ends the run without a verdict
   */
  run(step: number, done: (verdict: Verdict) => void): () => void;
}

/** What probes are built from. */
export interface ProbeContext {
  reactor: Reactor;
  clock: Clock;
  log: Log;
  notify: Notify;
  global: Global;
}
