#!/usr/bin/env node
// First step of `npm start`, `npm test` and their kin. Plain JavaScript because on a fresh clone there is no
// TypeScript compiler yet: it installs the npm packages of the lock file, compiles setup/, and hands over.
// @ts-check
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..');
process.chdir(root);

/** @param {string} what @returns {never} */
function stop(what) {
  console.error(`setup: ${what}`);
  process.exit(1);
}

/** @param {string} command @param {string[]} args */
function run(command, args) {
  const done = spawnSync(command, args, { stdio: 'inherit' });
  if (done.error) stop(`${command} did not start: ${done.error.message}`);
  if (done.status !== 0) stop(`${command} ${args.join(' ')} failed (exit ${done.status})`);
}

/** Debian packages that are missing, all at once: without npm packages setup/machine.ts, which does so by command, is not compiled. */
function sayMissingPackages() {
  /** @type {Record<string, string[]>} */
  const sets = JSON.parse(readFileSync(join('setup', 'packages.json'), 'utf8'));
  // biome-ignore lint/suspicious/noTemplateCurlyInString: dpkg-query's own format language
  const asked = spawnSync('dpkg-query', ['-W', '-f', '${Package} ${db:Status-Status}\n'], {
    encoding: 'utf8',
  });
  const have = new Set((asked.stdout ?? '').split('\n').map((line) => line.replace(/ installed$/, '')));
  for (const [purpose, names] of Object.entries(sets)) {
    const missing = names.filter((name) => !name.split('|').some((one) => have.has(one)));
    if (missing.length === 0) continue;
    const shown = missing.map((name) => name.split('|')[0]).join(' ');
    console.error(`setup: missing Debian packages (${purpose}): ${shown}`);
  }
}

const [major = 0, minor = 0] = process.versions.node.split('.').map(Number);
if (major < 20 || (major === 20 && minor < 10))
  stop(`Node 20.10 or newer is needed, this is ${process.version}`);

// The packages: installed anew only when the lock file is another than at the last time.
const stamp = join(root, 'node_modules', '.dpvs-ha-lock');
const lock = createHash('sha256').update(readFileSync('package-lock.json')).digest('hex');
if (!existsSync(stamp) || readFileSync(stamp, 'utf8') !== lock) {
  if (process.env.DPVS_HA_NO_INSTALL) {
    sayMissingPackages();
    stop('missing npm packages (DPVS_HA_NO_INSTALL forbids installing them): run `npm ci --ignore-scripts`');
  }
  console.error('setup: installing the npm packages of package-lock.json (npm ci)');
  run('npm', ['ci', '--no-audit', '--no-fund', '--ignore-scripts', '--loglevel=error']);
  writeFileSync(stamp, lock);
}

mkdirSync('build', { recursive: true });
run(process.execPath, [join('node_modules', 'typescript', 'bin', 'tsc'), '-p', 'setup/tsconfig.json']);
const { main } = await import(pathToFileURL(join(root, 'dist', 'setup', 'main.js')).href);
process.exitCode = await main(root, process.argv.slice(2));
