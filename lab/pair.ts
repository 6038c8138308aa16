import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { attempt, type Finished, Hopeless, type Running, run, until } from './command.js';
import { bin } from './director.js';
import { Host } from './host.js';
import { UDP_PORT } from './ports.js';
import { type LabRecord, register, removeLab } from './registry.js';
import { RealServer } from './server.js';
import type { Target } from './traffic-plan.js';

/** The virtual address of the pair, as in conf/keepalived.conf.pair-lb1.sample. */
export const PAIR_VIRTUAL = '192.0.2.100';

const SERVERS = ['rs1', 'rs2', 'rs3'] as const;
const sampleOf = (name: string) =>
  fileURLToPath(new URL(`../../conf/keepalived.conf.pair-${name}.sample`, import.meta.url));
const front = fileURLToPath(new URL('../../bin/keepalived', import.meta.url));

export type PairName = 'lb1' | 'lb2';

/** dpvs.conf of a node: one port on its wire, with its twin. */
const dpvsConf = (cpu: number) => `! A node of the pair.
global_defs {
    <init> hugepages off
    <init> idle_policy adaptive
}
netif_defs {
    <init> pktpool_size 8191
    <init> device dpdk0 {
        vdev net_af_packet0,iface=wire0,qpairs=1
        rx {
            queue_number 1
        }
        tx {
            queue_number 1
        }
        kni_name dpdk0.kni
    }
}
worker_defs {
    <init> worker cpu0 {
        type master
        cpu_id 0
    }
    <init> worker cpu1 {
        type slave
        cpu_id ${cpu}
        port dpdk0 {
            rx_queue_ids 0
            tx_queue_ids 0
        }
    }
}
ipvs_defs {
    conn {
        <init> conn_pool_size 65536
    }
}
`;

/**
 * The kernel sees the wire as dpvsd does, and must leave it alone: the node's addresses are on the twin, and what comes in by the wire
 * is answered by the twin's side. (On a NIC that DPDK owns there is no such device.)
 */
const silentWire = {
  'net/ipv4/conf/wire0/arp_ignore': 8,
  'net/ipv4/conf/wire0/rp_filter': 1,
  'net/ipv6/conf/wire0/disable_ipv6': 1,
  'net/ipv4/conf/all/rp_filter': 0,
};

/** One director of the pair: dpvsd, and keepalived on its twin. */
export class PairNode {
  readonly ipc: string;
  readonly configuration: string;
  readonly #folder: string;
  #dpvsd: Running | undefined;
  #keepalived: Running | undefined;
  #said = '';

  constructor(
    readonly name: PairName,
    readonly host: Host,
    readonly other: Host,
    folder: string,
    /** The operator's addresses of its twin, with prefix. */
    readonly addresses: readonly string[],
  ) {
    this.#folder = folder;
    this.ipc = join(folder, `${name}.ipc`);
    this.configuration = join(folder, `${name}.keepalived.conf`);
    writeFileSync(
      join(folder, `${name}.dpvs.conf`),
      dpvsConf(name === 'lb1' ? 1 % availableParallelism() : 0),
    );
    this.configure((text) => text);
  }

  /** Writes its keepalived.conf: the sample, changed. */
  configure(change: (sample: string) => string): void {
    writeFileSync(this.configuration, change(readFileSync(sampleOf(this.name), 'utf8')));
  }

  /** The first of them, as programs want it. */
  get address(): string {
    return this.addresses[0]!.replace(/\/.*/, '');
  }

