/* The schedulers by what they need: between schedule.c and schedule_*.c only.
 *
 * `make` fills in schedule->table (and table_key) and returns 0, or -1 when memory runs out. `pick` is called
 * with a cursor that belongs to the schedule, and with at least one server. */
#ifndef DPVSHA_SCHEDULE_KINDS_H
#define DPVSHA_SCHEDULE_KINDS_H

#include "schedule.h"

enum {
	/* A table is walked this far to get past unavailable servers; then one pass over the servers decides.
	 */
	TABLE_TRIES = 32,
};

/* Sequences: rr, wrr. */
int sequence_make_rr(struct schedule *schedule);
int sequence_make_wrr(struct schedule *schedule);
struct server *sequence_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			     const struct schedule_question *question);
/* Where a worker's turn number `taken` is. The first is at the server floor(servers * worker / workers), or
 * the next one with weight. */
uint32_t sequence_position(const struct schedule *schedule, unsigned int worker, unsigned int workers,
			   uint32_t taken);

/* Least load: lc, wlc, sed, nq. */
struct server *least_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			  const struct schedule_question *question);

/* Hashing: sh, dh, mh, conhash. */
int hash_make_slots(struct schedule *schedule);
int hash_make_maglev(struct schedule *schedule);
int hash_make_ring(struct schedule *schedule);
struct server *hash_pick(const struct schedule *schedule, const struct schedule_question *question);
struct server *ring_pick(const struct schedule *schedule, const struct schedule_question *question);

/* By weight: fo, ovf. */
int rank_make(struct schedule *schedule);
struct server *rank_pick(const struct schedule *schedule, const struct schedule_question *question);

/* The first available server from `start` on, once around; NULL when there is none. */
struct server *schedule_first_available(const struct schedule *schedule, uint32_t start);

/* The weight that a table is built from: 0 for a server that has been removed. */
static inline uint32_t schedule_weight(const struct server *server)
{
	return server->flags & SERVER_REMOVED ? 0 : server->weight;
}

#endif
