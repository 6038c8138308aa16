import {
  type ConnectionFilter,
  type DeepPartial,
  type DestCheck,
  Flush_What,
  Forward,
  HashTarget,
  ListKind,
  Operation,
  Protocol,
  ProxyProtocol,
  Server,
  type Service,
  type ServiceKey,
  Verb,
} from '../../dpvsd/generated/control.js';
import { addressBytes, decimal, parsePrefix } from '../address.js';
import type { GivenOption, Words } from '../getopt.js';
import { UsageError } from '../usage.js';
import { type CommandSpec, commandSpecs, forwardOptions, optionTable, serviceOptions } from './options.js';
import { parseEndpoint, parseServiceKey } from './service.js';

export type ListView = 'plain' | 'stats' | 'rate' | 'thresholds' | 'persistent-conn';

export interface ListOptions {
  numeric: boolean;
  exact: boolean;
  sort: boolean;
  /** 0: all together, otherwise number of the worker + 1. */
  cpu: number;
}

/** A change of the tables. Edits keep what they do not name, so that they need to know what is there. */
export type Change =
  | { kind: 'operation'; operation: Operation }
  | { kind: 'edit-service'; key: ServiceKey; edits: Partial<Service> }
  | { kind: 'edit-server'; service: ServiceKey; address: Uint8Array; port: number; edits: Partial<Server> };

export type Command =
  | { kind: 'help' | 'version' | 'restore' | 'save' | 'timeouts' | 'daemon' }
  | { kind: 'change'; change: Change }
  | { kind: 'list'; view: ListView; service: ServiceKey | undefined; options: ListOptions }
  | {
      kind: 'connections';
      templates: boolean;
      service: ServiceKey | undefined;
      filter: ConnectionFilter | undefined;
      options: ListOptions;
    }
  | { kind: 'local-addresses'; service: ServiceKey | undefined; options: ListOptions }
  | { kind: 'entries'; list: ListKind; service: ServiceKey | undefined };

/** A whole command line: what to do, and whether results are wanted as JSON. */
export interface Invocation {
  command: Command;
  json: boolean;
}

const commandByName = new Map(commandSpecs.map((spec) => [spec.long, spec]));
/** Longest time of an option, in seconds: 31 days. */
const LONGEST = 31 * 86400;
/** Seconds of persistence when -p has no argument. */
const DEFAULT_PERSISTENCE = 360;
const DEFAULT_SCHEDULER = 'wlc';
const INT_MAX = 0x7fff_ffff;

/** The options of one command line by name, each at most once. */
class Given {
  readonly #options = new Map<string, GivenOption>();

  add(option: GivenOption): void {
    const before = this.#options.get(option.long);
    if (before) throw new UsageError(`${option.typed} is there twice`);
    this.#options.set(option.long, option);
  }
  has(long: string): boolean {
    return this.#options.has(long);
  }
  value(long: string): string | undefined {
    return this.#options.get(long)?.value;
  }
  typed(long: string): string | undefined {
    return this.#options.get(long)?.typed;
  }
  drop(long: string): void {
    this.#options.delete(long);
  }
  /** The options of these that are there. */
  among(names: readonly string[]): GivenOption[] {
    const found: GivenOption[] = [];
    for (const name of names) {
      const option = this.#options.get(name);
      if (option) found.push(option);
    }
    return found;
  }
  all(): Iterable<GivenOption> {
    return this.#options.values();
  }
  /** A number, or undefined when the option is not there. */
  number(long: string, least: number, most: number): number | undefined {
    const option = this.#options.get(long);
    if (!option) return undefined;
    const number = decimal(option.value, least, most);
    if (number === undefined) {
      throw new UsageError(`illegal ${long} '${option.value}': a number from ${least} to ${most} is wanted`);
    }
    return number;
  }
}

