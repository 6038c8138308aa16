import type { Dialect } from '../model/global.js';
import type {
  CheckEndpoint,
  Checker,
  CheckTiming,
  Forwarding,
  GroupEntry,
  LoadBalancing,
  RealServer,
  Target,
  VirtualServer,
} from '../model/virtual-server.js';
import { command, escaped, inSeconds, quote, type Writer, weight } from './text.js';

function forwardingText(forwarding: Forwarding): string {
  const { method, tunnel } = forwarding;
  if (!tunnel) return method;
  const port = tunnel.type === 'gue' ? ` port ${tunnel.port}` : '';
  return `${method} type ${tunnel.type}${port} ${tunnel.checksum === 'none' ? 'nocsum' : tunnel.checksum}`;
}

function range(first: string, last: string): string {
  return first === last ? first : `${first}-${last}`;
}

/** The last octet, or the last 16 bits, of a range's end: the only form that all blocks take. */
function shortRange(first: string, last: string): string {
  if (first === last) return first;
  const end = last.includes(':') ? /([0-9a-f]*)$/.exec(last)?.[1] || '0' : (last.split('.')[3] as string);
  return `${first}-${end}`;
}

function groupEntry(entry: GroupEntry): string {
  if (entry.kind === 'fwmark') return `fwmark ${entry.mark} ${entry.family === 4 ? 'inet' : 'inet6'}`;
  return `${range(entry.first, entry.last)} ${entry.port}`;
}

function targetText(target: Target): string {
  switch (target.kind) {
    case 'address':
      return `${target.address} ${target.port}`;
    case 'fwmark':
      return `fwmark ${target.mark}`;
    default:
      return `${target.kind} ${quote(target.name)}`;
  }
}

function writeTiming(writer: Writer, timing: CheckTiming): void {
  writer.line('retry', timing.retry);
  writer.line('delay_before_retry', inSeconds(timing.delayBeforeRetry));
  writer.line('warmup', inSeconds(timing.warmup));
  writer.line('delay_loop', inSeconds(timing.delayLoop));
  writer.bool('alpha', timing.alpha);
  writer.bool('log_all_failures', timing.logAllFailures);
}

function writeEndpoint(writer: Writer, endpoint: CheckEndpoint): void {
  writer.line('connect_ip', endpoint.connectAddress);
  if (endpoint.connectPort > 0) writer.line('connect_port', endpoint.connectPort);
  writer.optional('bindto', endpoint.bindAddress);
  writer.optional('bind_port', endpoint.bindPort);
  writer.optional('bind_if', endpoint.bindInterface, quote);
  writer.line('connect_timeout', inSeconds(endpoint.connectTimeout));
  writer.line('fwmark', endpoint.fwmark);
}

/** Bytes in the form that the dialect reads: text for DPVS, hex for everybody else. */
function bytes(hex: string, dialect: Dialect): string {
  if (dialect === 'dpvs') return `"${Buffer.from(hex, 'hex').toString()}"`;
  return hex === '' ? '""' : hex;
}

