import assert from 'node:assert/strict';
import { createHash, randomBytes } from 'node:crypto';
import { formatIp, parseIp } from '../../../../lib/ip.js';
import { type AdvertisementV2, decodeV2, encodeV2 } from '../../../../vrrp/packet/advertisement-v2.js';
import {
  type AdvertisementV3,
  checksumV3,
  decodeV3,
  encodeV3,
} from '../../../../vrrp/packet/advertisement-v3.js';
import {
  checkTrailer,
  decodeTrailer,
  encodeTrailer,
  HmacSequence,
  ReplayGuard,
  TRAILER_LENGTH,
} from '../../../../vrrp/packet/auth-hmac.js';
import {
  checkPacket,
  decodeAuthenticationHeader,
  encodeAuthenticationHeader,
  signPacket,
} from '../../../../vrrp/packet/authentication-header.js';
import { checksum, finishSum, sumWords } from '../../../../vrrp/packet/checksum.js';
import { encodeGratuitousArp } from '../../../../vrrp/packet/gratuitous-arp.js';
import { CONTROL_TRAFFIC_CLASS, decodeIpv4, encodeIpv4 } from '../../../../vrrp/packet/ipv4-header.js';
import { encodeNeighbourAdvertisement } from '../../../../vrrp/packet/neighbour-advertisement.js';
import { frame, packet } from './captures.js';

const node = parseIp('10.9.0.1');
const group = parseIp('224.0.0.18');
const mac = Buffer.from('befbe7769de7', 'hex');

function v2(about: Partial<AdvertisementV2>): AdvertisementV2 {
  return {
    version: 2,
    virtualRouterId: 11,
    priority: 150,
    interval: 1000,
    authenticationType: 0,
    addresses: [],
    authenticationData: Buffer.alloc(8),
    ...about,
  };
}

function v3(about: Partial<AdvertisementV3>): AdvertisementV3 {
  return {
    version: 3,
    virtualRouterId: 13,
    priority: 255,
    interval: 500,
    authenticationType: 0,
    addresses: [],
    ...about,
  };
}

/** A reproducible stream of numbers below `limit`. */
function generator(seed: number): (limit: number) => number {
  let state = seed >>> 0;
  return (limit) => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return Math.floor((state / 2 ** 32) * limit);
  };
}

