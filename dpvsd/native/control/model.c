#include "model.h"

#include <stdlib.h>

enum {
	TICK_MS = 100,
	ESTIMATES_A_TICK = 4000,
};

int model_init(struct model *model, struct director *director, struct net_master *net,
	       const struct control_host *host)
{
	struct pointer_table *const tables[] = {
	    &model->service_by_key,   &model->server_by_key,   &model->binding_by_key, &model->entry_by_key,
	    &model->local_by_address, &model->nat_by_endpoint, &model->texts};

	memset(model, 0, sizeof(*model));
	model->director = director;
	model->net = net;
	if (host)
		model->host = *host;
	model->next_server = SERVER_NONE + 1;
	for (size_t i = 0; i < RTE_DIM(tables); i++)
		if (pointer_table_init(tables[i]) < 0)
			return -1;
	model->service_by_index = calloc(MAX_SERVICES, sizeof(*model->service_by_index));
	return model->service_by_index ? 0 : -1;
}

static void free_all(struct pointer_table *table, void (*free_object)(void *))
{
	for (uint64_t i = 0; table->slots && i <= table->slots->mask; i++)
		if (table->slots->slot[i].pointer)
			free_object(table->slots->slot[i].pointer);
	if (table->slots)
		pointer_table_end(table);
}

static void free_service(void *object)
{
	service_free(object);
}

static void free_server(void *object)
{
	struct model_server *server = object;

	memory_free(server->shared);
	free(server);
}

static void free_local(void *object)
{
	struct model_local *local = object;

	local_address_free(local->shared);
	free(local);
}

void model_end(struct model *model)
{
	free_all(&model->service_by_key, free_service);
	free_all(&model->server_by_key, free_server);
	free_all(&model->binding_by_key, free);
	free_all(&model->entry_by_key, free);
	free_all(&model->local_by_address, free_local);
	free_all(&model->nat_by_endpoint, free);
	free_all(&model->texts, free);
	ordered_end(&model->services);
	ordered_end(&model->locals);
	ordered_end(&model->lingering);
	ordered_end(&model->all_servers);
	free(model->service_by_index);
	free(model->free_servers);
	free(model->free_services);
	free(model->batch.undo);
	free(model->batch.deferred);
}

/* ---- texts ---- */

static bool text_equal(const void *object, const void *key)
{
	return strcmp(object, key) == 0;
}

const char *model_text(struct model *model, const char *what, const char *text, struct error *error)
{
	uint64_t hash = 14695981039346656037ull; /* FNV-1a */
	size_t length = strlen(text);
	char *kept;
	void *old;

	if (length == 0)
		return "";
	if (length >= TEXT_SIZE) {
		error_set(error, "invalid", NULL, "the %s has %zu characters, at most %d are kept", what,
			  length, TEXT_SIZE - 1);
		return NULL;
	}
	for (size_t i = 0; i < length; i++) {
		uint8_t c = (uint8_t)text[i];

		if (c < ' ' || c > '~') {
			error_set(error, "invalid", "use letters, digits and punctuation of ASCII",
				  "the %s has a character that does not print", what);
			return NULL;
		}
		hash = (hash ^ c) * 1099511628211ull;
	}
	kept = pointer_table_find(&model->texts, hash, text, text_equal);
	if (kept)
		return kept;
	if (model->text_count >= TEXTS_MAX) {
		error_set(error, "full", "use fewer different ones", "there are %d different texts already",
			  TEXTS_MAX);
		return NULL;
	}
	kept = strdup(text);
	if (!kept || pointer_table_put(&model->texts, hash, text, text_equal, kept, &old) < 0) {
		free(kept);
		error_memory(error);
		return NULL;
	}
	model->text_count++;
	return kept;
}

/* ---- records ---- */

/* One more element at the end of an array that grows, zeroed. */
static void *one_more(void **array, size_t *count, size_t *room, size_t size)
{
	if (*count == *room) {
		size_t wanted = *room ? *room * 2 : 64;
		void *grown = realloc(*array, wanted * size);

		if (!grown)
			return NULL;
		*array = grown;
		*room = wanted;
	}
	void *element = (char *)*array + (*count)++ * size;

	memset(element, 0, size);
	return element;
}

