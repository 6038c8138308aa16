#include "control_queue.h"

#include <netinet/in.h>
#include <stdio.h>

#include <rte_errno.h>
#include <rte_flow.h>

#include "../log.h"

enum {
	CONTROL_BUFFERS = 2047, /* descriptors, the ring towards the kernel, and what is in hand */
	RETA_MOST = RTE_ETH_RSS_RETA_SIZE_512,
	NEIGHBOUR_SOLICITATION = 135,
	NEIGHBOUR_ADVERTISEMENT = 136,
};

/* One rule. What is 0 is not looked at. Each of them is control traffic for twin_classify(), too. */
struct kind {
	const char *name;
	enum rte_flow_item_type l3; /* VOID: not looked at */
	uint16_t ethertype;
	uint8_t protocol;
	uint16_t source, destination;
	uint8_t icmp6;
};

#define BOTH(name, ...)                                                                                      \
	{name, RTE_FLOW_ITEM_TYPE_IPV4, __VA_ARGS__},                                                        \
	{                                                                                                    \
		name, RTE_FLOW_ITEM_TYPE_IPV6, __VA_ARGS__                                                   \
	}

/* The most urgent first, since tables may be small. */
static const struct kind kinds[] = {
    BOTH("VRRP", .protocol = 112),
    BOTH("OSPF", .protocol = 89),
    BOTH("BFD", .protocol = IPPROTO_UDP, .destination = 3784),
    BOTH("BFD", .protocol = IPPROTO_UDP, .destination = 4784),
    BOTH("BGP", .protocol = IPPROTO_TCP, .destination = 179),
    BOTH("BGP", .protocol = IPPROTO_TCP, .source = 179),
    {"AH", RTE_FLOW_ITEM_TYPE_IPV4, .protocol = IPPROTO_AH},
    {"ARP", RTE_FLOW_ITEM_TYPE_VOID, .ethertype = RTE_ETHER_TYPE_ARP},
    {"ND", RTE_FLOW_ITEM_TYPE_IPV6, .protocol = IPPROTO_ICMPV6, .icmp6 = NEIGHBOUR_SOLICITATION},
    {"ND", RTE_FLOW_ITEM_TYPE_IPV6, .protocol = IPPROTO_ICMPV6, .icmp6 = NEIGHBOUR_ADVERTISEMENT},
};

_Static_assert(RTE_DIM(kinds) <= CONTROL_RULES_MAX, "a port has room for all");

enum control_queue_answer control_queue_ask(const struct port *port, const char **why)
{
	const struct port_setting *s = port->setting;
	const struct rte_flow_attr nothing = {0};
	const struct rte_flow_item pattern[] = {{.type = RTE_FLOW_ITEM_TYPE_END}};
	const struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_error error = {0};

	/* A virtual device has no queue that a flood of another would spare. */
	if (s->twin[0] == '\0' || strncmp(s->device, "net_", 4) == 0)
		return CONTROL_QUEUE_USELESS;
	/* A rule that no driver takes: those without rte_flow say so. */
	if (rte_flow_validate(port->ethdev, &nothing, pattern, actions, &error) == -ENOSYS)
		*why = "its driver has no rte_flow";
	else if (s->rx_queues >= port->info.max_rx_queues)
		*why = "it has no queue to spare";
	else if (port->info.reta_size > RETA_MOST || (port->info.reta_size == 0 && s->rx_queues > 1))
		*why = "its driver cannot leave a queue out of RSS";
	else
		return CONTROL_QUEUE_POSSIBLE;
	return CONTROL_QUEUE_IMPOSSIBLE;
}

struct rte_mempool *control_queue_pool(const struct port *port, struct rte_mempool *like, int socket)
{
	char name[32];

	snprintf(name, sizeof(name), "control-queue-%u", port->number);
	return rte_pktmbuf_pool_create(name, CONTROL_BUFFERS, 0, rte_pktmbuf_priv_size(like),
				       rte_pktmbuf_data_room_size(like), socket);
}

static int leave_out_of_rss(const struct port *port)
{
	struct rte_eth_rss_reta_entry64 table[RETA_MOST / RTE_ETH_RETA_GROUP_SIZE];
	uint16_t size = port->info.reta_size;

	if (size == 0)
		return 0;
	memset(table, 0, sizeof(table));
	for (uint16_t i = 0; i < size; i++) {
		table[i / RTE_ETH_RETA_GROUP_SIZE].mask |= 1ull << i % RTE_ETH_RETA_GROUP_SIZE;
		table[i / RTE_ETH_RETA_GROUP_SIZE].reta[i % RTE_ETH_RETA_GROUP_SIZE] = i % port->setting
											       ->rx_queues;
	}
	return rte_eth_dev_rss_reta_update(port->ethdev, table, size);
}

