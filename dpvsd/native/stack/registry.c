#include "registry.h"

static int grow_places(struct registry *registry)
{
	size_t capacity = registry->capacity ? registry->capacity * 2 : 16;
	struct registry_place *places = memory_new(capacity * sizeof(*places));
	size_t count = 0;

	if (!places)
		return -1;
	for (size_t i = 0; i < registry->used_places; i++)
		if (registry->places[i].entry)
			places[count++] = registry->places[i];
	memory_free(registry->places);
	registry->places = places;
	registry->capacity = capacity;
	registry->used_places = count;
	return 0;
}

/* Closes the gaps of removed entries. */
static void compact(struct registry *registry)
{
	size_t count = 0;

	for (size_t i = 0; i < registry->used_places; i++)
		if (registry->places[i].entry)
			registry->places[count++] = registry->places[i];
	registry->used_places = count;
}

static int grow_buckets(struct registry *registry)
{
	size_t bucket_count = registry->bucket_count ? registry->bucket_count * 2 : 16;
	struct registry_entry **buckets = memory_new(bucket_count * sizeof(struct registry_entry *));

	if (!buckets)
		return -1;
	for (size_t i = 0; i < registry->bucket_count; i++)
		for (struct registry_entry *entry = registry->buckets[i], *next; entry; entry = next) {
			struct registry_entry **head = &buckets[entry->hash & (bucket_count - 1)];

			next = entry->chain;
			entry->chain = *head;
			*head = entry;
		}
	memory_free(registry->buckets);
	registry->buckets = buckets;
	registry->bucket_count = bucket_count;
	return 0;
}

int registry_add(struct registry *registry, struct registry_entry *entry, uint64_t hash)
{
	struct registry_entry **head;

	if (registry->count >= registry->bucket_count && grow_buckets(registry) < 0)
		return -1;
	if (registry->used_places == registry->capacity) {
		if (registry->count < registry->capacity / 2)
			compact(registry);
		else if (grow_places(registry) < 0)
			return -1;
	}
	entry->id = ++registry->last_id;
	entry->hash = hash;
	head = &registry->buckets[hash & (registry->bucket_count - 1)];
	entry->chain = *head;
	*head = entry;
	registry->places[registry->used_places++] = (struct registry_place){.id = entry->id, .entry = entry};
	registry->count++;
	return 0;
}

/* Position of the first place with an id above this one. */
static size_t position_after(const struct registry *registry, uint64_t id)
{
	size_t low = 0, high = registry->used_places;

	while (low < high) {
		size_t middle = (low + high) / 2;

		if (registry->places[middle].id > id)
			high = middle;
		else
			low = middle + 1;
	}
	return low;
}

void registry_remove(struct registry *registry, struct registry_entry *entry)
{
	struct registry_entry **link = &registry->buckets[entry->hash & (registry->bucket_count - 1)];

	while (*link != entry)
		link = &(*link)->chain;
	*link = entry->chain;
	registry->places[position_after(registry, entry->id) - 1].entry = NULL;
	registry->count--;
}

void registry_clear(struct registry *registry)
{
	memory_free(registry->buckets);
	memory_free(registry->places);
	memset(registry, 0, sizeof(*registry));
}

struct registry_entry *registry_next(const struct registry *registry, uint64_t *cursor)
{
	for (size_t i = position_after(registry, *cursor); i < registry->used_places; i++)
		if (registry->places[i].entry) {
			*cursor = registry->places[i].id;
			return registry->places[i].entry;
		}
	return NULL;
}
