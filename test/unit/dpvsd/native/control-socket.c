/* The control socket: real Unix sockets on both ends, the master's loop turned by hand, its clock ours. */
#include "control.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

static struct fake *fake;
static struct control *control;
static struct ops ops;
static char path[100];
static uint64_t now_ms;
static double longest_call;

static double cpu_ms(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static int work(void)
{
	double from = cpu_ms();
	int next = control_work(control, now_ms);

	longest_call = RTE_MAX(longest_call, cpu_ms() - from);
	return next;
}

static void begin_with(uint32_t output_bytes)
{
	struct control_options options = {
	    .path = path, .version = "1.2.3", .started = 77, .output_bytes = output_bytes};
	struct error error = {.code = ""};

	snprintf(path, sizeof(path), "/tmp/dpvsd-control-test-%d", (int)getpid());
	fake = fake_new();
	now_ms = 1000;
	longest_call = 0;
	control = control_new(&fake->director, fake->stack, &fake->host, &options);
	CHECK(control != NULL);
	if (control_listen(control, &error) < 0)
		printf("%s\n", error.text);
	CHECK(access(path, F_OK) == 0);
	ops_clear(&ops);
}

static void begin(void)
{
	begin_with(0);
}

static void end(void)
{
	control_free(control);
	fake_free(fake);
	CHECK(access(path, F_OK) != 0);
	unlink(path);
}

/* ---- a client ---- */

struct peer {
	int fd;
	struct buffer {
		uint8_t *bytes;
		size_t used, room;
	} in;
	bool closed;
};

static struct peer dial(void)
{
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	struct peer peer = {.fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK, 0)};

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK_EQ(connect(peer.fd, (struct sockaddr *)&address, sizeof(address)), 0);
	return peer;
}

static void hang_up(struct peer *peer)
{
	close(peer->fd);
	free(peer->in.bytes);
	memset(peer, 0, sizeof(*peer));
	peer->fd = -1;
}

/* All of it, turning the master's loop when the socket is full. False when the other end is gone. */
static bool send_bytes(struct peer *peer, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;

	for (int patience = 0; length > 0 && patience < 100000;) {
		ssize_t sent = send(peer->fd, at, length, MSG_NOSIGNAL);

		if (sent > 0) {
			at += sent;
			length -= (size_t)sent;
		} else if (errno != EAGAIN) {
			return false;
		} else {
			work();
			patience++;
		}
	}
	return length == 0;
}

static bool send_framed(struct peer *peer, const void *bytes, size_t length)
{
	uint32_t big_endian = htonl((uint32_t)length);

	return send_bytes(peer, &big_endian, 4) && send_bytes(peer, bytes, length);
}

static bool send_request(struct peer *peer, const Dpvsha__Request *request)
{
	size_t size = protobuf_c_message_get_packed_size(&request->base);
	uint8_t *bytes = malloc(size);
	bool sent;

	protobuf_c_message_pack(&request->base, bytes);
	sent = send_framed(peer, bytes, size);
	free(bytes);
	return sent;
}

static bool send_hello(struct peer *peer, uint32_t protocol)
{
	Dpvsha__Request request = DPVSHA__REQUEST__INIT;
	Dpvsha__Hello hello = DPVSHA__HELLO__INIT;

	hello.protocol = protocol;
	hello.client = "test";
	request.id = 1;
	request.body_case = DPVSHA__REQUEST__BODY_HELLO;
	request.hello = &hello;
	return send_request(peer, &request);
}

static bool send_get(struct peer *peer, uint64_t id, int table)
{
	Dpvsha__Request request = DPVSHA__REQUEST__INIT;
	Dpvsha__Get get = DPVSHA__GET__INIT;

	get.table = (Dpvsha__Table)table;
	request.id = id;
	request.body_case = DPVSHA__REQUEST__BODY_GET;
	request.get = &get;
	return send_request(peer, &request);
}

