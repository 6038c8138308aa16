import {
  choice,
  choices,
  collected,
  flag,
  group,
  integer,
  integers,
  item,
  type ModelOf,
  optional,
  section,
  text,
} from './schema.js';

/** Seconds that a time-out of a connection may last; LVS allows 31 days. */
const seconds = integer(1, 2678400);
const name = text('a name of at most 15 letters', 'dpdk0', /^[A-Za-z0-9][\w.:-]{0,14}$/);
const twin = text('a name of at most 15 letters', 'dpdk0.kni', /^[A-Za-z0-9][\w.:-]{0,14}$/);
const path = (example: string) => text('a path', example, /^\/\S+$/);

const fragmentsFixed =
  'each worker waits one second, for at most as many packets as a quarter of the packet buffers holds; 8 fragments a packet is the most that DPDK joins';
// What is still to be built: whoever builds it takes the constant away, and documents and -t follow.
const uoaLater = 'UOA is not built yet';

const synproxyLater = 'SYN proxy is not built yet';

const device = group(
  'name of the port, the one that dpip shows',
  'A port. Workers, bonding blocks, dpip and keepalived.conf know it by this name.',
  {
    pci: optional(
      text('a PCI address', '0000:06:00.0', /^([0-9a-f]{4}:)?[0-9a-f]{2}:[0-9a-f]{2}\.[0-7]$/i),
      'The NIC behind this name. Without pci and vdev, names are bound in order to the addresses given by -a or --vdev behind "--", or to the NICs that a DPDK driver holds.',
      { init: true },
    ),
    vdev: optional(
      text(
        'a DPDK virtual device with its arguments',
        'net_af_packet0,iface=veth0',
        /^[a-z][a-z_]*\w*(,[^\s,]+)*$/,
      ),
      'The virtual device behind this name: af_packet, TAP, memif, vhost ... The number of queues is added where the driver wants to know it.',
      { init: true },
    ),
    rx: section('Receiving.', {
      max_burst_size: item(integer(1, 64), 32, 'Most packets taken from a queue at once.', { init: true }),
      queue_number: item(
        integer(0, 16),
        16,
        'Most queues that may be used; as many are set up as workers ask for.',
        { init: true },
      ),
      descriptor_number: item(integer(16, 8192), 256, 'Packets that a queue holds.', { init: true }),
      rss: item(
        choices('all', 'ip', 'tcp', 'udp', 'sctp', 'ether', 'port', 'tunnel'),
        ['all'],
        'What the NIC hashes to spread packets over queues.',
        { init: true },
      ),
    }),
    tx: section('Sending.', {
      max_burst_size: item(integer(1, 512), 32, 'Most packets given to a queue at once.', {
        init: true,
        without: 'what a burst of received packets becomes is sent at once',
      }),
      queue_number: item(
        integer(0, 16),
        16,
        'Most queues that may be used; as many are set up as workers ask for.',
        { init: true },
      ),
      descriptor_number: item(integer(16, 8192), 512, 'Packets that a queue holds.', { init: true }),
      mbuf_fast_free: item(flag, true, 'Lets the NIC hand back sent packets without looking at each.', {
        init: true,
        without: 'packets may be shared between ports, which that shortcut does not survive',
      }),
    }),
    mtu: item(integer(0, 9000), 1500, 'Longest IP packet, in bytes; 0 leaves what the device has.', {
      init: true,
    }),
    promisc_mode: item(flag, false, 'Also takes frames for other stations.', { init: true }),
    allmulticast: item(flag, false, 'Takes every multicast frame.', { init: true }),
    kni_name: optional(twin, 'Name of the kernel twin.', {
      init: true,
      otherwise: 'NAME.kni',
    }),
    fdir: section('Flow director, of old versions of DPVS.', {
      mode: optional(text('a word', 'perfect'), 'Mode.', { without: 'rte_flow rules need no mode' }),
      pballoc: optional(text('a word', '64k'), 'Memory for rules.', { without: 'rte_flow rules need none' }),
      status: optional(text('a word', 'matched'), 'What is reported.', {
        without: 'rte_flow rules need none',
      }),
    }),
  },
  { init: true },
);

