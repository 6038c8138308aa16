import type { Script } from './script.js';

/**
 * The typed model of everything in keepalived.conf that concerns VRRP: plain data, fit for structuredClone and JSON.
 *
 * Rules of the model:
 * - Times are milliseconds (fractions allowed), unless a name says otherwise.
 * - Values are final. Whoever builds the model has applied global defaults to the instances (`instanceDefaults`), rounded the
 *   advertisement interval to what the version can carry, dropped authentication where it is not allowed, and reported all
 *   of that. The VRRP process decides nothing twice.
 * - Lists keep the order of the configuration. Names that refer to something (a script, an instance, a sync group's members)
 *   exist in the model; dangling references were reported and dropped.
 * - IP addresses are text as `inet_pton` accepts them. Interfaces are names; they may not exist yet.
 */
export interface VrrpModel {
  globals: VrrpGlobals;
  instances: VrrpInstance[];
  syncGroups: VrrpSyncGroup[];
  scripts: VrrpScript[];
  trackFiles: VrrpTrackFile[];
  trackProcesses: VrrpTrackProcess[];
  bfdSessions: VrrpTrackBfd[];
  trackGroups: VrrpTrackGroup[];
  garpGroups: GarpGroup[];
  staticAddresses: VirtualAddress[];
  staticRoutes: VirtualRoute[];
  staticRules: VirtualRule[];
  interfaceDelays: InterfaceDelay[];
}

export type Family = 'ipv4' | 'ipv6';

/** The global_defs that the VRRP process itself needs; defaults by `globalDefaults`. */
export interface VrrpGlobals {
  /** `router_id`: name in mails and dumps; default the host's name. */
  routerId: string;
  /** `vrrp_mcast_group4`, default 224.0.0.18. */
  multicastGroup4: string;
  /** `vrrp_mcast_group6`, default ff02::12. */
  multicastGroup6: string;
  /** `vrrp_garp_interval`: least time between two gratuitous ARPs on one interface; default 0. */
  garpInterval: number;
  /** `vrrp_gna_interval`: the same for unsolicited neighbour advertisements; default 0. */
  gnaInterval: number;
  /** `vrrp_startup_delay`: no advertisement and no election before this much time after start; default 0. */
  startupDelay: number;
  /** `vrrp_delay_after_boot`: the same, measured from the host's boot; default 0. */
  delayAfterBoot: number;
  /** `dynamic_interfaces`: interfaces may be missing at start. */
  dynamicInterfaces: boolean;
  /** `dynamic_interfaces allow_if_changes`: an instance may follow an interface that is created again elsewhere. */
  allowInterfaceChanges: boolean;
  /** `log_unknown_vrids`. */
  logUnknownVrids: boolean;
  /** `vrrp_notify_priority_changes`: default of the instances and groups (already applied to them). */
  notifyPriorityChanges: boolean;
  /** `fifo_write_vrrp_states_on_reload`. */
  fifoWriteStatesOnReload: boolean;
  /** `no_email_faults`. */
  noEmailFaults: boolean;
  /** `vmac_prefix`, default `vrrp`. */
  vmacPrefix: string;
  /** `vmac_addr_prefix`, default `vmacPrefix`. */
  vmacAddressPrefix: string;
  /** `disable_local_igmp`. */
  disableLocalIgmp: boolean;
  /** `vrrp_iptables` / `nftables`: how packets to addresses in no-accept mode are dropped. */
  firewall: Firewall;
  /** `vrrp_priority`: nice value -20..19. */
  processPriority?: number;
  /** `vrrp_rt_priority`: SCHED_RR priority 1..99. */
  realtimePriority?: number;
  /** `vrrp_rlimit_rttime`, microseconds of CPU without a blocking call; default 10000. */
  realtimeLimit: number;
  /** `vrrp_cpu_affinity`. */
  cpuAffinity: number[];
  /** `vrrp_no_swap`: lock the process in memory. */
  noSwap: boolean;
  /** `vrrp_process_name`, or `keepalived_vrrp` with `process_names`. */
  processName?: string;
  /** `vrrp_rx_bufs_policy`: size of the receive buffers: from the interface's MTU, the advertisement's size, or bytes. */
  receiveBufferPolicy?: 'mtu' | 'advert' | number;
  /** `vrrp_rx_bufs_multiplier`, default 3. */
  receiveBufferMultiplier: number;
  /** Receive buffers of the netlink sockets in bytes (`vrrp_netlink_*_rcv_bufs`); absent: the kernel's default. */
  netlinkCommandBuffer?: number;
  netlinkMonitorBuffer?: number;
  /** `process_monitor_rcv_bufs`. */
  processMonitorBuffer?: number;
  /** `json_version`, 1 or 2; default 1. */
  jsonVersion: 1 | 2;
  /** `state_dump_file`, `stats_dump_file`, `json_dump_file`; absent: keepalived.data, .stats, .json in TMPDIR or /tmp. */
  stateDumpFile?: string;
  statsDumpFile?: string;
  jsonDumpFile?: string;
  /** Suffix of the dump files' names when `data_use_instance` asks for it (`.instance`, `.netns_instance`); default empty. */
  dumpSuffix: string;
}

