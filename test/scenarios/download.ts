import { strict as assert } from 'node:assert';
import { closeSync, existsSync, openSync, readSync, statSync } from 'node:fs';
import { join } from 'node:path';
import { type Running, until } from '../../lab/command.js';
import type { Host } from '../../lab/host.js';
import type { LabRecord } from '../../lab/registry.js';

let count = 0;

/** A download by curl that goes on for as long as things happen: a big file, which servers send slowly below /slow/. */
export class SlowDownload {
  readonly #curl: Running;
  readonly #file: string;

  /** @param source the file that servers send */
  constructor(
    client: Host,
    record: LabRecord,
    readonly url: string,
    readonly source: string,
  ) {
    this.#file = join(record.folder, `download${count++}`);
    this.#curl = client.start(['curl', '-gsSfN', '-o', this.#file, url]);
  }

  get #size(): number {
    return existsSync(this.#file) ? statSync(this.#file).size : 0;
  }

  /** Bytes go on coming by the same connection, and all of them so far are those of the file. */
  async goesOn(): Promise<void> {
    const before = this.#size;
    // TCP waits longer and longer while nothing passes.
    await until(
      `more of ${this.url} (${before} bytes are there)`,
      () => this.#curl.ended !== undefined || this.#size > before + 100_000,
      { limit: 30_000 },
    );
    assert.equal(this.#curl.ended, undefined, `${this.url}: ${this.#curl.output}`);
    const size = this.#size;
    const [got, sent] = [this.#file, this.source].map((path) => {
      const file = openSync(path, 'r');
      const bytes = Buffer.alloc(size);
      readSync(file, bytes, 0, size, 0);
      closeSync(file);
      return bytes;
    });
    assert.ok(got!.equals(sent!), `${this.url}: other bytes than the server's within ${size}`);
  }

  async stop(): Promise<void> {
    await this.#curl.stop();
  }
}
