import { chmodSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { availableParallelism, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from '../keepalived/parse.js';
import { bridgePart } from '../keepalived/resolve/ospf-bridge.js';
import { setupTexts } from '../ospf-bridge/command/setup.js';
import type { BridgeStatus } from '../ospf-bridge/control.js';
import { attempt, Hopeless, type Running, run, until } from './command.js';
import { bin } from './director.js';
import { Host } from './host.js';
import { HTTP_PORT } from './ports.js';
import { type LabRecord, register, removeLab } from './registry.js';
import { RoutingDaemons } from './routing-daemon.js';
import { RealServer } from './server.js';

export interface ClusterOptions {
  title: string;
  directors?: number;
  servers?: number;
  /**
   * `dpvsd`: each director balances over the servers. `kernel`: the directors answer for the virtual addresses by themselves, for what
   * concerns routing alone.
   */
  dataplane?: 'dpvsd' | 'kernel';
  announce?: 'external' | 'intra_area';
  /** Milliseconds between BFD packets; absent: no BFD. */
  bfd?: number;
  /** Hellos a second, with a dead interval of one second. */
  minimal?: number;
  /** Virtual addresses (each with one service of port 80). */
  addresses?: number;
  /** One more virtual address, fd99::1, by OSPFv3. */
  ipv6?: boolean;
  /** What speaks OSPF on the directors. */
  daemon?: 'frr' | 'bird';
  /** Seconds for which announcements outlive the front door (default 60: more than its return takes on a busy machine). */
  guard?: number;
  /** Further lines of the ospf_bridge block. */
  bridge?: string[];
  /** VRRP puts the virtual addresses into dpvsd, and tracks a BFD session of ours with the router. */
  vrrp?: boolean;
}

/** Intervals of that BFD session, milliseconds. */
const TRACKED_BFD = 100;

const compiled = fileURLToPath(new URL('../', import.meta.url));
const launcher = (name: string) => fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));

/** A director: FRR, dpvsd and keepalived in one namespace. */
export class ClusterDirector {
  readonly host: Host;
  readonly number: number;
  readonly daemons: RoutingDaemons;
  readonly folder: string;
  readonly ipc: string;
  readonly socket: string;
  readonly configuration: string;
  readonly #options: ClusterOptions;
  #dpvsd: Running | undefined;
  #keepalived: Running | undefined;

  constructor(
    host: Host,
    number: number,
    folder: string,
    shared: string,
    options: ClusterOptions,
    text: string,
  ) {
    this.host = host;
    this.number = number;
    this.#options = options;
    this.folder = join(folder, host.name);
    mkdirSync(this.folder);
    this.daemons = new RoutingDaemons(host, shared);
    this.ipc = join(this.folder, 'dpvs.ipc');
    this.socket = join(this.folder, 'bridge.sock');
    this.configuration = join(this.folder, 'keepalived.conf');
    this.health(true);
    writeFileSync(
      this.configuration,
      text
        .replaceAll('@IPC@', this.ipc)
        .replaceAll('@SOCKET@', this.socket)
        .replaceAll('@VTY@', this.daemons.folder)
        .replaceAll('@NUMBER@', String(number)),
    );
  }

  /** Zebra, ospfd and bfdd with what `ospf-bridge setup` prints. */
  async startRouting(): Promise<void> {
    const { model } = parse(this.configuration);
    const none = {
      releaseVips: false,
      dontReleaseVrrp: false,
      dontReleaseIpvs: false,
      addressMonitoring: false,
    };
    const bird = join(this.daemons.folder, 'bird.conf');
    const texts = new Map(setupTexts(bridgePart(model, none)).map(({ daemon, text }) => [daemon, text]));
    if (this.#options.daemon === 'bird') {
      writeFileSync(bird, texts.get('bird') ?? '');
      const files = [
        '-c',
        bird,
        '-s',
        `${this.daemons.folder}/bird.ctl`,
        '-P',
        `${this.daemons.folder}/bird.pid`,
      ];
      this.host.start(['bird', '-f', ...files]);
      return;
    }
    await this.daemons.start('zebra', `hostname d${this.number}\n`);
    const bfd = texts.get('bfdd');
    if (bfd !== undefined) await this.daemons.start('bfdd', bfd);
    await this.daemons.start('ospfd', texts.get('ospfd') ?? '');
    const six = texts.get('ospf6d');
    if (six !== undefined) await this.daemons.start('ospf6d', six);
  }

