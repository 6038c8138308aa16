import type { InterfaceDelay } from '../keepalived/model/vrrp.js';
import type { Timer } from '../lib/clock.js';
import { formatIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import {
  decodeAddress,
  type InterfaceAddress,
  listAddresses,
  RTM_NEWADDR,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV6_IFADDR,
  SCOPE_LINK,
} from '../lib/netlink/address.js';
import {
  decodeLink,
  IFF_RUNNING,
  IFF_UP,
  type Link,
  listLinks,
  RTM_NEWLINK,
  RTMGRP_LINK,
} from '../lib/netlink/link.js';
import { NetlinkMonitor, type NetlinkSocket } from '../lib/netlink/socket.js';
import type { Poller } from '../lib/poller.js';

/** An interface as VRRP cares about it. */
export interface Interface {
  link: Link;
  /** Administratively up and with carrier, after the configured delays. */
  up: boolean;
  /** By address and prefix length; in the kernel's order, so that the first one of a family is the primary one. */
  addresses: Map<string, InterfaceAddress>;
}

/**
 * Links and addresses of this network namespace, kept up to date by netlink events. Whoever is interested is told the name of
 * every interface that changed, once per burst of events.
 */
export class Interfaces {
  readonly #poller: Poller;
  readonly #netlink: NetlinkSocket;
  readonly #log: Log;
  readonly #monitor: NetlinkMonitor;
  readonly #byIndex = new Map<number, Interface>();
  readonly #waiting = new Map<number, Timer>();
  #delays = new Map<string, InterfaceDelay>();
  #onChange: (names: ReadonlySet<string>) => void = () => {};

  constructor(poller: Poller, netlink: NetlinkSocket, log: Log, receiveBuffer?: number) {
    this.#poller = poller;
    this.#netlink = netlink;
    this.#log = log;
    this.#monitor = new NetlinkMonitor(
      RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR,
      receiveBuffer ?? 1 << 20,
    );
    poller.watch(this.#monitor.fd, () => this.#read());
    this.#load();
  }

  set onChange(listener: (names: ReadonlySet<string>) => void) {
    this.#onChange = listener;
  }

  /** Told of every address that comes or goes (`--address-monitoring`). */
  onAddress: (address: string, name: string, present: boolean) => void = () => {};

  set delays(delays: readonly InterfaceDelay[]) {
    this.#delays = new Map(delays.map((delay) => [delay.interface, delay]));
  }

  get(name: string): Interface | undefined {
    for (const one of this.#byIndex.values()) if (one.link.name === name) return one;
    return undefined;
  }

  all(): Interface[] {
    return [...this.#byIndex.values()];
  }

  close(): void {
    this.#poller.unwatch(this.#monitor.fd);
    this.#monitor.close();
    for (const timer of this.#waiting.values()) timer.cancel();
  }

  /** Reads everything anew: at start, and after events were lost. */
  #load(): Set<string> {
    const changed = new Set<string>();
    const seen = new Set<number>();
    for (const link of listLinks(this.#netlink)) {
      seen.add(link.index);
      this.#link(link, changed);
    }
    for (const [index, one] of this.#byIndex) {
      if (seen.has(index)) one.addresses.clear();
      else this.#gone(index, changed);
    }
    for (const address of listAddresses(this.#netlink)) {
      this.#byIndex.get(address.index)?.addresses.set(keyOf(address), address);
    }
    for (const one of this.#byIndex.values()) changed.add(one.link.name);
    return changed;
  }

  #read(): void {
    const changed = new Set<string>();
    const complete = this.#monitor.read((message) => {
      const link = decodeLink(message);
      if (link) {
        if (message.type === RTM_NEWLINK) this.#link(link, changed);
        else this.#gone(link.index, changed);
        return;
      }
      const address = decodeAddress(message);
      if (address) this.#address(address, message.type === RTM_NEWADDR, changed);
    });
    if (!complete) {
      this.#log.warning('netlink events were lost, reading all interfaces anew');
      for (const name of this.#load()) changed.add(name);
    }
    if (changed.size > 0) this.#onChange(changed);
  }

  #link(link: Link, changed: Set<string>): void {
    const known = this.#byIndex.get(link.index);
    const running = (link.flags & IFF_UP) !== 0 && (link.flags & IFF_RUNNING) !== 0;
    if (!known) {
      this.#byIndex.set(link.index, { link, up: running, addresses: new Map() });
      changed.add(link.name);
      return;
    }
    if (known.link.name !== link.name) changed.add(known.link.name);
    const same =
      known.link.name === link.name && known.link.mac.equals(link.mac) && known.link.mtu === link.mtu;
    known.link = link;
    if (!same) changed.add(link.name);
    this.#waiting.get(link.index)?.cancel();
    this.#waiting.delete(link.index);
    if (known.up === running) return;
    const delays = this.#delays.get(link.name);
    const delay = (running ? delays?.up : delays?.down) ?? 0;
    if (delay === 0) {
      known.up = running;
      changed.add(link.name);
      return;
    }
    const timer = this.#poller.after(
      delay,
      () => {
        this.#waiting.delete(link.index);
        known.up = running;
        this.#onChange(new Set([link.name]));
      },
      `interface ${link.name} ${running ? 'up' : 'down'}`,
    );
    this.#waiting.set(link.index, timer);
  }

  #gone(index: number, changed: Set<string>): void {
    const known = this.#byIndex.get(index);
    if (!known) return;
    this.#waiting.get(index)?.cancel();
    this.#waiting.delete(index);
    this.#byIndex.delete(index);
    changed.add(known.link.name);
  }

  #address(address: InterfaceAddress, present: boolean, changed: Set<string>): void {
    const one = this.#byIndex.get(address.index);
    if (!one) return;
    // The kernel repeats itself when an address changes its flags.
    if (one.addresses.has(keyOf(address)) !== present)
      this.onAddress(formatIp(address.address), one.link.name, present);
    if (present) one.addresses.set(keyOf(address), address);
    else one.addresses.delete(keyOf(address));
    changed.add(one.link.name);
  }
}

/**
 * The address that adverts of this interface come from: the first IPv4 address, or the link-local IPv6 address, that is no
 * virtual one.
 */
export function primaryAddress(
  one: Interface,
  family: 'ipv4' | 'ipv6',
  virtual: (address: string) => boolean,
): Uint8Array | undefined {
  let fallback: Uint8Array | undefined;
  for (const { address, scope, protocol } of one.addresses.values()) {
    const fits = family === 'ipv4' ? address.length === 4 : address.length === 16 && scope === SCOPE_LINK;
    if (!fits) continue;
    if (!virtual(formatIp(address))) return address;
    // An owner's own address is virtual as well; it is there without our doing.
    if (!protocol) fallback ??= address;
  }
  return fallback;
}

function keyOf({ address, prefixLength }: InterfaceAddress): string {
  return `${formatIp(address)}/${prefixLength}`;
}
