/* Neighbours: the table that workers read, and the master's state machine of RFC 4861 7.3, which serves ARP
 * as well. */
#ifndef DPVSHA_NEIGHBOUR_H
#define DPVSHA_NEIGHBOUR_H

#include <sys/queue.h>

#include "net.h"
#include "registry.h"
#include "timers.h"

/* Adjacencies by (port, address), open addressing, at most half full. Written by the master slot by slot,
 * read without locks; a full or worn one is replaced as a whole. */
struct neighbour_table {
	uint32_t mask;
	uint32_t used; /* slots that are not empty, removed ones included; master only */
	struct adjacency *slots[];
};

enum neighbour_state {
	NEIGHBOUR_INCOMPLETE, /* asked for, packets wait */
	NEIGHBOUR_REACHABLE, /* answered a short while ago */
	NEIGHBOUR_STALE, /* nobody has sent to it since: believed, not known */
	NEIGHBOUR_DELAY, /* used again: will be probed */
	NEIGHBOUR_PROBE, /* asked again, by unicast */
	NEIGHBOUR_FAILED, /* did not answer */
	NEIGHBOUR_PERMANENT, /* the operator's */
	NEIGHBOUR_STATE_COUNT,
};

enum {
	RETRANSMIT_MS = 1000, /* RFC 4861 10, as the next four */
	MULTICAST_SOLICITATIONS = 3,
	UNICAST_SOLICITATIONS = 3,
	DELAY_MS = 5000,
	REACHABLE_MS = 60000, /* neigh_defs/timeout of dpvs.conf; RFC: 30 s */
	POLL_MS = 1000, /* how often a stale one is looked at for use */
	STALE_LIFETIME_MS = 20 * 60 * 1000, /* unused so long, it goes */
	EVICTION_LOOKS = 32, /* stale ones that are looked at for one that is not used */
	SETTLE_MS = 1000, /* the first of several different answers holds so long */
};

/* A packet that waits for its neighbour, or for being given up. */
struct waiting {
	STAILQ_ENTRY(waiting) link;
	void *handle;
	enum drop_reason reason;
};
STAILQ_HEAD(waiting_list, waiting);

struct neighbour {
	struct registry_entry entry;
	struct timer timer;
	TAILQ_ENTRY(neighbour) link; /* of its state */
	union ip_addr address;
	uint16_t port;
	uint8_t family;
	uint8_t state; /* enum neighbour_state */
	uint8_t mac[6];
	uint8_t asked; /* solicitations without answer */
	uint32_t queued;
	struct waiting_list queue;
	struct adjacency *adjacency; /* NULL while incomplete or failed */
	uint64_t confirmed; /* when the MAC was last learnt */
	uint64_t used; /* when it was last seen in use */
};
TAILQ_HEAD(neighbour_list, neighbour);

struct neighbours {
	struct registry all;
	struct neighbour_list states[NEIGHBOUR_STATE_COUNT]; /* in the order in which they came there */
	uint32_t state_counts[NEIGHBOUR_STATE_COUNT];
	struct waiting *waiting; /* all records for waiting packets */
	struct waiting_list free_waiting, given_up;
	bool giving_up;
	/* Of adjacencies: first all that were never used, then those given back, in a ring, so that an index
	 * rests long before it is used again. */
	uint32_t unused_index;
	uint32_t *free_indices;
	uint32_t free_first, free_count;
};

struct net_master;

int neighbours_init(struct net_master *master);
void neighbours_clear(struct net_master *master);
struct neighbour *neighbour_find(const struct net_master *master, uint16_t port, enum family family,
				 const union ip_addr *address);

/* What a message says about a neighbour. */
struct neighbour_news {
	uint8_t mac[6];
	bool has_mac;
	bool solicited; /* it answers us: the way there and back works */
	bool override; /* a MAC that differs replaces the known one */
	bool create; /* worth an entry if there is none */
};
void neighbour_learn(struct net_master *master, uint16_t port, enum family family,
		     const union ip_addr *address, const struct neighbour_news *news, uint64_t now);

/* Writes MAC and MTU of the port into all adjacencies by it; `gone`: forgets all that was learnt. */
void neighbours_of_port_changed(struct net_master *master, uint16_t port, bool gone);
/* Calls give_up for all that were given up; at the end of a call from outside. */
void neighbours_settle(struct net_master *master);

/* Asks for a neighbour: to all when `to` is NULL. discovery.c */
void solicit(struct net_master *master, const struct neighbour *n, const uint8_t *to);

#endif
