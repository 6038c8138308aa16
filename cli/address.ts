import { isIP } from 'node:net';
import { formatIp, parseIp } from '../lib/ip.js';

/** Bytes of an IPv4 address, or undefined: the quick way for the addresses of long inputs, by the rules of inet_pton. */
function ipv4Bytes(text: string): Buffer | undefined {
  if (text.length < 7 || text.length > 15) return undefined;
  let address = 0;
  let part = -1;
  let dots = 0;
  for (let i = 0; i <= text.length; i++) {
    const code = i < text.length ? text.charCodeAt(i) : DOT;
    if (code === DOT) {
      if (part < 0) return undefined;
      address = address * 256 + part;
      part = -1;
      dots++;
    } else if (code >= 48 && code <= 57) {
      // No leading zeros: some would take them for octal.
      if (part === 0) return undefined;
      part = part < 0 ? code - 48 : part * 10 + code - 48;
      if (part > 255) return undefined;
    } else return undefined;
  }
  if (dots !== 4) return undefined;
  const bytes = Buffer.allocUnsafe(4);
  bytes.writeUInt32BE(address);
  return bytes;
}

const DOT = 46;

/** Bytes of an address as text, or undefined when it is none. */
export function addressBytes(text: string): Buffer | undefined {
  const ipv4 = ipv4Bytes(text);
  if (ipv4) return ipv4;
  return isIP(text) === 0 || text.includes('%') ? undefined : parseIp(text);
}

/** `10.0.0.1:80`, `[2001:db8::1]:80`. */
export function endpointText(address: Uint8Array, port: number | string): string {
  return address.length === 16 ? `[${formatIp(address)}]:${port}` : `${addressText(address)}:${port}`;
}

/** An address, or `0.0.0.0` for none. */
export function addressText(address: Uint8Array): string {
  return address.length === 0 ? '0.0.0.0' : formatIp(address);
}

/** Bits of an address, 32 or 128. */
export function bits(address: Uint8Array): number {
  return address.length * 8;
}

/** A whole number in decimal within bounds, or undefined. */
export function decimal(text: string | undefined, least: number, most: number): number | undefined {
  if (text === undefined || !/^\d{1,16}$/.test(text)) return undefined;
  const number = Number(text);
  return number >= least && number <= most ? number : undefined;
}

export interface Prefix {
  address: Buffer;
  /** Bits; the whole address when the text names none. */
  length: number;
}

/** `10.0.0.0/8`, or an address alone, or undefined when it is neither. */
export function parsePrefix(text: string): Prefix | undefined {
  const [first = '', length, ...more] = text.split('/');
  const address = addressBytes(first);
  if (!address || more.length > 0) return undefined;
  if (length === undefined) return { address, length: bits(address) };
  const number = decimal(length, 0, bits(address));
  return number === undefined ? undefined : { address, length: number };
}

/** Six bytes of `00:1b:21:aa:bb:cc` (any case; one digit per byte will do), or undefined. */
export function parseMac(text: string): Buffer | undefined {
  const parts = text.split(/[:-]/);
  if (parts.length !== 6 || !parts.every((part) => /^[0-9a-fA-F]{1,2}$/.test(part))) return undefined;
  return Buffer.from(parts.map((part) => Number.parseInt(part, 16)));
}

/** `00:1b:21:aa:bb:cc`. */
export function formatMac(mac: Uint8Array): string {
  return Array.from(mac, (byte) => byte.toString(16).padStart(2, '0')).join(':');
}
