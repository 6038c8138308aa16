#include "flow.h"

#include <stdlib.h>

#include <rte_flow.h>

#include "../log.h"

enum { PROTOCOLS = 2 }; /* TCP, UDP */

/* The rules of one local address on one port. */
struct address_rules {
	struct address_rules *next;
	union ip_addr address;
	uint8_t family;
	uint16_t port;
	bool wanted;
	unsigned int count;
	struct rte_flow *rules[];
};

static struct address_rules *installed;
static const struct local_table *followed; /* of the last call */

static struct rte_flow *rule_new(const struct port *port, const struct local_address *local, uint16_t share,
				 uint16_t queue, bool tcp, struct rte_flow_error *error)
{
	struct rte_flow_attr attributes = {.ingress = 1};
	struct rte_flow_item_ipv4 ip4 = {.hdr.dst_addr = local->address.v4},
				  mask4 = {.hdr.dst_addr = UINT32_MAX};
	struct rte_flow_item_ipv6 ip6, mask6;
	struct rte_flow_item_tcp tcp_port = {.hdr.dst_port = rte_cpu_to_be_16(share)};
	struct rte_flow_item_tcp tcp_mask = {.hdr.dst_port = rte_cpu_to_be_16((uint16_t)(local->shares - 1))};
	struct rte_flow_item_udp udp_port = {.hdr.dst_port = tcp_port.hdr.dst_port};
	struct rte_flow_item_udp udp_mask = {.hdr.dst_port = tcp_mask.hdr.dst_port};
	struct rte_flow_action_queue to = {.index = queue};
	struct rte_flow_action actions[] = {{.type = RTE_FLOW_ACTION_TYPE_QUEUE, .conf = &to},
					    {.type = RTE_FLOW_ACTION_TYPE_END}};
	struct rte_flow_item pattern[] = {
	    {.type = RTE_FLOW_ITEM_TYPE_ETH},
	    {.type = RTE_FLOW_ITEM_TYPE_IPV4, .spec = &ip4, .mask = &mask4},
	    {.type = RTE_FLOW_ITEM_TYPE_TCP, .spec = &tcp_port, .mask = &tcp_mask},
	    {.type = RTE_FLOW_ITEM_TYPE_END},
	};

	if (local->family == FAMILY_IPV6) {
		memset(&ip6, 0, sizeof(ip6));
		memset(&mask6, 0, sizeof(mask6));
		memcpy(&ip6.hdr.dst_addr, &local->address, 16);
		memset(&mask6.hdr.dst_addr, 0xff, 16);
		pattern[1] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_IPV6, .spec = &ip6, .mask = &mask6};
	}
	if (!tcp)
		pattern[2] = (struct rte_flow_item){
		    .type = RTE_FLOW_ITEM_TYPE_UDP, .spec = &udp_port, .mask = &udp_mask};
	if (rte_flow_validate(port->ethdev, &attributes, pattern, actions, error) != 0)
		return NULL;
	return rte_flow_create(port->ethdev, &attributes, pattern, actions, error);
}

static void rules_free(const struct port *port, struct address_rules *rules)
{
	struct rte_flow_error error = {0};

	for (unsigned int i = 0; i < rules->count; i++)
		if (rte_flow_destroy(port->ethdev, rules->rules[i], &error) != 0)
			log_line(LOG_WARNING_LEVEL, "port %s: an rte_flow rule for %s stays: %s",
				 port->setting->name, ip_text((enum family)rules->family, &rules->address),
				 error.message ? error.message : "not said why");
	free(rules);
}

/* The receive queue of this port that a worker serves; -1: none. */
static int queue_of(const struct worker *worker, uint16_t port)
{
	for (unsigned int q = 0; q < worker->queue_count; q++)
		if (worker->queues[q].port == port)
			return worker->queues[q].rx;
	return -1;
}

