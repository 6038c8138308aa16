/* The stages: parse all; hand over what another worker owns; prefetch all buckets; find all connections; then
 * decide, one by one. Nothing here allocates, locks or logs. */
#include "pipeline.h"

#include <netinet/in.h>

#include <rte_ip.h>

#include "connect.h"
#include "parse.h"
#include "steer.h"
#include "tcp.h"
#include "translate.h"

enum {
	IPV4_TCP_HEADERS = 40, /* what an MSS leaves out */
	IPV6_TCP_HEADERS = 60,
	ICMP_BUFFER = 1280,
	TOA_SEGMENTS = 3, /* segments of the client that carry its address, until the server has surely seen
			     one */
	TOA_SHIFT = 8, /* of CONNECTION_TOA_SENT */
	NOT_CHOSEN = 0xff,
};

/* ---- errors ---- */

static bool icmp_token(const struct director *director, struct worker_view *view)
{
	uint32_t rate = director->icmp_errors_per_second, gone = view->now - view->icmp_refilled;

	if (gone > 0) {
		uint64_t more = (uint64_t)gone * rate / TICKS_PER_SECOND;

		view->icmp_tokens = (uint32_t)RTE_MIN(view->icmp_tokens + more, (uint64_t)rate);
		view->icmp_refilled = view->now;
	}
	if (view->icmp_tokens == 0)
		return false;
	view->icmp_tokens--;
	return true;
}

/* Tells the sender, where that is allowed. The packet must still be as it came. */
static void send_error(const struct director *director, struct worker_view *view, const struct packet *p,
		       enum icmp_error_kind kind, uint16_t mtu, const struct pipeline_output *output)
{
	uint8_t buffer[ICMP_BUFFER];
	struct next_hop_answer answer;
	union ip_addr source;
	size_t length;

	if (output == NULL || !icmp_error_allowed(p) || !icmp_token(director, view))
		return;
	memset(&answer, 0, sizeof(answer));
	next_hop_find(director->net, (enum family)p->family, &p->key.source, &answer);
	source = answer.source;
	/* A host speaks as the address that it was asked by; a router by that of the way back. */
	if (kind == ICMP_ERROR_PORT || ip_is_zero(&source)) {
		if (address_lookup(director->net, (enum family)p->family, &p->key.destination) == NULL &&
		    ip_is_zero(&source))
			return;
		if (kind == ICMP_ERROR_PORT || ip_is_zero(&source))
			source = p->key.destination;
	}
	length = icmp_error_build(p, kind, mtu, &source, director->net->ttl, buffer, sizeof(buffer));
	if (length == 0)
		return;
	view->counters.originated++;
	output->originate(output->context, (enum family)p->family, buffer, length);
}

/* ---- next hop ---- */

/* Where a packet of a connection goes next. */
struct path {
	const struct adjacency *adjacency; /* NULL: not resolved, next_hop and port say whom to ask for */
	union ip_addr next_hop;
	uint16_t port;
	uint16_t mtu;
};

static void far_address(const struct connection *c, int direction, union ip_addr *address)
{
	if (direction == DIRECTION_IN)
		*address = connection_server_family(c) == FAMILY_IPV4 ? ip_from_v4(c->server4) : c->server6;
	else
		*address = connection_client_family(c) == FAMILY_IPV4 ? ip_from_v4(c->client4) : c->client6;
}

