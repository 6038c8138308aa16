import assert from 'node:assert/strict';
import { mkdirSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { basename, join } from 'node:path';
import { CLOSE, DATA, frame, OPEN, reader } from '../../../compat/vm/frames.js';
import { cpio, moduleClosure } from '../../../compat/vm/initramfs.js';

/** Reads a "newc" archive as cpio(5) describes it. */
function unpack(archive: Buffer): { path: string; mode: number; content: string }[] {
  const files: { path: string; mode: number; content: string }[] = [];
  for (let at = 0; ; ) {
    assert.equal(archive.toString('latin1', at, at + 6), '070701');
    const field = (index: number) =>
      Number.parseInt(archive.toString('latin1', at + 6 + index * 8, at + 14 + index * 8), 16);
    const [mode, size, length] = [field(1), field(6), field(11)];
    const path = archive.toString('utf8', at + 110, at + 110 + length - 1);
    const body = at + Math.ceil((110 + length) / 4) * 4;
    if (path === 'TRAILER!!!') {
      assert.equal(body + size, archive.length);
      return files;
    }
    files.push({ path, mode, content: archive.toString('utf8', body, body + size) });
    at = body + Math.ceil(size / 4) * 4;
  }
}

describe('first file system of the virtual machine', () => {
  it('is an archive of files and folders, each padded to four bytes', () => {
    const files = ['', 'a', 'ab', 'abc', 'abcd', 'abcde'].map((content, index) => ({
      path: `folder/${'x'.repeat(index + 1)}`,
      mode: 0o100755,
      content,
    }));
    const all = [{ path: 'folder', mode: 0o040755 }, ...files];
    assert.deepEqual(
      unpack(cpio(all)),
      all.map((entry) => ({ content: '', ...entry })),
    );
  });

  it('loads what a module needs before it, each once, whatever dashes it is written with', () => {
    const folder = mkdtempSync(join(tmpdir(), 'dvh-modules-'));
    try {
      const module = (path: string, depends: string) => {
        mkdirSync(join(folder, path, '..'), { recursive: true });
        writeFileSync(join(folder, path), `\x7fELF\0license=GPL\0depends=${depends}\0name=x\0`);
      };
      module('drivers/vfio/vfio-pci.ko', 'vfio-pci-core,vfio');
      module('drivers/vfio/vfio-pci-core.ko', 'vfio,irqbypass');
      module('drivers/vfio/vfio.ko', '');
      module('virt/irqbypass.ko', '');
      const order = moduleClosure(folder, ['vfio_pci', 'vfio']).map((file) => basename(file, '.ko'));
      assert.deepEqual(order, ['vfio', 'irqbypass', 'vfio-pci-core', 'vfio-pci']);
      assert.throws(() => moduleClosure(folder, ['e1000']), /has no module e1000/);
    } finally {
      rmSync(folder, { recursive: true });
    }
  });
});

describe('relay into the virtual machine', () => {
  it('reads whole frames out of pieces of any length', () => {
    const sent: [number, number, string][] = [
      [OPEN, 1, ''],
      [DATA, 1, 'first'],
      [OPEN, 2, ''],
      [DATA, 2, 'x'.repeat(100_000)],
      [DATA, 1, '\0\n'],
      [CLOSE, 1, ''],
      [CLOSE, 0xffffffff, ''],
    ];
    const bytes = Buffer.concat(
      sent.map(([kind, connection, text]) => frame(kind, connection, Buffer.from(text))),
    );
    for (const size of [7, 8, 9, 10, 1000, 65_536, bytes.length]) {
      const got: [number, number, string][] = [];
      const take = reader((kind, connection, data) => got.push([kind, connection, data.toString()]));
      for (let at = 0; at < bytes.length; at += size) take(bytes.subarray(at, at + size));
      assert.deepEqual(got, sent, `pieces of ${size}`);
    }
  });
});
