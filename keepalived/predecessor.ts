import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { basename, dirname, join } from 'node:path';
import { isFrontDoor, namedProcess } from './safe-file.js';

/** Pause between two looks whether a killed process is gone, and how long one is waited for, milliseconds. */
const LOOK = 5;
const PATIENCE = 1000;

/**
 * The sidecar of a front door that was killed, which still does its work (see `alone` in sidecar.ts). Several suites may share a pid
 * file (an option forgotten, one file system for several network namespaces): what still has a front door, or works in another
 * network namespace, is none of ours.
 * @param path the sidecar's pid file, before a new process is written there
 * @param program compiled main module of the sidecar; a pid that by now belongs to something else is left alone
 */
export function predecessor(path: string, program: string): number | undefined {
  const pid = namedProcess(path);
  if (pid === undefined) return undefined;
  const ending = join(basename(dirname(program)), basename(program));
  if (!commandOf(pid).some((word) => word.endsWith(`/${ending}`))) return undefined;
  return hasFrontDoor(pid) || networkOf(pid) !== networkOf('self') ? undefined : pid;
}

/** Whether the parent of a sidecar is a front door: an orphan's is whoever takes orphans in. */
function hasFrontDoor(pid: number): boolean {
  let parent: number;
  try {
    parent = Number(/^PPid:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  } catch {
    return false;
  }
  return isFrontDoor(commandOf(parent));
}

/** Name of a process's network namespace; empty when it is gone. */
function networkOf(pid: number | 'self'): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/net`);
  } catch {
    return '';
  }
}

/**
 * Ends a predecessor without a chance to put away what its successor is about to take over, and waits until its sockets are free.
 */
export async function replace(pid: number): Promise<void> {
  try {
    process.kill(pid, 'SIGKILL');
  } catch {
    return;
  }
  for (let waited = 0; waited < PATIENCE && !isGone(pid); waited += LOOK)
    await new Promise((resolve) => setTimeout(resolve, LOOK));
}

/** Whether a process has let go of everything: buried, or dead with all its threads where nobody buries (process 1 of a container). */
function isGone(pid: number): boolean {
  try {
    const state = /^State:\s+(\S)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1];
    return state === 'Z' && readdirSync(`/proc/${pid}/task`).length === 1;
  } catch {
    return true;
  }
}

/** The words of a process's command line; empty when it is gone, or dead and not yet buried. */
function commandOf(pid: number): string[] {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0').filter(Boolean);
  } catch {
    return [];
  }
}
