import type { Family } from '../keepalived/model/vrrp.js';
import { formatIp } from '../lib/ip.js';
import {
  AF_INET,
  AF_INET6,
  AF_PACKET,
  bind,
  close,
  IP_ADD_MEMBERSHIP,
  IP_FREEBIND,
  IP_MULTICAST_ALL,
  IP_MULTICAST_IF,
  IP_MULTICAST_LOOP,
  IP_MULTICAST_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_ADD_MEMBERSHIP,
  IPV6_CHECKSUM,
  IPV6_FREEBIND,
  IPV6_HOPLIMIT,
  IPV6_MULTICAST_ALL,
  IPV6_MULTICAST_HOPS,
  IPV6_MULTICAST_IF,
  IPV6_MULTICAST_LOOP,
  IPV6_PKTINFO,
  IPV6_RECVHOPLIMIT,
  IPV6_RECVPKTINFO,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  SO_BINDTODEVICE,
  SO_PRIORITY,
  SO_RCVBUF,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  sockaddrIn,
  sockaddrIn6,
  sockaddrLinkLayer,
  socket,
  trySendto,
} from '../lib/libc.js';
import { PacketBatch } from '../lib/packet-batch.js';
import type { Poller } from '../lib/poller.js';
import { AUTHENTICATION_HEADER_LENGTH } from './packet/authentication-header.js';
import { finishSum, IPPROTO_VRRP, pseudoHeaderSum, sumWords } from './packet/checksum.js';
import { CONTROL_TRAFFIC_CLASS, decodeIpv4, encodeIpv4 } from './packet/ipv4-header.js';
import type { ReceivedPacket } from './receive.js';

/** How the adverts of one virtual router travel. */
export interface Path {
  family: Family;
  /** 112, or 51 with an authentication header. */
  protocol: number;
  /** Absent: unicast over whatever route there is. */
  interface?: { name: string; index: number };
  /** Device that sends instead of `interface`, and the MAC that is put in front: the virtual MAC's. */
  sender?: { index: number; mac: Uint8Array };
  vrf?: string;
  source: Uint8Array;
  unicast: boolean;
  /** Multicast group, 4 or 16 bytes. */
  group: Uint8Array;
  ttl: number;
  /** Bytes of the receive buffer; absent: the kernel's default. */
  receiveBuffer?: number;
}

/** An open path. */
export interface Channel {
  /**
   * Sends one packet.
   * @param payload what follows the IP header
   * @param header the IPv4 header that was signed; absent: a new one
   * @returns 0, or the error number
   */
  send(payload: Buffer, destination: Uint8Array, header?: Buffer): number;
  /** Gets a packet ready that is sent many times. @returns what sends it: 0, or the error number */
  prepare(payload: Buffer, destination: Uint8Array): () => number;
  /** A new IPv4 header, for those who sign it. */
  header(payloadLength: number, destination: Uint8Array): Buffer;
  close(): void;
}

/**
 * Is told of every packet. The same bytes from the same sender come as the same object as the time before.
 * @param arrived when it came, milliseconds of the poller's clock
 */
export type Listener = (packet: ReceivedPacket, arrived: number) => void;

const IPPROTO_RAW = 255;
/** Band of control traffic in the kernel's queues (linux/pkt_sched.h TC_PRIO_CONTROL). */
const CONTROL_PRIORITY = 7;
/** Largest advert: 255 IPv6 addresses with header, trailer and IP header. */
const LARGEST_PACKET = 4608;
const ETHERTYPE_IPV4 = 0x0800;
const ETHERTYPE_IPV6 = 0x86dd;

/** Packets that one receive call takes at most. */
const BATCH = 32;

interface Receiver {
  fd: number;
  family: Family;
  /** By virtual router id. */
  listeners: (Set<Listener> | undefined)[];
  users: number;
  /** The last packet of each virtual router: masters say the same again and again, which is then not taken apart again. */
  last: (ReceivedPacket | undefined)[];
}

interface Sender {
  fd: number;
  users: number;
}

/** Raw sockets shared by all routers whose adverts travel alike; packets are handed out by virtual router id. */
export class Transport {
  readonly #poller: Poller;
  readonly #receivers = new Map<string, Receiver>();
  readonly #senders = new Map<string, Sender>();
  readonly #batch = new PacketBatch(LARGEST_PACKET, BATCH);
  #onUnknown: (virtualRouterId: number, source: string) => void = () => {};

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /** Is told of adverts for ids that nobody here listens to. */
  set onUnknown(listener: (virtualRouterId: number, source: string) => void) {
    this.#onUnknown = listener;
  }

