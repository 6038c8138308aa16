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
import { readServerRow, readServiceRow } from './quick-line.js';
import { type SavedServer, savedServer } from './save.js';
import { serviceId } from './service.js';

/** A virtual server with everything that belongs to it. */
export interface VirtualServer<RealServer = ServerRow> {
  key: ServiceKey;
  service: Service;
  /** What the service does at the moment, when that was read. */
  row: ServiceRow | undefined;
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
export async function readVirtualServers(client: DpvsdClient, wanted: Wanted): Promise<VirtualServer[]> {
  const found = await readTables(client, wanted, readServices);
  if (wanted.sort) for (const { servers } of found) servers.sort(compareServers);
  return found;
}

/** Reads all that `-S` writes, in its order. Servers stay the bytes that came until it is the turn of their service. */
export async function* readToSave(client: DpvsdClient): AsyncGenerator<VirtualServer<SavedServer>> {
  const wanted = { locals: true, entries: true, sort: true };
  for (const { servers, ...found } of await readTables(client, wanted, readServicesToSave)) {
    yield { ...found, servers: servers.flatMap(serversOf).sort(compareSaved) };
  }
}

async function readTables<RealServer>(
  client: DpvsdClient,
  wanted: Wanted,
  services: (client: DpvsdClient, filter: GetFilter) => Promise<VirtualServer<RealServer>[]>,
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
  if (wanted.sort) found.sort((a, b) => compareKeys(a.key, b.key));
  return found;
}

async function readServices(client: DpvsdClient, filter: GetFilter): Promise<VirtualServer[]> {
  const found: VirtualServer[] = [];
  for await (const { row } of client.get(Table.TABLE_SERVICES, filter)) {
    if (row.$case === 'service' && row.value.service) add(found, row.value.service, row.value);
    else if (row.$case === 'server') found.at(-1)?.servers.push(row.value);
  }
  return found;
}

/** Rows of servers of one service, in a message Rows. */
interface ServerRows {
  rows: Uint8Array;
  /** Where each of them begins, and its length. */
  places: number[];
}

async function readServicesToSave(
  client: DpvsdClient,
  filter: GetFilter,
): Promise<VirtualServer<ServerRows>[]> {
  const found: VirtualServer<ServerRows>[] = [];
  for await (const rows of client.getEncoded(Table.TABLE_SERVICES, filter)) {
    const reader = new BinaryReader(rows);
    let servers: ServerRows | undefined;
    // Rows has one field: its rows.
    while (reader.pos < rows.length && reader.uint32() === 10) {
      const length = reader.uint32();
      const from = reader.pos;
      const service = readServiceRow(reader, length);
      reader.pos = from + length;
      if (service) {
        add(found, service);
        servers = undefined;
      } else {
        if (!servers) {
          servers = { rows, places: [] };
          found.at(-1)?.servers.push(servers);
        }
        servers.places.push(from, length);
      }
    }
  }
  return found;
}

function serversOf({ rows, places }: ServerRows): SavedServer[] {
  const servers: SavedServer[] = [];
  const reader = new BinaryReader(rows);
  for (let i = 0; i < places.length; i += 2) {
    const [from, length] = [places[i]!, places[i + 1]!];
    reader.pos = from;
    const quick = readServerRow(reader, rows, length);
    if (quick) servers.push(quick);
    else {
      reader.pos = from;
      const { row } = Row.decode(reader, length);
      if (row?.$case === 'server' && row.value.server) servers.push(savedServer(row.value.server));
    }
  }
  return servers;
}

function add<RealServer>(found: VirtualServer<RealServer>[], service: Service, row?: ServiceRow): void {
  const { key } = service;
  if (key) found.push({ key, service, row, servers: [], locals: [], entries: [] });
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
