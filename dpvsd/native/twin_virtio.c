/* Twins by virtio-user: the kernel's vhost threads carry the packets between a TAP and rings in our memory,
 * so that the twins' thread makes no system call for each of them. The TAP itself is the one of
 * twin_device.c, and outlives the process as that does. */
#include "twin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <stdio.h>
#include <stdlib.h>
#include <dirent.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

#include <rte_dev.h>

#include "log.h"

enum {
	/* Of each ring; what is sent may lie there until others follow it. */
	VIRTIO_DESCRIPTORS = 256,
	VIRTIO_CACHE = 0, /* the twins' thread is none of EAL's */
	/* For room in a ring, a millisecond in all: others wait meanwhile. */
	SEND_WAIT_US = 50,
	SEND_WAITS = 10,
};

#define VHOST_NET "/dev/vhost-net"

/* The driver opens the TAP by itself and keeps the descriptor to itself; the carrier is switched by it. */
static int tap_descriptor(const char *name)
{
	DIR *folder = opendir("/proc/self/fd");
	struct dirent *entry;
	int found = -1;

	while (folder != NULL && found < 0 && (entry = readdir(folder)) != NULL) {
		struct ifreq ifr = {0};
		char target[32] = {0};

		if (readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) < 0 ||
		    strcmp(target, "/dev/net/tun") != 0)
			continue;
		if (ioctl(atoi(entry->d_name), TUNGETIFF, &ifr) == 0 &&
		    strncmp(ifr.ifr_name, name, sizeof(ifr.ifr_name)) == 0)
			found = fcntl(atoi(entry->d_name), F_DUPFD_CLOEXEC, 3);
	}
	if (folder != NULL)
		closedir(folder);
	return found;
}

static int configure(struct twin *twin, uint16_t mtu, struct rte_mempool *pool)
{
	struct rte_eth_conf conf = {.intr_conf.rxq = 1, .rxmode.mtu = mtu};
	uint16_t queues = (uint16_t)twin->queues;
	struct rte_eth_dev_info info;
	int done = rte_eth_dev_info_get(twin->ethdev, &info);

	if (done != 0)
		return done;
	conf.txmode.offloads = info.tx_offload_capa & RTE_ETH_TX_OFFLOAD_MULTI_SEGS;
	done = rte_eth_dev_configure(twin->ethdev, queues, queues, &conf);
	for (uint16_t q = 0; done == 0 && q < queues; q++) {
		done = rte_eth_rx_queue_setup(twin->ethdev, q, VIRTIO_DESCRIPTORS, SOCKET_ID_ANY, NULL, pool);
		if (done == 0)
			done = rte_eth_tx_queue_setup(twin->ethdev, q, VIRTIO_DESCRIPTORS, SOCKET_ID_ANY,
						      NULL);
	}
	return done != 0 ? done : rte_eth_dev_start(twin->ethdev);
}

int twin_virtio_open(struct twin *twin, const struct net_port *port, struct rte_mempool *pool,
		     struct error *error)
{
	char name[32], arguments[256];
	unsigned int queues = twin->queues;
	int done;

	if (access(VHOST_NET, R_OK | W_OK) < 0)
		return error_set(
		    error, "twin",
		    errno == ENOENT ? "load the module (modprobe vhost_net), or set `kni_kind tap`"
				    : "start as root, or set `kni_kind tap`",
		    "kernel twin %s by virtio-user: " VHOST_NET ": %s", twin->name, strerror(errno));
	/* The driver takes the device that is there now, by its name. */
	for (unsigned int q = 0; q < queues; q++)
		close(twin->fds[q]);
	twin->tap_fd = -1;
	snprintf(name, sizeof(name), "net_virtio_user_twin%u", twin->port);
	snprintf(arguments, sizeof(arguments),
		 "path=" VHOST_NET ",iface=%s,queues=%u,queue_size=%u,mac=%02x:%02x:%02x:%02x:%02x:%02x",
		 twin->name, queues, VIRTIO_DESCRIPTORS, port->mac[0], port->mac[1], port->mac[2],
		 port->mac[3], port->mac[4], port->mac[5]);
	done = rte_eal_hotplug_add("vdev", name, arguments);
	if (done == 0)
		done = rte_eth_dev_get_port_by_name(name, &twin->ethdev);
	if (done == 0)
		done = configure(twin, port->mtu, pool);
	if (done != 0)
		return error_set(error, "twin",
				 "the lines of virtio_user above say more; or set `kni_kind tap`",
				 "kernel twin %s by virtio-user: %s", twin->name, strerror(-done));
	twin->virtio = true;
	twin->tap_fd = tap_descriptor(twin->name);
	for (unsigned int q = 0; q < queues; q++)
		twin->fds[q] = rte_eth_dev_rx_intr_ctl_q_get_fd(twin->ethdev, (uint16_t)q);
	if (twin->tap_fd < 0 || twin->fds[0] < 0)
		return error_set(error, "twin", "set `kni_kind tap`",
				 "kernel twin %s by virtio-user: the driver has no %s", twin->name,
				 twin->tap_fd < 0 ? "TAP device" : "receive interrupts");
	return 0;
}

void twin_virtio_close(struct twin *twin)
{
	close(twin->tap_fd);
	rte_eth_dev_stop(twin->ethdev);
	rte_eth_dev_close(twin->ethdev);
}

struct rte_mempool *twin_virtio_pool(const struct settings *settings, struct rte_mempool *like,
				     unsigned int waiting)
{
	unsigned int twins = 0;

	for (unsigned int i = 0; i < settings->port_count; i++)
		twins += settings->ports[i].twin[0] != '\0';
	return rte_pktmbuf_pool_create("twin-virtio", twins * TWIN_QUEUES * VIRTIO_DESCRIPTORS + waiting,
				       VIRTIO_CACHE, rte_pktmbuf_priv_size(like),
				       rte_pktmbuf_data_room_size(like), SOCKET_ID_ANY);
}

unsigned int twin_virtio_held(void)
{
	return VIRTIO_DESCRIPTORS;
}

unsigned int twin_virtio_send(const struct twin *twin, enum twin_class class, struct rte_mbuf *mbufs[],
			      unsigned int count)
{
	/* Rings of their own: what fills that of bulk leaves control's alone. */
	uint16_t queue = class == TWIN_CONTROL ? (uint16_t)(twin->queues - 1) : 0;
	const struct timespec moment = {.tv_nsec = SEND_WAIT_US * 1000};
	unsigned int sent = rte_eth_tx_burst(twin->ethdev, queue, mbufs, (uint16_t)count);

	/* The kernel's thread may need the CPU that we are on to empty the ring. */
	for (unsigned int waits = 0; sent < count && waits < SEND_WAITS; waits++) {
		nanosleep(&moment, NULL);
		sent += rte_eth_tx_burst(twin->ethdev, queue, &mbufs[sent], (uint16_t)(count - sent));
	}
	for (unsigned int i = sent; i < count; i++)
		rte_pktmbuf_free(mbufs[i]);
	return sent;
}

unsigned int twin_virtio_receive(const struct twin *twin, unsigned int queue, struct rte_mbuf *mbufs[],
				 unsigned int room)
{
	return rte_eth_rx_burst(twin->ethdev, (uint16_t)queue, mbufs, (uint16_t)room);
}

void twin_virtio_arm(const struct twin *twin, bool armed)
{
	for (unsigned int q = 0; q < twin->queues; q++) {
		if (armed)
			rte_eth_dev_rx_intr_enable(twin->ethdev, (uint16_t)q);
		else
			rte_eth_dev_rx_intr_disable(twin->ethdev, (uint16_t)q);
	}
}
