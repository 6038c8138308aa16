/** Severities of syslog (RFC 5424 6.2.1), by the names that the configuration files use. */
export const severities = ['emerg', 'alert', 'crit', 'err', 'warning', 'notice', 'info', 'debug'] as const;
export type Severity = (typeof severities)[number];

/** Where a log line goes: the console, a file, syslog, a test's array. Must not throw. */
export type LogSink = (severity: Severity, line: string) => void;

/** A program's voice. Lines are single sentences without a trailing newline; values that came from outside are quoted. */
export class Log {
  readonly #sink: LogSink;
  #threshold: number;

  /** @param least the least severe level that is still written */
  constructor(sink: LogSink, least: Severity = 'info') {
    this.#sink = sink;
    this.#threshold = severities.indexOf(least);
  }

  /** Changes the least severe level that is still written. */
  set least(severity: Severity) {
    this.#threshold = severities.indexOf(severity);
  }

  write(severity: Severity, line: string): void {
    if (severities.indexOf(severity) <= this.#threshold) this.#sink(severity, line);
  }
  error(line: string): void {
    this.write('err', line);
  }
  warning(line: string): void {
    this.write('warning', line);
  }
  notice(line: string): void {
    this.write('notice', line);
  }
  info(line: string): void {
    this.write('info', line);
  }
  debug(line: string): void {
    this.write('debug', line);
  }
}

/** Lines on stderr, each with the program's name in front. */
export function stderrSink(program: string): LogSink {
  return (_severity, line) => {
    process.stderr.write(`${program}: ${line}\n`);
  };
}
