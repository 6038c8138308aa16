/* The lite IP stack: addresses, routes, neighbours. Workers read what this header publishes; everything that
 * changes belongs to the master. */
#ifndef DPVSHA_NET_H
#define DPVSHA_NET_H

#include "../core/base.h"
#include "../core/packet.h"

enum {
	ETHER_SIZE = 14,
	MAX_ADJACENCIES = 1 << 16,
	/* In a route for net_route_apply: deletes on whatever port; a gateway's port is found by its network.
	 */
	ROUTE_ANY_PORT = UINT16_MAX,
	/* Gratuitous ARP and unsolicited NA for a new address (RFC 4861 7.2.6, RFC 5227 2.3). */
	ANNOUNCE_COUNT = 3,
	ANNOUNCE_INTERVAL_MS = 1000,
};

/* A port as the stack needs it. `name` empty: no such port. Changed by the master only, word by word. */
struct net_port {
	char name[NAME_SIZE];
	uint8_t mac[6];
	uint16_t mtu;
	bool up;
	bool has_twin; /* what the dataplane does not take goes to the kernel */
	bool mirrored; /* forward2kni: the kernel gets a copy of whatever comes in */
	bool stopped; /* taken down by the operator: not up, whatever the cable says */
};

/* The Ethernet header towards a next hop. Immutable once published, but for `used`; a change of MAC publishes
 * another. */
struct adjacency {
	uint8_t ether[ETHER_SIZE];
	uint16_t port;
	uint16_t mtu; /* of the port */
	uint8_t family;
	uint32_t index; /* in net->adjacencies */
	uint32_t used; /* set to 1 by workers that send by it, cleared by the master: a stale neighbour in use
			  is probed */
	union ip_addr next_hop;
} __rte_cache_aligned;

/* Names one host: neither multicast nor zero. */
static inline bool mac_is_host(const uint8_t mac[6])
{
	return !(mac[0] & 1) && (mac[0] | mac[1] | mac[2] | mac[3] | mac[4] | mac[5]) != 0;
}

enum route_kind {
	ROUTE_LOCAL, /* an address of ours */
	ROUTE_LINK, /* destination is a neighbour */
	ROUTE_GATEWAY,
	ROUTE_KERNEL, /* kni_host: to the kernel twin of the port */
};

/* Who put a route there that did not come with an address. */
enum route_origin {
	ROUTE_STATIC, /* an operator */
	ROUTE_TWIN, /* address of the kernel, learnt from its twin */
	ROUTE_FLOW, /* `dpip flow` */
};

struct route {
	union ip_addr destination;
	union ip_addr gateway;
	union ip_addr source; /* preferred source address, zero: none; in the tables of the workers the one
				 that is taken */
	uint32_t metric;
	uint16_t mtu; /* 0: the port's */
	uint16_t port;
	uint8_t prefix;
	uint8_t kind; /* enum route_kind */
	uint8_t family;
	uint8_t automatic; /* came with an address */
	uint8_t origin; /* enum route_origin, of those that did not */
};

/* An address of ours. */
struct address {
	union ip_addr address;
	union ip_addr broadcast;
	uint16_t port;
	uint8_t prefix;
	uint8_t family;
	uint8_t sapool;
	uint8_t silent;
	uint8_t scope; /* 0 global, 253 link, 254 host as in rtnetlink */
	uint32_t valid_lifetime; /* seconds from `added`, 0: for ever */
	uint32_t preferred_lifetime;
	uint64_t added; /* milliseconds of the master's clock */
	char owner[NAME_SIZE];
};

struct route_table; /* route.h: immutable, longest prefix first by binary search over disjoint ranges */
struct address_table; /* address.h: immutable hash table */
struct neighbour_table; /* neighbour.h: (port, address) -> adjacency */

/* What the workers read. One per process (tests: per test). */
struct net {
	struct net_port ports[MAX_PORTS];
	struct route_table *routes4, *routes6;
	struct address_table *addresses;
	struct neighbour_table *neighbours;
	struct adjacency *adjacencies[MAX_ADJACENCIES]; /* index 0 stays empty */
	/* One more after each change that could make a cached adjacency wrong: another route, another MAC, a
	 * neighbour gone. A new MAC of the same neighbour is no such change: its adjacency is replaced in
	 * place, at the same index. A connection that cached an adjacency under another generation looks it
	 * up again. The low 16 bits are never 0. An index under the right generation may still yield NULL
	 * for a moment. */
	uint32_t generation;
	bool forwarding4, forwarding6; /* route packets that are for nobody here */
	uint8_t ttl; /* of packets that we originate */
};

