import { strict as assert } from 'node:assert';
import { readFileSync } from 'node:fs';
import { Cluster } from '../../../lab/cluster.js';
import { attempt, run, until } from '../../../lab/command.js';
import { bin } from '../../../lab/director.js';
import { whyNoLab } from '../../../lab/needs.js';
import { HTTP_PORT } from '../../../lab/ports.js';
import { whyNoFrr } from '../../../lab/routing-daemon.js';
import { failures, Traffic } from '../../../lab/traffic-plan.js';
import { skipBecause } from '../../runner/skip.js';
import { RouteMonitor } from './support.js';

describe('cluster: dpvsd, keepalived and FRR on the kernel twins of two directors, three servers behind', () => {
  let cluster: Cluster;
  before(async function () {
    this.timeout(120_000);
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) skipBecause(this, reason);
    cluster = await Cluster.create({
      title: 'cluster with dpvsd',
      dataplane: 'dpvsd',
      bfd: 100,
    });
    await cluster.settled();
  });
  after(async function () {
    this.timeout(30_000);
    await cluster?.close();
  });

  const traffic = () =>
    new Traffic(cluster.client, {
      targets: [{ kind: 'http', url: `http://${cluster.addresses[0]}:${HTTP_PORT}/` }],
      perSecond: 50,
      seconds: 120,
      limit: 5000,
    });
  const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

  it('answers come from all servers, through both directors', async () => {
    const requests = traffic();
    await until('answers of all servers', () => requests.total.byServer.size === 3);
    await pause(1000);
    await requests.stop();
    assert.equal(failures(requests.total), 0, JSON.stringify([...requests.total.errors]));
  });

  it('when the servers stop, quorum is lost and the address is withdrawn; it comes back with them', async () => {
    await Promise.all(cluster.servers.map((server) => server.stop()));
    await cluster.routed([]);
    await Promise.all(cluster.servers.map((server) => server.start()));
    await cluster.routed([1, 2]);
  });

  it('when dpvsd dies its address is withdrawn at once, and announced when it is there again with its services', async () => {
    const [first] = cluster.directors;
    assert.ok(first);
    await pause(1600);
    let withdrawn: number | undefined;
    const monitor = await RouteMonitor.start(first.host, (line) => {
      if (line.startsWith(`Deleted ${cluster.addresses[0]} `)) withdrawn = performance.now();
    });
    const killed = performance.now();
    first.killDpvsd();
    const took = await cluster.routed([2]);
    await until('the withdrawal', () => withdrawn !== undefined);
    await monitor.stop();
    assert.ok((withdrawn ?? 0) - killed < 1000, `withdrawn after ${(withdrawn ?? 0) - killed} ms`);
    // OSPF itself runs over dpvsd: routers notice by BFD, and take a second more for external routes.
    assert.ok(took < 4000, `${took} ms`);
    assert.equal((await first.status()).addresses[0]?.reason, 'dpvsd is down');
    await first.startDpvsd(cluster.addresses);
    await cluster.routed([1, 2]);
    const requests = traffic();
    await pause(1500);
    await requests.stop();
    assert.equal(failures(requests.total), 0, JSON.stringify([...requests.total.errors]));
  });

  it('when master: the director announces that VRRP has chosen, and no other', async () => {
    const [first, second] = cluster.directors;
    assert.ok(first && second);
    const address = cluster.addresses[0];
    const instance = (priority: number) => `vrrp_instance V {
    interface dpdk1.kni
    dpdk_interface dpdk0
    virtual_router_id 7
    priority ${priority}
    version 3
    advert_int 0.3
    virtual_ipaddress {
        ${address}/32
    }
}
`;
    const texts = [first, second].map((one) => readFileSync(one.configuration, 'utf8'));
    for (const [index, one] of [first, second].entries())
      one.reload(
        (text) => text.replace('ospf_bridge {\n', 'ospf_bridge {\n    when master\n') + instance(150 - index),
      );
    await cluster.routed([1]);
    assert.equal((await second.status()).addresses[0]?.reason, 'V is not master');
    await pause(1600);
    await first.keepalived?.stop();
    await cluster.routed([2]);
    first.startKeepalived();
    await cluster.routed([1]);
    const requests = traffic();
    await pause(500);
    await requests.stop();
    assert.equal(failures(requests.total), 0, JSON.stringify([...requests.total.errors]));
    for (const [index, one] of [first, second].entries()) {
      one.reload(() => texts[index] as string);
      // VRRP has taken its address along.
      await until('the address in the dataplane', async () => {
        const env = { DPVS_IPC_FILE: one.ipc };
        await attempt([bin('dpip'), 'addr', 'add', `${address}/32`, 'dev', 'dpdk0'], { env });
        return (await run([bin('dpip'), 'addr', 'show'], { env })).includes(`${address}/32`);
      });
    }
    await cluster.routed([1, 2]);
  });

  it('the death of a whole director costs the requests that were under way there, and no more after that', async () => {
    const [first] = cluster.directors;
    assert.ok(first);
    await pause(1600);
    await first.crash();
    await cluster.routed([2]);
    const requests = traffic();
    await pause(1500);
    await requests.stop();
    assert.equal(failures(requests.total), 0, JSON.stringify([...requests.total.errors]));
  });
});
