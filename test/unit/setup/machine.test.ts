import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const lists = JSON.parse(readFileSync('setup/packages.json', 'utf8')) as Record<string, string[]>;
const machine = join(process.cwd(), 'dist', 'setup', 'machine.js');

/** A machine whose package tools are scripts of ours. */
interface Machine {
  /** Packages that are installed; undefined: no dpkg-query. */
  installed?: string[];
  /** Body of apt-get; undefined: there is none. */
  apt?: string;
  root?: boolean;
  forbidden?: boolean;
}

describe('set-up: Debian packages', () => {
  let folder: string;

  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'setup-'));
  });
  afterEach(() => rmSync(folder, { recursive: true, force: true }));

  function tool(name: string, body: string): void {
    const path = join(folder, 'bin', name);
    writeFileSync(path, `#!/bin/sh\n${body}\n`);
    chmodSync(path, 0o755);
  }

  /** Asks for the sets `build` and `lab`. */
  function ensure({ installed, apt, root = true, forbidden }: Machine): {
    missing: string[];
    said: string[];
  } {
    mkdirSync(join(folder, 'bin'));
    if (installed) tool('dpkg-query', installed.map((name) => `echo '${name} installed'`).join('\n') || ':');
    if (apt !== undefined) tool('apt-get', apt);
    const script = `
      process.getuid = () => ${root ? 0 : 1000};
      const { ensurePackages } = await import(${JSON.stringify(machine)});
      console.log(JSON.stringify(ensurePackages(['build', 'lab'])));
    `;
    const { stdout, stderr, status } = spawnSync(
      process.execPath,
      ['--input-type=module', '--eval', script],
      {
        encoding: 'utf8',
        env: { PATH: join(folder, 'bin'), ...(forbidden ? { DPVS_HA_NO_INSTALL: '1' } : {}) },
      },
    );
    assert.equal(status, 0, stderr);
    return { missing: JSON.parse(stdout) as string[], said: stderr.trimEnd().split('\n').filter(Boolean) };
  }

  const wanted = [...lists.build!, ...lists.lab!];
  /** One of each line; of alternatives the last. */
  const all = wanted.map((names) => names.split('|').at(-1)!);
  const noApt = "echo 'apt-get must not run' >&2; exit 1";

  it('is silent and asks no apt when all are there, also as one of the alternatives', () => {
    assert.deepEqual(ensure({ installed: all, apt: noApt }), { missing: [], said: [] });
  });

  const without = all.filter((name) => name !== 'libdpdk-dev' && name !== 'nginx');
  const missing = wanted.filter((names) => names === 'libdpdk-dev' || names.endsWith('|nginx'));
  const shown = missing.map((names) => names.split('|')[0]).join(' ');

  it('installs nothing when that is forbidden, and lists what is missing', () => {
    assert.deepEqual(ensure({ installed: without, apt: noApt, forbidden: true }), {
      missing,
      said: [`setup: missing Debian packages (DPVS_HA_NO_INSTALL forbids installing them): ${shown}`],
    });
  });

  it('says in one line what is missing without root', () => {
    assert.deepEqual(ensure({ installed: without, apt: noApt, root: false }), {
      missing,
      said: [`setup: missing Debian packages, and only root can install them: sudo apt-get install ${shown}`],
    });
  });

  it('says in one line what is missing without apt', () => {
    assert.deepEqual(ensure({ installed: without }), {
      missing,
      said: [`setup: missing Debian packages, and there is no apt-get to install them: ${shown}`],
    });
  });

  it('does what is possible on another distribution', () => {
    const { missing: left, said } = ensure({});
    assert.deepEqual(left, []);
    assert.equal(said.length, 1);
    assert.match(said[0]!, /this is no Debian/);
  });
});
