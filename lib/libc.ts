import { readdirSync, readFileSync } from 'node:fs';
import { constants } from 'node:os';
import koffi from 'koffi';

/**
 * The C library, as far as Node does not offer it: sockets of every family, epoll, timerfd, exec, scheduling, memory locks.
 * Functions throw `LibcError` when the call fails, unless their comment says otherwise. Addresses and options are the bytes
 * the kernel sees; the builders of `sockaddr` structures are below.
 */
const library = koffi.load('libc.so.6');

const errnoNames = new Map<number, string>(
  Object.entries(constants.errno).map(([name, value]) => [value as number, name]),
);

/** A failed call into the C library or the kernel. */
export class LibcError extends Error {
  readonly errno: number;
  /** Symbolic name, for instance `EPERM`. */
  readonly code: string;
  readonly call: string;

  /** @param errno positive error number */
  constructor(call: string, errno: number, detail = '') {
    const code = errnoNames.get(errno) ?? `errno ${errno}`;
    super(`${call}: ${code}${detail ? ` (${detail})` : ''}`);
    this.name = 'LibcError';
    this.errno = errno;
    this.code = code;
    this.call = call;
  }
}

export const errno = constants.errno;

/** The number of a failed call's error, of the call made last by this thread. */
function checked(result: number, call: string, detail = ''): number {
  if (result < 0) throw new LibcError(call, koffi.errno(), detail);
  return result;
}

// Values of Linux on the architectures that Debian has (x86-64, arm64, riscv64).
export const AF_UNIX = 1;
export const AF_INET = 2;
export const AF_INET6 = 10;
export const AF_NETLINK = 16;
export const AF_PACKET = 17;
export const SOCK_STREAM = 1;
export const SOCK_DGRAM = 2;
export const SOCK_RAW = 3;
export const SOCK_NONBLOCK = 0o4000;
export const SOCK_CLOEXEC = 0o2000000;
export const MSG_DONTWAIT = 0x40;
export const MSG_TRUNC = 0x20;
export const SOL_SOCKET = 1;
export const SO_REUSEADDR = 2;
export const SO_BROADCAST = 6;
export const SO_RCVBUF = 8;
export const SO_PRIORITY = 12;
export const SO_RCVTIMEO = 20;
export const SO_BINDTODEVICE = 25;
export const SO_ATTACH_FILTER = 26;
export const SO_TIMESTAMPNS = 35;
export const SO_RCVBUFFORCE = 33;
export const IPPROTO_IP = 0;
export const IPPROTO_ICMP = 1;
export const IPPROTO_IPV6 = 41;
export const IPPROTO_AH = 51;
export const IPPROTO_ICMPV6 = 58;
export const IP_TOS = 1;
export const IP_TTL = 2;
export const IP_HDRINCL = 3;
export const IP_RECVERR = 11;
export const IP_RECVTTL = 12;
export const IP_FREEBIND = 15;
export const IP_MULTICAST_IF = 32;
export const IP_MULTICAST_TTL = 33;
export const IP_MULTICAST_LOOP = 34;
export const IP_ADD_MEMBERSHIP = 35;
export const IP_DROP_MEMBERSHIP = 36;
export const IP_MULTICAST_ALL = 49;
export const IPV6_UNICAST_HOPS = 16;
export const IPV6_CHECKSUM = 7;
export const IPV6_MULTICAST_IF = 17;
export const IPV6_MULTICAST_HOPS = 18;
export const IPV6_MULTICAST_LOOP = 19;
export const IPV6_ADD_MEMBERSHIP = 20;
export const IPV6_V6ONLY = 26;
export const IPV6_MULTICAST_ALL = 29;
export const IPV6_RECVPKTINFO = 49;
export const IPV6_PKTINFO = 50;
export const IPV6_RECVHOPLIMIT = 51;
export const IPV6_HOPLIMIT = 52;
export const IPV6_TCLASS = 67;
export const IPV6_FREEBIND = 78;

