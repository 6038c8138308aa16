/* The receive queue for control traffic, against a NIC in memory that stands in for DPDK's rte_flow and RSS
 * at link time: it keeps rules and redirection table, refuses what it is told to refuse, and says to which
 * queue a frame goes. */
#include <errno.h>
#include <netinet/in.h>
#include <unistd.h>

#include <rte_flow.h>

#include "check.h"
#include "log.h"
#include "port/control_queue.h"
#include "twin_class.h"

enum { ETHDEV = 5, QUEUES = 3, RETA = 128, MOST_RULES = 64, NO_QUEUE = -1, FRAME = 128, ROUNDS = 200000 };

/* ---- the NIC ---- */

struct rte_flow {
	bool used;
	uint16_t queue;
	uint16_t ethertype; /* 0: any */
	int protocol, icmp6; /* -1: any */
	uint16_t source, destination; /* 0: any */
};

static struct {
	struct rte_flow rules[MOST_RULES];
	uint16_t reta[RETA];
	uint32_t count, unfit;
	/* What it refuses. */
	bool no_rte_flow, all, ipv6, reta_fixed;
	uint32_t room;
} nic;

static int refuse(struct rte_flow_error *error, int code, const char *why)
{
	error->message = why;
	return -code;
}

/* Only what is asked for here, and with whole masks. */
static int read_rule(const struct rte_flow_attr *attr, const struct rte_flow_item *item,
		     const struct rte_flow_action *actions, struct rte_flow *rule)
{
	*rule = (struct rte_flow){.used = true, .protocol = -1, .icmp6 = -1};
	if (!attr->ingress || attr->egress || attr->priority ||
	    actions[0].type != RTE_FLOW_ACTION_TYPE_QUEUE || actions[1].type != RTE_FLOW_ACTION_TYPE_END ||
	    item[0].type != RTE_FLOW_ITEM_TYPE_ETH)
		return -EINVAL;
	rule->queue = ((const struct rte_flow_action_queue *)actions[0].conf)->index;
	for (; item->type != RTE_FLOW_ITEM_TYPE_END; item++) {
		const struct rte_flow_item_eth *eth = item->spec;
		const struct rte_flow_item_ipv4 *ip4 = item->spec, *mask4 = item->mask;
		const struct rte_flow_item_ipv6 *ip6 = item->spec, *mask6 = item->mask;
		const struct rte_flow_item_udp *udp = item->spec, *udp_mask = item->mask;
		const struct rte_flow_item_tcp *tcp = item->spec, *tcp_mask = item->mask;
		const struct rte_flow_item_icmp6 *icmp = item->spec;

		if ((item->spec == NULL) != (item->mask == NULL) || item->last != NULL)
			return -EINVAL;
		switch (item->type) {
		case RTE_FLOW_ITEM_TYPE_ETH:
			if (eth != NULL)
				rule->ethertype = rte_be_to_cpu_16(eth->hdr.ether_type);
			break;
		case RTE_FLOW_ITEM_TYPE_IPV4:
			rule->ethertype = RTE_ETHER_TYPE_IPV4;
			if (ip4 != NULL && mask4->hdr.next_proto_id == UINT8_MAX)
				rule->protocol = ip4->hdr.next_proto_id;
			break;
		case RTE_FLOW_ITEM_TYPE_IPV6:
			rule->ethertype = RTE_ETHER_TYPE_IPV6;
			if (ip6 != NULL && mask6->hdr.proto == UINT8_MAX)
				rule->protocol = ip6->hdr.proto;
			break;
		case RTE_FLOW_ITEM_TYPE_UDP:
			rule->protocol = IPPROTO_UDP;
			rule->source = rte_be_to_cpu_16(udp->hdr.src_port & udp_mask->hdr.src_port);
			rule->destination = rte_be_to_cpu_16(udp->hdr.dst_port & udp_mask->hdr.dst_port);
			break;
		case RTE_FLOW_ITEM_TYPE_TCP:
			rule->protocol = IPPROTO_TCP;
			rule->source = rte_be_to_cpu_16(tcp->hdr.src_port & tcp_mask->hdr.src_port);
			rule->destination = rte_be_to_cpu_16(tcp->hdr.dst_port & tcp_mask->hdr.dst_port);
			break;
		case RTE_FLOW_ITEM_TYPE_ICMP6:
			rule->protocol = IPPROTO_ICMPV6;
			rule->icmp6 = icmp->type;
			break;
		default:
			return -ENOTSUP;
		}
	}
	/* All IPv4 packets, say, are not to come here. */
	if ((rule->ethertype == 0) || (rule->ethertype != RTE_ETHER_TYPE_ARP && rule->protocol <= 0) ||
	    ((rule->protocol == IPPROTO_UDP || rule->protocol == IPPROTO_TCP) && !rule->source &&
	     !rule->destination))
		return -EINVAL;
	return 0;
}

