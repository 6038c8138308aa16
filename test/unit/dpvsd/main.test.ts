import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { copyFileSync, mkdtempSync, readFileSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Finding } from '../../../dpvsd/doctor/finding.js';
import { STARTED } from '../../../dpvsd/started.js';
import { close, memfdCreate } from '../../../lib/libc.js';
import { skipBecause } from '../../runner/skip.js';
import { FakeDpvsd } from './fake-dpvsd.js';

const program = fileURLToPath(new URL('../../../../bin/dpvsd', import.meta.url));

interface Outcome {
  status: number | null;
  stdout: string;
  stderr: string;
}

/** Runs bin/dpvsd without blocking this process, in which the fake dataplane answers. */
function dpvsd(
  args: string[],
  environment: Record<string, string> = {},
  by: string[] = [],
): Promise<Outcome> {
  return new Promise((resolve, reject) => {
    const [command = '', ...rest] = [...by, process.execPath, program, ...args];
    const child = spawn(command, rest, { env: { ...process.env, ...environment } });
    const outcome: Outcome = { status: null, stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text: string) => {
      outcome.stdout += text;
    });
    child.stderr.setEncoding('utf8').on('data', (text: string) => {
      outcome.stderr += text;
    });
    child.on('error', reject);
    child.on('close', (status) => resolve({ ...outcome, status }));
  });
}

const good =
  'netif_defs {\n device dpdk0 {\n vdev net_null0\n rx {\n queue_number 1\n }\n }\n}\ntimer_defs {\n schedule_interval 10\n}\n';

