import { readFileSync } from 'node:fs';
import type { GarpGroup, VirtualAddress } from '../keepalived/model/vrrp.js';
import type { Timer } from '../lib/clock.js';
import { parseIp } from '../lib/ip.js';
import {
  AF_PACKET,
  close,
  errno,
  SO_PRIORITY,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  sockaddrLinkLayer,
  socket,
  trySendto,
} from '../lib/libc.js';
import type { Log } from '../lib/log.js';
import type { Poller } from '../lib/poller.js';
import type { PlacedAddress } from './addresses.js';
import type { Interfaces } from './interfaces.js';
import { ETHERTYPE_ARP, encodeGratuitousArp } from './packet/gratuitous-arp.js';
import { ETHERTYPE_IPV6, encodeNeighbourAdvertisement } from './packet/neighbour-advertisement.js';

/** Frames sent in one go without an interval, and the pause after them: queues on the way hold about a thousand frames. */
const BURST = 64;
const BURST_PAUSE = 1;
const CONTROL_PRIORITY = 7;
/** How long an answer to "does this interface forward" holds, milliseconds. */
const ROUTING_KNOWN = 1000;

export interface Pace {
  garpInterval: number;
  gnaInterval: number;
  groups: readonly GarpGroup[];
}

/** A frame that announces an address, made while there is time. */
interface Frame {
  mac: Uint8Array;
  index: number;
  bytes: Buffer;
  to: Buffer;
}

interface Queue {
  pending: PlacedAddress[];
  timer: Timer | undefined;
  /** Earliest time of the next frame. */
  next: number;
}

/**
 * Sends gratuitous ARP and unsolicited neighbour advertisements for addresses on kernel interfaces, not faster than the
 * interface's interval. Interfaces of one garp_group share their interval.
 */
export class Announcer {
  readonly #poller: Poller;
  readonly #interfaces: Interfaces;
  readonly #log: Log;
  readonly #fd: number;
  readonly #queues = new Map<string, Queue>();
  readonly #made = new WeakMap<VirtualAddress, Frame>();
  readonly #routing = new Map<string, { until: number; forwards: boolean }>();
  #pace: Pace = { garpInterval: 0, gnaInterval: 0, groups: [] };
  /** Frames sent since the start. */
  sent = 0;

  constructor(poller: Poller, interfaces: Interfaces, log: Log) {
    this.#poller = poller;
    this.#interfaces = interfaces;
    this.#log = log;
    // Protocol 0: the socket sends, and receives nothing.
    this.#fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    setsockopt(this.#fd, SOL_SOCKET, SO_PRIORITY, CONTROL_PRIORITY);
  }

  set pace(pace: Pace) {
    this.#pace = pace;
  }

  /** Makes the frames that `announce` will send. */
  prepare(addresses: readonly PlacedAddress[]): void {
    for (const address of addresses) this.#make(address);
  }

  announce(addresses: readonly PlacedAddress[], repeat: number): void {
    for (let round = 0; round < repeat; round++) {
      for (const address of addresses) this.#queue(address.interface).pending.push(address);
    }
    for (const key of new Set(addresses.map((address) => this.#shared(address.interface)))) this.#send(key);
  }

  silence(addresses: readonly PlacedAddress[]): void {
    const quiet = new Set(addresses.map(keyOf));
    for (const queue of this.#queues.values()) {
      queue.pending = queue.pending.filter((address) => !quiet.has(keyOf(address)));
    }
  }

  close(): void {
    for (const queue of this.#queues.values()) queue.timer?.cancel();
    close(this.#fd);
  }

  /** Name of the queue: the interface's, or its group's. */
  #shared(name: string): string {
    const group = this.#pace.groups.findIndex(({ interfaces }) => interfaces.includes(name));
    return group >= 0 ? `group ${group}` : name;
  }

  #queue(name: string): Queue {
    const key = this.#shared(name);
    let queue = this.#queues.get(key);
    if (!queue) {
      queue = { pending: [], timer: undefined, next: 0 };
      this.#queues.set(key, queue);
    }
    return queue;
  }

  #interval(address: PlacedAddress): number {
    const group = this.#pace.groups.find(({ interfaces }) => interfaces.includes(address.interface));
    return address.spec.address.includes(':')
      ? (group?.gnaInterval ?? this.#pace.gnaInterval)
      : (group?.garpInterval ?? this.#pace.garpInterval);
  }

  #send(key: string): void {
    const queue = this.#queues.get(key);
    if (!queue || queue.timer) return;
    const again = (delay: number) => {
      queue.timer = this.#poller.after(
        delay,
        () => {
          queue.timer = undefined;
          this.#send(key);
        },
        `announcements on ${key}`,
      );
    };
    for (let count = 0; queue.pending.length > 0; count++) {
      const now = this.#poller.now();
      if (now < queue.next || count === BURST) {
        again(Math.max(queue.next - now, count === BURST ? BURST_PAUSE : 0));
        return;
      }
      const address = queue.pending[0]!;
      if (!this.#frame(address)) {
        again(BURST_PAUSE);
        return;
      }
      queue.pending.shift();
      queue.next = now + this.#interval(address);
    }
    this.#queues.delete(key);
  }

  /** @returns false when the queues below are full and it must be tried again */
  #frame(address: PlacedAddress): boolean {
    const frame = this.#make(address);
    if (!frame) return true;
    const error = trySendto(this.#fd, frame.bytes, frame.to);
    if (error === errno.EAGAIN || error === errno.ENOBUFS) return false;
    if (error === 0) this.sent++;
    else this.#log.debug(`announcing ${address.spec.address} on ${address.interface}: error ${error}`);
    return true;
  }

  #make(address: PlacedAddress): Frame | undefined {
    const link = this.#interfaces.get(address.interface)?.link;
    if (link?.mac.length !== 6) return undefined;
    const made = this.#made.get(address.spec);
    if (made?.index === link.index && made.mac === link.mac) return made;
    const six = address.spec.address.includes(':');
    const ip = parseIp(address.spec.address);
    const bytes = six
      ? encodeNeighbourAdvertisement(link.mac, ip, this.#forwards(address.interface))
      : encodeGratuitousArp(link.mac, ip);
    const to = sockaddrLinkLayer(six ? ETHERTYPE_IPV6 : ETHERTYPE_ARP, link.index, bytes.subarray(0, 6));
    const frame = { mac: link.mac, index: link.index, bytes, to };
    // Whether this node is a router may change at any time, and nobody tells.
    if (!six) this.#made.set(address.spec, frame);
    return frame;
  }

  /** Whether this node forwards IPv6 on the interface, which the router flag must tell. */
  #forwards(name: string): boolean {
    const now = this.#poller.now();
    const known = this.#routing.get(name);
    if (known && now < known.until) return known.forwards;
    const fresh = { until: now + ROUTING_KNOWN, forwards: forwards(name) };
    this.#routing.set(name, fresh);
    return fresh.forwards;
  }
}

function keyOf(address: PlacedAddress): string {
  return `${address.interface} ${address.spec.address}`;
}

function forwards(name: string): boolean {
  try {
    return readFileSync(`/proc/sys/net/ipv6/conf/${name}/forwarding`, 'latin1').trim() !== '0';
  } catch {
    return false;
  }
}
