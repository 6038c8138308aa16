import assert from 'node:assert/strict';
import { difference, type Operation } from '../../../../healthcheck/director/difference.js';
import { expandRange, parseMatchRange, rangePrefixes } from '../../../../healthcheck/director/ranges.js';
import {
  keyText,
  listText,
  localText,
  type Server,
  type Service,
  type ServiceEntry,
  type ServiceTable,
  serverText,
} from '../../../../healthcheck/director/table.js';

const service: Service = {
  scheduler: 'rr',
  schedulerFlags: '',
  persistence: 0,
  persistencePrefix: 0,
  onePacket: false,
  synProxy: false,
  expireQuiescent: false,
  quic: false,
  connectionTimeout: 0,
  proxyProtocol: 'none',
  hashTarget: 'sip',
  bps: 0,
  limitProportion: 100,
};

function server(number: number, weight: number): Server {
  return {
    address: `10.0.${number >> 8}.${number & 255}`,
    port: 80,
    forward: 'FNAT',
    weight,
    upperThreshold: 0,
    lowerThreshold: 0,
    inhibited: false,
  };
}

/** What a dataplane does with operations, by the book: adding what is there, editing or deleting what is not, is an error. */
function apply(table: ServiceTable, operations: Operation[]): void {
  for (const { verb, object, key, row } of operations) {
    const name = keyText(key);
    const entry = table.get(name);
    if (object === 'service') {
      assert.equal(entry !== undefined, verb !== 'add', `${verb} service ${name}`);
      if (verb === 'delete') table.delete(name);
      else if (entry) entry.service = row as Service;
      else
        table.set(name, {
          key,
          service: row as Service,
          servers: new Map(),
          locals: new Map(),
          lists: new Map(),
        });
      continue;
    }
    assert.ok(entry, `${verb} ${object} of ${name}, which is not there`);
    const rows = { server: entry.servers, local: entry.locals, list: entry.lists }[object] as Map<
      string,
      object
    >;
    const id =
      object === 'server'
        ? serverText(row as never)
        : object === 'local'
          ? localText(row as never)
          : listText(row as never);
    assert.equal(rows.has(id), verb !== 'add', `${verb} ${object} ${id} of ${name}`);
    if (verb === 'delete') rows.delete(id);
    else rows.set(id, row);
  }
}

function plain(table: ServiceTable): unknown {
  return [...table]
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([name, entry]) => [
      name,
      entry.service,
      [...entry.servers].sort(),
      [...entry.locals].sort(),
      [...entry.lists].sort(),
    ]);
}

