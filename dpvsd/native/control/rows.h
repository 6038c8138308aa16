/* Tables as rows, in pieces: a stream remembers where it is between two pieces, and the tables may change
 * meanwhile. What stays is listed once. */
#ifndef DPVSHA_ROWS_H
#define DPVSHA_ROWS_H

#include "arena.h"
#include "model.h"

enum {
	ROWS_A_PIECE = 128,
};

struct stream {
	Dpvsha__Table table;
	/* What was asked for. */
	bool has_service;
	struct service_key service;
	int port; /* of the device, -1: any, -2: there is no such device */
	bool per_worker;
	uint32_t worker; /* number + 1, 0: all */
	uint32_t limit; /* rows, 0: all */
	char owner[TEXT_SIZE];
	struct {
		uint8_t protocol;
		uint8_t client_family, virtual_family; /* 0: any */
		union ip_addr client, virtual;
		uint16_t client_port, virtual_port;
	} filter;
	/* Where it is; each table uses them as it needs. */
	uint64_t at, inner;
	uint32_t phase;
	bool inside; /* a service */
	bool second; /* of its two lists */
	uint32_t rows; /* that were listed */
	bool done;
};

/* The piece that is made now. */
struct rows {
	struct arena *arena;
	const struct model *model;
	Dpvsha__Row *row[ROWS_A_PIECE];
	size_t count;
	size_t room; /* may be less than a piece, by the limit */
	bool failed; /* no memory */
};

/* Reads a request. -1 with the error set. */
int stream_begin(struct stream *stream, const struct model *model, const Dpvsha__Get *get,
		 struct error *error);
/* The next piece, with at most ROWS_A_PIECE rows, maybe none; stream->done says that it was the last. The
 * work is bounded, whatever the table holds. */
void stream_next(struct stream *stream, struct rows *rows);

/* ---- for rows_*.c ---- */

static inline bool rows_full(const struct rows *rows)
{
	return rows->count >= rows->room || rows->failed;
}

/* Another row, zeroed, with room for its content: `size` bytes whose head `init` copies. NULL: no memory. */
void *row_add(struct rows *rows, uint32_t worker, Dpvsha__Row__RowCase kind, const void *init, size_t size);
/* A message inside a row. */
void *row_part(struct rows *rows, const void *init, size_t size);
ProtobufCBinaryData row_bytes(struct rows *rows, const void *bytes, size_t length);
ProtobufCBinaryData row_address(struct rows *rows, enum family family, const union ip_addr *address);
char *row_text(struct rows *rows, const char *text);
Dpvsha__ServiceKey *row_service_key(struct rows *rows, const struct service_key *key);
const char *row_device(const struct rows *rows, uint16_t port);

void rows_services(struct stream *stream, struct rows *rows);
void rows_locals(struct stream *stream, struct rows *rows);
void rows_lists(struct stream *stream, struct rows *rows);
void rows_connections(struct stream *stream, struct rows *rows);
void rows_templates(struct stream *stream, struct rows *rows);
void rows_addresses(struct stream *stream, struct rows *rows);
void rows_routes(struct stream *stream, struct rows *rows);
void rows_neighbours(struct stream *stream, struct rows *rows);
void rows_links(struct stream *stream, struct rows *rows);
void rows_workers(struct stream *stream, struct rows *rows);
void rows_counters(struct stream *stream, struct rows *rows);
void rows_timeouts(struct stream *stream, struct rows *rows);
void rows_settings(struct stream *stream, struct rows *rows);
void rows_memory(struct stream *stream, struct rows *rows);
void rows_multicast(struct stream *stream, struct rows *rows);
void rows_flows(struct stream *stream, struct rows *rows);

#endif
