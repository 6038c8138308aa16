#include "translate.h"

#include <netinet/in.h>

#include <rte_icmp.h>
#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "checksum.h"
#include "parse.h"

enum {
	TCP_OPTION_END = 0,
	TCP_OPTION_NOP = 1,
	TCP_OPTION_MSS = 2,
	TCP_OPTION_TOA = 254,
	TCP_HEADER_MAX = 60,
	TOA_SIZE_IPV4 = 8,
	TOA_SIZE_IPV6 = 20,
};

/* Where a packet comes from and goes to after translation. */
struct endpoints {
	rte_be16_t source_port, destination_port;
	const union ip_addr *source6, *destination6;
	rte_be32_t source4, destination4;
};

static inline struct endpoints endpoints_of(const struct connection *c, int direction)
{
	struct endpoints e;

	if (direction == DIRECTION_IN) {
		e.source_port = c->local_port;
		e.destination_port = c->server_port;
		e.source4 = c->local4;
		e.destination4 = c->server4;
		e.source6 = &c->local6;
		e.destination6 = &c->server6;
	} else {
		e.source_port = c->virtual_port;
		e.destination_port = c->client_port;
		e.source4 = c->virtual4;
		e.destination4 = c->client4;
		e.source6 = &c->virtual6;
		e.destination6 = &c->client6;
	}
	return e;
}

/* Ports (or the echo identifier) of a transport header, and its checksum by the difference that the addresses
 * made. */
static inline void translate_transport(uint8_t *l4, uint8_t protocol, rte_be16_t source_port,
				       rte_be16_t destination_port, uint64_t addresses)
{
	switch (protocol) {
	case IPPROTO_TCP: {
		struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(void *)l4;

		addresses = checksum_replace16(addresses, tcp->src_port, source_port);
		addresses = checksum_replace16(addresses, tcp->dst_port, destination_port);
		tcp->src_port = source_port;
		tcp->dst_port = destination_port;
		tcp->cksum = checksum_apply(tcp->cksum, addresses);
		break;
	}
	case IPPROTO_UDP: {
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(void *)l4;

		addresses = checksum_replace16(addresses, udp->src_port, source_port);
		addresses = checksum_replace16(addresses, udp->dst_port, destination_port);
		udp->src_port = source_port;
		udp->dst_port = destination_port;
		udp->dgram_cksum = checksum_apply_udp(udp->dgram_cksum, addresses);
		break;
	}
	case IPPROTO_ICMP:
	case IPPROTO_ICMPV6: {
		struct rte_icmp_hdr *icmp = (struct rte_icmp_hdr *)(void *)l4;
		/* ICMP of IPv4 has no pseudo header. */
		uint64_t difference = protocol == IPPROTO_ICMPV6 ? addresses : 0;
		/* A request carries the identifier of the side that asks. */
		bool request = icmp->icmp_type == (protocol == IPPROTO_ICMP ? ICMP4_ECHO : ICMP6_ECHO);
		rte_be16_t ident = request ? source_port : destination_port;

		difference = checksum_replace16(difference, icmp->icmp_ident, ident);
		icmp->icmp_ident = ident;
		icmp->icmp_cksum = checksum_apply(icmp->icmp_cksum, difference);
		break;
	}
	}
}

void translate(struct packet *p, const struct connection *c, int direction)
{
	struct endpoints e = endpoints_of(c, direction);
	uint8_t *l4 = p->l3 + p->l4;
	uint64_t difference;

	if (p->family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)p->l3;
		uint16_t ttl_before, ttl_after;

		difference = checksum_replace32(0, ip->src_addr, e.source4);
		difference = checksum_replace32(difference, ip->dst_addr, e.destination4);
		ip->src_addr = e.source4;
		ip->dst_addr = e.destination4;
		memcpy(&ttl_before, &ip->time_to_live, 2);
		ip->time_to_live--;
		memcpy(&ttl_after, &ip->time_to_live, 2);
		ip->hdr_checksum = checksum_apply(ip->hdr_checksum,
						  checksum_replace16(difference, ttl_before, ttl_after));
	} else {
		union ip_addr before[2];

		memcpy(before, p->l3 + 8, 32);
		difference = checksum_replace128(0, &before[0], e.source6);
		difference = checksum_replace128(difference, &before[1], e.destination6);
		memcpy(p->l3 + 8, e.source6, 16);
		memcpy(p->l3 + 24, e.destination6, 16);
		p->l3[7]--;
	}
	translate_transport(l4, p->protocol, e.source_port, e.destination_port, difference);
}

