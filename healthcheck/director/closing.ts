/**
 * What stands in for list entries that the dataplane refuses, an ipset for instance: a client list is there to keep somebody out,
 * and a service that works without it would let him in.
 */
import { familyOf } from '../../keepalived/grammar/address.js';
import { type ListEntry, listText, type ServiceEntry, type ServiceKey } from './table.js';

/** Everybody, in two halves: nobody else writes it so, and after a restart they are known to be ours. */
const HALVES = { 4: ['0.0.0.0', '128.0.0.0'], 6: ['::', '8000::'] } as const;

function serviceFamily(key: ServiceKey): 4 | 6 {
  switch (key.kind) {
    case 'address':
      return familyOf(key.address);
    case 'fwmark':
      return key.family;
    case 'match':
      // Either may be left open.
      return familyOf(`${key.sourceLow}${key.destinationLow}`);
  }
}

/** Entries by which nobody new gets in; connections that are open go on. */
function closing(key: ServiceKey): ListEntry[] {
  return HALVES[serviceFamily(key)].map((address) => ({ list: 'deny', address, prefix: 1, set: '' }));
}

/** Is this row of the dataplane one that we put there to close a service? */
export function isClosing({ list, address, prefix }: ListEntry): boolean {
  return list === 'deny' && prefix === 1 && [...HALVES[4], ...HALVES[6]].some((half) => half === address);
}

/** Entries that can match clients of this service at all; sets may hold anybody. */
export function listsFor(key: ServiceKey, lists: Map<string, ListEntry>): Map<string, ListEntry> {
  const family = serviceFamily(key);
  const fits = ({ set, address }: ListEntry) => set !== '' || familyOf(address) === family;
  const all = [...lists];
  return all.every(([, entry]) => fits(entry)) ? lists : new Map(all.filter(([, entry]) => fits(entry)));
}

/**
 * The lists of a service without the entries that the dataplane refused. Closed to everybody when one of them was to keep clients
 * out, or when of those who were to be let in none is left.
 */
export function listsWithout(
  { key, lists }: ServiceEntry,
  isRefused: (entry: ListEntry) => boolean,
): Map<string, ListEntry> {
  const left = new Map([...lists].filter(([, entry]) => !isRefused(entry)));
  if (left.size === lists.size) return lists;
  const count = (rows: Map<string, ListEntry>, list: ListEntry['list']) =>
    [...rows.values()].filter((entry) => entry.list === list).length;
  if (count(left, 'deny') < count(lists, 'deny') || count(left, 'allow') === 0)
    for (const entry of closing(key)) left.set(listText(entry), entry);
  return left;
}
