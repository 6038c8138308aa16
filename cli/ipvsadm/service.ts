import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import type { Match, ServiceKey } from '../../dpvsd/generated/control.js';
import { Protocol } from '../../dpvsd/generated/control.js';
import { formatIp } from '../../lib/ip.js';
import { addressBytes, decimal, endpointText } from '../address.js';
import { UsageError } from '../usage.js';

export interface Endpoint {
  address: Buffer;
  /** undefined: none was given. */
  port: number | undefined;
}

/** Name of a protocol in /etc/services. */
type PortProtocol = 'tcp' | 'udp';

let services: Map<string, number> | undefined;

/** Ports of /etc/services by `name/protocol` and, first name wins, names by `port/protocol`. Read when first needed. */
function servicesFile(): Map<string, number> {
  if (services) return services;
  services = new Map();
  let text = '';
  try {
    text = readFileSync('/etc/services', 'utf8');
  } catch {
    // A machine without the file has numbers only.
  }
  for (const line of text.split('\n')) {
    const [name, port, ...aliases] = line.replace(/#.*/, '').trim().split(/\s+/);
    const [number, protocol] = (port ?? '').split('/');
    if (!name || !number || !protocol) continue;
    for (const each of [name, ...aliases]) services.set(`${each}/${protocol}`, Number(number));
  }
  return services;
}

/** A port as number or as a name of /etc/services, or undefined. */
function parsePort(text: string, protocol: PortProtocol): number | undefined {
  return decimal(text, 0, 65535) ?? servicesFile().get(`${text}/${protocol}`);
}

/** An address, or the first IPv4 address of a host name as the system resolves it, or undefined. */
function resolveHost(text: string): Buffer | undefined {
  const address = addressBytes(text);
  if (address) return address;
  // Digits and dots alone are a mistyped address, not a host to ask a name server for.
  if (!/^[A-Za-z0-9_][A-Za-z0-9_.-]*$/.test(text) || /^[\d.]+$/.test(text)) return undefined;
  const found = spawnSync('getent', ['ahostsv4', text], { encoding: 'utf8', timeout: 10_000 });
  const first = found.status === 0 ? found.stdout.split(/\s/)[0] : undefined;
  return first ? addressBytes(first) : undefined;
}

/**
 * Reads `ADDRESS[:PORT]`, `[IPv6]:PORT`, `IPv6`, with host and service names where numbers can stand.
 * @param what for the message: virtual server, real server ...
 * @throws UsageError
 */
export function parseEndpoint(text: string, what: string, protocol: PortProtocol): Endpoint {
  const illegal = (why: string): UsageError =>
    new UsageError(`illegal ${what} '${text}': ${why} (ADDRESS:PORT or [IPv6]:PORT)`);
  let host = text;
  let port: string | undefined;
  if (text.startsWith('[')) {
    const end = text.indexOf(']');
    if (end < 0) throw illegal('the bracket is not closed');
    host = text.slice(1, end);
    const rest = text.slice(end + 1);
    if (rest !== '' && !rest.startsWith(':')) throw illegal('a colon and the port belong behind the bracket');
    if (rest !== '') port = rest.slice(1);
    if (addressBytes(host)?.length !== 16) throw illegal('there is no IPv6 address in the brackets');
  } else {
    const colon = text.indexOf(':');
    if (colon >= 0 && colon === text.lastIndexOf(':')) {
      host = text.slice(0, colon);
      port = text.slice(colon + 1);
    } else if (colon >= 0 && !addressBytes(text)) throw illegal('an IPv6 address with a port needs brackets');
  }
  const address = resolveHost(host);
  if (!address) throw illegal(`'${host}' is no address and no known host`);
  if (port === undefined) return { address, port: undefined };
  const number = parsePort(port, protocol);
  if (number === undefined)
    throw illegal(`'${port}' is no port (0 to 65535) and no ${protocol} service of /etc/services`);
  return { address, port: number };
}

/** Key of the virtual server that an option names. @throws UsageError */
export function parseServiceKey(option: string, text: string, ipv6: boolean): ServiceKey {
  const base = { address: Buffer.alloc(0), port: 0, fwmark: 0, match: undefined };
  switch (option) {
    case 'tcp-service':
    case 'udp-service': {
      const udp = option === 'udp-service';
      const { address, port } = parseEndpoint(text, 'virtual server', udp ? 'udp' : 'tcp');
      return {
        ...base,
        protocol: udp ? Protocol.PROTOCOL_UDP : Protocol.PROTOCOL_TCP,
        address,
        port: port ?? 0,
      };
    }
    case 'icmp-service':
    case 'icmpv6-service': {
      // The family of the address decides, so that either letter does for either family.
      const { address, port } = parseEndpoint(text, 'virtual server', 'tcp');
      const protocol = address.length === 16 ? Protocol.PROTOCOL_ICMPV6 : Protocol.PROTOCOL_ICMP;
      return { ...base, protocol, address, port: port ?? 0 };
    }
    case 'sctp-service':
      throw new UsageError('SCTP is not balanced by this dataplane: TCP, UDP and ICMP are');
    case 'fwmark-service': {
      const fwmark = decimal(text, 1, 0xffff_ffff);
      if (fwmark === undefined) throw new UsageError(`illegal firewall mark '${text}' (1 to 4294967295)`);
      return {
        ...base,
        protocol: Protocol.PROTOCOL_NONE,
        fwmark,
        address: ipv6 ? Buffer.alloc(16) : base.address,
      };
    }
    default: {
      const { protocol, match } = parseMatch(text);
      return { ...base, protocol, match };
    }
  }
}

const matchProtocols: Record<string, Protocol> = {
  tcp: Protocol.PROTOCOL_TCP,
  udp: Protocol.PROTOCOL_UDP,
  icmp: Protocol.PROTOCOL_ICMP,
  icmpv6: Protocol.PROTOCOL_ICMPV6,
};

const allIpv6 = { low: Buffer.alloc(16), high: Buffer.alloc(16, 0xff) };

/**
 * Reads `proto=tcp,src-range=10.0.0.0-10.0.0.255:1-1024,dst-range=[2001:db8::1-2001:db8::9]:80,iif=dpdk0,oif=dpdk1,af=ipv6`.
 * Every part may be left out or left empty, but not all of them.
 */
function parseMatch(text: string): { protocol: Protocol; match: Match } {
  const match: Match = {
    sourceLow: Buffer.alloc(0),
    sourceHigh: Buffer.alloc(0),
    destinationLow: Buffer.alloc(0),
    destinationHigh: Buffer.alloc(0),
    sourcePortLow: 0,
    sourcePortHigh: 0,
    destinationPortLow: 0,
    destinationPortHigh: 0,
    inPort: '',
    outPort: '',
  };
  let protocol = Protocol.PROTOCOL_NONE;
  let family: string | undefined;
  const illegal = (why: string) =>
    new UsageError(
      `illegal match '${text}': ${why} (proto=tcp|udp|icmp|icmpv6,src-range=IP-IP:PORT-PORT,dst-range=...,iif=DEV,oif=DEV,af=ipv4|ipv6)`,
    );
  let parts = 0;
  for (const part of splitOutsideBrackets(text)) {
    const equals = part.indexOf('=');
    if (equals < 0) throw illegal(`'${part}' is not NAME=VALUE`);
    const value = part.slice(equals + 1);
    if (value === '') continue;
    parts++;
    switch (part.slice(0, equals)) {
      case 'proto': {
        const known = matchProtocols[value];
        if (known === undefined) throw illegal(`protocol '${value}'`);
        protocol = known;
        break;
      }
      case 'af':
        if (value !== 'ipv4' && value !== 'ipv6') throw illegal(`family '${value}'`);
        family = value;
        break;
      case 'src-range':
      case 'from': {
        const range = parseRange(value);
        if (!range) throw illegal(`source range '${value}'`);
        [match.sourceLow, match.sourceHigh] = [range.low, range.high];
        [match.sourcePortLow, match.sourcePortHigh] = [range.portLow, range.portHigh];
        break;
      }
      case 'dst-range':
      case 'to': {
        const range = parseRange(value);
        if (!range) throw illegal(`destination range '${value}'`);
        [match.destinationLow, match.destinationHigh] = [range.low, range.high];
        [match.destinationPortLow, match.destinationPortHigh] = [range.portLow, range.portHigh];
        break;
      }
      case 'iif':
        match.inPort = value;
        break;
      case 'oif':
        match.outPort = value;
        break;
      default:
        throw illegal(`'${part.slice(0, equals)}' is no part of a match`);
    }
  }
  if (parts === 0) throw illegal('it is empty');
  const lengths = new Set(
    [match.sourceLow.length, match.destinationLow.length].filter((length) => length > 0),
  );
  if (lengths.size > 1) throw illegal('source and destination are of different families');
  if (family === 'ipv4' && lengths.has(16)) throw illegal('the ranges are IPv6');
  if (family === 'ipv6') {
    if (lengths.has(4)) throw illegal('the ranges are IPv4');
    // A family without a range is a range: all of it.
    if (lengths.size === 0) [match.sourceLow, match.sourceHigh] = [allIpv6.low, allIpv6.high];
  }
  return { protocol, match };
}

function splitOutsideBrackets(text: string): string[] {
  return text.split(/,(?![^[]*\])/).filter((part) => part !== '');
}

interface Range {
  low: Buffer;
  high: Buffer;
  portLow: number;
  portHigh: number;
}

/** `IP[-IP][:PORT[-PORT]]`, IPv6 in brackets; the second IPv4 address may be its last byte alone (10.0.0.1-20). */
function parseRange(text: string): Range | undefined {
  const parts = /^(?:\[([^\]]+)\]|([^:[\]]+))(?::([^:]+))?$/.exec(text);
  if (!parts) return undefined;
  const [lowText = '', highText, ...more] = (parts[1] ?? parts[2] ?? '').split('-');
  const low = addressBytes(lowText);
  if (!low || more.length > 0 || (parts[1] !== undefined) !== (low.length === 16)) return undefined;
  let high: Buffer | undefined = low;
  if (highText !== undefined) {
    const last = low.length === 4 ? decimal(highText, 0, 255) : undefined;
    high = last === undefined ? addressBytes(highText) : Buffer.concat([low.subarray(0, 3), Buffer.of(last)]);
  }
  if (!high || high.length !== low.length || Buffer.compare(low, high) > 0) return undefined;
  const [portLowText, portHighText, ...others] = (parts[3] ?? '0').split('-');
  const portLow = decimal(portLowText, 0, 65535);
  const portHigh = portHighText === undefined ? portLow : decimal(portHighText, 0, 65535);
  if (portLow === undefined || portHigh === undefined || portHigh < portLow || others.length > 0)
    return undefined;
  return { low, high, portLow, portHigh };
}

