#include "fragment.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>

#include "../core/checksum.h"

/* Padding of a short frame would stand between the pieces. */
static void trim_to(struct rte_mbuf *m, unsigned int frame)
{
	if (m->pkt_len > frame)
		rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - frame));
}

static struct rte_mbuf *join_ipv4(struct rte_ip_frag_tbl *table, struct rte_ip_frag_death_row *row,
				  struct rte_mbuf *m, uint64_t now_cycles)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	trim_to(m, RTE_ETHER_HDR_LEN + rte_be_to_cpu_16(ip->total_length));
	m->l3_len = (ip->version_ihl & 15) * 4u;
	m = rte_ipv4_frag_reassemble_packet(table, row, m, now_cycles, ip);
	if (m == NULL)
		return NULL;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	ip->hdr_checksum = 0;
	ip->hdr_checksum = checksum_header(ip, (ip->version_ihl & 15) * 4u);
	return m;
}

static struct rte_mbuf *join_ipv6(struct rte_ip_frag_tbl *table, struct rte_ip_frag_death_row *row,
				  struct rte_mbuf *m, uint64_t now_cycles)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	struct rte_ipv6_fragment_ext *extension = (struct rte_ipv6_fragment_ext *)(void *)(ip + 1);

	/* DPDK joins packets whose fragment header comes first; another is nobody's common traffic. */
	if (ip->proto != IPPROTO_FRAGMENT) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	trim_to(m, RTE_ETHER_HDR_LEN + (unsigned int)sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len));
	m->l3_len = sizeof(*ip) + sizeof(*extension);
	return rte_ipv6_frag_reassemble_packet(table, row, m, now_cycles, ip, extension);
}

struct rte_mbuf *fragment_join(struct rte_ip_frag_tbl *table, struct rte_ip_frag_death_row *row,
			       struct rte_mbuf *m, enum family family, uint64_t now_cycles)
{
	m->l2_len = RTE_ETHER_HDR_LEN;
	return family == FAMILY_IPV4 ? join_ipv4(table, row, m, now_cycles)
				     : join_ipv6(table, row, m, now_cycles);
}

int fragment_cut(struct rte_mbuf *m, enum family family, uint16_t mtu, struct rte_mempool *pool,
		 struct rte_mbuf *out[], uint16_t max)
{
	int pieces;

	if (family == FAMILY_IPV4)
		pieces = rte_ipv4_fragment_packet(m, out, max, mtu, pool, pool);
	else
		pieces = rte_ipv6_fragment_packet(m, out, max, mtu, pool, pool);
	rte_pktmbuf_free(m);
	for (int i = 0; i < pieces && family == FAMILY_IPV4; i++) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(out[i], struct rte_ipv4_hdr *);

		ip->hdr_checksum = 0;
		ip->hdr_checksum = checksum_header(ip, (ip->version_ihl & 15) * 4u);
	}
	return pieces;
}
