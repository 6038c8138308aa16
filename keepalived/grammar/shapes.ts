import { isIPv4, isIPv6 } from 'node:net';
import { isAbsolute, join } from 'node:path';
import type { Script } from '../model/script.js';
import { groupByName, userByName } from '../notify/user.js';
import { normalAddress } from './address.js';
import type { Line, Shape } from './keyword.js';
import { splitQuoted } from './words.js';

const DIGIT_0 = 48;
const DIGIT_9 = 57;

/** Number of decimal digits that a word begins with. */
function digits(word: string): number {
  let at = 0;
  while (at < word.length && word.charCodeAt(at) >= DIGIT_0 && word.charCodeAt(at) <= DIGIT_9) at++;
  return at;
}

/** An unsigned decimal number. @returns undefined when it is none or out of range, which is reported */
export function unsigned(
  word: string,
  min: number,
  max: number,
  line: Line,
  strict = false,
): number | undefined {
  const text = word.trimStart();
  const length = digits(text);
  const number = length > 0 ? Number(text.slice(0, length)) : Number.NaN;
  if (length > 0 && length === text.length && number >= min && number <= max) return number;
  return refused(word, number, min, max, line, strict || length === text.length);
}

/** A decimal number with sign. */
export function signed(
  word: string,
  min: number,
  max: number,
  line: Line,
  strict = false,
): number | undefined {
  const match = /^\s*([+-]?\d+)(.*)$/.exec(word);
  const number = match ? Number(match[1]) : Number.NaN;
  if (match && match[2] === '' && number >= min && number <= max) return number + 0;
  return refused(word, number, min, max, line, strict || match?.[2] === '');
}

/** A number followed by something else counts when it is in range, but is reported. */
function refused(
  word: string,
  number: number,
  min: number,
  max: number,
  line: Line,
  ignore: boolean,
): number | undefined {
  const range = max === Number.MAX_SAFE_INTEGER || max >= 4294967295 ? `at least ${min}` : `${min} to ${max}`;
  if (!ignore && number >= min && number <= max) {
    line.report(
      'invalid-number',
      `WARNING - '${line.keyword}': number '${word}' is followed by something else, ${number} is used`,
    );
    return number;
  }
  line.report('invalid-number', `'${line.keyword}': '${word}' is no number of the range ${range}, ignored`);
  return undefined;
}

/**
 * Seconds with at most `places` decimal places, as milliseconds.
 * @param min seconds; `max` likewise
 */
export function seconds(word: string, min: number, max: number, line: Line, places = 6): number | undefined {
  const match = /^\s*(\d+)?(?:\.(\d*))?$/.exec(word);
  if (!match || (match[1] === undefined && !match[2])) {
    line.report('invalid-number', `'${line.keyword}': '${word}' is no time in seconds, ignored`);
    return undefined;
  }
  const fraction = match[2] ?? '';
  if (fraction.length > places) {
    line.report(
      'invalid-number',
      `'${line.keyword}': '${word}' has more than ${places} decimal places, rounded`,
    );
  }
  const scale = 10 ** places;
  const number = Math.round(Number(`${match[1] ?? '0'}.${fraction || '0'}`) * scale) / scale;
  if (number < min || number > max) {
    const range = max === Number.MAX_SAFE_INTEGER ? `at least ${min}` : `${min} to ${max}`;
    line.report('invalid-number', `'${line.keyword}': ${word} is out of the range ${range}, ignored`);
    return undefined;
  }
  return Math.round(number * 1e6) / 1000;
}

const truths: Record<string, boolean> = {
  on: true,
  true: true,
  yes: true,
  off: false,
  false: false,
  no: false,
};

export function boolean(word: string, line: Line): boolean | undefined {
  const truth = Object.hasOwn(truths, word) ? truths[word] : undefined;
  if (truth === undefined) {
    line.report('error', `'${line.keyword}': '${word}' is none of on, true, yes, off, false, no; ignored`);
  }
  return truth;
}

/** An address in its normal form. */
export function address(word: string, line: Line): string | undefined {
  const normal = normalAddress(word);
  if (normal === undefined) line.report('error', `'${line.keyword}': '${word}' is no IP address, ignored`);
  return normal;
}

/** A port 1..65535; zeros mean "no port". */
export function port(word: string, line: Line): number | undefined {
  if (/^0+$/.test(word)) return 0;
  return unsigned(word, 1, 65535, line, true);
}

// Shapes: what the tables are made of.

/** Being there is all it says; further words are ignored, as keepalived does. */
export const flag: Shape<true> = { text: '', least: 0, read: () => true };

/** Without argument true. */
export const bool: Shape<boolean> = {
  text: '[BOOL]',
  least: 0,
  read: (line) => (line.words.length < 2 ? true : boolean(line.words[1] as string, line)),
};

