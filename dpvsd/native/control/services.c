/* Virtual servers. */
#include "model.h"

#include <stdlib.h>

uint64_t service_key_hash(const struct service_key *key)
{
	return mix64(ip_hash(&key->address) ^
			 ((uint64_t)key->port << 16 | (uint64_t)key->protocol << 8 | key->family),
		     hash_secret[2] | 1);
}

bool service_key_equal(const struct service_key *a, const struct service_key *b)
{
	return ip_equal(&a->address, &b->address) && a->port == b->port && a->protocol == b->protocol &&
	       a->family == b->family;
}

static bool is_service(const void *object, const void *key)
{
	return service_key_equal(&((const struct model_service *)object)->shared->key, key);
}

struct model_service *model_service_find(const struct model *model, const struct service_key *key)
{
	struct model_service *service = pointer_table_find(&model->service_by_key, service_key_hash(key), key,
							   is_service);

	return service && service->item.live ? service : NULL;
}

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
	index = index_take(model->free_services, &model->free_service_count, &model->next_service,
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
		index_give(&model->free_services, &model->free_service_count, (uint32_t)index);
		free(service);
		error_memory(error);
		return NULL;
	}
	service->item.kind = ITEM_SERVICE;
	service->shared->key = *key;
	service->shared->index = (uint32_t)index;
	if (pointer_table_put(&model->service_by_key, service_key_hash(key), key, is_service, service, &old) <
	    0) {
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
	index_give(&model->free_services, &model->free_service_count, service->shared->index);
	service_free(service);
}

void service_free(struct model_service *service)
{
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
	service = pointer_table_find(&model->service_by_key, service_key_hash(&key), &key, is_service);
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

int service_delete_servers(struct model *model, struct model_service *service, struct error *error)
{
	uint64_t cursor = 0;
	struct item *item;

	while ((item = ordered_next(&service->servers, &cursor)))
		if (item_take_out(model, item, error) < 0)
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
	return item_take_out(model, &service->item, error);
}

void service_forget(struct model *model, struct model_service *service)
{
	model->service_by_index[service->shared->index] = NULL;
	pointer_table_remove(&model->service_by_key, service_key_hash(&service->shared->key),
			     &service->shared->key, is_service);
}
