import type { FindingKind } from '../grammar/diagnostics.js';
import { splitWords } from '../grammar/words.js';
import type { Dialect } from '../model/global.js';

/** The arguments of `payload` or `require_reply` as written. */
export interface Written {
  words: string[];
  text: string;
}

type Say = (kind: FindingKind, text: string) => void;

/** Hex digits with blanks between bytes; a single digit before a blank is a byte of its own. */
function hexOf(text: string, wildcards: boolean): string | undefined {
  const digit = wildcards ? /^[0-9a-fA-FxX]*$/ : /^[0-9a-fA-F]*$/;
  let made = '';
  for (const piece of splitWords(text.replaceAll('"', ' ')).words) {
    if (!digit.test(piece)) return undefined;
    made += piece.length % 2 === 1 ? `${piece.slice(0, -1)}0${piece.slice(-1)}` : piece;
  }
  return made.toLowerCase();
}

function literal(words: string[]): string {
  return Buffer.from(words.join(' ')).toString('hex');
}

/**
 * Payloads are hex in upstream keepalived and text in DPVS. Unless the dialect decides, quoted text and text that is no even
 * number of hex digits is text, everything else is hex; what could be meant either way is said.
 */
function read(
  written: Written,
  dialect: Dialect,
  wildcards: boolean,
  keyword: string,
  say: Say,
): string | undefined {
  if (dialect === 'dpvs') return literal(written.words);
  if (dialect === 'upstream') {
    const hex = hexOf(written.text, wildcards);
    if (hex === undefined)
      say(
        'error',
        `Invalid hex string for ${keyword} '${written.text}' (with 'dialect dpvs' it would be text)`,
      );
    return hex;
  }
  const joined = written.words.join('');
  const even = joined.length % 2 === 0 && (wildcards ? /^[0-9a-fA-FxX]+$/ : /^[0-9a-fA-F]+$/).test(joined);
  if (written.text.startsWith('"') || !even) return literal(written.words);
  say(
    'note',
    `${keyword} '${written.text}' is read as hexadecimal (put it in quotes if it is text, or say 'dialect' in global_defs)`,
  );
  return joined.toLowerCase();
}

/** @returns hex; undefined: the default payload is used */
export function readPayload(written: Written, dialect: Dialect, say: Say): string | undefined {
  return read(written, dialect, false, 'payload', say);
}

/** @returns hex with `x` for any nibble; empty: any reply will do */
export function readReply(written: Written, dialect: Dialect, say: Say): string {
  if (written.words.length === 0) return '';
  return read(written, dialect, true, 'require_reply', say) ?? '';
}
