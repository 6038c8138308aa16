import { deepEqual, equal, ok } from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { root } from '../../../keepalived/blocks/root.js';
import type { Keyword, Table } from '../../../keepalived/grammar/keyword.js';
import { parse } from '../../../keepalived/parse.js';
import { Random } from '../random.js';
import { Samples } from './random-configuration.js';

/**
 * What docs/compatibility.md says about each keyword, held against the code: one that is "implemented" changes the typed model, and what
 * it changes there is read by a part that acts on it, not only by those that parse, resolve and write the model.
 */

const tree = fileURLToPath(new URL('../../../../', import.meta.url));

/** What stands around the keywords of a block; `@` is the place for them. */
const wrappers: Record<string, string> = {
  '': '@',
  SSL: 'SSL {\n@\n}',
  virtual_server: 'virtual_server 10.0.0.1 80 {\nprotocol TCP\n@\nreal_server 10.0.0.2 80 {\n}\n}',
  'virtual_server/real_server':
    'virtual_server 10.0.0.1 80 {\nprotocol TCP\nreal_server 10.0.0.2 80 {\n@\nTCP_CHECK {\n}\n}\n}',
  track_group: 'track_group t {\n@\n}',
  garp_group: 'garp_group {\n@\n}',
  vrrp_sync_group: '',
  vrrp_instance:
    'vrrp_instance A {\ninterface eth0\nvirtual_router_id 1\nvirtual_ipaddress {\n10.0.0.1\n}\n@\n}',
  'vrrp_instance/authentication': '',
  'vrrp_instance/auth_hmac': '',
  vrrp_script: 'vrrp_script s {\nscript /bin/true\n@\n}',
  vrrp_track_process: 'vrrp_track_process p {\nprocess nginx\n@\n}',
  track_file: 'track_file f {\nfile /run/f\n@\n}',
  vrrp_track_file: 'vrrp_track_file f {\nfile /run/f\n@\n}',
  bfd_instance: 'bfd_instance b {\nneighbor_ip 10.0.0.9\n@\n}',
  ospf_bridge: 'ospf_bridge {\n@\n}',
  'ospf_bridge/interface': 'ospf_bridge {\ninterface eth0 {\n@\n}\n}',
};
const instance = (inner: string) => (wrappers.vrrp_instance as string).replace('@', inner);
wrappers['vrrp_instance/authentication'] = instance('authentication {\nauth_type PASS\nauth_pass x\n@\n}');
wrappers['vrrp_instance/auth_hmac'] = instance(`auth_hmac {\nkey 1 hex:${'5a'.repeat(32)}\n@\n}`);
const twoInstances = `${instance('')}\n${instance('').replaceAll(' A ', ' B ').replace('_id 1', '_id 2').replace('10.0.0.1', '10.0.0.3')}`;
wrappers.vrrp_sync_group = `${twoInstances}\nvrrp_sync_group g {\ngroup {\nA\n}\n@\n}`;
const inServer = (inner: string) =>
  (wrappers['virtual_server/real_server'] as string).replace('@\nTCP_CHECK {\n}', () => inner);
// What global_defs says shows in what inherits it.
wrappers.global_defs = `global_defs {\n@\n}\n${instance('')}\n${inServer('TCP_CHECK {\n}')}\nstatic_ipaddress {\n10.0.0.7\n}`;
for (const kind of ['TCP_CHECK', 'UDP_CHECK', 'PING_CHECK', 'SMTP_CHECK', 'DNS_CHECK']) {
  wrappers[`virtual_server/real_server/${kind}`] = inServer(`${kind} {\n@\n}`);
}
wrappers['virtual_server/real_server/SMTP_CHECK/host'] = inServer('SMTP_CHECK {\nhost {\n@\n}\n}');
for (const kind of ['HTTP_GET', 'SSL_GET']) {
  wrappers[`virtual_server/real_server/${kind}`] = inServer(`${kind} {\nurl {\npath /\n}\n@\n}`);
  wrappers[`virtual_server/real_server/${kind}/url`] = inServer(`${kind} {\nurl {\npath /\n@\n}\n}`);
}
wrappers['virtual_server/real_server/MISC_CHECK'] = inServer('MISC_CHECK {\nmisc_path /bin/true\n@\n}');
wrappers['virtual_server/real_server/FILE_CHECK'] =
  `track_file f {\nfile /run/f\n}\ntrack_file g {\nfile /run/g\n}\n${inServer('FILE_CHECK {\ntrack_file f\n@\n}')}`;
