import { DpvsdError, EncodedBatch, type OperationInput } from '../dpvsd/client.js';
import { type Address, type Announce, Operation, Protocol, Table, Verb } from '../dpvsd/generated/control.js';
import { DpvsdLink } from '../dpvsd/link.js';
import type { AwaitedService } from '../keepalived/model/index.js';
import type { VirtualAddress } from '../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import { type AddressSink, type PlacedAddress, placeKey } from './addresses.js';

/** How the dataplane's tables tell our addresses from those of operators. */
export const OWNER = 'vrrp';

/** How often the services are looked for that have to be there first, and for how long at most, milliseconds. */
const SERVICES_INTERVAL = 50;
const SERVICES_PATIENCE = 3000;

const protocols: Partial<Record<AwaitedService['protocol'], Protocol>> = {
  TCP: Protocol.PROTOCOL_TCP,
  UDP: Protocol.PROTOCOL_UDP,
};

/** The dataplane announces an address at most this often by one order. */
const MOST_REPEATS = 100;

const scopeNames = new Map([
  [253, 'link'],
  [254, 'host'],
]);

/**
 * Virtual addresses on ports of the dataplane. What should be there is kept here, so that a dataplane that starts anew gets
 * everything again, and a sidecar that starts anew finds what it left.
 */
export class DataplaneAddresses implements AddressSink {
  readonly #link: DpvsdLink;
  readonly #log: Log;
  readonly #pace: () => { garpInterval: number; gnaInterval: number };
  readonly #wanted = new Map<string, PlacedAddress>();
  readonly #made = new WeakMap<VirtualAddress, { device: string; bytes: Uint8Array }>();
  #present = new Map<string, PlacedAddress>();
  #work: Promise<void> = Promise.resolve();
  #onAvailable: (available: boolean) => void = () => {};
  /** Absent: the first attempt to reach it has had no outcome yet. */
  #available: boolean | undefined;
  readonly #awaited: () => readonly AwaitedService[];
  #looking: NodeJS.Timeout | undefined;

