/** FullNAT and NAT: both directions pass through the director, and both sides are rewritten. */
import type { Scene, Step } from '../scene.js';
import { echo, filler, icmpError, mss, packet, sum, type TcpFields, tcp, text, udp } from '../wire.js';
import {
  CLIENT_PORT,
  CLIENT_SIDE,
  counted,
  dropped,
  ESTABLISHED,
  type Family,
  INACTIVE,
  LOCAL_PORT,
  MTU,
  OPENED,
  SERVER_PORT,
  SERVER_SIDE,
  toClient,
  toServer,
  VIRTUAL_PORT,
  type World,
  world,
} from './world.js';

type Mode = 'fullnat' | 'nat';

/** Source of what the server sees. */
interface Side {
  address: string;
  port: number;
}

function farSide(mode: Mode, w: World): Side {
  return mode === 'fullnat'
    ? { address: w.local, port: LOCAL_PORT }
    : { address: w.client, port: CLIENT_PORT };
}

function setup(mode: Mode, w: World, protocol: string, port: number, serverPort: number): string[] {
  return [
    ...w.ports,
    ...w.network,
    ...(mode === 'fullnat' ? [`address ${w.local}/${w.family === 4 ? 32 : 128} ${SERVER_SIDE}`] : []),
    `service ${protocol} ${w.vip} ${port} rr`,
    `server ${w.server} ${serverPort} ${mode}`,
    ...(mode === 'fullnat' ? [`local ${w.local} ${SERVER_SIDE} ${LOCAL_PORT}`] : []),
  ];
}

type Fields = Omit<TcpFields, 'from' | 'to'>;

