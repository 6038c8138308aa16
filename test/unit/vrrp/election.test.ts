import assert from 'node:assert/strict';
import {
  type ElectionEvent,
  type ElectionSettings,
  type ElectionState,
  elect,
  initialElection,
  masterDownInterval,
  skewTime,
} from '../../../vrrp/election.js';

const own = Uint8Array.from([10, 0, 0, 1]);
const higher = Uint8Array.from([10, 0, 0, 2]);
const lower = Uint8Array.from([9, 255, 255, 255]);

function settings(about: Partial<ElectionSettings> = {}): ElectionSettings {
  return {
    priority: 100,
    owner: false,
    version: 3,
    advertInterval: 1000,
    downTimerAdverts: 3,
    initialState: 'backup',
    preempt: true,
    preemptDelay: 0,
    lowerPriorityNoAdvert: false,
    higherPrioritySendAdvert: false,
    ownerIgnoreAdverts: false,
    address: own,
    ...about,
  };
}

/** One router driven by hand: what it did is told in words. */
class Router {
  state: ElectionState = initialElection;
  now = 0;
  constructor(
    public settings: ElectionSettings,
    readonly grouped = false,
  ) {}

  at(now: number, event: ElectionEvent): string[] {
    this.now = now;
    const step = elect(this.state, event, this.settings, now, this.grouped);
    this.state = step.state;
    return step.actions.map((action) => (action.do === 'send' ? `send ${action.priority}` : action.do));
  }

  hears(now: number, priority: number, source = higher, interval = 1000): string[] {
    return this.at(now, { type: 'advert', source, priority, interval });
  }
}

function master(about: Partial<ElectionSettings> = {}): Router {
  const router = new Router(settings(about));
  router.at(0, { type: 'start' });
  router.at(router.state.deadline!, { type: 'timer' });
  assert.equal(router.state.name, 'master');
  return router;
}

