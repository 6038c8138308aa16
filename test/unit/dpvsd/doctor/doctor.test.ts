import assert from 'node:assert/strict';
import { examine, showFindings, worst } from '../../../../dpvsd/doctor/doctor.js';
import type { Finding } from '../../../../dpvsd/doctor/finding.js';
import { type Contents, contentsOf, filesOf, type Shape } from '../fake-machine.js';

const CONF = '/etc/dpvs.conf';
const onCards =
  'netif_defs {\n device dpdk0 {\n pci 06:00.0\n }\n}\nipvs_defs {\n conn {\n conn_pool_size 65536\n }\n}';
const onVeth = 'netif_defs {\n device dpdk0 {\n vdev net_af_packet0,iface=veth0\n }\n}';

interface Sick {
  name: string;
  shape?: Shape;
  conf?: string;
  user?: number;
  /** What is different from a machine in good health; undefined removes a file. */
  change?: Record<string, string | undefined>;
  unwritable?: string[];
  grade: Finding['grade'];
  says: RegExp;
  mend: RegExp;
}

function look({ shape = {}, conf, user = 0, change = {}, unwritable = [] }: Partial<Sick>): Finding[] {
  const contents: Contents = contentsOf(shape);
  if (conf !== undefined) contents[CONF] = conf;
  for (const [path, content] of Object.entries(change)) {
    if (content === undefined) delete contents[path];
    else contents[path] = content;
  }
  return examine(filesOf(contents, unwritable), CONF, user);
}

const vethUp = { '/sys/class/net/veth0/flags': '0x1003\n', '/sys/class/net/veth0/mtu': '1500\n' };

