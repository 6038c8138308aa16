import { isIP, Socket } from 'node:net';
import type { Log } from '../../lib/log.js';
import type { SmtpServer } from '../model/global.js';

/** A mail to be sent, and to whom it is handed. */
export interface Alert {
  server: SmtpServer;
  helo: string;
  /** Addresses; a display name around `<...>` is allowed. */
  from: string;
  to: string[];
  subject: string;
  body: string;
  /** Limit for each step of the dialogue, milliseconds. */
  timeout: number;
}

/** Mails that may wait; more are dropped, since a flapping cluster with a dead relay must not fill the memory. */
const QUEUE_LIMIT = 1000;

/** Sends alerts one after the other, in order, in the background (RFC 5321). A mail that fails is logged and not repeated. */
export class SmtpAlerts {
  readonly #log: Log;
  #queue: Alert[] = [];
  #sending = false;
  #dropped = 0;
  #whenIdle: (() => void)[] = [];

  constructor(log: Log) {
    this.#log = log;
  }

  send(alert: Alert): void {
    if (this.#queue.length >= QUEUE_LIMIT) {
      if (this.#dropped++ === 0)
        this.#log.warning(`mail to ${alert.server.host}: too many are waiting, new ones are dropped`);
      return;
    }
    this.#queue.push(alert);
    if (!this.#sending) void this.#drain();
  }

  /** Resolves when no mail is under way. */
  idle(): Promise<void> {
    if (!this.#sending) return Promise.resolve();
    return new Promise((resolve) => this.#whenIdle.push(resolve));
  }

  async #drain(): Promise<void> {
    this.#sending = true;
    for (let alert = this.#queue.shift(); alert; alert = this.#queue.shift()) {
      try {
        await transmit(alert);
        this.#log.info('SMTP alert successfully sent.');
      } catch (error) {
        this.#log.error(`SMTP alert '${alert.subject}' not sent: ${(error as Error).message}`);
      }
    }
    this.#dropped = 0;
    this.#sending = false;
    for (const resolve of this.#whenIdle.splice(0)) resolve();
  }
}

/** The address proper of `Display Name <address>`. */
function bare(address: string): string {
  const inner = /<([^<>]*)>/.exec(address);
  return (inner?.[1] ?? address).trim();
}

/** One header or command is one line: nothing from outside may begin another. */
function oneLine(text: string): string {
  return text.replace(/[\r\n\0]+/g, ' ');
}

/** Text of the message, dots stuffed (RFC 5321 4.5.2), ending in the final dot. */
export function message(alert: Alert, date = new Date()): string {
  const headers = [
    `Date: ${date.toUTCString().replace('GMT', '+0000')}`,
    `From: ${oneLine(alert.from)}`,
    `Subject: ${oneLine(alert.subject)}`,
    'X-Mailer: Keepalived',
    `To: ${alert.to.map(oneLine).join(', ')}`,
  ];
  const body = alert.body
    .split(/\r?\n/)
    .map((line) => (line.startsWith('.') ? `.${line}` : line))
    .join('\r\n');
  return `${headers.join('\r\n')}\r\n\r\n${body}\r\n.\r\n`;
}

function transmit(alert: Alert): Promise<void> {
  const steps: { command: string; code: number }[] = [
    { command: '', code: 220 },
    { command: `HELO ${oneLine(alert.helo)}\r\n`, code: 250 },
    { command: `MAIL FROM:<${oneLine(bare(alert.from))}>\r\n`, code: 250 },
    ...alert.to.map((to) => ({ command: `RCPT TO:<${oneLine(bare(to))}>\r\n`, code: 250 })),
    { command: 'DATA\r\n', code: 354 },
    { command: message(alert), code: 250 },
    { command: 'QUIT\r\n', code: 221 },
  ];
  return new Promise((resolve, reject) => {
    const socket = new Socket();
    let pending = '';
    let step = 0;
    const finish = (error?: Error) => {
      socket.destroy();
      if (error) reject(error);
      else resolve();
    };
    socket.setTimeout(alert.timeout, () => finish(new Error(`no answer from ${alert.server.host} in time`)));
    socket.on('error', finish);
    socket.on('close', () => finish(new Error(`${alert.server.host} closed the connection`)));
    socket.setEncoding('latin1');
    socket.on('data', (chunk: string) => {
      pending += chunk;
      if (pending.length > 65536) return finish(new Error('answer too long'));
      for (;;) {
        const end = pending.indexOf('\n');
        if (end < 0) return;
        const line = pending.slice(0, end).trimEnd();
        pending = pending.slice(end + 1);
        // All but the last line of a reply have a dash after the code (RFC 5321 4.2.1).
        if (/^\d{3}-/.test(line)) continue;
        const expected = steps[step] as { command: string; code: number };
        if (Number(line.slice(0, 3)) !== expected.code) {
          return finish(
            new Error(`'${expected.command.trim().slice(0, 60)}' answered '${line.slice(0, 100)}'`),
          );
        }
        step++;
        const next = steps[step];
        if (!next) return finish();
        socket.write(next.command);
      }
    });
    socket.connect({
      host: alert.server.host,
      port: alert.server.port,
      ...(isIP(alert.server.host) ? {} : { family: 0 }),
    });
  });
}
