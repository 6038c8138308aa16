import type { VrrpSyncGroup } from '../keepalived/model/vrrp.js';
import type { Log } from '../lib/log.js';
import { type Notification, type NotifiedState, notificationOf } from './notifications.js';
import { type GroupState, groupState, type Member, unite } from './sync-group.js';
import type { VirtualRouter } from './virtual-router.js';

/** A sync group at work. */
export class RouterGroup {
  model: VrrpSyncGroup;
  members: VirtualRouter[] = [];
  state: GroupState = 'INIT';
  readonly #notify: (notification: Notification) => void;
  readonly #log: Log;
  #depth = 0;

  constructor(model: VrrpSyncGroup, notify: (notification: Notification) => void, log: Log) {
    this.model = model;
    this.#notify = notify;
    this.#log = log;
  }

  /** Makes the members follow each other; called after every step of one of them. */
  settle(router: VirtualRouter | undefined, yielded: boolean): void {
    this.#depth++;
    const index = router && yielded ? this.members.indexOf(router) : -1;
    for (const { member, event } of unite(this.#view(), index)) this.members[member]!.step(event);
    this.#depth--;
    // The outermost call sees where the group has come to rest.
    if (this.#depth === 0) this.#tell();
  }

  /** Tells the outside that the group begins; as in keepalived this comes before the members' own first word. */
  begin(): void {
    if (this.state !== 'INIT') return;
    this.state = 'BACKUP';
    this.#notifyState('BACKUP');
  }

  /** Tells the outside that the group ends. */
  stop(): void {
    this.#notifyState('STOP');
  }

  get faulty(): boolean {
    return this.members.some(({ faults }) => faults.length > 0);
  }

  #view(): Member[] {
    return this.members.map(({ state, faults }) => ({ state, faulty: faults.length > 0 }));
  }

  #tell(): void {
    const state = groupState(this.#view());
    if (state === this.state || state === 'INIT') return;
    this.state = state;
    this.#log.info(`VRRP_Group(${this.model.name}) Syncing instances to ${state} state`);
    this.#notifyState(state);
  }

  #notifyState(state: NotifiedState): void {
    const { name, notify, smtpAlert } = this.model;
    this.#notify(notificationOf({ kind: 'GROUP', name, notify, smtpAlert }, state, 0));
  }
}
