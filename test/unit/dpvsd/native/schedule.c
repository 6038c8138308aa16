/* Schedulers against naive versions on random servers, weights and loads. */
#include "check.h"
#include "core/schedule.h"

#include <arpa/inet.h>
#include <time.h>

enum { MOST = 12000 };

static struct server servers[MOST];
static struct server *pointers[MOST];
static struct server_count counts[MOST + 1];

static void make_servers(uint32_t count)
{
	memset(servers, 0, sizeof(servers[0]) * count);
	memset(counts, 0, sizeof(counts[0]) * (count + 1));
	for (uint32_t i = 0; i < count; i++) {
		servers[i].index = i + 1;
		servers[i].family = FAMILY_IPV4;
		servers[i].address = ip_from_v4(htonl(0x0a000001 + i));
		servers[i].port = htons(80);
		servers[i].weight = 1;
		pointers[i] = &servers[i];
	}
}

static struct schedule_question question_of(uint32_t client, unsigned int worker, unsigned int workers)
{
	static union ip_addr address, destination;

	address = ip_from_v4(htonl(client));
	destination = ip_from_v4(htonl(client ^ 0x55555555));
	return (struct schedule_question){.family = FAMILY_IPV4,
					  .client = &address,
					  .destination = &destination,
					  .client_port = htons((uint16_t)(client * 7)),
					  .counts = counts,
					  .worker = worker,
					  .workers = workers};
}

static uint32_t position_of(const struct server *server)
{
	return server ? (uint32_t)(server - servers) : UINT32_MAX;
}

static struct schedule *make(enum scheduler scheduler, unsigned int flags, uint32_t count)
{
	return schedule_new(scheduler, flags, pointers, count);
}

static void names(void)
{
	for (int i = 0; i < SCHEDULER_COUNT; i++)
		CHECK_EQ(scheduler_by_name(scheduler_name((enum scheduler)i)), i);
	CHECK_EQ(scheduler_by_name("lblc"), -1);
	CHECK_EQ(scheduler_by_name(""), -1);
}

static void workers_begin_at_their_own_server(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_RR, SCHEDULER_WRR, SCHEDULER_WLC};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++)
		for (uint32_t count = 1; count <= 17; count++)
			for (unsigned int workers = 1; workers <= 9; workers++) {
				make_servers(count);
				struct schedule *schedule = make(kinds[kind], 0, count);

				for (unsigned int worker = 0; worker < workers; worker++) {
					struct schedule_cursor cursor = {0};
					struct schedule_question q = question_of(1, worker, workers);
					uint32_t first = count * worker / workers;

					/* And from there on, one after the other. */
					for (uint32_t i = 0; i < 2 * count; i++)
						CHECK_EQ(position_of(schedule_pick(schedule, &cursor, &q)),
							 (first + i) % count);
				}
				schedule_free(schedule);
			}
}

/* Each turn comes from a new schedule of the same service, as when weights change all the time. */
static void turns_go_on_over_changes(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_RR, SCHEDULER_WRR, SCHEDULER_WLC};
	enum { COUNT = 6, WORKERS = 4, ROUNDS = 5, LINE = 20000 };

	for (unsigned int kind = 0; kind <= RTE_DIM(kinds); kind++)
		for (unsigned int worker = 0; worker < WORKERS; worker++) {
			enum scheduler scheduler = kind < RTE_DIM(kinds) ? kinds[kind] : SCHEDULER_WRR;
			struct schedule_cursor cursor = {0};
			struct schedule_question q = question_of(1, worker, WORKERS);
			uint32_t picked[COUNT] = {0}, first = COUNT * worker / WORKERS;
			uint64_t born = 0;

			make_servers(COUNT);
			/* Weights without a sequence. */
			for (uint32_t i = 0; kind == RTE_DIM(kinds) && i < COUNT; i++)
				servers[i].weight = LINE + i;
			for (uint32_t i = 0; i < ROUNDS * COUNT; i++) {
				struct schedule *schedule = make(scheduler, 0, COUNT);

				born = born ? born : schedule->serial;
				schedule->born = born;
				uint32_t at = position_of(schedule_pick(schedule, &cursor, &q));

				CHECK(i > 0 || at == first);
				picked[at]++;
				schedule_free(schedule);
			}
			for (uint32_t i = 0; i < COUNT; i++) {
				CHECK(picked[i] >= ROUNDS - (kind == RTE_DIM(kinds)));
				CHECK(picked[i] <= ROUNDS + (kind == RTE_DIM(kinds)));
			}

			/* Another service begins where workers begin. */
			struct schedule *other = make(scheduler, 0, COUNT);

			CHECK_EQ(position_of(schedule_pick(other, &cursor, &q)), first);
			schedule_free(other);
		}
}

