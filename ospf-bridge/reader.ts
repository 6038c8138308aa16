import type { OspfBridge } from '../keepalived/model/ospf-bridge.js';
import type { Clock, Timer } from '../lib/clock.js';
import type { Log } from '../lib/log.js';
import type { Announcement } from './announcements.js';
import { prefixOf } from './policy.js';
import { type ReadBack, type Router, routerOf } from './router/router.js';

/** After a change the daemon has some time before it is asked; then until it says what it ought to. Milliseconds. */
const SOON = 300;
const REGULARLY = 10_000;
const FIRST_RETRY = 1000;
const LONGEST_PAUSE = 30_000;
/** How long the daemon may take until its silence about an address is worth an alarm. */
const ALARM_AFTER = 5000;

/** Reads back from the routing daemon, and says aloud when it does not announce what stands in the kernel. */
export class Reader {
  readonly #clock: Clock;
  readonly #log: Log;
  readonly #about: { families(): Set<4 | 6>; expected(): Announcement[] };
  #router: Router;
  #settings: OspfBridge;
  #timer: Timer | undefined;
  #pause = SOON;
  #running: Promise<{ back?: ReadBack; error?: string }> | undefined;
  #said: string | undefined;
  #version: string | undefined;
  #missing = new Set<string>();

  constructor(
    clock: Clock,
    log: Log,
    settings: OspfBridge,
    about: { families(): Set<4 | 6>; expected(): Announcement[] },
  ) {
    this.#clock = clock;
    this.#log = log;
    this.#settings = settings;
    this.#about = about;
    this.#router = routerOf(settings);
    this.#later(SOON);
  }

  set settings(settings: OspfBridge) {
    if (JSON.stringify(settings) === JSON.stringify(this.#settings)) return;
    this.#settings = settings;
    this.#router.close();
    this.#router = routerOf(settings);
    this.soon();
  }

  /** Something has changed: look whether the daemon noticed. */
  soon(): void {
    this.#pause = SOON;
    this.#later(SOON);
  }

  /** What the daemon says now; several questions at once are one. */
  async read(): Promise<{ back?: ReadBack; error?: string }> {
    this.#running ??= this.#read().finally(() => {
      this.#running = undefined;
    });
    return await this.#running;
  }

  close(): void {
    this.#timer?.cancel();
    this.#router.close();
  }

  #later(pause: number): void {
    this.#timer?.cancel();
    this.#timer = this.#clock.after(pause, () => void this.#look(), 'read-back');
  }

  async #read(): Promise<{ back?: ReadBack; error?: string }> {
    try {
      return { back: await this.#router.readBack(this.#about.families()) };
    } catch (error) {
      return { error: (error as Error).message };
    }
  }

  async #look(): Promise<void> {
    const { back, error } = await this.read();
    if (!back) {
      // Once is enough; forwarding and announcing go on without.
      if (error !== this.#said) this.#log.error(`cannot read back from the routing daemon: ${error}`);
      // A daemon that is started anew is back within seconds: the first questions follow soon, whatever the pause was before.
      this.#pause = this.#said === undefined ? FIRST_RETRY : Math.min(LONGEST_PAUSE, 2 * this.#pause);
      this.#said = error;
      this.#later(this.#pause);
      return;
    }
    if (this.#said !== undefined) this.#log.info(`the routing daemon answers again: ${back.version}`);
    this.#said = undefined;
    if (back.version !== this.#version) this.#log.info(`routing daemon: ${back.version}`);
    this.#version = back.version;
    const now = this.#clock.now();
    const wrong = new Set<string>();
    let waiting = false;
    for (const { address, standing, since } of this.#about.expected()) {
      const seen = back.announced.has(prefixOf(address));
      if (seen === (standing !== 'withdrawn')) continue;
      // Somebody else may announce what we do not: that is none of our business.
      if (standing === 'withdrawn') continue;
      if (now - since < ALARM_AFTER) waiting = true;
      else wrong.add(address);
    }
    this.#alarm(wrong);
    this.#pause = waiting ? Math.min(2 * this.#pause, 2000) : REGULARLY;
    this.#later(this.#pause);
  }

  #alarm(wrong: Set<string>): void {
    const fresh = [...wrong].filter((address) => !this.#missing.has(address));
    const healed = [...this.#missing].filter((address) => !wrong.has(address));
    this.#missing = wrong;
    const some = (list: string[]) =>
      list.length > 5 ? `${list.slice(0, 5).join(', ')} and ${list.length - 5} more` : list.join(', ');
    if (fresh.length > 0)
      this.#log.error(
        `the routing daemon does not announce ${some(fresh)}, although the kernel has it: run 'ospf-bridge check'`,
      );
    if (healed.length > 0) this.#log.info(`the routing daemon announces ${some(healed)} now, or need not`);
  }
}
