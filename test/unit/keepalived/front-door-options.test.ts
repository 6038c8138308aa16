import { deepEqual, equal, match, ok } from 'node:assert/strict';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { type Options, readOptions } from '../../../keepalived/options.js';
import { skipBecause } from '../../runner/skip.js';
import { Door, until } from './door.js';

describe('what options of the command line do', function () {
  this.timeout(120_000);
  const name = `options-${process.pid}`;
  const inside = ['ip', 'netns', 'exec', name];
  let door: Door;

  function ip(...words: string[]): string {
    const done = spawnSync('ip', ['-n', name, ...words], { encoding: 'utf8' });
    equal(done.status, 0, `ip ${words.join(' ')}: ${done.stderr}`);
    return done.stdout;
  }

  before(function () {
    if (spawnSync('ip', ['netns', 'add', name]).status !== 0)
      skipBecause(this, 'network namespaces cannot be made here');
    ip('link', 'set', 'lo', 'up');
    ip('link', 'add', 'port0', 'type', 'veth', 'peer', 'name', 'port1');
    ip('link', 'set', 'port0', 'up');
    ip('link', 'set', 'port1', 'up');
    ip('address', 'add', '192.0.2.1/24', 'dev', 'port0');
  });
  after(() => {
    spawnSync('ip', ['netns', 'delete', name]);
  });
  beforeEach(async () => {
    door = new Door();
    await door.serve();
  });
  afterEach(async () => {
    await door.stop();
    await door.end();
  });

  const instance =
    'vrrp_instance A {\n state MASTER\n interface port0\n virtual_router_id 7\n priority 255\n advert_int 1\n virtual_ipaddress {\n 192.0.2.9/32\n }\n}\n';
  const suspended =
    'virtual_server 192.0.2.9 80 {\n delay_loop 1\n protocol TCP\n lb_algo rr\n lb_kind NAT\n ha_suspend\n real_server 192.0.2.1 9 {\n TCP_CHECK {\n }\n }\n}\n';
  const there = () => ip('address', 'show', 'dev', 'port0').includes('192.0.2.9/32');

  it('-a tells of every address that comes and goes, in both processes', async () => {
    door.configure(Door.globals() + instance + suspended);
    door.start(['-a', ...door.pids('k', 'c', 'r')], inside);
    await door.logged('Startup complete');
    await door.logged('(A) Entering MASTER STATE');
    ip('address', 'add', '192.0.2.77/32', 'dev', 'port1');
    ip('address', 'delete', '192.0.2.77/32', 'dev', 'port1');
    for (const line of [
      /Keepalived_vrrp\[\d+\]: Netlink reflector reports IP 192\.0\.2\.77 added to port1/,
      /Keepalived_vrrp\[\d+\]: Netlink reflector reports IP 192\.0\.2\.77 removed from port1/,
      /Keepalived_healthcheckers\[\d+\]: Netlink reflector reports IP 192\.0\.2\.77 added/,
      /Keepalived_healthcheckers\[\d+\]: Netlink reflector reports IP 192\.0\.2\.77 removed/,
      /Keepalived_vrrp\[\d+\]: Netlink reflector reports IP 192\.0\.2\.9 added to port0/,
    ]) {
      await door.logged(line);
    }
    equal(await door.stop(), 0);
  });

  it('ha_suspend follows the address at once; without -a nothing is told of it', async () => {
    door.configure(Door.globals() + suspended);
    door.start(['-C', ...door.pids('k', 'c')], inside);
    await door.logged('Suspending healthchecks of VS [192.0.2.9]:tcp:80');
    for (let round = 1; round <= 3; round++) {
      const count = (word: string) => door.output.split(`${word} healthchecks`).length - 1;
      ip('address', 'add', '192.0.2.9/32', 'dev', 'port0');
      await until(
        () => door.output,
        () => count('Activating') === round,
      );
      // The same address on another interface keeps it.
      ip('address', 'add', '192.0.2.9/32', 'dev', 'port1');
      ip('address', 'delete', '192.0.2.9/32', 'dev', 'port0');
      await new Promise((resolve) => setTimeout(resolve, 100));
      equal(count('Suspending'), round);
      ip('address', 'delete', '192.0.2.9/32', 'dev', 'port1');
      await until(
        () => door.output,
        () => count('Suspending') === round + 1,
      );
    }
    equal(door.output.includes('reflector'), false);
  });

  for (const [words, stays] of [
    [[], false],
    [['-V'], true],
    [['-V', '-X'], false],
  ] as const) {
    it(`virtual addresses ${stays ? 'stay' : 'go'} at the end with ${words.join(' ') || 'no option'}`, async () => {
      door.configure(Door.globals() + instance);
      door.start(['-P', ...words, ...door.pids('k', 'r')], inside);
      await door.logged('(A) Entering MASTER STATE');
      await until(() => ip('address'), there);
      equal(await door.stop(), 0);
      equal(there(), stays);
      if (stays) ip('address', 'delete', '192.0.2.9/32', 'dev', 'port0');
    });
  }

  it('after -V the next start finds its addresses and goes on', async () => {
    door.configure(Door.globals() + instance);
    door.start(['-P', '-V', ...door.pids('k', 'r')], inside);
    await door.logged('(A) Entering MASTER STATE');
    await until(() => ip('address'), there);
    equal(await door.stop(), 0);
    door.output = '';
    door.start(['-P', ...door.pids('k', 'r')], inside);
    await door.logged('addresses are in place from an earlier run');
    await door.logged('(A) Entering MASTER STATE');
    equal(there(), true);
    equal(await door.stop(), 0);
    equal(there(), false);
  });

  it('checker_... of global_defs: name, priority, CPUs and memory of the process', async () => {
    const settings =
      ' checker_process_name probes\n checker_priority -7\n checker_cpu_affinity 0\n checker_no_swap\n checker_rt_priority 3\n checker_rlimit_rttime 2000000';
    door.configure(Door.globals(settings) + door.virtualServer(1));
    door.start(['-C', ...door.pids('k', 'c')]);
    await door.logged('dry-run: add server');
    const pid = door.pid('c');
    const status = readFileSync(`/proc/${pid}/status`, 'utf8');
    match(status, /^Name:\tprobes$/m);
    match(status, /^Cpus_allowed_list:\t0$/m);
    match(readFileSync(`/proc/${pid}/limits`, 'utf8'), /^Max realtime timeout\s+2000000/m);
    // Nice value, real-time priority and policy (proc(5)); SCHED_RR is 2.
    const fields = readFileSync(`/proc/${pid}/stat`, 'utf8')
      .replace(/^.*\) /, '')
      .split(' ');
    deepEqual([fields[16], fields[37], fields[38]], ['-7', '3', '2']);
    ok(Number(/^VmLck:\s+(\d+)/m.exec(status)?.[1]) > 1000, status);
    // Giving memory back, a second after the start, must be possible with locked memory too.
    await new Promise((resolve) => setTimeout(resolve, 1800));
    equal(door.output.includes('died'), false, door.output);
    equal(door.pid('c'), pid);
    equal(await door.stop(), 0);
  });

  it('options without effect here are read, and said once in the log', async () => {
    const words = ['--debug=Dv', '--perf=all', '--no-mem-check', '-L', '--config-fd=3', '--flush-log-file'];
    const more = ['-x', '-A', '/var/agentx/master', '-M/tmp/core'];
    const { withoutEffect } = readOptions([...words, ...more]) as Options;
    deepEqual(
      withoutEffect.map((sentence) => /^--[a-z-]+/.exec(sentence)?.[0]),
      [
        '--debug',
        '--perf',
        '--no-mem-check',
        '--mem-check-log',
        '--config-fd',
        '--flush-log-file',
        '--snmp',
        '--snmp-agent-socket',
        '--core-dump-pattern',
      ],
    );
    door.configure(Door.globals() + suspended);
    door.start(['-C', '--perf', ...door.pids('k', 'c')], inside);
    await door.logged('Startup complete');
    match(door.output, /Keepalived\[\d+\]: --perf has no effect: /);
    equal(door.output.split('has no effect').length, 2);
  });
});
