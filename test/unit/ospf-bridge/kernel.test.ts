import { deepEqual } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { skipBecause } from '../../runner/skip.js';

/** In a network namespace of its own, by a program of its own. */
describe('announcements in a kernel that others use too', () => {
  const name = `ob-${process.pid}`;
  before(function () {
    const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
    if (made.status !== 0)
      skipBecause(this, `no network namespaces here (${made.error?.message ?? made.stderr.trim()})`);
  });
  after(() => {
    spawnSync('ip', ['netns', 'del', name]);
  });

  it('what is ours is found again and taken away, what is not is left alone and said', () => {
    const program = join(fileURLToPath(import.meta.url), '..', 'kernel-program.js');
    const output = execFileSync('ip', ['netns', 'exec', name, process.execPath, program], {
      encoding: 'utf8',
    });
    deepEqual(JSON.parse(output), {
      nothing: [],
      refused: {
        '10.9.0.1': "the kernel has another route to it, which is not ours: 'ip route show' tells whose",
      },
      present: ['10.9.0.3 announced', '10.9.0.4 drained', 'fd09::3 announced'],
      again: {},
      drained: ['10.9.0.3 drained', '10.9.0.4 drained', 'fd09::3 drained'],
      replaced: {},
      still: '10.9.0.4 via 10.1.0.2 dev v0 proto 201',
      cleared: 2,
      untouched: true,
      taken: {
        '10.9.0.5':
          "it is an address of this machine already, which is not ours: 'ip address show' tells where",
      },
      within: ['10.9.0.6 drained', 'fd09::6 announced'],
      guarded: 2,
      left: [],
      own: true,
      bird: ['10.9.0.7 announced', 'fd09::7 announced'],
      birdDrained: ['10.9.0.7 drained', 'fd09::7 drained'],
      birdRoutes: true,
      birdBack: ['10.9.0.7 announced'],
      birdLeft: [],
      overrun: 'ENOBUFS',
      afterwards: 'done',
    });
  });
});
