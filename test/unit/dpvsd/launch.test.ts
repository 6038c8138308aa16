import assert from 'node:assert/strict';
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import { readStarted } from '../../../dpvsd/started.js';

const module = new URL('../../../dpvsd/launch.js', import.meta.url).href;

/** Becomes a shell in place of the native process; it tells what it has inherited. */
function becomeShell(
  script: string,
  settings: string,
  input = '',
): { stdout: string; stderr: string; status: number | null; pid: number } {
  const program = `
    const { become } = await import(${JSON.stringify(module)});
    process.stdout.write('node ' + process.pid + '\\n');
    await become('/bin/sh', ['-c', ${JSON.stringify(script)}], ${JSON.stringify(settings)}, { conf: '/c', eal: ['-v'], settings: [{ name: 'a', value: 'b' }], allowed: [0] });
  `;
  const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    input,
    encoding: 'utf8',
    timeout: 20000,
  });
  return { stdout: done.stdout, stderr: done.stderr, status: done.status, pid: done.pid };
}

describe('becoming the native process', function () {
  // A new node with koffi takes its time on a busy machine.
  this.timeout(60_000);

  it('keeps the process number, its arguments, its standard descriptors and the settings', () => {
    const settings = `ipc /run/ä.ipc\n${'worker 0 lcore 1\n'.repeat(5000)}`;
    const { stdout, stderr, status, pid } = becomeShell(
      'echo "shell $$ $0 $1"; read -r line; echo "said $line"; echo trouble >&2; wc -c < /proc/$$/fd/$2; head -n 1 /proc/$$/fd/$2; grep pos: /proc/$$/fdinfo/$2; exit 7',
      settings,
      'hello\n',
    );
    const lines = stdout.trimEnd().split('\n');
    assert.deepEqual(lines, [
      `node ${pid}`,
      `shell ${pid} -- --conf-fd`,
      'said hello',
      String(Buffer.byteLength(settings)),
      'ipc /run/ä.ipc',
      'pos:\t0',
    ]);
    assert.equal(stderr, 'trouble\n');
    assert.equal(status, 7);
  });

  it('leaves no thread of Node, no ignored signal and no descriptor but the settings and the note', () => {
    const descriptors = 'for f in /proc/$$/fd/*; do echo "fd $(basename "$f") -> $(readlink "$f")"; done';
    const { stdout, pid } = becomeShell(
      `ls /proc/$$/task; grep SigIgn /proc/$$/status; ${descriptors}; echo "conf $2"`,
      'a b\n',
    );
    const lines = stdout.trimEnd().split('\n').slice(1);
    assert.equal(lines.filter((line) => /^\d+$/.test(line)).join(), String(pid));
    assert.ok(lines.includes('SigIgn:\t0000000000000000'), stdout);
    // Whoever runs the tests may have left descriptors open to all of them.
    const plain = spawnSync('/bin/sh', ['-c', descriptors], { encoding: 'utf8' })
      .stdout.trimEnd()
      .split('\n')
      .map((line) => line.split(' ->')[0]);
    const own = lines.filter((line) => line.startsWith('fd ') && !plain.includes(line.split(' ->')[0] ?? ''));
    const conf = lines.find((line) => line.startsWith('conf '))?.slice('conf '.length);
    assert.equal(own.length, 2);
    assert.ok(own.includes(`fd ${conf} -> /memfd:dpvsd-settings (deleted)`), own.join());
    assert.ok(own.some((line) => line.endsWith(' -> /memfd:dpvsd-started (deleted)')));
  });

  it('leaves a note of what it was started with, for as long as the process runs', async () => {
    const program = `
      const { become } = await import(${JSON.stringify(module)});
      const started = { conf: '/etc/ä.conf', eal: ['-m', '5'], settings: [{ name: 'a', value: 'b c' }], allowed: [0, 1] };
      await become('/bin/sh', ['-c', 'echo ready; read -r line'], '', started);
    `;
    const child = spawn(process.execPath, ['--input-type=module', '-e', program]);
    try {
      await once(child.stdout, 'data');
      assert.deepEqual(readStarted(child.pid!), {
        conf: '/etc/ä.conf',
        eal: ['-m', '5'],
        settings: [{ name: 'a', value: 'b c' }],
        allowed: [0, 1],
      });
    } finally {
      child.stdin.end('\n');
      await once(child, 'close');
    }
    assert.equal(readStarted(child.pid!), undefined);
  });

  it('says why it cannot', () => {
    const program = `
      const { become } = await import(${JSON.stringify(module)});
      await become('/nonexistent', [], '', { conf: '/c', eal: [], settings: [], allowed: [] }).catch((error) => console.log(error.message));
    `;
    const done = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
      encoding: 'utf8',
      timeout: 20000,
    });
    assert.match(done.stdout, /ENOENT/);
  });
});
