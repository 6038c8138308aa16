/* A director without workers' threads, a stack without ports, and operations as the control contract has
 * them: what tests of control share. */
#ifndef DPVSHA_TEST_CONTROL_H
#define DPVSHA_TEST_CONTROL_H

#include <arpa/inet.h>
#include <stdarg.h>

#include "check.h"
#include "control/rows.h"

enum { WORKERS = 2, FLOWS_ROOM = 64, SETTINGS = 3 };

struct fake {
	struct director director;
	struct net net;
	struct net_master *stack;
	struct worker_view views[WORKERS];
	struct control_host host;
	/* What the host has. */
	bool promiscuous[2];
	bool refuse_links; /* when it comes to doing */
	struct flow_info flows[FLOWS_ROOM];
	uint32_t flow_count;
	char settings[SETTINGS][2][32];
	bool refuse_settings;
	uint32_t zeroed[2];
	uint32_t looks[2], looks_down[2]; /* at twins; of those, with was_down */
};

static inline bool fake_link_info(void *context, uint16_t port, struct link_info *info)
{
	struct fake *fake = context;

	memset(info, 0, sizeof(*info));
	info->rx_queues = info->tx_queues = WORKERS;
	info->speed = 10000;
	info->promiscuous = fake->promiscuous[port];
	snprintf(info->driver, sizeof(info->driver), "net_fake");
	info->offloads = 1;
	snprintf(info->offload[0], sizeof(info->offload[0]), "OF_RX_IP_CSUM");
	info->counters.rx_packets = 7;
	return true;
}

static inline int fake_link_set(void *context, uint16_t port, const struct link_change *change, bool check,
				struct error *error)
{
	struct fake *fake = context;

	if (change->what & LINK_MTU && change->mtu > 9000)
		return error_set(error, "invalid", "at most 9000", "an MTU of %u", change->mtu);
	if (check)
		return 0;
	if (fake->refuse_links)
		return error_set(error, "busy", NULL, "the port did not do it");
	if (change->what & LINK_PROMISCUOUS)
		fake->promiscuous[port] = change->promiscuous;
	if (change->what & LINK_MTU)
		fake->net.ports[port].mtu = change->mtu;
	if (change->what & LINK_UP)
		fake->net.ports[port].up = change->up;
	return 0;
}

static inline void fake_link_zero(void *context, uint16_t port)
{
	((struct fake *)context)->zeroed[port]++;
}

static inline void fake_twin_look(void *context, uint16_t port, bool was_down)
{
	struct fake *fake = context;

	fake->looks[port]++;
	fake->looks_down[port] += was_down;
}

static inline bool fake_setting_info(void *context, uint32_t position, char name[SETTING_NAME_SIZE],
				     char value[SETTING_VALUE_SIZE])
{
	struct fake *fake = context;

	if (position >= SETTINGS)
		return false;
	strcpy(name, fake->settings[position][0]);
	strcpy(value, fake->settings[position][1]);
	return true;
}

static inline char *fake_setting(struct fake *fake, const char *name)
{
	for (int i = 0; i < SETTINGS; i++)
		if (strcmp(fake->settings[i][0], name) == 0)
			return fake->settings[i][1];
	return NULL;
}

static inline bool fake_setting_get(void *context, const char *name, char value[SETTING_VALUE_SIZE])
{
	const char *there = fake_setting(context, name);

	if (there)
		strcpy(value, there);
	return there != NULL;
}

static inline int fake_setting_set(void *context, const char *name, const char *value, bool check,
				   struct error *error)
{
	struct fake *fake = context;
	char *there = fake_setting(fake, name);

	if (!there)
		return error_set(error, "not-found", NULL, "there is no setting '%.40s'", name);
	if (strlen(value) >= 32)
		return error_set(error, "invalid", NULL, "the value is too long");
	if (!check && fake->refuse_settings)
		return error_set(error, "busy", NULL, "not now");
	if (!check)
		strcpy(there, value);
	return 0;
}

static inline bool fake_flow_info(void *context, uint32_t position, struct flow_info *info)
{
	struct fake *fake = context;

	if (position >= fake->flow_count)
		return false;
	*info = fake->flows[position];
	return true;
}

static inline int fake_flow_set(void *context, bool add, const struct flow_info *flow, bool check,
				struct error *error)
{
	struct fake *fake = context;

