import type { VirtualAddress } from '../keepalived/model/vrrp.js';
import { routeLine, ruleLine } from '../keepalived/write/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { IFF_LOOPBACK, IFF_MULTICAST, IFF_RUNNING, IFF_UP } from '../lib/netlink/link.js';
import type { Director } from './director.js';
import { masterDownInterval } from './election.js';
import type { VirtualRouter } from './virtual-router.js';

const scopes = new Map([
  [0, 'global'],
  [200, 'site'],
  [253, 'link'],
  [254, 'host'],
  [255, 'nowhere'],
]);

/** An address as dumps write it: `10.0.0.1/24 dev eth0 scope global set`. */
export function addressText(director: Director, router: VirtualRouter, spec: VirtualAddress): string {
  const full = spec.address.includes(':') ? 128 : 32;
  const { model } = router;
  const virtual = director.virtualMacs.device(model, spec.interface);
  const device =
    model.dpdkInterface ??
    (virtual && `${virtual.name}@${virtual.base}`) ??
    spec.interface ??
    model.interface ??
    '(none)';
  const words = [
    spec.peer || spec.prefixLength === full ? spec.address : `${spec.address}/${spec.prefixLength}`,
  ];
  if (spec.peer) words.push(`peer ${spec.peer.address}/${spec.peer.prefixLength}`);
  if (spec.broadcast !== undefined) words.push(`brd ${spec.broadcast}`);
  words.push(`dev ${device}`, `scope ${scopes.get(spec.scope ?? 0) ?? spec.scope}`);
  if (spec.label !== undefined) words.push(`label ${spec.label}`);
  if (full === 128) {
    const preferred = spec.preferredLifetime ?? (spec.prefixLength === 128 ? 0 : 'forever');
    words.push(preferred === 0 ? 'deprecated' : `preferred_lft ${preferred}`);
  }
  if (spec.home) words.push('home');
  if (spec.noDad) words.push('-nodad');
  if (spec.manageTemporaryAddress) words.push('mngtmpaddr');
  if (spec.noPrefixRoute) words.push('noprefixroute');
  if (spec.autoJoin) words.push('autojoin');
  if (spec.noTrack) words.push('no_track');
  if (router.placed.some((placed) => placed.spec === spec)) words.push('set');
  return words.join(' ');
}

/** State in the words of keepalived.data, in parts. */
export function* dataOf(director: Director): Generator<string> {
  yield globals(director);
  if (director.routers.length > 0) yield '------< VRRP Topology >------\n';
  for (const router of director.routers) yield instance(director, router);
  if (director.groups.length > 0) yield '------< VRRP Sync groups >------\n';
  for (const group of director.groups) {
    const faulty = group.members.filter(({ faults }) => faults.length > 0).length;
    const starting = group.members.filter(({ state }) => state.name === 'init').length;
    yield ` VRRP Sync Group = ${group.model.name}, ${group.state}
   Num member fault ${faulty}, num member init ${starting}
   VRRP member instances :
${group.members.map(({ name }) => `     ${name}\n`).join('')}   Using smtp notification = ${group.model.smtpAlert ? 'yes' : 'no'}\n`;
  }
  yield* trackers(director);
  yield interfaces(director);
}

function yes(value: boolean): string {
  return value ? 'yes' : 'no';
}

function globals({ model, lateness, announcer }: Director): string {
  const g = model.globals;
  return `------< Global definitions >------
 Router ID = ${g.routerId}
 Dynamic interfaces = ${g.dynamicInterfaces}
 FIFO write vrrp states on reload = ${g.fifoWriteStatesOnReload}
 VRRP notify priority changes = ${g.notifyPriorityChanges}
 VRRP IPv4 mcast group = ${g.multicastGroup4}
 VRRP IPv6 mcast group = ${g.multicastGroup6}
 Gratuitous ARP interval = ${(g.garpInterval / 1000).toFixed(6)}
 Gratuitous NA interval = ${(g.gnaInterval / 1000).toFixed(6)}
 VRRP process priority = ${g.processPriority ?? 0}
 VRRP don't swap = ${g.noSwap}
 VRRP realtime priority = ${g.realtimePriority ?? 0}
 VRRP realtime limit = ${g.realtimeLimit}
 rx_bufs_multiples = ${g.receiveBufferMultiplier}
 Announcements sent = ${announcer.sent}
 Timers fired = ${lateness.count}, late by ${lateness.mean.toFixed(3)} ms on average, 99 % within ${lateness
   .quantile(0.99)
   .toFixed(3)} ms, at most ${lateness.max.toFixed(3)} ms
`;
}

