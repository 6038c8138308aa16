/* Rules for the NIC, against a NIC in memory that stands in for DPDK's rte_flow at link time: it keeps rules
 * as a NIC would, refuses what it is told to refuse, and says to which queue a packet goes. */
#include <netinet/in.h>
#include <unistd.h>

#include <rte_flow.h>

#include "check.h"
#include "core/connect.h"
#include "core/service_table.h"
#include "core/steer.h"
#include "log.h"
#include "port/flow.h"

enum {
	PORTS = 3,
	ETHDEV = 5, /* DPDK's number of our port 0: not ours */
	MOST_WORKERS = 16,
	LOCALS = 12,
	ROUNDS = 40,
	MOST_RULES = 2 * 64 * LOCALS * PORTS,
	NO_QUEUE = -1,
};

/* ---- the NIC ---- */

struct rte_flow {
	bool used;
	uint16_t ethdev, queue;
	enum family family;
	union ip_addr address;
	uint8_t protocol;
	rte_be16_t port, mask;
};

static struct {
	struct rte_flow rules[MOST_RULES];
	uint32_t created, destroyed, refused, unfit;
	/* What it refuses. */
	bool all, ipv6;
	uint32_t room; /* rules of all ports */
	uint16_t queues[PORTS];
} nic;

static bool all_bytes(const void *bytes, size_t size, uint8_t value)
{
	for (size_t i = 0; i < size; i++)
		if (((const uint8_t *)bytes)[i] != value)
			return false;
	return true;
}

/* Only the destination address, whole. */
static bool read_ip(struct rte_flow *rule, const struct rte_flow_item *item)
{
	const uint8_t *mask = item->mask, *spec = item->spec;
	bool six = item->type == RTE_FLOW_ITEM_TYPE_IPV6;
	size_t at = six ? offsetof(struct rte_flow_item_ipv6, hdr.dst_addr)
			: offsetof(struct rte_flow_item_ipv4, hdr.dst_addr);
	size_t size = six ? 16 : 4,
	       whole = six ? sizeof(struct rte_flow_item_ipv6) : sizeof(struct rte_flow_item_ipv4);

	if (mask == NULL || spec == NULL || item->last != NULL || !all_bytes(mask, at, 0) ||
	    !all_bytes(mask + at, size, 0xff) || !all_bytes(mask + at + size, whole - at - size, 0))
		return false;
	rule->family = six ? FAMILY_IPV6 : FAMILY_IPV4;
	memset(&rule->address, 0, sizeof(rule->address));
	memcpy(&rule->address, spec + at, size);
	return true;
}

/* Only the destination port, by any mask. */
static bool read_transport(struct rte_flow *rule, const struct rte_flow_item *item)
{
	bool tcp = item->type == RTE_FLOW_ITEM_TYPE_TCP;
	size_t at = tcp ? offsetof(struct rte_flow_item_tcp, hdr.dst_port)
			: offsetof(struct rte_flow_item_udp, hdr.dst_port);
	size_t whole = tcp ? sizeof(struct rte_flow_item_tcp) : sizeof(struct rte_flow_item_udp);
	const uint8_t *mask = item->mask, *spec = item->spec;

	if (mask == NULL || spec == NULL || item->last != NULL || !all_bytes(mask, at, 0) ||
	    !all_bytes(mask + at + 2, whole - at - 2, 0))
		return false;
	rule->protocol = tcp ? IPPROTO_TCP : IPPROTO_UDP;
	memcpy(&rule->port, spec + at, 2);
	memcpy(&rule->mask, mask + at, 2);
	return true;
}

