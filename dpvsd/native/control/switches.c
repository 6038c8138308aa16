/* Links, settings, time-outs, flows, zeroing, flushing: what is checked when its operation comes, and done
 * when the whole batch stands. */
#include "model.h"

#include <stdlib.h>

/* "on"/"off" or "up"/"down"; empty: leave it. */
static int read_switch(const char *text, const char *on, const char *off, uint32_t bit, uint32_t *what,
		       bool *value, struct error *error)
{
	if (!text[0])
		return 0;
	if (strcmp(text, on) != 0 && strcmp(text, off) != 0)
		return error_set(error, "invalid", NULL, "'%.40s' is neither %s nor %s", text, on, off);
	*what |= bit;
	*value = strcmp(text, on) == 0;
	return 0;
}

int link_apply(struct model *model, int verb, const Dpvsha__Link *in, struct error *error)
{
	struct link_change change = {0};
	struct deferred *deferred;
	int port;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit", "links are neither added nor deleted");
	port = read_device(model, in->device, error);
	if (port < 0)
		return -1;
	if (in->tc_egress[0] || in->tc_ingress[0])
		return error_set(error, "unsupported", NULL,
				 "%s: traffic control is not part of this version", in->device);
	if (read_switch(in->promiscuous, "on", "off", LINK_PROMISCUOUS, &change.what, &change.promiscuous,
			error) < 0 ||
	    read_switch(in->allmulticast, "on", "off", LINK_ALLMULTICAST, &change.what, &change.allmulticast,
			error) < 0 ||
	    read_switch(in->forward2kni, "on", "off", LINK_FORWARD2KNI, &change.what, &change.forward2kni,
			error) < 0 ||
	    read_switch(in->link, "up", "down", LINK_UP, &change.what, &change.up, error) < 0 ||
	    /* dpip link set DEV lldp up|down */
	    (strcmp(in->lldp, "up") == 0 || strcmp(in->lldp, "down") == 0
		 ? read_switch(in->lldp, "up", "down", LINK_LLDP, &change.what, &change.lldp, error)
		 : read_switch(in->lldp, "on", "off", LINK_LLDP, &change.what, &change.lldp, error)) < 0)
		return -1;
	if (in->mac.len > 0) {
		if (in->mac.len != sizeof(change.mac))
			return error_set(error, "invalid", "a MAC address has 6 bytes",
					 "%s: a MAC address of %zu bytes", in->device, in->mac.len);
		change.what |= LINK_MAC;
		memcpy(change.mac, in->mac.data, sizeof(change.mac));
	}
	if (in->mtu) {
		if (in->mtu < 68 || in->mtu > 65535)
			return error_set(error, "invalid", "68 to what the device takes", "%s: an MTU of %u",
					 in->device, in->mtu);
		change.what |= LINK_MTU;
		change.mtu = (uint16_t)in->mtu;
	}
	if (!model->host.link_set)
		return error_set(error, "unsupported", NULL, "%s: this process cannot change its links",
				 in->device);
	if (model->host.link_set(model->host.context, (uint16_t)port, &change, true, error) < 0)
		return -1;
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_LINK;
	deferred->link.port = (uint16_t)port;
	deferred->link.change = change;
	return 0;
}

int timeouts_apply(struct model *model, int verb, const Dpvsha__Timeouts *in, struct error *error)
{
	struct timeouts *timeouts = &model->director->timeouts;
	struct undo *undo;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit", "time-outs are neither added nor deleted");
	if (in->tcp > SECONDS_MAX || in->tcp_fin > SECONDS_MAX || in->udp > SECONDS_MAX)
		return error_set(error, "invalid", "at most 31 days", "time-outs of %u, %u and %u seconds",
				 in->tcp, in->tcp_fin, in->udp);
	undo = batch_undo(model, error);
	if (!undo)
		return -1;
	undo->kind = UNDO_TIMEOUTS;
	undo->timeouts = *timeouts;
	if (in->tcp)
		__atomic_store_n(&timeouts->tcp[TCP_ESTABLISHED], in->tcp, __ATOMIC_RELAXED);
	if (in->tcp_fin)
		__atomic_store_n(&timeouts->tcp[TCP_FIN_WAIT], in->tcp_fin, __ATOMIC_RELAXED);
	if (in->udp)
		__atomic_store_n(&timeouts->udp[UDP_NORMAL], in->udp, __ATOMIC_RELAXED);
	return 0;
}

int setting_apply(struct model *model, int verb, const Dpvsha__Setting *in, struct error *error)
{
	struct deferred *deferred;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit", "settings are neither added nor deleted");
	if (!model->host.setting_set || !model->host.setting_get)
		return error_set(error, "unsupported", NULL, "this process has no settings");
	if (strlen(in->name) >= SETTING_NAME_SIZE || strlen(in->value) >= SETTING_VALUE_SIZE)
		return error_set(error, "invalid", NULL, "the name or value of the setting is too long");
	if (model->host.setting_set(model->host.context, in->name, in->value, true, error) < 0)
		return -1;
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_SETTING;
	deferred->setting.name = in->name;
	deferred->setting.value = in->value;
	return 0;
}

