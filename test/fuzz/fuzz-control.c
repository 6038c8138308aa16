/* Bytes from a client of the control socket: nothing may crash, leak into another state, or run without end.
 *
 * The input is what one connection sends after its hello: messages, each behind its length in 2 bytes, little
 * endian (4 in the real contract, which the fuzzer would have to learn first). Every answer is packed and
 * thrown away, every Get is streamed to its end. After each message the workers' view is compared with the
 * model, and a batch that was refused must have left the tables as they were. */
#include <stdio.h>
#include <stdlib.h>

#include "../unit/dpvsd/native/control.h"

#include "control/client.h"

#define REQUIRE(condition)                                                                                   \
	do {                                                                                                 \
		if (!(condition)) {                                                                          \
			fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition);                      \
			abort();                                                                             \
		}                                                                                            \
	} while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct fake *fake;
static struct model model;
static struct server_side side;

static void begin(void)
{
	fake = fake_new();
	REQUIRE(model_init(&model, &fake->director, fake->stack, &fake->host) == 0);
	side = (struct server_side){.model = &model, .version = "fuzz", .boot_id = "0"};
	arena_init(&side.arena, 8 << 20);
}

/* What is configured is what the workers find, and nothing else. */
static void check_consistency(void)
{
	uint32_t services = 0, servers = 0;

	for (uint32_t i = 0; i < model.services.used; i++) {
		const struct model_service *service = model.services.places[i].item;

		if (!service)
			continue;
		services++;
		REQUIRE(service->item.live && service->item.published && !service->item.touched);
		REQUIRE(service_table_get(fake->director.services, &service->shared->key) == service->shared);
		REQUIRE(service->shared->schedule &&
			service->shared->schedule->count == service->servers.count);
		for (uint32_t s = 0; s < service->shared->schedule->count; s++) {
			const struct server *server = service->shared->schedule->servers[s];

			REQUIRE(fake->director.servers[server->index] == server);
			REQUIRE(!(server->flags & SERVER_REMOVED));
			REQUIRE(server->service == service->shared->index);
			servers++;
		}
	}
	REQUIRE(services == model.services.count);
	REQUIRE(servers == model.all_servers.count);
	REQUIRE(model.batch.touched == NULL && model.batch.touched_locals == NULL &&
		model.batch.dirty_nat == NULL);
}

static void serve(struct client *client, const uint8_t *message, size_t length)
{
	static struct text before, after;
	uint64_t generation = model.generation;
	Dpvsha__Request *request = dpvsha__request__unpack(NULL, length, message);
	bool batch = request && request->body_case == DPVSHA__REQUEST__BODY_APPLY;

	if (batch)
		dump_all(&model, &before);
	request_serve(&side, client, message, length);
	if (batch && model.generation == generation) {
		dump_all(&model, &after);
		if (strcmp(before.bytes, after.bytes) != 0)
			fprintf(stderr, "--- before\n%s--- after\n%s", before.bytes, after.bytes);
		REQUIRE(strcmp(before.bytes, after.bytes) == 0);
	}
	if (request)
		dpvsha__request__free_unpacked(request, NULL);
	for (uint32_t pieces = 0; client->streaming; pieces++) {
		REQUIRE(pieces < 10000);
		request_continue(&side, client);
		buffer_take(&client->out, buffer_used(&client->out));
	}
	buffer_take(&client->out, buffer_used(&client->out));
	check_consistency();
}

static bool network_is_empty(void)
{
	struct address address;
	struct route route;
	uint64_t cursor = 0, other = 0;

	return net_addresses_list(fake->stack, &cursor, &address, 1) == 0 &&
	       net_routes_list(fake->stack, &other, &route, 1) == 0;
}

/* Takes everything away, so that an input finds what the one before it found; nothing may be left. */
static void clean_up(void)
{
	static const int what[] = {DPVSHA__FLUSH__WHAT__SERVICES, DPVSHA__FLUSH__WHAT__ROUTES,
				   DPVSHA__FLUSH__WHAT__NEIGHBOURS, DPVSHA__FLUSH__WHAT__ADDRESSES,
				   DPVSHA__FLUSH__WHAT__FLOWS};
	static struct ops ops;
	struct error error;
	uint32_t failed;

	ops_clear(&ops);
	for (size_t i = 0; i < RTE_DIM(what); i++)
		op_flush(&ops, what[i], NULL, "");
	/* Local addresses first have to be let go of, then their addresses can be flushed. */
	for (int round = 0; round < 2; round++) {
		REQUIRE(model_apply(&model, ops.list, ops.count, false, &error, &failed) == 0);
		model.now_ms += 300;
		model_tick(&model, model.now_ms);
		model_tick(&model, model.now_ms + 300);
	}
	REQUIRE(model.services.count == 0 && model.all_servers.count == 0 && model.lingering.count == 0);
	REQUIRE(model.locals.count == 0 && model.nat_by_endpoint.count == 0);
	REQUIRE(model.service_by_key.count == 0 && model.server_by_key.count == 0);
	REQUIRE(model.binding_by_key.count == 0 && model.entry_by_key.count == 0);
	REQUIRE(model.free_server_count == model.next_server - 1);
	REQUIRE(model.free_service_count == model.next_service);
	REQUIRE(network_is_empty());
	REQUIRE(fake->flow_count == 0);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct client client = {.fd = -1, .greeted = true};

	if (!fake)
		begin();
	while (size >= 2 && !client.leaving && !client.broken) {
		size_t length = RTE_MIN((size_t)(data[0] | data[1] << 8), size - 2);

		serve(&client, data + 2, length);
		data += 2 + length;
		size -= 2 + length;
		model.now_ms += 300;
		model_tick(&model, model.now_ms);
	}
	buffer_end(&client.in);
	buffer_end(&client.out);
	clean_up();
	return 0;
}
