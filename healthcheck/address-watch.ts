import { networkInterfaces } from 'node:os';
import type { Clock, Timer } from '../lib/clock.js';

/** How often the addresses of this machine are looked at while somebody asks for one. Milliseconds. */
const PERIOD = 1000;

/** Knows which of some addresses are on this machine, for ha_suspend. */
export class AddressWatch {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #dataplane: () => Promise<Set<string>>;
  #wanted: ReadonlySet<string> = new Set();
  #present = new Set<string>();
  #timer: Timer | undefined;

  /**
   * @param changed called after some address came or went
   * @param dataplane addresses that the dataplane holds, which count as being here
   */
  constructor(clock: Clock, changed: () => void, dataplane: () => Promise<Set<string>>) {
    this.#clock = clock;
    this.#changed = changed;
    this.#dataplane = dataplane;
  }

  /** Watches these from now on. Resolves when it is known which of them are here. */
  async watch(addresses: ReadonlySet<string>): Promise<void> {
    this.#wanted = addresses;
    this.close();
    if (addresses.size === 0) return;
    await this.#look();
    this.#later();
  }

  present(address: string): boolean {
    return this.#present.has(address);
  }

  close(): void {
    this.#timer?.cancel();
    this.#timer = undefined;
  }

  #later(): void {
    this.#timer = this.#clock.after(
      PERIOD,
      () => {
        void this.#look().then((changed) => {
          if (!this.#timer) return;
          if (changed) this.#changed();
          this.#later();
        });
      },
      'addresses for ha_suspend',
    );
  }

  async #look(): Promise<boolean> {
    const own = await this.#dataplane();
    for (const addresses of Object.values(networkInterfaces())) {
      for (const { address } of addresses ?? []) own.add(address.replace(/%.*$/, ''));
    }
    const present = new Set([...this.#wanted].filter((address) => own.has(address)));
    const same =
      present.size === this.#present.size && [...present].every((address) => this.#present.has(address));
    this.#present = present;
    return !same;
  }
}