void translate_ttl(struct packet *p)
{
	if (p->family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)p->l3;
		uint16_t before, after;

		memcpy(&before, &ip->time_to_live, 2);
		ip->time_to_live--;
		memcpy(&after, &ip->time_to_live, 2);
		ip->hdr_checksum = checksum_update16(ip->hdr_checksum, before, after);
	} else {
		p->l3[7]--;
	}
}

/* ---- ICMP errors ---- */

/* The quoted packet gets back the addresses and ports that it had on the other side. `source` and
 * `destination` are those of the quoted packet. Its checksums follow as far as they are quoted. */
static void translate_quoted(uint8_t *l3, unsigned int length, const struct embedded *inner,
			     const struct endpoints *e)
{
	uint8_t *l4 = l3 + inner->l4;
	unsigned int rest = length - inner->l4;
	uint64_t difference;

	if (inner->family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)l3;

		difference = checksum_replace32(0, ip->src_addr, e->source4);
		difference = checksum_replace32(difference, ip->dst_addr, e->destination4);
		ip->src_addr = e->source4;
		ip->dst_addr = e->destination4;
		ip->hdr_checksum = checksum_apply(ip->hdr_checksum, difference);
	} else {
		union ip_addr before[2];

		memcpy(before, l3 + 8, 32);
		difference = checksum_replace128(0, &before[0], e->source6);
		difference = checksum_replace128(difference, &before[1], e->destination6);
		memcpy(l3 + 8, e->source6, 16);
		memcpy(l3 + 24, e->destination6, 16);
	}
	if (inner->protocol == IPPROTO_TCP && rest < 18) {
		/* Quoted without its checksum: only the ports are there. */
		memcpy(l4, &e->source_port, 2);
		memcpy(l4 + 2, &e->destination_port, 2);
		return;
	}
	translate_transport(l4, inner->protocol, e->source_port, e->destination_port, difference);
}

int translate_icmp_error(struct packet *p, const struct connection *c, int direction)
{
	struct endpoints out = endpoints_of(c, direction), quoted;
	struct embedded inner;
	uint8_t *icmp = p->l3 + p->l4;
	size_t size = (size_t)p->total - p->l4;
	rte_be16_t check;

	if (p->length != p->total || !packet_embedded(p, &inner))
		return -1;
	if (checksum_transport(p->family, p->l3, p->protocol, icmp, size) != 0)
		return -1;
	/* The error answers the packet that it quotes: what the answer would be sent to is where the quoted
	 * one came from. */
	quoted.source_port = out.destination_port;
	quoted.destination_port = out.source_port;
	quoted.source4 = out.destination4;
	quoted.destination4 = out.source4;
	quoted.source6 = out.destination6;
	quoted.destination6 = out.source6;
	translate_quoted(p->l3 + inner.l3, p->length - inner.l3, &inner, &quoted);

	if (p->family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)p->l3;
		/* A NAT server knows the client and may hear from the router itself. */
		rte_be32_t source = direction == DIRECTION_IN && c->local4 == c->client4 ? ip->src_addr
											 : out.source4;
		uint64_t difference = checksum_replace32(0, ip->src_addr, source);

		difference = checksum_replace32(difference, ip->dst_addr, out.destination4);
		ip->src_addr = source;
		ip->dst_addr = out.destination4;
		ip->hdr_checksum = checksum_apply(ip->hdr_checksum, difference);
	} else {
		if (!(direction == DIRECTION_IN && ip_equal(&c->local6, &c->client6)))
			memcpy(p->l3 + 8, out.source6, 16);
		memcpy(p->l3 + 24, out.destination6, 16);
	}
	translate_ttl(p);
	memset(icmp + 2, 0, 2);
	check = checksum_transport(p->family, p->l3, p->protocol, icmp, size);
	memcpy(icmp + 2, &check, 2);
	return 0;
}

