import type { Draft, RealServerDraft, VirtualServerDraft } from '../draft.js';
import { familyOf, fromNumber, normalAddress, toNumber } from '../grammar/address.js';
import {
  block,
  type Keyword,
  type Line,
  list,
  type Shape,
  type Spec,
  storing,
  table,
  value,
} from '../grammar/keyword.js';
import {
  address,
  bool,
  flag,
  longTimer,
  oneOf,
  port,
  script,
  signed,
  timer,
  uint,
  unsigned,
  word,
  words,
} from '../grammar/shapes.js';
import type { AddressListEntry, Forwarding, GroupEntry, Protocol } from '../model/virtual-server.js';
import { checkerKeywords } from './checkers.js';

const LARGEST = 4294967295;
const LARGEST_INT = 2147483647;
const U: Spec = { in: 'upstream' };
const D: Spec = { in: 'dpvs' };
const NO_LIMIT = 'kept and shown: the dataplane does not limit bandwidth yet';

const set = storing<VirtualServerDraft>();

const setReal = storing<RealServerDraft>();

const methods = ['NAT', 'DR', 'TUN', 'FNAT', 'SNAT'] as const;

/** `NAT|DR|TUN|FNAT|SNAT [type ipip|gue|gre] [port P] [nocsum|csum|remcsum]` */
export const forwarding: Shape<Forwarding> = {
  text: 'NAT|DR|TUN|FNAT|SNAT [type ipip|gue|gre] [port P] [nocsum|csum|remcsum]',
  least: 1,
  read(line) {
    const given = line.words[1] as string;
    const method = methods.find((name) => name === given);
    if (!method) {
      line.report('error', `'${line.keyword}': '${given}' is none of ${methods.join(', ')}; ignored`);
      return undefined;
    }
    const made: Forwarding = { method };
    if (line.words.length === 2) return made;
    if (method !== 'TUN') {
      line.report('error', `'${line.keyword}': ${method} takes no further words`);
      return made;
    }
    const tunnel: NonNullable<Forwarding['tunnel']> = { type: 'ipip', port: 0, checksum: 'none' };
    for (let at = 2; at < line.words.length; at++) {
      const name = line.words[at] as string;
      if (name === 'type') {
        const type = line.words[++at];
        if (type === 'ipip' || type === 'gue' || type === 'gre') tunnel.type = type;
        else line.report('error', `'${line.keyword}': '${type ?? ''}' is none of ipip, gue, gre`);
      } else if (name === 'port') {
        const number = unsigned(line.words[++at] ?? '', 1, 65535, line, true);
        if (number !== undefined) tunnel.port = number;
      } else if (name === 'nocsum' || name === 'csum' || name === 'remcsum') {
        tunnel.checksum = name === 'nocsum' ? 'none' : name;
      } else {
        line.report('error', `'${line.keyword}': unknown word '${name}'`);
      }
    }
    if (tunnel.type === 'gue' && tunnel.port === 0) {
      line.report('error', `'${line.keyword}': a gue tunnel needs a port`);
      return undefined;
    }
    if (tunnel.type !== 'gue' && tunnel.port !== 0) {
      line.report('error', `'${line.keyword}': only a gue tunnel has a port`);
      tunnel.port = 0;
    }
    made.tunnel = tunnel;
    return made;
  },
};

const schedulers = [
  'rr',
  'wrr',
  'lc',
  'wlc',
  'lblc',
  'sh',
  'mh',
  'dh',
  'fo',
  'ovf',
  'lblcr',
  'sed',
  'nq',
  'twos',
  'conhash',
];

const scheduler: Shape<string> = {
  text: schedulers.join('|'),
  least: 1,
  read(line) {
    const given = line.words[1] as string;
    if (schedulers.includes(given)) return given;
    line.report('error', `'${line.keyword}': unknown scheduler '${given}', ignored`);
    return undefined;
  },
};

