import type { VirtualAddress, VirtualRoute, VirtualRule, VrrpModel } from '../keepalived/model/vrrp.js';
import type { PlacedAddress } from './addresses.js';
import { placeKey } from './addresses.js';
import type { KernelAddresses } from './kernel-addresses.js';
import type { KernelRoutes } from './kernel-routes.js';

/**
 * Static addresses, routes and rules: there as long as the process runs, or, with a track_group, as long as the interfaces of
 * all its instances are up.
 */
export class StaticItems {
  readonly #addresses: KernelAddresses;
  readonly #routes: KernelRoutes;
  #model: VrrpModel | undefined;
  #placed = new Map<string, PlacedAddress>();
  #inPlace = new Map<string, { routes: VirtualRoute[]; rules: VirtualRule[] }>();

  constructor(addresses: KernelAddresses, routes: KernelRoutes) {
    this.#addresses = addresses;
    this.#routes = routes;
  }

  /** Takes over a new model; `follow` then puts it in force. */
  configure(model: VrrpModel): void {
    this.#model = model;
  }

  /** @param up whether the interface of this instance is up */
  follow(up: (instance: string) => boolean): void {
    const model = this.#model;
    if (!model) return;
    const groupUp = (name: string | undefined) => {
      const group = model.trackGroups.find((one) => one.name === name);
      return !group || group.instances.every(up);
    };
    const wanted = new Map(
      model.staticAddresses
        .filter(({ trackGroup }) => groupUp(trackGroup))
        .map(place)
        .map((one) => [placeKey(one), one]),
    );
    const gone = [...this.#placed].filter(([key]) => !wanted.has(key)).map(([, address]) => address);
    const fresh = [...wanted].filter(([key]) => !this.#placed.has(key)).map(([, address]) => address);
    if (gone.length > 0) this.#addresses.remove(gone);
    if (fresh.length > 0) this.#addresses.add(fresh);
    this.#placed = wanted;

    const items = new Map<string, { routes: VirtualRoute[]; rules: VirtualRule[] }>();
    for (const route of model.staticRoutes) {
      if (groupUp(route.trackGroup)) items.set(textOf(route), { routes: [route], rules: [] });
    }
    for (const rule of model.staticRules) {
      if (groupUp(rule.trackGroup)) items.set(textOf(rule), { routes: [], rules: [rule] });
    }
    for (const [key, { routes, rules }] of this.#inPlace)
      if (!items.has(key)) this.#routes.removeAll(routes, rules);
    for (const [key, { routes, rules }] of items)
      if (!this.#inPlace.has(key)) this.#routes.addAll(routes, rules);
    this.#inPlace = items;
  }

  remove(): void {
    for (const { routes, rules } of this.#inPlace.values()) this.#routes.removeAll(routes, rules);
    this.#addresses.remove([...this.#placed.values()]);
    this.#inPlace.clear();
    this.#placed.clear();
  }
}

function place(spec: VirtualAddress): PlacedAddress {
  return { spec, interface: spec.interface ?? '' };
}

function textOf(item: VirtualRoute | VirtualRule): string {
  return JSON.stringify(item, (_key, value: unknown) => (typeof value === 'bigint' ? `${value}n` : value));
}
