import type { MovableClock, MovableTimer } from './clock.js';
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
 * Milliseconds by which it wakes before a timer at most: about as long as the way from the kernel's timer to JavaScript takes.
 * What is left of it is waited for awake.
 */
const LONGEST_LEAD = 0.25;
/**
 * Where more is expected soon it is looked for by Node's own timer: waiting by the other thread costs two changes of thread. Late reading
 * does no harm, since time stamps tell when packets came; it is late by at most this (milliseconds), and by this part of the time until
 * the next timer.
 */
const LONGEST_REST = 10;
const REST_SHARE = 1 / 16;
/** Looking by itself is for times without a timer: Node's own are this inexact (milliseconds). */
const QUIET_AHEAD = 4;

/**
 * Sockets and timers of a process whose timing matters, on one epoll set: a single thread waits, and wakes Node's event loop.
 *
 * Two properties that Node's own timers do not have: timers are exact to some ten microseconds instead of a millisecond, and
 * before a timer fires every packet that has already arrived is handled. A process that was kept from running for a while
 * therefore never mistakes its own delay for the silence of a peer.
 */
export class Poller implements MovableClock {
  readonly #epoll = new Epoll();
  readonly #timer = timerfdCreate();
  readonly #wake = eventfd();
  readonly #readers = new Map<number, () => void>();
  readonly #heap: Entry[] = [];
  readonly #scratch = Buffer.alloc(8);
  #order = 0;
  /** When the timer descriptor becomes readable. */
  #armed = Number.POSITIVE_INFINITY;
  /** How long waking has taken lately, milliseconds. */
  #lead = 0;
  /** What had arrived by this time has been handled. */
  #readUntil = 0;
  #closed = false;
  #busy = false;
  /** Whether more has come soon the last time, after it was woken and after a look that found something. */
  readonly #expects = { woken: false, looked: false };
  #last: 'woken' | 'looked' = 'woken';
  /** When it handled something last. */
  #handled = 0;
  /** In how many milliseconds more counts as soon. */
  #rest = 0;
  #looker: NodeJS.Timeout | undefined;
  #looksAt = 0;
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

  readonly #looking = () => this.#look();

  /** Is told of every timer by how many milliseconds it was late. */
  set onLate(observe: (lateness: number) => void) {
    this.#onLate = observe;
  }

  now(): number {
    return performance.now();
  }

  after(delay: number, callback: () => void, name = '', slack = 0): MovableTimer {
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
    return {
      cancel: () => this.#remove(entry),
      move: (time, spare = 0) => this.#move(entry, time, spare),
    };
  }

  #move(entry: Entry, at: number, slack: number): void {
    const later = at >= entry.at;
    entry.at = at;
    entry.slack = slack;
    entry.order = this.#order++;
    if (entry.place < 0) {
      entry.place = this.#heap.length;
      this.#heap.push(entry);
      this.#up(entry.place);
    } else if (later) this.#down(entry.place);
    else this.#up(entry.place);
    if (!this.#busy) this.#arm();
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
      this.#expects[this.#last] = this.now() - this.#handled < this.#rest;
      this.#last = 'woken';
      this.#handle(ready, true);
    });
  }

  /** Looks whether more has come. */
  #look(): void {
    this.#looker = undefined;
    const ready = this.#epoll.poll();
    const found = ready.length > 0;
    this.#expects[this.#last] = found;
    if (found) this.#last = 'looked';
    this.#handle(ready, found);
  }

  #handle(ready: number[], found: boolean): void {
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
      if (found) {
        this.#handled = this.now();
        const ahead = (this.#heap[0]?.at ?? Number.POSITIVE_INFINITY) - this.#handled;
        this.#rest = Math.min(LONGEST_REST, Math.max(0, ahead * REST_SHARE));
      }
      if (!found || !this.#expects[this.#last] || !this.#lookLater()) this.#wait();
    }
  }

  /** @returns false when a timer is too near for that */
  #lookLater(): boolean {
    // Node has no shorter timers.
    if (this.#rest < 1) return false;
    this.#looksAt = this.#handled + this.#rest;
    const next = this.#heap[0];
    if (next && next.at <= this.#looksAt + QUIET_AHEAD) return false;
    this.#looker = setTimeout(this.#looking, this.#rest);
    return true;
  }

  #read(ready: number[]): void {
    for (const fd of ready) {
      if (fd === this.#timer) {
        read(fd, this.#scratch);
        const took = this.now() - this.#armed;
        if (took > 0) this.#lead += (Math.min(took, LONGEST_LEAD) - this.#lead) / 8;
        this.#armed = Number.POSITIVE_INFINITY;
      } else {
        this.#guard(this.#readers.get(fd));
      }
    }
  }

  #expire(): void {
    for (let first = this.#heap[0]; first; first = this.#heap[0]) {
      const due = first.at - first.slack;
      if (due > this.#readUntil) {
        const now = this.now();
        // Only what must not be early is worth waiting for awake.
        if (due > now && first.at > now + LONGEST_LEAD) return;
        // Packets first: what arrived before this moment may move the timer that is about to fire.
        this.#read(this.#epoll.poll().filter((fd) => fd !== this.#timer && fd !== this.#wake));
        this.#readUntil = now;
        continue;
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
    // A timer that has come in between is waited for exactly.
    if (first && this.#looker && first.at <= this.#looksAt + QUIET_AHEAD) {
      clearTimeout(this.#looker);
      this.#looker = undefined;
      this.#wait();
    }
    if (!first || first.at - this.#lead >= this.#armed) return;
    this.#armed = first.at - this.#lead;
    timerfdArm(this.#timer, this.#armed - this.now());
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
