import { connect, type Socket } from 'node:net';
import { BinaryReader, BinaryWriter } from '@bufbuild/protobuf/wire';
import { frame, MAX_MESSAGE, Unframer } from './framing.js';
import {
  type Applied,
  Constant,
  type DeepPartial,
  Get,
  type Greeting,
  Operation,
  Reply,
  Request,
  type Row,
  type Rows,
  type Table,
} from './generated/control.js';
import { DEFAULT_SOCKET, socketPath } from './places.js';

export { DEFAULT_SOCKET, socketPath };

/**
 * Stable codes of errors. dpvsd's own: exists, not-found, invalid, unsupported, full, busy, protocol. The client's:
 * `unreachable` (nobody answers at the socket), `closed` (the connection ended under a request), `timeout` (dpvsd is there
 * but silent), `too-big` (a batch that no single message can carry).
 */
export type DpvsdErrorCode =
  | 'exists'
  | 'not-found'
  | 'invalid'
  | 'unsupported'
  | 'full'
  | 'busy'
  | 'protocol'
  | 'unreachable'
  | 'closed'
  | 'timeout'
  | 'too-big'
  | (string & {});

/** What dpvsd, or the way to it, answered instead of a result. `message` is one sentence for the operator. */
export class DpvsdError extends Error {
  override readonly name = 'DpvsdError';
  readonly code: DpvsdErrorCode;
  /** The next step, or empty. */
  readonly hint: string;
  /** For a refused batch: index of the operation that failed. Nothing of the batch was applied. */
  readonly operation: number | undefined;

  constructor(code: DpvsdErrorCode, text: string, hint = '', operation?: number) {
    super(text);
    this.code = code;
    this.hint = hint;
    this.operation = operation;
  }
}

export interface ConnectOptions {
  /** Unix socket; default: `socketPath()`. */
  path?: string;
  /** Name of this program, for dpvsd's log. */
  client: string;
  /** Milliseconds without any byte from dpvsd, while an answer is due, after which the connection counts as dead. */
  timeout?: number;
  /** Tables of whose changes `onChanged` is to be told; dpvsd knows TABLE_ADDRESSES. */
  watch?: Table[];
}

export type OperationInput = DeepPartial<Operation>;
export type GetFilter = Omit<DeepPartial<Get>, 'table'>;

type KnownRow = NonNullable<Row['row']>;
export type RowKind = KnownRow['$case'];
export type RowOf<Kind extends RowKind> = Extract<KnownRow, { $case: Kind }>['value'];

/**
 * Operations in the form in which they travel, a few dozen bytes each: for batches that are gathered one by one, or many of them
 * before the first is sent.
 */
export class EncodedBatch {
  #bytes = Buffer.allocUnsafe(4096);
  #length = 0;
  #count = 0;

  get count(): number {
    return this.#count;
  }

  add(operation: Operation): void {
    const bytes = Operation.encode(operation).finish();
    this.addEncoded(bytes, bytes.length);
  }

  /** Adds an Operation that is encoded already: the first `length` bytes of these, which are copied. */
  addEncoded(operation: Uint8Array, length: number): void {
    const most = this.#length + 6 + length;
    if (most > this.#bytes.length) {
      const larger = Buffer.allocUnsafe(2 * most);
      this.#bytes.copy(larger, 0, 0, this.#length);
      this.#bytes = larger;
    }
    const bytes = this.#bytes;
    let at = this.#length;
    // Field 1 of Batch: operations.
    bytes[at++] = 10;
    let rest = length;
    for (; rest > 127; rest >>>= 7) bytes[at++] = (rest & 127) | 128;
    bytes[at++] = rest;
    for (let i = 0; i < length; i++) bytes[at++] = operation[i]!;
    this.#length = at;
    this.#count++;
  }

  /** The message Batch. */
  finish(dryRun: boolean): Uint8Array {
    const batch = this.#bytes.subarray(0, this.#length);
    // Field 2 of Batch: dry_run.
    return dryRun ? Buffer.concat([batch, Buffer.of(16, 1)]) : batch;
  }
}

/** A row as `get` yields it: of a kind that this program knows. */
export interface TableRow {
  /** Number of the worker + 1 where the request asked for rows per worker, otherwise 0. */
  worker: number;
  row: KnownRow;
}

/** A request whose answer is due. Exactly one of `done` and `fail` is called, once. */
interface Pending {
  id: number;
  rows?: (rows: Rows) => void;
  /** Takes the bytes of Rows instead. */
  encodedRows?: (rows: Uint8Array) => void;
  done: (reply: NonNullable<Reply['body']>) => void;
  fail: (error: DpvsdError) => void;
}

