import { AF_INET, AF_INET6 } from '../libc.js';
import {
  attributes,
  HEADER_LENGTH,
  type Message,
  MessageWriter,
  NLM_F_APPEND,
  NLM_F_CREATE,
  NLM_F_EXCL,
  NLM_F_REPLACE,
} from './message.js';
import type { NetlinkSocket } from './socket.js';

const RTM_NEWROUTE = 24;
const RTM_DELROUTE = 25;
const RTM_GETROUTE = 26;

const RTA_DST = 1;
const RTA_SRC = 2;
const RTA_OIF = 4;
const RTA_GATEWAY = 5;
const RTA_PRIORITY = 6;
const RTA_PREFSRC = 7;
const RTA_METRICS = 8;
const RTA_MULTIPATH = 9;
const RTA_FLOW = 11;
const RTA_TABLE = 15;
const RTA_VIA = 18;
const RTA_PREF = 20;
const RTA_ENCAP_TYPE = 21;
const RTA_ENCAP = 22;
const RTA_EXPIRES = 23;
const RTA_TTL_PROPAGATE = 26;

const RTAX_LOCK = 1;
const RTNH_F_ONLINK = 4;
const LARGEST_TABLE_IN_HEADER = 255;
/** struct rtmsg, and the header of an attribute, bytes. */
const BODY_LENGTH = 12;
const ATTRIBUTE_HEADER = 4;

/** Numbers of route types (linux/rtnetlink.h RTN_*). */
export const routeTypes = {
  unicast: 1,
  local: 2,
  broadcast: 3,
  anycast: 4,
  multicast: 5,
  blackhole: 6,
  unreachable: 7,
  prohibit: 8,
  throw: 9,
  nat: 10,
  xresolve: 11,
} as const;

/** Metrics of a route (RTAX_*) that are plain numbers, by name. */
export const routeMetrics = {
  mtu: 2,
  window: 3,
  rtt: 4,
  rttvar: 5,
  ssthresh: 6,
  cwnd: 7,
  advmss: 8,
  reordering: 9,
  hoplimit: 10,
  initcwnd: 11,
  features: 12,
  rtoMin: 13,
  initrwnd: 14,
  quickack: 15,
  fastopenNoCookie: 17,
} as const;
const RTAX_CC_ALGO = 16;

export type RouteEncapsulation =
  | { kind: 'mpls'; labels: number[] }
  | {
      kind: 'ip' | 'ip6';
      id?: bigint;
      destination?: Uint8Array;
      source?: Uint8Array;
      tos?: number;
      ttl?: number;
      flags?: number;
    }
  | { kind: 'ila'; locator: bigint };

const encapsulationTypes = { mpls: 1, ip: 2, ila: 3, ip6: 4 } as const;

export interface RouteHop {
  /** 4 or 16 bytes. */
  gateway?: Uint8Array;
  /** Index of the interface. */
  index?: number;
  onlink?: boolean;
  /** 1..256. */
  weight?: number;
  realms?: number;
  encapsulation?: RouteEncapsulation;
}

export interface Route extends RouteHop {
  family: 'ipv4' | 'ipv6';
  type: keyof typeof routeTypes;
  /** Absent: the default route. */
  destination?: { address: Uint8Array; prefixLength: number };
  from?: { address: Uint8Array; prefixLength: number };
  /** Preferred source. */
  source?: Uint8Array;
  tos?: number;
  table: number;
  protocol: number;
  scope: number;
  metric?: number;
  metrics?: Partial<Record<keyof typeof routeMetrics, number>>;
  congestionControl?: string;
  /** Mask of RTAX_* that path changes must not touch. */
  locked?: number;
  /** Seconds. */
  expires?: number;
  /** 0 medium, 1 high, 3 low (RFC 4191 2.1). */
  preference?: number;
  ttlPropagate?: boolean;
  hops?: RouteHop[];
}

