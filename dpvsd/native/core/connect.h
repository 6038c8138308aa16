/* Beginning and end of connections: lists, persistence, scheduling, local port, counting. */
#ifndef DPVSHA_CONNECT_H
#define DPVSHA_CONNECT_H

#include "director.h"

/* Opens a connection for a packet to a service. On refusal the packet is dropped with its reason.
 * @return the connection, inserted; CONN_NONE when refused */
uint32_t connection_open(const struct director *director, struct worker_view *view, struct service *service,
			 struct packet *p);

/* Ends a connection now: counters, local port, template. */
void connection_close(const struct director *director, struct worker_view *view, uint32_t index);

/* Moves it between active and inactive, and its time-out to that of its state. */
void connection_enter(const struct director *director, struct worker_view *view, uint32_t index,
		      uint8_t state);

/* Ends what is due, for at most `budget` connections and templates. */
void connections_tick(const struct director *director, struct worker_view *view, unsigned int budget);

#endif