/* All rules of an address, or none: with some of them missing nobody could tell where its replies go. */
static bool add(struct port *port, const struct worker workers[], const struct director *director,
		const struct local_address *local, struct rte_flow_error *error)
{
	unsigned int most = local->shares * (unsigned int)PROTOCOLS;
	struct address_rules *rules = calloc(1, sizeof(*rules) + most * sizeof(rules->rules[0]));

	if (rules == NULL)
		return false;
	rules->address = local->address;
	rules->family = local->family;
	rules->port = port->number;
	rules->wanted = true;
	for (unsigned int i = 0; i < most; i++) {
		uint16_t share = (uint16_t)(i / PROTOCOLS);
		int queue = queue_of(&workers[director->steering.owner[share]], port->number);
		struct rte_flow *rule;

		if (queue < 0)
			continue;
		rule = rule_new(port, local, share, (uint16_t)queue, i % PROTOCOLS == 0, error);
		if (rule == NULL) {
			rules_free(port, rules);
			return false;
		}
		rules->rules[rules->count++] = rule;
	}
	port->flow_rules += rules->count;
	rules->next = installed;
	installed = rules;
	return true;
}

static struct address_rules *find(const struct port *port, const struct local_address *local)
{
	for (struct address_rules *r = installed; r != NULL; r = r->next)
		if (r->port == port->number && r->family == local->family &&
		    ip_equal(&r->address, &local->address))
			return r;
	return NULL;
}

/* Takes away what belongs to no address of the list: before others are added, since NICs have little room. */
static void sweep(struct port ports[], unsigned int port_count, struct local_address *const *list,
		  size_t count)
{
	for (struct address_rules *r = installed; r != NULL; r = r->next)
		r->wanted = false;
	for (unsigned int p = 0; p < port_count; p++)
		for (size_t i = 0; i < count; i++) {
			struct address_rules *there = find(&ports[p], list[i]);

			if (there != NULL)
				there->wanted = true;
		}
	for (struct address_rules **at = &installed; *at != NULL;) {
		struct address_rules *rules = *at;

		if (rules->wanted) {
			at = &rules->next;
			continue;
		}
		*at = rules->next;
		ports[rules->port].flow_rules -= rules->count;
		rules_free(&ports[rules->port], rules);
	}
}

/* A family whose rules are refused, or for which the NIC has no room, is not asked for again until the next
 * change; the other one may do. Said once, until all is well again. */
static void follow_port(struct port *port, const struct worker workers[], const struct director *director,
			struct local_address *const *list, size_t count)
{
	bool refused[FAMILY_IPV6 + 1] = {false};
	uint32_t missing = 0;

	for (size_t i = 0; i < count; i++) {
		enum family family = (enum family)list[i]->family;
		struct rte_flow_error error = {0};

		if (find(port, list[i]) != NULL)
			continue;
		if (!refused[family] && add(port, workers, director, list[i], &error))
			continue;
		missing++;
		if (refused[family])
			continue;
		refused[family] = true;
		if (port->flow_said)
			continue;
		port->flow_said = true;
		log_line(LOG_NOTICE_LEVEL,
			 "port %s: no rte_flow rule for %s (%s); replies are handed over in software",
			 port->setting->name, ip_text(family, &list[i]->address),
			 error.message ? error.message : "not supported");
	}
	port->flow_missing = missing;
	if (count != 0)
		port->flow_said = missing != 0;
}

void flow_follow(struct port ports[], unsigned int port_count, const struct worker workers[],
		 unsigned int worker_count, const struct director *director, bool enabled)
{
	const struct local_table *locals = director->locals;
	struct local_address **list;
	size_t count;

	/* A table that was replaced is freed behind this call: no other stands at its place meanwhile. */
	if (locals == followed || !enabled || worker_count < 2)
		return;
	count = local_table_list(locals, NULL, 0);
	list = calloc(count + 1, sizeof(struct local_address *));
	if (list == NULL)
		return;
	followed = locals;
	count = local_table_list(locals, list, count);
	sweep(ports, port_count, list, count);
	for (unsigned int p = 0; p < port_count; p++)
		if (ports[p].setting->rx_queues >= 2)
			follow_port(&ports[p], workers, director, list, count);
	free(list);
}

void flow_end(struct port ports[], unsigned int port_count)
{
	sweep(ports, port_count, NULL, 0);
	followed = NULL;
}
