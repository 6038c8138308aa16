/** Sum of 16-bit words in network order, not yet folded; an odd last byte is padded with zero (RFC 1071). */
export function sumWords(data: Uint8Array, start = 0): number {
  let sum = start;
  const even = data.length & ~1;
  for (let i = 0; i < even; i += 2) sum += (data[i]! << 8) | data[i + 1]!;
  if (even < data.length) sum += data[even]! << 8;
  return sum;
}

/** One's complement of the folded sum: 0..65535. Data that carries its own checksum gives 0. */
export function finishSum(sum: number): number {
  let folded = sum;
  while (folded > 0xffff) folded = Math.floor(folded / 0x10000) + (folded & 0xffff);
  return ~folded & 0xffff;
}

/** The internet checksum of `data`. */
export function checksum(data: Uint8Array): number {
  return finishSum(sumWords(data));
}

export const IPPROTO_VRRP = 112;

/**
 * Sum of the pseudo header for VRRP: of RFC 9568 5.2.8 for IPv4 (source, destination, zero, protocol, length),
 * of RFC 8200 8.1 for IPv6.
 */
export function pseudoHeaderSum(source: Uint8Array, destination: Uint8Array, length: number): number {
  return sumWords(destination, sumWords(source)) + IPPROTO_VRRP + length;
}
