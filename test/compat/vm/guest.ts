import { bin } from '../../../lab/director.js';
import type { Lab } from '../../../lab/lab.js';
import { HTTP_PORT } from '../../../lab/ports.js';
import type { Machine } from './machine.js';

/** Where dpvsd's files are in the virtual machine. */
const CONF = '/run/dpvs.conf';
const LOG = '/run/dpvs.log';
const PID = '/run/dpvs.pid';
export const IPC = '/run/dpvs.ipc';
export const TWIN = 'dpdk0.kni';
/** How long to wait for a machine that is some twenty times slower than this one, which may be busy besides. */
export const patience = { limit: 90_000, every: 200 };

/** What `dpip --json link show` says of a port, as far as it is looked at here. */
export interface Port {
  mac: string;
  mtu: number;
  rxQueues: number;
  up: boolean;
  driver: string;
  allmulticast: boolean;
  twinKind: string;
  counters: { rxPackets: number; txPackets: number; rxErrors: number; txErrors: number; rxNoBuffer: number };
}

export interface Start {
  /** PCI address of the card. */
  address: string;
  queues: number;
  twins?: 'tap' | 'virtio-user';
}

/** The director's side of the virtual machine: cards handed over, dpvsd started, questioned and ended. */
export class Guest {
  constructor(
    readonly machine: Machine,
    readonly lab: Lab,
  ) {}

  /** PCI address of the card with a MAC address, while the kernel still has it. */
  async addressOf(mac: string): Promise<string> {
    const path = await this.machine.run(
      `grep -lx ${mac} /sys/bus/pci/devices/*/net/*/address /sys/bus/pci/devices/*/virtio*/net/*/address`,
    );
    const address = /devices\/([0-9a-f:.]+)\//.exec(path)?.[1];
    if (address === undefined) throw new Error(`no card has the address ${mac}`);
    return address;
  }

  /** Takes a card from its driver and gives it to another, as dpdk-devbind.py does. */
  async bind(address: string, driver: string): Promise<void> {
    const folder = `/sys/bus/pci/devices/${address}`;
    await this.machine.run(`
      [ ! -e ${folder}/driver ] || echo ${address} > ${folder}/driver/unbind
      echo ${driver} > ${folder}/driver_override
      echo ${address} > /sys/bus/pci/drivers_probe
      [ "$(basename $(readlink ${folder}/driver))" = ${driver} ]`);
  }

  async writeConf({ address, queues, twins = 'tap' }: Start): Promise<void> {
    await this.machine.run(`cat > ${CONF} <<'END'
global_defs {
  kni_kind ${twins}
  idle_policy adaptive
}
netif_defs {
  pktpool_size 16383
  device dpdk0 {
    pci ${address}
    rx {
      queue_number ${queues}
    }
    tx {
      queue_number ${queues}
    }
  }
}
ipvs_defs {
  conn {
    conn_pool_size 65536
  }
}
END`);
  }

  async doctor(): Promise<{ code: number; text: string }> {
    const { code, stdout } = await this.machine.attempt(`${bin('dpvsd')} doctor -c ${CONF}`);
    return { code, text: stdout };
  }

  /** Starts dpvsd with the configuration that was written. @returns undefined once it is ready, otherwise what it said */
  async start(): Promise<string | undefined> {
    const { code } = await this.machine.attempt(
      `setsid ${bin('dpvsd')} -c ${CONF} -p ${PID} -x ${IPC} > ${LOG} 2>&1 < /dev/null &
       for i in $(seq 1000); do
         ! grep -q ': ready with' ${LOG} || exit 0
         kill -0 $! 2> /dev/null || exit 1
         sleep 0.1
       done
       exit 1`,
      150,
    );
    return code === 0 ? undefined : await this.log();
  }

  async log(): Promise<string> {
    return await this.machine.run(`tail -c 6000 ${LOG}`);
  }

  /** Ends it in order. @throws when it is still there after a minute */
  async stop(): Promise<void> {
    await this.machine.run(
      `kill $(cat ${PID}); for i in $(seq 600); do [ -e ${PID} ] || exit 0; sleep 0.1; done; exit 1`,
    );
  }

  async kill(): Promise<void> {
    await this.machine.run(`kill -9 $(cat ${PID})`);
  }

  /** dpip, which speaks to the virtual machine by the relay; it has to succeed. */
  dpip(...words: string[]): Promise<string> {
    return this.lab.director.dpip(words, { limit: 60_000 });
  }

  async port(): Promise<Port> {
    return (JSON.parse(await this.dpip('-s', '--json', 'link', 'show', 'dpdk0')) as Port[])[0]!;
  }

  /** What the twins lost of bulk traffic, by counter. */
  async drops(): Promise<string> {
    const { counters } = JSON.parse(await this.dpip('-s', '--json', 'link', 'show')) as {
      counters: { name: string; sum: number }[];
    };
    const lost = counters.filter(({ name, sum }) => /\.bulk\.(.*-dropped|ring-full)$/.test(name) && sum > 0);
    return lost.length === 0 ? 'nothing lost' : lost.map(({ name, sum }) => `${name} ${sum}`).join(', ');
  }

  /** Addresses, the way to the client, and an HTTP service on the lab's servers. */
  async configure(): Promise<void> {
    await this.lab.director.configureAddresses();
    const lines = this.lab.serviceLines('v4', 't', HTTP_PORT);
    await this.lab.director.ipvsadm(['-R'], { input: lines.map((line) => `${line}\n`).join('') });
  }

  /** Flags and MAC of the twin, as the kernel has them. */
  async twin(): Promise<{ carrier: boolean; mac: string; mtu: number; index: number; addresses: string[] }> {
    const text = await this.machine.run(`ip -j address show dev ${TWIN}`);
    const row = (
      JSON.parse(text) as {
        ifindex: number;
        flags: string[];
        address: string;
        mtu: number;
        addr_info: { local: string; scope: string }[];
      }[]
    )[0]!;
    return {
      carrier: row.flags.includes('LOWER_UP'),
      mac: row.address,
      mtu: row.mtu,
      index: row.ifindex,
      addresses: row.addr_info.filter(({ scope }) => scope === 'global').map(({ local }) => local),
    };
  }
}