  /**
   * Opens the sockets of a path, or joins those that are open.
   * @throws LibcError when a socket cannot be set up (no such device, no permission)
   */
  open(path: Path, virtualRouterId: number, listener: Listener): Channel {
    const receiverKey = keyOf(path, 'receive');
    let receiver = this.#receivers.get(receiverKey);
    if (!receiver) {
      receiver = {
        fd: path.family === 'ipv4' ? receiver4(path) : receiver6(path),
        family: path.family,
        listeners: new Array(256).fill(undefined),
        users: 0,
        last: new Array(256).fill(undefined),
      };
      this.#receivers.set(receiverKey, receiver);
      const open = receiver;
      this.#poller.watch(receiver.fd, () => this.#read(open));
    }
    const senderKey = keyOf(path, 'send');
    let sender = this.#senders.get(senderKey);
    if (!sender) {
      try {
        sender = {
          fd: path.sender ? linkSender() : path.family === 'ipv4' ? sender4(path) : sender6(path),
          users: 0,
        };
      } catch (error) {
        if (receiver.users === 0) this.#drop(this.#receivers, receiverKey, receiver);
        throw error;
      }
      this.#senders.set(senderKey, sender);
    }
    receiver.users++;
    sender.users++;
    const listeners = receiver.listeners[virtualRouterId] ?? new Set();
    receiver.listeners[virtualRouterId] = listeners.add(listener);
    const { fd } = sender;
    const openReceiver = receiver;
    const openSender = sender;
    let closed = false;
    let identification = 0;
    const header = (payloadLength: number, destination: Uint8Array) => {
      identification = (identification % 0xffff) + 1;
      return header4(path, payloadLength, destination, identification);
    };
    return {
      header,
      send: (payload, destination, signed) => {
        const front = path.family === 'ipv4' ? (signed ?? header(payload.length, destination)) : undefined;
        return packetFor(fd, path, payload, destination, front)();
      },
      prepare: (payload, destination) => {
        const front = path.family === 'ipv4' ? header4(path, payload.length, destination, 0) : undefined;
        return packetFor(fd, path, payload, destination, front);
      },
      close: () => {
        if (closed) return;
        closed = true;
        listeners.delete(listener);
        if (listeners.size === 0) openReceiver.listeners[virtualRouterId] = undefined;
        if (--openReceiver.users === 0) this.#drop(this.#receivers, receiverKey, openReceiver);
        if (--openSender.users === 0) this.#drop(this.#senders, senderKey, openSender);
      },
    };
  }

  #drop<Socket extends { fd: number }>(sockets: Map<string, Socket>, key: string, one: Socket): void {
    sockets.delete(key);
    this.#poller.unwatch(one.fd);
    close(one.fd);
  }

  #read(receiver: Receiver): void {
    const batch = this.#batch;
    for (;;) {
      const count = batch.receive(receiver.fd);
      for (let i = 0; i < count; i++) {
        if (receiver.family === 'ipv4') this.#take4(receiver, i);
        else this.#take6(receiver, i);
      }
      if (count < batch.capacity) return;
    }
  }

  #take4(receiver: Receiver, i: number): void {
    const { bytes } = this.#batch;
    const start = this.#batch.offset(i);
    const end = start + this.#batch.length(i);
    const id = routerId(bytes, start + (bytes[start]! & 15) * 4, end, bytes[start + PROTOCOL_AT]!);
    if (id === undefined) return;
    const last = receiver.last[id];
    if (last?.packet && samePacket4(last.packet as Buffer, bytes, start, end)) {
      this.#hand(receiver, id, last, i);
      return;
    }
    const packet = Buffer.from(bytes.subarray(start, end));
    const header = decodeIpv4(packet);
    if (!header || header.totalLength > packet.length || header.totalLength < header.length) return;
    const received: ReceivedPacket = {
      source: header.source,
      destination: header.destination,
      ttl: header.ttl,
      protocol: header.protocol,
      // Ethernet pads short packets to 60 bytes: the header knows better.
      payload: packet.subarray(header.length, header.totalLength),
      packet: packet.subarray(0, header.totalLength),
    };
    receiver.last[id] = received;
    this.#hand(receiver, id, received, i);
  }

  #take6(receiver: Receiver, i: number): void {
    const batch = this.#batch;
    const start = batch.offset(i);
    const end = start + batch.length(i);
    const id = routerId(batch.bytes, start, end, IPPROTO_VRRP);
    const information = batch.control(i, IPPROTO_IPV6, IPV6_PKTINFO);
    const hops = batch.control(i, IPPROTO_IPV6, IPV6_HOPLIMIT);
    if (id === undefined || information < 0 || hops < 0) return;
    const control = batch.controlBytes;
    const ttl = control.readInt32LE(hops);
    const sender = batch.sender(i);
    const last = receiver.last[id];
    const same =
      last !== undefined &&
      last.ttl === ttl &&
      sender.compare(last.source, 0, 16, 8, 24) === 0 &&
      control.compare(last.destination, 0, 16, information, information + 16) === 0 &&
      batch.bytes.compare(last.payload, 0, last.payload.length, start, end) === 0;
    if (same) {
      this.#hand(receiver, id, last, i);
      return;
    }
    const received: ReceivedPacket = {
      source: new Uint8Array(sender.subarray(8, 24)),
      destination: new Uint8Array(control.subarray(information, information + 16)),
      ttl,
      protocol: IPPROTO_VRRP,
      payload: Buffer.from(batch.bytes.subarray(start, end)),
    };
    receiver.last[id] = received;
    this.#hand(receiver, id, received, i);
  }

  #hand(receiver: Receiver, id: number, packet: ReceivedPacket, i: number): void {
    const listeners = receiver.listeners[id];
    if (!listeners) this.#onUnknown(id, formatIp(packet.source));
    else for (const listener of listeners) listener(packet, this.#batch.arrived(i));
  }
}

