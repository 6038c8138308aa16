/** An address in both families. */
export interface Pair {
  v4: string;
  v6: string;
}

export type Family = keyof Pair;
export const families: readonly Family[] = ['v4', 'v6'];

/** One network of the lab: the first parts of its addresses, /24 and /64. */
class Net {
  constructor(
    readonly v4: string,
    readonly v6: string,
  ) {}

  at(host: number): Pair {
    return { v4: `${this.v4}.${host}`, v6: `${this.v6}::${host}` };
  }

  /** The network itself, as a prefix. */
  get prefix(): Pair {
    return { v4: `${this.v4}.0/24`, v6: `${this.v6}::/64` };
  }
}

/**
 * Who has which address. The client sits behind a router, as clients do; the director's first port is on the outer network.
 * With two arms the servers are on the inner network at the director's second port, with one arm on the outer one.
 */
export interface Plan {
  arms: 1 | 2;
  /** Devices of the director: towards the clients and towards the servers. */
  outerDevice: string;
  innerDevice: string;
  outer: Net;
  inner: Net;
  client: Pair;
  /** The client network's prefix, which lies behind the router. */
  clientNet: Pair;
  clientGateway: Pair;
  /** The router's addresses on the director's networks. */
  outerRouter: Pair;
  innerRouter: Pair;
  /** The director's own addresses. */
  outerDirector: Pair;
  innerDirector: Pair;
  /** The director's kernel has this address in the servers' network, on the twin of the inner port: health checks come from it. */
  twin: Pair;
  virtual: Pair;
  /** Source addresses of FullNAT towards the servers. */
  locals: Pair[];
  servers: Pair[];
  /** A server behind the router, reached over a path with a smaller MTU. */
  far: Pair;
  farNet: Pair;
  farGateway: Pair;
}

/** The lab's addresses for one or two arms and a number of servers (1-9). */
export function planOf(arms: 1 | 2, servers: number): Plan {
  const clients = new Net('10.1.0', 'fd00:1');
  const outer = new Net('192.168.100', 'fd00:100');
  const inner = arms === 2 ? new Net('192.168.200', 'fd00:200') : outer;
  const far = new Net('10.3.0', 'fd00:3');
  return {
    arms,
    outerDevice: 'dpdk0',
    innerDevice: arms === 2 ? 'dpdk1' : 'dpdk0',
    outer,
    inner,
    client: clients.at(2),
    clientNet: clients.prefix,
    clientGateway: clients.at(1),
    outerRouter: outer.at(1),
    innerRouter: inner.at(1),
    outerDirector: outer.at(2),
    innerDirector: inner.at(2),
    twin: inner.at(3),
    virtual: outer.at(254),
    locals: [inner.at(240), inner.at(241)],
    servers: Array.from({ length: servers }, (_, index) => inner.at(11 + index)),
    far: far.at(2),
    farNet: far.prefix,
    farGateway: far.at(1),
  };
}

/** `ADDRESS:PORT` or `[ADDRESS]:PORT`, as ipvsadm and URLs write it. */
export function endpoint(address: string, port: number): string {
  return address.includes(':') ? `[${address}]:${port}` : `${address}:${port}`;
}