function instance(director: Director, router: VirtualRouter): string {
  const { model, state, statistics } = router;
  const lines: string[] = [` VRRP Instance = ${model.name}`];
  const say = (line: string) => lines.push(`   ${line}`);
  say(`VRRP Version = ${model.version}`);
  if (model.family === 'ipv6') say('Using Native IPv6');
  const group = director.groups.find(({ members }) => members.includes(router));
  if (group) say(`Sync group = ${group.model.name}`);
  say(`State = ${state.name.toUpperCase()}`);
  const master = state.name === 'master';
  if (!master && state.name === 'backup' && router.heard) {
    say(`Master router = ${router.heard.source}`);
    say(`Master priority = ${router.heard.priority}`);
  }
  const device = director.virtualMacs.device(model);
  say(model.unicastPeers || device ? 'Flags:' : 'Flags: none');
  if (model.unicastPeers) say('  Using unicast');
  say(`Wantstate = ${state.wantsMaster ? 'MASTER' : state.name.toUpperCase()}`);
  say('Number of config faults = 0');
  say(`Number of interface and track script faults = ${router.faults.length}`);
  for (const fault of router.faults) say(`Fault: ${fault}`);
  say(`Number of track scripts init = ${scriptsWaiting(director, router)}`);
  if (router.lastTransition > 0) {
    say(`Last transition = ${moment(router.lastTransition)}`);
  } else {
    say('Last transition = never');
  }
  if (state.deadline !== undefined) {
    say(`Read timeout = ${moment(Date.now() + state.deadline - director.poller.now())}`);
  }
  const settings = {
    ...model,
    owner: model.priority === 255,
    priority: router.priority,
    address: new Uint8Array(4),
  };
  const { timerExpiredBackupPriority: _unused, ...known } = settings;
  say(`Master down timer = ${Math.floor(masterDownInterval(known, state.masterInterval) * 1000)} usecs`);
  if (device) {
    const up = director.interfaces.get(device.name)?.up ?? false;
    const base = model.virtualMac?.transmitBase ?? false;
    say(`Use VMAC, i/f name ${device.name}, is_up = ${up}, xmit_base = ${base}`);
    say(`Interface = ${device.name}, vmac on ${device.base}`);
  } else {
    say(`Interface = ${model.interface ?? '(none)'}`);
  }
  if (model.dpdkInterface !== undefined) say(`Dataplane port = ${model.dpdkInterface}`);
  if (router.source) {
    say(
      `Using src_ip = ${formatIp(router.source)}${model.sourceAddress === undefined ? '' : ' (from configuration)'}`,
    );
  }
  if (!model.unicastPeers) {
    const index =
      model.family === 'ipv6' ? `, ifindex ${device?.index ?? router.path?.interface?.index ?? 0}` : '';
    say(`Multicast address ${model.multicastGroup}${index}`);
  }
  const { garp } = model;
  say(`Gratuitous ARP delay = ${garp.delay / 1000}`);
  say(`Gratuitous ARP repeat = ${garp.repeat}`);
  say(`Gratuitous ARP refresh = ${garp.refresh / 1000}`);
  say(`Gratuitous ARP refresh repeat = ${garp.refreshRepeat}`);
  say(`Gratuitous ARP lower priority delay = ${garp.lowerPriorityDelay / 1000}`);
  say(`Gratuitous ARP lower priority repeat = ${garp.lowerPriorityRepeat}`);
  say(`Down timer adverts = ${model.downTimerAdverts}`);
  say(`Send advert after receive lower priority advert = ${!model.lowerPriorityNoAdvert}`);
  say(`Send advert after receive higher priority advert = ${model.higherPrioritySendAdvert}`);
  say(`Virtual Router ID = ${model.virtualRouterId}`);
  say(`Priority = ${model.priority}`);
  say(`Effective priority = ${router.priority}`);
  say(`Total priority = ${router.totalPriority}`);
  say(`Advert interval = ${interval(model.version, model.advertInterval)}`);
  if (model.version === 3 && !master) say(`Master advert interval = ${interval(3, state.masterInterval)}`);
  say(`Accept = ${model.accept ? 'enabled' : 'disabled'}`);
  say(`Preempt = ${model.preempt ? 'enabled' : 'disabled'}`);
  if (model.preemptDelay > 0) say(`Preempt delay = ${(model.preemptDelay / 1000).toFixed(6)} secs`);
  say(`Promote_secondaries = ${model.promoteSecondaries ? 'enabled' : 'disabled'}`);
  if (model.version === 2) {
    const { authentication } = model;
    const type = authentication ? (authentication.type === 'pass' ? 'SIMPLE_PASSWORD' : 'IPSEC_AH') : 'none';
    say(`Authentication type = ${type}`);
    if (authentication?.type === 'pass') say(`Password = ${authentication.password}`);
  }
  if (model.authHmac) say(`HMAC key = ${model.authHmac.activeKey}, ${model.authHmac.mode}`);
  const addresses = (specs: readonly VirtualAddress[]) =>
    specs.map((spec) => addressText(director, router, spec));
  list(lines, `Virtual IP (${model.virtualAddresses.length}):`, addresses(model.virtualAddresses));
  list(lines, 'Virtual IP Excluded :', addresses(model.excludedAddresses));
  if (model.unicastPeers) {
    say(`Unicast TTL = ${model.unicastTtl ?? 255}`);
    say(`Check unicast src : ${yes(model.checkUnicastSource)}`);
    say('Unicast Peer :');
    for (const peer of model.unicastPeers) {
      say(`  ${formatIp(parseIp(peer.address))} min_ttl ${peer.minTtl} max_ttl ${peer.maxTtl}`);
    }
  }
  list(lines, 'Virtual Routes :', model.virtualRoutes.map(routeLine));
  list(lines, 'Virtual Rules :', model.virtualRules.map(ruleLine));
  const { scripts, trackFiles, trackProcesses } = director.model;
  for (const [title, references, defined] of [
    ['interfaces', model.trackInterfaces, []],
    ['scripts', model.trackScripts, scripts],
    ['files', model.trackFiles, trackFiles],
    ['processes', model.trackProcesses, trackProcesses],
    ['BFDs', model.trackBfd, []],
  ] as const) {
    const known: readonly { name: string; weight: number; reverse: boolean }[] = defined;
    list(
      lines,
      `Tracked ${title} :`,
      references.map((one) => reference(one, known)),
    );
  }
  say(`Using smtp notification = ${yes(model.smtpAlert)}`);
  say(`Notify deleted = ${model.notify.deleted ? 'Deleted' : 'Fault'}`);
  const { notify } = model;
  for (const [title, script] of [
    ['Backup', notify.backup],
    ['Master', notify.master],
    ['Fault', notify.fault],
    ['Stop', notify.stop],
    ['Deleted', notify.deleted],
    ['Generic', notify.any],
    ['Master rx lower pri', notify.masterReceivedLowerPriority],
  ] as const) {
    if (!script || script === true) continue;
    const words = script.argv.map((word) => `'${word}'`).join(' ');
    // Users are looked up when the script runs.
    const user = script.user === undefined ? '' : `, user ${script.user}`;
    say(`${title} state transition script = ${words}${user}`);
  }
  say(`Notify priority changes = ${model.notifyPriorityChanges}`);
  if (router.takeOverTime > 0) say(`Addresses in place within = ${router.takeOverTime.toFixed(3)} ms`);
  say(`Two masters seen = ${statistics.split_brain}`);
  return `${lines.join('\n')}\n`;
}

