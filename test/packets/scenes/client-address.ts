/** FullNAT that tells the server the client's address in a TCP option (TOA, kind 254). */
import type { Scene, Step } from '../scene.js';
import { address, filler, mss, packet, type TcpFields, tcp, u16 } from '../wire.js';
import {
  CLIENT_PORT,
  CLIENT_SIDE,
  counted,
  ESTABLISHED,
  type Family,
  LOCAL_PORT,
  MTU,
  OPENED,
  SERVER_PORT,
  SERVER_SIDE,
  toClient,
  toServer,
  VIRTUAL_PORT,
  world,
} from './world.js';

function scene(family: Family): Scene {
  const w = world(family);
  const client = address(w.client);
  const toa = [254, client.length + 4, ...u16(CLIENT_PORT), ...client];
  const timestamps = [1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2];
  const limit = MTU[SERVER_SIDE] - w.header - 20;

  type Fields = Omit<TcpFields, 'from' | 'to'>;
  const fromClient = (fields: Fields) =>
    packet({ from: w.client, to: w.vip }, tcp({ from: CLIENT_PORT, to: VIRTUAL_PORT, ...fields }));
  const inward = (name: string, says: string, fields: Fields, out: Partial<Fields>, more = {}): Step => {
    const bytes = fromClient(fields);
    const seen = packet(
      { from: w.local, to: w.server, ttl: 63 },
      tcp({ from: LOCAL_PORT, to: SERVER_PORT, ...fields, ...out }),
    );
    return {
      name,
      says,
      in: { port: CLIENT_SIDE, bytes },
      fate: toServer(seen),
      counters: counted('in', bytes, more),
    };
  };
  const synAck = packet(
    { from: w.server, to: w.local },
    tcp({ from: SERVER_PORT, to: LOCAL_PORT, flags: 'SA' }),
  );
  return {
    name: `toa-ipv${family}`,
    about: `FullNAT with the client's address as TCP option 254, IPv${family}.`,
    setup: [
      ...w.ports,
      ...w.network,
      `address ${w.local}/${family === 4 ? 32 : 128} ${SERVER_SIDE}`,
      'toa on',
      `service tcp ${w.vip} ${VIRTUAL_PORT} rr`,
      `server ${w.server} ${SERVER_PORT} fullnat`,
      `local ${w.local} ${SERVER_SIDE} ${LOCAL_PORT}`,
    ],
    steps: [
      inward(
        'syn',
        'The SYN carries no address: its options are already many.',
        { flags: 'S', options: mss(1000) },
        {},
        OPENED,
      ),
      {
        name: 'syn-ack',
        says: 'The answer passes as ever.',
        in: { port: SERVER_SIDE, bytes: synAck },
        fate: toClient(
          packet(
            { from: w.vip, to: w.client, ttl: 63 },
            tcp({ from: VIRTUAL_PORT, to: CLIENT_PORT, flags: 'SA' }),
          ),
        ),
        counters: counted('out', synAck),
      },
      inward(
        'ack',
        'The acknowledgement that ends the handshake tells the server who the client is, before its other options.',
        { flags: 'A', options: timestamps },
        { options: [...toa, ...timestamps] },
        ESTABLISHED,
      ),
      inward(
        'full',
        'A segment that fills the link carries no option.',
        { flags: 'PA', payload: filler(limit) },
        {},
      ),
      inward(
        'third',
        'The third segment carries it again.',
        { flags: 'PA', payload: filler(33) },
        { options: toa },
      ),
      inward('enough', 'Later ones do not.', { flags: 'PA', payload: filler(33) }, {}),
    ],
  };
}

export function clientAddressScenes(): Scene[] {
  return ([4, 6] as const).map(scene);
}