static int read_rule(uint16_t ethdev, const struct rte_flow_attr *attr, const struct rte_flow_item *pattern,
		     const struct rte_flow_action *actions, struct rte_flow *rule)
{
	const struct rte_flow_action_queue *queue = actions[0].conf;

	memset(rule, 0, sizeof(*rule));
	if (ethdev < ETHDEV || ethdev >= ETHDEV + PORTS || !attr->ingress || attr->egress || attr->transfer ||
	    attr->group != 0 || attr->priority != 0)
		return -EINVAL;
	if (pattern[0].type != RTE_FLOW_ITEM_TYPE_ETH || pattern[0].spec != NULL || pattern[0].mask != NULL)
		return -EINVAL;
	if ((pattern[1].type != RTE_FLOW_ITEM_TYPE_IPV4 && pattern[1].type != RTE_FLOW_ITEM_TYPE_IPV6) ||
	    !read_ip(rule, &pattern[1]))
		return -EINVAL;
	if ((pattern[2].type != RTE_FLOW_ITEM_TYPE_TCP && pattern[2].type != RTE_FLOW_ITEM_TYPE_UDP) ||
	    !read_transport(rule, &pattern[2]) || pattern[3].type != RTE_FLOW_ITEM_TYPE_END)
		return -EINVAL;
	if (actions[0].type != RTE_FLOW_ACTION_TYPE_QUEUE || actions[1].type != RTE_FLOW_ACTION_TYPE_END ||
	    queue == NULL || queue->index >= nic.queues[ethdev - ETHDEV])
		return -EINVAL;
	rule->ethdev = ethdev;
	rule->queue = queue->index;
	rule->used = true;
	return 0;
}

static int refuse(struct rte_flow_error *error, int code, const char *why)
{
	nic.refused++;
	error->message = why;
	return -code;
}

int rte_flow_validate(uint16_t ethdev, const struct rte_flow_attr *attr, const struct rte_flow_item pattern[],
		      const struct rte_flow_action actions[], struct rte_flow_error *error)
{
	struct rte_flow rule;
	int done = read_rule(ethdev, attr, pattern, actions, &rule);

	if (done < 0) {
		nic.unfit++;
		return refuse(error, -done, "makes no sense");
	}
	if (nic.all)
		return refuse(error, ENOSYS, NULL);
	if (nic.ipv6 && rule.family == FAMILY_IPV6)
		return refuse(error, ENOTSUP, "no IPv6 here");
	return 0;
}

struct rte_flow *rte_flow_create(uint16_t ethdev, const struct rte_flow_attr *attr,
				 const struct rte_flow_item pattern[], const struct rte_flow_action actions[],
				 struct rte_flow_error *error)
{
	struct rte_flow rule, *free_one = NULL;

	if (rte_flow_validate(ethdev, attr, pattern, actions, error) != 0)
		return NULL;
	read_rule(ethdev, attr, pattern, actions, &rule);
	for (unsigned int i = 0; i < MOST_RULES; i++) {
		struct rte_flow *other = &nic.rules[i];

		if (!other->used) {
			free_one = free_one ? free_one : other;
			continue;
		}
		if (other->ethdev == ethdev && other->family == rule.family &&
		    other->protocol == rule.protocol && other->port == rule.port &&
		    other->mask == rule.mask && ip_equal(&other->address, &rule.address)) {
			nic.unfit++;
			refuse(error, EEXIST, "is there already");
			return NULL;
		}
	}
	if (free_one == NULL || nic.created - nic.destroyed >= nic.room) {
		refuse(error, ENOSPC, "the table is full");
		return NULL;
	}
	*free_one = rule;
	nic.created++;
	return free_one;
}

int rte_flow_destroy(uint16_t ethdev, struct rte_flow *rule, struct rte_flow_error *error)
{
	if (rule < nic.rules || rule >= nic.rules + MOST_RULES || !rule->used || rule->ethdev != ethdev) {
		nic.unfit++;
		return refuse(error, EINVAL, "no such rule");
	}
	rule->used = false;
	nic.destroyed++;
	return 0;
}

int rte_flow_flush(uint16_t ethdev, struct rte_flow_error *error)
{
	(void)ethdev;
	nic.unfit++; /* would take rules of others */
	return refuse(error, ENOTSUP, "flush");
}

