import type {
  Checker,
  ScheduledCheck,
  SslContext,
  VirtualServer,
} from '../keepalived/model/virtual-server.js';
import type { CheckerPolicy } from './checker-machine.js';
import { dnsCheck } from './dns-check.js';
import { httpCheck } from './http-check.js';
import { miscCheck } from './misc-check.js';
import { pingCheck } from './ping-check.js';
import type { Probe, ProbeContext } from './probe.js';
import { smtpCheck } from './smtp-check.js';
import { tcpCheck } from './tcp-check.js';
import { udpCheck } from './udp-check.js';

/** What a check takes from the virtual and real server that it belongs to. */
export interface Surroundings {
  proxy: VirtualServer['proxyProtocol'];
  virtualHost: string | undefined;
}

/** The probe of a checker. */
export function makeProbe(
  check: ScheduledCheck,
  around: Surroundings,
  context: ProbeContext,
  ssl: SslContext | undefined,
): Probe {
  switch (check.kind) {
    case 'TCP_CHECK':
      return tcpCheck(check, context.reactor);
    case 'UDP_CHECK':
      return udpCheck(check, around.proxy, context.reactor);
    case 'PING_CHECK':
      return pingCheck(check, context.reactor);
    case 'HTTP_GET':
    case 'SSL_GET':
      return httpCheck(check, around, context, ssl);
    case 'SMTP_CHECK':
      return smtpCheck(check, context);
    case 'DNS_CHECK':
      return dnsCheck(check, context.reactor);
    case 'MISC_CHECK':
      return miscCheck(check, context);
  }
}

/** When and how often a checker runs. Dialect dpvs keeps retrying TCP checks of servers that are out, as its keepalived does. */
export function policyOf(check: ScheduledCheck, dpvs: boolean): CheckerPolicy {
  const web = check.kind === 'HTTP_GET' || check.kind === 'SSL_GET';
  return {
    retry: check.retry,
    delayBeforeRetry: check.delayBeforeRetry,
    delayLoop: check.delayLoop,
    whileDown: web
      ? 'slow'
      : check.kind === 'SMTP_CHECK' || (dpvs && check.kind === 'TCP_CHECK')
        ? 'retry'
        : 'wait',
    steps: web ? check.urls.length : 1,
    fastRecovery: web && check.fastRecovery,
  };
}

const timing = new Set(['retry', 'delayBeforeRetry', 'warmup', 'delayLoop', 'logAllFailures', 'alpha']);

/** Text that is equal for checkers that ask the same question: everything but when they ask it. */
export function probeIdentity(check: Checker): string {
  return JSON.stringify(check, (name, value) => (timing.has(name) ? undefined : value));
}

/** Text that is equal for checkers that ask the same question at the same times: one of them can ask for all. */
export function scheduleIdentity(check: ScheduledCheck): string {
  return JSON.stringify(check);
}
