import { chmodSync, unlinkSync } from 'node:fs';
import { createConnection, createServer, type Server, type Socket } from 'node:net';
import type { Batch, Standing } from './announcements.js';
import { onLines } from './lines.js';
import type { Neighbour } from './router/router.js';

/** What an operator asks of a running bridge: a line of JSON, answered by a line of JSON. */
export type ControlRequest =
  | { command: 'status' }
  | { command: 'drain'; addresses: string[]; withdraw: boolean }
  | { command: 'undrain'; addresses: string[] };

/** What may wait for a client that does not read, bytes; the status of 10,000 addresses is some 2 MB. */
const WAITING_LIMIT = 16 << 20;

/** One address, as `status --json` shows it. */
export interface AddressStatus {
  address: string;
  state: Standing;
  /** What it is about to become, when that is something else. */
  wanted: Standing;
  reason: string;
  /** ISO 8601; null when it has not changed since the bridge runs. */
  since: string | null;
  /** Whether the routing daemon announces it; null when it cannot be asked. */
  seen: boolean | null;
  metric: number | null;
  problem: string | null;
}

export interface BridgeStatus {
  router: { kind: string; version: string | null; problem: string | null };
  dataplane: 'up' | 'down' | 'unknown' | 'none';
  guard: boolean;
  addresses: AddressStatus[];
  /** The last changes, and how long the bridge took for them; null when there were none. */
  lastBatch: Batch | null;
  neighbours: Neighbour[];
}

export type ControlReply = { ok: true; status?: BridgeStatus; text?: string } | { ok: false; error: string };

/** The bridge's control socket, mode 0660. */
export class ControlServer {
  readonly #server: Server;
  readonly #path: string;
  readonly #clients = new Set<Socket>();

  constructor(
    path: string,
    answer: (request: ControlRequest) => Promise<ControlReply>,
    complain: (sentence: string) => void,
  ) {
    this.#path = path;
    this.#server = createServer((socket) => {
      this.#clients.add(socket);
      socket.on('close', () => this.#clients.delete(socket));
      socket.on('error', () => {});
      onLines(socket, (line) => {
        void this.#handle(line, answer).then((reply) => {
          socket.write(`${JSON.stringify(reply)}\n`);
          // Who asks and asks and never reads must not fill our memory.
          if (socket.writableLength > WAITING_LIMIT) socket.destroy();
        });
      });
    });
    let again = true;
    this.#server.on('error', (error: NodeJS.ErrnoException) => {
      if (error.code !== 'EADDRINUSE' || !again) {
        complain(`control socket ${path}: ${error.message}: drain and status will not work`);
        return;
      }
      // Left by a bridge that was killed, or in use by one that lives.
      again = false;
      const probe = createConnection(path);
      probe.on('connect', () => {
        probe.destroy();
        complain(
          `control socket ${path} belongs to another bridge that runs: give this one a 'socket' of its own`,
        );
      });
      probe.on('error', () => {
        unlinkSync(path);
        this.#listen();
      });
    });
    this.#listen();
  }

  close(): void {
    this.#server.close();
    for (const client of this.#clients) client.destroy();
  }

  #listen(): void {
    this.#server.listen(this.#path, () => {
      try {
        chmodSync(this.#path, 0o660);
      } catch {
        // Removed meanwhile.
      }
    });
  }

  async #handle(
    line: string,
    answer: (request: ControlRequest) => Promise<ControlReply>,
  ): Promise<ControlReply> {
    try {
      return await answer(JSON.parse(line) as ControlRequest);
    } catch (error) {
      return { ok: false, error: (error as Error).message };
    }
  }
}

/** Asks a running bridge. @throws Error with what to do when there is none */
export function askBridge(path: string, request: ControlRequest): Promise<ControlReply> {
  return new Promise((resolve, reject) => {
    const socket = createConnection(path);
    const limit = setTimeout(() => {
      socket.destroy();
      reject(new Error(`${path}: no answer within 10 seconds`));
    }, 10_000);
    socket.on('connect', () => socket.write(`${JSON.stringify(request)}\n`));
    socket.on('error', (error: NodeJS.ErrnoException) => {
      clearTimeout(limit);
      reject(
        new Error(
          error.code === 'EACCES'
            ? `no permission for ${path}: run as root`
            : `no bridge answers at ${path}: does keepalived run, with an ospf_bridge block? (${error.code})`,
        ),
      );
    });
    onLines(socket, (line) => {
      clearTimeout(limit);
      socket.destroy();
      resolve(JSON.parse(line) as ControlReply);
    });
    socket.on('close', () => {
      clearTimeout(limit);
      reject(new Error(`${path}: the bridge closed the connection without an answer`));
    });
  });
}
