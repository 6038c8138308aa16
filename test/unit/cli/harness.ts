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
