import type { MiscCheck } from '../keepalived/model/virtual-server.js';
import { deferred, failure, type Probe, type ProbeContext, success, type Verdict } from './probe.js';

/**
 * Judges how a script ended: exit 0 is success; with misc_dynamic so are 2..255, which ask for the weight code-2.
 */
export function scriptVerdict(
  result: { code?: number; signal?: string; error?: string; timedOut: boolean },
  dynamic: boolean,
): Verdict {
  if (result.timedOut) return failure('timed out');
  if (result.error !== undefined) return deferred(result.error);
  if (result.signal !== undefined) return failure(`killed by ${result.signal}`);
  const code = result.code ?? 0;
  if (code === 0) return success;
  if (dynamic && code >= 2 && code <= 255) return { outcome: 'success', weight: code - 2 };
  return failure(`exited with status ${code}`);
}

/** MISC_CHECK: a script judges the server. */
export function miscCheck(check: MiscCheck, context: ProbeContext): Probe {
  return {
    run(_step, done) {
      let ended = false;
      void context.notify.script(check.script, [], { timeout: check.timeout }).then((result) => {
        if (!ended) done(scriptVerdict(result, check.dynamic));
      });
      return () => {
        ended = true;
      };
    },
  };
}
