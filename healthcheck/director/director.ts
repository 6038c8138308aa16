import type { Clock, Timer } from '../../lib/clock.js';
import type { Log } from '../../lib/log.js';
import { listsWithout } from './closing.js';
import { difference, type Operation } from './difference.js';
import { type Command, type DirectorDriver, Refusal } from './driver.js';
import { operationText } from './dry-run.js';
import {
  keyText,
  type ListEntry,
  listText,
  noLists,
  noLocals,
  type ServiceEntry,
  type ServiceTable,
} from './table.js';

/** Operations of one message; a batch beyond it is split, each part applied whole. */
const BATCH_LIMIT = 10_000;
/** Refused operations after which a round of pushing pauses. */
const REFUSALS_PER_ROUND = 64;
const RETRY_BUSY = 100;
const RETRY_REFUSED = 5000;

/**
 * Keeps the dataplane's table like the desired one. Changes of one turn of the event loop go out together, one batch at a time. While
 * no dataplane answers the desired table is kept; when one appears, what it has of ours is read and the difference applied.
 */
export class Director {
  readonly desired: ServiceTable = new Map();
  readonly #driver: DirectorDriver;
  readonly #clock: Clock;
  readonly #log: Log;
  #applied: ServiceTable = new Map();
  #connected = false;
  #touched = new Set<string>();
  #all = false;
  #working = false;
  #scheduled = false;
  #stopped = false;
  #retry: Timer | undefined;
  /** Operations the dataplane will not have, by what they are about; forgotten when the row changes. */
  readonly #refused = new Map<string, object>();
  readonly #commands: Command[] = [];
  #timeouts: Command | undefined;
  #idle: (() => void)[] = [];
  #firstContact: (() => void)[] = [];
  #saidDown = false;
  /** Told when the dataplane's addresses may be others than before: they changed, or it came or went. */
  onAddresses: (() => void) | undefined;
  /** Told when a dataplane is back; `lostAt` is when the one before was lost, on the director's clock. */
  onReturn: ((lostAt: number) => void) | undefined;
  #lostAt: number | undefined;
  /** Batches that were applied, and operations in them. */
  readonly counters = { batches: 0, operations: 0, refused: 0, connections: 0 };

  constructor(driver: DirectorDriver, clock: Clock, log: Log) {
    this.#driver = driver;
    this.#clock = clock;
    this.#log = log;
  }

