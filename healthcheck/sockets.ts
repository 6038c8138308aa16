import { constants } from 'node:os';
import { Address6 } from 'ip-address';
import koffi from 'koffi';
import type { CheckEndpoint } from '../keepalived/model/virtual-server.js';
import type { Clock, Timer } from '../lib/clock.js';
import {
  AF_INET,
  AF_INET6,
  IP_RECVERR,
  IPPROTO_IP,
  IPPROTO_IPV6,
  int32,
  interfaceIndex,
  SO_BINDTODEVICE,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  sockaddrIn,
  sockaddrIn6,
} from '../lib/libc.js';
import { Due, TimerWheel } from './timer-wheel.js';

/**
 * Sockets for tens of thousands of probes: made, connected and watched by direct calls that neither throw nor allocate, with
 * everything keepalived.conf asks for (source address and port, device, mark) and ICMP errors of every kind. Readiness is
 * collected in bulk a few hundred times per second while anything is under way, instead of one wake-up per socket.
 */

const library = koffi.load('libc.so.6');
const c = {
  socket: library.func('int socket(int domain, int type, int protocol)'),
  connect: library.func('int connect(int fd, const void *address, uint32_t length)'),
  bind: library.func('int bind(int fd, const void *address, uint32_t length)'),
  setsockopt: library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: library.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  send: library.func('int64_t send(int fd, const void *data, size_t length, int flags)'),
  recv: library.func('int64_t recv(int fd, void *data, size_t length, int flags)'),
  close: library.func('int close(int fd)'),
  epollCreate: library.func('int epoll_create1(int flags)'),
  epollControl: library.func('int epoll_ctl(int epoll, int operation, int fd, const void *event)'),
  epollWait: library.func('int epoll_wait(int epoll, void *events, int count, int timeout)'),
};

const SO_ERROR = 4;
const SO_REUSEADDR = 2;
const SO_LINGER = 13;
const SO_MARK = 36;
const IPV6_RECVERR = 25;
const MSG_NOSIGNAL = 0x4000;

const errnoNames = new Map<number, string>(
  Object.entries(constants.errno).map(([name, value]) => [value as number, name]),
);

/** Symbolic name of an error number, `ECONNREFUSED`. */
export function errorName(errno: number): string {
  return errnoNames.get(errno) ?? `errno ${errno}`;
}

const { errno } = constants;

/**
 * Errors of connect() that speak about the server or the way to it. Any other one (no more sockets, an address that is not ours
 * yet) is our own trouble.
 */
const serverErrors = new Set<number>([
  errno.ENETUNREACH,
  errno.EHOSTUNREACH,
  errno.ECONNREFUSED,
  errno.ENETDOWN,
  errno.ECONNRESET,
  errno.ECONNABORTED,
  errno.ETIMEDOUT,
  112, // EHOSTDOWN, of which Node does not know
]);

/** Whether a failed connect() says something about the server rather than about us. */
export function isServerError(code: number): boolean {
  return serverErrors.has(code);
}

const one = Buffer.from([1, 0, 0, 0]);
const abortiveLinger = Buffer.from([1, 0, 0, 0, 0, 0, 0, 0]);
const number = Buffer.alloc(4);
const numberLength = Buffer.from([4, 0, 0, 0]);

/** `sockaddr` of an address in text form. @param device scope of a link-local address */
export function socketAddress(address: string, port: number, device?: string): Buffer {
  if (!address.includes(':')) {
    return sockaddrIn(Uint8Array.from(address.split('.').map(Number)), port);
  }
  const parsed = new Address6(address);
  const bytes = Uint8Array.from(parsed.toUnsignedByteArray());
  const padded = new Uint8Array(16);
  padded.set(bytes.subarray(-16), 16 - Math.min(16, bytes.length));
  const linkLocal = padded[0] === 0xfe && (padded[1]! & 0xc0) === 0x80;
  return sockaddrIn6(padded, port, linkLocal && device ? interfaceIndex(device) : 0);
}

/** Where a check goes and from where, as the kernel takes it; made once per check. */
export interface Route {
  readonly origin: Origin;
  /**
   * Where to: of IPv4 the address as a signed number, else a sockaddr. A small buffer for each of tens of thousands of checks would weigh
   * more than the rest of them.
   */
  readonly remote: number | Buffer;
  readonly port: number;
}

