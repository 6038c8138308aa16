/* Service look-up, NAT servers, local addresses and client lists against plain arrays. */
#include "check.h"
#include "core/service_table.h"

#include <arpa/inet.h>

enum { SERVICES = 400 };

static struct service services[SERVICES];
static bool present[SERVICES];

/* Few addresses, ports and protocols, so that keys nearly meet. */
static struct service_key random_key(void)
{
	struct service_key key = {0};

	key.family = check_random() % 2 ? FAMILY_IPV4 : FAMILY_IPV6;
	if (check_random() % 10 == 0) {
		key.fwmark = 1 + check_random() % 5;
		return key;
	}
	key.protocol = check_random() % 2 ? 6 : 17;
	key.port = htons(check_random() % 4 ? 80 + check_random() % 3 : 0);
	key.address.b[0] = 10;
	key.address.b[3] = check_random() % 8;
	if (key.family == FAMILY_IPV6)
		key.address.b[15] = check_random() % 3;
	return key;
}

static bool same_key(const struct service_key *a, const struct service_key *b)
{
	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family && a->fwmark == b->fwmark;
}

static struct service *naive_get(const struct service_key *key)
{
	for (int i = 0; i < SERVICES; i++)
		if (present[i] && same_key(&services[i].key, key))
			return &services[i];
	return NULL;
}

static struct service *naive_lookup(const struct flow_key *flow)
{
	struct service_key key = {.address = flow->destination,
				  .port = flow->destination_port,
				  .protocol = flow->protocol,
				  .family = flow->family};
	struct service *found = naive_get(&key);

	key.port = 0;
	return found ? found : naive_get(&key);
}

static void like_a_list_of_services(void)
{
	struct service_table *table = service_table_new(SERVICES);

	for (int step = 0; step < 200000; step++) {
		struct service_key key = random_key();
		struct service *known = naive_get(&key);
		int at = check_random() % SERVICES;

		switch (check_random() % 4) {
		case 0: /* add, or put another in its place */
			if (present[at])
				break;
			services[at].key = key;
			CHECK_EQ(service_table_put(table, &services[at]), 0);
			if (known)
				present[known - services] = false;
			present[at] = true;
			break;
		case 1:
			service_table_remove(table, &key);
			if (known)
				present[known - services] = false;
			break;
		case 2:
			CHECK(service_table_get(table, &key) == known);
			break;
		case 3: {
			struct flow_key flow = {.destination = key.address,
						.destination_port = htons(80 + check_random() % 5),
						.source_port = htons(1234),
						.protocol = key.protocol,
						.family = key.family};

			CHECK(service_lookup(table, &flow) == naive_lookup(&flow));
			break;
		}
		}
	}
	service_table_free(table);
}

static void is_full_at_its_capacity(void)
{
	struct service_table *table = service_table_new(3);
	static struct service four[4];

	for (int i = 0; i < 4; i++) {
		four[i].key.family = FAMILY_IPV4;
		four[i].key.port = htons((uint16_t)(i + 1));
		CHECK_EQ(service_table_put(table, &four[i]), i < 3 ? 0 : -1);
	}
	CHECK_EQ(service_table_put(table, &four[1]), 0); /* replacing needs no room */
	service_table_remove(table, &four[0].key);
	CHECK_EQ(service_table_put(table, &four[3]), 0);
	service_table_free(table);
}

static void nat_servers(void)
{
	struct service_table *table = service_table_new(10);
	static struct prefix_set model[256];
	static bool there[256];

	for (int step = 0; step < 100000; step++) {
		uint8_t n = (uint8_t)check_random();
		union ip_addr address = ip_from_v4(htonl(0x0a000000u + (n >> 2)));
		rte_be16_t port = htons(80 + (n & 1));
		uint8_t protocol = n & 2 ? 6 : 17;
		struct prefix_set set = {{check_random(), check_random(), 1}}, got;

		switch (check_random() % 3) {
		case 0:
			CHECK_EQ(nat_server_put(table, FAMILY_IPV4, protocol, &address, port, &set), 0);
			model[n] = set;
			there[n] = true;
			break;
		case 1:
			nat_server_remove(table, FAMILY_IPV4, protocol, &address, port);
			there[n] = false;
			break;
		case 2:
			CHECK_EQ(nat_server_lookup(table, FAMILY_IPV4, protocol, &address, port, &got),
				 there[n]);
			if (there[n])
				CHECK(memcmp(&got, &model[n], sizeof(got)) == 0);
			CHECK(!nat_server_lookup(table, FAMILY_IPV6, protocol, &address, port, &got));
			break;
		}
	}
	service_table_free(table);
}

