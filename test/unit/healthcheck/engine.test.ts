import assert from 'node:assert/strict';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { RealServer, VirtualServer } from '../../../keepalived/model/virtual-server.js';
import { systemClock } from '../../../lib/clock.js';
import {
  Bench,
  http,
  MemoryDriver,
  misc,
  part,
  realServer,
  tcp,
  udp,
  until,
  url,
  virtualServer,
} from './fixtures.js';
import { TcpPeer, UdpPeer } from './peers.js';

const ADD = 'add server [10.0.0.1]:80 of TCP [192.0.2.1]:80, FNAT, weight 1';

describe('health check engine', () => {
  let bench: Bench;
  const closing: (() => Promise<unknown>)[] = [];
  beforeEach(() => {
    bench = new Bench(systemClock);
  });
  afterEach(async () => {
    await bench.stop();
    for (const close of closing.splice(0)) await close();
  });

  async function peer(): Promise<TcpPeer> {
    const server = await TcpPeer.start();
    closing.push(() => server.close());
    return server;
  }

  /** One virtual server with one server, whose checks go to these ports of loopback. */
  function service(
    checkers: RealServer['checkers'],
    server: Partial<RealServer> = {},
    vs: Partial<VirtualServer> = {},
  ) {
    return virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80, { checkers, ...server })], vs);
  }
  const operations = () => bench.driver.operations;

  it('puts services and servers in, takes a dead server out within a check period, and back in', async () => {
    const server = await peer();
    await bench.engine.apply(part([service([tcp(server.port)])]), false);
    await until(() => operations().length === 2, 'first push');
    assert.deepEqual(operations(), ['add service TCP [192.0.2.1]:80, wrr', ADD]);
    assert.equal(bench.driver.batches.length, 1, 'one batch');
    await until(() => server.accepted > 1, 'checks run');
    await server.close();
    await until(() => operations().length === 3, 'server out');
    assert.equal(operations()[2], 'delete server [10.0.0.1]:80 of TCP [192.0.2.1]:80');
    await server.open();
    await until(() => operations().length === 4, 'server back');
    assert.equal(operations()[3], ADD);
    const name = '[10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80';
    assert.deepEqual(bench.notify.lines, [
      'VS [192.0.2.1]:tcp:80 UP',
      `RS ${name} DOWN`,
      'VS [192.0.2.1]:tcp:80 DOWN',
      `RS ${name} UP`,
      'VS [192.0.2.1]:tcp:80 UP',
    ]);
  });

  it('checks anew, when the dataplane returns, what it found while it was away', async () => {
    const hour = { delayLoop: 3_600_000, retry: 0 };
    let away = true;
    const [dead, well] = [await peer(), await peer()];
    // What it gets while the dataplane is away it never answers.
    const mute = await TcpPeer.start((socket) => {
      if (!away) socket.end('HTTP/1.0 200 OK\r\n\r\n');
    });
    closing.push(() => mute.close());
    const checks = [
      tcp(dead.port, hour),
      tcp(well.port, hour),
      http(mute.port, { ...hour, connectTimeout: 3_600_000 }),
    ];
    const services = checks.map((check, at) =>
      virtualServer('192.0.2.1', 80 + at, [realServer('10.0.0.1', 80, { checkers: [check] })]),
    );
    await dead.close();
    await bench.engine.apply(part(services), false);
    bench.driver.down('it was killed');
    await until(() => bench.notify.lines.includes('VS [192.0.2.1]:tcp:80 DOWN'), 'the failure');
    await until(() => well.accepted === 1 && mute.accepted === 1, 'the others');
    assert.equal(bench.engine.runner.underWay, 1);
    await dead.open();
    away = false;
    bench.driver.up(true);
    await until(
      () => bench.director.applied.get('TCP [192.0.2.1]:80')?.servers.size === 1,
      'the dead one back',
    );
    await until(() => bench.engine.runner.underWay === 0, 'an answer to what was under way');
    assert.equal(well.accepted, 1, 'what is known to be well is not asked again');
  });

  it('judges UDP servers: closed, silent, wrong answer, right answer', async () => {
    const hello = Buffer.from('hello').toString('hex');
    const right = await UdpPeer.start((message) => Buffer.from(`${message} ok`));
    const wrong = await UdpPeer.start(() => Buffer.from('go away'));
    const silent = await UdpPeer.start();
    const closed = await UdpPeer.start();
    await closed.close();
    closing.push(
      () => right.close(),
      () => wrong.close(),
      () => silent.close(),
    );
    const requireReply = { pattern: Buffer.from('hello ok').toString('hex'), minLength: 3, maxLength: 16 };
    const strict = { payload: hello, requireReply, silence: 'failure' as const, connectTimeout: 80 };
    const servers = [right, wrong, silent, closed].flatMap(({ port }, index) => [
      realServer(`10.0.1.${index}`, 53, { checkers: [udp(port, strict)] }),
      realServer(`10.0.2.${index}`, 53, { checkers: [udp(port, { connectTimeout: 80 })] }),
    ]);
    await bench.engine.apply(part([virtualServer('192.0.2.1', 53, servers, { protocol: 'UDP' })]), false);
    const alive = () =>
      [...bench.director.applied.values()].flatMap((entry) => [...entry.servers.keys()]).sort();
    const expected = ['[10.0.1.0]:53', '[10.0.2.0]:53', '[10.0.2.1]:53', '[10.0.2.2]:53'];
    await until(() => alive().join() === expected.join(), `alive: ${expected}`);
    // It stays so.
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.deepEqual(alive(), expected);
  });

  it('sends one probe for identical checks of one endpoint, and each virtual server hears of it', async () => {
    const server = await peer();
    const services = [1, 2, 3].map((at) =>
      virtualServer('192.0.2.1', at, [realServer('10.0.0.1', 80, { checkers: [tcp(server.port)] })]),
    );
    await bench.engine.apply(part(services), false);
    assert.equal(bench.engine.runner.checks().length, 1);
    await until(() => server.accepted >= 2, 'checks run');
    await server.close();
    await until(() => operations().filter((line) => line.startsWith('delete')).length === 3, 'all three');
    await bench.engine.apply(
      part(services, { engine: { shareProbes: false, director: { driver: 'dry-run' } } }),
      true,
    );
    assert.equal(bench.engine.runner.checks().length, 3, 'the option turns it off');
  });

  it('lets a newcomer to a running check know what it has found already', async () => {
    const server = await peer();
    const check = tcp(server.port, { delayLoop: 60_000, alpha: true });
    const of = (port: number) =>
      virtualServer('192.0.2.1', port, [realServer('10.0.0.1', 80, { checkers: [check] })]);
    await bench.engine.apply(part([of(80)]), false);
    await until(() => operations().includes(ADD), 'first is in');
    await bench.engine.apply(part([of(80), of(81)]), true);
    await until(() => operations().length === 4, 'second is in without another probe');
    assert.equal(server.accepted, 1);
  });

  it('sends one operation when one weight among 10,000 servers changes, and disturbs no probe', async () => {
    const servers = (changed: number) =>
      Array.from({ length: 10_000 }, (_, index) =>
        realServer(`10.1.${index >> 8}.${index & 255}`, 80, {
          weight: index === changed ? 9 : 1,
          checkers: [tcp(80, { connectAddress: `10.1.${index >> 8}.${index & 255}`, warmup: 3_600_000 })],
        }),
      );
    await bench.engine.apply(part([virtualServer('192.0.2.1', 80, servers(-1))]), false);
    await until(() => operations().length === 10_001, 'first push');
    const before = bench.engine.runner.checks().map((check) => [check, check.due]);
    const batches = bench.driver.batches.length;
    const started = performance.now();
    await bench.engine.apply(part([virtualServer('192.0.2.1', 80, servers(4711))]), true);
    await bench.director.settled();
    const took = performance.now() - started;
    assert.deepEqual(bench.driver.batches.slice(batches), [
      ['edit server [10.1.18.103]:80 of TCP [192.0.2.1]:80, FNAT, weight 9'],
    ]);
    const after = bench.engine.runner.checks().map((check) => [check, check.due]);
    assert.ok(before.every(([check, due], at) => after[at]![0] === check && after[at]![1] === due));
    assert.ok(took < 5000, `${took} ms`);
  });

  it('keeps the state of checks whose question did not change, when only their times do', async () => {
    const server = await peer();
    await server.close();
    const of = (delayLoop: number, retry: number) => service([tcp(server.port, { delayLoop, retry })]);
    await bench.engine.apply(part([of(50, 1)]), false);
    await until(() => operations().length === 3, 'server out');
    await bench.engine.apply(part([of(70, 3)]), true);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(operations().length, 3, 'nothing was put in and taken out again');
    await server.open();
    await until(() => operations().length === 4, 'server back');
  });

  it('removes what is gone from the file, edits what changed, keeps the rest', async () => {
    const vs = (port: number, options: Partial<VirtualServer> = {}) =>
      virtualServer('192.0.2.1', port, [realServer('10.0.0.1', 80)], options);
    await bench.engine.apply(part([vs(80), vs(81), vs(82)]), false);
    await bench.director.settled();
    const batches = bench.driver.batches.length;
    await bench.engine.apply(part([vs(80), vs(82, { scheduler: 'rr' }), vs(83)]), true);
    await bench.director.settled();
    assert.deepEqual(bench.driver.batches.slice(batches).flat().sort(), [
      'add server [10.0.0.1]:80 of TCP [192.0.2.1]:83, FNAT, weight 1',
      'add service TCP [192.0.2.1]:83, wrr',
      'delete service TCP [192.0.2.1]:81',
      'edit service TCP [192.0.2.1]:82, rr',
    ]);
    assert.ok(bench.notify.lines.includes('VS [192.0.2.1]:tcp:81 DOWN'));
  });

  it('makes a service of each address and mark of a group, with one quorum', async () => {
    const vs = virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80)], {
      target: { kind: 'group', name: 'web' },
    });
    const groups = {
      web: [
        { kind: 'addresses' as const, first: '192.0.2.1', last: '192.0.2.2', port: 80 },
        { kind: 'fwmark' as const, mark: 7, family: 4 as const },
      ],
    };
    await bench.engine.apply(part([vs], { groups }), false);
    await bench.director.settled();
    assert.deepEqual(
      operations().filter((line) => line.startsWith('add service')),
      [
        'add service TCP [192.0.2.1]:80, wrr',
        'add service TCP [192.0.2.2]:80, wrr',
        'add service FWM 7, wrr',
      ],
    );
    assert.equal(operations().filter((line) => line.startsWith('add server')).length, 3);
    assert.deepEqual(bench.notify.lines, ['VS [web]:0 UP']);
  });

  it('hands over local addresses and lists', async () => {
    const vs = service(
      [],
      {},
      { localAddressGroup: 'local', denyAddressGroup: 'bad', allowAddressGroup: 'good' },
    );
    await bench.engine.apply(
      part([vs], {
        localAddressGroups: { local: [{ first: '10.9.0.1', last: '10.9.0.2', device: 'dpdk1' }] },
        denyAddressGroups: { bad: [{ kind: 'range', first: '198.51.100.4', last: '198.51.100.7' }] },
        allowAddressGroups: { good: [{ kind: 'ipset', name: 'friends' }] },
      }),
      false,
    );
    await bench.director.settled();
    const of = 'of TCP [192.0.2.1]:80';
    assert.deepEqual(operations(), [
      'add service TCP [192.0.2.1]:80, wrr',
      `add local address 10.9.0.1@dpdk1 ${of}`,
      `add local address 10.9.0.2@dpdk1 ${of}`,
      `add list entry deny 198.51.100.4/30 ${of}`,
      `add list entry allow ipset:friends ${of}`,
      ADD,
    ]);
  });

  it('moves the weight as a script says, and back', async () => {
    bench.notify.result = () => ({ code: 42, timedOut: false });
    await bench.engine.apply(
      part([service([misc(['/bin/weigh'], { dynamic: true })], { weight: 5 })]),
      false,
    );
    await until(() => operations().at(-1)?.endsWith('weight 40') ?? false, 'weight 40');
    bench.notify.result = () => ({ code: 0, timedOut: false });
    await until(() => operations().at(-1)?.endsWith('weight 5') ?? false, 'weight 5');
    bench.notify.result = () => ({ code: 1, timedOut: false });
    await until(() => operations().at(-1)?.startsWith('delete server') ?? false, 'out');
    assert.ok(bench.log.some((line) => /^Changing weight from 5 to 40 for active service/.test(line)));
  });

  it('follows an integer in a file', async () => {
    const folder = mkdtempSync(join(tmpdir(), `track-${process.pid}-`));
    closing.push(async () => rmSync(folder, { recursive: true, force: true }));
    const path = join(folder, 'load');
    const trackFiles = { load: { path, weight: 1, reverse: false } };
    const check = { kind: 'FILE_CHECK' as const, trackFile: 'load', alpha: false };
    const vs = virtualServer('192.0.2.1', 80, [
      realServer('10.0.0.1', 80, { weight: 10, checkers: [{ ...check, weight: 2, reverse: false }] }),
      realServer('10.0.0.2', 80, { checkers: [{ ...check, weight: 0, reverse: false }] }),
    ]);
    await bench.engine.apply(part([vs], { trackFiles }), false);
    await until(() => operations().length === 3, 'first push');
    const rows = () => {
      const servers = [...bench.director.applied.values()][0]!.servers;
      return [...servers.values()].map((row) => `${row.address} ${row.weight}`).join(', ');
    };
    writeFileSync(path, '-3\n');
    await until(() => rows() === '10.0.0.1 4', 'weight moved, the other one out');
    writeFileSync(path, '0x10\n');
    await until(() => rows() === '10.0.0.1 42', 'hexadecimal');
    rmSync(path);
    await until(() => rows() === '10.0.0.1 10, 10.0.0.2 1', 'no file is 0');
  });

  it('follows BFD sessions', async () => {
    const check = { kind: 'BFD_CHECK' as const, name: 'peer', alpha: false };
    await bench.engine.apply(part([service([check])]), false);
    await bench.director.settled();
    bench.engine.bfdEvent('peer', false);
    await until(() => operations().at(-1)?.startsWith('delete server') ?? false, 'out');
    bench.engine.bfdEvent('peer', true);
    await until(() => operations().at(-1) === ADD, 'in');
  });

  it('rests while the address of a virtual server with ha_suspend is elsewhere', async () => {
    const server = await peer();
    await bench.engine.apply(part([service([tcp(server.port)], {}, { haSuspend: true })]), false);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(server.accepted, 0);
    const here = virtualServer(
      '127.0.0.1',
      80,
      [realServer('10.0.0.1', 80, { checkers: [tcp(server.port)] })],
      {
        haSuspend: true,
      },
    );
    await bench.engine.apply(part([here]), true);
    await until(() => server.accepted > 0, 'checks of an address that is here');
  });

  it('goes through all URLs before a server is in', async () => {
    let broken = true;
    const server = await TcpPeer.start((socket) => {
      socket.once('data', (data) => {
        const bad = broken && String(data).startsWith('GET /b ');
        socket.end(`HTTP/1.0 ${bad ? '500 no' : '200 ok'}\r\n\r\n`);
      });
    });
    closing.push(() => server.close());
    const check = http(server.port, { urls: [url('/a'), url('/b')], alpha: true, retry: 0 });
    await bench.engine.apply(part([service([check])]), false);
    await until(() => server.accepted >= 6, 'several rounds');
    assert.equal(operations().length, 1, 'only the service');
    broken = false;
    await until(() => operations().at(-1) === ADD, 'in');
  });

  it('keeps a sorry server that is one of the real servers, whatever that one’s own checks say', async () => {
    const [a, b] = [await peer(), await peer()];
    const vs = virtualServer(
      '192.0.2.1',
      80,
      [
        realServer('10.0.0.1', 80, { checkers: [tcp(a.port)] }),
        realServer('10.0.0.2', 80, { checkers: [tcp(b.port)] }),
      ],
      {
        quorum: 2,
        sorryServer: { address: '10.0.0.1', port: 80, forwarding: { method: 'FNAT' }, inhibit: true },
      },
    );
    await bench.engine.apply(part([vs]), false);
    const rows = () =>
      [...bench.director.applied.values()]
        .flatMap(({ servers }) => [...servers.values()].map((row) => `${row.address} ${row.weight}`))
        .join(', ');
    await until(() => rows() === '10.0.0.1 1, 10.0.0.2 1', 'both');
    await b.close();
    await until(() => rows() === '10.0.0.1 1', 'the sorry server');
    await a.close();
    await new Promise((resolve) => setTimeout(resolve, 300));
    await a.open();
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(rows(), '10.0.0.1 1');
    await b.open();
    await until(() => rows() === '10.0.0.1 1, 10.0.0.2 1', 'both again');
  });

  it('takes up from what is in place after a crash: servers that were out stay out until checked', async () => {
    const server = await peer();
    const vs = virtualServer('192.0.2.1', 80, [
      realServer('10.0.0.1', 80, { checkers: [tcp(server.port, { warmup: 400 })] }),
      realServer('10.0.0.2', 80, { checkers: [tcp(server.port, { warmup: 3_600_000 })] }),
    ]);
    await bench.engine.apply(part([vs]), false);
    await bench.director.settled();
    const present = new Map(bench.director.applied);
    await bench.stop();

    // The first one had been taken out.
    [...present.values()][0]!.servers.delete('[10.0.0.1]:80');
    const driver = new MemoryDriver();
    driver.present = present;
    bench = new Bench(systemClock, { driver });
    await bench.engine.apply(part([vs]), false);
    await new Promise((resolve) => setTimeout(resolve, 50));
    assert.deepEqual(driver.operations, [], 'nothing is touched at the start');
    await until(() => driver.operations.length === 1, 'checked and back');
    assert.deepEqual(driver.operations, [ADD]);
  });

  it('takes its own services out at an orderly end, and leaves them at any other', async () => {
    await bench.engine.apply(part([service([])]), false);
    await bench.director.settled();
    await bench.engine.stop(true);
    assert.equal(operations().at(-1), 'delete service TCP [192.0.2.1]:80');
    bench = new Bench(systemClock);
    await bench.engine.apply(part([service([])]), false);
    await bench.director.settled();
    await bench.engine.stop(false);
    assert.equal(operations().length, 2);
  });

  it('reports scripts, FIFO lines and mails', async () => {
    const server = await peer();
    await server.close();
    const vs = service(
      [tcp(server.port)],
      { smtpAlert: true, notifyDown: { argv: ['/bin/down', 'x'] }, notifyUp: { argv: ['/bin/up'] } },
      { smtpAlert: true, quorumDown: { argv: ['/bin/lost'] } },
    );
    await bench.engine.apply(part([vs]), false);
    await until(() => bench.notify.scripts.length === 2, 'scripts');
    assert.deepEqual(bench.notify.scripts, ['/bin/down x', '/bin/lost']);
    assert.deepEqual(bench.notify.mails, [
      { subject: 'Virtualserver [192.0.2.1]:tcp:80 - UP', body: '=> Gained quorum 1+0=1 <= 1 <=' },
      {
        subject: 'Realserver [10.0.0.1]:tcp:80 of virtual server [192.0.2.1]:tcp:80 - DOWN',
        body: '=> TCP CHECK failed on service <=',
      },
      { subject: 'Virtualserver [192.0.2.1]:tcp:80 - DOWN', body: '=> Lost quorum 1-0=1 > 0 <=' },
    ]);
  });
});

