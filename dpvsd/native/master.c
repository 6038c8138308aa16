#include "master.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/signalfd.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <rte_errno.h>
#include <rte_malloc.h>

#include "log.h"
#include "core/unreachable.h"
#include "port/flow.h"

enum {
	MASTER_BURST = 64,
	LINK_POLL_MS = 300,
	RECLAIM_MS = 5,
	WAIT_MAX_MS = 1000,
	CLAIMS_QUIET_MS = 60000,
};

/* ---- what workers may still see ---- */

struct deferred {
	struct deferred *next;
	void *object;
	void (*free_object)(void *);
	uint64_t token;
};

static struct master *the_master; /* rcu_defer has no context: one process, one master */

static void defer(void *object, void (*free_object)(void *))
{
	struct deferred *item = malloc(sizeof(*item));

	if (item == NULL)
		return; /* lost, not freed too early */
	item->next = NULL;
	item->object = object;
	item->free_object = free_object;
	item->token = rte_rcu_qsbr_start(the_master->rcu);
	if (the_master->deferred_last != NULL)
		the_master->deferred_last->next = item;
	else
		the_master->deferred_first = item;
	the_master->deferred_last = item;
}

static void reclaim(struct master *master)
{
	while (master->deferred_first != NULL) {
		struct deferred *item = master->deferred_first;

		if (rte_rcu_qsbr_check(master->rcu, item->token, false) != 1)
			return;
		master->deferred_first = item->next;
		if (item->next == NULL)
			master->deferred_last = NULL;
		item->free_object(item->object);
		free(item);
	}
}

/* ---- the stack's way out ---- */

static bool send_by_worker(struct master *master, struct rte_mbuf *m, uint16_t port)
{
	for (unsigned int i = 0; i < master->settings.worker_count; i++)
		if (master->workers[i].send_buffers[port].tx >= 0)
			return rte_ring_sp_enqueue(master->workers[i].send, m) == 0;
	return false;
}

static void output_send(void *context, uint16_t port, const uint8_t *frame, size_t length)
{
	struct master *master = context;
	struct rte_mbuf *m = rte_pktmbuf_alloc(master->workers[0].pool);
	struct mbuf_note *note;

	if (m == NULL || length > rte_pktmbuf_tailroom(m)) {
		rte_pktmbuf_free(m);
		return;
	}
	memcpy(rte_pktmbuf_mtod(m, void *), frame, length);
	m->data_len = (uint16_t)length;
	m->pkt_len = (uint32_t)length;
	note = mbuf_note(m);
	memset(note, 0, sizeof(*note));
	note->port = port;
	if (!send_by_worker(master, m, port))
		rte_pktmbuf_free(m);
}

static void let_go(struct master *master, struct rte_mbuf *m, enum drop_reason reason)
{
	if (mbuf_note(m)->held) {
		master->counters.held++;
		master->counters.drops[reason]++;
	}
	rte_pktmbuf_free(m);
}

static void output_release(void *context, void *handle, const struct adjacency *adjacency)
{
	struct master *master = context;
	struct rte_mbuf *m = handle;
	char *ether = rte_pktmbuf_prepend(m, ETHER_SIZE);
	bool held = mbuf_note(m)->held;

	if (ether == NULL) {
		let_go(master, m, DROP_HEADROOM);
		return;
	}
	memcpy(ether, adjacency->ether, ETHER_SIZE);
	mbuf_note(m)->port = adjacency->port;
	if (!send_by_worker(master, m, adjacency->port)) {
		let_go(master, m, DROP_MASTER);
		return;
	}
	/* The worker counts it as forwarded when it sends it. */
	if (held)
		master->counters.held++;
}