	if (check)
		return 0;
	if (add && fake->flow_count == FLOWS_ROOM)
		return error_set(error, "full", NULL, "no room for another flow");
	if (add) {
		fake->flows[fake->flow_count++] = *flow;
		return 0;
	}
	for (uint32_t i = 0; i < fake->flow_count; i++)
		if (fake->flows[i].port == flow->port && fake->flows[i].family == flow->family &&
		    ip_equal(&fake->flows[i].address, &flow->address)) {
			fake->flows[i] = fake->flows[--fake->flow_count];
			return 0;
		}
	return error_set(error, "not-found", NULL, "no such flow");
}

static inline bool fake_worker_info(void *context, uint32_t position, struct worker_info *info)
{
	(void)context;
	if (position > WORKERS)
		return false;
	info->number = position;
	info->role = position < WORKERS ? "worker" : "master";
	snprintf(info->name, sizeof(info->name), "cpu%u", position);
	info->queues = 1;
	snprintf(info->queue[0], sizeof(info->queue[0]), "dpdk0:rx%u,tx%u", position, position);
	return true;
}

static inline bool fake_memory_info(void *context, uint32_t position, struct memory_info *info)
{
	(void)context;
	if (position > 0)
		return false;
	*info = (struct memory_info){.name = "pktpool-0", .size = 100, .used = 1, .unit = "objects"};
	return true;
}

static inline bool fake_multicast_info(void *context, uint16_t port, uint32_t position,
				       struct multicast_info *info)
{
	(void)context;
	if (port != 1 || position > 1)
		return false;
	*info = (struct multicast_info){.mac = {1, 0, 0x5e, 0, 0, (uint8_t)position}, .references = 1};
	return true;
}

static inline struct fake *fake_new(void)
{
	static const struct net_limits limits = {
	    .unresolved_queue = 4, .reachable_ms = 60000, .max_neighbours = 1000};
	static const struct net_output output = {.context = NULL};
	static const char *const names[SETTINGS] = {"log_level", "ip4.ttl", "neigh.timeout"};
	struct fake *fake = memory_new(sizeof(*fake));

	for (int i = 0; i < 2; i++) {
		snprintf(fake->net.ports[i].name, NAME_SIZE, "dpdk%d", i);
		fake->net.ports[i].mac[0] = 2;
		fake->net.ports[i].mac[5] = (uint8_t)i;
		fake->net.ports[i].mtu = 1500;
		fake->net.ports[i].up = true;
	}
	for (int i = 0; i < SETTINGS; i++) {
		strcpy(fake->settings[i][0], names[i]);
		strcpy(fake->settings[i][1], "1");
	}
	fake->net.generation = 1;
	fake->stack = net_master_new(&fake->net, &output, &limits);
	fake->director.net = &fake->net;
	fake->director.services = service_table_new(MAX_SERVICES);
	fake->director.servers = memory_reserve("servers", MAX_SERVERS * sizeof(struct server *), 0);
	for (unsigned int i = 0; i < WORKERS; i++) {
		struct worker_view *view = &fake->views[i];

		view->number = (uint16_t)i;
		view->servers = memory_reserve("counts", MAX_SERVERS * sizeof(struct server_count), 0);
		view->cursors = memory_reserve("cursors", MAX_SERVICES * sizeof(struct schedule_cursor), 0);
		view->connections = connection_table_new(65536, 0);
		view->templates = connection_table_new(1024, 0);
		fake->director.workers[i] = view;
	}
	steering_divide(&fake->director, WORKERS);
	fake->director.timeouts.tcp[TCP_ESTABLISHED] = 90;
	fake->director.timeouts.tcp[TCP_FIN_WAIT] = 7;
	fake->director.timeouts.udp[UDP_NORMAL] = 300;
	fake->host = (struct control_host){.context = fake,
					   .link_info = fake_link_info,
					   .link_set = fake_link_set,
					   .link_zero = fake_link_zero,
					   .twin_look = fake_twin_look,
					   .worker_info = fake_worker_info,
					   .memory_info = fake_memory_info,
					   .multicast_info = fake_multicast_info,
					   .setting_info = fake_setting_info,
					   .setting_get = fake_setting_get,
					   .setting_set = fake_setting_set,
					   .flow_info = fake_flow_info,
					   .flow_set = fake_flow_set};
	return fake;
}

