import { formatIp, parseIp } from '../../../../lib/ip.js';
import {
  addAddressRequest,
  decodeAddress,
  deleteAddressRequest,
  type InterfaceAddress,
  listAddresses,
  RTMGRP_IPV4_IFADDR,
} from '../../../../lib/netlink/address.js';
import {
  createMacvlan,
  decodeLink,
  IFF_UP,
  listLinks,
  RTMGRP_LINK,
  setLinkUp,
} from '../../../../lib/netlink/link.js';
import { NetlinkError, NetlinkMonitor, NetlinkSocket } from '../../../../lib/netlink/socket.js';

/** Run inside a fresh network namespace: uses rtnetlink on its links and prints what it saw as JSON. */
const { execFileSync } = await import('node:child_process');
execFileSync('ip', ['link', 'add', 'v0', 'type', 'veth', 'peer', 'name', 'v1']);
const netlink = new NetlinkSocket();
const link = listLinks(netlink).find(({ name }) => name === 'v0')!;
setLinkUp(netlink, link.index, true);

const addresses: InterfaceAddress[] = Array.from({ length: 1000 }, (_, i) => ({
  index: link.index,
  address: parseIp(`10.7.${i >> 8}.${i & 255}`),
  prefixLength: 32,
  protocol: 18,
}));
const start = performance.now();
const errors = netlink.batch(addresses.map((one) => addAddressRequest(one)));
const milliseconds = performance.now() - start;
// What iproute2 needs for the same on this machine at this moment.
const batch = addresses.map((_, i) => `addr add 10.8.${i >> 8}.${i & 255}/32 dev v1`).join('\n');
const startBatch = performance.now();
execFileSync('ip', ['-batch', '-'], { input: batch });
const yardstick = performance.now() - startBatch;
const present = listAddresses(netlink).filter(
  (address) => address.index === link.index && address.address.length === 4,
);
const [twice] = netlink.batch([addAddressRequest(addresses[0]!)]);
netlink.batch(addresses.map(deleteAddressRequest));
const [missing] = netlink.batch([deleteAddressRequest(addresses[0]!)]);
const left = listAddresses(netlink).filter(
  (address) => address.index === link.index && address.address.length === 4,
);

createMacvlan(netlink, { name: 'mv0', lower: link.index, mac: Buffer.from('00005e000133', 'hex') });
const macvlan = listLinks(netlink).find(({ name }) => name === 'mv0')!;
const monitor = new NetlinkMonitor(RTMGRP_LINK | RTMGRP_IPV4_IFADDR);
setLinkUp(netlink, macvlan.index, true);
netlink.request(addAddressRequest({ index: macvlan.index, address: parseIp('192.0.2.1'), prefixLength: 32 }));
const events = new Set<string>();
monitor.read((message) => {
  const changed = decodeLink(message);
  if (changed?.name === 'mv0' && changed.flags & IFF_UP) events.add('link mv0 up');
  const address = decodeAddress(message);
  if (address) events.add(`address ${formatIp(address.address)}`);
});

console.log(
  JSON.stringify({
    added: present.length,
    marked: present.filter(({ protocol }) => protocol === 18).length,
    failed: errors.filter((error) => error !== undefined).length,
    milliseconds,
    yardstick,
    twice: twice?.code,
    missing: missing instanceof NetlinkError ? missing.code : undefined,
    left: left.length,
    macvlan: macvlan.mac.toString('hex').replace(/(..)(?=.)/g, '$1:'),
    events: [...events],
  }),
);
