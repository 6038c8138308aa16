/** What the director does as host and as router: ping, closed ports, routes, neighbours, MTU. */
import type { Fate, Scene, Step } from '../scene.js';
import {
  type ErrorKind,
  echo,
  filler,
  icmpError,
  listenerQuery,
  mss,
  packet,
  patched,
  ROUTER_ALERT,
  type TcpFields,
  tcp,
  text,
  udp,
} from '../wire.js';
import {
  CLIENT_SIDE,
  dropped,
  type Family,
  MAC,
  MTU,
  SERVER_SIDE,
  toClient,
  toServer,
  type World,
  world,
} from './world.js';

function transit(
  w: World,
  to: string,
  fields: { ttl?: number; df?: boolean; size?: number } = {},
): Uint8Array {
  return packet(
    { from: w.client, to, ttl: fields.ttl ?? 64, df: fields.df ?? true },
    udp({ from: 3000, to: 4000, payload: filler(fields.size ?? 20) }),
  );
}

function error(w: World, from: string, kind: ErrorKind, about: Uint8Array, mtu = 0): Uint8Array {
  const most = (w.family === 4 ? 576 : 1280) - w.header - 8;
  return packet({ from, to: w.client, tos: 0xc0 }, icmpError(kind, about.slice(0, most), mtu));
}

function fromClient(
  name: string,
  says: string,
  bytes: Uint8Array,
  fate: Fate,
  more: Partial<Step> = {},
): Step {
  return { name, says, in: { port: CLIENT_SIDE, bytes }, fate, ...more };
}

/** A switch or router asks which groups somebody listens to: the master answers, with a twin and without. */
function listenerQueryStep(): Step {
  const fields = { from: 'fe80::1', to: 'ff02::1', ttl: 1, extensions: [ROUTER_ALERT] };
  return {
    name: 'listener-query',
    says: 'Who asks for multicast listeners is answered by the master.',
    in: { port: CLIENT_SIDE, bytes: packet(fields, listenerQuery(10_000)), broadcast: true },
    fate: { verdict: 'master' },
  };
}

function hostScene(family: Family): Scene {
  const w = world(family);
  const ping = packet({ from: w.client, to: w.vip, ttl: 3 }, echo('request', 9, 4, filler(1000)));
  const pong = packet({ from: w.vip, to: w.client, ttl: 64 }, echo('reply', 9, 4, filler(1000)));
  const far = packet({ from: w.remote, to: w.own }, echo('request', 9));
  const question = packet({ from: w.client, to: w.own }, udp({ from: 3000, to: 53 }));
  const closed = (fields: Partial<TcpFields>): Uint8Array =>
    packet({ from: w.client, to: w.vip }, tcp({ from: 3000, to: 81, flags: 'S', ...fields }));
  const reset = (fields: Partial<TcpFields>): Uint8Array =>
    packet(
      { from: w.vip, to: w.client },
      tcp({ from: 81, to: 3000, flags: 'R', window: 0, sequence: 0, ...fields }),
    );
  const spoiled = patched(closed({}), w.header + 16, 0x12, 0x34);
  const toGroup = packet({ from: w.client, to: w.vip }, tcp({ from: 3000, to: 82, flags: 'S' }));
  const other = packet({ from: w.client, to: w.nowhere }, udp({ from: 3000, to: 53 }));
  return {
    name: `host-ipv${family}`,
    about: `Packets to addresses of the director itself, IPv${family}, without forwarding.`,
    setup: [...w.ports, ...w.network, 'forwarding off'],
    steps: [
      fromClient(
        'ping',
        'A ping to the virtual address is answered, whatever its TTL was.',
        ping,
        toClient(pong),
      ),
      fromClient('ping-from-afar', 'The reply to a host behind the router goes to the router.', far, {
        verdict: 'forward',
        port: CLIENT_SIDE,
        mac: MAC.router,
        bytes: packet({ from: w.own, to: w.remote }, echo('reply', 9)),
      }),
      fromClient('closed-udp', 'A datagram to a port that nobody has.', question, dropped('no-service'), {
        error: packet({ from: w.own, to: w.client, tos: 0xc0 }, icmpError('port unreachable', question)),
      }),
      fromClient(
        'closed-tcp',
        'A SYN to a port that nobody has: a reset that acknowledges it (RFC 9293 3.10.7.1).',
        closed({}),
        dropped('no-service'),
        { error: reset({ flags: 'RA', acknowledgement: 1001 }) },
      ),
      fromClient(
        'closed-tcp-data',
        'Data without ACK, and a FIN: the reset acknowledges all of it.',
        closed({ flags: 'F', sequence: 0xffff_fffe, payload: filler(5), options: mss(1460) }),
        dropped('no-service'),
        { error: reset({ flags: 'RA', acknowledgement: 4 }) },
      ),
      fromClient(
        'closed-tcp-acknowledged',
        'A segment of a connection that was: the reset takes the sequence number that it acknowledges.',
        closed({ flags: 'AP', acknowledgement: 0x8765_4321, payload: text('hello') }),
        dropped('no-service'),
        { error: reset({ sequence: 0x8765_4321, acknowledgement: 0 }) },
      ),
      fromClient(
        'closed-tcp-reset',
        'A reset is not answered.',
        closed({ flags: 'R' }),
        dropped('no-service'),
      ),
      fromClient('closed-tcp-checksum', 'Nor is what is damaged.', spoiled, dropped('l4-checksum')),
      {
        name: 'closed-tcp-broadcast',
        says: 'Nor what came to all hosts of the link.',
        in: { port: CLIENT_SIDE, bytes: toGroup, broadcast: true },
        fate: dropped('no-service'),
      },
      fromClient('not-forwarding', 'A packet for somebody else.', other, dropped('not-forwarding')),
      ...(family === 6 ? [listenerQueryStep()] : []),
    ],
  };
}

