import assert from 'node:assert/strict';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Frame, pcap, pcapng } from '../../../packets/capture.js';
import { framesOf } from '../../../packets/read.js';
import { projectRoot } from '../../../packets/root.js';
import { sceneText } from '../../../packets/scene.js';
import { allScenes } from '../../../packets/scenes/index.js';
import { address, packet, sum, tcp, udp } from '../../../packets/wire.js';

const folder = join(projectRoot, 'test', 'packets', 'fixtures');

/** Frames of a classic capture, read back. */
function readPcap(file: Buffer): { at: number; bytes: Uint8Array }[] {
  assert.equal(file.readUInt32LE(0), 0xa1b2c3d4);
  assert.equal(file.readUInt32LE(20), 1);
  const frames = [];
  for (let at = 24; at < file.length; ) {
    const length = file.readUInt32LE(at + 8);
    assert.equal(file.readUInt32LE(at + 12), length);
    frames.push({
      at: file.readUInt32LE(at) * 1e6 + file.readUInt32LE(at + 4),
      bytes: Uint8Array.from(file.subarray(at + 16, at + 16 + length)),
    });
    at += 16 + length;
  }
  return frames;
}

/** Packets and comments of a pcapng file, read back block by block. */
function readPcapng(file: Buffer): Frame[] {
  const frames: Frame[] = [];
  for (let at = 0; at < file.length; ) {
    const type = file.readUInt32LE(at);
    const length = file.readUInt32LE(at + 4);
    assert.equal(length % 4, 0);
    assert.equal(file.readUInt32LE(at + length - 4), length, 'a block ends with its length');
    if (type === 6) {
      const captured = file.readUInt32LE(at + 20);
      const options = at + 28 + Math.ceil(captured / 4) * 4;
      const frame: Frame = {
        at: file.readUInt32LE(at + 12) * 2 ** 32 + file.readUInt32LE(at + 16),
        bytes: Uint8Array.from(file.subarray(at + 28, at + 28 + captured)),
      };
      if (options < at + length - 4) {
        assert.equal(file.readUInt16LE(options), 1);
        frame.comment = file.toString('utf8', options + 4, options + 4 + file.readUInt16LE(options + 2));
      }
      frames.push(frame);
    }
    at += length;
  }
  return frames;
}

describe('packet fixtures', () => {
  it('are what the scenes say (node dist/test/packets/write.js writes them)', () => {
    const written = new Map(
      readdirSync(folder).map((name) => [name, readFileSync(join(folder, name), 'utf8')] as const),
    );
    const said = new Map(allScenes().map((scene) => [`${scene.name}.txt`, sceneText(scene)] as const));
    assert.deepEqual([...written.keys()].sort(), [...said.keys()].sort());
    for (const [name, text] of said) assert.equal(written.get(name), text, name);
  });

  it('have one sentence and one name per step', () => {
    for (const scene of allScenes()) {
      const names = new Set(scene.steps.map((step) => step.name));
      assert.equal(names.size, scene.steps.length, scene.name);
      for (const step of scene.steps) {
        assert.match(step.says, /^[A-Z0-9].*\.$/, `${scene.name} ${step.name}`);
        assert.doesNotMatch(step.name, /\s/);
      }
    }
  });

  it('become captures with the same bytes', () => {
    for (const name of readdirSync(folder)) {
      const frames = framesOf(readFileSync(join(folder, name), 'utf8'));
      assert.deepEqual(readPcapng(pcapng(frames)), frames);
      assert.deepEqual(
        readPcap(pcap(frames)),
        frames.map(({ at, bytes }) => ({ at, bytes })),
      );
    }
    const scene = allScenes().find(({ name }) => name === 'dr-ipv4')!;
    const frames = framesOf(sceneText(scene));
    const first = scene.steps[0]!;
    assert.deepEqual(frames[0]?.bytes.slice(14), first.in.bytes);
    assert.equal(frames[0]?.comment, `syn: ${first.says}`);
    assert.equal(Buffer.from(frames[1]!.bytes.slice(0, 6)).toString('hex'), '020000000201');
  });
});

describe('the plain packet builder', () => {
  // From captures of other stacks' packets, so that builder and dataplane cannot err alike.
  it('makes a known IPv4 header checksum', () => {
    const header = [0x45, 0, 0, 0x73, 0, 0, 0x40, 0, 0x40, 0x11, 0, 0, 0xc0, 0xa8, 0, 1, 0xc0, 0xa8, 0, 0xc7];
    assert.equal(~sum(Uint8Array.from(header)) & 0xffff, 0xb861);
  });

  it('verifies: every sum over a whole message is ffff', () => {
    for (const [from, to] of [
      ['10.0.0.1', '10.0.0.2'],
      ['2001:db8::1', '2001:db8::2'],
    ] as const) {
      for (const transport of [tcp({ from: 1, to: 2, flags: 'S' }), udp({ from: 1, to: 2 })]) {
        const bytes = packet({ from, to }, transport);
        const start = from.includes(':') ? 40 : 20;
        const body = bytes.slice(start);
        const protocol = transport.protocol(start === 40);
        const pseudo = Uint8Array.from([...address(from), ...address(to), 0, protocol, 0, body.length]);
        assert.equal(sum(pseudo, body), 0xffff);
        if (start === 20) assert.equal(sum(bytes.slice(0, 20)), 0xffff);
      }
    }
  });
});
