import type { LoadBalancing, ScheduledCheck } from '../keepalived/model/virtual-server.js';
import type { Clock, Timer } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import { checkSubject, failureLines, mailDetail, successLine } from './check-texts.js';
import { advance, type CheckerPolicy, type CheckerState, initialState } from './checker-machine.js';
import type { Runtime, Subscription } from './engine.js';
import { Lateness } from './lateness.js';
import { realServerIdentity } from './names.js';
import { deferred, type Probe, type ProbeContext, type Verdict } from './probe.js';
import { makeProbe, policyOf, type Surroundings } from './probes.js';
import type { Reactor } from './sockets.js';
import { Due, TimerWheel } from './timer-wheel.js';

/** A check at work, for one server or for several that ask the same question. */
export class Check extends Due {
  readonly identity: string;
  readonly checker: ScheduledCheck;
  readonly probe: Probe;
  readonly policy: CheckerPolicy;
  state: CheckerState;
  subscriptions: Subscription[];
  /** When it last began, on the engine's clock; undefined: not yet. */
  lastRun: number | undefined;
  lastVerdict: Verdict | undefined;
  /** When its failures last took servers out, on the engine's clock. */
  outSince = Number.NEGATIVE_INFINITY;
  /** Weight that the last success asked for. */
  weight: number | undefined;
  runs = 0;
  failures = 0;
  abort: (() => void) | undefined;
  active = false;
  readonly #runner: CheckRunner;

  constructor(
    runner: CheckRunner,
    identity: string,
    checker: ScheduledCheck,
    probe: Probe,
    policy: CheckerPolicy,
    state: CheckerState,
    subscriptions: Subscription[],
  ) {
    super();
    this.#runner = runner;
    this.identity = identity;
    this.checker = checker;
    this.probe = probe;
    this.policy = policy;
    this.state = state;
    this.subscriptions = subscriptions;
  }

  onDue(): void {
    this.#runner.due(this);
  }
}

/** Where a check's news go. */
export interface CheckNews {
  change(subscription: Subscription, up: boolean, detail: string): void;
  contribution(subscription: Subscription, amount: number): void;
}

/** Starts that may happen at once however low the steady rate is, and per 10 ms. */
const BURST = 64;
/** How much faster than the steady rate a backlog is worked off. */
const CATCH_UP = 2;
const TICK = 10;
const PAUSE = 100;
/** A backlog this old is said in the log. */
const BEHIND = 1000;
/** Looks after the return of a dataplane, milliseconds: its ports and kernel twins have carrier some time after its control socket. */
const LOOKS = [0, 150, 300, 500, 750, 1000, 1500];
/** A check under way for longer than this at such a look has lost what it sent. Milliseconds. */
const LOST = 100;
/** Part of a delay by which it is varied, so that checks that fell together drift apart. */
const JITTER = 0.01;

/**
 * Runs all checks at their times. Starts are paced: a mass of checks that fall due together is spread at no more than twice the
 * steady rate, so that neither servers nor this process see a burst, and the number under way at once is limited.
 */
export class CheckRunner {
  readonly lateness = new Lateness();
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #reactor: Reactor;
  readonly #random: () => number;
  readonly #news: CheckNews;
  readonly #wheel: TimerWheel;
  #checks = new Map<string, Check>();
  #next: Map<string, Check> | undefined;
  #context: ProbeContext | undefined;
  #model: LoadBalancing | undefined;
  /** Checks that are due and have not begun, oldest first from `#head` on. */
  #ready: Check[] = [];
  #head = 0;
  #drain: Timer | undefined;
  /** Starts per millisecond when all goes well. */
  #rate = 0;
  #tokens = BURST;
  #refilled: number;
  #underWay = 0;
  #behind = false;
  #stopped = false;
  /** Checks begun so far. */
  started = 0;
  /** Most checks under way at once. */
  limit = 4096;

  constructor(clock: Clock, log: Log, reactor: Reactor, random: () => number, news: CheckNews) {
    this.#clock = clock;
    this.#log = log;
    this.#reactor = reactor;
    this.#random = random;
    this.#news = news;
    this.#wheel = new TimerWheel(clock, TICK);
    this.#refilled = clock.now();
  }

  /** Checks under way now. */
  get underWay(): number {
    return this.#underWay;
  }

  /** Checks that are due and wait for their turn. */
  get waiting(): number {
    return this.#ready.length - this.#head;
  }

  get sockets(): number {
    return this.#reactor.size;
  }

