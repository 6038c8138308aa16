import { randomInt } from 'node:crypto';
import type { DnsCheck } from '../keepalived/model/virtual-server.js';
import { SOCK_DGRAM } from '../lib/libc.js';
import { failure, type Probe, success, type Verdict } from './probe.js';
import { close, errorName, open, type Reactor, reportIcmpErrors, routeOf, send } from './sockets.js';
import { refusal } from './tcp-check.js';
import { awaitReply } from './udp-check.js';

/** RFC 1035 3.2.2, RFC 3596, RFC 4034. */
const types: Record<DnsCheck['type'], number> = {
  A: 1,
  NS: 2,
  CNAME: 5,
  SOA: 6,
  MX: 15,
  TXT: 16,
  AAAA: 28,
  RRSIG: 46,
  DNSKEY: 48,
};

const rcodes = ['NOERROR', 'FORMERR', 'SERVFAIL', 'NXDOMAIN', 'NOTIMP', 'REFUSED'];

/**
 * A query with recursion desired (RFC 1035 4.1).
 * @returns undefined when the name cannot be one: a label of more than 63 bytes, or more than 255 in all
 */
export function dnsQuery(id: number, name: string, type: DnsCheck['type']): Buffer | undefined {
  const labels = name.split('.').filter((label) => label !== '');
  const parts: Buffer[] = [];
  for (const label of labels) {
    const bytes = Buffer.from(label, 'latin1');
    if (bytes.length > 63) return undefined;
    parts.push(Buffer.from([bytes.length]), bytes);
  }
  const question = Buffer.concat([...parts, Buffer.from([0])]);
  if (question.length > 255) return undefined;
  const header = Buffer.alloc(12);
  header.writeUInt16BE(id, 0);
  header.writeUInt16BE(0x0100, 2);
  header.writeUInt16BE(1, 4);
  return Buffer.concat([header, question, Buffer.from([0, types[type], 0, 1])]);
}

/**
 * Judges a datagram: an answer to our query without an error is success, whatever it says. A datagram that is no answer of this id
 * is not ours: undefined.
 */
export function dnsVerdict(reply: Buffer, id: number): Verdict | undefined {
  if (reply.length < 12 || reply.readUInt16BE(0) !== id) return undefined;
  const flags = reply.readUInt16BE(2);
  if (!(flags & 0x8000)) return undefined;
  const code = flags & 0x0f;
  return code === 0 ? success : failure(`rcode ${code} (${rcodes[code] ?? 'unknown'})`);
}

/** DNS_CHECK: one query by UDP, answered without an error within connect_timeout. */
export function dnsCheck(check: DnsCheck, reactor: Reactor): Probe {
  const route = routeOf(check);
  return {
    run(_step, done) {
      const id = randomInt(0x10000);
      const query = dnsQuery(id, check.name, check.type);
      if (!query) {
        done(failure(`'${check.name}' is no domain name`));
        return () => {};
      }
      const opened = open(route, SOCK_DGRAM);
      if ('errno' in opened) {
        done(refusal(opened));
        return () => {};
      }
      reportIcmpErrors(opened.fd, route.origin.family);
      const error = send(opened.fd, query);
      if (error !== 0) {
        close(opened.fd);
        done(failure(`send: ${errorName(error)}`));
        return () => {};
      }
      return awaitReply(reactor, opened.fd, check.connectTimeout, {
        reply: (bytes) => dnsVerdict(bytes, id),
        silence: failure('timeout'),
        done,
      });
    },
  };
}