  /** Answers UDP at a virtual address, in place of a dataplane. */
  async startResponder(address: string): Promise<void> {
    const program = fileURLToPath(new URL('./responder.js', import.meta.url));
    const responder = this.host.start([process.execPath, program, this.host.name, address]);
    await until(`the responder on ${this.host.name}`, () => {
      if (responder.ended) throw new Hopeless(`responder ${responder.ended}: ${responder.output}`);
      return responder.output.includes('ready');
    });
  }

  /** Starts dpvsd on the wires and gives it addresses and routes. */
  async startDpvsd(addresses: readonly string[]): Promise<void> {
    const conf = join(this.folder, 'dpvs.conf');
    writeFileSync(conf, dpvsConf(join(this.folder, 'dpvs.log')));
    const running = this.host.start([
      bin('dpvsd'),
      '-c',
      conf,
      '-p',
      join(this.folder, 'dpvs.pid'),
      '-x',
      this.ipc,
    ]);
    this.#dpvsd = running;
    await until(
      `dpvsd on ${this.host.name}`,
      async () => {
        if (running.ended) throw new Hopeless(`dpvsd: ${running.ended}: ${running.output}`);
        return (
          (await attempt([bin('dpip'), 'link', 'show'], { env: { DPVS_IPC_FILE: this.ipc } })).code === 0
        );
      },
      { limit: 60_000, every: 200 },
    );
    const n = this.number;
    const dpip = (...args: string[]) => run([bin('dpip'), ...args], { env: { DPVS_IPC_FILE: this.ipc } });
    await dpip('addr', 'add', `10.10.${n}.3/29`, 'dev', 'dpdk0');
    await dpip('addr', 'add', `10.20.0.${20 + n}/24`, 'dev', 'dpdk1');
    await dpip('route', 'add', 'default', 'via', `10.10.${n}.1`, 'dev', 'dpdk0');
    for (const address of addresses) await dpip('addr', 'add', `${address}/32`, 'dev', 'dpdk0');
    // Last, since OSPF speaks from then on: what it announces must be served.
    await this.#twins();
  }

