/* The stages: parse all; hand over what another worker owns; prefetch all buckets; find all connections; then
 * decide, one by one. Nothing here allocates, locks or logs. */
#include "pipeline.h"

#include "parse.h"
#include "stages.h"
#include "steer.h"

enum { NOT_CHOSEN = 0xff };

static inline void steer_to_local_port(const struct director *director, const struct worker_view *view,
				       const struct local_table *locals, struct packet *p)
{
	uint8_t owner;

	if (p->verdict != VERDICT_NONE || p->key.family == 0 || (p->flags & PACKET_HANDED_OVER))
		return;
	if (rte_be_to_cpu_16(p->key.destination_port) < LOCAL_PORT_FIRST ||
	    local_table_lookup(locals, (enum family)p->key.family, &p->key.destination) == NULL)
		return;
	owner = steer_local_port(&director->steering, p->key.destination_port);
	if (owner != view->number)
		hand_over(p, owner);
}

void pipeline_run(const struct director *director, struct worker_view *view, struct packet *packets,
		  unsigned int count, const struct pipeline_output *output)
{
	view->generation = __atomic_load_n(&director->net->generation, __ATOMIC_ACQUIRE);
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];

		p->hash = 0;
		p->found = CONN_NONE;
		p->owner = NOT_CHOSEN;
		if (likely(p->tried == 0))
			p->origin = (uint8_t)view->number;
		p->tried |= 1ull << view->number;
		if (unlikely(p->verdict != VERDICT_NONE))
			continue;
		packet_parse(p);
		if (unlikely(p->flags & PACKET_FRAGMENT) && p->verdict == VERDICT_NONE) {
			/* Pieces of pieces are nobody's honest packet, and would go through once more each.
			 */
			if (p->flags & PACKET_REASSEMBLED)
				packet_drop(p, DROP_FRAGMENT);
			else
				p->verdict = VERDICT_REASSEMBLE;
		}
	}
	/* First, so that nothing is fetched here for what another worker looks up. */
	if (director->steering.workers > 1) {
		const struct local_table *locals = subscribe(director->locals);

		if (locals != NULL)
			for (unsigned int i = 0; i < count; i++)
				steer_to_local_port(director, view, locals, &packets[i]);
	}
	connection_prefetch(view->connections, packets, count);
	connection_find_burst(view->connections, packets, count);
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];

		if (unlikely(p->verdict != VERDICT_NONE))
			continue;
		/* An earlier packet of this burst may have opened the connection, or closed the one that was
		 * found. */
		if (unlikely(p->found == CONN_NONE)) {
			if (p->key.family != 0)
				p->found = connection_find(view->connections, &p->key);
		} else if (unlikely(!connection_is(view->connections, p->found, &p->key))) {
			p->found = connection_find(view->connections, &p->key);
		}
		if (likely(p->found != CONN_NONE))
			on_connection(director, view, p, output);
		else
			on_miss(director, view, p, output);
	}
	for (unsigned int i = 0; i < count; i++) {
		if (packets[i].verdict == VERDICT_DROP)
			view->counters.drops[packets[i].reason]++;
		else if (packets[i].verdict == VERDICT_LOCAL)
			view->counters.local++;
	}
}
