import { deepEqual, equal, match } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { didYouMean, format } from '../../../keepalived/grammar/diagnostics.js';
import type { Checker, UdpCheck } from '../../../keepalived/model/virtual-server.js';
import { type ParseOptions, parse } from '../../../keepalived/parse.js';
import { writeModel } from '../../../keepalived/write.js';

const surroundings: ParseOptions = {
  hostname: 'node',
  interfaceExists: (name) => name.startsWith('eth') || name.startsWith('dpdk'),
  scripts: { find: (program) => program, writable: () => false, defaultUser: () => true },
};

function read(text: string, more: ParseOptions = {}) {
  const parsed = parse('/test.conf', { ...surroundings, ...more, text });
  const found = parsed.diagnostics.findings;
  return {
    ...parsed,
    code: parsed.diagnostics.exitCode('upstream'),
    notes: found.filter((finding) => finding.kind === 'note').map((finding) => finding.text),
    errors: found.filter((finding) => finding.kind !== 'note').map((finding) => finding.text),
  };
}

const service = (inside: string, head = '10.0.0.1 80', kind = 'NAT') =>
  `virtual_server ${head} {\n protocol TCP\n lb_algo rr\n lb_kind ${kind}\n${inside}\n}\n`;
const server = (inside: string) => service(` real_server 10.0.0.2 80 {\n${inside}\n }`);
const checkersOf = (text: string, more: ParseOptions = {}): Checker[] =>
  read(text, more).model.loadBalancing.virtualServers[0]?.realServers[0]?.checkers ?? [];
const instance = (inside: string) =>
  `vrrp_instance VI {\n interface eth0\n virtual_router_id 7\n virtual_ipaddress {\n 10.0.0.1\n }\n${inside}\n}\n`;

