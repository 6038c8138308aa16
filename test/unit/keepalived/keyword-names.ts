/** Words of the language that upstream keepalived 2.4 and DPVS have in common. */
export const sharedKeywords = `
  BFD_CHECK DNS_CHECK MISC_CHECK SMTP_CHECK SSL TCP_CHECK UDP_CHECK accept advert_int alpha auth_pass
  auth_type authentication bfd_cpu_affinity bfd_instance bfd_no_swap bfd_priority bfd_process_name
  bfd_rlimit_rtime bfd_rt_priority bind_if bind_port bindto ca certificate checker
  checker_cpu_affinity checker_log_all_failures checker_no_swap checker_priority checker_rlimit_rtime
  checker_rt_priority child_wait_time connect_ip connect_port connect_timeout dbus_service_name debug
  default_interface delay delay_before_retry delay_loop digest dont_track_primary dynamic_interfaces
  enable_dbus enable_script_security enable_sni enable_snmp_checker enable_snmp_keepalived
  enable_snmp_rfc enable_snmp_rfcv2 enable_snmp_rfcv3 enable_snmp_vrrp enable_traps fall fast_recovery
  file flag-1 flag-2 flag-3 fork_delay full_command fwmark garp_group garp_interval
  garp_lower_prio_delay garp_lower_prio_repeat garp_master_delay garp_master_refresh
  garp_master_refresh_repeat garp_master_repeat global_defs global_tracking gna_interval group
  ha_suspend hashed helo_name higher_prio_send_advert hoplimit host http_protocol hysteresis idle_tx
  inhibit_on_failure init_fail init_file instance interface interfaces interval ip_family
  kernel_rx_buf_size key lb_algo lb_kind linkbeat_interfaces linkbeat_use_polling log_all_failures
  log_unknown_vrids lower_prio_no_advert lthreshold lvs_flush lvs_flush_onstop lvs_method
  lvs_netlink_cmd_rcv_bufs lvs_netlink_cmd_rcv_bufs_force lvs_netlink_monitor_rcv_bufs
  lvs_netlink_monitor_rcv_bufs_force lvs_notify_fifo lvs_notify_fifo_script lvs_process_name lvs_sched
  lvs_sync_daemon lvs_sync_daemon_interface lvs_timeouts max_hops max_reply_length mcast_src_ip
  mh-fallback mh-port min_reply_length min_rx min_tx misc_dynamic misc_path misc_timeout multiplier
  name namespace_with_ipsets native_ipv6 nb_get_retry neighbor_ip neighbour_ip net_namespace nftables
  nftables_counters nftables_ifindex nftables_priority no_accept no_checker_emails no_email_faults
  nopreempt notification_email notification_email_from notify notify_backup notify_down notify_fault
  notify_fifo notify_fifo_script notify_master notify_master_rx_lower_pri notify_priority_changes
  notify_stop notify_up old_unicast_checksum omega ops param_match passive password path payload
  persistence_engine persistence_granularity persistence_timeout preempt preempt_delay priority
  process process_monitor_rcv_bufs process_monitor_rcv_bufs_force process_name process_names
  promote_secondaries protocol quorum quorum_down quorum_max quorum_up random_seed real_server regex
  regex_max_offset regex_min_offset regex_no_match regex_options regex_stack require_reply retry rise
  router_id rs_init_notifies script script_user sh-fallback sh-port skip_check_adv_addr smtp_alert
  smtp_alert_checker smtp_alert_vrrp smtp_connect_timeout smtp_helo_name smtp_server snmp_socket
  sorry_server sorry_server_inhibit sorry_server_lvs_method source_ip state static_ipaddress
  static_routes static_rules status_code strict_mode sync_group_tracking_weight terminate_delay
  timeout track_bfd track_file track_group track_interface track_process track_script track_src_ip ttl
  type umask unicast_peer unicast_src_ip url use_ipvlan use_pid_dir use_vmac user uthreshold version
  virtual_ipaddress virtual_ipaddress_excluded virtual_router_id virtual_routes virtual_rules
  virtual_server virtual_server_group virtualhost vmac_xmit_base vrrp vrrp_check_unicast_src
  vrrp_cpu_affinity vrrp_garp_interval vrrp_garp_lower_prio_delay vrrp_garp_lower_prio_repeat
  vrrp_garp_master_delay vrrp_garp_master_refresh vrrp_garp_master_refresh_repeat
  vrrp_garp_master_repeat vrrp_gna_interval vrrp_higher_prio_send_advert vrrp_instance vrrp_ipsets
  vrrp_iptables vrrp_lower_prio_no_advert vrrp_mcast_group4 vrrp_mcast_group6 vrrp_min_garp
  vrrp_netlink_cmd_rcv_bufs vrrp_netlink_cmd_rcv_bufs_force vrrp_netlink_monitor_rcv_bufs
  vrrp_netlink_monitor_rcv_bufs_force vrrp_no_swap vrrp_notify_fifo vrrp_notify_fifo_script
  vrrp_notify_priority_changes vrrp_priority vrrp_process_name vrrp_rlimit_rtime vrrp_rt_priority
  vrrp_rx_bufs_multiplier vrrp_rx_bufs_policy vrrp_script vrrp_skip_check_adv_addr vrrp_startup_delay
  vrrp_strict vrrp_sync_group vrrp_track_file vrrp_track_process vrrp_version warmup weight
`
  .trim()
  .split(/\s+/);

/** Words that only upstream keepalived has. */
export const upstreamKeywords = `
  FILE_CHECK PING_CHECK active_key anti_replay auth_hmac bfd_rlimit_rttime check_unicast_src
  checker_process_name checker_rlimit_rttime config_save_dir data_use_instance dbus_no_interface_name
  disable_local_igmp down_timer_adverts fifo_write_vrrp_states_on_reload garp_extra_if include_check
  interface_up_down_delays iproute_etc_dir iproute_usr_dir json_dump_file json_version
  lvs_flush_on_stop max_auto_priority mcast_dst_ip min_auto_priority_delay mode multihop
  net_namespace_ipvs nftables_ipvs nftables_ipvs_priority nftables_ipvs_start_fwmark
  no_virtual_ipaddress notify_deleted owner_ignore_adverts reload_check_config reload_file
  reload_repeat reload_time_file set_supplementary_groups shutdown_script shutdown_script_timeout
  sni_name snmp_name snmp_rs_stats_update_interval snmp_vs_stats_update_interval startup_script
  startup_script_timeout state_dump_file stats_dump_file thread_timer_expired time_window
  timer_expired_backup tls_compliant tmp_config_directory unicast_fault_no_peer unicast_ttl
  use_symlink_paths use_vmac_addr v3_checksum_as_v2 vmac_addr_prefix vmac_garp_intvl vmac_prefix vrf
  vrrp_delay_after_boot vrrp_down_timer_adverts vrrp_garp_extra_if vrrp_owner_ignore_adverts
  vrrp_rlimit_rttime vrrp_vmac_garp_intvl
`
  .trim()
  .split(/\s+/);

/** Words that only DPVS has. */
export const dpvsKeywords = `
  allow_address_group bps daddr_group_name deny_address_group dpdk_interface dst-range
  establish_timeout expire_quiescent_conn hash_target if iif kind laddr_group_name limit_proportion
  local local_address_group oif proxy_protocol quic remote src-range syn_proxy tunnel_entry
  tunnel_group vip_bind_dev waddr_group_name
`
  .trim()
  .split(/\s+/);
