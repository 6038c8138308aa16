import { deepEqual, equal, ok } from 'node:assert/strict';
import { randomBytes, randomInt } from 'node:crypto';
import { type ControlPacket, decodeControl, encodeControl, states } from '../../../bfd/packet.js';

const plain: ControlPacket = {
  diagnostic: 1,
  state: 'Up',
  poll: true,
  final: false,
  controlPlaneIndependent: false,
  demand: false,
  detectMultiplier: 3,
  myDiscriminator: 0x11223344,
  yourDiscriminator: 0x55667788,
  desiredMinTx: 100_000,
  requiredMinRx: 50_000,
  requiredMinEchoRx: 0,
};

describe('BFD control packets', () => {
  it('have the bytes of RFC 5880 4.1', () => {
    equal(encodeControl(plain).toString('hex'), '21e003181122334455667788000186a00000c35000000000');
  });

  it('read a greeting with the timers that FRR begins with', () => {
    const packet = decodeControl(Buffer.from('20400318306e5f1600000000000f4240000493e000000000', 'hex'));
    deepEqual(packet, {
      diagnostic: 0,
      state: 'Down',
      poll: false,
      final: false,
      controlPlaneIndependent: false,
      demand: false,
      detectMultiplier: 3,
      myDiscriminator: 0x306e5f16,
      yourDiscriminator: 0,
      desiredMinTx: 1_000_000,
      requiredMinRx: 300_000,
      requiredMinEchoRx: 0,
    });
  });

  it('come back as they were, on random content', () => {
    for (let round = 0; round < 500; round++) {
      const state = states[randomInt(4)]!;
      const packet: ControlPacket = {
        diagnostic: randomInt(32),
        state,
        poll: randomInt(2) === 1,
        final: randomInt(2) === 1,
        controlPlaneIndependent: randomInt(2) === 1,
        demand: randomInt(2) === 1,
        detectMultiplier: randomInt(1, 256),
        myDiscriminator: randomInt(1, 2 ** 32),
        yourDiscriminator: randomInt(1, 2 ** 32),
        desiredMinTx: randomInt(2 ** 32),
        requiredMinRx: randomInt(2 ** 32),
        requiredMinEchoRx: randomInt(2 ** 32),
      };
      deepEqual(decodeControl(encodeControl(packet)), packet);
    }
  });

  it('are refused with a reason as RFC 5880 6.8.6 demands', () => {
    const refused = (change: (bytes: Buffer) => Buffer | undefined, reason: RegExp) => {
      const bytes = encodeControl(plain);
      const result = decodeControl(change(bytes) ?? bytes);
      ok('reason' in result, 'accepted');
      ok(reason.test(result.reason), result.reason);
    };
    const set = (at: number, value: number) => (bytes: Buffer) => {
      bytes[at] = value;
      return bytes;
    };
    refused((bytes) => bytes.subarray(0, 23), /23 bytes/);
    refused(set(0, 0x00), /version 0/);
    refused(set(3, 23), /length/);
    refused(set(3, 25), /length/);
    refused(set(1, 0xc4), /authentication/);
    refused(set(1, 0xc1), /multipoint/);
    refused(set(2, 0), /multiplier/);
    refused((bytes) => bytes.fill(0, 4, 8), /sender/);
    refused((bytes) => bytes.fill(0, 8, 12), /discriminator/);
  });

  it('never throw on random bytes', () => {
    for (let round = 0; round < 2000; round++) decodeControl(randomBytes(randomInt(0, 60)));
  });
});
