import { familyOf, normalAddress, readPrefix } from '../grammar/address.js';
import type { Line } from '../grammar/keyword.js';
import type {
  Encapsulation,
  Family,
  LockableMetric,
  NextHop,
  RouteType,
  VirtualRoute,
} from '../model/vrrp.js';
import { type NameFile, numberOf } from './names.js';

export const routeTypes: readonly RouteType[] = [
  'unicast',
  'local',
  'broadcast',
  'anycast',
  'multicast',
  'throw',
  'unreachable',
  'prohibit',
  'blackhole',
  'nat',
  'xresolve',
];

/** A fault that costs the whole line. */
export class Refused extends Error {}

/** Words of a line, taken one after the other. */
export class Cursor {
  readonly words: readonly string[];
  at = 0;

  constructor(words: readonly string[]) {
    this.words = words;
  }

  get done(): boolean {
    return this.at >= this.words.length;
  }

  peek(): string | undefined {
    return this.words[this.at];
  }

  next(): string {
    return this.words[this.at++] as string;
  }

  /** The value of a word; there must be one. */
  value(name: string): string {
    const word = this.words[this.at++];
    if (word === undefined) throw new Refused(`'${name}' has no value`);
    return word;
  }

  /** Whether the next word is this one; then it is taken. */
  take(word: string): boolean {
    if (this.words[this.at] !== word) return false;
    this.at++;
    return true;
  }

  number(name: string, min: number, max: number): number {
    const word = this.value(name);
    const number = /^(0[xX][0-9a-fA-F]+|\d+)$/.test(word) ? Number(word) : Number.NaN;
    if (!(number >= min && number <= max)) throw new Refused(`'${name} ${word}' is not in ${min}..${max}`);
    return number;
  }

  named(name: string, file: NameFile, max: number): number {
    const word = this.value(name);
    const number = numberOf(file, word, max);
    if (number === undefined)
      throw new Refused(`'${name} ${word}' is neither a number nor a name of ${file}`);
    return number;
  }

  address(name: string): string {
    const word = this.value(name);
    const address = normalAddress(word);
    if (address === undefined) throw new Refused(`'${name} ${word}' is no address`);
    return address;
  }

  prefix(name: string): { address: string; prefixLength: number } | undefined {
    const word = this.value(name);
    if (word === 'default' || word === 'any' || word === 'all') return undefined;
    const prefix = readPrefix(word);
    if (!prefix) throw new Refused(`'${name} ${word}' is no address or network`);
    return prefix;
  }
}

/** `[from/]to` realms, each a number or a name, packed as rtnetlink has them. */
export function readRealms(cursor: Cursor): number {
  const word = cursor.value('realms');
  const parts = word.split('/');
  const numbers = parts.map((part) => numberOf('rt_realms', part, 65535));
  if (parts.length > 2 || numbers.some((number) => number === undefined))
    throw new Refused(`unknown realms '${word}'`);
  const [first = 0, second] = numbers as number[];
  return second === undefined ? first : first * 65536 + second;
}

function lockable(cursor: Cursor, name: string, max = 4294967295): LockableMetric {
  const lock = cursor.take('lock');
  return { value: cursor.number(name, 0, max), lock };
}

/** A time of a metric: bare numbers are what the kernel counts (rtt and rttvar eighths and quarters of it are its business). */
function lockableTime(cursor: Cursor, name: string): LockableMetric {
  const lock = cursor.take('lock');
  const word = cursor.value(name);
  const match = /^(\d+(?:\.\d+)?)(ms|s)?$/.exec(word);
  if (!match) throw new Refused(`'${name} ${word}' is no time`);
  return { value: Math.round(Number(match[1]) * (match[2] === 's' ? 1000 : 1)), lock };
}

