import { deepEqual, equal, match } from 'node:assert/strict';
import {
  closeSync,
  constants,
  existsSync,
  mkdtempSync,
  openSync,
  readFileSync,
  readSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { type AddressInfo, createServer, type Server } from 'node:net';
import { hostname, tmpdir } from 'node:os';
import { join } from 'node:path';
import { defaultGlobal, type Global } from '../../../keepalived/model/global.js';
import { createNotify } from '../../../keepalived/notify/index.js';
import { message } from '../../../keepalived/notify/smtp.js';
import { Log } from '../../../lib/log.js';
import { skipBecause } from '../../runner/skip.js';

/** Waits until a condition holds; the limit is generous since other programs share the machine. */
async function until(what: string, condition: () => boolean, limit = 15_000): Promise<void> {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out waiting until ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

describe('notifications', () => {
  let folder: string;
  const lines: string[] = [];
  const log = new Log((_severity, line) => lines.push(line));
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `notify-${process.pid}-`));
    lines.length = 0;
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function script(name: string, body: string): string {
    const path = join(folder, name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`, { mode: 0o755 });
    return path;
  }

  function settings(more: Partial<Global> = {}): Global {
    return { ...defaultGlobal(), ...more };
  }

  it('a script gets its own arguments and then those of the event, nothing on stdin, and a clean environment', async () => {
    const out = join(folder, 'out');
    const path = script(
      'event',
      `read x; { for word; do echo "$word"; done; echo "ld=$LD_PRELOAD"; ps -o sid= -p $$; } > ${out}`,
    );
    process.env.IFS = 'x';
    const notify = createNotify(settings(), 'vrrp', log);
    const result = await notify.script({ argv: [path, 'own', 'two words'] }, [
      'INSTANCE',
      'VI_1',
      'MASTER',
      '100',
    ]);
    delete process.env.IFS;
    deepEqual(result, { code: 0, timedOut: false });
    const written = readFileSync(out, 'utf8').trim().split('\n');
    deepEqual(written.slice(0, 7), ['own', 'two words', 'INSTANCE', 'VI_1', 'MASTER', '100', 'ld=']);
  });

  it('says how a script ended: exit code, signal, not started, too slow', async () => {
    const notify = createNotify(settings(), 'vrrp', log);
    deepEqual(await notify.script({ argv: [script('three', 'exit 3')] }), { code: 3, timedOut: false });
    deepEqual(await notify.script({ argv: [script('killed', 'kill -9 $$')] }), {
      signal: 'SIGKILL',
      timedOut: false,
    });
    const missing = await notify.script({ argv: [join(folder, 'missing')] });
    match(missing.error ?? '', /ENOENT/);
    const slow = await notify.script({ argv: [script('slow', 'sleep 60 & wait')] }, [], { timeout: 100 });
    deepEqual(slow, { signal: 'SIGTERM', timedOut: true });
    const nobody = await notify.script({ argv: ['/bin/true'], user: 'no-such-user' });
    match(nobody.error ?? '', /no user 'no-such-user'/);
  });

  it('a script without a first line for the kernel is run by the shell', async () => {
    const path = join(folder, 'bare');
    writeFileSync(path, 'exit 5\n', { mode: 0o755 });
    const notify = createNotify(settings(), 'vrrp', log);
    deepEqual(await notify.script({ argv: [path] }), { code: 5, timedOut: false });
  });

  it('runs as the user of the script', async function () {
    if (process.getuid?.() !== 0) skipBecause(this, 'only root can become another user');
    const out = join(folder, 'who');
    writeFileSync(out, '', { mode: 0o666 });
    const notify = createNotify(settings(), 'vrrp', log);
    const result = await notify.script({ argv: ['/bin/sh', '-c', `id -u > ${out}`], user: 'nobody' });
    // The folder may not be open to others; then the shell says so.
    if (result.code === 0) equal(readFileSync(out, 'utf8').trim(), String(65534));
    else equal(typeof result.code, 'number');
  });

  it('with set_supplementary_groups the user has all its groups', async function () {
    if (process.getuid?.() !== 0) skipBecause(this, 'only root can become another user');
    const plain = createNotify(settings(), 'vrrp', log);
    const groups = createNotify(settings({ setSupplementaryGroups: true }), 'vrrp', log);
    const check = { argv: ['/bin/sh', '-c', 'test "$(id -un)" = nobody'], user: 'nobody' };
    deepEqual(await plain.script(check), { code: 0, timedOut: false });
    deepEqual(await groups.script(check), { code: 0, timedOut: false });
    deepEqual(await groups.script({ ...check, argv: ['/bin/sh', '-c', 'exit 9'] }), {
      code: 9,
      timedOut: false,
    });
  });

  it('writes lines to a FIFO that it makes and removes, and to one that is there', async () => {
    const path = join(folder, 'events');
    const notify = createNotify(settings({ vrrpNotifyFifo: { path } }), 'vrrp', log);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    notify.fifo('INSTANCE "VI_1" MASTER 100');
    notify.fifo('GROUP "VG" BACKUP 0');
    const buffer = Buffer.alloc(200);
    const length = readSync(reader, buffer);
    equal(buffer.toString('utf8', 0, length), 'INSTANCE "VI_1" MASTER 100\nGROUP "VG" BACKUP 0\n');
    await notify.close();
    closeSync(reader);
    equal(existsSync(path), false);
  });

  it('does not wait for readers: lines that do not fit are lost and counted', async () => {
    const path = join(folder, 'full');
    const notify = createNotify(settings({ notifyFifo: { path } }), 'lvs', log);
    const line = 'x'.repeat(999);
    for (let count = 0; count < 200; count++) notify.fifo(line);
    equal(lines.filter((one) => one.includes('cannot write')).length, 1);
    const reader = openSync(path, constants.O_RDONLY | constants.O_NONBLOCK);
    readSync(reader, Buffer.alloc(65536));
    notify.fifo('again');
    match(lines[lines.length - 1] ?? '', /lines were lost/);
    closeSync(reader);
    await notify.close();
  });

  it('starts the FIFO script with the path of the FIFO, and anew on a reload', async () => {
    const path = join(folder, 'served');
    const out = join(folder, 'served.out');
    const reader = script('reader', `echo started $2 >> ${out}; cat "$2" >> ${out}`);
    const global = settings({ lvsNotifyFifo: { path, script: { argv: [reader, 'own'] } } });
    const notify = createNotify(global, 'lvs', log);
    const started = () => (existsSync(out) ? readFileSync(out, 'utf8').split('started').length - 1 : 0);
    await until('the script runs', () => started() === 1);
    notify.fifo('VS [10.0.0.1]:tcp:80 UP');
    await until('the line arrives', () => readFileSync(out, 'utf8').includes('VS [10.0.0.1]:tcp:80 UP\n'));
    notify.update(global);
    await until('the script runs again', () => started() === 2);
    await notify.close();
  });

  it('refuses a FIFO that is something else', () => {
    const path = join(folder, 'file');
    writeFileSync(path, 'precious');
    const notify = createNotify(settings({ notifyFifo: { path } }), 'vrrp', log);
    notify.fifo('x');
    equal(readFileSync(path, 'utf8'), 'precious');
    match(lines[0] ?? '', /something else/);
  });

  describe('mail', () => {
    let server: Server;
    let dialogue: string[];
    let greeting = '220 test ready\r\n';
    let refuse: RegExp | undefined;
    before((done) => {
      server = createServer((socket) => {
        let data = false;
        socket.write(greeting);
        let rest = '';
        socket.on('error', () => {});
        socket.on('data', (chunk) => {
          rest += chunk.toString();
          for (let end = rest.indexOf('\r\n'); end >= 0; end = rest.indexOf('\r\n')) {
            const line = rest.slice(0, end);
            rest = rest.slice(end + 2);
            dialogue.push(line);
            if (data) {
              if (line === '.') {
                data = false;
                socket.write('250 taken\r\n');
              }
            } else if (refuse?.test(line)) socket.write('550 not you\r\n');
            else if (line === 'DATA') {
              data = true;
              socket.write('354 go on\r\n');
            } else if (line === 'QUIT') socket.end('221 bye\r\n');
            else socket.write('250-first\r\n250 ok\r\n');
          }
        });
      });
      server.listen(0, '127.0.0.1', done);
    });
    after((done) => {
      server.close(() => done());
    });
    beforeEach(() => {
      dialogue = [];
      refuse = undefined;
      greeting = '220 test ready\r\n';
    });

    const mailer = (more: Partial<Global> = {}) =>
      createNotify(
        settings({
          smtpServer: { host: '127.0.0.1', port: (server.address() as AddressInfo).port },
          notificationEmail: ['Operator <op@example.net>', 'root@localhost'],
          notificationEmailFrom: 'lb@example.net',
          smtpHeloName: 'lb1',
          routerId: 'LB_1',
          ...more,
        }),
        'vrrp',
        log,
      );

    it('sends the dialogue of keepalived', async () => {
      const notify = mailer();
      notify.mail(
        'VRRP Instance VI_1 - Entering MASTER state',
        '=> VRRP Instance is now owning VRRP VIPs <=',
      );
      await notify.close(20_000);
      deepEqual(dialogue.slice(0, 5), [
        'HELO lb1',
        'MAIL FROM:<lb@example.net>',
        'RCPT TO:<op@example.net>',
        'RCPT TO:<root@localhost>',
        'DATA',
      ]);
      match(dialogue[5] ?? '', /^Date: \w{3}, \d{2} \w{3} \d{4} [\d:]{8} \+0000$/);
      deepEqual(dialogue.slice(6), [
        'From: lb@example.net',
        'Subject: [LB_1] VRRP Instance VI_1 - Entering MASTER state',
        'X-Mailer: Keepalived',
        'To: Operator <op@example.net>, root@localhost',
        '',
        '=> VRRP Instance is now owning VRRP VIPs <=',
        '.',
        'QUIT',
      ]);
      match(lines[lines.length - 1] ?? '', /successfully sent/);
    });

    it('says why a mail could not be sent, and sends the next one', async () => {
      refuse = /RCPT TO:<op@/;
      const notify = mailer();
      notify.mail('first', 'x');
      await until('the refusal is logged', () => lines.some((line) => line.includes('550 not you')));
      refuse = undefined;
      notify.mail('second', 'y');
      await notify.close(20_000);
      equal(dialogue.includes('Subject: [LB_1] second'), true);
    });

    it('says nothing to nobody: without recipients or server there is no mail', async () => {
      const notify = mailer({ notificationEmail: [] });
      notify.mail('x', 'y');
      await notify.close();
      deepEqual(dialogue, []);
    });

    it('one line of text is one line of the message, whatever it holds', () => {
      const text = message({
        server: { host: 'x', port: 25 },
        helo: hostname(),
        from: 'a@b',
        to: ['c@d'],
        subject: 'evil\r\nBcc: everybody',
        body: '.\nend',
        timeout: 1,
      });
      equal(text.includes('\r\nBcc:'), false);
      equal(text.endsWith('\r\n\r\n..\r\nend\r\n.\r\n'), true);
    });
  });
});
