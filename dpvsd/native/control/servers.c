/* Real servers of virtual servers. */
#include "model.h"

#include <stdlib.h>

struct server_name {
	struct service_key service;
	union ip_addr address;
	rte_be16_t port;
	uint8_t family;
};

static uint64_t name_hash(const struct server_name *name)
{
	return mix64(service_key_hash(&name->service) ^ ip_hash(&name->address),
		     (uint64_t)name->port << 8 | name->family | 1);
}

static bool is_server(const void *object, const void *key)
{
	const struct model_server *server = object;
	const struct server_name *name = key;

	return ip_equal(&server->shared->address, &name->address) && server->shared->port == name->port &&
	       server->shared->family == name->family &&
	       service_key_equal(&server->service_key, &name->service);
}

static void server_name_of(const struct model_server *server, struct server_name *name)
{
	*name = (struct server_name){.service = server->service_key,
				     .address = server->shared->address,
				     .port = server->shared->port,
				     .family = server->shared->family};
}

static int read_server(struct model *model, const struct server_name *name, const Dpvsha__Server *in,
		       struct server_config *config, struct error *error)
{
	static const char *const later[] = {[FORWARD_TUNNEL] = "tunnel", [FORWARD_SNAT] = "SNAT"};
	const char *text = endpoint_text((enum family)name->family, &name->address, name->port);

	memset(config, 0, sizeof(*config));
	if ((unsigned int)in->forward > (unsigned int)FORWARD_SNAT)
		return error_set(error, "invalid", NULL, "there is no forwarding mode number %d",
				 (int)in->forward);
	if ((int)in->forward > FORWARD_DR)
		return error_set(error, "unsupported", "use -b (FullNAT), -m (NAT) or -g (DR)",
				 "server %s: forwarding mode %s is not part of this version", text,
				 later[in->forward]);
	if (name->family != name->service.family) {
		if ((int)in->forward == FORWARD_FULLNAT && name->service.family == FAMILY_IPV6)
			return error_set(
			    error, "unsupported", "use an IPv6 server",
			    "server %s: IPv6 clients with IPv4 servers (NAT64) are not part of this version",
			    text);
		return error_set(error, "invalid", "use a server of the virtual server's family",
				 "server %s is of another family than %s", text,
				 service_text(&name->service));
	}
	if (in->weight > WEIGHT_MAX)
		return error_set(error, "invalid", "0 to 65535", "server %s: weight %u", text, in->weight);
	if (in->lower_threshold > in->upper_threshold)
		return error_set(error, "invalid", "the upper threshold is the larger one",
				 "server %s: lower threshold %u is above the upper one, %u", text,
				 in->lower_threshold, in->upper_threshold);
	config->forward = (uint8_t)in->forward;
	config->inhibited = in->inhibited;
	config->weight = in->weight;
	config->upper = in->upper_threshold;
	config->lower = in->lower_threshold;
	config->owner = model_text(model, "owner", in->owner, error);
	return config->owner ? 0 : -1;
}

static struct model_server *server_new(struct model *model, const struct server_name *name,
				       struct error *error)
{
	bool fresh = model->free_server_count == 0;
	int64_t index = index_take(model->free_servers, &model->free_server_count, &model->next_server,
				   MAX_SERVERS);
	struct model_server *server;
	void *old;

	if (index < 0) {
		error_set(error, "full",
			  "take some away first; those with connections keep their places until these end",
			  "there are %d real servers already", MAX_SERVERS - 1);
		return NULL;
	}
	server = calloc(1, sizeof(*server));
	if (server)
		server->shared = memory_new(sizeof(*server->shared));
	if (!server || !server->shared) {
		index_give(&model->free_servers, &model->free_server_count, (uint32_t)index);
		free(server);
		error_memory(error);
		return NULL;
	}
	server->item.kind = ITEM_SERVER;
	server->model = model;
	server->service_key = name->service;
	server->shared->index = (uint32_t)index;
	server->shared->address = name->address;
	server->shared->port = name->port;
	server->shared->family = name->family;
	if (!fresh) {
		/* Another server counted here before; workers never reset their counters. */
		struct server_count sum;

		server_counted(model, server, &sum);
		server->begun = (struct traffic){sum.connections, sum.in_packets, sum.out_packets,
						 sum.in_bytes, sum.out_bytes};
		server->base = server->begun;
	}
	if (pointer_table_put(&model->server_by_key, name_hash(name), name, is_server, server, &old) < 0) {
		server_release(model, server);
		error_memory(error);
		return NULL;
	}
	return server;
}

/* Frees a server that neither the model nor any worker refers to. */
void server_release(struct model *model, struct model_server *server)
{
	index_give(&model->free_servers, &model->free_server_count, server->shared->index);
	memory_free(server->shared);
	free(server);
}

int server_apply(struct model *model, int verb, const Dpvsha__Server *in, struct error *error)
{
	struct model_service *service;
	struct server_name name;
	struct model_server *server;
	struct item_state state;
	enum family family;
	bool there;

	memset(&name, 0, sizeof(name));
	if (read_service_key(in->service, &name.service, error) < 0 ||
	    read_address(&in->address, "address of the server", &family, &name.address, error) < 0)
		return -1;
	if (in->port > 65535)
		return error_set(error, "invalid", "0 to 65535", "port %u of the server", in->port);
	name.family = (uint8_t)family;
	name.port = rte_cpu_to_be_16((uint16_t)in->port);
	service = model_service_find(model, &name.service);
	if (!service)
		return error_set(error, "not-found", "add the virtual server first (ipvsadm -A)",
				 "there is no virtual server %s", service_text(&name.service));
	if (ip_is_zero(&name.address))
		return error_set(error, "invalid", NULL, "the server's address is unspecified");
	server = pointer_table_find(&model->server_by_key, name_hash(&name), &name, is_server);
	there = server && server->item.live;
	if (check_verb(verb, there, "server", endpoint_text(family, &name.address, name.port),
		       "ipvsadm -ln lists them", error) < 0)
		return -1;
	if (verb == VERB_DELETE)
		return item_take_out(model, &server->item, error);
	state.live = true;
	state.server.service = service;
	if (read_server(model, &name, in, &state.server.config, error) < 0)
		return -1;
	if (there && memcmp(&state.server.config, &server->config, sizeof(server->config)) == 0)
		return 0;
	if (!server)
		server = server_new(model, &name, error);
	if (!server)
		return -1;
	state.sequence = there ? server->item.sequence : ++model->last_sequence;
	batch_touch(model, &server->item);
	if (ordered_reserve(&service->servers, 1) < 0 || ordered_reserve(&model->all_servers, 1) < 0)
		return error_memory(error);
	if (batch_note(model, &server->item, error) < 0)
		return -1;
	item_restore(model, &server->item, &state);
	return 0;
}

void server_forget(struct model *model, struct model_server *server)
{
	struct server_name name;

	server_name_of(server, &name);
	server_unlink_nat(model, server);
	pointer_table_remove(&model->server_by_key, name_hash(&name), &name, is_server);
}
