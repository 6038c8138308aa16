import { readdirSync, readFileSync, readlinkSync, statSync } from 'node:fs';

/** Pause between two looks, and how long processes may take to end, milliseconds. */
const LOOK = 20;
const PATIENCE = 10_000;

/** What `/proc/PID/ns/net` shows for each network namespace of these names that exists. */
export function networksOf(names: readonly string[]): Set<string> {
  const found = new Set<string>();
  for (const name of names) {
    try {
      found.add(`net:[${statSync(`/run/netns/${name}`).ino}]`);
    } catch {
      // Not made yet, or removed already.
    }
  }
  return found;
}

/**
 * Processes that are inside of these networks, or on their way there: `ip netns exec NAME ...` before it has entered.
 * @param networks from {@link networksOf}, which may have lost their names since
 */
export function processesOf(names: readonly string[], networks: ReadonlySet<string>): number[] {
  const wanted = new Set(names);
  return readdirSync('/proc')
    .map(Number)
    .filter((pid) => {
      if (!Number.isInteger(pid) || pid === process.pid) return false;
      try {
        if (networks.has(readlinkSync(`/proc/${pid}/ns/net`))) return true;
        return readFileSync(`/proc/${pid}/cmdline`, 'latin1')
          .split('\0')
          .some((word) => wanted.has(word));
      } catch {
        // It ended meanwhile.
        return false;
      }
    });
}

/**
 * Ends all of them, also those that come while it is at it.
 * @throws Error when some cannot be ended, with their numbers
 */
export async function endProcesses(names: readonly string[], networks: ReadonlySet<string>): Promise<void> {
  const end = performance.now() + PATIENCE;
  // A daemon that becomes a process of its own may hide from one look: the old one is gone, the new one was not there when the list was read.
  for (let quiet = 0; quiet < 2; ) {
    const alive = processesOf(names, networks);
    quiet = alive.length === 0 ? quiet + 1 : 0;
    for (const pid of alive) {
      try {
        process.kill(pid, 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
    if (alive.length > 0 && performance.now() > end)
      throw new Error(`these processes of a lab cannot be ended: ${alive.join(' ')}`);
    await new Promise((resolve) => setTimeout(resolve, LOOK));
  }
}
