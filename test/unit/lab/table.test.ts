import { strict as assert } from 'node:assert';
import { planOf } from '../../../lab/plan.js';
import { addressHex, healthText } from '../../../lab/show.js';
import { balanceOf } from '../../../lab/statistics.js';
import { table } from '../../../lab/table.js';

describe('lab table', () => {
  it('aligns the first column to the left and the others to the right', () => {
    const text = table([
      ['server', 'requests', 'errors'],
      ['rs1', 12, 0],
      ['rs2', 7],
    ]);
    assert.equal(text, 'server  requests  errors\nrs1           12       0\nrs2            7');
  });

  it('says in how many virtual servers a server is', () => {
    assert.deepEqual(
      [healthText(0, 0), healthText(0, 4), healthText(2, 4), healthText(4, 4)],
      ['-', 'down', '2 of 4', 'up'],
    );
  });

  it('names addresses as the statistics do', () => {
    assert.equal(addressHex('192.168.200.11'), 'c0a8c80b');
    assert.equal(addressHex('fd00:200::11'), 'fd000200000000000000000000000011');
    assert.equal(addressHex('::1'), `${'0'.repeat(31)}1`);
    assert.equal(addressHex('1:2:3:4:5:6:7:8'), '00010002000300040005000600070008');
  });
});

describe('balance of the packet counters', () => {
  const counters = [
    { name: 'in', value: 10 },
    { name: 'forwarded', value: 5 },
    { name: 'local', value: 2 },
    { name: 'held', value: 1 },
    { name: 'drop.no-service', value: 2 },
  ];
  it('holds when every packet went somewhere', () => {
    assert.equal(balanceOf(counters), undefined);
  });
  it('says by how many packets it is off', () => {
    assert.match(String(balanceOf([...counters, { name: 'kernel', value: 3 }])), /off by -3/);
    assert.match(String(balanceOf([])), /off by 0/);
  });
});

describe('lab plan', () => {
  it('puts the servers on the outer network when there is one arm', () => {
    assert.equal(planOf(1, 3).servers[2]?.v4, '192.168.100.13');
    assert.equal(planOf(2, 3).servers[2]?.v6, 'fd00:200::13');
    assert.equal(planOf(1, 1).innerDevice, 'dpdk0');
  });
});
