import type { OperationInput } from '../dpvsd/client.js';
import { type LinkRow, type Route, Verb } from '../dpvsd/generated/control.js';
import type { TwinDevice } from './kernel-side.js';

/** What the dataplane has: its ports, and the routes that were learnt from twins. */
export interface DataplaneSide {
  links: Pick<LinkRow, 'device' | 'twin'>[];
  learnt: Pick<Route, 'destination' | 'device' | 'prefix'>[];
}

/** Groups of each port, as one text, as they were told before: only changes are told again. */
export type Told = Map<string, string>;

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');
const routeKey = (device: string, address: Uint8Array): string => `${device} ${hex(address)}`;

/** The route that leaves packets to one of the kernel's own addresses to its twin. */
function routeTo(verb: Verb, device: string, address: Uint8Array): OperationInput {
  const destination = Buffer.from(address);
  return {
    verb,
    object: {
      $case: 'route',
      value: {
        destination,
        prefix: destination.length * 8,
        device,
        scope: 'kni_host',
        origin: 'kernel',
        ipv6: destination.length === 16,
      },
    },
  };
}

/**
 * The operations that bring the dataplane in line with addresses and groups of the twins. Each stands for itself: one that dpvsd
 * refuses must not keep back the others.
 *
 * A twin that is not there (moved to another network namespace) changes nothing but the addresses: they are no longer known here.
 * @param told is brought up to date
 */
export function difference(
  kernel: ReadonlyMap<string, TwinDevice>,
  { links, learnt }: DataplaneSide,
  told: Told,
): OperationInput[] {
  const operations: OperationInput[] = [];
  const wanted = new Map<string, OperationInput>();
  for (const { device, twin: name } of links) {
    const twin = name === '' ? undefined : kernel.get(name);
    if (!twin) continue;
    for (const address of twin.addresses)
      wanted.set(routeKey(device, address), routeTo(Verb.VERB_PUT, device, address));

    const groups = twin.groups.map(hex).sort().join(' ');
    if (told.get(device) !== groups) {
      told.set(device, groups);
      operations.push({
        verb: Verb.VERB_EDIT,
        object: {
          $case: 'twinGroups',
          value: { device, groups: twin.groups.map((mac) => Buffer.from(mac)) },
        },
      });
    }
  }
  for (const { device, destination } of learnt)
    if (!wanted.delete(routeKey(device, destination)))
      operations.push(routeTo(Verb.VERB_DELETE, device, destination));
  operations.push(...wanted.values());
  return operations;
}