describe('the model of virtual servers', () => {
  it('checkers inherit from the real server, that from the virtual server, that from what is built in', () => {
    const kinds = ['TCP_CHECK', 'UDP_CHECK', 'SMTP_CHECK', 'DNS_CHECK', 'PING_CHECK'];
    const blocks = kinds.map((kind) => `${kind} {\n}`).join('\n');
    const urls = 'HTTP_GET {\n url {\n path /\n }\n}\nMISC_CHECK {\n misc_path /bin/true\n}';
    const standard = checkersOf(server(`${blocks}\n${urls}`)).map((one) => {
      const { kind, retry, delayBeforeRetry, delayLoop, warmup } = one as Extract<
        Checker,
        { kind: 'TCP_CHECK' }
      >;
      return [kind, retry, delayBeforeRetry, delayLoop, warmup];
    });
    deepEqual(standard, [
      ['TCP_CHECK', 1, 1000, 60000, 60000],
      ['UDP_CHECK', 1, 1000, 60000, 60000],
      ['SMTP_CHECK', 1, 1000, 60000, 60000],
      ['DNS_CHECK', 3, 60000, 60000, 60000],
      ['PING_CHECK', 1, 1000, 60000, 60000],
      ['HTTP_GET', 1, 3000, 60000, 60000],
      ['MISC_CHECK', 0, 1000, 60000, 60000],
    ]);
    const text = service(
      ' delay_loop 5\n retry 9\n real_server 10.0.0.2 80 {\n retry 7\n connect_timeout 2\n TCP_CHECK {\n }\n TCP_CHECK {\n retry 3\n connect_timeout 1.5\n connect_port 8080\n }\n }',
    );
    const [first, second] = checkersOf(text) as Extract<Checker, { kind: 'TCP_CHECK' }>[];
    deepEqual(
      [first?.retry, first?.delayLoop, first?.connectTimeout, first?.connectPort],
      [7, 5000, 2000, 80],
    );
    deepEqual([second?.retry, second?.connectTimeout, second?.connectPort], [3, 1500, 8080]);
  });

  const udp = (lines: string, dialect?: string) =>
    read(
      `${dialect ? `global_defs {\n dialect ${dialect}\n}\n` : ''}${server(` UDP_CHECK {\n${lines}\n }`)}`,
    );
  const check = (parsed: ReturnType<typeof read>) =>
    parsed.model.loadBalancing.virtualServers[0]?.realServers[0]?.checkers[0] as UdpCheck;
  const hex = (text: string) => Buffer.from(text).toString('hex');

  it('payloads without a dialect: quoted or no hex is text, hex is hex, and what is ambiguous is said', () => {
    const text = udp('payload hello\nrequire_reply hello ok');
    equal(check(text).payload, hex('hello'));
    equal(check(text).requireReply?.pattern, hex('hello ok'));
    const bytes = udp('payload 68656c6c6f\nrequire_reply 6fxx');
    equal(check(bytes).payload, '68656c6c6f');
    equal(check(bytes).requireReply?.pattern, '6fxx');
    equal(bytes.notes.filter((note) => note.includes('read as hexadecimal')).length, 2);
    equal(bytes.code, 0);
    equal(check(udp('payload "68656c6c6f"')).payload, hex('68656c6c6f'));
    equal(check(udp('payload 01 02 ff')).payload, '0102ff');
    equal(check(udp('payload abc')).payload, hex('abc'));
  });

  it('payloads of upstream are hex and nothing else, those of DPVS text and nothing else', () => {
    const wrong = udp('payload hello', 'upstream');
    equal(wrong.code, 5);
    equal(check(wrong).payload, undefined);
    equal(check(udp('payload 1 2 ff', 'upstream')).payload, '0102ff');
    equal(check(udp('payload 68656c6c6f', 'dpvs')).payload, hex('68656c6c6f'));
    equal(check(udp('payload hello   world', 'dpvs')).payload, hex('hello world'));
  });

  it('the command line forces a dialect', () => {
    const forced = read(server(' UDP_CHECK {\n payload 68656c6c6f\n }'), { dialect: 'dpvs' });
    equal(check(forced).payload, hex('68656c6c6f'));
    equal(forced.model.global.dialect, 'dpvs');
  });

  it('silence counts as the dialect says, and a probe of the port alone as life', () => {
    equal(check(udp('payload 00')).silence, 'alive');
    match(udp('payload 00').notes.join(), /silence counts as life/);
    equal(check(udp('payload 00\nrequire_reply')).silence, 'failure');
    equal(check(udp('payload x', 'dpvs')).silence, 'failure');
    equal(check(udp('', 'dpvs')).silence, 'alive');
    equal(check(udp('')).silence, 'alive');
  });

  it('the chosen reading is visible in the dump', () => {
    match(writeModel(udp('payload hello').model), /payload 68656c6c6f\n/);
    match(writeModel(udp('payload hello', 'dpvs').model), /payload "hello"\n/);
  });

  it('quorum, hysteresis and ports are brought into what is possible', () => {
    const parsed = read(
      service(' quorum 9\n hysteresis 5\n real_server 10.0.0.2 81 {\n weight 3\n }', '10.0.0.1 80', 'DR'),
    );
    const [made] = parsed.model.loadBalancing.virtualServers;
    deepEqual([made?.quorum, made?.hysteresis, made?.realServers[0]?.port], [3, 2, 80]);
    equal(parsed.errors.length, 3);
  });

  it('FullNAT and tunnels may join address families, NAT may not', () => {
    const mixed = (kind: string) =>
      read(service(' real_server 10.0.0.2 80 {\n }', '2001:db8::1 80', kind)).model.loadBalancing
        .virtualServers.length;
    deepEqual([mixed('FNAT'), mixed('TUN'), mixed('NAT')], [1, 1, 0]);
  });

  it('groups of addresses in all their forms', () => {
    const text = `virtual_server_group g {\n 10.0.0.1-5 80\n 10.0.1.0/28 443\n 10.0.2.1-10.0.3.4 53\n 2001:db8::1-ff 80\n fwmark 7 inet6\n 10.0.0.9-3 80\n 10.0.0.1/24 80\n}\n`;
    const parsed = read(text);
    deepEqual(parsed.model.loadBalancing.groups.g, [
      { kind: 'addresses', first: '10.0.0.1', last: '10.0.0.5', port: 80 },
      { kind: 'addresses', first: '10.0.1.0', last: '10.0.1.15', port: 443 },
      { kind: 'addresses', first: '10.0.2.1', last: '10.0.3.4', port: 53 },
      { kind: 'addresses', first: '2001:db8::1', last: '2001:db8::ff', port: 80 },
      { kind: 'fwmark', mark: 7, family: 6 },
    ]);
    equal(parsed.errors.length, 2);
  });

  it('a local address without its port is an error, not a crash', () => {
    const parsed = read('local_address_group l {\n 10.0.0.1\n 10.0.0.2-4 dpdk0\n}\n');
    deepEqual(parsed.model.loadBalancing.localAddressGroups.l, [
      { first: '10.0.0.2', last: '10.0.0.4', device: 'dpdk0' },
    ]);
    equal(parsed.code, 5);
  });

  it('what DPVS only adds to upstream is understood', () => {
    const text = service(
      ' laddr_group_name l\n syn_proxy\n expire_quiescent_conn\n establish_timeout 9000\n proxy_protocol v2\n bps 5\n real_server 10.0.0.2 80 {\n }',
      '10.0.0.1 80',
      'FNAT',
    );
    const parsed = read(`local_address_group l {\n 10.0.0.3 dpdk0\n}\n${text}`);
    const [made] = parsed.model.loadBalancing.virtualServers;
    deepEqual(
      [
        made?.forwarding.method,
        made?.localAddressGroup,
        made?.synProxy,
        made?.expireQuiescent,
        made?.establishTimeout,
        made?.proxyProtocol,
        made?.bps,
      ],
      ['FNAT', 'l', true, true, 3600, 'v2', 5],
    );
    equal(parsed.code, 0);
    const snat = read(
      'virtual_server match out {\n protocol ICMP\n lb_algo rr\n lb_kind SNAT\n src-range 10.0.0.1-10.0.0.9\n oif dpdk1\n real_server 192.0.2.1 0 {\n }\n}\n',
    );
    deepEqual(snat.model.loadBalancing.virtualServers[0]?.target, {
      kind: 'match',
      name: 'out',
      sourceRange: '10.0.0.1-10.0.0.9',
      destinationRange: '',
      iif: '',
      oif: 'dpdk1',
    });
    equal(snat.code, 0);
  });
});