const c = {
  socket: library.func('int socket(int domain, int type, int protocol)'),
  bind: library.func('int bind(int fd, const void *address, uint32_t length)'),
  connect: library.func('int connect(int fd, const void *address, uint32_t length)'),
  setsockopt: library.func('int setsockopt(int fd, int level, int name, const void *value, uint32_t length)'),
  getsockopt: library.func('int getsockopt(int fd, int level, int name, void *value, void *length)'),
  getsockname: library.func('int getsockname(int fd, void *address, void *length)'),
  sendto: library.func(
    'int64_t sendto(int fd, const void *data, size_t length, int flags, const void *address, uint32_t addressLength)',
  ),
  recvfrom: library.func(
    'int64_t recvfrom(int fd, void *data, size_t length, int flags, void *address, void *addressLength)',
  ),
  recvmsg: library.func('int64_t recvmsg(int fd, void *message, int flags)'),
  recvmmsg: library.func(
    'int recvmmsg(int fd, void *messages, unsigned int count, int flags, void *timeout)',
  ),
  clockGettime: library.func('int clock_gettime(int clock, void *time)'),
  read: library.func('int64_t read(int fd, void *data, size_t length)'),
  close: library.func('int close(int fd)'),
  fcntl: library.func('int fcntl(int fd, int command, int64_t argument)'),
  epollCreate: library.func('int epoll_create1(int flags)'),
  epollControl: library.func('int epoll_ctl(int epoll, int operation, int fd, void *event)'),
  epollWait: library.func('int epoll_wait(int epoll, void *events, int count, int timeout)'),
  timerfdCreate: library.func('int timerfd_create(int clock, int flags)'),
  timerfdSet: library.func('int timerfd_settime(int fd, int flags, const void *value, void *old)'),
  eventfd: library.func('int eventfd(unsigned int value, int flags)'),
  eventfdWrite: library.func('int eventfd_write(int fd, uint64_t value)'),
  execve: library.func('int execve(const char *path, const char **argv, const char **envp)'),
  setns: library.func('int setns(int fd, int type)'),
  prctl: library.func('int prctl(int option, const void *a, uint64_t b, uint64_t c, uint64_t d)'),
  mlock2: library.func('int mlock2(const void *start, size_t length, unsigned int flags)'),
  setpriority: library.func('int setpriority(int which, uint32_t who, int priority)'),
  setScheduler: library.func('int sched_setscheduler(int pid, int policy, const void *parameters)'),
  setAffinity: library.func('int sched_setaffinity(int pid, size_t length, const void *mask)'),
  setrlimit: library.func('int setrlimit(int resource, const void *limit)'),
  memfdCreate: library.func('int memfd_create(const char *name, uint32_t flags)'),
  signal: library.func('void *signal(int number, void *handler)'),
  nameToIndex: library.func('uint32_t if_nametoindex(const char *name)'),
  mkfifo: library.func('int mkfifo(const char *path, uint32_t mode)'),
};

/** A new socket; `type` may carry SOCK_NONBLOCK and SOCK_CLOEXEC. */
export function socket(domain: number, type: number, protocol: number): number {
  return checked(c.socket(domain, type, protocol), 'socket');
}

export function bind(fd: number, address: Buffer): void {
  checked(c.bind(fd, address, address.length), 'bind');
}

/** @returns false when the connection is under way (EINPROGRESS) */
export function connect(fd: number, address: Buffer): boolean {
  if (c.connect(fd, address, address.length) === 0) return true;
  const error = koffi.errno();
  if (error === errno.EINPROGRESS) return false;
  throw new LibcError('connect', error);
}

/** Sets an option from raw bytes, or from a number as a C int. */
export function setsockopt(fd: number, level: number, name: number, value: Buffer | number): void {
  const bytes = typeof value === 'number' ? int32(value) : value;
  checked(c.setsockopt(fd, level, name, bytes, bytes.length), 'setsockopt', `level ${level} option ${name}`);
}

/** An option that is a C int. */
export function getsockoptInt(fd: number, level: number, name: number): number {
  const value = Buffer.alloc(4);
  const length = int32(4);
  checked(c.getsockopt(fd, level, name, value, length), 'getsockopt', `level ${level} option ${name}`);
  return value.readInt32LE(0);
}

