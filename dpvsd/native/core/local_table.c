/* Local addresses of all services: asked for every packet that belongs to no connection, so that the answer
 * "none of them" has to be cheap. */
#include "service_table.h"

struct local_table {
	uint32_t mask;
	struct local_address *slot[]; /* at most a quarter in use */
};

static inline uint32_t local_hash(enum family family, const union ip_addr *address)
{
	return (uint32_t)((ip_hash(address) + family) >> 16);
}

struct local_table *local_table_new(struct local_address *const *addresses, uint32_t count)
{
	uint64_t size = 16;
	struct local_table *table;

	while (size < 4 * (uint64_t)count)
		size *= 2;
	table = memory_new(sizeof(*table) + size * sizeof(table->slot[0]));
	if (!table)
		return NULL;
	table->mask = (uint32_t)(size - 1);
	for (uint32_t i = 0; i < count; i++) {
		uint32_t at = local_hash((enum family)addresses[i]->family, &addresses[i]->address);

		while (table->slot[at & table->mask])
			at++;
		table->slot[at & table->mask] = addresses[i];
	}
	return table;
}

void local_table_free(struct local_table *table)
{
	if (table)
		memory_free(table);
}

struct local_address *local_table_lookup(const struct local_table *table, enum family family,
					 const union ip_addr *address)
{
	if (!table)
		return NULL;
	for (uint32_t at = local_hash(family, address);; at++) {
		struct local_address *local = table->slot[at & table->mask];

		if (!local || (local->family == family && ip_equal(&local->address, address)))
			return local;
	}
}

size_t local_table_list(const struct local_table *table, struct local_address **out, size_t max)
{
	size_t count = 0;

	for (uint32_t i = 0; table && i <= table->mask; i++) {
		if (!table->slot[i])
			continue;
		if (count < max)
			out[count] = table->slot[i];
		count++;
	}
	return count;
}
