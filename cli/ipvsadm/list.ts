import {
  type ConnectionRow,
  Forward,
  HashTarget,
  type ListEntry,
  Protocol,
  ProxyProtocol,
  type ServerRow,
  type ServiceKey,
  type TemplateRow,
  type Timeouts,
} from '../../dpvsd/generated/control.js';
import { addressText, endpointText } from '../address.js';
import type { ListView } from './command.js';
import type { Names } from './names.js';
import { destCheckText, listSubjectText, netmaskText, persistenceMask, proxyProtocolName } from './save.js';
import { matchParts, protocolName } from './service.js';
import type { VirtualServer } from './table.js';

// Widths and words of these rows are what scripts have parsed for twenty years: they split on blanks.

const left = (text: string | number, width: number): string => String(text).padEnd(width);

/** First line of a listing of the whole table. */
export function versionLine(version: string): string {
  return `IP Virtual Server version ${version} (size=0)`;
}

const place = 'Prot LocalAddress:Port';

/** Column titles: two lines. */
export function titleLines(view: ListView): string[] {
  const right = (...titles: string[]) =>
    `${left(place, 33)} ${titles.map((title) => title.padStart(8)).join(' ')}`;
  const server = '  -> RemoteAddress:Port';
  switch (view) {
    case 'stats':
      return [right('Conns', 'InPkts', 'OutPkts', 'InBytes', 'OutBytes'), server];
    case 'rate':
      return [right('CPS', 'InPPS', 'OutPPS', 'InBPS', 'OutBPS'), server];
    case 'thresholds':
      return [
        `${left(place, 33)} ${left('Uthreshold', 10)} ${left('Lthreshold', 10)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}`,
        server,
      ];
    case 'persistent-conn':
      return [
        `${left(place, 33)} ${left('Weight', 9)} ${left('PersistConn', 11)} ${left('ActiveConn', 10)} ${left('InActConn', 10)}`,
        server,
      ];
    default:
      return [`${place} Scheduler Flags`, `${server}           Forward Weight ActiveConn InActConn`];
  }
}

/** A number in 9 columns, or one more than its digits: from 100 million on in thousands, millions ..., unless `exact`. */
export function largeNumber(value: number, exact: boolean): string {
  if (exact) {
    const text = String(value);
    return text.padStart(text.length <= 8 ? 9 : text.length + 1);
  }
  for (const [limit, unit, letter] of scales) {
    if (value < limit)
      return letter === ''
        ? String(value).padStart(9)
        : `${String(Math.floor(value / unit)).padStart(8)}${letter}`;
  }
  return `${String(Math.floor(value / 1e12)).padStart(8)}T`;
}

const scales = [
  [1e8, 1, ''],
  [1e9, 1e3, 'K'],
  [1e11, 1e6, 'M'],
  [1e14, 1e9, 'G'],
] as const;

const columns = ['connections', 'inPackets', 'outPackets', 'inBytes', 'outBytes'] as const;

function numbers(counts: Record<(typeof columns)[number], number> | undefined, exact: boolean): string {
  return columns.map((column) => largeNumber(counts?.[column] ?? 0, exact)).join('');
}

export const forwardNames: Record<Forward, string> = {
  [Forward.FORWARD_FULLNAT]: 'FullNat',
  [Forward.FORWARD_NAT]: 'Masq',
  [Forward.FORWARD_DR]: 'Route',
  [Forward.FORWARD_TUNNEL]: 'Tunnel',
  [Forward.FORWARD_SNAT]: 'SNAT',
};

/** First word of a service's row. */
export function protocolTitle(protocol: Protocol): string {
  return protocol === Protocol.PROTOCOL_ICMPV6 ? 'ICMPv6' : protocolName(protocol).toUpperCase();
}

/** `TCP  10.0.0.1:80`, `FWM  3 IPv6`, `MATCH tcp,from=...`. */
export function serviceTitle(key: ServiceKey, names: Names): string {
  if (key.fwmark > 0) return `FWM  ${key.fwmark}${key.address.length === 16 ? ' IPv6' : ''}`;
  if (key.match)
    return `MATCH ${[protocolName(key.protocol), ...matchParts(key.match, 'from', 'to')].join(',')}`;
  return `${protocolTitle(key.protocol)}  ${names.endpoint(key.address, key.port)}`;
}

export interface RowOptions {
  view: ListView;
  exact: boolean;
  names: Names;
}

/** The rows of a virtual server and its real servers. */
export function* serviceLines(found: VirtualServer, options: RowOptions): Generator<string> {
  const { key, service, row } = found;
  const { view, exact, names } = options;
  const title = serviceTitle(key, names);
  if (view === 'stats') yield `${left(title, 33)}${numbers(row?.traffic, exact)}`;
  else if (view === 'rate') {
    yield `${left(title + (service.bps > 0 ? ` bps ${service.bps}M` : ''), 33)}${numbers(row?.rate, exact)}`;
  } else yield `${title} ${service.scheduler}${serviceFlags(found)}`;
  for (const server of found.servers) yield serverLine(server, options);
}

