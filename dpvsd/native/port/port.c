#include "port.h"

#include <errno.h>
#include <net/if.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>

#include <rte_ether.h>

#include "../log.h"
#include "control_queue.h"

enum { CONTROL_DESCRIPTORS = 512 };

/* Words of dpvs.conf's `rss`, as rte_eth flags. */
static uint64_t rss_flags(const char *words, uint64_t offered)
{
	static const struct {
		const char *word;
		uint64_t flags;
	} kinds[] = {
	    {"all", RTE_ETH_RSS_IP | RTE_ETH_RSS_TCP | RTE_ETH_RSS_UDP},
	    {"ip", RTE_ETH_RSS_IP},
	    {"tcp", RTE_ETH_RSS_TCP},
	    {"udp", RTE_ETH_RSS_UDP},
	    {"sctp", RTE_ETH_RSS_SCTP},
	    {"ether", RTE_ETH_RSS_L2_PAYLOAD},
	    {"port", RTE_ETH_RSS_PORT},
	    {"tunnel", RTE_ETH_RSS_TUNNEL},
	};
	uint64_t flags = 0;

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		const char *at = strstr(words, kinds[i].word);
		size_t length = strlen(kinds[i].word);

		if (at != NULL && (at == words || at[-1] == '|') && (at[length] == '\0' || at[length] == '|'))
			flags |= kinds[i].flags;
	}
	return flags & offered;
}

/* Cards do. Behind virtual devices somebody else spreads, or nobody. */
static bool spreads_by_rss(const struct port *port)
{
	return strncmp(port->setting->device, "net_", 4) != 0 &&
	       strcmp(port->info.driver_name, "net_virtio") != 0;
}

static int setup_rx(struct port *port, uint16_t queue, uint16_t descriptors, int socket,
		    struct rte_mempool *pool, struct error *error)
{
	int done = pool == NULL ? -ENOMEM
				: rte_eth_rx_queue_setup(port->ethdev, queue, descriptors,
							 (unsigned int)socket, NULL, pool);

	if (done != 0)
		return error_set(error, "port", "try another descriptor_number",
				 "port %s: receive queue %u with %u descriptors: %s", port->setting->name,
				 queue, descriptors, strerror(-done));
	return 0;
}

/* With the queue for control traffic if port->control_queue says so. */
static int configure_queues(struct port *port, struct rte_mempool *pools[], struct error *error)
{
	const struct port_setting *s = port->setting;
	struct rte_eth_conf conf = {0};
	uint16_t rxd = s->rx_descriptors, txd = s->tx_descriptors;
	uint16_t rx_queues = (uint16_t)(s->rx_queues + (port->control_queue >= 0));
	int socket, done;

	socket = rte_eth_dev_socket_id(port->ethdev);
	if (socket < 0 || pools[socket] == NULL)
		socket = 0;
	if (s->rx_queues > 1 && s->rss[0]) {
		conf.rx_adv_conf.rss_conf.rss_hf = rss_flags(s->rss, port->info.flow_type_rss_offloads);
		if (conf.rx_adv_conf.rss_conf.rss_hf != 0)
			conf.rxmode.mq_mode = RTE_ETH_MQ_RX_RSS;
	}
	if (s->rx_queues > 1 && conf.rxmode.mq_mode == RTE_ETH_MQ_RX_NONE && spreads_by_rss(port))
		log_line(LOG_WARNING_LEVEL,
			 "port %s: its driver %s has no RSS for \"%s\": the queues behind the first may stay "
			 "empty",
			 s->name, port->info.driver_name, s->rss);
	/* Packets that were cut in pieces leave as chains. Drivers choose by this flag how they send. */
	conf.txmode.offloads = port->info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	if (s->mtu != 0)
		conf.rxmode.mtu = s->mtu;
	done = rte_eth_dev_configure(port->ethdev, rx_queues, s->tx_queues, &conf);
	if (done != 0)
		return error_set(error, "port", "try fewer queues, another mtu or rss",
				 "port %s (%s) refuses %u receive and %u send queues, mtu %u: %s", s->name,
				 s->device, rx_queues, s->tx_queues, s->mtu, strerror(-done));
	rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &rxd, &txd);
	for (uint16_t q = 0; q < s->rx_queues; q++)
		if (setup_rx(port, q, rxd, socket, pools[socket], error) < 0)
			return -1;
	if (port->control_queue >= 0) {
		uint16_t few = RTE_MIN(rxd, (uint16_t)CONTROL_DESCRIPTORS);

		rte_eth_dev_adjust_nb_rx_tx_desc(port->ethdev, &few, NULL);
		if (setup_rx(port, (uint16_t)port->control_queue, few, socket,
			     control_queue_pool(port, pools[socket], socket), error) < 0)
			return -1;
	}
	for (uint16_t q = 0; q < s->tx_queues; q++) {
		done = rte_eth_tx_queue_setup(port->ethdev, q, txd, (unsigned int)socket, NULL);
		if (done != 0)
			return error_set(error, "port", "try another descriptor_number",
					 "port %s: send queue %u with %u descriptors: %s", s->name, q, txd,
					 strerror(-done));
	}
	return 0;
}

