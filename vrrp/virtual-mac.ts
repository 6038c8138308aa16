import { readFileSync, writeFileSync } from 'node:fs';
import type { VirtualMac, VrrpGlobals, VrrpInstance } from '../keepalived/model/vrrp.js';
import { parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import { addAddressRequest } from '../lib/netlink/address.js';
import {
  createIpvlan,
  createMacvlan,
  deleteLink,
  disableLinkLocalAddress,
  type Link,
  listLinks,
  setLinkUp,
} from '../lib/netlink/link.js';
import type { NetlinkSocket } from '../lib/netlink/socket.js';
import type { DeviceSink } from './virtual-router.js';

/** The virtual router's MAC address (RFC 9568 7.3). */
export function virtualMac(instance: VrrpInstance): Buffer {
  const own = instance.virtualMac?.mac;
  if (own !== undefined) return Buffer.from(own.replaceAll(/[:-]/g, ''), 'hex');
  return Buffer.from([0, 0, 0x5e, 0, instance.family === 'ipv4' ? 1 : 2, instance.virtualRouterId]);
}

interface Device {
  name: string;
  index: number;
  /** Name of the interface below. */
  base: string;
  /** Which instance it belongs to. */
  owner: string;
}

/**
 * Devices with virtual MACs: made when an instance appears, up only while it is master. A backup's device that is down sends
 * no IGMP, MLD or router solicitations with the virtual MAC, which would draw the master's traffic to the wrong switch port; no
 * firewall rules are needed for that.
 */
export class VirtualMacs implements DeviceSink {
  readonly #netlink: NetlinkSocket;
  readonly #log: Log;
  readonly #devices = new Map<string, Device>();
  /** Settings of interfaces as they were before: path under /proc/sys, value. */
  readonly #before = new Map<string, string>();

  constructor(netlink: NetlinkSocket, log: Log) {
    this.#netlink = netlink;
    this.#log = log;
  }

  /**
   * Makes the devices of an instance, or finds those that an earlier run made: one on its interface, and with `use_vmac` of
   * addresses (`use_vmac_addr`: of all) one on every other interface that has addresses.
   * @returns why not, or undefined
   */
  prepare(instance: VrrpInstance, globals: VrrpGlobals): string | undefined {
    const { virtualMac: wanted, interface: base } = instance;
    const others = otherInterfaces(instance).filter((name) => !this.#devices.has(key(instance, name)));
    const own = wanted && base !== undefined && !this.#devices.has(key(instance, base));
    if (!own && others.length === 0) return undefined;
    const links = listLinks(this.#netlink);
    let problem: string | undefined;
    if (own) problem = this.#make(instance, wanted, base, links, candidates(instance, globals.vmacPrefix));
    for (const name of others) {
      const names = candidates(instance, globals.vmacAddressPrefix);
      problem ??= this.#make(instance, { kind: 'macvlan' }, name, listLinks(this.#netlink), names);
    }
    return problem;
  }

  #make(
    instance: VrrpInstance,
    wanted: Pick<VirtualMac, 'kind' | 'name' | 'mode' | 'group'>,
    base: string,
    links: readonly Link[],
    free: readonly string[],
  ): string | undefined {
    const lower = links.find(({ name }) => name === base);
    if (!lower) return `interface ${base} does not exist`;
    const mac = virtualMac(instance);
    const ours = (link: Link) =>
      link.kind === wanted.kind &&
      link.lower === lower.index &&
      (wanted.kind === 'ipvlan' || link.mac.equals(mac));
    const names = wanted.name === undefined ? free : [wanted.name];
    const taken = new Set([...this.#devices.values()].map(({ name }) => name));
    const existing = links.find((link) => names.includes(link.name) && ours(link) && !taken.has(link.name));
    const name = existing?.name ?? names.find((one) => !links.some((link) => link.name === one));
    if (name === undefined)
      return `no name is free for the device of virtual router ${instance.virtualRouterId}`;
    try {
      if (!existing) {
        const group = wanted.group === undefined ? {} : { group: wanted.group };
        if (wanted.kind === 'macvlan')
          createMacvlan(this.#netlink, { name, lower: lower.index, mac, ...group });
        else
          createIpvlan(this.#netlink, { name, lower: lower.index, mode: wanted.mode ?? 'bridge', ...group });
      }
      const index = existing?.index ?? listLinks(this.#netlink).find((link) => link.name === name)!.index;
      disableLinkLocalAddress(this.#netlink, index);
      this.#devices.set(key(instance, base), { name, index, base, owner: key(instance) });
      this.#settle(base, name);
      return undefined;
    } catch (error) {
      return `cannot make ${wanted.kind} ${name}: ${(error as Error).message}`;
    }
  }

  /** The instance's device on its own interface, or on another one; undefined when it has none there. */
  device(instance: VrrpInstance, base = instance.interface): Device | undefined {
    return base === undefined ? undefined : this.#devices.get(key(instance, base));
  }

  #all(instance: VrrpInstance): [string, Device][] {
    return [...this.#devices].filter(([, { owner }]) => owner === key(instance));
  }

  raise(instance: VrrpInstance): void {
    for (const [, device] of this.#all(instance)) {
      this.#try(`bring up ${device.name}`, () => setLinkUp(this.#netlink, device.index, true));
    }
    const own = instance.virtualMac?.address;
    const device = this.device(instance);
    if (own === undefined || !device) return;
    const prefixLength = own.includes(':') ? 128 : 32;
    this.#try(`give ${device.name} its address`, () =>
      this.#netlink.request(addAddressRequest({ index: device.index, address: parseIp(own), prefixLength })),
    );
  }

  lower(instance: VrrpInstance): void {
    for (const [, device] of this.#all(instance)) {
      this.#try(`bring down ${device.name}`, () => setLinkUp(this.#netlink, device.index, false));
    }
  }

  /** Removes the devices of an instance that is gone. */
  release(instance: VrrpInstance): void {
    for (const [place, device] of this.#all(instance)) {
      this.#devices.delete(place);
      this.#try(`remove ${device.name}`, () => deleteLink(this.#netlink, device.index));
      if ([...this.#devices.values()].some(({ base }) => base === device.base)) continue;
      for (const [path, value] of this.#before) {
        if (!path.includes(`/conf/${device.base}/`)) continue;
        this.#write(path, value);
        this.#before.delete(path);
      }
    }
  }

  /**
   * The base must not answer ARP for addresses that live on the device above it, and the device must take packets whose way
   * back is by the base.
   */
  #settle(base: string, device: string): void {
    for (const [setting, value] of [
      ['arp_ignore', '1'],
      // Nor may its own questions carry the virtual address beside the wrong MAC.
      ['arp_announce', '2'],
    ] as const) {
      const path = `/proc/sys/net/ipv4/conf/${base}/${setting}`;
      const before = this.#before.has(path) ? undefined : read(path);
      if (before !== '0') continue;
      this.#before.set(path, before);
      this.#write(path, value);
    }
    this.#write(`/proc/sys/net/ipv4/conf/${device}/arp_ignore`, '1');
    this.#write(`/proc/sys/net/ipv4/conf/${device}/rp_filter`, '0');
    this.#write(`/proc/sys/net/ipv6/conf/${device}/accept_ra`, '0');
    this.#write(`/proc/sys/net/ipv6/conf/${device}/router_solicitations`, '0');
  }

  #write(path: string, value: string): void {
    try {
      writeFileSync(path, value);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ENOENT') {
        this.#log.warning(`cannot write ${value} to ${path}: ${(error as Error).message}`);
      }
    }
  }

  #try(what: string, work: () => void): void {
    try {
      work();
    } catch (error) {
      this.#log.error(`cannot ${what}: ${(error as Error).message}`);
    }
  }
}

function key(instance: VrrpInstance, base = ''): string {
  return [instance.interface, instance.family, instance.virtualRouterId, base].join(' ');
}

/** Interfaces besides the instance's own whose addresses want its virtual MAC. */
function otherInterfaces(instance: VrrpInstance): string[] {
  const names = [...instance.virtualAddresses, ...instance.excludedAddresses]
    .filter(({ useVmac }) => useVmac || instance.virtualMacForAddresses)
    .flatMap(({ interface: name }) => (name === undefined || name === instance.interface ? [] : [name]));
  return [...new Set(names)];
}

/** Names for the device, in order: `vrrp.51`, for IPv6 `vrrp6.51`, then `vrrp1.51`, `vrrp2.51` ... */
function candidates(instance: VrrpInstance, prefix: string): string[] {
  const id = instance.virtualRouterId;
  const names = [`${prefix}.${id}`];
  if (instance.family === 'ipv6') names.push(`${prefix}6.${id}`);
  for (let i = 1; i <= 255; i++) names.push(`${prefix}${i}.${id}`);
  return names.filter((name) => name.length <= 15);
}

function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'latin1').trim();
  } catch {
    return undefined;
  }
}
