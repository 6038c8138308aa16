import { statSync } from 'node:fs';
import { isAbsolute, join } from 'node:path';
import koffi from 'koffi';
import type { IncludeChecks } from '../model/global.js';
import type { Diagnostics } from './diagnostics.js';

const libc = koffi.load('libc.so.6');
const glob = libc.func('int glob(const char *pattern, int flags, void *errfunc, void *result)');
const globfree = libc.func('void globfree(void *result)');
const GLOB_MARK = 1 << 1;
const GLOB_BRACE = 1 << 10;
/** glob_t of the C library: the count, the vector, and room for the rest of it. */
const GLOB_T_BYTES = 72;

/** Names that match a pattern as the C library sorts them; folders end in a slash. */
export function matchNames(pattern: string): string[] {
  const result = Buffer.alloc(GLOB_T_BYTES);
  try {
    if (glob(pattern, GLOB_MARK | GLOB_BRACE, null, result) !== 0) return [];
    const count = Number(result.readBigUInt64LE(0));
    const vector = result.readBigUInt64LE(8);
    const names: string[] = [];
    for (let index = 0; index < count; index++) {
      names.push(koffi.decode(vector + BigInt(8 * index), 'char *') as string);
    }
    return names;
  } finally {
    globfree(result);
  }
}

/** Alternatives of the first brace group, for the check that each of them matches something. */
function braceAlternatives(pattern: string): string[] {
  const group = /\{([^{}]*)\}/.exec(pattern);
  if (!group) return [pattern];
  const before = pattern.slice(0, group.index);
  const after = pattern.slice(group.index + group[0].length);
  return (group[1] as string).split(',').flatMap((choice) => braceAlternatives(before + choice + after));
}

/** An include line, `include`, `includer`, `includem`, `includew`, `includeb` or `includea`. */
export interface Include {
  keyword: string;
  pattern: string;
  checks: IncludeChecks;
}

/** Recognises an include line. @param general checks that hold for all of them (`include_check`, `-e`) */
export function readInclude(text: string, general: IncludeChecks): Include | undefined {
  const match = /^include([rmwba]?)[ \t]+(\S.*)$/.exec(text);
  if (!match) return undefined;
  const letter = match[1] as string;
  const all = letter === 'a';
  return {
    keyword: `include${letter}`,
    pattern: match[2] as string,
    checks: {
      read: general.read || all || letter !== '',
      match: general.match || all || 'mw'.includes(letter || '-'),
      wildcardMatch: general.wildcardMatch || all || letter === 'w',
      braceMatch: general.braceMatch || all || letter === 'b',
    },
  };
}

/**
 * The files that an include line brings in. Folders, things that are no regular files, and executable files are left out, as
 * keepalived does; each of these is said.
 * @param folder what relative patterns start from
 * @param quoted also accept a pattern in double quotes (DPVS)
 */
export function findIncluded(
  include: Include,
  folder: string,
  quoted: boolean,
  diagnostics: Diagnostics,
): string[] {
  const { checks, keyword } = include;
  const absolute = (pattern: string) => (isAbsolute(pattern) ? pattern : join(folder, pattern));
  let { pattern } = include;
  let names = matchNames(absolute(pattern));
  const inner = /^"([^"]*)"$/.exec(pattern);
  if (names.length === 0 && inner && quoted) {
    pattern = inner[1] as string;
    names = matchNames(absolute(pattern));
  }
  if (names.length === 0) {
    const wildcard = /[*?[]/.test(pattern);
    const counts = checks.wildcardMatch || (checks.match && !wildcard);
    const kind = counts ? (wildcard ? 'security' : 'file-not-found') : 'note';
    diagnostics.report(kind, `${keyword}: no file matches '${pattern}'`, keyword);
    return [];
  }
  if (checks.braceMatch) {
    for (const alternative of braceAlternatives(pattern)) {
      if (matchNames(absolute(alternative)).length === 0) {
        diagnostics.report('file-not-found', `${keyword}: no file matches '${alternative}'`, keyword);
      }
    }
  }
  return names.filter((name) => usable(name, checks.read, keyword, diagnostics));
}

/** Whether a file may be read as configuration. */
export function usable(name: string, counts: boolean, keyword: string, diagnostics: Diagnostics): boolean {
  const kind = counts ? 'file-not-found' : 'note';
  const found = statSync(name, { throwIfNoEntry: false });
  const why = !found
    ? 'cannot be found'
    : found.isDirectory()
      ? 'is a folder'
      : !found.isFile()
        ? 'is no regular file'
        : (found.mode & 0o111) !== 0
          ? 'is executable (chmod -x it)'
          : undefined;
  if (!why) return true;
  diagnostics.report(kind, `${keyword}: '${name}' ${why}, not read`, keyword);
  return false;
}
