import { randomInt } from 'node:crypto';
import type { PingCheck } from '../keepalived/model/virtual-server.js';
import { AF_INET6, IPPROTO_ICMP, IPPROTO_ICMPV6, SOCK_DGRAM, SOCK_RAW } from '../lib/libc.js';
import { failure, type Probe, success, type Verdict } from './probe.js';
import {
  close,
  errorName,
  type Opened,
  open,
  type Reactor,
  reportIcmpErrors,
  routeOf,
  send,
} from './sockets.js';
import { refusal } from './tcp-check.js';
import { awaitReply } from './udp-check.js';

const PAYLOAD = Buffer.from('keepalived check - '.repeat(7).slice(0, 128), 'latin1');
const ECHO_REQUEST = 8;
const ECHO_REPLY = 0;
const ECHO_REQUEST_V6 = 128;
const ECHO_REPLY_V6 = 129;

/** Sum of RFC 1071 over bytes, complemented. */
export function internetChecksum(bytes: Uint8Array): number {
  let sum = 0;
  for (let at = 0; at < bytes.length; at += 2) sum += (bytes[at]! << 8) | (bytes[at + 1] ?? 0);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  return ~sum & 0xffff;
}

/** An echo request (RFC 792, RFC 4443 4.1); of ICMPv6 without checksum, which the kernel fills in. */
export function echoRequest(v6: boolean, id: number, sequence: number): Buffer {
  const head = Buffer.alloc(8);
  head[0] = v6 ? ECHO_REQUEST_V6 : ECHO_REQUEST;
  head.writeUInt16BE(id, 4);
  head.writeUInt16BE(sequence, 6);
  const packet = Buffer.concat([head, PAYLOAD]);
  if (!v6) packet.writeUInt16BE(internetChecksum(packet), 2);
  return packet;
}

/**
 * Judges what an ICMP socket received: success when it is the reply to this request, undefined when it is anything else.
 * @param id undefined on a datagram socket, where the kernel chooses the identifier and hands out only its replies
 * @param header whether an IPv4 header comes first (raw sockets)
 */
export function echoVerdict(
  bytes: Buffer,
  v6: boolean,
  id: number | undefined,
  sequence: number,
  header: boolean,
): Verdict | undefined {
  const start = header ? ((bytes[0] ?? 0) & 0x0f) * 4 : 0;
  const message = bytes.subarray(start);
  if (message.length < 8 || message[0] !== (v6 ? ECHO_REPLY_V6 : ECHO_REPLY)) return undefined;
  if (id !== undefined && message.readUInt16BE(4) !== id) return undefined;
  return message.readUInt16BE(6) === sequence ? success : undefined;
}

/**
 * PING_CHECK: an echo reply within connect_timeout. Uses the kernel's ICMP datagram sockets where net.ipv4.ping_group_range lets this
 * process, else a raw socket.
 */
export function pingCheck(check: PingCheck, reactor: Reactor): Probe {
  const route = { ...routeOf({ ...check, connectPort: 0 }) };
  const v6 = route.origin.family === AF_INET6;
  const protocol = v6 ? IPPROTO_ICMPV6 : IPPROTO_ICMP;
  let sequence = randomInt(0x10000);
  let raw = false;
  const openSocket = (): Opened => {
    if (!raw) {
      const opened = open(route, SOCK_DGRAM, protocol);
      if (!('errno' in opened) || opened.call !== 'socket') return opened;
      raw = true;
    }
    return open(route, SOCK_RAW, protocol);
  };
  return {
    run(_step, done) {
      const opened = openSocket();
      if ('errno' in opened) {
        done(refusal(opened));
        return () => {};
      }
      sequence = (sequence + 1) & 0xffff;
      const expected = sequence;
      const id = raw ? randomInt(0x10000) : undefined;
      reportIcmpErrors(opened.fd, route.origin.family);
      const error = send(opened.fd, echoRequest(v6, id ?? 0, expected));
      if (error !== 0) {
        close(opened.fd);
        done(failure(`send: ${errorName(error)}`));
        return () => {};
      }
      return awaitReply(reactor, opened.fd, check.connectTimeout, {
        reply: (bytes) => echoVerdict(bytes, v6, id, expected, raw && !v6),
        silence: failure('no reply'),
        done,
      });
    },
  };
}
