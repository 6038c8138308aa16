/* Neighbour solicitations and advertisements (RFC 4861 4.3, 4.4), as bytes. */
#ifndef DPVSHA_ND_H
#define DPVSHA_ND_H

#include "net.h"

enum {
	ND_SOLICITATION = 135,
	ND_ADVERTISEMENT = 136,
	ND_ROUTER = 1 << 7, /* flags of an advertisement */
	ND_SOLICITED = 1 << 6,
	ND_OVERRIDE = 1 << 5,
	ND_FRAME_SIZE = ETHER_SIZE + 40 + 24 + 8, /* at most, with one option */
};

struct nd_message {
	uint8_t type;
	uint8_t flags; /* of an advertisement */
	bool has_mac; /* the link-layer address option that belongs to the type is there */
	uint8_t mac[6];
	union ip_addr source, destination, target;
};

/* False for whatever RFC 4861 7.1.1 and 7.1.2 tell to discard: hop limit below 255, wrong checksum, code,
 * length or target, and solicitations without source that give a MAC or do not go to a solicited-node
 * address. */
bool nd_parse(const uint8_t *frame, size_t length, struct nd_message *message);
/* The whole frame from one MAC address to another; its length. */
size_t nd_write(uint8_t frame[ND_FRAME_SIZE], const uint8_t from[6], const uint8_t to[6],
		const struct nd_message *message);

/* ff02::1:ffXX:XXXX of an address (RFC 4291 2.7.1) */
union ip_addr nd_solicited_node(const union ip_addr *target);
/* 33:33 and the last four bytes (RFC 2464 7) */
void nd_multicast_mac(const union ip_addr *group, uint8_t mac[6]);

#endif
