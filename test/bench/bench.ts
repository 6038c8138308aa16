import { cpus } from 'node:os';

/** One figure of a benchmark, with the command that makes it in the heading of its group. */
export interface Figure {
  /** What was measured: "UDP FullNAT, both ways, 10k flows". */
  case: string;
  values: Record<string, number | string>;
}

/** A group of figures of one kind; `run` says its progress on stderr. */
export interface Bench {
  name: string;
  about: string;
  run(options: BenchOptions): Promise<Figure[]>;
}

export interface BenchOptions {
  /** Shorter runs for a quick look; figures are noisier. */
  quick: boolean;
  /** What was written behind the name (`vrrp:steadiness`): only the rows whose part of the bench has these words. */
  only?: string;
  /** Takes what has been measured so far, so that a run that is broken off leaves it behind. */
  partial?: (figures: Figure[]) => void;
}

/** Text table of figures: a line each, a column for each value that any of them has. */
export function table(figures: Figure[]): string {
  const columns = [...new Set(figures.flatMap((figure) => Object.keys(figure.values)))];
  const shown = (value: number | string | undefined): string => {
    if (value === undefined) return '-';
    if (typeof value === 'string') return value;
    return Number.isInteger(value) ? String(value) : value.toFixed(value < 10 ? 2 : 1);
  };
  const rows = [
    ['case', ...columns],
    ...figures.map((figure) => [figure.case, ...columns.map((column) => shown(figure.values[column]))]),
  ];
  const widths = rows[0]!.map((_, column) => Math.max(...rows.map((row) => row[column]!.length)));
  return rows
    .map((row) =>
      row.map((cell, i) => (i === 0 ? cell.padEnd(widths[i]!) : cell.padStart(widths[i]!))).join('  '),
    )
    .join('\n');
}

/** The machine, as far as figures depend on it. */
export function machine(): Record<string, number | string> {
  return { cpu: cpus()[0]?.model ?? '?', cpus: cpus().length, node: process.version };
}
