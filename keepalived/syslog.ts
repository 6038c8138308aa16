import { AF_UNIX, SOCK_CLOEXEC, SOCK_DGRAM, SOCK_NONBLOCK, socket, trySendto } from '../lib/libc.js';
import { type LogSink, severities } from '../lib/log.js';
import { unixAddress } from './systemd.js';

const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];
/** Index of `warning` in the severities. */
const WARNING = severities.indexOf('warning');

/** `Nov 22 01:02:03`, local time (RFC 3164 4.1.2). */
export function timestamp(now = new Date()): string {
  const two = (value: number) => String(value).padStart(2, '0');
  const day = String(now.getDate()).padStart(2, ' ');
  return `${months[now.getMonth()]} ${day} ${two(now.getHours())}:${two(now.getMinutes())}:${two(now.getSeconds())}`;
}

/**
 * Lines to the local syslog daemon as datagrams on a Unix socket in the traditional local format (RFC 3164 4.1, without the
 * host name, as syslog(3) writes it). Own socket instead of libc's syslog(), because that one blocks when the daemon is slow,
 * and a log line must never delay an advert: here it is lost instead, and the next line says how many were.
 * @param ident program name in front of `[pid]:`
 * @param facility 0 kern ... 23 local7
 * @param path the daemon's socket; looked up for each line, so that a daemon that is started anew is found
 */
export function syslogSink(ident: string, facility: number, path = '/dev/log'): LogSink {
  const fd = socket(AF_UNIX, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  const address = unixAddress(path);
  let lost = 0;
  const transmit = (severity: number, line: string): boolean => {
    const datagram = `<${facility * 8 + severity}>${timestamp()} ${ident}[${process.pid}]: ${line}`;
    return trySendto(fd, Buffer.from(datagram), address) === 0;
  };
  return (severity, line) => {
    if (lost > 0 && transmit(WARNING, `${lost} log lines were lost because syslog did not take them`))
      lost = 0;
    if (!transmit(severities.indexOf(severity), line)) lost++;
  };
}
