/** Splits what arrives into lines of limited length. */
export class LineReader {
  #pending = '';
  readonly #limit: number;

  /** @param limit bytes that a line may have */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /**
   * Takes bytes as Latin-1 text.
   * @returns complete lines without their ends, or undefined when a line is longer than allowed
   */
  push(chunk: Buffer): string[] | undefined {
    this.#pending += chunk.toString('latin1');
    const lines = this.#pending.split('\n');
    this.#pending = lines.pop()!;
    if (this.#pending.length > this.#limit || lines.some((line) => line.length > this.#limit))
      return undefined;
    return lines.map((line) => (line.endsWith('\r') ? line.slice(0, -1) : line));
  }
}
