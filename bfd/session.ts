import type { Clock, Timer } from '../lib/clock.js';
import { type BfdState, type ControlPacket, type Diagnostic, diagnostics } from './packet.js';

/** What of the configuration a session depends upon; intervals in milliseconds, fractions down to the microsecond. */
export interface SessionSettings {
  minTx: number;
  minRx: number;
  /** While the session is not up we send no faster than this (RFC 5880 6.8.3: at least one second). */
  idleTx: number;
  multiplier: number;
  /** Says nothing before the neighbour does. */
  passive: boolean;
}

export interface SessionSurroundings {
  clock: Clock;
  send(packet: ControlPacket): void;
  /** Told of every change of state. */
  changed(state: BfdState, diagnostic: Diagnostic): void;
  /** 0..1, for jitter. */
  random(): number;
}

const NO_DIAGNOSTIC = 0;
const DETECTION_EXPIRED = 1;
const NEIGHBOUR_DOWN = 3;
const ADMIN_DOWN = 7;

/** Milliseconds as the wire's microseconds. */
const wire = (milliseconds: number) => Math.round(milliseconds * 1000);

/** One session in asynchronous mode (RFC 5880 6.8), without sockets and on a clock from outside. */
export class Session {
  readonly discriminator: number;
  readonly #around: SessionSurroundings;
  #settings: SessionSettings;
  #state: BfdState = 'Down';
  #diagnostic = NO_DIAGNOSTIC;
  #remoteState: BfdState = 'Down';
  #remoteDiagnostic = NO_DIAGNOSTIC;
  #remoteDiscriminator = 0;
  /** RFC 5880 6.8.1 bfd.RemoteMinRxInterval and the neighbour's desired interval, milliseconds. */
  #remoteMinRx = 0.001;
  #remoteMinTx = 0;
  #remoteMultiplier = 0;
  #remoteDemand = false;
  /** What we say, and what we go by until the neighbour has confirmed it, milliseconds. */
  #desiredTx: number;
  #usedTx: number;
  #usedRx: number;
  #polling = false;
  #transmit: Timer | undefined;
  #detect: Timer | undefined;
  #closed = false;
  /** Counters for dumps. */
  readonly counters = { sent: 0, received: 0, ups: 0, downs: 0 };

  /** @param discriminator not 0, and no other session's */
  constructor(discriminator: number, settings: SessionSettings, around: SessionSurroundings) {
    this.discriminator = discriminator;
    this.#settings = settings;
    this.#around = around;
    this.#desiredTx = this.#idle;
    this.#usedTx = this.#desiredTx;
    this.#usedRx = settings.minRx;
  }

  get state(): BfdState {
    return this.#state;
  }