static void rr_passes_over_the_unavailable(void)
{
	for (int round = 0; round < 300; round++) {
		uint32_t count = 1 + check_random() % 100, at = 0;
		struct schedule_cursor cursor = {0};
		struct schedule_question q = question_of(1, 0, 1);

		make_servers(count);
		for (uint32_t i = 0; i < count; i++)
			servers[i].weight = check_random() % 3;
		struct schedule *schedule = make(SCHEDULER_RR, 0, count);

		for (uint32_t i = 0; i < count; i++) {
			servers[i].overloaded = check_random() % 4 == 0;
			if (check_random() % 8 == 0)
				servers[i].flags = SERVER_REMOVED;
		}
		for (int pick = 0; pick < 300; pick++) {
			uint32_t wanted = UINT32_MAX;

			for (uint32_t i = 0; i < count && wanted == UINT32_MAX; i++)
				if (server_available(&servers[(at + i) % count]))
					wanted = (at + i) % count;
			uint32_t got = position_of(schedule_pick(schedule, &cursor, &q));

			CHECK_EQ(got, wanted);
			if (wanted != UINT32_MAX)
				at = (wanted + 1) % count;
		}
		schedule_free(schedule);
	}
}

/* Over a whole round the turns are the weights divided by their greatest common divisor; and at no time is a
 * server a whole turn and a half away from its fair part. */
static void check_wrr_round(uint32_t count, uint64_t divisor, bool smooth)
{
	static uint64_t turns[MOST];
	struct schedule_cursor cursor = {0};
	struct schedule_question q = question_of(1, check_random() % 4, 4);
	struct schedule *schedule = make(SCHEDULER_WRR, 0, count);
	uint64_t total = schedule->total_weight / divisor, worst = 0;

	memset(turns, 0, count * sizeof(turns[0]));
	q.worker = 0;
	for (uint64_t i = 0; i < total; i++) {
		uint32_t at = position_of(schedule_pick(schedule, &cursor, &q));

		CHECK(at < count);
		if (at >= count)
			break;
		turns[at]++;
		int64_t off = (int64_t)(turns[at] * total) -
			      (int64_t)((i + 1) * (servers[at].weight / divisor));

		worst = RTE_MAX(worst, (uint64_t)(off < 0 ? -off : off));
	}
	for (uint32_t i = 0; i < count; i++)
		CHECK_EQ(turns[i], servers[i].weight / divisor);
	/* The start of worker 0 is the first server's first turn, a little before the others' at most. */
	if (smooth)
		CHECK(worst <= 2 * total);
	schedule_free(schedule);
}

static void wrr_gives_each_its_weight(void)
{
	for (int round = 0; round < 200; round++) {
		uint32_t count = 1 + check_random() % 40;
		uint64_t divisor = 1 + check_random() % 50;

		make_servers(count);
		servers[0].weight = (uint32_t)divisor; /* so that it is the greatest common one */
		for (uint32_t i = 1; i < count; i++)
			servers[i].weight = (uint32_t)(divisor * (check_random() % 100));
		check_wrr_round(count, divisor, true);
	}
}

