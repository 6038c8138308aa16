import { lookupService } from 'node:dns';
import { formatIp } from '../../lib/ip.js';
import { endpointText } from '../address.js';
import type { NamedEndpoint, Names } from './names.js';

/** Milliseconds that all look-ups of one listing may take together; what has no name by then stays a number. */
const PATIENCE = 3000;

/** Names by reverse look-up, all of a listing at the same time. */
export class SystemNames implements Names {
  readonly #hosts = new Map<string, string>();
  readonly #ports = new Map<number, string>();
  readonly #asked = new Set<string>();
  #left = PATIENCE;

  async learn(endpoints: Iterable<NamedEndpoint>): Promise<void> {
    if (this.#left <= 0) return;
    const waiting: Promise<void>[] = [];
    for (const { address, port } of endpoints) {
      if (address.length > 0) waiting.push(...this.#ask(formatIp(address), port));
    }
    const started = performance.now();
    let timer: NodeJS.Timeout | undefined;
    const patience = new Promise<void>((resolve) => {
      timer = setTimeout(resolve, this.#left);
    });
    await Promise.race([Promise.all(waiting), patience]);
    clearTimeout(timer);
    this.#left -= performance.now() - started;
  }

  *#ask(host: string, port: number): Generator<Promise<void>> {
    const question = `${host} ${port}`;
    if (this.#asked.has(question)) return;
    this.#asked.add(question);
    yield new Promise((resolve) => {
      lookupService(host, port, (error, name, service) => {
        if (!error) {
          this.#hosts.set(host, name);
          this.#ports.set(port, service);
        }
        resolve();
      });
    });
  }

  endpoint(address: Uint8Array, port: number): string {
    const host = address.length > 0 ? this.#hosts.get(formatIp(address)) : undefined;
    const service = this.#ports.get(port) ?? String(port);
    if (!host) return endpointText(address, service);
    return `${host.includes(':') ? `[${host}]` : host}:${service}`;
  }
}
