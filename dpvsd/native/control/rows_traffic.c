/* What the workers have: connections, persistence templates, counters. Connections are read while their
 * workers change them: one may be listed that has just ended. */
#include "rows.h"

#include <stdio.h>

static bool address_fits(const union ip_addr *wanted, uint8_t wanted_family, const union ip_addr *address,
			 enum family family)
{
	return wanted_family == 0 || (wanted_family == family && ip_equal(wanted, address));
}

/* Both sides of a connection, whatever its families. */
struct ends {
	enum family client_family, server_family;
	union ip_addr client, virtual, local, server;
};

static void ends_of(const struct connection *c, struct ends *ends)
{
	bool client4 = connection_client_family(c) == FAMILY_IPV4;
	bool server4 = connection_server_family(c) == FAMILY_IPV4;

	ends->client_family = client4 ? FAMILY_IPV4 : FAMILY_IPV6;
	ends->server_family = server4 ? FAMILY_IPV4 : FAMILY_IPV6;
	ends->client = client4 ? ip_from_v4(c->client4) : c->client6;
	ends->virtual = client4 ? ip_from_v4(c->virtual4) : c->virtual6;
	ends->local = server4 ? ip_from_v4(c->local4) : c->local6;
	ends->server = server4 ? ip_from_v4(c->server4) : c->server6;
}

static bool is_wanted(const struct stream *stream, const struct connection *c, const struct ends *ends)
{
	const struct service_key *key = &stream->service;

	if (stream->has_service &&
	    (key->protocol != c->protocol || (key->port && key->port != c->virtual_port) ||
	     !address_fits(&key->address, key->family, &ends->virtual, ends->client_family)))
		return false;
	return (stream->filter.protocol == 0 || stream->filter.protocol == c->protocol) &&
	       (stream->filter.client_port == 0 ||
		rte_cpu_to_be_16(stream->filter.client_port) == c->client_port) &&
	       (stream->filter.virtual_port == 0 ||
		rte_cpu_to_be_16(stream->filter.virtual_port) == c->virtual_port) &&
	       address_fits(&stream->filter.client, stream->filter.client_family, &ends->client,
			    ends->client_family) &&
	       address_fits(&stream->filter.virtual, stream->filter.virtual_family, &ends->virtual,
			    ends->client_family);
}

static uint32_t seconds_left(const struct worker_view *view, const struct connection *c)
{
	int32_t ticks = (int32_t)(c->last_seen + c->timeout - __atomic_load_n(&view->now, __ATOMIC_RELAXED));

	return ticks > 0 ? (uint32_t)ticks / TICKS_PER_SECOND : 0;
}

static const char *state_text(const struct connection *c)
{
	switch (c->protocol) {
	case PROTO_TCP:
		return c->state < TCP_STATE_COUNT ? tcp_state_name((enum tcp_state)c->state) : "?";
	case PROTO_UDP:
		return "UDP";
	case PROTO_ICMP:
	case PROTO_ICMPV6:
		return "ICMP";
	}
	return "?";
}

static void connection_row(struct stream *stream, struct rows *rows, const struct worker_view *view,
			   const struct connection *c)
{
	static const Dpvsha__ConnectionRow empty = DPVSHA__CONNECTION_ROW__INIT;
	Dpvsha__ConnectionRow *row;
	struct ends ends;

	ends_of(c, &ends);
	if (!is_wanted(stream, c, &ends))
		return;
	row = row_add(rows, stream->per_worker ? view->number + 1u : 0, DPVSHA__ROW__ROW_CONNECTION, &empty,
		      sizeof(empty));
	if (!row)
		return;
	row->protocol = (Dpvsha__Protocol)c->protocol;
	row->client = row_address(rows, ends.client_family, &ends.client);
	row->client_port = rte_be_to_cpu_16(c->client_port);
	row->virtual_ = row_address(rows, ends.client_family, &ends.virtual);
	row->virtual_port = rte_be_to_cpu_16(c->virtual_port);
	row->local = row_address(rows, ends.server_family, &ends.local);
	row->local_port = rte_be_to_cpu_16(c->local_port);
	row->server = row_address(rows, ends.server_family, &ends.server);
	row->server_port = rte_be_to_cpu_16(c->server_port);
	row->state = (char *)(uintptr_t)state_text(c);
	row->expires = seconds_left(view, c);
	row->forward = (Dpvsha__Forward)c->forward;
	row->worker = view->number;
}