/** Reads a command line, without the program's name. @throws UsageError */
export function parseCommandLine(args: readonly string[]): Invocation {
  const words = optionTable.parse(args);
  const given = new Given();
  let json = false;
  let spec: CommandSpec | undefined;
  let commandWord: GivenOption | undefined;
  for (const option of words.options) {
    const command = commandByName.get(option.long);
    if (command) {
      if (spec) throw new UsageError(`one command at a time: ${commandWord?.typed} or ${option.typed}`);
      spec = command;
      commandWord = option;
    } else if (option.long === 'json') json = true;
    else given.add(option);
  }
  if (!spec) {
    // Nothing at all lists the table; --json alone does too.
    if (words.rest.length > 0) throw new UsageError(`unexpected argument '${words.rest[0]}'`);
    for (const option of given.all())
      throw new UsageError(`${option.typed} needs a command such as -A, -a or -L`);
    return {
      command: { kind: 'list', view: 'plain', service: undefined, options: listOptions(given) },
      json,
    };
  }
  if (spec.long.endsWith('-service')) readSchedulerFlags(given, words.rest);
  if (spec.long !== 'set' && words.rest.length > 0)
    throw new UsageError(`unexpected argument '${words.rest[0]}'`);
  return { command: interpret(spec, given, words), json };
}

/** In stock ipvsadm `-b FLAGS` of a service is `--sched-flags FLAGS`, and `-S` writes it so; DPVS's -b belongs to real servers. */
function readSchedulerFlags(given: Given, rest: string[]): void {
  if (given.typed('fullnat') !== '-b' || given.has('sched-flags') || rest.length === 0) return;
  given.drop('fullnat');
  given.add({ long: 'sched-flags', typed: '-b', value: rest.shift() });
}

function interpret(spec: CommandSpec, given: Given, words: Words): Command {
  checkOptions(spec, given);
  const service = givenService(spec, given);
  switch (spec.long) {
    case 'help':
    case 'version':
    case 'restore':
    case 'save':
      return { kind: spec.long };
    case 'list':
      return listCommand(given, service);
    case 'get-laddr':
      return { kind: 'local-addresses', service, options: listOptions(given) };
    case 'get-blklst':
      return { kind: 'entries', list: ListKind.LIST_DENY, service };
    case 'get-whtlst':
      return { kind: 'entries', list: ListKind.LIST_ALLOW, service };
    case 'start-daemon':
    case 'stop-daemon':
      throw new UsageError(
        `${spec.long}: this dataplane has no connection synchronisation daemon; nothing was started or stopped`,
      );
    default:
      return { kind: 'change', change: changeCommand(spec, given, service, words.rest) };
  }
}

const allowedOptions = new Map(
  commandSpecs.map((spec) => [
    spec.long,
    new Set<string>([
      ...(spec.needs ?? []),
      ...(spec.takes ?? []),
      ...(spec.service === 'none' ? [] : [...serviceOptions, 'ipv6']),
    ]),
  ]),
);

function checkOptions(spec: CommandSpec, given: Given): void {
  const allowed = allowedOptions.get(spec.long);
  for (const option of given.all()) {
    if (!allowed?.has(option.long)) throw new UsageError(`${option.typed} does not go with --${spec.long}`);
  }
  for (const need of spec.needs ?? []) {
    if (!given.has(need)) throw new UsageError(`--${spec.long} needs --${need}`);
  }
  const [first, second] = given.among(forwardOptions);
  if (first && second)
    throw new UsageError(`one way to forward at a time: ${first.typed} or ${second.typed}`);
}

function givenService(spec: CommandSpec, given: Given): ServiceKey | undefined {
  const [option, second] = given.among(serviceOptions);
  if (option && second)
    throw new UsageError(`one virtual server at a time: ${option.typed} or ${second.typed}`);
  if (given.has('ipv6') && option?.long !== 'fwmark-service') throw new UsageError('-6 goes with -f only');
  if (!option) {
    if (spec.service === 'needed') {
      throw new UsageError(`--${spec.long} needs a virtual server: -t, -u, -q, -1, -f or -H`);
    }
    return undefined;
  }
  return recentKey(option.long, option.value ?? '', given.has('ipv6'));
}

let recent: { option: string; text: string; ipv6: boolean; key: ServiceKey } | undefined;

