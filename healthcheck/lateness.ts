const FINE = 1000;
const COARSE = 600;

/** How late things began, kept as a histogram: exact to 1 ms up to a second, to 100 ms up to a minute. */
export class Lateness {
  #counts = new Uint32Array(FINE + COARSE + 1);
  #total = 0;
  #max = 0;

  record(milliseconds: number): void {
    const late = Math.max(0, milliseconds);
    const index = late < FINE ? Math.floor(late) : Math.min(FINE + COARSE, FINE + Math.floor(late / 100));
    this.#counts[index]!++;
    this.#total++;
    if (late > this.#max) this.#max = late;
  }

  get count(): number {
    return this.#total;
  }

  /** Milliseconds. */
  get max(): number {
    return this.#max;
  }

  /** The lateness that this part (0..1) of all stayed within, milliseconds; 0 when there were none. */
  quantile(part: number): number {
    const wanted = Math.ceil(part * this.#total);
    let seen = 0;
    for (let index = 0; index < this.#counts.length; index++) {
      seen += this.#counts[index]!;
      if (seen >= wanted && seen > 0) return index < FINE ? index + 1 : (index - FINE + 1) * 100;
    }
    return 0;
  }

  clear(): void {
    this.#counts = new Uint32Array(FINE + COARSE + 1);
    this.#total = 0;
    this.#max = 0;
  }
}