static void wrr_with_weights_too_large_for_a_sequence(void)
{
	for (int round = 0; round < 20; round++) {
		uint32_t count = 2 + check_random() % 40;

		make_servers(count);
		for (uint32_t i = 0; i < count; i++)
			servers[i].weight = check_random() % 4 ? 1000 + check_random() % 64000 : 0;
		servers[0].weight = 40001;
		servers[1].weight = 40000;
		check_wrr_round(count, 1, false);
	}
	/* Weights whose sum leaves 32 bits still work. */
	make_servers(3);
	servers[0].weight = UINT32_MAX;
	servers[1].weight = UINT32_MAX - 1;
	servers[2].weight = UINT32_MAX / 2;
	uint32_t turns[3] = {0};
	struct schedule_cursor cursor = {0};
	struct schedule_question q = question_of(1, 1, 2);
	struct schedule *schedule = make(SCHEDULER_WRR, 0, 3);

	for (int i = 0; i < 10000; i++)
		turns[position_of(schedule_pick(schedule, &cursor, &q)) % 3]++;
	CHECK(turns[0] > 3990 && turns[0] < 4010);
	CHECK(turns[1] > 3990 && turns[1] < 4010);
	schedule_free(schedule);
}

static void wrr_heavy_server_gets_no_bursts(void)
{
	struct schedule_cursor cursor = {0};
	struct schedule_question q = question_of(1, 0, 1);
	uint32_t run = 0, longest = 0, last = UINT32_MAX;

	make_servers(11);
	servers[0].weight = 10;
	struct schedule *schedule = make(SCHEDULER_WRR, 0, 11);

	for (int i = 0; i < 200; i++) {
		uint32_t at = position_of(schedule_pick(schedule, &cursor, &q));

		run = at == last ? run + 1 : 1;
		last = at;
		longest = RTE_MAX(longest, run);
	}
	CHECK(longest <= 2);
	schedule_free(schedule);
}

static void least_load(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_LC, SCHEDULER_WLC, SCHEDULER_SED, SCHEDULER_NQ};

	for (int round = 0; round < 4000; round++) {
		enum scheduler kind = kinds[round % 4];
		uint32_t count = 1 + check_random() % 20;
		struct schedule_cursor cursor = {0};
		struct schedule_question q = question_of(1, check_random() % 3, 3);

		make_servers(count);
		for (uint32_t i = 0; i < count; i++) {
			servers[i].weight = check_random() % 5;
			servers[i].overloaded = check_random() % 5 == 0;
			counts[i + 1].active = check_random() % 6;
			counts[i + 1].inactive = check_random() % 1000;
		}
		struct schedule *schedule = make(kind, 0, count);
		uint32_t got = position_of(schedule_pick(schedule, &cursor, &q));
		/* Nobody who is available may have less to do than the choice. */
		double least = 1e300, chosen = 0;
		bool any_idle = false, any = false;

		for (uint32_t i = 0; i < count; i++) {
			double load = kind >= SCHEDULER_SED
					  ? counts[i + 1].active + 1
					  : counts[i + 1].active * 256.0 + counts[i + 1].inactive;
			if (!server_available(&servers[i])) {
				CHECK(got != i);
				continue;
			}
			any = true;
			any_idle |= counts[i + 1].active == 0;
			if (kind != SCHEDULER_LC)
				load /= servers[i].weight;
			least = RTE_MIN(least, load);
			if (i == got)
				chosen = load;
		}
		CHECK_EQ(got != UINT32_MAX, any);
		if (kind == SCHEDULER_NQ && any_idle)
			CHECK_EQ(counts[got + 1].active, 0);
		else if (any)
			CHECK(chosen <= least * 1.0000001);
		schedule_free(schedule);
	}
}

static void idle_servers_take_turns(void)
{
	struct schedule_cursor cursor = {0};
	struct schedule_question q = question_of(1, 0, 1);

	make_servers(5);
	struct schedule *schedule = make(SCHEDULER_WLC, 0, 5);

	for (uint32_t i = 0; i < 10; i++)
		CHECK_EQ(position_of(schedule_pick(schedule, &cursor, &q)), i % 5);
	schedule_free(schedule);
}

