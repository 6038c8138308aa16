/* Virtual servers and their real servers. */
#include "model.h"

#include <stdlib.h>

/* ---- finding ---- */

static uint64_t key_hash(const struct service_key *key)
{
	return mix64(ip_hash(&key->address) ^
			 ((uint64_t)key->port << 16 | (uint64_t)key->protocol << 8 | key->family),
		     hash_secret[2] | 1);
}

static bool same_key(const struct service_key *a, const struct service_key *b)
{
	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family;
}

static bool is_service(const void *object, const void *key)
{
	return same_key(&((const struct model_service *)object)->shared->key, key);
}

struct server_name {
	struct service_key service;
	union ip_addr address;
	rte_be16_t port;
	uint8_t family;
};

static uint64_t name_hash(const struct server_name *name)
{
	return mix64(key_hash(&name->service) ^ ip_hash(&name->address),
		     (uint64_t)name->port << 8 | name->family | 1);
}

static bool is_server(const void *object, const void *key)
{
	const struct model_server *server = object;
	const struct server_name *name = key;

	return ip_equal(&server->shared->address, &name->address) && server->shared->port == name->port &&
	       server->shared->family == name->family && same_key(&server->service_key, &name->service);
}

static void server_name_of(const struct model_server *server, struct server_name *name)
{
	*name = (struct server_name){.service = server->service_key,
				     .address = server->shared->address,
				     .port = server->shared->port,
				     .family = server->shared->family};
}

struct model_service *model_service_find(const struct model *model, const struct service_key *key)
{
	struct model_service *service = pointer_table_find(&model->service_by_key, key_hash(key), key,
							   is_service);

	return service && service->item.live ? service : NULL;
}

/* ---- indexes ---- */

static int64_t take_index(uint32_t *free_indexes, uint32_t *free_count, uint32_t *next, uint32_t most)
{
	if (*free_count > 0)
		return free_indexes[--*free_count];
	return *next < most ? (int64_t)(*next)++ : -1;
}

static void give_index(uint32_t **free_indexes, uint32_t *free_count, uint32_t index)
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

/* ---- services ---- */

static int read_scheduler_flags(const char *text, uint8_t scheduler, unsigned int *flags, struct error *error)
{
	static const struct {
		const char *name;
		int scheduler; /* -1: any */
		unsigned int flag;
	} known[] = {
	    {"sh-fallback", SCHEDULER_SH, SCHEDULE_FALLBACK},
	    {"sh-port", SCHEDULER_SH, SCHEDULE_PORT},
	    {"mh-fallback", SCHEDULER_MH, SCHEDULE_FALLBACK},
	    {"mh-port", SCHEDULER_MH, SCHEDULE_PORT},
	    {"flag-1", -1, SCHEDULE_FALLBACK},
	    {"flag-2", -1, SCHEDULE_PORT},
	    {"flag-3", -1, 0},
	};

	while (*text) {
		size_t length = strcspn(text, ","), i = 0;

		while (i < RTE_DIM(known) &&
		       (strlen(known[i].name) != length || strncmp(known[i].name, text, length) != 0 ||
			(known[i].scheduler >= 0 && known[i].scheduler != scheduler)))
			i++;
		if (i == RTE_DIM(known))
			return error_set(error, "invalid",
					 "sh-fallback, sh-port with sh; mh-fallback, mh-port with mh; "
					 "flag-1, flag-2, flag-3",
					 "scheduler %s has no flag '%.*s'",
					 scheduler_name((enum scheduler)scheduler), (int)RTE_MIN(length, 40u),
					 text);
		*flags |= known[i].flag;
		text += length;
		if (*text == ',')
			text++;
	}
	return 0;
}

static int read_seconds(uint32_t seconds, const char *what, struct error *error)
{
	if (seconds > SECONDS_MAX)
		return error_set(error, "invalid", "at most 31 days", "%s of %u seconds", what, seconds);
	return 0;
}

static int read_service(struct model *model, const struct service_key *key, const Dpvsha__Service *in,
			struct service_config *config, struct error *error)
{
	int scheduler = scheduler_by_name(in->scheduler);
	unsigned int flags = 0;

