import {
  chmodSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { attempt } from './command.js';
import { endProcesses, networksOf } from './processes.js';

/** What is written down about a lab before anything of it exists, so that another process can use it or clean up after it. */
export interface LabRecord {
  /** Also the middle of its namespaces' names: `dvh-ID-client`. */
  id: string;
  /** The process that owns the lab, and that process's start time (a pid alone may have been taken over by another). */
  pid: number;
  startTime: string;
  /** What it shows, in a few words. */
  title: string;
  /** Namespace of each host, by the host's name. */
  namespaces: Record<string, string>;
  /** Folder of configuration, sockets, pages and logs. */
  folder: string;
  /** dpvsd's control socket. */
  ipc: string;
  /** Those of hosts that have a dpvsd of their own, by the host's name. */
  ipcs?: Record<string, string>;
}

/** Folder of all labs of this machine: DPVS_HA_LAB_DIR, else /run/dpvs-ha-lab; nobody but root can read it. */
export function labsFolder(): string {
  return process.env.DPVS_HA_LAB_DIR ?? '/run/dpvs-ha-lab';
}

/** Start time of a process in clock ticks since boot (proc(5), stat field 22), undefined when there is no such process. */
export function processStartTime(pid: number): string | undefined {
  try {
    const text = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The program's name, in parentheses, may contain blanks.
    return text
      .slice(text.lastIndexOf(')') + 2)
      .split(' ')
      .at(19);
  } catch {
    return undefined;
  }
}

let count = 0;

/** Makes the folder and the record of a new lab of this process. */
export function register(
  title: string,
  hosts: readonly string[],
  directors: readonly string[] = [],
): LabRecord {
  const id = count === 0 ? `${process.pid}` : `${process.pid}x${count}`;
  count++;
  const folder = join(labsFolder(), id);
  mkdirSync(folder, { recursive: true, mode: 0o700 });
  chmodSync(labsFolder(), 0o700);
  const record: LabRecord = {
    id,
    pid: process.pid,
    startTime: processStartTime(process.pid) ?? '',
    title,
    namespaces: Object.fromEntries(hosts.map((host) => [host, `dvh-${id}-${host}`])),
    folder,
    ipc: join(folder, 'dpvs.ipc'),
    ...(directors.length > 0
      ? { ipcs: Object.fromEntries(directors.map((name) => [name, join(folder, `${name}.ipc`)])) }
      : {}),
  };
  const file = join(folder, 'lab.json');
  writeFileSync(`${file}.new`, JSON.stringify(record, undefined, 2));
  renameSync(`${file}.new`, file);
  return record;
}

/** All labs that are written down, oldest first, and whether their owner lives. */
export function listLabs(): (LabRecord & { alive: boolean })[] {
  const folder = labsFolder();
  if (!existsSync(folder)) return [];
  const labs: (LabRecord & { alive: boolean })[] = [];
  for (const id of readdirSync(folder)) {
    let record: LabRecord;
    try {
      record = JSON.parse(readFileSync(join(folder, id, 'lab.json'), 'utf8')) as LabRecord;
    } catch {
      continue;
    }
    labs.push({ ...record, alive: processStartTime(record.pid) === record.startTime });
  }
  return labs.sort((a, b) => Number(a.startTime) - Number(b.startTime));
}

/**
 * Ends every process of a lab, removes its namespaces (with their links) and its folder.
 * @throws Error when a process cannot be ended; what it is in stays until it ends
 */
export async function removeLab(record: LabRecord): Promise<void> {
  const names = Object.values(record.namespaces);
  const networks = networksOf(names);
  const existing = new Set(readdirIfThere('/run/netns'));
  const namespaces = names.filter((name) => existing.has(name));
  try {
    await endProcesses(names, networks);
  } finally {
    if (namespaces.length > 0)
      await attempt(['ip', '-batch', '-'], {
        input: namespaces.map((name) => `netns delete ${name}\n`).join(''),
      });
  }
  // Without a name nobody enters any more; who did so at the last moment is still there.
  await endProcesses(names, networks);
  rmSync(record.folder, { recursive: true, force: true });
  // What programs with a user of their own need is outside of the folder that root alone can read.
  for (const name of readdirSync(tmpdir()))
    if (name.startsWith(`dvh-${record.id}-`)) rmSync(join(tmpdir(), name), { recursive: true, force: true });
}

/** Removes what dead processes left behind. @returns the ids of the labs that were removed */
export async function removeStaleLabs(): Promise<string[]> {
  const stale = listLabs().filter((lab) => !lab.alive);
  for (const lab of stale) await removeLab(lab);
  // What needs.ts tries the machine with: left when its process was killed at that very moment.
  for (const name of readdirIfThere('/run/netns')) {
    const owner = /^dvh-try-(\d+)$/.exec(name)?.[1];
    if (owner && processStartTime(Number(owner)) === undefined)
      await attempt(['ip', 'netns', 'delete', name]);
  }
  return stale.map((lab) => lab.id);
}

function readdirIfThere(folder: string): string[] {
  return existsSync(folder) ? readdirSync(folder) : [];
}
