import { deepEqual, equal } from 'node:assert/strict';
import { type ChildProcess, spawn } from 'node:child_process';
import { EventEmitter, once } from 'node:events';
import type { Order, Report } from '../../../keepalived/sidecar.js';
import { Supervisor } from '../../../keepalived/supervisor.js';
import { VirtualClock } from '../../../lib/clock.js';
import { Log } from '../../../lib/log.js';

/** A sidecar that does what a test tells it. */
class FakeChild extends EventEmitter {
  static next = 1000;
  readonly pid = FakeChild.next++;
  connected = true;
  readonly orders: Order<string>[] = [];
  answers = true;
  killed: string | undefined;

  send(order: Order<string>): void {
    this.orders.push(order);
    if (order.type === 'ping' && this.answers) this.report({ type: 'pong', id: order.id });
    if (order.type === 'dump' && this.answers)
      this.report({ type: 'dump', id: order.id, text: `${order.kind} of ${this.pid}` });
    if (order.type === 'stop' && this.answers) this.end(0);
  }

  kill(signal: string): void {
    this.killed = signal;
    this.end(null, signal);
  }

  report(report: Report): void {
    this.emit('message', report);
  }

  end(code: number | null, signal: string | null = null): void {
    this.connected = false;
    this.emit('exit', code, signal);
  }

  get models(): [string, number, boolean][] {
    return this.orders.flatMap((order) =>
      order.type === 'model'
        ? [[order.part, order.generation, order.reload] as [string, number, boolean]]
        : [],
    );
  }
}

function setUp({
  dontRespawn = false,
  predecessor,
}: {
  dontRespawn?: boolean;
  predecessor?: number | undefined;
} = {}) {
  const clock = new VirtualClock();
  const children: FakeChild[] = [];
  const applied: [number, string | undefined][] = [];
  const lost: number[] = [];
  const lines: string[] = [];
  const supervisor = new Supervisor<string>({
    name: 'vrrp',
    title: 'VRRP',
    program: '/none',
    log: new Log((_severity, line) => lines.push(line), 'debug'),
    logTarget: {},
    clock,
    dontRespawn,
    patience: 30_000,
    predecessor,
    onApplied: (generation, error) => applied.push([generation, error]),
    onStarted: () => {},
    onLost: (code) => lost.push(code),
    start: () => {
      const child = new FakeChild();
      children.push(child);
      return child as unknown as ChildProcess;
    },
  });
  const last = () => children[children.length - 1] as FakeChild;
  return { clock, children, applied, lost, lines, supervisor, last };
}

describe('supervision of a sidecar', () => {
  it('gives the model when the sidecar is ready, and every later one as a reload', () => {
    const { supervisor, last, applied } = setUp();
    supervisor.apply('one', 1);
    deepEqual(last().models, []);
    last().report({ type: 'ready' });
    deepEqual(last().models, [['one', 1, false]]);
    last().report({ type: 'applied', generation: 1 });
    supervisor.apply('two', 2);
    deepEqual(last().models, [
      ['one', 1, false],
      ['two', 2, true],
    ]);
    last().report({ type: 'applied', generation: 2, error: 'no' });
    deepEqual(applied, [
      [1, undefined],
      [2, 'no'],
    ]);
  });

  it('ends what an earlier front door left when the first process is ready, and gives the model then', async () => {
    const left = spawn('sleep', ['60']);
    const gone = once(left, 'exit');
    const { supervisor, last, lines, children, clock } = setUp({ predecessor: left.pid });
    supervisor.apply('one', 1);
    await new Promise((resolve) => setTimeout(resolve, 20));
    equal(left.signalCode, null);
    last().report({ type: 'ready' });
    deepEqual(last().models, []);
    deepEqual(await gone, [null, 'SIGKILL']);
    while (last().models.length === 0) await new Promise((resolve) => setTimeout(resolve, 5));
    deepEqual(last().models, [['one', 1, false]]);
    equal(lines.filter((line) => line.includes(`takes the place of pid ${left.pid}`)).length, 1);
    // Once only: by the next start the number may belong to anybody.
    last().end(1);
    clock.advance(100);
    equal(children.length, 2);
    last().report({ type: 'ready' });
    deepEqual(last().models, [['one', 1, false]]);
    equal(lines.filter((line) => line.includes('takes the place')).length, 1);
  });

  it('starts a sidecar that ended anew, after pauses that grow, with the latest model', () => {
    const { supervisor, children, clock, last } = setUp();
    supervisor.apply('one', 1);
    let total = 0;
    for (const pause of [100, 200, 400, 800, 1600]) {
      last().end(1);
      clock.advance(pause - 1);
      equal(children.length, total + 1, `before ${pause}`);
      clock.advance(1);
      equal(children.length, total + 2, `after ${pause}`);
      total++;
    }
    supervisor.apply('two', 2);
    last().report({ type: 'ready' });
    deepEqual(last().models, [['two', 2, false]]);
  });

  it('never waits longer than 30 seconds, and begins anew after a good run', () => {
    const { supervisor, children, clock, last } = setUp();
    supervisor.apply('one', 1);
    for (let round = 0; round < 15; round++) {
      last().end(1);
      clock.advance(30_000);
    }
    equal(children.length, 16);
    last().report({ type: 'ready' });
    clock.advance(60_000);
    last().end(1);
    clock.advance(100);
    equal(children.length, 17);
  });

  it('replaces a sidecar that does not answer', () => {
    const { supervisor, children, clock, last, lines } = setUp();
    supervisor.apply('one', 1);
    last().report({ type: 'ready' });
    clock.advance(120_000);
    equal(children.length, 1);
    const hung = last();
    hung.answers = false;
    clock.advance(41_000);
    equal(hung.killed, 'SIGKILL');
    equal(children.length, 2);
    equal(
      lines.some((line) => line.includes('has not answered')),
      true,
    );
  });

  it('ends it in order, and by force when it does not end', async () => {
    const { supervisor, clock, last } = setUp();
    supervisor.apply('one', 1);
    last().report({ type: 'ready' });
    await supervisor.stop(5000);
    equal(last().killed, undefined);

    const other = setUp();
    other.supervisor.apply('one', 1);
    other.last().answers = false;
    const done = other.supervisor.stop(5000);
    other.clock.advance(5000);
    await done;
    equal(other.last().killed, 'SIGKILL');
    clock.advance(1_000_000);
    equal(other.children.length, 1);
  });

  it('with dont-respawn the end of a sidecar is the end of all', () => {
    const { supervisor, children, clock, last, lost } = setUp({ dontRespawn: true });
    supervisor.apply('one', 1);
    last().end(7);
    clock.advance(100_000);
    deepEqual(lost, [7]);
    equal(children.length, 1);
  });

  it('asks for dumps and does without when there is no answer', async () => {
    const { supervisor, clock, last } = setUp();
    equal(await supervisor.dump('data'), '');
    supervisor.apply('one', 1);
    last().report({ type: 'ready' });
    equal(await supervisor.dump('stats'), `stats of ${last().pid}`);
    last().answers = false;
    const asked = supervisor.dump('json');
    clock.advance(5000);
    equal(await asked, '');
  });

  it('a restart that is due does not happen after a stop', async () => {
    const { supervisor, children, clock, last } = setUp();
    supervisor.apply('one', 1);
    last().end(1);
    await supervisor.stop(5000);
    clock.advance(100_000);
    equal(children.length, 1);
  });
});