function interval(version: 2 | 3, milliseconds: number): string {
  return version === 2 ? `${milliseconds / 1000} sec` : `${milliseconds} milli-sec`;
}

function list(lines: string[], title: string, entries: readonly string[]): void {
  if (entries.length === 0) return;
  lines.push(`   ${title}`);
  for (const entry of entries) lines.push(`     ${entry}`);
}

/** A tracked thing with the weight that counts: the reference's, or its own. */
function reference(
  { name, weight, reverse }: { name: string; weight?: number; reverse?: boolean },
  defined: readonly { name: string; weight: number; reverse: boolean }[],
): string {
  const own = defined.find((one) => one.name === name);
  const turned = reverse ?? own?.reverse ?? false;
  return `${name} weight ${weight ?? own?.weight ?? 0}${turned ? ' reverse' : ''}`;
}

const days = ['Sun', 'Mon', 'Tue', 'Wed', 'Thu', 'Fri', 'Sat'];
const months = ['Jan', 'Feb', 'Mar', 'Apr', 'May', 'Jun', 'Jul', 'Aug', 'Sep', 'Oct', 'Nov', 'Dec'];

/** A time as seconds and in words: `1795876529.020872 (Sat Nov 28 14:35:29.020872 2026)`. */
function moment(milliseconds: number): string {
  const seconds = (milliseconds / 1000).toFixed(6);
  const date = new Date(milliseconds);
  const two = (value: number) => String(value).padStart(2, '0');
  const clock = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(':');
  const day = `${days[date.getDay()]} ${months[date.getMonth()]} ${two(date.getDate())}`;
  return `${seconds} (${day} ${clock}.${seconds.slice(-6)} ${date.getFullYear()})`;
}