/** A scheduler flag under the names that one scheduler gives it. */
function schedulerFlag(
  name: string,
  key: 'flag1' | 'flag2' | 'flag3',
  only?: string,
): Keyword<VirtualServerDraft> {
  return value(name, flag, (target: VirtualServerDraft, _on, line) => {
    if (only !== undefined && target.scheduler !== only) {
      line.report(
        'error',
        `'${name}' is only for the scheduler ${only}, which must be given before it; ignored`,
      );
      return;
    }
    target.flags[key] = true;
  });
}

/** `persistence_granularity`: an IPv4 netmask or an IPv6 prefix length. */
const granularity: Shape<string> = {
  text: 'NETMASK|1..128',
  least: 1,
  read(line) {
    const given = line.words[1] as string;
    if (/^\d+$/.test(given)) {
      const length = unsigned(given, 1, 128, line, true);
      return length === undefined ? undefined : String(length);
    }
    const mask = normalAddress(given);
    if (mask === undefined || familyOf(mask) === 6 || mask === '0.0.0.0') {
      line.report(
        'error',
        `'persistence_granularity': '${given}' is neither a netmask nor a prefix length, ignored`,
      );
      return undefined;
    }
    const inverted = 0xffffffffn & ~toNumber(mask);
    if ((inverted & (inverted + 1n)) !== 0n)
      line.report('warning', `'persistence_granularity': the netmask ${mask} has holes`);
    return mask;
  },
};

/** Times that virtual servers and real servers hand down to their checkers. */
function inheritedTimes<
  T extends {
    retry?: number;
    delayBeforeRetry?: number;
    warmup?: number;
    connectTimeout?: number;
    delayLoop?: number;
  },
>(): Keyword<T>[] {
  const positive = timer(0.000001);
  return [
    value('retry', uint(1, LARGEST, { strict: true }), (target: T, read) => {
      target.retry = read;
    }),
    value('delay_before_retry', longTimer(), (target: T, read) => {
      target.delayBeforeRetry = read;
    }),
    value('warmup', longTimer(), (target: T, read) => {
      target.warmup = read;
    }),
    value(
      'connect_timeout',
      positive,
      (target: T, read) => {
        target.connectTimeout = read;
      },
      { default: '5 s' },
    ),
    value(
      'delay_loop',
      longTimer(0.000001),
      (target: T, read) => {
        target.delayLoop = read;
      },
      { default: '60 s' },
    ),
  ];
}

/** `IP [PORT]` behind a keyword. */
function endpointOf(line: Line, what: string): { address: string; port: number } | undefined {
  const [, ip = '', portText] = line.words;
  const normal = normalAddress(ip);
  if (normal === undefined) {
    line.report('error', `${what}: '${ip}' is no IP address, ${what} is left out`);
    return undefined;
  }
  const number = portText === undefined ? 0 : port(portText, line);
  if (number === undefined) {
    line.report('error', `${what}: '${portText}' is no port, ${what} is left out`);
    return undefined;
  }
  return { address: normal, port: number };
}

const realServer = table<RealServerDraft>(
  'real_server',
  [
    value('weight', uint(0, LARGEST_INT), setReal('weight'), { default: 'of the virtual server (1)' }),
    value('lvs_method', forwarding, setReal('forwarding'), { default: 'of the virtual server' }),
    value('uthreshold', uint(0, LARGEST), setReal('upperThreshold'), { default: '0' }),
    value('lthreshold', uint(0, LARGEST), setReal('lowerThreshold'), { default: '0' }),
    value('inhibit_on_failure', bool, setReal('inhibitOnFailure')),
    value('notify_up', script, setReal('notifyUp')),
    value('notify_down', script, setReal('notifyDown')),
    value('alpha', bool, setReal('alpha')),
    ...inheritedTimes<RealServerDraft>(),
    value('smtp_alert', bool, setReal('smtpAlert'), { default: 'true' }),
    value('virtualhost', word, setReal('virtualHost')),
    value('snmp_name', word, setReal('snmpName'), { ...U, accepted: 'there is no SNMP agent in this suite' }),
    ...checkerKeywords,
  ],
  { tolerant: ['virtualhost', 'snmp_name'], once: ['notify_up', 'notify_down'] },
);

const protocols: readonly Protocol[] = ['TCP', 'UDP', 'SCTP', 'ICMP', 'ICMPV6'];

