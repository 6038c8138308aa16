#include "twin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <netinet/in.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/ioctl.h>
#include <sys/uio.h>
#include <unistd.h>

#include <rte_ether.h>

#include "log.h"
#include "worker.h"

enum {
	TWIN_BURST = 64,
	TWIN_SEGMENTS = 8,
	TWIN_WAIT_MS = 1000,
	PORT_BGP = 179,
	PORT_BFD = 3784,
	PORT_BFD_ECHO = 3785,
	PORT_BFD_MULTIHOP = 4784,
	PROTOCOL_VRRP = 112,
	PROTOCOL_OSPF = 89,
	PROTOCOL_IGMP = 2,
	PROTOCOL_PIM = 103,
};

/* ---- classes ---- */

static bool control_ports(uint8_t protocol, const uint8_t *l4, unsigned int length)
{
	unsigned int source, destination;

	if (length < 4)
		return false;
	source = (unsigned int)(l4[0] << 8 | l4[1]);
	destination = (unsigned int)(l4[2] << 8 | l4[3]);
	if (protocol == IPPROTO_TCP)
		return source == PORT_BGP || destination == PORT_BGP;
	return destination == PORT_BFD || destination == PORT_BFD_ECHO || destination == PORT_BFD_MULTIHOP;
}

static bool control_protocol(uint8_t protocol, const uint8_t *l4, unsigned int length)
{
	switch (protocol) {
	case PROTOCOL_VRRP:
	case PROTOCOL_OSPF:
	case PROTOCOL_IGMP:
	case PROTOCOL_PIM:
	case IPPROTO_AH: /* VRRP with authentication */
		return true;
	case IPPROTO_TCP:
	case IPPROTO_UDP:
		return control_ports(protocol, l4, length);
	case IPPROTO_ICMPV6: /* ND and MLD, not echo */
		return length >= 1 && l4[0] >= 130 && l4[0] <= 143;
	}
	return false;
}

enum twin_class twin_classify(const uint8_t *frame, unsigned int length)
{
	const uint8_t *l3 = frame + RTE_ETHER_HDR_LEN;
	unsigned int type, header;

	if (length < RTE_ETHER_HDR_LEN + 20)
		return TWIN_BULK;
	type = (unsigned int)(frame[12] << 8 | frame[13]);
	length -= RTE_ETHER_HDR_LEN;
	switch (type) {
	case RTE_ETHER_TYPE_ARP:
	case RTE_ETHER_TYPE_SLOW:
	case RTE_ETHER_TYPE_LLDP:
		return TWIN_CONTROL;
	case RTE_ETHER_TYPE_IPV4:
		header = (l3[0] & 15) * 4u;
		if (header > length)
			return TWIN_BULK;
		return control_protocol(l3[9], l3 + header, length - header) ? TWIN_CONTROL : TWIN_BULK;
	case RTE_ETHER_TYPE_IPV6:
		if (length < 40)
			return TWIN_BULK;
		/* MLD comes behind a hop-by-hop header (RFC 3810 5). */
		if (l3[6] == IPPROTO_HOPOPTS && length >= 48)
			return control_protocol(l3[40], l3 + 48, length - 48) ? TWIN_CONTROL : TWIN_BULK;
		return control_protocol(l3[6], l3 + 40, length - 40) ? TWIN_CONTROL : TWIN_BULK;
	}
	return TWIN_BULK;
}

/* ---- devices ---- */

/* One question to the kernel about a device. */
static int ask(unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), done, reason;

	if (fd < 0)
		return -1;
	done = ioctl(fd, request, ifr);
	reason = errno;
	close(fd);
	errno = reason;
	return done;
}

static void set_up(const char *name, bool up)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ask(SIOCGIFFLAGS, &ifr) < 0)
		return;
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags &= ~IFF_UP;
	if (ask(SIOCSIFFLAGS, &ifr) < 0)
		log_line(LOG_WARNING_LEVEL, "twin %s: %s", name, strerror(errno));
}

static void set_identity(const char *name, const struct net_port *net_port)
{
	struct ifreq ifr = {0};

	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ask(SIOCGIFHWADDR, &ifr) == 0 && memcmp(ifr.ifr_hwaddr.sa_data, net_port->mac, 6) != 0) {
		ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
		memcpy(ifr.ifr_hwaddr.sa_data, net_port->mac, 6);
		if (ask(SIOCSIFHWADDR, &ifr) < 0)
			log_line(LOG_WARNING_LEVEL, "twin %s: MAC address: %s", name, strerror(errno));
	}
	memset(&ifr, 0, sizeof(ifr));
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	ifr.ifr_mtu = net_port->mtu;
	if (ask(SIOCSIFMTU, &ifr) < 0)
		log_line(LOG_WARNING_LEVEL, "twin %s: mtu %u: %s", name, net_port->mtu, strerror(errno));
}

