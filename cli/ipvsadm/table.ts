import { BinaryReader } from '@bufbuild/protobuf/wire';
import type { DpvsdClient, GetFilter } from '../../dpvsd/client.js';
import {
  type ListEntry,
  type LocalAddressRow,
  Row,
  type Server,
  type ServerRow,
  type Service,
  type ServiceKey,
  type ServiceRow,
  Table,
} from '../../dpvsd/generated/control.js';
import { type SavedServer, savedServer } from './save.js';
import { readServerRow } from './server-line.js';
import { serviceId } from './service.js';

/** A virtual server with everything that belongs to it. */
export interface VirtualServer<RealServer = ServerRow> {
  key: ServiceKey;
  service: Service;
  row: ServiceRow;
  servers: RealServer[];
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
export function readVirtualServers(client: DpvsdClient, wanted: Wanted): Promise<VirtualServer[]> {
  return readTables(client, wanted, readServices, compareServers);
}

/** Reads all that `-S` writes, in its order: nothing is made of 100,000 servers but the text that is wanted. */
export function readToSave(client: DpvsdClient): Promise<VirtualServer<SavedServer>[]> {
  const wanted = { locals: true, entries: true, sort: true };
  return readTables(client, wanted, readServicesToSave, compareSaved);
}

async function readTables<RealServer>(
  client: DpvsdClient,
  wanted: Wanted,
  services: (client: DpvsdClient, filter: GetFilter) => Promise<VirtualServer<RealServer>[]>,
  compare: (a: RealServer, b: RealServer) => number,
): Promise<VirtualServer<RealServer>[]> {
  const only = wanted.service ? { service: wanted.service } : {};
  const cpu = wanted.cpu ? { perWorker: true, worker: wanted.cpu } : {};
  const [found, locals, entries] = await Promise.all([
    services(client, { ...only, ...cpu }),
    wanted.locals ? client.list(Table.TABLE_LOCAL_ADDRESSES, 'localAddress', { ...only, ...cpu }) : [],
    wanted.entries ? client.list(Table.TABLE_LISTS, 'listEntry', only) : [],
  ]);
  if (locals.length + entries.length > 0) {
    const byId = new Map(found.map((each) => [serviceId(each.key), each]));
    const owner = (key: ServiceKey | undefined) => (key ? byId.get(serviceId(key)) : undefined);
    for (const row of locals) owner(row.local?.service)?.locals.push(row);
    for (const entry of entries) owner(entry.service)?.entries.push(entry);
  }
  if (wanted.sort) {
    found.sort((a, b) => compareKeys(a.key, b.key));
    for (const { servers } of found) servers.sort(compare);
  }
  return found;
}

async function readServices(client: DpvsdClient, filter: GetFilter): Promise<VirtualServer[]> {
  const found: VirtualServer[] = [];
  for await (const { row } of client.get(Table.TABLE_SERVICES, filter)) {
    if (row.$case === 'service') add(found, row.value);
    else if (row.$case === 'server') found.at(-1)?.servers.push(row.value);
  }
  return found;
}

async function readServicesToSave(
  client: DpvsdClient,
  filter: GetFilter,
): Promise<VirtualServer<SavedServer>[]> {
  const found: VirtualServer<SavedServer>[] = [];
  for await (const rows of client.getEncoded(Table.TABLE_SERVICES, filter)) {
    const reader = new BinaryReader(rows);
    // Rows has one field: its rows.
    while (reader.pos < rows.length && reader.uint32() === 10) {
      const length = reader.uint32();
      const from = reader.pos;
      const server = readServerRow(reader, rows, length);
      if (server) {
        found.at(-1)?.servers.push(server);
        continue;
      }
      reader.pos = from;
      const { row } = Row.decode(reader, length);
      if (row?.$case === 'service') add(found, row.value);
      else if (row?.$case === 'server' && row.value.server) {
        found.at(-1)?.servers.push(savedServer(row.value.server));
      }
    }
  }
  return found;
}

function add<RealServer>(found: VirtualServer<RealServer>[], row: ServiceRow): void {
  const { service } = row;
  if (service?.key) found.push({ key: service.key, service, row, servers: [], locals: [], entries: [] });
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
  return a && b ? compareEndpoints(a, b) : 0;
}

function compareSaved(a: SavedServer, b: SavedServer): number {
  if (a.ipv6 && b.ipv6) return compareEndpoints(a.ipv6, b.ipv6);
  return a.ipv4 - b.ipv4;
}

function compareEndpoints(a: Server, b: Server): number {
  return a.address.length - b.address.length || Buffer.compare(a.address, b.address) || a.port - b.port;
}
