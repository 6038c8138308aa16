import { accessSync, constants, statSync } from 'node:fs';
import { dirname, join } from 'node:path';
import type { Diagnostics } from '../grammar/diagnostics.js';
import type { Global } from '../model/global.js';
import type { Model } from '../model/index.js';
import type { Script } from '../model/script.js';
import type { NotifyScripts } from '../model/vrrp.js';
import { DEFAULT_SCRIPT_USER, identityOf, userByName } from '../notify/user.js';

/** What is wrong with a command; undefined: nothing. */
type Verdict = 'missing' | 'insecure' | 'user' | 'harmless' | undefined;

/** The machine's side of the check, replaceable in tests. */
export interface ScriptProbe {
  /** Full name of the program, found through PATH when it has no slash; undefined: there is none. */
  find(program: string): string | undefined;
  /** Whether somebody other than root could change the file or one of the folders that lead to it. */
  writable(path: string): boolean;
  /** Whether the default user for scripts exists. */
  defaultUser(): boolean;
}

/** The folders where keepalived looks for commands without a path. */
const SEARCH_PATH = ['/usr/local/sbin', '/usr/local/bin', '/usr/sbin', '/usr/bin', '/sbin', '/bin'];

export const machineProbe: ScriptProbe = {
  find(program) {
    if (program.includes('/')) return statSync(program, { throwIfNoEntry: false }) ? program : undefined;
    const folders = process.env.PATH ? process.env.PATH.split(':') : SEARCH_PATH;
    return folders
      .map((folder) => join(folder, program))
      .find((path) => {
        try {
          accessSync(path, constants.X_OK);
          return statSync(path).isFile();
        } catch {
          return false;
        }
      });
  },
  writable(path) {
    for (let at = path; ; at = dirname(at)) {
      const found = statSync(at, { throwIfNoEntry: false });
      if (!found) return true;
      if (found.uid !== 0 || ((found.mode & 0o020) !== 0 && found.gid !== 0) || (found.mode & 0o002) !== 0)
        return true;
      if (at === '/' || at === '.') return false;
    }
  },
  defaultUser: () => userByName(DEFAULT_SCRIPT_USER) !== undefined,
};

/**
 * Looks at every command that would run: it must exist, its user too, and with `enable_script_security` nobody but root may be able
 * to change what root runs. Commands that fail are taken out of the model, as keepalived disables them. Commands that run without
 * script security are the one finding with an exit code of its own.
 */
export function checkScripts(
  model: Model,
  diagnostics: Diagnostics,
  form: {
    probe?: ScriptProbe;
    /** keepalived does not get as far as the scripts of VRRP when interfaces are missing. */
    interfacesMissing?: boolean;
  } = {},
): void {
  const probe = form.probe ?? machineProbe;
  const { global } = model;
  const judge = (script: Script, what: string): Verdict => {
    const [program = '', , redirection] = script.argv;
    // Reading a file through the shell executes nothing that anybody could have changed.
    if (redirection?.startsWith('<')) return 'harmless';
    const path = probe.find(program);
    if (path === undefined) {
      diagnostics.report('note', `${what}: Script '${program}' not found - disabling`, what);
      return 'missing';
    }
    const who = identityOf(script, global);
    if ('error' in who) {
      diagnostics.report('note', `${what}: ${who.error}; '${program}' is not run`, what);
      return 'user';
    }
    const anyUser = script.user !== undefined || global.scriptUser !== undefined || probe.defaultUser();
    if (global.enableScriptSecurity && !anyUser) {
      diagnostics.report(
        'error',
        `Unable to set default user ${DEFAULT_SCRIPT_USER} for script '${program}' - not run`,
        what,
      );
      return 'user';
    }
    if (global.enableScriptSecurity && (who.uid ?? 0) === 0 && probe.writable(path)) {
      diagnostics.report('note', `${what}: Unsafe permissions found for script '${path}' - disabling`, what);
      return 'insecure';
    }
    return undefined;
  };
  const insecure = { general: false, vrrp: false, checker: false };
  const part =
    (name: keyof typeof insecure) =>
    (script: Script | undefined, what: string): boolean => {
      if (script === undefined) return true;
      const verdict = judge(script, what);
      if (verdict === 'harmless') return true;
      if (verdict !== undefined) return false;
      if (!global.enableScriptSecurity) insecure[name] = true;
      return true;
    };

  const general = part('general');
  if (!general(global.startupScript, 'startup_script')) delete global.startupScript;
  if (!general(global.shutdownScript, 'shutdown_script')) delete global.shutdownScript;
  if (model.vrrp.instances.length > 0) checkVrrp(model, part('vrrp'), diagnostics);
  if (model.loadBalancing.virtualServers.length > 0) checkLoadBalancing(model, part('checker'));

  if (insecure.general) violation('start/shutdown scripts', diagnostics);
  if (insecure.vrrp) violation('scripts', diagnostics, form.interfacesMissing ? 'note' : 'security');
  if (insecure.checker) violation('check scripts', diagnostics);
  if (global.scriptUser !== undefined && userByName(global.scriptUser) === undefined) {
    diagnostics.report('error', `script_user: there is no user '${global.scriptUser}'`, 'script_user');
  }
}

