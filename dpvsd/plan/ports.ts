import type { Bonding, Device } from '../conf/items.js';
import type { Conf } from '../conf/parse.js';
import { parseConf } from '../conf/parse.js';
import { type Problem, problem } from '../conf/problem.js';
import { dpdkDrivers, driverFor, type Machine, sharedDrivers, wholeAddress } from '../machine.js';
import { type EalOption, valuesOf } from './eal.js';
import { fixedQueues, isPort, vdevName } from './vdev.js';

/** What DPDK calls a port: a PCI address, or the name of a virtual device with its arguments. */
export type Binding = { bus: 'pci'; address: string; arguments: string } | { bus: 'vdev'; text: string };

/** A device or bond that workers can use. */
export interface Port {
  name: string;
  /** Path of its block in the file, for line numbers. */
  path: string;
  binding: Binding;
  /** The device's settings; of a bond those of its first slave, with the bond's own in place. */
  device: Device;
  /** Bond: what it is made of. */
  members: { name: string; binding: Binding }[];
  virtual: boolean;
  /** NUMA node of the card; undefined for virtual ports. */
  node: number | undefined;
  /** Most queues that the file or the device's arguments allow, and whether somebody wrote such a number. */
  mostRx: number;
  mostTx: number;
  chosen: boolean;
}

/** As many as dpvs.conf can number. */
const MOST_QUEUES = 16;

const bindingName = (binding: Binding): string =>
  binding.bus === 'pci' ? binding.address : vdevName(binding.text);

/** dpdk2 before dpdk10. */
const byName = (a: Device, b: Device): number => a.name.localeCompare(b.name, 'en', { numeric: true });

/** A device block that sets nothing. */
function plainDevice(name: string): Device {
  const made = parseConf(`netif_defs { device ${name} { } }`).model.netif_defs.device[0];
  if (!made) throw new Error(`no device block can be made for ${name}`);
  return made;
}

/** What -a and --vdev offer to devices that do not say what they are, in DPDK's order: cards by address, then virtual devices. */
function offered(options: EalOption[], taken: Set<string>): Binding[] {
  const cards = valuesOf(options, '--allow')
    .filter((value) => /^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7](,|$)/i.test(value))
    .map((value): Binding & { bus: 'pci' } => {
      const [address = '', ...rest] = value.split(',');
      return { bus: 'pci', address: wholeAddress(address), arguments: rest.join(',') };
    })
    .sort((a, b) => a.address.localeCompare(b.address));
  const virtual = valuesOf(options, '--vdev')
    .filter((value) => isPort(value) && !value.startsWith('net_bonding'))
    .map((text): Binding => ({ bus: 'vdev', text }));
  return [...cards, ...virtual].filter((binding) => !taken.has(bindingName(binding)));
}

/** Binds each device block to a card or virtual device. */
function bindDevices(
  conf: Conf,
  machine: Machine,
  options: EalOption[],
  problems: Problem[],
): Map<string, { device: Device; binding: Binding }> {
  const bound = new Map<string, { device: Device; binding: Binding }>();
  const devices = [...conf.model.netif_defs.device];
  const owner = new Map<string, string>();
  const line = (name: string, item = '') =>
    conf.lines.get(`netif_defs/device ${name}${item === '' ? '' : `/${item}`}`) ?? 0;
  const bind = (device: Device, binding: Binding, at: number) => {
    const key = bindingName(binding);
    const other = owner.get(key);
    if (other !== undefined) {
      problems.push(
        problem(
          'error',
          at,
          `device ${device.name}: ${key}`,
          `device ${other} has it already`,
          'give each device a card or virtual device of its own',
        ),
      );
      return;
    }
    owner.set(key, device.name);
    bound.set(device.name, { device, binding });
  };

  const open: Device[] = [];
  for (const device of devices) {
    if (device.pci !== undefined && device.vdev !== undefined) {
      problems.push(
        problem(
          'error',
          line(device.name, 'vdev'),
          `device ${device.name}`,
          'it has both pci and vdev',
          'keep one of the two',
        ),
      );
    } else if (device.pci !== undefined) {
      const given = valuesOf(options, '--allow').find(
        (value) => wholeAddress(value.split(',')[0]!) === wholeAddress(device.pci!),
      );
      bind(
        device,
        {
          bus: 'pci',
          address: wholeAddress(device.pci),
          arguments: given?.split(',').slice(1).join(',') ?? '',
        },
        line(device.name, 'pci'),
      );
    } else if (device.vdev !== undefined) {
      if (!isPort(device.vdev)) {
        problems.push(
          problem(
            'error',
            line(device.name, 'vdev'),
            `vdev ${device.vdev}`,
            'it is no network device',
            'write for instance "vdev net_af_packet0,iface=veth0"',
          ),
        );
      } else bind(device, { bus: 'vdev', text: device.vdev }, line(device.name, 'vdev'));
    } else open.push(device);
  }

  let offers = offered(options, new Set(owner.keys()));
  if (devices.length === 0) {
    for (const [i, binding] of offers.entries()) bind(plainDevice(`dpdk${i}`), binding, 0);
    offers = [];
  }
  const given = offers.length > 0;
  if (!given) {
    offers = machine.nics
      .filter((nic) => dpdkDrivers.includes(nic.driver ?? '') && !owner.has(nic.address))
      .map((nic) => ({ bus: 'pci', address: nic.address, arguments: '' }));
  }
  for (const device of open.sort(byName)) {
    const binding = offers.shift();
    if (!binding) {
      problems.push(
        problem(
          'error',
          line(device.name),
          `device ${device.name}`,
          given
            ? 'there are fewer -a and --vdev behind "--" than devices'
            : 'nothing says which NIC or virtual device it is',
          'add "pci 0000:06:00.0" or "vdev net_af_packet0,iface=eth1" to its block (dpvsd doctor lists the NICs)',
        ),
      );
      continue;
    }
    bind(device, binding, line(device.name));
    problems.push(
      problem(
        'note',
        line(device.name),
        `device ${device.name} is ${bindingName(binding)}`,
        'names are bound to ports in order when the block does not say',
        binding.bus === 'pci'
          ? `"pci ${binding.address}" in its block makes it certain`
          : `"vdev ${binding.text}" in its block makes it certain`,
      ),
    );
  }
  for (const binding of given ? offers : []) {
    problems.push(
      problem(
        'warning',
        0,
        `${bindingName(binding)} behind "--"`,
        'no device block is left for it',
        'add a device block, or take the option away',
      ),
    );
  }
  return bound;
}

