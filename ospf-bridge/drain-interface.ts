import { createDummy, createVethPair, IFF_UP, listLinks, setLinkUp } from '../lib/netlink/link.js';
import { NetlinkError, type NetlinkSocket } from '../lib/netlink/socket.js';

/**
 * The device that drained addresses point to, so that a route-map tells them from others by `match interface`. It carries no
 * packet. Made once, and left in place: routes of a crashed bridge may use it.
 * @returns its index @throws NetlinkError when it cannot be made
 */
export function ensureDrainInterface(netlink: NetlinkSocket, name: string): number {
  const find = () => listLinks(netlink).find((link) => link.name === name);
  if (!find()) {
    try {
      createDummy(netlink, name);
    } catch (error) {
      // Kernels without the dummy driver have veth: two ends, the other one goes nowhere.
      if (!(error instanceof NetlinkError) || error.code !== 'EOPNOTSUPP') throw error;
      const peer = `${name.slice(0, 13)}-p`;
      createVethPair(netlink, name, peer);
      setLinkUp(netlink, listLinks(netlink).find((link) => link.name === peer)!.index, true);
    }
  }
  const link = find()!;
  if (!(link.flags & IFF_UP)) setLinkUp(netlink, link.index, true);
  return link.index;
}
