import type { Lab } from './lab.js';
import { wrapped } from './screen.js';
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
export function statusLines(
  lab: Lab,
  traffic: Traffic,
  snapshot: Snapshot | undefined,
  columns: number,
): string[] {
  const rows: (string | number)[][] = [
    ['server', 'health', 'requests', 'served', 'errors', 'conns', 'active', 'pkts in', 'pkts out'],
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
  const lines = [...table(rows).split('\n'), ''];
  lines.push(`requests: ${traffic.total.requests}, failed: ${failures(traffic.total)}`);
  for (const [error, count] of traffic.total.errors) lines.push(`  ${count} x ${error}`);
  if (snapshot) lines.push(...counterLines(snapshot.counters, columns));
  else lines.push('dpvsd does not answer');
  return lines;
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
function counterLines(counters: readonly Counter[], columns: number): string[] {
  const totals = counters.filter(({ name }) => !name.startsWith('drop.') && !name.includes('.'));
  const drops = counters.filter(({ name, value }) => name.startsWith('drop.') && value > 0);
  const indent = ' '.repeat(10);
  const words = totals.map(({ name, value }) => `${name} ${value}`);
  const lines = wrapped(words, '  ', columns - indent.length, '').map(
    (line, n) => (n === 0 ? 'packets:  ' : indent) + line,
  );
  if (drops.length === 0) lines.push('dropped:  none');
  for (const { name, value, help } of drops) lines.push(`dropped:  ${value} ${name.slice(5)} (${help})`);
  return lines;
}

/** What to try in a second terminal while the lab runs. A command that does not fit into a line is left out, so is its comment. */
export function hintLines(lab: Lab, columns: number): string[] {
  const { plan } = lab;
  const vip = plan.virtual;
  const server = plan.servers[0]?.v4;
  const checks = lab.keepalived !== undefined;
  const commands: [string, string?][] = [
    [`exec client curl -s http://${vip.v4}/`],
    [`exec client curl -s 'http://[${vip.v6}]/'`],
    [`exec client traceroute -n ${vip.v4}`],
    ['exec director bin/ipvsadm -ln --stats'],
    ['exec director bin/dpip -s link show'],
    ...(checks ? [['stop rs2', 'the checks take it out'] as [string, string]] : []),
    ...(checks ? [['start rs2', 'and it comes back'] as [string, string]] : []),
    [`exec director bin/ipvsadm -e -t ${vip.v4}:80 -r ${server}:80 -w 0`, 'drains rs1'],
    ['exec rs2 ip link set eth0 down', 'a cable pulled'],
    ['exec director bin/ipvsadm -lnc'],
    ...(checks ? [['reload', `after a change in ${lab.keepalived?.file}`] as [string, string]] : []),
  ];
  const lines = [`Try in a second terminal (hosts: ${Object.keys(lab.record.namespaces).join(' ')}):`];
  for (const [command, comment] of commands) {
    const line = `  npm run lab -- ${command}`;
    const whole = comment ? `${line.padEnd(48)}  ${comment}` : line;
    if (whole.length <= columns) lines.push(whole);
    else if (line.length <= columns) lines.push(line);
  }
  return lines;
}