/* Tells the sender that the next hop is silent, as far as the rate of such errors allows. */
static void tell_unreachable(struct master *master, struct rte_mbuf *m)
{
	uint64_t second = clock_ms() / 1000;
	uint8_t frame[UNREACHABLE_FRAME_MAX];
	struct packet p = {
	    .l3 = rte_pktmbuf_mtod(m, uint8_t *),
	    .length = m->data_len,
	    .total = (uint16_t)m->pkt_len,
	    .family = mbuf_note(m)->family,
	};
	uint16_t port;
	size_t length;

	if (master->unreachable_second != second) {
		master->unreachable_second = second;
		master->unreachable_sent = 0;
	}
	if (master->unreachable_sent >= master->director.icmp_errors_per_second)
		return;
	length = unreachable_frame(&master->director, &p, frame, &port);
	if (length == 0)
		return;
	master->unreachable_sent++;
	master->counters.originated++;
	output_send(master, port, frame, length);
}

static void output_give_up(void *context, void *handle, enum drop_reason reason)
{
	struct master *master = context;

	if (reason == DROP_UNRESOLVED && mbuf_note(handle)->held)
		tell_unreachable(master, handle);
	let_go(master, handle, reason);
}

/* Two hosts with one address lose each other's packets, and neither of them knows why. Said once a minute and
 * port. */
static void output_claimed(void *context, uint16_t port, enum family family, const union ip_addr *address,
			   const uint8_t mac[6])
{
	struct master *master = context;
	uint64_t now = clock_ms();

	if (now < master->claims_quiet_until[port])
		return;
	master->claims_quiet_until[port] = now + CLAIMS_QUIET_MS;
	log_line(
	    LOG_WARNING_LEVEL,
	    "port %s: %02x:%02x:%02x:%02x:%02x:%02x claims %s, which is an address of ours: normal for a "
	    "moment while it moves to another director, otherwise two hosts have it",
	    master->net.ports[port].name, mac[0], mac[1], mac[2], mac[3], mac[4], mac[5],
	    ip_text(family, address));
}

/* ---- life ---- */

static struct rte_ring *ring_new(const char *name, unsigned int number, unsigned int size, unsigned int flags,
				 int socket)
{
	char text[RTE_RING_NAMESIZE];

	snprintf(text, sizeof(text), "%s-%u", name, number);
	return rte_ring_create(text, size, socket, flags);
}

static int prepare_workers(struct master *master, struct error *error)
{
	const struct settings *s = &master->settings;

	for (unsigned int i = 0; i < s->worker_count; i++) {
		struct worker *worker = &master->workers[i];
		struct worker_view *view = &master->views[i];

		worker->setting = &s->workers[i];
		worker->director = &master->director;
		worker->view = view;
		worker->all = master->workers;
		worker->master = &master->channel;
		worker->socket = (int)rte_lcore_to_socket_id(worker->setting->lcore);
		worker->pool = master->pools[worker->socket] ? master->pools[worker->socket]
							     : master->pools[0];
		worker->rcu = master->rcu;
		worker->burst = (uint16_t)RTE_MIN(s->rx_burst, (uint32_t)BURST_MAX);
		worker->adaptive = s->adaptive;
		worker->handover = ring_new("handover", i, RING_HANDOVER, RING_F_SC_DEQ, worker->socket);
		worker->send = ring_new("send", i, RING_SEND, RING_F_SP_ENQ | RING_F_SC_DEQ, worker->socket);
		worker->twin_send[TWIN_CONTROL] = ring_new("twin-control", i, RING_SEND / 2,
							   RING_F_SP_ENQ | RING_F_SC_DEQ, worker->socket);
		worker->twin_send[TWIN_BULK] = ring_new("twin-bulk", i, RING_SEND,
							RING_F_SP_ENQ | RING_F_SC_DEQ, worker->socket);
		worker->twins = &master->twins;
		if (worker->handover == NULL || worker->send == NULL ||
		    worker->twin_send[TWIN_CONTROL] == NULL || worker->twin_send[TWIN_BULK] == NULL)
			return error_set(error, "memory", "give more memory (`memory MB`)",
					 "no memory for the rings of worker %u", i);
		for (unsigned int p = 0; p < MAX_PORTS; p++)
			worker->send_buffers[p].tx = -1;
		for (unsigned int q = 0; q < worker->setting->queue_count; q++) {
			const struct worker_queue *queue = &worker->setting->queues[q];
			uint16_t ethdev = master->ports[queue->port].ethdev;

			if (queue->rx >= 0)
				worker->queues[worker->queue_count++] = (struct worker_queue_runtime){
				    .port = queue->port, .ethdev = ethdev, .rx = queue->rx};
			if (queue->tx >= 0 && worker->send_buffers[queue->port].tx < 0) {
				worker->send_buffers[queue->port].tx = queue->tx;
				worker->send_buffers[queue->port].ethdev = ethdev;
			}
		}
		view->number = (uint16_t)i;
		master->director.workers[i] = view;
		if (worker_prepare(worker, (s->connections + s->worker_count - 1) / s->worker_count,
				   fragments_limit(s->pool_size, s->worker_count), error) < 0)
			return -1;
	}
	steering_divide(&master->director, s->worker_count);
	return 0;
}

