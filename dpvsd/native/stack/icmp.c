/* ICMP and ICMPv6: answering echo, and telling senders why their packet did not get through. */
#include "net.h"
#include "../core/checksum.h"

#include <netinet/icmp6.h>
#include <netinet/in.h>
#include <netinet/ip_icmp.h>

#include <rte_ip.h>

enum {
	IP4_HEADER = 20,
	IP6_HEADER = 40,
	ICMP_HEADER = 8,
	LONGEST4 = 576, /* RFC 1812 4.3.2.3 */
	LONGEST6 = 1280, /* RFC 4443 3.1 */
	SMALLEST_MTU4 = 68,
	SMALLEST_MTU6 = 1280,
	TOS_CONTROL = 0xc0, /* internetwork control, RFC 1812 4.3.2.5 */
	PROHIBITED4 = 13, /* communication administratively prohibited, RFC 1812 5.2.7.1 */
	MOST_EXTENSIONS = 8,
};

/* The fields of both protocols' messages that matter here. */
struct icmp_header {
	uint8_t type, code;
	rte_be16_t checksum;
	rte_be32_t rest;
};

_Static_assert(sizeof(struct icmp_header) == ICMP_HEADER, "an ICMP header is 8 bytes");

/* ---- echo ---- */

bool icmp_echo_reply(struct packet *p, uint8_t ttl)
{
	bool six = p->family == FAMILY_IPV6;
	uint8_t request = six ? ICMP6_ECHO_REQUEST : ICMP_ECHO,
		reply = six ? ICMP6_ECHO_REPLY : ICMP_ECHOREPLY;
	size_t size = six ? 16 : 4, at = six ? 8 : 12;
	uint8_t address[16];
	struct icmp_header icmp;

	/* What goes to all is not answered (RFC 1122 3.2.2.6 leaves the choice); pieces cannot be. */
	if (p->protocol != (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) ||
	    p->flags & (PACKET_FRAGMENT | PACKET_L2_BROADCAST) || p->l4 < (six ? IP6_HEADER : IP4_HEADER) ||
	    p->length < p->l4 + ICMP_HEADER)
		return false;
	memcpy(&icmp, p->l3 + p->l4, sizeof(icmp));
	if (icmp.type != request || icmp.code != 0)
		return false;

	memcpy(address, p->l3 + at, size);
	memcpy(p->l3 + at, p->l3 + at + size, size);
	memcpy(p->l3 + at + size, address, size);
	/* Swapping addresses changes no sum; type and TTL do. */
	icmp.checksum = checksum_update16(icmp.checksum, rte_cpu_to_be_16((uint16_t)(request << 8)),
					  rte_cpu_to_be_16((uint16_t)(reply << 8)));
	icmp.type = reply;
	memcpy(p->l3 + p->l4, &icmp, sizeof(icmp));
	if (six) {
		p->l3[7] = ttl;
	} else {
		rte_be16_t old, new, checksum;

		memcpy(&old, p->l3 + 8, 2);
		p->l3[8] = ttl;
		memcpy(&new, p->l3 + 8, 2);
		memcpy(&checksum, p->l3 + 10, 2);
		checksum = checksum_update16(checksum, old, new);
		memcpy(p->l3 + 10, &checksum, 2);
	}
	return true;
}

/* ---- errors ---- */

/* Names one host that an error can be sent to. */
static bool answerable4(const uint8_t source[4])
{
	return source[0] != 0 && source[0] != 127 && source[0] < 224;
}

static bool is_error4(uint8_t type)
{
	return type == ICMP_DEST_UNREACH || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT ||
	       type == ICMP_TIME_EXCEEDED || type == ICMP_PARAMETERPROB;
}