/** The socket's own address as `sockaddr` bytes. */
export function getsockname(fd: number): Buffer {
  const address = Buffer.alloc(128);
  const length = int32(address.length);
  checked(c.getsockname(fd, address, length), 'getsockname');
  return address.subarray(0, length.readInt32LE(0));
}

/** Sends one datagram; `address` null for connected sockets. */
export function sendto(fd: number, data: Buffer, address: Buffer | null, flags = 0): void {
  checked(Number(c.sendto(fd, data, data.length, flags, address, address ? address.length : 0)), 'sendto');
}

/** Sends one datagram without throwing. @returns 0, or the positive error number */
export function trySendto(fd: number, data: Buffer, address: Buffer | null, flags = 0): number {
  return c.sendto(fd, data, data.length, flags, address, address ? address.length : 0) < 0
    ? koffi.errno()
    : 0;
}

const noLength = Buffer.alloc(4);

/**
 * Receives one datagram into `data`, without waiting on a non-blocking socket.
 * @param address receives the sender's `sockaddr` when given
 * @returns its length (with MSG_TRUNC in `flags` the full one), or -1 when nothing is there
 */
export function recvfrom(fd: number, data: Buffer, address: Buffer | null = null, flags = 0): number {
  for (;;) {
    if (address) noLength.writeUInt32LE(address.length, 0);
    const length = Number(c.recvfrom(fd, data, data.length, flags, address, address ? noLength : null));
    if (length >= 0) return length;
    const error = koffi.errno();
    if (error === errno.EAGAIN) return -1;
    if (error !== errno.EINTR) throw new LibcError('recvfrom', error);
  }
}

/** A message buffer for `recvmsg`, laid out once and used again for each packet: data, sender and control data. */
export class MessageBuffer {
  readonly data: Buffer;
  readonly sender = Buffer.alloc(28);
  readonly control = Buffer.alloc(256);
  readonly #vector = Buffer.alloc(16);
  readonly #header = Buffer.alloc(56);

  constructor(size: number) {
    this.data = Buffer.alloc(size);
    this.#vector.writeBigUInt64LE(koffi.address(this.data), 0);
    this.#vector.writeBigUInt64LE(BigInt(size), 8);
    this.#header.writeBigUInt64LE(koffi.address(this.sender), 0);
    this.#header.writeBigUInt64LE(koffi.address(this.#vector), 16);
    this.#header.writeBigUInt64LE(1n, 24);
    this.#header.writeBigUInt64LE(koffi.address(this.control), 32);
  }

