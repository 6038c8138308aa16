/* Fragments: put together before balancing, since only the first one has ports; cut again where a path needs
 * it. */
#ifndef DPVSHA_FRAGMENT_H
#define DPVSHA_FRAGMENT_H

#include <rte_ip_frag.h>
#include <rte_mbuf.h>

#include "../core/packet.h"

/* The packets of one worker that wait for more of their fragments. */
struct fragments;

/* @param packets how many may wait; a power of two is not needed. They wait one second. NULL: no memory */
struct fragments *fragments_new(uint32_t packets, int socket);
void fragments_free(struct fragments *fragments);

/* How many may wait, so that a flood of fragments that never become whole holds at most a quarter of the
 * buffers that `workers` workers share. */
uint32_t fragments_limit(uint32_t buffers, unsigned int workers);

/* A fragment (mbuf data at the Ethernet header). NULL: kept until the others come, or dropped; otherwise the
 * whole packet, checksum right, in one or several segments.
 * @param dropped goes up by the fragments that were let go: malformed, too many, or too old */
struct rte_mbuf *fragment_join(struct fragments *fragments, struct rte_mbuf *m, enum family family,
			       uint64_t now_cycles, uint64_t *dropped);

/* Lets go of what has waited for too long. Some hundred fragments at most: call it often. */
void fragments_expire(struct fragments *fragments, uint64_t now_cycles, uint64_t *dropped);

/* Cuts a packet (mbuf data at the IP header) to pieces of at most `mtu` bytes, each of one segment where a
 * buffer holds it. Takes `m`.
 * @param id identification of the pieces: it must differ between packets of the same two addresses for as
 * long as their pieces may be under way, and addresses of ours speak for many clients (RFC 6864 5.3.1)
 * @return how many stand in out[]; 0 or less when it cannot be done */
int fragment_cut(struct rte_mbuf *m, enum family family, uint16_t mtu, uint32_t id, struct rte_mempool *pool,
		 struct rte_mbuf *out[], uint16_t max);

#endif
