import { existsSync, mkdirSync, readdirSync, renameSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../lab/command.js';

/** What the virtual machine boots from. */
export interface Kernel {
  image: string;
  /** Folder of its modules. */
  modules: string;
  busybox: string;
}

/** Fetches a Debian package and lays out its files below a folder, without installing it. */
async function unpack(name: string, folder: string): Promise<void> {
  if (existsSync(folder)) return;
  const work = `${folder}.part`;
  rmSync(work, { recursive: true, force: true });
  mkdirSync(work, { recursive: true });
  // As root apt would give its rights away, and then could not write here.
  const fetched = ['-o', 'APT::Sandbox::User=root', 'download', name];
  await run(['env', '-C', work, 'apt-get', '-qq', ...fetched], { limit: 300_000 });
  const file = readdirSync(work).find((entry) => entry.endsWith('.deb'));
  if (file === undefined) throw new Error(`apt-get download ${name} brought no package`);
  await run(['dpkg-deb', '-x', join(work, file), join(work, 'files')], { limit: 120_000 });
  renameSync(join(work, 'files'), folder);
  rmSync(work, { recursive: true });
}

/**
 * Debian's kernel for this machine and a static busybox, kept for the next time.
 * @throws when a package cannot be fetched
 */
export async function fetchKernel(folder: string): Promise<Kernel> {
  const depends = await run(['apt-cache', 'depends', 'linux-image-amd64']);
  const name = /Depends: (linux-image-\S+)/.exec(depends)?.[1];
  if (name === undefined) throw new Error('the distribution has no package linux-image-amd64');
  await unpack(name, join(folder, name));
  await unpack('busybox-static', join(folder, 'busybox-static'));
  const version = name.slice('linux-image-'.length);
  const files = join(folder, name);
  return {
    image: join(files, 'boot', `vmlinuz-${version}`),
    // With merged /usr the package's files are below /usr/lib.
    modules:
      [join(files, 'lib/modules', version), join(files, 'usr/lib/modules', version)].find(existsSync) ??
      join(files, 'lib/modules', version),
    busybox:
      ['bin/busybox', 'usr/bin/busybox']
        .map((path) => join(folder, 'busybox-static', path))
        .find(existsSync) ?? 'busybox',
  };
}
