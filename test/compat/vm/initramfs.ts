import { readdirSync, readFileSync } from 'node:fs';
import { basename, join } from 'node:path';

/** One file of a cpio archive; folders have no content. */
interface Entry {
  path: string;
  /** Type and permissions as in stat(2). */
  mode: number;
  content?: Buffer | string;
}

const FOLDER = 0o040755;
const PROGRAM = 0o100755;

/** An archive in the "newc" format, the one that the kernel takes as its first file system. */
export function cpio(entries: Entry[]): Buffer {
  const parts: Buffer[] = [];
  const padded = (bytes: Buffer) => Buffer.concat([bytes, Buffer.alloc((4 - (bytes.length % 4)) % 4)]);
  const write = (number: number, { path, mode, content = '' }: Entry) => {
    const bytes = Buffer.from(content as string);
    const name = Buffer.from(`${path}\0`);
    const links = mode === FOLDER ? 2 : 1;
    // inode, mode, uid, gid, links, mtime, size, device (2), special device (2), length of the name, check sum
    const fields = [number, mode, 0, 0, links, 0, bytes.length, 0, 0, 0, 0, name.length, 0];
    const head = `070701${fields.map((value) => value.toString(16).padStart(8, '0')).join('')}`;
    parts.push(padded(Buffer.concat([Buffer.from(head), name])), padded(bytes));
  };
  for (const [index, entry] of entries.entries()) write(index + 1, entry);
  write(entries.length + 1, { path: 'TRAILER!!!', mode: 0 });
  return Buffer.concat(parts);
}

/** A kernel module and those that it needs, which come before it. */
export function moduleClosure(folder: string, wanted: readonly string[]): string[] {
  const canonical = (name: string) => name.replaceAll('-', '_');
  const files = new Map(
    (readdirSync(folder, { recursive: true }) as string[])
      .filter((path) => path.endsWith('.ko'))
      .map((path) => [canonical(basename(path, '.ko')), join(folder, path)]),
  );
  const order: string[] = [];
  const visit = (name: string) => {
    const file = files.get(canonical(name));
    if (file === undefined) throw new Error(`the kernel package has no module ${name}`);
    if (order.includes(file)) return;
    // The section .modinfo has strings `KEY=VALUE`, each ended by NUL.
    const needs = /(?:^|\0)depends=([^\0]*)\0/.exec(readFileSync(file, 'latin1'))?.[1] ?? '';
    for (const need of needs.split(',')) if (need !== '') visit(need);
    order.push(file);
  };
  for (const name of wanted) visit(name);
  return order;
}

/**
 * The first file system: busybox, the modules, and an init that mounts this machine's files read-only and becomes the agent there.
 * @param modules in the order in which they are loaded
 * @param agent text of the agent, a script for bash
 */
export function initramfs(busybox: string, modules: readonly string[], agent: string): Buffer {
  const init = `#!/bin/busybox sh
export PATH=/usr/sbin:/usr/bin:/sbin:/bin
/bin/busybox mount -t proc proc /proc
/bin/busybox mount -t sysfs sysfs /sys
/bin/busybox mount -t devtmpfs devtmpfs /dev
for module in /modules/*; do /bin/busybox insmod $module || echo "module $module was not loaded"; done
/bin/busybox mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=524288,cache=loose,access=any files /root || exec /bin/busybox sh
for folder in tmp run var/tmp var/log var/lib; do /bin/busybox mount -t tmpfs tmpfs /root/$folder; done
for folder in proc sys dev; do /bin/busybox mount --move /$folder /root/$folder; done
/bin/busybox mkdir -p /root/dev/hugepages /root/run/netns
/bin/busybox cp /agent /root/run/agent
exec /bin/busybox chroot /root /bin/bash /run/agent
`;
  return cpio([
    ...['bin', 'dev', 'modules', 'proc', 'root', 'sys'].map((path) => ({ path, mode: FOLDER })),
    { path: 'bin/busybox', mode: PROGRAM, content: readFileSync(busybox) },
    { path: 'init', mode: PROGRAM, content: init },
    { path: 'agent', mode: PROGRAM, content: agent },
    ...modules.map((file, index) => ({
      path: `modules/${String(index).padStart(3, '0')}-${basename(file)}`,
      mode: PROGRAM,
      content: readFileSync(file),
    })),
  ]);
}
