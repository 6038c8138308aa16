import assert from 'node:assert/strict';
import { BinaryReader } from '@bufbuild/protobuf/wire';
import { parseCommandLine } from '../../../cli/ipvsadm/command.js';
import { QuickLineReader, readServerRow } from '../../../cli/ipvsadm/quick-line.js';
import { splitWords } from '../../../cli/ipvsadm/restore.js';
import { savedServer } from '../../../cli/ipvsadm/save.js';
import { EncodedBatch } from '../../../dpvsd/client.js';
import { Row, Rows, ServerRow } from '../../../dpvsd/generated/control.js';
import { Random } from '../random.js';

const seeds = (count: number) => {
  const first = Number(process.env.SEED ?? 1);
  return Array.from({ length: count }, (_, n) => first + n);
};

/** A line as -S writes it, of an IPv4 service or server without an owner. */
function savedLine(random: Random): string {
  const number = (most: number) => random.pick([0, 1, most, random.within(0, most)]);
  const endpoint = () => `${[1, 2, 3, 4].map(() => number(255)).join('.')}:${number(65535)}`;
  const service = `-${random.pick(['t', 'u'])} ${endpoint()}`;
  if (random.chance(0.2) && !service.endsWith(':0')) {
    return `-A ${service} -s ${random.pick(['rr', 'wrr', 'conhash', 'nosuchschedule'])}`;
  }
  const words = [`-${random.pick(['b', 'm', 'g', 'i', 'J'])}`, `-w ${number(65535)}`];
  if (random.chance(0.2)) words.push(`-x ${random.within(1, 0x7fffffff)}`);
  if (random.chance(0.2)) words.push(`-y ${random.within(1, 0x7fffffff)}`);
  return `-a ${service} -r ${endpoint()} ${words.join(' ')}`;
}

/** The line with one or two slips. */
function mistyped(random: Random, line: string): string {
  let text = line;
  for (let n = random.within(1, 2); n > 0; n--) {
    const at = random.within(0, text.length);
    const inserted = random.pick([
      '',
      '0',
      '9',
      ' ',
      '.',
      ':',
      '-',
      '-w 3 ',
      ' -b',
      ' -x 0',
      'a',
      '\\',
      "'",
      '\t',
      '#',
      '[',
      'é',
    ]);
    text = text.slice(0, at) + inserted + text.slice(at + random.within(0, 2));
  }
  return text;
}

/** A row as dpvsd tells it, half of them of an IPv4 server without an owner. */
function randomServerRow(random: Random): ServerRow {
  const ipv6 = random.chance(0.2);
  const bytes = () => Uint8Array.from({ length: ipv6 ? 16 : 4 }, () => random.within(0, 255));
  const some = (most: number) => (random.chance(0.5) ? random.within(0, most) : 0);
  return ServerRow.fromPartial({
    server: {
      service: { protocol: random.pick([6, 17]), address: bytes(), port: some(65535) },
      address: bytes(),
      port: some(65535),
      forward: random.within(0, 4),
      weight: some(65535),
      upperThreshold: some(0x7fffffff),
      lowerThreshold: some(0x7fffffff),
      inhibited: random.chance(0.1),
      owner: random.pick(['', '', '', 'keepalived']),
    },
    active: some(1e9),
    persistent: some(1e9),
    overloaded: random.chance(0.5),
    ...(random.chance(0.5) ? { traffic: { connections: some(1e15) } } : {}),
  });
}

/** Bytes of the batch that the general way makes of a line, or undefined when it is wrong or is no single operation. */
function generally(line: string): Uint8Array | undefined {
  try {
    const { command } = parseCommandLine(splitWords(line));
    if (command.kind !== 'change' || command.change.kind !== 'operation') return undefined;
    const batch = new EncodedBatch();
    batch.add(command.change.operation);
    return batch.finish(false);
  } catch {
    return undefined;
  }
}

