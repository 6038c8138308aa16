import type { OspfBridgePart } from '../../keepalived/model/index.js';
import type { OspfBridge, OspfInterface } from '../../keepalived/model/ospf-bridge.js';
import { parseIp } from '../../lib/ip.js';
import { scopeOf } from '../policy.js';
import { dotted } from './setup.js';

export interface Finding {
  level: 'ok' | 'note' | 'warning' | 'error';
  text: string;
}

export type Say = (level: Finding['level'], text: string) => void;

/** What ospfd and ospf6d take where nothing is said, seconds (RFC 2328 C.3). */
const DEFAULT_HELLO = 10;
const DEFAULT_DEAD = 40;

/** A block of a configuration in the manner of Cisco: its heading's lines, indented. */
function blockOf(text: string, heading: RegExp): string[] | undefined {
  const lines = text.split('\n');
  const start = lines.findIndex((line) => heading.test(line));
  if (start < 0) return undefined;
  const rest = lines.slice(start + 1);
  const end = rest.findIndex((line) => !line.startsWith(' ') && line !== '');
  return rest.slice(0, end < 0 ? undefined : end).map((line) => line.trim());
}

interface PrefixRule {
  permit: boolean;
  address: Buffer;
  length: number;
  ge: number;
  le: number;
}

function prefixRules(text: string, family: 4 | 6, name: string): PrefixRule[] {
  const rules: PrefixRule[] = [];
  const word = family === 4 ? 'ip' : 'ipv6';
  for (const line of text.split('\n')) {
    const match = new RegExp(
      `^${word} prefix-list (\\S+) (?:seq \\d+ )?(permit|deny) (\\S+)(?: ge (\\d+))?(?: le (\\d+))?`,
    ).exec(line);
    if (!match || match[1] !== name) continue;
    const full = family === 4 ? 32 : 128;
    const [host, length = '0'] =
      match[3] === 'any' ? [family === 4 ? '0.0.0.0' : '::', '0'] : match[3]!.split('/');
    const least = match[4] === undefined ? undefined : Number(match[4]);
    const any = match[3] === 'any';
    rules.push({
      permit: match[2] === 'permit',
      address: parseIp(host as string),
      length: Number(length),
      ge: least ?? Number(length),
      le: match[5] !== undefined ? Number(match[5]) : least !== undefined || any ? full : Number(length),
    });
  }
  return rules;
}

function permitted(address: string, rules: readonly PrefixRule[]): boolean {
  const bytes = parseIp(address);
  const full = 8 * bytes.length;
  const rule = rules.find(
    ({ address: net, length, ge, le }) => full >= ge && full <= le && samePrefix(bytes, net, length),
  );
  return rule?.permit ?? false;
}

function samePrefix(a: Buffer, b: Buffer, length: number): boolean {
  for (let bit = 0; bit < length; bit++) {
    const mask = 0x80 >> (bit & 7);
    if ((a[bit >> 3]! & mask) !== (b[bit >> 3]! & mask)) return false;
  }
  return true;
}

/**
 * The configuration of ospfd or ospf6d: what announcing, draining and quick detection need.
 * @param text what `show running-config` says
 */
export function checkZebra(
  daemon: string,
  text: string,
  part: OspfBridgePart,
  family: 4 | 6,
  say: Say,
): void {
  const { bridge } = part;
  const ip = family === 4 ? 'ip' : 'ipv6';
  const ospf = family === 4 ? 'ip ospf' : 'ipv6 ospf6';
  const process = blockOf(text, family === 4 ? /^router ospf\b/ : /^router ospf6\b/);
  if (!process) {
    say('error', `${daemon}: there is no 'router ${family === 4 ? 'ospf' : 'ospf6'}'`);
    return;
  }
  const areas =
    process.some((line) => /^(network|interface) /.test(line)) ||
    new RegExp(`^ ${ospf} area `, 'm').test(text);
  if (!areas)
    say('error', `${daemon}: no interface is in an area: '${ospf} area 0' on the uplink is missing`);
  else for (const one of bridge.interfaces) checkInterface(daemon, text, process, one, bridge, family, say);
  if (bridge.announce === 'intra_area') {
    for (const name of ['lo', bridge.drainInterface]) {
      const block = blockOf(text, new RegExp(`^interface ${name}\\s*$`));
      const inArea =
        block?.some((line) => line.startsWith(`${ospf} area`)) ||
        process.some((line) => line.startsWith(`interface ${name} area `));
      if (name === 'lo' && !inArea) say('error', `${daemon}: '${ospf} area ...' on interface lo is missing`);
      if (name !== 'lo' && !block?.some((line) => line.startsWith(`${ospf} cost`)))
        say(
          'warning',
          `${daemon}: interface ${name} has no high '${ospf} cost': draining will have no effect`,
        );
    }
  } else {
    checkRedistribution(daemon, text, process, part, family, ip, say);
  }
  const throttle = process.some((line) => /^timers throttle lsa all 0/.test(line));
  if (family === 4 && !throttle)
    say(
      'note',
      `${daemon}: without 'timers throttle lsa all 0' a second change of one address within 5 s waits`,
    );
  const bfd = new RegExp(`^ ${ospf} bfd`, 'm').test(text);
  const minimal = /dead-interval minimal/.test(text);
  if (!bfd && !minimal)
    say(
      'note',
      `${daemon}: neither BFD nor 'dead-interval minimal': a dead director is noticed after the dead interval only`,
    );
}

