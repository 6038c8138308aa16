import { readdirSync, readFileSync } from 'node:fs';
import { basename } from 'node:path';
import type { VrrpTrackProcess } from '../keepalived/model/vrrp.js';

/** How often /proc is looked through. */
const PERIOD = 250;
/** Names in /proc/PID/comm end after this many bytes. */
const COMM_LENGTH = 15;

interface Watched {
  model: VrrpTrackProcess;
  reported: number | undefined;
  /** A count that differs from the reported one since when. */
  pending: { count: number; since: number } | undefined;
}

/** Counts the processes that match, and tells when the count has stayed different for the configured delay. */
export class ProcessWatcher {
  readonly #report: (name: string, count: number) => void;
  readonly #watched = new Map<string, Watched>();
  #timer: NodeJS.Timeout | undefined;

  constructor(report: (name: string, count: number) => void) {
    this.#report = report;
  }

  configure(models: readonly VrrpTrackProcess[]): void {
    const names = new Set(models.map(({ name }) => name));
    for (const name of this.#watched.keys()) if (!names.has(name)) this.#watched.delete(name);
    for (const model of models) {
      const known = this.#watched.get(model.name);
      if (known && JSON.stringify(known.model) === JSON.stringify(model)) continue;
      this.#watched.set(model.name, { model, reported: undefined, pending: undefined });
    }
    clearInterval(this.#timer);
    this.#timer = undefined;
    if (this.#watched.size === 0) return;
    this.#timer = setInterval(() => this.#scan(), PERIOD);
    this.#scan();
  }

  close(): void {
    clearInterval(this.#timer);
    this.#watched.clear();
  }

  #scan(): void {
    const counts = new Map([...this.#watched.keys()].map((name) => [name, 0]));
    for (const pid of readdirSync('/proc')) {
      if (!/^\d+$/.test(pid)) continue;
      for (const [name, { model }] of this.#watched) {
        if (matches(`/proc/${pid}`, model)) counts.set(name, counts.get(name)! + 1);
      }
    }
    const now = performance.now();
    for (const [name, watched] of this.#watched) this.#settle(name, watched, counts.get(name)!, now);
  }

  #settle(name: string, watched: Watched, count: number, now: number): void {
    if (watched.reported === count) {
      watched.pending = undefined;
      return;
    }
    if (watched.pending?.count !== count) watched.pending = { count, since: now };
    const more = count > (watched.reported ?? -1);
    const delay =
      watched.reported === undefined ? 0 : more ? watched.model.forkDelay : watched.model.terminateDelay;
    if (now - watched.pending.since < delay) return;
    watched.reported = count;
    watched.pending = undefined;
    this.#report(name, count);
  }
}

/** Whether the process in this directory of /proc is one that the model means; a process that has just ended is none. */
export function matches(directory: string, model: VrrpTrackProcess): boolean {
  const [command = '', ...parameters] = model.argv;
  try {
    const wantsParameters = model.parameterMatch !== undefined;
    if (!model.fullCommand && !wantsParameters) {
      const comm = readFileSync(`${directory}/comm`, 'latin1').trimEnd();
      return comm === basename(command).slice(0, COMM_LENGTH);
    }
    const line = readFileSync(`${directory}/cmdline`, 'latin1');
    if (line === '') return false;
    const words = line.split('\0');
    if (line.endsWith('\0')) words.pop();
    const [program = '', ...found] = words;
    const right = model.fullCommand ? program === command : basename(program) === basename(command);
    return right && (!wantsParameters || parametersMatch(found, parameters, model.parameterMatch!));
  } catch {
    return false;
  }
}

function parametersMatch(
  found: readonly string[],
  wanted: readonly string[],
  how: 'exact' | 'initial' | 'partial',
): boolean {
  if (how === 'exact' && found.length !== wanted.length) return false;
  if (found.length < wanted.length) return false;
  return wanted.every((word, i) => {
    // The last parameter of an initial match may go on.
    if (how === 'initial' && i === wanted.length - 1) return found[i]!.startsWith(word);
    return found[i] === word;
  });
}