function quickly(line: string): Uint8Array | undefined {
  const batch = new EncodedBatch();
  // What is around the line must not matter.
  const bytes = Buffer.from(`7 -b\n${line}\n0`);
  const next = new QuickLineReader().read(bytes, 5, batch);
  if (next < 0) {
    assert.equal(batch.count, 0);
    return undefined;
  }
  assert.equal(next, bytes.length - 1);
  return batch.finish(false);
}

describe('ipvsadm: the quick way of lines', () => {
  it('reads every line that -S writes to the same bytes as the general way', () => {
    for (const seed of seeds(3000)) {
      const line = savedLine(new Random(seed));
      const quick = quickly(line);
      assert.ok(quick, `SEED=${seed}: ${line}`);
      assert.deepEqual(Buffer.from(quick), Buffer.from(generally(line) ?? []), `SEED=${seed}: ${line}`);
    }
  });

  it('takes nothing that the general way refuses or reads otherwise', () => {
    let taken = 0;
    for (const seed of seeds(20_000)) {
      const random = new Random(seed);
      const line = mistyped(random, savedLine(random));
      if (line.includes('\n')) continue;
      const quick = quickly(line);
      if (!quick) continue;
      taken++;
      assert.deepEqual(Buffer.from(quick), Buffer.from(generally(line) ?? []), `SEED=${seed}: ${line}`);
    }
    assert.ok(taken > 500, `only ${taken} lines were taken`);
  });

  it('leaves the lines of others alone', () => {
    for (const line of [
      '',
      '#',
      '-A -t 10.0.0.1:80',
      '-A -t 10.0.0.1:0 -s rr',
      '-A -t 10.0.0.1:80 -s sh2',
      '-A -t 10.0.0.1:80 -s',
      '-A -t 10.0.0.1:80 -s rr -p 60',
      '-E -t 10.0.0.1:80 -s rr',
      '-d -t 10.0.0.1:80 -r 10.0.0.2:80',
      '-a -t [2001:db8::1]:80 -r [2001:db8::2]:80 -b -w 1',
      '-a -t 10.0.0.1:80 -r web1:http -b -w 1',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -b -w 1 --owner keepalived',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -b -w 65536',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:65536 -b -w 1',
      '-a -t 10.0.0.1:80 -r 10.0.0.256:80 -b -w 1',
      '-a -t 10.0.0.1:80 -r 10.0.0.02:80 -b -w 1',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -b -m -w 1',
      '-a -t 10.0.0.1:80 -r 10.0.0.2:80 -b -w 1 ',
    ]) {
      assert.equal(quickly(line), undefined, line);
    }
  });

  it('writes every row as the general way does', () => {
    let taken = 0;
    for (const seed of seeds(3000)) {
      const value = randomServerRow(new Random(seed));
      const bytes = Rows.encode({ rows: [{ worker: 0, row: { $case: 'server', value } }] }).finish();
      const reader = new BinaryReader(bytes);
      reader.uint32();
      const quick = readServerRow(reader, bytes, reader.uint32());
      const { server } = value;
      assert.ok(server);
      const ordinary = server.address.length === 4 && !server.inhibited && server.owner === '';
      assert.equal(quick !== undefined, ordinary, `SEED=${seed}`);
      if (!quick) continue;
      taken++;
      assert.equal(reader.pos, bytes.length);
      assert.deepEqual(quick, savedServer(server), `SEED=${seed}`);
    }
    assert.ok(taken > 1000, `only ${taken} rows were taken`);
  });

  it('never reads beyond a row, whatever its bytes are', () => {
    const value = randomServerRow(new Random(1));
    for (const seed of seeds(3000)) {
      const random = new Random(seed);
      const row = Row.encode({ worker: 0, row: { $case: 'server', value } }).finish();
      for (let n = random.within(1, 3); n > 0; n--)
        row[random.within(0, row.length - 1)] = random.within(0, 255);
      const reader = new BinaryReader(row);
      let quick: ReturnType<typeof readServerRow>;
      try {
        quick = readServerRow(reader, row, row.length);
      } catch {
        continue;
      }
      if (quick) assert.equal(reader.pos, row.length, `SEED=${seed}`);
    }
  });
});