export interface Firewall {
  kind: 'none' | 'iptables' | 'nftables';
  /** iptables chains; default INPUT and OUTPUT. */
  inputChain: string;
  outputChain: string;
  /** nftables table (default `keepalived`) and priority of its chains (default -1). */
  table: string;
  priority: number;
  counters: boolean;
}

/** One virtual router of one node. */
export interface VrrpInstance {
  name: string;
  family: Family;
  /** Wanted state at start. `master` with a priority below 255 waits one interval for a better master. Default backup. */
  initialState: 'master' | 'backup';
  /** Interface that adverts use; absent only for unicast with a source address. */
  interface?: string;
  /** `dpdk_interface`: the addresses belong to this port of the dataplane instead of the kernel. */
  dpdkInterface?: string;
  /** `vrf`: device that unicast sockets without an interface are bound to. */
  vrf?: string;
  /** 1..255. */
  virtualRouterId: number;
  /** 1..255; 255 owns the addresses. Default 100. */
  priority: number;
  /** Milliseconds: version 2 whole seconds 1000..255000, version 3 multiples of 10 from 10 to 40950. Default 1000. */
  advertInterval: number;
  version: 2 | 3;
  /** `use_vmac` / `use_ipvlan`; absent: adverts and addresses use the interface itself. */
  virtualMac?: VirtualMac;
  /** `use_vmac_addr`: addresses on other interfaces get a VMAC as well. */
  virtualMacForAddresses: boolean;
  /** Present (even empty) means unicast. */
  unicastPeers?: UnicastPeer[];
  /** `unicast_fault_no_peer`. */
  unicastFaultNoPeer: boolean;
  /** `check_unicast_src`: drop adverts whose source is not a peer. */
  checkUnicastSource: boolean;
  /** `unicast_ttl` 0..255; absent: 255. */
  unicastTtl?: number;
  /** `old_unicast_checksum`: `always` sends the form of version 1.3.6 and before, `detect` follows what peers send, `never`. */
  oldUnicastChecksum: 'always' | 'detect' | 'never';
  /** `mcast_src_ip` or `unicast_src_ip`; absent: the interface's first address (IPv6: link-local). */
  sourceAddress?: string;
  /** `track_src_ip`: FAULT while the source address is missing. */
  trackSourceAddress: boolean;
  /** `mcast_dst_ip`, or the global group of the family. */
  multicastGroup: string;
  /** `dont_track_primary`: the state of the interface itself does not matter. */
  dontTrackPrimary: boolean;
  trackInterfaces: TrackReference[];
  trackScripts: TrackReference[];
  trackFiles: TrackReference[];
  trackProcesses: TrackReference[];
  trackBfd: TrackReference[];
  /** Advertised, in this order; all of the instance's family. */
  virtualAddresses: VirtualAddress[];
  /** Not advertised, any family. */
  excludedAddresses: VirtualAddress[];
  virtualRoutes: VirtualRoute[];
  virtualRules: VirtualRule[];
  promoteSecondaries: boolean;
  /** `v3_checksum_as_v2`: version 3 over IPv4 without the pseudo header; a wrong checksum is then not refused on receive. */
  v3ChecksumAsV2: boolean;
  /** Packets to the addresses are accepted by a master that does not own them. Default true, in strict mode false. */
  accept: boolean;
  skipCheckAdvertAddresses: boolean;
  strict: boolean;
  /** Default true; false is `nopreempt`. */
  preempt: boolean;
  /** `preempt_delay`; default 0. */
  preemptDelay: number;
  /** `down_timer_adverts` 1..100, default 3. */
  downTimerAdverts: number;
  /**
   * `timer_expired_backup`, with nopreempt: highest priority 1..254 of the other nodes. A master that could not run for so long
   * that such a node has taken over becomes backup. Absent: off.
   */
  timerExpiredBackupPriority?: number;
  garp: GarpSettings;
  lowerPriorityNoAdvert: boolean;
  higherPrioritySendAdvert: boolean;
  ownerIgnoreAdverts: boolean;
  /** `kernel_rx_buf_size` in bytes. */
  kernelReceiveBuffer?: number;
  authentication?: Authentication;
  authHmac?: AuthHmac;
  notify: NotifyScripts;
  smtpAlert: boolean;
  notifyPriorityChanges: boolean;
  debug: number;
}

