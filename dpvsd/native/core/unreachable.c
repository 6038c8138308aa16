#include "unreachable.h"

#include "parse.h"

/* Did the pipeline rewrite it? Then it comes from an address of ours, or goes to a NAT server. */
static bool is_translated(const struct director *director, const struct packet *p)
{
	struct prefix_set prefixes;
	enum family family = (enum family)p->family;

	return address_lookup(director->net, family, &p->key.source) != NULL ||
	       nat_server_lookup(director->services, family, p->protocol, &p->key.destination,
				 p->key.destination_port, &prefixes);
}

size_t unreachable_frame(const struct director *director, struct packet *p,
			 uint8_t frame[UNREACHABLE_FRAME_MAX], uint16_t *port)
{
	struct next_hop_answer back;
	size_t length;

	packet_parse(p);
	if (p->verdict == VERDICT_DROP || p->key.family == 0 || (p->flags & PACKET_ICMP_ERROR) ||
	    is_translated(director, p))
		return 0;
	if (next_hop_find(director->net, (enum family)p->family, &p->key.source, &back) != NEXT_HOP_FOUND)
		return 0;
	length = icmp_error_build(p, ICMP_ERROR_HOST, 0, &back.source, director->net->ttl, frame + ETHER_SIZE,
				  UNREACHABLE_FRAME_MAX - ETHER_SIZE);
	if (length == 0)
		return 0;
	memcpy(frame, back.adjacency->ether, ETHER_SIZE);
	*port = back.port;
	return ETHER_SIZE + length;
}
