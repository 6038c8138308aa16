import { strict as assert } from 'node:assert';
import { until } from '../../lab/command.js';
import { families } from '../../lab/plan.js';
import { UDP_PORT } from '../../lab/ports.js';
import { onLab } from './support.js';

/**
 * Bytes of a datagram or ping. IPv6: four pieces (DPDK joins up to 8). IPv4: two, which the kernel has put together when af_packet
 * sees them, whatever a port's driver asks for; longer than a frame of that driver they would be lost.
 */
const LENGTH = { v4: 1700, v6: 5000 };
const CLIENTS = 30;

/** Run in Node on the client: as many sockets, each asks with bytes of its own and wants them back. */
const ask = (type: string, address: string, length: number) => `
  const { createSocket } = require('node:dgram');
  const { randomBytes } = require('node:crypto');
  let open = ${CLIENTS};
  for (let i = 0; i < ${CLIENTS}; i++) {
    const socket = createSocket('${type}');
    const sent = randomBytes(${length});
    const ask = () => socket.send(sent, ${UDP_PORT}, '${address}');
    const again = setInterval(ask, 2000);
    socket.on('message', (got) => {
      if (!got.subarray(got.length - sent.length).equals(sent)) {
        console.log('other bytes');
        process.exit(1);
      }
      clearInterval(again);
      socket.close();
      if (--open === 0) console.log('all');
    });
    ask();
  }`;

onLab({ title: 'packets in pieces', workers: 2 }, (stage) => {
  for (const family of families) {
    stage.it(`datagrams keep their bytes, both ways, over IP${family}`, async () => {
      const { client, plan } = stage.lab;
      const type = family === 'v4' ? 'udp4' : 'udp6';
      assert.equal(
        (await client.run([process.execPath, '-e', ask(type, plan.virtual[family], LENGTH[family])])).trim(),
        'all',
      );
    });

    stage.it(`long pings are answered over IP${family}`, async () => {
      const { client, plan } = stage.lab;
      const size = String(LENGTH[family]);
      await client.run(['ping', '-c', '3', '-s', size, '-i', '0.01', '-W', '5', plan.virtual[family]]);
    });
  }

  stage.it('pieces are as long as a route takes them', async () => {
    const { client, director, plan, servers } = stage.lab;
    await director.dpip(['route', 'add', plan.inner.prefix.v4, 'dev', plan.innerDevice, 'mtu', '900']);
    const captures = servers.map(({ host }) =>
      host.start(['tcpdump', '-nnelc', '1', '-i', 'eth0', `udp dst port ${UDP_PORT}`]),
    );
    await until('captures', () => captures.every(({ output }) => output.includes('listening')));
    await client.run([process.execPath, '-e', ask('udp4', plan.virtual.v4, LENGTH.v4)]);
    for (const capture of captures) {
      await capture.exited;
      const length = Number(/length (\d+): /.exec(capture.output)?.[1]);
      assert.ok(length > 800 && length <= 914, capture.output);
    }
    await director.dpip(['route', 'del', plan.inner.prefix.v4, 'dev', plan.innerDevice]);
  });
});
