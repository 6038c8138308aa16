import { isAscii } from 'node:buffer';
import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import type { Dialect, IncludeChecks } from '../model/global.js';
import { Definitions, LONGEST_LINE } from './definitions.js';
import type { Diagnostics } from './diagnostics.js';
import { findIncluded, readInclude, usable } from './include.js';
import { readSequence } from './sequence.js';
import { isBlank, splitWords } from './words.js';

/** Most lines that sequences and multi-line definitions may make altogether: they can be written so that they never end. */
const MOST_MADE = 2_000_000;

/** What the reader is at: a line with at least one character, a brace, or the end of all files. */
export type ItemKind = 'line' | 'open' | 'close' | 'end';

export interface ReaderOptions {
  /** `-i`, compared with the names after `@`. */
  configId: string;
  /** What include lines must satisfy beyond their own letter; `include_check` changes it. */
  includeChecks: IncludeChecks;
  /** Until the file says otherwise. */
  dialect: Dialect;
}

/** A file that is being read. */
interface Source {
  file: string;
  folder: string;
  text: string;
  /** Start of what is not read yet. */
  at: number;
  /** Number of the line that `at` is in, from 1. */
  line: number;
  /** What is to be read before the file goes on; the last entry is the next. */
  pending: Pending[];
}

/** Text that is to be read before the file goes on: the rest of a line after a brace, lines of a multi-line definition. */
type Pending =
  | { kind: 'text'; text: string }
  | { kind: 'define'; names: string[]; values: (string[] | undefined)[] };

const SPACE = 32;
const BANG = 33;
const QUOTE = 34;
const HASH = 35;
const DOLLAR = 36;
const AT = 64;
const BACKSLASH = 92;
const LETTER_I = 105;
const OPEN = 123;
const CLOSE = 125;
const TILDE = 126;

/** The use of a name in braces that is still there after substitution. */
const UNDEFINED = /^\$\{[A-Za-z_][A-Za-z0-9_]*\}/;

/** Nested includes; a file that includes itself would never end. */
const DEEPEST = 50;

/** Rounds of substitution of one line; `$A=$A` would never end. */
const MOST_ROUNDS = 500;

/**
 * The lexical layer of keepalived.conf: physical lines, comments, conditions, definitions, sequences and includes go in, a flat
 * run of lines and braces comes out, each with its words. Nearly all lines of a big file contain none of the special characters
 * and take a short way that looks at each character once.
 */
export class Reader {
  kind: ItemKind = 'end';
  /** Words of the line, standard splitting; empty for braces. */
  words: string[] = [];
  /** A quote of the line is not closed; what follows it is lost. */
  unmatched = false;
  readonly definitions: Definitions;
  readonly diagnostics: Diagnostics;
  readonly #configId: string;
  readonly includeChecks: IncludeChecks;
  dialect: Dialect;
  #sources: Source[] = [];
  #unread = false;
  #made = 0;
  #text: string | undefined;
  #textStart = 0;
  #textEnd = 0;
  #textSource: Source | undefined;
  #file = '';
  #line = 0;
  /** Names of all files that were read, in order. */
  readonly files: string[] = [];

