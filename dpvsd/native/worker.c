#include "worker.h"

#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include <rte_cycles.h>
#include <rte_ethdev.h>
#include <rte_ether.h>
#include <rte_lcore.h>
#include <rte_prefetch.h>

#include "core/connect.h"

enum {
	IDLE_SPIN = 128, /* empty loops before the first sleep of the adaptive policy */
	IDLE_DEEP = 400, /* ... and before the longer ones */
	SLEEP_SHORT_US = 50,
	SLEEP_LONG_US = 250,
	EXPIRE_BUDGET = 64, /* connections looked at per loop */
	FRAGMENT_PIECES = 64, /* of one packet that is cut */
	PREFETCH_AHEAD = 4,
};

uint64_t clock_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

void master_wake(struct master_channel *channel)
{
	uint64_t one = 1;

	__atomic_thread_fence(__ATOMIC_SEQ_CST);
	if (__atomic_exchange_n(&channel->asleep, 0, __ATOMIC_SEQ_CST) == 0)
		return;
	if (write(channel->wake_fd, &one, sizeof(one)) < 0)
		return; /* the counter is full: it is awake */
}

int worker_prepare(struct worker *worker, uint32_t connections, uint32_t packets_in_pieces,
		   struct error *error)
{
	struct worker_view *view = worker->view;

	view->connections = connection_table_new(connections, worker->socket);
	view->templates = connection_table_new(RTE_MAX(connections / 4, 1024u), worker->socket);
	view->servers = memory_reserve("server counters", sizeof(struct server_count) * MAX_SERVERS,
				       worker->socket);
	view->cursors = memory_reserve("cursors", sizeof(struct schedule_cursor) * MAX_SERVICES,
				       worker->socket);
	worker->fragments = fragments_new(packets_in_pieces, worker->socket);
	/* Not the same numbers after each start. */
	worker->fragment_id = (uint32_t)(hash_secret[3] >> 32);
	if (view->connections == NULL || view->templates == NULL || view->servers == NULL ||
	    view->cursors == NULL || worker->fragments == NULL)
		return error_set(error, "memory", "lower conn_pool_size, or give more memory (`memory MB`)",
				 "worker %s: no memory for %u connections", worker->setting->name,
				 connections);
	return 0;
}

/* ---- sending ---- */

/* hash.usr of an mbuf that is sent: does it stand for a packet that was counted as forwarded? */
enum { NOT_COUNTED = 0, COUNTED = 1 };

static void flush(struct worker *worker, struct send_buffer *buffer)
{
	uint16_t sent = rte_eth_tx_burst(buffer->ethdev, (uint16_t)buffer->tx, buffer->packets,
					 buffer->count);

	worker->counters.tx_packets += sent;
	for (uint16_t i = sent; unlikely(i < buffer->count); i++) {
		if (buffer->packets[i]->hash.usr == COUNTED) {
			worker->view->counters.forwarded--;
			worker->view->counters.drops[DROP_TX]++;
		}
		buffer->dropped++;
		rte_pktmbuf_free(buffer->packets[i]);
	}
	buffer->count = 0;
}

/* Takes a whole frame. */
static void send_frame(struct worker *worker, uint16_t port, struct rte_mbuf *m, uint32_t counted)
{
	struct send_buffer *buffer = &worker->send_buffers[port];

	if (unlikely(buffer->tx < 0 || !worker->director->net->ports[port].up)) {
		if (counted)
			worker->view->counters.drops[DROP_LINK_DOWN]++;
		rte_pktmbuf_free(m);
		return;
	}
	/* Put together of fragments, and short enough for one frame: ports are not asked for more segments.
	 */
	if (unlikely(m->nb_segs > 1))
		(void)rte_pktmbuf_linearize(m);
	m->hash.usr = counted;
	worker->view->counters.forwarded += counted;
	buffer->packets[buffer->count++] = m;
	if (buffer->count == SEND_BURST)
		flush(worker, buffer);
}

static void put_ether(struct rte_mbuf *m, const uint8_t ether[ETHER_SIZE])
{
	memcpy(rte_pktmbuf_mtod(m, uint8_t *) - ETHER_SIZE, ether, ETHER_SIZE);
	m->data_off = (uint16_t)(m->data_off - ETHER_SIZE);
	m->data_len = (uint16_t)(m->data_len + ETHER_SIZE);
	m->pkt_len += ETHER_SIZE;
}

