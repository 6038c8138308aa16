import { whyNoLab } from './needs.js';
import { PairLab, type PairNode } from './pair.js';
import { removeStaleLabs } from './registry.js';
import { failures, Traffic } from './traffic-plan.js';

/** What a key does. */
interface Trick {
  key: string;
  does: string;
  act: (lab: PairLab, active: PairNode, standby: PairNode) => Promise<void>;
}

const down = new Set<PairNode>();

function reloadAll(lab: PairLab): void {
  for (const node of lab.nodes) node.reload();
}

const tricks: Trick[] = [
  {
    key: 'c',
    does: 'crash the active node',
    act: async (_lab, active) => {
      down.add(active);
      await active.crash();
    },
  },
  {
    key: 'b',
    does: 'bring the crashed node back',
    act: async (lab) => {
      for (const node of lab.nodes) {
        if (!down.delete(node)) continue;
        await node.cable(true);
        await node.start();
      }
    },
  },
  {
    key: 'd',
    does: 'kill the active dataplane, and start it again after three seconds',
    act: async (_lab, active) => {
      await active.killDataplane();
      await new Promise((resolve) => setTimeout(resolve, 3000));
      await active.startDataplane();
    },
  },
  { key: 'v', does: 'kill the active VRRP process', act: async (_lab, active) => active.killVrrp() },
  { key: 'r', does: 'reload both', act: async (lab) => reloadAll(lab) },
];

/**
 * `npm run lab -- pair`: two directors and traffic; each second a line says who is active and what failed, keys break things.
 * Runs until Ctrl-C or q. @returns the exit code
 */
export async function runPair(): Promise<number> {
  const reason = await whyNoLab(['pgrep']);
  if (reason) {
    console.error(`lab: ${reason}`);
    return 1;
  }
  await removeStaleLabs();
  console.log('lab: building a client, two directors and three servers on one network');
  const lab = await PairLab.create();
  let ending = () => {};
  let over = false;
  const end = new Promise<void>((resolve) => {
    ending = () => {
      over = true;
      resolve();
    };
  });
  for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) process.on(signal, ending);
  try {
    const ready = Promise.all(lab.nodes.map((node) => node.start())).then(() => lab.settled(lab.lb1));
    ready.catch(() => {});
    await Promise.race([ready, end]);
    if (!over) await show(lab, end, ending, () => over);
    return 0;
  } finally {
    process.stdin.setRawMode?.(false);
    process.stdin.pause();
    await lab.close();
  }
}

async function show(
  lab: PairLab,
  end: Promise<void>,
  ending: () => void,
  over: () => boolean,
): Promise<void> {
  const traffic = new Traffic(lab.client, {
    targets: lab.targets,
    perSecond: 50,
    seconds: Number.MAX_SAFE_INTEGER / 1e6,
    limit: 500,
  });
  for (const { key, does } of tricks) console.log(`  ${key}  ${does}`);
  console.log('  q  end\nIn a second terminal: npm run lab -- exec lb1 bin/ipvsadm -ln');

  const activeNode = async () => ((await lab.lb2.active()) ? lab.lb2 : lab.lb1);
  process.stdin.setRawMode?.(true);
  process.stdin.setEncoding('utf8').on('data', (keys: string) => {
    for (const key of keys) {
      if (key === 'q' || key === '\x03') return ending();
      const trick = tricks.find((one) => one.key === key);
      if (!trick) continue;
      console.log(`--- ${trick.does}`);
      void activeNode()
        .then((active) => trick.act(lab, active, active === lab.lb1 ? lab.lb2 : lab.lb1))
        .catch((error: unknown) => console.log(`--- ${(error as Error).message.split('\n')[0]}`));
    }
  });

  let [requests, failed] = [0, 0];
  try {
    while (!over()) {
      await Promise.race([new Promise((resolve) => setTimeout(resolve, 1000)), end]);
      const states = await Promise.all(
        lab.nodes.map(async (node) => {
          if (down.has(node)) return `${node.name} crashed`;
          if (!(await node.carrier())) return `${node.name} without dataplane`;
          return `${node.name} ${(await node.active()) ? 'active' : 'standby'}`;
        }),
      );
      const now = { requests: traffic.total.requests, failed: failures(traffic.total) };
      console.log(
        `${states.join(', ').padEnd(44)} ${now.requests - requests} requests, ${now.failed - failed} failed (${now.failed} in all)`,
      );
      [requests, failed] = [now.requests, now.failed];
    }
  } finally {
    await traffic.stop().catch(() => {});
  }
}
