/* Kernel twins (KNI): beside each port a TAP device, by which the kernel sees what the dataplane does not
 * take for itself, and sends what its programs have to say: VRRP, OSPF, BFD, BGP, ssh. Served by a thread of
 * its own, never by a worker.
 *
 * Packets are of two classes, each with its own rings, so that a flood of one leaves room for the other. On a
 * port whose receive queues are the kernel's own sockets (af_packet), control traffic has a socket of its own
 * beside them, the wire: it arrives also when the workers' queues overflow. */
#ifndef DPVSHA_TWIN_H
#define DPVSHA_TWIN_H

#include <pthread.h>
#include <rte_rcu_qsbr.h>

#include "channel.h"
#include "control/control.h"
#include "port/port.h"
#include "twin_class.h"

struct worker;

enum {
	TWIN_QUEUES = 2, /* of each TAP */
	TWIN_RESERVE = 511, /* buffers for control traffic from the kernel when the common ones are used up */
	/* The thread reads tables that the master replaces: its number among the readers. */
	TWIN_READER = MAX_WORKERS,
	RCU_READERS,
};

struct twin_counters {
	uint64_t to_kernel[TWIN_CLASSES];
	uint64_t to_kernel_dropped[TWIN_CLASSES]; /* the TAP did not take it: queue full, or device down */
	uint64_t from_kernel[TWIN_CLASSES];
	uint64_t from_kernel_dropped[TWIN_CLASSES]; /* no buffer, or the worker's ring was full */
	uint64_t wire; /* of to_kernel: came by the wire, past the workers */
};

/* What a twin and its port have in common. */
struct twin_state {
	uint8_t mac[6];
	uint16_t mtu;
	bool up; /* administrative */
};

struct twin {
	char name[NAME_SIZE]; /* of the TAP, empty: this port has none */
	uint16_t port;
	int fds[TWIN_QUEUES]; /* of the TAP's queues; virtio-user: eventfds that say that packets have come */
	unsigned int queues;
	bool virtio; /* by virtio-user */
	uint16_t ethdev; /* virtio-user: its number in DPDK */
	int tap_fd; /* of the TAP, to switch its carrier */
	int wire_fd; /* -1: none */
	bool carrier;
	struct twin_state agreed; /* of the device, when it was last read or written: the master's own */
	bool deaf; /* the kernel refused the port's MAC address or MTU, and that was said */
	struct twin_counters counters; /* written by the twins' thread */
	uint64_t ring_full[TWIN_CLASSES]; /* towards the kernel; written by workers and the master */
};

struct twins {
	struct twin twins[MAX_PORTS];
	unsigned int count; /* ports */
	struct rte_ring *rings[TWIN_CLASSES]; /* from workers and master; the mbuf's port says which twin */
	struct worker *workers;
	unsigned int worker_count;
	const struct net *net;
	struct rte_rcu_qsbr *rcu;
	struct master_channel *channel;
	struct rte_mempool *pool, *reserve;
	struct rte_mempool *virtio_pool; /* what virtio-user receives into; NULL: the twins are plain TAPs */
	int epoll_fd, wake_fd;
	bool armed; /* virtio-user's eventfds tell; the thread's own */
	uint32_t asleep;
	uint32_t stop;
	pthread_t thread;
	bool running;
};

/* The kind of all twins, in dpvs.conf's words. */
static inline const char *twin_kind_name(const struct twin *twin)
{
	return twin->virtio ? "virtio-user" : "tap";
}

/* Creates the TAP devices that the settings name, or takes those that an earlier process left (they are
 * persistent, so that their addresses survive), gives them MAC address and MTU of their port. `pool`: packets
 * of the twins are made like its own. -1 with the error. */
int twins_open(struct twins *twins, const struct settings *settings, struct net *net,
	       const struct port ports[], struct rte_mempool *pool, struct error *error);
