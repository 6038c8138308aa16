import type { OspfBridgePart } from '../keepalived/model/index.js';
import type { OspfBridge } from '../keepalived/model/ospf-bridge.js';
import type { Wish } from './announcements.js';

/** What is known about the world that announcements depend upon. */
export interface World {
  /** `unknown`: not asked yet. `none`: there is no dataplane to watch. */
  dataplane: 'up' | 'down' | 'unknown' | 'none';
  /** Addresses that the dataplane has services of; absent: not read yet. */
  placed: ReadonlySet<string> | undefined;
  /** Quorum of each virtual server with its addresses. */
  quorum: ReadonlyMap<string, { addresses: readonly string[]; up: boolean }>;
  /** The health checker has spoken, or has had time enough to. */
  heard: boolean;
  masters: ReadonlySet<string>;
  /** What operators have put aside, and how. */
  drained: ReadonlyMap<string, 'metric' | 'withdraw'>;
}

/** The configuration, arranged for questions about one address. */
export interface Scope {
  bridge: OspfBridge;
  /** Every address that the bridge looks after: of virtual servers, of `addresses`, and with `when master` of instances. */
  addresses: ReadonlySet<string>;
  /** Those of virtual servers. */
  services: ReadonlySet<string>;
  /** VRRP instances by the addresses that they carry. */
  carriers: ReadonlyMap<string, readonly string[]>;
}

export function scopeOf(part: OspfBridgePart): Scope {
  const { bridge, virtualAddresses, instances } = part;
  const carriers = new Map<string, string[]>();
  for (const { name, addresses } of instances) {
    for (const address of addresses) {
      const names = carriers.get(address);
      if (names) names.push(name);
      else carriers.set(address, [name]);
    }
  }
  return {
    bridge,
    addresses: new Set([
      ...virtualAddresses,
      ...bridge.addresses,
      ...(bridge.when === 'master' ? carriers.keys() : []),
    ]),
    services: new Set(virtualAddresses),
    carriers,
  };
}

/**
 * What an address ought to be.
 * @param services quorum of all virtual servers of the address
 * @returns undefined while too little is known to change anything
 */
export function wishFor(
  address: string,
  scope: Scope,
  world: World,
  services: readonly boolean[],
): Wish | undefined {
  const wish = undrained(address, scope, world, services);
  const drained = world.drained.get(address);
  if (!wish || wish.standing === 'withdrawn' || drained === undefined) return wish;
  return drained === 'metric'
    ? { standing: 'drained', reason: 'drained', deliberate: true }
    : { standing: 'withdrawn', reason: 'drained, withdrawn', deliberate: true };
}

function undrained(
  address: string,
  scope: Scope,
  world: World,
  services: readonly boolean[],
): Wish | undefined {
  const { bridge } = scope;
  const off = (reason: string): Wish => ({ standing: 'withdrawn', reason });
  const on = (reason: string): Wish => ({ standing: 'announced', reason });
  // A black hole is the worst of all: without a dataplane nothing is announced, whatever else is well.
  if (world.dataplane === 'down') return off('dpvsd is down');
  if (world.dataplane === 'unknown') return undefined;
  const isService = scope.services.has(address);
  if (world.dataplane === 'up' && isService) {
    if (!world.placed) return undefined;
    if (!world.placed.has(address)) return off('dpvsd has no service of it yet');
  }
  if (bridge.when === 'master') {
    const carriers = scope.carriers.get(address) ?? [];
    if (carriers.length === 0) return off('no vrrp_instance carries it');
    const master = carriers.find((name) => world.masters.has(name));
    // VRRP has chosen one: if that were damped, nobody would announce the address.
    return master
      ? on(`${master} is master`)
      : { ...off(`${carriers.join(', ')} is not master`), deliberate: true };
  }
  if (bridge.when === 'always' || !isService) return on('always');
  if (services.length === 0) return world.heard ? off('the health checker says nothing about it') : undefined;
  const up = services.filter((one) => one).length;
  const all = services.length;
  const of = all === 1 ? '' : ` (${up} of ${all} services)`;
  return (bridge.services === 'all' ? up === all : up > 0) ? on(`quorum${of}`) : off(`quorum lost${of}`);
}

/** `address/length` of a host route. */
export function prefixOf(address: string): string {
  return `${address}/${address.includes(':') ? 128 : 32}`;
}
