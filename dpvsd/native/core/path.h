/* Where a packet goes next: route and neighbour, cached in the connection under the net's generation. */
#ifndef DPVSHA_PATH_H
#define DPVSHA_PATH_H

#include "director.h"

/* Where a packet of a connection goes next. */
struct path {
	const struct adjacency *adjacency; /* NULL: not resolved, next_hop and port say whom to ask for */
	union ip_addr next_hop;
	uint16_t port;
	uint16_t mtu;
};

/* Asks the tables, and caches the answer in the connection. */
enum next_hop path_look_up(const struct director *director, const struct worker_view *view,
			   struct connection *c, int direction, struct path *path);

static inline enum next_hop path_of(const struct director *director, const struct worker_view *view,
				    struct connection *c, int direction, struct path *path)
{
	if (likely(c->generation == (uint16_t)view->generation && c->adjacency[direction] != 0)) {
		path->adjacency = subscribe(director->net->adjacencies[c->adjacency[direction]]);
		path->mtu = c->mtu[direction];
		if (likely(path->adjacency != NULL))
			return NEXT_HOP_FOUND;
	}
	return path_look_up(director, view, c, direction, path);
}

static inline void mark_used(const struct adjacency *adjacency)
{
	if (unlikely(__atomic_load_n(&adjacency->used, __ATOMIC_RELAXED) == 0))
		__atomic_store_n(&((struct adjacency *)(uintptr_t)adjacency)->used, 1, __ATOMIC_RELAXED);
}

/* The packet takes this path: forwarded, or to the master while its neighbour is not known. */
static inline void path_take(struct packet *p, const struct path *path)
{
	if (likely(path->adjacency != NULL)) {
		p->verdict = VERDICT_FORWARD;
		p->adjacency = path->adjacency;
		p->port = path->adjacency->port;
		mark_used(path->adjacency);
	} else {
		p->verdict = VERDICT_UNRESOLVED;
		p->next_hop = path->next_hop;
		p->port = path->port;
	}
}

#endif
