import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { connect } from 'node:net';
import { availableParallelism } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import {
  attempt,
  type CommandOptions,
  type Finished,
  Hopeless,
  type Running,
  run,
  until,
} from './command.js';
import type { Host } from './host.js';
import { wires } from './network.js';
import type { Plan } from './plan.js';
import type { LabRecord } from './registry.js';

/** Path of one of the launchers in bin/. */
export function bin(name: 'dpvsd' | 'dpip' | 'ipvsadm' | 'keepalived'): string {
  return fileURLToPath(new URL(`../../bin/${name}`, import.meta.url));
}

export interface DirectorOptions {
  /** Threads that forward packets. */
  workers: number;
  /** Queues of each port, at least one for each worker; a worker takes every workers'th of them. */
  queues: number;
  /** Routes between its ports what belongs to no service. */
  forwarding: boolean;
  /** Its ports have kernel twins (`dpdk0.kni`), so that programs of the kernel reach the networks through dpvsd. */
  twins: boolean;
  /** Further lines of dpvs.conf, at its end. */
  extra: string;
}

/** The director: dpvsd in its namespace, and the commands that configure and question it. */
export class Director {
  readonly confFile: string;
  readonly pidFile: string;
  readonly logFile: string;
  #running: Running | undefined;

  constructor(
    readonly host: Host,
    readonly record: LabRecord,
    readonly plan: Plan,
    readonly options: DirectorOptions,
  ) {
    this.confFile = join(record.folder, 'dpvs.conf');
    this.pidFile = join(record.folder, 'dpvs.pid');
    this.logFile = join(record.folder, 'dpvs.log');
    writeFileSync(this.confFile, directorConf(plan, options, this.logFile));
  }

  /** Starts dpvsd and waits until its control socket answers. */
  async start(): Promise<void> {
    const running = this.host.start([
      bin('dpvsd'),
      '-c',
      this.confFile,
      '-p',
      this.pidFile,
      '-x',
      this.record.ipc,
    ]);
    this.#running = running;
    await until(
      'the control socket of dpvsd',
      async () => {
        if (running.ended) throw new Hopeless(`dpvsd: ${running.ended}`);
        return await accepts(this.record.ipc);
      },
      { limit: 60_000 },
    ).catch((error: unknown) => {
      throw new Error(`${(error as Error).message}\n${this.said()}`);
    });
  }

  /** The last lines of dpvsd's output and log. */
  said(): string {
    const log = existsSync(this.logFile) ? readFileSync(this.logFile, 'utf8').slice(-4000) : '';
    return `${this.#running?.output.slice(-4000) ?? ''}${log}`.trim();
  }

  /** How dpvsd ended, undefined while it runs. */
  get ended(): string | undefined {
    return this.#running?.ended;
  }

  get pid(): number | undefined {
    return this.#running?.pid;
  }

  /** Ends dpvsd in order. */
  async stop(): Promise<void> {
    await this.#running?.stop(10_000);
  }

  /** kill -9. */
  async kill(): Promise<void> {
    this.#running?.kill('SIGKILL');
    await this.#running?.exited;
  }

