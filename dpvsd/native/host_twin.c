/* What control asks of the kernel twins: their counters, flows to the kernel, multicast groups. */
#include <stdio.h>

#include "log.h"
#include "master.h"

/* ---- counters ---- */

static const struct {
	const char *name, *help;
	size_t offset;
	enum twin_class class;
} twin_rows[] = {
#define ROW(name, help, member, class)                                                                       \
	{                                                                                                    \
		name, help, offsetof(struct twin, member), class                                             \
	}
    ROW("control.to-kernel", "control traffic that the kernel got", counters.to_kernel, TWIN_CONTROL),
    ROW("control.to-kernel-dropped", "control traffic that the twin device did not take",
	counters.to_kernel_dropped, TWIN_CONTROL),
    ROW("control.ring-full", "control traffic that found the queue towards the kernel full", ring_full,
	TWIN_CONTROL),
    ROW("control.from-kernel", "control traffic that the kernel sent", counters.from_kernel, TWIN_CONTROL),
    ROW("control.from-kernel-dropped", "control traffic of the kernel without buffer or room",
	counters.from_kernel_dropped, TWIN_CONTROL),
    ROW("control.wire", "control traffic that came past the workers' queues", counters.wire, 0),
    ROW("bulk.to-kernel", "other traffic that the kernel got", counters.to_kernel, TWIN_BULK),
    ROW("bulk.to-kernel-dropped", "other traffic that the twin device did not take",
	counters.to_kernel_dropped, TWIN_BULK),
    ROW("bulk.ring-full", "other traffic that found the queue towards the kernel full", ring_full, TWIN_BULK),
    ROW("bulk.from-kernel", "other traffic that the kernel sent", counters.from_kernel, TWIN_BULK),
    ROW("bulk.from-kernel-dropped", "other traffic of the kernel without buffer or room",
	counters.from_kernel_dropped, TWIN_BULK),
};

static bool twin_counter_info(const struct master *master, uint32_t position, struct counter_info *info)
{
	uint32_t twin = position / RTE_DIM(twin_rows), row = position % RTE_DIM(twin_rows);

	/* Ports without a twin have no rows. */
	for (unsigned int i = 0; i < master->twins.count; i++) {
		const struct twin *t = &master->twins.twins[i];

		if (t->queues == 0 || twin-- != 0)
			continue;
		snprintf(info->name, sizeof(info->name), "twin.%s.%s", t->name, twin_rows[row].name);
		info->help = twin_rows[row].help;
		info->value = ((
		    const uint64_t *)(const void *)((const char *)t +
						    twin_rows[row]
							.offset))[twin_rows[row].class == TWIN_BULK];
		return true;
	}
	return false;
}

/* Ports with several queues, on which replies may come to another worker than theirs. */
static bool flow_counter_info(const struct master *master, uint32_t position, struct counter_info *info)
{
	uint32_t port = position / 2;

	for (unsigned int i = 0; i < master->settings.port_count; i++) {
		const struct port *p = &master->ports[i];

		if (p->setting->rx_queues < 2 || port-- != 0)
			continue;
		snprintf(info->name, sizeof(info->name), "rte-flow.%s.%s", p->setting->name,
			 position % 2 ? "missing" : "rules");
		info->help = position % 2
				 ? "local addresses whose replies are handed over in software, since the "
				   "port took no rules for them"
				 : "rules of the port that bring replies to their worker";
		info->value = position % 2 ? p->flow_missing : p->flow_rules;
		return true;
	}
	return false;
}

static uint64_t control_queue_packets(const struct master *master, unsigned int port)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < master->settings.worker_count; i++)
		for (unsigned int q = 0; q < master->workers[i].control_queue_count; q++)
			if (master->workers[i].control_queues[q].port == port)
				sum += master->workers[i].control_queues[q].packets;
	return sum;
}

/* Ports with a queue for control traffic alone. */
static bool control_queue_info(const struct master *master, uint32_t position, struct counter_info *info)
{
	uint32_t port = position / 2;

	for (unsigned int i = 0; i < master->settings.port_count; i++) {
		const struct port *p = &master->ports[i];

		if (p->control_queue < 0 || port-- != 0)
			continue;
		snprintf(info->name, sizeof(info->name), "control-queue.%s.%s", p->setting->name,
			 position % 2 ? "packets" : "rules");
		info->help = position % 2 ? "packets that came by the port's queue for control traffic"
					  : "rules of the port that bring control traffic to its own queue";
		info->value = position % 2 ? control_queue_packets(master, i) : p->control_rules;
		return true;
	}
	return false;
}