const HELLO_ID = 1;
/** Row messages that one `get` holds while its reader is slow; then the socket is left unread. */
const ROWS_AHEAD = 8;
/** Bytes that may wait for dpvsd to read them. */
const UNSENT_LIMIT = 4 * MAX_MESSAGE;

/**
 * One connection to dpvsd. Requests are pipelined: callers need not wait for each other. After the connection has failed,
 * every call rejects with the reason; make a new client, or use DpvsdLink, which does.
 */
export class DpvsdClient {
  /** What dpvsd said of itself on accepting the connection. */
  readonly greeting: Greeting;
  /** Settles when the connection has ended: undefined after `close()`, otherwise the reason. Never rejects. */
  readonly closed: Promise<DpvsdError | undefined>;
  /** Told when entries of a watched table came or went: several at a time, and perhaps none that remains. */
  onChanged: ((table: Table) => void) | undefined;

  readonly #socket: Socket;
  readonly #path: string;
  readonly #unframer: Unframer;
  readonly #pending: Pending[] = [];
  #nextId = HELLO_ID + 1;
  #failure: DpvsdError | undefined;
  #lastError: DpvsdError | undefined;
  #ended = false;
  #paused = false;
  #settleClosed!: (reason: DpvsdError | undefined) => void;

  private constructor(socket: Socket, path: string, greeting: Greeting, unframer: Unframer, timeout: number) {
    this.#socket = socket;
    this.#path = path;
    this.greeting = greeting;
    this.#unframer = unframer;
    this.closed = new Promise((resolve) => {
      this.#settleClosed = resolve;
    });
    socket.removeAllListeners();
    socket.on('data', (chunk) => {
      this.#unframer.push(chunk);
      this.#drain();
    });
    socket.on('error', (error) => {
      this.#lastError ??= new DpvsdError(
        'closed',
        `the connection to dpvsd at ${path} broke: ${error.message}`,
      );
    });
    socket.on('close', () => this.#end());
    socket.setTimeout(timeout, () => {
      if (this.#pending.length === 0 || this.#paused) return;
      this.#lastError = new DpvsdError(
        'timeout',
        `dpvsd at ${path} has not answered for ${timeout / 1000} seconds`,
        'look at its log, and whether its process (see its pid file) is stopped',
      );
      socket.destroy();
    });
  }

  /**
   * Connects and exchanges greetings. Rejects with DpvsdError: `unreachable` when nobody listens, `protocol` when dpvsd
   * speaks another protocol, `timeout`, or whatever reason dpvsd gave for refusing.
   */
  static connect(options: ConnectOptions): Promise<DpvsdClient> {
    const path = options.path ?? socketPath();
    const timeout = options.timeout ?? 10_000;
    return new Promise((resolve, reject) => {
      const unframer = new Unframer();
      const socket = connect(path);
      const refuse = (error: DpvsdError) => {
        socket.removeAllListeners();
        socket.on('error', () => {});
        socket.destroy();
        reject(error);
      };
      socket.setTimeout(timeout, () =>
        refuse(
          new DpvsdError(
            'timeout',
            `dpvsd at ${path} accepts connections but does not greet`,
            'look at its log, and whether its process (see its pid file) is stopped',
          ),
        ),
      );
      socket.on('error', (error: NodeJS.ErrnoException) => refuse(unreachable(path, error)));
      socket.on('close', () =>
        refuse(new DpvsdError('closed', `dpvsd at ${path} closed the connection without a greeting`)),
      );
      socket.on('data', (chunk) => {
        unframer.push(chunk);
        let message: Buffer | undefined;
        let reply: Reply;
        try {
          message = unframer.next();
          if (!message) return;
          reply = Reply.decode(message);
        } catch (error) {
          return refuse(foreign(path, error));
        }
        if (reply.body?.$case === 'error') return refuse(fromWire(reply.body.value, undefined));
        if (reply.id !== 0 || reply.body?.$case !== 'greeting') return refuse(foreign(path));
        const greeting = reply.body.value;
        if (greeting.protocol !== Constant.CONSTANT_PROTOCOL) {
          return refuse(
            new DpvsdError(
              'protocol',
              `dpvsd ${greeting.version} at ${path} speaks control protocol ${greeting.protocol}, ` +
                `this program speaks ${Constant.CONSTANT_PROTOCOL}`,
              'use the tools that came with that dpvsd',
            ),
          );
        }
        const client = new DpvsdClient(socket, path, greeting, unframer, timeout);
        client.#hello(options);
        resolve(client);
        client.#drain();
      });
    });
  }

  /** Names one start of the dataplane: another value than before means that its tables are empty. */
  get bootId(): string {
    return this.greeting.bootId;
  }

  /** Whether requests can still be made. */
  get open(): boolean {
    return this.#failure === undefined;
  }