/* A template has no next hop; how many connections belong to it stands there (connect.c). */
static uint32_t template_users(const struct connection *t)
{
	return (uint32_t)t->adjacency[1] << 16 | t->adjacency[0];
}

static void template_row(struct stream *stream, struct rows *rows, const struct worker_view *view,
			 const struct connection *t)
{
	static const Dpvsha__TemplateRow empty = DPVSHA__TEMPLATE_ROW__INIT;
	const struct director *director = rows->model->director;
	const struct server *server = t->server < MAX_SERVERS ? director->servers[t->server] : NULL;
	const struct model_service *service;
	Dpvsha__TemplateRow *row;
	enum family family = connection_client_family(t);
	union ip_addr client = family == FAMILY_IPV4 ? ip_from_v4(t->client4) : t->client6;

	if (!server)
		return;
	service = server->service < MAX_SERVICES ? rows->model->service_by_index[server->service] : NULL;
	if (!service)
		return;
	if (stream->has_service &&
	    memcmp(&stream->service, &service->shared->key, sizeof(stream->service)) != 0)
		return;
	if (!address_fits(&stream->filter.client, stream->filter.client_family, &client, family))
		return;
	row = row_add(rows, stream->per_worker ? view->number + 1u : 0, DPVSHA__ROW__ROW_TEMPLATE, &empty,
		      sizeof(empty));
	if (!row)
		return;
	row->service = row_service_key(rows, &service->shared->key);
	row->client = row_address(rows, family, &client);
	row->prefix = service->config.persistence_prefix ? service->config.persistence_prefix
							 : ip_bits(family);
	row->server = row_address(rows, (enum family)server->family, &server->address);
	row->server_port = rte_be_to_cpu_16(server->port);
	row->connections = template_users(t);
	row->expires = seconds_left(view, t);
	row->worker = view->number;
}

/* Worker after worker; `at` is the worker, `inner` the position in its table. */
static void list_records(struct stream *stream, struct rows *rows, bool templates)
{
	const struct director *director = rows->model->director;
	struct connection records[ROWS_A_PIECE];
	uint32_t cursor = (uint32_t)stream->inner;
	const struct worker_view *view;
	const struct connection_table *table;
	size_t count;

	if (stream->per_worker && stream->worker && stream->at != stream->worker - 1) {
		stream->at = stream->worker - 1;
		cursor = 0;
	}
	if (stream->at >= director->steering.workers) {
		stream->done = true;
		return;
	}
	view = director->workers[stream->at];
	table = templates ? view->templates : view->connections;
	if (table) {
		count = connection_list(table, &cursor, records, rows->room);
		for (size_t i = 0; i < count; i++)
			if (templates)
				template_row(stream, rows, view, &records[i]);
			else
				connection_row(stream, rows, view, &records[i]);
	}
	if (!table || cursor == CONN_NONE) {
		cursor = 0;
		stream->at++;
		if (stream->at >= director->steering.workers || (stream->per_worker && stream->worker))
			stream->done = true;
	}
	stream->inner = cursor;
}

void rows_connections(struct stream *stream, struct rows *rows)
{
	list_records(stream, rows, false);
}

void rows_templates(struct stream *stream, struct rows *rows)
{
	list_records(stream, rows, true);
}

/* ---- counters ---- */

enum { NAMED_COUNTERS = 8 };

