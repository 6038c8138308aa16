import { strict as assert } from 'node:assert';
import { Cluster, type ClusterOptions } from '../../../lab/cluster.js';
import { whyNoLab } from '../../../lab/needs.js';
import { HTTP_PORT, UDP_PORT } from '../../../lab/ports.js';
import { whyNoFrr } from '../../../lab/routing-daemon.js';
import { type Target, Traffic } from '../../../lab/traffic-plan.js';
import { skipBecause } from '../../runner/skip.js';

/** A cluster for a group of tests. */
export function withCluster(options: ClusterOptions, body: (cluster: () => Cluster) => void): void {
  describe(options.title, () => {
    let cluster: Cluster | undefined;
    before(async function () {
      this.timeout(90_000);
      const reason = (await whyNoLab(options.daemon === 'bird' ? ['bird'] : [])) ?? whyNoFrr();
      if (reason) skipBecause(this, reason);
      cluster = await Cluster.create(options);
      await cluster.settled();
    });
    body(() => {
      assert.ok(cluster);
      return cluster;
    });
    after(async function () {
      this.timeout(30_000);
      await cluster?.close();
    });
  });
}

/** UDP: a datagram and its answer, which any director may give. So a lost packet is told from a connection that moved. */
export function traffic(cluster: Cluster, kind: 'http' | 'udp' = 'udp'): Traffic {
  const address = cluster.addresses[0] as string;
  const target: Target =
    kind === 'http' ? { kind, url: `http://${address}:${HTTP_PORT}/` } : { kind, address, port: UDP_PORT };
  return new Traffic(cluster.client, { targets: [target], perSecond: 100, seconds: 120, limit: 5000 });
}

export const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** Addresses may change once in 1.5 s: tests that change one leave that time to it. */
export const spaced = () => pause(1600);
