/* The control thread: neighbours, control socket, signals, reclaiming of what workers no longer see. Sleeps
 * when idle. */
#ifndef DPVSHA_MASTER_H
#define DPVSHA_MASTER_H

#include <signal.h>

#include "channel.h"
#include "child.h"
#include "control/control.h"
#include "port/groups.h"
#include "port/port.h"
#include "worker.h"

struct deferred;

enum { MAX_FLOWS = 1024 };

struct master {
	struct settings settings;
	struct net net;
	struct director director;
	struct net_master *stack;
	struct control *control;
	struct port ports[MAX_PORTS];
	struct worker workers[MAX_WORKERS];
	struct worker_view views[MAX_WORKERS];
	struct rte_mempool *pools[RTE_MAX_NUMA_NODES];
	struct master_channel channel;
	struct twins twins;
	struct groups groups;
	struct watcher watcher;
	struct flow_info flows[MAX_FLOWS];
	uint32_t flow_count;
	struct packet_counters counters; /* ends of held packets */
	struct rte_rcu_qsbr *rcu;
	struct deferred *deferred_first, *deferred_last;
	uint64_t link_checked_ms;
	uint64_t unreachable_second; /* rate of "host unreachable" */
	uint32_t unreachable_sent;
	uint64_t claims_quiet_until[MAX_PORTS]; /* somebody claimed an address of ours: said */
	struct link_counters link_base[MAX_PORTS]; /* subtracted since the last zeroing */
	int epoll_fd, signal_fd;
	bool stop;
};

/* Keeps the signals that the master reads from a descriptor from ending the process. Before rte_eal_init: the
 * threads of EAL inherit it, and one that did not would be killed by the first HUP. */
sigset_t master_block_signals(void);
/* Makes rings, tables, stack and control out of the settings; ports and pools exist already. -1 with the
 * error. */
int master_prepare(struct master *master, struct error *error);
/* Behind the start of the ports, before that of the workers: each queue for control traffic gets a worker,
 * the one that has the port's first queue. */
void master_control_queues(struct master *master);
/* Runs until a signal ends it. */
void master_run(struct master *master);

/* Fills in the callbacks of control (host.c). */
void master_host(struct master *master, struct control_host *host);
/* Changes a port; its twin is not touched. -1 with the error. */
int master_link_set(struct master *master, uint16_t port, const struct link_change *change,
		    struct error *error);
/* Those about the kernel twins (host_twin.c). */
void master_host_twins(struct control_host *host);

#endif