wrappers['virtual_server/real_server/BFD_CHECK'] =
  `bfd_instance b {\nneighbor_ip 10.0.0.9\n}\nbfd_instance c {\nneighbor_ip 10.0.0.8\n}\n${inServer('BFD_CHECK {\nname b\n@\n}')}`;

/** Surroundings of single keywords, where those of the block do not do. */
const special: Record<string, string> = {
  'virtual_server/ip_family': 'virtual_server fwmark 7 {\n@\nreal_server 10.0.0.2 80 {\n}\n}',
  'virtual_server/hashed': `global_defs {\ndialect dpvs\n}\n${wrappers.virtual_server}`,
  'virtual_server/laddr_group_name': `local_address_group local_group {\n10.1.0.1 dpdk0\n}\n${wrappers.virtual_server}`,
  'virtual_server/daddr_group_name': `deny_address_group deny_group {\n10.1.0.1\n}\n${wrappers.virtual_server}`,
  'virtual_server/waddr_group_name': `allow_address_group allow_group {\n10.1.0.1\n}\n${wrappers.virtual_server}`,
  'virtual_server/real_server/BFD_CHECK/name': `bfd_instance c {\nneighbor_ip 10.0.0.8\n}\n${inServer('BFD_CHECK {\n@\n}')}`,
  'virtual_server/real_server/FILE_CHECK/track_file': `track_file g {\nfile /run/g\n}\n${inServer('FILE_CHECK {\n@\n}')}`,
  'vrrp_instance/interface': 'vrrp_instance A {\nvirtual_router_id 1\n@\n}',
  'vrrp_instance/vrf':
    'vrrp_instance A {\nvirtual_router_id 1\nunicast_src_ip 10.0.0.5\nunicast_peer {\n10.0.0.6\n}\n@\nvirtual_ipaddress {\n10.0.0.1 dev eth0\n}\n}',
  'global_defs/vrrp_owner_ignore_adverts': `global_defs {\n@\n}\n${instance('priority 255')}`,
  'vrrp_track_process/process': 'vrrp_track_process p {\n@\n}',
  'track_file/file': 'track_file f {\n@\n}',
  'vrrp_track_file/file': 'vrrp_track_file f {\n@\n}',
  'garp_group/interface': 'garp_group {\ngarp_interval 1\n@\n}',
  'garp_group/interfaces': 'garp_group {\ngarp_interval 1\n@\n}',
  'track_group/group': `${instance('')}\ntrack_group t {\n@\n}\nstatic_ipaddress {\n10.0.0.7 dev eth0 track_group t\n}`,
  'vrrp_sync_group/group': `${twoInstances}\nvrrp_sync_group g {\n@\n}`,
};
/** What can be tracked by name, so that a name means something. */
const trackable = [
  'vrrp_script s {\nscript /bin/true\n}',
  'track_file f {\nfile /run/f\n}',
  'vrrp_track_process p {\nprocess nginx\n}',
  'bfd_instance b {\nneighbor_ip 10.0.0.9\n}',
].join('\n');
for (const block of ['vrrp_instance', 'vrrp_sync_group']) {
  for (const kind of ['script', 'file', 'process', 'bfd'])
    special[`${block}/track_${kind}`] = `${trackable}\n${wrappers[block]}`;
}
for (const name of ['src-range', 'dst-range', 'oif', 'iif']) {
  special[`virtual_server/${name}`] =
    'virtual_server match m {\nprotocol TCP\nlb_kind SNAT\n@\nreal_server 10.0.0.2 0 {\n}\n}';
}
for (const name of ['garp_interval', 'gna_interval'])
  special[`garp_group/${name}`] = 'garp_group {\ninterface eth0\n@\n}';
for (const kind of ['HTTP_GET', 'SSL_GET'])
  special[`virtual_server/real_server/${kind}/url/path`] = inServer(`${kind} {\nurl {\n@\n}\n}`);
// A weight of a tracked interface, which a group leaves alone only when it is told to.
const weighted = `${instance('track_interface {\neth1 weight 5\n}')}\nvrrp_sync_group g {\ngroup {\nA\n}\n@\n}`;
for (const name of ['global_tracking', 'sync_group_tracking_weight'])
  special[`vrrp_sync_group/${name}`] = weighted;