/** DPVS reads these with atoi: anything that is no number is 0. */
function loose(min: number, max: number): Shape<number> {
  return {
    text: max >= LARGEST_INT ? 'N' : `${min}..${max}`,
    least: 1,
    read(line) {
      const read = signed(line.words[1] as string, -LARGEST_INT, LARGEST_INT, line) ?? 0;
      if (read < min || read > max)
        line.report('note', `'${line.keyword}': ${read} is limited to ${min}..${max}`);
      return Math.min(max, Math.max(min, read));
    },
  };
}

export const virtualServer = table<VirtualServerDraft>(
  'virtual_server',
  [
    value('ip_family', oneOf(['inet', 'inet6'] as const), (target, family) => {
      target.ipFamily = family === 'inet' ? 4 : 6;
    }),
    ...inheritedTimes<VirtualServerDraft>(),
    value('inhibit_on_failure', flag, set('inhibitOnFailure')),
    value('lb_algo', scheduler, set('scheduler'), { default: 'wlc' }),
    value('lvs_sched', scheduler, set('scheduler'), { default: 'wlc', alias: 'lb_algo' }),
    value('hashed', flag, (target, _on, line) => {
      if (line.reader.dialect === 'dpvs') target.flags.flag2 = true;
      else line.report('error', "'hashed' only means something to DPVS (dialect dpvs), ignored");
    }),
    value('ops', flag, set('ops')),
    schedulerFlag('flag-1', 'flag1'),
    schedulerFlag('flag-2', 'flag2'),
    schedulerFlag('flag-3', 'flag3'),
    schedulerFlag('sh-port', 'flag2', 'sh'),
    schedulerFlag('sh-fallback', 'flag1', 'sh'),
    schedulerFlag('mh-port', 'flag2', 'mh'),
    schedulerFlag('mh-fallback', 'flag1', 'mh'),
    value('lb_kind', forwarding, set('forwarding'), { default: 'NAT' }),
    value('lvs_method', forwarding, set('forwarding'), { default: 'NAT', alias: 'lb_kind' }),
    value('persistence_engine', word, set('persistenceEngine'), {
      accepted: 'the dataplane persists by client address whatever engine is named',
    }),
    value(
      'persistence_timeout',
      {
        text: '[SECONDS=360]',
        least: 0,
        read(line) {
          if (line.words.length < 2) return 360_000;
          const most = line.reader.dialect === 'dpvs' ? LARGEST : 31 * 86400;
          const read = unsigned(line.words[1] as string, 1, most, line);
          return read === undefined ? undefined : read * 1000;
        },
      },
      set('persistenceTimeout'),
    ),
    value('persistence_granularity', granularity, set('persistenceGranularity')),
    value('protocol', oneOf(protocols, { ignoreCase: true }), set('protocol'), { default: 'UDP' }),
    value('ha_suspend', flag, set('haSuspend')),
    value('smtp_alert', bool, set('smtpAlert'), { default: 'false' }),
    value('virtualhost', word, set('virtualHost')),
    value('snmp_name', word, set('snmpName'), { ...U, accepted: 'there is no SNMP agent in this suite' }),
    value('alpha', flag, set('alpha')),
    value('omega', flag, set('omega')),
    value('quorum_up', script, set('quorumUp')),
    value('quorum_down', script, set('quorumDown')),
    value('quorum', uint(1, LARGEST), set('quorum'), { default: '1' }),
    value('hysteresis', uint(0, LARGEST), set('hysteresis'), { default: '0' }),
    value('weight', uint(1, LARGEST_INT), set('weight'), { default: '1' }),
    value('sorry_server', words('IP [PORT]', 1), (target, _words, line) => {
      const made = endpointOf(line, 'sorry_server');
      if (made) target.sorryServer = { ...made, inhibit: false };
    }),
    value('sorry_server_inhibit', flag, (target, _on, line) => {
      if (target.sorryServer) target.sorryServer.inhibit = true;
      else line.report('error', "'sorry_server_inhibit' must follow sorry_server, ignored");
    }),
    value('sorry_server_lvs_method', forwarding, (target, read, line) => {
      if (target.sorryServer) target.sorryServer.forwarding = read;
      else line.report('error', "'sorry_server_lvs_method' must follow sorry_server, ignored");
    }),
    block('real_server', {
      args: 'IP [PORT]',
      least: 1,
      table: realServer,
      begin(target: VirtualServerDraft, line) {
        const made = endpointOf(line, 'real_server');
        if (!made) return undefined;
        const draft: RealServerDraft = { ...made, place: line.reader.place, checkers: [] };
        target.realServers.push(draft);
        return draft;
      },
    }),

    value('establish_timeout', loose(1, 3600), set('establishTimeout'), D),
    // What dpvsd does not act upon yet; it says so in its log as well.
    value(
      'proxy_protocol',
      word,
      (target, version) => {
        const known = ['v1', 'v2', 'v1-insecure', 'v2-insecure'] as const;
        target.proxyProtocol = known.find((name) => name === version) ?? 'none';
      },
      { ...D, accepted: 'UDP checks speak it; the dataplane does not add its header yet' },
    ),
    value('bps', loose(-LARGEST_INT, LARGEST_INT), set('bps'), { ...D, default: '0', accepted: NO_LIMIT }),
    value('limit_proportion', loose(-LARGEST_INT, LARGEST_INT), set('limitProportion'), {
      ...D,
      default: '100',
      accepted: NO_LIMIT,
    }),
    value(
      'src-range',
      word,
      (target, range) => {
        target.match.sourceRange = range;
      },
      D,
    ),
    value(
      'dst-range',
      word,
      (target, range) => {
        target.match.destinationRange = range;
      },
      D,
    ),
    value(
      'oif',
      word,
      (target, name) => {
        target.match.oif = name;
      },
      D,
    ),
    value(
      'iif',
      word,
      (target, name) => {
        target.match.iif = name;
      },
      D,
    ),
    value(
      'hash_target',
      word,
      (target, what, line) => {
        if (what !== 'sip' && what !== 'qid')
          line.report('note', `'hash_target': '${what}' is neither sip nor qid; sip is used`);
        target.hashTarget = what === 'qid' ? 'qid' : 'sip';
      },
      {
        ...D,
        default: 'sip',
        note: '`qid` is kept and shown: the dataplane does not look for QUIC connection ids yet',
      },
    ),
    value('laddr_group_name', word, set('localAddressGroup'), D),
    value('daddr_group_name', word, set('denyAddressGroup'), D),
    value('waddr_group_name', word, set('allowAddressGroup'), D),
    value('syn_proxy', flag, set('synProxy'), {
      ...D,
      accepted: 'kept and shown: the dataplane does not have a SYN proxy yet',
    }),
    value('expire_quiescent_conn', flag, set('expireQuiescent'), D),
    value('quic', flag, set('quic'), {
      ...D,
      accepted: 'kept and shown: the dataplane does not look for QUIC connection ids yet',
    }),
    value('vip_bind_dev', word, set('vipBindDevice'), {
      ...D,
      accepted: 'DPVS itself reads and shows it and does nothing with it; the address is set by VRRP or dpip',
    }),
  ],
  { tolerant: ['virtualhost', 'snmp_name', 'sorry_server_lvs_method'], once: ['quorum_up', 'quorum_down'] },
);

