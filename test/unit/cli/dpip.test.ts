import assert from 'node:assert/strict';
import { MemoryRow, MulticastRow, PortCounters, WorkerRow } from '../../../dpvsd/generated/control.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import { type Outcome, runDpip } from './harness.js';

interface Looked {
  links: { device: string; twin?: { name: string; control: object; bulk: object } }[];
}

describe('dpip', () => {
  let fake: FakeDpvsd;
  const ok = async (args: string, between?: () => void): Promise<string> => {
    const outcome = await runDpip(fake.path, args, between);
    assert.deepEqual({ code: outcome.code, stderr: outcome.stderr }, { code: 0, stderr: '' }, args);
    return outcome.stdout;
  };
  const wrong = async (args: string, message: RegExp): Promise<Outcome> => {
    const outcome = await runDpip(fake.path, args);
    assert.equal(outcome.code, 1, `${args}: ${outcome.stdout}`);
    assert.match(outcome.stderr, message);
    return outcome;
  };
  beforeEach(async () => {
    fake = await FakeDpvsd.start();
  });
  afterEach(() => fake.stop());

  it('shows its usage: exit 0 when asked, 1 when something is missing or unknown', async () => {
    assert.match(await ok(''), /OBJECT {2}:= \{ link \| addr/);
    assert.match(await ok('-h'), /^Usage:/);
    assert.match(await ok('addr help'), /sapool/);
    assert.match(await ok('-V'), /^dpip/);
    await wrong('-v', /^Usage:/);
    await wrong('addr', /^dpip: addr needs a command\nUsage:\n +dpip \[-4\|-6\] addr show/);
    await wrong('adr show', /invalid object 'adr', did you mean 'addr'\?/);
    await wrong('addr shwo', /invalid command 'shwo'/);
    await wrong('-x addr show', /unknown option -x/);
    await wrong('-f ipx addr show', /inet or inet6/);
    await wrong('-s -c 3 link show', /-c needs -i/);
    await wrong('-s -i 0 link show', /above 0/);
  });

  it('says as JSON what is wrong with a command line, when JSON is asked for', async () => {
    for (const [line, text] of [
      ['--json adr show', /^invalid object 'adr', did you mean 'addr'\?$/],
      ['-j addr shwo', /^invalid command 'shwo'$/],
      ['--json addr', /./],
      ['-x --json addr show', /unknown option -x/],
      ['--json addr add 10.0.0.1/33 dev dpdk0', /no address/],
    ] as const) {
      const { code, stderr } = await runDpip(fake.path, line);
      assert.equal(code, 1);
      const { error } = JSON.parse(stderr) as { error: { code: string; text: string } };
      assert.equal(error.code, 'usage');
      assert.match(error.text, text);
    }
  });

  it('says plainly what this dataplane does not have', async () => {
    for (const object of ['vlan', 'tunnel', 'qsch', 'cls', 'ipv6', 'iftraf', 'ipset', 'lldp']) {
      await wrong(`${object} show`, new RegExp(`^dpip: ${object}: this dataplane does not have .* yet`));
      assert.match(await ok(`${object} help`), /does not have/);
    }
  });

  it('asks whether dpvsd runs when it does not', async () => {
    await fake.stop();
    await wrong('link show', /^dpip: there is no control socket at .*\nis dpvsd running\?/);
  });

  it('adds, shows, sets, deletes and flushes addresses', async () => {
    await ok('addr add 192.168.100.100/32 dev dpdk0 sapool');
    await ok(
      'addr add 10.0.0.1/24 broadcast 10.0.0.255 dev dpdk1 scope link valid_lft 600 preferred_lft 300',
    );
    await ok('addr add 2001:db8::1/64 dev dpdk0');
    assert.equal(
      await ok('addr show'),
      [
        'inet 192.168.100.100/32 scope global dpdk0',
        '     valid_lft forever preferred_lft forever sa_used 0 sa_free 64512 sa_miss 0',
        'inet 10.0.0.1/24 scope link dpdk1',
        '    broadcast 10.0.0.255 valid_lft 600 preferred_lft 300',
        'inet6 2001:db8::1/64 scope global dpdk0',
        '     valid_lft forever preferred_lft forever',
        '',
      ].join('\n'),
    );
    assert.match(await ok('-6 addr list'), /^inet6 [^\n]*\n[^\n]*\n$/);
    assert.match(await ok('addr show dev dpdk1'), /^inet 10\.0\.0\.1/);
    await ok('addr set 10.0.0.1/24 dev dpdk1 valid_lft forever');
    assert.deepEqual(
      JSON.parse(await ok('-j addr show dev dpdk1')).map(
        ({ validLifetime }: { validLifetime: number }) => validLifetime,
      ),
      [null],
    );
    await wrong('addr add 10.0.0.1/24 dev dpdk1', /exists/);
    await wrong('addr add 10.0.0.1/24', /'dev DEVICE' is missing/);
    await wrong('addr add 10.0.0.1/33 dev dpdk0', /'10\.0\.0\.1\/33' is no address/);
    await wrong('addr add 10.0.0.3/24 dev dpdk9', /no device 'dpdk9'/);
    await wrong('addr add 10.0.0.3/24 dev dpdk0 sapol', /did you mean 'sapool'/);
    await wrong('-6 addr add 10.0.0.3/24 dev dpdk0', /inet, and -6/);
    await wrong('addr test 10.0.0.3/24 dev dpdk0', /cannot be told to 'test'/);
    await ok('addr del 192.168.100.100/32 dev dpdk0');
    await ok('-4 addr flush dev dpdk0');
    assert.equal(fake.tables.addresses.size, 2);
    await ok('addr flush dev dpdk0');
    assert.equal(fake.tables.addresses.size, 1);
  });

  it('adds, shows, replaces, deletes and flushes routes', async () => {
    await ok('route add 10.9.8.7/8 via 1.1.1.1 dev dpdk0 mtu 1500 metric 3');
    await ok('route add default via 10.0.0.254');
    await ok('-6 route add default dev dpdk1');
    await ok('route add 2001:db8::/32 via 2001:db8::1 src 2001:db8::2');
    await ok('route add 192.168.1.1 dev dpdk0 scope kni_host');
    assert.equal(
      await ok('route show'),
      [
        'inet 10.0.0.0/8 via 1.1.1.1 src 0.0.0.0 dev dpdk0 mtu 1500 tos 0 scope global metric 3 proto static ',
        'inet 0.0.0.0/0 via 10.0.0.254 src 0.0.0.0 dev  mtu 0 tos 0 scope global metric 0 proto static ',
        'inet6 ::/0 via :: src :: dev dpdk1 mtu 0 tos 0 scope link metric 0 proto static onlink ',
        'inet6 2001:db8::/32 via 2001:db8::1 src 2001:db8::2 dev  mtu 0 tos 0 scope global metric 0 proto static ',
        'inet 192.168.1.1/32 via 0.0.0.0 src 0.0.0.0 dev dpdk0 mtu 0 tos 0 scope kni_host metric 0 proto static onlink ',
        '',
      ].join('\n'),
    );
    await ok('route replace default via 10.0.0.253');
    assert.match(await ok('-4 route show'), /0\.0\.0\.0\/0 via 10\.0\.0\.253/);
    await ok('route del 10.0.0.0/8 metric 3');
    await ok('-6 route flush');
    assert.equal(JSON.parse(await ok('--json route show')).length, 2);
    await wrong('route add 10.0.0.0/8', /needs a gateway/);
    await wrong('route add 10.0.0.0/8 via 2001:db8::1', /another family/);
    await wrong('route add 10.0.0.0/8 via x', /via 'x' is no address/);
    await wrong('route del 10.0.0.0/8', /there is no route/);
    await ok('route flush dev dpdk0');
    await ok('route flush');
    assert.equal(fake.tables.routes.size, 0);
  });

  it('adds, shows and deletes neighbours', async () => {
    await ok('neigh add 10.0.0.9 lladdr 00:1b:21:AA:bb:c dev dpdk0');
    assert.equal(
      await ok('neigh show'),
      'ip: 10.0.0.9                                         mac: 00:1b:21:aa:bb:0c   state: PERMANENT     dev: dpdk0  core: 0  static\n',
    );
    assert.equal(JSON.parse(await ok('-j neigh show dev dpdk0'))[0].mac, '00:1b:21:aa:bb:0c');
    assert.equal(await ok('-6 neigh show'), '');
    await wrong('neigh add 10.0.0.8 dev dpdk0', /MAC address is missing/);
    await wrong('neigh add 10.0.0.8 lladdr 0:0:0:0:0:0 dev dpdk0', /no MAC address/);
    await ok('neigh del 10.0.0.9 dev dpdk0');
    assert.equal(fake.tables.neighbours.size, 0);
    await ok('neigh flush');
  });

  it('keeps flows to the kernel', async () => {
    await ok('flow add type kni dev dpdk0 192.168.88.12');
    assert.equal(await ok('flow show type kni dev dpdk0'), 'kni addr flow 192.168.88.12 dev dpdk0\n');
    assert.match(await ok('-v flow show type kni'), /software$/m);
    await wrong('flow add dev dpdk0 192.168.88.12', /type is missing/);
    await wrong('flow add type vlan dev dpdk0 1.2.3.4', /type 'vlan' do not exist/);
    await ok('flow del type kni dev dpdk0 192.168.88.12');
    await ok('flow flush type kni dev dpdk0');
    assert.equal(await ok('flow show type kni'), '');
  });

  it('shows multicast groups and memory', async () => {
    fake.tables.multicast = [
      MulticastRow.fromPartial({
        device: 'dpdk0',
        address: Uint8Array.of(1, 0, 0x5e, 0, 0, 18),
        references: 2,
      }),
    ];
    assert.equal(await ok('maddr show'), '1:\tdpdk0\n\tlink 01:00:5e:00:00:12\n2:\tdpdk1\n');
    assert.match(await ok('-v maddr show dev dpdk0'), /^dpdk0:\n\tlink {2}01:00:5e:00:00:12\t\trefcnt 2\n$/);
    fake.tables.memory = [
      MemoryRow.fromPartial({ name: 'pktpool-0', size: 65535, used: 35, unit: 'objects' }),
      MemoryRow.fromPartial({ name: 'heap-0', size: 1e9, used: 4e8, unit: 'bytes' }),
    ];
    assert.match(await ok('eal-mem show'), /pktpool-0 +65535 +35 +65500 objects\nheap-0 +1000000000/);
    assert.doesNotMatch(await ok('eal-mem show pool'), /heap/);
    await wrong('eal-mem show ring', /does not tell its rings/);
  });

  it('shows ports in the lines that scripts know', async () => {
    const dpdk0 = fake.tables.links.get('dpdk0')!;
    Object.assign(dpdk0, {
      offloads: ['OF_RX_IP_CSUM', 'OF_TX_IP_CSUM'],
      twin: 'dpdk0.kni',
      twinKind: 'tap',
      bus: 'net_null0',
    });
    await ok('link set dpdk0 promisc on');
    await ok('link set dpdk0 forward2kni on');
    await ok('link set dpdk1 link down');
    await ok('link set dpdk1 addr 02:aa:00:00:00:01');
    assert.equal(
      await ok('link show'),
      [
        '1: dpdk0: socket 0 mtu 1500 rx-queue 1 tx-queue 1',
        '    UP 10000 Mbps full-duplex auto-nego promisc foward2kni ',
        '    addr 02:00:00:00:00:00 OF_RX_IP_CSUM OF_TX_IP_CSUM ',
        '2: dpdk1: socket 0 mtu 1500 rx-queue 1 tx-queue 1',
        '    DOWN 10000 Mbps full-duplex auto-nego ',
        '    addr 02:AA:00:00:00:01 ',
        '',
      ].join('\n'),
    );
    const verbose = await ok('-v link show dpdk0');
    assert.match(verbose, /net_null0 +net_null/);
    assert.match(verbose, /kernel twin dpdk0\.kni \(tap\)/);
    assert.match(verbose, /rx0,tx0 cpu1/);
    await wrong('link show dpdk7', /no device 'dpdk7'/);
    await wrong('link set dpdk0 promisc maybe', /on or off is wanted/);
    await wrong('link set dpdk0 addr zz', /no MAC address/);
    await wrong('link set dpdk0 color red', /no item 'color'/);
    await wrong('link set dpdk0 promisc', /needs a device, an item and a value/);
    await wrong('link set dpdk0 bond-mode 4', /configured in dpvs\.conf/);
    await wrong('link show dpdk0 status', /dpdk0 is no bond/);
    await wrong('link add dpdk2', /cannot be told to 'add'/);
  });

  function counted(): void {
    const counter = (name: string, value: number) => ({ name, value, help: `about ${name}` });
    fake.tables.counters = [
      [counter('in', 100), counter('drop.no-service', 7), counter('drop.bad-checksum', 0)],
      [counter('in', 50), counter('drop.no-service', 1), counter('drop.bad-checksum', 0)],
    ];
    fake.tables.workers = [
      WorkerRow.fromPartial({ number: 0, lcore: 0, cpu: 0, name: 'master', role: 'master' }),
      ...[0, 1].map((number) =>
        WorkerRow.fromPartial({
          number,
          lcore: number + 1,
          cpu: number + 1,
          role: 'worker',
          loops: 1000,
          busyLoops: 400,
          cycles: 1000,
          busyCycles: 250,
          queues: [`dpdk0:rx${number},tx${number}`],
        }),
      ),
    ];
  }

  it('shows counters by name, as a sum and per worker', async () => {
    counted();
    const text = await ok('-s link show');
    assert.match(text, /ipackets +opackets +ibytes +obytes/);
    assert.match(text, /counters +sum +worker1 +worker2\n/);
    assert.match(text, / in +150 +100 +50\n/);
    assert.match(text, / drop\.no-service +8 +7 +1\n/);
    assert.doesNotMatch(text, /bad-checksum/);
    assert.match(await ok('-s -v link show'), /drop\.bad-checksum +0 +0 +0 +about drop\.bad-checksum/);
    const json = JSON.parse(await ok('-s -j link show'));
    assert.equal(json.counters.find(({ name }: { name: string }) => name === 'in').sum, 150);
    assert.equal(json.links.length, 2);
  });

  it('shows what the threads do', async () => {
    counted();
    assert.equal(
      await ok('link show cpu'),
      [
        '<< Controll Plane >>',
        '1: cpu0: socket 0',
        '    queues none',
        '<< Data Plane >>',
        '2: cpu1: socket 0',
        '    queues dpdk0:rx0,tx0',
        '3: cpu2: socket 0',
        '    queues dpdk0:rx1,tx1',
        '',
      ].join('\n'),
    );
    const text = await ok('-s link show cpu2');
    assert.match(text, /lcore_loop +pktburst +zpktburst +fpktburst *\n +1000 +400 +600 +0 /);
    assert.match(text, /connections +dropped +sleeps +busy *\n +0 +1 +0 +25\.0%/);
    assert.match(text, /drop\.no-service +1\n/);
    await wrong('link show cpu9', /no thread of dpvsd runs on cpu9/);
    assert.equal(JSON.parse(await ok('-j -s link show cpu1'))[0].counters.in, 100);
  });

  it('repeats statistics as rates', async () => {
    counted();
    const link = fake.tables.links.get('dpdk0')!;
    link.counters = PortCounters.fromPartial({});
    const text = await ok('-s link show dpdk0 -i 0.05 -c 3', () => {
      link.counters!.rxPackets += 500;
    });
    const rates = [...text.matchAll(/ipackets\/pps.*\n +(\d+)/g)].map((found) => Number(found[1]));
    assert.equal(rates.length, 3);
    // 500 in at least 0.05 s (a timer may be early by a millisecond) and, on however busy a machine, in less than a second.
    for (const rate of rates) assert.ok(rate > 500 && rate <= 10_300, `${rate} packets per second`);
    const cpu = await ok('-C -s -i 0.1 -c 2 link show cpu', () => {
      for (const worker of fake.tables.workers) worker.loops += 100;
    });
    assert.equal([...cpu.matchAll(/lcore_loop\/lps/g)].length, 6);
    assert.ok(cpu.includes('\x1b[34m') && cpu.includes('\x1b[32m'));
  });

  it('shows rates of both classes of a twin, as text and as JSON', async () => {
    const names = ['to-kernel', 'to-kernel-dropped', 'ring-full', 'from-kernel', 'from-kernel-dropped'];
    const rows = names.flatMap((name) =>
      ['control', 'bulk'].map((kind) => ({ name: `twin.dpdk0.kni.${kind}.${name}`, value: 0, help: '' })),
    );
    fake.tables.counters = [rows];
    fake.tables.links.get('dpdk0')!.twin = 'dpdk0.kni';
    const grow = () => {
      // All different, so that none stands in another's place.
      for (const [n, row] of rows.entries()) row.value += 1000 * (n + 1);
    };
    const text = await ok('-s link show dpdk0 -i 0.05 -c 2', grow);
    const table =
      /dpdk0\.kni +to-kernel\/pps +dropped\/pps +from-kernel\/pps +dropped\/pps *\n +control +(\d+) +(\d+) +(\d+) +(\d+) *\n +bulk +(\d+) +(\d+) +(\d+) +(\d+) *\n/g;
    const shown = [...text.matchAll(table)].map((found) => found.slice(1).map(Number));
    assert.equal(shown.length, 2, text);
    const lines = (await ok('-j -s link show -i 0.05 -c 2', grow)).trim().split('\n');
    const looks = lines.map((line) => JSON.parse(line) as Looked);
    assert.equal(looks.length, 2);
    assert.deepEqual(
      looks[0]!.links.map(({ device, twin }) => [device, twin?.name]),
      [
        ['dpdk0', 'dpdk0.kni'],
        ['dpdk1', undefined],
      ],
    );
    for (const { links } of looks) {
      const { control, bulk } = links[0]!.twin!;
      shown.push([control, bulk].flatMap((each) => Object.values(each)));
    }
    for (const each of shown) {
      // In proportion to what was added: 1, 3 + 5, 7, 9 and 2, 4 + 6, 8, 10 thousand.
      const unit = each[0]!;
      assert.ok(unit > 500);
      assert.deepEqual(
        each.map((rate) => Math.round(rate / unit)),
        [1, 8, 7, 9, 2, 10, 8, 10],
      );
    }
  });

  it('prints errors as JSON on request', async () => {
    const { stderr } = await wrong('-j addr del 10.0.0.1/32 dev dpdk0', /not-found/);
    assert.equal(JSON.parse(stderr).error.code, 'not-found');
  });
});