describe('difference between tables', () => {
  let seed = 5;
  const random = (limit: number) => {
    seed = (seed * 1103515245 + 12345) & 0x7fffffff;
    return Math.floor((seed / 0x7fffffff) * limit);
  };

  function randomTable(): ServiceTable {
    const table: ServiceTable = new Map();
    for (let at = 0; at < 6; at++) {
      if (random(3) === 0) continue;
      const entry: ServiceEntry = {
        key: { kind: 'address', protocol: 'TCP', address: '192.0.2.1', port: at + 1 },
        service: { ...service, scheduler: ['rr', 'wrr'][random(2)]! },
        servers: new Map(),
        locals: new Map(),
        lists: new Map(),
      };
      for (let number = 0; number < 8; number++) {
        if (random(2)) {
          const row = server(number, random(3));
          entry.servers.set(serverText(row), row);
        }
        if (random(4) === 0) {
          const row = { address: `10.9.0.${number}`, device: 'dpdk0' };
          entry.locals.set(localText(row), row);
        }
        if (random(4) === 0) {
          const row = { list: 'deny' as const, address: `10.8.0.${number}`, prefix: 32, set: '' };
          entry.lists.set(listText(row), row);
        }
      }
      table.set(keyText(entry.key), entry);
    }
    return table;
  }

  it('leads from any table to any other, and is empty between equals, on random tables', () => {
    for (let round = 0; round < 300; round++) {
      const applied = randomTable();
      const desired = randomTable();
      apply(applied, difference(applied, desired));
      assert.deepEqual(plain(applied), plain(desired));
      assert.deepEqual(difference(applied, structuredClone(desired)), []);
    }
  });

  it('is one operation for one changed weight among 10,000 servers', () => {
    const make = (): ServiceTable => {
      const entry: ServiceEntry = {
        key: { kind: 'address', protocol: 'TCP', address: '192.0.2.1', port: 80 },
        service,
        servers: new Map(),
        locals: new Map(),
        lists: new Map(),
      };
      for (let number = 0; number < 10_000; number++) {
        const row = server(number, 1);
        entry.servers.set(serverText(row), row);
      }
      return new Map([[keyText(entry.key), entry]]);
    };
    const desired = make();
    const changed = server(4711, 9);
    [...desired.values()][0]!.servers.set(serverText(changed), changed);
    const operations = difference(make(), desired);
    assert.deepEqual(
      operations.map(({ verb, object, row }) => [verb, object, row]),
      [['edit', 'server', changed]],
    );
  });

  it('adds before it removes, so that a service is never without a server between the two', () => {
    const table = (number: number): ServiceTable => {
      const row = server(number, 1);
      const entry: ServiceEntry = {
        key: { kind: 'fwmark', mark: 7, family: 4 },
        service,
        servers: new Map([[serverText(row), row]]),
        locals: new Map(),
        lists: new Map(),
      };
      return new Map([[keyText(entry.key), entry]]);
    };
    assert.deepEqual(
      difference(table(1), table(2)).map(({ verb }) => verb),
      ['add', 'delete'],
    );
  });
});

describe('address ranges', () => {
  it('expand to their addresses', () => {
    assert.deepEqual(expandRange('10.0.0.254', '10.0.1.1'), [
      '10.0.0.254',
      '10.0.0.255',
      '10.0.1.0',
      '10.0.1.1',
    ]);
    assert.deepEqual(expandRange('2001:db8::ff', '2001:db8::101'), [
      '2001:db8::ff',
      '2001:db8::100',
      '2001:db8::101',
    ]);
  });

  it('become the fewest prefixes that cover them', () => {
    const text = (first: string, last: string) =>
      rangePrefixes(first, last).map(({ address, prefix }) => `${address}/${prefix}`);
    assert.deepEqual(text('10.0.0.0', '10.0.0.255'), ['10.0.0.0/24']);
    assert.deepEqual(text('10.0.0.5', '10.0.0.5'), ['10.0.0.5/32']);
    assert.deepEqual(text('10.0.0.3', '10.0.0.9'), ['10.0.0.3/32', '10.0.0.4/30', '10.0.0.8/31']);
    assert.deepEqual(text('0.0.0.0', '255.255.255.255'), ['0.0.0.0/0']);
    assert.deepEqual(text('2001:db8::', '2001:db8::ffff'), ['2001:db8::/112']);
  });

  it('of match services are read in all their forms', () => {
    assert.deepEqual(parseMatchRange(''), { low: '', high: '', ports: [0, 0] });
    assert.deepEqual(parseMatchRange('192.168.0.0-192.168.255.255'), {
      low: '192.168.0.0',
      high: '192.168.255.255',
      ports: [0, 0],
    });
    assert.deepEqual(parseMatchRange('10.0.0.1-10.0.0.9:80-443'), {
      low: '10.0.0.1',
      high: '10.0.0.9',
      ports: [80, 443],
    });
    assert.deepEqual(parseMatchRange('10.0.0.1:53'), { low: '10.0.0.1', high: '10.0.0.1', ports: [53, 53] });
    assert.deepEqual(parseMatchRange('2001:db8::1-2001:db8::ff'), {
      low: '2001:db8::1',
      high: '2001:db8::ff',
      ports: [0, 0],
    });
    assert.deepEqual(parseMatchRange('[2001:db8::1]-[2001:db8::ff]:80-90'), {
      low: '2001:db8::1',
      high: '2001:db8::ff',
      ports: [80, 90],
    });
  });
});
