import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import type { Global } from './model/global.js';
import { instanceName } from './names.js';
import type { Options } from './options.js';

/** Where state of the running system lives. */
export const RUN_FOLDER = '/run';

export type PidFileOf = 'parent' | 'vrrp' | 'healthcheck' | 'bfd' | 'ospf-bridge';

const names: Record<PidFileOf, string> = {
  parent: 'keepalived',
  vrrp: 'vrrp',
  healthcheck: 'checkers',
  bfd: 'bfd',
  'ospf-bridge': 'ospf',
};

/**
 * The pid file of a process: what the command line says, else `/run/NAME.pid`; with `use_pid_dir`, an instance or a network
 * namespace `/run/keepalived/NAME[_netns][_instance].pid`. keepalived has no option for the bridge's, which is therefore beside that of
 * the front door where the command line names one: `FILE-ospf.pid`.
 */
export function pidFile(of: PidFileOf, options: Options, global: Global, folder = RUN_FOLDER): string {
  const given: Partial<Record<PidFileOf, string | undefined>> = {
    parent: options.pidFile,
    vrrp: options.vrrpPidFile,
    healthcheck: options.checkersPidFile,
    bfd: options.bfdPidFile,
    'ospf-bridge': options.pidFile && `${options.pidFile.replace(/\.pid$/, '')}-${names['ospf-bridge']}.pid`,
  };
  const explicit = given[of];
  if (explicit !== undefined) return explicit;
  const instance = instanceName(global, '_', '_');
  if (!global.usePidDir && instance === '') return join(folder, `${names[of]}.pid`);
  const inner = join(folder, 'keepalived');
  mkdirSync(inner, { recursive: true, mode: 0o755 });
  return join(inner, `${names[of]}${instance}.pid`);
}
