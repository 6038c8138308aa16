import { type Advertisement, HEADER_LENGTH, type Malformed, TYPE_ADVERTISEMENT } from './advertisement.js';
import { finishSum, pseudoHeaderSum, sumWords } from './checksum.js';

export interface AdvertisementV3 extends Advertisement {
  version: 3;
  authenticationType: 0;
}

/**
 * How a version 3 checksum over IPv4 is made: with the pseudo header of RFC 9568 5.2.8, or without (`plain`, as some routers
 * do it). `destination` is that of the pseudo header: senders of unicast before 2017 used the multicast group there.
 */
export type ChecksumV3 = { source: Uint8Array; destination: Uint8Array } | 'plain';

const LARGEST_INTERVAL = 0xfff;

/**
 * Bytes of a version 3 advertisement (RFC 9568 5.1), with its checksum.
 * @param sum how the checksum is made; over IPv6 the kernel makes it again, with the address it sends from
 */
export function encodeV3(advertisement: AdvertisementV3, family: 'ipv4' | 'ipv6', sum: ChecksumV3): Buffer {
  const { addresses } = advertisement;
  const size = family === 'ipv4' ? 4 : 16;
  const bytes = Buffer.alloc(HEADER_LENGTH + addresses.length * size);
  bytes[0] = (3 << 4) | TYPE_ADVERTISEMENT;
  bytes[1] = advertisement.virtualRouterId;
  bytes[2] = advertisement.priority;
  bytes[3] = addresses.length;
  bytes.writeUInt16BE(Math.min(Math.round(advertisement.interval / 10), LARGEST_INTERVAL), 4);
  for (const [i, address] of addresses.entries()) bytes.set(address, HEADER_LENGTH + i * size);
  bytes.writeUInt16BE(checksumV3(bytes, sum), 6);
  return bytes;
}

/** The checksum of these bytes; 0 when they carry the right one. */
export function checksumV3(bytes: Uint8Array, sum: ChecksumV3): number {
  const start = sum === 'plain' ? 0 : pseudoHeaderSum(sum.source, sum.destination, bytes.length);
  return finishSum(sumWords(bytes, start));
}

/**
 * Reads a version 3 advertisement. Bytes after it are not looked at, and the checksum is not checked: which one is right
 * depends on the configuration (see `checksumV3`).
 * @returns the advertisement with the length of its bytes, or why it is none
 */
export function decodeV3(
  bytes: Uint8Array,
  family: 'ipv4' | 'ipv6',
): { advertisement: AdvertisementV3; length: number } | Malformed {
  if (bytes.length < HEADER_LENGTH) return { reason: 'length', detail: `${bytes.length} bytes` };
  const version = bytes[0]! >> 4;
  if (version !== 3) return { reason: 'version', detail: `version ${version}` };
  const size = family === 'ipv4' ? 4 : 16;
  const count = bytes[3]!;
  const length = HEADER_LENGTH + count * size;
  if (bytes.length < length) {
    return { reason: 'length', detail: `${bytes.length} bytes, ${count} addresses need ${length}` };
  }
  const type = bytes[0]! & 15;
  if (type !== TYPE_ADVERTISEMENT) return { reason: 'type', detail: `type ${type}` };
  const addresses: Uint8Array[] = [];
  for (let at = HEADER_LENGTH; at < length; at += size)
    addresses.push(new Uint8Array(bytes.subarray(at, at + size)));
  return {
    advertisement: {
      version: 3,
      virtualRouterId: bytes[1]!,
      priority: bytes[2]!,
      // The upper four bits are reserved and ignored (RFC 9568 5.2.6).
      interval: (((bytes[4]! & 15) << 8) | bytes[5]!) * 10,
      authenticationType: 0,
      addresses,
    },
    length,
  };
}
