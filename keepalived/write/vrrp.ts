import type { BfdInstance } from '../model/bfd.js';
import type {
  Encapsulation,
  LockableMetric,
  NextHop,
  NotifyScripts,
  TrackReference,
  VirtualAddress,
  VirtualRoute,
  VirtualRule,
  VrrpInstance,
  VrrpModel,
  VrrpSyncGroup,
} from '../model/vrrp.js';
import { command, inSeconds, quote, type Writer, weight } from './text.js';

function prefixText(prefix: { address: string; prefixLength: number }): string {
  return `${prefix.address}/${prefix.prefixLength}`;
}

function addressLine(address: VirtualAddress): string {
  const words: (string | number)[] = [prefixText(address)];
  if (address.interface !== undefined) words.push('dev', address.interface);
  if (address.scope !== undefined) words.push('scope', address.scope);
  if (address.broadcast !== undefined) words.push('brd', address.broadcast);
  if (address.label !== undefined) words.push('label', quote(address.label));
  if (address.peer) words.push('peer', prefixText(address.peer));
  if (address.home) words.push('home');
  if (address.noDad) words.push('-nodad');
  if (address.manageTemporaryAddress) words.push('mngtmpaddr');
  if (address.noPrefixRoute) words.push('noprefixroute');
  if (address.autoJoin) words.push('autojoin');
  if (address.noTrack) words.push('no_track');
  if (address.preferredLifetime !== undefined) words.push('preferred_lft', address.preferredLifetime);
  if (address.useVmac) words.push('use_vmac');
  if (address.trackGroup !== undefined) words.push('track_group', quote(address.trackGroup));
  return words.join(' ');
}

function realms(value: number): string {
  return value > 65535 ? `${value >>> 16}/${value & 65535}` : String(value);
}

function encapsulation(encap: Encapsulation): string[] {
  switch (encap.kind) {
    case 'mpls':
      return ['encap', 'mpls', encap.labels.join('/')];
    case 'ila': {
      const parts = [48n, 32n, 16n, 0n].map((shift) => ((encap.locator >> shift) & 0xffffn).toString(16));
      return ['encap', 'ila', parts.join(':')];
    }
    default: {
      const words = ['encap', encap.kind];
      if (encap.id !== undefined) words.push('id', String(encap.id));
      if (encap.destination !== undefined) words.push('dst', encap.destination);
      if (encap.source !== undefined) words.push('src', encap.source);
      const tos = encap.kind === 'ip' ? encap.tos : encap.trafficClass;
      if (tos !== undefined) words.push('tos', String(tos));
      const ttl = encap.kind === 'ip' ? encap.ttl : encap.hopLimit;
      if (ttl !== undefined) words.push('ttl', String(ttl));
      if (encap.flags !== undefined) words.push('flags', String(encap.flags));
      return words;
    }
  }
}

function nextHop(hop: NextHop): string[] {
  const words = ['nexthop'];
  if (hop.family) words.push(hop.family === 'ipv4' ? 'inet' : 'inet6');
  if (hop.via !== undefined) words.push('via', hop.via);
  if (hop.interface !== undefined) words.push('dev', hop.interface);
  words.push('weight', String(hop.weight));
  if (hop.onlink) words.push('onlink');
  if (hop.realms !== undefined) words.push('realms', realms(hop.realms));
  if (hop.encap) words.push(...encapsulation(hop.encap));
  return words;
}

