import { readFileSync, writeFileSync } from 'node:fs';
import type { VrrpGlobals, VrrpInstance } from '../keepalived/model/vrrp.js';
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
  made: boolean;
  base: string;
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

  /** Makes the device of an instance, or finds the one that an earlier run made. @returns why not, or undefined */
  prepare(instance: VrrpInstance, globals: VrrpGlobals): string | undefined {
    const { virtualMac: wanted, interface: base } = instance;
    if (!wanted || base === undefined || this.#devices.has(key(instance))) return undefined;
    const links = listLinks(this.#netlink);
    const lower = links.find(({ name }) => name === base);
    if (!lower) return `interface ${base} does not exist`;
    const mac = virtualMac(instance);
    const ours = (link: Link) =>
      link.kind === wanted.kind &&
      link.lower === lower.index &&
      (wanted.kind === 'ipvlan' || link.mac.equals(mac));
    const names = wanted.name ? [wanted.name] : candidates(instance, globals.vmacPrefix);
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
      this.#devices.set(key(instance), { name, index, made: true, base });
      this.#settle(base, name);
      return undefined;
    } catch (error) {
      return `cannot make ${wanted.kind} ${name}: ${(error as Error).message}`;
    }
  }

  /** Name of the instance's device, if it has one. */
  device(instance: VrrpInstance): Device | undefined {
    return this.#devices.get(key(instance));
  }

  raise(instance: VrrpInstance): void {
    const device = this.device(instance);
    if (!device) return;
    this.#try(`bring up ${device.name}`, () => setLinkUp(this.#netlink, device.index, true));
    const own = instance.virtualMac?.address;
    if (own === undefined) return;
    this.#try(`give ${device.name} its address`, () =>
      this.#netlink.request(
        addAddressRequest({
          index: device.index,
          address: parseIp(own),
          prefixLength: own.includes(':') ? 128 : 32,
        }),
      ),
    );
  }

  lower(instance: VrrpInstance): void {
    const device = this.device(instance);
    if (device) this.#try(`bring down ${device.name}`, () => setLinkUp(this.#netlink, device.index, false));
  }

  /** Removes the device of an instance that is gone. */
  release(instance: VrrpInstance): void {
    const device = this.device(instance);
    if (!device) return;
    this.#devices.delete(key(instance));
    this.#try(`remove ${device.name}`, () => deleteLink(this.#netlink, device.index));
    if ([...this.#devices.values()].some(({ base }) => base === device.base)) return;
    for (const [path, value] of this.#before) {
      if (!path.includes(`/conf/${device.base}/`)) continue;
      this.#write(path, value);
      this.#before.delete(path);
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

function key(instance: VrrpInstance): string {
  return `${instance.interface} ${instance.family} ${instance.virtualRouterId} ${instance.virtualMac?.name ?? ''}`;
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
