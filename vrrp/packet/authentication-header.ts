import { createHmac, timingSafeEqual } from 'node:crypto';
import { IPPROTO_VRRP } from './checksum.js';

/** Length of the authentication header (RFC 2402 2) with a 96-bit check value. */
export const AUTHENTICATION_HEADER_LENGTH = 24;
const CHECK_VALUE_OFFSET = 12;
const CHECK_VALUE_LENGTH = 12;

export interface AuthenticationHeader {
  nextHeader: number;
  /** Keepalived's kind of VRRP router puts its source address here. */
  spi: Uint8Array;
  sequence: number;
  checkValue: Uint8Array;
}

/** A header whose check value is still zero. @param sequence 1..2^32-1, growing */
export function encodeAuthenticationHeader(spi: Uint8Array, sequence: number): Buffer {
  const bytes = Buffer.alloc(AUTHENTICATION_HEADER_LENGTH);
  bytes[0] = IPPROTO_VRRP;
  bytes[1] = AUTHENTICATION_HEADER_LENGTH / 4 - 2;
  bytes.set(spi, 4);
  bytes.writeUInt32BE(sequence >>> 0, 8);
  return bytes;
}

/** Reads the header at the start of `bytes`, or undefined when it is none. */
export function decodeAuthenticationHeader(bytes: Uint8Array): AuthenticationHeader | undefined {
  if (bytes.length < AUTHENTICATION_HEADER_LENGTH) return undefined;
  if (bytes[1] !== AUTHENTICATION_HEADER_LENGTH / 4 - 2) return undefined;
  return {
    nextHeader: bytes[0]!,
    spi: new Uint8Array(bytes.subarray(4, 8)),
    sequence: ((bytes[8]! << 24) | (bytes[9]! << 16) | (bytes[10]! << 8) | bytes[11]!) >>> 0,
    checkValue: new Uint8Array(bytes.subarray(CHECK_VALUE_OFFSET, AUTHENTICATION_HEADER_LENGTH)),
  };
}

/**
 * HMAC-MD5-96 (RFC 2403) of an IPv4 packet that carries the authentication header behind its IP header of 20 bytes. What may
 * change on the way counts as zero (RFC 2402 3.3.3.1.1.1): type of service, flags, checksum; the TTL only of unicast, since
 * multicast adverts never pass a router.
 * @param password at most 8 bytes; padded with zeros to 8
 */
export function authenticationCheckValue(packet: Uint8Array, password: string, unicast: boolean): Buffer {
  const copy = Buffer.from(packet);
  copy[1] = 0;
  copy.writeUInt16BE(0, 6);
  if (unicast) copy[8] = 0;
  copy.writeUInt16BE(0, 10);
  copy.fill(0, 20 + CHECK_VALUE_OFFSET, 20 + AUTHENTICATION_HEADER_LENGTH);
  const key = Buffer.alloc(8);
  key.write(password, 'utf8');
  return createHmac('md5', key).update(copy).digest().subarray(0, CHECK_VALUE_LENGTH);
}

/** Writes the check value into a packet made of IPv4 header, authentication header and advertisement. */
export function signPacket(packet: Buffer, password: string, unicast: boolean): void {
  packet.set(authenticationCheckValue(packet, password, unicast), 20 + CHECK_VALUE_OFFSET);
}

/** Whether the packet's check value is that of the password. */
export function checkPacket(packet: Uint8Array, password: string, unicast: boolean): boolean {
  const expected = authenticationCheckValue(packet, password, unicast);
  const found = packet.subarray(20 + CHECK_VALUE_OFFSET, 20 + AUTHENTICATION_HEADER_LENGTH);
  return found.length === expected.length && timingSafeEqual(expected, found);
}
