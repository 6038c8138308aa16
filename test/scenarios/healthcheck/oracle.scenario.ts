import assert from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { createSocket, type Socket as UdpSocket } from 'node:dgram';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { isDeepStrictEqual } from 'node:util';
import { skipBecause } from '../../runner/skip.js';

/**
 * The same configuration and the same servers, failing and returning in the same order, under Debian's keepalived and under ours: the
 * virtual server tables must go through the same states, and each server through the same sequence of additions, edits and removals
 * with the same weights. The real one runs on a recorder preloaded in place of the kernel's IPVS, ours on its dry-run director.
 */

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..', '..');

/** Servers by what they do; each listens on a loopback address of its own, so that both programs find the same thing. */
class Farm {
  readonly #tcp = new Map<string, { server: Server; sockets: Set<Socket> }>();
  readonly #udp = new Map<string, UdpSocket>();
  readonly ports = new Map<string, number>();

  async tcp(name: string, talk: (socket: Socket) => void): Promise<void> {
    const sockets = new Set<Socket>();
    const server = createServer((socket) => {
      sockets.add(socket);
      socket.on('error', () => {});
      socket.on('close', () => sockets.delete(socket));
      talk(socket);
    });
    await new Promise<void>((resolve, reject) => {
      server.once('error', reject);
      server.listen(this.ports.get(name) ?? 0, '127.0.0.1', resolve);
    });
    this.ports.set(name, (server.address() as { port: number }).port);
    this.#tcp.set(name, { server, sockets });
  }

  async udp(name: string, answer: (message: Buffer) => Buffer | undefined): Promise<void> {
    const socket = createSocket('udp4');
    socket.on('message', (message, { port, address }) => {
      const reply = answer(message);
      if (reply) socket.send(reply, port, address);
    });
    await new Promise<void>((resolve) => socket.bind(this.ports.get(name) ?? 0, '127.0.0.1', resolve));
    this.ports.set(name, socket.address().port);
    this.#udp.set(name, socket);
  }

  async close(name: string): Promise<void> {
    const tcp = this.#tcp.get(name);
    if (tcp) {
      for (const socket of tcp.sockets) socket.destroy();
      await new Promise<void>((resolve) => tcp.server.close(() => resolve()));
      this.#tcp.delete(name);
    }
    const udp = this.#udp.get(name);
    if (udp) await new Promise<void>((resolve) => udp.close(() => resolve()));
    this.#udp.delete(name);
  }

  async end(): Promise<void> {
    for (const name of [...this.#tcp.keys(), ...this.#udp.keys()]) await this.close(name);
  }
}

/** Changes of the table by service and server: `add 3`, `edit 0`, `delete`. */
class Recording {
  readonly sequences = new Map<string, string[]>();
  readonly table = new Map<string, number>();
  lines = 0;

  take(line: string): void {
    const found = /^(add|edit|delete) server (\S+) (\S+) (-?\d+)$/.exec(line);
    if (!found) return;
    this.lines++;
    const [, verb, service, server, weight] = found as unknown as [string, string, string, string, string];
    const name = `${service} ${server}`;
    const step = verb === 'delete' ? verb : `${verb} ${weight}`;
    this.sequences.set(name, [...(this.sequences.get(name) ?? []), step]);
    if (verb === 'delete') this.table.delete(name);
    else this.table.set(name, Number(weight));
  }

  get state(): string {
    return [...this.table]
      .map(([name, weight]) => `${name} ${weight}`)
      .sort()
      .join('\n');
  }
}

/** A line of our dry-run director in the recorder's words. */
function translate(line: string): string {
  const found =
    /dry-run: (add|edit|delete) server \[([^\]]+)\]:(\d+) of (?:(TCP|UDP) \[([^\]]+)\]:(\d+)|FWM (\d+))(?:, \w+, weight (\d+))?/.exec(
      line,
    );
  if (!found) return '';
  const [, verb, address, port, protocol, vip, vport, mark, weight] = found;
  const service = mark ? `fwm:${mark}` : `${protocol!.toLowerCase()}:${vip}:${vport}`;
  return `${verb} server ${service} ${address}:${port} ${weight ?? 0}`;
}

