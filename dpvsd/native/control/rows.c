#include "rows.h"

#include <stdio.h>

void *row_part(struct rows *rows, const void *init, size_t size)
{
	void *part = arena_take(rows->arena, size);

	if (!part)
		rows->failed = true;
	else
		memcpy(part, init, size);
	return part;
}

void *row_add(struct rows *rows, uint32_t worker, Dpvsha__Row__RowCase kind, const void *init, size_t size)
{
	static const Dpvsha__Row empty = DPVSHA__ROW__INIT;
	Dpvsha__Row *row = row_part(rows, &empty, sizeof(empty));
	void *content = row_part(rows, init, size);

	if (!row || !content)
		return NULL;
	row->worker = worker;
	row->row_case = kind;
	row->service = content; /* all of the union's members are pointers */
	rows->row[rows->count++] = row;
	return content;
}

ProtobufCBinaryData row_bytes(struct rows *rows, const void *bytes, size_t length)
{
	ProtobufCBinaryData data = {.len = length, .data = arena_take(rows->arena, length)};

	if (!data.data) {
		rows->failed = true;
		data.len = 0;
	} else {
		memcpy(data.data, bytes, length);
	}
	return data;
}

ProtobufCBinaryData row_address(struct rows *rows, enum family family, const union ip_addr *address)
{
	return row_bytes(rows, address->b, ip_bits(family) / 8);
}

char *row_text(struct rows *rows, const char *text)
{
	size_t size = strlen(text) + 1;
	char *copy = arena_take(rows->arena, size);

	if (!copy) {
		rows->failed = true;
		return (char *)(uintptr_t)protobuf_c_empty_string;
	}
	memcpy(copy, text, size);
	return copy;
}

const char *row_device(const struct rows *rows, uint16_t port)
{
	return port < MAX_PORTS ? rows->model->director->net->ports[port].name : "";
}

Dpvsha__ServiceKey *row_service_key(struct rows *rows, const struct service_key *key)
{
	static const Dpvsha__ServiceKey empty = DPVSHA__SERVICE_KEY__INIT;
	Dpvsha__ServiceKey *out = row_part(rows, &empty, sizeof(empty));

	if (!out)
		return NULL;
	out->protocol = (Dpvsha__Protocol)key->protocol;
	out->address = row_address(rows, (enum family)key->family, &key->address);
	out->port = rte_be_to_cpu_16(key->port);
	return out;
}

static const struct {
	void (*piece)(struct stream *stream, struct rows *rows);
} tables[] = {
    [DPVSHA__TABLE__TABLE_SERVICES] = {rows_services},
    [DPVSHA__TABLE__TABLE_LOCAL_ADDRESSES] = {rows_locals},
    [DPVSHA__TABLE__TABLE_LISTS] = {rows_lists},
    [DPVSHA__TABLE__TABLE_CONNECTIONS] = {rows_connections},
    [DPVSHA__TABLE__TABLE_TEMPLATES] = {rows_templates},
    [DPVSHA__TABLE__TABLE_ADDRESSES] = {rows_addresses},
    [DPVSHA__TABLE__TABLE_ROUTES] = {rows_routes},
    [DPVSHA__TABLE__TABLE_NEIGHBOURS] = {rows_neighbours},
    [DPVSHA__TABLE__TABLE_LINKS] = {rows_links},
    [DPVSHA__TABLE__TABLE_WORKERS] = {rows_workers},
    [DPVSHA__TABLE__TABLE_COUNTERS] = {rows_counters},
    [DPVSHA__TABLE__TABLE_TIMEOUTS] = {rows_timeouts},
    [DPVSHA__TABLE__TABLE_SETTINGS] = {rows_settings},
    [DPVSHA__TABLE__TABLE_MEMORY] = {rows_memory},
    [DPVSHA__TABLE__TABLE_MULTICAST] = {rows_multicast},
    [DPVSHA__TABLE__TABLE_FLOWS] = {rows_flows},
};

int stream_begin(struct stream *stream, const struct model *model, const Dpvsha__Get *get,
		 struct error *error)
{
	enum family family;

	memset(stream, 0, sizeof(*stream));
	if ((unsigned int)get->table >= RTE_DIM(tables))
		return error_set(error, "invalid", "dpvsd and its tools must be of the same version",
				 "there is no table number %d", (int)get->table);
	stream->table = get->table;
	stream->port = -1;
	stream->per_worker = get->per_worker;
	stream->worker = get->worker;
	stream->limit = get->limit;
	snprintf(stream->owner, sizeof(stream->owner), "%s", get->owner);
	if (get->service) {
		if (read_service_key(get->service, &stream->service, error) < 0)
			return -1;
		stream->has_service = true;
	}
	if (get->device[0]) {
		stream->port = read_device(model, get->device, error);
		if (stream->port < 0)
			return -1;
	}
	if (get->connection) {
		const Dpvsha__ConnectionFilter *in = get->connection;

		if (in->client_port > 65535 || in->virtual_port > 65535)
			return error_set(error, "invalid", "0 to 65535", "ports %u and %u of the filter",
					 in->client_port, in->virtual_port);
		stream->filter.protocol = (uint8_t)in->protocol;
		stream->filter.client_port = (uint16_t)in->client_port;
		stream->filter.virtual_port = (uint16_t)in->virtual_port;
		if (in->client.len > 0) {
			if (read_address(&in->client, "client of the filter", &family, &stream->filter.client,
					 error) < 0)
				return -1;
			stream->filter.client_family = (uint8_t)family;
		}
		if (in->virtual_.len > 0) {
			if (read_address(&in->virtual_, "virtual address of the filter", &family,
					 &stream->filter.virtual, error) < 0)
				return -1;
			stream->filter.virtual_family = (uint8_t)family;
		}
	}
	return 0;
}

void stream_next(struct stream *stream, struct rows *rows)
{
	rows->count = 0;
	rows->failed = false;
	rows->room = ROWS_A_PIECE;
	if (stream->limit)
		rows->room = RTE_MIN(rows->room, (size_t)(stream->limit - stream->rows));
	tables[stream->table].piece(stream, rows);
	stream->rows += (uint32_t)rows->count;
	if (stream->limit && stream->rows >= stream->limit)
		stream->done = true;
}
