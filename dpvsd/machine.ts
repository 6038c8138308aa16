import { accessSync, constants, lstatSync, readdirSync, readFileSync, realpathSync } from 'node:fs';

/** How the machine is looked at. Tests put another machine in its place. No method throws; what is not there is undefined or empty. */
export interface Files {
  read(path: string): string | undefined;
  /** Names in a folder. */
  list(path: string): string[];
  /** Where a symbolic link leads, as an absolute path. */
  follow(path: string): string | undefined;
  exists(path: string): boolean;
  writable(path: string): boolean;
}

export const realFiles: Files = {
  read(path) {
    try {
      return readFileSync(path, 'utf8');
    } catch {
      return undefined;
    }
  },
  list(path) {
    try {
      return readdirSync(path).sort();
    } catch {
      return [];
    }
  },
  follow(path) {
    try {
      return realpathSync(path);
    } catch {
      return undefined;
    }
  },
  exists(path) {
    try {
      lstatSync(path);
      return true;
    } catch {
      return false;
    }
  },
  writable(path) {
    try {
      accessSync(path, constants.R_OK | constants.W_OK);
      return true;
    } catch {
      return false;
    }
  },
};

/** Hugepages of one size on one NUMA node. */
export interface HugePages {
  node: number;
  /** Kilobytes: 2048 or 1048576. */
  size: number;
  total: number;
  free: number;
}

export interface Cpu {
  id: number;
  node: number;
  /** The lowest CPU of the same core: equal for hyperthreads of one core. */
  core: number;
}

/** A network card on the PCI bus. */
export interface Nic {
  /** 0000:06:00.0 */
  address: string;
  /** vendor:device, hexadecimal */
  id: string;
  driver: string | undefined;
  node: number;
  iommuGroup: string | undefined;
  /** Names of its kernel devices, and whether each is up. */
  devices: { name: string; up: boolean }[];
}

/** What the planner and the doctor know about the machine. */
export interface Machine {
  cpus: Cpu[];
  /** CPUs that this process may run on; a subset of `cpus`. */
  allowed: number[];
  isolated: number[];
  nohzFull: number[];
  rcuNocbs: number[];
  hugepages: HugePages[];
  /** Megabytes. */
  memory: { total: number; available: number; limit: number | undefined };
  nics: Nic[];
  iommu: boolean;
  /** /dev/vhost-net is there. */
  vhostNet: boolean;
  /** DPDK's libraries that the loader would find. */
  dpdk: Dpdk | undefined;
}

export interface Dpdk {
  folder: string;
  /** Number behind librte_eal.so: 23 is 22.11, 25 is 24.11. */
  abi: number;
  /** Drivers that are installed, as in the names of their libraries: `net_af_packet`, `net_ixgbe`. */
  drivers: string[];
}

/** DPDK's version by its binary interface: one number for each long-term release, named after November of the year before. */
export const dpdkRelease = (abi: number): string => `${abi - 1}.11`;

/** Drivers that leave a NIC to DPDK, and those whose NIC works for kernel and DPDK at once. */
export const dpdkDrivers = ['vfio-pci', 'igb_uio', 'uio_pci_generic'];
export const sharedDrivers = ['mlx5_core', 'mlx4_core', 'mana'];

/** The driver that lets DPDK have a card of this machine: vfio-pci wants an IOMMU. */
export const driverFor = (machine: Machine): string => (machine.iommu ? 'vfio-pci' : 'uio_pci_generic');

/** Whether a card sees memory by its physical addresses, which only hugepages keep in place. */
export const needsPhysical = (machine: Machine, nic: Nic): boolean =>
  nic.driver === 'igb_uio' ||
  nic.driver === 'uio_pci_generic' ||
  (nic.driver === 'vfio-pci' && !machine.iommu);

