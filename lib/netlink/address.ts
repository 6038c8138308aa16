import { AF_INET, AF_INET6 } from '../libc.js';
import type { Message } from './message.js';
import {
  attributes,
  attributeText,
  MessageWriter,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from './message.js';
import type { NetlinkSocket } from './socket.js';

export const RTM_NEWADDR = 20;
export const RTM_DELADDR = 21;
const RTM_GETADDR = 22;
export const RTMGRP_IPV4_IFADDR = 0x10;
export const RTMGRP_IPV6_IFADDR = 0x100;

const IFA_ADDRESS = 1;
const IFA_LOCAL = 2;
const IFA_LABEL = 3;
const IFA_BROADCAST = 4;
const IFA_CACHEINFO = 6;
const IFA_FLAGS = 8;
const IFA_PROTO = 11;

export const IFA_F_NODAD = 0x02;
export const IFA_F_HOMEADDRESS = 0x10;
export const IFA_F_DEPRECATED = 0x20;
export const IFA_F_TENTATIVE = 0x40;
export const IFA_F_MANAGETEMPADDR = 0x100;
export const IFA_F_NOPREFIXROUTE = 0x200;
export const IFA_F_MCAUTOJOIN = 0x400;

const FOREVER = 0xffffffff;
export const SCOPE_LINK = 253;

export interface InterfaceAddress {
  /** Index of the interface. */
  index: number;
  /** 4 or 16 bytes. */
  address: Uint8Array;
  prefixLength: number;
  scope?: number;
  /** 4 bytes. */
  broadcast?: Uint8Array;
  peer?: { address: Uint8Array; prefixLength: number };
  label?: string;
  /** IFA_F_... */
  flags?: number;
  /** Seconds; absent: forever. */
  preferredLifetime?: number;
  /** Who put it there, as route protocols are numbered (kernel 5.18 and later keep it). */
  protocol?: number;
}

function ifaddr(address: InterfaceAddress): Buffer {
  const body = Buffer.alloc(8);
  body[0] = address.address.length === 4 ? AF_INET : AF_INET6;
  body[1] = address.peer ? address.peer.prefixLength : address.prefixLength;
  body[2] = (address.flags ?? 0) & 0xff;
  body[3] = address.scope ?? 0;
  body.writeUInt32LE(address.index, 4);
  return body;
}

/** Request that puts an address on an interface, or renews the one that is there; `add` refuses then (EEXIST). */
export function addAddressRequest(
  address: InterfaceAddress,
  mode: 'add' | 'replace' = 'replace',
): MessageWriter {
  const how = NLM_F_CREATE | (mode === 'add' ? NLM_F_EXCL : NLM_F_REPLACE);
  const request = new MessageWriter(RTM_NEWADDR, how, ifaddr(address))
    .bytes(IFA_LOCAL, address.address)
    .bytes(IFA_ADDRESS, address.peer?.address ?? address.address);
  if (address.broadcast) request.bytes(IFA_BROADCAST, address.broadcast);
  if (address.label !== undefined) request.text(IFA_LABEL, address.label);
  if (address.flags !== undefined) request.u32(IFA_FLAGS, address.flags);
  if (address.preferredLifetime !== undefined) {
    const lifetimes = Buffer.alloc(16);
    lifetimes.writeUInt32LE(address.preferredLifetime, 0);
    lifetimes.writeUInt32LE(FOREVER, 4);
    request.bytes(IFA_CACHEINFO, lifetimes);
  }
  if (address.protocol !== undefined) request.u8(IFA_PROTO, address.protocol);
  return request;
}

/** Request that takes an address off its interface. */
export function deleteAddressRequest(address: InterfaceAddress): MessageWriter {
  return new MessageWriter(RTM_DELADDR, 0, ifaddr(address))
    .bytes(IFA_LOCAL, address.address)
    .bytes(IFA_ADDRESS, address.peer?.address ?? address.address);
}

/** The address that a message tells of, or undefined when it tells of something else. */
export function decodeAddress(message: Message): InterfaceAddress | undefined {
  if (message.type !== RTM_NEWADDR && message.type !== RTM_DELADDR) return undefined;
  const { body } = message;
  if (body.length < 8 || (body[0] !== AF_INET && body[0] !== AF_INET6)) return undefined;
  const found = attributes(body, 8);
  const local = found.get(IFA_LOCAL) ?? found.get(IFA_ADDRESS);
  if (!local) return undefined;
  const remote = found.get(IFA_ADDRESS);
  const label = attributeText(found.get(IFA_LABEL));
  const protocol = found.get(IFA_PROTO)?.[0];
  return {
    index: body.readUInt32LE(4),
    address: new Uint8Array(local),
    prefixLength: body[1]!,
    scope: body[3]!,
    flags: found.get(IFA_FLAGS)?.readUInt32LE(0) ?? body[2]!,
    ...(label === undefined ? {} : { label }),
    ...(protocol === undefined ? {} : { protocol }),
    ...(remote && !remote.equals(local)
      ? { peer: { address: new Uint8Array(remote), prefixLength: body[1]! } }
      : {}),
  };
}

/** All addresses of the namespace, both families. */
export function listAddresses(netlink: NetlinkSocket): InterfaceAddress[] {
  return netlink
    .dump(new MessageWriter(RTM_GETADDR, 0, Buffer.alloc(8)))
    .map(decodeAddress)
    .filter((address): address is InterfaceAddress => address !== undefined);
}