static inline void fake_free(struct fake *fake)
{
	net_master_free(fake->stack);
	local_table_free(fake->director.locals);
	service_table_free(fake->director.services);
	memory_release(fake->director.servers);
	for (unsigned int i = 0; i < WORKERS; i++) {
		memory_release(fake->views[i].servers);
		memory_release(fake->views[i].cursors);
		connection_table_free(fake->views[i].connections);
		connection_table_free(fake->views[i].templates);
	}
	memory_free(fake);
}

/* ---- operations: numbers stand for addresses ---- */

struct ops {
	struct arena arena;
	Dpvsha__Operation **list;
	size_t count, room;
};

static inline void *part(struct ops *ops, const void *init, size_t size)
{
	void *copy = arena_take(&ops->arena, size);

	memcpy(copy, init, size);
	return copy;
}

static inline void ops_clear(struct ops *ops)
{
	if (ops->room == 0)
		arena_init(&ops->arena, 1u << 30);
	arena_reset(&ops->arena);
	ops->count = 0;
}

static inline void ops_end(struct ops *ops)
{
	arena_end(&ops->arena);
	free(ops->list);
	memset(ops, 0, sizeof(*ops));
}

static inline Dpvsha__Operation *op(struct ops *ops, int verb, Dpvsha__Operation__ObjectCase kind,
				    void *object)
{
	static const Dpvsha__Operation empty = DPVSHA__OPERATION__INIT;
	Dpvsha__Operation *made = part(ops, &empty, sizeof(empty));

	made->verb = (Dpvsha__Verb)verb;
	made->object_case = kind;
	made->service = object;
	if (ops->count == ops->room) {
		ops->room = ops->room ? ops->room * 2 : 64;
		ops->list = realloc(ops->list, ops->room * sizeof(ops->list[0]));
	}
	ops->list[ops->count++] = made;
	return made;
}

/* Bytes of a text address. */
static inline ProtobufCBinaryData bytes_of(struct ops *ops, const char *address)
{
	uint8_t raw[16];
	size_t length = 0;

	if (!address)
		return (ProtobufCBinaryData){0, NULL};
	if (inet_pton(AF_INET, address, raw) == 1)
		length = 4;
	else if (inet_pton(AF_INET6, address, raw) == 1)
		length = 16;
	return (ProtobufCBinaryData){length, part(ops, raw, sizeof(raw))};
}

static inline Dpvsha__ServiceKey *key_of(struct ops *ops, int protocol, const char *address, uint32_t port)
{
	static const Dpvsha__ServiceKey empty = DPVSHA__SERVICE_KEY__INIT;
	Dpvsha__ServiceKey *key = part(ops, &empty, sizeof(empty));

	key->protocol = (Dpvsha__Protocol)protocol;
	key->address = bytes_of(ops, address);
	key->port = port;
	return key;
}

static inline Dpvsha__Service *op_service(struct ops *ops, int verb, Dpvsha__ServiceKey *key,
					  const char *scheduler)
{
	static const Dpvsha__Service empty = DPVSHA__SERVICE__INIT;
	Dpvsha__Service *service = part(ops, &empty, sizeof(empty));

	service->key = key;
	service->scheduler = (char *)(uintptr_t)scheduler;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_SERVICE, service);
	return service;
}

static inline Dpvsha__Server *op_server(struct ops *ops, int verb, Dpvsha__ServiceKey *key,
					const char *address, uint32_t port, int forward, uint32_t weight)
{
	static const Dpvsha__Server empty = DPVSHA__SERVER__INIT;
	Dpvsha__Server *server = part(ops, &empty, sizeof(empty));

	server->service = key;
	server->address = bytes_of(ops, address);
	server->port = port;
	server->forward = (Dpvsha__Forward)forward;
	server->weight = weight;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_SERVER, server);
	return server;
}

static inline void op_local(struct ops *ops, int verb, Dpvsha__ServiceKey *key, const char *address,
			    const char *device)
{
	static const Dpvsha__LocalAddress empty = DPVSHA__LOCAL_ADDRESS__INIT;
	Dpvsha__LocalAddress *local = part(ops, &empty, sizeof(empty));

	local->service = key;
	local->address = bytes_of(ops, address);
	local->device = (char *)(uintptr_t)device;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_LOCAL_ADDRESS, local);
}

static inline void op_list(struct ops *ops, int verb, Dpvsha__ServiceKey *key, int kind, const char *address,
			   uint32_t prefix)
{
	static const Dpvsha__ListEntry empty = DPVSHA__LIST_ENTRY__INIT;
	Dpvsha__ListEntry *entry = part(ops, &empty, sizeof(empty));

	entry->service = key;
	entry->kind = (Dpvsha__ListKind)kind;
	entry->address = bytes_of(ops, address);
	entry->prefix = prefix;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_LIST_ENTRY, entry);
}

