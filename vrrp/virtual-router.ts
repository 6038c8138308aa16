import type { VrrpInstance } from '../keepalived/model/vrrp.js';
import type { MovableClock, MovableTimer, Timer } from '../lib/clock.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { errno, IPPROTO_AH } from '../lib/libc.js';
import type { Log } from '../lib/log.js';
import type { AddressSink, PlacedAddress } from './addresses.js';
import { placeKey } from './addresses.js';
import { AdvertSender, advertisedAddresses } from './advert-sender.js';
import {
  compareAddresses,
  type ElectionEvent,
  type ElectionSettings,
  type ElectionState,
  elect,
  initialElection,
  timerSlack,
} from './election.js';
import { type Notification, type NotifiedState, notificationOf } from './notifications.js';
import { ReplayGuard } from './packet/auth-hmac.js';
import { IPPROTO_VRRP } from './packet/checksum.js';
import {
  checkPacketFor,
  type DropReason,
  type ReceiveContext,
  type ReceivedPacket,
  type Verdict,
} from './receive.js';
import { noStatistics, type Statistics } from './statistics.js';
import type { Channel, Path, Transport } from './transport.js';

/** Routes and rules that come and go with the mastership. */
export interface RouteSink {
  add(instance: VrrpInstance): void;
  remove(instance: VrrpInstance): void;
}

/** Devices with virtual MACs: up while the router is master, so that a backup's stays silent. */
export interface DeviceSink {
  raise(instance: VrrpInstance): void;
  lower(instance: VrrpInstance): void;
}

/** What a router needs of the process around it. */
export interface RouterSurroundings {
  clock: MovableClock;
  transport: Transport;
  routes: RouteSink;
  devices: DeviceSink;
  log: Log;
  noFaultMail: boolean;
  /** Where the addresses of this instance live. */
  sink(instance: VrrpInstance): AddressSink;
  /** Interface of each address, virtual MACs considered. */
  place(instance: VrrpInstance): PlacedAddress[];
  notify(notification: Notification): void;
  /** The instance has become master, or is it no more. */
  stateChanged(name: string, master: boolean): void;
  /** Lets the sync group follow what the member has just done. */
  settle(router: VirtualRouter, yielded: boolean): void;
}

const counters: Record<DropReason, keyof Statistics> = {
  length: 'packet_len_err',
  ttl: 'ip_ttl_err',
  version: 'version_err',
  hmac: 'auth_failure',
  'auth-type-invalid': 'invalid_authtype',
  'auth-type-mismatch': 'authtype_mismatch',
  'auth-failure': 'auth_failure',
  interval: 'advert_interval_err',
  type: 'invalid_type_rcvd',
  checksum: 'checksum_err',
  kind: 'kind_err',
  'unicast-source': 'kind_err',
};

/** A complaint that repeats with every packet is told once per this many milliseconds. */
const COMPLAINT_INTERVAL = 60_000;

/** One virtual router at work: the election, and everything that its decisions bring about. */
export class VirtualRouter {
  model: VrrpInstance;
  state: ElectionState = initialElection;
  statistics: Statistics = noStatistics();
  /** Why it is in FAULT; empty: nothing fails here. */
  faults: string[] = [];
  priority: number;
  totalPriority: number;
  /** Milliseconds since 1970; 0: never. */
  lastTransition = 0;
  /** Milliseconds from the decision to become master until its addresses were in place, the last time; 0: never. */
  takeOverTime = 0;
  /** The master heard last. */
  heard: { source: string; priority: number } | undefined;
  /** Addresses that this router has put in place. */
  placed: PlacedAddress[] = [];
  grouped = false;
  path: Path | undefined;
  readonly #around: RouterSurroundings;
  readonly #sender: AdvertSender;
  readonly #receive: ReceiveContext;
  readonly #complaints = new Map<string, number>();
  #channel: Channel | undefined;
  #channelKey = '';
  /** Of the election: one for life, moved by every advert. */
  readonly #timer: MovableTimer;
  #electionSettings: ElectionSettings | undefined;
  #announcements = new Set<Timer>();
  #lowerPriorityQuietUntil = 0;
  #leftBehind: PlacedAddress[] = [];
  #routesInPlace = false;
  #resigned = false;
  #refreshTimers: Timer[] = [];
  #lastChecked: { packet: ReceivedPacket; source: string; verdict: Verdict; master: boolean } | undefined;

