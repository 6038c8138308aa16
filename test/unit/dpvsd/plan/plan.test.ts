import assert from 'node:assert/strict';
import { parseConf } from '../../../../dpvsd/conf/parse.js';
import { format } from '../../../../dpvsd/conf/problem.js';
import { readMachine } from '../../../../dpvsd/machine.js';
import { makePlan, type Plan } from '../../../../dpvsd/plan/plan.js';
import { showPlan } from '../../../../dpvsd/plan/show.js';
import { contentsOf, filesOf, type Shape } from '../fake-machine.js';

/** A laptop: two CPUs, no hugepages, no card for DPDK. */
const laptop: Shape = {
  cpus: 2,
  isolated: '',
  huge: { total: 0, free: 0 },
  cards: { '0000:00:03.0': { driver: 'virtio-pci', device: 'eth0', up: true } },
};
const twoNodes: Shape = {
  cpus: 8,
  nodes: 2,
  cards: { '0000:06:00.0': { driver: 'vfio-pci', node: 1 } },
};

function planned(text: string, shape: Shape = {}, words: string[] = []): { plan: Plan; said: string[] } {
  const { plan, problems } = makePlan(parseConf(text), readMachine(filesOf(contentsOf(shape))), words);
  const said = problems.map((problem) => format('f', problem));
  assert.ok(plan, said.join('\n'));
  return { plan, said };
}

function refused(text: string, shape: Shape = {}, words: string[] = []): string[] {
  const { plan, problems } = makePlan(parseConf(text), readMachine(filesOf(contentsOf(shape))), words);
  assert.equal(plan, undefined, 'a plan was made');
  return problems.filter((problem) => problem.severity === 'error').map((problem) => format('f', problem));
}

const worker = (name: string, cpu: number, ...ports: string[]) =>
  `worker ${name} {\n type slave\n cpu_id ${cpu}\n ${ports.join('\n')}\n}`;
const use = (port: string, rx: string, tx = rx) =>
  `port ${port} {\n ${rx === '' ? '' : `rx_queue_ids ${rx}`}\n ${tx === '' ? '' : `tx_queue_ids ${tx}`}\n}`;
const conf = (devices: string, workers = '', more = '') =>
  `netif_defs {\n${devices}\n}\nworker_defs {\n${workers}\n}\n${more}`;
const veth = (name: string, number: number, more = '') =>
  `device ${name} {\n vdev net_af_packet${number},iface=veth${number}${more}\n}`;
const card = (name: string, address: string, more = '') => `device ${name} {\n pci ${address}\n ${more}\n}`;

