import assert from 'node:assert/strict';
import { readList, readMachine, realFiles, writeList } from '../../../dpvsd/machine.js';
import { contentsOf, fakeFiles, filesOf } from './fake-machine.js';

describe('machine', () => {
  it('reads and writes lists of CPUs as the kernel does', () => {
    assert.deepEqual(readList('0-2,5,7-8\n'), [0, 1, 2, 5, 7, 8]);
    assert.deepEqual(readList('\n'), []);
    assert.deepEqual(readList(undefined), []);
    assert.equal(writeList([8, 0, 2, 1, 2, 5]), '0-2,5,8');
    for (let set = 0; set < 512; set++) {
      const numbers = Array.from({ length: 9 }, (_, i) => i).filter((i) => (set >> i) & 1);
      assert.deepEqual(readList(writeList(numbers)), numbers);
    }
  });

  it('reads a server with two nodes and its cards', () => {
    const machine = readMachine(
      fakeFiles({
        nodes: 2,
        allowed: '0-1,6',
        cards: { '0000:06:00.0': { driver: 'ixgbe', node: 1, device: 'eth2', up: true, group: '7' } },
      }),
    );
    assert.deepEqual(
      machine.cpus.map((cpu) => cpu.node),
      [0, 0, 0, 0, 1, 1, 1, 1],
    );
    assert.deepEqual(machine.allowed, [0, 1, 6]);
    assert.deepEqual(machine.nics, [
      {
        address: '0000:06:00.0',
        id: '8086:10fb',
        driver: 'ixgbe',
        node: 1,
        iommuGroup: '7',
        devices: [{ name: 'eth2', up: true }],
      },
    ]);
    assert.deepEqual(machine.hugepages[1], { node: 1, size: 2048, total: 2048, free: 2048 });
    assert.equal(machine.memory.limit, undefined);
    assert.deepEqual([machine.dpdk?.abi, machine.dpdk?.drivers.length], [23, 4]);
  });

  it('reads hugepages of machines without nodes, and kernel devices of virtio cards', () => {
    const contents = contentsOf({ cards: { '0000:00:03.0': { driver: 'virtio-pci' } } });
    for (const path of Object.keys(contents)) if (path.includes('/node/')) delete contents[path];
    contents['/sys/kernel/mm/hugepages/hugepages-1048576kB/nr_hugepages'] = '4\n';
    contents['/sys/kernel/mm/hugepages/hugepages-1048576kB/free_hugepages'] = '3\n';
    contents['/sys/bus/pci/devices/0000:00:03.0/virtio0/net/eth0/ifindex'] = '2\n';
    const machine = readMachine(filesOf(contents));
    assert.deepEqual(machine.hugepages, [{ node: 0, size: 1048576, total: 4, free: 3 }]);
    assert.deepEqual(machine.nics[0]?.devices, [{ name: 'eth0', up: false }]);
  });

  it('reads this machine', () => {
    const machine = readMachine(realFiles);
    assert.ok(machine.cpus.length > 0 && machine.allowed.length > 0);
    assert.ok(machine.memory.total > 0 && machine.memory.available > 0);
  });
});
