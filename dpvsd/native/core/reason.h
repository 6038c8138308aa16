/* Why a packet was not forwarded, declared once: enumeration, name in dpip and metrics, sentence in help
 * texts. */
#ifndef DPVSHA_REASON_H
#define DPVSHA_REASON_H

#define DROP_REASONS(X)                                                                                      \
	X(SHORT, "short-frame", "frame too short for its headers")                                           \
	X(NOT_FOR_US, "not-for-us", "unicast frame with another's MAC address")                              \
	X(ETHERTYPE, "ethertype", "link protocol that neither dataplane nor kernel twin takes")              \
	X(IP_HEADER, "ip-header", "IP version, header length or total length is wrong")                      \
	X(IP_CHECKSUM, "ip-checksum", "IPv4 header checksum is wrong")                                       \
	X(IP_SOURCE, "ip-source", "source address is multicast, broadcast or unspecified")                   \
	X(IP_OPTION, "ip-option", "IPv4 source route or IPv6 routing header")                                \
	X(TTL, "ttl-exceeded", "TTL or hop limit ran out")                                                   \
	X(L4_HEADER, "l4-header", "transport header is cut short or malformed")                              \
	X(L4_CHECKSUM, "l4-checksum", "transport checksum is wrong")                                         \
	X(FRAGMENT, "fragment", "fragment that cannot be put together")                                      \
	X(NO_SERVICE, "no-service", "address of ours, but no virtual server and no twin takes it")           \
	X(NO_SERVER, "no-server", "virtual server without an available real server")                         \
	X(DENIED, "denied", "client is on the deny list, or not on the allow list")                          \
	X(NO_LOCAL_PORT, "no-local-port", "no local address with a free port")                               \
	X(NO_CONNECTION, "no-connection", "not the start of a connection, and of none that is known")        \
	X(CONNECTIONS_FULL, "connections-full", "connection table is full")                                  \
	X(SERVER_GONE, "server-gone",                                                                        \
	  "the connection's server was removed or has no weight (expire-quiescent)")                         \
	X(UNSUPPORTED, "unsupported-mode", "forwarding mode that this version does not have")                \
	X(NO_ROUTE, "no-route", "no route to the destination")                                               \
	X(UNRESOLVED, "neighbour-unresolved", "the next hop did not answer ARP or ND")                       \
	X(NEIGHBOUR_QUEUE, "neighbour-queue-full", "too many packets wait for this next hop already")        \
	X(TOO_BIG, "too-big", "larger than the path's MTU and must not be fragmented")                       \
	X(HEADROOM, "headroom", "no room in the buffer for another header")                                  \
	X(ICMP_UNRELATED, "icmp-unrelated", "ICMP error about no known connection")                          \
	X(ICMP_RATE, "icmp-rate", "more ICMP errors than the rate limit lets through")                       \
	X(HANDOVER, "handover-full", "ring to the worker that owns the connection is full")                  \
	X(MASTER, "master-queue-full", "ring to the master is full")                                         \
	X(TWIN, "twin-full", "the kernel twin did not take the packet")                                      \
	X(TX, "tx-full", "the port did not take the packet")                                                 \
	X(LINK_DOWN, "link-down", "the port is down")                                                        \
	X(ONE_PACKET, "one-packet", "answer of a one-packet service whose client is gone")                   \
	X(LOOP, "loop", "came from where it would go, or was handed over by every worker already")           \
	X(NOT_FORWARDING, "not-forwarding", "for somebody else, and forwarding is off")                      \
	X(SYN_DEFENCE, "syn-defence", "refused by the defence of the virtual server")

enum drop_reason {
#define X(NAME, TEXT, HELP) DROP_##NAME,
	DROP_REASONS(X)
#undef X
	    DROP_REASON_COUNT,
};

/* Names and help by reason; both arrays have DROP_REASON_COUNT items. */
extern const char *const drop_reason_name[];
extern const char *const drop_reason_help[];

#endif
