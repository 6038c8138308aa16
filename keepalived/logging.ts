import { openSync, writeSync } from 'node:fs';
import type { LogSink } from '../lib/log.js';
import { syslogSink, timestamp } from './syslog.js';

/** Where a process of the suite writes its log; the front door decides from its command line and hands it down. */
export interface LogTarget {
  /** Lines on stderr as well (`--log-console`). */
  console?: boolean;
  /** Syslog facility, 0 kern ... 23 local7; absent: no syslog. */
  facility?: number;
  /** File to append to (`--log-file`). */
  file?: string;
  /** Debug lines too (`--log-detail`). */
  detail?: boolean;
}

/**
 * The sink for a process of the suite.
 * @param ident the name in front of each line (`Keepalived_vrrp`)
 */
export function consoleOrSyslog(ident: string, target: LogTarget): LogSink {
  const sinks: LogSink[] = [];
  if (target.facility !== undefined) sinks.push(syslogSink(ident, target.facility));
  if (target.console) {
    // Whoever read our lines may be gone: that must neither end the process nor, told in more lines, keep it busy for ever.
    if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {});
    sinks.push((_severity, line) => process.stderr.write(`${ident}[${process.pid}]: ${line}\n`));
  }
  if (target.file !== undefined) {
    const fd = openSync(target.file, 'a', 0o644);
    sinks.push((severity, line) => {
      try {
        writeSync(
          fd,
          `${timestamp()} ${ident}[${process.pid}]: ${severity === 'debug' ? 'debug: ' : ''}${line}\n`,
        );
      } catch {
        // A full disk must not stop the work that was to be logged.
      }
    });
  }
  return (severity, line) => {
    // One message is one line: text that came from outside cannot forge another.
    const safe = line.replace(/[\r\n\0]+/g, ' ');
    for (const sink of sinks) sink(severity, safe);
  };
}
