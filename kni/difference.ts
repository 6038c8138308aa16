import type { OperationInput } from '../dpvsd/client.js';
import { type LinkRow, type Route, Verb } from '../dpvsd/generated/control.js';
import type { TwinDevice } from './kernel-side.js';

/** What the dataplane has: its ports, and the routes that were learnt from twins. */
export interface DataplaneSide {
  links: Pick<LinkRow, 'device' | 'twin' | 'mac' | 'mtu' | 'up'>[];
  learnt: Pick<Route, 'destination' | 'device' | 'prefix'>[];
}

/** What was told before, so that only changes are told again. */
export interface Told {
  /** Groups of each port, as one text. */
  groups: Map<string, string>;
  /** Administrative state of each twin. */
  up: Map<string, boolean>;
}

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
 * The operations that bring the dataplane in line with the kernel's side of the twins. Each stands for itself: one that dpvsd refuses
 * (a driver that cannot change its MTU) must not keep back the others.
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
  for (const { device, twin: name, mac, mtu } of links) {
    const twin = name === '' ? undefined : kernel.get(name);
    if (!twin) {
      // Whoever takes a twin away has not pulled the cable.
      if (told.up.get(device) === false)
        operations.push({ verb: Verb.VERB_EDIT, object: { $case: 'link', value: { device, link: 'up' } } });
      told.up.delete(device);
      continue;
    }
    for (const address of twin.addresses)
      wanted.set(routeKey(device, address), routeTo(Verb.VERB_PUT, device, address));

    const change = {
      ...(twin.mtu === mtu ? {} : { mtu: twin.mtu }),
      ...(twin.mac.length !== 6 || hex(twin.mac) === hex(mac) ? {} : { mac: Buffer.from(twin.mac) }),
      ...(twin.up === (told.up.get(device) ?? true) ? {} : { link: twin.up ? 'up' : 'down' }),
    };
    told.up.set(device, twin.up);
    for (const [item, value] of Object.entries(change))
      operations.push({
        verb: Verb.VERB_EDIT,
        object: { $case: 'link', value: { device, [item]: value } },
      });

    const groups = twin.groups.map(hex).sort().join(' ');
    if (told.groups.get(device) !== groups) {
      told.groups.set(device, groups);
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
