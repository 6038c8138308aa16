import { Table } from '../dpvsd/generated/control.js';
import { DpvsdLink } from '../dpvsd/link.js';
import type { Clock, Timer } from '../lib/clock.js';
import { formatIp } from '../lib/ip.js';

/** How often a dataplane is asked whether it still answers, and how long it may take, milliseconds. */
const HEARTBEAT = 500;
const ANSWER_LIMIT = 1500;
/** How often services are read while some addresses are missing; with many services more seldom. */
const READ_INTERVAL = 200;
const SEVERAL_SERVICES = 1000;

/** Watches dpvsd: whether it lives, and which addresses it has services of. */
export class Dataplane {
  readonly #clock: Clock;
  readonly #link: DpvsdLink;
  readonly #changed: () => void;
  #state: 'up' | 'down' | 'unknown' = 'unknown';
  #placed: Set<string> | undefined;
  #missing: (placed: ReadonlySet<string>) => boolean;
  #timer: Timer | undefined;
  #heartbeat: Timer | undefined;
  #generation = 0;
  #stopped = false;

  /**
   * @param missing whether the addresses that it is given lack some that must be there: then they are read again
   * @param changed called when `state` or `placed` are others than before
   */
  constructor(
    clock: Clock,
    path: string | undefined,
    missing: (placed: ReadonlySet<string>) => boolean,
    changed: () => void,
  ) {
    this.#clock = clock;
    this.#missing = missing;
    this.#changed = changed;
    this.#link = new DpvsdLink({
      client: 'ospf-bridge',
      timeout: ANSWER_LIMIT,
      clock,
      ...(path === undefined ? {} : { path }),
    });
    this.#link.on('up', (_bootId, sameBoot) => {
      this.#generation++;
      if (!sameBoot) this.#placed = undefined;
      this.#become('up');
      this.#read();
      this.#beat();
    });
    this.#link.on('down', () => this.#lost());
    this.#link.on('unreachable', () => this.#lost());
    this.#link.start();
  }

  get state(): 'up' | 'down' | 'unknown' {
    return this.#state;
  }

  /** Addresses that have services; undefined before they were read. */
  get placed(): ReadonlySet<string> | undefined {
    return this.#placed;
  }

  /** The configuration wants other addresses than before. */
  reconsider(): void {
    if (this.#state === 'up') this.#read();
  }

  stop(): void {
    this.#stopped = true;
    this.#timer?.cancel();
    this.#heartbeat?.cancel();
    this.#link.stop();
  }

  #lost(): void {
    this.#generation++;
    this.#timer?.cancel();
    this.#heartbeat?.cancel();
    this.#become('down');
  }

  #become(state: 'up' | 'down'): void {
    if (this.#state === state) return;
    this.#state = state;
    this.#changed();
  }

  /** A dataplane that hangs answers no request; the link then counts the connection as dead. */
  #beat(): void {
    const generation = this.#generation;
    this.#heartbeat?.cancel();
    this.#heartbeat = this.#clock.after(
      HEARTBEAT,
      () => {
        void this.#ask(Table.TABLE_TIMEOUTS).then(() => {
          if (generation === this.#generation && !this.#stopped) this.#beat();
        });
      },
      'heartbeat of dpvsd',
    );
  }

  async #ask(table: Table): Promise<void> {
    try {
      for await (const _row of this.#link.get(table)) {
        // That there is an answer is all that counts.
      }
    } catch {
      // The link says `down` by itself.
    }
  }

  #read(): void {
    const generation = this.#generation;
    this.#timer?.cancel();
    void this.#services().then((services) => {
      if (generation !== this.#generation || this.#stopped || !services) return;
      const before = this.#placed;
      this.#placed = services;
      if (!before || before.size !== services.size || [...services].some((one) => !before.has(one)))
        this.#changed();
      if (!this.#missing(services)) return;
      const pause = services.size > SEVERAL_SERVICES ? 5 * READ_INTERVAL : READ_INTERVAL;
      this.#timer = this.#clock.after(pause, () => this.#read(), 'services of dpvsd');
    });
  }

  async #services(): Promise<Set<string> | undefined> {
    const found = new Set<string>();
    try {
      for await (const { row } of this.#link.get(Table.TABLE_SERVICES)) {
        if (row?.$case !== 'service') continue;
        const address = row.value.service?.key?.address;
        if (address && address.length > 0) found.add(formatIp(address));
      }
    } catch {
      return undefined;
    }
    return found;
  }
}
