import { nearest } from '../../lib/nearest.js';
import { type Problem, problem } from '../conf/problem.js';
import { readList } from '../machine.js';

/** One of EAL's options as the operator wrote it behind `--`. */
export interface EalOption {
  /** `-l`, `--vdev` ...; always the long form where EAL has two. */
  name: string;
  value?: string;
}

const longForm: Record<string, string> = { '-a': '--allow', '-b': '--block', '-w': '--allow' };
const withValue = new Set(
  '-c -d -l -m -n -r -s -S --allow --base-virtaddr --block --file-prefix --force-max-simd-bitwidth --huge-dir --iova-mode --lcores --log-level --main-lcore --mbuf-pool-ops-name --proc-type --socket-limit --socket-mem --syslog --trace --trace-bufsz --trace-dir --trace-mode --vdev --vfio-intr --vfio-vf-token'.split(
    ' ',
  ),
);
const alone = new Set(
  '-h --create-uio-dev --huge-unlink --huge-worker-stack --in-memory --legacy-mem --log-color --match-allocations --no-hpet --no-huge --no-pci --no-shconf --no-telemetry --no-vmware-tsc-map --single-file-segments --telemetry --vmware-tsc-map'.split(
    ' ',
  ),
);

/** Reads what stands behind `--` on the command line. Options that are not EAL's are problems, and left out. */
export function readEalOptions(words: string[], problems: Problem[]): EalOption[] {
  const options: EalOption[] = [];
  for (let i = 0; i < words.length; i++) {
    const word = words[i]!;
    const long = /^(--[a-z-]+)(?:=(.*))?$/.exec(word);
    const short = /^(-[A-Za-z])(.*)$/.exec(word);
    const written = long?.[1] ?? short?.[1] ?? word;
    const name = longForm[written] ?? written;
    const attached = long ? long[2] : short?.[2] || undefined;
    if (withValue.has(name)) {
      const value = attached ?? words[++i];
      if (value === undefined) {
        problems.push(
          problem('error', 0, `EAL option ${written}`, 'its value is missing', `write "${written} VALUE"`),
        );
      } else options.push({ name, value });
    } else if (alone.has(name)) {
      options.push(attached === undefined ? { name } : { name, value: attached });
    } else {
      const near = nearest(written, [...withValue, ...alone]);
      problems.push(
        problem(
          'error',
          0,
          `"${word}" behind "--"`,
          'DPDK has no such option',
          near ? `did you mean "${near}"?` : 'leave it out',
        ),
      );
    }
  }
  return options;
}

export const writeEalOption = ({ name, value }: EalOption): string[] =>
  value === undefined
    ? [name]
    : name === '--huge-unlink' || name === '--huge-worker-stack'
      ? [`${name}=${value}`]
      : [name, value];

export const valuesOf = (options: EalOption[], name: string): string[] =>
  options.filter((option) => option.name === name).map((option) => option.value ?? '');

export const has = (options: EalOption[], ...names: string[]): boolean =>
  options.some((option) => names.includes(option.name));

/** Splits `0@0,(1,2)@(3-4),5-6` at the commas outside of parentheses. */
function splitOutside(text: string): string[] {
  const parts: string[] = [];
  let depth = 0;
  let part = '';
  for (const c of text) {
    if (c === '(') depth++;
    if (c === ')') depth--;
    if (c === ',' && depth === 0) {
      parts.push(part);
      part = '';
    } else part += c;
  }
  parts.push(part);
  return parts;
}

/**
 * The lcores that -l, -c or --lcores set up: lcore to CPU (the first, if several).
 * @returns undefined when none of the three is given
 */
export function readLcores(options: EalOption[], problems: Problem[]): Map<number, number> | undefined {
  const option = options.find(({ name }) => name === '-l' || name === '-c' || name === '--lcores');
  if (!option) return undefined;
  const text = (option.value ?? '').replace(/\s/g, '');
  const lcores = new Map<number, number>();
  if (option.name === '-c') {
    if (/^(0x)?[0-9a-f]+$/i.test(text)) {
      const mask = BigInt(text.startsWith('0x') ? text : `0x${text}`);
      for (let i = 0; mask >> BigInt(i) > 0n; i++) if ((mask >> BigInt(i)) & 1n) lcores.set(i, i);
    }
  } else {
    for (const part of splitOutside(text)) {
      const [left = '', right] = part.split('@');
      const plain = (set: string) => readList(set.replace(/[()]/g, ''));
      const ids = plain(left);
      const cpus = right === undefined ? ids : plain(right);
      // `(0,1)@(2,3)` lets each of both lcores run on either CPU; `0-1` alone pins one to one.
      for (const [i, id] of ids.entries()) {
        const cpu = right === undefined ? cpus[i] : cpus[0];
        if (cpu !== undefined) lcores.set(id, cpu);
      }
    }
  }
  if (lcores.size === 0) {
    problems.push(
      problem(
        'error',
        0,
        `EAL option ${option.name} ${text}`,
        'it names no lcore',
        'write for instance "-l 0-3"',
      ),
    );
  }
  return lcores;
}
