/** A test that failed, with what it printed. */
export interface Failure {
  name: string;
  output: string;
}

/** A test that did not run here, and why. */
export interface Skip {
  name: string;
  reason: string;
}

/** What one part of the run came to. */
export interface Outcome {
  passed: number;
  failed: Failure[];
  skipped: Skip[];
}

/** An outcome of nothing yet. */
export function nothing(): Outcome {
  return { passed: 0, failed: [], skipped: [] };
}

/** One check that passed, failed with its output, or was skipped with a reason. */
export function single(name: string, result: 'passed' | Omit<Failure, 'name'> | Omit<Skip, 'name'>): Outcome {
  const outcome = nothing();
  if (result === 'passed') outcome.passed = 1;
  else if ('output' in result) outcome.failed.push({ name, output: result.output });
  else outcome.skipped.push({ name, reason: result.reason });
  return outcome;
}

/** Adds one outcome to another. */
export function add(total: Outcome, part: Outcome): void {
  total.passed += part.passed;
  total.failed.push(...part.failed);
  total.skipped.push(...part.skipped);
}

/** `12 passed, 0 failed, 3 skipped`: the last line of a run, which scripts read. */
export function summary({ passed, failed, skipped }: Outcome): string {
  return `${passed} passed, ${failed.length} failed, ${skipped.length} skipped`;
}
