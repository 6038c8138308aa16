import { DEFAULT_FRR_FOLDER, type OspfBridge } from '../../keepalived/model/ospf-bridge.js';
import { openTelnetVty } from '../../lib/vty/telnet.js';
import { openUnixVty } from '../../lib/vty/unix.js';
import { type Vty, VtyError } from '../../lib/vty/vty.js';
import type { Announced, Neighbour, ReadBack, Router } from './router.js';

type Daemon = 'ospfd' | 'ospf6d' | 'bfdd' | 'zebra';

const folders = { frr: DEFAULT_FRR_FOLDER, quagga: '/run/quagga' } as const;

/** FRR and quagga: ospfd and ospf6d, read over their VTYs; bfdd too where there is one. */
export class ZebraRouter implements Router {
  readonly #kind: 'frr' | 'quagga';
  readonly #settings: Pick<OspfBridge, 'vty' | 'telnet' | 'password' | 'enablePassword'>;
  readonly #open = new Map<Daemon, Vty>();

  constructor(
    kind: 'frr' | 'quagga',
    settings: Pick<OspfBridge, 'vty' | 'telnet' | 'password' | 'enablePassword'>,
  ) {
    this.#kind = kind;
    this.#settings = settings;
  }

  async readBack(families: ReadonlySet<4 | 6>): Promise<ReadBack> {
    const announced = new Map<string, Announced>();
    const neighbours: Neighbour[] = [];
    const version = versionOf(await this.#ask(families.has(4) ? 'ospfd' : 'ospf6d', 'show version'));
    if (families.has(4)) {
      const own = ownRouterId(await this.#ask('ospfd', 'show ip ospf'));
      // Where nothing is announced yet, ospfd has no such database, and says nothing.
      readExternal(await this.#ask('ospfd', 'show ip ospf database external self-originate'), announced);
      readStubs(await this.#ask('ospfd', 'show ip ospf database router self-originate'), own, announced);
      neighbours.push(...readNeighbours(await this.#ask('ospfd', 'show ip ospf neighbor'), 4));
    }
    if (families.has(6)) {
      const database = (type: string) => `show ipv6 ospf6 database ${type} self-originated detail`;
      readExternal6(await this.#ask('ospf6d', database('as-external')), announced);
      readIntra6(await this.#ask('ospf6d', database('intra-prefix')), announced);
      neighbours.push(...readNeighbours6(await this.#ask('ospf6d', 'show ipv6 ospf6 neighbor')));
    }
    if (this.#kind === 'frr') await this.#addBfd(neighbours);
    return { version, announced, neighbours };
  }

  async configuration(families: ReadonlySet<4 | 6>): Promise<Map<string, string>> {
    const texts = new Map<string, string>();
    if (families.has(4)) texts.set('ospfd', await this.#ask('ospfd', 'show running-config'));
    if (families.has(6)) texts.set('ospf6d', await this.#ask('ospf6d', 'show running-config'));
    return texts;
  }

  close(): void {
    for (const vty of this.#open.values()) vty.close();
    this.#open.clear();
  }

  async #ask(daemon: Daemon, command: string): Promise<string> {
    const known = this.#open.get(daemon);
    try {
      const vty = known ?? (await this.#connect(daemon));
      this.#open.set(daemon, vty);
      return await vty.ask(command);
    } catch (error) {
      const fault = error instanceof VtyError ? error.fault : undefined;
      // A complaint about a command leaves the dialogue in order.
      if (fault !== 'command') {
        this.#open.get(daemon)?.close();
        this.#open.delete(daemon);
      }
      // The daemon was started anew since the last question.
      if (known && fault === 'closed') return await this.#ask(daemon, command);
      throw error;
    }
  }

  async #connect(daemon: Daemon): Promise<Vty> {
    const { telnet, password, enablePassword, vty = folders[this.#kind] } = this.#settings;
    if (telnet && (daemon === 'ospfd' || daemon === 'ospf6d')) {
      const port = daemon === 'ospfd' ? telnet.port : telnet.port6;
      return await openTelnetVty({ host: telnet.host, port, password, enablePassword });
    }
    return await openUnixVty(`${vty}/${daemon}.vty`);
  }

  /** BFD is an extra: a machine without bfdd has none. */
  async #addBfd(neighbours: Neighbour[]): Promise<void> {
    if (this.#settings.telnet) return;
    let text: string;
    try {
      text = await this.#ask('bfdd', 'show bfd peers json');
    } catch {
      return;
    }
    let peers: { peer?: string; interface?: string; status?: string }[];
    try {
      peers = JSON.parse(text);
    } catch {
      return;
    }
    for (const neighbour of neighbours) {
      const peer = peers.find(
        (one) =>
          one.peer === neighbour.address ||
          // ospf6d does not tell the address of a neighbour.
          (neighbour.address === '' &&
            one.interface === neighbour.interface &&
            one.peer?.startsWith('fe80:')),
      );
      if (peer?.status !== undefined) neighbour.bfd = peer.status;
    }
  }
}

/** First line of `show version`: `FRRouting 8.4.4 (host) ...`, `Quagga 1.2.4 (host).` */
function versionOf(text: string): string {
  return /^\s*(\S+ [\d.]+\w*)/.exec(text)?.[1] ?? 'unknown version';
}

function ownRouterId(text: string): string | undefined {
  return /Router ID:\s*(\d+\.\d+\.\d+\.\d+)/.exec(text)?.[1];
}

/** `show ip ospf database external self-originate`: an LSA a paragraph. */
export function readExternal(text: string, into: Map<string, Announced>): void {
  let id: string | undefined;
  let length: string | undefined;
  let old = false;
  for (const line of text.split('\n')) {
    const found = /^\s*(LS age|Link State ID|Network Mask|Metric):\s*(?:\/)?([\d.]+)/.exec(line);
    if (!found) continue;
    const [, key, value = ''] = found;
    // An LSA at the greatest age is being withdrawn (RFC 2328 14.1).
    if (key === 'LS age') old = Number(value) >= 3600;
    else if (key === 'Link State ID') id = value;
    else if (key === 'Network Mask') length = value;
    else if (id !== undefined && length !== undefined && !old) {
      // Two prefixes with one network address differ in host bits of the id (RFC 2328 appendix E); host routes do not.
      into.set(`${id}/${length}`, { kind: 'external', metric: Number(value) });
      id = undefined;
    }
  }
}

/** `show ip ospf database router self-originate`: stub networks that are single addresses. */
export function readStubs(text: string, own: string | undefined, into: Map<string, Announced>): void {
  let net: string | undefined;
  let host = false;
  let old = false;
  let router: string | undefined;
  for (const line of text.split('\n')) {
    const age = /^\s*LS age: (\d+)/.exec(line);
    if (age) old = Number(age[1]) >= 3600;
    router = /^\s*Advertising Router: (\S+)/.exec(line)?.[1] ?? router;
    if (/Link connected to:/.test(line)) {
      net = undefined;
      host = false;
    }
    net = /\(Link ID\) Net: ([\d.]+)/.exec(line)?.[1] ?? net;
    if (/Network Mask: 255\.255\.255\.255/.test(line)) host = true;
    const metric = /TOS 0 Metric: (\d+)/.exec(line)?.[1];
    if (metric === undefined || net === undefined || !host || old) continue;
    if (own !== undefined && router !== own) continue;
    const known = into.get(`${net}/32`);
    // Intra-area wins over external, and the cheaper of two stubs wins.
    if (known?.kind === 'intra_area' && known.metric <= Number(metric)) continue;
    into.set(`${net}/32`, { kind: 'intra_area', metric: Number(metric) });
  }
}

/** `show ip ospf neighbor`: columns differ between versions, these do not: id, state, address, interface. */
export function readNeighbours(text: string, family: 4): Neighbour[] {
  const neighbours: Neighbour[] = [];
  for (const line of text.split('\n')) {
    const found = /^(\d+\.\d+\.\d+\.\d+)\s+\d+\s+(\S+?)\/\S+.*?\s(\d+\.\d+\.\d+\.\d+)\s+([^\s:]+):/.exec(
      line,
    );
    if (!found) continue;
    const [, routerId = '', state = '', address = '', device = ''] = found;
    neighbours.push({ routerId, state, address, interface: device, family });
  }
  return neighbours;
}

/** `show ipv6 ospf6 database as-external self-originated detail`. */
export function readExternal6(text: string, into: Map<string, Announced>): void {
  let metric: number | undefined;
  let old = false;
  for (const line of text.split('\n')) {
    const age = /^Age:\s+(\d+)/.exec(line);
    if (age) {
      old = Number(age[1]) >= 3600;
      metric = undefined;
    }
    metric = Number(/^\s+Metric:\s+(\d+)/.exec(line)?.[1] ?? metric);
    const prefix = /^\s+Prefix:\s+(\S+\/\d+)/.exec(line)?.[1];
    if (prefix !== undefined && !old) into.set(prefix, { kind: 'external', metric: metric || 0 });
  }
}

/**
 * `show ipv6 ospf6 database intra-prefix self-originated detail`: prefixes of length 128, each with its metric, which stands in a
 * line behind the prefix or in the one before it.
 */
export function readIntra6(text: string, into: Map<string, Announced>): void {
  let old = false;
  let metric = 0;
  let last: Announced | undefined;
  for (const line of text.split('\n')) {
    const age = /^Age:\s+(\d+)/.exec(line);
    if (age) old = Number(age[1]) >= 3600;
    const found = /Metric:\s+(\d+)/.exec(line)?.[1];
    if (found !== undefined) {
      metric = Number(found);
      if (/^\s+Metric:/.test(line) && last) last.metric = metric;
    }
    if (age || /Prefix Options:/.test(line)) last = undefined;
    const prefix = /Prefix:\s+(\S+\/128)/.exec(line)?.[1];
    if (prefix === undefined || old) continue;
    const known = into.get(prefix);
    last = { kind: 'intra_area', metric };
    // On two devices in the midst of a change; the last of them is told with its own metric.
    if (known === undefined || known.kind !== 'intra_area') into.set(prefix, last);
    else last = known;
  }
}

/** `show ipv6 ospf6 neighbor`. */
export function readNeighbours6(text: string): Neighbour[] {
  const neighbours: Neighbour[] = [];
  for (const line of text.split('\n')) {
    const found = /^(\d+\.\d+\.\d+\.\d+)\s+\d+\s+\S+\s+(\S+?)\/\S+\s+\S+\s+([^\s[]+)\[/.exec(line);
    if (!found) continue;
    const [, routerId = '', state = '', device = ''] = found;
    neighbours.push({ routerId, state, address: '', interface: device, family: 6 });
  }
  return neighbours;
}