  constructor(options: ReaderOptions, diagnostics: Diagnostics) {
    this.#configId = options.configId;
    this.includeChecks = options.includeChecks;
    this.dialect = options.dialect;
    this.diagnostics = diagnostics;
    this.definitions = new Definitions(
      { configId: options.configId, folder: () => this.folder },
      diagnostics,
    );
    diagnostics.place = () => (this.#file === '' ? undefined : this.place);
  }

  /** Where the current item stands. */
  get place(): { file: string; line: number } {
    return { file: this.#file, line: this.#line };
  }

  /** Folder of the file that is being read; relative names start from here. */
  get folder(): string {
    return this.#sources[this.#sources.length - 1]?.folder ?? process.cwd();
  }

  /** The current line as written (after substitution), for keywords that split it in their own way. */
  get text(): string {
    this.#text ??= this.#textSource?.text.slice(this.#textStart, this.#textEnd) ?? '';
    return this.#text;
  }

  /**
   * Begins with a file (or text in its place).
   * @returns false when the file cannot be read as configuration, which is reported
   */
  open(file: string, text?: string): boolean {
    if (text === undefined) {
      if (!usable(file, this.includeChecks.read, 'configuration file', this.diagnostics)) return false;
      return this.#enter(file);
    }
    this.#push(file, text);
    return true;
  }

  /** The file that was opened has not one character. */
  get blank(): boolean {
    return this.#sources[0]?.text === '';
  }

  /** The current item is returned by the next call of next() again. */
  unread(): void {
    this.#unread = true;
  }

  /** Goes to the next item. @returns its kind */
  next(): ItemKind {
    if (this.#unread) {
      this.#unread = false;
      return this.kind;
    }
    for (;;) {
      const source = this.#sources[this.#sources.length - 1];
      if (!source) {
        this.words = [];
        this.#text = '';
        return this.#is('end');
      }
      const pending = source.pending.pop();
      if (pending) {
        if (pending.kind === 'text') {
          if (this.#logical(pending.text, source)) return this.kind;
        } else {
          for (const [index, name] of pending.names.entries())
            this.definitions.restore(name, pending.values[index]);
        }
        continue;
      }
      if (source.at >= source.text.length) {
        this.#sources.pop();
        continue;
      }
      this.#file = source.file;
      this.#line = source.line;
      const found = this.#plain(source);
      if (found === true) return this.kind;
      if (found === false) continue;
      const physical = this.#physical(source);
      if (physical !== undefined && this.#logical(physical, source)) return this.kind;
    }
  }

  #is(kind: ItemKind): ItemKind {
    this.kind = kind;
    return kind;
  }

  /**
   * The short way through a line (or what is left of it after a brace).
   * @returns true: an item was found; false: the line had none; undefined: the line has something special, nothing was consumed
   */
  #plain(source: Source): boolean | undefined {
    const { text } = source;
    const begin = source.at;
    let end = text.indexOf('\n', begin);
    if (end < 0) end = text.length;
    if (end - begin >= LONGEST_LINE) return undefined;
    let at = begin;
    while (at < end && isBlank(text.charCodeAt(at))) at++;
    if (at === end) {
      source.at = end + 1;
      source.line++;
      return false;
    }
    const first = text.charCodeAt(at);
    if (first === OPEN || first === CLOSE) {
      source.at = at + 1;
      this.words = [];
      this.#is(first === OPEN ? 'open' : 'close');
      this.#text = first === OPEN ? '{' : '}';
      return true;
    }
    if (first === AT || first === TILDE || first === HASH || first === BANG) {
      if (first === AT || first === TILDE) return undefined;
      source.at = end + 1;
      source.line++;
      return false;
    }
    if (first === LETTER_I && text.startsWith('include', at)) return undefined;
    const words: string[] = [];
    const start = at;
    let word = at;
    let last = at;
    for (; at < end; at++) {
      const code = text.charCodeAt(at);
      if (code > BACKSLASH && code < OPEN) continue;
      if (code <= SPACE) {
        if (isBlank(code)) {
          if (at > word) words.push(text.slice(word, at));
          if (at > word) last = at;
          word = at + 1;
          continue;
        }
        if (code === 0) return undefined;
        continue;
      }
      if (code === OPEN || code === CLOSE) break;
      if (code === HASH || code === BANG) {
        // A comment: nothing before it was quoted, or we would not have come here.
        if (at > word) words.push(text.slice(word, at));
        if (at > word) last = at;
        word = end;
        at = end;
        break;
      }
      if (code === QUOTE || code === DOLLAR || code === BACKSLASH) return undefined;
    }
    if (at > word) {
      words.push(text.slice(word, at));
      last = at;
    }
    if (at >= end) {
      source.at = end + 1;
      source.line++;
    } else {
      source.at = at;
    }
    this.words = words;
    this.unmatched = false;
    this.#text = undefined;
    this.#textSource = source;
    this.#textStart = start;
    this.#textEnd = last;
    this.#is('line');
    return true;
  }

  /** Takes the rest of the physical line and cleans it. @returns undefined when nothing is left of it */
  #physical(source: Source): string | undefined {
    let end = source.text.indexOf('\n', source.at);
    if (end < 0) end = source.text.length;
    if (end - source.at >= LONGEST_LINE) {
      this.diagnostics.report('error', 'line too long - ignoring');
      source.at += LONGEST_LINE;
      return undefined;
    }
    const raw = source.text.slice(source.at, end);
    source.at = end + 1;
    source.line++;
    if (raw.includes('\0')) {
      this.diagnostics.report('error', 'line contains a NUL character - ignoring');
      return undefined;
    }
    return clean(raw, this.diagnostics);
  }

  /** Works on one cleaned line until an item comes out of it. @returns false when there is none */
  #logical(line: string, source: Source): boolean {
    let text = line;
    for (let round = 0; ; round++) {
      text = text.trim();
      if (text === '') return false;
      if (text.charCodeAt(0) === AT) {
        const kept = this.#condition(text);
        if (kept === undefined) return false;
        text = kept;
      }
      if (this.#definition(text, source)) return false;
      if (text.charCodeAt(0) === TILDE && this.#made > MOST_MADE) return false;
      const sequence = readSequence(
        text,
        (inner) => this.definitions.substitute(inner).text,
        this.diagnostics,
      );
      if (sequence === 'wrong') return false;
      if (sequence) {
        this.#repeat(sequence.variables, sequence.rows, sequence.rest, source);
        return false;
      }
      if (!text.includes('$')) break;
      if (round >= MOST_ROUNDS) {
        this.diagnostics.report('error', 'a definition refers to itself: the line is ignored');
        return false;
      }
      const { text: result, replaced, further } = this.definitions.substitute(text);
      if (!replaced) break;
      if (!this.#mayMake(further.length)) return false;
      for (const more of further.reverse()) source.pending.push({ kind: 'text', text: more });
      text = clean(result, this.diagnostics) ?? '';
    }
    const include = text.charCodeAt(0) === LETTER_I ? readInclude(text, this.includeChecks) : undefined;
    if (include) {
      const names = findIncluded(include, this.folder, this.dialect !== 'upstream', this.diagnostics);
      if (this.#sources.length >= DEEPEST) {
        this.diagnostics.report(
          'error',
          `${include.keyword}: files are included more than ${DEEPEST} deep, not read`,
        );
        return false;
      }
      // The last one waits below the others.
      for (const name of names.reverse()) this.#enter(name);
      return false;
    }
    return this.#split(text, source);
  }

  #enter(file: string): boolean {
    let text: string;
    try {
      text = readText(file);
    } catch (error) {
      this.diagnostics.report(
        this.includeChecks.read ? 'file-not-found' : 'note',
        `'${file}' cannot be read: ${(error as Error).message}`,
      );
      return false;
    }
    this.#push(file, text);
    return true;
  }

  #push(file: string, text: string): void {
    this.#sources.push({ file, folder: dirname(resolve(file)), text, at: 0, line: 1, pending: [] });
    this.files.push(file);
  }

  /** `@ID rest` and `@^ID rest`. @returns the rest, or undefined when the line is not for us */
  #condition(text: string): string | undefined {
    const match = /^@(\^?)(\S*)\s*(.*)$/.exec(text);
    if (!match || match[3] === '') return undefined;
    const same = match[2] === this.#configId;
    return same === (match[1] === '') ? match[3] : undefined;
  }