export interface VirtualMac {
  kind: 'macvlan' | 'ipvlan';
  /** Name of the device to create; absent: `vrrp.VRID` and its successors. */
  name?: string;
  /** macvlan: MAC instead of 00:00:5e:00:01:VRID (IPv4) and :02:VRID (IPv6). */
  mac?: string;
  /** ipvlan: its own address. */
  address?: string;
  /** ipvlan: default bridge. */
  mode?: 'bridge' | 'private' | 'vepa';
  /** Interface group number of the new device. */
  group?: number;
  netlinkNotify: boolean;
  /** `vmac_xmit_base`: adverts leave by the base interface. Always true for unicast. */
  transmitBase: boolean;
}

export interface UnicastPeer {
  address: string;
  /** Accepted TTL or hop limit of adverts, 0..255; default 0 and 255. */
  minTtl: number;
  maxTtl: number;
}

/** A line of a track_* block: what is tracked, and what it does to the priority. */
export interface TrackReference {
  /** Interface, or name of the script, file, process or BFD session. */
  name: string;
  /** -253..253; 0: failure means FAULT. Absent: the tracked object's own weight (interfaces: 0). */
  weight?: number;
  /** The sense is inverted. Absent: the tracked object's own. */
  reverse?: boolean;
}

/** An address line of virtual_ipaddress, virtual_ipaddress_excluded or static_ipaddress. */
export interface VirtualAddress {
  address: string;
  /** Default 32 or 128. */
  prefixLength: number;
  /** Interface; absent: the instance's. Static addresses always have one. */
  interface?: string;
  /** 0..255 (global 0, site 200, link 253, host 254, nowhere 255); absent: global. IPv4 only. */
  scope?: number;
  /** Broadcast address; `+` and `-` of the configuration are resolved. */
  broadcast?: string;
  label?: string;
  peer?: { address: string; prefixLength: number };
  home: boolean;
  noDad: boolean;
  manageTemporaryAddress: boolean;
  noPrefixRoute: boolean;
  autoJoin: boolean;
  /** Its interface does not bring the instance into FAULT. */
  noTrack: boolean;
  /** Preferred lifetime in seconds, or forever. Absent: forever for IPv4; IPv6 with prefix 128: 0, so that it is not chosen as source. */
  preferredLifetime?: number | 'forever';
  useVmac: boolean;
  /** Static addresses: name of a track_group. */
  trackGroup?: string;
}

