import { run } from './command.js';
import { Host } from './host.js';
import type { Pair, Plan } from './plan.js';
import type { LabRecord } from './registry.js';

/** How the hosts around the director are wired. */
export interface NetworkOptions {
  plan: Plan;
  /** Where servers send what is not on their own network: NAT wants the director, DR the router, FullNAT nobody. */
  serverGateway: 'none' | 'director' | 'router';
  /** Servers carry the virtual address on their loopback device, as DR wants. */
  virtualOnServers: boolean;
  /** One more server, behind the router. */
  far: boolean;
  /** MTU of the way from the router to the client and to the far server (1280-1500); their own MTU stays 1500. */
  pathMtu: number;
}

export interface Network {
  client: Host;
  router: Host;
  director: Host;
  servers: Host[];
  far: Host | undefined;
}

/** Names of the hosts of a lab with this many servers. */
export function hostNames(servers: number, far: boolean): string[] {
  const numbered = Array.from({ length: servers }, (_, index) => `rs${index + 1}`);
  return ['client', 'router', 'director', ...numbered, ...(far ? ['far'] : [])];
}

/** Kernel ends of the director's ports, in the order of the ports. */
export const wires = ['wire0', 'wire1'] as const;

const everywhere = {
  'net/ipv6/conf/all/accept_dad': 0,
  'net/ipv6/conf/default/accept_dad': 0,
  'net/ipv6/conf/all/accept_ra': 0,
  'net/ipv6/conf/default/accept_ra': 0,
  // A cable pulled and plugged in again changes no address.
  'net/ipv6/conf/all/keep_addr_on_down': 1,
  'net/ipv4/conf/all/rp_filter': 0,
  'net/ipv4/conf/default/rp_filter': 0,
  // The lab's hosts ping and trace each other faster than people do.
  'net/ipv4/icmp_ratelimit': 0,
  'net/ipv4/icmp_msgs_per_sec': 100000,
  'net/ipv6/icmp/ratelimit': 0,
};

const ofRouters = {
  'net/ipv4/ip_forward': 1,
  'net/ipv6/conf/all/forwarding': 1,
  'net/ipv4/conf/all/send_redirects': 0,
  'net/ipv4/conf/default/send_redirects': 0,
};

/** The director's kernel sees the same wires as dpvsd and must stay out of the way: no address, no answer, no forwarding. */
const ofDirectors = {
  'net/ipv4/conf/all/arp_ignore': 8,
  'net/ipv6/conf/all/disable_ipv6': 1,
  'net/ipv6/conf/default/disable_ipv6': 1,
  'net/ipv4/ip_forward': 0,
};

/** With the virtual address on the loopback device: answer and ask ARP only for the addresses of the wire itself. */
const ofDrServers = {
  'net/ipv4/conf/all/arp_ignore': 1,
  'net/ipv4/conf/all/arp_announce': 2,
};

const address = (pair: Pair, device: string): string[] => [
  `address add ${pair.v4}/24 dev ${device}`,
  `address add ${pair.v6}/64 dev ${device} nodad`,
];
const defaultRoute = (via: Pair): string[] => [
  `route add default via ${via.v4}`,
  `route add ::/0 via ${via.v6}`,
];

/** A smaller MTU towards a network. On the route: a veth end with a smaller MTU would drop what the other end sends it. */
const narrow = (net: Pair, device: string, mtu: number): string[] =>
  mtu === 1500
    ? []
    : [
        `route replace ${net.v4} dev ${device} mtu lock ${mtu}`,
        `route replace ${net.v6} dev ${device} metric 1 mtu ${mtu}`,
      ];

