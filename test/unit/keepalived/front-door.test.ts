import { deepEqual, equal, match } from 'node:assert/strict';
import { type ChildProcess, spawn, spawnSync } from 'node:child_process';
import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { readReloadTime } from '../../../keepalived/reload-time.js';
import { runningProcess, writeSafely } from '../../../keepalived/safe-file.js';
import { skipBecause } from '../../runner/skip.js';

const program = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));

async function until(what: () => string, condition: () => boolean, limit = 20_000): Promise<void> {
  const end = Date.now() + limit;
  while (!condition()) {
    if (Date.now() > end) throw new Error(`timed out: ${what()}`);
    await new Promise((resolve) => setTimeout(resolve, 25));
  }
}

describe('bin/keepalived', function () {
  this.timeout(60_000);
  let folder: string;
  let child: ChildProcess | undefined;
  let output = '';
  let server: Server;
  let port: number;

  before((done) => {
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end();
    }).listen(0, '127.0.0.1', () => {
      port = (server.address() as { port: number }).port;
      done();
    });
  });
  after((done) => {
    server.close(() => done());
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `door-${process.pid}-`));
    output = '';
  });
  afterEach(async () => {
    if (child && child.exitCode === null && child.signalCode === null) {
      const gone = new Promise((resolve) => child?.once('exit', resolve));
      child.kill('SIGKILL');
      await gone;
    }
    child = undefined;
    rmSync(folder, { recursive: true, force: true });
  });

  const file = () => join(folder, 'keepalived.conf');
  const virtualServer = (weight: number) =>
    `virtual_server 127.0.0.1 18080 {\n delay_loop 1\n protocol TCP\n lb_algo rr\n lb_kind NAT\n real_server 127.0.0.1 ${port} {\n weight ${weight}\n TCP_CHECK {\n warmup 0\n }\n }\n}\n`;
  const globals = (more = '') => `global_defs {\n router_id T\n lvs_director dry-run\n${more}\n}\n`;

  function configure(text: string): void {
    writeFileSync(file(), text);
  }

  function start(...options: string[]): ChildProcess {
    const all = [
      '-n',
      '-l',
      '-G',
      '-f',
      file(),
      '-p',
      join(folder, 'k.pid'),
      '-c',
      join(folder, 'c.pid'),
      ...options,
    ];
    const started = spawn(process.execPath, [program, ...all], {
      env: { ...process.env, TMPDIR: folder },
      stdio: ['ignore', 'pipe', 'pipe'],
    });
    started.stdout?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    started.stderr?.on('data', (chunk: Buffer) => {
      output += chunk.toString();
    });
    child = started;
    return started;
  }

  const logged = (text: string, limit?: number) =>
    until(
      () => `'${text}' in\n${output}`,
      () => output.includes(text),
      limit,
    );
  const ended = async (process: ChildProcess): Promise<number | null> => {
    if (process.exitCode !== null) return process.exitCode;
    return new Promise((resolve) => process.once('exit', (code) => resolve(code)));
  };

  function once(...options: string[]) {
    return spawnSync(process.execPath, [program, ...options], {
      encoding: 'utf8',
      env: { ...process.env, TMPDIR: folder },
    });
  }

  it('starts, checks, reloads without a new start, dumps, stops', async () => {
    configure(globals() + virtualServer(1));
    const door = start();
    await logged('Startup complete');
    await logged('dry-run: add server');
    equal(Number(readFileSync(join(folder, 'k.pid'), 'utf8')), door.pid);
    const checker = Number(readFileSync(join(folder, 'c.pid'), 'utf8'));

    configure(globals() + virtualServer(7));
    door.kill('SIGHUP');
    await logged('weight 7');
    equal(Number(readFileSync(join(folder, 'c.pid'), 'utf8')), checker);

    // A link in the place of a dump is replaced, not followed.
    const precious = join(folder, 'precious');
    writeFileSync(precious, 'untouched');
    symlinkSync(precious, join(folder, 'keepalived_check.data'));
    door.kill('SIGUSR1');
    await logged('Printing data of healthcheck');
    await logged('Printing data of parent');
    equal(readFileSync(precious, 'utf8'), 'untouched');
    match(readFileSync(join(folder, 'keepalived_check.data'), 'utf8'), /\[127\.0\.0\.1\]:tcp:18080/);
    match(readFileSync(join(folder, 'keepalived_parent.data'), 'utf8'), /weight 7/);
    process.kill(door.pid as number, 36);
    await logged('Printing json of healthcheck');
    JSON.parse(readFileSync(join(folder, 'keepalived_check.json'), 'utf8'));

    door.kill('SIGTERM');
    equal(await ended(door), 0);
    await logged('Stopped Keepalived');
    equal(existsSync(join(folder, 'k.pid')), false);
    equal(existsSync(join(folder, 'c.pid')), false);
    await until(
      () => 'the sidecar is gone',
      () => !alive(checker),
    );
  });

  it('a broken file changes nothing and says why', async () => {
    configure(globals() + virtualServer(1));
    const door = start();
    await logged('Startup complete');
    const cases: [text: string, why: string][] = [
      [`${globals()}${virtualServer(5).slice(0, -20)}`, 'the file looks incomplete'],
      ['', 'is empty: somebody seems to be writing it'],
      [`${globals(' router_id T\n vrrp_version')}${virtualServer(5)}`, 'a keyword has no argument'],
      [`instance other\n${globals()}${virtualServer(5)}`, 'instance cannot be changed by a reload'],
    ];
    for (const [text, why] of cases) {
      output = '';
      configure(text);
      door.kill('SIGHUP');
      await logged(why);
    }
    rmSync(file());
    output = '';
    door.kill('SIGHUP');
    await logged('cannot be read');
    equal(output.includes('weight 5'), false);
    configure(globals(' vrrp_strict perhaps') + virtualServer(9));
    door.kill('SIGHUP');
    await logged('weight 9');
  });

  it('reload_check_config refuses what keepalived -t would not pass', async () => {
    configure(globals(` reload_check_config ${join(folder, 'check.log')}`) + virtualServer(1));
    const door = start();
    await logged('Startup complete');
    configure(globals(` reload_check_config\n nonsense`) + virtualServer(5));
    door.kill('SIGHUP');
    await logged('reload_check_config: the check found errors (5)');
    match(readFileSync(join(folder, 'check.log'), 'utf8'), /Unknown keyword 'nonsense'/);
  });

  it('reloads at the time that a file names, and removes the file', async () => {
    const schedule = join(folder, 'when');
    configure(globals(` reload_time_file ${schedule}`) + virtualServer(1));
    start();
    await logged('dry-run: add server');
    configure(globals(` reload_time_file ${schedule}`) + virtualServer(6));
    const at = new Date(Date.now() + 2000).toISOString();
    writeFileSync(schedule, `${at.slice(0, 10)} ${at.slice(11, 19)}Z\n`);
    await logged('Reload scheduled for');
    await logged('weight 6');
    equal(existsSync(schedule), false);
  });

  it('a sidecar that is killed comes back; when the front door is killed the sidecar ends', async () => {
    configure(globals() + virtualServer(1));
    const door = start();
    await logged('Startup complete');
    await logged('dry-run: add server');
    const first = Number(readFileSync(join(folder, 'c.pid'), 'utf8'));
    process.kill(first, 'SIGKILL');
    await logged('Respawning');
    await until(
      () => 'another sidecar',
      () => Number(readFileSync(join(folder, 'c.pid'), 'utf8')) !== first,
    );
    const second = Number(readFileSync(join(folder, 'c.pid'), 'utf8'));
    await until(
      () => `the server is there again\n${output}`,
      () => output.split('dry-run: add server').length >= 3,
    );
    door.kill('SIGKILL');
    await until(
      () => `sidecar ${second} ends`,
      () => !alive(second),
    );
  });

  it('a sidecar starts and ends as the configuration asks for it', async () => {
    configure(globals());
    const door = start();
    await logged('no configuration to run');
    configure(globals() + virtualServer(1));
    door.kill('SIGHUP');
    await logged('Starting Healthcheck child process');
    await logged('dry-run: add server');
    const checker = Number(readFileSync(join(folder, 'c.pid'), 'utf8'));
    configure(globals());
    door.kill('SIGHUP');
    await until(
      () => 'the sidecar is gone',
      () => !alive(checker),
    );
    equal(door.exitCode, null);
  });

  it('is not kept from starting by a pid file whose number belongs to another program by now', async () => {
    const other = spawn('sleep', ['60']);
    try {
      writeFileSync(join(folder, 'k.pid'), `${other.pid}\n`);
      configure(globals());
      const door = start();
      await logged('no configuration to run');
      equal(Number(readFileSync(join(folder, 'k.pid'), 'utf8')), door.pid);
    } finally {
      other.kill('SIGKILL');
    }
  });

  it('runs startup and shutdown scripts, and one start at a time', async () => {
    const marks = join(folder, 'marks');
    configure(
      globals(
        ` startup_script "/bin/sh -c 'echo up >> ${marks}'"\n shutdown_script "/bin/sh -c 'echo down >> ${marks}'"`,
      ) + virtualServer(1),
    );
    const door = start();
    await logged('Startup complete');
    const other = once('-n', '-G', '-f', file(), '-p', join(folder, 'k.pid'));
    match(other.stderr, /daemon is already running/);
    equal(other.status, 0);
    door.kill('SIGTERM');
    equal(await ended(door), 0);
    equal(readFileSync(marks, 'utf8'), 'up\ndown\n');
  });

  it('goes into the background and says so by its exit', async () => {
    configure(globals() + virtualServer(1));
    const log = join(folder, 'log');
    const done = once(
      '-G',
      `-g${log}`,
      '-f',
      file(),
      '-p',
      join(folder, 'k.pid'),
      '-c',
      join(folder, 'c.pid'),
    );
    equal(done.status, 0, done.stderr);
    const pid = Number(readFileSync(join(folder, 'k.pid'), 'utf8'));
    try {
      equal(alive(pid), true);
      process.kill(pid, 'SIGTERM');
      await until(
        () => `${pid} ends`,
        () => !alive(pid),
      );
      match(readFileSync(log, 'utf8'), /Stopped Keepalived/);
    } finally {
      if (alive(pid)) process.kill(pid, 'SIGKILL');
    }
  });

  it('tells systemd when it is ready, reloads and stops', async function () {
    if (spawnSync('python3', ['-c', '']).status !== 0) skipBecause(this, 'python3 is needed as a listener');
    configure(globals() + virtualServer(1));
    const path = join(folder, 'notify.sock');
    const seen = join(folder, 'notify.log');
    // Node has no Unix datagram sockets; a line of Python listens.
    const listener = spawn('python3', [
      '-u',
      '-c',
      `import socket,sys\ns=socket.socket(socket.AF_UNIX,socket.SOCK_DGRAM)\ns.bind(${JSON.stringify(path)})\nf=open(${JSON.stringify(seen)},'a')\nwhile True:\n  f.write(s.recv(4096).decode()+'\\n'); f.flush()`,
    ]);
    try {
      await until(
        () => 'the listener',
        () => existsSync(path),
      );
      process.env.NOTIFY_SOCKET = path;
      process.env.WATCHDOG_USEC = '200000';
      const door = start();
      delete process.env.NOTIFY_SOCKET;
      delete process.env.WATCHDOG_USEC;
      const states = () => (existsSync(seen) ? readFileSync(seen, 'utf8') : '');
      const signs = () => (states().match(/WATCHDOG=1/g) ?? []).length;
      await until(
        () => `READY in ${states()}${output}`,
        () => states().includes('READY=1'),
      );
      await until(
        () => `WATCHDOG in ${states()}`,
        () => signs() >= 3,
      );
      // A front door that hangs says nothing, which is what lets systemd start it anew.
      door.kill('SIGSTOP');
      await until(
        () => 'the stopped front door',
        () => /^State:\s+T/m.test(readFileSync(`/proc/${door.pid}/status`, 'utf8')),
      );
      await new Promise((resolve) => setTimeout(resolve, 200));
      const before = signs();
      await new Promise((resolve) => setTimeout(resolve, 600));
      equal(signs(), before);
      door.kill('SIGCONT');
      await until(
        () => `WATCHDOG again in ${states()}`,
        () => signs() > before,
      );
      door.kill('SIGHUP');
      await until(
        () => `RELOADING in ${states()}`,
        () => /RELOADING=1\nMONOTONIC_USEC=\d+[\s\S]*READY=1/.test(states()),
      );
      door.kill('SIGTERM');
      equal(await ended(door), 0);
      await until(
        () => `STOPPING in ${states()}`,
        () => states().includes('STOPPING=1'),
      );
    } finally {
      delete process.env.NOTIFY_SOCKET;
      listener.kill('SIGKILL');
    }
  });

  it('exit codes: bad option, missing argument, checks, versions, signals', () => {
    equal(once('-Q').status, 1);
    configure('vrrp_instance A {\n virtual_router_id\n}\n');
    equal(once('-n', '-G', '-f', file(), '-p', join(folder, 'k.pid')).status, 2);
    const test = once('-t', '-f', file());
    equal(test.status, 2);
    match(
      test.stderr,
      /keepalived\.conf: Line 2\) \*\*\* Configuration line starting `virtual_router_id` is missing a parameter/,
    );
    configure('vrrp_instence A {\n virtual_router_id 1\n}\nglobal_defs {\n}\n');
    const typo = once('-t', '-f', file());
    equal(typo.status, 5);
    match(typo.stderr, /Unknown keyword 'vrrp_instence', did you mean 'vrrp_instance'\?/);
    equal(typo.stderr.trim().split('\n').length, 1);
    equal(once('-t', '--dialect=dpvs', '-f', file()).status, 4);
    equal(once('-t', '-f', join(folder, 'none')).status, 0);
    equal(once('-t', '-e', '-f', join(folder, 'none')).status, 4);
    equal(once('-t', '--dialect=dpvs', '-f', join(folder, 'none')).status, 3);
    deepEqual(
      ['STOP', 'RELOAD', 'DATA', 'STATS', 'STATS_CLEAR', 'JSON'].map((name) =>
        once(`--signum=${name}`).stdout.trim(),
      ),
      ['15', '1', '10', '12', '63', '36'],
    );
    equal(once('--signum=FOO').status, 1);
    const version = once('-v');
    match(version.stderr, /^Keepalived v2\.4\.3/);
    equal(version.stdout, '');
  });

  it('-t writes its findings to a file, -d shows the model', () => {
    configure(globals(' nonsense') + virtualServer(3));
    const log = join(folder, 'findings');
    const done = once(`-t${log}`, '-d', '-f', file());
    equal(done.status, 5);
    match(readFileSync(log, 'utf8'), /Unknown keyword 'nonsense'/);
    match(done.stdout, /real_server 127\.0\.0\.1 \d+ \{\n\s+weight 3/);
  });

  it('enters the network namespace that the configuration names', async function () {
    if (process.getuid?.() !== 0) skipBecause(this, 'only root can make a network namespace');
    const name = `door-${process.pid}`;
    equal(spawnSync('ip', ['netns', 'add', name]).status, 0);
    try {
      configure(`net_namespace ${name}\n${globals()}${virtualServer(1)}`);
      const door = start();
      await logged('Starting Healthcheck child process');
      await until(
        () => output,
        () => existsSync(join(folder, 'c.pid')),
      );
      const checker = Number(readFileSync(join(folder, 'c.pid'), 'utf8'));
      const inode = spawnSync('stat', ['-Lc', '%i', `/run/netns/${name}`], { encoding: 'utf8' }).stdout;
      const own = spawnSync('stat', ['-Lc', '%i', `/proc/${checker}/ns/net`], { encoding: 'utf8' }).stdout;
      equal(own, inode);
      door.kill('SIGTERM');
      equal(await ended(door), 0);
    } finally {
      spawnSync('ip', ['netns', 'delete', name]);
    }
  });
});

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
  } catch {
    return false;
  }
  // A zombie that nobody has asked after yet has ended as well.
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

