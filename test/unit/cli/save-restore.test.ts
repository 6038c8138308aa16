import assert from 'node:assert/strict';
import { splitWords } from '../../../cli/ipvsadm/restore.js';
import { type Match, ServiceKey } from '../../../dpvsd/generated/control.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';
import { FakeTables } from '../dpvsd/fake-tables.js';
import { Random, runIpvsadm } from './harness.js';

const schedulers = 'rr wrr lc wlc sed nq sh dh mh conhash fo ovf'.split(' ');

function address(random: Random, ipv6: boolean): Uint8Array {
  const bytes = Uint8Array.from({ length: ipv6 ? 16 : 4 }, () =>
    random.chance(0.4) ? 0 : random.within(0, 255),
  );
  bytes[0] = ipv6 ? 0x20 : 10;
  return bytes;
}

function match(random: Random, ipv6: boolean): Match {
  const range = () => {
    const [low, high] = [address(random, ipv6), address(random, ipv6)].sort(Buffer.compare) as [
      Uint8Array,
      Uint8Array,
    ];
    const portHigh = random.chance(0.5) ? random.within(1, 65535) : 0;
    return { low, high, portHigh, portLow: random.within(0, portHigh) };
  };
  const none = { low: new Uint8Array(0), high: new Uint8Array(0), portLow: 0, portHigh: 0 };
  const source = range();
  const destination = random.chance(0.5) ? range() : none;
  return {
    sourceLow: source.low,
    sourceHigh: source.high,
    sourcePortLow: source.portLow,
    sourcePortHigh: source.portHigh,
    destinationLow: destination.low,
    destinationHigh: destination.high,
    destinationPortLow: destination.portLow,
    destinationPortHigh: destination.portHigh,
    inPort: random.pick(['', 'dpdk0']),
    outPort: random.pick(['', 'dpdk1']),
  };
}

function serviceKey(random: Random): ServiceKey {
  const ipv6 = random.chance(0.4);
  const kind = random.within(0, 9);
  if (kind === 0) {
    return ServiceKey.fromPartial({
      fwmark: random.within(1, 0xffffffff),
      ...(ipv6 ? { address: new Uint8Array(16) } : {}),
    });
  }
  if (kind === 1) {
    const protocol = random.pick([0, 6, 17, ipv6 ? 58 : 1]);
    return ServiceKey.fromPartial({ protocol, match: match(random, ipv6) });
  }
  const protocol = random.pick([6, 6, 17, ipv6 ? 58 : 1]);
  return ServiceKey.fromPartial({ protocol, address: address(random, ipv6), port: random.within(1, 65535) });
}

/** Fills tables with everything that a service can have, in random combinations. */
function randomTables(random: Random, tables: FakeTables): void {
  const operations: Parameters<FakeTables['apply']>[0]['operations'] = [];
  const add = (object: NonNullable<(typeof operations)[number]['object']>) =>
    operations.push({ verb: 2, object });
  const some = (value: number) => (random.chance(0.3) ? value : 0);
  for (let n = random.within(1, 12); n > 0; n--) {
    const key = serviceKey(random);
    const ipv6 = key.address.length === 16 || (key.match?.sourceLow.length ?? 0) === 16;
    const udp = key.protocol === 17 || key.fwmark > 0;
    const scheduler = random.pick(schedulers);
    const downOnly = random.chance(0.3);
    add({
      $case: 'service',
      value: {
        key,
        scheduler,
        persistence: some(random.within(1, 9999)),
        persistencePrefix: some(random.within(1, (key.address.length === 16 ? 128 : 32) - 1)),
        onePacket: udp && random.chance(0.3),
        synProxy: random.chance(0.3),
        expireQuiescent: random.chance(0.3),
        quic: udp && random.chance(0.3),
        connectionTimeout: some(random.within(1, 86400 * 31)),
        proxyProtocol: udp ? random.pick([0, 2, 4]) : random.within(0, 4),
        hashTarget: udp && scheduler === 'conhash' ? random.within(0, 1) : 0,
        destCheck: random.chance(0.3)
          ? {
              enabled: true,
              downRetry: random.within(1, 255),
              upConfirm: downOnly ? 0 : random.within(1, 255),
              downWait: random.within(1, 255),
              inhibitMin: downOnly ? 0 : random.within(1, 100),
              inhibitMax: downOnly ? 0 : random.within(100, 65535),
            }
          : undefined,
        bps: some(random.within(1, 1e12)),
        limitProportion: some(random.within(1, 100)),
        owner: random.pick(['', '', 'keepalived', 'a "quoted" owner\\with # all']),
        schedulerFlags: random.pick(['', '', 'sh-fallback,sh-port']),
      },
    });
    for (let s = random.within(0, 6); s > 0; s--) {
      const forward = random.within(0, 4);
      const upper = some(random.within(1, 0x7fffffff));
      // Direct routing and tunnels do not change ports.
      const fixed = key.fwmark === 0 && (forward === 2 || forward === 3);
      add({
        $case: 'server',
        value: {
          service: key,
          address: address(random, ipv6),
          port: fixed ? key.port : random.within(1, 65535),
          forward,
          weight: random.within(0, 65535),
          upperThreshold: upper,
          lowerThreshold: random.chance(0.5) ? random.within(0, upper) : 0,
          inhibited: random.chance(0.2),
          owner: random.pick(['', 'keepalived']),
        },
      });
    }
    for (let l = random.within(0, 4); l > 0; l--) {
      add({
        $case: 'localAddress',
        value: { service: key, address: address(random, ipv6), device: random.pick(['dpdk0', 'dpdk1']) },
      });
    }
    for (let e = random.within(0, 4); e > 0; e--) {
      const set = random.chance(0.2) ? `set-${e}` : '';
      add({
        $case: 'listEntry',
        value: {
          service: key,
          kind: random.within(0, 1),
          address:
            set !== ''
              ? new Uint8Array(0)
              : random.chance(0.1)
                ? new Uint8Array(ipv6 ? 16 : 4)
                : address(random, ipv6),
          prefix: set === '' ? some(random.within(1, ipv6 ? 127 : 31)) : 0,
          set,
        },
      });
    }
  }
  tables.apply({ operations, dryRun: false });
}

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
      randomTables(new Random(seed), from.tables);
      const saved = await runIpvsadm(from.path, '-S -n');
      assert.equal(saved.code, 0);
      const restored = await runIpvsadm(to.path, '-R', saved.stdout);
      assert.equal(restored.code, 0, `SEED=${seed}: ${restored.stderr}\n${saved.stdout}`);
      assert.deepEqual(snapshot(to.tables), snapshot(from.tables), `SEED=${seed}\n${saved.stdout}`);
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
