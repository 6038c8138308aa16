import assert from 'node:assert/strict';
import { readFileSync } from 'node:fs';
import { until } from '../../lab/command.js';
import { whyNoLab } from '../../lab/needs.js';
import { PairLab, type PairNode } from '../../lab/pair.js';
import { removeStaleLabs } from '../../lab/registry.js';
import { failures, Traffic } from '../../lab/traffic-plan.js';
import { skipBecause } from '../runner/skip.js';

/** Milliseconds that one request may take. */
const LIMIT = 400;
/**
 * Longest time of failures that is allowed: three adverts of 0.1 s and the skew time (RFC 9568 6.1), the requests that were under way, and
 * what a machine needs that runs two directors and their clients on two cores.
 */
const BOUND = 400 + LIMIT + 1500;

describe('pair of directors', () => {
  let lab: PairLab;

  before(async function () {
    const reason = await whyNoLab(['pgrep']);
    if (reason) skipBecause(this, reason);
    await removeStaleLabs();
    lab = await PairLab.create();
  });

  after(async () => {
    await lab?.close();
  });

  /** As mocha's `it`; a failure tells what the nodes said. */
  function test(title: string, body: () => Promise<void>): void {
    it(title, async () => {
      try {
        await body();
      } catch (error) {
        if (error instanceof Error) error.stack += `\n${lab.nodes.map((node) => node.said()).join('\n')}`;
        throw error;
      }
    });
  }

  /**
   * Sends requests while something happens, until `to` is the active one and requests are answered again.
   * @returns milliseconds between the first and the last failed request, with the last one's limit; 0: none failed
   */
  async function gap(event: () => Promise<void>, to: PairNode): Promise<number> {
    const traffic = new Traffic(lab.client, {
      targets: lab.targets,
      perSecond: 50,
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
    const { failed } = traffic.total;
    const span = failed.length === 0 ? 0 : failed.at(-1)! - failed[0]! + LIMIT;
    console.log(`      ${failed.length} of ${traffic.total.requests} failed, within ${span.toFixed(0)} ms`);
    return span;
  }

  const bounded = async (event: () => Promise<void>, to: PairNode, bound = BOUND) => {
    const span = await gap(event, to);
    assert.ok(span <= bound, `requests failed for ${span.toFixed(0)} ms, at most ${bound} are allowed`);
  };

  /** How often a node became master so far. */
  const elections = (node: PairNode) => node.said().match(/Entering MASTER STATE/g)?.length ?? 0;

  test('both nodes start at once: the higher priority is active, and serves', async () => {
    await Promise.all(lab.nodes.map((node) => node.start()));
    await lab.settled(lab.lb1);
    await bounded(async () => {}, lab.lb1, 0);
  });

  test('reload: no request fails, nobody is elected', async () => {
    const before = [elections(lab.lb1), elections(lab.lb2)];
    await bounded(
      async () => {
        lab.lb1.configure((text) => text.replace('lb_algo rr', 'lb_algo wrr'));
        lab.lb1.reload();
        await until('the reload', async () => (await lab.lb1.ipvsadm(['-ln'])).stdout.includes(':80 wrr'));
      },
      lab.lb1,
      0,
    );
    assert.deepEqual([elections(lab.lb1), elections(lab.lb2)], before);
  });

  test('stop: the active node resigns, the standby takes over', async () => {
    await bounded(() => lab.lb1.stopKeepalived(), lab.lb2);
  });

  test('the stopped node returns and takes its address back (preempt)', async () => {
    await bounded(async () => lab.lb1.startKeepalived(), lab.lb1);
  });

  test('kill -9 of the active node’s VRRP process: it is started again, and the address comes to rest', async () => {
    await bounded(() => lab.lb1.killVrrp(), lab.lb1);
  });

  test('kill -9 of the active dataplane: its twin goes down, the standby takes over', async () => {
    await bounded(async () => {
      await lab.lb1.killDataplane();
      assert.equal(await lab.lb1.carrier(), false);
    }, lab.lb2);
  });

  test('the dataplane returns: the same twin with its address, and the node is active again', async () => {
    const index = () => lab.lb1.host.run(['cat', '/sys/class/net/dpdk0.kni/ifindex']);
    const before = await index();
    await bounded(() => lab.lb1.startDataplane(), lab.lb1);
    assert.equal(await index(), before);
    const addresses = await lab.lb1.host.run(['ip', '-o', '-4', 'address', 'show', 'dev', 'dpdk0.kni']);
    assert.match(addresses, / 192\.0\.2\.2\/24 /);
    // The operator has set it once; the dataplane has learnt it twice.
    await until('the learnt address', async () =>
      /^inet 192\.0\.2\.2\/32 .* scope kni_host .* proto kernel/m.test(
        (await lab.lb1.dpip(['route', 'show'])).stdout,
      ),
    );
  });

  test('crash of the active node: the standby takes over', async () => {
    await bounded(() => lab.lb1.crash(), lab.lb2);
  });

  test('the crashed node returns with nopreempt: nothing moves, no request fails', async () => {
    for (const node of lab.nodes)
      node.configure((text) => text.replace('state BACKUP', 'state BACKUP\n    nopreempt'));
    await bounded(
      async () => {
        await lab.lb1.cable(true);
        await lab.lb1.start();
        await until('lb1 to be the standby', () => lab.lb1.said().includes('Entering BACKUP STATE'));
        await new Promise((resolve) => setTimeout(resolve, 2000));
      },
      lab.lb2,
      0,
    );
    assert.equal(elections(lab.lb1), 0);
  });

  test('the samples of both nodes differ in nothing but name, priority and local addresses', async () => {
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