function violation(what: string, diagnostics: Diagnostics, kind: 'security' | 'note' = 'security'): void {
  diagnostics.report(
    kind,
    `SECURITY VIOLATION - ${what} are being executed but script_security not enabled.`,
    'enable_script_security',
  );
}

type Check = (script: Script | undefined, what: string) => boolean;

function checkFifo(
  global: Global,
  key: 'notifyFifo' | 'vrrpNotifyFifo' | 'lvsNotifyFifo',
  check: Check,
): void {
  const fifo = global[key];
  if (!fifo || check(fifo.script, `${key} script`)) return;
  const { script: _script, ...rest } = fifo;
  global[key] = rest;
}

function checkNotify(notify: NotifyScripts, name: string, check: Check): void {
  for (const key of ['master', 'backup', 'fault', 'stop', 'any', 'masterReceivedLowerPriority'] as const) {
    if (!check(notify[key], `(${name}) notify script`)) delete notify[key];
  }
  if (
    notify.deleted !== undefined &&
    notify.deleted !== true &&
    !check(notify.deleted, `(${name}) notify script`)
  ) {
    notify.deleted = true;
  }
}

function checkVrrp(model: Model, check: Check, diagnostics: Diagnostics): void {
  const { global, vrrp } = model;
  checkFifo(global, 'notifyFifo', check);
  checkFifo(global, 'vrrpNotifyFifo', check);
  for (const instance of vrrp.instances) checkNotify(instance.notify, instance.name, check);
  for (const group of vrrp.syncGroups) checkNotify(group.notify, group.name, check);
  const users = [...vrrp.instances, ...vrrp.syncGroups];
  vrrp.scripts = vrrp.scripts.filter((script) => {
    if (check(script.script, `vrrp_script ${script.name}`)) return true;
    diagnostics.report(
      'error',
      `Disabling track script ${script.name} since not found/accessible`,
      'vrrp_script',
    );
    for (const user of users) {
      user.trackScripts = user.trackScripts.filter((reference) => reference.name !== script.name);
    }
    return false;
  });
}

function checkLoadBalancing(model: Model, check: Check): void {
  const { global, loadBalancing } = model;
  if (model.vrrp.instances.length === 0) checkFifo(global, 'notifyFifo', check);
  checkFifo(global, 'lvsNotifyFifo', check);
  for (const server of loadBalancing.virtualServers) {
    if (!check(server.quorumUp, 'quorum_up')) delete server.quorumUp;
    if (!check(server.quorumDown, 'quorum_down')) delete server.quorumDown;
    for (const real of server.realServers) {
      if (!check(real.notifyUp, 'notify_up')) delete real.notifyUp;
      if (!check(real.notifyDown, 'notify_down')) delete real.notifyDown;
      if (!real.checkers.some((checker) => checker.kind === 'MISC_CHECK')) continue;
      real.checkers = real.checkers.filter(
        (checker) => checker.kind !== 'MISC_CHECK' || check(checker.script, 'misc_path'),
      );
    }
  }
}
