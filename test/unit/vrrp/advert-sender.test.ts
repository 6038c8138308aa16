import assert from 'node:assert/strict';
import { addressDefaults, instanceDefaults, type VrrpInstance } from '../../../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../../../lib/ip.js';
import { AdvertSender } from '../../../vrrp/advert-sender.js';
import { checksumV3, decodeV3 } from '../../../vrrp/packet/advertisement-v3.js';
import { TRAILER_LENGTH } from '../../../vrrp/packet/auth-hmac.js';
import type { Channel } from '../../../vrrp/transport.js';

const SOURCE = parseIp('10.0.0.1');
const none: ReadonlySet<string> = new Set();

/** Notes what is made and what is sent. */
class Recorder implements Channel {
  made = 0;
  sent: { payload: Buffer; to: string }[] = [];
  error = 0;

  send(payload: Buffer, destination: Uint8Array): number {
    return this.prepare(payload, destination)();
  }

  prepare(payload: Buffer, destination: Uint8Array): () => number {
    this.made++;
    return () => {
      this.sent.push({ payload: Buffer.from(payload), to: formatIp(destination) });
      return this.error;
    };
  }

  header(): Buffer {
    throw new Error('not for these');
  }

  close(): void {}
}

function instance(about: Partial<VrrpInstance> = {}): VrrpInstance {
  return {
    ...instanceDefaults('VI', 7, 'ipv4'),
    version: 3,
    advertInterval: 100,
    virtualAddresses: [addressDefaults('10.0.0.100')],
    ...about,
  };
}

const unicast = {
  unicastPeers: ['10.0.0.2', '10.0.0.3'].map((address) => ({ address, minTtl: 0, maxTtl: 255 })),
};

function said({ payload }: { payload: Buffer }): { priority: number; addresses: string[] } {
  const decoded = decodeV3(payload, 'ipv4');
  assert.ok('advertisement' in decoded);
  const { priority, addresses } = decoded.advertisement;
  return { priority, addresses: addresses.map(formatIp) };
}

describe('AdvertSender', () => {
  it('makes an advert once, and again when priority, source, channel or configuration change', () => {
    const sender = new AdvertSender(instance());
    const channel = new Recorder();
    for (let i = 0; i < 5; i++) assert.equal(sender.send(channel, SOURCE, 100, none).size, 0);
    assert.deepEqual([channel.made, channel.sent.length], [1, 5]);
    assert.ok(channel.sent.every(({ payload }) => payload.equals(channel.sent[0]!.payload)));
    sender.send(channel, SOURCE, 0, none);
    sender.send(channel, SOURCE, 90, none);
    assert.deepEqual(
      channel.sent.slice(4).map((one) => said(one).priority),
      [100, 0, 90],
    );
    const other = parseIp('10.0.0.9');
    sender.send(channel, other, 90, none);
    const { payload } = channel.sent.at(-1)!;
    assert.equal(checksumV3(payload, { source: other, destination: parseIp('224.0.0.18') }), 0);
    sender.configure(instance({ virtualAddresses: [addressDefaults('10.0.0.101')] }));
    sender.send(channel, other, 90, none);
    assert.deepEqual(said(channel.sent.at(-1)!).addresses, ['10.0.0.101']);
    const next = new Recorder();
    sender.send(next, other, 90, none);
    assert.deepEqual([channel.made, next.made, next.sent.length], [5, 1, 1]);
  });

  it('unicast: each peer gets its own, with the checksum that it expects, from when that is known', () => {
    const sender = new AdvertSender(instance(unicast));
    const channel = new Recorder();
    const old = new Set<string>();
    const right = () =>
      channel.sent.splice(0).map(({ payload, to }) => {
        const [own, group] = [to, '224.0.0.18'].map((text) =>
          checksumV3(payload, { source: SOURCE, destination: parseIp(text) }),
        );
        return `${to} ${own === 0 ? 'own' : group === 0 ? 'group' : 'wrong'}`;
      });
    sender.send(channel, SOURCE, 100, old);
    assert.deepEqual(right(), ['10.0.0.2 own', '10.0.0.3 own']);
    old.add('10.0.0.3');
    sender.send(channel, SOURCE, 100, old);
    assert.deepEqual(right(), ['10.0.0.2 own', '10.0.0.3 group']);
    old.clear();
    sender.send(channel, SOURCE, 100, old);
    assert.deepEqual(right(), ['10.0.0.2 own', '10.0.0.3 own']);
    channel.error = 113;
    assert.deepEqual(
      [...sender.send(channel, SOURCE, 100, old)],
      [
        ['10.0.0.2', 113],
        ['10.0.0.3', 113],
      ],
    );
  });

  it('with an HMAC no two adverts are the same, and all copies of one carry the same number', () => {
    const authHmac = {
      keys: [{ id: 1, secretHex: '61'.repeat(40) }],
      activeKey: 1,
      antiReplay: 'time',
      timeWindow: 5000,
      mode: 'enforce',
    } as const;
    const sender = new AdvertSender(
      instance({ ...unicast, authHmac: { ...authHmac, keys: [...authHmac.keys] } }),
    );
    const channel = new Recorder();
    for (let i = 0; i < 3; i++) sender.send(channel, SOURCE, 100, none);
    const trailers = channel.sent.map(({ payload }) =>
      payload.subarray(-TRAILER_LENGTH).toString('hex', 4, 12),
    );
    assert.equal(trailers.length, 6);
    assert.equal(new Set(trailers).size, 3);
    for (let i = 0; i < 6; i += 2) assert.equal(trailers[i], trailers[i + 1]);
  });
});
