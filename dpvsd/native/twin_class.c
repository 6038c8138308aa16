#include "twin_class.h"

#include <netinet/in.h>

#include <rte_ether.h>

enum {
	PORT_BGP = 179,
	PORT_BFD = 3784,
	PORT_BFD_ECHO = 3785,
	PORT_BFD_MULTIHOP = 4784,
	PROTOCOL_VRRP = 112,
	PROTOCOL_OSPF = 89,
	PROTOCOL_IGMP = 2,
	PROTOCOL_PIM = 103,
	ND_FIRST = 133, /* router solicitation ... */
	ND_LAST = 137, /* ... redirect */
	ND_HOPS = 255, /* fewer: it has passed a router, and is not believed (RFC 4861 11.2) */
	MLD_QUERY = 130,
	MLD_HOPS = 1,
	ICMP6_FIRST = MLD_QUERY, /* MLD and ND, not echo */
	ICMP6_LAST = 143,
};

/* What of a frame decides. */
struct view {
	unsigned int type; /* of the Ethernet header */
	uint8_t protocol; /* behind a hop-by-hop header, too */
	uint8_t hops; /* that it may still make, IPv6 */
	bool fragment;
	const uint8_t *l4; /* NULL: not there */
	unsigned int l4_length;
	enum family family;
};

static bool view_of(struct view *view, const uint8_t *frame, unsigned int length)
{
	const uint8_t *l3 = frame + RTE_ETHER_HDR_LEN;
	unsigned int header;

	memset(view, 0, sizeof(*view));
	if (length < RTE_ETHER_HDR_LEN)
		return false;
	view->type = (unsigned int)(frame[12] << 8 | frame[13]);
	length -= RTE_ETHER_HDR_LEN;
	switch (view->type) {
	case RTE_ETHER_TYPE_IPV4:
		if (length < 20)
			return false;
		view->family = FAMILY_IPV4;
		header = (l3[0] & 15) * 4u;
		view->protocol = l3[9];
		view->fragment = (l3[6] & 0x3f) != 0 || l3[7] != 0;
		break;
	case RTE_ETHER_TYPE_IPV6:
		if (length < 40)
			return false;
		view->family = FAMILY_IPV6;
		header = 40;
		view->protocol = l3[6];
		view->hops = l3[7];
		/* MLD comes behind a hop-by-hop header (RFC 3810 5). */
		if (view->protocol == IPPROTO_HOPOPTS && length >= 48 && l3[41] == 0) {
			view->protocol = l3[40];
			header = 48;
		}
		view->fragment = view->protocol == IPPROTO_FRAGMENT;
		break;
	default:
		return true;
	}
	if (header >= 20 && header <= length) {
		view->l4 = l3 + header;
		view->l4_length = length - header;
	}
	return true;
}

static bool control_ports(const struct view *view)
{
	unsigned int source, destination;

	if (view->fragment || view->l4_length < 4)
		return false;
	source = (unsigned int)(view->l4[0] << 8 | view->l4[1]);
	destination = (unsigned int)(view->l4[2] << 8 | view->l4[3]);
	if (view->protocol == IPPROTO_TCP)
		return source == PORT_BGP || destination == PORT_BGP;
	return destination == PORT_BFD || destination == PORT_BFD_ECHO || destination == PORT_BFD_MULTIHOP;
}

static bool is_control(const struct view *view)
{
	switch (view->type) {
	case RTE_ETHER_TYPE_ARP:
	case RTE_ETHER_TYPE_SLOW:
	case RTE_ETHER_TYPE_LLDP:
		return true;
	case RTE_ETHER_TYPE_IPV4:
	case RTE_ETHER_TYPE_IPV6:
		break;
	default:
		return false;
	}
	switch (view->protocol) {
	case PROTOCOL_VRRP:
	case PROTOCOL_OSPF:
	case PROTOCOL_PIM:
	case IPPROTO_AH: /* VRRP with authentication */
		return true;
	case PROTOCOL_IGMP:
		return view->family == FAMILY_IPV4;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return control_ports(view);
	case IPPROTO_ICMPV6:
		return view->family == FAMILY_IPV6 && view->l4_length >= 1 && view->l4[0] >= ICMP6_FIRST &&
		       view->l4[0] <= ICMP6_LAST;
	}
	return false;
}

enum twin_class twin_classify(const uint8_t *frame, unsigned int length)
{
	struct view view;

	return view_of(&view, frame, length) && is_control(&view) ? TWIN_CONTROL : TWIN_BULK;
}

static bool is_neighbour(const struct view *view)
{
	return view->type == RTE_ETHER_TYPE_ARP ||
	       (view->family == FAMILY_IPV6 && view->protocol == IPPROTO_ICMPV6 && view->l4_length >= 1 &&
		((view->l4[0] >= ND_FIRST && view->l4[0] <= ND_LAST && view->hops == ND_HOPS) ||
		 (view->l4[0] == MLD_QUERY && view->hops == MLD_HOPS)));
}

bool twin_is_neighbour_frame(const uint8_t *frame, unsigned int length)
{
	struct view view;

	return view_of(&view, frame, length) && is_neighbour(&view);
}

bool twin_wire_takes(const struct net *net, const uint8_t *frame, unsigned int length)
{
	const uint8_t *l3 = frame + RTE_ETHER_HDR_LEN;
	union ip_addr destination = {.q = {0, 0}};
	struct next_hop_answer answer;
	struct view view;

	if (!view_of(&view, frame, length) || !is_control(&view) || view.fragment)
		return false;
	if (view.family == FAMILY_NONE || (frame[0] & 1) || is_neighbour(&view))
		return true;
	if (view.family == FAMILY_IPV4)
		memcpy(&destination.v4, l3 + 16, 4);
	else
		memcpy(&destination, l3 + 24, 16);
	if (address_lookup(net, view.family, &destination) != NULL)
		return false;
	memset(&answer, 0, sizeof(answer));
	if (next_hop_find(net, view.family, &destination, &answer) == NEXT_HOP_KERNEL)
		return true;
	return !(view.family == FAMILY_IPV4 ? net->forwarding4 : net->forwarding6);
}
