/* From bytes to fields: checks an IP packet and fills in what a connection is found by. */
#ifndef DPVSHA_PARSE_H
#define DPVSHA_PARSE_H

#include "packet.h"

/* ICMP numbers that the dataplane knows. */
enum {
	ICMP4_ECHO_REPLY = 0,
	ICMP4_UNREACHABLE = 3,
	ICMP4_FRAGMENTATION_NEEDED = 4, /* code of ICMP4_UNREACHABLE */
	ICMP4_ECHO = 8,
	ICMP4_TIME_EXCEEDED = 11,
	ICMP4_PARAMETER = 12,
	ICMP6_UNREACHABLE = 1,
	ICMP6_TOO_BIG = 2,
	ICMP6_TIME_EXCEEDED = 3,
	ICMP6_PARAMETER = 4,
	ICMP6_ECHO = 128,
	ICMP6_ECHO_REPLY = 129,
	ICMP6_ROUTER_SOLICITATION = 133,
	ICMP6_REDIRECT = 137,
	ICMP6_LISTENER_QUERY = 130, /* RFC 3810 */
};

/* Checks headers (RFC 791, RFC 8200, RFC 1122 3.2.1) and fills family, protocol, l4, total and key. On a
 * fault the verdict is VERDICT_DROP with its reason; ND gets VERDICT_MASTER. A fragment gets PACKET_FRAGMENT
 * and no key (key.family 0); so does a transport protocol without ports. An ICMP error gets PACKET_ICMP_ERROR
 * and the key of the packet it is about, turned round: source and destination as the answer to that packet
 * would have them. */
void packet_parse(struct packet *p);

/* Where the packet that an ICMP error is about stands in it: offset from l3, and its transport header's
 * offset from there. False when it is cut off before its ports. */
struct embedded {
	uint16_t l3;
	uint8_t l4;
	uint8_t protocol;
	uint8_t family;
};
bool packet_embedded(const struct packet *p, struct embedded *embedded);

#endif
