import assert from 'node:assert/strict';
import { skipBecause } from '../../runner/skip.js';
import { instanceText, type Kind, Pair, pause, until, whyNoPair } from './pair.js';

interface Case {
  name: string;
  id: number;
  address: string;
  lines: (own: number, other: number) => string[];
  /** It does not take over from a lower master. */
  shy?: boolean;
}

/** Every way of speaking that both programs know, one instance each. */
const cases: Case[] = [
  { name: 'V2', id: 11, address: '10.55.0.111', lines: () => ['version 2', 'advert_int 1'] },
  {
    name: 'V2_PASS',
    id: 12,
    address: '10.55.0.112',
    lines: () => [
      'version 2',
      'advert_int 1',
      'authentication {',
      'auth_type PASS',
      'auth_pass secret12',
      '}',
    ],
  },
  {
    name: 'V2_AH',
    id: 13,
    address: '10.55.0.113',
    lines: () => ['version 2', 'advert_int 1', 'authentication {', 'auth_type AH', 'auth_pass secret13', '}'],
  },
  {
    name: 'V2_UNICAST',
    id: 14,
    address: '10.55.0.114',
    lines: (own, other) => [
      'version 2',
      'advert_int 1',
      `unicast_src_ip 10.55.0.${own}`,
      'unicast_peer {',
      `10.55.0.${other}`,
      '}',
    ],
  },
  { name: 'V3', id: 21, address: '10.55.0.121', lines: () => ['version 3', 'advert_int 0.1'] },
  {
    name: 'V3_UNICAST',
    id: 22,
    address: '10.55.0.122',
    lines: (own, other) => [
      'version 3',
      'advert_int 0.1',
      `unicast_src_ip 10.55.0.${own}`,
      'unicast_peer {',
      `10.55.0.${other}`,
      '}',
    ],
  },
  { name: 'V3_IPV6', id: 23, address: 'fe80::55:23', lines: () => ['version 3', 'advert_int 0.1'] },
  {
    name: 'V3_IPV6_UNICAST',
    id: 24,
    address: 'fd55::24',
    lines: (own, other) => [
      'version 3',
      'advert_int 0.1',
      `unicast_src_ip fd55::${own}`,
      'unicast_peer {',
      `fd55::${other}`,
      '}',
    ],
  },
  { name: 'V3_SLOW', id: 25, address: '10.55.0.125', lines: () => ['version 3', 'advert_int 0.73'] },
  {
    name: 'SHY',
    id: 26,
    address: '10.55.0.126',
    lines: () => ['version 3', 'advert_int 0.1', 'nopreempt'],
    shy: true,
  },
  { name: 'CENTI', id: 27, address: '10.55.0.127', lines: () => ['version 3', 'advert_int 0.03'] },
];

function configuration(own: number, other: number, priority: number): string {
  const global = 'global_defs {\n  router_id pair\n  vrrp_garp_master_delay 1\n}\n';
  const instances = cases.map((one) =>
    instanceText({
      name: one.name,
      id: one.id,
      priority,
      addresses: [one.address],
      lines: ['state BACKUP', ...one.lines(own, other)],
    }),
  );
  return global + instances.join('');
}

const shy = cases.filter((one) => one.shy);
const bold = cases.filter((one) => !one.shy);

describe('VRRP with keepalived as the other node', function () {
  this.timeout(120_000);
  before(function () {
    const reason = whyNoPair('keepalived', 'tcpdump', 'tshark');
    if (reason) skipBecause(this, reason);
  });

  for (const [first, second] of [
    ['ours', 'keepalived'],
    ['keepalived', 'ours'],
  ] as [Kind, Kind][]) {
    it(`${first} with the higher priority, ${second} with the lower: start, preemption, crash, return, stop`, async () => {
      const pair = new Pair();
      const { a, b } = pair;
      try {
        const high = configuration(1, 2, 150);
        const low = configuration(2, 1, 100);
        const missing = (node: typeof a, wanted: Case[]) => {
          const present = node.addresses();
          return wanted.filter(({ address }) => !present.has(address)).map(({ name }) => name);
        };
        const owns = async (node: typeof a, wanted: Case[], what: string) => {
          await until(
            () =>
              `${what}: ${missing(node, wanted).join(' ')} missing on ${node.name}\n${a.log}\n---\n${b.log}`,
            () => missing(node, wanted).length === 0,
            20_000,
          );
        };
        const freed = async (node: typeof a, wanted: Case[], what: string) => {
          await until(
            () => `${what}: ${node.name} keeps addresses\n${a.log}\n---\n${b.log}`,
            () => missing(node, wanted).length === wanted.length,
            20_000,
          );
        };

        await pair.capture();
        b.start(second, low);
        await owns(b, cases, 'alone');
        a.start(first, high);
        await owns(a, bold, 'preemption');
        await freed(b, bold, 'preemption');
        assert.deepEqual(missing(b, shy), [], 'nopreempt leaves the addresses where they are');

        // Nothing changes while both are well.
        const masters = () => `${a.log}${b.log}`.match(/\(\S+\) Entering MASTER/g)?.sort();
        // Lines of the log come a little later than what they tell.
        await pause(500);
        const quiet = masters();
        await pause(2500);
        assert.deepEqual(masters(), quiet);

        // Node a loses its power.
        a.cable(false);
        await a.crash();
        await owns(b, cases, 'crash');
        for (const { address } of cases) {
          const device = a.has(address)
            ? ['addr', 'del', `${address}/${address.includes(':') ? 128 : 32}`]
            : undefined;
          if (device) a.ip(...device, 'dev', 'eth0');
        }
        a.cable(true);
        await pause(300);
        a.start(first, high);
        await owns(a, bold, 'return');
        await freed(b, bold, 'return');
        assert.deepEqual(missing(b, shy), []);

        // An orderly stop hands over within the skew time, well before the master would count as down.
        const before = performance.now();
        const stopped = a.stop();
        await owns(b, bold, 'stop');
        const took = performance.now() - before;
        await stopped;
        assert.ok(took < 2500, `handing over took ${took} ms`);
        assert.equal(missing(a, cases).length, cases.length, 'nothing is left behind');
        await b.stop();
        assert.equal(missing(b, cases).length, cases.length, 'nothing is left behind');

        const adverts = await pair.dissect(
          'vrrp',
          'frame.number',
          'vrrp.prio',
          'vrrp.checksum.status',
          'ip.src',
        );
        assert.ok(adverts.length > 300, `${adverts.length} adverts`);
        const bad = await pair.dissect(
          'vrrp && (_ws.malformed || vrrp.checksum.status == 0)',
          'frame.number',
          'ip.src',
        );
        assert.deepEqual(bad, []);
        // That an address changes its MAC is what tshark warns of; that is the purpose here.
        const complaints = await pair.dissect(
          '(vrrp || ah || arp || icmpv6.type == 136) && (_ws.malformed || _ws.expert.severity >= 0x600000)',
          'ip.src',
          '_ws.expert.message',
        );
        const wrong = complaints.filter(([, message]) => !message?.startsWith('Duplicate IP address'));
        assert.deepEqual(wrong, []);
      } finally {
        pair.remove();
      }
    });
  }
});
