import { isIPv4, isIPv6 } from 'node:net';

/**
 * The bytes of an address in network order: 4 for IPv4, 16 for IPv6.
 * @throws RangeError when the text is no address as `inet_pton` accepts it (a zone such as %eth0 is none)
 */
export function parseIp(text: string): Buffer {
  if (isIPv4(text)) return Buffer.from(text.split('.').map(Number));
  if (!isIPv6(text) || text.includes('%')) throw new RangeError(`not an IP address: '${text}'`);
  const bytes = Buffer.alloc(16);
  // A dotted tail stands for the last two groups.
  const dotted = text.includes('.') ? text.slice(text.lastIndexOf(':') + 1) : undefined;
  let groups = text;
  if (dotted !== undefined) {
    const [a, b, c, d] = dotted.split('.').map(Number) as [number, number, number, number];
    groups = `${text.slice(0, -dotted.length)}${((a << 8) | b).toString(16)}:${((c << 8) | d).toString(16)}`;
  }
  const [head, tail] = groups.split('::') as [string, string | undefined];
  const words = (part: string) =>
    part === '' ? [] : part.split(':').map((word) => Number.parseInt(word, 16));
  for (const [i, word] of words(head).entries()) bytes.writeUInt16BE(word, 2 * i);
  if (tail !== undefined) {
    const last = words(tail);
    for (const [i, word] of last.entries()) bytes.writeUInt16BE(word, 16 - 2 * (last.length - i));
  }
  return bytes;
}

/** Text of an address of 4 or 16 bytes, IPv6 as RFC 5952 wants it (and `inet_ntop` writes it). */
export function formatIp(bytes: Uint8Array): string {
  if (bytes.length === 4) return bytes.join('.');
  const words: number[] = [];
  for (let i = 0; i < 16; i += 2) words.push((bytes[i]! << 8) | bytes[i + 1]!);
  if (words.slice(0, 5).every((word) => word === 0) && words[5] === 0xffff) {
    return `::ffff:${bytes.slice(12).join('.')}`;
  }
  let start = -1;
  let length = 1;
  for (let i = 0; i < 8; i++) {
    let run = 0;
    while (i + run < 8 && words[i + run] === 0) run++;
    if (run > length) {
      start = i;
      length = run;
    }
  }
  const hex = words.map((word) => word.toString(16));
  if (start < 0) return hex.join(':');
  return `${hex.slice(0, start).join(':')}::${hex.slice(start + length).join(':')}`;
}
