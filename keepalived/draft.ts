import type { BfdInstance } from './model/bfd.js';
import { defaultGlobal, type Global } from './model/global.js';
import type { OspfBridge } from './model/ospf-bridge.js';
import type { Script } from './model/script.js';
import type {
  AddressListEntry,
  Checker,
  CheckerKind,
  EngineSettings,
  Forwarding,
  GroupEntry,
  HttpUrl,
  LocalAddressRange,
  Protocol,
  RealServer,
  SorryServer,
  SslContext,
  Tunnel,
  VirtualServer,
} from './model/virtual-server.js';
import type {
  GarpGroup,
  GarpSettings,
  NotifyScripts,
  TrackReference,
  VirtualAddress,
  VirtualMac,
  VirtualRoute,
  VirtualRule,
  VrrpInstance,
  VrrpScript,
  VrrpTrackFile,
  VrrpTrackProcess,
} from './model/vrrp.js';

/*
 * What the tables fill while the text is read: what was written, and no more. The defaults, what is inherited and what refers to
 * something else are added when everything has been read (resolve/).
 */

export interface Place {
  file: string;
  line: number;
}

/** The five kinds of things that instances and groups follow. */
export interface Tracks {
  trackInterfaces: TrackReference[];
  trackScripts: TrackReference[];
  trackFiles: TrackReference[];
  trackProcesses: TrackReference[];
  trackBfd: TrackReference[];
}

export function noTracks(): Tracks {
  return { trackInterfaces: [], trackScripts: [], trackFiles: [], trackProcesses: [], trackBfd: [] };
}

/** Fields of an instance that may stay unsaid. */
type InstanceOptions = Partial<
  Pick<
    VrrpInstance,
    | 'initialState'
    | 'interface'
    | 'dpdkInterface'
    | 'vrf'
    | 'virtualRouterId'
    | 'priority'
    | 'version'
    | 'virtualMacForAddresses'
    | 'unicastPeers'
    | 'unicastFaultNoPeer'
    | 'checkUnicastSource'
    | 'unicastTtl'
    | 'oldUnicastChecksum'
    | 'sourceAddress'
    | 'trackSourceAddress'
    | 'multicastGroup'
    | 'dontTrackPrimary'
    | 'promoteSecondaries'
    | 'v3ChecksumAsV2'
    | 'skipCheckAdvertAddresses'
    | 'strict'
    | 'preempt'
    | 'preemptDelay'
    | 'downTimerAdverts'
    | 'timerExpiredBackupPriority'
    | 'lowerPriorityNoAdvert'
    | 'higherPrioritySendAdvert'
    | 'ownerIgnoreAdverts'
    | 'kernelReceiveBuffer'
    | 'smtpAlert'
    | 'notifyPriorityChanges'
    | 'debug'
  >
>;

export interface AuthDraft {
  type?: 'pass' | 'ah';
  password?: string;
}

export interface HmacDraft {
  keys: { id: number; secretHex: string }[];
  activeKey?: number;
  timeWindow?: number;
  antiReplay?: 'time' | 'monotonic';
  mode?: 'enforce' | 'permissive' | 'receive-only';
}

export interface InstanceDraft extends InstanceOptions, Tracks {
  name: string;
  place: Place;
  /** Milliseconds as written. */
  advertInterval?: number;
  /** `accept`, `no_accept`. */
  accept?: boolean;
  nativeIpv6?: boolean;
  /** A source address by unicast_src_ip makes the instance unicast. */
  unicast?: boolean;
  virtualMac?: VirtualMac;
  transmitBase?: boolean;
  virtualAddresses: VirtualAddress[];
  excludedAddresses: VirtualAddress[];
  virtualRoutes: VirtualRoute[];
  virtualRules: VirtualRule[];
  noVirtualAddress?: boolean;
  garp: Partial<GarpSettings>;
  authentication?: AuthDraft;
  authHmac?: HmacDraft;
  notify: NotifyScripts;
  lvsSyncDaemonInterface?: string;
}

export interface SyncGroupDraft extends Tracks {
  name: string;
  place: Place;
  members: string[];
  trackingWeight?: boolean;
  notify: NotifyScripts;
  smtpAlert?: boolean;
  notifyPriorityChanges?: boolean;
}

export interface ScriptDraft extends Partial<VrrpScript> {
  name: string;
  place: Place;
  owner?: { user?: string; group?: string };
}

export interface TrackFileDraft extends Partial<VrrpTrackFile> {
  name: string;
  place: Place;
}

export interface TrackProcessDraft extends Partial<VrrpTrackProcess> {
  name: string;
  place: Place;
}

export interface BfdDraft extends Partial<BfdInstance> {
  name: string;
  place: Place;
}