/* What stands in `ops`. */
static bool send_batch(struct peer *peer, uint64_t id, bool dry_run)
{
	Dpvsha__Request request = DPVSHA__REQUEST__INIT;
	Dpvsha__Batch batch = DPVSHA__BATCH__INIT;
	bool sent;

	batch.operations = ops.list;
	batch.n_operations = ops.count;
	batch.dry_run = dry_run;
	request.id = id;
	request.body_case = DPVSHA__REQUEST__BODY_APPLY;
	request.apply = &batch;
	sent = send_request(peer, &request);
	ops_clear(&ops);
	return sent;
}

static void read_some(struct peer *peer)
{
	for (;;) {
		ssize_t got;

		if (peer->in.room - peer->in.used < 65536) {
			peer->in.room = peer->in.room * 2 + 131072;
			peer->in.bytes = realloc(peer->in.bytes, peer->in.room);
		}
		got = recv(peer->fd, peer->in.bytes + peer->in.used, peer->in.room - peer->in.used, 0);
		if (got > 0)
			peer->in.used += (size_t)got;
		else if (got < 0 && errno == EAGAIN)
			return;
		else {
			peer->closed = true;
			return;
		}
	}
}

/* The next reply if a whole one is here. */
static Dpvsha__Reply *next_reply(struct peer *peer)
{
	Dpvsha__Reply *reply;
	uint32_t length;

	if (peer->in.used < 4)
		return NULL;
	memcpy(&length, peer->in.bytes, 4);
	length = ntohl(length);
	CHECK(length >= 1 && length <= CONTROL_MESSAGE_MAX);
	if (peer->in.used < 4 + (size_t)length)
		return NULL;
	reply = dpvsha__reply__unpack(NULL, length, peer->in.bytes + 4);
	CHECK(reply != NULL);
	peer->in.used -= 4 + (size_t)length;
	memmove(peer->in.bytes, peer->in.bytes + 4 + length, peer->in.used);
	return reply;
}

/* Turns the loop until a reply is here, or the connection has ended: then NULL. */
static Dpvsha__Reply *await(struct peer *peer)
{
	for (int patience = 0; patience < 20000; patience++) {
		Dpvsha__Reply *reply = next_reply(peer);

		if (reply)
			return reply;
		if (peer->closed)
			return NULL;
		work();
		read_some(peer);
	}
	CHECK(!"no reply came");
	return NULL;
}

static void await_error(struct peer *peer, uint64_t id, const char *code)
{
	Dpvsha__Reply *reply = await(peer);

	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_ERROR);
	if (!reply || reply->body_case != DPVSHA__REPLY__BODY_ERROR)
		return;
	CHECK_EQ(reply->id, id);
	if (strcmp(reply->error->code, code) != 0)
		printf("%s: %s\n", reply->error->code, reply->error->text);
	CHECK(strcmp(reply->error->code, code) == 0);
	CHECK(reply->error->text[0] != 0);
	dpvsha__reply__free_unpacked(reply, NULL);
}

static void await_end(struct peer *peer)
{
	CHECK(await(peer) == NULL);
	CHECK(peer->closed);
}

/* Rows of one Get, up to its Done. */
static uint32_t await_rows(struct peer *peer, uint64_t id)
{
	uint32_t rows = 0;

	for (;;) {
		Dpvsha__Reply *reply = await(peer);
		bool done;

		CHECK(reply != NULL);
		if (!reply)
			return 0;
		CHECK_EQ(reply->id, id);
		done = reply->body_case == DPVSHA__REPLY__BODY_DONE;
		if (done)
			CHECK_EQ(reply->done->rows, rows);
		else if (reply->body_case == DPVSHA__REPLY__BODY_ROWS)
			rows += (uint32_t)reply->rows->n_rows;
		else
			CHECK(!"neither rows nor done");
		done |= reply->body_case == DPVSHA__REPLY__BODY_ERROR;
		dpvsha__reply__free_unpacked(reply, NULL);
		if (done)
			return rows;
	}
}

static struct peer introduced(void)
{
	struct peer peer = dial();
	Dpvsha__Reply *reply = await(&peer);

	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_GREETING);
	if (reply)
		dpvsha__reply__free_unpacked(reply, NULL);
	CHECK(send_hello(&peer, DPVSHA__CONSTANT__CONSTANT_PROTOCOL));
	return peer;
}

