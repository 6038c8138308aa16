import assert from 'node:assert/strict';
import { ConnectionRow, Forward, Protocol, TemplateRow } from '../../../dpvsd/generated/control.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import { type Outcome, runIpvsadm } from './harness.js';

describe('ipvsadm', () => {
  let fake: FakeDpvsd;
  const run = (args: string | string[], stdin = '') => runIpvsadm(fake.path, args, stdin);
  const ok = async (args: string | string[], stdin = ''): Promise<string> => {
    const { code, stdout, stderr } = await run(args, stdin);
    assert.deepEqual(
      { code, stderr: stderr.replace(/^note: .*\n$/, '') },
      { code: 0, stderr: '' },
      String(args),
    );
    return stdout;
  };
  const wrong = async (args: string | string[], message: RegExp, code = 2): Promise<Outcome> => {
    const outcome = await run(args);
    assert.equal(outcome.code, code, `${args}: ${outcome.stderr}`);
    assert.match(outcome.stderr, message);
    assert.equal(outcome.stdout, '');
    return outcome;
  };
  beforeEach(async () => {
    fake = await FakeDpvsd.start();
    fake.version = '1.9.3';
  });
  afterEach(() => fake.stop());

  /** Rows of a listing without its title lines. */
  const rows = (text: string, titles: number) => text.replace(/\n$/, '').split('\n').slice(titles);

  it('lists nothing under the titles that scripts know', async () => {
    assert.equal(
      await ok('-Ln'),
      [
        'IP Virtual Server version 1.9.3 (size=0)',
        'Prot LocalAddress:Port Scheduler Flags',
        '  -> RemoteAddress:Port           Forward Weight ActiveConn InActConn',
        '',
      ].join('\n'),
    );
  });

  it('lists services and servers in the columns that scripts know', async () => {
    await ok('-A -t 192.168.100.254:80 -s rr');
    await ok('-a -t 192.168.100.254:80 -r 192.168.100.2:80 -b -w 100');
    assert.deepEqual(rows(await ok('-ln'), 3), [
      'TCP  192.168.100.254:80 rr',
      '  -> 192.168.100.2:80             FullNat 100    0          0         ',
    ]);
  });

  it('takes short options in bundles, attached arguments and long names', async () => {
    await ok('-At 10.0.0.1:80 -swrr');
    await ok('--add-server --tcp-service=10.0.0.1:80 --real-server 10.1.0.1:8080 --masquerading --weight=3');
    await ok('-at 10.0.0.1:80 -r10.1.0.2 -mw7');
    await ok('--add-service --udp-service [2001:db8::1]:53 --scheduler conhash --hash-target qid --ops');
    await ok('-a -u [2001:db8::1]:53 -r [2001:db8::a]:53 -b');
    await ok('-A -f 7 -6 -s lc');
    await ok('-A -t 10.0.0.9:http');
    assert.deepEqual(rows(await ok('-Ln'), 3), [
      'FWM  7 IPv6 lc',
      'TCP  10.0.0.1:80 wrr',
      '  -> 10.1.0.1:8080                Masq    3      0          0         ',
      '  -> 10.1.0.2:80                  Masq    7      0          0         ',
      'TCP  10.0.0.9:80 wlc',
      'UDP  [2001:db8::1]:53 conhash qid ops',
      '  -> [2001:db8::a]:53             FullNat 1      0          0         ',
    ]);
  });

  it('forwards directly by default, to the port of the service', async () => {
    await ok('-A -t 10.0.0.1:80');
    await ok('-a -t 10.0.0.1:80 -r 10.1.0.1:8080');
    assert.match(await ok('-Ln'), /-> 10\.1\.0\.1:80 +Route +1 /);
  });

  it('shows the flags of a service in their order', async () => {
    await ok(
      '-A -u 10.0.0.1:53 -s mh -p 60 -M 255.255.255.0 -o -j enable --conn-timeout 90 --proxy-protocol v2 --expire-quiescent --quic --dest-check default',
    );
    assert.equal(
      rows(await ok('-Ln'), 3)[0],
      'UDP  10.0.0.1:53 mh persistent 60 mask 255.255.255.0 ops synproxy conn-timeout 90 ppv2 expire-quiescent quic dest-check internal:default',
    );
    await ok('-E -u 10.0.0.1:53 --dest-check 1,3s --no-ops -p 0 -j disable');
    assert.equal(
      rows(await ok('-Ln'), 3)[0],
      'UDP  10.0.0.1:53 mh conn-timeout 90 ppv2 expire-quiescent quic dest-check internal:1,3s',
    );
  });

  it('says what is kept without effect', async () => {
    const told = async (line: string): Promise<string> => (await run(line)).stderr;
    assert.equal(await told('-A -t 10.0.0.1:80 -p 60 --conn-timeout 90 --expire-quiescent'), '');
    assert.match(
      await told('-E -t 10.0.0.1:80 -j enable --bps 5'),
      /^note: .*SYN proxy.*, .*bandwidth.*without effect\n$/,
    );
    assert.equal(await told('-E -t 10.0.0.1:80 -j disable'), '');
    const { stdout, stderr } = await run('-A -u 10.0.0.1:53 --quic --json');
    assert.match((JSON.parse(stdout) as { note: string }).note, /QUIC/);
    assert.equal(stderr, '');
  });

  it('edits what the command names and keeps everything else', async () => {
    await ok('-A -t 10.0.0.1:80 -s rr -p 100');
    await ok('-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 5 -x 100 -y 50');
    await ok('-E -t 10.0.0.1:80 -s wlc');
    await ok('-e -t 10.0.0.1:80 -r 10.1.0.1:80 -w 0');
    assert.deepEqual(rows(await ok('-S'), 0), [
      '-A -t 10.0.0.1:80 -s wlc -p 100',
      '-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 0 -x 100 -y 50',
    ]);
    await wrong('-e -t 10.0.0.1:80 -r 10.1.0.9:80 -w 1', /has no server 10\.1\.0\.9:80/, 1);
    await wrong('-E -t 10.0.0.9:80 -s rr', /no service -t 10\.0\.0\.9:80/, 1);
  });

  function traffic(): void {
    const [entry] = fake.tables.services.values();
    const [server] = entry!.servers.values();
    const counts = {
      connections: 12,
      inPackets: 99_999_999,
      outPackets: 100_000_000,
      inBytes: 2e9,
      outBytes: 3e14,
    };
    entry!.traffic = counts;
    entry!.rate = { connections: 1, inPackets: 2, outPackets: 3, inBytes: 4, outBytes: 5 };
    Object.assign(server!, { active: 4, inactive: 5, persistent: 6, traffic: counts, rate: entry!.rate });
  }

  it('shows statistics, rates, thresholds and persistent connections', async () => {
    await ok('-A -t 10.0.0.1:80');
    await ok('-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 9 -x 7 -y 3');
    traffic();
    assert.deepEqual(rows(await ok('-Ln --stats'), 1), [
      'Prot LocalAddress:Port               Conns   InPkts  OutPkts  InBytes OutBytes',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.1:80                        12 99999999  100000K    2000M     300T',
      '  -> 10.1.0.1:80                        12 99999999  100000K    2000M     300T',
    ]);
    assert.match(await ok('-Ln --stats --exact'), / 12 99999999 100000000 2000000000 300000000000000\n/);
    assert.deepEqual(rows(await ok('-Ln --rate'), 1), [
      'Prot LocalAddress:Port                 CPS    InPPS   OutPPS    InBPS   OutBPS',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.1:80                         1        2        3        4        5',
      '  -> 10.1.0.1:80                         1        2        3        4        5',
    ]);
    assert.deepEqual(rows(await ok('-Ln --thresholds'), 1), [
      'Prot LocalAddress:Port            Uthreshold Lthreshold ActiveConn InActConn ',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.1:80 wlc',
      '  -> 10.1.0.1:80                  7          3          4          5         ',
    ]);
    assert.deepEqual(rows(await ok('-Ln --persistent-conn'), 1), [
      'Prot LocalAddress:Port            Weight    PersistConn ActiveConn InActConn ',
      '  -> RemoteAddress:Port',
      'TCP  10.0.0.1:80 wlc',
      '  -> 10.1.0.1:80                  9          6           4          5         '.replace(
        '9          6',
        '9         6',
      ),
    ]);
    assert.match(await ok('-Ln'), /10\.1\.0\.1:80 +FullNat 9 +4 +5 +overload\n/);
  });

  it('shows one service only, without the version line', async () => {
    await ok('-A -t 10.0.0.1:80');
    await ok('-A -t 10.0.0.2:80');
    assert.deepEqual(rows(await ok('-Ln -t 10.0.0.2:80'), 2), ['TCP  10.0.0.2:80 wlc']);
    await wrong('-Ln -t 10.0.0.3:80', /no service -t 10\.0\.0\.3:80/, 1);
  });

  it('sorts by default and keeps the order of dpvsd with --nosort', async () => {
    for (const host of [9, 10, 1]) await ok(`-A -t 10.0.0.${host}:80`);
    const listed = async (flag: string) =>
      rows(await ok(`-Ln ${flag}`), 3).map((line) => Number(/\.(\d+):/.exec(line)?.[1]));
    assert.deepEqual(await listed('--sort'), [1, 9, 10]);
    assert.deepEqual(await listed('--nosort'), [9, 10, 1]);
  });

  it('writes host and service names without -n', async () => {
    await ok('-A -t 127.0.0.1:80');
    assert.match(await ok('-L'), /TCP {2}localhost:http wlc/);
  });

  it('lists connections and persistence templates', async () => {
    const tcp = { protocol: Protocol.PROTOCOL_TCP, address: Uint8Array.of(10, 0, 0, 1), port: 80 };
    fake.tables.connections = [
      ConnectionRow.fromPartial({
        protocol: Protocol.PROTOCOL_TCP,
        client: Uint8Array.of(10, 9, 0, 1),
        clientPort: 4000,
        virtual: tcp.address,
        virtualPort: 80,
        local: Uint8Array.of(10, 8, 0, 1),
        localPort: 1025,
        server: Uint8Array.of(10, 1, 0, 1),
        serverPort: 8080,
        state: 'ESTABLISHED',
        expires: 87,
        forward: Forward.FORWARD_FULLNAT,
        worker: 1,
      }),
    ];
    fake.tables.workers.push({ ...fake.tables.workers[0]!, number: 1 });
    fake.tables.templates = [
      TemplateRow.fromPartial({
        service: tcp,
        client: Uint8Array.of(10, 9, 0, 0),
        prefix: 24,
        server: Uint8Array.of(10, 1, 0, 1),
        serverPort: 8080,
        expires: 300,
      }),
    ];
    const line =
      '[2]tcp 87s    ESTABLISHED 10.9.0.1:4000      10.0.0.1:80        10.8.0.1:1025      10.1.0.1:8080\n';
    assert.equal(await ok('-lnc'), line);
    assert.equal(await ok('-lnc --sockpair tcp:10.9.0.1:4000:10.0.0.1:80'), line);
    await wrong('-lnc --sockpair tcp:10.9.0.1:4001:10.0.0.1:80', /no such connection/, 1);
    assert.equal(await ok('-lnc --cpu 1'), '');
    assert.equal(await ok('-lnc --cpu 2'), line);
    await wrong('-lnc --cpu 3', /there are 2 workers/, 1);
    assert.match(
      await ok('-lnc --persistent-conn'),
      /^\[1\]tcp 300s +TEMPLATE +10\.9\.0\.0:0 +10\.0\.0\.1:80 /,
    );
    const [json] = JSON.parse(await ok('-lnc --json'));
    assert.deepEqual(json.local, { address: '10.8.0.1', port: 1025 });
    fake.tables.connections = [];
    assert.deepEqual(JSON.parse(await ok('-lnc --json')), []);
  });

  it('keeps local addresses and both lists', async () => {
    await ok('-A -t 10.0.0.1:80');
    await ok('-P -t 10.0.0.1:80 -z 10.8.0.1 -F dpdk1');
    await ok('--add-laddr -t 10.0.0.1:80 --laddr 10.8.0.2 --ifname dpdk1');
    assert.equal(
      await ok('-G'),
      [
        'VIP:VPORT            TOTAL    SNAT_IP              CONFLICTS  CONNS     ',
        '10.0.0.1:80          2        ',
        '                              10.8.0.1             0          0         ',
        '                              10.8.0.2             0          0         ',
        '',
      ].join('\n'),
    );
    await ok('-Q -t 10.0.0.1:80 -z 10.8.0.1 -F dpdk1');
    assert.match(await ok('-G -t 10.0.0.1:80'), /10\.0\.0\.1:80 +1 +\n/);
    await ok('-U -t 10.0.0.1:80 -k 10.66.0.0/16');
    await ok('-U -t 10.0.0.1:80 -k ipset:bad');
    await ok('-U -t 10.0.0.1:80 -k 0.0.0.0/0');
    await ok('-O -t 10.0.0.1:80 -2 10.77.0.1');
    assert.deepEqual(
      rows(await ok('-B'), 0).map((line) => line.trimEnd()),
      [
        'PROTO    VIP:VPORT                      BLACKLIST',
        'TCP      10.0.0.1:80                    10.66.0.0/16',
        'TCP      10.0.0.1:80                    ipset:bad',
        'TCP      10.0.0.1:80                    0.0.0.0/0',
      ],
    );
    assert.match(await ok('-W'), /WHITELIST +\nTCP +10\.0\.0\.1:80 +10\.77\.0\.1 +\n$/);
    await ok('-V -t 10.0.0.1:80 -k ipset:bad');
    await ok('-Y -t 10.0.0.1:80 -2 10.77.0.1/32');
    assert.doesNotMatch(await ok('-S'), /ipset|-O/);
    await wrong('-P -t 10.0.0.1:80 -z 10.8.0.1 -F dpdk7', /no device 'dpdk7'/, 1);
  });

  it('sets time-outs, zeroes and clears', async () => {
    await ok('--set 900 120 300');
    assert.equal(await ok('-L --timeout'), 'Timeout (tcp tcpfin udp): 900 120 300\n');
    await ok('--set 0 10 0');
    assert.equal(await ok('-l --timeout'), 'Timeout (tcp tcpfin udp): 900 10 300\n');
    assert.equal(await ok('-L --daemon'), '');
    await ok('-A -t 10.0.0.1:80');
    await ok('-a -t 10.0.0.1:80 -r 10.1.0.1 -b');
    traffic();
    await ok('-Z -t 10.0.0.1:80');
    assert.match(await ok('-Ln --stats'), /10\.0\.0\.1:80 +0 +0 +0 +0 +0\n/);
    await ok('-d -t 10.0.0.1:80 -r 10.1.0.1');
    await ok('-D -t 10.0.0.1:80');
    await ok('-A -t 10.0.0.1:80');
    await ok('-C');
    assert.equal(fake.tables.services.size, 0);
  });

  it('names match services by their ranges', async () => {
    await ok('-A -H proto=tcp,src-range=192.168.0.1-10:80-100,dst-range=10.0.0.1:1024,iif=dpdk0 -s rr');
    await ok('-A -H proto=icmpv6,af=ipv6,oif=dpdk1 -s rr');
    await ok('-A -H src-range=[2001:db8::1-2001:db8::9]:1-9 -s rr');
    assert.deepEqual(rows(await ok('-Ln'), 3).sort(), [
      'MATCH --,from=[2001:db8::1-2001:db8::9]:1-9 rr',
      'MATCH icmpv6,af=ipv6,oif=dpdk1 rr',
      'MATCH tcp,from=192.168.0.1-192.168.0.10:80-100,to=10.0.0.1-10.0.0.1:1024-1024,iif=dpdk0 rr',
    ]);
    await ok(
      '-a -H proto=tcp,src-range=192.168.0.1-192.168.0.10:80-100,dst-range=10.0.0.1:1024,iif=dpdk0 -r 10.3.0.1:0 -J',
    );
    assert.match(await ok('-Ln'), /10\.3\.0\.1:0 +SNAT /);
  });

  const refused: [string, RegExp][] = [
    ['-A', /needs a virtual server/],
    ['-A -t', /-t needs an argument/],
    ['-A -t 10.0.0.1', /must be persistent/],
    ['-A -t 10.0.0.1:80 -u 10.0.0.1:80', /one virtual server at a time: -t or -u/],
    ['-A -t 10.0.0.1:80 -s rr -s wrr', /-s is there twice/],
    ['-A -t 10.0.0:80', /'10\.0\.0' is no address/],
    ['-A -t 10.0.0.1:65536', /'65536' is no port/],
    ['-A -t 2001:db8::zz:80', /needs brackets/],
    ['-A -t [10.0.0.1]:80', /no IPv6 address in the brackets/],
    ['-A -t 10.0.0.1:80 -o', /UDP services only/],
    ['-A -t 10.0.0.1:80 -w 3', /-w does not go with --add-service/],
    ['-A -t 10.0.0.1:80 -M 255.0.255.0', /ones followed by zeros/],
    ['-A -t 10.0.0.1:80 -M 0.0.0.0', /ones followed by zeros/],
    ['-A -t 10.0.0.1:80 -j maybe', /one of enable, disable/],
    ['-A -t 10.0.0.1:80 --dest-check tcp', /keepalived/],
    ['-A -t 10.0.0.1:80 --dest-check 0,3s', /illegal dest-check/],
    ['-A -u 10.0.0.1:80 --proxy-protocol v1', /version 1 cannot carry UDP/],
    ['-A -t 10.0.0.1:80 -s rr --hash-target sip', /conhash only/],
    ['-A -f 0', /illegal firewall mark '0'/],
    ['-A -t 10.0.0.1:80 -6', /-6 goes with -f only/],
    ['-A --sctp-service 10.0.0.1:80', /SCTP is not balanced/],
    ['-A -H bogus=1', /no part of a match/],
    ['-A -H iif=', /it is empty/],
    ['-A -H src-range=10.0.0.9-10.0.0.1', /source range/],
    ['-a -t 10.0.0.1:80', /needs --real-server/],
    ['-a -t 10.0.0.1:80 -r 10.1.0.1 -b -m', /one way to forward/],
    ['-a -t 10.0.0.1:80 -r 10.1.0.1 -w 65536', /illegal weight '65536'/],
    ['-P -t 10.0.0.1:80 -z 10.8.0.1', /needs --ifname/],
    ['-U -t 10.0.0.1:80 -k 10.0.0.0/33', /illegal list entry/],
    ['-U -t 10.0.0.1:80 -k 10.0.0.0/0', /illegal list entry/],
    ['-L -D -t 10.0.0.1:80', /one command at a time: -L or -D/],
    ['-L --stats --rate', /one list at a time: --stats or --rate/],
    ['-Lc --stats', /one list at a time/],
    ['-L --sockpair tcp:1.1.1.1:1:2.2.2.2:2', /goes with -c only/],
    ['-Lc --sockpair tcp:1.1.1.1:2.2.2.2', /illegal socket pair/],
    ['-L --cpu x', /illegal cpu/],
    ['--set 1 2', /three time-outs/],
    ['--set 1 2 x', /illegal time-out 'x'/],
    ['-Ln extra', /unexpected argument 'extra'/],
    ['-n', /-n needs a command/],
    ['-Lq', /-q needs an argument/],
    ['-L#', /unknown option -# in -L#/],
    ['--start-daemon master', /no connection synchronisation daemon/],
    ['--lits', /did you mean --list\?/],
    ['--numeric=yes -L', /takes no argument/],
  ];
  for (const [args, message] of refused) {
    it(`refuses '${args}'`, async () => {
      await wrong(args, message);
      assert.equal(fake.hellos.length, 0, 'a wrong command line does not even connect');
    });
  }

  it('tells what dpvsd refused, with exit code 1', async () => {
    await ok('-A -t 10.0.0.1:80');
    await wrong('-A -t 10.0.0.1:80', /exists/, 1);
    await wrong('-A -t 10.0.0.2:80 -s bogus', /no scheduler 'bogus'[\s\S]*one of rr wrr/, 1);
    await wrong('-d -t 10.0.0.1:80 -r 10.1.0.1:80', /there is no server/, 1);
    const { stderr } = await run('-A -t 10.0.0.1:80 --json');
    assert.deepEqual(JSON.parse(stderr).error.code, 'exists');
  });

  it('exits 2 without a dpvsd, in the words that scripts look for', async () => {
    await fake.stop();
    const { code, stderr } = await run('-Ln');
    assert.equal(code, 2);
    assert.match(stderr, /^Can't initialize ipvs: .*\nAre you sure that dpvs is running\?\n/);
  });

  it('prints help and versions', async () => {
    assert.match(await ok('-h'), /--add-service|-A\|-E/);
    assert.match(await ok('-v'), /dpvsd 1\.9\.3/);
  });

  it('lists as JSON', async () => {
    await ok('-A -t [2001:db8::1]:80 -s rr -p 60');
    await ok('-a -t [2001:db8::1]:80 -r [2001:db8::a]:8080 -b -w 3');
    await ok('-P -t [2001:db8::1]:80 -z 2001:db8::8 -F dpdk0');
    const [service] = JSON.parse(await ok('-L --json'));
    assert.equal(service.address, '2001:db8::1');
    assert.equal(service.persistent, 60);
    assert.equal(service.servers[0].forward, 'FullNat');
    assert.equal(service.servers[0].activeConn, 0);
    assert.equal(service.localAddresses[0].address, '2001:db8::8');
    assert.deepEqual(JSON.parse(await ok('-L --timeout --json')), { tcp: 90, tcpFin: 7, udp: 300 });
    assert.equal(JSON.parse(await ok('-D -t [2001:db8::1]:80 --json')).operations, 1);
  });
});
