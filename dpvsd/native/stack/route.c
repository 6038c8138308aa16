#include "route.h"
#include "master.h"

#include <stdio.h>
#include <stdlib.h>

/* ---- the workers' table ---- */

static int candidate_order(const void *left, const void *right)
{
	const struct route_candidate *a = left, *b = right;

	if (a->start != b->start)
		return a->start < b->start ? -1 : 1;
	if (a->route.prefix != b->route.prefix)
		return a->route.prefix < b->route.prefix ? -1 : 1;
	if (a->rank != b->rank)
		return a->rank < b->rank ? -1 : 1;
	if (a->route.metric != b->route.metric)
		return a->route.metric < b->route.metric ? -1 : 1;
	return a->order < b->order ? -1 : 1;
}

static address_number last_of(const struct route_candidate *candidate, unsigned int bits)
{
	unsigned int host = bits - candidate->route.prefix;

	return host >= 128 ? ~(address_number)0 : candidate->start | (((address_number)1 << host) - 1);
}

struct range_writer {
	struct route_table *table;
	address_number last; /* start of the last range */
};

/* From `start` on, this route holds. */
static void write_range(struct range_writer *writer, address_number start, uint32_t owner)
{
	struct route_table *table = writer->table;
	uint32_t at = table->range_count;

	if (at > 0 && writer->last == start) {
		table->owners[at - 1] = owner;
		return;
	}
	if (at > 0 && table->owners[at - 1] == owner)
		return;
	if (table->family == FAMILY_IPV4)
		table->starts4[at] = (uint32_t)start;
	else
		table->starts6[at] = start;
	table->owners[at] = owner;
	table->range_count++;
	writer->last = start;
}

/* One sweep over prefixes in order of their first address, outer before inner; `open` holds those that the
 * sweep is inside of, at most one per length. */
static void cut_into_ranges(struct route_table *table, const struct route_candidate *candidates,
			    uint32_t count)
{
	unsigned int bits = ip_bits((enum family)table->family), depth = 0;
	address_number highest = bits == 32 ? UINT32_MAX : ~(address_number)0;
	struct range_writer writer = {.table = table};
	uint32_t open[129];

	write_range(&writer, 0, ROUTE_NONE);
	for (uint32_t i = 0; i <= count; i++) {
		while (depth > 0) {
			address_number last = last_of(&candidates[open[depth - 1]], bits);

			if (i < count && last >= candidates[i].start)
				break;
			depth--;
			if (last < highest)
				write_range(&writer, last + 1, depth ? open[depth - 1] : ROUTE_NONE);
		}
		if (i < count) {
			write_range(&writer, candidates[i].start, i);
			open[depth++] = i;
		}
	}
}

_Static_assert(sizeof(struct route) % 16 == 0, "starts6 lies behind routes");

struct route_table *route_table_new(enum family family, struct route_candidate *candidates, uint32_t count,
				    uint32_t *winners)
{
	size_t width = family == FAMILY_IPV4 ? sizeof(uint32_t) : sizeof(address_number);
	struct route_table *table;
	uint32_t kept = 0, ranges;

	for (uint32_t i = 0; i < count; i++) {
		candidates[i].start = address_number_of(family, &candidates[i].route.destination);
		candidates[i].order = i;
	}
	if (count > 1)
		qsort(candidates, count, sizeof(*candidates), candidate_order);
	for (uint32_t i = 0; i < count; i++) {
		if (kept && candidates[kept - 1].start == candidates[i].start &&
		    candidates[kept - 1].route.prefix == candidates[i].route.prefix)
			continue;
		if (kept != i)
			candidates[kept] = candidates[i];
		kept++;
	}
	*winners = kept;

	ranges = 2 * kept + 1;
	table = memory_new(sizeof(*table) + 16 + ranges * (width + sizeof(uint32_t)) +
			   kept * sizeof(struct route));
	if (!table)
		return NULL;
	table->family = family;
	table->routes = (struct route *)RTE_PTR_ALIGN_CEIL(table + 1, 16);
	table->starts6 = (address_number *)(table->routes + kept);
	table->starts4 = (uint32_t *)table->starts6;
	table->owners = (uint32_t *)((char *)table->starts6 + ranges * width);
	table->route_count = kept;
	for (uint32_t i = 0; i < kept; i++)
		table->routes[i] = candidates[i].route;
	cut_into_ranges(table, candidates, kept);
	return table;
}

