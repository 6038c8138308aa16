/* The end of what was removed while in use: servers with their last connection, local addresses with their
 * last port. */
#include "model.h"

#include <stdlib.h>

enum {
	RETIRE_A_TICK = 4000,
};

static void free_local_table(void *object)
{
	local_table_free(object);
}

static void free_shared_local(void *object)
{
	local_address_free(object);
}

/* It leaves the servers that are watched until their last connection has ended. */
void server_unlinger(struct model *model, struct model_server *server)
{
	if (!server->lingering)
		return;
	server->lingering = false;
	ordered_remove(&model->lingering, server->linger_sequence);
	if (server->lingering_in)
		ordered_remove(&server->lingering_in->lingering, server->linger_sequence);
	server->lingering_in = NULL;
}

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
	server_unlinger(model, server);
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