/** What stands behind `virtual_server`. */
function targetOf(line: Line): VirtualServerDraft['target'] | undefined {
  const [, first = '', second] = line.words;
  if (first === 'group' || first === 'match' || first === 'fwmark') {
    if (second === undefined) {
      line.report(
        'missing-parameter',
        `*** Configuration line starting \`virtual_server\` is missing a parameter behind ${first}`,
      );
      return undefined;
    }
    if (first === 'group') return { kind: 'group', name: second };
    if (first === 'match') return { kind: 'match', name: second };
    const mark = unsigned(second, 1, LARGEST, line, true);
    return mark === undefined ? undefined : { kind: 'fwmark', mark };
  }
  const made = endpointOf(line, 'virtual_server');
  return made && { kind: 'address', ...made };
}

/** `IP[-N]`, `IP-IP`, `IP/LENGTH`: first and last address. */
export function addressRange(
  text: string,
  line: Line,
  what: string,
  dpvs = false,
): { first: string; last: string } | undefined {
  const wrong = (why: string) => {
    line.diagnostics.report('error', `${what}: '${text}': ${why}, the entry is left out`, what);
    return undefined;
  };
  const cut = text.search(/[-/]/);
  const first = normalAddress(cut < 0 ? text : text.slice(0, cut));
  if (first === undefined) return wrong('no IP address');
  if (cut < 0) return { first, last: first };
  const rest = text.slice(cut + 1);
  const family = familyOf(first);
  const start = toNumber(first);
  if (text[cut] === '/') {
    const length = /^\d+$/.test(rest) ? Number(rest) : -1;
    const bits = family === 4 ? 32 : 128;
    if (length < 1 || length > bits) return wrong('no prefix length');
    const host = (1n << BigInt(bits - length)) - 1n;
    if ((start & host) !== 0n) return wrong('the address has bits behind its prefix');
    return { first, last: fromNumber(start | host, family) };
  }
  const whole = normalAddress(rest);
  if (whole !== undefined && !dpvs && (rest.includes('.') || rest.includes(':'))) {
    if (familyOf(whole) !== family || toNumber(whole) <= start) return wrong('the range is not rising');
    return { first, last: whole };
  }
  const low = family === 4 ? 255n : 65535n;
  const number =
    family === 4 && /^\d+$/.test(rest)
      ? BigInt(rest)
      : family === 6 && /^[0-9a-fA-F]{1,4}$/.test(rest)
        ? BigInt(`0x${rest}`)
        : -1n;
  if (number < 0n || number > low) return wrong('no end of a range');
  if (number <= (start & low)) return wrong('the range is not rising');
  return { first, last: fromNumber((start & ~low) | number, family) };
}

