/* The second half: what prepare.c made is shown to the workers, by pointer. What they may still read is freed
 * when each of them has passed a quiescent state. */
#include "model.h"
#include "../core/steer.h"

#include <stdio.h>
#include <stdlib.h>

static void free_schedule(void *object)
{
	schedule_free(object);
}

static void free_list(void *object)
{
	client_list_free(object);
}

static void free_local_table(void *object)
{
	local_table_free(object);
}

static void item_grace_passed(void *object)
{
	((struct item *)object)->graces--;
}

static void local_grace_passed(void *object)
{
	((struct model_local *)object)->graces--;
}

static void commit_local_table(struct model *model)
{
	struct local_table *old = model->director->locals;

	if (model->new_local_table) {
		publish(model->director->locals, model->new_local_table);
		model->new_local_table = NULL;
		if (old)
			rcu_free(old, free_local_table);
	}
	for (struct model_local *local = model->batch.touched_locals; local; local = local->touched_next)
		if (local->users > 0)
			local->published = true;
}

/* The threshold may be met already, or no longer. */
static void set_overload(const struct model *model, const struct model_server *server)
{
	struct server *shared = server->shared;
	struct server_count sum;
	uint64_t connections;

	if (shared->upper == 0) {
		__atomic_store_n(&shared->overloaded, 0, __ATOMIC_RELAXED);
		return;
	}
	server_counted(model, server, &sum);
	connections = (uint64_t)sum.active + sum.inactive;
	if (connections >= shared->upper)
		__atomic_store_n(&shared->overloaded, 1, __ATOMIC_RELAXED);
	else if (connections < (shared->lower ? shared->lower : shared->upper - shared->upper / 4))
		__atomic_store_n(&shared->overloaded, 0, __ATOMIC_RELAXED);
}

#define SET(location, value) __atomic_store_n(&(location), (value), __ATOMIC_RELAXED)

static void commit_server(struct model *model, struct model_server *server)
{
	const struct model_service *service = server->service;
	struct server *shared = server->shared;
	bool limits = shared->upper != server->config.upper || shared->lower != server->config.lower;
	uint32_t flags = 0;

	if (server->config.inhibited)
		flags |= SERVER_INHIBITED;
	if (service->config.expire_quiescent)
		flags |= SERVER_EXPIRE_QUIESCENT;
	SET(shared->service, service->shared->index);
	SET(shared->forward, server->config.forward);
	SET(shared->weight, server->config.weight);
	SET(shared->upper, server->config.upper);
	SET(shared->lower, server->config.lower);
	SET(shared->connection_timeout, service->config.connection_timeout);
	SET(shared->flags, flags);
	if (limits)
		set_overload(model, server);
	server_unlinger(model, server);
	if (server->counted_for != service) {
		/* Comes back from a service that is gone: what it counted there is not this one's. */
		if (server->counted_for) {
			struct server_count sum;

			server_counted(model, server, &sum);
			server->begun = (struct traffic){sum.connections, sum.in_packets, sum.out_packets,
							 sum.in_bytes, sum.out_bytes};
			server->base = server->begun;
		}
		server->counted_for = server->service;
	}
	if (!server->item.published) {
		server->item.published = true;
		publish(model->director->servers[shared->index], shared);
	}
}

/* Says, once for each, what is kept and shown but not acted upon. The same list has
 * cli/ipvsadm/without-effect.ts. */
static void tell_without_effect(struct model *model, const struct model_service *service)
{
	const struct service_config *config = &service->config;
	const struct {
		bool is;
		const char *what;
	} attributes[] = {
	    {config->syn_proxy, "SYN proxy"},
	    {config->proxy_protocol != DPVSHA__PROXY_PROTOCOL__PROXY_NONE, "PROXY protocol"},
	    {config->quic || config->hash_target == DPVSHA__HASH_TARGET__HASH_QUIC_ID, "QUIC connection ids"},
	    {config->has_dest_check && config->dest_check, "passive checks"},
	    {config->bps > 0, "limit of bandwidth"},
	};

	for (unsigned int i = 0; i < RTE_DIM(attributes); i++) {
		char text[200];

		if (!attributes[i].is || (model->told_without_effect >> i & 1))
			continue;
		model->told_without_effect |= 1u << i;
		snprintf(text, sizeof(text),
			 "%s: %s: not part of this version, kept without effect (said once)",
			 service_text(&service->shared->key), attributes[i].what);
		if (model->host.log)
			model->host.log(model->host.context, 4, text);
	}
}

/* How packets will be steered. */
static int steered_by(const struct service_config *config, uint32_t flags, const struct service *shared)
{
	struct service next = {.key = shared->key,
			       .flags = flags,
			       .persistence = config->persistence,
			       .persistence_prefix = config->persistence_prefix};

	return steer_prefix(&next);
}