static void fo_takes_the_heaviest_and_ovf_the_heaviest_with_room(void)
{
	for (int round = 0; round < 2000; round++) {
		uint32_t count = 1 + check_random() % 20, fo = UINT32_MAX, ovf = UINT32_MAX;
		struct schedule_cursor cursor = {0};
		unsigned int workers = 1 + check_random() % 4;
		struct schedule_question q = question_of(1, 0, workers);

		make_servers(count);
		for (uint32_t i = 0; i < count; i++) {
			servers[i].weight = check_random() % 6;
			servers[i].overloaded = check_random() % 4 == 0;
			counts[i + 1].active = check_random() % 8;
		}
		for (uint32_t i = 0; i < count; i++) {
			if (!server_available(&servers[i]))
				continue;
			if (fo == UINT32_MAX || servers[i].weight > servers[fo].weight)
				fo = i;
			if (counts[i + 1].active * workers <= servers[i].weight &&
			    (ovf == UINT32_MAX || servers[i].weight > servers[ovf].weight))
				ovf = i;
		}
		struct schedule *schedule = make(SCHEDULER_FO, 0, count);

		CHECK_EQ(position_of(schedule_pick(schedule, &cursor, &q)), fo);
		schedule_free(schedule);
		schedule = make(SCHEDULER_OVF, 0, count);
		CHECK_EQ(position_of(schedule_pick(schedule, &cursor, &q)), ovf);
		schedule_free(schedule);
	}
}

enum { CLIENTS = 20000 };

/* Where each client goes. */
static void map_clients(const struct schedule *schedule, uint32_t *where)
{
	struct schedule_cursor cursor = {0};

	for (uint32_t i = 0; i < CLIENTS; i++) {
		struct schedule_question q = question_of(0xc0a80000 + i, 0, 1);

		where[i] = position_of(schedule_pick(schedule, &cursor, &q));
	}
}

static uint32_t before[CLIENTS], after[CLIENTS];

static void hashing_is_even_by_weight(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_SH, SCHEDULER_MH, SCHEDULER_CONHASH};
	/* Of the fair part; a ring of 160 points deviates by about 1/sqrt(160). */
	static const double tolerance[] = {0.12, 0.12, 0.35};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++) {
		uint32_t load[8] = {0};

		make_servers(8);
		for (uint32_t i = 0; i < 8; i++)
			servers[i].weight = 10 + 10 * (i % 3);
		struct schedule *schedule = make(kinds[kind], 0, 8);

		map_clients(schedule, before);
		for (uint32_t i = 0; i < CLIENTS; i++)
			load[before[i] % 8]++;
		for (uint32_t i = 0; i < 8; i++) {
			double fair = (double)CLIENTS * servers[i].weight / schedule->total_weight;

			CHECK(load[i] > fair * (1 - tolerance[kind]) &&
			      load[i] < fair * (1 + tolerance[kind]));
		}
		schedule_free(schedule);
	}
}

static void a_client_stays_with_its_server(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_SH, SCHEDULER_DH, SCHEDULER_MH, SCHEDULER_CONHASH};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++) {
		make_servers(7);
		struct schedule *schedule = make(kinds[kind], 0, 7);

		map_clients(schedule, before);
		schedule_free(schedule);
		/* Another director got them in another order. */
		for (uint32_t i = 0; i < 7; i++)
			pointers[i] = &servers[6 - i];
		schedule = make(kinds[kind], 0, 7);
		map_clients(schedule, after);
		CHECK(memcmp(before, after, sizeof(before)) == 0);
		schedule_free(schedule);
	}
}