/* The queue that a packet comes to; NO_QUEUE: RSS decides. Two rules must not quarrel. */
static int queue_by_rule(uint16_t ethdev, enum family family, const union ip_addr *address, uint8_t protocol,
			 uint16_t port)
{
	int queue = NO_QUEUE;

	for (unsigned int i = 0; i < MOST_RULES; i++) {
		const struct rte_flow *rule = &nic.rules[i];

		if (!rule->used || rule->ethdev != ethdev || rule->family != family ||
		    rule->protocol != protocol || !ip_equal(&rule->address, address) ||
		    (rte_cpu_to_be_16(port) & rule->mask) != (rule->port & rule->mask))
			continue;
		CHECK_EQ(queue, NO_QUEUE);
		queue = rule->queue;
	}
	return queue;
}

/* ---- the director ---- */

static struct director director;
static struct worker_view views[MOST_WORKERS];
static struct worker workers[MOST_WORKERS];
static struct port ports[PORTS];
static struct port_setting settings[PORTS];
static unsigned int worker_count;
static struct local_address *locals[LOCALS]; /* some of each family */
static bool present[LOCALS];

/* Ports 0 and 1 with a queue for every worker, in an order of their own; port 1 without that of one worker;
 * port 2 with one queue, where nothing is to be steered. */
static void set_up(unsigned int count)
{
	uint16_t order[MOST_WORKERS];

	memset(&director, 0, sizeof(director));
	memset(workers, 0, sizeof(workers));
	memset(ports, 0, sizeof(ports));
	memset(present, 0, sizeof(present));
	memset(&nic, 0, sizeof(nic));
	nic.room = UINT32_MAX;
	worker_count = count;
	for (unsigned int i = 0; i < count; i++) {
		views[i].number = (uint16_t)i;
		director.workers[i] = &views[i];
		order[i] = (uint16_t)i;
	}
	for (unsigned int i = count; i > 1; i--) {
		unsigned int k = (unsigned int)(check_random() % i);
		uint16_t queue = order[k];

		order[k] = order[i - 1];
		order[i - 1] = queue;
	}
	steering_divide(&director, count);
	for (uint16_t p = 0; p < PORTS; p++) {
		snprintf(settings[p].name, sizeof(settings[p].name), "dpdk%u", p);
		nic.queues[p] = settings[p].rx_queues = (uint16_t)(p == 2 ? 1 : count);
		ports[p].setting = &settings[p];
		ports[p].number = p;
		ports[p].ethdev = (uint16_t)(ETHDEV + p);
	}
	for (unsigned int i = 0; i < count; i++) {
		struct worker *w = &workers[i];

		w->queues[w->queue_count++] = (struct worker_queue_runtime){.port = 0, .rx = order[i]};
		if (i != 1)
			w->queues[w->queue_count++] = (struct worker_queue_runtime){.port = 1,
										    .rx = order[i]};
		if (i == 0)
			w->queues[w->queue_count++] = (struct worker_queue_runtime){.port = 2, .rx = 0};
	}
	for (unsigned int i = 0; i < LOCALS; i++) {
		enum family family = i % 3 == 2 ? FAMILY_IPV6 : FAMILY_IPV4;
		union ip_addr address = {.q = {0, 0}};

		if (family == FAMILY_IPV6)
			address = (union ip_addr){.b = {0xfd, [14] = (uint8_t)check_random(), (uint8_t)i}};
		else
			address.v4 = rte_cpu_to_be_32(10u << 24 | (uint32_t)(check_random() & 0xffff00) | i);
		locals[i] = local_address_new(&address, family, 0, director.steering.shares);
	}
}

static void publish_locals(void)
{
	struct local_table *old = director.locals;
	struct local_address *list[LOCALS];
	uint32_t count = 0;

	for (unsigned int i = 0; i < LOCALS; i++)
		if (present[i])
			list[count++] = locals[i];
	director.locals = local_table_new(list, count);
	flow_follow(ports, PORTS, workers, worker_count, &director, true);
	/* As the master does: behind the call. */
	local_table_free(old);
}

