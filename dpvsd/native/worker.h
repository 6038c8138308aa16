/* A forwarding thread: one core, its own queues of every port, its own connections. Runs to completion on
 * each burst. */
#ifndef DPVSHA_WORKER_H
#define DPVSHA_WORKER_H

#include <rte_rcu_qsbr.h>

#include "channel.h"
#include "core/pipeline.h"
#include "port/fragment.h"
#include "port/port.h"
#include "settings.h"
#include "twin.h"

enum { SEND_BURST = 64 };

struct worker_queue_runtime {
	uint16_t port;
	uint16_t ethdev;
	int rx; /* -1: none */
	uint64_t packets; /* that came by a queue for control traffic */
};

struct send_buffer {
	uint16_t ethdev;
	int tx; /* queue, -1: this worker does not send there */
	uint16_t count;
	uint64_t dropped; /* that the port did not take */
	struct rte_mbuf *packets[SEND_BURST];
};

/* Packets of a burst for another worker: they go over together, since each visit to its ring fetches cache
 * lines from its core. */
struct handover_buffer {
	uint16_t count;
	struct rte_mbuf *packets[BURST_MAX];
};

/* Written by the worker, read by the master. */
struct worker_counters {
	uint64_t loops, busy_loops, sleeps;
	uint64_t rx_packets, tx_packets;
	uint64_t cycles, busy_cycles;
	uint64_t full_bursts;
};

struct worker {
	const struct worker_setting *setting;
	struct director *director;
	struct worker_view *view;
	struct worker *all; /* every worker, by number */
	struct master_channel *master;
	struct rte_ring *handover; /* packets from other workers */
	struct rte_ring *send; /* packets from the master, with their port noted */
	struct rte_ring *twin_send[TWIN_CLASSES]; /* frames from the kernel twins, likewise */
	struct twins *twins;
	struct rte_mempool *pool;
	struct rte_rcu_qsbr *rcu;
	struct fragments *fragments;
	uint32_t fragment_id; /* of the next packet that is cut */
	struct worker_queue_runtime queues[MAX_QUEUES_OF_WORKER];
	unsigned int queue_count;
	struct worker_queue_runtime control_queues[MAX_PORTS]; /* looked at before the others */
	unsigned int control_queue_count;
	uint16_t burst;
	bool adaptive;
	uint32_t stop; /* set by the master */
	int socket;
	struct worker_counters counters;
	struct send_buffer send_buffers[MAX_PORTS];
	uint64_t handing_over; /* workers whose buffer is not empty, a bit each */
	struct handover_buffer handover_buffers[MAX_WORKERS];
} __rte_cache_aligned;

_Static_assert(MAX_WORKERS <= 64, "a bit for each worker");

/* Makes what the worker needs besides its queues. -1 with the error.
 * @param packets_in_pieces that may wait for their other fragments (fragments_limit) */
int worker_prepare(struct worker *worker, uint32_t connections, uint32_t packets_in_pieces,
		   struct error *error);
/* Body of the thread (rte_eal_remote_launch): returns when stop is set. */
int worker_run(void *worker);

/* Milliseconds of a monotonic clock. */
uint64_t clock_ms(void);

#endif
