#include "pointer_table.h"

enum {
	SLOTS_LEAST = 64,
};

static struct pointer_slots *slots_new(uint64_t count)
{
	struct pointer_slots *slots = memory_new(sizeof(*slots) + count * sizeof(slots->slot[0]));

	if (slots)
		slots->mask = count - 1;
	return slots;
}

int pointer_table_init(struct pointer_table *table)
{
	table->count = 0;
	table->touched = 0;
	table->slots = slots_new(SLOTS_LEAST);
	return table->slots ? 0 : -1;
}

void pointer_table_end(struct pointer_table *table)
{
	memory_free(table->slots);
	table->slots = NULL;
}

static struct pointer_slot *slot_of(const struct pointer_table *table, uint64_t hash, const void *key,
				    pointer_equal equal)
{
	for (uint64_t i = hash >> 1;; i++) {
		struct pointer_slot *slot = &table->slots->slot[i & table->slots->mask];

		if (slot->hash == 0)
			return NULL;
		if (slot->hash == hash && slot->pointer && equal(slot->pointer, key))
			return slot;
	}
}

static void enter(struct pointer_slots *slots, uint64_t hash, void *object)
{
	uint64_t i = hash >> 1;

	while (slots->slot[i & slots->mask].hash != 0)
		i++;
	struct pointer_slot *slot = &slots->slot[i & slots->mask];

	/* The pointer first: a reader that sees the hash sees the pointer. */
	publish(slot->pointer, object);
	__atomic_store_n(&slot->hash, hash, __ATOMIC_RELEASE);
}

/* New slots, without the tombstones, for more pointers. */
static int rebuild(struct pointer_table *table, uint32_t more)
{
	struct pointer_slots *old = table->slots, *slots;
	uint64_t size = SLOTS_LEAST;

	while (size < ((uint64_t)table->count + more) * 4)
		size *= 2;
	slots = slots_new(size);
	if (!slots)
		return -1;
	for (uint64_t i = 0; i <= old->mask; i++)
		if (old->slot[i].pointer)
			enter(slots, old->slot[i].hash, old->slot[i].pointer);
	table->touched = table->count;
	publish(table->slots, slots);
	rcu_free(old, memory_free);
	return 0;
}

int pointer_table_reserve(struct pointer_table *table, uint32_t more)
{
	if (((uint64_t)table->touched + more) * 2 <= table->slots->mask + 1)
		return 0;
	return rebuild(table, more);
}

int pointer_table_put(struct pointer_table *table, uint64_t hash, const void *key, pointer_equal equal,
		      void *object, void **old)
{
	hash |= 1;
	struct pointer_slot *slot = slot_of(table, hash, key, equal);

	*old = NULL;
	if (slot) {
		*old = slot->pointer;
		publish(slot->pointer, object);
		return 0;
	}
	if (((uint64_t)table->touched + 1) * 2 > table->slots->mask + 1 && rebuild(table, 1) < 0)
		return -1;
	enter(table->slots, hash, object);
	table->touched++;
	__atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELAXED);
	return 0;
}

void *pointer_table_remove(struct pointer_table *table, uint64_t hash, const void *key, pointer_equal equal)
{
	struct pointer_slot *slot = slot_of(table, hash | 1, key, equal);
	void *object = slot ? slot->pointer : NULL;

	if (!slot)
		return NULL;
	publish(slot->pointer, NULL);
	__atomic_store_n(&table->count, table->count - 1, __ATOMIC_RELAXED);
	return object;
}