const sick: Sick[] = [
  {
    name: 'no configuration yet',
    grade: 'warn',
    says: /there is no \/etc\/dpvs\.conf yet/,
    mend: /dpvs\.conf\.sample/,
  },
  {
    name: 'a configuration that cannot be read',
    change: { [CONF]: '-> /etc/elsewhere' },
    grade: 'bad',
    says: /\/etc\/dpvs\.conf cannot be read/,
    mend: /chmod a\+r/,
  },
  {
    name: 'a mistake in the configuration',
    conf: `${onCards}\nneigh_defs {\n timeout x\n}`,
    grade: 'bad',
    says: /dpvs\.conf:12: timeout x: "x" is not a whole number/,
    mend: /write for instance "timeout 1"/,
  },
  {
    name: 'no DPDK',
    shape: { dpdk: 0 },
    grade: 'bad',
    says: /not installed/,
    mend: /apt-get install libdpdk-dev/,
  },
  {
    name: 'an old DPDK',
    shape: { dpdk: 21 },
    grade: 'bad',
    says: /20\.11, too old/,
    mend: /22\.11 or 24\.11/,
  },
  {
    name: 'no af_packet driver',
    change: { '/usr/lib/x86_64-linux-gnu/librte_net_af_packet.so.23': undefined },
    grade: 'warn',
    says: /net_af_packet is missing/,
    mend: /apt-get install/,
  },
  {
    name: 'no hugepages for a card',
    shape: { huge: { total: 0, free: 0 } },
    conf: onCards,
    grade: 'bad',
    says: /none are set aside: NICs want them/,
    mend: /sysctl -w vm\.nr_hugepages=\d+/,
  },
  {
    name: 'no hugepages on a laptop',
    shape: { huge: { total: 0, free: 0 }, cards: {}, cpus: 2, isolated: '' },
    grade: 'warn',
    says: /none are set aside: dpvsd takes ordinary memory/,
    mend: /sysctl -w vm\.nr_hugepages/,
  },
  {
    name: 'hugepages held by somebody else',
    shape: { huge: { total: 2048, free: 3 } },
    conf: onCards,
    grade: 'warn',
    says: /6 of 4096 MB are free/,
    mend: /numa_maps/,
  },
  {
    name: 'hugepages on one node only',
    shape: { nodes: 2 },
    change: { '/sys/devices/system/node/node1/hugepages/hugepages-2048kB/nr_hugepages': '0\n' },
    grade: 'warn',
    says: /NUMA node 1 has none/,
    mend: /echo \d+ > \/sys\/devices\/system\/node\/node1/,
  },
  {
    name: 'a kernel without hugepages',
    change: Object.fromEntries(
      ['nr', 'free'].map((kind) => [
        `/sys/devices/system/node/node0/hugepages/hugepages-2048kB/${kind}_hugepages`,
        undefined,
      ]),
    ),
    grade: 'warn',
    says: /this kernel has no hugepages/,
    mend: /CONFIG_HUGETLBFS/,
  },
  {
    name: 'too little memory',
    shape: { memory: { total: 1024, available: 200 }, huge: { total: 0, free: 0 } },
    grade: 'bad',
    says: /200 of 1024 MB are available/,
    mend: /smaller conn_pool_size/,
  },
  {
    name: 'a control group with too little memory',
    shape: { huge: { total: 0, free: 0 } },
    change: { '/sys/fs/cgroup/memory.max': `${256 * 1048576}\n` },
    grade: 'bad',
    says: /the control group allows 256 MB/,
    mend: /MemoryMax=/,
  },
  {
    name: 'a control group far above with too little memory',
    shape: { huge: { total: 0, free: 0 } },
    change: {
      '/proc/self/cgroup': '0::/box/inner\n',
      '/sys/fs/cgroup/box/inner/memory.max': 'max\n',
      '/sys/fs/cgroup/box/memory.max': `${300 * 1048576}\n`,
    },
    grade: 'bad',
    says: /the control group allows 300 MB/,
    mend: /MemoryMax=/,
  },
  {
    name: 'cards on two nodes',
    shape: {
      nodes: 2,
      cards: {
        '0000:06:00.0': { driver: 'vfio-pci', node: 0 },
        '0000:86:00.0': { driver: 'vfio-pci', node: 1 },
      },
    },
    grade: 'warn',
    says: /on different nodes \(node 0: CPUs 0-3, 0000:06:00\.0; node 1: CPUs 4-7, 0000:86:00\.0\)/,
    mend: /one instance for each node/,
  },
  {
    name: 'one CPU',
    shape: { cpus: 1 },
    grade: 'warn',
    says: /one CPU of 1: master and worker share it/,
    mend: /second CPU/,
  },
  {
    name: 'a cpuset of one CPU',
    shape: { allowed: '3' },
    grade: 'warn',
    says: /one CPU of 8/,
    mend: /CPUAffinity=/,
  },
  {
    name: 'workers that poll on CPUs for everybody',
    shape: { isolated: '' },
    grade: 'warn',
    says: /none are isolated/,
    mend: /isolcpus=1-7 nohz_full=1-7 rcu_nocbs=1-7/,
  },
  {
    name: 'isolated CPUs with a tick',
    change: { '/sys/devices/system/cpu/nohz_full': '\n' },
    grade: 'warn',
    says: /isolated CPUs 1-7 still get the timer interrupt/,
    mend: /nohz_full=1-7/,
  },
  {
    name: 'a governor that saves power',
    change: { '/sys/devices/system/cpu/cpu0/cpufreq/scaling_governor': 'powersave\n' },
    grade: 'warn',
    says: /the frequency governor is powersave/,
    mend: /cpupower frequency-set -g performance/,
  },
  {
    name: 'a CPU without SSE 4.2',
    change: { '/proc/cpuinfo': 'flags\t\t: fpu sse2\n' },
    grade: 'bad',
    says: /lacks SSE 4\.2/,
    mend: /CPU model "host"/,
  },
  {
    name: 'a CPU whose cycle counter is not steady',
    change: { '/proc/cpuinfo': 'flags\t\t: fpu sse4_2\n' },
    grade: 'warn',
    says: /cycle counter/,
    mend: /invariant TSC/,
  },
  {
    name: 'cards that the kernel holds',
    shape: {
      cards: {
        '0000:06:00.0': { driver: 'ixgbe', device: 'eth1' },
        '0000:00:03.0': { driver: 'virtio-pci', device: 'eth0', up: true },
      },
    },
    grade: 'warn',
    says: /no card is handed to DPDK/,
    mend: /dpdk-devbind\.py --bind=vfio-pci 0000:06:00\.0/,
  },
  {
    name: 'only the card by which one is logged in',
    shape: { cards: { '0000:00:03.0': { driver: 'virtio-pci', device: 'eth0', up: true } } },
    grade: 'warn',
    says: /no card is handed to DPDK/,
    mend: /every card carries a device that is up/,
  },
  {
    name: 'a configured card that the kernel holds',
    shape: { cards: { '0000:06:00.0': { driver: 'ixgbe', device: 'eth1' } } },
    conf: onCards,
    grade: 'bad',
    says: /the kernel driver ixgbe holds the card/,
    mend: /dpdk-devbind\.py --bind=vfio-pci 0000:06:00\.0/,
  },
  {
    name: 'VFIO without IOMMU',
    change: {
      '/sys/kernel/iommu_groups/1/devices/0000:06:00.0': undefined,
      '/sys/kernel/iommu_groups/2/devices/0000:06:00.1': undefined,
    },
    grade: 'bad',
    says: /there is no IOMMU: DPDK cannot open it/,
    mend: /intel_iommu=on/,
  },
  {
    name: 'VFIO without IOMMU, in a kernel that knows no other way',
    change: {
      '/sys/kernel/iommu_groups/1/devices/0000:06:00.0': undefined,
      '/sys/kernel/iommu_groups/2/devices/0000:06:00.1': undefined,
    },
    grade: 'bad',
    says: /there is no IOMMU: DPDK cannot open it/,
    mend: /use uio_pci_generic/,
  },
  {
    name: 'a free card on a machine without IOMMU',
    shape: { cards: { '0000:06:00.0': { driver: 'ixgbe', device: 'eth1' } } },
    change: {
      '/sys/kernel/iommu_groups/1/devices/0000:06:00.0': undefined,
      '/sys/kernel/iommu_groups/2/devices/0000:06:00.1': undefined,
    },
    grade: 'warn',
    says: /no card is handed to DPDK/,
    mend: /dpdk-devbind\.py --bind=uio_pci_generic 0000:06:00\.0/,
  },
  {
    name: 'VFIO without the module that speaks to the IOMMU',
    change: { '/sys/module/vfio_iommu_type1/parameters/allow_unsafe_interrupts': undefined },
    grade: 'bad',
    says: /vfio_iommu_type1 is not loaded/,
    mend: /modprobe vfio_iommu_type1/,
  },
  {
    name: 'VFIO without IOMMU, allowed',
    change: {
      '/sys/kernel/iommu_groups/1/devices/0000:06:00.0': undefined,
      '/sys/kernel/iommu_groups/2/devices/0000:06:00.1': undefined,
      '/sys/module/vfio/parameters/enable_unsafe_noiommu_mode': 'Y\n',
    },
    grade: 'warn',
    says: /works without an IOMMU/,
    mend: /iommu=pt/,
  },
  {
    name: 'an IOMMU group that the kernel uses too',
    change: {
      '/sys/kernel/iommu_groups/1/devices/0000:07:00.0': '',
      '/sys/bus/pci/devices/0000:07:00.0/driver': '-> /sys/bus/pci/drivers/ahci',
    },
    grade: 'bad',
    says: /0000:06:00\.0 shares IOMMU group 1 with 0000:07:00\.0/,
    mend: /--bind=vfio-pci 0000:07:00\.0/,
  },
  {
    name: 'no driver for DPDK',
    shape: { cards: { '0000:06:00.0': { driver: 'vfio-pci', group: '1' } } },
    change: { '/sys/bus/pci/drivers/vfio-pci/bind': undefined },
    conf: onCards,
    grade: 'bad',
    says: /no driver for DPDK is loaded/,
    mend: /modprobe vfio-pci/,
  },
  {
    name: 'little locked memory for a user',
    user: 1000,
    change: {
      '/proc/self/limits':
        'Max open files            65536                65536                files\nMax locked memory         8388608              8388608              bytes\n',
    },
    grade: 'bad',
    says: /locked memory: 8 MB/,
    mend: /LimitMEMLOCK=infinity/,
  },
  {
    name: 'few open files',
    change: {
      '/proc/self/limits': 'Max open files            256                256                files\n',
    },
    grade: 'warn',
    says: /open files: 256/,
    mend: /LimitNOFILE=65536/,
  },
  {
    name: 'a user who is not root',
    user: 1000,
    grade: 'warn',
    says: /user 1000 is not root/,
    mend: /conf\/dpvsd\.service/,
  },
  {
    name: 'no TAP',
    change: { '/dev/net/tun': undefined },
    grade: 'bad',
    says: /\/dev\/net\/tun is missing/,
    mend: /modprobe tun/,
  },
  {
    name: 'a forbidden TAP',
    unwritable: ['/dev/net/tun'],
    grade: 'bad',
    says: /may not be opened/,
    mend: /start as root/,
  },
  {
    name: 'no vhost',
    change: { '/dev/vhost-net': undefined },
    grade: 'warn',
    says: /kernel twins are TAP devices/,
    mend: /modprobe vhost_net/,
  },
  {
    name: 'NUMA balancing',
    change: { '/proc/sys/kernel/numa_balancing': '1\n' },
    grade: 'warn',
    says: /moves memory/,
    mend: /kernel\.numa_balancing=0/,
  },
  {
    name: 'no packet sockets',
    change: { '/proc/net/packet': undefined },
    grade: 'warn',
    says: /packet sockets are missing/,
    mend: /modprobe af_packet/,
  },
  {
    name: 'a port on a device that is not there',
    conf: onVeth,
    grade: 'bad',
    says: /dpdk0: there is no kernel device veth0/,
    mend: /ip link add veth0 type veth/,
  },
  {
    name: 'a port on a device that is down',
    conf: onVeth,
    change: { ...vethUp, '/sys/class/net/veth0/flags': '0x1002\n' },
    grade: 'bad',
    says: /veth0 is down/,
    mend: /ip link set veth0 up/,
  },
  {
    name: 'a port on a device of smaller MTU',
    conf: onVeth,
    change: { ...vethUp, '/sys/class/net/veth0/mtu': '1400\n' },
    grade: 'warn',
    says: /mtu 1500, but veth0 carries 1400/,
    mend: /ip link set veth0 mtu 1500/,
  },
];

