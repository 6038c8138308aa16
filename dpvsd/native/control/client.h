/* One client of the control socket: bytes in, bytes out, and the request that is being answered. */
#ifndef DPVSHA_CLIENT_H
#define DPVSHA_CLIENT_H

#include <sys/queue.h>

#include "rows.h"

struct buffer {
	uint8_t *bytes;
	size_t start, end, room;
};

struct client {
	TAILQ_ENTRY(client) all, ready;
	bool is_ready; /* in the list of those that have work to be done */
	int fd;
	uint32_t watched; /* epoll events */
	char name[48]; /* from its hello, for the log */
	bool greeted;
	bool at_end; /* it will send nothing more */
	bool leaving; /* closed as soon as its output is gone */
	bool broken; /* closed at once */
	struct buffer in, out;
	uint64_t unfinished_ms; /* since when a message, or the hello, is awaited; 0: none is */
	uint64_t unread_ms; /* since when output waits without any of it being read; 0: none does */
	bool watches_addresses;
	bool changed_due; /* addresses came or went, and it does not know yet */
	bool streaming;
	uint64_t request; /* id of the Get that is being answered */
	struct stream stream;
};
TAILQ_HEAD(client_list_head, client);

static inline size_t buffer_used(const struct buffer *buffer)
{
	return buffer->end - buffer->start;
}

/* Makes room for `more` bytes behind the end. -1 when memory runs out. */
int buffer_reserve(struct buffer *buffer, size_t more);
void buffer_take(struct buffer *buffer, size_t bytes);
void buffer_end(struct buffer *buffer);

/* The length of the message at the front, 0: not known yet; false when it is not allowed. */
bool message_length(const struct buffer *in, size_t *length);

/* What answering needs of the socket. */
struct server_side {
	struct model *model;
	struct arena arena; /* of the message that is read or made */
	const char *version;
	const char *boot_id;
	uint64_t started;
	bool applied; /* a batch, since the last look: the stack may have something due at once */
};

void reply_greeting(struct server_side *side, struct client *client);
/* Tells that addresses came or went. */
void reply_changed(struct client *client);
/* Answers with an error. `fatal`: the connection ends after it. */
void reply_error(struct server_side *side, struct client *client, uint64_t id, const struct error *error,
		 uint32_t operation, bool fatal);
/* One whole message, without its length. */
void request_serve(struct server_side *side, struct client *client, const uint8_t *message, size_t length);
/* The next piece of what is streamed. */
void request_continue(struct server_side *side, struct client *client);

#endif