static bool has_first_queue(const struct worker *worker, uint16_t port)
{
	for (unsigned int q = 0; q < worker->queue_count; q++)
		if (worker->queues[q].port == port && worker->queues[q].rx == 0)
			return true;
	return false;
}

void master_control_queues(struct master *master)
{
	const struct settings *s = &master->settings;

	for (uint16_t p = 0; p < s->port_count; p++)
		for (unsigned int i = 0; master->ports[p].control_queue >= 0 && i < s->worker_count; i++)
			if (has_first_queue(&master->workers[i], p))
				master->workers[i].control_queues
				    [master->workers[i]
					 .control_queue_count++] = (struct worker_queue_runtime){
				    .port = p,
				    .ethdev = master->ports[p].ethdev,
				    .rx = master->ports[p].control_queue};
}

sigset_t master_block_signals(void)
{
	sigset_t signals;

	sigemptyset(&signals);
	sigaddset(&signals, SIGTERM);
	sigaddset(&signals, SIGINT);
	sigaddset(&signals, SIGHUP);
	sigaddset(&signals, SIGCHLD);
	sigprocmask(SIG_BLOCK, &signals, NULL);
	return signals;
}

int master_prepare(struct master *master, struct error *error)
{
	const struct settings *s = &master->settings;
	struct net_output output = {.context = master,
				    .send = output_send,
				    .release = output_release,
				    .give_up = output_give_up,
				    .claimed = output_claimed};
	struct net_limits limits = {
	    .unresolved_queue = s->unresolved_queue,
	    .reachable_ms = s->neighbour_timeout * 1000,
	    .max_neighbours = 32768,
	};
	struct control_options options = {
	    .path = s->ipc, .version = DPVSHA_VERSION, .started = (uint64_t)time(NULL)};
	struct control_host host;
	struct director *director = &master->director;
	size_t rcu_size = rte_rcu_qsbr_get_memsize(RCU_READERS);
	sigset_t signals;

	the_master = master;
	hash_secret_randomise();
	master->rcu = rte_zmalloc("rcu", rcu_size, RTE_CACHE_LINE_SIZE);
	master->channel.control = ring_new("control", 0, RING_CONTROL, RING_F_SC_DEQ, SOCKET_ID_ANY);
	master->channel.unresolved = ring_new("unresolved", 0, RING_UNRESOLVED, RING_F_SC_DEQ, SOCKET_ID_ANY);
	master->channel.wake_fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
	if (master->rcu == NULL || master->channel.control == NULL || master->channel.unresolved == NULL ||
	    master->channel.wake_fd < 0 || rte_rcu_qsbr_init(master->rcu, RCU_READERS) != 0)
		return error_set(error, "memory", "give more memory (`memory MB`)",
				 "no memory for the master's rings");
	rcu_defer = defer;

	director->net = &master->net;
	director->timeouts = s->timeouts;
	director->expire_quiescent = s->expire_quiescent;
	director->drop_udp_unknown = s->drop_udp_unknown;
	director->drop_tcp_unknown = s->drop_tcp_unknown;
	director->icmp_errors_per_second = 1000;
	director->toa = true;
	/* The driver asks the kernel for "roll-over": a queue that is full sends its packets to another one.
	 */
	for (unsigned int i = 0; i < s->port_count; i++)
		director->flows_wander |= s->ports[i].rx_queues > 1 &&
					  strcmp(master->ports[i].info.driver_name, "net_af_packet") == 0;
	director->services = service_table_new(MAX_SERVICES);
	director->servers = memory_reserve("servers", sizeof(struct server *) * MAX_SERVERS, SOCKET_ID_ANY);
	master->net.forwarding4 = s->forwarding4;
	master->net.forwarding6 = s->forwarding6;
	master->net.ttl = (uint8_t)s->ttl;
	if (director->services == NULL || director->servers == NULL)
		return error_set(error, "memory", "give more memory (`memory MB`)",
				 "no memory for the service tables");
	if (prepare_workers(master, error) < 0)
		return -1;

	master->stack = net_master_new(&master->net, &output, &limits);
	master_host(master, &host);
	master->control = master->stack ? control_new(director, master->stack, &host, &options) : NULL;
	if (master->control == NULL)
		return error_set(error, "memory", NULL, "no memory for the control plane");
	if (control_listen(master->control, error) < 0)
		return -1;

	master->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	signals = master_block_signals();
	master->signal_fd = signalfd(-1, &signals, SFD_NONBLOCK | SFD_CLOEXEC);
	if (master->epoll_fd < 0 || master->signal_fd < 0)
		return error_set(error, "system", NULL, "epoll or signalfd: %s", strerror(errno));
	for (unsigned int i = 0; i < 3; i++) {
		int fd = i == 0	  ? control_fd(master->control)
			 : i == 1 ? master->channel.wake_fd
				  : master->signal_fd;
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		epoll_ctl(master->epoll_fd, EPOLL_CTL_ADD, fd, &event);
	}
	return 0;
}

