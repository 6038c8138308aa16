/* What control asks of ports, threads and the process. */
#include <stdio.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_malloc.h>

#include "log.h"
#include "master.h"

static const struct {
	uint64_t flag;
	const char *name;
} rx_offloads[] =
    {
	{RTE_ETH_RX_OFFLOAD_IPV4_CKSUM, "OF_RX_IP_CSUM"},
	{RTE_ETH_RX_OFFLOAD_TCP_CKSUM, "OF_RX_TCP_CSUM"},
	{RTE_ETH_RX_OFFLOAD_UDP_CKSUM, "OF_RX_UDP_CSUM"},
	{RTE_ETH_RX_OFFLOAD_VLAN_STRIP, "OF_RX_VLAN_STRIP"},
},
  tx_offloads[] = {
      {RTE_ETH_TX_OFFLOAD_IPV4_CKSUM, "OF_TX_IP_CSUM"},
      {RTE_ETH_TX_OFFLOAD_TCP_CKSUM, "OF_TX_TCP_CSUM"},
      {RTE_ETH_TX_OFFLOAD_UDP_CKSUM, "OF_TX_UDP_CSUM"},
      {RTE_ETH_TX_OFFLOAD_VLAN_INSERT, "OF_TX_VLAN_INSERT"},
      {RTE_ETH_TX_OFFLOAD_MBUF_FAST_FREE, "OF_TX_FAST_FREE"},
};

static void counters_now(const struct master *master, uint16_t port, struct link_counters *counters)
{
	struct rte_eth_stats stats = {0};

	memset(counters, 0, sizeof(*counters));
	if (rte_eth_stats_get(master->ports[port].ethdev, &stats) != 0)
		return;
	counters->rx_packets = stats.ipackets;
	counters->tx_packets = stats.opackets;
	counters->rx_bytes = stats.ibytes;
	counters->tx_bytes = stats.obytes;
	counters->rx_missed = stats.imissed;
	counters->rx_errors = stats.ierrors;
	counters->tx_errors = stats.oerrors;
	counters->rx_no_buffer = stats.rx_nombuf;
	for (unsigned int i = 0; i < master->settings.worker_count; i++)
		counters->tx_dropped += master->workers[i].send_buffers[port].dropped;
}

static bool link_info(void *context, uint16_t port, struct link_info *info)
{
	struct master *master = context;
	const struct port *p = &master->ports[port];
	struct rte_eth_link link = {0};
	const uint64_t *now;
	uint64_t *shown;
	const uint64_t *base;

	if (port >= master->settings.port_count)
		return false;
	memset(info, 0, sizeof(*info));
	info->rx_queues = p->setting->rx_queues;
	info->tx_queues = p->setting->tx_queues;
	info->socket = rte_eth_dev_socket_id(p->ethdev);
	if (rte_eth_link_get_nowait(p->ethdev, &link) == 0) {
		info->speed = link.link_speed == RTE_ETH_SPEED_NUM_UNKNOWN ? 0 : link.link_speed;
		info->full_duplex = link.link_duplex == RTE_ETH_LINK_FULL_DUPLEX;
		info->autonegotiation = link.link_autoneg == RTE_ETH_LINK_AUTONEG;
	}
	info->forward2kni = master->net.ports[port].mirrored;
	info->promiscuous = rte_eth_promiscuous_get(p->ethdev) == 1;
	info->allmulticast = rte_eth_allmulticast_get(p->ethdev) == 1;
	snprintf(info->driver, sizeof(info->driver), "%s", p->info.driver_name);
	snprintf(info->bus, sizeof(info->bus), "%s", p->setting->device);
	for (unsigned int i = 0; i < RTE_DIM(rx_offloads); i++)
		if (p->info.rx_offload_capa & rx_offloads[i].flag)
			snprintf(info->offload[info->offloads++], sizeof(info->offload[0]), "%s",
				 rx_offloads[i].name);
	for (unsigned int i = 0; i < RTE_DIM(tx_offloads); i++)
		if (p->info.tx_offload_capa & tx_offloads[i].flag)
			snprintf(info->offload[info->offloads++], sizeof(info->offload[0]), "%s",
				 tx_offloads[i].name);
	if (master->twins.twins[port].name[0]) {
		snprintf(info->twin, sizeof(info->twin), "%s", master->twins.twins[port].name);
		snprintf(info->twin_kind, sizeof(info->twin_kind), "%s",
			 twin_kind_name(&master->twins.twins[port]));
	}
	counters_now(master, port, &info->counters);
	now = (const uint64_t *)&info->counters;
	shown = (uint64_t *)&info->counters;
	base = (const uint64_t *)&master->link_base[port];
	for (unsigned int i = 0; i < sizeof(struct link_counters) / sizeof(uint64_t); i++)
		shown[i] = now[i] - base[i];
	return true;
}

static void link_zero(void *context, uint16_t port)
{
	struct master *master = context;

	if (port < master->settings.port_count)
		counters_now(master, port, &master->link_base[port]);
}