/** A route as keepalived.conf writes it. */
export function routeLine(route: VirtualRoute): string {
  const words: (string | number)[] = [route.family === 'ipv4' ? 'inet' : 'inet6', route.type];
  if (route.mode !== 'add') words.push(route.mode);
  words.push('to', route.destination ? prefixText(route.destination) : 'default');
  const put = (name: string, value: string | number | undefined) => {
    if (value !== undefined) words.push(name, value);
  };
  const lockable = (name: string, metric: LockableMetric | undefined, unit = '') => {
    if (metric) words.push(name, ...(metric.lock ? ['lock'] : []), `${metric.value}${unit}`);
  };
  if (route.via !== undefined) {
    words.push('via', ...(route.viaFamily ? [route.viaFamily === 'ipv4' ? 'inet' : 'inet6'] : []), route.via);
  }
  put('src', route.source);
  put('from', route.from && prefixText(route.from));
  put('tos', route.tos);
  put('table', route.table);
  put('protocol', route.protocol);
  put('scope', route.scope);
  put('metric', route.metric);
  put('dev', route.interface);
  put('vrf', route.vrf);
  if (route.onlink) words.push('onlink');
  if (route.encap) words.push(...encapsulation(route.encap));
  put('expires', route.expires);
  lockable('mtu', route.mtu);
  put('hoplimit', route.hopLimit);
  lockable('advmss', route.advmss);
  lockable('rtt', route.rtt, 'ms');
  lockable('rttvar', route.rttvar, 'ms');
  lockable('reordering', route.reordering);
  put('window', route.window);
  lockable('cwnd', route.cwnd);
  lockable('ssthresh', route.ssthresh);
  put('realms', route.realms === undefined ? undefined : realms(route.realms));
  lockable('rto_min', route.rtoMin, 'ms');
  put('initcwnd', route.initcwnd);
  put('initrwnd', route.initrwnd);
  if (route.ecn) words.push('features', 'ecn');
  if (route.quickAck !== undefined) words.push('quickack', route.quickAck ? 1 : 0);
  if (route.congestionControl) {
    words.push('congctl', ...(route.congestionControl.lock ? ['lock'] : []), route.congestionControl.name);
  }
  put('pref', route.preference);
  if (route.ttlPropagate !== undefined)
    words.push('ttl-propagate', route.ttlPropagate ? 'enabled' : 'disabled');
  if (route.fastOpenNoCookie !== undefined) words.push('fastopen_no_cookie', route.fastOpenNoCookie ? 1 : 0);
  if (route.noTrack) words.push('no_track');
  put('track_group', route.trackGroup && quote(route.trackGroup));
  for (const hop of route.nextHops) words.push(...nextHop(hop));
  return words.join(' ');
}

/** A rule as keepalived.conf writes it. */
export function ruleLine(rule: VirtualRule): string {
  const words: (string | number)[] = [rule.family === 'ipv4' ? 'inet' : 'inet6'];
  const put = (name: string, value: string | number | bigint | undefined) => {
    if (value !== undefined) words.push(name, String(value));
  };
  const range = (value: { start: number; end: number } | undefined) => value && `${value.start}-${value.end}`;
  if (rule.invert) words.push('not');
  put('from', rule.from && prefixText(rule.from));
  put('to', rule.to && prefixText(rule.to));
  put('preference', rule.priority);
  put('tos', rule.tos);
  put('fwmark', rule.mark && `${rule.mark.value}/${rule.mark.mask}`);
  put('dev', rule.inputInterface);
  put('oif', rule.outputInterface);
  put('tunnel-id', rule.tunnelId);
  put('uidrange', range(rule.uidRange));
  put('protocol', rule.protocol);
  put('ipproto', rule.ipProtocol);
  put('sport', range(rule.sourcePorts));
  put('dport', range(rule.destinationPorts));
  if (rule.action === 'table') put('table', rule.table);
  else if (rule.action === 'goto') put('goto', rule.gotoTarget);
  else words.push(rule.action);
  put('realms', rule.realms === undefined ? undefined : realms(rule.realms));
  put('suppress_prefixlength', rule.suppressPrefixLength);
  put('suppress_ifgroup', rule.suppressInterfaceGroup);
  if (rule.noTrack) words.push('no_track');
  put('track_group', rule.trackGroup && quote(rule.trackGroup));
  return words.join(' ');
}

function reference(entry: TrackReference): string {
  return entry.weight === undefined
    ? quote(entry.name)
    : `${quote(entry.name)} weight ${weight(entry.weight, entry.reverse)}`;
}

function writeTracks(writer: Writer, of: VrrpInstance | VrrpSyncGroup): void {
  writer.list('track_interface', of.trackInterfaces.map(reference));
  writer.list('track_script', of.trackScripts.map(reference));
  writer.list('track_file', of.trackFiles.map(reference));
  writer.list('track_process', of.trackProcesses.map(reference));
  writer.list('track_bfd', of.trackBfd.map(reference));
}

function writeNotify(writer: Writer, notify: NotifyScripts): void {
  writer.optional('notify_master', notify.master, command);
  writer.optional('notify_backup', notify.backup, command);
  writer.optional('notify_fault', notify.fault, command);
  writer.optional('notify_stop', notify.stop, command);
  writer.optional('notify', notify.any, command);
  writer.optional('notify_master_rx_lower_pri', notify.masterReceivedLowerPriority, command);
  if (notify.deleted === true) writer.line('notify_deleted');
  else writer.optional('notify_deleted', notify.deleted, command);
}