	memset(config, 0, sizeof(*config));
	if (scheduler < 0)
		return error_set(error, "invalid", "one of rr wrr lc wlc sed nq sh dh mh conhash fo ovf",
				 "%s: there is no scheduler '%.40s'", service_text(key), in->scheduler);
	if (read_scheduler_flags(in->scheduler_flags, (uint8_t)scheduler, &flags, error) < 0 ||
	    read_seconds(in->persistence, "a persistence", error) < 0 ||
	    read_seconds(in->connection_timeout, "a connection time-out", error) < 0)
		return -1;
	if (in->persistence_prefix > ip_bits((enum family)key->family))
		return error_set(error, "invalid", "at most 32 for IPv4, 128 for IPv6",
				 "%s: prefix length %u of the persistence", service_text(key),
				 in->persistence_prefix);
	if (in->one_packet && key->protocol != PROTO_UDP)
		return error_set(error, "invalid", "leave one-packet scheduling away",
				 "%s: one-packet scheduling is for udp only", service_text(key));
	if (in->syn_proxy && key->protocol != PROTO_TCP)
		return error_set(error, "invalid", "leave the SYN proxy away",
				 "%s: a SYN proxy is for tcp only", service_text(key));
	if (in->quic && key->protocol != PROTO_UDP)
		return error_set(error, "invalid", "leave quic away", "%s: quic is for udp only",
				 service_text(key));
	if ((unsigned int)in->proxy_protocol > DPVSHA__PROXY_PROTOCOL__PROXY_V2_INSECURE)
		return error_set(error, "invalid", NULL, "there is no PROXY protocol number %d",
				 (int)in->proxy_protocol);
	if ((unsigned int)in->hash_target > DPVSHA__HASH_TARGET__HASH_QUIC_ID)
		return error_set(error, "invalid", NULL, "there is no hash target number %d",
				 (int)in->hash_target);
	if (in->limit_proportion > 100)
		return error_set(error, "invalid", "0 to 100", "a limit of %u percent", in->limit_proportion);
	if (in->hash_target == DPVSHA__HASH_TARGET__HASH_QUIC_ID)
		flags |= SCHEDULE_QUIC_ID;
	config->scheduler = (uint8_t)scheduler;
	config->schedule_flags = (uint8_t)flags;
	config->persistence = in->persistence;
	config->persistence_prefix = (uint8_t)in->persistence_prefix;
	config->one_packet = in->one_packet;
	config->syn_proxy = in->syn_proxy;
	config->expire_quiescent = in->expire_quiescent;
	config->quic = in->quic;
	config->connection_timeout = in->connection_timeout;
	config->proxy_protocol = (uint8_t)in->proxy_protocol;
	config->hash_target = (uint8_t)in->hash_target;
	config->bps = in->bps;
	config->limit_proportion = in->limit_proportion;
	if (in->dest_check) {
		config->has_dest_check = true;
		config->dest_check = in->dest_check->enabled;
		config->down_retry = in->dest_check->down_retry;
		config->up_confirm = in->dest_check->up_confirm;
		config->down_wait = in->dest_check->down_wait;
		config->inhibit_min = in->dest_check->inhibit_min;
		config->inhibit_max = in->dest_check->inhibit_max;
	}
	config->owner = model_text(model, "owner", in->owner, error);
	config->scheduler_flags = model_text(model, "scheduler flags", in->scheduler_flags, error);
	return config->owner && config->scheduler_flags ? 0 : -1;
}

static struct model_service *service_new(struct model *model, const struct service_key *key,
					 struct error *error)
{
	struct model_service *service;
	int64_t index;
	void *old;

	if (model->services.count >= MAX_SERVICES - 1) {
		error_set(error, "full", "take some away first", "there are %d virtual servers already",
			  MAX_SERVICES - 1);
		return NULL;
	}
	index = take_index(model->free_services, &model->free_service_count, &model->next_service,
			   MAX_SERVICES);
	if (index < 0) {
		error_set(error, "busy", "try again in a second",
			  "the places of virtual servers that were removed are not free yet");
		return NULL;
	}
	service = calloc(1, sizeof(*service));
	if (service)
		service->shared = memory_new(sizeof(*service->shared));
	if (!service || !service->shared) {
		give_index(&model->free_services, &model->free_service_count, (uint32_t)index);
		free(service);
		error_memory(error);
		return NULL;
	}
	service->item.kind = ITEM_SERVICE;
	service->shared->key = *key;
	service->shared->index = (uint32_t)index;
	if (pointer_table_put(&model->service_by_key, key_hash(key), key, is_service, service, &old) < 0) {
		service_release(model, service);
		error_memory(error);
		return NULL;
	}
	model->service_by_index[index] = service;
	return service;
}

/* Frees a service that neither the model nor any worker refers to. */
void service_release(struct model *model, struct model_service *service)
{
	give_index(&model->free_services, &model->free_service_count, service->shared->index);
	schedule_free(service->shared->schedule);
	if (service->shared->locals)
		memory_free(service->shared->locals);
	client_list_free(service->shared->deny);
	client_list_free(service->shared->allow);
	memory_free(service->shared);
	ordered_end(&service->servers);
	ordered_end(&service->lingering);
	ordered_end(&service->bindings);
	ordered_end(&service->deny);
	ordered_end(&service->allow);
	free(service);
}