const modes = {
  add: NLM_F_CREATE | NLM_F_EXCL,
  append: NLM_F_CREATE | NLM_F_APPEND,
  prepend: NLM_F_CREATE,
  replace: NLM_F_CREATE | NLM_F_REPLACE,
} as const;

/** Request that adds a route. */
export function addRouteRequest(route: Route, mode: keyof typeof modes = 'add'): MessageWriter {
  return routeRequest(RTM_NEWROUTE, modes[mode], route);
}

/** Request that removes a route. */
export function deleteRouteRequest(route: Route): MessageWriter {
  return routeRequest(RTM_DELROUTE, 0, route);
}

/**
 * Requests for many routes that differ in their destination alone: half the work of each for itself while the compiler has not
 * seen them often.
 * @param route the first of them
 * @param mode how it is added, or that it is removed
 * @returns the request for a destination whose address has the same length
 */
export function routeRequests(
  route: Route & { destination: NonNullable<Route['destination']> },
  mode: keyof typeof modes | 'delete',
): (address: Uint8Array) => MessageWriter {
  const first = mode === 'delete' ? deleteRouteRequest(route) : addRouteRequest(route, mode);
  // The destination is the first attribute behind the fixed structure.
  return (address) => first.copy(HEADER_LENGTH + BODY_LENGTH + ATTRIBUTE_HEADER, address);
}

/** A route as far as it tells whose it is and where it leads. */
export interface ListedRoute {
  family: 'ipv4' | 'ipv6';
  destination: { address: Uint8Array; prefixLength: number };
  table: number;
  protocol: number;
  /** Index of the interface; absent for routes with several next hops or none. */
  index: number | undefined;
}

/** All routes of one protocol number, both families, all tables. */
export function listRoutes(netlink: NetlinkSocket, protocol: number): ListedRoute[] {
  const routes: ListedRoute[] = [];
  for (const family of [AF_INET, AF_INET6]) {
    const body = Buffer.alloc(12);
    body[0] = family;
    for (const message of netlink.dump(new MessageWriter(RTM_GETROUTE, 0, body))) {
      const route = decodeRoute(message);
      if (route?.protocol === protocol) routes.push(route);
    }
  }
  return routes;
}

function decodeRoute({ type, body }: Message): ListedRoute | undefined {
  if (type !== RTM_NEWROUTE || body.length < 12) return undefined;
  const family = body[0] === AF_INET ? 'ipv4' : 'ipv6';
  const found = attributes(body, 12);
  const address = found.get(RTA_DST) ?? new Uint8Array(family === 'ipv4' ? 4 : 16);
  return {
    family,
    destination: { address: new Uint8Array(address), prefixLength: body[1]! },
    table: found.get(RTA_TABLE)?.readUInt32LE(0) ?? body[4]!,
    protocol: body[5]!,
    index: found.get(RTA_OIF)?.readUInt32LE(0),
  };
}

