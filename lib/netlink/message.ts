/**
 * Netlink messages (RFC 3549 2.2): a header of 16 bytes, a fixed structure of the subsystem, then attributes of (length, type,
 * value) padded to 4 bytes. Numbers are in the machine's order, which is little endian on everything this project runs on.
 */
export const NLM_F_REQUEST = 1;
export const NLM_F_ACK = 4;
export const NLM_F_DUMP = 0x300;
export const NLM_F_REPLACE = 0x100;
export const NLM_F_EXCL = 0x200;
export const NLM_F_CREATE = 0x400;
export const NLM_F_APPEND = 0x800;
export const NLMSG_ERROR = 2;
export const NLMSG_DONE = 3;

export const HEADER_LENGTH = 16;
const NLA_TYPE_MASK = 0x3fff;
export const NLA_F_NESTED = 0x8000;

/** Room of a message before it grows, bytes: a host route takes 60. */
const FIRST_LENGTH = 128;

const NOTHING = new Uint8Array(0);

const align = (length: number) => (length + 3) & ~3;

/** A request being written. */
export class MessageWriter {
  #bytes: Buffer;
  #length: number;

  /** @param type RTM_... @param flags NLM_F_... besides NLM_F_REQUEST @param body the fixed structure */
  constructor(type: number, flags: number, body: Uint8Array) {
    // From the pool: a thousand routes are a thousand of these.
    this.#bytes = Buffer.allocUnsafe(FIRST_LENGTH).fill(0);
    this.#bytes.writeUInt16LE(type, 4);
    this.#bytes.writeUInt16LE(flags | NLM_F_REQUEST, 6);
    this.#bytes.set(body, HEADER_LENGTH);
    this.#length = align(HEADER_LENGTH + body.length);
  }

  #room(more: number): void {
    if (this.#length + more <= this.#bytes.length) return;
    const larger = Buffer.alloc(2 * (this.#length + more));
    larger.set(this.#bytes.subarray(0, this.#length));
    this.#bytes = larger;
  }

  bytes(type: number, value: Uint8Array): this {
    const at = this.#begin(type, value.length);
    this.#bytes.set(value, at);
    return this;
  }

  /** Begins an attribute of this length. @returns where its value belongs; what is there is zero */
  #begin(type: number, length: number): number {
    const start = this.#length;
    this.#room(align(4 + length));
    this.#bytes.writeUInt16LE(4 + length, start);
    this.#bytes.writeUInt16LE(type, start + 2);
    this.#length = start + align(4 + length);
    return start + 4;
  }

  u8(type: number, value: number): this {
    const at = this.#begin(type, 1);
    this.#bytes[at] = value;
    return this;
  }

  u16(type: number, value: number): this {
    const at = this.#begin(type, 2);
    this.#bytes.writeUInt16LE(value, at);
    return this;
  }

  u32(type: number, value: number): this {
    const at = this.#begin(type, 4);
    this.#bytes.writeUInt32LE(value >>> 0, at);
    return this;
  }

  u64(type: number, value: bigint): this {
    const at = this.#begin(type, 8);
    this.#bytes.writeBigUInt64LE(value, at);
    return this;
  }

  u64be(type: number, value: bigint): this {
    const at = this.#begin(type, 8);
    this.#bytes.writeBigUInt64BE(value, at);
    return this;
  }

  /** A string with its terminating zero. */
  text(type: number, value: string): this {
    return this.bytes(type, Buffer.from(`${value}\0`, 'utf8'));
  }

  /** An attribute whose value is attributes. */
  nest(type: number, fill: (writer: MessageWriter) => void): this {
    this.#room(4);
    const start = this.#length;
    this.#length += 4;
    fill(this);
    this.#bytes.writeUInt16LE(this.#length - start, start);
    this.#bytes.writeUInt16LE(type, start + 2);
    return this;
  }

  /** Bytes inside a nested attribute that are no attribute themselves (struct rtnexthop); padded to 4. */
  raw(value: Uint8Array): this {
    this.#room(align(value.length));
    this.#bytes.set(value, this.#length);
    this.#length += align(value.length);
    return this;
  }

  /** Where the next byte goes, for lengths that are written afterwards. */
  get length(): number {
    return this.#length;
  }

  patchU16(at: number, value: number): void {
    this.#bytes.writeUInt16LE(value, at);
  }

  /** The same message with other bytes at a place: of many that differ there alone, all but the first are made so. */
  copy(at: number, value: Uint8Array): MessageWriter {
    const copy = new MessageWriter(0, 0, NOTHING);
    copy.#room(this.#length - copy.#length);
    copy.#bytes.set(this.#bytes.subarray(0, this.#length));
    copy.#bytes.set(value, at);
    copy.#length = this.#length;
    return copy;
  }

  /** The message with its length and this sequence number. */
  finish(sequence: number): Buffer {
    const message = this.#bytes.subarray(0, this.#length);
    message.writeUInt32LE(this.#length, 0);
    message.writeUInt32LE(sequence, 8);
    return message;
  }
}

/** A message that came from the kernel. */
export interface Message {
  type: number;
  flags: number;
  sequence: number;
  body: Buffer;
}

/** The messages in what one receive call gave; a damaged tail is left out. */
export function* messages(data: Buffer): Generator<Message> {
  for (let at = 0; at + HEADER_LENGTH <= data.length; ) {
    const length = data.readUInt32LE(at);
    if (length < HEADER_LENGTH || at + length > data.length) return;
    yield {
      type: data.readUInt16LE(at + 4),
      flags: data.readUInt16LE(at + 6),
      sequence: data.readUInt32LE(at + 8),
      body: data.subarray(at + HEADER_LENGTH, at + length),
    };
    at += align(length);
  }
}

/** Attributes behind a fixed structure of `offset` bytes, by type. Of a type that comes twice the last one counts. */
export function attributes(body: Buffer, offset = 0): Map<number, Buffer> {
  const found = new Map<number, Buffer>();
  for (let at = align(offset); at + 4 <= body.length; ) {
    const length = body.readUInt16LE(at);
    if (length < 4 || at + length > body.length) break;
    found.set(body.readUInt16LE(at + 2) & NLA_TYPE_MASK, body.subarray(at + 4, at + length));
    at += align(length);
  }
  return found;
}

/** The text of an attribute without its terminating zero. */
export function attributeText(value: Buffer | undefined): string | undefined {
  if (!value) return undefined;
  const end = value.indexOf(0);
  return value.toString('utf8', 0, end < 0 ? value.length : end);
}
