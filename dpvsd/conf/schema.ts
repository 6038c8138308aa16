/**
 * The means to describe a configuration file as a table: what an item takes, what it is when nobody says, and where it may stand.
 * The parser, the typed model, conf/dpvs.conf.items and docs/dpvs-conf.md are all made from one such table (items.ts).
 */

/** What a value may be. `read` gets the words behind the keyword and answers with the value, or with the sentence why it is none. */
export interface Kind<T> {
  /** For documents and messages: `0-9000`, `on | off`. */
  takes: string;
  /** What an operator could write, for "write for instance". */
  example: string;
  read(words: string[]): { value: T } | { why: string };
  write(value: T): string;
}

const one = (words: string[]): string | { why: string } => {
  if (words.length === 0) return { why: 'the value is missing' };
  if (words.length > 1) return { why: `it takes one value, and "${words.slice(1).join(' ')}" is left over` };
  return words[0]!;
};

const number = (word: string, least: number, most: number): { value: number } | { why: string } => {
  if (!/^\d+$/.test(word)) return { why: `"${word}" is not a whole number` };
  const value = Number(word);
  if (value < least || value > most) return { why: `${word} is out of its range` };
  return { value };
};

/**
 * A whole number of a range, both ends included.
 * @param bare what the keyword alone, without a number, means; without it a number must follow
 */
export function integer(least: number, most: number, bare?: number): Kind<number> {
  return {
    takes: `${least}-${most}`,
    example: String(least),
    read(words) {
      if (words.length === 0 && bare !== undefined) return { value: bare };
      const word = one(words);
      return typeof word === 'string' ? number(word, least, most) : word;
    },
    write: String,
  };
}

/** Several whole numbers, divided by blanks or commas; `2-5` stands for all from 2 to 5. */
export function integers(least: number, most: number): Kind<number[]> {
  return {
    takes: `numbers ${least}-${most}`,
    example: `${least} ${least + 1}`,
    read(words) {
      const value: number[] = [];
      for (const word of words.flatMap((w) => w.split(',')).filter((w) => w !== '')) {
        const [from, to] = word.includes('-') ? word.split('-', 2) : [word, word];
        const first = number(from ?? '', least, most);
        const final = number(to ?? '', least, most);
        if ('why' in first) return first;
        if ('why' in final) return final;
        if (final.value < first.value) return { why: `the range "${word}" runs backwards` };
        for (let i = first.value; i <= final.value; i++) value.push(i);
      }
      return value.length > 0 ? { value } : { why: 'the value is missing' };
    },
    write: (value) => value.join(' '),
  };
}

const yes = new Set(['on', 'true', 'yes', 'enable']);
const no = new Set(['off', 'false', 'no', 'disable']);

/** on or off; the keyword alone means on. */
export const flag: Kind<boolean> = {
  takes: 'on | off',
  example: 'on',
  read(words) {
    if (words.length === 0) return { value: true };
    const word = one(words);
    if (typeof word !== 'string') return word;
    if (yes.has(word.toLowerCase())) return { value: true };
    if (no.has(word.toLowerCase())) return { value: false };
    return { why: `"${word}" is neither on nor off` };
  },
  write: (value) => (value ? 'on' : 'off'),
};

/** One of a few words. */
export function choice<const W extends string>(...words: W[]): Kind<W> {
  return {
    takes: words.join(' | '),
    example: words[0] ?? '',
    read(given) {
      const word = one(given);
      if (typeof word !== 'string') return word;
      const value = words.find((known) => known.toLowerCase() === word.toLowerCase());
      return value === undefined ? { why: `"${word}" is none of its values` } : { value };
    },
    write: (value) => value,
  };
}

/** Several of a few words, divided by blanks, commas or `|`. */
export function choices<const W extends string>(...words: W[]): Kind<W[]> {
  const single = choice(...words);
  return {
    takes: `${words.join(' | ')}, or several`,
    example: words[0] ?? '',
    read(given) {
      const value: W[] = [];
      for (const word of given.flatMap((w) => w.split(/[,|]/)).filter((w) => w !== '')) {
        const known = single.read([word]);
        if ('why' in known) return known;
        value.push(known.value);
      }
      return value.length > 0 ? { value } : { why: 'the value is missing' };
    },
    write: (value) => value.join('|'),
  };
}

/** A text of a form: a path, an address, a name. */
export function text(takes: string, example: string, form = /^\S+$/): Kind<string> {
  return {
    takes,
    example,
    read(words) {
      const word = one(words);
      if (typeof word !== 'string') return word;
      return form.test(word) ? { value: word } : { why: `"${word}" does not have that form` };
    },
    write: (value) => value,
  };
}

export interface Item<T> {
  form: 'item';
  kind: Kind<T>;
  fallback: T;
  /** How the documents name the default when the value alone does not tell. */
  fallbackText: string;
  about: string;
  /** Fixed at start: a change needs a restart. Written as <init> in samples. */
  init: boolean;
  /** Set when the item is read and checked but changes nothing yet (or any more): why. */
  without?: string;
  /** The item may be written several times; its values are collected. */
  repeats: boolean;
}

/** A block that stands at most once. */
export interface Section<B> {
  form: 'section';
  about: string;
  init: boolean;
  body: B;
}

/** A block with a name behind its keyword, of which there may be any number. */
export interface Group<B> {
  form: 'group';
  about: string;
  init: boolean;
  body: B;
  /** What the name is, for documents. */
  named: string;
}

export type Body = { [keyword: string]: Item<unknown> | Section<Body> | Group<Body> };

/** The plain object that a block of the table reads into. Keys are the file's own keywords. */
export type ModelOf<B> = {
  [K in keyof B]: B[K] extends Item<infer T>
    ? T
    : B[K] extends Section<infer S>
      ? ModelOf<S>
      : B[K] extends Group<infer S>
        ? ({ name: string } & ModelOf<S>)[]
        : never;
};

interface Options {
  init?: true;
  without?: string;
  /** Names the default in documents, when it is decided elsewhere. */
  otherwise?: string;
}

/** An item with a default. */
export function item<T>(kind: Kind<T>, fallback: T, about: string, options: Options = {}): Item<T> {
  return {
    form: 'item',
    kind,
    fallback,
    fallbackText: options.otherwise ?? kind.write(fallback),
    about,
    init: options.init ?? false,
    repeats: false,
    ...(options.without === undefined ? {} : { without: options.without }),
  };
}

/** An item that is undefined unless the file sets it. */
export function optional<T>(kind: Kind<T>, about: string, options: Options = {}): Item<T | undefined> {
  return {
    ...item<T | undefined>(
      { ...kind, write: (value) => (value === undefined ? '' : kind.write(value)) },
      undefined,
      about,
      options,
    ),
    fallbackText: options.otherwise ?? 'none',
  };
}

/** An item that may be repeated. */
export function collected<T>(kind: Kind<T>, about: string, options: Options = {}): Item<T[]> {
  const list: Kind<T[]> = {
    ...kind,
    read(words) {
      const read = kind.read(words);
      return 'why' in read ? read : { value: [read.value] };
    },
    write: (values) => values.map((value) => kind.write(value)).join(' '),
  };
  return { ...item(list, [], about, options), fallbackText: options.otherwise ?? 'none', repeats: true };
}

export const section = <B>(about: string, body: B, options: { init?: true } = {}): Section<B> => ({
  form: 'section',
  about,
  init: options.init ?? false,
  body,
});

export const group = <B>(named: string, about: string, body: B, options: { init?: true } = {}): Group<B> => ({
  form: 'group',
  named,
  about,
  init: options.init ?? false,
  body,
});