static void local_addresses(void)
{
	static struct local_address *all[500];
	union ip_addr address = {0};
	struct local_table *table = local_table_new(NULL, 0);

	CHECK(local_table_lookup(table, FAMILY_IPV4, &address) == NULL);
	CHECK(local_table_lookup(NULL, FAMILY_IPV4, &address) == NULL);
	local_table_free(table);
	for (int i = 0; i < 500; i++) {
		address.b[3] = (uint8_t)i;
		address.b[2] = (uint8_t)(i >> 8);
		address.b[15] = i % 2 ? 7 : 0;
		all[i] = local_address_new(&address, i % 2 ? FAMILY_IPV6 : FAMILY_IPV4, 0, 1);
	}
	table = local_table_new(all, 500);
	for (int i = 0; i < 500; i++) {
		enum family family = (enum family)all[i]->family;

		CHECK(local_table_lookup(table, family, &all[i]->address) == all[i]);
		CHECK(local_table_lookup(table, family == FAMILY_IPV4 ? FAMILY_IPV6 : FAMILY_IPV4,
					 &all[i]->address) == NULL);
		address = all[i]->address;
		address.b[1] = 9;
		CHECK(local_table_lookup(table, family, &address) == NULL);
	}
	local_table_free(table);
	for (int i = 0; i < 500; i++)
		local_address_free(all[i]);
}

static bool in_prefix(enum family family, const struct client_prefix *entry, const union ip_addr *client)
{
	union ip_addr a = entry->address, b = *client;

	(void)family;
	ip_mask(&a, entry->prefix);
	ip_mask(&b, entry->prefix);
	return ip_equal(&a, &b);
}

static void client_lists(void)
{
	for (int round = 0; round < 600; round++) {
		enum family family = round % 2 ? FAMILY_IPV6 : FAMILY_IPV4;
		unsigned int bytes = ip_bits(family) / 8;
		struct client_prefix entries[40] = {0};
		uint32_t count = check_random() % 40;

		for (uint32_t i = 0; i < count; i++) {
			/* Long and short prefixes, nested, at the ends of the space, also the whole of it. */
			entries[i].prefix = check_random() % 50 ? bytes * 8 - check_random() % 24 : 0;
			for (unsigned int b = 0; b < bytes; b++)
				entries[i].address.b[b] = check_random() % 3
							      ? (b < bytes - 2
								     ? 0
								     : (uint8_t)(check_random() % 6))
							      : 255;
		}
		struct client_list *list = client_list_new(family, entries, count);

		for (int ask = 0; ask < 400; ask++) {
			union ip_addr client = {0};
			bool wanted = false;

			for (unsigned int b = 0; b < bytes; b++)
				client.b[b] = check_random() % 3
						  ? (b < bytes - 2 ? 0 : (uint8_t)(check_random() % 6))
						  : 255;
			if (count && check_random() % 3 == 0) {
				client = entries[check_random() % count].address;
				client.b[bytes - 1] ^= check_random() % 2;
			}
			for (uint32_t i = 0; i < count; i++)
				wanted |= in_prefix(family, &entries[i], &client);
			CHECK_EQ(client_list_has(list, &client), wanted);
		}
		client_list_free(list);
	}
}

int main(void)
{
	RUN(like_a_list_of_services);
	RUN(is_full_at_its_capacity);
	RUN(nat_servers);
	RUN(local_addresses);
	RUN(client_lists);
	return check_end();
}
