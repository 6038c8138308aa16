import { strict as assert } from 'node:assert';
import { Cluster, type ClusterOptions } from '../../../lab/cluster.js';
import { type Running, until } from '../../../lab/command.js';
import type { Host } from '../../../lab/host.js';
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

/** What the kernel of a host does with its routes from now on. */
export class RouteMonitor {
  readonly #host: Host;
  readonly #running: Running;
  #seen = 0;

  private constructor(host: Host, onLine: (line: string) => void) {
    this.#host = host;
    this.#running = host.start(['ip', 'monitor', 'route'], (line) => {
      if (line.includes(MARK)) this.#seen++;
      else onLine(line);
    });
  }

  /** @param onLine called for each line of `ip monitor route`, which listens when the promise is kept */
  static async start(host: Host, onLine: (line: string) => void): Promise<RouteMonitor> {
    const monitor = new RouteMonitor(host, onLine);
    await monitor.#mark();
    return monitor;
  }

  /** Ends when everything that happened before has been told. */
  async stop(): Promise<void> {
    await this.#mark();
    await this.#running.stop();
  }

  /** The kernel tells of routes in their order: a route of our own marks a point. */
  async #mark(): Promise<void> {
    const before = this.#seen;
    await until('ip monitor', async () => {
      const route = `route {} ${MARK}/32 dev lo table 99`;
      await this.#host.ip(['add', 'del'].map((what) => route.replace('{}', what)));
      return this.#seen > before;
    });
  }
}

/** An address for documentation (RFC 5737), in a table that nobody looks into. */
const MARK = '203.0.113.99';
