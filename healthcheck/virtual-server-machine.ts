import type { Checker, RealServer, SorryServer, VirtualServer } from '../keepalived/model/virtual-server.js';
import { realServerIdentity, realServerName, virtualServerIdentity, virtualServerName } from './names.js';

/**
 * Which servers of one virtual server get traffic, and when its quorum comes and goes. No sockets, no clock: verdicts of checkers
 * go in, actions come out, and `placement` says at any moment how each server should stand in the dataplane.
 */

/** What the world must be told after an event. Placements are read afterwards from `placement` and `sorryPlacement`. */
export type Action =
  /** The placement of one server may have changed; undefined: of all, and of the sorry server. */
  | { kind: 'place'; server?: RealServerState }
  | { kind: 'log'; line: string }
  | { kind: 'server-notify'; server: RealServerState; up: boolean; stopping: boolean }
  | { kind: 'service-notify'; up: boolean; detail: string; stopping: boolean }
  | { kind: 'server-mail'; server: RealServerState; up: boolean; detail: string };

/** How a server stands in the dataplane: absent (undefined), or there with this weight. */
export interface Placement {
  weight: number;
  /** The weight was taken away by us. */
  inhibited: boolean;
}

/** A real server's view of one of its checkers. */
export interface MemberState {
  readonly checker: Checker;
  up: boolean;
  hasRun: boolean;
  /** What the checker adds to the server's weight: MISC_CHECK misc_dynamic, FILE_CHECK. */
  contribution: number;
}

export interface RealServerState {
  readonly model: RealServer;
  readonly members: MemberState[];
  /** Members that are down; the server is alive when it is 0. */
  failed: number;
  /** Configured weight plus contributions, 0..2147483647. */
  weight: number;
}

const MAX_WEIGHT = 2_147_483_647;
/** The largest weight that DPVS's keepalived knows. */
const MAX_WEIGHT_DPVS = 65_535;

export function isAlive(server: RealServerState): boolean {
  return server.failed === 0;
}

export class VirtualServerMachine {
  readonly model: VirtualServer;
  readonly identity: string;
  readonly name: string;
  readonly servers: RealServerState[];
  /** False until the first judgement, which reports the quorum that is there at the start as gained. */
  quorumUp = false;
  #liveWeight = 0;
  #initNotifies: boolean;
  #mailPerServer: boolean;
  readonly #dpvs: boolean;

