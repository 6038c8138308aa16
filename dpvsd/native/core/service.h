/* Virtual servers and real servers as the workers see them. The master builds and publishes; workers only
 * read, and count into arrays of their own (worker_view), so that no cache line is written by two cores. */
#ifndef DPVSHA_SERVICE_H
#define DPVSHA_SERVICE_H

#include "base.h"

enum {
	MAX_SERVICES = 1 << 17,
	MAX_SERVERS = 1 << 20,
	SERVER_NONE = 0, /* index 0 is never given out */
};

/* Numbers of control.proto. */
enum forward {
	FORWARD_FULLNAT,
	FORWARD_NAT,
	FORWARD_DR,
	FORWARD_TUNNEL, /* place kept: connection_new() refuses it with DROP_UNSUPPORTED */
	FORWARD_SNAT, /* place kept */
};

enum service_flag {
	SERVICE_ONE_PACKET = 1 << 0,
	SERVICE_EXPIRE_QUIESCENT = 1 << 1,
	SERVICE_SYN_PROXY = 1 << 2,
	SERVICE_QUIC = 1 << 3,
	SERVICE_HASH_QUIC_ID = 1 << 4,
	/* Derived by the master: */
	SERVICE_HAS_NAT = 1 << 8, /* some server is NAT: with several workers all its packets are steered by
				     client */
	SERVICE_RESTEERED = 1 << 9, /* its packets were steered otherwise once: connections of then are at
				       other workers */
};

enum server_flag {
	SERVER_REMOVED = 1 << 0, /* no longer configured, kept until its last connection is gone */
	SERVER_INHIBITED = 1 << 1,
	SERVER_EXPIRE_QUIESCENT = 1 << 2, /* its service has SERVICE_EXPIRE_QUIESCENT: without weight it loses
					     its connections */
};

/* A real server of one virtual server. Published; weight, thresholds and flags change in place (single
 * aligned words, relaxed). */
struct server {
	uint32_t index; /* stable while any connection refers to it; of worker_view.servers */
	uint32_t service; /* index of its virtual server */
	union ip_addr address;
	rte_be16_t port;
	uint8_t family;
	uint8_t forward; /* enum forward */
	uint32_t weight;
	uint32_t upper; /* connections over all workers, 0: no limit */
	uint32_t lower;
	uint32_t flags; /* enum server_flag */
	uint32_t connection_timeout; /* seconds, of its service, 0: the protocol's */
	uint32_t overloaded; /* set by any worker when upper is reached, cleared below lower; relaxed */
} __rte_cache_aligned;

/* What one worker counts for one server: one cache line, written by that worker alone. */
struct server_count {
	uint32_t active; /* established */
	uint32_t inactive;
	uint32_t persistent; /* templates */
	uint32_t unused;
	uint64_t connections;
	uint64_t in_packets;
	uint64_t out_packets;
	uint64_t in_bytes;
	uint64_t out_bytes;
} __rte_cache_aligned;

/* What one worker remembers for one service's scheduler: the cursor of rr, wrr and their kin. Starts at
 * floor(servers * worker / workers). In another schedule of the same service it goes on as far from there as
 * it has come: where weights change often, the first servers would otherwise have every turn. */
struct schedule_cursor {
	uint64_t schedule; /* serial number of the schedule */
	uint32_t position;
	uint32_t taken; /* turns since the service is there */
	uint32_t local; /* the same as position, for local addresses */
};

struct schedule; /* schedule.h */
struct local_set; /* local_port.h */
struct client_list; /* service_table.h */

struct service_key {
	union ip_addr address;
	rte_be16_t port; /* 0: any port */
	uint8_t protocol;
	uint8_t family;
	uint32_t fwmark;
};

/* A virtual server. Found by workers through service_lookup(). The pointers are published one by one. */
struct service {
	struct service_key key;
	uint32_t index;
	uint32_t flags; /* enum service_flag */
	uint32_t connection_timeout; /* seconds, 0: the protocol's */
	uint32_t persistence; /* seconds, 0: none */
	uint8_t persistence_prefix; /* over client addresses */
	uint32_t fragmented; /* set by any worker when a packet of it has come in pieces: RSS may have put
				such packets, and the others of their flows, at different workers. Relaxed */
	struct schedule *schedule;
	struct local_set *locals; /* NULL: none */
	struct client_list *deny; /* NULL: empty */
	struct client_list *allow; /* NULL: everybody */
} __rte_cache_aligned;

#endif
