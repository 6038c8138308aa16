import type { DpvsdClient } from './client.js';
import type { Conf } from './conf/parse.js';
import { Table, Verb } from './generated/control.js';
import type { Plan } from './plan/plan.js';
import { fixedSettings, reloadable, type Setting } from './settings.js';
import type { Started } from './started.js';

/** What a reload does to a running dpvsd. */
export interface Reload {
  /** Settings to send, with the value that runs now. */
  change: (Setting & { running: string })[];
  /** Settings whose new value needs a restart. `running` is absent where the process has no such line. */
  restart: (Setting & { running?: string })[];
}

/** Ports and workers are lists: their number belongs to the name. */
function keyed({ name, value }: Setting): Setting {
  const numbered = (name === 'port' || name === 'worker') && /^(\d+) (.*)$/.exec(value);
  return numbered ? { name: `${name} ${numbered[1]}`, value: numbered[2]! } : { name, value };
}

/**
 * Compares what runs with what the file says now. A setting that the process does not report is left alone, since nothing is known
 * about it; one that it reports and the file no longer yields counts as needing a restart only for ports and workers.
 * @param running see runningSettings
 * @param plan undefined when none could be made; then only the items that need no plan are compared
 */
export function compare(running: Setting[], conf: Conf, plan: Plan | undefined): Reload {
  const now = new Map(running.map(keyed).map(({ name, value }) => [name, value]));
  const reload: Reload = { change: [], restart: [] };
  for (const { name, value } of reloadable(conf.model)) {
    const before = now.get(name);
    if (before !== undefined && before !== value) reload.change.push({ name, value, running: before });
  }
  if (!plan) return reload;
  const numbered = [...now.keys()].some((name) => /^(port|worker) /.test(name));
  const fixed = fixedSettings(conf, plan).map(keyed);
  for (const { name, value } of fixed) {
    const before = now.get(name);
    if (before === undefined) {
      if (numbered && /^(port|worker) /.test(name)) reload.restart.push({ name, value });
    } else if (before !== value) reload.restart.push({ name, value, running: before });
  }
  for (const [name, before] of now) {
    if (/^(port|worker) /.test(name) && !fixed.some((setting) => setting.name === name)) {
      reload.restart.push({ name, value: 'none', running: before });
    }
  }
  return reload;
}

/** `port 0` goes from `rxd 256` to `rxd 512`: only the pairs that differ are worth reading. */
export function describe({ name, value, running }: Setting & { running?: string }): string {
  if (running === undefined) return `${name}: new: ${value}`;
  const before = running.split(' ');
  const after = value.split(' ');
  if (before.length < 4 || before.length !== after.length) return `${name}: ${running} -> ${value}`;
  const pairs: string[] = [];
  for (let i = 0; i < after.length; i += 2) {
    if (before[i] === after[i] && before[i + 1] === after[i + 1]) continue;
    pairs.push(`${before[i]} ${before[i + 1]} -> ${after[i]} ${after[i + 1]}`);
  }
  return `${name}: ${pairs.join(', ')}`;
}

/** What runs: what the process was started with, if that can be known, with what it reports in place of it. */
export async function runningSettings(client: DpvsdClient, started: Started | undefined): Promise<Setting[]> {
  const reported = await client.list(Table.TABLE_SETTINGS, 'setting');
  const names = new Set(reported.map(({ name }) => name));
  return [...(started?.settings ?? []).filter(({ name }) => !names.has(name)), ...reported];
}

/** Sends the changes as one batch: all take effect, or none. Rejects with DpvsdError. */
export async function send(client: DpvsdClient, reload: Reload): Promise<void> {
  if (reload.change.length === 0) return;
  await client.apply(
    reload.change.map(({ name, value }) => ({
      verb: Verb.VERB_EDIT,
      object: { $case: 'setting' as const, value: { name, value } },
    })),
  );
}