/** Lines that must stand before a keyword so that it can mean something. */
const needs: Record<string, string> = {
  'virtual_server/sh-port': 'lb_algo sh',
  'virtual_server/sh-fallback': 'lb_algo sh',
  'virtual_server/mh-port': 'lb_algo mh',
  'virtual_server/mh-fallback': 'lb_algo mh',
  'virtual_server/ops': 'protocol UDP',
  'virtual_server/hash_target': 'protocol UDP\nlb_algo conhash',
  'global_defs/nftables_priority': 'nftables',
  'global_defs/nftables_counters': 'nftables',
  'vrrp_instance/vmac_xmit_base': 'use_vmac',
  'vrrp_instance/unicast_ttl': 'unicast_peer {\n10.0.0.77\n}',
  'vrrp_instance/accept': 'no_accept',
  'vrrp_instance/preempt': 'nopreempt',
  'vrrp_instance/timer_expired_backup': 'nopreempt',
  'vrrp_instance/thread_timer_expired': 'nopreempt',
  'vrrp_instance/owner_ignore_adverts': 'priority 255\nversion 3',
  'vrrp_instance/auth_hmac/active_key': `key 2 hex:${'5b'.repeat(32)}`,
  'virtual_server/persistence_granularity': 'persistence_timeout 50',
  'virtual_server/sorry_server_inhibit': 'sorry_server 10.0.0.9 80',
  'virtual_server/sorry_server_lvs_method': 'sorry_server 10.0.0.9 80',
  'virtual_server/hysteresis': 'quorum 5\nweight 9',
  'virtual_server/quorum': 'weight 100000',
};
for (const kind of ['HTTP_GET', 'SSL_GET']) {
  for (const name of ['no_match', 'options', 'min_offset', 'max_offset'])
    needs[`virtual_server/real_server/${kind}/url/regex_${name}`] = 'regex "a.*b"';
}
for (const name of ['min', 'max']) {
  needs[`virtual_server/real_server/UDP_CHECK/${name}_reply_length`] = 'require_reply 0102';
}

/** Arguments where those of the random configurations would not show. */
const samples: Record<string, string> = {
  'virtual_server/quorum': '5',
  'virtual_server/hysteresis': '2',
  'virtual_server/ip_family': 'inet6',
  'global_defs/default_interface': 'eth5',
  'vrrp_instance/interface': 'eth7',
  'vrrp_instance/vrf': 'blue',
  'vrrp_instance/auth_hmac/active_key': '2',
  'ospf_bridge/telnet': '127.0.0.1 2604 2606',
  'ospf_bridge/interface/dead': '40',
  'vrrp_sync_group/group': 'A\nB',
  'track_group/group': 'A',
  'virtual_server/real_server/BFD_CHECK/name': 'c',
  'virtual_server/real_server/FILE_CHECK/track_file': 'g',
};

for (const block of ['vrrp_instance', 'vrrp_sync_group']) {
  for (const [kind, name] of Object.entries({ script: 's', file: 'f', process: 'p', bfd: 'b' }))
    samples[`${block}/track_${kind}`] = `${name} weight 3`;
}

/** Keywords whose work is done while the file is read, with the test that shows it. */
const atOnce: Record<string, string> = {
  'global_defs/enable_script_security': 'scripts that are missing or that others could change do not run',
  'global_defs/random_seed': 'random numbers begin anew with random_seed',
  'vrrp_instance/no_virtual_ipaddress':
    'an instance without addresses is reported, unless it says that it has none',
  'global_defs/iproute_usr_dir': 'names of routing tables come from the folders that are named',
  'global_defs/iproute_etc_dir': 'names of routing tables come from the folders that are named',
};

interface Place {
  path: string;
  keyword: Keyword<never>;
}

function everything(): Place[] {
  const found: Place[] = [];
  const walk = (table: Table<never>, path: string) => {
    for (const keyword of table.keywords.values()) {
      found.push({ path, keyword });
      if (keyword.kind === 'block')
        walk(keyword.table as Table<never>, path === '' ? keyword.name : `${path}/${keyword.name}`);
    }
  };
  walk(root as unknown as Table<never>, '');
  return found;
}

/** A block of entries as it is written behind its keyword: with a name where it has one. */
function body(keyword: Keyword<never>, entry: string): string {
  return `${keyword.args.startsWith('NAME') ? 'some_name ' : ''}{\n${entry}\n}`;
}

const surroundings = {
  hostname: 'node',
  interfaceExists: () => true,
  scripts: { find: (program: string) => program, writable: () => false, defaultUser: () => true },
};

/** Names of the fields in which two models differ, each the deepest one. */
function changed(a: unknown, b: unknown, name = '', found = new Set<string>()): Set<string> {
  if (Object.is(a, b)) return found;
  const isObject = (value: unknown): value is Record<string, unknown> =>
    typeof value === 'object' && value !== null;
  if (!isObject(a) || !isObject(b)) {
    // What came or went as a whole counts with what it consists of.
    const there = isObject(a) ? a : isObject(b) ? b : undefined;
    found.add(name);
    if (there)
      for (const key of Object.keys(there))
        changed(undefined, there[key], /^\d+$/.test(key) ? name : key, found);
    return found;
  }
  for (const key of new Set([...Object.keys(a), ...Object.keys(b)]))
    changed(a[key], b[key], /^\d+$/.test(key) ? name : key, found);
  return found;
}