  /**
   * The kernel's addresses live on the twins. The wires bring it every frame that dpvsd gets, which it must leave alone: no ARP
   * answer there, and no packet whose way back leads elsewhere. (On a NIC that DPDK owns there is no such device.)
   */
  async #twins(): Promise<void> {
    const n = this.number;
    const wanted = [
      { device: 'dpdk0.kni', address: `10.10.${n}.2/29` },
      { device: 'dpdk1.kni', address: `10.20.0.${n}/24` },
    ];
    for (const { device, address } of wanted) {
      await until(`the twin ${device}`, async () => {
        const { stdout } = await this.host.attempt(['ip', '-o', 'link', 'show', 'dev', device]);
        return stdout.includes('LOWER_UP');
      });
      const { stdout } = await this.host.attempt(['ip', '-o', '-4', 'address', 'show', 'dev', device]);
      if (!stdout.includes(` ${address}`)) await this.host.ip([`address add ${address} dev ${device}`]);
    }
    await until('routes to the kernel', async () => {
      const routes = await run([bin('dpip'), 'route', 'show'], { env: { DPVS_IPC_FILE: this.ipc } });
      return wanted.every(({ address }) => routes.includes(` ${address.replace(/\/.*/, '')}/`));
    });
  }

  killDpvsd(): void {
    this.#dpvsd?.kill('SIGKILL');
  }

  /** @param configuration another file than the cluster's own */
  startKeepalived(configuration = this.configuration): void {
    const at = (name: string) => join(this.folder, `${name}.pid`);
    const command = [launcher('keepalived'), '-n', '-l', '-f', configuration];
    const files = ['-p', at('parent'), '-r', at('vrrp'), '-c', at('check'), '-b', at('bfd')];
    this.#keepalived = this.host.start([...command, ...files], undefined, { DPVS_IPC_FILE: this.ipc });
  }

  /** Writes the configuration anew and has it read, as by SIGHUP. */
  reload(change: (text: string) => string): void {
    writeFileSync(this.configuration, change(readFileSync(this.configuration, 'utf8')));
    this.#keepalived?.kill('SIGHUP');
  }

  get keepalived(): Running | undefined {
    return this.#keepalived;
  }

  /** The service of a director without dpvsd is well or not. */
  health(well: boolean): void {
    writeFileSync(`${this.socket}.health`, well ? '0\n' : '1\n');
  }

  /** What keepalived and its parts have said. */
  get said(): string {
    return this.#keepalived?.output ?? '';
  }

  /** `bin/ospf-bridge ARGS` here. */
  bridge(...args: string[]): Promise<{ code: number; stdout: string; stderr: string }> {
    return this.host.attempt([launcher('ospf-bridge'), ...args, '-f', this.configuration]);
  }

  /** Puts addresses aside (none named: all); `--withdraw` may be among the words. @throws when the bridge does not */
  drain(...words: string[]): Promise<void> {
    return this.#told('drain', words);
  }

  /** Takes them back. @throws when the bridge does not */
  undrain(...addresses: string[]): Promise<void> {
    return this.#told('undrain', addresses);
  }

  async #told(command: string, words: string[]): Promise<void> {
    const { code, stderr } = await this.bridge(command, ...words);
    if (code !== 0) throw new Error(`${command} on ${this.host.name}: exit ${code}: ${stderr}`);
  }

  async status(): Promise<BridgeStatus> {
    const asked = await this.bridge('status', '--json');
    if (asked.code !== 0) throw new Error(asked.stderr.trim());
    return JSON.parse(asked.stdout) as BridgeStatus;
  }

  /** The whole machine dies: every process at once, the wires stay. */
  async crash(): Promise<void> {
    const { stdout } = await attempt(['ip', 'netns', 'pids', this.host.namespace]);
    for (const pid of stdout.split('\n').filter((line) => line !== '')) {
      try {
        process.kill(Number(pid), 'SIGKILL');
      } catch {
        // It ended meanwhile.
      }
    }
  }

  get options(): ClusterOptions {
    return this.#options;
  }

  /** Processes of this director that run one of our compiled programs, by its path below dist/: `vrrp/main.js`. */
  async programs(): Promise<Map<string, number>> {
    const { stdout } = await attempt(['ip', 'netns', 'pids', this.host.namespace]);
    const found = new Map<string, number>();
    for (const pid of stdout.split('\n').filter(Boolean)) {
      try {
        const words = readFileSync(`/proc/${pid}/cmdline`, 'utf8').split('\0');
        const program = words.find((word) => word.startsWith(compiled));
        if (program !== undefined) found.set(program.slice(compiled.length), Number(pid));
      } catch {
        // It ended meanwhile.
      }
    }
    return found;
  }
}

/** client - router (FRR) - directors (FRR, dpvsd, keepalived) - switch - real servers. */
export class Cluster {
  private constructor(
    readonly record: LabRecord,
    readonly client: Host,
    readonly router: Host,
    readonly routing: RoutingDaemons,
    readonly directors: ClusterDirector[],
    readonly servers: RealServer[],
    readonly addresses: string[],
    readonly options: ClusterOptions,
    readonly shared: string,
  ) {}

