/** The network of all scenes: clients behind port 0, servers behind port 1, whose links are narrower. */
import type { Fate } from '../scene.js';

export type Family = 4 | 6;

export const CLIENT_SIDE = 0;
export const SERVER_SIDE = 1;
export const MTU = { [CLIENT_SIDE]: 1500, [SERVER_SIDE]: 1400 };
export const CLIENT_PORT = 40000;
export const VIRTUAL_PORT = 80;
export const SERVER_PORT = 8080;
/** The only port of the local address that is free. */
export const LOCAL_PORT = 5000;

export const MAC = {
  client: '02:00:00:00:01:09',
  router: '02:00:00:00:01:01',
  server: '02:00:00:00:02:01',
  inner: '02:00:00:00:02:fd',
};

export interface World {
  family: Family;
  client: string;
  /** A client behind the router. */
  remote: string;
  /** On the client side. */
  router: string;
  /** On the server side. */
  inner: string;
  /** Our address on the client side. */
  own: string;
  /** Our address on the server side. */
  ownInner: string;
  vip: string;
  local: string;
  server: string;
  /** On the server side, and never answers ARP. */
  silent: string;
  /** An address that no route leads to. */
  nowhere: string;
  /** Bytes of an IP header. */
  header: number;
  icmp: 'icmp' | 'icmpv6';
  ports: string[];
  /** Addresses, routes and neighbours; without the local address. */
  network: string[];
}

export function world(family: Family): World {
  const at =
    family === 4
      ? (net: number, host: number) => `10.${net}.0.${host}`
      : (net: number, host: number) => `2001:db8:${net}::${host.toString(16)}`;
  const subnet = family === 4 ? 24 : 64;
  const host = family === 4 ? 32 : 128;
  const named = {
    client: at(1, 9),
    remote: family === 4 ? '198.51.100.7' : '2001:db8:f000::7',
    router: at(1, 1),
    inner: at(2, 253),
    own: at(1, 254),
    ownInner: at(2, 254),
    vip: at(1, 100),
    local: at(2, 200),
    server: at(2, 1),
    silent: at(2, 66),
    nowhere: family === 4 ? '203.0.113.1' : '2001:db9::1',
  };
  return {
    family,
    ...named,
    header: family === 4 ? 20 : 40,
    icmp: family === 4 ? 'icmp' : 'icmpv6',
    ports: [
      `port 0 mac 02:00:00:00:00:10 mtu ${MTU[CLIENT_SIDE]}`,
      `port 1 mac 02:00:00:00:00:11 mtu ${MTU[SERVER_SIDE]}`,
    ],
    network: [
      `address ${named.own}/${subnet} ${CLIENT_SIDE}`,
      `address ${named.vip}/${host} ${CLIENT_SIDE}`,
      `address ${named.ownInner}/${subnet} ${SERVER_SIDE}`,
      `route ${family === 4 ? '198.51.100.0/24' : '2001:db8:f000::/36'} ${named.router} ${CLIENT_SIDE}`,
      `neighbour ${named.client} ${CLIENT_SIDE} ${MAC.client}`,
      `neighbour ${named.router} ${CLIENT_SIDE} ${MAC.router}`,
      `neighbour ${named.server} ${SERVER_SIDE} ${MAC.server}`,
      `neighbour ${named.inner} ${SERVER_SIDE} ${MAC.inner}`,
    ],
  };
}

export function toServer(bytes: Uint8Array): Fate {
  return { verdict: 'forward', port: SERVER_SIDE, mac: MAC.server, bytes };
}

export function toClient(bytes: Uint8Array): Fate {
  return { verdict: 'forward', port: CLIENT_SIDE, mac: MAC.client, bytes };
}

export function dropped(reason: string): Fate {
  return { verdict: 'drop', reason };
}

/** Counters of the first server for a packet of this many bytes. */
export function counted(direction: 'in' | 'out', bytes: Uint8Array, more: Record<string, number> = {}) {
  return { [`1.${direction}_packets`]: 1, [`1.${direction}_bytes`]: bytes.length, ...more };
}

export const OPENED = { '1.connections': 1, '1.inactive': 1 };
export const ESTABLISHED = { '1.active': 1, '1.inactive': -1 };
export const INACTIVE = { '1.active': -1, '1.inactive': 1 };
