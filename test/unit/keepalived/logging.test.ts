import { deepEqual, equal, match } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consoleOrSyslog, fileSink } from '../../../keepalived/logging.js';
import { syslogSink, timestamp } from '../../../keepalived/syslog.js';
import { skipBecause } from '../../runner/skip.js';

const LISTENER = `
import socket,sys
s=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM); s.bind(sys.argv[1])
f=open(sys.argv[2],'a')
while True:
  f.write(s.recv(8192).decode()+'\\n'); f.flush()
`;

describe('logging', () => {
  let folder: string;
  let listener: ChildProcess | undefined;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `logging-${process.pid}-`));
  });
  afterEach(async () => {
    if (listener && listener.exitCode === null && listener.signalCode === null) {
      const gone = new Promise((resolve) => listener?.once('exit', resolve));
      listener.kill('SIGKILL');
      await gone;
    }
    listener = undefined;
    rmSync(folder, { recursive: true });
  });

  async function until(condition: () => boolean): Promise<void> {
    const end = Date.now() + 15_000;
    while (!condition()) {
      if (Date.now() > end) throw new Error('timed out');
      await new Promise((resolve) => setTimeout(resolve, 20));
    }
  }

  it('syslog: the traditional local format; what nobody took is counted and said when somebody is there again', async function () {
    // Node has no Unix datagram sockets to listen with.
    if (spawnSync('python3', ['-c', '']).status !== 0) skipBecause(this, 'python3 is needed as a listener');
    const path = join(folder, 'log');
    const seen = join(folder, 'seen');
    const sink = syslogSink('Keepalived_vrrp', 3, path);
    sink('info', 'nobody is there');
    sink('info', 'still nobody');
    listener = spawn('python3', ['-u', '-c', LISTENER, path, seen], { stdio: 'ignore' });
    await until(() => existsSync(path));
    sink('notice', '(VI_1) Entering MASTER STATE');
    await until(() => existsSync(seen) && readFileSync(seen, 'utf8').split('\n').length > 2);
    const lines = readFileSync(seen, 'utf8').trim().split('\n');
    match(lines[0] ?? '', /^<28>\w{3} [ \d]\d \d\d:\d\d:\d\d Keepalived_vrrp\[\d+\]: 2 log lines were lost/);
    match(lines[1] ?? '', /^<29>.* Keepalived_vrrp\[\d+\]: \(VI_1\) Entering MASTER STATE$/);
  });

  /** What a call writes to stderr, by a process of its own. */
  function stderrOf(code: string): string {
    const module = new URL('../../../keepalived/logging.js', import.meta.url).href;
    const program = `import { consoleOrSyslog } from '${module}';\n${code}`;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], { encoding: 'utf8' });
    equal(done.status, 0, done.stderr);
    return done.stderr;
  }

  it('a reader of stderr that does not read holds nobody up and fills no memory; what it missed is counted', async () => {
    const module = new URL('../../../keepalived/logging.js', import.meta.url).href;
    const program = `import { consoleOrSyslog } from '${module}';
      const sink = consoleOrSyslog('K', { console: true });
      for (let count = 0; count < 50000; count++) sink('info', 'x'.repeat(100));
      console.log(process.stderr.writableLength);
      process.stdin.once('data', () => {
        const wait = setInterval(() => {
          if (process.stderr.writableLength > 0) return;
          clearInterval(wait);
          sink('info', 'heard again');
          process.stdin.destroy();
        }, 10);
      });`;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program], {
      stdio: ['pipe', 'pipe', 'pipe'],
    });
    child.stderr.pause();
    const waiting = await new Promise<number>((resolve) =>
      child.stdout.once('data', (data: Buffer) => resolve(Number(data.toString()))),
    );
    equal(waiting < 2 << 20, true, `${waiting} bytes wait`);
    let text = '';
    child.stderr.on('data', (data: Buffer) => {
      text += data.toString();
    });
    child.stderr.resume();
    child.stdin.write('go\n');
    await new Promise((resolve) => child.once('close', resolve));
    const lines = text.trimEnd().split('\n');
    match(lines.at(-2) ?? '', /^K\[\d+\]: \d+ log lines were lost: nobody read them$/);
    match(lines.at(-1) ?? '', /heard again$/);
    const lost = Number(/: (\d+) log lines/.exec(lines.at(-2) ?? '')?.[1]);
    equal(lines.length - 2 + lost, 50_000);
  });

  it('a full disk is told once, with the first line that it did not take', () => {
    const said = stderrOf(
      `const sink = consoleOrSyslog('K', { file: '/dev/full' }); sink('info', 'one'); sink('info', 'two');`,
    );
    match(said, /^K\[\d+\]: log file \/dev\/full: ENOSPC: .*, lost: one\n$/);
  });

  it('lines that a full disk did not take are counted in the file afterwards', () => {
    const file = join(folder, 'file');
    let room = Number.POSITIVE_INFINITY;
    const sink = fileSink('K', file, (fd, bytes) => {
      if (room === 0) throw new Error('ENOSPC');
      return writeSync(fd, bytes.subarray(0, room));
    });
    if (typeof sink !== 'function') throw new Error(sink.error);
    sink('info', 'before');
    room = 5;
    sink('info', 'torn');
    room = 0;
    sink('info', 'lost too');
    room = Number.POSITIVE_INFINITY;
    sink('debug', 'after');
    const lines = readFileSync(file, 'utf8').trimEnd().split('\n');
    equal(lines[1]?.length, 5);
    deepEqual(
      lines.toSpliced(1, 1).map((line) => line.replace(/^.*\]: /, '')),
      ['before', '2 log lines were lost: ENOSPC', 'debug: after'],
    );
  });

  it('a file that cannot be opened is no reason not to work: lines go to stderr where there is nothing else', () => {
    const path = join(folder, 'none', 'log');
    const said = stderrOf(`consoleOrSyslog('K', { file: '${path}' })('info', 'well')`);
    match(said, /^K\[\d+\]: no log file: ENOENT: .*none\/log.*\nK\[\d+\]: well\n$/);
  });

  it('a line from outside cannot make two', () => {
    const file = join(folder, 'file');
    const sink = consoleOrSyslog('Keepalived', { file });
    sink('info', 'one\nNov 22 00:00:00 forged[1]: two\r\0three');
    const lines = readFileSync(file, 'utf8').trim().split('\n');
    equal(lines.length, 1);
    match(lines[0] ?? '', /Keepalived\[\d+\]: one Nov 22 00:00:00 forged\[1\]: two three$/);
  });

  it('time stamps as syslog writes them', () => {
    deepEqual(
      [timestamp(new Date(2026, 10, 2, 3, 4, 5)), timestamp(new Date(2026, 0, 22, 23, 59, 0))],
      ['Nov  2 03:04:05', 'Jan 22 23:59:00'],
    );
  });
});
