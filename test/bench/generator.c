/* Traffic for the benchmark: plays all clients and all servers of a director behind one port.
 *
 *   bench-generator EAL-OPTIONS -- [--port DEVICE] --mode udp|oneway|tcp|echo --flows N --seconds S --window
 * W
 *                                  --director MAC --vip A [--vport P] --client A
 *
 * Closed loop: at most `window` packets (tcp: connections) are under way, so that what is measured is what
 * comes back, not what is thrown at a full ring. Clients have addresses from --client on; frames to MAC
 * addresses 02:00:00:00:05:NN are for servers, others for clients. Prints JSON, a line each: connected, warm,
 * result; then stays until SIGTERM, or until its parent is gone. */
#include <arpa/inet.h>
#include <getopt.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_eal.h>
#include <rte_ethdev.h>
#include <rte_ip.h>
#include <rte_mbuf.h>
#include <rte_tcp.h>
#include <rte_udp.h>

enum {
	BURST = 32,
	RING = 2048,
	FRAME = 60,
	FIRST_PORT = 1024,
	PORTS = 60000,
	SIDE_CLIENT = 0x0c,
	SIDE_SERVER = 0x05,
	SYN = 2,
	ACK = 16,
	FIN = 1,
};

enum mode { MODE_UDP, MODE_ONEWAY, MODE_TCP, MODE_ECHO };

static struct {
	enum mode mode;
	uint32_t flows, seconds, window;
	struct rte_ether_addr director;
	uint32_t vip, client;
	uint16_t vport, ethdev;
} o = {.flows = 256, .seconds = 5, .window = 512, .vport = 80};

static struct {
	uint64_t sent, client, server, finished, refused;
} n;

static struct rte_mempool *pool;
static volatile sig_atomic_t stop;
static struct rte_mbuf *out[BURST * 8];
static unsigned int out_count;

static void on_signal(int signal)
{
	(void)signal;
	stop = 1;
}

static void flush(void)
{
	unsigned int sent = 0;

	while (sent < out_count) {
		uint16_t now = rte_eth_tx_burst(o.ethdev, 0, out + sent, (uint16_t)(out_count - sent));

		if (now == 0)
			break;
		sent += now;
	}
	n.sent += sent;
	n.refused += out_count - sent;
	rte_pktmbuf_free_bulk(out + sent, out_count - sent);
	out_count = 0;
}

static void put(struct rte_mbuf *m)
{
	out[out_count++] = m;
	if (out_count == RTE_DIM(out))
		flush();
}

static void template_make(uint8_t template[FRAME])
{
	struct rte_ether_hdr *ether = (struct rte_ether_hdr *)template;
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);

	memset(template, 0, FRAME);
	ether->dst_addr = o.director;
	ether->src_addr = (struct rte_ether_addr){{2, 0, 0, 0, SIDE_CLIENT, 1}};
	ether->ether_type = rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4);
	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16(FRAME - 14);
	ip->time_to_live = 64;
	ip->next_proto_id = o.mode == MODE_TCP ? IPPROTO_TCP : IPPROTO_UDP;
	ip->dst_addr = rte_cpu_to_be_32(o.vip);
	if (o.mode == MODE_TCP)
		((struct rte_tcp_hdr *)(ip + 1))->data_off = 0x50;
	else
		((struct rte_udp_hdr *)(ip + 1))->dgram_len = rte_cpu_to_be_16(FRAME - 34);
}

/* The frame of a flow: addresses and ports from its number, in an order that no prefetcher guesses. */
static struct rte_mbuf *frame_of(uint64_t number, uint8_t tcp_flags)
{
	static uint8_t template[FRAME];
	static bool made;
	uint32_t flow = (uint32_t)(number * 2654435761u % o.flows);
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);
	struct rte_ipv4_hdr *ip;
	uint16_t *ports;

	if (m == NULL)
		return NULL;
	if (!made) {
		template_make(template);
		made = true;
	}
	memcpy(rte_pktmbuf_mtod(m, void *), template, FRAME);
	m->data_len = FRAME;
	m->pkt_len = FRAME;
	ip = rte_pktmbuf_mtod_offset(m, struct rte_ipv4_hdr *, 14);
	ip->src_addr = rte_cpu_to_be_32(o.client + flow / PORTS);
	ip->hdr_checksum = rte_ipv4_cksum(ip);
	ports = (uint16_t *)(ip + 1);
	ports[0] = rte_cpu_to_be_16((uint16_t)(FIRST_PORT + flow % PORTS));
	ports[1] = rte_cpu_to_be_16(o.vport);
	if (o.mode == MODE_TCP)
		((struct rte_tcp_hdr *)ports)->tcp_flags = tcp_flags;
	else
		((struct rte_udp_hdr *)ports)
		    ->dgram_cksum = 0x1234; /* a director updates it and looks no further */
	return m;
}

