import assert from 'node:assert/strict';
import { DpvsdClient } from '../../../../dpvsd/client.js';
import { Forward, Protocol, Verb } from '../../../../dpvsd/generated/control.js';
import type { Operation } from '../../../../healthcheck/director/difference.js';
import { Director } from '../../../../healthcheck/director/director.js';
import { DpvsdDriver } from '../../../../healthcheck/director/dpvsd.js';
import { Refusal } from '../../../../healthcheck/director/driver.js';
import { keyText, serverText } from '../../../../healthcheck/director/table.js';
import type { LoadBalancing } from '../../../../keepalived/model/virtual-server.js';
import { systemClock } from '../../../../lib/clock.js';
import { Log } from '../../../../lib/log.js';
import { FakeDpvsd } from '../../dpvsd/fake-dpvsd.js';
import { Bench, MemoryDriver, part, realServer, until, virtualServer } from '../fixtures.js';

function services(count: number, weight = 1) {
  return Array.from({ length: count }, (_, index) =>
    virtualServer('192.0.2.1', index + 1, [
      realServer('10.0.0.1', 80, { weight }),
      realServer('10.0.0.2', 80),
    ]),
  );
}

describe('director', () => {
  it('keeps the state while there is no dataplane, says so once, and pushes when it appears', async () => {
    const driver = new MemoryDriver({ away: true });
    const bench = new Bench(systemClock, { driver });
    await bench.engine.apply(part(services(2)), false);
    driver.down();
    driver.down();
    assert.deepEqual(driver.operations, []);
    assert.equal(bench.log.filter((line) => line.startsWith('no dataplane')).length, 1);
    driver.up(true);
    await until(() => driver.operations.length === 6, 'push');
    assert.equal(driver.batches.length, 1);
    await bench.stop();
  });

  describe('when the dataplane refuses an entry of a client list', () => {
    const noSets = (operation: Operation, index: number) =>
      operation.object === 'list' && operation.verb !== 'delete' && operation.row.set !== ''
        ? new Refusal('refused', 'unsupported', 'lists by ipset are not part of this version', index)
        : undefined;
    const set = (name: string) => ({ kind: 'ipset' as const, name });
    const range = (address: string) => ({ kind: 'range' as const, first: address, last: address });
    const of = 'of TCP [192.0.2.1]:1';
    const CLOSED = [`add list entry deny 0.0.0.0/1 ${of}`, `add list entry deny 128.0.0.0/1 ${of}`];

    async function pushed(
      lists: Pick<LoadBalancing, 'denyAddressGroups' | 'allowAddressGroups'>,
      body: (driver: MemoryDriver, bench: Bench) => Promise<void>,
      count = 1,
    ): Promise<void> {
      const driver = new MemoryDriver();
      driver.refuse = noSets;
      const bench = new Bench(systemClock, { driver });
      const groups = { denyAddressGroup: 'bad', allowAddressGroup: 'good' };
      const all = services(count).map((vs) => ({ ...vs, ...groups }));
      await bench.engine.apply(part(all, lists), false);
      await until(() => driver.operations.some((line) => line.includes('add server')), 'servers');
      await bench.director.settled();
      await body(driver, bench);
      await bench.stop();
    }

    it('a service whose deny list lacks one lets nobody in, from the first moment, until the list can be had', async () => {
      const denyAddressGroups = { bad: [range('198.51.100.4'), set('crawlers')] };
      await pushed({ denyAddressGroups, allowAddressGroups: {} }, async (driver, bench) => {
        const [first] = driver.batches;
        for (const line of [...CLOSED, `add list entry deny 198.51.100.4/32 ${of}`])
          assert.ok(first!.indexOf(line) >= 0, line);
        assert.ok(first!.indexOf(CLOSED[1]!) < first!.findIndex((line) => line.startsWith('add server')));
        assert.ok(bench.log.some((line) => line.includes('refuses to add list entry deny ipset:crawlers')));

        // A reload tries again and leaves it closed.
        const before = driver.operations.length;
        const again = services(1).map((vs) => ({ ...vs, denyAddressGroup: 'bad' }));
        await bench.engine.apply(part(again, { denyAddressGroups: { bad: [set('crawlers')] } }), true);
        await until(() => driver.operations.length > before, 'the reload');
        await bench.director.settled();
        assert.deepEqual(driver.operations.slice(before), [`delete list entry deny 198.51.100.4/32 ${of}`]);

        driver.refuse = () => undefined;
        const closedBefore = driver.operations.length;
        bench.director.touchAll();
        await until(() => driver.operations.length > closedBefore, 'the list');
        assert.deepEqual(driver.operations.slice(closedBefore), [
          `add list entry deny ipset:crawlers ${of}`,
          ...CLOSED.map((line) => line.replace('add', 'delete')),
        ]);
      });
    });

    it('an allow list admits who is left in it, and nobody when it would be empty', async () => {
      const rest = { good: [range('198.51.100.4'), set('friends')] };
      await pushed({ denyAddressGroups: {}, allowAddressGroups: rest }, async (driver) => {
        assert.ok(driver.operations.includes(`add list entry allow 198.51.100.4/32 ${of}`));
        assert.ok(!driver.operations.includes(CLOSED[0]!));
      });
      await pushed(
        { denyAddressGroups: {}, allowAddressGroups: { good: [set('friends')] } },
        async (driver) => {
          for (const line of CLOSED) assert.ok(driver.operations.includes(line), line);
        },
      );
    });

    it('refuses a set once for all services, however many', async () => {
      const denyAddressGroups = { bad: [set('crawlers')] };
      const many = 300;
      await pushed(
        { denyAddressGroups, allowAddressGroups: {} },
        async (driver, bench) => {
          assert.equal(driver.batches.length, 1);
          assert.equal(driver.operations.filter((line) => line.includes('deny 0.0.0.0/1')).length, many);
          assert.equal(bench.log.filter((line) => line.includes('refuses')).length, 1);
        },
        many,
      );
    });

    it('entries of the other family are not asked for', async () => {
      const denyAddressGroups = { bad: [range('2001:db8::1'), range('198.51.100.4')] };
      await pushed({ denyAddressGroups, allowAddressGroups: {} }, async (driver) => {
        assert.deepEqual(
          driver.operations.filter((line) => line.includes('list entry')),
          [`add list entry deny 198.51.100.4/32 ${of}`],
        );
      });
    });
  });

  it('pushes the rest when one operation is refused, says which, and tries again only when it changed', async () => {
    const driver = new MemoryDriver();
    driver.refuse = (operation, index) =>
      operation.object === 'service' && operation.verb === 'add' && operation.row.scheduler === 'lblc'
        ? new Refusal('refused', 'unsupported', 'there is no scheduler lblc', index)
        : undefined;
    const bench = new Bench(systemClock, { driver });
    const bad = virtualServer('192.0.2.1', 9, [realServer('10.0.0.1', 80)], { scheduler: 'lblc' });
    await bench.engine.apply(part([bad, ...services(1)]), false);
    await until(() => driver.operations.length === 3, 'the rest');
    assert.deepEqual(driver.operations, [
      'add service TCP [192.0.2.1]:1, wrr',
      'add server [10.0.0.1]:80 of TCP [192.0.2.1]:1, FNAT, weight 1',
      'add server [10.0.0.2]:80 of TCP [192.0.2.1]:1, FNAT, weight 1',
    ]);
    const said = () =>
      bench.log.filter((line) => line.includes('refuses to add service TCP [192.0.2.1]:9')).length;
    assert.equal(said(), 1);
    bench.director.touch('TCP [192.0.2.1]:9');
    await bench.director.settled();
    assert.equal(said(), 1);
    await bench.engine.apply(part([{ ...bad, scheduler: 'rr' }, ...services(1)]), true);
    await until(() => driver.operations.length === 5, 'the changed one');
    await bench.stop();
  });

  it('splits what does not fit into one message', async () => {
    const driver = new MemoryDriver();
    const accept = driver.apply.bind(driver);
    driver.apply = (operations) =>
      operations.length > 100
        ? Promise.reject(new Refusal('too-big', 'too-big', 'too big'))
        : accept(operations);
    const bench = new Bench(systemClock, { driver });
    await bench.engine.apply(part(services(200)), false);
    await until(() => driver.operations.length === 600, 'all of it');
    assert.ok(driver.batches.every((batch) => batch.length <= 100));
    await bench.stop();
  });

  it('takes a server that somebody else removed already for removed', async () => {
    const driver = new MemoryDriver();
    const bench = new Bench(systemClock, { driver });
    await bench.engine.apply(part(services(1)), false);
    await bench.director.settled();
    driver.refuse = (operation, index) =>
      operation.verb === 'delete'
        ? new Refusal('refused', 'not-found', 'there is no such server', index)
        : undefined;
    const [vs] = services(1);
    await bench.engine.apply(part([{ ...vs!, realServers: [vs!.realServers[0]!] }]), true);
    await bench.director.settled();
    assert.equal([...bench.director.applied.values()][0]!.servers.size, 1);
    assert.ok(!bench.log.some((line) => line.includes('refuses')));
    await bench.stop();
  });
});

