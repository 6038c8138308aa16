/* Fragments with DPDK's own table and buffers: put together, cut, and floods of those that never become
 * whole. Starts an EAL without hugepages and devices. */
#include <netinet/in.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ether.h>
#include <rte_ip.h>

#include "check.h"
#include "core/checksum.h"
#include "port/fragment.h"

enum { BUFFERS = 8191, ROOM = 2176, MOST = 64, PIECE = 32 };

static struct rte_mempool *pool;

static struct rte_mbuf *packet4(uint16_t id, unsigned int offset, bool more, unsigned int payload)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + 20 + payload));
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(void *)(bytes + 14);

	memset(bytes, 0, 14 + 20);
	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16((uint16_t)(20 + payload));
	ip->packet_id = rte_cpu_to_be_16(id);
	ip->fragment_offset = rte_cpu_to_be_16((uint16_t)(offset / 8 | (more ? RTE_IPV4_HDR_MF_FLAG : 0)));
	ip->time_to_live = 64;
	ip->next_proto_id = IPPROTO_UDP;
	ip->src_addr = RTE_BE32(0x0a000001);
	ip->dst_addr = RTE_BE32(0x0a000002);
	ip->hdr_checksum = checksum_header(ip, 20);
	for (unsigned int i = 0; i < payload; i++)
		bytes[34 + i] = (uint8_t)((offset + i) * 7 + id);
	return m;
}

/* One fragment when `identified`, otherwise a whole packet. */
static struct rte_mbuf *packet6(uint32_t id, bool identified, unsigned int offset, bool more,
				unsigned int payload)
{
	unsigned int header = identified ? 48 : 40;
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	uint8_t *bytes = (uint8_t *)rte_pktmbuf_append(m, (uint16_t)(14 + header + payload));

	memset(bytes, 0, 14 + header);
	bytes[14] = 0x60;
	bytes[18] = (uint8_t)((header - 40 + payload) >> 8);
	bytes[19] = (uint8_t)(header - 40 + payload);
	bytes[20] = identified ? IPPROTO_FRAGMENT : IPPROTO_UDP;
	bytes[21] = 64;
	bytes[22] = bytes[38] = 0xfd;
	bytes[37] = 1;
	bytes[53] = 2;
	if (identified) {
		uint16_t where = (uint16_t)(offset | (more ? 1 : 0));

		bytes[54] = IPPROTO_UDP;
		bytes[56] = (uint8_t)(where >> 8);
		bytes[57] = (uint8_t)where;
		memcpy(bytes + 58, &id, 4);
	}
	for (unsigned int i = 0; i < payload; i++)
		bytes[14 + header + i] = (uint8_t)((offset + i) * 7 + id);
	return m;
}

static bool holds(const struct rte_mbuf *m, unsigned int from, unsigned int payload, unsigned int id)
{
	for (unsigned int i = 0; i < payload; i++) {
		uint8_t byte;
		const uint8_t *at = rte_pktmbuf_read(m, from + i, 1, &byte);

		if (at == NULL || *at != (uint8_t)(i * 7 + id))
			return false;
	}
	return true;
}

static unsigned int in_use(void)
{
	return rte_mempool_in_use_count(pool);
}

