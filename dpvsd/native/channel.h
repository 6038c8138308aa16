/* What passes between threads: rings of mbufs, one to one and one to all, without locks. */
#ifndef DPVSHA_CHANNEL_H
#define DPVSHA_CHANNEL_H

#include <rte_mbuf.h>
#include <rte_ring.h>

#include "core/base.h"

enum {
	RING_HANDOVER = 4096, /* packets on their way to the worker that owns them */
	RING_SEND = 2048, /* packets that the master wants sent */
	RING_CONTROL = 2048, /* ARP and ND for the master */
	RING_UNRESOLVED = 4096, /* packets that wait for a neighbour */
};

/* Travels in the private area of an mbuf, from thread to thread. */
struct mbuf_note {
	uint64_t tried; /* as in struct packet */
	union ip_addr next_hop; /* unresolved: whom to ask for */
	uint16_t port; /* unresolved: on which port; from the master: to send from */
	uint16_t flags; /* enum packet_flag to begin with */
	uint16_t mtu; /* of PACKET_OVERSIZE: longest piece */
	uint8_t family;
	uint8_t origin; /* as in struct packet */
	bool held; /* was counted as `held`: the master counts its end */
};

static inline struct mbuf_note *mbuf_note(struct rte_mbuf *m)
{
	return (struct mbuf_note *)rte_mbuf_to_priv(m);
}

/* From the workers to the master. */
struct master_channel {
	struct rte_ring *control;
	struct rte_ring *unresolved; /* IP packet at the mbuf's data */
	int wake_fd; /* eventfd */
	uint32_t asleep; /* the master waits for an event: a worker that has something wakes it */
};

/* Wakes the master if it sleeps. Call after the rings were filled. */
void master_wake(struct master_channel *channel);

#endif
