import { spawn } from 'node:child_process';
import { createConnection, type Socket } from 'node:net';
import { fileURLToPath } from 'node:url';
import type { OspfBridge } from '../keepalived/model/ospf-bridge.js';
import type { Clock, Timer } from '../lib/clock.js';
import type { KernelSettings } from './kernel.js';

/** What a bridge says to its guard, a line of JSON each. */
export type GuardWord =
  | {
      type: 'settings';
      settings: KernelSettings & Pick<OspfBridge, 'guardTime'>;
    }
  | { type: 'end' };

/** Pauses between attempts to reach the guard, milliseconds. */
const FIRST_RETRY = 100;
const LAST_RETRY = 5000;

/** The bridge's connection to its guard, which it starts when there is none. */
export class GuardClient {
  readonly #clock: Clock;
  readonly #path: string;
  #settings: Extract<GuardWord, { type: 'settings' }>['settings'];
  #socket: Socket | undefined;
  #timer: Timer | undefined;
  #retry = FIRST_RETRY;
  #closed = false;

  /** @param socket the bridge's control socket: the guard's is beside it */
  constructor(clock: Clock, socket: string, settings: Extract<GuardWord, { type: 'settings' }>['settings']) {
    this.#clock = clock;
    this.#path = `${socket}.guard`;
    this.#settings = settings;
    this.#connect();
  }

  set settings(settings: Extract<GuardWord, { type: 'settings' }>['settings']) {
    this.#settings = settings;
    this.#tell();
  }

  get connected(): boolean {
    return this.#socket !== undefined;
  }

  /** Everything is withdrawn: no guard is needed any more. */
  async end(): Promise<void> {
    this.#closed = true;
    this.#timer?.cancel();
    const socket = this.#socket;
    if (!socket) return;
    await new Promise<void>((resolve) => {
      socket.once('close', () => resolve());
      socket.write(`${JSON.stringify({ type: 'end' } satisfies GuardWord)}\n`);
      this.#clock.after(1000, resolve, 'end of the guard');
    });
    socket.destroy();
  }

  /** Leaves the guard to its duty. */
  leave(): void {
    this.#closed = true;
    this.#timer?.cancel();
    this.#socket?.destroy();
  }

  #tell(): void {
    const word: GuardWord = { type: 'settings', settings: this.#settings };
    this.#socket?.write(`${JSON.stringify(word)}\n`);
  }

  #connect(): void {
    if (this.#closed) return;
    const socket = createConnection(this.#path);
    let open = false;
    socket.on('connect', () => {
      open = true;
      this.#socket = socket;
      this.#retry = FIRST_RETRY;
      this.#tell();
    });
    socket.on('error', () => {});
    socket.on('close', () => {
      if (this.#socket === socket) this.#socket = undefined;
      if (this.#closed) return;
      if (!open) this.#start();
      this.#timer = this.#clock.after(this.#retry, () => this.#connect(), 'connect to the guard');
      this.#retry = Math.min(LAST_RETRY, this.#retry * 2);
    });
  }

  #start(): void {
    const program = fileURLToPath(new URL('./guard.js', import.meta.url));
    const options = ['--max-semi-space-size=1', '--max-old-space-size=32'];
    // A session of its own: what ends the front door's group must not end the guard.
    const child = spawn(process.execPath, [...options, program, this.#path], {
      detached: true,
      stdio: ['ignore', 'ignore', 'inherit'],
    });
    child.on('error', () => {});
    child.unref();
  }
}