  /** Builds everything and starts all of it. Whatever fails, nothing is left behind. */
  static async create(options: ClusterOptions): Promise<Cluster> {
    const { title, directors: count = 2, dataplane = 'kernel' } = options;
    const serverCount = dataplane === 'dpvsd' ? (options.servers ?? 3) : 0;
    const numbers = Array.from({ length: count }, (_, index) => index + 1);
    const serverNames = Array.from({ length: serverCount }, (_, index) => `rs${index + 1}`);
    const record = register(title, [
      'client',
      'router',
      'switch',
      ...numbers.map((n) => `d${n}`),
      ...serverNames,
    ]);
    // FRR's daemons run as a user of their own, who cannot look into the labs' folder.
    const shared = mkdtempSync(join(tmpdir(), `dvh-${record.id}-frr-`));
    chmodSync(shared, 0o755);
    try {
      const host = (name: string) => new Host(name, record.namespaces[name] as string);
      const addresses = Array.from(
        { length: options.addresses ?? 1 },
        (_, index) => `10.99.${index >> 8}.${index & 255}`,
      ).map((one) => (one === '10.99.0.0' ? '10.99.255.1' : one));
      const text = keepalivedConf(options, addresses, serverCount);
      const routing = new RoutingDaemons(host('router'), shared);
      const directors = numbers.map(
        (n) => new ClusterDirector(host(`d${n}`), n, record.folder, shared, options, text),
      );
      const hosts = Object.keys(record.namespaces).map(host);
      await build(hosts, numbers, serverNames, dataplane === 'dpvsd');
      mkdirSync(join(record.folder, 'shared'));
      const servers = serverNames.map(
        (name, index) =>
          new RealServer(
            host(name),
            { v4: `10.20.0.${11 + index}`, v6: `fd20::${11 + index}` },
            record.folder,
          ),
      );
      await Promise.all(servers.map((server) => server.start()));
      if (dataplane === 'kernel')
        await Promise.all(
          directors.map(({ host: on, number }) =>
            new RealServer(on, { v4: `10.20.0.${number}`, v6: `fd20::${number}` }, record.folder).startHttp(),
          ),
        );
      const cluster = new Cluster(
        record,
        host('client'),
        host('router'),
        routing,
        directors,
        servers,
        addresses,
        options,
        shared,
      );
      await cluster.#start();
      return cluster;
    } catch (error) {
      await removeLab(record);
      rmSync(shared, { recursive: true, force: true });
      throw error;
    }
  }

  async #start(): Promise<void> {
    const numbers = this.directors.map(({ number }) => number);
    await this.routing.start('zebra', 'hostname router\nno zebra nexthop kernel enable\n');
    if (this.options.bfd !== undefined) await this.routing.start('bfdd', bfdProfile(this.options.bfd));
    else if (this.options.vrrp) await this.routing.start('bfdd', bfdPeers(numbers));
    await this.routing.start('ospfd', routerConf(numbers, this.options));
    if (this.options.ipv6) await this.routing.start('ospf6d', routerConf6(numbers));
    await Promise.all(
      this.directors.map(async (director) => {
        if (this.options.dataplane === 'dpvsd')
          await director.startDpvsd(this.options.vrrp ? [] : this.addresses);
        else {
          const lines = this.addresses.map((one) => `route add local ${one} dev lo table local`);
          await director.host.ip(lines);
          await director.startResponder(this.addresses[0] as string);
        }
        await director.startRouting();
        director.startKeepalived();
      }),
    );
  }

  /** The next hops of an address in the router's kernel, by director's number, in order. */
  async nextHops(address = this.addresses[0] as string): Promise<number[]> {
    const six = address.includes(':');
    const words = six ? ['-6', 'route', 'show', `${address}/128`] : ['route', 'show', `${address}/32`];
    const text = await run(['ip', '-n', this.router.namespace, ...words]);
    return [...text.matchAll(/via \S+ dev d(\d+)/g)].map((found) => Number(found[1])).sort();
  }

  /** Waits until the router sends an address to exactly these directors. @returns how long it took, milliseconds */
  async routed(
    to: readonly number[],
    limit = 30_000,
    address = this.addresses[0] as string,
  ): Promise<number> {
    const start = performance.now();
    let last: number[] = [];
    await until(
      `the router to use directors ${to.join(' ')}`,
      async () => {
        last = await this.nextHops(address);
        return last.join() === [...to].sort().join();
      },
      { limit, every: 20 },
    ).catch((error: unknown) => {
      const said = this.directors.map((one) => `--- ${one.host.name}\n${one.said.slice(-3000)}`).join('\n');
      throw new Error(`${(error as Error).message}; it uses ${last.join(' ') || 'none'}\n${said}`);
    });
    return performance.now() - start;
  }

  /** Waits until OSPF (and BFD, where configured) stands with every director. */
  async settled(): Promise<void> {
    await this.routed(this.directors.map(({ number }) => number));
    if (this.options.bfd === undefined) return;
    await until('BFD to be up', async () => {
      const text = await this.routing.ask('bfdd', 'show bfd peers brief');
      return (text.match(/\bup\b/g) ?? []).length >= this.directors.length;
    });
  }

  async close(): Promise<void> {
    await Promise.all(this.directors.map((one) => one.keepalived?.stop(5000)));
    await removeLab(this.record);
    rmSync(this.shared, { recursive: true, force: true });
  }
}

