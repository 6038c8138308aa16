import { strict as assert } from 'node:assert';
import type { Host } from '../../lab/host.js';
import type { Mode } from '../../lab/lab.js';
import { families } from '../../lab/plan.js';
import { UPLOAD_PORT } from '../../lab/ports.js';
import { onLab, randomFile, restore, url } from './support.js';

const size = 2 * 1024 * 1024;
const pathMtu = 1400;

/** The MTU that a host has learned of the path to an address, undefined when it has learned none. */
async function learned(host: Host, target: string): Promise<number | undefined> {
  const text = await host.run(['ip', 'route', 'get', target]);
  const mtu = /\bmtu (\d+)/.exec(text)?.[1];
  return mtu === undefined ? undefined : Number(mtu);
}

for (const mode of ['fullnat', 'nat', 'dr'] as const satisfies readonly Mode[]) {
  onLab({ title: `a narrow path to the client, ${mode}`, mode, servers: 1, workers: 2, pathMtu }, (stage) => {
    for (const family of families) {
      stage.it(`servers learn its MTU from translated ICMP errors over IP${family}`, async () => {
        const { lab } = stage;
        const { sha256 } = await randomFile(lab, 'some.bin', size);
        const command = `curl -sS --fail --max-time 60 '${url(lab, family, '/shared/some.bin')}' | sha256sum`;
        assert.equal((await lab.client.run(['sh', '-c', command], { limit: 70_000 })).slice(0, 64), sha256);
        const server = lab.servers[0]!.host;
        const peers =
          mode === 'fullnat' ? lab.plan.locals.map((local) => local[family]) : [lab.plan.client[family]];
        const mtus = await Promise.all(peers.map((peer) => learned(server, peer)));
        assert.ok(mtus.includes(pathMtu), `the server knows ${mtus.map(String).join(', ')} for ${peers}`);
      });
    }
  });
}

onLab(
  {
    title: 'a narrow path to the server, fullnat',
    servers: 1,
    workers: 2,
    far: true,
    pathMtu,
    services: false,
  },
  (stage) => {
    for (const family of families) {
      stage.it(`clients learn its MTU from translated ICMP errors over IP${family}`, async () => {
        const { lab } = stage;
        const { plan } = lab;
        const route = [
          'route',
          'add',
          plan.farNet[family],
          'via',
          plan.innerRouter[family],
          'dev',
          plan.innerDevice,
        ];
        await lab.director.dpip(family === 'v6' ? ['-6', ...route] : route);
        await restore(lab, lab.serviceLines(family, 't', UPLOAD_PORT, { servers: [lab.far!] }));
        const { path, sha256 } = await randomFile(lab, 'some.bin', size);
        const answer = await lab.client.run(
          [
            'curl',
            '-sS',
            '--fail',
            '--max-time',
            '60',
            '-H',
            'Expect:',
            '-T',
            path,
            url(lab, family, '/', UPLOAD_PORT),
          ],
          { limit: 70_000 },
        );
        assert.equal(answer.trim(), sha256);
        assert.equal(await learned(lab.client, plan.virtual[family]), pathMtu);
      });
    }
  },
);

onLab(
  { title: 'a narrow route of the director, fullnat', servers: 1, far: true, services: false },
  (stage) => {
    for (const family of families) {
      stage.it(`the director tells the client itself over IP${family}`, async () => {
        const { lab } = stage;
        const { plan } = lab;
        const route = [
          'route',
          'add',
          plan.farNet[family],
          'via',
          plan.innerRouter[family],
          'dev',
          plan.innerDevice,
          'mtu',
          String(pathMtu),
        ];
        await lab.director.dpip(family === 'v6' ? ['-6', ...route] : route);
        await restore(lab, lab.serviceLines(family, 't', UPLOAD_PORT, { servers: [lab.far!] }));
        const { path, sha256 } = await randomFile(lab, 'some.bin', size);
        const answer = await lab.client.run(
          [
            'curl',
            '-sS',
            '--fail',
            '--max-time',
            '60',
            '-H',
            'Expect:',
            '-T',
            path,
            url(lab, family, '/', UPLOAD_PORT),
          ],
          { limit: 70_000 },
        );
        assert.equal(answer.trim(), sha256);
        // Either it has learned the path's MTU, or the segment size was right from the start.
        const mtu = await learned(lab.client, plan.virtual[family]);
        assert.ok(mtu === undefined || mtu === pathMtu, `learned ${mtu}`);
      });
    }
  },
);