  /**
   * @param before the machine of the same virtual server before a reload: servers that it knew keep their state, and so do
   *   checkers that `sameChecker` finds equal; everything else starts as after a fresh start
   */
  constructor(
    model: VirtualServer,
    options: {
      /** Its identity, where that of the model is taken by another one of the same file. */
      identity?: string;
      initNotifies?: boolean;
      mailPerServer?: boolean;
      /** Weights as DPVS's keepalived has them: 0..65535, and the check that spoke last has the say. */
      dpvs?: boolean;
      before?: VirtualServerMachine | undefined;
      sameChecker?: (a: Checker, b: Checker) => boolean;
    } = {},
  ) {
    this.model = model;
    this.identity = options.identity ?? virtualServerIdentity(model);
    this.name = virtualServerName(model);
    this.#initNotifies = options.initNotifies ?? false;
    this.#mailPerServer = options.mailPerServer ?? false;
    this.#dpvs = options.dpvs ?? false;
    const old = new Map(
      (options.before?.servers ?? []).map((server) => [realServerIdentity(server.model), server]),
    );
    const same = options.sameChecker ?? (() => false);
    this.servers = model.realServers.map((server) => {
      const state = freshServer(server, this.#largest);
      const known = old.get(realServerIdentity(server));
      if (known) carryOver(state, known, same, this.#largest);
      return state;
    });
    this.#count();
    this.quorumUp = options.before?.quorumUp ?? false;
  }

  get #largest(): number {
    return this.#dpvs ? MAX_WEIGHT_DPVS : MAX_WEIGHT;
  }

  get liveWeight(): number {
    return this.#liveWeight;
  }

  /** The sorry server takes the traffic. */
  get sorry(): boolean {
    return !this.quorumUp && this.model.sorryServer !== undefined;
  }

  /**
   * First actions after construction: everything is placed, quorum is judged with the settings of this model.
   * @param before the machine that this one replaces
   */
  start(before?: VirtualServerMachine): Action[] {
    const actions: Action[] = [{ kind: 'place' }];
    const old = new Map((before?.servers ?? []).map((server) => [realServerIdentity(server.model), server]));
    for (const server of this.servers) {
      const known = old.get(realServerIdentity(server.model));
      if (!known) {
        if (this.#initNotifies && isAlive(server)) {
          actions.push({ kind: 'server-notify', server, up: true, stopping: false });
        }
      } else {
        if (known.weight !== server.weight) actions.push(this.#weightLog(server, known.weight));
        if (isAlive(known) !== isAlive(server)) {
          actions.push({ kind: 'server-notify', server, up: isAlive(server), stopping: false });
        }
      }
    }
    const names = new Set(this.servers.map((server) => realServerIdentity(server.model)));
    for (const gone of before?.servers ?? []) {
      if (names.has(realServerIdentity(gone.model))) continue;
      actions.push({ kind: 'log', line: `service ${this.#rs(gone)} no longer exist` });
      if (isAlive(gone)) actions.push({ kind: 'server-notify', server: gone, up: false, stopping: false });
    }
    this.#judgeQuorum(actions, { before });
    return actions;
  }

  /** Takes a server that was assumed up, and of which nothing is known yet, for down. @returns false when it has no checker */
  assumeDown(server: RealServerState): boolean {
    const member = server.members.find(({ up }) => up);
    if (!member || server.members.some(({ hasRun }) => hasRun)) return false;
    for (const each of server.members) each.up = false;
    server.failed = server.members.length;
    this.#count();
    return true;
  }

  /** The virtual server is no longer configured. */
  retire(): Action[] {
    const actions: Action[] = [{ kind: 'log', line: `Removing Virtual Server ${this.name}` }];
    for (const server of this.servers) {
      if (isAlive(server)) actions.push({ kind: 'server-notify', server, up: false, stopping: false });
    }
    if (this.quorumUp) {
      actions.push({ kind: 'service-notify', up: false, detail: '=> Removing <=', stopping: false });
    }
    return actions;
  }

  /**
   * A checker's belief became known or changed.
   * @param detail body of the mail, e.g. `=> TCP CHECK failed on service <=`
   */
  verdict(server: RealServerState, member: MemberState, up: boolean, detail: string): Action[] {
    const actions: Action[] = [];
    if (member.up === up) {
      if (!member.hasRun) {
        member.hasRun = true;
        const alpha = member.checker.alpha;
        if (alpha || !up) {
          actions.push({ kind: 'server-notify', server, up: isAlive(server), stopping: false });
        }
        this.#mail(actions, server, up, detail, false);
      }
      return actions;
    }
    member.hasRun = true;
    member.up = up;
    const wasAlive = isAlive(server);
    server.failed += up ? -1 : 1;
    const alive = isAlive(server);
    if (alive !== wasAlive) {
      this.#liveWeight += alive ? server.weight : -server.weight;
      actions.push({ kind: 'log', line: this.#change(server, alive) });
      actions.push({ kind: 'place', server });
      actions.push({ kind: 'server-notify', server, up: alive, stopping: false });
    }
    this.#mail(actions, server, up, detail, alive !== wasAlive);
    if (alive !== wasAlive) this.#judgeQuorum(actions);
    return actions;
  }

  /** A checker wants the server's weight moved by `contribution` from the configured one. */
  contribute(server: RealServerState, member: MemberState, contribution: number): Action[] {
    if (member.contribution === contribution) return [];
    if (this.#dpvs) for (const other of server.members) other.contribution = 0;
    member.contribution = contribution;
    const before = server.weight;
    server.weight = effectiveWeight(server, this.#largest);
    if (server.weight === before) return [];
    const actions: Action[] = [this.#weightLog(server, before)];
    if (isAlive(server)) {
      this.#liveWeight += server.weight - before;
      actions.push({ kind: 'place', server });
    }
    this.#judgeQuorum(actions);
    return actions;
  }

  /** The program ends: with omega every live server and the quorum are reported as lost. */
  stop(): Action[] {
    const actions: Action[] = [];
    for (const server of this.servers) {
      const placement = this.placement(server);
      if (placement) {
        const inhibited = placement.inhibited ? '(inhibited) ' : '';
        const line = `Shutting down ${inhibited}service ${this.#rs(server)} from VS ${this.name}`;
        actions.push({ kind: 'log', line });
      }
      if (this.model.omega && isAlive(server))
        actions.push({ kind: 'server-notify', server, up: false, stopping: true });
    }
    if (this.model.omega && this.quorumUp) {
      actions.push({ kind: 'service-notify', up: false, detail: '=> Shutting down <=', stopping: true });
    }
    return actions;
  }

  /** How a real server should stand in the dataplane now. */
  placement(server: RealServerState): Placement | undefined {
    if (isAlive(server) && !this.sorry) return { weight: server.weight, inhibited: false };
    return server.model.inhibitOnFailure ? { weight: 0, inhibited: true } : undefined;
  }

  /** How the sorry server should stand in the dataplane now. */
  sorryPlacement(): Placement | undefined {
    if (!this.model.sorryServer) return undefined;
    if (this.sorry) return { weight: 1, inhibited: false };
    return this.model.sorryServer.inhibit ? { weight: 0, inhibited: true } : undefined;
  }

  #count(): void {
    this.#liveWeight = 0;
    for (const server of this.servers) if (isAlive(server)) this.#liveWeight += server.weight;
  }

  /** @param start given at a start or reload, with the machine that was there before */
  #judgeQuorum(actions: Action[], start?: { before: VirtualServerMachine | undefined }): void {
    const { quorum, hysteresis, sorryServer } = this.model;
    const starting = start !== undefined;
    const before = start?.before;
    const weight = this.#liveWeight;
    const log = (line: string) => actions.push({ kind: 'log', line: `${line} VS ${this.name}` });
    const sorry = sorryServer && `sorry server ${this.#rs({ model: sorryServer })}`;
    const inhibit = sorryServer?.inhibit ?? false;
    if (!this.quorumUp && weight >= quorum + hysteresis) {
      this.quorumUp = true;
      const sum = `Gained quorum ${quorum}+${hysteresis}=${quorum + hysteresis} <= ${weight}`;
      log(`${sum} for`);
      if (sorry && !(starting && !before?.sorry)) {
        log(`${inhibit ? 'Disabling' : 'Removing'} ${sorry} from`);
        log('Adding alive servers to the pool for');
      }
      actions.push({ kind: 'place' });
      actions.push({ kind: 'service-notify', up: true, detail: `=> ${sum} <=`, stopping: false });
      return;
    }
    const lost = this.quorumUp && (weight === 0 || weight < quorum - hysteresis);
    // A sorry server that is there from the start, or newly configured while there is no quorum, takes over at once.
    const takesOver = starting && !this.quorumUp && sorryServer !== undefined && !before?.sorry;
    if (!lost && !takesOver) return;
    this.quorumUp = false;
    const sum = `${quorum}-${hysteresis}=${quorum - hysteresis} > ${weight}`;
    log(lost ? `Lost quorum ${sum} for` : `Starting with quorum down ${sum} for`);
    if (sorry) {
      log(`${inhibit ? 'Enabling' : 'Adding'} ${sorry} to`);
      log('Removing alive servers from the pool for');
    }
    actions.push({ kind: 'place' });
    actions.push({ kind: 'service-notify', up: false, detail: `=> Lost quorum ${sum} <=`, stopping: false });
  }

  #mail(actions: Action[], server: RealServerState, up: boolean, detail: string, changed: boolean): void {
    if (!server.model.smtpAlert || (this.#mailPerServer && !changed)) return;
    actions.push({ kind: 'server-mail', server, up, detail });
  }

  #rs(server: { model: RealServer | SorryServer }): string {
    return realServerName(this.model, server.model);
  }

  #change(server: RealServerState, up: boolean): string {
    const inhibit = server.model.inhibitOnFailure;
    const verb = up ? (inhibit ? 'Enabling' : 'Adding') : inhibit ? 'Disabling' : 'Removing';
    const preposition = inhibit ? 'of' : up ? 'to' : 'from';
    return `${verb} service ${this.#rs(server)} ${preposition} VS ${this.name}`;
  }

  #weightLog(server: RealServerState, before: number): Action {
    const active = isAlive(server) ? 'active' : 'inactive';
    return {
      kind: 'log',
      line: `Changing weight from ${before} to ${server.weight} for ${active} service ${this.#rs(server)} of VS ${this.name}`,
    };
  }
}

function freshServer(model: RealServer, largest: number): RealServerState {
  const members = model.checkers.map((checker): MemberState => {
    return { checker, up: !checker.alpha, hasRun: false, contribution: 0 };
  });
  return {
    model,
    members,
    failed: members.filter((member) => !member.up).length,
    weight: clampWeight(model.weight, largest),
  };
}

function carryOver(
  state: RealServerState,
  known: RealServerState,
  same: (a: Checker, b: Checker) => boolean,
  largest: number,
): void {
  const unclaimed = [...known.members];
  for (const member of state.members) {
    const place = unclaimed.findIndex((old) => same(old.checker, member.checker));
    if (place < 0) continue;
    const [old] = unclaimed.splice(place, 1);
    member.up = old!.up;
    member.hasRun = old!.hasRun;
    member.contribution = old!.contribution;
  }
  state.failed = state.members.filter((member) => !member.up).length;
  state.weight = effectiveWeight(state, largest);
}

function effectiveWeight(server: RealServerState, largest: number): number {
  let weight = server.model.weight;
  for (const member of server.members) weight += member.contribution;
  return clampWeight(weight, largest);
}

function clampWeight(weight: number, largest: number): number {
  return Math.max(0, Math.min(largest, Math.round(weight)));
}
