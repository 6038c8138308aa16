import { deepEqual, equal, ok } from 'node:assert/strict';
import { type ControlPacket, decodeControl, encodeControl } from '../../../bfd/packet.js';
import { Session, type SessionSettings } from '../../../bfd/session.js';
import { VirtualClock } from '../../../lib/clock.js';

const usual: SessionSettings = { minTx: 100, minRx: 100, idleTx: 1000, multiplier: 3, passive: false };

/** Two sessions with a wire between them that can be cut in either direction. */
class World {
  readonly clock = new VirtualClock();
  readonly log: string[] = [];
  readonly sent: { by: 'a' | 'b'; at: number; packet: ControlPacket }[] = [];
  cut = { a: false, b: false };
  readonly a: Session;
  readonly b: Session;
  #seed = 7;

  constructor(a: Partial<SessionSettings> = {}, b: Partial<SessionSettings> = {}) {
    this.a = this.#session('a', 1001, { ...usual, ...a });
    this.b = this.#session('b', 2002, { ...usual, ...b });
    this.a.start();
    this.b.start();
  }

  #session(name: 'a' | 'b', discriminator: number, settings: SessionSettings): Session {
    return new Session(discriminator, settings, {
      clock: this.clock,
      random: () => {
        this.#seed = (this.#seed * 1103515245 + 12345) % 2147483648;
        return this.#seed / 2147483648;
      },
      send: (packet) => {
        this.sent.push({ by: name, at: this.clock.now(), packet });
        if (this.cut[name]) return;
        // Over the wire as bytes, a millisecond long.
        const bytes = encodeControl(packet);
        this.clock.after(1, () => {
          const arrived = decodeControl(bytes);
          if (!('reason' in arrived)) (name === 'a' ? this.b : this.a).receive(arrived);
        });
      },
      changed: (state, diagnostic) => this.log.push(`${name} ${state} ${diagnostic}`),
    });
  }

  gaps(by: 'a' | 'b', from: number): number[] {
    const times = this.sent
      .filter((one) => one.by === by && one.at >= from && !one.packet.final)
      .map(({ at }) => at);
    return times.slice(1).map((at, index) => at - times[index]!);
  }
}

describe('a BFD session', () => {
  it('comes up by three ways of greeting, and sends slowly until then', () => {
    const world = new World();
    world.cut = { a: true, b: true };
    world.clock.advance(5000);
    equal(world.a.state, 'Down');
    for (const gap of world.gaps('a', 0)) ok(gap >= 750 && gap <= 1000, `${gap}`);
    world.cut = { a: false, b: false };
    world.clock.advance(1100);
    equal(world.a.state, 'Up');
    equal(world.b.state, 'Up');
  });

  it('goes to the fast interval by a poll sequence, with 75 to 100 % jitter', () => {
    const world = new World();
    world.clock.advance(3000);
    ok(
      world.sent.some(({ packet }) => packet.poll),
      'nobody polled',
    );
    ok(
      world.sent.some(({ packet }) => packet.final),
      'nobody answered',
    );
    ok(!world.sent.some(({ packet }) => packet.poll && packet.final), 'poll and final in one packet');
    const gaps = world.gaps('a', 2000);
    ok(gaps.length >= 9, `${gaps.length} packets in a second`);
    for (const gap of gaps) ok(gap >= 75 && gap <= 100, `${gap}`);
    deepEqual(
      world.sent.filter(({ packet, at }) => packet.poll && at > 2000),
      [],
    );
  });

  it('notices silence after multiplier times the slower interval, and says why', () => {
    const world = new World({ minRx: 50, minTx: 50, multiplier: 5 }, { minTx: 80, multiplier: 3 });
    world.clock.advance(5000);
    equal(world.a.detectionTime, 240);
    const cut = world.clock.now();
    world.cut.b = true;
    world.clock.advance(235);
    const last = world.sent.filter(({ by, at }) => by === 'b' && at <= cut).at(-1)!.at;
    const after = last + 1 + 240 - world.clock.now();
    if (after > 1) equal(world.a.state, 'Up');
    world.clock.advance(Math.max(0, after) + 1);
    ok(world.log.includes('a Down Control Detection Time Expired'), world.log.join('; '));
    world.clock.advance(10);
    ok(world.log.includes('b Down Neighbor Signaled Session Down'), world.log.join('; '));
  });

  it('stays up while single packets are lost', () => {
    const world = new World();
    world.clock.advance(3000);
    for (let round = 0; round < 50; round++) {
      world.cut.a = round % 3 === 0;
      world.cut.b = round % 3 === 1;
      world.clock.advance(100);
    }
    equal(world.a.state, 'Up');
    equal(world.a.counters.downs + world.b.counters.downs, 0);
  });

  it('comes back after an outage', () => {
    const world = new World();
    world.clock.advance(3000);
    world.cut = { a: true, b: true };
    world.clock.advance(2000);
    equal(world.a.state, 'Down');
    equal(world.b.state, 'Down');
    world.cut = { a: false, b: false };
    world.clock.advance(2500);
    equal(world.a.state, 'Up');
    equal(world.b.state, 'Up');
  });

  it('that is closed says AdminDown, which is no failure of the path', () => {
    const world = new World();
    world.clock.advance(3000);
    world.a.close();
    world.clock.advance(5);
    equal(world.b.state, 'Down');
    equal(world.b.remote.state, 'AdminDown');
    equal(world.b.diagnostic, 'Neighbor Signaled Session Down');
    const count = world.sent.length;
    world.clock.advance(5000);
    equal(world.sent.slice(count).filter(({ by }) => by === 'a').length, 0);
  });

  it('that is passive waits for the neighbour', () => {
    const silent = new World({ passive: true }, { passive: true });
    silent.clock.advance(5000);
    equal(silent.sent.length, 0);
    const world = new World({ passive: true });
    world.clock.advance(3000);
    equal(world.a.state, 'Up');
  });

  it('sends no faster than the neighbour can receive', () => {
    const world = new World({ minTx: 20 }, { minRx: 300 });
    world.clock.advance(4000);
    for (const gap of world.gaps('a', 3000)) ok(gap >= 225 && gap <= 300, `${gap}`);
  });

  it('takes other timers in a poll sequence without going down; slower ones only when they are confirmed', () => {
    const world = new World();
    world.clock.advance(3000);
    world.cut.a = true;
    world.a.configure({ ...usual, minTx: 1000 });
    world.clock.advance(150);
    equal(world.a.transmitInterval, 100, 'slower before the neighbour knows');
    world.cut.a = false;
    world.clock.advance(5000);
    equal(world.a.transmitInterval, 1000);
    equal(world.b.detectionTime, 3000);
    equal(world.a.counters.downs + world.b.counters.downs, 0);
  });

  it('is silent towards a neighbour that wants no packets', () => {
    const world = new World();
    world.clock.advance(3000);
    const [last] = world.sent.filter(({ by }) => by === 'b').slice(-1);
    world.cut.b = true;
    world.a.receive({ ...last!.packet, requiredMinRx: 0 });
    const from = world.clock.now() + 1;
    world.clock.advance(250);
    equal(world.sent.filter(({ by, at }) => by === 'a' && at >= from).length, 0);
  });
});