/* Sends a received frame back to where it came from. */
static void turn_round(struct rte_mbuf *m, uint8_t tcp_flags)
{
	struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, struct rte_ether_hdr *);
	struct rte_ipv4_hdr *ip = (struct rte_ipv4_hdr *)(ether + 1);
	uint16_t *ports = (uint16_t *)((uint8_t *)ip + (ip->version_ihl & 15) * 4), port = ports[0];
	uint32_t address = ip->src_addr;

	ether->src_addr = ether->dst_addr;
	ether->dst_addr = o.director;
	ip->src_addr = ip->dst_addr;
	ip->dst_addr = address;
	ports[0] = ports[1];
	ports[1] = port;
	if (ip->next_proto_id == IPPROTO_TCP)
		((struct rte_tcp_hdr *)ports)->tcp_flags = tcp_flags;
	put(m);
}

static uint8_t tcp_flags_of(const struct rte_ipv4_hdr *ip)
{
	if (ip->next_proto_id != IPPROTO_TCP)
		return 0;
	return ((const struct rte_tcp_hdr *)((const uint8_t *)ip + (ip->version_ihl & 15) * 4))->tcp_flags;
}

/* A TCP client whose connection is answered finishes it at once. @return connections that ended */
static unsigned int on_tcp_client(struct rte_mbuf *m, uint8_t flags)
{
	if (flags & SYN) {
		struct rte_mbuf *copy = rte_pktmbuf_copy(m, pool, 0, UINT32_MAX);

		turn_round(m, ACK);
		if (copy != NULL)
			turn_round(copy, FIN | ACK);
		return 0;
	}
	if (flags & FIN) {
		turn_round(m, ACK);
		n.finished++;
		return 1;
	}
	rte_pktmbuf_free(m);
	return 0;
}

/* @return tokens that came back: packets or connections that are done */
static unsigned int on_frame(struct rte_mbuf *m)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct rte_ipv4_hdr *ip = (const struct rte_ipv4_hdr *)(ether + 1);

	if (ether->ether_type != rte_cpu_to_be_16(RTE_ETHER_TYPE_IPV4)) {
		rte_pktmbuf_free(m);
		return 0;
	}
	if (o.mode == MODE_ECHO || o.mode == MODE_ONEWAY) {
		n.client++;
		rte_pktmbuf_free(m);
		return 1;
	}
	if (ether->dst_addr.addr_bytes[4] == SIDE_SERVER) {
		uint8_t flags = tcp_flags_of(ip);

		n.server++;
		if (o.mode == MODE_UDP)
			turn_round(m, 0);
		else if (flags & SYN)
			turn_round(m, SYN | ACK);
		else if (flags & FIN)
			turn_round(m, FIN | ACK);
		else
			rte_pktmbuf_free(m);
		return 0;
	}
	n.client++;
	if (o.mode == MODE_TCP)
		return on_tcp_client(m, tcp_flags_of(ip));
	rte_pktmbuf_free(m);
	return 1;
}

static void run(void)
{
	uint64_t hz = rte_get_tsc_hz(), start = rte_rdtsc(), end = UINT64_MAX, last = start, from = start;
	uint64_t number = 0;
	int64_t tokens = o.window;
	bool warm = false;

	while (!stop) {
		struct rte_mbuf *in[BURST];
		uint64_t now = rte_rdtsc();
		uint16_t count = rte_eth_rx_burst(o.ethdev, 0, in, BURST);

		for (uint16_t i = 0; i < count; i++)
			tokens += on_frame(in[i]);
		if (count != 0)
			last = now;
		/* Tokens of lost packets come back when nothing moves any more. */
		if (now - last > hz / 50) {
			tokens = o.window;
			last = now;
		}
		for (unsigned int i = 0; i < BURST && tokens > 0; i++) {
			struct rte_mbuf *m = frame_of(number, SYN);

			if (m == NULL)
				break;
			number++;
			tokens--;
			put(m);
		}
		flush();
		/* Every flow has been seen, and one second has gone, before anything counts. */
		if (!warm && now - start > hz && (o.mode == MODE_TCP || number > 2ull * o.flows)) {
			warm = true;
			memset(&n, 0, sizeof(n));
			from = now;
			end = now + o.seconds * hz;
			printf("{\"warm\":true}\n");
			fflush(stdout);
		}
		if (now >= end || now - start > 60 * hz)
			break;
	}
	printf("{\"seconds\":%.3f,\"sent\":%lu,\"client\":%lu,\"server\":%lu,\"finished\":%lu,\"refused\":%"
	       "lu}\n",
	       (double)(rte_rdtsc() - from) / (double)hz, n.sent, n.client, n.server, n.finished, n.refused);
	fflush(stdout);
}

