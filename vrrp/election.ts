/**
 * The election of one virtual router (RFC 9568 6, RFC 3768 6) as a pure function: a state and an event give a new state and
 * what is to be done. Times are milliseconds of one monotonic clock; nothing here waits, sends or reads a clock.
 */

export interface ElectionSettings {
  /** Effective priority 1..254, or 255 when `owner`. */
  priority: number;
  /** This node owns the addresses: priority 255, never changed by trackers. */
  owner: boolean;
  version: 2 | 3;
  /** Own interval, milliseconds. */
  advertInterval: number;
  /** Missed adverts until the master counts as down, default 3. */
  downTimerAdverts: number;
  initialState: 'master' | 'backup';
  /**
   * An earlier run of this node was master and its addresses are still in place: with preempt it goes on at once, which is
   * what the network takes it for; without, it listens for one interval whether another has become master meanwhile.
   */
  resumes?: boolean;
  preempt: boolean;
  /** Milliseconds during which a master of lower priority is left alone; 0: none. */
  preemptDelay: number;
  lowerPriorityNoAdvert: boolean;
  higherPrioritySendAdvert: boolean;
  ownerIgnoreAdverts: boolean;
  /**
   * Highest priority 1..254 of the other nodes: a nopreempt master that could not run for so long that such a node has taken
   * over becomes backup instead of preempting it with its late advert; absent: it goes on.
   */
  timerExpiredBackupPriority?: number;
  /** Own source address, to decide between equal priorities. */
  address: Uint8Array;
}

export interface ElectionState {
  /** `init`: not started; `fault`: started, but something that is tracked fails. */
  name: 'init' | 'backup' | 'master' | 'fault';
  /** When `timer` is due: master: next advert; backup: the master counts as down. */
  deadline?: number;
  /** Backup: the down timer has expired and only the other members of the sync group are waited for. */
  wantsMaster: boolean;
  /** Interval of the master heard last (version 3 backups adopt it). */
  masterInterval: number;
  /** The master heard last; absent: none since the last change. */
  master?: { source: Uint8Array; priority: number };
  /** Backup: end of the preempt delay, which a lower-priority master has started. */
  preemptAt?: number;
}

export type ElectionEvent =
  | { type: 'start' }
  | { type: 'timer' }
  | { type: 'advert'; source: Uint8Array; priority: number; interval: number }
  /** Something tracked fails, or the sync group is in fault. */
  | { type: 'fault' }
  /** Everything tracked is well again. */
  | { type: 'recover' }
  /** The sync group decides that all members become master, or backup. */
  | { type: 'group-master' }
  | { type: 'group-backup' }
  /** Priority or interval changed (trackers, reload). */
  | { type: 'settings' }
  | { type: 'stop' };

export type ElectionAction =
  /** Send an advert; `priority` 0 resigns. */
  | { do: 'send'; priority: number }
  /** Own the addresses: to be done after the advert that comes before it in the list. */
  | { do: 'become-master' }
  /** Give the addresses up. */
  | { do: 'become-backup' }
  | { do: 'become-fault' }
  /** The group must agree before this member becomes master. */
  | { do: 'ask-group' }
  /** A second master with lower priority is around: remind the network of who owns the addresses. */
  | { do: 'announce-again'; source: Uint8Array; priority: number }
  /** Two masters have been seen at the same time. */
  | { do: 'split-brain'; source: Uint8Array; priority: number };

export interface Step {
  state: ElectionState;
  actions: ElectionAction[];
}

export const initialElection: ElectionState = {
  name: 'init',
  wantsMaster: false,
  masterInterval: 1000,
};

/** Skew_Time: the lower the priority, the longer (RFC 9568 6.1; version 2 counts in seconds, RFC 3768 6.1). */
export function skewTime(settings: ElectionSettings, masterInterval: number): number {
  const unit = settings.version === 2 ? 1000 : masterInterval;
  return ((256 - settings.priority) * unit) / 256;
}

/** Active_Down_Interval: silence after which a backup takes over. */
export function masterDownInterval(settings: ElectionSettings, masterInterval: number): number {
  return settings.downTimerAdverts * masterInterval + skewTime(settings, masterInterval);
}

/** Part of its interval by which a master's advert may be early. */
const EARLY = 1 / 20;

/**
 * How much earlier than due a master may send: adverts of many routers can then leave together. A backup's timer is never
 * early.
 */
export function timerSlack(state: ElectionState, settings: Pick<ElectionSettings, 'advertInterval'>): number {
  return state.name === 'master' ? settings.advertInterval * EARLY : 0;
}

