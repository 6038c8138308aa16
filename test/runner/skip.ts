import type { Context } from 'mocha';

/**
 * Skips the running test (or, from a `before` hook, all tests of its group) and leaves the reason where the reporter finds it.
 * Use it in place of `this.skip()`: a test that cannot run here must say why.
 */
export function skipBecause(context: Context, reason: string): never {
  const runnable = context.test as unknown as { type?: string; parent?: object } | undefined;
  // In a hook the tests that are skipped are those of the hook's group.
  const place = runnable?.type === 'hook' ? runnable.parent : (context.currentTest ?? runnable);
  if (place) (place as { skipReason?: string }).skipReason = reason;
  return context.skip();
}
