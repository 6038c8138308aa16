/* Fragments: put together before balancing, since only the first one has ports; cut again where a path needs
 * it. */
#ifndef DPVSHA_FRAGMENT_H
#define DPVSHA_FRAGMENT_H

#include <rte_ip_frag.h>
#include <rte_mbuf.h>

#include "../core/packet.h"

/* A fragment (mbuf data at the Ethernet header). NULL: kept until the others come; otherwise the whole
 * packet, checksum right. */
struct rte_mbuf *fragment_join(struct rte_ip_frag_tbl *table, struct rte_ip_frag_death_row *row,
			       struct rte_mbuf *m, enum family family, uint64_t now_cycles);

/* Cuts a packet (mbuf data at the IP header) to pieces of at most `mtu` bytes. Takes `m`, whose data the
 * pieces share. @return how many stand in out[], -1 when it cannot be done */
int fragment_cut(struct rte_mbuf *m, enum family family, uint16_t mtu, struct rte_mempool *pool,
		 struct rte_mbuf *out[], uint16_t max);

#endif