static void tear_down(void)
{
	flow_end(ports, PORTS);
	CHECK_EQ(nic.created, nic.destroyed);
	CHECK_EQ(nic.unfit, 0);
	for (unsigned int p = 0; p < PORTS; p++)
		CHECK_EQ(ports[p].flow_rules, 0);
	local_table_free(director.locals);
	for (unsigned int i = 0; i < LOCALS; i++)
		local_address_free(locals[i]);
}

static int queue_of(const struct worker *worker, uint16_t port)
{
	for (unsigned int q = 0; q < worker->queue_count; q++)
		if (worker->queues[q].port == port)
			return worker->queues[q].rx;
	return NO_QUEUE;
}

static bool has_rules(unsigned int local, uint16_t port)
{
	for (unsigned int i = 0; i < MOST_RULES; i++)
		if (nic.rules[i].used && nic.rules[i].ethdev == ports[port].ethdev &&
		    nic.rules[i].family == locals[local]->family &&
		    ip_equal(&nic.rules[i].address, &locals[local]->address))
			return true;
	return false;
}

/* Of an address with rules every packet comes to the queue of the worker that owns its port; of another RSS
 * decides, for any port, so that whoever gets it can compute the owner. @return addresses with rules */
static uint32_t check_address_rules(uint16_t port)
{
	uint32_t with_rules = 0, missing = 0;

	for (unsigned int i = 0; i < LOCALS; i++) {
		bool steered = has_rules(i, port);

		if (!present[i])
			CHECK(!steered);
		with_rules += steered;
		missing += present[i] && !steered;
		for (unsigned int k = 0; k < 2u * director.steering.shares; k++) {
			uint16_t to = (uint16_t)(LOCAL_PORT_FIRST +
						 check_random() % (65536 - LOCAL_PORT_FIRST - 256));
			uint8_t protocol = k & 1 ? IPPROTO_TCP : IPPROTO_UDP, owner;
			int queue;

			/* All shares, beginning at a random port. */
			to = (uint16_t)((to & ~(director.steering.shares - 1)) + k / 2);
			queue = queue_by_rule(ports[port].ethdev, (enum family)locals[i]->family,
					      &locals[i]->address, protocol, to);
			owner = steer_local_port(&director.steering, rte_cpu_to_be_16(to));
			CHECK_EQ(queue, steered ? queue_of(&workers[owner], port) : NO_QUEUE);
			/* Nothing else of the address is touched. */
			CHECK_EQ(queue_by_rule(ports[port].ethdev, (enum family)locals[i]->family,
					       &locals[i]->address, IPPROTO_ICMP, to),
				 NO_QUEUE);
		}
	}
	CHECK_EQ(ports[port].flow_missing, settings[port].rx_queues < 2 ? 0 : missing);
	return with_rules;
}

static uint32_t count_present(enum family family)
{
	uint32_t count = 0;

	for (unsigned int i = 0; i < LOCALS; i++)
		count += present[i] && (family == FAMILY_NONE || locals[i]->family == family);
	return count;
}

/* Some come and some go. */
static void change_some(void)
{
	for (unsigned int i = 0; i < LOCALS; i++)
		if (check_random() % 4 == 0)
			present[i] = !present[i];
	publish_locals();
}

/* ---- cases ---- */

static void every_reply_comes_to_its_owner(void)
{
	for (unsigned int count = 1; count <= MOST_WORKERS; count++) {
		set_up(count);
		for (unsigned int round = 0; round < ROUNDS; round++) {
			uint32_t all;

			change_some();
			all = count > 1 ? count_present(FAMILY_NONE) : 0;
			CHECK_EQ(check_address_rules(0), all);
			CHECK_EQ(check_address_rules(1), all);
			CHECK_EQ(check_address_rules(2), 0);
			CHECK_EQ(nic.created - nic.destroyed,
				 ports[0].flow_rules + ports[1].flow_rules + ports[2].flow_rules);
			CHECK_EQ(ports[0].flow_rules, all * 2 * director.steering.shares);
		}
		CHECK_EQ(nic.refused, 0);
		tear_down();
	}
}

