/* Replies to FullNAT's local ports, steered by the NIC where it can: one rule for each local address, share
 * of ports and transport protocol. An accelerator only: a packet that reaches another worker is handed over
 * in software. */
#ifndef DPVSHA_FLOW_H
#define DPVSHA_FLOW_H

#include "../worker.h"
#include "port.h"

/* Brings the NICs' rules in line with the local addresses that are published. Cheap when nothing changed.
 * Master only. */
void flow_follow(struct port ports[], unsigned int port_count, const struct worker workers[],
		 unsigned int worker_count, const struct director *director, bool enabled);
/* Takes all rules away, before the ports are stopped. */
void flow_end(struct port ports[], unsigned int port_count);

#endif
