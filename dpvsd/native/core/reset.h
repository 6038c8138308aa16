/* Telling the sender of a TCP segment that nobody listens. */
#ifndef DPVSHA_RESET_H
#define DPVSHA_RESET_H

#include "packet.h"

enum { RESET_MAX = 40 + 20 };

/* Writes the reset about a segment to an address of ours (RFC 9293 3.10.7.1) as a whole IP packet into
 * `buffer`. The segment must still be as it came, with l4 set and contiguous as far as its TCP header.
 * @return its length; 0 when the segment is a reset itself, or when it is not sent to and by one host */
size_t reset_build(const struct packet *p, uint8_t ttl, uint8_t buffer[RESET_MAX]);

#endif
