/* sh, dh, mh, conhash: the same client (dh: the same virtual address) comes to the same server.
 *
 * Directors of a cluster must agree without talking to each other: hashes have no secret, and tables do not
 * depend on the order in which servers were added. */
#include <stdlib.h>

#include "schedule_kinds.h"

enum {
	SLOTS_LEAST = 256,
	SLOTS_MOST = 1 << 16,
	RING_POINTS = 160, /* of the heaviest server */
	RING_POINTS_ALL = 1 << 16, /* of all servers, unless there are very many of them */
	RING_POINTS_LEAST = 8,
};

/* Primes for Maglev's table: one hundred entries a server keep the shares within about 1 % (Maglev, section
 * 5.3). */
static const uint32_t maglev_sizes[] = {1021, 4093, 16381, 65521};

static inline uint64_t hash_step(uint64_t hash, uint64_t word)
{
	hash = (hash ^ word) * 0x9e3779b97f4a7c15ull;
	hash ^= hash >> 32;
	hash *= 0xd6e8feb86659fd93ull;
	return hash ^ (hash >> 32);
}

static uint64_t hash_address(const union ip_addr *address, uint16_t port, uint64_t salt)
{
	uint64_t hash = hash_step(salt, rte_be_to_cpu_64(address->q[0]));

	hash = hash_step(hash, rte_be_to_cpu_64(address->q[1]));
	return hash_step(hash, port);
}

static uint64_t hash_server(const struct server *server, uint64_t salt)
{
	return hash_address(&server->address, rte_be_to_cpu_16(server->port), salt);
}

/* Servers with weight, by address and port. */
static int by_address(const void *left, const void *right, void *context)
{
	const struct schedule *schedule = context;
	const struct server *a = schedule->servers[*(const uint32_t *)left];
	const struct server *b = schedule->servers[*(const uint32_t *)right];
	int order = memcmp(&a->address, &b->address, sizeof(a->address));

	return order ? order : memcmp(&a->port, &b->port, sizeof(a->port));
}

/* sh with fallback keeps a place for a server that was drained, so that others' clients stay where they are;
 * dh knows no weights. */
static uint32_t hash_weight(const struct schedule *schedule, const struct server *server)
{
	uint32_t weight = schedule_weight(server);

	if (weight == 0 && (schedule->flags & SCHEDULE_FALLBACK) && schedule->scheduler == SCHEDULER_SH &&
	    !(server->flags & SERVER_REMOVED))
		return 1;
	return schedule->scheduler == SCHEDULER_DH && weight > 0 ? 1 : weight;
}

static uint32_t *sorted_servers(struct schedule *schedule, uint32_t *count)
{
	uint32_t *order = malloc(schedule->count * sizeof(uint32_t));

	*count = 0;
	if (!order)
		return NULL;
	for (uint32_t i = 0; i < schedule->count; i++)
		if (hash_weight(schedule, schedule->servers[i]) > 0)
			order[(*count)++] = i;
	qsort_r(order, *count, sizeof(uint32_t), by_address, schedule);
	return order;
}

/* Every server gets a part of the slots in proportion to its weight. */
int hash_make_slots(struct schedule *schedule)
{
	uint32_t count, slots = SLOTS_LEAST, slot = 0;
	uint32_t *order = sorted_servers(schedule, &count);
	uint64_t total = 0, before = 0;

	if (!order)
		return -1;
	while (slots < 8 * count && slots < SLOTS_MOST)
		slots *= 2;
	for (uint32_t i = 0; i < count; i++)
		total += hash_weight(schedule, schedule->servers[order[i]]);
	schedule->table = malloc(slots * sizeof(uint32_t));
	if (!schedule->table) {
		free(order);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++) {
		before += hash_weight(schedule, schedule->servers[order[i]]);
		uint32_t end = (uint32_t)((unsigned __int128)before * slots / total);

		while (slot < end)
			schedule->table[slot++] = order[i];
	}
	schedule->table_size = slot;
	free(order);
	return 0;
}

/* One server's walk through the table. */
struct walk {
	uint32_t server;
	uint32_t offset, skip;
	uint64_t weight, credit;
};

/* Maglev (NSDI 2016, section 3.4): servers take turns, each takes the first free slot of its own permutation.
 * A server gets a turn whenever its weights have added up to that of the heaviest. */
int hash_make_maglev(struct schedule *schedule)
{
	uint32_t count, size = maglev_sizes[0], filled = 0;
	uint64_t heaviest = 0;
	uint32_t *order = sorted_servers(schedule, &count);
	struct walk *walks = order ? malloc(RTE_MAX(count, 1u) * sizeof(*walks)) : NULL;

	for (size_t i = 1; i < RTE_DIM(maglev_sizes) && size < 100 * (uint64_t)count; i++)
		size = maglev_sizes[i];
	schedule->table = malloc(size * sizeof(uint32_t));
	if (!walks || !schedule->table) {
		free(walks);
		free(order);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++) {
		const struct server *server = schedule->servers[order[i]];

		walks[i].server = order[i];
		walks[i].offset = (uint32_t)(hash_server(server, 1) % size);
		walks[i].skip = (uint32_t)(hash_server(server, 2) % (size - 1)) + 1;
		walks[i].weight = hash_weight(schedule, server);
		walks[i].credit = 0;
		heaviest = RTE_MAX(heaviest, walks[i].weight);
	}
	memset(schedule->table, 0xff, size * sizeof(uint32_t));
	while (count > 0 && filled < size) {
		for (uint32_t i = 0; i < count && filled < size; i++) {
			struct walk *walk = &walks[i];

			walk->credit += walk->weight;
			if (walk->credit < heaviest)
				continue;
			walk->credit -= heaviest;
			while (schedule->table[walk->offset] != UINT32_MAX)
				walk->offset = (walk->offset + walk->skip) % size;
			schedule->table[walk->offset] = walk->server;
			filled++;
		}
	}
	schedule->table_size = count > 0 ? size : 0;
	free(walks);
	free(order);
	return 0;
}