/** Sources of the parts that act on the model, without comments. */
function actingSources(): string {
  const texts: string[] = [];
  const take = (folder: string, deep = true) => {
    for (const entry of readdirSync(join(tree, folder), { withFileTypes: true })) {
      const path = join(folder, entry.name);
      if (entry.isDirectory() && deep) take(path);
      else if (entry.name.endsWith('.ts') && !/parse\.ts|draft\.ts|write\.ts/.test(entry.name))
        texts.push(readFileSync(join(tree, path), 'utf8'));
    }
  };
  for (const folder of ['healthcheck', 'vrrp', 'bfd', 'ospf-bridge', 'keepalived/notify']) take(folder);
  take('keepalived', false);
  // What decides while the file is read has no other reader.
  take('keepalived/grammar');
  return texts
    .join('\n')
    .replace(/\/\*[\s\S]*?\*\//g, '')
    .replace(/^\s*\/\/.*$/gm, '');
}

describe('what the documentation says of each keyword', function () {
  this.timeout(120_000);
  const places = everything();
  const acting = new Set(actingSources().match(/[A-Za-z_][A-Za-z0-9_]*/g));
  const modelOf = (text: string) => parse('/x.conf', { ...surroundings, text }).model;

  it('knows a place for every block', () => {
    const blocks = new Set(places.map(({ path }) => path));
    // Those whose keywords are all without effect need none.
    const dead = (path: string) =>
      places.filter((one) => one.path === path).every(({ keyword }) => keyword.accepted !== undefined);
    deepEqual(
      [...blocks].filter((path) => wrappers[path] === undefined && !dead(path)),
      [],
    );
  });

  for (const path of new Set(places.map((place) => place.path))) {
    it(`${path || 'root'}: what is implemented changes the model, and what it changes is read by a part that acts`, () => {
      const wrapper = wrappers[path];
      const silent: string[] = [];
      const unread: string[] = [];
      for (const { keyword } of places.filter((place) => place.path === path)) {
        if (keyword.accepted !== undefined || keyword.kind === 'block' || wrapper === undefined) continue;
        const key = path === '' ? keyword.name : `${path}/${keyword.name}`;
        const around = special[key] ?? wrapper;
        const before = needs[key] ?? '';
        const base = modelOf(around.replace('@', before));
        const fields = new Set<string>();
        // Some values are the defaults, and change nothing.
        for (let seed = 1; seed <= 12; seed++) {
          const generator = new Samples(new Random(seed * 7919));
          const words =
            keyword.kind === 'list'
              ? body(keyword, samples[key] ?? generator.entry(keyword, 4))
              : (samples[key] ?? generator.arguments(keyword) ?? '');
          const model = modelOf(around.replace('@', () => `${before}\n${keyword.name} ${words}`));
          changed(base, model, '', fields);
        }
        if (fields.size === 0 && atOnce[key] === undefined) silent.push(key);
        else if (atOnce[key] === undefined && ![...fields].some((field) => acting.has(field)))
          unread.push(`${key} (${[...fields].join()})`);
      }
      deepEqual({ silent, unread }, { silent: [], unread: [] });
    });
  }

  it('names tests that are there', () => {
    const folder = join(tree, 'test', 'unit', 'keepalived');
    const tests = readdirSync(folder)
      .filter((name) => name.endsWith('.test.ts'))
      .map((name) => readFileSync(join(folder, name), 'utf8'))
      .join('\n');
    const titles = Object.values(atOnce);
    deepEqual(
      titles.filter((title) => !tests.includes(`it('${title}`)),
      [],
    );
  });

  it('a keyword without effect is said to be so when it is read, once', () => {
    const text =
      'global_defs {\n enable_dbus\n enable_dbus\n}\ntunnel_group t {\n tunnel_entry x {\n kind gre\n }\n}\n';
    const { diagnostics } = parse('/x.conf', { ...surroundings, text });
    const said = diagnostics.findings.filter(({ text }) => text.includes('has no effect'));
    equal(said.filter(({ keyword }) => keyword === 'enable_dbus').length, 1);
    ok(said.some(({ keyword }) => keyword === 'tunnel_entry'));
    equal(diagnostics.exitCode('upstream'), 0);
  });
});