export function uint(min: number, max: number, form: { strict?: boolean } = {}): Shape<number> {
  return {
    text: max >= 4294967295 ? `N >= ${min}` : `${min}..${max}`,
    least: 1,
    read: (line) => unsigned(line.words[1] as string, min, max, line, form.strict),
  };
}

export function int(min: number, max: number): Shape<number> {
  return {
    text: `${min}..${max}`,
    least: 1,
    read: (line) => signed(line.words[1] as string, min, max, line),
  };
}

/** Greatest time that keepalived takes for most timers: 32 bits of microseconds, in seconds. */
export const LONGEST_TIME = 4294.967295;

/** Seconds in the text, milliseconds in the model. */
export function timer(min = 0, max = LONGEST_TIME, places = 6): Shape<number> {
  return {
    text: max >= LONGEST_TIME ? 'SECONDS' : `${min}..${max} s`,
    least: 1,
    read: (line) => seconds(line.words[1] as string, min, max, line, places),
  };
}

/** One word, or a quoted string. */
export const word: Shape<string> = { text: 'WORD', least: 1, read: (line) => line.words[1] };

/** A word that may be missing. */
export function optionalWord(otherwise: string, text = `[WORD=${otherwise}]`): Shape<string> {
  return { text, least: 0, read: (line) => line.words[1] ?? otherwise };
}

/** Seconds without an upper limit. */
export const longTimer = (min = 0): Shape<number> => timer(min, Number.MAX_SAFE_INTEGER);

export const ip: Shape<string> = {
  text: 'IP',
  least: 1,
  read: (line) => address(line.words[1] as string, line),
};

export const ip4: Shape<string> = {
  text: 'IPv4',
  least: 1,
  read(line) {
    const read = address(line.words[1] as string, line);
    if (read !== undefined && isIPv4(read)) return read;
    if (read !== undefined) line.report('error', `'${line.keyword}' takes an IPv4 address`);
    return undefined;
  },
};

export const ip6: Shape<string> = {
  text: 'IPv6',
  least: 1,
  read(line) {
    const read = address(line.words[1] as string, line);
    if (read !== undefined && isIPv6(read)) return read;
    if (read !== undefined) line.report('error', `'${line.keyword}' takes an IPv6 address`);
    return undefined;
  },
};

export function oneOf<C extends string>(
  choices: readonly C[],
  form: { ignoreCase?: boolean } = {},
): Shape<C> {
  return {
    text: choices.join('|'),
    least: 1,
    read(line) {
      const given = line.words[1] as string;
      const found = choices.find((choice) =>
        form.ignoreCase ? choice.toLowerCase() === given.toLowerCase() : choice === given,
      );
      if (!found)
        line.report('error', `'${line.keyword}': '${given}' is none of ${choices.join(', ')}; ignored`);
      return found;
    },
  };
}

/** Any arguments at all, as words. */
export function words(text: string, least: number): Shape<string[]> {
  return { text, least, read: (line) => line.words.slice(1) };
}

/** `user [[:]group]` behind a command, or on a line of its own. */
export function owner(given: readonly string[]): { user?: string; group?: string } {
  const [user, rest] = given;
  if (user === undefined) return {};
  const group = rest?.replace(/^:/, '');
  return group ? { user, group } : { user };
}

/** Reports a user or group that the machine does not know. */
export function existing(
  who: { user?: string; group?: string },
  line: Line,
): { user?: string; group?: string } {
  if (who.user !== undefined && userByName(who.user) === undefined) {
    line.report('error', `'${line.keyword}': there is no user '${who.user}'`);
  } else if (who.group !== undefined && groupByName(who.group) === undefined) {
    line.report('error', `'${line.keyword}': there is no group '${who.group}'`);
  }
  return who;
}

/** Splits a command as the configuration writes it into its words. */
export function command(text: string, folder: string): string[] {
  // A redirection cannot be executed; keepalived leaves it to the shell.
  if (text.startsWith('<')) return ['/bin/sh', '-c', text];
  const { words: argv } = splitQuoted(text, 'resolve');
  const program = argv[0];
  if (program?.includes('/') && !isAbsolute(program)) argv[0] = join(folder, program);
  return argv;
}

/** A command in one (usually quoted) word, then optionally user and group. */
export const script: Shape<Script> = {
  text: 'SCRIPT [user [group]]',
  least: 1,
  quoted: true,
  read(line) {
    const { words: pieces, unmatched } = splitQuoted(line.text, 'keep');
    if (unmatched) line.report('unmatched-quote', `'${line.keyword}': a quote is not closed`);
    const argv = command(pieces[1] ?? '', line.reader.folder);
    if (argv.length === 0) {
      line.report('error', `'${line.keyword}' has an empty command, ignored`);
      return undefined;
    }
    return { argv, ...owner(pieces.slice(2)) };
  },
};
