/* Multicast listener discovery: what is told of which groups, when, and to whom, against a router that keeps
 * what it hears. */
#include <netinet/in.h>

#include "core/checksum.h"

#include "stack.h"

enum {
	HEADERS = 14 + 40 + 8, /* before the ICMPv6 message */
	MOST_GROUPS = 2048,
	SECOND = 1000,
};

static const uint8_t ALERT[8] = {IPPROTO_ICMPV6, 0, 5, 2, 0, 0, 1, 0};
static const char *const LINK_LOCAL[2] = {"fe80::ff:fe00:10", "fe80::ff:fe00:11"};

/* ---- the router ---- */

/* Groups that somebody behind a port listens to, as the reports say. */
static struct {
	union ip_addr groups[2][MOST_GROUPS];
	unsigned int count[2];
	unsigned int read; /* reports, so far */
	unsigned int joins, leaves, answers; /* records of version 2 */
	unsigned int v1_reports, v1_dones;
} router;

static bool listens(uint16_t port, const char *group)
{
	union ip_addr wanted = ip(group);

	for (unsigned int i = 0; i < router.count[port]; i++)
		if (ip_equal(&router.groups[port][i], &wanted))
			return true;
	return false;
}

static void note(uint16_t port, const uint8_t *bytes, bool member)
{
	union ip_addr group;

	memcpy(&group, bytes, 16);
	for (unsigned int i = 0; i < router.count[port]; i++)
		if (ip_equal(&router.groups[port][i], &group)) {
			if (!member)
				router.groups[port][i] = router.groups[port][--router.count[port]];
			return;
		}
	if (member)
		router.groups[port][router.count[port]++] = group;
}

static void read_report(const struct sent_report *report)
{
	const uint8_t *frame = report->bytes, *ip6 = frame + 14, *icmp = frame + HEADERS;
	union ip_addr source = ip(LINK_LOCAL[report->port]), destination;
	size_t message = report->length - HEADERS;

	memcpy(&destination, ip6 + 24, 16);
	CHECK_EQ(memcmp(frame + 6, report->port ? MAC1 : MAC0, 6), 0);
	CHECK_EQ(ip6[0] >> 4, 6);
	CHECK_EQ(ip6[4] << 8 | ip6[5], message + 8);
	CHECK_EQ(ip6[6], IPPROTO_HOPOPTS);
	CHECK_EQ(ip6[7], 1);
	CHECK_EQ(memcmp(ip6 + 8, &source, 16), 0);
	CHECK_EQ(memcmp(ip6 + 40, ALERT, 8), 0);
	CHECK_EQ(memcmp(frame, (uint8_t[]){0x33, 0x33}, 2), 0);
	CHECK_EQ(memcmp(frame + 2, ip6 + 24 + 12, 4), 0);
	CHECK(report->length <= 14 + 1280);
	CHECK_EQ(checksum_transport(FAMILY_IPV6, ip6, IPPROTO_ICMPV6, icmp, message), 0);
	if (icmp[0] == 131 || icmp[0] == 132) {
		union ip_addr to = ip("ff02::2");

		CHECK_EQ(message, 24);
		if (icmp[0] == 131)
			memcpy(&to, icmp + 8, 16);
		CHECK(ip_equal(&to, &destination));
		note(report->port, icmp + 8, icmp[0] == 131);
		router.v1_reports += icmp[0] == 131;
		router.v1_dones += icmp[0] == 132;
		return;
	}
	CHECK_EQ(icmp[0], 143);
	destination = ip("ff02::16");
	CHECK_EQ(memcmp(ip6 + 24, &destination, 16), 0);
	CHECK_EQ(message, 8 + 20 * (icmp[6] << 8 | icmp[7]));
	for (const uint8_t *record = icmp + 8; record < icmp + message; record += 20) {
		CHECK(record[0] >= 2 && record[0] <= 4);
		CHECK_EQ(record[1] | record[2] | record[3], 0);
		router.joins += record[0] == 4;
		router.leaves += record[0] == 3;
		router.answers += record[0] == 2;
		note(report->port, record + 4, record[0] != 3);
	}
}

/* Lets time pass, and reads what was said meanwhile. */
static void hear(uint64_t milliseconds)
{
	run_until(now + milliseconds);
	for (; router.read < report_count; router.read++)
		read_report(&reports[router.read % MOST_REPORTS]);
}

static void start(void)
{
	memset(&router, 0, sizeof(router));
	stack_start(NULL);
}

/* Forgets what was counted, not who listens. */
static void count_anew(void)
{
	router.joins = router.leaves = router.answers = router.v1_reports = router.v1_dones = 0;
}

struct query {
	uint8_t bytes[128];
	size_t length;
};