/* Cuts an IP packet (mbuf data at its header) and sends the pieces. */
static void send_pieces(struct worker *worker, uint16_t port, struct rte_mbuf *m, enum family family,
			uint16_t mtu, const uint8_t ether[ETHER_SIZE])
{
	struct rte_mbuf *pieces[FRAGMENT_PIECES];
	/* Workers speak for the same addresses: each has numbers of its own. */
	uint32_t id = worker->fragment_id++ * worker->director->steering.workers + worker->view->number;
	int count = fragment_cut(m, family, mtu, id, worker->pool, pieces, FRAGMENT_PIECES);

	if (count <= 0) {
		worker->view->counters.drops[DROP_TOO_BIG]++;
		return;
	}
	for (int i = 0; i < count; i++) {
		if (rte_pktmbuf_headroom(pieces[i]) < ETHER_SIZE) {
			rte_pktmbuf_free(pieces[i]);
			continue;
		}
		put_ether(pieces[i], ether);
		send_frame(worker, port, pieces[i], i == 0 ? COUNTED : NOT_COUNTED);
	}
}

/* The mbuf follows what the pipeline did to the packet: data begins at the IP header, padding is gone. */
static inline void mbuf_to_packet(struct rte_mbuf *m, const struct packet *p)
{
	int shift = (int)(p->l3 - rte_pktmbuf_mtod(m, uint8_t *));

	m->data_off = (uint16_t)(m->data_off + shift);
	m->data_len = (uint16_t)(m->data_len - shift);
	m->pkt_len = (uint32_t)((int)m->pkt_len - shift);
	if (unlikely(m->pkt_len > p->total) && m->nb_segs == 1) {
		m->pkt_len = p->total;
		m->data_len = p->total;
	}
}

static inline void forward(struct worker *worker, struct packet *p)
{
	struct rte_mbuf *m = p->handle;

	if (unlikely(p->headroom < ETHER_SIZE)) {
		worker->view->counters.drops[DROP_HEADROOM]++;
		rte_pktmbuf_free(m);
		return;
	}
	mbuf_to_packet(m, p);
	if (unlikely(p->flags & PACKET_OVERSIZE)) {
		send_pieces(worker, p->port, m, (enum family)p->family, p->mtu, p->adjacency->ether);
		return;
	}
	put_ether(m, p->adjacency->ether);
	send_frame(worker, p->port, m, COUNTED);
}

/* ---- to other threads ---- */

static void to_master_unresolved(struct worker *worker, struct rte_mbuf *m, uint16_t port, enum family family,
				 const union ip_addr *next_hop, uint16_t flags, uint16_t mtu, bool held)
{
	struct mbuf_note *note = mbuf_note(m);

	note->port = port;
	note->family = (uint8_t)family;
	note->next_hop = *next_hop;
	note->flags = flags;
	note->mtu = mtu;
	note->held = held;
	/* Counted before it is passed on, since the master counts its end. */
	if (held)
		worker->view->counters.held++;
	if (rte_ring_mp_enqueue(worker->master->unresolved, m) == 0)
		return;
	if (held) {
		worker->view->counters.held--;
		worker->view->counters.drops[DROP_MASTER]++;
	}
	rte_pktmbuf_free(m);
}

static void to_master_control(struct worker *worker, struct rte_mbuf *m)
{
	if (twin_has_it(worker->twins, worker->director->net, m)) {
		worker->view->counters.local++;
		rte_pktmbuf_free(m);
		return;
	}
	if (rte_ring_mp_enqueue(worker->master->control, m) == 0) {
		worker->view->counters.local++;
		return;
	}
	worker->view->counters.drops[DROP_MASTER]++;
	rte_pktmbuf_free(m);
}

/* To the kernel twin of the packet's port, which a kni_host route may have made another than it came from. */
static void to_kernel(struct worker *worker, struct packet *p)
{
	const struct net_port *port = &worker->director->net->ports[p->port];
	struct rte_mbuf *m = p->handle;

	if (!port->has_twin) {
		worker->view->counters.drops[DROP_NO_SERVICE]++;
		rte_pktmbuf_free(m);
		return;
	}
	if (m->port != p->port) {
		m->port = p->port;
		memcpy(rte_pktmbuf_mtod(m, void *), port->mac, 6);
	} else if (port->mirrored || (!(p->flags & PACKET_REASSEMBLED) &&
				      twin_has_it(worker->twins, worker->director->net, m))) {
		worker->view->counters.kernel++;
		rte_pktmbuf_free(m);
		return;
	}
	if (twin_give(worker->twins, m))
		worker->view->counters.kernel++;
	else
		worker->view->counters.drops[DROP_TWIN]++;
}

