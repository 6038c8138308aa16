import { deepEqual, equal } from 'node:assert/strict';
import { isIPv4 } from 'node:net';
import { Address6 } from 'ip-address';
import { fromNumber, normalAddress, readPrefix, toNumber } from '../../../keepalived/grammar/address.js';
import { Random } from '../random.js';

describe('addresses', () => {
  it('IPv6 in the form of RFC 5952, as the package ip-address has it', () => {
    const random = new Random(3);
    for (let round = 0; round < 2000; round++) {
      // Groups with many zeros, so that runs of all lengths and places occur.
      const groups = Array.from({ length: 8 }, () => (random.chance(0.6) ? 0 : random.within(0, 65535)));
      const text = groups
        .map((group) => group.toString(16).toUpperCase().padStart(random.within(1, 4), '0'))
        .join(':');
      const known = new Address6(text);
      equal(normalAddress(text), known.correctForm(), text);
      equal(normalAddress(known.correctForm()), known.correctForm());
      equal(toNumber(text), known.bigInt());
      equal(fromNumber(known.bigInt(), 6), known.correctForm());
    }
    equal(normalAddress('::'), '::');
    equal(normalAddress('::1'), '::1');
    equal(normalAddress('1::'), '1::');
    equal(normalAddress('::ffff:192.0.2.1'), '::ffff:c000:201');
    equal(normalAddress('1:2:3:4:5:6:7:8'), '1:2:3:4:5:6:7:8');
  });

  it('IPv4 as inet_pton takes it', () => {
    const texts = [
      '0.0.0.0',
      '255.255.255.255',
      '1.2.3',
      '1.2.3.4.5',
      '01.2.3.4',
      '1.2.3.256',
      '1..2.3',
      '.1.2.3',
      '1.2.3.4.',
      '1.2.3.04',
      '1.2.3.0',
      '',
      'a.b.c.d',
      '1.2.3.4 ',
      '١.2.3.4',
    ];
    for (const text of texts) equal(normalAddress(text) !== undefined, isIPv4(text), text);
    equal(fromNumber(toNumber('10.20.30.40') + 256n, 4), '10.20.31.40');
  });

  it('what is no address is none', () => {
    for (const text of ['fe80::1%eth0', '1:2:3:4:5:6:7:8:9', ':::', 'g::1', 'localhost', '::1/64'])
      equal(normalAddress(text), undefined, text);
    deepEqual(readPrefix('2001:DB8::/32'), { address: '2001:db8::', prefixLength: 32 });
    deepEqual(readPrefix('10.0.0.1'), { address: '10.0.0.1', prefixLength: 32 });
    for (const text of ['10.0.0.1/33', '10.0.0.1/', '10.0.0.1/-1', '::/129', '/8', '192.168.100./24'])
      equal(readPrefix(text), undefined, text);
  });
});
