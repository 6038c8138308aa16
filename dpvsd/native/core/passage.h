/* What every packet that is passed on has to stand, and the ICMP errors that tell its sender when it does
 * not. */
#ifndef DPVSHA_PASSAGE_H
#define DPVSHA_PASSAGE_H

#include "pipeline.h"

/* Tells the sender, where that is allowed and the rate of errors is not used up. The packet must still be as
 * it came. */
void send_error(const struct director *director, struct worker_view *view, const struct packet *p,
		enum icmp_error_kind kind, uint16_t mtu, const struct pipeline_output *output);

/* The same about a TCP segment to an address of ours: a reset. False when its checksum is wrong. */
bool send_reset(const struct director *director, struct worker_view *view, const struct packet *p,
		const struct pipeline_output *output);

/* Notes that a packet has to be cut to pieces of `mtu` bytes. False when it may not be: its sender forbids
 * it, or, with IPv6, did not cut it itself. */
bool cut_to_fit(struct packet *p, uint16_t mtu);

/* These three drop the packet, with its reason and an error to the sender, and return false when it may not
 * pass. */

/* Is there a hop left? */
bool ttl_refused(const struct director *director, struct worker_view *view, struct packet *p,
		 const struct pipeline_output *output);
static inline bool ttl_fine(const struct director *director, struct worker_view *view, struct packet *p,
			    const struct pipeline_output *output)
{
	uint8_t ttl = p->family == FAMILY_IPV4 ? p->l3[8] : p->l3[7];

	return likely(ttl > 1) || ttl_refused(director, view, p, output);
}

/* Does it fit? IPv4 without DF may be cut later; everything else goes back with the MTU (RFC 1191, RFC 8201).
 */
bool size_handled(const struct director *director, struct worker_view *view, struct packet *p, uint16_t mtu,
		  const struct pipeline_output *output);
static inline bool size_fine(const struct director *director, struct worker_view *view, struct packet *p,
			     uint16_t mtu, const struct pipeline_output *output)
{
	return likely(p->total <= mtu || mtu == 0) || size_handled(director, view, p, mtu, output);
}

/* Is there a way? */
bool next_hop_refused(const struct director *director, struct worker_view *view, struct packet *p,
		      enum next_hop found, const struct pipeline_output *output);
static inline bool next_hop_fine(const struct director *director, struct worker_view *view, struct packet *p,
				 enum next_hop found, const struct pipeline_output *output)
{
	return likely(found == NEXT_HOP_FOUND || found == NEXT_HOP_UNRESOLVED) ||
	       next_hop_refused(director, view, p, found, output);
}

#endif
