import { deepEqual, equal } from 'node:assert/strict';
import { peerFor, peerLines, readBfddPeers } from '../../../bfd/bfdd.js';
import type { BfdInstance } from '../../../keepalived/model/bfd.js';

const session = (change: Partial<BfdInstance>): BfdInstance => ({
  name: 'one',
  neighbourIp: '10.5.0.2',
  minRx: 50,
  minTx: 50,
  idleTx: 1000,
  multiplier: 3,
  passive: false,
  ttl: 255,
  maxHops: 0,
  multihop: false,
  vrrp: true,
  checker: true,
  weight: 0,
  reverse: false,
  ...change,
});

/** As FRR 8.4 and 10.3 print it; the latter says the type as well. */
const said = JSON.stringify([
  { multihop: true, peer: '10.5.0.2', local: '10.5.0.1', vrf: 'default', status: 'down', downtime: 3 },
  { multihop: false, peer: '10.5.0.2', vrf: 'default', interface: 'e0', status: 'up', type: 'dynamic' },
  { multihop: false, peer: 'fd00:0::2', local: 'fd00::1', interface: 'e0', status: 'init' },
]);

describe('sessions of FRR’s bfdd', () => {
  it('are found by neighbour, number of hops and source', () => {
    const peers = readBfddPeers(said) ?? [];
    equal(peers.length, 3);
    const status = (change: Partial<BfdInstance>) => peerFor(session(change), peers)?.status;
    equal(status({}), 'up');
    equal(status({ multihop: true }), 'down');
    equal(status({ multihop: true, sourceIp: '10.5.0.9' }), undefined);
    equal(status({ sourceIp: '10.5.0.9' }), 'up', 'a session that tells no source has any');
    equal(status({ neighbourIp: 'fd00::0:2', sourceIp: 'fd00::1' }), 'init');
    equal(status({ neighbourIp: '10.5.0.3' }), undefined);
  });

  it('something else is told from an empty list', () => {
    deepEqual(readBfddPeers('[\n]\n'), []);
    deepEqual(readBfddPeers('[{"peer":"interface e0"},{"peer":7},{}]'), []);
    for (const text of ['', '% Unknown command', '{}', 'null', '7']) equal(readBfddPeers(text), undefined);
  });

  it('what is missing is told as bfdd wants it typed', () => {
    equal(peerLines(session({})), 'bfd / peer 10.5.0.2');
    equal(
      peerLines(session({ multihop: true, sourceIp: '10.5.0.1' })),
      'bfd / peer 10.5.0.2 multihop local-address 10.5.0.1',
    );
  });
});
