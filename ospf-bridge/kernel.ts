import type { OspfBridge } from '../keepalived/model/ospf-bridge.js';
import { formatIp, parseIp } from '../lib/ip.js';
import {
  addAddressRequest,
  deleteAddressRequest,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  listAddresses,
} from '../lib/netlink/address.js';
import { listLinks } from '../lib/netlink/link.js';
import type { MessageWriter } from '../lib/netlink/message.js';
import { listRoutes, routeRequests } from '../lib/netlink/route.js';
import { NetlinkSocket } from '../lib/netlink/socket.js';
import type { Change, Standing } from './announcements.js';
import { ensureDrainInterface } from './drain-interface.js';

const TABLE_MAIN = 254;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;

/** Netlink answers of 1,000 changes must fit. */
const RECEIVE_BUFFER = 1 << 20;

/** How the requests of changes of one kind are made. */
type Alike = Map<string, (address: Uint8Array) => MessageWriter>;

/** What of the configuration the kernel's part depends upon. */
export type KernelSettings = Pick<OspfBridge, 'router' | 'announce' | 'protocol' | 'drainInterface'>;

/** Whether an address is announced as a route. BIRD's OSPFv3 takes no device without a link-local address, as lo is. */
export function externally(
  address: string,
  { router, announce }: Pick<OspfBridge, 'router' | 'announce'>,
): boolean {
  return announce === 'external' || (router === 'bird' && address.includes(':'));
}

/**
 * Announcements as the kernel shows them to routing daemons, marked by a protocol number of their own: host routes that are
 * redistributed, or addresses of the loopback device. Everything goes by netlink: 1,000 changes take milliseconds, while a VTY
 * takes as many seconds.
 */
export class Kernel {
  readonly #netlink = new NetlinkSocket(undefined, RECEIVE_BUFFER);
  #settings: KernelSettings;
  #loopback = 0;
  #drain: number | undefined;

  constructor(settings: KernelSettings) {
    this.#settings = settings;
    this.#loopback = listLinks(this.#netlink).find(({ name }) => name === 'lo')?.index ?? 1;
  }

