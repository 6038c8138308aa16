import { DpvsdError } from '../dpvsd/client.js';
import { Table } from '../dpvsd/generated/control.js';
import type { DpvsdLink } from '../dpvsd/link.js';
import type { Log } from '../lib/log.js';
import { NetlinkMonitor } from '../lib/netlink/socket.js';
import type { Poller } from '../lib/poller.js';
import { difference, type Told } from './difference.js';
import { KernelSide, TWIN_EVENTS, type TwinDevice } from './kernel-side.js';

/** Changes come in groups (an address, its routes, its groups): looked at together. */
const SETTLE_MS = 10;
/** The kernel does not tell of multicast groups: they are looked at this often. */
const GROUPS_MS = 1000;

/** The kernel's side as one text, to see whether it changed. */
function seen(kernel: ReadonlyMap<string, TwinDevice>): string {
  const hex = (list: Uint8Array[]) => list.map((bytes) => Buffer.from(bytes).toString('hex')).sort();
  return JSON.stringify(
    [...kernel.values()].map(({ name, mac, mtu, up, addresses, groups }) => [
      name,
      hex([mac]),
      mtu,
      up,
      hex(addresses),
      hex(groups),
    ]),
  );
}

/**
 * Keeps the dataplane in line with the kernel's side of the twins: addresses (routes of scope kni_host), MAC, MTU, administrative
 * state, multicast groups. What it has told stays in the dataplane when it ends; on return it tells the difference.
 */
export class TwinWatcher {
  readonly #kernel = new KernelSide();
  readonly #monitor = new NetlinkMonitor(TWIN_EVENTS, 1 << 20);
  readonly #refusals = new Map<string, string>();
  #told: Told = { groups: new Map(), up: new Map() };
  /** Names of the twins, and the kernel's side of them as it was last told; undefined: not yet. */
  #names: ReadonlySet<string> | undefined;
  #seen: string | undefined;
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
      // What happened is read anew, lost messages or not.
      this.#monitor.read(() => {});
      this.#soon();
    });
    link.on('up', (_bootId, sameBoot) => {
      if (!sameBoot) this.#told = { groups: new Map(), up: new Map() };
      this.#names = undefined;
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
      await this.#tell();
    } catch (error) {
      // The connection: it comes back by itself, and everything is looked at again.
      if (!(error instanceof DpvsdError)) this.log.error(`kernel twins: ${(error as Error).message}`);
    } finally {
      this.#busy = false;
      if (this.#again) {
        this.#again = false;
        this.#soon();
      }
    }
  }

  async #tell(): Promise<void> {
    if (this.#names && seen(this.#kernel.read(this.#names)) === this.#seen) return;
    const links = await this.link.list(Table.TABLE_LINKS, 'link');
    const routes = await this.link.list(Table.TABLE_ROUTES, 'route');
    const learnt = routes.filter(({ scope, origin }) => scope === 'kni_host' && origin === 'kernel');
    const names = new Set(links.map(({ twin }) => twin).filter((name) => name !== ''));
    const kernel = this.#kernel.read(names);
    const operations = difference(kernel, { links, learnt }, this.#told);
    for (const operation of operations) {
      const about = JSON.stringify(operation);
      try {
        await this.link.apply([operation]);
        this.#refusals.delete(about);
      } catch (error) {
        if (!(error instanceof DpvsdError) || !this.link.client) throw error;
        // Once, not each second: what the driver refuses today it refuses tomorrow.
        if (this.#refusals.get(about) !== error.message) this.log.warning(`kernel twins: ${error.message}`);
        this.#refusals.set(about, error.message);
      }
    }
    this.#names = names;
    this.#seen = seen(kernel);
  }

  close(): void {
    this.#closed = true;
    this.poller.unwatch(this.#monitor.fd);
    this.#monitor.close();
    this.#kernel.close();
  }
}