/** Rtnetlink's route types by name. */
export type RouteType =
  | 'unicast'
  | 'local'
  | 'broadcast'
  | 'anycast'
  | 'multicast'
  | 'throw'
  | 'unreachable'
  | 'prohibit'
  | 'blackhole'
  | 'nat'
  | 'xresolve';

export interface Prefix {
  address: string;
  prefixLength: number;
}

/** A value that the route may also fix against path changes (`lock`). */
export interface LockableMetric {
  value: number;
  lock: boolean;
}

export type Encapsulation =
  | { kind: 'mpls'; labels: number[] }
  | {
      kind: 'ip';
      id?: bigint;
      destination?: string;
      source?: string;
      tos?: number;
      ttl?: number;
      flags?: number;
    }
  | {
      kind: 'ip6';
      id?: bigint;
      destination?: string;
      source?: string;
      trafficClass?: number;
      hopLimit?: number;
      flags?: number;
    }
  | { kind: 'ila'; locator: bigint };

export interface NextHop {
  family?: Family;
  via?: string;
  interface?: string;
  /** 1..256, default 1. */
  weight: number;
  onlink: boolean;
  realms?: number;
  encap?: Encapsulation;
}

/** A route line of virtual_routes or static_routes. Times of metrics are milliseconds. */
export interface VirtualRoute {
  family: Family;
  type: RouteType;
  /** `add` (default) replaces nothing; `append` and `prepend` as of ip-route. */
  mode: 'add' | 'append' | 'prepend';
  /** Absent: default route. */
  destination?: Prefix;
  via?: string;
  viaFamily?: Family;
  /** `src`: preferred source. */
  source?: string;
  /** `from` (IPv6). */
  from?: Prefix;
  tos?: number;
  /** Default main (254), local types 255. */
  table?: number;
  /** Protocol number; default 18 (keepalived). */
  protocol?: number;
  scope?: number;
  metric?: number;
  interface?: string;
  vrf?: string;
  onlink: boolean;
  encap?: Encapsulation;
  /** Seconds (IPv6). */
  expires?: number;
  mtu?: LockableMetric;
  hopLimit?: number;
  advmss?: LockableMetric;
  rtt?: LockableMetric;
  rttvar?: LockableMetric;
  reordering?: LockableMetric;
  window?: number;
  cwnd?: LockableMetric;
  ssthresh?: LockableMetric;
  realms?: number;
  rtoMin?: LockableMetric;
  initcwnd?: number;
  initrwnd?: number;
  ecn: boolean;
  quickAck?: boolean;
  congestionControl?: { name: string; lock: boolean };
  preference?: 'low' | 'medium' | 'high';
  ttlPropagate?: boolean;
  fastOpenNoCookie?: boolean;
  nextHops: NextHop[];
  noTrack: boolean;
  trackGroup?: string;
}

export type RuleAction = 'table' | 'goto' | 'nop' | 'blackhole' | 'unreachable' | 'prohibit' | 'l3mdev';

/** A rule line of virtual_rules or static_rules. */
export interface VirtualRule {
  family: Family;
  action: RuleAction;
  invert: boolean;
  from?: Prefix;
  to?: Prefix;
  table?: number;
  gotoTarget?: number;
  priority?: number;
  tos?: number;
  mark?: { value: number; mask: number };
  realms?: number;
  suppressPrefixLength?: number;
  suppressInterfaceGroup?: number;
  inputInterface?: string;
  outputInterface?: string;
  tunnelId?: bigint;
  uidRange?: { start: number; end: number };
  protocol?: number;
  ipProtocol?: number;
  sourcePorts?: { start: number; end: number };
  destinationPorts?: { start: number; end: number };
  noTrack: boolean;
  trackGroup?: string;
}

