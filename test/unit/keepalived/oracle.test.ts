import { equal } from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { root } from '../../../keepalived/blocks/root.js';
import { differences } from '../../../keepalived/compatibility/differences.js';
import { format } from '../../../keepalived/grammar/diagnostics.js';
import type { Keyword } from '../../../keepalived/grammar/keyword.js';
import { parse } from '../../../keepalived/parse.js';
import { skipBecause } from '../../runner/skip.js';
import { Random } from '../random.js';
import { randomConfiguration, Samples } from './random-configuration.js';

/*
 * Debian's keepalived as oracle: `keepalived -t` and our reading of the same file must come to the same exit code. Both see the same
 * interfaces: a network namespace with eth0 to eth3 is made for the real program.
 */

const SAMPLES = '/usr/share/doc/keepalived/samples';
const INTERFACES = ['eth0', 'eth1', 'eth2', 'eth3', 'eth0.1'];

function why(): string | undefined {
  if (process.getuid?.() !== 0) return 'only root can make a network namespace';
  if (spawnSync('keepalived', ['--version']).error) return 'keepalived is not installed';
  const version = spawnSync('keepalived', ['--version'], { encoding: 'utf8' }).stderr;
  return /Keepalived v2\.2\./.test(version)
    ? undefined
    : `the oracle is keepalived 2.2, not ${version.split('\n')[0]}`;
}