const everywhere = {
  'net/ipv4/conf/all/rp_filter': 0,
  'net/ipv4/conf/default/rp_filter': 0,
  'net/ipv6/conf/all/accept_dad': 0,
  'net/ipv6/conf/default/accept_dad': 0,
  'net/ipv4/fib_multipath_hash_policy': 1,
};

/** Namespaces, wires, addresses. */
async function build(hosts: Host[], numbers: number[], servers: string[], twins: boolean): Promise<void> {
  const of = (name: string) => hosts.find((host) => host.name === name) as Host;
  const [client, router, bridge] = [of('client'), of('router'), of('switch')];
  const batch = (lines: string[]) =>
    run(['ip', '-batch', '-'], { input: lines.map((line) => `${line}\n`).join('') });
  await batch(hosts.map(({ namespace }) => `netns add ${namespace}`));
  await Promise.all(
    hosts.map((host) =>
      host.sysctl({
        ...everywhere,
        'net/ipv4/ip_forward': host === router ? 1 : 0,
        'net/ipv6/conf/all/forwarding': host === router ? 1 : 0,
      }),
    ),
  );
  const wire = (a: Host, deviceA: string, b: Host, deviceB: string): string =>
    `link add ${deviceA} netns ${a.namespace} type veth peer name ${deviceB} netns ${b.namespace}`;
  await batch([
    wire(client, 'eth0', router, 'client'),
    ...numbers.flatMap((n) => [
      wire(of(`d${n}`), 'front', router, `d${n}`),
      wire(of(`d${n}`), 'back', bridge, `d${n}`),
    ]),
    ...servers.map((name) => wire(of(name), 'eth0', bridge, name)),
  ]);
  const plainWires = (host: Host, devices: string[]) =>
    host.run(['sh', '-e'], {
      input: devices.map((device) => `ethtool -K ${device} tx off tso off gso off gro off\n`).join(''),
    });
  await client.ip([
    'link set lo up',
    'link set eth0 up',
    'address add 10.1.0.2/24 dev eth0',
    'route add default via 10.1.0.1',
  ]);
  await plainWires(client, ['eth0']);
  await router.ip([
    'link set lo up',
    'link set client up',
    'address add 10.1.0.1/24 dev client',
    ...numbers.flatMap((n) => [`link set d${n} up`, `address add 10.10.${n}.1/29 dev d${n}`]),
  ]);
  await plainWires(router, ['client', ...numbers.map((n) => `d${n}`)]);
  const ports = [...numbers.map((n) => `d${n}`), ...servers];
  await bridge.ip([
    'link add br0 type bridge mcast_snooping 0 stp_state 0 forward_delay 0',
    'link set br0 up',
    ...ports.flatMap((port) => [`link set ${port} master br0`, `link set ${port} up`]),
  ]);
  await plainWires(bridge, ports);
  for (const n of numbers) {
    const director = of(`d${n}`);
    await director.ip([
      'link set lo up',
      'link set front up',
      'link set back up',
      ...(twins
        ? []
        : [
            `address add 10.10.${n}.2/29 dev front`,
            `address add 10.20.0.${n}/24 dev back`,
            // The answers of a director that stands for its own virtual addresses.
            `route add 10.1.0.0/24 via 10.10.${n}.1`,
          ]),
    ]);
    if (twins)
      await director.sysctl(
        Object.fromEntries(
          ['front', 'back'].flatMap((wire) => [
            [`net/ipv4/conf/${wire}/arp_ignore`, 8],
            [`net/ipv4/conf/${wire}/rp_filter`, 1],
            [`net/ipv6/conf/${wire}/disable_ipv6`, 1],
          ]),
        ),
      );
    await plainWires(director, ['front', 'back']);
  }
  for (const [index, name] of servers.entries()) {
    await of(name).ip([
      'link set lo up',
      'link set eth0 up',
      `address add 10.20.0.${11 + index}/24 dev eth0`,
      `address add fd20::${11 + index}/64 dev eth0 nodad`,
    ]);
    await plainWires(of(name), ['eth0']);
  }
}

