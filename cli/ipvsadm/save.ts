import {
  type DestCheck,
  Forward,
  HashTarget,
  type ListEntry,
  ListKind,
  ProxyProtocol,
  type Server,
  type Service,
} from '../../dpvsd/generated/control.js';
import { formatIp } from '../../lib/ip.js';
import { addressText, endpointText } from '../address.js';
import { serviceWords } from './service.js';
import type { VirtualServer } from './table.js';

/** A real server as `-S` writes it. */
export interface SavedServer {
  /** ` -r 192.168.200.2:8080 -b -w 100` */
  switches: string;
  /** For the order of lines: address and port of IPv4 as one number, Infinity for IPv6. */
  ipv4: number;
  /** The server, when it is IPv6. */
  ipv6?: Server;
}

export function savedServer(server: Server): SavedServer {
  const { address, port } = server;
  const switches = serverSwitches(server);
  if (address.length !== 4) return { switches, ipv4: Infinity, ipv6: server };
  return { switches, ipv4: Buffer.from(address).readUInt32BE() * 65536 + port };
}

/** The command lines that make a virtual server again, with everything that belongs to it. */
export function* saveLines({
  key,
  service,
  servers,
  locals,
  entries,
}: VirtualServer<SavedServer>): Generator<string> {
  const name = serviceWords(key);
  yield `-A ${name}${serviceSwitches(service)}`;
  for (const { local } of locals) {
    if (local) yield `-P ${name} -z ${addressText(local.address)} -F ${quoted(local.device)}`;
  }
  for (const entry of entries) {
    const switches = entry.kind === ListKind.LIST_ALLOW ? ['-O', '-2'] : ['-U', '-k'];
    yield `${switches[0]} ${name} ${switches[1]} ${listSubjectText(entry)}`;
  }
  for (const { switches } of servers) yield `-a ${name}${switches}`;
}

/** `10.0.0.1`, `10.0.0.0/8`, `ipset:NAME`; in the contract, prefix length 0 is the whole address, of 0.0.0.0 everybody. */
export function listSubjectText({ address, prefix, set }: ListEntry): string {
  if (set !== '') return quoted(`ipset:${set}`);
  const everybody = prefix === 0 && address.every((byte) => byte === 0);
  const whole = (prefix === 0 && !everybody) || prefix === address.length * 8;
  return formatIp(address) + (whole ? '' : `/${prefix}`);
}

/** `255.255.255.0` for IPv4, the prefix length for IPv6. */
export function netmaskText(prefix: number, ipv6: boolean): string {
  if (ipv6) return String(prefix);
  const mask = Buffer.alloc(4);
  mask.writeUInt32BE((0xffff_ffff << (32 - prefix)) >>> 0);
  return formatIp(mask);
}

/** Prefix length of a service's persistence when it is less than the whole address, otherwise 0. */
export function persistenceMask({ persistencePrefix, key }: Service): number {
  return persistencePrefix === (key?.address.length === 16 ? 128 : 32) ? 0 : persistencePrefix;
}

const proxyNames: Record<ProxyProtocol, string> = {
  [ProxyProtocol.PROXY_NONE]: 'disable',
  [ProxyProtocol.PROXY_V1]: 'v1',
  [ProxyProtocol.PROXY_V2]: 'v2',
  [ProxyProtocol.PROXY_V1_INSECURE]: 'v1-insecure',
  [ProxyProtocol.PROXY_V2_INSECURE]: 'v2-insecure',
};

export function proxyProtocolName(version: ProxyProtocol): string {
  return proxyNames[version] ?? 'disable';
}

/** `1,1,3s,5-3600s`, or `1,3s` when a server is only taken out and never waited for. */
export function destCheckText(check: DestCheck): string {
  const { downRetry, upConfirm, downWait, inhibitMin, inhibitMax } = check;
  if (upConfirm === 0 && inhibitMax === 0) return `${downRetry},${downWait}s`;
  return `${downRetry},${upConfirm},${downWait}s,${inhibitMin}-${inhibitMax}s`;
}

function serviceSwitches(service: Service): string {
  const words = ['', '-s', service.scheduler];
  if (service.schedulerFlags !== '') words.push('--sched-flags', quoted(service.schedulerFlags));
  if (service.hashTarget === HashTarget.HASH_QUIC_ID) words.push('--hash-target', 'qid');
  if (service.persistence > 0) words.push('-p', String(service.persistence));
  const mask = persistenceMask(service);
  if (mask > 0) words.push('-M', netmaskText(mask, service.key?.address.length === 16));
  if (service.onePacket) words.push('-o');
  if (service.synProxy) words.push('-j', 'enable');
  if (service.connectionTimeout > 0) words.push('--conn-timeout', String(service.connectionTimeout));
  if (service.proxyProtocol !== ProxyProtocol.PROXY_NONE) {
    words.push('--proxy-protocol', proxyProtocolName(service.proxyProtocol));
  }
  if (service.expireQuiescent) words.push('--expire-quiescent');
  if (service.quic) words.push('--quic');
  if (service.destCheck?.enabled) words.push('--dest-check', destCheckText(service.destCheck));
  if (service.bps > 0) words.push('--bps', String(service.bps));
  if (service.limitProportion > 0) words.push('--limit-proportion', String(service.limitProportion));
  if (service.owner !== '') words.push('--owner', quoted(service.owner));
  return words.join(' ');
}

/** How a way to forward is written. */
export const forwardSwitches: Record<Forward, string> = {
  [Forward.FORWARD_FULLNAT]: '-b',
  [Forward.FORWARD_NAT]: '-m',
  [Forward.FORWARD_DR]: '-g',
  [Forward.FORWARD_TUNNEL]: '-i',
  [Forward.FORWARD_SNAT]: '-J',
};

function serverSwitches(server: Server): string {
  const words = [
    '',
    '-r',
    endpointText(server.address, server.port),
    forwardSwitches[server.forward] ?? '-g',
  ];
  words.push('-w', String(server.weight));
  if (server.upperThreshold > 0) words.push('-x', String(server.upperThreshold));
  if (server.lowerThreshold > 0) words.push('-y', String(server.lowerThreshold));
  if (server.inhibited) words.push('--inhibited');
  if (server.owner !== '') words.push('--owner', quoted(server.owner));
  return words.join(' ');
}

/** A word as it must be written so that it is read back as one word. */
function quoted(word: string): string {
  return /^[\w./:,@%+=-]+$/.test(word) ? word : `"${word.replace(/["\\]/g, '\\$&')}"`;
}
