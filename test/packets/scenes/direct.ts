/** DR: the packet goes to the server's MAC address as it is, and the answer does not pass the director. */
import type { Scene } from '../scene.js';
import { echo, filler, icmpError, mss, packet, tcp, text, udp } from '../wire.js';
import {
  CLIENT_PORT,
  CLIENT_SIDE,
  counted,
  dropped,
  ESTABLISHED,
  type Family,
  OPENED,
  toServer,
  VIRTUAL_PORT,
  world,
} from './world.js';

function scene(family: Family): Scene {
  const w = world(family);
  const segment = (
    flags: string,
    ttl: number,
    payload: Uint8Array = new Uint8Array(),
    options: number[] = [],
  ) =>
    packet(
      { from: w.remote, to: w.vip, ttl },
      tcp({ from: CLIENT_PORT, to: VIRTUAL_PORT, flags, payload, options }),
    );
  const datagram = (ttl: number) =>
    packet(
      { from: w.client, to: w.vip, ttl },
      udp({ from: CLIENT_PORT, to: VIRTUAL_PORT, payload: text('direct') }),
    );
  const ping = (ttl: number) => packet({ from: w.client, to: w.vip, ttl }, echo('request', 5));
  const quoted = packet(
    { from: w.vip, to: w.remote, ttl: 60 },
    tcp({ from: VIRTUAL_PORT, to: CLIENT_PORT, flags: 'PA', payload: filler(40) }),
  );
  const tooBig = (ttl: number) =>
    packet({ from: w.router, to: w.vip, ttl }, icmpError('too big', quoted, 1300));
  const reset = segment('R', 64);
  return {
    name: `dr-ipv${family}`,
    about: `Direct routing, IPv${family}: only MAC address and TTL change.`,
    setup: [
      ...w.ports,
      ...w.network,
      `service tcp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${VIRTUAL_PORT} dr`,
      `service udp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${VIRTUAL_PORT} dr`,
      `service ${w.icmp} ${w.vip} 0 rr`,
      `server ${w.server} 0 dr`,
    ],
    steps: [
      {
        name: 'syn',
        says: 'A SYN from behind the router; its MSS is the server’s business.',
        in: { port: CLIENT_SIDE, bytes: segment('S', 57, new Uint8Array(), mss(1460)) },
        fate: toServer(segment('S', 56, new Uint8Array(), mss(1460))),
        counters: counted('in', segment('S', 57, new Uint8Array(), mss(1460)), OPENED),
      },
      {
        name: 'ack',
        says: 'The client’s ACK is all that is seen of the handshake, and enough.',
        in: { port: CLIENT_SIDE, bytes: segment('A', 57) },
        fate: toServer(segment('A', 56)),
        counters: counted('in', segment('A', 57), ESTABLISHED),
      },
      {
        name: 'data',
        says: 'Data.',
        in: { port: CLIENT_SIDE, bytes: segment('PA', 57, filler(501)) },
        fate: toServer(segment('PA', 56, filler(501))),
        counters: counted('in', segment('PA', 57, filler(501))),
      },
      {
        name: 'icmp',
        says: 'What routers say about the server’s answers reaches the server.',
        in: { port: CLIENT_SIDE, bytes: tooBig(64) },
        fate: toServer(tooBig(63)),
        counters: counted('in', tooBig(64)),
      },
      {
        name: 'ttl',
        says: 'The TTL counts here too.',
        in: { port: CLIENT_SIDE, bytes: segment('A', 1) },
        fate: dropped('ttl-exceeded'),
        error: packet({ from: w.own, to: w.remote, tos: 0xc0 }, icmpError('time exceeded', segment('A', 1))),
      },
      {
        name: 'reset',
        says: 'The client gives up.',
        in: { port: CLIENT_SIDE, bytes: reset },
        fate: toServer(segment('R', 63)),
        counters: counted('in', reset, { '1.active': -1, '1.inactive': 1 }),
      },
      {
        name: 'udp',
        says: 'A datagram.',
        in: { port: CLIENT_SIDE, bytes: datagram(64) },
        fate: toServer(datagram(63)),
        counters: {
          '2.in_packets': 1,
          '2.in_bytes': datagram(64).length,
          '2.connections': 1,
          '2.inactive': 1,
        },
      },
      {
        name: 'ping',
        says: 'A ping to the virtual address goes to a server, since there is a virtual server for it.',
        in: { port: CLIENT_SIDE, bytes: ping(64) },
        fate: toServer(ping(63)),
        counters: { '3.in_packets': 1, '3.in_bytes': ping(64).length, '3.connections': 1, '3.inactive': 1 },
      },
    ],
  };
}

export function directScenes(): Scene[] {
  return ([4, 6] as const).map(scene);
}
