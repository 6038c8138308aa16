/* A receive queue that control traffic has for itself, where the NIC takes rte_flow rules: behind the queues
 * of the workers, with buffers of its own, left out by RSS, and looked at before all others. What overflows
 * or uses up theirs leaves it alone. */
#ifndef DPVSHA_CONTROL_QUEUE_H
#define DPVSHA_CONTROL_QUEUE_H

#include "port.h"

/* Whether the port, which is not configured yet, could have one. Virtual devices and ports without a twin
 * have no use for it. */
enum control_queue_answer { CONTROL_QUEUE_POSSIBLE, CONTROL_QUEUE_USELESS, CONTROL_QUEUE_IMPOSSIBLE };
/* @param why with CONTROL_QUEUE_IMPOSSIBLE: what is missing */
enum control_queue_answer control_queue_ask(const struct port *port, const char **why);
/* Its buffers: as many as can be on their way to the kernel. NULL: no memory. */
struct rte_mempool *control_queue_pool(const struct port *port, struct rte_mempool *like, int socket);
/* On the started port: RSS spreads over the workers' queues only, then rules lead control traffic to the
 * queue. Kinds of traffic that are refused are logged, and come by the workers' queues. -1: nothing may come
 * by it, `why` says so; the port must be configured without. */
int control_queue_start(struct port *port, const char **why);
/* Takes the rules away, before the port is stopped. */
void control_queue_end(struct port *port);

#endif
