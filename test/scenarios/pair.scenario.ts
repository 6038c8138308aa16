import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { until } from '../../lab/command.js';
import { whyNoLab } from '../../lab/needs.js';
import { PAIR_VIRTUAL, PairLab, type PairNode } from '../../lab/pair.js';
import { UDP_PORT } from '../../lab/ports.js';
import { removeStaleLabs } from '../../lab/registry.js';
import { failures, type Target, Traffic } from '../../lab/traffic-plan.js';
import { skipBecause } from '../runner/skip.js';
import { SlowDownload } from './download.js';
import { assertAllAnswered, randomFile, standing as records, standingServices } from './support.js';

/** Milliseconds that one request may take. */
const LIMIT = 400;
/**
 * Longest time of failures that is allowed: three adverts of 0.1 s and the skew time (RFC 9568 6.1), the requests that were under way, and
 * what a machine needs that runs two directors and their clients on two cores.
 */
const BOUND = 400 + LIMIT + 1500;

/** What a test begins with: nothing, or both nodes with lb1 active, or what was done to lb1 then. */
type Standing = 'nothing' | 'running' | 'stopped' | 'without dataplane' | 'crashed';

/** The IPv6 address that moves with the sample's, and addresses of a second router, whose master is lb2 as long as it lives. */
const MOVING6 = 'fd00:2::100';
const STAYING = ['192.0.2.101', 'fd00:2::101'] as const;

const host = (address: string) => (address.includes(':') ? `[${address}]` : address);

