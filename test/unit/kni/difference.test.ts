import { strict as assert } from 'node:assert';
import { Verb } from '../../../dpvsd/generated/control.js';
import { type DataplaneSide, difference, type Told } from '../../../kni/difference.js';
import { parseGroups, type TwinDevice } from '../../../kni/kernel-side.js';

const mac = Buffer.from('020000000010', 'hex');
const group = Buffer.from('01005e000012', 'hex');
const ip = (...bytes: number[]) => new Uint8Array(bytes);
const fresh = (): Told => ({ groups: new Map(), up: new Map() });
const twin = (more: Partial<TwinDevice> = {}): Map<string, TwinDevice> =>
  new Map([
    ['dpdk0.kni', { name: 'dpdk0.kni', mac, mtu: 1500, up: true, addresses: [], groups: [], ...more }],
  ]);
const side = (learnt: DataplaneSide['learnt'] = []): DataplaneSide => ({
  links: [
    { device: 'dpdk0', twin: 'dpdk0.kni', mac, mtu: 1500, up: true },
    { device: 'dpdk1', twin: '', mac, mtu: 1500, up: true },
  ],
  learnt,
});
const told = (): Told => ({ groups: new Map([['dpdk0', '']]), up: new Map([['dpdk0', true]]) });

describe('kernel side of the twins, compared with the dataplane', () => {
  it('tells nothing when nothing differs', () => {
    const address = ip(10, 0, 0, 5);
    const learnt = [{ destination: Buffer.from(address), device: 'dpdk0', prefix: 32 }];
    assert.deepEqual(difference(twin({ addresses: [address] }), side(learnt), told()), []);
  });

  it('tells the groups once, then when they change', () => {
    const state = fresh();
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

  it('carries MTU, MAC and administrative state over, each by itself', () => {
    const other = Buffer.from('020000000099', 'hex');
    const state = told();
    const operations = difference(twin({ mtu: 1400, mac: other, up: false }), side(), state);
    assert.deepEqual(
      operations.map(({ object }) => object?.value),
      [
        { device: 'dpdk0', mtu: 1400 },
        { device: 'dpdk0', mac: other },
        { device: 'dpdk0', link: 'down' },
      ],
    );
    const links = [{ device: 'dpdk0', twin: 'dpdk0.kni', mac: other, mtu: 1400, up: false }];
    const kernel = twin({ mtu: 1400, mac: other });
    assert.deepEqual(
      difference(kernel, { links, learnt: [] }, state).map(({ object }) => object?.value),
      [{ device: 'dpdk0', link: 'up' }],
    );
  });

  it('does not take a port down whose twin was moved to another namespace', () => {
    const state = told();
    difference(twin({ up: false }), side(), state);
    const learnt = [{ destination: Buffer.from([10, 0, 0, 5]), device: 'dpdk0', prefix: 32 }];
    const values = difference(new Map(), side(learnt), state).map(({ verb, object }) => [
      verb,
      object?.$case,
    ]);
    assert.deepEqual(values, [
      [Verb.VERB_EDIT, 'link'],
      [Verb.VERB_DELETE, 'route'],
    ]);
    assert.deepEqual(difference(new Map(), side(), state), []);
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
