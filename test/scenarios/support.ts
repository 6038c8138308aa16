import { strict as assert } from 'node:assert';
import { createHash, randomBytes } from 'node:crypto';
import { createWriteStream } from 'node:fs';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { DpvsdClient } from '../../dpvsd/client.js';
import { Table } from '../../dpvsd/generated/control.js';
import { until } from '../../lab/command.js';
import { Lab, type LabOptions } from '../../lab/lab.js';
import { whyNoLab } from '../../lab/needs.js';
import { type Family, families } from '../../lab/plan.js';
import { HTTP_PORT, UDP_PORT, UPLOAD_PORT } from '../../lab/ports.js';
import { type LabRecord, listLabs, removeLab, removeStaleLabs } from '../../lab/registry.js';
import { balanceOf, type Snapshot, Statistics } from '../../lab/statistics.js';
import { failures, type Tally, type Target } from '../../lab/traffic-plan.js';
import { skipBecause } from '../runner/skip.js';

// Ctrl-C or SIGTERM in the midst of a run, perhaps more than once: the labs of this process go with it.
let ending = false;
for (const signal of ['SIGINT', 'SIGTERM'] as const)
  process.on(signal, () => {
    if (ending) return;
    ending = true;
    const own = listLabs().filter(({ pid }) => pid === process.pid);
    void Promise.all(own.map(removeLab)).finally(() => process.exit(1));
  });

/** What the tests of one lab share. */
export interface Stage {
  readonly lab: Lab;
  /** dpvsd's workers, with what each has received. */
  workers(): Promise<{ number: number; rxPackets: number }[]>;
  /** dpvsd's connections, with the address of each one's server. */
  connections(): ReturnType<Statistics['connections']>;
  /** dpvsd's counters now. */
  snapshot(): Promise<Snapshot>;
  /** As mocha's `it`; a failure tells what dpvsd said and counted. */
  it(title: string, body: () => Promise<void>): void;
}

/**
 * A group of tests on a lab of its own: a director with its addresses and, unless told otherwise, HTTP, UDP and upload
 * services of both families on all servers. At the end dpvsd must still run and every packet must be accounted for.
 */
export function onLab(
  options: LabOptions & { services?: boolean; programs?: string[] },
  body: (stage: Stage) => void,
): void {
  describe(options.title, () => {
    let lab: Lab | undefined;
    let statistics: Statistics | undefined;
    const stage: Stage = {
      get lab() {
        assert.ok(lab);
        return lab;
      },
      async snapshot() {
        assert.ok(statistics);
        return await statistics.read();
      },
      async workers() {
        assert.ok(statistics);
        return await statistics.workers();
      },
      async connections() {
        assert.ok(statistics);
        return await statistics.connections();
      },
      it(title, test) {
        it(title, async () => {
          try {
            await test();
          } catch (error) {
            if (error instanceof Error) error.stack += await witness(stage);
            throw error;
          }
        });
      },
    };

    before(async function () {
      const reason = await whyNoLab(options.programs);
      if (reason) skipBecause(this, reason);
      await removeStaleLabs();
      lab = await Lab.create(options);
      statistics = new Statistics(lab.record.ipc);
      await lab.startDirector();
      if (options.services !== false) await addServices(lab);
    });

    body(stage);

    stage.it('accounts for every packet: in = forwarded + kernel + local + held + drops', async () => {
      assert.equal(stage.lab.director.ended, undefined);
      await balanced(stage);
    });

    after(async () => {
      statistics?.close();
      await lab?.close();
    });
  });
}

/** Waits until the counters that dpip tells add up: workers are read one after the other, while ARP and ND go on. */
export async function balanced(stage: Stage): Promise<void> {
  await until(
    'counters that add up',
    async () => {
      const text = await stage.lab.director.dpip(['-s', '--json', 'link', 'show']);
      const { counters } = JSON.parse(text) as { counters: { name: string; sum: number }[] };
      const off = balanceOf(counters.map(({ name, sum }) => ({ name, value: sum })));
      if (off) throw new Error(off);
      return true;
    },
    { limit: 10_000, every: 200 },
  );
}

/** What dpvsd said and counted, for the report of a failure. */
async function witness(stage: Stage): Promise<string> {
  const { director } = stage.lab;
  const lines = [`\n    dpvsd: ${director.ended ?? 'running'}`];
  const said = director.said();
  if (said) lines.push(...said.split('\n').slice(-15));
  try {
    const { counters, servers } = await stage.snapshot();
    const counted = counters.filter(({ value }) => value > 0);
    lines.push(counted.map(({ name, value }) => `${name} ${value}`).join(', '));
    for (const server of servers)
      lines.push(
        `${server.protocol} ${server.address}:${server.port} connections ${server.connections} in ${server.inPackets} out ${server.outPackets}`,
      );
  } catch (error) {
    lines.push(`no counters: ${(error as Error).message}`);
  }
  return lines.join('\n        ');
}

