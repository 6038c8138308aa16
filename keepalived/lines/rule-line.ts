import { familyOf } from '../grammar/address.js';
import type { Line } from '../grammar/keyword.js';
import type { Family, RuleAction, VirtualRule } from '../model/vrrp.js';
import { Cursor, Refused, readRealms } from './route-line.js';

/** IP protocols by the names that rules are written with (those of /etc/protocols that anybody routes by). */
const ipProtocols: Record<string, number> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  dccp: 33,
  gre: 47,
  esp: 50,
  ah: 51,
  'ipv6-icmp': 58,
  ospf: 89,
  vrrp: 112,
  sctp: 132,
  udplite: 136,
};

function range(cursor: Cursor, name: string, max: number): { start: number; end: number } {
  const word = cursor.value(name);
  const match = /^(\d+)(?:-(\d+))?$/.exec(word);
  const start = Number(match?.[1]);
  const end = Number(match?.[2] ?? match?.[1]);
  if (!match || start > end || end > max) throw new Refused(`'${name} ${word}' is no range`);
  return { start, end };
}

function wide(cursor: Cursor, name: string): bigint {
  const word = cursor.value(name);
  if (!/^(0x[0-9a-fA-F]+|\d+)$/.test(word) || BigInt(word) >= 1n << 64n)
    throw new Refused(`bad '${name} ${word}'`);
  return BigInt(word);
}

/**
 * Reads a line of virtual_rules or static_rules. Any unknown word costs the whole rule.
 * @param what for messages: the block's keyword
 */
export function readRuleLine(words: readonly string[], line: Line, what: string): VirtualRule | undefined {
  try {
    return parse(new Cursor(words));
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    const text = words.join(' ').slice(0, 80);
    line.diagnostics.report('error', `${what}: '${text}': ${error.message}, the rule is left out`, what);
    return undefined;
  }
}

function parse(cursor: Cursor): VirtualRule {
  const rule: VirtualRule = { family: 'ipv4', action: 'table', invert: false, noTrack: false };
  let family: Family | undefined;
  const actions: RuleAction[] = [];
  const prefix = (name: 'from' | 'to') => {
    const read = cursor.prefix(name);
    if (!read) return;
    rule[name] = read;
    family ??= familyOf(read.address) === 6 ? 'ipv6' : 'ipv4';
  };
  while (!cursor.done) {
    const word = cursor.next();
    switch (word) {
      case 'inet':
      case 'inet6':
        family = word === 'inet' ? 'ipv4' : 'ipv6';
        break;
      case 'from':
      case 'to':
        prefix(word);
        break;
      case 'not':
        rule.invert = true;
        break;
      case 'table':
      case 'lookup':
        rule.table = cursor.named(word, 'rt_tables', 4294967295);
        actions.push('table');
        break;
      case 'preference':
      case 'order':
      case 'priority':
        rule.priority = cursor.number(word, 0, 4294967295);
        break;
      case 'tos':
      case 'dsfield':
        rule.tos = cursor.named(word, 'rt_dsfield', 255);
        break;
      case 'fwmark': {
        const given = cursor.value(word);
        const [value = '', mask = '0xffffffff'] = given.split('/');
        const numbers = [value, mask].map((part) =>
          /^(0x[0-9a-fA-F]{1,8}|\d+)$/.test(part) ? Number(part) : Number.NaN,
        );
        if (numbers.some((number) => !(number <= 4294967295))) throw new Refused(`bad 'fwmark ${given}'`);
        rule.mark = { value: numbers[0] as number, mask: numbers[1] as number };
        break;
      }
      case 'realms':
        rule.realms = readRealms(cursor);
        break;
      case 'suppress_prefixlength':
      case 'sup_pl':
        rule.suppressPrefixLength = cursor.number(word, 0, 128);
        break;
      case 'suppress_ifgroup':
      case 'sup_group':
        rule.suppressInterfaceGroup = cursor.named(word, 'group', 4294967295);
        break;
      case 'dev':
      case 'iif':
        rule.inputInterface = cursor.value(word);
        break;
      case 'oif':
        rule.outputInterface = cursor.value(word);
        break;
      case 'tunnel-id':
        rule.tunnelId = wide(cursor, word);
        break;
      case 'uidrange':
        rule.uidRange = range(cursor, word, 4294967295);
        break;
      case 'l3mdev':
        actions.push('l3mdev');
        break;
      case 'protocol':
        rule.protocol = cursor.named(word, 'rt_protos', 255);
        break;
      case 'ipproto': {
        const given = cursor.value(word);
        const number = /^\d+$/.test(given) ? Number(given) : ipProtocols[given.toLowerCase()];
        if (number === undefined || number > 255) throw new Refused(`unknown protocol '${given}'`);
        rule.ipProtocol = number;
        break;
      }
      case 'sport':
        rule.sourcePorts = range(cursor, word, 65535);
        break;
      case 'dport':
        rule.destinationPorts = range(cursor, word, 65535);
        break;
      case 'no_track':
        rule.noTrack = true;
        break;
      case 'track_group':
        rule.trackGroup = cursor.value(word);
        break;
      case 'goto':
        rule.gotoTarget = cursor.number(word, 0, 4294967295);
        actions.push('goto');
        break;
      case 'nop':
      case 'blackhole':
      case 'unreachable':
      case 'prohibit':
        actions.push(word);
        break;
      default:
        throw new Refused(`unknown word '${word}'`);
    }
  }
  const [action] = actions;
  if (!action)
    throw new Refused('it has no action (table, goto, nop, blackhole, unreachable, prohibit, l3mdev)');
  if (actions.length > 1) throw new Refused(`it has ${actions.length} actions: ${actions.join(', ')}`);
  rule.action = action;
  if (action === 'goto' && rule.priority !== undefined && (rule.gotoTarget as number) <= rule.priority) {
    throw new Refused('goto leads to a preference that is not higher than its own');
  }
  if (
    action !== 'table' &&
    (rule.suppressPrefixLength ?? rule.suppressInterfaceGroup ?? rule.realms) !== undefined
  ) {
    throw new Refused('suppress_* and realms need a table');
  }
  rule.family = family ?? 'ipv4';
  return rule;
}
