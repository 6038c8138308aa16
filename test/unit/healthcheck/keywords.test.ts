import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { HealthcheckPart } from '../../../keepalived/model/index.js';
import { parse } from '../../../keepalived/parse.js';
import { systemClock } from '../../../lib/clock.js';
import { skipBecause } from '../../runner/skip.js';
import { Bench, until } from './fixtures.js';
import { selfSigned, TcpPeer } from './peers.js';

/** What keywords of checks do, from the text of keepalived.conf to what servers and the dataplane see of it. */

const surroundings = {
  hostname: 'node',
  interfaceExists: () => true,
  scripts: { find: (program: string) => program, writable: () => false, defaultUser: () => true },
};

function partOf(text: string): HealthcheckPart {
  const { model } = parse('/x.conf', { ...surroundings, text });
  return { global: model.global, loadBalancing: model.loadBalancing };
}

/** One virtual server with one server. @param globals lines outside of it */
function service(port: number, server: string, inside = '', globals = ''): string {
  return `${globals}\nvirtual_server 192.0.2.1 80 {\nprotocol TCP\nlb_algo wrr\nlb_kind NAT\n${inside}\nreal_server 127.0.0.1 ${port} {\n${server}\n}\n}\n`;
}

/** A web server that notes when it was asked, and for what. */
class Web {
  readonly asked: { at: number; path: string }[] = [];
  status = 200;
  peer!: TcpPeer;

  static async start(status: (path: string) => number = () => 200): Promise<Web> {
    const web = new Web();
    web.peer = await TcpPeer.start((socket) =>
      socket.on('data', (data) => {
        const path = /^GET (\S+)/.exec(String(data))?.[1] ?? '';
        web.asked.push({ at: performance.now(), path });
        socket.end(`HTTP/1.0 ${web.status === 200 ? status(path) : web.status} X\r\n\r\nbody`);
      }),
    );
    return web;
  }

  /** Milliseconds between the requests from number `from` on. */
  gaps(from: number): number[] {
    return this.asked.slice(from + 1).map(({ at }, index) => at - this.asked[from + index]!.at);
  }
}