/** An entry of virtual_server_group. */
function groupEntry(line: Line): GroupEntry | undefined {
  const [first = '', second, third] = line.words;
  line.words = ['virtual_server_group', ...line.words];
  if (first === 'fwmark') {
    const mark = unsigned(second ?? '', 1, LARGEST, line, true);
    if (mark === undefined) return undefined;
    if (third !== undefined && third !== 'inet' && third !== 'inet6') {
      line.report('error', `virtual_server_group: '${third}' is neither inet nor inet6`);
    }
    return { kind: 'fwmark', mark, family: third === 'inet6' ? 6 : 4 };
  }
  const range = addressRange(first, line, 'virtual_server_group');
  const number = second === undefined ? 0 : port(second, line);
  if (!range || number === undefined) return undefined;
  return { kind: 'addresses', ...range, port: number };
}

function addressGroup(name: string, key: 'denyAddressGroups' | 'allowAddressGroups'): Keyword<Draft> {
  return list<Draft, AddressListEntry[]>(
    name,
    'IP[-END] | ipset:NAME',
    {
      args: 'NAME',
      least: 1,
      subsystem: 'checker',
      begin(draft, line) {
        const made: AddressListEntry[] = [];
        draft[key].set(line.words[1] as string, made);
        return made;
      },
      each(entries, line) {
        const text = line.keyword;
        if (text.startsWith('ipset:')) {
          entries.push({ kind: 'ipset', name: text.slice(6) });
          line.report(
            'note',
            `'${name}': the dataplane has no ipsets yet and refuses '${text}': ${
              key === 'denyAddressGroups'
                ? 'virtual servers with this group let nobody in'
                : 'virtual servers with this group let in the other addresses of it, or nobody'
            }`,
          );
          return;
        }
        const range = addressRange(text, line, name, true);
        if (range) entries.push({ kind: 'range', ...range });
      },
    },
    D,
  );
}

const TUNNEL: Spec = {
  ...D,
  accepted:
    'the dataplane has no tunnel devices yet; they are kept and shown, and servers of lb_kind TUN are refused by it',
};

