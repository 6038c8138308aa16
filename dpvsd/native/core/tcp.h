/* What a director has to know of TCP: one state per connection, from the flags that pass by (names as in
 * LVS). */
#ifndef DPVSHA_TCP_H
#define DPVSHA_TCP_H

#include "connection.h"

enum {
	TCP_FLAG_FIN = 1,
	TCP_FLAG_SYN = 2,
	TCP_FLAG_RST = 4,
	TCP_FLAG_ACK = 16,
};

/* The state after a segment with these flags in this direction; notes FINs in *flags (enum connection_flag).
 * States are seen from the server: a FIN of the server first is FIN_WAIT, one of the client first CLOSE_WAIT.
 */
enum tcp_state tcp_next(enum tcp_state state, uint8_t tcp_flags, int direction, uint16_t *flags);

/* May a SYN of the client begin a new connection with the same ports? Both sides are done, or never were. */
static inline bool tcp_reusable(enum tcp_state state)
{
	return state == TCP_TIME_WAIT || state == TCP_CLOSE || state == TCP_LAST_ACK ||
	       state == TCP_FIN_WAIT || state == TCP_CLOSE_WAIT;
}

#endif
