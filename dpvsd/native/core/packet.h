/* A packet as the pure functions see it: bytes, a few parsed fields, and in the end a verdict. Knows nothing
 * of mbufs or ports, so that tests, fuzzers and the benchmark make packets from plain memory. */
#ifndef DPVSHA_PACKET_H
#define DPVSHA_PACKET_H

#include "base.h"
#include "reason.h"

enum verdict {
	VERDICT_NONE, /* not decided yet */
	VERDICT_DROP, /* `reason` says why */
	VERDICT_FORWARD, /* write the Ethernet header of `adjacency`, send from its port */
	VERDICT_HANDOVER, /* to the worker `owner`, which starts over with it */
	VERDICT_UNRESOLVED, /* the master finds the neighbour `next_hop` on `port`, and sends it then */
	VERDICT_MASTER, /* ARP, ND and MLD queries: the master's business */
	VERDICT_KERNEL, /* to the kernel twin of the port it came from */
	VERDICT_REASSEMBLE, /* a fragment: comes again when it is whole */
	VERDICT_LOCAL, /* handled here, nothing to send */
};

enum packet_flag {
	PACKET_HANDED_OVER = 1 << 0, /* came from another worker's ring */
	PACKET_L2_BROADCAST = 1 << 1, /* to a broadcast or multicast MAC address: never answered with an ICMP
					 error */
	PACKET_BAD_CHECKSUM = 1 << 2, /* the port saw a wrong L4 checksum */
	PACKET_GOOD_CHECKSUM = 1 << 3, /* the port verified the L4 checksum */
	PACKET_ICMP_ERROR = 1 << 4, /* the key is that of the packet which the error is about, turned round */
	PACKET_FRAGMENT = 1 << 5,
	PACKET_OUTBOUND = 1 << 6, /* from server to client */
	PACKET_OVERSIZE = 1 << 7, /* IPv4 larger than the path's MTU, may be fragmented: the worker does */
	PACKET_REASSEMBLED = 1 << 8, /* was fragments: RSS may have sent it elsewhere than its flow's other
					packets */
};

/* The five-tuple by which connections are found; fields in network order. For ICMP echo the identifier stands
 * in both ports. */
struct flow_key {
	union ip_addr source;
	union ip_addr destination;
	rte_be16_t source_port;
	rte_be16_t destination_port;
	uint8_t protocol;
	uint8_t family;
};

struct packet {
	uint8_t *l3; /* first byte of the IP header; may move when headers are added */
	uint16_t length; /* readable bytes from l3 on that are contiguous */
	uint16_t total; /* IP packet's length with further segments */
	uint16_t headroom; /* writable bytes before l3 */
	uint16_t port; /* that it came in from; in the end that it goes out by */
	uint8_t family; /* enum family */
	uint8_t protocol; /* IPPROTO_ of the transport header */
	uint8_t l4; /* offset of the transport header from l3 */
	uint8_t verdict; /* enum verdict */
	uint8_t reason; /* enum drop_reason, of VERDICT_DROP */
	uint8_t owner; /* worker, of VERDICT_HANDOVER */
	uint8_t origin; /* worker that has seen it first */
	uint16_t flags; /* enum packet_flag */
	uint16_t mtu; /* of PACKET_OVERSIZE: longest piece that the path takes */
	uint64_t tried; /* workers that have seen it already, a bit each; 0: it has just come in */
	uint32_t hash; /* of key */
	uint32_t found; /* connection << 1 | direction, CONN_NONE: no such connection */
	const struct adjacency *adjacency; /* of VERDICT_FORWARD */
	void *handle; /* the caller's: an mbuf */
	struct flow_key key;
	union ip_addr next_hop; /* of VERDICT_UNRESOLVED, with `port` the port to ask on */
};

static inline void packet_drop(struct packet *p, enum drop_reason reason)
{
	p->verdict = VERDICT_DROP;
	p->reason = (uint8_t)reason;
}

#endif
