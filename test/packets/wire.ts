/**
 * Packets from fields, the plain way: every checksum is summed up in full, word by word, as RFC 1071 writes it. What the
 * dataplane is expected to send is built here too, so that its incremental arithmetic is never checked against itself.
 */
import { isIPv6 } from 'node:net';
import { Address4, Address6 } from 'ip-address';

export const TCP = 6;
export const UDP = 17;
export const ICMP = 1;
export const ICMPV6 = 58;
const FRAGMENT_HEADER = 44;

/** A transport message, once it is known between which addresses it goes. */
export interface Transport {
  protocol: (ipv6: boolean) => number;
  bytes: (source: Uint8Array, destination: Uint8Array) => Uint8Array;
}

export function address(text: string): Uint8Array {
  return Uint8Array.from(isIPv6(text) ? new Address6(text).toByteArray() : new Address4(text).toArray());
}

/** One's complement sum of 16-bit words in network order, not yet complemented. */
export function sum(...parts: Uint8Array[]): number {
  let total = 0;
  for (const part of parts) {
    for (let i = 0; i < part.length; i += 2) {
      total += ((part[i] ?? 0) << 8) | (part[i + 1] ?? 0);
      if (total > 0xffff) total -= 0xffff;
    }
  }
  return total;
}

export function u16(value: number): number[] {
  return [(value >> 8) & 255, value & 255];
}

export function u32(value: number): number[] {
  return [...u16(value >>> 16), ...u16(value & 0xffff)];
}

function pseudoHeader(
  source: Uint8Array,
  destination: Uint8Array,
  protocol: number,
  length: number,
): Uint8Array {
  return Uint8Array.from(
    source.length === 4
      ? [...source, ...destination, 0, protocol, ...u16(length)]
      : [...source, ...destination, ...u32(length), 0, 0, 0, protocol],
  );
}

/** Writes the checksum of a message into it. */
function seal(message: Uint8Array, at: number, pseudo: Uint8Array): Uint8Array {
  const sealed = Uint8Array.from(message);
  sealed.set([0, 0], at);
  sealed.set(u16(~sum(pseudo, sealed) & 0xffff), at);
  return sealed;
}

export interface TcpFields {
  from: number;
  to: number;
  /** Letters of S F R P A. */
  flags: string;
  sequence?: number;
  acknowledgement?: number;
  window?: number;
  /** Whole options, padded by the caller to a multiple of four. */
  options?: number[];
  payload?: Uint8Array;
}

export function tcp(fields: TcpFields): Transport {
  const options = fields.options ?? [];
  const bits = [...fields.flags].reduce((all, letter) => all | (1 << 'FSRPA'.indexOf(letter)), 0);
  const message = Uint8Array.from([
    ...u16(fields.from),
    ...u16(fields.to),
    ...u32(fields.sequence ?? 1000),
    ...u32(fields.acknowledgement ?? (fields.flags.includes('A') ? 2000 : 0)),
    ((20 + options.length) / 4) << 4,
    bits,
    ...u16(fields.window ?? 64240),
    0,
    0,
    0,
    0,
    ...options,
    ...(fields.payload ?? []),
  ]);
  return {
    protocol: () => TCP,
    bytes: (source, destination) => seal(message, 16, pseudoHeader(source, destination, TCP, message.length)),
  };
}

export function mss(value: number): number[] {
  return [2, 4, ...u16(value)];
}

export interface UdpFields {
  from: number;
  to: number;
  payload?: Uint8Array;
  /** Sent without a checksum (RFC 768). */
  unsummed?: boolean;
}

export function udp(fields: UdpFields): Transport {
  const payload = fields.payload ?? text('hello');
  const length = 8 + payload.length;
  const message = Uint8Array.from([...u16(fields.from), ...u16(fields.to), ...u16(length), 0, 0, ...payload]);
  return {
    protocol: () => UDP,
    bytes(source, destination) {
      if (fields.unsummed) return message;
      const sealed = seal(message, 6, pseudoHeader(source, destination, UDP, length));
      // 0 would mean "none".
      if (sealed[6] === 0 && sealed[7] === 0) sealed.set([255, 255], 6);
      return sealed;
    },
  };
}

function icmpMessage(four: number[], six: number[], rest: number[], body: Uint8Array): Transport {
  return {
    protocol: (ipv6) => (ipv6 ? ICMPV6 : ICMP),
    bytes(source, destination) {
      const ipv6 = source.length === 16;
      const message = Uint8Array.from([...(ipv6 ? six : four), 0, 0, ...rest, ...body]);
      const pseudo = ipv6 ? pseudoHeader(source, destination, ICMPV6, message.length) : new Uint8Array();
      return seal(message, 2, pseudo);
    },
  };
}

export function echo(kind: 'request' | 'reply', id: number, sequence = 1, payload = text('ping')): Transport {
  const request = kind === 'request';
  return icmpMessage([request ? 8 : 0, 0], [request ? 128 : 129, 0], [...u16(id), ...u16(sequence)], payload);
}