static struct rte_flow *rule_new(const struct port *port, const struct kind *kind,
				 struct rte_flow_error *error)
{
	const struct rte_flow_attr attributes = {.ingress = 1};
	const struct rte_flow_item_eth ether = {.hdr.ether_type = rte_cpu_to_be_16(kind->ethertype)},
				       ether_mask = {.hdr.ether_type = UINT16_MAX};
	const struct rte_flow_item_ipv4 ip4 = {.hdr.next_proto_id = kind->protocol},
					mask4 = {.hdr.next_proto_id = UINT8_MAX};
	const struct rte_flow_item_ipv6 ip6 = {.hdr.proto = kind->protocol}, mask6 = {.hdr.proto = UINT8_MAX};
	const rte_be16_t source = rte_cpu_to_be_16(kind->source),
			 destination = rte_cpu_to_be_16(kind->destination),
			 source_mask = source ? UINT16_MAX : 0,
			 destination_mask = destination ? UINT16_MAX : 0;
	const struct rte_flow_item_tcp tcp = {.hdr = {.src_port = source, .dst_port = destination}},
				       tcp_mask = {
					   .hdr = {.src_port = source_mask, .dst_port = destination_mask}};
	const struct rte_flow_item_udp udp = {.hdr = {.src_port = source, .dst_port = destination}},
				       udp_mask = {
					   .hdr = {.src_port = source_mask, .dst_port = destination_mask}};
	const struct rte_flow_item_icmp6 icmp = {.type = kind->icmp6}, icmp_mask = {.type = UINT8_MAX};
	const struct rte_flow_action_queue to = {.index = (uint16_t)port->control_queue};
	const struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
						  {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_item pattern[4] = {{.type = RTE_FLOW_ITEM_TYPE_ETH}};
	unsigned int n = 1;
	bool ports = kind->source || kind->destination;

	if (kind->ethertype)
		pattern[0] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_ETH, .spec = &ether, .mask = &ether_mask};
	/* Where the layer above is an item of its own, it says the protocol. */
	if (kind->l3 != RTE_FLOW_ITEM_TYPE_VOID)
		pattern[n++] = (struct rte_flow_item){.type = kind->l3};
	if (kind->l3 != RTE_FLOW_ITEM_TYPE_VOID && !ports && !kind->icmp6) {
		pattern[1].spec = kind->l3 == RTE_FLOW_ITEM_TYPE_IPV4 ? (const void *)&ip4 : &ip6;
		pattern[1].mask = kind->l3 == RTE_FLOW_ITEM_TYPE_IPV4 ? (const void *)&mask4 : &mask6;
	}
	if (kind->icmp6)
		pattern[n++] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_ICMP6, .spec = &icmp, .mask = &icmp_mask};
	else if (ports && kind->protocol == IPPROTO_TCP)
		pattern[n++] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_TCP, .spec = &tcp, .mask = &tcp_mask};
	else if (ports)
		pattern[n++] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp, .mask = &udp_mask};
	pattern[n] = (struct rte_flow_item){.type = RTE_FLOW_ITEM_TYPE_END};
	if (rte_flow_validate(port->ethdev, &attributes, pattern, actions, error) != 0)
		return NULL;
	return rte_flow_create(port->ethdev, &attributes, pattern, actions, error);
}

/* Adds a name that does not stand there yet. */
static void name_add(char *list, size_t size, const char *name)
{
	size_t length = strlen(list);

	if (strstr(list, name) == NULL)
		snprintf(list + length, size - length, "%s%s", length ? ", " : "", name);
}

int control_queue_start(struct port *port, const char **why)
{
	char taken[96] = "", refused[96] = "";
	const char *reason = NULL;
	int done = leave_out_of_rss(port);

	port->control_rules = 0;
	if (done != 0) {
		*why = strerror(-done);
		return -1;
	}
	for (unsigned int i = 0; i < RTE_DIM(kinds); i++) {
		struct rte_flow_error error = {0};
		struct rte_flow *rule = rule_new(port, &kinds[i], &error);

		if (rule != NULL)
			port->control_flows[port->control_rules++] = rule;
		else if (reason == NULL)
			reason = error.message ? error.message : "not supported";
		name_add(rule ? taken : refused, sizeof(taken), kinds[i].name);
	}
	if (port->control_rules == 0) {
		*why = reason;
		return -1;
	}
	log_line(LOG_NOTICE_LEVEL, "port %s: receive queue %d is for control traffic alone: %s",
		 port->setting->name, port->control_queue, taken);
	if (refused[0])
		log_line(
		    LOG_NOTICE_LEVEL,
		    "port %s: no rte_flow rule for some or all of %s (%s): they share the workers' queues",
		    port->setting->name, refused, reason);
	return 0;
}

void control_queue_end(struct port *port)
{
	struct rte_flow_error error = {0};

	while (port->control_rules > 0)
		if (rte_flow_destroy(port->ethdev, port->control_flows[--port->control_rules], &error) != 0)
			log_line(LOG_WARNING_LEVEL, "port %s: an rte_flow rule for control traffic stays: %s",
				 port->setting->name, error.message ? error.message : "not said why");
}
