import type {
  Encapsulation,
  LockableMetric,
  NextHop,
  VirtualRoute,
  VirtualRule,
  VrrpInstance,
} from '../keepalived/model/vrrp.js';
import { parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import {
  addRouteRequest,
  deleteRouteRequest,
  type Route,
  type RouteEncapsulation,
  type RouteHop,
  routeMetrics,
} from '../lib/netlink/route.js';
import { addRuleRequest, deleteRuleRequest, type Rule } from '../lib/netlink/rule.js';
import type { NetlinkSocket } from '../lib/netlink/socket.js';
import type { Interfaces } from './interfaces.js';
import { PROTOCOL_KEEPALIVED } from './kernel-addresses.js';
import type { RouteSink } from './virtual-router.js';

const TABLE_MAIN = 254;
const TABLE_LOCAL = 255;
const SCOPE_UNIVERSE = 0;
const SCOPE_LINK = 253;
const SCOPE_HOST = 254;
const FEATURE_ECN = 1;
const preferences = { medium: 0, high: 1, low: 3 } as const;

/** Virtual routes and rules in the kernel. */
export class KernelRoutes implements RouteSink {
  readonly #netlink: NetlinkSocket;
  readonly #interfaces: Interfaces;
  readonly #log: Log;

  constructor(netlink: NetlinkSocket, interfaces: Interfaces, log: Log) {
    this.#netlink = netlink;
    this.#interfaces = interfaces;
    this.#log = log;
  }

  add(instance: VrrpInstance): void {
    this.addAll(instance.virtualRoutes, instance.virtualRules);
  }

  remove(instance: VrrpInstance): void {
    this.removeAll(instance.virtualRoutes, instance.virtualRules);
  }

  addAll(routes: readonly VirtualRoute[], rules: readonly VirtualRule[]): void {
    const made = routes.map((route) => addRouteRequest(kernelRoute(route, this.#index), route.mode));
    const errors = this.#netlink.batch([...made, ...rules.map((rule) => addRuleRequest(kernelRule(rule)))]);
    for (const [i, error] of errors.entries()) {
      // It may have been left by a crash, or be the operator's own.
      if (error && error.code !== 'EEXIST')
        this.#log.error(`cannot add ${this.#name(i, routes, rules)}: ${error.message}`);
    }
  }

  /** Rules first: they may point to tables that the routes fill. */
  removeAll(routes: readonly VirtualRoute[], rules: readonly VirtualRule[]): void {
    const made = rules.map((rule) => deleteRuleRequest(kernelRule(rule)));
    const gone = routes.map((route) => deleteRouteRequest(kernelRoute(route, this.#index)));
    const errors = this.#netlink.batch([...made, ...gone]);
    for (const error of errors) {
      if (error && !['ESRCH', 'ENOENT', 'ENODEV', 'EINVAL'].includes(error.code)) {
        this.#log.warning(`cannot remove a route or rule: ${error.message}`);
      }
    }
  }

  #index = (name: string): number => this.#interfaces.get(name)?.link.index ?? 0;

  #name(i: number, routes: readonly VirtualRoute[], rules: readonly VirtualRule[]): string {
    const route = routes[i];
    if (route) {
      const { destination } = route;
      return `route to ${destination ? `${destination.address}/${destination.prefixLength}` : 'default'}`;
    }
    return `rule ${rules[i - routes.length]?.priority ?? ''}`;
  }
}

function kernelRoute(route: VirtualRoute, index: (name: string) => number): Route {
  const metrics: Partial<Record<keyof typeof routeMetrics, number>> = {};
  let locked = 0;
  const lockable = (name: keyof typeof routeMetrics, metric: LockableMetric | undefined, factor = 1) => {
    if (!metric) return;
    metrics[name] = Math.round(metric.value * factor);
    if (metric.lock) locked |= 1 << routeMetrics[name];
  };
  lockable('mtu', route.mtu);
  lockable('advmss', route.advmss);
  // The kernel keeps smoothed round trip times in eighths and their variance in quarters of a millisecond.
  lockable('rtt', route.rtt, 8);
  lockable('rttvar', route.rttvar, 4);
  lockable('reordering', route.reordering);
  lockable('cwnd', route.cwnd);
  lockable('ssthresh', route.ssthresh);
  lockable('rtoMin', route.rtoMin);
  if (route.hopLimit !== undefined) metrics.hoplimit = route.hopLimit;
  if (route.window !== undefined) metrics.window = route.window;
  if (route.initcwnd !== undefined) metrics.initcwnd = route.initcwnd;
  if (route.initrwnd !== undefined) metrics.initrwnd = route.initrwnd;
  if (route.ecn) metrics.features = FEATURE_ECN;
  if (route.quickAck !== undefined) metrics.quickack = route.quickAck ? 1 : 0;
  if (route.fastOpenNoCookie !== undefined) metrics.fastopenNoCookie = route.fastOpenNoCookie ? 1 : 0;
  if (route.congestionControl?.lock) locked |= 1 << 16;
  const local = route.type === 'local' || route.type === 'nat';
  const direct = route.type === 'unicast' && route.via === undefined && route.nextHops.length === 0;
  const scope =
    route.family === 'ipv6' ? SCOPE_UNIVERSE : local ? SCOPE_HOST : direct ? SCOPE_LINK : SCOPE_UNIVERSE;
  const outgoing = route.interface ?? route.vrf;
  return {
    family: route.family,
    type: route.type,
    table:
      route.table ??
      (['local', 'broadcast', 'nat', 'anycast'].includes(route.type) ? TABLE_LOCAL : TABLE_MAIN),
    protocol: route.protocol ?? PROTOCOL_KEEPALIVED,
    scope: route.scope ?? scope,
    metrics,
    locked,
    onlink: route.onlink,
    ...(route.destination ? { destination: prefix(route.destination) } : {}),
    ...(route.from ? { from: prefix(route.from) } : {}),
    ...(route.source === undefined ? {} : { source: parseIp(route.source) }),
    ...(route.tos === undefined ? {} : { tos: route.tos }),
    ...(route.metric === undefined ? {} : { metric: route.metric }),
    ...(route.via === undefined ? {} : { gateway: parseIp(route.via) }),
    ...(outgoing === undefined ? {} : { index: index(outgoing) }),
    ...(route.realms === undefined ? {} : { realms: route.realms }),
    ...(route.encap ? { encapsulation: encapsulation(route.encap) } : {}),
    ...(route.congestionControl ? { congestionControl: route.congestionControl.name } : {}),
    ...(route.expires === undefined ? {} : { expires: route.expires }),
    ...(route.preference === undefined ? {} : { preference: preferences[route.preference] }),
    ...(route.ttlPropagate === undefined ? {} : { ttlPropagate: route.ttlPropagate }),
    hops: route.nextHops.map((hop) => kernelHop(hop, index)),
  };
}

function kernelHop(hop: NextHop, index: (name: string) => number): RouteHop {
  return {
    weight: hop.weight,
    onlink: hop.onlink,
    ...(hop.via === undefined ? {} : { gateway: parseIp(hop.via) }),
    ...(hop.interface === undefined ? {} : { index: index(hop.interface) }),
    ...(hop.realms === undefined ? {} : { realms: hop.realms }),
    ...(hop.encap ? { encapsulation: encapsulation(hop.encap) } : {}),
  };
}

function encapsulation(encap: Encapsulation): RouteEncapsulation {
  switch (encap.kind) {
    case 'mpls':
    case 'ila':
      return encap;
    case 'ip':
    case 'ip6': {
      const tos = encap.kind === 'ip' ? encap.tos : encap.trafficClass;
      const ttl = encap.kind === 'ip' ? encap.ttl : encap.hopLimit;
      return {
        kind: encap.kind,
        ...(encap.id === undefined ? {} : { id: encap.id }),
        ...(encap.destination === undefined ? {} : { destination: parseIp(encap.destination) }),
        ...(encap.source === undefined ? {} : { source: parseIp(encap.source) }),
        ...(tos === undefined ? {} : { tos }),
        ...(ttl === undefined ? {} : { ttl }),
        ...(encap.flags === undefined ? {} : { flags: encap.flags }),
      };
    }
  }
}

function kernelRule(rule: VirtualRule): Rule {
  const { from, to, gotoTarget, noTrack: _noTrack, trackGroup: _trackGroup, protocol, ...same } = rule;
  return {
    ...same,
    protocol: protocol ?? PROTOCOL_KEEPALIVED,
    ...(from ? { from: prefix(from) } : {}),
    ...(to ? { to: prefix(to) } : {}),
    ...(gotoTarget === undefined ? {} : { target: gotoTarget }),
  };
}

function prefix({ address, prefixLength }: { address: string; prefixLength: number }): {
  address: Uint8Array;
  prefixLength: number;
} {
  return { address: parseIp(address), prefixLength };
}
