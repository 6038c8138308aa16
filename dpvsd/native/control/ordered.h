/* An array of items in the order in which they were added, that can be listed in pieces while it changes: a
 * position is the sequence number of the last item that was seen. */
#ifndef DPVSHA_ORDERED_H
#define DPVSHA_ORDERED_H

#include "../core/base.h"

struct ordered_place {
	uint64_t sequence;
	void *item; /* NULL: a hole */
};

struct ordered {
	struct ordered_place *places;
	uint32_t used; /* places, holes included */
	uint32_t room;
	uint32_t count; /* items */
};

/* Makes sure that `more` inserts cannot fail. -1 when memory runs out. */
int ordered_reserve(struct ordered *ordered, uint32_t more);
/* Enters an item at its sequence number, which no other has. Needs room that was reserved. */
void ordered_insert(struct ordered *ordered, uint64_t sequence, void *item);
void ordered_remove(struct ordered *ordered, uint64_t sequence);
/* The first item behind *sequence, which becomes its number; NULL at the end. */
void *ordered_next(const struct ordered *ordered, uint64_t *sequence);
void ordered_end(struct ordered *ordered);

#endif