describe('keywords of checks', function () {
  this.timeout(30_000);
  let bench: Bench;
  const closing: (() => Promise<unknown>)[] = [];

  beforeEach(() => {
    bench = new Bench(systemClock);
  });
  afterEach(async () => {
    await bench.stop();
    for (const close of closing.splice(0)) await close();
  });

  async function web(status?: (path: string) => number): Promise<Web> {
    const server = await Web.start(status);
    closing.push(() => server.peer.close());
    return server;
  }
  const apply = (text: string, reload = false) => bench.engine.apply(partOf(text), reload);
  const told = (line: string) => bench.notify.lines.filter((one) => one.includes(line)).length;
  const down = () => told(' DOWN') > 0;

  it('retry and delay_before_retry: so many more failures, so far apart, then it is out and asked each delay_loop', async () => {
    const server = await web();
    await apply(
      service(
        server.peer.port,
        'HTTP_GET {\nurl {\npath /\n}\nwarmup 0\ndelay_loop 0.4\nretry 3\ndelay_before_retry 0.1\n}',
      ),
    );
    await until(() => server.asked.length >= 2, 'two checks that do well');
    server.status = 500;
    const good = server.asked.length;
    await until(down, 'the server is out');
    const failures = server.asked.length - good;
    assert.equal(failures, 4, 'the first failure and three retries');
    for (const gap of server.gaps(good)) assert.ok(gap >= 99, `${gap} ms before a retry`);
    await until(() => server.asked.length >= good + 6, 'it is asked on');
    for (const gap of server.gaps(good + 3)) assert.ok(gap >= 395, `${gap} ms while it is out`);
    server.status = 200;
    await until(() => told('RS [127.0.0.1]') >= 2, 'it returns at its first success');
  });

  it('delay_loop holds on average, not only at least', async () => {
    const server = await web();
    await apply(service(server.peer.port, 'HTTP_GET {\nurl {\npath /\n}\nwarmup 0\n}', 'delay_loop 0.2'));
    await until(() => server.asked.length >= 12, 'some checks');
    const gaps = server
      .gaps(0)
      .slice(0, 11)
      .sort((a, b) => a - b);
    // Half a per cent of jitter, one tick of the wheel, one round of collecting answers. The median: a busy machine makes some late.
    const median = gaps[5]!;
    assert.ok(median >= 199 && median < 270, `${median} ms in the middle`);
  });

  it('warmup: the first check comes at random within it', async () => {
    const server = await web();
    const early = performance.now();
    // The test's chance is always in the middle.
    await apply(service(server.peer.port, 'HTTP_GET {\nurl {\npath /\n}\nwarmup 1\ndelay_loop 60\n}'));
    await until(() => server.asked.length === 1, 'the first check');
    assert.ok(server.asked[0]!.at - early >= 495, `${server.asked[0]!.at - early} ms`);
  });

  it('connect_ip and connect_port are asked in place of the server', async () => {
    const server = await web();
    const text = service(
      9,
      `HTTP_GET {\nurl {\npath /\n}\nwarmup 0\nconnect_ip 127.0.0.1\nconnect_port ${server.peer.port}\n}`,
    );
    await apply(text.replace('real_server 127.0.0.1', 'real_server 10.0.0.9'));
    await until(() => server.asked.length > 0, 'the other place is asked');
  });

  it('log_all_failures says each failure, otherwise only the one that counts is said', async () => {
    for (const [place, all] of [
      ['', false],
      ['log_all_failures', true],
      ['global', true],
    ] as const) {
      const server = await web();
      const inner = place === 'global' ? '' : place;
      const globals = place === 'global' ? 'global_defs {\nchecker_log_all_failures\n}' : '';
      const check = `HTTP_GET {\nurl {\npath /\n}\nwarmup 0\ndelay_loop 0.1\nretry 2\ndelay_before_retry 0.05\n${inner}\n}`;
      const own = new Bench(systemClock);
      closing.push(() => own.stop());
      await own.engine.apply(partOf(service(server.peer.port, check, '', globals)), false);
      await until(() => server.asked.length >= 2, 'it does well');
      server.status = 503;
      await until(
        () => own.notify.lines.some((line) => line.includes('RS') && line.endsWith('DOWN')),
        'it is out',
      );
      const single = own.log.filter((line) => /^HTTP status code 503.*server \[127/.test(line)).length;
      assert.equal(single, all ? 2 : 0, `${place}: ${own.log.join('\n')}`);
      assert.equal(
        own.log.filter((line) => /^HTTP_CHECK on service .* failed after 2 retries/.test(line)).length,
        1,
      );
    }
  });

  it('alpha: out until the first success; without it in from the start', async () => {
    const server = await web(() => 500);
    const check =
      'HTTP_GET {\nurl {\npath /\n}\nwarmup 0\ndelay_loop 0.1\nretry 0\ndelay_before_retry 0.1\n}';
    await apply(service(server.peer.port, check, 'alpha'));
    await until(() => server.asked.length > 2, 'some checks');
    assert.equal(
      bench.driver.operations.some((line) => line.startsWith('add server')),
      false,
    );
    const other = new Bench(systemClock);
    closing.push(() => other.stop());
    await other.engine.apply(partOf(service(server.peer.port, check)), false);
    await until(() => other.driver.operations.some((line) => line.startsWith('delete server')), 'out');
    assert.ok(other.driver.operations.some((line) => line.startsWith('add server')));
  });

  it('several URLs: all in turn; fast_recovery does not wait between them', async () => {
    const urls = ['/a', '/b', '/c'].map((path) => `url {\npath ${path}\n}`).join('\n');
    const times: number[] = [];
    for (const fast of ['', 'fast_recovery']) {
      const server = await web();
      const own = new Bench(systemClock);
      closing.push(() => own.stop());
      const began = performance.now();
      await own.engine.apply(
        partOf(service(server.peer.port, `HTTP_GET {\n${urls}\nalpha\nwarmup 0\ndelay_loop 0.5\n${fast}\n}`)),
        false,
      );
      await until(() => own.driver.operations.some((line) => line.startsWith('add server')), 'in');
      times.push(performance.now() - began);
      assert.deepEqual(
        server.asked.slice(0, 3).map(({ path }) => path),
        ['/a', '/b', '/c'],
      );
    }
    assert.ok(times[0]! >= 990, `${times[0]} ms: two pauses`);
    assert.ok(times[1]! < times[0]!, `${times[1]} ms with fast_recovery, ${times[0]} ms without`);
  });

  it('SSL: the certificate and key are shown to a server that asks for them', async function () {
    const certificate = selfSigned();
    if (!certificate) skipBecause(this, 'openssl is not installed');
    const folder = mkdtempSync(join(tmpdir(), `ssl-${process.pid}-`));
    closing.push(async () => rmSync(folder, { recursive: true }));
    writeFileSync(join(folder, 'cert.pem'), certificate!.cert);
    writeFileSync(join(folder, 'key.pem'), certificate!.key);
    const strict = { ...certificate!, ca: certificate!.cert, requestCert: true, rejectUnauthorized: true };
    const server = await TcpPeer.startTls(
      (socket) => socket.on('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nx')),
      strict,
    );
    closing.push(() => server.close());
    const check = 'SSL_GET {\nurl {\npath /\n}\nalpha\nwarmup 0\ndelay_loop 0.1\n}';
    const ssl = `SSL {\ncertificate ${folder}/cert.pem\nkey ${folder}/key.pem\n}`;
    await apply(service(server.port, check, '', ssl));
    await until(
      () => bench.driver.operations.some((line) => line.startsWith('add server')),
      bench.log.join(),
    );
    const without = new Bench(systemClock);
    closing.push(() => without.stop());
    await without.engine.apply(partOf(service(server.port, check)), false);
    await until(() => without.log.some((line) => line.includes('failed')), 'refused without');
  });

  it('weights, thresholds and forwarding come to the dataplane, and a reload edits them', async () => {
    const server = await web();
    const check = 'HTTP_GET {\nurl {\npath /\n}\nwarmup 0\n}';
    await apply(service(server.peer.port, check, 'weight 5\nlvs_sched sh\nsh-port'));
    await until(() => bench.driver.operations.length === 2, 'first push');
    assert.match(bench.driver.operations.join('\n'), /add service .*sh[\s\S]*weight 5/);
    await apply(
      service(server.peer.port, `weight 8\nlvs_method FNAT\n${check}`, 'weight 5\nlvs_sched sh\nsh-port'),
      true,
    );
    const edited = () => bench.driver.operations.slice(2);
    await until(() => edited().length > 0, 'an edit');
    assert.equal(edited().length, 1, edited().join('\n'));
    assert.match(edited()[0]!, /edit server .*FNAT, weight 8/);
  });

  describe('in a network namespace', () => {
    const name = `keywords-${process.pid}`;
    const program = fileURLToPath(new URL('./endpoint-program.js', import.meta.url));
    const ip = (...words: string[]) => spawnSync('ip', ['-n', name, ...words], { encoding: 'utf8' });

    before(function () {
      if (spawnSync('ip', ['netns', 'add', name]).status !== 0)
        skipBecause(this, 'network namespaces cannot be made here');
      ip('link', 'set', 'lo', 'up');
      ip('link', 'add', 'port0', 'type', 'veth', 'peer', 'name', 'port1');
      ip('link', 'set', 'port0', 'up');
      ip('address', 'add', '192.0.2.1/24', 'dev', 'lo');
      // Packets with this mark are not routed.
      assert.equal(ip('rule', 'add', 'fwmark', '77', 'unreachable', 'priority', '1').status, 0);
      ip('rule', 'add', 'lookup', 'local', 'priority', '100');
      ip('rule', 'delete', 'priority', '0');
    });
    after(() => {
      spawnSync('ip', ['netns', 'delete', name]);
    });

    /** Verdicts of TCP_CHECK and UDP_CHECK on servers of the namespace. */
    function verdicts(options: object): Record<string, { outcome: string; reason?: string }> {
      const words = ['netns', 'exec', name, process.execPath, program, JSON.stringify(options)];
      const done = spawnSync('ip', words, { encoding: 'utf8' });
      assert.equal(done.status, 0, done.stderr);
      return JSON.parse(done.stdout) as Record<string, { outcome: string; reason?: string }>;
    }

    it('fwmark: packets of the check carry the mark', () => {
      for (const { outcome } of Object.values(verdicts({}))) assert.equal(outcome, 'success');
      for (const { outcome } of Object.values(verdicts({ fwmark: 78 }))) assert.equal(outcome, 'success');
      for (const { outcome, reason } of Object.values(verdicts({ fwmark: 77 }))) {
        assert.equal(outcome, 'failure');
        assert.match(reason ?? '', /connect: E(HOST|NET)UNREACH/);
      }
    });

    it('bind_if: the check goes through that device and no other', () => {
      for (const { outcome } of Object.values(verdicts({ bindInterface: 'lo' })))
        assert.equal(outcome, 'success');
      for (const { outcome } of Object.values(verdicts({ bindInterface: 'port0' })))
        assert.equal(outcome, 'failure');
      for (const { outcome, reason } of Object.values(verdicts({ bindInterface: 'none0' }))) {
        assert.equal(outcome, 'deferred');
        assert.match(reason ?? '', /bind to device: ENODEV/);
      }
    });
  });
});
