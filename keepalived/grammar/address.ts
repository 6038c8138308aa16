import { isIPv6 } from 'node:net';

/**
 * An address as the model has it: IPv4 dotted, IPv6 as RFC 5952 writes it.
 * @returns undefined when the text is no address (`inet_pton` decides, so no names, no zone, no leading zeros)
 */
export function normalAddress(text: string): string | undefined {
  if (!text.includes(':')) return isDotted(text) ? text : undefined;
  if (!isIPv6(text) || text.includes('%')) return undefined;
  return compressed(groupsOf(text));
}

/** Four numbers 0..255 without leading zeros, with dots between them; big files have hundreds of thousands of these. */
function isDotted(text: string): boolean {
  let dots = 0;
  let number = -1;
  for (let at = 0; at < text.length; at++) {
    const digit = text.charCodeAt(at) - 48;
    if (digit >= 0 && digit <= 9) {
      if (number === 0) return false;
      number = number < 0 ? digit : number * 10 + digit;
      if (number > 255) return false;
    } else if (digit === -2 && number >= 0) {
      dots++;
      number = -1;
    } else {
      return false;
    }
  }
  return dots === 3 && number >= 0;
}

/** The eight groups of a valid IPv6 address, which may end in a dotted IPv4 address. */
function groupsOf(text: string): number[] {
  const dotted = /(\d+)\.(\d+)\.(\d+)\.(\d+)$/.exec(text);
  const hexadecimal = dotted
    ? text.slice(0, dotted.index) +
      `${(Number(dotted[1]) * 256 + Number(dotted[2])).toString(16)}:${(Number(dotted[3]) * 256 + Number(dotted[4])).toString(16)}`
    : text;
  const [head = '', tail] = hexadecimal.split('::');
  const numbers = (part: string) =>
    part === '' ? [] : part.split(':').map((group) => Number.parseInt(group, 16));
  const before = numbers(head);
  if (tail === undefined) return before;
  const after = numbers(tail);
  return [...before, ...Array<number>(8 - before.length - after.length).fill(0), ...after];
}

/** RFC 5952 4: lower case, no leading zeros, the longest run of two or more zero groups (the first of equals) as `::`. */
function compressed(groups: number[]): string {
  let start = -1;
  let length = 1;
  for (let at = 0; at < 8; at++) {
    let end = at;
    while (end < 8 && groups[end] === 0) end++;
    if (end - at > length) {
      start = at;
      length = end - at;
    }
    if (end > at) at = end;
  }
  const text = (from: number, to: number) =>
    groups
      .slice(from, to)
      .map((group) => group.toString(16))
      .join(':');
  return start < 0 ? text(0, 8) : `${text(0, start)}::${text(start + length, 8)}`;
}

/** 4 or 6. */
export function familyOf(address: string): 4 | 6 {
  return address.includes(':') ? 6 : 4;
}

/** An address as a number, for ranges and masks. */
export function toNumber(address: string): bigint {
  if (familyOf(address) === 4) return address.split('.').reduce((sum, part) => sum * 256n + BigInt(part), 0n);
  return groupsOf(address).reduce((sum, group) => sum * 65536n + BigInt(group), 0n);
}

/** The address of a number. */
export function fromNumber(number: bigint, family: 4 | 6): string {
  if (family === 6) {
    return compressed(
      Array.from({ length: 8 }, (_, group) => Number((number >> BigInt(112 - 16 * group)) & 0xffffn)),
    );
  }
  return [24n, 16n, 8n, 0n].map((shift) => String((number >> shift) & 255n)).join('.');
}

/** `IP[/LENGTH]`; the length defaults to that of a single address. */
export function readPrefix(text: string): { address: string; prefixLength: number } | undefined {
  const slash = text.indexOf('/');
  const address = normalAddress(slash < 0 ? text : text.slice(0, slash));
  if (address === undefined) return undefined;
  const longest = familyOf(address) === 4 ? 32 : 128;
  if (slash < 0) return { address, prefixLength: longest };
  const length = text.slice(slash + 1);
  if (!/^\d+$/.test(length) || Number(length) > longest) return undefined;
  return { address, prefixLength: Number(length) };
}
