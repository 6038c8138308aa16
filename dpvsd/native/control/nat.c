/* Which (address, port, protocol) answer as NAT servers, and by which persistence prefixes their clients are
 * steered: kept for as long as a server may have connections. */
#include "model.h"

#include <stdlib.h>

static uint64_t endpoint_hash(const struct nat_endpoint *key)
{
	return mix64(ip_hash(&key->address),
		     ((uint64_t)key->port << 16 | (uint64_t)key->protocol << 8 | key->family) ^
			 hash_secret[3]);
}

static bool is_endpoint(const void *object, const void *wanted)
{
	const struct nat_endpoint *a = object, *b = wanted;

	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family;
}

int server_link_nat(struct model *model, struct model_server *server)
{
	struct nat_endpoint key = {.address = server->shared->address,
				   .port = server->shared->port,
				   .protocol = server->service_key.protocol,
				   .family = server->shared->family};
	struct nat_endpoint *nat = pointer_table_find(&model->nat_by_endpoint, endpoint_hash(&key), &key,
						      is_endpoint);
	void *old;

	if (!nat) {
		nat = malloc(sizeof(*nat));
		if (!nat)
			return -1;
		*nat = key;
		if (pointer_table_put(&model->nat_by_endpoint, endpoint_hash(&key), &key, is_endpoint, nat,
				      &old) < 0) {
			free(nat);
			return -1;
		}
	}
	server->nat = nat;
	server->nat_next = nat->servers;
	nat->servers = server;
	return 0;
}

void server_unlink_nat(struct model *model, struct model_server *server)
{
	struct nat_endpoint *nat = server->nat;
	struct model_server **link;

	if (!nat)
		return;
	for (link = &nat->servers; *link != server; link = &(*link)->nat_next)
		;
	*link = server->nat_next;
	server->nat = NULL;
	nat_publish(model, nat);
}

int nat_publish(struct model *model, struct nat_endpoint *nat)
{
	struct service_table *table = model->director->services;
	struct prefix_set set = {{0}};

	for (const struct model_server *server = nat->servers; server; server = server->nat_next)
		set.bits[server->nat_prefix / 64] |= 1ull << (server->nat_prefix % 64);
	if (nat->servers)
		return nat_server_put(table, (enum family)nat->family, nat->protocol, &nat->address,
				      nat->port, &set);
	nat_server_remove(table, (enum family)nat->family, nat->protocol, &nat->address, nat->port);
	pointer_table_remove(&model->nat_by_endpoint, endpoint_hash(nat), nat, is_endpoint);
	free(nat);
	return 0;
}
