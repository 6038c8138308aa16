/** Largest message of the control contract, in bytes, without its length prefix (control.proto: MAX_MESSAGE). */
export const MAX_MESSAGE = 4 * 1024 * 1024;

/** Puts the 4-byte big-endian length of the control contract in front of a message. Throws RangeError outside 1 to MAX_MESSAGE. */
export function frame(message: Uint8Array): Buffer {
  if (message.length < 1 || message.length > MAX_MESSAGE) {
    throw new RangeError(`a control message has 1 to ${MAX_MESSAGE} bytes, not ${message.length}`);
  }
  const framed = Buffer.allocUnsafe(4 + message.length);
  framed.writeUInt32BE(message.length, 0);
  framed.set(message, 4);
  return framed;
}

/**
 * Cuts a byte stream into messages. Holds at most one unfinished message, and refuses a length that the contract does not
 * allow before it buffers anything for it.
 */
export class Unframer {
  #chunks: Buffer[] = [];
  #held = 0;

  /** Adds received bytes. */
  push(chunk: Buffer): void {
    this.#chunks.push(chunk);
    this.#held += chunk.length;
  }

  /** Whether bytes of an unfinished message are held. */
  get pending(): boolean {
    return this.#held > 0;
  }

  /** The next complete message, or undefined when more bytes are needed. Throws RangeError on a forbidden length. */
  next(): Buffer | undefined {
    if (this.#held < 4) return undefined;
    const length = this.#peekLength();
    if (length < 1 || length > MAX_MESSAGE) {
      throw new RangeError(`a control message has 1 to ${MAX_MESSAGE} bytes, not ${length}`);
    }
    if (this.#held < 4 + length) return undefined;
    const whole = this.#gather();
    const rest = whole.subarray(4 + length);
    this.#chunks = rest.length > 0 ? [rest] : [];
    this.#held = rest.length;
    return whole.subarray(4, 4 + length);
  }

  #peekLength(): number {
    const first = this.#chunks[0];
    return first && first.length >= 4 ? first.readUInt32BE(0) : this.#gather().readUInt32BE(0);
  }

  #gather(): Buffer {
    const whole = this.#chunks.length === 1 ? this.#chunks[0]! : Buffer.concat(this.#chunks, this.#held);
    this.#chunks = [whole];
    return whole;
  }
}
