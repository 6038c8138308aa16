/* Everything that is configured, as the master knows it; the workers know what publish.c makes of it.
 *
 * An operation changes the model at once and leaves a record of what was before. When a batch has failed, the
 * records are taken back in reverse order. When it is whole, publish.c compares each object that was touched
 * with what the workers know: `live` says that it is configured, `published` that workers may have seen it.
 * So an object that is deleted and added again within a batch was never gone. */
#ifndef DPVSHA_MODEL_H
#define DPVSHA_MODEL_H

#include "control.h"
#include "estimate.h"
#include "ordered.h"
#include "../core/pointer_table.h"
#include "control.pb-c.h"

/* Verbs of control.proto. */
enum { VERB_ADD, VERB_EDIT, VERB_PUT, VERB_DELETE };

/* Protocol numbers of services. */
enum { PROTO_ICMP = 1, PROTO_TCP = 6, PROTO_UDP = 17, PROTO_ICMPV6 = 58 };

enum item_kind {
	ITEM_SERVICE,
	ITEM_SERVER,
	ITEM_BINDING,
	ITEM_LIST_ENTRY,
};

/* The head of every object that batches change. */
struct item {
	uint8_t kind; /* enum item_kind */
	bool live;
	bool published;
	bool touched; /* in this batch */
	uint32_t graces; /* RCU grace periods that have to pass before it may be retired */
	uint64_t sequence; /* of its addition */
	struct item *touched_next; /* in the batch's list */
};

/* Texts and flags that Get returns as they were put. */
struct service_config {
	uint8_t scheduler; /* enum scheduler */
	uint8_t schedule_flags;
	uint8_t persistence_prefix; /* as given: 0 for the whole address */
	uint8_t proxy_protocol;
	uint8_t hash_target;
	bool one_packet, syn_proxy, expire_quiescent, quic;
	bool has_dest_check, dest_check;
	uint32_t down_retry, up_confirm, down_wait, inhibit_min, inhibit_max;
	uint32_t persistence;
	uint32_t connection_timeout;
	uint32_t limit_proportion;
	uint64_t bps;
	const char *scheduler_flags; /* interned, as is owner */
	const char *owner;
};

enum dirty {
	DIRTY_SCHEDULE = 1 << 0,
	DIRTY_LOCALS = 1 << 1,
	DIRTY_DENY = 1 << 2,
	DIRTY_ALLOW = 1 << 3,
	DIRTY_ATTRIBUTES = 1 << 4,
};

struct model_service {
	struct item item;
	struct service *shared;
	struct service_config config;
	uint32_t dirty; /* enum dirty, since the last publishing */
	struct ordered servers, bindings, deny, allow;
	struct ordered lingering; /* servers that were removed and still have connections */
	/* Made by publish_prepare, published or thrown away after. */
	struct schedule *new_schedule;
	struct local_set *new_locals;
	struct client_list *new_deny, *new_allow;
	struct traffic gone; /* what servers that are no more had counted */
	struct traffic base; /* at the last zero */
	uint64_t zero_batch; /* the batch that zeroes it already */
	struct estimator estimator;
};

struct server_config {
	uint8_t forward; /* enum forward */
	bool inhibited;
	uint32_t weight, upper, lower;
	const char *owner;
};

struct model_server {
	struct item item;
	struct server *shared;
	struct service_key service_key; /* names its service also when that is gone */
	struct model_service *service; /* NULL: gone */
	struct server_config config;
	bool lingering; /* in model->lingering ... */
	uint64_t linger_sequence;
	struct model_service *lingering_in; /* ... and in that of this service, if it is still there */
	struct traffic base; /* its counters when it came to its service, or at the last zero */
	struct traffic begun; /* its counters when it came to its service ... */
	struct model_service *counted_for; /* ... which is this one; only compared */
	struct estimator estimator;
	struct nat_endpoint *nat; /* NULL: it never was a NAT server */
	struct model_server *nat_next;
	uint8_t nat_prefix; /* of the persistence of its service, by which packets are steered; 0: none */
	struct model *model;
};

/* An (address, port, protocol) that NAT servers answer from. */
struct nat_endpoint {
	union ip_addr address;
	rte_be16_t port;
	uint8_t protocol;
	uint8_t family;
	bool dirty;
	bool published;
	struct nat_endpoint *dirty_next;
	struct model_server *servers;
};