function tcpScene(mode: Mode, family: Family): Scene {
  const w = world(family);
  const far = farSide(mode, w);
  const headers = w.header + 20;
  const clientMss = MTU[CLIENT_SIDE] - headers;
  const clamped = MTU[SERVER_SIDE] - headers;
  const fromClient = (fields: Fields, ttl = 64, from = CLIENT_PORT) =>
    packet({ from: w.client, to: w.vip, ttl }, tcp({ from, to: VIRTUAL_PORT, ...fields }));
  const atServer = (fields: Fields, ttl = 63) =>
    packet({ from: far.address, to: w.server, ttl }, tcp({ from: far.port, to: SERVER_PORT, ...fields }));
  const fromServer = (fields: Fields, ttl = 64) =>
    packet({ from: w.server, to: far.address, ttl }, tcp({ from: SERVER_PORT, to: far.port, ...fields }));
  const atClient = (fields: Fields, ttl = 63) =>
    packet({ from: w.vip, to: w.client, ttl }, tcp({ from: VIRTUAL_PORT, to: CLIENT_PORT, ...fields }));

  const inward = (name: string, says: string, fields: Fields, more = {}, out = fields): Step => {
    const bytes = fromClient(fields);
    return {
      name,
      says,
      in: { port: CLIENT_SIDE, bytes },
      fate: toServer(atServer(out)),
      counters: counted('in', bytes, more),
    };
  };
  const outward = (name: string, says: string, fields: Fields, more = {}, out = fields): Step => {
    const bytes = fromServer(fields);
    return {
      name,
      says,
      in: { port: SERVER_SIDE, bytes },
      fate: toClient(atClient(out)),
      counters: counted('out', bytes, more),
    };
  };

  const source = mode === 'fullnat' ? 'the local address' : 'the client';
  const sackOk = [1, 1, 4, 2];
  const big = fromClient({ flags: 'PA', payload: filler(clientMss) });
  const dying = fromClient({ flags: 'A' }, 1);
  const quotedAtRouter = atServer({ flags: 'PA', payload: filler(64) }, 12);
  const tooBigBehind = packet(
    { from: w.inner, to: far.address, tos: 0xc0 },
    icmpError('too big', quotedAtRouter, 1300),
  );
  const quotedForClient = fromClient({ flags: 'PA', payload: filler(64) }, 12);
  const quotedAtFront = atClient({ flags: 'PA', payload: filler(48) }, 33);
  const tooBigFront = packet(
    { from: w.router, to: w.vip, tos: 0xc0 },
    icmpError('too big', quotedAtFront, 1280),
  );
  const quotedForServer = fromServer({ flags: 'PA', payload: filler(48) }, 33);
  const unknownQuoted = packet(
    { from: w.vip, to: w.client },
    tcp({ from: VIRTUAL_PORT, to: CLIENT_PORT + 1, flags: 'A' }),
  );

  const steps: Step[] = [
    {
      name: 'stray',
      says: 'An ACK of no known connection opens none.',
      in: { port: CLIENT_SIDE, bytes: fromClient({ flags: 'A' }) },
      fate: dropped('no-connection'),
    },
    inward(
      'syn',
      `A SYN leaves for the server from ${source}, its MSS lowered to what the narrower side carries.`,
      { flags: 'S', options: mss(clientMss) },
      OPENED,
      { flags: 'S', options: mss(clamped) },
    ),
    outward(
      'syn-ack',
      'The answer comes from the virtual address; an MSS behind other options is lowered as well.',
      { flags: 'SA', options: [...sackOk, ...mss(clientMss)] },
      {},
      { flags: 'SA', options: [...sackOk, ...mss(clamped)] },
    ),
    outward(
      'odd-mss',
      'Sent again with its MSS at an odd offset, whose bytes belong to two words of the checksum.',
      { flags: 'SA', options: [1, ...mss(clientMss), 1, 1, 1] },
      {},
      { flags: 'SA', options: [1, ...mss(clamped), 1, 1, 1] },
    ),
    inward(
      'ack',
      'The client completes the handshake: the connection counts as active.',
      { flags: 'A' },
      ESTABLISHED,
    ),
    inward('data', 'A request of odd length.', { flags: 'PA', payload: filler(77) }),
    outward('answer', 'The response, as large as the narrower link allows.', {
      flags: 'PA',
      payload: filler(clamped),
    }),
    outward('small-mss', 'Options of other segments are left alone.', { flags: 'PA', options: mss(9000) }),
    {
      name: 'too-big',
      says: 'A segment that does not fit the server side comes back with its MTU.',
      in: { port: CLIENT_SIDE, bytes: big },
      fate: dropped('too-big'),
      error: errorTo(w, w.client, 'too big', big, MTU[SERVER_SIDE]),
    },
    {
      name: 'ttl',
      says: 'A segment whose TTL runs out here is answered with time exceeded.',
      in: { port: CLIENT_SIDE, bytes: dying },
      fate: dropped('ttl-exceeded'),
      error: errorTo(w, w.client, 'time exceeded', dying),
    },
    {
      name: 'icmp-from-behind',
      says: 'A router behind tells of a smaller MTU: the client hears it from the virtual address, about its own segment.',
      in: { port: SERVER_SIDE, bytes: tooBigBehind },
      fate: toClient(
        packet(
          { from: w.vip, to: w.client, ttl: 63, tos: 0xc0 },
          icmpError('too big', quotedForClient, 1300),
        ),
      ),
      counters: counted('out', tooBigBehind),
    },
    {
      name: 'icmp-from-the-front',
      says:
        mode === 'fullnat'
          ? 'A router in front tells of a smaller MTU: the server hears it from the local address, about its own segment.'
          : 'A router in front tells of a smaller MTU: the server hears it from the router, about its own segment.',
      in: { port: CLIENT_SIDE, bytes: tooBigFront },
      fate: toServer(
        packet(
          { from: mode === 'fullnat' ? w.local : w.router, to: w.server, ttl: 63, tos: 0xc0 },
          icmpError('too big', quotedForServer, 1280),
        ),
      ),
      counters: counted('in', tooBigFront),
    },
    {
      name: 'icmp-damaged',
      says: 'An ICMP error with a wrong checksum is not translated, since its own would then be right.',
      in: { port: SERVER_SIDE, bytes: damaged(tooBigBehind) },
      fate: dropped('l4-checksum'),
    },
    {
      name: 'icmp-unrelated',
      says: 'An ICMP error about no known connection goes nowhere.',
      in: {
        port: CLIENT_SIDE,
        bytes: packet({ from: w.router, to: w.vip }, icmpError('host unreachable', unknownQuoted)),
      },
      fate: dropped('icmp-unrelated'),
    },
    outward('server-fin', 'The server closes its side: no longer active.', { flags: 'FA' }, INACTIVE),
    inward('client-fin', 'The client closes its side.', { flags: 'FA' }),
    outward('last-ack', 'The last acknowledgement passes.', { flags: 'A' }),
  ];
  if (mode === 'fullnat')
    steps.push({
      name: 'no-local-port',
      says: 'The only local port is taken: a second connection is refused.',
      in: { port: CLIENT_SIDE, bytes: fromClient({ flags: 'S' }, 64, CLIENT_PORT + 1) },
      fate: dropped('no-local-port'),
    });
  return {
    name: `${mode}-tcp-ipv${family}`,
    about: `One TCP connection through ${mode === 'fullnat' ? 'FullNAT' : 'NAT'}, IPv${family}, from stray segment to last ACK.`,
    setup: setup(mode, w, 'tcp', VIRTUAL_PORT, SERVER_PORT),
    steps,
  };
}