  constructor(model: VrrpInstance, around: RouterSurroundings) {
    this.model = model;
    this.priority = model.priority;
    this.totalPriority = model.priority;
    this.#around = around;
    this.#sender = new AdvertSender(model);
    this.#timer = around.clock.after(0, () => this.step({ type: 'timer' }), `(${model.name}) election`);
    this.#timer.cancel();
    this.#receive = {
      instance: model,
      addresses: advertisedAddresses(model),
      unicastPeers: peersOf(model),
      replay: new ReplayGuard(),
      authenticationSequence: new Map(),
      oldChecksumPeers: new Set(),
      master: false,
      lastMaster: undefined,
    };
  }

  get name(): string {
    return this.model.name;
  }

  get source(): Uint8Array | undefined {
    return this.path?.source;
  }

  /** Takes over a changed model; the state stays. What is to be announced or removed follows from the difference. */
  configure(model: VrrpInstance): void {
    const before = this.model;
    this.model = model;
    this.#sender.configure(model);
    this.#electionSettings = undefined;
    this.#lastChecked = undefined;
    this.#receive.instance = model;
    this.#receive.addresses = advertisedAddresses(model);
    this.#receive.unicastPeers = peersOf(model);
    if (this.state.name !== 'master') return;
    const wanted = this.#around.place(model);
    const sink = this.#around.sink(model);
    const wantedKeys = new Set(wanted.map(placeKey));
    const present = new Set(this.placed.map(placeKey));
    const gone = this.placed.filter((address) => !wantedKeys.has(placeKey(address)));
    const fresh = wanted.filter((address) => !present.has(placeKey(address)));
    if (gone.length > 0) this.#around.sink(before).remove(gone);
    // An address that stays may have other attributes: the kernel takes them over without a gap.
    const kept = wanted.filter((address) => present.has(placeKey(address)));
    const changed = kept.filter((address) => !this.placed.some((old) => sameAddress(old, address)));
    if (fresh.length + changed.length > 0) sink.add([...fresh, ...changed]);
    if (fresh.length > 0) sink.announce(fresh, model.garp.repeat);
    this.placed = wanted;
    if (JSON.stringify(routesOf(before)) !== JSON.stringify(routesOf(model))) {
      this.#around.routes.remove(before);
      this.#around.routes.add(model);
    }
    this.#scheduleRefresh();
  }

  /**
   * Opens the sockets of a path, or keeps those that are open when the path is the same.
   * @returns why that is impossible, or undefined
   */
  travel(path: Path | undefined): string | undefined {
    const key = path ? pathKey(path) : '';
    if (key === this.#channelKey && (this.#channel || !path)) return undefined;
    this.#channel?.close();
    this.#channel = undefined;
    this.#channelKey = '';
    this.path = path;
    this.#electionSettings = undefined;
    this.#lastChecked = undefined;
    if (!path) return undefined;
    try {
      this.#channel = this.#around.transport.open(path, this.model.virtualRouterId, (packet, arrived) =>
        this.#hear(packet, arrived),
      );
      this.#channelKey = key;
      return undefined;
    } catch (error) {
      return error instanceof Error ? error.message : String(error);
    }
  }

  /** Addresses left by a process before this one stay until it is clear who is master. */
  recognise(addresses: PlacedAddress[]): void {
    this.#leftBehind = addresses;
  }

  /** New priority after trackers have changed. */
  reprioritise(priority: number, total: number): void {
    this.totalPriority = total;
    if (priority === this.priority) return;
    this.#around.log.info(`(${this.name}) Changing effective priority from ${this.priority} to ${priority}`);
    this.priority = priority;
    this.#electionSettings = undefined;
    this.step({ type: 'settings' });
    if (this.model.notifyPriorityChanges) {
      if (this.state.name === 'master') this.#notify('MASTER_PRIORITY');
      else if (this.state.name === 'backup') this.#notify('BACKUP_PRIORITY');
    }
  }

  /**
   * Gives one event to the election and does what it decides.
   * @param now when it happened
   */
  step(event: ElectionEvent, now = this.#around.clock.now()): void {
    const before = this.state;
    const known = this.#electionSettings ?? this.#settings();
    this.#electionSettings = known;
    const resumes = before.name === 'init' && this.#leftBehind.length > 0;
    const { state, actions } = elect(
      before,
      event,
      resumes ? { ...known, resumes } : known,
      now,
      this.grouped,
    );
    this.state = state;
    if (state.deadline === undefined) this.#timer.cancel();
    // A timer that found itself too early is set again as well.
    else if (state.deadline !== before.deadline || event.type === 'timer') {
      this.#timer.move(state.deadline, timerSlack(state, this.model));
    }
    if (actions.length === 0) return;
    for (const action of actions) {
      switch (action.do) {
        case 'send':
          if (action.priority > 0 || !this.#resigned) this.#send(action.priority);
          break;
        case 'become-master':
          this.#becomeMaster();
          break;
        case 'become-backup':
          if (event.type !== 'stop') this.#becomeBackup(before.name);
          else this.#release();
          break;
        case 'become-fault':
          this.#becomeFault();
          break;
        case 'announce-again':
          this.#announceAgain();
          break;
        case 'split-brain':
          this.#splitBrain(formatIp(action.source), action.priority);
          break;
        case 'ask-group':
          break;
      }
    }
    const yielded = before.name === 'master' && state.name === 'backup' && event.type === 'advert';
    this.#around.settle(this, yielded);
  }

  /** The last word ahead of `stop`: the other node can begin while this one is still taking things down. */
  resign(): void {
    if (this.state.name !== 'master' || this.#resigned) return;
    this.#send(0);
    this.#resigned = true;
  }

  /** Leaves for good. @param state what is told to the outside: STOP at the end, DELETED or FAULT when a reload removes it */
  stop(state: 'STOP' | 'DELETED' | 'FAULT'): void {
    this.step({ type: 'stop' });
    this.#forgetLeftBehind();
    this.#notify(state);
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Ends without a word to the others: what is in place stays, and the next start of this program finds it there. */
  leave(): void {
    this.#timer.cancel();
    for (const timer of this.#refreshTimers) timer.cancel();
    for (const timer of this.#announcements) timer.cancel();
    this.#announcements.clear();
    this.#notify('STOP');
    this.#channel?.close();
    this.#channel = undefined;
  }

  /** Sends announcements of all addresses once more; for operators and for addresses on extra interfaces. */
  announceAll(repeat: number): void {
    if (this.placed.length > 0) this.#around.sink(this.model).announce(this.placed, repeat);
  }

  #settings(): ElectionSettings {
    const { model } = this;
    return {
      priority: this.priority,
      owner: model.priority === 255,
      version: model.version,
      advertInterval: model.advertInterval,
      downTimerAdverts: model.downTimerAdverts,
      initialState: model.initialState,
      preempt: model.preempt,
      preemptDelay: model.preemptDelay,
      lowerPriorityNoAdvert: model.lowerPriorityNoAdvert,
      higherPrioritySendAdvert: model.higherPrioritySendAdvert,
      ownerIgnoreAdverts: model.ownerIgnoreAdverts,
      ...(model.timerExpiredBackupPriority === undefined
        ? {}
        : { timerExpiredBackupPriority: model.timerExpiredBackupPriority }),
      address: this.source ?? new Uint8Array(4),
    };
  }

  #send(priority: number): void {
    const { path } = this;
    if (!this.#channel || !path) return;
    const failed = this.#sender.send(this.#channel, path.source, priority, this.#receive.oldChecksumPeers);
    this.statistics.advert_sent++;
    if (priority === 0) this.statistics.pri_zero_sent++;
    for (const [destination, error] of failed) {
      this.statistics.send_err++;
      // A peer that refuses the protocol is a peer whose VRRP is not running.
      if (error === errno.ECONNREFUSED || error === errno.ENOPROTOOPT) continue;
      this.#complain(`send ${destination}`, `cannot send to ${destination}: error ${error}`);
    }
  }

  #hear(packet: ReceivedPacket, arrived: number): void {
    const checked = this.#check(packet);
    if (!checked) return;
    const { source, verdict } = checked;
    if ('drop' in verdict) {
      this.statistics[counters[verdict.drop]]++;
      this.#complain(`${verdict.drop} ${source}`, `dropped advert from ${source}: ${verdict.detail}`);
      return;
    }
    const { priority, interval } = verdict.accept;
    this.statistics.advert_rcvd++;
    if (priority === 0) this.statistics.pri_zero_rcvd++;
    if (this.model.authentication?.type === 'ah') {
      const sequence = this.#receive.authenticationSequence.get(source);
      if (sequence !== undefined) this.#sender.outrun(sequence);
    }
    if (verdict.addressMismatch !== undefined) {
      this.statistics.addr_list_err++;
      this.#complain(`list ${source}`, `${source} advertises other addresses: ${verdict.addressMismatch}`);
    }
    if (this.model.version === 3 && interval !== this.model.advertInterval) {
      this.#complain(
        `interval ${source}`,
        `${source} advertises every ${interval} ms, configured here are ${this.model.advertInterval} ms`,
      );
    }
    this.#receive.lastMaster = source;
    if (this.heard?.source !== source || this.heard.priority !== priority) this.heard = { source, priority };
    this.step({ type: 'advert', source: packet.source, priority, interval }, arrived);
    // Somebody else is master: what a crash left here must not answer beside him.
    if (this.#leftBehind.length > 0 && this.state.name === 'backup' && !this.#takesOver(priority)) {
      this.#forgetLeftBehind();
    }
  }

  /**
   * A master says the same again and again: the same packet gets the same verdict without being taken apart anew.
   * @returns undefined when the packet is our own
   */
  #check(packet: ReceivedPacket): { source: string; verdict: Verdict } | undefined {
    const master = this.state.name === 'master';
    const last = this.#lastChecked;
    if (last && last.packet === packet && last.master === master) return last;
    const own = this.source;
    if (own && compareAddresses(packet.source, own) === 0) {
      this.#complain('own', `received an advert from its own address ${formatIp(packet.source)}`);
      return undefined;
    }
    this.#receive.master = master;
    const verdict = checkPacketFor(this.#receive, packet, Date.now());
    const source = formatIp(packet.source);
    // Adverts that carry a sequence number are never the same.
    const numbered = this.model.authHmac !== undefined || this.model.authentication?.type === 'ah';
    const settled = 'accept' in verdict && this.#receive.lastMaster === source && !numbered;
    this.#lastChecked = settled ? { packet, source, verdict, master } : undefined;
    return { source, verdict };
  }

  #takesOver(heard: number): boolean {
    return this.model.preempt && heard < this.priority;
  }

  #becomeMaster(): void {
    const start = this.#around.clock.now();
    const sink = this.#around.sink(this.model);
    this.placed = this.#around.place(this.model);
    this.#leftBehind = [];
    this.statistics.become_master++;
    this.#around.devices.raise(this.model);
    sink.add(this.placed);
    this.#around.routes.add(this.model);
    this.#routesInPlace = true;
    const inPlace = () => {
      this.takeOverTime = this.#around.clock.now() - start;
    };
    inPlace();
    // The dataplane's answer is still to come.
    if (this.model.dpdkInterface !== undefined) void sink.flush().then(inPlace);
    sink.announce(this.placed, this.model.garp.repeat);
    this.#transition('MASTER');
    const { delay, repeat } = this.model.garp;
    if (delay > 0) this.#later(delay, () => sink.announce(this.placed, repeat), 'second announcement');
    this.#scheduleRefresh();
    this.#lowerPriorityQuietUntil = 0;
    this.#notify('MASTER');
  }

  #scheduleRefresh(): void {
    for (const timer of this.#refreshTimers) timer.cancel();
    this.#refreshTimers = [];
    const { interface: device, virtualMac, garp } = this.model;
    this.#every(garp.refresh, () => this.placed, garp.refreshRepeat);
    // Switches hear of the others from no advert: those leave by another interface, or without the virtual MAC.
    const heard = ({ spec }: PlacedAddress) =>
      (spec.interface === undefined || spec.interface === device) && !virtualMac?.transmitBase;
    const extra = () =>
      garp.extraInterfaceAll ? this.placed : this.placed.filter((address) => !heard(address));
    this.#every(garp.extraInterfaceInterval, extra, 1);
  }

  /** Announces addresses again and again while master. @param period milliseconds, 0: never */
  #every(period: number, addresses: () => PlacedAddress[], repeat: number): void {
    if (period <= 0) return;
    const { clock } = this.#around;
    const timer = clock.after(
      period,
      () => {
        if (this.state.name !== 'master') return;
        this.#around.sink(this.model).announce(addresses(), repeat);
        timer.move(clock.now() + period);
      },
      `(${this.name}) refresh of announcements`,
    );
    this.#refreshTimers.push(timer);
  }

  #becomeBackup(from: ElectionState['name']): void {
    this.#release();
    this.#transition('BACKUP', from === 'init' ? ' (init)' : '');
    this.#notify('BACKUP');
  }

  #becomeFault(): void {
    this.#release();
    this.#forgetLeftBehind();
    for (const reason of this.faults) this.#around.log.warning(`(${this.name}) ${reason}`);
    this.#transition('FAULT');
    this.#notify('FAULT');
  }

  /** The reverse of taking over: announcements end, rules and routes go, addresses go. */
  #release(): void {
    for (const timer of this.#refreshTimers) timer.cancel();
    for (const timer of this.#announcements) timer.cancel();
    this.#announcements.clear();
    if (this.#routesInPlace) this.#around.routes.remove(this.model);
    this.#routesInPlace = false;
    this.#removePlaced();
    this.#around.devices.lower(this.model);
  }

  #removePlaced(): void {
    if (this.placed.length === 0) return;
    const sink = this.#around.sink(this.model);
    sink.silence(this.placed);
    sink.remove(this.placed);
    this.placed = [];
    this.statistics.release_master++;
  }

  #forgetLeftBehind(): void {
    if (this.#leftBehind.length === 0) return;
    this.#around.log.info(`(${this.name}) removing addresses that an earlier run left behind`);
    this.#around.sink(this.model).remove(this.#leftBehind);
    this.#leftBehind = [];
  }

  #transition(state: string, detail = ''): void {
    this.lastTransition = Date.now();
    this.#around.log.info(`(${this.name}) Entering ${state} STATE${detail}`);
    this.#around.stateChanged(this.name, state === 'MASTER');
  }

  #notify(state: NotifiedState): void {
    const { model } = this;
    this.#around.notify(
      notificationOf(
        { kind: 'INSTANCE', name: model.name, notify: model.notify, smtpAlert: model.smtpAlert },
        state,
        this.priority,
        this.#around.noFaultMail,
      ),
    );
  }

  #announceAgain(): void {
    this.#notify('MASTER_RX_LOWER_PRI');
    const { lowerPriorityRepeat, lowerPriorityDelay } = this.model.garp;
    if (this.model.strict || lowerPriorityRepeat === 0) return;
    const now = this.#around.clock.now();
    if (now < this.#lowerPriorityQuietUntil) return;
    this.#lowerPriorityQuietUntil = now + lowerPriorityDelay;
    this.announceAll(lowerPriorityRepeat);
    if (lowerPriorityDelay > 0) {
      this.#later(
        lowerPriorityDelay,
        () => this.announceAll(lowerPriorityRepeat),
        'announcement after a lower master',
      );
    }
  }

  #splitBrain(other: string, priority: number): void {
    this.statistics.split_brain++;
    const own = this.source ? formatIp(this.source) : 'this node';
    this.#complain(
      `split ${other}`,
      `two masters: ${own} with priority ${this.priority} and ${other} with priority ${priority}`,
    );
  }

  #later(delay: number, work: () => void, name: string): void {
    const timer = this.#around.clock.after(
      delay,
      () => {
        this.#announcements.delete(timer);
        if (this.state.name === 'master') work();
      },
      `(${this.name}) ${name}`,
    );
    this.#announcements.add(timer);
  }

  /** Logs a sentence, but the same kind of complaint only once in a while. */
  #complain(kind: string, sentence: string): void {
    const now = this.#around.clock.now();
    const last = this.#complaints.get(kind);
    if (last !== undefined && now - last < COMPLAINT_INTERVAL) return;
    // Kinds carry addresses that strangers choose: do not remember them without end.
    if (this.#complaints.size >= 100) this.#complaints.clear();
    this.#complaints.set(kind, now);
    this.#around.log.warning(`(${this.name}) ${sentence}`);
  }
}