/* A local address and all that use it. */
struct model_local {
	struct local_address *shared;
	uint32_t users; /* live bindings */
	uint32_t graces; /* before it may be retired */
	bool published; /* in the local table */
	bool touched;
	struct model_local *touched_next;
	uint64_t sequence;
};

/* "This service uses this local address." */
struct model_binding {
	struct item item;
	struct model_service *service;
	struct model_local *local;
};

struct list_entry {
	struct item item;
	struct model_service *service;
	uint8_t kind; /* 0 deny, 1 allow */
	struct client_prefix network;
};

/* The state of an item before an operation. */
struct item_state {
	bool live;
	uint64_t sequence;
	union {
		struct service_config service;
		struct {
			struct model_service *service;
			struct server_config config;
		} server;
	};
};

/* One step of a batch that can be taken back. */
struct undo {
	enum {
		UNDO_ITEM,
		UNDO_ADDRESS,
		UNDO_ROUTE,
		UNDO_NEIGHBOUR,
		UNDO_TIMEOUTS,
	} kind;
	union {
		struct {
			struct item *item;
			struct item_state before;
		};
		struct {
			int verb; /* that restores */
			union {
				struct address address;
				struct route route;
				struct {
					union ip_addr neighbour;
					uint16_t port;
					uint8_t family;
					uint8_t mac[6];
				};
			};
		} net;
		struct timeouts timeouts;
	};
};

/* Things that are checked when their operation comes and done when the batch is whole. */
struct deferred {
	enum {
		DEFERRED_LINK,
		DEFERRED_SETTING,
		DEFERRED_FLOW,
		DEFERRED_ZERO,
		DEFERRED_LINK_ZERO,
		DEFERRED_ANNOUNCE,
		DEFERRED_FORGET,
		DEFERRED_GROUPS,
		DEFERRED_TWIN_LOOK,
	} kind;
	uint32_t operation;
	union {
		struct {
			uint16_t port;
			struct link_change change;
		} link;
		struct {
			const char *name, *value; /* of the request */
		} setting;
		struct {
			bool add;
			struct flow_info info;
		} flow;
		struct {
			uint16_t port;
			const Dpvsha__TwinGroups *message; /* of the request */
		} groups;
		struct {
			uint16_t port;
			bool was_down;
		} twin_look;
		struct {
			bool all;
			struct service_key key;
		} zero;
		struct {
			struct address address;
			uint32_t repeat, interval_ms;
		} announce;
		struct {
			union ip_addr address;
			uint16_t port;
			uint8_t family;
		} forget; /* a neighbour that was learnt */
	};
};

struct batch {
	struct undo *undo;
	size_t undo_count, undo_room;
	struct deferred *deferred;
	size_t deferred_count, deferred_room;
	struct item *touched;
	struct model_local *touched_locals;
	struct nat_endpoint *dirty_nat;
	bool changed; /* anything at all */
	uint32_t operation; /* the index of the one that is applied now */
	uint64_t serial; /* of batches */
	bool zero_all;
	uint32_t flushes; /* of everything */
	uint32_t flows;
};

struct model {
	struct director *director;
	struct net_master *net;
	struct control_host host;
	uint64_t now_ms;
	uint64_t generation;
	uint64_t last_sequence;

	struct ordered services;
	struct model_service **service_by_index; /* MAX_SERVICES of them */
	struct pointer_table service_by_key, server_by_key, binding_by_key, entry_by_key;
	struct pointer_table local_by_address, nat_by_endpoint, texts;
	uint32_t text_count;
	struct ordered locals;

	uint32_t *free_servers, *free_services; /* indexes that were given back */
	uint32_t free_server_count, free_service_count;
	uint32_t next_server, next_service; /* indexes never given out yet */
	uint32_t server_count;

	/* Servers that were removed and still have connections, or whose grace has not passed. */
	struct ordered lingering;
	struct ordered all_servers; /* for the estimator */

	struct batch batch;
	struct local_table *new_local_table; /* made by publish_prepare */

	uint64_t estimate_cursor, estimate_service_cursor;
	uint64_t estimate_begun_ms;
	uint64_t retire_due_ms;
	uint64_t retire_cursor;
	uint32_t idle_locals; /* published and without users */
	uint32_t told_without_effect; /* attributes of services that the log has named, a bit each */
};