/* Asks the tables, and caches the answer in the connection. */
static enum next_hop path_look_up(const struct director *director, const struct worker_view *view,
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

static inline void go(struct packet *p, const struct path *path)
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

void pipeline_route(const struct director *director, struct packet *p, const union ip_addr *destination)
{
	struct next_hop_answer answer;
	struct path path;

	memset(&answer, 0, sizeof(answer));
	switch (next_hop_find(director->net, (enum family)p->family, destination, &answer)) {
	case NEXT_HOP_FOUND:
	case NEXT_HOP_UNRESOLVED:
		path.adjacency = answer.adjacency;
		path.next_hop = answer.address;
		path.port = answer.port;
		go(p, &path);
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

/* ---- checks that every forwarded packet passes ---- */

static inline uint8_t ttl_of(const struct packet *p)
{
	return p->family == FAMILY_IPV4 ? p->l3[8] : p->l3[7];
}

static bool ttl_fine(const struct director *director, struct worker_view *view, struct packet *p,
		     const struct pipeline_output *output)
{
	if (likely(ttl_of(p) > 1))
		return true;
	send_error(director, view, p, ICMP_ERROR_TTL, 0, output);
	packet_drop(p, DROP_TTL);
	return false;
}

/* Does it fit? IPv4 without DF may be cut later; everything else goes back with the MTU (RFC 1191, RFC 8201).
 */
static bool size_fine(const struct director *director, struct worker_view *view, struct packet *p,
		      uint16_t mtu, const struct pipeline_output *output)
{
	if (likely(p->total <= mtu || mtu == 0))
		return true;
	if ((p->flags & PACKET_REASSEMBLED) || (p->family == FAMILY_IPV4 && !(p->l3[6] & 0x40))) {
		p->flags |= PACKET_OVERSIZE;
		return true;
	}
	send_error(director, view, p, ICMP_ERROR_TOO_BIG, mtu, output);
	packet_drop(p, DROP_TOO_BIG);
	return false;
}

static bool next_hop_fine(const struct director *director, struct worker_view *view, struct packet *p,
			  enum next_hop found, const struct pipeline_output *output)
{
	if (likely(found == NEXT_HOP_FOUND || found == NEXT_HOP_UNRESOLVED))
		return true;
	if (found == NEXT_HOP_NO_ROUTE) {
		send_error(director, view, p, ICMP_ERROR_NO_ROUTE, 0, output);
		packet_drop(p, DROP_NO_ROUTE);
	} else {
		packet_drop(p, DROP_LOOP);
	}
	return false;
}

/* ---- packets of connections ---- */

static void on_miss(const struct director *director, struct worker_view *view, struct packet *p,
		    const struct pipeline_output *output);

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
	go(p, &path);
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

static void on_connection(const struct director *director, struct worker_view *view, struct packet *p,
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
	go(p, &path);
}

/* ---- packets of none ---- */

/* Hands over to a worker that has not seen the packet yet; false when it has. */
static bool hand_over(struct packet *p, uint8_t owner)
{
	if (p->tried >> owner & 1)
		return false;
	p->verdict = VERDICT_HANDOVER;
	p->owner = owner;
	return true;
}

/* Nobody can compute whose it is: it goes round once. */
static bool pass_round(const struct director *director, const struct worker_view *view, struct packet *p)
{
	uint16_t workers = director->steering.workers;

	for (uint16_t i = 1; i < workers; i++)
		if (hand_over(p, (uint8_t)((view->number + i) % workers)))
			return true;
	return false;
}

/* Replies of a NAT-mode server: the worker that owns the client, under each of the ways in which its services
 * are steered. */
static bool hand_over_nat_reply(const struct director *director, struct packet *p)
{
	struct prefix_set prefixes;

	if (!nat_server_lookup(director->services, (enum family)p->family, p->protocol, &p->key.source,
			       p->key.source_port, &prefixes))
		return false;
	for (unsigned int word = 0; word < 3; word++) {
		for (uint64_t bits = prefixes.bits[word]; bits; bits &= bits - 1) {
			unsigned int prefix = word * 64 + (unsigned int)__builtin_ctzll(bits);

			if (hand_over(p, steer_client(&director->steering, (enum family)p->family,
						      &p->key.destination, p->key.destination_port, prefix)))
				return true;
		}
	}
	return false;
}

static bool is_multicast(const struct packet *p)
{
	const union ip_addr *d = &p->key.destination;

	return p->family == FAMILY_IPV4 ? d->b[0] >= 224 : d->b[0] == 0xff;
}

/* To an address of ours that no service took. */
static void on_local(const struct director *director, struct worker_view *view, struct packet *p,
		     const struct pipeline_output *output)
{
	union ip_addr back = p->key.source;
	bool twin = director->net->ports[p->port].has_twin;

	if (icmp_echo_reply(p, director->net->ttl)) {
		pipeline_route(director, p, &back);
		return;
	}
	if (twin) {
		p->verdict = VERDICT_KERNEL;
		return;
	}
	if (p->flags & PACKET_ICMP_ERROR) {
		packet_drop(p, DROP_ICMP_UNRELATED);
		return;
	}
	if (p->protocol == IPPROTO_UDP && !director->drop_udp_unknown) {
		const struct local_table *locals = subscribe(director->locals);

		/* A late answer to a local port is not worth an error: the server would take it for a closed
		 * client. */
		if (locals == NULL ||
		    local_table_lookup(locals, (enum family)p->family, &p->key.destination) == NULL)
			send_error(director, view, p, ICMP_ERROR_PORT, 0, output);
	}
	packet_drop(p, DROP_NO_SERVICE);
}

static void on_transit(const struct director *director, struct worker_view *view, struct packet *p,
		       const struct pipeline_output *output)
{
	bool forwarding = p->family == FAMILY_IPV4 ? director->net->forwarding4 : director->net->forwarding6;
	struct next_hop_answer answer;
	struct path path;
	enum next_hop found;
	union ip_addr destination = p->key.destination;

	if (is_multicast(p)) {
		if (director->net->ports[p->port].has_twin)
			p->verdict = VERDICT_KERNEL;
		else
			packet_drop(p, DROP_NOT_FOR_US);
		return;
	}
	memset(&answer, 0, sizeof(answer));
	found = next_hop_find(director->net, (enum family)p->family, &destination, &answer);
	if (found == NEXT_HOP_KERNEL) {
		p->verdict = VERDICT_KERNEL;
		p->port = answer.port;
		return;
	}
	if (!forwarding) {
		if (director->net->ports[p->port].has_twin)
			p->verdict = VERDICT_KERNEL;
		else
			packet_drop(p, DROP_NOT_FORWARDING);
		return;
	}
	if (!ttl_fine(director, view, p, output) || !next_hop_fine(director, view, p, found, output) ||
	    !size_fine(director, view, p, answer.mtu, output))
		return;
	path.adjacency = answer.adjacency;
	path.next_hop = answer.address;
	path.port = answer.port;
	translate_ttl(p);
	go(p, &path);
}

/* An answer finds the addresses of the packet itself, also where the key is that of a quoted one. */
static void true_addresses(struct packet *p)
{
	if (!(p->flags & PACKET_ICMP_ERROR) && p->key.family != 0)
		return;
	if (p->family == FAMILY_IPV4) {
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(const void *)p->l3;

		p->key.source = ip_from_v4(ip->src_addr);
		p->key.destination = ip_from_v4(ip->dst_addr);
	} else {
		memcpy(&p->key.source, p->l3 + 8, 16);
		memcpy(&p->key.destination, p->l3 + 24, 16);
	}
}

static void on_miss(const struct director *director, struct worker_view *view, struct packet *p,
		    const struct pipeline_output *output)
{
	bool several = director->steering.workers > 1;
	struct service *service = NULL;

	if (p->key.family != 0) {
		if (!(p->flags & PACKET_ICMP_ERROR))
			service = service_lookup(director->services, &p->key);
		if (service != NULL) {
			uint32_t index;

			if (several) {
				int prefix = steer_prefix(service);

				if (prefix >= 0) {
					if (hand_over(p,
						      steer_client(&director->steering,
								   (enum family)p->family, &p->key.source,
								   p->key.source_port, (unsigned int)prefix)))
						return;
				} else if ((p->flags & PACKET_REASSEMBLED) && pass_round(director, view, p)) {
					return;
				}
			}
			index = connection_open(director, view, service, p);
			if (index == CONN_NONE) {
				if (p->reason == DROP_NO_SERVER)
					send_error(director, view, p, ICMP_ERROR_PORT, 0, output);
				return;
			}
			if (p->protocol != IPPROTO_TCP &&
			    !(connection_at(view->connections, index)->flags & CONNECTION_ONE_PACKET))
				connection_enter(director, view, index, UDP_ONE_WAY);
			/* The way back is looked up now, since the MSS depends on both. */
			if (p->protocol == IPPROTO_TCP) {
				struct path back;

				path_look_up(director, view, connection_at(view->connections, index),
					     DIRECTION_OUT, &back);
			}
			p->found = index << 1 | DIRECTION_IN;
			on_connection(director, view, p, output);
			return;
		}
		if (several) {
			if ((p->flags & (PACKET_ICMP_ERROR | PACKET_REASSEMBLED)) &&
			    pass_round(director, view, p))
				return;
			if (hand_over_nat_reply(director, p))
				return;
		}
	}
	true_addresses(p);
	if (address_lookup(director->net, (enum family)p->family, &p->key.destination) != NULL)
		on_local(director, view, p, output);
	else
		on_transit(director, view, p, output);
}

/* ---- the burst ---- */

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
		p->tried |= 1ull << view->number;
		if (unlikely(p->verdict != VERDICT_NONE))
			continue;
		packet_parse(p);
		if (unlikely(p->flags & PACKET_FRAGMENT) && p->verdict == VERDICT_NONE)
			p->verdict = VERDICT_REASSEMBLE;
		if (likely(p->key.family != 0))
			p->hash = flow_hash(&p->key);
	}
	connection_prefetch(view->connections, packets, count);
	if (director->steering.workers > 1) {
		const struct local_table *locals = subscribe(director->locals);

		if (locals != NULL)
			for (unsigned int i = 0; i < count; i++)
				steer_to_local_port(director, view, locals, &packets[i]);
	}
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