static inline Dpvsha__Address *op_address(struct ops *ops, int verb, const char *address, uint32_t prefix,
					  const char *device)
{
	static const Dpvsha__Address empty = DPVSHA__ADDRESS__INIT;
	Dpvsha__Address *made = part(ops, &empty, sizeof(empty));

	made->address = bytes_of(ops, address);
	made->prefix = prefix;
	made->device = (char *)(uintptr_t)device;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_ADDRESS, made);
	return made;
}

static inline Dpvsha__Route *op_route(struct ops *ops, int verb, const char *destination, uint32_t prefix,
				      const char *gateway, const char *device)
{
	static const Dpvsha__Route empty = DPVSHA__ROUTE__INIT;
	Dpvsha__Route *made = part(ops, &empty, sizeof(empty));

	made->destination = bytes_of(ops, destination);
	made->prefix = prefix;
	made->gateway = bytes_of(ops, gateway);
	made->device = (char *)(uintptr_t)device;
	op(ops, verb, DPVSHA__OPERATION__OBJECT_ROUTE, made);
	return made;
}

static inline void op_neighbour(struct ops *ops, int verb, const char *address, const char *device,
				uint8_t last)
{
	static const Dpvsha__Neighbour empty = DPVSHA__NEIGHBOUR__INIT;
	Dpvsha__Neighbour *made = part(ops, &empty, sizeof(empty));
	uint8_t mac[6] = {2, 0, 0, 0, 9, last};

	made->address = bytes_of(ops, address);
	made->device = (char *)(uintptr_t)device;
	made->mac = (ProtobufCBinaryData){sizeof(mac), part(ops, mac, sizeof(mac))};
	op(ops, verb, DPVSHA__OPERATION__OBJECT_NEIGHBOUR, made);
}

static inline Dpvsha__Link *op_link(struct ops *ops, const char *device)
{
	static const Dpvsha__Link empty = DPVSHA__LINK__INIT;
	Dpvsha__Link *made = part(ops, &empty, sizeof(empty));

	made->device = (char *)(uintptr_t)device;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_LINK, made);
	return made;
}

static inline Dpvsha__TwinLook *op_twin_look(struct ops *ops, const char *device)
{
	static const Dpvsha__TwinLook empty = DPVSHA__TWIN_LOOK__INIT;
	Dpvsha__TwinLook *made = part(ops, &empty, sizeof(empty));

	made->device = (char *)(uintptr_t)device;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_TWIN_LOOK, made);
	return made;
}

static inline void op_setting(struct ops *ops, const char *name, const char *value)
{
	static const Dpvsha__Setting empty = DPVSHA__SETTING__INIT;
	Dpvsha__Setting *made = part(ops, &empty, sizeof(empty));

	made->name = (char *)(uintptr_t)name;
	made->value = (char *)(uintptr_t)value;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_SETTING, made);
}

static inline void op_timeouts(struct ops *ops, uint32_t tcp, uint32_t tcp_fin, uint32_t udp)
{
	static const Dpvsha__Timeouts empty = DPVSHA__TIMEOUTS__INIT;
	Dpvsha__Timeouts *made = part(ops, &empty, sizeof(empty));

	made->tcp = tcp;
	made->tcp_fin = tcp_fin;
	made->udp = udp;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_TIMEOUTS, made);
}

static inline void op_flow(struct ops *ops, int verb, const char *device, const char *address)
{
	static const Dpvsha__Flow empty = DPVSHA__FLOW__INIT;
	Dpvsha__Flow *made = part(ops, &empty, sizeof(empty));

	made->device = (char *)(uintptr_t)device;
	made->address = bytes_of(ops, address);
	op(ops, verb, DPVSHA__OPERATION__OBJECT_FLOW, made);
}

static inline Dpvsha__Flush *op_flush(struct ops *ops, int what, Dpvsha__ServiceKey *key, const char *device)
{
	static const Dpvsha__Flush empty = DPVSHA__FLUSH__INIT;
	Dpvsha__Flush *made = part(ops, &empty, sizeof(empty));

	made->what = (Dpvsha__Flush__What)what;
	made->service = key;
	made->device = (char *)(uintptr_t)device;
	op(ops, VERB_DELETE, DPVSHA__OPERATION__OBJECT_FLUSH, made);
	return made;
}

