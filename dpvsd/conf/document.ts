import { items } from './items.js';
import type { Body, Item } from './schema.js';

/** docs/dpvs-conf.md and conf/dpvs.conf.items, made from the table that the parser uses. */

const status = (entry: Item<unknown>): string =>
  entry.without === undefined ? 'effective' : `accepted without effect: ${entry.without}`;

/** A Markdown table in the form that the project's formatter gives it. */
function table([head = [], ...rows]: string[][]): string {
  const widths = head.map((_, i) => Math.max(...[head, ...rows].map((row) => row[i]?.length ?? 0)));
  const line = (cells: string[]) =>
    `| ${cells.map((text, i) => text.padEnd(widths[i] ?? 0)).join(' | ')} |\n`;
  return [line(head), line(widths.map((width) => '-'.repeat(width))), ...rows.map(line)].join('');
}

/** The block's way from the top: `netif_defs / device NAME / rx`. */
function blocks(body: Body, above: string[], heading: (path: string[], body: Body) => void): void {
  for (const [keyword, entry] of Object.entries(body)) {
    if (entry.form === 'item') continue;
    const path = [...above, entry.form === 'group' ? `${keyword} NAME` : keyword];
    heading(path, entry.body);
    blocks(entry.body, path, heading);
  }
}

function about(path: string[]): string {
  let body: Body = items as Body;
  let text = '';
  for (const step of path) {
    const entry = body[step.replace(/ NAME$/, '')];
    if (!entry || entry.form === 'item') throw new Error(`no block ${path.join(' / ')}`);
    text = entry.form === 'group' ? `${entry.about} NAME: ${entry.named}.` : entry.about;
    body = entry.body;
  }
  return text;
}

const preface = `# dpvs.conf

<!-- Made from dpvsd/conf/items.ts by "node dist/dpvsd/conf/write-documents.js"; a test compares. -->

\`/etc/dpvs.conf\`, or the file named by \`-c\`. Files written for DPVS are read as they are. \`bin/dpvsd -t\` checks a file and prints what it
comes to on this machine; [dpvsd.md](dpvsd.md) explains the plan. Samples: \`conf/dpvs.conf.sample\`, \`conf/dpvs.conf.single-nic.sample\`,
\`conf/dpvs.conf.bond.sample\`, \`conf/dpvs.conf.vdev.sample\` (no NIC needed), and \`conf/dpvs.conf.items\` with every item.

## Form

- One item per line: a keyword, then its value. Blocks stand in braces; the brace may follow the keyword or stand on the next line.
- \`!\` or \`#\` at the start of a word begins a comment that ends with the line. Text between \`<\` and \`>\` is a comment too, within one line:
  \`<init> daemon off\` reads \`daemon off\`. Quotes keep blanks together.
- An item may be left out: it then has its default. Written twice, the last one counts, and a warning says so.
- A switch is \`on\` or \`off\` (also yes/no, true/false, enable/disable); its keyword alone means on.
- A list of numbers is divided by blanks or commas; \`0-3\` stands for 0 1 2 3.
- A mistake never falls back to a default: each one is reported as \`file:line: what: why; what to write instead\`, all of them at once.

**At start** items (\`<init>\` in the samples) are fixed when dpvsd starts. The others change while it runs, by \`bin/dpvsd reload\` or
\`kill -HUP\`, which also says which of the changes wait for a restart.

**Status** tells whether an item does something. Items that are accepted without effect keep files of DPVS usable; \`-t\` lists those that
a file sets.
`;

/** The reference of all items, as Markdown. */
export function reference(): string {
  const parts = [preface];
  blocks(items as Body, [], (path, body) => {
    const rows = Object.entries(body).flatMap(([keyword, entry]) =>
      entry.form === 'item' ? [{ keyword, entry }] : [],
    );
    parts.push(`\n${'#'.repeat(Math.min(path.length + 1, 4))} ${path.join(' / ')}\n\n${about(path)}\n`);
    if (rows.length === 0) return;
    const cells = rows.map(({ keyword, entry }) =>
      [
        `\`${keyword}\`${entry.repeats ? ' (repeated)' : ''}`,
        entry.kind.takes,
        entry.fallbackText,
        entry.init ? 'at start' : 'any time',
        entry.about,
        status(entry),
      ].map((text) => text.replaceAll('|', '\\|')),
    );
    parts.push(`\n${table([['item', 'values', 'default', 'changes', 'meaning', 'status'], ...cells])}`);
  });
  return parts.join('');
}

const names: Record<string, string> = { device: 'dpdk0', bonding: 'bond0', worker: 'cpu1', port: 'bond0' };

/** Values for items whose default would not stand in a file by itself. */
const written: Record<string, string> = {
  'device/pci': '0000:06:00.0',
  'bonding/slave': 'dpdk0',
  'worker/cpu_id': '1',
  'port/rx_queue_ids': '0',
  'port/tx_queue_ids': '0',
};

/**
 * A configuration file with every item. Those with a value stand as they are; those without one, and the alternatives of others, are
 * behind `!`.
 */
export function sampleOfAllItems(): string {
  const lines = [
    '! Every item of dpvs.conf with its default and, between < and >, its values. docs/dpvs-conf.md says what each means.',
    '! <init> marks what is fixed at start. Lines behind "!" have no default that could stand here.',
    '! Made from dpvsd/conf/items.ts by "node dist/dpvsd/conf/write-documents.js".',
  ];
  const write = (body: Body, depth: number, parent: string) => {
    const pad = '    '.repeat(depth);
    for (const [keyword, entry] of Object.entries(body)) {
      if (entry.form !== 'item') {
        const name = entry.form === 'group' ? ` ${names[keyword] ?? 'NAME'}` : '';
        if (depth === 0) lines.push('');
        lines.push(`${pad}${entry.init ? '<init> ' : ''}${keyword}${name} {`);
        write(entry.body, depth + 1, keyword);
        lines.push(`${pad}}`);
        continue;
      }
      const given = written[`${parent}/${keyword}`];
      const value = given ?? (entry.fallback === undefined ? '' : entry.kind.write(entry.fallback));
      const off = value === '' ? '! ' : '';
      const mark = entry.init ? '<init> ' : '';
      const left = `${pad}${off}${mark}${keyword}`.padEnd(44);
      const range = `<${entry.kind.takes}${entry.without === undefined ? '' : '; without effect'}>`;
      lines.push(`${left} ${(value || entry.kind.example).padEnd(20)} ${range}`);
    }
  };
  write(items as Body, 0, '');
  return `${lines.join('\n')}\n`;
}
