import { DpvsdError } from '../../dpvsd/client.js';
import type { DpipObject } from './object.js';

/** What DPVS's dpip has and this dataplane does not: name by name, and what it would be about. */
const absent: Record<string, string> = {
  vlan: 'VLAN devices',
  tunnel: 'tunnel devices',
  qsch: 'queueing disciplines',
  cls: 'traffic classes',
  ipv6: 'IPv6 statistics',
  iftraf: 'traffic sampling by flow',
  ipset: 'sets of addresses',
  lldp: 'LLDP',
};

/** Objects that are known, and answered with the plain truth. */
export const absentObjects: DpipObject[] = Object.entries(absent).map(([name, what]) => ({
  name,
  usage: `    dpip ${name}: this dataplane does not have ${what} yet`,
  parse: () => async () => {
    throw new DpvsdError(
      'unsupported',
      `${name}: this dataplane does not have ${what} yet; nothing was changed`,
    );
  },
}));