function readEncapsulation(cursor: Cursor): Encapsulation {
  const kind = cursor.value('encap');
  if (kind === 'mpls') {
    const labels = cursor.value('mpls').split('/').map(Number);
    if (labels.some((label) => !Number.isInteger(label) || label < 0 || label >= 1 << 20))
      throw new Refused('bad MPLS label');
    return { kind, labels };
  }
  if (kind === 'ila') {
    const word = cursor.value('ila');
    if (!/^[0-9a-fA-F]{1,4}(:[0-9a-fA-F]{1,4}){3}$/.test(word)) throw new Refused(`bad locator '${word}'`);
    const locator = word.split(':').reduce((sum, part) => (sum << 16n) | BigInt(`0x${part}`), 0n);
    return { kind, locator };
  }
  if (kind !== 'ip' && kind !== 'ip6') throw new Refused(`unknown encapsulation '${kind}'`);
  const made: Extract<Encapsulation, { kind: 'ip' | 'ip6' }> = { kind } as Extract<
    Encapsulation,
    { kind: 'ip' }
  >;
  const fields = made as unknown as Record<string, unknown>;
  for (;;) {
    const word = cursor.peek();
    if (word === 'id') {
      cursor.next();
      const id = cursor.value('id');
      if (!/^(0x[0-9a-fA-F]+|\d+)$/.test(id)) throw new Refused(`bad tunnel id '${id}'`);
      fields.id = BigInt(id);
    } else if (word === 'dst' || word === 'src') {
      cursor.next();
      fields[word === 'dst' ? 'destination' : 'source'] = cursor.address(word);
    } else if (word === 'tos' || word === 'dsfield' || word === 'tc') {
      cursor.next();
      fields[kind === 'ip' ? 'tos' : 'trafficClass'] = cursor.named(word, 'rt_dsfield', 255);
    } else if (word === 'ttl' || word === 'hoplimit') {
      cursor.next();
      fields[kind === 'ip' ? 'ttl' : 'hopLimit'] = cursor.number(word, 0, 255);
    } else if (word === 'flags') {
      cursor.next();
      fields.flags = cursor.number(word, 0, 65535);
    } else {
      return made;
    }
  }
}

function onOff(cursor: Cursor, name: string, on: string, off: string): boolean {
  const word = cursor.value(name);
  if (word !== on && word !== off) throw new Refused(`'${name}' takes ${on} or ${off}, not '${word}'`);
  return word === on;
}

function readNextHop(cursor: Cursor): NextHop {
  const hop: NextHop = { weight: 1, onlink: false };
  for (;;) {
    const word = cursor.peek();
    switch (word) {
      case 'inet':
      case 'inet6':
        hop.family = word === 'inet' ? 'ipv4' : 'ipv6';
        cursor.next();
        break;
      case 'via':
        cursor.next();
        if (cursor.peek() === 'inet' || cursor.peek() === 'inet6') cursor.next();
        hop.via = cursor.address('via');
        break;
      case 'dev':
      case 'oif':
        cursor.next();
        hop.interface = cursor.value('dev');
        break;
      case 'weight':
        cursor.next();
        hop.weight = cursor.number('weight', 1, 256);
        break;
      case 'onlink':
        cursor.next();
        hop.onlink = true;
        break;
      case 'realms':
        cursor.next();
        hop.realms = readRealms(cursor);
        break;
      case 'encap':
        cursor.next();
        hop.encap = readEncapsulation(cursor);
        break;
      case 'as':
        // `as [to] IP`: a gateway under another address of it, which the kernel has not taken for years.
        cursor.next();
        cursor.take('to');
        cursor.address('as');
        break;
      default:
        return hop;
    }
  }
}

/**
 * Reads a line of virtual_routes or static_routes.
 * @param what for messages: the block's keyword
 */
export function readRouteLine(words: readonly string[], line: Line, what: string): VirtualRoute | undefined {
  const text = words.join(' ');
  const report = (kind: 'error' | 'deprecated', problem: string) =>
    line.diagnostics.report(kind, `${what}: '${text.slice(0, 80)}': ${problem}`, what);
  try {
    return parse(new Cursor(words), report);
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    report('error', `${error.message}, the route is left out`);
    return undefined;
  }
}

