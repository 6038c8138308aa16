import type {
  ConnectionRow,
  ListEntry,
  LocalAddressRow,
  ServerRow,
  ServiceKey,
  TemplateRow,
} from '../../dpvsd/generated/control.js';
import { HashTarget, ListKind, ProxyProtocol } from '../../dpvsd/generated/control.js';
import { formatIp } from '../../lib/ip.js';
import { addressText } from '../address.js';
import { forwardNames } from './list.js';
import { listSubjectText, proxyProtocolName } from './save.js';
import { matchParts, protocolName } from './service.js';
import type { VirtualServer } from './table.js';

// Names of JSON members are those of the command line's options where there is one. Times are seconds, counters plain numbers.

function keyJson(key: ServiceKey): Record<string, unknown> {
  if (key.fwmark > 0) return { fwmark: key.fwmark, family: key.address.length === 16 ? 'ipv6' : 'ipv4' };
  const protocol = protocolName(key.protocol);
  if (key.match) {
    return {
      protocol,
      match: Object.fromEntries(matchParts(key.match).map((part) => part.split('=') as [string, string])),
    };
  }
  return { protocol, address: formatIp(key.address), port: key.port };
}

export function virtualServerJson(found: VirtualServer, counters: boolean): Record<string, unknown> {
  const { key, service, row, servers, locals, entries } = found;
  return {
    ...keyJson(key),
    scheduler: service.scheduler,
    schedulerFlags: service.schedulerFlags,
    persistent: service.persistence,
    persistentPrefix: service.persistencePrefix,
    ops: service.onePacket,
    synproxy: service.synProxy,
    connTimeout: service.connectionTimeout,
    proxyProtocol:
      service.proxyProtocol === ProxyProtocol.PROXY_NONE ? null : proxyProtocolName(service.proxyProtocol),
    hashTarget: service.hashTarget === HashTarget.HASH_QUIC_ID ? 'qid' : 'sip',
    quic: service.quic,
    expireQuiescent: service.expireQuiescent,
    destCheck: service.destCheck?.enabled ? service.destCheck : null,
    bps: service.bps,
    limitProportion: service.limitProportion,
    owner: service.owner,
    ...(counters ? { stats: row?.traffic, rate: row?.rate } : {}),
    servers: servers.map((server) => serverJson(server, counters)),
    localAddresses: locals.map((local) => localAddressJson(local, counters)),
    deny: entries.filter(({ kind }) => kind === ListKind.LIST_DENY).map(listSubjectText),
    allow: entries.filter(({ kind }) => kind === ListKind.LIST_ALLOW).map(listSubjectText),
  };
}

function serverJson(row: ServerRow, counters: boolean): Record<string, unknown> {
  const { server } = row;
  if (!server) return {};
  return {
    address: formatIp(server.address),
    port: server.port,
    forward: forwardNames[server.forward] ?? null,
    weight: server.weight,
    upperThreshold: server.upperThreshold,
    lowerThreshold: server.lowerThreshold,
    inhibited: server.inhibited,
    owner: server.owner,
    ...(counters
      ? {
          overloaded: row.overloaded,
          activeConn: row.active,
          inActConn: row.inactive,
          persistConn: row.persistent,
          stats: row.traffic,
          rate: row.rate,
        }
      : {}),
  };
}

function localAddressJson({ local, ...counts }: LocalAddressRow, counters: boolean): Record<string, unknown> {
  return {
    address: addressText(local?.address ?? Buffer.alloc(0)),
    device: local?.device ?? '',
    ...(counters
      ? { portConflicts: counts.portConflicts, connections: counts.connections, freePorts: counts.freePorts }
      : {}),
  };
}

export function localAddressesJson({ key, locals }: VirtualServer): Record<string, unknown> {
  return { ...keyJson(key), localAddresses: locals.map((local) => localAddressJson(local, true)) };
}

export function entriesJson(key: ServiceKey, entries: ListEntry[]): Record<string, unknown> {
  return { ...keyJson(key), entries: entries.map(listSubjectText) };
}

export function connectionJson(row: ConnectionRow): Record<string, unknown> {
  return {
    worker: row.worker + 1,
    protocol: protocolName(row.protocol),
    expires: row.expires,
    state: row.state,
    forward: forwardNames[row.forward] ?? null,
    client: { address: addressText(row.client), port: row.clientPort },
    virtual: { address: addressText(row.virtual), port: row.virtualPort },
    local: { address: addressText(row.local), port: row.localPort },
    server: { address: addressText(row.server), port: row.serverPort },
  };
}

export function templateJson(row: TemplateRow): Record<string, unknown> {
  return {
    worker: row.worker + 1,
    service: row.service ? keyJson(row.service) : null,
    client: `${addressText(row.client)}/${row.prefix}`,
    server: { address: addressText(row.server), port: row.serverPort },
    connections: row.connections,
    expires: row.expires,
  };
}
