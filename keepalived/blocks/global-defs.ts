import type { GlobalDraft } from '../draft.js';
import { type Keyword, type Line, list, type Shape, type Spec, table, value } from '../grammar/keyword.js';
import {
  address,
  bool,
  flag,
  int,
  ip4,
  ip6,
  oneOf,
  optionalWord,
  owner,
  port,
  script,
  timer,
  uint,
  unsigned,
  word,
  words,
} from '../grammar/shapes.js';
import { lookIn } from '../lines/names.js';
import type {
  Dialect,
  Global,
  LvsSyncDaemon,
  NotifyFifo,
  ProcessTuning,
  SmtpServer,
} from '../model/global.js';

const LARGEST = 4294967295;
const U: Spec = { in: 'upstream' };
const NO_SNMP: Spec = { accepted: 'there is no SNMP agent in this suite; the same figures are in the dumps' };
const NO_DBUS: Spec = {
  accepted: 'there is no DBus service in this suite; signals, FIFOs and JSON dumps say the same',
};
const NO_IPVS_NETLINK: Spec = {
  accepted: 'virtual servers are set through the dataplane, not through the netlink sockets of kernel IPVS',
};
const NO_IPVS_NFT: Spec = {
  in: 'upstream',
  accepted:
    'the dataplane takes virtual server groups as they are and needs no nftables rules to mark packets',
};
const FORCED: Spec = {
  accepted:
    'a size that is given is always forced where the process has the right to, limited by the system where not',
};
const NO_CONNECTOR: Spec = {
  accepted: "processes are counted in /proc, without a socket of the kernel's process connector",
};
const NO_IPSETS: Spec = {
  accepted: 'packets to addresses are dropped by rules of their own, not through ipsets',
};
const NO_AUTO_PRIORITY: Spec = {
  in: 'upstream',
  accepted: 'each part runs in a process of its own, so that none of them makes another one late',
};

function custom<V>(text: string, least: number, read: (line: Line) => V | undefined): Shape<V> {
  return { text, least, read };
}

/** Keywords that set one field of the same name in camel case. */
type Fields<V> = { [K in keyof Global]-?: V extends NonNullable<Global[K]> ? K : never }[keyof Global];

function field<V>(name: string, shape: Shape<V>, key: Fields<V>, spec: Spec = {}): Keyword<Global> {
  return value(
    name,
    shape,
    (global, read) => {
      (global as unknown as Record<string, unknown>)[key] = read;
    },
    spec,
  );
}

const smtpServer = custom<SmtpServer>('HOST [PORT=25]', 1, (line) => {
  const [, host = '', given] = line.words;
  const number = given === undefined ? 25 : port(given, line);
  return { host, port: number || 25 };
});

const lvsTimeouts = custom<NonNullable<Global['lvsTimeouts']>>('[tcp S] [tcpfin S] [udp S]', 2, (line) => {
  const timeouts: NonNullable<Global['lvsTimeouts']> = {};
  for (let at = 1; at < line.words.length; at += 2) {
    const name = line.words[at] as string;
    if (name !== 'tcp' && name !== 'tcpfin' && name !== 'udp') {
      line.report('error', `'${line.keyword}': '${name}' is none of tcp, tcpfin, udp`);
      continue;
    }
    const given = line.words[at + 1];
    if (given === undefined) {
      line.report('error', `'${line.keyword}': '${name}' without a number of seconds`);
      continue;
    }
    const read = unsigned(given, 0, 31 * 86400, line);
    if (read !== undefined) timeouts[name] = read * 1000;
  }
  return timeouts;
});

