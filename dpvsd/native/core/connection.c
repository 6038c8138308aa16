#include "connection.h"

#include <rte_prefetch.h>
#include <rte_vect.h>

enum {
	BUCKET_SLOTS = 12,
	WHEEL_SLOTS = 4096, /* 512 s; a longer time-out is hung at the far end and hung again from there */
	WHEEL_OFF = UINT32_MAX,
	WHEEL_HEAD = 1u << 31, /* in wheel_previous: the first of slot (value & ~WHEEL_HEAD) */
};

/* Tag 0 is an empty slot. `next` chains to an overflow bucket, 0 ends. */
struct bucket {
	uint8_t tags[BUCKET_SLOTS];
	uint32_t next;
	uint32_t entries[BUCKET_SLOTS]; /* connection << 1 | direction */
} __rte_cache_aligned;

_Static_assert(sizeof(struct bucket) == RTE_CACHE_LINE_SIZE, "one cache miss a bucket");

struct connection_table {
	struct bucket *buckets; /* mask + 1 of them, then the overflow buckets */
	uint32_t mask;
	uint32_t overflow_first, overflow_end, overflow_free; /* free ones are chained by `next` */
	struct connection *connections;
	uint32_t capacity;
	uint32_t count;
	uint32_t fresh; /* records from here on were never used: their memory is not committed yet */
	uint32_t free; /* chain by wheel_next */
	uint32_t wheel_now; /* tick that is done up to and including */
	bool wheel_started;
	uint32_t wheel[WHEEL_SLOTS];
};

struct connection_table *connection_table_new(uint32_t capacity, int socket)
{
	/* Two entries a connection, eight of twelve slots in use when full. */
	uint32_t buckets = rte_align32pow2(RTE_MAX(capacity / 4, 16u));
	uint32_t overflow = RTE_MAX(buckets / 4, 64u);
	struct connection_table *table = memory_new(sizeof(*table));

	if (table == NULL)
		return NULL;
	if (capacity >= 1u << 30)
		capacity = (1u << 30) - 1;
	table->buckets = memory_reserve("connection index",
					(size_t)(buckets + overflow) * sizeof(struct bucket), socket);
	table->connections = memory_reserve("connections", (size_t)capacity * sizeof(struct connection),
					    socket);
	if (table->buckets == NULL || table->connections == NULL) {
		connection_table_free(table);
		return NULL;
	}
	table->mask = buckets - 1;
	table->overflow_first = buckets;
	table->overflow_end = buckets + overflow;
	table->capacity = capacity;
	table->free = CONN_NONE;
	for (unsigned int i = 0; i < WHEEL_SLOTS; i++)
		table->wheel[i] = WHEEL_OFF;
	return table;
}

void connection_table_free(struct connection_table *table)
{
	if (table == NULL)
		return;
	memory_release(table->buckets);
	memory_release(table->connections);
	memory_free(table);
}

uint32_t connection_table_count(const struct connection_table *table)
{
	return __atomic_load_n(&table->count, __ATOMIC_RELAXED);
}

uint32_t connection_table_capacity(const struct connection_table *table)
{
	return table->capacity;
}

size_t connection_table_bytes(const struct connection_table *table)
{
	return sizeof(struct connection) +
	       (size_t)table->overflow_end * sizeof(struct bucket) / table->capacity;
}

struct connection *connection_at(const struct connection_table *table, uint32_t index)
{
	return &table->connections[index];
}

/* ---- keys ---- */

uint32_t flow_hash(const struct flow_key *key)
{
	uint64_t ports = (uint64_t)key->protocol << 32 | (uint32_t)key->source_port << 16 |
			 key->destination_port;
	uint64_t hash;

	if (key->family == FAMILY_IPV4) {
		uint64_t addresses = (uint64_t)key->source.v4 << 32 | key->destination.v4;

		hash = mix64(addresses ^ hash_secret[0], ports ^ hash_secret[1]);
	} else {
		hash = mix64(key->source.q[0] ^ hash_secret[0], key->source.q[1] ^ hash_secret[1]);
		hash ^= mix64(key->destination.q[0] ^ hash_secret[2], key->destination.q[1] ^ hash_secret[3]);
		hash = mix64(hash ^ hash_secret[1], ports ^ hash_secret[0]);
	}
	hash = mix64(hash ^ hash_secret[2], hash_secret[3]);
	return (uint32_t)(hash >> 32);
}

