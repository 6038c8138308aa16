import { readFileSync } from 'node:fs';
import {
  IFA_F_TENTATIVE,
  type InterfaceAddress,
  listAddresses,
  RTMGRP_IPV4_IFADDR,
  RTMGRP_IPV6_IFADDR,
} from '../lib/netlink/address.js';
import { listLinks, RTMGRP_LINK } from '../lib/netlink/link.js';
import { NetlinkSocket } from '../lib/netlink/socket.js';

/** A twin as the kernel has it. */
export interface TwinDevice {
  name: string;
  /** 4 or 16 bytes each. */
  addresses: Uint8Array[];
  /** MAC addresses of the multicast groups that programs have joined on it. */
  groups: Uint8Array[];
}

/** What of the kernel's changes concerns a twin. */
export const TWIN_EVENTS = RTMGRP_LINK | RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR;

/** Every multicast MAC address of every device, one a line: index, name, users, users that are global, address. */
const GROUPS_FILE = '/proc/net/dev_mcast';

/** The groups in the text of /proc/net/dev_mcast, by name of the device. */
export function parseGroups(text: string): Map<string, Uint8Array[]> {
  const found = new Map<string, Uint8Array[]>();
  for (const line of text.split('\n')) {
    const [, name, , , mac] = line.trim().split(/\s+/);
    if (name === undefined || mac === undefined || !/^[0-9a-f]{12}$/i.test(mac)) continue;
    const list = found.get(name) ?? [];
    list.push(new Uint8Array(Buffer.from(mac, 'hex')));
    found.set(name, list);
  }
  return found;
}

/** Whether the dataplane should leave packets to this address to the kernel: not before it is known to be unique. */
const isUsable = (address: InterfaceAddress): boolean => ((address.flags ?? 0) & IFA_F_TENTATIVE) === 0;

/** Reads the kernel's side of twins in this network namespace. */
export class KernelSide {
  readonly #netlink = new NetlinkSocket();

  /** @returns by name; names that the kernel does not have are left out */
  read(names: ReadonlySet<string>): Map<string, TwinDevice> {
    const groups = parseGroups(readFileSync(GROUPS_FILE, 'utf8'));
    const byIndex = new Map<number, TwinDevice>();
    const found = new Map<string, TwinDevice>();
    for (const link of listLinks(this.#netlink)) {
      if (!names.has(link.name)) continue;
      const device: TwinDevice = {
        name: link.name,
        addresses: [],
        groups: groups.get(link.name) ?? [],
      };
      byIndex.set(link.index, device);
      found.set(link.name, device);
    }
    for (const address of listAddresses(this.#netlink)) {
      const device = byIndex.get(address.index);
      if (device && isUsable(address)) device.addresses.push(address.address);
    }
    return found;
  }

  close(): void {
    this.#netlink.close();
  }
}
