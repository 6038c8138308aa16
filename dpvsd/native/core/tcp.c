#include "tcp.h"

static const char *const names[TCP_STATE_COUNT] = {
    [TCP_NONE] = "NONE",	 [TCP_ESTABLISHED] = "ESTABLISHED", [TCP_SYN_SENT] = "SYN_SENT",
    [TCP_SYN_RECV] = "SYN_RECV", [TCP_FIN_WAIT] = "FIN_WAIT",	    [TCP_TIME_WAIT] = "TIME_WAIT",
    [TCP_CLOSE] = "CLOSE",	 [TCP_CLOSE_WAIT] = "CLOSE_WAIT",   [TCP_LAST_ACK] = "LAST_ACK",
    [TCP_LISTEN] = "LISTEN",	 [TCP_SYNACK] = "SYNACK",	    [TCP_LAST] = "LAST",
};

const char *tcp_state_name(enum tcp_state state)
{
	return (unsigned int)state < TCP_STATE_COUNT ? names[state] : "?";
}

enum tcp_state tcp_next(enum tcp_state state, uint8_t tcp_flags, int direction, uint16_t *flags)
{
	if (tcp_flags & TCP_FLAG_RST)
		return TCP_CLOSE;
	if (tcp_flags & TCP_FLAG_SYN) {
		/* SYN of the client, SYN/ACK of the server: both belong to the handshake. */
		if (state == TCP_NONE || state == TCP_SYN_SENT)
			return direction == DIRECTION_IN ? TCP_SYN_RECV : TCP_SYN_SENT;
		return state;
	}
	if (tcp_flags & TCP_FLAG_FIN)
		*flags |= direction == DIRECTION_IN ? CONNECTION_FIN_CLIENT : CONNECTION_FIN_SERVER;

	switch (*flags & (CONNECTION_FIN_CLIENT | CONNECTION_FIN_SERVER)) {
	case CONNECTION_FIN_CLIENT:
		return state == TCP_CLOSE ? state : TCP_CLOSE_WAIT;
	case CONNECTION_FIN_SERVER:
		return state == TCP_CLOSE ? state : TCP_FIN_WAIT;
	case CONNECTION_FIN_CLIENT | CONNECTION_FIN_SERVER:
		if (state == TCP_CLOSE_WAIT)
			return TCP_LAST_ACK;
		/* The client acknowledges the server's FIN, which was the second one. */
		if (state == TCP_LAST_ACK)
			return direction == DIRECTION_IN && !(tcp_flags & TCP_FLAG_FIN) ? TCP_CLOSE
											: TCP_LAST_ACK;
		return state == TCP_CLOSE ? state : TCP_TIME_WAIT;
	}
	/* No FIN yet. Established by the client's ACK; direct routing never shows what the server sends. */
	if ((state == TCP_SYN_RECV || state == TCP_NONE) && direction == DIRECTION_IN &&
	    (tcp_flags & TCP_FLAG_ACK))
		return TCP_ESTABLISHED;
	return state;
}