enum {
	OPERATIONS_MAX = 1 << 18,
	LOCALS_MAX = 4096, /* of 140 kB each */
	FLUSHES_MAX = 256,
	FLOWS_MAX = 1024,
	TWIN_GROUPS_MAX = 1024,
	TEXTS_MAX = 4096,
	TEXT_SIZE = 128,
	WEIGHT_MAX = 65535,
	SECONDS_MAX = 31 * 24 * 3600,
};

/* ---- model.c: life, batches, undo ---- */

int model_init(struct model *model, struct director *director, struct net_master *net,
	       const struct control_host *host);
void model_end(struct model *model);
/* Applies all operations or none. On failure `error` and *failed (the operation's index) are set.
 * @param dry_run checks everything, and changes nothing */
int model_apply(struct model *model, Dpvsha__Operation *const *operations, size_t count, bool dry_run,
		struct error *error, uint32_t *failed);
/* What is due: rates, retiring. Bounded work. @return milliseconds until the next call */
int model_tick(struct model *model, uint64_t now_ms);

/* Puts it on the list of what publish.c looks at. */
void batch_touch(struct model *model, struct item *item);
/* Notes the state of an item before it changes, and touches it. -1 when memory runs out (error set). */
int batch_note(struct model *model, struct item *item, struct error *error);
struct undo *batch_undo(struct model *model, struct error *error);
struct deferred *batch_defer(struct model *model, struct error *error);
void batch_touch_local(struct model *model, struct model_local *local);
void batch_dirty_nat(struct model *model, struct nat_endpoint *nat);
int error_memory(struct error *error);
/* A text that is kept as long as the process; the same pointer for the same text. NULL with the error set
 * when it has characters that do not print, is too long, or there are too many. */
const char *model_text(struct model *model, const char *what, const char *text, struct error *error);

/* ---- operands.c: from protobuf to our types ---- */

int read_address(const ProtobufCBinaryData *bytes, const char *what, enum family *family,
		 union ip_addr *address, struct error *error);
int read_service_key(const Dpvsha__ServiceKey *in, struct service_key *key, struct error *error);
/* The port of a device, -1 with the error set. */
int read_device(const struct model *model, const char *device, struct error *error);
/* "tcp 10.0.0.1:80", in a static buffer of a few. */
const char *service_text(const struct service_key *key);
const char *endpoint_text(enum family family, const union ip_addr *address, rte_be16_t port);
const char *protocol_text(uint8_t protocol);
/* What the verbs demand of an object that is or is not there: 0, or -1 with "exists" or "not-found". */
int check_verb(int verb, bool there, const char *what, const char *name, const char *hint,
	       struct error *error);

/* ---- items.c ---- */

/* An item is no longer configured. -1 when memory runs out. */
int item_take_out(struct model *model, struct item *item, struct error *error);
/* Small numbers that are given back: -1 when there are `most` already. */
int64_t index_take(uint32_t *free_indexes, uint32_t *free_count, uint32_t *next, uint32_t most);
void index_give(uint32_t **free_indexes, uint32_t *free_count, uint32_t index);

/* ---- services.c, servers.c, traffic.c ---- */

uint64_t service_key_hash(const struct service_key *key);
bool service_key_equal(const struct service_key *a, const struct service_key *b);