const lvsSyncDaemon = custom<LvsSyncDaemon>(
  'IF [[inst] VRRP] [id 0..255] [maxlen 1..65507] [port P] [ttl 1..255] [group MCAST]',
  1,
  (line) => {
    const daemon: LvsSyncDaemon = { interface: line.words[1] as string };
    const numbers: Record<
      string,
      [keyof LvsSyncDaemon & ('id' | 'maxlen' | 'port' | 'ttl'), number, number]
    > = {
      id: ['id', 0, 255],
      maxlen: ['maxlen', 1, 65507],
      port: ['port', 1, 65535],
      ttl: ['ttl', 1, 255],
    };
    for (let at = 2; at < line.words.length; at++) {
      const name = line.words[at] as string;
      const next = line.words[at + 1];
      const number = Object.hasOwn(numbers, name) ? numbers[name] : undefined;
      if (number || name === 'group' || name === 'inst') {
        if (next === undefined) {
          line.report('error', `'${line.keyword}': '${name}' without a value`);
          break;
        }
        at++;
        if (number) {
          const read = unsigned(next, number[1], number[2], line);
          if (read !== undefined) daemon[number[0]] = read;
        } else if (name === 'inst') {
          daemon.instance = next;
        } else {
          const group = address(next, line);
          if (group !== undefined) daemon.group = group;
        }
      } else if (at === 2) {
        daemon.instance = name;
      } else {
        line.report('error', `'${line.keyword}': unknown word '${name}'`);
      }
    }
    return daemon;
  },
);

/** `umask`: 022, 0x12, or names of bits joined by `|`. */
const umask = custom<number>('octal, 0x hexadecimal, or IRUSR|IWUSR|...', 1, (line) => {
  const text = line.words.slice(1).join('');
  const bits: Record<string, number> = {
    IRUSR: 0o400,
    IWUSR: 0o200,
    IXUSR: 0o100,
    IRGRP: 0o40,
    IWGRP: 0o20,
    IXGRP: 0o10,
    IROTH: 0o4,
    IWOTH: 0o2,
    IXOTH: 0o1,
  };
  const read = /^0[xX][0-9a-fA-F]+$/.test(text)
    ? Number(text)
    : /^0[0-7]*$/.test(text)
      ? Number.parseInt(text, 8)
      : /^[1-9]\d*$/.test(text)
        ? Number(text)
        : text.split('|').reduce((sum, name) => sum | (bits[name] ?? Number.NaN) || Number.NaN, 0);
  if (Number.isInteger(read) && read >= 0 && read <= 0o777) return read;
  line.report('error', `'umask': '${text}' is no mask of access bits, ignored`);
  return undefined;
});

const cpus = custom<number[]>('CPU ...', 1, (line) =>
  line.words.slice(1).flatMap((given) => {
    const read = unsigned(given, 0, 1023, line);
    return read === undefined ? [] : [read];
  }),
);

const fifoPath = words('PATH [user [group]]', 1);

function fifo(name: string, key: 'notifyFifo' | 'vrrpNotifyFifo' | 'lvsNotifyFifo'): Keyword<Global>[] {
  return [
    value(name, fifoPath, (global: Global, [path = '', ...rest], line) => {
      if (global[key]?.path) {
        line.report('error', `'${name}' is given twice, the first one stays`);
        return;
      }
      const made: NotifyFifo = { ...global[key], path, ...owner(rest) };
      global[key] = made;
    }),
    value(`${name}_script`, script, (global: Global, command, line) => {
      if (global[key]?.script) {
        line.report('error', `'${name}_script' is given twice, the first one stays`);
        return;
      }
      global[key] = { ...global[key], path: global[key]?.path ?? '', script: command };
    }),
  ];
}