describe('bin/dpvsd', function () {
  this.timeout(60_000);
  let folder: string;
  let conf: string;
  const write = (text: string) => writeFileSync(conf, text);

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `dpvsd-${process.pid}-`));
    conf = join(folder, 'dpvs.conf');
    write(good);
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  it('-t prints the plan and what is without effect', async () => {
    const { status, stdout } = await dpvsd(['-t', '-c', conf]);
    assert.equal(status, 0);
    assert.match(stdout, /^ {2}dpdk0 {2}net_null0 /m);
    assert.match(stdout, /^EAL: --lcores 0@\d+,1@\d+ /m);
    assert.match(stdout, /line 10: schedule_interval/);
  });

  it('-t --json prints the plan for programs', async () => {
    const { stdout } = await dpvsd(['-t', '--json', '-c', conf, '--', '--no-huge', '-m', '200']);
    const { ok, plan, problems } = JSON.parse(stdout);
    assert.equal(ok, true);
    assert.equal(plan.ports[0].device, 'net_null0');
    assert.deepEqual(plan.eal.slice(-3), ['--no-huge', '-m', '200']);
    assert.ok(Array.isArray(problems));
  });

  it('-t prints every mistake with its line, and fails', async () => {
    write('neigh_defs {\n timeout 0\n}\nfoo {\n}\n');
    const { status, stdout, stderr } = await dpvsd(['-t', '-c', conf]);
    assert.equal(status, 1);
    assert.equal(stdout, '');
    assert.match(stderr, new RegExp(`^${conf}:2: timeout 0: .*; it takes 1-3600`, 'm'));
    assert.match(stderr, new RegExp(`^${conf}:4: "foo": the top of the file has no such block; `, 'm'));
    assert.match(stderr, /^dpvsd: .*: not usable: \d errors$/m);
  });

  it('does not start with a mistake', async () => {
    write('netif_defs {\n device dpdk0 {\n }\n}\nfoo\n');
    const { status, stderr } = await dpvsd([
      '-c',
      conf,
      '-x',
      join(folder, 'ipc'),
      '-p',
      join(folder, 'pid'),
    ]);
    assert.equal(status, 1);
    assert.match(stderr, /not started: mend the errors above/);
  });

  it('says that there is no configuration', async () => {
    const { status, stderr } = await dpvsd(['-c', join(folder, 'nothing')]);
    assert.equal(status, 1);
    assert.match(stderr, /nothing: there is no such file: name another one with -c/);
    const asJson = await dpvsd(['-t', '--json', '-c', join(folder, 'nothing')]);
    assert.equal(asJson.status, 1);
    assert.equal((JSON.parse(asJson.stdout) as { ok: boolean }).ok, false);
  });

  it('prints version and usage, and refuses what it does not know', async () => {
    const { version } = JSON.parse(
      readFileSync(fileURLToPath(new URL('../../../../package.json', import.meta.url)), 'utf8'),
    );
    const shown = await dpvsd(['-v']);
    assert.deepEqual([shown.status, shown.stdout.trim()], [0, `dpvsd ${version}`]);
    const help = await dpvsd(['-h']);
    assert.equal(help.status, 0);
    assert.match(
      help.stdout,
      /\[-c CONF\] \[-p PIDFILE\] \[-x IPCFILE\] \[-t\] \[-v\] \[-h\] \[-- EAL OPTIONS\]/,
    );
    const unknown = await dpvsd(['--tset']);
    assert.equal(unknown.status, 1);
    assert.match(unknown.stderr, /unknown option '--tset'/);
    assert.match(unknown.stderr, /--test/);
  });

  it('doctor: its exit code follows from its findings', async () => {
    for (const args of [
      ['doctor', '--json', '-c', conf],
      ['doctor', '-c', join(folder, 'nothing'), '--json'],
    ]) {
      const { status, stdout } = await dpvsd(args);
      const findings = JSON.parse(stdout) as Finding[];
      assert.ok(findings.length > 5);
      assert.equal(status, findings.some((one) => one.grade === 'bad') ? 1 : 0);
    }
  });

  describe('beside a running instance', () => {
    let running: FakeDpvsd;
    beforeEach(async () => {
      running = await FakeDpvsd.start();
    });
    afterEach(() => running.stop());

    it('does not start at its socket, also when the environment names it', async () => {
      const args = ['-c', conf, '-p', join(folder, 'pid')];
      for (const { status, stderr } of [
        await dpvsd([...args, '-x', running.path]),
        await dpvsd(args, { DPVS_IPC_FILE: running.path }),
      ]) {
        assert.equal(status, 1);
        assert.match(
          stderr,
          new RegExp(`another instance answers at ${running.path}: stop it, or name another socket with -x`),
        );
      }
    });

    it('does not start with its pid file', async () => {
      const sleeper = join(folder, 'dpvsd-native');
      copyFileSync('/bin/sleep', sleeper);
      const child: ChildProcess = spawn(sleeper, ['60']);
      try {
        await new Promise((resolve) => child.once('spawn', resolve));
        const pid = join(folder, 'pid');
        writeFileSync(pid, `${child.pid}\n`);
        const { status, stderr } = await dpvsd(['-c', conf, '-x', join(folder, 'ipc'), '-p', pid]);
        assert.equal(status, 1);
        assert.match(stderr, new RegExp(`runs already with pid file ${pid} \\(process ${child.pid}\\)`));
      } finally {
        child.kill();
      }
    });

    it('says that a folder for its files is missing', async () => {
      const { status, stderr } = await dpvsd([
        '-c',
        conf,
        '-x',
        join(folder, 'none', 'ipc'),
        '-p',
        join(folder, 'pid'),
      ]);
      assert.equal(status, 1);
      assert.match(stderr, /no file can be made in .*none: create the folder/);
    });

    it('reload sends what may change as one batch, and tells what needs a restart', async () => {
      running.tables.settings.clear();
      for (const [name, value] of [
        ['neigh.timeout', '60'],
        ['ip4.ttl', '64'],
        ['conn.pool_size', '2097152'],
      ] as const) {
        running.tables.settings.set(name, value);
      }
      write(
        `${good}neigh_defs {\n timeout 61\n}\nipv4_defs {\n default_ttl 65\n}\nipvs_defs {\n conn {\n conn_pool_size 65536\n }\n}\n`,
      );
      const { status, stdout } = await dpvsd(['reload', '-c', conf, '-x', running.path]);
      assert.equal(status, 0);
      assert.deepEqual(stdout.trimEnd().split('\n'), [
        'changed: neigh.timeout: 60 -> 61',
        'changed: ip4.ttl: 64 -> 65',
        'needs a restart: conn.pool_size: 2097152 -> 65536',
      ]);
      assert.deepEqual(running.batches, [2]);
      assert.equal(running.tables.settings.get('neigh.timeout'), '61');
      const again = await dpvsd(['reload', '-c', conf, '-x', running.path]);
      assert.equal(again.stdout, 'needs a restart: conn.pool_size: 2097152 -> 65536\n');
      assert.deepEqual(running.batches, [2]);
    });

    it('reload knows what the process was started with, its EAL options among it', async () => {
      // The fake dataplane gives this process as its own: so the note has to be here.
      const settings = [
        { name: 'conn.pool_size', value: '2097152' },
        { name: 'ip4.ttl', value: '1' },
        {
          name: 'port',
          value:
            '0 name dpdk0 vdev net_null7 rxq 1 txq 1 rxd 256 txd 512 mtu 1500 promisc 0 allmulti 0 kni dpdk0.kni rss all',
        },
        { name: 'worker', value: '0 lcore 1 name worker0 port 0 rxq 0 txq 0' },
      ];
      const note = memfdCreate(STARTED);
      try {
        writeSync(note, JSON.stringify({ conf, eal: ['--vdev', 'net_null7'], settings, allowed: [0, 1] }), 0);
        running.tables.settings.clear();
        running.tables.settings.set('ip4.ttl', '64');
        write('netif_defs {\n device dpdk0 {\n mtu 9000\n rx {\n queue_number 1\n }\n }\n}\n');
        const { status, stdout, stderr } = await dpvsd(['reload', '-c', conf, '-x', running.path]);
        assert.equal(stderr, '');
        assert.equal(stdout, 'needs a restart: port 0: mtu 1500 -> mtu 9000\n');
        assert.equal(status, 0);
      } finally {
        close(note);
      }
    });

    it('reload is not misled by the CPU that the master handed on to it', async function () {
      if (cpus().length < 2) skipBecause(this, 'needs two CPUs');
      running.tables.settings.set('ip4.ttl', '64');
      write(`${good}worker_defs {\n worker w {\n cpu_id 1\n port dpdk0 {\n rx_queue_ids 0\n }\n }\n}\n`);
      const { status, stdout, stderr } = await dpvsd(['reload', '-c', conf, '-x', running.path], {}, [
        'taskset',
        '-c',
        '0',
      ]);
      assert.deepEqual([status, stdout, stderr], [0, 'nothing has changed\n', '']);
    });

    it('reload changes nothing when the file has a mistake', async () => {
      running.tables.settings.set('neigh.timeout', '60');
      write(`${good}neigh_defs {\n timeout 61\n unres_queue_length x\n}\n`);
      const { status, stderr } = await dpvsd(['reload', '-c', conf, '-x', running.path]);
      assert.equal(status, 1);
      assert.match(stderr, /not reloaded: nothing was changed/);
      assert.deepEqual(running.batches, []);
    });
  });

  it('understands every command of the systemd unit', async () => {
    const unit = readFileSync(
      fileURLToPath(new URL('../../../../conf/dpvsd.service', import.meta.url)),
      'utf8',
    );
    const commands = [...unit.matchAll(/^(Exec\w+)=\S+\/bin\/dpvsd (.*)$/gm)];
    assert.deepEqual(
      commands.map(([, key]) => key),
      ['ExecStartPre', 'ExecStart', 'ExecReload'],
    );
    // Nothing can be started in a folder that is not there, so that only the command line is put to the test.
    const places: Record<string, string[]> = {
      '/etc/dpvs.conf': [conf],
      '/run/dpvs.pid': [join(folder, 'none', 'pid')],
      '/run/dpvs.ipc': [join(folder, 'none', 'ipc')],
      $EAL_OPTIONS: ['--', '--no-huge'],
    };
    const expected: Record<string, RegExp> = {
      ExecStartPre: /^$/,
      ExecStart: /^(dpvsd: .*(no file can be made in|is not built).*\n)+$/,
      ExecReload: /^dpvsd: .*none\/ipc.*\n$/,
    };
    for (const [, key = '', line = ''] of commands) {
      const { stderr } = await dpvsd(line.split(' ').flatMap((word) => places[word] ?? [word]));
      const said = stderr
        .split('\n')
        .filter((one) => !one.includes(': warning: ') && !one.includes(': note: '));
      assert.match(said.join('\n'), expected[key]!);
    }
  });

  it('reload says that nobody is there', async () => {
    const { status, stderr } = await dpvsd(['reload', '-c', conf, '-x', join(folder, 'ipc')]);
    assert.equal(status, 1);
    assert.match(stderr, /^dpvsd: .*ipc/);
  });
});
