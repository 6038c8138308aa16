import type { Clock, Timer } from '../lib/clock.js';

/** How a virtual address stands in routing. `drained`: announced at a metric that sends new flows elsewhere. */
export type Standing = 'withdrawn' | 'announced' | 'drained';

/** What an address ought to be, and why, in words for `status`. */
export interface Wish {
  standing: Standing;
  reason: string;
  /** The operator's own doing, or ours at the end: it is no flapping. */
  deliberate?: boolean;
}

export interface Change {
  address: string;
  from: Standing;
  to: Standing;
}

export interface AnnouncementSettings {
  /** Least time between two changes of one address, milliseconds. */
  spacing: number;
  /** All addresses are parts of one LSA, so that the spacing holds for all of them together. */
  shared: boolean;
  /** How long an address that was lost must be well before it is announced again, milliseconds. */
  hold: number;
  damping: boolean;
}

/** Damping as RFC 2439 describes it: a loss costs so much, half is forgiven in this time, and between these limits one is out. */
const PENALTY = 1000;
const HALF_LIFE = 60_000;
const SUPPRESS = 3500;
const REUSE = 1500;
const CEILING = 8000;

/** Pauses before a change that the kernel refused is tried again, milliseconds. */
const FIRST_RETRY = 1000;
const LAST_RETRY = 30_000;

/** An address as `status` shows it. */
export interface Announcement {
  address: string;
  standing: Standing;
  wish: Wish;
  /** Clock time of the last change. */
  since: number;
  penalty: number;
  suppressed: boolean;
  /** Why the kernel did not take the change. */
  error: string | undefined;
}

/** Changes that went together. */
export interface Batch {
  addresses: number;
  /** From the decision, or from the moment when spacing, hold and damping allowed it, until the kernel had all of them. */
  milliseconds: number;
}

interface Entry {
  standing: Standing;
  wish: Wish;
  wishedAt: number;
  changedAt: number;
  wellSince: number;
  lost: boolean;
  penalty: number;
  penaltyAt: number;
  suppressed: boolean;
  error: string | undefined;
  retry: number;
  retryAt: number;
  /** To be forgotten as soon as it is withdrawn. */
  gone: boolean;
}

/**
 * When each address changes: wishes go in, batches of changes come out, spaced and damped. Routers take an LSA that changes
 * again within a second for a repetition (MinLSArrival, RFC 2328 13) and notice only when it is sent anew, seconds later: so
 * the second change waits, and is quicker for it.
 */
export class Announcements {
  readonly #clock: Clock;
  readonly #apply: (changes: Change[]) => ReadonlyMap<string, string>;
  readonly #entries = new Map<string, Entry>();
  #settings: AnnouncementSettings;
  #lastChange = Number.NEGATIVE_INFINITY;
  #lastBatch: Batch | undefined;
  #timer: Timer | undefined;
  #timerAt = Number.POSITIVE_INFINITY;

  /** @param apply carries a batch out; returns a sentence for each address that was refused */
  constructor(
    clock: Clock,
    settings: AnnouncementSettings,
    apply: (changes: Change[]) => ReadonlyMap<string, string>,
  ) {
    this.#clock = clock;
    this.#settings = settings;
    this.#apply = apply;
  }

  set settings(settings: AnnouncementSettings) {
    this.#settings = settings;
    this.#schedule();
  }

  /** What is in place from an earlier run; it counts as ours and as old. */
  adopt(address: string, standing: Standing): void {
    const entry = this.#entry(address);
    entry.standing = standing;
    entry.wish = { standing, reason: 'found in place' };
  }

  /** What an address ought to be from now on. */
  wish(address: string, wish: Wish): void {
    const entry = this.#entry(address);
    const now = this.#clock.now();
    const wasWell = entry.wish.standing !== 'withdrawn';
    const isWell = wish.standing !== 'withdrawn';
    if (isWell && !wasWell) entry.wellSince = now;
    if (!isWell && wasWell) {
      entry.lost = !wish.deliberate;
      if (!wish.deliberate) this.#punish(entry, now);
    }
    if (wish.standing !== entry.wish.standing) entry.wishedAt = now;
    entry.wish = wish;
    entry.gone = false;
    this.#consider(entry);
  }

  /** An address that is of no concern any more is withdrawn, and forgotten when that is done. */
  forget(address: string, reason: string): void {
    const entry = this.#entries.get(address);
    if (!entry) return;
    if (entry.standing === 'withdrawn') this.#entries.delete(address);
    else {
      this.wish(address, { standing: 'withdrawn', reason, deliberate: true });
      entry.gone = true;
    }
  }

  /** The kernel says otherwise than we believed: somebody else took it away, or put it back. */
  correct(address: string, standing: Standing): void {
    const entry = this.#entries.get(address);
    if (!entry || entry.standing === standing) return;
    entry.standing = standing;
    this.#consider(entry);
  }