describe('dpvsd doctor', () => {
  it('finds a healthy server well', () => {
    const findings = look({ conf: onCards });
    assert.deepEqual(
      findings.filter((one) => one.grade !== 'ok'),
      [],
    );
    assert.equal(worst(findings), 'ok');
  });

  it('finds a port on veth well', () => {
    assert.equal(worst(look({ conf: onVeth, change: vethUp })), 'ok');
  });

  for (const { grade, says, mend, name, ...rest } of sick) {
    it(`tells ${name}`, () => {
      const findings = look(rest);
      const found = findings.filter((one) => says.test(one.text));
      assert.equal(found.length, 1, showFindings(findings));
      assert.equal(found[0]?.grade, grade);
      assert.match(found[0]?.mend ?? '', mend);
      // The exit code: 1 when something is bad.
      assert.equal(
        worst(findings) === 'bad',
        findings.some((one) => one.grade === 'bad'),
      );
      if (grade === 'bad') assert.equal(worst(findings), 'bad');
      // Nothing is told without a way to mend it.
      for (const one of findings) if (one.grade !== 'ok') assert.notEqual(one.mend, '', one.text);
      assert.doesNotMatch(showFindings(findings), /undefined|NaN/);
    });
  }

  it('has something to say about a machine of which nothing can be read', () => {
    const findings = examine(filesOf({}), CONF, 1000);
    assert.equal(worst(findings), 'bad');
    assert.doesNotMatch(showFindings(findings), /undefined|NaN|Infinity/);
  });

  it('prints one line for each finding, and a sum', () => {
    const findings = look({ conf: onCards });
    const lines = showFindings(findings).trimEnd().split('\n');
    assert.equal(lines.length, findings.length + 1);
    assert.match(lines.at(-1) ?? '', /^0 bad, 0 to improve, \d+ well$/);
  });
});