/* What is known beforehand to be refused. */
static int link_check(const struct master *master, uint16_t port, const struct link_change *change,
		      struct error *error)
{
	const struct rte_eth_dev_info *device = &master->ports[port].info;
	const char *name = master->net.ports[port].name;

	if (change->what & LINK_LLDP)
		return error_set(error, "unsupported", "run lldpd on the kernel twin",
				 "link %s: lldp is not part of this version", name);
	if (change->what & LINK_FORWARD2KNI && change->forward2kni && !master->net.ports[port].has_twin)
		return error_set(error, "unsupported", "give it one: `kni on` in dpvs.conf",
				 "%s has no twin in the kernel", name);
	if (change->what & LINK_MTU && (change->mtu < device->min_mtu || change->mtu > device->max_mtu))
		return error_set(error, "invalid", NULL, "link %s: mtu %u is outside %u-%u", name,
				 change->mtu, device->min_mtu, device->max_mtu);
	return 0;
}

int master_link_set(struct master *master, uint16_t port, const struct link_change *change,
		    struct error *error)
{
	uint16_t ethdev = master->ports[port].ethdev;
	struct net_port *net_port = &master->net.ports[port];
	int done = 0;

	if (link_check(master, port, change, error) < 0)
		return -1;
	if (change->what & LINK_PROMISCUOUS)
		done = change->promiscuous ? rte_eth_promiscuous_enable(ethdev)
					   : rte_eth_promiscuous_disable(ethdev);
	if (done == 0 && change->what & LINK_ALLMULTICAST)
		done = change->allmulticast ? rte_eth_allmulticast_enable(ethdev)
					    : rte_eth_allmulticast_disable(ethdev);
	if (done == 0 && change->what & LINK_UP) {
		done = change->up ? rte_eth_dev_set_link_up(ethdev) : rte_eth_dev_set_link_down(ethdev);
		/* Where the driver cannot, nothing is sent from the port any more, and the twin goes down. */
		if (done == -ENOTSUP)
			done = 0;
		if (done == 0) {
			net_port->stopped = !change->up;
			master->link_checked_ms = 0;
		}
	}
	if (done == 0 && change->what & LINK_FORWARD2KNI)
		net_port->mirrored = change->forward2kni;
	if (done == 0 && change->what & LINK_MAC) {
		struct rte_ether_addr mac;

		memcpy(mac.addr_bytes, change->mac, 6);
		done = rte_eth_dev_default_mac_addr_set(ethdev, &mac);
		if (done == 0)
			memcpy(net_port->mac, change->mac, 6);
	}
	if (done == 0 && change->what & LINK_MTU) {
		done = rte_eth_dev_set_mtu(ethdev, change->mtu);
		if (done == 0)
			net_port->mtu = change->mtu;
	}
	if (done != 0)
		return error_set(error, "unsupported", NULL, "link %s: driver %s refuses: %s", net_port->name,
				 master->ports[port].info.driver_name, strerror(-done));
	if (change->what & (LINK_MAC | LINK_MTU))
		net_port_changed(master->stack, port, clock_ms());
	return 0;
}

/* Each change by itself. */
static int link_set(void *context, uint16_t port, const struct link_change *change, bool check,
		    struct error *error)
{
	struct master *master = context;

	if (check)
		return link_check(master, port, change, error);
	if (master_link_set(master, port, change, error) < 0)
		return -1;
	if (master->twins.twins[port].queues != 0)
		twin_dress(&master->twins.twins[port], &master->net.ports[port], change->what);
	return 0;
}

static bool worker_info(void *context, uint32_t position, struct worker_info *info)
{
	struct master *master = context;
	const struct worker *worker = &master->workers[position];

	memset(info, 0, sizeof(*info));
	if (position == master->settings.worker_count) {
		info->number = position;
		info->lcore = rte_get_main_lcore();
		info->cpu = (uint32_t)rte_lcore_to_cpu_id((int)info->lcore);
		info->socket = (int32_t)rte_lcore_to_socket_id(info->lcore);
		snprintf(info->name, sizeof(info->name), "master");
		info->role = "master";
		return true;
	}
	if (position > master->settings.worker_count)
		return false;
	info->number = position;
	info->lcore = worker->setting->lcore;
	info->cpu = (uint32_t)rte_lcore_to_cpu_id((int)info->lcore);
	info->socket = (int32_t)rte_lcore_to_socket_id(info->lcore);
	snprintf(info->name, sizeof(info->name), "%s", worker->setting->name);
	info->role = "worker";
	info->loops = worker->counters.loops;
	info->busy_loops = worker->counters.busy_loops;
	info->sleeps = worker->counters.sleeps;
	info->rx_packets = worker->counters.rx_packets;
	info->tx_packets = worker->counters.tx_packets;
	info->cycles = worker->counters.cycles;
	info->busy_cycles = worker->counters.busy_cycles;
	info->bursts_full = worker->counters.full_bursts;
	for (unsigned int i = 0; i < worker->setting->queue_count && info->queues < RTE_DIM(info->queue);
	     i++) {
		const struct worker_queue *queue = &worker->setting->queues[i];
		char *text = info->queue[info->queues++];
		int length = snprintf(text, sizeof(info->queue[0]),
				      "%s:", master->net.ports[queue->port].name);

		if (queue->rx >= 0)
			length += snprintf(text + length, sizeof(info->queue[0]) - (size_t)length, "rx%d",
					   queue->rx);
		if (queue->tx >= 0)
			snprintf(text + length, sizeof(info->queue[0]) - (size_t)length, "%stx%d",
				 queue->rx >= 0 ? "," : "", queue->tx);
	}
	return true;
}

