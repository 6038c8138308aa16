import assert from 'node:assert/strict';
import { Due, TimerWheel } from '../../../healthcheck/timer-wheel.js';
import { VirtualClock } from '../../../lib/clock.js';

class Node extends Due {
  fired: number[] = [];
  constructor(
    readonly clock: VirtualClock,
    readonly then: () => void = () => {},
  ) {
    super();
  }
  onDue(): void {
    this.fired.push(this.clock.now());
    this.then();
  }
}

describe('timer wheel', () => {
  it('fires within one tick after the time, never before', () => {
    const clock = new VirtualClock(1234.5);
    const wheel = new TimerWheel(clock, 10);
    const nodes = [0, 1, 9, 10, 11, 500, 40_950, 40_960, 41_000, 100_000, 7_200_000].map((delay) => {
      const node = new Node(clock);
      wheel.schedule(node, delay);
      return { node, due: clock.now() + delay };
    });
    clock.advance(7_300_000);
    for (const { node, due } of nodes) {
      assert.equal(node.fired.length, 1);
      assert.ok(node.fired[0]! >= due && node.fired[0]! <= due + 20, `${node.fired[0]} for ${due}`);
    }
    assert.equal(wheel.size, 0);
    assert.deepEqual(clock.timers(), [], 'no timer runs while nothing is scheduled');
  });

  it('agrees with a sorted list on random scheduling, rescheduling and cancelling', () => {
    const clock = new VirtualClock(0);
    const wheel = new TimerWheel(clock, 10);
    let seed = 3;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed / 0x7fffffff;
    };
    const expected = new Map<Node, number>();
    let wrong = 0;
    const nodes = Array.from({ length: 300 }, () => {
      const node: Node = new Node(clock, () => {
        const due = expected.get(node);
        if (due === undefined || clock.now() < due || clock.now() > due + 20) wrong++;
        expected.delete(node);
        // Some come again at once, from within the callback, and disturb their neighbours.
        if (random() < 0.5) plan(node);
        if (random() < 0.2) {
          const other = nodes[Math.floor(random() * nodes.length)]!;
          wheel.cancel(other);
          expected.delete(other);
        }
      });
      return node;
    });
    const plan = (node: Node) => {
      const delay = random() < 0.1 ? random() * 200_000 : random() * 300;
      wheel.schedule(node, delay);
      expected.set(node, clock.now() + delay);
    };
    for (let round = 0; round < 5000; round++) {
      plan(nodes[Math.floor(random() * nodes.length)]!);
      clock.advance(random() * 40);
      for (const due of expected.values()) if (clock.now() > due + 20) wrong++;
    }
    assert.equal(wrong, 0);
    assert.equal(wheel.size, expected.size);
  });
});
