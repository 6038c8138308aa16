/* rr and wrr: a sequence of servers that each worker walks from a place of its own.
 *
 * wrr's sequence has total/gcd entries and spreads each server's turns evenly, so that a heavy server gets no
 * bursts. Weights for which it would be too long get no sequence:
 * their turns are points on a line of length total/gcd, visited with a stride near the golden ratio that has
 * no common divisor with the length. Every point is met exactly once per round, so the weights hold exactly
 * there too, and finding the server of a point is a binary search. */
#include <stdlib.h>

#include "schedule_kinds.h"

enum {
	SEQUENCE_LIMIT = 8192,
};

static uint64_t greatest_common_divisor(uint64_t a, uint64_t b)
{
	while (b) {
		uint64_t rest = a % b;

		a = b;
		b = rest;
	}
	return a;
}

/* table_key[i]: where server i, or the next one that has an entry, first stands in the table. */
static int note_first_entries(struct schedule *schedule)
{
	uint32_t next = UINT32_MAX;

	schedule->table_key = malloc(schedule->count * sizeof(uint32_t));
	if (!schedule->table_key)
		return -1;
	memset(schedule->table_key, 0xff, schedule->count * sizeof(uint32_t));
	for (uint32_t i = schedule->table_size; i-- > 0;)
		schedule->table_key[schedule->table[i]] = i;
	/* Twice around, so that servers behind the last weighted one find the first. */
	for (uint32_t i = 2 * schedule->count; i-- > 0;) {
		uint32_t *first = &schedule->table_key[i % schedule->count];

		if (*first == UINT32_MAX)
			*first = next;
		next = *first;
	}
	return 0;
}

int sequence_make_rr(struct schedule *schedule)
{
	schedule->table = malloc(schedule->count * sizeof(uint32_t));
	if (!schedule->table)
		return -1;
	for (uint32_t i = 0; i < schedule->count; i++)
		if (schedule_weight(schedule->servers[i]) > 0)
			schedule->table[schedule->table_size++] = i;
	return note_first_entries(schedule);
}

/* A server's next turn: number `turn` may come at turn/weight and has to at (turn + 1)/weight, in rounds. */
struct turn {
	uint64_t turn, weight;
	uint32_t server;
};

/* A heap, least first: of waiting turns by when they may come, of ready turns by when they have to (WF2Q,
 * Bennett and Zhang 1996: nobody is ever a whole turn away from the fair share). */
struct turns {
	struct turn *heap;
	uint32_t count;
	unsigned int deadline; /* 1: compares (turn + 1)/weight */
};

static bool is_before(const struct turns *turns, const struct turn *a, const struct turn *b)
{
	unsigned __int128 left = (unsigned __int128)(a->turn + turns->deadline) * b->weight;
	unsigned __int128 right = (unsigned __int128)(b->turn + turns->deadline) * a->weight;

	return left < right || (left == right && a->server < b->server);
}

static void push(struct turns *turns, struct turn turn)
{
	uint32_t at = turns->count++;

	while (at > 0 && is_before(turns, &turn, &turns->heap[(at - 1) / 2])) {
		turns->heap[at] = turns->heap[(at - 1) / 2];
		at = (at - 1) / 2;
	}
	turns->heap[at] = turn;
}

static struct turn pop(struct turns *turns)
{
	struct turn first = turns->heap[0], last = turns->heap[--turns->count];
	uint32_t at = 0, child;

	while ((child = 2 * at + 1) < turns->count) {
		if (child + 1 < turns->count &&
		    is_before(turns, &turns->heap[child + 1], &turns->heap[child]))
			child++;
		if (!is_before(turns, &turns->heap[child], &last))
			break;
		turns->heap[at] = turns->heap[child];
		at = child;
	}
	turns->heap[at] = last;
	return first;
}

static int make_interleaved(struct schedule *schedule, uint32_t length, uint64_t divisor)
{
	struct turn *room = malloc((size_t)schedule->count * 2 * sizeof(*room));
	struct turns waiting = {.heap = room};
	struct turns ready = {.heap = room ? room + schedule->count : NULL, .deadline = 1};

	schedule->table = malloc(length * sizeof(uint32_t));
	if (!room || !schedule->table) {
		free(room);
		return -1;
	}
	for (uint32_t i = 0; i < schedule->count; i++) {
		uint64_t weight = schedule_weight(schedule->servers[i]) / divisor;

		if (weight > 0)
			push(&ready, (struct turn){.turn = 0, .weight = weight, .server = i});
	}
	for (uint32_t i = 0; i < length; i++) {
		while (waiting.count > 0 && waiting.heap[0].turn * length <= i * waiting.heap[0].weight)
			push(&ready, pop(&waiting));
		struct turn turn = pop(&ready);

		schedule->table[i] = turn.server;
		turn.turn++;
		push(&waiting, turn);
	}
	schedule->table_size = length;
	free(room);
	return note_first_entries(schedule);
}