/** How many queues there may be. A queue_number of 0 says nothing. */
function queueLimits(device: Device, path: string, conf: Conf, fixed: number[]) {
  const written = (['rx', 'tx'] as const).some(
    (kind) => conf.lines.has(`${path}/${kind}/queue_number`) && device[kind].queue_number > 0,
  );
  return {
    mostRx: Math.min(device.rx.queue_number || MOST_QUEUES, ...fixed),
    mostTx: Math.min(device.tx.queue_number || MOST_QUEUES, ...fixed),
    chosen: written || fixed.length > 0,
  };
}

/** A card must exist and be held by a driver that lets DPDK have it. */
function checkCard(address: string, machine: Machine, line: number, problems: Problem[]): void {
  const nic = machine.nics.find((card) => card.address === address);
  if (!nic) {
    const known = machine.nics.map((card) => card.address).join(' ');
    problems.push(
      problem(
        'error',
        line,
        `pci ${address}`,
        'this machine has no network card at that address',
        known ? `it has: ${known}` : 'it has none at all: use vdev',
      ),
    );
    return;
  }
  const driver = nic.driver ?? '';
  if (dpdkDrivers.includes(driver) || sharedDrivers.includes(driver)) return;
  const up = nic.devices.filter((device) => device.up).map((device) => device.name);
  const care =
    up.length > 0
      ? ` (it carries ${up.join(' ')}, which is up: be sure that you do not reach this machine through it)`
      : '';
  problems.push(
    problem(
      'error',
      line,
      `pci ${address}`,
      driver ? `the kernel driver ${driver} holds the card` : 'no driver holds the card',
      `hand it over with "modprobe ${driverFor(machine)}; dpdk-devbind.py --bind=${driverFor(machine)} ${address}"${care}`,
    ),
  );
}

/**
 * Finds out what each name of the file is: which cards and virtual devices there will be, and which of them workers may use.
 * A bond's slaves are no ports of their own.
 */
export function planPorts(conf: Conf, machine: Machine, options: EalOption[], problems: Problem[]): Port[] {
  const bound = bindDevices(conf, machine, options, problems);
  const nodeOf = (binding: Binding) =>
    binding.bus === 'pci' ? machine.nics.find((nic) => nic.address === binding.address)?.node : undefined;
  for (const [name, { binding }] of bound) {
    if (binding.bus !== 'pci') continue;
    const path = `netif_defs/device ${name}`;
    checkCard(binding.address, machine, conf.lines.get(`${path}/pci`) ?? conf.lines.get(path) ?? 0, problems);
  }

  const enslaved = new Map<string, string>();
  const bonds: Port[] = [];
  for (const [index, bond] of conf.model.netif_defs.bonding.entries()) {
    const made = planBond(bond, index, conf, bound, enslaved, machine, problems);
    if (made) bonds.push({ ...made, node: nodeOf(made.members[0]!.binding) });
  }
  const ports: Port[] = [];
  for (const [name, { device, binding }] of bound) {
    if (enslaved.has(name)) continue;
    const path = `netif_defs/device ${name}`;
    const fixed = binding.bus === 'vdev' ? fixedQueues(binding.text) : undefined;
    ports.push({
      name,
      path,
      binding,
      device,
      members: [],
      virtual: binding.bus === 'vdev',
      node: nodeOf(binding),
      ...queueLimits(device, path, conf, fixed === undefined ? [] : [fixed]),
    });
  }
  const all = [...ports.sort((a, b) => byName(a.device, b.device)), ...bonds];
  if (conf.model.netif_defs.device.length === 0 && all.length === 0) {
    problems.push(
      problem(
        'error',
        0,
        'no device',
        'a director without a port forwards nothing',
        'add "netif_defs { device dpdk0 { pci ADDRESS } }" (dpvsd doctor lists the NICs), or begin with conf/dpvs.conf.vdev.sample',
      ),
    );
  }
  if (conf.model.global_defs.kni) checkTwins(conf, all, problems);
  return all;
}

