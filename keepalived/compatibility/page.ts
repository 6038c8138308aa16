import { root } from '../blocks/root.js';
import type { Keyword, Table } from '../grammar/keyword.js';
import { differences, improvements } from './differences.js';

/** Text for a cell of a Markdown table. */
function cell(text: string): string {
  return text.replaceAll('|', '\\|').replaceAll('<', '&lt;');
}

/** Blocks whose keywords are the same as those of another one. */
function sections(): { path: string; table: Table<never> }[] {
  const found: { path: string; table: Table<never> }[] = [];
  const walk = (table: Table<never>, path: string) => {
    found.push({ path, table });
    for (const keyword of table.keywords.values()) {
      if (keyword.kind === 'block')
        walk(keyword.table as Table<never>, path === '' ? keyword.name : `${path} / ${keyword.name}`);
    }
  };
  walk(root as unknown as Table<never>, '');
  return found;
}

const origins = { upstream: 'upstream', dpvs: 'DPVS', ours: 'here only' } as const;

function row(keyword: Keyword<never>): string {
  const notes: string[] = [];
  if (keyword.alias) notes.push(`old name of \`${keyword.alias}\``);
  if (keyword.accepted) notes.push(keyword.accepted);
  if (keyword.note) notes.push(keyword.note);
  const status = keyword.accepted ? 'accepted' : 'implemented';
  const argument = keyword.kind === 'block' ? `${keyword.args} { ... }`.trim() : keyword.args;
  const cells = [
    `\`${keyword.name}\``,
    argument === '' ? '' : `\`${argument}\``,
    keyword.default ?? '',
    keyword.in ? origins[keyword.in] : 'both',
    status,
    notes.join('; '),
  ];
  return `| ${cells.map(cell).join(' | ')} |`;
}

/** docs/compatibility.md, made from the tables that the parser itself uses. */
export function compatibilityPage(): string {
  const all = sections();
  const keywords = all.flatMap(({ table }) => [...table.keywords.values()]);
  const count = (test: (keyword: Keyword<never>) => boolean) => keywords.filter(test).length;
  const lines = [
    '# Compatibility with keepalived and DPVS',
    '',
    '<!-- Made by `node dist/keepalived/compatibility/main.js` from the tables of the parser; a test compares. -->',
    '',
    `The language of keepalived.conf here is the union of upstream keepalived 2.4.3 and of the keepalived that DPVS ships: ${count((keyword) => keyword.in === undefined || keyword.in === 'upstream')} pairs of block and keyword of upstream, ${count((keyword) => keyword.in === 'dpvs')} that only DPVS has, ${count((keyword) => keyword.in === 'ours')} of our own. ${count((keyword) => keyword.accepted === undefined)} of them are implemented; ${count((keyword) => keyword.accepted !== undefined)} are accepted without effect, each with the reason, which is also said when a file that has them is read.`,
    '',
    '## Exit codes of `-t`',
    '',
    "A file that Debian's keepalived 2.2.7 checks with a certain exit code has the same one here, on all of its sample files and on nearly every keyword with good, bad, missing and repeated arguments. These are the differences; a test runs both programs on each of these examples.",
    '',
    '| what | 2.2.7 | here | why |',
    '|---|---|---|---|',
    ...differences.map((one) => `| ${cell(one.title)} | ${one.theirs} | ${one.ours} | ${cell(one.reason)} |`),
    '',
    '## Deliberate differences',
    '',
    ...improvements.map((one) => `* **${one.title}.** ${one.text}`),
    '',
    '## Keywords',
    '',
    'Columns: *in* says whose keyword it is (`both`: upstream and DPVS). `[...]` is optional, `BOOL` is one of on, true, yes, off, false, no.',
    '',
  ];
  for (const { path, table } of all) {
    lines.push(`### ${path === '' ? 'Root level' : path}`, '');
    lines.push('| keyword | argument | default | in | status | note |', '|---|---|---|---|---|---|');
    for (const keyword of table.keywords.values()) lines.push(row(keyword));
    lines.push('');
  }
  return `${lines.join('\n').trimEnd()}\n`;
}