/** Announcements of the addresses by gratuitous ARP and unsolicited NA. Counts are at least 1. */
export interface GarpSettings {
  /** `garp_master_repeat`, default 5. */
  repeat: number;
  /** `garp_master_delay` until the second block, default 5000; 0: no second block. */
  delay: number;
  /** `garp_master_refresh` while master, default 0: never. */
  refresh: number;
  /** `garp_master_refresh_repeat`, default 1. */
  refreshRepeat: number;
  /** `garp_lower_prio_repeat`, default `repeat`; 0: none. */
  lowerPriorityRepeat: number;
  /** `garp_lower_prio_delay`, default `delay`. */
  lowerPriorityDelay: number;
  /** `garp_extra_if` period, 0: off; `all` sends on all interfaces with VMACs. */
  extraInterfaceInterval: number;
  extraInterfaceAll: boolean;
}

export interface Authentication {
  type: 'pass' | 'ah';
  /** 1 to 8 bytes. */
  password: string;
}

export interface AuthHmac {
  keys: AuthHmacKey[];
  /** Identifier 1..255 of the key that signs. */
  activeKey: number;
  /** Accepted age of an advert; default three advert intervals, at least 5000. */
  timeWindow: number;
  antiReplay: 'time' | 'monotonic';
  /** enforce: unsigned adverts are refused; permissive: accepted; receive-only: checked when present, never sent. */
  mode: 'enforce' | 'permissive' | 'receive-only';
}

export interface AuthHmacKey {
  /** 1..255. */
  id: number;
  /** 32..64 bytes in lower-case hexadecimal. */
  secretHex: string;
}

/** Scripts of an instance or a group; absent: none. */
export interface NotifyScripts {
  master?: Script;
  backup?: Script;
  fault?: Script;
  stop?: Script;
  /** `notify_deleted`: present (true: without script) means DELETED is reported instead of FAULT when a reload removes the instance. */
  deleted?: Script | true;
  /** `notify`, called with kind, name, state, priority. */
  any?: Script;
  masterReceivedLowerPriority?: Script;
}

export interface VrrpSyncGroup {
  name: string;
  /** Instance names; an instance is in one group at most. */
  members: string[];
  trackInterfaces: TrackReference[];
  trackScripts: TrackReference[];
  trackFiles: TrackReference[];
  trackProcesses: TrackReference[];
  trackBfd: TrackReference[];
  /** `sync_group_tracking_weight`: weights other than 0 count for the members. */
  trackingWeight: boolean;
  notify: NotifyScripts;
  smtpAlert: boolean;
  notifyPriorityChanges: boolean;
}

export interface VrrpScript {
  name: string;
  script: Script;
  /** Default 1000. */
  interval: number;
  /** Default: the interval. */
  timeout: number;
  weight: number;
  reverse: boolean;
  rise: number;
  fall: number;
  initFail: boolean;
}

/** `track_file` and `vrrp_track_file`: the first integer of a file, times the weight. */
export interface VrrpTrackFile {
  name: string;
  path: string;
  /** Default 1. */
  weight: number;
  reverse: boolean;
  /** `init_file`: written at start when missing, or always with `overwrite`. */
  init?: { value: number; overwrite: boolean };
}

export interface VrrpTrackProcess {
  name: string;
  /** Command and, for a match of parameters, its arguments. */
  argv: string[];
  /** `param_match`: exact (with arguments and no word), initial, partial; absent: arguments do not matter. */
  parameterMatch?: 'exact' | 'initial' | 'partial';
  /** Match the command line in /proc instead of the process's name. */
  fullCommand: boolean;
  weight: number;
  reverse: boolean;
  quorum: number;
  /** Absent: unlimited. */
  quorumMax?: number;
  forkDelay: number;
  terminateDelay: number;
}

/** A bfd_instance as far as VRRP is concerned. */
export interface VrrpTrackBfd {
  name: string;
  weight: number;
  reverse: boolean;
}

/** Static items that are only there while all instances of the group have their interfaces up. */
export interface VrrpTrackGroup {
  name: string;
  instances: string[];
}

export interface GarpGroup {
  garpInterval?: number;
  gnaInterval?: number;
  interfaces: string[];
}

