/** Packets that are wrong, each in one way, towards a virtual server that would take them if they were right. */
import type { Scene, Step } from '../scene.js';
import {
  echo,
  filler,
  listenerQuery,
  packet,
  patched,
  patchedHeader,
  solicitation,
  tcp,
  text,
  udp,
} from '../wire.js';
import { CLIENT_PORT, CLIENT_SIDE, dropped, SERVER_PORT, VIRTUAL_PORT, world } from './world.js';

function step(
  name: string,
  says: string,
  bytes: Uint8Array,
  reason: string,
  more: Partial<Step['in']> = {},
): Step {
  return { name, says, in: { port: CLIENT_SIDE, bytes, ...more }, fate: dropped(reason) };
}

const TO_SERVICE = { from: CLIENT_PORT, to: VIRTUAL_PORT };

function ipv4(): Scene {
  const w = world(4);
  const path = { from: w.client, to: w.vip };
  const syn = packet(path, tcp({ ...TO_SERVICE, flags: 'S' }));
  const datagram = packet(path, udp(TO_SERVICE));
  return {
    name: 'malformed-ipv4',
    about: 'IPv4 packets with one fault each.',
    setup: [
      ...w.ports,
      ...w.network,
      `service tcp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${SERVER_PORT} nat`,
      `service udp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${SERVER_PORT} nat`,
    ],
    steps: [
      step('short', '19 bytes are no IPv4 header.', syn.slice(0, 19), 'short-frame'),
      step('empty', 'Nor is nothing.', new Uint8Array(), 'short-frame', { family: 4 }),
      step('version', 'Version 5.', patchedHeader(syn, 0, 0x55), 'ip-header', { family: 4 }),
      step('header-length', 'A header of 16 bytes.', patched(syn, 0, 0x44), 'ip-header'),
      step('header-beyond', 'A header of 60 bytes in a packet of 40.', patched(syn, 0, 0x4f), 'ip-header'),
      step('total-short', 'A total length within the header.', patchedHeader(syn, 2, 0, 19), 'ip-header'),
      step('total-long', 'A total length beyond the frame.', patchedHeader(syn, 2, 0, 41), 'ip-header'),
      step('checksum', 'A wrong header checksum.', patched(syn, 8, 63), 'ip-checksum'),
      step('source-group', 'From a multicast address.', patchedHeader(syn, 12, 224), 'ip-source'),
      step(
        'source-all',
        'From the broadcast address.',
        patchedHeader(syn, 12, 255, 255, 255, 255),
        'ip-source',
      ),
      step('source-none', 'From 0.0.0.0.', patchedHeader(syn, 12, 0, 0, 0, 0), 'ip-source'),
      step('source-loopback', 'From 127.0.0.1.', patchedHeader(syn, 12, 127, 0, 0, 1), 'ip-source'),
      step(
        'loose-route',
        'With a loose source route.',
        packet({ ...path, options: [131, 7, 4, 10, 1, 0, 1, 0] }, tcp({ ...TO_SERVICE, flags: 'S' })),
        'ip-option',
      ),
      step(
        'strict-route',
        'With a strict source route behind a no-operation.',
        packet({ ...path, options: [1, 137, 7, 4, 10, 1, 0, 1] }, tcp({ ...TO_SERVICE, flags: 'S' })),
        'ip-option',
      ),
      step(
        'option-length',
        'With an option longer than the header.',
        packet({ ...path, options: [68, 40, 5, 0] }, tcp({ ...TO_SERVICE, flags: 'S' })),
        'ip-option',
      ),
      step('tcp-cut', 'A TCP header cut short.', patchedHeader(syn.slice(0, 39), 2, 0, 39), 'l4-header'),
      step('tcp-offset', 'A TCP header of 16 bytes.', patched(syn, 32, 0x40), 'l4-header'),
      step('tcp-beyond', 'A TCP header longer than the packet.', patched(syn, 32, 0xf0), 'l4-header'),
      step('udp-cut', 'A UDP header cut short.', patchedHeader(datagram.slice(0, 27), 2, 0, 27), 'l4-header'),
      step('udp-short', 'A UDP length of 7.', patched(datagram, 24, 0, 7), 'l4-header'),
      step('udp-long', 'A UDP length beyond the packet.', patched(datagram, 24, 0, 200), 'l4-header'),
      step(
        'icmp-cut',
        'An ICMP header cut short.',
        patchedHeader(packet(path, echo('request', 1)).slice(0, 27), 2, 0, 27),
        'l4-header',
      ),
      {
        name: 'first-fragment',
        says: 'A fragment is put together before anything is decided.',
        in: {
          port: CLIENT_SIDE,
          bytes: packet(
            { ...path, fragment: { offset: 0, more: true } },
            udp({ ...TO_SERVICE, payload: filler(64) }),
          ),
        },
        fate: { verdict: 'reassemble' },
      },
      {
        name: 'later-fragment',
        says: 'A later one too, whatever its bytes look like.',
        in: {
          port: CLIENT_SIDE,
          bytes: packet(
            { ...path, fragment: { offset: 1480, more: false } },
            udp({ ...TO_SERVICE, payload: text('x') }),
          ),
        },
        fate: { verdict: 'reassemble' },
      },
    ],
  };
}