/** Reads the kernel's list form: `0-3,8` is 0 1 2 3 8. */
export function readList(text: string | undefined): number[] {
  const all: number[] = [];
  for (const part of (text ?? '').trim().split(',')) {
    const range = /^(\d+)(?:-(\d+))?$/.exec(part.trim());
    if (!range) continue;
    const first = Number(range[1]);
    for (let i = first; i <= Number(range[2] ?? first); i++) all.push(i);
  }
  return all;
}

/** The shortest list form of some numbers: 0 1 2 3 8 is `0-3,8`. */
export function writeList(numbers: Iterable<number>): string {
  const sorted = [...new Set(numbers)].sort((a, b) => a - b);
  const parts: string[] = [];
  for (let i = 0; i < sorted.length; ) {
    let j = i;
    while (sorted[j + 1] === sorted[j]! + 1) j++;
    parts.push(i === j ? `${sorted[i]}` : `${sorted[i]}-${sorted[j]}`);
    i = j + 1;
  }
  return parts.join(',');
}

const count = (text: string | undefined): number => Number.parseInt(text ?? '', 10) || 0;

/** 06:00.0 and 0000:06:00.0 are the same card. */
export const wholeAddress = (address: string): string =>
  (/^[0-9a-f]{4}:/i.test(address) ? address : `0000:${address}`).toLowerCase();

function readCpus(files: Files, nodes: number[]): Cpu[] {
  const nodeOf = new Map<number, number>();
  for (const node of nodes) {
    for (const cpu of readList(files.read(`/sys/devices/system/node/node${node}/cpulist`)))
      nodeOf.set(cpu, node);
  }
  return readList(files.read('/sys/devices/system/cpu/online')).map((id) => ({
    id,
    node: nodeOf.get(id) ?? 0,
    core: readList(files.read(`/sys/devices/system/cpu/cpu${id}/topology/thread_siblings_list`))[0] ?? id,
  }));
}

function readHugePages(files: Files, nodes: number[]): HugePages[] {
  const at = (folder: string, node: number): HugePages[] =>
    files
      .list(folder)
      .filter((name) => name.startsWith('hugepages-'))
      .map((name) => ({
        node,
        size: count(name.slice('hugepages-'.length)),
        total: count(files.read(`${folder}/${name}/nr_hugepages`)),
        free: count(files.read(`${folder}/${name}/free_hugepages`)),
      }));
  const perNode = nodes.flatMap((node) => at(`/sys/devices/system/node/node${node}/hugepages`, node));
  return perNode.length > 0 ? perNode : at('/sys/kernel/mm/hugepages', 0);
}

function readNics(files: Files): Nic[] {
  const bus = '/sys/bus/pci/devices';
  return files
    .list(bus)
    .filter((address) => (files.read(`${bus}/${address}/class`) ?? '').startsWith('0x02'))
    .map((address) => {
      const folder = `${bus}/${address}`;
      const hex = (name: string) => (files.read(`${folder}/${name}`) ?? '').trim().replace(/^0x/, '');
      const last = (name: string) => files.follow(`${folder}/${name}`)?.split('/').at(-1);
      // virtio cards keep their kernel devices one folder deeper.
      const nets = [
        `${folder}/net`,
        ...files
          .list(folder)
          .filter((name) => name.startsWith('virtio'))
          .map((name) => `${folder}/${name}/net`),
      ];
      return {
        address,
        id: `${hex('vendor')}:${hex('device')}`,
        driver: last('driver'),
        node: Math.max(0, count(files.read(`${folder}/numa_node`))),
        iommuGroup: last('iommu_group'),
        devices: nets.flatMap((net) =>
          files.list(net).map((name) => ({
            name,
            up: (Number(files.read(`/sys/class/net/${name}/flags`) ?? 0) & 1) === 1,
          })),
        ),
      };
    });
}