static void hand_over(struct worker *worker, struct packet *p)
{
	struct handover_buffer *buffer = &worker->handover_buffers[p->owner];
	struct rte_mbuf *m = p->handle;
	struct mbuf_note *note = mbuf_note(m);

	note->tried = p->tried;
	note->origin = p->origin;
	note->flags = p->flags & (PACKET_L2_BROADCAST | PACKET_REASSEMBLED);
	buffer->packets[buffer->count++] = m;
	worker->handing_over |= 1ull << p->owner;
}

static void finish_hand_over(struct worker *worker)
{
	for (uint64_t bits = worker->handing_over; bits != 0; bits &= bits - 1) {
		unsigned int owner = (unsigned int)__builtin_ctzll(bits);
		struct handover_buffer *buffer = &worker->handover_buffers[owner];
		unsigned int taken = rte_ring_mp_enqueue_burst(worker->all[owner].handover,
							       (void **)buffer->packets, buffer->count, NULL);

		worker->view->counters.handed_over += taken;
		worker->view->counters.drops[DROP_HANDOVER] += buffer->count - taken;
		rte_pktmbuf_free_bulk(buffer->packets + taken, buffer->count - taken);
		buffer->count = 0;
	}
	worker->handing_over = 0;
}

/* An ICMP error of our own. */
static void originate(void *context, enum family family, const uint8_t *bytes, size_t length)
{
	struct worker *worker = context;
	struct next_hop_answer answer;
	struct rte_mbuf *m = rte_pktmbuf_alloc(worker->pool);
	union ip_addr destination = {.q = {0, 0}};

	if (m == NULL)
		return;
	memcpy(rte_pktmbuf_mtod(m, void *), bytes, length);
	m->data_len = (uint16_t)length;
	m->pkt_len = (uint32_t)length;
	if (family == FAMILY_IPV4)
		memcpy(&destination.v4, bytes + 16, 4);
	else
		memcpy(&destination, bytes + 24, 16);
	memset(&answer, 0, sizeof(answer));
	switch (next_hop_find(worker->director->net, family, &destination, &answer)) {
	case NEXT_HOP_FOUND:
		put_ether(m, answer.adjacency->ether);
		send_frame(worker, answer.port, m, NOT_COUNTED);
		return;
	case NEXT_HOP_UNRESOLVED:
		to_master_unresolved(worker, m, answer.port, family, &answer.address, 0, 0, false);
		return;
	default:
		rte_pktmbuf_free(m);
	}
}

/* ---- a burst ---- */

static inline void packet_from_mbuf(const struct worker *worker, struct packet *p, struct rte_mbuf *m,
				    uint16_t port)
{
	const struct rte_ether_hdr *ether = rte_pktmbuf_mtod(m, const struct rte_ether_hdr *);
	const struct net_port *net_port = &worker->director->net->ports[port];

	p->handle = m;
	p->port = port;
	p->verdict = VERDICT_NONE;
	p->reason = 0;
	p->flags = 0;
	p->tried = 0;
	p->family = 0;
	p->key.family = 0;
	p->adjacency = NULL;
	if (unlikely(m->data_len < RTE_ETHER_HDR_LEN + 8)) {
		packet_drop(p, DROP_SHORT);
		return;
	}
	p->l3 = rte_pktmbuf_mtod(m, uint8_t *) + RTE_ETHER_HDR_LEN;
	p->length = (uint16_t)(m->data_len - RTE_ETHER_HDR_LEN);
	p->total = (uint16_t)RTE_MIN(m->pkt_len - RTE_ETHER_HDR_LEN, (uint32_t)UINT16_MAX);
	p->headroom = (uint16_t)(m->data_off + RTE_ETHER_HDR_LEN);
	if (unlikely(ether->dst_addr.addr_bytes[0] & 1)) {
		p->flags |= PACKET_L2_BROADCAST;
	} else if (unlikely(memcmp(ether->dst_addr.addr_bytes, net_port->mac, 6) != 0)) {
		packet_drop(p, DROP_NOT_FOR_US);
		return;
	}
	if (likely(ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV4))) {
		p->family = FAMILY_IPV4;
	} else if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_IPV6)) {
		p->family = FAMILY_IPV6;
	} else if (ether->ether_type == RTE_BE16(RTE_ETHER_TYPE_ARP)) {
		p->verdict = VERDICT_MASTER;
	} else if (net_port->has_twin) {
		p->verdict = VERDICT_KERNEL;
	} else {
		packet_drop(p, DROP_ETHERTYPE);
	}
}

static void process(struct worker *worker, struct packet *packets, unsigned int count);

