import { strict as assert } from 'node:assert';
import { mkdtempSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { listLabs, processStartTime, register, removeLab } from '../../../lab/registry.js';

describe('register of labs', () => {
  const before = process.env.DPVS_HA_LAB_DIR;
  let folder: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'dpvs-ha-labs-'));
    process.env.DPVS_HA_LAB_DIR = folder;
  });
  afterEach(() => {
    if (before === undefined) delete process.env.DPVS_HA_LAB_DIR;
    else process.env.DPVS_HA_LAB_DIR = before;
    rmSync(folder, { recursive: true, force: true });
  });

  it('lists a lab of this process as alive, in a folder for its owner alone', async () => {
    const record = register('a test', ['client', 'rs1']);
    assert.deepEqual(listLabs(), [{ ...record, alive: true }]);
    assert.equal(record.namespaces.rs1, `dvh-${record.id}-rs1`);
    assert.equal(statSync(record.folder).mode & 0o777, 0o700);
    await removeLab(record);
    assert.deepEqual(listLabs(), []);
  });

  it('knows a dead owner even when another process has its pid by now', async () => {
    const record = register('a test', ['client']);
    const file = join(record.folder, 'lab.json');
    const text = readFileSync(file, 'utf8').replace(`"startTime": "${record.startTime}"`, '"startTime": "1"');
    writeFileSync(file, text);
    assert.deepEqual(
      listLabs().map(({ alive }) => alive),
      [false],
    );
  });

  it('gives each lab of a process a name of its own', () => {
    const ids = [register('one', []).id, register('two', []).id];
    assert.equal(new Set(ids).size, 2);
  });

  it('tells the start time of a process, and none for a pid that is free', () => {
    assert.match(String(processStartTime(process.pid)), /^\d+$/);
    assert.equal(processStartTime(2 ** 22 + 1), undefined);
  });
});