struct ring_point {
	uint32_t key;
	uint32_t server;
	uint32_t rank; /* of equal keys, by address: no director decides by its own order of addition */
};

static int by_key(const void *left, const void *right)
{
	const struct ring_point *a = left, *b = right;

	if (a->key != b->key)
		return a->key < b->key ? -1 : 1;
	return a->rank < b->rank ? -1 : a->rank > b->rank;
}

/* A server's points are the first of an endless row that belongs to its address: another weight adds or takes
 * points at the end of the row, and moves no others. */
int hash_make_ring(struct schedule *schedule)
{
	uint32_t count, points = 0;
	uint64_t heaviest = 1;
	uint32_t *order = sorted_servers(schedule, &count);
	uint32_t most = RTE_MIN((uint32_t)RING_POINTS, RTE_MAX((uint32_t)RING_POINTS_ALL / RTE_MAX(count, 1u),
							       (uint32_t)RING_POINTS_LEAST));
	struct ring_point *ring = order ? malloc(RTE_MAX(count * most, 1u) * sizeof(*ring)) : NULL;

	if (!ring) {
		free(order);
		return -1;
	}
	for (uint32_t i = 0; i < count; i++)
		heaviest = RTE_MAX(heaviest, hash_weight(schedule, schedule->servers[order[i]]));
	for (uint32_t i = 0; i < count; i++) {
		const struct server *server = schedule->servers[order[i]];
		uint64_t mine = ((uint64_t)most * hash_weight(schedule, server) + heaviest - 1) / heaviest;

		for (uint64_t n = 0; n < mine; n++)
			ring[points++] = (struct ring_point){
			    .key = (uint32_t)(hash_server(server, 3 + n) >> 32),
			    .server = order[i],
			    .rank = i};
	}
	qsort(ring, points, sizeof(*ring), by_key);
	schedule->table = malloc(RTE_MAX(points, 1u) * sizeof(uint32_t));
	schedule->table_key = malloc(RTE_MAX(points, 1u) * sizeof(uint32_t));
	if (schedule->table && schedule->table_key) {
		for (uint32_t i = 0; i < points; i++) {
			schedule->table[i] = ring[i].server;
			schedule->table_key[i] = ring[i].key;
		}
		schedule->table_size = points;
	}
	free(ring);
	free(order);
	return schedule->table && schedule->table_key ? 0 : -1;
}

static uint64_t question_hash(const struct schedule *schedule, const struct schedule_question *question)
{
	if (schedule->scheduler == SCHEDULER_DH)
		return hash_address(question->destination, 0, 0);
	if ((schedule->flags & SCHEDULE_QUIC_ID) && question->quic_id_hash)
		return hash_step(0, question->quic_id_hash);
	uint16_t port = schedule->flags & SCHEDULE_PORT ? rte_be_to_cpu_16(question->client_port) : 0;

	return hash_address(question->client, port, 0);
}

struct server *hash_pick(const struct schedule *schedule, const struct schedule_question *question)
{
	uint64_t hash = question_hash(schedule, question);

	if (schedule->table_size == 0)
		return NULL;
	for (unsigned int i = 0; i < TABLE_TRIES; i++) {
		struct server *server = schedule
					    ->servers[schedule->table[(hash >> 32) % schedule->table_size]];

		if (likely(server_available(server)))
			return server;
		/* A server that was drained or removed since the table was made is no reason to refuse. */
		if (!(schedule->flags & SCHEDULE_FALLBACK) &&
		    __atomic_load_n(&server->overloaded, __ATOMIC_RELAXED))
			return NULL;
		hash = hash_step(hash, i + 1);
	}
	return schedule_first_available(schedule, (uint32_t)((hash >> 32) % schedule->count));
}

struct server *ring_pick(const struct schedule *schedule, const struct schedule_question *question)
{
	uint64_t hash = question_hash(schedule, question);
	uint32_t key = (uint32_t)(hash >> 32), low = 0, high = schedule->table_size;

	if (high == 0)
		return NULL;
	/* The first point at or behind the key; behind the last comes the first. */
	while (low < high) {
		uint32_t middle = low + (high - low) / 2;

		if (schedule->table_key[middle] < key)
			low = middle + 1;
		else
			high = middle;
	}
	for (unsigned int i = 0; i < TABLE_TRIES; i++) {
		if (low >= schedule->table_size)
			low = 0;
		struct server *server = schedule->servers[schedule->table[low++]];

		if (likely(server_available(server)))
			return server;
	}
	return schedule_first_available(schedule, (uint32_t)(hash % schedule->count));
}