describe('director on a dpvsd', () => {
  let fake: FakeDpvsd;
  const lines: string[] = [];
  const log = new Log((_severity, line) => lines.push(line));

  beforeEach(async () => {
    fake = await FakeDpvsd.start();
  });
  afterEach(async () => {
    await fake.stop();
  });

  function start(): { director: Director; bench: Bench } {
    const driver = new DpvsdDriver(systemClock, fake.path);
    const bench = new Bench(systemClock, { driver: driver as never });
    return { director: bench.director, bench };
  }
  const servers = (director: Director) =>
    [...director.applied.values()].flatMap(({ servers }) => [...servers.values()]);

  it('pushes the whole state within a second of a dataplane’s restart', async () => {
    const { director, bench } = start();
    await bench.engine.apply(part(services(50)), false);
    await until(() => fake.batches.at(-1) === 150, 'first push');
    await fake.die();
    fake.reboot();
    await fake.listen();
    const restarted = performance.now();
    await until(() => fake.batches.length === 2, 'second push');
    const took = performance.now() - restarted;
    assert.equal(fake.batches.at(-1), 150);
    assert.ok(took < 1000, `${took} ms`);
    await until(() => servers(director).length === 100, 'the answer');
    await bench.stop();
  });

  it('lets a virtual server with ha_suspend rest while its address is not in the dataplane', async () => {
    const client = await DpvsdClient.connect({ path: fake.path, client: 'vrrp' });
    const address = { address: Uint8Array.of(192, 0, 2, 9), prefix: 32, device: 'dpdk0' };
    const order = (verb: Verb) => client.apply([{ verb, object: { $case: 'address', value: address } }]);
    const { bench } = start();
    const vs = virtualServer('192.0.2.9', 80, [realServer('10.0.0.1', 80)], { haSuspend: true });
    await bench.engine.apply(part([vs]), false);
    const runtime = [...bench.engine.runtimes.values()][0]!;
    assert.equal(runtime.suspended, true);
    await order(Verb.VERB_ADD);
    await until(() => !runtime.suspended, 'its checks run');
    await order(Verb.VERB_DELETE);
    await until(() => runtime.suspended, 'its checks rest');
    await order(Verb.VERB_ADD);
    await until(() => !runtime.suspended, 'its checks run again');
    // A restart loses it, and does not let the checks pause before that is known.
    client.close();
    const before = fake.gets;
    await fake.die();
    fake.reboot();
    await fake.listen();
    await until(() => bench.director.counters.connections === 2, 'another connection');
    await until(() => runtime.suspended, 'the new dataplane has no addresses');
    // On a busy machine it may have been away for longer than its addresses count, and is asked only now.
    await until(() => fake.gets >= before + 4, 'its tables are read');
    // Nothing is asked for while nothing happens.
    const quiet = fake.gets;
    await new Promise((resolve) => setTimeout(resolve, 1300));
    assert.equal(fake.gets, quiet);
    await bench.stop();
  });

  it('pushes nothing after a mere loss of the connection', async () => {
    const { director, bench } = start();
    await bench.engine.apply(part(services(5)), false);
    await until(() => director.counters.batches === 1, 'first push');
    fake.dropClients();
    await until(() => director.counters.connections === 2, 'reconnected');
    await director.settled();
    assert.equal(fake.batches.length, 1);
    await bench.stop();
  });

  it('reads back every attribute as it was written', async () => {
    const { director, bench } = start();
    const rich = virtualServer(
      '2001:db8::1',
      443,
      [
        realServer('2001:db8::a', 443, {
          weight: 7,
          upperThreshold: 9,
          lowerThreshold: 3,
          forwarding: { method: 'NAT' },
        }),
      ],
      {
        scheduler: 'conhash',
        hashTarget: 'qid',
        protocol: 'UDP',
        quic: true,
        ops: true,
        persistenceTimeout: 360_000,
        persistenceGranularity: '64',
        synProxy: true,
        expireQuiescent: true,
        proxyProtocol: 'v2-insecure',
        establishTimeout: 90_000,
        bps: 1000,
        limitProportion: 50,
        localAddressGroup: 'local',
        denyAddressGroup: 'bad',
      },
    );
    const mark = virtualServer(
      '192.0.2.1',
      80,
      [realServer('10.0.0.1', 0, { forwarding: { method: 'DR' } })],
      {
        target: { kind: 'fwmark', mark: 7, family: 4 },
      },
    );
    const snat = virtualServer(
      '192.0.2.1',
      80,
      [realServer('0.0.0.0', 0, { forwarding: { method: 'SNAT' } })],
      {
        target: {
          kind: 'match',
          name: 'out',
          sourceRange: '192.168.0.0-192.168.255.255',
          destinationRange: '',
          iif: '',
          oif: 'dpdk0',
        },
      },
    );
    await bench.engine.apply(
      part([rich, mark, snat], {
        localAddressGroups: { local: [{ first: '2001:db8::11', last: '2001:db8::12', device: 'dpdk1' }] },
        denyAddressGroups: { bad: [{ kind: 'range', first: '2001:db8:f::', last: '2001:db8:f::ff' }] },
      }),
      false,
    );
    await until(() => director.counters.batches === 1, 'push');
    const before = structuredClone(director.applied);
    fake.dropClients();
    await until(() => director.counters.connections === 2, 'read again');
    await director.settled();
    assert.deepEqual(director.applied, before);
    assert.equal(fake.batches.length, 1, 'and nothing differs');
    await bench.stop();
  });

  it('leaves alone what an operator added, also in our services, and takes over what is configured', async () => {
    const operator = await DpvsdClient.connect({ path: fake.path, client: 'ipvsadm' });
    const key = (port: number) => ({
      protocol: Protocol.PROTOCOL_TCP,
      address: Uint8Array.from([192, 0, 2, 1]),
      port,
    });
    const service = (port: number) => ({
      verb: Verb.VERB_ADD,
      object: { $case: 'service' as const, value: { key: key(port), scheduler: 'rr' } },
    });
    const server = (port: number, last: number) => ({
      verb: Verb.VERB_ADD,
      object: {
        $case: 'server' as const,
        value: {
          service: key(port),
          address: Uint8Array.from([10, 0, 0, last]),
          port: 80,
          forward: Forward.FORWARD_FULLNAT,
          weight: 3,
        },
      },
    });
    await operator.apply([service(9000), server(9000, 77), service(1), server(1, 1)]);
    const { director, bench } = start();
    await bench.engine.apply(part(services(1)), false);
    await until(() => fake.batches.length === 2, 'push');
    await operator.apply([server(1, 78)]);
    await bench.engine.apply(part([]), true);
    await director.settled();
    const left: string[] = [];
    const { Table } = await import('../../../../dpvsd/generated/control.js');
    for (const row of await operator.list(Table.TABLE_SERVICES, 'service'))
      left.push(String(row.service?.key?.port));
    assert.deepEqual(left, ['9000']);
    operator.close();
    await bench.stop();
  });

  it('begins while no dataplane is there, and pushes once one appears', async () => {
    await fake.die();
    const { bench } = start();
    const started = performance.now();
    await bench.engine.apply(part(services(3)), false);
    assert.ok(performance.now() - started < 3000);
    fake.reboot();
    await fake.listen();
    await until(() => fake.batches.length === 1, 'push');
    assert.equal(fake.batches[0], 9);
    await bench.stop();
  });

  it('sends time-outs to every dataplane', async () => {
    const driver = new MemoryDriver();
    const director = new Director(driver, systemClock, log);
    director.setTimeouts(900, 120, 300);
    director.start();
    await until(() => driver.commands.length === 1, 'time-outs');
    assert.deepEqual(driver.commands, [{ kind: 'timeouts', tcp: 900, tcpFin: 120, udp: 300 }]);
    driver.up(true);
    await until(() => driver.commands.length === 2, 'again');
    director.stop();
  });

  it('names rows as the tables do', () => {
    assert.equal(keyText({ kind: 'fwmark', mark: 3, family: 4 }), 'FWM 3');
    assert.equal(serverText({ address: '2001:db8::1', port: 80 }), '[2001:db8::1]:80');
  });
});