int rte_flow_validate(uint16_t ethdev, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
		      const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	struct rte_flow rule;

	if (nic.no_rte_flow)
		return refuse(error, ENOSYS, NULL);
	/* The question whether there is rte_flow at all. */
	if (!attr->ingress)
		return refuse(error, EINVAL, "no direction");
	if (ethdev != ETHDEV || read_rule(attr, pattern, actions, &rule) < 0 || rule.queue != QUEUES) {
		nic.unfit++;
		return refuse(error, EINVAL, "makes no sense");
	}
	if (nic.all || (nic.ipv6 && rule.ethertype == RTE_ETHER_TYPE_IPV6))
		return refuse(error, ENOTSUP, "not by this card");
	return 0;
}

struct rte_flow *rte_flow_create(uint16_t ethdev, const struct rte_flow_attr *attr,
				 const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
				 struct rte_flow_error *error)
{
	if (rte_flow_validate(ethdev, attr, pattern, actions, error) != 0)
		return NULL;
	for (unsigned int i = 0; i < MOST_RULES && nic.count < nic.room; i++) {
		if (nic.rules[i].used)
			continue;
		read_rule(attr, pattern, actions, &nic.rules[i]);
		nic.count++;
		return &nic.rules[i];
	}
	refuse(error, ENOSPC, "the table is full");
	return NULL;
}

int rte_flow_destroy(uint16_t ethdev, struct rte_flow *rule, struct rte_flow_error *error)
{
	if (ethdev != ETHDEV || !rule->used) {
		nic.unfit++;
		return refuse(error, EINVAL, "no such rule");
	}
	rule->used = false;
	nic.count--;
	return 0;
}

int rte_eth_dev_rss_reta_update(uint16_t ethdev, struct rte_eth_rss_reta_entry64 *table, uint16_t size)
{
	if (nic.reta_fixed || ethdev != ETHDEV || size != RETA)
		return -ENOTSUP;
	for (unsigned int i = 0; i < size; i++)
		if (table[i / 64].mask >> i % 64 & 1)
			nic.reta[i] = table[i / 64].reta[i % 64];
	return 0;
}

/* The queue that a frame comes to by a rule; NO_QUEUE: RSS decides. */
static int queue_of(const uint8_t *frame)
{
	uint16_t ethertype = (uint16_t)(frame[12] << 8 | frame[13]);
	bool six = ethertype == RTE_ETHER_TYPE_IPV6;
	const uint8_t *l4 = frame + 14 + (six ? 40 : 20);
	uint8_t protocol = frame[six ? 20 : 23];

	for (unsigned int i = 0; i < MOST_RULES; i++) {
		const struct rte_flow *rule = &nic.rules[i];

		if (!rule->used || rule->ethertype != ethertype)
			continue;
		if (rule->protocol >= 0 && rule->protocol != protocol)
			continue;
		if ((rule->icmp6 >= 0 && rule->icmp6 != l4[0]) ||
		    (rule->source && rule->source != (l4[0] << 8 | l4[1])) ||
		    (rule->destination && rule->destination != (l4[2] << 8 | l4[3])))
			continue;
		return rule->queue;
	}
	return NO_QUEUE;
}

/* ---- the port ---- */

static struct port port;
static struct port_setting setting;

static void set_up(void)
{
	memset(&nic, 0, sizeof(nic));
	nic.room = UINT32_MAX;
	for (unsigned int i = 0; i < RETA; i++)
		nic.reta[i] = (uint16_t)(i % (QUEUES + 1)); /* as drivers fill it */
	setting = (struct port_setting){
	    .name = "dpdk0", .device = "0000:01:00.0", .twin = "dpdk0.kni", .rx_queues = QUEUES};
	port = (struct port){.setting = &setting, .ethdev = ETHDEV, .control_queue = QUEUES};
	port.info.max_rx_queues = QUEUES + 1;
	port.info.reta_size = RETA;
}

