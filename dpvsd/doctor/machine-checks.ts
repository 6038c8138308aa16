import {
  dpdkDrivers,
  dpdkRelease,
  driverFor,
  type Files,
  type Machine,
  sharedDrivers,
  writeList,
} from '../machine.js';
import { bad, type Finding, ok, warn } from './finding.js';

/** What the checks look at. */
export interface Patient {
  files: Files;
  machine: Machine;
  /** User id of this process. */
  user: number;
  /** The configuration uses cards, polls, or neither; undefined: there is no configuration yet. */
  needs: { cards: string[]; megabytes: number; poll: boolean } | undefined;
}

const OLDEST_ABI = 23;

/** A plan of ordinary size, for machines without a configuration: 65,535 packets and 2 million connections. */
const USUAL_MEGABYTES = 768;

export function checkHugepages({ machine, needs }: Patient): Finding[] {
  const area = 'hugepages';
  const need = needs?.megabytes ?? USUAL_MEGABYTES;
  const findings: Finding[] = [];
  if (machine.hugepages.length === 0) {
    return [
      warn(
        area,
        'this kernel has no hugepages: dpvsd takes ordinary memory, which is slower',
        'use a kernel with CONFIG_HUGETLBFS, or write "hugepages off" to silence this',
      ),
    ];
  }
  const megabytes = (of: 'free' | 'total') =>
    machine.hugepages.reduce((sum, pages) => sum + Math.floor((pages[of] * pages.size) / 1024), 0);
  const free = megabytes('free');
  const total = megabytes('total');
  const command = `sysctl -w vm.nr_hugepages=${Math.ceil((need * 1.25) / 2)}   # for good: vm.nr_hugepages in /etc/sysctl.d/80-dpvsd.conf`;
  if (total === 0) {
    const cards = (needs?.cards.length ?? 0) > 0;
    findings.push(
      (cards ? bad : warn)(
        area,
        `none are set aside: ${cards ? 'NICs want them' : 'dpvsd takes ordinary memory, which is slower'}`,
        command,
      ),
    );
  } else if (free < need) {
    findings.push(
      warn(
        area,
        `${free} of ${total} MB are free, ${needs ? 'the configuration' : 'a usual configuration'} takes ${need} MB`,
        free < total ? `${command}, or end what holds them: grep -l huge /proc/*/numa_maps` : command,
      ),
    );
  } else findings.push(ok(area, `${free} of ${total} MB are free`));

  const nodes = [...new Set(machine.cpus.map((cpu) => cpu.node))];
  if (total > 0 && nodes.length > 1) {
    const bare = nodes.filter(
      (node) => !machine.hugepages.some((pages) => pages.node === node && pages.total > 0),
    );
    for (const node of bare) {
      findings.push(
        warn(
          area,
          `NUMA node ${node} has none: workers there would fetch every packet from the other socket`,
          `echo ${Math.ceil(need / 2)} > /sys/devices/system/node/node${node}/hugepages/hugepages-2048kB/nr_hugepages`,
        ),
      );
    }
  }
  return findings;
}

export function checkMemory({ machine, needs }: Patient): Finding[] {
  const area = 'memory';
  const need = needs?.megabytes ?? USUAL_MEGABYTES;
  const { available, total, limit } = machine.memory;
  const huge = machine.hugepages.reduce((sum, pages) => sum + (pages.free * pages.size) / 1024, 0);
  // Hugepages are set aside already, and not counted against the group's memory.
  if (huge >= need) return [ok(area, `${available} of ${total} MB are available beside the hugepages`)];
  if (limit !== undefined && limit < need) {
    return [
      bad(
        area,
        `the control group allows ${limit} MB, ${needs ? 'the configuration' : 'a usual configuration'} takes ${need} MB`,
        'raise the limit (systemd: MemoryMax=; container: --memory), or write a smaller conn_pool_size',
      ),
    ];
  }
  if (available < need) {
    return [
      bad(
        area,
        `${available} of ${total} MB are available, ${needs ? 'the configuration' : 'a usual configuration'} takes ${need} MB`,
        'write a smaller conn_pool_size and pktpool_size in dpvs.conf, or end other programs',
      ),
    ];
  }
  return [ok(area, `${available} of ${total} MB are available`)];
}

