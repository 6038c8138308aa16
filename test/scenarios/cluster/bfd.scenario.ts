import { strict as assert } from 'node:assert';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, type Running, run, until } from '../../../lab/command.js';
import { Host } from '../../../lab/host.js';
import { whyNoLab } from '../../../lab/needs.js';
import { type LabRecord, register, removeLab } from '../../../lab/registry.js';
import { RoutingDaemons, whyNoFrr } from '../../../lab/routing-daemon.js';
import { skipBecause } from '../../runner/skip.js';

const ours = fileURLToPath(new URL('../../../../bin/keepalived', import.meta.url));

/** Two hosts on one wire. */
class Wire {
  readonly record: LabRecord;
  readonly a: Host;
  readonly b: Host;
  readonly shared: string;
  #count = 0;

  constructor() {
    this.record = register('BFD', ['a', 'b']);
    this.a = new Host('a', this.record.namespaces.a as string);
    this.b = new Host('b', this.record.namespaces.b as string);
    this.shared = mkdtempSync(join(tmpdir(), `dvh-${this.record.id}-bfd-`));
    chmodSync(this.shared, 0o755);
  }

  async build(): Promise<void> {
    for (const { namespace } of [this.a, this.b]) await run(['ip', 'netns', 'add', namespace]);
    await run([
      'ip',
      'link',
      'add',
      'eth0',
      'netns',
      this.a.namespace,
      'type',
      'veth',
      'peer',
      'name',
      'eth0',
      'netns',
      this.b.namespace,
    ]);
    for (const [host, n] of [
      [this.a, 1],
      [this.b, 2],
    ] as const)
      await host.ip([
        'link set lo up',
        'link set eth0 addrgenmode none',
        `address add 10.77.0.${n}/24 dev eth0`,
        `address add fd77::${n}/64 dev eth0 nodad`,
        `address add 10.77.9.${n}/32 dev lo`,
        'link set eth0 up',
        `route add 10.77.9.${3 - n}/32 via 10.77.0.${3 - n}`,
      ]);
  }

  /** keepalived (ours or another) with this configuration on a host. */
  keepalived(host: Host, configuration: string, program: string = ours): Running {
    const stem = join(this.record.folder, `${host.name}${this.#count++}`);
    writeFileSync(`${stem}.conf`, configuration);
    const pids = ['p', 'r', 'c', 'b'].flatMap((flag) => [`-${flag}`, `${stem}.${flag}.pid`]);
    return host.start([program, '-n', '-l', '-D', '-f', `${stem}.conf`, ...pids]);
  }

  async remove(): Promise<void> {
    await removeLab(this.record);
    rmSync(this.shared, { recursive: true, force: true });
  }
}

/** @param interval milliseconds; four of them are the detection time, which a busy machine must keep for the session to stand */
const session = (
  name: string,
  neighbour: string,
  lines: string[] = [],
  interval = 200,
) => `bfd_instance ${name} {
  neighbor_ip ${neighbour}
  min_rx ${interval}
  min_tx ${interval}
  multiplier 4
${lines.map((line) => `  ${line}\n`).join('')}}
`;
const globals = 'global_defs {\n  script_user root\n  lvs_director dry-run\n}\n';

/** Who depends on the session `b`. */
const dependants = `vrrp_instance V {
  interface eth0
  virtual_router_id 7
  priority 100
  advert_int 0.1
  version 3
  track_bfd {
    b
  }
  virtual_ipaddress {
    10.77.0.99/32
  }
}
virtual_server 10.77.0.98 80 {
  delay_loop 1
  lb_algo rr
  lb_kind NAT
  protocol TCP
  real_server 10.77.0.50 80 {
    BFD_CHECK {
      name b
    }
  }
}
`;