static void check_alive(void)
{
	struct peer peer = introduced();

	send_get(&peer, 5, DPVSHA__TABLE__TABLE_TIMEOUTS);
	CHECK_EQ(await_rows(&peer, 5), 1);
	hang_up(&peer);
	work();
}

static void load_services(uint32_t count)
{
	struct error error;
	uint32_t failed;
	char address[32];

	for (uint32_t s = 0; s < count; s++) {
		snprintf(address, sizeof(address), "10.%u.%u.1", s / 250, s % 250);
		Dpvsha__ServiceKey *key = key_of(&ops, PROTO_TCP, address, 80);

		op_service(&ops, VERB_ADD, key, "wrr");
		for (uint32_t r = 0; r < 10; r++) {
			snprintf(address, sizeof(address), "172.16.%u.%u", s % 250, r + 1);
			op_server(&ops, VERB_ADD, key, address, 80, FORWARD_DR, 1);
		}
	}
	CHECK_EQ(model_apply(control_model(control), ops.list, ops.count, false, &error, &failed), 0);
	ops_clear(&ops);
}

/* ---- cases ---- */

static void greets_and_answers_in_order(void)
{
	struct peer peer;
	Dpvsha__Reply *reply;

	begin();
	peer = dial();
	reply = await(&peer);
	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_GREETING);
	CHECK_EQ(reply->id, 0);
	CHECK_EQ(reply->greeting->protocol, DPVSHA__CONSTANT__CONSTANT_PROTOCOL);
	CHECK(strcmp(reply->greeting->version, "1.2.3") == 0);
	CHECK_EQ(strlen(reply->greeting->boot_id), 32);
	CHECK_EQ(reply->greeting->pid, getpid());
	CHECK_EQ(reply->greeting->started, 77);
	CHECK_EQ(reply->greeting->workers, WORKERS);
	CHECK_EQ(reply->greeting->n_ports, 2);
	CHECK(strcmp(reply->greeting->ports[1], "dpdk1") == 0);
	dpvsha__reply__free_unpacked(reply, NULL);
	/* Hello and requests all at once. */
	send_hello(&peer, DPVSHA__CONSTANT__CONSTANT_PROTOCOL);
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "rr");
	op_server(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "10.8.0.1", 80, FORWARD_DR, 1);
	send_batch(&peer, 10, false);
	send_get(&peer, 11, DPVSHA__TABLE__TABLE_SERVICES);
	op_service(&ops, VERB_DELETE, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "");
	op_service(&ops, VERB_DELETE, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "");
	send_batch(&peer, 12, false);
	op_service(&ops, VERB_DELETE, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "");
	send_batch(&peer, 13, true);
	send_get(&peer, 14, DPVSHA__TABLE__TABLE_SERVICES);
	reply = await(&peer);
	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_APPLIED);
	CHECK_EQ(reply->id, 10);
	CHECK_EQ(reply->applied->operations, 2);
	CHECK_EQ(reply->applied->generation, 1);
	dpvsha__reply__free_unpacked(reply, NULL);
	CHECK_EQ(await_rows(&peer, 11), 2);
	reply = await(&peer);
	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_ERROR);
	CHECK_EQ(reply->id, 12);
	CHECK_EQ(reply->error->operation, 1);
	CHECK(strcmp(reply->error->code, "not-found") == 0);
	dpvsha__reply__free_unpacked(reply, NULL);
	reply = await(&peer);
	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_APPLIED);
	CHECK_EQ(reply->id, 13);
	CHECK_EQ(reply->applied->generation, 1);
	dpvsha__reply__free_unpacked(reply, NULL);
	CHECK_EQ(await_rows(&peer, 14), 2);
	/* A request that cannot be is no reason to part. */
	send_get(&peer, 15, 999);
	await_error(&peer, 15, "invalid");
	send_get(&peer, 16, DPVSHA__TABLE__TABLE_LINKS);
	CHECK_EQ(await_rows(&peer, 16), 2);
	hang_up(&peer);
	end();
}