/** Debounce of an interface's state; 0..255000 ms. */
export interface InterfaceDelay {
  interface: string;
  down: number;
  up: number;
}

/** What global_defs means when it says nothing. */
export function globalDefaults(hostname: string): VrrpGlobals {
  return {
    routerId: hostname,
    multicastGroup4: '224.0.0.18',
    multicastGroup6: 'ff02::12',
    garpInterval: 0,
    gnaInterval: 0,
    startupDelay: 0,
    delayAfterBoot: 0,
    dynamicInterfaces: false,
    allowInterfaceChanges: false,
    logUnknownVrids: false,
    notifyPriorityChanges: false,
    fifoWriteStatesOnReload: false,
    noEmailFaults: false,
    vmacPrefix: 'vrrp',
    vmacAddressPrefix: 'vrrp',
    disableLocalIgmp: false,
    firewall: {
      kind: 'none',
      inputChain: 'INPUT',
      outputChain: 'OUTPUT',
      table: 'keepalived',
      priority: -1,
      counters: false,
    },
    realtimeLimit: 10000,
    cpuAffinity: [],
    noSwap: false,
    receiveBufferMultiplier: 3,
    jsonVersion: 1,
    dumpSuffix: '',
  };
}

/** A model without any VRRP, to be filled. */
export function emptyVrrpModel(hostname: string): VrrpModel {
  return {
    globals: globalDefaults(hostname),
    instances: [],
    syncGroups: [],
    scripts: [],
    trackFiles: [],
    trackProcesses: [],
    bfdSessions: [],
    trackGroups: [],
    garpGroups: [],
    staticAddresses: [],
    staticRoutes: [],
    staticRules: [],
    interfaceDelays: [],
  };
}

/** Announcement settings when neither global_defs nor the instance say anything. */
export function garpDefaults(): GarpSettings {
  return {
    repeat: 5,
    delay: 5000,
    refresh: 0,
    refreshRepeat: 1,
    lowerPriorityRepeat: 5,
    lowerPriorityDelay: 5000,
    extraInterfaceInterval: 0,
    extraInterfaceAll: false,
  };
}

/** An instance that says no more than its name, router id and family. */
export function instanceDefaults(
  name: string,
  virtualRouterId: number,
  family: Family = 'ipv4',
): VrrpInstance {
  return {
    name,
    family,
    initialState: 'backup',
    virtualRouterId,
    priority: 100,
    advertInterval: 1000,
    version: family === 'ipv6' ? 3 : 2,
    virtualMacForAddresses: false,
    unicastFaultNoPeer: false,
    checkUnicastSource: false,
    oldUnicastChecksum: 'detect',
    trackSourceAddress: false,
    multicastGroup: family === 'ipv6' ? 'ff02::12' : '224.0.0.18',
    dontTrackPrimary: false,
    trackInterfaces: [],
    trackScripts: [],
    trackFiles: [],
    trackProcesses: [],
    trackBfd: [],
    virtualAddresses: [],
    excludedAddresses: [],
    virtualRoutes: [],
    virtualRules: [],
    promoteSecondaries: false,
    v3ChecksumAsV2: false,
    accept: true,
    skipCheckAdvertAddresses: false,
    strict: false,
    preempt: true,
    preemptDelay: 0,
    downTimerAdverts: 3,
    garp: garpDefaults(),
    lowerPriorityNoAdvert: false,
    higherPrioritySendAdvert: false,
    ownerIgnoreAdverts: false,
    notify: {},
    smtpAlert: false,
    notifyPriorityChanges: false,
    debug: 0,
  };
}

/** An address line that says no more than the address; prefix 32 or 128. */
export function addressDefaults(
  address: string,
  prefixLength = address.includes(':') ? 128 : 32,
): VirtualAddress {
  return {
    address,
    prefixLength,
    home: false,
    noDad: false,
    manageTemporaryAddress: false,
    noPrefixRoute: false,
    autoJoin: false,
    noTrack: false,
    useVmac: false,
  };
}