/** What a check does before it connects; one object for all that agree. */
export interface Origin {
  readonly family: number;
  readonly local: Buffer | undefined;
  readonly device: Buffer | undefined;
  readonly mark: Buffer | undefined;
  /** Must share its source port with earlier connections in TIME_WAIT. */
  readonly reuse: boolean;
}

const origins = new Map<string, Origin>();

function originOf(check: CheckEndpoint): Origin {
  const v6 = check.connectAddress.includes(':');
  const { bindAddress, bindPort, bindInterface, fwmark } = check;
  const text = [v6, bindAddress, bindPort, bindInterface, fwmark].join();
  const known = origins.get(text);
  if (known) return known;
  const bound = bindAddress !== undefined || bindPort !== undefined;
  const origin: Origin = {
    family: v6 ? AF_INET6 : AF_INET,
    local: bound
      ? socketAddress(bindAddress ?? (v6 ? '::' : '0.0.0.0'), bindPort ?? 0, bindInterface)
      : undefined,
    device: bindInterface === undefined ? undefined : Buffer.from(`${bindInterface}\0`),
    mark: fwmark ? int32(fwmark | 0) : undefined,
    reuse: bindPort !== undefined,
  };
  // A device that is made anew has another number.
  if (bindInterface === undefined) origins.set(text, origin);
  return origin;
}

export function routeOf(check: CheckEndpoint): Route {
  const { connectAddress, connectPort: port } = check;
  const origin = originOf(check);
  const address = socketAddress(connectAddress, port, check.bindInterface);
  return { origin, remote: origin.family === AF_INET ? address.readInt32BE(4) : address, port };
}

const remoteV4 = Buffer.from(sockaddrIn(new Uint8Array(4), 0));

/** The sockaddr of a route's end; of IPv4 valid until the next call. */
function remoteOf({ remote, port }: Route): Buffer {
  if (typeof remote !== 'number') return remote;
  remoteV4.writeUInt16BE(port, 2);
  remoteV4.writeInt32BE(remote, 4);
  return remoteV4;
}

/** The outcome of opening a socket: `fd`, or why not. */
export type Opened = { fd: number; connected: boolean } | { errno: number; call: string; local: boolean };

/**
 * A non-blocking socket towards `route.remote`, connecting or (datagrams) connected.
 * @param type SOCK_STREAM, SOCK_DGRAM or SOCK_RAW
 * @returns with `local` true the obstacle is ours and says nothing about the server
 */
export function open(route: Route, type: number, protocol = 0): Opened {
  const { origin } = route;
  const fd = c.socket(origin.family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  if (fd < 0) return { errno: koffi.errno(), call: 'socket', local: true };
  const refuse = (call: string): Opened => {
    const code = koffi.errno();
    c.close(fd);
    return { errno: code, call, local: call !== 'connect' || !isServerError(code) };
  };
  if (
    origin.device &&
    c.setsockopt(fd, SOL_SOCKET, SO_BINDTODEVICE, origin.device, origin.device.length) < 0
  ) {
    return refuse('bind to device');
  }
  if (origin.mark && c.setsockopt(fd, SOL_SOCKET, SO_MARK, origin.mark, 4) < 0) return refuse('mark');
  if (origin.local) {
    if (origin.reuse) c.setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, one, 4);
    if (c.bind(fd, origin.local, origin.local.length) < 0) return refuse('bind');
  }
  const remote = remoteOf(route);
  if (c.connect(fd, remote, remote.length) < 0) {
    if (koffi.errno() === errno.EINPROGRESS) return { fd, connected: false };
    return refuse('connect');
  }
  return { fd, connected: true };
}

/** Makes ICMP errors of every kind show as errors of the socket, not only port unreachable. */
export function reportIcmpErrors(fd: number, family: number): void {
  if (family === AF_INET6) c.setsockopt(fd, IPPROTO_IPV6, IPV6_RECVERR, one, 4);
  else c.setsockopt(fd, IPPROTO_IP, IP_RECVERR, one, 4);
}

/** Sends on a connected socket. @returns 0 or the error number */
export function send(fd: number, data: Buffer): number {
  return Number(c.send(fd, data, data.length, MSG_NOSIGNAL)) < 0 ? koffi.errno() : 0;
}

/** Receives into `data`. @returns the length, or minus the error number */
export function receive(fd: number, data: Buffer): number {
  const length = Number(c.recv(fd, data, data.length, 0));
  return length < 0 ? -koffi.errno() : length;
}

