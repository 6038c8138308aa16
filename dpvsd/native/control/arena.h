/* Memory for one message: taken piece by piece, given back all at once. Bounded, so that a small message
 * cannot unfold into a large one without end. */
#ifndef DPVSHA_ARENA_H
#define DPVSHA_ARENA_H

#include <protobuf-c/protobuf-c.h>

#include "../core/base.h"

struct arena_chunk;

struct arena {
	struct arena_chunk *chunks; /* the latest first */
	size_t used; /* of the latest */
	size_t total, limit;
	ProtobufCAllocator allocator; /* of this arena, for protobuf-c */
};

void arena_init(struct arena *arena, size_t limit);
/* Zeroed, aligned to 8 bytes. NULL behind the limit or without memory. */
void *arena_take(struct arena *arena, size_t bytes);
/* Everything that was taken is free; one chunk is kept. */
void arena_reset(struct arena *arena);
void arena_end(struct arena *arena);

#endif
