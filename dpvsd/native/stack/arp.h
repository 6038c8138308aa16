/* ARP on Ethernet for IPv4 (RFC 826), as bytes. */
#ifndef DPVSHA_ARP_H
#define DPVSHA_ARP_H

#include "net.h"

enum {
	ARP_REQUEST = 1,
	ARP_REPLY = 2,
	ARP_FRAME_SIZE = ETHER_SIZE + 28,
};

struct arp_message {
	uint16_t operation; /* ARP_REQUEST or ARP_REPLY */
	uint8_t sender_mac[6], target_mac[6];
	union ip_addr sender, target;
};

/* False for whatever is not well-formed, or comes from what cannot be a host's MAC address. */
bool arp_parse(const uint8_t *frame, size_t length, struct arp_message *message);
/* The whole frame to a MAC address. */
void arp_write(uint8_t frame[ARP_FRAME_SIZE], const uint8_t to[6], const struct arp_message *message);

#endif