/** In a long restore nearly every line names the service of the line before. */
function recentKey(option: string, text: string, ipv6: boolean): ServiceKey {
  if (recent?.text !== text || recent.option !== option || recent.ipv6 !== ipv6) {
    recent = { option, text, ipv6, key: parseServiceKey(option, text, ipv6) };
  }
  return recent.key;
}

function listOptions(given: Given): ListOptions {
  return {
    numeric: given.has('numeric'),
    exact: given.has('exact'),
    sort: !given.has('nosort'),
    cpu: given.number('cpu', 0, 1024) ?? 0,
  };
}

function listCommand(given: Given, service: ServiceKey | undefined): Command {
  const exclusive = given.among(['connection', 'timeout', 'daemon']);
  const views = given.among(['stats', 'rate', 'thresholds', 'persistent-conn']);
  const [first, second] = exclusive;
  if (first && second) throw new UsageError(`one list at a time: ${first.typed} or ${second.typed}`);
  const [view] =
    first?.long === 'connection' ? views.filter(({ long }) => long !== 'persistent-conn') : views;
  if (first && view) throw new UsageError(`one list at a time: ${first.typed} or ${view.typed}`);
  const [one, other] = views;
  if (one && other) throw new UsageError(`one list at a time: ${one.typed} or ${other.typed}`);
  const options = listOptions(given);
  const sockpair = given.value('sockpair');
  if (sockpair !== undefined && first?.long !== 'connection')
    throw new UsageError('--sockpair goes with -c only');
  switch (first?.long) {
    case 'connection': {
      const filter = sockpair === undefined ? undefined : parseSockpair(sockpair);
      return { kind: 'connections', templates: given.has('persistent-conn'), service, filter, options };
    }
    case 'timeout':
      return { kind: 'timeouts' };
    case 'daemon':
      return { kind: 'daemon' };
    default:
      return { kind: 'list', view: (one?.long ?? 'plain') as ListView, service, options };
  }
}

/** `tcp:SOURCE:PORT:TARGET:PORT`, IPv6 addresses in brackets. */
function parseSockpair(text: string): ConnectionFilter {
  const parts = /^(tcp|udp):(?:\[([^\]]+)\]|([^:]+)):(\d+):(?:\[([^\]]+)\]|([^:]+)):(\d+)$/.exec(text);
  const client = addressBytes(parts?.[2] ?? parts?.[3] ?? '');
  const virtual = addressBytes(parts?.[5] ?? parts?.[6] ?? '');
  const clientPort = decimal(parts?.[4], 0, 65535);
  const virtualPort = decimal(parts?.[7], 0, 65535);
  if (!client || !virtual || clientPort === undefined || virtualPort === undefined) {
    throw new UsageError(
      `illegal socket pair '${text}' (tcp|udp:CLIENT:PORT:VIP:PORT, IPv6 addresses in brackets)`,
    );
  }
  const protocol = parts?.[1] === 'udp' ? Protocol.PROTOCOL_UDP : Protocol.PROTOCOL_TCP;
  return { protocol, client, clientPort, virtual, virtualPort };
}

function operation(verb: Verb, object: NonNullable<DeepPartial<Operation>['object']>): Change {
  return { kind: 'operation', operation: Operation.fromPartial({ verb, object } as object) };
}

function changeCommand(
  spec: CommandSpec,
  given: Given,
  service: ServiceKey | undefined,
  rest: readonly string[],
): Change {
  switch (spec.long) {
    case 'clear':
      return operation(Verb.VERB_DELETE, { $case: 'flush', value: { what: Flush_What.SERVICES } });
    case 'zero':
      return operation(Verb.VERB_EDIT, { $case: 'zero', value: service ? { service } : {} });
    case 'set':
      return operation(Verb.VERB_EDIT, { $case: 'timeouts', value: timeouts(rest) });
  }
  const key = service!;
  switch (spec.long) {
    case 'add-service':
      return operation(Verb.VERB_ADD, { $case: 'service', value: newService(key, given) });
    case 'edit-service':
      return { kind: 'edit-service', key, edits: serviceAttributes(key, given) };
    case 'delete-service':
      return operation(Verb.VERB_DELETE, { $case: 'service', value: { key } });
    case 'add-server':
    case 'edit-server':
    case 'delete-server':
      return serverChange(spec.long, key, given);
    case 'add-laddr':
    case 'del-laddr': {
      const text = given.value('laddr') ?? '';
      const address = addressBytes(text);
      if (!address) throw new UsageError(`illegal local address '${text}'`);
      const value = { service: key, address, device: given.value('ifname') ?? '' };
      return operation(verbOf(spec), { $case: 'localAddress', value });
    }
    case 'add-blklst':
    case 'del-blklst':
      return operation(verbOf(spec), {
        $case: 'listEntry',
        value: { service: key, kind: ListKind.LIST_DENY, ...listSubject(given.value('blklst') ?? '') },
      });
    default:
      return operation(verbOf(spec), {
        $case: 'listEntry',
        value: { service: key, kind: ListKind.LIST_ALLOW, ...listSubject(given.value('whtlst') ?? '') },
      });
  }
}

