import { createHash } from 'node:crypto';
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

const policies = new Map<string, CheckerPolicy>();

/** When and how often a checker runs; one object for all that agree. Dialect dpvs keeps retrying TCP checks of servers that are out, as its keepalived does. */
export function policyOf(check: ScheduledCheck, dpvs: boolean): CheckerPolicy {
  const web = check.kind === 'HTTP_GET' || check.kind === 'SSL_GET';
  const again = check.kind === 'SMTP_CHECK' || (dpvs && check.kind === 'TCP_CHECK');
  const policy: CheckerPolicy = {
    retry: check.retry,
    delayBeforeRetry: check.delayBeforeRetry,
    delayLoop: check.delayLoop,
    whileDown: web ? 'slow' : again ? 'retry' : 'wait',
    steps: web ? check.urls.length : 1,
    fastRecovery: web && check.fastRecovery,
  };
  const text = Object.values(policy).join();
  const known = policies.get(text);
  if (known) return known;
  policies.set(text, policy);
  return policy;
}

const timing = new Set(['retry', 'delayBeforeRetry', 'warmup', 'delayLoop', 'logAllFailures', 'alpha']);

/** Text that is equal for checkers that ask the same question: everything but when they ask it. */
export function probeIdentity(check: Checker): string {
  return JSON.stringify(check, (name, value) => (timing.has(name) ? undefined : value));
}

/**
 * Short text that is equal for checkers that ask the same question at the same times: one of them can ask for all.
 * @param around what else must be equal
 */
export function scheduleIdentity(check: ScheduledCheck, ...around: (string | undefined)[]): string {
  return createHash('sha1')
    .update(JSON.stringify([check, around]))
    .digest('base64');
}