describe('the model of VRRP', () => {
  const first = (text: string) => read(text).model.vrrp.instances[0];

  it('what is not said comes from global_defs, then from the standard', () => {
    const plain = first(instance(''));
    deepEqual(
      [plain?.priority, plain?.advertInterval, plain?.version, plain?.garp.delay, plain?.preempt],
      [100, 1000, 2, 5000, true],
    );
    const global = `global_defs {\n vrrp_version 3\n vrrp_garp_master_delay 2\n vrrp_garp_master_repeat 1\n vrrp_strict\n smtp_alert\n}\n`;
    const other = first(global + instance(' advert_int 0.25'));
    deepEqual(
      [
        other?.version,
        other?.advertInterval,
        other?.garp.delay,
        other?.garp.repeat,
        other?.strict,
        other?.accept,
        other?.smtpAlert,
      ],
      [3, 250, 2000, 1, true, false, true],
    );
    equal(first(instance(' state MASTER'))?.priority, 255);
  });

  it('an instance without addresses is reported, unless it says that it has none', () => {
    const text = instance('').replace(/ virtual_ipaddress \{[^}]*\}\n/, '');
    match(read(text).errors.join('\n'), /No VIP specified/);
    deepEqual(read(text.replace(/\}\n$/, ' no_virtual_ipaddress\n}\n')).errors, []);
  });

  it('names of routing tables come from the folders that are named', () => {
    const folder = mkdtempSync(join(tmpdir(), `names-${process.pid}-`));
    try {
      mkdirSync(join(folder, 'usr'));
      mkdirSync(join(folder, 'etc'));
      writeFileSync(join(folder, 'usr', 'rt_tables'), '100 blue\n');
      writeFileSync(join(folder, 'etc', 'rt_tables'), '200 green\n');
      const text = (globals: string) =>
        `global_defs {\n${globals}\n}\nstatic_routes {\n 10.1.0.0/16 dev eth0 table blue\n 10.2.0.0/16 dev eth0 table green\n}\n`;
      const named = ` iproute_usr_dir ${folder}/usr\n iproute_etc_dir ${folder}/etc`;
      deepEqual(
        read(text(named)).model.vrrp.staticRoutes.map(({ table }) => table),
        [100, 200],
      );
      equal(read(text('')).errors.length, 2);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });

  it('random numbers begin anew with random_seed', () => {
    const text = `global_defs {\n random_seed 1\n router_id "\${_RANDOM 0 2147483646}"\n}\n`;
    // The first number of random() after srandom(1).
    equal(read(text).model.global.routerId, '1804289383');
  });

  it('intervals are rounded to what the version carries', () => {
    equal(first(instance(' advert_int 1.4'))?.advertInterval, 1000);
    equal(first(instance(' version 3\n advert_int 0.126'))?.advertInterval, 130);
    equal(first(instance(' version 3\n advert_int 200'))?.advertInterval, 40950);
  });

  it('an instance that cannot run does not take the others with it', () => {
    const parsed = read(
      `vrrp_instance A {\n interface eth0\n}\n${instance('')}vrrp_instance C {\n virtual_router_id 3\n}\n`,
    );
    deepEqual(
      parsed.model.vrrp.instances.map((one) => one.name),
      ['VI'],
    );
    equal(parsed.code, 5);
  });

  it('references to nothing are dropped, with a suggestion', () => {
    const parsed = read(
      `vrrp_script check_web {\n script /bin/true\n}\n${instance(' track_script {\n chek_web\n check_web\n }')}vrrp_sync_group G {\n group {\n VI\n V1\n }\n}\n`,
    );
    deepEqual(parsed.model.vrrp.instances[0]?.trackScripts, [{ name: 'check_web' }]);
    match(parsed.errors.join('\n'), /chek_web not found, ignoring; did you mean 'check_web'\?/);
    match(
      parsed.errors.join('\n'),
      /V1 specified in sync group G doesn't exist - ignoring; did you mean 'VI'\?/,
    );
  });

  it('weights in a sync group: scripts and sessions go, interfaces and files count as 0, unless the group asks for weights', () => {
    const text = (asked: string) =>
      `vrrp_script heavy {\n script "/bin/true a"\n weight 5\n}\nvrrp_script plain {\n script "/bin/true b"\n}\nvrrp_script light {\n script "/bin/true c"\n}\ntrack_file file {\n file /f\n}\ntrack_file other {\n file /g\n}\n` +
      `vrrp_sync_group G {\n group {\n VI\n }\n${asked}\n}\n` +
      instance(
        'track_script {\n heavy\n plain\n light weight 3\n}\ntrack_file {\n file\n other weight 2\n}\ntrack_interface {\n eth1 weight 4\n}',
      );
    const tracked = (asked: string) => {
      const one = read(text(asked)).model.vrrp.instances[0]!;
      return [...one.trackScripts, ...one.trackFiles, ...one.trackInterfaces].map(
        ({ name, weight }) => `${name} ${weight ?? 'own'}`,
      );
    };
    deepEqual(tracked(''), ['plain own', 'file 0', 'eth1 0']);
    const all = ['heavy own', 'plain own', 'light 3', 'file own', 'other 2', 'eth1 4'];
    deepEqual(tracked(' sync_group_tracking_weight'), all);
  });

  it('an unknown block takes only itself away', () => {
    const parsed = read(instance(' unicast_peeer {\n 10.0.0.9\n nested {\n x\n }\n }\n priority 77'));
    equal(parsed.model.vrrp.instances[0]?.priority, 77);
    deepEqual(parsed.errors, [
      "Unknown keyword 'unicast_peeer' in vrrp_instance, did you mean 'unicast_peer'?",
    ]);
  });

  it('addresses, routes and rules with their words', () => {
    const parsed = read(
      instance(
        ' virtual_ipaddress_excluded {\n 2001:db8::5/64 dev eth1 -nodad preferred_lft forever\n 10.1.0.1/24 brd + label eth0:x scope link nonsense\n 10.1.0.2 label\n }\n virtual_routes {\n blackhole 10.9.0.0/16 table 7\n default via 10.0.0.254 dev eth0 metric 5\n 10.8.0.0/16 nexthop via 10.0.0.1 dev eth0 weight 2 nexthop via 10.0.0.2 dev eth0\n }\n virtual_rules {\n from 10.9.0.0/16 lookup 7 preference 50\n from 10.9.0.0/16 preference 51\n }',
      ),
    );
    const made = parsed.model.vrrp.instances[0];
    deepEqual(
      made?.excludedAddresses.map((one) => [
        one.address,
        one.prefixLength,
        one.interface,
        one.broadcast,
        one.scope,
        one.preferredLifetime,
      ]),
      [
        ['2001:db8::5', 64, 'eth1', undefined, undefined, 'forever'],
        ['10.1.0.1', 24, undefined, '10.1.0.255', 253, undefined],
      ],
    );
    deepEqual(
      made?.virtualRoutes.map((one) => [
        one.type,
        one.destination?.address,
        one.via,
        one.table,
        one.metric,
        one.nextHops.length,
      ]),
      [
        ['blackhole', '10.9.0.0', undefined, 7, undefined, 0],
        ['unicast', undefined, '10.0.0.254', undefined, 5, 0],
        ['unicast', '10.8.0.0', undefined, undefined, undefined, 2],
      ],
    );
    deepEqual(
      made?.virtualRules.map((one) => [one.action, one.table, one.priority]),
      [['table', 7, 50]],
    );
  });
});

