import { createHmac, timingSafeEqual } from 'node:crypto';
import type { AuthHmac, Family } from '../../keepalived/model/vrrp.js';

/**
 * The HMAC-SHA256 trailer that keepalived 2.4.2 and later append to adverts:
 * type 1, key id, 16 zero bits, seconds since 1970, a fraction of 2^-16 s, a counter, and 16 bytes of HMAC-SHA256.
 * The HMAC covers a pseudo header of 20 bytes (4 or 6, version, virtual router id, 0, source address padded to 16 bytes), then
 * the advertisement with its checksum as zero, then the trailer with its HMAC as zero.
 */
export const TRAILER_LENGTH = 28;
const TYPE_SHA256 = 1;
const DIGEST_LENGTH = 16;
const SIGNED_LENGTH = TRAILER_LENGTH - DIGEST_LENGTH;

export interface HmacContext {
  family: Family;
  version: 2 | 3;
  virtualRouterId: number;
  source: Uint8Array;
}

/** The trailer to send behind `advertisement`. @param sequence 64 bits: seconds, fraction, counter (see `HmacSequence`) */
export function encodeTrailer(
  advertisement: Uint8Array,
  keyId: number,
  secretHex: string,
  sequence: bigint,
  context: HmacContext,
): Buffer {
  const trailer = Buffer.alloc(TRAILER_LENGTH);
  trailer[0] = TYPE_SHA256;
  trailer[1] = keyId;
  trailer.writeBigUInt64BE(BigInt.asUintN(64, sequence), 4);
  trailer.set(digest(advertisement, trailer, secretHex, context), SIGNED_LENGTH);
  return trailer;
}

/** Fields of a trailer, or undefined when the bytes are none. */
export function decodeTrailer(bytes: Uint8Array): { keyId: number; sequence: bigint } | undefined {
  if (bytes.length !== TRAILER_LENGTH || bytes[0] !== TYPE_SHA256 || bytes[2] !== 0 || bytes[3] !== 0) {
    return undefined;
  }
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  return { keyId: bytes[1]!, sequence: view.getBigUint64(4) };
}

/** Whether the trailer's HMAC is that of the advertisement in front of it. */
export function checkTrailer(
  advertisement: Uint8Array,
  trailer: Uint8Array,
  secretHex: string,
  context: HmacContext,
): boolean {
  return timingSafeEqual(
    digest(advertisement, trailer, secretHex, context),
    trailer.subarray(SIGNED_LENGTH, TRAILER_LENGTH),
  );
}

function digest(
  advertisement: Uint8Array,
  trailer: Uint8Array,
  secretHex: string,
  context: HmacContext,
): Buffer {
  const pseudo = Buffer.alloc(20);
  pseudo[0] = context.family === 'ipv6' ? 6 : 4;
  pseudo[1] = context.version;
  pseudo[2] = context.virtualRouterId;
  pseudo.set(context.source, 4);
  const message = Buffer.from(advertisement);
  message.writeUInt16BE(0, 6);
  return createHmac('sha256', Buffer.from(secretHex, 'hex'))
    .update(pseudo)
    .update(message)
    .update(trailer.subarray(0, SIGNED_LENGTH))
    .update(Buffer.alloc(DIGEST_LENGTH))
    .digest()
    .subarray(0, DIGEST_LENGTH);
}

/** Whether `a` comes after `b` in the arithmetic of serial numbers (RFC 1982), 64 bits. */
function after(a: bigint, b: bigint): boolean {
  return BigInt.asIntN(64, a - b) > 0n;
}

function clockSequence(milliseconds: number): bigint {
  const seconds = Math.floor(milliseconds / 1000);
  const fraction = Math.floor(((milliseconds / 1000 - seconds) * 65536) % 65536);
  return (BigInt(seconds & 0xffffffff) << 32n) | (BigInt(fraction) << 16n);
}

/** Seconds by which the sequence is older than the time (negative: it comes from the future). */
function age(sequence: bigint, milliseconds: number): number {
  return Number(
    BigInt.asIntN(32, BigInt(Math.floor(milliseconds / 1000)) - (BigInt.asUintN(64, sequence) >> 32n)),
  );
}

/** The growing numbers of the adverts that one instance sends. */
export class HmacSequence {
  #last = 0n;

  /** @param wallClock milliseconds since 1970 */
  next(wallClock: number, settings: Pick<AuthHmac, 'antiReplay' | 'timeWindow'>): bigint {
    const clock = clockSequence(wallClock);
    // When the clock was set back further than receivers tolerate, going on counting would make us mute: start from it.
    const stranded =
      settings.antiReplay === 'time' && -age(this.#last, wallClock) > settings.timeWindow / 1000;
    this.#last = after(clock, this.#last) || stranded ? clock : BigInt.asUintN(64, this.#last + 1n);
    return this.#last;
  }
}

const SENDERS_REMEMBERED = 4;

/** What was received last from each sender; entries are only made by adverts whose HMAC was right. */
export class ReplayGuard {
  readonly #last = new Map<string, bigint>();

  /** Whether the time in the trailer is within the window. */
  fresh(sequence: bigint, wallClock: number, settings: Pick<AuthHmac, 'antiReplay' | 'timeWindow'>): boolean {
    return settings.antiReplay !== 'time' || Math.abs(age(sequence, wallClock)) <= settings.timeWindow / 1000;
  }

  /** Accepts a sequence that is newer than the last of this sender. */
  accept(
    sender: string,
    sequence: bigint,
    wallClock: number,
    settings: Pick<AuthHmac, 'antiReplay' | 'timeWindow'>,
    remember = SENDERS_REMEMBERED,
  ): boolean {
    const last = this.#last.get(sender);
    // A mark that the window would refuse anyway only locks out a sender whose clock was corrected.
    const known = last !== undefined && this.fresh(last, wallClock, settings);
    if (known && !after(sequence, last)) return false;
    this.#last.delete(sender);
    this.#last.set(sender, sequence);
    for (const oldest of this.#last.keys()) {
      if (this.#last.size <= remember) break;
      this.#last.delete(oldest);
    }
    return true;
  }
}
