import {
  type Address,
  type Batch,
  type ConnectionRow,
  type CounterRow,
  type Flow,
  type Flush,
  Flush_What,
  type Get,
  type Link,
  LinkRow,
  type ListEntry,
  type LocalAddress,
  type MemoryRow,
  type MulticastRow,
  type Neighbour,
  type Operation,
  PortCounters,
  Rate,
  type Route,
  type Row,
  type Server,
  type Service,
  ServiceKey,
  type Setting,
  Table,
  type TemplateRow,
  type Timeouts,
  Traffic,
  Verb,
  WorkerRow,
  type Zero,
} from '../../../dpvsd/generated/control.js';

/** What the fake daemon answers when an operation cannot be. */
export class Refusal extends Error {
  constructor(
    readonly code: string,
    text: string,
    readonly hint = '',
    readonly operation = 0,
  ) {
    super(text);
  }
}

interface ServerEntry {
  server: Server;
  active: number;
  inactive: number;
  persistent: number;
  traffic: Traffic;
  rate: Rate;
}

interface ServiceEntry {
  service: Service;
  servers: Map<string, ServerEntry>;
  locals: Map<string, LocalAddress>;
  lists: Map<string, ListEntry>;
  traffic: Traffic;
  rate: Rate;
}

const schedulers = 'rr wrr lc wlc sed nq sh dh mh conhash fo ovf'.split(' ');

/** Everything that a dataplane knows, in maps that keep the order in which things were added. */
export class FakeTables {
  readonly services = new Map<string, ServiceEntry>();
  readonly addresses = new Map<string, Address>();
  readonly routes = new Map<string, Route>();
  readonly neighbours = new Map<string, Neighbour>();
  readonly flows = new Map<string, Flow>();
  readonly links = new Map<string, LinkRow>();
  readonly settings = new Map<string, string>([['tcp.timeout.established', '90']]);
  timeouts: Timeouts = { tcp: 90, tcpFin: 7, udp: 300 };
  generation = 0;

  // What no operation changes: tests put it there.
  connections: ConnectionRow[] = [];
  templates: TemplateRow[] = [];
  workers: WorkerRow[] = [
    WorkerRow.fromPartial({
      number: 0,
      lcore: 1,
      cpu: 1,
      name: 'cpu1',
      role: 'worker',
      queues: ['dpdk0:rx0,tx0'],
    }),
  ];
  /** Named counters, one array per worker. */
  counters: CounterRow[][] = [[]];
  memory: MemoryRow[] = [];
  multicast: MulticastRow[] = [];

  #undo: (() => void)[] = [];
  #saved = new Set<unknown>();

  constructor() {
    for (const [index, device] of ['dpdk0', 'dpdk1'].entries()) {
      this.links.set(
        device,
        LinkRow.fromPartial({
          device,
          index: index + 1,
          mac: Uint8Array.of(2, 0, 0, 0, 0, index),
          mtu: 1500,
          rxQueues: 1,
          txQueues: 1,
          up: true,
          speed: 10000,
          fullDuplex: true,
          autonegotiation: true,
          driver: 'net_null',
          counters: {},
        }),
      );
    }
  }