function tuning(prefix: 'vrrp' | 'checker' | 'bfd'): Keyword<Global>[] {
  const set =
    <K extends keyof ProcessTuning>(key: K) =>
    (global: Global, read: NonNullable<ProcessTuning[K]>) => {
      global[prefix][key] = read;
    };
  return [
    value(`${prefix}_process_name`, word, set('name'), prefix === 'checker' ? U : {}),
    value(`${prefix}_priority`, int(-20, 19), set('priority')),
    value(`${prefix}_no_swap`, flag, set('noSwap')),
    value(`${prefix}_rt_priority`, uint(1, 99), set('rtPriority')),
    value(`${prefix}_cpu_affinity`, cpus, set('cpuAffinity')),
    value(`${prefix}_rlimit_rttime`, uint(2, LARGEST), set('rlimitRttime'), U),
    value(`${prefix}_rlimit_rtime`, uint(2, LARGEST), set('rlimitRttime'), {
      alias: `${prefix}_rlimit_rttime`,
      warn: 'mention',
    }),
  ];
}

/** `[all] SECONDS` */
export function extraInterface(min: number): Shape<{ all: boolean; interval: number }> {
  return custom(`[all] ${min}..86400 s`, 1, (line) => {
    const all = line.words[1] === 'all';
    const given = line.words[all ? 2 : 1];
    if (given === undefined) {
      line.report('error', `'${line.keyword}' without a number of seconds, ignored`);
      return undefined;
    }
    const read = unsigned(given, min, 86400, line);
    return read === undefined ? undefined : { all, interval: read * 1000 };
  });
}

/** Seconds as whole number in the text, milliseconds in the model. */
export function wholeSeconds(min = 0, max = LARGEST): Shape<number> {
  return custom(max === LARGEST ? 'SECONDS' : `${min}..${max} s`, 1, (line) => {
    const read = unsigned(line.words[1] as string, min, max, line);
    return read === undefined ? undefined : read * 1000;
  });
}

/** Counts of which 0 means 1. */
export const countFromOne: Shape<number> = custom('N', 1, (line) => {
  const read = unsigned(line.words[1] as string, 0, LARGEST, line);
  return read === 0 ? 1 : read;
});

