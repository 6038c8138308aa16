#include "service_table.h"

#include "pointer_table.h"

/* A NAT-mode server; immutable, replaced as a whole. */
struct nat_server {
	union ip_addr address;
	rte_be16_t port;
	uint8_t protocol;
	uint8_t family;
	struct prefix_set prefixes;
};

struct service_table {
	uint32_t capacity;
	uint32_t any_port; /* services with port 0 */
	uint32_t any_port_nat; /* NAT servers with port 0 */
	struct pointer_table services;
	struct pointer_table nat_servers;
};

static inline uint64_t endpoint_hash(const union ip_addr *address, rte_be16_t port, uint8_t protocol,
				     uint8_t family, uint32_t mark)
{
	uint64_t rest = (uint64_t)mark << 32 | (uint64_t)port << 16 | (uint64_t)protocol << 8 | family;

	return mix64(ip_hash(address) ^ rest, hash_secret[1] | 1);
}

static inline uint64_t key_hash(const struct service_key *key)
{
	return endpoint_hash(&key->address, key->port, key->protocol, key->family, key->fwmark);
}

static bool service_has_key(const void *object, const void *wanted)
{
	const struct service_key *a = &((const struct service *)object)->key, *b = wanted;

	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family && a->fwmark == b->fwmark;
}

static bool nat_server_is(const void *object, const void *wanted)
{
	const struct nat_server *a = object, *b = wanted;

	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family;
}

struct service_table *service_table_new(uint32_t capacity)
{
	struct service_table *table = memory_new(sizeof(*table));

	if (!table)
		return NULL;
	table->capacity = capacity;
	if (pointer_table_init(&table->services) < 0 || pointer_table_init(&table->nat_servers) < 0) {
		service_table_free(table);
		return NULL;
	}
	return table;
}

void service_table_free(struct service_table *table)
{
	if (!table)
		return;
	if (table->services.slots)
		pointer_table_end(&table->services);
	if (table->nat_servers.slots) {
		for (uint64_t i = 0; i <= table->nat_servers.slots->mask; i++)
			if (table->nat_servers.slots->slot[i].pointer)
				memory_free(table->nat_servers.slots->slot[i].pointer);
		pointer_table_end(&table->nat_servers);
	}
	memory_free(table);
}

int service_table_reserve(struct service_table *table, uint32_t more)
{
	return pointer_table_reserve(&table->services, more);
}

static void count_any_port(struct service_table *table, const struct service_key *key, int step)
{
	if (key->port == 0)
		__atomic_store_n(&table->any_port, table->any_port + (uint32_t)step, __ATOMIC_RELEASE);
}

int service_table_put(struct service_table *table, struct service *service)
{
	bool known = service_table_get(table, &service->key) != NULL;
	void *old;

	if (!known && table->services.count >= table->capacity)
		return -1;
	if (pointer_table_put(&table->services, key_hash(&service->key), &service->key, service_has_key,
			      service, &old) < 0)
		return -1;
	if (!known)
		count_any_port(table, &service->key, 1);
	return 0;
}

void service_table_remove(struct service_table *table, const struct service_key *key)
{
	if (pointer_table_remove(&table->services, key_hash(key), key, service_has_key))
		count_any_port(table, key, -1);
}

struct service *service_table_get(const struct service_table *table, const struct service_key *key)
{
	return pointer_table_find(&table->services, key_hash(key), key, service_has_key);
}

struct service *service_lookup(const struct service_table *table, const struct flow_key *flow)
{
	struct service_key key = {.address = flow->destination,
				  .port = flow->destination_port,
				  .protocol = flow->protocol,
				  .family = flow->family};
	struct service *service = service_table_get(table, &key);

	if (service || key.port == 0 || __atomic_load_n(&table->any_port, __ATOMIC_ACQUIRE) == 0)
		return service;
	key.port = 0;
	return service_table_get(table, &key);
}

bool nat_server_lookup(const struct service_table *table, enum family family, uint8_t protocol,
		       const union ip_addr *address, rte_be16_t port, struct prefix_set *prefixes)
{
	struct nat_server key = {
	    .address = *address, .port = port, .protocol = protocol, .family = (uint8_t)family};
	const struct nat_server *found, *any;

	if (__atomic_load_n(&table->nat_servers.count, __ATOMIC_RELAXED) == 0)
		return false;
	found = pointer_table_find(&table->nat_servers, endpoint_hash(address, port, protocol, key.family, 0),
				   &key, nat_server_is);
	if (found)
		*prefixes = found->prefixes;
	/* Servers of port 0 answer from any port. */
	if (key.port == 0 || __atomic_load_n(&table->any_port_nat, __ATOMIC_RELAXED) == 0)
		return found != NULL;
	key.port = 0;
	any = pointer_table_find(&table->nat_servers, endpoint_hash(address, 0, protocol, key.family, 0),
				 &key, nat_server_is);
	if (any && found)
		for (size_t i = 0; i < RTE_DIM(prefixes->bits); i++)
			prefixes->bits[i] |= any->prefixes.bits[i];
	else if (any)
		*prefixes = any->prefixes;
	return found || any;
}

int nat_server_put(struct service_table *table, enum family family, uint8_t protocol,
		   const union ip_addr *address, rte_be16_t port, const struct prefix_set *prefixes)
{
	struct nat_server *server = memory_new(sizeof(*server));
	void *old;

	if (!server)
		return -1;
	*server = (struct nat_server){.address = *address,
				      .port = port,
				      .protocol = protocol,
				      .family = (uint8_t)family,
				      .prefixes = *prefixes};
	if (pointer_table_put(&table->nat_servers, endpoint_hash(address, port, protocol, server->family, 0),
			      server, nat_server_is, server, &old) < 0) {
		memory_free(server);
		return -1;
	}
	if (old)
		rcu_free(old, memory_free);
	else if (port == 0)
		__atomic_store_n(&table->any_port_nat, table->any_port_nat + 1, __ATOMIC_RELEASE);
	return 0;
}

void nat_server_remove(struct service_table *table, enum family family, uint8_t protocol,
		       const union ip_addr *address, rte_be16_t port)
{
	struct nat_server key = {
	    .address = *address, .port = port, .protocol = protocol, .family = (uint8_t)family};
	void *old = pointer_table_remove(
	    &table->nat_servers, endpoint_hash(address, port, protocol, key.family, 0), &key, nat_server_is);

	if (old && port == 0)
		__atomic_store_n(&table->any_port_nat, table->any_port_nat - 1, __ATOMIC_RELEASE);
	if (old)
		rcu_free(old, memory_free);
}