  checks(): Check[] {
    return [...this.#checks.values()];
  }

  /** Begins a new set of checks; `subscribe` follows for each, then `endUpdate`. */
  beginUpdate(context: ProbeContext, model: LoadBalancing): void {
    this.#context = context;
    this.#model = model;
    this.#next = new Map();
  }

  /**
   * Wants a check. One that ran before under this identity goes on undisturbed.
   * @param identity equal for checks that may be one
   */
  subscribe(
    identity: string,
    checker: ScheduledCheck,
    around: Surroundings,
    subscription: Subscription,
  ): void {
    const next = this.#next!;
    const wanted = next.get(identity);
    if (wanted) {
      wanted.subscriptions.push(subscription);
      return;
    }
    // An array that begins empty and grows has room for 17: here most hold one.
    const subscriptions = [subscription];
    const running = this.#checks.get(identity);
    if (running) running.subscriptions = subscriptions;
    next.set(identity, running ?? this.#fresh(identity, checker, around, subscriptions));
  }

  #fresh(
    identity: string,
    checker: ScheduledCheck,
    around: Surroundings,
    subscriptions: Subscription[],
  ): Check {
    const context = this.#context!;
    const policy = policyOf(checker, context.global.dialect === 'dpvs');
    const { up, hasRun } = subscriptions[0]!.member;
    const state = initialState(up, policy);
    return new Check(
      this,
      identity,
      checker,
      makeProbe(checker, around, context, this.#model!.ssl),
      policy,
      hasRun ? { ...state, hasRun, retries: 0 } : state,
      subscriptions,
    );
  }

  /** Ends what nobody wants any more, begins what is new, and lets newcomers to a running check know what it found. */
  endUpdate(): void {
    const next = this.#next!;
    this.#next = undefined;
    for (const [identity, check] of this.#checks) if (!next.has(identity)) this.#end(check);
    this.#checks = next;
    for (const check of next.values()) {
      if (!check.active) {
        check.active = true;
        this.#rate += 1 / Math.max(1, check.policy.delayLoop);
        const { runtime, server } = check.subscriptions[0]!;
        this.#log.debug(
          `Activating healthchecker for ${check.checker.kind} of ${realServerIdentity(server.model)}, VS ${runtime.machine.name}`,
        );
        this.#wheel.schedule(check, check.checker.warmup * this.#random());
      } else if (check.state.hasRun) this.#tell(check, check.subscriptions);
    }
  }

  /** A virtual server is no longer suspended: it hears what its checks have found meanwhile. */
  resume(runtime: Runtime): void {
    for (const check of this.#checks.values()) {
      if (!check.state.hasRun) continue;
      this.#tell(
        check,
        check.subscriptions.filter((subscription) => subscription.runtime === runtime),
      );
    }
  }

  /**
   * The dataplane is back. Its ports lead to most servers, so that what was found since `lostAt` may have been its absence: servers that
   * went out meanwhile are checked again at once (paced as ever) instead of after their delay, and so are those whose check is under
   * way and waits for an answer to something that was never sent.
   */
  lookAgain(lostAt: number): void {
    for (const delay of LOOKS) {
      this.#clock.after(
        delay,
        () => {
          if (this.#stopped) return;
          for (const check of this.#checks.values()) if (this.#isDoubtful(check, lostAt)) this.#again(check);
        },
        'look again after the dataplane',
      );
    }
  }

  #isDoubtful(check: Check, lostAt: number): boolean {
    if (check.abort) {
      // A script may have done half of what it does.
      const age = this.#clock.now() - check.lastRun!;
      return age > LOST && check.checker.kind !== 'MISC_CHECK';
    }
    // It waits for its turn already.
    if (!check.scheduled) return false;
    const wentOut = !check.state.up && check.outSince >= lostAt;
    return wentOut || (check.lastVerdict?.outcome === 'deferred' && check.lastRun! >= lostAt);
  }

  #again(check: Check): void {
    check.abort?.();
    check.abort = undefined;
    this.#wheel.schedule(check, 0);
  }

  stop(): void {
    this.#stopped = true;
    for (const check of this.#checks.values()) this.#end(check);
    this.#checks = new Map();
    this.#drain?.cancel();
    this.#wheel.clear();
  }

  /** A check's time has come. */
  due(check: Check): void {
    if (check.subscriptions.every(({ runtime }) => runtime.suspended)) {
      this.#wheel.schedule(check, check.policy.delayLoop);
      return;
    }
    if (this.waiting === 0 && this.#mayStart()) {
      this.#start(check);
      return;
    }
    this.#ready.push(check);
    this.#drainLater();
  }

  #drainLater(): void {
    if (this.#drain || this.#stopped) return;
    this.#drain = this.#clock.after(
      TICK,
      () => {
        this.#drain = undefined;
        while (this.waiting > 0 && this.#mayStart()) {
          const check = this.#ready[this.#head++]!;
          if (check.active) this.#start(check);
        }
        if (this.#head > 4096 || this.waiting === 0) {
          this.#ready = this.#ready.slice(this.#head);
          this.#head = 0;
        }
        this.#report();
        if (this.waiting > 0) this.#drainLater();
      },
      'paced checks',
    );
  }