describe('election', () => {
  it('counts skew in seconds for version 2 and in the interval for version 3', () => {
    assert.equal(skewTime(settings({ version: 2, advertInterval: 10_000 }), 10_000), (156 * 1000) / 256);
    assert.equal(skewTime(settings({ advertInterval: 100 }), 100), 60.9375);
    assert.equal(masterDownInterval(settings({ advertInterval: 100 }), 100), 360.9375);
    // As keepalived 2.2.7 prints it for priority 101 and 500 ms, and for version 2, priority 150 and 1 s.
    assert.equal(
      Math.floor(masterDownInterval(settings({ priority: 101, advertInterval: 500 }), 500) * 1000),
      1802734,
    );
    assert.equal(
      Math.floor(masterDownInterval(settings({ priority: 150, version: 2 }), 1000) * 1000),
      3414062,
    );
  });

  it('starts as backup and takes over after one master down interval, not before', () => {
    const router = new Router(settings());
    assert.deepEqual(router.at(0, { type: 'start' }), ['become-backup']);
    assert.equal(router.state.deadline, masterDownInterval(settings(), 1000));
    assert.deepEqual(router.at(3600, { type: 'timer' }), []);
    assert.deepEqual(router.at(router.state.deadline!, { type: 'timer' }), ['send 100', 'become-master']);
    assert.deepEqual(router.at(router.state.deadline!, { type: 'timer' }), ['send 100']);
  });

  it('state MASTER waits one interval only; the owner does not wait', () => {
    const router = new Router(settings({ initialState: 'master' }));
    router.at(0, { type: 'start' });
    assert.equal(router.state.name, 'backup');
    assert.equal(router.state.deadline, 1000 + skewTime(settings(), 1000));
    const owner = new Router(settings({ priority: 255, owner: true }));
    assert.deepEqual(owner.at(0, { type: 'start' }), ['send 255', 'become-master']);
  });

  it('resumes at once what an earlier run left in place, and listens first when it must not preempt', () => {
    const router = new Router(settings({ resumes: true }));
    assert.deepEqual(router.at(0, { type: 'start' }), ['send 100', 'become-master']);
    const shy = new Router(settings({ resumes: true, preempt: false }));
    shy.at(0, { type: 'start' });
    assert.equal(shy.state.name, 'backup');
    assert.equal(shy.state.deadline, 1000 + skewTime(settings(), 1000));
    // After a fault nothing is in place any more.
    router.at(10, { type: 'fault' });
    assert.deepEqual(router.at(20, { type: 'recover' }), ['become-backup']);
  });

  it('backup: a better or equal master is respected, in its own interval', () => {
    const router = new Router(settings());
    router.at(0, { type: 'start' });
    router.hears(500, 100, lower, 200);
    assert.equal(router.state.deadline, 500 + masterDownInterval(settings(), 200));
    router.hears(600, 101, higher, 4000);
    assert.equal(router.state.deadline, 600 + masterDownInterval(settings(), 4000));
  });

  it('backup: a resigning master is replaced after the skew time', () => {
    const router = new Router(settings());
    router.at(0, { type: 'start' });
    router.hears(500, 0);
    assert.equal(router.state.deadline, 500 + skewTime(settings(), 1000));
  });

  it('backup: a lower master is ignored with preempt, respected without', () => {
    const router = new Router(settings());
    router.at(0, { type: 'start' });
    const before = router.state.deadline;
    router.hears(500, 99);
    assert.equal(router.state.deadline, before);
    const shy = new Router(settings({ preempt: false }));
    shy.at(0, { type: 'start' });
    shy.hears(500, 99);
    assert.equal(shy.state.deadline, 500 + masterDownInterval(settings(), 1000));
  });

  it('preempt delay starts with the first lower advert and ends with a better one', () => {
    const router = new Router(settings({ preemptDelay: 5000 }));
    router.at(0, { type: 'start' });
    for (let now = 1000; now < 6000; now += 1000) router.hears(now, 50);
    const respected = 5000 + masterDownInterval(settings(), 1000);
    assert.equal(router.state.deadline, respected);
    router.hears(6000, 50);
    router.hears(7000, 50);
    assert.equal(router.state.deadline, respected, 'the delay is over');
    router.hears(7500, 100);
    router.hears(8000, 50);
    assert.equal(router.state.preemptAt, 13000, 'a new delay');
  });

  it('master: yields to a better one, or to an equal one with the higher address', () => {
    for (const [priority, source] of [
      [101, lower],
      [100, higher],
    ] as const) {
      const router = master();
      assert.deepEqual(router.hears(4000, priority, source), ['split-brain', 'become-backup']);
      assert.equal(router.state.deadline, 4000 + masterDownInterval(settings(), 1000));
    }
    const polite = master({ higherPrioritySendAdvert: true });
    assert.deepEqual(polite.hears(4000, 101), ['split-brain', 'send 100', 'become-backup']);
  });

  it('master: stands against a worse one, and answers unless told not to', () => {
    for (const [priority, source] of [
      [99, higher],
      [100, lower],
    ] as const) {
      const router = master();
      assert.deepEqual(router.hears(4000, priority, source), ['split-brain', 'send 100', 'announce-again']);
      assert.equal(router.state.deadline, 5000);
    }
    assert.deepEqual(master({ lowerPriorityNoAdvert: true }).hears(4000, 99), [
      'split-brain',
      'announce-again',
    ]);
  });

  it('master: answers a resignation at once', () => {
    assert.deepEqual(master().hears(4000, 0), ['send 100']);
  });

  it('owner: may ignore everybody; of two owners the higher address stays', () => {
    const deaf = new Router(settings({ priority: 255, owner: true, ownerIgnoreAdverts: true }));
    deaf.at(0, { type: 'start' });
    assert.deepEqual(deaf.hears(10, 255, higher), []);
    const owner = new Router(settings({ priority: 255, owner: true }));
    owner.at(0, { type: 'start' });
    assert.deepEqual(owner.hears(10, 255, higher), ['split-brain', 'become-backup']);
  });

  it('stop and fault resign when master, and keep quiet otherwise', () => {
    assert.deepEqual(master().at(4000, { type: 'stop' }), ['send 0', 'become-backup']);
    const router = master();
    assert.deepEqual(router.at(4000, { type: 'fault' }), ['send 0', 'become-fault']);
    assert.equal(router.state.deadline, undefined);
    assert.deepEqual(router.at(4100, { type: 'fault' }), []);
    assert.deepEqual(router.hears(4200, 0), []);
    assert.deepEqual(router.at(4300, { type: 'timer' }), []);
    assert.deepEqual(router.at(5000, { type: 'recover' }), ['become-backup']);
    assert.equal(router.state.deadline, 5000 + masterDownInterval(settings(), 1000));
    const owner = new Router(settings({ priority: 255, owner: true }));
    owner.at(0, { type: 'start' });
    owner.at(10, { type: 'fault' });
    assert.deepEqual(owner.at(20, { type: 'recover' }), ['send 255', 'become-master']);
    assert.deepEqual(new Router(settings()).at(0, { type: 'stop' }), []);
  });

  it('a late master does not send a burst, and a shy one that overslept steps back', () => {
    const router = master();
    const late = router.state.deadline! + 10_000;
    assert.deepEqual(router.at(late, { type: 'timer' }), ['send 100']);
    assert.equal(router.state.deadline, late + 1000);
    const shy = master({ preempt: false, timerExpiredBackupPriority: 254 });
    const due = shy.state.deadline!;
    assert.deepEqual(shy.at(due + 2000, { type: 'timer' }), ['send 100']);
    assert.deepEqual(shy.at(shy.state.deadline! + 2100, { type: 'timer' }), ['become-backup']);
  });

  it('a master may send a twentieth of an interval early, and keeps its rhythm', () => {
    const router = master();
    const due = router.state.deadline!;
    assert.deepEqual(router.at(due - 51, { type: 'timer' }), []);
    assert.deepEqual(router.at(due - 50, { type: 'timer' }), ['send 100']);
    assert.equal(router.state.deadline, due + 1000);
  });

  it('new settings take effect without waiting for the old interval', () => {
    const router = master({ advertInterval: 10_000 });
    router.settings = settings({ advertInterval: 100 });
    router.at(40_000, { type: 'settings' });
    assert.equal(router.state.deadline, Math.min(40_100, 40_000 + 100));
    const backup = new Router(settings({ priority: 1 }));
    backup.at(0, { type: 'start' });
    backup.settings = settings({ priority: 254 });
    backup.at(0, { type: 'settings' });
    assert.equal(backup.state.deadline, masterDownInterval(backup.settings, 1000));
  });

  it('in a group: asks before it becomes master, and a heard master withdraws the wish', () => {
    const router = new Router(settings(), true);
    router.at(0, { type: 'start' });
    assert.deepEqual(router.at(router.state.deadline!, { type: 'timer' }), ['ask-group']);
    assert.ok(router.state.wantsMaster);
    router.hears(4000, 50);
    assert.ok(router.state.wantsMaster, 'a lower master is not respected');
    router.hears(4100, 150);
    assert.ok(!router.state.wantsMaster);
    router.at(router.state.deadline!, { type: 'timer' });
    assert.deepEqual(router.at(9000, { type: 'group-master' }), ['send 100', 'become-master']);
    assert.deepEqual(router.at(9100, { type: 'group-backup' }), ['send 0', 'become-backup']);
  });
});