function scriptsWaiting(director: Director, router: VirtualRouter): number {
  return router.model.trackScripts.filter(({ name }) => director.trackers.script(name).well === undefined)
    .length;
}

function* trackers(director: Director): Generator<string> {
  const { model, trackers: known } = director;
  if (model.scripts.length > 0) yield '------< VRRP Scripts >------\n';
  for (const script of model.scripts) {
    const { well, result } = known.script(script.name);
    const status = well === undefined ? 'INIT' : well ? 'GOOD' : 'BAD';
    yield ` VRRP Script = ${script.name}
   Command = ${script.script.argv.map((word) => `'${word}'`).join(' ')}
   Interval = ${script.interval / 1000} sec
   Timeout = ${script.timeout / 1000} sec
   Weight = ${script.weight}${script.reverse ? ' reverse' : ''}
   Rise = ${script.rise}
   Fall = ${script.fall}
   Result = ${result}
   Status = ${status}
`;
  }
  if (model.trackFiles.length > 0) yield '------< VRRP Track files >------\n';
  for (const file of model.trackFiles) {
    yield ` VRRP Track file = ${file.name}
   File = ${file.path}
   Status = ${known.fileValue(file.name)}
   Weight = ${file.weight}${file.reverse ? ' reverse' : ''}
`;
  }
  if (model.trackProcesses.length > 0) yield '------< VRRP Track processes >------\n';
  for (const process of model.trackProcesses) {
    yield ` VRRP Track process = ${process.name}
   Process = ${process.argv.join(' ')}
   Quorum = ${process.quorum}
   Current processes = ${known.processCount(process.name)}
   Weight = ${process.weight}${process.reverse ? ' reverse' : ''}
`;
  }
}

function interfaces(director: Director): string {
  const blocks = director.interfaces.all().map(({ link, up, addresses }) => {
    const of = (length: number) => {
      const found = [...addresses.values()].find(({ address }) => address.length === length);
      return found ? formatIp(found.address) : '(none)';
    };
    const flags = [
      link.flags & IFF_UP ? 'UP' : 'DOWN',
      ...(link.flags & IFF_RUNNING ? ['RUNNING'] : []),
      ...(link.flags & IFF_LOOPBACK ? ['loopback'] : []),
      ...(link.flags & IFF_MULTICAST ? [] : ['no multicast']),
    ];
    const mac = link.mac.toString('hex').replace(/(..)(?=.)/g, '$1:');
    return ` Name = ${link.name}
   index = ${link.index}
   IPv4 address = ${of(4)}
   IPv6 address = ${of(16)}
   MAC = ${mac}
   State = ${flags.join(', ')}
   Counts as ${up ? 'up' : 'down'}
   MTU = ${link.mtu}
`;
  });
  return `------< Interfaces >------\n${blocks.join('')}`;
}
