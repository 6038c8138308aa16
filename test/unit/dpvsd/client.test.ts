import assert from 'node:assert/strict';
import { mkdtempSync, rmSync } from 'node:fs';
import { createServer, type Server } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { DpvsdClient, DpvsdError, type OperationInput, socketPath } from '../../../dpvsd/client.js';
import { frame, Unframer } from '../../../dpvsd/framing.js';
import { ConnectionRow, Protocol, Reply, Table, Verb } from '../../../dpvsd/generated/control.js';
import { FakeDpvsd } from './fake-dpvsd.js';

const key = { protocol: Protocol.PROTOCOL_TCP, address: Uint8Array.of(192, 0, 2, 1), port: 80 };
const service = (verb: Verb, scheduler = 'rr', port = 80): OperationInput => ({
  verb,
  object: { $case: 'service', value: { key: { ...key, port }, scheduler } },
});

async function refusal(promise: Promise<unknown>): Promise<DpvsdError> {
  const error = await promise.then(
    () => undefined,
    (reason: unknown) => reason,
  );
  assert.ok(error instanceof DpvsdError, `expected a DpvsdError, got ${error}`);
  return error;
}

describe('control client', () => {
  let fake: FakeDpvsd;
  const clients: DpvsdClient[] = [];
  const connect = async (options: { path?: string; timeout?: number } = {}) => {
    const client = await DpvsdClient.connect({ path: fake.path, client: 'test', ...options });
    clients.push(client);
    return client;
  };
  beforeEach(async () => {
    fake = await FakeDpvsd.start();
  });
  afterEach(async () => {
    for (const client of clients.splice(0)) client.close();
    await fake.stop();
  });

  it('selects the socket by DPVS_IPC_FILE', () => {
    assert.equal(socketPath({ DPVS_IPC_FILE: '/tmp/other.ipc' }), '/tmp/other.ipc');
    assert.equal(socketPath({}), '/var/run/dpvs.ipc');
  });

  it('greets, says its name, and knows the boot id', async () => {
    const client = await connect();
    assert.equal(client.bootId, fake.bootId);
    assert.deepEqual(client.greeting.ports, ['dpdk0', 'dpdk1']);
    await client.apply([]);
    assert.deepEqual(fake.hellos, ['test']);
  });

  it('applies a batch as a whole, and reads it back', async () => {
    const client = await connect();
    const applied = await client.apply([
      service(Verb.VERB_ADD),
      {
        verb: Verb.VERB_ADD,
        object: {
          $case: 'server',
          value: { service: key, address: Uint8Array.of(10, 0, 0, 1), port: 8080, weight: 3 },
        },
      },
    ]);
    assert.equal(applied.operations, 2);
    const [row] = await client.list(Table.TABLE_SERVICES, 'service');
    assert.equal(row?.service?.scheduler, 'rr');
    assert.equal(row?.servers, 1);
    const [server] = await client.list(Table.TABLE_SERVICES, 'server', { service: key });
    assert.equal(server?.server?.weight, 3);
  });

  it('reports which operation of a batch was refused and why, and nothing of it is there', async () => {
    const client = await connect();
    const error = await refusal(
      client.apply([service(Verb.VERB_ADD), service(Verb.VERB_ADD, 'rr', 81), service(Verb.VERB_ADD)]),
    );
    assert.equal(error.code, 'exists');
    assert.equal(error.operation, 2);
    assert.match(error.message, /exists/);
    assert.deepEqual(await client.list(Table.TABLE_SERVICES, 'service'), []);
  });

  it('changes nothing in a dry run', async () => {
    const client = await connect();
    await client.apply([service(Verb.VERB_ADD)], { dryRun: true });
    assert.equal(fake.tables.services.size, 0);
  });

  it('pipelines: answers of many requests find their callers', async () => {
    const client = await connect();
    const results = await Promise.allSettled(
      Array.from({ length: 200 }, (_, n) =>
        n % 2 === 0
          ? client.apply([service(Verb.VERB_ADD, 'rr', 1 + n)])
          : client.apply([service(Verb.VERB_EDIT, 'rr', 5000)]),
      ),
    );
    for (const [n, result] of results.entries()) {
      assert.equal(result.status, n % 2 === 0 ? 'fulfilled' : 'rejected');
    }
    assert.equal(fake.tables.services.size, 100);
  });

  function manyConnections(count: number): void {
    fake.tables.connections = Array.from({ length: count }, (_, n) =>
      ConnectionRow.fromPartial({
        protocol: Protocol.PROTOCOL_TCP,
        client: Uint8Array.of(10, n >> 16, n >> 8, n),
        clientPort: n % 65536,
        state: 'ESTABLISHED',
      }),
    );
  }

  it('streams a long table in order, also to a slow reader', async () => {
    manyConnections(20_000);
    const client = await connect();
    let count = 0;
    for await (const { row } of client.get(Table.TABLE_CONNECTIONS)) {
      assert.equal(row.$case === 'connection' && row.value.clientPort, count % 65536);
      if (count++ % 1000 === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    }
    assert.equal(count, 20_000);
  });

  it('does not read a table faster than its reader does', async () => {
    manyConnections(100_000);
    const client = await connect();
    const rows = client.get(Table.TABLE_CONNECTIONS)[Symbol.asyncIterator]();
    await rows.next();
    let sent = -1;
    while (sent !== fake.rowsSent) {
      sent = fake.rowsSent;
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
    assert.ok(sent < 50_000, `the daemon could write ${sent} rows that nobody had asked for`);
    await rows.return();
    // The rest is skipped, the connection is still good.
    assert.equal((await client.apply([service(Verb.VERB_ADD)])).operations, 1);
  });

  it('answers a request made in the middle of a stream', async () => {
    manyConnections(20_000);
    const client = await connect();
    let count = 0;
    for await (const _ of client.get(Table.TABLE_CONNECTIONS)) {
      if (count++ === 5) await client.apply([service(Verb.VERB_ADD)]);
    }
    assert.equal(count, 20_000);
    assert.equal(fake.tables.services.size, 1);
  });

  it('says that nobody is there, and asks whether dpvsd runs', async () => {
    const error = await refusal(connect({ path: `${fake.path}.none` }));
    assert.equal(error.code, 'unreachable');
    assert.match(error.message, /no control socket at .*ipc\.none/);
    assert.match(error.hint, /is dpvsd running\?/);
  });

  it('rejects what waits when the daemon dies, and everything after', async () => {
    const client = await connect();
    await client.apply([]);
    fake.silent = true;
    const waiting = refusal(client.apply([service(Verb.VERB_ADD)]));
    await fake.die();
    assert.equal((await waiting).code, 'closed');
    assert.equal((await client.closed)?.code, 'closed');
    assert.equal((await refusal(client.apply([]))).code, 'closed');
    assert.equal(client.open, false);
  });

  it('does not wait for ever on a silent daemon', async () => {
    const client = await connect({ timeout: 100 });
    fake.silent = true;
    assert.equal((await refusal(client.apply([]))).code, 'timeout');
  });

  it('an idle connection lives longer than the time-out', async () => {
    const client = await connect({ timeout: 50 });
    await new Promise((resolve) => setTimeout(resolve, 150));
    await client.apply([]);
  });

  it('refuses another protocol with both numbers', async () => {
    fake.protocol = 7;
    const error = await refusal(connect());
    assert.equal(error.code, 'protocol');
    assert.match(error.message, /speaks control protocol 7, this program speaks 1/);
  });

  it('refuses a batch that no message can carry, before sending anything', async () => {
    const client = await connect();
    const setting: OperationInput = {
      verb: Verb.VERB_EDIT,
      object: { $case: 'setting', value: { name: 'x', value: 'y'.repeat(5_000_000) } },
    };
    assert.equal((await refusal(client.apply([setting]))).code, 'too-big');
    await client.apply([]);
  });
});

describe('control client against strangers', () => {
  let folder = '';
  let server: Server | undefined;
  before(() => {
    folder = mkdtempSync(join(tmpdir(), `stranger-${process.pid}-`));
  });
  afterEach(() => server?.close());
  after(() => rmSync(folder, { recursive: true, force: true }));

  let count = 0;
  async function stranger(first: Buffer): Promise<string> {
    const path = join(folder, `s${count++}`);
    server = createServer((socket) => {
      socket.on('error', () => {});
      socket.end(first);
    });
    await new Promise<void>((resolve) => server!.listen(path, resolve));
    return path;
  }

  const greeting = frame(
    Reply.encode(
      Reply.fromPartial({ id: 0, body: { $case: 'greeting', value: { protocol: 1, bootId: 'a' } } }),
    ).finish(),
  );
  for (const [what, bytes, code] of [
    ['an HTTP server', Buffer.from('HTTP/1.1 400 Bad Request\r\n\r\n'), 'protocol'],
    ['nothing', Buffer.alloc(0), 'closed'],
    ['a length of zero', Buffer.alloc(4), 'protocol'],
    ['half a greeting', greeting.subarray(0, 9), 'closed'],
    ['garbage in a frame', frame(Buffer.from([0xff, 0xff, 0xff, 0xff, 0xff])), 'protocol'],
  ] as const) {
    it(`refuses ${what}`, async () => {
      const path = await stranger(bytes);
      const error = await refusal(DpvsdClient.connect({ path, client: 'test' }));
      assert.equal(error.code, code);
    });
  }

  it('fails requests when garbage follows a good greeting', async () => {
    const path = await stranger(Buffer.concat([greeting, frame(Buffer.from([0x0b, 0x0c, 0xff]))]));
    const client = await DpvsdClient.connect({ path, client: 'test' });
    assert.equal((await refusal(client.apply([]))).code, 'protocol');
  });
});

describe('control client against noise', () => {
  it('settles every request with a DpvsdError, whatever comes back', async () => {
    const folder = mkdtempSync(join(tmpdir(), `noise-${process.pid}-`));
    const path = join(folder, 'ipc');
    let seed = 1;
    const random = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) & 0x7fffffff;
      return seed / 0x80000000;
    };
    const good = (id: number) =>
      Buffer.concat([
        frame(
          Reply.encode(
            Reply.fromPartial({
              id,
              body: { $case: 'rows', value: { rows: [{ row: { $case: 'timeouts', value: { tcp: 90 } } }] } },
            }),
          ).finish(),
        ),
        frame(Reply.encode(Reply.fromPartial({ id, body: { $case: 'done', value: { rows: 1 } } })).finish()),
      ]);
    const greeting = frame(
      Reply.encode(
        Reply.fromPartial({ body: { $case: 'greeting', value: { protocol: 1, bootId: 'a' } } }),
      ).finish(),
    );
    const server = createServer((socket) => {
      socket.on('error', () => {});
      socket.write(greeting);
      // Answers to the first two requests, with a few bytes changed, some lost, and the end at any place.
      const noise = Buffer.concat([good(2), good(3)]);
      for (let n = random() * 4; n > 1; n--) {
        noise[Math.floor(random() * noise.length)] = Math.floor(random() * 256);
      }
      const from = random() < 0.2 ? Math.floor(random() * 8) : 0;
      const to = noise.length - Math.floor(random() * random() * 30);
      const asked = new Unframer();
      let requests = 0;
      socket.on('data', (chunk) => {
        asked.push(chunk);
        while (asked.next()) requests++;
        if (requests === 3) socket.end(noise.subarray(from, to));
      });
    });
    await new Promise<void>((resolve) => server.listen(path, resolve));
    const counts = { good: 0, bad: 0 };
    try {
      for (let n = 0; n < 300; n++) {
        const client = await DpvsdClient.connect({ path, client: 'test', timeout: 1000 });
        const asked = [
          client.list(Table.TABLE_TIMEOUTS, 'timeouts'),
          client.list(Table.TABLE_TIMEOUTS, 'timeouts'),
        ];
        for (const outcome of await Promise.allSettled(asked)) {
          if (outcome.status === 'fulfilled') counts.good++;
          else {
            counts.bad++;
            assert.ok(outcome.reason instanceof DpvsdError, String(outcome.reason?.stack));
          }
        }
        client.close();
      }
    } finally {
      server.close();
      rmSync(folder, { recursive: true, force: true });
    }
    assert.ok(counts.good > 50 && counts.bad > 50, JSON.stringify(counts));
  });
});

describe('framing', () => {
  it('cuts a stream into the same messages however it is chopped', () => {
    const messages = [1, 2, 3, 300, 70_000].map((length) => Buffer.alloc(length, length));
    const stream = Buffer.concat(messages.map((message) => frame(message)));
    for (const size of [1, 2, 3, 4, 5, 7, 64, 1000, 65_536, stream.length]) {
      const unframer = new Unframer();
      const got: Buffer[] = [];
      for (let at = 0; at < stream.length; at += size) {
        unframer.push(stream.subarray(at, at + size));
        for (let message = unframer.next(); message; message = unframer.next())
          got.push(Buffer.from(message));
      }
      assert.deepEqual(got, messages);
      assert.equal(unframer.pending, false);
    }
  });
});
