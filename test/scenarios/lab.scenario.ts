import { strict as assert } from 'node:assert';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { run } from '../../lab/command.js';
import { Lab } from '../../lab/lab.js';
import { whyNoLab } from '../../lab/needs.js';
import { endpoint, families } from '../../lab/plan.js';
import { UDP_PORT, UPLOAD_PORT } from '../../lab/ports.js';
import { listLabs, register, removeLab, removeStaleLabs } from '../../lab/registry.js';
import { failures, Traffic } from '../../lab/traffic-plan.js';
import { skipBecause } from '../runner/skip.js';

// What the other scenarios stand on: the hosts around the director, with no director at work.
describe('the lab without a director', () => {
  let lab: Lab;
  before(async function () {
    const reason = await whyNoLab(['ping', 'traceroute']);
    if (reason) skipBecause(this, reason);
    lab = await Lab.create({ title: 'hosts only', mode: 'dr', far: true, pathMtu: 1400 });
  });
  after(async () => {
    await lab?.close();
  });

  it('reaches each server through the router, in both families', async () => {
    for (const family of families) {
      for (const server of lab.servers) {
        const page = await lab.client.run(['curl', '-sS', `http://${endpoint(server.address[family], 80)}/`]);
        assert.equal(page, `${server.name}\n`);
      }
    }
    assert.deepEqual(
      lab.servers.map((server) => server.served()),
      lab.servers.map(() => ({ requests: 2, errors: 0 })),
    );
  });

  it('carries UDP and uploads', async () => {
    const [first, second] = lab.servers;
    const targets = families.map((family) => ({
      kind: 'udp' as const,
      address: first!.address[family],
      port: UDP_PORT,
    }));
    const traffic = new Traffic(lab.client, { targets, perSecond: 100, seconds: 0.2, limit: 5000 });
    await traffic.finish();
    assert.equal(failures(traffic.total), 0, JSON.stringify([...traffic.total.errors]));
    assert.deepEqual([...traffic.total.byServer], [['rs1', traffic.total.requests]]);

    const url = `http://${endpoint(second!.address.v6, UPLOAD_PORT)}/`;
    const answer = await lab.client.run(['curl', '-sS', '--data-binary', 'hello', url]);
    assert.equal(answer, '2cf24dba5fb0a30e26e83b2ac5b9e29e1b161e5c1fa7425e73043362938b9824\n');
  });

  it('has a path with a smaller MTU that answers large packets as routers do', async () => {
    for (const family of families) {
      const large = ['ping', '-c', '1', '-W', '5', '-M', 'do', '-s', '1440', lab.plan.far[family]];
      const told = await lab.client.attempt(large);
      assert.match(told.stdout + told.stderr, /mtu ?= ?1400/);
    }
  });

  it('leaves nothing answering on the director', async () => {
    const { code } = await lab.client.attempt(['ping', '-c', '1', '-W', '1', lab.plan.outerDirector.v4]);
    assert.equal(code, 1);
  });
});

describe('the lab, removed', () => {
  before(async function () {
    const reason = await whyNoLab();
    if (reason) skipBecause(this, reason);
  });

  const left = (id: string) => ({
    namespaces: readdirSync('/run/netns').filter((name) => name.startsWith(`dvh-${id}-`)),
    labs: listLabs().filter((lab) => lab.id === id).length,
  });

  it('leaves neither namespaces nor files nor processes', async () => {
    const lab = await Lab.create({ title: 'comes and goes', servers: 1 });
    const { id, folder } = lab.record;
    await lab.close();
    assert.deepEqual(left(id), { namespaces: [], labs: 0 });
    assert.equal(existsSync(folder), false);
  });

  it('leaves no process that was just on its way into a namespace, or about to become a daemon', async () => {
    const record = register('something starts at the last moment', ['one']);
    const name = record.namespaces.one as string;
    await run(['ip', 'netns', 'add', name]);
    // As `ip netns exec` does it, slowly: the namespace is open, and will be entered when its name is gone.
    const enters = 'exec 9< /run/netns/$0; echo open; sleep 1; exec nsenter --net=/proc/self/fd/9 sleep 300';
    const late = spawn('sh', ['-c', enters, name], { stdio: ['ignore', 'pipe', 'inherit'] });
    const forks = 'for n in 1 2 3 4 5 6 7 8; do (sh -c "sleep 0.0$n; sleep 300 & echo \\$!" &); done';
    const daemons = spawn('ip', ['netns', 'exec', name, 'sh', '-c', forks], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    const ends = Promise.all([late, daemons].map((child) => once(child, 'close')));
    try {
      await Promise.all([late, daemons].map((child) => once(child.stdout, 'data')));
      await removeLab(record);
      // Their output is closed when the last of them has ended.
      await Promise.race([
        ends,
        new Promise((_, reject) => setTimeout(() => reject(new Error('some are left')), 10_000).unref()),
      ]);
    } finally {
      late.kill('SIGKILL');
      daemons.kill('SIGKILL');
    }
  });

  it('is removed by the next start when its owner was killed', async () => {
    const program = fileURLToPath(new URL('./lab-owner.js', import.meta.url));
    const owner = spawn(process.execPath, [program], { stdio: ['ignore', 'pipe', 'inherit'] });
    try {
      const id = String(owner.pid);
      const [said] = await Promise.race([once(owner.stdout, 'data'), once(owner, 'exit')]);
      assert.equal(String(said), 'built\n');
      owner.kill('SIGKILL');
      await new Promise((resolve) => owner.once('exit', resolve));
      assert.notEqual(left(id).namespaces.length, 0);
      assert.ok((await removeStaleLabs()).includes(id));
      assert.deepEqual(left(id), { namespaces: [], labs: 0 });
    } finally {
      owner.kill('SIGKILL');
    }
  });
});
