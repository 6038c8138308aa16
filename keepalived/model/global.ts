import type { Script } from './script.js';

/** A FIFO that gets a line for each event, and the program that may read it. */
export interface NotifyFifo {
  path: string;
  /** Owner of a FIFO that we create; absent: the default script user. */
  user?: string;
  group?: string;
  /** Program started with the FIFO's path as its last argument. */
  script?: Script;
}

/** Scheduling of one of the processes. */
export interface ProcessTuning {
  name?: string;
  /** Nice value -20..19. */
  priority?: number;
  /** Lock all memory of the process. */
  noSwap?: boolean;
  /** SCHED_RR priority 1..99. */
  rtPriority?: number;
  /** CPUs that the process may run on. */
  cpuAffinity?: number[];
  /** Longest uninterrupted run in real-time scheduling, microseconds. */
  rlimitRttime?: number;
}

/** Sizes of netlink sockets, bytes. */
export interface SocketBuffers {
  cmd?: number;
  cmdForce?: boolean;
  monitor?: number;
  monitorForce?: boolean;
}

export interface SmtpServer {
  /** Address or name. */
  host: string;
  port: number;
}

export interface LvsSyncDaemon {
  interface: string;
  /** VRRP instance that decides which role the daemon plays. */
  instance?: string;
  id?: number;
  maxlen?: number;
  port?: number;
  ttl?: number;
  group?: string;
}

/** In which dialect `UDP_CHECK` payloads are written, and whose exit codes and defaults hold. */
export type Dialect = 'auto' | 'upstream' | 'dpvs';

/** `global_defs` and the settings at root level. Durations are milliseconds (fractions allowed) unless a comment says otherwise. */
export interface Global {
  dialect: Dialect;

  // Processes
  netNamespace?: string;
  /** Empty: the namespace in which we were started. */
  netNamespaceIpvs?: string;
  namespaceWithIpsets?: boolean;
  usePidDir?: boolean;
  instance?: string;
  childWaitTime: number;
  processNames?: boolean;
  /** Longer names are cut to the 15 characters that the kernel keeps. */
  processName?: string;
  vrrp: ProcessTuning;
  checker: ProcessTuning;
  bfd: ProcessTuning;
  /** Highest real-time priority that is taken by itself when timers run late; -1: never. */
  maxAutoPriority?: number;
  /** Lateness that makes the process raise its priority, microseconds. */
  minAutoPriorityDelay: number;
  umask?: number;
  randomSeed?: number;

  // Identity and mail
  routerId?: string;
  notificationEmailFrom?: string;
  notificationEmail: string[];
  smtpServer?: SmtpServer;
  smtpHeloName?: string;
  smtpConnectTimeout: number;
  smtpAlert?: boolean;
  smtpAlertVrrp?: boolean;
  smtpAlertChecker?: boolean;
  noEmailFaults?: boolean;
  noCheckerEmails?: boolean;

  // Scripts and FIFOs
  scriptUser?: string;
  scriptGroup?: string;
  enableScriptSecurity?: boolean;
  useSymlinkPaths?: boolean;
  setSupplementaryGroups?: boolean;
  startupScript?: Script;
  startupScriptTimeout: number;
  shutdownScript?: Script;
  shutdownScriptTimeout: number;
  notifyFifo?: NotifyFifo;
  vrrpNotifyFifo?: NotifyFifo;
  lvsNotifyFifo?: NotifyFifo;
  fifoWriteVrrpStatesOnReload?: boolean;

  // Interfaces
  /** `yes`: interfaces may be missing at start; `allow_if_changes`: they may also come back with other properties. */
  dynamicInterfaces?: 'yes' | 'allow_if_changes';
  defaultInterface?: string;
  linkbeatUsePolling?: boolean;
  linkbeatInterfaces: { interface: string; method?: 'MII' | 'ETHTOOL' | 'IOCTL' }[];
  interfaceUpDownDelays: { interface: string; down: number; up: number }[];
  disableLocalIgmp?: boolean;

