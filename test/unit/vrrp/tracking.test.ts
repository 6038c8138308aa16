import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { mkdirSync, mkdtempSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import {
  emptyVrrpModel,
  instanceDefaults,
  type VrrpModel,
  type VrrpSyncGroup,
  type VrrpTrackProcess,
} from '../../../keepalived/model/vrrp.js';
import { Log } from '../../../lib/log.js';
import { FileWatcher, parseNumber } from '../../../vrrp/file-watcher.js';
import type { Interfaces } from '../../../vrrp/interfaces.js';
import { effectivePriority, totalPriority } from '../../../vrrp/priority.js';
import { matches, ProcessWatcher } from '../../../vrrp/process-watcher.js';
import { ScriptCounter } from '../../../vrrp/script-counter.js';
import { ScriptRunner } from '../../../vrrp/script-runner.js';
import { Trackers } from '../../../vrrp/trackers.js';

const quiet = new Log(() => {});

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('priority', () => {
  it('adds positive weights while well, negative ones while failing, and reverse turns the direction', () => {
    const of = (weight: number, well: boolean | undefined, reverse = false) =>
      effectivePriority(100, [{ weight, well, reverse }]);
    assert.deepEqual(
      [of(20, true), of(20, false), of(-20, true), of(-20, false), of(20, undefined), of(0, false)],
      [120, 100, 100, 80, 100, 100],
    );
    assert.deepEqual([of(20, true, true), of(20, false, true), of(-20, false, true)], [80, 100, 120]);
  });

  it('stays within 1..254, and an owner keeps 255', () => {
    const down = { weight: -253, well: false, reverse: false };
    assert.equal(effectivePriority(100, [down]), 1);
    assert.equal(totalPriority(100, [down]), -153);
    assert.equal(effectivePriority(200, [], [100]), 254);
    assert.equal(effectivePriority(255, [down], [-10]), 255);
  });
});

describe('tracked scripts', () => {
  it('count at once the first time, then only rise or fall in a row', () => {
    const counter = new ScriptCounter(2, 3, false);
    assert.equal(counter.well, undefined);
    assert.ok(counter.report(true));
    assert.equal(counter.well, true);
    assert.equal(counter.result, 4);
    assert.deepEqual(
      [false, false, true, false, false].map((result) => counter.report(result)),
      [false, false, false, false, false],
    );
    assert.ok(counter.report(false));
    assert.equal(counter.well, false);
    assert.ok(!counter.report(true));
    assert.ok(!counter.report(false));
    assert.ok(!counter.report(true));
    assert.ok(counter.report(true));
    assert.equal(counter.well, true);
    counter.configure(1, 1);
    assert.equal(counter.well, true);
    assert.ok(counter.report(false));
    assert.equal(new ScriptCounter(1, 1, true).well, false);
  });

  it('run in their interval, never beside themselves, and keep their rhythm across a reload', async () => {
    const begun: string[] = [];
    const reports: [string, boolean][] = [];
    const finish: (() => void)[] = [];
    const runner = new ScriptRunner(
      (script) =>
        new Promise((resolve) => {
          begun.push(script.argv[0]!);
          const code = script.argv[0] === 'good' ? 0 : 1;
          if (script.argv[0] === 'slow') finish.push(() => resolve({ code, timedOut: false }));
          else resolve({ code, timedOut: false });
        }),
      (name, success) => reports.push([name, success]),
      quiet,
    );
    const model = (name: string, interval: number) => ({
      name,
      script: { argv: [name] },
      interval,
      timeout: 1000,
      weight: 0,
      reverse: false,
      rise: 1,
      fall: 1,
      initFail: false,
    });
    runner.configure([model('good', 20), model('bad', 20), model('slow', 5)]);
    await until('reports', () => reports.length >= 6);
    assert.ok(reports.every(([name, success]) => success === (name === 'good')));
    assert.equal(begun.filter((name) => name === 'slow').length, 1);
    const before = begun.length;
    runner.configure([{ ...model('good', 20), weight: 5 }, model('slow', 5)]);
    await until('good goes on', () => begun.length > before + 1);
    assert.ok(!begun.slice(before + 1).includes('bad'));
    finish[0]!();
    await until('slow again', () => finish.length > 1);
    runner.close();
  });
});

describe('tracked files', () => {
  it('hold a number as strtol reads it', () => {
    const numbers: [string, number][] = [
      ['5\n', 5],
      [' -12 words', -12],
      ['0x1F', 31],
      ['010', 8],
      ['+7', 7],
      ['', 0],
      ['words', 0],
      ['09', 0],
    ];
    for (const [text, value] of numbers) assert.equal(parseNumber(text), value, JSON.stringify(text));
  });

  it('are followed when written, replaced, removed, and when their directory comes later', async () => {
    const directory = mkdtempSync(join(tmpdir(), 'vrrp-files-'));
    const said: Record<string, number[]> = {};
    const watcher = new FileWatcher((name, value) => {
      said[name] = [...(said[name] ?? []), value];
    }, quiet);
    try {
      const path = join(directory, 'number');
      const late = join(directory, 'later', 'number');
      const initial = join(directory, 'initial');
      watcher.configure([
        { name: 'n', path, weight: 1, reverse: false },
        { name: 'late', path: late, weight: 1, reverse: false },
        { name: 'initial', path: initial, weight: 1, reverse: false, init: { value: 9, overwrite: false } },
      ]);
      assert.deepEqual(said, { n: [0], late: [0], initial: [9] });
      writeFileSync(path, '3');
      await until('written', () => said.n?.at(-1) === 3);
      writeFileSync(join(directory, 'new'), '4');
      renameSync(join(directory, 'new'), path);
      await until('replaced', () => said.n?.at(-1) === 4);
      rmSync(path);
      await until('removed', () => said.n?.at(-1) === 0);
      mkdirSync(join(directory, 'later'));
      writeFileSync(late, '6');
      await until('later', () => said.late?.at(-1) === 6);
    } finally {
      watcher.close();
      rmSync(directory, { recursive: true });
    }
  });
});

describe('tracked processes', () => {
  const model = (about: Partial<VrrpTrackProcess>): VrrpTrackProcess => ({
    name: 'p',
    argv: ['sleep'],
    fullCommand: false,
    weight: 0,
    reverse: false,
    quorum: 1,
    forkDelay: 0,
    terminateDelay: 0,
    ...about,
  });

  it('match by name, by path, and by parameters', async () => {
    const child = spawn('/bin/sleep', ['54', '321'], { stdio: 'ignore' });
    try {
      const directory = `/proc/${child.pid}`;
      await until('it runs', () => matches(directory, model({})));
      const cases: [Partial<VrrpTrackProcess>, boolean][] = [
        [{ argv: ['sleeper'] }, false],
        [{ argv: ['/bin/sleep'], fullCommand: true }, true],
        [{ argv: ['sleep'], fullCommand: true }, false],
        [{ argv: ['sleep', '54', '321'], parameterMatch: 'exact' }, true],
        [{ argv: ['sleep', '54'], parameterMatch: 'exact' }, false],
        [{ argv: ['sleep'], parameterMatch: 'exact' }, false],
        [{ argv: ['sleep', '54'], parameterMatch: 'partial' }, true],
        [{ argv: ['sleep', '5'], parameterMatch: 'partial' }, false],
        [{ argv: ['sleep', '54', '32'], parameterMatch: 'initial' }, true],
        [{ argv: ['sleep', '5', '321'], parameterMatch: 'initial' }, false],
      ];
      for (const [about, expected] of cases) {
        assert.equal(matches(directory, model(about)), expected, JSON.stringify(about));
      }
      assert.equal(matches('/proc/999999999', model({})), false);
    } finally {
      child.kill('SIGKILL');
    }
  });

  it('are counted as they come and go, going with a delay', async () => {
    const argv = ['sleep', '4711', String(process.pid)];
    const counts: number[] = [];
    const watcher = new ProcessWatcher((_name, count) => counts.push(count));
    watcher.configure([model({ argv, parameterMatch: 'exact', terminateDelay: 300 })]);
    const child = spawn('sleep', argv.slice(1), { stdio: 'ignore' });
    try {
      await until('it came', () => counts.at(-1) === 1);
      const start = performance.now();
      child.kill('SIGKILL');
      await until('it went', () => counts.at(-1) === 0);
      assert.ok(performance.now() - start >= 250);
      assert.deepEqual(counts, [0, 1, 0]);
    } finally {
      child.kill('SIGKILL');
      watcher.close();
    }
  });
});

describe('what trackers say about an instance', () => {
  const interfaces = (up: Record<string, boolean>) =>
    ({ get: (name: string) => (name in up ? { up: up[name] } : undefined) }) as unknown as Interfaces;
  const model = (): VrrpModel => ({
    ...emptyVrrpModel('host'),
    scripts: [
      {
        name: 's',
        script: { argv: ['true'] },
        interval: 1000,
        timeout: 1000,
        weight: 0,
        reverse: false,
        rise: 1,
        fall: 1,
        initFail: false,
      },
    ],
    trackFiles: [{ name: 'f', path: '/f', weight: 2, reverse: false }],
    bfdSessions: [{ name: 'b', weight: 0, reverse: false }],
    trackProcesses: [
      {
        name: 'p',
        argv: ['p'],
        fullCommand: false,
        weight: 0,
        reverse: false,
        quorum: 2,
        quorumMax: 3,
        forkDelay: 0,
        terminateDelay: 0,
      },
    ],
  });

  it('without weight: unknown holds back, failing is a fault, reverse turns it round', () => {
    const trackers = new Trackers();
    trackers.configure(model());
    const instance = { ...instanceDefaults('VI', 1), trackScripts: [{ name: 's' }] };
    const look = (about = instance) => trackers.view(about, undefined, interfaces({}));
    assert.deepEqual([look().pending, look().faults], [true, []]);
    trackers.report({ type: 'script', name: 's', success: false });
    assert.deepEqual([look().pending, look().faults], [false, ['script s fails']]);
    assert.equal(trackers.report({ type: 'script', name: 's', success: false }), undefined, 'no news');
    trackers.report({ type: 'script', name: 's', success: true });
    assert.deepEqual(look().faults, []);
    const reverse = { ...instance, trackScripts: [{ name: 's', reverse: true }] };
    assert.deepEqual(look(reverse).faults, ['script s succeeds']);
    const weighted = { ...instance, trackScripts: [{ name: 's', weight: 7 }] };
    assert.deepEqual(look(weighted).contributions, [{ weight: 7, reverse: false, well: true }]);
    // The same script after a reload keeps what is known of it.
    trackers.configure(model());
    assert.equal(look().pending, false);
  });

  it('interfaces, processes within their quorum, BFD sessions, and those of the group', () => {
    const trackers = new Trackers();
    trackers.configure(model());
    const instance = { ...instanceDefaults('VI', 1), trackInterfaces: [{ name: 'eth1' }, { name: 'gone' }] };
    const group = {
      name: 'G',
      members: ['VI'],
      trackInterfaces: [],
      trackScripts: [],
      trackFiles: [],
      trackProcesses: [{ name: 'p' }],
      trackBfd: [{ name: 'b' }],
      trackingWeight: false,
      notify: {},
      smtpAlert: false,
      notifyPriorityChanges: false,
    } as VrrpSyncGroup;
    trackers.report({ type: 'process', name: 'p', count: 4 });
    assert.ok(trackers.bfd('b', false));
    assert.ok(!trackers.bfd('b', false));
    assert.deepEqual(trackers.view(instance, group, interfaces({ eth1: false })).faults, [
      'interface eth1 is down',
      'interface gone is down',
      'process p is not there',
      'BFD session b is down',
    ]);
    trackers.report({ type: 'process', name: 'p', count: 2 });
    trackers.bfd('b', true);
    assert.deepEqual(trackers.view(instance, group, interfaces({ eth1: true, gone: true })).faults, []);
  });

  it('files: value times weight, a limit, a fault at -254', () => {
    const trackers = new Trackers();
    trackers.configure(model());
    const instance = { ...instanceDefaults('VI', 1), trackFiles: [{ name: 'f' }] };
    const say = (value: number, reference = {}) => {
      trackers.report({ type: 'file', name: 'f', value });
      const about = { ...instance, trackFiles: [{ name: 'f', ...reference }] };
      const { adjustments, faults } = trackers.view(about, undefined, interfaces({}));
      return faults.length > 0 ? 'fault' : adjustments[0];
    };
    assert.deepEqual([say(10), say(-126), say(-127), say(1000)], [20, -252, 'fault', 253]);
    assert.deepEqual([say(10, { reverse: true }), say(127, { reverse: true })], [-20, 'fault']);
    assert.deepEqual([say(0, { weight: 0 }), say(1, { weight: 0 })], [undefined, 'fault']);
    assert.deepEqual(
      [say(0, { weight: 0, reverse: true }), say(1, { weight: 0, reverse: true })],
      ['fault', undefined],
    );
  });
});
