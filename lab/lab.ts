import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { Director } from './director.js';
import type { Host } from './host.js';
import { Keepalived } from './keepalived.js';
import { buildNetwork, hostNames, type Network } from './network.js';
import { endpoint, type Family, type Plan, planOf } from './plan.js';
import { type LabRecord, register, removeLab } from './registry.js';
import { RealServer } from './server.js';

/** Forwarding mode, as the switch of ipvsadm that chooses it. */
export type Mode = 'fullnat' | 'nat' | 'dr';
export const modeSwitch: Readonly<Record<Mode, string>> = { fullnat: '-b', nat: '-m', dr: '-g' };

export interface LabOptions {
  /** What it shows, in a few words; `npm run lab -- list` says it. */
  title: string;
  mode?: Mode;
  arms?: 1 | 2;
  /** Real servers (1-9). */
  servers?: number;
  workers?: number;
  /** Queues of each port; default: one for each worker. */
  queues?: number;
  forwarding?: boolean;
  /** Kernel twins of the director's ports, the inner one with addresses: what keepalived on the director needs. */
  twins?: boolean;
  far?: boolean;
  pathMtu?: number;
  /** Further lines of dpvs.conf. */
  extra?: string;
}

/** A running lab: hosts, real servers, and a director that is not started yet. */
export class Lab {
  /** Configures the director from a file, once it was started. */
  keepalived: Keepalived | undefined;

  private constructor(
    readonly record: LabRecord,
    readonly plan: Plan,
    readonly mode: Mode,
    readonly network: Network,
    readonly director: Director,
    readonly servers: RealServer[],
    /** The server behind the router. */
    readonly far: RealServer | undefined,
  ) {}

  /** Builds the network and starts the real servers. Whatever fails, nothing is left behind. */
  static async create(options: LabOptions): Promise<Lab> {
    const { title, mode = 'fullnat', arms = 2, servers = 3, workers = 1 } = options;
    const {
      far = false,
      queues = workers,
      forwarding = false,
      twins = false,
      pathMtu = 1500,
      extra = '',
    } = options;
    const plan = planOf(arms, servers);
    const record = register(title, hostNames(servers, far));
    try {
      const network = await buildNetwork(record, {
        plan,
        serverGateway: ({ fullnat: 'none', nat: 'director', dr: 'router' } as const)[mode],
        virtualOnServers: mode === 'dr',
        far,
        pathMtu,
      });
      mkdirSync(join(record.folder, 'shared'));
      const real = network.servers.map(
        (host, index) =>
          new RealServer(
            host,
            plan.servers[index] as (typeof plan.servers)[number],
            record.folder,
            mode === 'dr' ? plan.virtual : undefined,
          ),
      );
      const distant = network.far ? new RealServer(network.far, plan.far, record.folder) : undefined;
      const director = new Director(network.director, record, plan, {
        workers,
        queues,
        forwarding,
        twins,
        extra,
      });
      await Promise.all([...real, ...(distant ? [distant] : [])].map((server) => server.start()));
      return new Lab(record, plan, mode, network, director, real, distant);
    } catch (error) {
      await removeLab(record);
      throw error;
    }
  }

  get client(): Host {
    return this.network.client;
  }

  /** Starts dpvsd and gives it its addresses and routes. */
  async startDirector(): Promise<void> {
    await this.director.start();
    await this.director.configureAddresses();
    if (this.director.options.twins) await this.director.configureTwin();
  }

  /**
   * Starts keepalived on the director, which has to have twins; it configures the virtual servers and watches over the servers.
   * @param text keepalived.conf
   */
  async startKeepalived(text: string): Promise<Keepalived> {
    this.keepalived = new Keepalived(this.director.host, this.record, text);
    await this.keepalived.start();
    return this.keepalived;
  }

  /** `VIP:PORT` as ipvsadm and URLs write it. */
  virtual(family: Family, port: number): string {
    return endpoint(this.plan.virtual[family], port);
  }

  /**
   * The lines of `ipvsadm -R` for one service on the virtual address with these servers (default: all) of weight 1.
   * @param protocol `t` or `u`
   */
  serviceLines(
    family: Family,
    protocol: 't' | 'u',
    port: number,
    { scheduler = 'rr', servers = this.servers as readonly RealServer[] } = {},
  ): string[] {
    const service = `-${protocol} ${this.virtual(family, port)}`;
    const lines = [`-A ${service} -s ${scheduler}`];
    if (this.mode === 'fullnat')
      for (const local of this.plan.locals) lines.push(this.localLine(service, local[family]));
    for (const server of servers) lines.push(this.serverLine('-a', service, server, family, port));
    return lines;
  }

  /** One line of ipvsadm that adds a local address to a service. */
  localLine(service: string, local: string): string {
    return `-P ${service} -z ${local} -F ${this.plan.innerDevice}`;
  }

  /** One line of ipvsadm that adds (`-a`), edits (`-e`) or removes (`-d`) a server. */
  serverLine(
    verb: '-a' | '-e' | '-d',
    service: string,
    server: RealServer,
    family: Family,
    port: number,
    weight = 1,
  ): string {
    const line = `${verb} ${service} -r ${endpoint(server.address[family], port)}`;
    return verb === '-d' ? line : `${line} ${modeSwitch[this.mode]} -w ${weight}`;
  }

  /** Ends everything of this lab and removes it. */
  async close(): Promise<void> {
    await this.keepalived?.stop();
    await this.director.stop();
    await removeLab(this.record);
  }
}