function planBond(
  bond: Bonding,
  index: number,
  conf: Conf,
  bound: Map<string, { device: Device; binding: Binding }>,
  enslaved: Map<string, string>,
  machine: Machine,
  problems: Problem[],
): Omit<Port, 'node'> | undefined {
  const path = `netif_defs/bonding ${bond.name}`;
  const line = (item = '') =>
    conf.lines.get(item === '' ? path : `${path}/${item}`) ?? conf.lines.get(path) ?? 0;
  const members: Port['members'] = [];
  let first: Device | undefined;
  for (const slave of bond.slave) {
    const found = bound.get(slave);
    const other = enslaved.get(slave);
    if (!found) {
      const known = conf.model.netif_defs.device.some((device) => device.name === slave);
      // A device that could not be bound has its own error already.
      if (!known) {
        problems.push(
          problem(
            'error',
            line('slave'),
            `slave ${slave} of ${bond.name}`,
            'there is no such device',
            `add "device ${slave} { ... }" above`,
          ),
        );
      }
    } else if (other !== undefined) {
      problems.push(
        problem(
          'error',
          line('slave'),
          `slave ${slave} of ${bond.name}`,
          `it is a slave of ${other} already`,
          'name each device once',
        ),
      );
    } else {
      enslaved.set(slave, bond.name);
      first ??= found.device;
      members.push({ name: slave, binding: found.binding });
    }
  }
  if (bond.slave.length === 0) {
    problems.push(
      problem(
        'error',
        line(),
        `bonding ${bond.name}`,
        'it has no slave',
        'add "slave DEVICE" for each of its devices',
      ),
    );
  }
  if (bond.primary !== undefined && !bond.slave.includes(bond.primary)) {
    problems.push(
      problem(
        'error',
        line('primary'),
        `primary ${bond.primary}`,
        `it is no slave of ${bond.name}`,
        `write one of: ${bond.slave.join(' ')}`,
      ),
    );
  }
  if (!first || members.length === 0) return undefined;
  // DPDK 23.11 renamed the argument.
  const word = (machine.dpdk?.abi ?? 0) >= 24 ? 'member' : 'slave';
  const primary = members.find((member) => member.name === bond.primary);
  const text = [
    `net_bonding${index}`,
    `mode=${bond.mode}`,
    ...members.map((member) => `${word}=${bindingName(member.binding)}`),
    ...(primary ? [`primary=${bindingName(primary.binding)}`] : []),
    ...(bond.numa_node === undefined ? [] : [`socket_id=${bond.numa_node}`]),
  ].join(',');
  const device: Device = { ...first, name: bond.name, kni_name: bond.kni_name };
  const fixed = members.flatMap(({ binding }) =>
    binding.bus === 'vdev' ? (fixedQueues(binding.text) ?? []) : [],
  );
  return {
    name: bond.name,
    path,
    binding: { bus: 'vdev', text },
    device,
    members,
    virtual: members.every(({ binding }) => binding.bus === 'vdev'),
    ...queueLimits(first, `netif_defs/device ${first.name}`, conf, fixed),
  };
}

export const twinName = (port: Port): string => port.device.kni_name ?? `${port.name}.kni`;

/** The kernel takes names of at most 15 letters, each once. */
function checkTwins(conf: Conf, ports: Port[], problems: Problem[]): void {
  const seen = new Map<string, string>();
  for (const port of ports) {
    const twin = twinName(port);
    const line = conf.lines.get(`${port.path}/kni_name`) ?? conf.lines.get(port.path) ?? 0;
    if (twin.length > 15) {
      problems.push(
        problem(
          'error',
          line,
          `kernel twin ${twin}`,
          'Linux takes names of at most 15 letters',
          'write a shorter one: "kni_name NAME"',
        ),
      );
    }
    const other = seen.get(twin);
    if (other !== undefined) {
      problems.push(
        problem(
          'error',
          line,
          `kernel twin ${twin}`,
          `${other} has a twin of that name`,
          'write another one: "kni_name NAME"',
        ),
      );
    }
    seen.set(twin, port.name);
  }
}
