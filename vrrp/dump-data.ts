import type { VirtualAddress } from '../keepalived/model/vrrp.js';
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
    yield ` VRRP Sync Group = ${group.model.name}, ${group.state}\n   Num member fault = ${
      group.members.filter(({ faults }) => faults.length > 0).length
    }\n   VRRP member instances = ${group.members.length}\n${group.members
      .map(({ name }) => `     ${name}\n`)
      .join('')}   Using smtp notification = ${group.model.smtpAlert ? 'yes' : 'no'}\n`;
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
  say(`State = ${state.name.toUpperCase()}`);
  const master = state.name === 'master';
  if (!master && state.name === 'backup' && router.heard) {
    say(`Master router = ${router.heard.source}`);
    say(`Master priority = ${router.heard.priority}`);
  }
  if (model.unicastPeers) {
    say('Flags:');
    say('  Using unicast');
  } else {
    say('Flags: none');
  }
  say(`Wantstate = ${state.wantsMaster ? 'MASTER' : state.name.toUpperCase()}`);
  say('Number of config faults = 0');
  say(`Number of interface and track script faults = ${router.faults.length}`);
  for (const fault of router.faults) say(`Fault: ${fault}`);
  say(`Number of track scripts init = ${scriptsWaiting(director, router)}`);
  if (router.lastTransition > 0) {
    const seconds = (router.lastTransition / 1000).toFixed(6);
    say(`Last transition = ${seconds} (${new Date(router.lastTransition).toString().slice(0, 24)})`);
  } else {
    say('Last transition = never');
  }
  if (state.deadline !== undefined) {
    const at = Date.now() + state.deadline - director.poller.now();
    say(`Read timeout = ${(at / 1000).toFixed(6)} (${new Date(at).toString().slice(0, 24)})`);
  }
  const settings = {
    ...model,
    owner: model.priority === 255,
    priority: router.priority,
    address: new Uint8Array(4),
  };
  const { timerExpiredBackupPriority: _unused, ...known } = settings;
  say(`Master down timer = ${Math.floor(masterDownInterval(known, state.masterInterval) * 1000)} usecs`);
  say(`Interface = ${model.interface ?? '(none)'}`);
  const device = director.virtualMacs.device(model);
  if (device) say(`Virtual MAC device = ${device.name}`);
  if (model.dpdkInterface !== undefined) say(`Dataplane port = ${model.dpdkInterface}`);
  if (router.source) {
    say(
      `Using src_ip = ${formatIp(router.source)}${model.sourceAddress === undefined ? '' : ' (from configuration)'}`,
    );
  }
  if (!model.unicastPeers) say(`Multicast address ${model.multicastGroup}`);
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
  list(lines, 'Tracked interfaces', model.trackInterfaces.map(reference));
  list(lines, 'Tracked scripts', model.trackScripts.map(reference));
  list(lines, 'Tracked files', model.trackFiles.map(reference));
  list(lines, 'Tracked processes', model.trackProcesses.map(reference));
  list(lines, 'Tracked BFDs', model.trackBfd.map(reference));
  list(
    lines,
    'Virtual IP',
    model.virtualAddresses.map((spec) => addressText(director, router, spec)),
  );
  list(
    lines,
    'Virtual IP Excluded',
    model.excludedAddresses.map((spec) => addressText(director, router, spec)),
  );
  if (model.virtualRoutes.length > 0) say(`Virtual Routes (${model.virtualRoutes.length})`);
  if (model.virtualRules.length > 0) say(`Virtual Rules (${model.virtualRules.length})`);
  if (model.unicastPeers) {
    say(`Unicast TTL = ${model.unicastTtl ?? 255}`);
    say(`Check unicast src : ${yes(model.checkUnicastSource)}`);
    say('Unicast Peer :');
    for (const peer of model.unicastPeers) {
      say(`  ${formatIp(parseIp(peer.address))} min_ttl ${peer.minTtl} max_ttl ${peer.maxTtl}`);
    }
  }
  say(`Using smtp notification = ${yes(model.smtpAlert)}`);
  say(`Notify deleted = ${model.notify.deleted ? 'Deleted' : 'Fault'}`);
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
  lines.push(`   ${title} (${entries.length}):`);
  for (const entry of entries) lines.push(`     ${entry}`);
}

function reference({ name, weight, reverse }: { name: string; weight?: number; reverse?: boolean }): string {
  return `${name}${weight === undefined ? '' : `, weight ${weight}`}${reverse ? ' reverse' : ''}`;
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
   Command = ${script.script.argv.join(' ')}
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
