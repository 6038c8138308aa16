import { addressOf, milliseconds, recvmmsg, SO_TIMESTAMPNS, SOL_SOCKET, wallClock } from './libc.js';

/** Sizes of the kernel's structures on 64-bit machines: mmsghdr, iovec; and room for a sockaddr_in6 and for control messages. */
const HEADER = 64;
const VECTOR = 16;
const NAME = 32;
const CONTROL = 128;
const NAME_LENGTH_AT = 8;
const CONTROL_LENGTH_AT = 40;
const LENGTH_AT = 56;
const CONTROL_HEADER = 16;

/** Ages above this are no ages (milliseconds): the date was changed meanwhile. */
const OLDEST = 1000;
/** By how much monotonic time and date may drift apart from one call to the next. */
const DRIFT = 2;

/**
 * Receives many packets with one call, into memory that is laid out once. Packets stay valid until the next `receive`. On sockets
 * with SO_TIMESTAMPNS it knows when each one arrived.
 */
export class PacketBatch {
  /** Data of all packets; see `offset` and `length`. */
  readonly bytes: Buffer;
  readonly capacity: number;
  readonly #size: number;
  readonly #headers: Buffer;
  readonly #vectors: Buffer;
  readonly #names: Buffer;
  readonly #control: Buffer;
  readonly #clock: () => number;
  #used: number;
  #now = 0;
  #date = 0;
  #aged = false;

  /**
   * @param size bytes of the largest packet; longer ones are cut off
   * @param capacity packets of one call
   * @param clock what time stamps are compared with, milliseconds since 1970; replaced in tests
   */
  constructor(size: number, capacity: number, clock: () => number = wallClock) {
    this.#clock = clock;
    this.#size = size;
    this.capacity = capacity;
    this.#used = capacity;
    this.bytes = Buffer.alloc(size * capacity);
    this.#headers = Buffer.alloc(HEADER * capacity);
    this.#vectors = Buffer.alloc(VECTOR * capacity);
    this.#names = Buffer.alloc(NAME * capacity);
    this.#control = Buffer.alloc(CONTROL * capacity);
    for (let i = 0; i < capacity; i++) {
      this.#vectors.writeBigUInt64LE(addressOf(this.bytes) + BigInt(i * size), i * VECTOR);
      this.#vectors.writeUInt32LE(size, i * VECTOR + 8);
      this.#headers.writeBigUInt64LE(addressOf(this.#names) + BigInt(i * NAME), i * HEADER);
      this.#headers.writeBigUInt64LE(addressOf(this.#vectors) + BigInt(i * VECTOR), i * HEADER + 16);
      this.#headers.writeUInt32LE(1, i * HEADER + 24);
      this.#headers.writeBigUInt64LE(addressOf(this.#control) + BigInt(i * CONTROL), i * HEADER + 32);
    }
  }

  /** @returns how many packets came; fewer than `capacity`: there are no more */
  receive(fd: number): number {
    for (let i = 0; i < this.#used; i++) {
      this.#headers.writeUInt32LE(NAME, i * HEADER + NAME_LENGTH_AT);
      this.#headers.writeUInt32LE(CONTROL, i * HEADER + CONTROL_LENGTH_AT);
    }
    this.#used = recvmmsg(fd, this.#headers, this.capacity);
    if (this.#used > 0) this.#compareClocks();
    return this.#used;
  }

  /** Time stamps are dates: when the date jumped since the last call they say nothing about how old a packet is. */
  #compareClocks(): void {
    let now = performance.now();
    let date = this.#clock();
    // Both are of one moment, unless somebody else had the CPU in between.
    for (let tries = 0; tries < 3 && performance.now() - now > DRIFT / 2; tries++) {
      now = performance.now();
      date = this.#clock();
    }
    this.#aged = Math.abs(date - this.#date - (now - this.#now)) < DRIFT;
    this.#now = now;
    this.#date = date;
  }

  offset(i: number): number {
    return i * this.#size;
  }

  length(i: number): number {
    return this.#headers.readUInt32LE(i * HEADER + LENGTH_AT);
  }

  /** The sender as `sockaddr` bytes. */
  sender(i: number): Buffer {
    return this.#names.subarray(i * NAME, i * NAME + NAME);
  }

  /** Where in `controlBytes` the value of a control message begins; -1: there is none (RFC 3542 20: headers of 16 bytes). */
  control(i: number, level: number, type: number): number {
    const start = i * CONTROL;
    const end = start + Math.min(this.#headers.readUInt32LE(i * HEADER + CONTROL_LENGTH_AT), CONTROL);
    for (let at = start; at + CONTROL_HEADER <= end; ) {
      const length = this.#control.readUInt32LE(at);
      if (length < CONTROL_HEADER || at + length > end) return -1;
      if (this.#control.readInt32LE(at + 8) === level && this.#control.readInt32LE(at + 12) === type) {
        return at + CONTROL_HEADER;
      }
      at += (length + 7) & ~7;
    }
    return -1;
  }

  get controlBytes(): Buffer {
    return this.#control;
  }

  /** When the kernel took the packet in, on the clock of performance.now(); without a time stamp: when it was read. */
  arrived(i: number): number {
    const at = this.#aged ? this.control(i, SOL_SOCKET, SO_TIMESTAMPNS) : -1;
    if (at < 0) return this.#now;
    const age = this.#date - milliseconds(this.#control, at);
    return age > 0 && age < OLDEST ? this.#now - age : this.#now;
  }
}
