import { existsSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../../lab/command.js';
import { Lab } from '../../../lab/lab.js';
import { root } from '../impossible.js';
import type { Kernel } from './kernel.js';
import { type Card, Machine } from './machine.js';

/** Packages and programs for the virtual machine, kept from run to run. */
export const store = join(root, 'build', 'compat', 'vm');

/** A card under test: how QEMU makes it, and which driver of DPDK takes it. */
export interface CardUnderTest {
  name: string;
  model: string;
  properties?: string;
  queues: number;
  driver: string;
}

/** Cards that QEMU imitates; virtio ones answer to the IOMMU like the others. */
export const cardsUnderTest: readonly CardUnderTest[] = [
  {
    name: 'virtio-net',
    model: 'virtio-net-pci',
    properties: 'mq=on,vectors=6,iommu_platform=on,disable-legacy=on,ats=on',
    queues: 2,
    driver: 'net_virtio',
  },
  { name: 'e1000', model: 'e1000', queues: 1, driver: 'net_e1000_em' },
  { name: 'e1000e', model: 'e1000e', queues: 1, driver: 'net_e1000_em' },
  { name: 'vmxnet3', model: 'vmxnet3', queues: 1, driver: 'net_vmxnet3' },
];

/** Kernel drivers of the cards, those that hand them to DPDK, and what twins and the files need. */
const modules = [
  'virtio_pci',
  'virtio_console',
  '9p',
  '9pnet_virtio',
  'virtio_net',
  'e1000',
  'e1000e',
  'vmxnet3',
  'uio_pci_generic',
  'vfio-pci',
  'vfio_iommu_type1',
  'tun',
  'vhost_net',
];

/** A lab whose director is a virtual machine: all its cards are on the wire where the director's first port would be. */
export interface Rack {
  lab: Lab;
  machine: Machine;
  close(): Promise<void>;
}

/** Builds dpvsd-native for the processor that QEMU imitates, beside the one for this machine. */
async function buildForTheMachine(): Promise<string> {
  const out = join(store, 'native');
  mkdirSync(out, { recursive: true });
  await run(['make', '-s', '-j2', '-C', join(root, 'dpvsd', 'native'), `OUT=${out}`, 'MARCH=x86-64-v3'], {
    limit: 300_000,
  });
  return join(out, 'dpvsd-native');
}

/** Address of a card, by its place. */
export const macOf = (place: number): string => `52:54:00:00:00:1${place}`;

/** Builds the lab and starts the virtual machine in the place of its director. */
export async function raiseRack(kernel: Kernel, cpus = 2): Promise<Rack> {
  const native = await buildForTheMachine();
  const lab = await Lab.create({ title: 'director in a virtual machine', arms: 1, servers: 2 });
  let machine: Machine | undefined;
  const close = async () => {
    await machine?.stop();
    await lab.close();
  };
  try {
    const { host } = lab.director;
    const cards = cardsUnderTest.map(
      ({ model, properties, queues }, index): Card => ({
        model,
        ...(properties === undefined ? {} : { properties }),
        tap: `tap${index}`,
        queues,
        mac: macOf(index),
      }),
    );
    await host.ip([
      'link add switch type bridge mcast_snooping 0 stp_state 0 forward_delay 0',
      'link set wire0 master switch',
      'link set switch up',
    ]);
    for (const { tap, queues } of cards) {
      await host.run([
        'ip',
        ...['tuntap', 'add', 'dev', tap, 'mode', 'tap', 'vnet_hdr'],
        ...(queues > 1 ? ['multi_queue'] : []),
      ]);
      await host.ip([`link set ${tap} master switch`, `link set ${tap} up`]);
    }
    machine = await Machine.start(host, {
      kernel,
      modules,
      cards,
      cpus,
      megabytes: 2048,
      append: 'intel_iommu=on iommu=pt hugepages=400',
      folder: lab.record.folder,
    });
    const built = join(root, 'build', 'native', 'dpvsd-native');
    if (!existsSync(built)) throw new Error(`${built} is not built`);
    await machine.run(
      `mount -t hugetlbfs none /dev/hugepages; mount --bind ${native} ${built}; sysctl -q -w vm.nr_hugepages=400`,
    );
    return { lab, machine, close };
  } catch (error) {
    await close();
    throw error;
  }
}