static bool counter_info(void *context, uint32_t position, struct counter_info *info)
{
	const struct master *master = context;
	uint32_t twin_counters = 0, control_counters = 0;

	if (twin_counter_info(master, position, info))
		return true;
	for (unsigned int i = 0; i < master->twins.count; i++)
		if (master->twins.twins[i].queues != 0)
			twin_counters += RTE_DIM(twin_rows);
	position -= twin_counters;
	if (control_queue_info(master, position, info))
		return true;
	for (unsigned int i = 0; i < master->settings.port_count; i++)
		control_counters += master->ports[i].control_queue >= 0 ? 2 : 0;
	return flow_counter_info(master, position - control_counters, info);
}

/* ---- flows ---- */

static bool flow_info(void *context, uint32_t position, struct flow_info *info)
{
	const struct master *master = context;

	if (position >= master->flow_count)
		return false;
	*info = master->flows[position];
	return true;
}

/* In software a flow is a route to the kernel. Its metric keeps it apart from an operator's routes. */
static struct route route_of(const struct flow_info *flow)
{
	return (struct route){
	    .destination = flow->address,
	    .metric = UINT32_MAX - 1,
	    .port = flow->port,
	    .prefix = (uint8_t)ip_bits((enum family)flow->family),
	    .kind = ROUTE_KERNEL,
	    .family = flow->family,
	    .origin = ROUTE_FLOW,
	};
}

static int flow_set(void *context, bool add, const struct flow_info *flow, bool check, struct error *error)
{
	struct master *master = context;
	const struct route route = route_of(flow);

	if (add && !master->net.ports[flow->port].has_twin)
		return error_set(error, "unsupported", "give it one: `kni on` in dpvs.conf",
				 "%s has no twin in the kernel", master->net.ports[flow->port].name);
	if (add && master->flow_count >= MAX_FLOWS)
		return error_set(error, "full", NULL, "there are %d flows already", MAX_FLOWS);
	if (check)
		return 0;
	if (net_route_apply(master->stack, add ? 2 : 3, &route, error) < 0)
		return -1;
	for (uint32_t i = 0; i < master->flow_count; i++) {
		struct flow_info *f = &master->flows[i];

		if (f->port != flow->port || f->family != flow->family ||
		    !ip_equal(&f->address, &flow->address))
			continue;
		if (!add)
			memmove(f, f + 1, (--master->flow_count - i) * sizeof(*f));
		return 0;
	}
	if (add) {
		master->flows[master->flow_count] = *flow;
		master->flows[master->flow_count++].hardware = false;
	}
	return 0;
}

/* ---- multicast ---- */

static bool multicast_info(void *context, uint16_t port, uint32_t position, struct multicast_info *info)
{
	const struct master *master = context;
	const struct port_groups *groups = &master->groups.ports[port];

	if (position >= groups->count)
		return false;
	memcpy(info->mac, &groups->all[position].mac, sizeof(info->mac));
	info->references = groups->all[position].references;
	return true;
}

static int groups_set(void *context, uint16_t port, const uint8_t (*macs)[6], uint32_t count,
		      struct error *error)
{
	struct master *master = context;

	return groups_set_kernel(&master->groups, port, macs, count, error);
}

/* ---- MAC address, MTU and administrative state ---- */

static void twin_look(void *context, uint16_t port, bool was_down)
{
	struct master *master = context;
	struct twin *twin = &master->twins.twins[port];
	struct link_change change;
	struct error error;
	uint32_t what;

	if (twin->queues == 0)
		return;
	what = twin_compare(twin, &master->net.ports[port], was_down, &change);
	/* Each by itself: one that the driver refuses must not keep back the others. */
	for (; what != 0; what &= what - 1) {
		change.what = what & -what;
		if (master_link_set(master, port, &change, &error) == 0)
			continue;
		log_line(LOG_WARNING_LEVEL, "twin %s: %s", twin->name, error.text);
		twin_dress(twin, &master->net.ports[port], change.what);
	}
}

void master_host_twins(struct control_host *host)
{
	host->counter_info = counter_info;
	host->flow_info = flow_info;
	host->flow_set = flow_set;
	host->multicast_info = multicast_info;
	host->groups_set = groups_set;
	host->twin_look = twin_look;
}
