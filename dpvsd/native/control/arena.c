#include "arena.h"

#include <stdlib.h>

enum { CHUNK_SIZE = 256 * 1024 };

struct arena_chunk {
	struct arena_chunk *next;
	size_t size;
	uint8_t bytes[];
};

static void *allocate(void *data, size_t size)
{
	return arena_take(data, size);
}

static void forget(void *data, void *pointer)
{
	(void)data;
	(void)pointer;
}

void arena_init(struct arena *arena, size_t limit)
{
	memset(arena, 0, sizeof(*arena));
	arena->limit = limit;
	arena->allocator = (ProtobufCAllocator){.alloc = allocate, .free = forget, .allocator_data = arena};
}

static bool add_chunk(struct arena *arena, size_t size)
{
	struct arena_chunk *chunk;

	if (size > arena->limit || arena->total + size > arena->limit)
		return false;
	chunk = malloc(sizeof(*chunk) + size);
	if (!chunk)
		return false;
	chunk->size = size;
	chunk->next = arena->chunks;
	arena->chunks = chunk;
	arena->total += size;
	arena->used = 0;
	return true;
}

void *arena_take(struct arena *arena, size_t bytes)
{
	size_t rounded = RTE_ALIGN_CEIL(bytes, (size_t)8);
	void *taken;

	if (rounded < bytes)
		return NULL;
	if (!arena->chunks || arena->chunks->size - arena->used < rounded)
		if (!add_chunk(arena, RTE_MAX(rounded, (size_t)CHUNK_SIZE)))
			return NULL;
	taken = arena->chunks->bytes + arena->used;
	arena->used += rounded;
	memset(taken, 0, rounded);
	return taken;
}

void arena_reset(struct arena *arena)
{
	struct arena_chunk *kept = NULL;

	while (arena->chunks) {
		struct arena_chunk *chunk = arena->chunks;

		arena->chunks = chunk->next;
		if (!kept && chunk->size == CHUNK_SIZE)
			kept = chunk;
		else
			free(chunk);
	}
	arena->chunks = kept;
	arena->used = 0;
	arena->total = 0;
	if (kept) {
		kept->next = NULL;
		arena->total = kept->size;
	}
}

void arena_end(struct arena *arena)
{
	arena_reset(arena);
	free(arena->chunks);
	arena->chunks = NULL;
}