/* Without a sequence: table[i] is where server i's part of the line begins; table_size stays 0, and
 * table_key[0] is the stride, table_key[1] the length. */
static int make_line(struct schedule *schedule, uint64_t total, uint64_t divisor)
{
	unsigned int shift = 0;
	uint64_t begin = 0;

	while ((total >> shift) / divisor > UINT32_MAX)
		shift++;
	schedule->table = malloc(schedule->count * sizeof(uint32_t));
	schedule->table_key = malloc(2 * sizeof(uint32_t));
	if (!schedule->table || !schedule->table_key)
		return -1;
	for (uint32_t i = 0; i < schedule->count; i++) {
		schedule->table[i] = (uint32_t)begin;
		begin += (schedule_weight(schedule->servers[i]) / divisor) >> shift;
	}
	uint64_t stride = (uint64_t)((double)begin * 0.6180339887498949);

	while (greatest_common_divisor(stride, begin) != 1)
		stride++;
	schedule->table_key[0] = (uint32_t)stride;
	schedule->table_key[1] = (uint32_t)begin;
	return 0;
}

int sequence_make_wrr(struct schedule *schedule)
{
	uint64_t divisor = 0, total = 0;

	for (uint32_t i = 0; i < schedule->count; i++) {
		uint32_t weight = schedule_weight(schedule->servers[i]);

		divisor = greatest_common_divisor(divisor, weight);
		total += weight;
	}
	if (total == 0)
		return 0;
	if (total / divisor <= SEQUENCE_LIMIT)
		return make_interleaved(schedule, (uint32_t)(total / divisor), divisor);
	return make_line(schedule, total, divisor);
}

static bool is_line(const struct schedule *schedule)
{
	return schedule->table_size == 0 && schedule->table != NULL && schedule->scheduler == SCHEDULER_WRR;
}

uint32_t sequence_position(const struct schedule *schedule, unsigned int worker, unsigned int workers,
			   uint32_t taken)
{
	uint32_t server = (uint32_t)((uint64_t)schedule->count * worker / workers);

	if (is_line(schedule)) {
		uint64_t stride = schedule->table_key[0], length = schedule->table_key[1];
		uint64_t start = schedule->table[server] < length ? schedule->table[server] : 0;

		return (uint32_t)((start + taken * stride % length) % length);
	}
	if (schedule->table_size == 0)
		return 0;
	return (uint32_t)(((uint64_t)schedule->table_key[server] + taken) % schedule->table_size);
}

/* The server whose part of the line holds the point. Servers without weight have empty parts. */
static uint32_t server_at(const struct schedule *schedule, uint32_t point)
{
	uint32_t low = 0, high = schedule->count;

	while (high - low > 1) {
		uint32_t middle = low + (high - low) / 2;

		if (schedule->table[middle] <= point)
			low = middle;
		else
			high = middle;
	}
	return low;
}

struct server *sequence_pick(const struct schedule *schedule, struct schedule_cursor *cursor,
			     const struct schedule_question *question)
{
	(void)question;
	uint32_t position = cursor->position, at = 0;
	bool line = is_line(schedule);
	uint32_t tries = line ? TABLE_TRIES : RTE_MIN(schedule->table_size, (uint32_t)TABLE_TRIES);

	for (uint32_t i = 0; i < tries; i++) {
		if (line) {
			uint64_t next = (uint64_t)position + schedule->table_key[0];

			at = server_at(schedule, position);
			position = (uint32_t)(next >= schedule->table_key[1] ? next - schedule->table_key[1]
									     : next);
		} else {
			at = schedule->table[position];
			position = position + 1 == schedule->table_size ? 0 : position + 1;
		}
		if (likely(server_available(schedule->servers[at]))) {
			cursor->position = position;
			return schedule->servers[at];
		}
	}
	cursor->position = position;
	return schedule_first_available(schedule, at);
}
