import { spawnSync } from 'node:child_process';
import { Cluster, type ClusterOptions } from '../../lab/cluster.js';
import { until } from '../../lab/command.js';
import { whyNoLab } from '../../lab/needs.js';
import { whyNoFrr } from '../../lab/routing-daemon.js';
import { askBridge } from '../../ospf-bridge/control.js';
import type { Bench, Figure } from './bench.js';

/**
 * Routing of virtual addresses, as a Linux router with FRR in front of the directors sees it: milliseconds from the cause to
 * the change in its kernel.
 */
export const ospf: Bench = {
  name: 'ospf',
  about: 'announcing, withdrawing, draining, failure of a director: ms until the router’s kernel has changed',
  async run({ quick }) {
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) throw new Error(reason);
    const rounds = quick ? 3 : 7;
    const figures: Figure[] = [];
    for (const announce of ['external', 'intra_area'] as const) {
      figures.push(...(await changes(announce, rounds)));
      figures.push(await failure(announce, { bfd: 100 }, 'BFD 3x100', quick ? 1 : 3));
      if (!quick) {
        figures.push(await failure(announce, { bfd: 50 }, 'BFD 3x50', 3));
        figures.push(await failure(announce, { minimal: 4 }, 'dead-interval minimal, 4 hellos', 3));
      }
    }
    figures.push(await many(1000, quick ? 2 : 5));
    return figures;
  },
};

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

/** When the router's kernel changes, by `ip monitor`. */
class Changes {
  readonly #monitor;
  #times: number[] = [];

  constructor(cluster: Cluster) {
    this.#monitor = cluster.router.start(['ip', 'monitor', 'route'], (line) => {
      if (/(^|\s)10\.99\./.test(line)) this.#times.push(performance.now());
    });
  }

  /** Runs `cause` and waits until `count` routes have changed. @returns milliseconds until the last of them */
  async after(cause: () => void | Promise<void>, count = 1): Promise<number> {
    this.#times = [];
    const start = performance.now();
    await cause();
    await until(`${count} changes of routes`, () => this.#times.length >= count, { every: 5 });
    return this.#times[count - 1]! - start;
  }

  async stop(): Promise<void> {
    await this.#monitor.stop();
  }
}

function figure(name: string, times: number[]): Figure {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    case: name,
    values: {
      min: Math.round(sorted[0]!),
      median: Math.round(sorted[Math.floor(sorted.length / 2)]!),
      max: Math.round(sorted.at(-1)!),
    },
  };
}

async function withCluster<T>(options: ClusterOptions, work: (cluster: Cluster) => Promise<T>): Promise<T> {
  const cluster = await Cluster.create(options);
  try {
    await cluster.settled();
    return await work(cluster);
  } finally {
    await cluster.close();
  }
}

/** From the address's or route's change on the director; the bridge's own way is measured by the health file. */
async function changes(announce: 'external' | 'intra_area', rounds: number): Promise<Figure[]> {
  console.error(`bench: ospf: ${announce}, changes`);
  return await withCluster({ title: 'bench ospf', announce, bridge: ['damping false'] }, async (cluster) => {
    const [first] = cluster.directors;
    const log: Record<'withdraw' | 'announce' | 'drain' | 'undrain', number[]> = {
      withdraw: [],
      announce: [],
      drain: [],
      undrain: [],
    };
    const watch = new Changes(cluster);
    await pause(500);
    const ask = (command: 'drain' | 'undrain', withdraw: boolean) => async () => {
      const request =
        command === 'drain' ? { command, addresses: [], withdraw } : { command, addresses: [] as string[] };
      await askBridge(first!.socket, request);
    };
    for (let round = 0; round < rounds; round++) {
      await pause(2000);
      log.withdraw.push(await watch.after(ask('drain', true)));
      await pause(2000);
      log.announce.push(await watch.after(ask('undrain', false)));
      await pause(2000);
      log.drain.push(await watch.after(ask('drain', false)));
      await pause(2000);
      log.undrain.push(await watch.after(ask('undrain', false)));
    }
    await watch.stop();
    return Object.entries(log).map(([what, times]) => figure(`${announce}: ${what} one address`, times));
  });
}

async function failure(
  announce: 'external' | 'intra_area',
  detection: Pick<ClusterOptions, 'bfd' | 'minimal'>,
  name: string,
  rounds: number,
): Promise<Figure> {
  console.error(`bench: ospf: ${announce}, crash, ${name}`);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    times.push(
      await withCluster({ title: 'bench ospf', announce, ...detection }, async (cluster) => {
        // BFD of both sides has to be settled at the fast timers.
        await pause(3000);
        const watch = new Changes(cluster);
        await pause(300);
        const took = await watch.after(() => cluster.directors[0]!.crash());
        await watch.stop();
        return took;
      }),
    );
  }
  return figure(`${announce}: crash of a director, ${name}`, times);
}

async function many(count: number, rounds: number): Promise<Figure> {
  console.error(`bench: ospf: ${count} addresses`);
  return await withCluster(
    { title: 'bench ospf', directors: 1, addresses: count, bridge: ['damping false'] },
    async (cluster) => {
      const [first] = cluster.directors;
      const routes = () => {
        const asked = spawnSync('ip', ['-n', cluster.router.namespace, 'route', 'show', 'proto', 'ospf'], {
          encoding: 'utf8',
        });
        return (asked.stdout.match(/^10\.99\./gm) ?? []).length;
      };
      await until('all routes', () => routes() === count, { every: 200 });
      const watch = new Changes(cluster);
      const times: number[] = [];
      for (let round = 0; round < rounds; round++) {
        await pause(2500);
        await askBridge(first!.socket, { command: 'drain', addresses: [], withdraw: true });
        await until('no routes', () => routes() === 0, { every: 200 });
        await pause(2500);
        times.push(
          await watch.after(async () => {
            await askBridge(first!.socket, { command: 'undrain', addresses: [] });
          }, count),
        );
      }
      await watch.stop();
      return figure(`external: announce ${count} addresses`, times);
    },
  );
}