static bool allowed4(const struct packet *p)
{
	size_t header = (size_t)(p->l3[0] & 15) * 4;

	if (p->l3[0] >> 4 != 4 || header < IP4_HEADER || !answerable4(p->l3 + 12))
		return false;
	/* To a multicast or broadcast address; to what the fragment offset calls a later piece. */
	if (p->l3[16] >= 224 || p->l3[16] == 0 || (p->l3[6] & 0x1f) != 0 || p->l3[7] != 0)
		return false;
	return p->l3[9] != IPPROTO_ICMP || (p->length > header && !is_error4(p->l3[header]));
}

/* Walks the extension headers of an IPv6 packet to the transport header; false when it is not in this packet
 * or cannot be found. */
static bool transport6(const struct packet *p, uint8_t *protocol, size_t *offset)
{
	uint8_t next = p->l3[6];
	size_t at = IP6_HEADER;

	for (unsigned int i = 0; i < MOST_EXTENSIONS; i++) {
		size_t size;

		switch (next) {
		case IPPROTO_HOPOPTS:
		case IPPROTO_ROUTING:
		case IPPROTO_DSTOPTS:
		case IPPROTO_FRAGMENT:
			if (p->length < at + 8)
				return false;
			if (next == IPPROTO_FRAGMENT && (p->l3[at + 2] != 0 || (p->l3[at + 3] & 0xf8) != 0))
				return false;
			size = next == IPPROTO_FRAGMENT ? 8 : 8 + (size_t)p->l3[at + 1] * 8;
			next = p->l3[at];
			at += size;
			break;
		default:
			*protocol = next;
			*offset = at;
			return true;
		}
	}
	return false;
}

static bool allowed6(const struct packet *p)
{
	union ip_addr source;
	uint8_t protocol;
	size_t offset;

	memcpy(&source, p->l3 + 8, 16);
	if (p->l3[0] >> 4 != 6 || source.b[0] == 0xff || p->l3[24] == 0xff ||
	    (source.q[0] == 0 && (source.q[1] == 0 || source.q[1] == rte_cpu_to_be_64(1))))
		return false;
	if (!transport6(p, &protocol, &offset))
		return false;
	/* RFC 4443 2.1: errors have types below 128. Nor about a redirect (2.4 e.2). */
	return protocol != IPPROTO_ICMPV6 ||
	       (p->length > offset && p->l3[offset] >= 128 && p->l3[offset] != ND_REDIRECT);
}

bool icmp_error_allowed(const struct packet *p)
{
	if (p->flags & PACKET_L2_BROADCAST)
		return false;
	if (p->family == FAMILY_IPV4)
		return p->length >= IP4_HEADER && allowed4(p);
	return p->family == FAMILY_IPV6 && p->length >= IP6_HEADER && allowed6(p);
}

static const struct {
	uint8_t type4, code4, type6, code6;
} messages[] = {
    [ICMP_ERROR_TTL] = {ICMP_TIME_EXCEEDED, ICMP_EXC_TTL, ICMP6_TIME_EXCEEDED, ICMP6_TIME_EXCEED_TRANSIT},
    [ICMP_ERROR_NO_ROUTE] = {ICMP_DEST_UNREACH, ICMP_NET_UNREACH, ICMP6_DST_UNREACH,
			     ICMP6_DST_UNREACH_NOROUTE},
    [ICMP_ERROR_HOST] = {ICMP_DEST_UNREACH, ICMP_HOST_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADDR},
    [ICMP_ERROR_PORT] = {ICMP_DEST_UNREACH, ICMP_PORT_UNREACH, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_NOPORT},
    [ICMP_ERROR_PROHIBITED] = {ICMP_DEST_UNREACH, PROHIBITED4, ICMP6_DST_UNREACH, ICMP6_DST_UNREACH_ADMIN},
    [ICMP_ERROR_TOO_BIG] = {ICMP_DEST_UNREACH, ICMP_FRAG_NEEDED, ICMP6_PACKET_TOO_BIG, 0},
};

/* How much of the packet an error repeats: what is there, without the link's padding, up to a limit. */
static size_t repeated(const struct packet *p, size_t ip_length, size_t limit)
{
	return RTE_MIN(RTE_MIN((size_t)p->length, ip_length), limit);
}

