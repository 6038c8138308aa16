import type { VrrpInstance } from '../keepalived/model/vrrp.js';
import { formatIp } from '../lib/ip.js';
import type { Advertisement } from './packet/advertisement.js';
import { decodeV2 } from './packet/advertisement-v2.js';
import { checksumV3, decodeV3 } from './packet/advertisement-v3.js';
import { checkTrailer, decodeTrailer, type ReplayGuard, TRAILER_LENGTH } from './packet/auth-hmac.js';
import {
  AUTHENTICATION_HEADER_LENGTH,
  checkPacket,
  decodeAuthenticationHeader,
} from './packet/authentication-header.js';
import { IPPROTO_VRRP } from './packet/checksum.js';

/** A packet as a socket gave it, its IP header taken apart. */
export interface ReceivedPacket {
  source: Uint8Array;
  destination: Uint8Array;
  /** TTL or hop limit. */
  ttl: number;
  /** IP protocol: 112, or 51 for an authentication header. */
  protocol: number;
  /** Everything behind the IP header. */
  payload: Uint8Array;
  /** IPv4: the whole packet with its IP header, for the authentication header. */
  packet?: Uint8Array;
}

/** Counters that a refused packet belongs to, by the names of the statistics dump. */
export type DropReason =
  | 'length'
  | 'ttl'
  | 'version'
  | 'hmac'
  | 'auth-type-invalid'
  | 'auth-type-mismatch'
  | 'auth-failure'
  | 'interval'
  | 'type'
  | 'checksum'
  | 'kind'
  | 'unicast-source';

/** An accepted advert may list other addresses than this node: it counts, and the difference is worth a word. */
export type Verdict =
  | { accept: Advertisement; addressMismatch?: string }
  | { drop: DropReason; detail: string };

/** What of an instance the checks depend upon; the guards remember between packets. */
export interface ReceiveContext {
  instance: VrrpInstance;
  /** Addresses that a right advert lists, as `formatIp` text. */
  addresses: ReadonlySet<string>;
  unicastPeers: ReadonlyMap<string, { minTtl: number; maxTtl: number }>;
  replay: ReplayGuard;
  /** Last sequence number of the authentication header by sender. */
  authenticationSequence: Map<string, number>;
  /** Destination of the pseudo header that peers with the checksum of old use; learnt under `detect`. */
  oldChecksumPeers: Set<string>;
  master: boolean;
  /** Sender of the last accepted advert. */
  lastMaster: string | undefined;
}

const drop = (reason: DropReason, detail: string): Verdict => ({ drop: reason, detail });

/**
 * The checks of RFC 9568 7.1 and RFC 2338 7.1, in the order in which keepalived makes them: length, TTL, version,
 * authentication, interval, type, checksum, multicast or unicast, address list, source.
 * @param wallClock milliseconds since 1970
 */