static void refuses_who_does_not_introduce_himself(void)
{
	struct peer peer;
	Dpvsha__Reply *reply;

	begin();
	peer = dial();
	reply = await(&peer);
	dpvsha__reply__free_unpacked(reply, NULL);
	send_hello(&peer, DPVSHA__CONSTANT__CONSTANT_PROTOCOL + 1);
	await_error(&peer, 1, "protocol");
	await_end(&peer);
	hang_up(&peer);
	peer = dial();
	reply = await(&peer);
	dpvsha__reply__free_unpacked(reply, NULL);
	send_get(&peer, 3, 0);
	await_error(&peer, 3, "protocol");
	await_end(&peer);
	hang_up(&peer);
	peer = introduced();
	send_hello(&peer, DPVSHA__CONSTANT__CONSTANT_PROTOCOL);
	await_error(&peer, 1, "protocol");
	await_end(&peer);
	hang_up(&peer);
	/* A request with number 0, one without a body. */
	peer = introduced();
	send_get(&peer, 0, 0);
	await_error(&peer, 0, "protocol");
	await_end(&peer);
	hang_up(&peer);
	peer = introduced();
	send_framed(&peer, (const uint8_t[]){8, 9}, 2);
	await_error(&peer, 9, "protocol");
	await_end(&peer);
	hang_up(&peer);
	check_alive();
	end();
}

static void noise_changes_nothing(void)
{
	uint8_t noise[2000];

	begin();
	load_services(20);
	uint64_t generation = control_model(control)->generation;

	for (int round = 0; round < 600; round++) {
		struct peer peer = round % 2 ? introduced() : dial();
		size_t length = 1 + check_random() % sizeof(noise);

		for (size_t i = 0; i < length; i++)
			noise[i] = (uint8_t)check_random();
		switch (round % 5) {
		case 0: /* a length that is not allowed */
			send_bytes(&peer, (const uint8_t[]){0, 0, 0, 0}, 4);
			break;
		case 1:
			send_bytes(&peer, (const uint8_t[]){0, 0x40, 0, 1}, 4);
			break;
		case 2:
			send_framed(&peer, noise, length);
			break;
		case 3:
			send_bytes(&peer, noise, length);
			break;
		case 4: /* half of a message */
			send_bytes(&peer, (const uint8_t[]){0, 0, 0xff, 0}, 4);
			send_bytes(&peer, noise, length);
			break;
		}
		if (round % 3)
			for (int i = 0; i < 5; i++)
				work();
		hang_up(&peer);
		work();
	}
	CHECK_EQ(control_model(control)->generation, generation);
	CHECK_EQ(control_model(control)->services.count, 20);
	check_alive();
	end();
}

/* A message that is small and unfolds into much. */
static void a_bomb_is_defused(void)
{
	size_t count = (CONTROL_MESSAGE_MAX - 32) / 2, body = 2 * count;
	uint8_t *bomb = malloc(CONTROL_MESSAGE_MAX);
	struct peer peer;
	size_t at = 0;

	begin();
	/* Request{id=9, apply=Batch{operations = two million empty ones}} */
	bomb[at++] = 8;
	bomb[at++] = 9;
	bomb[at++] = 3 << 3 | 2;
	for (size_t rest = body;; rest >>= 7) {
		bomb[at++] = (uint8_t)(rest & 0x7f) | (rest >= 0x80 ? 0x80 : 0);
		if (rest < 0x80)
			break;
	}
	for (size_t i = 0; i < count; i++) {
		bomb[at++] = 1 << 3 | 2;
		bomb[at++] = 0;
	}
	peer = introduced();
	CHECK(send_framed(&peer, bomb, at));
	Dpvsha__Reply *reply = await(&peer);

	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_ERROR);
	dpvsha__reply__free_unpacked(reply, NULL);
	hang_up(&peer);
	check_alive();
	free(bomb);
	end();
}

