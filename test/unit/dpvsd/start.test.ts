import assert from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { DpvsdClient } from '../../../dpvsd/client.js';
import { Table } from '../../../dpvsd/generated/control.js';
import { nativeProgram } from '../../../dpvsd/launch.js';
import { readStarted } from '../../../dpvsd/started.js';
import { skipBecause } from '../../runner/skip.js';

const program = fileURLToPath(new URL('../../../../bin/dpvsd', import.meta.url));

/** A ring is a port that needs no privilege and receives only what is sent to it. */
const confText = (more = '', vdev = 'net_ring0') => `global_defs {
  hugepages off
  kni off
}
netif_defs {
  pktpool_size 4095
  device dpdk0 {
    vdev ${vdev}
    rx {
      queue_number 1
    }
  }
}
ipvs_defs {
  conn {
    conn_pool_size 65536
  }
}
${more}`;

async function until(what: string, holds: () => boolean | Promise<boolean>): Promise<void> {
  const limit = Date.now() + 30_000;
  while (!(await holds())) {
    if (Date.now() > limit) throw new Error(`in vain for 30 seconds: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

function alive(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

describe('the native process as bin/dpvsd starts it', function () {
  this.timeout(120_000);
  let folder: string;
  let place: { conf: string; ipc: string; pid: string };
  const started: ChildProcess[] = [];

  before(function () {
    if (!existsSync(nativeProgram)) skipBecause(this, 'build/native/dpvsd-native is not built');
  });
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `dpvsd-start-${process.pid}-`));
    place = { conf: join(folder, 'dpvs.conf'), ipc: join(folder, 'ipc'), pid: join(folder, 'pid') };
    writeFileSync(place.conf, confText());
  });
  afterEach(async () => {
    for (const child of started.splice(0)) {
      if (child.exitCode !== null || child.signalCode !== null) continue;
      child.kill('SIGKILL');
      await new Promise((resolve) => child.once('close', resolve));
    }
    rmSync(folder, { recursive: true, force: true });
  });

  interface Run {
    child: ChildProcess;
    output: () => string;
    ended: Promise<number | null>;
  }
  function start(...more: string[]): Run {
    const args = [program, '-c', place.conf, '-x', place.ipc, '-p', place.pid, ...more];
    const child = spawn(process.execPath, args, { stdio: ['ignore', 'pipe', 'pipe'] });
    started.push(child);
    let output = '';
    for (const stream of [child.stdout, child.stderr]) {
      stream.setEncoding('utf8').on('data', (text: string) => {
        output += text;
      });
    }
    const ended = new Promise<number | null>((resolve) => child.once('close', (code) => resolve(code)));
    return { child, output: () => output, ended };
  }
  const connect = () => DpvsdClient.connect({ path: place.ipc, client: 'test' });
  async function ready(run: Run): Promise<void> {
    await until('the control socket answers', async () => {
      if (run.child.exitCode !== null) throw new Error(`dpvsd ended: ${run.output()}`);
      return existsSync(place.ipc) && readFileSync(`/proc/${run.child.pid}/comm`, 'utf8').startsWith('dpvsd');
    });
    (await connect()).close();
  }

  it('keeps the process number, greets, and ends in order on SIGTERM', async () => {
    const run = start();
    await ready(run);
    const client = await connect();
    assert.equal(client.greeting.pid, run.child.pid);
    assert.deepEqual(client.greeting.ports, ['dpdk0']);
    assert.equal(client.greeting.workers, 1);
    client.close();
    assert.equal(readFileSync(place.pid, 'utf8').trim(), String(run.child.pid));
    assert.equal(readStarted(run.child.pid!)?.conf, place.conf);
    run.child.kill('SIGTERM');
    assert.equal(await run.ended, 0, run.output());
    assert.ok(!existsSync(place.ipc) && !existsSync(place.pid));
  });

  /** Nanoseconds that the first thread, which is the master, has had a CPU. */
  const masterTime = (pid: number): number =>
    Number(readFileSync(`/proc/${pid}/task/${pid}/schedstat`, 'utf8').split(' ')[0]);

  for (const policy of ['adaptive', 'poll']) {
    it(`idle policy ${policy}: the worker ${policy === 'poll' ? 'never sleeps' : 'sleeps'}, the master does`, async () => {
      writeFileSync(place.conf, confText().replace('kni off', `kni off\n  idle_policy ${policy}`));
      const run = start();
      await ready(run);
      const client = await connect();
      const worker = async () => {
        const row = (await client.list(Table.TABLE_WORKERS, 'lcore')).find(({ role }) => role !== 'master');
        assert.ok(row);
        return row;
      };
      await until('the worker to go round', async () => (await worker()).loops > 1000);
      if (policy === 'adaptive') await until('it to sleep', async () => (await worker()).sleeps > 100);
      else assert.equal((await worker()).sleeps, 0);
      const before = masterTime(run.child.pid!);
      await new Promise((resolve) => setTimeout(resolve, 1000));
      const busy = masterTime(run.child.pid!) - before;
      assert.ok(busy < 50e6, `the master of an idle dpvsd was busy for ${busy / 1e6} ms of a second`);
      client.close();
    });
  }

  it('takes over what may change on SIGHUP, and says what may not', async () => {
    const run = start('--', '--no-telemetry');
    await ready(run);
    writeFileSync(place.conf, `${confText('neigh_defs {\n timeout 33\n unres_queue_length 64\n}')}`);
    run.child.kill('SIGHUP');
    await until('the reload has told', () =>
      /needs a restart: neigh\.unres_queue: 128 -> 64/.test(run.output()),
    );
    assert.match(run.output(), /^changed: neigh\.timeout: 60 -> 33$/m);
    assert.equal(run.output().match(/needs a restart/g)?.length, 1);
    assert.ok(alive(run.child.pid!));
  });

  it('starts again after kill -9, and not beside a running one', async () => {
    const first = start();
    await ready(first);
    const second = start();
    assert.equal(await second.ended, 1);
    assert.match(second.output(), /runs already with pid file/);
    first.child.kill('SIGKILL');
    await first.ended;
    assert.ok(existsSync(place.ipc), 'a killed process leaves its socket');
    const third = start();
    await until('the third one answers', async () => {
      if (third.child.exitCode !== null) throw new Error(`dpvsd ended: ${third.output()}`);
      return await connect().then(
        (client) => {
          client.close();
          return client.greeting.pid === third.child.pid;
        },
        () => false,
      );
    });
  });

  it('goes into the background when told to, once it is ready', async () => {
    writeFileSync(place.conf, confText(`global_defs {\n daemon\n log_file ${join(folder, 'log')}\n}`));
    const run = start();
    assert.equal(await run.ended, 0, run.output());
    const pid = Number(readFileSync(place.pid, 'utf8'));
    try {
      const client = await connect();
      assert.equal(client.greeting.pid, pid);
      assert.notEqual(pid, run.child.pid);
      client.close();
    } finally {
      process.kill(pid, 'SIGTERM');
      await until('the daemon is gone', () => !existsSync(place.pid));
    }
    assert.notEqual(readFileSync(join(folder, 'log'), 'utf8'), '');
  });

  it('says that memory does not suffice, and starts nothing', async () => {
    const text = confText('global_defs {\n memory 128\n}').replace(
      'pktpool_size 4095',
      'pktpool_size 131071',
    );
    writeFileSync(place.conf, text);
    const run = start();
    assert.equal(await run.ended, 1);
    assert.match(
      run.output(),
      /^dpvsd: no memory for 131071 packets on node \d: .*: lower pktpool_size, or give more memory/m,
    );
    assert.ok(!existsSync(place.ipc) && !existsSync(place.pid));
  });

  it('leaves a file alone that is where its socket should be', async () => {
    writeFileSync(place.ipc, 'precious');
    const run = start();
    assert.equal(await run.ended, 1);
    assert.match(run.output(), /exists and is no socket: name another path \(-x\)/);
    assert.equal(readFileSync(place.ipc, 'utf8'), 'precious');
    rmSync(place.ipc);
  });

  it('starts where its pid file cannot be written, and says so', async () => {
    const pid = join(folder, 'folder');
    mkdirSync(pid);
    const run = start('-p', pid);
    await ready(run);
    assert.match(run.output(), /^dpvsd: pid file .*folder: Is a directory$/m);
    run.child.kill('SIGTERM');
    assert.equal(await run.ended, 0, run.output());
  });

  it('names the port that does not come up, and starts nothing', async () => {
    writeFileSync(place.conf, confText('', `net_af_packet0,iface=none${process.pid}`));
    const run = start();
    assert.notEqual(await run.ended, 0);
    assert.match(run.output(), /dpdk0/);
    assert.ok(!existsSync(place.ipc) && !existsSync(place.pid));
  });
});
