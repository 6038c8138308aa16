/* The way of a packet through a worker, without ports: a burst goes in, each packet comes out with a verdict.
 */
#ifndef DPVSHA_PIPELINE_H
#define DPVSHA_PIPELINE_H

#include "director.h"

enum {
	BURST_MAX = 64,
};

/* What the pipeline cannot do itself. */
struct pipeline_output {
	void *context;
	/* Sends an IP packet of our own (an ICMP error); copies the bytes. */
	void (*originate)(void *context, enum family family, const uint8_t *bytes, size_t length);
};

/* Decides about up to BURST_MAX packets whose verdict is VERDICT_NONE (others are left alone). Each needs l3,
 * length, total, headroom, port, family (from the link protocol), flags and tried; everything else is filled
 * in. Counts `local` and drops; the caller counts `in` and what it does with the rest (see pipeline_count).
 * Never reads the clock: view->now is the caller's. */
void pipeline_run(const struct director *director, struct worker_view *view, struct packet *packets,
		  unsigned int count, const struct pipeline_output *output);

/* Finds the way of a packet that is not part of a connection: sets the verdict. */
void pipeline_route(const struct director *director, struct packet *p, const union ip_addr *destination);

#endif