/** HTTP, UDP and upload services of both families on all servers of the lab. */
export async function addServices(lab: Lab, options?: { scheduler?: string }): Promise<void> {
  const lines = families.flatMap((family) => [
    ...lab.serviceLines(family, 't', HTTP_PORT, options),
    ...lab.serviceLines(family, 't', UPLOAD_PORT, options),
    ...lab.serviceLines(family, 'u', UDP_PORT, options),
  ]);
  await restore(lab, lines);
}

/** Applies lines of ipvsadm in one go. */
export async function restore(lab: Lab, lines: readonly string[]): Promise<void> {
  await lab.director.ipvsadm(['-R'], { input: lines.map((line) => `${line}\n`).join('') });
}

/** The page's address in a family. */
export function url(lab: Lab, family: Family, path = '/', port = HTTP_PORT): string {
  return `http://${lab.virtual(family, port)}${path}`;
}

/** HTTP and UDP targets of both families at the virtual address. */
export function everyTarget(lab: Lab): Target[] {
  return families.flatMap((family): Target[] => [
    { kind: 'http', url: url(lab, family) },
    { kind: 'udp', address: lab.plan.virtual[family], port: UDP_PORT },
  ]);
}

/** Fetches the page `count` times with curl, one connection each. @returns how often each server answered */
export async function fetchPages(lab: Lab, family: Family, count: number): Promise<Map<string, number>> {
  const pages = await lab.client.run([
    'curl',
    '-sS',
    // A connection for each number of the range.
    '-H',
    'Connection: close',
    '--max-time',
    '20',
    `${url(lab, family)}?[1-${count}]`,
  ]);
  const answers = new Map<string, number>();
  for (const name of pages.trimEnd().split('\n')) answers.set(name, (answers.get(name) ?? 0) + 1);
  return answers;
}

/** Puts a file of random bytes where every server of the lab serves it. @returns its path and SHA-256 */
export async function randomFile(
  lab: { readonly record: LabRecord },
  name: string,
  size: number,
): Promise<{ path: string; sha256: string }> {
  const path = join(lab.record.folder, 'shared', name);
  const hash = createHash('sha256');
  const file = createWriteStream(path);
  for (let left = size; left > 0; ) {
    const block = randomBytes(Math.min(left, 1 << 20));
    hash.update(block);
    if (!file.write(block)) await new Promise<void>((resolve) => file.once('drain', () => resolve()));
    left -= block.length;
  }
  file.end();
  await finished(file);
  return { path, sha256: hash.digest('hex') };
}

/**
 * Services and servers of a dataplane as lines, without counters: what the health checker puts in.
 * @throws when it does not answer
 */
export async function standingServices(ipc: string): Promise<string[]> {
  return await standing(ipc, [Table.TABLE_SERVICES]);
}

/**
 * Everything that somebody has put into a dataplane, as lines: services, servers, local addresses, addresses, routes; no counters.
 * @throws when it does not answer
 */
export async function standing(
  ipc: string,
  tables = [Table.TABLE_SERVICES, Table.TABLE_LOCAL_ADDRESSES, Table.TABLE_ADDRESSES, Table.TABLE_ROUTES],
): Promise<string[]> {
  const client = await DpvsdClient.connect({ path: ipc, client: 'test' });
  const lines: string[] = [];
  try {
    for (const table of tables)
      for await (const { row } of client.get(table)) {
        const { $case, value } = row;
        const put =
          $case === 'service'
            ? value.service
            : $case === 'server'
              ? value.server
              : $case === 'localAddress'
                ? value.local
                : $case === 'address'
                  ? value.address
                  : value;
        const text = JSON.stringify(put, (_key, each) =>
          each instanceof Uint8Array ? Buffer.from(each).toString('hex') : each,
        );
        lines.push(`${$case} ${text}`);
      }
  } finally {
    client.close();
  }
  return lines.sort();
}

/** No request failed, and there were some. */
export function assertAllAnswered(tally: Tally, least = 1): void {
  assert.equal(
    failures(tally),
    0,
    `${failures(tally)} of ${tally.requests} requests failed: ${JSON.stringify([...tally.errors])}`,
  );
  assert.ok(tally.requests >= least, `only ${tally.requests} requests were made, expected ${least}`);
}

/** Names of the servers that answered, sorted. */
export function names(answers: ReadonlyMap<string, number>): string[] {
  return [...answers.keys()].sort();
}

/** Seconds as milliseconds. */
export const seconds = (count: number): Promise<void> =>
  new Promise((resolve) => setTimeout(resolve, count * 1000));