/** The pending error of a socket, 0 when there is none; reading clears it. */
export function pendingError(fd: number): number {
  if (c.getsockopt(fd, SOL_SOCKET, SO_ERROR, number, numberLength) < 0) return koffi.errno();
  return number.readInt32LE(0);
}

export function close(fd: number): void {
  c.close(fd);
}

/** Closes a TCP connection by a reset, which leaves no TIME_WAIT behind: at thousands of checks per second those add up. */
export function reset(fd: number): void {
  c.setsockopt(fd, SOL_SOCKET, SO_LINGER, abortiveLinger, abortiveLinger.length);
  c.close(fd);
}

export const READABLE = 1;
export const WRITABLE = 4;
export const FAILED = 8 | 16;

/** A probe that waits for its socket, or for its time to run out. */
export abstract class Waiting extends Due {
  abstract onReady(events: number): void;
}

// The kernel packs struct epoll_event on x86-64 only.
const packed = process.arch === 'x64';
const eventSize = packed ? 12 : 16;
const eventData = packed ? 4 : 8;
const EVENTS = 1024;
const SOONEST = 5;
const LATEST = 40;

/** Watches the sockets of all probes. Collects every 5 ms while answers come, ever less often (40 ms) while none do. */
export class Reactor {
  readonly #clock: Clock;
  readonly #epoll: number;
  readonly #events = Buffer.alloc(eventSize * EVENTS);
  readonly #event = Buffer.alloc(eventSize);
  readonly #waiting: (Waiting | undefined)[] = [];
  readonly #deadlines: TimerWheel;
  #count = 0;
  #timer: Timer | undefined;
  #pause = SOONEST;

  constructor(clock: Clock) {
    this.#clock = clock;
    // What has arrived is read before anybody's time is found to be over: a pause of our own is not a server's silence.
    this.#deadlines = new TimerWheel(clock, undefined, () => this.#collect());
    this.#epoll = c.epollCreate(SOCK_CLOEXEC);
    if (this.#epoll < 0) throw new Error(`epoll_create1: ${errorName(koffi.errno())}`);
  }

  /** Sockets that are watched. */
  get size(): number {
    return this.#count;
  }

  /**
   * Tells `waiting` of events on `fd`, and when `timeout` milliseconds have passed.
   * @returns false when the kernel will not watch it
   */
  watch(fd: number, events: number, waiting: Waiting, timeout: number): boolean {
    this.#event.writeUInt32LE(events, 0);
    this.#event.writeInt32LE(fd, eventData);
    if (c.epollControl(this.#epoll, 1, fd, this.#event) < 0) return false;
    this.#waiting[fd] = waiting;
    this.#count++;
    this.#deadlines.schedule(waiting, timeout);
    if (!this.#timer || this.#pause > SOONEST) {
      this.#pause = SOONEST;
      this.#timer?.cancel();
      this.#arm();
    }
    return true;
  }

  /** Stops watching; the caller closes the socket next (`forget`), or goes on using it elsewhere (`keep`). */
  unwatch(fd: number, next: 'forget' | 'keep'): void {
    const waiting = this.#waiting[fd];
    if (!waiting) return;
    this.#waiting[fd] = undefined;
    this.#count--;
    this.#deadlines.cancel(waiting);
    // Closing removes it from the set by itself.
    if (next === 'keep') c.epollControl(this.#epoll, 2, fd, this.#event);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#deadlines.clear();
    for (const fd in this.#waiting) if (this.#waiting[fd]) c.close(Number(fd));
    this.#waiting.length = 0;
    this.#count = 0;
    c.close(this.#epoll);
  }

  #arm(): void {
    this.#timer = this.#clock.after(
      this.#pause,
      () => {
        this.#timer = undefined;
        this.#pause = this.#collect() ? SOONEST : Math.min(LATEST, this.#pause * 2);
        if (this.#count > 0 && !this.#timer) this.#arm();
      },
      'collect answers',
    );
  }

  /** Hands out what has arrived. @returns whether anything had */
  #collect(): boolean {
    for (let any = false; ; any = true) {
      const count = c.epollWait(this.#epoll, this.#events, EVENTS, 0);
      if (count <= 0) return any;
      for (let index = 0; index < count; index++) {
        const events = this.#events.readUInt32LE(index * eventSize);
        const fd = this.#events.readInt32LE(index * eventSize + eventData);
        this.#waiting[fd]?.onReady(events);
      }
      if (count < EVENTS) return true;
    }
  }
}
