import { Address4, Address6 } from 'ip-address';
import { DpvsdError, type OperationInput } from '../../dpvsd/client.js';
import {
  Flush_What,
  Forward,
  HashTarget,
  ListKind,
  Protocol,
  ProxyProtocol,
  Table,
  Verb,
  type ServiceKey as WireKey,
  type Server as WireServer,
  type Service as WireService,
} from '../../dpvsd/generated/control.js';
import { DpvsdLink } from '../../dpvsd/link.js';
import type { Clock } from '../../lib/clock.js';
import { isClosing } from './closing.js';
import type { Operation } from './difference.js';
import { type Command, type DirectorDriver, type DriverEvents, Refusal } from './driver.js';
import {
  keyText,
  listText,
  localText,
  type Server,
  type Service,
  type ServiceEntry,
  type ServiceKey,
  type ServiceTable,
  serverText,
} from './table.js';

/** Whose rows ours are, in the dataplane's words. Rows of anybody else are left alone. */
export const OWNER = 'keepalived';

const protocols: Record<string, Protocol> = {
  TCP: Protocol.PROTOCOL_TCP,
  UDP: Protocol.PROTOCOL_UDP,
  ICMP: Protocol.PROTOCOL_ICMP,
  ICMPV6: Protocol.PROTOCOL_ICMPV6,
};
const protocolNames = new Map(Object.entries(protocols).map(([name, number]) => [number, name]));

const forwards: Record<Server['forward'], Forward> = {
  FNAT: Forward.FORWARD_FULLNAT,
  NAT: Forward.FORWARD_NAT,
  DR: Forward.FORWARD_DR,
  TUN: Forward.FORWARD_TUNNEL,
  SNAT: Forward.FORWARD_SNAT,
};
const forwardNames = new Map(
  Object.entries(forwards).map(([name, number]) => [number, name as Server['forward']]),
);

const proxies: Record<Service['proxyProtocol'], ProxyProtocol> = {
  none: ProxyProtocol.PROXY_NONE,
  v1: ProxyProtocol.PROXY_V1,
  v2: ProxyProtocol.PROXY_V2,
  'v1-insecure': ProxyProtocol.PROXY_V1_INSECURE,
  'v2-insecure': ProxyProtocol.PROXY_V2_INSECURE,
};
const proxyNames = new Map(
  Object.entries(proxies).map(([name, number]) => [number, name as Service['proxyProtocol']]),
);

/** Bytes of an address in network order; of an empty text none. */
export function addressBytes(text: string): Uint8Array {
  if (text === '') return new Uint8Array(0);
  if (!text.includes(':')) return Uint8Array.from(text.split('.').map(Number));
  let value = new Address6(text).bigInt();
  const bytes = new Uint8Array(16);
  for (let at = 15; at >= 0; at--) {
    bytes[at] = Number(value & 0xffn);
    value >>= 8n;
  }
  return bytes;
}

/** Normalised text of 4 or 16 bytes; of none the empty text. */
export function addressText(bytes: Uint8Array): string {
  if (bytes.length === 0) return '';
  if (bytes.length === 4) return bytes.join('.');
  const value = bytes.reduce((sum, byte) => (sum << 8n) | BigInt(byte), 0n);
  return (bytes.length === 16 ? Address6.fromBigInt(value) : Address4.fromBigInt(value)).correctForm();
}

function wireKey(key: ServiceKey): WireKey {
  const none = new Uint8Array(0);
  switch (key.kind) {
    case 'address':
      return {
        protocol: protocols[key.protocol] ?? Protocol.PROTOCOL_NONE,
        address: addressBytes(key.address),
        port: key.port,
        fwmark: 0,
        match: undefined,
      };
    case 'fwmark':
      return { protocol: Protocol.PROTOCOL_NONE, address: none, port: 0, fwmark: key.mark, match: undefined };
    case 'match':
      return {
        protocol: protocols[key.protocol] ?? Protocol.PROTOCOL_NONE,
        address: none,
        port: 0,
        fwmark: 0,
        match: {
          sourceLow: addressBytes(key.sourceLow),
          sourceHigh: addressBytes(key.sourceHigh),
          destinationLow: addressBytes(key.destinationLow),
          destinationHigh: addressBytes(key.destinationHigh),
          sourcePortLow: key.sourcePorts[0],
          sourcePortHigh: key.sourcePorts[1],
          destinationPortLow: key.destinationPorts[0],
          destinationPortHigh: key.destinationPorts[1],
          inPort: key.iif,
          outPort: key.oif,
        },
      };
  }
}

