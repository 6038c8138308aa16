/* All that a worker needs to decide about a packet: one `director` for the process, one `worker_view` per
 * worker. */
#ifndef DPVSHA_DIRECTOR_H
#define DPVSHA_DIRECTOR_H

#include "connection.h"
#include "local_port.h"
#include "packet.h"
#include "schedule.h"
#include "service.h"
#include "service_table.h"
#include "../stack/net.h"

/* Time-outs in seconds, by the states of connection.h. Plain words that the master may change at any time. */
struct timeouts {
	uint32_t tcp[TCP_STATE_COUNT];
	uint32_t udp[UDP_STATE_COUNT];
	uint32_t icmp;
	uint32_t connection_init; /* first packet of any connection */
};

/* Which worker owns which share of the local ports, and of steered clients. */
struct steering {
	uint16_t shares; /* a power of two, at least `workers` */
	uint16_t workers;
	uint8_t owner[256]; /* worker by share; only the first `shares` count */
};

struct director {
	struct net *net;
	struct service_table *services;
	struct local_table *locals; /* published */
	struct server **servers; /* MAX_SERVERS pointers by index, published one by one; NULL: free */
	struct steering steering;
	struct timeouts timeouts;
	/* From dpvs.conf */
	bool expire_quiescent; /* for persistence templates: a server without weight loses them */
	bool drop_udp_unknown,
	    drop_tcp_unknown; /* defence_udp_drop, defence_tcp_drop: silent drop for unknown ports of a VIP */
	bool flows_wander; /* some port may bring the packets of one flow to several workers: they are
			      searched for */
	uint32_t icmp_errors_per_second; /* a worker, own errors and TCP resets; 0: none */
	bool toa; /* FullNAT adds the client's address as TCP option */
	struct worker_view *workers[MAX_WORKERS];
};

/* Counters by name, written by one worker, read by the master. in = forwarded + kernel + local + held + sum
 * of drops, over all workers, whenever no packet is inside a ring. `held` are packets handed to the master,
 * which counts what became of them: the gauge shown is held - released. */
struct packet_counters {
	uint64_t in;
	uint64_t forwarded;
	uint64_t kernel;
	uint64_t local;
	uint64_t held;
	uint64_t originated; /* packets of our own: ICMP errors; not part of the sum */
	uint64_t handed_over;
	uint64_t taken_over;
	uint64_t drops[DROP_REASON_COUNT];
};

struct worker_view {
	uint16_t number;
	struct connection_table *connections;
	/* Persistence templates, as connections of their own kind (connect.h); NULL where there are none. */
	struct connection_table *templates;
	struct server_count *servers; /* by server index, MAX_SERVERS of them, committed on first touch */
	struct schedule_cursor *cursors; /* by service index */
	struct packet_counters counters;
	uint32_t now; /* ticks, see connection.h */
	uint16_t share_count; /* shares of the local ports that this worker owns ... */
	uint8_t shares[256]; /* ... by number */
	uint16_t share_next;
	uint32_t generation; /* of the net, read once a burst */
	uint32_t icmp_tokens;
	uint32_t icmp_refilled; /* tick */
} __rte_cache_aligned;

/* Sets who owns which share of the local ports: evenly, in turn. Before the workers start. */
void steering_divide(struct director *director, unsigned int workers);

/* Sums a server's counts over all workers. */
void server_count_sum(const struct director *director, uint32_t server, struct server_count *sum);

#endif
