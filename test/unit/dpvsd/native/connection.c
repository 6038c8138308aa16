/* The connection table against a naive list: random opening, finding, closing, time-outs, both families,
 * crowded buckets. */
#include <netinet/in.h>

#include "check.h"
#include "core/connection.h"

enum {
	CAPACITY = 4096,
	STEPS = 200000,
};

struct twin {
	bool used;
	struct flow_key in, out;
	bool indexed_out;
	uint32_t index;
	uint32_t last_seen, timeout;
};

static struct connection_table *table;
static struct twin twins[CAPACITY];

static void random_address(union ip_addr *address, enum family family)
{
	memset(address, 0, sizeof(*address));
	/* Few different ones, so that keys share parts. */
	if (family == FAMILY_IPV4) {
		address->v4 = rte_cpu_to_be_32(0x0a000000u | (uint32_t)(check_random() % 64));
	} else {
		address->q[0] = 0xfd;
		address->b[15] = (uint8_t)(check_random() % 64);
		address->b[8] = (uint8_t)(check_random() % 2);
	}
}

static void fill(struct connection *c, struct twin *t)
{
	enum family family = check_random() % 2 ? FAMILY_IPV4 : FAMILY_IPV6;
	union ip_addr a[4];

	for (unsigned int i = 0; i < 4; i++)
		random_address(&a[i], family);
	c->protocol = check_random() % 2 ? IPPROTO_TCP : IPPROTO_UDP;
	c->families = (uint8_t)(family << 4 | family);
	c->client_port = (rte_be16_t)(check_random() % 64);
	c->virtual_port = (rte_be16_t)(check_random() % 4);
	c->local_port = (rte_be16_t)check_random();
	c->server_port = (rte_be16_t)(check_random() % 4);
	if (family == FAMILY_IPV4) {
		c->client4 = a[0].v4;
		c->virtual4 = a[1].v4;
		c->local4 = a[2].v4;
		c->server4 = a[3].v4;
	} else {
		c->client6 = a[0];
		c->virtual6 = a[1];
		c->local6 = a[2];
		c->server6 = a[3];
	}
	c->flags = CONNECTION_INDEXED_IN;
	t->indexed_out = check_random() % 4 != 0;
	if (t->indexed_out)
		c->flags |= CONNECTION_INDEXED_OUT;
	c->timeout = 1 + (uint32_t)(check_random() % 200);
	t->timeout = c->timeout;
	connection_key(c, DIRECTION_IN, &t->in);
	connection_key(c, DIRECTION_OUT, &t->out);
}

static bool same_key(const struct flow_key *a, const struct flow_key *b)
{
	return ip_equal(&a->source, &b->source) && ip_equal(&a->destination, &b->destination) &&
	       a->source_port == b->source_port && a->destination_port == b->destination_port &&
	       a->protocol == b->protocol && a->family == b->family;
}

static struct twin *twin_with(const struct flow_key *key)
{
	for (unsigned int i = 0; i < CAPACITY; i++)
		if (twins[i].used &&
		    (same_key(&twins[i].in, key) || (twins[i].indexed_out && same_key(&twins[i].out, key))))
			return &twins[i];
	return NULL;
}

static void check_twin(const struct twin *t)
{
	CHECK_EQ(connection_find(table, &t->in), t->index << 1);
	if (t->indexed_out)
		CHECK_EQ(connection_find(table, &t->out), t->index << 1 | DIRECTION_OUT);
	else
		CHECK_EQ(connection_find(table, &t->out), CONN_NONE);
}

static uint32_t now_tick;
static unsigned int expirations;

static void on_expired(void *context, uint32_t index)
{
	struct twin *t = NULL;

	(void)context;
	for (unsigned int i = 0; i < CAPACITY; i++)
		if (twins[i].used && twins[i].index == index)
			t = &twins[i];
	CHECK(t != NULL);
	if (t == NULL)
		return;
	/* Never early, and at most one tick late. */
	CHECK(now_tick - t->last_seen >= t->timeout);
	CHECK(now_tick - t->last_seen <= t->timeout + 1);
	expirations++;
	connection_remove(table, index);
	t->used = false;
}

