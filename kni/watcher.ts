import { DpvsdError, type OperationInput } from '../dpvsd/client.js';
import { Table, Verb } from '../dpvsd/generated/control.js';
import type { DpvsdLink } from '../dpvsd/link.js';
import type { Log } from '../lib/log.js';
import { decodeLink, IFF_UP } from '../lib/netlink/link.js';
import { NetlinkMonitor } from '../lib/netlink/socket.js';
import type { Poller } from '../lib/poller.js';
import { type DataplaneSide, difference, type Told } from './difference.js';
import { KernelSide, TWIN_EVENTS, type TwinDevice } from './kernel-side.js';

/** Changes come in groups (an address, its routes, its groups): looked at together. */
const SETTLE_MS = 10;
/** The kernel does not tell of multicast groups: they are looked at this often. */
const GROUPS_MS = 1000;

/** The kernel's side as one text, to see whether it changed. */
function seen(kernel: ReadonlyMap<string, TwinDevice>): string {
  const hex = (list: Uint8Array[]) => list.map((bytes) => Buffer.from(bytes).toString('hex')).sort();
  return JSON.stringify(
    [...kernel.values()].map(({ name, addresses, groups }) => [name, hex(addresses), hex(groups)]),
  );
}

/**
 * Keeps the dataplane in line with the kernel's side of the twins. Addresses (routes of scope kni_host) and multicast groups it tells;
 * what it has told stays in the dataplane when it ends, and on return it tells the difference. MAC, MTU and administrative state, which
 * dpvsd changes as well, dpvsd reads for itself: it is only told when to look.
 */
export class TwinWatcher {
  readonly #kernel = new KernelSide();
  readonly #monitor = new NetlinkMonitor(TWIN_EVENTS, 1 << 20);
  readonly #refusals = new Map<string, string>();
  #told: Told = new Map();
  /** Ports with their twins, and the kernel's side of these as it was last told; undefined: not yet. */
  #links: DataplaneSide['links'] | undefined;
  #seen: string | undefined;
  /** Names of devices that were taken down since dpvsd was told to look: they may be up again. */
  #wentDown = new Set<string>();
  #busy = false;
  #again = false;
  #due = false;
  #closed = false;

  constructor(
    readonly link: DpvsdLink,
    readonly poller: Poller,
    readonly log: Log,
  ) {
    poller.watch(this.#monitor.fd, () => {
      // What happened is read anew, lost messages or not; only what is over already cannot be read any more.
      this.#monitor.read((message) => {
        const changed = decodeLink(message);
        if (changed && (changed.flags & IFF_UP) === 0) this.#wentDown.add(changed.name);
      });
      this.#soon();
    });
    link.on('up', (_bootId, sameBoot) => {
      if (!sameBoot) {
        // A new dpvsd has set its twins up itself.
        this.#told = new Map();
        this.#wentDown.clear();
      }
      this.#links = undefined;
      this.#seen = undefined;
      this.#soon();
    });
    this.#groupsTimer();
  }

  #groupsTimer(): void {
    this.poller.after(GROUPS_MS, () => {
      if (this.#closed) return;
      this.#soon();
      this.#groupsTimer();
    });
  }

  #soon(): void {
    if (this.#due || this.#closed) return;
    this.#due = true;
    this.poller.after(SETTLE_MS, () => {
      this.#due = false;
      void this.#follow();
    });
  }

  async #follow(): Promise<void> {
    if (!this.link.client || this.#closed) return;
    if (this.#busy) {
      this.#again = true;
      return;
    }
    this.#busy = true;
    try {
      const links = this.#links ?? (await this.link.list(Table.TABLE_LINKS, 'link'));
      this.#links = links;
      await this.#look(links);
      await this.#tell(links);
    } catch (error) {
      // The connection: it comes back by itself, and everything is looked at again. Who knows what of it was done.
      this.#told = new Map();
      if (!(error instanceof DpvsdError)) this.log.error(`kernel twins: ${(error as Error).message}`);
    } finally {
      this.#busy = false;
      if (this.#again) {
        this.#again = false;
        this.#soon();
      }
    }
  }

  /** Has dpvsd look at all twins, changed or not: it knows best, and costs it nothing. */
  async #look(links: DataplaneSide['links']): Promise<void> {
    const wentDown = this.#wentDown;
    this.#wentDown = new Set();
    const operations = links
      .filter(({ twin }) => twin !== '')
      .map(
        ({ device, twin }): OperationInput => ({
          verb: Verb.VERB_EDIT,
          object: { $case: 'twinLook', value: { device, wasDown: wentDown.has(twin) } },
        }),
      );
    if (operations.length === 0) return;
    try {
      await this.link.apply(operations);
    } catch (error) {
      for (const name of wentDown) this.#wentDown.add(name);
      throw error;
    }
  }

  async #tell(links: DataplaneSide['links']): Promise<void> {
    const kernel = this.#kernel.read(new Set(links.map(({ twin }) => twin).filter((name) => name !== '')));
    if (seen(kernel) === this.#seen) return;
    const routes = await this.link.list(Table.TABLE_ROUTES, 'route');
    const learnt = routes.filter(({ scope, origin }) => scope === 'kni_host' && origin === 'kernel');
    for (const operation of difference(kernel, { links, learnt }, this.#told)) {
      const about = JSON.stringify(operation);
      try {
        await this.link.apply([operation]);
        this.#refusals.delete(about);
      } catch (error) {
        if (!(error instanceof DpvsdError) || !this.link.client) throw error;
        // Once, not each second: what is refused today is refused tomorrow.
        if (this.#refusals.get(about) !== error.message) this.log.warning(`kernel twins: ${error.message}`);
        this.#refusals.set(about, error.message);
      }
    }
    this.#seen = seen(kernel);
  }

  close(): void {
    this.#closed = true;
    this.poller.unwatch(this.#monitor.fd);
    this.#monitor.close();
    this.#kernel.close();
  }
}