struct model_service *model_service_find(const struct model *model, const struct service_key *key);
int service_apply(struct model *model, int verb, const Dpvsha__Service *in, struct error *error);
int server_apply(struct model *model, int verb, const Dpvsha__Server *in, struct error *error);
int service_delete(struct model *model, struct model_service *service, struct error *error);
int service_delete_servers(struct model *model, struct model_service *service, struct error *error);
/* Puts an item into a state, here and in the orders it belongs to. Cannot fail. */
void item_restore(struct model *model, struct item *item, const struct item_state *state);
void item_save(const struct item *item, struct item_state *state);
/* The counters of a server over all workers. */
void server_counted(const struct model *model, const struct model_server *server, struct server_count *sum);
/* Since it was added or zeroed. */
void server_traffic(const struct model *model, const struct model_server *server, struct traffic *traffic);
void service_traffic(const struct model *model, const struct model_service *service, struct traffic *traffic);
void service_zero(struct model *model, struct model_service *service);
/* Frees what was never published. */
void item_free(struct model *model, struct item *item);
/* nat.c: keeps the workers' table of NAT servers. */
void server_unlink_nat(struct model *model, struct model_server *server);
int server_link_nat(struct model *model, struct model_server *server);
int nat_publish(struct model *model, struct nat_endpoint *nat);
/* Takes them out of the tables by which they are found. */
void service_forget(struct model *model, struct model_service *service);
void server_forget(struct model *model, struct model_server *server);
void binding_forget(struct model *model, struct model_binding *binding);
void entry_forget(struct model *model, struct list_entry *entry);
/* Once nobody refers to them. */
void service_release(struct model *model, struct model_service *service);
/* Without giving its place back: at the end of the model. */
void service_free(struct model_service *service);
void server_release(struct model *model, struct model_server *server);

/* ---- locals.c, lists.c ---- */

int local_apply(struct model *model, int verb, const Dpvsha__LocalAddress *in, struct error *error);
int service_delete_bindings(struct model *model, struct model_service *service, struct error *error);
struct model_local *model_local_find(const struct model *model, enum family family,
				     const union ip_addr *address);
void model_local_free(struct model *model, struct model_local *local);
int list_apply(struct model *model, int verb, const Dpvsha__ListEntry *in, struct error *error);
int service_delete_entries(struct model *model, struct model_service *service, int kind, struct error *error);

/* ---- prepare.c, publish.c, retire.c ---- */

/* Makes everything that can fail. -1: nothing is kept. */
int publish_prepare(struct model *model, struct error *error);
/* Throws away what prepare made. */
void publish_cancel(struct model *model);
/* Shows the workers. Cannot fail. */
void publish_commit(struct model *model);
/* Throws away what prepare made for one service. */
void publish_drop(struct model_service *service);
/* Forgets what was touched, and frees what the workers never saw and nobody wants. */
void publish_end_batch(struct model *model);
/* It leaves the servers that are watched until their last connection has ended. */
void server_unlinger(struct model *model, struct model_server *server);
/* Retires servers and local addresses that nobody uses any more; looks at a bounded number of them. */
void publish_retire(struct model *model);

/* ---- network.c: through the stack ---- */

int address_apply(struct model *model, int verb, const Dpvsha__Address *in, struct error *error);
int route_apply(struct model *model, int verb, const Dpvsha__Route *in, struct error *error);
int neighbour_apply(struct model *model, int verb, const Dpvsha__Neighbour *in, struct error *error);
int announce_apply(struct model *model, int verb, const Dpvsha__Announce *in, struct error *error);
int network_flush(struct model *model, const Dpvsha__Flush *in, struct error *error);
void network_undo(struct model *model, const struct undo *undo);
/* For local addresses: on this device, added when it is nowhere. */
int network_need_address(struct model *model, int port, enum family family, const union ip_addr *address,
			 struct error *error);
void network_drop_address(struct model *model, const struct local_address *local);
/* The port that has this address, -1: none. */
int network_port_of(const struct model *model, enum family family, const union ip_addr *address);

/* ---- switches.c: links, settings, timeouts, flows, zero ---- */

int link_apply(struct model *model, int verb, const Dpvsha__Link *in, struct error *error);
int timeouts_apply(struct model *model, int verb, const Dpvsha__Timeouts *in, struct error *error);
int setting_apply(struct model *model, int verb, const Dpvsha__Setting *in, struct error *error);
int groups_apply(struct model *model, int verb, const Dpvsha__TwinGroups *in, struct error *error);
int twin_look_apply(struct model *model, int verb, const Dpvsha__TwinLook *in, struct error *error);
int flow_apply(struct model *model, int verb, const Dpvsha__Flow *in, struct error *error);
int zero_apply(struct model *model, int verb, const Dpvsha__Zero *in, struct error *error);
int flush_apply(struct model *model, int verb, const Dpvsha__Flush *in, struct error *error);
/* Does the deferred things that may fail. On failure all of them are as before. */
int deferred_try(struct model *model, struct error *error);
/* Does those that cannot. */
void deferred_finish(struct model *model);

#endif