/** Where an IPv4 header has its identification, protocol and checksum, and where the addresses begin. */
const IDENTIFICATION_AT = 4;
const FLAGS_AT = 6;
const PROTOCOL_AT = 9;
const HEADER_SUM_AT = 10;
const ADDRESSES_AT = 12;

/** The virtual router that a packet is about. @param start where the IP header ends */
function routerId(bytes: Buffer, start: number, end: number, protocol: number): number | undefined {
  const at = start + (protocol === IPPROTO_VRRP ? 0 : AUTHENTICATION_HEADER_LENGTH) + 1;
  return at < end ? bytes[at] : undefined;
}

/** Whether two IPv4 packets differ in nothing but the identification and the header checksum that covers it. */
function samePacket4(last: Buffer, bytes: Buffer, start: number, end: number): boolean {
  const { length } = last;
  return (
    end - start === length &&
    bytes.compare(last, ADDRESSES_AT, length, start + ADDRESSES_AT, end) === 0 &&
    bytes.compare(last, 0, IDENTIFICATION_AT, start, start + IDENTIFICATION_AT) === 0 &&
    bytes.compare(last, FLAGS_AT, HEADER_SUM_AT, start + FLAGS_AT, start + HEADER_SUM_AT) === 0
  );
}

function keyOf(path: Path, direction: 'receive' | 'send'): string {
  const about = [
    path.family,
    path.protocol,
    path.interface?.index ?? 0,
    path.vrf ?? '',
    path.receiveBuffer ?? '',
  ];
  if (path.unicast) about.push('unicast', formatIp(path.source));
  else about.push(formatIp(path.group));
  if (direction === 'send') about.push(formatIp(path.source), path.sender?.index ?? '');
  return about.join(' ');
}

function rawSocket(domain: number, protocol: number, set: (fd: number) => void): number {
  const fd = socket(domain, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  try {
    set(fd);
    return fd;
  } catch (error) {
    close(fd);
    throw error;
  }
}

function bindToDevice(fd: number, path: Path): void {
  const device = path.interface?.name ?? path.vrf;
  if (device !== undefined) setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, Buffer.from(`${device}\0`));
}

function receiver4(path: Path): number {
  return rawSocket(AF_INET, path.protocol, (fd) => {
    bindToDevice(fd, path);
    if (path.receiveBuffer !== undefined) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, path.receiveBuffer);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    if (path.unicast) {
      setsockopt(fd, IPPROTO_IP, IP_FREEBIND, 1);
      bind(fd, sockaddrIn(path.source));
      return;
    }
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_ALL, 0);
    setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, multicastRequest(path));
  });
}

/** struct ip_mreqn: group, local address (unused), index. */
function multicastRequest(path: Path): Buffer {
  const request = Buffer.alloc(12);
  request.set(path.group, 0);
  request.writeInt32LE(path.interface?.index ?? 0, 8);
  return request;
}

function sender4(path: Path): number {
  return rawSocket(AF_INET, IPPROTO_RAW, (fd) => {
    bindToDevice(fd, path);
    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, CONTROL_PRIORITY);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 0);
    setsockopt(fd, IPPROTO_IP, IP_FREEBIND, 1);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_LOOP, 0);
    setsockopt(fd, IPPROTO_IP, IP_MULTICAST_TTL, path.ttl);
    if (path.interface) setsockopt(fd, IPPROTO_IP, IP_MULTICAST_IF, multicastRequest(path));
  });
}

/** Where the checksum stands in an advert: the kernel writes it, and refuses packets where it is wrong. */
const CHECKSUM_OFFSET = 6;

