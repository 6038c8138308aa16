/* From the model to the workers: first everything that can fail is made (prepare), then it is shown to them
 * by pointer (commit); what they may still read is freed when each has passed a quiescent state. */
#include "model.h"

#include <stdlib.h>

enum {
	RETIRE_A_TICK = 4000,
};

/* ---- prepare ---- */

/* Servers as they will be: the workers see the old weights until commit. */
static void fill_in(struct server *server, const struct model_server *from)
{
	*server = (struct server){.address = from->shared->address,
				  .port = from->shared->port,
				  .family = from->shared->family,
				  .index = from->shared->index,
				  .weight = from->config.weight};
}

static int prepare_schedule(struct model_service *service)
{
	uint32_t count = service->servers.count, at = 0;
	struct server *copies = aligned_alloc(RTE_CACHE_LINE_SIZE, RTE_MAX(count, 1u) * sizeof(*copies));
	struct server **pointers = malloc(RTE_MAX(count, 1u) * sizeof(*pointers));

	if (copies && pointers) {
		for (uint32_t i = 0; i < service->servers.used; i++) {
			const struct model_server *server = service->servers.places[i].item;

			if (!server)
				continue;
			fill_in(&copies[at], server);
			pointers[at] = &copies[at];
			at++;
		}
		service->new_schedule = schedule_new((enum scheduler)service->config.scheduler,
						     service->config.schedule_flags, pointers, count);
	}
	if (service->new_schedule) {
		at = 0;
		for (uint32_t i = 0; i < service->servers.used; i++) {
			const struct model_server *server = service->servers.places[i].item;

			if (server)
				service->new_schedule->servers[at++] = server->shared;
		}
	}
	free(copies);
	free(pointers);
	return service->new_schedule ? 0 : -1;
}

static int prepare_locals(struct model_service *service)
{
	struct local_set *set;

	if (service->bindings.count == 0)
		return 0;
	set = memory_new(sizeof(*set) + service->bindings.count * sizeof(set->addresses[0]));
	if (!set)
		return -1;
	for (uint32_t i = 0; i < service->bindings.used; i++) {
		const struct model_binding *binding = service->bindings.places[i].item;

		if (binding)
			set->addresses[set->count++] = binding->local->shared;
	}
	service->new_locals = set;
	return 0;
}

static int prepare_list(const struct model_service *service, const struct ordered *order,
			struct client_list **list)
{
	struct client_prefix *entries;
	uint32_t count = 0;

	if (order->count == 0)
		return 0;
	entries = malloc(order->count * sizeof(*entries));
	if (!entries)
		return -1;
	for (uint32_t i = 0; i < order->used; i++) {
		const struct list_entry *entry = order->places[i].item;

		if (entry)
			entries[count++] = entry->network;
	}
	*list = client_list_new((enum family)service->shared->key.family, entries, count);
	free(entries);
	return *list ? 0 : -1;
}

static int prepare_service(struct model_service *service)
{
	uint32_t gone = 0;

	/* Those that leave have to be counted on. */
	if (service->item.published) {
		gone = service->shared->schedule ? service->shared->schedule->count : 0;
		if (ordered_reserve(&service->lingering, gone) < 0)
			return -1;
	}
	if ((service->dirty & DIRTY_SCHEDULE) && prepare_schedule(service) < 0)
		return -1;
	if ((service->dirty & DIRTY_LOCALS) && prepare_locals(service) < 0)
		return -1;
	if ((service->dirty & DIRTY_DENY) && prepare_list(service, &service->deny, &service->new_deny) < 0)
		return -1;
	if ((service->dirty & DIRTY_ALLOW) && prepare_list(service, &service->allow, &service->new_allow) < 0)
		return -1;
	return 0;
}

static uint8_t prefix_of(const struct model_service *service)
{
	if (service->config.persistence == 0)
		return 0;
	return service->config.persistence_prefix
		   ? service->config.persistence_prefix
		   : (uint8_t)ip_bits((enum family)service->shared->key.family);
}

