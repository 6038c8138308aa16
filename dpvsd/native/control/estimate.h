/* Counters as the control contract shows them, and their rates per second: every two seconds a quarter of the
 * difference between the latest rate and the average is added to the average, as LVS does. */
#ifndef DPVSHA_ESTIMATE_H
#define DPVSHA_ESTIMATE_H

#include "../core/base.h"

enum {
	ESTIMATE_PERIOD_MS = 2000,
	TRAFFIC_FIELDS = 5,
};

struct traffic {
	uint64_t connections, in_packets, out_packets, in_bytes, out_bytes;
};

struct estimator {
	struct traffic last; /* counters at `at_ms` */
	struct traffic rate1024; /* per second, times 1024 */
	uint64_t at_ms; /* 0: never */
};

static inline uint64_t *traffic_field(struct traffic *traffic, unsigned int field)
{
	return &traffic->connections + field;
}

_Static_assert(sizeof(struct traffic) == TRAFFIC_FIELDS * sizeof(uint64_t), "traffic is an array of words");

static inline void traffic_add(struct traffic *to, const struct traffic *what)
{
	to->connections += what->connections;
	to->in_packets += what->in_packets;
	to->out_packets += what->out_packets;
	to->in_bytes += what->in_bytes;
	to->out_bytes += what->out_bytes;
}

static inline void traffic_subtract(struct traffic *from, const struct traffic *what)
{
	from->connections -= what->connections;
	from->in_packets -= what->in_packets;
	from->out_packets -= what->out_packets;
	from->in_bytes -= what->in_bytes;
	from->out_bytes -= what->out_bytes;
}

/* Takes the counters of now into the average; does nothing when less than a period has passed. Counters never
 * fall. */
void estimator_update(struct estimator *estimator, const struct traffic *counters, uint64_t now_ms);
/* Per second, rounded. */
void estimator_rate(const struct estimator *estimator, struct traffic *rate);

#endif