describe('BFD beside other programs', () => {
  let wire: Wire;
  before(async function () {
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) skipBecause(this, reason);
    wire = new Wire();
    await wire.build();
  });
  after(async () => {
    await wire?.remove();
  });

  it('FRR: one hop IPv4 and IPv6, several hops; death, return, and an orderly end', async function () {
    this.timeout(90_000);
    const daemons = new RoutingDaemons(wire.b, wire.shared);
    const peer = (head: string) =>
      ` peer ${head}\n  detect-multiplier 3\n  receive-interval 60\n  transmit-interval 60\n  no shutdown\n`;
    const configuration = `bfd\n${peer('10.77.0.1')}${peer('fd77::1 local-address fd77::2 interface eth0')}${peer('10.77.9.1 multihop local-address 10.77.9.2')}`;
    await daemons.start('zebra', 'hostname b\n');
    await daemons.start('bfdd', configuration);
    const running = wire.keepalived(
      wire.a,
      globals +
        session('one4', '10.77.0.2', [], 50) +
        session('one6', 'fd77::2', ['hoplimit 255', 'source_ip fd77::1'], 50) +
        session('many4', '10.77.9.2', ['multihop', 'source_ip 10.77.9.1'], 50),
    );
    // At these timers a busy machine may lose a session for a moment: what counts is the last word.
    const isUp = (name: string) =>
      running.output.lastIndexOf(`BFD_Instance(${name}) Entering Up`) >
      running.output.lastIndexOf(`BFD_Instance(${name}) Entering Down`);
    const names = ['one4', 'one6', 'many4'];
    await until('all sessions up', () => names.every(isUp)).catch(async (error: Error) => {
      throw new Error(`${error.message}\n${running.output}\n${await daemons.ask('bfdd', 'show bfd peers')}`);
    });
    await until('bfdd to see all up at our timers', async () => {
      const text = await daemons.ask('bfdd', 'show bfd peers');
      return (
        (text.match(/Status: up/g) ?? []).length === 3 &&
        (text.match(/Receive interval: 50ms/g) ?? []).length === 3
      );
    });
    // Silence: the process is stopped, not ended, so that nobody says good-bye.
    daemons.kill('bfdd', 'SIGSTOP');
    const stopped = performance.now();
    const before = running.output.length;
    await until(
      'detection',
      () =>
        names.every((name) =>
          running.output
            .slice(before)
            .includes(`BFD_Instance(${name}) Entering Down state (Control Detection Time Expired)`),
        ),
      { every: 5 },
    );
    const took = performance.now() - stopped;
    assert.ok(took < 1500, `detection took ${took} ms`);
    daemons.kill('bfdd', 'SIGCONT');
    await until('all up again', () => names.every(isUp));
    await running.stop();
    const text = await until('bfdd to hear the orderly end', async () => {
      const said = await daemons.ask('bfdd', 'show bfd peers');
      return (said.match(/Status: down/g) ?? []).length === 3 ? said : undefined;
    });
    assert.match(text, /Remote diagnostics: (neighbor signaled|administratively) ?/i);
    daemons.kill('bfdd', 'SIGTERM');
    daemons.kill('zebra', 'SIGTERM');
  });

  it('keepalived’s own BFD: up, and down when it dies', async function () {
    this.timeout(60_000);
    const version = await attempt(['keepalived', '-v']).catch(() => undefined);
    if (!version || !/\bBFD\b/.test(version.stderr))
      skipBecause(this, 'keepalived with BFD is not installed');
    await until('bfdd to be gone', async () => (await wire.b.run(['ss', '-Hlun', 'sport = :3784'])) === '');
    const peer = wire.keepalived(
      wire.b,
      `global_defs {\n  script_user root\n}\n${session('to_a', '10.77.0.1')}`,
      '/usr/sbin/keepalived',
    );
    const running = wire.keepalived(wire.a, globals + session('to_b', '10.77.0.2'));
    await until('the session', () => running.output.includes('BFD_Instance(to_b) Entering Up'), {
      limit: 20_000,
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${running.output}\n${peer.output}`);
    });
    await until('keepalived to see it up', () => /Entering UP state/i.test(peer.output)).catch(
      (error: Error) => {
        throw new Error(`${error.message}\n${peer.output}`);
      },
    );
    // Longer than the detection time: it is the other one's packets that keep it up.
    await new Promise((resolve) => setTimeout(resolve, 1500));
    assert.ok(!running.output.includes('Entering Down'), running.output);
    const { stdout } = await attempt(['ip', 'netns', 'pids', wire.b.namespace]);
    for (const pid of stdout.trim().split('\n')) process.kill(Number(pid), 'SIGKILL');
    await until('the loss', () =>
      running.output.includes('Entering Down state (Control Detection Time Expired)'),
    );
    await running.stop();
  });

  it('track_bfd and BFD_CHECK follow the session', async function () {
    this.timeout(60_000);
    const running = wire.keepalived(wire.a, globals + session('b', '10.77.0.2') + dependants);
    const other = wire.keepalived(wire.b, globals + session('a', '10.77.0.1'));
    await until('the instance to be master', () =>
      running.output.includes('(V) Entering MASTER STATE'),
    ).catch((error: Error) => {
      throw new Error(`${error.message}\n${running.output}\n${other.output}`);
    });
    const before = running.output.length;
    await other.stop();
    const since = () => running.output.slice(before);
    await until('the fault', () => since().includes('(V) Entering FAULT STATE'));
    await until('the server to go', () => since().includes('Removing service [10.77.0.50]:tcp:80 from VS'));
    const again = wire.keepalived(wire.b, globals + session('a', '10.77.0.1'));
    await until('the master again', () => since().includes('(V) Entering MASTER STATE'));
    await until('the server again', () => since().includes('Adding service [10.77.0.50]:tcp:80 to VS'));
    await again.stop();
    await running.stop();
  });

  it('where FRR’s bfdd has the port its sessions are followed, also when it comes later', async function () {
    this.timeout(120_000);
    const daemons = new RoutingDaemons(wire.a, wire.shared);
    const bridge = `ospf_bridge {\n  vty ${daemons.folder}\n  socket ${wire.record.folder}/bridge\n}\n`;
    const peer = ' peer 10.77.0.2\n  receive-interval 200\n  transmit-interval 200\n  no shutdown\n';
    const other = () => wire.keepalived(wire.b, globals + session('a', '10.77.0.1'));
    const running = wire.keepalived(
      wire.a,
      globals + bridge + session('b', '10.77.0.2') + session('alone', '10.77.0.77') + dependants,
    );
    let before = 0;
    const since = () => running.output.slice(before);
    const said = async (text: string) => {
      await until(`'${text}'`, () => since().includes(text), { limit: 40_000 }).catch((error: Error) => {
        throw new Error(`${error.message}\n${since()}`);
      });
      before = running.output.length;
    };
    let far = other();
    await said('(V) Entering MASTER STATE');
    // An own session is up when bfdd comes, which aborts where it cannot have the port.
    await daemons.start('zebra', 'hostname a\n');
    await daemons.start('bfdd', `bfd\n${peer}`);
    await said('its sessions are followed');
    await until('bfdd to be up', async () => /Status: up/.test(await daemons.ask('bfdd', 'show bfd peers')));
    await said("knows no such session: add 'bfd / peer 10.77.0.77'");
    await until('the instance to be master', () => !/FAULT(?![\s\S]*MASTER)/.test(running.output));
    await far.stop();
    await said('(V) Entering FAULT STATE');
    far = other();
    await said('(V) Entering MASTER STATE');
    await until('the server', () =>
      /Adding service \[10\.77\.0\.50\](?![\s\S]*Removing)/.test(running.output),
    );
    // A bfdd that starts anew is no failure of the neighbour; one that stays away is.
    daemons.kill('bfdd');
    await daemons.start('bfdd');
    await until('bfdd to be up again', async () =>
      /Status: up/.test(await daemons.ask('bfdd', 'show bfd peers')),
    );
    assert.ok(!since().includes('FAULT'), since());
    daemons.kill('bfdd');
    await said('(V) Entering FAULT STATE');
    await running.stop();
    // And now bfdd is there first.
    await daemons.start('bfdd');
    const second = wire.keepalived(wire.a, globals + bridge + session('b', '10.77.0.2') + dependants);
    await until('the master', () => second.output.includes('(V) Entering MASTER STATE'), {
      limit: 20_000,
    }).catch((error: Error) => {
      throw new Error(`${error.message}\n${second.output}`);
    });
    assert.match(second.output, /BFD_Instance\(b\) Entering Up state \(bfdd: up\)/);
    await Promise.all([second.stop(), far.stop()]);
    daemons.kill('bfdd', 'SIGTERM');
    daemons.kill('zebra', 'SIGTERM');
  });
});
