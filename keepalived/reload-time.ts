import { type FSWatcher, readFileSync, unlinkSync, watch } from 'node:fs';
import { basename, dirname } from 'node:path';
import type { Log } from '../lib/log.js';
import type { Global } from './model/global.js';

/**
 * The time of `reload_time_file`: `HH:MM:SS`, `YY-MM-DD HH:MM:SS` or `YYYY-MM-DD HH:MM:SS`, local time or, with a `Z` behind it, UTC.
 * @returns milliseconds since 1970; undefined when the text is something else or the time has passed. A time without date that has
 *   passed today means tomorrow.
 */
export function readReloadTime(text: string, now: Date): number | undefined {
  const line = text.split('\n')[0] as string;
  const match = /^(?:(\d{2}|\d{4})-(\d{2})-(\d{2}) )?(\d{2}):(\d{2}):(\d{2})(Z)?$/.exec(line);
  if (!match) return undefined;
  const [, year, month, day, hour, minute, second, utc] = match;
  if (Number(hour) > 23 || Number(minute) > 59 || Number(second) > 60) return undefined;
  const time = [Number(hour), Number(minute), Number(second)] as const;
  if (year === undefined) {
    const today = new Date(now);
    if (utc) today.setUTCHours(...time, 0);
    else today.setHours(...time, 0);
    if (today.getTime() <= now.getTime()) {
      if (utc) today.setUTCDate(today.getUTCDate() + 1);
      else today.setDate(today.getDate() + 1);
    }
    return today.getTime();
  }
  if (Number(month) < 1 || Number(month) > 12 || Number(day) < 1 || Number(day) > 31) return undefined;
  const full = year.length === 2 ? 2000 + Number(year) : Number(year);
  const date = utc
    ? Date.UTC(full, Number(month) - 1, Number(day), ...time)
    : new Date(full, Number(month) - 1, Number(day), ...time).getTime();
  return date > now.getTime() ? date : undefined;
}

/** Timers of more than 24 days overflow; long ones are looked at again after a day. Milliseconds. */
const DAY = 86_400_000;

/** `reload_time_file`: reloads at the time that stands in it, whenever the file appears or changes. */
export class ReloadSchedule {
  readonly #log: Log;
  readonly #reload: () => void;
  #timer: NodeJS.Timeout | undefined;
  #watch: FSWatcher | undefined;

  constructor(log: Log, reload: () => void) {
    this.#log = log;
    this.#reload = reload;
  }

  /** Looks at the file that this configuration names from now on. */
  follow({ reloadTimeFile: path, reloadRepeat }: Global): void {
    this.close();
    if (path === undefined) return;
    const read = () => this.#read(path, reloadRepeat ?? false);
    try {
      this.#watch = watch(dirname(path), { persistent: false }, (_event, name) => {
        if (name === basename(path)) read();
      });
    } catch (error) {
      this.#log.warning(`reload_time_file: ${(error as Error).message}: no reload will be scheduled`);
      return;
    }
    read();
  }

  close(): void {
    clearTimeout(this.#timer);
    this.#watch?.close();
    this.#watch = undefined;
  }

  #read(path: string, repeat: boolean): void {
    clearTimeout(this.#timer);
    let text: string;
    try {
      text = readFileSync(path, 'utf8');
    } catch {
      return;
    }
    const at = readReloadTime(text, new Date());
    if (at === undefined) {
      const found = (text.split('\n')[0] as string).slice(0, 40);
      this.#log.warning(`reload_time_file ${path}: no time to come in '${found}'`);
      return;
    }
    this.#log.info(`Reload scheduled for ${new Date(at).toISOString()}`);
    const wait = () => {
      const left = Math.max(0, at - Date.now());
      this.#timer = setTimeout(left > DAY ? wait : due, Math.min(left, DAY));
      this.#timer.unref();
    };
    const due = () => {
      if (!repeat) {
        try {
          unlinkSync(path);
        } catch {
          // Somebody was faster.
        }
      }
      this.#reload();
    };
    wait();
  }
}
