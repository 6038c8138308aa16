/* Connections of one worker: table, states, time-outs. Nobody else touches them.
 *
 * A connection is 128 bytes. For IPv4 everything that a packet needs stands in its first cache line; IPv6
 * keeps its addresses in the second. The index is made of 64-byte buckets with 12 one-byte tags each, so that
 * looking up a packet costs two cache misses (bucket, connection), and both are prefetched for a whole burst
 * before the first is used. Time-outs hang on a wheel of coarse ticks: a packet only notes when it came; the
 * wheel finds out, when the old time is up, that there is a new one. */
#ifndef DPVSHA_CONNECTION_H
#define DPVSHA_CONNECTION_H

#include "base.h"
#include "packet.h"

enum {
	TICKS_PER_SECOND = 8,
	CONN_NONE = UINT32_MAX,
	DIRECTION_IN = 0, /* client to server */
	DIRECTION_OUT = 1,
};

enum tcp_state {
	TCP_NONE,
	TCP_ESTABLISHED,
	TCP_SYN_SENT,
	TCP_SYN_RECV,
	TCP_FIN_WAIT,
	TCP_TIME_WAIT,
	TCP_CLOSE,
	TCP_CLOSE_WAIT,
	TCP_LAST_ACK,
	TCP_LISTEN,
	TCP_SYNACK,
	TCP_LAST,
	TCP_STATE_COUNT,
};

enum udp_state {
	UDP_ONE_WAY,
	UDP_NORMAL,
	UDP_LAST,
	UDP_STATE_COUNT,
};

enum connection_flag {
	CONNECTION_ACTIVE = 1 << 0, /* counted as active, otherwise as inactive */
	CONNECTION_ONE_PACKET = 1 << 1,
	CONNECTION_TOA_DONE = 1 << 2, /* the client's address was sent in an option often enough */
	CONNECTION_CLAMP = 1 << 3, /* MSS of the handshake is lowered to what both paths carry */
	CONNECTION_FIN_CLIENT = 1 << 4,
	CONNECTION_FIN_SERVER = 1 << 5,
	CONNECTION_INDEXED_IN = 1 << 6, /* found by packets of the client */
	CONNECTION_INDEXED_OUT = 1 << 7, /* found by packets of the server */
	CONNECTION_TOA_SENT = 3 << 8, /* how many segments carried the client's address already: two bits */
};

struct connection {
	/* IPv4 addresses; for IPv6 see the second line. Client and virtual address face the client, local and
	 * server address the server. NAT: local is the client's. */
	rte_be32_t client4, virtual4, local4, server4;
	rte_be16_t client_port, virtual_port, local_port, server_port;
	uint8_t protocol;
	/* Family towards the client << 4 | family towards the server: they differ in NAT64. */
	uint8_t families;
	uint8_t state; /* enum tcp_state or enum udp_state */
	uint8_t forward; /* enum forward */
	uint32_t server; /* index */
	/* Next hop (0: none) and path MTU by direction, cached; valid while `generation` is the net's. */
	uint16_t adjacency[2];
	uint16_t mtu[2];
	uint16_t generation; /* low bits */
	uint16_t flags; /* enum connection_flag */
	uint32_t last_seen; /* tick */
	uint32_t timeout; /* ticks, 0: the record is free */
	uint32_t wheel_next, wheel_previous;
	uint32_t control; /* index of its persistence template, CONN_NONE */
	/* second cache line */
	union ip_addr client6, virtual6, local6, server6;
} __rte_cache_aligned;

_Static_assert(sizeof(struct connection) == 128, "a connection is two cache lines");
_Static_assert(offsetof(struct connection, client6) == 64, "the first holds all that IPv4 needs");

struct connection_table;

/* @param capacity connections */
struct connection_table *connection_table_new(uint32_t capacity, int socket);
void connection_table_free(struct connection_table *table);
uint32_t connection_table_count(const struct connection_table *table);
uint32_t connection_table_capacity(const struct connection_table *table);
/* Bytes per connection with its share of the index. */
size_t connection_table_bytes(const struct connection_table *table);

struct connection *connection_at(const struct connection_table *table, uint32_t index);

/* Hash of a key, as connection_find and its stages use it. */
uint32_t flow_hash(const struct flow_key *key);

/* The stages of looking up a burst: prefetch, then find. The first sets packets[].hash, and asks for the
 * buckets, of every packet whose verdict is still VERDICT_NONE and whose key is set (family != 0). */
void connection_prefetch(const struct connection_table *table, struct packet *packets, unsigned int count);
/* Sets packets[].found of the same. */
void connection_find_burst(const struct connection_table *table, struct packet *packets, unsigned int count);
/* One by one; CONN_NONE or connection << 1 | direction. */
uint32_t connection_find(const struct connection_table *table, const struct flow_key *key);

/* Is this (connection << 1 | direction) still the one with this key? */
bool connection_is(const struct connection_table *table, uint32_t found, const struct flow_key *key);

/* Takes a free record, zeroed; CONN_NONE when the table is full. */
uint32_t connection_take(struct connection_table *table);
/* Enters a filled-in record into the index (by its client side, and by its server side when
 * CONNECTION_INDEXED_OUT), and starts its time-out. -1 when the index has no room: the caller gives the
 * record back. */
int connection_insert(struct connection_table *table, uint32_t index, uint32_t now);
/* Takes it out of index and wheel and frees the record. */
void connection_remove(struct connection_table *table, uint32_t index);
/* Takes it out of the index only: no packet finds it any more, its time-out goes on. */
void connection_retire(struct connection_table *table, uint32_t index);
/* Gives back a record that was never inserted. */
void connection_give(struct connection_table *table, uint32_t index);
/* A time-out that may end earlier than the one before: moves the connection on the wheel if so. */
void connection_set_timeout(struct connection_table *table, uint32_t index, uint32_t ticks, uint32_t now);

/* Calls expired(context, index) for connections whose time is up, at most `budget` looked at; the callback
 * removes or renews.
 * @return false when there is more to do at this tick */
bool connection_expire(struct connection_table *table, uint32_t now, unsigned int budget,
		       void (*expired)(void *context, uint32_t index), void *context);

/* Keys of a connection by direction. */
void connection_key(const struct connection *c, int direction, struct flow_key *key);

static inline enum family connection_client_family(const struct connection *c)
{
	return (enum family)(c->families >> 4);
}

static inline enum family connection_server_family(const struct connection *c)
{
	return (enum family)(c->families & 15);
}

const char *tcp_state_name(enum tcp_state state);

/* Reading by another thread (the master, for listings): records are read while the worker writes; a torn one
 * is possible and harmless. Copies those in use from *cursor on (0: from the start), and looks at LIST_SPAN
 * records at most; *cursor moves, and is CONN_NONE at the end. */
enum { LIST_SPAN = 8192 };
size_t connection_list(const struct connection_table *table, uint32_t *cursor, struct connection *out,
		       size_t max);

#endif