function rangeText(low: Uint8Array, high: Uint8Array, portLow: number, portHigh: number): string {
  const addresses = `${formatIp(low)}-${formatIp(high)}`;
  const ports = portHigh > 0 ? `:${portLow}-${portHigh}` : '';
  return (low.length === 16 ? `[${addresses}]` : addresses) + ports;
}

/** Whether a range of a match is all of IPv6, which is how a match says `af=ipv6`. */
function isAllIpv6(match: Match): boolean {
  return (
    match.destinationLow.length === 0 &&
    match.sourcePortHigh === 0 &&
    Buffer.compare(match.sourceLow, allIpv6.low) === 0 &&
    Buffer.compare(match.sourceHigh, allIpv6.high) === 0
  );
}

/** The parts of a match as words `NAME=VALUE`, with the given names for the two ranges. */
export function matchParts(match: Match, source = 'src-range', destination = 'dst-range'): string[] {
  const parts: string[] = [];
  if (isAllIpv6(match)) parts.push('af=ipv6');
  else if (match.sourceLow.length > 0) {
    const { sourceLow, sourceHigh, sourcePortLow, sourcePortHigh } = match;
    parts.push(`${source}=${rangeText(sourceLow, sourceHigh, sourcePortLow, sourcePortHigh)}`);
  }
  if (match.destinationLow.length > 0) {
    const { destinationLow, destinationHigh, destinationPortLow, destinationPortHigh } = match;
    parts.push(
      `${destination}=${rangeText(destinationLow, destinationHigh, destinationPortLow, destinationPortHigh)}`,
    );
  }
  if (match.inPort !== '') parts.push(`iif=${match.inPort}`);
  if (match.outPort !== '') parts.push(`oif=${match.outPort}`);
  return parts;
}