const libraryFolders = [
  '/usr/local/lib/x86_64-linux-gnu',
  '/usr/local/lib/aarch64-linux-gnu',
  '/usr/local/lib64',
  '/usr/local/lib',
  '/usr/lib/x86_64-linux-gnu',
  '/usr/lib/aarch64-linux-gnu',
  '/usr/lib64',
];

function readDpdk(files: Files): Dpdk | undefined {
  for (const folder of libraryFolders) {
    const names = files.list(folder);
    const abis = names
      .map((name) => Number(/^librte_eal\.so\.(\d+)$/.exec(name)?.[1]))
      .filter(Number.isInteger);
    if (abis.length === 0) continue;
    const abi = Math.max(...abis);
    const drivers = names
      .map((name) => /^librte_(net_\w+)\.so\.(\d+)$/.exec(name))
      .filter((match) => match?.[2] === String(abi))
      .map((match) => match![1]!);
    return { folder, abi, drivers };
  }
  return undefined;
}

/** A word of the kernel's command line such as `isolcpus=`. */
function bootList(files: Files, word: string): number[] {
  const line = files.read('/proc/cmdline') ?? '';
  const given = line.split(/\s+/).find((part) => part.startsWith(`${word}=`));
  return readList(
    given
      ?.slice(word.length + 1)
      .split(',')
      .filter((part) => /^\d/.test(part))
      .join(','),
  );
}

/** Megabytes that control groups allow this process: its own and every one above it, of version 2 or 1. */
function controlGroupLimits(files: Files): number[] {
  const groups = files.read('/proc/self/cgroup') ?? '';
  const own = (pattern: RegExp) => (pattern.exec(groups)?.[1] ?? '').split('/').filter((part) => part !== '');
  const paths: string[] = [];
  for (const [root, parts, file] of [
    ['/sys/fs/cgroup', own(/^0::(\S+)/m), 'memory.max'],
    ['/sys/fs/cgroup/memory', own(/^\d+:memory:(\S+)/m), 'memory.limit_in_bytes'],
  ] as const) {
    for (let depth = parts.length; depth >= 0; depth--) {
      paths.push([root, ...parts.slice(0, depth), file].join('/'));
    }
  }
  // "max", and numbers as large as the address space, mean none.
  return paths
    .map((path) => Math.floor(Number.parseInt(files.read(path) ?? '', 10) / 1048576))
    .filter((megabytes) => Number.isFinite(megabytes));
}

/** Takes stock of the machine. */
export function readMachine(files: Files): Machine {
  const listed = readList(files.read('/sys/devices/system/node/online'));
  const nodes = listed.length > 0 ? listed : [0];
  const cpus = readCpus(files, nodes);
  const status = files.read('/proc/self/status') ?? '';
  const permitted = new Set(readList(/^Cpus_allowed_list:\s*(\S+)/m.exec(status)?.[1]));
  const online = cpus.map((cpu) => cpu.id);
  const meminfo = files.read('/proc/meminfo') ?? '';
  const megabytes = (field: string) =>
    Math.floor(count(new RegExp(`^${field}:\\s*(\\d+)`, 'm').exec(meminfo)?.[1]) / 1024);
  const limits = controlGroupLimits(files).filter((limit) => limit < megabytes('MemTotal'));
  return {
    cpus,
    allowed: permitted.size > 0 ? online.filter((id) => permitted.has(id)) : online,
    isolated: readList(files.read('/sys/devices/system/cpu/isolated')),
    nohzFull: readList(files.read('/sys/devices/system/cpu/nohz_full')),
    rcuNocbs: bootList(files, 'rcu_nocbs'),
    hugepages: readHugePages(files, nodes),
    memory: {
      total: megabytes('MemTotal'),
      available: megabytes('MemAvailable'),
      limit: limits.length > 0 ? Math.min(...limits) : undefined,
    },
    nics: readNics(files),
    iommu: files.list('/sys/kernel/iommu_groups').length > 0,
    vhostNet: files.exists('/dev/vhost-net'),
    dpdk: readDpdk(files),
  };
}
