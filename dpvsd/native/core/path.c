#include "path.h"

#include "passage.h"

static void far_address(const struct connection *c, int direction, union ip_addr *address)
{
	if (direction == DIRECTION_IN)
		*address = connection_server_family(c) == FAMILY_IPV4 ? ip_from_v4(c->server4) : c->server6;
	else
		*address = connection_client_family(c) == FAMILY_IPV4 ? ip_from_v4(c->client4) : c->client6;
}

enum next_hop path_look_up(const struct director *director, const struct worker_view *view,
			   struct connection *c, int direction, struct path *path)
{
	enum family family = direction == DIRECTION_IN ? connection_server_family(c)
						       : connection_client_family(c);
	struct next_hop_answer answer;
	union ip_addr address;
	enum next_hop found;

	if (c->generation != (uint16_t)view->generation) {
		c->adjacency[0] = c->adjacency[1] = 0;
		c->mtu[0] = c->mtu[1] = 0;
		c->generation = (uint16_t)view->generation;
	}
	far_address(c, direction, &address);
	memset(&answer, 0, sizeof(answer));
	found = next_hop_find(director->net, family, &address, &answer);
	path->adjacency = answer.adjacency;
	path->next_hop = answer.address;
	path->port = answer.port;
	path->mtu = answer.mtu;
	if (found == NEXT_HOP_FOUND)
		c->adjacency[direction] = (uint16_t)answer.adjacency->index;
	if (found == NEXT_HOP_FOUND || found == NEXT_HOP_UNRESOLVED)
		c->mtu[direction] = answer.mtu;
	return found;
}

void pipeline_route(const struct director *director, struct packet *p, const union ip_addr *destination)
{
	struct next_hop_answer answer;
	struct path path;

	memset(&answer, 0, sizeof(answer));
	switch (next_hop_find(director->net, (enum family)p->family, destination, &answer)) {
	case NEXT_HOP_FOUND:
	case NEXT_HOP_UNRESOLVED:
		if (answer.mtu != 0 && p->total > answer.mtu && !cut_to_fit(p, answer.mtu)) {
			packet_drop(p, DROP_TOO_BIG);
			return;
		}
		path.adjacency = answer.adjacency;
		path.next_hop = answer.address;
		path.port = answer.port;
		path_take(p, &path);
		return;
	case NEXT_HOP_LOCAL:
		packet_drop(p, DROP_LOOP);
		return;
	case NEXT_HOP_KERNEL:
		p->verdict = VERDICT_KERNEL;
		p->port = answer.port;
		return;
	case NEXT_HOP_NO_ROUTE:
		packet_drop(p, DROP_NO_ROUTE);
		return;
	}
}