  /**
   * @param path the control socket; absent: as the environment says
   * @param awaited services without which an address is a black hole: the dataplane counts as available when they are there, or did not come
   *   for some seconds (the health checker does not run, or is busy)
   */
  constructor(
    log: Log,
    pace: () => { garpInterval: number; gnaInterval: number },
    path?: string,
    awaited: () => readonly AwaitedService[] = () => [],
  ) {
    this.#log = log;
    this.#pace = pace;
    this.#awaited = awaited;
    this.#link = new DpvsdLink({ client: 'vrrp', ...(path === undefined ? {} : { path }) });
    this.#link.on('up', () => this.#then(() => this.#resume()));
    this.#link.on('down', (reason) => {
      this.#log.error(`dataplane lost: ${reason.message}`);
      clearTimeout(this.#looking);
      this.#set(false);
    });
    this.#link.on('unreachable', (reason) => {
      this.#log.warning(`dataplane not reachable: ${reason.message}`);
      this.#set(false);
    });
    this.#link.start();
  }

  /** Whether the dataplane answers; without it an instance whose addresses live there must not be master. */
  get available(): boolean {
    return this.#available === true;
  }

  /** Whether it is known by now if it answers: soon after the start, and from then on. */
  get known(): boolean {
    return this.#available !== undefined;
  }

  /** Whether it answers, with or without the services. */
  get connected(): boolean {
    return this.#link.client !== undefined;
  }

  set onAvailable(listener: (available: boolean) => void) {
    this.#onAvailable = listener;
  }

  prepare(addresses: readonly PlacedAddress[]): void {
    for (const address of addresses) this.#encoded(address);
  }

  add(addresses: readonly PlacedAddress[]): void {
    for (const address of addresses) this.#wanted.set(placeKey(address), address);
    this.#then(() => this.#put(addresses));
  }

  /** The operation that adds an address, encoded once: a take-over of a thousand addresses only has to send them. */
  #encoded(address: PlacedAddress): Uint8Array {
    const made = this.#made.get(address.spec);
    if (made?.device === address.interface) return made.bytes;
    const operation = Operation.fromPartial(addressOperation(Verb.VERB_PUT, address) as object);
    const bytes = Operation.encode(operation).finish();
    this.#made.set(address.spec, { device: address.interface, bytes });
    return bytes;
  }

  async #put(addresses: readonly PlacedAddress[]): Promise<void> {
    const batch = new EncodedBatch();
    for (const address of addresses) {
      const bytes = this.#encoded(address);
      batch.addEncoded(bytes, bytes.length);
    }
    try {
      await this.#link.apply(batch);
    } catch (error) {
      if (!(error instanceof DpvsdError) || error.operation === undefined) throw error;
      // Nothing of it was applied: once more, without what is refused.
      await this.#apply(addresses.map((address) => addressOperation(Verb.VERB_PUT, address)));
    }
  }

  remove(addresses: readonly PlacedAddress[]): void {
    for (const address of addresses) {
      this.#wanted.delete(placeKey(address));
      this.#present.delete(placeKey(address));
    }
    this.#then(() => this.#apply(addresses.map((address) => addressOperation(Verb.VERB_DELETE, address))));
  }

  announce(addresses: readonly PlacedAddress[], repeat: number): void {
    const { garpInterval, gnaInterval } = this.#pace();
    this.#then(() => {
      const still = addresses.filter((address) => this.#wanted.has(placeKey(address)));
      return this.#apply(
        still.map((address) => {
          const interval = address.spec.address.includes(':') ? gnaInterval : garpInterval;
          const value: Announce = {
            address: parseIp(address.spec.address),
            device: address.interface,
            repeat: Math.min(repeat, MOST_REPEATS),
            intervalMs: Math.round(interval),
          };
          return { verb: Verb.VERB_EDIT, object: { $case: 'announce', value } };
        }),
      );
    });
  }

  /** Announcements that were ordered stop by themselves: the dataplane announces only addresses that it has. */
  silence(): void {}

  leftBehind(addresses: readonly PlacedAddress[]): PlacedAddress[] {
    return addresses.filter(
      (address) => this.#present.has(placeKey(address)) && !this.#wanted.has(placeKey(address)),
    );
  }

  flush(): Promise<void> {
    return this.#work;
  }

  close(): void {
    clearTimeout(this.#looking);
    this.#link.stop();
  }

  #set(available: boolean): void {
    if (this.#available === available) return;
    this.#available = available;
    this.#onAvailable(available);
  }

  #then(work: () => Promise<void>): void {
    this.#work = this.#work.then(work).catch((error: unknown) => {
      // What was wanted is pushed again when the dataplane is back.
      if (!(error instanceof DpvsdError && !this.#link.client)) {
        this.#log.error(`dataplane: ${error instanceof Error ? error.message : String(error)}`);
      }
      if (!this.known) this.#set(false);
    });
  }

  /** After every connect: what is there of ours, then the difference to what should be. */
  async #resume(): Promise<void> {
    const rows = await this.#link.list(Table.TABLE_ADDRESSES, 'address');
    this.#present = new Map(
      rows
        .flatMap(({ address }) => (address?.owner === OWNER ? [address] : []))
        .map((address) => {
          const placed = placedOf(address);
          return [placeKey(placed), placed];
        }),
    );
    const missing = [...this.#wanted.values()].filter((address) => !this.#present.has(placeKey(address)));
    await this.#apply(missing.map((address) => addressOperation(Verb.VERB_PUT, address)));
    clearTimeout(this.#looking);
    await this.#look(performance.now() + SERVICES_PATIENCE);
  }

  /** Available when the services are there, or it has taken too long. */
  async #look(until: number): Promise<void> {
    if (await this.#served()) return this.#set(true);
    if (performance.now() >= until) {
      this.#log.warning(
        `the health checker has not put its services into the dataplane for ${SERVICES_PATIENCE / 1000} seconds: addresses may come without them`,
      );
      return this.#set(true);
    }
    this.#looking = setTimeout(() => this.#then(() => this.#look(until)), SERVICES_INTERVAL);
  }

  async #served(): Promise<boolean> {
    for (const { protocol, address, port } of this.#awaited()) {
      const service = {
        protocol: protocols[protocol] ?? Protocol.PROTOCOL_NONE,
        address: parseIp(address),
        port,
        fwmark: 0,
        match: undefined,
      };
      try {
        if ((await this.#link.list(Table.TABLE_SERVICES, 'service', { service, limit: 1 })).length === 0)
          return false;
      } catch (error) {
        if (error instanceof DpvsdError && error.code === 'not-found') return false;
        throw error;
      }
    }
    return true;
  }

  /** Takes away addresses of ours that no instance of the configuration knows any more. */
  forgetExcept(known: readonly PlacedAddress[]): void {
    const keep = new Set(known.map(placeKey));
    const stale = [...this.#present.values()].filter((address) => !keep.has(placeKey(address)));
    if (stale.length > 0) this.remove(stale);
  }

  /** One batch; when the dataplane refuses one operation the others are tried without it. */
  async #apply(operations: OperationInput[]): Promise<void> {
    const left = [...operations];
    while (left.length > 0) {
      try {
        await this.#link.apply(left);
        return;
      } catch (error) {
        if (!(error instanceof DpvsdError) || error.operation === undefined) throw error;
        const [refused] = left.splice(error.operation, 1);
        const gone = refused?.verb === Verb.VERB_DELETE && error.code === 'not-found';
        if (!gone)
          this.#log.error(`dataplane refuses: ${error.message}${error.hint ? `; ${error.hint}` : ''}`);
      }
    }
  }
}

function addressOperation(verb: Verb, placed: PlacedAddress): OperationInput {
  const { spec } = placed;
  return {
    verb,
    object: {
      $case: 'address',
      value: {
        address: parseIp(spec.address),
        prefix: spec.prefixLength,
        device: placed.interface,
        owner: OWNER,
        silent: true,
        ...(spec.broadcast === undefined ? {} : { broadcast: parseIp(spec.broadcast) }),
        ...(spec.scope === undefined ? {} : { scope: scopeNames.get(spec.scope) ?? 'global' }),
      },
    },
  };
}

function placedOf(row: Address): PlacedAddress {
  return {
    interface: row.device,
    spec: {
      address: formatIp(row.address),
      prefixLength: row.prefix,
      home: false,
      noDad: false,
      manageTemporaryAddress: false,
      noPrefixRoute: false,
      autoJoin: false,
      noTrack: false,
      useVmac: false,
    },
  };
}