struct undo *batch_undo(struct model *model, struct error *error)
{
	struct batch *batch = &model->batch;
	struct undo *undo = one_more((void **)&batch->undo, &batch->undo_count, &batch->undo_room,
				     sizeof(*undo));

	if (!undo)
		error_memory(error);
	return undo;
}

struct deferred *batch_defer(struct model *model, struct error *error)
{
	struct batch *batch = &model->batch;
	struct deferred *deferred = one_more((void **)&batch->deferred, &batch->deferred_count,
					     &batch->deferred_room, sizeof(*deferred));

	if (!deferred)
		error_memory(error);
	else
		deferred->operation = batch->operation;
	return deferred;
}

void batch_touch(struct model *model, struct item *item)
{
	if (item->touched)
		return;
	item->touched = true;
	item->touched_next = model->batch.touched;
	model->batch.touched = item;
}

int batch_note(struct model *model, struct item *item, struct error *error)
{
	struct undo *undo = batch_undo(model, error);

	if (!undo)
		return -1;
	undo->kind = UNDO_ITEM;
	undo->item = item;
	item_save(item, &undo->before);
	batch_touch(model, item);
	return 0;
}

void batch_touch_local(struct model *model, struct model_local *local)
{
	if (local->touched)
		return;
	local->touched = true;
	local->touched_next = model->batch.touched_locals;
	model->batch.touched_locals = local;
}

void batch_dirty_nat(struct model *model, struct nat_endpoint *nat)
{
	if (nat->dirty)
		return;
	nat->dirty = true;
	nat->dirty_next = model->batch.dirty_nat;
	model->batch.dirty_nat = nat;
}

/* ---- batches ---- */

static void begin(struct model *model)
{
	struct batch *batch = &model->batch;

	batch->undo_count = 0;
	batch->deferred_count = 0;
	batch->touched = NULL;
	batch->touched_locals = NULL;
	batch->dirty_nat = NULL;
	batch->changed = false;
	batch->serial++;
	batch->zero_all = false;
	batch->flushes = 0;
	batch->flows = 0;
}

static void undo_all(struct model *model)
{
	struct batch *batch = &model->batch;

	while (batch->undo_count > 0) {
		struct undo *undo = &batch->undo[--batch->undo_count];

		switch (undo->kind) {
		case UNDO_ITEM:
			item_restore(model, undo->item, &undo->before);
			break;
		case UNDO_TIMEOUTS:
			model->director->timeouts = undo->timeouts;
			break;
		case UNDO_ADDRESS:
		case UNDO_ROUTE:
		case UNDO_NEIGHBOUR:
			network_undo(model, undo);
			break;
		}
	}
	publish_cancel(model);
}

static int apply_one(struct model *model, const Dpvsha__Operation *operation, struct error *error)
{
	int verb = (int)operation->verb;

	if (verb < VERB_ADD || verb > VERB_DELETE)
		return error_set(error, "invalid", NULL, "there is no verb number %d", verb);
	switch (operation->object_case) {
	case DPVSHA__OPERATION__OBJECT_SERVICE:
		return service_apply(model, verb, operation->service, error);
	case DPVSHA__OPERATION__OBJECT_SERVER:
		return server_apply(model, verb, operation->server, error);
	case DPVSHA__OPERATION__OBJECT_LOCAL_ADDRESS:
		return local_apply(model, verb, operation->local_address, error);
	case DPVSHA__OPERATION__OBJECT_LIST_ENTRY:
		return list_apply(model, verb, operation->list_entry, error);
	case DPVSHA__OPERATION__OBJECT_ADDRESS:
		return address_apply(model, verb, operation->address, error);
	case DPVSHA__OPERATION__OBJECT_ROUTE:
		return route_apply(model, verb, operation->route, error);
	case DPVSHA__OPERATION__OBJECT_NEIGHBOUR:
		return neighbour_apply(model, verb, operation->neighbour, error);
	case DPVSHA__OPERATION__OBJECT_LINK:
		return link_apply(model, verb, operation->link, error);
	case DPVSHA__OPERATION__OBJECT_TIMEOUTS:
		return timeouts_apply(model, verb, operation->timeouts, error);
	case DPVSHA__OPERATION__OBJECT_SETTING:
		return setting_apply(model, verb, operation->setting, error);
	case DPVSHA__OPERATION__OBJECT_FLUSH:
		return flush_apply(model, verb, operation->flush, error);
	case DPVSHA__OPERATION__OBJECT_ZERO:
		return zero_apply(model, verb, operation->zero, error);
	case DPVSHA__OPERATION__OBJECT_ANNOUNCE:
		return announce_apply(model, verb, operation->announce, error);
	case DPVSHA__OPERATION__OBJECT_TWIN_GROUPS:
		return groups_apply(model, verb, operation->twin_groups, error);
	case DPVSHA__OPERATION__OBJECT_TWIN_LOOK:
		return twin_look_apply(model, verb, operation->twin_look, error);
	case DPVSHA__OPERATION__OBJECT_FLOW:
		return flow_apply(model, verb, operation->flow, error);
	case DPVSHA__OPERATION__OBJECT__NOT_SET:
	case _DPVSHA__OPERATION__OBJECT__CASE_IS_INT_SIZE:
		break;
	}
	return error_set(error, "invalid", "dpvsd and its tools must be of the same version",
			 "an operation without an object that this version knows");
}

