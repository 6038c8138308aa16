import type { Socket } from 'node:net';
import type { SmtpCheck } from '../keepalived/model/virtual-server.js';
import { LineReader } from './line-reader.js';
import { failure, type Probe, type ProbeContext, success, type Verdict } from './probe.js';
import { routeOf } from './sockets.js';
import { openStream, whenSilent } from './stream.js';

const LINE_LIMIT = 1024;

/** The steps of the dialogue: what is sent, and the code that the answer must have (0: any line will do). */
export function smtpDialogue(heloName: string): { send: string; code: number; name: string }[] {
  return [
    { send: '', code: 220, name: 'greeting' },
    { send: `HELO ${heloName}\r\n`, code: 250, name: 'HELO' },
    { send: 'QUIT\r\n', code: 0, name: 'QUIT' },
  ];
}

/**
 * Judges one line of a reply (RFC 5321 4.2.1).
 * @returns `more` when lines of the same reply follow (`250-`), a sentence when the line is not what was due, undefined when the
 *   reply is complete and right
 */
export function smtpFault(line: string, step: { code: number; name: string }): string | undefined {
  const found = /^(\d{3})([ -]|$)/.exec(line);
  if (step.code === 0) return found?.[2] === '-' ? 'more' : undefined;
  if (!found) return `${step.name} answered without a status code`;
  if (Number(found[1]) !== step.code) return `${step.name} answered ${found[1]}, wanted ${step.code}`;
  return found[2] === '-' ? 'more' : undefined;
}

/** SMTP_CHECK: greeting, HELO, QUIT; each answer within connect_timeout. */
export function smtpCheck(check: SmtpCheck, context: ProbeContext): Probe {
  const route = routeOf(check);
  const dialogue = smtpDialogue(check.heloName);
  return {
    run(_step, done) {
      let stop = () => {};
      stop = openStream(context.reactor, route, check.connectTimeout, (result) => {
        if ('outcome' in result) done(result);
        else stop = converse(result, dialogue, check.connectTimeout, done);
      });
      return () => stop();
    },
  };
}

function converse(
  socket: Socket,
  dialogue: ReturnType<typeof smtpDialogue>,
  timeout: number,
  done: (verdict: Verdict) => void,
): () => void {
  const reader = new LineReader(LINE_LIMIT);
  let step = 0;
  let over = false;
  const finish = (verdict: Verdict | undefined) => {
    if (over) return;
    over = true;
    socket.destroy();
    if (verdict) done(verdict);
  };
  const here = () => dialogue[step]!.name;
  const silent = () => finish(failure(`timeout waiting for the answer to ${here()}`));
  whenSilent(socket, timeout, () => socket.bytesRead, silent);
  socket.on('error', (error: NodeJS.ErrnoException) => finish(failure(error.code ?? error.message)));
  socket.on('end', () => finish(failure(`connection closed before the answer to ${here()}`)));
  socket.on('data', (chunk) => {
    const lines = reader.push(chunk);
    if (!lines) {
      finish(failure(`answer to ${here()} is too long`));
      return;
    }
    for (const line of lines) {
      if (over) return;
      const fault = smtpFault(line, dialogue[step]!);
      if (fault === 'more') continue;
      if (fault !== undefined) {
        finish(failure(fault));
        return;
      }
      step++;
      const next = dialogue[step];
      if (!next) finish(success);
      else socket.write(next.send);
    }
  });
  return () => finish(undefined);
}
