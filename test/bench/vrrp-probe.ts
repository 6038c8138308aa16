import { createSocket } from 'node:dgram';

/**
 * `answer NAME`: answers every packet with the name. `probe ADDRESS`: sends a packet each millisecond and prints a line for each
 * answer: when it came (milliseconds) and who gave it.
 */
const PORT = 7777;
const [role = '', argument = ''] = process.argv.slice(2);
const socket = createSocket('udp4');
if (role === 'answer') {
  const name = Buffer.from(argument);
  socket.on('message', (_data, from) => socket.send(name, from.port, from.address));
  socket.bind(PORT);
} else {
  // While nobody has the address sends fail: that is what is measured.
  socket.on('error', () => {});
  socket.on('message', (data) =>
    process.stdout.write(`${performance.now().toFixed(2)} ${data.toString()}\n`),
  );
  socket.bind(() => {
    const packet = Buffer.from('?');
    setInterval(() => socket.send(packet, PORT, argument, () => {}), 1);
  });
}