static inline Dpvsha__Zero *op_zero(struct ops *ops, Dpvsha__ServiceKey *key, const char *device)
{
	static const Dpvsha__Zero empty = DPVSHA__ZERO__INIT;
	Dpvsha__Zero *made = part(ops, &empty, sizeof(empty));

	made->service = key;
	made->device = (char *)(uintptr_t)device;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_ZERO, made);
	return made;
}

static inline void op_announce(struct ops *ops, const char *address, const char *device)
{
	static const Dpvsha__Announce empty = DPVSHA__ANNOUNCE__INIT;
	Dpvsha__Announce *made = part(ops, &empty, sizeof(empty));

	made->address = bytes_of(ops, address);
	made->device = (char *)(uintptr_t)device;
	made->repeat = 1;
	op(ops, VERB_EDIT, DPVSHA__OPERATION__OBJECT_ANNOUNCE, made);
}

/* ---- tables as text ---- */

struct text {
	char *bytes;
	size_t length, room;
};

static inline void say(struct text *text, const char *format, ...)
{
	va_list arguments;
	int length;

	if (text->room == 0) {
		text->room = 4096;
		text->bytes = malloc(text->room);
	}
	for (;;) {
		va_start(arguments, format);
		length = vsnprintf(text->bytes + text->length, text->room - text->length, format, arguments);
		va_end(arguments);
		if (text->length + (size_t)length < text->room)
			break;
		text->room = (text->room + (size_t)length) * 2;
		text->bytes = realloc(text->bytes, text->room);
	}
	text->length += (size_t)length;
}

static inline void say_bytes(struct text *text, const ProtobufCBinaryData *bytes)
{
	char printed[INET6_ADDRSTRLEN] = "-";

	if (bytes->len == 4 || bytes->len == 16)
		inet_ntop(bytes->len == 4 ? AF_INET : AF_INET6, bytes->data, printed, sizeof(printed));
	else
		for (size_t i = 0; i < bytes->len && i < 20; i++)
			snprintf(printed + 2 * i, 3, "%02x", bytes->data[i]);
	say(text, "%s", printed);
}

static inline void say_key(struct text *text, const Dpvsha__ServiceKey *key)
{
	say(text, "%d/", (int)key->protocol);
	say_bytes(text, &key->address);
	say(text, ":%u", key->port);
}

static inline void say_row(struct text *text, const Dpvsha__Row *row)
{
	switch (row->row_case) {
	case DPVSHA__ROW__ROW_SERVICE: {
		const Dpvsha__Service *s = row->service->service;

		say(text, "service ");
		say_key(text, s->key);
		say(text, " %s persistence %u/%u ops %d owner '%s' flags '%s' servers %u\n", s->scheduler,
		    s->persistence, s->persistence_prefix, s->one_packet, s->owner, s->scheduler_flags,
		    row->service->servers);
		break;
	}
	case DPVSHA__ROW__ROW_SERVER: {
		const Dpvsha__Server *s = row->server->server;

		say(text, "  server ");
		say_bytes(text, &s->address);
		say(text, ":%u forward %d weight %u upper %u lower %u inhibited %d owner '%s'\n", s->port,
		    (int)s->forward, s->weight, s->upper_threshold, s->lower_threshold, s->inhibited,
		    s->owner);
		break;
	}
	case DPVSHA__ROW__ROW_LOCAL_ADDRESS:
		say(text, "local ");
		say_key(text, row->local_address->local->service);
		say(text, " ");
		say_bytes(text, &row->local_address->local->address);
		say(text, " %s\n", row->local_address->local->device);
		break;
	case DPVSHA__ROW__ROW_LIST_ENTRY:
		say(text, "list ");
		say_key(text, row->list_entry->service);
		say(text, " %d ", (int)row->list_entry->kind);
		say_bytes(text, &row->list_entry->address);
		say(text, "/%u\n", row->list_entry->prefix);
		break;
	case DPVSHA__ROW__ROW_ADDRESS: {
		const Dpvsha__Address *a = row->address->address;

		say(text, "address ");
		say_bytes(text, &a->address);
		say(text, "/%u %s scope %s sapool %d owner '%s'\n", a->prefix, a->device, a->scope, a->sapool,
		    a->owner);
		break;
	}
	case DPVSHA__ROW__ROW_ROUTE:
		say(text, "route ");
		say_bytes(text, &row->route->destination);
		say(text, "/%u via ", row->route->prefix);
		say_bytes(text, &row->route->gateway);
		say(text, " %s metric %u mtu %u %s %s\n", row->route->device, row->route->metric,
		    row->route->mtu, row->route->scope, row->route->origin);
		break;
	case DPVSHA__ROW__ROW_NEIGHBOUR:
		say(text, "neighbour ");
		say_bytes(text, &row->neighbour->address);
		say(text, " %s ", row->neighbour->device);
		say_bytes(text, &row->neighbour->mac);
		say(text, " %s\n", row->neighbour->state);
		break;
	case DPVSHA__ROW__ROW_LINK:
		say(text, "link %s mtu %u up %d promisc %d\n", row->link->device, row->link->mtu,
		    row->link->up, row->link->promiscuous);
		break;
	case DPVSHA__ROW__ROW_TIMEOUTS:
		say(text, "timeouts %u %u %u\n", row->timeouts->tcp, row->timeouts->tcp_fin,
		    row->timeouts->udp);
		break;
	case DPVSHA__ROW__ROW_SETTING:
		say(text, "setting %s %s\n", row->setting->name, row->setting->value);
		break;
	case DPVSHA__ROW__ROW_FLOW:
		say(text, "flow %s ", row->flow->device);
		say_bytes(text, &row->flow->address);
		say(text, "\n");
		break;
	default:
		say(text, "row %d\n", (int)row->row_case);
	}
}