  /** Starts dpvsd and waits for its twin. The operator's addresses are set the first time only. */
  async startDataplane(): Promise<void> {
    const at = (end: string) => join(this.#folder, `${this.name}.${end}`);
    const running = this.host.start([
      bin('dpvsd'),
      ...['-c', at('dpvs.conf'), '-p', at('dpvs.pid'), '-x', this.ipc],
    ]);
    this.#dpvsd = running;
    await until(
      `the twin of ${this.name}`,
      async () => {
        if (running.ended) throw new Hopeless(`dpvsd: ${running.ended}\n${running.output}`);
        return await this.carrier();
      },
      { limit: 60_000 },
    );
    const { stdout } = await this.host.attempt(['ip', '-o', 'address', 'show', 'dev', 'dpdk0.kni']);
    const missing = this.addresses.filter((address) => !stdout.includes(` ${address} `));
    await this.host.ip(missing.map((address) => `address add ${address} dev dpdk0.kni nodad`));
  }

  /** Whether the twin is there and plugged in. */
  async carrier(): Promise<boolean> {
    const { stdout } = await this.host.attempt(['ip', '-o', 'link', 'show', 'dev', 'dpdk0.kni']);
    return stdout.includes('LOWER_UP');
  }

  startKeepalived(): void {
    const files = ['p', 'r', 'c', 'b'].flatMap((flag) => [
      `-${flag}`,
      join(this.#folder, `${this.name}.${flag}.pid`),
    ]);
    this.#said = '';
    // Its console is stderr.
    const command = ['sh', '-c', 'exec "$@" 2>&1', 'sh', front, '-n', '-l', '-G', '-D', '-f'];
    const running = this.host.start(
      [...command, this.configuration, ...files],
      (line) => {
        this.#said += `${line}\n`;
      },
      { DPVS_IPC_FILE: this.ipc },
    );
    this.#keepalived = running;
  }

  async start(): Promise<void> {
    await this.startDataplane();
    this.startKeepalived();
  }

  /** Whether the virtual address is in its dataplane. */
  async active(): Promise<boolean> {
    const { code, stdout } = await this.dpip(['addr', 'show', 'dev', 'dpdk0']);
    return code === 0 && stdout.includes(`${PAIR_VIRTUAL}/`);
  }

  dpip(args: readonly string[]): Promise<Finished> {
    return attempt([bin('dpip'), ...args], { env: { DPVS_IPC_FILE: this.ipc } });
  }

  ipvsadm(args: readonly string[]): Promise<Finished> {
    return attempt([bin('ipvsadm'), ...args], { env: { DPVS_IPC_FILE: this.ipc } });
  }

  /** Its port of the switch, up or down. */
  async cable(up: boolean): Promise<void> {
    await this.other.ip([`link set ${this.name} ${up ? 'up' : 'down'}`]);
  }

  /** The whole node is gone at once. */
  async crash(): Promise<void> {
    await this.cable(false);
    await this.#killKeepalived();
    await this.killDataplane();
  }

  /** kill -9 of dpvsd alone. */
  async killDataplane(): Promise<void> {
    this.#dpvsd?.kill('SIGKILL');
    await this.#dpvsd?.exited;
  }

  /** Every process of keepalived: its parts would end in order when they miss the front door. */
  async #killKeepalived(): Promise<void> {
    for (const pid of await this.parts()) process.kill(pid, 'SIGKILL');
    this.#keepalived?.kill('SIGKILL');
    await this.#keepalived?.exited;
  }

  /** Process of its dpvsd. */
  get dataplanePid(): number | undefined {
    return this.#dpvsd?.pid;
  }

  /** Processes under the front door. */
  async parts(): Promise<number[]> {
    const { stdout } = await attempt(['pgrep', '-P', String(this.#keepalived?.pid ?? 0)]);
    return stdout.split('\n').filter(Boolean).map(Number);
  }

  /** Process of the part that speaks VRRP, or of the one that checks servers. */
  part(of: 'vrrp' | 'healthcheck'): number {
    const file = join(this.#folder, `${this.name}.${of === 'vrrp' ? 'r' : 'c'}.pid`);
    return Number(readFileSync(file, 'utf8'));
  }

  /** kill -9 of the part that speaks VRRP; the front door stays. */
  async killVrrp(): Promise<void> {
    process.kill(this.part('vrrp'), 'SIGKILL');
  }

  /** SIGTERM of keepalived: it resigns. */
  async stopKeepalived(): Promise<void> {
    await this.#keepalived?.stop(10_000);
  }

  reload(): void {
    this.#keepalived?.kill('SIGHUP');
  }

  async stop(): Promise<void> {
    await this.stopKeepalived();
    await this.#dpvsd?.stop(10_000);
  }

  /** What keepalived has said since its start. */
  get log(): string {
    return this.#said;
  }

  /** The last lines of both programs. */
  said(): string {
    const dpvsd = `${this.name} dpvsd (${this.#dpvsd?.ended ?? 'running'}): ${this.#dpvsd?.output.slice(-1500)}`;
    return `${dpvsd}\n${this.name} keepalived (${this.#keepalived?.ended ?? 'running'}): ${this.#keepalived?.output.slice(-4000) ?? this.#said}`;
  }
}

/** Two directors, a client and three servers on one network: the bridge of the host `switch`. */
export class PairLab {
  private constructor(
    readonly record: LabRecord,
    readonly client: Host,
    readonly lb1: PairNode,
    readonly lb2: PairNode,
    readonly servers: RealServer[],
  ) {}

  static async create(title = 'pair'): Promise<PairLab> {
    const record = register(title, ['client', 'switch', 'lb1', 'lb2', ...SERVERS], ['lb1', 'lb2']);
    try {
      const host = (name: string) => new Host(name, record.namespaces[name] as string);
      const hub = host('switch');
      const client = host('client');
      const ends = ['client', ...SERVERS].map(host);
      const directors = ['lb1', 'lb2'].map(host);
      const batch = (lines: string[]) => run(['ip', '-batch', '-'], { input: `${lines.join('\n')}\n` });
      await batch([hub, ...ends, ...directors].map(({ namespace }) => `netns add ${namespace}`));
      const wire = (each: Host, device: string) =>
        `link add ${device} netns ${each.namespace} type veth peer name ${each.name} netns ${hub.namespace}`;
      await batch([
        ...ends.map((each) => wire(each, 'eth0')),
        ...directors.map((each) => wire(each, 'wire0')),
      ]);
      await hub.ip([
        'link add net type bridge mcast_snooping 0 stp_state 0 forward_delay 0',
        'link set net up',
        ...[...ends, ...directors].flatMap(({ name }) => [
          `link set ${name} master net`,
          `link set ${name} up`,
        ]),
      ]);
      const plain = (each: Host, device: string) =>
        each.run(['ethtool', '-K', device, 'tx', 'off', 'tso', 'off', 'gso', 'off', 'gro', 'off']);
      const addressOf = (name: string) =>
        name === 'client' ? '192.0.2.250' : `192.0.2.${200 + Number(name.slice(2))}`;
      await Promise.all([
        ...ends.map(async (each) => {
          await each.ip(['link set lo up', 'link set eth0 up']);
          await each.ip([
            `address add ${addressOf(each.name)}/24 dev eth0`,
            `address add fd00:2::${each.name === 'client' ? 250 : 200 + Number(each.name.slice(2))}/64 dev eth0 nodad`,
          ]);
          await plain(each, 'eth0');
        }),
        ...directors.map(async (each) => {
          await each.sysctl(silentWire);
          await each.ip(['link set lo up', 'link set wire0 up']);
          await plain(each, 'wire0');
        }),
      ]);
      mkdirSync(join(record.folder, 'shared'));
      const servers = SERVERS.map(
        (name, index) =>
          new RealServer(host(name), { v4: addressOf(name), v6: `fd00:2::${201 + index}` }, record.folder),
      );
      await Promise.all(servers.map((server) => server.start()));
      const node = (name: PairName, number: number) =>
        new PairNode(name, host(name), hub, record.folder, [`192.0.2.${number}/24`, `fd00:2::${number}/64`]);
      return new PairLab(record, client, node('lb1', 2), node('lb2', 3), servers);
    } catch (error) {
      await removeLab(record);
      throw error;
    }
  }

  get nodes(): [PairNode, PairNode] {
    return [this.lb1, this.lb2];
  }

  /** Waits until this node alone has the virtual address and serves all servers. */
  async settled(active: PairNode, limit = 60_000): Promise<void> {
    const standby = active === this.lb1 ? this.lb2 : this.lb1;
    await until(
      `${active.name} to be the active one`,
      async () => {
        if (!(await active.active())) throw new Error(`no address: ${active.said()}`);
        if (await standby.active()) throw new Error(`${standby.name} has it as well`);
        const { stdout } = await active.ipvsadm(['-ln']);
        const configured = readFileSync(active.configuration, 'utf8').match(/^ *real_server /gm) ?? [];
        return (stdout.match(/^ {2}-> \S*2(::|\.)20/gm) ?? []).length === configured.length;
      },
      { limit, every: 200 },
    );
  }

  readonly targets: Target[] = [
    { kind: 'http', url: `http://${PAIR_VIRTUAL}/` },
    { kind: 'udp', address: PAIR_VIRTUAL, port: UDP_PORT },
  ];

  async close(): Promise<void> {
    await Promise.all(this.nodes.map((node) => node.stop()));
    await removeLab(this.record);
  }
}
