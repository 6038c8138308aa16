import type { Global, NotifyFifo, ProcessTuning } from '../model/global.js';
import type { EngineSettings } from '../model/virtual-server.js';
import { command, inSeconds, quote, type Writer } from './text.js';

/** What stands at root level. */
export function writeRoot(writer: Writer, g: Global): void {
  writer.optional('net_namespace', g.netNamespace, quote);
  if (g.netNamespaceIpvs !== undefined) writer.line('net_namespace_ipvs', g.netNamespaceIpvs || undefined);
  writer.flag('namespace_with_ipsets', g.namespaceWithIpsets);
  writer.optional('instance', g.instance, quote);
  writer.flag('use_pid_dir', g.usePidDir);
  writer.line('child_wait_time', inSeconds(g.childWaitTime));
  writer.flag('linkbeat_use_polling', g.linkbeatUsePolling);
  writer.list(
    'linkbeat_interfaces',
    g.linkbeatInterfaces.map((entry) => [entry.interface, entry.method].filter(Boolean).join(' ')),
  );
  writer.list(
    'interface_up_down_delays',
    g.interfaceUpDownDelays.map(
      (entry) => `${entry.interface} ${inSeconds(entry.down)} ${inSeconds(entry.up)}`,
    ),
  );
}

function writeFifo(writer: Writer, name: string, fifo: NotifyFifo | undefined): void {
  if (!fifo) return;
  if (fifo.path !== '') writer.line(name, quote(fifo.path), fifo.user, fifo.group);
  writer.optional(`${name}_script`, fifo.script, command);
}

function writeTuning(writer: Writer, prefix: string, tuning: ProcessTuning): void {
  writer.optional(`${prefix}_process_name`, tuning.name, quote);
  writer.optional(`${prefix}_priority`, tuning.priority);
  writer.flag(`${prefix}_no_swap`, tuning.noSwap);
  writer.optional(`${prefix}_rt_priority`, tuning.rtPriority);
  if (tuning.cpuAffinity && tuning.cpuAffinity.length > 0)
    writer.line(`${prefix}_cpu_affinity`, ...tuning.cpuAffinity);
  writer.optional(`${prefix}_rlimit_rttime`, tuning.rlimitRttime);
}

function optionalArgument(writer: Writer, keyword: string, value: string | undefined): void {
  if (value !== undefined) writer.line(keyword, value === '' ? undefined : quote(value));
}

