import assert from 'node:assert/strict';
import { nearest } from '../../../lib/nearest.js';

describe('nearest', () => {
  const words = ['pktpool_size', 'pktpool_cache', 'mtu', 'device', 'rx', 'tx'];
  for (const [typed, meant] of [
    ['pktpol_size', 'pktpool_size'],
    ['PKTPOOL_SIZE', 'pktpool_size'],
    ['devcie', 'device'],
    ['mut', 'mtu'],
    ['mtuu', 'mtu'],
    ['bonding', undefined],
    ['', undefined],
    ['x', 'rx'],
  ] as const) {
    it(`takes "${typed}" for ${meant ?? 'nothing'}`, () => assert.equal(nearest(typed, words), meant));
  }
});
