/* The stack as a whole: making it, publishing its tables, following ports, and asking for a next hop. */
#include "address.h"
#include "master.h"
#include "route.h"

enum {
	RETRY_MS = 1000,
	DEFAULT_TTL = 64,
	DEFAULT_QUEUE = 128,
	DEFAULT_TOTAL_QUEUE = 4096,
	DEFAULT_NEIGHBOURS = 16384,
	MOST_NEIGHBOURS = 60000, /* fewer than MAX_ADJACENCIES, so that indices rest before they return */
};

/* ---- asking, on a worker ---- */

enum next_hop next_hop_find(const struct net *net, enum family family, const union ip_addr *destination,
			    struct next_hop_answer *answer)
{
	const struct route *route;

	if (ip_is_multicast(family, destination) ||
	    (family == FAMILY_IPV4 && destination->v4 == RTE_BE32(UINT32_MAX)))
		return NEXT_HOP_LOCAL;
	route = route_lookup(net, family, destination);
	if (!route)
		return NEXT_HOP_NO_ROUTE;
	answer->port = route->port;
	answer->source = route->source;
	answer->mtu = net->ports[route->port].mtu;
	if (route->mtu && (!answer->mtu || route->mtu < answer->mtu))
		answer->mtu = route->mtu;
	if (route->kind == ROUTE_LOCAL)
		return NEXT_HOP_LOCAL;
	if (route->kind == ROUTE_KERNEL)
		return NEXT_HOP_KERNEL;
	answer->address = route->kind == ROUTE_GATEWAY ? route->gateway : *destination;
	answer->adjacency = neighbour_lookup(net, route->port, family, &answer->address);
	return answer->adjacency ? NEXT_HOP_FOUND : NEXT_HOP_UNRESOLVED;
}

void net_generation_next(struct net *net)
{
	uint32_t next = net->generation + 1;

	/* Connections keep the low half, and 0 means that nothing is cached. */
	if ((next & 0xffff) == 0)
		next++;
	publish(net->generation, next);
}

/* ---- publishing ---- */

static void retry(void *context, struct timer *timer, uint64_t now)
{
	(void)context, (void)timer, (void)now; /* net_tick ends in net_settle, which tries again */
}

static void publish_tables(struct net_master *master)
{
	struct net *net = master->net;
	struct address_table *addresses = address_table_build(master), *old_addresses = net->addresses;
	struct route_table *routes4, *routes6, *old4 = net->routes4, *old6 = net->routes6;

	if (!addresses || route_tables_build(master, &routes4, &routes6) < 0) {
		/* The workers stay with what they have. */
		address_table_free(addresses);
		timer_set(&master->timers, &master->retry, master->now + RETRY_MS);
		return;
	}
	master->tables_changed = false;
	publish(net->addresses, addresses);
	rcu_free(old_addresses, address_table_free);
	if (route_tables_equal(old4, routes4) && route_tables_equal(old6, routes6)) {
		route_table_free(routes4);
		route_table_free(routes6);
		return;
	}
	publish(net->routes4, routes4);
	publish(net->routes6, routes6);
	rcu_free(old4, route_table_free);
	rcu_free(old6, route_table_free);
	master->generation_due = true;
}

void net_settle(struct net_master *master)
{
	if (master->tables_changed && !master->held)
		publish_tables(master);
	if (master->generation_due) {
		master->generation_due = false;
		net_generation_next(master->net);
	}
	neighbours_settle(master);
}

void net_changes_begin(struct net_master *master)
{
	master->held++;
}

void net_changes_end(struct net_master *master)
{
	if (--master->held == 0)
		net_settle(master);
}

/* ---- time ---- */

uint64_t net_random(struct net_master *master)
{
	master->random ^= master->random >> 12;
	master->random ^= master->random << 25;
	master->random ^= master->random >> 27;
	return master->random * 2685821657736338717ull;
}

uint64_t net_tick(struct net_master *master, uint64_t now_ms)
{
	master->now = now_ms;
	timers_run(&master->timers, master, now_ms);
	net_settle(master);
	return master->timers.count ? master->timers.heap[0]->due : UINT64_MAX;
}

/* ---- ports ---- */

static void announce_port(struct net_master *master, uint16_t port, uint64_t now)
{
	struct own_address *own;
	uint64_t cursor = 0;

	while ((own = own_address_next(master, &cursor)))
		if (own->address.port == port && !own->address.silent)
			announce_start(master, own, ANNOUNCE_COUNT, ANNOUNCE_INTERVAL_MS, now);
}

void net_port_changed(struct net_master *master, uint16_t port, uint64_t now_ms)
{
	const struct net_port *now, *before;
	bool other_mac, went_up, went_down;

	if (port >= MAX_PORTS)
		return;
	master->now = now_ms;
	now = &master->net->ports[port];
	before = &master->known[port];
	other_mac = memcmp(now->mac, before->mac, 6) != 0;
	went_up = now->up && !before->up;
	went_down = !now->up && before->up;
	if (other_mac || went_down || now->mtu != before->mtu || !now->name[0])
		neighbours_of_port_changed(master, port, went_down || !now->name[0]);
	if (went_up || went_down)
		master->tables_changed = true;
	if (went_up || (now->up && other_mac))
		announce_port(master, port, now_ms);
	if (now->name[0])
		membership_port_changed(master, port, went_up);
	master->known[port] = *now;
	net_settle(master);
}

/* ---- the whole ---- */

static uint32_t or_default(uint32_t value, uint32_t otherwise)
{
	return value ? value : otherwise;
}

struct net_master *net_master_new(struct net *net, const struct net_output *output,
				  const struct net_limits *limits)
{
	struct net_master *master = memory_new(sizeof(*master));

	if (!master)
		return NULL;
	master->net = net;
	master->output = *output;
	master->limits.unresolved_queue = or_default(limits->unresolved_queue, DEFAULT_QUEUE);
	master->limits.unresolved_total = or_default(limits->unresolved_total, DEFAULT_TOTAL_QUEUE);
	master->limits.reachable_ms = or_default(limits->reachable_ms, REACHABLE_MS);
	master->limits.max_neighbours = RTE_MIN(or_default(limits->max_neighbours, DEFAULT_NEIGHBOURS),
						(uint32_t)MOST_NEIGHBOURS);
	master->random = hash_secret[0] ^ hash_secret[1] ? hash_secret[0] ^ hash_secret[1] : 1;
	master->retry.fire = retry;
	memcpy(master->known, net->ports, sizeof(master->known));
	if (!net->generation)
		net->generation = 1;
	if (!net->ttl)
		net->ttl = DEFAULT_TTL;
	if (timers_reserve(&master->timers) < 0 || neighbours_init(master) < 0 ||
	    memberships_init(master) < 0) {
		net_master_free(master);
		return NULL;
	}
	master->tables_changed = true;
	net_settle(master);
	return master;
}

void net_reachable_set(struct net_master *master, uint32_t reachable_ms)
{
	master->limits.reachable_ms = or_default(reachable_ms, REACHABLE_MS);
}

void net_master_free(struct net_master *master)
{
	struct net *net;

	if (!master)
		return;
	net = master->net;
	neighbours_clear(master);
	own_addresses_clear(master);
	memberships_clear(master);
	own_routes_clear(master);
	timers_clear(&master->timers);
	rcu_free(net->addresses, address_table_free);
	rcu_free(net->routes4, route_table_free);
	rcu_free(net->routes6, route_table_free);
	rcu_free(net->neighbours, memory_free);
	net->addresses = NULL;
	net->routes4 = NULL;
	net->routes6 = NULL;
	net->neighbours = NULL;
	memory_free(master);
}
