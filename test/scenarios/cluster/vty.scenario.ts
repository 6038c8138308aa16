import { strict as assert } from 'node:assert';
import { chmodSync, existsSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { createServer, type Server, type Socket } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { run, until } from '../../../lab/command.js';
import { Host } from '../../../lab/host.js';
import { whyNoLab } from '../../../lab/needs.js';
import { type LabRecord, register, removeLab } from '../../../lab/registry.js';
import { RoutingDaemons, whyNoFrr } from '../../../lab/routing-daemon.js';
import { openBird } from '../../../lib/vty/bird.js';
import { openUnixVty } from '../../../lib/vty/unix.js';
import { VtyError, type VtyFault } from '../../../lib/vty/vty.js';
import { skipBecause } from '../../runner/skip.js';

const program = fileURLToPath(new URL('./vty-program.js', import.meta.url));

/** The promise is rejected with this fault, and a sentence that matches. */
async function fails(promise: Promise<unknown>, fault: VtyFault, sentence: RegExp): Promise<void> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof VtyError, String(error));
  assert.equal(error.fault, fault, error.message);
  assert.match(error.message, sentence);
}

describe('dialogues with routing daemons', () => {
  let record: LabRecord;
  let host: Host;
  let daemons: RoutingDaemons;
  let shared: string;
  before(async function () {
    this.timeout(60_000);
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) skipBecause(this, reason);
    record = register('VTY', ['d1']);
    shared = mkdtempSync(join(tmpdir(), `dvh-${record.id}-frr-`));
    chmodSync(shared, 0o755);
    host = new Host('d1', record.namespaces.d1 as string);
    await run(['ip', 'netns', 'add', host.namespace]);
    await host.ip(['link set lo up']);
    daemons = new RoutingDaemons(host, shared, { ospfd: 2604 });
    await daemons.start('zebra', 'hostname d1\n');
    await daemons.start(
      'ospfd',
      'hostname d1\npassword first\nenable password second\nrouter ospf\n ospf router-id 10.0.0.1\n',
    );
  });
  after(async () => {
    if (record) await removeLab(record);
    if (shared) rmSync(shared, { recursive: true, force: true });
  });

  /** The telnet VTY is inside the namespace: a program there talks to it. */
  async function telnet(
    ...words: string[]
  ): Promise<{ answers?: string[]; fault?: string; message?: string }> {
    const text = await host.run([process.execPath, program, ...words]);
    return JSON.parse(text) as { answers?: string[]; fault?: string; message?: string };
  }

  it('telnet: both passwords, no paging, long answers, and the same answers as the Unix socket', async () => {
    const asked = await telnet(
      '2604',
      'first',
      'second',
      'show version',
      'show running-config',
      'list permutations',
    );
    assert.ok(asked.answers, asked.message);
    assert.match(asked.answers[0] ?? '', /^FRRouting \d/);
    assert.match(asked.answers[1] ?? '', /router-id 10\.0\.0\.1/);
    assert.ok((asked.answers[2] ?? '').length > 10_000);
    const vty = await openUnixVty(join(daemons.folder, 'ospfd.vty'));
    const same = await vty.ask('show version');
    vty.close();
    assert.equal(asked.answers[0]?.trim(), same.trim());
  });

  it('telnet: wrong passwords are told apart, and from no password at all', async () => {
    const first = await telnet('2604', 'wrong', 'second', 'show version');
    assert.equal(first.fault, 'password');
    assert.match(first.message ?? '', /compare 'password' with the daemon's/);
    const second = await telnet('2604', 'first', 'wrong', 'show version');
    assert.equal(second.fault, 'password');
    assert.match(second.message ?? '', /compare 'enable_password'/);
    const none = await telnet('2604', '', '', 'show version');
    assert.equal(none.fault, 'password');
    assert.match(none.message ?? '', /set 'password' in ospf_bridge/);
  });

  it('telnet: a line that begins with % is an error, and the dialogue goes on', async () => {
    const asked = await telnet('2604', 'first', 'second', 'show nonsense');
    assert.equal(asked.fault, 'command');
    assert.match(asked.message ?? '', /'show nonsense': % /);
  });

  it('nobody listens: told as such', async () => {
    const asked = await telnet('2699', 'first', 'second', 'show version');
    assert.equal(asked.fault, 'unreachable');
    await fails(
      openUnixVty(join(daemons.folder, 'none.vty')),
      'unreachable',
      /is the routing daemon running/,
    );
    await fails(openBird(join(daemons.folder, 'bird.ctl')), 'unreachable', /is the routing daemon running/);
  });

  it('Unix: unknown commands, and a semantic complaint with the exit code of success', async () => {
    const vty = await openUnixVty(join(daemons.folder, 'ospfd.vty'));
    await fails(vty.ask('show nonsense'), 'command', /Unknown command/);
    await vty.ask('configure terminal');
    await vty.ask('router ospf');
    await fails(vty.ask('area 0 stub'), 'command', /% /);
    await vty.ask('end');
    assert.match(await vty.ask('show version'), /FRRouting/);
    vty.close();
  });

  it('Unix: questions asked at once are answered in order', async () => {
    const vty = await openUnixVty(join(daemons.folder, 'ospfd.vty'));
    const answers = await Promise.all([
      vty.ask('show version'),
      vty.ask('show running-config'),
      vty.ask('show version'),
    ]);
    vty.close();
    assert.equal(answers[0], answers[2]);
    assert.match(answers[1] ?? '', /router ospf/);
  });

  it('a daemon that dies, one that hangs, and one that speaks another language', async () => {
    const vty = await openUnixVty(join(daemons.folder, 'ospfd.vty'), { limit: 500 });
    daemons.kill('ospfd', 'SIGSTOP');
    await fails(vty.ask('show version'), 'timeout', /has not answered for 0\.5 seconds/);
    // Questions of which nobody takes notice pile up, until the socket is full: that is told at once.
    const path = join(daemons.folder, 'ospfd.vty');
    await until('a full socket', async () => {
      const error = await openUnixVty(path, { limit: 50 }).catch((reason: unknown) => reason);
      assert.ok(error instanceof VtyError, String(error));
      assert.equal(error.fault, 'timeout');
      return error.message === `${path} takes no more connections: the routing daemon hangs`;
    });
    daemons.kill('ospfd', 'SIGCONT');
    const other = await until('room in the socket', () => openUnixVty(path));
    daemons.kill('ospfd');
    await fails(
      (async () => {
        for (;;) await other.ask('show version');
      })(),
      'closed',
      /closed the connection/,
    );
    const elsewhere = join(record.folder, 'foreign.sock');
    const foreign = await listen(elsewhere, (socket) => socket.write('220 mail.example ESMTP\0\x01\x02\0'));
    await fails(openUnixVty(elsewhere), 'foreign', /does not speak as a VTY/);
    await fails(openBird(elsewhere, { limit: 500 }), 'foreign', /does not speak as BIRD/);
    foreign.close();
  });

  it('BIRD: questions, answers of several lines, complaints', async function () {
    if (!existsSync('/usr/sbin/bird')) skipBecause(this, 'the package bird2 is not installed');
    const conf = join(shared, 'bird.conf');
    const control = join(shared, 'bird.ctl');
    writeFileSync(
      conf,
      'router id 10.0.0.9;\nprotocol device {}\nprotocol ospf v2 ospf4 { ipv4 {}; area 0 { interface "lo" { stub yes; }; }; }\n',
    );
    const bird = host.start(['bird', '-f', '-c', conf, '-s', control, '-P', join(shared, 'bird.pid')]);
    await until('the control socket of BIRD', () => existsSync(control));
    const vty = await openBird(control);
    assert.match(await vty.ask('show status'), /^BIRD \d[\s\S]*Router ID is 10\.0\.0\.9/);
    assert.match(await vty.ask('show protocols'), /ospf4\s+OSPF/);
    await fails(vty.ask('show nonsense'), 'command', /syntax error/);
    assert.match(await vty.ask('show status'), /^BIRD/);
    vty.close();
    await bird.stop();
  });
});

function listen(path: string, greet: (socket: Socket) => void): Promise<Server> {
  return new Promise((resolve) => {
    const server = createServer((socket) => {
      socket.on('error', () => {});
      greet(socket);
    });
    server.listen(path, () => resolve(server));
  });
}