export function checkNuma({ machine }: Patient): Finding[] {
  const area = 'NUMA';
  const nodes = [...new Set(machine.cpus.map((cpu) => cpu.node))];
  if (nodes.length < 2) return [ok(area, 'one node')];
  const cards = machine.nics.filter((nic) => dpdkDrivers.includes(nic.driver ?? ''));
  const where = nodes.map((node) => {
    const here = cards.filter((nic) => nic.node === node).map((nic) => nic.address);
    return `node ${node}: CPUs ${writeList(machine.cpus.filter((cpu) => cpu.node === node).map((cpu) => cpu.id))}${here.length > 0 ? `, ${here.join(' ')}` : ''}`;
  });
  const split = new Set(cards.map((nic) => nic.node)).size > 1;
  return [
    split
      ? warn(
          area,
          `the cards for DPDK are on different nodes (${where.join('; ')})`,
          'use cards of one node, or one instance for each node',
        )
      : ok(area, where.join('; ')),
  ];
}

export function checkCpus({ machine, needs, files }: Patient): Finding[] {
  const area = 'CPUs';
  const findings: Finding[] = [];
  const { allowed, isolated, cpus } = machine;
  if (allowed.length < 2) {
    findings.push(
      warn(
        area,
        `this process may use ${allowed.length === 1 ? 'one CPU' : 'no CPU'} of ${cpus.length}: master and worker share it`,
        cpus.length > allowed.length
          ? 'widen the cpuset (systemd: CPUAffinity=; container: --cpuset-cpus)'
          : 'give the machine a second CPU',
      ),
    );
  } else findings.push(ok(area, `${allowed.length} usable: ${writeList(allowed)}`));

  // Isolation matters to workers that poll; a laptop needs none.
  const poll = needs?.poll ?? machine.nics.some((nic) => dpdkDrivers.includes(nic.driver ?? ''));
  if (poll && allowed.length >= 2) {
    const workers = writeList(cpus.map((cpu) => cpu.id).slice(1));
    if (isolated.length === 0) {
      findings.push(
        warn(
          area,
          'none are isolated: other programs take turns with polling workers, and packets are lost meanwhile',
          `add "isolcpus=${workers} nohz_full=${workers} rcu_nocbs=${workers}" to the kernel's command line (GRUB_CMDLINE_LINUX in /etc/default/grub; update-grub; reboot)`,
        ),
      );
    } else {
      findings.push(ok(area, `isolated: ${writeList(isolated)}`));
      const ticking = isolated.filter((id) => !machine.nohzFull.includes(id));
      if (ticking.length > 0) {
        findings.push(
          warn(
            area,
            `isolated CPUs ${writeList(ticking)} still get the timer interrupt`,
            `add "nohz_full=${writeList(isolated)} rcu_nocbs=${writeList(isolated)}" to the kernel's command line`,
          ),
        );
      }
    }
    const governor = files.read('/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor')?.trim();
    if (governor !== undefined && governor !== 'performance') {
      findings.push(
        warn(
          area,
          `the frequency governor is ${governor}: the first packets after a pause are slow`,
          'cpupower frequency-set -g performance',
        ),
      );
    }
  }
  const flags = /^flags\s*:(.*)$/m.exec(files.read('/proc/cpuinfo') ?? '')?.[1];
  if (flags !== undefined && !/\bsse4_2\b/.test(flags)) {
    findings.push(
      bad(
        area,
        'this CPU lacks SSE 4.2, which DPDK needs',
        'use a newer machine; virtual machines: CPU model "host"',
      ),
    );
  } else if (flags !== undefined && !/\b(constant_tsc|nonstop_tsc)\b/.test(flags)) {
    findings.push(
      warn(
        area,
        'the cycle counter of this CPU is not steady: times are imprecise',
        'virtual machines: CPU model "host" with invariant TSC',
      ),
    );
  }
  return findings;
}

export function checkDpdk({ machine, files }: Patient): Finding[] {
  const area = 'DPDK';
  const { dpdk } = machine;
  if (!dpdk) return [bad(area, 'its libraries are not installed', 'apt-get install libdpdk-dev')];
  if (dpdk.abi < OLDEST_ABI) {
    return [
      bad(
        area,
        `${dpdk.folder} has version ${dpdkRelease(dpdk.abi)}, too old: ${dpdkRelease(OLDEST_ABI)} or later is needed`,
        'use Debian 12 or later, or install DPDK 22.11 or 24.11',
      ),
    ];
  }
  const findings = [
    ok(area, `version ${dpdkRelease(dpdk.abi)} in ${dpdk.folder}, ${dpdk.drivers.length} network drivers`),
  ];
  if (!dpdk.drivers.includes('net_af_packet')) {
    findings.push(
      warn(
        area,
        'the driver net_af_packet is missing: ports on kernel devices will not work',
        'apt-get install --reinstall libdpdk-dev librte-net-af-packet*',
      ),
    );
  }
  if (files.exists('/sys/devices/system/cpu') && machine.cpus.length > 128) {
    findings.push(ok(area, 'more CPUs than lcores of DPDK (128): workers are numbered apart from CPUs'));
  }
  return findings;
}