static void frame_set(uint8_t frame[FRAME], uint16_t ethertype, uint8_t protocol, uint16_t source,
		      uint16_t destination)
{
	bool six = ethertype == RTE_ETHER_TYPE_IPV6;
	uint8_t *l4 = frame + 14 + (six ? 40 : 20);

	memset(frame, 0, FRAME);
	frame[12] = (uint8_t)(ethertype >> 8);
	frame[13] = (uint8_t)ethertype;
	frame[14] = six ? 0x60 : 0x45;
	frame[six ? 20 : 23] = protocol;
	l4[0] = (uint8_t)(source >> 8);
	l4[1] = (uint8_t)source;
	l4[2] = (uint8_t)(destination >> 8);
	l4[3] = (uint8_t)destination;
}

static int queue_for(uint16_t ethertype, uint8_t protocol, uint16_t source, uint16_t destination)
{
	uint8_t frame[FRAME];

	frame_set(frame, ethertype, protocol, source, destination);
	return queue_of(frame);
}

/* ---- cases ---- */

static void control_traffic_comes_to_its_queue(void)
{
	const char *why = NULL;

	set_up();
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_POSSIBLE);
	CHECK_EQ(control_queue_start(&port, &why), 0);
	CHECK_EQ(port.control_rules, nic.count);
	for (unsigned int six = 0; six < 2; six++) {
		uint16_t type = six ? RTE_ETHER_TYPE_IPV6 : RTE_ETHER_TYPE_IPV4;

		CHECK_EQ(queue_for(type, 112, 0, 0), QUEUES);
		CHECK_EQ(queue_for(type, 89, 0, 0), QUEUES);
		CHECK_EQ(queue_for(type, IPPROTO_UDP, 49152, 3784), QUEUES);
		CHECK_EQ(queue_for(type, IPPROTO_UDP, 49152, 4784), QUEUES);
		CHECK_EQ(queue_for(type, IPPROTO_TCP, 40000, 179), QUEUES);
		CHECK_EQ(queue_for(type, IPPROTO_TCP, 179, 40000), QUEUES);
		CHECK_EQ(queue_for(type, IPPROTO_TCP, 40000, 80), NO_QUEUE);
		CHECK_EQ(queue_for(type, IPPROTO_UDP, 3784, 53), NO_QUEUE);
	}
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_ARP, 0, 0, 0), QUEUES);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV6, IPPROTO_ICMPV6, 135 << 8, 0), QUEUES);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV6, IPPROTO_ICMPV6, 136 << 8, 0), QUEUES);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV6, IPPROTO_ICMPV6, 128 << 8, 0), NO_QUEUE); /* echo */
	control_queue_end(&port);
	CHECK_EQ(nic.count, 0);
	CHECK_EQ(nic.unfit, 0);
}

/* What the rules bring there is what the rest of dpvsd serves first, and nothing else. */
static void nothing_else_does(void)
{
	static const uint16_t types[] = {RTE_ETHER_TYPE_IPV4, RTE_ETHER_TYPE_IPV6, RTE_ETHER_TYPE_ARP,
					 RTE_ETHER_TYPE_VLAN};
	static const uint8_t protocols[] = {1, 2, 6, 17, 51, 58, 89, 103, 112, 132};
	static const uint16_t numbers[] = {53, 80, 179, 3784, 3785, 4784, 135 << 8, 128 << 8};
	const char *why = NULL;
	unsigned int steered = 0;

	set_up();
	CHECK_EQ(control_queue_start(&port, &why), 0);
	for (unsigned int round = 0; round < ROUNDS; round++) {
		uint8_t frame[FRAME];

		frame_set(frame, types[check_random() % RTE_DIM(types)],
			  protocols[check_random() % RTE_DIM(protocols)],
			  numbers[check_random() % RTE_DIM(numbers)],
			  numbers[check_random() % RTE_DIM(numbers)]);
		if (queue_of(frame) == NO_QUEUE)
			continue;
		steered++;
		CHECK_EQ(twin_classify(frame, FRAME), TWIN_CONTROL);
	}
	CHECK(steered > ROUNDS / 10);
	control_queue_end(&port);
}