describe('plan: ports', () => {
  it('puts virtual devices on the EAL line with the queues their driver wants to know, and no PCI', () => {
    const { plan } = planned(
      conf(veth('dpdk0', 0), `${worker('a', 0, use('dpdk0', '0'))}\n${worker('b', 1, use('dpdk0', '1'))}`),
      laptop,
    );
    const at = plan.eal.indexOf('--vdev');
    assert.equal(plan.eal[at + 1], 'net_af_packet0,iface=veth0,qpairs=2');
    assert.ok(plan.eal.includes('--no-pci'));
    assert.deepEqual(plan.ports[0], {
      name: 'dpdk0',
      bus: 'vdev',
      device: 'net_af_packet0',
      members: [],
      node: undefined,
      rxq: 2,
      txq: 2,
      rxd: 256,
      txd: 512,
      burst: 32,
      mtu: 1500,
      promisc: false,
      allmulti: false,
      kni: 'dpdk0.kni',
      rss: ['all'],
    });
  });

  it('leaves drivers alone that need not know their queues', () => {
    const { plan } = planned(
      conf(
        'device dpdk0 {\n vdev net_tap0,iface=tap0\n}',
        `${worker('a', 0, use('dpdk0', '0'))}\n${worker('b', 1, use('dpdk0', '1'))}`,
      ),
      laptop,
    );
    assert.ok(plan.eal.includes('net_tap0,iface=tap0'));
  });

  it('opens the cards that are named, in short or long form, and only those', () => {
    const { plan } = planned(conf(card('dpdk0', '06:00.1')));
    assert.equal(plan.ports[0]?.device, '0000:06:00.1');
    assert.deepEqual(
      plan.eal.filter((_, i) => plan.eal[i - 1] === '--allow'),
      ['0000:06:00.1'],
    );
    assert.ok(!plan.eal.includes('--no-pci'));
  });

  it('binds names without pci or vdev in order of number to what -a and --vdev give, as DPVS does', () => {
    const devices = 'device dpdk10 {\n}\ndevice dpdk2 {\n}\ndevice dpdk0 {\n}';
    const { plan, said } = planned(conf(devices), {}, [
      '--vdev',
      'net_tap0',
      '-a',
      '06:00.1',
      '-a',
      '0000:06:00.0,x=1',
    ]);
    assert.deepEqual(
      plan.ports.map((port) => [port.name, port.device]),
      [
        ['dpdk0', '0000:06:00.0'],
        ['dpdk2', '0000:06:00.1'],
        ['dpdk10', 'net_tap0'],
      ],
    );
    assert.deepEqual(
      plan.eal.filter((_, i) => ['--allow', '--vdev'].includes(plan.eal[i - 1] ?? '')),
      ['0000:06:00.0,x=1', '0000:06:00.1', 'net_tap0'],
    );
    assert.ok(said.some((line) => line.includes('note: device dpdk0 is 0000:06:00.0')));
  });

  it('binds them to the cards that a DPDK driver holds when the command line gives none', () => {
    const { plan } = planned(conf('device dpdk0 {\n}\ndevice dpdk1 {\n}'));
    assert.deepEqual(
      plan.ports.map((port) => port.device),
      ['0000:06:00.0', '0000:06:00.1'],
    );
  });

  it('names ports itself when the file has no device', () => {
    const { plan } = planned('', laptop, ['--vdev', 'net_tap0', '--vdev=net_tap1', '--vdev', 'crypto_null0']);
    assert.deepEqual(
      plan.ports.map((port) => [port.name, port.device]),
      [
        ['dpdk0', 'net_tap0'],
        ['dpdk1', 'net_tap1'],
      ],
    );
    assert.ok(plan.eal.includes('crypto_null0'));
  });

  it('makes bonds of devices, with the word that this DPDK knows', () => {
    const devices = `${card('dpdk0', '06:00.0')}\n${card('dpdk1', '06:00.1')}\nbonding bond0 {\n mode 4\n slave dpdk0\n slave dpdk1\n primary dpdk1\n}`;
    const old = planned(conf(devices, worker('a', 1, use('bond0', '0'))));
    assert.ok(
      old.plan.eal.includes('net_bonding0,mode=4,slave=0000:06:00.0,slave=0000:06:00.1,primary=0000:06:00.1'),
    );
    assert.deepEqual(
      old.plan.ports.map((port) => [port.name, port.device, port.kni, port.members]),
      [['bond0', 'net_bonding0', 'bond0.kni', ['dpdk0', 'dpdk1']]],
    );
    assert.equal(old.plan.idle, 'poll');
    const recent = planned(conf(devices, worker('a', 1, use('bond0', '0'))), { dpdk: 25 });
    assert.ok(recent.plan.eal.some((word) => word.includes('member=0000:06:00.0')));
  });

  const wrong: [name: string, text: string, shape: Shape, message: string][] = [
    [
      'no device',
      '',
      laptop,
      'f: no device: a director without a port forwards nothing; add "netif_defs { device dpdk0 { pci ADDRESS } }" (dpvsd doctor lists the NICs), or begin with conf/dpvs.conf.vdev.sample',
    ],
    [
      'a device that is nothing',
      conf('device dpdk0 {\n}'),
      laptop,
      'f:2: device dpdk0: nothing says which NIC or virtual device it is; add "pci 0000:06:00.0" or "vdev net_af_packet0,iface=eth1" to its block (dpvsd doctor lists the NICs)',
    ],
    [
      'a card that is not there',
      conf(card('dpdk0', '07:00.0')),
      {},
      'f:3: pci 0000:07:00.0: this machine has no network card at that address; it has: 0000:06:00.0 0000:06:00.1',
    ],
    [
      'a card of the kernel',
      conf(card('dpdk0', '00:03.0')),
      laptop,
      'f:3: pci 0000:00:03.0: the kernel driver virtio-pci holds the card; hand it over with "modprobe vfio-pci; dpdk-devbind.py --bind=vfio-pci 0000:00:03.0" (it carries eth0, which is up: be sure that you do not reach this machine through it)',
    ],
    [
      'a card twice',
      conf(`${card('dpdk0', '06:00.0')}\n${card('dpdk1', '0000:06:00.0')}`),
      {},
      'f:7: device dpdk1: 0000:06:00.0: device dpdk0 has it already; give each device a card or virtual device of its own',
    ],
    [
      'a card and a virtual device',
      conf('device dpdk0 {\n pci 06:00.0\n vdev net_tap0\n}'),
      {},
      'f:4: device dpdk0: it has both pci and vdev; keep one of the two',
    ],
    [
      'a virtual device that is no port',
      conf('device dpdk0 {\n vdev crypto_null0\n}'),
      {},
      'f:3: vdev crypto_null0: it is no network device; write for instance "vdev net_af_packet0,iface=veth0"',
    ],
    [
      'a bond without slaves',
      conf(`${veth('dpdk0', 0)}\nbonding bond0 {\n mode 1\n}`),
      {},
      'f:5: bonding bond0: it has no slave; add "slave DEVICE" for each of its devices',
    ],
    [
      'a slave that is no device',
      conf(`${veth('dpdk0', 0)}\nbonding bond0 {\n slave dpdk0\n slave dpdk9\n}`),
      {},
      'f:7: slave dpdk9 of bond0: there is no such device; add "device dpdk9 { ... }" above',
    ],
    [
      'a slave of two',
      conf(`${veth('dpdk0', 0)}\nbonding bond0 {\n slave dpdk0\n}\nbonding bond1 {\n slave dpdk0\n}`),
      {},
      'f:9: slave dpdk0 of bond1: it is a slave of bond0 already; name each device once',
    ],
    [
      'a primary that is no slave',
      conf(`${veth('dpdk0', 0)}\nbonding bond0 {\n slave dpdk0\n primary dpdk1\n}`),
      {},
      'f:7: primary dpdk1: it is no slave of bond0; write one of: dpdk0',
    ],
    [
      'the name of a twin that is too long',
      conf(veth('uplink-to-router', 0)),
      {},
      'f:2: kernel twin uplink-to-router.kni: Linux takes names of at most 15 letters; write a shorter one: "kni_name NAME"',
    ],
    [
      'a twin of two',
      conf(`${veth('a', 0)}\ndevice b {\n vdev net_tap0\n kni_name a.kni\n}`),
      {},
      'f:7: kernel twin a.kni: a has a twin of that name; write another one: "kni_name NAME"',
    ],
  ];
  for (const [name, text, shape, message] of wrong) {
    it(`refuses ${name}`, () => assert.deepEqual(refused(text, shape), [message]));
  }
});

