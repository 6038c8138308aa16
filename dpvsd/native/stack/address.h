/* Addresses of ours, as workers look them up. */
#ifndef DPVSHA_ADDRESS_H
#define DPVSHA_ADDRESS_H

#include "net.h"

struct address_slot {
	union ip_addr address;
	uint32_t family; /* 0: empty */
	uint32_t index;
};

/* Immutable: open addressing, at most half full. An address on several ports stands once, as the oldest. */
struct address_table {
	uint32_t mask, count;
	struct address *entries;
	struct address_slot slots[];
};

struct address_table *address_table_new(const struct address *const *addresses, uint32_t count);
void address_table_free(void *table);

#endif