  /**
   * Applies all operations, in order, or none of them. Rejects with DpvsdError; its `operation` is the index of the one that
   * was refused. One message carries about 20,000 servers; `too-big` says that a batch must be split.
   * @param dryRun check everything, change nothing
   */
  async apply(
    operations: OperationInput[] | EncodedBatch,
    options: { dryRun?: boolean } = {},
  ): Promise<Applied> {
    let batch: EncodedBatch;
    if (operations instanceof EncodedBatch) batch = operations;
    else {
      batch = new EncodedBatch();
      for (const operation of operations) batch.add(Operation.fromPartial(operation as object));
    }
    const bytes = batch.finish(options.dryRun ?? false);
    const body = await new Promise<NonNullable<Reply['body']>>((resolve, reject) => {
      const id = this.#nextId++;
      // Fields 1 and 3 of Request: id, apply.
      const request = new BinaryWriter().uint32(8).uint64(id).uint32(26).bytes(bytes).finish();
      this.#send(id, request, { done: resolve, fail: reject });
    });
    if (body.$case === 'applied') return body.value;
    throw this.#fail(foreign(this.#path));
  }

  /**
   * Reads a table, row by row, as dpvsd streams it; the request is sent when the first row is asked for. A slow reader slows
   * the stream rather than filling memory, unless other requests wait behind it. Leaving the loop early skips the rest.
   * Rows of kinds that this program does not know are left out.
   */
  async *get(table: Table, filter: GetFilter = {}): AsyncGenerator<TableRow, void, undefined> {
    for await (const { rows } of this.#pieces(table, filter, (take: (rows: Rows) => void) => ({
      rows: take,
    }))) {
      for (const row of rows) {
        if (row.row) yield row as TableRow;
      }
    }
  }

  /** Like `get`, but yields the bytes of messages Rows: for tables so long that it matters what is made of each row. */
  getEncoded(table: Table, filter: GetFilter = {}): AsyncGenerator<Uint8Array, void, undefined> {
    return this.#pieces(table, filter, (take: (rows: Uint8Array) => void) => ({ encodedRows: take }));
  }

  /** The answers to a Get. @param handler makes the handler of Pending that passes answers on */
  async *#pieces<Piece>(
    table: Table,
    filter: GetFilter,
    handler: (take: (piece: Piece) => void) => Pick<Pending, 'rows' | 'encodedRows'>,
  ): AsyncGenerator<Piece, void, undefined> {
    const queue: Piece[] = [];
    let finished = false;
    let failure: DpvsdError | undefined;
    let abandoned = false;
    let wake = () => {};
    const id = this.#nextId++;
    const value = Get.fromPartial({ ...filter, table } as object);
    this.#send(id, Request.encode({ id, body: { $case: 'get', value } }).finish(), {
      ...handler((piece) => {
        if (abandoned) return;
        queue.push(piece);
        if (queue.length >= ROWS_AHEAD && this.#pending.length === 1) this.#pause();
        wake();
      }),
      done: (body) => {
        if (body.$case !== 'done') failure = this.#fail(foreign(this.#path));
        finished = true;
        wake();
      },
      fail: (error) => {
        failure = error;
        wake();
      },
    });
    try {
      for (;;) {
        const piece = queue.shift();
        if (piece) {
          if (queue.length <= ROWS_AHEAD / 2) this.#resume();
          yield piece;
        } else if (failure) throw failure;
        else if (finished) return;
        else {
          await new Promise<void>((resolve) => {
            wake = resolve;
          });
        }
      }
    } finally {
      abandoned = true;
      queue.length = 0;
      this.#resume();
    }
  }

  /** Reads the rows of one kind of a table into an array: for tables that are known to be small, or wanted whole. */
  async list<Kind extends RowKind>(table: Table, kind: Kind, filter: GetFilter = {}): Promise<RowOf<Kind>[]> {
    const values: RowOf<Kind>[] = [];
    for await (const { row } of this.get(table, filter)) {
      if (row.$case === kind) values.push(row.value as RowOf<Kind>);
    }
    return values;
  }

  /** Ends the connection; requests that wait for an answer are rejected with `closed`. */
  close(): void {
    this.#ended = true;
    this.#socket.destroy();
    this.#end();
  }

  /** Not waited for: requests may follow at once, and only a refusal matters (onReply). */
  #hello({ client, watch = [] }: ConnectOptions): void {
    const body = { $case: 'hello' as const, value: { protocol: Constant.CONSTANT_PROTOCOL, client, watch } };
    this.#socket.write(frame(Request.encode({ id: HELLO_ID, body }).finish()));
  }

  #send(id: number, bytes: Uint8Array, handlers: Omit<Pending, 'id'>): void {
    const refused = this.#failure ?? this.#refuse(bytes);
    if (refused) {
      handlers.fail(refused);
      return;
    }
    this.#pending.push({ id, ...handlers });
    // Somebody waits behind a slow reader: his answer goes before the bound on rows.
    this.#resume();
    this.#socket.write(frame(bytes));
  }

  /** Why a request of ours does not even leave this process. */
  #refuse(bytes: Uint8Array): DpvsdError | undefined {
    if (bytes.length > MAX_MESSAGE) {
      return new DpvsdError(
        'too-big',
        `a request of ${bytes.length} bytes is more than the ${MAX_MESSAGE} of one control message`,
        'split the batch',
      );
    }
    if (this.#socket.writableLength + bytes.length > UNSENT_LIMIT) {
      return new DpvsdError(
        'busy',
        `dpvsd at ${this.#path} does not keep up with the requests`,
        'wait for answers',
      );
    }
    return undefined;
  }

  #pause(): void {
    this.#paused = true;
    this.#socket.pause();
  }

  #resume(): void {
    if (!this.#paused) return;
    this.#paused = false;
    this.#socket.resume();
    // Whole messages that were received before the pause are still in the unframer, and no event will announce them.
    queueMicrotask(() => this.#drain());
  }

  #drain(): void {
    while (!this.#paused && !this.#failure) {
      let reply: Reply;
      try {
        const message = this.#unframer.next();
        if (!message) return;
        const head = this.#pending[0];
        const rows = head?.encodedRows && rowsOf(message, head.id);
        if (rows) {
          head.encodedRows?.(rows);
          continue;
        }
        reply = Reply.decode(message);
      } catch (error) {
        this.#fail(foreign(this.#path, error));
        return;
      }
      this.#onReply(reply);
    }
  }

  #onReply({ id, body }: Reply): void {
    if (id === 0 || id === HELLO_ID) {
      // An error here is about the connection, which dpvsd closes next.
      if (body?.$case === 'error') this.#lastError = fromWire(body.value, undefined);
      else if (body?.$case === 'changed') this.onChanged?.(body.value.table);
      return;
    }
    const head = this.#pending[0];
    if (!head || head.id !== id || !body) {
      this.#fail(foreign(this.#path));
      return;
    }
    if (body.$case === 'rows' && head.rows) {
      head.rows(body.value);
      return;
    }
    this.#pending.shift();
    if (body.$case === 'error') head.fail(fromWire(body.value, body.value.operation));
    else head.done(body);
  }

  /** Ends the connection for a reason of ours; returns the reason so that callers can throw it. */
  #fail(error: DpvsdError): DpvsdError {
    this.#lastError ??= error;
    this.#socket.destroy();
    this.#end();
    return error;
  }

  #end(): void {
    if (this.#failure) return;
    this.#failure =
      this.#lastError ??
      new DpvsdError(
        'closed',
        this.#ended ? 'this connection was closed' : `dpvsd at ${this.#path} closed the connection`,
        this.#ended ? '' : 'is dpvsd still running?',
      );
    for (const pending of this.#pending.splice(0)) pending.fail(this.#failure);
    this.#settleClosed(this.#ended ? undefined : this.#failure);
  }
}

