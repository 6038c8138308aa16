import { readdirSync, readFileSync } from 'node:fs';
import type { OspfBridgePart } from '../../keepalived/model/index.js';
import { parseIp } from '../../lib/ip.js';
import { VtyError } from '../../lib/vty/vty.js';
import { Kernel } from '../kernel.js';
import { prefixOf, scopeOf } from '../policy.js';
import { type ReadBack, routerOf } from '../router/router.js';

export interface Finding {
  level: 'ok' | 'note' | 'warning' | 'error';
  text: string;
}

/** Compares configuration, kernel and routing daemon, and says what an operator forgot. */
export async function check(part: OspfBridgePart): Promise<Finding[]> {
  const { bridge } = part;
  const scope = scopeOf(part);
  const found: Finding[] = [];
  const say = (level: Finding['level'], text: string) => found.push({ level, text });
  if (scope.addresses.size === 0) say('warning', 'there are no virtual addresses to announce');
  const families = new Set([...scope.addresses].map((one): 4 | 6 => (one.includes(':') ? 6 : 4)));
  const router = routerOf(bridge);
  try {
    let back: ReadBack | undefined;
    try {
      back = await router.readBack(families);
      say('ok', `${back.version} answers`);
    } catch (error) {
      say('error', (error as Error).message);
      if (error instanceof VtyError && error.fault === 'command')
        say('note', 'a daemon of another version says things otherwise: please report what it is');
    }
    if (back) {
      checkNeighbours(back, families, say);
      for (const [daemon, text] of await router.configuration(families)) {
        if (daemon === 'bird') checkBird(text, part, say);
        else checkZebra(daemon, text, part, daemon === 'ospfd' ? 4 : 6, say);
      }
    }
    checkKernel(part, scope.addresses, back, say);
  } finally {
    router.close();
  }
  checkSettings(part, say);
  return found;
}

type Say = (level: Finding['level'], text: string) => void;

function checkNeighbours(back: ReadBack, families: ReadonlySet<4 | 6>, say: Say): void {
  for (const family of families) {
    const daemon = family === 4 ? 'ospfd' : 'ospf6d';
    const own = back.neighbours.filter((one) => one.family === family);
    const full = own.filter(({ state }) => state.startsWith('Full'));
    if (full.length > 0) say('ok', `${daemon}: ${full.length} neighbours are Full`);
    else say('error', `${daemon} has no neighbour in state Full: nobody hears the announcements`);
    for (const one of own) {
      if (one.state.startsWith('Init') || one.state.startsWith('ExStart'))
        say(
          'warning',
          `neighbour ${one.routerId} on ${one.interface} stays in ${one.state}: compare hello and dead interval, area, network type and MTU of both sides`,
        );
      if (one.bfd !== undefined && one.bfd !== 'up')
        say('warning', `BFD with ${one.routerId} on ${one.interface} is ${one.bfd}`);
    }
  }
}

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

function checkZebra(daemon: string, text: string, part: OspfBridgePart, family: 4 | 6, say: Say): void {
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

function checkBird(text: string, part: OspfBridgePart, say: Say): void {
  if (!/protocol\s+kernel/.test(text)) {
    say('note', 'the configuration of BIRD is not at its usual place and was not compared');
    return;
  }
  if (!/\blearn\b/.test(text))
    say('error', "bird: 'learn' is missing in protocol kernel: routes of the kernel are not taken up");
  if (!/preference\s+200/.test(text))
    say('warning', "bird: the kernel's routes want 'preference 200', otherwise OSPF's own routes hide them");
  if (part.bridge.announce === 'intra_area' && !/interface\s+"lo"/.test(text))
    say('error', 'bird: interface "lo" is in no area: no address is announced');
  if (!text.includes(part.bridge.drainInterface))
    say('error', `bird: no filter looks at ifname "${part.bridge.drainInterface}": draining has no effect`);
}

function checkKernel(
  part: OspfBridgePart,
  addresses: ReadonlySet<string>,
  back: ReadBack | undefined,
  say: Say,
): void {
  const { bridge } = part;
  const kernel = new Kernel(bridge);
  try {
    const present = kernel.present();
    const foreign = kernel.foreign();
    for (const address of present.keys()) {
      if (!addresses.has(address))
        say(
          'warning',
          `the kernel announces ${address}, which is not configured any more: 'withdraw' removes it`,
        );
    }
    const unseen = back ? [...present.keys()].filter((one) => !back.announced.has(prefixOf(one))) : [];
    if (unseen.length > 0)
      say(
        'error',
        `in the kernel, but not announced by the routing daemon: ${unseen.slice(0, 10).join(', ')}${unseen.length > 10 ? ' ...' : ''}`,
      );
    else if (back && present.size > 0) say('ok', `all ${present.size} addresses in the kernel are announced`);
    for (const address of addresses) {
      if (!foreign.has(address) || bridge.announce !== 'external') continue;
      say(
        'warning',
        `${address} is also an address of this machine: FRR prefers it to our route and 'redistribute kernel' then announces nothing; use 'ip route add local ${address} dev lo table local' instead, or announce intra_area`,
      );
    }
  } catch (error) {
    say('error', `the kernel's routes cannot be read: ${(error as Error).message}`);
  } finally {
    kernel.close();
  }
}

function setting(path: string): number | undefined {
  try {
    return Number(readFileSync(`/proc/sys/${path}`, 'latin1'));
  } catch {
    return undefined;
  }
}

function checkSettings(part: OspfBridgePart, say: Say): void {
  const devices = part.bridge.interfaces.map(({ name }) => name);
  const known = new Set(listed('/proc/sys/net/ipv4/conf'));
  for (const name of devices) {
    if (!known.has(name)) {
      say(
        'error',
        `the interface ${name} of ospf_bridge does not exist: OSPF runs on the kernel twin (dpdkN.kni)`,
      );
      continue;
    }
    const filter = Math.max(
      setting('net/ipv4/conf/all/rp_filter') ?? 0,
      setting(`net/ipv4/conf/${name}/rp_filter`) ?? 0,
    );
    if (filter === 1)
      say(
        'warning',
        `rp_filter of ${name} is strict: packets that come by another path than the way back are dropped; set it to 0 or 2`,
      );
  }
  if (setting('net/ipv4/fib_multipath_hash_policy') === 0)
    say(
      'note',
      'fib_multipath_hash_policy is 0: a Linux router in front must set it to 1, or it spreads addresses instead of flows',
    );
}

function listed(folder: string): string[] {
  try {
    return readdirSync(folder);
  } catch {
    return [];
  }
}

function literally(text: string): string {
  return text.replace(/[.*+?^${}()|[\]\\]/g, '\\$&');
}
