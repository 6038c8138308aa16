import type { Script } from './script.js';

/**
 * The load-balancing part of keepalived.conf as the health checker takes it: plain data, every default and inheritance
 * (checker <- real_server <- virtual_server <- built-in) already applied, names resolved. All of it survives JSON and
 * structuredClone.
 *
 * Units and forms, everywhere: times in milliseconds (may be fractional), weights integers, addresses as normalised text
 * (IPv4 dotted, IPv6 compressed lower-case RFC 5952), ports 0..65535 with 0 for "no port", byte strings as lower-case hex.
 */
export interface LoadBalancing {
  engine: EngineSettings;
  /** In the order of the file. */
  virtualServers: VirtualServer[];
  /** By name. Referenced by `target.kind === 'group'`. */
  groups: Record<string, GroupEntry[]>;
  /** By name: DPVS local_address_group, deny_address_group, allow_address_group; tunnel_group's entries. */
  localAddressGroups: Record<string, LocalAddressRange[]>;
  denyAddressGroups: Record<string, AddressListEntry[]>;
  allowAddressGroups: Record<string, AddressListEntry[]>;
  tunnels: Tunnel[];
  /** By name: track_file / vrrp_track_file, for FILE_CHECK. */
  trackFiles: Record<string, TrackFile>;
  /** SSL { } block, for SSL_GET. */
  ssl?: SslContext;
}

/**
 * Settings of `global_defs` that only this suite has. Everything else of `global_defs` (time-outs, flush, log_all_failures ...) is
 * in Global.
 */
export interface EngineSettings {
  /** checker_share_probes: one probe for identical checks of one endpoint; default true. */
  shareProbes: boolean;
  /** lvs_director: who gets the servers. `path` is the control socket; default DPVS_IPC_FILE or /var/run/dpvs.ipc. */
  director: { driver: 'dpvsd' | 'dry-run'; path?: string };
}

export type Protocol = 'TCP' | 'UDP' | 'SCTP' | 'ICMP' | 'ICMPV6';

/** What a virtual server answers for. */
export type Target =
  | { kind: 'address'; address: string; port: number }
  | { kind: 'fwmark'; mark: number; family: 4 | 6 }
  | { kind: 'group'; name: string }
  /** DPVS SNAT selector; ranges as written (`a.b.c.d-e.f.g.h` or `a.b.c.d-e.f.g.h:port-port`), empty = any. */
  | { kind: 'match'; name: string; sourceRange: string; destinationRange: string; iif: string; oif: string };

export type GroupEntry =
  /** All addresses first..last inclusive, one service each. */
  | { kind: 'addresses'; first: string; last: string; port: number }
  | { kind: 'fwmark'; mark: number; family: 4 | 6 };

/** lb_kind / lvs_method, with the parameters of `TUN type ...`. */
export interface Forwarding {
  method: 'NAT' | 'DR' | 'TUN' | 'FNAT' | 'SNAT';
  /** Only with TUN; default ipip without checksum. `port` only with gue. */
  tunnel?: { type: 'ipip' | 'gue' | 'gre'; port: number; checksum: 'none' | 'csum' | 'remcsum' };
}

export interface VirtualServer {
  target: Target;
  /** Of address, group and match targets; default UDP (as keepalived). */
  protocol: Protocol;
  /** ip_family for fwmark, else that of the addresses. */
  family: 4 | 6;
  /** lb_algo; default wlc. rr wrr lc wlc lblc lblcr sh mh dh fo ovf sed nq twos conhash. */
  scheduler: string;
  /** flag-1..3 and their spellings: sh-fallback, mh-fallback = 1; sh-port, mh-port = 2; DPVS `hashed` = 2. */
  schedulerFlags: { flag1: boolean; flag2: boolean; flag3: boolean };
  /** One-packet scheduling, UDP only; default false. */
  ops: boolean;
  /** lb_kind; default NAT. A server's own is in RealServer.forwarding. */
  forwarding: Forwarding;
  /** persistence_timeout; 0 = none. */
  persistenceTimeout: number;
  /** persistence_granularity: IPv4 netmask (255.255.255.255) or IPv6 prefix length as text; absent = whole address. */
  persistenceGranularity?: string;
  /** persistence_engine; only `sip` is known. */
  persistenceEngine?: string;

