import { formatIp, parseIp } from '../../lib/ip.js';
import type { AwaitedService } from '../model/index.js';
import type { VirtualServer } from '../model/virtual-server.js';
import type { VrrpInstance } from '../model/vrrp.js';

/** So many of them are looked for; the health checker puts in all of them by one batch. */
const MOST = 8;

/** What of the model matters for it. */
interface Source {
  vrrp: {
    instances: readonly Pick<VrrpInstance, 'dpdkInterface' | 'virtualAddresses' | 'excludedAddresses'>[];
  };
  loadBalancing: { virtualServers: readonly Pick<VirtualServer, 'target' | 'protocol' | 'haSuspend'>[] };
}

/**
 * Virtual servers at addresses that instances move within the dataplane: an instance takes its addresses over when these are in place. Not
 * those that wait for their address themselves (ha_suspend), nor groups and marks.
 */
export function awaitedServices({ vrrp, loadBalancing }: Source): AwaitedService[] {
  const moving = new Set(
    vrrp.instances
      .filter(({ dpdkInterface }) => dpdkInterface !== undefined)
      .flatMap(({ virtualAddresses, excludedAddresses }) => [...virtualAddresses, ...excludedAddresses])
      .map(({ address }) => formatIp(parseIp(address))),
  );
  if (moving.size === 0) return [];
  return loadBalancing.virtualServers
    .flatMap(({ target, protocol, haSuspend }) => {
      if (target.kind !== 'address' || haSuspend) return [];
      const address = formatIp(parseIp(target.address));
      return moving.has(address) ? [{ protocol, address, port: target.port }] : [];
    })
    .slice(-MOST);
}
