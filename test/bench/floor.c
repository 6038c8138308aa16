/* The floor of the benchmark: takes each packet from a port, swaps its MAC addresses, sends it back. The same
 * port, burst and memory pool as the director's, and no balancing: what is above it is the director's own
 * work. Each lcore serves a queue of the port.
 *
 *   bench-floor EAL-OPTIONS -- DEVICE [PACKETS THAT THE PORT HOLDS]
 *
 * Begins when every queue runs, and says so in a line of JSON. SIGUSR1 prints what each lcore has done so
 * far; SIGTERM ends, and prints it a last time. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { BURST = 32, RING = 1024, SPARE = 32767 };

struct lane {
	uint16_t port, queue;
	/* Written by its lcore, read by the main one. */
	uint64_t cycles, busy_cycles, packets;
} __rte_cache_aligned;

static struct lane lanes[RTE_MAX_LCORE];
static volatile sig_atomic_t stop, report;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		report = 1;
	else
		stop = 1;
}

static void tell(unsigned int count)
{
	printf("{\"hz\":%lu,\"lanes\":[", rte_get_tsc_hz());
	for (unsigned int i = 0; i < count; i++)
		printf("%s{\"cycles\":%lu,\"busyCycles\":%lu,\"packets\":%lu}", i ? "," : "", lanes[i].cycles,
		       lanes[i].busy_cycles, lanes[i].packets);
	printf("]}\n");
	fflush(stdout);
}

static int run(void *argument)
{
	struct lane *lane = argument;
	bool main_one = rte_lcore_id() == rte_get_main_lcore();
	uint64_t before = rte_rdtsc();

	while (!stop) {
		struct rte_mbuf *m[BURST];
		uint16_t count = rte_eth_rx_burst(lane->port, lane->queue, m, BURST), sent;
		uint64_t now;

		for (uint16_t i = 0; i < count; i++) {
			struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);
			struct rte_ether_addr from = ether->src_addr;

			ether->src_addr = ether->dst_addr;
			ether->dst_addr = from;
		}
		if (count != 0) {
			sent = rte_eth_tx_burst(lane->port, lane->queue, m, count);
			rte_pktmbuf_free_bulk(m + sent, count - sent);
		}
		now = rte_rdtsc();
		lane->cycles += now - before;
		if (count != 0)
			lane->busy_cycles += now - before;
		lane->packets += count;
		before = now;
		if (main_one && report) {
			report = 0;
			tell(rte_lcore_count());
			before = rte_rdtsc();
		}
	}
	return 0;
}

int main(int argc, char **argv)
{
	struct rte_eth_conf conf = {0};
	int used = rte_eal_init(argc, argv);
	struct rte_mempool *pool;
	uint16_t port, queues, queue = 0;
	unsigned int lcore;
	bool works;

	if (used < 0 || argc - used < 2)
		return EXIT_FAILURE;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGUSR1, on_signal);
	queues = (uint16_t)rte_lcore_count();
	/* A port that plays a capture holds all of its packets. */
	pool = rte_pktmbuf_pool_create(
	    "floor", SPARE + (argc - used > 2 ? (unsigned int)strtoul(argv[used + 2], NULL, 10) : 0), 256, 64,
	    RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	works = pool != NULL && rte_eth_dev_get_port_by_name(argv[used + 1], &port) == 0 &&
		rte_eth_dev_configure(port, queues, queues, &conf) == 0;
	for (uint16_t q = 0; works && q < queues; q++)
		works = rte_eth_rx_queue_setup(port, q, RING, SOCKET_ID_ANY, NULL, pool) == 0 &&
			rte_eth_tx_queue_setup(port, q, RING, SOCKET_ID_ANY, NULL) == 0;
	if (!works || rte_eth_dev_start(port) != 0) {
		fprintf(stderr, "floor: port %s does not come up with %u queues\n", argv[used + 1], queues);
		return EXIT_FAILURE;
	}
	RTE_LCORE_FOREACH(lcore)
	{
		lanes[queue].port = port;
		lanes[queue].queue = queue;
		if (lcore != rte_get_main_lcore())
			rte_eal_remote_launch(run, &lanes[queue], lcore);
		queue++;
	}
	printf("{\"ready\":true}\n");
	fflush(stdout);
	run(&lanes[0]);
	rte_eal_mp_wait_lcore();
	tell(queues);
	rte_eth_dev_stop(port);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