static void seal(struct query *query)
{
	uint8_t *icmp = query->bytes + HEADERS;
	rte_be16_t checksum;

	icmp[2] = icmp[3] = 0;
	checksum = checksum_transport(FAMILY_IPV6, query->bytes + 14, IPPROTO_ICMPV6, icmp,
				      query->length - HEADERS);
	memcpy(icmp + 2, &checksum, 2);
}

/* @param group "::" for all */
static struct query query_of(unsigned int version, const char *group, uint16_t code)
{
	struct query query = {.length = HEADERS + (version == 1 ? 24 : 28)};
	uint8_t *ip6 = query.bytes + 14, *icmp = query.bytes + HEADERS;
	union ip_addr about = ip(group), source = ip("fe80::1"),
		      destination = ip_is_zero(&about) ? ip("ff02::1") : about;

	memcpy(query.bytes, (uint8_t[]){0x33, 0x33}, 2);
	memcpy(query.bytes + 2, destination.b + 12, 4);
	memcpy(query.bytes + 6, PEER, 6);
	query.bytes[12] = 0x86;
	query.bytes[13] = 0xdd;
	ip6[0] = 0x60;
	ip6[5] = (uint8_t)(query.length - 14 - 40);
	ip6[7] = 1;
	memcpy(ip6 + 8, &source, 16);
	memcpy(ip6 + 24, &destination, 16);
	memcpy(ip6 + 40, ALERT, 8);
	icmp[0] = 130;
	icmp[4] = (uint8_t)(code >> 8);
	icmp[5] = (uint8_t)code;
	memcpy(icmp + 8, &about, 16);
	seal(&query);
	return query;
}

static void ask(uint16_t port, const struct query *query)
{
	net_input(master, port, query->bytes, query->length, now);
}

static void ask_all(uint16_t port, unsigned int version, uint16_t code)
{
	struct query query = query_of(version, "::", code);

	ask(port, &query);
}

/* ---- cases ---- */

static void a_new_address_is_told_twice(void)
{
	start();
	address_apply(0, "fd00::12:3456/64", 0);
	CHECK_EQ(report_count, 0);
	hear(0);
	CHECK_EQ(router.joins, 1);
	CHECK(listens(0, "ff02::1:ff12:3456"));
	CHECK_EQ(router.count[1], 0);
	hear(SECOND);
	CHECK_EQ(router.joins, 2);
	hear(3600 * SECOND);
	CHECK_EQ(router.joins, 2);
	CHECK_EQ(router.count[0], 1);
	stack_stop();
}

static void a_group_is_left_with_its_last_address(void)
{
	start();
	address_apply(0, "fd00::12:3456/64", 0);
	address_apply(0, "fd01::12:3456/64", 0);
	address_apply(1, "fd02::12:3456/64", 1);
	address_apply(0, "10.0.0.1/24", 0);
	hear(2 * SECOND);
	CHECK_EQ(router.joins, 2);
	address_apply(3, "fd00::12:3456/64", 0);
	hear(2 * SECOND);
	CHECK_EQ(router.leaves, 0);
	address_apply(3, "fd01::12:3456/64", 0);
	hear(0);
	CHECK_EQ(router.leaves, 1);
	CHECK(!listens(0, "ff02::1:ff12:3456"));
	hear(2 * SECOND);
	CHECK_EQ(router.leaves, 2);
	count_anew();
	ask_all(0, 2, 100);
	hear(SECOND);
	CHECK_EQ(router.answers, 0);
	/* There again before the second notice of leaving. */
	address_apply(0, "fd00::12:3456/64", 0);
	hear(2 * SECOND);
	address_apply(3, "fd00::12:3456/64", 0);
	hear(0);
	address_apply(0, "fd00::12:3456/64", 0);
	hear(5 * SECOND);
	CHECK(listens(0, "ff02::1:ff12:3456"));
	stack_stop();
}

static void an_address_that_expires_is_told(void)
{
	struct address address = address_of("fd00::1/64", 0);
	struct error error;

	start();
	address.valid_lifetime = 10;
	CHECK_EQ(net_address_apply(master, 0, &address, now, &error), 0);
	hear(9 * SECOND);
	CHECK_EQ(router.count[0], 1);
	hear(2 * SECOND);
	CHECK_EQ(router.count[0], 0);
	CHECK(router.leaves > 0);
	stack_stop();
}

