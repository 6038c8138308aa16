import assert from 'node:assert/strict';
import type { Socket } from 'node:net';
import { TLSSocket } from 'node:tls';
import { dnsQuery, dnsVerdict } from '../../../healthcheck/dns-check.js';
import { HttpJudge } from '../../../healthcheck/http-check.js';
import { HttpResponse } from '../../../healthcheck/http-response.js';
import { LineReader } from '../../../healthcheck/line-reader.js';
import { compilePattern } from '../../../healthcheck/pcre.js';
import { echoVerdict } from '../../../healthcheck/ping-check.js';
import type { Verdict } from '../../../healthcheck/probe.js';
import { makeProbe } from '../../../healthcheck/probes.js';
import { smtpDialogue, smtpFault } from '../../../healthcheck/smtp-check.js';
import { Reactor } from '../../../healthcheck/sockets.js';
import { replyFault, replyPattern } from '../../../healthcheck/udp-check.js';
import { defaultGlobal } from '../../../keepalived/model/global.js';
import type { ScheduledCheck } from '../../../keepalived/model/virtual-server.js';
import { systemClock } from '../../../lib/clock.js';
import { Log } from '../../../lib/log.js';
import { dns, http, RecordingNotify, smtp, udp, url } from './fixtures.js';
import { selfSigned, TcpPeer, UdpPeer } from './peers.js';

/** Another seed: DPVS_HA_SEED=number. A failure names the seed in its title. */
const seed = Number(process.env.DPVS_HA_SEED ?? Date.now() % 1_000_000);