/* Maglev and the ring: whose server stays, mostly stays with it, and entirely on the ring. */
static void removal_and_addition_move_few(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_MH, SCHEDULER_CONHASH};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++)
		for (int round = 0; round < 10; round++) {
			uint32_t count = 5 + check_random() % 45, gone = check_random() % count;
			uint32_t moved = 0, others = 0;

			make_servers(count);
			struct schedule *schedule = make(kinds[kind], 0, count);

			map_clients(schedule, before);
			schedule_free(schedule);
			servers[gone].weight = 0;
			schedule = make(kinds[kind], 0, count);
			map_clients(schedule, after);
			schedule_free(schedule);
			for (uint32_t i = 0; i < CLIENTS; i++) {
				CHECK(after[i] != gone);
				others += before[i] != gone;
				moved += before[i] != gone && before[i] != after[i];
			}
			if (kinds[kind] == SCHEDULER_CONHASH)
				CHECK_EQ(moved, 0);
			CHECK(moved * 100 < others * 5); /* Maglev: below 5 % */
			/* And it comes back: everybody is where he was. */
			servers[gone].weight = 1;
			schedule = make(kinds[kind], 0, count);
			map_clients(schedule, after);
			schedule_free(schedule);
			CHECK(memcmp(before, after, sizeof(before)) == 0);
		}
}

static void a_changed_weight_moves_few(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_MH, SCHEDULER_CONHASH};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++) {
		uint32_t moved = 0;

		make_servers(20);
		for (uint32_t i = 0; i < 20; i++)
			servers[i].weight = 100;
		struct schedule *schedule = make(kinds[kind], 0, 20);

		map_clients(schedule, before);
		schedule_free(schedule);
		servers[3].weight = 50;
		schedule = make(kinds[kind], 0, 20);
		map_clients(schedule, after);
		schedule_free(schedule);
		for (uint32_t i = 0; i < CLIENTS; i++)
			moved += before[i] != after[i];
		/* 2.5 % have to. */
		CHECK(moved > CLIENTS / 100 && moved < CLIENTS * 8 / 100);
	}
}

static void overload_and_fallback(void)
{
	static const enum scheduler kinds[] = {SCHEDULER_SH, SCHEDULER_MH};

	for (unsigned int kind = 0; kind < RTE_DIM(kinds); kind++)
		for (unsigned int flags = 0; flags <= SCHEDULE_FALLBACK; flags += SCHEDULE_FALLBACK) {
			make_servers(10);
			struct schedule *schedule = make(kinds[kind], flags, 10);

			map_clients(schedule, before);
			servers[4].overloaded = 1;
			map_clients(schedule, after);
			for (uint32_t i = 0; i < CLIENTS; i++) {
				if (before[i] != 4)
					CHECK_EQ(after[i], before[i]);
				else if (flags)
					CHECK(after[i] < 10 && after[i] != 4);
				else
					CHECK_EQ(after[i], UINT32_MAX);
			}
			/* Removed behind the table's back: its clients go on elsewhere in any case. */
			servers[4].overloaded = 0;
			servers[4].flags = SERVER_REMOVED;
			map_clients(schedule, after);
			for (uint32_t i = 0; i < CLIENTS; i++)
				CHECK(after[i] < 10 && after[i] != 4);
			schedule_free(schedule);
		}
}

static void source_port_takes_part_when_asked(void)
{
	make_servers(10);
	for (unsigned int flags = 0; flags <= SCHEDULE_PORT; flags += SCHEDULE_PORT) {
		struct schedule *schedule = make(SCHEDULER_MH, flags, 10);
		struct schedule_cursor cursor = {0};
		uint32_t seen = 0;

		for (uint16_t port = 1; port < 200; port++) {
			struct schedule_question q = question_of(0x01020304, 0, 1);

			q.client_port = htons(port);
			seen |= 1u << position_of(schedule_pick(schedule, &cursor, &q));
		}
		CHECK_EQ(__builtin_popcount(seen), flags ? 10 : 1);
		schedule_free(schedule);
	}
}

static void quic_connection_id_in_place_of_the_address(void)
{
	make_servers(10);
	struct schedule *schedule = make(SCHEDULER_CONHASH, SCHEDULE_QUIC_ID, 10);
	struct schedule_cursor cursor = {0};

	for (uint64_t id = 1; id < 50; id++) {
		struct schedule_question q = question_of(1, 0, 1);

		q.quic_id_hash = id * 0x123456789abcdefull;
		uint32_t one = position_of(schedule_pick(schedule, &cursor, &q));

		q = question_of(999 + (uint32_t)id, 0, 1);
		q.quic_id_hash = id * 0x123456789abcdefull;
		CHECK_EQ(position_of(schedule_pick(schedule, &cursor, &q)), one);
	}
	schedule_free(schedule);
}