/* Pieces of every size, in any order, make the packet; nothing stays behind. */
static void fragments_become_whole(void)
{
	struct fragments *fragments = fragments_new(64, SOCKET_ID_ANY);
	uint64_t dropped = 0, now = rte_rdtsc();

	for (unsigned int round = 0; round < 400; round++) {
		unsigned int count = 2 + (unsigned int)(check_random() % 6), order[8];
		bool six = round % 2;
		struct rte_mbuf *whole = NULL;

		for (unsigned int i = 0; i < count; i++)
			order[i] = i;
		for (unsigned int i = count - 1; i > 0; i--) {
			unsigned int k = (unsigned int)(check_random() % (i + 1)), kept = order[i];

			order[i] = order[k];
			order[k] = kept;
		}
		for (unsigned int i = 0; i < count; i++) {
			unsigned int offset = order[i] * 160;
			bool more = order[i] + 1 < count;
			struct rte_mbuf *m = six ? packet6(round, true, offset, more, 160)
						 : packet4((uint16_t)round, offset, more, 160);

			CHECK(whole == NULL);
			whole = fragment_join(fragments, m, six ? FAMILY_IPV6 : FAMILY_IPV4, now, &dropped);
		}
		CHECK(whole != NULL);
		if (whole == NULL)
			break;
		CHECK_EQ(whole->pkt_len, 14 + (six ? 40u : 20u) + count * 160);
		CHECK(holds(whole, 14 + (six ? 40 : 20), count * 160, round));
		if (!six)
			CHECK_EQ(checksum_header(rte_pktmbuf_mtod_offset(whole, void *, 14), 20), 0);
		rte_pktmbuf_free(whole);
	}
	CHECK_EQ(dropped, 0);
	CHECK_EQ(in_use(), 0);
	fragments_free(fragments);
}

/* Packets that lack a piece run out, and a burst of others comes at that moment: each of these makes one of
 * the old ones go. rte_ip_frag's list of those takes 32 packets and does not look whether there is room. */
static void a_burst_over_old_fragments(void)
{
	struct fragments *fragments = fragments_new(1000, SOCKET_ID_ANY);
	uint64_t dropped = 0, now = rte_rdtsc();
	unsigned int came = 0;

	for (unsigned int i = 0; i < 1000; i++)
		for (unsigned int piece = 0; piece < 6; piece++, came++)
			CHECK(fragment_join(fragments, packet4((uint16_t)i, piece * PIECE, true, PIECE),
					    FAMILY_IPV4, now, &dropped) == NULL);
	CHECK(in_use() + dropped == came);
	CHECK(in_use() > came / 2);
	now += 2 * rte_get_tsc_hz();
	for (unsigned int i = 0; i < 600; i++, came++)
		CHECK(fragment_join(fragments, packet4((uint16_t)(5000 + i), 0, true, PIECE), FAMILY_IPV4,
				    now, &dropped) == NULL);
	CHECK_EQ(in_use() + dropped, came);
	/* Time alone makes the rest go. */
	now += 2 * rte_get_tsc_hz();
	for (unsigned int i = 0; i < 100 && in_use() != 0; i++)
		fragments_expire(fragments, now, &dropped);
	CHECK_EQ(in_use(), 0);
	CHECK_EQ(dropped, came);
	fragments_free(fragments);
}

/* However many first fragments come, three quarters of the buffers are left; each one is accounted for. */
static void a_flood_leaves_buffers(void)
{
	struct fragments *fragments = fragments_new(fragments_limit(BUFFERS, 1), SOCKET_ID_ANY);
	uint64_t dropped = 0, now = rte_rdtsc();
	unsigned int came = 0;

	for (unsigned int i = 0; i < 20000; i++, came++)
		CHECK(fragment_join(fragments,
				    i % 2 ? packet6(i, true, 0, true, PIECE)
					  : packet4((uint16_t)i, (i / 4 % 7) * PIECE, true, PIECE),
				    i % 2 ? FAMILY_IPV6 : FAMILY_IPV4, now, &dropped) == NULL);
	CHECK(in_use() <= BUFFERS / 4);
	CHECK_EQ(in_use() + dropped, came);
	fragments_free(fragments);
	CHECK_EQ(in_use(), 0);
}

