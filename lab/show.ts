import type { Lab } from './lab.js';
import type { Counter, Snapshot } from './statistics.js';
import { table } from './table.js';
import { failures, type Traffic } from './traffic-plan.js';

/** Address text to the hex digits of its bytes, as statistics name servers. Any spelling that the lab's plan uses. */
export function addressHex(address: string): string {
  if (!address.includes(':'))
    return address
      .split('.')
      .map((part) => Number(part).toString(16).padStart(2, '0'))
      .join('');
  const [head = '', tail] = address.split('::');
  const groups = (text: string | undefined) => (text ? text.split(':') : []);
  const [left, right] = [groups(head), groups(tail)];
  const zeros = Array.from({ length: 8 - left.length - right.length }, () => '0');
  return [...left, ...(tail === undefined ? [] : zeros), ...right]
    .map((group) => group.padStart(4, '0'))
    .join('');
}

/** The live table: what clients got from each server, what dpvsd counted for it, and what was dropped why. */
export function statusText(lab: Lab, traffic: Traffic, snapshot: Snapshot | undefined): string {
  const rows: (string | number)[][] = [
    [
      'server',
      'health',
      'requests',
      'http served',
      'errors',
      'connections',
      'active',
      'packets in',
      'packets out',
    ],
  ];
  for (const server of lab.servers) {
    const addresses = [addressHex(server.address.v4), addressHex(server.address.v6)];
    const counts = snapshot?.servers.filter(({ address }) => addresses.includes(address)) ?? [];
    const sum = (pick: (count: (typeof counts)[number]) => number) =>
      counts.reduce((total, count) => total + pick(count), 0);
    const served = server.served();
    rows.push([
      server.name,
      healthText(counts.filter(({ weight }) => weight > 0).length, snapshot?.services ?? 0),
      traffic.total.byServer.get(server.name) ?? 0,
      served.requests,
      served.errors,
      sum((count) => count.connections),
      sum((count) => count.active),
      sum((count) => count.inPackets),
      sum((count) => count.outPackets),
    ]);
  }
  const lines = [table(rows), ''];
  lines.push(`requests: ${traffic.total.requests}, failed: ${failures(traffic.total)}`);
  for (const [error, count] of traffic.total.errors) lines.push(`  ${count} x ${error}`);
  if (snapshot) lines.push(countersText(snapshot.counters));
  else lines.push('dpvsd does not answer');
  return lines.join('\n');
}

/**
 * Where a server is in: `up` in all virtual servers, `down` in none, else how many.
 * @param within virtual servers that give it new connections
 */
export function healthText(within: number, services: number): string {
  if (services === 0) return '-';
  if (within === 0) return 'down';
  return within === services ? 'up' : `${within} of ${services}`;
}

/** Packets by what became of them, drops by reason. */
function countersText(counters: readonly Counter[]): string {
  const totals = counters.filter(({ name }) => !name.startsWith('drop.') && !name.includes('.'));
  const drops = counters.filter(({ name, value }) => name.startsWith('drop.') && value > 0);
  const lines = [`packets:  ${totals.map(({ name, value }) => `${name} ${value}`).join('  ')}`];
  if (drops.length === 0) lines.push('dropped:  none');
  for (const { name, value, help } of drops) lines.push(`dropped:  ${value} ${name.slice(5)} (${help})`);
  return lines.join('\n');
}

/** What to try in a second terminal while the lab runs. */
export function hints(lab: Lab): string {
  const { plan } = lab;
  const vip = plan.virtual;
  return `Try in a second terminal (hosts: ${Object.keys(lab.record.namespaces).join(' ')}):
  npm run lab -- exec client curl -s http://${vip.v4}/
  npm run lab -- exec client curl -s 'http://[${vip.v6}]/'
${
  lab.keepalived
    ? `  npm run lab -- stop rs2                                                              (its programs end: the health checks take it out)
  npm run lab -- start rs2
  npm run lab -- reload                                                                (after a change in ${lab.keepalived.file})
`
    : ''
}  npm run lab -- exec client ping -c 3 ${vip.v4}
  npm run lab -- exec client traceroute -n ${vip.v4}
  npm run lab -- exec director bin/ipvsadm -ln --stats
  npm run lab -- exec director bin/ipvsadm -lnc
  npm run lab -- exec director bin/dpip -s link show
  npm run lab -- exec director bin/dpip neigh show
  npm run lab -- exec director bin/ipvsadm -e -t ${vip.v4}:80 -r ${plan.servers[0]?.v4}:80 -b -w 0    (drains rs1)
  npm run lab -- exec rs2 ip link set eth0 down                                        (a cable pulled)
`;
}
