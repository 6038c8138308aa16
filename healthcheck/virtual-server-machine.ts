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
  readonly identity: string;
  readonly members: MemberState[];
  /** Members that are down; the server is alive when it is 0. */
  failed: number;
  /** Configured weight plus contributions, 0..2147483647. */
  weight: number;
}

const MAX_WEIGHT = 2_147_483_647;

export function isAlive(server: RealServerState): boolean {
  return server.failed === 0;
}

export class VirtualServerMachine {
  readonly model: VirtualServer;
  readonly identity: string;
  readonly name: string;
  readonly servers: RealServerState[];
  quorumUp = true;
  #liveWeight = 0;
  #initNotifies: boolean;
  #mailPerServer: boolean;

  /**
   * @param before the machine of the same virtual server before a reload: servers that it knew keep their state, and so do
   *   checkers that `sameChecker` finds equal; everything else starts as after a fresh start
   */
  constructor(
    model: VirtualServer,
    options: {
      initNotifies?: boolean;
      mailPerServer?: boolean;
      before?: VirtualServerMachine | undefined;
      sameChecker?: (a: Checker, b: Checker) => boolean;
    } = {},
  ) {
    this.model = model;
    this.identity = virtualServerIdentity(model);
    this.name = virtualServerName(model);
    this.#initNotifies = options.initNotifies ?? false;
    this.#mailPerServer = options.mailPerServer ?? false;
    const old = new Map((options.before?.servers ?? []).map((server) => [server.identity, server]));
    const same = options.sameChecker ?? (() => false);
    this.servers = model.realServers.map((server) => {
      const state = freshServer(server);
      const known = old.get(state.identity);
      if (known) carryOver(state, known, same);
      return state;
    });
    this.#count();
    this.quorumUp = options.before?.quorumUp ?? this.#liveWeight >= model.quorum + model.hysteresis;
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
    const old = new Map((before?.servers ?? []).map((server) => [server.identity, server]));
    for (const server of this.servers) {
      const known = old.get(server.identity);
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
    for (const gone of before?.servers ?? []) {
      if (!this.servers.some((server) => server.identity === gone.identity)) {
        actions.push({ kind: 'log', line: this.#change(gone, false) });
        if (isAlive(gone))
          actions.push({ kind: 'server-notify', server: gone, up: false, stopping: false });
      }
    }
    this.#judgeQuorum(actions, true, before !== undefined && before.sorry);
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
    if (alive !== wasAlive) this.#judgeQuorum(actions, false);
    return actions;
  }

  /** A checker wants the server's weight moved by `contribution` from the configured one. */
  contribute(server: RealServerState, member: MemberState, contribution: number): Action[] {
    if (member.contribution === contribution) return [];
    member.contribution = contribution;
    const before = server.weight;
    server.weight = effectiveWeight(server);
    if (server.weight === before) return [];
    const actions: Action[] = [this.#weightLog(server, before)];
    if (isAlive(server)) {
      this.#liveWeight += server.weight - before;
      actions.push({ kind: 'place', server });
    }
    this.#judgeQuorum(actions, false);
    return actions;
  }

  /** The program ends: with omega every live server and the quorum are reported as lost. */
  stop(): Action[] {
    const actions: Action[] = [];
    for (const server of this.servers) {
      if (!isAlive(server)) continue;
      actions.push({ kind: 'log', line: `Removing service ${this.#rs(server)} from VS ${this.name}` });
      if (this.model.omega) actions.push({ kind: 'server-notify', server, up: false, stopping: true });
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

  #judgeQuorum(actions: Action[], initial: boolean, sorryBefore = false): void {
    const { quorum, hysteresis, sorryServer } = this.model;
    const weight = this.#liveWeight;
    const threshold = this.quorumUp ? quorum - hysteresis : quorum + hysteresis;
    if (!this.quorumUp) {
      if (weight >= threshold) {
        this.quorumUp = true;
        const sum = `Gained quorum ${quorum}+${hysteresis}=${threshold} <= ${weight}`;
        actions.push({ kind: 'log', line: `${sum} for VS ${this.name}` });
        if (sorryServer) {
          const verb = sorryServer.inhibit ? 'Disabling' : 'Removing';
          actions.push({
            kind: 'log',
            line: `${verb} sorry server ${this.#rs({ model: sorryServer })} from VS ${this.name}`,
          });
          actions.push({ kind: 'place' });
        }
        actions.push({ kind: 'service-notify', up: true, detail: `=> ${sum} <=`, stopping: false });
        return;
      }
    }
    const lost = this.quorumUp && (weight === 0 || weight < threshold);
    if (!lost && !(initial && !this.quorumUp && sorryServer && !sorryBefore)) return;
    this.quorumUp = false;
    const sum = `Lost quorum ${quorum}-${hysteresis}=${quorum - hysteresis} > ${weight}`;
    actions.push({ kind: 'log', line: `${sum} for VS ${this.name}` });
    if (sorryServer) {
      const verb = sorryServer.inhibit ? 'Enabling' : 'Adding';
      actions.push({
        kind: 'log',
        line: `${verb} sorry server ${this.#rs({ model: sorryServer })} to VS ${this.name}`,
      });
      actions.push({ kind: 'place' });
    }
    actions.push({ kind: 'service-notify', up: false, detail: `=> ${sum} <=`, stopping: false });
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
    return `${verb} ${inhibit ? '(inhibit) ' : ''}service ${this.#rs(server)} ${preposition} VS ${this.name}`;
  }

  #weightLog(server: RealServerState, before: number): Action {
    const active = isAlive(server) ? 'active' : 'inactive';
    return {
      kind: 'log',
      line: `Changing weight from ${before} to ${server.weight} for ${active} service ${this.#rs(server)} of VS ${this.name}`,
    };
  }
}

function freshServer(model: RealServer): RealServerState {
  const members = model.checkers.map((checker): MemberState => {
    return { checker, up: !checker.alpha, hasRun: false, contribution: 0 };
  });
  return {
    model,
    identity: realServerIdentity(model),
    members,
    failed: members.filter((member) => !member.up).length,
    weight: clampWeight(model.weight),
  };
}

function carryOver(
  state: RealServerState,
  known: RealServerState,
  same: (a: Checker, b: Checker) => boolean,
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
  state.weight = effectiveWeight(state);
}

function effectiveWeight(server: RealServerState): number {
  let weight = server.model.weight;
  for (const member of server.members) weight += member.contribution;
  return clampWeight(weight);
}

function clampWeight(weight: number): number {
  return Math.max(0, Math.min(MAX_WEIGHT, Math.round(weight)));
}
