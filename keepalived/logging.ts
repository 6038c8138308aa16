import { openSync, writeSync } from 'node:fs';
import type { LogSink } from '../lib/log.js';
import { syslogSink, timestamp } from './syslog.js';

/** What may wait for a reader of stderr, bytes. */
const WAITING_LIMIT = 1 << 20;

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
 * The sink for a process of the suite. A log file that cannot be opened is said in what else there is, and stderr takes its place where there
 * is nothing else.
 * @param ident the name in front of each line (`Keepalived_vrrp`)
 */
export function consoleOrSyslog(ident: string, target: LogTarget): LogSink {
  const sinks: LogSink[] = [];
  if (target.facility !== undefined) sinks.push(syslogSink(ident, target.facility));
  if (target.console) {
    // Whoever read our lines may be gone: that must neither end the process nor, told in more lines, keep it busy for ever.
    if (process.stderr.listenerCount('error') === 0) process.stderr.on('error', () => {});
    sinks.push(consoleSink(ident));
  }
  if (target.file !== undefined) {
    const sink = fileSink(ident, target.file);
    if (typeof sink === 'function') sinks.push(sink);
    else {
      if (sinks.length === 0) sinks.push((_severity, line) => complain(ident, line));
      for (const other of sinks) other('err', `no log file: ${sink.error}`);
    }
  }
  return (severity, line) => {
    // One message is one line: text that came from outside cannot forge another.
    const safe = line.replace(/[\r\n\0]+/g, ' ');
    for (const sink of sinks) sink(severity, safe);
  };
}

/** Lines on stderr. Whoever does not read them must not fill our memory: what waits is bounded, and what was lost is counted. */
function consoleSink(ident: string): LogSink {
  let lost = 0;
  return (_severity, line) => {
    if (process.stderr.writableLength > WAITING_LIMIT) {
      lost++;
      return;
    }
    const head = `${ident}[${process.pid}]: `;
    const before = lost > 0 ? `${head}${lost} log lines were lost: nobody read them\n` : '';
    lost = 0;
    process.stderr.write(`${before}${head}${line}\n`);
  };
}

/** On stderr, beside all sinks: about a sink itself. */
function complain(ident: string, sentence: string): void {
  try {
    writeSync(2, `${ident}[${process.pid}]: ${sentence}\n`);
  } catch {
    // Nobody is there to hear it.
  }
}

/**
 * Lines appended to a file. A full disk must not stop the work that was to be logged: the first line that is lost goes to stderr with the
 * reason, and the file says how many there were when it takes lines again.
 * @param write replaced in tests; returns how many bytes it took
 * @returns the sink, or why the file cannot be opened
 */
export function fileSink(
  ident: string,
  path: string,
  write: (fd: number, bytes: Uint8Array) => number = writeSync,
): LogSink | { error: string } {
  let fd: number;
  try {
    fd = openSync(path, 'a', 0o644);
  } catch (error) {
    return { error: (error as Error).message };
  }
  let lost = 0;
  let why = '';
  let torn = false;
  return (severity, line) => {
    const head = `${timestamp()} ${ident}[${process.pid}]: `;
    const before = lost > 0 ? `${torn ? '\n' : ''}${head}${lost} log lines were lost: ${why}\n` : '';
    const bytes = Buffer.from(`${before}${head}${severity === 'debug' ? 'debug: ' : ''}${line}\n`);
    try {
      const written = write(fd, bytes);
      if (written === bytes.length) {
        lost = 0;
        torn = false;
        return;
      }
      torn ||= written > 0;
      why = 'the disk is full';
    } catch (error) {
      why = (error as Error).message;
    }
    if (lost++ === 0) complain(ident, `log file ${path}: ${why}, lost: ${line}`);
  };
}
