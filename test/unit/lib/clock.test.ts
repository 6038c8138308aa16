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
});
