import { deepEqual, equal } from 'node:assert/strict';
import { readNeighbours as readBirdNeighbours, readState } from '../../../ospf-bridge/router/bird.js';
import type { Announced } from '../../../ospf-bridge/router/router.js';
import {
  readExternal,
  readExternal6,
  readIntra6,
  readNeighbours,
  readNeighbours6,
  readStubs,
} from '../../../ospf-bridge/router/zebra.js';

function announced(read: (into: Map<string, Announced>) => void): Record<string, string> {
  const into = new Map<string, Announced>();
  read(into);
  return Object.fromEntries([...into].map(([prefix, { kind, metric }]) => [prefix, `${kind} ${metric}`]));
}

describe('what routing daemons say', () => {
  it('external LSAs, without those that are being withdrawn', () => {
    const lsa = (age: number, id: string, mask: number, metric: number) => `
  LS age: ${age}
  Options: 0x2  : *|-|-|-|-|-|E|-
  LS Flags: 0xb
  LS Type: AS-external-LSA
  Link State ID: ${id} (External Network Number)
  Advertising Router: 1.1.1.2
  LS Seq Number: 80000001
  Checksum: 0xcefc
  Length: 36

  Network Mask: /${mask}
        Metric Type: 1
        TOS: 0
        Metric: ${metric}
        Forward Address: 0.0.0.0
        External Route Tag: 0
`;
    const text = `
       OSPF Router with ID (1.1.1.2)

                AS External Link States
${lsa(6, '10.99.0.1', 32, 20)}${lsa(3600, '10.99.0.2', 32, 20)}${lsa(1200, '10.99.0.3', 32, 5000)}${lsa(1, '10.98.0.0', 16, 1)}`;
    deepEqual(
      announced((into) => readExternal(text, into)),
      { '10.99.0.1/32': 'external 20', '10.99.0.3/32': 'external 5000', '10.98.0.0/16': 'external 1' },
    );
  });

  it('stub links of the router’s own LSA: host addresses alone, the cheaper of two', () => {
    const stub = (net: string, mask: string, metric: number) => `
    Link connected to: Stub Network
     (Link ID) Net: ${net}
     (Link Data) Network Mask: ${mask}
      Number of TOS metrics: 0
       TOS 0 Metric: ${metric}
`;
    const router = (id: string, links: string) => `
  LS age: 12
  Link State ID: ${id}
  Advertising Router: ${id}

   Number of Links: 3
${links}`;
    const own = `
    Link connected to: another Router (point-to-point)
     (Link ID) Neighboring Router ID: 1.1.1.1
     (Link Data) Router Interface address: 10.10.0.2
      Number of TOS metrics: 0
       TOS 0 Metric: 10
${stub('10.10.0.0', '255.255.255.252', 10)}${stub('10.99.0.1', '255.255.255.255', 5000)}${stub('10.99.0.1', '255.255.255.255', 0)}${stub('10.99.0.2', '255.255.255.255', 5000)}`;
    const text = router('1.1.1.2', own) + router('1.1.1.9', stub('10.99.9.9', '255.255.255.255', 0));
    deepEqual(
      announced((into) => readStubs(text, '1.1.1.2', into)),
      { '10.99.0.1/32': 'intra_area 0', '10.99.0.2/32': 'intra_area 5000' },
    );
  });

  it('neighbours, in the columns of FRR 8 and of quagga 1.2', () => {
    const frr = `
Neighbor ID     Pri State           Up Time         Dead Time Address         Interface                        RXmtL RqstL DBsmL
1.1.1.1           1 Full/-          22.869s            3.132s 10.10.0.1       e0:10.10.0.2                         0     0     0
`;
    const quagga = `
    Neighbor ID Pri State           Dead Time Address         Interface            RXmtL RqstL DBsmL
1.1.1.3           1 Init/DROther     3.132s 10.10.0.5       dpdk0.kni:10.10.0.6      0     0     0
`;
    deepEqual(readNeighbours(frr, 4), [
      { routerId: '1.1.1.1', state: 'Full', address: '10.10.0.1', interface: 'e0', family: 4 },
    ]);
    deepEqual(readNeighbours(quagga, 4), [
      { routerId: '1.1.1.3', state: 'Init', address: '10.10.0.5', interface: 'dpdk0.kni', family: 4 },
    ]);
  });

  it('OSPFv3: prefixes and neighbours', () => {
    const external = `
        AS Scoped Link State Database

Age:    7 Type: AS-External
Link State ID: 0.0.0.1
Advertising Router: 1.1.1.2
     Bits: ---
     Metric:    20
     Prefix Options: --|--|--|--|--
     Prefix: fd99::1/128

Age: 3600 Type: AS-External
     Metric:    20
     Prefix: fd99::2/128
`;
    deepEqual(
      announced((into) => readExternal6(external, into)),
      { 'fd99::1/128': 'external 20' },
    );
    const intra = `
Age:    3 Type: Intra-Prefix
     Number of Prefix: 2
     Reference: Router Id: 0.0.0.0 Adv: 1.1.1.2
     Prefix Options: --|--|--|LA|-- Metric: 0
     Prefix: fd99::3/128
     Prefix Options: --|--|--|--|-- Metric: 10
     Prefix: fd00:1::/64
`;
    deepEqual(
      announced((into) => readIntra6(intra, into)),
      { 'fd99::3/128': 'intra_area 0' },
    );
    const behind = `
Age:    1 Type: Intra-Prefix
     Number of Prefix: 2
     Reference: Router Id: 0.0.0.0 Adv: 1.1.1.2
     Prefix Options: --|--|--|--|--
     Prefix: fd99::3/128
     Metric: 10
     Prefix Options: --|--|--|--|--
     Prefix: fd99::4/128
     Metric: 5000
`;
    deepEqual(
      announced((into) => readIntra6(behind, into)),
      { 'fd99::3/128': 'intra_area 10', 'fd99::4/128': 'intra_area 5000' },
    );
    const neighbours = `Neighbor ID     Pri    DeadTime    State/IfState         Duration I/F[State]
1.1.1.1           1    00:00:03     Full/PointToPoint    00:00:23 e0[PointToPoint]
`;
    deepEqual(readNeighbours6(neighbours), [
      { routerId: '1.1.1.1', state: 'Full', address: '', interface: 'e0', family: 6 },
    ]);
  });

  it('BIRD: the own router’s part of the state, and neighbours', () => {
    const state = `
 area 0.0.0.0

 	router 1.1.1.2
 		router 1.1.1.1 metric 10
 		external 10.99.0.1/32 metric 20

 	router 1.1.1.9
 		distance 0
 		router 1.1.1.1 metric 10
 		stubnet 10.10.1.0/30 metric 10
 		stubnet 10.99.2.1/32 metric 0
 		external 10.99.1.1/32 metric 20
 		external 10.99.1.2/32 metric 5000
`;
    deepEqual(
      announced((into) => readState(state, '1.1.1.9', into)),
      {
        '10.99.2.1/32': 'intra_area 0',
        '10.99.1.1/32': 'external 20',
        '10.99.1.2/32': 'external 5000',
      },
    );
    const neighbours = `ospf4:
 Router ID   	Pri	     State     	DTime	Interface  Router IP
 1.1.1.1     	  1	Full/PtP  	 3.945	e0         10.10.1.1
`;
    deepEqual(readBirdNeighbours(neighbours), [
      { routerId: '1.1.1.1', state: 'Full', address: '10.10.1.1', interface: 'e0', family: 4 },
    ]);
  });

  it('nothing at all, or something else altogether, yields nothing', () => {
    for (const text of ['', '% Unknown command', 'OSPF Instance not found\n', '\0\0\0']) {
      equal(Object.keys(announced((into) => readExternal(text, into))).length, 0);
      equal(Object.keys(announced((into) => readStubs(text, undefined, into))).length, 0);
      equal(Object.keys(announced((into) => readExternal6(text, into))).length, 0);
      equal(Object.keys(announced((into) => readIntra6(text, into))).length, 0);
      equal(Object.keys(announced((into) => readState(text, '1.1.1.1', into))).length, 0);
      equal(
        readNeighbours(text, 4).length + readNeighbours6(text).length + readBirdNeighbours(text).length,
        0,
      );
    }
  });
});
