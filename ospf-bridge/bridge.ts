import type { OspfBridgePart } from '../keepalived/model/index.js';
import type { SidecarNews } from '../keepalived/sidecar.js';
import type { Clock, Timer } from '../lib/clock.js';
import { formatIp, parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import { type AnnouncementSettings, Announcements, type Change } from './announcements.js';
import type { AddressStatus, BridgeStatus, ControlReply, ControlRequest } from './control.js';
import { ControlServer } from './control.js';
import { Dataplane } from './dataplane.js';
import { Drained } from './drained.js';
import { GuardClient } from './guard-client.js';
import { Kernel } from './kernel.js';
import { prefixOf, type Scope, scopeOf, type World, wishFor } from './policy.js';
import { Reader } from './reader.js';

/** How long after the start the health checker may stay silent, milliseconds. */
const PATIENCE = 10_000;
/** How often the kernel is compared with what ought to be there, milliseconds. */
const RECONCILE_INTERVAL = 5000;
/** After the last withdrawal neighbours need some time to send elsewhere: then the rest of the suite may end. Milliseconds. */
const FAREWELL = 250;

/**
 * Announces virtual addresses: hears what is well, decides, changes the kernel, reads back from the routing daemon, answers
 * operators. The parts that decide (policy, announcements) know no sockets.
 */
export class Bridge {
  readonly #log: Log;
  readonly #clock: Clock;
  readonly #kernel: Kernel;
  readonly #announcements: Announcements;
  readonly #drained: Drained;
  readonly #guard: GuardClient;
  readonly #control: ControlServer;
  readonly #dataplane: Dataplane | undefined;
  readonly #reader: Reader;
  readonly #quorum = new Map<string, { addresses: readonly string[]; up: boolean }>();
  readonly #masters = new Set<string>();
  #scope: Scope;
  #heard = false;
  #patience: Timer | undefined;
  #reconcile: Timer | undefined;
  #considering: Timer | undefined;
  #stopped = false;

  constructor(part: OspfBridgePart, log: Log, clock: Clock) {
    this.#log = log;
    this.#clock = clock;
    const { bridge } = part;
    this.#scope = scopeOf(part);
    this.#kernel = new Kernel(bridge);
    this.#drained = new Drained(bridge.socket);
    if (this.#drained.problem !== undefined)
      log.error(
        `what operators withdrew is not known any more, and is announced again; what the kernel shows as drained stays so: ${this.#drained.problem}`,
      );
    this.#announcements = new Announcements(clock, pace(this.#scope), (changes) => this.#change(changes));
    this.#guard = new GuardClient(clock, bridge.socket, bridge);
    this.#control = new ControlServer(
      bridge.socket,
      (request) => this.#answer(request),
      (sentence) => log.error(sentence),
    );
    this.#reader = new Reader(clock, log, bridge, {
      families: () => new Set([...this.#scope.addresses].map((one) => (one.includes(':') ? 6 : 4))),
      expected: () => this.#announcements.list(),
    });
    if (part.director.driver === 'dpvsd') {
      this.#dataplane = new Dataplane(
        clock,
        part.director.path,
        (placed) => [...this.#scope.services].some((one) => !placed.has(one)),
        () => this.#consider(),
      );
    }
    try {
      // Routing daemons need some time to get to know a new device: not when it is needed.
      this.#kernel.prepareDrain();
    } catch (error) {
      log.warning(
        `cannot make the device ${bridge.drainInterface}, without which 'drain' can only withdraw: ${(error as Error).message}`,
      );
    }
    this.#adopt();
    this.#patience = clock.after(
      PATIENCE,
      () => {
        this.#heard = true;
        this.#consider();
      },
      'patience with the health checker',
    );
    this.#consider();
    this.#reconcileLater();
  }

  /** A reload. */
  apply(part: OspfBridgePart): void {
    const before = this.#scope;
    this.#scope = scopeOf(part);
    const { bridge } = this.#scope;
    for (const fixed of ['announce', 'protocol', 'socket'] as const) {
      if (before.bridge[fixed] === bridge[fixed]) continue;
      this.#log.warning(
        `ospf_bridge: '${fixed}' cannot be changed by a reload, only by a restart: it stays as it was`,
      );
      this.#scope = { ...this.#scope, bridge: { ...this.#scope.bridge, [fixed]: before.bridge[fixed] } };
    }
    this.#kernel.settings = this.#scope.bridge;
    this.#guard.settings = this.#scope.bridge;
    this.#announcements.settings = pace(this.#scope);
    this.#reader.settings = this.#scope.bridge;
    for (const address of before.addresses) {
      if (!this.#scope.addresses.has(address)) this.#announcements.forget(address, 'no longer configured');
    }
    this.#dataplane?.reconsider();
    this.#consider();
  }

  news(news: SidecarNews): void {
    if (news.topic === 'quorum') {
      if (news.up === undefined) this.#quorum.delete(news.name);
      else {
        const addresses = news.addresses.map((one) => formatIp(parseIp(one)));
        this.#quorum.set(news.name, { addresses, up: news.up });
      }
    } else if (news.topic === 'vrrp') {
      if (news.master) this.#masters.add(news.name);
      else this.#masters.delete(news.name);
    }
    this.#consider();
  }

  /** Withdraws everything and ends the guard. */
  async stop(): Promise<void> {
    this.#end();
    for (const { address } of this.#announcements.list())
      this.#announcements.wish(address, { standing: 'withdrawn', reason: 'stopping', deliberate: true });
    const gone = this.#announcements.list().filter(({ standing }) => standing !== 'withdrawn').length;
    this.#announcements.flush();
    await this.#guard.end();
    this.#kernel.close();
    if (gone === 0) return;
    this.#log.info(`Withdrew ${gone} addresses`);
    await new Promise<void>((resolve) => this.#clock.after(FAREWELL, resolve, 'farewell'));
  }

  /** The front door is dead: everything stays as it is, and the guard counts. */
  abandon(): void {
    this.#end();
    this.#guard.leave();
    this.#log.warning(
      `the front door is gone: announcements stay for ${this.#scope.bridge.guardTime / 1000} seconds unless it returns`,
    );
  }

  async status(): Promise<BridgeStatus> {
    const read = await this.#reader.read();
    const foreign = this.#scope.bridge.announce === 'external' ? this.#kernel.foreign() : new Set<string>();
    const addresses = this.#announcements.list().map((one): AddressStatus => {
      const announced = read.back?.announced.get(prefixOf(one.address));
      return {
        address: one.address,
        state: one.standing,
        wanted: one.wish.standing,
        reason: one.suppressed
          ? `${one.wish.reason}; damped after coming and going too often`
          : one.wish.reason,
        since: Number.isFinite(one.since)
          ? new Date(Date.now() - (this.#clock.now() - one.since)).toISOString()
          : null,
        seen: read.back ? announced !== undefined : null,
        metric: announced?.metric ?? null,
        problem:
          one.error ??
          (foreign.has(one.address)
            ? 'it is an address of this machine too, which FRR prefers to our route: see check'
            : null),
      };
    });
    return {
      router: {
        kind: this.#scope.bridge.router,
        version: read.back?.version ?? null,
        problem: read.error ?? null,
      },
      dataplane: this.#dataplane?.state ?? 'none',
      guard: this.#guard.connected,
      addresses: addresses.sort((a, b) => (a.address < b.address ? -1 : 1)),
      lastBatch: this.#announcements.lastBatch ?? null,
      neighbours: read.back?.neighbours ?? [],
    };
  }

  /** Puts addresses aside, or takes them back. An empty list means all. @throws Error when an address is none of ours */
  drain(addresses: readonly string[], how: 'metric' | 'withdraw' | undefined): string {
    const chosen = this.#chosen(addresses);
    if (how === 'metric') {
      try {
        this.#kernel.prepareDrain();
      } catch (error) {
        const device = this.#scope.bridge.drainInterface;
        throw new Error(
          `cannot make the device ${device} that drained addresses point to (${(error as Error).message}): use --withdraw`,
        );
      }
    }
    for (const address of chosen) {
      if (how === undefined) this.#drained.addresses.delete(address);
      else this.#drained.addresses.set(address, how);
    }
    let remembered = '';
    try {
      this.#drained.save();
    } catch (error) {
      remembered = `; a restart will forget it: ${(error as Error).message}`;
    }
    this.#log.notice(`${how === undefined ? 'Undraining' : 'Draining'} ${chosen.length} addresses`);
    this.#consider();
    const what = how === undefined ? 'undrained' : how === 'metric' ? 'drained' : 'withdrawn';
    return `${chosen.length} addresses ${what}${remembered}`;
  }

  #chosen(addresses: readonly string[]): string[] {
    if (addresses.length === 0) return [...this.#scope.addresses];
    return addresses.map((given) => {
      let address: string;
      try {
        address = formatIp(parseIp(given));
      } catch {
        throw new Error(`'${given}' is no IP address`);
      }
      if (!this.#scope.addresses.has(address))
        throw new Error(`${address} is none of the addresses that this bridge announces: see status`);
      return address;
    });
  }

  async #answer(request: ControlRequest): Promise<ControlReply> {
    switch (request.command) {
      case 'status':
        return { ok: true, status: await this.status() };
      case 'drain':
        return { ok: true, text: this.drain(request.addresses, request.withdraw ? 'withdraw' : 'metric') };
      case 'undrain':
        return { ok: true, text: this.drain(request.addresses, undefined) };
      default:
        return { ok: false, error: 'unknown command: tools and bridge are of different versions' };
    }
  }

  #adopt(): void {
    const present = this.#kernel.present();
    let stale = 0;
    for (const [address, standing] of present) {
      this.#announcements.adopt(address, standing);
      // The kernel remembers what the file does not.
      if (standing === 'drained' && !this.#drained.known) this.#drained.addresses.set(address, 'metric');
      if (this.#scope.addresses.has(address)) continue;
      stale++;
      this.#announcements.forget(address, 'no longer configured');
    }
    if (present.size > 0)
      this.#log.info(
        `${present.size - stale} announcements of an earlier run are taken over, ${stale} withdrawn`,
      );
  }

  /** Everything is looked at anew, once for all that happens in one turn. */
  #consider(): void {
    if (this.#considering || this.#stopped) return;
    this.#considering = this.#clock.after(0, () => {
      this.#considering = undefined;
      const quorumOf = new Map<string, boolean[]>();
      for (const { addresses, up } of this.#quorum.values()) {
        for (const address of addresses) {
          const list = quorumOf.get(address);
          if (list) list.push(up);
          else quorumOf.set(address, [up]);
        }
      }
      const world: World = {
        dataplane: this.#dataplane?.state ?? 'none',
        placed: this.#dataplane?.placed,
        quorum: this.#quorum,
        heard: this.#heard,
        masters: this.#masters,
        drained: this.#drained.addresses,
      };
      for (const address of this.#scope.addresses) {
        const wish = wishFor(address, this.#scope, world, quorumOf.get(address) ?? []);
        if (wish) this.#announcements.wish(address, wish);
      }
    });
  }

  #change(changes: Change[]): Map<string, string> {
    let refused: Map<string, string>;
    try {
      refused = this.#kernel.apply(changes);
    } catch (error) {
      // Nobody knows what was done: the comparison with the kernel finds out.
      refused = new Map(changes.map(({ address }) => [address, (error as Error).message]));
    }
    const reasons = new Map(this.#announcements.list().map(({ address, wish }) => [address, wish.reason]));
    // A thousand lines help nobody.
    for (const { address, to } of changes.slice(0, 10)) {
      const error = refused.get(address);
      if (error !== undefined) this.#log.error(`${address} cannot be ${to}: ${error}`);
      else this.#log.info(`${address} ${to} (${reasons.get(address)})`);
    }
    if (changes.length > 10)
      this.#log.info(`... and ${changes.length - 10} more addresses, ${refused.size} refused`);
    this.#reader.soon();
    return refused;
  }

  /** What somebody else took away is put back, and the other way round. */
  #reconcileLater(): void {
    this.#reconcile = this.#clock.after(
      RECONCILE_INTERVAL,
      () => {
        try {
          this.#compare();
        } catch (error) {
          this.#log.error(`announcements cannot be compared with the kernel: ${(error as Error).message}`);
        }
        this.#reconcileLater();
      },
      'comparison with the kernel',
    );
  }

  #compare(): void {
    const present = this.#kernel.present();
    for (const { address, standing } of this.#announcements.list()) {
      const actual = present.get(address) ?? 'withdrawn';
      if (actual === standing) continue;
      this.#log.warning(`${address} is ${actual} in the kernel, and not ${standing}: somebody changed it`);
      this.#announcements.correct(address, actual);
    }
  }

  #end(): void {
    this.#stopped = true;
    for (const timer of [this.#patience, this.#reconcile, this.#considering]) timer?.cancel();
    this.#announcements.close();
    this.#dataplane?.stop();
    this.#reader.close();
    this.#control.close();
  }
}

function pace({ bridge }: Scope): AnnouncementSettings {
  // All addresses of a router are in one router LSA; external ones have an LSA each.
  return {
    spacing: bridge.spacing,
    shared: bridge.announce === 'intra_area',
    hold: bridge.hold,
    damping: bridge.damping,
  };
}
