import { equal } from 'node:assert/strict';
import type { OspfBridgePart } from '../../../keepalived/model/index.js';
import { defaultOspfBridge, type OspfBridge } from '../../../keepalived/model/ospf-bridge.js';
import type { Wish } from '../../../ospf-bridge/announcements.js';
import { scopeOf, type World, wishFor } from '../../../ospf-bridge/policy.js';

const VIP = '192.0.2.1';

function wished(
  bridge: Partial<OspfBridge>,
  world: Partial<World>,
  services: boolean[] = [true],
  address = VIP,
): Wish | undefined {
  const part = {
    bridge: { ...defaultOspfBridge(), addresses: ['192.0.2.9'], ...bridge },
    virtualAddresses: [VIP],
    instances: [{ name: 'VI_1', addresses: [VIP, '192.0.2.7'] }],
  } as unknown as OspfBridgePart;
  const all: World = {
    dataplane: 'up',
    placed: new Set([VIP]),
    quorum: new Map(),
    heard: true,
    masters: new Set(),
    drained: new Map(),
    ...world,
  };
  return wishFor(address, scopeOf(part), all, services);
}

const standing = (...words: Parameters<typeof wished>) => wished(...words)?.standing;

describe('what ought to be announced', () => {
  it('follows quorum: of all services, or of any', () => {
    equal(standing({}, {}, [true, true]), 'announced');
    equal(standing({}, {}, [true, false]), 'withdrawn');
    equal(standing({ services: 'any' }, {}, [true, false]), 'announced');
    equal(standing({ services: 'any' }, {}, [false, false]), 'withdrawn');
    equal(standing({ when: 'always' }, {}, [false]), 'announced');
  });

  it('is nothing without a dataplane, whatever else is well', () => {
    for (const when of ['always', 'quorum', 'master'] as const)
      equal(standing({ when }, { dataplane: 'down', masters: new Set(['VI_1']) }), 'withdrawn', when);
    equal(standing({}, { placed: new Set() }), 'withdrawn');
    equal(standing({}, { dataplane: 'none', placed: undefined }), 'announced');
  });

  it('is left as it is while too little is known', () => {
    equal(standing({}, { dataplane: 'unknown' }), undefined);
    equal(standing({}, { placed: undefined }), undefined);
    equal(standing({}, { heard: false }, []), undefined);
    equal(standing({}, { heard: true }, []), 'withdrawn');
  });

  it('follows VRRP with when master', () => {
    equal(standing({ when: 'master' }, { masters: new Set(['VI_1']) }), 'announced');
    equal(standing({ when: 'master' }, {}), 'withdrawn');
    equal(standing({ when: 'master' }, { masters: new Set(['VI_1']) }, [], '192.0.2.7'), 'announced');
    equal(standing({ when: 'master' }, { masters: new Set(['VI_1']) }, [], '192.0.2.9'), 'withdrawn');
    // An election is no flapping: the next master must not find the address damped.
    equal(wished({ when: 'master' }, {})?.deliberate, true);
  });

  it('includes addresses without a virtual server', () => {
    equal(standing({}, {}, [], '192.0.2.9'), 'announced');
  });

  it('is drained or withdrawn when an operator says so, but never announced for that', () => {
    equal(standing({}, { drained: new Map([[VIP, 'metric']]) }), 'drained');
    equal(standing({}, { drained: new Map([[VIP, 'withdraw']]) }), 'withdrawn');
    equal(standing({}, { drained: new Map([[VIP, 'metric']]) }, [false]), 'withdrawn');
  });
});
