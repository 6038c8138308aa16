import { spawnSync } from 'node:child_process';
import { Cluster, type ClusterOptions } from '../../lab/cluster.js';
import { until } from '../../lab/command.js';
import type { Host } from '../../lab/host.js';
import { whyNoLab } from '../../lab/needs.js';
import { whyNoFrr } from '../../lab/routing-daemon.js';
import { askBridge, type ControlReply, type ControlRequest } from '../../ospf-bridge/control.js';
import type { Bench, Figure } from './bench.js';

type Announce = 'external' | 'intra_area';

/**
 * FRR 8.4 without a bridge: the same changes by hand (ip, vtysh, kill), measured before on an idle machine of this kind with two
 * cores; minimum/median/maximum where there are three. What the column beside it adds to these is ours.
 */
const byHand = {
  external: {
    withdraw: '23/23/25',
    drain: '22',
    'dead interval 4 s': '4340',
    'dead interval minimal, 4 hellos': '1825/1896/2005',
    'BFD 3x100': '1235/1241/1277',
    'BFD 3x50': '1150',
    'BFD 3x30': '1100',
    ospfd: '1012',
  },
  intra_area: {
    withdraw: '13/13/15',
    'dead interval minimal, 4 hellos': '815/853/966',
    'BFD 3x100': '251/291/298',
    'BFD 3x50': '130/144/158',
    'BFD 3x30': '76/87/90',
    ospfd: '3 to 12',
  },
  ospf6d: { withdraw: '22 to 25' },
  batch: { 1000: '10, 53', 10000: '143, 322' },
} as const;

/**
 * Routing of virtual addresses, as a Linux router with FRR in front of the directors sees it: milliseconds from the cause to
 * the change in its kernel.
 */
export const ospf: Bench = {
  name: 'ospf',
  about:
    'announcing, withdrawing, draining, failure of a director: ms until the router’s kernel has changed; beside it FRR by hand on an idle machine',
  async run({ quick, only }) {
    const reason = (await whyNoLab()) ?? whyNoFrr();
    if (reason) throw new Error(reason);
    if (only === 'many') return await many(1000, quick ? 2 : 7);
    if (only !== undefined) throw new Error(`there is no part '${only}', only 'many'`);
    const figures: Figure[] = [];
    for (const announce of ['external', 'intra_area'] as const) {
      figures.push(...(await live(announce, quick ? 2 : 7)));
      figures.push(await failure(announce, { bfd: 100 }, 'BFD 3x100', quick ? 1 : 3));
      if (quick) continue;
      figures.push(await failure(announce, { bfd: 50 }, 'BFD 3x50', 3));
      figures.push(await failure(announce, { bfd: 30 }, 'BFD 3x30', 3));
      figures.push(await failure(announce, { minimal: 4 }, 'dead interval minimal, 4 hellos', 3));
    }
    figures.push(await failure('external', {}, 'dead interval 4 s', quick ? 1 : 3));
    if (!quick) figures.push(await ospf6d(5));
    figures.push(...(await many(1000, quick ? 2 : 7)));
    if (!quick) figures.push(...(await many(10_000, 3)));
    return figures;
  },
};

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
/** A second change of an address within the spacing would wait, and its time would be that. */
const spaced = () => pause(1800);

/** When a kernel's routes to virtual addresses change, by `ip monitor`. */
class Changes {
  readonly #monitor;
  #times: number[] = [];

