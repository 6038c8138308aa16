import { type Diagnostics, didYouMean, type FindingKind } from './diagnostics.js';
import type { Reader } from './reader.js';

/** The parts of the suite that a keyword concerns; a part that is switched off does not read its blocks. */
export type Subsystem = 'vrrp' | 'checker' | 'bfd';

/** What a keyword of the configuration language is, besides how it is read; docs/compatibility.md is made from this. */
export interface Spec {
  /** Who has it: both, only upstream keepalived (2.4), only DPVS, only this project. Default both. */
  in?: 'upstream' | 'dpvs' | 'ours';
  /** Read and kept, but without effect, for this reason. */
  accepted?: string;
  /** An old name of another keyword. `warn`: its use is reported as deprecated, `mention`: without an effect on exit codes. */
  alias?: string;
  warn?: boolean | 'mention';
  default?: string;
  /** What else should be known, for the documentation. */
  note?: string;
}

/** How the arguments of a keyword are read. */
export interface Shape<V> {
  /** For the documentation: `1..255`, `IP`, `[BOOL]`. */
  text: string;
  /** Arguments that must be there; a file with fewer is refused as a whole, as keepalived does. */
  least: number;
  /** Splits the line by itself, so that the standard splitting may fail at its quotes. */
  quoted?: boolean;
  /** @returns undefined when there is no usable value (which has been reported then) */
  read(line: Line): V | undefined;
}

/** The line that is being read, for messages and for shapes. One object serves a whole run: do not keep it. */
export class Line {
  readonly reader: Reader;
  readonly diagnostics: Diagnostics;
  words: string[] = [];
  /** Parts of the configuration that nobody asked for. */
  readonly off: ReadonlySet<Subsystem>;

  readonly interfaceExists: (name: string) => boolean;

  constructor(reader: Reader, off: ReadonlySet<Subsystem>, interfaceExists: (name: string) => boolean) {
    this.interfaceExists = interfaceExists;
    this.reader = reader;
    this.diagnostics = reader.diagnostics;
    this.off = off;
  }

  get keyword(): string {
    return this.words[0] ?? '';
  }

  /** The line as written, for the tokenizer with quotes and escapes. */
  get text(): string {
    return this.reader.text;
  }

  report(kind: FindingKind, text: string): void {
    this.diagnostics.report(kind, text, this.words[0]);
  }
}

interface Named extends Spec {
  name: string;
  /** The arguments for the documentation. */
  args: string;
}

export type Keyword<T> =
  | (Named & { kind: 'value'; least: number; quoted: boolean; read: (target: T, line: Line) => void })
  | (Named & { kind: 'list'; least: number; read: (target: T, line: Line) => void })
  | (Named & {
      kind: 'block';
      least: number;
      subsystem?: Subsystem;
      /** The table of what stands inside, for the documentation. */
      // biome-ignore lint/suspicious/noExplicitAny: what is inside has its own type of target
      table: Table<any>;
      read: (target: T, line: Line) => void;
    });

/** The keywords of one kind of block. */
export interface Table<T> {
  /** For messages: `virtual_server`. */
  name: string;
  keywords: Map<string, Keyword<T>>;
  habits: Habits;
}

/** Where keepalived treats keywords of a block unlike others. */
export interface Habits {
  /** A missing argument is only reported; for all other keywords it makes the file unusable. */
  tolerant?: readonly string[];
  /** A missing argument is not even an error. */
  lax?: readonly string[];
  /** The first one of a block stays, another one is reported. */
  once?: readonly string[];
  /** The last one counts, but another one is reported. */
  replaced?: readonly string[];
}

/** @param name how messages and documentation call the block */
export function table<T>(name: string, keywords: Keyword<T>[], habits: Habits = {}): Table<T> {
  return { name, keywords: new Map(keywords.map((keyword) => [keyword.name, keyword])), habits };
}

/** What stores a value as it was read, under a key of the block's draft. */
export function storing<T>() {
  return <K extends keyof T>(key: K) =>
    (target: T, read: NonNullable<T[K]>): void => {
      target[key] = read;
    };
}

/** A keyword with its arguments on one line. */
export function value<T, V>(
  name: string,
  shape: Shape<V>,
  store: (target: T, value: V, line: Line) => void,
  spec: Spec = {},
): Keyword<T> {
  return {
    kind: 'value',
    name,
    args: shape.text,
    least: shape.least,
    quoted: shape.quoted === true,
    ...spec,
    read(target, line) {
      const read = shape.read(line);
      if (read !== undefined) store(target, read, line);
    },
  };
}

/** A keyword with a block of keywords behind it. */
export function block<T, U>(
  name: string,
  form: {
    args?: string;
    least?: number;
    table: Table<U>;
    subsystem?: Subsystem;
    /** @returns what the keywords inside fill; undefined: the object is refused (reported) and its body skipped */
    begin: (target: T, line: Line) => U | undefined;
    /** `place`: where the block began. */
    end?: (made: U, target: T, line: Line, place: { file: string; line: number }) => void;
  },
  spec: Spec = {},
): Keyword<T> {
  return {
    kind: 'block',
    name,
    args: form.args ?? '',
    least: form.least ?? 0,
    table: form.table,
    ...(form.subsystem ? { subsystem: form.subsystem } : {}),
    ...spec,
    read(target, line) {
      const place = line.reader.place;
      if (form.subsystem && line.off.has(form.subsystem)) {
        skipBody(line);
        return;
      }
      const made = form.begin(target, line);
      if (made === undefined) {
        skipBody(line);
        return;
      }
      readBody(line, form.table, made);
      form.end?.(made, target, line, place);
    },
  };
}

/**
 * A keyword with a block of entries, one on each line.
 * @param several the words of a line are entries of their own (`group { A B C }`); else the whole line is one
 */
