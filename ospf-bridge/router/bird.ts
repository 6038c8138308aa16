import { readFileSync } from 'node:fs';
import { openBird } from '../../lib/vty/bird.js';
import { type Vty, VtyError } from '../../lib/vty/vty.js';
import type { Announced, Neighbour, ReadBack, Router } from './router.js';

/** BIRD, read over its control socket. */
export class BirdRouter implements Router {
  readonly #path: string;
  #vty: Vty | undefined;

  constructor(path: string) {
    this.#path = path;
  }

  async readBack(): Promise<ReadBack> {
    const status = await this.#ask('show status');
    const version = /^(BIRD \S+)/.exec(status)?.[1] ?? 'unknown version';
    const own = /^Router ID is (\S+)/m.exec(status)?.[1] ?? '';
    const announced = new Map<string, Announced>();
    const neighbours: Neighbour[] = [];
    for (const name of ospfProtocols(await this.#ask('show protocols'))) {
      readState(await this.#ask(`show ospf state all ${name}`), own, announced);
      neighbours.push(...readNeighbours(await this.#ask(`show ospf neighbors ${name}`)));
    }
    const sessions = /^(\S+)\s+BFD\s/m.test(await this.#ask('show protocols'))
      ? await this.#ask('show bfd sessions')
      : '';
    for (const line of sessions.split('\n')) {
      const found = /^\s*(\S+)\s+(\S+)\s+(Up|Down|Init|AdminDown)\s/.exec(line);
      const one = neighbours.find(({ address }) => address === found?.[1]);
      if (one && found) one.bfd = (found[3] as string).toLowerCase();
    }
    return { version, announced, neighbours };
  }

  async configuration(): Promise<Map<string, string>> {
    const text = await this.#ask('show status');
    // BIRD does not tell its configuration; the usual places do.
    for (const path of ['/etc/bird/bird.conf', '/etc/bird.conf']) {
      try {
        return new Map([['bird', readFileSync(path, 'utf8')]]);
      } catch {
        // The next one.
      }
    }
    return new Map([['bird', text]]);
  }

  close(): void {
    this.#vty?.close();
    this.#vty = undefined;
  }

  async #ask(command: string): Promise<string> {
    const known = this.#vty;
    try {
      this.#vty = known ?? (await openBird(this.#path));
      return await this.#vty.ask(command);
    } catch (error) {
      const fault = error instanceof VtyError ? error.fault : undefined;
      if (fault !== 'command') this.close();
      if (known && fault === 'closed') return await this.#ask(command);
      throw error;
    }
  }
}

function ospfProtocols(text: string): string[] {
  return [...text.matchAll(/^\s*(\S+)\s+OSPF\s.*\sup\s/gm)].map((found) => found[1] as string);
}

/** `show ospf state all NAME`: prefixes of our own router; stub networks of full length are addresses on loopback devices. */
export function readState(text: string, own: string, into: Map<string, Announced>): void {
  let mine = false;
  for (const line of text.split('\n')) {
    const router = /^\s*\t?router (\S+)\s*$/.exec(line);
    if (router) {
      mine = router[1] === own;
      continue;
    }
    if (!mine) continue;
    const found = /^\s*(external|stubnet) (\S+\/(\d+)) metric2? (\d+)/.exec(line);
    if (!found) continue;
    const [, kind, prefix = '', length, metric] = found;
    if (kind === 'stubnet' && length !== '32' && length !== '128') continue;
    into.set(prefix, { kind: kind === 'external' ? 'external' : 'intra_area', metric: Number(metric) });
  }
}

/** `show ospf neighbors NAME`. */
export function readNeighbours(text: string): Neighbour[] {
  const neighbours: Neighbour[] = [];
  for (const line of text.split('\n')) {
    const found = /^\s*(\d+\.\d+\.\d+\.\d+)\s+\d+\s+(\S+?)\/\S+\s+[\d.]+\s+(\S+)\s+(\S+)/.exec(line);
    if (!found) continue;
    const [, routerId = '', state = '', device = '', address = ''] = found;
    neighbours.push({ routerId, state, address, interface: device, family: address.includes(':') ? 6 : 4 });
  }
  return neighbours;
}
