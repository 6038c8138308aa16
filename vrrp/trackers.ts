import type { TrackReference, VrrpInstance, VrrpModel, VrrpSyncGroup } from '../keepalived/model/vrrp.js';
import type { CompanionReport } from './companion-protocol.js';
import type { Interfaces } from './interfaces.js';
import type { Contribution } from './priority.js';
import { ScriptCounter } from './script-counter.js';

/** What trackers say about one instance. */
export interface TrackerView {
  /** Sentences: why the instance must be in FAULT. */
  faults: string[];
  /** A tracked thing without weight has not been looked at yet: the instance must not start. */
  pending: boolean;
  contributions: Contribution[];
  adjustments: number[];
}

/** A tracked file that says this or less is a fault (the weight times the number). */
const FILE_FAULT = -254;
const FILE_LIMIT = 253;

interface Tracked {
  well: boolean | undefined;
  weight: number;
  reverse: boolean;
}

/** What is known about everything that is tracked besides interfaces' own states. */
export class Trackers {
  #model: VrrpModel | undefined;
  readonly #scripts = new Map<string, { counter: ScriptCounter; key: string }>();
  readonly #files = new Map<string, number>();
  readonly #processes = new Map<string, number>();
  readonly #bfd = new Map<string, boolean>();

  /** New definitions; a script that did not change keeps its status. */
  configure(model: VrrpModel): void {
    this.#model = model;
    for (const script of model.scripts) {
      const key = JSON.stringify([script.script, script.weight, script.reverse]);
      const known = this.#scripts.get(script.name);
      if (known?.key === key) known.counter.configure(script.rise, script.fall);
      else {
        const counter = new ScriptCounter(script.rise, script.fall, script.initFail);
        this.#scripts.set(script.name, { counter, key });
      }
    }
    prune(this.#scripts, model.scripts);
    prune(this.#files, model.trackFiles);
    prune(this.#processes, model.trackProcesses);
    prune(this.#bfd, model.bfdSessions);
  }

  /** Takes a report of the companion. @returns a sentence for the log when something changed, else undefined */
  report(report: CompanionReport): string | undefined {
    switch (report.type) {
      case 'script': {
        const known = this.#scripts.get(report.name);
        if (!known?.counter.report(report.success)) return undefined;
        return `Script \`${report.name}\` ${known.counter.well ? 'succeeded' : 'failed'}`;
      }
      case 'file':
        this.#files.set(report.name, report.value);
        return `Track file ${report.name} says ${report.value}`;
      case 'process':
        this.#processes.set(report.name, report.count);
        return `${report.count} processes match ${report.name}`;
    }
  }

  /** Tells that a BFD session is up or down. @returns whether that is news */
  bfd(name: string, up: boolean): boolean {
    if (this.#bfd.get(name) === up) return false;
    this.#bfd.set(name, up);
    return true;
  }

  /** Status of a script for dumps. */
  script(name: string): { well: boolean | undefined; result: number } {
    const counter = this.#scripts.get(name)?.counter;
    return { well: counter?.well, result: counter?.result ?? 0 };
  }

  fileValue(name: string): number {
    return this.#files.get(name) ?? 0;
  }

  processCount(name: string): number {
    return this.#processes.get(name) ?? 0;
  }

  /** Everything that the instance and its group track. */
  view(instance: VrrpInstance, group: VrrpSyncGroup | undefined, interfaces: Interfaces): TrackerView {
    const view: TrackerView = { faults: [], pending: false, contributions: [], adjustments: [] };
    for (const source of group ? [instance, group] : [instance]) {
      for (const reference of source.trackInterfaces) {
        const well = interfaces.get(reference.name)?.up ?? false;
        this.#add(view, `interface ${reference.name}`, 'is up', 'is down', reference, {
          well,
          weight: 0,
          reverse: false,
        });
      }
      for (const reference of source.trackScripts) {
        this.#add(
          view,
          `script ${reference.name}`,
          'succeeds',
          'fails',
          reference,
          this.#script(reference.name),
        );
      }
      for (const reference of source.trackProcesses) {
        this.#add(
          view,
          `process ${reference.name}`,
          'is there',
          'is not there',
          reference,
          this.#process(reference.name),
        );
      }
      for (const reference of source.trackBfd) {
        const session = this.#model?.bfdSessions.find(({ name }) => name === reference.name);
        this.#add(view, `BFD session ${reference.name}`, 'is up', 'is down', reference, {
          well: this.#bfd.get(reference.name),
          weight: session?.weight ?? 0,
          reverse: session?.reverse ?? false,
        });
      }
      for (const reference of source.trackFiles) this.#file(view, reference);
    }
    return view;
  }

  #script(name: string): Tracked {
    const script = this.#model?.scripts.find((one) => one.name === name);
    return {
      well: this.#scripts.get(name)?.counter.well,
      weight: script?.weight ?? 0,
      reverse: script?.reverse ?? false,
    };
  }

  #process(name: string): Tracked {
    const process = this.#model?.trackProcesses.find((one) => one.name === name);
    const count = this.#processes.get(name);
    const most = process?.quorumMax ?? Number.POSITIVE_INFINITY;
    return {
      well: count === undefined ? undefined : count >= (process?.quorum ?? 1) && count <= most,
      weight: process?.weight ?? 0,
      reverse: process?.reverse ?? false,
    };
  }

  #add(
    view: TrackerView,
    what: string,
    good: string,
    bad: string,
    reference: TrackReference,
    tracked: Tracked,
  ): void {
    const weight = reference.weight ?? tracked.weight;
    const reverse = reference.reverse ?? tracked.reverse;
    const { well } = tracked;
    view.contributions.push({ weight, reverse, well });
    if (weight !== 0) return;
    if (well === undefined) view.pending = true;
    else if (well === reverse) view.faults.push(`${what} ${well ? good : bad}`);
  }

  #file(view: TrackerView, reference: TrackReference): void {
    const file = this.#model?.trackFiles.find(({ name }) => name === reference.name);
    const value = this.#files.get(reference.name);
    const weight = reference.weight ?? file?.weight ?? 1;
    const reverse = reference.reverse ?? file?.reverse ?? false;
    if (value === undefined) {
      // It is read as soon as the companion runs.
      view.pending ||= weight === 0;
      return;
    }
    if (weight === 0) {
      if ((value !== 0) !== reverse) view.faults.push(`file ${reference.name} says ${value}`);
      return;
    }
    const result = value * weight * (reverse ? -1 : 1);
    if (result <= FILE_FAULT) view.faults.push(`file ${reference.name} says ${value}`);
    else view.adjustments.push(Math.min(FILE_LIMIT, result));
  }
}

function prune(known: Map<string, unknown>, models: readonly { name: string }[]): void {
  const names = new Set(models.map(({ name }) => name));
  for (const name of known.keys()) if (!names.has(name)) known.delete(name);
}
