#include "mld.h"

#include <netinet/in.h>

#include "../core/checksum.h"
#include "master.h"
#include "nd.h"

enum {
	QUERY = 130,
	REPORT_V2 = 143,
	HEADERS = 40 + 8, /* IPv6 and hop-by-hop */
	RECORD = 20,
	QUERY_V1 = 24, /* lengths of the ICMPv6 message */
	QUERY_V2_LEAST = 28,
	FLOATING = 0x8000, /* response codes from here on are floating point (RFC 3810 5.1.3) */
};

static const union ip_addr V2_ROUTERS = {.b = {0xff, 0x02, [15] = 0x16}},
			   ALL_ROUTERS = {.b = {0xff, 0x02, [15] = 2}};

/* Next header, length, router alert of value 0 (RFC 2711), and two bytes of padding. */
static const uint8_t ALERT[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};

static bool has_router_alert(const uint8_t *options, size_t size)
{
	for (size_t at = 0; at < size;) {
		if (options[at] == 0) {
			at++;
			continue;
		}
		if (at + 1 >= size || at + 2 + options[at + 1] > size)
			return false;
		if (options[at] == 5)
			return options[at + 1] == 2;
		at += 2 + (size_t)options[at + 1];
	}
	return false;
}

static uint32_t delay_of(unsigned int code)
{
	return code < FLOATING ? code : ((code & 0xfff) | 0x1000) << ((code >> 12 & 7) + 3);
}

bool mld_query_parse(const uint8_t *frame, size_t length, struct mld_query *query)
{
	const uint8_t *ip = frame + ETHER_SIZE, *options = ip + 40, *icmp;
	union ip_addr source;
	size_t payload, extension, message;

	memset(query, 0, sizeof(*query));
	if (length < ETHER_SIZE + HEADERS + QUERY_V1 || frame[12] != 0x86 || frame[13] != 0xdd ||
	    ip[0] >> 4 != 6 || ip[6] != IPPROTO_HOPOPTS || ip[7] != 1 || options[0] != IPPROTO_ICMPV6)
		return false;
	memcpy(&source, ip + 8, 16);
	payload = (size_t)ip[4] << 8 | ip[5];
	extension = 8 + (size_t)options[1] * 8;
	if (!ip_is_link_local6(&source) || length < ETHER_SIZE + 40 + payload ||
	    payload < extension + QUERY_V1 || !has_router_alert(options + 2, extension - 2))
		return false;
	icmp = options + extension;
	message = payload - extension;
	if (icmp[0] != QUERY || (message != QUERY_V1 && message < QUERY_V2_LEAST) ||
	    checksum_transport(FAMILY_IPV6, ip, IPPROTO_ICMPV6, icmp, message) != 0)
		return false;
	memcpy(&query->group, icmp + 8, 16);
	if (!ip_is_zero(&query->group) && !ip_is_multicast(FAMILY_IPV6, &query->group))
		return false;
	query->version = message == QUERY_V1 ? 1 : 2;
	query->delay_ms = (uint32_t)(icmp[4] << 8 | icmp[5]);
	if (query->version == 2) {
		query->delay_ms = delay_of(query->delay_ms);
		query->robustness = icmp[24] & 7;
	}
	return true;
}

/* Puts link, IPv6 and hop-by-hop headers before a message whose checksum is still 0. */
static size_t finish(uint8_t *frame, const uint8_t mac[6], const union ip_addr *source,
		     const union ip_addr *destination, size_t message)
{
	uint8_t *ip = frame + ETHER_SIZE, *icmp = ip + HEADERS;
	size_t payload = sizeof(ALERT) + message;
	rte_be16_t checksum;

	nd_multicast_mac(destination, frame);
	memcpy(frame + 6, mac, 6);
	frame[12] = 0x86;
	frame[13] = 0xdd;
	memset(ip, 0, 8);
	ip[0] = 0x60;
	ip[4] = (uint8_t)(payload >> 8);
	ip[5] = (uint8_t)payload;
	ip[6] = IPPROTO_HOPOPTS;
	ip[7] = 1;
	memcpy(ip + 8, source, 16);
	memcpy(ip + 24, destination, 16);
	memcpy(ip + 40, ALERT, sizeof(ALERT));
	checksum = checksum_transport(FAMILY_IPV6, ip, IPPROTO_ICMPV6, icmp, message);
	memcpy(icmp + 2, &checksum, 2);
	return ETHER_SIZE + 40 + payload;
}

size_t mld_report_write(uint8_t frame[MLD_FRAME_SIZE], const uint8_t mac[6], const union ip_addr *source,
			const struct mld_record *records, size_t count)
{
	uint8_t *icmp = frame + ETHER_SIZE + HEADERS;

	memset(icmp, 0, 8 + count * RECORD);
	icmp[0] = REPORT_V2;
	icmp[7] = (uint8_t)count;
	for (size_t i = 0; i < count; i++) {
		icmp[8 + i * RECORD] = (uint8_t)records[i].kind;
		memcpy(icmp + 8 + i * RECORD + 4, &records[i].group, 16);
	}
	return finish(frame, mac, source, &V2_ROUTERS, 8 + count * RECORD);
}

size_t mld_v1_write(uint8_t frame[MLD_FRAME_SIZE], const uint8_t mac[6], const union ip_addr *source,
		    uint8_t type, const union ip_addr *group)
{
	uint8_t *icmp = frame + ETHER_SIZE + HEADERS;

	memset(icmp, 0, 8);
	icmp[0] = type;
	memcpy(icmp + 8, group, 16);
	return finish(frame, mac, source, type == MLD_DONE_V1 ? &ALL_ROUTERS : group, QUERY_V1);
}
