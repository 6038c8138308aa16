import { readFileSync } from 'node:fs';
import { writeSafely } from '../keepalived/safe-file.js';

/**
 * What operators have put aside: remembered beside the control socket, so that a bridge that starts again goes on as it was told. A reboot
 * forgets it.
 */
export class Drained {
  readonly addresses: Map<string, 'metric' | 'withdraw'>;
  readonly #path: string;

  constructor(socket: string) {
    this.#path = `${socket}.drained`;
    this.addresses = read(this.#path);
  }

  /** @throws when it cannot be written: then it is not remembered */
  save(): void {
    writeSafely(this.#path, `${JSON.stringify(Object.fromEntries(this.addresses))}\n`);
  }
}

function read(path: string): Map<string, 'metric' | 'withdraw'> {
  try {
    const found = Object.entries(JSON.parse(readFileSync(path, 'utf8')) as Record<string, string>);
    return new Map(found.map(([address, how]) => [address, how === 'withdraw' ? 'withdraw' : 'metric']));
  } catch {
    return new Map();
  }
}
