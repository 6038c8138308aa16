import type { Diagnostics } from './diagnostics.js';

/** A line that is to be read once for each of several settings of its variables. */
export interface Expansion {
  variables: string[];
  /** One row per repetition, one value per variable. */
  rows: string[][];
  rest: string;
}

/** More repetitions than any real file has; protects against `~SEQ(i, 1, 4000000000)`. */
const MOST = 200_000;

/** strtol with base 0: decimal, 0x hexadecimal, 0 octal. */
function integer(text: string): number | undefined {
  const match = /^([+-]?)(0[xX][0-9a-fA-F]+|0[0-7]*|[1-9][0-9]*)$/.exec(text);
  if (!match) return undefined;
  const digits = match[2] as string;
  const value = /^0[0-7]+$/.test(digits) ? Number.parseInt(digits, 8) : Number(digits);
  return match[1] === '-' ? -value : value;
}

function sequence(name: string, words: string[], hexadecimal: boolean, rest: string): Expansion | string {
  const numbers = words.map(integer);
  if (numbers.length < 1 || numbers.length > 3) return 'takes 1 to 3 numbers after the name';
  if (numbers.some((number) => number === undefined)) return `takes numbers, not '${words.join(', ')}'`;
  const values = numbers as number[];
  const end = values[values.length - 1] as number;
  const start = values.length > 1 ? (values[0] as number) : end < 0 ? -1 : 1;
  const step = values.length === 3 ? (values[1] as number) : start <= end ? 1 : -1;
  if (step === 0 || (end - start) * step < 0) return `cannot go from ${start} to ${end} in steps of ${step}`;
  if (hexadecimal && (start < 0 || end < 0)) return 'cannot write negative numbers in hexadecimal';
  const count = Math.floor((end - start) / step) + 1;
  if (count > MOST) return `would repeat the line ${count} times; ${MOST} is the limit`;
  const rows = Array.from({ length: count }, (_, index) => [
    (start + index * step).toString(hexadecimal ? 16 : 10),
  ]);
  return { variables: [name], rows, rest };
}

/** Splits at commas outside braces; a group in braces becomes a list of its own. */
function listItems(text: string): string[][] | undefined {
  const items: string[][] = [];
  let at = 0;
  while (at <= text.length) {
    const braced = /^\s*\{([^{}]*)\}\s*(?:,|$)/.exec(text.slice(at));
    if (braced) {
      items.push((braced[1] as string).split(',').map((item) => item.trim()));
      at += braced[0].length;
      if (at >= text.length && !braced[0].endsWith(',')) break;
      continue;
    }
    const comma = text.indexOf(',', at);
    const item = (comma < 0 ? text.slice(at) : text.slice(at, comma)).trim();
    if (/[{}]/.test(item)) return undefined;
    items.push([item]);
    if (comma < 0) break;
    at = comma + 1;
  }
  return items;
}

function list(text: string, rest: string): Expansion | string {
  const items = listItems(text);
  const [variables, ...rows] = items ?? [];
  if (!items || !variables) return 'has unbalanced braces';
  if (rows.length === 0) return 'has no values';
  if (variables.some((name) => !/^[A-Za-z_][A-Za-z0-9_]*$/.test(name)))
    return `has a bad name in '${variables.join(',')}'`;
  if (rows.some((row) => row.length > variables.length)) return 'has more values than names';
  return { variables, rows: rows.map((row) => variables.map((_, index) => row[index] ?? '')), rest };
}

/**
 * Reads a line that begins with `~SEQ(...)`, `~SEQx(...)` or `~LST(...)`.
 * @returns what to repeat; undefined when the line is none of these or is wrong (which is reported)
 */
export function readSequence(
  text: string,
  substitute: (text: string) => string,
  diagnostics: Diagnostics,
): Expansion | 'wrong' | undefined {
  const head = /^~(SEQx?|LST)\s*\(/.exec(text);
  if (!head) return undefined;
  const end = text.indexOf(')', head[0].length);
  const kind = head[1] as string;
  if (end < 0) {
    diagnostics.report('error', `~${kind} without closing ')'`, `~${kind}`);
    return 'wrong';
  }
  const inner = substitute(text.slice(head[0].length, end));
  const rest = text.slice(end + 1).trimStart();
  let made: Expansion | string;
  if (kind === 'LST') {
    made = list(inner, rest);
  } else {
    const [name = '', ...words] = inner.split(',').map((word) => word.trim());
    made = /^[A-Za-z_][A-Za-z0-9_]*$/.test(name)
      ? sequence(name, words, kind === 'SEQx', rest)
      : `has a bad name '${name}'`;
  }
  if (typeof made !== 'string') return made;
  diagnostics.report('error', `~${kind} ${made}`, `~${kind}`);
  return 'wrong';
}
