import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { ConnectionRow, Protocol } from '../../../dpvsd/generated/control.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import type { Outcome } from './harness.js';

const bin = fileURLToPath(new URL('../../../../bin', import.meta.url));

function start(program: string, args: string[], ipc: string) {
  const environment = { ...process.env, DPVS_IPC_FILE: ipc };
  return spawn(join(bin, program), args, {
    cwd: tmpdir(),
    env: environment,
    stdio: ['pipe', 'pipe', 'pipe'],
  });
}

/** Runs a launcher of bin/ as a shell would, from another folder. */
async function run(program: string, args: string[], ipc: string, stdin = ''): Promise<Outcome> {
  const child = start(program, args, ipc);
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  child.stdin.end(stdin);
  const [code] = await once(child, 'close');
  return { code, stdout, stderr };
}

describe('programs in bin', () => {
  let one: FakeDpvsd;
  let two: FakeDpvsd;
  beforeEach(async () => {
    one = await FakeDpvsd.start();
    two = await FakeDpvsd.start();
  });
  afterEach(async () => {
    await one.stop();
    await two.stop();
  });

  it('find the instance that DPVS_IPC_FILE names, and exit as they should', async () => {
    assert.equal((await run('ipvsadm', ['-A', '-t', '10.0.0.1:80'], one.path)).code, 0);
    assert.equal((await run('dpip', ['addr', 'add', '10.0.0.1/32', 'dev', 'dpdk0'], two.path)).code, 0);
    assert.deepEqual([one.tables.services.size, two.tables.services.size], [1, 0]);
    assert.deepEqual([one.tables.addresses.size, two.tables.addresses.size], [0, 1]);
    assert.equal((await run('ipvsadm', ['-A', '-t', '10.0.0.1:80'], one.path)).code, 1);
    assert.equal((await run('ipvsadm', ['-A'], one.path)).code, 2);
    assert.equal((await run('ipvsadm', ['-Ln'], `${one.path}.none`)).code, 2);
    assert.equal((await run('dpip', ['bogus', 'show'], one.path)).code, 1);
    assert.equal((await run('dpip', [], one.path)).code, 0);
  });

  it('save and restore under the names that scripts call', async () => {
    const rules = '-A -t 10.0.0.1:80 -s rr\n-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 1\n';
    assert.equal((await run('ipvsadm-restore', [], one.path, rules)).code, 0);
    assert.deepEqual(await run('ipvsadm-save', ['-n'], one.path), { code: 0, stdout: rules, stderr: '' });
    assert.equal((await run('ipvsadm-save', ['-t', '10.0.0.1:80'], one.path)).code, 2);
  });

  it('pass what one saves to another that restores it', async () => {
    const lines = '-A -t 10.0.0.1:80 -s rr\n-P -t 10.0.0.1:80 -z 10.8.0.1 -F dpdk1\n';
    assert.deepEqual(await run('ipvsadm', ['-R'], one.path, lines), { code: 0, stdout: '', stderr: '' });
    const saved = await run('ipvsadm', ['-Sn'], one.path);
    assert.equal(saved.stdout, lines);
    assert.equal((await run('ipvsadm', ['-R'], two.path, saved.stdout)).code, 0);
    assert.equal((await run('ipvsadm', ['-S'], two.path)).stdout, lines);
  });

  it('write long tables whole, and stop when nobody reads', async () => {
    one.tables.connections = Array.from({ length: 30_000 }, (_, n) =>
      ConnectionRow.fromPartial({
        protocol: Protocol.PROTOCOL_UDP,
        client: Uint8Array.of(10, 0, n >> 8, n & 255),
        virtual: Uint8Array.of(10, 1, 0, 1),
        local: Uint8Array.of(10, 2, 0, 1),
        server: Uint8Array.of(10, 3, 0, 1),
        state: 'UDP',
      }),
    );
    const whole = await run('ipvsadm', ['-lnc'], one.path);
    assert.equal(whole.stdout.trimEnd().split('\n').length, 30_000);
    assert.equal(JSON.parse((await run('ipvsadm', ['-lnc', '--json'], one.path)).stdout).length, 30_000);
    const child = start('ipvsadm', ['-lnc'], one.path);
    child.stdout.once('data', () => child.stdout.destroy());
    const [code] = await once(child, 'exit');
    assert.equal(code, 141);
  });

  it('end repeated statistics in good order at an interrupt', async () => {
    const child = start('dpip', ['-s', '-i', '30', 'link', 'show', 'dpdk0'], one.path);
    await once(child.stdout, 'data');
    // The first lines are written just before it waits.
    const again = setInterval(() => child.kill('SIGINT'), 200);
    const [code, signal] = await once(child, 'exit');
    clearInterval(again);
    assert.deepEqual([code, signal], [0, null]);
  });
});