function keyOf(key: WireKey): ServiceKey {
  if (key.fwmark !== 0) return { kind: 'fwmark', mark: key.fwmark, family: 4 };
  const protocol = protocolNames.get(key.protocol) ?? String(key.protocol);
  const { match } = key;
  if (!match) return { kind: 'address', protocol, address: addressText(key.address), port: key.port };
  return {
    kind: 'match',
    protocol,
    sourceLow: addressText(match.sourceLow),
    sourceHigh: addressText(match.sourceHigh),
    destinationLow: addressText(match.destinationLow),
    destinationHigh: addressText(match.destinationHigh),
    sourcePorts: [match.sourcePortLow, match.sourcePortHigh],
    destinationPorts: [match.destinationPortLow, match.destinationPortHigh],
    iif: match.inPort,
    oif: match.outPort,
  };
}

function serviceOf(wire: WireService): Service {
  return {
    scheduler: wire.scheduler,
    schedulerFlags: wire.schedulerFlags,
    persistence: wire.persistence,
    persistencePrefix: wire.persistencePrefix,
    onePacket: wire.onePacket,
    synProxy: wire.synProxy,
    expireQuiescent: wire.expireQuiescent,
    quic: wire.quic,
    connectionTimeout: wire.connectionTimeout,
    proxyProtocol: proxyNames.get(wire.proxyProtocol) ?? 'none',
    hashTarget: wire.hashTarget === HashTarget.HASH_QUIC_ID ? 'qid' : 'sip',
    bps: wire.bps,
    limitProportion: wire.limitProportion,
  };
}

function serverOf(wire: WireServer): Server {
  return {
    address: addressText(wire.address),
    port: wire.port,
    forward: forwardNames.get(wire.forward) ?? 'NAT',
    weight: wire.weight,
    upperThreshold: wire.upperThreshold,
    lowerThreshold: wire.lowerThreshold,
    inhibited: wire.inhibited,
  };
}

/** One operation as the control contract has it. Additions become PUT: what an operator typed before is taken over. */
export function wireOperation(operation: Operation): OperationInput {
  const service = wireKey(operation.key);
  const verb = operation.verb === 'delete' ? Verb.VERB_DELETE : Verb.VERB_PUT;
  switch (operation.object) {
    case 'service': {
      const { proxyProtocol, hashTarget, ...rest } = operation.row;
      return {
        verb,
        object: {
          $case: 'service',
          value: {
            ...rest,
            key: service,
            proxyProtocol: proxies[proxyProtocol],
            hashTarget: hashTarget === 'qid' ? HashTarget.HASH_QUIC_ID : HashTarget.HASH_SOURCE_IP,
            owner: OWNER,
          },
        },
      };
    }
    case 'server': {
      const { address, forward, ...rest } = operation.row;
      const value = {
        ...rest,
        service,
        address: addressBytes(address),
        forward: forwards[forward],
        owner: OWNER,
      };
      return { verb, object: { $case: 'server', value } };
    }
    case 'local': {
      const { address, device } = operation.row;
      return {
        verb,
        object: { $case: 'localAddress', value: { service, address: addressBytes(address), device } },
      };
    }
    case 'list': {
      const { list, address, prefix, set } = operation.row;
      const kind = list === 'deny' ? ListKind.LIST_DENY : ListKind.LIST_ALLOW;
      return {
        verb,
        object: { $case: 'listEntry', value: { service, kind, address: addressBytes(address), prefix, set } },
      };
    }
  }
}

/** Why the dataplane would never understand this operation, without asking it. */
function unsayable(operation: Operation): string | undefined {
  if (operation.key.kind === 'fwmark') return undefined;
  return protocols[operation.key.protocol] === undefined
    ? `the dataplane does not balance ${operation.key.protocol}`
    : undefined;
}

/** The dataplane's own daemon, over its control socket. */
export class DpvsdDriver implements DirectorDriver {
  readonly #link: DpvsdLink;