void connection_key(const struct connection *c, int direction, struct flow_key *key)
{
	memset(key, 0, sizeof(*key));
	key->protocol = c->protocol;
	if (direction == DIRECTION_IN) {
		key->family = (uint8_t)connection_client_family(c);
		key->source_port = c->client_port;
		key->destination_port = c->virtual_port;
		if (key->family == FAMILY_IPV4) {
			key->source.v4 = c->client4;
			key->destination.v4 = c->virtual4;
		} else {
			key->source = c->client6;
			key->destination = c->virtual6;
		}
		return;
	}
	key->family = (uint8_t)connection_server_family(c);
	key->source_port = c->server_port;
	key->destination_port = c->local_port;
	if (key->family == FAMILY_IPV4) {
		key->source.v4 = c->server4;
		key->destination.v4 = c->local4;
	} else {
		key->source = c->server6;
		key->destination = c->local6;
	}
}

static inline bool key_matches(const struct connection *c, unsigned int direction, const struct flow_key *key)
{
	if (direction == DIRECTION_IN) {
		if (c->client_port != key->source_port || c->virtual_port != key->destination_port ||
		    c->protocol != key->protocol || c->families >> 4 != key->family)
			return false;
		if (key->family == FAMILY_IPV4)
			return c->client4 == key->source.v4 && c->virtual4 == key->destination.v4;
		return ip_equal(&c->client6, &key->source) && ip_equal(&c->virtual6, &key->destination);
	}
	if (c->server_port != key->source_port || c->local_port != key->destination_port ||
	    c->protocol != key->protocol || (c->families & 15) != key->family)
		return false;
	if (key->family == FAMILY_IPV4)
		return c->server4 == key->source.v4 && c->local4 == key->destination.v4;
	return ip_equal(&c->server6, &key->source) && ip_equal(&c->local6, &key->destination);
}

/* ---- index ---- */

static inline uint8_t hash_tag(uint32_t hash)
{
	uint8_t tag = (uint8_t)(hash >> 24);

	return tag ? tag : 1;
}

/* Slots of a bucket that carry this tag, a bit each. */
static inline uint32_t bucket_match(const struct bucket *bucket, uint8_t tag)
{
#ifdef __SSE2__
	__m128i tags = _mm_load_si128((const __m128i *)(const void *)bucket->tags);

	return (uint32_t)_mm_movemask_epi8(_mm_cmpeq_epi8(tags, _mm_set1_epi8((char)tag))) &
	       ((1u << BUCKET_SLOTS) - 1);
#else
	uint32_t match = 0;

	for (unsigned int i = 0; i < BUCKET_SLOTS; i++)
		match |= (uint32_t)(bucket->tags[i] == tag) << i;
	return match;
#endif
}

static uint32_t find_hashed(const struct connection_table *table, const struct flow_key *key, uint32_t hash)
{
	const struct bucket *bucket = &table->buckets[hash & table->mask];
	uint8_t tag = hash_tag(hash);

	for (;;) {
		uint32_t match = bucket_match(bucket, tag);

		while (match) {
			uint32_t entry = bucket->entries[__builtin_ctz(match)];

			if (key_matches(&table->connections[entry >> 1], entry & 1, key))
				return entry;
			match &= match - 1;
		}
		if (bucket->next == 0)
			return CONN_NONE;
		bucket = &table->buckets[bucket->next];
	}
}

uint32_t connection_find(const struct connection_table *table, const struct flow_key *key)
{
	return find_hashed(table, key, flow_hash(key));
}

void connection_prefetch(const struct connection_table *table, struct packet *packets, unsigned int count)
{
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];

		if (unlikely(p->verdict != VERDICT_NONE || p->key.family == 0))
			continue;
		p->hash = flow_hash(&p->key);
		rte_prefetch0(&table->buckets[p->hash & table->mask]);
	}
}

void connection_find_burst(const struct connection_table *table, struct packet *packets, unsigned int count)
{
	/* First the bucket, which was asked for earlier: it names the connection, which is asked for now ...
	 */
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];
		const struct bucket *bucket = &table->buckets[p->hash & table->mask];
		uint32_t match;

		p->found = CONN_NONE;
		if (p->verdict != VERDICT_NONE || p->key.family == 0)
			continue;
		match = bucket_match(bucket, hash_tag(p->hash));
		if (match == 0)
			continue;
		p->found = bucket->entries[__builtin_ctz(match)];
		rte_prefetch0(&table->connections[p->found >> 1]);
		if (p->key.family == FAMILY_IPV6)
			rte_prefetch0(&table->connections[p->found >> 1].client6);
	}
	/* ... and when the last has been asked for, the first is here. */
	for (unsigned int i = 0; i < count; i++) {
		struct packet *p = &packets[i];

		if (p->verdict != VERDICT_NONE || p->key.family == 0)
			continue;
		if (likely(p->found != CONN_NONE &&
			   key_matches(&table->connections[p->found >> 1], p->found & 1, &p->key)))
			continue;
		if (p->found == CONN_NONE && likely(table->buckets[p->hash & table->mask].next == 0))
			continue;
		p->found = find_hashed(table, &p->key, p->hash);
	}
}

