import { randomBytes } from 'node:crypto';
import {
  closeSync,
  constants,
  fsyncSync,
  openSync,
  readFileSync,
  renameSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join } from 'node:path';

/**
 * Writes a file so that nobody can be led to read half of it and nobody can make us write elsewhere: a new file of a random
 * name beside it, which then takes its place. A symbolic link of that name (in /tmp, say) is replaced, not followed.
 * @param mode access bits before the umask
 */
export function writeSafely(path: string, content: string | Uint8Array, mode = 0o644): void {
  const temporary = join(dirname(path), `.${basename(path)}.${randomBytes(6).toString('hex')}`);
  const flags = constants.O_WRONLY | constants.O_CREAT | constants.O_EXCL | constants.O_NOFOLLOW;
  const fd = openSync(temporary, flags, mode);
  try {
    try {
      // Not writeSync: on a disk that is nearly full that one writes a part and is content.
      writeFileSync(fd, content);
      fsyncSync(fd);
    } finally {
      closeSync(fd);
    }
    renameSync(temporary, path);
  } catch (error) {
    removeFile(temporary);
    throw error;
  }
}

/** The process that a pid file names, if there is one of that number; after a crash it may be any other one. */
export function namedProcess(path: string): number | undefined {
  let pid: number;
  try {
    pid = Number.parseInt(readFileSync(path, 'utf8'), 10);
  } catch {
    return undefined;
  }
  if (!Number.isInteger(pid) || pid <= 1 || pid === process.pid) return undefined;
  try {
    process.kill(pid, 0);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== 'EPERM') return undefined;
  }
  return pid;
}

/**
 * The keepalived (ours or the real one) that a pid file names, if it is alive. After a crash the number may have gone to any other
 * process, which must not keep us from starting.
 */
export function runningProcess(path: string): number | undefined {
  const pid = namedProcess(path);
  if (pid === undefined) return undefined;
  try {
    const words = readFileSync(`/proc/${pid}/cmdline`, 'latin1').split('\0');
    return isFrontDoor(words) ? pid : undefined;
  } catch {
    // It is there, and hidden from us: better not to start than to run twice.
    return pid;
  }
}

/** Whether a command line is that of a keepalived, ours or the real one. */
export function isFrontDoor(words: readonly string[]): boolean {
  return words.some((word) => /(^|\/)keepalived(\/main\.js)?$/.test(word));
}

/** Removes a file if it is there. */
export function removeFile(path: string): void {
  try {
    unlinkSync(path);
  } catch {
    // Not there any more.
  }
}