function writeChecker(writer: Writer, checker: Checker, server: VirtualServer, dialect: Dialect): void {
  writer.block(checker.kind, () => {
    switch (checker.kind) {
      case 'FILE_CHECK':
        writer.line('track_file', quote(checker.trackFile));
        writer.line('weight', weight(checker.weight, checker.reverse));
        return;
      case 'BFD_CHECK':
        writer.line('name', quote(checker.name));
        writer.bool('alpha', checker.alpha);
        return;
      case 'MISC_CHECK': {
        writeTiming(writer, checker);
        const { argv, user, group } = checker.script;
        writer.line('misc_path', command({ argv }));
        if (checker.timeout !== server.inherited.delayLoop)
          writer.line('misc_timeout', inSeconds(checker.timeout));
        writer.flag('misc_dynamic', checker.dynamic);
        if (user !== undefined) writer.line('user', user, group);
        return;
      }
    }
    writeTiming(writer, checker);
    writeEndpoint(writer, checker);
    switch (checker.kind) {
      case 'UDP_CHECK':
        writer.optional('payload', checker.payload, (hex) => bytes(hex, dialect));
        if (checker.requireReply) {
          const { pattern, minLength, maxLength } = checker.requireReply;
          writer.line('require_reply', pattern === '' ? undefined : bytes(pattern, dialect));
          writer.line('min_reply_length', minLength);
          writer.line('max_reply_length', maxLength);
        }
        break;
      case 'SMTP_CHECK':
        writer.line('helo_name', quote(checker.heloName));
        break;
      case 'DNS_CHECK':
        writer.line('type', checker.type);
        writer.line('name', quote(checker.name));
        break;
      case 'HTTP_GET':
      case 'SSL_GET':
        writer.optional('virtualhost', checker.virtualHost, quote);
        writer.line('http_protocol', checker.httpProtocol);
        writer.optional('sni_name', checker.sniName, quote);
        writer.bool('enable_sni', checker.enableSni);
        writer.bool('fast_recovery', checker.fastRecovery);
        if (checker.kind === 'SSL_GET') writer.bool('tls_compliant', checker.tlsCompliant);
        for (const url of checker.urls) {
          writer.block('url', () => {
            writer.line('path', quote(url.path));
            writer.optional('virtualhost', url.virtualHost, quote);
            writer.optional('digest', url.digest);
            writer.line(
              'status_code',
              ...url.statusCodes.map(([first, last]) => range(String(first), String(last))),
            );
            if (url.regex) {
              writer.line('regex', `"${escaped(url.regex.pattern)}"`);
              if (url.regex.options.length > 0) writer.line('regex_options', ...url.regex.options);
              writer.flag('regex_no_match', url.regex.noMatch);
              writer.line('regex_min_offset', url.regex.minOffset);
              if (url.regex.maxOffset > 0) writer.line('regex_max_offset', url.regex.maxOffset);
            }
            if (checker.kind === 'SSL_GET') writer.bool('tls_compliant', url.tlsCompliant);
          });
        }
        break;
    }
  });
}

function writeRealServer(writer: Writer, real: RealServer, server: VirtualServer, dialect: Dialect): void {
  writer.block(`real_server ${real.address} ${real.port}`, () => {
    writer.line('weight', real.weight);
    writer.line('lvs_method', forwardingText(real.forwarding));
    writer.line('uthreshold', real.upperThreshold);
    writer.line('lthreshold', real.lowerThreshold);
    writer.bool('inhibit_on_failure', real.inhibitOnFailure);
    writer.bool('alpha', real.alpha);
    writer.optional('notify_up', real.notifyUp, command);
    writer.optional('notify_down', real.notifyDown, command);
    writer.bool('smtp_alert', real.smtpAlert);
    writer.optional('virtualhost', real.virtualHost, quote);
    writer.optional('snmp_name', real.snmpName, quote);
    for (const checker of real.checkers) writeChecker(writer, checker, server, dialect);
  });
}

