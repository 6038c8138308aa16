import { Screen } from './screen.js';

/** Ctrl-C and the polite signals: what a lab that runs until it is told to end waits for. */
export class Interruption {
  readonly come: Promise<void>;
  #happened = false;
  #said = false;
  #settle!: () => void;

  constructor() {
    this.come = new Promise((resolve) => {
      this.#settle = resolve;
    });
    for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, () => this.raise());
  }

  get happened(): boolean {
    return this.#happened;
  }

  /** As if the user had pressed Ctrl-C. */
  raise(): void {
    if (this.#happened) return;
    this.#happened = true;
    // What is written to a screen goes with it.
    if (Screen.open === 0) this.sayEnding();
    this.#settle();
  }

  /** Says, once and only when it has happened, what goes on now. */
  sayEnding(): void {
    if (!this.#happened || this.#said) return;
    this.#said = true;
    console.error('lab: ending, everything it made is removed');
  }

  /** Waits so many milliseconds, or until the interruption. */
  pause(ms: number): Promise<void> {
    let timer: NodeJS.Timeout | undefined;
    const slept = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, ms);
    });
    return Promise.race([slept, this.come]).finally(() => clearTimeout(timer));
  }
}
