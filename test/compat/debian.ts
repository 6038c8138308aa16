import { copyFileSync, existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { ensurePackages } from '../../setup/machine.js';
import { runProgram } from '../runner/program.js';
import { Impossible, root } from './impossible.js';

const minute = 60_000;

/** Folder of one kind of Debian below build/. */
export function store(kind: string): string {
  return join(root, 'build', 'compat', kind);
}

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
 * The command that runs another one in a Debian of its own, in /src: its own mounts and processes, so that nothing of it outlives the
 * command or is seen outside.
 * @param packages lend it this machine's npm packages
 * @param environment what it is told beside the bare minimum
 */
export function inside(
  folder: string,
  command: readonly string[],
  { packages = false, environment = {} }: { packages?: boolean; environment?: Record<string, string> } = {},
): string[] {
  // `ip netns` makes "/" a mount of its own kind, so it must be one.
  const script = `root=$1; packages=$2; shift 2
    mount --bind $root $root
    mount -t proc proc $root/proc
    mount -t sysfs sysfs $root/sys
    mount --rbind /dev $root/dev
    mount -t tmpfs tmpfs $root/run
    mount -t tmpfs tmpfs $root/tmp
    [ -z "$packages" ] || mount --bind -o ro "$packages" $root/src/node_modules
    exec chroot $root env -i -C /src PATH=/usr/sbin:/usr/bin:/sbin:/bin HOME=/root LANG=C.UTF-8 "$@"`;
  return [
    ...['unshare', '--mount', '--pid', '--fork', '--kill-child', '--propagation', 'private'],
    ...['sh', '-e', '-c', script, 'inside', folder, packages ? join(root, 'node_modules') : ''],
    ...Object.entries(environment).map(([name, value]) => `${name}=${value}`),
    ...command,
  ];
}

/**
 * A folder with a Debian made by debootstrap; one that is there is used again.
 * @param kind names its folder below build/compat
 * @param suite `bookworm`, `trixie`
 * @param include packages beside the smallest set
 * @param complete puts into the folder what does not come from Debian
 * @throws {Impossible} when it cannot be made on this machine
 */
export async function makeDebian(
  kind: string,
  suite: string,
  include: readonly string[],
  complete: (folder: string) => void = () => {},
): Promise<string> {
  if (process.getuid?.() !== 0) throw new Impossible('chroot and mounts need root');
  const folder = join(store(kind), 'root');
  if (existsSync(folder)) return folder;
  if (ensurePackages(['debootstrap']).length > 0)
    throw new Impossible('debootstrap is not installed: apt-get install debootstrap');
  const from = mirror();
  const part = `${folder}.part`;
  rmSync(part, { recursive: true, force: true });
  mkdirSync(part, { recursive: true });
  console.log(`    debootstrap ${suite} from ${from}`);
  const made = await runProgram(
    'debootstrap',
    ['--variant=minbase', `--include=${include.join(',')}`, suite, part, from],
    { cwd: root, limit: 20 * minute },
  );
  if (made.code !== 0)
    throw new Impossible(
      `debootstrap found no ${suite} at ${from} (DPVS_HA_MIRROR names another mirror): ${made.output.trim().split('\n').slice(-3).join(' / ')}`,
    );
  if (existsSync('/etc/resolv.conf')) copyFileSync('/etc/resolv.conf', join(part, 'etc', 'resolv.conf'));
  complete(part);
  renameSync(part, folder);
  return folder;
}