function verbOf(spec: CommandSpec): Verb {
  return spec.long.startsWith('add') ? Verb.VERB_ADD : Verb.VERB_DELETE;
}

function timeouts(words: readonly string[]): { tcp: number; tcpFin: number; udp: number } {
  const numbers = words.map((word) => {
    const number = decimal(word, 0, LONGEST);
    if (number === undefined) throw new UsageError(`illegal time-out '${word}': 0 to ${LONGEST} seconds`);
    return number;
  });
  const [tcp, tcpFin, udp, ...more] = numbers;
  if (tcp === undefined || tcpFin === undefined || udp === undefined || more.length > 0) {
    throw new UsageError('--set needs three time-outs in seconds: tcp, tcpfin, udp (0 leaves one as it is)');
  }
  return { tcp, tcpFin, udp };
}

/** `10.0.0.1`, `10.0.0.0/8` or `ipset:NAME`. */
function listSubject(text: string): { address: Uint8Array; prefix: number; set: string } {
  if (text.startsWith('ipset:') && text.length > 6)
    return { address: Buffer.alloc(0), prefix: 0, set: text.slice(6) };
  const prefix = parsePrefix(text);
  // Prefix length 0 is everybody; with another address it is a slip.
  if (!prefix || (prefix.length === 0 && prefix.address.some((byte) => byte !== 0))) {
    throw new UsageError(
      `illegal list entry '${text}' (an address, a network such as 10.0.0.0/8, or ipset:NAME)`,
    );
  }
  return { address: prefix.address, prefix: prefix.length, set: '' };
}

function newService(key: ServiceKey, given: Given): Partial<Service> {
  const edits = serviceAttributes(key, given);
  const icmp = key.protocol === Protocol.PROTOCOL_ICMP || key.protocol === Protocol.PROTOCOL_ICMPV6;
  if (key.fwmark === 0 && !key.match && key.port === 0 && !icmp && !edits.persistence) {
    throw new UsageError('a service without a port must be persistent (-p)');
  }
  return { scheduler: DEFAULT_SCHEDULER, ...edits, key };
}

