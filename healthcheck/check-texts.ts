import type { Checker, ScheduledCheck } from '../keepalived/model/virtual-server.js';
import type { Subscription } from './engine.js';
import { realServerName } from './names.js';
import type { Verdict } from './probe.js';

/** What mails and dumps call a checker: `TCP`, `HTTP`, ... */
const words: Record<Checker['kind'], string> = {
  TCP_CHECK: 'TCP CHECK',
  UDP_CHECK: 'UDP CHECK',
  PING_CHECK: 'PING CHECK',
  HTTP_GET: 'HTTP CHECK',
  SSL_GET: 'SSL CHECK',
  SMTP_CHECK: 'SMTP CHECK',
  DNS_CHECK: 'DNS CHECK',
  MISC_CHECK: 'MISC CHECK',
  FILE_CHECK: 'FILE CHECK',
  BFD_CHECK: 'BFD CHECK',
};

/** Body of the mail about a checker's change. */
export function mailDetail(checker: Checker, up: boolean): string {
  return `=> ${words[checker.kind]} ${up ? 'succeed' : 'failed'} on service <=`;
}

/** Where a check goes: `TCP_CHECK [192.0.2.1]:80`, `MISC_CHECK /usr/local/bin/check`. */
export function checkSubject(checker: Checker): string {
  switch (checker.kind) {
    case 'MISC_CHECK':
      return `${checker.kind} ${checker.script.argv.join(' ')}`;
    case 'FILE_CHECK':
      return `${checker.kind} ${checker.trackFile}`;
    case 'BFD_CHECK':
      return `${checker.kind} ${checker.name}`;
    default:
      return `${checker.kind} [${checker.connectAddress}]:${checker.connectPort}`;
  }
}

/**
 * The log lines on a check's outcome, in keepalived's words with the reason added, since scripts look for them.
 * @param given the server was given up now; otherwise it is a single failure among others
 */
export function failureLines(
  check: ScheduledCheck,
  subscription: Subscription,
  verdict: Extract<Verdict, { outcome: 'failure' }>,
  gaveUpAfter: number | undefined,
): string[] {
  const { runtime, server } = subscription;
  const name = realServerName(runtime.machine.model, server.model);
  const after = gaveUpAfter ? ` after ${gaveUpAfter} retries` : '';
  switch (check.kind) {
    case 'TCP_CHECK':
    case 'UDP_CHECK':
    case 'PING_CHECK': {
      const what = check.kind === 'PING_CHECK' ? 'ICMP' : check.kind.slice(0, 3);
      const single = `${what} connection to ${name} failed: ${verdict.reason}.`;
      return gaveUpAfter === undefined
        ? [single]
        : [`${check.kind} on service ${name} failed${after}: ${verdict.reason}.`];
    }
    case 'HTTP_GET':
    case 'SSL_GET':
      return gaveUpAfter === undefined
        ? [`${verdict.reason} server ${name}.`]
        : [
            `${check.kind === 'SSL_GET' ? 'SSL' : 'HTTP'}_CHECK on service ${name} failed${after}: ${verdict.reason}.`,
          ];
    case 'SMTP_CHECK':
    case 'DNS_CHECK':
      return gaveUpAfter === undefined
        ? [`${check.kind} (${name}) ${verdict.reason}`]
        : [`${check.kind} on service ${name} failed${after}: ${verdict.reason}.`];
    case 'MISC_CHECK': {
      const retries = gaveUpAfter === undefined ? '' : check.retry > 0 ? after : ' with retry disabled';
      return [
        `Misc check for [${name} VS ${runtime.machine.name}] by [${check.script.argv[0]}] failed${retries} (${verdict.reason}).`,
      ];
    }
  }
}

/** The log line when a server is found well for the first time, or again. */
export function successLine(check: ScheduledCheck, subscription: Subscription): string {
  const { runtime, server } = subscription;
  const name = realServerName(runtime.machine.model, server.model);
  switch (check.kind) {
    case 'TCP_CHECK':
    case 'UDP_CHECK':
      return `${check.kind.slice(0, 3)} connection to ${name} success.`;
    case 'PING_CHECK':
      return `ICMP connection to ${name} success.`;
    case 'HTTP_GET':
    case 'SSL_GET':
      return `Remote Web server ${name} succeed on service.`;
    case 'SMTP_CHECK':
      return `Remote SMTP server ${name} succeed on service.`;
    case 'DNS_CHECK':
      return `DNS_CHECK (${name}) succeed.`;
    case 'MISC_CHECK':
      return `Misc check for [${name} VS ${runtime.machine.name}] by [${check.script.argv[0]}] succeeded.`;
  }
}
