import { release } from 'node:os';
import type { VirtualAddress } from '../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import type { Log } from '../lib/log.js';
import {
  addAddressRequest,
  deleteAddressRequest,
  IFA_F_HOMEADDRESS,
  IFA_F_MANAGETEMPADDR,
  IFA_F_MCAUTOJOIN,
  IFA_F_NODAD,
  IFA_F_NOPREFIXROUTE,
  type InterfaceAddress,
} from '../lib/netlink/address.js';
import type { MessageWriter } from '../lib/netlink/message.js';
import type { NetlinkSocket } from '../lib/netlink/socket.js';
import { type AddressSink, type PlacedAddress, placeKey } from './addresses.js';
import type { Announcer } from './announcer.js';
import type { Interfaces } from './interfaces.js';

/** Marks addresses and routes as put there by a keepalived (rt_protos). */
export const PROTOCOL_KEEPALIVED = 18;

/** Kernels from 5.18 on remember who put an address in place (IFA_PROTO). */
const marksKept = (() => {
  const [major = 0, minor = 0] = release().split('.').map(Number);
  return major > 5 || (major === 5 && minor >= 18);
})();

/**
 * Virtual addresses on the kernel's interfaces. An address that was there before, put by somebody else (an owner's own address),
 * is left as it is, also when the mastership ends.
 */
export class KernelAddresses implements AddressSink {
  readonly #netlink: NetlinkSocket;
  readonly #interfaces: Interfaces;
  readonly #announcer: Announcer;
  readonly #log: Log;
  /** Addresses that belong to somebody else. */
  readonly #foreign = new Set<string>();
  readonly #made = new WeakMap<VirtualAddress, Ready>();

  constructor(netlink: NetlinkSocket, interfaces: Interfaces, announcer: Announcer, log: Log) {
    this.#netlink = netlink;
    this.#interfaces = interfaces;
    this.#announcer = announcer;
    this.#log = log;
  }

  prepare(addresses: readonly PlacedAddress[]): void {
    for (const placed of addresses) {
      const one = this.#interfaces.get(placed.interface);
      if (one) this.#ready(placed, one.link.index);
    }
    this.#announcer.prepare(addresses);
  }

  add(addresses: readonly PlacedAddress[]): void {
    const known: PlacedAddress[] = [];
    const requests: MessageWriter[] = [];
    for (const placed of addresses) {
      const one = this.#interfaces.get(placed.interface);
      if (!one) {
        this.#log.error(`cannot add address ${describe(placed)}: no such interface`);
        continue;
      }
      const { request, key } = this.#ready(placed, one.link.index);
      const present = marksKept ? one.addresses.get(key) : undefined;
      const foreign = present !== undefined && present.protocol !== PROTOCOL_KEEPALIVED;
      if (foreign) {
        this.#foreign.add(placeKey(placed));
        continue;
      }
      this.#foreign.delete(placeKey(placed));
      known.push(placed);
      requests.push(request);
    }
    for (const [i, error] of this.#netlink.batch(requests).entries()) {
      if (error) this.#log.error(`cannot add address ${describe(known[i]!)}: ${error.message}`);
    }
  }

  /** The request that adds an address, made once: a take-over of a thousand addresses only has to send them. */
  #ready(placed: PlacedAddress, index: number): Ready {
    const made = this.#made.get(placed.spec);
    if (made?.index === index) return made;
    const { spec } = placed;
    const prefixLength = spec.peer?.prefixLength ?? spec.prefixLength;
    const ready = {
      index,
      key: `${formatIp(parseIp(spec.address))}/${prefixLength}`,
      request: addAddressRequest(interfaceAddress(spec, index)),
    };
    this.#made.set(spec, ready);
    return ready;
  }

  remove(addresses: readonly PlacedAddress[]): void {
    this.silence(addresses);
    const known = this.#resolve(addresses);
    const errors = this.#netlink.batch(known.map(({ address }) => deleteAddressRequest(address)));
    for (const [i, error] of errors.entries()) {
      if (!error || error.code === 'EADDRNOTAVAIL' || error.code === 'ENODEV') continue;
      this.#log.error(`cannot remove address ${describe(known[i]!.placed)}: ${error.message}`);
    }
  }

  announce(addresses: readonly PlacedAddress[], repeat: number): void {
    this.#announcer.announce(addresses, repeat);
  }

  silence(addresses: readonly PlacedAddress[]): void {
    this.#announcer.silence(addresses);
  }

  leftBehind(addresses: readonly PlacedAddress[]): PlacedAddress[] {
    return addresses.filter((placed) => {
      const present = this.#present(placed);
      // Without marks what is configured as ours is taken for ours.
      return present && (!marksKept || present.protocol === PROTOCOL_KEEPALIVED);
    });
  }

  #present({ interface: name, spec }: PlacedAddress): InterfaceAddress | undefined {
    const prefixLength = spec.peer?.prefixLength ?? spec.prefixLength;
    return this.#interfaces.get(name)?.addresses.get(`${formatIp(parseIp(spec.address))}/${prefixLength}`);
  }

  flush(): Promise<void> {
    return Promise.resolve();
  }

  close(): void {}

  #resolve(addresses: readonly PlacedAddress[]): { placed: PlacedAddress; address: InterfaceAddress }[] {
    const known: { placed: PlacedAddress; address: InterfaceAddress }[] = [];
    for (const placed of addresses) {
      if (this.#foreign.has(placeKey(placed))) continue;
      const one = this.#interfaces.get(placed.interface);
      if (one) known.push({ placed, address: interfaceAddress(placed.spec, one.link.index) });
    }
    return known;
  }
}

interface Ready {
  index: number;
  /** As interfaces list it. */
  key: string;
  request: MessageWriter;
}

/** How the kernel is told of an address. */
export function interfaceAddress(spec: VirtualAddress, index: number): InterfaceAddress {
  const address = parseIp(spec.address);
  const six = address.length === 16;
  // A new master's address is no duplicate: detection would keep it silent for a second (RFC 9568 8.2.2).
  let flags = six ? IFA_F_NODAD : 0;
  if (spec.home) flags |= IFA_F_HOMEADDRESS;
  if (spec.manageTemporaryAddress) flags |= IFA_F_MANAGETEMPADDR;
  if (spec.noPrefixRoute) flags |= IFA_F_NOPREFIXROUTE;
  if (spec.autoJoin) flags |= IFA_F_MCAUTOJOIN;
  const preferred = spec.preferredLifetime ?? (six && spec.prefixLength === 128 ? 0 : 'forever');
  return {
    index,
    address,
    prefixLength: spec.prefixLength,
    protocol: PROTOCOL_KEEPALIVED,
    ...(flags ? { flags } : {}),
    ...(spec.scope === undefined ? {} : { scope: spec.scope }),
    ...(spec.broadcast === undefined ? {} : { broadcast: parseIp(spec.broadcast) }),
    ...(spec.label === undefined ? {} : { label: spec.label }),
    ...(spec.peer
      ? { peer: { address: parseIp(spec.peer.address), prefixLength: spec.peer.prefixLength } }
      : {}),
    ...(preferred === 'forever' ? {} : { preferredLifetime: preferred }),
  };
}

function describe(placed: PlacedAddress): string {
  return `${placed.spec.address}/${placed.spec.prefixLength} on ${placed.interface}`;
}
