/** What `ipvsadm -h` prints. */
export const usage = `\
ipvsadm: virtual servers of dpvsd

  ipvsadm -A|-E SERVICE [service options]     add, edit a virtual server (-E changes only what it names)
  ipvsadm -D SERVICE                          delete it
  ipvsadm -a|-e SERVICE -r SERVER [options]   add, edit a real server (-e changes only what it names)
  ipvsadm -d SERVICE -r SERVER                delete it
  ipvsadm -P|-Q SERVICE -z ADDRESS -F DEVICE  add, delete a local address (FullNAT, SNAT)
  ipvsadm -U|-V SERVICE -k ENTRY              add, delete an entry of the deny list
  ipvsadm -O|-Y SERVICE -2 ENTRY              add, delete an entry of the allow list
  ipvsadm -L|-l [SERVICE] [list options]      list virtual and real servers
  ipvsadm -L -c [--sockpair PAIR]             list connections; with --persistent-conn the persistence templates
  ipvsadm -L --timeout | --daemon             list the time-outs, the synchronisation daemons (there are none)
  ipvsadm -G|-B|-W [SERVICE]                  list local addresses, deny lists, allow lists
  ipvsadm -Z [SERVICE]                        set counters to zero
  ipvsadm -C                                  delete everything
  ipvsadm -S | -R                             write all as command lines; read such lines from standard input
  ipvsadm --set TCP TCPFIN UDP                set time-outs in seconds (0 leaves one as it is)
  ipvsadm -h | -v                             this text; versions

SERVICE
  -t, --tcp-service ADDRESS:PORT       -u, --udp-service ADDRESS:PORT       [IPv6]:PORT; names are looked up
  -q, --icmp-service ADDRESS           -1, --icmpv6-service ADDRESS
  -f, --fwmark-service MARK [-6]       packets with this firewall mark (-6: IPv6)
  -H, --match MATCH                    proto=tcp|udp|icmp|icmpv6,src-range=IP-IP:PORT-PORT,dst-range=...,iif=DEV,oif=DEV,af=ipv6

Service options
  -s, --scheduler NAME                 rr wrr lc wlc sed nq sh dh mh conhash fo ovf (default wlc)
      --sched-flags FLAGS              sh-fallback,sh-port ...
      --hash-target sip|qid            what conhash hashes: the client's address, or QUIC's connection id
  -p, --persistent [SECONDS]           a client stays with its server (default 360; -E with 0 ends it)
  -M, --netmask MASK                   ... or all clients of a network do (IPv6: a prefix length)
  -o, --ops                            one-packet scheduling (UDP)
  -j, --synproxy enable|disable        SYN proxy
      --conn-timeout SECONDS           time-out of established connections, 0: the protocol's
      --proxy-protocol VERSION         disable v1 v2 v1-insecure v2-insecure
      --expire-quiescent               connections end when their server's weight becomes 0
      --quic                           QUIC: follow connection ids
      --dest-check CHECK               passive check: disable, default, 1,1,3s,5-3600s, 1,3s
      --bps N, --limit-proportion N    rate limits
      --owner NAME                     who put it here
      --no-ops, --no-quic, --no-expire-quiescent switch off, with -E

Server options
  -r, --real-server ADDRESS[:PORT]     default: the service's port
  -b, --fullnat  -m, --masquerading (NAT)  -g, --gatewaying (DR, default)  -i, --ipip (tunnel)  -J, --snat
  -w, --weight N                       0 to 65535 (default 1); 0 takes no new connections
  -x, --u-threshold N                  no new connections above this many
  -y, --l-threshold N                  ... until there are fewer than this
      --inhibited, --no-inhibited      weight taken away by a health check

ENTRY: ADDRESS, NETWORK/PREFIX or ipset:NAME

List options
  -n, --numeric   --stats   --rate   --thresholds   --persistent-conn   --exact   --nosort   --cpu N (0: all together)
      --sockpair tcp|udp:CLIENT:PORT:VIP:PORT     one connection

      --json with any command: results, and errors on standard error, as JSON

DPVS_IPC_FILE names the control socket of another instance (default /var/run/dpvs.ipc).
Exit code: 0 done, 1 refused by dpvsd, 2 wrong command line or no dpvsd.
`;
