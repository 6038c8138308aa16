import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import {
  AF_INET,
  bind,
  close,
  getsockname,
  interfaceIndex,
  LibcError,
  MessageBuffer,
  recvfrom,
  SOCK_CLOEXEC,
  SOCK_DGRAM,
  SOCK_NONBLOCK,
  sendto,
  setsockopt,
  sockaddrIn,
  socket,
} from '../../../lib/libc.js';
import { Poller } from '../../../lib/poller.js';

const IP_PKTINFO = 8;

function loopbackSocket(): number {
  const fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  bind(fd, sockaddrIn(Buffer.from([127, 0, 0, 1])));
  return fd;
}

describe('Poller', () => {
  let poller: Poller;
  beforeEach(() => {
    poller = new Poller((error) => {
      throw error;
    });
  });
  afterEach(() => poller.close());

  it('fires timers in order of time, leaves out cancelled ones, and is never early', async () => {
    const fired: [string, number][] = [];
    const start = poller.now();
    const done = new Promise<void>((resolve) => {
      poller.after(30, () => {
        fired.push(['c', poller.now() - start]);
        resolve();
      });
    });
    poller.after(5.5, () => fired.push(['a', poller.now() - start]));
    const cancelled = poller.after(10, () => fired.push(['x', 0]));
    poller.after(20, () => fired.push(['b', poller.now() - start]));
    cancelled.cancel();
    cancelled.cancel();
    await done;
    assert.deepEqual(
      fired.map(([name]) => name),
      ['a', 'b', 'c'],
    );
    for (const [i, due] of [5.5, 20, 30].entries()) assert.ok(fired[i]![1] >= due, `${fired[i]}`);
  });

  it('keeps the order of many random timers', async () => {
    const due: number[] = [];
    const fired: number[] = [];
    const start = poller.now();
    for (let i = 0; i < 200; i++) {
      const delay = (i * 7919) % 50;
      const timer = poller.after(delay, () => fired.push(delay));
      // From one moment: the machine may be busy between two of them.
      timer.move(start + delay);
      if (i % 3 === 0) timer.cancel();
      else due.push(delay);
    }
    await new Promise<void>((resolve) => poller.after(60, resolve));
    assert.deepEqual(
      fired,
      due.sort((a, b) => a - b),
    );
  });

  it('lets timers with slack go along with one that is due', async () => {
    const start = poller.now();
    const fired: number[] = [];
    await new Promise<void>((resolve) => {
      poller.after(5, () => fired.push(poller.now() - start));
      poller.after(25, () => fired.push(poller.now() - start), 'patient', 22);
      poller.after(40, resolve);
    });
    assert.equal(fired.length, 2);
    assert.ok(fired[1]! >= 5 && fired[1]! < 25, `${fired}`);
  });

  it('moves a timer to and fro, and sets one again that has fired or was cancelled', async () => {
    const start = poller.now();
    const fired: [string, number][] = [];
    const note = (name: string) => () => fired.push([name, poller.now() - start]);
    const a = poller.after(5, note('a'));
    const b = poller.after(50, note('b'));
    const c = poller.after(12, note('c'));
    c.cancel();
    a.move(start + 20);
    b.move(start + 10);
    c.move(start + 15);
    await new Promise<void>((resolve) => poller.after(30, resolve));
    a.move(start + 40);
    await new Promise<void>((resolve) => poller.after(30, resolve));
    assert.deepEqual(
      fired.map(([name]) => name),
      ['b', 'c', 'a', 'a'],
    );
    for (const [i, due] of [10, 15, 20, 40].entries()) assert.ok(fired[i]![1] >= due, `${fired[i]}`);
  });

  it('keeps order and time of timers while packets pour in', async () => {
    const receiver = loopbackSocket();
    const sender = loopbackSocket();
    let seen = 0;
    const buffer = Buffer.alloc(100);
    poller.watch(receiver, () => {
      while (recvfrom(receiver, buffer) >= 0) seen++;
    });
    const start = poller.now();
    const fired: number[] = [];
    const pour = setInterval(() => sendto(sender, Buffer.from('x'), getsockname(receiver)), 0.1);
    await new Promise<void>((resolve) => {
      for (const delay of [30, 3, 12]) poller.after(delay, () => fired.push(delay));
      poller.after(40, resolve);
    });
    clearInterval(pour);
    assert.deepEqual(fired, [3, 12, 30]);
    assert.ok(poller.now() - start >= 40);
    await new Promise<void>((resolve) => poller.after(10, resolve));
    assert.ok(seen > 5, `${seen} packets`);
    poller.unwatch(receiver);
    close(receiver);
    close(sender);
  });

  it('rests where packets come at a rate, and has read all of them when a timer fires that was set meanwhile', async () => {
    const receiver = loopbackSocket();
    const sender = loopbackSocket();
    let seen = 0;
    let reads = 0;
    let sent = 0;
    const buffer = Buffer.alloc(100);
    poller.watch(receiver, () => {
      reads++;
      while (recvfrom(receiver, buffer) >= 0) seen++;
    });
    const to = getsockname(receiver);
    const pour = setInterval(() => {
      sendto(sender, Buffer.from('x'), to);
      sent++;
    }, 2);
    try {
      await new Promise((resolve) => setTimeout(resolve, 400));
      assert.ok(reads * 2 < sent, `${reads} reads for ${sent} packets`);
      for (let round = 0; round < 20; round++) {
        await new Promise((resolve) => setTimeout(resolve, 1 + (round % 9)));
        const start = poller.now();
        const before = await new Promise<[number, number, number]>((resolve) => {
          poller.after(2, () => resolve([poller.now() - start, seen, sent]));
        });
        assert.ok(before[0] >= 2, `${before}`);
        assert.equal(before[1], before[2]);
      }
    } finally {
      clearInterval(pour);
      poller.unwatch(receiver);
      close(receiver);
      close(sender);
    }
  });

  it('hands over packets that arrived before a timer fell due', async () => {
    const receiver = loopbackSocket();
    const sender = loopbackSocket();
    const seen: string[] = [];
    const buffer = Buffer.alloc(100);
    poller.watch(receiver, () => {
      for (let n = recvfrom(receiver, buffer); n >= 0; n = recvfrom(receiver, buffer)) {
        seen.push(buffer.toString('latin1', 0, n));
      }
    });
    const done = new Promise<void>((resolve) =>
      poller.after(5, () => {
        seen.push('timer');
        resolve();
      }),
    );
    sendto(sender, Buffer.from('packet'), getsockname(receiver));
    const until = performance.now() + 20;
    while (performance.now() < until); // The process is kept busy past the timer's time.
    await done;
    assert.deepEqual(seen, ['packet', 'timer']);
    poller.unwatch(receiver);
    close(receiver);
    close(sender);
  });

  it('reads control messages with a packet', async () => {
    const receiver = loopbackSocket();
    const sender = loopbackSocket();
    setsockopt(receiver, 0, IP_PKTINFO, 1);
    const message = new MessageBuffer(64);
    const length = new Promise<number>((resolve) =>
      poller.watch(receiver, () => resolve(message.receive(receiver))),
    );
    sendto(sender, Buffer.from('abc'), getsockname(receiver));
    assert.equal(await length, 3);
    assert.equal(message.data.toString('latin1', 0, 3), 'abc');
    assert.deepEqual([...message.sender.subarray(4, 8)], [127, 0, 0, 1]);
    const info = message.controlMessage(0, IP_PKTINFO);
    assert.equal(info?.readInt32LE(0), interfaceIndex('lo'));
    assert.equal(message.controlMessage(41, 50), undefined);
    assert.equal(message.receive(receiver), -1);
    poller.unwatch(receiver);
    close(receiver);
    close(sender);
  });

  it('does not keep a process from ending, by exit or by an uncaught error', () => {
    const module = new URL('../../../lib/poller.js', import.meta.url).href;
    for (const [end, code] of [
      ['process.exit(3)', 3],
      ['throw new Error("meant")', 1],
    ] as const) {
      const source = `import { Poller } from '${module}'; new Poller(() => {}); setTimeout(() => { ${end}; }, 50);`;
      const done = spawnSync(process.execPath, ['--input-type=module', '-e', source], { timeout: 15_000 });
      assert.equal(done.status, code, `${end}: ${done.error?.message ?? done.signal}`);
    }
  });

  it('names the error of a failed call', () => {
    assert.throws(
      () => bind(-1, sockaddrIn(Buffer.alloc(4))),
      (error) => error instanceof LibcError && error.code === 'EBADF' && error.call === 'bind',
    );
  });
});