  /** Default Host of HTTP_GET and SSL_GET. */
  virtualHost?: string;
  snmpName?: string;
  /** Servers start down until checked, and the service starts without quorum; default false. */
  alpha: boolean;
  /** Run down notifies at shutdown; default false. */
  omega: boolean;
  haSuspend: boolean;
  /** Mail about quorum changes; already resolved: smtp_alert, smtp_alert_checker, else false. */
  smtpAlert: boolean;
  /** Sum of weights needed; default 1, already limited to the sum of the weights of the servers. */
  quorum: number;
  /** 0..quorum-1; default 0. */
  hysteresis: number;
  quorumUp?: Script;
  quorumDown?: Script;
  sorryServer?: SorryServer;
  realServers: RealServer[];

  /** What this virtual server hands down to its servers and their checkers (already applied there); kept for dumps. */
  inherited: {
    delayLoop: number;
    connectTimeout: number;
    retry?: number;
    delayBeforeRetry?: number;
    warmup?: number;
    weight: number;
    inhibitOnFailure: boolean;
  };

  /** DPVS items. */
  synProxy: boolean;
  expireQuiescent: boolean;
  quic: boolean;
  /** Only with conhash; default sip. */
  hashTarget: 'sip' | 'qid';
  /** Default `none`. Also prefixes HTTP_GET, SSL_GET and the default UDP_CHECK payload. */
  proxyProtocol: 'none' | 'v1' | 'v2' | 'v1-insecure' | 'v2-insecure';
  /** establish_timeout, 1..3600 s; absent = the dataplane's own. */
  establishTimeout?: number;
  /** bps: bandwidth value handed to the service; default 0 = unlimited. */
  bps: number;
  /** limit_proportion, percent; default 100. */
  limitProportion: number;
  vipBindDevice?: string;
  /** laddr_group_name, daddr_group_name, waddr_group_name. */
  localAddressGroup?: string;
  denyAddressGroup?: string;
  allowAddressGroup?: string;
}

export interface SorryServer {
  address: string;
  port: number;
  forwarding: Forwarding;
  /** Weight 0 instead of removal while the real servers have quorum. */
  inhibit: boolean;
}

export interface RealServer {
  address: string;
  port: number;
  forwarding: Forwarding;
  /** 0..2147483647; default the virtual server's `weight`, 1. */
  weight: number;
  /** Connection thresholds; 0 = none. */
  upperThreshold: number;
  lowerThreshold: number;
  /** Weight 0 instead of removal when down; default the virtual server's, false. */
  inhibitOnFailure: boolean;
  /** Starts down; default the virtual server's. What counts is each checker's own `alpha`. */
  alpha: boolean;
  notifyUp?: Script;
  notifyDown?: Script;
  /** Already resolved: smtp_alert, smtp_alert_checker, else true. */
  smtpAlert: boolean;
  virtualHost?: string;
  snmpName?: string;
  checkers: Checker[];
}

export type Checker =
  | TcpCheck
  | UdpCheck
  | PingCheck
  | HttpCheck
  | SmtpCheck
  | DnsCheck
  | MiscCheck
  | FileCheck
  | BfdCheck;
export type CheckerKind = Checker['kind'];

/** When a checker runs and how many failures it forgives. */
export interface CheckTiming {
  /** Retries before a server that was up counts as down. TCP, UDP, PING, SMTP, HTTP, SSL 1; DNS 3; MISC 0. */
  retry: number;
  /** TCP, UDP, PING, SMTP, MISC 1 s; HTTP, SSL 3 s; DNS = delayLoop. */
  delayBeforeRetry: number;
  /** Random initial delay 0..warmup; default delayLoop. */
  warmup: number;
  /** Default 60 s. */
  delayLoop: number;
  alpha: boolean;
  logAllFailures: boolean;
}

/** Where a network checker connects to and from. */
export interface CheckEndpoint {
  /** connect_ip; default the real server's address. */
  connectAddress: string;
  /** connect_port; default the real server's port. */
  connectPort: number;
  bindAddress?: string;
  bindPort?: number;
  bindInterface?: string;
  /** SO_MARK; 0 = none. */
  fwmark: number;
  /** Default 5 s; per phase (connect, handshake, read). */
  connectTimeout: number;
}

export interface TcpCheck extends CheckTiming, CheckEndpoint {
  kind: 'TCP_CHECK';
}

