import assert from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { randomBytes, randomInt } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { formatMac } from '../../cli/address.js';
import { DpvsdClient } from '../../dpvsd/client.js';
import { type Link, Table, Verb } from '../../dpvsd/generated/control.js';
import { Hopeless, type Running, run, until } from '../../lab/command.js';
import { IpBatch } from '../../lab/ip-batch.js';
import { whyNoLab } from '../../lab/needs.js';
import { PairLab, type PairNode } from '../../lab/pair.js';
import { removeStaleLabs } from '../../lab/registry.js';
import { skipBecause } from '../runner/skip.js';

/** The twin's address, and one of the dataplane. */
const KERNEL = '192.0.2.2';
const DATAPLANE = '192.0.2.50';
const FLOOD_SECONDS = 8;

describe('kernel twin', () => {
  let lab: PairLab;
  let node: PairNode;

  before(async function () {
    const reason = await whyNoLab();
    if (reason) skipBecause(this, reason);
    await removeStaleLabs();
    lab = await PairLab.create('kernel twin');
    node = lab.lb1;
    await node.startDataplane();
    await run4(['addr', 'add', `${DATAPLANE}/24`, 'dev', 'dpdk0']);
  });

  after(async () => {
    await lab?.close();
  });

  /** dpip, which has to succeed. */
  async function run4(args: string[]): Promise<string> {
    const { code, stdout, stderr } = await node.dpip(args);
    assert.equal(code, 0, stderr);
    return stdout;
  }

  async function counters(): Promise<Map<string, number>> {
    const { counters: rows } = JSON.parse(await run4(['-s', '--json', 'link', 'show'])) as {
      counters: { name: string; sum: number }[];
    };
    return new Map(rows.map(({ name, sum }) => [name, sum]));
  }
  const counter = async (name: string) => (await counters()).get(name) ?? 0;
  const twinOf = async () =>
    JSON.parse(await node.host.run(['ip', '-j', 'link', 'show', 'dev', 'dpdk0.kni']))[0] as {
      address: string;
      mtu: number;
      flags: string[];
    };
  const portOf = async () =>
    JSON.parse(await run4(['--json', 'link', 'show', 'dpdk0']))[0] as {
      mac: string;
      mtu: number;
      up: boolean;
      twin: string;
      twinKind: string;
    };
  const ping = (address: string) => lab.client.run(['ping', '-c', '3', '-i', '0.2', '-W', '2', address]);

  it('has the MAC and MTU of its port, and stands in dpip link show', async () => {
    const [twin, port] = [await twinOf(), await portOf()];
    assert.equal(twin.address, port.mac);
    assert.equal(twin.mtu, port.mtu);
    assert.deepEqual([port.twin, port.twinKind], ['dpdk0.kni', 'tap']);
  });

  it('answers for the kernel’s addresses, and the dataplane for its own', async () => {
    const kernel = await counter('kernel');
    await ping(KERNEL);
    await ping('fd00:2::2');
    assert.ok((await counter('kernel')) >= kernel + 6);
    const before = await counter('twin.dpdk0.kni.bulk.to-kernel');
    await ping(DATAPLANE);
    assert.equal(await counter('twin.dpdk0.kni.bulk.to-kernel'), before);
    // One answer to ARP each: nobody answers for the other.
    for (const address of [KERNEL, DATAPLANE]) {
      await lab.client.run(['ip', 'neigh', 'flush', 'all']);
      const heard = lab.client.start(['timeout', '3', 'tcpdump', '-nl', '-i', 'eth0', 'arp[6:2] == 2']);
      await until('tcpdump', () => heard.output.includes('listening'));
      await ping(address);
      await heard.exited;
      const answers = heard.output.match(new RegExp(`Reply ${address.replaceAll('.', '\\.')} is-at`, 'g'));
      assert.equal(answers?.length, 1, heard.output);
    }
  });

  it('carries TCP: iperf3 both ways', async function () {
    if (spawnSync('iperf3', ['--version']).error) skipBecause(this, 'iperf3 is not installed');
    const server = node.host.start(['iperf3', '-s', '-B', KERNEL]);
    await until('iperf3', async () =>
      (await node.host.attempt(['ss', '-Hltn', 'sport = :5201'])).stdout.includes('LISTEN'),
    );
    for (const way of [[], ['-R']]) {
      const [text, seen] = await Promise.all([
        lab.client.run(['iperf3', '-c', KERNEL, '-t', '2', '-J', ...way]),
        run4(['-j', '-s', '-i', '1.5', '-c', '1', 'link', 'show', 'dpdk0']),
      ]);
      const { bulk } = (JSON.parse(seen) as { links: { twin: { bulk: Record<string, number> } }[] }).links[0]!
        .twin;
      assert.ok(bulk.toKernel! > 10 && bulk.fromKernel! > 10, seen);
      const { end } = JSON.parse(text) as { end: { sum_received: { bits_per_second: number } } };
      const rate = end.sum_received.bits_per_second / 1e6;
      console.log(`      ${way.length ? 'from' : 'to'} the kernel: ${rate.toFixed(0)} Mb/s`);
      assert.ok(rate > 20);
    }
    await server.stop();
  });

  it('carries ssh: a login with a key, and 5 MB both ways', async function () {
    if (!existsSync('/usr/sbin/sshd')) skipBecause(this, 'openssh-server is not installed');
    const at = (name: string) => join(lab.record.folder, name);
    for (const name of ['host', 'user'])
      await run(['ssh-keygen', '-q', '-t', 'ed25519', '-N', '', '-f', at(name)]);
    mkdirSync('/run/sshd', { recursive: true, mode: 0o755 });
    writeFileSync(
      at('sshd.conf'),
      `ListenAddress ${KERNEL}
HostKey ${at('host')}
AuthorizedKeysFile ${at('user.pub')}
PidFile none
PermitRootLogin prohibit-password
StrictModes no
UsePAM no
PrintMotd no
`,
    );
    const daemon = node.host.start(['/usr/sbin/sshd', '-D', '-e', '-f', at('sshd.conf')]);
    await until('sshd', async () => {
      if (daemon.ended) throw new Hopeless(daemon.output);
      return (await node.host.attempt(['ss', '-Hltn', 'sport = :22'])).stdout.includes('LISTEN');
    });
    const options = [
      'StrictHostKeyChecking=no',
      'UserKnownHostsFile=/dev/null',
      'BatchMode=yes',
      'LogLevel=ERROR',
    ];
    const login = [
      'ssh',
      '-F',
      'none',
      ...options.flatMap((each) => ['-o', each]),
      '-i',
      at('user'),
      `root@${KERNEL}`,
    ];
    const device = await lab.client.run([...login, 'cat /sys/class/net/dpdk0.kni/ifindex']);
    assert.equal(device, await node.host.run(['cat', '/sys/class/net/dpdk0.kni/ifindex']));
    const text = randomBytes(2_500_000).toString('hex');
    const echoed = await lab.client.run([...login, 'cat'], { input: text, limit: 60_000 });
    assert.ok(echoed === text, `${echoed.length} of ${text.length} bytes, or others`);
    await daemon.stop();
  });

  it('follows MTU, MAC and link state, both ways', async () => {
    await run4(['link', 'set', 'dpdk0', 'mtu', '1400']);
    assert.equal((await twinOf()).mtu, 1400);
    await node.host.ip(['link set dpdk0.kni mtu 1500']);
    await until('the port to follow', async () => (await portOf()).mtu === 1500);

    const own = (await portOf()).mac;
    await node.host.ip(['link set dpdk0.kni address 02:00:00:aa:bb:cc']);
    await until('the port to follow', async () => (await portOf()).mac === '02:00:00:aa:bb:cc');
    await ping(KERNEL);
    await ping(DATAPLANE);
    await run4(['link', 'set', 'dpdk0', 'addr', own]);
    assert.equal((await twinOf()).address, own);

    await node.cable(false);
    await until('the twin without carrier', async () => !(await node.carrier()));
    await node.cable(true);
    await until('the twin with carrier', () => node.carrier());

    await node.host.ip(['link set dpdk0.kni down']);
    await until('the port to follow', async () => !(await portOf()).up);
    await node.host.ip(['link set dpdk0.kni up', 'address replace fd00:2::2/64 dev dpdk0.kni nodad']);
    await until('the port to follow', async () => (await portOf()).up);
    await until('the twin with carrier', () => node.carrier());
    await ping(KERNEL);
  });

  it('agrees with its port on whatever was said last, however fast both are told', async () => {
    const client = await DpvsdClient.connect({ path: node.ipc, client: 'scenario' });
    const ip = new IpBatch(node.host.namespace);
    const own = (await portOf()).mac;
    const macs = [own, '02:00:00:00:0a:01'];
    // Few values: what one side says often takes back what the other has just said.
    const mtus = [1500, 1400];
    const set = (change: Partial<Link>) =>
      client.apply([
        { verb: Verb.VERB_EDIT, object: { $case: 'link', value: { device: 'dpdk0', ...change } } },
      ]);
    const agreed = async (mtu: number, mac: string) => {
      const [row] = await client.list(Table.TABLE_LINKS, 'link', { device: 'dpdk0' });
      const twin = await ip.show('dpdk0.kni');
      const port = `mtu ${row?.mtu} ${formatMac(row?.mac ?? Buffer.alloc(6))}`;
      return port === `mtu ${mtu} ${mac}` && twin === port ? true : undefined;
    };
    try {
      for (let round = 0; round < 100; round++) {
        const pick = <T>(list: T[]): T => list[randomInt(list.length)]!;
        let [mtu, mac] = [pick(mtus), pick(macs)];
        for (let n = randomInt(4); n > 0; n--) {
          if (randomInt(2)) await ip.say(`link set dpdk0.kni mtu ${pick(mtus)} address ${pick(macs)}`);
          else await set({ mtu: pick(mtus), mac: Buffer.from(pick(macs).replaceAll(':', ''), 'hex') });
          // Sometimes in the midst of what the last one set going.
          if (randomInt(2)) await new Promise((resolve) => setTimeout(resolve, randomInt(25)));
        }
        await set({ mtu, mac: Buffer.from(mac.replaceAll(':', ''), 'hex') });
        if (randomInt(3) > 0) {
          [mtu, mac] = [pick(mtus), pick(macs)];
          await ip.say(`link set dpdk0.kni mtu ${mtu}`, `link set dpdk0.kni address ${mac}`);
        }
        await until(`round ${round}: mtu ${mtu}, ${mac}`, () => agreed(mtu, mac), { every: 5 });
      }
      for (let round = 0; round < 15; round++) {
        const up = round % 2 === 0;
        // Down and up again before anybody looks; or up, and taken down by the twin.
        await set({ link: up ? 'down' : 'up' });
        await ip.say(
          ...(up ? ['down', 'up'] : ['down', 'up', 'down']).map((word) => `link set dpdk0.kni ${word}`),
        );
        await until(`round ${round}: the port ${up ? 'up' : 'down'}`, async () => (await portOf()).up === up);
      }
      await until('the twin with carrier', () => node.carrier());
    } finally {
      await ip.say('link set dpdk0.kni up', `link set dpdk0.kni mtu 1500 address ${own}`);
      ip.close();
      client.close();
      await node.host.ip(['address replace fd00:2::2/64 dev dpdk0.kni nodad']);
    }
    await ping(KERNEL);
  });

  it('opens the port for the groups that programs join, of both families', async () => {
    const groups = ['01:00:5e:00:00:05', '01:00:5e:00:00:12', '33:33:00:00:00:12'];
    for (const group of groups) await node.host.ip([`maddress add ${group} dev dpdk0.kni`]);
    await until('the groups', async () => {
      const shown = (await run4(['maddr', 'show'])).toLowerCase();
      return groups.every((group) => shown.includes(group)) && shown.includes('33:33:00:00:00:01');
    });
    await node.host.ip([`maddress del ${groups[0]} dev dpdk0.kni`]);
    await until('the group to go', async () => !(await run4(['maddr', 'show'])).includes(groups[0]!));
  });

  it('learns addresses of the twin and forgets them', async () => {
    const learnt = async (address: string) =>
      (await run4(['route', 'show'])).includes(`${address}/32 via 0.0.0.0 src`) &&
      /scope kni_host .*proto kernel/.test(await run4(['route', 'show']));
    await node.host.ip(['address add 192.0.2.77/24 dev dpdk0.kni']);
    await until('the address', () => learnt('192.0.2.77'));
    await node.host.ip(['address del 192.0.2.77/24 dev dpdk0.kni']);
    await until('the address to go', async () => !(await learnt('192.0.2.77')));
  });

  it('dpip flow leaves an address to the kernel, also when the dataplane forwards', async () => {
    await run4(['flow', 'add', 'type', 'kni', 'dev', 'dpdk0', '198.51.100.7']);
    assert.equal(await run4(['flow', 'show', 'type', 'kni']), 'kni addr flow 198.51.100.7 dev dpdk0\n');
    await node.host.ip(['address add 198.51.100.7/32 dev lo']);
    await lab.client.ip([`route add 198.51.100.7 via ${DATAPLANE}`]);
    await ping('198.51.100.7');
    await run4(['flow', 'del', 'type', 'kni', 'dev', 'dpdk0', '198.51.100.7']);
    assert.equal(await run4(['flow', 'show', 'type', 'kni']), '');
  });

  it('forward2kni shows the kernel what the dataplane takes', async () => {
    const heard = node.host.start(['timeout', '15', 'tcpdump', '-nl', '-i', 'dpdk0.kni', 'icmp']);
    await until('tcpdump', () => heard.output.includes('listening'));
    await ping(DATAPLANE);
    assert.doesNotMatch(heard.output, /echo request/);
    await run4(['link', 'set', 'dpdk0', 'forward2kni', 'on']);
    assert.match(await run4(['link', 'show', 'dpdk0']), /foward2kni/);
    await ping(DATAPLANE);
    await until('the copies', () => (heard.output.match(/echo request/g)?.length ?? 0) >= 3);
    await run4(['link', 'set', 'dpdk0', 'forward2kni', 'off']);
    await ping(KERNEL);
    await heard.stop();
  });

  it('is the same device with its addresses after kill -9, without carrier meanwhile', async () => {
    const index = () => node.host.run(['cat', '/sys/class/net/dpdk0.kni/ifindex']);
    const before = await index();
    await node.killDataplane();
    assert.equal(await node.carrier(), false);
    await node.startDataplane();
    assert.equal(await index(), before);
    const addresses = await node.host.run(['ip', '-o', 'address', 'show', 'dev', 'dpdk0.kni']);
    assert.match(addresses, / 192\.0\.2\.2\/24 /);
    assert.match(addresses, / fd00:2::2\/64 /);
    await run4(['addr', 'add', `${DATAPLANE}/24`, 'dev', 'dpdk0']);
    await ping(KERNEL);
    await ping('fd00:2::2');
  });

  it('loses no VRRP election and no OSPF adjacency while its worker is flooded', async function () {
    const frr = '/usr/lib/frr';
    if (spawnSync('keepalived', ['--version']).error) skipBecause(this, 'keepalived is not installed');
    const program = join(lab.record.folder, 'flood');
    const source = fileURLToPath(new URL('../../../test/scenarios/flood.c', import.meta.url));
    const built = spawnSync('gcc', ['-O2', '-o', program, source], { encoding: 'utf8' });
    assert.equal(built.status, 0, built.stderr);
    // Each side is master of one router and backup of the other, on Debian's keepalived.
    const peer = lab.servers[0]!.host;
    const speak = (name: 'node' | 'peer'): Running => {
      const instance = (id: number, mine: boolean) => `vrrp_instance V${id} {
        state BACKUP
        interface ${name === 'node' ? 'dpdk0.kni' : 'eth0'}
        virtual_router_id ${id}
        priority ${mine ? 200 : 100}
        advert_int 0.1
        virtual_ipaddress { 203.0.113.${id}/32 }
      }\n`;
      const folder = join(lab.record.folder, `vrrp-${name}`);
      mkdirSync(folder);
      writeFileSync(
        join(folder, 'conf'),
        `global_defs {\n vrrp_version 3\n vrrp_rt_priority 50\n}\n${instance(61, name === 'node')}${instance(62, name === 'peer')}`,
      );
      const files = ['p', 'r', 'c', 'b'].flatMap((flag) => [`-${flag}`, join(folder, flag)]);
      const options = ['-n', '-l', '-G', '-D', '-P', '-f', join(folder, 'conf'), ...files];
      return (name === 'node' ? node.host : peer).start(['keepalived', ...options]);
    };
    const both = [speak('node'), speak('peer')] as const;
    const states = (text: string): string[] => text.match(/\(V6\d\) Entering \w+ STATE/g) ?? [];
    const settled = () =>
      states(both[0].output).includes('(V61) Entering MASTER STATE') &&
      states(both[1].output).includes('(V62) Entering MASTER STATE');
    await until('both elections', settled);

    const routers = existsSync(join(frr, 'ospfd')) ? await startOspf([node, peer]) : undefined;
    if (!routers) console.log('      FRR is not installed: without OSPF');
    const before = both.map(({ output }) => states(output).length);
    const adjacencies = routers && (await routers.adjacencies());

    // The worker shares its CPU with the flood, and gets the smaller part: it cannot keep up.
    const tasks = `/proc/${node.dataplanePid}/task`;
    const worker = readdirSync(tasks).find((id) =>
      /worker/.test(readFileSync(join(tasks, id, 'comm'), 'utf8')),
    );
    assert.ok(worker);
    await run(['renice', '-n', '10', '-p', worker]);
    const cpu = String(1 % availableParallelism());
    const mac = (await portOf()).mac;
    const received = async () => (await counters()).get('in') ?? 0;
    const start = await received();
    const flood = ['eth0', mac, '192.0.2.250', DATAPLANE, String(FLOOD_SECONDS)];
    const sent = Number(await lab.client.run(['taskset', '-c', cpu, program, ...flood], { limit: 60_000 }));
    await new Promise((resolve) => setTimeout(resolve, 500));
    const all = await counters();
    const taken = (all.get('in') ?? 0) - start;
    const of = (name: string) => all.get(`twin.dpdk0.kni.${name}`) ?? 0;
    console.log(
      `      sent ${sent}, the worker took ${taken} (${Math.round((100 * sent) / taken)} % of what it can); control past it: ${of('control.wire')}, bulk to the kernel ${of('bulk.to-kernel')}, ring full ${of('bulk.ring-full')}`,
    );
    assert.deepEqual(
      both.map(({ output }) => states(output).length),
      before,
      both.map(({ output }) => output).join('\n'),
    );
    if (routers) assert.deepEqual(await routers.adjacencies(), adjacencies);
    for (const name of ['to-kernel-dropped', 'ring-full', 'from-kernel-dropped'])
      assert.equal(of(`control.${name}`), 0, name);
    await Promise.all(both.map((each) => each.stop()));
    await routers?.stop();
    if (sent < 1.5 * taken)
      skipBecause(this, `this machine is too busy for a flood: ${sent} frames sent, ${taken} taken`);
  });

  interface Routers {
    /** How often each neighbourhood changed its state, as ospfd counts. */
    adjacencies(): Promise<string[]>;
    stop(): Promise<void>;
  }

  /** FRR's zebra and ospfd on the twin and on a peer, hello 1 s, dead 4 s; returns when both are Full. */
  async function startOspf([one, peer]: [PairNode, PairNode['host']]): Promise<Routers> {
    const sides = [
      { host: one.host, device: 'dpdk0.kni', id: '10.255.0.1' },
      { host: peer, device: 'eth0', id: '10.255.0.2' },
    ];
    const running: Running[] = [];
    const folders: string[] = [];
    for (const { host, device, id } of sides) {
      // Daemons of FRR want a folder of their own user, outside of ours, which is for root alone.
      const folder = `/tmp/dvh-frr-${process.pid}-${id}`;
      folders.push(folder);
      mkdirSync(folder, { mode: 0o755 });
      writeFileSync(join(folder, 'zebra.conf'), 'hostname z\n');
      writeFileSync(
        join(folder, 'ospfd.conf'),
        `interface ${device}
 ip ospf area 0
 ip ospf network point-to-point
 ip ospf hello-interval 1
 ip ospf dead-interval 4
router ospf
 ospf router-id ${id}
`,
      );
      await run(['chown', '-R', 'frr:frr', folder]);
      const common = ['-z', join(folder, 'zserv.api'), '--vty_socket', folder, '-P', '0'];
      for (const daemon of ['zebra', 'ospfd']) {
        const files = ['-f', join(folder, `${daemon}.conf`), '-i', join(folder, `${daemon}.pid`)];
        running.push(host.start([join('/usr/lib/frr', daemon), ...files, ...common]));
        await until(daemon, () => existsSync(join(folder, `${daemon}.vty`)));
      }
    }
    const neighbours = async (folder: string): Promise<string> => {
      const shown = await run(['vtysh', '--vty_socket', folder, '-c', 'show ip ospf neighbor detail']);
      return shown;
    };
    await until(
      'OSPF to be Full on both sides',
      async () =>
        (await Promise.all(folders.map(neighbours))).every((text) => text.includes('State is Full')),
      { limit: 40_000, every: 500 },
    );
    return {
      adjacencies: async () =>
        (await Promise.all(folders.map(neighbours))).map((text) => {
          assert.match(text, /State is Full/);
          return /(\d+) state changes/i.exec(text)?.[1] ?? text;
        }),
      stop: async () => {
        await Promise.all(running.map((each) => each.stop()));
        await run(['rm', '-rf', ...folders]);
      },
    };
  }
});