/** A neighbour solicitation for `target` (RFC 4861 4.3), without options. */
export function solicitation(target: string): Transport {
  return icmpMessage([], [135, 0], [0, 0, 0, 0], address(target));
}

/** A general query for multicast listeners of version 2 (RFC 3810 5.1): robustness 2, interval 125 s. */
export function listenerQuery(milliseconds: number): Transport {
  const rest = [...u16(milliseconds), 0, 0, ...new Array<number>(16).fill(0), 2, 125, 0, 0];
  return icmpMessage([], [130, 0], rest, new Uint8Array());
}

/** Hop-by-hop options that tell routers to look: a router alert of value 0 (RFC 2711), padded. */
export const ROUTER_ALERT = { type: 0, bytes: [0, 0, 5, 2, 0, 0, 1, 0] };

/** Type and code by what is said, in IPv4 and IPv6 (RFC 792, RFC 1812, RFC 4443). */
const ERRORS = {
  'time exceeded': [
    [11, 0],
    [3, 0],
  ],
  'no route': [
    [3, 0],
    [1, 0],
  ],
  'host unreachable': [
    [3, 1],
    [1, 3],
  ],
  'port unreachable': [
    [3, 3],
    [1, 4],
  ],
  'too big': [
    [3, 4],
    [2, 0],
  ],
} satisfies Record<string, [number[], number[]]>;

export type ErrorKind = keyof typeof ERRORS;

/** An ICMP error that quotes a packet whole. */
export function icmpError(kind: ErrorKind, quoted: Uint8Array, mtu = 0): Transport {
  const [four, six] = ERRORS[kind];
  return icmpMessage(four ?? [], six ?? [], u32(mtu), quoted);
}

export interface IpFields {
  from: string;
  to: string;
  ttl?: number;
  /** Traffic class. */
  tos?: number;
  /** IPv4: may not be fragmented; true unless said otherwise. */
  df?: boolean;
  id?: number;
  /** IPv4 options, padded by the caller to a multiple of four. */
  options?: number[];
  /** A piece: offset in bytes, and whether more follow. */
  fragment?: { offset: number; more: boolean };
  /** IPv6: extension headers before the transport; each gets its "next header" from what follows. */
  extensions?: { type: number; bytes: number[] }[];
}

export function packet(fields: IpFields, transport: Transport): Uint8Array {
  const source = address(fields.from);
  const destination = address(fields.to);
  const body = transport.bytes(source, destination);
  const ttl = fields.ttl ?? 64;
  const tos = fields.tos ?? 0;
  const fragment = fields.fragment;
  if (source.length === 16) {
    const extensions = [...(fields.extensions ?? [])];
    if (fragment)
      extensions.push({
        type: FRAGMENT_HEADER,
        bytes: [0, 0, ...u16(fragment.offset | (fragment.more ? 1 : 0)), 0, 0, 0, 77],
      });
    let next = transport.protocol(true);
    let rest: number[] = [...body];
    for (const extension of extensions.reverse()) {
      rest = [next, ...extension.bytes.slice(1), ...rest];
      next = extension.type;
    }
    const flow = [0x60 | (tos >> 4), (tos & 15) << 4, 0, 0];
    return Uint8Array.from([...flow, ...u16(rest.length), next, ttl, ...source, ...destination, ...rest]);
  }
  const options = fields.options ?? [];
  const pieces = fragment
    ? (fragment.more ? 0x2000 : 0) | (fragment.offset / 8)
    : (fields.df ?? true)
      ? 0x4000
      : 0;
  const header = Uint8Array.from([
    0x40 | (5 + options.length / 4),
    tos,
    ...u16(20 + options.length + body.length),
    ...u16(fields.id ?? 0),
    ...u16(pieces),
    ttl,
    transport.protocol(false),
    0,
    0,
    ...source,
    ...destination,
    ...options,
  ]);
  return Uint8Array.from([...seal(header, 10, new Uint8Array()), ...body]);
}

/** The packet with some bytes overwritten, and nothing mended. */
export function patched(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const changed = Uint8Array.from(bytes);
  changed.set(values, at);
  return changed;
}

/** The packet with some bytes of its IPv4 header overwritten, and the header checksum right again. */
export function patchedHeader(bytes: Uint8Array, at: number, ...values: number[]): Uint8Array {
  const changed = patched(bytes, at, ...values);
  const length = ((changed[0] ?? 0) & 15) * 4;
  changed.set(seal(changed.slice(0, length), 10, new Uint8Array()));
  return changed;
}

export function text(content: string): Uint8Array {
  return new TextEncoder().encode(content);
}

/** `length` bytes that differ from each other. */
export function filler(length: number): Uint8Array {
  return Uint8Array.from({ length }, (_, i) => (i * 7 + 1) & 255);
}