/* HUP: the launcher reads the file again and sends what changed over the control socket. */
static void reload(const struct master *master)
{
	if (master->settings.reload_words[0] == NULL) {
		log_line(LOG_WARNING_LEVEL, "HUP: started without a reload command, nothing done");
		return;
	}
	log_line(LOG_NOTICE_LEVEL, "HUP: reading the configuration again");
	if (child_start(master->settings.reload_words, -1) < 0)
		log_line(LOG_ERROR, "HUP: cannot start the reload: %s", strerror(errno));
}

static void on_signals(struct master *master)
{
	struct signalfd_siginfo info;

	while (read(master->signal_fd, &info, sizeof(info)) == sizeof(info)) {
		if (info.ssi_signo == SIGHUP) {
			reload(master);
		} else if (info.ssi_signo == SIGCHLD) {
			int status;
			pid_t child;

			while ((child = waitpid(-1, &status, WNOHANG)) > 0)
				if (!watcher_ended(&master->watcher, child, clock_ms()) && status != 0)
					log_line(LOG_WARNING_LEVEL,
						 "reload: not everything was taken over (status %d)",
						 WIFEXITED(status) ? WEXITSTATUS(status) : -1);
		} else {
			log_line(LOG_NOTICE_LEVEL, "ended by signal %u", info.ssi_signo);
			master->stop = true;
		}
	}
}

