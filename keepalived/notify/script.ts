import { spawn } from 'node:child_process';
import type { Log } from '../../lib/log.js';
import type { Global } from '../model/global.js';
import type { Script } from '../model/script.js';
import { identityOf } from './user.js';

/** How a script ended. Exactly one of `code`, `signal`, `error` is set. */
export interface ScriptResult {
  /** Exit code. */
  code?: number;
  /** Ended by this signal. */
  signal?: string;
  /** Could not be started. */
  error?: string;
  /** It ran longer than allowed and was ended for that. */
  timedOut: boolean;
}

export interface RunOptions {
  /** Milliseconds after which the script's process group gets SIGTERM, and SIGKILL two seconds later; absent: no limit. */
  timeout?: number;
}

/** Time between SIGTERM and SIGKILL for a script that runs too long, as keepalived gives it. */
const KILL_AFTER = 2000;

/** What a script inherits: everything except what would change how a shell or the loader reads it. */
function scriptEnvironment(): NodeJS.ProcessEnv {
  const {
    IFS: _ifs,
    LD_PRELOAD: _preload,
    LD_LIBRARY_PATH: _path,
    NODE_OPTIONS: _node,
    ...rest
  } = process.env;
  for (const name of Object.keys(rest))
    if (name.startsWith('NODE_CHANNEL') || name.startsWith('DPVS_HA_')) delete rest[name];
  return rest;
}

/**
 * Runs a script of the configuration in a session of its own with /dev/null as stdin, stdout and stderr. A program file
 * without a magic number is given to /bin/sh, as execvp does.
 */
export function runScript(
  script: Script,
  extra: string[],
  options: RunOptions,
  global: Global,
  log: Log,
): Promise<ScriptResult> {
  const [program = '', ...args] = script.argv;
  const who = identityOf(script, global);
  if ('error' in who) {
    log.error(`script ${program} not run: ${who.error}`);
    return Promise.resolve({ error: who.error, timedOut: false });
  }
  return new Promise((resolve) => {
    const launch = (file: string, words: string[], retry: boolean) => {
      let timedOut = false;
      let soft: NodeJS.Timeout | undefined;
      let hard: NodeJS.Timeout | undefined;
      const supplementary = global.setSupplementaryGroups && who.uid !== undefined;
      // Node can set user and group of a child, but not the other groups of the user: setpriv(1) of util-linux does.
      const identity = supplementary
        ? [`--reuid=${who.uid}`, `--regid=${who.gid ?? who.uid}`, '--init-groups', '--', file]
        : [];
      const child = spawn(supplementary ? 'setpriv' : file, [...identity, ...words], {
        stdio: 'ignore',
        detached: true,
        env: scriptEnvironment(),
        ...(supplementary || who.uid === undefined ? {} : { uid: who.uid }),
        ...(supplementary || who.gid === undefined ? {} : { gid: who.gid }),
      });
      const kill = (signal: NodeJS.Signals) => {
        try {
          // The whole session: a shell script's own children as well.
          if (child.pid !== undefined) process.kill(-child.pid, signal);
        } catch {
          // It has just ended.
        }
      };
      if (options.timeout !== undefined) {
        soft = setTimeout(() => {
          timedOut = true;
          kill('SIGTERM');
          hard = setTimeout(() => kill('SIGKILL'), KILL_AFTER);
        }, options.timeout);
      }
      child.on('error', (error: NodeJS.ErrnoException) => {
        clearTimeout(soft);
        clearTimeout(hard);
        if (error.code === 'ENOEXEC' && retry) {
          launch('/bin/sh', [program, ...args, ...extra], false);
          return;
        }
        log.error(`script ${program} not run: ${error.message}`);
        resolve({ error: error.message, timedOut: false });
      });
      child.on('exit', (code, signal) => {
        clearTimeout(soft);
        clearTimeout(hard);
        resolve(signal ? { signal, timedOut } : { code: code ?? 0, timedOut });
      });
    };
    launch(program, [...args, ...extra], true);
  });
}
