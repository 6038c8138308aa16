import type { Clock, Timer } from '../lib/clock.js';
import { formatIp } from '../lib/ip.js';
import {
  decodeAddress,
  listAddresses,
  RTM_NEWADDR,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV6_IFADDR,
} from '../lib/netlink/address.js';
import { NetlinkMonitor, NetlinkSocket } from '../lib/netlink/socket.js';
import { Poller } from '../lib/poller.js';

/** How long a dataplane may be away before its addresses count as gone: most outages are a restart. Milliseconds. */
const PATIENCE = 1000;
/** For a burst of events: addresses by the hundred. */
const RECEIVE_BUFFER = 1 << 20;

export interface AddressWatchOptions {
  clock: Clock;
  /** Called after some wanted address came or went. */
  changed: () => void;
  /** Addresses that the dataplane holds, which count as being here; undefined: there is no dataplane that could have any. */
  dataplane?: (() => Promise<Set<string>>) | undefined;
  /** Told of every address that comes or goes, wanted or not (`--address-monitoring`). */
  heard?: ((address: string, present: boolean) => void) | undefined;
  /** Told of what cannot be: the watch then stays with what it knew. */
  failed: (reason: string) => void;
}

/** Knows which of some addresses are on this machine, for ha_suspend, from the moment that they come and go. */
export class AddressWatch {
  readonly #options: AddressWatchOptions;
  #wanted: ReadonlySet<string> = new Set();
  /** An address counts for each interface that has it; the kernel repeats itself when one changes its flags. */
  readonly #places = new Set<string>();
  /** How many interfaces hold it, by address. */
  readonly #kernel = new Map<string, number>();
  #dataplane = new Set<string>();
  #present = new Set<string>();
  #poller: Poller | undefined;
  #monitor: NetlinkMonitor | undefined;
  #timer: Timer | undefined;
  #asked = 0;

  constructor(options: AddressWatchOptions) {
    this.#options = options;
  }

  /** Watches these from now on. Resolves when it is known which of them are here. */
  async watch(addresses: ReadonlySet<string>): Promise<void> {
    this.#wanted = addresses;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (addresses.size === 0 && !this.#options.heard) {
      this.close();
      return;
    }
    if (!this.#monitor) this.#open();
    if (addresses.size === 0) return;
    await this.#askDataplane();
    this.#judge();
  }

  /**
   * The dataplane's addresses may be others than before.
   * @param there whether there is a dataplane now
   */
  dataplaneChanged(there: boolean): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    if (there) void this.#look();
    else this.#lookLater();
  }

  #lookLater(): void {
    this.#timer?.cancel();
    this.#timer = this.#options.clock.after(PATIENCE, () => void this.#look(), 'addresses for ha_suspend');
  }

  present(address: string): boolean {
    return this.#present.has(address);
  }

  close(): void {
    this.#asked++;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (this.#monitor) this.#poller?.unwatch(this.#monitor.fd);
    this.#monitor?.close();
    this.#poller?.close();
    this.#monitor = undefined;
    this.#poller = undefined;
  }

  #open(): void {
    const { failed } = this.#options;
    try {
      // First the ear, then the look: what changes in between is heard.
      const monitor = new NetlinkMonitor(RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, RECEIVE_BUFFER);
      this.#monitor = monitor;
      this.#load();
      this.#poller = new Poller((error) => failed(error instanceof Error ? error.message : String(error)));
      this.#poller.watch(monitor.fd, () => this.#read(monitor));
    } catch (error) {
      failed((error as Error).message);
    }
  }

  #load(): void {
    const netlink = new NetlinkSocket();
    try {
      this.#kernel.clear();
      this.#places.clear();
      for (const { index, address } of listAddresses(netlink)) this.#note(formatIp(address), index, true);
    } finally {
      netlink.close();
    }
  }

  #note(address: string, index: number, present: boolean): boolean {
    const place = `${address} ${index}`;
    if (this.#places.has(place) === present) return false;
    if (present) this.#places.add(place);
    else this.#places.delete(place);
    const count = (this.#kernel.get(address) ?? 0) + (present ? 1 : -1);
    if (count > 0) this.#kernel.set(address, count);
    else this.#kernel.delete(address);
    return true;
  }

  #read(monitor: NetlinkMonitor): void {
    const { heard } = this.#options;
    const complete = monitor.read((message) => {
      const found = decodeAddress(message);
      if (!found) return;
      const address = formatIp(found.address);
      const present = message.type === RTM_NEWADDR;
      if (this.#note(address, found.index, present)) heard?.(address, present);
    });
    if (!complete) this.#load();
    if (this.#judge()) this.#options.changed();
  }

  async #look(): Promise<void> {
    if (this.#wanted.size === 0) return;
    await this.#askDataplane();
    if (this.#judge()) this.#options.changed();
  }

  async #askDataplane(): Promise<void> {
    const asked = ++this.#asked;
    try {
      const found = (await this.#options.dataplane?.()) ?? new Set();
      // Of answers that overlap the last question's counts.
      if (asked === this.#asked) this.#dataplane = found;
    } catch {
      // What was known stays until it can tell, or is known to be away.
      if (asked === this.#asked) this.#lookLater();
    }
  }

  /** @returns whether a wanted address came or went */
  #judge(): boolean {
    const present = new Set(
      [...this.#wanted].filter((address) => this.#kernel.has(address) || this.#dataplane.has(address)),
    );
    const same =
      present.size === this.#present.size && [...present].every((address) => this.#present.has(address));
    this.#present = present;
    return !same;
  }
}