static inline int compare_lines(const void *a, const void *b)
{
	return strcmp(*(char *const *)a, *(char *const *)b);
}

/* For tables without an order of their own. */
static inline void sort_lines(struct text *text, size_t from)
{
	char *copy = strdup(text->bytes + from), *lines[1000], *rest = copy;
	size_t count = 0;

	while (rest && *rest && count < RTE_DIM(lines))
		lines[count++] = strsep(&rest, "\n");
	qsort(lines, count, sizeof(lines[0]), compare_lines);
	text->length = from;
	for (size_t i = 0; i < count; i++)
		say(text, "%s\n", lines[i]);
	free(copy);
}

/* @return rows */
static inline uint32_t dump_get(struct model *model, const Dpvsha__Get *get, struct text *text)
{
	struct stream stream;
	struct error error;
	struct arena arena;
	struct rows rows;

	if (stream_begin(&stream, model, get, &error) < 0) {
		say(text, "error %s: %s\n", error.code, error.text);
		return 0;
	}
	arena_init(&arena, 16 << 20);
	while (!stream.done) {
		arena_reset(&arena);
		rows = (struct rows){.arena = &arena, .model = model};
		stream_next(&stream, &rows);
		for (size_t i = 0; i < rows.count; i++) {
			size_t size = protobuf_c_message_get_packed_size(&rows.row[i]->base);

			CHECK(size > 0 && size < 65536);
			say_row(text, rows.row[i]);
		}
	}
	arena_end(&arena);
	return stream.rows;
}

static inline uint32_t dump_table(struct model *model, Dpvsha__Table table, struct text *text)
{
	Dpvsha__Get get = DPVSHA__GET__INIT;

	get.table = table;
	return dump_get(model, &get, text);
}

static inline void dump_all(struct model *model, struct text *text)
{
	static const Dpvsha__Table ordered[] = {
	    DPVSHA__TABLE__TABLE_SERVICES, DPVSHA__TABLE__TABLE_LOCAL_ADDRESSES,
	    DPVSHA__TABLE__TABLE_LISTS,	   DPVSHA__TABLE__TABLE_LINKS,
	    DPVSHA__TABLE__TABLE_TIMEOUTS, DPVSHA__TABLE__TABLE_SETTINGS};
	static const Dpvsha__Table unordered[] = {DPVSHA__TABLE__TABLE_ADDRESSES, DPVSHA__TABLE__TABLE_ROUTES,
						  DPVSHA__TABLE__TABLE_NEIGHBOURS,
						  DPVSHA__TABLE__TABLE_FLOWS};
	size_t from;

	text->length = 0;
	say(text, "");
	for (size_t i = 0; i < RTE_DIM(ordered); i++)
		dump_table(model, ordered[i], text);
	from = text->length;
	for (size_t i = 0; i < RTE_DIM(unordered); i++)
		dump_table(model, unordered[i], text);
	sort_lines(text, from);
}

#endif