/** Timing and address of a checker, as far as written. */
export interface CheckerDraft {
  kind: CheckerKind;
  place: Place;
  retry?: number;
  delayBeforeRetry?: number;
  warmup?: number;
  delayLoop?: number;
  alpha?: boolean;
  logAllFailures?: boolean;
  connectAddress?: string;
  connectPort?: number;
  bindAddress?: string;
  bindPort?: number;
  bindInterface?: string;
  fwmark?: number;
  connectTimeout?: number;
  // UDP_CHECK
  /** The words behind the keyword and the line as written, since the reading depends on the dialect. */
  payload?: { words: string[]; text: string };
  requireReply?: { words: string[]; text: string };
  minReplyLength?: number;
  maxReplyLength?: number;
  // HTTP_GET, SSL_GET
  virtualHost?: string;
  httpProtocol?: '1.0' | '1.0c' | '1.1';
  enableSni?: boolean;
  sniName?: string;
  fastRecovery?: boolean;
  tlsCompliant?: boolean;
  urls?: UrlDraft[];
  // SMTP_CHECK
  heloName?: string;
  hosts?: CheckerDraft[];
  // DNS_CHECK
  dnsType?: Extract<Checker, { kind: 'DNS_CHECK' }>['type'];
  name?: string;
  // MISC_CHECK
  script?: Script;
  scriptOwner?: { user?: string; group?: string };
  timeout?: number;
  dynamic?: boolean;
  // FILE_CHECK
  trackFile?: string;
  weight?: number;
  reverse?: boolean;
}

export interface UrlDraft extends Partial<Omit<HttpUrl, 'regex'>> {
  pattern?: string;
  regexOptions?: string[];
  regexNoMatch?: boolean;
  regexMinOffset?: number;
  regexMaxOffset?: number;
}

export interface RealServerDraft
  extends Partial<
    Pick<
      RealServer,
      | 'forwarding'
      | 'weight'
      | 'upperThreshold'
      | 'lowerThreshold'
      | 'inhibitOnFailure'
      | 'alpha'
      | 'notifyUp'
      | 'notifyDown'
      | 'smtpAlert'
      | 'virtualHost'
      | 'snmpName'
    >
  > {
  address: string;
  port: number;
  place: Place;
  retry?: number;
  delayBeforeRetry?: number;
  warmup?: number;
  connectTimeout?: number;
  delayLoop?: number;
  checkers: CheckerDraft[];
}

export type TargetDraft =
  | { kind: 'address'; address: string; port: number }
  | { kind: 'fwmark'; mark: number }
  | { kind: 'group'; name: string }
  | { kind: 'match'; name: string };

export interface VirtualServerDraft
  extends Partial<
    Pick<
      VirtualServer,
      | 'scheduler'
      | 'ops'
      | 'forwarding'
      | 'persistenceTimeout'
      | 'persistenceGranularity'
      | 'persistenceEngine'
      | 'virtualHost'
      | 'snmpName'
      | 'alpha'
      | 'omega'
      | 'haSuspend'
      | 'smtpAlert'
      | 'quorum'
      | 'hysteresis'
      | 'quorumUp'
      | 'quorumDown'
      | 'synProxy'
      | 'expireQuiescent'
      | 'quic'
      | 'hashTarget'
      | 'proxyProtocol'
      | 'establishTimeout'
      | 'bps'
      | 'limitProportion'
      | 'vipBindDevice'
      | 'localAddressGroup'
      | 'denyAddressGroup'
      | 'allowAddressGroup'
    >
  > {
  target: TargetDraft;
  place: Place;
  protocol?: Protocol;
  /** `ip_family`. */
  ipFamily?: 4 | 6;
  flags: { flag1: boolean; flag2: boolean; flag3: boolean };
  sorryServer?: Omit<SorryServer, 'forwarding'> & { forwarding?: Forwarding };
  retry?: number;
  delayBeforeRetry?: number;
  warmup?: number;
  connectTimeout?: number;
  delayLoop?: number;
  inhibitOnFailure?: boolean;
  weight?: number;
  match: { sourceRange: string; destinationRange: string; iif: string; oif: string };
  realServers: RealServerDraft[];
}

/** `global_defs` as written: what belongs to the load balancer's model stands apart. */
export interface GlobalDraft extends Global {
  engine: EngineSettings;
}

/** A whole configuration as written. */
export interface Draft {
  global: GlobalDraft;
  ssl?: SslContext;
  groups: Map<string, GroupEntry[]>;
  virtualServers: VirtualServerDraft[];
  localAddressGroups: Map<string, LocalAddressRange[]>;
  denyAddressGroups: Map<string, AddressListEntry[]>;
  allowAddressGroups: Map<string, AddressListEntry[]>;
  tunnels: Tunnel[];
  trackGroups: { name: string; instances: string[]; place: Place }[];
  garpGroups: GarpGroup[];
  staticAddresses: VirtualAddress[];
  staticRoutes: VirtualRoute[];
  staticRules: VirtualRule[];
  instances: InstanceDraft[];
  syncGroups: SyncGroupDraft[];
  scripts: ScriptDraft[];
  trackFiles: TrackFileDraft[];
  trackProcesses: TrackProcessDraft[];
  bfdInstances: BfdDraft[];
  ospfBridge?: OspfBridge;
}

export function emptyDraft(): Draft {
  return {
    global: { ...defaultGlobal(), engine: { shareProbes: true, director: { driver: 'dpvsd' } } },
    groups: new Map(),
    virtualServers: [],
    localAddressGroups: new Map(),
    denyAddressGroups: new Map(),
    allowAddressGroups: new Map(),
    tunnels: [],
    trackGroups: [],
    garpGroups: [],
    staticAddresses: [],
    staticRoutes: [],
    staticRules: [],
    instances: [],
    syncGroups: [],
    scripts: [],
    trackFiles: [],
    trackProcesses: [],
    bfdInstances: [],
  };
}