function writeInstance(writer: Writer, i: VrrpInstance, multicast: string): void {
  writer.block(`vrrp_instance ${quote(i.name)}`, () => {
    writer.line('state', i.initialState.toUpperCase());
    if (i.family === 'ipv6') writer.line('native_ipv6');
    writer.optional('interface', i.interface, quote);
    writer.optional('dpdk_interface', i.dpdkInterface, quote);
    writer.optional('vrf', i.vrf, quote);
    writer.line('virtual_router_id', i.virtualRouterId);
    writer.line('priority', i.priority);
    writer.line('version', i.version);
    writer.line('advert_int', inSeconds(i.advertInterval));
    if (i.virtualMac) {
      const mac = i.virtualMac;
      const words: (string | number)[] = [];
      if (mac.name !== undefined) words.push('name', mac.name);
      if (mac.mac !== undefined) words.push(mac.mac);
      if (mac.address !== undefined) words.push(mac.address);
      if (mac.mode !== undefined) words.push(mac.mode);
      if (mac.netlinkNotify) words.push('netlink_notify_msg');
      if (mac.group !== undefined) words.push('group', mac.group);
      writer.line(mac.kind === 'macvlan' ? 'use_vmac' : 'use_ipvlan', ...words);
      writer.flag('vmac_xmit_base', mac.transmitBase);
    }
    writer.flag('use_vmac_addr', i.virtualMacForAddresses);
    if (i.unicastPeers) {
      writer.block('unicast_peer', () => {
        for (const peer of i.unicastPeers ?? []) {
          writer.line(peer.address, 'min_ttl', peer.minTtl, 'max_ttl', peer.maxTtl);
        }
      });
    }
    writer.flag('unicast_fault_no_peer', i.unicastFaultNoPeer);
    writer.flag('check_unicast_src', i.checkUnicastSource);
    writer.optional('unicast_ttl', i.unicastTtl);
    if (i.oldUnicastChecksum !== 'detect') {
      writer.line('old_unicast_checksum', i.oldUnicastChecksum === 'never' ? 'never' : undefined);
    }
    writer.optional(i.unicastPeers ? 'unicast_src_ip' : 'mcast_src_ip', i.sourceAddress);
    writer.flag('track_src_ip', i.trackSourceAddress);
    if (i.multicastGroup !== multicast) writer.line('mcast_dst_ip', i.multicastGroup);
    writer.flag('dont_track_primary', i.dontTrackPrimary);
    writeTracks(writer, i);
    writer.list('virtual_ipaddress', i.virtualAddresses.map(addressLine));
    if (i.virtualAddresses.length === 0) writer.line('no_virtual_ipaddress');
    writer.list('virtual_ipaddress_excluded', i.excludedAddresses.map(addressLine));
    writer.list('virtual_routes', i.virtualRoutes.map(routeLine));
    writer.list('virtual_rules', i.virtualRules.map(ruleLine));
    writer.flag('promote_secondaries', i.promoteSecondaries);
    writer.bool('v3_checksum_as_v2', i.v3ChecksumAsV2);
    writer.line(i.accept ? 'accept' : 'no_accept');
    writer.bool('skip_check_adv_addr', i.skipCheckAdvertAddresses);
    writer.bool('strict_mode', i.strict);
    writer.line(i.preempt ? 'preempt' : 'nopreempt');
    writer.line('preempt_delay', inSeconds(i.preemptDelay));
    writer.line('down_timer_adverts', i.downTimerAdverts);
    writer.optional('timer_expired_backup', i.timerExpiredBackupPriority);
    writer.line('garp_master_delay', inSeconds(i.garp.delay));
    writer.line('garp_master_repeat', i.garp.repeat);
    writer.line('garp_master_refresh', inSeconds(i.garp.refresh));
    writer.line('garp_master_refresh_repeat', i.garp.refreshRepeat);
    writer.line('garp_lower_prio_delay', inSeconds(i.garp.lowerPriorityDelay));
    writer.line('garp_lower_prio_repeat', i.garp.lowerPriorityRepeat);
    writer.line(
      'garp_extra_if',
      i.garp.extraInterfaceAll ? 'all' : undefined,
      inSeconds(i.garp.extraInterfaceInterval),
    );
    writer.bool('lower_prio_no_advert', i.lowerPriorityNoAdvert);
    writer.bool('higher_prio_send_advert', i.higherPrioritySendAdvert);
    writer.bool('owner_ignore_adverts', i.ownerIgnoreAdverts);
    writer.optional('kernel_rx_buf_size', i.kernelReceiveBuffer);
    if (i.authentication) {
      const { type, password } = i.authentication;
      writer.block('authentication', () => {
        writer.line('auth_type', type.toUpperCase());
        writer.line('auth_pass', quote(password));
      });
    }
    if (i.authHmac) {
      const hmac = i.authHmac;
      writer.block('auth_hmac', () => {
        for (const key of hmac.keys) writer.line('key', key.id, `hex:${key.secretHex}`);
        writer.line('active_key', hmac.activeKey);
        writer.line('time_window', inSeconds(hmac.timeWindow));
        writer.line('anti_replay', hmac.antiReplay);
        writer.line('mode', hmac.mode);
      });
    }
    writeNotify(writer, i.notify);
    writer.bool('smtp_alert', i.smtpAlert);
    writer.bool('notify_priority_changes', i.notifyPriorityChanges);
    writer.line('debug', i.debug);
  });
}

