import { deepEqual, equal, match, throws } from 'node:assert/strict';
import { mkdirSync, mkdtempSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { Drained } from '../../../ospf-bridge/drained.js';

describe('what operators have put aside', () => {
  let folder: string;
  let socket: string;
  beforeEach(() => {
    folder = mkdtempSync(join(tmpdir(), 'drained-'));
    socket = join(folder, 'bridge.sock');
  });
  afterEach(() => rmSync(folder, { recursive: true }));

  it('is remembered', () => {
    const one = new Drained(socket);
    equal(one.problem, undefined);
    equal(one.known, false);
    one.addresses.set('10.0.0.1', 'metric').set('fd00::1', 'withdraw');
    one.save();
    const other = new Drained(socket);
    equal(other.problem, undefined);
    equal(other.known, true);
    deepEqual([...other.addresses], [...one.addresses]);
    deepEqual(readdirSync(folder), ['bridge.sock.drained']);
  });

  it('what cannot be read is said, and is as nothing', () => {
    for (const text of ['', '{"10.0.0.1":', '[]', 'null', '7']) {
      writeFileSync(`${socket}.drained`, text);
      const one = new Drained(socket);
      equal(one.addresses.size, 0);
      equal(one.known, false);
      match(one.problem ?? '', /bridge\.sock\.drained/);
    }
    rmSync(`${socket}.drained`);
    mkdirSync(`${socket}.drained`);
    match(new Drained(socket).problem ?? '', /EISDIR/);
  });

  it('what cannot be written leaves the last state as it was', () => {
    const one = new Drained(socket);
    mkdirSync(`${socket}.drained`);
    throws(() => one.save());
    deepEqual(readdirSync(folder), ['bridge.sock.drained']);
  });
});
