import { until } from '../../lab/command.js';
import { onLab, type Stage } from './support.js';

/** The solicited-node group of an address that is written with all of its last two parts (RFC 4291 2.7.1). */
function groupOf(address: string): string {
  const [high = '', low = ''] = address.split(':').slice(-2);
  const bits = ((Number.parseInt(high || '0', 16) & 0xff) << 16) | Number.parseInt(low || '0', 16);
  return `ff02::1:ff${(bits >> 16).toString(16).padStart(2, '0')}:${(bits & 0xffff).toString(16)}`;
}

/** Groups that the switch sends to the director's port. */
async function groups(stage: Stage): Promise<string[]> {
  const text = await stage.lab.network.router.run(['bridge', 'mdb', 'show', 'dev', 'outer']);
  return [...text.matchAll(/port dir0 grp (\S+)/g)].map(([, group]) => group ?? '');
}

async function untilSwitch(stage: Stage, has: boolean, address: string): Promise<void> {
  const group = groupOf(address);
  let known: string[] = [];
  await until(`the switch ${has ? 'to send' : 'not to send'} ${group}`, async () => {
    known = await groups(stage);
    return known.includes(group) === has;
  });
}

onLab(
  { title: 'a switch that snoops', servers: 1, services: false, programs: ['bridge', 'ping'] },
  (stage) => {
    for (const version of [1, 2]) {
      stage.it(`sends neighbour solicitations on, since it hears MLDv${version} reports`, async () => {
        const { director, plan } = stage.lab;
        const { router } = stage.lab.network;
        const added = `fd00:100::${version}ab:cde${version}`;
        const querier = ['mcast_querier', '1', 'mcast_mld_version', String(version)];
        const quick = ['mcast_query_response_interval', '100', 'mcast_startup_query_interval', '100'];
        await router.run(['ip', 'link', 'set', 'outer', 'type', 'bridge', ...querier, ...quick]);
        // Off and on: it forgets, and asks.
        for (const snooping of ['0', '1'])
          await router.run(['ip', 'link', 'set', 'outer', 'type', 'bridge', 'mcast_snooping', snooping]);
        await untilSwitch(stage, true, plan.virtual.v6);
        await untilSwitch(stage, true, plan.outerDirector.v6);
        await director.dpip(['addr', 'add', `${added}/64`, 'dev', plan.outerDevice]);
        await untilSwitch(stage, true, added);
        await router.run(['ip', '-6', 'neigh', 'flush', 'dev', 'outer']);
        for (const address of [added, plan.virtual.v6])
          await router.run(['ping', '-6', '-c', '1', '-W', '10', address]);
        await director.dpip(['addr', 'del', `${added}/64`, 'dev', plan.outerDevice]);
        await untilSwitch(stage, false, added);
        await untilSwitch(stage, true, plan.virtual.v6);
      });
    }
  },
);