const bonding = group(
  'name of the bond',
  'Several ports that work as one. The workers name the bond in place of its slaves.',
  {
    mode: item(
      integer(0, 6),
      0,
      '0 round robin, 1 active backup, 2 balance, 3 broadcast, 4 LACP (802.3ad), 5 adaptive sending, 6 adaptive.',
      { init: true },
    ),
    slave: collected(name, 'A device of the bond; one line for each.', { init: true }),
    primary: optional(name, 'The slave that is preferred in mode 1, and lends its address.', {
      init: true,
      otherwise: 'the first slave',
    }),
    numa_node: optional(integer(0, 63), 'Memory of this node is used.', {
      init: true,
      otherwise: 'the node of the slaves',
    }),
    kni_name: optional(twin, 'Name of the kernel twin.', {
      init: true,
      otherwise: 'NAME.kni',
    }),
    options: optional(
      text('KEY=VALUE;KEY=VALUE', 'dedicated_queues=on', /^\w+=\w+(;\w+=\w+)*;?$/),
      'Further options of the bond, such as dedicated_queues for LACP.',
      { init: true, without: 'LACP frames share the data queues so far' },
    ),
  },
  { init: true },
);

const worker = group(
  'name of the worker',
  'A thread with a CPU of its own: the master (control), or a slave (forwards packets).',
  {
    type: item(
      choice('master', 'slave', 'kni'),
      'slave',
      'master: control and the kernel twins; slave: packets. A kni worker is read and left out: the master does its work.',
      { init: true },
    ),
    cpu_id: optional(
      integer(0, 1023),
      'The CPU, as the kernel numbers it. With -l or --lcores behind "--": the lcore of that number.',
      { init: true, otherwise: 'needed' },
    ),
    icmp_redirect_core: item(flag, false, 'This worker takes the ICMP errors that belong to no other.', {
      init: true,
      without: 'every worker finds the owner of an ICMP error itself',
    }),
    port: group(
      'device or bond',
      "The queues of a port that are this worker's alone.",
      {
        rx_queue_ids: item(integers(0, 15), [], 'Queues it receives from.', {
          init: true,
          otherwise: 'none',
        }),
        tx_queue_ids: item(integers(0, 15), [], 'Queue it sends to; of several, the first is used.', {
          init: true,
          otherwise: 'the next free one',
        }),
        isol_rx_cpu_ids: item(integers(0, 1023), [], 'CPUs that only receive for this worker.', {
          init: true,
          otherwise: 'none',
          without: 'a worker receives itself',
        }),
        isol_rxq_ring_sz: item(
          integer(256, 134217728),
          1048576,
          'Packets between such a CPU and the worker.',
          {
            init: true,
            without: 'a worker receives itself',
          },
        ),
      },
      { init: true },
    ),
  },
  { init: true },
);