export function checkDrivers({ machine, files, needs }: Patient): Finding[] {
  const area = 'drivers';
  const findings: Finding[] = [];
  const loaded = dpdkDrivers.filter((name) => files.exists(`/sys/bus/pci/drivers/${name}`));
  const ready = machine.nics.filter((nic) => dpdkDrivers.includes(nic.driver ?? ''));
  const shared = machine.nics.filter((nic) => sharedDrivers.includes(nic.driver ?? ''));
  if (machine.nics.length === 0) {
    return [ok(area, 'no network card on a PCI bus: use virtual devices (conf/dpvs.conf.vdev.sample)')];
  }
  for (const nic of machine.nics) {
    const names = nic.devices.map((device) => `${device.name}${device.up ? ' (up)' : ''}`).join(' ');
    findings.push(
      ok(
        area,
        `${nic.address} ${nic.id} node ${nic.node}: ${nic.driver ?? 'no driver'}${names ? `, ${names}` : ''}${ready.includes(nic) || shared.includes(nic) ? ', ready for DPDK' : ''}`,
      ),
    );
  }
  if (ready.length === 0 && shared.length === 0) {
    const free = machine.nics.find((nic) => !nic.devices.some((device) => device.up));
    findings.push(
      warn(
        area,
        'no card is handed to DPDK',
        free
          ? `modprobe ${driverFor(machine)}; dpdk-devbind.py --bind=${driverFor(machine)} ${free.address}`
          : 'every card carries a device that is up: add a card, or use virtual devices (conf/dpvs.conf.vdev.sample)',
      ),
    );
  }
  if (ready.some((nic) => nic.driver === 'vfio-pci') && !machine.iommu) {
    const unsafe = files.read('/sys/module/vfio/parameters/enable_unsafe_noiommu_mode')?.trim();
    findings.push(
      unsafe === 'Y' || unsafe === '1'
        ? warn(
            area,
            'vfio-pci works without an IOMMU: a card may write to any memory',
            'switch the IOMMU on: "intel_iommu=on iommu=pt" or "amd_iommu=on iommu=pt" on the kernel\'s command line',
          )
        : bad(
            area,
            'a card is bound to vfio-pci, and there is no IOMMU: DPDK cannot open it',
            `add "intel_iommu=on iommu=pt" to the kernel's command line and reboot; virtual machines: ${
              unsafe === undefined
                ? 'use uio_pci_generic, since this kernel has no mode without IOMMU'
                : 'echo 1 > /sys/module/vfio/parameters/enable_unsafe_noiommu_mode'
            }`,
          ),
    );
  }
  if (
    ready.some((nic) => nic.driver === 'vfio-pci') &&
    machine.iommu &&
    !files.exists('/sys/module/vfio_iommu_type1')
  ) {
    findings.push(
      bad(
        area,
        'the module vfio_iommu_type1 is not loaded: DPDK cannot open the cards that vfio-pci holds',
        'modprobe vfio_iommu_type1',
      ),
    );
  }
  for (const nic of ready.filter((card) => card.driver === 'vfio-pci' && card.iommuGroup !== undefined)) {
    const group = `/sys/kernel/iommu_groups/${nic.iommuGroup}/devices`;
    const others = files
      .list(group)
      .filter((address) => address !== nic.address)
      .filter(
        (address) =>
          !/\/(vfio-pci|pcieport)$/.test(
            files.follow(`/sys/bus/pci/devices/${address}/driver`) ?? '/vfio-pci',
          ),
      );
    if (others.length > 0) {
      findings.push(
        bad(
          area,
          `${nic.address} shares IOMMU group ${nic.iommuGroup} with ${others.join(' ')}, which the kernel uses`,
          `bind those to vfio-pci as well: dpdk-devbind.py --bind=vfio-pci ${others.join(' ')}`,
        ),
      );
    }
  }
  if (needs && needs.cards.length > 0 && loaded.length === 0 && shared.length === 0) {
    findings.push(
      bad(
        area,
        'no driver for DPDK is loaded',
        'modprobe vfio-pci   # for good: echo vfio-pci > /etc/modules-load.d/dpvsd.conf',
      ),
    );
  }
  return findings;
}