static void rss_leaves_the_queue_out(void)
{
	for (uint16_t queues = 1; queues <= QUEUES; queues++) {
		unsigned int used[QUEUES + 1] = {0};
		const char *why = NULL;

		set_up();
		setting.rx_queues = queues;
		CHECK_EQ(control_queue_start(&port, &why), 0);
		for (unsigned int i = 0; i < RETA; i++)
			used[nic.reta[i]]++;
		for (unsigned int q = 0; q <= QUEUES; q++)
			CHECK(q < queues ? used[q] >= RETA / queues : used[q] == 0);
		control_queue_end(&port);
	}
}

static void what_is_refused_shares_the_workers_queues(void)
{
	char path[] = "/tmp/control-queue-log-XXXXXX";
	const char *why = NULL;
	int fd = mkstemp(path);

	set_up();
	nic.ipv6 = true;
	log_open(path);
	CHECK_EQ(control_queue_start(&port, &why), 0);
	log_open("/dev/stderr");
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV4, 112, 0, 0), QUEUES);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV6, 112, 0, 0), NO_QUEUE);
	CHECK_EQ(
	    check_lines(path, "no rte_flow rule for some or all of VRRP, OSPF, BFD, BGP, ND (not by this"),
	    1);
	CHECK_EQ(check_lines(path, "port dpdk0"), 2);
	control_queue_end(&port);
	CHECK_EQ(nic.count, 0);
	/* A small table: the most urgent is in it. */
	set_up();
	nic.room = 3;
	CHECK_EQ(control_queue_start(&port, &why), 0);
	CHECK_EQ(port.control_rules, 3);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV4, 112, 0, 0), QUEUES);
	CHECK_EQ(queue_for(RTE_ETHER_TYPE_IPV6, 112, 0, 0), QUEUES);
	control_queue_end(&port);
	CHECK_EQ(nic.count, 0);
	close(fd);
	unlink(path);
}

static void without_any_rule_there_is_no_queue(void)
{
	const char *why = NULL;

	set_up();
	nic.all = true;
	CHECK_EQ(control_queue_start(&port, &why), -1);
	CHECK(why != NULL && strcmp(why, "not by this card") == 0);
	CHECK_EQ(port.control_rules, 0);
	/* Nor where RSS would fill it: no rule is made. */
	set_up();
	nic.reta_fixed = true;
	why = NULL;
	CHECK_EQ(control_queue_start(&port, &why), -1);
	CHECK(why != NULL);
	CHECK_EQ(nic.count, 0);
}

static void cards_that_cannot_are_not_asked(void)
{
	const char *why = "";

	set_up();
	nic.no_rte_flow = true;
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_IMPOSSIBLE);
	CHECK(strstr(why, "rte_flow") != NULL);
	set_up();
	port.info.max_rx_queues = QUEUES;
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_IMPOSSIBLE);
	CHECK(strstr(why, "to spare") != NULL);
	set_up();
	port.info.reta_size = 0;
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_IMPOSSIBLE);
	CHECK(strstr(why, "RSS") != NULL);
	setting.rx_queues = 1;
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_POSSIBLE);
	set_up();
	setting.twin[0] = '\0';
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_USELESS);
	set_up();
	snprintf(setting.device, sizeof(setting.device), "net_af_packet0");
	CHECK_EQ(control_queue_ask(&port, &why), CONTROL_QUEUE_USELESS);
	CHECK_EQ(nic.unfit, 0);
}

static void again_after_an_end(void)
{
	const char *why = NULL;
	uint32_t rules;

	set_up();
	CHECK_EQ(control_queue_start(&port, &why), 0);
	rules = nic.count;
	control_queue_end(&port);
	control_queue_end(&port);
	CHECK_EQ(nic.count, 0);
	CHECK_EQ(control_queue_start(&port, &why), 0);
	CHECK_EQ(nic.count, rules);
	control_queue_end(&port);
	CHECK_EQ(nic.unfit, 0);
}

int main(void)
{
	RUN(control_traffic_comes_to_its_queue);
	RUN(nothing_else_does);
	RUN(rss_leaves_the_queue_out);
	RUN(what_is_refused_shares_the_workers_queues);
	RUN(without_any_rule_there_is_no_queue);
	RUN(cards_that_cannot_are_not_asked);
	RUN(again_after_an_end);
	return check_end();
}
