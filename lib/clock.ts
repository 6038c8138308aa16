/** A running timer; cancelling it twice, or after it fired, does nothing. */
export interface Timer {
  cancel(): void;
}

/** A timer that can be set again without being made anew, for what is put off or repeated for ever. */
export interface MovableTimer extends Timer {
  /**
   * Makes it due at `at`, a time of its clock, with the same callback; also after it has fired or was cancelled.
   * @param slack as for `after`
   */
  move(at: number, slack?: number): void;
}

/** A clock whose timers move. */
export interface MovableClock extends Clock {
  after(delay: number, callback: () => void, name?: string, slack?: number): MovableTimer;
}

/**
 * Time as the state machines see it. Every machine takes its clock from outside, so that tests run hours of protocol in
 * milliseconds and nothing depends on wall-clock jumps.
 */
export interface Clock {
  /** Milliseconds of a monotonic clock; the origin has no meaning. Fractions count. */
  now(): number;
  /**
   * Calls back once, `delay` milliseconds from now (0 or less: at the next turn).
   * @param name what the timer is for, shown in diagnostics
   * @param slack milliseconds by which it may be early when the process is awake anyway; a clock is free to ignore it
   */
  after(delay: number, callback: () => void, name?: string, slack?: number): Timer;
}

/** The real clock: monotonic, unaffected by changes of the date. */
export const systemClock: Clock = {
  now: () => performance.now(),
  after(delay, callback) {
    const handle = setTimeout(callback, Math.max(0, delay));
    return { cancel: () => clearTimeout(handle) };
  },
};

interface Pending {
  at: number;
  order: number;
  callback: () => void;
  name: string;
}

/** A clock that stands still until a test moves it; timers fire in order of time, then of creation. */
export class VirtualClock implements MovableClock {
  #now: number;
  #order = 0;
  #pending: Pending[] = [];

  constructor(start = 0) {
    this.#now = start;
  }

  now(): number {
    return this.#now;
  }

  after(delay: number, callback: () => void, name = ''): MovableTimer {
    const entry: Pending = { at: this.#now + Math.max(0, delay), order: this.#order++, callback, name };
    this.#pending.push(entry);
    return {
      cancel: () => {
        const index = this.#pending.indexOf(entry);
        if (index >= 0) this.#pending.splice(index, 1);
      },
      move: (at) => {
        entry.at = Math.max(at, this.#now);
        entry.order = this.#order++;
        if (!this.#pending.includes(entry)) this.#pending.push(entry);
      },
    };
  }

  /** Names and due times of the timers that are set, soonest first. */
  timers(): { name: string; at: number }[] {
    return [...this.#pending]
      .sort((a, b) => a.at - b.at || a.order - b.order)
      .map(({ name, at }) => ({ name, at }));
  }

  /** Moves time on by `duration` milliseconds, firing everything that falls due on the way at its own time. */
  advance(duration: number): void {
    this.advanceTo(this.#now + duration);
  }

  /** Moves time on to `target` milliseconds. */
  advanceTo(target: number): void {
    for (;;) {
      let next: Pending | undefined;
      for (const entry of this.#pending) {
        if (entry.at > target) continue;
        if (!next || entry.at < next.at || (entry.at === next.at && entry.order < next.order)) next = entry;
      }
      if (!next) break;
      this.#pending.splice(this.#pending.indexOf(next), 1);
      this.#now = Math.max(this.#now, next.at);
      next.callback();
    }
    this.#now = Math.max(this.#now, target);
  }
}