/** Order of addresses as unsigned numbers in network order. */
export function compareAddresses(a: Uint8Array, b: Uint8Array): number {
  for (let i = 0; i < a.length && i < b.length; i++) {
    if (a[i] !== b[i]) return a[i]! - b[i]!;
  }
  return a.length - b.length;
}

/**
 * One step of the election.
 * @param now milliseconds; a `timer` event before `state.deadline` changes nothing
 * @param grouped whether a sync group must agree before this router becomes master
 */
export function elect(
  state: ElectionState,
  event: ElectionEvent,
  settings: ElectionSettings,
  now: number,
  grouped = false,
): Step {
  switch (event.type) {
    case 'start':
      return state.name === 'init' ? enter(state, settings, now, grouped) : { state, actions: [] };
    case 'recover':
      return state.name === 'fault' ? enter(state, settings, now, grouped) : { state, actions: [] };
    case 'fault':
      return fault(state);
    case 'stop':
      return {
        state: { ...idle(state), name: 'init' },
        actions: state.name === 'master' ? [{ do: 'send', priority: 0 }, { do: 'become-backup' }] : [],
      };
    case 'group-master':
      return state.name === 'backup' ? becomeMaster(settings, now) : { state, actions: [] };
    case 'group-backup':
      return groupBackup(state, settings, now);
    case 'settings':
      return changed(state, settings, now);
    case 'timer':
      return timer(state, settings, now, grouped);
    case 'advert':
      if (state.name === 'backup') return backupHears(state, event, settings, now);
      if (state.name === 'master') return masterHears(state, event, settings, now);
      return { state, actions: [] };
  }
}

/** What no state keeps across a fault or a stop. */
function idle(state: ElectionState): ElectionState {
  return { name: state.name, wantsMaster: false, masterInterval: state.masterInterval };
}

/** From init or fault into the election (RFC 9568 6.4.1). */
function enter(state: ElectionState, settings: ElectionSettings, now: number, grouped: boolean): Step {
  const masterInterval = settings.advertInterval;
  const resumes = state.name === 'init' && settings.resumes === true;
  const atOnce = settings.owner || (resumes && settings.preempt);
  if (atOnce && !grouped) return becomeMaster(settings, now);
  // A node configured as MASTER does not wait three intervals: after one it would have heard a better master.
  const impatient = resumes || (state.name === 'init' && settings.initialState === 'master');
  const wait = atOnce
    ? 0
    : impatient
      ? masterInterval + skewTime(settings, masterInterval)
      : masterDownInterval(settings, masterInterval);
  return {
    state: { ...idle(state), name: 'backup', masterInterval, deadline: now + wait },
    actions: [{ do: 'become-backup' }],
  };
}

function becomeMaster(settings: ElectionSettings, now: number): Step {
  const next: ElectionState = {
    name: 'master',
    deadline: now + settings.advertInterval,
    wantsMaster: false,
    masterInterval: settings.advertInterval,
  };
  return {
    state: next,
    actions: [{ do: 'send', priority: settings.priority }, { do: 'become-master' }],
  };
}

function becomeBackup(
  settings: ElectionSettings,
  now: number,
  masterInterval: number,
  master?: ElectionState['master'],
): Step {
  return {
    state: {
      name: 'backup',
      deadline: now + masterDownInterval(settings, masterInterval),
      wantsMaster: false,
      masterInterval,
      ...(master ? { master } : {}),
    },
    actions: [{ do: 'become-backup' }],
  };
}

function fault(state: ElectionState): Step {
  if (state.name === 'fault') return { state, actions: [] };
  const next: ElectionState = { ...idle(state), name: 'fault' };
  return state.name === 'master'
    ? { state: next, actions: [{ do: 'send', priority: 0 }, { do: 'become-fault' }] }
    : { state: next, actions: [{ do: 'become-fault' }] };
}

function groupBackup(state: ElectionState, settings: ElectionSettings, now: number): Step {
  if (state.name !== 'master') return { state, actions: [] };
  const step = becomeBackup(settings, now, settings.advertInterval);
  return { state: step.state, actions: [{ do: 'send', priority: 0 }, ...step.actions] };
}

