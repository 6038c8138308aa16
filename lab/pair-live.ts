import { setTimeout as pause } from 'node:timers/promises';
import { Interruption } from './interruption.js';
import { whyNoLab } from './needs.js';
import { PairLab, type PairNode } from './pair.js';
import { removeStaleLabs } from './registry.js';
import { Traffic } from './traffic-plan.js';
import { showTricks, type Trick } from './tricks.js';

/** Nodes that a key has crashed. */
const down = new Set<PairNode>();

/** The active node, then the other. */
async function byRole({ lb1, lb2 }: PairLab): Promise<[PairNode, PairNode]> {
  return (await lb2.active()) ? [lb2, lb1] : [lb1, lb2];
}

const tricks = (lab: PairLab): Trick[] => [
  {
    key: 'c',
    does: 'crash the active node',
    act: async () => {
      const [active] = await byRole(lab);
      down.add(active);
      await active.crash();
    },
  },
  {
    key: 'b',
    does: 'bring the crashed node back',
    act: async () => {
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
    act: async () => {
      const [active] = await byRole(lab);
      await active.killDataplane();
      await pause(3000);
      await active.startDataplane();
    },
  },
  { key: 'v', does: 'kill the active VRRP process', act: async () => (await byRole(lab))[0].killVrrp() },
  {
    key: 'r',
    does: 'both read their keepalived.conf again',
    act: async () => {
      for (const node of lab.nodes) node.reload();
    },
  },
];

async function stateOf(lab: PairLab): Promise<string> {
  const states = lab.nodes.map(async (node) => {
    if (down.has(node)) return `${node.name} crashed`;
    if (!(await node.carrier())) return `${node.name} no dpvsd`;
    return `${node.name} ${(await node.active()) ? 'active' : 'standby'}`;
  });
  return (await Promise.all(states)).join(', ');
}

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
  const end = new Interruption();
  console.log('lab: building a client, two directors and three servers on one network');
  const lab = await PairLab.create();
  try {
    const ready = Promise.all(lab.nodes.map((node) => node.start())).then(() => lab.settled(lab.lb1));
    // After an interruption nobody waits for it any more, and it fails as its nodes go away.
    ready.catch(() => {});
    await Promise.race([ready, end.come]);
    if (end.happened) return 130;
    const traffic = new Traffic(lab.client, {
      targets: lab.targets,
      perSecond: 50,
      seconds: Number.MAX_SAFE_INTEGER / 1e6,
      limit: 500,
    });
    const hint = 'In a second terminal: npm run lab -- exec lb1 bin/ipvsadm -ln';
    await showTricks({ tricks: tricks(lab), hint, traffic, state: () => stateOf(lab) }, end);
    return 0;
  } finally {
    end.sayEnding();
    await lab.close();
  }
}
