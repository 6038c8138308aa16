/* The control socket: clients in turns. A turn is one read, one request or one piece of a table, so that a
 * hundred clients are served alike, and each call ends after a few milliseconds, whatever there is to do. A
 * client that does not read is not written for: at most `output_bytes` wait for it, and its requests wait
 * behind them. */
#include "control.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/epoll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "client.h"
#include "listener.h"

enum {
	READ_A_TURN = 256 * 1024,
	ACCEPTS_A_CALL = 32,
	EVENTS_A_CALL = 64,
	CHECK_MS = 250, /* how often time limits are looked at */
	ACCEPT_PAUSE_MS = 1000, /* when there are no more file descriptors */
	UNFOLDED_MAX = 128 * 1024 * 1024,
	INPUT_MAX = 64 * 1024 * 1024, /* of all clients together */
};

struct control {
	struct model model;
	struct server_side side;
	struct control_options options;
	char version[64];
	char path[108];
	char boot_id[33];
	int epoll;
	struct listener listener;
	bool listening; /* watched */
	uint64_t accept_again_ms;
	struct client_list_head clients, ready;
	uint32_t client_count;
	size_t input_bytes;
	uint64_t address_changes; /* of which those know who watch */
	uint64_t check_ms;
	uint64_t now_ms;
};

