/* Route tables against a search through all routes, and the rules of adding and removing them. */
#include "stack.h"
#include "stack/route.h"

#include <time.h>

static uint64_t clock_us(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return (uint64_t)t.tv_sec * 1000000 + (uint64_t)t.tv_nsec / 1000;
}

static struct route route_of(const char *text, const char *gateway, uint16_t port)
{
	struct address network = address_of(text, port);
	struct route route = {
	    .destination = network.address,
	    .prefix = network.prefix,
	    .family = network.family,
	    .port = port,
	    .kind = gateway ? ROUTE_GATEWAY : ROUTE_LINK,
	};

	if (gateway)
		route.gateway = ip(gateway);
	return route;
}

static int apply(int verb, struct route route)
{
	struct error error;

	return net_route_apply(master, verb, &route, &error);
}

/* ---- the table against a naive model ---- */

static bool covers(const struct route *route, const union ip_addr *address)
{
	for (unsigned int bit = 0; bit < route->prefix; bit++)
		if ((route->destination.b[bit / 8] ^ address->b[bit / 8]) >> (7 - bit % 8) & 1)
			return false;
	return true;
}

/* Longest prefix, then lowest metric, then the first. */
static const struct route *naive(const struct route *routes, unsigned int count, const union ip_addr *address)
{
	const struct route *best = NULL;

	for (unsigned int i = 0; i < count; i++)
		if (covers(&routes[i], address) &&
		    (!best || routes[i].prefix > best->prefix ||
		     (routes[i].prefix == best->prefix && routes[i].metric < best->metric)))
			best = &routes[i];
	return best;
}

/* Addresses close to each other, so that prefixes nest and touch; ends of the space too. */
static union ip_addr random_address(enum family family)
{
	union ip_addr a = {.q = {0, 0}};
	unsigned int size = family == FAMILY_IPV6 ? 16 : 4;
	int kind = (int)(check_random() % 8);

	if (kind == 0)
		memset(a.b, 0xff, size);
	else if (kind == 1)
		a.b[size - 1] = (uint8_t)(check_random() % 4);
	else
		for (unsigned int i = 0; i < size; i++)
			a.b[i] = (uint8_t)(check_random() & (i % 2 ? 0xc1 : 0x81));
	return a;
}

static struct route random_route(enum family family)
{
	struct route route = {
	    .family = (uint8_t)family,
	    .prefix = (uint8_t)(check_random() % (ip_bits(family) + 1)),
	    .metric = (uint32_t)(check_random() % 3),
	    .port = (uint16_t)(check_random() % 2),
	};

	route.destination = random_address(family);
	ip_mask(&route.destination, route.prefix);
	return route;
}

static void model(enum family family)
{
	struct route routes[64];
	struct route_candidate candidates[64];

	for (int round = 0; round < 3000; round++) {
		unsigned int count = (unsigned int)(check_random() % 64);
		struct route_table *table;
		uint32_t winners;

		for (unsigned int i = 0; i < count; i++) {
			routes[i] = random_route(family);
			routes[i].mtu = (uint16_t)i; /* names it */
			candidates[i] = (struct route_candidate){.route = routes[i]};
		}
		table = route_table_new(family, candidates, count, &winners);
		CHECK(table != NULL);
		CHECK(table->range_count <= 2 * winners + 1);
		for (int probe = 0; probe < 200; probe++) {
			union ip_addr address = random_address(family);
			const struct route *expected, *found;

			if (count && probe % 3 == 0) {
				/* the edges of a prefix */
				const struct route *edge = &routes[check_random() % count];
				union ip_addr low = edge->destination;

				address = low;
				if (probe % 2)
					for (unsigned int bit = edge->prefix; bit < ip_bits(family); bit++)
						address.b[bit / 8] |= (uint8_t)(0x80 >> bit % 8);
			}
			expected = naive(routes, count, &address);
			found = route_table_lookup(table, &address);
			CHECK((expected == NULL) == (found == NULL));
			if (expected && found)
				CHECK_EQ(found->mtu, expected->mtu);
		}
		route_table_free(table);
	}
}

static void model_ipv4(void)
{
	model(FAMILY_IPV4);
}

static void model_ipv6(void)
{
	model(FAMILY_IPV6);
}

