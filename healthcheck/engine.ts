import type { HealthcheckPart } from '../keepalived/model/index.js';
import type {
  BfdCheck,
  Checker,
  FileCheck,
  LoadBalancing,
  VirtualServer,
} from '../keepalived/model/virtual-server.js';
import type { Notify } from '../keepalived/notify/index.js';
import type { Clock, Timer } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import { AddressWatch } from './address-watch.js';
import { CheckRunner } from './check-runner.js';
import { mailDetail } from './check-texts.js';
import { listsFor } from './director/closing.js';
import { serverRow, serviceKeys, serviceOf } from './director/desired.js';
import type { Director } from './director/director.js';
import { keyText, type Service, type ServiceEntry, sameRow, serverText } from './director/table.js';
import { FileWatch, fileEffect } from './file-check.js';
import { realServerIdentity, realServerName, virtualServerIdentity } from './names.js';
import type { ProbeContext } from './probe.js';
import { probeIdentity, scheduleIdentity } from './probes.js';
import type { Reactor } from './sockets.js';
import {
  type Action,
  isAlive,
  type MemberState,
  type RealServerState,
  VirtualServerMachine,
} from './virtual-server-machine.js';

/** One virtual server at work: its machine, its services in the dataplane, and the checks its servers hang on. */
export class Runtime {
  readonly machine: VirtualServerMachine;
  readonly entries: ServiceEntry[];
  readonly names: string[];
  /** ha_suspend: its address is not here, checks rest. */
  suspended = false;

  constructor(machine: VirtualServerMachine, entries: ServiceEntry[]) {
    this.machine = machine;
    this.entries = entries;
    this.names = entries.map((entry) => keyText(entry.key));
  }
}

/** One server's interest in a check. */
export interface Subscription {
  runtime: Runtime;
  server: RealServerState;
  member: MemberState;
}

export interface EngineOptions {
  clock: Clock;
  log: Log;
  notify: Notify;
  director: Director;
  reactor: Reactor;
  random?: () => number;
  /** Log every address of this machine that comes or goes. */
  addressMonitoring?: boolean;
  /** Told of every virtual server at start and reload, and when its quorum comes or goes; `up` undefined: it is no more. */
  onQuorum?: (name: string, addresses: string[], up: boolean | undefined) => void;
}

/** How long the start waits for a dataplane that is there to tell what is in place. Milliseconds. */
const CONTACT_LIMIT = 5000;

/**
 * The health checker: virtual servers of the configuration, their checks, and the dataplane's table that follows from both.
 */
export class Engine {
  readonly runner: CheckRunner;
  readonly runtimes = new Map<string, Runtime>();
  readonly #options: EngineOptions;
  readonly #files: FileWatch;
  readonly #addresses: AddressWatch;
  #part: HealthcheckPart | undefined;
  /** Checks that follow events: FILE_CHECK by path, BFD_CHECK by session. */
  #fileSubscribers = new Map<string, (Subscription & { check: FileCheck })[]>();
  #bfdSubscribers = new Map<string, (Subscription & { check: BfdCheck })[]>();
  readonly #bfdStates = new Map<string, boolean>();
  #suspension: Timer | undefined;