/* Packet pools and the EAL's heap; control adds tables and reservations. */
static bool memory_info(void *context, uint32_t position, struct memory_info *info)
{
	struct master *master = context;
	struct rte_malloc_socket_stats heap;

	memset(info, 0, sizeof(*info));
	for (unsigned int i = 0; i < RTE_DIM(master->pools); i++) {
		if (master->pools[i] == NULL || (i > 0 && master->pools[i] == master->pools[0]))
			continue;
		if (position-- != 0)
			continue;
		snprintf(info->name, sizeof(info->name), "pktpool-%u", i);
		info->size = master->pools[i]->size;
		info->used = rte_mempool_in_use_count(master->pools[i]);
		info->unit = "objects";
		return true;
	}
	if (position != 0 || rte_malloc_get_socket_stats(0, &heap) != 0)
		return false;
	snprintf(info->name, sizeof(info->name), "heap-0");
	info->size = heap.heap_totalsz_bytes;
	info->used = heap.heap_allocsz_bytes;
	info->unit = "bytes";
	return true;
}

/* Time-outs run in the director, where `ipvsadm --set` changes them too: the list has what runs. */
static void setting_value(struct master *master, const struct setting_value *v,
			  char value[SETTING_VALUE_SIZE])
{
	const uint32_t *timeout = settings_timeout(&master->director.timeouts, v->name);

	if (timeout != NULL)
		snprintf(value, SETTING_VALUE_SIZE, "%u", *timeout);
	else
		snprintf(value, SETTING_VALUE_SIZE, "%s", v->value);
}

static bool setting_info(void *context, uint32_t position, char name[SETTING_NAME_SIZE],
			 char value[SETTING_VALUE_SIZE])
{
	struct master *master = context;
	const struct settings *s = &master->settings;

	if (position >= s->value_count)
		return false;
	snprintf(name, SETTING_NAME_SIZE, "%s", s->values[position].name);
	setting_value(master, &s->values[position], value);
	return true;
}

static bool setting_get(void *context, const char *name, char value[SETTING_VALUE_SIZE])
{
	struct master *master = context;
	const struct settings *s = &master->settings;

	for (unsigned int i = 0; i < s->value_count; i++) {
		if (strcmp(s->values[i].name, name) != 0)
			continue;
		setting_value(master, &s->values[i], value);
		return true;
	}
	return false;
}

static int setting_set(void *context, const char *name, const char *value, bool check, struct error *error)
{
	struct master *master = context;
	struct settings *s = &master->settings;

	if (check) {
		static struct settings trial;
		int done;

		trial = *s;
		done = settings_change(&trial, name, value, error);
		/* The level of the log is the one item that lives elsewhere. */
		if (done == 0 && strcmp(name, "log_level") == 0) {
			char before[SETTING_VALUE_SIZE];

			log_level_set(setting_get(master, name, before) ? before : "info");
		}
		return done;
	}
	if (settings_change(s, name, value, error) < 0)
		return -1;
	if (settings_timeout(&master->director.timeouts, name) != NULL)
		*settings_timeout(&master->director.timeouts, name) = *settings_timeout(&s->timeouts, name);
	net_reachable_set(master->stack, s->neighbour_timeout * 1000);
	master->director.expire_quiescent = s->expire_quiescent;
	master->director.drop_udp_unknown = s->drop_udp_unknown;
	master->director.drop_tcp_unknown = s->drop_tcp_unknown;
	master->net.forwarding4 = s->forwarding4;
	master->net.forwarding6 = s->forwarding6;
	master->net.ttl = (uint8_t)s->ttl;
	log_line(LOG_NOTICE_LEVEL, "setting %s is now %s", name, value);
	return 0;
}

static void write_log(void *context, int priority, const char *text)
{
	(void)context;
	log_line((enum log_level)priority, "%s", text);
}

void master_host(struct master *master, struct control_host *host)
{
	memset(host, 0, sizeof(*host));
	host->context = master;
	host->link_info = link_info;
	host->link_set = link_set;
	host->link_zero = link_zero;
	host->worker_info = worker_info;
	host->memory_info = memory_info;
	host->setting_info = setting_info;
	host->setting_get = setting_get;
	host->setting_set = setting_set;
	host->log = write_log;
	host->master_counters = &master->counters;
	master_host_twins(host);
}
