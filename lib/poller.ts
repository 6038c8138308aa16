import type { Clock, Timer } from './clock.js';
import { close, Epoll, eventfd, eventfdWrite, read, timerfdArm, timerfdCreate } from './libc.js';

interface Entry {
  at: number;
  slack: number;
  order: number;
  callback: () => void;
  name: string;
  /** Place in the heap, -1 when gone. */
  place: number;
}

/**
 * Sockets and timers of a process whose timing matters, on one epoll set: a single thread waits, and wakes Node's event loop.
 *
 * Two properties that Node's own timers do not have: timers are exact to some ten microseconds instead of a millisecond, and
 * before a timer fires every packet that has already arrived is handled. A process that was kept from running for a while
 * therefore never mistakes its own delay for the silence of a peer.
 */
export class Poller implements Clock {
  readonly #epoll = new Epoll();
  readonly #timer = timerfdCreate();
  readonly #wake = eventfd();
  readonly #readers = new Map<number, () => void>();
  readonly #heap: Entry[] = [];
  readonly #scratch = Buffer.alloc(8);
  #order = 0;
  #armed = Number.POSITIVE_INFINITY;
  #closed = false;
  #busy = false;
  #onError: (error: unknown) => void;
  #onLate: (lateness: number) => void = () => {};

  /** @param onError told of what readers and timers throw; the loop goes on */
  constructor(onError: (error: unknown) => void) {
    this.#onError = onError;
    this.#epoll.add(this.#timer);
    this.#epoll.add(this.#wake);
    process.on('exit', this.#onExit);
    this.#wait();
  }

  /** The end of the process waits for the thread that waits for events: it must come back, also after an uncaught error. */
  readonly #onExit = () => eventfdWrite(this.#wake);

  /** Is told of every timer by how many milliseconds it was late. */
  set onLate(observe: (lateness: number) => void) {
    this.#onLate = observe;
  }

  now(): number {
    return performance.now();
  }

  after(delay: number, callback: () => void, name = '', slack = 0): Timer {
    const entry: Entry = {
      at: this.now() + Math.max(0, delay),
      slack,
      order: this.#order++,
      callback,
      name,
      place: this.#heap.length,
    };
    this.#heap.push(entry);
    this.#up(entry.place);
    if (!this.#busy) this.#arm();
    return { cancel: () => this.#remove(entry) };
  }

  /** Calls `reader` whenever `fd` is readable; the reader takes all there is. The descriptor must be non-blocking. */
  watch(fd: number, reader: () => void): void {
    this.#readers.set(fd, reader);
    this.#epoll.add(fd);
  }

  unwatch(fd: number): void {
    if (this.#readers.delete(fd)) this.#epoll.remove(fd);
  }

  /** Ends the loop and lets the process exit; watched descriptors stay the caller's. */
  close(): void {
    if (this.#closed) return;
    this.#closed = true;
    eventfdWrite(this.#wake);
  }

  #wait(): void {
    this.#epoll.wait((ready) => {
      if (this.#closed) {
        this.#epoll.close();
        close(this.#timer);
        close(this.#wake);
        process.off('exit', this.#onExit);
        return;
      }
      this.#busy = true;
      try {
        this.#read(ready);
        this.#expire();
      } finally {
        this.#busy = false;
        this.#arm();
        this.#wait();
      }
    });
  }

  #read(ready: number[]): void {
    for (const fd of ready) {
      if (fd === this.#timer) {
        read(fd, this.#scratch);
        this.#armed = Number.POSITIVE_INFINITY;
      } else {
        this.#guard(this.#readers.get(fd));
      }
    }
  }

  #expire(): void {
    for (let first = this.#heap[0]; first && first.at - first.slack <= this.now(); first = this.#heap[0]) {
      // Packets first: what arrived before this moment may move the timer that is about to fire.
      const ready = this.#epoll.poll().filter((fd) => fd !== this.#timer && fd !== this.#wake);
      if (ready.length > 0) {
        this.#read(ready);
        first = this.#heap[0];
        if (!first || first.at - first.slack > this.now()) return;
      }
      this.#remove(first);
      this.#onLate(Math.max(0, this.now() - first.at));
      this.#guard(first.callback);
    }
  }

  #guard(callback: (() => void) | undefined): void {
    try {
      callback?.();
    } catch (error) {
      this.#onError(error);
    }
  }

  #arm(): void {
    if (this.#closed) return;
    const first = this.#heap[0];
    if (!first || first.at >= this.#armed) return;
    this.#armed = first.at;
    timerfdArm(this.#timer, first.at - this.now());
  }

  #remove(entry: Entry): void {
    const place = entry.place;
    if (place < 0) return;
    entry.place = -1;
    const last = this.#heap.pop()!;
    if (last === entry) return;
    this.#heap[place] = last;
    last.place = place;
    this.#up(place);
    this.#down(last.place);
  }

  #before(a: Entry, b: Entry): boolean {
    return a.at < b.at || (a.at === b.at && a.order < b.order);
  }

  #swap(i: number, j: number): void {
    const a = this.#heap[i]!;
    const b = this.#heap[j]!;
    this.#heap[i] = b;
    this.#heap[j] = a;
    b.place = i;
    a.place = j;
  }

  #up(from: number): void {
    for (let i = from; i > 0; ) {
      const parent = (i - 1) >> 1;
      if (!this.#before(this.#heap[i]!, this.#heap[parent]!)) return;
      this.#swap(i, parent);
      i = parent;
    }
  }

  #down(from: number): void {
    for (let i = from; ; ) {
      let least = i;
      for (const child of [2 * i + 1, 2 * i + 2]) {
        if (child < this.#heap.length && this.#before(this.#heap[child]!, this.#heap[least]!)) least = child;
      }
      if (least === i) return;
      this.#swap(i, least);
      i = least;
    }
  }
}
