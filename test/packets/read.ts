/** Fixture files as frames on the wire, for people with tcpdump or Wireshark. */
import type { Frame } from './capture.js';

/** MAC address of whoever is on the other side of a port, as far as the fixture does not say. */
const OUTSIDE = '02:00:00:00:ff:ff';
const BROADCAST = 'ff:ff:ff:ff:ff:ff';
const NOBODY = '00:00:00:00:00:00';

function mac(text: string): number[] {
  return text.split(':').map((byte) => Number.parseInt(byte, 16));
}

function framed(to: string, from: string, packet: readonly number[]): Uint8Array {
  const ipv6 = (packet[0] ?? 0) >> 4 === 6;
  return Uint8Array.from([...mac(to), ...mac(from), ...(ipv6 ? [0x86, 0xdd] : [8, 0]), ...packet]);
}

/**
 * The packets of a fixture file in order: each that goes in with its sentence as comment, each that comes out a
 * microsecond later. Steps are a second apart.
 * @throws Error with the line's number when a line makes no sense
 */
export function framesOf(text: string): Frame[] {
  const frames: Frame[] = [];
  const macs = new Map<string, string>();
  let step = 0;
  let name = '';
  let says = '';
  let port = '0';
  let bytes: number[] = [];
  let write: (() => void) | undefined;
  const flush = () => {
    write?.();
    write = undefined;
    bytes = [];
  };
  const add = (to: string, from: string, comment: string) => {
    frames.push({ at: step * 1e6 + (frames.length % 1000), bytes: framed(to, from, bytes), comment });
  };
  const own = (number: string) => macs.get(number) ?? NOBODY;

  for (const [index, line] of text.split('\n').entries()) {
    if (line === '' || line.startsWith('#')) continue;
    if (/^[0-9a-f]{4} {2}/.test(line)) {
      for (const byte of line.slice(6).split(' ')) {
        const value = Number.parseInt(byte, 16);
        if (!/^[0-9a-f]{2}$/.test(byte)) throw new Error(`line ${index + 1}: ${byte} is no byte`);
        bytes.push(value);
      }
      continue;
    }
    flush();
    const [word, ...rest] = line.split(' ');
    switch (word) {
      case 'port':
        macs.set(rest[0] ?? '', rest[2] ?? NOBODY);
        break;
      case 'step':
        name = rest.join(' ');
        step++;
        break;
      case 'says':
        says = rest.join(' ');
        break;
      case 'in': {
        port = rest[0] ?? '0';
        const to = rest.includes('broadcast') ? BROADCAST : own(port);
        write = () => add(to, OUTSIDE, `${name}: ${says}`);
        break;
      }
      case 'forward':
        write = () => add(rest[1] ?? NOBODY, own(rest[0] ?? '0'), `${name}: forwarded by port ${rest[0]}`);
        break;
      case 'unresolved':
        write = () => add(NOBODY, own(rest[0] ?? '0'), `${name}: waits for ${rest[1]} on port ${rest[0]}`);
        break;
      case 'kernel':
        write = () => add(own(rest[0] ?? '0'), OUTSIDE, `${name}: to the kernel twin of port ${rest[0]}`);
        break;
      case 'error':
        write = () => add(OUTSIDE, own(port), `${name}: the director's own ICMP error`);
        break;
      default:
        break;
    }
  }
  flush();
  return frames;
}
