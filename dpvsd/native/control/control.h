/* The master's side of the control contract (control.proto): the model of everything that is configured, and
 * the socket at which it is changed and read.
 *
 * The master thread owns all of it: it waits on control_fd() in its own epoll set, and calls control_work()
 * when that is readable or when the time has come that the last call named. Nothing here blocks, and no call
 * works for much longer than CONTROL_TURN_MS. */
#ifndef DPVSHA_CONTROL_H
#define DPVSHA_CONTROL_H

#include "../core/director.h"

enum {
	CONTROL_MESSAGE_MAX = 4 * 1024 * 1024,
	CONTROL_CLIENTS_MAX = 256,
	CONTROL_TURN_MS = 5,
	CONTROL_NEVER = -1,
	SETTING_NAME_SIZE = 64,
	SETTING_VALUE_SIZE = 1024,
};

/* ---- what the model needs of ports, workers and the process: filled in by the master, faked by tests ----
 */

struct link_counters {
	uint64_t rx_packets, tx_packets, rx_bytes, tx_bytes;
	uint64_t rx_missed, rx_errors, tx_errors, rx_no_buffer, tx_dropped;
};

/* A port as dpip link show has it. Name, MAC, MTU and state come from net->ports. */
struct link_info {
	uint32_t rx_queues, tx_queues;
	int32_t socket;
	uint32_t speed; /* Mbps, 0: unknown */
	bool full_duplex, autonegotiation, promiscuous, allmulticast, forward2kni, lldp;
	char driver[NAME_SIZE];
	char bus[80];
	char twin[NAME_SIZE]; /* kernel twin, empty: none */
	char twin_kind[NAME_SIZE]; /* tap virtio-user */
	uint32_t offloads;
	char offload[16][24]; /* OF_RX_IP_CSUM ... */
	struct link_counters counters;
};

/* What an operation asks of a port; fields whose bit in `what` is not set stay as they are. */
enum link_change_what {
	LINK_PROMISCUOUS = 1 << 0,
	LINK_ALLMULTICAST = 1 << 1,
	LINK_FORWARD2KNI = 1 << 2,
	LINK_UP = 1 << 3,
	LINK_MAC = 1 << 4,
	LINK_LLDP = 1 << 5,
	LINK_MTU = 1 << 6,
};

struct link_change {
	uint32_t what;
	bool promiscuous, allmulticast, forward2kni, up, lldp;
	uint8_t mac[6];
	uint16_t mtu;
};

/* A thread of the process: number 0 of worker_info is the first worker; the master and others come behind. */
struct worker_info {
	uint32_t number, lcore, cpu;
	int32_t socket; /* NUMA node, -1: any */
	char name[NAME_SIZE];
	const char *role; /* master worker kni */
	uint64_t loops, busy_loops, sleeps, rx_packets, tx_packets, cycles, busy_cycles, bursts_full;
	uint32_t queues;
	char queue[MAX_PORTS][NAME_SIZE + 16]; /* "dpdk0:rx0,tx0" */
};

struct memory_info {
	char name[NAME_SIZE + 16];
	uint64_t size, used;
	const char *unit; /* bytes, objects */
};

struct multicast_info {
	uint8_t mac[6];
	uint32_t references;
};

struct flow_info {
	uint16_t port;
	uint8_t family;
	union ip_addr address;
	bool hardware;
};

struct counter_info {
	char name[64];
	const char *help;
	uint64_t value;
};

/* Callbacks that list take a position from 0 on and return false behind the last. Those that change return 0,
 * or -1 with the error filled in and nothing changed; with `check` they only say whether they would. All may
 * be NULL: then there is nothing to list, and changes are refused as unsupported. */
struct control_host {
	void *context;
	bool (*link_info)(void *context, uint16_t port, struct link_info *info);
	int (*link_set)(void *context, uint16_t port, const struct link_change *change, bool check,
			struct error *error);
	void (*link_zero)(void *context, uint16_t port);
	bool (*worker_info)(void *context, uint32_t position, struct worker_info *info);
	bool (*memory_info)(void *context, uint32_t position, struct memory_info *info);
	bool (*multicast_info)(void *context, uint16_t port, uint32_t position, struct multicast_info *info);
	/* What the kernel has joined on the port's twin, all of it; takes effect at once. */
	int (*groups_set)(void *context, uint16_t port, const uint8_t (*macs)[6], uint32_t count,
			  struct error *error);
	/* The port's twin may have changed in the kernel; `was_down`: taken down since the last look. */
	void (*twin_look)(void *context, uint16_t port, bool was_down);
	/* Named counters besides those of the packets' ways. */
	bool (*counter_info)(void *context, uint32_t position, struct counter_info *info);
	bool (*setting_info)(void *context, uint32_t position, char name[SETTING_NAME_SIZE],
			     char value[SETTING_VALUE_SIZE]);
	/* The value that runs now; false: there is no such setting. */
	bool (*setting_get)(void *context, const char *name, char value[SETTING_VALUE_SIZE]);
	int (*setting_set)(void *context, const char *name, const char *value, bool check,
			   struct error *error);
	bool (*flow_info)(void *context, uint32_t position, struct flow_info *info);
	int (*flow_set)(void *context, bool add, const struct flow_info *flow, bool check,
			struct error *error);
	/* For the log of the process, one line. */
	void (*log)(void *context, int priority, const char *text);
	/* What became of the packets that workers handed to the master, and what the master sent itself; its
	 * `held` counts the packets it let go, so that the gauge is the workers' held minus it. NULL: none.
	 */
	const struct packet_counters *master_counters;
};

/* ---- life ---- */

struct control_options {
	const char *path; /* of the socket */
	const char *version;
	uint64_t started; /* Unix time */
	uint32_t stalled_client_ms; /* a client that reads nothing for so long is dropped; 0: 60 s */
	uint32_t half_message_ms; /* a message, or the hello, must be whole after so long; 0: 10 s */
	uint32_t output_bytes; /* per client that may wait to be read, before its requests wait; 0: 256 kB */
};

struct control;
struct net_master;

/* Makes the model over a director and its stack; both stay the caller's. No socket yet. NULL: no memory. */
struct control *control_new(struct director *director, struct net_master *net,
			    const struct control_host *host, const struct control_options *options);
/* Ends clients and removes the socket. What the workers still read is not freed: call it when they have
 * ended, or not at all. */
void control_free(struct control *control);

/* Binds the socket, mode 0660. Replaces the socket of a process that is gone; refuses with "busy" when
 * somebody answers there. */
int control_listen(struct control *control, struct error *error);

/* 32 hex digits, new at each start. */
const char *control_boot_id(const struct control *control);

/* To be watched for reading. */
int control_fd(const struct control *control);

/* Serves clients, and does what is due of the model (rates, servers and local addresses that are no longer
 * used). `now_ms`: the master's monotonic clock.
 * Operations set timers of the stack: after a batch the answer is 0, so that net_tick() comes round at once.
 * @return milliseconds until the next call if control_fd() does not ask for one sooner; 0: there is more to
 * do now */
int control_work(struct control *control, uint64_t now_ms);

/* ---- the model without the socket: batches and rows as bytes of protobuf, for tests and fuzzers ---- */

struct model;
struct model *control_model(struct control *control);

#endif