/* What the thread works with. */
struct twins_surroundings {
	struct worker *workers;
	unsigned int worker_count;
	struct rte_mempool *pool;
	const struct net *net;
	struct rte_rcu_qsbr *rcu;
	struct master_channel *channel;
};
/* Starts the thread. */
int twins_start(struct twins *twins, const struct twins_surroundings *surroundings, struct error *error);
/* Ends the thread and closes the descriptors; the TAP devices stay, without carrier. */
void twins_stop(struct twins *twins);
/* MAC, MTU or link of a port may have changed by themselves: the twin follows. Master only. */
void twin_follow(struct twins *twins, uint16_t port, const struct net_port *net_port);

/* Gives a frame (mbuf data at the Ethernet header, mbuf->port set) to the kernel. Takes the mbuf.
 * @return whether there was room; otherwise it is freed */
bool twin_give(struct twins *twins, struct rte_mbuf *m);
/* Whether the kernel and the master have this frame already, by the port's wire. */
static inline bool twin_has_it(const struct twins *twins, const struct net *net, const struct rte_mbuf *m)
{
	return twins->twins[m->port].wire_fd >= 0 &&
	       twin_wire_takes(net, rte_pktmbuf_mtod(m, const uint8_t *), m->data_len);
}
/* After the last of a burst: the thread looks. */
void twins_wake(struct twins *twins);

/* ---- twin_follow.c: the master's ---- */

/* Gives the twin what its port has of `items` (LINK_MAC, LINK_MTU), whatever it had. LINK_UP: the twin keeps
 * its administrative state, but what the kernel was told of it until now counts no more. */
void twin_dress(struct twin *twin, const struct net_port *net_port, uint32_t items);
/* Compares the twin with what both sides last had. @return what of the port has to follow, in `change` */
uint32_t twin_compare(struct twin *twin, const struct net_port *net_port, bool was_down,
		      struct link_change *change);

/* ---- twin_device.c ---- */

/* The TAP with this name, its queues in twin->fds. -1 with the error. */
int twin_device_open(struct twin *twin, struct error *error);
/* MAC address, MTU and administrative state as the kernel has them now. @return whether the device is there
 */
bool twin_device_read(const struct twin *twin, struct twin_state *now);
/* @return 0, or errno: ENODEV where the twin is in another network namespace */
int twin_device_set_mac(const struct twin *twin, const uint8_t mac[6]);
int twin_device_set_mtu(const struct twin *twin, uint16_t mtu);
/* Administrative state. */
void twin_device_set_up(const struct twin *twin, bool up);
/* Carrier, as if a cable were plugged or pulled: the operator's addresses and routes stay. */
void twin_device_set_carrier(struct twin *twin, bool carrier);

/* ---- twin_virtio.c ---- */

/* Hands the open TAP of a twin over to virtio-user, which receives into `pool`. -1 with the error. */
int twin_virtio_open(struct twin *twin, const struct net_port *port, struct rte_mempool *pool,
		     struct error *error);
void twin_virtio_close(struct twin *twin);
/* Buffers for what all twins receive: their rings full, and `waiting` more on their way. NULL: no memory. */
struct rte_mempool *twin_virtio_pool(const struct settings *settings, struct rte_mempool *like,
				     unsigned int waiting);
/* Packets of one class that a twin's send ring may hold when they have long been read. */
unsigned int twin_virtio_held(void);
/* To the kernel; takes all mbufs. May wait a millisecond for room. @return how many the kernel takes */
unsigned int twin_virtio_send(const struct twin *twin, enum twin_class class, struct rte_mbuf *mbufs[],
			      unsigned int count);
unsigned int twin_virtio_receive(const struct twin *twin, unsigned int queue, struct rte_mbuf *mbufs[],
				 unsigned int room);
/* Whether packets that come are told by the queues' eventfds. */
void twin_virtio_arm(const struct twin *twin, bool armed);

/* ---- twin_wire.c ---- */

/* A socket at the kernel device with this index that hears control traffic only. -1: there is none. */
int twin_wire_open(unsigned int device);
/* Its filter, over Ethernet frames. */
struct sock_fprog;
const struct sock_fprog *twin_wire_filter(void);

#endif