function checkRedistribution(
  daemon: string,
  text: string,
  process: string[],
  part: OspfBridgePart,
  family: 4 | 6,
  ip: string,
  say: Say,
): void {
  const { bridge } = part;
  const line = process.find((one) => one.startsWith('redistribute kernel'));
  if (!line) {
    say('error', `${daemon}: 'redistribute kernel' is missing: no address is announced`);
    return;
  }
  const name = /route-map (\S+)/.exec(line)?.[1];
  if (name === undefined) {
    say(
      'warning',
      `${daemon}: 'redistribute kernel' without route-map announces every kernel route, not just virtual addresses`,
    );
    return;
  }
  const clauses = [
    ...text.matchAll(new RegExp(`^route-map ${literally(name)} (permit|deny) (\\d+)`, 'gm')),
  ].map((match) => ({
    permit: match[1] === 'permit',
    lines: blockOf(text, new RegExp(`^route-map ${literally(name)} (permit|deny) ${match[2]}\\s*$`)) ?? [],
  }));
  if (clauses.length === 0) {
    say('error', `${daemon}: route-map ${name} is named, but not defined: it denies everything`);
    return;
  }
  const drain = clauses.find(({ lines }) => lines.includes(`match interface ${bridge.drainInterface}`));
  if (!drain?.lines.some((one) => one.startsWith('set metric')))
    say(
      'error',
      `${daemon}: route-map ${name} has no clause 'match interface ${bridge.drainInterface}' with 'set metric': draining has no effect`,
    );
  else if (
    clauses.indexOf(drain) > 0 &&
    clauses
      .slice(0, clauses.indexOf(drain))
      .some(({ lines }) => !lines.some((one) => one.startsWith('match interface')))
  )
    say(
      'error',
      `${daemon}: the clause for ${bridge.drainInterface} stands behind one that takes everything: draining has no effect`,
    );
  if (text.includes(' match metric'))
    say(
      'warning',
      `${daemon}: ospfd reads 'match metric' and does not apply it: such a clause matches everything`,
    );
  const missing = [...scopeOf(part).addresses]
    .filter((one) => one.includes(':') === (family === 6))
    .filter((one) => {
      const clause = clauses.find(({ lines }) => {
        if (lines.some((rule) => rule.startsWith('match interface'))) return false;
        const list = lines
          .map((rule) => new RegExp(`^match ${ip} address prefix-list (\\S+)`).exec(rule)?.[1])
          .find((rule) => rule);
        return list === undefined || permitted(one, prefixRules(text, family, list));
      });
      return !clause?.permit;
    });
  if (missing.length === 0)
    say('ok', `${daemon}: 'redistribute kernel' with route-map ${name} lets all addresses pass`);
  else
    say(
      'error',
      `${daemon}: route-map ${name} does not let these pass: ${missing.slice(0, 10).join(', ')}${missing.length > 10 ? ' ...' : ''}`,
    );
}

/** Area and timers of one uplink, beside what ospf_bridge wants of them. */
function checkInterface(
  daemon: string,
  text: string,
  process: readonly string[],
  wanted: OspfInterface,
  bridge: OspfBridge,
  family: 4 | 6,
  say: Say,
): void {
  const ospf = family === 4 ? 'ip ospf' : 'ipv6 ospf6';
  const { name, area, hello, dead, minimal, bfd } = wanted;
  const block = blockOf(text, new RegExp(`^interface ${literally(name)}\\s*$`)) ?? [];
  const value = (word: string) =>
    block.find((line) => line.startsWith(`${ospf} ${word} `))?.slice(ospf.length + word.length + 2);
  const inArea =
    value('area') ??
    process
      .find((line) => line.startsWith(`interface ${name} area `))
      ?.split(' ')
      .at(-1);
  if (inArea === undefined && !process.some((line) => line.startsWith('network '))) {
    say('error', `${daemon}: interface ${name} is in no area: '${ospf} area ${area}' is missing`);
    return;
  }
  if (inArea !== undefined && dotted(inArea) !== dotted(area))
    say('warning', `${daemon}: interface ${name} is in area ${inArea}, ospf_bridge says ${area}`);
  const differs = (word: string, is: string | number, ought: string | number) => {
    if (String(is) !== String(ought))
      say(
        'warning',
        `${daemon}: ${word} of ${name} is ${is}, ospf_bridge says ${ought}; neighbours must agree`,
      );
  };
  if (minimal !== undefined && family === 4)
    differs('dead-interval', value('dead-interval') ?? DEFAULT_DEAD, `minimal hello-multiplier ${minimal}`);
  else {
    differs('hello-interval', value('hello-interval') ?? DEFAULT_HELLO, hello);
    differs('dead-interval', value('dead-interval') ?? DEFAULT_DEAD, dead);
  }
  if (bfd !== undefined && bridge.router === 'frr' && !block.includes(`${ospf} bfd`))
    say('warning', `${daemon}: ospf_bridge wants BFD on ${name}, and '${ospf} bfd' is missing there`);
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
