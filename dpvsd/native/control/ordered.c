#include "ordered.h"

#include <stdlib.h>

/* The first place whose number is not below this one. */
static uint32_t place_of(const struct ordered *ordered, uint64_t sequence)
{
	uint32_t low = 0, high = ordered->used;

	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (ordered->places[middle].sequence < sequence)
			low = middle + 1;
		else
			high = middle;
	}
	return low;
}

static void close_holes(struct ordered *ordered)
{
	uint32_t kept = 0;

	for (uint32_t i = 0; i < ordered->used; i++)
		if (ordered->places[i].item)
			ordered->places[kept++] = ordered->places[i];
	ordered->used = kept;
}

int ordered_reserve(struct ordered *ordered, uint32_t more)
{
	if (ordered->used + more <= ordered->room)
		return 0;
	if (ordered->count < ordered->used / 2)
		close_holes(ordered);
	if (ordered->used + more <= ordered->room)
		return 0;
	uint64_t room = RTE_MAX((uint64_t)ordered->used + more, (uint64_t)ordered->room * 2);
	struct ordered_place *places = realloc(ordered->places, room * sizeof(*places));

	if (!places)
		return -1;
	ordered->places = places;
	ordered->room = (uint32_t)room;
	return 0;
}

void ordered_insert(struct ordered *ordered, uint64_t sequence, void *item)
{
	uint32_t at;

	/* What is put back by an undo had its place before: holes make room for it at the least. */
	if (ordered->used == ordered->room)
		close_holes(ordered);
	at = place_of(ordered, sequence);
	if (at == ordered->used || ordered->places[at].sequence != sequence) {
		memmove(&ordered->places[at + 1], &ordered->places[at],
			(ordered->used - at) * sizeof(ordered->places[0]));
		ordered->used++;
	}
	ordered->places[at] = (struct ordered_place){.sequence = sequence, .item = item};
	ordered->count++;
}

void ordered_remove(struct ordered *ordered, uint64_t sequence)
{
	uint32_t at = place_of(ordered, sequence);

	/* The hole stays, so that undoing finds its place. */
	ordered->places[at].item = NULL;
	ordered->count--;
	while (ordered->used > 0 && !ordered->places[ordered->used - 1].item)
		ordered->used--;
}

void *ordered_next(const struct ordered *ordered, uint64_t *sequence)
{
	for (uint32_t at = place_of(ordered, *sequence + 1); at < ordered->used; at++)
		if (ordered->places[at].item) {
			*sequence = ordered->places[at].sequence;
			return ordered->places[at].item;
		}
	return NULL;
}

void ordered_end(struct ordered *ordered)
{
	free(ordered->places);
	memset(ordered, 0, sizeof(*ordered));
}
