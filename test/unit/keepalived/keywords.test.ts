import { deepEqual, equal } from 'node:assert/strict';
import { root } from '../../../keepalived/blocks/root.js';
import type { Keyword, Table } from '../../../keepalived/grammar/keyword.js';
import { dpvsKeywords, sharedKeywords, upstreamKeywords } from './keyword-names.js';

/** Every keyword of every block with the way to it. */
function everything(): { path: string; keyword: Keyword<never> }[] {
  const found: { path: string; keyword: Keyword<never> }[] = [];
  const walk = (table: Table<never>, path: string) => {
    for (const keyword of table.keywords.values()) {
      found.push({ path: `${path}/${keyword.name}`, keyword });
      if (keyword.kind === 'block') walk(keyword.table as Table<never>, `${path}/${keyword.name}`);
    }
  };
  walk(root as unknown as Table<never>, '');
  return found;
}

describe('the tables of the language', () => {
  const all = everything();
  const names = new Set(all.map(({ keyword }) => keyword.name));

  it('know every word of upstream and of DPVS', () => {
    const missing = [...sharedKeywords, ...upstreamKeywords, ...dpvsKeywords].filter(
      (name) => !names.has(name),
    );
    deepEqual(missing, []);
  });

  it('have every pair of block and keyword: 531 of upstream, 26 of DPVS alone', () => {
    equal(all.filter(({ keyword }) => keyword.in === undefined || keyword.in === 'upstream').length, 531);
    equal(all.filter(({ keyword }) => keyword.in === 'dpvs').length, 26);
  });

  it('mark as DPVS-only exactly what upstream does not have', () => {
    const marked = new Set(
      all.filter(({ keyword }) => keyword.in === 'dpvs').map(({ keyword }) => keyword.name),
    );
    deepEqual([...marked].sort(), [...dpvsKeywords].sort());
  });

  it('give a reason for each keyword without effect, and a successor for each old name', () => {
    for (const { path, keyword } of all) {
      if (keyword.accepted !== undefined) equal(keyword.accepted.length > 20, true, path);
      if (keyword.warn) equal(typeof keyword.alias, 'string', path);
    }
  });
});
