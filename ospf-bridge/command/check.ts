import { readdirSync, readFileSync } from 'node:fs';
import type { OspfBridgePart } from '../../keepalived/model/index.js';
import { VtyError } from '../../lib/vty/vty.js';
import { Kernel } from '../kernel.js';
import { prefixOf, scopeOf } from '../policy.js';
import { type ReadBack, routerOf } from '../router/router.js';
import { checkZebra, type Finding, type Say } from './check-zebra.js';

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