const ok = (socket: Socket) => socket.once('data', () => socket.end('HTTP/1.0 200 OK\r\n\r\nfine'));
const smtp = (socket: Socket) => {
  socket.write('220 mail ESMTP\r\n');
  socket.on('data', (data) => socket.write(String(data).startsWith('QUIT') ? '221 bye\r\n' : '250 ok\r\n'));
};
const resolve = (query: Buffer) => {
  const answer = Buffer.from(query);
  answer.writeUInt16BE(0x8180, 2);
  return answer;
};

describe('health checks beside Debian’s keepalived', () => {
  let folder = '';
  const farm = new Farm();
  const theirs = new Recording();
  const ours = new Recording();
  const children: ChildProcess[] = [];
  const programs: ChildProcess[] = [];
  /** Lines of lvs_notify_fifo. */
  const told = { real: '', our: '' };
  let theirOutput = '';
  let ourOutput = '';

  before(async function () {
    if (process.getuid?.() !== 0) skipBecause(this, 'keepalived wants to be root');
    if (!existsSync('/usr/sbin/keepalived')) skipBecause(this, 'keepalived is not installed');
    const version = spawnSync('/usr/sbin/keepalived', ['-v'], { encoding: 'utf8' }).stderr;
    if (!/Keepalived v2\./.test(version))
      skipBecause(this, `not the keepalived we know: ${version.split('\n')[0]}`);
    folder = mkdtempSync(join(tmpdir(), `oracle-${process.pid}-`));
    const library = join(folder, 'ipvs-recorder.so');
    const source = join(root, 'test', 'scenarios', 'healthcheck', 'ipvs-recorder.c');
    const built = spawnSync('gcc', ['-shared', '-fPIC', '-O1', '-o', library, source, '-ldl'], {
      encoding: 'utf8',
    });
    if (built.status !== 0)
      skipBecause(this, `the recorder does not compile: ${built.stderr ?? built.error}`);

    for (const name of ['a', 'b', 'c']) await farm.tcp(name, () => {});
    for (const name of ['web1', 'web2']) await farm.tcp(name, ok);
    await farm.tcp('mail', smtp);
    await farm.udp('dns', resolve);
    await farm.udp('echo', (message) => message);
    await farm.udp('quiet', () => undefined);
    writeFileSync(join(folder, 'code'), '0');
    writeFileSync(join(folder, 'misc.sh'), `#!/bin/sh\nexit $(cat ${folder}/code)\n`, { mode: 0o755 });
    for (const name of ['real', 'our']) {
      const fifo = join(folder, `${name}.fifo`);
      spawnSync('mkfifo', [fifo]);
      writeFileSync(join(folder, `${name}.conf`), configuration(folder, farm.ports, fifo));
      const reader = spawn('cat', [fifo], { stdio: ['ignore', 'pipe', 'ignore'] });
      reader.stdout.on('data', (data) => {
        told[name as keyof typeof told] += data;
      });
      children.push(reader);
    }
    start(library);
  });

  after(async () => {
    for (const child of children) {
      child.kill('SIGTERM');
      await new Promise((resolve) => (child.exitCode === null ? child.on('exit', resolve) : resolve(0)));
    }
    await farm.end();
    if (folder) rmSync(folder, { recursive: true, force: true });
  });

  function start(library: string): void {
    const arguments_ = (name: string) => [
      ...['-C', '-n', '-l', '-f', join(folder, `${name}.conf`)],
      ...['-p', join(folder, `${name}.pid`), '-c', join(folder, `${name}-check.pid`)],
    ];
    const real = spawn('/usr/sbin/keepalived', arguments_('real'), {
      env: { ...process.env, LD_PRELOAD: library, IPVS_RECORD: join(folder, 'record') },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    for (const stream of [real.stdout, real.stderr]) {
      stream?.on('data', (data) => {
        theirOutput += data;
      });
    }
    const our = spawn(process.execPath, [join(root, 'bin', 'keepalived'), ...arguments_('our')], {
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    let pending = '';
    our.stderr?.on('data', (data) => {
      ourOutput += data;
      const lines = (pending + data).split('\n');
      pending = lines.pop() ?? '';
      for (const line of lines) ours.take(translate(line));
    });
    programs.push(real, our);
    children.unshift(real, our);
  }

  let read = 0;
  function readRecord(): void {
    const file = join(folder, 'record');
    const text = existsSync(file) ? readFileSync(file, 'utf8') : '';
    const end = text.lastIndexOf('\n') + 1;
    for (const line of text.slice(read, end).split('\n')) theirs.take(line);
    read = end;
  }

  /** Waits until both tables are as expected and stay so, then compares what led there. */
  async function settle(
    what: string,
    expected: (table: Map<string, number>) => boolean,
    without?: string,
  ): Promise<void> {
    const limit = performance.now() + 60_000;
    let calmSince = 0;
    let seen = '';
    for (;;) {
      readRecord();
      const now = performance.now();
      const state = `${ours.lines} ${theirs.lines}`;
      if (state !== seen || !expected(ours.table) || !expected(theirs.table)) {
        seen = state;
        calmSince = now;
      }
      if (now - calmSince > 1500) break;
      if (now > limit) {
        assert.fail(
          `${what}: waited in vain\nkeepalived:\n${theirs.state}\nours:\n${ours.state}\n` +
            `${theirOutput.slice(-3000)}\n${ourOutput.slice(-3000)}`,
        );
      }
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    if (!without) assert.equal(ours.state, theirs.state, what);
    const compared = ({ sequences }: Recording) =>
      Object.fromEntries([...sequences].filter(([name]) => !without || !name.startsWith(without)).sort());
    assert.deepEqual(compared(ours), compared(theirs), what);
  }

  /** Compares what the notify FIFO told of each server and quorum. @param without subjects that are left out */
  async function compareTold(without?: RegExp): Promise<void> {
    const bySubject = (text: string) => {
      const sequences = new Map<string, string[]>();
      // The real one writes a NUL after each newline.
      for (const line of text.replaceAll('\0', '').split('\n').filter(Boolean)) {
        const at = line.lastIndexOf(' ');
        const subject = line.slice(0, at);
        if (!without?.test(subject))
          sequences.set(subject, [...(sequences.get(subject) ?? []), line.slice(at + 1)]);
      }
      return Object.fromEntries([...sequences].sort());
    };
    // What was written last may still be on its way through the reader.
    const limit = performance.now() + 10_000;
    while (performance.now() < limit && !isDeepStrictEqual(bySubject(told.our), bySubject(told.real)))
      await new Promise((resolve) => setTimeout(resolve, 50));
    assert.ok(Object.keys(bySubject(told.real)).length > 10);
    assert.deepEqual(bySubject(told.our), bySubject(told.real));
  }

  const port = (name: string) => farm.ports.get(name);
  const has = (service: string, name: string, weight?: number) => (table: Map<string, number>) => {
    const found = table.get(`${service} 127.0.0.1:${port(name)}`);
    return weight === undefined ? found !== undefined : found === weight;
  };
  const not = (test: (table: Map<string, number>) => boolean) => (table: Map<string, number>) => !test(table);
  const all =
    (...tests: ((table: Map<string, number>) => boolean)[]) =>
    (table: Map<string, number>) =>
      tests.every((test) => test(table));
  const sorry = (service: string, weight: number | undefined) => (table: Map<string, number>) =>
    table.get(`${service} 127.0.0.9:9`) === weight;

  const web = 'tcp:192.0.2.1:80';
  const tcp = 'tcp:192.0.2.1:81';
  const misc = 'tcp:192.0.2.1:82';
  const udp = 'udp:192.0.2.1:53';
  const mark = 'fwm:7';
  const group = 'tcp:192.0.2.11:443';

  it('start: servers are in, alpha servers after their first success', async () => {
    await settle(
      'start',
      all(
        has(tcp, 'a', 3),
        has(tcp, 'b', 3),
        has(tcp, 'c', 2),
        has(web, 'web1', 1),
        has(web, 'web2', 1),
        sorry(web, 0),
        has(udp, 'echo'),
        has(udp, 'quiet'),
        has(mark, 'mail'),
        has(mark, 'dns'),
        has(misc, 'a', 10),
        has(group, 'a', 1),
      ),
    );
  });

  it('a TCP server fails: out, also where a group names it', async () => {
    await farm.close('a');
    await settle(
      'a fails',
      all(not(has(tcp, 'a')), not(has(group, 'a')), has(tcp, 'b', 3), sorry(tcp, undefined)),
    );
  });

  it('the quorum is lost: the sorry server alone, the inhibited one at weight 0', async () => {
    await farm.close('c');
    await settle('c fails', all(not(has(tcp, 'b')), has(tcp, 'c', 0), sorry(tcp, 1)));
  });

  it('one returns, within the hysteresis: the sorry server stays', async () => {
    await farm.tcp('c', () => {});
    // Weight 5 is the quorum, but gaining it takes 6.
    await new Promise((resolve) => setTimeout(resolve, 2500));
    await settle('c returns', all(has(tcp, 'c', 0), sorry(tcp, 1)));
  });

  it('the quorum is gained: all of them, the sorry server gone', async () => {
    await farm.tcp('a', () => {});
    await settle(
      'a returns',
      all(has(tcp, 'a', 3), has(tcp, 'b', 3), has(tcp, 'c', 2), sorry(tcp, undefined)),
    );
  });

  it('HTTP servers fail and return: sorry server by weight', async () => {
    await farm.close('web1');
    await settle('web1 fails', all(not(has(web, 'web1')), has(web, 'web2', 1)));
    await farm.close('web2');
    await settle('web2 fails', all(not(has(web, 'web2')), sorry(web, 1)));
    await farm.tcp('web1', (socket) => socket.once('data', () => socket.end('HTTP/1.0 503 No\r\n\r\n')));
    await farm.tcp('web2', ok);
    await settle(
      'web2 returns, web1 answers wrongly',
      all(not(has(web, 'web1')), has(web, 'web2', 1), sorry(web, 0)),
    );
    await farm.close('web1');
    await farm.tcp('web1', ok);
    await settle('web1 returns', has(web, 'web1', 1));
  });

  it('UDP servers: a wrong answer, silence, a closed port, the right answer', async () => {
    await farm.close('echo');
    await farm.udp('echo', () => Buffer.from('nonsense'));
    await settle('echo answers wrongly', all(not(has(udp, 'echo')), has(udp, 'quiet')));
    await farm.close('quiet');
    await settle('quiet closes', not(has(udp, 'quiet')));
    await farm.close('echo');
    await farm.udp('echo', (message) => message);
    await farm.udp('quiet', () => undefined);
    await settle('both return', all(has(udp, 'echo'), has(udp, 'quiet')));
    await farm.close('echo');
    await farm.udp('echo', () => undefined);
    await settle('echo falls silent', all(not(has(udp, 'echo')), has(udp, 'quiet')));
  });

  it('DNS and SMTP servers fail and return', async () => {
    await farm.close('dns');
    await settle('dns closes', all(not(has(mark, 'dns')), has(mark, 'mail')));
    await farm.close('mail');
    await farm.tcp('mail', (socket) => socket.end('554 no\r\n'));
    await settle('mail refuses', not(has(mark, 'mail')));
    await farm.udp('dns', resolve);
    await farm.close('mail');
    await farm.tcp('mail', smtp);
    await settle('both return', all(has(mark, 'dns'), has(mark, 'mail')));
  });

  it('a script changes the weight, fails, and returns', async () => {
    const code = (value: number) => writeFileSync(join(folder, 'code'), String(value));
    code(42);
    await settle('weight 40', has(misc, 'a', 40));
    code(2);
    await settle('weight 0', has(misc, 'a', 0));
    code(1);
    await settle('failed', not(has(misc, 'a')));
    code(7);
    await settle('returned with weight 5', has(misc, 'a', 5));
    code(0);
    await settle('the configured weight', has(misc, 'a', 10));
  });

  it('the notify FIFO told the same of every server and quorum, in the same order', async () => {
    await compareTold();
  });

  it('a reload changes weights and servers, and nothing else', async () => {
    for (const name of ['real', 'our']) {
      const file = join(folder, `${name}.conf`);
      const text = readFileSync(file, 'utf8');
      writeFileSync(file, text.replace('weight 2 # c', 'weight 4').replace('weight 3 # b', 'weight 6'));
    }
    for (const child of programs) child.kill('SIGHUP');
    // The real one (2.2.7) sets a server whose weight a script moves to 0 at every reload, until the script runs again.
    await settle('reload', all(has(tcp, 'b', 6), has(tcp, 'c', 4), has(tcp, 'a', 3)), misc);
    assert.deepEqual(
      ours.sequences.get(`${misc} 127.0.0.1:${port('a')}`),
      ['add 10', 'edit 40', 'edit 0', 'delete', 'add 5', 'edit 10'],
      'ours leaves it as it is',
    );
    // With that weight goes the quorum of its service, which the real one tells; of all others both tell the same.
    await compareTold(/192\.0\.2\.1\]:tcp:82/);
  });
});

function configuration(folder: string, ports: Map<string, number>, fifo: string): string {
  const server = (name: string, inner: string, before = '') =>
    `  real_server 127.0.0.1 ${ports.get(name)} {\n${before}\n${inner}\n  }\n`;
  const common = '  delay_loop 0.4\n  lb_algo wrr\n  lb_kind NAT\n';
  // Servers that are to answer have the time for it on a busy machine too. Only where silence is tried does a run last this long.
  const patience = (seconds: number) => `connect_timeout ${seconds}\n delay_before_retry 0.2\n retry 1\n`;
  const quick = patience(10);
  const silent = patience(2);
  const tcp = `TCP_CHECK {\n ${quick} }`;
  const get = `HTTP_GET {\n url {\n path /\n status_code 200\n }\n ${quick} }`;
  return `
global_defs {
  lvs_director dry-run
  script_user root
  lvs_notify_fifo ${fifo}
}
virtual_server_group pair {
  192.0.2.11-12 443
}
virtual_server 192.0.2.1 81 {
${common}  protocol TCP
  quorum 5
  hysteresis 1
  sorry_server 127.0.0.9 9
${server('a', tcp, 'weight 3')}${server('b', tcp, 'weight 3 # b')}${server('c', tcp, 'weight 2 # c\ninhibit_on_failure')}}
virtual_server 192.0.2.1 80 {
${common}  protocol TCP
  alpha
  sorry_server 127.0.0.9 9
  sorry_server_inhibit
${server('web1', get)}${server('web2', get)}}
virtual_server 192.0.2.1 53 {
${common}  protocol UDP
${server('echo', `UDP_CHECK {\n ${silent} payload 68656c6c6f\n require_reply 6865xx6c6f\n min_reply_length 3\n max_reply_length 16\n }`)}${server('quiet', `UDP_CHECK {\n ${silent} }`)}}
virtual_server fwmark 7 {
${common}
${server('dns', `DNS_CHECK {\n ${quick} name example.com\n type A\n }`)}${server('mail', `SMTP_CHECK {\n ${quick} }`)}}
virtual_server 192.0.2.1 82 {
${common}  protocol TCP
${server('a', `MISC_CHECK {\n misc_path ${folder}/misc.sh\n misc_dynamic\n misc_timeout 3\n }`, 'weight 10')}}
virtual_server group pair {
${common}  protocol TCP
${server('a', tcp)}${server('b', tcp)}}
`;
}