function writeVirtualServer(
  writer: Writer,
  server: VirtualServer,
  model: LoadBalancing,
  dialect: Dialect,
): void {
  const { target } = server;
  const marks =
    target.kind === 'fwmark' ||
    (target.kind === 'group' &&
      (model.groups[target.name]?.every((entry) => entry.kind === 'fwmark') ?? false));
  writer.block(`virtual_server ${targetText(target)}`, () => {
    if (target.kind !== 'address') writer.line('ip_family', server.family === 4 ? 'inet' : 'inet6');
    if (!marks || dialect === 'dpvs') writer.line('protocol', server.protocol);
    writer.line('lb_algo', server.scheduler);
    writer.flag('flag-1', server.schedulerFlags.flag1);
    writer.flag('flag-2', server.schedulerFlags.flag2);
    writer.flag('flag-3', server.schedulerFlags.flag3);
    writer.flag('ops', server.ops);
    writer.line('lb_kind', forwardingText(server.forwarding));
    if (server.persistenceTimeout > 0)
      writer.line('persistence_timeout', inSeconds(server.persistenceTimeout));
    writer.optional('persistence_granularity', server.persistenceGranularity);
    writer.optional('persistence_engine', server.persistenceEngine, quote);
    const { inherited } = server;
    writer.line('delay_loop', inSeconds(inherited.delayLoop));
    writer.line('connect_timeout', inSeconds(inherited.connectTimeout));
    writer.optional('retry', inherited.retry);
    writer.optional('delay_before_retry', inherited.delayBeforeRetry, inSeconds);
    writer.optional('warmup', inherited.warmup, inSeconds);
    writer.line('weight', inherited.weight);
    writer.flag('inhibit_on_failure', inherited.inhibitOnFailure);
    writer.flag('alpha', server.alpha);
    writer.flag('omega', server.omega);
    writer.flag('ha_suspend', server.haSuspend);
    writer.bool('smtp_alert', server.smtpAlert);
    writer.optional('virtualhost', server.virtualHost, quote);
    writer.optional('snmp_name', server.snmpName, quote);
    writer.line('quorum', server.quorum);
    writer.line('hysteresis', server.hysteresis);
    writer.optional('quorum_up', server.quorumUp, command);
    writer.optional('quorum_down', server.quorumDown, command);
    if (server.sorryServer) {
      const sorry = server.sorryServer;
      writer.line('sorry_server', sorry.address, sorry.port);
      writer.line('sorry_server_lvs_method', forwardingText(sorry.forwarding));
      writer.flag('sorry_server_inhibit', sorry.inhibit);
    }
    writer.flag('syn_proxy', server.synProxy);
    writer.flag('expire_quiescent_conn', server.expireQuiescent);
    writer.flag('quic', server.quic);
    writer.line('hash_target', server.hashTarget);
    if (server.proxyProtocol !== 'none') writer.line('proxy_protocol', server.proxyProtocol);
    writer.optional('establish_timeout', server.establishTimeout);
    writer.line('bps', server.bps);
    writer.line('limit_proportion', server.limitProportion);
    writer.optional('vip_bind_dev', server.vipBindDevice, quote);
    writer.optional('laddr_group_name', server.localAddressGroup, quote);
    writer.optional('daddr_group_name', server.denyAddressGroup, quote);
    writer.optional('waddr_group_name', server.allowAddressGroup, quote);
    if (target.kind === 'match') {
      if (target.sourceRange) writer.line('src-range', quote(target.sourceRange));
      if (target.destinationRange) writer.line('dst-range', quote(target.destinationRange));
      if (target.iif) writer.line('iif', quote(target.iif));
      if (target.oif) writer.line('oif', quote(target.oif));
    }
    for (const real of server.realServers) writeRealServer(writer, real, server, dialect);
  });
}

/** Everything of the load balancer but what is in `global_defs`. */
export function writeLoadBalancing(writer: Writer, model: LoadBalancing, dialect: Dialect): void {
  if (model.ssl) {
    const { ssl } = model;
    writer.block('SSL', () => {
      writer.optional('password', ssl.password, quote);
      writer.optional('ca', ssl.ca, quote);
      writer.optional('certificate', ssl.certificate, quote);
      writer.optional('key', ssl.key, quote);
    });
  }
  for (const [name, entries] of Object.entries(model.groups)) {
    writer.block(`virtual_server_group ${quote(name)}`, () => {
      for (const entry of entries) writer.line(groupEntry(entry));
    });
  }
  for (const [name, entries] of Object.entries(model.localAddressGroups)) {
    writer.block(`local_address_group ${quote(name)}`, () => {
      for (const entry of entries) writer.line(shortRange(entry.first, entry.last), entry.device);
    });
  }
  const lists = {
    deny_address_group: model.denyAddressGroups,
    allow_address_group: model.allowAddressGroups,
  };
  for (const [keyword, groups] of Object.entries(lists)) {
    for (const [name, entries] of Object.entries(groups)) {
      writer.block(`${keyword} ${quote(name)}`, () => {
        for (const entry of entries) {
          writer.line(entry.kind === 'ipset' ? `ipset:${entry.name}` : shortRange(entry.first, entry.last));
        }
      });
    }
  }
  const groups = new Set(model.tunnels.map((tunnel) => tunnel.group));
  for (const group of groups) {
    writer.block(`tunnel_group ${quote(group)}`, () => {
      for (const tunnel of model.tunnels) {
        if (tunnel.group !== group) continue;
        writer.block(`tunnel_entry ${quote(tunnel.name)}`, () => {
          if (tunnel.kind) writer.line('kind', quote(tunnel.kind));
          writer.optional('remote', tunnel.remote);
          writer.optional('local', tunnel.local);
          writer.optional('if', tunnel.link, quote);
        });
      }
    });
  }
  for (const server of model.virtualServers) writeVirtualServer(writer, server, model, dialect);
}