function ipv6(): Scene {
  const w = world(6);
  const path = { from: w.client, to: w.vip };
  const syn = packet(path, tcp({ ...TO_SERVICE, flags: 'S' }));
  const behind = (extensions: { type: number; bytes: number[] }[]) =>
    packet({ ...path, extensions }, tcp({ ...TO_SERVICE, flags: 'S' }));
  const seen = (extensions: { type: number; bytes: number[] }[]) =>
    packet(
      { from: w.client, to: w.server, ttl: 63, extensions },
      tcp({ from: CLIENT_PORT, to: SERVER_PORT, flags: 'S' }),
    );
  const options = [{ type: 60, bytes: [0, 0, 1, 4, 0, 0, 0, 0] }];
  return {
    name: 'malformed-ipv6',
    about: 'IPv6 packets with one fault each, and one that only looks unusual.',
    setup: [
      ...w.ports,
      ...w.network,
      `service tcp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${SERVER_PORT} nat`,
    ],
    steps: [
      step('short', '39 bytes are no IPv6 header.', syn.slice(0, 39), 'short-frame'),
      step('version', 'Version 7.', patched(syn, 0, 0x70), 'ip-header', { family: 6 }),
      step('payload-long', 'A payload length beyond the frame.', patched(syn, 4, 0, 21), 'ip-header'),
      step('source-group', 'From a multicast address.', patched(syn, 8, 0xff, 0x02), 'ip-source'),
      step(
        'source-none',
        'From the unspecified address.',
        patched(syn, 8, ...new Array(16).fill(0)),
        'ip-source',
      ),
      step(
        'routing-0',
        'With a routing header of type 0 (RFC 5095).',
        behind([{ type: 43, bytes: [0, 2, 0, 1, 0, 0, 0, 0, ...new Array(16).fill(1)] }]),
        'ip-option',
      ),
      step(
        'extension-beyond',
        'With an extension header longer than the packet.',
        behind([{ type: 60, bytes: [0, 30, 1, 4, 0, 0, 0, 0] }]),
        'ip-header',
      ),
      step(
        'too-many-extensions',
        'With twenty extension headers.',
        behind(new Array(20).fill({ type: 60, bytes: [0, 0, 1, 4, 0, 0, 0, 0] })),
        'ip-header',
      ),
      step('tcp-offset', 'A TCP header of 16 bytes.', patched(syn, 52, 0x40), 'l4-header'),
      step(
        'solicitation-from-afar',
        'A neighbour solicitation that a router has passed on (RFC 4861 7.1.1).',
        packet({ ...path, ttl: 254 }, solicitation(w.vip)),
        'l4-header',
      ),
      step(
        'query-from-afar',
        'A query for multicast listeners that does not come from a link-local address (RFC 3810 6.2).',
        packet({ ...path, ttl: 1 }, listenerQuery(10_000)),
        'l4-header',
      ),
      {
        name: 'solicitation',
        says: 'One from the link.',
        in: { port: CLIENT_SIDE, bytes: packet({ ...path, ttl: 255 }, solicitation(w.vip)) },
        fate: { verdict: 'master' },
      },
      {
        name: 'fragment',
        says: 'A fragment is put together before anything is decided.',
        in: {
          port: CLIENT_SIDE,
          bytes: packet(
            { ...path, fragment: { offset: 0, more: true } },
            udp({ ...TO_SERVICE, payload: filler(64) }),
          ),
        },
        fate: { verdict: 'reassemble' },
      },
      {
        name: 'destination-options',
        says: 'Destination options are passed over and stay.',
        in: { port: CLIENT_SIDE, bytes: behind(options) },
        fate: { verdict: 'forward', port: 1, mac: '02:00:00:00:02:01', bytes: seen(options) },
        counters: {
          '1.in_packets': 1,
          '1.in_bytes': behind(options).length,
          '1.connections': 1,
          '1.inactive': 1,
        },
      },
    ],
  };
}

export function malformedScenes(): Scene[] {
  return [ipv4(), ipv6()];
}