/* Clients of a NAT server are steered before the first of them can come. */
static int prepare_nat(struct model *model, struct model_server *server)
{
	if (!server->nat) {
		if (server->config.forward != FORWARD_NAT)
			return 0;
		if (server_link_nat(model, server) < 0)
			return -1;
	}
	server->nat_prefix = prefix_of(server->service);
	batch_dirty_nat(model, server->nat);
	return 0;
}

static int flush_nat(struct model *model)
{
	int result = 0;

	while (model->batch.dirty_nat) {
		struct nat_endpoint *nat = model->batch.dirty_nat;

		model->batch.dirty_nat = nat->dirty_next;
		nat->dirty = false;
		if (nat_publish(model, nat) < 0)
			result = -1;
	}
	return result;
}

static int prepare_local_table(struct model *model)
{
	struct local_address **addresses;
	uint32_t count = 0;
	bool more = false;

	for (struct model_local *local = model->batch.touched_locals; local; local = local->touched_next)
		more |= local->users > 0 && !local->published;
	if (!more)
		return 0;
	addresses = malloc((model->locals.count + 1) * sizeof(*addresses));
	if (!addresses)
		return -1;
	for (uint32_t i = 0; i < model->locals.used; i++) {
		const struct model_local *local = model->locals.places[i].item;

		if (local && (local->users > 0 || local->published))
			addresses[count++] = local->shared;
	}
	model->new_local_table = local_table_new(addresses, count);
	free(addresses);
	return model->new_local_table ? 0 : -1;
}

int publish_prepare(struct model *model, struct error *error)
{
	uint32_t new_services = 0, gone_servers = 0;

	for (struct item *item = model->batch.touched; item; item = item->touched_next) {
		if (item->kind == ITEM_SERVICE && item->live) {
			struct model_service *service = (struct model_service *)item;

			new_services += !item->published;
			if (prepare_service(service) < 0)
				return error_memory(error);
			/* The persistence of NAT services is how their clients are steered. */
			if (service->dirty & DIRTY_ATTRIBUTES)
				for (uint32_t i = 0; i < service->servers.used; i++)
					if (service->servers.places[i].item &&
					    prepare_nat(model, service->servers.places[i].item) < 0)
						return error_memory(error);
		}
		if (item->kind == ITEM_SERVER) {
			gone_servers += !item->live && item->published;
			if (item->live && prepare_nat(model, (struct model_server *)item) < 0)
				return error_memory(error);
		}
	}
	if (flush_nat(model) < 0 || service_table_reserve(model->director->services, new_services) < 0 ||
	    ordered_reserve(&model->lingering, gone_servers) < 0 || prepare_local_table(model) < 0)
		return error_memory(error);
	return 0;
}

static void drop_prepared(struct model_service *service)
{
	schedule_free(service->new_schedule);
	if (service->new_locals)
		memory_free(service->new_locals);
	client_list_free(service->new_deny);
	client_list_free(service->new_allow);
	service->new_schedule = NULL;
	service->new_locals = NULL;
	service->new_deny = NULL;
	service->new_allow = NULL;
	service->dirty = 0;
}

/* Forgets what was touched, and frees what the workers never saw and nobody wants. */
static void end_batch(struct model *model)
{
	struct batch *batch = &model->batch;
	struct item *item, *next, *services = NULL;
	struct model_local *local, *next_local;

	for (item = batch->touched; item; item = next) {
		next = item->touched_next;
		item->touched = false;
		if (item->live || item->published)
			continue;
		if (item->kind == ITEM_SERVICE) {
			/* Last, since others refer to them. */
			item->touched_next = services;
			services = item;
		} else {
			item_free(model, item);
		}
	}
	for (item = services; item; item = next) {
		next = item->touched_next;
		item_free(model, item);
	}
	batch->touched = NULL;
	for (local = batch->touched_locals; local; local = next_local) {
		next_local = local->touched_next;
		local->touched = false;
		if (local->users == 0 && !local->published) {
			struct local_address *shared = local->shared;

			model_local_free(model, local);
			local_address_free(shared);
		}
	}
	batch->touched_locals = NULL;
}

