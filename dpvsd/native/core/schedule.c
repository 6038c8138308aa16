#include "schedule.h"

#include <stdlib.h>

#include "schedule_kinds.h"

static const char *const names[SCHEDULER_COUNT] = {
    [SCHEDULER_RR] = "rr",   [SCHEDULER_WRR] = "wrr",	      [SCHEDULER_LC] = "lc", [SCHEDULER_WLC] = "wlc",
    [SCHEDULER_SED] = "sed", [SCHEDULER_NQ] = "nq",	      [SCHEDULER_SH] = "sh", [SCHEDULER_DH] = "dh",
    [SCHEDULER_MH] = "mh",   [SCHEDULER_CONHASH] = "conhash", [SCHEDULER_FO] = "fo", [SCHEDULER_OVF] = "ovf",
};

int scheduler_by_name(const char *name)
{
	for (int i = 0; i < SCHEDULER_COUNT; i++)
		if (strcmp(names[i], name) == 0)
			return i;
	return -1;
}

const char *scheduler_name(enum scheduler scheduler)
{
	return (unsigned int)scheduler < SCHEDULER_COUNT ? names[scheduler] : "?";
}

static int make_table(struct schedule *schedule)
{
	switch ((enum scheduler)schedule->scheduler) {
	case SCHEDULER_RR:
		return sequence_make_rr(schedule);
	case SCHEDULER_WRR:
		return sequence_make_wrr(schedule);
	case SCHEDULER_SH:
	case SCHEDULER_DH:
		return hash_make_slots(schedule);
	case SCHEDULER_MH:
		return hash_make_maglev(schedule);
	case SCHEDULER_CONHASH:
		return hash_make_ring(schedule);
	case SCHEDULER_FO:
	case SCHEDULER_OVF:
		return rank_make(schedule);
	case SCHEDULER_LC:
	case SCHEDULER_WLC:
	case SCHEDULER_SED:
	case SCHEDULER_NQ:
	case SCHEDULER_COUNT:
		break;
	}
	return 0;
}

struct schedule *schedule_new(enum scheduler scheduler, unsigned int flags, struct server *const *servers,
			      uint32_t count)
{
	static uint64_t last_serial; /* 0 is what a cursor that was never used says */
	struct schedule *schedule = calloc(1, sizeof(*schedule) + count * sizeof(schedule->servers[0]));
	uint64_t total = 0;

	if (!schedule)
		return NULL;
	schedule->serial = __atomic_add_fetch(&last_serial, 1, __ATOMIC_RELAXED);
	schedule->born = schedule->serial;
	schedule->scheduler = (uint8_t)scheduler;
	schedule->flags = (uint8_t)flags;
	schedule->count = count;
	for (uint32_t i = 0; i < count; i++) {
		schedule->servers[i] = servers[i];
		total += schedule_weight(servers[i]);
	}
	schedule->total_weight = total > UINT32_MAX ? UINT32_MAX : (uint32_t)total;
	if (count > 0 && make_table(schedule) < 0) {
		schedule_free(schedule);
		return NULL;
	}
	return schedule;
}

void schedule_free(struct schedule *schedule)
{
	if (!schedule)
		return;
	free(schedule->table);
	free(schedule->table_key);
	free(schedule);
}

struct server *schedule_first_available(const struct schedule *schedule, uint32_t start)
{
	uint32_t at = start;

	for (uint32_t i = 0; i < schedule->count; i++) {
		struct server *server = schedule->servers[at];

		if (server_available(server))
			return server;
		if (++at == schedule->count)
			at = 0;
	}
	return NULL;
}

/* A cursor of another schedule comes over to this one. */
static void cursor_adopt(const struct schedule *schedule, struct schedule_cursor *cursor)
{
	if (cursor->schedule < schedule->born)
		cursor->taken = 0;
	cursor->schedule = schedule->serial;
}

struct server *schedule_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			     const struct schedule_question *question)
{
	if (unlikely(schedule->count == 0))
		return NULL;
	switch ((enum scheduler)schedule->scheduler) {
	case SCHEDULER_RR:
	case SCHEDULER_WRR:
		if (unlikely(cursor->schedule != schedule->serial)) {
			cursor_adopt(schedule, cursor);
			cursor->position = sequence_position(schedule, question->worker, question->workers,
							     cursor->taken);
		}
		cursor->taken++;
		return sequence_pick(schedule, cursor, question);
	case SCHEDULER_LC:
	case SCHEDULER_WLC:
	case SCHEDULER_SED:
	case SCHEDULER_NQ:
		if (unlikely(cursor->schedule != schedule->serial)) {
			uint64_t start = (uint64_t)schedule->count * question->worker / question->workers;

			cursor_adopt(schedule, cursor);
			cursor->position = (uint32_t)((start + cursor->taken) % schedule->count);
		}
		cursor->taken++;
		return least_pick(schedule, cursor, question);
	case SCHEDULER_SH:
	case SCHEDULER_DH:
	case SCHEDULER_MH:
		return hash_pick(schedule, question);
	case SCHEDULER_CONHASH:
		return ring_pick(schedule, question);
	case SCHEDULER_FO:
	case SCHEDULER_OVF:
		return rank_pick(schedule, question);
	case SCHEDULER_COUNT:
		break;
	}
	return NULL;
}
