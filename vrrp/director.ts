import { readFileSync, writeFileSync } from 'node:fs';
import type { AwaitedService, VrrpPart } from '../keepalived/model/index.js';
import type { VirtualAddress, VrrpGlobals, VrrpInstance, VrrpModel } from '../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import { NetlinkSocket } from '../lib/netlink/socket.js';
import { Poller } from '../lib/poller.js';
import type { AddressSink, PlacedAddress } from './addresses.js';
import { Announcer } from './announcer.js';
import { Companion } from './companion-client.js';
import type { CompanionReport } from './companion-protocol.js';
import { DataplaneAddresses } from './dataplane-addresses.js';
import { Interfaces, primaryAddress } from './interfaces.js';
import { KernelAddresses } from './kernel-addresses.js';
import { KernelRoutes } from './kernel-routes.js';
import { Lateness } from './lateness.js';
import type { Notification } from './notifications.js';
import { effectivePriority, totalPriority } from './priority.js';
import { RouterGroup } from './router-group.js';
import { StaticItems } from './static-items.js';
import { Trackers } from './trackers.js';
import { type Path, Transport } from './transport.js';
import { VirtualMacs, virtualMac } from './virtual-mac.js';
import { protocolOf, type RouterSurroundings, VirtualRouter } from './virtual-router.js';

const MULTICAST_TTL = 255;

/**
 * All virtual routers of this node: follows the model, the interfaces and the trackers, and lets each router know what
 * concerns it.
 */
export class Director {
  readonly poller: Poller;
  readonly lateness = new Lateness();
  readonly interfaces: Interfaces;
  readonly trackers = new Trackers();
  readonly announcer: Announcer;
  readonly virtualMacs: VirtualMacs;
  routers: VirtualRouter[] = [];
  groups: RouterGroup[] = [];
  model!: VrrpModel;
  /** Told when an instance becomes master and when it is no longer. */
  onState: (name: string, master: boolean) => void = () => {};
  readonly #log: Log;
  readonly #netlink: NetlinkSocket;
  readonly #transport: Transport;
  readonly #kernel: KernelAddresses;
  readonly #routes: KernelRoutes;
  readonly #static: StaticItems;
  readonly #companion: Companion;
  readonly #controlSocket: string | undefined;
  #dataplane: DataplaneAddresses | undefined;
  #virtual = new Set<string>();
  #awaited: readonly AwaitedService[] = [];
  /** What is to be told to other processes when addresses and adverts have had their turn. */
  #talk: (() => void)[] = [];
  #started = false;
  #stopping = false;

