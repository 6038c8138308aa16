/* Rewriting of packets: addresses, ports, checksums, TTL, and the TCP options that balancing has to touch.
 * Pure; every checksum is updated incrementally (RFC 1624), so that a packet that came damaged stays
 * recognisably damaged. */
#ifndef DPVSHA_TRANSLATE_H
#define DPVSHA_TRANSLATE_H

#include "connection.h"
#include "packet.h"

/* Writes the addresses and ports of the connection's other side and takes one off the TTL (which the caller
 * has checked). For TCP, UDP and ICMP echo; both sides of one family. */
void translate(struct packet *p, const struct connection *c, int direction);

/* Takes one off TTL or hop limit, nothing else (direct routing, plain forwarding). */
void translate_ttl(struct packet *p);

/* An ICMP error about a packet of this connection, on its way in `direction` (that of the packet it would
 * answer): outer and inner headers become those of the other side. -1 when its checksum is wrong or it is not
 * contiguous. */
int translate_icmp_error(struct packet *p, const struct connection *c, int direction);

/* Lowers the MSS option of a SYN or SYN/ACK to at most `mss` (RFC 9293 3.7.1); leaves everything else alone.
 */
void tcp_clamp_mss(struct packet *p, uint16_t mss);

/* Adds the client's address as TCP option 254 (TOA) behind the fixed header, where options, headroom and
 * `mtu` have room.
 * @return whether it was added */
bool tcp_add_toa(struct packet *p, enum family client_family, const struct connection *c, uint16_t mtu);

#endif