/* The same through add, change and delete, one by one and in batches. */
static void model_of_changes(void)
{
	static struct route kept[256];
	unsigned int count = 0;
	bool batch = false;

	stack_start(NULL);
	for (int step = 0; step < 20000; step++) {
		struct route route = random_route(check_random() & 1 ? FAMILY_IPV4 : FAMILY_IPV6);
		unsigned int at = 0;
		int verb = (int)(check_random() % 4), expected;

		if (ip_bits((enum family)route.family) == 128
			? route.destination.b[0] == 0xff && route.prefix >= 8
			: route.destination.b[0] >= 224 && route.destination.b[0] < 240)
			continue; /* multicast is refused */
		if (count && check_random() % 2)
			route = kept[check_random() % count];
		if (verb == 3)
			route.metric += check_random() % 5 == 0; /* often something that is not there */
		while (at < count && !(kept[at].family == route.family && kept[at].prefix == route.prefix &&
				       ip_equal(&kept[at].destination, &route.destination) &&
				       kept[at].metric == route.metric))
			at++;
		if (count == 256 && at == count)
			verb = 3;
		route.kind = ROUTE_LINK;
		route.mtu = (uint16_t)(1280 + step % 60000);
		if (verb == 3) {
			/* Metric 0 means the lowest that there is. */
			if (route.metric == 0) {
				for (unsigned int i = 0; i < count; i++)
					if (kept[i].family == route.family &&
					    kept[i].prefix == route.prefix &&
					    ip_equal(&kept[i].destination, &route.destination) &&
					    (at == count || kept[i].metric < kept[at].metric))
						at = i;
			}
			route.port = ROUTE_ANY_PORT;
			expected = at < count ? 0 : -1;
			CHECK_EQ(apply(3, route), expected);
			if (at < count)
				kept[at] = kept[--count];
		} else {
			expected = verb == 0 ? (at < count ? -1 : 0) : verb == 1 ? (at < count ? 0 : -1) : 0;
			CHECK_EQ(apply(verb, route), expected);
			if (expected == 0) {
				kept[at] = route;
				if (at == count)
					count++;
			}
		}
		if (!batch && step % 100 == 50) {
			net_changes_begin(master);
			batch = true;
		} else if (batch && step % 100 == 80) {
			net_changes_end(master);
			batch = false;
		}
		if (batch || step % 7)
			continue;
		for (int probe = 0; probe < 50; probe++) {
			enum family family = probe % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
			union ip_addr address = random_address(family);
			struct route of_family[256];
			unsigned int n = 0;
			const struct route *wanted, *found;

			for (unsigned int i = 0; i < count; i++)
				if (kept[i].family == family)
					of_family[n++] = kept[i];
			wanted = naive(of_family, n, &address);
			found = route_lookup(&net, family, &address);
			CHECK((wanted == NULL) == (found == NULL));
			if (wanted && found)
				CHECK_EQ(found->mtu, wanted->mtu);
		}
	}
	stack_stop();
}

static void ten_thousand(void)
{
	uint64_t start, loaded, searched;
	unsigned int found = 0;

	stack_start(NULL);
	address_apply(0, "10.0.0.1/24", 0);
	start = clock_us();
	net_changes_begin(master);
	for (uint32_t i = 0; i < 10000; i++) {
		struct route route = route_of("0.0.0.0/24", "10.0.0.254", 0);

		route.destination.v4 = htonl(0x14000000 + i * 0x300);
		CHECK_EQ(apply(0, route), 0);
	}
	net_changes_end(master);
	loaded = clock_us();
	for (uint32_t i = 0; i < 1000000; i++) {
		union ip_addr address = ip_from_v4(htonl(0x14000000 + (i * 2654435761u) % (10000 * 0x300)));
		const struct route *route = route_lookup(&net, FAMILY_IPV4, &address);

		found += route != NULL;
	}
	searched = clock_us();
	CHECK(found > 300000 && found < 366666);
	printf("# 10,000 routes in %.1f ms, %.0f ns a search\n", (double)(loaded - start) / 1000,
	       (double)(searched - loaded) / 1000);
	CHECK(loaded - start < 1000000);
	stack_stop();
}

/* ---- the rules ---- */

