import { setTimeout as pause } from 'node:timers/promises';
import { Cluster, type ClusterDirector } from './cluster.js';
import { whyNoLab } from './needs.js';
import { HTTP_PORT } from './ports.js';
import { removeStaleLabs } from './registry.js';
import { whyNoFrr } from './routing-daemon.js';
import { failures, Traffic } from './traffic-plan.js';

/** What a key does to the first director. */
interface Trick {
  key: string;
  does: string;
  act: (cluster: Cluster, first: ClusterDirector) => Promise<unknown>;
}

const tricks: Trick[] = [
  { key: 'd', does: 'drain the first director', act: (_cluster, first) => first.bridge('drain') },
  { key: 'u', does: 'undrain it', act: (_cluster, first) => first.bridge('undrain') },
  {
    key: 'k',
    does: 'kill its dpvsd, and start it again after three seconds',
    act: async (cluster, first) => {
      first.killDpvsd();
      await pause(3000);
      await first.startDpvsd(cluster.addresses);
    },
  },
  {
    key: 's',
    does: 'stop the real servers for three seconds',
    act: async (cluster) => {
      await Promise.all(cluster.servers.map((server) => server.stop()));
      await pause(3000);
      await Promise.all(cluster.servers.map((server) => server.start()));
    },
  },
  { key: 'c', does: 'crash it: every process at once, for good', act: (_cluster, first) => first.crash() },
];

/**
 * `npm run lab -- cluster`: a router with FRR, two directors, three servers, and traffic; each second a line says where the router
 * sends new flows. Runs until Ctrl-C or q. @returns the exit code
 */
export async function runCluster(): Promise<number> {
  const reason = (await whyNoLab()) ?? whyNoFrr();
  if (reason) {
    console.error(`lab: ${reason}`);
    return 1;
  }
  await removeStaleLabs();
  let over = false;
  let ending = () => {};
  const end = new Promise<void>((resolve) => {
    ending = () => {
      over = true;
      resolve();
    };
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ending);
  console.log(
    'lab: building a client, a router with FRR, two directors (dpvsd, keepalived, FRR) and three servers',
  );
  const cluster = await Cluster.create({ title: 'cluster', dataplane: 'dpvsd', bfd: 100 });
  try {
    await Promise.race([cluster.settled(), end]);
    if (!over) await show(cluster, end, ending, () => over);
    return 0;
  } finally {
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
    await cluster.close();
  }
}

async function show(
  cluster: Cluster,
  end: Promise<void>,
  ending: () => void,
  over: () => boolean,
): Promise<void> {
  const [first] = cluster.directors;
  const traffic = new Traffic(cluster.client, {
    targets: [{ kind: 'http', url: `http://${cluster.addresses[0]}:${HTTP_PORT}/` }],
    perSecond: 50,
    seconds: Number.MAX_SAFE_INTEGER / 1e6,
    limit: 2000,
  });
  for (const { key, does } of tricks) console.log(`  ${key}  ${does}`);
  console.log(
    '  q  end\nIn a second terminal: npm run lab -- exec router ip route, npm run lab -- exec d1 ip route',
  );
  process.stdin.setRawMode?.(true);
  process.stdin.setEncoding('utf8').on('data', (keys: string) => {
    for (const key of keys) {
      if (key === 'q' || key === '\x03') return ending();
      const trick = tricks.find((one) => one.key === key);
      if (!trick) continue;
      console.log(`--- ${trick.does}`);
      void trick
        .act(cluster, first!)
        .catch((error: unknown) => console.log(`--- ${(error as Error).message.split('\n')[0]}`));
    }
  });
  let [requests, failed] = [0, 0];
  try {
    while (!over()) {
      await Promise.race([pause(1000), end]);
      const hops = await cluster.nextHops();
      const now = { requests: traffic.total.requests, failed: failures(traffic.total) };
      const to = hops.length === 0 ? 'nowhere' : hops.map((n) => `d${n}`).join(' and ');
      console.log(
        `${cluster.addresses[0]} to ${to.padEnd(10)} ${now.requests - requests} requests, ${now.failed - failed} failed (${now.failed} in all)`,
      );
      [requests, failed] = [now.requests, now.failed];
    }
  } finally {
    await traffic.stop().catch(() => {});
  }
}
