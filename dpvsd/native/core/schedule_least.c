/* lc, wlc, sed, nq: the server with the least to do, one pass. Loads are compared as fractions by
 * multiplication, as LVS does. Among equals the one behind the last choice wins, so that idle servers take
 * turns and workers begin at different ones. */
#include "schedule_kinds.h"

/* What a server has to do; divided by its weight for all but lc. An established connection counts as 256
 * times one that is opening or closing. */
static uint64_t load_of(enum scheduler scheduler, const struct server_count *count)
{
	if (scheduler == SCHEDULER_SED || scheduler == SCHEDULER_NQ)
		return (uint64_t)count->active + 1; /* with the connection that is to come */
	return ((uint64_t)count->active << 8) + count->inactive;
}

struct server *least_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			  const struct schedule_question *question)
{
	enum scheduler scheduler = (enum scheduler)schedule->scheduler;
	uint64_t best_load = 0, best_weight = 1;
	uint32_t best = UINT32_MAX, at = cursor->position;

	for (uint32_t i = 0; i < schedule->count; i++) {
		const struct server *server = schedule->servers[at];
		uint32_t here = at;

		if (++at == schedule->count)
			at = 0;
		if (!server_available(server))
			continue;
		const struct server_count *count = &question->counts[server->index];
		uint64_t load = load_of(scheduler, count);
		/* Read again after server_available: 0 would only lose every comparison. */
		uint64_t weight = scheduler == SCHEDULER_LC
				      ? 1
				      : __atomic_load_n(&server->weight, __ATOMIC_RELAXED);

		if (scheduler == SCHEDULER_NQ && count->active == 0) {
			best = here;
			break;
		}
		if (best == UINT32_MAX || load * best_weight < best_load * weight) {
			best = here;
			best_load = load;
			best_weight = weight;
		}
	}
	if (best == UINT32_MAX)
		return NULL;
	cursor->position = best + 1 == schedule->count ? 0 : best + 1;
	return schedule->servers[best];
}
