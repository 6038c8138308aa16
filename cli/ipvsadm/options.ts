import { type OptionSpec, OptionTable } from '../getopt.js';

/** What a command is called in messages, and which options go with it. */
export interface CommandSpec {
  long: string;
  short?: string;
  /** A virtual server: needed, possible, or senseless. */
  service: 'needed' | 'possible' | 'none';
  /** Options that must be there besides the service. */
  needs?: readonly string[];
  /** Options that may be there. */
  takes?: readonly string[];
}

const serviceAttributes = [
  'scheduler',
  'sched-flags',
  'persistent',
  'netmask',
  'ops',
  'no-ops',
  'synproxy',
  'conn-timeout',
  'proxy-protocol',
  'hash-target',
  'quic',
  'no-quic',
  'expire-quiescent',
  'no-expire-quiescent',
  'dest-check',
  'bps',
  'limit-proportion',
  'owner',
  'pe',
] as const;

const serverAttributes = [
  'fullnat',
  'masquerading',
  'gatewaying',
  'ipip',
  'snat',
  'weight',
  'u-threshold',
  'l-threshold',
  'inhibited',
  'no-inhibited',
  'owner',
] as const;

const views = [
  'numeric',
  'connection',
  'timeout',
  'daemon',
  'stats',
  'rate',
  'thresholds',
  'persistent-conn',
  'nosort',
  'sort',
  'exact',
  'cpu',
  'sockpair',
] as const;

/** Options that choose a virtual server; exactly one of them per command line. */
export const serviceOptions = [
  'tcp-service',
  'udp-service',
  'icmp-service',
  'icmpv6-service',
  'sctp-service',
  'fwmark-service',
  'match',
] as const;

/** Ways to forward; at most one of them per command line. */
export const forwardOptions = ['fullnat', 'masquerading', 'gatewaying', 'ipip', 'snat'] as const;

export const commandSpecs: readonly CommandSpec[] = [
  { long: 'add-service', short: 'A', service: 'needed', takes: serviceAttributes },
  { long: 'edit-service', short: 'E', service: 'needed', takes: serviceAttributes },
  { long: 'delete-service', short: 'D', service: 'needed' },
  { long: 'add-server', short: 'a', service: 'needed', needs: ['real-server'], takes: serverAttributes },
  { long: 'edit-server', short: 'e', service: 'needed', needs: ['real-server'], takes: serverAttributes },
  { long: 'delete-server', short: 'd', service: 'needed', needs: ['real-server'] },
  { long: 'add-laddr', short: 'P', service: 'needed', needs: ['laddr', 'ifname'] },
  { long: 'del-laddr', short: 'Q', service: 'needed', needs: ['laddr'], takes: ['ifname'] },
  { long: 'get-laddr', short: 'G', service: 'possible', takes: ['numeric', 'cpu'] },
  { long: 'add-blklst', short: 'U', service: 'needed', needs: ['blklst'] },
  { long: 'del-blklst', short: 'V', service: 'needed', needs: ['blklst'] },
  { long: 'get-blklst', short: 'B', service: 'possible', takes: ['numeric'] },
  { long: 'add-whtlst', short: 'O', service: 'needed', needs: ['whtlst'] },
  { long: 'del-whtlst', short: 'Y', service: 'needed', needs: ['whtlst'] },
  { long: 'get-whtlst', short: 'W', service: 'possible', takes: ['numeric'] },
  { long: 'clear', short: 'C', service: 'none' },
  { long: 'zero', short: 'Z', service: 'possible' },
  { long: 'list', short: 'L', service: 'possible', takes: views },
  { long: 'save', short: 'S', service: 'none', takes: ['numeric'] },
  { long: 'restore', short: 'R', service: 'none' },
  { long: 'set', service: 'none' },
  { long: 'start-daemon', service: 'none', takes: ['mcast-interface', 'syncid'] },
  { long: 'stop-daemon', service: 'none', takes: ['syncid'] },
  { long: 'help', short: 'h', service: 'none' },
  { long: 'version', short: 'v', service: 'none' },
];

const specs: readonly OptionSpec[] = [
  ...commandSpecs.map(({ long, short }): OptionSpec => {
    const argument = long.endsWith('-daemon') ? { argument: 'required' as const } : {};
    return { long, ...(short ? { short } : {}), ...argument };
  }),
  { long: 'tcp-service', short: 't', argument: 'required' },
  { long: 'udp-service', short: 'u', argument: 'required' },
  { long: 'icmp-service', short: 'q', argument: 'required' },
  { long: 'icmpv6-service', short: '1', argument: 'required' },
  { long: 'sctp-service', argument: 'required' },
  { long: 'fwmark-service', short: 'f', argument: 'required' },
  { long: 'match', short: 'H', argument: 'required' },
  { long: 'ipv6', short: '6' },
  { long: 'scheduler', short: 's', argument: 'required' },
  { long: 'sched-flags', argument: 'required' },
  { long: 'persistent', short: 'p', argument: 'optional' },
  { long: 'netmask', short: 'M', argument: 'required' },
  { long: 'pe', argument: 'required' },
  { long: 'ops', short: 'o' },
  { long: 'no-ops' },
  { long: 'synproxy', short: 'j', argument: 'required' },
  { long: 'conn-timeout', argument: 'required' },
  { long: 'proxy-protocol', argument: 'required' },
  { long: 'hash-target', argument: 'required' },
  { long: 'quic' },
  { long: 'no-quic' },
  { long: 'expire-quiescent' },
  { long: 'no-expire-quiescent' },
  { long: 'dest-check', argument: 'required' },
  { long: 'bps', argument: 'required' },
  { long: 'limit-proportion', argument: 'required' },
  { long: 'owner', argument: 'required' },
  { long: 'real-server', short: 'r', argument: 'required' },
  { long: 'fullnat', short: 'b' },
  { long: 'masquerading', short: 'm' },
  { long: 'gatewaying', short: 'g' },
  { long: 'ipip', short: 'i' },
  { long: 'snat', short: 'J' },
  { long: 'weight', short: 'w', argument: 'required' },
  { long: 'u-threshold', short: 'x', argument: 'required' },
  { long: 'l-threshold', short: 'y', argument: 'required' },
  { long: 'inhibited' },
  { long: 'no-inhibited' },
  { long: 'laddr', short: 'z', argument: 'required', also: ['local-address'] },
  { long: 'ifname', short: 'F', argument: 'required' },
  { long: 'blklst', short: 'k', argument: 'required', also: ['blklst-address'] },
  { long: 'whtlst', short: '2', argument: 'required', also: ['whtlst-address'] },
  { long: 'numeric', short: 'n' },
  { long: 'connection', short: 'c' },
  { long: 'timeout' },
  { long: 'daemon' },
  { long: 'stats' },
  { long: 'rate' },
  { long: 'thresholds' },
  { long: 'persistent-conn' },
  { long: 'nosort' },
  { long: 'sort' },
  { long: 'exact', short: 'X' },
  { long: 'cpu', argument: 'required' },
  { long: 'sockpair', argument: 'required' },
  { long: 'mcast-interface', argument: 'required' },
  { long: 'syncid', argument: 'required' },
  { long: 'json' },
  // -l and -L are one command.
  { long: 'list', short: 'l' },
];

export const optionTable = new OptionTable(specs);