/** The attributes of a service that the command line names. */
function serviceAttributes(key: ServiceKey, given: Given): Partial<Service> {
  const edits: Partial<Service> = {};
  const udp = key.protocol === Protocol.PROTOCOL_UDP || key.fwmark > 0;
  const set = <Name extends keyof Service>(name: Name, value: Service[Name] | undefined) => {
    if (value !== undefined) edits[name] = value;
  };
  set('scheduler', given.value('scheduler'));
  set('schedulerFlags', given.value('sched-flags'));
  set('owner', given.value('owner'));
  set('connectionTimeout', given.number('conn-timeout', 0, LONGEST));
  set('bps', given.number('bps', 0, Number.MAX_SAFE_INTEGER));
  set('limitProportion', given.number('limit-proportion', 0, 100));
  set('onePacket', flag(given, 'ops'));
  set('quic', flag(given, 'quic'));
  set('expireQuiescent', flag(given, 'expire-quiescent'));
  if (edits.onePacket && !udp) throw new UsageError('--ops (one-packet scheduling) is for UDP services only');
  if (edits.quic && !udp) throw new UsageError('--quic is for UDP services only');
  if (given.has('pe'))
    throw new UsageError('--pe: this dataplane has no persistence engines; -p and -M are there');
  if (given.has('persistent')) {
    set(
      'persistence',
      given.value('persistent') === undefined ? DEFAULT_PERSISTENCE : given.number('persistent', 0, LONGEST),
    );
  }
  if (given.has('netmask')) set('persistencePrefix', netmask(key, given.value('netmask') ?? ''));
  if (given.has('synproxy')) set('synProxy', choice(given, 'synproxy', { enable: true, disable: false }));
  if (given.has('proxy-protocol')) {
    set('proxyProtocol', choice(given, 'proxy-protocol', proxyProtocols));
    const version1 = [ProxyProtocol.PROXY_V1, ProxyProtocol.PROXY_V1_INSECURE].includes(edits.proxyProtocol!);
    if (version1 && key.protocol === Protocol.PROTOCOL_UDP) {
      throw new UsageError('--proxy-protocol: version 1 cannot carry UDP, use v2');
    }
  }
  if (given.has('hash-target')) {
    set(
      'hashTarget',
      choice(given, 'hash-target', { sip: HashTarget.HASH_SOURCE_IP, qid: HashTarget.HASH_QUIC_ID }),
    );
    if (edits.scheduler !== undefined && edits.scheduler !== 'conhash') {
      throw new UsageError('--hash-target goes with the scheduler conhash only');
    }
    if (edits.hashTarget === HashTarget.HASH_QUIC_ID && !udp) {
      throw new UsageError('--hash-target qid (QUIC connection id) is for UDP services only');
    }
  }
  if (given.has('dest-check')) set('destCheck', destCheck(given.value('dest-check') ?? ''));
  return edits;
}

const proxyProtocols: Record<string, ProxyProtocol> = {
  disable: ProxyProtocol.PROXY_NONE,
  v1: ProxyProtocol.PROXY_V1,
  v2: ProxyProtocol.PROXY_V2,
  'v1-insecure': ProxyProtocol.PROXY_V1_INSECURE,
  'v2-insecure': ProxyProtocol.PROXY_V2_INSECURE,
};

function flag(given: Given, name: string): boolean | undefined {
  if (given.has(name) && given.has(`no-${name}`)) throw new UsageError(`--${name} and --no-${name} at once`);
  if (given.has(name)) return true;
  return given.has(`no-${name}`) ? false : undefined;
}

function choice<T>(given: Given, option: string, choices: Record<string, T>): T {
  const value = given.value(option) ?? '';
  const chosen = Object.hasOwn(choices, value) ? choices[value] : undefined;
  if (chosen === undefined) {
    throw new UsageError(`illegal ${option} '${value}': one of ${Object.keys(choices).join(', ')}`);
  }
  return chosen;
}

/** Prefix length of `255.255.255.0` or, mostly for IPv6, of a number; 0 for the whole address. */
function netmask(key: ServiceKey, text: string): number {
  const width = key.address.length === 16 ? 128 : 32;
  let length = decimal(text, 1, width);
  const mask = addressBytes(text);
  if (mask?.length === 4 && width === 32) {
    const inverse = ~mask.readUInt32BE(0) >>> 0;
    // Ones, then zeros: the inverse is one less than a power of two.
    if ((inverse & (inverse + 1)) === 0 && inverse !== 0xffff_ffff) length = 32 - Math.log2(inverse + 1);
  }
  if (length === undefined) {
    const wanted =
      width === 32 ? 'ones followed by zeros, such as 255.255.255.0' : 'a prefix length from 1 to 128';
    throw new UsageError(`illegal persistence mask '${text}': ${wanted}`);
  }
  return length === width ? 0 : length;
}

const passiveDefault: DestCheck = {
  enabled: true,
  downRetry: 1,
  upConfirm: 1,
  downWait: 3,
  inhibitMin: 5,
  inhibitMax: 3600,
};

