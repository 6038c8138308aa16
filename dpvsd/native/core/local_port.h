/* Ports of local addresses for FullNAT (and later SNAT). The port space of an address is split into shares by
 * the low bits of the port; each share belongs to one worker at a time, so that (address, port) of a reply
 * names its worker by arithmetic (steer.h), and a NIC rule can do the same. Within a share, ports are handed
 * out per group of destinations, since (address, port) may be used again towards another server. */
#ifndef DPVSHA_LOCAL_PORT_H
#define DPVSHA_LOCAL_PORT_H

#include "base.h"

enum {
	LOCAL_PORT_FIRST = 1024, /* the lowest that is given out */
	LOCAL_PORT_GROUPS = 16, /* destinations are spread over so many independent port spaces */
	LOCAL_PORT_WORDS = 1024, /* 64-bit words of a whole group's bitmap; a share uses 1/shares of them */
};

struct port_share; /* the free ports of one share: a two-level bitmap for each group */

/* A local address with all its shares; made by the master, kept while services or connections use it. About
 * 140 kB. */
struct local_address {
	union ip_addr address;
	uint8_t family;
	uint16_t port; /* device, by number */
	uint16_t shares; /* a power of two, at least the number of workers */
	uint32_t users; /* services; master only */
	struct port_share *share[]; /* by share */
};

/* The local addresses of one service, immutable, published. */
struct local_set {
	uint32_t count;
	struct local_address *addresses[];
};

struct local_address *local_address_new(const union ip_addr *address, enum family family, uint16_t port,
					uint16_t shares);
void local_address_free(struct local_address *local);

/* Takes a free port of this share towards a destination, the one that was free for longest or nearly so.
 * Constant time, however full. @return the port in host order, 0 when none is free (counted as a miss). Only
 * by the share's owner. */
uint16_t local_port_take(struct local_address *local, uint16_t share, uint32_t destination_hash);
/* Gives it back. Only by the share's owner. */
void local_port_give(struct local_address *local, uint16_t port, uint32_t destination_hash);

/* Totals over all shares, read while their owners write: each is right for some moment close by. */
struct local_port_usage {
	uint32_t used;
	uint32_t free;
	uint64_t misses;
};
void local_port_usage(const struct local_address *local, struct local_port_usage *usage);

#endif
