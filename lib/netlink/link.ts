import type { Message } from './message.js';
import { attributes, attributeText, MessageWriter, NLM_F_CREATE, NLM_F_EXCL } from './message.js';
import type { NetlinkSocket } from './socket.js';

export const RTM_NEWLINK = 16;
export const RTM_DELLINK = 17;
const RTM_GETLINK = 18;
export const RTMGRP_LINK = 1;

const IFLA_ADDRESS = 1;
const IFLA_IFNAME = 3;
const IFLA_MTU = 4;
const IFLA_LINK = 5;
const IFLA_MASTER = 10;
const IFLA_LINKINFO = 18;
const IFLA_AF_SPEC = 26;
const IFLA_GROUP = 27;
const IFLA_INFO_KIND = 1;
const IFLA_INFO_DATA = 2;
const IFLA_MACVLAN_MODE = 1;
const IFLA_IPVLAN_MODE = 1;
const IFLA_IPVLAN_FLAGS = 2;
const IFLA_INET6_ADDR_GEN_MODE = 8;
const AF_INET6 = 10;

const MACVLAN_MODE_PRIVATE = 1;
const IPVLAN_MODE_L2 = 0;
const ipvlanFlags = { bridge: 0, private: 1, vepa: 2 } as const;
const ADDR_GEN_MODE_NONE = 1;

export const IFF_UP = 1;
export const IFF_LOOPBACK = 8;
export const IFF_RUNNING = 0x40;
export const IFF_NOARP = 0x80;
export const IFF_MULTICAST = 0x1000;

export interface Link {
  index: number;
  name: string;
  /** IFF_... */
  flags: number;
  mtu: number;
  /** 6 bytes on Ethernet. */
  mac: Buffer;
  /** Index of the device below (macvlan, VLAN), or 0. */
  lower: number;
  /** Index of the bridge, bond or VRF that it is part of, or 0. */
  master: number;
  /** `macvlan`, `veth`, ...; absent for hardware. */
  kind?: string;
}

function ifinfo(index: number, flags = 0, change = 0, family = 0): Buffer {
  const body = Buffer.alloc(16);
  body[0] = family;
  body.writeInt32LE(index, 4);
  body.writeUInt32LE(flags, 8);
  body.writeUInt32LE(change, 12);
  return body;
}

/** The link that a RTM_NEWLINK or RTM_DELLINK message tells of, or undefined when it tells of something else. */
export function decodeLink(message: Message): Link | undefined {
  if (message.type !== RTM_NEWLINK && message.type !== RTM_DELLINK) return undefined;
  // Bridges tell of their ports in a family of their own.
  if (message.body.length < 16 || message.body[0] !== 0) return undefined;
  const found = attributes(message.body, 16);
  const information = found.get(IFLA_LINKINFO);
  const kind = information && attributeText(attributes(information).get(IFLA_INFO_KIND));
  return {
    index: message.body.readInt32LE(4),
    name: attributeText(found.get(IFLA_IFNAME)) ?? '',
    flags: message.body.readUInt32LE(8),
    mtu: found.get(IFLA_MTU)?.readUInt32LE(0) ?? 0,
    mac: Buffer.from(found.get(IFLA_ADDRESS) ?? []),
    lower: found.get(IFLA_LINK)?.readUInt32LE(0) ?? 0,
    master: found.get(IFLA_MASTER)?.readUInt32LE(0) ?? 0,
    ...(kind === undefined ? {} : { kind }),
  };
}

/** All links of the namespace. */
export function listLinks(netlink: NetlinkSocket): Link[] {
  return netlink
    .dump(new MessageWriter(RTM_GETLINK, 0, ifinfo(0)))
    .map(decodeLink)
    .filter((link): link is Link => link !== undefined);
}

