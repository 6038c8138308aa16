/* Addresses of ours: looking them up, life-times, announcements, listing. */
#include "stack.h"
#include "stack/arp.h"
#include "stack/nd.h"

static void against_a_list(void)
{
	static struct address kept[512];
	unsigned int count = 0;

	stack_start(NULL);
	for (int step = 0; step < 30000; step++) {
		bool six = check_random() & 1;
		struct address address = {.family = six ? FAMILY_IPV6 : FAMILY_IPV4,
					  .prefix = six ? 128 : 32,
					  .silent = 1,
					  .port = (uint16_t)(check_random() % 2)};
		struct error error;
		unsigned int at = 0;
		int verb = (int)(check_random() % 4), expected;

		address.address.b[0] = six ? 0x20 : 10;
		address.address.b[3] = (uint8_t)(check_random() % 64 + 1);
		if (six)
			address.address.b[15] = (uint8_t)(check_random() % 2);
		while (at < count && !(kept[at].port == address.port && kept[at].family == address.family &&
				       ip_equal(&kept[at].address, &address.address)))
			at++;
		expected = at < count ? (verb == 0 ? -1 : 0) : (verb == 1 || verb == 3 ? -1 : 0);
		CHECK_EQ(net_address_apply(master, verb, &address, now, &error), expected);
		if (expected == 0 && verb == 3)
			kept[at] = kept[--count];
		else if (expected == 0 && at == count)
			kept[count++] = address;

		address.address.b[3] = (uint8_t)(check_random() % 64 + 1);
		{
			const struct address *found = address_lookup(&net, (enum family)address.family,
								     &address.address);
			bool there = false;

			for (unsigned int i = 0; i < count; i++)
				there |= kept[i].family == address.family &&
					 ip_equal(&kept[i].address, &address.address);
			CHECK_EQ(found != NULL, there);
			if (found)
				CHECK(ip_equal(&found->address, &address.address));
		}
	}
	/* The list holds each once, also when it is read in pieces. */
	{
		struct address list[7];
		uint64_t cursor = 0;
		size_t got, total = 0;

		while ((got = net_addresses_list(master, &cursor, list, 7)))
			total += got;
		CHECK_EQ(total, count);
	}
	stack_stop();
}

static void listing_survives_changes(void)
{
	struct address list[10];
	unsigned int seen[256] = {0};
	uint64_t cursor = 0;
	char text[32];
	size_t got;

	stack_start(NULL);
	for (int i = 1; i <= 200; i++) {
		snprintf(text, sizeof(text), "10.0.0.%d/32", i);
		CHECK_EQ(address_apply(0, text, 0), 0);
	}
	/* While it is read, every even one is removed and added again: the odd ones are listed exactly once.
	 */
	for (int i = 2; (got = net_addresses_list(master, &cursor, list, 10)); i += 2) {
		for (size_t j = 0; j < got; j++)
			seen[list[j].address.b[3]]++;
		if (i > 200)
			break;
		snprintf(text, sizeof(text), "10.0.0.%d/32", i);
		CHECK_EQ(address_apply(3, text, 0), 0);
	}
	for (int i = 1; i <= 200; i += 2)
		CHECK_EQ(seen[i], 1);
	stack_stop();
}

static void refused(void)
{
	stack_start(NULL);
	CHECK_EQ(address_apply(0, "10.0.0.1/24", 7), -1);
	CHECK_EQ(address_apply(0, "224.0.0.1/24", 0), -1);
	CHECK_EQ(address_apply(0, "127.0.0.1/8", 0), -1);
	CHECK_EQ(address_apply(0, "0.0.0.0/8", 0), -1);
	CHECK_EQ(address_apply(0, "::1/128", 0), -1);
	CHECK_EQ(address_apply(0, "ff02::1/128", 0), -1);
	CHECK_EQ(address_apply(0, "10.0.0.1/0", 0), -1);
	CHECK_EQ(address_apply(0, "10.0.0.1/33", 0), -1);
	CHECK_EQ(address_apply(3, "10.0.0.1/24", 0), -1);
	CHECK_EQ(address_apply(3, "10.0.0.1/24", UINT16_MAX), -1);
	CHECK_EQ(address_apply(0, "10.0.0.1/24", 0), 0);
	CHECK_EQ(address_apply(3, "10.0.0.1/25", 0), -1);
	CHECK_EQ(address_apply(3, "10.0.0.1/24", 0), 0);
	stack_stop();
}

