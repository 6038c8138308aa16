import type { DumpKind } from '../keepalived/sidecar.js';
import type { Director } from './director.js';
import { dataOf } from './dump-data.js';
import { jsonOf } from './dump-json.js';
import { statisticsOf } from './dump-statistics.js';
import { noStatistics } from './statistics.js';

/** Instances that are written before adverts get their turn. */
const SLICE = 16;

/** The text that an operator asks for by a signal, in keepalived's layout. */
export async function dump(director: Director, kind: DumpKind): Promise<string> {
  switch (kind) {
    case 'data':
      return (await slices(dataOf(director))).join('');
    case 'json':
      return await jsonOf(director, slices);
    case 'stats':
    case 'stats-clear': {
      const text = (await slices(statisticsOf(director))).join('');
      if (kind === 'stats-clear') for (const router of director.routers) router.statistics = noStatistics();
      return text;
    }
  }
}

/** Makes all parts, with a pause for adverts after every few. */
async function slices<Part>(parts: Iterable<Part>): Promise<Part[]> {
  const all: Part[] = [];
  for (const part of parts) {
    all.push(part);
    if (all.length % SLICE === 0) await new Promise((resolve) => setImmediate(resolve));
  }
  return all;
}
