import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import type { Setting } from './settings.js';

/** Name of the memfd that a running dpvsd holds open, without ever looking at it: a note of the launcher to its later self. */
export const STARTED = 'dpvsd-started';

/** What a running dpvsd was started with. */
export interface Started {
  /** Path of its dpvs.conf. */
  conf: string;
  /** What stood behind `--` on the command line. */
  eal: string[];
  settings: Setting[];
  /** CPUs that it might use. Its children, a reload among them, inherit the master's CPU alone. */
  allowed: number[];
}

/**
 * Reads the note of a running process.
 * @returns undefined when there is none, or when this user may not look
 */
export function readStarted(pid: number): Started | undefined {
  const folder = `/proc/${pid}/fd`;
  try {
    for (const fd of readdirSync(folder)) {
      const path = `${folder}/${fd}`;
      if (readlinkSync(path).startsWith(`/memfd:${STARTED}`)) {
        return JSON.parse(readFileSync(path, 'utf8')) as Started;
      }
    }
  } catch {
    // Another user's process, another process namespace, or gone.
  }
  return undefined;
}
