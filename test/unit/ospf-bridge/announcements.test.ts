import { deepEqual, equal, ok } from 'node:assert/strict';
import { VirtualClock } from '../../../lib/clock.js';
import {
  type AnnouncementSettings,
  Announcements,
  type Standing,
} from '../../../ospf-bridge/announcements.js';

const settings: AnnouncementSettings = { spacing: 1500, shared: false, hold: 0, damping: true };

class World {
  readonly clock = new VirtualClock(1_000_000);
  readonly batches: { at: number; changes: string[] }[] = [];
  refuse = new Map<string, string>();
  readonly table: Announcements;

  constructor(given: Partial<AnnouncementSettings> = {}) {
    this.table = new Announcements(this.clock, { ...settings, ...given }, (changes) => {
      this.batches.push({
        at: this.clock.now() - 1_000_000,
        changes: changes.map(({ address, to }) => `${address} ${to}`),
      });
      return this.refuse;
    });
  }

  wish(address: string, standing: Standing, deliberate = false): void {
    this.table.wish(address, { standing, reason: 'test', deliberate });
  }
}

describe('announcements', () => {
  it('go at once, and all of one turn in one batch', () => {
    const world = new World();
    for (let i = 0; i < 1000; i++) world.wish(`10.0.${i >> 8}.${i & 255}`, 'announced');
    equal(world.batches.length, 0);
    world.clock.advance(0);
    equal(world.batches.length, 1);
    equal(world.batches[0]!.changes.length, 1000);
  });

  it('of one address are spaced, those of others are not held back by that', () => {
    const world = new World();
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(200);
    world.wish('10.0.0.1', 'withdrawn');
    world.wish('10.0.0.2', 'announced');
    world.clock.advance(5000);
    deepEqual(world.batches, [
      { at: 0, changes: ['10.0.0.1 announced'] },
      { at: 200, changes: ['10.0.0.2 announced'] },
      { at: 1500, changes: ['10.0.0.1 withdrawn'] },
    ]);
  });

  it('that share an LSA are spaced together', () => {
    const world = new World({ shared: true });
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(200);
    world.wish('10.0.0.2', 'announced');
    world.clock.advance(5000);
    deepEqual(
      world.batches.map(({ at }) => at),
      [0, 1500],
    );
  });

  it('tell how long a batch took from the decision, or from the end of the spacing', () => {
    let busy = 0;
    const clock = new VirtualClock(1_000_000);
    const table = new Announcements(
      { now: () => clock.now() + busy, after: (delay, callback) => clock.after(delay, callback) },
      settings,
      () => {
        busy += 12;
        return new Map();
      },
    );
    equal(table.lastBatch, undefined);
    const wish = (address: string, standing: Standing) => table.wish(address, { standing, reason: 'test' });
    wish('10.0.0.1', 'announced');
    // What is decided takes its time too.
    busy += 5;
    wish('10.0.0.2', 'announced');
    clock.advance(0);
    deepEqual(table.lastBatch, { addresses: 2, milliseconds: 17 });
    clock.advance(200);
    wish('10.0.0.1', 'withdrawn');
    clock.advance(5000);
    deepEqual(table.lastBatch, { addresses: 1, milliseconds: 12 });
  });

  it('that return to what stands need no change', () => {
    const world = new World();
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(100);
    world.wish('10.0.0.1', 'withdrawn');
    world.clock.advance(100);
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(10_000);
    equal(world.batches.length, 1);
  });

  it('wait for the hold time after a loss, not at first', () => {
    const world = new World({ hold: 10_000 });
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(2000);
    world.wish('10.0.0.1', 'withdrawn');
    world.clock.advance(2000);
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(9999);
    equal(world.table.get('10.0.0.1'), 'withdrawn');
    world.clock.advance(2);
    equal(world.table.get('10.0.0.1'), 'announced');
  });

  it('that come and go again and again are damped, and forgiven', () => {
    const world = new World();
    for (let round = 0; round < 4; round++) {
      world.wish('10.0.0.1', 'announced');
      world.clock.advance(2000);
      world.wish('10.0.0.1', 'withdrawn');
      world.clock.advance(2000);
    }
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(10_000);
    equal(world.table.get('10.0.0.1'), 'withdrawn');
    ok(world.table.list()[0]!.suppressed);
    // 4000 and a bit, halved every minute, is below 1500 within two minutes.
    world.clock.advance(120_000);
    equal(world.table.get('10.0.0.1'), 'announced');
    ok(!world.table.list()[0]!.suppressed);
  });

  it('are withdrawn without regard to damping, and an operator’s own doing is none', () => {
    const world = new World();
    for (let round = 0; round < 20; round++) {
      world.wish('10.0.0.1', 'announced', true);
      world.clock.advance(2000);
      world.wish('10.0.0.1', 'withdrawn', true);
      world.clock.advance(2000);
    }
    equal(world.batches.length, 40);
  });

  it('drain and undrain without a withdrawal in between', () => {
    const world = new World();
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(2000);
    world.wish('10.0.0.1', 'drained', true);
    world.clock.advance(2000);
    world.wish('10.0.0.1', 'announced', true);
    world.clock.advance(2000);
    deepEqual(
      world.batches.flatMap(({ changes }) => changes),
      ['10.0.0.1 announced', '10.0.0.1 drained', '10.0.0.1 announced'],
    );
  });

  it('that the kernel refuses are tried again, more and more seldom', () => {
    const world = new World();
    world.refuse = new Map([['10.0.0.1', 'no such device']]);
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(60_000);
    equal(world.table.list()[0]!.error, 'no such device');
    deepEqual(
      world.batches.map(({ at }) => at),
      [0, 1000, 3000, 7000, 15_000, 31_000],
    );
    world.refuse = new Map();
    world.clock.advance(30_000);
    equal(world.table.get('10.0.0.1'), 'announced');
    equal(world.table.list()[0]!.error, undefined);
  });

  it('of an earlier run are ours; what is not wished any more goes and is forgotten', () => {
    const world = new World();
    world.table.adopt('10.0.0.1', 'announced');
    world.table.adopt('10.0.0.2', 'drained');
    world.clock.advance(5000);
    equal(world.batches.length, 0);
    world.wish('10.0.0.1', 'announced');
    world.table.forget('10.0.0.2', 'gone');
    world.clock.advance(0);
    deepEqual(world.batches[0]!.changes, ['10.0.0.2 withdrawn']);
    deepEqual(
      world.table.list().map(({ address }) => address),
      ['10.0.0.1'],
    );
  });

  it('that somebody else removed are put back', () => {
    const world = new World();
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(5000);
    world.table.correct('10.0.0.1', 'withdrawn');
    world.clock.advance(0);
    equal(world.batches.length, 2);
  });

  it('end with everything withdrawn at once', () => {
    const world = new World();
    world.wish('10.0.0.1', 'announced');
    world.clock.advance(10);
    world.wish('10.0.0.1', 'withdrawn', true);
    world.table.flush();
    equal(world.table.get('10.0.0.1'), 'withdrawn');
  });

  it('never change one address twice within the spacing, on random wishes', () => {
    const world = new World({ hold: 700, damping: false });
    let seed = 42;
    const random = (limit: number) => {
      seed = (seed * 1103515245 + 12345) % 2147483648;
      return (seed >> 12) % limit;
    };
    for (let round = 0; round < 3000; round++) {
      world.wish(`10.0.0.${random(4)}`, (['withdrawn', 'announced', 'drained'] as const)[random(3)]!);
      world.clock.advance(random(400));
    }
    const last = new Map<string, number>();
    for (const { at, changes } of world.batches) {
      for (const change of changes) {
        const [address = ''] = change.split(' ');
        const before = last.get(address);
        if (before !== undefined) ok(at - before >= 1500, `${address} after ${at - before} ms`);
        last.set(address, at);
      }
    }
    ok(world.batches.length > 100);
  });
});
