import { type Advertisement, HEADER_LENGTH, type Malformed, TYPE_ADVERTISEMENT } from './advertisement.js';
import { checksum } from './checksum.js';

/** Authentication data that ends every version 2 packet over IPv4 (RFC 2338 5.3.10), zero when unused. */
export const AUTH_DATA_LENGTH = 8;

export interface AdvertisementV2 extends Advertisement {
  version: 2;
  /** 8 bytes over IPv4, none over IPv6. */
  authenticationData: Uint8Array;
}

/**
 * Bytes of a version 2 advertisement (RFC 3768 5.1), with its checksum when it goes over IPv4; over IPv6 the kernel computes
 * it. `authenticationData` is padded with zeros.
 */
export function encodeV2(advertisement: AdvertisementV2, family: 'ipv4' | 'ipv6'): Buffer {
  const { addresses } = advertisement;
  const size = family === 'ipv4' ? 4 : 16;
  const bytes = Buffer.alloc(
    HEADER_LENGTH + addresses.length * size + (family === 'ipv4' ? AUTH_DATA_LENGTH : 0),
  );
  bytes[0] = (2 << 4) | TYPE_ADVERTISEMENT;
  bytes[1] = advertisement.virtualRouterId;
  bytes[2] = advertisement.priority;
  bytes[3] = addresses.length;
  bytes[4] = advertisement.authenticationType;
  bytes[5] = Math.round(advertisement.interval / 1000);
  for (const [i, address] of addresses.entries()) bytes.set(address, HEADER_LENGTH + i * size);
  if (family === 'ipv4') {
    bytes.set(
      advertisement.authenticationData.subarray(0, AUTH_DATA_LENGTH),
      HEADER_LENGTH + addresses.length * size,
    );
    bytes.writeUInt16BE(checksum(bytes), 6);
  }
  return bytes;
}

/**
 * Reads a version 2 advertisement. Bytes after it (Ethernet padding, an HMAC trailer) are not looked at.
 * @returns the advertisement with the length of its bytes, or why it is none
 */
export function decodeV2(
  bytes: Uint8Array,
  family: 'ipv4' | 'ipv6',
): { advertisement: AdvertisementV2; length: number } | Malformed {
  if (bytes.length < HEADER_LENGTH) return { reason: 'length', detail: `${bytes.length} bytes` };
  const version = bytes[0]! >> 4;
  if (version !== 2) return { reason: 'version', detail: `version ${version}` };
  const size = family === 'ipv4' ? 4 : 16;
  const count = bytes[3]!;
  const end = HEADER_LENGTH + count * size;
  const length = end + (family === 'ipv4' ? AUTH_DATA_LENGTH : 0);
  if (bytes.length < length) {
    return { reason: 'length', detail: `${bytes.length} bytes, ${count} addresses need ${length}` };
  }
  const type = bytes[0]! & 15;
  if (type !== TYPE_ADVERTISEMENT) return { reason: 'type', detail: `type ${type}` };
  if (family === 'ipv4' && checksum(bytes.subarray(0, length)) !== 0) {
    return { reason: 'checksum', detail: 'wrong checksum' };
  }
  const addresses: Uint8Array[] = [];
  for (let at = HEADER_LENGTH; at < end; at += size)
    addresses.push(new Uint8Array(bytes.subarray(at, at + size)));
  return {
    advertisement: {
      version: 2,
      virtualRouterId: bytes[1]!,
      priority: bytes[2]!,
      interval: bytes[5]! * 1000,
      authenticationType: bytes[4]!,
      addresses,
      authenticationData: new Uint8Array(bytes.subarray(end, length)),
    },
    length,
  };
}
