#include "client.h"

#include <stdlib.h>

enum { BUFFER_LEAST = 4096 };

int buffer_reserve(struct buffer *buffer, size_t more)
{
	size_t used = buffer_used(buffer), room = RTE_MAX(buffer->room, (size_t)BUFFER_LEAST);
	uint8_t *bytes;

	if (buffer->room - buffer->end >= more)
		return 0;
	if (buffer->start > 0) {
		memmove(buffer->bytes, buffer->bytes + buffer->start, used);
		buffer->start = 0;
		buffer->end = used;
		if (buffer->room - used >= more)
			return 0;
	}
	while (room - used < more)
		room *= 2;
	bytes = realloc(buffer->bytes, room);
	if (!bytes)
		return -1;
	buffer->bytes = bytes;
	buffer->room = room;
	return 0;
}

void buffer_take(struct buffer *buffer, size_t bytes)
{
	buffer->start += bytes;
	if (buffer->start < buffer->end)
		return;
	buffer->start = buffer->end = 0;
	/* A large message's memory is not kept. */
	if (buffer->room > 16 * BUFFER_LEAST)
		buffer_end(buffer);
}

void buffer_end(struct buffer *buffer)
{
	free(buffer->bytes);
	memset(buffer, 0, sizeof(*buffer));
}

bool message_length(const struct buffer *in, size_t *length)
{
	uint32_t big_endian;

	*length = 0;
	if (buffer_used(in) < sizeof(big_endian))
		return true;
	memcpy(&big_endian, in->bytes + in->start, sizeof(big_endian));
	*length = rte_be_to_cpu_32(big_endian);
	return *length >= 1 && *length <= CONTROL_MESSAGE_MAX;
}
