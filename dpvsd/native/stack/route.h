/* The route table of the workers: the address space cut into disjoint ranges, each with its longest route, in
 * order of their first addresses. A look-up is one binary search without branches that depend on the data:
 * 15 steps for 10,000 routes; and a search happens once per connection and generation, not once per packet.
 * Rebuilt as a whole when something changes: sorting 10,000 routes takes a few milliseconds. */
#ifndef DPVSHA_ROUTE_H
#define DPVSHA_ROUTE_H

#include "net.h"

typedef unsigned __int128 address_number; /* an address in host order; IPv4 in the low 32 bits */

static inline address_number address_number_of(enum family family, const union ip_addr *a)
{
	if (family == FAMILY_IPV4)
		return rte_be_to_cpu_32(a->v4);
	return (address_number)rte_be_to_cpu_64(a->q[0]) << 64 | rte_be_to_cpu_64(a->q[1]);
}

enum { ROUTE_NONE = UINT32_MAX }; /* a range without a route */

struct route_table {
	uint32_t range_count, route_count;
	uint32_t family;
	uint32_t *starts4; /* of IPv4, host order, ascending; the first is 0 */
	address_number *starts6; /* of IPv6 */
	uint32_t *owners; /* by range: index of a route, ROUTE_NONE */
	struct route *routes;
};

/* A route with what decides between equal prefixes: a lower rank wins, then the lower metric, then the
 * earlier one. */
struct route_candidate {
	struct route route;
	address_number start;
	uint32_t rank;
	uint32_t order; /* position in the array it came from */
};

/* Builds a table of the candidates of one family. Sorts `candidates`, moves the winners to its front and
 * their number to `*winners`. NULL without memory. */
struct route_table *route_table_new(enum family family, struct route_candidate *candidates, uint32_t count,
				    uint32_t *winners);
void route_table_free(void *table);
const struct route *route_table_lookup(const struct route_table *table, const union ip_addr *destination);

#endif
