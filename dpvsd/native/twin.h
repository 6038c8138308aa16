/* Kernel twins (KNI): beside each port a TAP device, by which the kernel sees what the dataplane does not
 * take for itself, and sends what its programs have to say: VRRP, OSPF, BFD, BGP, ssh. Served by a thread of
 * its own, never by a worker. */
#ifndef DPVSHA_TWIN_H
#define DPVSHA_TWIN_H

#include <pthread.h>

#include "channel.h"
#include "port/port.h"

struct worker;

enum {
	TWIN_QUEUES = 2, /* of each TAP */
	RING_TWIN_CONTROL = 1024,
	RING_TWIN_BULK = 2048,
};

/* Packets towards the kernel are of two classes with a ring each, so that a flood of one leaves room for the
 * other. */
enum twin_class {
	TWIN_CONTROL, /* ARP, ND, VRRP, OSPF, BFD, BGP, IGMP/MLD, LACP, LLDP */
	TWIN_BULK, /* everything else */
	TWIN_CLASSES,
};

struct twin_counters {
	uint64_t to_kernel[TWIN_CLASSES];
	uint64_t to_kernel_dropped[TWIN_CLASSES]; /* the TAP's queue was full */
	uint64_t from_kernel;
	uint64_t from_kernel_dropped; /* no buffer, or the worker's ring was full */
};

struct twin {
	char name[NAME_SIZE]; /* of the TAP, empty: this port has none */
	uint16_t port;
	int fds[TWIN_QUEUES];
	unsigned int queues;
	bool up;
	struct twin_counters counters; /* written by the twins' thread */
};

struct twins {
	struct twin twins[MAX_PORTS];
	unsigned int count; /* ports */
	struct rte_ring
	    *rings[TWIN_CLASSES]; /* from workers and the master; the mbuf's port says which twin */
	struct worker *workers;
	unsigned int worker_count;
	struct rte_mempool *pool;
	int epoll_fd, wake_fd;
	uint32_t asleep;
	uint32_t stop;
	pthread_t thread;
	bool running;
};

/* Creates the TAP devices that the settings name, or takes those that an earlier process left (they are
 * persistent, so that their addresses survive), gives them MAC address and MTU of their port. -1 with the
 * error. */
int twins_open(struct twins *twins, const struct settings *settings, struct net *net, struct error *error);
/* Starts the thread. */
int twins_start(struct twins *twins, struct worker *workers, unsigned int worker_count,
		struct rte_mempool *pool, struct error *error);
/* Ends the thread and closes the descriptors; the TAP devices stay, with their link down. */
void twins_stop(struct twins *twins);
/* MAC, MTU and link of a port changed: the twin follows. Master only. */
void twin_follow(struct twins *twins, uint16_t port, const struct net_port *net_port);

/* Gives a frame (mbuf data at the Ethernet header, mbuf->port set) to the kernel. Takes the mbuf.
 * @return whether there was room; otherwise it is freed */
bool twin_give(struct twins *twins, struct rte_mbuf *m);
/* After the last of a burst: the thread looks. */
void twins_wake(struct twins *twins);

/* Which class a frame is of, from its first bytes. */
enum twin_class twin_classify(const uint8_t *frame, unsigned int length);

#endif
