import { EventEmitter } from 'node:events';
import { type Clock, systemClock, type Timer } from '../lib/clock.js';
import {
  DpvsdClient,
  DpvsdError,
  type EncodedBatch,
  type GetFilter,
  type OperationInput,
  type RowKind,
  type RowOf,
  socketPath,
  type TableRow,
} from './client.js';
import type { Applied, Table } from './generated/control.js';

export interface DpvsdLinkEvents {
  /**
   * Connected. `sameBoot` is false when the dataplane is another one than at the last `up`, and at the first `up`: its tables
   * may be empty, push the whole desired state. True after a mere loss of the connection.
   */
  up: [bootId: string, sameBoot: boolean];
  /** The connection is gone, with the reason; attempts to connect have begun. */
  down: [reason: DpvsdError];
  /** An attempt to connect failed for another reason than the one before: worth one line of log. */
  unreachable: [reason: DpvsdError];
  /** Entries of a watched table came or went. What happens while there is no connection is not told: read after each `up`. */
  changed: [table: Table];
}

export interface DpvsdLinkOptions {
  path?: string;
  client: string;
  /** Milliseconds without an answer after which the connection counts as dead. */
  timeout?: number;
  clock?: Clock;
  /** Tables of whose changes `changed` is to be told. */
  watch?: Table[];
}

/** Milliseconds between attempts: doubling, and never so long that a restart could go unnoticed for a second. */
const FIRST_RETRY = 50;
const LAST_RETRY = 400;

/** A connection to dpvsd that comes back by itself, for processes that outlive a dataplane. */
export class DpvsdLink extends EventEmitter<DpvsdLinkEvents> {
  readonly #options: DpvsdLinkOptions;
  readonly #clock: Clock;
  readonly #path: string;
  #client: DpvsdClient | undefined;
  #bootId: string | undefined;
  #timer: Timer | undefined;
  #running = false;
  #retry = FIRST_RETRY;
  #reason: DpvsdError;

  constructor(options: DpvsdLinkOptions) {
    super();
    this.#options = options;
    this.#clock = options.clock ?? systemClock;
    this.#path = options.path ?? socketPath();
    this.#reason = new DpvsdError(
      'unreachable',
      `not connected to dpvsd at ${this.#path} yet`,
      'is dpvsd running?',
    );
  }

  /** Begins to connect; events follow, never before this call returns. Does nothing when already started. */
  start(): void {
    if (this.#running) return;
    this.#running = true;
    this.#retry = FIRST_RETRY;
    this.#attempt();
  }

  /** Ends the connection and all attempts, without a `down`. */
  stop(): void {
    this.#running = false;
    this.#timer?.cancel();
    this.#client?.close();
    this.#client = undefined;
  }

  /** The present connection, or undefined while there is none. */
  get client(): DpvsdClient | undefined {
    return this.#client;
  }

  /** Boot id at the last `up`. */
  get bootId(): string | undefined {
    return this.#bootId;
  }

  /** As DpvsdClient.apply; rejects with the reason of the outage while there is no connection. */
  async apply(
    operations: OperationInput[] | EncodedBatch,
    options: { dryRun?: boolean } = {},
  ): Promise<Applied> {
    return await this.#connected().apply(operations, options);
  }

  /** As DpvsdClient.get. */
  async *get(table: Table, filter: GetFilter = {}): AsyncGenerator<TableRow, void, undefined> {
    yield* this.#connected().get(table, filter);
  }

  /** As DpvsdClient.list. */
  async list<Kind extends RowKind>(table: Table, kind: Kind, filter: GetFilter = {}): Promise<RowOf<Kind>[]> {
    return await this.#connected().list(table, kind, filter);
  }

  #connected(): DpvsdClient {
    if (!this.#client) throw this.#reason;
    return this.#client;
  }

  #attempt(): void {
    const { client, timeout, watch } = this.#options;
    const options = {
      path: this.#path,
      client,
      ...(timeout === undefined ? {} : { timeout }),
      ...(watch === undefined ? {} : { watch }),
    };
    DpvsdClient.connect(options).then(
      (connected) => {
        if (this.#running) this.#up(connected);
        else connected.close();
      },
      (error: DpvsdError) => {
        if (!this.#running) return;
        const news = error.message !== this.#reason.message;
        this.#reason = error;
        if (news) this.emit('unreachable', error);
        this.#again();
      },
    );
  }

  #up(client: DpvsdClient): void {
    this.#client = client;
    client.onChanged = (table) => this.emit('changed', table);
    void client.closed.then((reason) => {
      if (this.#client !== client || !this.#running) return;
      this.#client = undefined;
      this.#reason = reason ?? new DpvsdError('closed', 'the connection was closed');
      this.emit('down', this.#reason);
      if (this.#running) this.#again();
    });
    const sameBoot = this.#bootId === client.bootId;
    this.#bootId = client.bootId;
    // A connection that a dying or overloaded dpvsd accepts and drops must not be retried without a pause.
    this.#timer = this.#clock.after(1000, () => {
      this.#retry = FIRST_RETRY;
    });
    this.emit('up', client.bootId, sameBoot);
  }

  #again(): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(this.#retry, () => this.#attempt(), 'connect to dpvsd');
    this.#retry = Math.min(this.#retry * 2, LAST_RETRY);
  }
}