/** Lower-case name of a protocol. */
export function protocolName(protocol: Protocol): string {
  switch (protocol) {
    case Protocol.PROTOCOL_TCP:
      return 'tcp';
    case Protocol.PROTOCOL_UDP:
      return 'udp';
    case Protocol.PROTOCOL_ICMP:
      return 'icmp';
    case Protocol.PROTOCOL_ICMPV6:
      return 'icmpv6';
    default:
      return '--';
  }
}

/** Words that name a virtual server on a command line: `-t 10.0.0.1:80`. Ranges of addresses are written out in full. */
export function serviceWords(key: ServiceKey): string {
  if (key.fwmark > 0) return `-f ${key.fwmark}${key.address.length === 16 ? ' -6' : ''}`;
  if (key.match) {
    const proto = key.protocol === Protocol.PROTOCOL_NONE ? [] : [`proto=${protocolName(key.protocol)}`];
    return `-H ${[...proto, ...matchParts(key.match)].join(',')}`;
  }
  const endpoint = endpointText(key.address, key.port);
  switch (key.protocol) {
    case Protocol.PROTOCOL_UDP:
      return `-u ${endpoint}`;
    case Protocol.PROTOCOL_ICMP:
      return `-q ${endpoint}`;
    case Protocol.PROTOCOL_ICMPV6:
      return `-1 ${endpoint}`;
    default:
      return `-t ${endpoint}`;
  }
}

/** One text per virtual server, equal for equal keys. */
export function serviceId(key: ServiceKey): string {
  return serviceWords(key);
}