  /** `$NAME=value`, with further lines when the value ends in a backslash. @returns whether the line was one */
  #definition(text: string, source: Source): boolean {
    const match = /^\$([A-Za-z_][A-Za-z0-9_]*)=[ \t]*(.*)$/.exec(text);
    if (!match) return false;
    const lines = [match[2] as string];
    while (lines[lines.length - 1]?.endsWith('\\')) {
      lines[lines.length - 1] = (lines[lines.length - 1] as string).slice(0, -1).trimEnd();
      const more = this.#nextCleaned(source);
      if (more === undefined) break;
      lines.push(more);
    }
    this.definitions.define(match[1] as string, lines);
    return true;
  }

  /** The next line that is not empty, cleaned but not looked into. */
  #nextCleaned(source: Source): string | undefined {
    const pending = source.pending[source.pending.length - 1];
    if (pending) {
      if (pending.kind !== 'text') return undefined;
      source.pending.pop();
      return pending.text.trim();
    }
    while (source.at < source.text.length) {
      const cleaned = this.#physical(source);
      if (cleaned !== undefined) return cleaned;
    }
    return undefined;
  }

  #repeat(variables: string[], rows: string[][], rest: string, source: Source): void {
    if (!this.#mayMake(rows.length)) return;
    const before = variables.map((name) => this.definitions.get(name));
    source.pending.push({ kind: 'define', names: variables, values: before });
    for (let index = rows.length - 1; index >= 0; index--) {
      source.pending.push({ kind: 'text', text: rest });
      source.pending.push({ kind: 'define', names: variables, values: rows[index]!.map((value) => [value]) });
    }
  }

  /** Whether so many more lines may be made; said once when not. */
  #mayMake(count: number): boolean {
    const before = this.#made;
    this.#made += count;
    if (this.#made <= MOST_MADE) return true;
    if (before <= MOST_MADE) {
      this.diagnostics.report(
        'error',
        `sequences and definitions make more than ${MOST_MADE} lines, the rest of them is left out`,
      );
    }
    return false;
  }

  /** Cuts at the first brace outside double quotes; what follows it is read as a line of its own later. */
  #split(text: string, source: Source): boolean {
    let quoted = false;
    for (let at = 0; at < text.length; at++) {
      const code = text.charCodeAt(at);
      if (code === QUOTE) quoted = !quoted;
      else if (code === DOLLAR && text.charCodeAt(at + 1) === OPEN && UNDEFINED.test(text.slice(at))) {
        // keepalived would tear this apart at its braces and close the block around it.
        const use = UNDEFINED.exec(text.slice(at))![0];
        this.diagnostics.report('error', `there is no definition for ${use}`);
        at += use.length - 1;
      } else if (!quoted && (code === OPEN || code === CLOSE)) {
        const before = text.slice(0, at).trim();
        const after = text.slice(at + 1).trim();
        if (after !== '') source.pending.push({ kind: 'text', text: after });
        if (before !== '') {
          source.pending.push({ kind: 'text', text: text[at] as string });
          return this.#asLine(before);
        }
        this.words = [];
        this.#text = text[at] as string;
        this.#is(code === OPEN ? 'open' : 'close');
        return true;
      }
    }
    return this.#asLine(text);
  }

  #asLine(text: string): boolean {
    const { words, unmatched } = splitWords(text);
    if (words.length === 0) return false;
    this.unmatched = unmatched;
    this.words = words;
    this.#text = text;
    this.#is('line');
    return true;
  }
}

