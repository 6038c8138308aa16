import { Address4, Address6 } from 'ip-address';

/** An address as a number, with its length in bits. */
interface Numeric {
  bits: 32 | 128;
  value: bigint;
}

function numeric(address: string): Numeric {
  return address.includes(':')
    ? { bits: 128, value: new Address6(address).bigInt() }
    : { bits: 32, value: new Address4(address).bigInt() };
}

function text(value: bigint, bits: 32 | 128): string {
  return bits === 32 ? Address4.fromBigInt(value).correctForm() : Address6.fromBigInt(value).correctForm();
}

/** More addresses than this in one range are a mistake, not a service each. */
const RANGE_LIMIT = 65_536;

/** All addresses first..last inclusive, at most 65,536. */
export function expandRange(first: string, last: string): string[] {
  if (first === last) return [first];
  const low = numeric(first);
  const high = numeric(last);
  const addresses: string[] = [];
  for (let value = low.value; value <= high.value && addresses.length < RANGE_LIMIT; value++) {
    addresses.push(text(value, low.bits));
  }
  return addresses;
}

/** The fewest prefixes that cover exactly first..last. */
export function rangePrefixes(first: string, last: string): { address: string; prefix: number }[] {
  const { bits, value } = numeric(first);
  const end = numeric(last).value;
  const prefixes: { address: string; prefix: number }[] = [];
  for (let start = value; start <= end; ) {
    let size = 0;
    // As large as alignment and the end of the range allow.
    while (
      size < bits &&
      (start & ((1n << BigInt(size + 1)) - 1n)) === 0n &&
      start + (1n << BigInt(size + 1)) - 1n <= end
    ) {
      size++;
    }
    prefixes.push({ address: text(start, bits), prefix: bits - size });
    start += 1n << BigInt(size);
  }
  return prefixes;
}

/**
 * A DPVS match range: `LOW-HIGH`, `LOW-HIGH:PORT-PORT`, a single address in place of the two, IPv6 addresses in brackets where a port
 * follows. Empty text: any.
 */
export function parseMatchRange(range: string): { low: string; high: string; ports: [number, number] } {
  const shape = /^(?:\[?([0-9a-fA-F:.]*?)\]?(?:-\[?([0-9a-fA-F:.]*?)\]?)?)(?::(\d+)(?:-(\d+))?)?$/.exec(
    range.trim(),
  );
  const plain = /^([0-9a-fA-F:.]*)(?:-([0-9a-fA-F:.]*))?$/.exec(range.trim());
  // Without brackets the colons of an IPv6 address are not a port's.
  const parts = plain && (plain[1] ?? '').split(':').length > 2 ? [...plain, undefined, undefined] : shape;
  if (!parts) return { low: '', high: '', ports: [0, 0] };
  const low = parts[1] ?? '';
  const high = parts[2] ?? low;
  const firstPort = Number(parts[3] ?? 0);
  return { low, high: high === '' ? low : high, ports: [firstPort, Number(parts[4] ?? firstPort)] };
}