static uint64_t clock_us(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

struct control *control_new(struct director *director, struct net_master *net,
			    const struct control_host *host, const struct control_options *options)
{
	struct control *control = calloc(1, sizeof(*control));
	uint8_t random[16];

	if (!control)
		return NULL;
	TAILQ_INIT(&control->clients);
	TAILQ_INIT(&control->ready);
	control->listener.fd = -1;
	control->options = *options;
	if (control->options.stalled_client_ms == 0)
		control->options.stalled_client_ms = 60 * 1000;
	if (control->options.half_message_ms == 0)
		control->options.half_message_ms = 10 * 1000;
	if (control->options.output_bytes == 0)
		control->options.output_bytes = 256 * 1024;
	snprintf(control->version, sizeof(control->version), "%s", options->version ? options->version : "");
	snprintf(control->path, sizeof(control->path), "%s", options->path ? options->path : "");
	if (getrandom(random, sizeof(random), 0) != (ssize_t)sizeof(random))
		memset(random, 0, sizeof(random));
	for (size_t i = 0; i < sizeof(random); i++)
		snprintf(control->boot_id + 2 * i, 3, "%02x", random[i]);
	control->side = (struct server_side){.model = &control->model,
					     .version = control->version,
					     .boot_id = control->boot_id,
					     .started = options->started};
	arena_init(&control->side.arena, UNFOLDED_MAX);
	control->epoll = epoll_create1(EPOLL_CLOEXEC);
	if (control->epoll < 0 || model_init(&control->model, director, net, host) < 0) {
		control_free(control);
		return NULL;
	}
	return control;
}

struct model *control_model(struct control *control)
{
	return &control->model;
}

const char *control_boot_id(const struct control *control)
{
	return control->boot_id;
}

int control_fd(const struct control *control)
{
	return control->epoll;
}

static void watch_listener(struct control *control, bool watch)
{
	struct epoll_event event = {.events = EPOLLIN, .data = {.ptr = NULL}};

	if (control->listening == watch)
		return;
	control->listening = watch;
	epoll_ctl(control->epoll, watch ? EPOLL_CTL_ADD : EPOLL_CTL_DEL, control->listener.fd, &event);
}

int control_listen(struct control *control, struct error *error)
{
	if (listener_open(&control->listener, control->path, error) < 0)
		return -1;
	watch_listener(control, true);
	return 0;
}

/* ---- clients ---- */

static void make_ready(struct control *control, struct client *client)
{
	if (client->is_ready)
		return;
	client->is_ready = true;
	TAILQ_INSERT_TAIL(&control->ready, client, ready);
}

static void drop(struct control *control, struct client *client)
{
	if (client->is_ready)
		TAILQ_REMOVE(&control->ready, client, ready);
	TAILQ_REMOVE(&control->clients, client, all);
	control->client_count--;
	control->input_bytes -= client->in.room;
	close(client->fd);
	buffer_end(&client->in);
	buffer_end(&client->out);
	free(client);
}

void control_free(struct control *control)
{
	struct client *client;

	while ((client = TAILQ_FIRST(&control->clients)))
		drop(control, client);
	listener_close(&control->listener);
	if (control->epoll >= 0)
		close(control->epoll);
	model_end(&control->model);
	arena_end(&control->side.arena);
	free(control);
}

static void say(struct control *control, int priority, const char *text)
{
	if (control->model.host.log)
		control->model.host.log(control->model.host.context, priority, text);
}

static void accept_one(struct control *control, int fd)
{
	struct epoll_event event = {.events = 0};
	struct client *client = calloc(1, sizeof(*client));

	event.data.ptr = client;
	if (!client || epoll_ctl(control->epoll, EPOLL_CTL_ADD, fd, &event) < 0) {
		free(client);
		close(fd);
		return;
	}
	client->fd = fd;
	client->unfinished_ms = control->now_ms;
	TAILQ_INSERT_TAIL(&control->clients, client, all);
	control->client_count++;
	if (control->client_count > CONTROL_CLIENTS_MAX) {
		struct error error;

		error_set(&error, "busy", "close some of them",
			  "dpvsd serves %d control clients already, and no more", CONTROL_CLIENTS_MAX);
		reply_error(&control->side, client, 0, &error, 0, true);
	} else {
		reply_greeting(&control->side, client);
	}
	make_ready(control, client);
}

static void accept_some(struct control *control)
{
	for (int i = 0; i < ACCEPTS_A_CALL; i++) {
		int fd = accept4(control->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);

		if (fd >= 0) {
			accept_one(control, fd);
			continue;
		}
		if (errno == EMFILE || errno == ENFILE || errno == ENOMEM || errno == ENOBUFS) {
			say(control, 4, "control socket: no file descriptors for more clients");
			watch_listener(control, false);
			control->accept_again_ms = control->now_ms + ACCEPT_PAUSE_MS;
		}
		if (errno != EINTR && errno != ECONNABORTED)
			return;
	}
}

/* ---- a turn ---- */

static void send_some(struct control *control, struct client *client)
{
	while (buffer_used(&client->out) > 0) {
		ssize_t sent = send(client->fd, client->out.bytes + client->out.start,
				    buffer_used(&client->out), MSG_NOSIGNAL | MSG_DONTWAIT);

		if (sent > 0) {
			buffer_take(&client->out, (size_t)sent);
			client->unread_ms = control->now_ms;
		} else if (sent < 0 && errno == EINTR) {
			continue;
		} else {
			if (sent < 0 && errno != EAGAIN && errno != EWOULDBLOCK)
				client->broken = true;
			return;
		}
	}
}

/* Whether a whole message waits; refuses one of a length that is not allowed. */
static bool has_message(struct control *control, struct client *client)
{
	size_t length;

	if (!message_length(&client->in, &length)) {
		struct error error;

		error_set(&error, "protocol",
			  "each message is its length in 4 bytes, big-endian, and its bytes",
			  "a message of %zu bytes; 1 to %d are allowed", length, CONTROL_MESSAGE_MAX);
		reply_error(&control->side, client, 0, &error, 0, true);
		return false;
	}
	return length > 0 && buffer_used(&client->in) >= 4 + length;
}

/* @return whether anything came */
static bool receive_some(struct control *control, struct client *client)
{
	size_t room_before = client->in.room;
	ssize_t received;
	size_t wanted = 0;

	(void)message_length(&client->in, &wanted);
	/* What is missing of a message that has begun, or a little for a start. Memory grows with what really
	 * comes, not with what is announced. */
	wanted = wanted ? wanted + 4 - buffer_used(&client->in) : 4096;
	wanted = RTE_MIN(wanted, RTE_MAX(buffer_used(&client->in), (size_t)4096));
	wanted = RTE_MIN(wanted, (size_t)READ_A_TURN);
	if (buffer_reserve(&client->in, wanted) < 0) {
		client->broken = true;
		return false;
	}
	control->input_bytes += client->in.room - room_before;
	if (control->input_bytes > INPUT_MAX && client->in.room > room_before) {
		struct error error;

		error_set(&error, "busy", "try again in a second",
			  "too many large requests are under way at once");
		reply_error(&control->side, client, 0, &error, 0, true);
		return false;
	}
	do
		received = recv(client->fd, client->in.bytes + client->in.end,
				client->in.room - client->in.end, MSG_DONTWAIT);
	while (received < 0 && errno == EINTR);
	if (received > 0) {
		if (buffer_used(&client->in) == 0 && client->greeted)
			client->unfinished_ms = control->now_ms;
		client->in.end += (size_t)received;
		return true;
	}
	if (received == 0)
		client->at_end = true;
	else if (errno != EAGAIN && errno != EWOULDBLOCK)
		client->broken = true;
	return false;
}

static void serve_one(struct control *control, struct client *client)
{
	size_t room_before = client->in.room, length;

	(void)message_length(&client->in, &length);
	request_serve(&control->side, client, client->in.bytes + client->in.start + 4, length);
	buffer_take(&client->in, 4 + length);
	control->input_bytes -= room_before - client->in.room;
	if (client->greeted)
		client->unfinished_ms = buffer_used(&client->in) > 0 ? control->now_ms : 0;
}

static bool is_full(const struct control *control, const struct client *client)
{
	return buffer_used(&client->out) >= control->options.output_bytes;
}

/* Listens for what the client's next turn needs. */
static void watch(struct control *control, struct client *client)
{
	struct epoll_event event = {.data = {.ptr = client}};

	if (buffer_used(&client->out) > 0)
		event.events |= EPOLLOUT;
	if (!client->leaving && !client->streaming && !client->at_end && !is_full(control, client))
		event.events |= EPOLLIN;
	if (event.events != client->watched) {
		client->watched = event.events;
		epoll_ctl(control->epoll, EPOLL_CTL_MOD, client->fd, &event);
	}
}

/* One step for a client. The client may be gone after it. */
static void turn(struct control *control, struct client *client)
{
	/* Work waits behind a full output; no event tells when that is sent at once. */
	bool more = is_full(control, client);

	if (client->changed_due && !client->leaving && !more) {
		client->changed_due = false;
		reply_changed(client);
	}
	if (!client->leaving && !more) {
		if (client->streaming) {
			request_continue(&control->side, client);
			more = true;
		} else if (has_message(control, client)) {
			serve_one(control, client);
			more = true;
		} else if (!client->leaving && !client->at_end) {
			more = receive_some(control, client);
		}
	}
	if (buffer_used(&client->out) > 0 && client->unread_ms == 0)
		client->unread_ms = control->now_ms;
	send_some(control, client);
	if (buffer_used(&client->out) == 0) {
		client->unread_ms = 0;
		/* Half a message at its end is not answered. */
		if (client->leaving ||
		    (client->at_end && !client->streaming && !has_message(control, client)))
			client->broken = true;
	}
	if (client->broken) {
		drop(control, client);
		return;
	}
	if ((more && !is_full(control, client)) || (client->leaving && buffer_used(&client->out) == 0))
		make_ready(control, client);
	watch(control, client);
}

/* Whoever watches the addresses hears that some came or went, once for all that happened since. */
static void tell_changes(struct control *control)
{
	uint64_t changes = net_address_changes(control->model.net);
	struct client *client;

	if (changes == control->address_changes)
		return;
	control->address_changes = changes;
	for (client = TAILQ_FIRST(&control->clients); client; client = TAILQ_NEXT(client, all)) {
		if (!client->watches_addresses)
			continue;
		client->changed_due = true;
		make_ready(control, client);
	}
}

/* ---- time limits ---- */

static void check_limits(struct control *control)
{
	const struct control_options *options = &control->options;
	struct client *client, *next;

	for (client = TAILQ_FIRST(&control->clients); client; client = next) {
		next = TAILQ_NEXT(client, all);
		if (client->unread_ms && control->now_ms - client->unread_ms >= options->stalled_client_ms) {
			char text[160];

			snprintf(text, sizeof(text), "control client %s does not read; dropped",
				 client->name[0] ? client->name : "(unnamed)");
			say(control, 5, text);
			drop(control, client);
			continue;
		}
		/* While it is not read from, the rest of its message cannot come. */
		if (client->leaving || client->streaming || client->is_ready || is_full(control, client)) {
			if (client->unfinished_ms)
				client->unfinished_ms = control->now_ms;
			continue;
		}
		if (client->unfinished_ms &&
		    control->now_ms - client->unfinished_ms >= options->half_message_ms) {
			struct error error;

			error_set(&error, "protocol", NULL,
				  client->greeted ? "the rest of a message did not come within %u ms"
						  : "no hello came within %u ms",
				  options->half_message_ms);
			reply_error(&control->side, client, 0, &error, 0, true);
			make_ready(control, client);
		}
	}
}

int control_work(struct control *control, uint64_t now_ms)
{
	struct epoll_event events[EVENTS_A_CALL];
	uint64_t deadline = clock_us() + CONTROL_TURN_MS * 1000;
	int count, next;

	control->now_ms = RTE_MAX(now_ms, (uint64_t)1);
	control->model.now_ms = control->now_ms;
	if (control->accept_again_ms && control->now_ms >= control->accept_again_ms) {
		control->accept_again_ms = 0;
		watch_listener(control, true);
	}
	count = epoll_wait(control->epoll, events, EVENTS_A_CALL, 0);
	for (int i = 0; i < count; i++) {
		struct client *client = events[i].data.ptr;

		if (!client) {
			accept_some(control);
			continue;
		}
		/* Nobody is there any more who could read an answer. */
		if ((events[i].events & (EPOLLHUP | EPOLLERR)) && !(events[i].events & EPOLLIN))
			client->broken = true;
		make_ready(control, client);
	}
	while (!TAILQ_EMPTY(&control->ready)) {
		struct client *client = TAILQ_FIRST(&control->ready);

		TAILQ_REMOVE(&control->ready, client, ready);
		client->is_ready = false;
		turn(control, client);
		if (clock_us() >= deadline)
			break;
	}
	next = model_tick(&control->model, control->now_ms);
	tell_changes(control);
	if (control->now_ms >= control->check_ms) {
		control->check_ms = control->now_ms + CHECK_MS;
		check_limits(control);
	}
	if (!TAILQ_EMPTY(&control->ready) || control->side.applied) {
		control->side.applied = false;
		return 0;
	}
	if ((control->client_count > 0 || control->accept_again_ms) &&
	    (next == CONTROL_NEVER || next > CHECK_MS))
		next = CHECK_MS;
	return next;
}