/** A row of /proc/self/limits: soft and hard limit; Infinity for unlimited. */
function limit(files: Files, name: string): { soft: number; hard: number } | undefined {
  const row = new RegExp(`^${name}\\s+(\\S+)\\s+(\\S+)`, 'm').exec(files.read('/proc/self/limits') ?? '');
  if (!row) return undefined;
  const value = (text = '') => (text === 'unlimited' ? Number.POSITIVE_INFINITY : Number(text));
  return { soft: value(row[1]), hard: value(row[2]) };
}

export function checkLimits({ files, user, machine }: Patient): Finding[] {
  const area = 'limits';
  const findings: Finding[] = [];
  const memlock = limit(files, 'Max locked memory');
  const vfio = machine.nics.some((nic) => nic.driver === 'vfio-pci');
  // Root's CAP_IPC_LOCK passes the limit, but VFIO counts against it without that capability.
  if (memlock && memlock.hard < 1073741824 && user !== 0) {
    findings.push(
      (vfio ? bad : warn)(
        area,
        `locked memory: ${Math.floor(memlock.hard / 1048576)} MB: cards under VFIO cannot be given memory`,
        'ulimit -l unlimited   # systemd: LimitMEMLOCK=infinity, as in conf/dpvsd.service',
      ),
    );
  } else if (memlock) findings.push(ok(area, 'locked memory is enough'));
  const files_ = limit(files, 'Max open files');
  if (files_ && files_.hard < 1024) {
    findings.push(warn(area, `open files: ${files_.hard}`, 'ulimit -n 65536   # systemd: LimitNOFILE=65536'));
  } else if (files_) findings.push(ok(area, `open files: ${files_.hard}`));
  if (user !== 0) {
    findings.push(
      warn(
        area,
        `user ${user} is not root: ports on NICs, TAP and af_packet need CAP_NET_ADMIN, CAP_NET_RAW and the devices below /dev/vfio`,
        'start as root, or by conf/dpvsd.service',
      ),
    );
  }
  return findings;
}

export function checkDeviceFiles({ files }: Patient): Finding[] {
  const area = 'devices';
  const findings: Finding[] = [];
  if (!files.exists('/dev/net/tun')) {
    findings.push(
      bad(
        area,
        '/dev/net/tun is missing: kernel twins and TAP ports need it',
        'modprobe tun; mkdir -p /dev/net; mknod /dev/net/tun c 10 200   # container: --device /dev/net/tun',
      ),
    );
  } else if (!files.writable('/dev/net/tun')) {
    findings.push(
      bad(area, '/dev/net/tun may not be opened by this user', 'chmod 0666 /dev/net/tun, or start as root'),
    );
  } else findings.push(ok(area, '/dev/net/tun: kernel twins by TAP'));
  if (!files.exists('/dev/vhost-net')) {
    findings.push(
      warn(
        area,
        '/dev/vhost-net is missing: neither virtio-user ports nor "kni_kind virtio-user" can be used (kernel twins are TAP devices otherwise)',
        'modprobe vhost_net   # not to be had in many containers; TAP suffices for control traffic',
      ),
    );
  } else findings.push(ok(area, '/dev/vhost-net: virtio-user ports, kernel twins by virtio-user'));
  return findings;
}

export function checkKernel({ files }: Patient): Finding[] {
  const area = 'kernel';
  const findings: Finding[] = [];
  const aslr = files.read('/proc/sys/kernel/numa_balancing')?.trim();
  if (aslr === '1') {
    findings.push(
      warn(area, 'NUMA balancing moves memory under running workers', 'sysctl -w kernel.numa_balancing=0'),
    );
  }
  const runtime = files.read('/proc/sys/kernel/sched_rt_runtime_us')?.trim();
  if (runtime === '0') {
    findings.push(
      warn(
        area,
        'real-time threads are forbidden: VRRP cannot run ahead of others',
        'sysctl -w kernel.sched_rt_runtime_us=950000',
      ),
    );
  }
  if (!files.exists('/proc/net/packet')) {
    findings.push(
      warn(area, 'packet sockets are missing: af_packet ports will not work', 'modprobe af_packet'),
    );
  }
  if (findings.length === 0) findings.push(ok(area, 'nothing to mend'));
  return findings;
}
