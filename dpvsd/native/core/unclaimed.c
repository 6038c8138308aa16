/* Packets of no connection. */
#include <netinet/in.h>

#include <rte_ip.h>

#include "connect.h"
#include "passage.h"
#include "path.h"
#include "stages.h"
#include "steer.h"
#include "tcp.h"
#include "translate.h"

/* Nobody can compute whose it is: it goes round once. `last` is left out (-1: nobody is). */
static bool pass_round(const struct director *director, const struct worker_view *view, struct packet *p,
		       int last)
{
	uint16_t workers = director->steering.workers;

	for (uint16_t i = 1; i < workers; i++) {
		uint16_t worker = (uint16_t)((view->number + i) % workers);

		if (worker != last && hand_over(p, (uint8_t)worker))
			return true;
	}
	return false;
}

/* A packet of a service that no NIC or hash sends to one worker: those of a flow may come in at several. It
 * goes round, and ends where it began, since there the next ones of its kind will come in. */
static bool search_round(const struct director *director, const struct worker_view *view, struct packet *p)
{
	if (pass_round(director, view, p, -1))
		return true;
	if (view->number == p->origin)
		return false;
	p->verdict = VERDICT_HANDOVER;
	p->owner = p->origin;
	return true;
}

/* Another worker may have the connection of a packet that is of none here, or is the one to open it. */
static bool belongs_elsewhere(const struct director *director, const struct worker_view *view,
			      struct service *service, struct packet *p)
{
	bool begins = p->protocol == IPPROTO_TCP && (p->l3[p->l4 + 13] & TCP_FLAG_SYN);
	bool searched = director->flows_wander || ((service->flags & SERVICE_RESTEERED) && !begins);
	int prefix = steer_prefix(service);
	uint8_t owner;

	if (prefix < 0) {
		if (unlikely(p->flags & PACKET_REASSEMBLED) &&
		    !__atomic_load_n(&service->fragmented, __ATOMIC_RELAXED))
			__atomic_store_n(&service->fragmented, 1, __ATOMIC_RELAXED);
		searched |= p->protocol != IPPROTO_TCP &&
			    __atomic_load_n(&service->fragmented, __ATOMIC_RELAXED);
		return (searched || (p->flags & PACKET_REASSEMBLED)) && search_round(director, view, p);
	}
	owner = steer_client(&director->steering, (enum family)p->family, &p->key.source, p->key.source_port,
			     (unsigned int)prefix);
	/* Wherever it came in, the owner has it, unless it was owned otherwise once. */
	return ((service->flags & SERVICE_RESTEERED) && !begins && pass_round(director, view, p, owner)) ||
	       hand_over(p, owner);
}

/* Replies of a NAT-mode server: the worker that owns the client, under each of the ways in which its services
 * are steered. */
static bool hand_over_nat_reply(const struct director *director, const struct worker_view *view,
				struct packet *p)
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
	/* The persistence of its service may have been another when it began. */
	return pass_round(director, view, p, -1);
}

static bool is_multicast(const struct packet *p)
{
	const union ip_addr *d = &p->key.destination;

	return p->family == FAMILY_IPV4 ? d->b[0] >= 224 : d->b[0] == 0xff;
}

/* To a local port whose connection is over. It is not worth an error or a reset: the server would take it for
 * its client's. */
static bool is_late_answer(const struct director *director, const struct packet *p)
{
	const struct local_table *locals = subscribe(director->locals);

	return locals != NULL && rte_be_to_cpu_16(p->key.destination_port) >= LOCAL_PORT_FIRST &&
	       local_table_lookup(locals, (enum family)p->family, &p->key.destination) != NULL;
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
	packet_drop(p, DROP_NO_SERVICE);
	if (p->key.family == 0 || is_late_answer(director, p))
		return;
	if (p->protocol == IPPROTO_UDP && !director->drop_udp_unknown)
		send_error(director, view, p, ICMP_ERROR_PORT, 0, output);
	else if (p->protocol == IPPROTO_TCP && !director->drop_tcp_unknown &&
		 !send_reset(director, view, p, output))
		packet_drop(p, DROP_L4_CHECKSUM);
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
	path_take(p, &path);
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

/* A connection that no packet finds has served the one that opened it. */
static void end_momentary(const struct director *director, struct worker_view *view, uint32_t index)
{
	const struct connection *c = connection_at(view->connections, index);

	/* Without time-out it has ended already: its server went in between. */
	if (unlikely(!(c->flags & (CONNECTION_INDEXED_IN | CONNECTION_INDEXED_OUT)) && c->timeout != 0))
		connection_close(director, view, index);
}

void on_miss(const struct director *director, struct worker_view *view, struct packet *p,
	     const struct pipeline_output *output)
{
	bool several = director->steering.workers > 1;
	struct service *service = NULL;

	if (p->key.family != 0) {
		if (!(p->flags & PACKET_ICMP_ERROR))
			service = service_lookup(director->services, &p->key);
		if (service != NULL) {
			uint32_t index;

			if (several && belongs_elsewhere(director, view, service, p))
				return;
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
			end_momentary(director, view, index);
			return;
		}
		if (several) {
			if ((p->flags & (PACKET_ICMP_ERROR | PACKET_REASSEMBLED)) &&
			    pass_round(director, view, p, -1))
				return;
			if (hand_over_nat_reply(director, view, p))
				return;
		}
	}
	true_addresses(p);
	if (address_lookup(director->net, (enum family)p->family, &p->key.destination) != NULL)
		on_local(director, view, p, output);
	else
		on_transit(director, view, p, output);
}
