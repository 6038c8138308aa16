/* The master's timers of the stack: a binary heap, since neighbours are many and each has one. */
#ifndef DPVSHA_TIMERS_H
#define DPVSHA_TIMERS_H

#include "../core/base.h"

struct timer {
	uint64_t due; /* milliseconds */
	uint32_t position; /* in the heap + 1, 0: not set */
	void (*fire)(void *context, struct timer *timer, uint64_t now_ms);
};

struct timers {
	struct timer **heap;
	uint32_t count, capacity, reserved;
};

/* Makes room for one timer more, so that setting it never fails; unreserve when its owner goes. */
int timers_reserve(struct timers *timers);
void timers_unreserve(struct timers *timers, struct timer *timer);
void timers_clear(struct timers *timers);

/* Sets a timer, or moves it. */
void timer_set(struct timers *timers, struct timer *timer, uint64_t due);
void timer_cancel(struct timers *timers, struct timer *timer);
/* Fires all that are due, each at most once, and returns when the next one is, UINT64_MAX: never. */
uint64_t timers_run(struct timers *timers, void *context, uint64_t now_ms);

#endif
