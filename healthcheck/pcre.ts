/**
 * The regular expressions of HTTP_GET are PCRE2's. What both languages have in common is taken as it is; constructs that
 * JavaScript spells differently are translated; the few it lacks are refused by name.
 */

const posixClasses: Record<string, string> = {
  alpha: 'a-zA-Z',
  digit: '0-9',
  alnum: 'a-zA-Z0-9',
  upper: 'A-Z',
  lower: 'a-z',
  space: '\\s',
  blank: ' \\t',
  punct: '!-\\/:-@\\[-`{-~',
  xdigit: '0-9A-Fa-f',
  word: '\\w',
  cntrl: '\\x00-\\x1f\\x7f',
  print: '\\x20-\\x7e',
  graph: '\\x21-\\x7e',
};

/** Options that change nothing here: about PCRE's own optimiser, limits or newline checks. */
const harmless = new Set([
  'auto_callout',
  'no_auto_capture',
  'no_auto_possess',
  'no_dotstar_anchor',
  'no_start_optimize',
  'no_start_optimise',
  'no_utf_check',
  'never_backslash_c',
  'never_ucp',
  'never_utf',
  'use_offset_limit',
  'dollar_endonly',
  'match_unset_backref',
  'alt_bsux',
  'alt_circumflex',
  'alt_verbnames',
]);

/**
 * Compiles a PCRE2 pattern.
 * @param options names of PCRE2 options in lower case, with or without the prefix `pcre2_`
 * @returns the expression (always global, so that matching can begin at an offset), or why it cannot be had
 */
export function compilePattern(pattern: string, options: readonly string[] = []): RegExp | { error: string } {
  let flags = 'g';
  let anchored = false;
  let endAnchored = false;
  let extended = false;
  let literal = false;
  const add = (flag: string) => {
    if (!flags.includes(flag)) flags += flag;
  };
  for (const option of options) {
    const name = option.toLowerCase().replace(/^pcre2_/, '');
    if (name === 'caseless') add('i');
    else if (name === 'multiline') add('m');
    else if (name === 'dotall') add('s');
    else if (name === 'utf' || name === 'ucp') add('u');
    else if (name === 'extended' || name === 'extended_more') extended = true;
    else if (name === 'anchored') anchored = true;
    else if (name === 'endanchored') endAnchored = true;
    else if (name === 'literal') literal = true;
    else if (!harmless.has(name)) return { error: `regex option '${option}' is not supported` };
  }
  let source: string;
  if (literal) source = pattern.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&');
  else {
    let body = pattern;
    for (let inline = /^\(\?([a-z]+)\)/.exec(body); inline; inline = /^\(\?([a-z]+)\)/.exec(body)) {
      for (const letter of inline[1]!) {
        if (letter === 'i' || letter === 'm' || letter === 's') add(letter);
        else if (letter === 'x') extended = true;
        else return { error: `inline option '(?${letter})' is not supported` };
      }
      body = body.slice(inline[0].length);
    }
    const translated = translate(body, extended);
    if (typeof translated !== 'string') return translated;
    source = translated;
  }
  if (endAnchored) source = `(?:${source})(?![^])`;
  if (anchored) flags = `${flags.replace('g', '')}y`;
  try {
    return new RegExp(source, flags);
  } catch (error) {
    return { error: (error as Error).message };
  }
}

function translate(pattern: string, extended: boolean): string | { error: string } {
  let out = '';
  let inClass = false;
  for (let at = 0; at < pattern.length; at++) {
    const char = pattern[at]!;
    const rest = pattern.slice(at);
    if (char === '\\') {
      const next = pattern[at + 1] ?? '';
      at++;
      if (next === 'Q') {
        const end = pattern.indexOf('\\E', at + 1);
        const quoted = pattern.slice(at + 1, end < 0 ? undefined : end);
        out += quoted.replace(/[\\^$.*+?()[\]{}|/-]/g, '\\$&');
        at = end < 0 ? pattern.length : end + 1;
      } else if (next === 'E') continue;
      else if (next === 'A' && !inClass) out += '(?<![^])';
      else if (next === 'z' && !inClass) out += '(?![^])';
      else if (next === 'Z' && !inClass) out += '(?=\\n?(?![^]))';
      else if (next === 'h') out += inClass ? ' \\t' : '[ \\t]';
      else if (next === 'H' && !inClass) out += '[^ \\t]';
      else if (next === 'R' && !inClass) out += '(?:\\r\\n|[\\n\\r\\f\\v])';
      else if (next === 'N' && !inClass) out += '[^\\n]';
      else if (next === 'e') out += '\\x1b';
      else if (next === 'a') out += '\\x07';
      else if (/[GKXC]/.test(next)) return { error: `'\\${next}' is not supported` };
      else out += `\\${next}`;
      continue;
    }
    if (inClass) {
      const posix = /^\[:(\^?)([a-z]+):\]/.exec(rest);
      if (posix) {
        const members = posixClasses[posix[2]!];
        if (members === undefined || posix[1]) return { error: `'${posix[0]}' is not supported` };
        out += members;
        at += posix[0].length - 1;
        continue;
      }
      if (char === ']') inClass = false;
      out += char === '[' ? '\\[' : char;
      continue;
    }
    if (char === '[') {
      inClass = true;
      out += '[';
      if (pattern[at + 1] === '^') {
        out += '^';
        at++;
      }
      // A bracket that comes first stands for itself.
      if (pattern[at + 1] === ']') {
        out += '\\]';
        at++;
      }
      continue;
    }
    if (extended) {
      if (/\s/.test(char)) continue;
      if (char === '#') {
        const end = pattern.indexOf('\n', at);
        at = end < 0 ? pattern.length : end;
        continue;
      }
    }
    if (rest.startsWith('(?#')) {
      const end = pattern.indexOf(')', at);
      at = end < 0 ? pattern.length : end;
      continue;
    }
    if (rest.startsWith('(?P<') || rest.startsWith("(?'")) {
      const named = /^\(\?(?:P<([A-Za-z_]\w*)>|'([A-Za-z_]\w*)')/.exec(rest);
      if (!named) return { error: 'a group has no valid name' };
      out += `(?<${named[1] ?? named[2]}>`;
      at += named[0].length - 1;
      continue;
    }
    const special = /^\((\?>|\?\||\?\(|\?R|\?&|\?\d|\*)/.exec(rest);
    if (special) return { error: `'${special[0]}' is not supported` };
    const after = out.at(-1);
    if (char === '+' && after !== undefined && /[*+?}]/.test(after) && !out.endsWith(`\\${after}`)) {
      // A possessive quantifier only differs in how fast it fails.
      continue;
    }
    out += char;
  }
  return out;
}
