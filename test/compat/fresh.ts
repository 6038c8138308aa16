import { spawnSync } from 'node:child_process';
import { copyFileSync, cpSync, realpathSync, rmSync, symlinkSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { inside, makeDebian } from './debian.js';
import { Impossible, root } from './impossible.js';
import { runSteps, type Step } from './steps.js';

/** Where a certificate authority of this machine's own registry is put. */
const AUTHORITY = '/etc/ssl/registry.pem';

/** What `npm` prints for a question about its configuration, or where it is. */
function asked(...command: [string, ...string[]]): string {
  const [program, ...args] = command;
  const { status, stdout } = spawnSync(program, args, { encoding: 'utf8' });
  if (status !== 0) throw new Impossible(`${command.join(' ')} failed: is npm installed?`);
  return stdout.trim();
}

/** Node and npm of this machine: Debian 12's own Node is too old. */
function bringNode(folder: string): void {
  const npm = realpathSync(asked('sh', '-c', 'command -v npm'));
  const modules = join(folder, 'usr', 'lib', 'node_modules');
  cpSync(dirname(dirname(npm)), join(modules, 'npm'), { recursive: true });
  for (const name of ['npm', 'npx'])
    symlinkSync(`../lib/node_modules/npm/bin/${name}-cli.js`, join(folder, 'usr', 'bin', name));
  copyFileSync(process.execPath, join(folder, 'usr', 'bin', 'node'));
  if (process.env.NODE_EXTRA_CA_CERTS) copyFileSync(process.env.NODE_EXTRA_CA_CERTS, join(folder, AUTHORITY));
}

/**
 * What a new user does: clones what is committed here onto a Debian 12 with nothing but git, Node and npm, and runs a command.
 * @param command none: `npm start -- --once`, twice, since the second start must find everything done
 * @returns whether it ended with 0
 * @throws {Impossible} when it cannot be done on this machine
 */
export async function fresh(command: readonly string[]): Promise<boolean> {
  const folder = await makeDebian('fresh', 'bookworm', ['ca-certificates', 'git'], bringNode);
  try {
    const cloned = spawnSync('git', ['clone', '-q', `file://${root}`, join(folder, 'src')], {
      encoding: 'utf8',
    });
    if (cloned.status !== 0) throw new Impossible(`this is no git work tree: ${cloned.stderr.trim()}`);
    const environment: Record<string, string> = {
      npm_config_registry: asked('npm', 'config', 'get', 'registry'),
      ...(process.env.NODE_EXTRA_CA_CERTS ? { NODE_EXTRA_CA_CERTS: AUTHORITY } : {}),
      ...(process.env.DPVS_HA_NO_INSTALL ? { DPVS_HA_NO_INSTALL: process.env.DPVS_HA_NO_INSTALL } : {}),
    };
    const start = ['npm', 'start', '--', '--once'];
    const steps: Step[] =
      command.length > 0
        ? [[command.join(' '), command]]
        : [
            ['npm start', start],
            ['npm start again', start],
          ];
    return await runSteps('fresh machine', steps, (each) => inside(folder, each, { environment }));
  } finally {
    // What was installed would be there next time: then it were no fresh machine any more.
    rmSync(folder, { recursive: true, force: true });
  }
}