function changed(state: ElectionState, settings: ElectionSettings, now: number): Step {
  if (state.name === 'master') {
    // A shorter interval must hold at once: backups that were reloaded first are counting already.
    const deadline = Math.min(state.deadline ?? now, now + settings.advertInterval);
    return { state: { ...state, deadline, masterInterval: settings.advertInterval }, actions: [] };
  }
  if (state.name !== 'backup' || state.wantsMaster) return { state, actions: [] };
  const masterInterval =
    settings.version === 2 || !state.master ? settings.advertInterval : state.masterInterval;
  const deadline = Math.min(state.deadline ?? now, now + masterDownInterval(settings, masterInterval));
  return { state: { ...state, masterInterval, deadline }, actions: [] };
}

function timer(state: ElectionState, settings: ElectionSettings, now: number, grouped: boolean): Step {
  if (state.deadline === undefined || now < state.deadline - timerSlack(state, settings)) {
    return { state, actions: [] };
  }
  if (state.name === 'master') {
    if (overslept(state.deadline, settings, now)) return becomeBackup(settings, now, settings.advertInterval);
    // From due time to due time, so that lateness does not add up; after a long stop there is nothing to catch up with.
    const next = state.deadline + settings.advertInterval;
    const deadline = next > now ? next : now + settings.advertInterval;
    return {
      state: { ...state, deadline },
      actions: [{ do: 'send', priority: settings.priority }],
    };
  }
  if (state.name !== 'backup') return { state, actions: [] };
  if (!grouped) return becomeMaster(settings, now);
  const { deadline: _deadline, ...rest } = state;
  return { state: { ...rest, wantsMaster: true }, actions: [{ do: 'ask-group' }] };
}

/** Whether another node has certainly taken over while this master could not send. */
function overslept(deadline: number, settings: ElectionSettings, now: number): boolean {
  const other = settings.timerExpiredBackupPriority;
  if (other === undefined || settings.preempt) return false;
  const silence = now - deadline + settings.advertInterval;
  return silence > masterDownInterval({ ...settings, priority: other }, settings.advertInterval);
}

/** RFC 9568 6.4.2. */
function backupHears(
  state: ElectionState,
  advert: { source: Uint8Array; priority: number; interval: number },
  settings: ElectionSettings,
  now: number,
): Step {
  const masterInterval =
    settings.version === 3 && advert.interval > 0 ? advert.interval : settings.advertInterval;
  const known = state.master;
  const master =
    known?.source === advert.source && known.priority === advert.priority
      ? known
      : { source: advert.source, priority: advert.priority };
  // Written out, not copied from the state before: this is the one step that a backup takes with every advert.
  const until = (deadline: number): ElectionState => ({
    name: state.name,
    deadline,
    wantsMaster: false,
    masterInterval,
    master,
  });
  if (advert.priority === 0) return { state: until(now + skewTime(settings, masterInterval)), actions: [] };
  const respected = until(now + masterDownInterval(settings, masterInterval));
  if (!settings.preempt || advert.priority >= settings.priority) return { state: respected, actions: [] };
  if (settings.preemptDelay > 0) {
    const end = state.preemptAt ?? now + settings.preemptDelay;
    if (now < end) return { state: { ...respected, preemptAt: end }, actions: [] };
    return { state: { ...state, master, preemptAt: end }, actions: [] };
  }
  // Discarded: the timer runs on, and we take over when it expires.
  return { state: { ...state, master }, actions: [] };
}

/** RFC 9568 6.4.3. */
function masterHears(
  state: ElectionState,
  advert: { source: Uint8Array; priority: number; interval: number },
  settings: ElectionSettings,
  now: number,
): Step {
  const own = settings.priority;
  const again: ElectionAction = { do: 'send', priority: own };
  if (settings.owner && settings.ownerIgnoreAdverts) return { state, actions: [] };
  if (advert.priority === 0) {
    return { state: { ...state, deadline: now + settings.advertInterval }, actions: [again] };
  }
  const seen: ElectionAction = { do: 'split-brain', source: advert.source, priority: advert.priority };
  const order = advert.priority - own || compareAddresses(advert.source, settings.address);
  if (order > 0) {
    const interval =
      settings.version === 3 && advert.interval > 0 ? advert.interval : settings.advertInterval;
    const step = becomeBackup(settings, now, interval, {
      source: advert.source,
      priority: advert.priority,
    });
    const first = settings.higherPrioritySendAdvert ? [again] : [];
    return { state: step.state, actions: [seen, ...first, ...step.actions] };
  }
  const reminder: ElectionAction = {
    do: 'announce-again',
    source: advert.source,
    priority: advert.priority,
  };
  if (settings.lowerPriorityNoAdvert) return { state, actions: [seen, reminder] };
  return { state: { ...state, deadline: now + settings.advertInterval }, actions: [seen, again, reminder] };
}