/* The port of an operation on its twin, which can only be edited. @return the port; -1 with the error, `why`
 * for another verb */
static int twin_port(struct model *model, int verb, const char *device, bool able, const char *why,
		     struct error *error)
{
	int port;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit", "%s", why);
	port = read_device(model, device, error);
	if (port < 0)
		return -1;
	if (!able)
		return error_set(error, "unsupported", NULL, "%s has no twin in the kernel", device);
	return port;
}

int groups_apply(struct model *model, int verb, const Dpvsha__TwinGroups *in, struct error *error)
{
	struct deferred *deferred;
	int port = twin_port(model, verb, in->device, model->host.groups_set != NULL,
			     "groups of a twin are set as a whole", error);

	if (port < 0)
		return -1;
	for (size_t i = 0; i < in->n_groups; i++)
		if (in->groups[i].len != 6 || !(in->groups[i].data[0] & 1))
			return error_set(error, "invalid", "6 bytes, the first one odd",
					 "%s: group %zu is no multicast MAC address", in->device, i);
	if (in->n_groups > TWIN_GROUPS_MAX)
		return error_set(error, "full", NULL, "%s: more than %d multicast groups", in->device,
				 TWIN_GROUPS_MAX);
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_GROUPS;
	deferred->groups.port = (uint16_t)port;
	deferred->groups.message = in;
	return 0;
}

int twin_look_apply(struct model *model, int verb, const Dpvsha__TwinLook *in, struct error *error)
{
	struct deferred *deferred;
	int port = twin_port(model, verb, in->device, model->host.twin_look != NULL,
			     "twins are neither added nor deleted", error);

	if (port < 0)
		return -1;
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_TWIN_LOOK;
	deferred->twin_look.port = (uint16_t)port;
	deferred->twin_look.was_down = in->was_down;
	return 0;
}

static int defer_flow(struct model *model, bool add, const struct flow_info *info, struct error *error)
{
	struct deferred *deferred;

	if (model->batch.flows++ >= FLOWS_MAX)
		return error_set(error, "full", "split the batch", "more than %d changes of flows",
				 FLOWS_MAX);
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_FLOW;
	deferred->flow.add = add;
	deferred->flow.info = *info;
	return 0;
}

/* As it will be when what was deferred is done. */
static bool flow_there(const struct model *model, const struct flow_info *flow)
{
	struct flow_info info;
	bool there = false;

	for (uint32_t i = 0; model->host.flow_info && model->host.flow_info(model->host.context, i, &info);
	     i++)
		there |= info.port == flow->port && info.family == flow->family &&
			 ip_equal(&info.address, &flow->address);
	for (size_t i = 0; i < model->batch.deferred_count; i++) {
		const struct deferred *deferred = &model->batch.deferred[i];

		if (deferred->kind == DEFERRED_FLOW && deferred->flow.info.port == flow->port &&
		    deferred->flow.info.family == flow->family &&
		    ip_equal(&deferred->flow.info.address, &flow->address))
			there = deferred->flow.add;
	}
	return there;
}

int flow_apply(struct model *model, int verb, const Dpvsha__Flow *in, struct error *error)
{
	struct flow_info flow = {0};
	enum family family;
	bool there;
	int port;

	if (read_address(&in->address, "flow's address", &family, &flow.address, error) < 0)
		return -1;
	port = read_device(model, in->device, error);
	if (port < 0)
		return -1;
	flow.port = (uint16_t)port;
	flow.family = (uint8_t)family;
	if (!model->host.flow_set)
		return error_set(error, "unsupported", NULL,
				 "%s: flows to the kernel are not part of this process", in->device);
	there = flow_there(model, &flow);
	if (check_verb(verb, there, "flow to the kernel for", ip_text(family, &flow.address),
		       "dpip flow show lists them", error) < 0)
		return -1;
	if (verb != VERB_DELETE && there)
		return 0;
	if (model->host.flow_set(model->host.context, verb != VERB_DELETE, &flow, true, error) < 0)
		return -1;
	return defer_flow(model, verb != VERB_DELETE, &flow, error);
}