void route_table_free(void *table)
{
	memory_free(table);
}

const struct route *route_table_lookup(const struct route_table *table, const union ip_addr *destination)
{
	uint32_t base = 0, count = table->range_count, owner;

	if (table->family == FAMILY_IPV4) {
		uint32_t wanted = rte_be_to_cpu_32(destination->v4);

		while (count > 1) {
			uint32_t half = count / 2;

			base = table->starts4[base + half] <= wanted ? base + half : base;
			count -= half;
		}
	} else {
		address_number wanted = address_number_of(FAMILY_IPV6, destination);

		while (count > 1) {
			uint32_t half = count / 2;

			base = table->starts6[base + half] <= wanted ? base + half : base;
			count -= half;
		}
	}
	owner = table->owners[base];
	return owner == ROUTE_NONE ? NULL : &table->routes[owner];
}

const struct route *route_lookup(const struct net *net, enum family family, const union ip_addr *destination)
{
	const struct route_table *table = family == FAMILY_IPV6 ? subscribe(net->routes6)
								: subscribe(net->routes4);

	return table ? route_table_lookup(table, destination) : NULL;
}

static bool same_route(const struct route *a, const struct route *b)
{
	return ip_equal(&a->destination, &b->destination) && ip_equal(&a->gateway, &b->gateway) &&
	       ip_equal(&a->source, &b->source) && a->metric == b->metric && a->mtu == b->mtu &&
	       a->port == b->port && a->prefix == b->prefix && a->kind == b->kind &&
	       a->automatic == b->automatic && a->origin == b->origin;
}

bool route_tables_equal(const struct route_table *a, const struct route_table *b)
{
	size_t width;

	if (!a || !b)
		return a == b;
	width = a->family == FAMILY_IPV4 ? sizeof(uint32_t) : sizeof(address_number);
	if (a->family != b->family || a->range_count != b->range_count || a->route_count != b->route_count ||
	    memcmp(a->starts6, b->starts6, a->range_count * width) != 0 ||
	    memcmp(a->owners, b->owners, a->range_count * sizeof(uint32_t)) != 0)
		return false;
	for (uint32_t i = 0; i < a->route_count; i++)
		if (!same_route(&a->routes[i], &b->routes[i]))
			return false;
	return true;
}

/* ---- from the master's lists to the tables ---- */

/* Between equal prefixes: what the operator sends to the kernel, our own addresses, those that only the
 * kernel has, ports that are up, ports that are down. */
static uint32_t rank_of(const struct net_master *master, const struct route *route)
{
	if (route->kind == ROUTE_KERNEL)
		return route->origin == ROUTE_TWIN ? 2 : 0;
	if (route->kind == ROUTE_LOCAL)
		return 1;
	return master->net->ports[route->port].up ? 3 : 4;
}

static bool is_preferred(const struct address *address, uint64_t now)
{
	return address->preferred_lifetime == 0 ||
	       now < address->added + (uint64_t)address->preferred_lifetime * 1000;
}

/* How good an address is as a source towards anybody: an interface's address is better than a virtual one, a
 * preferred one better than one that runs out. */
static unsigned int source_merit(const struct address *address, uint64_t now)
{
	bool link_local = address->family == FAMILY_IPV6 && ip_is_link_local6(&address->address);

	if (address->scope != 0 || link_local)
		return 1;
	return 2u + (is_preferred(address, now) ? 2u : 0u) +
	       (address->prefix < ip_bits((enum family)address->family) ? 1u : 0u);
}

struct sources {
	union ip_addr port[MAX_PORTS], any;
	unsigned int merit[MAX_PORTS], any_merit;
};

