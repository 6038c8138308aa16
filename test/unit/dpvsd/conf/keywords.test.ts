import assert from 'node:assert/strict';
import { items } from '../../../../dpvsd/conf/items.js';
import type { Body } from '../../../../dpvsd/conf/schema.js';

/** Every keyword that a dpvs.conf of DPVS 1.10 may contain. */
const keywords =
  `ack_storm_thresh addr_gen_mode allmulticast bonding bucket_entries bucket_number close close_client_window close_wait conn conn_init_timeout conn_pool_cache conn_pool_size conn_reuse_state cpu_id default_ttl defence_tcp_drop defence_udp_drop defer_rs_syn descriptor_number device disable established expire_quiescent_template fast_xmit_close fdir_mode fin_wait flow_enable forwarding fragment icmp_redirect_core ipset_hash_pool_size isol_rx_cpu_ids isol_rxq_ring_sz kni kni_name last last_ack lcore_msg listen lldp log_async_mode log_async_pool_size log_file log_level log_with_timestamp lpm lpm6_max_rules lpm6_num_tbl8s max_ack_saved max_entries mbuf_fast_free method mode mss mtu none normal numa_node oneway options pdump pktpool_cache pktpool_size pool_hash_size port primary priority_level promisc_mode queue_number recycle_time redirect ring_size route6 rs_syn_max_retry rss rt6_hash_bucket rx rx_queue_ids sack schedule_interval slave stable_secret syn_recv syn_sent synack synack_options sync_msg_timeout_us synproxy tcp time_wait timeout timestamp ttl tx tx_queue_ids type udp unres_queue_length uoa_max_trail uoa_mode worker wscale xmit_ttl `
    .trim()
    .split(/\s+/);

function known(body: Body, words = new Set<string>()): Set<string> {
  for (const [keyword, entry] of Object.entries(body)) {
    words.add(keyword);
    if (entry.form !== 'item') known(entry.body, words);
  }
  return words;
}

describe('keywords of DPVS', () => {
  const words = known(items as Body);
  for (const keyword of keywords) {
    it(`knows ${keyword}`, () => assert.ok(words.has(keyword)));
  }
});
