// A real server's programs beside nginx, as a process of its own: NAME ADDRESS...
// UDP port 5000: answers `hello` with `hello ok`, as health checks want it, and each other datagram with `NAME TEXT`, from the address
// that it was sent to.
// TCP port 8080: reads the body of each request and answers with its SHA-256, and the server's name in a header.
import { createHash } from 'node:crypto';
import { createSocket } from 'node:dgram';
import { createServer } from 'node:http';
import { UDP_PORT, UPLOAD_PORT } from './ports.js';

const [name = '', ...addresses] = process.argv.slice(2);

const hello = Buffer.from('hello');

let waiting = addresses.length + 1;
function ready(): void {
  waiting--;
  if (waiting === 0) console.log('ready');
}

for (const address of addresses) {
  // One socket per address: with DR the answer must leave from the virtual address, which no route would choose.
  const socket = createSocket({ type: address.includes(':') ? 'udp6' : 'udp4' });
  socket.on('message', (message, from) => {
    const asked = message.equals(hello);
    const answer = asked ? 'hello ok' : Buffer.concat([Buffer.from(`${name} `), message]);
    socket.send(answer, from.port, from.address);
  });
  // An ICMP error for an earlier answer must not end the server.
  socket.on('error', (error) => console.error(`udp ${address}: ${error.message}`));
  socket.bind(UDP_PORT, address, ready);
}

const server = createServer((request, response) => {
  const hash = createHash('sha256');
  request.on('data', (chunk: Buffer) => hash.update(chunk));
  request.on('end', () => {
    response.setHeader('X-Server', name);
    response.end(`${hash.digest('hex')}\n`);
  });
  request.on('error', () => response.destroy());
});
server.keepAliveTimeout = 60_000;
server.listen(UPLOAD_PORT, '::', ready);