describe('plan: threads and queues', () => {
  it('gives each worker of the file its CPU and its queues', () => {
    const { plan } = planned(
      conf(
        `${card('dpdk0', '06:00.0')}\n${card('dpdk1', '06:00.1')}`,
        `worker cpu0 {\n type master\n cpu_id 0\n}\n${worker('cpu3', 3, use('dpdk0', '0 2', '0'), use('dpdk1', '0'))}\n${worker('cpu5', 5, use('dpdk0', '1'), use('dpdk1', '', '1'))}`,
      ),
    );
    assert.deepEqual(plan.master, { name: 'cpu0', lcore: 0, cpu: 0, node: 0 });
    assert.deepEqual(plan.workers, [
      {
        name: 'cpu3',
        lcore: 1,
        cpu: 3,
        node: 0,
        queues: [
          { port: 'dpdk0', rx: 0, tx: 0 },
          { port: 'dpdk0', rx: 2, tx: 0 },
          { port: 'dpdk1', rx: 0, tx: 0 },
        ],
      },
      {
        name: 'cpu5',
        lcore: 2,
        cpu: 5,
        node: 0,
        queues: [
          { port: 'dpdk0', rx: 1, tx: 1 },
          { port: 'dpdk1', tx: 1 },
        ],
      },
    ]);
    assert.deepEqual(
      plan.ports.map((port) => [port.rxq, port.txq]),
      [
        [3, 2],
        [1, 2],
      ],
    );
    assert.deepEqual(plan.eal.slice(0, 4), ['--lcores', '0@0,1@3,2@5', '--main-lcore', '0']);
  });

  it('adds a worker where the file has none but the master', () => {
    const { plan } = planned(conf(veth('dpdk0', 0), 'worker m {\n type master\n cpu_id 3\n}'), {
      ...laptop,
      cpus: 4,
    });
    assert.equal(plan.master.cpu, 3);
    assert.ok(plan.workers.length > 0 && plan.workers.every((one) => one.cpu !== 3));
  });

  it('takes a CPU that several workers name, with a warning', () => {
    const text = conf(
      veth('dpdk0', 0),
      `${worker('a', 1, use('dpdk0', '0'))}\n${worker('b', 1, use('dpdk0', '1'))}`,
    );
    const { plan, said } = planned(text);
    assert.deepEqual(
      plan.workers.map((one) => one.cpu),
      [1, 1],
    );
    assert.deepEqual(
      said.filter((line) => line.includes('share')),
      ['f: warning: a and b share CPU 1: they take turns, which costs speed; give each a cpu_id of its own'],
    );
  });

  it('finds a sending queue where the file leaves it out', () => {
    const { plan } = planned(
      conf(
        veth('dpdk0', 0),
        `${worker('a', 1, use('dpdk0', '0', ''))}\n${worker('b', 2, use('dpdk0', '1', '0'))}`,
      ),
    );
    assert.deepEqual(
      plan.workers.map((one) => one.queues[0]?.tx),
      [1, 0],
    );
  });

  it('spreads a port that no worker mentions over all', () => {
    const { plan, said } = planned(
      conf(
        `${veth('dpdk0', 0)}\n${veth('dpdk1', 1)}`,
        `${worker('a', 1, use('dpdk0', '0'))}\n${worker('b', 2, use('dpdk0', '1'))}`,
      ),
    );
    assert.deepEqual(plan.workers[1]?.queues[1], { port: 'dpdk1', rx: 1, tx: 1 });
    assert.ok(said.some((line) => line.startsWith('f:5: note: device dpdk1: no worker block mentions it')));
  });

  it('chooses a master that is no worker, and no isolated CPU', () => {
    const workers = `${worker('a', 0, use('dpdk0', '0'))}\n${worker('b', 1, use('dpdk0', '1'))}`;
    const { plan } = planned(conf(veth('dpdk0', 0), workers), { isolated: '2-6' });
    assert.equal(plan.master.cpu, 7);
  });

  it('without workers in the file takes one CPU for the master and the rest, up to four on virtual ports', () => {
    const { plan } = planned(conf(veth('dpdk0', 0)));
    assert.equal(plan.master.cpu, 0);
    assert.deepEqual(
      plan.workers.map((one) => one.cpu),
      [1, 2, 3, 4],
    );
    assert.equal(planned(conf(card('dpdk0', '06:00.0'))).plan.workers.length, 7);
    assert.equal(planned(conf(veth('dpdk0', 0)), laptop).plan.workers.length, 1);
    assert.equal(planned(conf(veth('dpdk0', 0)), { ...laptop, cpus: 1 }).plan.workers.length, 1);
  });

  it('without workers in the file takes as many as queue_number or the device says, sharing CPUs if it must', () => {
    const byItem = planned(conf(`device dpdk0 {\n vdev net_tap0\n rx {\n queue_number 3\n }\n}`), laptop);
    assert.deepEqual(
      byItem.plan.workers.map((one) => one.cpu),
      [1, 0, 1],
    );
    assert.ok(byItem.said.some((line) => line.startsWith('f: warning: worker0 and worker2 share CPU 1')));
    assert.equal(planned(conf(veth('dpdk0', 0, ',qpairs=2'))).plan.workers.length, 2);
  });

  it('prefers isolated CPUs on the node of the card, and leaves hyperthreads for last', () => {
    const contents = contentsOf({ ...twoNodes, isolated: '2-7' });
    contents['/sys/devices/system/cpu/cpu5/topology/thread_siblings_list'] = '4-5\n';
    const text = conf(card('dpdk0', '06:00.0', 'rx {\n queue_number 4\n }'));
    const { plan } = makePlan(parseConf(text), readMachine(filesOf(contents)), []);
    assert.deepEqual(
      plan?.workers.map((one) => one.cpu),
      [4, 6, 7, 5],
    );
    assert.equal(plan?.master.cpu, 0);
  });

  it('warns of workers far from their card', () => {
    const { said } = planned(conf(card('dpdk0', '06:00.0'), worker('a', 1, use('dpdk0', '0'))), twoNodes);
    assert.ok(said.some((line) => line.startsWith('f: warning: a and dpdk0 are on different NUMA nodes')));
  });

  it('warns of workers that cannot send to a port', () => {
    const workers = `${worker('a', 1, use('dpdk0', '0'), use('dpdk1', '0'))}\n${worker('b', 2, use('dpdk0', '1'))}`;
    const { said } = planned(conf(`${veth('dpdk0', 0)}\n${veth('dpdk1', 1)}`, workers));
    assert.ok(said.some((line) => line.startsWith('f:5: warning: b cannot send to dpdk1')));
  });

  it('leaves kni workers out', () => {
    const kni = `worker k {\n type kni\n cpu_id 3\n ${use('dpdk0', '1')}\n}`;
    const { plan, said } = planned(conf(veth('dpdk0', 0), `${worker('a', 1, use('dpdk0', '0'))}\n${kni}`));
    assert.equal(plan.workers.length, 1);
    assert.equal(plan.ports[0]?.rxq, 1);
    assert.ok(said.some((line) => line.includes('note: worker k is left out')));
  });

  const one = veth('dpdk0', 0);
  const wrong: [name: string, text: string, shape: Shape, message: string][] = [
    [
      'a CPU that is not there',
      conf(one, worker('a', 9, use('dpdk0', '0'))),
      laptop,
      'f:9: worker a: cpu_id 9: this machine has no such CPU; write one of 0-1',
    ],
    [
      'a CPU that this process may not use',
      conf(one, worker('a', 1, use('dpdk0', '0'))),
      { ...laptop, allowed: '0' },
      'f:9: worker a: cpu_id 1: this process may not use that CPU (cpuset, container or taskset); write one of 0',
    ],
    [
      'a worker without CPU',
      conf(one, `worker a {\n${use('dpdk0', '0')}\n}`),
      {},
      'f:7: worker a: its CPU is missing; add "cpu_id N"; this process may use 0-7',
    ],
    [
      'two masters',
      conf(one, 'worker a {\n type master\n cpu_id 0\n}\nworker b {\n type master\n cpu_id 1\n}'),
      {},
      'f:11: worker b: a is the master already; write "type slave" for all others',
    ],
    [
      'a queue of two workers',
      conf(one, `${worker('a', 1, use('dpdk0', '0', '0'))}\n${worker('b', 2, use('dpdk0', '0', '1'))}`),
      {},
      'f:18: rx queue 0 of dpdk0: worker a has it already; give each queue to one worker',
    ],
    [
      'a sending queue of two workers',
      conf(one, `${worker('a', 1, use('dpdk0', '0', '0'))}\n${worker('b', 2, use('dpdk0', '1', '0'))}`),
      {},
      'f:18: tx queue 0 of dpdk0: worker a has it already; give each queue to one worker',
    ],
    [
      'a queue of nobody',
      conf(one, worker('a', 1, use('dpdk0', '1', '0'))),
      {},
      'f:2: rx queue 0 of dpdk0: no worker receives from it, and what the NIC puts there would be lost; number the queues of a port from 0 without gaps',
    ],
    [
      'a port from which nobody receives',
      conf(one, worker('a', 1, use('dpdk0', '', '0'))),
      {},
      'f:2: device dpdk0: no worker receives from it; add "port dpdk0 { rx_queue_ids 0 }" to a worker',
    ],
    [
      'a port without queues',
      conf(one, worker('a', 1, use('dpdk0', '', ''))),
      {},
      'f:10: port dpdk0 of worker a: it names no queue; write "rx_queue_ids 0" and "tx_queue_ids 0" in it',
    ],
    [
      'a port that is not there',
      conf(one, worker('a', 1, use('dpdk0', '0'), use('dpdk7', '0'))),
      {},
      'f:14: port dpdk7 of worker a: there is no such device; write one of: dpdk0',
    ],
    [
      'a slave of a bond',
      conf(`${one}\nbonding bond0 {\n slave dpdk0\n}`, worker('a', 1, use('dpdk0', '0'), use('bond0', '0'))),
      {},
      'f:13: port dpdk0 of worker a: it is a slave of bond0; write "port bond0"',
    ],
    [
      'more queues than queue_number',
      conf(
        'device dpdk0 {\n vdev net_tap0\n rx {\n queue_number 1\n }\n}',
        `${worker('a', 1, use('dpdk0', '0', '1'))}\n${worker('b', 2, use('dpdk0', '1', '0'))}`,
      ),
      {},
      'f:5: device dpdk0 has 1 rx queue: the workers want 2; write "queue_number 2" in its rx block',
    ],
    [
      'more queues than the device has',
      conf(veth('dpdk0', 0, ',qpairs=1'), worker('a', 1, use('dpdk0', '0 1', '0'))),
      {},
      'f:3: device dpdk0 has 1 rx queue: the workers want 2; write "qpairs=2" in its vdev, or leave qpairs out',
    ],
  ];
  for (const [name, text, shape, message] of wrong) {
    it(`refuses ${name}`, () => assert.deepEqual(refused(text, shape), [message]));
  }
});

