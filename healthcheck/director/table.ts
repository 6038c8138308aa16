/**
 * The load-balancing table as the director sees it: services with their servers, local addresses and lists. The desired one is
 * computed from configuration and health, the applied one mirrors what the dataplane was told. All rows are plain data;
 * two rows mean the same when `sameRow` says so.
 */

export interface AddressKey {
  kind: 'address';
  protocol: string;
  address: string;
  port: number;
}

export interface FwmarkKey {
  kind: 'fwmark';
  mark: number;
  family: 4 | 6;
}

export interface MatchKey {
  kind: 'match';
  protocol: string;
  /** Inclusive ranges, empty text: any. */
  sourceLow: string;
  sourceHigh: string;
  destinationLow: string;
  destinationHigh: string;
  /** 0..0: any. */
  sourcePorts: [number, number];
  destinationPorts: [number, number];
  iif: string;
  oif: string;
}

export type ServiceKey = AddressKey | FwmarkKey | MatchKey;

/** Attributes of a service; times in whole seconds, as the dataplane counts them. */
export interface Service {
  scheduler: string;
  schedulerFlags: string;
  /** Seconds, 0: none. */
  persistence: number;
  /** Prefix length over client addresses, 0: the whole address. */
  persistencePrefix: number;
  onePacket: boolean;
  synProxy: boolean;
  expireQuiescent: boolean;
  quic: boolean;
  /** Seconds, 0: the protocol's. */
  connectionTimeout: number;
  proxyProtocol: 'none' | 'v1' | 'v2' | 'v1-insecure' | 'v2-insecure';
  hashTarget: 'sip' | 'qid';
  bps: number;
  limitProportion: number;
}

export interface Server {
  address: string;
  port: number;
  forward: 'NAT' | 'DR' | 'TUN' | 'FNAT' | 'SNAT';
  weight: number;
  upperThreshold: number;
  lowerThreshold: number;
  inhibited: boolean;
}

export interface LocalAddress {
  address: string;
  device: string;
}

export interface ListEntry {
  list: 'deny' | 'allow';
  /** Empty with `set`. */
  address: string;
  /** Prefix length. */
  prefix: number;
  /** Name of an ipset, or empty. */
  set: string;
}

export interface ServiceEntry {
  key: ServiceKey;
  /** Undefined in a mirror: the service is somebody else's, only some of its rows are ours. */
  service: Service;
  /** By `serverText`. */
  servers: Map<string, Server>;
  /** By `localText`. */
  locals: Map<string, LocalAddress>;
  /** By `listText`. */
  lists: Map<string, ListEntry>;
}

/** In place of a map of their own for the many services that have none; never written to. */
export const noLocals: Map<string, LocalAddress> = new Map();
export const noLists: Map<string, ListEntry> = new Map();

/** By `keyText`. */
export type ServiceTable = Map<string, ServiceEntry>;

/** Text that is equal for equal keys; also what logs show. */
export function keyText(key: ServiceKey): string {
  switch (key.kind) {
    case 'address':
      return `${key.protocol} [${key.address}]:${key.port}`;
    case 'fwmark':
      return key.family === 6 ? `FWM ${key.mark} IPv6` : `FWM ${key.mark}`;
    case 'match': {
      const range = (low: string, high: string, ports: [number, number]) =>
        low === '' && ports[1] === 0 ? '' : `${low}-${high}${ports[1] ? `:${ports[0]}-${ports[1]}` : ''}`;
      const source = range(key.sourceLow, key.sourceHigh, key.sourcePorts);
      const destination = range(key.destinationLow, key.destinationHigh, key.destinationPorts);
      return `MATCH ${key.protocol} from=${source} to=${destination} iif=${key.iif} oif=${key.oif}`;
    }
  }
}

export function serverText(server: { address: string; port: number }): string {
  return `[${server.address}]:${server.port}`;
}

export function localText(local: LocalAddress): string {
  return `${local.address}@${local.device}`;
}

export function listText(entry: ListEntry): string {
  return entry.set === ''
    ? `${entry.list} ${entry.address}/${entry.prefix}`
    : `${entry.list} ipset:${entry.set}`;
}

/** Rows of one type are flat: equal when every field is. */
export function sameRow<Row extends object>(a: Row, b: Row): boolean {
  for (const name in a) if (a[name] !== b[name]) return false;
  return true;
}
