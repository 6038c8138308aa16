/* From a message to its answer. */
#include "client.h"

#include <stdio.h>
#include <unistd.h>

static void reply(struct client *client, const Dpvsha__Reply *message)
{
	size_t size = protobuf_c_message_get_packed_size(&message->base);
	uint32_t big_endian = rte_cpu_to_be_32((uint32_t)size);

	if (client->broken)
		return;
	if (size > CONTROL_MESSAGE_MAX || buffer_reserve(&client->out, sizeof(big_endian) + size) < 0) {
		client->broken = true;
		return;
	}
	memcpy(client->out.bytes + client->out.end, &big_endian, sizeof(big_endian));
	protobuf_c_message_pack(&message->base, client->out.bytes + client->out.end + sizeof(big_endian));
	client->out.end += sizeof(big_endian) + size;
}

void reply_greeting(struct server_side *side, struct client *client)
{
	const struct director *director = side->model->director;
	Dpvsha__Greeting greeting = DPVSHA__GREETING__INIT;
	Dpvsha__Reply message = DPVSHA__REPLY__INIT;
	char *ports[MAX_PORTS];

	greeting.protocol = DPVSHA__CONSTANT__CONSTANT_PROTOCOL;
	greeting.version = (char *)(uintptr_t)side->version;
	greeting.boot_id = (char *)(uintptr_t)side->boot_id;
	greeting.pid = (uint32_t)getpid();
	greeting.started = side->started;
	greeting.workers = director->steering.workers;
	greeting.ports = ports;
	for (uint32_t i = 0; i < MAX_PORTS; i++)
		if (director->net->ports[i].name[0])
			ports[greeting.n_ports++] = director->net->ports[i].name;
	message.body_case = DPVSHA__REPLY__BODY_GREETING;
	message.greeting = &greeting;
	reply(client, &message);
}

void reply_changed(struct client *client)
{
	Dpvsha__Changed changed = DPVSHA__CHANGED__INIT;
	Dpvsha__Reply message = DPVSHA__REPLY__INIT;

	changed.table = DPVSHA__TABLE__TABLE_ADDRESSES;
	message.body_case = DPVSHA__REPLY__BODY_CHANGED;
	message.changed = &changed;
	reply(client, &message);
}

void reply_error(struct server_side *side, struct client *client, uint64_t id, const struct error *error,
		 uint32_t operation, bool fatal)
{
	Dpvsha__Error body = DPVSHA__ERROR__INIT;
	Dpvsha__Reply message = DPVSHA__REPLY__INIT;

	body.code = (char *)(uintptr_t)error->code;
	body.text = (char *)(uintptr_t)error->text;
	body.hint = (char *)(uintptr_t)error->hint;
	body.operation = operation;
	message.id = id;
	message.body_case = DPVSHA__REPLY__BODY_ERROR;
	message.error = &body;
	reply(client, &message);
	if (!fatal)
		return;
	client->leaving = true;
	client->streaming = false;
	if (side->model->host.log) {
		char text[400];

		snprintf(text, sizeof(text), "control client %s: %s",
			 client->name[0] ? client->name : "(unnamed)", error->text);
		side->model->host.log(side->model->host.context, 5, text);
	}
}

static void refuse(struct server_side *side, struct client *client, uint64_t id, const char *text)
{
	struct error error;

	error_set(&error, "protocol", "dpvsd and its tools must be of the same version", "%s", text);
	reply_error(side, client, id, &error, 0, true);
}