  // VRRP defaults
  vrrpMcastGroup4: string;
  vrrpMcastGroup6: string;
  vrrpGarpMasterDelay: number;
  vrrpGarpMasterRepeat: number;
  vrrpGarpMasterRefresh: number;
  vrrpGarpMasterRefreshRepeat: number;
  /** Absent: as vrrpGarpMasterDelay. */
  vrrpGarpLowerPrioDelay?: number;
  /** Absent: as vrrpGarpMasterRepeat. */
  vrrpGarpLowerPrioRepeat?: number;
  vrrpDownTimerAdverts: number;
  vrrpGarpInterval: number;
  vrrpGnaInterval: number;
  vrrpMinGarp?: boolean;
  vrrpGarpExtraIf?: { all: boolean; interval: number };
  vrrpLowerPrioNoAdvert?: boolean;
  vrrpHigherPrioSendAdvert?: boolean;
  vrrpVersion: 2 | 3;
  vrrpCheckUnicastSrc?: boolean;
  vrrpSkipCheckAdvAddr?: boolean;
  vrrpStrict?: boolean;
  vrrpNotifyPriorityChanges?: boolean;
  /** `mtu`, `advert` or bytes. */
  vrrpRxBufsPolicy?: 'mtu' | 'advert' | number;
  vrrpRxBufsMultiplier: number;
  vrrpStartupDelay?: number;
  vrrpDelayAfterBoot?: number;
  logUnknownVrids?: boolean;
  vrrpOwnerIgnoreAdverts?: boolean;
  v3ChecksumAsV2?: boolean;
  vmacPrefix?: string;
  vmacAddrPrefix?: string;

  // Firewall
  /** Names of iptables chains; empty list: none. */
  vrrpIptables?: string[];
  /** Names of ipsets; empty list: none. */
  vrrpIpsets?: string[];
  nftables?: string;
  nftablesPriority?: number;
  nftablesIfindex?: boolean;
  nftablesCounters?: boolean;
  nftablesIpvs?: string;
  nftablesIpvsPriority?: number;
  nftablesIpvsStartFwmark?: number;

  // Virtual servers
  checkerLogAllFailures?: boolean;
  rsInitNotifies?: boolean;
  lvsTimeouts?: { tcp?: number; tcpfin?: number; udp?: number };
  lvsFlush?: boolean;
  lvsFlushOnStop?: 'all' | 'vs';
  lvsSyncDaemon?: LvsSyncDaemon;

  // Netlink
  vrrpNetlink: SocketBuffers;
  lvsNetlink: SocketBuffers;
  processMonitorRcvBufs?: number;
  processMonitorRcvBufsForce?: boolean;

  // SNMP and DBus (kept, without effect)
  snmpSocket?: string;
  enableTraps?: boolean;
  enableSnmpVrrp?: boolean;
  enableSnmpRfcv2?: boolean;
  enableSnmpRfcv3?: boolean;
  enableSnmpChecker?: boolean;
  snmpVsStatsUpdateInterval?: number;
  snmpRsStatsUpdateInterval?: number;
  enableDbus?: boolean;
  dbusServiceName?: string;
  dbusNoInterfaceName?: string;

  // Reload and dumps
  /** Log of the check before a reload; absent: no check of its own. */
  reloadCheckConfig?: string;
  reloadTimeFile?: string;
  reloadRepeat?: boolean;
  /** Empty: the default place. */
  reloadFile?: string;
  includeCheck: IncludeChecks;
  configSaveDir?: string;
  tmpConfigDirectory?: string;
  dataUseInstance?: boolean;
  jsonVersion: 1 | 2;
  iprouteUsrDir?: string;
  iprouteEtcDir?: string;
  stateDumpFile?: string;
  statsDumpFile?: string;
  jsonDumpFile?: string;
}

/** What `include` lines must satisfy so that they are no error. */
export interface IncludeChecks {
  read: boolean;
  match: boolean;
  wildcardMatch: boolean;
  braceMatch: boolean;
}

/** A file without `global_defs`. */
export function defaultGlobal(): Global {
  return {
    dialect: 'auto',
    childWaitTime: 5_000,
    vrrp: {},
    checker: {},
    bfd: {},
    minAutoPriorityDelay: 1_000_000,
    notificationEmail: [],
    smtpConnectTimeout: 30_000,
    startupScriptTimeout: 10_000,
    shutdownScriptTimeout: 10_000,
    linkbeatInterfaces: [],
    interfaceUpDownDelays: [],
    vrrpMcastGroup4: '224.0.0.18',
    vrrpMcastGroup6: 'ff02::12',
    vrrpGarpMasterDelay: 5_000,
    vrrpGarpMasterRepeat: 5,
    vrrpGarpMasterRefresh: 0,
    vrrpGarpMasterRefreshRepeat: 1,
    vrrpDownTimerAdverts: 3,
    vrrpGarpInterval: 0,
    vrrpGnaInterval: 0,
    vrrpVersion: 2,
    vrrpRxBufsMultiplier: 3,
    vrrpNetlink: {},
    lvsNetlink: {},
    includeCheck: { read: false, match: false, wildcardMatch: false, braceMatch: false },
    jsonVersion: 1,
  };
}