/* They were counted as local when they came. */
static void fragments_dropped(struct worker *worker, uint64_t count)
{
	worker->view->counters.local -= count;
	worker->view->counters.drops[DROP_FRAGMENT] += count;
}

/* Fragments that became whole go through once more, one by one: they are rare. */
static void reassemble(struct worker *worker, struct packet *p)
{
	struct rte_mbuf *m;
	struct packet whole;
	uint64_t dropped = 0;

	worker->view->counters.local++;
	m = fragment_join(worker->fragments, p->handle, (enum family)p->family, rte_rdtsc(), &dropped);
	fragments_dropped(worker, dropped);
	if (m == NULL)
		return;
	worker->view->counters.in++;
	packet_from_mbuf(worker, &whole, m, p->port);
	whole.flags |= PACKET_REASSEMBLED;
	process(worker, &whole, 1);
}

static void process(struct worker *worker, struct packet *packets, unsigned int count)
{
	struct pipeline_output output = {.context = worker, .originate = originate};
	bool wake = false, wake_twins = false;

	pipeline_run(worker->director, worker->view, packets, count, &output);
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];

		if (likely(p->verdict == VERDICT_FORWARD)) {
			forward(worker, p);
			continue;
		}
		switch (p->verdict) {
		case VERDICT_HANDOVER:
			hand_over(worker, p);
			break;
		case VERDICT_UNRESOLVED:
			mbuf_to_packet(p->handle, p);
			to_master_unresolved(worker, p->handle, p->port, (enum family)p->family, &p->next_hop,
					     p->flags, p->mtu, true);
			wake = true;
			break;
		case VERDICT_MASTER:
			to_master_control(worker, p->handle);
			wake = true;
			break;
		case VERDICT_REASSEMBLE:
			reassemble(worker, p);
			break;
		case VERDICT_KERNEL:
			to_kernel(worker, p);
			wake_twins = true;
			break;
		default:
			rte_pktmbuf_free(p->handle);
		}
	}
	if (worker->handing_over != 0)
		finish_hand_over(worker);
	if (unlikely(wake))
		master_wake(worker->master);
	if (unlikely(wake_twins))
		twins_wake(worker->twins);
}

/* forward2kni: the kernel gets a copy of everything, for tcpdump on the twin. */
static void mirror(struct worker *worker, struct rte_mbuf *m)
{
	struct rte_mbuf *copy;

	if (twin_has_it(worker->twins, worker->director->net, m))
		return;
	copy = rte_pktmbuf_copy(m, worker->pool, 0, UINT32_MAX);
	if (copy == NULL)
		return;
	copy->port = m->port;
	twin_give(worker->twins, copy);
	twins_wake(worker->twins);
}

static unsigned int receive(struct worker *worker, const struct worker_queue_runtime *queue)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	struct packet packets[BURST_MAX];
	uint16_t count = rte_eth_rx_burst(queue->ethdev, (uint16_t)queue->rx, mbufs, worker->burst);

	if (count == 0)
		return 0;
	for (uint16_t i = 0; i < RTE_MIN(count, (uint16_t)PREFETCH_AHEAD); i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (uint16_t i = 0; i < count; i++) {
		if (i + PREFETCH_AHEAD < count)
			rte_prefetch0(rte_pktmbuf_mtod(mbufs[i + PREFETCH_AHEAD], void *));
		mbufs[i]->port = queue->port;
		if (unlikely(worker->director->net->ports[queue->port].mirrored))
			mirror(worker, mbufs[i]);
		packet_from_mbuf(worker, &packets[i], mbufs[i], queue->port);
	}
	worker->view->counters.in += count;
	worker->counters.rx_packets += count;
	if (count == worker->burst)
		worker->counters.full_bursts++;
	process(worker, packets, count);
	return count;
}

/* Packets of ours that other workers received. */
static unsigned int take_over(struct worker *worker)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	struct packet packets[BURST_MAX];
	unsigned int count = rte_ring_sc_dequeue_burst(worker->handover, (void **)mbufs, worker->burst, NULL);

	if (count == 0)
		return 0;
	/* Descriptor, note and packet are in another core's cache: fetched side by side, not one by one. */
	for (unsigned int i = 0; i < count; i++) {
		rte_prefetch0(mbufs[i]);
		rte_prefetch0(mbuf_note(mbufs[i]));
	}
	for (unsigned int i = 0; i < count; i++)
		rte_prefetch0(rte_pktmbuf_mtod(mbufs[i], void *));
	for (unsigned int i = 0; i < count; i++) {
		const struct mbuf_note *note = mbuf_note(mbufs[i]);

		packet_from_mbuf(worker, &packets[i], mbufs[i], mbufs[i]->port);
		packets[i].tried = note->tried;
		packets[i].origin = note->origin;
		packets[i].flags |= note->flags | PACKET_HANDED_OVER;
	}
	worker->view->counters.taken_over += count;
	process(worker, packets, count);
	return count;
}

