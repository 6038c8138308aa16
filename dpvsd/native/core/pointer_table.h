/* A hash table of pointers with one writer and readers that take no lock: open addressing, a tag beside each
 * pointer. The writer replaces the slots as a whole when they fill up or hold too many tombstones; who reads
 * the old ones meanwhile finds what was there. */
#ifndef DPVSHA_POINTER_TABLE_H
#define DPVSHA_POINTER_TABLE_H

#include "base.h"

struct pointer_slot {
	uint64_t hash; /* 0: never used; the lowest bit is always set in use */
	void *pointer; /* NULL: tombstone */
};

struct pointer_slots {
	uint64_t mask;
	struct pointer_slot slot[];
};

struct pointer_table {
	struct pointer_slots *slots; /* published */
	uint32_t count; /* pointers */
	uint32_t touched; /* pointers and tombstones */
};

typedef bool (*pointer_equal)(const void *object, const void *key);

int pointer_table_init(struct pointer_table *table);
void pointer_table_end(struct pointer_table *table);

/* Writer: enters, or replaces the pointer of an equal key (then *old is that pointer, otherwise NULL). -1
 * when memory runs out. */
int pointer_table_put(struct pointer_table *table, uint64_t hash, const void *key, pointer_equal equal,
		      void *object, void **old);
/* Writer: makes sure that `more` puts of new keys need no memory. */
int pointer_table_reserve(struct pointer_table *table, uint32_t more);
/* Writer: takes out and returns, NULL when there is none. */
void *pointer_table_remove(struct pointer_table *table, uint64_t hash, const void *key, pointer_equal equal);

/* Anybody. Inlined with its comparison, since this runs per packet. */
static inline void *pointer_table_find(const struct pointer_table *table, uint64_t hash, const void *key,
				       pointer_equal equal)
{
	const struct pointer_slots *slots = subscribe(table->slots);

	hash |= 1;
	for (uint64_t i = hash >> 1;; i++) {
		const struct pointer_slot *slot = &slots->slot[i & slots->mask];
		uint64_t seen = __atomic_load_n(&slot->hash, __ATOMIC_ACQUIRE);

		if (seen == 0)
			return NULL;
		if (seen != hash)
			continue;
		void *object = subscribe(slot->pointer);

		if (object && equal(object, key))
			return object;
	}
}

#endif
