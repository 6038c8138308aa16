import type { Clock, Timer } from '../lib/clock.js';

/** Something that is due at some time. Subclasses say what happens then. A node is in at most one wheel. */
export abstract class Due {
  /** When, on the wheel's clock; meaningful while scheduled. */
  due = 0;
  /** The wheel's own: neighbours in the slot. */
  before: Due | undefined;
  after: Due | undefined;
  slot = -1;

  get scheduled(): boolean {
    return this.slot >= 0;
  }

  abstract onDue(): void;
}

const SLOTS = 4096;

/**
 * Very many timers at little cost: scheduling and cancelling take constant time and no memory, expiry is exact to one tick.
 * One timer of the clock drives all of them, and none runs while nothing is scheduled.
 */
export class TimerWheel {
  readonly tick: number;
  readonly #clock: Clock;
  readonly #slots: (Due | undefined)[] = new Array(SLOTS).fill(undefined);
  /** Number of the last tick whose slot was emptied. */
  #cursor: number;
  #count = 0;
  #timer: Timer | undefined;
  #timerAt = 0;
  #turning = false;
  readonly #first: () => void;

  /**
   * @param tick milliseconds
   * @param first done before anything is found due
   */
  constructor(clock: Clock, tick = 10, first = () => {}) {
    this.#first = first;
    this.#clock = clock;
    this.tick = tick;
    this.#cursor = Math.floor(clock.now() / tick);
  }

  get size(): number {
    return this.#count;
  }

  /** Makes `node` due `delay` milliseconds from now (never before), instead of when it was due until now. */
  schedule(node: Due, delay: number): void {
    this.cancel(node);
    const now = this.#clock.now();
    if (this.#count === 0) this.#cursor = Math.floor(now / this.tick);
    node.due = now + delay;
    const at = Math.max(Math.ceil(node.due / this.tick), this.#cursor + 1);
    const slot = at % SLOTS;
    node.slot = slot;
    const head = this.#slots[slot];
    node.before = undefined;
    node.after = head;
    if (head) head.before = node;
    this.#slots[slot] = node;
    this.#count++;
    if (!this.#turning && (!this.#timer || at < this.#timerAt)) this.#arm(at);
  }

  cancel(node: Due): void {
    if (node.slot < 0) return;
    if (node.before) node.before.after = node.after;
    else this.#slots[node.slot] = node.after;
    if (node.after) node.after.before = node.before;
    node.before = undefined;
    node.after = undefined;
    node.slot = -1;
    this.#count--;
  }

  /** Forgets everything. */
  clear(): void {
    for (let slot = 0; slot < SLOTS; slot++) {
      for (let node = this.#slots[slot]; node; node = this.#slots[slot]) this.cancel(node);
    }
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #arm(at: number): void {
    this.#timer?.cancel();
    this.#timerAt = at;
    this.#timer = this.#clock.after(at * this.tick - this.#clock.now(), () => this.#turn(), 'wheel');
  }

  #turn(): void {
    this.#timer = undefined;
    this.#turning = true;
    this.#first();
    const now = this.#clock.now();
    const last = Math.floor(now / this.tick);
    // After a long pause one round over all slots is enough.
    const first = Math.max(this.#cursor + 1, last - SLOTS + 1);
    this.#cursor = Math.max(this.#cursor, last);
    for (let at = first; at <= last; at++) {
      let node = this.#slots[at % SLOTS];
      while (node) {
        const next: Due | undefined = node.after;
        // Others in this slot are due a round or more later.
        if (node.due <= now) {
          this.cancel(node);
          node.onDue();
          // What onDue did may have taken `next` out of this slot: then begin again, what is left of it is few.
          node = next === undefined || next.slot === at % SLOTS ? next : this.#slots[at % SLOTS];
          continue;
        }
        node = next;
      }
    }
    this.#turning = false;
    if (this.#count > 0) this.#arm(this.#next());
  }

  /** The tick of the next slot that has anything in it. */
  #next(): number {
    for (let at = this.#cursor + 1; at <= this.#cursor + SLOTS; at++) {
      if (this.#slots[at % SLOTS]) return at;
    }
    return this.#cursor + SLOTS;
  }
}