function bfdProfile(interval: number): string {
  return `bfd
 profile dpvs-ha-${interval}
  detect-multiplier 3
  receive-interval ${interval}
  transmit-interval ${interval}
`;
}

/** bfdd of the router, with the sessions of the directors' own BFD. */
function bfdPeers(numbers: number[]): string {
  const peers = numbers.map(
    (n) => ` peer 10.10.${n}.2 interface d${n}
  detect-multiplier 3
  receive-interval ${TRACKED_BFD}
  transmit-interval ${TRACKED_BFD}
  no shutdown
`,
  );
  return `bfd\n${peers.join('')}`;
}

/** ospfd of the router: what interop wants of a neighbour of directors. */
function routerConf(numbers: number[], { bfd, minimal }: ClusterOptions): string {
  return `${numbers
    .map(
      (n) => `interface d${n}
 ip ospf area 0
 ip ospf network point-to-point
${minimal === undefined ? ' ip ospf hello-interval 1\n ip ospf dead-interval 4' : ` ip ospf dead-interval minimal hello-multiplier ${minimal}`}
 ip ospf retransmit-interval 1
${bfd === undefined ? '' : ` ip ospf bfd\n ip ospf bfd profile dpvs-ha-${bfd}\n`}`,
    )
    .join('')}router ospf
 ospf router-id 10.0.0.254
 maximum-paths 16
 timers throttle spf 0 10 100
 timers lsa min-arrival 0
 redistribute connected
`;
}

/** ospf6d of the router. */
function routerConf6(numbers: number[]): string {
  const one = (n: number) => `interface d${n}
 ipv6 ospf6 area 0
 ipv6 ospf6 network point-to-point
 ipv6 ospf6 hello-interval 1
 ipv6 ospf6 dead-interval 4
`;
  return `${numbers.map(one).join('')}router ospf6
 ospf6 router-id 10.0.0.254
 timers throttle spf 0 10 100
 timers lsa min-arrival 0
`;
}