  get diagnostic(): Diagnostic {
    return diagnostics[this.#diagnostic] ?? 'No Diagnostic';
  }

  /** What the neighbour says, for dumps; intervals in milliseconds. */
  get remote(): {
    state: BfdState;
    diagnostic: number;
    discriminator: number;
    minTx: number;
    minRx: number;
    multiplier: number;
  } {
    return {
      state: this.#remoteState,
      diagnostic: this.#remoteDiagnostic,
      discriminator: this.#remoteDiscriminator,
      minTx: this.#remoteMinTx,
      minRx: this.#remoteMinRx,
      multiplier: this.#remoteMultiplier,
    };
  }

  /** Milliseconds between our packets, without jitter. */
  get transmitInterval(): number {
    return Math.max(this.#usedTx, this.#remoteMinRx);
  }

  /** After so many milliseconds of silence the session is down (RFC 5880 6.8.4). */
  get detectionTime(): number {
    return this.#remoteMultiplier * Math.max(this.#usedRx, this.#remoteMinTx);
  }

  /** Begins to send, unless it waits for the neighbour. */
  start(): void {
    this.#schedule(0);
  }

  /** New timers: they are told to the neighbour in a poll sequence (RFC 5880 6.8.3), the session stays as it is. */
  configure(settings: SessionSettings): void {
    const before = this.#settings;
    this.#settings = settings;
    const tx = this.#state === 'Up' ? settings.minTx : this.#idle;
    if (tx === this.#desiredTx && settings.minRx === before.minRx) return;
    this.#retime(tx);
  }

  /** A packet that belongs to this session, decoded and checked (RFC 5880 6.8.6). */
  receive(packet: ControlPacket): void {
    if (this.#closed) return;
    this.counters.received++;
    this.#remoteDiscriminator = packet.myDiscriminator;
    this.#remoteState = packet.state;
    this.#remoteDiagnostic = packet.diagnostic;
    this.#remoteDemand = packet.demand;
    this.#remoteMultiplier = packet.detectMultiplier;
    this.#remoteMinTx = packet.desiredMinTx / 1000;
    const before = this.transmitInterval;
    this.#remoteMinRx = packet.requiredMinRx / 1000;
    if (packet.final && this.#polling) {
      this.#polling = false;
      this.#usedTx = this.#desiredTx;
      this.#usedRx = this.#settings.minRx;
    }
    if (packet.state === 'AdminDown') {
      if (this.#state !== 'Down') this.#enter('Down', NEIGHBOUR_DOWN);
    } else if (this.#state === 'Down') {
      if (packet.state === 'Down') this.#enter('Init', NO_DIAGNOSTIC);
      else if (packet.state === 'Init') this.#enter('Up', NO_DIAGNOSTIC);
    } else if (this.#state === 'Init') {
      if (packet.state === 'Init' || packet.state === 'Up') this.#enter('Up', NO_DIAGNOSTIC);
    } else if (packet.state === 'Down') {
      this.#enter('Down', NEIGHBOUR_DOWN);
    }
    // The answer to a poll goes out at once, whatever the interval says (RFC 5880 6.8.7).
    if (packet.poll) this.#send(true);
    this.#watch();
    if (!this.#transmit || this.transmitInterval < before) this.#schedule(this.#jittered());
  }

  /** Tells the neighbour that this is no failure, and ends. */
  close(): void {
    if (this.#closed) return;
    this.#state = 'AdminDown';
    this.#diagnostic = ADMIN_DOWN;
    if (this.#remoteDiscriminator !== 0 || !this.#settings.passive) this.#send(false);
    this.#closed = true;
    this.#transmit?.cancel();
    this.#detect?.cancel();
  }

  get #idle(): number {
    return Math.max(1000, this.#settings.idleTx);
  }

  #enter(state: 'Down' | 'Init' | 'Up', diagnostic: number): void {
    this.#state = state;
    this.#diagnostic = diagnostic;
    if (state === 'Up') {
      this.counters.ups++;
      this.#retime(this.#settings.minTx);
    } else if (state === 'Down') {
      this.counters.downs++;
      this.#polling = false;
      this.#desiredTx = this.#idle;
      this.#usedTx = this.#idle;
      this.#usedRx = this.#settings.minRx;
    }
    // News do not wait for the interval.
    this.#schedule(0);
    this.#around.changed(state, this.diagnostic);
  }

  /** Another interval of ours. What makes us slower, or less attentive, waits until the neighbour knows of it. */
  #retime(tx: number): void {
    this.#desiredTx = tx;
    if (this.#state !== 'Up') {
      this.#usedTx = tx;
      this.#usedRx = this.#settings.minRx;
      return;
    }
    this.#usedTx = Math.min(this.#usedTx, tx);
    this.#usedRx = Math.max(this.#usedRx, this.#settings.minRx);
    this.#polling = true;
    this.#schedule(0);
  }

  #send(final: boolean): void {
    this.counters.sent++;
    this.#around.send({
      diagnostic: this.#diagnostic,
      state: this.#state,
      poll: this.#polling && !final,
      final,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: this.#settings.multiplier,
      myDiscriminator: this.discriminator,
      yourDiscriminator: this.#remoteDiscriminator,
      desiredMinTx: wire(this.#desiredTx),
      requiredMinRx: wire(this.#settings.minRx),
      requiredMinEchoRx: 0,
    });
  }

  /** 75 to 100 % of the interval, with a multiplier of 1 at most 90 % (RFC 5880 6.8.7). */
  #jittered(): number {
    const most = this.#settings.multiplier === 1 ? 0.9 : 1;
    return this.transmitInterval * (0.75 + this.#around.random() * (most - 0.75));
  }

  /** Whether periodic packets are sent at all (RFC 5880 6.8.7). */
  get #silent(): boolean {
    if (this.#settings.passive && this.#remoteDiscriminator === 0) return true;
    if (this.#remoteMinRx === 0) return true;
    const demanded = this.#remoteDemand && this.#state === 'Up' && this.#remoteState === 'Up';
    return demanded && !this.#polling;
  }

  #schedule(delay: number): void {
    this.#transmit?.cancel();
    this.#transmit = undefined;
    if (this.#closed || this.#silent) return;
    this.#transmit = this.#around.clock.after(
      delay,
      () => {
        this.#transmit = undefined;
        if (this.#closed || this.#silent) return;
        this.#send(false);
        this.#schedule(this.#jittered());
      },
      'BFD transmit',
    );
  }

  #watch(): void {
    this.#detect?.cancel();
    this.#detect = this.#around.clock.after(
      this.detectionTime,
      () => {
        // The neighbour's discriminator is not believed any longer (RFC 5880 6.8.1).
        this.#remoteDiscriminator = 0;
        this.#remoteMinRx = 0.001;
        this.#remoteState = 'Down';
        if (this.#state === 'Init' || this.#state === 'Up') this.#enter('Down', DETECTION_EXPIRED);
      },
      'BFD detection',
    );
  }
}
