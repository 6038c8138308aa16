import { readFileSync } from 'node:fs';
import { writeSafely } from '../keepalived/safe-file.js';

/**
 * What operators have put aside: remembered beside the control socket, so that a bridge that starts again goes on as it was told. A reboot
 * forgets it.
 */
export class Drained {
  readonly addresses = new Map<string, 'metric' | 'withdraw'>();
  /** Why what was remembered could not be read. */
  readonly problem: string | undefined;
  /** Whether there was something to read. */
  readonly known: boolean;
  readonly #path: string;

  /** @param socket the bridge's control socket */
  constructor(socket: string) {
    this.#path = `${socket}.drained`;
    let known = false;
    try {
      const found: unknown = JSON.parse(readFileSync(this.#path, 'utf8'));
      if (typeof found !== 'object' || found === null || Array.isArray(found))
        throw new Error(`${this.#path} holds something else`);
      for (const [address, how] of Object.entries(found))
        this.addresses.set(address, how === 'withdraw' ? 'withdraw' : 'metric');
      known = true;
    } catch (error) {
      const { code, message } = error as NodeJS.ErrnoException;
      if (code !== 'ENOENT')
        this.problem = error instanceof SyntaxError ? `${this.#path}: ${message}` : message;
    }
    this.known = known;
  }

  /** @throws when it cannot be written: then it is not remembered */
  save(): void {
    writeSafely(this.#path, `${JSON.stringify(Object.fromEntries(this.addresses))}\n`);
  }
}
