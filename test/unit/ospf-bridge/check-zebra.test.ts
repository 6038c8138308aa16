import { deepEqual, equal } from 'node:assert/strict';
import { fileURLToPath } from 'node:url';
import type { OspfBridgePart } from '../../../keepalived/model/index.js';
import type { OspfBridge } from '../../../keepalived/model/ospf-bridge.js';
import { parse } from '../../../keepalived/parse.js';
import { bridgePart } from '../../../keepalived/resolve/ospf-bridge.js';
import { checkZebra } from '../../../ospf-bridge/command/check-zebra.js';
import { setupTexts } from '../../../ospf-bridge/command/setup.js';

const sample = fileURLToPath(new URL('../../../../conf/keepalived.conf.ospf.sample', import.meta.url));
const none = { releaseVips: false, dontReleaseVrrp: false, dontReleaseIpvs: false, addressMonitoring: false };
const uplink = { name: 'dpdk0.kni', area: '0', hello: 1, dead: 4 };

function part(change: Partial<OspfBridge> = {}): OspfBridgePart {
  const { model } = parse(sample, { interfaceExists: () => true });
  const found = bridgePart(model, none);
  return { ...found, bridge: { ...found.bridge, ...change } };
}

/** What is said about the configuration that `setup` prints, once `from` has become `to` in it. */
function said(given: OspfBridgePart, family: 4 | 6, from: string | RegExp = '', to = ''): string[] {
  const daemon = family === 4 ? 'ospfd' : 'ospf6d';
  const text = setupTexts(given).find((one) => one.daemon === daemon)?.text ?? '';
  if (from !== '') equal(text.replace(from, to) === text, false, `${from} is not in it`);
  const lines: string[] = [];
  checkZebra(daemon, text.replace(from, to), given, family, (level, sentence) => {
    if (level !== 'ok') lines.push(`${level} ${sentence}`);
  });
  return lines;
}

