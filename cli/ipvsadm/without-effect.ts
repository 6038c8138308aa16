import { HashTarget, ProxyProtocol, type Service } from '../../dpvsd/generated/control.js';

/** What of a virtual server this dataplane keeps, shows and saves, but does not act upon yet: dpvsd/native/control/publish.c logs the same. */
const attributes: readonly [is: (service: Partial<Service>) => boolean | undefined, what: string][] = [
  [({ synProxy }) => synProxy, 'a SYN proxy (-j)'],
  [
    ({ proxyProtocol }) => proxyProtocol !== undefined && proxyProtocol !== ProxyProtocol.PROXY_NONE,
    'the PROXY protocol (--proxy-protocol)',
  ],
  [({ quic, hashTarget }) => quic || hashTarget === HashTarget.HASH_QUIC_ID, 'QUIC connection ids (--quic)'],
  [({ destCheck }) => destCheck?.enabled, 'passive checks (--dest-check)'],
  [({ bps }) => bps !== undefined && bps > 0, 'a limit of bandwidth (--bps)'],
];

/** A sentence about what has no effect, undefined when all has. */
export function noteOn(service: Partial<Service>): string | undefined {
  const found = attributes.filter(([is]) => is(service)).map(([, what]) => what);
  if (found.length === 0) return undefined;
  return `note: this dataplane does not have ${found.join(', ')} yet: kept and shown, without effect`;
}
