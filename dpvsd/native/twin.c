#include "twin.h"

#include <errno.h>
#include <stdio.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "log.h"
#include "worker.h"

enum {
	TWIN_BURST = 64,
	TWIN_SEGMENTS = 8,
	TWIN_WAIT_MS = 1000,
	TWIN_NICE = -10,
	RING_CONTROL_CLASS = 1024,
	RING_BULK_CLASS = 2048,
	FRAME_MAX = 65536,
	/* Descriptors of a twin in the epoll set: its queues, then the wire. */
	TWIN_DESCRIPTORS = TWIN_QUEUES + 1,
};

/* ---- opening ---- */

int twins_open(struct twins *twins, const struct settings *settings, struct net *net,
	       const struct port ports[], struct rte_mempool *pool, struct error *error)
{
	twins->count = settings->port_count;
	if (settings->virtio_twins) {
		twins->virtio_pool = twin_virtio_pool(settings, pool, RING_SEND + TWIN_RESERVE);
		if (twins->virtio_pool == NULL)
			return error_set(error, "memory",
					 "give more memory (`memory MB`), or set `kni_kind tap`",
					 "no memory for the kernel twins' rings");
	}
	for (unsigned int i = 0; i < settings->port_count; i++) {
		struct twin *twin = &twins->twins[i];

		twin->port = (uint16_t)i;
		twin->wire_fd = -1;
		if (settings->ports[i].twin[0] == '\0')
			continue;
		snprintf(twin->name, sizeof(twin->name), "%s", settings->ports[i].twin);
		if (twin_device_open(twin, error) < 0)
			return -1;
		if (settings->virtio_twins &&
		    twin_virtio_open(twin, &net->ports[i], twins->virtio_pool, error) < 0)
			return -1;
		twin_dress(twin, &net->ports[i], LINK_MAC | LINK_MTU);
		/* Plugged in when the port is known to be up. Never taken down on the way: the kernel would
		 * throw away its routes and IPv6 addresses. */
		twin_device_set_carrier(twin, false);
		twin_device_set_up(twin, true);
		twin->agreed.up = true;
		net->ports[i].has_twin = true;
		if (strcmp(ports[i].info.driver_name, "net_af_packet") == 0 && ports[i].info.if_index != 0)
			twin->wire_fd = twin_wire_open(ports[i].info.if_index);
	}
	return 0;
}

/* ---- from workers and the master ---- */