describe("exit codes of -t beside Debian's keepalived", function () {
  this.timeout(120_000);
  const namespace = `oracle-${process.pid}`;
  let folder: string;

  before(function () {
    const reason = why();
    if (reason) skipBecause(this, reason);
    folder = mkdtempSync(join(tmpdir(), `oracle-${process.pid}-`));
    execFileSync('ip', ['netns', 'add', namespace]);
    for (const [index, name] of INTERFACES.entries()) {
      execFileSync('ip', [
        '-n',
        namespace,
        'link',
        'add',
        name,
        'type',
        'veth',
        'peer',
        'name',
        `peer${index}`,
      ]);
      execFileSync('ip', ['-n', namespace, 'link', 'set', name, 'up']);
    }
    execFileSync('ip', ['-n', namespace, 'address', 'add', '192.168.200.5/24', 'dev', 'eth0']);
  });
  after(() => {
    if (folder) rmSync(folder, { recursive: true });
    spawnSync('ip', ['netns', 'delete', namespace]);
  });

  /** keepalived 2.2 may end its whole process group: it gets a session of its own. */
  function theirs(file: string): number | string {
    const done = spawnSync(
      'ip',
      ['netns', 'exec', namespace, 'setsid', '-w', 'keepalived', '-t', '-f', file],
      { encoding: 'utf8' },
    );
    if (done.status !== null && done.status > 128)
      return done.status === 139 ? 'SIGSEGV' : `signal ${done.status - 128}`;
    return done.status ?? (done.signal as string);
  }

  function ours(file: string): { code: number; findings: string } {
    const { diagnostics } = parse(file, {
      interfaceExists: (name) => name === 'lo' || INTERFACES.includes(name),
    });
    return { code: diagnostics.exitCode('upstream'), findings: diagnostics.findings.map(format).join('\n') };
  }

  function same(text: string, what: string): void {
    const file = join(folder, 'case.conf');
    writeFileSync(file, `${text}\n`);
    const own = ours(file);
    equal(own.code, theirs(file), `${what}\n${text}\n${own.findings}`);
  }

  it('the same for each of its sample files', function () {
    if (!existsSync(SAMPLES))
      skipBecause(this, `${SAMPLES} is not there (documentation of packages is not installed)`);
    const files = readdirSync(SAMPLES).filter((name) => name.startsWith('keepalived.conf'));
    equal(files.length >= 25, true);
    for (const name of files) {
      const file = join(SAMPLES, name);
      const own = ours(file);
      equal(own.code, theirs(file), `${name}\n${own.findings}`);
    }
  });

  for (const difference of differences) {
    it(`differs as documented: ${difference.title}`, () => {
      const file = join(folder, 'difference.conf');
      writeFileSync(file, `${difference.example}\n`);
      equal(theirs(file), difference.theirs);
      equal(ours(file).code, difference.ours);
    });
  }

  /** What 2.2.7 has and takes with the arguments that the samples give it. */
  const newer = new Set(
    (
      'use_symlink_paths set_supplementary_groups v3_checksum_as_v2 snmp_vs_stats_update_interval snmp_rs_stats_update_interval ' +
      'dbus_no_interface_name vrrp_delay_after_boot vrrp_owner_ignore_adverts json_version iproute_usr_dir iproute_etc_dir ' +
      'state_dump_file stats_dump_file json_dump_file multihop no_virtual_ipaddress timer_expired_backup thread_timer_expired ' +
      'owner_ignore_adverts auth_hmac sni_name tls_compliant down_timer_adverts vrrp_down_timer_adverts'
    ).split(' '),
  );
  const known = (keyword: Keyword<never>) =>
    keyword.in !== 'dpvs' &&
    keyword.in !== 'ours' &&
    !newer.has(keyword.name) &&
    !/^vrrp_ip(tables|sets)$/.test(keyword.name);

  it('the same for a file with every keyword that it knows', () => {
    for (const seed of [3, 4, 5]) {
      const text = randomConfiguration(new Samples(new Random(seed), true), {
        density: 1,
        // It ends itself when scripts have another user, and it has no such namespace.
        allowed: (keyword) =>
          known(keyword) &&
          !['script_user', 'user', 'garp_group', 'net_namespace', 'net_namespace_ipvs'].includes(
            keyword.name,
          ),
      });
      same(text, `seed ${seed}`);
    }
  });

  it('the same for single keywords of global_defs, vrrp_instance and virtual_server, with and without arguments', () => {
    const random = new Random(Number(process.env.ORACLE_SEED ?? 17));
    const samples = new Samples(random, true);
    const around: Record<string, (line: string) => string> = {
      global_defs: (line) => `global_defs {\n${line}\n}`,
      vrrp_instance: (line) =>
        `vrrp_instance A {\ninterface eth0\nvirtual_router_id 3\nvirtual_ipaddress {\n10.1.2.3\n}\n${line}\n}`,
      virtual_server: (line) =>
        `virtual_server 10.1.1.1 80 {\nprotocol TCP\nlb_algo rr\nlb_kind NAT\n${line}\nreal_server 10.1.1.2 80 {\n}\n}`,
    };
    for (const [name, wrap] of Object.entries(around)) {
      const block = root.keywords.get(name);
      if (block?.kind !== 'block') throw new Error(`${name} is no block`);
      const all = [...(block.table.keywords.values() as Iterable<Keyword<never>>)].filter(
        (keyword) =>
          keyword.kind === 'value' &&
          known(keyword) &&
          // Documented differences, and signals that this program sends itself when it drops to another user.
          ![
            'vrrp_strict',
            'vrrp_skip_check_adv_addr',
            'smtp_server',
            'script_user',
            'use_vmac',
            'use_ipvlan',
          ].includes(keyword.name),
      );
      for (let round = 0; round < 25; round++) {
        const keyword = random.pick(all);
        const args = samples.arguments(keyword) ?? '';
        const line = random.pick([
          `${keyword.name} ${args}`,
          `${keyword.name} ${args}`,
          keyword.name,
          `${keyword.name} zzz`,
          `${keyword.name} ${args}\n${keyword.name} ${args}`,
          `${keyword.name}x ${args}`,
        ]);
        same(wrap(line), `${name}: ${line}`);
      }
    }
  });

  it('the page of differences is up to date', async () => {
    const { compatibilityPage } = await import('../../../keepalived/compatibility/page.js');
    const page = readFileSync(new URL('../../../../docs/compatibility.md', import.meta.url), 'utf8');
    equal(page, compatibilityPage(), 'run: node dist/keepalived/compatibility/main.js');
  });
});