static void serve_hello(struct server_side *side, struct client *client, uint64_t id,
			const Dpvsha__Hello *hello)
{
	struct error error;
	size_t i;

	if (client->greeted) {
		refuse(side, client, id, "a second hello");
		return;
	}
	if (hello->protocol != DPVSHA__CONSTANT__CONSTANT_PROTOCOL) {
		error_set(&error, "protocol", "use the tools that came with this dpvsd",
			  "the client speaks control protocol %u, dpvsd speaks %d", hello->protocol,
			  DPVSHA__CONSTANT__CONSTANT_PROTOCOL);
		reply_error(side, client, id, &error, 0, true);
		return;
	}
	for (i = 0; i < hello->n_watch; i++) {
		if (hello->watch[i] != DPVSHA__TABLE__TABLE_ADDRESSES) {
			refuse(side, client, id, "a table whose changes are not told");
			return;
		}
		client->watches_addresses = true;
	}
	client->greeted = true;
	client->unfinished_ms = 0;
	for (i = 0; i < sizeof(client->name) - 1 && hello->client[i]; i++)
		client->name[i] = hello->client[i] > ' ' && hello->client[i] <= '~' ? hello->client[i] : '?';
	client->name[i] = 0;
}

static void serve_batch(struct server_side *side, struct client *client, uint64_t id,
			const Dpvsha__Batch *batch)
{
	Dpvsha__Applied applied = DPVSHA__APPLIED__INIT;
	Dpvsha__Reply message = DPVSHA__REPLY__INIT;
	struct error error = {.code = "invalid"};
	uint32_t failed;

	if (model_apply(side->model, batch->operations, batch->n_operations, batch->dry_run, &error,
			&failed) < 0) {
		reply_error(side, client, id, &error, failed, false);
		return;
	}
	side->applied = true;
	applied.operations = (uint32_t)batch->n_operations;
	applied.generation = side->model->generation;
	message.id = id;
	message.body_case = DPVSHA__REPLY__BODY_APPLIED;
	message.applied = &applied;
	reply(client, &message);
}

void request_serve(struct server_side *side, struct client *client, const uint8_t *bytes, size_t length)
{
	Dpvsha__Request *request;
	struct error error;

	arena_reset(&side->arena);
	request = dpvsha__request__unpack(&side->arena.allocator, length, bytes);
	if (!request) {
		refuse(side, client, 0, "a message that is no request, or unfolds into too much");
		return;
	}
	if (request->id == 0) {
		refuse(side, client, 0, "a request without an id");
		return;
	}
	if (!client->greeted && request->body_case != DPVSHA__REQUEST__BODY_HELLO) {
		refuse(side, client, request->id, "the first request must be a hello");
		return;
	}
	switch (request->body_case) {
	case DPVSHA__REQUEST__BODY_HELLO:
		serve_hello(side, client, request->id, request->hello);
		break;
	case DPVSHA__REQUEST__BODY_APPLY:
		serve_batch(side, client, request->id, request->apply);
		break;
	case DPVSHA__REQUEST__BODY_GET:
		if (stream_begin(&client->stream, side->model, request->get, &error) < 0) {
			reply_error(side, client, request->id, &error, 0, false);
			break;
		}
		client->streaming = true;
		client->request = request->id;
		break;
	case DPVSHA__REQUEST__BODY__NOT_SET:
	default:
		refuse(side, client, request->id, "a request without a body that this version knows");
	}
}

void request_continue(struct server_side *side, struct client *client)
{
	Dpvsha__Reply message = DPVSHA__REPLY__INIT;
	struct rows rows = {.arena = &side->arena, .model = side->model};
	Dpvsha__Rows body = DPVSHA__ROWS__INIT;
	struct error error;

	arena_reset(&side->arena);
	stream_next(&client->stream, &rows);
	if (rows.failed) {
		error_memory(&error);
		reply_error(side, client, client->request, &error, 0, false);
		client->streaming = false;
		return;
	}
	message.id = client->request;
	if (rows.count > 0) {
		body.rows = rows.row;
		body.n_rows = rows.count;
		message.body_case = DPVSHA__REPLY__BODY_ROWS;
		message.rows = &body;
		reply(client, &message);
	}
	if (client->stream.done) {
		Dpvsha__Done done = DPVSHA__DONE__INIT;

		done.rows = client->stream.rows;
		message.body_case = DPVSHA__REPLY__BODY_DONE;
		message.done = &done;
		reply(client, &message);
		client->streaming = false;
	}
}
