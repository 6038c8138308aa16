import assert from 'node:assert/strict';
import type { ElectionSettings } from '../../../vrrp/election.js';
import { World } from './world.js';

function settings(node: number, about: Partial<ElectionSettings> = {}): ElectionSettings {
  return {
    priority: node === 0 ? 150 : 100,
    owner: false,
    version: 3,
    advertInterval: 100,
    downTimerAdverts: 3,
    initialState: 'backup',
    preempt: true,
    preemptDelay: 0,
    lowerPriorityNoAdvert: false,
    higherPrioritySendAdvert: false,
    ownerIgnoreAdverts: false,
    address: Uint8Array.from([10, 0, 0, 1 + node]),
    ...about,
  };
}

/** All lists of `length` choices. */
function* allChoices(length: number): Generator<boolean[]> {
  for (let bits = 0; bits < 2 ** length; bits++) {
    yield Array.from({ length }, (_, i) => (bits & (1 << i)) !== 0);
  }
}

/**
 * Runs one world to the end. Once nothing goes wrong any more, two masters must not last longer than one master down interval,
 * a time without master neither (a restarting node's time counts until it is up), and then one master must stay.
 */
function examine(make: (choices: boolean[]) => World, choices: boolean[], routers: number): void {
  const world = make(choices);
  const told = () => choices.map(Number).join('');
  const step = world.interval / 10;
  const split = new Array<number>(routers).fill(0);
  const none = new Array<number>(routers).fill(0);
  let settled = 0;
  while (settled < 10 * world.interval) {
    world.clock.advance(step);
    assert.ok(world.clock.now() < 100 * world.interval, `no calm with ${told()}`);
    // Late messages and a node that is still down belong to the trouble before.
    const quiet = world.calm && world.clock.now() > world.calmSince + world.longestDelay;
    let good = true;
    for (let router = 0; router < routers; router++) {
      const masters = world.masters(router);
      split[router] = quiet && masters > 1 ? split[router]! + step : 0;
      none[router] = quiet && masters === 0 ? none[router]! + step : 0;
      good &&= masters === 1;
      assert.ok(split[router]! <= world.masterDown, `two masters for ${split[router]} ms with ${told()}`);
      assert.ok(none[router]! <= world.masterDown + step, `no master for ${none[router]} ms with ${told()}`);
    }
    // What once is settled must stay so.
    if (quiet && settled > 0) assert.ok(good || settled < 8 * world.interval, `unstable with ${told()}`);
    settled = quiet && good ? settled + step : 0;
  }
  if (routers > 1) {
    for (const node of world.nodes) {
      const states = new Set(node.routers.map(({ state }) => state.name));
      assert.equal(states.size, 1, `a group came apart with ${told()}`);
    }
  }
}

const worlds: [string, Partial<ElectionSettings>, Partial<ElectionSettings>][] = [
  ['preempt', {}, {}],
  ['nopreempt', { preempt: false }, { preempt: false }],
  ['equal priorities', { priority: 100 }, {}],
  ['version 2', { version: 2, advertInterval: 1000 }, { version: 2, advertInterval: 1000 }],
  ['preempt delay', { preemptDelay: 350 }, { preemptDelay: 350 }],
  ['an owner', { priority: 255, owner: true }, {}],
  ['both state MASTER', { initialState: 'master' }, { initialState: 'master' }],
  ['silent to lower priorities', { lowerPriorityNoAdvert: true }, { lowerPriorityNoAdvert: true }],
];

/** Points at which something may go wrong: a message that is lost or late, a node that crashes or is stopped. */
const CHOICES = 11;
const CHOICES_LATER = 10;
/** Intervals after which all worlds are settled. */
const SETTLED = 20;

describe('small worlds: every interleaving of loss, delay and restart', () => {
  for (const [name, first, second] of worlds) {
    it(`two nodes, ${name}: never two masters for long, never none`, () => {
      const make = (choices: boolean[], quiet = 0) =>
        new World([[settings(0, first)], [settings(1, second)]], choices, quiet);
      for (const choices of allChoices(CHOICES)) examine(make, choices, 1);
      for (const choices of allChoices(CHOICES_LATER)) {
        examine((same) => make(same, SETTLED), choices, 1);
      }
    }).timeout(120_000);
  }

  it('two nodes with a sync group of two routers', () => {
    const make = (choices: boolean[], quiet = 0) =>
      new World(
        [
          [settings(0), settings(0)],
          [settings(1), settings(1)],
        ],
        choices,
        quiet,
      );
    for (const choices of allChoices(CHOICES)) examine(make, choices, 2);
    for (const choices of allChoices(CHOICES_LATER)) examine((same) => make(same, SETTLED), choices, 2);
  }).timeout(120_000);
});
