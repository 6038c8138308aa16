/** Where OSPF runs, as far as `ospf-bridge setup` writes it into the routing daemon's configuration. */
export interface OspfInterface {
  name: string;
  /** `0`, `0.0.0.0`. */
  area: string;
  /** Seconds. */
  hello: number;
  /** Seconds; with `minimal` hellos go out that many times a second and the dead interval is one second. */
  dead: number;
  minimal?: number;
  /** Milliseconds between BFD packets, three of which may be missed; absent: no BFD. */
  bfd?: number;
}

export type RouterKind = 'frr' | 'quagga' | 'bird';

/** How virtual addresses are announced through a routing daemon (`ospf_bridge`). Durations in milliseconds. */
export interface OspfBridge {
  router: RouterKind;
  /** `external`: kernel routes that the daemon redistributes. `intra_area`: addresses on the loopback device. */
  announce: 'external' | 'intra_area';
  /** What a virtual address needs to be announced, besides a dataplane that lives. */
  when: 'always' | 'quorum' | 'master';
  /** Whether all services of an address must have quorum, or any of them. */
  services: 'all' | 'any';
  /** How long an address that was lost must be well before it is announced again. */
  hold: number;
  /** Least time between two changes of one address. */
  spacing: number;
  /** Addresses that come and go again and again are left out for a while. */
  damping: boolean;
  metric: number;
  metricType: 1 | 2;
  drainMetric: number;
  drainInterface: string;
  /** Protocol number of our routes and addresses. */
  protocol: number;
  /** How long announcements outlive a front door that is dead; 0: for ever. */
  guardTime: number;
  /** Addresses to be announced besides those of virtual servers. */
  addresses: string[];
  /** Prefixes that `setup` permits in the route-map; empty: the addresses one by one. */
  prefixes: string[];
  /** Control socket of the bridge. */
  socket: string;
  /** Folder of the VTY sockets, or BIRD's control socket; absent: where the distribution has it. */
  vty?: string;
  /** Telnet VTY instead of the Unix socket. */
  telnet?: { host: string; port: number; port6: number };
  password?: string;
  enablePassword?: string;
  routerId?: string;
  interfaces: OspfInterface[];
}

export const DEFAULT_BRIDGE_SOCKET = '/run/ospf-bridge.sock';
/** Where FRR's packages put the VTY sockets. */
export const DEFAULT_FRR_FOLDER = '/run/frr';

export function defaultOspfBridge(): OspfBridge {
  return {
    router: 'frr',
    announce: 'external',
    when: 'quorum',
    services: 'all',
    hold: 0,
    spacing: 1500,
    damping: true,
    metric: 20,
    metricType: 1,
    drainMetric: 5000,
    drainInterface: 'drain0',
    protocol: 201,
    guardTime: 60_000,
    addresses: [],
    prefixes: [],
    socket: DEFAULT_BRIDGE_SOCKET,
    interfaces: [],
  };
}