describe('VRRP packets', () => {
  it('version 2: the bytes of keepalived, both directions', () => {
    const addresses = [parseIp('10.9.0.100'), parseIp('10.9.0.101')];
    const pass = v2({ authenticationType: 1, addresses, authenticationData: Buffer.from('secret1') });
    const expected = packet('v2pass').subarray(20);
    assert.deepEqual(encodeV2(pass, 'ipv4'), expected);
    const decoded = decodeV2(expected, 'ipv4');
    assert.ok('advertisement' in decoded);
    assert.equal(decoded.length, expected.length);
    assert.equal(decoded.advertisement.priority, 150);
    assert.deepEqual(decoded.advertisement.addresses.map(formatIp), ['10.9.0.100', '10.9.0.101']);
    assert.equal(Buffer.from(decoded.advertisement.authenticationData).toString(), 'secret1\0');
    assert.deepEqual(encodeV2({ ...pass, priority: 0 }, 'ipv4'), packet('v2passZero').subarray(20));
    assert.deepEqual(
      encodeV2(v2({ virtualRouterId: 17, priority: 101, addresses: [parseIp('10.9.0.107')] }), 'ipv4'),
      packet('v2none').subarray(20),
    );
  });

  it('version 3: the bytes of keepalived, both directions and families', () => {
    const bytes = encodeV3(v3({ addresses: [parseIp('10.9.0.103')] }), 'ipv4', {
      source: node,
      destination: group,
    });
    assert.deepEqual(bytes, packet('v3').subarray(20));
    const peer = { source: node, destination: parseIp('10.9.0.2') };
    const unicast = v3({ virtualRouterId: 15, priority: 101, addresses: [parseIp('10.9.0.105')] });
    assert.deepEqual(encodeV3(unicast, 'ipv4', peer), packet('v3unicast').subarray(20));
    const six = v3({
      virtualRouterId: 14,
      priority: 101,
      addresses: [parseIp('fe80::5:1'), parseIp('2001:db8::5')],
    });
    const local = { source: parseIp('fe80::bcfb:e7ff:fe76:9de7'), destination: parseIp('ff02::12') };
    assert.deepEqual(encodeV3(six, 'ipv6', local), packet('v3ipv6').subarray(40));
    const decoded = decodeV3(packet('v3ipv6').subarray(40), 'ipv6');
    assert.ok('advertisement' in decoded);
    assert.deepEqual(decoded.advertisement, {
      ...six,
      addresses: six.addresses.map((a) => new Uint8Array(a)),
    });
    assert.equal(checksumV3(packet('v3').subarray(20), 'plain') === 0, false);
  });

  it('IPv4 header: the bytes of keepalived apart from the identification', () => {
    const expected = Buffer.from(packet('v3').subarray(0, 20));
    expected.writeUInt16BE(0, 4);
    expected.writeUInt16BE(0, 10);
    expected.writeUInt16BE(checksum(expected), 10);
    const header = {
      trafficClass: CONTROL_TRAFFIC_CLASS,
      ttl: 255,
      protocol: 112,
      source: node,
      destination: group,
    };
    assert.deepEqual(encodeIpv4(header, 12), expected);
    const decoded = decodeIpv4(packet('v3'));
    assert.deepEqual(decoded && { ...decoded, source: formatIp(decoded.source) }, {
      length: 20,
      totalLength: 32,
      trafficClass: 0xc0,
      ttl: 255,
      protocol: 112,
      source: '10.9.0.1',
      destination: new Uint8Array(group),
    });
  });

  it('authentication header: the check values of keepalived, multicast and unicast', () => {
    for (const [name, password, unicast] of [
      ['v2ah', 'secret2', false],
      ['v2ahUnicast', 'secret3', true],
    ] as const) {
      const whole = Buffer.from(packet(name));
      assert.ok(checkPacket(whole, password, unicast), name);
      assert.ok(!checkPacket(whole, 'other', unicast));
      const made = Buffer.from(whole);
      made.set(encodeAuthenticationHeader(node, 1), 20);
      signPacket(made, password, unicast);
      assert.deepEqual(made, whole);
      const header = decodeAuthenticationHeader(whole.subarray(20));
      assert.equal(header?.sequence, 1);
      assert.equal(header && formatIp(header.spi), '10.9.0.1');
      whole[46]! ^= 1;
      assert.ok(!checkPacket(whole, password, unicast));
    }
  });

  it('gratuitous ARP: the bytes of keepalived', () => {
    assert.deepEqual(encodeGratuitousArp(mac, parseIp('10.9.0.103')), frame('garp'));
  });

  it('neighbour advertisement: override flag, target, link-layer option, right checksum', () => {
    const bytes = encodeNeighbourAdvertisement(mac, parseIp('2001:db8::5'), true);
    assert.equal(bytes.length, 86);
    assert.equal(bytes[54], 136);
    assert.equal(bytes[58], 0xa0);
    assert.equal(encodeNeighbourAdvertisement(mac, parseIp('2001:db8::5'), false)[58], 0x20);
    assert.equal(formatIp(bytes.subarray(62, 78)), '2001:db8::5');
    assert.deepEqual(bytes.subarray(80), mac);
    const pseudo = sumWords(bytes.subarray(22, 54)) + 32 + 58;
    assert.equal(finishSum(sumWords(bytes.subarray(54), pseudo)), 0);
  });

  it('HMAC trailer: layout and digest against a computation by hand', () => {
    const advertisement = packet('v3').subarray(20);
    const secret = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
    const context = { family: 'ipv4', version: 3, virtualRouterId: 13, source: node } as const;
    const trailer = encodeTrailer(advertisement, 7, secret, 0x0102030405060708n, context);
    assert.equal(trailer.length, TRAILER_LENGTH);
    assert.equal(trailer.toString('hex', 0, 12), '010700000102030405060708');
    // RFC 2104: H((K ^ opad) | H((K ^ ipad) | text)), with plain SHA-256.
    const key = Buffer.alloc(64);
    key.write(secret, 'hex');
    const zeroed = Buffer.from(advertisement);
    zeroed.writeUInt16BE(0, 6);
    const text = Buffer.concat([
      Buffer.from([4, 3, 13, 0, ...node, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0]),
      zeroed,
      trailer.subarray(0, 12),
      Buffer.alloc(16),
    ]);
    const sha = (...parts: Uint8Array[]) => createHash('sha256').update(Buffer.concat(parts)).digest();
    const inner = sha(
      key.map((byte) => byte ^ 0x36),
      text,
    );
    const outer = sha(
      key.map((byte) => byte ^ 0x5c),
      inner,
    );
    assert.deepEqual(trailer.subarray(12), outer.subarray(0, 16));
    assert.ok(checkTrailer(advertisement, trailer, secret, context));
    assert.ok(!checkTrailer(advertisement, trailer, secret, { ...context, virtualRouterId: 14 }));
    assert.ok(!checkTrailer(advertisement, trailer, secret, { ...context, source: parseIp('10.9.0.2') }));
    const changed = Buffer.from(advertisement);
    changed[2] = 1;
    assert.ok(!checkTrailer(changed, trailer, secret, context));
    // The kernel fills in the checksum of IPv6 after signing.
    const summed = Buffer.from(advertisement);
    summed.writeUInt16BE(0xabcd, 6);
    assert.ok(checkTrailer(summed, trailer, secret, context));
    assert.deepEqual(decodeTrailer(trailer), { keyId: 7, sequence: 0x0102030405060708n });
    assert.equal(decodeTrailer(trailer.subarray(1)), undefined);
    assert.equal(decodeTrailer(Buffer.alloc(28)), undefined);
  });

  it('HMAC trailer: the vectors of keepalived’s own test and of its draft’s appendix', () => {
    const secret = '000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f';
    const vectors = [
      {
        family: 'ipv4',
        source: '198.51.100.10',
        address: '192.0.2.100',
        advertisement: '3133c80100644402c0000264',
        trailer: '0101000068000000800000001b84bc4e8e43892dc6d98448f8ee2265',
      },
      {
        family: 'ipv6',
        source: 'fe80::10',
        address: 'fe80::100',
        advertisement: '3133c8010064a2e9fe800000000000000000000000000100',
        trailer: '010100006800000080000000c8c56146ebfd66ee10ec4d8186461b78',
      },
    ] as const;
    for (const { family, ...vector } of vectors) {
      const advertisement = Buffer.from(vector.advertisement, 'hex');
      const source = parseIp(vector.source);
      const context = { family, version: 3, virtualRouterId: 51, source } as const;
      const trailer = encodeTrailer(advertisement, 1, secret, 0x6800000080000000n, context);
      assert.equal(trailer.toString('hex'), vector.trailer);
      const received = Buffer.from(vector.trailer, 'hex');
      assert.deepEqual(decodeTrailer(received), { keyId: 1, sequence: 0x6800000080000000n });
      assert.ok(checkTrailer(advertisement, received, secret, context));
      // The advertisement is the one that we would send.
      const own = encodeV3(
        {
          version: 3,
          virtualRouterId: 51,
          priority: 200,
          interval: 1000,
          authenticationType: 0,
          addresses: [parseIp(vector.address)],
        },
        family,
        'plain',
      );
      for (const bytes of [own, advertisement]) bytes.writeUInt16BE(0, 6);
      assert.deepEqual(own, advertisement);
    }
  });

  it('HMAC sequence grows even when the clock stands still, and follows a clock that was set back', () => {
    const settings = { antiReplay: 'time', timeWindow: 5000 } as const;
    const sequence = new HmacSequence();
    const first = sequence.next(1_700_000_000_500, settings);
    assert.equal(first >> 32n, 1_700_000_000n);
    assert.equal((first >> 16n) & 0xffffn, 0x8000n);
    assert.equal(sequence.next(1_700_000_000_500, settings), first + 1n);
    assert.equal(sequence.next(1_699_999_998_000, settings), first + 2n);
    assert.equal(sequence.next(1_699_990_000_000, settings) >> 32n, 1_699_990_000n);
    const monotonic = new HmacSequence();
    const start = monotonic.next(1_700_000_000_000, { antiReplay: 'monotonic', timeWindow: 5000 });
    assert.equal(
      monotonic.next(1_000_000_000_000, { antiReplay: 'monotonic', timeWindow: 5000 }),
      start + 1n,
    );
  });

  it('replay guard refuses what is old or was there, per sender', () => {
    const settings = { antiReplay: 'time', timeWindow: 5000 } as const;
    const guard = new ReplayGuard();
    const now = 1_700_000_000_000;
    const sequence = new HmacSequence().next(now, settings);
    assert.ok(guard.fresh(sequence, now + 5000, settings));
    assert.ok(!guard.fresh(sequence, now + 6000, settings));
    assert.ok(!guard.fresh(sequence, now - 6000, settings));
    assert.ok(guard.accept('a', sequence, now, settings));
    assert.ok(!guard.accept('a', sequence, now, settings));
    assert.ok(guard.accept('b', sequence, now, settings));
    assert.ok(guard.accept('a', sequence + 1n, now, settings));
    for (const sender of 'cdef') assert.ok(guard.accept(sender, sequence, now, settings));
    assert.ok(guard.accept('a', sequence, now, settings), 'forgotten after four other senders');
  });

  it('what was encoded decodes to the same, on random input', () => {
    const random = generator(1);
    for (let i = 0; i < 500; i++) {
      const family = random(2) ? 'ipv4' : 'ipv6';
      const size = family === 'ipv4' ? 4 : 16;
      const addresses = Array.from({ length: random(20) }, () =>
        Uint8Array.from({ length: size }, () => random(256)),
      );
      const common = { virtualRouterId: 1 + random(255), priority: random(256), addresses };
      const three = v3({ ...common, interval: 10 * random(4096) });
      const sum = { source: randomBytes(size), destination: randomBytes(size) };
      const bytes = encodeV3(three, family, sum);
      assert.deepEqual(decodeV3(Buffer.concat([bytes, randomBytes(random(30))]), family), {
        advertisement: three,
        length: bytes.length,
      });
      assert.equal(checksumV3(bytes, sum), 0);
      const two = v2({
        ...common,
        interval: 1000 * random(256),
        authenticationType: random(3),
        authenticationData:
          family === 'ipv4' ? Uint8Array.from({ length: 8 }, () => random(256)) : new Uint8Array(0),
      });
      assert.deepEqual(decodeV2(encodeV2(two, family), family), {
        advertisement: two,
        length: encodeV2(two, family).length,
      });
    }
  });

  it('hostile bytes: decoders never throw and never read beyond the end', () => {
    const random = generator(2);
    const good = [packet('v2pass').subarray(20), packet('v3').subarray(20), packet('v3ipv6').subarray(40)];
    for (let i = 0; i < 5000; i++) {
      const bytes = Buffer.from(good[random(good.length)]!).subarray(0, random(60));
      for (let n = random(4); n > 0 && bytes.length > 0; n--) bytes[random(bytes.length)] = random(256);
      for (const family of ['ipv4', 'ipv6'] as const) {
        for (const decoded of [decodeV2(bytes, family), decodeV3(bytes, family)]) {
          if ('advertisement' in decoded) {
            assert.ok(decoded.length <= bytes.length);
            assert.equal(decoded.advertisement.addresses.length, bytes[3]);
          } else {
            assert.ok(decoded.detail.length > 0);
          }
        }
      }
      decodeIpv4(bytes);
      decodeAuthenticationHeader(bytes);
      decodeTrailer(bytes);
    }
    assert.deepEqual(decodeV2(Buffer.from([0x21, 1, 1, 255, 0, 1, 0, 0]), 'ipv4'), {
      reason: 'length',
      detail: '8 bytes, 255 addresses need 1036',
    });
    assert.equal(
      (decodeV3(Buffer.from([0x32, 1, 1, 0, 0, 1, 0, 0]), 'ipv4') as { reason: string }).reason,
      'type',
    );
  });
});

describe('text of IP addresses', () => {
  it('reads and writes as inet_pton and inet_ntop do', () => {
    for (const text of [
      '0.0.0.0',
      '255.1.2.3',
      '::',
      '::1',
      '1::',
      'fe80::1:0:0:1',
      '2001:db8::5',
      '1:2:3:4:5:6:7:8',
      '1:0:3::6:0:8',
      '::ffff:10.0.0.1',
    ]) {
      assert.equal(formatIp(parseIp(text)), text);
    }
    assert.equal(formatIp(parseIp('2001:DB8:0:0:1:0:0:1')), '2001:db8::1:0:0:1');
    assert.equal(formatIp(parseIp('1:0:3:4:5:6:7:8')), '1:0:3:4:5:6:7:8');
    assert.equal(formatIp(parseIp('::1.2.3.4')), '::102:304');
    for (const text of ['', '1.2.3', '1.2.3.256', '::g', 'fe80::1%eth0', '1:2'])
      assert.throws(() => parseIp(text), RangeError);
  });
});
