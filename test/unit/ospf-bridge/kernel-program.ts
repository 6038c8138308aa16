import { execFileSync } from 'node:child_process';
import { defaultOspfBridge } from '../../../keepalived/model/ospf-bridge.js';
import { addRouteRequest, deleteRouteRequest } from '../../../lib/netlink/route.js';
import { NetlinkSocket } from '../../../lib/netlink/socket.js';
import type { Change, Standing } from '../../../ospf-bridge/announcements.js';
import { Kernel } from '../../../ospf-bridge/kernel.js';

/** Run inside a fresh network namespace: what the bridge does to a kernel that others use too; prints what it saw as JSON. */
const ip = (...words: string[]) => execFileSync('ip', words, { encoding: 'utf8' });
const seen: Record<string, unknown> = {};
const change = (address: string, from: Standing, to: Standing): Change => ({ address, from, to });
const refusals = (refused: Map<string, string>) => Object.fromEntries(refused);
const sorted = (kernel: Kernel) => [...kernel.present()].map((one) => one.join(' ')).sort();

ip('link', 'set', 'lo', 'up');
ip('link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1');
ip('address', 'add', '10.1.0.1/24', 'dev', 'v0');
ip('link', 'set', 'v0', 'up');
ip('link', 'set', 'v1', 'up');
// Somebody else has our protocol number.
ip('route', 'add', '10.9.0.1/32', 'via', '10.1.0.2', 'proto', '201');
ip('route', 'add', '10.9.0.2/32', 'dev', 'v0', 'proto', '201');
ip('route', 'add', '10.9.1.0/24', 'dev', 'lo', 'proto', '201');
const foreign = ip('route', 'show', 'proto', '201');

const external = new Kernel(defaultOspfBridge());
seen.nothing = sorted(external);
external.prepareDrain();
seen.refused = refusals(
  external.apply([
    change('10.9.0.1', 'withdrawn', 'announced'),
    change('10.9.0.3', 'withdrawn', 'announced'),
    change('fd09::3', 'withdrawn', 'announced'),
    change('10.9.0.4', 'withdrawn', 'drained'),
  ]),
);
seen.present = sorted(external);
seen.again = refusals(
  external.apply([change('10.9.0.3', 'announced', 'drained'), change('fd09::3', 'announced', 'drained')]),
);
seen.drained = sorted(external);
// A route of ours that somebody has put elsewhere is not taken away.
ip('route', 'replace', '10.9.0.4/32', 'via', '10.1.0.2', 'proto', '201');
seen.replaced = refusals(external.apply([change('10.9.0.4', 'drained', 'withdrawn')]));
seen.still = ip('route', 'show', '10.9.0.4').trim();
ip('route', 'del', '10.9.0.4/32');
// Another process finds it all, also what is drained.
const other = new Kernel(defaultOspfBridge());
seen.cleared = other.clear();
other.close();
external.close();
seen.untouched = ip('route', 'show', 'proto', '201') === foreign;

const within = new Kernel({ ...defaultOspfBridge(), announce: 'intra_area' });
ip('address', 'add', '10.9.0.5/32', 'dev', 'lo');
within.prepareDrain();
seen.taken = refusals(
  within.apply([
    change('10.9.0.5', 'withdrawn', 'announced'),
    change('10.9.0.6', 'withdrawn', 'announced'),
    change('fd09::6', 'withdrawn', 'announced'),
  ]),
);
within.apply([change('10.9.0.6', 'announced', 'drained')]);
seen.within = sorted(within);
const guard = new Kernel({ ...defaultOspfBridge(), announce: 'intra_area' });
seen.guarded = guard.clear();
guard.close();
seen.left = sorted(within);
seen.own = ip('address', 'show', 'dev', 'lo').includes('10.9.0.5/32');
within.close();

const bird = new Kernel({ ...defaultOspfBridge(), announce: 'intra_area', router: 'bird' });
bird.prepareDrain();
bird.apply([change('10.9.0.7', 'withdrawn', 'announced'), change('fd09::7', 'withdrawn', 'announced')]);
seen.bird = sorted(bird);
bird.apply([change('10.9.0.7', 'announced', 'drained'), change('fd09::7', 'announced', 'drained')]);
seen.birdDrained = sorted(bird);
seen.birdRoutes = ip('route', 'show', 'dev', 'drain0').includes('10.9.0.7');
bird.apply([change('10.9.0.7', 'drained', 'announced'), change('fd09::7', 'drained', 'withdrawn')]);
seen.birdBack = sorted(bird);
bird.clear();
seen.birdLeft = sorted(bird);
bird.close();

const netlink = new NetlinkSocket(undefined, 1);
const missing = Array.from({ length: 128 }, (_, index) =>
  deleteRouteRequest({
    family: 'ipv4',
    type: 'unicast',
    destination: { address: Buffer.from([10, 8, 0, index]), prefixLength: 32 },
    table: 254,
    protocol: 201,
    scope: 255,
  }),
);
// The answers to so many do not fit into the smallest buffer that there is.
try {
  seen.overrun = netlink.batch(missing).filter((error) => error?.code === 'ESRCH').length;
} catch (error) {
  seen.overrun = (error as NodeJS.ErrnoException).code;
}
// The socket is good for what comes next.
const [after] = netlink.batch([
  addRouteRequest({
    family: 'ipv4',
    type: 'unicast',
    destination: { address: Buffer.from([10, 8, 0, 1]), prefixLength: 32 },
    table: 254,
    protocol: 201,
    scope: 253,
    index: 1,
  }),
]);
seen.afterwards = after?.code ?? 'done';
console.log(JSON.stringify(seen));
