/* What the files of the stack share on the master's side; nobody else includes this. */
#ifndef DPVSHA_STACK_MASTER_H
#define DPVSHA_STACK_MASTER_H

#include "net.h"
#include "neighbour.h"
#include "registry.h"
#include "timers.h"

/* Verbs of control.proto. */
enum { VERB_ADD, VERB_EDIT, VERB_PUT, VERB_DELETE };

/* An address of ours on a port. */
struct own_address {
	struct registry_entry entry;
	struct address address;
	struct timer expiry; /* valid or preferred lifetime */
	struct timer announcing; /* gratuitous ARP, unsolicited NA */
	uint32_t announcements; /* still to be sent */
	uint32_t announce_interval_ms;
};

struct own_route {
	struct registry_entry entry;
	struct route route;
};

/* What a port tells of its multicast groups, and to whom (membership.c). */
struct port_membership {
	struct timer telling; /* changes */
	struct timer answering; /* a query */
	uint64_t repeat_at; /* milliseconds, 0: nothing is to be told again */
	union ip_addr link_local; /* whose group is joined; zero: none yet */
	uint64_t old_querier_until; /* milliseconds: version 1 is spoken */
	uint8_t robustness; /* how often a change is told */
};

struct net_master {
	struct net *net;
	struct net_output output;
	struct net_limits limits;
	uint64_t now; /* milliseconds, of the latest call that brought a time */
	uint64_t random;

	struct registry addresses, routes;
	struct timers timers;
	struct timer retry; /* publishing failed for want of memory */
	struct net_port known[MAX_PORTS]; /* as at the last net_port_changed */
	union ip_addr port_source4[MAX_PORTS]; /* of ARP requests to whom no subnet of the port fits */

	uint32_t held; /* net_changes_begin without its end */
	bool tables_changed; /* addresses and routes are to be published */
	uint64_t address_changes; /* addresses that came or went */
	bool generation_due; /* a cached adjacency became wrong in this call */
	uint64_t announce_at; /* microseconds: announcements are paced */

	struct neighbours neighbours;

	struct registry groups; /* multicast groups that we listen to */
	struct port_membership memberships[MAX_PORTS];
};

/* Ends every call of the master: publishes what changed, moves the generation, gives up packets. */
void net_settle(struct net_master *master);

uint64_t net_random(struct net_master *master);

/* address.c */
struct own_address *own_address_find(const struct net_master *master, uint16_t port, enum family family,
				     const union ip_addr *address);
/* The next one after *cursor. */
struct own_address *own_address_next(const struct net_master *master, uint64_t *cursor);
struct address_table *address_table_build(const struct net_master *master);
void own_addresses_clear(struct net_master *master);

/* route.c */
struct own_route *own_route_next(const struct net_master *master, uint64_t *cursor);
/* Both families, with the routes that come with addresses. 0, or -1 without memory. */
int route_tables_build(struct net_master *master, struct route_table **routes4, struct route_table **routes6);
bool route_tables_equal(const struct route_table *a, const struct route_table *b);
void own_routes_clear(struct net_master *master);

/* announce.c: `count` announcements of an address, the first as soon as the pace allows. */
void announce_start(struct net_master *master, struct own_address *own, uint32_t count, uint32_t interval_ms,
		    uint64_t now);
void announce_fire(void *context, struct timer *timer, uint64_t now);

/* membership.c: an address has come or gone */
void membership_add(struct net_master *master, const struct address *address);
void membership_remove(struct net_master *master, const struct address *address);
void membership_port_changed(struct net_master *master, uint16_t port, bool went_up);
/* @return whether the frame was a query */
bool membership_input(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length);
int memberships_init(struct net_master *master);
void memberships_clear(struct net_master *master);

/* source of ARP requests towards a target on this port, zero: none */
union ip_addr arp_source(const struct net_master *master, uint16_t port, const union ip_addr *target);
/* The address that a port with this MAC forms for itself: fe80::/64 with EUI-64 (RFC 4291 2.5.6, appendix A)
 */
union ip_addr link_local_of(const uint8_t mac[6]);

static inline bool port_exists(const struct net_master *master, uint16_t port)
{
	return port < MAX_PORTS && master->net->ports[port].name[0] != 0;
}

static inline void net_send(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length)
{
	if (master->output.send)
		master->output.send(master->output.context, port, frame, length);
}

/* ---- kinds of addresses ---- */

static inline bool ip_is_multicast(enum family family, const union ip_addr *a)
{
	return family == FAMILY_IPV6 ? a->b[0] == 0xff : (a->b[0] & 0xf0) == 0xe0;
}

static inline bool ip_is_link_local6(const union ip_addr *a)
{
	return a->b[0] == 0xfe && (a->b[1] & 0xc0) == 0x80;
}

/* Names one host: not unspecified, multicast, loopback, reserved or broadcast. */
static inline bool ip_is_host(enum family family, const union ip_addr *a)
{
	if (ip_is_multicast(family, a))
		return false;
	if (family == FAMILY_IPV6)
		return !(a->q[0] == 0 && a->q[1] == 0) && !(a->q[0] == 0 && a->q[1] == rte_cpu_to_be_64(1));
	return a->b[0] != 0 && a->b[0] != 127 && a->b[0] < 240;
}

static inline bool ip_in_prefix(const union ip_addr *address, const union ip_addr *network,
				unsigned int prefix)
{
	union ip_addr masked = *address;

	ip_mask(&masked, prefix);
	return ip_equal(&masked, network);
}

#endif
