import { accessSync, constants } from 'node:fs';
import { join } from 'node:path';
import { attempt } from './command.js';

const programs = ['ip', 'ethtool', 'nginx', 'curl', 'ss', 'setpriv'];

function inPath(program: string): boolean {
  return (process.env.PATH ?? '').split(':').some((folder) => {
    try {
      accessSync(join(folder, program), constants.X_OK);
      return true;
    } catch {
      return false;
    }
  });
}

/**
 * Whether a lab can run on this machine.
 * @param further programs that are needed beyond those of every lab
 * @returns undefined, or the reason why not, in one line with what to do
 */
export async function whyNoLab(further: readonly string[] = []): Promise<string | undefined> {
  if (process.platform !== 'linux') return `network namespaces need Linux, this is ${process.platform}`;
  if (process.getuid?.() !== 0) return 'network namespaces need root: run it with sudo';
  const missing = [...programs, ...further].filter((program) => !inPath(program));
  if (missing.length > 0) return `these programs are not installed: ${missing.join(' ')}`;
  const name = `dvh-try-${process.pid}`;
  const made = await attempt(['ip', 'netns', 'add', name]);
  if (made.code !== 0)
    return `this machine does not allow network namespaces (${made.stderr.trim()}): containers need --privileged`;
  const veth = await attempt([
    'ip',
    '-n',
    name,
    'link',
    'add',
    'try0',
    'type',
    'veth',
    'peer',
    'name',
    'try1',
  ]);
  await attempt(['ip', 'netns', 'delete', name]);
  if (veth.code !== 0) return `no veth device can be made in a network namespace (${veth.stderr.trim()})`;
  return undefined;
}
