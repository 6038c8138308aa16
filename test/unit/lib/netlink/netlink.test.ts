import assert from 'node:assert/strict';
import { execFileSync, spawnSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parseIp } from '../../../../lib/ip.js';
import { addAddressRequest, decodeAddress } from '../../../../lib/netlink/address.js';
import { attributes, MessageWriter, messages } from '../../../../lib/netlink/message.js';

describe('netlink messages', () => {
  it('reads what it writes, nested and padded', () => {
    const request = new MessageWriter(16, 0x400, Buffer.alloc(16, 1))
      .text(3, 'eth0')
      .nest(18, (nested) => nested.text(1, 'macvlan').u8(9, 7))
      .u32(5, 0xfffffffe);
    const [message] = [...messages(Buffer.from(request.finish(77)))];
    assert.equal(message?.sequence, 77);
    assert.equal(message?.flags, 0x401);
    const found = attributes(message!.body, 16);
    assert.equal(found.get(3)?.toString(), 'eth0\0');
    assert.equal(found.get(5)?.readUInt32LE(0), 0xfffffffe);
    const nested = attributes(found.get(18)!);
    assert.equal(nested.get(1)?.toString(), 'macvlan\0');
    assert.equal(nested.get(9)?.[0], 7);
  });

  it('reads damaged bytes without throwing', () => {
    const good = Buffer.from(
      addAddressRequest({ index: 3, address: parseIp('10.0.0.1'), prefixLength: 24, label: 'x:1' }).finish(1),
    );
    let state = 1;
    const random = (limit: number) => {
      state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
      return state % limit;
    };
    for (let i = 0; i < 3000; i++) {
      const bytes = Buffer.from(good.subarray(0, random(good.length + 1)));
      for (let n = random(5); n > 0 && bytes.length > 0; n--) bytes[random(bytes.length)] = random(256);
      for (const message of messages(bytes)) decodeAddress(message);
    }
  });
});

/** Changes of interfaces are tried in a network namespace of their own, by a program of their own. */
describe('rtnetlink against the kernel', function () {
  this.timeout(30_000);
  const name = `nl-${process.pid}`;
  before(function () {
    const made = spawnSync('ip', ['netns', 'add', name], { encoding: 'utf8' });
    if (made.status !== 0) {
      console.log(`      skipped: no network namespaces here (${made.error?.message ?? made.stderr.trim()})`);
      this.skip();
    }
  });
  after(() => {
    spawnSync('ip', ['netns', 'del', name]);
  });

  it('puts a thousand addresses on a link in well under 100 ms, finds them, takes them off', () => {
    const program = join(fileURLToPath(import.meta.url), '..', 'netlink-program.js');
    const output = execFileSync('ip', ['netns', 'exec', name, process.execPath, program], {
      encoding: 'utf8',
    });
    const result = JSON.parse(output) as Record<string, unknown>;
    assert.equal(result.added, 1000);
    assert.equal(result.failed, 0);
    assert.equal(result.marked, 1000);
    const limit = Math.max(100, 2 * (result.yardstick as number));
    assert.ok(
      (result.milliseconds as number) < limit,
      `${result.milliseconds} ms, ip -batch ${result.yardstick} ms`,
    );
    assert.equal(result.left, 0);
    assert.equal(result.twice, undefined, 'adding what is there is no error');
    assert.equal(result.missing, 'EADDRNOTAVAIL');
    assert.equal(result.macvlan, '00:00:5e:00:01:33');
    assert.deepEqual(result.events, ['link mv0 up', 'address 192.0.2.1']);
  });
});