function keepalivedConf(options: ClusterOptions, addresses: string[], servers: number): string {
  const { dataplane = 'kernel', announce = 'external', bfd, minimal, bridge = [], daemon = 'frr' } = options;
  const real = Array.from(
    { length: servers },
    (_, index) => `    real_server 10.20.0.${11 + index} ${HTTP_PORT} {
        TCP_CHECK {
            connect_timeout 1
            retry 0
        }
    }`,
  );
  const file = `    real_server 10.20.0.1 ${HTTP_PORT} {
        FILE_CHECK {
            track_file health
        }
    }`;
  const lines = [
    `global_defs {
    lvs_director ${dataplane === 'dpvsd' ? 'dpvsd @IPC@' : 'dry-run'}
    script_user root
}
ospf_bridge {
    router ${daemon}
    vty @VTY@${daemon === 'bird' ? '/bird.ctl' : ''}
    socket @SOCKET@
    announce ${announce}
    router_id 10.0.0.@NUMBER@
    prefixes {
        10.99.0.0/16
${options.ipv6 ? '        fd99::/64\n' : ''}    }
    guard_time ${options.guard ?? 60}
    interface ${dataplane === 'dpvsd' ? 'dpdk0.kni' : 'front'} {
        area 0
        hello 1
        dead 4
${minimal === undefined ? '' : `        dead minimal ${minimal}\n`}${bfd === undefined ? '' : `        bfd ${bfd}\n`}    }
${bridge.map((line) => `    ${line}\n`).join('')}}
`,
  ];
  if (dataplane === 'dpvsd')
    lines.push(`local_address_group locals {
    10.20.0.10@NUMBER@ dpdk1
}
`);
  else
    lines.push(`track_file health {
    file @SOCKET@.health
    weight 0
}
`);
  if (options.vrrp)
    lines.push(`bfd_instance router {
    neighbor_ip 10.10.@NUMBER@.1
    min_rx ${TRACKED_BFD}
    min_tx ${TRACKED_BFD}
    multiplier 3
}
vrrp_instance VI {
    state BACKUP
    interface dpdk1.kni
    dpdk_interface dpdk0
    virtual_router_id 71
    priority 150
    advert_int 0.3
    version 3
    track_bfd {
        router
    }
    virtual_ipaddress {
${addresses.map((one) => `        ${one}/32\n`).join('')}    }
}
`);
  if (options.ipv6)
    lines.push(`virtual_server fd99::1 ${HTTP_PORT} {
    delay_loop 1
    lb_algo rr
    lb_kind NAT
    protocol TCP
${file.replace('10.20.0.1', 'fd20::1')}
}
`);
  for (const address of addresses) {
    lines.push(`virtual_server ${address} ${HTTP_PORT} {
    delay_loop 0.3
    lb_algo rr
    lb_kind ${dataplane === 'dpvsd' ? 'FNAT' : 'NAT'}
    protocol TCP
${dataplane === 'dpvsd' ? '    laddr_group_name locals\n' : ''}${(dataplane === 'dpvsd' ? real : [file]).join('\n')}
}
`);
  }
  return lines.join('\n');
}

function dpvsConf(logFile: string): string {
  const cpus = availableParallelism();
  const device = (name: string, wire: string, index: number) => `
    <init> device ${name} {
        vdev            net_af_packet${index},iface=${wire}
        rx {
            queue_number    1
        }
        tx {
            queue_number    1
        }
    }`;
  return `! A director of the cluster.
global_defs {
    log_level       INFO
    log_file        ${logFile}
    <init> hugepages off
    <init> kni      on
    <init> idle_policy adaptive
    <init> hugepages off
}
netif_defs {
    <init> pktpool_size  8191${device('dpdk0', 'front', 0)}${device('dpdk1', 'back', 1)}
}
worker_defs {
    <init> worker cpu0 {
        type            master
        cpu_id          0
    }
    <init> worker cpu1 {
        type            slave
        cpu_id          ${1 % cpus}
        port            dpdk0 {
            rx_queue_ids    0
            tx_queue_ids    0
        }
        port            dpdk1 {
            rx_queue_ids    0
            tx_queue_ids    0
        }
    }
}
ipvs_defs {
    conn {
        <init> conn_pool_size  65536
    }
}
`;
}
