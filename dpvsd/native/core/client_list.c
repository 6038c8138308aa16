/* Lists of clients: prefixes become disjoint ranges in ascending order, looked up by binary search. */
#include <stdlib.h>

#include "service_table.h"

typedef unsigned __int128 address_number;

struct client_range {
	address_number first, last; /* inclusive */
};

struct client_list {
	enum family family;
	uint32_t count;
	struct client_range *ranges;
};

static inline address_number number_of(enum family family, const union ip_addr *address)
{
	if (family == FAMILY_IPV4)
		return rte_be_to_cpu_32(address->v4);
	return (address_number)rte_be_to_cpu_64(address->q[0]) << 64 | rte_be_to_cpu_64(address->q[1]);
}

static int by_first(const void *left, const void *right)
{
	const struct client_range *a = left, *b = right;

	return a->first < b->first ? -1 : a->first > b->first;
}

struct client_list *client_list_new(enum family family, const struct client_prefix *entries, uint32_t count)
{
	struct client_list *list = memory_new(sizeof(*list));
	uint32_t merged = 0;

	if (!list)
		return NULL;
	list->family = family;
	list->ranges = malloc(RTE_MAX(count, 1u) * sizeof(*list->ranges));
	if (!list->ranges) {
		memory_free(list);
		return NULL;
	}
	for (uint32_t i = 0; i < count; i++) {
		unsigned int bits = ip_bits(family), prefix = RTE_MIN((unsigned int)entries[i].prefix, bits);
		address_number host = prefix == 0 ? (address_number)-1 >> (128 - bits)
						  : (((address_number)1 << (bits - prefix)) - 1);
		address_number first = number_of(family, &entries[i].address) & ~host;

		list->ranges[i] = (struct client_range){.first = first, .last = first | host};
	}
	qsort(list->ranges, count, sizeof(*list->ranges), by_first);
	for (uint32_t i = 0; i < count; i++) {
		/* Prefixes are nested or disjoint, so that one inside the last needs nothing. */
		if (merged > 0 && list->ranges[i].first <= list->ranges[merged - 1].last) {
			if (list->ranges[i].last > list->ranges[merged - 1].last)
				list->ranges[merged - 1].last = list->ranges[i].last;
		} else {
			list->ranges[merged++] = list->ranges[i];
		}
	}
	list->count = merged;
	return list;
}

void client_list_free(struct client_list *list)
{
	if (!list)
		return;
	free(list->ranges);
	memory_free(list);
}

bool client_list_has(const struct client_list *list, const union ip_addr *client)
{
	address_number wanted = number_of(list->family, client);
	uint32_t low = 0, high = list->count;

	/* The number of ranges that begin at or before the client. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (list->ranges[middle].first <= wanted)
			low = middle + 1;
		else
			high = middle;
	}
	return low > 0 && wanted <= list->ranges[low - 1].last;
}