static void automatic(void)
{
	struct route list[16];
	uint64_t cursor = 0;
	union ip_addr a;
	size_t count;

	stack_start(NULL);
	CHECK_EQ(address_apply(0, "10.0.0.1/24", 0), 0);
	CHECK_EQ(address_apply(0, "10.0.0.2/24", 0), 0);
	CHECK_EQ(address_apply(0, "192.0.2.1/32", 1), 0);
	CHECK_EQ(address_apply(0, "2001:db8::1/64", 1), 0);
	a = ip("10.0.0.1");
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->kind, ROUTE_LOCAL);
	a = ip("10.0.0.2");
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->kind, ROUTE_LOCAL);
	a = ip("10.0.0.255");
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->kind, ROUTE_LOCAL);
	a = ip("10.0.0.77");
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->kind, ROUTE_LINK);
	a = ip("10.0.0.1");
	{
		union ip_addr towards = ip("10.0.0.77");

		CHECK(ip_equal(&route_lookup(&net, FAMILY_IPV4, &towards)->source, &a));
	}
	a = ip("2001:db8::99");
	CHECK_EQ(route_lookup(&net, FAMILY_IPV6, &a)->kind, ROUTE_LINK);
	a = ip("192.0.2.2");
	CHECK(route_lookup(&net, FAMILY_IPV4, &a) == NULL);

	/* 3 local ones of IPv4, one network; 1 and 1 of IPv6. One at a time. */
	for (count = 0; net_routes_list(master, &cursor, &list[count], 1) == 1; count++)
		;
	CHECK_EQ(count, 6);
	CHECK_EQ(apply(0, route_of("10.0.0.0/24", NULL, 0)), -1);
	CHECK_EQ(apply(3, route_of("10.0.0.0/24", NULL, 0)), -1);

	/* The network stays while one of its addresses does, with another source. */
	CHECK_EQ(address_apply(3, "10.0.0.1/24", 0), 0);
	a = ip("10.0.0.77");
	{
		union ip_addr source = ip("10.0.0.2");

		CHECK(ip_equal(&route_lookup(&net, FAMILY_IPV4, &a)->source, &source));
	}
	CHECK_EQ(address_apply(3, "10.0.0.2/24", 0), 0);
	CHECK(route_lookup(&net, FAMILY_IPV4, &a) == NULL);
	stack_stop();
}