describe('check: configuration of ospfd and ospf6d', () => {
  it('has nothing to say about what setup prints', () => {
    for (const family of [4, 6] as const) {
      deepEqual(said(part(), family), []);
      deepEqual(said(part({ announce: 'intra_area' }), family), []);
      deepEqual(said(part({ interfaces: [{ ...uplink, minimal: 4, bfd: 50 }] }), family), []);
      const noBfd = said(part({ router: 'quagga', prefixes: ['192.0.2.0/24', '2001:db8:99::/64'] }), family);
      deepEqual(
        noBfd.filter((line) => !line.includes('neither BFD')),
        [],
      );
    }
  });

  const forgotten: [
    what: string,
    from: string | RegExp,
    to: string,
    sentence: string,
    Partial<OspfBridge>?,
  ][] = [
    [
      'redistribution',
      / redistribute kernel.*\n/,
      '',
      "error ospfd: 'redistribute kernel' is missing: no address is announced",
    ],
    [
      'route-map',
      / route-map DPVS-VIP\n(?!.* route-map)/s,
      '\n',
      "warning ospfd: 'redistribute kernel' without route-map announces every kernel route, not just virtual addresses",
    ],
    [
      'definition of the route-map',
      /^route-map DPVS-VIP permit \d+$/gm,
      '!',
      'error ospfd: route-map DPVS-VIP is named, but not defined: it denies everything',
    ],
    ['prefix', 'permit 192.0.2.0/24 ge 32', 'permit 192.0.2.0/28 ge 32 le 32', ''],
    [
      'prefix',
      'permit 192.0.2.0/24 ge 32',
      'permit 198.51.100.0/24 ge 32',
      'error ospfd: route-map DPVS-VIP does not let these pass: 192.0.2.10',
    ],
    [
      'length of hosts',
      'permit 192.0.2.0/24 ge 32',
      'permit 192.0.2.0/24',
      'error ospfd: route-map DPVS-VIP does not let these pass: 192.0.2.10',
    ],
    [
      'drain device',
      ' match interface drain0\n',
      '',
      "error ospfd: route-map DPVS-VIP has no clause 'match interface drain0' with 'set metric': draining has no effect",
    ],
    [
      'order of clauses',
      'permit 10\n match interface drain0',
      'permit 10\n!\nroute-map DPVS-VIP permit 15\n match interface drain0',
      'error ospfd: the clause for drain0 stands behind one that takes everything: draining has no effect',
    ],
    [
      'clause that ospfd does not apply',
      ' match interface drain0\n',
      ' match interface drain0\n match metric 5\n',
      "warning ospfd: ospfd reads 'match metric' and does not apply it: such a clause matches everything",
    ],
    [
      'area',
      ' ip ospf area 0\n',
      '',
      "error ospfd: no interface is in an area: 'ip ospf area 0' on the uplink is missing",
    ],
    [
      'area of the uplink',
      'interface dpdk0.kni\n',
      'interface dpdk1.kni\n',
      "error ospfd: interface dpdk0.kni is in no area: 'ip ospf area 0' is missing",
    ],
    [
      'the right area',
      ' ip ospf area 0\n',
      ' ip ospf area 0.0.0.7\n',
      'warning ospfd: interface dpdk0.kni is in area 0.0.0.7, ospf_bridge says 0',
    ],
    ['area in dots', ' ip ospf area 0\n', ' ip ospf area 0.0.0.0\n', ''],
    [
      'hello-interval',
      ' ip ospf hello-interval 1\n',
      '',
      'warning ospfd: hello-interval of dpdk0.kni is 10, ospf_bridge says 1; neighbours must agree',
    ],
    [
      'dead-interval',
      ' dead-interval 4\n',
      ' dead-interval 5\n',
      'warning ospfd: dead-interval of dpdk0.kni is 5, ospf_bridge says 4; neighbours must agree',
    ],
    [
      'minimal dead-interval',
      'hello-multiplier 4',
      'hello-multiplier 5',
      'warning ospfd: dead-interval of dpdk0.kni is minimal hello-multiplier 5, ospf_bridge says minimal hello-multiplier 4; neighbours must agree',
      { interfaces: [{ ...uplink, minimal: 4 }] },
    ],
    [
      'BFD',
      / ip ospf bfd\n ip ospf bfd profile.*\n/,
      '',
      "warning ospfd: ospf_bridge wants BFD on dpdk0.kni, and 'ip ospf bfd' is missing there",
    ],
    [
      'throttle',
      ' timers throttle lsa all 0\n',
      '',
      "note ospfd: without 'timers throttle lsa all 0' a second change of one address within 5 s waits",
    ],
    [
      'loopback device',
      'interface lo\n ip ospf area 0\n',
      '',
      "error ospfd: 'ip ospf area ...' on interface lo is missing",
      { announce: 'intra_area' },
    ],
    [
      'cost of the drain device',
      / ip ospf cost \d+\n/,
      '',
      "warning ospfd: interface drain0 has no high 'ip ospf cost': draining will have no effect",
      { announce: 'intra_area' },
    ],
    ['process', /^router ospf$/m, '!', "error ospfd: there is no 'router ospf'"],
  ];
  for (const [what, from, to, sentence, change] of forgotten)
    it(`${sentence === '' ? 'is content with another' : 'misses the'} ${what}`, () => {
      equal(said(part(change), 4, from, to)[0] ?? '', sentence);
    });

  it('says the same of ospf6d in its words', () => {
    deepEqual(said(part(), 6, ' ipv6 ospf6 hello-interval 1\n'), [
      'warning ospf6d: hello-interval of dpdk0.kni is 10, ospf_bridge says 1; neighbours must agree',
    ]);
    deepEqual(
      said(
        part({ addresses: ['2001:db8:99::10'] }),
        6,
        'permit 2001:db8:99::/64 ge 128',
        'permit 2001:db8:98::/64 ge 128',
      ),
      ['error ospf6d: route-map DPVS-VIP does not let these pass: 2001:db8:99::10'],
    );
  });
});
