import assert from 'node:assert/strict';
import { type Family, instanceDefaults, type VrrpInstance } from '../../../keepalived/model/vrrp.js';
import { parseIp } from '../../../lib/ip.js';
import { encodeV2 } from '../../../vrrp/packet/advertisement-v2.js';
import { encodeV3 } from '../../../vrrp/packet/advertisement-v3.js';
import { encodeTrailer, HmacSequence, ReplayGuard } from '../../../vrrp/packet/auth-hmac.js';
import { checkPacketFor, type ReceiveContext, type ReceivedPacket } from '../../../vrrp/receive.js';
import { type captures, packet } from './packet/captures.js';

const NOW = 1_700_000_000_000;

function context(about: Partial<VrrpInstance>, addresses: string[], family: Family = 'ipv4'): ReceiveContext {
  const instance = { ...instanceDefaults('VI', 1, family), ...about };
  return {
    instance,
    addresses: new Set(addresses),
    unicastPeers: new Map((instance.unicastPeers ?? []).map((peer) => [peer.address, peer])),
    replay: new ReplayGuard(),
    authenticationSequence: new Map(),
    oldChecksumPeers: new Set(),
    master: false,
    lastMaster: undefined,
  };
}

function captured(name: keyof typeof captures): ReceivedPacket {
  const bytes = packet(name);
  if (bytes[0]! >> 4 === 6) {
    return {
      source: bytes.subarray(8, 24),
      destination: bytes.subarray(24, 40),
      ttl: bytes[7]!,
      protocol: bytes[6]!,
      payload: bytes.subarray(40),
    };
  }
  return {
    source: bytes.subarray(12, 16),
    destination: bytes.subarray(16, 20),
    ttl: bytes[8]!,
    protocol: bytes[9]!,
    payload: bytes.subarray(20),
    packet: bytes,
  };
}

function verdict(where: ReceiveContext, what: ReceivedPacket, now = NOW): string {
  const found = checkPacketFor(where, what, now);
  if ('drop' in found) return found.drop;
  return found.addressMismatch === undefined ? 'accept' : 'accept, other addresses';
}

const peer = { address: '10.9.0.1', minTtl: 0, maxTtl: 255 };
const pass: Partial<VrrpInstance> = { authentication: { type: 'pass', password: 'secret1' } };