static void rules(void)
{
	struct error error;
	struct route route, listed[4];
	struct next_hop_answer answer;
	union ip_addr a, b;
	uint64_t cursor = 0;

	stack_start(NULL);
	address_apply(0, "10.0.0.1/24", 0);
	address_apply(0, "10.1.0.1/24", 1);
	address_apply(0, "2001:db8::1/64", 0);
	/* the port of a gateway is found */
	route = route_of("0.0.0.0/0", "10.1.0.254", ROUTE_ANY_PORT);
	CHECK_EQ(apply(0, route), 0);
	CHECK_EQ(apply(0, route), -1);
	a = ip("8.8.8.8");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_UNRESOLVED);
	CHECK_EQ(answer.port, 1);
	b = ip("10.1.0.254");
	CHECK(ip_equal(&answer.address, &b));
	b = ip("10.1.0.1");
	CHECK(ip_equal(&answer.source, &b));
	CHECK_EQ(answer.mtu, 1500);

	/* metric decides; the port that is up decides before it */
	route = route_of("0.0.0.0/0", "10.0.0.254", 0);
	route.metric = 10;
	CHECK_EQ(apply(0, route), 0);
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->port, 1);
	net.ports[1].up = false;
	net_port_changed(master, 1, now);
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->port, 0);
	net.ports[1].up = true;
	net_port_changed(master, 1, now);
	CHECK_EQ(route_lookup(&net, FAMILY_IPV4, &a)->port, 1);

	/* source and MTU */
	route = route_of("0.0.0.0/0", "10.1.0.254", 1);
	route.source = ip("10.0.0.1");
	route.mtu = 1400;
	CHECK_EQ(apply(1, route), 0);
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_UNRESOLVED);
	CHECK(ip_equal(&answer.source, &route.source));
	CHECK_EQ(answer.mtu, 1400);
	route.mtu = 9000;
	CHECK_EQ(apply(1, route), 0);
	next_hop_find(&net, FAMILY_IPV4, &a, &answer);
	CHECK_EQ(answer.mtu, 1500);
	CHECK_EQ(net_routes_list(master, &cursor, listed, 4), 4);

	/* refused, with a reason, and nothing changed */
	route = route_of("10.9.0.1/24", NULL, 0);
	CHECK_EQ(net_route_apply(master, 0, &route, &error), -1);
	CHECK(strcmp(error.code, "invalid") == 0);
	route = route_of("10.9.0.0/24", "172.16.0.1", ROUTE_ANY_PORT);
	CHECK_EQ(net_route_apply(master, 0, &route, &error), -1);
	CHECK(strstr(error.text, "172.16.0.1") != NULL);
	route = route_of("10.9.0.0/24", "10.0.0.1", 0);
	CHECK_EQ(apply(0, route), -1);
	route = route_of("10.9.0.0/24", NULL, 5);
	CHECK_EQ(net_route_apply(master, 0, &route, &error), -1);
	CHECK(strcmp(error.code, "not-found") == 0);
	route = route_of("10.9.0.0/24", NULL, 0);
	route.source = ip("10.0.0.99");
	CHECK_EQ(apply(0, route), -1);
	route.source = ip_from_v4(0);
	route.mtu = 60;
	CHECK_EQ(apply(0, route), -1);
	route = route_of("224.0.0.0/4", NULL, 0);
	CHECK_EQ(apply(0, route), -1);
	CHECK_EQ(apply(1, route_of("10.9.0.0/24", NULL, 0)), -1);
	CHECK_EQ(apply(3, route_of("10.9.0.0/24", NULL, ROUTE_ANY_PORT)), -1);

	/* to the kernel, even what is ours */
	route = route_of("10.0.0.1/32", NULL, 0);
	route.kind = ROUTE_KERNEL;
	CHECK_EQ(apply(0, route), 0);
	a = ip("10.0.0.1");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_KERNEL);
	CHECK_EQ(answer.port, 0);
	CHECK_EQ(apply(3, route_of("10.0.0.1/32", NULL, ROUTE_ANY_PORT)), 0);
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_LOCAL);

	/* link-local gateways name their device */
	route = route_of("::/0", "fe80::1", 1);
	CHECK_EQ(apply(0, route), 0);
	a = ip("2606::1");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV6, &a, &answer), NEXT_HOP_UNRESOLVED);
	CHECK_EQ(answer.port, 1);
	b = ip("2001:db8::1");
	CHECK(ip_equal(&answer.source, &b));

	a = ip("224.0.0.5");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_LOCAL);
	a = ip("255.255.255.255");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV4, &a, &answer), NEXT_HOP_LOCAL);
	a = ip("ff02::5");
	CHECK_EQ(next_hop_find(&net, FAMILY_IPV6, &a, &answer), NEXT_HOP_LOCAL);
	stack_stop();
}

static void generation(void)
{
	uint32_t before;
	struct route route;

	stack_start(NULL);
	CHECK(net.generation != 0);
	address_apply(0, "10.0.0.1/24", 0);
	before = net.generation;
	/* another owner, the same routes */
	{
		struct address address = address_of("10.0.0.1/24", 0);
		struct error error;

		snprintf(address.owner, sizeof(address.owner), "keepalived");
		CHECK_EQ(net_address_apply(master, 1, &address, now, &error), 0);
	}
	CHECK_EQ(net.generation, before);
	net_changes_begin(master);
	for (int i = 0; i < 10; i++) {
		route = route_of("20.0.0.0/24", "10.0.0.254", 0);
		route.destination.b[2] = (uint8_t)i;
		CHECK_EQ(apply(0, route), 0);
		CHECK_EQ(net.generation, before);
	}
	net_changes_end(master);
	CHECK_EQ(net.generation, before + 1);
	net.generation = 0xffff;
	net_generation_next(&net);
	CHECK_EQ(net.generation, 0x10001);
	stack_stop();
}

int main(void)
{
	RUN(model_ipv4);
	RUN(model_ipv6);
	RUN(model_of_changes);
	RUN(ten_thousand);
	RUN(automatic);
	RUN(rules);
	RUN(generation);
	return check_end();
}