static void lifetimes(void)
{
	struct address address = address_of("10.0.0.1/24", 0), second = address_of("10.0.0.2/24", 0);
	union ip_addr towards = ip("10.0.0.9");
	struct error error;
	uint64_t start;

	stack_start(NULL);
	start = now;
	address.valid_lifetime = 100;
	address.preferred_lifetime = 40;
	address.silent = second.silent = 1;
	CHECK_EQ(net_address_apply(master, 0, &address, now, &error), 0);
	CHECK_EQ(net_address_apply(master, 0, &second, now, &error), 0);
	CHECK_EQ(net_tick(master, now), start + 40000);
	run_until(start + 39999);
	CHECK(route_lookup(&net, FAMILY_IPV4, &towards)->source.v4 == address.address.v4);
	run_until(start + 60000);
	/* extended */
	address.valid_lifetime = 200;
	CHECK_EQ(net_address_apply(master, 2, &address, now, &error), 0);
	run_until(start + 259999);
	CHECK(address_lookup(&net, FAMILY_IPV4, &address.address) != NULL);
	run_until(start + 260000);
	CHECK(address_lookup(&net, FAMILY_IPV4, &address.address) == NULL);
	CHECK(address_lookup(&net, FAMILY_IPV4, &second.address) != NULL);
	CHECK_EQ(net_tick(master, now), UINT64_MAX);
	address.preferred_lifetime = 201;
	CHECK_EQ(net_address_apply(master, 0, &address, now, &error), -1);
	stack_stop();
}

static void announcements(void)
{
	const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	const uint8_t all_nodes[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct arp_message arp;
	struct nd_message nd;
	struct address address;
	struct error error;
	uint64_t start;

	stack_start(NULL);
	start = now;
	CHECK_EQ(address_apply(0, "10.0.0.1/24", 0), 0);
	CHECK_EQ(address_apply(0, "2001:db8::1/64", 1), 0);
	run_until(start);
	CHECK_EQ(sent_count, 2);
	CHECK(memcmp(sent[0].bytes, broadcast, 6) == 0);
	CHECK(arp_parse(sent[0].bytes, sent[0].length, &arp));
	CHECK_EQ(arp.operation, ARP_REQUEST);
	CHECK(arp.sender.v4 == htonl(0x0a000001) && arp.target.v4 == htonl(0x0a000001));
	CHECK(memcmp(arp.sender_mac, MAC0, 6) == 0);
	CHECK_EQ(sent[1].port, 1);
	CHECK(memcmp(sent[1].bytes, all_nodes, 6) == 0);
	CHECK(nd_parse(sent[1].bytes, sent[1].length, &nd));
	CHECK_EQ(nd.type, ND_ADVERTISEMENT);
	CHECK_EQ(nd.flags, ND_OVERRIDE);
	CHECK(nd.has_mac && memcmp(nd.mac, MAC1, 6) == 0);
	run_until(start + 999);
	CHECK_EQ(sent_count, 2);
	run_until(start + 10000);
	CHECK_EQ(sent_count, 6);

	/* silent ones are not announced, nor addresses that only changed */
	address = address_of("10.0.0.2/24", 0);
	address.silent = 1;
	CHECK_EQ(net_address_apply(master, 0, &address, now, &error), 0);
	CHECK_EQ(address_apply(1, "10.0.0.1/24", 0), 0);
	run_until(now + 10000);
	CHECK_EQ(sent_count, 6);

	/* on demand */
	CHECK_EQ(net_announce(master, &address, 5, 100, now, &error), 0);
	run_until(now + 399);
	CHECK_EQ(sent_count, 10);
	run_until(now + 1);
	CHECK_EQ(sent_count, 11);
	address = address_of("10.0.0.3/24", 0);
	CHECK_EQ(net_announce(master, &address, 5, 100, now, &error), -1);

	/* a port that comes up says so; one that is down says nothing */
	net.ports[0].up = false;
	net_port_changed(master, 0, now);
	CHECK_EQ(address_apply(0, "10.0.0.9/24", 0), 0);
	run_until(now + 10000);
	CHECK_EQ(sent_count, 11);
	net.ports[0].up = true;
	net_port_changed(master, 0, now);
	run_until(now);
	CHECK_EQ(sent_count, 13);
	run_until(now + 10000);
	CHECK_EQ(sent_count, 17);
	stack_stop();
}

static void many_are_paced(void)
{
	uint64_t start;

	stack_start(NULL);
	start = now;
	net_changes_begin(master);
	for (int i = 0; i < 2000; i++) {
		struct address address = address_of("10.0.0.0/32", 0);
		struct error error;

		address.address.v4 = htonl(0x0a000001u + (uint32_t)i);
		CHECK_EQ(net_address_apply(master, 0, &address, now, &error), 0);
	}
	net_changes_end(master);
	run_until(start);
	CHECK(sent_count <= 10);
	run_until(start + 99);
	CHECK(sent_count >= 990 && sent_count <= 1000);
	run_until(start + 200);
	CHECK_EQ(sent_count, 2000);
	run_until(start + 5000);
	CHECK_EQ(sent_count, 6000);
	stack_stop();
}

int main(void)
{
	RUN(against_a_list);
	RUN(listing_survives_changes);
	RUN(refused);
	RUN(lifetimes);
	RUN(announcements);
	RUN(many_are_paced);
	return check_end();
}
