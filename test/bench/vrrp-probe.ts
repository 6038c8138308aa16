import { createSocket } from 'node:dgram';
import {
  AF_INET,
  IP_ADD_MEMBERSHIP,
  IPPROTO_IP,
  interfaceIndex,
  SO_TIMESTAMPNS,
  SOCK_CLOEXEC,
  SOCK_NONBLOCK,
  SOCK_RAW,
  SOL_SOCKET,
  setsockopt,
  socket,
} from '../../lib/libc.js';
import { PacketBatch } from '../../lib/packet-batch.js';
import { Poller } from '../../lib/poller.js';

/**
 * `answer NAME`: answers every packet with the name. `probe ADDRESS`: sends a packet each millisecond and prints a line for each
 * answer: when it came (milliseconds) and who gave it. `adverts`: prints a line for each VRRP advert: when it arrived, the last
 * byte of its sender, its priority.
 */
const PORT = 7777;
const IPPROTO_VRRP = 112;
/** What makes times of several processes comparable. */
const origin = Number(process.hrtime.bigint()) / 1e6 - performance.now();
const [role = '', argument = ''] = process.argv.slice(2);

function answer(): void {
  const socket = createSocket('udp4');
  const name = Buffer.from(argument);
  socket.on('message', (_data, from) => socket.send(name, from.port, from.address));
  socket.bind(PORT);
}

function probe(): void {
  const socket = createSocket('udp4');
  // While nobody has the address sends fail: that is what is measured.
  socket.on('error', () => {});
  socket.on('message', (data) =>
    process.stdout.write(`${(origin + performance.now()).toFixed(2)} ${data.toString()}\n`),
  );
  socket.bind(() => {
    const packet = Buffer.from('?');
    setInterval(() => socket.send(packet, PORT, argument, () => {}), 1);
  });
}

function adverts(): void {
  const fd = socket(AF_INET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, IPPROTO_VRRP);
  const request = Buffer.from([224, 0, 0, 18, 0, 0, 0, 0, 0, 0, 0, 0]);
  request.writeInt32LE(interfaceIndex('eth0'), 8);
  setsockopt(fd, IPPROTO_IP, IP_ADD_MEMBERSHIP, request);
  setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, 1);
  const batch = new PacketBatch(256, 16);
  new Poller(console.error).watch(fd, () => {
    let lines = '';
    for (let count = batch.receive(fd), i = 0; i < count; i++) {
      const at = batch.offset(i);
      lines += `${(origin + batch.arrived(i)).toFixed(3)} ${batch.bytes[at + 15]} ${batch.bytes[at + 22]}\n`;
    }
    process.stdout.write(lines);
  });
}

if (role === 'answer') answer();
else if (role === 'probe') probe();
else adverts();
