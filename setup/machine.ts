import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync, rmSync, writeFileSync } from 'node:fs';

// biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format language
const PACKAGE_FORMAT = '${Package} ${db:Status-Status}\n';

export type PackageSet = 'build' | 'lab' | 'test' | 'debootstrap' | 'vm';

/** Debian packages by purpose. Names with a `|` are alternatives: the first that the distribution has is taken. */
const packages: Record<PackageSet, string[]> = {
  ...(JSON.parse(readFileSync(new URL('../../setup/packages.json', import.meta.url), 'utf8')) as Record<
    'build' | 'lab' | 'test',
    string[]
  >),
  // Of `npm run compat` alone: nobody is told that they are missing before.
  debootstrap: ['debootstrap'],
  vm: ['qemu-system-x86'],
};

/** Packages whose start scripts would otherwise bring up services on the user's machine. */
const policyFile = '/usr/sbin/policy-rc.d';

function installed(): Set<string> | undefined {
  const asked = spawnSync('dpkg-query', ['-W', '-f', PACKAGE_FORMAT], {
    encoding: 'utf8',
  });
  if (asked.status !== 0) return undefined;
  return new Set(
    asked.stdout
      .split('\n')
      .filter((line) => line.endsWith(' installed'))
      .map((line) => line.slice(0, line.indexOf(' '))),
  );
}

function exists(name: string): boolean {
  const asked = spawnSync('apt-cache', ['show', '--no-all-versions', name], { stdio: 'ignore' });
  return asked.status === 0;
}

/**
 * Makes sure that the Debian packages of these sets are there, installing what is missing when that is possible and allowed.
 * @returns the packages that are still missing (empty: all is well); each reason is said on stderr in one line
 */
export function ensurePackages(sets: PackageSet[]): string[] {
  const wanted = sets.flatMap((set) => packages[set]);
  const have = installed();
  if (!have) {
    console.error(
      `setup: this is no Debian (no dpkg-query): cannot tell whether these are installed: ${wanted.join(' ')}`,
    );
    return [];
  }
  const missing = wanted.filter((names) => !names.split('|').some((name) => have.has(name)));
  if (missing.length === 0) return [];
  const shown = missing.map((names) => names.split('|')[0]).join(' ');
  if (process.env.DPVS_HA_NO_INSTALL) {
    console.error(`setup: missing Debian packages (DPVS_HA_NO_INSTALL forbids installing them): ${shown}`);
    return missing;
  }
  if (process.getuid?.() !== 0) {
    console.error(
      `setup: missing Debian packages, and only root can install them: sudo apt-get install ${shown}`,
    );
    return missing;
  }
  const env = { ...process.env, DEBIAN_FRONTEND: 'noninteractive' };
  const apt = (...args: string[]) => spawnSync('apt-get', args, { env, encoding: 'utf8' });
  if (apt('--version').error) {
    console.error(`setup: missing Debian packages, and there is no apt-get to install them: ${shown}`);
    return missing;
  }
  console.error(`setup: about to install with apt-get: ${shown}`);
  apt('update', '-qq');
  const names = missing.map((alternatives) => {
    const all = alternatives.split('|');
    return all.find(exists) ?? (all[0] as string);
  });
  // Installing nginx or keepalived must not start them on this machine.
  const guard = !existsSync(policyFile);
  if (guard) writeFileSync(policyFile, '#!/bin/sh\nexit 101\n', { mode: 0o755 });
  try {
    let done = apt('install', '-y', '-qq', '--no-install-recommends', ...names);
    if (done.status !== 0) {
      // One unavailable package must not keep the others from being installed.
      for (const name of names) done = apt('install', '-y', '-qq', '--no-install-recommends', name);
    }
    const now = installed() ?? new Set<string>();
    const still = missing.filter((alternatives) => !alternatives.split('|').some((name) => now.has(name)));
    if (still.length > 0) {
      const reason = `${done.stderr ?? ''}`.trim().split('\n').pop();
      console.error(`setup: apt-get could not install: ${still.join(' ')} (${reason})`);
    }
    return still;
  } finally {
    if (guard) rmSync(policyFile, { force: true });
  }
}