export function checkPacketFor(context: ReceiveContext, packet: ReceivedPacket, wallClock: number): Verdict {
  const { instance } = context;
  const { family } = instance;
  const source = formatIp(packet.source);
  let bytes = packet.payload;
  const wantsHeader = instance.authentication?.type === 'ah';
  const header = packet.protocol === IPPROTO_VRRP ? undefined : decodeAuthenticationHeader(bytes);
  if (packet.protocol !== IPPROTO_VRRP) {
    if (!header || header.nextHeader !== IPPROTO_VRRP) return drop('length', 'damaged authentication header');
    bytes = bytes.subarray(AUTHENTICATION_HEADER_LENGTH);
  }

  const unicast = instance.unicastPeers !== undefined;
  if (!unicast && packet.ttl !== 255) return drop('ttl', `TTL ${packet.ttl}, expected 255`);

  const version = bytes.length > 0 ? bytes[0]! >> 4 : 0;
  if (bytes.length > 0 && version !== instance.version) {
    return drop('version', `version ${version}, expected ${instance.version}`);
  }
  const decoded = instance.version === 2 ? decodeV2(bytes, family) : decodeV3(bytes, family);
  if ('reason' in decoded) return drop(decoded.reason, decoded.detail);
  const { advertisement, length } = decoded;

  const hmac = instance.authHmac;
  if (hmac) {
    const trailer = bytes.subarray(length, length + TRAILER_LENGTH);
    const fields = decodeTrailer(trailer);
    if (!fields) {
      if (hmac.mode === 'enforce') return drop('hmac', 'no HMAC trailer');
    } else {
      const key = hmac.keys.find(({ id }) => id === fields.keyId);
      if (!key) return drop('hmac', `unknown key ${fields.keyId}`);
      if (!context.replay.fresh(fields.sequence, wallClock, hmac)) {
        return drop('hmac', 'outside the time window: compare the clocks of the nodes');
      }
      const about = {
        family,
        version: instance.version,
        virtualRouterId: instance.virtualRouterId,
        source: packet.source,
      };
      if (!checkTrailer(bytes.subarray(0, length), trailer, key.secretHex, about)) {
        return drop('hmac', `wrong HMAC with key ${key.id}`);
      }
      const remember = Math.max(4, context.unicastPeers.size);
      if (!context.replay.accept(source, fields.sequence, wallClock, hmac, remember)) {
        return drop('hmac', 'replayed');
      }
    }
  }

  if (advertisement.version === 2) {
    const wanted = wantsHeader ? 2 : instance.authentication ? 1 : 0;
    const { authenticationType } = advertisement;
    if (authenticationType > 2) return drop('auth-type-invalid', `authentication type ${authenticationType}`);
    if (authenticationType !== wanted || (header !== undefined) !== wantsHeader) {
      return drop('auth-type-mismatch', `authentication type ${authenticationType}, expected ${wanted}`);
    }
    if (authenticationType === 1 && !samePassword(advertisement.authenticationData, instance)) {
      return drop('auth-failure', 'wrong password');
    }
    if (header && packet.packet) {
      const password = instance.authentication?.password ?? '';
      if (!checkPacket(packet.packet, password, unicast)) {
        return drop('auth-failure', 'wrong check value in the authentication header');
      }
      const last = context.authenticationSequence.get(source);
      // A sender that starts anew counts from 1 again.
      if (last !== undefined && header.sequence <= last && header.sequence !== 1) {
        return drop('auth-failure', `sequence number ${header.sequence} after ${last}`);
      }
      context.authenticationSequence.set(source, header.sequence);
    }
    if (advertisement.interval !== instance.advertInterval) {
      return drop(
        'interval',
        `advertisement interval ${advertisement.interval / 1000} s, expected ${instance.advertInterval / 1000} s`,
      );
    }
  } else if (family === 'ipv4' && !instance.v3ChecksumAsV2) {
    const right = { source: packet.source, destination: packet.destination };
    const sum = bytes.subarray(0, length);
    if (checksumV3(sum, right) !== 0) {
      const group = { source: packet.source, destination: multicastGroup };
      const old = unicast && instance.oldUnicastChecksum !== 'never' && checksumV3(sum, group) === 0;
      if (!old) return drop('checksum', 'wrong checksum');
      context.oldChecksumPeers.add(source);
    } else {
      context.oldChecksumPeers.delete(source);
    }
  }

  const multicast = family === 'ipv4' ? packet.destination[0]! >> 4 === 14 : packet.destination[0] === 0xff;
  if (multicast === unicast) {
    return drop('kind', `${multicast ? 'multicast' : 'unicast'} to ${formatIp(packet.destination)}`);
  }

  if (unicast) {
    const peer = context.unicastPeers.get(source);
    if (!peer && instance.checkUnicastSource) return drop('unicast-source', `${source} is no unicast_peer`);
    if (peer && (packet.ttl < peer.minTtl || packet.ttl > peer.maxTtl)) {
      return drop('ttl', `TTL ${packet.ttl}, expected ${peer.minTtl} to ${peer.maxTtl}`);
    }
  }
  if (!instance.skipCheckAdvertAddresses || context.master || context.lastMaster !== source) {
    const problem = compareAddresses(advertisement, context.addresses);
    // A different list is told, not refused: while a change of the list is rolled out both nodes must go on as a pair.
    if (problem !== undefined) return { accept: advertisement, addressMismatch: problem };
  }
  return { accept: advertisement };
}

const multicastGroup = Buffer.from([224, 0, 0, 18]);

function samePassword(data: Uint8Array, instance: VrrpInstance): boolean {
  const expected = Buffer.alloc(8);
  expected.write(instance.authentication?.password ?? '', 'utf8');
  return expected.equals(data);
}

function compareAddresses(advertisement: Advertisement, expected: ReadonlySet<string>): string | undefined {
  if (advertisement.addresses.length !== expected.size) {
    return `${advertisement.addresses.length} addresses, expected ${expected.size}`;
  }
  for (const address of advertisement.addresses) {
    const text = formatIp(address);
    if (!expected.has(text)) return `address ${text} is not configured here`;
  }
  return undefined;
}