int zero_apply(struct model *model, int verb, const Dpvsha__Zero *in, struct error *error)
{
	struct deferred *deferred;
	struct service_key key;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit", "counters are neither added nor deleted");
	if (in->device[0]) {
		int port = read_device(model, in->device, error);

		if (port < 0)
			return -1;
		if (!model->host.link_zero)
			return error_set(error, "unsupported", NULL, "the counters of %s cannot be zeroed",
					 in->device);
		deferred = batch_defer(model, error);
		if (!deferred)
			return -1;
		deferred->kind = DEFERRED_LINK_ZERO;
		deferred->link.port = (uint16_t)port;
		return 0;
	}
	memset(&key, 0, sizeof(key));
	/* Twice in a batch is once. */
	if (in->service) {
		struct model_service *service;

		if (read_service_key(in->service, &key, error) < 0)
			return -1;
		service = model_service_find(model, &key);
		if (!service)
			return error_set(error, "not-found", "ipvsadm -ln lists them",
					 "there is no virtual server %s", service_text(&key));
		if (service->zero_batch == model->batch.serial)
			return 0;
		service->zero_batch = model->batch.serial;
	} else if (model->batch.zero_all) {
		return 0;
	} else {
		model->batch.zero_all = true;
	}
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_ZERO;
	deferred->zero.all = in->service == NULL;
	deferred->zero.key = key;
	return 0;
}

/* ---- flush ---- */

static int flush_flows(struct model *model, const char *device, struct error *error)
{
	struct flow_info info;
	int port = -1;

	if (device[0]) {
		port = read_device(model, device, error);
		if (port < 0)
			return -1;
	}
	for (uint32_t i = 0; model->host.flow_info && model->host.flow_info(model->host.context, i, &info);
	     i++)
		if ((port < 0 || info.port == port) && flow_there(model, &info) &&
		    defer_flow(model, false, &info, error) < 0)
			return -1;
	return 0;
}

static int flush_service(struct model *model, int what, struct model_service *service, struct error *error)
{
	switch (what) {
	case DPVSHA__FLUSH__WHAT__LOCAL_ADDRESSES:
		return service_delete_bindings(model, service, error);
	case DPVSHA__FLUSH__WHAT__LIST_DENY_ENTRIES:
		return service_delete_entries(model, service, 0, error);
	case DPVSHA__FLUSH__WHAT__LIST_ALLOW_ENTRIES:
		return service_delete_entries(model, service, 1, error);
	case DPVSHA__FLUSH__WHAT__SERVERS:
		return service_delete_servers(model, service, error);
	default:
		return service_delete(model, service, error);
	}
}

int flush_apply(struct model *model, int verb, const Dpvsha__Flush *in, struct error *error)
{
	struct model_service *service;
	struct service_key key;
	uint64_t cursor = 0;

	if (verb != VERB_DELETE)
		return error_set(error, "invalid", "use delete", "a flush only deletes");
	switch ((int)in->what) {
	case DPVSHA__FLUSH__WHAT__ADDRESSES:
	case DPVSHA__FLUSH__WHAT__ROUTES:
	case DPVSHA__FLUSH__WHAT__NEIGHBOURS:
		return network_flush(model, in, error);
	case DPVSHA__FLUSH__WHAT__FLOWS:
		return flush_flows(model, in->device, error);
	case DPVSHA__FLUSH__WHAT__SERVICES:
	case DPVSHA__FLUSH__WHAT__LOCAL_ADDRESSES:
	case DPVSHA__FLUSH__WHAT__LIST_DENY_ENTRIES:
	case DPVSHA__FLUSH__WHAT__LIST_ALLOW_ENTRIES:
	case DPVSHA__FLUSH__WHAT__SERVERS:
		break;
	default:
		return error_set(error, "invalid", NULL, "there is nothing of number %d to flush",
				 (int)in->what);
	}
	if (in->service) {
		if (read_service_key(in->service, &key, error) < 0)
			return -1;
		service = model_service_find(model, &key);
		if (!service)
			return error_set(error, "not-found", "ipvsadm -ln lists them",
					 "there is no virtual server %s", service_text(&key));
		return flush_service(model, (int)in->what, service, error);
	}
	if (model->batch.flushes++ >= FLUSHES_MAX)
		return error_set(error, "full", "split the batch", "more than %d times everything is flushed",
				 FLUSHES_MAX);
	while ((service = ordered_next(&model->services, &cursor)))
		if ((!in->owner[0] || strcmp(service->config.owner, in->owner) == 0) &&
		    flush_service(model, (int)in->what, service, error) < 0)
			return -1;
	return 0;
}

/* ---- doing what was deferred ---- */

/* What leads back. */
struct switch_before {
	struct link_change link;
	char *value; /* NULL: none */
};

/* The change that leads back to what is now. */
static struct link_change link_back(const struct model *model, uint16_t port, uint32_t what)
{
	const struct net_port *now = &model->director->net->ports[port];
	struct link_change back = {.what = what};
	struct link_info info = {0};

