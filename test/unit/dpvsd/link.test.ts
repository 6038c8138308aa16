import assert from 'node:assert/strict';
import { once } from 'node:events';
import { DpvsdError } from '../../../dpvsd/client.js';
import { Table, Verb } from '../../../dpvsd/generated/control.js';
import { DpvsdLink } from '../../../dpvsd/link.js';
import { type Clock, systemClock } from '../../../lib/clock.js';
import { FakeDpvsd } from './fake-dpvsd.js';

describe('link to dpvsd', () => {
  let fake: FakeDpvsd;
  let link: DpvsdLink;
  beforeEach(async () => {
    fake = await FakeDpvsd.start();
    link = new DpvsdLink({ path: fake.path, client: 'test' });
  });
  afterEach(async () => {
    link.stop();
    await fake.stop();
  });

  it('comes up with a boot that it has not seen', async () => {
    const up = once(link, 'up');
    link.start();
    assert.deepEqual(await up, [fake.bootId, false]);
    await link.apply([]);
    assert.equal((await link.list(Table.TABLE_LINKS, 'link')).length, 2);
  });

  it('tells a lost connection from a dataplane that started anew', async () => {
    let up = once(link, 'up');
    link.start();
    await up;

    let down = once(link, 'down');
    up = once(link, 'up');
    fake.dropClients();
    await down;
    assert.deepEqual(await up, [fake.bootId, true]);

    down = once(link, 'down');
    await fake.die();
    await down;
    fake.reboot();
    up = once(link, 'up');
    const since = performance.now();
    await fake.listen();
    assert.deepEqual(await up, [fake.bootId, false]);
    assert.ok(performance.now() - since < 1000, 'a restart is noticed within a second');
  });

  it('never pauses for a second between attempts, however long the dataplane is away', async () => {
    const pauses: number[] = [];
    const clock: Clock = {
      now: () => systemClock.now(),
      after: (milliseconds, run, what) => {
        if (what === 'connect to dpvsd') pauses.push(milliseconds);
        return systemClock.after(milliseconds, run, what);
      },
    };
    link = new DpvsdLink({ path: fake.path, client: 'test', clock });
    let up = once(link, 'up');
    link.start();
    await up;
    await fake.die();
    fake.reboot();
    while (pauses.length < 8) await new Promise((resolve) => setTimeout(resolve, 50));
    up = once(link, 'up');
    await fake.listen();
    await up;
    assert.ok(Math.max(...pauses) <= 500, pauses.join());
  });

  it('hears that addresses changed, when it watches them', async () => {
    const watcher = new DpvsdLink({ path: fake.path, client: 'watcher', watch: [Table.TABLE_ADDRESSES] });
    try {
      const changes: Table[] = [];
      watcher.on('changed', (table) => changes.push(table));
      link.on('changed', () => assert.fail('nobody asked for it'));
      const ups = [once(link, 'up'), once(watcher, 'up')];
      link.start();
      watcher.start();
      await Promise.all(ups);
      // The hello has been read when this is answered.
      await watcher.list(Table.TABLE_ADDRESSES, 'address');
      const address = { address: Uint8Array.of(10, 0, 0, 7), prefix: 32, device: 'dpdk0' };
      const changed = once(watcher, 'changed');
      await link.apply([{ verb: Verb.VERB_ADD, object: { $case: 'address', value: address } }]);
      await changed;
      assert.deepEqual(changes, [Table.TABLE_ADDRESSES]);
      assert.equal((await watcher.list(Table.TABLE_ADDRESSES, 'address')).length, 1);
    } finally {
      watcher.stop();
    }
  });

  it('waits for a dataplane that is not there yet, and says so once', async () => {
    await fake.die();
    const reasons: DpvsdError[] = [];
    link.on('unreachable', (reason) => reasons.push(reason));
    link.start();
    await new Promise((resolve) => setTimeout(resolve, 400));
    assert.equal(reasons.length, 1);
    assert.equal(reasons[0]?.code, 'unreachable');
    await assert.rejects(
      link.apply([]),
      (error) => error instanceof DpvsdError && error.code === 'unreachable',
    );
    const up = once(link, 'up');
    await fake.listen();
    await up;
  });

  it('is silent after stop', async () => {
    const up = once(link, 'up');
    link.start();
    await up;
    let events = 0;
    link.on('up', () => events++);
    link.on('down', () => events++);
    link.stop();
    await fake.die();
    await fake.listen();
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(events, 0);
    await assert.rejects(link.apply([]));
  });
});