/** Makes namespaces, wires, addresses and routes of a lab. What fails half-way is removed with the record. */
export async function buildNetwork(record: LabRecord, options: NetworkOptions): Promise<Network> {
  const { plan } = options;
  const host = (name: string): Host => new Host(name, record.namespaces[name] as string);
  const client = host('client');
  const router = host('router');
  const director = host('director');
  const servers = plan.servers.map((_, index) => host(`rs${index + 1}`));
  const far = options.far ? host('far') : undefined;
  const all = [client, router, director, ...servers, ...(far ? [far] : [])];

  const batch = (lines: string[]) =>
    run(['ip', '-batch', '-'], { input: lines.map((line) => `${line}\n`).join('') });

  await batch(all.map(({ namespace }) => `netns add ${namespace}`));
  await Promise.all(
    all.map((each) =>
      each.sysctl({
        ...everywhere,
        ...(each === router ? ofRouters : {}),
        ...(each === director ? ofDirectors : {}),
        ...(options.virtualOnServers && servers.includes(each) ? ofDrServers : {}),
      }),
    ),
  );

  const wire = (a: Host, deviceA: string, b: Host, deviceB: string): string =>
    `link add ${deviceA} netns ${a.namespace} type veth peer name ${deviceB} netns ${b.namespace}`;
  const outerPorts = ['dir0', ...(plan.arms === 1 ? servers.map(({ name }) => name) : [])];
  const innerPorts = plan.arms === 2 ? ['dir1', ...servers.map(({ name }) => name)] : [];
  await batch([
    wire(client, 'eth0', router, 'client'),
    wire(director, wires[0], router, 'dir0'),
    ...(plan.arms === 2 ? [wire(director, wires[1], router, 'dir1')] : []),
    ...servers.map((server) => wire(server, 'eth0', router, server.name)),
    ...(far ? [wire(far, 'eth0', router, 'far')] : []),
  ]);

  const bridge = (name: string, ports: string[]): string[] => [
    `link add ${name} type bridge mcast_snooping 0 stp_state 0 forward_delay 0`,
    `link set ${name} up`,
    ...ports.flatMap((port) => [`link set ${port} master ${name}`, `link set ${port} up`]),
  ];
  const offloads = (each: Host, devices: string[]) =>
    each.run(['sh', '-e'], {
      // Packets leave as they are on a real wire: checksums filled in, no segments larger than the MTU.
      input: devices.map((device) => `ethtool -K ${device} tx off tso off gso off gro off\n`).join(''),
    });
  const end = async (each: Host, lines: string[]) => {
    await each.ip(['link set lo up', 'link set eth0 up', ...lines]);
    await offloads(each, ['eth0']);
  };

  const farDevices = far ? ['far'] : [];
  await Promise.all([
    (async () => {
      await router.ip([
        'link set lo up',
        ...bridge('outer', outerPorts),
        ...address(plan.outerRouter, 'outer'),
        ...(plan.arms === 2 ? [...bridge('inner', innerPorts), ...address(plan.innerRouter, 'inner')] : []),
        'link set client up',
        ...address(plan.clientGateway, 'client'),
        ...narrow(plan.clientNet, 'client', options.pathMtu),
        ...(far
          ? [
              'link set far up',
              ...address(plan.farGateway, 'far'),
              ...narrow(plan.farNet, 'far', options.pathMtu),
            ]
          : []),
      ]);
      await offloads(router, ['client', ...outerPorts, ...innerPorts, ...farDevices]);
    })(),
    (async () => {
      const used = wires.slice(0, plan.arms);
      await director.ip(used.map((device) => `link set ${device} up`));
      await offloads(director, used);
    })(),
    end(client, [...address(plan.client, 'eth0'), ...defaultRoute(plan.clientGateway)]),
    ...servers.map((server, index) => {
      const lines = address(plan.servers[index] as Pair, 'eth0');
      if (options.serverGateway === 'director') lines.push(...defaultRoute(plan.innerDirector));
      if (options.serverGateway === 'router') lines.push(...defaultRoute(plan.innerRouter));
      if (options.virtualOnServers)
        lines.push(
          `address add ${plan.virtual.v4}/32 dev lo`,
          `address add ${plan.virtual.v6}/128 dev lo nodad`,
        );
      return end(server, lines);
    }),
    ...(far ? [end(far, [...address(plan.far, 'eth0'), ...defaultRoute(plan.farGateway)])] : []),
  ]);
  return { client, router, director, servers, far };
}
