/* Ports of local addresses against a plain array. */
#include "check.h"
#include "core/local_port.h"

#include <time.h>

static struct local_address *make(uint16_t shares)
{
	union ip_addr address = ip_from_v4(0x0100000a);

	return local_address_new(&address, FAMILY_IPV4, 0, shares);
}

static void refuses_impossible_shares(void)
{
	CHECK(make(0) == NULL);
	CHECK(make(3) == NULL);
	CHECK(make(512) == NULL);
	for (uint16_t shares = 1; shares <= 256; shares *= 2) {
		struct local_address *local = make(shares);
		struct local_port_usage usage;

		CHECK(local != NULL);
		local_port_usage(local, &usage);
		CHECK_EQ(usage.used, 0);
		CHECK_EQ(usage.free, (65536 - 1024) * LOCAL_PORT_GROUPS);
		CHECK_EQ(usage.misses, 0);
		local_address_free(local);
	}
}

/* Random taking and giving, from all shares and groups. */
static void like_a_plain_array(void)
{
	static bool used[LOCAL_PORT_GROUPS][65536];

	for (uint16_t shares = 1; shares <= 64; shares *= 4) {
		struct local_address *local = make(shares);
		uint32_t count = 0, misses = 0;

		memset(used, 0, sizeof(used));
		for (int step = 0; step < 400000; step++) {
			/* Few groups, so that they fill up; phases of growth and of decline. */
			uint32_t hash = (uint32_t)(check_random() % 2 + 16 * (check_random() % 100));
			uint32_t group = hash % LOCAL_PORT_GROUPS;
			bool take = check_random() % 100 < ((step / 130000) % 2 ? 20u : 95u);

			if (take) {
				uint16_t share = check_random() % shares;
				uint16_t port = local_port_take(local, share, hash);

				if (port == 0) {
					if (misses++ % 500)
						continue;
					for (uint32_t p = LOCAL_PORT_FIRST; p < 65536; p++)
						if (p % shares == share)
							CHECK(used[group][p]);
					continue;
				}
				CHECK(port >= LOCAL_PORT_FIRST);
				CHECK_EQ(port % shares, share);
				CHECK(!used[group][port]);
				used[group][port] = true;
				count++;
			} else {
				uint16_t port = (uint16_t)check_random();

				/* Giving what is not taken changes nothing. */
				count -= used[group][port];
				used[group][port] = false;
				local_port_give(local, port, hash);
			}
		}
		struct local_port_usage usage;

		local_port_usage(local, &usage);
		CHECK_EQ(usage.used, count);
		CHECK_EQ(usage.free, (65536 - 1024) * LOCAL_PORT_GROUPS - count);
		CHECK_EQ(usage.misses, misses);
		local_address_free(local);
	}
}

static void fills_up_and_recovers(void)
{
	struct local_address *local = make(8);
	uint32_t taken = 0;
	uint16_t port, last = 0;

	while ((port = local_port_take(local, 5, 3))) {
		taken++;
		last = port;
	}
	CHECK_EQ(taken, (65536 - 1024) / 8);
	/* Another group and another share are not touched by it. */
	CHECK(local_port_take(local, 5, 4) != 0);
	CHECK(local_port_take(local, 4, 3) != 0);
	local_port_give(local, last, 3);
	CHECK_EQ(local_port_take(local, 5, 3), last);
	CHECK_EQ(local_port_take(local, 5, 3), 0);
	local_address_free(local);
}

/* A port that was just given back is the last to be given out again. */
static void a_port_rests_as_long_as_it_can(void)
{
	struct local_address *local = make(16);
	uint32_t ports = (65536 - 1024) / 16;
	uint16_t first = local_port_take(local, 2, 0);

	local_port_give(local, first, 0);
	for (uint32_t i = 1; i < ports; i++) {
		uint16_t port = local_port_take(local, 2, 0);

		CHECK(port != first && port != 0);
		local_port_give(local, port, 0);
	}
	CHECK_EQ(local_port_take(local, 2, 0), first);
	local_address_free(local);
}

static void costs_the_same_when_nearly_full(void)
{
	double nanoseconds[2];

	for (int full = 0; full < 2; full++) {
		struct local_address *local = make(1);
		struct timespec from, to;

		/* All but one port are taken: the worst case for a search. */
		for (int i = 0; full && i < 65536 - 1024 - 1; i++)
			local_port_take(local, 0, 0);
		clock_gettime(CLOCK_MONOTONIC, &from);
		for (int i = 0; i < 1000000; i++)
			local_port_give(local, local_port_take(local, 0, 0), 0);
		clock_gettime(CLOCK_MONOTONIC, &to);
		nanoseconds[full] = ((double)(to.tv_sec - from.tv_sec) * 1e9 +
				     (double)(to.tv_nsec - from.tv_nsec)) /
				    1e6;
		local_address_free(local);
	}
	printf("take and give: %.1f ns empty, %.1f ns with one port free\n", nanoseconds[0], nanoseconds[1]);
	CHECK(nanoseconds[1] < 500); /* a scan of 64,000 ports costs more */
}

int main(void)
{
	RUN(refuses_impossible_shares);
	RUN(like_a_plain_array);
	RUN(fills_up_and_recovers);
	RUN(a_port_rests_as_long_as_it_can);
	RUN(costs_the_same_when_nearly_full);
	return check_end();
}
