#include "parse.h"

#include <netinet/in.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "checksum.h"

enum {
	IPV4_MIN = sizeof(struct rte_ipv4_hdr),
	IPV6_SIZE = sizeof(struct rte_ipv6_hdr),
	ICMP_SIZE = 8,
	IPOPT_LSRR_TYPE = 131,
	IPOPT_SSRR_TYPE = 137,
	IPV6_EXTENSIONS_MAX = 8, /* more is nobody's honest packet */
	L4_OFFSET_MAX = 255,
	ND_HOP_LIMIT = 255,
};

/* Finds the transport header behind IPv6 extension headers (RFC 8200 4).
 * @return its offset, 0 when the packet is malformed, cut off, or (`*reason`) must not be forwarded */
static unsigned int ipv6_transport(const uint8_t *l3, unsigned int length, uint8_t *protocol, bool *fragment,
				   enum drop_reason *reason)
{
	unsigned int offset = IPV6_SIZE;
	uint8_t next = l3[6];

	*reason = DROP_IP_HEADER;
	for (unsigned int i = 0; i <= IPV6_EXTENSIONS_MAX; i++) {
		unsigned int size;

		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_DSTOPTS:
		case IPPROTO_ROUTING:
			if (offset + 8 > length)
				return 0;
			/* Type 0 is forbidden (RFC 5095); others with segments left name another destination.
			 */
			if (next == IPPROTO_ROUTING && l3[offset + 3] != 0) {
				*reason = DROP_IP_OPTION;
				return 0;
			}
			size = (l3[offset + 1] + 1u) * 8;
			break;
		case IPPROTO_AH:
			if (offset + 8 > length)
				return 0;
			size = (l3[offset + 1] + 2u) * 4;
			break;
		case IPPROTO_FRAGMENT:
			if (offset + 8 > length)
				return 0;
			/* An atomic fragment is a whole packet (RFC 6946). */
			if ((l3[offset + 2] << 8 | l3[offset + 3]) & 0xfff9)
				*fragment = true;
			size = 8;
			break;
		default:
			if (offset > length || offset > L4_OFFSET_MAX)
				return 0;
			*protocol = next;
			return offset;
		}
		next = l3[offset];
		offset += size;
		if (*fragment) {
			*protocol = next;
			return RTE_MIN(offset, (unsigned int)L4_OFFSET_MAX);
		}
		if (offset > length)
			return 0;
	}
	return 0;
}

static bool ipv4_options_fine(const uint8_t *options, unsigned int length)
{
	for (unsigned int i = 0; i < length;) {
		uint8_t type = options[i];

		if (type == 0)
			return true;
		if (type == 1) {
			i++;
			continue;
		}
		if (i + 1 >= length || options[i + 1] < 2 || i + options[i + 1] > length)
			return false;
		if (type == IPOPT_LSRR_TYPE || type == IPOPT_SSRR_TYPE)
			return false;
		i += options[i + 1];
	}
	return true;
}

/* The packet inside an ICMP error gives the key, turned round. */
static void parse_icmp_error(struct packet *p)
{
	struct embedded inner;
	const uint8_t *l3, *l4;
	rte_be16_t source, destination;

	if (!packet_embedded(p, &inner)) {
		p->key.family = 0;
		return;
	}
	p->flags |= PACKET_ICMP_ERROR;
	l3 = p->l3 + inner.l3;
	l4 = l3 + inner.l4;
	p->key.family = inner.family;
	p->key.protocol = inner.protocol;
	if (inner.protocol == IPPROTO_ICMP || inner.protocol == IPPROTO_ICMPV6) {
		memcpy(&source, l4 + 4, 2);
		destination = source;
	} else {
		memcpy(&source, l4, 2);
		memcpy(&destination, l4 + 2, 2);
	}
	p->key.source_port = destination;
	p->key.destination_port = source;
	if (inner.family == FAMILY_IPV4) {
		const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(const void *)l3;

		p->key.source = ip_from_v4(ip->dst_addr);
		p->key.destination = ip_from_v4(ip->src_addr);
	} else {
		memcpy(&p->key.source, l3 + 24, 16);
		memcpy(&p->key.destination, l3 + 8, 16);
	}
}

/* ND that has passed a router (RFC 4861 11.2), or a listener query that could (RFC 3810 6.2), is nobody's
 * honest packet, and must not fill the master's ring. */