int model_apply(struct model *model, Dpvsha__Operation *const *operations, size_t count, bool dry_run,
		struct error *error, uint32_t *failed)
{
	struct batch *batch = &model->batch;
	int result = 0;

	*failed = 0;
	if (count > OPERATIONS_MAX)
		return error_set(error, "full", "split the batch",
				 "%zu operations, at most %d fit into a batch", count, OPERATIONS_MAX);
	begin(model);
	net_changes_begin(model->net);
	for (size_t i = 0; i < count && result == 0; i++) {
		batch->operation = (uint32_t)i;
		result = apply_one(model, operations[i], error);
	}
	if (result == 0)
		result = publish_prepare(model, error);
	if (result == 0 && !dry_run)
		result = deferred_try(model, error);
	if (result < 0 || dry_run) {
		*failed = batch->operation;
		undo_all(model);
	} else {
		batch->changed = batch->undo_count > 0 || batch->deferred_count > 0;
		publish_commit(model);
		deferred_finish(model);
		if (batch->changed)
			model->generation++;
	}
	net_changes_end(model->net);
	return result;
}

/* ---- what is due ---- */

/* A slice of all servers and services at a time, so that a hundred thousand of them are no burst. */
static void estimate(struct model *model)
{
	struct traffic traffic;
	struct server_count sum;
	uint32_t budget = ESTIMATES_A_TICK;

	if (model->estimate_cursor == 0 && model->estimate_service_cursor == 0) {
		if (model->now_ms - model->estimate_begun_ms < ESTIMATE_PERIOD_MS)
			return;
		model->estimate_begun_ms = model->now_ms;
	}
	while (model->estimate_service_cursor == 0 && budget > 0) {
		struct model_server *server = ordered_next(&model->all_servers, &model->estimate_cursor);

		if (!server) {
			model->estimate_cursor = 0;
			break;
		}
		server_counted(model, server, &sum);
		traffic = (struct traffic){sum.connections, sum.in_packets, sum.out_packets, sum.in_bytes,
					   sum.out_bytes};
		estimator_update(&server->estimator, &traffic, model->now_ms);
		budget--;
	}
	while (model->estimate_cursor == 0 && budget > 0) {
		struct model_service *service = ordered_next(&model->services,
							     &model->estimate_service_cursor);

		if (!service) {
			model->estimate_service_cursor = 0;
			break;
		}
		service_traffic(model, service, &traffic);
		traffic_add(&traffic, &service->base); /* counters that never fall */
		estimator_update(&service->estimator, &traffic, model->now_ms);
		budget -= RTE_MIN(budget, 1 + service->servers.count);
	}
}

int model_tick(struct model *model, uint64_t now_ms)
{
	model->now_ms = now_ms;
	estimate(model);
	if (now_ms >= model->retire_due_ms) {
		model->retire_due_ms = now_ms + TICK_MS;
		publish_retire(model);
	}
	if (model->estimate_cursor || model->estimate_service_cursor || model->lingering.count > 0)
		return TICK_MS;
	if (model->services.count > 0)
		return (int)RTE_MIN(
		    (uint64_t)ESTIMATE_PERIOD_MS,
		    ESTIMATE_PERIOD_MS -
			RTE_MIN((uint64_t)ESTIMATE_PERIOD_MS, now_ms - model->estimate_begun_ms) + 1);
	return CONTROL_NEVER;
}