static void queriers_are_answered(void)
{
	struct query query;

	start();
	address_apply(0, "fd00::1/64", 0);
	address_apply(0, "fd00::2/64", 0);
	address_apply(1, "fd01::3/64", 1);
	hear(5 * SECOND);
	count_anew();
	router.count[0] = router.count[1] = 0;
	ask_all(0, 2, 10 * SECOND);
	hear(10 * SECOND);
	CHECK_EQ(router.answers, 2);
	CHECK_EQ(router.count[0], 2);
	CHECK_EQ(router.count[1], 0);

	count_anew();
	query = query_of(2, "ff02::1:ff00:2", SECOND);
	ask(0, &query);
	hear(SECOND);
	CHECK_EQ(router.answers, 1);
	query = query_of(2, "ff02::1:ff00:3", SECOND);
	ask(0, &query);
	hear(SECOND);
	CHECK_EQ(router.answers, 1);

	/* Asked twice before the answer: answered once, by the sooner of the two. */
	count_anew();
	ask_all(0, 2, 32767);
	ask_all(0, 2, 10);
	hear(11);
	CHECK_EQ(router.answers, 2);
	hear(60 * SECOND);
	CHECK_EQ(router.answers, 2);
	stack_stop();
}

/* Answers of many hosts must not come at once: they are spread over what the querier allows. */
static void answers_are_spread(void)
{
	uint64_t first = UINT64_MAX, last = 0;

	start();
	address_apply(0, "fd00::1/64", 0);
	hear(5 * SECOND);
	for (unsigned int i = 0; i < 100; i++) {
		uint64_t asked = now;
		unsigned int before = report_count;

		/* 0x9000: (0 | 0x1000) << (1 + 3) = 65.5 s */
		ask_all(0, 2, 0x9000);
		hear(65536);
		CHECK_EQ(report_count, before + 1);
		first = RTE_MIN(first, reports[before % MOST_REPORTS].at - asked);
		last = RTE_MAX(last, reports[before % MOST_REPORTS].at - asked);
	}
	CHECK(first < 5 * SECOND);
	CHECK(last > 60 * SECOND);
	stack_stop();
}

static void robustness_is_the_queriers(void)
{
	struct query query = query_of(2, "::", 1);

	start();
	query.bytes[HEADERS + 24] = 7;
	seal(&query);
	ask(0, &query);
	address_apply(0, "fd00::1/64", 0);
	hear(60 * SECOND);
	CHECK_EQ(router.joins, 7);
	/* 0 says nothing. */
	ask_all(0, 2, 1);
	address_apply(0, "fd00::2/64", 0);
	hear(60 * SECOND);
	CHECK_EQ(router.joins, 14);
	stack_stop();
}

static void an_old_querier_is_told_in_its_words(void)
{
	start();
	address_apply(0, "fd00::1/64", 0);
	hear(5 * SECOND);
	count_anew();
	ask_all(0, 1, SECOND);
	hear(SECOND);
	CHECK_EQ(router.v1_reports, 1);
	address_apply(0, "fd00::2/64", 0);
	hear(2 * SECOND);
	CHECK_EQ(router.v1_reports, 3);
	address_apply(3, "fd00::1/64", 0);
	hear(0);
	CHECK(router.v1_dones > 0);
	CHECK(!listens(0, "ff02::1:ff00:1"));
	CHECK_EQ(router.joins + router.leaves + router.answers, 0);
	/* The other port has not heard it. */
	address_apply(0, "fd01::2/64", 1);
	hear(SECOND);
	CHECK(router.joins > 0);
	/* Robustness times the query interval and the response interval later it is forgotten. */
	hear(2 * 125 * SECOND + 10 * SECOND);
	count_anew();
	address_apply(0, "fd00::4/64", 0);
	hear(2 * SECOND);
	CHECK_EQ(router.joins, 2);
	CHECK_EQ(router.v1_reports, 0);
	stack_stop();
}

static void what_is_no_query_is_not_answered(void)
{
	static const struct {
		const char *what;
		size_t at;
		uint8_t value;
	} faults[] = {
	    {"hop limit", 14 + 7, 255},
	    {"source", 14 + 8, 0x20},
	    {"no router alert", HEADERS - 8 + 2, 1},
	    {"option too long", HEADERS - 8 + 3, 200},
	    {"extension too long", HEADERS - 8 + 1, 9},
	    {"another extension", HEADERS - 8, IPPROTO_UDP},
	    {"type", HEADERS, 131},
	    {"group", HEADERS + 8, 0x20},
	    {"payload too long", 14 + 5, 90},
	    {"payload too short", 14 + 5, 20},
	};
	struct query query;

	start();
	address_apply(0, "fd00::1/64", 0);
	hear(5 * SECOND);
	for (unsigned int i = 0; i < RTE_DIM(faults); i++) {
		query = query_of(2, "::", 10);
		query.bytes[faults[i].at] = faults[i].value;
		seal(&query);
		ask(0, &query);
		hear(SECOND);
		if (router.answers != 0)
			printf("%s\n", faults[i].what);
		CHECK_EQ(router.answers, 0);
	}
	query = query_of(2, "::", 10);
	query.bytes[HEADERS + 2] ^= 1;
	ask(0, &query);
	for (size_t length = 0; length < query.length; length++) {
		query = query_of(2, "::", 10);
		net_input(master, 0, query.bytes, length, now);
	}
	/* Between the lengths of the two versions (RFC 3810 8.1). */
	query.length = HEADERS + 26;
	query.bytes[14 + 5] = 8 + 26;
	seal(&query);
	ask(0, &query);
	hear(SECOND);
	CHECK_EQ(router.answers + router.v1_reports, 0);
	ask_all(0, 2, 10);
	hear(SECOND);
	CHECK_EQ(router.answers, 1);
	stack_stop();
}