function parse(
  cursor: Cursor,
  report: (kind: 'error' | 'deprecated', problem: string) => void,
): VirtualRoute {
  const route: VirtualRoute = {
    family: 'ipv4',
    type: 'unicast',
    mode: 'add',
    onlink: false,
    ecn: false,
    nextHops: [],
    noTrack: false,
  };
  let family: Family | undefined;
  let named = false;
  const saw = (address: string) => {
    family ??= familyOf(address) === 6 ? 'ipv6' : 'ipv4';
  };
  const destination = (name: string) => {
    named = true;
    const prefix = cursor.prefix(name);
    if (!prefix) return;
    route.destination = prefix;
    saw(prefix.address);
  };
  let second: string | undefined;
  while (!cursor.done) {
    const word = cursor.next();
    if ((routeTypes as readonly string[]).includes(word)) {
      route.type = word as RouteType;
      continue;
    }
    switch (word) {
      case 'add':
      case 'append':
      case 'prepend':
        route.mode = word;
        break;
      case 'inet':
      case 'inet6':
        family = word === 'inet' ? 'ipv4' : 'ipv6';
        break;
      case 'to':
        destination('to');
        break;
      case 'src':
        route.source = cursor.address('src');
        saw(route.source);
        if (cursor.peek() === 'to') {
          cursor.next();
          destination('to');
        }
        break;
      case 'gw':
      case 'via':
        if (word === 'gw') report('deprecated', "'gw' is deprecated, use 'via'");
        if (cursor.peek() === 'inet' || cursor.peek() === 'inet6') {
          route.viaFamily = cursor.next() === 'inet' ? 'ipv4' : 'ipv6';
        }
        route.via = cursor.address(word);
        if (!route.viaFamily) saw(route.via);
        break;
      case 'or':
        report('deprecated', "'or' is deprecated, use 'nexthop'");
        second = cursor.address('or');
        break;
      case 'from': {
        const from = cursor.prefix('from');
        if (from) route.from = from;
        break;
      }
      case 'tos':
      case 'dsfield':
        route.tos = cursor.named(word, 'rt_dsfield', 255);
        break;
      case 'table':
        route.table = cursor.named(word, 'rt_tables', 4294967295);
        break;
      case 'protocol':
        route.protocol = cursor.named(word, 'rt_protos', 255);
        break;
      case 'scope':
        route.scope = cursor.named(word, 'rt_scopes', 255);
        break;
      case 'metric':
      case 'priority':
      case 'preference':
        route.metric = cursor.number(word, 0, 4294967295);
        break;
      case 'dev':
      case 'oif':
        route.interface = cursor.value(word);
        break;
      case 'vrf':
        route.vrf = cursor.value(word);
        break;
      case 'onlink':
        route.onlink = true;
        break;
      case 'encap':
        route.encap = readEncapsulation(cursor);
        break;
      case 'expires':
        route.expires = cursor.number(word, 0, 4294967295);
        break;
      case 'mtu':
        route.mtu = lockable(cursor, word);
        break;
      case 'hoplimit':
        route.hopLimit = cursor.number(word, 0, 255);
        break;
      case 'advmss':
      case 'reordering':
      case 'cwnd':
      case 'ssthresh':
        route[word] = lockable(cursor, word);
        break;
      case 'rtt':
      case 'rttvar':
        route[word] = lockableTime(cursor, word);
        break;
      case 'rto_min':
        route.rtoMin = lockableTime(cursor, word);
        break;
      case 'window':
      case 'initcwnd':
      case 'initrwnd':
        route[word] = cursor.number(word, 0, 4294967295);
        break;
      case 'realms':
        route.realms = readRealms(cursor);
        break;
      case 'features':
        for (;;) {
          if (cursor.take('ecn')) route.ecn = true;
          else break;
        }
        break;
      case 'quickack':
        route.quickAck = onOff(cursor, word, '1', '0');
        break;
      case 'congctl': {
        const lock = cursor.take('lock');
        route.congestionControl = { name: cursor.value(word), lock };
        break;
      }
      case 'pref': {
        const preference = cursor.value(word);
        if (preference !== 'low' && preference !== 'medium' && preference !== 'high') {
          throw new Refused(`unknown preference '${preference}'`);
        }
        route.preference = preference;
        break;
      }
      case 'ttl-propagate':
        route.ttlPropagate = onOff(cursor, word, 'enabled', 'disabled');
        break;
      case 'fastopen_no_cookie':
        route.fastOpenNoCookie = onOff(cursor, word, '1', '0');
        break;
      case 'nexthop':
        route.nextHops.push(readNextHop(cursor));
        break;
      case 'no_track':
        route.noTrack = true;
        break;
      case 'track_group':
        route.trackGroup = cursor.value(word);
        break;
      default:
        if (named) {
          report('error', `unknown word '${word}'`);
        } else {
          cursor.at--;
          destination('destination');
        }
    }
  }
  if (second !== undefined) {
    if (route.via !== undefined) route.nextHops.push({ weight: 1, onlink: false, via: route.via });
    route.nextHops.push({ weight: 1, onlink: false, via: second });
    delete route.via;
  }
  route.family = family ?? (route.nextHops.some((hop) => hop.via?.includes(':')) ? 'ipv6' : 'ipv4');
  if (!named) throw new Refused('it has no destination');
  return route;
}
