#include "fragment.h"

#include <netinet/in.h>

#include <rte_cycles.h>
#include <rte_ether.h>
#include <rte_ip.h>

#include "../core/checksum.h"

enum {
	BUCKET_ENTRIES = 16,
	PACKETS_MIN = 16,
	PACKETS_MAX = 16384,
	HELD_PART = 4, /* of the buffers */
	/* One call of rte_ip_frag puts at most this many on the row, and does not look whether there is
	 * room: a packet that waited for too long, and the fragment itself. */
	ROW_STEP = RTE_LIBRTE_IP_FRAG_MAX_FRAG + 1,
	FREE_PREFETCH = 3,
};

struct fragments {
	struct rte_ip_frag_tbl *table;
	struct rte_ip_frag_death_row row;
};

_Static_assert(RTE_IP_FRAG_DEATH_ROW_MBUF_LEN >= 2 * ROW_STEP, "a call has room");

uint32_t fragments_limit(uint32_t buffers, unsigned int workers)
{
	uint32_t packets = buffers / HELD_PART / RTE_LIBRTE_IP_FRAG_MAX_FRAG / RTE_MAX(workers, 1u);

	return RTE_MIN(RTE_MAX(packets, (uint32_t)PACKETS_MIN), (uint32_t)PACKETS_MAX);
}

struct fragments *fragments_new(uint32_t packets, int socket)
{
	struct fragments *fragments = memory_new(sizeof(*fragments));
	/* Twice the places: a packet finds room in its buckets nearly always until the limit is reached. */
	uint32_t buckets = rte_align32pow2(RTE_MAX(2 * packets / BUCKET_ENTRIES, 1u));

	if (fragments == NULL)
		return NULL;
	fragments->table = rte_ip_frag_table_create(buckets, BUCKET_ENTRIES, packets, rte_get_tsc_hz(),
						    socket);
	if (fragments->table == NULL) {
		memory_free(fragments);
		return NULL;
	}
	return fragments;
}

void fragments_free(struct fragments *fragments)
{
	if (fragments == NULL)
		return;
	rte_ip_frag_free_death_row(&fragments->row, FREE_PREFETCH);
	rte_ip_frag_table_destroy(fragments->table);
	memory_free(fragments);
}

static void let_go(struct fragments *fragments, uint64_t *dropped)
{
	*dropped += fragments->row.cnt;
	rte_ip_frag_free_death_row(&fragments->row, FREE_PREFETCH);
}

void fragments_expire(struct fragments *fragments, uint64_t now_cycles, uint64_t *dropped)
{
	/* It stops where the row is full. */
	rte_ip_frag_table_del_expired_entries(fragments->table, &fragments->row, now_cycles);
	if (fragments->row.cnt != 0)
		let_go(fragments, dropped);
}

/* Padding of a short frame would stand between the pieces. */
static void trim_to(struct rte_mbuf *m, unsigned int frame)
{
	if (m->pkt_len > frame)
		rte_pktmbuf_trim(m, (uint16_t)(m->pkt_len - frame));
}

static struct rte_mbuf *join_ipv4(struct fragments *fragments, struct rte_mbuf *m, uint64_t now_cycles)
{
	struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);

	trim_to(m, RTE_ETHER_HDR_LEN + rte_be_to_cpu_16(ip->total_length));
	m->l3_len = (ip->version_ihl & 15) * 4u;
	m = rte_ipv4_frag_reassemble_packet(fragments->table, &fragments->row, m, now_cycles, ip);
	if (m == NULL)
		return NULL;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, RTE_ETHER_HDR_LEN);
	ip->hdr_checksum = 0;
	ip->hdr_checksum = checksum_header(ip, (ip->version_ihl & 15) * 4u);
	return m;
}

static struct rte_mbuf *join_ipv6(struct fragments *fragments, struct rte_mbuf *m, uint64_t now_cycles)
{
	struct rte_ipv6_hdr *ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv6_hdr *, RTE_ETHER_HDR_LEN);
	struct rte_ipv6_fragment_ext *extension = (struct rte_ipv6_fragment_ext *)(void *)(ip + 1);

	/* DPDK joins packets whose fragment header comes first; another is nobody's common traffic. */
	if (ip->proto != IPPROTO_FRAGMENT) {
		fragments->row.row[fragments->row.cnt++] = m;
		return NULL;
	}
	trim_to(m, RTE_ETHER_HDR_LEN + (unsigned int)sizeof(*ip) + rte_be_to_cpu_16(ip->payload_len));
	m->l3_len = sizeof(*ip) + sizeof(*extension);
	return rte_ipv6_frag_reassemble_packet(fragments->table, &fragments->row, m, now_cycles, ip,
					       extension);
}

struct rte_mbuf *fragment_join(struct fragments *fragments, struct rte_mbuf *m, enum family family,
			       uint64_t now_cycles, uint64_t *dropped)
{
	m->l2_len = RTE_ETHER_HDR_LEN;
	m = family == FAMILY_IPV4 ? join_ipv4(fragments, m, now_cycles) : join_ipv6(fragments, m, now_cycles);
	if (fragments->row.cnt != 0)
		let_go(fragments, dropped);
	/* A packet longer than its length field can say: its pieces lie beyond the end of any packet. */
	if (m != NULL && m->pkt_len > RTE_ETHER_HDR_LEN + (uint32_t)UINT16_MAX) {
		*dropped += m->nb_segs;
		rte_pktmbuf_free(m);
		return NULL;
	}
	return m;
}

static void mark_piece(struct rte_mbuf *piece, enum family family, uint32_t id)
{
	if (family == FAMILY_IPV4) {
		struct rte_ipv4_hdr *ip = rte_pktmbuf_mtod(piece, struct rte_ipv4_hdr *);

		ip->packet_id = rte_cpu_to_be_16((uint16_t)id);
		ip->hdr_checksum = 0;
		ip->hdr_checksum = checksum_header(ip, (ip->version_ihl & 15) * 4u);
	} else {
		/* DPDK writes 0 for every packet. */
		rte_pktmbuf_mtod_offset(piece, struct rte_ipv6_fragment_ext *, sizeof(struct rte_ipv6_hdr))
		    ->id = rte_cpu_to_be_32(id);
	}
}

int fragment_cut(struct rte_mbuf *m, enum family family, uint16_t mtu, uint32_t id, struct rte_mempool *pool,
		 struct rte_mbuf *out[], uint16_t max)
{
	int pieces;

	if (family == FAMILY_IPV4)
		pieces = rte_ipv4_fragment_packet(m, out, max, mtu, pool, pool);
	else
		pieces = rte_ipv6_fragment_packet(m, out, max, mtu, pool, pool);
	rte_pktmbuf_free(m);
	for (int i = 0; i < pieces; i++) {
		mark_piece(out[i], family, id);
		/* Ports are not asked for packets of several segments. One that is longer than a buffer stays
		 * so: drivers that cannot send it say so. */
		if (out[i]->nb_segs > 1)
			(void)rte_pktmbuf_linearize(out[i]);
	}
	return pieces;
}
