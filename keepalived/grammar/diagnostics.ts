/**
 * Kinds of findings in the order of keepalived's own scale: the exit code of `-t` depends on the greatest one, so that a fatal
 * finding is hidden by any lesser one that comes with it (a quirk that scripts have met, hence kept).
 */
export const findingKinds = [
  'note',
  'file-not-found',
  'bad-interface',
  'fatal',
  'multiple-files',
  'unknown-keyword',
  'unexpected-open',
  'missing-open',
  'unexpected-close',
  'missing-close',
  'unmatched-quote',
  'missing-parameter',
  'invalid-number',
  'error',
  'warning',
  'deprecated',
  'security',
] as const;
export type FindingKind = (typeof findingKinds)[number];

/** Something that the reader of the file should know. A `note` does not count for the exit code. */
export interface Finding {
  kind: FindingKind;
  text: string;
  /** Absent for findings about the configuration as a whole. */
  file?: string;
  line?: number;
  keyword?: string;
}

/** More findings than anybody reads; the rest is only counted. */
const KEPT = 1000;

/** Collects what is found while a configuration is read and checked. */
export class Diagnostics {
  readonly findings: Finding[] = [];
  /** Findings beyond those kept. */
  omitted = 0;
  #worst = 0;
  readonly #withoutEffect = new Set<string>();
  #missingParameter = false;
  #truncated = false;
  /** Where the reader is; findings without an explicit place get this one. */
  place: () => { file: string; line: number } | undefined = () => undefined;

  report(kind: FindingKind, text: string, keyword?: string, place = this.place()): void {
    this.#worst = Math.max(this.#worst, findingKinds.indexOf(kind));
    if (kind === 'missing-parameter') this.#missingParameter = true;
    if (kind === 'missing-close' || kind === 'unexpected-close' || kind === 'unmatched-quote')
      this.#truncated = true;
    if (this.findings.length >= KEPT) {
      this.omitted++;
      return;
    }
    this.findings.push({ kind, text, ...(place ?? {}), ...(keyword === undefined ? {} : { keyword }) });
  }

  /** A keyword that is read and changes nothing, said once, however many blocks have it; does not count for exit codes. */
  withoutEffect(keyword: string, reason: string): void {
    if (this.#withoutEffect.has(keyword)) return;
    this.#withoutEffect.add(keyword);
    this.report('note', `'${keyword}' has no effect: ${reason}`, keyword);
  }

  /** No more findings are kept: it is not worth while to make them good to read. */
  get full(): boolean {
    return this.findings.length >= KEPT;
  }

  /** A keyword without its argument: keepalived refuses to run such a file at all. */
  get unusable(): boolean {
    return this.#missingParameter;
  }

  /** Braces or quotes do not match, as in a file that somebody is still writing. */
  get truncated(): boolean {
    return this.#truncated;
  }

  /**
   * What `-t` returns.
   * @param dialect upstream: 0, 2 missing argument, 4 fatal, 5 anything else, 6 script security; dpvs: 0, 3, 3, 4, 5
   */
  exitCode(dialect: 'upstream' | 'dpvs'): number {
    const older = dialect === 'dpvs';
    if (this.#missingParameter) return older ? 3 : 2;
    if (this.#worst === 0) return 0;
    const shift = older ? -1 : 0;
    if (this.#worst <= findingKinds.indexOf('fatal')) return 4 + shift;
    return (this.#worst === findingKinds.indexOf('security') ? 6 : 5) + shift;
  }
}

/** A finding as one line, in the form `(FILE: Line N) text` that keepalived's users know. */
export function format(finding: Finding): string {
  if (finding.file === undefined) return finding.text;
  return `(${finding.file}: Line ${finding.line ?? 0}) ${finding.text}`;
}

/** The known word nearest to a misspelt one, if it is near enough to be worth asking "did you mean". */
export function didYouMean(word: string, known: Iterable<string>): string | undefined {
  const limit = Math.max(1, Math.floor(word.length / 4));
  let best: string | undefined;
  let least = limit + 1;
  const wanted = word.toLowerCase().replaceAll('-', '_');
  for (const candidate of known) {
    if (Math.abs(candidate.length - word.length) >= least) continue;
    const distance = editDistance(wanted, candidate.toLowerCase().replaceAll('-', '_'), least);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** Insertions, deletions, replacements and swaps of neighbours between two words, counted up to `limit`. */
function editDistance(a: string, b: string, limit: number): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, index) => index);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    let least = i;
    for (let j = 1; j <= b.length; j++) {
      const same = a[i - 1] === b[j - 1];
      let cost = Math.min(previous[j]! + 1, row[j - 1]! + 1, previous[j - 1]! + (same ? 0 : 1));
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        cost = Math.min(cost, before[j - 2]! + 1);
      row.push(cost);
      least = Math.min(least, cost);
    }
    if (least > limit) return least;
    before = previous;
    previous = row;
  }
  return previous[b.length]!;
}