	if (model->host.link_info)
		model->host.link_info(model->host.context, port, &info);
	back.promiscuous = info.promiscuous;
	back.allmulticast = info.allmulticast;
	back.forward2kni = info.forward2kni;
	back.lldp = info.lldp;
	back.up = now->up;
	back.mtu = now->mtu;
	memcpy(back.mac, now->mac, sizeof(back.mac));
	return back;
}

static int try_one(struct model *model, const struct deferred *deferred, struct switch_before *before,
		   struct error *error)
{
	struct control_host *host = &model->host;
	char value[SETTING_VALUE_SIZE];

	switch (deferred->kind) {
	case DEFERRED_LINK:
		before->link = link_back(model, deferred->link.port, deferred->link.change.what);
		return host->link_set(host->context, deferred->link.port, &deferred->link.change, false,
				      error);
	case DEFERRED_SETTING:
		if (host->setting_get(host->context, deferred->setting.name, value)) {
			before->value = strdup(value);
			if (!before->value)
				return error_memory(error);
		}
		return host->setting_set(host->context, deferred->setting.name, deferred->setting.value,
					 false, error);
	case DEFERRED_FLOW:
		return host->flow_set(host->context, deferred->flow.add, &deferred->flow.info, false, error);
	default:
		return 0;
	}
}

static void take_back(struct model *model, const struct deferred *deferred,
		      const struct switch_before *before)
{
	struct control_host *host = &model->host;
	struct error error;

	switch (deferred->kind) {
	case DEFERRED_LINK:
		(void)host->link_set(host->context, deferred->link.port, &before->link, false, &error);
		break;
	case DEFERRED_SETTING:
		if (before->value)
			(void)host->setting_set(host->context, deferred->setting.name, before->value, false,
						&error);
		break;
	case DEFERRED_FLOW:
		(void)host->flow_set(host->context, !deferred->flow.add, &deferred->flow.info, false, &error);
		break;
	default:
		break;
	}
}

int deferred_try(struct model *model, struct error *error)
{
	struct batch *batch = &model->batch;
	struct switch_before *before;
	size_t done = 0;
	int result = 0;

	if (batch->deferred_count == 0)
		return 0;
	before = calloc(batch->deferred_count, sizeof(*before));
	if (!before)
		return error_memory(error);
	for (; done < batch->deferred_count && result == 0; done++)
		result = try_one(model, &batch->deferred[done], &before[done], error);
	if (result < 0) {
		/* The last one did not happen. */
		batch->operation = batch->deferred[--done].operation;
		free(before[done].value);
		before[done].value = NULL;
		while (done-- > 0)
			take_back(model, &batch->deferred[done], &before[done]);
	}
	for (size_t i = 0; i < batch->deferred_count; i++)
		free(before[i].value);
	free(before);
	return result;
}

static void set_groups(struct model *model, uint16_t port, const Dpvsha__TwinGroups *message)
{
	static uint8_t macs[TWIN_GROUPS_MAX][6];
	struct error error;

	for (size_t i = 0; i < message->n_groups; i++)
		memcpy(macs[i], message->groups[i].data, sizeof(macs[i]));
	if (model->host.groups_set(model->host.context, port, macs, (uint32_t)message->n_groups, &error) < 0)
		model->host.log(model->host.context, 4, error.text);
}

void deferred_finish(struct model *model)
{
	struct batch *batch = &model->batch;
	struct model_service *service;
	struct error error;

	for (size_t i = 0; i < batch->deferred_count; i++) {
		struct deferred *deferred = &batch->deferred[i];
		uint64_t cursor = 0;

		switch (deferred->kind) {
		case DEFERRED_ZERO:
			while (deferred->zero.all && (service = ordered_next(&model->services, &cursor)))
				service_zero(model, service);
			service = deferred->zero.all ? NULL : model_service_find(model, &deferred->zero.key);
			if (service)
				service_zero(model, service);
			break;
		case DEFERRED_LINK_ZERO:
			model->host.link_zero(model->host.context, deferred->link.port);
			break;
		case DEFERRED_ANNOUNCE:
			(void)net_announce(model->net, &deferred->announce.address, deferred->announce.repeat,
					   deferred->announce.interval_ms, model->now_ms, &error);
			break;
		case DEFERRED_FORGET:
			(void)net_neighbour_apply(model->net, VERB_DELETE, deferred->forget.port,
						  (enum family)deferred->forget.family,
						  &deferred->forget.address, (const uint8_t[6]){0}, &error);
			break;
		case DEFERRED_GROUPS:
			set_groups(model, deferred->groups.port, deferred->groups.message);
			break;
		case DEFERRED_TWIN_LOOK:
			model->host.twin_look(model->host.context, deferred->twin_look.port,
					      deferred->twin_look.was_down);
			break;
		case DEFERRED_LINK:
		case DEFERRED_SETTING:
		case DEFERRED_FLOW:
			break;
		}
	}
}