describe('pacing of checks', () => {
  it('spreads a mass of checks that are due at once, and says when it falls behind', async () => {
    const { VirtualClock } = await import('../../../lib/clock.js');
    const clock = new VirtualClock();
    const bench = new Bench(clock);
    // Scripts that end at once: only the pace matters.
    const servers = Array.from({ length: 10_000 }, (_, index) =>
      realServer(`10.1.${index >> 8}.${index & 255}`, 80, {
        checkers: [misc(['/bin/true', String(index)], { warmup: 0, delayLoop: 10_000 })],
      }),
    );
    const applying = bench.engine.apply(part([virtualServer('192.0.2.1', 80, servers)]), false);
    clock.advance(500);
    await applying;
    const { runner } = bench.engine;
    const most: number[] = [];
    for (let tick = 0; tick < 200; tick++) {
      const before = runner.started;
      clock.advance(10);
      await new Promise((resolve) => setImmediate(resolve));
      most.push(runner.started - before);
    }
    assert.equal(runner.started, 10_000, 'all have run once');
    // The steady rate is 10 per tick; a pause of 100 ms may be made up for at twice that, on top of the least burst of 64.
    assert.ok(Math.max(...most) <= 2 * 10 * 10 + 64, `at most ${Math.max(...most)} per tick`);
    assert.ok(bench.log.some((line) => line.startsWith('health checks fall behind')));
    assert.ok(bench.log.includes('health checks are on time again'));
    assert.ok(runner.lateness.max > 1000 && runner.lateness.quantile(0.5) > 0);
    assert.ok(runner.checks().every((check) => check.lastRun !== undefined));
    await bench.stop();
  });

  it('varies the times so that checks that fell together drift apart', async () => {
    const { VirtualClock } = await import('../../../lib/clock.js');
    const clock = new VirtualClock();
    let seed = 1;
    const bench = new Bench(clock, {
      random: () => {
        seed = (seed * 1103515245 + 12345) & 0x7fffffff;
        return seed / 0x7fffffff;
      },
    });
    const servers = Array.from({ length: 50 }, (_, index) =>
      realServer(`10.1.0.${index}`, 80, {
        checkers: [misc(['/bin/true', String(index)], { warmup: 0, delayLoop: 10_000 })],
      }),
    );
    const applying = bench.engine.apply(part([virtualServer('192.0.2.1', 80, servers)]), false);
    clock.advance(500);
    await applying;
    for (let tick = 0; tick < 300; tick++) {
      clock.advance(100);
      await new Promise((resolve) => setImmediate(resolve));
    }
    const due = new Set(bench.engine.runner.checks().map((check) => Math.round(check.due)));
    assert.ok(due.size > 20, `${due.size} different times`);
    assert.ok(bench.engine.runner.checks().every(({ runs }) => runs >= 3 && runs <= 4));
    await bench.stop();
  });
});