function serviceFlags({ service, key }: VirtualServer): string {
  const words: string[] = [];
  if (service.scheduler === 'conhash')
    words.push(service.hashTarget === HashTarget.HASH_QUIC_ID ? 'qid' : 'sip');
  if (service.persistence > 0) {
    words.push(`persistent ${service.persistence}`);
    const mask = persistenceMask(service);
    if (mask > 0) words.push(`mask ${netmaskText(mask, key.address.length === 16)}`);
  }
  if (service.onePacket) words.push('ops');
  if (service.synProxy) words.push('synproxy');
  if (service.connectionTimeout > 0) words.push(`conn-timeout ${service.connectionTimeout}`);
  if (service.proxyProtocol !== ProxyProtocol.PROXY_NONE)
    words.push(`pp${proxyProtocolName(service.proxyProtocol)}`);
  if (service.expireQuiescent) words.push('expire-quiescent');
  if (service.quic) words.push('quic');
  if (service.destCheck?.enabled) {
    const text = destCheckText(service.destCheck);
    words.push(`dest-check internal:${text === '1,1,3s,5-3600s' ? 'default' : text}`);
  }
  if (service.schedulerFlags !== '') words.push(service.schedulerFlags);
  return words.map((word) => ` ${word}`).join('');
}

function serverLine(row: ServerRow, { view, exact, names }: RowOptions): string {
  const { server, active, inactive, persistent, traffic, rate } = row;
  if (!server) return '  ->';
  const name = `  -> ${left(names.endpoint(server.address, server.port), 28)}`;
  const connections = `${left(active, 10)} ${left(inactive, 10)}`;
  switch (view) {
    case 'stats':
      return name + numbers(traffic, exact);
    case 'rate':
      return name + numbers(rate, exact);
    case 'thresholds':
      return `${name} ${left(server.upperThreshold, 10)} ${left(server.lowerThreshold, 10)} ${connections}`;
    case 'persistent-conn':
      return `${name} ${left(server.weight, 9)} ${left(persistent, 11)} ${connections}`;
    default: {
      const states = [...(server.inhibited ? ['inhibited'] : []), ...(row.overloaded ? ['overload'] : [])];
      const state = states.length > 0 ? ` ${states.join(',')}` : '';
      const forward = forwardNames[server.forward] ?? '?';
      return `${name} ${left(forward, 7)} ${left(server.weight, 6)} ${connections}${state}`;
    }
  }
}

/** One connection: `[worker]tcp 7s TIME_WAIT client virtual local server`. */
export function connectionLine(row: ConnectionRow, names: Names): string {
  return connectionRow(row.worker, row.protocol, row.expires, row.state, [
    names.endpoint(row.client, row.clientPort),
    names.endpoint(row.virtual, row.virtualPort),
    names.endpoint(row.local, row.localPort),
    names.endpoint(row.server, row.serverPort),
  ]);
}

/** One persistence template, in the same columns; it has no port of a client and no local address. */
export function templateLine(row: TemplateRow, names: Names): string {
  const key = row.service;
  const protocol = key?.protocol ?? Protocol.PROTOCOL_NONE;
  return connectionRow(row.worker, protocol, row.expires, 'TEMPLATE', [
    endpointText(row.client, 0),
    key && key.address.length > 0 ? names.endpoint(key.address, key.port) : '0.0.0.0:0',
    '0.0.0.0:0',
    names.endpoint(row.server, row.serverPort),
  ]);
}

function connectionRow(
  worker: number,
  protocol: Protocol,
  expires: number,
  state: string,
  ends: string[],
): string {
  const [client, virtual, local, server] = ends.map((end) => left(end, 18));
  return `[${worker + 1}]${left(protocolName(protocol), 3)} ${left(`${expires}s`, 6)} ${left(state, 11)} ${client} ${virtual} ${local} ${server?.trimEnd()}`;
}

/** Rows of -G, without the title. */
export function* localAddressLines({ key, locals }: VirtualServer, names: Names): Generator<string> {
  const vip = key.fwmark > 0 || key.match ? serviceTitle(key, names) : endpointText(key.address, key.port);
  yield `${left(vip, 20)} ${left(locals.length, 8)} `;
  for (const { local, portConflicts, connections } of locals) {
    const address = addressText(local?.address ?? Buffer.alloc(0));
    yield `${left('', 20)} ${left('', 8)} ${left(address, 20)} ${left(portConflicts, 10)} ${left(connections, 10)}`;
  }
}

export const localAddressTitle = `${left('VIP:VPORT', 20)} ${left('TOTAL', 8)} ${left('SNAT_IP', 20)} ${left('CONFLICTS', 10)} ${left('CONNS', 10)}`;

/** Title of -B (BLACKLIST) and -W (WHITELIST). */
export function entryTitle(list: string): string {
  return `${left('PROTO', 8)} ${left('VIP:VPORT', 30)} ${left(list, 30)}`;
}

/** A row of -B or -W. */
export function entryLine(key: ServiceKey, entry: ListEntry, names: Names): string {
  const plain = key.fwmark === 0 && !key.match;
  const protocol = plain ? protocolTitle(key.protocol) : key.fwmark > 0 ? 'FWM' : 'MATCH';
  const vip = plain ? endpointText(key.address, key.port) : serviceTitle(key, names).replace(/^\w+ +/, '');
  return `${left(protocol, 8)} ${left(vip, 30)} ${left(listSubjectText(entry), 30)}`;
}

export function timeoutsLine({ tcp, tcpFin, udp }: Timeouts): string {
  return `Timeout (tcp tcpfin udp): ${tcp} ${tcpFin} ${udp}`;
}
