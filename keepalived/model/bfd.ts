/** A BFD session of the configuration (`bfd_instance`). Durations in milliseconds with fractions down to the microsecond. */
export interface BfdInstance {
  name: string;
  neighbourIp: string;
  sourceIp?: string;
  minRx: number;
  minTx: number;
  idleTx: number;
  multiplier: number;
  passive: boolean;
  /** TTL or hop limit of what we send, 1..255. */
  ttl: number;
  /** Hops that a received packet may have made; -1: any. */
  maxHops: number;
  /** UDP port 4784 (RFC 5883) instead of 3784. */
  multihop: boolean;
  /** Who hears of the session's state. */
  vrrp: boolean;
  checker: boolean;
  weight: number;
  reverse: boolean;
}

export interface BfdModel {
  sessions: BfdInstance[];
}