describe('settings of the health checker', () => {
  it('runs notifies of servers that start up with rs_init_notifies', async () => {
    const bench = new Bench(systemClock);
    const configured = part([virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80)])]);
    configured.global.rsInitNotifies = true;
    await bench.engine.apply(configured, false);
    assert.deepEqual(bench.notify.lines, [
      'RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 UP',
      'VS [192.0.2.1]:tcp:80 UP',
    ]);
    await bench.stop();
  });

  it('reports the end of servers and quorum with omega, and not without', async () => {
    for (const omega of [true, false]) {
      const bench = new Bench(systemClock);
      await bench.engine.apply(
        part([virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80)], { omega })]),
        false,
      );
      bench.notify.lines.length = 0;
      await bench.engine.stop(true);
      const expected = ['RS [10.0.0.1]:tcp:80 [192.0.2.1]:tcp:80 DOWN', 'VS [192.0.2.1]:tcp:80 DOWN'];
      assert.deepEqual(bench.notify.lines, omega ? expected : []);
      bench.reactor.close();
    }
  });

  it('empties the table at the start with lvs_flush, but not what it left itself', async () => {
    const configured = part([virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80)])]);
    configured.global.lvsFlush = true;
    let bench = new Bench(systemClock);
    await bench.engine.apply(configured, false);
    await bench.director.settled();
    assert.deepEqual(bench.driver.commands, [{ kind: 'flush' }]);
    assert.equal(bench.driver.operations.length, 2);
    const driver = new MemoryDriver();
    driver.present = new Map(bench.director.applied);
    await bench.stop();
    bench = new Bench(systemClock, { driver });
    await bench.engine.apply(configured, false);
    await bench.director.settled();
    assert.deepEqual([driver.commands, driver.operations], [[], []]);
    await bench.stop();
  });

  it('dumps what each check found and when it last ran', async () => {
    const { dumpText } = await import('../../../healthcheck/dump.js');
    const server = await TcpPeer.start();
    const bench = new Bench(systemClock);
    await bench.engine.apply(
      part([virtualServer('192.0.2.1', 80, [realServer('10.0.0.1', 80, { checkers: [tcp(server.port)] })])]),
      false,
    );
    const check = `TCP_CHECK [127.0.0.1]:${server.port}`;
    assert.match(dumpText('data', bench.engine, bench.director), /not run yet/);
    await until(() => server.accepted > 2, 'checks');
    const data = dumpText('data', bench.engine, bench.director);
    assert.ok(data.includes('RS [10.0.0.1]:tcp:80'));
    assert.match(data, new RegExp(`${check.replace(/[[\]]/g, '\\$&')}: up, last run [\\d.]+ s ago, success`));
    const json = JSON.parse(dumpText('json', bench.engine, bench.director));
    assert.equal(json.virtual_servers[0].real_servers[0].checks[0].check, check);
    assert.ok(json.checks.started >= 2);
    assert.match(dumpText('stats', bench.engine, bench.director), /lateness p50 = \d+ ms/);
    await bench.stop();
    await server.close();
  });
});