export const globalDefs = table<GlobalDraft>(
  'global_defs',
  [
    value(
      'dialect',
      oneOf<Dialect>(['auto', 'upstream', 'dpvs']),
      (global, dialect, line) => {
        global.dialect = dialect;
        line.reader.dialect = dialect;
      },
      { in: 'ours', default: 'auto' },
    ),
    value(
      'checker_share_probes',
      bool,
      (global, on) => {
        global.engine.shareProbes = on;
      },
      { in: 'ours', default: 'true' },
    ),
    value(
      'lvs_director',
      words('dpvsd|dry-run [SOCKET]', 1),
      (global, [driver, path], line) => {
        if (driver !== 'dpvsd' && driver !== 'dry-run') {
          line.report('error', `'lvs_director': '${driver}' is neither dpvsd nor dry-run, ignored`);
          return;
        }
        global.engine.director = path === undefined ? { driver } : { driver, path };
      },
      { in: 'ours', default: 'dpvsd' },
    ),

    field('process_names', flag, 'processNames'),
    field('process_name', word, 'processName'),
    value(
      'lvs_process_name',
      word,
      (global, name) => {
        global.checker.name = name;
      },
      { alias: 'checker_process_name', warn: 'mention' },
    ),
    field('use_symlink_paths', bool, 'useSymlinkPaths', {
      ...U,
      accepted: 'the paths of scripts are always used as they are written',
    }),
    field('set_supplementary_groups', bool, 'setSupplementaryGroups', U),
    field('router_id', word, 'routerId'),
    field('notification_email_from', word, 'notificationEmailFrom'),
    field('smtp_server', smtpServer, 'smtpServer'),
    field('smtp_helo_name', word, 'smtpHeloName'),
    value(
      'smtp_connect_timeout',
      wholeSeconds(),
      (global, time) => {
        global.smtpConnectTimeout = time || 1000;
      },
      { default: '30 s' },
    ),
    list('notification_email', 'ADDRESS', {
      several: true,
      notEmpty: true,
      each: (global, line) => global.notificationEmail.push(line.words[0] as string),
    }),
    field('smtp_alert', bool, 'smtpAlert'),
    field('startup_script', script, 'startupScript', U),
    field('startup_script_timeout', wholeSeconds(1, 1000), 'startupScriptTimeout', { ...U, default: '10 s' }),
    field('shutdown_script', script, 'shutdownScript', U),
    field('shutdown_script_timeout', wholeSeconds(1, 1000), 'shutdownScriptTimeout', {
      ...U,
      default: '10 s',
    }),
    value(
      'max_auto_priority',
      custom('[-1..99]', 0, (line) => (line.words.length < 2 ? 99 : int(-1, 99).read(line))),
      (global, read) => {
        global.maxAutoPriority = read;
      },
      NO_AUTO_PRIORITY,
    ),
    field('min_auto_priority_delay', uint(1, 10_000_000), 'minAutoPriorityDelay', NO_AUTO_PRIORITY),
    field('smtp_alert_vrrp', bool, 'smtpAlertVrrp'),
    field('smtp_alert_checker', bool, 'smtpAlertChecker'),
    field('checker_log_all_failures', bool, 'checkerLogAllFailures'),
    value(
      'dynamic_interfaces',
      custom('[allow_if_changes]', 0, (line) => {
        if (line.words.length < 2) return 'yes' as const;
        if (line.words[1] === 'allow_if_changes') return 'allow_if_changes' as const;
        line.report('error', `'dynamic_interfaces': unknown word '${line.words[1]}'`);
        return 'yes' as const;
      }),
      (global, read) => {
        global.dynamicInterfaces = read;
      },
      { note: 'an interface may always come back with other properties, with or without the word' },
    ),
    field('no_email_faults', flag, 'noEmailFaults'),
    field('default_interface', word, 'defaultInterface', { default: 'eth0' }),
    field('disable_local_igmp', flag, 'disableLocalIgmp', U),
    field('v3_checksum_as_v2', bool, 'v3ChecksumAsV2', U),
    field('lvs_timeouts', lvsTimeouts, 'lvsTimeouts'),
    field('lvs_flush', flag, 'lvsFlush'),
    ...(['lvs_flush_on_stop', 'lvs_flush_onstop'] as const).map((name) =>
      value<Global, 'all' | 'vs'>(
        name,
        custom('[VS]', 0, (line) => {
          if (line.words.length < 2) return 'all';
          if (line.words[1] === 'VS') return 'vs';
          line.report('error', `'${name}': unknown word '${line.words[1]}', everything is flushed`);
          return 'all';
        }),
        (global, read) => {
          global.lvsFlushOnStop = read;
        },
        name === 'lvs_flush_on_stop' ? U : { alias: 'lvs_flush_on_stop', warn: 'mention' },
      ),
    ),
    field('lvs_sync_daemon', lvsSyncDaemon, 'lvsSyncDaemon', {
      accepted: 'the dataplane has no IPVS sync daemon; connections stay with the director that has them',
    }),
    value(
      'vrrp_mcast_group4',
      ip4,
      (global, group) => {
        global.vrrpMcastGroup4 = group;
      },
      { default: '224.0.0.18' },
    ),
    value(
      'vrrp_mcast_group6',
      ip6,
      (global, group) => {
        global.vrrpMcastGroup6 = group;
      },
      { default: 'ff02::12' },
    ),
    field('vrrp_garp_master_delay', wholeSeconds(), 'vrrpGarpMasterDelay', { default: '5 s' }),
    field('vrrp_garp_master_repeat', countFromOne, 'vrrpGarpMasterRepeat', { default: '5' }),
    field('vrrp_garp_master_refresh', wholeSeconds(), 'vrrpGarpMasterRefresh', { default: '0 s' }),
    field('vrrp_garp_master_refresh_repeat', countFromOne, 'vrrpGarpMasterRefreshRepeat', { default: '1' }),
    field('vrrp_garp_lower_prio_delay', wholeSeconds(), 'vrrpGarpLowerPrioDelay', {
      default: 'vrrp_garp_master_delay',
    }),
    field('vrrp_garp_lower_prio_repeat', uint(0, LARGEST), 'vrrpGarpLowerPrioRepeat', {
      default: 'vrrp_garp_master_repeat',
    }),
    field('vrrp_down_timer_adverts', uint(1, 100), 'vrrpDownTimerAdverts', { ...U, default: '3' }),
    field('vrrp_garp_interval', timer(), 'vrrpGarpInterval', { default: '0 s' }),
    field('vrrp_gna_interval', timer(), 'vrrpGnaInterval', { default: '0 s' }),
    field('vrrp_min_garp', bool, 'vrrpMinGarp'),
    field('vrrp_garp_extra_if', extraInterface(1), 'vrrpGarpExtraIf', U),
    field('vrrp_vmac_garp_intvl', extraInterface(1), 'vrrpGarpExtraIf', {
      ...U,
      alias: 'vrrp_garp_extra_if',
      warn: true,
    }),
    field('vrrp_lower_prio_no_advert', bool, 'vrrpLowerPrioNoAdvert'),
    field('vrrp_higher_prio_send_advert', bool, 'vrrpHigherPrioSendAdvert'),
    value(
      'vrrp_version',
      uint(2, 3, { strict: true }),
      (global, version) => {
        global.vrrpVersion = version as 2 | 3;
      },
      { default: '2 (IPv6: 3)' },
    ),
    value('vrrp_iptables', words('[INCHAIN [OUTCHAIN]]', 0), (global, chains, line) => {
      if (chains.length > 2) line.report('error', `'vrrp_iptables' takes two names of chains at most`);
      const long = chains.find((chain) => chain.length > 28);
      if (long) line.report('error', `'vrrp_iptables': the name '${long}' is too long for a chain`);
      else global.vrrpIptables = chains.slice(0, 2);
    }),
    value(
      'vrrp_ipsets',
      words('[ADDR [ADDR6 [IF6 [IGMP [MLD [ND]]]]]]', 0),
      (global, sets, line) => {
        if (sets.length > 6) line.report('error', `'vrrp_ipsets' takes six names at most`);
        global.vrrpIpsets = sets.slice(0, 6);
      },
      NO_IPSETS,
    ),
    field('nftables', optionalWord('keepalived', '[TABLE=keepalived]'), 'nftables'),
    field('nftables_priority', int(-2147483648, 2147483647), 'nftablesPriority', { default: '-1' }),
    field('nftables_ifindex', flag, 'nftablesIfindex', {
      accepted: 'rules name the interface: an index changes when the interface is made again',
    }),
    field(
      'nftables_ipvs',
      optionalWord('keepalived_ipvs', '[TABLE=keepalived_ipvs]'),
      'nftablesIpvs',
      NO_IPVS_NFT,
    ),
    field('nftables_ipvs_priority', int(-2147483648, 2147483647), 'nftablesIpvsPriority', NO_IPVS_NFT),
    field('nftables_ipvs_start_fwmark', uint(1, LARGEST), 'nftablesIpvsStartFwmark', NO_IPVS_NFT),
    field('nftables_counters', flag, 'nftablesCounters'),
    field('vrrp_check_unicast_src', flag, 'vrrpCheckUnicastSrc'),
    field('vrrp_skip_check_adv_addr', bool, 'vrrpSkipCheckAdvAddr'),
    field('vrrp_strict', bool, 'vrrpStrict'),
    ...tuning('vrrp'),
    ...fifo('notify_fifo', 'notifyFifo'),
    ...fifo('vrrp_notify_fifo', 'vrrpNotifyFifo'),
    field('vrrp_notify_priority_changes', bool, 'vrrpNotifyPriorityChanges'),
    field('fifo_write_vrrp_states_on_reload', flag, 'fifoWriteVrrpStatesOnReload', U),
    ...fifo('lvs_notify_fifo', 'lvsNotifyFifo'),
    ...tuning('checker'),
    ...tuning('bfd'),
    field('snmp_socket', word, 'snmpSocket', NO_SNMP),
    field('enable_traps', flag, 'enableTraps', NO_SNMP),
    field('enable_snmp_vrrp', flag, 'enableSnmpVrrp', NO_SNMP),
    field('enable_snmp_keepalived', flag, 'enableSnmpVrrp', {
      ...NO_SNMP,
      alias: 'enable_snmp_vrrp',
      warn: 'mention',
    }),
    value(
      'enable_snmp_rfc',
      flag,
      (global) => {
        global.enableSnmpRfcv2 = true;
        global.enableSnmpRfcv3 = true;
      },
      NO_SNMP,
    ),
    field('enable_snmp_rfcv2', flag, 'enableSnmpRfcv2', NO_SNMP),
    field('enable_snmp_rfcv3', flag, 'enableSnmpRfcv3', NO_SNMP),
    field('enable_snmp_checker', flag, 'enableSnmpChecker', NO_SNMP),
    field('snmp_vs_stats_update_interval', timer(0.001, 30), 'snmpVsStatsUpdateInterval', {
      ...U,
      ...NO_SNMP,
    }),
    field('snmp_rs_stats_update_interval', timer(0.001, 30), 'snmpRsStatsUpdateInterval', {
      ...U,
      ...NO_SNMP,
    }),
    field('enable_dbus', flag, 'enableDbus', NO_DBUS),
    field('dbus_service_name', word, 'dbusServiceName', NO_DBUS),
    field('dbus_no_interface_name', word, 'dbusNoInterfaceName', { ...U, ...NO_DBUS }),
    value(
      'script_user',
      words('user [[:]group]', 1),
      (global, given) => {
        const { user, group } = owner(given);
        delete global.scriptGroup;
        if (user !== undefined) global.scriptUser = user;
        if (group !== undefined) global.scriptGroup = group;
      },
      { default: 'keepalived_script if there is such a user' },
    ),
    field('enable_script_security', flag, 'enableScriptSecurity'),
    ...(['vrrp', 'lvs'] as const).flatMap((prefix): Keyword<Global>[] => {
      const key = prefix === 'vrrp' ? 'vrrpNetlink' : 'lvsNetlink';
      const spec = prefix === 'lvs' ? NO_IPVS_NETLINK : {};
      const forced = prefix === 'lvs' ? NO_IPVS_NETLINK : FORCED;
      const bytes = uint(1, LARGEST);
      return [
        value(
          `${prefix}_netlink_cmd_rcv_bufs`,
          bytes,
          (global, read) => {
            global[key].cmd = read;
          },
          spec,
        ),
        value(
          `${prefix}_netlink_cmd_rcv_bufs_force`,
          bool,
          (global, read) => {
            global[key].cmdForce = read;
          },
          forced,
        ),
        value(
          `${prefix}_netlink_monitor_rcv_bufs`,
          bytes,
          (global, read) => {
            global[key].monitor = read;
          },
          spec,
        ),
        value(
          `${prefix}_netlink_monitor_rcv_bufs_force`,
          bool,
          (global, read) => {
            global[key].monitorForce = read;
          },
          forced,
        ),
      ];
    }),
    field('process_monitor_rcv_bufs', uint(1, LARGEST), 'processMonitorRcvBufs', NO_CONNECTOR),
    field('process_monitor_rcv_bufs_force', bool, 'processMonitorRcvBufsForce', NO_CONNECTOR),
    field('rs_init_notifies', bool, 'rsInitNotifies'),
    field('no_checker_emails', bool, 'noCheckerEmails'),
    value(
      'vrrp_rx_bufs_policy',
      custom('MTU|ADVERT|BYTES', 1, (line) => {
        const given = line.words[1] as string;
        if (/^mtu$/i.test(given)) return 'mtu' as const;
        if (/^advert$/i.test(given)) return 'advert' as const;
        return unsigned(given, 1, LARGEST, line);
      }),
      (global, read) => {
        global.vrrpRxBufsPolicy = read;
      },
    ),
    field('vrrp_rx_bufs_multiplier', uint(1, LARGEST), 'vrrpRxBufsMultiplier', { default: '3' }),
    field('vrrp_startup_delay', timer(0.001), 'vrrpStartupDelay'),
    field('vrrp_delay_after_boot', timer(), 'vrrpDelayAfterBoot', U),
    field('log_unknown_vrids', flag, 'logUnknownVrids'),
    field('vrrp_owner_ignore_adverts', bool, 'vrrpOwnerIgnoreAdverts', U),
    field('vmac_prefix', word, 'vmacPrefix', { ...U, default: 'vrrp' }),
    field('vmac_addr_prefix', word, 'vmacAddrPrefix', { ...U, default: 'vmac_prefix' }),
    field('umask', umask, 'umask'),
    value('random_seed', uint(0, LARGEST), (global, seed, line) => {
      global.randomSeed = seed;
      line.reader.definitions.seed(seed);
    }),
    field('reload_check_config', optionalWord('/dev/null', '[LOGFILE=/dev/null]'), 'reloadCheckConfig', U),
    field('reload_time_file', word, 'reloadTimeFile', U),
    field('reload_repeat', flag, 'reloadRepeat', U),
    field('reload_file', optionalWord('', '[PATH]'), 'reloadFile', U),
    value(
      'include_check',
      words('[+|-]read|match|wildcard_match|brace_match ...', 0),
      (global, given, line) => {
        const checks = line.reader.includeChecks;
        const names = {
          read: 'read',
          readable: 'read',
          match: 'match',
          wildcard_match: 'wildcardMatch',
          brace_match: 'braceMatch',
        } as const;
        if (!given.some((text) => /^[+-]/.test(text))) {
          const all = given.length === 0;
          Object.assign(checks, { read: all, match: all, wildcardMatch: all, braceMatch: all });
        }
        for (const text of given) {
          const name = text.replace(/^[+-]/, '');
          if (!Object.hasOwn(names, name)) line.report('error', `'include_check': unknown word '${name}'`);
          else checks[names[name as keyof typeof names]] = !text.startsWith('-');
        }
        global.includeCheck = { ...checks };
      },
      U,
    ),
    field('config_save_dir', word, 'configSaveDir', U),
    field('tmp_config_directory', word, 'tmpConfigDirectory', {
      ...U,
      accepted: 'the file is read once, by one process: no copy of it is needed',
    }),
    field('data_use_instance', bool, 'dataUseInstance', U),
    value(
      'json_version',
      uint(1, 2, { strict: true }),
      (global, version) => {
        global.jsonVersion = version as 1 | 2;
      },
      { ...U, default: '1' },
    ),
    value(
      'iproute_usr_dir',
      word,
      (global, folder) => {
        global.iprouteUsrDir = folder;
        lookIn({ usr: folder });
      },
      U,
    ),
    value(
      'iproute_etc_dir',
      word,
      (global, folder) => {
        global.iprouteEtcDir = folder;
        lookIn({ etc: folder });
      },
      U,
    ),
    field('state_dump_file', word, 'stateDumpFile', U),
    field('stats_dump_file', word, 'statsDumpFile', U),
    field('json_dump_file', word, 'jsonDumpFile', U),
  ],
  {
    tolerant: [
      'router_id',
      'notification_email_from',
      'startup_script',
      'startup_script_timeout',
      'shutdown_script',
      'shutdown_script_timeout',
      'min_auto_priority_delay',
      'default_interface',
      'lvs_timeouts',
      'lvs_sync_daemon',
      'vrrp_garp_extra_if',
      'vrrp_vmac_garp_intvl',
      'vrrp_priority',
      'vrrp_rt_priority',
      'vrrp_cpu_affinity',
      'notify_fifo',
      'notify_fifo_script',
      'vrrp_notify_fifo',
      'vrrp_notify_fifo_script',
      'lvs_notify_fifo',
      'lvs_notify_fifo_script',
      'checker_priority',
      'checker_rt_priority',
      'checker_cpu_affinity',
      'bfd_priority',
      'bfd_rt_priority',
      'bfd_cpu_affinity',
      'snmp_socket',
      'dbus_service_name',
      'script_user',
      'vrrp_netlink_cmd_rcv_bufs',
      'vrrp_netlink_monitor_rcv_bufs',
      'lvs_netlink_cmd_rcv_bufs',
      'lvs_netlink_monitor_rcv_bufs',
      'process_monitor_rcv_bufs',
      'vrrp_rx_bufs_policy',
      'vrrp_rx_bufs_multiplier',
      'reload_time_file',
      'tmp_config_directory',
    ],
    lax: ['smtp_helo_name'],
    once: [
      'lvs_sync_daemon',
      'nftables',
      'nftables_ipvs',
      'snmp_socket',
      'vmac_prefix',
      'vmac_addr_prefix',
      'tmp_config_directory',
    ],
  },
);

