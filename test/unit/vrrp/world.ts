import { VirtualClock } from '../../../lib/clock.js';
import {
  type ElectionEvent,
  type ElectionSettings,
  type ElectionState,
  elect,
  initialElection,
  masterDownInterval,
} from '../../../vrrp/election.js';
import { type Member, unite } from '../../../vrrp/sync-group.js';

/**
 * A small world for the election: nodes with one or more routers each, links that lose and delay, restarts. What goes wrong
 * is decided by a list of choices; when the list is used up, nothing goes wrong any more.
 */
export class World {
  readonly clock = new VirtualClock();
  readonly nodes: Node[];
  readonly #choices: readonly boolean[];
  #next = 0;
  /** When the last choice was made. */
  calmSince = 0;
  readonly interval: number;

  readonly #troubleFrom: number;

  /** @param quiet intervals from the start in which nothing goes wrong: then the first trouble meets nodes that are settled */
  constructor(routers: ElectionSettings[][], choices: readonly boolean[], quiet = 0) {
    this.#choices = choices;
    this.#troubleFrom = quiet * routers[0]![0]!.advertInterval;
    this.interval = routers[0]![0]!.advertInterval;
    this.nodes = routers.map((settings) => new Node(this, settings));
    for (const node of this.nodes) node.start();
    this.clock.after(this.interval, () => this.#mischief());
  }

  /** True: something goes wrong here. */
  choose(): boolean {
    if (this.#next >= this.#choices.length || this.clock.now() < this.#troubleFrom) return false;
    this.calmSince = this.clock.now();
    return this.#choices[this.#next++]!;
  }

  get calm(): boolean {
    return this.#next >= this.#choices.length;
  }

  /** The longest that a message is under way. */
  get longestDelay(): number {
    return this.interval * 1.7;
  }

  send(from: Node, router: number, priority: number): void {
    const settings = from.routers[router]!.settings;
    let delay = 0.1;
    if (this.choose()) {
      if (this.choose()) return;
      delay = this.longestDelay;
    }
    const event = {
      type: 'advert',
      source: settings.address,
      priority,
      interval: settings.advertInterval,
    } as const;
    for (const node of this.nodes) {
      if (node !== from) this.clock.after(delay, () => node.deliver(router, event));
    }
  }

  /** Once an interval a node may lose its power, or be stopped, and come back. */
  #mischief(): void {
    if (this.choose()) this.nodes[this.choose() ? 1 : 0]!.restart(this.interval * 1.5, this.choose());
    if (!this.calm) this.clock.after(this.interval, () => this.#mischief());
  }

  /** Masters of one router right now. */
  masters(router = 0): number {
    return this.nodes.filter((node) => node.routers[router]!.state.name === 'master').length;
  }

  /** The longest time that any node waits for a silent master. */
  get masterDown(): number {
    return Math.max(
      ...this.nodes.flatMap((node) =>
        node.routers.map(({ settings }) => masterDownInterval(settings, settings.advertInterval)),
      ),
    );
  }
}

interface Router {
  settings: ElectionSettings;
  state: ElectionState;
  timer: { cancel(): void } | undefined;
}

class Node {
  readonly routers: Router[];
  readonly #world: World;
  #up = false;

  constructor(world: World, settings: ElectionSettings[]) {
    this.#world = world;
    this.routers = settings.map((one) => ({ settings: one, state: initialElection, timer: undefined }));
  }

  start(): void {
    this.#up = true;
    for (const index of this.routers.keys()) this.#step(index, { type: 'start' });
  }

  /** @param orderly it resigns before it goes; a crash has no last word */
  restart(downFor: number, orderly: boolean): void {
    if (!this.#up) return;
    if (orderly) for (const index of this.routers.keys()) this.#step(index, { type: 'stop' });
    this.#up = false;
    for (const router of this.routers) {
      router.timer?.cancel();
      router.state = initialElection;
    }
    this.#world.clock.after(downFor, () => this.start());
  }

  deliver(router: number, event: ElectionEvent): void {
    if (this.#up) this.#step(router, event);
  }

  #step(index: number, event: ElectionEvent): void {
    const router = this.routers[index]!;
    const grouped = this.routers.length > 1;
    const wasMaster = router.state.name === 'master';
    const { state, actions } = elect(router.state, event, router.settings, this.#world.clock.now(), grouped);
    router.state = state;
    router.timer?.cancel();
    router.timer =
      state.deadline === undefined
        ? undefined
        : this.#world.clock.after(state.deadline - this.#world.clock.now(), () =>
            this.#step(index, { type: 'timer' }),
          );
    for (const action of actions) {
      if (action.do === 'send') this.#world.send(this, index, action.priority);
    }
    if (!grouped) return;
    const members: Member[] = this.routers.map((member) => ({ state: member.state, faulty: false }));
    const yielded = wasMaster && state.name === 'backup' && event.type === 'advert' ? index : -1;
    for (const { member, event: order } of unite(members, yielded)) this.#step(member, order);
  }
}
