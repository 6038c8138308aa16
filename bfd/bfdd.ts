import { existsSync } from 'node:fs';
import type { BfdInstance } from '../keepalived/model/bfd.js';
import type { Clock, Timer } from '../lib/clock.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { openUnixVty } from '../lib/vty/unix.js';
import type { Vty } from '../lib/vty/vty.js';

/** How often sessions are read, and how long bfdd may take for an answer, milliseconds. A reading takes it some 0.3 ms. */
const READ_INTERVAL = 50;
const ANSWER_LIMIT = 1000;
/** Pauses between attempts to reach a bfdd that is gone, milliseconds. */
const FIRST_RETRY = 200;
const LAST_RETRY = 5000;

/** A session of FRR's bfdd, as far as it tells whose it is and how it stands. */
export interface BfddPeer {
  /** In canonical form. */
  neighbour: string;
  local: string | undefined;
  multihop: boolean;
  status: string;
}

/** `show bfd peers json` of FRR 8 to 10. @returns undefined when it is something else */
export function readBfddPeers(text: string): BfddPeer[] | undefined {
  const canonical = (address: unknown): string | undefined => {
    try {
      return formatIp(parseIp(address as string));
    } catch {
      return undefined;
    }
  };
  try {
    const rows: unknown = JSON.parse(text);
    if (!Array.isArray(rows)) return undefined;
    return (rows as Record<string, unknown>[]).flatMap((row) => {
      const neighbour = canonical(row.peer);
      if (neighbour === undefined) return [];
      const local = canonical(row.local);
      return [{ neighbour, local, multihop: row.multihop === true, status: String(row.status) }];
    });
  } catch {
    return undefined;
  }
}

/** The session of bfdd that is the configured one. */
export function peerFor(model: BfdInstance, peers: readonly BfddPeer[]): BfddPeer | undefined {
  const neighbour = formatIp(parseIp(model.neighbourIp));
  const source = model.sourceIp === undefined ? undefined : formatIp(parseIp(model.sourceIp));
  return peers.find(
    (one) =>
      one.neighbour === neighbour &&
      one.multihop === model.multihop &&
      (source === undefined || one.local === undefined || one.local === source),
  );
}

/** What belongs into bfdd's configuration for a session that it does not know. */
export function peerLines({ neighbourIp, sourceIp, multihop }: BfdInstance): string {
  const local = sourceIp === undefined ? '' : ` local-address ${sourceIp}`;
  return `bfd / peer ${neighbourIp}${multihop ? ' multihop' : ''}${local}`;
}

/**
 * FRR's bfdd on this machine, whose sessions are followed: two BFD daemons cannot share the port, and bfdd aborts when it does
 * not get it.
 */
export class Bfdd {
  readonly #clock: Clock;
  readonly #path: string;
  #vty: Vty | undefined;
  #timer: Timer | undefined;
  #retry = FIRST_RETRY;
  #closed = false;

  /** @param folder of FRR's VTY sockets */
  constructor(clock: Clock, folder: string) {
    this.#clock = clock;
    this.#path = `${folder}/bfdd.vty`;
  }

  /** Whether there is a socket of it, which a killed one leaves behind. */
  get present(): boolean {
    return existsSync(this.#path);
  }

  /** Whether it lives. */
  async answers(): Promise<boolean> {
    return this.present && (await this.read()).peers !== undefined;
  }

  /** Its sessions, or why they cannot be read. */
  async read(): Promise<{ peers?: BfddPeer[]; error?: string }> {
    try {
      this.#vty ??= await openUnixVty(this.#path, { limit: ANSWER_LIMIT });
      const peers = readBfddPeers(await this.#vty.ask('show bfd peers json'));
      return peers ? { peers } : { error: `${this.#path}: its list of sessions is none that is known` };
    } catch (error) {
      this.#vty?.close();
      this.#vty = undefined;
      return { error: (error as Error).message };
    }
  }

  /** Reads again and again. @param heard is given the sessions, or why there are none */
  follow(heard: (peers: BfddPeer[] | undefined, error: string | undefined) => void): void {
    void this.read().then(({ peers, error }) => {
      if (this.#closed) return;
      heard(peers, error);
      this.#retry = peers ? FIRST_RETRY : Math.min(LAST_RETRY, 2 * this.#retry);
      this.#timer = this.#clock.after(
        peers ? READ_INTERVAL : this.#retry,
        () => this.follow(heard),
        'sessions of bfdd',
      );
    });
  }

  close(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#vty?.close();
  }
}
