/** What one tracked thing contributes. */
export interface Contribution {
  /** -253..253; 0: it is no matter of priority but of FAULT. */
  weight: number;
  /** The direction of the adjustment is turned round. */
  reverse: boolean;
  /** Absent: not known yet. */
  well: boolean | undefined;
}

/**
 * Base priority and weights before the sum is limited, as dumps show it: a positive weight is added while the tracked thing is
 * well, a negative one while it fails (keepalived.conf, track_*).
 * @param adjustments what tracked files add, already multiplied
 */
export function totalPriority(
  base: number,
  contributions: readonly Contribution[],
  adjustments: readonly number[] = [],
): number {
  let total = base;
  for (const { weight, reverse, well } of contributions) {
    if (weight === 0 || well === undefined) continue;
    if (weight > 0 ? well : !well) total += reverse ? -weight : weight;
  }
  for (const adjustment of adjustments) total += adjustment;
  return total;
}

/** The priority that counts, 1..254; that of an owner never changes. */
export function effectivePriority(
  base: number,
  contributions: readonly Contribution[],
  adjustments: readonly number[] = [],
): number {
  if (base === 255) return 255;
  return Math.min(254, Math.max(1, totalPriority(base, contributions, adjustments)));
}
