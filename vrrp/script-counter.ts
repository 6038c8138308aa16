/**
 * Result of a tracked script with hysteresis: `rise` successes in a row bring it up, `fall` failures in a row down. Its very
 * first result counts at once.
 */
export class ScriptCounter {
  #rise: number;
  #fall: number;
  #result: number | undefined;

  /** @param initFail start as failed instead of unknown */
  constructor(rise: number, fall: number, initFail: boolean) {
    this.#rise = rise;
    this.#fall = fall;
    if (initFail) this.#result = 0;
  }

  /** Absent: no run has ended yet. */
  get well(): boolean | undefined {
    return this.#result === undefined ? undefined : this.#result >= this.#rise;
  }

  /** 0 .. rise+fall-1, as dumps show it. */
  get result(): number {
    return this.#result ?? 0;
  }

  /** New limits after a reload; what is known stays. */
  configure(rise: number, fall: number): void {
    const well = this.well;
    this.#rise = rise;
    this.#fall = fall;
    if (well !== undefined) this.#result = well ? rise + fall - 1 : 0;
  }

  /** Takes the result of a run. @returns whether `well` changed */
  report(success: boolean): boolean {
    const before = this.well;
    const top = this.#rise + this.#fall - 1;
    if (this.#result === undefined) this.#result = success ? top : 0;
    else if (success) this.#result = this.#result + 1 >= this.#rise ? top : this.#result + 1;
    else this.#result = this.#result - 1 < this.#rise ? 0 : this.#result - 1;
    return this.well !== before;
  }
}