  /** Applies all of a batch or, throwing Refusal, nothing. Returns the generation after it. */
  apply(batch: Batch): number {
    this.#undo = [];
    this.#saved = new Set();
    let index = 0;
    try {
      for (const operation of batch.operations) {
        this.#operate(operation);
        index++;
      }
    } catch (refusal) {
      this.#rollBack();
      if (refusal instanceof Refusal) throw new Refusal(refusal.code, refusal.message, refusal.hint, index);
      throw refusal;
    }
    if (batch.dryRun) this.#rollBack();
    else if (this.#undo.length > 0) this.generation++;
    return this.generation;
  }

  /** The rows that answer a Get. */
  *rows(get: Get): Generator<Row> {
    const row = (value: NonNullable<Row['row']>, worker = 0): Row => ({ worker, row: value });
    const here = (device: string) => get.device === '' || get.device === device;
    switch (get.table) {
      case Table.TABLE_SERVICES:
        for (const entry of this.#chosen(get)) {
          const { service, traffic, rate } = entry;
          yield row({ $case: 'service', value: { service, traffic, rate, servers: entry.servers.size } });
          for (const server of entry.servers.values()) {
            const { upperThreshold } = server.server;
            const overloaded = upperThreshold > 0 && server.active + server.inactive >= upperThreshold;
            yield row({ $case: 'server', value: { ...server, overloaded } });
          }
        }
        return;
      case Table.TABLE_LOCAL_ADDRESSES:
        for (const entry of this.#chosen(get)) {
          for (const local of entry.locals.values()) {
            yield row({
              $case: 'localAddress',
              value: { local, portConflicts: 0, connections: 0, freePorts: 64512 },
            });
          }
        }
        return;
      case Table.TABLE_LISTS:
        for (const entry of this.#chosen(get)) {
          for (const value of entry.lists.values()) yield row({ $case: 'listEntry', value });
        }
        return;
      case Table.TABLE_CONNECTIONS:
        for (const value of this.connections) {
          if (matches(value, get)) yield row({ $case: 'connection', value });
        }
        return;
      case Table.TABLE_TEMPLATES:
        for (const value of this.templates) {
          if (!get.service || keyText(get.service) === keyText(value.service))
            yield row({ $case: 'template', value });
        }
        return;
      case Table.TABLE_ADDRESSES:
        for (const address of this.addresses.values()) {
          if (!here(address.device) || (get.owner !== '' && address.owner !== get.owner)) continue;
          const ports = address.sapool ? 64512 : 0;
          yield row({ $case: 'address', value: { address, portsUsed: 0, portsFree: ports, portsMissed: 0 } });
        }
        return;
      case Table.TABLE_ROUTES:
        for (const value of this.routes.values())
          if (here(value.device)) yield row({ $case: 'route', value });
        return;
      case Table.TABLE_NEIGHBOURS:
        for (const value of this.neighbours.values())
          if (here(value.device)) yield row({ $case: 'neighbour', value });
        return;
      case Table.TABLE_LINKS:
        for (const value of this.links.values()) if (here(value.device)) yield row({ $case: 'link', value });
        return;
      case Table.TABLE_WORKERS:
        for (const value of this.workers) yield row({ $case: 'lcore', value });
        return;
      case Table.TABLE_COUNTERS:
        yield* this.#counterRows(get);
        return;
      case Table.TABLE_TIMEOUTS:
        yield row({ $case: 'timeouts', value: this.timeouts });
        return;
      case Table.TABLE_SETTINGS:
        for (const [name, value] of this.settings) yield row({ $case: 'setting', value: { name, value } });
        return;
      case Table.TABLE_MEMORY:
        for (const value of this.memory) yield row({ $case: 'memory', value });
        return;
      case Table.TABLE_MULTICAST:
        for (const value of this.multicast) if (here(value.device)) yield row({ $case: 'multicast', value });
        return;
      case Table.TABLE_FLOWS:
        for (const value of this.flows.values()) if (here(value.device)) yield row({ $case: 'flow', value });
        return;
    }
  }

  *#counterRows(get: Get): Generator<Row> {
    if (get.perWorker) {
      for (const [worker, counters] of this.counters.entries()) {
        if (get.worker !== 0 && get.worker !== worker + 1) continue;
        for (const value of counters) yield { worker: worker + 1, row: { $case: 'counter', value } };
      }
      return;
    }
    const sums = new Map<string, CounterRow>();
    for (const counter of this.counters.flat()) {
      const sum = sums.get(counter.name);
      if (sum) sum.value += counter.value;
      else sums.set(counter.name, { ...counter });
    }
    for (const value of sums.values()) yield { worker: 0, row: { $case: 'counter', value } };
  }