  constructor(host: Host, pattern = /(^|\s)10\.99\./) {
    this.#monitor = host.start(['ip', 'monitor', 'route'], (line) => {
      if (pattern.test(line)) this.#times.push(performance.now());
    });
  }

  /** Runs `cause` and waits until `count` routes have changed. @returns milliseconds until the last of them */
  async after(cause: () => unknown, count = 1): Promise<number> {
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

const median = (times: readonly number[]) => [...times].sort((a, b) => a - b)[Math.floor(times.length / 2)]!;

function figure(name: string, times: number[], hand: string | undefined): Figure {
  const sorted = [...times].sort((a, b) => a - b);
  return {
    case: name,
    values: {
      min: Math.round(sorted[0]!),
      median: Math.round(median(times)),
      max: Math.round(sorted.at(-1)!),
      ...(hand === undefined ? {} : { 'by hand': hand }),
    },
  };
}

async function withCluster<T>(
  options: Omit<ClusterOptions, 'title'>,
  work: (cluster: Cluster) => Promise<T>,
): Promise<T> {
  const cluster = await Cluster.create({ title: 'bench ospf', ...options });
  try {
    await cluster.settled();
    return await work(cluster);
  } finally {
    await cluster.close();
  }
}

async function ask(cluster: Cluster, request: ControlRequest): Promise<ControlReply & { ok: true }> {
  const reply = await askBridge(cluster.directors[0]!.socket, request);
  if (!reply.ok) throw new Error(reply.error);
  return reply;
}

/** From an operator's command; then the routing daemon is killed, while the machine and its BFD live on. */
async function live(announce: Announce, rounds: number): Promise<Figure[]> {
  console.error(`bench: ospf: ${announce}, changes`);
  return await withCluster({ announce, bfd: 100, bridge: ['damping false'] }, async (cluster) => {
    const steps: [string, ControlRequest][] = [
      ['withdraw', { command: 'drain', addresses: [], withdraw: true }],
      ['announce', { command: 'undrain', addresses: [] }],
      ['drain', { command: 'drain', addresses: [], withdraw: false }],
      ['undrain', { command: 'undrain', addresses: [] }],
    ];
    const log = new Map(steps.map(([name]) => [name, [] as number[]]));
    const hand: Partial<Record<string, string>> = byHand[announce];
    const watch = new Changes(cluster.router);
    await pause(500);
    for (let round = 0; round < rounds; round++) {
      for (const [name, request] of steps) {
        await spaced();
        log.get(name)!.push(await watch.after(() => ask(cluster, request)));
      }
    }
    const killed: number[] = [];
    const { daemons } = cluster.directors[0]!;
    for (let round = 0; round < Math.min(rounds, 3); round++) {
      await pause(3000);
      killed.push(await watch.after(() => daemons.kill('ospfd')));
      await daemons.start('ospfd');
      await cluster.settled();
    }
    await watch.stop();
    return [
      ...[...log].map(([name, times]) => figure(`${announce}: ${name} one address`, times, hand[name])),
      figure(`${announce}: ospfd is killed, bfdd lives`, killed, byHand[announce].ospfd),
    ];
  });
}

async function ospf6d(rounds: number): Promise<Figure> {
  console.error('bench: ospf: OSPFv3');
  return await withCluster({ ipv6: true, bridge: ['damping false'] }, async (cluster) => {
    await cluster.routed([1, 2], 30_000, 'fd99::1');
    const watch = new Changes(cluster.router, /fd99::1/);
    const times: number[] = [];
    for (let round = 0; round < rounds; round++) {
      await spaced();
      const request: ControlRequest = { command: 'drain', addresses: ['fd99::1'], withdraw: true };
      times.push(await watch.after(() => ask(cluster, request)));
      await spaced();
      await ask(cluster, { command: 'undrain', addresses: [] });
      await cluster.routed([1, 2], 30_000, 'fd99::1');
    }
    await watch.stop();
    return figure('external, OSPFv3: withdraw one address', times, byHand.ospf6d.withdraw);
  });
}

async function failure(
  announce: Announce,
  detection: Pick<ClusterOptions, 'bfd' | 'minimal'>,
  name: string,
  rounds: number,
): Promise<Figure> {
  console.error(`bench: ospf: ${announce}, crash, ${name}`);
  const times: number[] = [];
  for (let round = 0; round < rounds; round++) {
    times.push(
      await withCluster({ announce, ...detection }, async (cluster) => {
        // BFD of both sides has to be settled at the fast timers.
        await pause(3000);
        const watch = new Changes(cluster.router);
        await pause(300);
        const took = await watch.after(() => cluster.directors[0]!.crash());
        await watch.stop();
        return took;
      }),
    );
  }
  const hand: Partial<Record<string, string>> = byHand[announce];
  return figure(`${announce}: crash of a director, ${name}`, times, hand[name]);
}

/**
 * Many addresses at once: ours from the operator's command, and in the same run the same routes by `ip -batch`, which shows
 * how much of it is FRR's. A watcher of routes costs time itself, so that each kernel is watched in rounds of its own.
 */
async function many(count: number, rounds: number): Promise<Figure[]> {
  console.error(`bench: ospf: ${count} addresses`);
  return await withCluster({ directors: 1, addresses: count, bridge: ['damping false'] }, async (cluster) => {
    const first = cluster.directors[0]!;
    const routes = () => {
      const words = ['-n', cluster.router.namespace, 'route', 'show', 'proto', 'ospf'];
      const asked = spawnSync('ip', words, { encoding: 'utf8', maxBuffer: 1 << 26 });
      return (asked.stdout.match(/^10\.99\./gm) ?? []).length;
    };
    const all = (number: number) =>
      until(`${number} routes`, () => routes() === number, { every: 200, limit: 120_000 });
    const batch = (verb: 'add' | 'del') =>
      first.host.ip(cluster.addresses.map((one) => `route ${verb} ${one}/32 dev lo proto 201 scope link`));
    await all(count);
    const log = {
      own: [] as number[],
      router: [] as number[],
      /** Of the rounds at the router: what the bridge took by its own clock, and what came after it. */
      bridge: [] as number[],
      rest: [] as number[],
      ipOwn: [] as number[],
      ipRouter: [] as number[],
    };
    const rounded = async (
      add: () => unknown,
      remove: () => unknown,
      own: number[],
      router: number[],
      after: (took: number) => unknown = () => {},
    ) => {
      for (let round = 0; round < rounds; round++) {
        for (const [host, times] of [
          [first.host, own],
          [cluster.router, router],
        ] as const) {
          await remove();
          await all(0);
          const watch = new Changes(host);
          await pause(2500);
          const took = await watch.after(add, count);
          times.push(took);
          await all(count);
          await watch.stop();
          if (times === router) await after(took);
          await spaced();
        }
      }
    };
    await rounded(
      () => ask(cluster, { command: 'undrain', addresses: [] }),
      () => ask(cluster, { command: 'drain', addresses: [], withdraw: true }),
      log.own,
      log.router,
      async (took) => {
        const { status } = await ask(cluster, { command: 'status' });
        const batch = status?.lastBatch;
        if (batch?.addresses !== count) throw new Error(`${count} addresses went in more than one batch`);
        log.bridge.push(batch.milliseconds);
        log.rest.push(took - batch.milliseconds);
      },
    );
    await first.keepalived?.stop();
    await batch('add');
    await all(count);
    await rounded(
      () => batch('add'),
      () => batch('del'),
      log.ipOwn,
      log.ipRouter,
    );
    const [hand = '', handRouter = ''] = (count === 1000 ? byHand.batch[1000] : byHand.batch[10_000]).split(
      ', ',
    );
    return [
      figure(`external: announce ${count} addresses, in the director's own kernel`, log.own, hand),
      figure(`external: announce ${count} addresses`, log.router, handRouter),
      figure('of it the bridge: decision until the kernel has the last', log.bridge, undefined),
      figure('of it what follows: FRR on both sides, watching', log.rest, undefined),
      figure(`ip -batch, ${count} routes, in the director's own kernel`, log.ipOwn, hand),
      figure(`ip -batch, ${count} routes`, log.ipRouter, handRouter),
      {
        case: `announce ${count} addresses: ours to ip -batch, of the medians in this run`,
        values: { ratio: (median(log.router) / median(log.ipRouter)).toFixed(2) },
      },
    ];
  });
}