  /** Carries out everything that is wished, at once and without spacing: for the end. */
  flush(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#perform([...this.#entries].filter(([, entry]) => entry.standing !== entry.wish.standing));
  }

  close(): void {
    this.#timer?.cancel();
  }

  list(): Announcement[] {
    const now = this.#clock.now();
    return [...this.#entries].map(([address, entry]) => ({
      address,
      standing: entry.standing,
      wish: entry.wish,
      since: entry.changedAt,
      penalty: Math.round(penaltyNow(entry, now)),
      suppressed: entry.suppressed,
      error: entry.error,
    }));
  }

  /** The last changes; undefined when there were none. */
  get lastBatch(): Batch | undefined {
    return this.#lastBatch;
  }

  get(address: string): Standing {
    return this.#entries.get(address)?.standing ?? 'withdrawn';
  }

  #entry(address: string): Entry {
    let entry = this.#entries.get(address);
    if (!entry) {
      entry = {
        standing: 'withdrawn',
        wish: { standing: 'withdrawn', reason: 'not considered yet' },
        wishedAt: Number.NEGATIVE_INFINITY,
        changedAt: Number.NEGATIVE_INFINITY,
        wellSince: Number.NEGATIVE_INFINITY,
        lost: false,
        penalty: 0,
        penaltyAt: 0,
        suppressed: false,
        error: undefined,
        retry: FIRST_RETRY,
        retryAt: Number.NEGATIVE_INFINITY,
        gone: false,
      };
      this.#entries.set(address, entry);
    }
    return entry;
  }

  #punish(entry: Entry, now: number): void {
    entry.penalty = Math.min(CEILING, penaltyNow(entry, now) + PENALTY);
    entry.penaltyAt = now;
    if (this.#settings.damping && entry.penalty >= SUPPRESS) entry.suppressed = true;
  }

  /** When the wish of this entry may be carried out. */
  #due(entry: Entry): number {
    const { spacing, shared, hold, damping } = this.#settings;
    let due = Math.max((shared ? this.#lastChange : entry.changedAt) + spacing, entry.retryAt);
    if (entry.standing === 'withdrawn') {
      if (entry.lost) due = Math.max(due, entry.wellSince + hold);
      if (damping && entry.suppressed) due = Math.max(due, reuseAt(entry));
    }
    return due;
  }

  #schedule(): void {
    let soonest = Number.POSITIVE_INFINITY;
    for (const entry of this.#entries.values()) {
      if (entry.standing !== entry.wish.standing) soonest = Math.min(soonest, this.#due(entry));
    }
    this.#wake(soonest);
  }

  /** One wish has changed: what it means for the next turn. A turn that comes too early does no harm. */
  #consider(entry: Entry): void {
    if (entry.standing === entry.wish.standing) return;
    const due = this.#due(entry);
    if (!this.#timer || due < this.#timerAt) this.#wake(due);
  }

  #wake(at: number): void {
    this.#timer?.cancel();
    this.#timer = undefined;
    this.#timerAt = at;
    if (at === Number.POSITIVE_INFINITY) return;
    // Never at once: what is wished in the same turn goes in the same batch.
    this.#timer = this.#clock.after(at - this.#clock.now(), () => this.#turn(), 'announcements');
  }

  #turn(): void {
    this.#timer = undefined;
    const now = this.#clock.now();
    this.#perform(
      [...this.#entries].filter(
        ([, entry]) => entry.standing !== entry.wish.standing && this.#due(entry) <= now,
      ),
    );
    this.#schedule();
  }

  #perform(due: [string, Entry][]): void {
    if (due.length === 0) return;
    const now = this.#clock.now();
    const since = due.reduce(
      (first, [, entry]) => Math.min(first, Math.max(entry.wishedAt, this.#due(entry))),
      now,
    );
    const refused = this.#apply(
      due.map(([address, entry]) => ({ address, from: entry.standing, to: entry.wish.standing })),
    );
    this.#lastBatch = { addresses: due.length, milliseconds: this.#clock.now() - since };
    this.#lastChange = now;
    for (const [address, entry] of due) {
      const error = refused.get(address);
      entry.error = error;
      if (error !== undefined) {
        entry.retryAt = now + entry.retry;
        entry.retry = Math.min(LAST_RETRY, entry.retry * 2);
        continue;
      }
      entry.retry = FIRST_RETRY;
      entry.standing = entry.wish.standing;
      entry.changedAt = now;
      if (entry.gone) this.#entries.delete(address);
      if (entry.standing !== 'withdrawn') {
        entry.lost = false;
        entry.suppressed = false;
      }
    }
  }
}

function penaltyNow(entry: Entry, now: number): number {
  return entry.penalty * 2 ** ((entry.penaltyAt - now) / HALF_LIFE);
}

/** When the penalty has sunk so far that the address may come back. */
function reuseAt(entry: Entry): number {
  return entry.penaltyAt + HALF_LIFE * Math.log2(Math.max(1, entry.penalty / REUSE));
}
