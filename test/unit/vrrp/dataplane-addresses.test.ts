import assert from 'node:assert/strict';
import { DpvsdClient } from '../../../dpvsd/client.js';
import { Protocol, Verb } from '../../../dpvsd/generated/control.js';
import { addressDefaults } from '../../../keepalived/model/vrrp.js';
import { formatIp, parseIp } from '../../../lib/ip.js';
import { Log } from '../../../lib/log.js';
import type { PlacedAddress } from '../../../vrrp/addresses.js';
import { DataplaneAddresses, OWNER } from '../../../vrrp/dataplane-addresses.js';
import { FakeDpvsd } from '../dpvsd/fake-dpvsd.js';

function at(address: string): PlacedAddress {
  return { spec: addressDefaults(address), interface: 'dpdk0' };
}

async function until(what: string, condition: () => boolean): Promise<void> {
  const end = performance.now() + 10_000;
  while (!condition()) {
    if (performance.now() > end) throw new Error(`not in time: ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

describe('virtual addresses in the dataplane', () => {
  let dpvsd: FakeDpvsd;
  let sink: DataplaneAddresses;
  const lines: string[] = [];
  const log = new Log((_severity, line) => lines.push(line));
  const open = () => new DataplaneAddresses(log, () => ({ garpInterval: 20, gnaInterval: 30 }), dpvsd.path);
  const present = () =>
    [...dpvsd.tables.addresses.values()].map(({ address, owner }) => `${formatIp(address)} ${owner}`).sort();

  beforeEach(async () => {
    lines.length = 0;
    dpvsd = await FakeDpvsd.start();
    sink = open();
    await until('up', () => sink.available);
  });
  afterEach(async () => {
    sink.close();
    await dpvsd.stop();
  });

  it('adds all addresses in one batch, announces them in one, removes them in one', async () => {
    const addresses = Array.from({ length: 1000 }, (_, i) => at(`10.1.${i >> 8}.${i & 255}`));
    sink.add(addresses);
    sink.announce(addresses, 5);
    await sink.flush();
    assert.deepEqual(dpvsd.batches, [1000, 1000]);
    assert.equal(present().length, 1000);
    sink.remove(addresses);
    await sink.flush();
    assert.deepEqual(dpvsd.batches, [1000, 1000, 1000]);
    assert.deepEqual(present(), []);
    assert.deepEqual(lines, []);
  });

  it('puts everything back when the dataplane starts anew', async () => {
    sink.add([at('10.1.0.1'), at('fd00::1')]);
    await sink.flush();
    const seen: boolean[] = [];
    sink.onAvailable = (available) => seen.push(available);
    await dpvsd.die();
    await until('lost', () => !sink.available);
    dpvsd.reboot();
    await dpvsd.listen();
    await until('back', () => sink.available);
    assert.deepEqual(present(), [`10.1.0.1 ${OWNER}`, `fd00::1 ${OWNER}`]);
    assert.deepEqual(seen, [false, true]);
  });

  it('is available when the services of its addresses are there, also those of a dataplane that starts anew', async () => {
    sink.close();
    const awaited = [
      { protocol: 'TCP' as const, address: '10.1.0.1', port: 80 },
      { protocol: 'UDP' as const, address: 'fd00::1', port: 53 },
    ];
    const start = performance.now();
    sink = new DataplaneAddresses(
      log,
      () => ({ garpInterval: 20, gnaInterval: 30 }),
      dpvsd.path,
      () => awaited,
    );
    const checker = await DpvsdClient.connect({ path: dpvsd.path, client: 'test' });
    const put = (at: number) =>
      checker.apply([
        {
          verb: Verb.VERB_PUT,
          object: {
            $case: 'service',
            value: {
              key: {
                protocol: at === 0 ? Protocol.PROTOCOL_TCP : Protocol.PROTOCOL_UDP,
                address: parseIp(awaited[at]!.address),
                port: awaited[at]!.port,
              },
              scheduler: 'rr',
            },
          },
        },
      ]);
    await until('connected', () => sink.connected);
    await put(0);
    await new Promise((resolve) => setTimeout(resolve, 300));
    assert.equal(sink.available, false);
    await put(1);
    await until('the services', () => sink.available);
    assert.ok(performance.now() - start < 3000);
    assert.deepEqual(lines, []);
    checker.close();

    await dpvsd.die();
    await until('lost', () => !sink.available);
    dpvsd.reboot();
    await dpvsd.listen();
    await until('connected', () => sink.connected);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.equal(sink.available, false);
    // Nobody puts them in: addresses without services may still be wanted.
    await until('the end of its patience', () => sink.available);
    assert.ok(lines.some((line) => /has not put its services into the dataplane for 3 seconds/.test(line)));
  });

  it('recognises what an earlier process left, and lets operators’ addresses alone', async () => {
    sink.add([at('10.1.0.1'), at('10.1.0.2'), at('10.1.0.3')]);
    await sink.flush();
    sink.close();
    const row = { ...[...dpvsd.tables.addresses.values()][0]!, address: parseIp('10.9.9.9'), owner: '' };
    dpvsd.tables.addresses.set('operator', row);
    sink = open();
    await until('up', () => sink.available);
    const known = [at('10.1.0.1'), at('10.1.0.4')];
    assert.deepEqual(
      sink.leftBehind(known).map(({ spec }) => spec.address),
      ['10.1.0.1'],
    );
    sink.forgetExcept(known);
    await sink.flush();
    assert.deepEqual(present(), [`10.1.0.1 ${OWNER}`, '10.9.9.9 ']);
  });

  it('goes on with the others when one address is refused, and says which', async () => {
    sink.add([at('10.1.0.1'), { spec: addressDefaults('10.1.0.2'), interface: 'nowhere' }, at('10.1.0.3')]);
    await sink.flush();
    assert.deepEqual(present(), [`10.1.0.1 ${OWNER}`, `10.1.0.3 ${OWNER}`]);
    assert.equal(lines.length, 1);
    assert.match(lines[0]!, /nowhere/);
    // What is gone already is no reason to complain.
    sink.remove([at('10.1.0.1'), at('10.1.0.9'), at('10.1.0.3')]);
    await sink.flush();
    assert.deepEqual(present(), []);
    assert.equal(lines.length, 1);
  });
});
