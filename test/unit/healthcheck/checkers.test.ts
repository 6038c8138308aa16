import assert from 'node:assert/strict';
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { readdirSync } from 'node:fs';
import type { Socket } from 'node:net';
import { Worker } from 'node:worker_threads';
import { internetChecksum } from '../../../healthcheck/ping-check.js';
import type { Verdict } from '../../../healthcheck/probe.js';
import { makeProbe } from '../../../healthcheck/probes.js';
import { Reactor } from '../../../healthcheck/sockets.js';
import { defaultGlobal } from '../../../keepalived/model/global.js';
import type { HttpCheck, ScheduledCheck, VirtualServer } from '../../../keepalived/model/virtual-server.js';
import { createNotify } from '../../../keepalived/notify/index.js';
import { systemClock } from '../../../lib/clock.js';
import {
  AF_INET,
  close as closeSocket,
  IPPROTO_ICMP,
  socket as rawSocket,
  SOCK_RAW,
  sendto,
  sockaddrIn,
} from '../../../lib/libc.js';
import { Log } from '../../../lib/log.js';
import { skipBecause } from '../../runner/skip.js';
import { dns, http, misc, ping, smtp, tcp, udp, until, url } from './fixtures.js';
import { selfSigned, TcpPeer, UdpPeer } from './peers.js';

const hex = (text: string) => Buffer.from(text).toString('hex');