static bool came_from_link(const struct packet *p, uint8_t type)
{
	if (type != ICMP6_LISTENER_QUERY)
		return p->l3[7] == ND_HOP_LIMIT;
	return p->l3[7] == 1 && p->key.source.b[0] == 0xfe && (p->key.source.b[1] & 0xc0) == 0x80;
}

static void parse_transport(struct packet *p)
{
	const uint8_t *l4 = p->l3 + p->l4;
	unsigned int rest = p->length - p->l4, whole = p->total - p->l4;

	switch (p->protocol) {
	case IPPROTO_TCP: {
		unsigned int header;

		if (rest < sizeof(struct rte_tcp_hdr)) {
			packet_drop(p, DROP_L4_HEADER);
			return;
		}
		header = (l4[12] >> 4) * 4u;
		if (header < sizeof(struct rte_tcp_hdr) || header > rest) {
			packet_drop(p, DROP_L4_HEADER);
			return;
		}
		memcpy(&p->key.source_port, l4, 2);
		memcpy(&p->key.destination_port, l4 + 2, 2);
		break;
	}
	case IPPROTO_UDP:
		if (rest < sizeof(struct rte_udp_hdr) ||
		    (unsigned int)(l4[4] << 8 | l4[5]) < sizeof(struct rte_udp_hdr) ||
		    (unsigned int)(l4[4] << 8 | l4[5]) > whole) {
			packet_drop(p, DROP_L4_HEADER);
			return;
		}
		memcpy(&p->key.source_port, l4, 2);
		memcpy(&p->key.destination_port, l4 + 2, 2);
		break;
	case IPPROTO_ICMP:
		if (rest < ICMP_SIZE || p->family != FAMILY_IPV4) {
			packet_drop(p, DROP_L4_HEADER);
			return;
		}
		if (l4[0] == ICMP4_ECHO || l4[0] == ICMP4_ECHO_REPLY) {
			memcpy(&p->key.source_port, l4 + 4, 2);
			p->key.destination_port = p->key.source_port;
		} else if (l4[0] == ICMP4_UNREACHABLE || l4[0] == ICMP4_TIME_EXCEEDED ||
			   l4[0] == ICMP4_PARAMETER) {
			parse_icmp_error(p);
		} else {
			p->key.family = 0;
		}
		break;
	case IPPROTO_ICMPV6:
		if (rest < ICMP_SIZE || p->family != FAMILY_IPV6) {
			packet_drop(p, DROP_L4_HEADER);
			return;
		}
		if ((l4[0] >= ICMP6_ROUTER_SOLICITATION && l4[0] <= ICMP6_REDIRECT) ||
		    l4[0] == ICMP6_LISTENER_QUERY) {
			p->key.family = 0;
			if (came_from_link(p, l4[0]))
				p->verdict = VERDICT_MASTER;
			else
				packet_drop(p, DROP_L4_HEADER);
		} else if (l4[0] == ICMP6_ECHO || l4[0] == ICMP6_ECHO_REPLY) {
			memcpy(&p->key.source_port, l4 + 4, 2);
			p->key.destination_port = p->key.source_port;
		} else if (l4[0] >= ICMP6_UNREACHABLE && l4[0] <= ICMP6_PARAMETER) {
			parse_icmp_error(p);
		} else {
			p->key.family = 0;
		}
		break;
	default:
		p->key.family = 0;
	}
}

static void parse_ipv4(struct packet *p)
{
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(const void *)p->l3;
	unsigned int header, total;
	uint8_t first;

	if (p->length < IPV4_MIN) {
		packet_drop(p, DROP_SHORT);
		return;
	}
	header = (ip->version_ihl & 15) * 4u;
	total = rte_be_to_cpu_16(ip->total_length);
	if (ip->version_ihl >> 4 != 4 || header < IPV4_MIN || header > p->length || total < header ||
	    total > p->total) {
		packet_drop(p, DROP_IP_HEADER);
		return;
	}
	if (unlikely(checksum_header(ip, header) != 0)) {
		packet_drop(p, DROP_IP_CHECKSUM);
		return;
	}
	if (unlikely(header > IPV4_MIN && !ipv4_options_fine(p->l3 + IPV4_MIN, header - IPV4_MIN))) {
		packet_drop(p, DROP_IP_OPTION);
		return;
	}
	first = p->l3[12];
	if (unlikely(first >= 224 || first == 0 || first == 127)) {
		packet_drop(p, DROP_IP_SOURCE);
		return;
	}
	/* Padding of short frames is not part of the packet. */
	p->total = (uint16_t)total;
	p->length = RTE_MIN(p->length, (uint16_t)total);
	p->family = FAMILY_IPV4;
	p->protocol = ip->next_proto_id;
	p->l4 = (uint8_t)header;
	p->key.source = ip_from_v4(ip->src_addr);
	p->key.destination = ip_from_v4(ip->dst_addr);
	p->key.protocol = ip->next_proto_id;
	p->key.family = FAMILY_IPV4;
	if (unlikely(ip->fragment_offset & rte_cpu_to_be_16(0x3fff))) {
		p->flags |= PACKET_FRAGMENT;
		p->key.family = 0;
		return;
	}
	parse_transport(p);
}