/** IP protocol of an instance's adverts. */
export function protocolOf(model: VrrpInstance): number {
  return model.authentication?.type === 'ah' ? IPPROTO_AH : IPPROTO_VRRP;
}

function peersOf(model: VrrpInstance): Map<string, { minTtl: number; maxTtl: number }> {
  return new Map((model.unicastPeers ?? []).map((peer) => [formatIp(parseIp(peer.address)), peer]));
}

function routesOf(model: VrrpInstance): unknown {
  const text = (_key: string, value: unknown) => (typeof value === 'bigint' ? `${value}` : value);
  return JSON.parse(JSON.stringify([model.virtualRoutes, model.virtualRules], text));
}

function sameAddress(a: PlacedAddress, b: PlacedAddress): boolean {
  return placeKey(a) === placeKey(b) && JSON.stringify(a.spec) === JSON.stringify(b.spec);
}

function pathKey(path: Path): string {
  return [
    path.family,
    path.protocol,
    path.interface?.index,
    path.interface?.name,
    path.sender?.index,
    path.sender && Buffer.from(path.sender.mac).toString('hex'),
    path.vrf,
    formatIp(path.source),
    path.unicast,
    formatIp(path.group),
    path.ttl,
    path.receiveBuffer,
  ].join(' ');
}
