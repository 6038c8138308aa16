import type { VrrpInstance } from '../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../lib/ip.js';
import { AUTH_DATA_LENGTH, encodeV2 } from './packet/advertisement-v2.js';
import { type ChecksumV3, encodeV3 } from './packet/advertisement-v3.js';
import { encodeTrailer, HmacSequence } from './packet/auth-hmac.js';
import { encodeAuthenticationHeader, signPacket } from './packet/authentication-header.js';
import type { Channel } from './transport.js';

/** Adverts that are ready to be sent again: nothing in them has changed. */
interface Ready {
  channel: Channel;
  source: Uint8Array;
  priority: number;
  /** Peers with the old checksum, as text. */
  old: string;
  sends: { text: string; send: () => number }[];
}

const noneFailed: ReadonlyMap<string, number> = new Map();

/** Makes and sends the adverts of one virtual router. */
export class AdvertSender {
  readonly #sequence = new HmacSequence();
  #authenticationSequence = 0;
  #instance!: VrrpInstance;
  #addresses: Uint8Array[] = [];
  #peers: { text: string; bytes: Uint8Array }[] = [];
  #group!: Uint8Array;
  #ready: Ready | undefined;

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
    this.#ready = undefined;
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
  ): ReadonlyMap<string, number> {
    const instance = this.#instance;
    let failed: Map<string, number> | undefined;
    const note = (text: string, error: number) => {
      failed ??= new Map();
      failed.set(text, error);
    };
    if (!this.#signs() && instance.authentication?.type !== 'ah') {
      for (const { text, send } of this.#made(channel, source, priority, oldChecksumPeers)) {
        const error = send();
        if (error !== 0) note(text, error);
      }
      return failed ?? noneFailed;
    }
    // One sequence number for all copies of an advert: the trailer does not cover the destination.
    const sequence = this.#signs() ? this.#sequence.next(Date.now(), instance.authHmac!) : 0n;
    for (const { text, bytes } of this.#destinations()) {
      const advert = this.#advert(source, priority, this.#summed(text, bytes, oldChecksumPeers), sequence);
      const error =
        instance.authentication?.type === 'ah'
          ? this.#sendSigned(channel, source, bytes, advert, instance.authentication.password)
          : channel.send(advert, bytes);
      if (error !== 0) note(text, error);
    }
    return failed ?? noneFailed;
  }

  #destinations(): { text: string; bytes: Uint8Array }[] {
    const { unicastPeers, multicastGroup } = this.#instance;
    return unicastPeers ? this.#peers : [{ text: multicastGroup, bytes: this.#group }];
  }

  /** Destination in the pseudo header of the checksum. */
  #summed(text: string, bytes: Uint8Array, oldChecksumPeers: ReadonlySet<string>): Uint8Array {
    const { unicastPeers, oldUnicastChecksum } = this.#instance;
    const old = unicastPeers !== undefined && (oldUnicastChecksum === 'always' || oldChecksumPeers.has(text));
    return old ? this.#group : bytes;
  }

  /** Adverts without number or signature, made when something in them has changed. */
  #made(
    channel: Channel,
    source: Uint8Array,
    priority: number,
    oldChecksumPeers: ReadonlySet<string>,
  ): Ready['sends'] {
    const old = oldChecksumPeers.size === 0 ? '' : [...oldChecksumPeers].join();
    const ready = this.#ready;
    if (
      ready?.channel === channel &&
      ready.source === source &&
      ready.priority === priority &&
      ready.old === old
    ) {
      return ready.sends;
    }
    const sends = this.#destinations().map(({ text, bytes }) => {
      const advert = this.#advert(source, priority, this.#summed(text, bytes, oldChecksumPeers), 0n);
      return { text, send: channel.prepare(advert, bytes) };
    });
    this.#ready = { channel, source, priority, old, sends };
    return sends;
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