describe('checks of received adverts', () => {
  it('accepts what keepalived sends', () => {
    const v2 = ['10.9.0.100', '10.9.0.101'];
    assert.equal(verdict(context(pass, v2), captured('v2pass')), 'accept');
    assert.equal(verdict(context(pass, v2), captured('v2passZero')), 'accept');
    assert.equal(verdict(context({}, ['10.9.0.107']), captured('v2none')), 'accept');
    const ah: Partial<VrrpInstance> = { authentication: { type: 'ah', password: 'secret2' } };
    assert.equal(verdict(context(ah, ['10.9.0.102']), captured('v2ah')), 'accept');
    const unicast: Partial<VrrpInstance> = {
      authentication: { type: 'ah', password: 'secret3' },
      unicastPeers: [peer],
    };
    assert.equal(verdict(context(unicast, ['10.9.0.106']), captured('v2ahUnicast')), 'accept');
    const v3: Partial<VrrpInstance> = { version: 3, advertInterval: 500 };
    assert.equal(verdict(context(v3, ['10.9.0.103']), captured('v3')), 'accept');
    assert.equal(
      verdict(context({ ...v3, unicastPeers: [peer] }, ['10.9.0.105']), captured('v3unicast')),
      'accept',
    );
    assert.equal(verdict(context(v3, ['fe80::5:1', '2001:db8::5'], 'ipv6'), captured('v3ipv6')), 'accept');
  });

  it('tells of other addresses and goes on', () => {
    assert.equal(verdict(context(pass, ['10.9.0.100']), captured('v2pass')), 'accept, other addresses');
    assert.equal(
      verdict(context(pass, ['10.9.0.100', '10.9.0.109']), captured('v2pass')),
      'accept, other addresses',
    );
    const skipping = context({ ...pass, skipCheckAdvertAddresses: true }, []);
    assert.equal(
      verdict(skipping, captured('v2pass')),
      'accept, other addresses',
      'a new master is compared',
    );
    assert.equal(verdict({ ...skipping, lastMaster: '10.9.0.1' }, captured('v2pass')), 'accept');
    const master = { ...skipping, lastMaster: '10.9.0.1', master: true };
    assert.equal(verdict(master, captured('v2pass')), 'accept, other addresses');
  });

  it('refuses, each for its reason', () => {
    const list = ['10.9.0.100', '10.9.0.101'];
    const good = captured('v2pass');
    const cut = { ...good, payload: good.payload.subarray(0, 10) };
    assert.equal(verdict(context(pass, list), cut), 'length');
    assert.equal(verdict(context(pass, list), { ...good, payload: new Uint8Array(0) }), 'length');
    assert.equal(verdict(context(pass, list), { ...good, ttl: 254 }), 'ttl');
    assert.equal(verdict(context({ version: 3 }, list), good), 'version');
    assert.equal(verdict(context({}, list), good), 'auth-type-mismatch');
    const other: Partial<VrrpInstance> = { authentication: { type: 'pass', password: 'other' } };
    assert.equal(verdict(context(other, list), good), 'auth-failure');
    assert.equal(verdict(context({ ...pass, advertInterval: 2000 }, list), good), 'interval');
    const damaged = { ...good, payload: Buffer.from(good.payload) };
    damaged.payload[9]! ^= 1;
    assert.equal(verdict(context(pass, list), damaged), 'checksum');
    const type = encodeV2(
      {
        version: 2,
        virtualRouterId: 1,
        priority: 1,
        interval: 1000,
        authenticationType: 7,
        addresses: [],
        authenticationData: Buffer.alloc(8),
      },
      'ipv4',
    );
    assert.equal(verdict(context(pass, list), { ...good, payload: type }), 'auth-type-invalid');
    assert.equal(verdict(context({ ...pass, unicastPeers: [peer] }, list), good), 'kind');
    const toUs = { ...captured('v3unicast') };
    const v3: Partial<VrrpInstance> = { version: 3, advertInterval: 500 };
    assert.equal(verdict(context(v3, []), toUs), 'kind');
    const checked = { ...v3, checkUnicastSource: true, unicastPeers: [{ ...peer, address: '10.9.0.7' }] };
    assert.equal(verdict(context(checked, []), toUs), 'unicast-source');
    const near = { ...v3, unicastPeers: [{ ...peer, maxTtl: 254 }] };
    assert.equal(verdict(context(near, []), toUs), 'ttl');
  });

  it('authentication header: wrong password, missing header, replay', () => {
    const ah: Partial<VrrpInstance> = { authentication: { type: 'ah', password: 'secret2' } };
    const list = ['10.9.0.102'];
    assert.equal(
      verdict(context({ authentication: { type: 'ah', password: 'x' } }, list), captured('v2ah')),
      'auth-failure',
    );
    assert.equal(verdict(context(ah, list), captured('v2pass')), 'auth-type-mismatch');
    assert.equal(verdict(context({}, list), captured('v2ah')), 'auth-type-mismatch');
    const where = context(ah, list);
    where.authenticationSequence.set('10.9.0.1', 5);
    assert.equal(verdict(where, captured('v2ah')), 'accept', 'a sender that starts anew counts from 1');
    const zero = { ...captured('v2ah'), payload: captured('v2ah').payload.subarray(0, 12) };
    assert.equal(verdict(context(ah, list), zero), 'length');
  });

  it('version 3: the checksum of old unicast senders, and the one without pseudo header', () => {
    const source = parseIp('10.9.0.1');
    const destination = parseIp('10.9.0.2');
    const advert = {
      version: 3,
      virtualRouterId: 1,
      priority: 100,
      interval: 1000,
      authenticationType: 0,
      addresses: [] as Uint8Array[],
    } as const;
    const sent = (payload: Buffer): ReceivedPacket => ({
      source,
      destination,
      ttl: 255,
      protocol: 112,
      payload,
    });
    const old = sent(encodeV3({ ...advert }, 'ipv4', { source, destination: parseIp('224.0.0.18') }));
    const about: Partial<VrrpInstance> = { version: 3, unicastPeers: [peer] };
    const where = context(about, []);
    assert.equal(verdict(where, old), 'accept');
    assert.deepEqual([...where.oldChecksumPeers], ['10.9.0.1']);
    assert.equal(verdict(where, sent(encodeV3({ ...advert }, 'ipv4', { source, destination }))), 'accept');
    assert.deepEqual([...where.oldChecksumPeers], []);
    assert.equal(verdict(context({ ...about, oldUnicastChecksum: 'never' }, []), old), 'checksum');
    const plain = sent(encodeV3({ ...advert }, 'ipv4', 'plain'));
    assert.equal(verdict(context(about, []), plain), 'checksum');
    assert.equal(verdict(context({ ...about, v3ChecksumAsV2: true }, []), plain), 'accept');
  });

  it('HMAC: modes, keys, age, replay', () => {
    const source = parseIp('10.9.0.1');
    const hmac = {
      keys: [
        { id: 1, secretHex: '01'.repeat(32) },
        { id: 2, secretHex: '02'.repeat(32) },
      ],
      activeKey: 1,
      timeWindow: 5000,
      antiReplay: 'time',
      mode: 'enforce',
    } as const;
    const about = (mode: 'enforce' | 'permissive' | 'receive-only'): Partial<VrrpInstance> => ({
      version: 3,
      authHmac: { ...hmac, keys: [...hmac.keys], mode },
    });
    const advert = encodeV3(
      { version: 3, virtualRouterId: 1, priority: 100, interval: 1000, authenticationType: 0, addresses: [] },
      'ipv4',
      { source, destination: parseIp('224.0.0.18') },
    );
    const sequence = new HmacSequence();
    const signed = (key: number, secret: string, at = NOW): ReceivedPacket => ({
      source,
      destination: parseIp('224.0.0.18'),
      ttl: 255,
      protocol: 112,
      payload: Buffer.concat([
        advert,
        encodeTrailer(advert, key, secret.repeat(32), sequence.next(at, hmac), {
          family: 'ipv4',
          version: 3,
          virtualRouterId: 1,
          source,
        }),
      ]),
    });
    const bare = { ...signed(1, '01'), payload: advert };
    const where = context(about('enforce'), []);
    const first = signed(1, '01');
    assert.equal(verdict(where, first), 'accept');
    assert.equal(verdict(where, first), 'hmac', 'replayed');
    assert.equal(verdict(where, signed(2, '02')), 'accept', 'any configured key is good');
    assert.equal(verdict(where, signed(3, '03')), 'hmac', 'unknown key');
    assert.equal(verdict(where, signed(1, '02')), 'hmac', 'wrong secret');
    assert.equal(verdict(where, signed(1, '01', NOW + 60_000)), 'hmac', 'from the future');
    assert.equal(verdict(where, signed(1, '01'), NOW + 60_000), 'hmac', 'too old');
    assert.equal(verdict(where, bare), 'hmac', 'unsigned');
    assert.equal(verdict(context(about('permissive'), []), bare), 'accept');
    assert.equal(verdict(context(about('receive-only'), []), bare), 'accept');
    assert.equal(verdict(context(about('receive-only'), []), signed(1, '02')), 'hmac');
  });
});
