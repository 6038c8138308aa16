import assert from 'node:assert/strict';
import {
  AF_INET,
  bind,
  close,
  getsockname,
  IPPROTO_IP,
  interfaceIndex,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  SOL_SOCKET,
  sendto,
  setsockopt,
  sockaddrIn,
  socket,
  wallClock,
} from '../../../lib/libc.js';
import { PacketBatch } from '../../../lib/packet-batch.js';

const IP_PKTINFO = 8;

describe('PacketBatch', () => {
  let receiver: number;
  let sender: number;
  beforeEach(() => {
    [receiver, sender] = [0, 0].map(() => {
      const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
      bind(fd, sockaddrIn(Buffer.from([127, 0, 0, 1])));
      return fd;
    }) as [number, number];
  });
  afterEach(() => {
    close(receiver);
    close(sender);
  });
  const send = (text: string) => sendto(sender, Buffer.from(text), getsockname(receiver));
  const text = (batch: PacketBatch, i: number) =>
    batch.bytes.toString('latin1', batch.offset(i), batch.offset(i) + batch.length(i));

  it('takes what is there, as many as it has room for, and nothing when there is nothing', () => {
    const batch = new PacketBatch(64, 4);
    assert.equal(batch.receive(receiver), 0);
    for (const one of ['a', 'bb', 'ccc', 'dddd', 'eeeee', '']) send(one);
    assert.equal(batch.receive(receiver), 4);
    assert.deepEqual(
      [0, 1, 2, 3].map((i) => text(batch, i)),
      ['a', 'bb', 'ccc', 'dddd'],
    );
    assert.equal(batch.receive(receiver), 2);
    assert.deepEqual(
      [0, 1].map((i) => text(batch, i)),
      ['eeeee', ''],
    );
    assert.equal(batch.receive(receiver), 0);
  });

  it('cuts off what is too long, and keeps it out of the next packet', () => {
    const batch = new PacketBatch(8, 2);
    send('0123456789');
    send('next');
    assert.equal(batch.receive(receiver), 2);
    assert.equal(text(batch, 0), '01234567');
    assert.equal(text(batch, 1), 'next');
  });

  /**
   * The kernel begins to stamp packets some time after the first socket has asked for it (a work queue of its own); until then they carry
   * the time at which they are read.
   */
  async function stamped(batch: PacketBatch): Promise<void> {
    const end = performance.now() + 10_000;
    while (performance.now() < end) {
      send('is it?');
      await new Promise((resolve) => setTimeout(resolve, 20));
      const now = performance.now();
      assert.equal(batch.receive(receiver), 1);
      if (now - batch.arrived(0) > 15) return;
    }
    assert.fail('packets are not stamped');
  }

  it('knows sender, control messages and, with time stamps, when each packet arrived', async () => {
    setsockopt(receiver, IPPROTO_IP, IP_PKTINFO, 1);
    setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    const batch = new PacketBatch(64, 4);
    // The first call has no earlier one to compare the clocks with: it tells the time of reading.
    send('first');
    const before = performance.now();
    assert.equal(batch.receive(receiver), 1);
    assert.ok(batch.arrived(0) >= before);
    await stamped(batch);
    const sent: { begun: number; done: number }[] = [];
    for (const one of ['x', 'y']) {
      const begun = performance.now();
      send(one);
      sent.push({ begun, done: performance.now() });
      await new Promise((resolve) => setTimeout(resolve, 100));
    }
    assert.equal(batch.receive(receiver), 2);
    for (const i of [0, 1]) {
      assert.deepEqual([...batch.sender(i).subarray(2, 8)], [...getsockname(sender).subarray(2, 8)]);
      const at = batch.control(i, IPPROTO_IP, IP_PKTINFO);
      assert.equal(batch.controlBytes.readInt32LE(at), interfaceIndex('lo'));
      assert.equal(batch.control(i, 41, 50), -1);
      const { begun, done } = sent[i]!;
      const arrived = batch.arrived(i);
      // It is read 100 ms after it was sent, or 200.
      assert.ok(
        arrived > begun - 0.5 && arrived < done + 80,
        `packet ${i} arrived at ${arrived}, sent ${begun} to ${done}`,
      );
    }
  });

  it('does not believe in time stamps when the date was changed meanwhile', async () => {
    setsockopt(receiver, SOL_SOCKET, SO_TIMESTAMPNS, 1);
    let shift = 0;
    const batch = new PacketBatch(64, 4, () => wallClock() + shift);
    const age = async () => {
      send('x');
      await new Promise((resolve) => setTimeout(resolve, 20));
      const now = performance.now();
      assert.equal(batch.receive(receiver), 1);
      return now - batch.arrived(0);
    };
    await age();
    await stamped(batch);
    assert.ok((await age()) > 15, 'a packet that waited is known to be old');
    for (const jump of [500, -3_600_000, 86_400_000]) {
      shift += jump;
      const told = await age();
      assert.ok(told <= 0, `after a jump of ${jump} ms: ${told} ms old`);
    }
  });
});