static void commit_service(struct model *model, struct model_service *service)
{
	struct service *shared = service->shared;
	const struct service_config *config = &service->config;
	uint32_t flags = shared->flags & SERVICE_RESTEERED;
	int steered = steer_prefix(shared);

	for (uint32_t i = 0; i < service->servers.used; i++) {
		const struct model_server *server = service->servers.places[i].item;

		if (server && server->nat)
			flags |= SERVICE_HAS_NAT;
	}
	for (uint32_t i = 0; i < service->lingering.used; i++) {
		const struct model_server *server = service->lingering.places[i].item;

		if (server && server->nat)
			flags |= SERVICE_HAS_NAT;
	}
	if (config->one_packet)
		flags |= SERVICE_ONE_PACKET;
	if (config->expire_quiescent)
		flags |= SERVICE_EXPIRE_QUIESCENT;
	if (config->syn_proxy)
		flags |= SERVICE_SYN_PROXY;
	if (config->quic)
		flags |= SERVICE_QUIC;
	if (config->hash_target == DPVSHA__HASH_TARGET__HASH_QUIC_ID)
		flags |= SERVICE_HASH_QUIC_ID;
	if (service->item.published && steered != steered_by(config, flags, shared))
		flags |= SERVICE_RESTEERED;
	SET(shared->flags, flags);
	SET(shared->connection_timeout, config->connection_timeout);
	SET(shared->persistence_prefix, config->persistence_prefix);
	SET(shared->persistence, config->persistence);
	if (service->dirty & DIRTY_LOCALS) {
		struct local_set *old = shared->locals;

		publish(shared->locals, service->new_locals);
		if (old)
			rcu_free(old, memory_free);
	}
	if (service->dirty & DIRTY_DENY) {
		struct client_list *old = shared->deny;

		publish(shared->deny, service->new_deny);
		if (old)
			rcu_free(old, free_list);
	}
	if (service->dirty & DIRTY_ALLOW) {
		struct client_list *old = shared->allow;

		publish(shared->allow, service->new_allow);
		if (old)
			rcu_free(old, free_list);
	}
	if (service->dirty & DIRTY_SCHEDULE) {
		struct schedule *old = shared->schedule;

		publish(shared->schedule, service->new_schedule);
		if (old)
			rcu_free(old, free_schedule);
	}
	service->new_locals = NULL;
	service->new_deny = NULL;
	service->new_allow = NULL;
	service->new_schedule = NULL;
	service->dirty = 0;
	tell_without_effect(model, service);
	if (!service->item.published) {
		service->item.published = true;
		/* There is room: prepare made it. */
		(void)service_table_put(model->director->services, shared);
	}
}

struct departing_service {
	struct model *model;
	struct model_service *service;
};

static void service_left(void *object)
{
	struct departing_service *departing = object;

	service_release(departing->model, departing->service);
	free(departing);
}

static void withdraw_service(struct model *model, struct model_service *service)
{
	struct departing_service *departing = malloc(sizeof(*departing));

	service_table_remove(model->director->services, &service->shared->key);
	service_forget(model, service);
	for (uint32_t i = 0; i < service->lingering.used; i++) {
		struct model_server *server = service->lingering.places[i].item;

		if (server)
			server->service = server->lingering_in = NULL;
	}
	publish_drop(service);
	/* Without memory it is lost, which is better than freed too early. */
	if (departing) {
		*departing = (struct departing_service){model, service};
		rcu_free(departing, service_left);
	}
}

/* New connections no longer come, since the schedule is without it; existing ones go on. */
static void withdraw_server(struct model *model, struct model_server *server)
{
	uint32_t flags = server->shared->flags | SERVER_REMOVED;

	SET(server->shared->flags, flags);
	server->item.graces++;
	rcu_free(server, item_grace_passed);
	server->lingering = true;
	server->linger_sequence = ++model->last_sequence;
	ordered_insert(&model->lingering, server->linger_sequence, server);
	if (server->service->item.live) {
		server->lingering_in = server->service;
		ordered_insert(&server->service->lingering, server->linger_sequence, server);
	} else {
		server->service = NULL;
	}
}

void publish_commit(struct model *model)
{
	struct batch *batch = &model->batch;
	struct item *item, *next, *gone = NULL;

	commit_local_table(model);
	for (item = batch->touched; item; item = item->touched_next)
		if (item->kind == ITEM_SERVER && item->live)
			commit_server(model, (struct model_server *)item);
	for (item = batch->touched; item; item = item->touched_next)
		if (item->kind == ITEM_SERVICE && item->live) {
			struct model_service *service = (struct model_service *)item;

			if (service->dirty & DIRTY_ATTRIBUTES)
				for (uint32_t i = 0; i < service->servers.used; i++)
					if (service->servers.places[i].item)
						commit_server(model, service->servers.places[i].item);
			commit_service(model, service);
		}
	for (item = batch->touched; item; item = item->touched_next)
		if (item->kind == ITEM_SERVER && !item->live && item->published) {
			struct model_server *server = (struct model_server *)item;

			/* One that came back and left again within the batch was never here. */
			if (server->lingering)
				server->service = server->lingering_in;
			else
				withdraw_server(model, server);
		}
	for (struct item **link = &batch->touched; (item = *link);) {
		if (item->kind == ITEM_SERVICE && !item->live && item->published) {
			*link = item->touched_next;
			item->touched_next = gone;
			gone = item;
		} else {
			link = &item->touched_next;
		}
	}
	for (item = batch->touched; item; item = item->touched_next)
		if (item->kind == ITEM_BINDING || item->kind == ITEM_LIST_ENTRY)
			item->published = false; /* nothing of them outlives the model */
	for (struct model_local *local = batch->touched_locals; local; local = local->touched_next)
		if (local->users == 0 && local->published) {
			local->graces++;
			rcu_free(local, local_grace_passed);
			model->idle_locals++;
		}
	publish_end_batch(model);
	for (item = gone; item; item = next) {
		next = item->touched_next;
		withdraw_service(model, (struct model_service *)item);
	}
}