  /** @param path control socket; default: DPVS_IPC_FILE, else the default one */
  constructor(clock: Clock, path?: string) {
    this.#link = new DpvsdLink({
      client: 'healthcheck',
      clock,
      watch: [Table.TABLE_ADDRESSES],
      ...(path === undefined ? {} : { path }),
    });
  }

  start(events: DriverEvents): void {
    this.#link.on('up', (_bootId, sameBoot) => events.up(!sameBoot));
    this.#link.on('down', (reason) => events.down(reason.message));
    this.#link.on('unreachable', (reason) => events.down(reason.message));
    this.#link.on('changed', () => events.addressesChanged());
    this.#link.start();
  }

  async read(desired: ServiceTable): Promise<ServiceTable> {
    const table: ServiceTable = new Map();
    for await (const { row } of this.#link.get(Table.TABLE_SERVICES)) {
      if (row.$case === 'service') {
        const wire = row.value.service;
        if (wire?.owner !== OWNER || !wire.key) continue;
        const key = keyOf(wire.key);
        const entry: ServiceEntry = {
          key,
          service: serviceOf(wire),
          servers: new Map(),
          locals: new Map(),
          lists: new Map(),
        };
        table.set(keyText(key), entry);
      } else if (row.$case === 'server') {
        const wire = row.value.server;
        if (wire?.owner !== OWNER || !wire.service) continue;
        const server = serverOf(wire);
        table.get(keyText(keyOf(wire.service)))?.servers.set(serverText(server), server);
      }
    }
    // Addresses and lists have no owner: those that are configured are ours.
    for await (const { row } of this.#link.get(Table.TABLE_LOCAL_ADDRESSES)) {
      if (row.$case !== 'localAddress' || !row.value.local?.service) continue;
      const wire = row.value.local;
      const name = keyText(keyOf(wire.service!));
      const local = { address: addressText(wire.address), device: wire.device };
      if (desired.get(name)?.locals.has(localText(local)))
        table.get(name)?.locals.set(localText(local), local);
    }
    for await (const { row } of this.#link.get(Table.TABLE_LISTS)) {
      if (row.$case !== 'listEntry' || !row.value.service) continue;
      const wire = row.value;
      const name = keyText(keyOf(wire.service!));
      const address = addressText(wire.address);
      const entry = {
        list: wire.kind === ListKind.LIST_ALLOW ? ('allow' as const) : ('deny' as const),
        address,
        prefix:
          wire.prefix || (['', '0.0.0.0', '::'].includes(address) ? 0 : address.includes(':') ? 128 : 32),
        set: wire.set,
      };
      if (desired.get(name)?.lists.has(listText(entry)) || isClosing(entry))
        table.get(name)?.lists.set(listText(entry), entry);
    }
    return table;
  }

  async apply(operations: Operation[]): Promise<void> {
    for (const [index, operation] of operations.entries()) {
      const reason = unsayable(operation);
      if (reason !== undefined) throw new Refusal('refused', 'unsupported', reason, index);
    }
    await this.#ask(() => this.#link.apply(operations.map(wireOperation)));
  }

  async command(command: Command): Promise<void> {
    const operation: OperationInput =
      command.kind === 'flush'
        ? {
            verb: Verb.VERB_DELETE,
            object: { $case: 'flush', value: { what: Flush_What.SERVICES } },
          }
        : {
            verb: Verb.VERB_EDIT,
            object: {
              $case: 'timeouts',
              value: { tcp: command.tcp, tcpFin: command.tcpFin, udp: command.udp },
            },
          };
    await this.#ask(() => this.#link.apply([operation]));
  }

  async addresses(): Promise<Set<string>> {
    const addresses = new Set<string>();
    for (const row of await this.#link.list(Table.TABLE_ADDRESSES, 'address')) {
      if (row.address) addresses.add(addressText(row.address.address));
    }
    return addresses;
  }

  stop(): void {
    this.#link.stop();
  }

  async #ask(request: () => Promise<unknown>): Promise<void> {
    try {
      await request();
    } catch (error) {
      if (!(error instanceof DpvsdError)) throw error;
      const text = error.hint ? `${error.message}; ${error.hint}` : error.message;
      switch (error.code) {
        case 'unreachable':
        case 'closed':
        case 'timeout':
        case 'protocol':
          throw new Refusal('gone', error.code, text);
        case 'busy':
          throw new Refusal('busy', error.code, text);
        case 'too-big':
          throw new Refusal('too-big', error.code, text);
        default:
          throw new Refusal('refused', error.code, text, error.operation);
      }
    }
  }
}
