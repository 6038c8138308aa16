/* fo and ovf: servers by falling weight, equals in the order in which they were added. */
#include <stdlib.h>

#include "schedule_kinds.h"

static int by_falling_weight(const void *left, const void *right, void *context)
{
	const struct schedule *schedule = context;
	uint32_t a = *(const uint32_t *)left, b = *(const uint32_t *)right;
	uint32_t weight_a = schedule_weight(schedule->servers[a]);
	uint32_t weight_b = schedule_weight(schedule->servers[b]);

	if (weight_a != weight_b)
		return weight_a > weight_b ? -1 : 1;
	return a < b ? -1 : a > b;
}

int rank_make(struct schedule *schedule)
{
	schedule->table = malloc(schedule->count * sizeof(uint32_t));
	if (!schedule->table)
		return -1;
	for (uint32_t i = 0; i < schedule->count; i++)
		if (schedule_weight(schedule->servers[i]) > 0)
			schedule->table[schedule->table_size++] = i;
	qsort_r(schedule->table, schedule->table_size, sizeof(uint32_t), by_falling_weight, schedule);
	return 0;
}

/* fo: the heaviest that is available. ovf: the heaviest that has no more established connections than its
 * weight; a worker knows its own, and has its part of the weight. */
struct server *rank_pick(const struct schedule *schedule, const struct schedule_question *question)
{
	for (uint32_t i = 0; i < schedule->table_size; i++) {
		struct server *server = schedule->servers[schedule->table[i]];

		if (!server_available(server))
			continue;
		if (schedule->scheduler == SCHEDULER_OVF &&
		    (uint64_t)question->counts[server->index].active * question->workers >
			__atomic_load_n(&server->weight, __ATOMIC_RELAXED))
			continue;
		return server;
	}
	return NULL;
}