  start(): void {
    this.#driver.start({
      up: (fresh) => void this.#up(fresh),
      down: (reason) => this.#down(reason),
      addressesChanged: () => this.onAddresses?.(),
    });
  }

  get connected(): boolean {
    return this.#connected;
  }

  /** What the dataplane has of ours, as far as we know. */
  get applied(): ServiceTable {
    return this.#applied;
  }

  /** Resolves with true when the dataplane has been read; with false when none answers, or after `limit` milliseconds. */
  async contact(limit: number): Promise<boolean> {
    if (this.#connected) return true;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(limit, resolve, 'first contact with the dataplane');
      this.#firstContact.push(() => {
        timer.cancel();
        resolve();
      });
    });
    return this.#connected;
  }

  /** Puts a service into the desired table in place of what it had of this name; its servers are in `entry`. */
  put(entry: ServiceEntry): void {
    const name = keyText(entry.key);
    this.desired.set(name, entry);
    this.touch(name);
  }

  remove(name: string): void {
    if (this.desired.delete(name)) this.touch(name);
  }

  /** Says that the rows of this service were changed in place. */
  touch(name: string): void {
    this.#touched.add(name);
    this.#schedule();
  }

  /** Lets everything be compared again, also what was refused before. */
  touchAll(): void {
    this.#all = true;
    this.#refused.clear();
    this.#schedule();
  }

  /** Time-outs that every dataplane gets as it appears; all 0: none. Seconds. */
  setTimeouts(tcp: number, tcpFin: number, udp: number): void {
    const command: Command = { kind: 'timeouts', tcp, tcpFin, udp };
    if (JSON.stringify(command) === JSON.stringify(this.#timeouts)) return;
    this.#timeouts = tcp || tcpFin || udp ? command : undefined;
    if (this.#timeouts && this.#connected) this.order(this.#timeouts);
  }

  /** An order outside the table, done before the next batch. */
  order(command: Command): void {
    this.#commands.push(command);
    this.#schedule();
  }

  /** Whether this kind of dataplane can hold addresses. */
  get hasAddresses(): boolean {
    return this.#driver.addresses !== undefined;
  }

  /** Addresses that the dataplane holds now; none while there is no dataplane. Rejects when it cannot tell. */
  async addresses(): Promise<Set<string>> {
    if (!this.#connected || !this.#driver.addresses) return new Set();
    return await this.#driver.addresses();
  }

  /** Resolves when everything desired is applied or refused, or when there is no dataplane, or after `limit` milliseconds. */
  async settled(limit = 2000): Promise<void> {
    if (!this.#connected || (!this.#working && !this.#scheduled)) return;
    await new Promise<void>((resolve) => {
      const timer = this.#clock.after(limit, resolve, 'director settles');
      this.#idle.push(() => {
        timer.cancel();
        resolve();
      });
    });
  }

  /** Ends; what is in the dataplane stays. */
  stop(): void {
    this.#stopped = true;
    this.#retry?.cancel();
    this.#driver.stop();
  }

  async #up(fresh: boolean): Promise<void> {
    this.counters.connections++;
    let there: ServiceTable;
    try {
      there = await this.#driver.read(this.desired);
    } catch (error) {
      // The connection broke again; the driver says so.
      this.#log.warning(`the dataplane's table cannot be read: ${(error as Error).message}`);
      return;
    }
    this.#applied = there;
    this.#connected = true;
    this.#saidDown = false;
    this.#refused.clear();
    if (this.counters.connections > 1) {
      this.#log.notice(
        fresh
          ? 'the dataplane was restarted: everything is pushed again'
          : 'the dataplane answers again: comparing',
      );
    }
    if (this.#timeouts) this.#commands.unshift(this.#timeouts);
    this.#all = true;
    for (const resolve of this.#firstContact.splice(0)) resolve();
    this.onAddresses?.();
    const lostAt = this.#lostAt;
    this.#lostAt = undefined;
    if (lostAt !== undefined) this.onReturn?.(lostAt);
    this.#schedule();
  }

  #down(reason: string): void {
    if (this.#connected) this.#lostAt = this.#clock.now();
    this.#connected = false;
    for (const resolve of this.#idle.splice(0)) resolve();
    for (const resolve of this.#firstContact.splice(0)) resolve();
    this.onAddresses?.();
    if (this.#saidDown || this.#stopped) return;
    this.#saidDown = true;
    this.#log.warning(
      `no dataplane: ${reason}; servers are checked all the same, their state is pushed later`,
    );
  }

  #schedule(): void {
    if (this.#scheduled || this.#working || this.#stopped || !this.#connected) return;
    this.#scheduled = true;
    // After the events of this turn, so that what happens together goes out together.
    setImmediate(() => {
      this.#scheduled = false;
      void this.#work();
    });
  }

  async #work(): Promise<void> {
    if (this.#working) return;
    this.#working = true;
    this.#retry?.cancel();
    let refusals = 0;
    try {
      for (;;) {
        while (this.#commands.length > 0 && this.#connected) {
          const command = this.#commands[0]!;
          await this.#driver.command(command);
          this.#commands.shift();
          if (command.kind === 'flush') {
            this.#applied = new Map();
            this.#all = true;
          }
        }
        if (!this.#connected || this.#stopped || (!this.#all && this.#touched.size === 0)) return;
        const touched = this.#all ? undefined : this.#touched;
        const operations = this.#wanted(
          difference(this.#applied, this.desired, touched, (entry) => this.#lists(entry)),
        );
        this.#all = false;
        this.#touched = new Set();
        for (let at = 0; at < operations.length; at += BATCH_LIMIT) {
          const batch = operations.slice(at, at + BATCH_LIMIT);
          const refusal = await this.#push(batch);
          if (!refusal) continue;
          // What has not gone out yet is due again.
          for (const operation of operations.slice(at)) this.#touched.add(keyText(operation.key));
          if (refusal.kind !== 'refused') return this.#again(RETRY_BUSY);
          if (++refusals >= REFUSALS_PER_ROUND) return this.#again(RETRY_REFUSED);
          break;
        }
      }
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      if (error.kind === 'refused') {
        this.#log.error(`the dataplane refuses an order: ${error.message}`);
        this.#commands.shift();
      }
      this.#again(RETRY_BUSY);
    } finally {
      this.#working = false;
      for (const resolve of this.#idle.splice(0)) resolve();
    }
  }

  #again(delay: number): void {
    if (this.#stopped) return;
    this.#retry?.cancel();
    this.#retry = this.#clock.after(delay, () => this.#schedule(), 'push again');
  }

  /** Without what the dataplane has refused already in just this form, and without what depends upon it. */
  #wanted(operations: Operation[]): Operation[] {
    if (this.#refused.size === 0) return operations;
    return operations.filter((operation) => {
      const service = keyText(operation.key);
      if (this.#refused.has(`service ${service}`) && !this.#applied.has(service)) {
        const entry = this.desired.get(service);
        if (entry && this.#refused.get(`service ${service}`) === entry.service) return false;
      }
      return this.#refused.get(subject(operation)) !== operation.row;
    });
  }

  #lists(entry: ServiceEntry): Map<string, ListEntry> {
    if (this.#refused.size === 0) return entry.lists;
    const service = keyText(entry.key);
    return listsWithout(entry, (row) => this.#refused.get(subjectOf('list', listText(row), service)) === row);
  }

  /** Remembers what the dataplane will not have. A set that it does not know, it knows in no service. */
  #refuse(culprit: Operation, batch: Operation[], error: Refusal): void {
    this.counters.refused++;
    this.#refused.set(subject(culprit), culprit.row);
    let services = 1;
    if (culprit.object === 'list' && culprit.row.set !== '') {
      const { set } = culprit.row;
      for (const operation of batch) {
        if (operation === culprit || operation.object !== 'list' || operation.row.set !== set) continue;
        this.#refused.set(subject(operation), operation.row);
        services++;
      }
    }
    const others = services > 1 ? `, and of ${services - 1} more services` : '';
    const closed =
      culprit.object === 'list' && culprit.verb !== 'delete'
        ? '; whom the entry was to keep out must not get in: see "Lists that the dataplane refuses" in docs/health-checks.md'
        : '';
    this.#log.error(`the dataplane refuses to ${operationText(culprit)}${others}: ${error.message}${closed}`);
  }

  async #push(batch: Operation[]): Promise<Refusal | undefined> {
    let operations = batch;
    try {
      await this.#driver.apply(operations);
    } catch (error) {
      if (!(error instanceof Refusal)) throw error;
      const culprit = error.operation === undefined ? undefined : operations[error.operation];
      if (error.kind === 'too-big' && operations.length > 1) {
        const half = operations.length >> 1;
        const first = await this.#push(operations.slice(0, half));
        return first ?? (await this.#push(operations.slice(half)));
      }
      if (error.kind !== 'refused') return error;
      if (!culprit) {
        this.#log.error(`the dataplane refuses a batch: ${error.message}`);
        return new Refusal('busy', error.code, error.message);
      }
      if (culprit.verb === 'delete' && error.code === 'not-found') {
        // Somebody else removed it: that is what we wanted.
        this.#mirror([culprit]);
        return error;
      }
      this.#refuse(culprit, operations, error);
      return error;
    }
    this.#mirror(operations);
    this.counters.batches++;
    this.counters.operations += operations.length;
    operations = [];
    return undefined;
  }

  #mirror(operations: Operation[]): void {
    for (const operation of operations) {
      const name = keyText(operation.key);
      const entry = this.#applied.get(name);
      if (operation.object === 'service') {
        if (operation.verb === 'delete') this.#applied.delete(name);
        else if (entry) entry.service = operation.row;
        else {
          this.#applied.set(name, {
            key: operation.key,
            service: operation.row,
            servers: new Map(),
            locals: noLocals,
            lists: noLists,
          });
        }
        continue;
      }
      if (!entry) continue;
      switch (operation.object) {
        case 'server':
          mirrorRow(entry.servers, operation.name, operation.verb, operation.row);
          break;
        case 'local':
          if (entry.locals === noLocals) entry.locals = new Map();
          mirrorRow(entry.locals, operation.name, operation.verb, operation.row);
          break;
        case 'list':
          if (entry.lists === noLists) entry.lists = new Map();
          mirrorRow(entry.lists, operation.name, operation.verb, operation.row);
          break;
      }
    }
  }
}

function mirrorRow<Row>(rows: Map<string, Row>, name: string, verb: Operation['verb'], row: Row): void {
  if (verb === 'delete') rows.delete(name);
  else rows.set(name, row);
}

/** What an operation is about: equal for operations on the same thing. */
function subject({ object, name, key }: Operation): string {
  return subjectOf(object, name, keyText(key));
}

function subjectOf(object: Operation['object'], name: string, service: string): string {
  return object === 'service' ? `service ${service}` : `${object} ${name} of ${service}`;
}