/* Packets of the workers. @return whether there may be more */
static bool serve_rings(struct master *master, uint64_t now)
{
	struct rte_mbuf *mbufs[MASTER_BURST];
	unsigned int control, unresolved;

	control = rte_ring_sc_dequeue_burst(master->channel.control, (void **)mbufs, MASTER_BURST, NULL);
	for (unsigned int i = 0; i < control; i++) {
		net_input(master->stack, mbufs[i]->port, rte_pktmbuf_mtod(mbufs[i], uint8_t *),
			  mbufs[i]->data_len, now);
		/* The kernel hears ARP and ND as well: it answers for its own addresses, and learns its
		 * neighbours. What came by the wire or was mirrored it has already. */
		if (master->net.ports[mbufs[i]->port].has_twin &&
		    !master->net.ports[mbufs[i]->port].mirrored &&
		    !twin_has_it(&master->twins, &master->net, mbufs[i]))
			twin_give(&master->twins, mbufs[i]);
		else
			rte_pktmbuf_free(mbufs[i]);
	}
	if (control != 0)
		twins_wake(&master->twins);
	unresolved = rte_ring_sc_dequeue_burst(master->channel.unresolved, (void **)mbufs, MASTER_BURST,
					       NULL);
	for (unsigned int i = 0; i < unresolved; i++) {
		const struct mbuf_note *note = mbuf_note(mbufs[i]);

		net_resolve(master->stack, note->port, (enum family)note->family, &note->next_hop, mbufs[i],
			    now);
	}
	return control == MASTER_BURST || unresolved == MASTER_BURST;
}

void master_run(struct master *master)
{
	struct master_channel *channel = &master->channel;

	while (!master->stop) {
		struct epoll_event events[8];
		uint64_t now = clock_ms(), due, watcher_due, wait = WAIT_MAX_MS, count;
		bool more = serve_rings(master, now);
		int control;

		control = control_work(master->control, now);
		if (now - master->link_checked_ms >= LINK_POLL_MS) {
			uint32_t changed = ports_refresh(master->ports, master->settings.port_count,
							 &master->net);

			master->link_checked_ms = now;
			for (unsigned int i = 0; i < master->settings.port_count; i++)
				if (changed >> i & 1) {
					net_port_changed(master->stack, (uint16_t)i, now);
					twin_follow(&master->twins, (uint16_t)i, &master->net.ports[i]);
				}
		}
		/* Behind all that sets its timers: a new address is announced now, not at the next turn. */
		due = net_tick(master->stack, now);
		flow_follow(master->ports, master->settings.port_count, master->workers,
			    master->settings.worker_count, &master->director, master->settings.flow_rules);
		groups_follow(&master->groups, master->ports, &master->net, master->stack);
		watcher_due = watcher_work(&master->watcher, now);
		reclaim(master);

		wait = RTE_MIN(wait, master->link_checked_ms + LINK_POLL_MS - now);
		if (watcher_due != UINT64_MAX)
			wait = RTE_MIN(wait, watcher_due);
		if (due != UINT64_MAX)
			wait = RTE_MIN(wait, due > now ? due - now : 0);
		if (control != CONTROL_NEVER)
			wait = RTE_MIN(wait, (uint64_t)control);
		if (master->deferred_first != NULL)
			wait = RTE_MIN(wait, (uint64_t)RECLAIM_MS);
		if (more)
			wait = 0;
		/* Says that it sleeps, then looks once more: a worker that filled a ring in between wakes it.
		 */
		__atomic_store_n(&channel->asleep, wait != 0, __ATOMIC_SEQ_CST);
		if (wait != 0 && (!rte_ring_empty(channel->control) || !rte_ring_empty(channel->unresolved)))
			wait = 0;
		if (epoll_wait(master->epoll_fd, events, RTE_DIM(events), (int)wait) < 0 && errno != EINTR)
			log_line(LOG_ERROR, "epoll_wait: %s", strerror(errno));
		__atomic_store_n(&channel->asleep, 0, __ATOMIC_SEQ_CST);
		while (read(channel->wake_fd, &count, sizeof(count)) > 0)
			;
		on_signals(master);
	}
}
