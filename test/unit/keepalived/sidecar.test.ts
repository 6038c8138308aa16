import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ChildProcess, fork, spawn } from 'node:child_process';
import { once } from 'node:events';
import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { predecessor, replace } from '../../../keepalived/predecessor.js';
import type { Report } from '../../../keepalived/sidecar.js';
import { whyNoLab } from '../../../lab/needs.js';
import { skipBecause } from '../../runner/skip.js';

const program = fileURLToPath(new URL('./lonely-sidecar.js', import.meta.url));

/** Starts what looks like the sidecar ARGV[1], and says its pid. */
const parent = `
const { spawn } = require('node:child_process');
const child = spawn(process.execPath, ['-e', 'setTimeout(() => {}, 60_000)', process.argv[1]], { stdio: 'ignore' });
console.log(child.pid);
`;

const firstLine = async (child: ChildProcess) => String((await once(child.stdout!, 'data'))[0]).trim();

describe('a sidecar without its front door', () => {
  let folder: string;
  let file: string;
  let child: ChildProcess;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), `sidecar-${process.pid}-`));
    file = join(folder, 'told');
    writeFileSync(file, '');
  });
  afterEach(() => {
    child.kill('SIGKILL');
    rmSync(folder, { recursive: true, force: true });
  });
  const told = () => readFileSync(file, 'utf8').split('\n').filter(Boolean);

  /** A sidecar that has its model. */
  async function started(alone: string): Promise<ChildProcess> {
    child = fork(program, [alone, file], { serialization: 'advanced', stdio: ['ignore', 1, 2, 'ipc'] });
    await once(child, 'message');
    child.send({ type: 'model', generation: 1, part: 'one', reload: false });
    const [report] = (await once(child, 'message')) as [Report];
    equal(report.type, 'applied');
    return child;
  }

  it('ends at once', async () => {
    const sidecar = await started('');
    sidecar.disconnect();
    deepEqual(await once(sidecar, 'exit'), [0, null]);
    deepEqual(told(), ['model one', 'orphaned']);
  });

  it('or goes on for the time that it is given, then ends in order', async () => {
    const sidecar = await started('700');
    const left = performance.now();
    sidecar.disconnect();
    deepEqual(await once(sidecar, 'exit'), [0, null]);
    ok(performance.now() - left > 690);
    deepEqual(told(), [
      'model one',
      'the front door is gone: going on for 0.7 seconds unless it returns',
      'orphaned',
    ]);
  });

  it('ends in order when it is told to meanwhile', async () => {
    const sidecar = await started('60000');
    sidecar.disconnect();
    while (told().length < 2) await new Promise((resolve) => setTimeout(resolve, 5));
    sidecar.kill('SIGTERM');
    deepEqual(await once(sidecar, 'exit'), [0, null]);
    equal(told().at(-1), 'stop');
  });

  it('is found by its pid file, and replaced without a chance to clean up', async () => {
    const sidecar = await started('60000');
    const path = join(folder, 'v.pid');
    writeFileSync(path, `${sidecar.pid}\n`);
    equal(predecessor(path, program), sidecar.pid);
    // The same number, another program.
    equal(predecessor(path, '/opt/dpvs-ha/dist/vrrp/main.js'), undefined);
    sidecar.disconnect();
    const gone = once(sidecar, 'exit');
    await replace(sidecar.pid!);
    deepEqual(await gone, [null, 'SIGKILL']);
    ok(!told().includes('orphaned') && !told().includes('stop'));
    equal(predecessor(path, program), undefined);
    equal(predecessor(join(folder, 'none.pid'), program), undefined);
  });

  it('is none of ours while it has a front door of its own, whose pid file is the same by mistake', async () => {
    const path = join(folder, 'v.pid');
    child = spawn(process.execPath, ['-e', parent, program, '/usr/sbin/keepalived']);
    const pid = Number(await firstLine(child));
    writeFileSync(path, `${pid}\n`);
    equal(predecessor(path, program), undefined);
    const gone = once(child, 'exit');
    child.kill('SIGKILL');
    await gone;
    equal(predecessor(path, program), pid);
    await replace(pid);
  });

  it('is none of ours in another network namespace', async function () {
    const reason = await whyNoLab();
    if (reason) skipBecause(this, reason);
    const path = join(folder, 'v.pid');
    child = spawn('unshare', ['-n', process.execPath, '-e', parent, program, 'orphan']);
    const pid = Number(await firstLine(child));
    writeFileSync(path, `${pid}\n`);
    equal(predecessor(path, program), undefined);
    await replace(pid);
  });

  it('is not mistaken for a process that has its pid by now', async () => {
    child = spawn('sleep', ['60']);
    const path = join(folder, 'v.pid');
    writeFileSync(path, `${child.pid}\n`);
    equal(predecessor(path, program), undefined);
  });
});