/* Frames of the master (ARP, ND, packets whose neighbour answered) and of the kernel twins. */
static unsigned int send_for(struct worker *worker, struct rte_ring *ring)
{
	struct rte_mbuf *mbufs[BURST_MAX];
	unsigned int count = rte_ring_sc_dequeue_burst(ring, (void **)mbufs, worker->burst, NULL);

	for (unsigned int i = 0; i < count; i++) {
		struct rte_mbuf *m = mbufs[i];
		const struct mbuf_note *note = mbuf_note(m);

		if (note->flags & PACKET_OVERSIZE) {
			uint8_t ether[ETHER_SIZE];
			uint16_t port = note->port;
			uint16_t mtu = note->mtu;
			enum family family = (enum family)note->family;

			memcpy(ether, rte_pktmbuf_mtod(m, void *), ETHER_SIZE);
			rte_pktmbuf_adj(m, ETHER_SIZE);
			send_pieces(worker, port, m, family, mtu, ether);
			continue;
		}
		send_frame(worker, note->port, m, note->held ? COUNTED : NOT_COUNTED);
	}
	return count;
}

/* ---- the loop ---- */

static void rest(struct worker *worker, unsigned int idle)
{
	struct timespec time = {.tv_nsec = (idle > IDLE_DEEP ? SLEEP_LONG_US : SLEEP_SHORT_US) * 1000};

	worker->counters.sleeps++;
	rte_rcu_qsbr_thread_offline(worker->rcu, worker->view->number);
	nanosleep(&time, NULL);
	rte_rcu_qsbr_thread_online(worker->rcu, worker->view->number);
}

static void expire_fragments(struct worker *worker, uint64_t now)
{
	uint64_t dropped = 0;

	fragments_expire(worker->fragments, now, &dropped);
	if (dropped != 0)
		fragments_dropped(worker, dropped);
}

int worker_run(void *argument)
{
	struct worker *worker = argument;
	struct worker_view *view = worker->view;
	uint64_t cycles_per_tick = rte_get_tsc_hz() / TICKS_PER_SECOND;
	uint64_t before = rte_rdtsc(), next_tick = before + cycles_per_tick;
	unsigned int idle = 0;

	/* Sleeps of 50 us are not rounded up to another 50. */
	prctl(PR_SET_TIMERSLACK, 1000ul, 0, 0, 0);
	rte_rcu_qsbr_thread_register(worker->rcu, view->number);
	rte_rcu_qsbr_thread_online(worker->rcu, view->number);
	while (!__atomic_load_n(&worker->stop, __ATOMIC_RELAXED)) {
		unsigned int work = send_for(worker, worker->send);
		uint64_t now;

		work += send_for(worker, worker->twin_send[TWIN_CONTROL]);
		work += send_for(worker, worker->twin_send[TWIN_BULK]);
		for (unsigned int q = 0; q < worker->control_queue_count; q++) {
			unsigned int count = receive(worker, &worker->control_queues[q]);

			worker->control_queues[q].packets += count;
			work += count;
		}
		work += take_over(worker);
		for (unsigned int q = 0; q < worker->queue_count; q++)
			work += receive(worker, &worker->queues[q]);
		if (work != 0)
			for (unsigned int i = 0; i < MAX_PORTS; i++)
				if (worker->send_buffers[i].count != 0)
					flush(worker, &worker->send_buffers[i]);
		rte_rcu_qsbr_quiescent(worker->rcu, view->number);
		now = rte_rdtsc();
		worker->counters.loops++;
		worker->counters.cycles += now - before;
		if (work != 0) {
			worker->counters.busy_loops++;
			worker->counters.busy_cycles += now - before;
		}
		before = now;
		while (unlikely((int64_t)(now - next_tick) >= 0)) {
			view->now++;
			next_tick += cycles_per_tick;
			expire_fragments(worker, now);
		}
		connections_tick(worker->director, view, EXPIRE_BUDGET);
		if (work != 0) {
			idle = 0;
			continue;
		}
		idle++;
		if (!worker->adaptive || idle < IDLE_SPIN)
			rte_pause();
		else
			rest(worker, idle);
	}
	rte_rcu_qsbr_thread_offline(worker->rcu, view->number);
	rte_rcu_qsbr_thread_unregister(worker->rcu, view->number);
	return 0;
}
