/* Multicast groups (MAC addresses) that a port takes: those of the dataplane's own addresses, and those that
 * the kernel has joined on the port's twin. A filter holds the union, so that neither overwrites the other.
 */
#ifndef DPVSHA_GROUPS_H
#define DPVSHA_GROUPS_H

#include "../control/control.h"
#include "port.h"

enum { GROUPS_MAX = 1024 }; /* of a port */

struct group {
	struct rte_ether_addr mac;
	uint32_t references;
};

struct port_groups {
	struct rte_ether_addr *kernel; /* as the watcher told */
	uint32_t kernel_count;
	struct group *all; /* union */
	uint32_t count;
	bool open; /* the filter cannot hold them: the port takes all multicast, or has no filter */
};

struct groups {
	struct port_groups ports[MAX_PORTS];
	uint32_t generation; /* of the net, as last looked at */
	bool changed;
};

/* The kernel's groups on a port's twin are these now. -1 with the error: too many, or no memory. */
int groups_set_kernel(struct groups *groups, uint16_t port, const uint8_t (*macs)[6], uint32_t count,
		      struct error *error);
/* Brings the ports' filters in line. Cheap when nothing changed. Master only. */
void groups_follow(struct groups *groups, struct port ports[], const struct net *net,
		   const struct net_master *stack);

#endif
