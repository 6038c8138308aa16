import assert from 'node:assert/strict';
import { type Action, VirtualServerMachine } from '../../../healthcheck/virtual-server-machine.js';
import type { VirtualServer } from '../../../keepalived/model/virtual-server.js';
import { realServer, tcp, virtualServer } from './fixtures.js';

const sorryServer = {
  address: '10.0.0.99',
  port: 80,
  forwarding: { method: 'FNAT' as const },
  inhibit: false,
};

/** Servers 10.0.0.1.. with one TCP check each. */
function service(
  weights: number[],
  options: Partial<VirtualServer> = {},
  server: object = {},
): VirtualServer {
  return virtualServer(
    '192.0.2.1',
    80,
    weights.map((weight, index) =>
      realServer(`10.0.0.${index + 1}`, 80, {
        weight,
        checkers: [tcp(80, { alpha: options.alpha ?? false })],
        ...server,
      }),
    ),
    options,
  );
}

class Driven {
  machine: VirtualServerMachine;
  lines: string[] = [];
  notes: string[] = [];

  constructor(vs: VirtualServer) {
    this.machine = new VirtualServerMachine(vs);
    this.take(this.machine.start());
  }

  take(actions: Action[]): void {
    for (const action of actions) {
      if (action.kind === 'log') this.lines.push(action.line);
      if (action.kind === 'server-notify') {
        this.notes.push(`${action.server.model.address} ${action.up ? 'UP' : 'DOWN'}`);
      }
      if (action.kind === 'service-notify') this.notes.push(`VS ${action.up ? 'UP' : 'DOWN'}`);
    }
  }

  set(index: number, up: boolean): this {
    const server = this.machine.servers[index]!;
    this.take(this.machine.verdict(server, server.members[0]!, up, ''));
    return this;
  }

  /** `1:3 2:0i sorry:1`: servers in the dataplane by last byte, their weight, `i` when inhibited. */
  get table(): string {
    const rows = this.machine.servers.flatMap((server) => {
      const place = this.machine.placement(server);
      const name = server.model.address.split('.')[3];
      return place ? [`${name}:${place.weight}${place.inhibited ? 'i' : ''}`] : [];
    });
    const sorry = this.machine.sorryPlacement();
    if (sorry) rows.push(`sorry:${sorry.weight}${sorry.inhibited ? 'i' : ''}`);
    return rows.join(' ');
  }
}

