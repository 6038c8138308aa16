import { strict as assert } from 'node:assert';
import { existsSync } from 'node:fs';
import { families } from '../../lab/plan.js';
import { addServices, fetchPages, names, onLab } from './support.js';

onLab({ title: 'dpvsd ends and starts again', workers: 2 }, (stage) => {
  const serves = async () => {
    for (const family of families)
      assert.deepEqual(names(await fetchPages(stage.lab, family, 6)), ['rs1', 'rs2', 'rs3']);
  };
  const again = async () => {
    await stage.lab.startDirector();
    await addServices(stage.lab);
    await serves();
  };

  stage.it('kill -9 leaves nothing that blocks the next start', async () => {
    await serves();
    for (let round = 0; round < 2; round++) {
      await stage.lab.director.kill();
      await again();
    }
  });

  stage.it('an orderly end leaves neither socket nor pid file', async () => {
    const { director, record } = stage.lab;
    await director.stop();
    assert.equal(director.ended, 'exit 0');
    assert.deepEqual([existsSync(record.ipc), existsSync(director.pidFile)], [false, false]);
    await again();
  });
});
