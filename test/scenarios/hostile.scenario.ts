import { strict as assert } from 'node:assert';
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { until } from '../../lab/command.js';
import { families } from '../../lab/plan.js';
import { fetchPages, onLab, randomFile, url } from './support.js';

/** The least that dpvs.conf allows. */
const CONNECTIONS = 65_536;
const PAGES = 60;

onLab(
  {
    title: 'hostile packets',
    workers: 2,
    extra: `
ipvs_defs {
    conn {
        <init> conn_pool_size  ${CONNECTIONS}
    }
    tcp {
        timeout {
            syn_recv 4
        }
    }
}
`,
  },
  (stage) => {
    let program: string;

    /** Sends frames of a kind to the director from its outer network. */
    const send = async (kind: string, count: number, seed?: number): Promise<void> => {
      const { plan, network, director } = stage.lab;
      const links = JSON.parse(await director.dpip(['--json', 'link', 'show'])) as {
        device: string;
        mac: string;
      }[];
      const mac = links.find(({ device }) => device === plan.outerDevice)?.mac;
      assert.ok(mac);
      const words = ['dir0', mac, plan.virtual.v4, plan.virtual.v6, kind, String(count)];
      if (seed !== undefined) words.push(String(seed));
      assert.equal(
        Number(await network.router.run([program, ...words], { limit: 120_000 })),
        count,
        'frames sent',
      );
    };

    const counter = async (name: string): Promise<number> =>
      (await stage.snapshot()).counters.find((each) => each.name === name)?.value ?? 0;

    const pagesArrive = async (): Promise<void> => {
      for (const family of families) {
        const answers = await fetchPages(stage.lab, family, PAGES);
        assert.equal(
          [...answers.values()].reduce((sum, count) => sum + count, 0),
          PAGES,
        );
        assert.equal(answers.size, stage.lab.servers.length);
      }
    };

    const packetsInUse = async (): Promise<number> => {
      const rows = JSON.parse(await stage.lab.director.dpip(['--json', 'eal-mem', 'show', 'pool'])) as {
        name: string;
        used: number;
      }[];
      return rows.filter(({ name }) => name.startsWith('pktpool')).reduce((sum, { used }) => sum + used, 0);
    };

    before(() => {
      program = join(stage.lab.record.folder, 'hostile');
      const source = fileURLToPath(new URL('../../../test/scenarios/hostile.c', import.meta.url));
      const built = spawnSync('gcc', ['-O2', '-o', program, source], { encoding: 'utf8' });
      assert.equal(built.status, 0, built.stderr);
    });

    stage.it('a SYN flood fills the table of connections, disturbs none of them, and passes', async () => {
      const { lab } = stage;
      const { sha256 } = await randomFile(lab, 'long.bin', 2 << 20);
      // Some ten seconds.
      const slow = lab.client.run(
        ['sh', '-c', `curl -sS --fail --max-time 60 ${url(lab, 'v4', '/slow/long.bin')} | sha256sum`],
        { limit: 70_000 },
      );
      await until('the download', async () =>
        (await stage.connections()).some(({ state }) => state === 'ESTABLISHED'),
      );
      await until(
        'a full table',
        async () => {
          await send('syn', CONNECTIONS, 1 + Math.floor(Math.random() * 1e9));
          return (await counter('drop.connections-full')) > 0;
        },
        { limit: 60_000, every: 0 },
      );
      assert.ok((await stage.connections()).length <= CONNECTIONS);
      assert.equal((await slow).slice(0, 64), sha256);
      await until('the end of half-open connections', async () => (await stage.connections()).length < 100, {
        limit: 60_000,
        every: 500,
      });
      await pagesArrive();
    });

    stage.it('fragments that never become whole hold few buffers and stop nobody', async () => {
      const before = await counter('drop.fragment');
      await Promise.all([send('fragment', 60_000), pagesArrive()]);
      assert.ok((await counter('drop.fragment')) > before);
      // They wait for a second.
      await until('buffers that come back', async () => (await packetsInUse()) < 2000, { every: 200 });
    });

    stage.it('neighbours that are invented do not keep the real ones out', async () => {
      await Promise.all([send('arp', 40_000), pagesArrive()]);
      await Promise.all([send('nd', 40_000), pagesArrive()]);
      const neighbours = (await stage.lab.director.dpip(['neigh', 'show'])).trimEnd().split('\n').length;
      assert.ok(neighbours <= 32_768, `${neighbours} neighbours`);
      await pagesArrive();
    });

    stage.it('errors about connections of others are dropped by name', async () => {
      const before = await counter('drop.icmp-unrelated');
      await Promise.all([send('icmp', 20_000), pagesArrive()]);
      assert.ok((await counter('drop.icmp-unrelated')) > before);
    });

    stage.it('frames of all kinds of faults end nothing', async () => {
      const seed = Math.floor(Math.random() * 1e9);
      try {
        await Promise.all([send('garbage', 100_000, seed), pagesArrive()]);
      } catch (error) {
        throw new Error(`seed ${seed}: ${(error as Error).message}`);
      }
      await pagesArrive();
    });

    stage.it('memory does not grow with all of that', async () => {
      const resident = () => {
        const status = readFileSync(`/proc/${stage.lab.director.pid}/status`, 'utf8');
        return Number(/VmRSS:\s*(\d+)/.exec(status)?.[1]);
      };
      for (const kind of ['syn', 'fragment', 'arp', 'nd', 'icmp', 'garbage']) await send(kind, 4000, 11);
      const before = resident();
      for (const kind of ['syn', 'fragment', 'arp', 'nd', 'icmp', 'garbage']) await send(kind, 20_000, 12);
      assert.ok(resident() - before < 16_384, `${before} kB before, ${resident()} kB after`);
    });
  },
);