static void shares_queues(const struct port *port, const char *why)
{
	log_line(LOG_NOTICE_LEVEL,
		 "port %s: no receive queue for control traffic alone (%s): it shares the workers' queues",
		 port->setting->name, why);
}

/* With the queue for control traffic where it can be had, otherwise without. */
static int configure(struct port *port, struct net_port *net_port, struct rte_mempool *pools[], bool rules,
		     struct error *error)
{
	const struct port_setting *s = port->setting;
	enum control_queue_answer answer = CONTROL_QUEUE_USELESS;
	struct rte_ether_addr mac;
	const char *why = "";
	uint16_t mtu = 0;
	int done;

	done = rte_eth_dev_info_get(port->ethdev, &port->info);
	if (done != 0)
		return error_set(error, "port", NULL, "port %s (%s): its driver does not describe it: %s",
				 s->name, s->device, strerror(-done));
	/* It takes more, without RSS and for cards that have one pair, as its source says. */
	if (strcmp(port->info.driver_name, "net_e1000_em") == 0)
		port->info.max_rx_queues = port->info.max_tx_queues = 1;
	if (s->rx_queues > port->info.max_rx_queues || s->tx_queues > port->info.max_tx_queues)
		return error_set(
		    error, "port",
		    strncmp(s->device, "net_", 4) == 0
			? "configure fewer workers for it, or give the vdev more queues"
			: "write `queue_number` as large as that in its rx and tx blocks, and no more "
			  "workers for it",
		    "port %s (%s) has %u receive and %u send queues; %u and %u are wanted", s->name,
		    s->device, port->info.max_rx_queues, port->info.max_tx_queues, s->rx_queues,
		    s->tx_queues);
	port->control_queue = -1;
	if (rules && (answer = control_queue_ask(port, &why)) == CONTROL_QUEUE_POSSIBLE)
		port->control_queue = s->rx_queues;
	else if (answer == CONTROL_QUEUE_IMPOSSIBLE)
		shares_queues(port, why);
	done = configure_queues(port, pools, error);
	if (done < 0 && port->control_queue >= 0) {
		shares_queues(port, error->text);
		port->control_queue = -1;
		done = configure_queues(port, pools, error);
	}
	if (done < 0)
		return -1;
	rte_eth_macaddr_get(port->ethdev, &mac);
	rte_eth_dev_get_mtu(port->ethdev, &mtu);
	memset(net_port, 0, sizeof(*net_port));
	snprintf(net_port->name, sizeof(net_port->name), "%s", s->name);
	memcpy(net_port->mac, mac.addr_bytes, 6);
	net_port->mtu = s->mtu ? s->mtu : mtu;
	return 0;
}

int ports_open(const struct settings *settings, struct net *net, struct port ports[],
	       struct rte_mempool *pools[], struct error *error)
{
	for (unsigned int i = 0; i < settings->port_count; i++) {
		struct port *port = &ports[i];

		port->setting = &settings->ports[i];
		port->number = (uint16_t)i;
		/* EAL starts without a word when a vdev does not come up: every port is looked up by its
		 * name. */
		if (rte_eth_dev_get_port_by_name(port->setting->device, &port->ethdev) != 0)
			return error_set(
			    error, "port",
			    "a vdev's kernel device must exist in this namespace; a PCI device must be "
			    "bound to a DPDK driver (bin/dpvsd doctor says which)",
			    "port %s: device %s did not come up", port->setting->name, port->setting->device);
		for (unsigned int k = 0; k < i; k++)
			if (ports[k].ethdev == port->ethdev)
				return error_set(error, "port", NULL, "ports %s and %s are both device %s",
						 ports[k].setting->name, port->setting->name,
						 port->setting->device);
		if (configure(port, &net->ports[i], pools, settings->flow_rules, error) < 0)
			return -1;
	}
	return 0;
}