function routeRequest(type: number, flags: number, route: Route): MessageWriter {
  const body = Buffer.alloc(BODY_LENGTH);
  body[0] = route.family === 'ipv4' ? AF_INET : AF_INET6;
  body[1] = route.destination?.prefixLength ?? 0;
  body[2] = route.from?.prefixLength ?? 0;
  body[3] = route.tos ?? 0;
  body[4] = route.table <= LARGEST_TABLE_IN_HEADER ? route.table : 0;
  body[5] = route.protocol;
  body[6] = route.scope;
  body[7] = routeTypes[route.type];
  body.writeUInt32LE(route.onlink ? RTNH_F_ONLINK : 0, 8);
  const request = new MessageWriter(type, flags, body);
  if (route.destination) request.bytes(RTA_DST, route.destination.address);
  if (route.from) request.bytes(RTA_SRC, route.from.address);
  if (route.table > LARGEST_TABLE_IN_HEADER) request.u32(RTA_TABLE, route.table);
  if (route.source) request.bytes(RTA_PREFSRC, route.source);
  if (route.metric !== undefined) request.u32(RTA_PRIORITY, route.metric);
  hopAttributes(request, route, route.family);
  if (route.index !== undefined) request.u32(RTA_OIF, route.index);
  const metrics = Object.entries(route.metrics ?? {}) as [keyof typeof routeMetrics, number][];
  if (metrics.length > 0 || route.congestionControl !== undefined) {
    request.nest(RTA_METRICS, (nested) => {
      if (route.locked) nested.u32(RTAX_LOCK, route.locked);
      for (const [name, value] of metrics) nested.u32(routeMetrics[name], value);
      if (route.congestionControl !== undefined) nested.text(RTAX_CC_ALGO, route.congestionControl);
    });
  }
  if (route.expires !== undefined) request.u32(RTA_EXPIRES, route.expires);
  if (route.preference !== undefined) request.u8(RTA_PREF, route.preference);
  if (route.ttlPropagate !== undefined) request.u8(RTA_TTL_PROPAGATE, route.ttlPropagate ? 1 : 0);
  if (route.hops && route.hops.length > 0) {
    request.nest(RTA_MULTIPATH, (nested) => {
      for (const hop of route.hops!) {
        // struct rtnexthop: length, flags, weight - 1, interface; its attributes follow.
        const start = nested.length;
        const head = Buffer.alloc(8);
        head[2] = hop.onlink ? RTNH_F_ONLINK : 0;
        head[3] = (hop.weight ?? 1) - 1;
        head.writeInt32LE(hop.index ?? 0, 4);
        nested.raw(head);
        hopAttributes(nested, hop, route.family);
        nested.patchU16(start, nested.length - start);
      }
    });
  }
  return request;
}

function hopAttributes(request: MessageWriter, hop: RouteHop, family: 'ipv4' | 'ipv6'): void {
  if (hop.gateway) {
    const own = (hop.gateway.length === 4) === (family === 'ipv4');
    if (own) {
      request.bytes(RTA_GATEWAY, hop.gateway);
    } else {
      // A gateway of the other family (RFC 5549): struct rtvia.
      const head = Buffer.alloc(2);
      head.writeUInt16LE(hop.gateway.length === 4 ? AF_INET : AF_INET6);
      request.bytes(RTA_VIA, Buffer.concat([head, hop.gateway]));
    }
  }
  if (hop.realms !== undefined) request.u32(RTA_FLOW, hop.realms);
  if (hop.encapsulation) encapsulate(request, hop.encapsulation);
}

function encapsulate(request: MessageWriter, encapsulation: RouteEncapsulation): void {
  request.u16(RTA_ENCAP_TYPE, encapsulationTypes[encapsulation.kind]);
  request.nest(RTA_ENCAP, (nested) => {
    switch (encapsulation.kind) {
      case 'mpls': {
        const stack = Buffer.alloc(4 * encapsulation.labels.length);
        for (const [i, label] of encapsulation.labels.entries()) {
          const bottom = i === encapsulation.labels.length - 1 ? 0x100 : 0;
          stack.writeUInt32BE(((label << 12) | bottom) >>> 0, 4 * i);
        }
        nested.bytes(1, stack);
        break;
      }
      case 'ila':
        nested.u64be(1, encapsulation.locator);
        break;
      default: {
        if (encapsulation.id !== undefined) nested.u64be(1, encapsulation.id);
        if (encapsulation.destination) nested.bytes(2, encapsulation.destination);
        if (encapsulation.source) nested.bytes(3, encapsulation.source);
        if (encapsulation.ttl !== undefined) nested.u8(4, encapsulation.ttl);
        if (encapsulation.tos !== undefined) nested.u8(5, encapsulation.tos);
        if (encapsulation.flags !== undefined) nested.u16(6, encapsulation.flags);
      }
    }
  });
}