struct builder {
	struct net_master *master;
	enum family family;
	struct route_candidate *candidates;
	uint32_t count;
	struct sources sources;
};

static struct route *add_candidate(struct builder *builder, const struct route *route)
{
	struct route_candidate *candidate = &builder->candidates[builder->count++];

	candidate->route = *route;
	candidate->rank = rank_of(builder->master, route);
	return &candidate->route;
}

/* The routes that come with an address: itself, the network behind it, and that network's broadcast address.
 */
static unsigned int automatic_routes(const struct address *address, struct route routes[3])
{
	enum family family = (enum family)address->family;
	unsigned int bits = ip_bits(family), count = 0;
	struct route route = {
	    .destination = address->address,
	    .source = address->address,
	    .port = address->port,
	    .prefix = (uint8_t)bits,
	    .kind = ROUTE_LOCAL,
	    .family = (uint8_t)family,
	    .automatic = 1,
	};

	routes[count++] = route;
	if (address->prefix < bits) {
		route.prefix = address->prefix;
		route.kind = ROUTE_LINK;
		ip_mask(&route.destination, route.prefix);
		routes[count++] = route;
	}
	if (family == FAMILY_IPV4 && address->prefix < 31) {
		route.destination.v4 |= rte_cpu_to_be_32(UINT32_MAX >> address->prefix);
		if (!ip_is_zero(&address->broadcast))
			route.destination = address->broadcast;
		route.prefix = (uint8_t)bits;
		route.kind = ROUTE_LOCAL;
		routes[count++] = route;
	}
	return count;
}

static void add_addresses(struct builder *builder)
{
	struct sources *sources = &builder->sources;
	const struct own_address *own;
	uint64_t cursor = 0;

	while ((own = own_address_next(builder->master, &cursor))) {
		struct route routes[3];
		unsigned int count, merit;
		uint16_t port = own->address.port;

		if (own->address.family != builder->family)
			continue;
		count = automatic_routes(&own->address, routes);
		for (unsigned int i = 0; i < count; i++)
			add_candidate(builder, &routes[i]);
		merit = source_merit(&own->address, builder->master->now);
		if (merit > sources->merit[port]) {
			sources->merit[port] = merit;
			sources->port[port] = own->address.address;
		}
		if (merit > sources->any_merit) {
			sources->any_merit = merit;
			sources->any = own->address.address;
		}
	}
}

static bool is_ours(const struct net_master *master, enum family family, const union ip_addr *address)
{
	for (uint16_t port = 0; port < MAX_PORTS; port++)
		if (own_address_find(master, port, family, address))
			return true;
	return false;
}

/* Gives every route the source that packets of our own take: as configured, else the address in the next
 * hop's network, else one of the port, else any. */
static void choose_sources(const struct builder *builder, struct route_table *table)
{
	for (uint32_t i = 0; i < table->route_count; i++) {
		struct route *route = &table->routes[i];
		const struct route *towards = NULL;

		if (route->kind == ROUTE_LOCAL)
			continue;
		if (!ip_is_zero(&route->source) &&
		    (route->automatic || is_ours(builder->master, builder->family, &route->source)))
			continue;
		route->source = builder->sources.port[route->port];
		if (route->kind == ROUTE_GATEWAY)
			towards = route_table_lookup(table, &route->gateway);
		if (towards && towards->automatic && towards->kind == ROUTE_LINK &&
		    towards->port == route->port)
			route->source = towards->source;
		else if (ip_is_zero(&route->source))
			route->source = builder->sources.any;
	}
}

static struct route_table *build(struct net_master *master, enum family family)
{
	struct builder *builder = memory_new(sizeof(*builder));
	struct route_table *table = NULL;
	const struct own_route *own;
	uint64_t cursor = 0;
	uint32_t winners;