/** An ICMP error of the director's own, from its address towards whom it goes to; quotes as much as is allowed. */
function errorTo(
  w: World,
  to: string,
  kind: 'too big' | 'time exceeded',
  about: Uint8Array,
  mtu = 0,
): Uint8Array {
  const most = (w.family === 4 ? 576 : 1280) - w.header - 8;
  return packet({ from: w.own, to, tos: 0xc0 }, icmpError(kind, about.slice(0, most), mtu));
}

/** One bit of the last byte turned. */
function damaged(bytes: Uint8Array): Uint8Array {
  const copy = Uint8Array.from(bytes);
  const last = copy.length - 1;
  copy[last] = (copy[last] ?? 0) ^ 1;
  return copy;
}

function udpScene(mode: Mode, family: Family): Scene {
  const w = world(family);
  const far = farSide(mode, w);
  const clientPacket = (payload: Uint8Array, unsummed = false) =>
    packet({ from: w.client, to: w.vip }, udp({ from: CLIENT_PORT, to: VIRTUAL_PORT, payload, unsummed }));
  const serverSees = (payload: Uint8Array, unsummed = false) =>
    packet(
      { from: far.address, to: w.server, ttl: 63 },
      udp({ from: far.port, to: SERVER_PORT, payload, unsummed }),
    );
  const serverPacket = (payload: Uint8Array, unsummed = false) =>
    packet({ from: w.server, to: far.address }, udp({ from: SERVER_PORT, to: far.port, payload, unsummed }));
  const clientSees = (payload: Uint8Array, unsummed = false) =>
    packet(
      { from: w.vip, to: w.client, ttl: 63 },
      udp({ from: VIRTUAL_PORT, to: CLIENT_PORT, payload, unsummed }),
    );
  const question = clientPacket(text('question'));
  const answer = serverPacket(text('an answer of odd length'));
  const edge = zeroSum((word) => serverSees(Uint8Array.from([...word, 1, 2, 3])), w.header + 6);
  const toEdge = clientPacket(Uint8Array.from([...edge, 1, 2, 3]));
  const quoted = serverSees(text('question'));
  const refused = packet({ from: w.server, to: far.address }, icmpError('port unreachable', quoted));
  const steps: Step[] = [
    {
      name: 'question',
      says: 'The first datagram opens a connection.',
      in: { port: CLIENT_SIDE, bytes: question },
      fate: toServer(serverSees(text('question'))),
      counters: counted('in', question, OPENED),
    },
    {
      name: 'answer',
      says: 'The answer comes from the virtual address, and makes the connection an active one.',
      in: { port: SERVER_SIDE, bytes: answer },
      fate: toClient(clientSees(text('an answer of odd length'))),
      counters: counted('out', answer, ESTABLISHED),
    },
    {
      name: 'checksum-ffff',
      says: 'A checksum that comes to 0 is written as ffff, since 0 would mean that there is none.',
      in: { port: CLIENT_SIDE, bytes: toEdge },
      fate: toServer(serverSees(Uint8Array.from([...edge, 1, 2, 3]))),
      counters: counted('in', toEdge),
    },
    {
      name: 'port-unreachable',
      says: 'The server has no such port: the client hears so from the virtual address.',
      in: { port: SERVER_SIDE, bytes: refused },
      fate: toClient(
        packet(
          { from: w.vip, to: w.client, ttl: 63 },
          icmpError(
            'port unreachable',
            packet(
              { from: w.client, to: w.vip, ttl: 63 },
              udp({ from: CLIENT_PORT, to: VIRTUAL_PORT, payload: text('question') }),
            ),
          ),
        ),
      ),
      counters: counted('out', refused),
    },
  ];
  if (family === 4) {
    const bare = clientPacket(text('bare'), true);
    const bareAnswer = serverPacket(text('bare'), true);
    steps.push(
      {
        name: 'no-checksum-in',
        says: 'A datagram without checksum stays without.',
        in: { port: CLIENT_SIDE, bytes: bare },
        fate: toServer(serverSees(text('bare'), true)),
        counters: counted('in', bare),
      },
      {
        name: 'no-checksum-out',
        says: 'Nor does an answer without checksum get one.',
        in: { port: SERVER_SIDE, bytes: bareAnswer },
        fate: toClient(clientSees(text('bare'), true)),
        counters: counted('out', bareAnswer),
      },
    );
  }
  return {
    name: `${mode}-udp-ipv${family}`,
    about: `UDP through ${mode === 'fullnat' ? 'FullNAT' : 'NAT'}, IPv${family}.`,
    setup: setup(mode, w, 'udp', VIRTUAL_PORT, SERVER_PORT),
    steps,
  };
}

