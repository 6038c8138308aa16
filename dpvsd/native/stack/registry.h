/* The master's lists of addresses, routes and neighbours: found by hash, listed in the order in which they
 * came, with a cursor that survives changes. */
#ifndef DPVSHA_REGISTRY_H
#define DPVSHA_REGISTRY_H

#include "../core/base.h"

/* First member of what is listed. */
struct registry_entry {
	struct registry_entry *chain; /* of the same bucket */
	uint64_t id; /* grows; never used again */
	uint64_t hash;
};

struct registry_place {
	uint64_t id;
	struct registry_entry *entry; /* NULL: removed since */
};

struct registry {
	struct registry_entry **buckets;
	struct registry_place *places; /* by id */
	size_t bucket_count, count, used_places, capacity;
	uint64_t last_id;
};

/* @return -1 without memory, nothing changed */
int registry_add(struct registry *registry, struct registry_entry *entry, uint64_t hash);
void registry_remove(struct registry *registry, struct registry_entry *entry);
/* Forgets the places, not the entries. */
void registry_clear(struct registry *registry);

/* First of the entries that may have this hash; follow ->chain and compare. */
static inline struct registry_entry *registry_first(const struct registry *registry, uint64_t hash)
{
	return registry->bucket_count ? registry->buckets[hash & (registry->bucket_count - 1)] : NULL;
}

/* The oldest entry that came after *cursor, and *cursor moves on to it; NULL at the end. *cursor 0: from the
 * start. Entries may be added and removed between calls. */
struct registry_entry *registry_next(const struct registry *registry, uint64_t *cursor);

#endif