static void parse_ipv6(struct packet *p)
{
	unsigned int total, offset;
	enum drop_reason reason;
	bool fragment = false;

	if (p->length < IPV6_SIZE) {
		packet_drop(p, DROP_SHORT);
		return;
	}
	total = (unsigned int)(p->l3[4] << 8 | p->l3[5]) + IPV6_SIZE;
	if (p->l3[0] >> 4 != 6 || total > p->total) {
		packet_drop(p, DROP_IP_HEADER);
		return;
	}
	p->total = (uint16_t)total;
	p->length = RTE_MIN(p->length, (uint16_t)total);
	p->family = FAMILY_IPV6;
	memcpy(&p->key.source, p->l3 + 8, 16);
	memcpy(&p->key.destination, p->l3 + 24, 16);
	if (unlikely(p->key.source.b[0] == 0xff)) {
		packet_drop(p, DROP_IP_SOURCE);
		return;
	}
	offset = ipv6_transport(p->l3, p->length, &p->protocol, &fragment, &reason);
	if (unlikely(offset == 0)) {
		packet_drop(p, reason);
		return;
	}
	p->l4 = (uint8_t)offset;
	if (unlikely(fragment)) {
		p->flags |= PACKET_FRAGMENT;
		p->key.family = 0;
		return;
	}
	p->key.protocol = p->protocol;
	p->key.family = FAMILY_IPV6;
	parse_transport(p);
	/* Nobody answers to the unspecified address; only ND's duplicate address detection comes from it. */
	if (unlikely(ip_is_zero(&p->key.source) && p->verdict == VERDICT_NONE &&
		     !(p->flags & PACKET_ICMP_ERROR)))
		packet_drop(p, DROP_IP_SOURCE);
}

void packet_parse(struct packet *p)
{
	memset(&p->key, 0, sizeof(p->key));
	if (p->family == FAMILY_IPV4)
		parse_ipv4(p);
	else
		parse_ipv6(p);
}

bool packet_embedded(const struct packet *p, struct embedded *embedded)
{
	unsigned int start = p->l4 + ICMP_SIZE, rest, need;
	const uint8_t *l3 = p->l3 + start;

	if (p->length < start)
		return false;
	rest = p->length - start;
	embedded->l3 = (uint16_t)start;
	embedded->family = p->family;
	if (p->family == FAMILY_IPV4) {
		unsigned int header;

		if (rest < IPV4_MIN || l3[0] >> 4 != 4)
			return false;
		header = (l3[0] & 15) * 4u;
		/* A fragment after the first has no ports. */
		if (header < IPV4_MIN || header > rest || ((l3[6] & 0x1f) | l3[7]) != 0)
			return false;
		embedded->l4 = (uint8_t)header;
		embedded->protocol = l3[9];
	} else {
		enum drop_reason reason;
		bool fragment = false;
		unsigned int offset;

		if (rest < IPV6_SIZE || l3[0] >> 4 != 6)
			return false;
		offset = ipv6_transport(l3, rest, &embedded->protocol, &fragment, &reason);
		if (offset == 0 || fragment)
			return false;
		embedded->l4 = (uint8_t)offset;
	}
	rest -= embedded->l4;
	switch (embedded->protocol) {
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		need = 8;
		break;
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		uint8_t type;

		if (rest < ICMP_SIZE || (embedded->protocol == IPPROTO_ICMP) != (p->family == FAMILY_IPV4))
			return false;
		type = l3[embedded->l4];
		need = ICMP_SIZE;
		/* Only an echo belongs to a connection. */
		if (p->family == FAMILY_IPV4 ? type != ICMP4_ECHO && type != ICMP4_ECHO_REPLY
					     : type != ICMP6_ECHO && type != ICMP6_ECHO_REPLY)
			return false;
		break;
	}
	default:
		return false;
	}
	return rest >= need;
}