static void table_agrees_with_list(void)
{
	table = connection_table_new(CAPACITY, -1);
	now_tick = UINT32_MAX - 500; /* the tick counter wraps on the way */
	connection_expire(table, now_tick, 1, on_expired, NULL);
	for (unsigned int step = 0; step < STEPS && !check_failed; step++) {
		struct twin *t = &twins[check_random() % 300];

		switch (check_random() % 8) {
		case 0:
		case 1:
		case 2:
			if (!t->used) {
				struct twin fresh = {.used = true};
				uint32_t index = connection_take(table);

				CHECK(index != CONN_NONE);
				fill(connection_at(table, index), &fresh);
				if (twin_with(&fresh.in) || twin_with(&fresh.out)) {
					connection_give(table, index);
					break;
				}
				CHECK_EQ(connection_insert(table, index, now_tick), 0);
				fresh.index = index;
				fresh.last_seen = now_tick;
				*t = fresh;
			}
			break;
		case 3:
			if (t->used) {
				connection_remove(table, t->index);
				t->used = false;
				CHECK_EQ(connection_find(table, &t->in), CONN_NONE);
			}
			break;
		case 4:
			if (t->used) { /* a packet */
				connection_at(table, t->index)->last_seen = now_tick;
				t->last_seen = now_tick;
			}
			break;
		case 5:
			if (t->used) { /* another state */
				t->timeout = 1 + (uint32_t)(check_random() % 200);
				t->last_seen = now_tick;
				connection_set_timeout(table, t->index, t->timeout, now_tick);
			}
			break;
		case 6:
			if (t->used)
				check_twin(t);
			break;
		case 7:
			if (check_random() % 4 == 0) {
				now_tick++;
				while (!connection_expire(table, now_tick, 7, on_expired, NULL))
					;
			}
			break;
		}
	}
	for (unsigned int i = 0; i < 300; i++)
		if (twins[i].used)
			check_twin(&twins[i]);
	CHECK(expirations > 1000);
	connection_table_free(table);
}

/* A burst finds what single look-ups find, also with false tags and chains. */
static void burst_agrees_with_single(void)
{
	struct packet packets[64];

	memset(twins, 0, sizeof(twins));
	table = connection_table_new(64, -1);
	for (unsigned int i = 0; i < 64; i++) {
		uint32_t index = connection_take(table);

		fill(connection_at(table, index), &twins[i]);
		CHECK_EQ(connection_insert(table, index, 0), 0);
		twins[i].used = true;
	}
	CHECK_EQ(connection_take(table), CONN_NONE);
	for (unsigned int round = 0; round < 200; round++) {
		for (unsigned int i = 0; i < 64; i++) {
			const struct twin *t = &twins[check_random() % 64];

			memset(&packets[i], 0, sizeof(packets[i]));
			packets[i].key = check_random() % 2 ? t->in : t->out;
			if (check_random() % 3 == 0)
				packets[i].key.source_port ^= 1;
			if (check_random() % 16 == 0)
				packets[i].verdict = VERDICT_DROP;
		}
		connection_prefetch(table, packets, 64);
		connection_find_burst(table, packets, 64);
		for (unsigned int i = 0; i < 64; i++) {
			if (packets[i].verdict == VERDICT_DROP)
				continue;
			CHECK_EQ(packets[i].found, connection_find(table, &packets[i].key));
		}
	}
	connection_table_free(table);
}

static void retired_is_not_found_but_expires(void)
{
	struct twin t = {.used = true};
	uint32_t index;

	memset(twins, 0, sizeof(twins));
	table = connection_table_new(64, -1);
	now_tick = 10;
	expirations = 0;
	connection_expire(table, now_tick, 1, on_expired, NULL);
	index = connection_take(table);
	fill(connection_at(table, index), &t);
	t.index = index;
	t.timeout = 5;
	t.last_seen = now_tick;
	connection_at(table, index)->timeout = 5;
	CHECK_EQ(connection_insert(table, index, now_tick), 0);
	twins[0] = t;
	connection_retire(table, index);
	CHECK_EQ(connection_find(table, &t.in), CONN_NONE);
	for (; now_tick < 20; now_tick++)
		connection_expire(table, now_tick, 100, on_expired, NULL);
	CHECK_EQ(expirations, 1);
	CHECK_EQ(connection_table_count(table), 0);
	connection_table_free(table);
}

int main(void)
{
	RUN(table_agrees_with_list);
	RUN(burst_agrees_with_single);
	RUN(retired_is_not_found_but_expires);
	return check_end();
}
