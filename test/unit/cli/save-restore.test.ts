import assert from 'node:assert/strict';
import { splitWords } from '../../../cli/ipvsadm/restore.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import { FakeTables } from '../dpvsd/fake-tables.js';
import { Random } from '../random.js';
import { runIpvsadm } from './harness.js';
import { randomOperations } from './random-services.js';

/** Everything that matters of the services, in an order that does not depend on that of their creation. */
function snapshot(tables: FakeTables): unknown {
  const plain = (value: unknown): unknown => {
    if (value instanceof Uint8Array) return Buffer.from(value).toString('hex');
    if (Array.isArray(value)) return value.map(plain);
    if (value === null || typeof value !== 'object') return value;
    return Object.fromEntries(Object.entries(value).map(([name, inner]) => [name, plain(inner)]));
  };
  const sorted = <T>(map: Map<string, T>) => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
  return plain(
    sorted(tables.services).map(([key, entry]) => ({
      key,
      service: { ...entry.service, destCheck: entry.service.destCheck ?? null },
      servers: sorted(entry.servers).map(([, { server }]) => server),
      locals: sorted(entry.locals),
      lists: sorted(entry.lists),
    })),
  );
}

describe('ipvsadm -S and -R', () => {
  let from: FakeDpvsd;
  let to: FakeDpvsd;
  beforeEach(async () => {
    from = await FakeDpvsd.start();
    to = await FakeDpvsd.start();
  });
  afterEach(async () => {
    await from.stop();
    await to.stop();
  });

  it('restore what was saved, whatever it was', async () => {
    const first = Number(process.env.SEED ?? 1);
    for (let seed = first; seed < first + 150; seed++) {
      from.tables = new FakeTables();
      to.tables = new FakeTables();
      from.tables.apply({ operations: randomOperations(new Random(seed)), dryRun: false });
      const saved = await runIpvsadm(from.path, '-S -n');
      assert.equal(saved.code, 0);
      const restored = await runIpvsadm(to.path, '-R', saved.stdout);
      assert.equal(restored.code, 0, `SEED=${seed}: ${restored.stderr}\n${saved.stdout}`);
      assert.deepEqual(snapshot(to.tables), snapshot(from.tables), `SEED=${seed}\n${saved.stdout}`);
    }
  });

  it('write real servers in the order of -Ln, which reads them another way', async () => {
    for (let seed = 1; seed <= 50; seed++) {
      from.tables = new FakeTables();
      from.tables.apply({ operations: randomOperations(new Random(seed)), dryRun: false });
      const listed = JSON.parse((await runIpvsadm(from.path, '-Ln --json')).stdout) as {
        servers: { address: string; port: number }[];
      }[];
      const { stdout } = await runIpvsadm(from.path, '-S -n');
      assert.deepEqual(
        [...stdout.matchAll(/ -r (\S+) /g)].map(([, endpoint]) => endpoint),
        listed.flatMap(({ servers }) =>
          servers.map(({ address, port }) => `${address.includes(':') ? `[${address}]` : address}:${port}`),
        ),
        `seed ${seed}`,
      );
    }
  });

  it('load 110,000 lines in a dozen batches', async () => {
    const lines: string[] = [];
    for (let s = 0; s < 10_000; s++) {
      const vip = `10.${s >> 8}.${s & 255}.1:80`;
      lines.push(`-A -t ${vip} -s wrr`);
      for (let r = 1; r <= 10; r++)
        lines.push(`-a -t ${vip} -r 10.${s >> 8}.${s & 255}.${r + 1}:80 -b -w ${r}`);
    }
    const outcome = await runIpvsadm(to.path, '-R --json', `${lines.join('\n')}\n`);
    assert.equal(outcome.code, 0, outcome.stderr);
    assert.deepEqual(
      to.batches,
      Array.from({ length: 11 }, () => 10_000),
    );
    assert.equal(JSON.parse(outcome.stdout).lines, 110_000);
    assert.equal(to.tables.services.size, 10_000);
  }).timeout(60_000);

  it('apply nothing when a line is mistyped, and name the line', async () => {
    const { code, stderr } = await runIpvsadm(
      to.path,
      '-R',
      '-A -t 10.0.0.1:80\n\n# a comment\n-A -x 10.0.0.2:80\n',
    );
    assert.equal(code, 2);
    assert.match(stderr, /^line 4: -x does not go with --add-service/);
    assert.equal(to.tables.services.size, 0);
  });

  it('name the line that dpvsd refuses; its batch has not happened', async () => {
    const { code, stderr } = await runIpvsadm(
      to.path,
      '-R',
      '-A -t 10.0.0.1:80\n-A -t 10.0.0.2:80\n-A -t 10.0.0.1:80\n',
    );
    assert.equal(code, 1);
    assert.match(stderr, /^line 3: .*exists/);
    assert.equal(to.tables.services.size, 0);
  });

  it('say which lines are in force when a later batch is refused', async () => {
    const lines = Array.from({ length: 10_001 }, (_, n) => `-A -t 10.0.${n >> 8}.${n & 255}:80`);
    lines.push('-A -t 10.0.0.5:80');
    const { code, stderr } = await runIpvsadm(to.path, '-R', lines.join('\n'));
    assert.equal(code, 1);
    assert.match(stderr, /^line 10002: .*exists[\s\S]*lines 1 to 10000 are in force/);
    assert.equal(to.tables.services.size, 10_000);
  });

  it('take edits of what the same input added, in one more batch', async () => {
    const input = [
      'ipvsadm -A -t 10.0.0.1:80 -s rr -p 60',
      '-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 1',
      '-E -t 10.0.0.1:80 -s wrr',
      '-e -t 10.0.0.1:80 -r 10.1.0.1:80 -w 9',
      '-a -t 10.0.0.1:80 -r 10.1.0.2:80 -b',
      '-e -t 10.0.0.1:80 -r 10.1.0.2:80 -w 8',
    ];
    const { code, stderr } = await runIpvsadm(to.path, '-R', input.join('\n'));
    assert.equal(code, 0, stderr);
    assert.deepEqual(to.batches, [2, 4]);
    assert.equal(
      (await runIpvsadm(to.path, '-S')).stdout,
      [
        '-A -t 10.0.0.1:80 -s wrr -p 60',
        '-a -t 10.0.0.1:80 -r 10.1.0.1:80 -b -w 9',
        '-a -t 10.0.0.1:80 -r 10.1.0.2:80 -b -w 8',
        '',
      ].join('\n'),
    );
  });

  it('read what ipvsadm -S -n of an LVS machine writes', async () => {
    const lines = [
      '-A -t 192.0.2.1:80 -s wlc -p 360 -M 255.255.255.0',
      '-a -t 192.0.2.1:80 -r 10.0.0.1:8080 -m -w 1',
      '-a -t 192.0.2.1:80 -r 10.0.0.2:80 -g -w 0 -x 100 -y 10',
      '-A -u 192.0.2.1:53 -s rr -o',
      '-A -t [2001:db8::1]:443 -s sh -p 300 -M 64 -b sh-fallback,sh-port',
      '-a -t [2001:db8::1]:443 -r [2001:db8::2]:443 -i -w 2',
      '-A -f 7 -6 -s mh -b mh-port',
    ];
    const { code, stderr } = await runIpvsadm(to.path, '-R', lines.join('\n'));
    assert.equal(code, 0, stderr);
    const { stdout } = await runIpvsadm(to.path, '-S -n');
    assert.deepEqual(
      stdout.trimEnd().split('\n').sort(),
      lines.map((line) => line.replace(/^(-A .*?)( -[poM].*)? -b (\S+)$/, '$1 --sched-flags $3$2')).sort(),
    );
    assert.match((await runIpvsadm(to.path, '-A -t 192.0.2.9:80 -b')).stderr, /^-b does not go with/);
  });

  it('read words as a shell would', () => {
    assert.deepEqual(splitWords('  -A   -t 10.0.0.1:80\t-s rr # comment'), [
      '-A',
      '-t',
      '10.0.0.1:80',
      '-s',
      'rr',
    ]);
    assert.deepEqual(splitWords(`--owner "a \\"b\\" c" 'd # e' f\\ g h#i`), [
      '--owner',
      'a "b" c',
      'd # e',
      'f g',
      'h#i',
    ]);
    assert.deepEqual(splitWords('""'), ['']);
    assert.throws(() => splitWords('"open'), /not closed/);
  });
});
