import type { Files } from '../../../dpvsd/machine.js';
import { writeList } from '../../../dpvsd/machine.js';

/** Files of a machine that does not exist: contents by path. A content that begins with `-> ` is a symbolic link. */
export type Contents = Record<string, string>;

/** Reads from `contents` as a file system would: folders are there because something lies in them. */
export function filesOf(contents: Contents, unwritable: string[] = []): Files {
  const paths = Object.keys(contents);
  return {
    read: (path) => (contents[path]?.startsWith('-> ') ? undefined : contents[path]),
    list(path) {
      const names = paths
        .filter((one) => one.startsWith(`${path}/`))
        .map((one) => one.slice(path.length + 1).split('/')[0]!);
      return [...new Set(names)].sort();
    },
    follow(path) {
      const content = contents[path];
      return content?.startsWith('-> ') ? content.slice(3) : content === undefined ? undefined : path;
    },
    exists: (path) => paths.some((one) => one === path || one.startsWith(`${path}/`)),
    writable: (path) => path in contents && !unwritable.includes(path),
  };
}

export interface Card {
  driver?: string;
  node?: number;
  group?: string;
  device?: string;
  up?: boolean;
}

export interface Shape {
  cpus?: number;
  /** Nodes; CPUs are dealt out in equal blocks. */
  nodes?: number;
  allowed?: string;
  /** Hugepages of 2 MB on each node: total and free. */
  huge?: { total: number; free: number };
  /** Megabytes. */
  memory?: { total: number; available: number };
  cards?: Record<string, Card>;
  /** Number behind librte_eal.so; 0: not installed. */
  dpdk?: number;
  isolated?: string;
}

/** A healthy server: eight CPUs, two cards under vfio-pci with an IOMMU, hugepages, DPDK 22.11. */
export function contentsOf(shape: Shape = {}): Contents {
  const {
    cpus = 8,
    nodes = 1,
    huge = { total: 2048, free: 2048 },
    memory = { total: 32768, available: 24000 },
  } = shape;
  const cards = shape.cards ?? {
    '0000:06:00.0': { driver: 'vfio-pci', group: '1' },
    '0000:06:00.1': { driver: 'vfio-pci', group: '2' },
  };
  const all = Array.from({ length: cpus }, (_, cpu) => cpu);
  const isolated = shape.isolated ?? (cpus > 1 ? writeList(all.slice(1)) : '');
  const contents: Contents = {
    '/sys/devices/system/cpu/online': `${writeList(all)}\n`,
    '/sys/devices/system/cpu/isolated': `${isolated}\n`,
    '/sys/devices/system/cpu/nohz_full': `${isolated}\n`,
    '/sys/devices/system/node/online': `${writeList(Array.from({ length: nodes }, (_, n) => n))}\n`,
    '/proc/self/status': `Name:\tnode\nCpus_allowed_list:\t${shape.allowed ?? writeList(all)}\n`,
    '/proc/self/limits':
      'Limit                     Soft Limit           Hard Limit           Units\n' +
      'Max open files            65536                65536                files\n' +
      'Max locked memory         unlimited            unlimited            bytes\n',
    '/proc/meminfo': `MemTotal:       ${memory.total * 1024} kB\nMemAvailable:   ${memory.available * 1024} kB\n`,
    '/proc/self/cgroup': '0::/\n',
    '/proc/cmdline': `quiet isolcpus=${isolated}\n`,
    '/proc/cpuinfo': 'flags\t\t: fpu sse4_2 constant_tsc nonstop_tsc\n',
    '/proc/net/packet': '',
    '/proc/sys/kernel/numa_balancing': '0\n',
    '/proc/sys/kernel/sched_rt_runtime_us': '950000\n',
    '/sys/bus/pci/drivers/vfio-pci/bind': '',
    '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': 'N\n',
    '/sys/kernel/iommu_groups/1/devices/0000:06:00.0': '',
    '/sys/kernel/iommu_groups/2/devices/0000:06:00.1': '',
    '/dev/net/tun': '',
    '/dev/vhost-net': '',
  };
  for (const cpu of all)
    contents[`/sys/devices/system/cpu/cpu${cpu}/topology/thread_siblings_list`] = `${cpu}\n`;
  for (let node = 0; node < nodes; node++) {
    const share = Math.ceil(cpus / nodes);
    const folder = `/sys/devices/system/node/node${node}`;
    contents[`${folder}/cpulist`] = `${writeList(all.slice(node * share, (node + 1) * share))}\n`;
    contents[`${folder}/hugepages/hugepages-2048kB/nr_hugepages`] = `${huge.total}\n`;
    contents[`${folder}/hugepages/hugepages-2048kB/free_hugepages`] = `${huge.free}\n`;
  }
  for (const [address, card] of Object.entries(cards)) {
    const folder = `/sys/bus/pci/devices/${address}`;
    contents[`${folder}/class`] = '0x020000\n';
    contents[`${folder}/vendor`] = '0x8086\n';
    contents[`${folder}/device`] = '0x10fb\n';
    contents[`${folder}/numa_node`] = `${card.node ?? 0}\n`;
    if (card.driver) contents[`${folder}/driver`] = `-> /sys/bus/pci/drivers/${card.driver}`;
    if (card.group) contents[`${folder}/iommu_group`] = `-> /sys/kernel/iommu_groups/${card.group}`;
    if (card.device) {
      contents[`${folder}/net/${card.device}/ifindex`] = '2\n';
      contents[`/sys/class/net/${card.device}/flags`] = card.up ? '0x1003\n' : '0x1002\n';
    }
  }
  const abi = shape.dpdk ?? 23;
  if (abi > 0) {
    for (const name of ['eal', 'net_af_packet', 'net_ixgbe', 'net_tap', 'net_bond']) {
      contents[`/usr/lib/x86_64-linux-gnu/librte_${name}.so.${abi}`] = '';
    }
  }
  return contents;
}

export const fakeFiles = (shape: Shape = {}): Files => filesOf(contentsOf(shape));