static void half_messages_and_silence_time_out(void)
{
	struct peer silent, half, idle;
	Dpvsha__Reply *reply;

	begin();
	idle = introduced();
	send_get(&idle, 2, DPVSHA__TABLE__TABLE_TIMEOUTS);
	CHECK_EQ(await_rows(&idle, 2), 1);
	silent = dial();
	reply = await(&silent);
	dpvsha__reply__free_unpacked(reply, NULL);
	half = introduced();
	send_bytes(&half, (const uint8_t[]){0, 0, 1, 0, 1, 2, 3}, 7);
	work();
	work();
	now_ms += 9000;
	work();
	read_some(&half);
	read_some(&silent);
	CHECK(!half.closed && half.in.used == 0 && !silent.closed);
	now_ms += 2000;
	await_error(&half, 0, "protocol");
	await_end(&half);
	await_error(&silent, 0, "protocol");
	await_end(&silent);
	/* Who asks for nothing may stay. */
	now_ms += 3600 * 1000;
	for (int i = 0; i < 5; i++) {
		work();
		now_ms += 300;
	}
	send_get(&idle, 3, DPVSHA__TABLE__TABLE_TIMEOUTS);
	CHECK_EQ(await_rows(&idle, 3), 1);
	hang_up(&idle);
	hang_up(&half);
	hang_up(&silent);
	end();
}

/* Bytes that dpvsd has put into the socket or keeps for a client. */
static void a_client_that_does_not_read_stalls_nobody(void)
{
	struct peer slow, other;

	begin();
	load_services(2000);
	slow = introduced();
	for (uint64_t id = 100; id < 120; id++)
		send_get(&slow, id, DPVSHA__TABLE__TABLE_SERVICES);
	for (int i = 0; i < 50; i++)
		work();
	other = introduced();
	for (uint64_t id = 2; id < 12; id++) {
		send_get(&other, id, DPVSHA__TABLE__TABLE_TIMEOUTS);
		CHECK_EQ(await_rows(&other, id), 1);
	}
	/* It comes back in time: nothing is lost, everything in order. */
	now_ms += 50 * 1000;
	work();
	for (uint64_t id = 100; id < 120; id++)
		CHECK_EQ(await_rows(&slow, id), 22000);
	/* And then it does not. */
	send_get(&slow, 200, DPVSHA__TABLE__TABLE_SERVICES);
	for (int i = 0; i < 50; i++)
		work();
	now_ms += 59 * 1000;
	work();
	CHECK(control_work(control, now_ms) >= 0);
	now_ms += 2000;
	for (int i = 0; i < 3; i++)
		work();
	/* What it had is still there to be read, then comes the end. */
	uint32_t replies = 0;
	Dpvsha__Reply *reply;

	while ((reply = await(&slow))) {
		replies++;
		CHECK(reply->body_case != DPVSHA__REPLY__BODY_DONE);
		dpvsha__reply__free_unpacked(reply, NULL);
	}
	CHECK(slow.closed);
	CHECK(replies > 0 && replies < 100);
	send_get(&other, 50, DPVSHA__TABLE__TABLE_TIMEOUTS);
	CHECK_EQ(await_rows(&other, 50), 1);
	printf("longest call of the master: %.1f ms of CPU\n", longest_call);
	hang_up(&slow);
	hang_up(&other);
	end();
}

/* A client that reads as fast as is written: its full output is gone in one turn. */
static void goes_on_when_all_that_waited_is_read_at_once(void)
{
	struct peer peer;

	begin_with(4096);
	load_services(2000);
	peer = introduced();
	send_get(&peer, 2, DPVSHA__TABLE__TABLE_SERVICES);
	send_get(&peer, 3, DPVSHA__TABLE__TABLE_TIMEOUTS);
	for (int i = 0; i < 50; i++)
		work();
	CHECK_EQ(await_rows(&peer, 2), 22000);
	CHECK_EQ(await_rows(&peer, 3), 1);
	hang_up(&peer);
	end();
}

