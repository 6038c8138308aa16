#include "timers.h"

int timers_reserve(struct timers *timers)
{
	if (timers->reserved == timers->capacity) {
		uint32_t capacity = timers->capacity ? timers->capacity * 2 : 64;
		struct timer **heap = memory_new(capacity * sizeof(struct timer *));

		if (!heap)
			return -1;
		if (timers->count)
			memcpy(heap, timers->heap, timers->count * sizeof(struct timer *));
		memory_free(timers->heap);
		timers->heap = heap;
		timers->capacity = capacity;
	}
	timers->reserved++;
	return 0;
}

void timers_unreserve(struct timers *timers, struct timer *timer)
{
	timer_cancel(timers, timer);
	timers->reserved--;
}

void timers_clear(struct timers *timers)
{
	memory_free(timers->heap);
	memset(timers, 0, sizeof(*timers));
}

static void put(struct timers *timers, uint32_t at, struct timer *timer)
{
	timers->heap[at] = timer;
	timer->position = at + 1;
}

/* Puts a timer where it belongs, starting from a place that is free. */
static void settle(struct timers *timers, uint32_t at, struct timer *timer)
{
	while (at > 0 && timers->heap[(at - 1) / 2]->due > timer->due) {
		put(timers, at, timers->heap[(at - 1) / 2]);
		at = (at - 1) / 2;
	}
	for (;;) {
		uint32_t child = 2 * at + 1;

		if (child + 1 < timers->count && timers->heap[child + 1]->due < timers->heap[child]->due)
			child++;
		if (child >= timers->count || timers->heap[child]->due >= timer->due)
			break;
		put(timers, at, timers->heap[child]);
		at = child;
	}
	put(timers, at, timer);
}

void timer_set(struct timers *timers, struct timer *timer, uint64_t due)
{
	uint32_t at = timer->position ? timer->position - 1 : timers->count++;

	timer->due = due;
	/* The place counts as free; settle compares with the others only. */
	timers->heap[at] = timer;
	settle(timers, at, timer);
}

void timer_cancel(struct timers *timers, struct timer *timer)
{
	uint32_t at = timer->position - 1;
	struct timer *last;

	if (!timer->position)
		return;
	timer->position = 0;
	last = timers->heap[--timers->count];
	if (last != timer)
		settle(timers, at, last);
}

uint64_t timers_run(struct timers *timers, void *context, uint64_t now_ms)
{
	while (timers->count && timers->heap[0]->due <= now_ms) {
		struct timer *timer = timers->heap[0];

		timer_cancel(timers, timer);
		timer->fire(context, timer, now_ms);
	}
	return timers->count ? timers->heap[0]->due : UINT64_MAX;
}
