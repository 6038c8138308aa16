import { type FSWatcher, readFileSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { FileCheck } from '../keepalived/model/virtual-server.js';
import type { Clock, Timer } from '../lib/clock.js';

/** The integer in a track file: decimal, 0x hexadecimal or 0 octal, whatever follows it; missing or empty files are 0. */
export function fileValue(text: string): number {
  const found = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|[0-9]+)/.exec(text);
  if (!found) return 0;
  const digits = found[2]!;
  const base = /^0[xX]/.test(digits) ? 16 : digits.length > 1 && digits.startsWith('0') ? 8 : 10;
  const value = Number.parseInt(digits, base);
  return (found[1] === '-' ? -1 : 1) * (Number.isFinite(value) ? value : 0);
}

const LOWEST = -2_147_483_648;

/**
 * What a value in the file means for the server: with weight 0 any non-zero value is down (reverse: zero is); otherwise it adds value
 * times weight to the server's weight, and a sum at the lowest integer is down.
 */
export function fileEffect(check: FileCheck, value: number): { up: boolean; contribution: number } {
  if (check.weight === 0) return { up: (value === 0) !== check.reverse, contribution: 0 };
  const amount = value * check.weight * (check.reverse ? -1 : 1);
  return amount <= LOWEST ? { up: false, contribution: 0 } : { up: true, contribution: amount };
}

/** Changes within this many milliseconds are read once: an editor writes in several steps. */
const SETTLE = 20;
/** How often a file is looked at when its folder cannot be watched, and as a safeguard. */
const POLL = 1000;

/** Follows the integers in files. */
export class FileWatch {
  readonly #clock: Clock;
  readonly #changed: (path: string, value: number) => void;
  readonly #values = new Map<string, number>();
  readonly #folders = new Map<string, FSWatcher>();
  readonly #settling = new Map<string, Timer>();
  #poll: Timer | undefined;

  constructor(clock: Clock, changed: (path: string, value: number) => void) {
    this.#clock = clock;
    this.#changed = changed;
  }

  /** Follows exactly these files from now on; each new one is reported at once. */
  watch(paths: string[]): void {
    const wanted = new Set(paths);
    for (const path of this.#values.keys()) if (!wanted.has(path)) this.#values.delete(path);
    const folders = new Set([...wanted].map((path) => dirname(path)));
    for (const [folder, watcher] of this.#folders) {
      if (folders.has(folder)) continue;
      watcher.close();
      this.#folders.delete(folder);
    }
    for (const folder of folders) this.#watchFolder(folder);
    for (const path of wanted) this.#read(path, true);
    this.#poll?.cancel();
    this.#poll = undefined;
    if (wanted.size > 0) this.#pollLater();
  }

  close(): void {
    this.#poll?.cancel();
    for (const timer of this.#settling.values()) timer.cancel();
    for (const watcher of this.#folders.values()) watcher.close();
    this.#folders.clear();
    this.#values.clear();
  }

  #watchFolder(folder: string): void {
    if (this.#folders.has(folder)) return;
    try {
      const watcher = watch(folder, { persistent: false }, (_event, name) => {
        for (const path of this.#values.keys()) {
          if (dirname(path) === folder && (name === null || basename(path) === name)) this.#settle(path);
        }
      });
      watcher.on('error', () => {
        watcher.close();
        this.#folders.delete(folder);
      });
      this.#folders.set(folder, watcher);
    } catch {
      // No such folder yet, or no more watches: polling finds the changes.
    }
  }

  #settle(path: string): void {
    if (this.#settling.has(path)) return;
    const read = () => {
      this.#settling.delete(path);
      this.#read(path, false);
    };
    this.#settling.set(path, this.#clock.after(SETTLE, read, `track file ${path}`));
  }

  #pollLater(): void {
    this.#poll = this.#clock.after(
      POLL,
      () => {
        for (const path of this.#values.keys()) {
          this.#watchFolder(dirname(path));
          this.#read(path, false);
        }
        this.#pollLater();
      },
      'track files',
    );
  }

  #read(path: string, always: boolean): void {
    let value = 0;
    try {
      value = fileValue(readFileSync(path, 'latin1').slice(0, 64));
    } catch {
      // A missing file counts as 0.
    }
    if (!always && this.#values.get(path) === value) return;
    this.#values.set(path, value);
    this.#changed(path, value);
  }
}
