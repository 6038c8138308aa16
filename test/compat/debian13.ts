import { spawnSync } from 'node:child_process';
import {
  copyFileSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { ensurePackages } from '../../setup/machine.js';
import { runProgram } from '../runner/program.js';
import { Impossible, root } from './impossible.js';

const minute = 60_000;
const store = join(root, 'build', 'compat', 'debian13');

/**
 * Where this machine's own Debian comes from; DPVS_HA_MIRROR names another place.
 * @throws {Impossible} when neither tells
 */
function mirror(): string {
  if (process.env.DPVS_HA_MIRROR) return process.env.DPVS_HA_MIRROR;
  const folder = '/etc/apt/sources.list.d';
  const files = [
    '/etc/apt/sources.list',
    ...(existsSync(folder) ? readdirSync(folder) : []).map((name) => join(folder, name)),
  ];
  for (const file of files) {
    if (!existsSync(file)) continue;
    const found = /^(?:deb(?: \[[^\]]*\])? |URIs: *)(https?:\/\/\S+\/debian\/?)(?:\s|$)/m.exec(
      readFileSync(file, 'utf8'),
    );
    if (found?.[1]) return found[1];
  }
  throw new Impossible('no Debian mirror in /etc/apt: DPVS_HA_MIRROR=URL names one');
}

/**
 * Runs a command in a Debian of its own: its own mounts and processes, so that nothing of it outlives the command or is seen
 * outside, and this machine's npm packages.
 */
const inside = (folder: string, command: readonly string[]): string[] => [
  ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'],
  ...[
    'sh',
    '-e',
    '-c',
    `root=$1; shift
     mount --bind $root $root
     mount -t proc proc $root/proc
     mount -t sysfs sysfs $root/sys
     mount --rbind /dev $root/dev
     mount -t tmpfs tmpfs $root/run
     mount -t tmpfs tmpfs $root/tmp
     mount --bind -o ro "$0" $root/src/node_modules
     exec chroot $root env -i -C /src PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"`,
    join(root, 'node_modules'),
  ],
  folder,
  ...command,
];

/** The folder with Debian 13, made by debootstrap at the first time (some 350 MB, 1.5 GB once the tests' packages are in it). */
async function makeDebian(onLine: (line: string) => void): Promise<string> {
  const folder = join(store, 'root');
  if (existsSync(folder)) return folder;
  if (ensurePackages(['debian13']).length > 0)
    throw new Impossible('debootstrap is not installed: apt-get install debootstrap');
  const from = mirror();
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  onLine(`debootstrap trixie from ${from}`);
  const made = await runProgram(
    'debootstrap',
    ['--variant=minbase', '--include=nodejs,ca-certificates', 'trixie', part, from],
    { cwd: root, limit: 20 * minute },
  );
  if (made.code !== 0)
    throw new Impossible(
      `debootstrap found no Debian 13 at ${from} (DPVS_HA_MIRROR names another mirror): ${made.output.trim().split('\n').slice(-3).join(' / ')}`,
    );
  if (existsSync('/etc/resolv.conf')) copyFileSync('/etc/resolv.conf', join(part, 'etc', 'resolv.conf'));
  renameSync(part, folder);
  return folder;
}

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
  const list = join(store, 'files');
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
  if (process.getuid?.() !== 0) throw new Impossible('chroot and mounts need root');
  const say = (line: string) => console.log(`    ${line}`);
  mkdirSync(store, { recursive: true });
  const folder = await makeDebian(say);
  copyProject(folder);
  const bootstrap = ['node', 'setup/bootstrap.mjs'];
  const version = 'gcc --version | head -1; pkg-config --modversion libdpdk libprotobuf-c; node --version';
  const steps: [string, readonly string[]][] = [
    ['packages and build', [...bootstrap, 'build']],
    ['versions', ['sh', '-c', version]],
    ...(parts.length > 0
      ? [[`npm test -- ${parts.join(' ')}`, [...bootstrap, 'test', ...parts]] as [string, string[]]]
      : ([
          ['C tests and fixtures', [...bootstrap, 'test', 'native']],
          [
            'all native programs',
            ['make', '-s', '-j2', '-C', 'dpvsd/native', 'all', 'test-programs', 'fuzz', 'bench'],
          ],
          ['scenarios: modes', [...bootstrap, 'test', 'scenarios', 'one arm, 1 worker']],
          // With the blank: the group of that name, and not what speaks of twins elsewhere.
          ['scenarios: kernel twin', [...bootstrap, 'test', 'scenarios', 'kernel twin ']],
        ] as [string, string[]][])),
  ];
  let passed = true;
  for (const [name, command] of steps) {
    console.log(`==> Debian 13: ${name}`);
    const [program = '', ...args] = inside(folder, command);
    const ended = await runProgram(program, args, { cwd: root, limit: 20 * minute, onLine: say });
    console.log(
      `<== Debian 13: ${name}: ${ended.code === 0 ? 'passed' : `failed (${ended.code ?? 'ended by a signal or the time limit'})`}`,
    );
    passed &&= ended.code === 0;
    if (!passed && name === 'packages and build') break;
  }
  return passed;
}
