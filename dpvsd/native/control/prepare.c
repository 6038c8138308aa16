/* The first half of showing a batch to the workers: everything that can fail is made, and nothing shown. Also
 * how to throw it away again. */
#include "model.h"

#include <stdlib.h>

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
		if (service->shared->schedule)
			service->new_schedule->born = service->shared->schedule->born;
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

void publish_drop(struct model_service *service)
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
void publish_end_batch(struct model *model)
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

			publish_drop(service);
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
	publish_end_batch(model);
}
