import { readFileSync } from 'node:fs';

/** How many files this process may have open. */
export function openFileLimit(): number {
  try {
    const found = /^Max open files\s+(\d+)/m.exec(readFileSync('/proc/self/limits', 'utf8'));
    return found ? Number(found[1]) : 1024;
  } catch {
    return 1024;
  }
}
