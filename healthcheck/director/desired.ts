import type {
  LoadBalancing,
  RealServer,
  SorryServer,
  VirtualServer,
} from '../../keepalived/model/virtual-server.js';
import type { Placement } from '../virtual-server-machine.js';
import { expandRange, parseMatchRange, rangePrefixes } from './ranges.js';
import {
  keyText,
  type ListEntry,
  type LocalAddress,
  listText,
  localText,
  noLists,
  noLocals,
  type Server,
  type Service,
  type ServiceEntry,
  type ServiceKey,
} from './table.js';

/** The services of the dataplane that one virtual server stands for: one, or one for each address and mark of its group. */
export function serviceKeys(vs: VirtualServer, model: Pick<LoadBalancing, 'groups'>): ServiceKey[] {
  const target = vs.target;
  switch (target.kind) {
    case 'address':
      return [{ kind: 'address', protocol: vs.protocol, address: target.address, port: target.port }];
    case 'fwmark':
      return [{ kind: 'fwmark', mark: target.mark, family: target.family }];
    case 'match': {
      const source = parseMatchRange(target.sourceRange);
      const destination = parseMatchRange(target.destinationRange);
      return [
        {
          kind: 'match',
          protocol: vs.protocol,
          sourceLow: source.low,
          sourceHigh: source.high,
          destinationLow: destination.low,
          destinationHigh: destination.high,
          sourcePorts: source.ports,
          destinationPorts: destination.ports,
          iif: target.iif,
          oif: target.oif,
        },
      ];
    }
    case 'group': {
      const keys: ServiceKey[] = [];
      for (const entry of model.groups[target.name] ?? []) {
        if (entry.kind === 'fwmark') {
          keys.push({ kind: 'fwmark', mark: entry.mark, family: entry.family });
          continue;
        }
        for (const address of expandRange(entry.first, entry.last)) {
          keys.push({ kind: 'address', protocol: vs.protocol, address, port: entry.port });
        }
      }
      return keys;
    }
  }
}

/** Prefix length of a netmask such as 255.255.255.0, or of an IPv6 prefix given as a number. */
function granularityPrefix(text: string | undefined): number {
  if (text === undefined) return 0;
  if (!text.includes('.')) return Number(text);
  const bits = text.split('.').map((part) => Number(part).toString(2).padStart(8, '0'));
  const length = bits.join('').indexOf('0');
  return Math.max(length, 0);
}

function schedulerFlags(vs: VirtualServer): string {
  const { flag1, flag2, flag3 } = vs.schedulerFlags;
  const hashes = vs.scheduler === 'sh' || vs.scheduler === 'mh';
  const names = hashes
    ? [`${vs.scheduler}-fallback`, `${vs.scheduler}-port`, 'flag-3']
    : ['flag-1', 'flag-2', 'flag-3'];
  return [flag1, flag2, flag3].flatMap((set, index) => (set ? [names[index]!] : [])).join(',');
}

/** Milliseconds to whole seconds, never down to 0 when there was something. */
function seconds(milliseconds: number): number {
  return Math.ceil(milliseconds / 1000);
}

/** The service of a virtual server without its servers: attributes, local addresses, lists. The same for each of its keys. */
export function serviceOf(
  vs: VirtualServer,
  model: Pick<LoadBalancing, 'localAddressGroups' | 'denyAddressGroups' | 'allowAddressGroups'>,
): Omit<ServiceEntry, 'key' | 'servers'> {
  const service: Service = {
    scheduler: vs.scheduler,
    schedulerFlags: schedulerFlags(vs),
    persistence: seconds(vs.persistenceTimeout),
    persistencePrefix: vs.persistenceTimeout > 0 ? granularityPrefix(vs.persistenceGranularity) : 0,
    onePacket: vs.ops,
    synProxy: vs.synProxy,
    expireQuiescent: vs.expireQuiescent,
    quic: vs.quic,
    connectionTimeout: seconds(vs.establishTimeout ?? 0),
    proxyProtocol: vs.proxyProtocol,
    hashTarget: vs.hashTarget,
    bps: vs.bps,
    limitProportion: vs.limitProportion,
  };
  const locals = new Map<string, LocalAddress>();
  for (const range of model.localAddressGroups[vs.localAddressGroup ?? ''] ?? []) {
    for (const address of expandRange(range.first, range.last)) {
      const local = { address, device: range.device };
      locals.set(localText(local), local);
    }
  }
  const lists = new Map<string, ListEntry>();
  const add = (list: 'deny' | 'allow', group: string | undefined) => {
    const groups = list === 'deny' ? model.denyAddressGroups : model.allowAddressGroups;
    for (const entry of groups[group ?? ''] ?? []) {
      if (entry.kind === 'ipset') {
        const row: ListEntry = { list, address: '', prefix: 0, set: entry.name };
        lists.set(listText(row), row);
        continue;
      }
      for (const { address, prefix } of rangePrefixes(entry.first, entry.last)) {
        const row: ListEntry = { list, address, prefix, set: '' };
        lists.set(listText(row), row);
      }
    }
  };
  add('deny', vs.denyAddressGroup);
  add('allow', vs.allowAddressGroup);
  return { service, locals: locals.size ? locals : noLocals, lists: lists.size ? lists : noLists };
}

/** The row of a real or sorry server that stands like this. */
export function serverRow(server: RealServer | SorryServer, placement: Placement): Server {
  return {
    address: server.address,
    port: server.port,
    forward: server.forwarding.method,
    weight: placement.weight,
    upperThreshold: 'upperThreshold' in server ? server.upperThreshold : 0,
    lowerThreshold: 'lowerThreshold' in server ? server.lowerThreshold : 0,
    inhibited: placement.inhibited,
  };
}

export { keyText };