  constructor(options: EngineOptions) {
    this.#options = options;
    this.runner = new CheckRunner(
      options.clock,
      options.log,
      options.reactor,
      options.random ?? Math.random,
      {
        change: (subscription, up, detail) => this.#verdict(subscription, up, detail),
        contribution: (subscription, amount) => this.#contribute(subscription, amount),
      },
    );
    this.#files = new FileWatch(options.clock, (path, value) => this.#fileChanged(path, value));
    options.director.onAddresses = () => this.#addresses.dataplaneChanged(options.director.connected);
    options.director.onReturn = (lostAt) => this.runner.lookAgain(lostAt);
    this.#addresses = new AddressWatch({
      clock: options.clock,
      changed: () => this.#judgeSuspension(),
      dataplane: options.director.hasAddresses ? () => options.director.addresses() : undefined,
      heard: options.addressMonitoring
        ? (address, present) =>
            options.log.info(`Netlink reflector reports IP ${address} ${present ? 'added' : 'removed'}`)
        : undefined,
      failed: (reason) => options.log.warning(`addresses of this machine cannot be watched: ${reason}`),
    });
  }

  get model(): LoadBalancing | undefined {
    return this.#part?.loadBalancing;
  }

  /** Puts a configuration in force: the first one, or a reload that keeps everything that did not change. */
  async apply(part: HealthcheckPart, reload: boolean): Promise<void> {
    const { director, notify, log, reactor, clock } = this.#options;
    const model = part.loadBalancing;
    if (!reload) await director.contact(CONTACT_LIMIT);
    this.#part = part;
    if (reload) notify.update(part.global);
    const timeouts = part.global.lvsTimeouts ?? {};
    const seconds = (value: number | undefined) => Math.ceil((value ?? 0) / 1000);
    director.setTimeouts(seconds(timeouts.tcp), seconds(timeouts.tcpfin), seconds(timeouts.udp));
    // Rows of ours are those of a run that crashed: traffic that still flows is not to be cut.
    if (!reload && part.global.lvsFlush && director.applied.size === 0) director.order({ kind: 'flush' });

    const before = new Map(this.runtimes);
    const context: ProbeContext = { reactor, clock, log, notify, global: part.global };
    const oldRows = new Map(before);
    this.runtimes.clear();
    this.runner.beginUpdate(context, model);
    const files = new Map<string, (Subscription & { check: FileCheck })[]>();
    const bfd = new Map<string, (Subscription & { check: BfdCheck })[]>();
    this.#fileSubscribers = files;
    this.#bfdSubscribers = bfd;
    const started: { runtime: Runtime; old: Runtime | undefined }[] = [];
    const owned = new Map<string, string>();

    for (const vs of model.virtualServers) {
      const runtime = this.#runtime(vs, model, part, before, owned, reload);
      started.push({ runtime, old: before.get(runtime.machine.identity) });
      this.runtimes.set(runtime.machine.identity, runtime);
      oldRows.delete(runtime.machine.identity);
      for (const server of runtime.machine.servers) {
        for (const member of server.members) this.#subscribe({ runtime, server, member }, model, files, bfd);
      }
    }
    this.runner.endUpdate();

    for (const { runtime, old } of started) {
      this.#place(runtime, old);
      this.#perform(runtime, runtime.machine.start(old?.machine));
    }
    for (const gone of oldRows.values()) this.#retire(gone, owned);
    for (const runtime of this.runtimes.values()) this.#tellQuorum(runtime, runtime.machine.quorumUp);
    for (const [identity, gone] of oldRows)
      if (!this.runtimes.has(identity)) this.#tellQuorum(gone, undefined);
    this.#files.watch([...files.keys()]);
    await this.#watchAddresses();
    for (const [name, up] of this.#bfdStates) this.bfdEvent(name, up);
  }

  /** A BFD session came up or went down. Sessions that nobody asked for are remembered for a later reload. */
  bfdEvent(name: string, up: boolean): void {
    this.#bfdStates.set(name, up);
    for (const subscription of this.#bfdSubscribers.get(name) ?? []) {
      const detail = mailDetail(subscription.check, up);
      this.#verdict(subscription, up, detail);
    }
  }

  /**
   * Ends the work.
   * @param release takes our services out of the dataplane; otherwise everything stays as it is
   */
  async stop(release: boolean): Promise<void> {
    const { director, notify } = this.#options;
    this.runner.stop();
    this.#files.close();
    this.#addresses.close();
    this.#suspension?.cancel();
    for (const runtime of this.runtimes.values()) {
      if (!release) continue;
      this.#perform(runtime, runtime.machine.stop());
    }
    if (release) {
      if (this.#part?.global.lvsFlushOnStop === 'all') director.order({ kind: 'flush' });
      for (const name of [...director.desired.keys()]) director.remove(name);
      await director.settled();
    }
    director.stop();
    await notify.close();
  }

  #runtime(
    vs: VirtualServer,
    model: LoadBalancing,
    part: HealthcheckPart,
    before: Map<string, Runtime>,
    owned: Map<string, string>,
    reload: boolean,
  ): Runtime {
    const { log, director } = this.#options;
    let identity = virtualServerIdentity(vs);
    while (this.runtimes.has(identity)) identity += ' again';
    const old = before.get(identity);
    const machine = new VirtualServerMachine(vs, {
      identity,
      initNotifies: part.global.rsInitNotifies ?? false,
      mailPerServer: part.global.noCheckerEmails ?? false,
      dpvs: part.global.dialect === 'dpvs',
      before: old?.machine,
      sameChecker: (a, b) => probeIdentity(a) === probeIdentity(b),
    });
    const shape = serviceOf(vs, model);
    const oldEntries = new Map(old?.names.map((name, index) => [name, old.entries[index]!]) ?? []);
    const entries: ServiceEntry[] = [];
    for (const key of serviceKeys(vs, model)) {
      const name = keyText(key);
      const owner = owned.get(name);
      if (owner !== undefined) {
        log.warning(
          `${machine.name}: ${name} belongs to another virtual server of the file already, left out here`,
        );
        continue;
      }
      owned.set(name, identity);
      const known = oldEntries.get(name);
      // Rows that mean the same stay the same objects: the director then need not compare them field by field.
      const service: Service =
        known && sameRow(known.service, shape.service) ? known.service : { ...shape.service };
      entries.push({
        key,
        service,
        locals: shape.locals,
        lists: listsFor(key, shape.lists),
        servers: new Map(),
      });
    }
    const runtime = new Runtime(machine, entries);
    runtime.suspended = old?.suspended ?? false;
    if (!reload) this.#resume(machine, entries, director);
    return runtime;
  }

  /**
   * After a crash of ours the dataplane still has our table: servers that were out stay out until their checks say otherwise.
   */
  #resume(machine: VirtualServerMachine, entries: ServiceEntry[], director: Director): void {
    const there = entries.map((entry) => director.applied.get(keyText(entry.key))).find((entry) => entry);
    if (!there) return;
    let resumed = 0;
    const sorry = machine.model.sorryServer;
    const sorryRow = sorry && there.servers.get(serverText(sorry));
    // With the sorry server in charge every server is out of the table, which says nothing about each of them.
    if (sorryRow && !sorryRow.inhibited) return;
    for (const server of machine.servers) {
      const row = there.servers.get(serverText(server.model));
      if ((!row || row.inhibited) && isAlive(server) && machine.assumeDown(server)) resumed++;
    }
    if (resumed > 0) {
      this.#options.log.notice(
        `${machine.name}: ${resumed} servers were out before and stay out until checked`,
      );
    }
  }

  #subscribe(
    subscription: Subscription,
    model: LoadBalancing,
    files: Map<string, (Subscription & { check: FileCheck })[]>,
    bfd: Map<string, (Subscription & { check: BfdCheck })[]>,
  ): void {
    const { checker } = subscription.member;
    const remember = <C extends Checker>(
      map: Map<string, (Subscription & { check: C })[]>,
      name: string,
      check: C,
    ) => {
      const list = map.get(name);
      const entry = { ...subscription, check };
      if (list) list.push(entry);
      else map.set(name, [entry]);
    };
    if (checker.kind === 'FILE_CHECK') {
      const file = model.trackFiles[checker.trackFile];
      if (file) remember(files, file.path, checker);
      else this.#options.log.warning(`FILE_CHECK: there is no track_file '${checker.trackFile}'`);
    } else if (checker.kind === 'BFD_CHECK') remember(bfd, checker.name, checker);
    else {
      const { runtime, server } = subscription;
      const proxy = runtime.machine.model.proxyProtocol;
      const virtualHost = server.model.virtualHost ?? runtime.machine.model.virtualHost;
      const shared = model.engine.shareProbes && checker.kind !== 'MISC_CHECK';
      const place = server.members.indexOf(subscription.member);
      const owner = shared ? '' : `${runtime.machine.identity} ${realServerIdentity(server.model)} ${place}`;
      const identity = scheduleIdentity(checker, proxy, virtualHost, owner);
      this.runner.subscribe(identity, checker, { proxy, virtualHost }, subscription);
    }
  }

  /** All rows of a virtual server, after a start or reload. */
  #place(runtime: Runtime, old: Runtime | undefined): void {
    const { director } = this.#options;
    for (const entry of runtime.entries) director.put(entry);
    const kept = new Set(runtime.names);
    for (const name of old?.names ?? []) if (!kept.has(name)) director.remove(name);
    this.#placeAll(runtime, old);
  }

  #placeAll(runtime: Runtime, old?: Runtime): void {
    const { machine } = runtime;
    const before = old?.entries[0]?.servers;
    for (const server of machine.servers) this.#placeServer(runtime, server, before);
    const { sorryServer } = machine.model;
    if (!sorryServer) return;
    const placement = machine.sorryPlacement();
    const name = serverText(sorryServer);
    // A real server of the same address speaks for itself while the sorry server has nothing to say.
    const shared = machine.servers.some((server) => serverText(server.model) === name);
    if (shared && !machine.sorry) return;
    this.#row(runtime, name, placement && serverRow(sorryServer, placement));
  }

  #placeServer(runtime: Runtime, server: RealServerState, before = runtime.entries[0]?.servers): void {
    const placement = runtime.machine.placement(server);
    const row = placement && serverRow(server.model, placement);
    const name = serverText(server.model);
    const { machine } = runtime;
    if (machine.sorry && machine.model.sorryServer && serverText(machine.model.sorryServer) === name) return;
    const known = before?.get(name);
    this.#row(runtime, name, row && known && sameRow(known, row) ? known : row);
  }

  #row(runtime: Runtime, name: string, row: ReturnType<typeof serverRow> | undefined): void {
    const { director } = this.#options;
    for (const [index, entry] of runtime.entries.entries()) {
      if (entry.servers.get(name) === row) continue;
      if (row) entry.servers.set(name, row);
      else entry.servers.delete(name);
      director.touch(runtime.names[index]!);
    }
  }

  #retire(gone: Runtime, owned: Map<string, string>): void {
    const { director } = this.#options;
    const actions = gone.machine.retire();
    this.#perform(gone, actions, true);
    for (const name of gone.names) if (!owned.has(name)) director.remove(name);
  }

  #verdict(subscription: Subscription, up: boolean, detail: string): void {
    const { runtime, server, member } = subscription;
    if (runtime.suspended) return;
    this.#perform(runtime, runtime.machine.verdict(server, member, up, detail));
  }

  #contribute(subscription: Subscription, amount: number): void {
    const { runtime, server, member } = subscription;
    this.#perform(runtime, runtime.machine.contribute(server, member, amount));
  }

  #perform(runtime: Runtime, actions: Action[], gone = false): void {
    const { log, notify } = this.#options;
    const { machine } = runtime;
    for (const action of actions) {
      switch (action.kind) {
        case 'log':
          log.info(action.line);
          break;
        case 'place':
          if (gone) break;
          if (action.server) this.#placeServer(runtime, action.server);
          else this.#placeAll(runtime);
          break;
        case 'server-notify': {
          const { model } = action.server;
          const name = realServerName(machine.model, model);
          const script = action.up ? model.notifyUp : model.notifyDown;
          if (script) void notify.script(script, [], action.stopping ? { timeout: 1000 } : {});
          notify.fifo(`RS ${name} ${machine.name} ${action.up ? 'UP' : 'DOWN'}`);
          break;
        }
        case 'service-notify': {
          if (!gone) this.#tellQuorum(runtime, action.up);
          const script = action.up ? machine.model.quorumUp : machine.model.quorumDown;
          if (script) void notify.script(script, [], action.stopping ? { timeout: 1000 } : {});
          notify.fifo(`VS ${machine.name} ${action.up ? 'UP' : 'DOWN'}`);
          if (machine.model.smtpAlert) {
            notify.mail(`Virtualserver ${machine.name} - ${action.up ? 'UP' : 'DOWN'}`, action.detail);
          }
          break;
        }
        case 'server-mail': {
          const name = realServerName(machine.model, action.server.model);
          notify.mail(
            `Realserver ${name} of virtual server ${machine.name} - ${action.up ? 'UP' : 'DOWN'}`,
            action.detail,
          );
          break;
        }
      }
    }
  }

  #tellQuorum(runtime: Runtime, up: boolean | undefined): void {
    const addresses = runtime.entries.flatMap(({ key }) => (key.kind === 'address' ? [key.address] : []));
    this.#options.onQuorum?.(runtime.machine.identity, [...new Set(addresses)], up);
  }

  #fileChanged(path: string, value: number): void {
    const model = this.model;
    if (!model) return;
    for (const subscription of this.#fileSubscribers.get(path) ?? []) {
      const { up, contribution } = fileEffect(subscription.check, value);
      this.#contribute(subscription, contribution);
      this.#verdict(subscription, up, mailDetail(subscription.check, up));
    }
  }

  async #watchAddresses(): Promise<void> {
    const addresses = new Set<string>();
    for (const { machine } of this.runtimes.values()) {
      const { haSuspend, target } = machine.model;
      if (haSuspend && target.kind === 'address') addresses.add(target.address);
    }
    await this.#addresses.watch(addresses);
    this.#judgeSuspension();
  }

  #judgeSuspension(): void {
    for (const runtime of this.runtimes.values()) {
      const { haSuspend, target } = runtime.machine.model;
      const suspended = haSuspend && target.kind === 'address' && !this.#addresses.present(target.address);
      if (suspended === runtime.suspended) continue;
      runtime.suspended = suspended;
      this.#options.log.info(
        `${suspended ? 'Suspending' : 'Activating'} healthchecks of VS ${runtime.machine.name}`,
      );
      if (!suspended) this.runner.resume(runtime);
    }
  }

  /** Milliseconds of the engine's clock. */
  now(): number {
    return this.#options.clock.now();
  }
}