	if (!builder)
		return NULL;
	builder->master = master;
	builder->family = family;
	builder->candidates = memory_new((3 * master->addresses.count + master->routes.count) *
					 sizeof(struct route_candidate));
	if (!builder->candidates)
		goto out;
	/* Static routes first: an explicit one goes before an equal one that came with an address. */
	while ((own = own_route_next(master, &cursor)))
		if (own->route.family == family)
			add_candidate(builder, &own->route);
	add_addresses(builder);
	table = route_table_new(family, builder->candidates, builder->count, &winners);
	if (!table)
		goto out;
	choose_sources(builder, table);
	if (family == FAMILY_IPV4)
		memcpy(master->port_source4, builder->sources.port, sizeof(master->port_source4));
out:
	memory_free(builder->candidates);
	memory_free(builder);
	return table;
}

int route_tables_build(struct net_master *master, struct route_table **routes4, struct route_table **routes6)
{
	*routes4 = build(master, FAMILY_IPV4);
	*routes6 = build(master, FAMILY_IPV6);
	if (*routes4 && *routes6)
		return 0;
	route_table_free(*routes4);
	route_table_free(*routes6);
	return -1;
}

/* ---- the master's list ---- */

/* Equal prefixes stand in one bucket, so that metrics and ports can be compared. */
static uint64_t own_hash(enum family family, const union ip_addr *destination, unsigned int prefix)
{
	return mix64(ip_hash(destination) ^ (prefix << 8 | (unsigned int)family), hash_secret[0]);
}

struct own_route *own_route_next(const struct net_master *master, uint64_t *cursor)
{
	return (struct own_route *)registry_next(&master->routes, cursor);
}

static bool same_prefix(const struct route *a, const struct route *b)
{
	return a->family == b->family && a->prefix == b->prefix && ip_equal(&a->destination, &b->destination);
}

static struct own_route *find_exact(const struct net_master *master, const struct route *route)
{
	uint64_t hash = own_hash((enum family)route->family, &route->destination, route->prefix);

	for (struct registry_entry *entry = registry_first(&master->routes, hash); entry;
	     entry = entry->chain) {
		struct own_route *own = (struct own_route *)entry;

		if (same_prefix(&own->route, route) && own->route.metric == route->metric)
			return own;
	}
	return NULL;
}

/* What a deletion means: metric, gateway and port count when they are given; the lowest metric goes first. */
static struct own_route *find_for_delete(const struct net_master *master, const struct route *route)
{
	uint64_t hash = own_hash((enum family)route->family, &route->destination, route->prefix);
	struct own_route *best = NULL;

	for (struct registry_entry *entry = registry_first(&master->routes, hash); entry;
	     entry = entry->chain) {
		struct own_route *own = (struct own_route *)entry;

		if (!same_prefix(&own->route, route) ||
		    (route->metric && own->route.metric != route->metric) ||
		    (route->port != ROUTE_ANY_PORT && own->route.port != route->port) ||
		    (!ip_is_zero(&route->gateway) && !ip_equal(&own->route.gateway, &route->gateway)))
			continue;
		if (!best || own->route.metric < best->route.metric)
			best = own;
	}
	return best;
}

/* The address whose network this is on this port, NULL when the route is not one that came by itself. */
static const struct own_address *automatic_origin(const struct net_master *master, const struct route *route)
{
	const struct own_address *own;
	uint64_t cursor = 0;

	while ((own = own_address_next(master, &cursor))) {
		struct route routes[3];
		unsigned int count;

		if (own->address.family != route->family ||
		    (route->port != ROUTE_ANY_PORT && own->address.port != route->port))
			continue;
		count = automatic_routes(&own->address, routes);
		for (unsigned int i = 0; i < count; i++)
			if (same_prefix(&routes[i], route))
				return own;
	}
	return NULL;
}

static const char *route_text(const struct route *route)
{
	static char text[2][64];
	static unsigned int next;
	char *out = text[next++ % 2];

	snprintf(out, sizeof(text[0]), "%s/%u", ip_text((enum family)route->family, &route->destination),
		 route->prefix);
	return out;
}

