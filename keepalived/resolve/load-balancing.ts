import type { CheckerDraft, Draft, Place, RealServerDraft, VirtualServerDraft } from '../draft.js';
import { familyOf } from '../grammar/address.js';
import type { Diagnostics, FindingKind } from '../grammar/diagnostics.js';
import type { Global } from '../model/global.js';
import type {
  CheckEndpoint,
  Checker,
  CheckerKind,
  CheckTiming,
  Forwarding,
  LoadBalancing,
  RealServer,
  SorryServer,
  Target,
  UdpCheck,
  VirtualServer,
} from '../model/virtual-server.js';
import { readPayload, readReply } from './payload.js';

const DELAY_LOOP = 60_000;
const CONNECT_TIMEOUT = 5_000;
const PERSISTENCE = 360_000;

/** How servers are named in messages, as keepalived does. */
export function nameOfTarget(target: Target | VirtualServerDraft['target'], protocol: string): string {
  switch (target.kind) {
    case 'address':
      return `[${target.address}]:${protocol.toLowerCase()}:${target.port}`;
    case 'fwmark':
      return `FWM ${target.mark}`;
    case 'group':
      return `[${target.name}]`;
    case 'match':
      return `MATCH ${target.name}`;
  }
}

/** Makes the model of the load balancer from what was written: defaults, inheritance, and what does not go together. */
export class LoadBalancingResolver {
  readonly #draft: Draft;
  readonly #diagnostics: Diagnostics;
  readonly #global: Global;

  constructor(draft: Draft, diagnostics: Diagnostics) {
    this.#draft = draft;
    this.#diagnostics = diagnostics;
    this.#global = draft.global;
  }

  resolve(): LoadBalancing {
    const { global } = this.#draft;
    const virtualServers: VirtualServer[] = [];
    for (const draft of this.#draft.virtualServers) {
      const made = this.#virtualServer(draft);
      if (made) virtualServers.push(made);
    }
    return {
      engine: global.engine,
      virtualServers,
      groups: Object.fromEntries(this.#draft.groups),
      localAddressGroups: Object.fromEntries(this.#draft.localAddressGroups),
      denyAddressGroups: Object.fromEntries(this.#draft.denyAddressGroups),
      allowAddressGroups: Object.fromEntries(this.#draft.allowAddressGroups),
      tunnels: this.#draft.tunnels,
      trackFiles: Object.fromEntries(
        this.#draft.trackFiles
          .filter((file) => file.path !== undefined)
          .map((file) => [
            file.name,
            { path: file.path as string, weight: file.weight ?? 1, reverse: file.reverse ?? false },
          ]),
      ),
      ...(this.#draft.ssl ? { ssl: this.#draft.ssl } : {}),
    };
  }

  get #dpvs(): boolean {
    return this.#global.dialect === 'dpvs';
  }

  #say(kind: FindingKind, text: string, place: Place, keyword: string): void {
    this.#diagnostics.report(kind, text, keyword, place);
  }

  #virtualServer(draft: VirtualServerDraft): VirtualServer | undefined {
    const { place } = draft;
    const protocol = draft.protocol ?? 'UDP';
    const name = nameOfTarget(draft.target, protocol);
    const say = (kind: FindingKind, text: string) =>
      this.#say(kind, `Virtual server ${name}: ${text}`, place, 'virtual_server');
    /** What upstream reports and DPVS only mentions. */
    const upstreamOnly: FindingKind = this.#dpvs ? 'note' : 'error';
    const entries = draft.target.kind === 'group' ? this.#draft.groups.get(draft.target.name) : undefined;
    if (draft.target.kind === 'group' && (!entries || entries.length === 0)) {
      say(
        'error',
        entries
          ? 'its group has no entries, it is left out'
          : 'there is no such virtual_server_group, it is left out',
      );
      return undefined;
    }
    if (draft.realServers.length === 0 && draft.target.kind !== 'match') {
      say('error', 'it has no real servers, it is left out');
      return undefined;
    }
    const marksOnly =
      draft.target.kind === 'fwmark' || (entries?.every((entry) => entry.kind === 'fwmark') ?? false);
    if (marksOnly) {
      if (draft.protocol !== undefined) say('error', 'a protocol makes no difference to marks, ignored');
    } else if (draft.protocol === undefined) {
      say(upstreamOnly, 'no protocol is given, UDP is used');
    }
    if (draft.scheduler === undefined) say(upstreamOnly, 'no lb_algo is given, wlc is used');
    if (draft.forwarding === undefined) say(upstreamOnly, 'no lb_kind is given, NAT is used');
    const forwarding = draft.forwarding ?? { method: 'NAT' };
    const family = this.#familyOf(draft, entries);
    if (draft.target.kind === 'address' && draft.ipFamily !== undefined && draft.ipFamily !== family) {
      say('error', 'ip_family is not that of its address, ignored');
    }

    let persistenceTimeout = draft.persistenceTimeout ?? 0;
    const portless =
      draft.target.kind === 'address'
        ? draft.target.port === 0
        : (entries?.some((entry) => entry.kind === 'addresses' && entry.port === 0) ?? false);
    if (portless && persistenceTimeout === 0 && forwarding.method !== 'SNAT') {
      say('error', 'a service without port must be persistent, persistence_timeout 360 is used');
      persistenceTimeout = PERSISTENCE;
    }
    let ops = draft.ops ?? false;
    if (ops && draft.protocol !== 'UDP' && !marksOnly) {
      say('error', 'ops is only for UDP, ignored');
      ops = false;
    }
    let haSuspend = draft.haSuspend ?? false;
    if (haSuspend && marksOnly) {
      say('error', 'ha_suspend is not possible for marks, ignored');
      haSuspend = false;
    }
    if (draft.persistenceEngine !== undefined && draft.persistenceEngine !== 'sip') {
      say('note', `persistence_engine ${draft.persistenceEngine} is not known to the dataplane`);
    }
    if (draft.persistenceGranularity !== undefined && persistenceTimeout === 0) {
      say('note', 'persistence_granularity without persistence_timeout has no effect');
    }

    const alpha = draft.alpha ?? false;
    const weight = draft.weight ?? 1;
    const base = {
      delayLoop: draft.delayLoop ?? DELAY_LOOP,
      connectTimeout: draft.connectTimeout ?? CONNECT_TIMEOUT,
    };
    const inheritedInhibit = draft.inhibitOnFailure ?? false;
    const realServers: RealServer[] = [];
    const seen = new Set<string>();
    for (const real of draft.realServers) {
      const key = `${real.address} ${real.port}`;
      if (seen.has(key) && !this.#dpvs) {
        this.#say(
          'error',
          `${name}: real server ${real.address}:${real.port} is there twice, the second one is left out`,
          real.place,
          'real_server',
        );
        continue;
      }
      seen.add(key);
      const made = this.#realServer(draft, real, {
        name,
        family,
        forwarding,
        base,
        alpha,
        weight,
        inheritedInhibit,
      });
      if (made) realServers.push(made);
    }
    if (realServers.length === 0 && draft.realServers.length > 0) {
      say('error', 'none of its real servers can be used, it is left out');
      return undefined;
    }