/* Overlaps, pieces beyond the end, of no length, behind other headers: nothing comes out, nothing is lost. */
static void fragments_that_do_not_fit(void)
{
	struct fragments *fragments = fragments_new(64, SOCKET_ID_ANY);
	uint64_t dropped = 0, now = rte_rdtsc();
	unsigned int came = 0;
	struct rte_mbuf *m;

	for (unsigned int i = 0; i < 4; i++) {
		static const unsigned int offsets[4] = {0, 64, 32, 96};

		came++;
		CHECK(fragment_join(fragments, packet4(1, offsets[i], i != 3, 64), FAMILY_IPV4, now,
				    &dropped) == NULL);
	}
	for (unsigned int i = 0; i < 9; i++, came++)
		CHECK(fragment_join(fragments, packet4(2, 65528 - i * 8, true, 1400), FAMILY_IPV4, now,
				    &dropped) == NULL);
	came++;
	CHECK(fragment_join(fragments, packet4(3, 0, true, 0), FAMILY_IPV4, now, &dropped) == NULL);
	m = packet6(4, true, 0, true, 64);
	rte_pktmbuf_mtod(m, uint8_t *)[20] = IPPROTO_DSTOPTS;
	came++;
	CHECK(fragment_join(fragments, m, FAMILY_IPV6, now, &dropped) == NULL);
	CHECK_EQ(in_use() + dropped, came);
	for (unsigned int i = 0; i < 100 && in_use() != 0; i++)
		fragments_expire(fragments, now + 2 * rte_get_tsc_hz(), &dropped);
	CHECK_EQ(dropped, came);
	CHECK_EQ(in_use(), 0);
	fragments_free(fragments);
}

/* Pieces are no longer than the path takes, in one segment each, all of one identification that no other
 * packet has; and they make the packet again. */
static void pieces_of_a_packet(void)
{
	static const uint16_t mtus[] = {1280, 1300, 1492, 1500};
	uint64_t dropped = 0, now = rte_rdtsc();

	for (uint32_t round = 0; round < 200; round++) {
		struct fragments *fragments = fragments_new(64, SOCKET_ID_ANY);
		bool six = round % 2;
		enum family family = six ? FAMILY_IPV6 : FAMILY_IPV4;
		uint16_t mtu = mtus[check_random() % RTE_DIM(mtus)];
		unsigned int payload = 1480 + (unsigned int)(check_random() % 500);
		struct rte_mbuf *m = six ? packet6(round, false, 0, false, payload)
					 : packet4((uint16_t)round, 0, false, payload);
		struct rte_mbuf *pieces[MOST], *whole = NULL;
		int count;

		rte_pktmbuf_adj(m, 14);
		count = fragment_cut(m, family, mtu, 0x10000 + round, pool, pieces, MOST);
		CHECK(count >= 2);
		for (int i = 0; i < count; i++) {
			const uint8_t *ip = rte_pktmbuf_mtod(pieces[i], uint8_t *);
			uint32_t id = six ? rte_be_to_cpu_32(*(const uint32_t *)(const void *)(ip + 44))
					  : (uint32_t)(ip[4] << 8 | ip[5]);

			CHECK_EQ(id, six ? 0x10000 + round : round);
			CHECK(pieces[i]->pkt_len <= mtu);
			CHECK_EQ(pieces[i]->nb_segs, 1);
			if (!six)
				CHECK_EQ(checksum_header(ip, 20), 0);
			rte_pktmbuf_prepend(pieces[i], 14);
			whole = fragment_join(fragments, pieces[i], family, now, &dropped);
		}
		CHECK(whole != NULL && holds(whole, 14 + (six ? 40 : 20), payload, round));
		rte_pktmbuf_free(whole);
		fragments_free(fragments);
	}
	CHECK_EQ(dropped, 0);
	CHECK_EQ(in_use(), 0);
}

int main(void)
{
	char *words[] = {"test-fragment",  "--no-huge", "-m", "64",	     "--no-pci",
			 "--no-shconf",	   "-l",	"0",  "--log-level", "*:error",
			 "--no-telemetry", NULL};

	if (rte_eal_init(RTE_DIM(words) - 1, words) < 0 ||
	    (pool = rte_pktmbuf_pool_create("packets", BUFFERS, 0, 0, ROOM, SOCKET_ID_ANY)) == NULL) {
		printf("not ok fragment: no EAL\n");
		return 1;
	}
	RUN(fragments_become_whole);
	RUN(a_burst_over_old_fragments);
	RUN(a_flood_leaves_buffers);
	RUN(fragments_that_do_not_fit);
	RUN(pieces_of_a_packet);
	rte_eal_cleanup();
	return check_end();
}