static void a_hundred_clients_are_served_alike(void)
{
	enum { CLIENTS = 100 };
	static struct peer peers[CLIENTS];
	static uint32_t rows[CLIENTS];
	static bool done[CLIENTS];
	uint32_t left = CLIENTS, least_when_first_ended = UINT32_MAX;
	char address[32];

	begin();
	load_services(300);
	for (int i = 0; i < CLIENTS; i++) {
		peers[i] = introduced();
		rows[i] = 0;
		done[i] = false;
	}
	longest_call = 0;
	for (int i = 0; i < CLIENTS; i++) {
		snprintf(address, sizeof(address), "10.200.0.%d", i + 1);
		op_service(&ops, VERB_ADD, key_of(&ops, PROTO_UDP, address, 53), "rr");
		send_batch(&peers[i], 7, false);
		send_get(&peers[i], 8, DPVSHA__TABLE__TABLE_SERVICES);
	}
	for (int patience = 0; left > 0 && patience < 100000; patience++) {
		work();
		for (int i = 0; i < CLIENTS; i++) {
			Dpvsha__Reply *reply;

			if (done[i])
				continue;
			read_some(&peers[i]);
			while ((reply = next_reply(&peers[i]))) {
				if (reply->body_case == DPVSHA__REPLY__BODY_ROWS) {
					CHECK_EQ(reply->id, 8);
					rows[i] += (uint32_t)reply->rows->n_rows;
				} else if (reply->body_case == DPVSHA__REPLY__BODY_DONE) {
					done[i] = true;
					left--;
				} else {
					CHECK(reply->body_case == DPVSHA__REPLY__BODY_APPLIED);
				}
				dpvsha__reply__free_unpacked(reply, NULL);
			}
			CHECK(!peers[i].closed);
		}
		if (left < CLIENTS && least_when_first_ended == UINT32_MAX)
			for (int i = 0; i < CLIENTS; i++)
				least_when_first_ended = RTE_MIN(least_when_first_ended, rows[i]);
	}
	CHECK_EQ(left, 0);
	for (int i = 0; i < CLIENTS; i++)
		CHECK(rows[i] >= 3300 && rows[i] <= 3300 + CLIENTS);
	/* When the first had all, nobody was far behind. */
	CHECK(least_when_first_ended > 1000);
	printf("when the first of %d had its 3300 rows, the last had %u; longest call %.1f ms of CPU\n",
	       CLIENTS, least_when_first_ended, longest_call);
	for (int i = 0; i < CLIENTS; i++)
		hang_up(&peers[i]);
	end();
}

static void no_more_clients_than_there_is_room_for(void)
{
	static struct peer peers[CONTROL_CLIENTS_MAX];
	struct peer late;

	begin();
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		peers[i] = introduced();
	late = dial();
	await_error(&late, 0, "busy");
	await_end(&late);
	hang_up(&late);
	hang_up(&peers[7]);
	for (int i = 0; i < 5; i++)
		work();
	peers[7] = introduced();
	send_get(&peers[7], 5, DPVSHA__TABLE__TABLE_TIMEOUTS);
	CHECK_EQ(await_rows(&peers[7], 5), 1);
	for (int i = 0; i < CONTROL_CLIENTS_MAX; i++)
		hang_up(&peers[i]);
	for (int i = 0; i < 10; i++)
		work();
	check_alive();
	end();
}

/* A client that shuts its sending side still gets its answers; one that leaves is forgotten. */
static void goodbyes(void)
{
	struct peer peer;

	begin();
	load_services(500);
	peer = introduced();
	send_get(&peer, 5, DPVSHA__TABLE__TABLE_SERVICES);
	shutdown(peer.fd, SHUT_WR);
	CHECK_EQ(await_rows(&peer, 5), 5500);
	await_end(&peer);
	hang_up(&peer);
	peer = introduced();
	send_get(&peer, 5, DPVSHA__TABLE__TABLE_SERVICES);
	work();
	hang_up(&peer);
	for (int i = 0; i < 50; i++)
		work();
	/* Sent and gone at once: it is done all the same. */
	peer = introduced();
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_UDP, "10.200.0.1", 53), "rr");
	send_batch(&peer, 6, false);
	hang_up(&peer);
	for (int i = 0; i < 10; i++)
		work();
	CHECK_EQ(control_model(control)->services.count, 501);
	check_alive();
	end();
}