function writeGroup(writer: Writer, group: VrrpSyncGroup): void {
  writer.block(`vrrp_sync_group ${quote(group.name)}`, () => {
    writer.list('group', group.members.map(quote));
    writer.flag('sync_group_tracking_weight', group.trackingWeight);
    writeTracks(writer, group);
    writeNotify(writer, group.notify);
    writer.bool('smtp_alert', group.smtpAlert);
    writer.bool('notify_priority_changes', group.notifyPriorityChanges);
  });
}

/** BFD sessions; they come first, because checks may only refer to what stands above them. */
export function writeBfd(writer: Writer, sessions: readonly BfdInstance[]): void {
  for (const one of sessions) {
    writer.block(`bfd_instance ${quote(one.name)}`, () => {
      writer.line('neighbor_ip', one.neighbourIp);
      writer.optional('source_ip', one.sourceIp);
      writer.line('min_rx', one.minRx);
      writer.line('min_tx', one.minTx);
      writer.line('idle_tx', one.idleTx);
      writer.line('multiplier', one.multiplier);
      writer.flag('passive', one.passive);
      writer.line('ttl', one.ttl);
      writer.line('max_hops', one.maxHops);
      writer.bool('multihop', one.multihop);
      writer.flag('vrrp', one.vrrp);
      writer.flag('checker', one.checker);
      writer.line('weight', weight(one.weight, one.reverse ? true : undefined));
    });
  }
}

/** Everything of VRRP but what is in `global_defs`. */
export function writeVrrp(writer: Writer, model: VrrpModel): void {
  for (const script of model.scripts) {
    writer.block(`vrrp_script ${quote(script.name)}`, () => {
      writer.line('script', command(script.script));
      writer.line('interval', inSeconds(script.interval));
      writer.line('timeout', inSeconds(script.timeout));
      writer.line('weight', weight(script.weight, script.reverse ? true : undefined));
      writer.line('rise', script.rise);
      writer.line('fall', script.fall);
      writer.flag('init_fail', script.initFail);
    });
  }
  for (const file of model.trackFiles) {
    writer.block(`track_file ${quote(file.name)}`, () => {
      writer.line('file', quote(file.path));
      writer.line('weight', weight(file.weight, file.reverse ? true : undefined));
      if (file.init) writer.line('init_file', file.init.value, file.init.overwrite ? 'overwrite' : undefined);
    });
  }
  for (const one of model.trackProcesses) {
    writer.block(`vrrp_track_process ${quote(one.name)}`, () => {
      writer.line('process', ...one.argv.map(quote));
      if (one.parameterMatch) {
        writer.line('param_match', one.parameterMatch === 'exact' ? undefined : one.parameterMatch);
      }
      writer.flag('full_command', one.fullCommand);
      writer.line('weight', weight(one.weight, one.reverse ? true : undefined));
      writer.line('quorum', one.quorum);
      writer.optional('quorum_max', one.quorumMax);
      if (one.forkDelay > 0) writer.line('fork_delay', inSeconds(one.forkDelay));
      if (one.terminateDelay > 0) writer.line('terminate_delay', inSeconds(one.terminateDelay));
    });
  }
  for (const group of model.trackGroups) {
    writer.block(`track_group ${quote(group.name)}`, () => writer.list('group', group.instances.map(quote)));
  }
  for (const group of model.garpGroups) {
    writer.block('garp_group', () => {
      writer.optional('garp_interval', group.garpInterval, inSeconds);
      writer.optional('gna_interval', group.gnaInterval, inSeconds);
      writer.list('interfaces', group.interfaces.map(quote));
    });
  }
  writer.list('static_ipaddress', model.staticAddresses.map(addressLine));
  writer.list('static_routes', model.staticRoutes.map(routeLine));
  writer.list('static_rules', model.staticRules.map(ruleLine));
  const { multicastGroup4, multicastGroup6 } = model.globals;
  for (const instance of model.instances) {
    writeInstance(writer, instance, instance.family === 'ipv4' ? multicastGroup4 : multicastGroup6);
  }
  for (const group of model.syncGroups) writeGroup(writer, group);
}