/* ---- TCP options ---- */

void tcp_clamp_mss(struct packet *p, uint16_t mss)
{
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(void *)(p->l3 + p->l4);
	uint8_t *options = (uint8_t *)(tcp + 1);
	unsigned int length = (tcp->data_off >> 4) * 4u - (unsigned int)sizeof(*tcp);

	for (unsigned int i = 0; i < length;) {
		unsigned int size;

		if (options[i] == TCP_OPTION_END)
			return;
		if (options[i] == TCP_OPTION_NOP) {
			i++;
			continue;
		}
		if (i + 1 >= length)
			return;
		size = options[i + 1];
		if (size < 2 || i + size > length)
			return;
		if (options[i] == TCP_OPTION_MSS && size == 4) {
			uint16_t now = (uint16_t)(options[i + 2] << 8 | options[i + 3]);
			rte_be16_t before, after;

			if (now <= mss)
				return;
			/* At an odd offset its bytes belong to two words: swap them for the sum. */
			before = i % 2 ? rte_bswap16(rte_cpu_to_be_16(now)) : rte_cpu_to_be_16(now);
			after = i % 2 ? rte_bswap16(rte_cpu_to_be_16(mss)) : rte_cpu_to_be_16(mss);
			options[i + 2] = (uint8_t)(mss >> 8);
			options[i + 3] = (uint8_t)mss;
			tcp->cksum = checksum_update16(tcp->cksum, before, after);
			return;
		}
		i += size;
	}
}

bool tcp_add_toa(struct packet *p, enum family client_family, const struct connection *c, uint16_t mtu)
{
	unsigned int size = client_family == FAMILY_IPV4 ? TOA_SIZE_IPV4 : TOA_SIZE_IPV6;
	unsigned int moved = p->l4 + (unsigned int)sizeof(struct rte_tcp_hdr);
	struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(void *)(p->l3 + p->l4);
	uint16_t before, after;
	uint64_t difference;
	uint8_t *option;

	if ((tcp->data_off >> 4) * 4u + size > TCP_HEADER_MAX || p->total + size > mtu ||
	    p->headroom < size + 14u || p->length < moved)
		return false;
	memmove(p->l3 - size, p->l3, moved);
	p->l3 -= size;
	p->headroom = (uint16_t)(p->headroom - size);
	p->length = (uint16_t)(p->length + size);

	tcp = (struct rte_tcp_hdr *)(void *)(p->l3 + p->l4);
	option = p->l3 + moved;
	option[0] = TCP_OPTION_TOA;
	option[1] = (uint8_t)size;
	memcpy(option + 2, &c->client_port, 2);
	if (client_family == FAMILY_IPV4)
		memcpy(option + 4, &c->client4, 4);
	else
		memcpy(option + 4, &c->client6, 16);

	/* The option itself, the header's length, and the length in the pseudo header. */
	difference = checksum_add(0, option, size);
	memcpy(&before, &tcp->data_off, 2);
	tcp->data_off = (uint8_t)(tcp->data_off + (size / 4 << 4));
	memcpy(&after, &tcp->data_off, 2);
	difference = checksum_replace16(difference, before, after);
	before = rte_cpu_to_be_16((uint16_t)(p->total - p->l4));
	after = rte_cpu_to_be_16((uint16_t)(p->total - p->l4 + size));
	difference = checksum_replace16(difference, before, after);
	tcp->cksum = checksum_apply(tcp->cksum, difference);

	if (p->family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)p->l3;
		rte_be16_t total = rte_cpu_to_be_16((uint16_t)(p->total + size));

		ip->hdr_checksum = checksum_update16(ip->hdr_checksum, ip->total_length, total);
		ip->total_length = total;
	} else {
		rte_be16_t payload = rte_cpu_to_be_16(
		    (uint16_t)(p->total + size - sizeof(struct rte_ipv6_hdr)));

		memcpy(p->l3 + 4, &payload, 2);
	}
	p->total = (uint16_t)(p->total + size);
	return true;
}