/* Whatever the scheduler, flags, weights and loads: the choice is available, and there is one when there can
 * be. */
static void every_scheduler_on_anything(void)
{
	for (int round = 0; round < 4000; round++) {
		enum scheduler kind = (enum scheduler)(check_random() % SCHEDULER_COUNT);
		unsigned int flags = check_random() % 8;
		uint32_t count = check_random() % 40;
		unsigned int workers = 1 + check_random() % 64;
		struct schedule_cursor cursor = {.schedule = check_random(),
						 .position = (uint32_t)check_random()};
		bool any = false;

		make_servers(count);
		for (uint32_t i = 0; i < count; i++)
			servers[i].weight = check_random() % 3
						? (uint32_t)(check_random() >> (check_random() % 64))
						: 0;
		struct schedule *schedule = make(kind, flags, count);

		CHECK(schedule != NULL);
		for (uint32_t i = 0; i < count; i++) {
			servers[i].overloaded = check_random() % 4 == 0;
			counts[i + 1].active = check_random() % 8;
			any |= server_available(&servers[i]);
		}
		for (int pick = 0; pick < 20; pick++) {
			struct schedule_question q = question_of((uint32_t)check_random(),
								 check_random() % workers, workers);
			struct server *server = schedule_pick(schedule, &cursor, &q);

			if (server)
				CHECK(server_available(server));
			bool may_refuse = kind == SCHEDULER_OVF ||
					  ((kind == SCHEDULER_SH || kind == SCHEDULER_MH ||
					    kind == SCHEDULER_DH) &&
					   !(flags & SCHEDULE_FALLBACK));
			if (!may_refuse)
				CHECK_EQ(server != NULL, any);
		}
		schedule_free(schedule);
	}
}

static void large_services(void)
{
	for (int kind = 0; kind < SCHEDULER_COUNT; kind++) {
		struct schedule_cursor cursor = {0};
		struct schedule_question q = question_of(5, 0, 1);
		struct timespec from, to;

		make_servers(10000);
		for (uint32_t i = 0; i < 10000; i++)
			servers[i].weight = 1 + i % 100;
		clock_gettime(CLOCK_MONOTONIC, &from);
		struct schedule *schedule = make((enum scheduler)kind, 0, 10000);

		clock_gettime(CLOCK_MONOTONIC, &to);
		CHECK(schedule_pick(schedule, &cursor, &q) != NULL);
		printf("%s over 10,000 servers: made in %.1f ms\n", scheduler_name((enum scheduler)kind),
		       (double)(to.tv_sec - from.tv_sec) * 1e3 + (double)(to.tv_nsec - from.tv_nsec) / 1e6);
		schedule_free(schedule);
	}
}

int main(void)
{
	RUN(names);
	RUN(workers_begin_at_their_own_server);
	RUN(turns_go_on_over_changes);
	RUN(rr_passes_over_the_unavailable);
	RUN(wrr_gives_each_its_weight);
	RUN(wrr_with_weights_too_large_for_a_sequence);
	RUN(wrr_heavy_server_gets_no_bursts);
	RUN(least_load);
	RUN(idle_servers_take_turns);
	RUN(fo_takes_the_heaviest_and_ovf_the_heaviest_with_room);
	RUN(hashing_is_even_by_weight);
	RUN(a_client_stays_with_its_server);
	RUN(removal_and_addition_move_few);
	RUN(a_changed_weight_moves_few);
	RUN(overload_and_fallback);
	RUN(source_port_takes_part_when_asked);
	RUN(quic_connection_id_in_place_of_the_address);
	RUN(every_scheduler_on_anything);
	RUN(large_services);
	return check_end();
}
