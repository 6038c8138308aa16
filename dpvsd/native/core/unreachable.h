/* Telling a sender that the next hop of its packet does not answer. Other ICMP errors are written by the
 * worker while the packet is still as it came; this one only when the neighbour was asked in vain, and then
 * by the master. */
#ifndef DPVSHA_UNREACHABLE_H
#define DPVSHA_UNREACHABLE_H

#include "director.h"

enum { UNREACHABLE_FRAME_MAX = ETHER_SIZE + 1280 };

/* Writes "host unreachable" about a packet that was given up, as a whole frame, and the port that it goes out
 * by. `p` needs l3, length, total and family. 0 when nobody is to be told: a translated packet quotes
 * addresses that its sender never saw (FullNAT and NAT), and what must not be answered at all (RFC 1122
 * 3.2.2).
 * @return length of the frame */
size_t unreachable_frame(const struct director *director, struct packet *p,
			 uint8_t frame[UNREACHABLE_FRAME_MAX], uint16_t *port);

#endif