describe('checkers against real peers', () => {
  const log = new Log(() => {});
  let reactor: Reactor;
  const closing: (() => Promise<unknown>)[] = [];

  beforeEach(() => {
    reactor = new Reactor(systemClock);
  });
  afterEach(async () => {
    assert.equal(reactor.size, 0, 'no socket is left behind');
    reactor.close();
    for (const close of closing.splice(0)) await close();
  });

  const global = defaultGlobal();
  const notify = createNotify(global, 'lvs', log);

  function probe(
    check: ScheduledCheck,
    around: { proxy?: VirtualServer['proxyProtocol']; virtualHost?: string } = {},
    step = 0,
  ): Promise<Verdict> {
    const context = { reactor, clock: systemClock, log, notify, global };
    const surroundings = { proxy: around.proxy ?? ('none' as const), virtualHost: around.virtualHost };
    const made = makeProbe(check, surroundings, context, undefined);
    return new Promise((resolve) => {
      made.run(step, resolve);
    });
  }
  const reason = (verdict: Verdict) => (verdict.outcome === 'success' ? 'success' : verdict.reason);

  async function tcpPeer(talk?: (socket: Socket) => void, address?: string): Promise<TcpPeer> {
    const peer = await TcpPeer.start(talk, address);
    closing.push(() => peer.close());
    return peer;
  }
  async function udpPeer(answer?: (message: Buffer) => Buffer | Buffer[] | undefined): Promise<UdpPeer> {
    const peer = await UdpPeer.start(answer);
    closing.push(() => peer.close());
    return peer;
  }
  async function closedPort(): Promise<number> {
    const peer = await TcpPeer.start();
    await peer.close();
    return peer.port;
  }

  it('a socket that the kernel will not watch puts the check off and is closed', async () => {
    const [server, echo] = [await tcpPeer(), await udpPeer()];
    // Its epoll set is gone.
    const blind = new Reactor(systemClock);
    blind.close();
    const files = () => readdirSync('/proc/self/fd').length;
    const before = files();
    for (const check of [
      tcp(server.port),
      http(server.port),
      smtp(server.port),
      udp(echo.port),
      dns(echo.port),
    ]) {
      const context = { reactor: blind, clock: systemClock, log, notify, global };
      const made = makeProbe(check, { proxy: 'none', virtualHost: undefined }, context, undefined);
      const verdict = await new Promise<Verdict>((resolve) => made.run(0, resolve));
      assert.deepEqual(verdict, { outcome: 'deferred', reason: 'the kernel does not watch the socket' });
    }
    // Those of the server's side may take a moment.
    await until(() => files() <= before, 'all sockets are closed');
  });

  it('an answer that came while this process stood still is no silence', async () => {
    const [server, closed, echo] = [await tcpPeer(), await closedPort(), await udpPeer((message) => message)];
    // A clock that the test moves, and whose timers it lets go in the order that is worst.
    let now = 1000;
    const timers: { name: string; callback: () => void }[] = [];
    const stalled = new Reactor({
      now: () => now,
      after(_delay, callback, name = '') {
        const timer = { name, callback };
        timers.push(timer);
        return { cancel: () => void (timers.includes(timer) && timers.splice(timers.indexOf(timer), 1)) };
      },
    });
    const verdicts = new Map<string, Verdict>();
    const silent = await udpPeer();
    for (const [name, check] of Object.entries({
      accepts: tcp(server.port),
      refuses: tcp(closed),
      answers: udp(echo.port, { silence: 'failure' }),
      silent: udp(silent.port, { silence: 'failure' }),
    })) {
      const context = { reactor: stalled, clock: systemClock, log, notify, global };
      const made = makeProbe(check, { proxy: 'none', virtualHost: undefined }, context, undefined);
      made.run(0, (verdict) => verdicts.set(name, verdict));
    }
    await until(() => echo.received.length + silent.received.length === 2, 'the datagrams');
    await new Promise((resolve) => setTimeout(resolve, 50));
    now += 60_000;
    for (const { callback } of timers.filter(({ name }) => name === 'wheel')) callback();
    const outcomes = Object.fromEntries([...verdicts].map(([name, verdict]) => [name, reason(verdict)]));
    stalled.close();
    const { refuses, ...others } = outcomes;
    assert.deepEqual(others, { accepts: 'success', answers: 'success', silent: 'no reply' });
    assert.match(refuses!, /ECONNREFUSED/);
  });

  for (const kind of ['HTTP_GET', 'SSL_GET', 'SMTP_CHECK'] as const) {
    it(`${kind}: an answer that came while this process stood still is no silence`, async function () {
      const certificate = kind === 'SSL_GET' ? selfSigned() : undefined;
      if (kind === 'SSL_GET' && !certificate) skipBecause(this, 'openssl is not installed');
      // In a thread of its own it answers while we do not run: a tenth of a second after it was asked.
      const server = new Worker(
        `const { parentPort, workerData } = require('node:worker_threads');
        const talk = (socket) => {
          socket.on('error', () => {});
          if (workerData.kind === 'SMTP_CHECK') setTimeout(() => socket.write('220 here\\r\\n'), 100);
          socket.on('data', (data) => {
            parentPort.postMessage('asked');
            const quit = String(data).startsWith('QUIT');
            if (workerData.kind === 'SMTP_CHECK') socket.write(quit ? '221 bye\\r\\n' : '250 yes\\r\\n');
            else setTimeout(() => socket.end('HTTP/1.0 200 OK\\r\\n\\r\\nfine'), 100);
          });
        };
        const server = workerData.kind === 'SSL_GET'
          ? require('node:tls').createServer({ key: Buffer.from(workerData.key), cert: Buffer.from(workerData.cert) }, talk)
          : require('node:net').createServer(talk);
        server.listen(0, '127.0.0.1', () => parentPort.postMessage(server.address().port));`,
        { eval: true, workerData: { kind, ...certificate } },
      );
      closing.push(() => server.terminate());
      const port = await new Promise<number>((resolve) => server.once('message', resolve));
      const check = kind === 'SMTP_CHECK' ? smtp(port) : http(port, { kind });
      check.connectTimeout = 1000;
      let verdict: Verdict | undefined;
      const context = { reactor, clock: systemClock, log, notify, global };
      const made = makeProbe(check, { proxy: 'none', virtualHost: undefined }, context, undefined);
      made.run(0, (found) => {
        verdict = found;
      });
      // Stand still from the moment on at which the connection is there, until long after its time.
      await until(() => reactor.size === 0, 'the connection');
      if (kind !== 'SMTP_CHECK') await new Promise((resolve) => server.once('message', resolve));
      const end = performance.now() + 1500;
      while (performance.now() < end);
      await until(() => verdict !== undefined, 'a verdict');
      assert.equal(reason(verdict!), 'success');
    });
  }

  describe('TCP_CHECK', () => {
    it('succeeds when the server accepts', async () => {
      const peer = await tcpPeer();
      assert.equal((await probe(tcp(peer.port))).outcome, 'success');
    });

    it('fails at once when the port is closed', async () => {
      assert.deepEqual(await probe(tcp(await closedPort())), { outcome: 'failure', reason: 'ECONNREFUSED' });
    });

    it('fails after connect_timeout when nothing answers', async () => {
      // TEST-NET-1 of RFC 5737 on a host without a route, or with one that leads nowhere.
      const started = performance.now();
      const verdict = await probe(tcp(81, { connectAddress: '192.0.2.77', connectTimeout: 150 }));
      assert.equal(verdict.outcome, 'failure');
      assert.ok(reason(verdict) !== 'timeout' || performance.now() - started >= 149);
    });

    it('connects over IPv6', async function () {
      let peer: TcpPeer;
      try {
        peer = await tcpPeer(undefined, '::1');
      } catch {
        skipBecause(this, 'no IPv6 on loopback');
      }
      assert.equal((await probe(tcp(peer.port, { connectAddress: '::1' }))).outcome, 'success');
    });

    it('connects from the address and port it is told', async () => {
      const seen: string[] = [];
      const peer = await tcpPeer((socket) => seen.push(`${socket.remoteAddress}:${socket.remotePort}`));
      const free = await closedPort();
      const verdict = await probe(tcp(peer.port, { bindAddress: '127.0.0.5', bindPort: free }));
      assert.equal(verdict.outcome, 'success');
      await new Promise((resolve) => setTimeout(resolve, 50));
      assert.deepEqual(seen, [`127.0.0.5:${free}`]);
    });

    it('puts the check off when the source address is not ours', async () => {
      const peer = await tcpPeer();
      const verdict = await probe(tcp(peer.port, { bindAddress: '203.0.113.9' }));
      assert.deepEqual(verdict, { outcome: 'deferred', reason: 'bind: EADDRNOTAVAIL' });
    });

    it('can be ended before it has an answer', async () => {
      const context = { reactor, clock: systemClock, log, notify, global };
      const made = makeProbe(
        tcp(81, { connectAddress: '192.0.2.77', connectTimeout: 100 }),
        { proxy: 'none', virtualHost: undefined },
        context,
        undefined,
      );
      let answers = 0;
      const abort = made.run(0, () => answers++);
      const before = answers;
      abort();
      await new Promise((resolve) => setTimeout(resolve, 150));
      assert.equal(answers, before);
    });
  });

  describe('UDP_CHECK', () => {
    const hello = { payload: hex('hello') };

    it('fails when the port is closed: ICMP unreachable', async () => {
      const peer = await udpPeer();
      await peer.close();
      assert.deepEqual(await probe(udp(peer.port)), { outcome: 'failure', reason: 'ECONNREFUSED' });
    });

    it('fails on ICMP unreachable of every code: network, host, filtered', async function () {
      if (process.getuid?.() !== 0) skipBecause(this, 'only root sends ICMP errors');
      const raw = rawSocket(AF_INET, SOCK_RAW, IPPROTO_ICMP);
      closing.push(async () => closeSocket(raw));
      for (const [code, expected] of [
        [0, 'ENETUNREACH'],
        [1, 'EHOSTUNREACH'],
        [3, 'ECONNREFUSED'],
        [13, 'EHOSTUNREACH'],
      ] as const) {
        const socket = createSocket('udp4');
        await new Promise<void>((resolve) => socket.bind(0, '127.0.0.1', resolve));
        const { port } = socket.address();
        socket.on('message', (_message, sender) => {
          // Type 3 with the header of the datagram that it is about (RFC 792).
          const packet = Buffer.alloc(36);
          packet.set([3, code]);
          packet.set([0x45, 0, 0, 60, 0, 0, 0, 0, 64, 17, 0, 0, 127, 0, 0, 1, 127, 0, 0, 1], 8);
          packet.writeUInt16BE(sender.port, 28);
          packet.writeUInt16BE(port, 30);
          packet.writeUInt16BE(40, 32);
          packet.writeUInt16BE(internetChecksum(packet), 2);
          sendto(raw, packet, sockaddrIn(Uint8Array.from([127, 0, 0, 1])));
        });
        const verdict = await probe(udp(port));
        await new Promise<void>((resolve) => socket.close(() => resolve()));
        assert.deepEqual(verdict, { outcome: 'failure', reason: expected }, `code ${code}`);
      }
    });

    it('takes silence for life or for failure, as it is told', async () => {
      const peer = await udpPeer();
      const quick = { connectTimeout: 60 };
      assert.equal((await probe(udp(peer.port, quick))).outcome, 'success');
      assert.equal(reason(await probe(udp(peer.port, { ...quick, silence: 'failure' }))), 'no reply');
    });

    it('sends keepalived’s 32 bytes when no payload is given, with a PROXY v2 header behind such a service', async () => {
      const peer = await udpPeer(() => Buffer.from('x'));
      await probe(udp(peer.port));
      await probe(udp(peer.port), { proxy: 'v2' });
      await probe(udp(peer.port, hello), { proxy: 'v2' });
      assert.deepEqual(
        peer.received.map((message) => message.toString('latin1')),
        ['keepalived check - keepalived ch', '\r\n\r\n\0\r\nQUIT\n \0\0\0keepalived check', 'hello'],
      );
    });

    it('accepts the right answer, and any answer when none in particular is asked for', async () => {
      const peer = await udpPeer((message) => Buffer.from(`${message} ok and more`));
      const right = { pattern: hex('hello ok'), minLength: 3, maxLength: 32 };
      const required = { silence: 'failure' as const, ...hello };
      assert.equal((await probe(udp(peer.port, { ...required, requireReply: right }))).outcome, 'success');
      const any = { pattern: '', minLength: 0, maxLength: 255 };
      assert.equal((await probe(udp(peer.port, { ...required, requireReply: any }))).outcome, 'success');
    });

    it('refuses a wrong answer, one too short and one too long', async () => {
      const judge = async (answer: string, limits = { minLength: 3, maxLength: 16 }) => {
        const peer = await udpPeer(() => Buffer.from(answer));
        const requireReply = { pattern: hex('hello ok'), ...limits };
        return reason(await probe(udp(peer.port, { ...hello, silence: 'failure', requireReply })));
      };
      assert.equal(await judge('hello no'), 'wrong reply at byte 6');
      assert.equal(await judge('he'), 'reply of 2 bytes, allowed are 3 to 16');
      assert.equal(await judge('hello ok, but far too long'), 'reply of 26 bytes, allowed are 3 to 16');
      assert.equal(await judge('hello'), 'success', 'a shorter reply is right as far as it goes');
    });

    it('takes x in a pattern for any nibble', async () => {
      const peer = await udpPeer(() => Buffer.from([0x12, 0x34, 0x56]));
      const judge = async (pattern: string) => {
        const requireReply = { pattern, minLength: 0, maxLength: 255 };
        return (await probe(udp(peer.port, { silence: 'failure', requireReply }))).outcome;
      };
      assert.equal(await judge('1xx456'), 'success');
      assert.equal(await judge('1xx457'), 'failure');
      assert.equal(await judge('xxxxxx'), 'success');
    });
  });

  describe('DNS_CHECK', () => {
    const reply = (query: Buffer, code: number, id = query.readUInt16BE(0)) => {
      const answer = Buffer.from(query);
      answer.writeUInt16BE(id, 0);
      answer.writeUInt16BE(0x8180 | code, 2);
      return answer;
    };

    it('asks for the type and name, and accepts an answer without error', async () => {
      const peer = await udpPeer((query) => reply(query, 0));
      assert.equal(
        (await probe(dns(peer.port, { name: 'www.example.com.', type: 'AAAA' }))).outcome,
        'success',
      );
      assert.equal(
        peer.received[0]!.subarray(2).toString('hex'),
        `0100000100000000000003${hex('www')}07${hex('example')}03${hex('com')}00001c0001`,
      );
      await probe(dns(peer.port));
      assert.equal(peer.received[1]!.subarray(12).toString('hex'), '0000060001', 'SOA of the root');
    });

    it('fails on an error code', async () => {
      const peer = await udpPeer((query) => reply(query, 3));
      assert.equal(reason(await probe(dns(peer.port))), 'rcode 3 (NXDOMAIN)');
    });

    it('ignores what is no answer to its query, and waits on', async () => {
      const peer = await udpPeer((query) => [
        Buffer.from('short'),
        reply(query, 0, query.readUInt16BE(0) ^ 1),
        query,
        reply(query, 2),
      ]);
      assert.equal(reason(await probe(dns(peer.port))), 'rcode 2 (SERVFAIL)');
    });

    it('fails on silence and on a closed port', async () => {
      const silent = await udpPeer();
      assert.equal(reason(await probe(dns(silent.port, { connectTimeout: 50 }))), 'timeout');
      await silent.close();
      assert.equal(reason(await probe(dns(silent.port))), 'ECONNREFUSED');
    });
  });

  describe('SMTP_CHECK', () => {
    const server = (lines: { greeting?: string; helo?: string; quit?: string }, said: string[] = []) =>
      tcpPeer((socket) => {
        socket.write(lines.greeting ?? '220 real ESMTP\r\n');
        socket.on('data', (data) => {
          said.push(String(data));
          if (String(data).startsWith('HELO')) socket.write(lines.helo ?? '250 ok\r\n');
          if (String(data).startsWith('QUIT')) socket.write(lines.quit ?? '221 bye\r\n');
        });
      });

    it('goes through greeting, HELO and QUIT', async () => {
      const said: string[] = [];
      const peer = await server({}, said);
      assert.equal((await probe(smtp(peer.port))).outcome, 'success');
      assert.deepEqual(said, ['HELO check.example\r\n', 'QUIT\r\n']);
    });

    it('accepts replies of several lines', async () => {
      const peer = await server({ greeting: '220-one\r\n220 two\r\n', helo: '250-a\r\n250-b\r\n250 c\r\n' });
      assert.equal((await probe(smtp(peer.port))).outcome, 'success');
    });

    it('fails on another code, on nonsense, on silence and on a closed connection', async () => {
      const judge = async (lines: Parameters<typeof server>[0]) =>
        reason(await probe(smtp((await server(lines)).port, { connectTimeout: 100 })));
      assert.equal(await judge({ greeting: '554 no\r\n' }), 'greeting answered 554, wanted 220');
      assert.equal(await judge({ helo: '500 what\r\n' }), 'HELO answered 500, wanted 250');
      assert.equal(await judge({ greeting: 'SSH-2.0-x\r\n' }), 'greeting answered without a status code');
      assert.equal(await judge({ greeting: '2200 x\r\n' }), 'greeting answered without a status code');
      assert.equal(await judge({ greeting: '' }), 'timeout waiting for the answer to greeting');
      const closing = await tcpPeer((socket) => socket.end());
      assert.equal(
        reason(await probe(smtp(closing.port))),
        'connection closed before the answer to greeting',
      );
    });
  });

  describe('HTTP_GET', () => {
    /** Answers every request with these bytes and closes. */
    const server = async (response: string | Buffer, requests: string[] = [], end = true) =>
      tcpPeer((socket) => {
        socket.once('data', (data) => {
          requests.push(String(data));
          socket.write(response);
          if (end) socket.end();
        });
      });
    const ok = 'HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello world';
    const judge = async (response: string | Buffer, options: Partial<HttpCheck> = {}, end = true) =>
      reason(await probe(http((await server(response, [], end)).port, { connectTimeout: 150, ...options })));

    it('sends keepalived’s request, with the Host that applies', async () => {
      const requests: string[] = [];
      const peer = await server(ok, requests);
      await probe(http(peer.port));
      await probe(http(peer.port, { httpProtocol: '1.0c' }), { virtualHost: 'outer.example' });
      await probe(http(peer.port, { httpProtocol: '1.1', virtualHost: 'check.example' }), {
        virtualHost: 'outer.example',
      });
      await probe(
        http(peer.port, {
          urls: [url('/a?b', { virtualHost: 'url.example' })],
          virtualHost: 'check.example',
        }),
      );
      const agent = 'User-Agent: KeepAliveClient\r\n';
      assert.deepEqual(requests, [
        `GET / HTTP/1.0\r\n${agent}Host: 127.0.0.1:${peer.port}\r\n\r\n`,
        `GET / HTTP/1.0\r\n${agent}Connection: close\r\nHost: outer.example\r\n\r\n`,
        `GET / HTTP/1.1\r\n${agent}Connection: close\r\nHost: check.example\r\n\r\n`,
        `GET /a?b HTTP/1.0\r\n${agent}Host: url.example\r\n\r\n`,
      ]);
    });

    it('says PROXY first behind a service with PROXY protocol', async () => {
      const requests: string[] = [];
      const peer = await server(ok, requests);
      await probe(http(peer.port), { proxy: 'v1' });
      await probe(http(peer.port), { proxy: 'v1-insecure' });
      assert.match(requests[0]!, /^PROXY UNKNOWN\r\n/);
      assert.match(requests[1]!, /^GET /);
    });

    it('accepts the status codes it is told, 200 to 299 by default', async () => {
      assert.equal(await judge(ok), 'success');
      assert.equal(await judge('HTTP/1.1 204 No Content\r\n\r\n'), 'success');
      assert.match(await judge('HTTP/1.1 302 Found\r\n\r\n'), /^HTTP status code 302/);
      const codes = {
        urls: [
          url('/', {
            statusCodes: [
              [302, 302],
              [404, 410],
            ],
          }),
        ],
      };
      assert.equal(await judge('HTTP/1.1 302 Found\r\n\r\n', codes), 'success');
      assert.equal(await judge('HTTP/1.1 404 No\r\n\r\n', codes), 'success');
      assert.match(await judge(ok, codes), /^HTTP status code 200/);
    });

    it('compares the digest of the body', async () => {
      const digest = createHash('md5').update('hello world').digest('hex');
      assert.equal(await judge(ok, { urls: [url('/', { digest: digest.toUpperCase() })] }), 'success');
      assert.match(await judge(`${ok}!`, { urls: [url('/', { digest })] }), /^MD5 digest differs/);
    });

    it('looks for a pattern, within offsets, or for its absence', async () => {
      const regex = (pattern: string, more: object = {}) => ({
        urls: [
          url('/', { regex: { pattern, options: [], noMatch: false, minOffset: 0, maxOffset: 0, ...more } }),
        ],
      });
      assert.equal(await judge(ok, regex('w[a-z]+d\\z')), 'success');
      assert.match(await judge(ok, regex('World')), /^regex does not match/);
      assert.equal(await judge(ok, regex('World', { options: ['caseless'] })), 'success');
      assert.match(await judge(ok, regex('world', { noMatch: true })), /^regex matches/);
      assert.equal(await judge(ok, regex('nothing', { noMatch: true })), 'success');
      assert.match(await judge(ok, regex('hello', { minOffset: 1 })), /^regex does not match/);
      assert.match(await judge(ok, regex('world', { maxOffset: 5 })), /^regex does not match/);
      assert.equal(await judge(ok, regex('world', { maxOffset: 6 })), 'success');
    });

    it('gives up on a pattern that explodes instead of standing still', async () => {
      const pattern = '(a+)+$';
      const body = `HTTP/1.0 200 OK\r\n\r\n${'a'.repeat(40)}!`;
      const regex = { pattern, options: [], noMatch: false, minOffset: 0, maxOffset: 0 };
      assert.match(await judge(body, { urls: [url('/', { regex })] }), /^regex takes too long/);
    });

    it('does not wait for the end of a connection that stays open when the length is known', async () => {
      assert.equal(await judge('HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok', {}, false), 'success');
      assert.match(
        await judge('HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nok', {}, false),
        /^Timeout in reading/,
      );
    });

    it('fails on nothing, on nonsense, on half a header and on silence', async () => {
      assert.match(await judge(''), /^Empty or incomplete answer/);
      assert.match(await judge('HTTP/1.0 200 OK\r\nServer'), /^Empty or incomplete answer/);
      assert.match(await judge('SSH-2.0-OpenSSH\r\n\r\n'), /^the answer is not HTTP/);
      assert.match(await judge('HTTP/1.1 100 Continue\r\n\r\n'), /^Empty or incomplete answer/);
      const silent = await tcpPeer();
      assert.match(reason(await probe(http(silent.port, { connectTimeout: 80 }))), /^Timeout in reading/);
      assert.match(reason(await probe(http(await closedPort()))), /^Connection failed \(ECONNREFUSED\)/);
    });

    it('passes over an interim response', async () => {
      assert.equal(await judge(`HTTP/1.1 100 Continue\r\n\r\n${ok}`), 'success');
    });

    it('asks for the URL of its step', async () => {
      const requests: string[] = [];
      const peer = await server(ok, requests);
      await probe(http(peer.port, { urls: [url('/a'), url('/b')] }), {}, 1);
      assert.match(requests[0]!, /^GET \/b /);
    });
  });

  describe('SSL_GET', () => {
    const certificate = selfSigned();
    before(function () {
      if (!certificate) skipBecause(this, 'openssl is not installed');
    });

    const server = async (names: (string | false | null)[] = []) => {
      const peer = await TcpPeer.startTls(
        (socket) => {
          names.push(socket.servername);
          socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nsecret'));
        },
        { ...certificate!, minVersion: 'TLSv1.2' },
      );
      closing.push(() => peer.close());
      return peer;
    };

    it('accepts a certificate of any issuer, and compares what comes through', async () => {
      const peer = await server();
      const digest = createHash('md5').update('secret').digest('hex');
      const check = http(peer.port, { kind: 'SSL_GET', urls: [url('/', { digest })], connectTimeout: 1000 });
      assert.equal(reason(await probe(check)), 'success');
      const wrong = { ...check, urls: [url('/', { digest: '0'.repeat(32) })], tlsCompliant: true };
      assert.match(reason(await probe(wrong)), /^MD5 digest differs/);
    });

    it('names the server only when told to', async () => {
      const names: (string | false | null)[] = [];
      const peer = await server(names);
      const check = http(peer.port, { kind: 'SSL_GET', connectTimeout: 1000 });
      await probe(check, { virtualHost: 'outer.example' });
      await probe({ ...check, enableSni: true }, { virtualHost: 'outer.example:443' });
      await probe({ ...check, enableSni: true, sniName: 'sni.example' }, { virtualHost: 'outer.example' });
      await probe({ ...check, enableSni: true });
      assert.deepEqual(names, [false, 'outer.example', 'sni.example', false]);
    });

    it('fails on a server that speaks no TLS, and on one that says nothing', async () => {
      const plain = await tcpPeer((socket) => socket.end('HTTP/1.0 200 OK\r\n\r\n'));
      const check = (port: number) => http(port, { kind: 'SSL_GET', connectTimeout: 150 });
      assert.match(reason(await probe(check(plain.port))), /^TLS handshake failed|^Closed in TLS handshake/);
      const silent = await tcpPeer();
      assert.match(reason(await probe(check(silent.port))), /^Timeout in TLS handshake/);
    });
  });

  describe('MISC_CHECK', () => {
    const shell = (text: string, options = {}) => probe(misc(['/bin/sh', '-c', text], options));

    it('judges by exit code', async () => {
      assert.equal((await shell('exit 0')).outcome, 'success');
      assert.equal(reason(await shell('exit 1')), 'exited with status 1');
      assert.equal(reason(await shell('exit 2')), 'exited with status 2');
      assert.equal(reason(await shell('kill -9 $$')), 'killed by SIGKILL');
    });

    it('takes 2 to 255 for a weight with misc_dynamic', async () => {
      const dynamic = { dynamic: true };
      assert.deepEqual(await shell('exit 0', dynamic), { outcome: 'success' });
      assert.deepEqual(await shell('exit 1', dynamic), {
        outcome: 'failure',
        reason: 'exited with status 1',
      });
      assert.deepEqual(await shell('exit 2', dynamic), { outcome: 'success', weight: 0 });
      assert.deepEqual(await shell('exit 255', dynamic), { outcome: 'success', weight: 253 });
    });

    it('ends a script that runs too long, with its children', async () => {
      assert.equal(reason(await shell('sleep 20', { timeout: 100 })), 'timed out');
    });
  });

  describe('PING_CHECK', () => {
    it('hears the echo of loopback', async function () {
      const verdict = await probe(ping('127.0.0.1'));
      if (verdict.outcome === 'deferred') skipBecause(this, `no ICMP socket here: ${verdict.reason}`);
      assert.equal(verdict.outcome, 'success');
    });

    it('fails when nobody answers', async () => {
      const verdict = await probe(ping('192.0.2.77', { connectTimeout: 100 }));
      assert.notEqual(verdict.outcome, 'success');
    });
  });
});
