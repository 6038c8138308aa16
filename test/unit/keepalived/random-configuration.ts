import { root } from '../../../keepalived/blocks/root.js';
import type { Keyword, Table } from '../../../keepalived/grammar/keyword.js';
import type { Random } from '../random.js';

const names = [
  'alpha',
  'beta',
  'gamma',
  'delta',
  'VI_1',
  'VI_2',
  'a name with blanks',
  "o'clock",
  'x#y',
  'ümlaut',
];

/** Values for the arguments that tables describe. */
export class Samples {
  readonly random: Random;
  /** Only what every version and dialect takes: for the comparison with the real program. */
  readonly plain: boolean;

  constructor(random: Random, plain = false) {
    this.random = random;
    this.plain = plain;
  }

  word(): string {
    const { random } = this;
    if (this.plain) return random.pick(['alpha', 'beta', 'gamma']);
    const word = random.pick(names);
    return /[\s#']/.test(word) || random.chance(0.2) ? `"${word}"` : word;
  }

  ip(family: 4 | 6 = this.random.chance(0.5) ? 4 : 6): string {
    const { random } = this;
    if (family === 4) return `10.${random.within(0, 255)}.${random.within(0, 255)}.${random.within(1, 254)}`;
    return `2001:db8:${random.within(0, 65535).toString(16)}::${random.within(1, 65535).toString(16)}`;
  }

  seconds(min = 0, max = 100): string {
    const { random } = this;
    if (random.chance(0.5)) return String(random.within(Math.ceil(min), max));
    const value = min + random.next() * (max - min);
    return value.toFixed(random.within(1, this.plain ? 3 : 6));
  }

  script(owner: boolean): string {
    const { random } = this;
    const command = random.pick([
      '/bin/true',
      '"/bin/true one two"',
      `"/bin/true 'a b' c"`,
      '"/bin/true \\#x \\"q\\" tab\\there"',
      "'/bin/true single'",
      '"</etc/passwd"',
    ]);
    const who = owner && random.chance(0.3) ? random.pick([' root', ' root root']) : '';
    return command + who;
  }

  forwarding(): string {
    return this.random.pick([
      'NAT',
      'DR',
      'TUN',
      ...(this.plain ? [] : ['FNAT', 'SNAT', 'TUN type gue port 6080 csum', 'TUN type gre nocsum']),
    ]);
  }

  range(): string {
    const { random } = this;
    if (random.chance(0.3)) return `2001:db8::${random.within(1, 9)}-${random.within(10, 99)}`;
    return random.chance(0.5)
      ? `10.1.${random.within(0, 255)}.${random.within(1, 100)}-${random.within(101, 254)}`
      : this.ip(4);
  }

  weight(limit: number): string {
    const { random } = this;
    const sense = random.chance(0.3) ? ' reverse' : '';
    return `${random.within(-limit, limit)}${sense}`;
  }

  track(limit = 253): string {
    const { random } = this;
    return random.chance(0.5) ? ` weight ${this.weight(limit)}` : '';
  }

  address(family: 4 | 6): string {
    const { random } = this;
    const words = [`${this.ip(family)}${random.chance(0.5) ? (family === 4 ? '/24' : '/64') : ''}`];
    if (random.chance(0.3)) words.push('dev eth0');
    if (family === 4 && random.chance(0.2)) words.push('scope link');
    if (family === 4 && random.chance(0.2)) words.push(random.pick(['brd +', 'brd -', 'brd 10.255.255.255']));
    if (family === 4 && random.chance(0.2)) words.push('label eth0:1');
    if (random.chance(0.2)) words.push('home');
    if (random.chance(0.2)) words.push('-nodad');
    if (random.chance(0.2)) words.push('no_track');
    if (random.chance(0.2)) words.push('noprefixroute');
    if (random.chance(0.2) && !this.plain)
      words.push(random.pick(['preferred_lft 60', 'preferred_lft forever']));
    return words.join(' ');
  }

  route(): string {
    return this.random.pick([
      '10.20.0.0/16 via 10.1.1.1 dev eth0',
      'blackhole 10.21.0.0/16',
      'default via 10.1.1.2 dev eth0 table 100 metric 5',
      '10.22.0.0/16 dev eth0 mtu lock 1400 rtt 100 initcwnd 10 features ecn quickack 1',
      'src 10.1.1.9 10.23.0.0/16 via 10.1.1.3 dev eth0 scope global onlink no_track',
      '2001:db8:5::/48 via fe80::1 dev eth0 pref high expires 600',
      '10.24.0.0/16 nexthop via 10.1.1.4 dev eth0 weight 2 nexthop via 10.1.1.5 dev eth0 onlink realms 3',
      '10.25.0.0/16 dev eth0 encap ip id 7 dst 10.9.9.9 ttl 9 congctl lock cubic realms 5/6',
      '10.26.0.0/16 via inet6 fe80::2 dev eth0 rto_min lock 5s fastopen_no_cookie 1 ttl-propagate disabled',
    ]);
  }

  rule(): string {
    const preference = this.random.within(100, 30000);
    return this.random.pick([
      `from 10.1.0.0/16 table 100 preference ${preference}`,
      `from 10.1.0.0/16 to 10.2.0.0/16 iif eth0 fwmark 7/0xff lookup 5 order ${preference} suppress_prefixlength 0`,
      `to 2001:db8::/32 blackhole priority ${preference}`,
      `not from 10.3.0.0/16 tos 16 goto 32000 preference ${preference} no_track`,
      `oif eth0 uidrange 100-200 ipproto tcp sport 1-1023 dport 80 unreachable preference ${preference}`,
      `l3mdev preference ${preference}`,
      `nop tunnel-id 99 preference ${preference}`,
    ]);
  }

  /** Arguments for a keyword. @returns undefined: leave it out */
  arguments(keyword: Keyword<never>): string | undefined {
    const { random } = this;
    switch (keyword.name) {
      case 'dialect':
        return random.pick(['auto', 'upstream', 'dpvs']);
      case 'interface':
      case 'default_interface':
      case 'bind_if':
        return 'eth0';
      case 'script_user':
      case 'user':
        return random.pick(['root', 'root root']);
      case 'key':
        return keyword.args.startsWith('1..255')
          ? `${random.within(1, 255)} hex:${'5a'.repeat(random.within(32, 64))}`
          : '"/etc/ssl/key.pem"';
      case 'digest':
        return '0123456789abcdef0123456789abcdef';
      case 'umask':
        return random.pick(['022', '0x1f', 'IWGRP|IWOTH']);
      case 'iproute_usr_dir':
      case 'iproute_etc_dir':
        return '/etc/iproute2';
      case 'debug':
        return String(random.within(0, 4));
      case 'regex':
        return random.pick(['"^HTTP.*200"', '"a\\"b"', "'single quoted'", '"\\\\d+ {2} \\$x"']);
      case 'regex_options':
        return random.pick(['caseless', 'caseless dotall', 'multiline extended']);
      case 'proxy_protocol':
        return random.pick(['v1', 'v2', 'v1-insecure', 'nonsense']);
      case 'hash_target':
        return random.pick(['sip', 'qid']);
      case 'src-range':
      case 'dst-range':
        return '10.0.0.1-10.0.0.9:80-90';
      case 'status_code':
        return random.pick(['200', '200-204 301', '404']);
      case 'persistence_engine':
        return 'sip';
      case 'persistence_granularity':
        return random.pick(['255.255.255.0', '64']);
      case 'laddr_group_name':
        return 'local_group';
      case 'daddr_group_name':
        return 'deny_group';
      case 'waddr_group_name':
        return 'allow_group';
      case 'protocol':
        return random.pick(this.plain ? ['TCP', 'UDP', 'SCTP'] : ['TCP', 'udp', 'SCTP', 'ICMP', 'ICMPV6']);
      case 'advert_int':
        return String(random.within(1, 30));
      case 'mcast_dst_ip':
        return '224.0.0.99';
    }
    switch (keyword.args) {
      case '':
        return '';
      case '[BOOL]':
        return random.pick(['', 'true', 'false', 'yes', 'no', 'on', 'off']);
      case 'WORD':
        return this.word();
      case 'IP':
        return this.ip();
      case 'IPv4':
        return '224.0.0.77';
      case 'IPv6':
        return 'ff02::77';
      case 'SECONDS':
        return keyword.name === 'misc_timeout' ||
          /^(vrrp_)?garp_|child_wait|smtp_connect|vrrp_garp/.test(keyword.name)
          ? String(random.within(0, 50))
          : this.seconds(0.01);
      case 'SCRIPT [user [group]]':
      case '[SCRIPT [user [group]]]':
        return this.script(true);
      case 'SCRIPT':
        return this.script(false);
      case 'HOST [PORT=25]':
        return random.pick(['127.0.0.1', 'mail.example.net 2525', '::1 25']);
      case 'N':
        return String(random.within(0, 20));
      case 'CPU ...':
        return '0 1';
      case 'PATH [user [group]]':
        return random.pick(['/run/x.fifo', '/run/y.fifo root', '/run/z.fifo root root']);
      case 'dpvsd|dry-run [SOCKET]':
        return random.pick(['dpvsd', 'dry-run', 'dpvsd /run/x.ipc']);
      case '[allow_if_changes]':
        return random.pick(['', 'allow_if_changes']);
      case '[tcp S] [tcpfin S] [udp S]':
        return 'tcp 7200 tcpfin 120 udp 300';
      case '[VS]':
        return random.pick(['', 'VS']);
      case '[-1..99]':
        return random.pick(['', '-1', '50']);
      case 'MTU|ADVERT|BYTES':
        return random.pick(['MTU', 'ADVERT', '4096']);
      case '[INCHAIN [OUTCHAIN]]':
        return random.pick(['', 'IN', 'IN OUT']);
      case '[ADDR [ADDR6 [IF6 [IGMP [MLD [ND]]]]]]':
        return random.pick(['', 'a', 'a b c']);
      case '[+|-]read|match|wildcard_match|brace_match ...':
        return random.pick(['', 'match', '+match -read', 'wildcard_match brace_match']);
      case 'NETMASK|1..128':
        return '255.255.255.0';
      case '[SECONDS=360]':
        return random.pick(['', '50']);
      case 'IP [PORT]':
        return `${this.ip(4)} ${random.within(1, 65535)}`;
      case 'HEX|TEXT':
        return random.pick(['0102ff', '"hello world"', 'plain', '01 02 ff']);
      case '[HEX|TEXT]':
        return random.pick(['', '01xxff', '"hello ok"', 'plain ok']);
      case 'START MAX':
        return '1024 65536';
      case 'COMMAND [ARGUMENT ...]':
        return random.pick(['nginx', 'nginx "-g x"', '"a b" c']);
      case '[initial|partial]':
        return random.pick(['', 'initial', 'partial']);
      case '[INTEGER] [overwrite]':
        return random.pick(['', '5', '-3 overwrite', 'overwrite']);
      case '[never]':
        return random.pick(['', 'never']);
      case '[1..254]':
        return random.pick(['', '200']);
      case '[name] [IF] [MAC] [netlink_notify_msg] [group G]':
        return random.pick(['', 'vrrp9', 'name vmac1 00:00:5e:00:01:7', 'vm netlink_notify_msg group 3']);
      case '[name] [IF] [IP] [bridge|private|vepa] [group G]':
        return random.pick(['', 'ipv1', 'ipv1 10.9.9.9 bridge', 'ipv1 vepa group 4']);
      case 'IF [[inst] VRRP] [id 0..255] [maxlen 1..65507] [port P] [ttl 1..255] [group MCAST]':
        return random.pick([
          'eth0',
          'eth0 VI_1 id 5',
          'eth0 inst VI_1 maxlen 1400 port 8888 ttl 2 group 239.1.1.1',
        ]);
      case '1.0|1.0c|1.1':
        return random.pick(['1.0', '1.0c', '1.1']);
      case 'NAT|DR|TUN|FNAT|SNAT [type ipip|gue|gre] [port P] [nocsum|csum|remcsum]':
        return this.forwarding();
    }
    if (/^\[(WORD|NAME|PATH|TABLE|LOGFILE)/.test(keyword.args))
      return random.chance(0.5) ? '' : '/var/some.thing';
    if (keyword.args.startsWith('[all]')) return random.pick(['all 60', '30']);
    if (/reverse/.test(keyword.args)) {
      const limit = Number(/\.\.(\d+)/.exec(keyword.args)?.[1] ?? 253);
      return this.weight(Math.min(limit, 253));
    }
    const least = /^N >= (\d+)$/.exec(keyword.args);
    if (least) return String(random.within(Number(least[1]), Number(least[1]) + 100));
    const range = /^(-?[\d.]+)\.\.(-?[\d.]+)( m?s)?$/.exec(keyword.args);
    if (range) {
      const low = Number(range[1]);
      const high = Math.min(Number(range[2]), low + 200);
      if (range[3] === ' s' && !/timeout|window/.test(keyword.name)) return this.seconds(low, high);
      return String(random.within(low, high));
    }
    if (/^[\w.]+(\|[\w.-]+)+$/.test(keyword.args)) return random.pick(keyword.args.split('|'));
    return undefined;
  }

  /** An entry for a block of entries. */
  entry(keyword: Keyword<never>, family: 4 | 6): string {
    const { random } = this;
    switch (keyword.name) {
      case 'virtual_ipaddress':
        return this.address(family);
      case 'virtual_ipaddress_excluded':
      case 'static_ipaddress':
        return this.address(random.chance(0.5) ? 4 : 6);
      case 'virtual_routes':
      case 'static_routes':
        return this.route();
      case 'virtual_rules':
      case 'static_rules':
        return this.rule();
      case 'unicast_peer':
        return `${this.ip(family)}${this.plain ? '' : random.pick(['', ' min_ttl 3', ' min_ttl 1 max_ttl 250'])}`;
      case 'track_interface':
        return `eth${random.within(0, 3)}${this.track()}`;
      case 'track_script':
        return `script_${random.within(0, 2)}${this.track()}`;
      case 'track_file':
        return `file_${random.within(0, 2)}${this.track()}`;
      case 'track_process':
        return `process_${random.within(0, 2)}${this.track()}`;
      case 'track_bfd':
        return `bfd_${random.within(0, 2)}${this.track()}`;
      case 'group':
        return `instance_${random.within(0, 3)}`;
      case 'interfaces':
        return `eth${random.within(0, 3)}`;
      case 'linkbeat_interfaces':
        return `eth${random.within(0, 3)}${random.pick(['', ' MII', ' ETHTOOL'])}`;
      case 'interface_up_down_delays':
        return `eth${random.within(0, 3)} 1.5${random.pick(['', ' 2'])}`;
      case 'notification_email':
        return random.pick(['root@localhost', '"Operator <op@example.net>"']);
      case 'virtual_server_group':
        return random.pick([`${this.ip(4)} 80`, '10.7.7.1-9 53', '10.7.8.0/28 443', '10.7.9.1-10.7.9.5 25']);
      case 'local_address_group':
        return `${this.range()} dpdk0`;
      default:
        return random.chance(0.2) ? 'ipset:names' : this.range();
    }
  }
}

/** Blocks that are named, and by what. */
const heads: Record<string, (samples: Samples, index: number) => string> = {
  vrrp_instance: (_samples, index) => `instance_${index}`,
  vrrp_sync_group: (_samples, index) => `group_${index}`,
  vrrp_script: (_samples, index) => `script_${index}`,
  vrrp_track_process: (_samples, index) => `process_${index}`,
  track_file: (_samples, index) => `file_${index}`,
  vrrp_track_file: (_samples, index) => `file_${index + 10}`,
  bfd_instance: (_samples, index) => `bfd_${index}`,
  track_group: (_samples, index) => `tg_${index}`,
  tunnel_group: (_samples, index) => `tunnels_${index}`,
  tunnel_entry: (_samples, index) => `tun${index}`,
  virtual_server: (samples, index) =>
    samples.random.pick([
      `${samples.ip(4)} ${samples.random.within(1, 65535)}`,
      `fwmark ${index + 1}`,
      'group servers',
      ...(samples.plain ? [] : [`match snat_${index}`]),
    ]),
  real_server: (samples) => `${samples.ip(4)} ${samples.random.within(1, 65535)}`,
};

/** How many of a block there are at most. */
const several: Record<string, number> = {
  vrrp_instance: 4,
  vrrp_script: 3,
  track_file: 3,
  vrrp_track_process: 3,
  bfd_instance: 3,
  virtual_server: 4,
  real_server: 3,
  url: 2,
  tunnel_entry: 2,
};

/** What a block cannot do without: it is always written, and first. */
const essential: Record<string, readonly string[]> = {
  vrrp_instance: ['interface', 'virtual_router_id', 'virtual_ipaddress'],
  vrrp_script: ['script'],
  vrrp_track_process: ['process'],
  track_file: ['file'],
  vrrp_track_file: ['file'],
  bfd_instance: ['neighbor_ip'],
  virtual_server: ['protocol', 'lb_algo', 'lb_kind', 'real_server'],
  virtual_server_group: [],
  HTTP_GET: ['url'],
  SSL_GET: ['url'],
  url: ['path'],
  MISC_CHECK: ['misc_path'],
  FILE_CHECK: ['track_file'],
  BFD_CHECK: ['name'],
};

/** Arguments inside blocks that must fit what stands elsewhere. */
const fixed: Record<string, (samples: Samples) => string> = {
  'FILE_CHECK/track_file': (samples) => `file_${samples.random.within(0, 2)}`,
  'BFD_CHECK/name': (samples) => `bfd_${samples.random.within(0, 2)}`,
  'url/path': () => '/index.html',
};

export interface RandomOptions {
  /** Share of the optional keywords that are written. */
  density: number;
  /** Decides which keywords may be used at all. */
  allowed?: (keyword: Keyword<never>, path: string) => boolean;
}

/** A configuration made at random from the tables of the language itself. */
export function randomConfiguration(samples: Samples, options: RandomOptions): string {
  const { random } = samples;
  const lines: string[] = [];
  const allowed = options.allowed ?? (() => true);

  const write = (keyword: Keyword<never>, path: string, depth: number, family: 4 | 6, index: number) => {
    const pad = '  '.repeat(depth);
    if (keyword.kind === 'value') {
      const args = fixed[`${path.split('/').pop()}/${keyword.name}`]?.(samples) ?? samples.arguments(keyword);
      if (args !== undefined) lines.push(`${pad}${keyword.name} ${args}`.trimEnd());
      return;
    }
    if (keyword.kind === 'list') {
      const listNames: Record<string, string> = {
        virtual_server_group: ' servers',
        local_address_group: ' local_group',
        deny_address_group: ' deny_group',
        allow_address_group: ' allow_group',
      };
      lines.push(`${pad}${keyword.name}${listNames[keyword.name] ?? ''} {`);
      for (let count = random.within(1, 3); count > 0; count--)
        lines.push(`${pad}  ${samples.entry(keyword, family)}`);
      lines.push(`${pad}}`);
      return;
    }
    const head = heads[keyword.name]?.(samples, index);
    lines.push(`${pad}${keyword.name}${head === undefined ? '' : ` ${head}`} {`);
    body(keyword.table as Table<never>, `${path}/${keyword.name}`, depth + 1, keyword.name);
    lines.push(`${pad}}`);
  };

  const body = (table: Table<never>, path: string, depth: number, name: string) => {
    const family = random.chance(0.75) ? 4 : 6;
    const must = essential[name] ?? [];
    const keywords = [...table.keywords.values()].filter((keyword) => allowed(keyword, path));
    const chosen = [
      ...must.map((one) => table.keywords.get(one) as Keyword<never>),
      ...keywords.filter((keyword) => !must.includes(keyword.name) && random.chance(options.density)),
    ];
    for (const keyword of chosen) {
      const most = keyword.kind === 'block' ? (several[keyword.name] ?? 1) : 1;
      for (let index = 0, count = random.within(1, most); index < count; index++) {
        write(keyword, path, depth, family, index);
      }
    }
  };

  // The order of the root matters: what is referred to stands first.
  const order = [
    'global_defs',
    'vrrp_script',
    'vrrp_track_process',
    'track_file',
    'vrrp_track_file',
    'bfd_instance',
    'track_group',
    'virtual_server_group',
    'local_address_group',
    'deny_address_group',
    'allow_address_group',
    'tunnel_group',
    'static_ipaddress',
    'static_routes',
    'static_rules',
    'garp_group',
    'vrrp_instance',
    'vrrp_sync_group',
    'SSL',
    'virtual_server',
  ];
  const referred = [
    'vrrp_script',
    'vrrp_track_process',
    'track_file',
    'bfd_instance',
    'virtual_server_group',
    'local_address_group',
    'deny_address_group',
    'allow_address_group',
  ];
  const rest = [...root.keywords.keys()].filter((name) => !order.includes(name));
  for (const name of [...order, ...rest]) {
    const keyword = root.keywords.get(name) as Keyword<never>;
    if (!allowed(keyword, '')) continue;
    if (!referred.includes(name) && !random.chance(Math.max(0.5, options.density))) continue;
    const most = keyword.kind === 'block' ? (several[name] ?? 1) : 1;
    const count = referred.includes(name) ? most : random.within(1, most);
    for (let index = 0; index < count; index++) write(keyword, '', 0, 4, index);
  }
  return `${lines.join('\n')}\n`;
}
