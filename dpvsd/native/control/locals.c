/* Local addresses: which services use which. */
#include "model.h"

#include <stdlib.h>

struct binding_name {
	const struct model_service *service;
	union ip_addr address;
	enum family family;
};

static uint64_t binding_hash(const struct binding_name *name)
{
	return mix64(ip_hash(&name->address) ^ (uintptr_t)name->service, hash_secret[0] | 1);
}

static bool is_binding(const void *object, const void *key)
{
	const struct model_binding *binding = object;
	const struct binding_name *name = key;

	return binding->service == name->service && binding->local->shared->family == name->family &&
	       ip_equal(&binding->local->shared->address, &name->address);
}

static struct binding_name name_of(const struct model_binding *binding)
{
	return (struct binding_name){.service = binding->service,
				     .address = binding->local->shared->address,
				     .family = (enum family)binding->local->shared->family};
}

struct local_name {
	union ip_addr address;
	enum family family;
};

static bool is_local(const void *object, const void *key)
{
	const struct model_local *local = object;
	const struct local_name *name = key;

	return local->shared->family == name->family && ip_equal(&local->shared->address, &name->address);
}

struct model_local *model_local_find(const struct model *model, enum family family,
				     const union ip_addr *address)
{
	struct local_name name = {.address = *address, .family = family};

	return pointer_table_find(&model->local_by_address, ip_hash(address), &name, is_local);
}

static struct model_local *local_new(struct model *model, enum family family, const union ip_addr *address,
				     uint16_t port, struct error *error)
{
	struct local_name name = {.address = *address, .family = family};
	struct model_local *local;
	void *old;

	if (model->locals.count >= LOCALS_MAX) {
		error_set(error, "full", "share local addresses between virtual servers",
			  "there are %d local addresses already", LOCALS_MAX);
		return NULL;
	}
	local = calloc(1, sizeof(*local));
	if (local)
		local->shared = local_address_new(address, family, port, model->director->steering.shares);
	if (!local || !local->shared || ordered_reserve(&model->locals, 1) < 0 ||
	    pointer_table_put(&model->local_by_address, ip_hash(address), &name, is_local, local, &old) < 0) {
		if (local)
			local_address_free(local->shared);
		free(local);
		error_memory(error);
		return NULL;
	}
	local->sequence = ++model->last_sequence;
	ordered_insert(&model->locals, local->sequence, local);
	batch_touch_local(model, local);
	return local;
}

/* Takes it out of the model; what the workers know of it is the caller's business. */
void model_local_free(struct model *model, struct model_local *local)
{
	struct local_name name = {.address = local->shared->address,
				  .family = (enum family)local->shared->family};

	pointer_table_remove(&model->local_by_address, ip_hash(&name.address), &name, is_local);
	ordered_remove(&model->locals, local->sequence);
	free(local);
}

void binding_forget(struct model *model, struct model_binding *binding)
{
	struct binding_name name = name_of(binding);

	pointer_table_remove(&model->binding_by_key, binding_hash(&name), &name, is_binding);
}

static struct model_binding *binding_new(struct model *model, struct model_service *service,
					 struct model_local *local, struct error *error)
{
	struct model_binding *binding = calloc(1, sizeof(*binding));
	struct binding_name name;
	void *old;

	if (binding) {
		binding->item.kind = ITEM_BINDING;
		binding->service = service;
		binding->local = local;
		name = name_of(binding);
	}
	if (!binding || pointer_table_put(&model->binding_by_key, binding_hash(&name), &name, is_binding,
					  binding, &old) < 0) {
		free(binding);
		error_memory(error);
		return NULL;
	}
	return binding;
}

/* The port that the address is to be on: the named one, or where it is already. */
static int choose_port(const struct model *model, const Dpvsha__LocalAddress *in, enum family family,
		       const union ip_addr *address, struct error *error)
{
	int there = network_port_of(model, family, address), port;

	if (!in->device[0] && there >= 0)
		return there;
	if (!in->device[0])
		return error_set(error, "invalid", "name it (ipvsadm -P ... -F DEV)",
				 "local address %s is on no device yet", ip_text(family, address));
	port = read_device(model, in->device, error);
	if (port >= 0 && there >= 0 && there != port)
		return error_set(error, "invalid", "name that device, or take the address away from it",
				 "local address %s is on %s, not on %s", ip_text(family, address),
				 model->director->net->ports[there].name, in->device);
	return port;
}

int local_apply(struct model *model, int verb, const Dpvsha__LocalAddress *in, struct error *error)
{
	struct model_service *service;
	struct model_binding *binding;
	struct model_local *local;
	struct item_state state;
	struct binding_name name;
	struct service_key key;
	bool there;

	if (read_service_key(in->service, &key, error) < 0 ||
	    read_address(&in->address, "local address", &name.family, &name.address, error) < 0)
		return -1;
	service = model_service_find(model, &key);
	if (!service)
		return error_set(error, "not-found", "add the virtual server first (ipvsadm -A)",
				 "there is no virtual server %s", service_text(&key));
	name.service = service;
	binding = pointer_table_find(&model->binding_by_key, binding_hash(&name), &name, is_binding);
	there = binding && binding->item.live;
	if (check_verb(verb, there, "local address", ip_text(name.family, &name.address),
		       "ipvsadm -G lists them", error) < 0)
		return -1;
	if (verb == VERB_DELETE)
		return item_take_out(model, &binding->item, error);
	if (name.family != key.family &&
	    !(name.family == FAMILY_IPV4 && key.family == FAMILY_IPV6)) /* for IPv4 servers of IPv6 clients */
		return error_set(error, "invalid", "use one of the servers' family",
				 "local address %s cannot serve %s", ip_text(name.family, &name.address),
				 service_text(&key));
	int port = choose_port(model, in, name.family, &name.address, error);

	if (port < 0)
		return -1;
	local = model_local_find(model, name.family, &name.address);
	if (local && local->shared->port != port) {
		return error_set(error, "busy", "wait until its connections have ended, or use that device",
				 "local address %s is in use on %s", ip_text(name.family, &name.address),
				 model->director->net->ports[local->shared->port].name);
	}
	if (network_need_address(model, port, name.family, &name.address, error) < 0)
		return -1;
	if (there)
		return 0;
	if (!local)
		local = local_new(model, name.family, &name.address, (uint16_t)port, error);
	if (!local)
		return -1;
	if (!binding)
		binding = binding_new(model, service, local, error);
	if (!binding)
		return -1;
	batch_touch(model, &binding->item);
	if (ordered_reserve(&service->bindings, 1) < 0)
		return error_memory(error);
	if (batch_note(model, &binding->item, error) < 0)
		return -1;
	state = (struct item_state){.live = true, .sequence = ++model->last_sequence};
	item_restore(model, &binding->item, &state);
	return 0;
}

int service_delete_bindings(struct model *model, struct model_service *service, struct error *error)
{
	uint64_t cursor = 0;
	struct item *item;

	while ((item = ordered_next(&service->bindings, &cursor)))
		if (item_take_out(model, item, error) < 0)
			return -1;
	return 0;
}
