/* ARP and ND: the questions we ask, the ones we answer, and what we learn from either. */
#include "arp.h"
#include "master.h"
#include "nd.h"

static const uint8_t BROADCAST[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};

union ip_addr link_local_of(const uint8_t mac[6])
{
	union ip_addr address = {.b = {0xfe, 0x80}};

	address.b[8] = mac[0] ^ 2;
	address.b[9] = mac[1];
	address.b[10] = mac[2];
	address.b[11] = 0xff;
	address.b[12] = 0xfe;
	memcpy(address.b + 13, mac + 3, 3);
	return address;
}

union ip_addr arp_source(const struct net_master *master, uint16_t port, const union ip_addr *target)
{
	const struct route *route = route_lookup(master->net, FAMILY_IPV4, target);

	if (route && route->kind == ROUTE_LINK && route->port == port &&
	    own_address_find(master, port, FAMILY_IPV4, &route->source))
		return route->source;
	return master->port_source4[port];
}

static void solicit_arp(struct net_master *master, const struct neighbour *n, const uint8_t *to)
{
	uint8_t frame[ARP_FRAME_SIZE];
	struct arp_message message = {
	    .operation = ARP_REQUEST,
	    .sender = arp_source(master, n->port, &n->address),
	    .target = n->address,
	};

	memcpy(message.sender_mac, master->net->ports[n->port].mac, 6);
	arp_write(frame, to ? to : BROADCAST, &message);
	net_send(master, n->port, frame, sizeof(frame));
}

static void solicit_nd(struct net_master *master, const struct neighbour *n, const uint8_t *to)
{
	const uint8_t *mac = master->net->ports[n->port].mac;
	uint8_t frame[ND_FRAME_SIZE], group_mac[6];
	struct nd_message message = {
	    .type = ND_SOLICITATION,
	    .has_mac = true,
	    .source = link_local_of(mac),
	    .destination = to ? n->address : nd_solicited_node(&n->address),
	    .target = n->address,
	};

	memcpy(message.mac, mac, 6);
	nd_multicast_mac(&message.destination, group_mac);
	net_send(master, n->port, frame, nd_write(frame, mac, to ? to : group_mac, &message));
}

void solicit(struct net_master *master, const struct neighbour *n, const uint8_t *to)
{
	if (n->family == FAMILY_IPV6)
		solicit_nd(master, n, to);
	else
		solicit_arp(master, n, to);
}

/* A host on a network of this port: worth an entry when it asks for us. */
static bool is_on_link(const struct net_master *master, uint16_t port, enum family family,
		       const union ip_addr *address)
{
	const struct route *route;

	if (family == FAMILY_IPV6 && ip_is_link_local6(address))
		return true;
	route = route_lookup(master->net, family, address);
	return route && route->kind == ROUTE_LINK && route->port == port;
}

static void claimed(struct net_master *master, uint16_t port, enum family family,
		    const union ip_addr *address, const uint8_t mac[6])
{
	if (master->output.claimed)
		master->output.claimed(master->output.context, port, family, address, mac);
}

/* ---- ARP ---- */

static void answer_arp(struct net_master *master, uint16_t port, const struct arp_message *question)
{
	uint8_t frame[ARP_FRAME_SIZE];
	struct arp_message answer = {
	    .operation = ARP_REPLY,
	    .sender = question->target,
	    .target = question->sender,
	};

	memcpy(answer.sender_mac, master->net->ports[port].mac, 6);
	memcpy(answer.target_mac, question->sender_mac, 6);
	arp_write(frame, question->sender_mac, &answer);
	net_send(master, port, frame, sizeof(frame));
}

