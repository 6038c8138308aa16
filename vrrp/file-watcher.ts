import { closeSync, type FSWatcher, openSync, readSync, watch, writeFileSync } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { VrrpTrackFile } from '../keepalived/model/vrrp.js';
import type { Log } from '../lib/log.js';

/** Looked at all the same this often: directories that appear later cannot be watched yet. */
const LOOK_AGAIN = 1000;

interface Watched {
  model: VrrpTrackFile;
  value: number | undefined;
}

/** Reads the number in each tracked file whenever the file changes, is replaced or removed. */
export class FileWatcher {
  readonly #report: (name: string, value: number) => void;
  readonly #log: Log;
  readonly #files = new Map<string, Watched>();
  readonly #directories = new Map<string, FSWatcher>();
  #timer: NodeJS.Timeout | undefined;

  constructor(report: (name: string, value: number) => void, log: Log) {
    this.#report = report;
    this.#log = log;
  }

  configure(models: readonly VrrpTrackFile[]): void {
    const names = new Set(models.map(({ name }) => name));
    for (const name of this.#files.keys()) if (!names.has(name)) this.#files.delete(name);
    for (const model of models) {
      const known = this.#files.get(model.name);
      if (known?.model.path === model.path) {
        known.model = model;
        continue;
      }
      this.#initialise(model);
      this.#files.set(model.name, { model, value: undefined });
    }
    const directories = new Set([...this.#files.values()].map(({ model }) => dirname(model.path)));
    for (const [directory, watcher] of this.#directories) {
      if (directories.has(directory)) continue;
      watcher.close();
      this.#directories.delete(directory);
    }
    clearInterval(this.#timer);
    if (this.#files.size > 0) this.#timer = setInterval(() => this.#look(), LOOK_AGAIN);
    this.#look();
  }

  close(): void {
    clearInterval(this.#timer);
    for (const watcher of this.#directories.values()) watcher.close();
    this.#directories.clear();
    this.#files.clear();
  }

  #look(): void {
    for (const watched of this.#files.values()) {
      this.#watch(dirname(watched.model.path));
      this.#read(watched);
    }
  }

  /** Watches the directory, since editors and scripts replace files instead of writing into them. */
  #watch(directory: string): void {
    if (this.#directories.has(directory)) return;
    try {
      const watcher = watch(directory, { persistent: false }, (_event, file) => {
        for (const watched of this.#files.values()) {
          const { path } = watched.model;
          if (dirname(path) === directory && (file === null || file === basename(path))) this.#read(watched);
        }
      });
      const forget = () => {
        watcher.close();
        if (this.#directories.get(directory) === watcher) this.#directories.delete(directory);
      };
      watcher.on('error', forget);
      this.#directories.set(directory, watcher);
    } catch {
      // It does not exist yet: the file's value is 0 until it does.
    }
  }

  #read(watched: Watched): void {
    const value = readNumber(watched.model.path);
    if (value === watched.value) return;
    watched.value = value;
    this.#report(watched.model.name, value);
  }

  #initialise(model: VrrpTrackFile): void {
    if (!model.init) return;
    try {
      writeFileSync(model.path, `${model.init.value}\n`, { flag: model.init.overwrite ? 'w' : 'wx' });
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === 'EEXIST') return;
      this.#log.error(`track_file ${model.name}: cannot write ${model.path}: ${(error as Error).message}`);
    }
  }
}

/** The number at the start of a file, as strtol with base 0 reads it; 0 when there is none. */
export function readNumber(path: string): number {
  const bytes = Buffer.alloc(128);
  try {
    const fd = openSync(path, 'r');
    try {
      return parseNumber(bytes.toString('latin1', 0, readSync(fd, bytes, 0, bytes.length, 0)));
    } finally {
      closeSync(fd);
    }
  } catch {
    return 0;
  }
}

/** The integer that a text begins with: decimal, 0x hexadecimal or 0 octal. */
export function parseNumber(text: string): number {
  const found = /^\s*([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)/.exec(text);
  if (!found) return 0;
  const digits = found[2]!;
  const base = /^0[xX]/.test(digits) ? 16 : digits.startsWith('0') ? 8 : 10;
  const value = Number.parseInt(base === 16 ? digits.slice(2) : digits, base);
  return found[1] === '-' ? -value : value;
}
