import { strict as assert } from 'node:assert';
import type { Mode } from '../../lab/lab.js';
import { families } from '../../lab/plan.js';
import { UPLOAD_PORT } from '../../lab/ports.js';
import { onLab, randomFile, url } from './support.js';

const megabytes = 100;

/** With direct routing only what goes to the servers passes the director: there the upload is the test. */
const cases: { mode: Mode; arms: 1 | 2; workers: number; ways: ('up' | 'down')[] }[] = [
  { mode: 'fullnat', arms: 2, workers: 1, ways: ['down', 'up'] },
  { mode: 'fullnat', arms: 1, workers: 2, ways: ['down', 'up'] },
  { mode: 'nat', arms: 2, workers: 2, ways: ['down'] },
  { mode: 'dr', arms: 1, workers: 1, ways: ['up'] },
];

for (const { mode, arms, workers, ways } of cases) {
  const title = `large transfers, ${mode}, ${arms === 1 ? 'one arm' : 'two arms'}, ${workers} worker(s)`;
  onLab({ title, mode, arms, workers, programs: ['sha256sum'] }, (stage) => {
    for (const family of families) {
      if (ways.includes('down'))
        stage.it(`a download of ${megabytes} MB arrives intact over IP${family}`, async () => {
          const { lab } = stage;
          const { sha256 } = await randomFile(lab, `${family}.bin`, megabytes * 1024 * 1024);
          const command = `curl -sS --fail --max-time 100 '${url(lab, family, `/shared/${family}.bin`)}' | sha256sum`;
          assert.equal(
            (await lab.client.run(['sh', '-c', command], { limit: 110_000 })).slice(0, 64),
            sha256,
          );
        });

      if (ways.includes('up'))
        stage.it(`an upload of ${megabytes} MB arrives intact over IP${family}`, async () => {
          const { lab } = stage;
          const { path, sha256 } = await randomFile(lab, `${family}.bin`, megabytes * 1024 * 1024);
          const target = url(lab, family, '/', UPLOAD_PORT);
          const answer = await lab.client.run(
            ['curl', '-sS', '--fail', '--max-time', '100', '-H', 'Expect:', '-T', path, target],
            { limit: 110_000 },
          );
          assert.equal(answer.trim(), sha256);
        });
    }
  });
}

for (const workers of [1, 2]) {
  onLab({ title: `200 parallel clients, ${workers} worker(s)`, workers }, (stage) => {
    for (const family of families) {
      stage.it(`get 4000 pages over IP${family}, none fails`, async () => {
        const { lab } = stage;
        const results = await lab.client.run(
          [
            'curl',
            '-sS',
            '--no-progress-meter',
            '--parallel',
            '--parallel-immediate',
            '--parallel-max',
            '200',
            '--max-time',
            '60',
            '-H',
            'Connection: close',
            '-o',
            '/dev/null',
            '-w',
            '%{http_code} %{exitcode}\\n',
            `${url(lab, family)}?[1-4000]`,
          ],
          { limit: 100_000 },
        );
        const counts = new Map<string, number>();
        for (const line of results.trimEnd().split('\n')) counts.set(line, (counts.get(line) ?? 0) + 1);
        assert.deepEqual([...counts], [['200 0', 4000]]);
      });
    }
  });
}