describe('virtual server machine', () => {
  it('starts with every server in, and reports the quorum as gained', () => {
    const driven = new Driven(service([1, 2, 3]));
    assert.equal(driven.table, '1:1 2:2 3:3');
    assert.deepEqual(driven.notes, ['VS UP']);
    assert.deepEqual(driven.lines, ['Gained quorum 1+0=1 <= 6 for VS [192.0.2.1]:tcp:80']);
  });

  it('takes a failed server out and back in, in keepalived’s words', () => {
    const driven = new Driven(service([1, 2]));
    driven.lines = [];
    driven.set(0, false);
    assert.equal(driven.table, '2:2');
    driven.set(0, true);
    assert.equal(driven.table, '1:1 2:2');
    assert.deepEqual(driven.lines, [
      'Removing service [10.0.0.1]:tcp:80 from VS [192.0.2.1]:tcp:80',
      'Adding service [10.0.0.1]:tcp:80 to VS [192.0.2.1]:tcp:80',
    ]);
    assert.deepEqual(driven.notes, ['VS UP', '10.0.0.1 DOWN', '10.0.0.1 UP']);
  });

  it('keeps an inhibited server with weight 0', () => {
    const driven = new Driven(service([5, 2], {}, { inhibitOnFailure: true }));
    driven.lines = [];
    driven.set(0, false);
    assert.equal(driven.table, '1:0i 2:2');
    driven.set(0, true);
    assert.equal(driven.table, '1:5 2:2');
    assert.deepEqual(driven.lines, [
      'Disabling service [10.0.0.1]:tcp:80 of VS [192.0.2.1]:tcp:80',
      'Enabling service [10.0.0.1]:tcp:80 of VS [192.0.2.1]:tcp:80',
    ]);
  });

  it('puts the sorry server in when the quorum is lost, and the servers back when it is gained', () => {
    const driven = new Driven(service([3, 3], { quorum: 5, hysteresis: 1, sorryServer }));
    assert.equal(driven.table, '1:3 2:3');
    driven.lines = [];
    driven.notes = [];
    driven.set(1, false);
    assert.equal(driven.table, 'sorry:1');
    driven.set(0, false);
    assert.equal(driven.table, 'sorry:1');
    driven.set(0, true);
    assert.equal(driven.table, 'sorry:1');
    driven.set(1, true);
    assert.equal(driven.table, '1:3 2:3');
    assert.deepEqual(driven.notes, [
      '10.0.0.2 DOWN',
      'VS DOWN',
      '10.0.0.1 DOWN',
      '10.0.0.1 UP',
      '10.0.0.2 UP',
      'VS UP',
    ]);
    assert.deepEqual(driven.lines.slice(0, 4), [
      'Removing service [10.0.0.2]:tcp:80 from VS [192.0.2.1]:tcp:80',
      'Lost quorum 5-1=4 > 3 for VS [192.0.2.1]:tcp:80',
      'Adding sorry server [10.0.0.99]:tcp:80 to VS [192.0.2.1]:tcp:80',
      'Removing alive servers from the pool for VS [192.0.2.1]:tcp:80',
    ]);
  });

  it('keeps an inhibited sorry server and inhibited servers with weight 0 where they have no traffic', () => {
    const driven = new Driven(
      service([3, 3], { sorryServer: { ...sorryServer, inhibit: true } }, { inhibitOnFailure: true }),
    );
    assert.equal(driven.table, '1:3 2:3 sorry:0i');
    driven.set(0, false).set(1, false);
    assert.equal(driven.table, '1:0i 2:0i sorry:1');
    driven.set(1, true);
    assert.equal(driven.table, '1:0i 2:3 sorry:0i');
  });

  it('starts with the sorry server in alpha mode until a check succeeds', () => {
    const driven = new Driven(service([1, 1], { alpha: true, sorryServer }));
    assert.equal(driven.table, 'sorry:1');
    assert.deepEqual(driven.notes, ['VS DOWN']);
    assert.match(driven.lines[0]!, /^Starting with quorum down 1-0=1 > 0 for VS/);
    driven.set(0, false);
    assert.deepEqual(driven.notes, ['VS DOWN', '10.0.0.1 DOWN'], 'a first failure is reported with alpha');
    driven.set(1, true);
    assert.equal(driven.table, '2:1');
  });

  it('says nothing about a quorum that was never there when there is no sorry server', () => {
    const driven = new Driven(service([1, 1], { alpha: true }));
    assert.deepEqual([driven.table, driven.notes, driven.lines], ['', [], []]);
  });

  it('removes servers one by one, whatever the quorum, when there is no sorry server', () => {
    const driven = new Driven(service([1, 1, 1], { quorum: 3 }));
    driven.set(0, false);
    assert.equal(driven.table, '2:1 3:1');
    assert.equal(driven.machine.quorumUp, false);
  });

  it('needs all checkers of a server, and one failed one is enough to take it out', () => {
    const vs = service([1], {}, { checkers: [tcp(80), tcp(81)] });
    const driven = new Driven(vs);
    const server = driven.machine.servers[0]!;
    driven.take(driven.machine.verdict(server, server.members[1]!, false, ''));
    assert.equal(driven.table, '');
    driven.take(driven.machine.verdict(server, server.members[0]!, false, ''));
    driven.take(driven.machine.verdict(server, server.members[1]!, true, ''));
    assert.equal(driven.table, '');
    driven.take(driven.machine.verdict(server, server.members[0]!, true, ''));
    assert.equal(driven.table, '1:1');
    assert.deepEqual(driven.notes, ['VS UP', '10.0.0.1 DOWN', 'VS DOWN', '10.0.0.1 UP', 'VS UP']);
  });

  it('moves weights by contributions, within 0 and the largest weight, and judges the quorum by them', () => {
    const driven = new Driven(service([10, 10], { quorum: 15 }));
    driven.lines = [];
    const server = driven.machine.servers[0]!;
    driven.take(driven.machine.contribute(server, server.members[0]!, -6));
    assert.equal(driven.table, '1:4 2:10');
    assert.equal(driven.machine.quorumUp, false);
    driven.take(driven.machine.contribute(server, server.members[0]!, -600));
    assert.equal(driven.table, '1:0 2:10');
    driven.take(driven.machine.contribute(server, server.members[0]!, 5e9));
    assert.equal(driven.table, '1:2147483647 2:10');
    assert.equal(driven.machine.quorumUp, true);
    assert.match(
      driven.lines[0]!,
      /^Changing weight from 10 to 4 for active service \[10\.0\.0\.1\]:tcp:80 of VS/,
    );
  });

  it('in the dialect of DPVS weights end at 65535, and the check that spoke last has the say', () => {
    const checks = [tcp(1), tcp(2)];
    const model = service([10, 10]);
    model.realServers[0]!.checkers = checks;
    for (const [dpvs, sum, most] of [
      [false, 8, 2_147_483_647],
      [true, 5, 65_535],
    ] as const) {
      const machine = new VirtualServerMachine(model, { dpvs });
      machine.start();
      const server = machine.servers[0]!;
      machine.contribute(server, server.members[0]!, 3);
      assert.equal(server.weight, 13);
      machine.contribute(server, server.members[1]!, -5);
      assert.equal(server.weight, sum);
      machine.contribute(server, server.members[1]!, 5e9);
      assert.equal(server.weight, most);
    }
  });

  it('keeps state over a reload: what is down stays down, weights are the new ones, newcomers are up', () => {
    const driven = new Driven(service([1, 1], { quorum: 1 }));
    driven.set(0, false);
    const next = service([7, 7, 7]);
    const machine = new VirtualServerMachine(next, {
      before: driven.machine,
      sameChecker: () => true,
    });
    const actions = machine.start(driven.machine);
    const before = driven.machine;
    driven.machine = machine;
    driven.notes = [];
    driven.take(actions);
    assert.equal(driven.table, '2:7 3:7');
    assert.equal(machine.quorumUp, before.quorumUp);
    assert.deepEqual(driven.notes, []);
  });

  it('has the same table after any events as a machine that is asked only for the end, on random input', () => {
    let seed = 11;
    const random = () => {
      seed = (seed * 1103515245 + 12345) & 0x7fffffff;
      return seed / 0x7fffffff;
    };
    for (let round = 0; round < 100; round++) {
      const count = 1 + Math.floor(random() * 5);
      const weights = Array.from({ length: count }, () => Math.floor(random() * 4));
      const quorum = 1 + Math.floor(random() * 6);
      const hysteresis = Math.floor(random() * quorum);
      const driven = new Driven(service(weights, { quorum, hysteresis, sorryServer }));
      const up = weights.map(() => true);
      // The naive twin: sums from scratch.
      const sum = () => weights.reduce((total, weight, index) => total + (up[index] ? weight : 0), 0);
      let quorumUp = sum() >= quorum + hysteresis;
      for (let step = 0; step < 40; step++) {
        const index = Math.floor(random() * count);
        const next = random() < 0.5;
        driven.set(index, next);
        up[index] = next;
        if (!quorumUp && sum() >= quorum + hysteresis) quorumUp = true;
        else if (quorumUp && (sum() === 0 || sum() < quorum - hysteresis)) quorumUp = false;
        const expected = quorumUp
          ? weights.flatMap((weight, at) => (up[at] ? [`${at + 1}:${weight}`] : [])).join(' ')
          : 'sorry:1';
        assert.equal(driven.table, expected);
      }
    }
  });
});