/** The whole of `global_defs`. */
export function writeGlobalDefs(writer: Writer, g: Global, engine: EngineSettings): void {
  writer.block('global_defs', () => {
    writer.line('dialect', g.dialect);
    writer.bool('checker_share_probes', engine.shareProbes);
    const { driver, path } = engine.director;
    writer.line('lvs_director', driver, path === undefined ? undefined : quote(path));
    writer.flag('process_names', g.processNames);
    writer.optional('process_name', g.processName, quote);
    writeTuning(writer, 'vrrp', g.vrrp);
    writeTuning(writer, 'checker', g.checker);
    writeTuning(writer, 'bfd', g.bfd);
    writer.bool('use_symlink_paths', g.useSymlinkPaths);
    writer.bool('set_supplementary_groups', g.setSupplementaryGroups);
    writer.optional('router_id', g.routerId, quote);
    writer.optional('notification_email_from', g.notificationEmailFrom, quote);
    if (g.smtpServer) writer.line('smtp_server', quote(g.smtpServer.host), g.smtpServer.port);
    writer.optional('smtp_helo_name', g.smtpHeloName, quote);
    writer.line('smtp_connect_timeout', inSeconds(g.smtpConnectTimeout));
    writer.list('notification_email', g.notificationEmail.map(quote));
    writer.bool('smtp_alert', g.smtpAlert);
    writer.bool('smtp_alert_vrrp', g.smtpAlertVrrp);
    writer.bool('smtp_alert_checker', g.smtpAlertChecker);
    writer.flag('no_email_faults', g.noEmailFaults);
    writer.bool('no_checker_emails', g.noCheckerEmails);
    writer.optional('startup_script', g.startupScript, command);
    writer.line('startup_script_timeout', inSeconds(g.startupScriptTimeout));
    writer.optional('shutdown_script', g.shutdownScript, command);
    writer.line('shutdown_script_timeout', inSeconds(g.shutdownScriptTimeout));
    writer.optional('max_auto_priority', g.maxAutoPriority);
    writer.line('min_auto_priority_delay', g.minAutoPriorityDelay);
    writer.bool('checker_log_all_failures', g.checkerLogAllFailures);
    if (g.dynamicInterfaces) {
      writer.line('dynamic_interfaces', g.dynamicInterfaces === 'yes' ? undefined : 'allow_if_changes');
    }
    writer.optional('default_interface', g.defaultInterface, quote);
    writer.flag('disable_local_igmp', g.disableLocalIgmp);
    writer.bool('v3_checksum_as_v2', g.v3ChecksumAsV2);
    if (g.lvsTimeouts) {
      const entries = Object.entries(g.lvsTimeouts).map(([name, time]) => `${name} ${inSeconds(time)}`);
      if (entries.length > 0) writer.line('lvs_timeouts', ...entries);
    }
    writer.flag('lvs_flush', g.lvsFlush);
    if (g.lvsFlushOnStop) writer.line('lvs_flush_on_stop', g.lvsFlushOnStop === 'vs' ? 'VS' : undefined);
    if (g.lvsSyncDaemon) {
      const daemon = g.lvsSyncDaemon;
      const words: string[] = [daemon.interface];
      if (daemon.instance !== undefined) words.push('inst', quote(daemon.instance));
      for (const key of ['id', 'maxlen', 'port', 'ttl', 'group'] as const) {
        if (daemon[key] !== undefined) words.push(key, String(daemon[key]));
      }
      writer.line('lvs_sync_daemon', ...words);
    }
    writer.line('vrrp_mcast_group4', g.vrrpMcastGroup4);
    writer.line('vrrp_mcast_group6', g.vrrpMcastGroup6);
    writer.line('vrrp_garp_master_delay', inSeconds(g.vrrpGarpMasterDelay));
    writer.line('vrrp_garp_master_repeat', g.vrrpGarpMasterRepeat);
    writer.line('vrrp_garp_master_refresh', inSeconds(g.vrrpGarpMasterRefresh));
    writer.line('vrrp_garp_master_refresh_repeat', g.vrrpGarpMasterRefreshRepeat);
    writer.optional('vrrp_garp_lower_prio_delay', g.vrrpGarpLowerPrioDelay, inSeconds);
    writer.optional('vrrp_garp_lower_prio_repeat', g.vrrpGarpLowerPrioRepeat);
    writer.line('vrrp_down_timer_adverts', g.vrrpDownTimerAdverts);
    writer.line('vrrp_garp_interval', inSeconds(g.vrrpGarpInterval));
    writer.line('vrrp_gna_interval', inSeconds(g.vrrpGnaInterval));
    writer.bool('vrrp_min_garp', g.vrrpMinGarp);
    writer.optional(
      'vrrp_garp_extra_if',
      g.vrrpGarpExtraIf,
      ({ all, interval }) => `${all ? 'all ' : ''}${inSeconds(interval)}`,
    );
    writer.bool('vrrp_lower_prio_no_advert', g.vrrpLowerPrioNoAdvert);
    writer.bool('vrrp_higher_prio_send_advert', g.vrrpHigherPrioSendAdvert);
    writer.line('vrrp_version', g.vrrpVersion);
    if (g.vrrpIptables) writer.line('vrrp_iptables', ...g.vrrpIptables.map(quote));
    if (g.vrrpIpsets) writer.line('vrrp_ipsets', ...g.vrrpIpsets.map(quote));
    writer.optional('nftables', g.nftables, quote);
    writer.optional('nftables_priority', g.nftablesPriority);
    writer.flag('nftables_ifindex', g.nftablesIfindex);
    writer.flag('nftables_counters', g.nftablesCounters);
    writer.optional('nftables_ipvs', g.nftablesIpvs, quote);
    writer.optional('nftables_ipvs_priority', g.nftablesIpvsPriority);
    writer.optional('nftables_ipvs_start_fwmark', g.nftablesIpvsStartFwmark);
    writer.flag('vrrp_check_unicast_src', g.vrrpCheckUnicastSrc);
    writer.bool('vrrp_skip_check_adv_addr', g.vrrpSkipCheckAdvAddr);
    writer.bool('vrrp_strict', g.vrrpStrict);
    writeFifo(writer, 'notify_fifo', g.notifyFifo);
    writeFifo(writer, 'vrrp_notify_fifo', g.vrrpNotifyFifo);
    writeFifo(writer, 'lvs_notify_fifo', g.lvsNotifyFifo);
    writer.bool('vrrp_notify_priority_changes', g.vrrpNotifyPriorityChanges);
    writer.flag('fifo_write_vrrp_states_on_reload', g.fifoWriteVrrpStatesOnReload);
    writer.optional('snmp_socket', g.snmpSocket, quote);
    writer.flag('enable_traps', g.enableTraps);
    writer.flag('enable_snmp_vrrp', g.enableSnmpVrrp);
    writer.flag('enable_snmp_rfcv2', g.enableSnmpRfcv2);
    writer.flag('enable_snmp_rfcv3', g.enableSnmpRfcv3);
    writer.flag('enable_snmp_checker', g.enableSnmpChecker);
    writer.optional('snmp_vs_stats_update_interval', g.snmpVsStatsUpdateInterval, inSeconds);
    writer.optional('snmp_rs_stats_update_interval', g.snmpRsStatsUpdateInterval, inSeconds);
    writer.flag('enable_dbus', g.enableDbus);
    writer.optional('dbus_service_name', g.dbusServiceName, quote);
    writer.optional('dbus_no_interface_name', g.dbusNoInterfaceName, quote);
    if (g.scriptUser !== undefined) writer.line('script_user', g.scriptUser, g.scriptGroup);
    writer.flag('enable_script_security', g.enableScriptSecurity);
    for (const [prefix, buffers] of [
      ['vrrp', g.vrrpNetlink],
      ['lvs', g.lvsNetlink],
    ] as const) {
      writer.optional(`${prefix}_netlink_cmd_rcv_bufs`, buffers.cmd);
      writer.bool(`${prefix}_netlink_cmd_rcv_bufs_force`, buffers.cmdForce);
      writer.optional(`${prefix}_netlink_monitor_rcv_bufs`, buffers.monitor);
      writer.bool(`${prefix}_netlink_monitor_rcv_bufs_force`, buffers.monitorForce);
    }
    writer.optional('process_monitor_rcv_bufs', g.processMonitorRcvBufs);
    writer.bool('process_monitor_rcv_bufs_force', g.processMonitorRcvBufsForce);
    writer.bool('rs_init_notifies', g.rsInitNotifies);
    writer.optional('vrrp_rx_bufs_policy', g.vrrpRxBufsPolicy, (policy) => String(policy).toUpperCase());
    writer.line('vrrp_rx_bufs_multiplier', g.vrrpRxBufsMultiplier);
    writer.optional('vrrp_startup_delay', g.vrrpStartupDelay, inSeconds);
    writer.optional('vrrp_delay_after_boot', g.vrrpDelayAfterBoot, inSeconds);
    writer.flag('log_unknown_vrids', g.logUnknownVrids);
    writer.bool('vrrp_owner_ignore_adverts', g.vrrpOwnerIgnoreAdverts);
    writer.optional('vmac_prefix', g.vmacPrefix, quote);
    writer.optional('vmac_addr_prefix', g.vmacAddrPrefix, quote);
    writer.optional('umask', g.umask, (mask) => `0${mask.toString(8)}`);
    writer.optional('random_seed', g.randomSeed);
    writer.optional('reload_check_config', g.reloadCheckConfig, quote);
    writer.optional('reload_time_file', g.reloadTimeFile, quote);
    writer.flag('reload_repeat', g.reloadRepeat);
    optionalArgument(writer, 'reload_file', g.reloadFile);
    const checks = g.includeCheck;
    writer.line(
      'include_check',
      `${checks.read ? '+' : '-'}read`,
      `${checks.match ? '+' : '-'}match`,
      `${checks.wildcardMatch ? '+' : '-'}wildcard_match`,
      `${checks.braceMatch ? '+' : '-'}brace_match`,
    );
    writer.optional('config_save_dir', g.configSaveDir, quote);
    writer.optional('tmp_config_directory', g.tmpConfigDirectory, quote);
    writer.bool('data_use_instance', g.dataUseInstance);
    writer.line('json_version', g.jsonVersion);
    writer.optional('iproute_usr_dir', g.iprouteUsrDir, quote);
    writer.optional('iproute_etc_dir', g.iprouteEtcDir, quote);
    writer.optional('state_dump_file', g.stateDumpFile, quote);
    writer.optional('stats_dump_file', g.statsDumpFile, quote);
    writer.optional('json_dump_file', g.jsonDumpFile, quote);
  });
}
