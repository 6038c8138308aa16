import { networkInterfaces } from 'node:os';
import type { Clock, Timer } from '../lib/clock.js';

/** How often the addresses of this machine are looked at while somebody asks for one. Milliseconds. */
const PERIOD = 1000;

/** Knows which of some addresses are on this machine, for ha_suspend. */
export class AddressWatch {
  readonly #clock: Clock;
  readonly #changed: () => void;
  readonly #own: () => Iterable<string>;
  #wanted: ReadonlySet<string> = new Set();
  #present = new Set<string>();
  #timer: Timer | undefined;
  /** Addresses that another part of the suite holds, e.g. in the dataplane. */
  #elsewhere: ReadonlySet<string> = new Set();

  /** @param own the addresses of this machine at the moment */
  constructor(clock: Clock, changed: () => void, own: () => Iterable<string> = kernelAddresses) {
    this.#clock = clock;
    this.#changed = changed;
    this.#own = own;
  }

  /** Watches these from now on. */
  watch(addresses: ReadonlySet<string>): void {
    this.#wanted = addresses;
    this.#timer?.cancel();
    this.#timer = undefined;
    if (addresses.size === 0) return;
    this.#look();
    this.#later();
  }

  /** Tells which addresses are in the dataplane, which counts as being here. */
  setElsewhere(addresses: ReadonlySet<string>): void {
    this.#elsewhere = addresses;
    if (this.#wanted.size > 0 && this.#look()) this.#changed();
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
        if (this.#look()) this.#changed();
        this.#later();
      },
      'addresses for ha_suspend',
    );
  }

  #look(): boolean {
    const own = new Set(this.#own());
    const present = new Set(
      [...this.#wanted].filter((address) => own.has(address) || this.#elsewhere.has(address)),
    );
    const same =
      present.size === this.#present.size && [...present].every((address) => this.#present.has(address));
    this.#present = present;
    return !same;
  }
}

function* kernelAddresses(): Iterable<string> {
  for (const addresses of Object.values(networkInterfaces())) {
    for (const { address } of addresses ?? []) yield address.replace(/%.*$/, '');
  }
}
