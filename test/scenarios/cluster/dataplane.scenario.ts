import { strict as assert } from 'node:assert';
import { Cluster } from '../../../lab/cluster.js';
import { until } from '../../../lab/command.js';
import { whyNoLab } from '../../../lab/needs.js';
import { HTTP_PORT } from '../../../lab/ports.js';
import { whyNoFrr } from '../../../lab/routing-daemon.js';
import { failures, Traffic } from '../../../lab/traffic-plan.js';
import { skipBecause } from '../../runner/skip.js';

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
    first.killDpvsd();
    const took = await cluster.routed([2]);
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
