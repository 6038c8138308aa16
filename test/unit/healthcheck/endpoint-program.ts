// Asks a TCP and a UDP server of its own, at 192.0.2.1, with the endpoint options of its argument, and prints both verdicts as JSON.
import { createSocket } from 'node:dgram';
import { createServer } from 'node:net';
import type { Probe, Verdict } from '../../../healthcheck/probe.js';
import { Reactor } from '../../../healthcheck/sockets.js';
import { tcpCheck } from '../../../healthcheck/tcp-check.js';
import { udpCheck } from '../../../healthcheck/udp-check.js';
import type { CheckEndpoint } from '../../../keepalived/model/virtual-server.js';
import { systemClock } from '../../../lib/clock.js';
import { tcp, udp } from './fixtures.js';

const options = JSON.parse(process.argv[2] ?? '{}') as Partial<CheckEndpoint>;
const server = createServer((socket) => socket.on('error', () => {}));
await new Promise<void>((resolve) => server.listen(0, '192.0.2.1', resolve));
const socket = createSocket('udp4');
socket.on('message', (message, { port, address }) => socket.send(message, port, address));
await new Promise<void>((resolve) => socket.bind(0, '192.0.2.1', resolve));

const reactor = new Reactor(systemClock);
const run = (probe: Probe) => new Promise<Verdict>((resolve) => probe.run(0, resolve));
const endpoint = { connectAddress: '192.0.2.1', connectTimeout: 700, ...options };
const { port } = server.address() as { port: number };
const verdicts = {
  tcp: await run(tcpCheck(tcp(port, endpoint), reactor)),
  udp: await run(udpCheck(udp(socket.address().port, { ...endpoint, silence: 'failure' }), 'none', reactor)),
};
process.stdout.write(JSON.stringify(verdicts), () => process.exit(0));