static void a_port_that_comes_up_tells_all(void)
{
	start();
	net.ports[0].up = false;
	net_port_changed(master, 0, now);
	address_apply(0, "fd00::1/64", 0);
	hear(5 * SECOND);
	CHECK_EQ(report_count, 0);
	net.ports[0].up = true;
	net_port_changed(master, 0, now);
	hear(0);
	CHECK_EQ(router.count[0], 2);
	CHECK(listens(0, "ff02::1:ff00:1"));
	/* Of the address that the port formed for itself. */
	CHECK(listens(0, "ff02::1:ff00:10"));
	hear(5 * SECOND);
	CHECK_EQ(router.joins, 4);
	/* The other end was replaced. */
	router.count[0] = 0;
	net.ports[0].up = false;
	net_port_changed(master, 0, now);
	net.ports[0].up = true;
	net_port_changed(master, 0, now);
	hear(0);
	CHECK_EQ(router.count[0], 2);
	stack_stop();
}

static void many_groups_take_several_reports(void)
{
	const unsigned int many = 1000;
	char text[64];

	start();
	net_changes_begin(master);
	for (unsigned int i = 0; i < many; i++) {
		snprintf(text, sizeof(text), "fd00::%x:%x/64", 0x10 + i / 256, 0x100 + i);
		CHECK_EQ(address_apply(0, text, 0), 0);
	}
	net_changes_end(master);
	hear(SECOND);
	CHECK_EQ(router.count[0], many);
	hear(2 * SECOND);
	CHECK_EQ(router.joins, 2 * many);
	CHECK_EQ(report_count, 2 * ((many + 59) / 60));
	router.count[0] = 0;
	ask_all(0, 2, 1);
	hear(SECOND);
	CHECK_EQ(router.count[0], many);
	CHECK_EQ(router.answers, many);
	stack_stop();
}

/* Whatever comes and goes, and whoever asks meanwhile: in the end the router knows exactly what is there. */
static void the_router_knows_what_is_there(void)
{
	bool there[2][32] = {0};
	char text[64];

	start();
	for (unsigned int step = 0; step < 4000; step++) {
		uint16_t port = check_random() & 1;
		unsigned int i = (unsigned int)(check_random() % 32);

		/* Every two share a group. */
		snprintf(text, sizeof(text), "fd0%u::%x/64", (i & 1) + 2 * port, 0x100 + i / 2);
		switch (check_random() % 8) {
		case 0:
			ask_all(port, 1 + (check_random() % 16 != 0), (uint16_t)(check_random() % 3000));
			break;
		case 1:
			hear(check_random() % 1500);
			break;
		default:
			CHECK_EQ(address_apply(there[port][i] ? 3 : 0, text, port), 0);
			there[port][i] = !there[port][i];
		}
		if (step % 100 != 99)
			continue;
		hear(10 * SECOND);
		for (port = 0; port < 2; port++) {
			unsigned int groups = 0;

			for (i = 0; i < 32; i += 2) {
				bool wanted = there[port][i] || there[port][i + 1];

				snprintf(text, sizeof(text), "ff02::1:ff00:%x", 0x100 + i / 2);
				CHECK_EQ(listens(port, text), wanted);
				groups += wanted;
			}
			CHECK_EQ(router.count[port], groups);
		}
	}
	stack_stop();
}

int main(void)
{
	RUN(a_new_address_is_told_twice);
	RUN(a_group_is_left_with_its_last_address);
	RUN(an_address_that_expires_is_told);
	RUN(queriers_are_answered);
	RUN(answers_are_spread);
	RUN(robustness_is_the_queriers);
	RUN(an_old_querier_is_told_in_its_words);
	RUN(what_is_no_query_is_not_answered);
	RUN(a_port_that_comes_up_tells_all);
	RUN(many_groups_take_several_reports);
	RUN(the_router_knows_what_is_there);
	return check_end();
}
