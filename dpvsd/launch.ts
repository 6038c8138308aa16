import { accessSync, constants, existsSync, readFileSync, writeSync } from 'node:fs';
import { connect } from 'node:net';
import { constants as os } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { STARTED, type Started } from './started.js';

/** Folder of the project, from the compiled place of this file (dist/dpvsd/). */
export const projectRoot = fileURLToPath(new URL('../..', import.meta.url));
/** What watches the kernel's side of the twins, and how Node stays small for it. */
export const watcherProgram = fileURLToPath(new URL('../kni/main.js', import.meta.url));
export const WATCHER_FLAGS = ['--max-old-space-size=64', '--max-semi-space-size=1'];
export const nativeProgram = join(projectRoot, 'build', 'native', 'dpvsd-native');

/** Whether somebody answers at a Unix socket. A socket file that a dead process left behind does not count. */
function answers(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    const settle = (yes: boolean) => {
      socket.destroy();
      resolve(yes);
    };
    socket.setTimeout(1000, () => settle(true));
    socket.on('connect', () => settle(true));
    socket.on('error', () => settle(false));
  });
}

/** The process that a pid file names, if it is a running dpvsd. */
function runningPid(pidFile: string): number | undefined {
  try {
    const pid = Number(readFileSync(pidFile, 'utf8').trim());
    const name = readFileSync(`/proc/${pid}/comm`, 'utf8').trim();
    return name.startsWith('dpvsd') ? pid : undefined;
  } catch {
    return undefined;
  }
}

/**
 * What keeps the native process from being started here, found before anything is touched.
 * @returns sentences with what to do; empty when it can start
 */
export async function obstacles(ipc: string, pidFile: string): Promise<string[]> {
  const found: string[] = [];
  if (!existsSync(nativeProgram))
    found.push(`${nativeProgram} is not built: run "npm run build" in ${projectRoot}`);
  const pid = runningPid(pidFile);
  if (pid !== undefined) {
    found.push(
      `dpvsd runs already with pid file ${pidFile} (process ${pid}): stop it, or name another file with -p`,
    );
  } else if (existsSync(ipc) && (await answers(ipc))) {
    found.push(`another instance answers at ${ipc}: stop it, or name another socket with -x`);
  }
  // The kernel's bound of sun_path, with its NUL.
  if (Buffer.byteLength(ipc) > 107)
    found.push(`${ipc} is too long for a socket (107 bytes): name another one with -x`);
  for (const path of new Set([dirname(ipc), dirname(pidFile)])) {
    try {
      accessSync(path, constants.W_OK | constants.X_OK);
    } catch {
      found.push(`no file can be made in ${path}: create the folder, or start as root`);
    }
  }
  return found;
}

/**
 * Replaces this process by the native one; the process number stays, and no thread of Node is left on any CPU.
 *
 * The settings travel in a memfd, whose number is given as `dpvsd-native EAL-OPTIONS -- --conf-fd N`: they are seen by nobody else, need
 * no temporary file, and their length has no bound. Their grammar is in settings.ts. The descriptor's offset is 0. A second memfd stays
 * open in the process for as long as it runs, for those who ask later what it was started with (started.ts).
 * @param eal EAL's options
 * @param settings text of settings.ts
 * @throws LibcError when the program cannot be executed
 */
export async function become(
  program: string,
  eal: string[],
  settings: string,
  started: Started,
): Promise<never> {
  // Loaded here, so that -t and doctor need not load a native module.
  const libc = await import('../lib/libc.js');
  const inMemory = (name: string, text: string): number => {
    const fd = libc.memfdCreate(name);
    const bytes = Buffer.from(text);
    // Written at a position: the offset, which the other side reads from, stays at 0.
    for (let at = 0; at < bytes.length; ) at += writeSync(fd, bytes, at, bytes.length - at, at);
    return fd;
  };
  const fd = inMemory('dpvsd-settings', settings);
  inMemory(STARTED, JSON.stringify(started));
  for (const standard of [0, 1, 2]) {
    try {
      libc.setCloseOnExec(standard, false);
      libc.setBlocking(standard);
    } catch {
      // A closed standard descriptor stays closed.
    }
  }
  libc.defaultSignal(os.signals.SIGPIPE);
  libc.defaultSignal(os.signals.SIGXFSZ);
  const environment = Object.fromEntries(
    Object.entries(process.env).filter((entry): entry is [string, string] => entry[1] !== undefined),
  );
  return libc.execve(program, ['dpvsd', ...eal, '--', '--conf-fd', String(fd)], environment);
}