describe('plan: bounds', () => {
  it('refuses more ports or workers than one process takes', () => {
    const many = (count: number, one: (i: number) => string) =>
      Array.from({ length: count }, (_, i) => one(i)).join('\n');
    const ports = conf(
      many(33, (i) => `device d${i} {\n vdev net_tap${i}\n}`),
      worker('a', 1, use('d0', '0')),
    );
    assert.ok(refused(ports)[0]?.startsWith('f: 33 ports: one process takes at most 32'));
    const workers = many(65, (i) => worker(`w${i}`, i, use(`d${i % 16}`, String(i >> 4))));
    const text = conf(
      many(16, (i) => `device d${i} {\n vdev net_tap${i}\n}`),
      workers,
      'netif_defs {\n pktpool_size 1048575\n}',
    );
    assert.deepEqual(refused(text, { cpus: 96 }), [
      'f: 65 workers: one process takes at most 64; divide them among several instances',
    ]);
  });
});

describe('plan: memory', () => {
  it('takes hugepages when enough are free, and ordinary memory otherwise', () => {
    const text = conf(veth('dpdk0', 0));
    const rich = planned(text);
    assert.equal(rich.plan.memory.hugepages, true);
    assert.ok(rich.plan.eal.includes('--in-memory') && !rich.plan.eal.includes('--no-huge'));
    const poor = planned(text, laptop);
    assert.equal(poor.plan.memory.hugepages, false);
    // DPDK refuses --in-memory without hugepages.
    assert.ok(poor.plan.eal.includes('--no-huge') && !poor.plan.eal.includes('--in-memory'));
    const byOption = planned(text, {}, ['--no-huge']).plan.eal;
    assert.ok(byOption.includes('--no-shconf') && !byOption.includes('--in-memory'));
    assert.deepEqual(
      poor.said.filter((line) => line.includes('hugepages')),
      [],
      'a laptop is not to be bothered',
    );
    const few = planned(text, { huge: { total: 2048, free: 10 } });
    assert.ok(few.said.some((line) => line.startsWith('f: warning: 20 MB of hugepages are free')));
  });

  it('refuses to start without hugepages when they are demanded, with the command that makes them', () => {
    const text = conf(veth('dpdk0', 0), '', 'global_defs {\n hugepages on\n memory 512\n}');
    assert.deepEqual(refused(text, laptop), [
      'f:10: 0 MB of hugepages are free: the plan needs 512 MB and "hugepages on" allows nothing else; run "sysctl -w vm.nr_hugepages=256", or write "memory MB" or a smaller conn_pool_size',
    ]);
  });

  it('refuses cards without an IOMMU that would have no hugepages', () => {
    const shape: Shape = {
      huge: { total: 64, free: 64 },
      cards: { '0000:06:00.0': { driver: 'uio_pci_generic' } },
    };
    const text = conf(card('dpdk0', '06:00.0'), '', 'global_defs {\n memory 512\n}');
    assert.deepEqual(refused(text, shape), [
      'f: 0000:06:00.0 is held by uio_pci_generic without an IOMMU: it works with hugepages alone, and 128 MB of the 512 MB that the plan needs are free; run "sysctl -w vm.nr_hugepages=256"',
    ]);
    const off = refused(text.replace('memory 512', 'hugepages off'), shape);
    assert.equal(off.length, 1);
    assert.match(off[0]!, /"hugepages off" allows none; take "hugepages off" away and run "sysctl/);
    // Behind an IOMMU any memory will do.
    planned(text, { ...shape, cards: { '0000:06:00.0': { driver: 'vfio-pci', group: '1' } } });
  });

  it('hands the kind of the twins on, and refuses virtio-user without /dev/vhost-net', () => {
    const text = (kind: string) => conf(veth('dpdk0', 0), '', `global_defs {\n kni_kind ${kind}\n}`);
    assert.equal(planned(conf(veth('dpdk0', 0)), laptop).plan.twinKind, 'tap');
    assert.equal(planned(text('auto'), laptop).plan.twinKind, 'tap');
    assert.equal(planned(text('virtio-user'), laptop).plan.twinKind, 'virtio-user');
    const contents = { ...contentsOf(laptop) };
    delete contents['/dev/vhost-net'];
    const made = makePlan(parseConf(text('virtio-user')), readMachine(filesOf(contents)), []);
    assert.equal(made.plan, undefined);
    assert.deepEqual(
      made.problems.filter(({ severity }) => severity === 'error').map((one) => format('f', one)),
      [
        'f:10: kni_kind virtio-user: /dev/vhost-net is missing; run "modprobe vhost_net", or write "kni_kind tap"',
      ],
    );
    // Without twins nobody needs it.
    assert.ok(makePlan(parseConf(text('virtio-user\n kni off')), readMachine(filesOf(contents)), []).plan);
  });

  it('does without hugepages when told to', () => {
    assert.ok(
      planned(conf(veth('dpdk0', 0), '', 'global_defs {\n hugepages off\n}')).plan.eal.includes('--no-huge'),
    );
  });

  it('grows with the pools', () => {
    const megabytes = (items: string) =>
      planned(conf(`${items}\n${veth('dpdk0', 0)}`), laptop).plan.memory.megabytes;
    const small = megabytes('pktpool_size 16383');
    const large = megabytes('pktpool_size 1048575');
    // A million packets of 2,432 bytes, and a quarter more.
    assert.ok(large - small > 2400 * 1.2 && large - small < 2400 * 1.35, `${small} ${large}`);
    const jumbo = planned(conf(`device dpdk0 {\n vdev net_tap0\n mtu 9000\n}`), laptop).plan.memory.megabytes;
    assert.ok(jumbo > megabytes('pktpool_size 65535') + 500);
  });

  it('is what "memory" says, if it says so', () => {
    const { plan } = planned(conf(veth('dpdk0', 0), '', 'global_defs {\n memory 300\n}'), laptop);
    assert.equal(plan.eal[plan.eal.indexOf('-m') + 1], '300');
  });

  it('is divided among the nodes where threads are', () => {
    const workers = `${worker('a', 1, use('dpdk0', '0'))}\n${worker('b', 5, use('dpdk0', '1'))}`;
    const { plan } = planned(conf(veth('dpdk0', 0), workers), twoNodes);
    const [first, second] = (plan.eal[plan.eal.indexOf('--socket-mem') + 1] ?? '').split(',').map(Number);
    assert.ok(first! > 300 && second! > 300);
    assert.ok(Math.abs(first! - second!) < 200);
    assert.ok(!plan.eal.includes('-m'));
  });

  it('warns when the machine, or its control group, has less', () => {
    const small = planned(conf(veth('dpdk0', 0)), { ...laptop, memory: { total: 1024, available: 300 } });
    assert.ok(small.said.some((line) => line.startsWith('f: warning: 300 MB of memory are available')));
  });

  it('refuses a pool that cannot fill the queues', () => {
    const text = conf(`pktpool_size 1023\n${veth('dpdk0', 0)}`, worker('a', 1, use('dpdk0', '0')));
    assert.deepEqual(refused(text, laptop), [
      'f:2: pktpool_size 1023: the queues and caches alone can hold 1664 packets; write "pktpool_size 4095"',
    ]);
  });

  it('holds the cache of packets within what DPDK takes', () => {
    const { plan, said } = planned(conf(`pktpool_cache 8192\n${veth('dpdk0', 0)}`), laptop);
    assert.equal(plan.memory.cache, 512);
    assert.ok(said.some((line) => line.startsWith('f:2: note: pktpool_cache 8192 counts as 512')));
  });
});

describe('plan: options behind "--"', () => {
  const text = conf(
    veth('dpdk0', 0),
    `worker m {\n type master\n cpu_id 0\n}\n${worker('a', 1, use('dpdk0', '0'))}`,
  );

  it('win over what would be chosen', () => {
    const { plan } = planned(text, {}, [
      '-m',
      '123',
      '--file-prefix=x',
      '--telemetry',
      '--legacy-mem',
      '--no-huge',
    ]);
    const line = plan.eal.join(' ');
    assert.match(line, /-m 123 --file-prefix x --telemetry --legacy-mem --no-huge$/);
    assert.equal(line.match(/ -m /g)?.length, 1);
    assert.equal(line.match(/--no-huge/g)?.length, 1);
    assert.doesNotMatch(line, /--in-memory|--no-telemetry/);
  });

  it('make cpu_id the number of an lcore, as with DPVS', () => {
    for (const words of [
      ['-l', '0-1'],
      ['-l0,1'],
      ['--lcores', '0@0,1@1'],
      ['-c', '0x3'],
      ['--lcores=(0,1)@0,5@(2-3)'],
    ]) {
      const { plan } = planned(text, {}, words);
      assert.equal(plan.workers[0]?.lcore, 1);
      assert.equal(
        plan.eal.filter((word) => word === '--lcores' || word === '-l' || word === '-c').length,
        1,
      );
      assert.equal(plan.eal[plan.eal.indexOf('--main-lcore') + 1], '0');
    }
    const { plan } = planned(text, {}, ['--lcores', '0@3,1@3']);
    assert.deepEqual([plan.master.cpu, plan.workers[0]?.cpu], [3, 3]);
    assert.deepEqual(refused(text, {}, ['-l', '2-4']), [
      'f:9: worker m: cpu_id 0: the lcores given behind "--" are 2-4; add it to -l, or leave -l out',
      'f:13: worker a: cpu_id 1: the lcores given behind "--" are 2-4; add it to -l, or leave -l out',
    ]);
  });

  it('choose the threads when the file names none', () => {
    const { plan } = planned(conf(veth('dpdk0', 0)), {}, ['-l', '2-4', '--main-lcore', '3']);
    assert.equal(plan.master.lcore, 3);
    assert.deepEqual(
      plan.workers.map((one) => one.lcore),
      [2, 4],
    );
    assert.deepEqual(refused(conf(veth('dpdk0', 0)), {}, ['-l', '2']), [
      'f: no lcore is left for a worker: the lcores behind "--" are the master alone; give one more, for instance by "-l 0-1"',
    ]);
  });

  it('are checked', () => {
    assert.deepEqual(refused(text, {}, ['--in-memry', '-m']), [
      'f: "--in-memry" behind "--": DPDK has no such option; did you mean "--in-memory"?',
      'f: EAL option -m: its value is missing; write "-m VALUE"',
    ]);
    const { said } = planned(conf(card('dpdk0', '06:00.0')), {}, ['-a', '06:00.0', '-a', '06:00.1']);
    assert.ok(
      said.some((line) =>
        line.startsWith('f: warning: 0000:06:00.1 behind "--": no device block is left for it'),
      ),
    );
  });
});

describe('plan: what -t prints', () => {
  it('shows ports, threads, memory, the EAL line and what is without effect', () => {
    const read = parseConf(conf(veth('dpdk0', 0, ',qpairs=1'), '', 'timer_defs {\n schedule_interval 5\n}'));
    const { plan } = makePlan(read, readMachine(filesOf(contentsOf(laptop))), []);
    assert.ok(plan);
    const shown = showPlan(plan, read);
    assert.match(shown, /^ {2}dpdk0 {2}net_af_packet0 {2}1 +1 +256\/512 +1500 +dpdk0\.kni +-$/m);
    assert.match(shown, /^ {2}worker0 +worker +1 +1 +0 +dpdk0 rx 0 tx 0$/m);
    assert.match(shown, /^Idle policy: adaptive$/m);
    assert.match(shown, /^Memory: \d+ MB of ordinary memory$/m);
    assert.match(
      shown,
      /^EAL: --lcores 0@0,1@1 --main-lcore 0 --no-shconf --no-telemetry --no-huge -m \d+ --no-pci --vdev net_af_packet0,iface=veth0,qpairs=1$/m,
    );
    assert.match(shown, /^ {2}line 10: schedule_interval: /m);
  });
});