describe('files of the front door', () => {
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `files-${process.pid}-`));
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('a file is written whole or not at all', () => {
    const path = join(folder, 'file');
    writeSafely(path, 'one');
    writeSafely(path, 'two');
    equal(readFileSync(path, 'utf8'), 'two');
    mkdirSync(join(folder, 'taken'));
    let failed = false;
    try {
      writeSafely(join(folder, 'taken'), 'x');
    } catch {
      failed = true;
    }
    equal(failed, true);
    deepEqual(readdirSync(folder).sort(), ['file', 'taken']);
  });

  it('a pid file counts only while its process lives', () => {
    const path = join(folder, 'pid');
    equal(runningProcess(path), undefined);
    // Somebody else has the number now.
    writeFileSync(path, `${process.ppid}\n`);
    equal(runningProcess(path), undefined);
    writeFileSync(path, '4194303999\n');
    equal(runningProcess(path), undefined);
    writeFileSync(path, 'nonsense\n');
    equal(runningProcess(path), undefined);
    writeFileSync(path, `${process.pid}\n`);
    equal(runningProcess(path), undefined);
  });

  it('times of a scheduled reload', () => {
    const now = new Date('2026-11-22T10:00:00Z');
    equal(readReloadTime('2026-11-22 10:00:05Z\n', now), Date.parse('2026-11-22T10:00:05Z'));
    equal(readReloadTime('26-11-22 10:00:05Z', now), Date.parse('2026-11-22T10:00:05Z'));
    equal(readReloadTime('10:30:00Z', now), Date.parse('2026-11-22T10:30:00Z'));
    equal(readReloadTime('09:30:00Z', now), Date.parse('2026-11-23T09:30:00Z'));
    equal(readReloadTime('2026-11-22 09:59:59Z', now), undefined);
    equal(readReloadTime(' 10:30:00Z', now), undefined);
    equal(readReloadTime('25:30:00', now), undefined);
    equal(readReloadTime('2026-13-01 10:00:00', now), undefined);
    equal(readReloadTime('tomorrow', now), undefined);
    equal(typeof readReloadTime('23:59:59', now), 'number');
  });
});