static size_t build4(const struct packet *p, enum icmp_error_kind kind, uint16_t mtu,
		     const union ip_addr *source, uint8_t ttl, uint8_t *buffer, size_t size)
{
	size_t original = repeated(p, (size_t)p->l3[2] << 8 | p->l3[3], LONGEST4 - IP4_HEADER - ICMP_HEADER);
	size_t length = IP4_HEADER + ICMP_HEADER + original;
	uint8_t *icmp = buffer + IP4_HEADER;
	struct rte_ipv4_hdr ip = {
	    .version_ihl = 0x45,
	    .type_of_service = TOS_CONTROL,
	    .total_length = rte_cpu_to_be_16((uint16_t)length),
	    /* Never larger than any link: its identification has nothing to tell apart (RFC 6864 4.1). */
	    .fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
	    .time_to_live = ttl,
	    .next_proto_id = IPPROTO_ICMP,
	    .src_addr = source->v4,
	};
	struct icmp_header header = {.type = messages[kind].type4, .code = messages[kind].code4};

	if (original < IP4_HEADER || length > size)
		return 0;
	memcpy(&ip.dst_addr, p->l3 + 12, 4);
	if (kind == ICMP_ERROR_TOO_BIG)
		header.rest = rte_cpu_to_be_32(RTE_MAX(mtu, SMALLEST_MTU4)); /* RFC 1191 4 */
	ip.hdr_checksum = checksum_header(&ip, sizeof(ip));
	memcpy(buffer, &ip, IP4_HEADER);
	memcpy(icmp, &header, ICMP_HEADER);
	memcpy(icmp + ICMP_HEADER, p->l3, original);
	header.checksum = checksum_finish(checksum_add(0, icmp, ICMP_HEADER + original));
	memcpy(icmp, &header, ICMP_HEADER);
	return length;
}

static size_t build6(const struct packet *p, enum icmp_error_kind kind, uint16_t mtu,
		     const union ip_addr *source, uint8_t ttl, uint8_t *buffer, size_t size)
{
	size_t original = repeated(p, IP6_HEADER + ((size_t)p->l3[4] << 8 | p->l3[5]),
				   LONGEST6 - IP6_HEADER - ICMP_HEADER);
	size_t payload = ICMP_HEADER + original, length = IP6_HEADER + payload;
	uint8_t *icmp = buffer + IP6_HEADER;
	struct icmp_header header = {.type = messages[kind].type6, .code = messages[kind].code6};

	if (length > size)
		return 0;
	memset(buffer, 0, IP6_HEADER);
	buffer[0] = 0x60 | TOS_CONTROL >> 4;
	buffer[4] = (uint8_t)(payload >> 8);
	buffer[5] = (uint8_t)payload;
	buffer[6] = IPPROTO_ICMPV6;
	buffer[7] = ttl;
	memcpy(buffer + 8, source, 16);
	memcpy(buffer + 24, p->l3 + 8, 16);
	if (kind == ICMP_ERROR_TOO_BIG)
		header.rest = rte_cpu_to_be_32(RTE_MAX(mtu, SMALLEST_MTU6)); /* RFC 8200 5 */
	memcpy(icmp, &header, ICMP_HEADER);
	memcpy(icmp + ICMP_HEADER, p->l3, original);
	header.checksum = checksum_transport(FAMILY_IPV6, buffer, IPPROTO_ICMPV6, icmp, payload);
	memcpy(icmp, &header, ICMP_HEADER);
	return length;
}

size_t icmp_error_build(const struct packet *p, enum icmp_error_kind kind, uint16_t mtu,
			const union ip_addr *source, uint8_t ttl, uint8_t *buffer, size_t size)
{
	if (!icmp_error_allowed(p) || ip_is_zero(source))
		return 0;
	if (p->family == FAMILY_IPV6)
		return build6(p, kind, mtu, source, ttl, buffer, size);
	return build4(p, kind, mtu, source, ttl, buffer, size);
}