/** `disable`, `default`, `down_retry,up_confirm,down_wait,inhibit_min-inhibit_max` or `down_retry,down_wait`. */
function destCheck(text: string): DestCheck {
  const off: DestCheck = {
    enabled: false,
    downRetry: 0,
    upConfirm: 0,
    downWait: 0,
    inhibitMin: 0,
    inhibitMax: 0,
  };
  if (text === 'disable') return off;
  if (text === 'default') return passiveDefault;
  if (['tcp', 'udp', 'sctp', 'ping'].includes(text)) {
    throw new UsageError(
      `--dest-check ${text}: active checks are keepalived's (TCP_CHECK, UDP_CHECK, PING_CHECK)`,
    );
  }
  const both = /^(\d{1,3}),(\d{1,3}),(\d{1,3})s?,(\d{1,5})-(\d{1,5})s?$/.exec(text);
  const down = /^(\d{1,3}),(\d{1,3})s?$/.exec(text);
  const [downRetry, upConfirm, downWait, inhibitMin, inhibitMax] = (
    both ? both.slice(1) : down ? [down[1], '0', down[2], '0', '0'] : []
  ).map(Number);
  const check: DestCheck = {
    enabled: true,
    downRetry: downRetry ?? 0,
    upConfirm: upConfirm ?? 0,
    downWait: downWait ?? 0,
    inhibitMin: inhibitMin ?? 0,
    inhibitMax: inhibitMax ?? 0,
  };
  const inBounds =
    check.downRetry >= 1 &&
    check.downRetry <= 255 &&
    check.downWait >= 1 &&
    check.downWait <= 255 &&
    (!both || (check.upConfirm >= 1 && check.upConfirm <= 255 && check.inhibitMin >= 1)) &&
    check.inhibitMin <= check.inhibitMax &&
    check.inhibitMax <= 65535;
  if ((!both && !down) || !inBounds) {
    throw new UsageError(
      `illegal dest-check '${text}': disable, default, DOWN_RETRY,UP_CONFIRM,DOWN_WAITs,MIN-MAXs (1,1,3s,5-3600s) or DOWN_RETRY,DOWN_WAITs (1,3s)`,
    );
  }
  return check;
}

const forwards: Record<string, Forward> = {
  fullnat: Forward.FORWARD_FULLNAT,
  masquerading: Forward.FORWARD_NAT,
  gatewaying: Forward.FORWARD_DR,
  ipip: Forward.FORWARD_TUNNEL,
  snat: Forward.FORWARD_SNAT,
};

const plainServer: Server = { ...Server.fromPartial({}), weight: 1 };

function serverChange(what: string, service: ServiceKey, given: Given): Change {
  const udp = service.protocol === Protocol.PROTOCOL_UDP;
  const endpoint = parseEndpoint(given.value('real-server') ?? '', 'real server', udp ? 'udp' : 'tcp');
  const { address } = endpoint;
  let port = endpoint.port ?? service.port;
  if (what === 'delete-server') {
    return operation(Verb.VERB_DELETE, { $case: 'server', value: { service, address, port } });
  }
  const edits: Partial<Server> = {};
  const set = <Name extends keyof Server>(name: Name, value: Server[Name] | undefined) => {
    if (value !== undefined) edits[name] = value;
  };
  const [way] = given.among(forwardOptions);
  set('forward', way ? forwards[way.long] : undefined);
  set('weight', given.number('weight', 0, 65535));
  set('upperThreshold', given.number('u-threshold', 0, INT_MAX));
  set('lowerThreshold', given.number('l-threshold', 0, INT_MAX));
  set('inhibited', flag(given, 'inhibited'));
  set('owner', given.value('owner'));
  if (what === 'edit-server') return { kind: 'edit-server', service, address, port, edits };
  const forward = edits.forward ?? Forward.FORWARD_DR;
  // Packets that are passed on unchanged reach the service's own port, whatever was asked for (as LVS does).
  if (service.fwmark === 0 && (forward === Forward.FORWARD_DR || forward === Forward.FORWARD_TUNNEL))
    port = service.port;
  const value: Server = { ...plainServer, ...edits, service, address, port, forward };
  // The bulk of a long restore: complete as it is, without the detour of operation().
  return { kind: 'operation', operation: { verb: Verb.VERB_ADD, object: { $case: 'server', value } } };
}
