/** Upper bounds of the classes, milliseconds; beyond the last one everything counts together. */
const bounds = [0.1, 0.2, 0.5, 1, 2, 5, 10, 20, 50, 100, 200, 500, 1000];

/** How late timers fire: the delay of this process's event loop, as a histogram. */
export class Lateness {
  readonly #counts = new Array<number>(bounds.length + 1).fill(0);
  #total = 0;
  #sum = 0;
  /** The worst, milliseconds. */
  max = 0;

  record(milliseconds: number): void {
    let index = 0;
    while (index < bounds.length && milliseconds > bounds[index]!) index++;
    this.#counts[index]!++;
    this.#total++;
    this.#sum += milliseconds;
    if (milliseconds > this.max) this.max = milliseconds;
  }

  get count(): number {
    return this.#total;
  }

  get mean(): number {
    return this.#total === 0 ? 0 : this.#sum / this.#total;
  }

  /** Upper bound of the class that the given share of all timers did not exceed; the maximum for the last class. */
  quantile(share: number): number {
    let seen = 0;
    for (const [index, count] of this.#counts.entries()) {
      seen += count;
      if (this.#total > 0 && seen >= share * this.#total)
        return Math.min(bounds[index] ?? this.max, this.max);
    }
    return 0;
  }

  /** Counts by upper bound, for metrics. */
  classes(): { bound: number; count: number }[] {
    return this.#counts.map((count, index) => ({ bound: bounds[index] ?? Number.POSITIVE_INFINITY, count }));
  }

  clear(): void {
    this.#counts.fill(0);
    this.#total = 0;
    this.#sum = 0;
    this.max = 0;
  }
}