static int tap_open(const char *name, bool multi_queue)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (multi_queue ? IFF_MULTI_QUEUE : 0))};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	snprintf(ifr.ifr_name, sizeof(ifr.ifr_name), "%s", name);
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0) {
		int reason = errno;

		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

static int twin_open(struct twin *twin, struct error *error)
{
	/* A TAP that somebody made without multi_queue is taken as it is. */
	bool multi_queue = true;

	for (twin->queues = 0; twin->queues < TWIN_QUEUES; twin->queues++) {
		int fd = tap_open(twin->name, multi_queue);

		if (fd < 0 && errno == EINVAL && twin->queues == 0) {
			multi_queue = false;
			fd = tap_open(twin->name, multi_queue);
		}
		if (fd < 0)
			return error_set(
			    error, "twin",
			    errno == ENOENT  ? "load the tun module (modprobe tun), or set `kni off`"
			    : errno == EBUSY ? "another process holds it: end it, or choose another kni_name"
					     : "start as root, or set `kni off`",
			    "kernel twin %s: %s", twin->name, strerror(errno));
		twin->fds[twin->queues] = fd;
		if (!multi_queue) {
			twin->queues++;
			break;
		}
	}
	return 0;
}

int twins_open(struct twins *twins, const struct settings *settings, struct net *net, struct error *error)
{
	twins->count = settings->port_count;
	for (unsigned int i = 0; i < settings->port_count; i++) {
		struct twin *twin = &twins->twins[i];

		twin->port = (uint16_t)i;
		if (settings->ports[i].twin[0] == '\0')
			continue;
		snprintf(twin->name, sizeof(twin->name), "%s", settings->ports[i].twin);
		if (twin_open(twin, error) < 0)
			return -1;
		/* The address of a device that is up may not be changed everywhere. */
		set_up(twin->name, false);
		set_identity(twin->name, &net->ports[i]);
		set_up(twin->name, true);
		twin->up = true;
		net->ports[i].has_twin = true;
	}
	return 0;
}

void twin_follow(struct twins *twins, uint16_t port, const struct net_port *net_port)
{
	struct twin *twin = &twins->twins[port];

	if (twin->name[0] == '\0')
		return;
	set_identity(twin->name, net_port);
	if (twin->up != net_port->up) {
		unsigned int carrier = net_port->up;

		/* Carrier, not administrative state: addresses and routes of the operator stay. */
		if (ioctl(twin->fds[0], TUNSETCARRIER, &carrier) < 0)
			log_line(LOG_WARNING_LEVEL, "twin %s: link state: %s", twin->name, strerror(errno));
		twin->up = net_port->up;
	}
}

/* ---- the thread ---- */

bool twin_give(struct twins *twins, struct rte_mbuf *m)
{
	enum twin_class class = twin_classify(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	if (rte_ring_mp_enqueue(twins->rings[class], m) == 0)
		return true;
	rte_pktmbuf_free(m);
	return false;
}

void twins_wake(struct twins *twins)
{
	uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&twins->asleep, 0, __ATOMIC_SEQ_CST) == 0)
		return;
	if (write(twins->wake_fd, &one, sizeof(one)) < 0)
		return;
}

static unsigned int towards_kernel(struct twins *twins, enum twin_class class)
{
	struct rte_mbuf *mbufs[TWIN_BURST];
	unsigned int count = rte_ring_sc_dequeue_burst(twins->rings[class], (void **)mbufs, TWIN_BURST, NULL);

	for (unsigned int i = 0; i < count; i++) {
		struct twin *twin = &twins->twins[mbufs[i]->port];
		struct iovec pieces[TWIN_SEGMENTS];
		int n = 0;

		for (struct rte_mbuf *s = mbufs[i]; s != NULL && n < TWIN_SEGMENTS; s = s->next)
			pieces[n++] = (struct iovec){.iov_base = rte_pktmbuf_mtod(s, void *),
						     .iov_len = s->data_len};
		if (twin->queues != 0 && writev(twin->fds[0], pieces, n) >= 0)
			twin->counters.to_kernel[class]++;
		else
			twin->counters.to_kernel_dropped[class]++;
		rte_pktmbuf_free(mbufs[i]);
	}
	return count;
}

/* A worker that sends from this port. */
static struct worker *sender(struct twins *twins, uint16_t port, unsigned int queue)
{
	for (unsigned int i = 0; i < twins->worker_count; i++) {
		struct worker *worker = &twins->workers[(i + queue) % twins->worker_count];

		if (worker->send_buffers[port].tx >= 0)
			return worker;
	}
	return NULL;
}

