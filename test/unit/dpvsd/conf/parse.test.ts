import assert from 'node:assert/strict';
import { parseConf } from '../../../../dpvsd/conf/parse.js';
import { format } from '../../../../dpvsd/conf/problem.js';

describe('parseConf', () => {
  it('gives every item its default', () => {
    const { model, problems } = parseConf('');
    assert.deepEqual(problems, []);
    assert.equal(model.netif_defs.pktpool_size, 65535);
    assert.equal(model.ipvs_defs.conn.conn_pool_size, 2097152);
    assert.equal(model.ipvs_defs.tcp.timeout.established, 90);
    assert.equal(model.ipvs_defs.udp.timeout.oneway, 300);
    assert.equal(model.sa_pool.flow_enable, true);
    assert.equal(model.global_defs.idle_policy, undefined);
    assert.deepEqual(model.netif_defs.device, []);
  });

  it('reads values of every kind, and remembers the lines', () => {
    const { model, problems, lines } = parseConf(`global_defs {
  log_level WARNING
  <init> daemon
  kni off
}
netif_defs {
  device dpdk0 {
    vdev net_af_packet0,iface=veth0,qpairs=2
    rx {
      rss ip|tcp udp
      queue_number 2
    }
    promisc_mode
  }
  bonding bond0 {
    mode 4
    slave dpdk0
    slave dpdk1
    options dedicated_queues=on;x=y
  }
}
worker_defs {
  worker cpu1 {
    type slave
    cpu_id 1
    port dpdk0 {
      rx_queue_ids 0 2-4,7
    }
  }
}`);
    assert.deepEqual(problems, []);
    assert.equal(model.global_defs.log_level, 'warning');
    assert.equal(model.global_defs.daemon, true);
    assert.equal(model.global_defs.kni, false);
    const device = model.netif_defs.device[0];
    assert.equal(device?.name, 'dpdk0');
    assert.equal(device.vdev, 'net_af_packet0,iface=veth0,qpairs=2');
    assert.deepEqual(device.rx.rss, ['ip', 'tcp', 'udp']);
    assert.equal(device.promisc_mode, true);
    assert.deepEqual(model.netif_defs.bonding[0]?.slave, ['dpdk0', 'dpdk1']);
    assert.deepEqual(model.worker_defs.worker[0]?.port[0]?.rx_queue_ids, [0, 2, 3, 4, 7]);
    assert.equal(lines.get('netif_defs/device dpdk0/rx/queue_number'), 11);
    assert.equal(lines.get('worker_defs/worker cpu1/port dpdk0/rx_queue_ids'), 27);
  });

  it('reads what older versions of DPVS had, without effect', () => {
    const { problems, without } = parseConf(`netif_defs {
  <init> fdir_mode signature
  <init> device dpdk0 {
    tx {
      max_burst_size 32
    }
    fdir {
      mode      perfect
      pballoc   64k
      status    matched
    }
  }
}
ctrl_defs {
  ipc_msg {
    <init> unix_domain /var/run/dpvs_ctrl
  }
}
ipv6_defs {
  <init> stable_secret ""  <128 bits>
}`);
    assert.deepEqual(problems, []);
    assert.deepEqual(
      without.map(({ line }) => line),
      [2, 5, 8, 9, 10, 16, 20],
    );
  });

  it('does not share defaults between blocks or files', () => {
    const first = parseConf(
      'worker_defs { worker a { port p { rx_queue_ids 1 } } \n worker b { port p { } } }',
    );
    assert.deepEqual(first.model.worker_defs.worker[1]?.port[0]?.rx_queue_ids, []);
    assert.deepEqual(parseConf('').model.netif_defs.bonding, []);
  });

  it('lists what is accepted without effect, with the reason', () => {
    const { without } = parseConf(
      'timer_defs {\n schedule_interval 500\n}\nglobal_defs {\n log_level info\n}',
    );
    assert.equal(without.length, 1);
    assert.equal(without[0]?.path, 'timer_defs/schedule_interval');
    assert.equal(without[0].line, 2);
    assert.notEqual(without[0].why, '');
  });

  const wrong: [name: string, text: string, message: string][] = [
    [
      'a number out of range',
      'netif_defs {\n device dpdk0 {\n mtu 90000\n }\n}',
      'f:3: mtu 90000: 90000 is out of its range; it takes 0-9000: write for instance "mtu 0"',
    ],
    [
      'no number',
      'neigh_defs {\n timeout 1m\n}',
      'f:2: timeout 1m: "1m" is not a whole number; it takes 1-3600: write for instance "timeout 1"',
    ],
    [
      'a missing value',
      'neigh_defs {\n timeout\n}',
      'f:2: timeout: the value is missing; it takes 1-3600: write for instance "timeout 1"',
    ],
    [
      'too many values',
      'neigh_defs {\n timeout 1 2\n}',
      'f:2: timeout 1 2: it takes one value, and "2" is left over; it takes 1-3600: write for instance "timeout 1"',
    ],
    [
      'an unknown word',
      'ipvs_defs {\n udp {\n uoa_mode ipp\n }\n}',
      'f:3: uoa_mode ipp: "ipp" is none of its values; it takes opp | ipo: write for instance "uoa_mode opp"',
    ],
    [
      'neither on nor off',
      'sa_pool {\n flow_enable maybe\n}',
      'f:2: flow_enable maybe: "maybe" is neither on nor off; it takes on | off: write for instance "flow_enable on"',
    ],
    [
      'a misspelt item',
      'netif_defs {\n pktpol_size 1\n}',
      'f:2: "pktpol_size": block netif_defs has no such item; did you mean "pktpool_size"?',
    ],
    [
      'a misspelt block',
      'netif_def {\n}',
      'f:1: "netif_def": the top of the file has no such block; did you mean "netif_defs"?',
    ],
    [
      'an item in the wrong block',
      'global_defs {\n pktpool_size 65535\n}',
      'f:2: "pktpool_size": block global_defs has no such item; it belongs into netif_defs {',
    ],
    [
      'a block in the wrong block',
      'netif_defs {\n worker cpu0 {\n }\n}',
      'f:2: "worker": block netif_defs has no such block; it belongs into worker_defs {',
    ],
    [
      'an item deep in the table',
      'tcp {\n}',
      'f:1: "tcp": the top of the file has no such block; it belongs into ipvs_defs {',
    ],
    ['a block without braces', 'global_defs', 'f:1: global_defs: it is a block; write "global_defs { ... }"'],
    [
      'an item with braces',
      'neigh_defs {\n timeout {\n }\n}',
      'f:2: timeout {: it is an item, not a block; write for instance "timeout 1"',
    ],
    [
      'a device without name',
      'netif_defs {\n device {\n }\n}',
      'f:2: device {: its name is missing; write for instance "device device0 {"',
    ],
    [
      'a name twice',
      'netif_defs {\n device d {\n }\n device d {\n }\n}',
      'f:4: device d: line 2 has a device of that name already; give it a name of its own',
    ],
    [
      'a section with a name',
      'global_defs x {\n}',
      'f:1: global_defs x: "x" is left over; write "global_defs {"',
    ],
    [
      'a range that runs backwards',
      'worker_defs {\n worker w {\n port p {\n rx_queue_ids 3-1\n }\n }\n}',
      'f:4: rx_queue_ids 3-1: the range "3-1" runs backwards; it takes numbers 0-15: write for instance "rx_queue_ids 0 1"',
    ],
    [
      'no PCI address',
      'netif_defs {\n device d {\n pci eth0\n }\n}',
      'f:3: pci eth0: "eth0" does not have that form; it takes a PCI address: write for instance "pci 0000:06:00.0"',
    ],
    [
      'an item twice',
      'neigh_defs {\n timeout 1\n timeout 2\n}',
      'f:3: warning: timeout again: line 2 sets it already and loses; keep one of the two',
    ],
  ];
  for (const [name, text, message] of wrong) {
    it(`says what to write instead of ${name}`, () => {
      assert.deepEqual(
        parseConf(text).problems.map((problem) => format('f', problem)),
        [message],
      );
    });
  }

  it('collects all mistakes, in the order of their lines', () => {
    const { problems } = parseConf(
      'global_defs {\n foo 1\n}\nneigh_defs {\n timeout 0\n}\nsa_pool {\n pool_hash_size 999\n',
    );
    assert.deepEqual(
      problems.map((problem) => problem.line),
      [2, 5, 7, 8],
    );
  });

  it('never throws, whatever the text', () => {
    // A small generator with a fixed seed: the same texts each time.
    let seed = 20240607;
    const random = (below: number) => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return (seed >>> 8) % below;
    };
    const pieces = [
      '{',
      '}',
      '\n',
      ' ',
      '<',
      '>',
      '!',
      '#',
      '"',
      'device',
      'dpdk0',
      'worker',
      'netif_defs',
      'rx',
      'constructor',
      '__proto__',
      'toString',
      '65535',
      '-1',
      '0-',
      'mtu',
      'port',
      'slave',
      'é',
      '\0',
    ];
    for (let round = 0; round < 3000; round++) {
      let text = '';
      for (let i = random(60); i > 0; i--)
        text += `${pieces[random(pieces.length)]}${random(3) === 0 ? '' : ' '}`;
      const { problems } = parseConf(text);
      for (const problem of problems) {
        assert.ok(problem.what !== '' && problem.why !== '' && problem.instead !== '', text);
      }
    }
  });
});