static void the_socket_file(void)
{
	struct control_options options = {.path = path, .version = "1"};
	struct control *second;
	struct error error;
	struct stat status;

	begin();
	CHECK_EQ(stat(path, &status), 0);
	CHECK_EQ(status.st_mode & 0777, 0660);
	/* Another one does not take a socket that is served. */
	second = control_new(&fake->director, fake->stack, &fake->host, &options);
	CHECK_EQ(control_listen(second, &error), -1);
	CHECK(strcmp(error.code, "busy") == 0);
	CHECK(strstr(error.text, "another dpvsd answers on") != NULL);
	CHECK(strcmp(control_boot_id(second), control_boot_id(control)) != 0);
	control_free(second);
	check_alive();
	end();

	/* What a killed process leaves behind is replaced. */
	struct sockaddr_un address = {.sun_family = AF_UNIX};
	int fd = socket(AF_UNIX, SOCK_STREAM, 0);

	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	CHECK_EQ(bind(fd, (struct sockaddr *)&address, sizeof(address)), 0);
	CHECK_EQ(listen(fd, 1), 0);
	close(fd);
	begin();
	check_alive();
	/* When somebody else has taken the place meanwhile, it is his. */
	unlink(path);
	fd = open(path, O_CREAT | O_WRONLY, 0600);
	close(fd);
	control_free(control);
	fake_free(fake);
	CHECK_EQ(access(path, F_OK), 0);
	/* A file is no socket. */
	fake = fake_new();
	control = control_new(&fake->director, fake->stack, &fake->host, &options);
	CHECK_EQ(control_listen(control, &error), -1);
	CHECK(strcmp(error.code, "invalid") == 0);
	unlink(path);
	end();
	/* A folder that is not there. */
	options.path = "/nowhere/at/all";
	fake = fake_new();
	control = control_new(&fake->director, fake->stack, &fake->host, &options);
	CHECK_EQ(control_listen(control, &error), -1);
	CHECK(error.hint[0] != 0);
	end();
}

static void a_batch_of_four_megabytes(void)
{
	struct peer peer;
	Dpvsha__Reply *reply;
	char address[32];
	uint32_t servers = 0;

	begin();
	peer = introduced();
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "wrr");
	for (; servers < 60000; servers++) {
		snprintf(address, sizeof(address), "172.%u.%u.%u", 16 + servers / 62500, servers / 250 % 250,
			 servers % 250 + 1);
		op_server(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), address,
			  8000 + servers / 10000, FORWARD_FULLNAT, 1 + servers % 7);
	}
	CHECK(send_batch(&peer, 4, false));
	reply = await(&peer);
	CHECK(reply && reply->body_case == DPVSHA__REPLY__BODY_APPLIED);
	CHECK_EQ(reply->applied->operations, 60001);
	dpvsha__reply__free_unpacked(reply, NULL);
	send_get(&peer, 5, DPVSHA__TABLE__TABLE_SERVICES);
	CHECK_EQ(await_rows(&peer, 5), 60001);
	hang_up(&peer);
	end();
}

static bool watch_hello(struct peer *peer, int table)
{
	Dpvsha__Request request = DPVSHA__REQUEST__INIT;
	Dpvsha__Hello hello = DPVSHA__HELLO__INIT;
	Dpvsha__Table watched = (Dpvsha__Table)table;

	hello.protocol = DPVSHA__CONSTANT__CONSTANT_PROTOCOL;
	hello.client = "watcher";
	hello.watch = &watched;
	hello.n_watch = 1;
	request.id = 1;
	request.body_case = DPVSHA__REQUEST__BODY_HELLO;
	request.hello = &hello;
	return send_request(peer, &request);
}

/* The number of Changed that are here, and nothing else is. */
static uint32_t changes_told(struct peer *peer)
{
	Dpvsha__Reply *reply;
	uint32_t count = 0;

	for (int i = 0; i < 10; i++) {
		work();
		read_some(peer);
	}
	while ((reply = next_reply(peer))) {
		CHECK_EQ(reply->id, 0);
		CHECK_EQ(reply->body_case, DPVSHA__REPLY__BODY_CHANGED);
		if (reply->body_case == DPVSHA__REPLY__BODY_CHANGED)
			CHECK_EQ(reply->changed->table, DPVSHA__TABLE__TABLE_ADDRESSES);
		count++;
		dpvsha__reply__free_unpacked(reply, NULL);
	}
	return count;
}