/* ---- reading, from any worker ---- */

/* Longest matching route, NULL when there is none. Addresses of ours, and the broadcast addresses of their
 * networks, are found as ROUTE_LOCAL. Between equal prefixes: ROUTE_KERNEL, ROUTE_LOCAL, ports that are up,
 * lower metric, static before automatic. */
const struct route *route_lookup(const struct net *net, enum family family, const union ip_addr *destination);

/* The address of ours that this is, NULL when it is not one. Any port. */
const struct address *address_lookup(const struct net *net, enum family family, const union ip_addr *address);

/* The resolved neighbour on this port, NULL when it has to be asked for. */
struct adjacency *neighbour_lookup(const struct net *net, uint16_t port, enum family family,
				   const union ip_addr *address);

enum next_hop {
	NEXT_HOP_FOUND, /* *adjacency and *mtu are set */
	NEXT_HOP_LOCAL,
	NEXT_HOP_KERNEL, /* *port is set */
	NEXT_HOP_UNRESOLVED, /* *port and *address are set: what to ask the master for */
	NEXT_HOP_NO_ROUTE,
};

struct next_hop_answer {
	struct adjacency *adjacency;
	union ip_addr address;
	union ip_addr source; /* preferred source of the route, else an address of the port in the right
				 scope, zero: none */
	uint16_t mtu; /* of the route, else of the port */
	uint16_t port;
};

/* Route and neighbour in one question. Multicast and 255.255.255.255 are NEXT_HOP_LOCAL. */
enum next_hop next_hop_find(const struct net *net, enum family family, const union ip_addr *destination,
			    struct next_hop_answer *answer);

/* ---- ICMP, pure, on a worker ---- */

/* Turns an echo request to an address of ours into its reply, in place (RFC 792, RFC 4443 4.2); false when it
 * is none. The caller finds the next hop. */
bool icmp_echo_reply(struct packet *p, uint8_t ttl);

enum icmp_error_kind {
	ICMP_ERROR_TTL, /* time exceeded in transit */
	ICMP_ERROR_NO_ROUTE,
	ICMP_ERROR_HOST, /* next hop does not answer */
	ICMP_ERROR_PORT,
	ICMP_ERROR_PROHIBITED,
	ICMP_ERROR_TOO_BIG, /* fragmentation needed / packet too big, with `mtu` */
};

/* Whether an error may be sent about this packet at all (RFC 1122 3.2.2, RFC 4443 2.4 e: not about errors,
 * fragments after the first, broadcasts, sources that name no single host). */
bool icmp_error_allowed(const struct packet *p);

/* Writes the error about `p` into `buffer` as a whole IP packet from `source` to p's source.
 * @return its length, at most 576 (IPv4) or 1280 (IPv6); 0 when it must not be sent or `size` is too small.
 */
size_t icmp_error_build(const struct packet *p, enum icmp_error_kind kind, uint16_t mtu,
			const union ip_addr *source, uint8_t ttl, uint8_t *buffer, size_t size);

/* ---- the master's side ---- */

/* How the stack sends and lets go of packets; the master fills it in, tests too. */
struct net_output {
	void *context;
	/* Sends a whole Ethernet frame from a port. */
	void (*send)(void *context, uint16_t port, const uint8_t *frame, size_t length);
	/* A packet that waited is free to go by this adjacency. Must not call the stack. */
	void (*release)(void *context, void *handle, const struct adjacency *adjacency);
	/* A packet that waited is given up (DROP_UNRESOLVED or DROP_NEIGHBOUR_QUEUE). The master sends the
	 * ICMP error; it may call the stack for that. */
	void (*give_up)(void *context, void *handle, enum drop_reason reason);
	/* Another host on this link says that an address of ours is its own. It is not believed. May be NULL.
	 */
	void (*claimed)(void *context, uint16_t port, enum family family, const union ip_addr *address,
			const uint8_t mac[6]);
};

struct net_limits {
	uint32_t unresolved_queue; /* packets per neighbour; the oldest goes when there are more. 0: 128 */
	uint32_t unresolved_total; /* packets over all neighbours, so that the unreachable cannot hold all
				      buffers; 0: 4096 */
	uint32_t reachable_ms; /* a confirmed neighbour is believed this long, on average; 0: 60 s */
	uint32_t max_neighbours; /* 0: 16384; at most 60000. The least useful one goes when there are more */
};

