/* Lists of clients that a service refuses, or admits alone. */
#include "model.h"

#include <stdio.h>
#include <stdlib.h>

struct entry_name {
	const struct model_service *service;
	uint8_t kind;
	struct client_prefix network;
};

static uint64_t entry_hash(const struct entry_name *name)
{
	return mix64(ip_hash(&name->network.address) ^ (uintptr_t)name->service,
		     ((uint64_t)name->network.prefix << 8 | name->kind) ^ hash_secret[1]);
}

static bool is_entry(const void *object, const void *key)
{
	const struct list_entry *entry = object;
	const struct entry_name *name = key;

	return entry->service == name->service && entry->kind == name->kind &&
	       entry->network.prefix == name->network.prefix &&
	       ip_equal(&entry->network.address, &name->network.address);
}

void entry_forget(struct model *model, struct list_entry *entry)
{
	struct entry_name name = {.service = entry->service, .kind = entry->kind, .network = entry->network};

	pointer_table_remove(&model->entry_by_key, entry_hash(&name), &name, is_entry);
}

static struct list_entry *entry_new(struct model *model, struct model_service *service,
				    const struct entry_name *name, struct error *error)
{
	struct list_entry *entry = calloc(1, sizeof(*entry));
	void *old;

	if (entry) {
		entry->item.kind = ITEM_LIST_ENTRY;
		entry->service = service;
		entry->kind = name->kind;
		entry->network = name->network;
	}
	if (!entry ||
	    pointer_table_put(&model->entry_by_key, entry_hash(name), name, is_entry, entry, &old) < 0) {
		free(entry);
		error_memory(error);
		return NULL;
	}
	return entry;
}

int list_apply(struct model *model, int verb, const Dpvsha__ListEntry *in, struct error *error)
{
	struct model_service *service;
	struct entry_name name = {0};
	struct service_key key;
	struct list_entry *entry;
	struct item_state state;
	struct ordered *order;
	enum family family;
	char text[80];
	bool there;

	if (read_service_key(in->service, &key, error) < 0)
		return -1;
	if (in->set[0])
		return error_set(error, "unsupported", "name addresses or prefixes",
				 "lists by ipset ('%.40s') are not part of this version", in->set);
	if (read_address(&in->address, "address of the list entry", &family, &name.network.address, error) <
	    0)
		return -1;
	if (in->kind != 0 && in->kind != 1)
		return error_set(error, "invalid", "0 deny, 1 allow", "there is no list number %d",
				 (int)in->kind);
	if (family != key.family)
		return error_set(error, "invalid", "use an address of its family",
				 "client %s is of another family than %s",
				 ip_text(family, &name.network.address), service_text(&key));
	if (in->prefix > ip_bits(family))
		return error_set(error, "invalid", "at most 32 for IPv4, 128 for IPv6",
				 "prefix length %u of %s", in->prefix,
				 ip_text(family, &name.network.address));
	service = model_service_find(model, &key);
	if (!service)
		return error_set(error, "not-found", "add the virtual server first (ipvsadm -A)",
				 "there is no virtual server %s", service_text(&key));
	name.service = service;
	name.kind = (uint8_t)in->kind;
	/* 0 with an address is the whole address; 0.0.0.0 and :: with 0 are everybody. */
	name.network.prefix = (uint8_t)(in->prefix || ip_is_zero(&name.network.address) ? in->prefix
											: ip_bits(family));
	ip_mask(&name.network.address, name.network.prefix);
	entry = pointer_table_find(&model->entry_by_key, entry_hash(&name), &name, is_entry);
	there = entry && entry->item.live;
	snprintf(text, sizeof(text), "%s/%u", ip_text(family, &name.network.address), name.network.prefix);
	if (check_verb(verb, there, name.kind ? "allow entry" : "deny entry", text,
		       name.kind ? "ipvsadm -W lists them" : "ipvsadm -B lists them", error) < 0)
		return -1;
	if (verb != VERB_DELETE && there)
		return 0;
	if (!entry)
		entry = entry_new(model, service, &name, error);
	if (!entry)
		return -1;
	batch_touch(model, &entry->item);
	order = name.kind == 0 ? &service->deny : &service->allow;
	if (ordered_reserve(order, 1) < 0)
		return error_memory(error);
	if (batch_note(model, &entry->item, error) < 0)
		return -1;
	item_save(&entry->item, &state);
	state.live = verb != VERB_DELETE;
	if (state.live)
		state.sequence = ++model->last_sequence;
	item_restore(model, &entry->item, &state);
	return 0;
}

int service_delete_entries(struct model *model, struct model_service *service, int kind, struct error *error)
{
	const struct ordered *order = kind == 0 ? &service->deny : &service->allow;
	uint64_t cursor = 0;
	struct item *item;

	while ((item = ordered_next(order, &cursor)))
		if (item_take_out(model, item, error) < 0)
			return -1;
	return 0;
}