  *#chosen(get: Get): Generator<ServiceEntry> {
    for (const [key, entry] of this.services) {
      if (get.service && keyText(get.service) !== key) continue;
      if (get.owner !== '' && entry.service.owner !== get.owner) continue;
      yield entry;
    }
  }

  #rollBack(): void {
    for (const undo of this.#undo.reverse()) undo();
    this.#undo = [];
  }

  /** Sets or (undefined) deletes one entry. The whole map is remembered at its first change, so that order returns too. */
  #change<T>(map: Map<string, T>, key: string, value: T | undefined): void {
    if (!this.#saved.has(map)) {
      this.#saved.add(map);
      const before = [...map];
      this.#undo.push(() => {
        map.clear();
        for (const [k, v] of before) map.set(k, v);
      });
    }
    if (value !== undefined) map.set(key, value);
    else map.delete(key);
  }

  /** What the four verbs mean, for any map. */
  #put<T>(
    map: Map<string, T>,
    verb: Verb,
    key: string,
    what: string,
    make: (before: T | undefined) => T,
  ): void {
    const before = map.get(key);
    if (verb === Verb.VERB_ADD && before !== undefined) throw new Refusal('exists', `${what} exists already`);
    if ((verb === Verb.VERB_EDIT || verb === Verb.VERB_DELETE) && before === undefined) {
      throw new Refusal('not-found', `there is no ${what}`);
    }
    this.#change(map, key, verb === Verb.VERB_DELETE ? undefined : make(before));
  }

  #service(key: ServiceKey | undefined): ServiceEntry {
    const entry = this.services.get(keyText(key));
    if (!entry)
      throw new Refusal('not-found', `there is no service ${keyText(key)}`, 'add the service first');
    return entry;
  }

  #device(device: string): LinkRow {
    const link = this.links.get(device);
    if (!link) throw new Refusal('not-found', `there is no device '${device}'`, 'dpip link show lists them');
    return link;
  }

  #operate({ verb, object }: Operation): void {
    if (!object) throw new Refusal('invalid', 'an operation without an object');
    if (
      verb !== Verb.VERB_EDIT &&
      ['link', 'timeouts', 'setting', 'zero', 'announce'].includes(object.$case)
    ) {
      throw new Refusal('invalid', `a ${object.$case} can only be edited`);
    }
    switch (object.$case) {
      case 'service': {
        const service = object.value;
        if (verb !== Verb.VERB_DELETE && !schedulers.includes(service.scheduler)) {
          throw new Refusal(
            'invalid',
            `there is no scheduler '${service.scheduler}'`,
            `one of ${schedulers.join(' ')}`,
          );
        }
        this.#put(this.services, verb, keyText(service.key), `service ${keyText(service.key)}`, (before) =>
          before ? { ...before, service } : newService(service),
        );
        return;
      }
      case 'server': {
        const server = object.value;
        const key = `${hex(server.address)}:${server.port}`;
        if (server.lowerThreshold > server.upperThreshold) {
          throw new Refusal('invalid', `the lower threshold of server ${key} is above the upper one`);
        }
        this.#put(this.#service(server.service).servers, verb, key, `server ${key}`, (before) =>
          before ? { ...before, server } : newServer(server),
        );
        return;
      }
      case 'localAddress': {
        const local = object.value;
        if (verb !== Verb.VERB_DELETE) this.#device(local.device);
        const key = hex(local.address);
        this.#put(this.#service(local.service).locals, verb, key, `local address ${key}`, () => local);
        return;
      }
      case 'listEntry': {
        const entry = normalEntry(object.value);
        const key = `${entry.kind} ${hex(entry.address)}/${entry.prefix} ${entry.set}`;
        this.#put(this.#service(entry.service).lists, verb, key, `list entry ${key}`, () => entry);
        return;
      }
      case 'address': {
        const address = object.value;
        this.#device(address.device);
        const key = `${hex(address.address)} ${address.device}`;
        this.#put(this.addresses, verb, key, `address ${key}`, () => address);
        return;
      }
      case 'route': {
        const route = object.value;
        if (route.device !== '') this.#device(route.device);
        const key = `${route.ipv6} ${hex(route.destination)}/${route.prefix} ${route.metric}`;
        this.#put(this.routes, verb, key, `route ${key}`, () => ({ ...route, origin: 'static' }));
        return;
      }
      case 'neighbour': {
        const neighbour = object.value;
        this.#device(neighbour.device);
        const key = `${hex(neighbour.address)} ${neighbour.device}`;
        this.#put(this.neighbours, verb, key, `neighbour ${key}`, () => ({
          ...neighbour,
          state: 'permanent',
        }));
        return;
      }
      case 'flow': {
        const flow = object.value;
        this.#device(flow.device);
        const key = `${flow.device} ${hex(flow.address)}`;
        this.#put(this.flows, verb, key, `flow ${key}`, () => flow);
        return;
      }
      case 'link':
        this.#link(object.value);
        return;
      case 'timeouts': {
        const before = this.timeouts;
        const { tcp, tcpFin, udp } = object.value;
        this.timeouts = { tcp: tcp || before.tcp, tcpFin: tcpFin || before.tcpFin, udp: udp || before.udp };
        this.#undo.push(() => {
          this.timeouts = before;
        });
        return;
      }
      case 'setting':
        this.#setting(object.value);
        return;
      case 'flush':
        if (verb !== Verb.VERB_DELETE) throw new Refusal('invalid', 'a flush is a delete');
        this.#flush(object.value);
        return;
      case 'zero':
        this.#zero(object.value);
        return;
      case 'announce': {
        const wanted = hex(object.value.address);
        if (![...this.addresses.values()].some((address) => hex(address.address) === wanted)) {
          throw new Refusal('not-found', `${wanted} is not an address of this dataplane`);
        }
        return;
      }
    }
  }

  #link(change: Link): void {
    const before = this.#device(change.device);
    const flag = (text: string, old: boolean) => (text === '' ? old : text === 'on' || text === 'up');
    this.#change(this.links, change.device, {
      ...before,
      promiscuous: flag(change.promiscuous, before.promiscuous),
      allmulticast: flag(change.allmulticast, before.allmulticast),
      forward2kni: flag(change.forward2kni, before.forward2kni),
      lldp: flag(change.lldp, before.lldp),
      up: flag(change.link, before.up),
      mac: change.mac.length > 0 ? change.mac : before.mac,
      mtu: change.mtu || before.mtu,
    });
  }

  #setting({ name, value }: Setting): void {
    if (!this.settings.has(name)) throw new Refusal('not-found', `there is no setting '${name}'`);
    this.#change(this.settings, name, value);
  }

  #flush({ what, device, service, owner }: Flush): void {
    const entries = service ? [this.#service(service)] : [...this.services.values()];
    const clear = <T>(map: Map<string, T>, chosen: (value: T) => boolean) => {
      for (const [key, value] of [...map]) if (chosen(value)) this.#change(map, key, undefined);
    };
    const here = (value: { device: string }) => device === '' || value.device === device;
    switch (what) {
      case Flush_What.SERVICES:
        clear(this.services, (entry) => owner === '' || entry.service.owner === owner);
        return;
      case Flush_What.ADDRESSES:
        clear(this.addresses, here);
        return;
      case Flush_What.ROUTES:
        clear(this.routes, here);
        return;
      case Flush_What.NEIGHBOURS:
        clear(this.neighbours, here);
        return;
      case Flush_What.FLOWS:
        clear(this.flows, here);
        return;
      case Flush_What.LOCAL_ADDRESSES:
        for (const entry of entries) clear(entry.locals, () => true);
        return;
      case Flush_What.LIST_DENY_ENTRIES:
        for (const entry of entries) clear(entry.lists, (value) => value.kind === 0);
        return;
      case Flush_What.LIST_ALLOW_ENTRIES:
        for (const entry of entries) clear(entry.lists, (value) => value.kind === 1);
        return;
      case Flush_What.SERVERS:
        for (const entry of entries) clear(entry.servers, () => true);
        return;
    }
  }

  #zero({ service, device }: Zero): void {
    if (device !== '') {
      this.#change(this.links, device, { ...this.#device(device), counters: PortCounters.fromPartial({}) });
      return;
    }
    const keys = service ? [keyText(service)] : [...this.services.keys()];
    for (const key of keys) {
      const entry = this.services.get(key);
      if (!entry) throw new Refusal('not-found', `there is no service ${key}`);
      this.#change(this.services, key, { ...entry, ...noTraffic() });
      for (const [id, server] of entry.servers)
        this.#change(entry.servers, id, { ...server, ...noTraffic() });
    }
  }
}