function twinScene(family: Family): Scene {
  const w = world(family);
  const segment = packet({ from: w.client, to: w.own }, tcp({ from: 3000, to: 22, flags: 'S' }));
  const ping = packet({ from: w.client, to: w.own }, echo('request', 9));
  const other = packet({ from: w.client, to: w.nowhere }, udp({ from: 3000, to: 53 }));
  const group = packet(
    { from: w.router, to: family === 4 ? '224.0.0.18' : 'ff02::12', ttl: 255 },
    udp({ from: 1, to: 1, payload: text('hello, group') }),
  );
  const kept = transit(w, w.silent);
  return {
    name: `twin-ipv${family}`,
    about: `A port with a kernel twin, IPv${family}: what the dataplane does not take, the kernel gets.`,
    setup: [
      ...w.ports,
      ...w.network,
      'twin 0',
      `route ${w.silent}/${family === 4 ? 32 : 128} kernel ${SERVER_SIDE}`,
      'forwarding off',
    ],
    steps: [
      fromClient('ssh', 'A segment to an address of ours that no service takes.', segment, {
        verdict: 'kernel',
        port: CLIENT_SIDE,
        bytes: segment,
      }),
      fromClient(
        'ping',
        'Ping is answered here, so that it works without the kernel.',
        ping,
        toClient(packet({ from: w.own, to: w.client }, echo('reply', 9))),
      ),
      fromClient('other', 'A packet for somebody else, while forwarding is off.', other, {
        verdict: 'kernel',
        port: CLIENT_SIDE,
        bytes: other,
      }),
      {
        name: 'multicast',
        says: 'What goes to a group, such as VRRP or OSPF.',
        in: { port: CLIENT_SIDE, bytes: group, broadcast: true },
        fate: { verdict: 'kernel', port: CLIENT_SIDE, bytes: group },
      },
      ...(family === 6 ? [listenerQueryStep()] : []),
      fromClient('kni-host', 'A route of scope kni_host leads to the twin of its port.', kept, {
        verdict: 'kernel',
        port: SERVER_SIDE,
        bytes: kept,
      }),
    ],
  };
}

function routerScene(family: Family): Scene {
  const w = world(family);
  const big = transit(w, w.server, { size: MTU[SERVER_SIDE] - w.header - 8 + 1 });
  const exact = { size: MTU[SERVER_SIDE] - w.header - 8 };
  const dying = transit(w, w.server, { ttl: 1 });
  const lost = transit(w, w.nowhere);
  const aboutError = packet(
    { from: w.client, to: w.nowhere },
    icmpError('port unreachable', transit(w, w.client)),
  );
  const unasked = transit(w, w.silent);
  const steps = [
    fromClient(
      'pass',
      'A packet to the other side: one off its TTL.',
      transit(w, w.server),
      toServer(transit(w, w.server, { ttl: 63 })),
    ),
    fromClient(
      'exact',
      'One that just fits.',
      transit(w, w.server, exact),
      toServer(transit(w, w.server, { ...exact, ttl: 63 })),
    ),
    fromClient('too-big', 'One byte more does not.', big, dropped('too-big'), {
      error: error(w, w.own, 'too big', big, MTU[SERVER_SIDE]),
    }),
    fromClient('ttl', 'The last hop was here: what traceroute lives on.', dying, dropped('ttl-exceeded'), {
      error: error(w, w.own, 'time exceeded', dying),
    }),
    fromClient('no-route', 'No route leads there.', lost, dropped('no-route'), {
      error: error(w, w.own, 'no route', lost),
    }),
    fromClient(
      'no-error-about-an-error',
      'Nor there, but about an error nothing is said.',
      aboutError,
      dropped('no-route'),
    ),
    {
      name: 'no-error-to-all',
      says: 'Nor about what came to a broadcast MAC address.',
      in: { port: CLIENT_SIDE, bytes: lost, broadcast: true },
      fate: dropped('no-route'),
    },
    fromClient(
      'unresolved',
      'A neighbour that has to be asked for first; the packet waits, ready to go.',
      unasked,
      {
        verdict: 'unresolved',
        port: SERVER_SIDE,
        address: w.silent,
        bytes: transit(w, w.silent, { ttl: 63 }),
      },
    ),
  ];
  if (family === 4) {
    const loose = { size: 1450, df: false };
    steps.push(
      fromClient(
        'oversize',
        'Without DF it is not refused: the worker cuts it.',
        transit(w, w.server, loose),
        {
          verdict: 'forward',
          port: SERVER_SIDE,
          mac: MAC.server,
          oversize: true,
          bytes: transit(w, w.server, { ...loose, ttl: 63 }),
        },
      ),
    );
  }
  return {
    name: `router-ipv${family}`,
    about: `The director as router between its ports, IPv${family}.`,
    setup: [...w.ports, ...w.network, 'forwarding on'],
    steps,
  };
}

export function routerScenes(): Scene[] {
  return ([4, 6] as const).flatMap((family) => [hostScene(family), twinScene(family), routerScene(family)]);
}