static void input_arp(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length,
		      uint64_t now)
{
	struct arp_message message;
	struct neighbour_news news = {.has_mac = true};
	const struct neighbour *known;
	bool gratuitous, for_us;

	if (!arp_parse(frame, length, &message) ||
	    memcmp(message.sender_mac, master->net->ports[port].mac, 6) == 0)
		return;
	for_us = own_address_find(master, port, FAMILY_IPV4, &message.target) != NULL;
	gratuitous = ip_equal(&message.sender, &message.target);
	/* A sender of 0.0.0.0 wants to know whether the address is free (RFC 5227 2.1.1): it is told. */
	if (message.operation == ARP_REQUEST && for_us && !gratuitous)
		answer_arp(master, port, &message);

	/* Whoever claims an address of ours is not believed. Nor do we fight: at a failover the other node is
	 * right. */
	if (!ip_is_host(FAMILY_IPV4, &message.sender))
		return;
	if (own_address_find(master, port, FAMILY_IPV4, &message.sender)) {
		claimed(master, port, FAMILY_IPV4, &message.sender, message.sender_mac);
		return;
	}
	known = neighbour_find(master, port, FAMILY_IPV4, &message.sender);
	memcpy(news.mac, message.sender_mac, 6);
	/* ARP does not say that it answers: it does when a question of ours is open. */
	news.solicited = known && message.operation == ARP_REPLY && (for_us || ip_is_zero(&message.target)) &&
			 (known->state == NEIGHBOUR_INCOMPLETE || known->state == NEIGHBOUR_PROBE);
	news.create = message.operation == ARP_REQUEST && for_us &&
		      is_on_link(master, port, FAMILY_IPV4, &message.sender);
	/* Of several different answers to one question the first counts; what is announced counts at once. */
	news.override = gratuitous || !known || now - known->confirmed >= SETTLE_MS;
	if (known && known->adjacency && !news.override && memcmp(known->mac, news.mac, 6) != 0)
		return;
	neighbour_learn(master, port, FAMILY_IPV4, &message.sender, &news, now);
}

/* ---- ND ---- */

/* Addresses that we answer for on a port: the configured ones, and the port's own link-local one. */
static bool answers_for6(const struct net_master *master, uint16_t port, const union ip_addr *target)
{
	union ip_addr link_local = link_local_of(master->net->ports[port].mac);

	return ip_equal(target, &link_local) || own_address_find(master, port, FAMILY_IPV6, target);
}

static void answer_nd(struct net_master *master, uint16_t port, const struct nd_message *question,
		      const uint8_t *asker)
{
	static const union ip_addr all_nodes = {.b = {0xff, 0x02, [15] = 1}};
	const uint8_t *mac = master->net->ports[port].mac;
	bool probe = ip_is_zero(&question->source);
	uint8_t frame[ND_FRAME_SIZE], group_mac[6];
	struct nd_message answer = {
	    .type = ND_ADVERTISEMENT,
	    /* RFC 4861 7.2.4: to somebody who has no address yet, unsolicited to all. */
	    .flags = (uint8_t)(ND_OVERRIDE | (probe ? 0 : ND_SOLICITED) |
			       (master->net->forwarding6 ? ND_ROUTER : 0)),
	    .has_mac = true,
	    .source = question->target,
	    .destination = probe ? all_nodes : question->source,
	    .target = question->target,
	};

	memcpy(answer.mac, mac, 6);
	nd_multicast_mac(&all_nodes, group_mac);
	net_send(master, port, frame, nd_write(frame, mac, probe ? group_mac : asker, &answer));
}

static void input_nd(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length,
		     uint64_t now)
{
	struct nd_message message;
	struct neighbour_news news;
	const uint8_t *sender_mac = frame + 6;

	if (!nd_parse(frame, length, &message) || memcmp(sender_mac, master->net->ports[port].mac, 6) == 0 ||
	    !mac_is_host(sender_mac))
		return;
	news = (struct neighbour_news){.has_mac = message.has_mac};
	memcpy(news.mac, message.mac, 6);
	if (message.type == ND_SOLICITATION) {
		bool for_us = answers_for6(master, port, &message.target);

		if (for_us)
			answer_nd(master, port, &message, message.has_mac ? message.mac : sender_mac);
		if (!ip_is_host(FAMILY_IPV6, &message.source))
			return;
		if (answers_for6(master, port, &message.source)) {
			claimed(master, port, FAMILY_IPV6, &message.source, sender_mac);
			return;
		}
		news.override = true;
		news.create = for_us && is_on_link(master, port, FAMILY_IPV6, &message.source);
		neighbour_learn(master, port, FAMILY_IPV6, &message.source, &news, now);
		return;
	}
	if (!ip_is_host(FAMILY_IPV6, &message.target))
		return;
	if (answers_for6(master, port, &message.target)) {
		claimed(master, port, FAMILY_IPV6, &message.target,
			message.has_mac ? message.mac : sender_mac);
		return;
	}
	news.solicited = message.flags & ND_SOLICITED;
	news.override = message.flags & ND_OVERRIDE;
	neighbour_learn(master, port, FAMILY_IPV6, &message.target, &news, now);
}

void net_input(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length, uint64_t now_ms)
{
	master->now = now_ms;
	if (!port_exists(master, port) || length < ETHER_SIZE)
		return;
	if (frame[12] == 0x08 && frame[13] == 0x06)
		input_arp(master, port, frame, length, now_ms);
	else if (frame[12] == 0x86 && frame[13] == 0xdd && !membership_input(master, port, frame, length))
		input_nd(master, port, frame, length, now_ms);
	net_settle(master);
}
