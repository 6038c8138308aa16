import type { VirtualAddress } from '../keepalived/model/vrrp.js';

/** A virtual address and where it belongs: an interface of the kernel, or a port of the dataplane. */
export interface PlacedAddress {
  spec: VirtualAddress;
  interface: string;
}

/** Where virtual addresses live. Calls never throw: what cannot be done is logged, and the election goes on. */
export interface AddressSink {
  /** Gets ready what `add` will need, while there is time. */
  prepare(addresses: readonly PlacedAddress[]): void;
  /** Puts addresses in place, all in one go; they may be there already. */
  add(addresses: readonly PlacedAddress[]): void;
  /** Takes addresses away; they may be gone already. Returns when the kernel has done it, or the order is under way. */
  remove(addresses: readonly PlacedAddress[]): void;
  /** Tells the network where the addresses are now, each `repeat` times, paced as configured. */
  announce(addresses: readonly PlacedAddress[], repeat: number): void;
  /** Ends announcements of these addresses that have not been sent yet. */
  silence(addresses: readonly PlacedAddress[]): void;
  /** Which of these addresses are in place although this process did not put them there: left by a crash. */
  leftBehind(addresses: readonly PlacedAddress[]): PlacedAddress[];
  /** Waits until everything ordered so far is done; for the orderly end. */
  flush(): Promise<void>;
  close(): void;
}

/** Text that names a placed address among all others. */
export function placeKey(address: PlacedAddress): string {
  return `${address.interface} ${address.spec.address}/${address.spec.prefixLength}`;
}
