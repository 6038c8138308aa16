import { strict as assert } from 'node:assert';
import { until } from '../../lab/command.js';
import type { Host } from '../../lab/host.js';
import type { Mode } from '../../lab/lab.js';
import { type Family, families } from '../../lab/plan.js';
import { UDP_PORT, UPLOAD_PORT } from '../../lab/ports.js';
import { onLab, randomFile, restore, type Stage, url } from './support.js';

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

/** Gives the director a route to the far server, with the MTU `narrow` where that is said. */
async function routeToFar({ lab }: Stage, family: Family, narrow?: number): Promise<void> {
  const { farNet, innerRouter, innerDevice } = lab.plan;
  const route = ['route', 'replace', farNet[family], 'via', innerRouter[family], 'dev', innerDevice];
  if (narrow !== undefined) route.push('mtu', String(narrow));
  await lab.director.dpip(family === 'v6' ? ['-6', ...route] : route);
}

/** Sends a file to the far server through a virtual server. */
async function uploadToFar({ lab }: Stage, family: Family): Promise<void> {
  await restore(lab, lab.serviceLines(family, 't', UPLOAD_PORT, { servers: [lab.far!] }));
  const { path, sha256 } = await randomFile(lab, 'some.bin', size);
  const options = ['-sS', '--fail', '--max-time', '60', '-H', 'Expect:', '-T', path];
  const answer = await lab.client.run(['curl', ...options, url(lab, family, '/', UPLOAD_PORT)], {
    limit: 70_000,
  });
  assert.equal(answer.trim(), sha256);
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
        await routeToFar(stage, family);
        await uploadToFar(stage, family);
        assert.equal(await learned(lab.client, lab.plan.virtual[family]), pathMtu);
      });
    }
  },
);

onLab(
  { title: 'a narrow route of the director, fullnat', servers: 1, far: true, services: false },
  (stage) => {
    const dropped = async () =>
      (await stage.snapshot()).counters.find(({ name }) => name === 'drop.too-big')?.value ?? 0;

    for (const family of families) {
      // The director knows this MTU before the first packet: the SYNs tell both ends, and nobody has to learn it.
      stage.it(`TCP offers both ends segments that fit over IP${family}`, async () => {
        const { lab } = stage;
        const before = await dropped();
        await routeToFar(stage, family, pathMtu);
        await uploadToFar(stage, family);
        assert.equal(await dropped(), before);
        assert.equal(await learned(lab.client, lab.plan.virtual[family]), undefined);
      });

      stage.it(`the director tells a client that its datagram is too large over IP${family}`, async () => {
        const { lab } = stage;
        const virtual = lab.plan.virtual[family];
        const before = await dropped();
        await routeToFar(stage, family, pathMtu);
        await restore(lab, lab.serviceLines(family, 'u', UDP_PORT, { servers: [lab.far!] }));
        // One datagram of 1450 bytes, which fits the client's own link. Its socket stays until an answer or an error has come: Linux
        // learns nothing from an error about a socket that is gone.
        const open = `exec 3<>/dev/udp/${virtual}/${UDP_PORT}`;
        const send = ['bash', '-c', `${open}; head -c 1450 /dev/zero >&3; read -r -t 5 -n 1 -u 3 || true`];
        const bytes = family === 'v4' ? 4 : 16;
        const arrived = async () =>
          (await stage.snapshot()).servers.find(
            ({ protocol, address }) => protocol === 'udp' && address.length === 2 * bytes,
          )?.inPackets ?? 0;
        const first = await arrived();
        await lab.client.run(send);
        await until(
          'the client to learn the MTU',
          async () => (await learned(lab.client, virtual)) === pathMtu,
        );
        assert.equal(await dropped(), before + 1);
        assert.equal(await arrived(), first);
        // Now in pieces that fit.
        await lab.client.run(send);
        await until('a datagram to pass', async () => (await arrived()) > first);
        assert.equal(await dropped(), before + 1);
      });
    }
  },
);