static int start(struct port *port, struct error *error)
{
	int done = rte_eth_dev_start(port->ethdev);

	if (done != 0)
		return error_set(error, "port", NULL, "port %s (%s) does not start: %s", port->setting->name,
				 port->setting->device, strerror(-done));
	return 0;
}

/* The NIC takes none of the rules: a queue that RSS may fill, and nobody empties, must not be. */
static int start_without(struct port *port, struct rte_mempool *pools[], const char *why, struct error *error)
{
	int done;

	shares_queues(port, why);
	control_queue_end(port);
	port->control_queue = -1;
	done = rte_eth_dev_stop(port->ethdev);
	if (done != 0)
		return error_set(error, "port", "set `flow_enable off` in sa_pool",
				 "port %s cannot be configured again: %s", port->setting->name,
				 strerror(-done));
	return configure_queues(port, pools, error) < 0 ? -1 : start(port, error);
}

int ports_start(struct port ports[], unsigned int count, struct rte_mempool *pools[], struct error *error)
{
	for (unsigned int i = 0; i < count; i++) {
		struct port *port = &ports[i];
		const struct port_setting *s = port->setting;
		const char *why = "";

		if (start(port, error) < 0)
			return -1;
		if (port->control_queue >= 0 && control_queue_start(port, &why) < 0 &&
		    start_without(port, pools, why, error) < 0)
			return -1;
		if (s->promiscuous && rte_eth_promiscuous_enable(port->ethdev) != 0)
			log_line(LOG_WARNING_LEVEL, "port %s: its driver has no promiscuous mode", s->name);
		if (s->allmulticast && rte_eth_allmulticast_enable(port->ethdev) != 0)
			log_line(LOG_WARNING_LEVEL, "port %s: its driver cannot take all multicast", s->name);
	}
	return 0;
}

void ports_close(struct port ports[], unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		if (ports[i].setting == NULL)
			continue;
		control_queue_end(&ports[i]);
		rte_eth_dev_stop(ports[i].ethdev);
		rte_eth_dev_close(ports[i].ethdev);
	}
}

/* net_af_packet is always up, whatever its kernel device is: asked for there. A port without one runs. */
static bool kernel_device_runs(const struct port *port)
{
	struct ifreq ifr = {.ifr_ifindex = (int)port->info.if_index};
	static int fd = -1; /* of the master */

	if (port->info.if_index == 0 || strcmp(port->info.driver_name, "net_af_packet") != 0)
		return true;
	if (fd < 0)
		fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return true;
	return ioctl(fd, SIOCGIFNAME, &ifr) == 0 && ioctl(fd, SIOCGIFFLAGS, &ifr) == 0 &&
	       (ifr.ifr_flags & (IFF_UP | IFF_RUNNING)) == (IFF_UP | IFF_RUNNING);
}

uint32_t ports_refresh(struct port ports[], unsigned int count, struct net *net)
{
	uint32_t changed = 0;

	for (unsigned int i = 0; i < count; i++) {
		struct rte_eth_link link;
		uint16_t mtu;
		bool up;

		/* A driver that cannot tell is up. */
		up = !net->ports[i].stopped &&
		     (rte_eth_link_get_nowait(ports[i].ethdev, &link) != 0 ||
		      link.link_status == RTE_ETH_LINK_UP) &&
		     kernel_device_runs(&ports[i]);
		if (up != net->ports[i].up) {
			net->ports[i].up = up;
			changed |= 1u << i;
			log_line(LOG_NOTICE_LEVEL, "port %s is %s", net->ports[i].name, up ? "up" : "down");
		}
		if (rte_eth_dev_get_mtu(ports[i].ethdev, &mtu) == 0 && ports[i].setting->mtu == 0 &&
		    mtu != net->ports[i].mtu) {
			net->ports[i].mtu = mtu;
			changed |= 1u << i;
		}
	}
	return changed;
}