/** A sample with IPv6 beside IPv4, and with the second router, so that both nodes are active. */
function further(sample: string, node: PairNode): string {
  const first = node.name === 'lb1' ? 10 : 12;
  const service = (address: string, port: number) => `
virtual_server ${address} ${port} {
    delay_loop 2
    lb_algo rr
    lb_kind FNAT
    protocol ${port === UDP_PORT ? 'UDP' : 'TCP'}
    laddr_group_name ${address.includes(':') ? 'locals6' : 'locals'}
${[201, 202, 203]
  .map(
    (number) => `    real_server ${address.includes(':') ? 'fd00:2::' : '192.0.2.'}${number} ${port} {
        ${port === UDP_PORT ? 'UDP_CHECK' : 'TCP_CHECK'} {
            connect_timeout 2
        }
    }
`,
  )
  .join('')}}
`;
  return `${sample.replace(
    'virtual_ipaddress {',
    `virtual_ipaddress_excluded {
        ${MOVING6}/64
    }
    virtual_ipaddress {`,
  )}
vrrp_instance VI_2 {
    state BACKUP
    interface dpdk0.kni
    dpdk_interface dpdk0
    virtual_router_id 52
    priority ${node.name === 'lb1' ? 100 : 150}
    advert_int 0.1
    virtual_ipaddress {
        ${STAYING[0]}/24
    }
    virtual_ipaddress_excluded {
        ${STAYING[1]}/64
    }
}
local_address_group locals6 {
    fd00:2::${first}-${first + 1} dpdk0
}
${[service(MOVING6, 80), service(MOVING6, UDP_PORT), service(STAYING[0], 80), service(STAYING[1], 80)].join('')}`;
}

describe('pair of directors', () => {
  let lab: PairLab;
  /** Requests and downloads through lb2, which never dies: they go on whatever becomes of lb1. */
  let beside: Traffic;
  let downloads: SlowDownload[] = [];
  /** What is in lb1’s dataplane before that is killed. */
  let state: string[] = [];
  let services: string[] = [];
  let standing: Standing = 'nothing';

  before(async function () {
    const reason = await whyNoLab(['pgrep']);
    if (reason) skipBecause(this, reason);
    await removeStaleLabs();
    lab = await PairLab.create();
    for (const node of lab.nodes) configure(node);
  });

  after(async () => {
    await beside?.stop();
    for (const each of downloads) await each.stop();
    await lab?.close();
  });

  /** Writes a node's file: the sample with what is added here, changed. */
  function configure(node: PairNode, change = (text: string) => text): void {
    node.configure((sample) => change(further(sample, node)));
  }

  /** Both nodes at once, and what goes through lb2 from now on. */
  async function startBoth(): Promise<void> {
    await Promise.all(lab.nodes.map((node) => node.start()));
    await lab.settled(lab.lb1);
    await until('the second router’s address on lb2', async () =>
      (await lab.lb2.dpip(['addr', 'show'])).stdout.includes(`${STAYING[0]}/`),
    );
    const { path } = await randomFile(lab, 'long', 64 << 20);
    const pages = STAYING.map((address) => `http://${host(address)}`);
    beside = new Traffic(lab.client, {
      targets: pages.flatMap((page): Target[] => [
        { kind: 'http', url: `${page}/` },
        { kind: 'http', url: `${page}/`, kept: true },
      ]),
      perSecond: 20,
      seconds: 600,
      limit: 10_000,
    });
    downloads = pages.map((page) => new SlowDownload(lab.client, lab.record, `${page}/slow/long`, path));
  }

  async function killDataplane(): Promise<void> {
    state = await records(lab.lb1.ipc);
    services = await standingServices(lab.lb1.ipc);
    await lab.lb1.killDataplane();
    assert.equal(await lab.lb1.carrier(), false);
  }

  async function returnCrashed(): Promise<void> {
    await lab.lb1.cable(true);
    await lab.lb1.start();
  }

  /** Brings about what a test needs where the tests before it have not left it, as when it is chosen by its title. */
  async function prepare(wanted: Standing): Promise<void> {
    if (standing === wanted) return;
    if (standing === 'nothing') await startBoth();
    if (standing === 'stopped') lab.lb1.startKeepalived();
    if (standing === 'without dataplane') await lab.lb1.startDataplane();
    if (standing === 'crashed') await returnCrashed();
    await lab.settled(lab.lb1);
    if (wanted === 'stopped') await lab.lb1.stopKeepalived();
    if (wanted === 'without dataplane') await killDataplane();
    if (wanted === 'crashed') await lab.lb1.crash();
    if (wanted !== 'running') await lab.settled(lab.lb2);
    standing = wanted;
  }

  /** As mocha's `it`, from one state of the pair to the next; a failure tells what the nodes said. */
  function test(title: string, from: Standing, to: Standing, body: () => Promise<void>): void {
    it(title, async () => {
      try {
        await prepare(from);
        standing = to;
        await body();
      } catch (error) {
        if (error instanceof Error) error.stack += `\n${lab.nodes.map((node) => node.said()).join('\n')}`;
        throw error;
      }
    });
  }

  const moving: Target[] = [PAIR_VIRTUAL, MOVING6].flatMap((address): Target[] => [
    { kind: 'http', url: `http://${host(address)}/` },
    { kind: 'udp', address, port: UDP_PORT },
  ]);

  /**
   * Sends requests while something happens, until `to` is the active one and requests are answered again.
   * @returns milliseconds between the first and the last failed request, with the last one's limit; 0: none failed
   */
  async function gap(event: () => Promise<void>, to: PairNode): Promise<number> {
    const traffic = new Traffic(lab.client, {
      targets: moving,
      perSecond: 60,
      seconds: 120,
      limit: LIMIT,
    });
    try {
      await until('requests', () => traffic.total.requests > 20);
      assert.equal(failures(traffic.total), 0, JSON.stringify([...traffic.total.errors]));
      await event();
      await lab.settled(to);
      // Half a second without a failure.
      await until('requests that are answered', () => {
        const last = traffic.total.failed.at(-1) ?? 0;
        return Date.now() - last > 500 + LIMIT;
      });
    } finally {
      await traffic.stop();
    }
    assertAllAnswered(beside.total);
    await Promise.all(downloads.map((each) => each.goesOn()));
    const { failed } = traffic.total;
    const span = failed.length === 0 ? 0 : failed.at(-1)! - failed[0]! + LIMIT;
    console.log(`      ${failed.length} of ${traffic.total.requests} failed, within ${span.toFixed(0)} ms`);
    // Both families were there.
    for (const { requests, errors, byServer } of traffic.tallies) {
      assert.ok(requests > 5);
      assert.ok(byServer.size > 0, JSON.stringify([...errors]));
    }
    return span;
  }

  const bounded = async (event: () => Promise<void>, to: PairNode, bound = BOUND) => {
    const span = await gap(event, to);
    assert.ok(span <= bound, `requests failed for ${span.toFixed(0)} ms, at most ${bound} are allowed`);
  };

  /** How often a node became master so far. */
  const elections = (node: PairNode) => node.log.match(/Entering MASTER STATE/g)?.length ?? 0;

  test(
    'both nodes start at once: the higher priority is active, and serves',
    'nothing',
    'running',
    async () => {
      await startBoth();
      await bounded(async () => {}, lab.lb1, 0);
    },
  );

  test('reload: no request fails, nobody is elected', 'running', 'running', async () => {
    const before = [elections(lab.lb1), elections(lab.lb2)];
    await bounded(
      async () => {
        configure(lab.lb1, (text) => text.replace('lb_algo rr', 'lb_algo wrr'));
        lab.lb1.reload();
        await until('the reload', async () => (await lab.lb1.ipvsadm(['-ln'])).stdout.includes(':80 wrr'));
      },
      lab.lb1,
      0,
    );
    assert.deepEqual([elections(lab.lb1), elections(lab.lb2)], before);
  });

  test('stop: the active node resigns, the standby takes over', 'running', 'stopped', async () => {
    await bounded(() => lab.lb1.stopKeepalived(), lab.lb2);
  });

  test('the stopped node returns and takes its address back (preempt)', 'stopped', 'running', async () => {
    await bounded(async () => lab.lb1.startKeepalived(), lab.lb1);
  });

  test(
    'kill -9 of the active node’s VRRP process: it is started again, and the address comes to rest',
    'running',
    'running',
    async () => {
      await bounded(() => lab.lb1.killVrrp(), lab.lb1);
    },
  );

  test(
    'kill -9 of the active node’s health checker: it is started again, no request fails, nobody is elected',
    'running',
    'running',
    async () => {
      const before = [elections(lab.lb1), elections(lab.lb2)];
      const services = async () => (await lab.lb1.ipvsadm(['-Sn'])).stdout;
      const configured = await services();
      await bounded(
        async () => {
          const pid = lab.lb1.part('healthcheck');
          process.kill(pid, 'SIGKILL');
          await until('another health checker', () => lab.lb1.part('healthcheck') !== pid);
        },
        lab.lb1,
        0,
      );
      assert.equal(await services(), configured);
      assert.deepEqual([elections(lab.lb1), elections(lab.lb2)], before);
    },
  );

  test(
    'kill -9 of the active dataplane: its twin goes down, the standby takes over',
    'running',
    'without dataplane',
    async () => {
      await bounded(killDataplane, lab.lb2);
    },
  );

  test(
    'the dataplane returns: the same twin with its address, and the node is active again',
    'without dataplane',
    'running',
    async () => {
      const index = () => lab.lb1.host.run(['cat', '/sys/class/net/dpdk0.kni/ifindex']);
      const device = await index();
      await bounded(async () => {
        const starting = lab.lb1.startDataplane();
        await until('the control socket', async () => (await records(lab.lb1.ipc)).length >= 0, { every: 5 });
        const booted = performance.now();
        // One batch puts services and their servers in; a server that was found silent while the twin was down waits for its check.
        const named = (lines: string[]) => lines.filter((line) => line.startsWith('service ')).join('\n');
        await until(
          'the services',
          async () => named(await standingServices(lab.lb1.ipc)) === named(services),
          { every: 5 },
        );
        const pushed = performance.now() - booted;
        console.log(`      services again ${pushed.toFixed(0)} ms after the boot`);
        assert.ok(pushed < 1000, `${pushed} ms`);
        await until(
          'everything that was there',
          async () => (await records(lab.lb1.ipc)).join('\n') === state.join('\n'),
          { every: 5 },
        ).catch(async (error: Error) => {
          throw new Error(
            `${error.message}: ${(await records(lab.lb1.ipc)).join('\n')}\n${state.join('\n')}`,
          );
        });
        const took = performance.now() - booted;
        console.log(`      all state again ${took.toFixed(0)} ms after the boot`);
        // Addresses wait for the twin's carrier and an election besides.
        assert.ok(took < 3000, `${took} ms`);
        await starting;
      }, lab.lb1);
      assert.equal(await index(), device);
      const addresses = await lab.lb1.host.run(['ip', '-o', '-4', 'address', 'show', 'dev', 'dpdk0.kni']);
      assert.match(addresses, / 192\.0\.2\.2\/24 /);
      // The operator has set it once; the dataplane has learnt it twice.
      await until('the learnt address', async () =>
        /^inet 192\.0\.2\.2\/32 .* scope kni_host .* proto kernel/m.test(
          (await lab.lb1.dpip(['route', 'show'])).stdout,
        ),
      );
    },
  );

  test('crash of the active node: the standby takes over', 'running', 'crashed', async () => {
    await bounded(() => lab.lb1.crash(), lab.lb2);
  });

  test('the crashed node returns and takes its address back (preempt)', 'crashed', 'running', async () => {
    await bounded(returnCrashed, lab.lb1);
  });

  // The last one: it leaves lb2 active.
  test(
    'the crashed node returns with nopreempt: nothing moves, no request fails',
    'running',
    'running',
    async () => {
      configure(lab.lb1, (text) => text.replaceAll('state BACKUP', 'state BACKUP\n    nopreempt'));
      await bounded(() => lab.lb1.crash(), lab.lb2);
      await bounded(
        async () => {
          await returnCrashed();
          await until('lb1 to be the standby', () => lab.lb1.log.includes('Entering BACKUP STATE'));
          await new Promise((resolve) => setTimeout(resolve, 2000));
        },
        lab.lb2,
        0,
      );
      assert.equal(elections(lab.lb1), 0);
      assertAllAnswered(beside.total, 100);
    },
  );

  it('the samples of both nodes differ in nothing but name, priority and local addresses', () => {
    const [one, two] = ['lb1', 'lb2'].map((name) =>
      readFileSync(new URL(`../../../conf/keepalived.conf.pair-${name}.sample`, import.meta.url), 'utf8')
        .split('\n')
        .filter((line) => !line.startsWith('#')),
    );
    const different = one!
      .filter((line, index) => line !== two![index])
      .map((line) => line.trim().split(' ')[0]);
    assert.deepEqual(different, ['router_id', 'priority', '192.0.2.10-11']);
  });
});