/** The bytes of Rows in a Reply to this request, or undefined when the reply is another. */
function rowsOf(reply: Uint8Array, id: number): Uint8Array | undefined {
  const reader = new BinaryReader(reply);
  // Fields 1 and 4 of Reply: id, rows.
  if (reader.uint32() !== 8 || Number(reader.uint64()) !== id || reader.uint32() !== 34) return undefined;
  const rows = reader.bytes();
  return reader.pos === reply.length ? rows : undefined;
}

function fromWire(
  error: { code: string; text: string; hint: string },
  operation: number | undefined,
): DpvsdError {
  return new DpvsdError(
    error.code || 'invalid',
    error.text || 'refused without a reason',
    error.hint,
    operation,
  );
}

function foreign(path: string, cause?: unknown): DpvsdError {
  return new DpvsdError(
    'protocol',
    `what answers at ${path} does not speak dpvsd's control protocol${cause instanceof Error ? ` (${cause.message})` : ''}`,
    'is another program listening there?',
  );
}

function unreachable(path: string, error: NodeJS.ErrnoException): DpvsdError {
  const hint = 'is dpvsd running? DPVS_IPC_FILE selects the socket of another instance';
  switch (error.code) {
    case 'ENOENT':
      return new DpvsdError('unreachable', `there is no control socket at ${path}`, hint);
    case 'ECONNREFUSED':
      return new DpvsdError('unreachable', `nobody listens at ${path} any more`, hint);
    case 'EACCES':
    case 'EPERM':
      return new DpvsdError(
        'unreachable',
        `no permission to use ${path}`,
        'run this as root, or as a member of the group that owns the socket',
      );
    default:
      return new DpvsdError('unreachable', `cannot connect to ${path}: ${error.message}`, hint);
  }
}