bool connection_is(const struct connection_table *table, uint32_t found, const struct flow_key *key)
{
	const struct connection *c = &table->connections[found >> 1];

	return c->timeout != 0 && key_matches(c, found & 1, key) &&
	       (c->flags & (found & 1 ? CONNECTION_INDEXED_OUT : CONNECTION_INDEXED_IN));
}

static int index_add(struct connection_table *table, uint32_t hash, uint32_t entry)
{
	struct bucket *bucket = &table->buckets[hash & table->mask];
	uint32_t fresh;

	for (;;) {
		uint32_t empty = bucket_match(bucket, 0);

		if (empty) {
			unsigned int slot = (unsigned int)__builtin_ctz(empty);

			bucket->entries[slot] = entry;
			bucket->tags[slot] = hash_tag(hash);
			return 0;
		}
		if (bucket->next == 0)
			break;
		bucket = &table->buckets[bucket->next];
	}
	if (table->overflow_free) {
		fresh = table->overflow_free;
		table->overflow_free = table->buckets[fresh].next;
	} else if (table->overflow_first < table->overflow_end) {
		fresh = table->overflow_first++;
	} else {
		return -1;
	}
	memset(&table->buckets[fresh], 0, sizeof(struct bucket));
	table->buckets[fresh].entries[0] = entry;
	table->buckets[fresh].tags[0] = hash_tag(hash);
	bucket->next = fresh;
	return 0;
}

static void index_remove(struct connection_table *table, uint32_t hash, uint32_t entry)
{
	uint32_t first = hash & table->mask, at = first, before = 0;

	for (;;) {
		struct bucket *bucket = &table->buckets[at];
		uint32_t match = bucket_match(bucket, hash_tag(hash));

		for (; match; match &= match - 1) {
			unsigned int slot = (unsigned int)__builtin_ctz(match);

			if (bucket->entries[slot] != entry)
				continue;
			bucket->tags[slot] = 0;
			/* An overflow bucket that became empty goes back. */
			if (at != first && bucket_match(bucket, 0) == (1u << BUCKET_SLOTS) - 1) {
				table->buckets[before].next = bucket->next;
				bucket->next = table->overflow_free;
				table->overflow_free = at;
			}
			return;
		}
		if (bucket->next == 0)
			return;
		before = at;
		at = bucket->next;
	}
}

static uint32_t key_hash(const struct connection *c, int direction)
{
	struct flow_key key;

	connection_key(c, direction, &key);
	return flow_hash(&key);
}

/* ---- wheel ---- */

static void wheel_hang(struct connection_table *table, uint32_t index, uint32_t ticks)
{
	struct connection *c = &table->connections[index];
	uint32_t distance = RTE_MIN(RTE_MAX(ticks, 1u), (uint32_t)WHEEL_SLOTS - 1);
	uint32_t slot = (table->wheel_now + distance) % WHEEL_SLOTS;
	uint32_t head = table->wheel[slot];

	c->wheel_next = head;
	c->wheel_previous = slot | WHEEL_HEAD;
	if (head != WHEEL_OFF)
		table->connections[head].wheel_previous = index;
	table->wheel[slot] = index;
}

static void wheel_take(struct connection_table *table, uint32_t index)
{
	struct connection *c = &table->connections[index];

	if (c->wheel_previous == WHEEL_OFF)
		return;
	if (c->wheel_previous & WHEEL_HEAD)
		table->wheel[c->wheel_previous & ~WHEEL_HEAD] = c->wheel_next;
	else
		table->connections[c->wheel_previous].wheel_next = c->wheel_next;
	if (c->wheel_next != WHEEL_OFF)
		table->connections[c->wheel_next].wheel_previous = c->wheel_previous;
	c->wheel_previous = WHEEL_OFF;
}