function receiver6(path: Path): number {
  return rawSocket(AF_INET6, path.protocol, (fd) => {
    bindToDevice(fd, path);
    if (path.receiveBuffer !== undefined) setsockopt(fd, SOL_SOCKET, SO_RCVBUF, path.receiveBuffer);
    setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, CHECKSUM_OFFSET);
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
    setsockopt(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO, 1);
    if (path.unicast) {
      setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
      bind(fd, sockaddrIn6(path.source, 0, path.interface?.index ?? 0));
      return;
    }
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    const request = Buffer.alloc(20);
    request.set(path.group, 0);
    request.writeInt32LE(path.interface?.index ?? 0, 16);
    setsockopt(fd, IPPROTO_IPV6, IPV6_ADD_MEMBERSHIP, request);
  });
}

function sender6(path: Path): number {
  return rawSocket(AF_INET6, path.protocol, (fd) => {
    bindToDevice(fd, path);
    setsockopt(fd, SOL_SOCKET, SO_PRIORITY, CONTROL_PRIORITY);
    setsockopt(fd, SOL_SOCKET, SO_RCVBUF, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_CHECKSUM, CHECKSUM_OFFSET);
    setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, CONTROL_TRAFFIC_CLASS);
    setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, path.ttl);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_HOPS, path.ttl);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_LOOP, 0);
    setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_ALL, 0);
    if (path.interface) setsockopt(fd, IPPROTO_IPV6, IPV6_MULTICAST_IF, path.interface.index);
    setsockopt(fd, IPPROTO_IPV6, IPV6_FREEBIND, 1);
    bind(fd, sockaddrIn6(path.source, 0, path.interface?.index ?? 0));
  });
}

/** Frames with a source MAC of our choice; protocol 0: it receives nothing. */
function linkSender(): number {
  return rawSocket(AF_PACKET, 0, (fd) => setsockopt(fd, SOL_SOCKET, SO_PRIORITY, CONTROL_PRIORITY));
}

function header4(path: Path, payloadLength: number, destination: Uint8Array, identification: number): Buffer {
  return encodeIpv4(
    {
      trafficClass: CONTROL_TRAFFIC_CLASS,
      ttl: path.ttl,
      protocol: path.protocol,
      source: path.source,
      destination,
    },
    payloadLength,
    identification,
  );
}

function header6(path: Path, payloadLength: number, destination: Uint8Array): Buffer {
  const bytes = Buffer.alloc(40);
  bytes.writeUInt32BE(((6 << 28) | (CONTROL_TRAFFIC_CLASS << 20)) >>> 0, 0);
  bytes.writeUInt16BE(payloadLength, 4);
  bytes[6] = path.protocol;
  bytes[7] = path.ttl;
  bytes.set(path.source, 8);
  bytes.set(destination, 24);
  return bytes;
}

/** The Ethernet address of a multicast group (RFC 1112 6.4, RFC 2464 7). */
function multicastMac(group: Uint8Array): Buffer {
  return group.length === 4
    ? Buffer.from([0x01, 0x00, 0x5e, group[1]! & 0x7f, group[2]!, group[3]!])
    : Buffer.from([0x33, 0x33, ...group.subarray(12)]);
}

/** A packet that can be sent again and again. @returns what sends it: 0, or the error number */
function packetFor(
  fd: number,
  path: Path,
  payload: Buffer,
  destination: Uint8Array,
  header: Buffer | undefined,
): () => number {
  if (path.sender) {
    const mac = multicastMac(destination);
    const type = path.family === 'ipv4' ? ETHERTYPE_IPV4 : ETHERTYPE_IPV6;
    if (path.family === 'ipv6') {
      payload.writeUInt16BE(0, CHECKSUM_OFFSET);
      const pseudo = pseudoHeaderSum(path.source, destination, payload.length);
      payload.writeUInt16BE(finishSum(sumWords(payload, pseudo)), CHECKSUM_OFFSET);
    }
    const ethernet = Buffer.concat([mac, path.sender.mac, Buffer.from([type >> 8, type & 255])]);
    const frame = Buffer.concat([ethernet, header ?? header6(path, payload.length, destination), payload]);
    const to = sockaddrLinkLayer(type, path.sender.index, mac);
    return () => trySendto(fd, frame, to);
  }
  if (header) {
    // The kernel fills in an identification where there is none, and the header's checksum.
    const packet = Buffer.concat([header, payload]);
    const to = sockaddrIn(destination);
    return () => trySendto(fd, packet, to);
  }
  const to = sockaddrIn6(destination, 0, path.interface?.index ?? 0);
  return () => trySendto(fd, payload, to);
}
