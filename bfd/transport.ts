import { formatIp } from '../lib/ip.js';
import {
  AF_INET,
  AF_INET6,
  bind,
  close,
  IP_RECVTTL,
  IP_TOS,
  IP_TTL,
  IPPROTO_IP,
  IPPROTO_IPV6,
  IPV6_HOPLIMIT,
  IPV6_RECVHOPLIMIT,
  IPV6_TCLASS,
  IPV6_UNICAST_HOPS,
  IPV6_V6ONLY,
  LibcError,
  MessageBuffer,
  SO_PRIORITY,
  SO_REUSEADDR,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  setsockopt,
  sockaddrIn,
  sockaddrIn6,
  socket,
  trySendto,
} from '../lib/libc.js';
import type { Poller } from '../lib/poller.js';

/** Ports of control packets: one hop (RFC 5881 4) and several (RFC 5883 5). */
export const SINGLE_HOP_PORT = 3784;
export const MULTIHOP_PORT = 4784;

/** Sources come from here (RFC 5881 4). */
const FIRST_SOURCE_PORT = 49152;
const LAST_SOURCE_PORT = 65535;

/** TC_PRIO_CONTROL and DSCP CS6: network control goes first. */
const CONTROL_PRIORITY = 7;
const CONTROL_TRAFFIC_CLASS = 0xc0;

/** A datagram on one of the ports. */
export interface Received {
  source: string;
  ttl: number;
  multihop: boolean;
  payload: Uint8Array;
}

type Family = 4 | 6;

/** Receiving sockets of all sessions, and a sending socket for each. */
export class Transport {
  readonly #poller: Poller;
  readonly #receivers = new Map<string, number>();
  readonly #buffer = new MessageBuffer(256);
  #nextPort = FIRST_SOURCE_PORT + Math.floor(Math.random() * 8192);
  onPacket: (received: Received) => void = () => {};

  constructor(poller: Poller) {
    this.#poller = poller;
  }

  /** Listens on the port of sessions of this kind, once. @throws LibcError EADDRINUSE when another BFD daemon runs here */
  listen(family: Family, multihop: boolean): void {
    const key = `${family} ${multihop}`;
    if (this.#receivers.has(key)) return;
    const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    try {
      const port = multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
      if (family === 4) {
        setsockopt(fd, IPPROTO_IP, IP_RECVTTL, 1);
        bind(fd, sockaddrIn(new Uint8Array(4), port));
      } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, 1);
        setsockopt(fd, IPPROTO_IPV6, IPV6_RECVHOPLIMIT, 1);
        bind(fd, sockaddrIn6(new Uint8Array(16), port));
      }
      // Only now, so that we share with nobody who was here before. FRR's bfdd aborts where it cannot bind; this lets it,
      // and what arrives is its own from then on.
      setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, 1);
    } catch (error) {
      close(fd);
      throw error;
    }
    this.#receivers.set(key, fd);
    this.#poller.watch(fd, () => this.#read(fd, family, multihop));
  }

  /** A way to the neighbour. @param source address to send from; absent: as routing decides @throws LibcError */
  sender(options: { neighbour: Uint8Array; source?: Uint8Array; ttl: number; multihop: boolean }): Sender {
    const family = options.neighbour.length === 4 ? 4 : 6;
    const fd = socket(family === 4 ? AF_INET : AF_INET6, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    try {
      setsockopt(fd, SOL_SOCKET, SO_PRIORITY, CONTROL_PRIORITY);
      if (family === 4) {
        setsockopt(fd, IPPROTO_IP, IP_TTL, options.ttl);
        setsockopt(fd, IPPROTO_IP, IP_TOS, CONTROL_TRAFFIC_CLASS);
      } else {
        setsockopt(fd, IPPROTO_IPV6, IPV6_UNICAST_HOPS, options.ttl);
        setsockopt(fd, IPPROTO_IPV6, IPV6_TCLASS, CONTROL_TRAFFIC_CLASS);
      }
      this.#bindSource(fd, family, options.source);
    } catch (error) {
      close(fd);
      throw error;
    }
    const port = options.multihop ? MULTIHOP_PORT : SINGLE_HOP_PORT;
    const to = family === 4 ? sockaddrIn(options.neighbour, port) : sockaddrIn6(options.neighbour, port);
    return new Sender(fd, to);
  }

  close(): void {
    for (const fd of this.#receivers.values()) {
      this.#poller.unwatch(fd);
      close(fd);
    }
    this.#receivers.clear();
  }

  #bindSource(fd: number, family: Family, source: Uint8Array | undefined): void {
    const address = source ?? new Uint8Array(family === 4 ? 4 : 16);
    for (let attempt = 0; ; attempt++) {
      const port = this.#nextPort++;
      if (this.#nextPort > LAST_SOURCE_PORT) this.#nextPort = FIRST_SOURCE_PORT;
      try {
        bind(fd, family === 4 ? sockaddrIn(address, port) : sockaddrIn6(address, port));
        return;
      } catch (error) {
        if (!(error instanceof LibcError) || error.code !== 'EADDRINUSE' || attempt > 100) throw error;
      }
    }
  }

  #read(fd: number, family: Family, multihop: boolean): void {
    const buffer = this.#buffer;
    for (let length = buffer.receive(fd); length >= 0; length = buffer.receive(fd)) {
      const ttl =
        family === 4
          ? buffer.controlMessage(IPPROTO_IP, IP_TTL)
          : buffer.controlMessage(IPPROTO_IPV6, IPV6_HOPLIMIT);
      this.onPacket({
        source: formatIp(family === 4 ? buffer.sender.subarray(4, 8) : buffer.sender.subarray(8, 24)),
        ttl: ttl?.readInt32LE(0) ?? 0,
        multihop,
        payload: buffer.data.subarray(0, length),
      });
    }
  }
}

/** A session's own socket. */
export class Sender {
  readonly #fd: number;
  readonly #to: Buffer;
  /** Error number of the last packet, 0: it was sent. */
  lastError = 0;

  constructor(fd: number, to: Buffer) {
    this.#fd = fd;
    this.#to = to;
  }

  send(bytes: Buffer): void {
    this.lastError = trySendto(this.#fd, bytes, this.#to);
  }

  close(): void {
    close(this.#fd);
  }
}