function knownInterface(global: Global, name: string, block: string, line: Line): boolean {
  if (global.dynamicInterfaces !== undefined || line.interfaceExists(name)) return true;
  line.diagnostics.report('fatal', `${block}: unknown interface ${name}, the entry is left out`, block);
  return false;
}

/** `linkbeat_interfaces`, `interface_up_down_delays`: entries of root level that end up in the global part. */
export const rootGlobals: Keyword<Global>[] = [
  value('net_namespace', word, (global, name) => {
    global.netNamespace = name;
    global.usePidDir = true;
  }),
  field('net_namespace_ipvs', optionalWord('', '[NAME]'), 'netNamespaceIpvs', {
    ...U,
    accepted:
      'virtual servers are set through the dataplane, which is reached by a socket of the file system',
  }),
  field('namespace_with_ipsets', flag, 'namespaceWithIpsets', NO_IPSETS),
  field('use_pid_dir', flag, 'usePidDir'),
  value('instance', word, (global, name) => {
    global.instance = name;
    global.usePidDir = true;
  }),
  field('child_wait_time', wholeSeconds(), 'childWaitTime', { default: '5 s' }),
  field('linkbeat_use_polling', flag, 'linkbeatUsePolling', {
    accepted: 'link state comes from netlink; every driver of today reports it there',
  }),
  list(
    'linkbeat_interfaces',
    'IF [MII|ETHTOOL|IOCTL]',
    {
      each(global, line) {
        const [name = '', method] = line.words;
        if (!knownInterface(global, name, 'linkbeat_interfaces', line)) return;
        const known = method?.toUpperCase();
        if (known === 'MII' || known === 'ETHTOOL' || known === 'IOCTL') {
          global.linkbeatInterfaces.push({ interface: name, method: known });
        } else {
          if (method !== undefined) line.report('error', `linkbeat_interfaces: unknown method '${method}'`);
          global.linkbeatInterfaces.push({ interface: name });
        }
      },
    },
    { accepted: 'link state comes from netlink; every driver of today reports it there' },
  ),
  list(
    'interface_up_down_delays',
    'IF DOWN [UP]',
    {
      each(global, line) {
        const [name = '', down, up] = line.words;
        if (!knownInterface(global, name, 'interface_up_down_delays', line)) return;
        if (down === undefined) {
          line.report('error', `interface_up_down_delays: '${name}' without a delay`);
          return;
        }
        const read = (given: string) => timer(0, 255).read(Object.assign(line, { words: [name, given] }));
        const first = read(down);
        const second = up === undefined ? first : read(up);
        if (first === undefined || second === undefined) return;
        global.interfaceUpDownDelays.push({ interface: name, down: first, up: second });
      },
    },
    U,
  ),
];
