/** Where a program's text goes; a string collector in tests. */
export interface Sink {
  write(text: string): boolean;
  once(event: 'drain', listener: () => void): unknown;
}

const CHUNK = 64 * 1024;

/** Text output in large pieces, that waits for a slow reader instead of filling memory. */
export class Output {
  readonly #sink: Sink;
  #pieces: string[] = [];
  #length = 0;

  constructor(sink: Sink) {
    this.#sink = sink;
  }

  /** Adds a line. Long tables `flush` whenever this is `full`. */
  line(text: string): void {
    this.text(`${text}\n`);
  }

  /** Adds text as it is. */
  text(text: string): void {
    this.#pieces.push(text);
    this.#length += text.length;
  }

  /** Whether enough has gathered that it should be flushed. */
  get full(): boolean {
    return this.#length >= CHUNK;
  }

  /** Writes what has gathered, and waits while the reader is behind. */
  async flush(): Promise<void> {
    if (this.#length === 0) return;
    const text = this.#pieces.join('');
    this.#pieces = [];
    this.#length = 0;
    if (!this.#sink.write(text)) await new Promise<void>((resolve) => this.#sink.once('drain', resolve));
  }

  /** Writes a value as indented JSON. */
  json(value: unknown): void {
    this.line(JSON.stringify(value, null, 2));
  }
}