    let quorum = draft.quorum ?? 1;
    let hysteresis = draft.hysteresis ?? 0;
    const sum = realServers.reduce((total, real) => total + real.weight, 0);
    if (quorum > sum && sum > 0) {
      if (draft.quorum !== undefined)
        say('error', `quorum ${quorum} is more than all weights together, ${sum} is used`);
      quorum = sum;
    }
    if (hysteresis >= quorum && hysteresis > 0) {
      say('error', `hysteresis ${hysteresis} must be less than the quorum, ${quorum - 1} is used`);
      hysteresis = quorum - 1;
    }
    if (draft.hashTarget === 'qid' && protocol !== 'UDP')
      say('error', 'hash_target qid is only for UDP, ignored');
    this.#groupNames(draft, say);

    const made: VirtualServer = {
      target: this.#target(draft, family),
      // A mark has no protocol; DPVS keeps what was written all the same.
      protocol: marksOnly && !this.#dpvs ? 'UDP' : protocol,
      family,
      scheduler: draft.scheduler ?? 'wlc',
      schedulerFlags: { ...draft.flags },
      ops,
      forwarding,
      persistenceTimeout,
      alpha,
      omega: draft.omega ?? false,
      haSuspend,
      smtpAlert: draft.smtpAlert ?? this.#global.smtpAlertChecker ?? this.#global.smtpAlert ?? false,
      quorum,
      hysteresis,
      realServers,
      inherited: {
        ...base,
        weight,
        inhibitOnFailure: inheritedInhibit,
      },
      synProxy: draft.synProxy ?? false,
      expireQuiescent: draft.expireQuiescent ?? false,
      quic: draft.quic ?? false,
      hashTarget: draft.hashTarget === 'qid' && protocol === 'UDP' ? 'qid' : 'sip',
      proxyProtocol: draft.proxyProtocol ?? 'none',
      bps: draft.bps ?? 0,
      limitProportion: draft.limitProportion ?? 100,
    };
    copy(draft, made, [
      'persistenceGranularity',
      'persistenceEngine',
      'virtualHost',
      'snmpName',
      'quorumUp',
      'quorumDown',
      'establishTimeout',
      'vipBindDevice',
      'localAddressGroup',
      'denyAddressGroup',
      'allowAddressGroup',
    ]);
    copy(draft, made.inherited, ['retry', 'delayBeforeRetry', 'warmup']);
    const sorry = this.#sorryServer(draft, made, say);
    if (sorry) made.sorryServer = sorry;
    return made;
  }

  #familyOf(
    draft: VirtualServerDraft,
    entries: Draft['groups'] extends Map<string, infer E> ? E | undefined : never,
  ): 4 | 6 {
    if (draft.target.kind === 'address') return familyOf(draft.target.address);
    if (draft.ipFamily) return draft.ipFamily;
    const first = entries?.[0];
    if (first) return first.kind === 'fwmark' ? first.family : familyOf(first.first);
    const real = draft.realServers[0];
    return real ? familyOf(real.address) : 4;
  }

  #target(draft: VirtualServerDraft, family: 4 | 6): Target {
    switch (draft.target.kind) {
      case 'fwmark':
        return { ...draft.target, family };
      case 'match':
        return { ...draft.target, ...draft.match };
      default:
        return draft.target;
    }
  }

  /** Groups of addresses that are named must exist. */
  #groupNames(draft: VirtualServerDraft, say: (kind: FindingKind, text: string) => void): void {
    const uses = [
      ['localAddressGroup', this.#draft.localAddressGroups, 'laddr_group_name', 'local_address_group'],
      ['denyAddressGroup', this.#draft.denyAddressGroups, 'daddr_group_name', 'deny_address_group'],
      ['allowAddressGroup', this.#draft.allowAddressGroups, 'waddr_group_name', 'allow_address_group'],
    ] as const;
    for (const [key, groups, keyword, kind] of uses) {
      const name = draft[key];
      if (name === undefined || groups.has(name)) continue;
      say('error', `${keyword}: there is no ${kind} '${name}', ignored`);
      delete draft[key];
    }
  }

  /** Only NAT changes the port on the way; everything else reaches the port that the client named. */
  #port(
    port: number,
    method: Forwarding['method'],
    draft: VirtualServerDraft,
    what: () => string,
    place: Place,
  ): number {
    if (draft.target.kind !== 'address' || method === 'NAT' || method === 'FNAT' || method === 'SNAT')
      return port;
    if (port === draft.target.port) return port;
    this.#say(
      'error',
      `${what()}: with ${method} its port must be ${draft.target.port}, which is used`,
      place,
      'real_server',
    );
    return draft.target.port;
  }

  #sorryServer(
    draft: VirtualServerDraft,
    server: VirtualServer,
    say: (kind: FindingKind, text: string) => void,
  ): SorryServer | undefined {
    const sorry = draft.sorryServer;
    if (!sorry) return undefined;
    const forwarding = sorry.forwarding ?? server.forwarding;
    if (familyOf(sorry.address) !== server.family && !mixed(forwarding)) {
      say('error', `the sorry server ${sorry.address} is of the other address family, left out`);
      return undefined;
    }
    const port = this.#port(
      sorry.port,
      forwarding.method,
      draft,
      () => `sorry server ${sorry.address}`,
      draft.place,
    );
    return { address: sorry.address, port, forwarding, inhibit: sorry.inhibit };
  }

  #realServer(
    virtual: VirtualServerDraft,
    draft: RealServerDraft,
    of: {
      name: string;
      family: 4 | 6;
      forwarding: Forwarding;
      base: { delayLoop: number; connectTimeout: number };
      alpha: boolean;
      weight: number;
      inheritedInhibit: boolean;
    },
  ): RealServer | undefined {
    const forwarding = draft.forwarding ?? of.forwarding;
    // Only for messages: big files have none.
    const what = () => `${of.name}: real server ${draft.address}:${draft.port}`;
    if (familyOf(draft.address) !== of.family && !mixed(forwarding)) {
      this.#say('error', `${what()} is of the other address family, left out`, draft.place, 'real_server');
      return undefined;
    }
    const made: RealServer = {
      address: draft.address,
      port: this.#port(draft.port, forwarding.method, virtual, what, draft.place),
      forwarding,
      weight: draft.weight ?? of.weight,
      upperThreshold: draft.upperThreshold ?? 0,
      lowerThreshold: draft.lowerThreshold ?? 0,
      inhibitOnFailure: draft.inhibitOnFailure ?? of.inheritedInhibit,
      alpha: draft.alpha ?? of.alpha,
      smtpAlert: draft.smtpAlert ?? this.#global.smtpAlertChecker ?? this.#global.smtpAlert ?? true,
      checkers: [],
    };
    if (draft.notifyUp !== undefined) made.notifyUp = draft.notifyUp;
    if (draft.notifyDown !== undefined) made.notifyDown = draft.notifyDown;
    if (draft.virtualHost !== undefined) made.virtualHost = draft.virtualHost;
    if (draft.snmpName !== undefined) made.snmpName = draft.snmpName;
    if (made.upperThreshold > 0 && made.lowerThreshold > made.upperThreshold) {
      this.#say('note', `${what()}: lthreshold is more than uthreshold, ignored`, draft.place, 'real_server');
      made.lowerThreshold = 0;
    }
    for (const checker of draft.checkers) {
      for (const one of this.#checkers(checker, virtual, draft, made, of.base, what)) made.checkers.push(one);
    }
    return made;
  }

  #checkers(
    draft: CheckerDraft,
    virtual: VirtualServerDraft,
    real: RealServerDraft,
    server: RealServer,
    base: { delayLoop: number; connectTimeout: number },
    what: () => string,
  ): Checker[] {
    const delayLoop = draft.delayLoop ?? real.delayLoop ?? base.delayLoop;
    const { kind } = draft;
    const say = (finding: FindingKind, text: string) =>
      this.#say(finding, `${what()}: ${kind}: ${text}`, draft.place, kind);
    const timing: CheckTiming = {
      retry:
        draft.retry ??
        real.retry ??
        virtual.retry ??
        (kind === 'DNS_CHECK' ? 3 : kind === 'MISC_CHECK' ? 0 : 1),
      delayBeforeRetry:
        draft.delayBeforeRetry ??
        real.delayBeforeRetry ??
        virtual.delayBeforeRetry ??
        (kind === 'HTTP_GET' || kind === 'SSL_GET' ? 3000 : kind === 'DNS_CHECK' ? delayLoop : 1000),
      warmup: draft.warmup ?? real.warmup ?? virtual.warmup ?? delayLoop,
      delayLoop,
      alpha: draft.alpha ?? server.alpha,
      logAllFailures: draft.logAllFailures ?? this.#global.checkerLogAllFailures ?? false,
    };
    /** Timing and address in one object: most checks of a big file are nothing else. */
    const network = <K extends CheckerKind>(of: K): { kind: K } & CheckTiming & CheckEndpoint => {
      const made: { kind: K } & CheckTiming & CheckEndpoint = {
        kind: of,
        retry: timing.retry,
        delayBeforeRetry: timing.delayBeforeRetry,
        warmup: timing.warmup,
        delayLoop: timing.delayLoop,
        alpha: timing.alpha,
        logAllFailures: timing.logAllFailures,
        connectAddress: draft.connectAddress ?? server.address,
        connectPort: draft.connectPort ?? server.port,
        fwmark: draft.fwmark ?? 0,
        connectTimeout: draft.connectTimeout ?? real.connectTimeout ?? base.connectTimeout,
      };
      if (draft.bindAddress !== undefined) {
        if (familyOf(draft.bindAddress) === familyOf(made.connectAddress))
          made.bindAddress = draft.bindAddress;
        else {
          say(
            'error',
            `bindto ${draft.bindAddress} is of the other address family than ${made.connectAddress}, ignored`,
          );
        }
      }
      if (draft.bindPort !== undefined) made.bindPort = draft.bindPort;
      if (draft.bindInterface !== undefined) made.bindInterface = draft.bindInterface;
      return made;
    };
    switch (kind) {
      case 'TCP_CHECK':
      case 'PING_CHECK':
        return [network(kind)];
      case 'UDP_CHECK':
        return [this.#udp(draft, { ...network(kind), silence: 'alive' }, say)];
      case 'SMTP_CHECK': {
        // Each `host` block is a check of its own, with what stands around the blocks as its defaults.
        const { hosts, ...common } = draft;
        const direct = draft.connectAddress !== undefined || draft.connectPort !== undefined;
        const own: Checker = {
          ...network(kind),
          heloName: draft.heloName ?? 'smtpchecker.keepalived.org',
        };
        const others = (hosts ?? []).flatMap((host) =>
          this.#checkers({ ...common, ...host }, virtual, real, server, base, what),
        );
        return direct || others.length === 0 ? [own, ...others] : others;
      }
      case 'DNS_CHECK':
        return [{ ...network(kind), type: draft.dnsType ?? 'SOA', name: draft.name ?? '.' }];
      case 'HTTP_GET':
      case 'SSL_GET': {
        const urls = (draft.urls ?? []).filter((url) => {
          if (url.path === undefined) say('error', 'a url without path is left out');
          return url.path !== undefined;
        });
        if (urls.length === 0) {
          say('error', 'there is no url to ask for, the check is left out');
          return [];
        }
        const made: Extract<Checker, { kind: 'HTTP_GET' | 'SSL_GET' }> = {
          ...network(kind),
          httpProtocol: draft.httpProtocol ?? '1.0',
          enableSni: draft.enableSni ?? false,
          fastRecovery: draft.fastRecovery ?? false,
          tlsCompliant: draft.tlsCompliant ?? false,
          urls: urls.map((url) => ({
            path: url.path as string,
            ...(url.virtualHost === undefined ? {} : { virtualHost: url.virtualHost }),
            ...(url.digest === undefined ? {} : { digest: url.digest }),
            statusCodes: url.statusCodes ?? [[200, 299]],
            ...(url.pattern === undefined
              ? {}
              : {
                  regex: {
                    pattern: url.pattern,
                    options: url.regexOptions ?? [],
                    noMatch: url.regexNoMatch ?? false,
                    minOffset: url.regexMinOffset ?? 0,
                    maxOffset: url.regexMaxOffset ?? 0,
                  },
                }),
            tlsCompliant: url.tlsCompliant ?? draft.tlsCompliant ?? false,
          })),
        };
        copy(draft, made, ['virtualHost', 'sniName']);
        return [made];
      }
      case 'MISC_CHECK': {
        if (!draft.script) {
          say('error', 'there is no misc_path, the check is left out');
          return [];
        }
        return [
          {
            kind,
            ...timing,
            script: { ...draft.script, ...draft.scriptOwner },
            timeout: draft.timeout || base.delayLoop,
            dynamic: draft.dynamic ?? false,
          },
        ];
      }
      case 'FILE_CHECK': {
        const file = this.#draft.trackFiles.find((other) => other.name === draft.trackFile);
        if (!file || file.path === undefined) {
          say('error', `there is no track_file '${draft.trackFile ?? ''}', the check is left out`);
          return [];
        }
        return [
          {
            kind,
            trackFile: file.name,
            weight: draft.weight ?? file.weight ?? 1,
            reverse: draft.reverse ?? file.reverse ?? false,
            alpha: timing.alpha,
          },
        ];
      }
      case 'BFD_CHECK': {
        if (
          draft.name === undefined ||
          !this.#draft.bfdInstances.some((other) => other.name === draft.name)
        ) {
          say('error', `there is no bfd_instance '${draft.name ?? ''}', the check is left out`);
          return [];
        }
        return [{ kind, name: draft.name, alpha: timing.alpha }];
      }
    }
  }

  #udp(draft: CheckerDraft, check: UdpCheck, say: (kind: FindingKind, text: string) => void): UdpCheck {
    const { dialect } = this.#global;
    if (draft.payload) {
      const payload = readPayload(draft.payload, dialect, say);
      if (payload !== undefined) check.payload = payload;
    }
    if (draft.requireReply) {
      const minLength = draft.minReplyLength ?? 0;
      const maxLength = draft.maxReplyLength ?? 255;
      if (minLength > maxLength)
        say('warning', `min_reply_length ${minLength} is more than max_reply_length ${maxLength}`);
      check.requireReply = { pattern: readReply(draft.requireReply, dialect, say), minLength, maxLength };
    }
    if (check.requireReply || (this.#dpvs && draft.payload)) check.silence = 'failure';
    else if (draft.payload) {
      say(
        'note',
        'without require_reply silence counts as life: a server that drops the request looks healthy',
      );
    }
    return check;
  }
}

/** Whether client and server may be of different address families. */
function mixed(forwarding: Forwarding): boolean {
  return forwarding.method === 'TUN' || forwarding.method === 'FNAT';
}

/** Takes over the fields that are set. */
function copy<F extends object, K extends keyof F>(
  from: F,
  to: { [P in K]?: F[P] | undefined },
  keys: K[],
): void {
  for (const key of keys) if (from[key] !== undefined) to[key] = from[key];
}