static unsigned int from_kernel(struct twins *twins, struct twin *twin, unsigned int queue)
{
	struct worker *worker = sender(twins, twin->port, queue);
	unsigned int count = 0;

	for (; count < TWIN_BURST; count++) {
		struct rte_mbuf *m = rte_pktmbuf_alloc(twins->pool);
		struct mbuf_note *note;
		ssize_t length;

		if (m == NULL) {
			char waste[64];

			/* Taken and lost: a queue that stays full would keep this thread awake. */
			if (read(twin->fds[queue], waste, sizeof(waste)) < 0)
				break;
			twin->counters.from_kernel_dropped++;
			continue;
		}
		length = read(twin->fds[queue], rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
		if (length <= 0) {
			rte_pktmbuf_free(m);
			break;
		}
		m->data_len = (uint16_t)length;
		m->pkt_len = (uint32_t)length;
		note = mbuf_note(m);
		memset(note, 0, sizeof(*note));
		note->port = twin->port;
		if (worker == NULL || rte_ring_sp_enqueue(worker->twin_send, m) != 0) {
			rte_pktmbuf_free(m);
			twin->counters.from_kernel_dropped++;
			continue;
		}
		twin->counters.from_kernel++;
	}
	return count;
}

static void *twins_run(void *argument)
{
	struct twins *twins = argument;

	while (!__atomic_load_n(&twins->stop, __ATOMIC_RELAXED)) {
		struct epoll_event events[MAX_PORTS];
		unsigned int work = 0;
		uint64_t wakes;
		int count;

		/* Control first, and again after each burst of the rest. */
		for (unsigned int class = 0; class < TWIN_CLASSES; class ++) {
			work += towards_kernel(twins, TWIN_CONTROL);
			if (class != TWIN_CONTROL)
				work += towards_kernel(twins, (enum twin_class) class);
		}
		__atomic_store_n(&twins->asleep, work == 0, __ATOMIC_SEQ_CST);
		if (work == 0)
			for (unsigned int class = 0; class < TWIN_CLASSES; class ++)
				work += rte_ring_count(twins->rings[class]);
		count = epoll_wait(twins->epoll_fd, events, RTE_DIM(events), work ? 0 : TWIN_WAIT_MS);
		__atomic_store_n(&twins->asleep, 0, __ATOMIC_SEQ_CST);
		for (int i = 0; i < count; i++) {
			uint32_t what = events[i].data.u32;

			if (what == UINT32_MAX) {
				while (read(twins->wake_fd, &wakes, sizeof(wakes)) > 0)
					;
				continue;
			}
			from_kernel(twins, &twins->twins[what / TWIN_QUEUES], what % TWIN_QUEUES);
		}
	}
	return NULL;
}

int twins_start(struct twins *twins, struct worker *workers, unsigned int worker_count,
		struct rte_mempool *pool, struct error *error)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = UINT32_MAX};

	twins->workers = workers;
	twins->worker_count = worker_count;
	twins->pool = pool;
	twins->rings[TWIN_CONTROL] = rte_ring_create("twin-control", RING_TWIN_CONTROL, SOCKET_ID_ANY,
						     RING_F_SC_DEQ);
	twins->rings[TWIN_BULK] = rte_ring_create("twin-bulk", RING_TWIN_BULK, SOCKET_ID_ANY, RING_F_SC_DEQ);
	twins->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	twins->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (twins->rings[0] == NULL || twins->rings[1] == NULL || twins->epoll_fd < 0 || twins->wake_fd < 0)
		return error_set(error, "memory", "give more memory (`memory MB`)",
				 "no memory for the kernel twins");
	epoll_ctl(twins->epoll_fd, EPOLL_CTL_ADD, twins->wake_fd, &event);
	for (unsigned int i = 0; i < twins->count; i++) {
		for (unsigned int q = 0; q < twins->twins[i].queues; q++) {
			event.data.u32 = i * TWIN_QUEUES + q;
			epoll_ctl(twins->epoll_fd, EPOLL_CTL_ADD, twins->twins[i].fds[q], &event);
		}
	}
	/* Inherits the master's CPU, which no worker has. */
	if (pthread_create(&twins->thread, NULL, twins_run, twins) != 0)
		return error_set(error, "system", NULL, "the kernel twins' thread does not start: %s",
				 strerror(errno));
	pthread_setname_np(twins->thread, "dpvsd-twins");
	twins->running = true;
	return 0;
}

void twins_stop(struct twins *twins)
{
	if (twins->running) {
		__atomic_store_n(&twins->stop, 1, __ATOMIC_RELAXED);
		__atomic_store_n(&twins->asleep, 1, __ATOMIC_SEQ_CST);
		twins_wake(twins);
		pthread_join(twins->thread, NULL);
	}
	for (unsigned int i = 0; i < twins->count; i++)
		for (unsigned int q = 0; q < twins->twins[i].queues; q++)
			close(twins->twins[i].fds[q]);
}
