/* Packets of connections: followed, counted, translated, sent on. */
#include <netinet/in.h>

#include "connect.h"
#include "passage.h"
#include "path.h"
#include "stages.h"
#include "tcp.h"
#include "translate.h"

enum {
	IPV4_TCP_HEADERS = 40, /* what an MSS leaves out */
	IPV6_TCP_HEADERS = 60,
	TOA_SEGMENTS = 3, /* segments of the client that carry its address: the server surely sees one */
	TOA_SHIFT = 8, /* of CONNECTION_TOA_SENT */
};

static inline void count(struct worker_view *view, const struct connection *c, int direction, uint16_t bytes)
{
	struct server_count *n = &view->servers[c->server];

	if (direction == DIRECTION_IN) {
		n->in_packets++;
		n->in_bytes += bytes;
	} else {
		n->out_packets++;
		n->out_bytes += bytes;
	}
}

static uint16_t mss_limit(const struct connection *c, enum family family)
{
	uint16_t a = c->mtu[0] ? c->mtu[0] : UINT16_MAX, b = c->mtu[1] ? c->mtu[1] : UINT16_MAX;

	return (uint16_t)(RTE_MIN(a, b) - (family == FAMILY_IPV4 ? IPV4_TCP_HEADERS : IPV6_TCP_HEADERS));
}

/* An ICMP error about a packet of this connection. `direction` is that of the packet it stands in for. */
static void on_related(const struct director *director, struct worker_view *view, struct packet *p,
		       uint32_t index, int direction, const struct pipeline_output *output)
{
	struct connection *c = connection_at(view->connections, index);
	struct path path;

	if (!ttl_fine(director, view, p, output) ||
	    !next_hop_fine(director, view, p, path_of(director, view, c, direction, &path), output) ||
	    !size_fine(director, view, p, path.mtu, output))
		return;
	if (c->forward == FORWARD_DR) {
		translate_ttl(p);
	} else if (translate_icmp_error(p, c, direction) < 0) {
		packet_drop(p, DROP_L4_CHECKSUM);
		return;
	}
	count(view, c, direction, p->total);
	path_take(p, &path);
}

/* Is the connection's server still one to send to? On false the packet is dropped or was begun anew. */
static bool server_fine(const struct director *director, struct worker_view *view, struct packet *p,
			uint32_t index, const struct pipeline_output *output)
{
	struct connection *c = connection_at(view->connections, index);
	const struct server *server = subscribe(director->servers[c->server]);
	uint32_t flags;

	if (unlikely(server == NULL)) {
		packet_drop(p, DROP_SERVER_GONE);
		return false;
	}
	flags = __atomic_load_n(&server->flags, __ATOMIC_RELAXED);
	if (likely(!(flags & (SERVER_REMOVED | SERVER_EXPIRE_QUIESCENT))))
		return true;
	if (flags & SERVER_EXPIRE_QUIESCENT) {
		if (!(flags & SERVER_REMOVED) && __atomic_load_n(&server->weight, __ATOMIC_RELAXED) > 0)
			return true;
		connection_close(director, view, index);
		/* A packet that can begin a connection finds another server at once. */
		on_miss(director, view, p, output);
		if (p->verdict == VERDICT_DROP && p->reason == DROP_NO_CONNECTION)
			p->reason = DROP_SERVER_GONE;
		return false;
	}
	/* As in LVS: silent, so that the connection goes on if the server comes back in time. */
	packet_drop(p, DROP_SERVER_GONE);
	return false;
}

static inline void track(const struct director *director, struct worker_view *view, const struct packet *p,
			 uint32_t index, int direction)
{
	struct connection *c = connection_at(view->connections, index);
	uint8_t state = c->state;

	if (p->protocol == IPPROTO_TCP) {
		uint16_t flags = c->flags;

		state = (uint8_t)tcp_next((enum tcp_state)state, p->l3[p->l4 + 13], direction, &flags);
		if (unlikely(flags != c->flags))
			c->flags = flags;
	} else if (p->protocol == IPPROTO_UDP && direction == DIRECTION_OUT &&
		   !(c->flags & CONNECTION_ONE_PACKET)) {
		state = UDP_NORMAL;
	}
	if (unlikely(state != c->state))
		connection_enter(director, view, index, state);
	else if (c->last_seen != view->now)
		c->last_seen = view->now;
}

void on_connection(const struct director *director, struct worker_view *view, struct packet *p,
		   const struct pipeline_output *output)
{
	uint32_t index = p->found >> 1;
	int direction = (int)(p->found & 1);
	struct connection *c = connection_at(view->connections, index);
	struct path path;
	uint8_t tcp_flags = 0;

	if (unlikely(p->flags & PACKET_ICMP_ERROR)) {
		on_related(director, view, p, index, direction, output);
		return;
	}
	if (p->protocol == IPPROTO_TCP) {
		tcp_flags = p->l3[p->l4 + 13];
		/* The client's system uses the ports again (RFC 6191): a connection of its own. */
		if (unlikely((tcp_flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST)) == TCP_FLAG_SYN &&
			     direction == DIRECTION_IN && tcp_reusable((enum tcp_state)c->state))) {
			connection_close(director, view, index);
			on_miss(director, view, p, output);
			return;
		}
	}
	if (direction == DIRECTION_IN && !server_fine(director, view, p, index, output))
		return;
	if (!ttl_fine(director, view, p, output) ||
	    !next_hop_fine(director, view, p, path_of(director, view, c, direction, &path), output) ||
	    !size_fine(director, view, p, path.mtu, output))
		return;
	track(director, view, p, index, direction);
	count(view, c, direction, p->total);
	if (c->forward == FORWARD_DR) {
		translate_ttl(p);
	} else {
		translate(p, c, direction);
		if (unlikely(tcp_flags & TCP_FLAG_SYN))
			tcp_clamp_mss(p, mss_limit(c, (enum family)p->family));
		else if (unlikely(p->protocol == IPPROTO_TCP && !(c->flags & CONNECTION_TOA_DONE)) &&
			 direction == DIRECTION_IN && c->forward == FORWARD_FULLNAT) {
			unsigned int sent = (c->flags & CONNECTION_TOA_SENT) >> TOA_SHIFT;

			if (director->toa)
				tcp_add_toa(p, connection_client_family(c), c, path.mtu);
			if (++sent >= TOA_SEGMENTS || !director->toa)
				c->flags |= CONNECTION_TOA_DONE;
			c->flags = (uint16_t)((c->flags & ~CONNECTION_TOA_SENT) | sent << TOA_SHIFT);
		}
	}
	path_take(p, &path);
}
