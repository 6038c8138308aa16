/* Choice of a real server for a new connection. A schedule is immutable: the master makes a new one whenever
 * a server, a weight or the scheduler changes, and publishes it; workers pick from it with a cursor of their
 * own. */
#ifndef DPVSHA_SCHEDULE_H
#define DPVSHA_SCHEDULE_H

#include "service.h"

enum scheduler {
	SCHEDULER_RR,
	SCHEDULER_WRR,
	SCHEDULER_LC,
	SCHEDULER_WLC,
	SCHEDULER_SED,
	SCHEDULER_NQ,
	SCHEDULER_SH,
	SCHEDULER_DH,
	SCHEDULER_MH,
	SCHEDULER_CONHASH,
	SCHEDULER_FO,
	SCHEDULER_OVF,
	SCHEDULER_COUNT,
};

enum schedule_flag {
	SCHEDULE_FALLBACK = 1 << 0, /* sh-fallback, mh-fallback: an unavailable server's clients go to another
				     */
	SCHEDULE_PORT = 1 << 1, /* sh-port, mh-port: the source port takes part */
	SCHEDULE_QUIC_ID = 1 << 2, /* conhash, mh: hash the QUIC connection ID given in the question */
};

struct schedule {
	uint64_t serial;
	uint64_t born; /* serial number of its service's first schedule: cursors of later ones go on */
	uint8_t scheduler; /* enum scheduler */
	uint8_t flags;
	uint32_t count;
	uint32_t total_weight;
	uint32_t table_size; /* of table: the weighted sequence, the Maglev table, or the hash ring, as the
				scheduler needs */
	uint32_t *table; /* positions in servers[] */
	uint32_t *table_key; /* conhash: the ring's points, ascending */
	struct server *servers[]; /* count of them, in the order in which they were added */
};

/* What the choice may depend on. */
struct schedule_question {
	enum family family;
	const union ip_addr *client;
	const union ip_addr *destination;
	rte_be16_t client_port;
	rte_be16_t destination_port;
	uint64_t quic_id_hash; /* 0: none */
	const struct server_count *counts; /* of this worker, indexed by server index */
	unsigned int worker, workers;
};

/* -1 when there is no such scheduler. */
int scheduler_by_name(const char *name);
const char *scheduler_name(enum scheduler scheduler);

/* Makes a schedule over these servers (weights are read from them now). NULL when memory runs out. */
struct schedule *schedule_new(enum scheduler scheduler, unsigned int flags, struct server *const *servers,
			      uint32_t count);
void schedule_free(struct schedule *schedule);

/* Picks a server with weight, neither overloaded nor removed; NULL when there is none, or when sh, dh or
 * mh without fallback meet an overloaded one. Bounded work: a few tries in a table, then never more than one
 * pass over the servers; no division by zero, no allocation. */
struct server *schedule_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			     const struct schedule_question *question);

/* May new connections go to this server? */
static inline bool server_available(const struct server *server)
{
	return __atomic_load_n(&server->weight, __ATOMIC_RELAXED) > 0 &&
	       !(__atomic_load_n(&server->flags, __ATOMIC_RELAXED) & SERVER_REMOVED) &&
	       !__atomic_load_n(&server->overloaded, __ATOMIC_RELAXED);
}

#endif
