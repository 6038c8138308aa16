/* The last stage of the pipeline, by what the connection table said of a packet. Internal to core/. */
#ifndef DPVSHA_STAGES_H
#define DPVSHA_STAGES_H

#include "pipeline.h"

/* A packet of a connection (p->found): established.c. */
void on_connection(const struct director *director, struct worker_view *view, struct packet *p,
		   const struct pipeline_output *output);

/* A packet of none: opens one, belongs to another worker, is for ourselves, or passes through: unclaimed.c.
 */
void on_miss(const struct director *director, struct worker_view *view, struct packet *p,
	     const struct pipeline_output *output);

/* Hands the packet over to a worker that has not seen it yet; false when it has. */
static inline bool hand_over(struct packet *p, uint8_t owner)
{
	if (p->tried >> owner & 1)
		return false;
	p->verdict = VERDICT_HANDOVER;
	p->owner = owner;
	return true;
}

#endif