static int check_prefix(const struct route *route, struct error *error)
{
	enum family family = (enum family)route->family;
	union ip_addr masked = route->destination;

	if (family != FAMILY_IPV4 && family != FAMILY_IPV6)
		return error_set(error, "invalid", NULL, "the route's family is unknown");
	if (route->prefix > ip_bits(family))
		return error_set(error, "invalid", NULL, "route %s: the prefix length must be 0-%u",
				 route_text(route), ip_bits(family));
	ip_mask(&masked, route->prefix);
	if (!ip_equal(&masked, &route->destination))
		return error_set(error, "invalid", "write the network's first address",
				 "route %s: bits behind the prefix length are set", route_text(route));
	if (ip_is_multicast(family, &route->destination))
		return error_set(error, "unsupported", NULL, "route %s: multicast is not routed",
				 route_text(route));
	return 0;
}

/* The port on whose networks a gateway is, by longest prefix; ROUTE_ANY_PORT: none. From the master's lists,
 * since within a batch the workers' tables are those of before. */
static uint16_t port_towards(const struct net_master *master, enum family family,
			     const union ip_addr *gateway)
{
	const struct own_address *address;
	const struct own_route *route;
	uint64_t cursor = 0;
	uint16_t port = ROUTE_ANY_PORT;
	int longest = -1;

	while ((address = own_address_next(master, &cursor))) {
		union ip_addr network = address->address.address;

		if (address->address.family != family || address->address.prefix <= longest ||
		    address->address.prefix == ip_bits(family))
			continue;
		ip_mask(&network, address->address.prefix);
		if (ip_in_prefix(gateway, &network, address->address.prefix)) {
			longest = address->address.prefix;
			port = address->address.port;
		}
	}
	cursor = 0;
	while ((route = own_route_next(master, &cursor)))
		if (route->route.family == family && route->route.kind == ROUTE_LINK &&
		    route->route.prefix > longest &&
		    ip_in_prefix(gateway, &route->route.destination, route->route.prefix)) {
			longest = route->route.prefix;
			port = route->route.port;
		}
	return port;
}

/* Everything about a route that is to be added or changed; finds the port of a gateway when none is named. */
static int check(const struct net_master *master, struct route *route, struct error *error)
{
	enum family family = (enum family)route->family;
	bool gateway = !ip_is_zero(&route->gateway);

	if (route->kind != ROUTE_LINK && route->kind != ROUTE_GATEWAY && route->kind != ROUTE_KERNEL)
		return error_set(error, "invalid", "dpip addr add makes addresses of ours",
				 "route %s: local routes come with addresses", route_text(route));
	if (gateway != (route->kind == ROUTE_GATEWAY))
		return error_set(error, "invalid", NULL, "route %s: %s", route_text(route),
				 gateway ? "a gateway does not fit this scope" : "the gateway is missing");
	if (gateway && !ip_is_host(family, &route->gateway))
		return error_set(error, "invalid", NULL, "route %s: gateway %s is not the address of a host",
				 route_text(route), ip_text(family, &route->gateway));
	if (gateway && is_ours(master, family, &route->gateway))
		return error_set(error, "invalid", NULL, "route %s: gateway %s is an address of our own",
				 route_text(route), ip_text(family, &route->gateway));
	if (gateway && route->port == ROUTE_ANY_PORT) {
		route->port = port_towards(master, family, &route->gateway);
		if (route->port == ROUTE_ANY_PORT)
			return error_set(error, "invalid", "name the device with dev",
					 "route %s: gateway %s is on no network of ours", route_text(route),
					 ip_text(family, &route->gateway));
	}
	if (!port_exists(master, route->port))
		return error_set(error, "not-found", "dpip link show lists the devices",
				 "route %s: no such device", route_text(route));
	if (!ip_is_zero(&route->source) && !is_ours(master, family, &route->source))
		return error_set(error, "invalid", "add it with dpip addr add first",
				 "route %s: source %s is no address of ours", route_text(route),
				 ip_text(family, &route->source));
	if (route->mtu && route->mtu < (family == FAMILY_IPV6 ? 1280 : 68))
		return error_set(error, "invalid", NULL, "route %s: MTU %u is less than %d",
				 route_text(route), route->mtu, family == FAMILY_IPV6 ? 1280 : 68);
	return 0;
}