const tunnelEntry = table<Draft['tunnels'][number]>('tunnel_entry', [
  value(
    'kind',
    word,
    (target, kind) => {
      target.kind = kind;
    },
    TUNNEL,
  ),
  value(
    'remote',
    { text: 'IP', least: 1, read: (line) => address(line.words[1] as string, line) },
    (target, ip) => {
      target.remote = ip;
    },
    TUNNEL,
  ),
  value(
    'local',
    { text: 'IP', least: 1, read: (line) => address(line.words[1] as string, line) },
    (target, ip) => {
      target.local = ip;
    },
    TUNNEL,
  ),
  value(
    'if',
    word,
    (target, name) => {
      target.link = name;
    },
    TUNNEL,
  ),
]);

/** The root keywords of the load balancer. */
export const loadBalancingKeywords: Keyword<Draft>[] = [
  block('SSL', {
    table: table<NonNullable<Draft['ssl']>>(
      'SSL',
      [
        value('password', word, (target, text) => {
          target.password = text;
        }),
        value('ca', word, (target, file) => {
          target.ca = file;
        }),
        value('certificate', word, (target, file) => {
          target.certificate = file;
        }),
        value('key', word, (target, file) => {
          target.key = file;
        }),
      ],
      {
        tolerant: ['password', 'ca', 'certificate', 'key'],
        replaced: ['password', 'ca', 'certificate', 'key'],
      },
    ),
    subsystem: 'checker',
    begin(draft: Draft) {
      draft.ssl ??= {};
      return draft.ssl;
    },
  }),
  list<Draft, GroupEntry[]>('virtual_server_group', 'IP[-END|/LENGTH] [PORT] | fwmark N [inet|inet6]', {
    args: 'NAME',
    least: 1,
    subsystem: 'checker',
    notEmpty: true,
    begin(draft, line) {
      const name = line.words[1] as string;
      if (draft.groups.has(name))
        line.report('error', `virtual_server_group '${name}' is there twice, the entries are added`);
      const made = draft.groups.get(name) ?? [];
      draft.groups.set(name, made);
      return made;
    },
    each(entries, line) {
      const made = groupEntry(line);
      if (made) entries.push(made);
    },
  }),
  block('virtual_server', {
    args: 'IP [PORT] | fwmark N | group NAME | match NAME',
    least: 1,
    table: virtualServer,
    subsystem: 'checker',
    begin(draft: Draft, line) {
      const target = targetOf(line);
      if (!target) return undefined;
      const made: VirtualServerDraft = {
        target,
        place: line.reader.place,
        flags: { flag1: false, flag2: false, flag3: false },
        match: { sourceRange: '', destinationRange: '', iif: '', oif: '' },
        realServers: [],
      };
      draft.virtualServers.push(made);
      return made;
    },
  }),
  list<Draft, Draft['localAddressGroups'] extends Map<string, infer V> ? V : never>(
    'local_address_group',
    'IP[-END] IF',
    {
      args: 'NAME',
      least: 1,
      subsystem: 'checker',
      begin(draft, line) {
        const made: Draft['localAddressGroups'] extends Map<string, infer V> ? V : never = [];
        draft.localAddressGroups.set(line.words[1] as string, made);
        return made;
      },
      each(entries, line) {
        const [text = '', device] = line.words;
        const range = addressRange(text, line, 'local_address_group', true);
        if (device === undefined) {
          line.diagnostics.report(
            'error',
            `local_address_group: '${text}' without the name of its port, left out`,
            'local_address_group',
          );
        } else if (range) {
          entries.push({ ...range, device });
        }
      },
    },
    D,
  ),
  addressGroup('deny_address_group', 'denyAddressGroups'),
  addressGroup('allow_address_group', 'allowAddressGroups'),
  block(
    'tunnel_group',
    {
      args: 'NAME',
      least: 1,
      subsystem: 'checker',
      table: table<{ draft: Draft; group: string }>('tunnel_group', [
        block(
          'tunnel_entry',
          {
            args: 'IF',
            least: 1,
            table: tunnelEntry,
            begin({ draft, group }: { draft: Draft; group: string }, line) {
              const made = { name: line.words[1] as string, group, kind: '' };
              draft.tunnels.push(made);
              return made;
            },
          },
          TUNNEL,
        ),
      ]),
      begin: (draft: Draft, line) => ({ draft, group: line.words[1] as string }),
    },
    TUNNEL,
  ),
];
