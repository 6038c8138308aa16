import { readFileSync } from 'node:fs';
import type { Global } from '../model/global.js';

/** The user that scripts run as when it exists and nothing else is configured. */
export const DEFAULT_SCRIPT_USER = 'keepalived_script';

interface Entry {
  id: number;
  gid: number;
}

function lookUp(file: string, name: string): Entry | undefined {
  if (/^\d+$/.test(name))
    return Number(name) < 2 ** 32 - 1 ? { id: Number(name), gid: Number(name) } : undefined;
  let text: string;
  try {
    text = readFileSync(file, 'utf8');
  } catch {
    return undefined;
  }
  for (const line of text.split('\n')) {
    const fields = line.split(':');
    if (fields[0] === name) return { id: Number(fields[2]), gid: Number(fields[3]) };
  }
  return undefined;
}

/** A user of the machine by name (or number), from /etc/passwd. */
export function userByName(name: string): { uid: number; gid: number } | undefined {
  const entry = lookUp('/etc/passwd', name);
  return entry && { uid: entry.id, gid: entry.gid };
}

/** A group of the machine by name (or number), from /etc/group. */
export function groupByName(name: string): number | undefined {
  return lookUp('/etc/group', name)?.id;
}

/**
 * Which user and group a script (or a FIFO) belongs to: its own, else `script_user`, else keepalived_script if there is such a
 * user, else the one that we run as (then both are undefined).
 */
export function identityOf(
  owner: { user?: string; group?: string },
  global: Pick<Global, 'scriptUser' | 'scriptGroup'>,
): { uid?: number; gid?: number } | { error: string } {
  const name = owner.user ?? global.scriptUser;
  const groupName = owner.group ?? (owner.user === undefined ? global.scriptGroup : undefined);
  const user = userByName(name ?? DEFAULT_SCRIPT_USER);
  if (name !== undefined && !user) return { error: `there is no user '${name}'` };
  const identity: { uid?: number; gid?: number } = {};
  if (user) {
    identity.uid = user.uid;
    identity.gid = user.gid;
  }
  if (groupName !== undefined) {
    const gid = groupByName(groupName);
    if (gid === undefined) return { error: `there is no group '${groupName}'` };
    identity.gid = gid;
  }
  // Someone who is not root can only be himself; setuid to the own identity is refused inside some containers.
  if (identity.uid === process.getuid?.() && identity.gid === process.getgid?.()) return {};
  return identity;
}