static int remove_route(struct net_master *master, const struct route *route, struct error *error)
{
	struct own_route *own = find_for_delete(master, route);

	if (!own && automatic_origin(master, route))
		return error_set(error, "invalid", "delete the address with dpip addr del",
				 "route %s came with an address and goes with it", route_text(route));
	if (!own)
		return error_set(error, "not-found", "dpip route show lists the routes", "no route %s",
				 route_text(route));
	registry_remove(&master->routes, &own->entry);
	memory_free(own);
	master->tables_changed = true;
	net_settle(master);
	return 0;
}

bool net_route_find(const struct net_master *master, const struct route *wanted, bool for_delete,
		    struct route *out)
{
	const struct own_route *own = for_delete ? find_for_delete(master, wanted)
						 : find_exact(master, wanted);

	if (own)
		*out = own->route;
	return own != NULL;
}

int net_route_apply(struct net_master *master, int verb, const struct route *wanted, struct error *error)
{
	struct route route = *wanted;
	struct own_route *own;

	route.automatic = 0;
	if (check_prefix(&route, error) < 0)
		return -1;
	if (verb == VERB_DELETE)
		return remove_route(master, &route, error);
	if (check(master, &route, error) < 0)
		return -1;
	own = find_exact(master, &route);
	if (verb == VERB_ADD && (own || (route.kind == ROUTE_LINK && !route.metric && !route.mtu &&
					 ip_is_zero(&route.source) && automatic_origin(master, &route))))
		return error_set(error, "exists", "dpip route set changes a route",
				 "route %s with metric %u is there already", route_text(&route),
				 route.metric);
	if (!own && verb == VERB_EDIT)
		return error_set(error, "not-found", "dpip route show lists the routes",
				 "no route %s with metric %u", route_text(&route), route.metric);
	if (!own) {
		own = memory_new(sizeof(*own));
		if (!own ||
		    registry_add(&master->routes, &own->entry,
				 own_hash((enum family)route.family, &route.destination, route.prefix)) < 0) {
			memory_free(own);
			return error_set(error, "full", NULL, "no memory for route %s", route_text(&route));
		}
	}
	own->route = route;
	master->tables_changed = true;
	net_settle(master);
	return 0;
}

/* Cursor: addresses first (id << 2 | routes of it that are done), then static routes (top bit | id). */
size_t net_routes_list(const struct net_master *master, uint64_t *cursor, struct route *out, size_t max)
{
	const uint64_t statics = 1ull << 63;
	size_t count = 0;

	while (count < max && !(*cursor & statics)) {
		uint64_t id = *cursor >> 2, done = *cursor & 3, previous = id ? id - 1 : 0;
		const struct own_address *own = own_address_next(master, &previous);
		struct route routes[3];
		unsigned int there;

		if (!own) {
			*cursor = statics;
			break;
		}
		if (own->entry.id != id)
			done = 0;
		there = automatic_routes(&own->address, routes);
		/* The broadcast address is not shown, nor a network that an older address brought. */
		there = RTE_MIN(there,
				own->address.prefix < ip_bits((enum family)own->address.family) ? 2u : 1u);
		if (done < there && (done == 0 || automatic_origin(master, &routes[done]) == own))
			out[count++] = routes[done];
		done++;
		*cursor = done < there ? own->entry.id << 2 | done : (own->entry.id + 1) << 2;
	}
	while (count < max && (*cursor & statics)) {
		uint64_t id = *cursor & ~statics;
		const struct own_route *own = own_route_next(master, &id);

		if (!own)
			break;
		out[count++] = own->route;
		*cursor = id | statics;
	}
	return count;
}

void own_routes_clear(struct net_master *master)
{
	uint64_t cursor = 0;
	struct own_route *own;

	while ((own = own_route_next(master, &cursor)))
		memory_free(own);
	registry_clear(&master->routes);
}