struct net_master; /* the master's tables behind `net` */

struct net_master *net_master_new(struct net *net, const struct net_output *output,
				  const struct net_limits *limits);
void net_master_free(struct net_master *master);
/* Changes net_limits.reachable_ms, for neighbours that are confirmed from now on. */
void net_reachable_set(struct net_master *master, uint32_t reachable_ms);

/* A frame of ARP, ND or MLD that came in on a port: learns, answers for addresses of ours, lets waiting
 * packets go. `frame` begins with the Ethernet header. Total: any bytes are safe. */
void net_input(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length,
	       uint64_t now_ms);

/* A packet waits for a neighbour. Takes the handle, in any case: release or give_up is called for it sooner
 * or later. Without a handle (NULL) the neighbour is only asked for. */
void net_resolve(struct net_master *master, uint16_t port, enum family family, const union ip_addr *next_hop,
		 void *handle, uint64_t now_ms);

/* Does what is due (retransmissions, time-outs, announcements, lifetimes) and returns when to call again at
 * the latest, UINT64_MAX: never. The other calls below set timers, the first announcement of a new address
 * among them: ask again after them. Cheap when nothing is due. */
uint64_t net_tick(struct net_master *master, uint64_t now_ms);

/* Control operations. All return 0, or -1 with the error filled in and nothing changed. "put" in EDIT
 * semantics changes an existing entry, in ADD semantics fails when it exists, as `verb` (numbers of
 * control.proto: 0 add, 1 edit, 2 put, 3 delete). */
/* Deleting an address looks at port, address, and prefix when it is not 0. `added` is set here. A route is
 * named by destination, prefix and metric; deleting one without metric takes the lowest, and gateway and port
 * count when they are given (ROUTE_ANY_PORT: not). */
int net_address_apply(struct net_master *master, int verb, const struct address *address, uint64_t now_ms,
		      struct error *error);
int net_route_apply(struct net_master *master, int verb, const struct route *route, struct error *error);
/* Permanent neighbours; delete also removes learnt ones. */
int net_neighbour_apply(struct net_master *master, int verb, uint16_t port, enum family family,
			const union ip_addr *address, const uint8_t mac[6], struct error *error);
/* What is there now, changes that the workers do not see yet included: what an operation on it would change
 * or delete. */
bool net_address_find(const struct net_master *master, uint16_t port, enum family family,
		      const union ip_addr *address, struct address *out);
bool net_route_find(const struct net_master *master, const struct route *wanted, bool for_delete,
		    struct route *out);
bool net_neighbour_find(const struct net_master *master, uint16_t port, enum family family,
			const union ip_addr *address, bool *permanent, uint8_t mac[6]);
/* Between these, changes of addresses and routes are collected; the workers see all of them at the end, and
 * the tables are built once. May be nested. */
void net_changes_begin(struct net_master *master);
void net_changes_end(struct net_master *master);
/* Gratuitous ARP or unsolicited NA, `repeat` times (0: once), `interval_ms` apart, of an address of ours,
 * named by port and address. Announcements of many addresses are paced. */
int net_announce(struct net_master *master, const struct address *address, uint32_t repeat,
		 uint32_t interval_ms, uint64_t now_ms, struct error *error);
/* The port's MAC, MTU or state changed: adjacencies follow, cached ones become invalid. */
void net_port_changed(struct net_master *master, uint16_t port, uint64_t now_ms);
/* Everybody looks up again. */
void net_generation_next(struct net *net);

/* Listing: copies of at most `max` entries from position `*cursor` on (0: from the start); *cursor moves; the
 * answer is their number, 0 at the end. Tables may change between calls: an entry that stays is listed once.
 */
struct neighbour_entry {
	union ip_addr address;
	uint16_t port;
	uint8_t family;
	uint8_t mac[6];
	const char *state;
	uint32_t queued;
};
size_t net_addresses_list(const struct net_master *master, uint64_t *cursor, struct address *out, size_t max);
/* Another number than before: addresses came or went meanwhile. */
uint64_t net_address_changes(const struct net_master *master);
size_t net_routes_list(const struct net_master *master, uint64_t *cursor, struct route *out, size_t max);
size_t net_neighbours_list(const struct net_master *master, uint64_t *cursor, struct neighbour_entry *out,
			   size_t max);

#endif
