/* Network ports: opened by name, queues, counters. What the stack and the workers need of them is in
 * net_port. */
#ifndef DPVSHA_PORT_H
#define DPVSHA_PORT_H

#include <rte_ethdev.h>
#include <rte_mempool.h>

#include "../settings.h"
#include "../stack/net.h"

struct rte_flow;

enum { CONTROL_RULES_MAX = 24 };

struct port {
	const struct port_setting *setting;
	uint16_t ethdev; /* number in DPDK, which need not be ours */
	uint16_t number; /* ours: index in settings and in net->ports */
	struct rte_eth_dev_info info;
	/* flow.c: rules in the NIC; local addresses without, whose replies are handed over in software */
	uint32_t flow_rules, flow_missing;
	bool flow_said; /* that some are missing */
	/* control_queue.c */
	int control_queue; /* -1: none */
	uint32_t control_rules;
	struct rte_flow *control_flows[CONTROL_RULES_MAX];
};

/* Opens all ports of the settings. -1 with the error: which one is missing or refuses what, and what to do.
 * Opened ports stay open: the caller ends the process. */
int ports_open(const struct settings *settings, struct net *net, struct port ports[],
	       struct rte_mempool *pools[], struct error *error);
/* Starts them, and gives control traffic its own queue where that was prepared and the NIC agrees. */
int ports_start(struct port ports[], unsigned int count, struct rte_mempool *pools[], struct error *error);
void ports_close(struct port ports[], unsigned int count);

/* Looks at link states and MTUs as they are now, and writes them to net->ports.
 * @return the ports that changed, a bit each */
uint32_t ports_refresh(struct port ports[], unsigned int count, struct net *net);

#endif
