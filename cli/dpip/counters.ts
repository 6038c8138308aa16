import type { DpvsdClient, TableRow } from '../../dpvsd/client.js';
import { Table } from '../../dpvsd/generated/control.js';

/** A named counter of the dataplane: `in`, `forwarded`, `drop.no-service` ... */
export interface Counter {
  name: string;
  help: string;
  /** Of the whole dataplane. */
  sum: number;
  /** By number of the worker. */
  workers: number[];
}

/** Reads all named counters: their sum, which has what the master did as well, and each worker's part. */
export async function readCounters(client: DpvsdClient): Promise<Counter[]> {
  const [sums, parts] = await Promise.all([
    client.list(Table.TABLE_COUNTERS, 'counter'),
    collect(client.get(Table.TABLE_COUNTERS, { perWorker: true })),
  ]);
  const counters = new Map<string, Counter>();
  for (const { name, value, help } of sums) counters.set(name, { name, help, sum: value, workers: [] });
  for (const { worker, row } of parts) {
    if (row.$case !== 'counter' || worker === 0) continue;
    const counter = counters.get(row.value.name);
    if (counter) counter.workers[worker - 1] = row.value.value;
  }
  return [...counters.values()];
}

async function collect(rows: AsyncIterable<TableRow>): Promise<TableRow[]> {
  const all: TableRow[] = [];
  for await (const row of rows) all.push(row);
  return all;
}
