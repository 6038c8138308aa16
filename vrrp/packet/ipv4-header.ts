import { checksum } from './checksum.js';

export interface Ipv4Header {
  /** Bytes of the header, options included. */
  length: number;
  /** Length of the whole packet as the header tells it. */
  totalLength: number;
  trafficClass: number;
  ttl: number;
  protocol: number;
  source: Uint8Array;
  destination: Uint8Array;
}

const LENGTH = 20;

/** Precedence "internetwork control", as routing protocols use it. */
export const CONTROL_TRAFFIC_CLASS = 0xc0;

/**
 * A header without options (RFC 791 3.1) in front of `payloadLength` bytes.
 * @param identification 1..65535: the kernel replaces 0 by a number of its own
 */
export function encodeIpv4(
  header: Omit<Ipv4Header, 'length' | 'totalLength'>,
  payloadLength: number,
  identification = 0,
): Buffer {
  const bytes = Buffer.alloc(LENGTH);
  bytes[0] = (4 << 4) | (LENGTH / 4);
  bytes[1] = header.trafficClass;
  bytes.writeUInt16BE(LENGTH + payloadLength, 2);
  bytes.writeUInt16BE(identification, 4);
  bytes[8] = header.ttl;
  bytes[9] = header.protocol;
  bytes.set(header.source, 12);
  bytes.set(header.destination, 16);
  bytes.writeUInt16BE(checksum(bytes), 10);
  return bytes;
}

/** Reads the header of a packet, or undefined when it is none. */
export function decodeIpv4(packet: Uint8Array): Ipv4Header | undefined {
  if (packet.length < LENGTH || packet[0]! >> 4 !== 4) return undefined;
  const length = (packet[0]! & 15) * 4;
  if (length < LENGTH || length > packet.length) return undefined;
  return {
    length,
    totalLength: (packet[2]! << 8) | packet[3]!,
    trafficClass: packet[1]!,
    ttl: packet[8]!,
    protocol: packet[9]!,
    source: new Uint8Array(packet.subarray(12, 16)),
    destination: new Uint8Array(packet.subarray(16, 20)),
  };
}