int service_apply(struct model *model, int verb, const Dpvsha__Service *in, struct error *error)
{
	struct model_service *service;
	struct item_state state;
	struct service_key key;
	bool there;

	if (read_service_key(in->key, &key, error) < 0)
		return -1;
	service = pointer_table_find(&model->service_by_key, key_hash(&key), &key, is_service);
	there = service && service->item.live;
	if (check_verb(verb, there, "virtual server", service_text(&key), "ipvsadm -ln lists them", error) <
	    0)
		return -1;
	if (verb == VERB_DELETE)
		return service_delete(model, service, error);
	state.live = true;
	if (read_service(model, &key, in, &state.service, error) < 0)
		return -1;
	if (there && memcmp(&state.service, &service->config, sizeof(state.service)) == 0)
		return 0;
	if (!service)
		service = service_new(model, &key, error);
	if (!service)
		return -1;
	state.sequence = there ? service->item.sequence : ++model->last_sequence;
	batch_touch(model, &service->item);
	if (ordered_reserve(&model->services, 1) < 0)
		return error_memory(error);
	if (batch_note(model, &service->item, error) < 0)
		return -1;
	item_restore(model, &service->item, &state);
	return 0;
}

static int take_out(struct model *model, struct item *item, struct error *error)
{
	struct item_state state;

	if (batch_note(model, item, error) < 0)
		return -1;
	item_save(item, &state);
	state.live = false;
	item_restore(model, item, &state);
	return 0;
}

int service_delete_servers(struct model *model, struct model_service *service, struct error *error)
{
	uint64_t cursor = 0;
	struct item *item;

	while ((item = ordered_next(&service->servers, &cursor)))
		if (take_out(model, item, error) < 0)
			return -1;
	return 0;
}

int service_delete(struct model *model, struct model_service *service, struct error *error)
{
	if (service_delete_servers(model, service, error) < 0 ||
	    service_delete_bindings(model, service, error) < 0 ||
	    service_delete_entries(model, service, 0, error) < 0 ||
	    service_delete_entries(model, service, 1, error) < 0)
		return -1;
	return take_out(model, &service->item, error);
}

/* ---- servers ---- */

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
	int64_t index = take_index(model->free_servers, &model->free_server_count, &model->next_server,
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
		give_index(&model->free_servers, &model->free_server_count, (uint32_t)index);
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
	give_index(&model->free_servers, &model->free_server_count, server->shared->index);
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
		return take_out(model, &server->item, error);
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

/* ---- counters ---- */

void server_counted(const struct model *model, const struct model_server *server, struct server_count *sum)
{
	server_count_sum(model->director, server->shared->index, sum);
}

static void server_since(const struct model *model, const struct model_server *server,
			 const struct traffic *from, struct traffic *traffic)
{
	struct server_count sum;

	server_counted(model, server, &sum);
	*traffic = (struct traffic){sum.connections, sum.in_packets, sum.out_packets, sum.in_bytes,
				    sum.out_bytes};
	traffic_subtract(traffic, from);
}

void server_traffic(const struct model *model, const struct model_server *server, struct traffic *traffic)
{
	server_since(model, server, &server->base, traffic);
}

void service_traffic(const struct model *model, const struct model_service *service, struct traffic *traffic)
{
	const struct ordered *orders[] = {&service->servers, &service->lingering};

	*traffic = service->gone;
	for (size_t o = 0; o < RTE_DIM(orders); o++)
		for (uint32_t i = 0; i < orders[o]->used; i++) {
			const struct model_server *server = orders[o]->places[i].item;
			struct traffic own;

			if (!server)
				continue;
			server_since(model, server, &server->begun, &own);
			traffic_add(traffic, &own);
		}
	traffic_subtract(traffic, &service->base);
}

void service_zero(struct model *model, struct model_service *service)
{
	struct traffic traffic;
	uint64_t cursor = 0;
	struct model_server *server;

	service_traffic(model, service, &traffic);
	traffic_add(&service->base, &traffic);
	while ((server = ordered_next(&service->servers, &cursor))) {
		server_traffic(model, server, &traffic);
		traffic_add(&server->base, &traffic);
	}
}

/* ---- the end of items ---- */

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

void server_forget(struct model *model, struct model_server *server)
{
	struct server_name name;

	server_name_of(server, &name);
	server_unlink_nat(model, server);
	pointer_table_remove(&model->server_by_key, name_hash(&name), &name, is_server);
}

void service_forget(struct model *model, struct model_service *service)
{
	model->service_by_index[service->shared->index] = NULL;
	pointer_table_remove(&model->service_by_key, key_hash(&service->shared->key), &service->shared->key,
			     is_service);
}
