/* States of the objects of the model, and the orders that they stand in. */
#include "model.h"

#include <stdlib.h>

static struct ordered *list_order(struct list_entry *entry)
{
	return entry->kind == 0 ? &entry->service->deny : &entry->service->allow;
}

void item_save(const struct item *item, struct item_state *state)
{
	state->live = item->live;
	state->sequence = item->sequence;
	if (item->kind == ITEM_SERVICE) {
		state->service = ((const struct model_service *)item)->config;
	} else if (item->kind == ITEM_SERVER) {
		const struct model_server *server = (const struct model_server *)item;

		state->server.service = server->service;
		state->server.config = server->config;
	}
}

static void mark(struct model *model, struct model_service *service, uint32_t dirty)
{
	service->dirty |= dirty;
	batch_touch(model, &service->item);
}

/* Takes it out of the orders of what is configured (live false), or enters it. */
static void place(struct model *model, struct item *item, bool enter)
{
	struct ordered *orders[2] = {NULL, NULL};

	switch ((enum item_kind)item->kind) {
	case ITEM_SERVICE:
		orders[0] = &model->services;
		((struct model_service *)item)->dirty = UINT32_MAX;
		break;
	case ITEM_SERVER:
		orders[0] = &((struct model_server *)item)->service->servers;
		orders[1] = &model->all_servers;
		mark(model, ((struct model_server *)item)->service, DIRTY_SCHEDULE);
		break;
	case ITEM_BINDING: {
		struct model_binding *binding = (struct model_binding *)item;

		orders[0] = &binding->service->bindings;
		binding->local->users += enter ? 1 : -1;
		batch_touch_local(model, binding->local);
		mark(model, binding->service, DIRTY_LOCALS);
		break;
	}
	case ITEM_LIST_ENTRY: {
		struct list_entry *entry = (struct list_entry *)item;

		orders[0] = list_order(entry);
		mark(model, entry->service, entry->kind == 0 ? DIRTY_DENY : DIRTY_ALLOW);
		break;
	}
	}
	for (int i = 0; i < 2 && orders[i]; i++)
		if (enter)
			ordered_insert(orders[i], item->sequence, item);
		else
			ordered_remove(orders[i], item->sequence);
}

void item_restore(struct model *model, struct item *item, const struct item_state *state)
{
	bool moves = item->live != state->live || item->sequence != state->sequence;

	if (item->kind == ITEM_SERVER)
		moves |= ((struct model_server *)item)->service != state->server.service;
	if (item->live && moves)
		place(model, item, false);
	item->sequence = state->sequence;
	if (item->kind == ITEM_SERVICE) {
		struct model_service *service = (struct model_service *)item;

		service->config = state->service;
		service->dirty |= DIRTY_SCHEDULE | DIRTY_ATTRIBUTES;
	} else if (item->kind == ITEM_SERVER) {
		struct model_server *server = (struct model_server *)item;

		server->service = state->server.service;
		server->config = state->server.config;
		if (server->service)
			mark(model, server->service, DIRTY_SCHEDULE);
	}
	if (state->live && moves) {
		item->live = true;
		place(model, item, true);
	}
	item->live = state->live;
}

int item_take_out(struct model *model, struct item *item, struct error *error)
{
	struct item_state state;

	if (batch_note(model, item, error) < 0)
		return -1;
	item_save(item, &state);
	state.live = false;
	item_restore(model, item, &state);
	return 0;
}

void item_free(struct model *model, struct item *item)
{
	switch ((enum item_kind)item->kind) {
	case ITEM_SERVICE: {
		struct model_service *service = (struct model_service *)item;

		service_forget(model, service);
		service_release(model, service);
		break;
	}
	case ITEM_SERVER: {
		struct model_server *server = (struct model_server *)item;

		server_forget(model, server);
		server_release(model, server);
		break;
	}
	case ITEM_BINDING:
		binding_forget(model, (struct model_binding *)item);
		free(item);
		break;
	case ITEM_LIST_ENTRY:
		entry_forget(model, (struct list_entry *)item);
		free(item);
		break;
	}
}

/* ---- indexes ---- */

int64_t index_take(uint32_t *free_indexes, uint32_t *free_count, uint32_t *next, uint32_t most)
{
	if (*free_count > 0)
		return free_indexes[--*free_count];
	return *next < most ? (int64_t)(*next)++ : -1;
}

void index_give(uint32_t **free_indexes, uint32_t *free_count, uint32_t index)
{
	/* Room for powers of two; an index is lost when there is no memory, not more. */
	if ((*free_count & (*free_count - 1)) == 0) {
		uint32_t *grown = realloc(*free_indexes, RTE_MAX(*free_count * 2, 16u) * sizeof(uint32_t));

		if (!grown)
			return;
		*free_indexes = grown;
	}
	(*free_indexes)[(*free_count)++] = index;
}
