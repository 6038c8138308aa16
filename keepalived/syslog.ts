import koffi from 'koffi';
import { type LogSink, severities } from '../lib/log.js';

const libc = koffi.load('libc.so.6');
const socket = libc.func('int socket(int domain, int type, int protocol)');
const connect = libc.func('int connect(int fd, const void *address, uint32_t length)');
const send = libc.func('int64_t send(int fd, const void *data, size_t length, int flags)');
const close = libc.func('int close(int fd)');

const AF_UNIX = 1;
const SOCK_DGRAM = 2;
const SOCK_NONBLOCK = 0o4000;
const SOCK_CLOEXEC = 0o2000000;
const MSG_NOSIGNAL = 0x4000;

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/**
 * Lines to the local syslog daemon as datagrams on a Unix socket in the traditional local format (RFC 3164 4.1, without the
 * host name, as syslog(3) writes it). Own socket instead of libc's syslog(), because that one blocks when the daemon is slow,
 * and a log line must never delay an advert: here it is lost instead, and the next line says how many were.
 * @param ident program name in front of `[pid]:`
 * @param facility 0 kern ... 23 local7
 * @param path the daemon's socket
 */
export function syslogSink(ident: string, facility: number, path = '/dev/log'): LogSink {
  let fd = -1;
  let lost = 0;

  const open = (): boolean => {
    fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0) as number;
    if (fd < 0) return false;
    const address = Buffer.alloc(2 + Buffer.byteLength(path) + 1);
    address.writeUInt16LE(AF_UNIX, 0);
    address.write(path, 2);
    if ((connect(fd, address, address.length) as number) === 0) return true;
    close(fd);
    fd = -1;
    return false;
  };

  const transmit = (severity: number, line: string): boolean => {
    const now = new Date();
    const two = (value: number) => String(value).padStart(2, '0');
    const time = `${months[now.getMonth()]} ${String(now.getDate()).padStart(2, ' ')} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
    const datagram = Buffer.from(`<${facility * 8 + severity}>${time} ${ident}[${process.pid}]: ${line}`);
    for (let attempt = 0; attempt < 2; attempt++) {
      if (fd < 0 && !open()) return false;
      if (Number(send(fd, datagram, datagram.length, MSG_NOSIGNAL)) >= 0) return true;
      // The daemon was restarted (its socket is another one now), or its queue is full: try once with a fresh socket.
      close(fd);
      fd = -1;
    }
    return false;
  };

  return (severity, line) => {
    if (lost > 0 && transmit(4, `${lost} log lines were lost because syslog did not take them`)) lost = 0;
    if (!transmit(severities.indexOf(severity), line)) lost++;
  };
}
