import { strict as assert } from 'node:assert';
import type { Mode } from '../../lab/lab.js';
import { families } from '../../lab/plan.js';
import { Traffic } from '../../lab/traffic-plan.js';
import { assertAllAnswered, everyTarget, fetchPages, names, onLab } from './support.js';

const modes: readonly Mode[] = ['fullnat', 'nat', 'dr'];

/** Workers and queues of each port; with three workers, shares of local ports are no power of two. */
const threads = [
  { workers: 1, queues: 2 },
  { workers: 2, queues: 2 },
];

for (const mode of modes) {
  for (const arms of [2, 1] as const) {
    for (const { workers, queues } of mode === 'fullnat'
      ? [...threads, { workers: 3, queues: 3 }]
      : threads) {
      const title = `${mode}, ${arms === 1 ? 'one arm' : 'two arms'}, ${workers} worker(s), ${queues} queues`;
      onLab({ title, mode, arms, workers, queues }, (stage) => {
        for (const family of families) {
          stage.it(`curl gets the page of each server over IP${family}`, async () => {
            const answers = await fetchPages(stage.lab, family, 12);
            assert.deepEqual(names(answers), ['rs1', 'rs2', 'rs3']);
            // Round robin is exact for each worker, and at most one apart for each of them.
            for (const count of answers.values())
              assert.ok(Math.abs(count - 4) <= workers, `${[...answers]}`);
          });
        }

        stage.it('answers HTTP and UDP requests of both families, none lost', async () => {
          const { lab } = stage;
          const before = await stage.snapshot();
          const traffic = new Traffic(lab.client, {
            targets: everyTarget(lab),
            perSecond: 100,
            seconds: 1.2,
            limit: 8000,
          });
          await traffic.finish();
          assertAllAnswered(traffic.total, 100);
          for (const tally of traffic.tallies) assert.deepEqual(names(tally.byServer), ['rs1', 'rs2', 'rs3']);

          const after = await stage.snapshot();
          const sum = (pick: 'connections' | 'inPackets' | 'outPackets') =>
            after.servers.reduce((total, server) => total + server[pick], 0) -
            before.servers.reduce((total, server) => total + server[pick], 0);
          // Every request is a connection of its own; HTTP takes at least 4 packets each way, UDP one.
          assert.equal(sum('connections'), traffic.total.requests);
          assert.ok(sum('inPackets') >= traffic.total.requests * 2, `${sum('inPackets')} packets in`);
          // With direct routing the answers do not pass the director.
          if (mode === 'dr') assert.equal(sum('outPackets'), 0);
          else assert.ok(sum('outPackets') >= traffic.total.requests * 2, `${sum('outPackets')} packets out`);
        });

        if (workers > 1)
          stage.it('spreads the packets over all workers', async () => {
            const workerRows = await stage.workers();
            assert.equal(workerRows.length, workers);
            for (const row of workerRows)
              assert.ok(row.rxPackets > 0, `worker ${row.number} received nothing`);
          });
      });
    }
  }
}