void publish_cancel(struct model *model)
{
	for (struct item *item = model->batch.touched; item; item = item->touched_next) {
		if (item->kind == ITEM_SERVICE) {
			struct model_service *service = (struct model_service *)item;

			drop_prepared(service);
			/* A prefix that prepare announced is taken back. */
			for (uint32_t i = 0; i < service->servers.used; i++) {
				struct model_server *server = service->servers.places[i].item;

				if (server && server->nat && server->item.live)
					(void)prepare_nat(model, server);
			}
		}
	}
	(void)flush_nat(model);
	local_table_free(model->new_local_table);
	model->new_local_table = NULL;
	end_batch(model);
}

/* ---- commit ---- */

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

static void free_shared_local(void *object)
{
	local_address_free(object);
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

/* It leaves the servers that are watched until their last connection has ended. */
static void unlinger(struct model *model, struct model_server *server)
{
	if (!server->lingering)
		return;
	server->lingering = false;
	ordered_remove(&model->lingering, server->linger_sequence);
	if (server->lingering_in)
		ordered_remove(&server->lingering_in->lingering, server->linger_sequence);
	server->lingering_in = NULL;
}

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
	unlinger(model, server);
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

static void commit_service(struct model *model, struct model_service *service)
{
	struct service *shared = service->shared;
	const struct service_config *config = &service->config;
	uint32_t flags = 0;

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
	drop_prepared(service);
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
	end_batch(model);
	for (item = gone; item; item = next) {
		next = item->touched_next;
		withdraw_service(model, (struct model_service *)item);
	}
}

/* ---- retiring ---- */

static void server_left(void *object)
{
	struct model_server *server = object;

	server_release(server->model, server);
}

static void retire_server(struct model *model, struct model_server *server, const struct server_count *sum)
{
	if (server->service) {
		struct traffic last = {sum->connections, sum->in_packets, sum->out_packets, sum->in_bytes,
				       sum->out_bytes};

		traffic_subtract(&last, &server->begun);
		traffic_add(&server->service->gone, &last);
	}
	unlinger(model, server);
	publish(model->director->servers[server->shared->index], (struct server *)NULL);
	server_forget(model, server);
	rcu_free(server, server_left);
}

static void retire_locals(struct model *model)
{
	struct local_table *table, *old = model->director->locals;
	struct local_address **addresses;
	uint32_t count = 0, idle = 0, leaving = 0;

	addresses = malloc((model->locals.count + 1) * 2 * sizeof(*addresses));
	if (!addresses)
		return;
	struct local_address **left = addresses + model->locals.count + 1;

	for (uint32_t i = 0; i < model->locals.used; i++) {
		struct model_local *local = model->locals.places[i].item;
		struct local_port_usage usage;

		if (!local || !local->published)
			continue;
		idle += local->users == 0;
		if (local->users == 0 && local->graces == 0) {
			local_port_usage(local->shared, &usage);
			if (usage.used == 0) {
				left[leaving++] = local->shared;
				continue;
			}
		}
		addresses[count++] = local->shared;
	}
	model->idle_locals = idle - leaving;
	table = leaving ? local_table_new(addresses, count) : NULL;
	if (table) {
		publish(model->director->locals, table);
		rcu_free(old, free_local_table);
		for (uint32_t i = 0; i < leaving; i++) {
			struct model_local *local = model_local_find(model, (enum family)left[i]->family,
								     &left[i]->address);

			network_drop_address(model, left[i]);
			model_local_free(model, local);
			rcu_free(left[i], free_shared_local);
		}
	}
	free(addresses);
}

void publish_retire(struct model *model)
{
	uint32_t budget = RETIRE_A_TICK;

	while (model->lingering.count > 0 && budget-- > 0) {
		struct model_server *server = ordered_next(&model->lingering, &model->retire_cursor);
		struct server_count sum;

		if (!server) {
			model->retire_cursor = 0;
			break;
		}
		if (server->item.graces > 0)
			continue;
		server_counted(model, server, &sum);
		if (sum.active + sum.inactive + sum.persistent == 0)
			retire_server(model, server, &sum);
	}
	if (model->idle_locals > 0)
		retire_locals(model);
}
