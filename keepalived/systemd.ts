import { AF_UNIX, close, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket, trySendto } from '../lib/libc.js';

/** A Unix socket's address as `sockaddr` bytes; a name that begins with `@` is in the abstract namespace. */
export function unixAddress(path: string): Buffer {
  const name = Buffer.from(path.startsWith('@') ? `\0${path.slice(1)}` : path);
  const address = Buffer.alloc(2 + name.length + (path.startsWith('@') ? 0 : 1));
  address.writeUInt16LE(AF_UNIX, 0);
  name.copy(address, 2);
  return address;
}

/**
 * Tells systemd about the state of the service (sd_notify): one datagram to the socket named by NOTIFY_SOCKET. Does nothing
 * when there is none.
 * @param state lines such as `READY=1`
 */
export function notifySystemd(...state: string[]): void {
  const path = process.env.NOTIFY_SOCKET;
  if (!path) return;
  const address = unixAddress(path);
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  try {
    trySendto(fd, Buffer.from(state.join('\n')), address);
  } finally {
    close(fd);
  }
}

/**
 * With WatchdogSec= systemd wants a sign of life that often, or it starts the service anew: says one twice as often as it is wanted, from
 * the event loop, so that a loop that hangs says none.
 */
export function feedWatchdog(): void {
  const wanted = Number(process.env.WATCHDOG_USEC);
  const meant = process.env.WATCHDOG_PID;
  if (!(wanted > 0) || (meant !== undefined && Number(meant) !== process.pid)) return;
  setInterval(() => notifySystemd('WATCHDOG=1'), Math.max(1, wanted / 2000)).unref();
}