function noTraffic(): { traffic: Traffic; rate: Rate } {
  return { traffic: Traffic.fromPartial({}), rate: Rate.fromPartial({}) };
}

function newService(service: Service): ServiceEntry {
  return { service, servers: new Map(), locals: new Map(), lists: new Map(), ...noTraffic() };
}

function newServer(server: Server): ServerEntry {
  return { server, active: 0, inactive: 0, persistent: 0, ...noTraffic() };
}

/** Prefix length 0 is the whole address, but of 0.0.0.0 and :: everybody; bits beyond the prefix are 0. */
function normalEntry(entry: ListEntry): ListEntry {
  if (entry.set !== '') return entry;
  const everybody = entry.address.every((byte) => byte === 0);
  const prefix = entry.prefix === 0 && !everybody ? entry.address.length * 8 : entry.prefix;
  const address = entry.address.map((byte, i) => byte & (0xff00 >> Math.min(8, Math.max(0, prefix - 8 * i))));
  return { ...entry, prefix, address: Uint8Array.from(address) };
}

function hex(bytes: Uint8Array): string {
  return Buffer.from(bytes).toString('hex');
}

/** One text per virtual server. */
export function keyText(key: ServiceKey | undefined): string {
  if (!key) throw new Refusal('invalid', 'the key of a service is missing');
  return Buffer.from(ServiceKey.encode(key).finish()).toString('hex');
}

function matches(row: ConnectionRow, { connection, service }: Get): boolean {
  if (service && service.fwmark === 0 && !service.match) {
    if (row.protocol !== service.protocol || row.virtualPort !== service.port) return false;
    if (hex(row.virtual) !== hex(service.address)) return false;
  }
  if (!connection) return true;
  return (
    (connection.protocol === 0 || connection.protocol === row.protocol) &&
    (connection.client.length === 0 || hex(connection.client) === hex(row.client)) &&
    (connection.clientPort === 0 || connection.clientPort === row.clientPort) &&
    (connection.virtual.length === 0 || hex(connection.virtual) === hex(row.virtual)) &&
    (connection.virtualPort === 0 || connection.virtualPort === row.virtualPort)
  );
}