static void await_applied(struct peer *peer, uint64_t id)
{
	Dpvsha__Reply *reply = await(peer);

	CHECK(reply && reply->id == id && reply->body_case == DPVSHA__REPLY__BODY_APPLIED);
	if (reply)
		dpvsha__reply__free_unpacked(reply, NULL);
}

static void changes_are_told_to_who_watches(void)
{
	struct peer changer, watcher, wrong;
	Dpvsha__Reply *reply;

	begin();
	changer = introduced();
	watcher = dial();
	reply = await(&watcher);
	CHECK(reply != NULL);
	dpvsha__reply__free_unpacked(reply, NULL);
	CHECK(watch_hello(&watcher, DPVSHA__TABLE__TABLE_ADDRESSES));
	CHECK_EQ(changes_told(&watcher), 0);
	/* Several that come together are one. */
	op_address(&ops, VERB_ADD, "10.3.0.1", 24, "dpdk0");
	op_address(&ops, VERB_ADD, "2001:db8:3::1", 64, "dpdk1");
	send_batch(&changer, 2, false);
	await_applied(&changer, 2);
	CHECK_EQ(changes_told(&watcher), 1);
	CHECK_EQ(changes_told(&watcher), 0);
	/* What is no address is not told, nor is an address that only changed. */
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.1", 80), "wrr");
	op_address(&ops, VERB_PUT, "10.3.0.1", 16, "dpdk0");
	send_batch(&changer, 3, false);
	await_applied(&changer, 3);
	CHECK_EQ(changes_told(&watcher), 0);
	op_address(&ops, VERB_DELETE, "10.3.0.1", 0, "dpdk0");
	send_batch(&changer, 4, false);
	await_applied(&changer, 4);
	CHECK_EQ(changes_told(&watcher), 1);
	/* One that ends by itself. */
	op_address(&ops, VERB_ADD, "10.3.0.7", 24, "dpdk0")->valid_lifetime = 5;
	send_batch(&changer, 5, false);
	await_applied(&changer, 5);
	CHECK_EQ(changes_told(&watcher), 1);
	now_ms += 6000;
	net_tick(fake->stack, now_ms);
	CHECK_EQ(changes_told(&watcher), 1);
	CHECK_EQ(changes_told(&changer), 0);
	/* It is told between answers, and disturbs none. */
	op_address(&ops, VERB_ADD, "10.3.0.9", 24, "dpdk0");
	send_batch(&changer, 6, false);
	await_applied(&changer, 6);
	CHECK_EQ(changes_told(&watcher), 1);
	send_get(&watcher, 9, DPVSHA__TABLE__TABLE_ADDRESSES);
	CHECK_EQ(await_rows(&watcher, 9), 2);
	/* Nothing else can be watched. */
	wrong = dial();
	reply = await(&wrong);
	CHECK(reply != NULL);
	dpvsha__reply__free_unpacked(reply, NULL);
	CHECK(watch_hello(&wrong, DPVSHA__TABLE__TABLE_SERVICES));
	await_error(&wrong, 1, "protocol");
	hang_up(&wrong);
	hang_up(&watcher);
	hang_up(&changer);
	work();
	end();
}

int main(void)
{
	RUN(changes_are_told_to_who_watches);
	RUN(greets_and_answers_in_order);
	RUN(refuses_who_does_not_introduce_himself);
	RUN(noise_changes_nothing);
	RUN(a_bomb_is_defused);
	RUN(half_messages_and_silence_time_out);
	RUN(a_client_that_does_not_read_stalls_nobody);
	RUN(goes_on_when_all_that_waited_is_read_at_once);
	RUN(a_hundred_clients_are_served_alike);
	RUN(no_more_clients_than_there_is_room_for);
	RUN(goodbyes);
	RUN(the_socket_file);
	RUN(a_batch_of_four_megabytes);
	ops_end(&ops);
	return check_end();
}
