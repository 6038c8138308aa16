import { DpvsdClient } from '../dpvsd/client.js';
import { Protocol, Table } from '../dpvsd/generated/control.js';

/** What dpvsd counts for one real server of one virtual server. */
export interface ServerCount {
  protocol: 'tcp' | 'udp' | 'icmp';
  /** Network-order bytes as lower-case hex, and the port. */
  address: string;
  port: number;
  /** Port of the virtual server. */
  servicePort: number;
  /** 0: no new connections. */
  weight: number;
  connections: number;
  active: number;
  inPackets: number;
  outPackets: number;
  inBytes: number;
  outBytes: number;
}

/** A named counter of dpvsd. */
export interface Counter {
  name: string;
  value: number;
  help: string;
}

export interface Snapshot {
  servers: ServerCount[];
  /** How many virtual servers there are. */
  services: number;
  counters: Counter[];
}

function protocolName(protocol: Protocol | undefined): ServerCount['protocol'] {
  if (protocol === Protocol.PROTOCOL_TCP) return 'tcp';
  return protocol === Protocol.PROTOCOL_UDP ? 'udp' : 'icmp';
}

/** Reads the counters over one control connection, as a monitoring program would: often, and without a process each time. */
export class Statistics {
  #client: DpvsdClient | undefined;

  constructor(readonly ipc: string) {}

  async #connected(): Promise<DpvsdClient> {
    if (!this.#client?.open) this.#client = await DpvsdClient.connect({ path: this.ipc, client: 'lab' });
    return this.#client;
  }

  /** Workers that forward packets, with what each has received. */
  async workers(): Promise<{ number: number; rxPackets: number }[]> {
    const rows = await (await this.#connected()).list(Table.TABLE_WORKERS, 'lcore');
    return rows
      .filter(({ role }) => role === 'worker')
      .map(({ number, rxPackets }) => ({ number, rxPackets }));
  }

  /** Connections by server: address as in {@link ServerCount}, protocol, and state as ipvsadm -lnc shows it. */
  async connections(): Promise<{ address: string; protocol: ServerCount['protocol']; state: string }[]> {
    const rows = await (await this.#connected()).list(Table.TABLE_CONNECTIONS, 'connection');
    return rows.map(({ server, protocol, state }) => ({
      address: Buffer.from(server).toString('hex'),
      protocol: protocolName(protocol),
      state,
    }));
  }

  /** @throws {DpvsdError} when dpvsd does not answer; the next call connects anew */
  async read(): Promise<Snapshot> {
    const client = await this.#connected();
    const [services, rows, counters] = await Promise.all([
      client.list(Table.TABLE_SERVICES, 'service'),
      client.list(Table.TABLE_SERVICES, 'server'),
      client.list(Table.TABLE_COUNTERS, 'counter'),
    ]);
    const servers = rows.map(({ server, active, traffic }): ServerCount => {
      return {
        protocol: protocolName(server?.service?.protocol),
        address: Buffer.from(server?.address ?? []).toString('hex'),
        port: server?.port ?? 0,
        servicePort: server?.service?.port ?? 0,
        weight: server?.weight ?? 0,
        connections: traffic?.connections ?? 0,
        active,
        inPackets: traffic?.inPackets ?? 0,
        outPackets: traffic?.outPackets ?? 0,
        inBytes: traffic?.inBytes ?? 0,
        outBytes: traffic?.outBytes ?? 0,
      };
    });
    return {
      services: services.length,
      servers,
      counters: counters.map(({ name, value, help }) => ({ name, value, help })),
    };
  }

  close(): void {
    this.#client?.close();
  }
}

/**
 * What the packets that came in came to: `in = forwarded + kernel + local + held + sum of drops`.
 * @returns undefined when that holds, otherwise the figures that do not add up
 */
export function balanceOf(counters: readonly { name: string; value: number }[]): string | undefined {
  const value = (name: string) => counters.find((counter) => counter.name === name)?.value ?? 0;
  const drops = counters.filter(({ name }) => name.startsWith('drop.'));
  const dropped = drops.reduce((sum, counter) => sum + counter.value, 0);
  const out = value('forwarded') + value('kernel') + value('local') + value('held') + dropped;
  if (counters.some(({ name }) => name === 'in') && value('in') === out) return undefined;
  const parts = ['in', 'forwarded', 'kernel', 'local', 'held'].map((name) => `${name} ${value(name)}`);
  const named = drops.filter((drop) => drop.value > 0).map((drop) => `${drop.name} ${drop.value}`);
  return `in is not forwarded + kernel + local + held + drops, off by ${value('in') - out}: ${[...parts, ...named].join(', ')}`;
}
