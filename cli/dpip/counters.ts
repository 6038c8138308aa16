import type { DpvsdClient } from '../../dpvsd/client.js';
import { Table } from '../../dpvsd/generated/control.js';

/** A named counter of the dataplane: `in`, `forwarded`, `drop.no-service` ... */
export interface Counter {
  name: string;
  help: string;
  /** Of all workers together. */
  sum: number;
  /** By number of the worker. */
  workers: number[];
}

/** Reads all named counters, as one sum and per worker, from one look at the table. */
export async function readCounters(client: DpvsdClient): Promise<Counter[]> {
  const counters = new Map<string, Counter>();
  for await (const { worker, row } of client.get(Table.TABLE_COUNTERS, { perWorker: true })) {
    if (row.$case !== 'counter') continue;
    const { name, value, help } = row.value;
    let counter = counters.get(name);
    if (!counter) {
      counter = { name, help, sum: 0, workers: [] };
      counters.set(name, counter);
    }
    counter.sum += value;
    // What is counted outside of the workers has no number; it is in the sum.
    if (worker > 0) counter.workers[worker - 1] = (counter.workers[worker - 1] ?? 0) + value;
  }
  return [...counters.values()];
}
