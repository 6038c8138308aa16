import { spawnSync } from 'node:child_process';
import { existsSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { inside, makeDebian, store } from './debian.js';
import { Impossible, root } from './impossible.js';
import { runSteps, type Step } from './steps.js';

/** Puts the project's files, those that git knows or would, into /src; what was built there before stays. */
function copyProject(folder: string): void {
  const source = join(folder, 'src');
  mkdirSync(join(source, 'node_modules'), { recursive: true });
  const listed = spawnSync('git', ['ls-files', '-z', '--cached', '--others', '--exclude-standard'], {
    cwd: root,
    maxBuffer: 64 << 20,
  });
  if (listed.status !== 0)
    throw new Impossible('this is no git work tree: cannot tell which files are the project');
  const names = listed.stdout
    .toString()
    .split('\0')
    .filter((name) => name !== '' && existsSync(join(root, name)));
  const list = join(store('debian13'), 'files');
  // What the project has no more would still be compiled.
  const before = existsSync(list) ? readFileSync(list, 'utf8').split('\0') : [];
  const now = new Set(names);
  for (const name of before) if (!now.has(name)) rmSync(join(source, name), { force: true });
  writeFileSync(list, names.join('\0'));
  // With their times: make and tsc build what changed.
  const copied = spawnSync('sh', ['-c', 'tar --null -T "$0" -cf - | tar -C "$1" -xf -', list, source], {
    cwd: root,
  });
  if (copied.status !== 0) throw new Error(`the project was not copied: ${copied.stderr}`);
}

/**
 * Builds and tests the project on Debian 13 (DPDK 24.11, gcc 14), in a folder of its own below build/.
 * @param parts arguments of `npm test`; none: everything that is built, C tests, fixtures, and the scenarios of modes and twins
 * @returns whether all of it passed
 * @throws {Impossible} when it cannot be done on this machine
 */
export async function debian13(parts: readonly string[]): Promise<boolean> {
  const folder = await makeDebian('debian13', 'trixie', ['nodejs', 'ca-certificates']);
  copyProject(folder);
  const bootstrap = ['node', 'setup/bootstrap.mjs'];
  const version = 'gcc --version | head -1; pkg-config --modversion libdpdk libprotobuf-c; node --version';
  const steps: Step[] = [
    ['packages and build', [...bootstrap, 'build']],
    ['versions', ['sh', '-c', version]],
    ...(parts.length > 0
      ? [[`npm test -- ${parts.join(' ')}`, [...bootstrap, 'test', ...parts]] satisfies Step]
      : ([
          ['C tests and fixtures', [...bootstrap, 'test', 'native']],
          [
            'all native programs',
            ['make', '-s', '-j2', '-C', 'dpvsd/native', 'all', 'test-programs', 'fuzz', 'bench'],
          ],
          ['scenarios: modes', [...bootstrap, 'test', 'scenarios', 'one arm, 1 worker']],
          // With the blank: the group of that name, and not what speaks of twins elsewhere.
          ['scenarios: kernel twin', [...bootstrap, 'test', 'scenarios', 'kernel twin ']],
        ] satisfies Step[])),
  ];
  return await runSteps('Debian 13', steps, (command) => inside(folder, command, { packages: true }));
}
