import type { Director } from './director.js';

/** Statistics in the words and columns of keepalived.stats, one text for each instance. */
export function* statisticsOf(director: Director): Generator<string> {
  for (const { name, statistics: s } of director.routers) {
    yield `VRRP Instance: ${name}
  Advertisements:
    Received: ${s.advert_rcvd}
    Sent: ${s.advert_sent}
  Became master: ${s.become_master}
  Released master: ${s.release_master}
  Packet Errors:
    Length: ${s.packet_len_err}
    TTL: ${s.ip_ttl_err}
    Invalid Type: ${s.invalid_type_rcvd}
    Advertisement Interval: ${s.advert_interval_err}
    Address List: ${s.addr_list_err}
  Authentication Errors:
    Invalid Type: ${s.invalid_authtype}
    Type Mismatch: ${s.authtype_mismatch}
    Failure: ${s.auth_failure}
  Priority Zero:
    Received: ${s.pri_zero_rcvd}
    Sent: ${s.pri_zero_sent}
`;
  }
}