/** Every block and item of dpvs.conf: DPVS's own, and ours (pci, vdev, idle_policy, memory, hugepages). */
export const items = {
  global_defs: section('The process as a whole.', {
    daemon: item(flag, false, 'Detaches from the terminal and goes into the background.', { init: true }),
    log_level: item(
      choice('emerg', 'alert', 'crit', 'err', 'error', 'warning', 'warn', 'notice', 'info', 'debug'),
      'info',
      'The least severe lines that are written.',
    ),
    log_file: optional(path('/var/log/dpvs.log'), 'Where lines are written.', {
      init: true,
      otherwise: 'standard error, or /var/log/dpvs.log with daemon on',
    }),
    log_with_timestamp: item(flag, false, 'Puts the time in front of each line.', {
      without: 'lines of a log_file always carry the time, and the journal adds its own',
    }),
    log_async_mode: item(flag, false, 'Writes lines in a thread of its own.', {
      init: true,
      without: 'no worker ever writes a line',
    }),
    log_async_pool_size: item(integer(1023, 1048575), 16383, 'Lines that may wait.', {
      init: true,
      without: 'no worker ever writes a line',
    }),
    pdump: item(flag, false, 'Lets dpdk-pdump capture packets.', {
      init: true,
      without: 'a second DPDK process cannot attach to one that keeps no files in hugetlbfs',
    }),
    kni: item(
      flag,
      true,
      'Gives each port a twin in the kernel, for what the dataplane does not handle itself.',
      {
        init: true,
      },
    ),
    kni_kind: item(
      choice('auto', 'tap', 'virtio-user'),
      'auto',
      'What the twins are. tap: TAP devices. virtio-user: TAP devices whose packets vhost_net carries, which needs /dev/vhost-net. auto: tap.',
      { init: true },
    ),
    lldp: item(flag, true, 'Announces itself to the switch by LLDP.', {
      init: true,
      without: 'LLDP is not built yet',
    }),
    idle_policy: optional(
      choice('poll', 'adaptive'),
      'poll: workers never sleep (production). adaptive: a worker without packets sleeps for a while.',
      { init: true, otherwise: 'adaptive when every port is virtual, otherwise poll' },
    ),
    memory: optional(integer(128, 1048576), 'Megabytes that are set aside at start.', {
      init: true,
      otherwise: 'from pktpool_size, conn_pool_size and the number of workers',
    }),
    hugepages: item(
      choice('auto', 'on', 'off'),
      'auto',
      'on: refuses to start without them. off: ordinary memory. auto: hugepages when enough are free.',
      { init: true },
    ),
  }),
  netif_defs: section('Ports and the memory for packets.', {
    pktpool_size: item(integer(1023, 134217728), 65535, 'Packet buffers on each NUMA node in use.', {
      init: true,
    }),
    pktpool_cache: item(
      integer(32, 8192),
      256,
      'Packet buffers that each worker keeps for itself; DPDK takes up to 512.',
      {
        init: true,
      },
    ),
    fdir_mode: item(
      choice('perfect', 'signature', 'none', 'perfect_mac_vlan', 'perfect_tunnel'),
      'perfect',
      'How flow director matched.',
      { init: true, without: 'rte_flow rules need no mode' },
    ),
    device,
    bonding,
  }),
  worker_defs: section('Threads, their CPUs and queues.', { worker }),
  timer_defs: section('Timers.', {
    schedule_interval: item(integer(1, 10000000), 10, 'Microseconds between two looks at the timers.', {
      init: true,
      without: 'the wheel turns with the clock',
    }),
  }),
  neigh_defs: section('Neighbours (ARP, ND).', {
    unres_queue_length: item(integer(16, 8192), 128, 'Packets that wait for one neighbour to answer.', {
      init: true,
    }),
    timeout: item(integer(1, 3600), 60, 'Seconds for which an answer is trusted.'),
  }),
  ipset_defs: section('Sets of addresses.', {
    ipset_hash_pool_size: item(integer(65536, 524288), 131072, 'Entries of all sets.', {
      init: true,
      without: 'ipsets are not built yet',
    }),
  }),
  ipv4_defs: section('IPv4.', {
    forwarding: item(flag, false, 'Routes packets that belong to no service.'),
    default_ttl: item(integer(1, 255), 64, 'Time to live of packets that dpvsd makes itself.'),
    fragment: section('Putting fragments together.', {
      bucket_number: item(integer(32, 65536), 4096, 'Buckets of the table.', {
        init: true,
        without: fragmentsFixed,
      }),
      bucket_entries: item(integer(1, 256), 16, 'Entries of a bucket.', {
        init: true,
        without: fragmentsFixed,
      }),
      max_entries: item(integer(32, 65536), 4096, 'Packets that wait for fragments.', {
        init: true,
        without: fragmentsFixed,
      }),
      ttl: item(integer(1, 255), 1, 'Seconds to wait for a fragment.', {
        init: true,
        without: fragmentsFixed,
      }),
    }),
  }),
  ipv6_defs: section('IPv6.', {
    disable: item(flag, false, 'Does without IPv6.', { without: 'without addresses of IPv6 there is none' }),
    forwarding: item(flag, false, 'Routes packets that belong to no service.'),
    addr_gen_mode: item(
      choice('eui64', 'none', 'stable-privacy', 'random'),
      'eui64',
      'How the link-local address of a port is made.',
      { init: true, without: 'link-local addresses are made from the MAC (eui64)' },
    ),
    stable_secret: optional(
      text('32 hex digits', '00112233445566778899aabbccddeeff', /^([0-9a-f:]*)$/i),
      'Secret of stable-privacy.',
      { init: true, without: 'link-local addresses are made from the MAC (eui64)' },
    ),
    route6: section('Routes.', {
      method: item(choice('hlist', 'lpm'), 'hlist', 'Kind of table.', {
        init: true,
        without: 'there is one kind of table, of longest prefixes',
      }),
      recycle_time: item(integer(1, 36000), 10, 'Seconds between clean-ups of unused routes.', {
        without: 'routes go when the last worker has left them',
      }),
      lpm: section('Sizes of the lpm table.', {
        lpm6_max_rules: item(integer(16, 2147483647), 1024, 'Routes.', {
          init: true,
          without: 'there is one kind of table, of longest prefixes',
        }),
        lpm6_num_tbl8s: item(integer(16, 2147483647), 16384, 'Groups of 256 entries.', {
          init: true,
          without: 'there is one kind of table, of longest prefixes',
        }),
        rt6_hash_bucket: item(integer(2, 2147483647), 256, 'Buckets.', {
          init: true,
          without: 'there is one kind of table, of longest prefixes',
        }),
      }),
    }),
  }),
  ctrl_defs: section('Control.', {
    lcore_msg: section('Messages between threads.', {
      ring_size: item(integer(256, 524288), 4096, 'Messages that may wait for a thread.', {
        init: true,
        without: 'rings are sized by what travels on them',
      }),
      sync_msg_timeout_us: item(integer(1, 4294967295), 2000, 'Microseconds to wait for an answer.', {
        without: 'the master never waits for a worker',
      }),
      priority_level: item(
        choice('low', 'norm', 'high', 'ign'),
        'low',
        'Least priority that is handled at once.',
        {
          init: true,
          without: 'messages are handled between any two bursts',
        },
      ),
    }),
    ipc_msg: section('Control socket, of old versions of DPVS.', {
      unix_domain: optional(path('/var/run/dpvs_ctrl'), 'Path of the socket.', {
        init: true,
        without: 'the socket is named by -x, or by the environment variable DPVS_IPC_FILE',
      }),
    }),
  }),
  ipvs_defs: section('Services and connections.', {
    conn: section('Connections.', {
      conn_pool_size: item(integer(65536, 1073741824), 2097152, 'Connections of all workers together.', {
        init: true,
      }),
      conn_pool_cache: item(integer(1, 65535), 256, 'Connections that each worker keeps for itself.', {
        init: true,
        without: 'the connections of a worker are its own in any case',
      }),
      conn_init_timeout: item(
        seconds,
        3,
        'Seconds of a connection whose first packet did not get on its way; for others the time-out of their state counts from the first packet on.',
      ),
      expire_quiescent_template: item(
        flag,
        false,
        'Persistence to a server of weight 0 ends at once: its clients go to another server with the next connection.',
      ),
      fast_xmit_close: item(flag, false, 'Looks up the route for every packet.', {
        without: 'a cached route is dropped by its generation number',
      }),
      xmit_ttl: item(flag, false, 'Counts the time to live down.', {
        without: 'a forwarded packet always loses one hop, as RFC 1812 5.3.1 asks',
      }),
      redirect: item(flag, false, 'Hands a packet to the worker that owns its connection.', {
        init: true,
        without: 'packets always reach the worker that owns their connection',
      }),
    }),
    udp: section('UDP.', {
      defence_udp_drop: item(
        flag,
        false,
        'A datagram to a port of ours that no virtual server has is dropped without a word, instead of "port unreachable".',
      ),
      uoa_mode: item(
        choice('opp', 'ipo'),
        'opp',
        'How a server learns the client of FullNAT: opp: a header of protocol 248; ipo: an option of IPv4.',
        { without: uoaLater },
      ),
      uoa_max_trail: item(integer(0, 255), 3, 'First packets of a session that carry it; 0: none.', {
        without: uoaLater,
      }),
      timeout: section('Seconds after the last packet.', {
        oneway: item(seconds, 300, 'The server has not answered yet.'),
        normal: item(seconds, 300, 'Both sides have spoken.'),
        last: item(seconds, 3, 'The session was ended.'),
      }),
    }),
    tcp: section('TCP.', {
      defence_tcp_drop: item(
        flag,
        false,
        'A segment to a port of ours that no virtual server has is dropped without a word, instead of a reset.',
      ),
      timeout: section('Seconds after the last packet, in each state.', {
        none: item(seconds, 2, 'NONE.'),
        established: item(seconds, 90, 'ESTABLISHED.'),
        syn_sent: item(seconds, 3, 'SYN_SENT.'),
        syn_recv: item(seconds, 30, 'SYN_RECV.'),
        fin_wait: item(seconds, 7, 'FIN_WAIT.'),
        time_wait: item(seconds, 7, 'TIME_WAIT.'),
        close: item(seconds, 3, 'CLOSE.'),
        close_wait: item(seconds, 7, 'CLOSE_WAIT.'),
        last_ack: item(seconds, 7, 'LAST_ACK.'),
        listen: item(seconds, 120, 'LISTEN.'),
        synack: item(seconds, 30, 'SYNACK.'),
        last: item(seconds, 2, 'After the last state.'),
      }),
      synproxy: section('SYN proxy: answering SYN with a cookie.', {
        synack_options: section('Options of the SYN/ACK.', {
          mss: item(integer(1, 65535), 1452, 'Segment size.', { without: synproxyLater }),
          ttl: item(integer(1, 255), 63, 'Time to live.', { without: synproxyLater }),
          sack: item(flag, false, 'Selective acknowledgement.', { without: synproxyLater }),
          wscale: item(integer(0, 14, 0), 0, 'Window scale.', { without: synproxyLater }),
          timestamp: item(flag, false, 'Timestamps.', { without: synproxyLater }),
        }),
        close_client_window: item(flag, false, 'Holds the client back until the server has answered.', {
          without: synproxyLater,
        }),
        defer_rs_syn: item(flag, false, 'Calls the server only when the client sends data.', {
          init: true,
          without: synproxyLater,
        }),
        rs_syn_max_retry: item(integer(1, 99), 3, 'SYNs sent to a silent server.', {
          without: synproxyLater,
        }),
        ack_storm_thresh: item(integer(1, 999), 10, 'Equal ACKs after which the connection is cut.', {
          without: synproxyLater,
        }),
        max_ack_saved: item(integer(1, 64), 3, 'Packets kept until the server has answered.', {
          without: synproxyLater,
        }),
        conn_reuse_state: section('States in which a new SYN may reuse a connection.', {
          close: item(flag, false, 'CLOSE.', { without: synproxyLater }),
          time_wait: item(flag, false, 'TIME_WAIT.', { without: synproxyLater }),
          fin_wait: item(flag, false, 'FIN_WAIT.', { without: synproxyLater }),
          close_wait: item(flag, false, 'CLOSE_WAIT.', { without: synproxyLater }),
          last_ack: item(flag, false, 'LAST_ACK.', { without: synproxyLater }),
        }),
      }),
    }),
  }),
  sa_pool: section('Local addresses and their ports.', {
    pool_hash_size: item(integer(1, 128), 16, 'Buckets of the pool of a local address.', {
      init: true,
      without: 'a free port is taken from a list, not sought',
    }),
    flow_enable: item(
      flag,
      true,
      'Asks the NIC by rte_flow to bring replies to the worker that owns the connection (where it cannot, workers hand over), and control traffic to a queue of its own.',
      { init: true },
    ),
  }),
};

/** A dpvs.conf as read: every item of the table, with what the file says or the default. */
export type Model = ModelOf<typeof items>;
export type Device = Model['netif_defs']['device'][number];
export type Bonding = Model['netif_defs']['bonding'][number];
export type Worker = Model['worker_defs']['worker'][number];