bool twin_give(struct twins *twins, struct rte_mbuf *m)
{
	enum twin_class class = twin_classify(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	if (rte_ring_mp_enqueue(twins->rings[class], m) == 0)
		return true;
	__atomic_add_fetch(&twins->twins[m->port].ring_full[class], 1, __ATOMIC_RELAXED);
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

/* ---- the thread: towards the kernel ---- */

static void virtio_send(struct twin *twin, enum twin_class class, struct rte_mbuf *mbufs[],
			unsigned int count)
{
	unsigned int sent = twin_virtio_send(twin, class, mbufs, count);

	twin->counters.to_kernel[class] += sent;
	twin->counters.to_kernel_dropped[class] += count - sent;
}

/* Takes the mbuf. */
static void write_to_tap(struct twin *twin, enum twin_class class, struct rte_mbuf *m)
{
	struct iovec pieces[TWIN_SEGMENTS];
	int n = 0;

	for (struct rte_mbuf *s = m; s != NULL && n < TWIN_SEGMENTS; s = s->next)
		pieces[n++] = (struct iovec){.iov_base = rte_pktmbuf_mtod(s, void *), .iov_len = s->data_len};
	if (twin->queues != 0 && writev(twin->fds[0], pieces, n) >= 0)
		twin->counters.to_kernel[class]++;
	else
		twin->counters.to_kernel_dropped[class]++;
	rte_pktmbuf_free(m);
}

static unsigned int towards_kernel(struct twins *twins, enum twin_class class)
{
	struct rte_mbuf *mbufs[TWIN_BURST];
	unsigned int count = rte_ring_sc_dequeue_burst(twins->rings[class], (void **)mbufs, TWIN_BURST, NULL);

	for (unsigned int i = 0, n; i < count; i += n) {
		struct twin *twin = &twins->twins[mbufs[i]->port];

		n = 1;
		if (!twin->virtio) {
			write_to_tap(twin, class, mbufs[i]);
			continue;
		}
		while (i + n < count && mbufs[i + n]->port == twin->port)
			n++;
		virtio_send(twin, class, &mbufs[i], n);
	}
	return count;
}

static struct rte_mbuf *buffer_with(struct rte_mempool *pool, const uint8_t *frame, size_t length)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(pool);

	if (m == NULL)
		return NULL;
	if (length > rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free(m);
		return NULL;
	}
	memcpy(rte_pktmbuf_mtod(m, void *), frame, length);
	m->data_len = (uint16_t)length;
	m->pkt_len = (uint32_t)length;
	memset(mbuf_note(m), 0, sizeof(struct mbuf_note));
	return m;
}

/* ARP and ND are for the master, too. Past the workers, so that their queue for it may be full. */
static void to_master(struct twins *twins, uint16_t port, const uint8_t *frame, size_t length)
{
	struct rte_mbuf *m = buffer_with(twins->reserve, frame, length);

	if (m == NULL)
		return;
	m->port = port;
	if (rte_ring_mp_enqueue(twins->channel->control, m) != 0)
		rte_pktmbuf_free(m);
	master_wake(twins->channel);
}

static void wire_to_kernel(struct twins *twins, struct twin *twin, const uint8_t *frame, size_t length)
{
	struct rte_mbuf *m = twin->virtio ? buffer_with(twins->reserve, frame, length) : NULL;

	if (m != NULL)
		virtio_send(twin, TWIN_CONTROL, &m, 1);
	else if (!twin->virtio && write(twin->fds[0], frame, length) >= 0)
		twin->counters.to_kernel[TWIN_CONTROL]++;
	else
		twin->counters.to_kernel_dropped[TWIN_CONTROL]++;
}

static void from_wire(struct twins *twins, struct twin *twin)
{
	static uint8_t frame[FRAME_MAX]; /* one thread */

	rte_rcu_qsbr_thread_online(twins->rcu, TWIN_READER);
	for (unsigned int i = 0; i < TWIN_BURST; i++) {
		ssize_t length = recv(twin->wire_fd, frame, sizeof(frame), 0);

		if (length <= 0)
			break;
		if (!twin_wire_takes(twins->net, frame, (unsigned int)length))
			continue;
		if (twin_is_neighbour_frame(frame, (unsigned int)length))
			to_master(twins, twin->port, frame, (size_t)length);
		wire_to_kernel(twins, twin, frame, (size_t)length);
		twin->counters.wire++;
	}
	rte_rcu_qsbr_thread_offline(twins->rcu, TWIN_READER);
}

/* ---- the thread: from the kernel ---- */

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

/* A whole frame of the kernel. Takes the mbuf. `reserve`: buffers are left for control traffic alone. */
static void towards_port(struct twin *twin, struct worker *worker, struct rte_mbuf *m, bool reserve)
{
	enum twin_class class = twin_classify(rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);

	memset(mbuf_note(m), 0, sizeof(struct mbuf_note));
	mbuf_note(m)->port = twin->port;
	/* By the wire no worker has to come round first. */
	if (class == TWIN_CONTROL && twin->wire_fd >= 0 && m->nb_segs == 1 &&
	    send(twin->wire_fd, rte_pktmbuf_mtod(m, const void *), m->data_len, 0) == m->data_len) {
		rte_pktmbuf_free(m);
		twin->counters.from_kernel[class]++;
		return;
	}
	if ((reserve && class != TWIN_CONTROL) || worker == NULL ||
	    rte_ring_sp_enqueue(worker->twin_send[class], m) != 0) {
		rte_pktmbuf_free(m);
		twin->counters.from_kernel_dropped[class]++;
		return;
	}
	twin->counters.from_kernel[class]++;
}

/* One frame towards the port. @return false when the kernel has none */
static bool from_kernel_one(struct twins *twins, struct twin *twin, unsigned int queue, struct worker *worker)
{
	struct rte_mbuf *m = rte_pktmbuf_alloc(twins->pool);
	bool reserve = m == NULL;
	ssize_t length;

	if (reserve)
		m = rte_pktmbuf_alloc(twins->reserve);
	if (m == NULL) {
		uint8_t head[128];

		/* Taken and lost: a queue that stays full would keep this thread awake. */
		length = read(twin->fds[queue], head, sizeof(head));
		if (length <= 0)
			return false;
		twin->counters.from_kernel_dropped[twin_classify(head, (unsigned int)length)]++;
		return true;
	}
	length = read(twin->fds[queue], rte_pktmbuf_mtod(m, void *), rte_pktmbuf_tailroom(m));
	if (length <= 0) {
		rte_pktmbuf_free(m);
		return false;
	}
	m->data_len = (uint16_t)length;
	m->pkt_len = (uint32_t)length;
	towards_port(twin, worker, m, reserve);
	return true;
}

static void from_kernel(struct twins *twins, struct twin *twin, unsigned int queue)
{
	struct worker *worker = sender(twins, twin->port, queue);

	for (unsigned int count = 0; count < TWIN_BURST; count++)
		if (!from_kernel_one(twins, twin, queue, worker))
			return;
}

/* The rings of all virtio-user twins. */
static unsigned int from_virtio(struct twins *twins)
{
	struct rte_mbuf *mbufs[TWIN_BURST];
	unsigned int total = 0;

	for (unsigned int i = 0; i < twins->count; i++) {
		struct twin *twin = &twins->twins[i];

		for (unsigned int q = 0; twin->virtio && q < twin->queues; q++) {
			unsigned int count = twin_virtio_receive(twin, q, mbufs, TWIN_BURST);
			struct worker *worker = count != 0 ? sender(twins, twin->port, q) : NULL;

			/* The rings must be filled again for control traffic, whatever waits for a worker. */
			bool scarce = count != 0 &&
				      rte_mempool_avail_count(twins->virtio_pool) < TWIN_RESERVE;

			for (unsigned int k = 0; k < count; k++)
				towards_port(twin, worker, mbufs[k], scarce);
			total += count;
		}
	}
	return total;
}

static void arm_virtio(const struct twins *twins, bool armed)
{
	for (unsigned int i = 0; i < twins->count; i++)
		if (twins->twins[i].virtio)
			twin_virtio_arm(&twins->twins[i], armed);
}

/* ---- the thread ---- */

static void on_event(struct twins *twins, uint32_t what)
{
	struct twin *twin = &twins->twins[what / TWIN_DESCRIPTORS];
	unsigned int queue = what % TWIN_DESCRIPTORS;

	uint64_t interrupts;

	if (queue == TWIN_QUEUES) {
		from_wire(twins, twin);
		return;
	}
	if (!twin->virtio) {
		from_kernel(twins, twin, queue);
		return;
	}
	/* The next round takes what has come. */
	if (read(twin->fds[queue], &interrupts, sizeof(interrupts)) < 0)
		return;
}

/* Before a sleep interrupts are switched on, and what came before that is looked for. */
static unsigned int virtio_round(struct twins *twins, bool idle)
{
	unsigned int work = from_virtio(twins);

	if (work == 0 && idle && !twins->armed) {
		arm_virtio(twins, true);
		twins->armed = true;
		work = from_virtio(twins);
	}
	if (work != 0 && twins->armed) {
		arm_virtio(twins, false);
		twins->armed = false;
	}
	return work;
}

static void *twins_run(void *argument)
{
	struct twins *twins = argument;

	/* Few packets, and what they say must not wait: before other programs, where that is permitted. */
	(void)setpriority(PRIO_PROCESS, 0, TWIN_NICE);
	rte_rcu_qsbr_thread_register(twins->rcu, TWIN_READER);
	while (!__atomic_load_n(&twins->stop, __ATOMIC_RELAXED)) {
		struct epoll_event events[MAX_PORTS];
		unsigned int work;
		uint64_t wakes;
		int count;

		/* Control first, and again after each burst of the rest. */
		work = towards_kernel(twins, TWIN_CONTROL);
		work += towards_kernel(twins, TWIN_BULK);
		if (twins->virtio_pool != NULL)
			work += virtio_round(twins, work == 0);
		__atomic_store_n(&twins->asleep, work == 0, __ATOMIC_SEQ_CST);
		if (work == 0)
			for (unsigned int class = 0; class < TWIN_CLASSES; class ++)
				work += rte_ring_count(twins->rings[class]);
		count = epoll_wait(twins->epoll_fd, events, RTE_DIM(events), work ? 0 : TWIN_WAIT_MS);
		__atomic_store_n(&twins->asleep, 0, __ATOMIC_SEQ_CST);
		for (int i = 0; i < count; i++) {
			if (events[i].data.u32 != UINT32_MAX)
				on_event(twins, events[i].data.u32);
			else
				while (read(twins->wake_fd, &wakes, sizeof(wakes)) > 0)
					;
		}
	}
	rte_rcu_qsbr_thread_unregister(twins->rcu, TWIN_READER);
	return NULL;
}

static void watch(const struct twins *twins, int fd, uint32_t what)
{
	struct epoll_event event = {.events = EPOLLIN, .data.u32 = what};

	epoll_ctl(twins->epoll_fd, EPOLL_CTL_ADD, fd, &event);
}

int twins_start(struct twins *twins, const struct twins_surroundings *s, struct error *error)
{
	unsigned int reserve = TWIN_RESERVE;

	twins->workers = s->workers;
	twins->worker_count = s->worker_count;
	twins->pool = s->pool;
	twins->net = s->net;
	twins->rcu = s->rcu;
	twins->channel = s->channel;
	twins->rings[TWIN_CONTROL] = rte_ring_create("twin-control", RING_CONTROL_CLASS, SOCKET_ID_ANY,
						     RING_F_SC_DEQ);
	twins->rings[TWIN_BULK] = rte_ring_create("twin-bulk", RING_BULK_CLASS, SOCKET_ID_ANY, RING_F_SC_DEQ);
	for (unsigned int i = 0; i < twins->count; i++)
		reserve += twins->twins[i].virtio ? twin_virtio_held() : 0;
	twins->reserve = rte_pktmbuf_pool_create("twin-reserve", reserve, 0, rte_pktmbuf_priv_size(s->pool),
						 rte_pktmbuf_data_room_size(s->pool), SOCKET_ID_ANY);
	twins->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	twins->wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (twins->rings[0] == NULL || twins->rings[1] == NULL || twins->reserve == NULL ||
	    twins->epoll_fd < 0 || twins->wake_fd < 0)
		return error_set(error, "memory", "give more memory (`memory MB`)",
				 "no memory for the kernel twins");
	watch(twins, twins->wake_fd, UINT32_MAX);
	for (unsigned int i = 0; i < twins->count; i++) {
		const struct twin *twin = &twins->twins[i];

		for (unsigned int q = 0; q < twin->queues; q++)
			watch(twins, twin->fds[q], i * TWIN_DESCRIPTORS + q);
		if (twin->wire_fd >= 0)
			watch(twins, twin->wire_fd, i * TWIN_DESCRIPTORS + TWIN_QUEUES);
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
	for (unsigned int i = 0; i < twins->count; i++) {
		if (twins->twins[i].virtio)
			twin_virtio_close(&twins->twins[i]);
		for (unsigned int q = 0; !twins->twins[i].virtio && q < twins->twins[i].queues; q++)
			close(twins->twins[i].fds[q]);
		if (twins->twins[i].wire_fd >= 0)
			close(twins->twins[i].wire_fd);
	}
}