  set settings(settings: KernelSettings) {
    if (settings.drainInterface !== this.#settings.drainInterface) this.#drain = undefined;
    this.#settings = settings;
  }

  /**
   * What is in place of ours, by address: also what an earlier run left. Others may use our protocol number: a route that leads
   * anywhere else than ours do is none of ours.
   */
  present(): Map<string, Standing> {
    const found = new Map<string, Standing>();
    this.#drain = listLinks(this.#netlink).find(({ name }) => name === this.#settings.drainInterface)?.index;
    const drain = this.#drain;
    const standing = (index: number | undefined): Standing | undefined =>
      index === this.#loopback ? 'announced' : index !== undefined && index === drain ? 'drained' : undefined;
    if (this.#settings.announce === 'external' || this.#drainsByRoute) {
      for (const { destination, table, index } of listRoutes(this.#netlink, this.#settings.protocol)) {
        const how = standing(index);
        if (table !== TABLE_MAIN || how === undefined) continue;
        if (destination.prefixLength !== 8 * destination.address.length) continue;
        found.set(formatIp(destination.address), how);
      }
      if (this.#settings.announce === 'external') return found;
    }
    for (const { address, index, protocol } of listAddresses(this.#netlink)) {
      const how = standing(index);
      if (protocol !== this.#settings.protocol || how === undefined) continue;
      const text = formatIp(address);
      // In the midst of a change it is on both devices, and the loopback's counts.
      if (found.get(text) !== 'announced') found.set(text, how);
    }
    return found;
  }

  /** Host addresses of this machine that somebody else put there: FRR takes them before any kernel route. */
  foreign(): Set<string> {
    const found = new Set<string>();
    for (const { address, prefixLength, protocol } of listAddresses(this.#netlink)) {
      if (prefixLength === 8 * address.length && protocol !== this.#settings.protocol)
        found.add(formatIp(address));
    }
    return found;
  }

  /** Makes the drain device. @throws NetlinkError when the kernel cannot */
  prepareDrain(): void {
    this.#drain = ensureDrainInterface(this.#netlink, this.#settings.drainInterface);
  }

  /**
   * Carries a batch out. One change that is refused does not keep the others back.
   * @returns a sentence for each address that was refused
   */
  apply(changes: readonly Change[]): Map<string, string> {
    const refused = new Map<string, string>();
    if (changes.some(({ to }) => to === 'drained')) {
      try {
        this.prepareDrain();
      } catch (error) {
        const reason = `cannot make the device ${this.#settings.drainInterface}: ${(error as Error).message}`;
        for (const { address, to } of changes) if (to === 'drained') refused.set(address, reason);
      }
    }
    const sent: { address: string; absence: boolean }[] = [];
    const alike: Alike = new Map();
    const requests = function* (this: Kernel) {
      for (const change of changes) {
        if (refused.has(change.address)) continue;
        for (const { request, absence } of this.#requests(change, alike)) {
          sent.push({ address: change.address, absence });
          yield request;
        }
      }
    };
    const errors = this.#netlink.batch(requests.call(this));
    for (const [index, error] of errors.entries()) {
      const { address, absence } = sent[index]!;
      // It is gone already: that is what was wanted.
      if (!error || (absence && ['ESRCH', 'EADDRNOTAVAIL', 'ENODEV'].includes(error.code))) continue;
      refused.set(address, error.code === 'EEXIST' ? this.#taken : error.message);
    }
    return refused;
  }

  /** Takes everything of ours away. @returns how many announcements there were */
  clear(): number {
    const changes = [...this.present()].map(
      ([address, from]): Change => ({ address, from, to: 'withdrawn' }),
    );
    this.apply(changes);
    return changes.length;
  }

  close(): void {
    this.#netlink.close();
  }

  get #taken(): string {
    return this.#settings.announce === 'external'
      ? "the kernel has another route to it, which is not ours: 'ip route show' tells whose"
      : "it is an address of this machine already, which is not ours: 'ip address show' tells where";
  }

  /**
   * BIRD announces a host address at metric 0, whatever its interface costs. So a drained one becomes a route, which is
   * announced as external: the last choice of any neighbour that has another one within the area.
   */
  get #drainsByRoute(): boolean {
    return this.#settings.router === 'bird' && this.#settings.announce === 'intra_area';
  }

  #requests(change: Change, alike: Alike): { request: MessageWriter; absence: boolean }[] {
    if (externally(change.address, this.#settings)) return this.#routeRequests(change, alike);
    if (!this.#drainsByRoute) return this.#addressRequests(change);
    const { address, from, to } = change;
    const asAddress = (standing: Standing): Standing => (standing === 'announced' ? standing : 'withdrawn');
    const changed = this.#addressRequests({ address, from: asAddress(from), to: asAddress(to) });
    if (to === 'drained') return [...this.#routeRequests(change, alike), ...changed];
    return from === 'drained'
      ? [...changed, ...this.#routeRequests({ address, from, to: 'withdrawn' }, alike)]
      : changed;
  }

  #routeRequests(
    { address, from, to }: Change,
    alike: Alike,
  ): { request: MessageWriter; absence: boolean }[] {
    const bytes = parseIp(address);
    const key = `${bytes.length} ${from} ${to}`;
    let make = alike.get(key);
    if (!make) {
      make = this.#routeMaker(bytes, from, to);
      alike.set(key, make);
    }
    return [{ request: make(bytes), absence: this.#device(to) === undefined }];
  }

  /** @param bytes one of the addresses */
  #routeMaker(bytes: Uint8Array, from: Standing, to: Standing): (address: Uint8Array) => MessageWriter {
    const family = bytes.length === 4 ? 'ipv4' : 'ipv6';
    const route = {
      family,
      type: 'unicast',
      destination: { address: bytes, prefixLength: 8 * bytes.length },
      table: TABLE_MAIN,
      protocol: this.#settings.protocol,
      scope: family === 'ipv4' ? SCOPE_LINK : SCOPE_UNIVERSE,
    } as const;
    const [old, now] = [this.#device(from), this.#device(to)];
    if (now === undefined) {
      // Named with its device, so that it is never somebody else's.
      const gone = { ...route, ...(old === undefined ? {} : { index: old }) };
      return routeRequests({ ...gone, scope: family === 'ipv4' ? 255 : 0 }, 'delete');
    }
    return routeRequests({ ...route, index: now }, old === undefined ? 'add' : 'replace');
  }

  /** The device of an announcement. */
  #device(standing: Standing): number | undefined {
    return standing === 'announced' ? this.#loopback : standing === 'drained' ? this.#drain : undefined;
  }

  #addressRequests({ address, from, to }: Change): { request: MessageWriter; absence: boolean }[] {
    const bytes = parseIp(address);
    const on = (index: number) => ({
      index,
      address: bytes,
      prefixLength: 8 * bytes.length,
      protocol: this.#settings.protocol,
      flags: bytes.length === 16 ? IFA_F_NODAD | IFA_F_NOPREFIXROUTE : 0,
    });
    const [old, now] = [this.#device(from), this.#device(to)];
    const requests: { request: MessageWriter; absence: boolean }[] = [];
    // The new place first: neighbours see a change of cost, never a gap.
    if (now !== undefined) requests.push({ request: addAddressRequest(on(now), 'add'), absence: false });
    if (old !== undefined && old !== now)
      requests.push({ request: deleteAddressRequest(on(old)), absence: true });
    return requests;
  }
}