static void nothing_is_done_twice(void)
{
	uint32_t created;

	set_up(4);
	memset(present, 1, sizeof(present));
	publish_locals();
	created = nic.created;
	flow_follow(ports, PORTS, workers, worker_count, &director, true);
	/* Another table with the same addresses. */
	publish_locals();
	CHECK_EQ(nic.created, created);
	CHECK_EQ(nic.destroyed, 0);
	/* A change of one touches only that one. */
	present[3] = false;
	publish_locals();
	CHECK_EQ(nic.created, created);
	CHECK_EQ(nic.destroyed, 2 * 4 + 2 * 3 + 2 * (director.steering.shares - 4));
	tear_down();
}

static void refused_for_good(void)
{
	char path[] = "/tmp/flow-log-XXXXXX";
	int fd = mkstemp(path);

	log_open(path);
	set_up(8);
	nic.all = true;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		present[0] = true;
		change_some();
		CHECK_EQ(check_address_rules(0), 0);
		CHECK_EQ(ports[0].flow_missing, count_present(FAMILY_NONE));
	}
	CHECK_EQ(nic.created, 0);
	/* Asked for once a family, port and change, not once an address. */
	CHECK(nic.refused <= ROUNDS * 2 * 2);
	CHECK_EQ(check_lines(path, "port dpdk0: no rte_flow rule"), 1);
	CHECK_EQ(check_lines(path, "port dpdk1: no rte_flow rule"), 1);
	CHECK_EQ(check_lines(path, "not supported"), 2);
	tear_down();
	log_open("/dev/stderr");
	close(fd);
	unlink(path);
}

static void only_ipv6_is_refused(void)
{
	set_up(5);
	nic.ipv6 = true;
	for (unsigned int round = 0; round < ROUNDS; round++) {
		change_some();
		CHECK_EQ(check_address_rules(0), count_present(FAMILY_IPV4));
		CHECK_EQ(check_address_rules(1), count_present(FAMILY_IPV4));
		CHECK_EQ(ports[0].flow_missing, count_present(FAMILY_IPV6));
	}
	tear_down();
}

/* What has rules keeps them while others find no room; room that comes free is used. */
static void a_full_table_is_used_to_the_end(void)
{
	for (uint32_t room = 0; room < 160; room += 13) {
		bool before[LOCALS];

		set_up(4);
		nic.room = room;
		settings[1].rx_queues = 1; /* one port has the table for itself */
		for (unsigned int round = 0; round < ROUNDS; round++) {
			uint32_t fits = room / (2 * director.steering.shares), with_rules;

			for (unsigned int i = 0; i < LOCALS; i++)
				before[i] = present[i] && has_rules(i, 0);
			change_some();
			with_rules = check_address_rules(0);
			CHECK_EQ(with_rules, RTE_MIN(fits, count_present(FAMILY_NONE)));
			CHECK_EQ(ports[0].flow_rules, nic.created - nic.destroyed);
			for (unsigned int i = 0; i < LOCALS; i++)
				if (before[i] && present[i])
					CHECK(has_rules(i, 0));
		}
		nic.room = UINT32_MAX;
		memset(present, 1, sizeof(present));
		publish_locals();
		CHECK_EQ(check_address_rules(0), LOCALS);
		tear_down();
	}
}

static void off_is_off(void)
{
	set_up(2);
	present[0] = true;
	director.locals = local_table_new(locals, 1);
	flow_follow(ports, PORTS, workers, worker_count, &director, false);
	CHECK_EQ(nic.created, 0);
	CHECK_EQ(nic.refused, 0);
	tear_down();
}

int main(void)
{
	RUN(every_reply_comes_to_its_owner);
	RUN(nothing_is_done_twice);
	RUN(refused_for_good);
	RUN(only_ipv6_is_refused);
	RUN(a_full_table_is_used_to_the_end);
	RUN(off_is_off);
	return check_end();
}
