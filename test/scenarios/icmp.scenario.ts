import { strict as assert } from 'node:assert';
import type { Host } from '../../lab/host.js';
import { families } from '../../lab/plan.js';
import { onLab, url } from './support.js';

/** Addresses of the hops that traceroute names, `*` for silence. */
async function trace(host: Host, options: string[], target: string): Promise<string[]> {
  const text = await host.run(['traceroute', '-n', '-q', '1', '-w', '3', '-m', '6', ...options, target]);
  return text
    .trimEnd()
    .split('\n')
    .slice(1)
    .map((line) => line.trim().split(/\s+/)[1] ?? '');
}

onLab(
  {
    title: 'ping and traceroute',
    mode: 'nat',
    workers: 2,
    forwarding: true,
    programs: ['ping', 'traceroute'],
  },
  (stage) => {
    for (const family of families) {
      stage.it(`pings the virtual address and the director over IP${family}`, async () => {
        const { plan, client, servers } = stage.lab;
        for (const target of [plan.virtual[family], plan.outerDirector[family]])
          await client.run(['ping', '-c', '20', '-i', '0.01', '-W', '5', target]);
        await servers[0]!.host.run(['ping', '-c', '5', '-i', '0.01', '-W', '5', plan.innerDirector[family]]);
      });

      stage.it(`answers large pings whole over IP${family}`, async () => {
        const { plan, client } = stage.lab;
        await client.run(['ping', '-c', '2', '-s', '1400', '-i', '0.01', '-W', '5', plan.virtual[family]]);
      });

      stage.it(`refuses connections to ports that nobody has over IP${family}`, async () => {
        const { client } = stage.lab;
        const closed = url(stage.lab, family, '/', 81);
        const { code, stderr } = await client.attempt(['curl', '-sS', '--max-time', '20', closed]);
        // 7: refused; 28 would be silence.
        assert.equal(code, 7, stderr);
      });

      stage.it(`traces the way to the virtual address over IP${family}`, async () => {
        const { plan, client } = stage.lab;
        const way = [plan.clientGateway[family], plan.virtual[family]];
        assert.deepEqual(await trace(client, ['-I'], plan.virtual[family]), way);
        // UDP to ports without a service: the answer is "port unreachable".
        assert.deepEqual(await trace(client, [], plan.virtual[family]), way);
      });

      // Which of its addresses a router names is its own choice (RFC 1812 4.3.2.4 wants the one of the way back).
      stage.it(`shows the director as a hop in front of a service over IP${family}`, async () => {
        const { plan, client } = stage.lab;
        const [first, second, ...rest] = await trace(client, ['-T', '-p', '80'], plan.virtual[family]);
        assert.equal(first, plan.clientGateway[family]);
        assert.ok([plan.outerDirector[family], plan.virtual[family]].includes(second!), second);
        assert.deepEqual(rest, [plan.virtual[family]]);
      });

      stage.it(`is a hop on the way of a server to the client over IP${family}`, async () => {
        const { plan, servers } = stage.lab;
        const [first, second, ...rest] = await trace(servers[0]!.host, ['-I'], plan.client[family]);
        assert.equal(first, plan.innerDirector[family]);
        assert.ok([plan.innerRouter[family], plan.outerRouter[family]].includes(second!), second);
        assert.deepEqual(rest, [plan.client[family]]);
      });

      stage.it(`tells a server that nobody answers for an address over IP${family}`, async () => {
        const { plan, servers } = stage.lab;
        const nobody = plan.outerDirector[family].replace(/[0-9a-f]+$/, '99');
        const text = await servers[0]!.host.run(['sh', '-c', `ping -c 1 -W 10 ${nobody} || true`]);
        assert.match(text, /Destination Host Unreachable|Destination unreachable: Address unreachable/);
        assert.match(text, new RegExp(`^From ${plan.innerDirector[family]}`, 'mi'));
      });
    }
  },
);