  #env(options: CommandOptions): CommandOptions {
    return { ...options, env: { ...options.env, DPVS_IPC_FILE: this.record.ipc } };
  }

  /** Runs `bin/ipvsadm ARGS`, which has to succeed. @returns its stdout */
  ipvsadm(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return run([bin('ipvsadm'), ...args], this.#env(options));
  }

  /** Runs `bin/dpip ARGS`, which has to succeed. @returns its stdout */
  dpip(args: readonly string[], options: CommandOptions = {}): Promise<string> {
    return run([bin('dpip'), ...args], this.#env(options));
  }

  /** As {@link ipvsadm}, but a failure is for the caller to judge. */
  attemptIpvsadm(args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    return attempt([bin('ipvsadm'), ...args], this.#env(options));
  }

  /** As {@link dpip}, but a failure is for the caller to judge. */
  attemptDpip(args: readonly string[], options: CommandOptions = {}): Promise<Finished> {
    return attempt([bin('dpip'), ...args], this.#env(options));
  }

  /** Gives the director its addresses, and the way to the clients. */
  async configureAddresses(): Promise<void> {
    const { plan } = this;
    const addresses: string[][] = [];
    const add = (prefix: string, device: string) => addresses.push(['addr', 'add', prefix, 'dev', device]);
    add(`${plan.outerDirector.v4}/24`, plan.outerDevice);
    add(`${plan.outerDirector.v6}/64`, plan.outerDevice);
    if (plan.arms === 2) {
      add(`${plan.innerDirector.v4}/24`, plan.innerDevice);
      add(`${plan.innerDirector.v6}/64`, plan.innerDevice);
    }
    add(`${plan.virtual.v4}/32`, plan.outerDevice);
    add(`${plan.virtual.v6}/128`, plan.outerDevice);
    // Their order among themselves means nothing; the routes need them.
    await Promise.all(addresses.map((command) => this.dpip(command)));
    const route = (via: string) => ['route', 'add', 'default', 'via', via, 'dev', plan.outerDevice];
    await Promise.all([
      this.dpip(route(plan.outerRouter.v4)),
      this.dpip(['-6', ...route(plan.outerRouter.v6)]),
    ]);
  }

  /** Gives the twin of the inner port its addresses: the kernel reaches the servers through dpvsd, and their answers reach it. */
  async configureTwin(): Promise<void> {
    const { twin, innerDevice, arms } = this.plan;
    const device = `${innerDevice}.kni`;
    // The wires bring the kernel every frame that dpvsd gets. It has to take them from the twin alone: no ARP answer on a wire, and
    // no packet whose way back leads elsewhere.
    const silent = wires.slice(0, arms).flatMap((wire) => [
      [`net/ipv4/conf/${wire}/arp_ignore`, 8],
      [`net/ipv4/conf/${wire}/rp_filter`, 1],
    ]);
    await this.host.sysctl({
      ...Object.fromEntries(silent),
      'net/ipv4/conf/all/arp_ignore': 0,
      [`net/ipv4/conf/${device}/arp_ignore`]: 1,
      'net/ipv6/conf/lo/disable_ipv6': 0,
      [`net/ipv6/conf/${device}/disable_ipv6`]: 0,
    });
    await this.host.ip([
      'link set lo up',
      `address add ${twin.v4}/24 dev ${device}`,
      `address add ${twin.v6}/64 dev ${device} nodad`,
    ]);
    // dpvsd sees the new addresses by itself; a check before that would find every server dead.
    await until('routes to the kernel', async () => {
      const routes = await Promise.all([this.dpip(['route', 'show']), this.dpip(['-6', 'route', 'show'])]);
      return [twin.v4, twin.v6].every((address, index) => routes[index]?.includes(` ${address}/`));
    });
  }
}

function accepts(path: string): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = connect(path);
    socket.on('error', () => resolve(false));
    socket.on('data', () => {
      socket.destroy();
      resolve(true);
    });
    socket.setTimeout(1000, () => {
      socket.destroy();
      resolve(false);
    });
  });
}

/** dpvs.conf of the lab's director: af_packet ports on the wires. */
function directorConf(
  plan: Plan,
  { workers, queues, forwarding, twins, extra }: DirectorOptions,
  logFile: string,
): string {
  const devices = plan.arms === 2 ? [plan.outerDevice, plan.innerDevice] : [plan.outerDevice];
  const cpus = availableParallelism();
  const numbers = Array.from({ length: workers }, (_, index) => index);
  const queuesOf = (number: number) =>
    Array.from({ length: queues }, (_, queue) => queue)
      .filter((queue) => queue % workers === number)
      .join(' ');
  const device = (name: string, index: number) => `
    <init> device ${name} {
        vdev            net_af_packet${index},iface=${wires[index]},qpairs=${queues}
        rx {
            queue_number    ${queues}
        }
        tx {
            queue_number    ${queues}
        }
    }`;
  const worker = (number: number) => `
    <init> worker cpu${number + 1} {
        type            slave
        cpu_id          ${(number + 1) % cpus}${devices
          .map(
            (name) => `
        port            ${name} {
            rx_queue_ids    ${queuesOf(number)}
            tx_queue_ids    ${number}
        }`,
          )
          .join('')}
    }`;
  return `! The director of the lab.
global_defs {
    log_level       INFO
    log_file        ${logFile}
    <init> kni      ${twins ? 'on' : 'off'}
    <init> idle_policy adaptive
    <init> hugepages off
}

netif_defs {
    <init> pktpool_size  16383${devices.map(device).join('')}
}

worker_defs {
    <init> worker cpu0 {
        type            master
        cpu_id          0
    }${numbers.map(worker).join('')}
}

ipvs_defs {
    conn {
        <init> conn_pool_size  65536
    }
}

ipv4_defs {
    forwarding      ${forwarding ? 'on' : 'off'}
}

ipv6_defs {
    forwarding      ${forwarding ? 'on' : 'off'}
}
${extra}`;
}