bool connection_expire(struct connection_table *table, uint32_t now, unsigned int budget,
		       void (*expired)(void *context, uint32_t index), void *context)
{
	if (!table->wheel_started) {
		table->wheel_started = true;
		table->wheel_now = now;
		return true;
	}
	while ((int32_t)(now - table->wheel_now) > 0) {
		uint32_t slot = (table->wheel_now + 1) % WHEEL_SLOTS;

		while (table->wheel[slot] != WHEEL_OFF) {
			uint32_t index = table->wheel[slot];
			struct connection *c = &table->connections[index];
			uint32_t age;

			if (budget == 0)
				return false;
			budget--;
			if (c->wheel_next != WHEEL_OFF)
				rte_prefetch0(&table->connections[c->wheel_next]);
			wheel_take(table, index);
			age = now - c->last_seen;
			if ((int32_t)age >= 0 && age >= c->timeout) {
				expired(context, index);
				if (c->timeout != 0 && c->wheel_previous == WHEEL_OFF)
					wheel_hang(table, index, c->timeout);
			} else {
				/* Seen since it was hung. One slot more, for the one that is being emptied.
				 */
				wheel_hang(table, index, c->timeout - ((int32_t)age > 0 ? age : 0) + 1);
			}
		}
		table->wheel_now++;
	}
	return true;
}

void connection_set_timeout(struct connection_table *table, uint32_t index, uint32_t ticks, uint32_t now)
{
	struct connection *c = &table->connections[index];
	uint32_t before = c->timeout;

	c->last_seen = now;
	c->timeout = RTE_MAX(ticks, 1u);
	/* It hangs no later than the old time-out says; only a shorter one has to move. */
	if (c->timeout < before && c->wheel_previous != WHEEL_OFF) {
		wheel_take(table, index);
		wheel_hang(table, index, c->timeout + (now - table->wheel_now));
	}
}

/* ---- records ---- */

uint32_t connection_take(struct connection_table *table)
{
	uint32_t index = table->free;
	struct connection *c;

	if (index != CONN_NONE)
		table->free = table->connections[index].wheel_next;
	else if (table->fresh < table->capacity)
		index = table->fresh++;
	else
		return CONN_NONE;
	c = &table->connections[index];
	memset(c, 0, offsetof(struct connection, client6));
	c->wheel_previous = WHEEL_OFF;
	c->control = CONN_NONE;
	return index;
}

void connection_give(struct connection_table *table, uint32_t index)
{
	struct connection *c = &table->connections[index];

	c->timeout = 0;
	c->wheel_previous = WHEEL_OFF;
	c->wheel_next = table->free;
	table->free = index;
}

int connection_insert(struct connection_table *table, uint32_t index, uint32_t now)
{
	struct connection *c = &table->connections[index];

	if ((c->flags & CONNECTION_INDEXED_IN) && index_add(table, key_hash(c, DIRECTION_IN), index << 1) < 0)
		return -1;
	if ((c->flags & CONNECTION_INDEXED_OUT) &&
	    index_add(table, key_hash(c, DIRECTION_OUT), index << 1 | DIRECTION_OUT) < 0) {
		if (c->flags & CONNECTION_INDEXED_IN)
			index_remove(table, key_hash(c, DIRECTION_IN), index << 1);
		return -1;
	}
	if (!table->wheel_started) {
		table->wheel_started = true;
		table->wheel_now = now;
	}
	c->last_seen = now;
	c->timeout = RTE_MAX(c->timeout, 1u);
	wheel_hang(table, index, c->timeout + (now - table->wheel_now));
	__atomic_store_n(&table->count, table->count + 1, __ATOMIC_RELAXED);
	return 0;
}

void connection_retire(struct connection_table *table, uint32_t index)
{
	struct connection *c = &table->connections[index];

	if (c->flags & CONNECTION_INDEXED_IN)
		index_remove(table, key_hash(c, DIRECTION_IN), index << 1);
	if (c->flags & CONNECTION_INDEXED_OUT)
		index_remove(table, key_hash(c, DIRECTION_OUT), index << 1 | DIRECTION_OUT);
	c->flags &= (uint16_t) ~(CONNECTION_INDEXED_IN | CONNECTION_INDEXED_OUT);
}

void connection_remove(struct connection_table *table, uint32_t index)
{
	connection_retire(table, index);
	wheel_take(table, index);
	__atomic_store_n(&table->count, table->count - 1, __ATOMIC_RELAXED);
	connection_give(table, index);
}

size_t connection_list(const struct connection_table *table, uint32_t *cursor, struct connection *out,
		       size_t max)
{
	uint32_t end = __atomic_load_n(&table->fresh, __ATOMIC_RELAXED);
	uint32_t stop = *cursor < end ? RTE_MIN(end, *cursor + LIST_SPAN) : end;
	size_t found = 0;

	for (; *cursor < stop && found < max; ++*cursor) {
		const struct connection *c = &table->connections[*cursor];

		if (__atomic_load_n(&c->timeout, __ATOMIC_RELAXED) == 0)
			continue;
		out[found++] = *c;
	}
	if (*cursor >= end)
		*cursor = CONN_NONE;
	return found;
}
