import { strict as assert } from 'node:assert';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { attempt, Running, run, until } from '../../lab/command.js';
import { Host } from '../../lab/host.js';
import { whyNoLab } from '../../lab/needs.js';
import { endpoint, families, planOf } from '../../lab/plan.js';
import { HTTP_PORT, UDP_PORT } from '../../lab/ports.js';
import { listLabs } from '../../lab/registry.js';
import { addressHex } from '../../lab/show.js';
import { Statistics } from '../../lab/statistics.js';
import { type Target, Traffic } from '../../lab/traffic-plan.js';
import { skipBecause } from '../runner/skip.js';

const program = [process.execPath, fileURLToPath(new URL('../../lab/main.js', import.meta.url))];

describe('npm start', () => {
  before(async function () {
    const reason = await whyNoLab();
    if (reason) skipBecause(this, reason);
  });

  it('--once sends traffic for ten seconds, prints what each server answered, and exits 0', async () => {
    const done = await attempt([...program, '--once', '--workers', '2'], { limit: 100_000 });
    assert.equal(done.code, 0, done.stdout + done.stderr);
    assert.match(done.stdout, /^rs3 +up +[1-9]\d* +[1-9]\d* +0 /m);
    assert.match(done.stdout, /^ok: 500 requests, none failed, all 3 servers answered$/m);
  });

  for (const signal of ['SIGINT', 'SIGTERM'] as const)
    it(`runs until ${signal}, with hosts to use from outside, and removes everything`, async () => {
      const lab = new Running(program);
      try {
        await until('the table', () => {
          assert.equal(lab.ended, undefined, lab.output);
          return /^rs1 +up +[1-9]/m.test(lab.output);
        });
        const inside = (...command: string[]) =>
          run([...program, 'exec', '-l', String(lab.pid), ...command], { limit: 20_000 });
        assert.match(await run([...program, 'list']), new RegExp(`^${lab.pid}: npm start`, 'm'));
        assert.match(await inside('client', 'curl', '-sS', 'http://192.168.100.254/'), /^rs\d$/m);
        const ipvsadm = fileURLToPath(new URL('../../../bin/ipvsadm', import.meta.url));
        assert.match(await inside('director', ipvsadm, '-ln'), /192\.168\.200\.11:80 +FullNat/);

        lab.kill(signal);
        await until('its end', () => lab.ended !== undefined);
        assert.match(lab.ended!, /^exit /);
        assert.deepEqual(
          readdirSync('/run/netns').filter((name) => name.startsWith(`dvh-${lab.pid}-`)),
          [],
        );
        assert.equal(
          listLabs().some(({ id }) => id === String(lab.pid)),
          false,
        );
        assert.equal(existsSync(`/proc/${lab.pid}`), false);
      } finally {
        await lab.stop(20_000);
      }
    });

  it('a stopped server leaves within a check period and returns; no request through the others fails', async () => {
    const lab = new Running([...program, '--rate', '1']);
    let statistics: Statistics | undefined;
    let traffic: Traffic | undefined;
    try {
      await until('the table', () => {
        assert.equal(lab.ended, undefined, lab.output);
        return /^rs1 +up/m.test(lab.output);
      });
      const order = (...words: string[]) => run([...program, ...words], { limit: 20_000 });
      const record = listLabs().find(({ id }) => id === String(lab.pid));
      assert.ok(record);
      const plan = planOf(2, 3);
      const counted = new Statistics(record.ipc);
      statistics = counted;
      const hex = families.map((family) => addressHex(plan.servers[2]![family]));
      /** Virtual servers that have rs3. */
      const within = async () =>
        (await counted.read()).servers.filter(({ address, weight }) => weight > 0 && hex.includes(address))
          .length;
      assert.equal(await within(), 4);

      traffic = new Traffic(new Host('client', record.namespaces.client as string), {
        targets: families.flatMap((family): Target[] => [
          { kind: 'http', url: `http://${endpoint(plan.virtual[family], HTTP_PORT)}/` },
          { kind: 'udp', address: plan.virtual[family], port: UDP_PORT },
        ]),
        perSecond: 60,
        seconds: 120,
        limit: 10_000,
      });
      const { total } = traffic;
      await until('answers of rs3', () => (total.byServer.get('rs3') ?? 0) > 20);
      const stopping = Date.now();
      await order('stop', '-l', record.id, 'rs3');
      const stopped = Date.now();
      await until('rs3 out', async () => (await within()) === 0);
      const out = Date.now();
      // A period of a second, its variation, and the pauses of a busy machine.
      assert.ok(out - stopped < 5000, `${out - stopped} ms`);
      await until('rs3 shown as down', () => /^rs3 +down/m.test(lab.output));
      const before = total.requests;
      await until('further requests', () => total.requests > before + 60);

      await order('start', '-l', record.id, 'rs3');
      const started = Date.now();
      await until('rs3 in', async () => (await within()) === 4);
      assert.ok(Date.now() - started < 5000, `${Date.now() - started} ms`);
      const answers = total.byServer.get('rs3') ?? 0;
      await until('answers of rs3 again', () => (total.byServer.get('rs3') ?? 0) > answers + 20);
      await traffic.stop();
      assert.deepEqual(
        total.failed.filter((began) => began < stopping - 1000 || began > out),
        [],
        JSON.stringify([...total.errors]),
      );
      assert.match(
        (await attempt([...program, 'stop', '-l', record.id, 'rs7'])).stderr,
        /no server 'rs7'.*rs1 rs2 rs3/,
      );
    } finally {
      statistics?.close();
      await traffic?.stop().catch(() => {});
      lab.kill('SIGINT');
      await lab.stop(20_000);
    }
  });

  it('says what is wrong with its arguments', async () => {
    const done = await attempt([...program, '--workers', 'many']);
    assert.equal(done.code, 2);
    assert.match(done.stderr, /--workers wants a number from 1 to 8, not 'many'/);
  });
});
