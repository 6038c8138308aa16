/**
 * Keepalived splits a line into words in two ways: the standard one for everything, and one that knows both kinds of quotes and
 * escapes for commands and regular expressions.
 */

const TAB = 9;
const CARRIAGE_RETURN = 13;
const SPACE = 32;
const QUOTE = 34;

export function isBlank(code: number): boolean {
  return code === SPACE || (code >= TAB && code <= CARRIAGE_RETURN);
}

/**
 * Standard words: separated by blanks; a word that begins with `"` runs to the next `"` and loses the quotes; a `"` inside a word
 * ends it and begins the next. Single quotes and backslashes are ordinary characters.
 * @returns the words; `unmatched` when the last quote is not closed (the rest of the line is lost then)
 */
export function splitWords(text: string): { words: string[]; unmatched: boolean } {
  const words: string[] = [];
  let at = 0;
  for (;;) {
    while (at < text.length && isBlank(text.charCodeAt(at))) at++;
    if (at >= text.length) return { words, unmatched: false };
    if (text.charCodeAt(at) === QUOTE) {
      const end = text.indexOf('"', at + 1);
      if (end < 0) return { words, unmatched: true };
      words.push(text.slice(at + 1, end));
      at = end + 1;
    } else {
      const start = at;
      while (at < text.length && !isBlank(text.charCodeAt(at)) && text.charCodeAt(at) !== QUOTE) at++;
      words.push(text.slice(start, at));
    }
  }
}

const simpleEscapes: Record<string, string> = {
  a: '\x07',
  b: '\b',
  E: '\x1b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t',
  v: '\v',
};

/** Reads one escape after a backslash at `at`; returns its value and the index after it. */
function readEscape(text: string, at: number): [value: string, next: number] {
  const octal = /^[0-7]{1,3}/.exec(text.slice(at, at + 3));
  if (octal) return [String.fromCharCode(Number.parseInt(octal[0], 8) & 0xff), at + octal[0].length];
  const hex = /^x([0-9a-fA-F]{1,2})/.exec(text.slice(at, at + 3));
  if (hex) return [String.fromCharCode(Number.parseInt(hex[1]!, 16)), at + hex[0].length];
  const character = text[at] as string;
  if (character === 'c' && at + 1 < text.length)
    return [String.fromCharCode(text.charCodeAt(at + 1) & 0x1f), at + 2];
  return [simpleEscapes[character] ?? character, at + 1];
}

/**
 * Words with quotes: `"` and `'` both quote, adjacent pieces make one word, a backslash escapes.
 * @param escapes `resolve` turns escapes into what they stand for; `keep` leaves them (but a quote after a backslash does not
 *   quote) for a second pass
 */
export function splitQuoted(
  text: string,
  escapes: 'resolve' | 'keep',
): { words: string[]; unmatched: boolean } {
  const words: string[] = [];
  let word: string | undefined;
  let quote = '';
  for (let at = 0; at < text.length; ) {
    const character = text[at] as string;
    if (character === '\\' && at + 1 < text.length) {
      if (escapes === 'keep') {
        word = (word ?? '') + text.slice(at, at + 2);
        at += 2;
      } else {
        const [value, next] = readEscape(text, at + 1);
        word = (word ?? '') + value;
        at = next;
      }
      continue;
    }
    if (quote) {
      if (character === quote) quote = '';
      else word += character;
    } else if (character === '"' || character === "'") {
      quote = character;
      word ??= '';
    } else if (isBlank(text.charCodeAt(at))) {
      if (word !== undefined) words.push(word);
      word = undefined;
    } else {
      word = (word ?? '') + character;
    }
    at++;
  }
  if (word !== undefined) words.push(word);
  return { words, unmatched: quote !== '' };
}
