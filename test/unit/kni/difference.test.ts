import { strict as assert } from 'node:assert';
import { Verb } from '../../../dpvsd/generated/control.js';
import { type DataplaneSide, difference, type Told } from '../../../kni/difference.js';
import { parseGroups, type TwinDevice } from '../../../kni/kernel-side.js';

const group = Buffer.from('01005e000012', 'hex');
const ip = (...bytes: number[]) => new Uint8Array(bytes);
const twin = (more: Partial<TwinDevice> = {}): Map<string, TwinDevice> =>
  new Map([['dpdk0.kni', { name: 'dpdk0.kni', addresses: [], groups: [], ...more }]]);
const side = (learnt: DataplaneSide['learnt'] = []): DataplaneSide => ({
  links: [
    { device: 'dpdk0', twin: 'dpdk0.kni' },
    { device: 'dpdk1', twin: '' },
  ],
  learnt,
});
const told = (): Told => new Map([['dpdk0', '']]);

describe('kernel side of the twins, compared with the dataplane', () => {
  it('tells nothing when nothing differs', () => {
    const address = ip(10, 0, 0, 5);
    const learnt = [{ destination: Buffer.from(address), device: 'dpdk0', prefix: 32 }];
    assert.deepEqual(difference(twin({ addresses: [address] }), side(learnt), told()), []);
  });

  it('tells the groups once, then when they change', () => {
    const state = new Map();
    const groups = () => difference(twin({ groups: [group] }), side(), state);
    assert.equal(groups().length, 1);
    assert.equal(groups().length, 0);
    const [operation] = difference(twin(), side(), state);
    assert.deepEqual(operation?.object, { $case: 'twinGroups', value: { device: 'dpdk0', groups: [] } });
  });

  it('learns addresses of both families and forgets those that are gone', () => {
    const six = ip(0xfd, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5);
    const learnt = [{ destination: Buffer.from([10, 0, 0, 9]), device: 'dpdk0', prefix: 32 }];
    const operations = difference(twin({ addresses: [ip(10, 0, 0, 5), six] }), side(learnt), told());
    const said = operations.map(({ verb, object }) => {
      assert.equal(object?.$case, 'route');
      const route = object.value as { destination: Buffer; prefix: number; scope: string; origin: string };
      assert.deepEqual([route.scope, route.origin], ['kni_host', 'kernel']);
      return [verb, route.destination.toString('hex'), route.prefix];
    });
    assert.deepEqual(said, [
      [Verb.VERB_DELETE, '0a000009', 32],
      [Verb.VERB_PUT, '0a000005', 32],
      [Verb.VERB_PUT, 'fd000000000000000000000000000005', 128],
    ]);
  });

  it('forgets the addresses of a twin that was moved to another namespace, and nothing else', () => {
    const learnt = [{ destination: Buffer.from([10, 0, 0, 5]), device: 'dpdk0', prefix: 32 }];
    const values = difference(new Map(), side(learnt), told()).map(({ verb, object }) => [
      verb,
      object?.$case,
    ]);
    assert.deepEqual(values, [[Verb.VERB_DELETE, 'route']]);
    assert.deepEqual(difference(new Map(), side(), told()), []);
  });

  it('reads the groups of all devices', () => {
    const text = `2    eth0            1     0     01005e000001
3    dpdk0.kni       2     0     01005e000012
3    dpdk0.kni       1     0     333300000012
4    br0.1           1     0     broken
`;
    const found = parseGroups(text);
    assert.deepEqual(
      (found.get('dpdk0.kni') ?? []).map((bytes) => Buffer.from(bytes).toString('hex')),
      ['01005e000012', '333300000012'],
    );
    assert.equal(found.get('eth0')?.length, 1);
    assert.equal(found.get('br0.1'), undefined);
  });
});