export interface UdpCheck extends CheckTiming, CheckEndpoint {
  kind: 'UDP_CHECK';
  /** Hex; absent: the default payload. */
  payload?: string;
  /**
   * Present with require_reply: a reply is needed. `pattern` is hex with `x` for any nibble; empty = any reply will do.
   * Lengths are looked at only when there is a pattern; defaults 0 and 255.
   */
  requireReply?: { pattern: string; minLength: number; maxLength: number };
  /**
   * What no answer within connectTimeout means. `failure` with require_reply; without it `alive` (upstream, and a pure
   * port probe without payload in either dialect) or `failure` (dialect dpvs with a payload).
   */
  silence: 'alive' | 'failure';
}

export interface PingCheck extends CheckTiming, CheckEndpoint {
  kind: 'PING_CHECK';
}

export interface HttpCheck extends CheckTiming, CheckEndpoint {
  kind: 'HTTP_GET' | 'SSL_GET';
  virtualHost?: string;
  /** `1.0` sends no Connection header, `1.0c` and `1.1` send `Connection: close`; default 1.0. */
  httpProtocol: '1.0' | '1.0c' | '1.1';
  enableSni: boolean;
  sniName?: string;
  /** Next URL at once while the server is down; default false. */
  fastRecovery: boolean;
  /** Insist on close_notify; default false. */
  tlsCompliant: boolean;
  /** At least one. */
  urls: HttpUrl[];
}

export interface HttpUrl {
  path: string;
  virtualHost?: string;
  /** MD5 of the body, 32 hex digits. */
  digest?: string;
  /** Inclusive ranges; default [[200, 299]]. */
  statusCodes: [number, number][];
  regex?: {
    pattern: string;
    /** PCRE2 option names, lower-case as written. */
    options: string[];
    /** The match is a failure. */
    noMatch: boolean;
    /** Offsets in the body between which the match must begin; max 0 = no limit. */
    minOffset: number;
    maxOffset: number;
  };
  tlsCompliant: boolean;
}

export interface SmtpCheck extends CheckTiming, CheckEndpoint {
  kind: 'SMTP_CHECK';
  /** Default smtpchecker.keepalived.org. */
  heloName: string;
}

export interface DnsCheck extends CheckTiming, CheckEndpoint {
  kind: 'DNS_CHECK';
  /** Default SOA. */
  type: 'A' | 'NS' | 'CNAME' | 'SOA' | 'MX' | 'TXT' | 'AAAA' | 'RRSIG' | 'DNSKEY';
  /** Default the root, `.`. */
  name: string;
}

export interface MiscCheck extends CheckTiming {
  kind: 'MISC_CHECK';
  script: Script;
  /** Default the virtual server's delayLoop. */
  timeout: number;
  /** Exit codes 2..255 set the weight to code-2. */
  dynamic: boolean;
}

/** Follows an integer in a file at once; no schedule of its own. */
export interface FileCheck {
  kind: 'FILE_CHECK';
  /** Name in LoadBalancing.trackFiles. */
  trackFile: string;
  /** Multiplier; 0: any non-zero value is DOWN. Default the track_file's weight. */
  weight: number;
  reverse: boolean;
  alpha: boolean;
}

/** Follows the events of a BFD session; no schedule of its own. */
export interface BfdCheck {
  kind: 'BFD_CHECK';
  name: string;
  alpha: boolean;
}

export interface TrackFile {
  path: string;
  /** Default 1. */
  weight: number;
  reverse: boolean;
}

export interface LocalAddressRange {
  first: string;
  last: string;
  /** The port of the dataplane that owns them. */
  device: string;
}

export type AddressListEntry =
  | { kind: 'range'; first: string; last: string }
  | { kind: 'ipset'; name: string };

export interface Tunnel {
  name: string;
  group: string;
  kind: string;
  remote?: string;
  local?: string;
  /** `if`: underlying port. */
  link?: string;
}

export interface SslContext {
  password?: string;
  ca?: string;
  certificate?: string;
  key?: string;
}

/** Checkers with a schedule and retries of their own; FILE_CHECK and BFD_CHECK follow events instead. */
export type ScheduledCheck = Exclude<Checker, FileCheck | BfdCheck>;

/** What UDP_CHECK sends when no payload is given: 32 bytes of repeated text, as hex. */
export const defaultUdpPayload = Buffer.from('keepalived check - '.repeat(2).slice(0, 32)).toString('hex');
