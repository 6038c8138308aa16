import { deepEqual, equal, match } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { consoleOrSyslog } from '../../../keepalived/logging.js';
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
