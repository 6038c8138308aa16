import assert from 'node:assert/strict';
import { VirtualClock } from '../../../lib/clock.js';

describe('VirtualClock', () => {
  it('fires timers in order of time, then of creation, each at its own time', () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const note = (name: string) => () => fired.push(`${name}@${clock.now()}`);
    clock.after(20, note('b'));
    clock.after(10, () => {
      fired.push(`a@${clock.now()}`);
      clock.after(5, note('nested'));
    });
    clock.after(20, note('c'));
    const cancelled = clock.after(12, note('never'));
    cancelled.cancel();
    clock.advance(20);
    assert.deepEqual(fired, ['a@10', 'nested@15', 'b@20', 'c@20']);
    assert.equal(clock.now(), 20);
  });

  it('moves timers, also those that have fired or were cancelled', () => {
    const clock = new VirtualClock();
    const fired: string[] = [];
    const a = clock.after(10, () => fired.push(`a@${clock.now()}`));
    const b = clock.after(20, () => fired.push(`b@${clock.now()}`));
    a.move(30);
    b.cancel();
    b.move(25);
    clock.advanceTo(40);
    a.move(50);
    a.move(45);
    clock.advanceTo(60);
    assert.deepEqual(fired, ['b@25', 'a@30', 'a@45']);
  });
});