/** A file's text. Names and scripts may be UTF-8; nearly all files are ASCII, which decodes several times faster. */
function readText(file: string): string {
  const bytes = readFileSync(file);
  return isAscii(bytes) ? bytes.toString('latin1') : bytes.toString('utf8');
}

/**
 * Removes blanks at both ends and comments. `#` and `!` begin a comment anywhere outside double quotes unless a backslash stands
 * before them (which is removed then).
 * @returns undefined when nothing is left
 */
export function clean(raw: string, diagnostics: Diagnostics): string | undefined {
  let text = raw.trim();
  let quoted = false;
  for (let at = 0; at < text.length; at++) {
    const code = text.charCodeAt(at);
    if (code === BACKSLASH) {
      const following = text.charCodeAt(at + 1);
      if (!quoted && (following === HASH || following === BANG))
        text = text.slice(0, at) + text.slice(at + 1);
      else at++;
    } else if (code === QUOTE) {
      quoted = !quoted;
    } else if (!quoted && (code === HASH || code === BANG)) {
      text = text.slice(0, at);
      break;
    }
  }
  if (quoted) diagnostics.report('unmatched-quote', `Unterminated quote in '${text}'`);
  text = text.trimEnd();
  // A continuation mark stands directly after the last word.
  const mark = /[ \t]+\\$/.exec(text);
  if (mark) text = `${text.slice(0, mark.index)}\\`;
  return text === '' ? undefined : text;
}
