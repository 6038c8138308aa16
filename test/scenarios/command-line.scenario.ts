import { strict as assert } from 'node:assert';
import { existsSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DpvsdClient } from '../../dpvsd/client.js';
import { nativeProgram } from '../../dpvsd/launch.js';
import { attempt, Running, until } from '../../lab/command.js';
import { bin } from '../../lab/director.js';
import { skipBecause } from '../runner/skip.js';
import { type Outcome, runDpip, runIpvsadm } from '../unit/cli/harness.js';
import { randomOperations } from '../unit/cli/random-services.js';
import { Random } from '../unit/random.js';

/** Two ports that neither receive nor send, two workers: enough for everything that is not traffic. */
const configuration = `
global_defs {
    <init> idle_policy adaptive
    <init> hugepages off
    <init> kni off
}
netif_defs {
    <init> pktpool_size 8191
    <init> device dpdk0 {
        <init> vdev net_null0,no-rx=1
        rx { queue_number 2 }
        tx { queue_number 2 }
    }
    <init> device dpdk1 {
        <init> vdev net_null1,no-rx=1
        rx { queue_number 2 }
        tx { queue_number 2 }
    }
}
ipvs_defs {
    conn {
        <init> conn_pool_size 65536
    }
}
`;

describe('ipvsadm and dpip on a dataplane without traffic', () => {
  let folder: string;
  let ipc: string;
  let dataplane: Running | undefined;

  // In this process: on a busy machine a hundred starts of Node take longer than everything else.
  const tool = (name: 'ipvsadm' | 'dpip', args: string, input = ''): Promise<Outcome> =>
    name === 'ipvsadm' ? runIpvsadm(ipc, args, input) : runDpip(ipc, args);
  const ok = async (name: 'ipvsadm' | 'dpip', args: string, input = ''): Promise<string> => {
    const done = await tool(name, args, input);
    assert.deepEqual([done.code, done.stderr], [0, ''], `${name} ${args}\n${dataplane?.output}`);
    return done.stdout;
  };
  const refused = async (name: 'ipvsadm' | 'dpip', args: string, message: RegExp): Promise<void> => {
    const done = await tool(name, args);
    assert.equal(done.code, 1, `${name} ${args}`);
    assert.match(done.stderr, message);
  };

  before(async function () {
    if (!existsSync(nativeProgram)) skipBecause(this, 'the native dpvsd is not built');
    folder = mkdtempSync(join(tmpdir(), `command-line-${process.pid}-`));
    ipc = join(folder, 'ipc');
    const conf = join(folder, 'dpvs.conf');
    writeFileSync(conf, configuration);
    dataplane = new Running([bin('dpvsd'), '-c', conf, '-p', join(folder, 'pid'), '-x', ipc]);
    await until('dpvsd to listen', async () => {
      assert.equal(dataplane?.ended, undefined, dataplane?.output);
      return (await tool('dpip', 'link show')).code === 0;
    });
  });
  after(async () => {
    await dataplane?.stop(10_000);
    if (dataplane) assert.deepEqual(readdirSync(folder), ['dpvs.conf'], 'it leaves nothing behind');
    if (folder) rmSync(folder, { recursive: true, force: true });
  });
  afterEach(async () => {
    if (dataplane) await ok('ipvsadm', '-C');
  });

  it('shows ports and threads', async () => {
    const links = await ok('dpip', 'link show');
    assert.match(
      links,
      /^1: dpdk0: socket -?\d+ mtu 1500 rx-queue 2 tx-queue 2\n {4}\w+ \d+ Mbps .*\n {4}addr [0-9A-F:]{17} /,
    );
    assert.match(links, /^2: dpdk1: /m);
    const threads = await ok('dpip', 'link show cpu');
    assert.match(threads, /^<< Controll Plane >>\n/);
    assert.equal([...threads.matchAll(/queues .*dpdk0:/g)].length, 2);
    assert.match(await ok('dpip', '-s -v link show'), /counters +sum .*\n/);
    assert.match(await ok('dpip', 'eal-mem show'), /^name .*\n.+ objects\n/s);
    assert.equal(JSON.parse(await ok('dpip', '-j link show')).length, 2);
    await refused('dpip', 'link show dpdk9', /no device 'dpdk9'/);
  });

  it('keeps addresses, routes and neighbours', async () => {
    await ok('dpip', 'addr add 10.1.0.1/24 dev dpdk0');
    await ok('dpip', 'addr add 2001:db8:1::1/64 dev dpdk1');
    const addresses = await ok('dpip', 'addr show');
    assert.match(
      addresses,
      /^inet 10\.1\.0\.1\/24 scope global dpdk0\n {5}valid_lft forever preferred_lft forever\n/m,
    );
    assert.match(addresses, /^inet6 2001:db8:1::1\/64 scope global dpdk1$/m);
    await refused('dpip', 'addr add 10.1.0.1/24 dev dpdk0', /10\.1\.0\.1 .* already/);

    await ok('dpip', 'route add 172.16.5.4/12 via 10.1.0.9 dev dpdk0 mtu 1400');
    await ok('dpip', 'route add default via 10.1.0.254');
    await ok('dpip', '-6 route add default via 2001:db8:1::fe dev dpdk1');
    await ok('dpip', 'route add 10.1.0.7/32 dev dpdk0 scope kni_host');
    const routes = await ok('dpip', 'route show');
    assert.match(
      routes,
      /^inet 172\.16\.0\.0\/12 via 10\.1\.0\.9 src \S+ dev dpdk0 mtu 1400 .* scope global .* proto static/m,
    );
    assert.match(routes, /^inet 0\.0\.0\.0\/0 via 10\.1\.0\.254 .* dev dpdk0 /m);
    assert.match(routes, /^inet6 ::\/0 via 2001:db8:1::fe .* dev dpdk1 /m);
    assert.match(routes, /^inet 10\.1\.0\.7\/32 .* scope kni_host /m);
    assert.match(routes, /^inet 10\.1\.0\.0\/24 .* scope link .* proto auto/m);
    await ok('dpip', 'route replace default via 10.1.0.253');
    assert.match(await ok('dpip', '-4 route show'), /^inet 0\.0\.0\.0\/0 via 10\.1\.0\.253 /m);
    await ok('dpip', 'route del 172.16.0.0/12');
    await refused('dpip', 'route del 172.16.0.0/12', /no route/);

    await ok('dpip', 'neigh add 10.1.0.9 lladdr 02:00:00:00:00:09 dev dpdk0');
    assert.match(
      await ok('dpip', 'neigh show dev dpdk0'),
      /^ip: 10\.1\.0\.9 +mac: 02:00:00:00:00:09 +state: PERMANENT .*static$/m,
    );
    await ok('dpip', 'neigh del 10.1.0.9 dev dpdk0');

    await ok('dpip', '-6 route flush');
    await ok('dpip', 'route flush');
    assert.doesNotMatch(await ok('dpip', 'route show'), /proto static/);
    await ok('dpip', '-6 addr flush dev dpdk1');
    await ok('dpip', 'addr flush dev dpdk0');
    assert.doesNotMatch(await ok('dpip', 'addr show'), /global/);
  });

  it('lists what was added, and edits no more than was asked for', async () => {
    await ok('ipvsadm', '-A -t 10.2.0.1:80 -s wrr -p 60 -M 255.255.255.0 --conn-timeout 90');
    await ok('ipvsadm', '-a -t 10.2.0.1:80 -r 10.3.0.1:8080 -b -w 100 -x 500 -y 400');
    await ok('ipvsadm', '-P -t 10.2.0.1:80 -z 10.4.0.1 -F dpdk1');
    await ok('ipvsadm', '-U -t 10.2.0.1:80 -k 10.66.0.0/16');
    await ok('ipvsadm', '-A -q 10.2.0.1 -s rr');
    const listed = (await ok('ipvsadm', '-Ln')).split('\n');
    assert.match(listed[0]!, /^IP Virtual Server version \d+\.\d+\.\d+.* \(size=0\)$/);
    assert.deepEqual(listed.slice(3), [
      'ICMP  10.2.0.1:0 rr',
      'TCP  10.2.0.1:80 wrr persistent 60 mask 255.255.255.0 conn-timeout 90',
      '  -> 10.3.0.1:8080                FullNat 100    0          0         ',
      '',
    ]);
    await ok('ipvsadm', '-e -t 10.2.0.1:80 -r 10.3.0.1:8080 -w 0');
    await ok('ipvsadm', '-E -t 10.2.0.1:80 -s lc');
    assert.match(
      await ok('ipvsadm', '-S'),
      /-a -t 10\.2\.0\.1:80 -r 10\.3\.0\.1:8080 -b -w 0 -x 500 -y 400\n/,
    );
    assert.match(await ok('ipvsadm', '-G'), /10\.2\.0\.1:80 +1 +\n +10\.4\.0\.1 +0 +0/);
    assert.match(await ok('ipvsadm', '-B'), /TCP +10\.2\.0\.1:80 +10\.66\.0\.0\/16/);
    for (const view of ['--stats', '--rate', '--thresholds', '--persistent-conn', '--cpu 1']) {
      assert.match(await ok('ipvsadm', `-Ln ${view}`), /10\.3\.0\.1:8080 /);
    }
    assert.equal(await ok('ipvsadm', '-lnc'), '');
    await ok('ipvsadm', '--set 120 0 0');
    assert.match(await ok('ipvsadm', '-L --timeout'), /^Timeout \(tcp tcpfin udp\): 120 \d+ \d+\n$/);
    await ok('ipvsadm', '-Z');
    await refused('ipvsadm', '-A -t 10.2.0.1:80', /exists/);
    await refused('ipvsadm', '-a -t 10.2.0.9:80 -r 10.3.0.1 -b', /no virtual server/);
    await refused('ipvsadm', '-A -f 3', /mark/);
    await refused('ipvsadm', '-A -t 10.2.0.2:80 -s bogus', /no scheduler 'bogus'/);
    await ok('ipvsadm', '-D -t 10.2.0.1:80');
  });

  it('restores what was saved, whatever it was', async () => {
    const client = await DpvsdClient.connect({ path: ipc, client: 'test' });
    try {
      const first = Number(process.env.SEED ?? 1);
      for (let seed = first; seed < first + 15; seed++) {
        await client.apply(randomOperations(new Random(seed), true));
        const saved = await ok('ipvsadm', '-S');
        const before = JSON.parse(await ok('ipvsadm', '-S --json'));
        await ok('ipvsadm', '-C');
        await ok('ipvsadm', '-R', saved);
        assert.equal(await ok('ipvsadm', '-S'), saved, `SEED=${seed}`);
        assert.deepEqual(JSON.parse(await ok('ipvsadm', '-S --json')), before, `SEED=${seed}`);
        await ok('ipvsadm', '-C');
      }
    } finally {
      client.close();
    }
  });

  it('takes 10,000 services with 10 servers each in seconds, and one more weight at once', async () => {
    const lines: string[] = [];
    for (let s = 0; s < 10_000; s++) {
      const network = `10.${100 + (s >> 8)}.${s & 255}`;
      lines.push(`-A -t ${network}.1:80 -s wrr`);
      for (let r = 1; r <= 10; r++) lines.push(`-a -t ${network}.1:80 -r ${network}.${r + 1}:80 -b -w ${r}`);
    }
    const started = performance.now();
    const input = `${lines.join('\n')}\n`;
    const done = await attempt([bin('ipvsadm'), '-R'], { env: { DPVS_IPC_FILE: ipc }, input, limit: 60_000 });
    assert.deepEqual([done.code, done.stderr], [0, '']);
    const loaded = performance.now() - started;
    assert.ok(loaded < 20_000, `${loaded} ms`);
    assert.equal((await ok('ipvsadm', '-S')).split('\n').length, lines.length + 1);
    const client = await DpvsdClient.connect({ path: ipc, client: 'test' });
    try {
      const service = { protocol: 6, address: Uint8Array.of(10, 100, 0, 1), port: 80 };
      const value = { service, address: Uint8Array.of(10, 100, 0, 2), port: 80, forward: 0, weight: 77 };
      const since = performance.now();
      await client.apply([{ verb: 1, object: { $case: 'server', value } }]);
      const changed = performance.now() - since;
      assert.ok(changed < 1000, `${changed} ms`);
      console.log(`      loaded in ${Math.round(loaded)} ms, one weight in ${changed.toFixed(1)} ms`);
    } finally {
      client.close();
    }
  }).timeout(120_000);
});
