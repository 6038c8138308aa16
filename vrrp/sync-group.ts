import type { ElectionEvent, ElectionState } from './election.js';

/** A member of a sync group as the group sees it. */
export interface Member {
  state: ElectionState;
  /** Something that this member tracks fails. */
  faulty: boolean;
}

export type GroupState = 'INIT' | 'BACKUP' | 'MASTER' | 'FAULT';

/**
 * What the members of a sync group must do so that they stay together: all are master or none is, and one fault is everybody's.
 * To be asked after every step of a member, until nothing is left to do.
 * @param yielded index of the member that has just given way to a better master, or -1
 * @returns for each member that has to act its event
 */
export function unite(members: readonly Member[], yielded = -1): { member: number; event: ElectionEvent }[] {
  const events: { member: number; event: ElectionEvent }[] = [];
  const tell = (wanted: (member: Member) => boolean, event: ElectionEvent) => {
    for (const [index, member] of members.entries())
      if (wanted(member)) events.push({ member: index, event });
  };
  if (members.some(({ faulty }) => faulty)) {
    tell(({ state }) => state.name !== 'fault' && state.name !== 'init', { type: 'fault' });
  } else if (members.some(({ state }) => state.name === 'fault')) {
    tell(({ state }) => state.name === 'fault', { type: 'recover' });
  } else if (yielded >= 0) {
    tell(({ state }) => state.name === 'master', { type: 'group-backup' });
  } else if (members.every(({ state }) => state.name === 'master' || state.wantsMaster)) {
    tell(({ state }) => state.name === 'backup', { type: 'group-master' });
  }
  return events;
}

/** The state of the group as its notifications tell it. */
export function groupState(members: readonly Member[]): GroupState {
  if (members.some(({ state }) => state.name === 'fault')) return 'FAULT';
  if (members.some(({ state }) => state.name === 'init')) return 'INIT';
  return members.every(({ state }) => state.name === 'master') ? 'MASTER' : 'BACKUP';
}