  /** Receives one packet. @returns its length, or -1 when nothing is there */
  receive(fd: number, flags = 0): number {
    for (;;) {
      this.#header.writeUInt32LE(this.sender.length, 8);
      this.#header.writeBigUInt64LE(BigInt(this.control.length), 40);
      const length = Number(c.recvmsg(fd, this.#header, flags));
      if (length >= 0) return length;
      const error = koffi.errno();
      if (error === errno.EAGAIN) return -1;
      if (error !== errno.EINTR) throw new LibcError('recvmsg', error);
    }
  }

  /** The control message of this kind that came with the last packet (RFC 3542 20: cmsghdr of 16 bytes, aligned to 8). */
  controlMessage(level: number, type: number): Buffer | undefined {
    const end = Math.min(Number(this.#header.readBigUInt64LE(40)), this.control.length);
    for (let at = 0; at + 16 <= end; ) {
      const length = Number(this.control.readBigUInt64LE(at));
      if (length < 16 || at + length > end) return undefined;
      if (this.control.readInt32LE(at + 8) === level && this.control.readInt32LE(at + 12) === type) {
        return this.control.subarray(at + 16, at + length);
      }
      at += (length + 7) & ~7;
    }
    return undefined;
  }
}

/**
 * Receives as many packets as are there, into `count` structures of the kernel's `mmsghdr`, without waiting.
 * @returns their number, 0 when nothing is there
 */
export function recvmmsg(fd: number, messages: Buffer, count: number): number {
  for (;;) {
    const received = c.recvmmsg(fd, messages, count, MSG_DONTWAIT, null);
    if (received >= 0) return received;
    const error = koffi.errno();
    if (error === errno.EAGAIN) return 0;
    if (error !== errno.EINTR) throw new LibcError('recvmmsg', error);
  }
}

/** Where the bytes of a buffer that is never moved (made by Buffer.alloc) are. */
export function addressOf(bytes: Buffer): bigint {
  return koffi.address(bytes);
}

const CLOCK_REALTIME = 0;
const time = Buffer.alloc(16);

/** Milliseconds since 1970 with the fraction that Date.now() leaves out. */
export function wallClock(): number {
  checked(c.clockGettime(CLOCK_REALTIME, time), 'clock_gettime');
  return milliseconds(time, 0);
}

/** A `struct timespec` in milliseconds. */
export function milliseconds(bytes: Buffer, at: number): number {
  const seconds = bytes.readUInt32LE(at) + bytes.readInt32LE(at + 4) * 2 ** 32;
  return seconds * 1000 + bytes.readUInt32LE(at + 8) / 1e6;
}

/** Reads into `data`. @returns the length, or -1 when nothing is there (EAGAIN) */
export function read(fd: number, data: Buffer): number {
  const length = Number(c.read(fd, data, data.length));
  if (length >= 0) return length;
  const error = koffi.errno();
  if (error === errno.EAGAIN || error === errno.EINTR) return -1;
  throw new LibcError('read', error);
}

/** Closes a descriptor; errors of close mean nothing to anybody. */
export function close(fd: number): void {
  c.close(fd);
}

const F_SETFD = 2;
const F_GETFL = 3;
const F_SETFL = 4;

/** Whether a descriptor survives exec. Node marks 0-2 to be closed: a program that replaces this process needs them back. */
export function setCloseOnExec(fd: number, closes: boolean): void {
  checked(c.fcntl(fd, F_SETFD, closes ? 1 : 0), 'fcntl', `fd ${fd}`);
}

/** A file that exists in memory only, without a name in any folder; it survives exec. */
export function memfdCreate(name: string): number {
  return checked(c.memfdCreate(name, 0), 'memfd_create');
}

/** Gives a signal back to the kernel's default. Node ignores SIGPIPE and SIGXFSZ, and exec hands that on. */
export function defaultSignal(number: number): void {
  c.signal(number, null);
}

/** Undoes what libuv does to pipes and terminals, which would surprise the program that inherits them. */
export function setBlocking(fd: number): void {
  checked(
    c.fcntl(fd, F_SETFL, checked(c.fcntl(fd, F_GETFL, 0), 'fcntl') & ~SOCK_NONBLOCK),
    'fcntl',
    `fd ${fd}`,
  );
}

export function setNonBlocking(fd: number): void {
  checked(
    c.fcntl(fd, F_SETFL, checked(c.fcntl(fd, F_GETFL, 0), 'fcntl') | SOCK_NONBLOCK),
    'fcntl',
    `fd ${fd}`,
  );
}

export const EPOLLIN = 1;
export const EPOLLERR = 8;
export const EPOLLHUP = 16;
const EPOLL_CTL_ADD = 1;
const EPOLL_CTL_DEL = 2;
const EPOLL_CLOEXEC = SOCK_CLOEXEC;
// The kernel packs struct epoll_event on x86-64 only.
const packed = process.arch === 'x64';
const eventSize = packed ? 12 : 16;
const eventData = packed ? 4 : 8;

/** An epoll set whose events are told by descriptor. */
export class Epoll {
  readonly fd: number = checked(c.epollCreate(EPOLL_CLOEXEC), 'epoll_create1');
  readonly #events: Buffer;
  readonly #capacity: number;

  /** @param capacity how many events one wait returns at most */
  constructor(capacity = 64) {
    this.#capacity = capacity;
    this.#events = Buffer.alloc(eventSize * capacity);
  }

  add(fd: number, events = EPOLLIN): void {
    const event = Buffer.alloc(eventSize);
    event.writeUInt32LE(events, 0);
    event.writeInt32LE(fd, eventData);
    checked(c.epollControl(this.fd, EPOLL_CTL_ADD, fd, event), 'epoll_ctl');
  }

  remove(fd: number): void {
    c.epollControl(this.fd, EPOLL_CTL_DEL, fd, Buffer.alloc(eventSize));
  }

  /** Descriptors that are ready now, without waiting. */
  poll(): number[] {
    return this.#ready(c.epollWait(this.fd, this.#events, this.#capacity, 0));
  }

  /** Waits on a thread of koffi's until something is ready; an empty list when a signal came in between. */
  wait(callback: (ready: number[]) => void): void {
    c.epollWait.async(this.fd, this.#events, this.#capacity, -1, (_error: unknown, count: number) =>
      callback(this.#ready(count)),
    );
  }

  close(): void {
    close(this.fd);
  }

  #ready(count: number): number[] {
    const ready: number[] = [];
    for (let i = 0; i < count; i++) ready.push(this.#events.readInt32LE(i * eventSize + eventData));
    return ready;
  }
}

const CLOCK_MONOTONIC = 1;

/** A timer descriptor of the monotonic clock, non-blocking. */
export function timerfdCreate(): number {
  return checked(c.timerfdCreate(CLOCK_MONOTONIC, SOCK_NONBLOCK | SOCK_CLOEXEC), 'timerfd_create');
}

const timerValue = Buffer.alloc(32);

/** Makes a timer descriptor readable once after `milliseconds` (fractions count, at least 1 microsecond). */
export function timerfdArm(fd: number, milliseconds: number): void {
  const nanoseconds = Math.max(1000, Math.round(milliseconds * 1e6));
  timerValue.writeBigInt64LE(BigInt(Math.floor(nanoseconds / 1e9)), 16);
  timerValue.writeBigInt64LE(BigInt(nanoseconds % 1e9), 24);
  checked(c.timerfdSet(fd, 0, timerValue, null), 'timerfd_settime');
}

/** A descriptor that another call can make readable. */
export function eventfd(): number {
  return checked(c.eventfd(0, SOCK_NONBLOCK | SOCK_CLOEXEC), 'eventfd');
}

export function eventfdWrite(fd: number): void {
  checked(c.eventfdWrite(fd, 1), 'eventfd_write');
}

/**
 * Replaces this process by a program; returns only by throwing. Descriptors marked close-on-exec are gone then, and 0-2 are
 * marked by Node: see `setCloseOnExec`.
 */
export function execve(path: string, argv: string[], environment: Record<string, string>): never {
  const envp = Object.entries(environment).map(([name, value]) => `${name}=${value}`);
  c.execve(path, [...argv, null], [...envp, null]);
  throw new LibcError('execve', koffi.errno(), path);
}

export const CLONE_NEWNET = 0x40000000;

/** Moves the calling thread into the namespace that `fd` stands for. */
export function setns(fd: number, type: number): void {
  checked(c.setns(fd, type), 'setns');
}

const PR_SET_NAME = 15;
const PR_SET_PDEATHSIG = 1;

/** The name of this thread, as `ps` and `top` show it: 15 bytes at most. */
export function setProcessName(name: string): void {
  checked(c.prctl(PR_SET_NAME, Buffer.from(`${name.slice(0, 15)}\0`), 0, 0, 0), 'prctl');
}

/** The signal that this process gets when its parent ends; 0: none. */
export function setParentDeathSignal(signal: number): void {
  checked(c.prctl(PR_SET_PDEATHSIG, BigInt(signal), 0, 0, 0), 'prctl');
}

const MLOCK_ONFAULT = 1;

/**
 * Keeps program text, libraries, the C heap and the stack of this process in memory once they are there. The JavaScript heap is
 * left out: V8 gives pages back with madvise(MADV_DONTNEED), which the kernel refuses on locked pages, and V8 takes that for a
 * fatal error; so mlockall is out of the question.
 * @returns the number of mappings that are locked
 */
export function lockMemory(): number {
  let locked = 0;
  for (const line of readFileSync('/proc/self/maps', 'latin1').split('\n')) {
    const found = /^([0-9a-f]+)-([0-9a-f]+) r\S+ \S+ \S+ \d+ +(\/\S+|\[heap\]|\[stack\])/.exec(line);
    if (!found) continue;
    const start = BigInt(`0x${found[1]}`);
    const length = BigInt(`0x${found[2]}`) - start;
    checked(c.mlock2(start, length, MLOCK_ONFAULT), 'mlock2');
    locked++;
  }
  return locked;
}

/** Threads of this process: the kernel schedules each of them by itself. */
function threads(): number[] {
  return readdirSync('/proc/self/task').map(Number);
}

/** Nice value of all threads that this process has now, -20 (first) to 19. */
export function setNice(priority: number): void {
  for (const thread of threads()) checked(c.setpriority(0, thread, priority), 'setpriority');
}

const SCHED_RR = 2;
const SCHED_RESET_ON_FORK = 0x40000000;

/**
 * Real-time round-robin scheduling, priority 1..99, of all threads that this process has now: an event passes through several of
 * them. Children do not inherit it.
 */
export function setRealtime(priority: number): void {
  for (const thread of threads()) {
    checked(c.setScheduler(thread, SCHED_RR | SCHED_RESET_ON_FORK, int32(priority)), 'sched_setscheduler');
  }
}

/** CPUs that the threads of this process may use. */
export function setAffinity(cpus: number[]): void {
  const mask = Buffer.alloc(128);
  for (const cpu of cpus) {
    if (cpu >= 0 && cpu < 1024) mask[cpu >> 3] = mask[cpu >> 3]! | (1 << (cpu & 7));
  }
  for (const thread of threads()) checked(c.setAffinity(thread, mask.length, mask), 'sched_setaffinity');
}

const RLIMIT_RTTIME = 15;

/** CPU time in microseconds that a real-time thread may use without a blocking call. */
export function setRealtimeLimit(microseconds: number): void {
  const limit = Buffer.alloc(16);
  limit.writeBigUInt64LE(BigInt(microseconds), 0);
  limit.writeBigUInt64LE(BigInt(microseconds), 8);
  checked(c.setrlimit(RLIMIT_RTTIME, limit), 'setrlimit');
}

/** Index of an interface in this thread's network namespace, or 0. */
export function interfaceIndex(name: string): number {
  return c.nameToIndex(name);
}

/** Creates a FIFO. @throws LibcError EEXIST when something is there already */
export function mkfifo(path: string, mode: number): void {
  checked(c.mkfifo(path, mode), 'mkfifo', path);
}

/** A C int as bytes. */
export function int32(value: number): Buffer {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32LE(value, 0);
  return bytes;
}

/** `sockaddr_in`. @param address 4 bytes */
export function sockaddrIn(address: Uint8Array, port = 0): Buffer {
  const bytes = Buffer.alloc(16);
  bytes.writeUInt16LE(AF_INET, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, 4);
  return bytes;
}

/** `sockaddr_in6`. @param address 16 bytes @param scope index of the interface for link-local addresses */
export function sockaddrIn6(address: Uint8Array, port = 0, scope = 0): Buffer {
  const bytes = Buffer.alloc(28);
  bytes.writeUInt16LE(AF_INET6, 0);
  bytes.writeUInt16BE(port, 2);
  bytes.set(address, 8);
  bytes.writeUInt32LE(scope, 24);
  return bytes;
}

/** `sockaddr_ll`. @param protocol EtherType @param hardware destination address, 6 bytes */
export function sockaddrLinkLayer(
  protocol: number,
  index: number,
  hardware: Uint8Array = new Uint8Array(6),
): Buffer {
  const bytes = Buffer.alloc(20);
  bytes.writeUInt16LE(AF_PACKET, 0);
  bytes.writeUInt16BE(protocol, 2);
  bytes.writeInt32LE(index, 4);
  bytes[11] = hardware.length;
  bytes.set(hardware, 12);
  return bytes;
}

/** `sockaddr_nl`. @param groups mask of the multicast groups 1..32 */
export function sockaddrNetlink(groups = 0): Buffer {
  const bytes = Buffer.alloc(12);
  bytes.writeUInt16LE(AF_NETLINK, 0);
  bytes.writeUInt32LE(groups, 8);
  return bytes;
}
