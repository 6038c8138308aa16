import type { DpvsdClient } from '../../dpvsd/client.js';
import {
  type ListEntry,
  type LocalAddressRow,
  type ServerRow,
  type Service,
  type ServiceKey,
  type ServiceRow,
  Table,
} from '../../dpvsd/generated/control.js';
import { serviceId } from './service.js';

/** A virtual server with everything that belongs to it. */
export interface VirtualServer {
  key: ServiceKey;
  service: Service;
  row: ServiceRow;
  servers: ServerRow[];
  locals: LocalAddressRow[];
  entries: ListEntry[];
}

export interface Wanted {
  service?: ServiceKey | undefined;
  /** Counters of this worker only (number + 1); 0: of all together. */
  cpu?: number;
  /** In the order of addresses (as ipvsadm lists them) rather than in dpvsd's. */
  sort?: boolean;
  locals?: boolean;
  entries?: boolean;
}

/** Reads virtual servers, and what is wanted of them. */
export async function readVirtualServers(client: DpvsdClient, wanted: Wanted): Promise<VirtualServer[]> {
  const only = wanted.service ? { service: wanted.service } : {};
  const cpu = wanted.cpu ? { perWorker: true, worker: wanted.cpu } : {};
  const [found, locals, entries] = await Promise.all([
    readServices(client, { ...only, ...cpu }),
    wanted.locals ? client.list(Table.TABLE_LOCAL_ADDRESSES, 'localAddress', { ...only, ...cpu }) : [],
    wanted.entries ? client.list(Table.TABLE_LISTS, 'listEntry', only) : [],
  ]);
  const byId = new Map(found.map((each) => [serviceId(each.key), each]));
  const owner = (key: ServiceKey | undefined) => (key ? byId.get(serviceId(key)) : undefined);
  for (const row of locals) owner(row.local?.service)?.locals.push(row);
  for (const entry of entries) owner(entry.service)?.entries.push(entry);
  if (wanted.sort) {
    found.sort((a, b) => compareKeys(a.key, b.key));
    for (const { servers } of found) servers.sort(compareServers);
  }
  return found;
}

async function readServices(
  client: DpvsdClient,
  filter: { service?: ServiceKey; perWorker?: boolean; worker?: number },
): Promise<VirtualServer[]> {
  const found: VirtualServer[] = [];
  for await (const { row } of client.get(Table.TABLE_SERVICES, filter)) {
    if (row.$case === 'service' && row.value.service?.key) {
      const { service } = row.value;
      found.push({ key: service.key!, service, row: row.value, servers: [], locals: [], entries: [] });
    } else if (row.$case === 'server') found.at(-1)?.servers.push(row.value);
  }
  return found;
}

/** The order of a listing: marks first, then by family, protocol, address and port; matches last. */
function compareKeys(a: ServiceKey, b: ServiceKey): number {
  return (
    Number(b.fwmark > 0) - Number(a.fwmark > 0) ||
    a.fwmark - b.fwmark ||
    Number(a.match !== undefined) - Number(b.match !== undefined) ||
    a.address.length - b.address.length ||
    a.protocol - b.protocol ||
    Buffer.compare(a.address, b.address) ||
    a.port - b.port ||
    (a.match ? serviceId(a).localeCompare(serviceId(b)) : 0)
  );
}

function compareServers({ server: a }: ServerRow, { server: b }: ServerRow): number {
  if (!a || !b) return 0;
  return a.address.length - b.address.length || Buffer.compare(a.address, b.address) || a.port - b.port;
}
