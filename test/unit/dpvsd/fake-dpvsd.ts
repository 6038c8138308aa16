import { randomBytes } from 'node:crypto';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server as NetServer, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { frame, Unframer } from '../../../dpvsd/framing.js';
import { Constant, type Get, Reply, Request, type Row, Table } from '../../../dpvsd/generated/control.js';
import { FakeTables, Refusal } from './fake-tables.js';

/** Rows per message: small, so that tests see a table arrive in pieces. */
const ROWS_PER_MESSAGE = 50;

/**
 * A dpvsd without a dataplane for tests: a real Unix socket, real framing, the control contract kept honestly (atomic
 * batches, verbs, errors, order of replies, back-pressure), tables in memory.
 */
export class FakeDpvsd {
  readonly path: string;
  /** What the daemon knows. Tests may look into it, and put rows of traffic there. */
  tables = new FakeTables();
  bootId = newBootId();
  version = '0.1.0-fake';
  protocol: number = Constant.CONSTANT_PROTOCOL;
  /** Every batch that was applied: its number of operations. */
  readonly batches: number[] = [];
  /** Programs that said Hello. */
  readonly hellos: string[] = [];
  /** Tables that were asked for so far. */
  gets = 0;
  /** Rows that were handed to the sockets. */
  rowsSent = 0;
  /** While true, requests are taken and not answered. */
  silent = false;

  readonly #folder: string;
  #server: NetServer | undefined;
  readonly #sockets = new Set<Socket>();
  /** Connections that asked to hear of changes of addresses. */
  readonly #watching = new Set<Socket>();

  private constructor() {
    this.#folder = mkdtempSync(join(tmpdir(), `fake-dpvsd-${process.pid}-`));
    this.path = join(this.#folder, 'ipc');
  }

  /** Starts one on a socket of its own. */
  static async start(): Promise<FakeDpvsd> {
    const fake = new FakeDpvsd();
    await fake.listen();
    return fake;
  }

  /** Listens again after `die`. */
  async listen(): Promise<void> {
    const server = createServer((socket) => this.#serve(socket));
    this.#server = server;
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.path, resolve);
    });
  }

  /** Ends as a killed process does: connections break, the socket is gone; tables stay until `reboot`. */
  async die(): Promise<void> {
    const server = this.#server;
    this.#server = undefined;
    for (const socket of this.#sockets) socket.destroy();
    if (server) await new Promise<void>((resolve) => server.close(() => resolve()));
  }

  /** Forgets everything and takes a new boot id, as a new process would. */
  reboot(): void {
    this.tables = new FakeTables();
    this.bootId = newBootId();
  }

  /** Breaks all connections, the daemon itself goes on. */
  dropClients(): void {
    for (const socket of this.#sockets) socket.destroy();
  }

  /** Ends and removes the socket's folder. */
  async stop(): Promise<void> {
    await this.die();
    rmSync(this.#folder, { recursive: true, force: true });
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('close', () => {
      this.#sockets.delete(socket);
      this.#watching.delete(socket);
    });
    socket.on('error', () => {});
    const unframer = new Unframer();
    let greeted = false;
    const reply = (id: number, body: NonNullable<Reply['body']>) => {
      socket.write(frame(Reply.encode({ id, body }).finish()));
    };
    const error = (id: number, code: string, text: string, hint = '', operation = 0) =>
      reply(id, { $case: 'error', value: { code, text, hint, operation } });

    reply(0, {
      $case: 'greeting',
      value: {
        protocol: this.protocol,
        version: this.version,
        bootId: this.bootId,
        pid: process.pid,
        started: 1_700_000_000,
        workers: this.tables.workers.filter(({ role }) => role === 'worker').length,
        ports: [...this.tables.links.keys()],
      },
    });

    const handle = async ({ id, body }: Request): Promise<void> => {
      if (!body || id === 0) throw new Refusal('protocol', 'a request needs an id and a body');
      if (!greeted) {
        if (body.$case !== 'hello') throw new Refusal('protocol', 'the first request must be a hello');
        if (body.value.protocol !== Constant.CONSTANT_PROTOCOL) {
          throw new Refusal(
            'protocol',
            `protocol ${body.value.protocol} is not ${Constant.CONSTANT_PROTOCOL}`,
          );
        }
        greeted = true;
        this.hellos.push(body.value.client);
        if (body.value.watch.includes(Table.TABLE_ADDRESSES)) this.#watching.add(socket);
        return;
      }
      switch (body.$case) {
        case 'hello':
          throw new Refusal('protocol', 'a second hello');
        case 'apply': {
          try {
            const generation = this.tables.apply(body.value);
            if (!body.value.dryRun) this.batches.push(body.value.operations.length);
            if (body.value.operations.some(({ object }) => object?.$case === 'address')) this.#tellChange();
            reply(id, { $case: 'applied', value: { operations: body.value.operations.length, generation } });
          } catch (refusal) {
            if (!(refusal instanceof Refusal)) throw refusal;
            error(id, refusal.code, refusal.message, refusal.hint, refusal.operation);
          }
          return;
        }
        case 'get':
          this.gets++;
          await this.#stream(socket, id, body.value, reply);
          return;
      }
    };

    // One request after the other: replies come in the order of the requests.
    let work = Promise.resolve();
    socket.on('data', (chunk) => {
      unframer.push(chunk);
      work = work.then(async () => {
        try {
          for (let message = unframer.next(); message && !socket.destroyed; message = unframer.next()) {
            const request = Request.decode(message);
            if (!this.silent) await handle(request);
          }
        } catch (reason) {
          error(0, 'protocol', reason instanceof Error ? reason.message : String(reason));
          socket.destroySoon();
        }
      });
    });
  }

  #tellChange(): void {
    const body = { $case: 'changed' as const, value: { table: Table.TABLE_ADDRESSES } };
    for (const socket of this.#watching) socket.write(frame(Reply.encode({ id: 0, body }).finish()));
  }

  async #stream(
    socket: Socket,
    id: number,
    get: Get,
    reply: (id: number, body: NonNullable<Reply['body']>) => void,
  ): Promise<void> {
    let rows: Row[] = [];
    let count = 0;
    const flush = async () => {
      reply(id, { $case: 'rows', value: { rows } });
      this.rowsSent += rows.length;
      rows = [];
      if (socket.writableNeedDrain && !socket.destroyed) {
        await new Promise<void>((resolve) => {
          const go = () => {
            socket.off('drain', go);
            socket.off('close', go);
            resolve();
          };
          socket.on('drain', go);
          socket.on('close', go);
        });
      }
    };
    for (const row of this.tables.rows(get)) {
      if (get.limit > 0 && count >= get.limit) break;
      rows.push(row);
      count++;
      if (rows.length >= ROWS_PER_MESSAGE) await flush();
      if (socket.destroyed) return;
    }
    if (rows.length > 0) await flush();
    reply(id, { $case: 'done', value: { rows: count } });
  }
}

function newBootId(): string {
  return randomBytes(16).toString('hex');
}
