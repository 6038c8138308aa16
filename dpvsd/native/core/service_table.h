/* Finding the virtual server of a packet, and its lists of clients. Built by the master, read by workers. */
#ifndef DPVSHA_SERVICE_TABLE_H
#define DPVSHA_SERVICE_TABLE_H

#include "packet.h"
#include "local_port.h"
#include "service.h"

struct service_table;

struct service_table *service_table_new(uint32_t capacity);
void service_table_free(struct service_table *table);
/* Master only. Put replaces the pointer of an equal key; -1 when full. The table does not own the services.
 */
int service_table_put(struct service_table *table, struct service *service);
/* Makes sure that `more` puts do not fail for want of memory. */
int service_table_reserve(struct service_table *table, uint32_t more);
void service_table_remove(struct service_table *table, const struct service_key *key);
/* The service with exactly this key. */
struct service *service_table_get(const struct service_table *table, const struct service_key *key);

/* The service that takes a packet to key->destination: exact port first, then "any port". Workers. */
struct service *service_lookup(const struct service_table *table, const struct flow_key *key);

/* Is this (address, port, protocol) a NAT-mode server? Its replies are steered to the worker that owns their
 * client. `prefixes` gets the persistence prefixes of the services it serves, as a set (bit n: prefix length
 * n; bit 0: no persistence, steer by address and port). Those of a server with port 0 count for any port.
 * Workers. */
struct prefix_set {
	uint64_t bits[3];
};
bool nat_server_lookup(const struct service_table *table, enum family family, uint8_t protocol,
		       const union ip_addr *address, rte_be16_t port, struct prefix_set *prefixes);
int nat_server_put(struct service_table *table, enum family family, uint8_t protocol,
		   const union ip_addr *address, rte_be16_t port, const struct prefix_set *prefixes);
void nat_server_remove(struct service_table *table, enum family family, uint8_t protocol,
		       const union ip_addr *address, rte_be16_t port);

/* Is this one of the addresses that FullNAT connections start from? Workers; a false answer is cheap. */
struct local_table; /* immutable, published as a whole */
struct local_table *local_table_new(struct local_address *const *addresses, uint32_t count);
void local_table_free(struct local_table *table);
/* Copies at most `max` of them to out[]; @return how many there are. NULL table: none. */
size_t local_table_list(const struct local_table *table, struct local_address **out, size_t max);
struct local_address *local_table_lookup(const struct local_table *table, enum family family,
					 const union ip_addr *address);

/* Clients by longest prefix; immutable. */
struct client_prefix {
	union ip_addr address;
	uint8_t prefix;
};
struct client_list *client_list_new(enum family family, const struct client_prefix *entries, uint32_t count);
void client_list_free(struct client_list *list);
bool client_list_has(const struct client_list *list, const union ip_addr *client);

#endif
