import { strict as assert } from 'node:assert';
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync } from 'node:fs';
import { Cluster, type ClusterDirector } from '../../../lab/cluster.js';
import { run, until } from '../../../lab/command.js';
import { bin } from '../../../lab/director.js';
import { whyNoLab } from '../../../lab/needs.js';
import { HTTP_PORT } from '../../../lab/ports.js';
import { removeStaleLabs } from '../../../lab/registry.js';
import { whyNoFrr } from '../../../lab/routing-daemon.js';
import { Traffic } from '../../../lab/traffic-plan.js';
import { skipBecause } from '../../runner/skip.js';
import { SlowDownload } from '../download.js';
import { assertAllAnswered, randomFile, standing } from '../support.js';

/** Programs that somebody starts again, by their path below dist/. */
const SUPERVISED = [
  'healthcheck/main.js',
  'vrrp/main.js',
  'vrrp/companion.js',
  'bfd/main.js',
  'ospf-bridge/main.js',
  'ospf-bridge/guard.js',
  'kni/main.js',
] as const;

describe('kill -9 of every TypeScript process under load: VRRP, BFD, OSPF, health checks, twins, one director', () => {
  let cluster: Cluster;
  let director: ClusterDirector;
  let traffic: Traffic;
  let download: SlowDownload;
  let initial: string;

  before(async function () {
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) skipBecause(this, reason);
    await removeStaleLabs();
    cluster = await Cluster.create({
      title: 'every process killed',
      dataplane: 'dpvsd',
      directors: 1,
      vrrp: true,
    });
    director = cluster.directors[0]!;
    await cluster.settled();
    await until('BFD and VRRP', () =>
      ['Entering Up state', 'Entering MASTER STATE'].every((each) => director.said.includes(each)),
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${director.said}`);
    });
    await until('the address', async () =>
      (await tool('dpip', 'addr', 'show')).includes(`${cluster.addresses[0]}/32`),
    );
    initial = await state();
    const { path } = await randomFile(cluster, 'long', 64 << 20);
    const page = `http://${cluster.addresses[0]}:${HTTP_PORT}`;
    traffic = new Traffic(cluster.client, {
      targets: [
        { kind: 'http', url: `${page}/` },
        { kind: 'http', url: `${page}/`, kept: true },
      ],
      perSecond: 100,
      seconds: 300,
      limit: 10_000,
    });
    download = new SlowDownload(cluster.client, cluster.record, `${page}/slow/long`, path);
  });
  after(async () => {
    await traffic?.stop();
    await download?.stop();
    await cluster?.close();
  });

  const tool = (name: 'dpip' | 'ipvsadm', ...args: string[]) =>
    run([bin(name), ...args], { env: { DPVS_IPC_FILE: director.ipc } });

  /** Services, addresses, routes of the dataplane, announcements in the kernel, and what the router makes of them. */
  async function state(): Promise<string> {
    const texts = await Promise.all([
      director.host.run(['ip', 'route', 'show', 'proto', '201']),
      run(['ip', '-n', cluster.router.namespace, 'route', 'show', `${cluster.addresses[0]}/32`]),
    ]);
    return [...(await standing(director.ipc)), ...texts].join('\n');
  }

  /** Nothing is lost, all is as before, and requests go on. */
  async function unharmed(): Promise<void> {
    let now = '';
    await until('the same state as before', async () => {
      now = await state();
      return now === initial;
    }).catch((error: Error) => {
      throw new Error(`${error.message}: before\n${initial}\nnow\n${now}\n${director.said.slice(-6000)}`);
    });
    const answered = traffic.total.requests;
    await until('further requests', () => traffic.total.requests > answered + 50);
    assertAllAnswered(traffic.total);
    await download.goesOn();
  }

  it('supervised ones are started again, and no request fails', async () => {
    await unharmed();
    for (const name of SUPERVISED) {
      const pid = (await director.programs()).get(name);
      assert.ok(pid !== undefined, `${name} does not run`);
      process.kill(pid, 'SIGKILL');
      await until(`another ${name}`, async () => {
        const next = (await director.programs()).get(name);
        return next !== undefined && next !== pid;
      });
      await unharmed().catch((error: Error) => {
        throw new Error(`${name}: ${error.message}`);
      });
    }
  });

  it('the front door: VRRP and BFD go on until the next one’s take their places', async () => {
    const pids = await director.programs();
    const door = director.keepalived!;
    door.kill('SIGKILL');
    await until('the end of the front door', () => !existsSync(`/proc/${door.pid}`));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const alone = await director.programs();
    for (const name of ['vrrp/main.js', 'bfd/main.js'])
      assert.equal(alone.get(name), pids.get(name), `${name} did not go on alone`);
    director.startKeepalived();
    await until('another VRRP process', () => director.said.includes('Entering MASTER STATE'));
    await unharmed();
    const next = await director.programs();
    for (const name of SUPERVISED.slice(0, 5)) {
      assert.ok(next.has(name), `${name} does not run`);
      assert.notEqual(next.get(name), pids.get(name), `${name} was not replaced`);
    }
    assert.match(director.said, /takes the place of pid/);
  });

  it('ipvsadm and dpip in the midst of a batch', async () => {
    const lines = Array.from(
      { length: 20_000 },
      (_, index) => `-A -t 10.9.${index >> 8}.${index & 255}:80 -s rr\n`,
    );
    const killedAfter = async (child: ChildProcess, milliseconds: number) => {
      const ended = once(child, 'exit');
      await new Promise((resolve) => setTimeout(resolve, milliseconds));
      child.kill('SIGKILL');
      await ended;
    };
    const env = { ...process.env, DPVS_IPC_FILE: director.ipc };
    for (const delay of [150, 400, 700, 1000]) {
      const restore = spawn(bin('ipvsadm'), ['-R'], { env, stdio: ['pipe', 'ignore', 'ignore'] });
      restore.stdin?.on('error', () => {});
      restore.stdin?.end(lines.join(''));
      const batch = spawn(bin('dpip'), ['-s', '-i', '1', 'link', 'show'], { env, stdio: 'ignore' });
      await Promise.all([killedAfter(restore, delay), killedAfter(batch, delay)]);
    }
    // Whole batches may have come through: the operator's services, which nobody but an operator takes away.
    const left = (await tool('ipvsadm', '-Sn')).split('\n').filter((line) => line.startsWith('-A -t 10.9.'));
    assert.ok([0, 10_000, 20_000].includes(left.length), `${left.length} services of an unfinished batch`);
    if (left.length > 0)
      await run([bin('ipvsadm'), '-R'], {
        env: { DPVS_IPC_FILE: director.ipc },
        input: left.map((line) => `${line.replace('-A', '-D').replace(/ -s .*/, '')}\n`).join(''),
      });
    await unharmed();
  });

  it('over the whole time no request failed, one connection lasted, and a download went on byte for byte', async () => {
    await download.goesOn();
    await traffic.stop();
    assertAllAnswered(traffic.total, 500);
    for (const { requests } of traffic.tallies) assert.ok(requests > 200);
  });
});