  /**
   * @param globals sizes of the netlink sockets' buffers
   * @param controlSocket dpvsd's; absent: as the environment says
   */
  constructor(log: Log, globals: VrrpGlobals, controlSocket?: string) {
    this.#log = log;
    this.#controlSocket = controlSocket;
    this.poller = new Poller((error) => {
      log.error(`internal error: ${error instanceof Error ? (error.stack ?? error.message) : String(error)}`);
    });
    this.poller.onLate = (lateness) => this.lateness.record(lateness);
    this.#netlink = new NetlinkSocket(undefined, globals.netlinkCommandBuffer);
    this.interfaces = new Interfaces(this.poller, this.#netlink, log, globals.netlinkMonitorBuffer);
    this.interfaces.onChange = (names) => this.#interfacesChanged(names);
    this.#transport = new Transport(this.poller);
    this.announcer = new Announcer(this.poller, this.interfaces, log);
    this.#kernel = new KernelAddresses(this.#netlink, this.interfaces, this.announcer, log);
    this.#routes = new KernelRoutes(this.#netlink, this.interfaces, log);
    this.#static = new StaticItems(this.#kernel, this.#routes);
    this.virtualMacs = new VirtualMacs(this.#netlink, log);
    this.#companion = new Companion((report) => this.#reported(report), log);
  }

  /** Puts a model in force: the first one starts the work, later ones change what differs. */
  apply(part: VrrpPart): void {
    const model = part.vrrp;
    const { globals } = model;
    // What happened before belongs to the configuration before.
    this.#tellAll();
    this.model = model;
    this.#awaited = part.awaited ?? [];
    this.trackers.configure(model);
    this.interfaces.delays = model.interfaceDelays;
    this.announcer.pace = {
      garpInterval: globals.garpInterval,
      gnaInterval: globals.gnaInterval,
      groups: model.garpGroups,
    };
    this.#transport.onUnknown = globals.logUnknownVrids
      ? (id, source) =>
          this.#log.warning(`advert from ${source} for virtual router ${id}, which is not configured here`)
      : () => {};
    this.#virtual = new Set(
      model.instances.flatMap((instance) =>
        [...instance.virtualAddresses, ...instance.excludedAddresses].map(({ address }) =>
          formatIp(parseIp(address)),
        ),
      ),
    );
    if (!this.#dataplane && model.instances.some(({ dpdkInterface }) => dpdkInterface !== undefined)) {
      this.#dataplane = new DataplaneAddresses(
        this.#log,
        () => this.model.globals,
        this.#controlSocket,
        () => this.#awaited,
      );
      this.#dataplane.onAvailable = () => this.#dataplaneChanged();
    }
    const tracked = trackedNames(model);
    this.#companion.configure({
      type: 'configure',
      global: part.global,
      scripts: model.scripts.filter(({ name }) => tracked.scripts.has(name)),
      files: model.trackFiles.filter(({ name }) => tracked.files.has(name)),
      processes: model.trackProcesses.filter(({ name }) => tracked.processes.has(name)),
      firewall: globals.firewall,
      refused: model.instances
        .filter(
          ({ accept, priority, dpdkInterface }) => !accept && priority !== 255 && dpdkInterface === undefined,
        )
        .flatMap(({ virtualAddresses, excludedAddresses }) => [...virtualAddresses, ...excludedAddresses])
        .map(({ address }) => address),
    });
    if (globals.disableLocalIgmp) this.#sysctl('net/ipv4/igmp_link_local_mcast_reports', '0');
    this.#static.configure(model);
    this.#followModel();
    this.#static.follow((name) => this.#instanceUp(name));
    if (this.#started) {
      this.#reconsider(this.routers);
      for (const router of this.routers) router.step({ type: 'settings' });
      if (globals.fifoWriteStatesOnReload) this.#writeStates();
    } else {
      this.#start();
    }
  }

  /** A BFD session that instances may track has changed. */
  bfdChanged(name: string, up: boolean): void {
    if (this.trackers.bfd(name, up)) this.#reconsider(this.routers);
  }

  /** Every address of this machine that comes or goes is told in the log. */
  reportAddresses(): void {
    this.interfaces.onAddress = (address, name, present) => {
      const how = present ? 'added to' : 'removed from';
      this.#log.info(`Netlink reflector reports IP ${address} ${how} ${name}`);
    };
  }

  /**
   * Resigns everywhere, takes addresses away, tells everybody, and lets go of everything.
   * @param stay nobody resigns, and addresses, routes, rules and devices stay as they are (`--dont-release-vrrp`)
   */
  async stop(stay = false): Promise<void> {
    this.#stopping = true;
    // All resignations leave before anything else takes time.
    if (!stay) for (const router of this.routers) router.resign();
    for (const router of this.routers) {
      if (stay) router.leave();
      else router.stop('STOP');
    }
    for (const group of this.groups) group.stop();
    if (!stay) {
      this.#static.remove();
      for (const router of this.routers) this.virtualMacs.release(router.model);
    }
    await Promise.race([
      this.#dataplane?.flush(),
      new Promise((resolve) => setTimeout(resolve, 2000).unref()),
    ]);
    this.#dataplane?.close();
    this.#tellAll();
    await this.#companion.end();
    this.interfaces.close();
    this.announcer.close();
    this.#netlink.close();
    this.poller.close();
  }

  #start(): void {
    const { startupDelay, delayAfterBoot } = this.model.globals;
    const uptime = Number(readFileSync('/proc/uptime', 'latin1').split(' ')[0]) * 1000;
    const wait = Math.max(startupDelay, delayAfterBoot - uptime);
    this.#dropStale();
    if (wait > 0) {
      this.#log.info(`Delaying startup for ${(wait / 1000).toFixed(3)} seconds`);
      this.poller.after(wait, () => this.#begin(), 'start-up delay');
    } else {
      this.#begin();
    }
  }

  #begin(): void {
    this.#started = true;
    this.#reconsider(this.routers);
  }

  /** What an earlier run left in place is known before anybody starts: see VirtualRouter.recognise. */
  #dropStale(): void {
    for (const router of this.routers) {
      if (router.model.dpdkInterface !== undefined) continue;
      this.#recognise(router, this.#kernel);
    }
  }

  #recognise(router: VirtualRouter, sink: AddressSink): void {
    const left = sink.leftBehind(this.#place(router.model));
    if (left.length === 0) return;
    this.#log.info(`(${router.name}) ${left.length} addresses are in place from an earlier run`);
    router.recognise(left);
  }

  /** Routers and groups as the model wants them. Whoever stays keeps state and addresses. */
  #followModel(): void {
    const old = new Map(this.routers.map((router) => [identity(router.model), router]));
    const oldGroups = new Map(this.groups.map((group) => [group.model.name, group]));
    const next: VirtualRouter[] = [];
    for (const instance of this.model.instances) {
      const known = old.get(identity(instance));
      if (known) {
        old.delete(identity(instance));
        known.configure(instance);
        next.push(known);
      } else {
        next.push(new VirtualRouter(instance, this.#around));
      }
    }
    for (const router of old.values()) {
      this.#log.info(`(${router.name}) removed by the new configuration`);
      router.stop(router.model.notify.deleted ? 'DELETED' : 'FAULT');
      this.#stateChanged(router.name, false);
      this.virtualMacs.release(router.model);
    }
    this.routers = next;
    this.groups = this.model.syncGroups.map((model) => {
      const group =
        oldGroups.get(model.name) ?? new RouterGroup(model, (one) => this.#notify(one), this.#log);
      group.model = model;
      group.members = next.filter(({ name }) => model.members.includes(name));
      return group;
    });
    for (const router of next) router.grouped = this.#groupOf(router) !== undefined;
    for (const router of next) this.#promote(router.model);
  }

  #promote(instance: VrrpInstance): void {
    if (!instance.promoteSecondaries || instance.interface === undefined) return;
    this.#sysctl(`net/ipv4/conf/${instance.interface}/promote_secondaries`, '1');
  }

  #sysctl(name: string, value: string): void {
    try {
      writeFileSync(`/proc/sys/${name}`, value);
    } catch (error) {
      this.#log.warning(`cannot set ${name.replaceAll('/', '.')} to ${value}: ${(error as Error).message}`);
    }
  }

  readonly #around: RouterSurroundings = this.#surroundings();

  #surroundings(): RouterSurroundings {
    const director = this;
    return {
      get clock() {
        return director.poller;
      },
      get transport() {
        return director.#transport;
      },
      get routes() {
        return director.#routes;
      },
      get devices() {
        return director.virtualMacs;
      },
      get log() {
        return director.#log;
      },
      get noFaultMail() {
        return director.model.globals.noEmailFaults;
      },
      sink: (instance) => this.#sink(instance),
      place: (instance) => this.#place(instance),
      notify: (notification) => this.#notify(notification),
      stateChanged: (name, master) => this.#stateChanged(name, master),
      settle: (router, yielded) => this.#groupOf(router)?.settle(router, yielded),
    };
  }

  #groupOf(router: VirtualRouter): RouterGroup | undefined {
    return this.groups.find(({ members }) => members.includes(router));
  }

  #sink(instance: VrrpInstance): AddressSink {
    return instance.dpdkInterface !== undefined && this.#dataplane ? this.#dataplane : this.#kernel;
  }

  #place(instance: VrrpInstance): PlacedAddress[] {
    const where = (spec: VirtualAddress) => {
      if (instance.dpdkInterface !== undefined) return instance.dpdkInterface;
      const device = this.virtualMacs.device(instance, spec.interface);
      return device?.name ?? spec.interface ?? instance.interface ?? '';
    };
    return [...instance.virtualAddresses, ...instance.excludedAddresses].map((spec) => ({
      spec,
      interface: where(spec),
    }));
  }

  #notify(notification: Notification): void {
    const stopping = this.#stopping;
    this.#afterwards(() => this.#companion.notify(notification, stopping));
  }

  #stateChanged(name: string, master: boolean): void {
    this.#afterwards(() => this.onState(name, master));
  }

  /** In this order, but not before other routers that take over at the same moment have done so. */
  #afterwards(work: () => void): void {
    if (this.#talk.push(work) === 1) setImmediate(() => this.#tellAll());
  }

  #tellAll(): void {
    for (const work of this.#talk.splice(0)) work();
  }

  #reported(report: CompanionReport): void {
    const sentence = this.trackers.report(report);
    if (sentence === undefined || this.#stopping) return;
    this.#log.info(sentence);
    if (this.#started) this.#reconsider(this.routers);
  }

  #interfacesChanged(names: ReadonlySet<string>): void {
    if (!this.#started || this.#stopping) return;
    this.#reconsider(
      this.routers.filter((router) =>
        interfacesOf(router.model, this.#groupOf(router)?.model).some((name) => names.has(name)),
      ),
    );
    this.#static.follow((name) => this.#instanceUp(name));
  }

  #dataplaneChanged(): void {
    if (this.#stopping) return;
    const dataplane = this.#dataplane!;
    const concerned = this.routers.filter(({ model }) => model.dpdkInterface !== undefined);
    if (dataplane.available) {
      for (const router of concerned) {
        if (router.state.name === 'init') this.#recognise(router, dataplane);
      }
      dataplane.forgetExcept(concerned.flatMap((router) => this.#place(router.model)));
    }
    if (this.#started) this.#reconsider(concerned);
  }

  #instanceUp(name: string): boolean {
    const router = this.routers.find((one) => one.name === name);
    const device = router?.model.interface;
    return device === undefined || (this.interfaces.get(device)?.up ?? false);
  }

  /** Looks at everything that routers depend upon, and lets them follow. */
  #reconsider(routers: readonly VirtualRouter[]): void {
    const pending = new Set<VirtualRouter>();
    for (const router of routers) {
      const view = this.trackers.view(router.model, this.#groupOf(router)?.model, this.interfaces);
      const path = this.#path(router.model);
      const problem = router.travel(path.path);
      router.faults = [...path.faults, ...view.faults, ...(problem === undefined ? [] : [problem])];
      const { priority } = router.model;
      router.reprioritise(
        effectivePriority(priority, view.contributions, view.adjustments),
        totalPriority(priority, view.contributions, view.adjustments),
      );
      if (view.pending || (router.model.dpdkInterface !== undefined && !this.#dataplane?.known))
        pending.add(router);
    }
    const groups = new Set<RouterGroup>();
    for (const router of routers) {
      const group = this.#groupOf(router);
      if (group) groups.add(group);
      // A tracker or a dataplane that has not spoken yet holds the start back: nobody takes over, or is in fault, on a guess.
      if (router.state.name === 'init' && pending.has(router)) continue;
      if (router.faults.length > 0 || group?.faulty) router.step({ type: 'fault' });
      else if (router.state.name === 'init') {
        group?.begin();
        router.step({ type: 'start' });
      } else if (router.state.name === 'fault') router.step({ type: 'recover' });
    }
    for (const group of groups) group.settle(undefined, false);
    for (const router of routers) {
      if (router.state.name === 'backup') this.#sink(router.model).prepare(this.#place(router.model));
    }
  }

  /** How the adverts of an instance travel, and what is missing for that. */
  #path(instance: VrrpInstance): { path?: Path; faults: string[] } {
    const faults: string[] = [];
    const unicast = instance.unicastPeers !== undefined;
    if (unicast && instance.unicastPeers!.length === 0 && instance.unicastFaultNoPeer) {
      faults.push('there is no unicast peer');
    }
    if (instance.dpdkInterface !== undefined && this.#dataplane?.known && !this.#dataplane.available)
      faults.push(
        this.#dataplane.connected
          ? 'the dataplane does not have its services yet'
          : 'the dataplane does not answer',
      );
    const one = instance.interface === undefined ? undefined : this.interfaces.get(instance.interface);
    if (instance.interface !== undefined && !one) {
      return { faults: [...faults, `interface ${instance.interface} does not exist`] };
    }
    if (one && !one.up && !instance.dontTrackPrimary) faults.push(`interface ${one.link.name} is down`);
    for (const spec of [...instance.virtualAddresses, ...instance.excludedAddresses]) {
      const name = spec.interface;
      if (name === undefined || spec.noTrack || name === instance.interface || instance.dpdkInterface)
        continue;
      if (!this.interfaces.get(name)?.up) faults.push(`interface ${name} of address ${spec.address} is down`);
    }
    const configured = instance.sourceAddress;
    if (
      configured !== undefined &&
      instance.trackSourceAddress &&
      !this.#present(configured, instance.interface)
    ) {
      faults.push(`source address ${configured} is missing`);
    }
    const source =
      configured === undefined
        ? one && primaryAddress(one, instance.family, (address) => this.#virtual.has(address))
        : parseIp(configured);
    if (!source) {
      const kind = instance.family === 'ipv4' ? 'no IPv4 address' : 'no IPv6 link-local address';
      return { faults: [...faults, `${kind} on interface ${instance.interface ?? '(none)'}`] };
    }
    const problem = this.virtualMacs.prepare(instance, this.model.globals);
    if (problem !== undefined) faults.push(problem);
    const device = instance.virtualMac?.kind === 'macvlan' && !instance.virtualMac.transmitBase && !unicast;
    const path: Path = {
      family: instance.family,
      protocol: protocolOf(instance),
      source,
      unicast,
      group: parseIp(instance.multicastGroup),
      ttl: unicast ? (instance.unicastTtl ?? MULTICAST_TTL) : MULTICAST_TTL,
      ...(one ? { interface: { name: one.link.name, index: one.link.index } } : {}),
      // The frames leave by the base interface with the virtual MAC: that works while the device itself is still down.
      ...(one && device ? { sender: { index: one.link.index, mac: virtualMac(instance) } } : {}),
      ...(instance.vrf === undefined ? {} : { vrf: instance.vrf }),
      ...this.#receiveBuffer(instance, one?.link.mtu),
    };
    return { path, faults };
  }

  #receiveBuffer(instance: VrrpInstance, mtu: number | undefined): { receiveBuffer?: number } {
    if (instance.kernelReceiveBuffer !== undefined) return { receiveBuffer: instance.kernelReceiveBuffer };
    const { receiveBufferPolicy: policy, receiveBufferMultiplier: multiplier } = this.model.globals;
    if (policy === undefined) return {};
    if (typeof policy === 'number') return { receiveBuffer: policy };
    const advert = 60 + instance.virtualAddresses.length * (instance.family === 'ipv4' ? 4 : 16);
    // The kernel counts its bookkeeping too: a small packet takes 768 bytes.
    return { receiveBuffer: multiplier * Math.max(768, policy === 'mtu' ? (mtu ?? 1500) : advert) };
  }

  #present(address: string, on: string | undefined): boolean {
    const text = formatIp(parseIp(address));
    return this.interfaces
      .all()
      .some(
        (one) =>
          (on === undefined || one.link.name === on) &&
          [...one.addresses.values()].some((known) => formatIp(known.address) === text),
      );
  }

  #writeStates(): void {
    for (const router of this.routers) {
      if (router.state.name === 'init') continue;
      const state = router.state.name.toUpperCase();
      this.#notify({ scripts: [], fifo: `INSTANCE "${router.name}" ${state} ${router.priority}` });
    }
    for (const group of this.groups) {
      if (group.state !== 'INIT')
        this.#notify({ scripts: [], fifo: `GROUP "${group.model.name}" ${group.state} 0` });
    }
  }
}

/** What makes an instance the same across a reload; its name does not. */
function identity(instance: VrrpInstance): string {
  const unicast = instance.unicastPeers !== undefined;
  return JSON.stringify([
    instance.virtualRouterId,
    instance.family,
    instance.interface ?? '',
    unicast,
    unicast ? (instance.sourceAddress ?? '') : instance.multicastGroup,
    instance.virtualMac ?? null,
    instance.dpdkInterface ?? '',
  ]);
}

/** Interfaces whose changes concern an instance. */
function interfacesOf(
  instance: VrrpInstance,
  group: { trackInterfaces: { name: string }[] } | undefined,
): string[] {
  const names = [
    ...instance.trackInterfaces.map(({ name }) => name),
    ...(group?.trackInterfaces.map(({ name }) => name) ?? []),
    ...[...instance.virtualAddresses, ...instance.excludedAddresses].flatMap(
      ({ interface: name }) => name ?? [],
    ),
  ];
  if (instance.interface !== undefined) names.push(instance.interface);
  return names;
}

function trackedNames(model: VrrpModel): Record<'scripts' | 'files' | 'processes', Set<string>> {
  const of = (list: 'trackScripts' | 'trackFiles' | 'trackProcesses') =>
    new Set([...model.instances, ...model.syncGroups].flatMap((one) => one[list].map(({ name }) => name)));
  return { scripts: of('trackScripts'), files: of('trackFiles'), processes: of('trackProcesses') };
}
