import { setTimeout as pause } from 'node:timers/promises';
import { Cluster, type ClusterDirector } from './cluster.js';
import { Interruption } from './interruption.js';
import { whyNoLab } from './needs.js';
import { HTTP_PORT } from './ports.js';
import { removeStaleLabs } from './registry.js';
import { whyNoFrr } from './routing-daemon.js';
import { Traffic } from './traffic-plan.js';
import { showTricks, type Trick } from './tricks.js';

const tricks = (cluster: Cluster, first: ClusterDirector): Trick[] => [
  { key: 'd', does: 'drain the first director', act: () => first.drain() },
  { key: 'u', does: 'undrain it', act: () => first.undrain() },
  {
    key: 'k',
    does: 'kill its dpvsd, and start it again after three seconds',
    act: async () => {
      first.killDpvsd();
      await pause(3000);
      await first.startDpvsd(cluster.addresses);
    },
  },
  {
    key: 's',
    does: 'stop the real servers for three seconds',
    act: async () => {
      await Promise.all(cluster.servers.map((server) => server.stop()));
      await pause(3000);
      await Promise.all(cluster.servers.map((server) => server.start()));
    },
  },
  { key: 'c', does: 'crash it: every process at once, for good', act: () => first.crash() },
];

async function stateOf(cluster: Cluster): Promise<string> {
  const hops = await cluster.nextHops();
  const to = hops.length === 0 ? 'nowhere' : hops.map((n) => `d${n}`).join(' and ');
  return `${cluster.addresses[0]} to ${to}`;
}

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
  const end = new Interruption();
  console.log(
    'lab: building a client, a router with FRR, two directors (dpvsd, keepalived, FRR), three servers',
  );
  const cluster = await Cluster.create({ title: 'cluster', dataplane: 'dpvsd', bfd: 100 });
  try {
    const settled = cluster.settled();
    settled.catch(() => {});
    await Promise.race([settled, end.come]);
    if (end.happened) return 130;
    const traffic = new Traffic(cluster.client, {
      targets: [{ kind: 'http', url: `http://${cluster.addresses[0]}:${HTTP_PORT}/` }],
      perSecond: 50,
      seconds: Number.MAX_SAFE_INTEGER / 1e6,
      limit: 2000,
    });
    const hint = 'In a second terminal: npm run lab -- exec router ip route, or exec d1 ip route';
    const [first] = cluster.directors;
    await showTricks({ tricks: tricks(cluster, first!), hint, traffic, state: () => stateOf(cluster) }, end);
    return 0;
  } finally {
    end.sayEnding();
    await cluster.close();
  }
}
