/* The floor of the benchmark: takes each packet from a port, swaps its MAC addresses, sends it back. The same
 * port, burst and memory pool as the director's, and no balancing: what is above it is the director's own
 * work.
 *
 *   bench-floor EAL-OPTIONS -- DEVICE
 *
 * SIGUSR1 begins to count; SIGTERM ends, and prints cycles and packets as JSON. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_mbuf.h>

enum { BURST = 32, RING = 1024 };

static volatile sig_atomic_t stop, reset;

static void on_signal(int number)
{
	if (number == SIGUSR1)
		reset = 1;
	else
		stop = 1;
}

int main(int argc, char **argv)
{
	struct rte_eth_conf conf = {0};
	int used = rte_eal_init(argc, argv);
	struct rte_mempool *pool;
	uint64_t busy = 0, packets = 0;
	uint16_t port;

	if (used < 0 || argc - used < 2)
		return EXIT_FAILURE;
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	signal(SIGUSR1, on_signal);
	pool = rte_pktmbuf_pool_create("floor", 32767, 256, 64, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || rte_eth_dev_get_port_by_name(argv[used + 1], &port) != 0 ||
	    rte_eth_dev_configure(port, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(port, 0, RING, SOCKET_ID_ANY, NULL) != 0 || rte_eth_dev_start(port) != 0) {
		fprintf(stderr, "floor: port %s does not come up\n", argv[used + 1]);
		return EXIT_FAILURE;
	}
	printf("{\"ready\":true}\n");
	fflush(stdout);
	while (!stop) {
		struct rte_mbuf *m[BURST];
		uint64_t before = rte_rdtsc();
		uint16_t count = rte_eth_rx_burst(port, 0, m, BURST), sent;

		if (reset) {
			reset = 0;
			busy = packets = 0;
		}
		if (count == 0)
			continue;
		for (uint16_t i = 0; i < count; i++) {
			struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m[i], struct rte_ether_hdr *);
			struct rte_ether_addr from = ether->src_addr;

			ether->src_addr = ether->dst_addr;
			ether->dst_addr = from;
		}
		sent = rte_eth_tx_burst(port, 0, m, count);
		rte_pktmbuf_free_bulk(m + sent, count - sent);
		packets += count;
		busy += rte_rdtsc() - before;
	}
	printf("{\"busy_cycles\":%lu,\"packets\":%lu,\"hz\":%lu}\n", busy, packets, rte_get_tsc_hz());
	fflush(stdout);
	rte_eth_dev_stop(port);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