describe('findings', () => {
  it('say file, line and keyword', () => {
    const { diagnostics } = read('global_defs {\n router_id x\n smtp_conect_timeout 5\n}\n');
    const [finding] = diagnostics.findings;
    equal(
      format(finding!),
      "(/test.conf: Line 3) Unknown keyword 'smtp_conect_timeout' in global_defs, did you mean 'smtp_connect_timeout'?",
    );
    equal(finding?.keyword, 'smtp_conect_timeout');
  });

  it('suggest only what is near', () => {
    const words = ['priority', 'preempt', 'virtual_router_id'];
    equal(didYouMean('priorty', words), 'priority');
    equal(didYouMean('prioritiy', words), 'priority');
    equal(didYouMean('virtual-router-id', words), 'virtual_router_id');
    equal(didYouMean('weight', words), undefined);
  });

  it('the worst of upstream decides, in its order: security hides warnings, warnings hide what is fatal', () => {
    const fatal = 'linkbeat_interfaces {\n nothere\n}\n';
    equal(read(fatal).code, 4);
    equal(read(`${fatal}nonsense\n`).code, 5);
    equal(read(`${fatal}nonsense\n${instance(' notify_master /bin/true')}`).code, 6);
    equal(
      read(
        `global_defs {\n enable_script_security\n script_user root\n}\n${instance(' notify_master /bin/true')}`,
      ).code,
      0,
    );
  });

  it('scripts that are missing or that others could change do not run', () => {
    const text = `global_defs {\n enable_script_security\n script_user root\n}\n${instance(' notify_master /bin/one\n notify_backup /bin/two')}`;
    const { model } = read(text, {
      scripts: {
        find: (program) => (program === '/bin/one' ? undefined : program),
        writable: () => true,
        defaultUser: () => true,
      },
    });
    deepEqual(model.vrrp.instances[0]?.notify, {});
  });

  it('a hostile file ends in findings, not in a crash or without end', () => {
    const texts = [
      '{'.repeat(5000),
      '}'.repeat(5000),
      'global_defs {\n'.repeat(3000),
      `${'x '.repeat(400)}\n`.repeat(100),
      '"'.repeat(999),
      '\0\n'.repeat(100),
      '~SEQ(a,1,100000) ~SEQ(b,1,100000) ~SEQ(c,1,100000) x\n',
      '$A= \\\n$A \\\n$A\n$A\n',
      '@',
      '@^',
      '~LST({a,{b},c) x',
      'include '.repeat(100),
      // biome-ignore lint/suspicious/noTemplateCurlyInString: the language writes its names like this
      '${_RANDOM 9 1} ${_ENV} ${_PWD',
    ];
    for (const text of texts) {
      const parsed = read(text);
      equal(parsed.diagnostics.findings.length <= 1000, true);
    }
  });
});

describe('samples of keepalived.conf', () => {
  const folder = new URL('../../../../conf/', import.meta.url);
  const names = readdirSync(folder).filter((name) => /^keepalived\.conf.*sample$/.test(name));

  it('are there', () => equal(names.length >= 3, true));

  for (const name of names) {
    for (const configId of ['lb1', 'lb2']) {
      it(`${name} is in order (${configId})`, () => {
        const parsed = parse(name, {
          ...surroundings,
          interfaceExists: () => true,
          configId,
          text: readFileSync(new URL(name, folder), 'utf8'),
        });
        const bad = parsed.diagnostics.findings.filter(
          (finding) => finding.kind !== 'note' && finding.kind !== 'security',
        );
        deepEqual(bad.map(format), []);
        equal(parsed.model.loadBalancing.virtualServers.length > 0, true);
      });
    }
  }
});