export function list<T, C = T>(
  name: string,
  entry: string,
  form: {
    args?: string;
    least?: number;
    several?: boolean;
    subsystem?: Subsystem;
    begin?: (target: T, line: Line) => C | undefined;
    each: (target: C, line: Line) => void;
    /** It is an error if there are no entries. */
    notEmpty?: boolean;
    end?: (target: C, line: Line) => void;
  },
  spec: Spec = {},
): Keyword<T> {
  return {
    kind: 'list',
    name,
    args: `${form.args ?? ''} { ${entry} ... }`.trim(),
    least: form.least ?? 0,
    ...spec,
    read(target, line) {
      if (form.subsystem && line.off.has(form.subsystem)) {
        skipBody(line);
        return;
      }
      const into = form.begin ? form.begin(target, line) : (target as unknown as C);
      if (into === undefined) {
        skipBody(line);
        return;
      }
      const keyword = line.keyword;
      opened(line, keyword);
      const { reader } = line;
      let entries = 0;
      for (;;) {
        const kind = reader.next();
        if (kind === 'line') entries++;
        if (kind === 'close') break;
        if (kind === 'end') {
          line.report('missing-close', `missing '}' at the end of ${keyword}`);
          break;
        }
        if (kind === 'open') {
          line.report('unexpected-open', `Unexpected '{' in ${keyword} - ignoring`);
          skipInner(line);
          continue;
        }
        if (form.several) {
          for (const word of reader.words) {
            line.words = [word];
            form.each(into, line);
          }
        } else {
          line.words = reader.words;
          form.each(into, line);
        }
      }
      line.words = [keyword];
      if (entries === 0 && form.notEmpty) line.report('error', `Warning - empty ${keyword} block`);
      form.end?.(into, line);
    },
  };
}

/** Makes sure that a body begins here. */
function opened(line: Line, keyword: string): void {
  const { reader } = line;
  if (reader.next() === 'open') return;
  line.report('missing-open', `Missing '{' at beginning of configuration block ${keyword}`);
  reader.unread();
}

/** Reads past the body of a block, if there is one. */
export function skipBody(line: Line): void {
  if (line.reader.next() === 'open') skipInner(line);
  else line.reader.unread();
}

/** Reads to the brace that closes the block which has just been opened. */
function skipInner(line: Line): void {
  let depth = 1;
  for (;;) {
    const kind = line.reader.next();
    if (kind === 'open') depth++;
    else if (kind === 'close') {
      if (--depth === 0) return;
    } else if (kind === 'end') {
      line.report('missing-close', `There are ${depth} missing '}'s or extra '{'s`);
      return;
    }
  }
}

/** Reads the keywords of a block up to its closing brace. */
function readBody<T>(line: Line, keywords: Table<T>, target: T): void {
  const name = line.keyword;
  opened(line, name);
  if (!readStatements(line, keywords, target))
    line.report('missing-close', `missing '}' at the end of ${name}`);
}

/**
 * Reads statements until the block closes or the files end.
 * @returns whether it was closed
 */
export function readStatements<T>(
  line: Line,
  { name, keywords, habits }: Table<T>,
  target: T,
  root = false,
): boolean {
  const { reader } = line;
  let unknown = false;
  const seen = habits.once || habits.replaced ? new Set<string>() : undefined;
  for (;;) {
    const kind = reader.next();
    if (kind === 'line') {
      const { words } = reader;
      line.words = words;
      const keyword = keywords.get(words[0] as string);
      unknown = keyword === undefined;
      if (keyword === undefined) {
        const near = line.diagnostics.full ? undefined : didYouMean(words[0] as string, keywords.keys());
        line.report(
          'unknown-keyword',
          `Unknown keyword '${words[0]}'${root ? '' : ` in ${name}`}${near ? `, did you mean '${near}'?` : ''}`,
        );
      } else if (words.length <= keyword.least) {
        const kind =
          keyword.kind === 'value' && keyword.quoted && reader.unmatched
            ? 'unmatched-quote'
            : habits.tolerant?.includes(keyword.name)
              ? 'error'
              : habits.lax?.includes(keyword.name)
                ? 'note'
                : 'missing-parameter';
        line.report(
          kind,
          `*** Configuration line starting \`${words[0]}\` is missing a parameter (${keyword.args})`,
        );
        unknown = true;
      } else {
        if (reader.unmatched && !(keyword.kind === 'value' && keyword.quoted)) {
          line.report('unmatched-quote', `Unmatched quote: '${reader.text}'`);
        }
        if (keyword.warn)
          line.report(
            keyword.warn === true ? 'deprecated' : 'note',
            `'${words[0]}' is deprecated, use '${keyword.alias}'`,
          );
        if (seen?.has(keyword.name) && habits.once?.includes(keyword.name)) {
          line.report('error', `'${keyword.name}' is given twice, the first one stays`);
          continue;
        }
        if (seen?.has(keyword.name) && habits.replaced?.includes(keyword.name)) {
          line.report('error', `'${keyword.name}' is given twice, the last one counts`);
        }
        seen?.add(keyword.name);
        if (keyword.accepted !== undefined) line.diagnostics.withoutEffect(keyword.name, keyword.accepted);
        keyword.read(target, line);
      }
    } else if (kind === 'open') {
      // The body of something unknown belongs to it, not to the block around it.
      if (!unknown)
        line.report('unexpected-open', `Unexpected '{' after '${line.keyword}' - its body is ignored`);
      skipInner(line);
      unknown = false;
    } else if (kind === 'close') {
      if (!root) return true;
      line.words = ['}'];
      line.report('unexpected-close', `Extra '}' found`);
    } else {
      return root;
    }
  }
}