describe(`hostile answers of servers (seed ${seed})`, () => {
  let state = seed;
  const random = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) & 0x7fffffff;
    return Math.floor((state / 0x80000000) * limit);
  };
  const randomBytes = (length: number) => Buffer.from(Array.from({ length }, () => random(256)));

  /** A good answer with some bytes changed, cut, doubled, moved or made long. */
  function mutate(good: Buffer): Buffer {
    let bytes = Buffer.from(good);
    for (let round = random(4); round >= 0; round--) {
      const at = random(bytes.length + 1);
      switch (random(6)) {
        case 0:
          if (at < bytes.length) bytes[at] = random(256);
          break;
        case 1:
          bytes = bytes.subarray(0, at);
          break;
        case 2:
          bytes = Buffer.concat([bytes.subarray(0, at), randomBytes(random(20)), bytes.subarray(at)]);
          break;
        case 3:
          bytes = Buffer.concat([bytes, bytes.subarray(at)]);
          break;
        case 4:
          bytes = Buffer.concat([
            bytes.subarray(0, at),
            Buffer.alloc(random(3000), random(256)),
            bytes.subarray(at),
          ]);
          break;
        default:
          bytes = randomBytes(random(200));
      }
    }
    return Buffer.from(bytes);
  }

  const outcomes = (verdict: Verdict | undefined) =>
    assert.ok(verdict === undefined || ['success', 'failure'].includes(verdict.outcome));

  it('of HTTP, however chopped, come to a verdict and never throw', () => {
    const good = Buffer.from('HTTP/1.1 200 OK\r\nContent-Length: 11\r\nServer: x\r\n\r\nhello world');
    const compiled = compilePattern('w.*d');
    assert.ok(compiled instanceof RegExp);
    const regex = { pattern: 'w.*d', options: [], noMatch: false, minOffset: 0, maxOffset: 0 };
    let well = 0;
    for (let round = 0; round < 4000; round++) {
      const bytes = round % 50 === 0 ? good : mutate(good);
      const response = new HttpResponse();
      const judge = new HttpJudge(url('/', round % 100 === 0 ? { regex } : {}), compiled);
      let fault = false;
      for (let at = 0; at < bytes.length && !fault; ) {
        const length = 1 + random(40);
        for (const event of response.push(bytes.subarray(at, at + length))) {
          if (event.kind === 'head') judge.status = event.status;
          else if (event.kind === 'body') judge.body(event.bytes);
          else fault = true;
        }
        at += length;
      }
      if (!fault && response.headComplete) {
        const verdict = judge.verdict();
        outcomes(verdict);
        if (verdict.outcome === 'success') well++;
      }
    }
    assert.ok(well >= 80, 'the good ones are still good');
  });

  it('of HTTP that never end are ended', () => {
    const response = new HttpResponse();
    let fault = false;
    for (let round = 0; round < 100 && !fault; round++) {
      fault = response.push(Buffer.alloc(1024, 'x')).some(({ kind }) => kind === 'fault');
    }
    assert.ok(fault);
    const lines = new LineReader(1024);
    assert.equal(lines.push(Buffer.alloc(2000, 'x')), undefined);
  });

  it('of DNS, ICMP, SMTP and UDP come to a verdict and never throw', () => {
    const query = dnsQuery(4711, 'www.example.com', 'A')!;
    const answer = Buffer.from(query);
    answer.writeUInt16BE(0x8180, 2);
    const echo = Buffer.concat([Buffer.from([0, 0, 0, 0, 0, 7, 0, 9]), Buffer.alloc(128, 'k')]);
    const header = Buffer.from('4500009c00000000400100007f0000017f000001', 'hex');
    const pattern = replyPattern({ pattern: '6865xx6c6f', minLength: 3, maxLength: 16 });
    const dialogue = smtpDialogue('x');
    for (let round = 0; round < 4000; round++) {
      outcomes(dnsVerdict(mutate(answer), 4711));
      outcomes(echoVerdict(mutate(echo), false, 7, 9, false));
      outcomes(echoVerdict(mutate(Buffer.concat([header, echo])), false, 7, 9, true));
      const fault = replyFault(mutate(Buffer.from('hello')), pattern);
      assert.ok(fault === undefined || typeof fault === 'string');
      for (const line of new LineReader(1024).push(mutate(Buffer.from('250-a\r\n250 b\r\n'))) ?? []) {
        const said = smtpFault(line, dialogue[random(3)]!);
        assert.ok(said === undefined || typeof said === 'string');
      }
    }
    assert.deepEqual(dnsVerdict(answer, 4711), { outcome: 'success' });
    assert.deepEqual(echoVerdict(Buffer.concat([header, echo]), false, 7, 9, true), { outcome: 'success' });
  });

  it('names of any kind make a query or are refused', () => {
    for (let round = 0; round < 4000; round++) {
      const query = dnsQuery(1, randomBytes(random(400)).toString('latin1'), 'TXT');
      assert.ok(query === undefined || query.length <= 12 + 255 + 4);
    }
  });

  it('patterns of any kind compile or are refused', () => {
    const pieces = [
      'a',
      '.',
      '*',
      '+',
      '?',
      '(',
      ')',
      '[',
      ']',
      '\\',
      '{2}',
      '|',
      '^',
      '$',
      '(?i)',
      '[:alpha:]',
      '\\Q',
      '\\E',
      '\\z',
      '(?P<n>',
      '(?>',
      '#',
      ' ',
      '-',
    ];
    for (let round = 0; round < 4000; round++) {
      const pattern = Array.from({ length: random(10) }, () => pieces[random(pieces.length)]).join('');
      const compiled = compilePattern(pattern, [['caseless'], ['extended'], ['utf'], []][random(4)]);
      assert.ok(compiled instanceof RegExp || typeof compiled.error === 'string');
    }
  });

  describe('over the wire', () => {
    let reactor: Reactor;
    const uncaught: unknown[] = [];
    const note = (error: unknown) => uncaught.push(error);
    let listeners: NodeJS.UncaughtExceptionListener[] = [];
    before(() => {
      reactor = new Reactor(systemClock);
      listeners = process.listeners('uncaughtException');
      process.removeAllListeners('uncaughtException');
      process.on('uncaughtException', note);
    });
    after(() => {
      process.removeListener('uncaughtException', note);
      for (const listener of listeners) process.on('uncaughtException', listener);
      reactor.close();
    });

    /** Runs many checks, a few at a time; each must answer exactly once within its time. */
    async function storm(checks: () => ScheduledCheck, count: number): Promise<Map<string, number>> {
      const context = {
        reactor,
        clock: systemClock,
        log: new Log(() => {}),
        notify: new RecordingNotify(),
        global: defaultGlobal(),
      };
      const tally = new Map<string, number>();
      const one = async () => {
        const check = checks();
        const probe = makeProbe(check, { proxy: 'none', virtualHost: undefined }, context, undefined);
        let answers = 0;
        const verdict = await new Promise<Verdict>((resolve, reject) => {
          const timer = setTimeout(() => reject(new Error(`${check.kind} has no verdict`)), 5000);
          probe.run(0, (verdict) => {
            answers++;
            clearTimeout(timer);
            resolve(verdict);
          });
        });
        await new Promise((resolve) => setTimeout(resolve, 5));
        assert.equal(answers, 1);
        tally.set(verdict.outcome, (tally.get(verdict.outcome) ?? 0) + 1);
      };
      for (let done = 0; done < count; done += 20) await Promise.all(Array.from({ length: 20 }, one));
      assert.deepEqual(uncaught, []);
      assert.equal(reactor.size, 0, 'no socket is left');
      return tally;
    }

    /** Sends the bytes in random pieces and leaves in a random way. */
    function misbehave(socket: Socket, bytes: Buffer): void {
      for (let at = 0; at < bytes.length; ) {
        const length = 1 + random(100);
        socket.write(bytes.subarray(at, at + length));
        at += length;
      }
      const reset = () => (socket instanceof TLSSocket ? socket.destroy() : socket.resetAndDestroy());
      const leave = [() => socket.end(), () => socket.destroy(), reset, () => {}];
      setImmediate(leave[random(leave.length)]!);
    }

    it('HTTP', async () => {
      const good = Buffer.from('HTTP/1.0 200 OK\r\nServer: x\r\n\r\nhello');
      const peer = await TcpPeer.start((socket) => {
        if (random(10) === 0) misbehave(socket, mutate(good));
        else socket.once('data', () => misbehave(socket, random(4) ? mutate(good) : good));
      });
      const tally = await storm(() => http(peer.port, { connectTimeout: 60 }), 120);
      await peer.close();
      assert.ok(tally.get('success')! > 0 && tally.get('failure')! > 0, JSON.stringify([...tally]));
    });

    it('SMTP', async () => {
      const peer = await TcpPeer.start((socket) => {
        socket.write(random(2) ? '220 x\r\n' : mutate(Buffer.from('220 x\r\n')));
        socket.on('data', () => {
          if (random(3)) socket.write('250 ok\r\n');
          else misbehave(socket, mutate(Buffer.from('250-a\r\n250 ok\r\n')));
        });
      });
      const tally = await storm(() => smtp(peer.port, { connectTimeout: 60 }), 120);
      await peer.close();
      assert.ok(tally.get('success')! > 0 && tally.get('failure')! > 0, JSON.stringify([...tally]));
    });

    it('TLS', async () => {
      const certificate = selfSigned();
      // The hello of a server: a record header of a handshake, then what only looks like it.
      const hello = Buffer.concat([Buffer.from('160303007a0200007603', 'hex'), randomBytes(120)]);
      const peer = await TcpPeer.start((socket) =>
        socket.once('data', () => misbehave(socket, mutate(hello))),
      );
      await storm(() => http(peer.port, { kind: 'SSL_GET', connectTimeout: 60 }), 60);
      await peer.close();
      if (!certificate) return;
      const real = await TcpPeer.startTls(
        (socket) => misbehave(socket as unknown as Socket, mutate(Buffer.from('HTTP/1.0 200 OK\r\n\r\n'))),
        certificate,
      );
      await storm(() => http(real.port, { kind: 'SSL_GET', connectTimeout: 200 }), 40);
      await real.close();
    });

    it('DNS and UDP', async () => {
      const peer = await UdpPeer.start((message) => {
        const answer = Buffer.from(message);
        if (answer.length > 3) answer.writeUInt16BE(0x8180, 2);
        return Array.from({ length: random(4) }, () =>
          random(2) ? mutate(answer).subarray(0, 4000) : answer,
        );
      });
      const requireReply = { pattern: '6865xx6c6f', minLength: 3, maxLength: 16 };
      const tally = await storm(
        () =>
          random(2)
            ? dns(peer.port, { connectTimeout: 60 })
            : udp(peer.port, { connectTimeout: 60, payload: '68656c6c6f', requireReply, silence: 'failure' }),
        160,
      );
      await peer.close();
      assert.ok(tally.get('success')! > 0 && tally.get('failure')! > 0, JSON.stringify([...tally]));
    });
  });
});
