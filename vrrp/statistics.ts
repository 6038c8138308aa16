/** Counters of one virtual router; the names are those of keepalived's statistics in JSON. */
export interface Statistics {
  advert_rcvd: number;
  advert_sent: number;
  become_master: number;
  release_master: number;
  packet_len_err: number;
  advert_interval_err: number;
  ip_ttl_err: number;
  invalid_type_rcvd: number;
  addr_list_err: number;
  invalid_authtype: number;
  authtype_mismatch: number;
  auth_failure: number;
  pri_zero_rcvd: number;
  pri_zero_sent: number;
  /** Ours: wrong version, wrong checksum, multicast where unicast belongs, sends that failed, two masters seen. */
  version_err: number;
  checksum_err: number;
  kind_err: number;
  send_err: number;
  split_brain: number;
}

export function noStatistics(): Statistics {
  return {
    advert_rcvd: 0,
    advert_sent: 0,
    become_master: 0,
    release_master: 0,
    packet_len_err: 0,
    advert_interval_err: 0,
    ip_ttl_err: 0,
    invalid_type_rcvd: 0,
    addr_list_err: 0,
    invalid_authtype: 0,
    authtype_mismatch: 0,
    auth_failure: 0,
    pri_zero_rcvd: 0,
    pri_zero_sent: 0,
    version_err: 0,
    checksum_err: 0,
    kind_err: 0,
    send_err: 0,
    split_brain: 0,
  };
}