static const struct {
	const char *name, *help;
	size_t offset;
} named[NAMED_COUNTERS] = {
    {"in", "packets that came in", offsetof(struct packet_counters, in)},
    {"forwarded", "packets that were sent on", offsetof(struct packet_counters, forwarded)},
    {"kernel", "packets for the kernel's twin", offsetof(struct packet_counters, kernel)},
    {"local", "packets that were answered or used up here", offsetof(struct packet_counters, local)},
    {"held", "packets that wait for a neighbour", offsetof(struct packet_counters, held)},
    {"originated", "packets of our own, ICMP errors among them",
     offsetof(struct packet_counters, originated)},
    {"handed-over", "packets given to the worker that owns them",
     offsetof(struct packet_counters, handed_over)},
    {"taken-over", "packets taken from other workers", offsetof(struct packet_counters, taken_over)},
};

static uint64_t counter_of(const struct packet_counters *counters, uint32_t number)
{
	const uint64_t *value;

	if (!counters)
		return 0;
	if (number < NAMED_COUNTERS)
		value = (const uint64_t *)((const char *)counters + named[number].offset);
	else
		value = &counters->drops[number - NAMED_COUNTERS];
	return __atomic_load_n(value, __ATOMIC_RELAXED);
}

static void counter_row(struct rows *rows, uint32_t worker, uint32_t number, uint64_t value)
{
	static const Dpvsha__CounterRow empty = DPVSHA__COUNTER_ROW__INIT;
	Dpvsha__CounterRow *row = row_add(rows, worker, DPVSHA__ROW__ROW_COUNTER, &empty, sizeof(empty));
	char name[64];

	if (!row)
		return;
	row->value = value;
	if (number < NAMED_COUNTERS) {
		row->name = (char *)(uintptr_t)named[number].name;
		row->help = (char *)(uintptr_t)named[number].help;
		return;
	}
	snprintf(name, sizeof(name), "drop.%s", drop_reason_name[number - NAMED_COUNTERS]);
	row->name = row_text(rows, name);
	row->help = (char *)(uintptr_t)drop_reason_help[number - NAMED_COUNTERS];
}

/* @return false behind the last */
static bool host_counter_row(struct rows *rows, uint32_t position)
{
	static const Dpvsha__CounterRow empty = DPVSHA__COUNTER_ROW__INIT;
	const struct control_host *host = &rows->model->host;
	struct counter_info info;
	Dpvsha__CounterRow *row;

	if (!host->counter_info || !host->counter_info(host->context, position, &info))
		return false;
	row = row_add(rows, 0, DPVSHA__ROW__ROW_COUNTER, &empty, sizeof(empty));
	if (!row)
		return true;
	row->name = row_text(rows, info.name);
	row->help = (char *)(uintptr_t)info.help;
	row->value = info.value;
	return true;
}

/* `at` is the counter, `phase` the worker when there is a row for each; then come those of the host. */
void rows_counters(struct stream *stream, struct rows *rows)
{
	const struct director *director = rows->model->director;
	const struct packet_counters *master = rows->model->host.master_counters;

	if (stream->per_worker && stream->worker && stream->phase != stream->worker - 1)
		stream->phase = stream->worker - 1;
	for (; !rows_full(rows); stream->at++) {
		uint32_t number = (uint32_t)stream->at;
		uint64_t value;

		if (!stream->second && number == NAMED_COUNTERS + DROP_REASON_COUNT) {
			stream->at = number = 0;
			stream->phase++;
			if (!stream->per_worker) {
				stream->second = true;
			} else if (stream->worker || stream->phase >= director->steering.workers) {
				stream->done = true;
				return;
			}
		}
		if (stream->second) {
			stream->done = !host_counter_row(rows, number);
			if (stream->done)
				return;
			continue;
		}
		if (stream->per_worker) {
			if (stream->phase >= director->steering.workers) {
				stream->done = true;
				return;
			}
			counter_row(rows, stream->phase + 1, number,
				    counter_of(&director->workers[stream->phase]->counters, number));
			continue;
		}
		value = 0;
		for (uint32_t i = 0; i < director->steering.workers; i++)
			value += counter_of(&director->workers[i]->counters, number);
		/* What the master let go is no longer held. */
		if (number < NAMED_COUNTERS && named[number].offset == offsetof(struct packet_counters, held))
			value -= RTE_MIN(value, counter_of(master, number));
		else
			value += counter_of(master, number);
		counter_row(rows, 0, number, value);
	}
}
