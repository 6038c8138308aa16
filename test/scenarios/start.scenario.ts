import { strict as assert } from 'node:assert';
import { existsSync, readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { attempt, Running, run, until } from '../../lab/command.js';
import { whyNoLab } from '../../lab/needs.js';
import { listLabs } from '../../lab/registry.js';
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

  it('says what is wrong with its arguments', async () => {
    const done = await attempt([...program, '--workers', 'many']);
    assert.equal(done.code, 2);
    assert.match(done.stderr, /--workers wants a number from 1 to 8, not 'many'/);
  });
});
