import type { VrrpInstance } from '../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { AUTH_DATA_LENGTH, encodeV2 } from './packet/advertisement-v2.js';
import { type ChecksumV3, encodeV3 } from './packet/advertisement-v3.js';
import { encodeTrailer, HmacSequence } from './packet/auth-hmac.js';
import { encodeAuthenticationHeader, signPacket } from './packet/authentication-header.js';
import type { Channel } from './transport.js';

/** Makes and sends the adverts of one virtual router. */
export class AdvertSender {
  readonly #sequence = new HmacSequence();
  #authenticationSequence = 0;
  #instance!: VrrpInstance;
  #addresses: Uint8Array[] = [];
  #peers: { text: string; bytes: Uint8Array }[] = [];
  #group!: Uint8Array;

  constructor(instance: VrrpInstance) {
    this.configure(instance);
  }

  configure(instance: VrrpInstance): void {
    this.#instance = instance;
    this.#addresses = instance.virtualAddresses.map(({ address }) => parseIp(address));
    this.#peers = (instance.unicastPeers ?? []).map(({ address }) => ({
      text: address,
      bytes: parseIp(address),
    }));
    this.#group = parseIp(instance.multicastGroup);
  }

  /**
   * Sends one advert to the group or to every peer.
   * @param oldChecksumPeers peers that use the multicast group in the pseudo header of unicast
   * @returns error numbers of the sends that failed, by destination
   */
  send(
    channel: Channel,
    source: Uint8Array,
    priority: number,
    oldChecksumPeers: ReadonlySet<string>,
  ): Map<string, number> {
    const failed = new Map<string, number>();
    const instance = this.#instance;
    const destinations = instance.unicastPeers
      ? this.#peers
      : [{ text: instance.multicastGroup, bytes: this.#group }];
    // One sequence number for all copies of an advert: the trailer does not cover the destination.
    const sequence = this.#signs() ? this.#sequence.next(Date.now(), instance.authHmac!) : 0n;
    for (const { text, bytes } of destinations) {
      const old =
        instance.unicastPeers !== undefined &&
        (instance.oldUnicastChecksum === 'always' || oldChecksumPeers.has(text));
      const advert = this.#advert(source, priority, old ? this.#group : bytes, sequence);
      const error =
        instance.authentication?.type === 'ah'
          ? this.#sendSigned(channel, source, bytes, advert, instance.authentication.password)
          : channel.send(advert, bytes);
      if (error !== 0) failed.set(text, error);
    }
    return failed;
  }

  #signs(): boolean {
    const { authHmac } = this.#instance;
    return authHmac !== undefined && authHmac.mode !== 'receive-only';
  }

  /**
   * The next authentication header counts from this number at least: keepalived nodes refuse a number that is not above all
   * they have sent or received, so that a node that starts at 1 would not be heard for a while.
   */
  outrun(sequence: number): void {
    if (sequence > this.#authenticationSequence) this.#authenticationSequence = sequence;
  }

  /** @param summed destination in the pseudo header of the checksum */
  #advert(source: Uint8Array, priority: number, summed: Uint8Array, sequence: bigint): Buffer {
    const instance = this.#instance;
    const common = {
      virtualRouterId: instance.virtualRouterId,
      priority,
      interval: instance.advertInterval,
      addresses: this.#addresses,
    };
    let advert: Buffer;
    if (instance.version === 2) {
      const authentication = instance.authentication;
      const password = Buffer.alloc(AUTH_DATA_LENGTH);
      if (authentication?.type === 'pass') password.write(authentication.password, 'utf8');
      advert = encodeV2(
        {
          version: 2,
          ...common,
          authenticationType: authentication === undefined ? 0 : authentication.type === 'pass' ? 1 : 2,
          authenticationData: password,
        },
        instance.family,
      );
    } else {
      const sum: ChecksumV3 = instance.v3ChecksumAsV2 ? 'plain' : { source, destination: summed };
      advert = encodeV3({ version: 3, ...common, authenticationType: 0 }, instance.family, sum);
    }
    if (this.#signs()) {
      const hmac = instance.authHmac!;
      const key = hmac.keys.find(({ id }) => id === hmac.activeKey);
      if (key) {
        const trailer = encodeTrailer(advert, key.id, key.secretHex, sequence, {
          family: instance.family,
          version: instance.version,
          virtualRouterId: instance.virtualRouterId,
          source,
        });
        advert = Buffer.concat([advert, trailer]);
      }
    }
    return advert;
  }

  /** With an authentication header, whose check value covers the IP header too. */
  #sendSigned(
    channel: Channel,
    source: Uint8Array,
    destination: Uint8Array,
    advert: Buffer,
    password: string,
  ): number {
    this.#authenticationSequence = (this.#authenticationSequence + 1) >>> 0 || 1;
    const header = encodeAuthenticationHeader(source, this.#authenticationSequence);
    const front = channel.header(header.length + advert.length, destination);
    const packet = Buffer.concat([front, header, advert]);
    signPacket(packet, password, this.#instance.unicastPeers !== undefined);
    return channel.send(packet.subarray(front.length), destination, front);
  }
}

/** Addresses that a right advert of this instance lists. */
export function advertisedAddresses(instance: VrrpInstance): Set<string> {
  return new Set(instance.virtualAddresses.map(({ address }) => formatIp(parseIp(address))));
}
