import { Readable } from 'node:stream';
import { dpip } from '../../../cli/dpip/run.js';
import { ipvsadm } from '../../../cli/ipvsadm/run.js';
import type { Sink } from '../../../cli/output.js';
import { DpvsdClient } from '../../../dpvsd/client.js';

export interface Outcome {
  code: number;
  stdout: string;
  stderr: string;
}

/** Collects what a program writes. */
export class Collector implements Sink {
  text = '';
  isTTY = false;
  write(text: string): boolean {
    this.text += text;
    return true;
  }
  once(): this {
    return this;
  }
}

/** Runs ipvsadm in this process against the daemon at a socket. */
export async function runIpvsadm(path: string, args: string | string[], stdin = ''): Promise<Outcome> {
  const stdout = new Collector();
  const stderr = new Collector();
  const code = await ipvsadm(
    typeof args === 'string' ? args.split(' ').filter((word) => word !== '') : args,
    {
      stdin: Readable.from([stdin]),
      stdout,
      stderr,
      connect: () => DpvsdClient.connect({ path, client: 'ipvsadm' }),
    },
  );
  return { code, stdout: stdout.text, stderr: stderr.text };
}

/** A small deterministic generator of random numbers (mulberry32), so that a failing seed can be run again. */
export class Random {
  #state: number;
  constructor(seed: number) {
    this.#state = seed >>> 0;
  }
  /** 0 <= x < 1. */
  next(): number {
    this.#state = (this.#state + 0x6d2b79f5) >>> 0;
    let t = this.#state;
    t = Math.imul(t ^ (t >>> 15), t | 1);
    t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
    return ((t ^ (t >>> 14)) >>> 0) / 4294967296;
  }
  /** A whole number from least to most. */
  within(least: number, most: number): number {
    return least + Math.floor(this.next() * (most - least + 1));
  }
  chance(probability: number): boolean {
    return this.next() < probability;
  }
  pick<T>(values: readonly T[]): T {
    return values[this.within(0, values.length - 1)]!;
  }
}

/** Runs dpip in this process against the daemon at a socket; `between` runs before each wait. */
export async function runDpip(path: string, args: string | string[], between = () => {}): Promise<Outcome> {
  const stdout = new Collector();
  const stderr = new Collector();
  const code = await dpip(typeof args === 'string' ? args.split(' ').filter((word) => word !== '') : args, {
    stdout,
    stderr,
    connect: () => DpvsdClient.connect({ path, client: 'dpip' }),
    sleep: async (seconds) => {
      between();
      await new Promise((resolve) => setTimeout(resolve, seconds * 1000));
      return true;
    },
  });
  return { code, stdout: stdout.text, stderr: stderr.text };
}