  #mayStart(): boolean {
    if (this.#underWay >= this.limit) return false;
    if (this.#tokens < 1) {
      const now = this.#clock.now();
      const perTick = Math.max(BURST, CATCH_UP * this.#rate * TICK);
      // What a process that was kept from running may make up for at once.
      const most = Math.max(2 * perTick, CATCH_UP * this.#rate * PAUSE);
      this.#tokens = Math.min(most, this.#tokens + ((now - this.#refilled) / TICK) * perTick);
      this.#refilled = now;
      if (this.#tokens < 1) return false;
    }
    this.#tokens--;
    return true;
  }

  #report(): void {
    const oldest = this.#ready[this.#head];
    const late = oldest ? this.#clock.now() - oldest.due : 0;
    if (!this.#behind && late > BEHIND) {
      this.#behind = true;
      this.#log.warning(
        `health checks fall behind: ${this.waiting} wait, the oldest for ${Math.round(late)} ms; ` +
          `${this.#underWay} are under way (limit ${this.limit})`,
      );
    } else if (this.#behind && this.waiting === 0) {
      this.#behind = false;
      this.#log.notice('health checks are on time again');
    }
  }

  #start(check: Check): void {
    const now = this.#clock.now();
    this.lateness.record(now - check.due);
    check.lastRun = now;
    check.runs++;
    this.started++;
    this.#underWay++;
    let answered = false;
    const take = (verdict: Verdict) => {
      if (answered) return;
      answered = true;
      this.#underWay--;
      check.abort = undefined;
      if (check.active) this.#finish(check, verdict, now);
    };
    let abort = () => {};
    try {
      abort = check.probe.run(check.state.step, take);
    } catch (error) {
      // One check that cannot run must not end all others.
      take(deferred((error as Error).message));
    }
    if (!answered) {
      check.abort = () => {
        answered = true;
        this.#underWay--;
        abort();
      };
    }
  }

  #finish(check: Check, verdict: Verdict, began: number): void {
    const { state, change, confirmed, gaveUpAfter, delay } = advance(
      check.state,
      verdict.outcome,
      check.policy,
    );
    const wasOut = check.state.hasRun && !check.state.up;
    const before = check.lastVerdict;
    check.state = state;
    check.lastVerdict = verdict;
    const news = change !== undefined || confirmed === true;
    if (news && !state.up) check.outSince = this.#clock.now();
    if (verdict.outcome === 'failure') {
      check.failures++;
      const first = check.subscriptions[0];
      if (first && (news || (check.checker.logAllFailures && !wasOut))) {
        for (const line of failureLines(
          check.checker,
          first,
          verdict,
          news ? (gaveUpAfter ?? 0) : undefined,
        )) {
          this.#log.info(line);
        }
      }
    } else if (verdict.outcome === 'deferred') {
      // Once per obstacle, however long it lasts.
      if (before?.outcome !== 'deferred' || before.reason !== verdict.reason)
        this.#log.warning(`${checkSubject(check.checker)} put off: ${verdict.reason}`);
    } else {
      check.weight = verdict.weight;
      for (const subscription of check.subscriptions) this.#weigh(check, subscription);
      const first = check.subscriptions[0];
      if (first && news) this.#log.info(successLine(check.checker, first));
    }
    // A script's time counts towards its period; a network check's does not.
    const spent = check.checker.kind === 'MISC_CHECK' ? this.#clock.now() - began : 0;
    const varied = delay * (1 + JITTER * (this.#random() - 0.5));
    this.#wheel.schedule(check, Math.max(0, varied - spent));
    if (news) this.#tell(check, check.subscriptions);
  }

  #tell(check: Check, subscriptions: Subscription[]): void {
    const detail = mailDetail(check.checker, check.state.up);
    for (const subscription of subscriptions) {
      const { member } = subscription;
      this.#weigh(check, subscription);
      if (member.up !== check.state.up || !member.hasRun) {
        this.#news.change(subscription, check.state.up, detail);
      }
    }
  }

  /** A script's weight replaces the configured one; several checks of one server add their differences up. */
  #weigh(check: Check, subscription: Subscription): void {
    const { member, server } = subscription;
    const amount = check.weight === undefined ? 0 : check.weight - server.model.weight;
    if (member.contribution !== amount) this.#news.contribution(subscription, amount);
  }

  #end(check: Check): void {
    if (check.active) this.#rate -= 1 / Math.max(1, check.policy.delayLoop);
    check.active = false;
    check.abort?.();
    check.abort = undefined;
    this.#wheel.cancel(check);
  }
}