static uint32_t address(const char *text)
{
	struct in_addr a;

	if (inet_pton(AF_INET, text, &a) != 1)
		rte_exit(EXIT_FAILURE, "generator: %s is no IPv4 address\n", text);
	return ntohl(a.s_addr);
}

static enum mode mode_named(const char *name)
{
	static const char *const names[] = {"udp", "oneway", "tcp", "echo"};

	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (strcmp(name, names[i]) == 0)
			return (enum mode)i;
	rte_exit(EXIT_FAILURE, "generator: no mode %s\n", name);
}

static void options(int argc, char **argv, const char **device)
{
	static const struct option names[] = {
	    {"port", 1, NULL, 'p'},    {"mode", 1, NULL, 'm'},	 {"flows", 1, NULL, 'f'},
	    {"seconds", 1, NULL, 's'}, {"window", 1, NULL, 'w'}, {"director", 1, NULL, 'd'},
	    {"vip", 1, NULL, 'v'},     {"vport", 1, NULL, 'q'},	 {"client", 1, NULL, 'c'},
	    {NULL, 0, NULL, 0},
	};
	int option;

	while ((option = getopt_long(argc, argv, "", names, NULL)) != -1) {
		switch (option) {
		case 'p':
			*device = optarg;
			break;
		case 'm':
			o.mode = mode_named(optarg);
			break;
		case 'f':
			o.flows = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 's':
			o.seconds = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'w':
			o.window = (uint32_t)strtoul(optarg, NULL, 10);
			break;
		case 'd':
			if (rte_ether_unformat_addr(optarg, &o.director) != 0)
				rte_exit(EXIT_FAILURE, "generator: %s is no MAC address\n", optarg);
			break;
		case 'v':
			o.vip = address(optarg);
			break;
		case 'q':
			o.vport = (uint16_t)strtoul(optarg, NULL, 10);
			break;
		case 'c':
			o.client = address(optarg);
			break;
		default:
			rte_exit(EXIT_FAILURE,
				 "generator: its options stand at the head of test/bench/generator.c\n");
		}
	}
}

int main(int argc, char **argv)
{
	struct rte_eth_conf conf = {0};
	const char *device = "net_memif0";
	pid_t parent = getppid();
	int used = rte_eal_init(argc, argv);
	struct rte_eth_link link = {0};

	if (used < 0)
		return EXIT_FAILURE;
	options(argc - used, argv + used, &device);
	signal(SIGTERM, on_signal);
	signal(SIGINT, on_signal);
	pool = rte_pktmbuf_pool_create("generator", 32767, 256, 0, RTE_MBUF_DEFAULT_BUF_SIZE, SOCKET_ID_ANY);
	if (pool == NULL || rte_eth_dev_get_port_by_name(device, &o.ethdev) != 0 ||
	    rte_eth_dev_configure(o.ethdev, 1, 1, &conf) != 0 ||
	    rte_eth_rx_queue_setup(o.ethdev, 0, RING, SOCKET_ID_ANY, NULL, pool) != 0 ||
	    rte_eth_tx_queue_setup(o.ethdev, 0, RING, SOCKET_ID_ANY, NULL) != 0 ||
	    rte_eth_dev_start(o.ethdev) != 0) {
		fprintf(stderr, "generator: port %s does not come up\n", device);
		return EXIT_FAILURE;
	}
	for (unsigned int i = 0; i < 200 && link.link_status != RTE_ETH_LINK_UP && !stop; i++) {
		if (rte_eth_link_get_nowait(o.ethdev, &link) != 0)
			break;
		rte_delay_us_sleep(50000);
	}
	if (link.link_status != RTE_ETH_LINK_UP) {
		fprintf(stderr, "generator: the other side of %s did not come\n", device);
		return EXIT_FAILURE;
	}
	printf("{\"connected\":true}\n");
	fflush(stdout);
	run();
	/* Goes only after the other side has: a memif whose peer leaves takes its memory away, even from
	 * under a burst. */
	while (!stop && getppid() == parent)
		rte_delay_us_sleep(50000);
	rte_eth_dev_stop(o.ethdev);
	rte_eal_cleanup();
	return EXIT_SUCCESS;
}
