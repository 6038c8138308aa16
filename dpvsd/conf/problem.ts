export type Severity = 'error' | 'warning' | 'note';

/**
 * One thing to tell the operator about his configuration: what is there, why that is wrong (or notable), and what to write instead.
 * `line` counts from 1; 0 means the whole file (something is missing, or the fault lies in the command line).
 */
export interface Problem {
  severity: Severity;
  line: number;
  what: string;
  why: string;
  instead: string;
}

export function problem(
  severity: Severity,
  line: number,
  what: string,
  why: string,
  instead: string,
): Problem {
  return { severity, line, what, why, instead };
}

/** `file:line: what: why; what to write instead`, with `warning:` or `note:` in front of the sentence when it is no error. */
export function format(file: string, { severity, line, what, why, instead }: Problem): string {
  const place = line > 0 ? `${file}:${line}` : file;
  const mark = severity === 'error' ? '' : `${severity}: `;
  return `${place}: ${mark}${what}: ${why}; ${instead}`;
}

export const hasErrors = (problems: Problem[]): boolean => problems.some((p) => p.severity === 'error');