/** The two bytes of payload for which a datagram's checksum comes to zero, and is therefore written as ffff. */
function zeroSum(build: (word: [number, number]) => Uint8Array, at: number): [number, number] {
  const bare = build([0, 0]);
  // The checksum that stands there is what the word has to add.
  const word: [number, number] = [bare[at] ?? 0, bare[at + 1] ?? 0];
  const built = build(word);
  if (sum(built.slice(at, at + 2)) !== 0xffff) throw new Error('no such datagram');
  return word;
}

function pingScene(mode: Mode, family: Family): Scene {
  const w = world(family);
  const far = farSide(mode, w);
  const id = 77;
  const farId = mode === 'fullnat' ? far.port : id;
  const request = packet({ from: w.client, to: w.vip }, echo('request', id, 1, filler(57)));
  const reply = packet({ from: w.server, to: far.address }, echo('reply', farId, 1, filler(57)));
  return {
    name: `${mode}-ping-ipv${family}`,
    about: `A virtual server for ping through ${mode === 'fullnat' ? 'FullNAT, whose identifier is the local port' : 'NAT'}, IPv${family}.`,
    setup: setup(mode, w, w.icmp, 0, 0),
    steps: [
      {
        name: 'request',
        says: 'An echo request goes to the server.',
        in: { port: CLIENT_SIDE, bytes: request },
        fate: toServer(
          packet({ from: far.address, to: w.server, ttl: 63 }, echo('request', farId, 1, filler(57))),
        ),
        counters: counted('in', request, OPENED),
      },
      {
        name: 'reply',
        says: 'Its reply comes back with the identifier that the client chose.',
        in: { port: SERVER_SIDE, bytes: reply },
        fate: toClient(packet({ from: w.vip, to: w.client, ttl: 63 }, echo('reply', id, 1, filler(57)))),
        counters: counted('out', reply),
      },
    ],
  };
}

export function translatedScenes(): Scene[] {
  return (['fullnat', 'nat'] as const).flatMap((mode) =>
    ([4, 6] as const).flatMap((family) => [
      tcpScene(mode, family),
      udpScene(mode, family),
      pingScene(mode, family),
    ]),
  );
}