/** Makes a device that leads nowhere, down. */
export function createDummy(netlink: NetlinkSocket, name: string): void {
  netlink.request(
    new MessageWriter(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfo(0))
      .text(IFLA_IFNAME, name)
      .nest(IFLA_LINKINFO, (info) => info.text(IFLA_INFO_KIND, 'dummy')),
  );
}

const VETH_INFO_PEER = 1;

/** Makes two devices that are connected with each other, down. */
export function createVethPair(netlink: NetlinkSocket, name: string, peer: string): void {
  netlink.request(
    new MessageWriter(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfo(0))
      .text(IFLA_IFNAME, name)
      .nest(IFLA_LINKINFO, (info) =>
        info.text(IFLA_INFO_KIND, 'veth').nest(IFLA_INFO_DATA, (data) =>
          // The peer's description is a message body of its own.
          data.nest(VETH_INFO_PEER, (other) => other.raw(ifinfo(0)).text(IFLA_IFNAME, peer)),
        ),
      ),
  );
}

export interface MacvlanOptions {
  name: string;
  /** Index of the device below. */
  lower: number;
  /** 6 bytes. */
  mac: Uint8Array;
  group?: number;
}

/** Makes a macvlan device in private mode, down. @throws NetlinkError EEXIST when the name is taken */
export function createMacvlan(netlink: NetlinkSocket, options: MacvlanOptions): void {
  const request = new MessageWriter(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfo(0))
    .u32(IFLA_LINK, options.lower)
    .text(IFLA_IFNAME, options.name)
    .bytes(IFLA_ADDRESS, options.mac)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .text(IFLA_INFO_KIND, 'macvlan')
        .nest(IFLA_INFO_DATA, (data) => data.u32(IFLA_MACVLAN_MODE, MACVLAN_MODE_PRIVATE)),
    );
  if (options.group !== undefined) request.u32(IFLA_GROUP, options.group);
  netlink.request(request);
}

/** Makes an ipvlan device in layer 2, down. */
export function createIpvlan(
  netlink: NetlinkSocket,
  options: { name: string; lower: number; mode: keyof typeof ipvlanFlags; group?: number },
): void {
  const request = new MessageWriter(RTM_NEWLINK, NLM_F_CREATE | NLM_F_EXCL, ifinfo(0))
    .u32(IFLA_LINK, options.lower)
    .text(IFLA_IFNAME, options.name)
    .nest(IFLA_LINKINFO, (info) =>
      info
        .text(IFLA_INFO_KIND, 'ipvlan')
        .nest(IFLA_INFO_DATA, (data) =>
          data.u16(IFLA_IPVLAN_MODE, IPVLAN_MODE_L2).u16(IFLA_IPVLAN_FLAGS, ipvlanFlags[options.mode]),
        ),
    );
  if (options.group !== undefined) request.u32(IFLA_GROUP, options.group);
  netlink.request(request);
}

/** Keeps the kernel from giving the device a link-local address of its own. */
export function disableLinkLocalAddress(netlink: NetlinkSocket, index: number): void {
  netlink.request(
    new MessageWriter(RTM_NEWLINK, 0, ifinfo(index)).nest(IFLA_AF_SPEC, (families) =>
      families.nest(AF_INET6, (inet6) => inet6.u8(IFLA_INET6_ADDR_GEN_MODE, ADDR_GEN_MODE_NONE)),
    ),
  );
}

export function setLinkUp(netlink: NetlinkSocket, index: number, up: boolean): void {
  netlink.request(new MessageWriter(RTM_NEWLINK, 0, ifinfo(index, up ? IFF_UP : 0, IFF_UP)));
}

export function setLinkMac(netlink: NetlinkSocket, index: number, mac: Uint8Array): void {
  netlink.request(new MessageWriter(RTM_NEWLINK, 0, ifinfo(index)).bytes(IFLA_ADDRESS, mac));
}

export function deleteLink(netlink: NetlinkSocket, index: number): void {
  netlink.request(new MessageWriter(RTM_DELLINK, 0, ifinfo(index)));
}
