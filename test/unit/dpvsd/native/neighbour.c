/* Neighbours on virtual time: the states of RFC 4861 7.3, ARP and ND on the wire, queues, limits, hostile
 * frames. */
#include "stack.h"
#include "core/checksum.h"
#include "stack/arp.h"
#include "stack/nd.h"

enum { SECOND = 1000 };

/* ---- frames that come in ---- */

static void arp_in(uint16_t port, uint16_t operation, const uint8_t *mac, const char *sender,
		   const char *target)
{
	struct arp_message message = {.operation = operation, .sender = ip(sender), .target = ip(target)};
	uint8_t frame[ARP_FRAME_SIZE];

	memcpy(message.sender_mac, mac, 6);
	arp_write(frame, net.ports[port].mac, &message);
	net_input(master, port, frame, sizeof(frame), now);
}

static void na_in(uint16_t port, const uint8_t *mac, const char *target, uint8_t flags)
{
	struct nd_message message = {
	    .type = ND_ADVERTISEMENT,
	    .flags = flags,
	    .has_mac = true,
	    .source = ip(target),
	    .destination = ip(flags & ND_SOLICITED ? "fe80::10" : "ff02::1"),
	    .target = ip(target),
	};
	uint8_t frame[ND_FRAME_SIZE];

	memcpy(message.mac, mac, 6);
	net_input(master, port, frame, nd_write(frame, mac, net.ports[port].mac, &message), now);
}

static void ns_in(uint16_t port, const uint8_t *mac, const char *source, const char *target)
{
	struct nd_message message = {
	    .type = ND_SOLICITATION,
	    .source = ip(source),
	    .target = ip(target),
	};
	uint8_t frame[ND_FRAME_SIZE], to[6];

	message.has_mac = !ip_is_zero(&message.source);
	message.destination = nd_solicited_node(&message.target);
	memcpy(message.mac, mac, 6);
	nd_multicast_mac(&message.destination, to);
	net_input(master, port, frame, nd_write(frame, mac, to, &message), now);
}

static const char *state_of(const char *address)
{
	struct neighbour_entry entry;
	union ip_addr wanted = ip(address);
	uint64_t cursor = 0;

	while (net_neighbours_list(master, &cursor, &entry, 1))
		if (ip_equal(&entry.address, &wanted))
			return entry.state;
	return "none";
}

#define CHECK_STATE(address, wanted) CHECK(strcmp(state_of(address), wanted) == 0)

static struct adjacency *lookup(uint16_t port, const char *address)
{
	union ip_addr a = ip(address);

	return neighbour_lookup(&net, port, family_of(address), &a);
}

static void resolve(uint16_t port, const char *address, uintptr_t handle)
{
	union ip_addr a = ip(address);

	net_resolve(master, port, family_of(address), &a, (void *)handle, now);
}

static void start(void)
{
	stack_start(NULL);
	address_apply(0, "10.0.0.1/24", 0);
	address_apply(0, "10.0.1.1/24", 1);
	address_apply(0, "2001:db8::1/64", 0);
	run_until(now + 10 * SECOND);
	sent_count = 0;
}

/* ---- the life of a neighbour ---- */

static void life_of_arp(void)
{
	struct arp_message asked;
	struct adjacency *adjacency;
	uint32_t generation, index;

	start();
	resolve(0, "10.0.0.9", 1);
	resolve(0, "10.0.0.9", 2);
	CHECK_EQ(sent_count, 1);
	CHECK(arp_parse(sent[0].bytes, sent[0].length, &asked));
	CHECK_EQ(asked.operation, ARP_REQUEST);
	CHECK(asked.sender.v4 == htonl(0x0a000001) && asked.target.v4 == htonl(0x0a000009));
	CHECK_EQ(sent[0].bytes[0], 0xff);
	CHECK_STATE("10.0.0.9", "incomplete");
	CHECK(lookup(0, "10.0.0.9") == NULL);
	run_until(now + 1500);
	CHECK_EQ(sent_count, 2);

	generation = net.generation;
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_STATE("10.0.0.9", "reachable");
	CHECK_EQ(done_count, 2);
	CHECK_EQ(done[0].handle, 1);
	CHECK_EQ(done[1].handle, 2);
	CHECK(done[0].adjacency != 0);
	CHECK_EQ(net.generation, generation);
	adjacency = lookup(0, "10.0.0.9");
	CHECK(adjacency != NULL);
	CHECK(memcmp(adjacency->ether, PEER, 6) == 0 && memcmp(adjacency->ether + 6, MAC0, 6) == 0);
	CHECK(adjacency->ether[12] == 0x08 && adjacency->ether[13] == 0x00);
	CHECK_EQ(adjacency->mtu, 1500);
	CHECK(net.adjacencies[adjacency->index] == adjacency);
	index = adjacency->index;
	CHECK(lookup(1, "10.0.0.9") == NULL);

	/* believed for half to one and a half of the time, then stale, and left alone while nobody uses it */
	run_until(now + 29 * SECOND);
	CHECK_STATE("10.0.0.9", "reachable");
	run_until(now + 62 * SECOND);
	CHECK_STATE("10.0.0.9", "stale");
	sent_count = 0;
	run_until(now + 300 * SECOND);
	CHECK_STATE("10.0.0.9", "stale");
	CHECK_EQ(sent_count, 0);

	/* an answer to no question confirms nothing */
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_STATE("10.0.0.9", "stale");
	/* used: delay, probe by unicast, answer */
	lookup(0, "10.0.0.9")->used = 1;
	run_until(now + 1001);
	CHECK_STATE("10.0.0.9", "delay");
	run_until(now + 5 * SECOND);
	CHECK_STATE("10.0.0.9", "probe");
	CHECK_EQ(sent_count, 1);
	CHECK(memcmp(sent[0].bytes, PEER, 6) == 0);
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_STATE("10.0.0.9", "reachable");
	CHECK_EQ(net.generation, generation);

	/* no answer to three probes: gone, and what was cached is wrong */
	run_until(now + 91 * SECOND);
	CHECK_STATE("10.0.0.9", "stale");
	sent_count = 0;
	lookup(0, "10.0.0.9")->used = 1;
	run_until(now + 1001 + 5 * SECOND);
	CHECK_STATE("10.0.0.9", "probe");
	run_until(now + 2 * SECOND);
	CHECK_STATE("10.0.0.9", "probe");
	CHECK(lookup(0, "10.0.0.9") != NULL);
	run_until(now + SECOND);
	CHECK_STATE("10.0.0.9", "failed");
	CHECK_EQ(sent_count, 3);
	CHECK(lookup(0, "10.0.0.9") == NULL);
	CHECK(net.adjacencies[index] == NULL);
	CHECK_EQ(net.generation, generation + 1);
	run_until(now + 61 * SECOND);
	CHECK_STATE("10.0.0.9", "none");
	stack_stop();
}

static void life_of_nd(void)
{
	const uint8_t group[6] = {0x33, 0x33, 0xff, 0, 0, 9};
	struct nd_message asked;
	union ip_addr link_local = ip("fe80::ff:fe00:10"), solicited = ip("ff02::1:ff00:9");

	start();
	resolve(0, "2001:db8::9", 1);
	CHECK_EQ(sent_count, 1);
	CHECK(nd_parse(sent[0].bytes, sent[0].length, &asked));
	CHECK_EQ(asked.type, ND_SOLICITATION);
	CHECK(memcmp(sent[0].bytes, group, 6) == 0);
	CHECK(ip_equal(&asked.source, &link_local));
	CHECK(ip_equal(&asked.destination, &solicited));
	CHECK(asked.has_mac && memcmp(asked.mac, MAC0, 6) == 0);
	CHECK_EQ(sent[0].bytes[ETHER_SIZE + 7], 255);

	na_in(0, PEER, "2001:db8::9", ND_SOLICITED | ND_OVERRIDE);
	CHECK_STATE("2001:db8::9", "reachable");
	CHECK_EQ(done_count, 1);
	CHECK(lookup(0, "2001:db8::9")->ether[12] == 0x86 && lookup(0, "2001:db8::9")->ether[13] == 0xdd);

	/* RFC 4861 7.2.5: another MAC without override only casts doubt, with override it counts */
	na_in(0, OTHER, "2001:db8::9", ND_SOLICITED);
	CHECK_STATE("2001:db8::9", "stale");
	CHECK(memcmp(lookup(0, "2001:db8::9")->ether, PEER, 6) == 0);
	na_in(0, PEER, "2001:db8::9", ND_SOLICITED);
	CHECK_STATE("2001:db8::9", "reachable");
	na_in(0, OTHER, "2001:db8::9", ND_OVERRIDE);
	CHECK_STATE("2001:db8::9", "stale");
	CHECK(memcmp(lookup(0, "2001:db8::9")->ether, OTHER, 6) == 0);

	/* probes go to the address itself */
	lookup(0, "2001:db8::9")->used = 1;
	sent_count = 0;
	run_until(now + 6 * SECOND);
	CHECK_STATE("2001:db8::9", "probe");
	CHECK(nd_parse(sent[0].bytes, sent[0].length, &asked));
	CHECK(memcmp(sent[0].bytes, OTHER, 6) == 0);
	CHECK(ip_equal(&asked.destination, &asked.target));
	na_in(0, OTHER, "2001:db8::9", ND_SOLICITED);
	CHECK_STATE("2001:db8::9", "reachable");

	/* an unsolicited one completes, but does not confirm */
	resolve(0, "fe80::99", 2);
	na_in(0, PEER, "fe80::99", ND_OVERRIDE);
	CHECK_STATE("fe80::99", "stale");
	CHECK_EQ(done_count, 2);
	stack_stop();
}

static void no_answer(void)
{
	start();
	for (uintptr_t i = 1; i <= 5; i++)
		resolve(0, "10.0.0.9", i);
	run_until(now + 2999);
	CHECK_EQ(done_count, 0);
	CHECK_EQ(sent_count, 3);
	run_until(now + 1);
	CHECK_STATE("10.0.0.9", "failed");
	CHECK_EQ(done_count, 5);
	for (unsigned int i = 0; i < 5; i++) {
		CHECK_EQ(done[i].handle, i + 1);
		CHECK_EQ(done[i].adjacency, 0);
		CHECK_EQ(done[i].reason, DROP_UNRESOLVED);
	}
	/* asked for again, it gets another chance */
	resolve(0, "10.0.0.9", 6);
	CHECK_STATE("10.0.0.9", "incomplete");
	CHECK_EQ(sent_count, 4);
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_EQ(done_count, 6);
	CHECK(done[5].adjacency != 0);
	stack_stop();
}

/* ---- what we answer ---- */

static void answers_arp(void)
{
	struct arp_message answer;
	union ip_addr ours = ip("10.0.0.1"), peer = ip("10.0.0.9");

	start();
	arp_in(0, ARP_REQUEST, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_EQ(sent_count, 1);
	CHECK(arp_parse(sent[0].bytes, sent[0].length, &answer));
	CHECK_EQ(answer.operation, ARP_REPLY);
	CHECK(ip_equal(&answer.sender, &ours) && ip_equal(&answer.target, &peer));
	CHECK(memcmp(answer.sender_mac, MAC0, 6) == 0 && memcmp(answer.target_mac, PEER, 6) == 0);
	CHECK(memcmp(sent[0].bytes, PEER, 6) == 0);
	/* who asks is worth knowing */
	CHECK_STATE("10.0.0.9", "stale");

	/* not for others, nor on another port */
	arp_in(0, ARP_REQUEST, PEER, "10.0.0.9", "10.0.0.2");
	arp_in(1, ARP_REQUEST, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_EQ(sent_count, 1);
	/* somebody who tries whether the address is free is told, and not learnt */
	arp_in(0, ARP_REQUEST, OTHER, "0.0.0.0", "10.0.0.1");
	CHECK_EQ(sent_count, 2);
	CHECK_STATE("0.0.0.0", "none");
	/* askers from other networks are answered, and not learnt */
	arp_in(0, ARP_REQUEST, OTHER, "192.0.2.1", "10.0.0.1");
	CHECK_EQ(sent_count, 3);
	CHECK_STATE("192.0.2.1", "none");
	/* an address of ours is ours, and our own frames tell us nothing */
	arp_in(0, ARP_REQUEST, OTHER, "10.0.0.1", "10.0.0.1");
	arp_in(0, ARP_REPLY, OTHER, "10.0.0.1", "10.0.0.1");
	arp_in(0, ARP_REQUEST, MAC0, "10.0.0.77", "10.0.0.1");
	CHECK_EQ(sent_count, 3);
	CHECK_STATE("10.0.0.1", "none");
	CHECK_STATE("10.0.0.77", "none");
	stack_stop();
}

static void answers_nd(void)
{
	struct nd_message answer;
	union ip_addr all_nodes = ip("ff02::1");
	const uint8_t all_nodes_mac[6] = {0x33, 0x33, 0, 0, 0, 1};

	start();
	ns_in(0, PEER, "2001:db8::9", "2001:db8::1");
	CHECK_EQ(sent_count, 1);
	CHECK(nd_parse(sent[0].bytes, sent[0].length, &answer));
	CHECK_EQ(answer.type, ND_ADVERTISEMENT);
	CHECK_EQ(answer.flags, ND_SOLICITED | ND_OVERRIDE);
	CHECK(memcmp(sent[0].bytes, PEER, 6) == 0);
	CHECK(answer.has_mac && memcmp(answer.mac, MAC0, 6) == 0);
	CHECK_STATE("2001:db8::9", "stale");
	/* duplicate address detection is answered to all, unsolicited */
	ns_in(0, OTHER, "::", "2001:db8::1");
	CHECK_EQ(sent_count, 2);
	CHECK(nd_parse(sent[1].bytes, sent[1].length, &answer));
	CHECK_EQ(answer.flags, ND_OVERRIDE);
	CHECK(ip_equal(&answer.destination, &all_nodes) && memcmp(sent[1].bytes, all_nodes_mac, 6) == 0);
	/* the port's own address; a router says that it is one */
	net.forwarding6 = true;
	ns_in(0, PEER, "fe80::9", "fe80::ff:fe00:10");
	CHECK_EQ(sent_count, 3);
	CHECK(nd_parse(sent[2].bytes, sent[2].length, &answer));
	CHECK_EQ(answer.flags, ND_SOLICITED | ND_OVERRIDE | ND_ROUTER);
	ns_in(0, PEER, "2001:db8::9", "2001:db8::2");
	ns_in(1, PEER, "2001:db8::9", "2001:db8::1");
	CHECK_EQ(sent_count, 3);
	stack_stop();
}

/* Somebody else has an address of ours: told once for each frame that says so, never believed. */
static void claims_are_told(void)
{
	union ip_addr ours4 = ip("10.0.0.1"), ours6 = ip("2001:db8::1");

	start();
	arp_in(0, ARP_REQUEST, PEER, "10.0.0.9", "10.0.0.1");
	arp_in(0, ARP_REQUEST, OTHER, "0.0.0.0", "10.0.0.1"); /* asks whether it is free */
	arp_in(0, ARP_REQUEST, MAC0, "10.0.0.1", "10.0.0.9"); /* our own */
	arp_in(1, ARP_REQUEST, OTHER, "10.0.0.1", "10.0.0.1"); /* not on that link */
	ns_in(0, PEER, "2001:db8::9", "2001:db8::1");
	ns_in(0, OTHER, "::", "2001:db8::1");
	CHECK_EQ(claims, 0);
	arp_in(0, ARP_REQUEST, OTHER, "10.0.0.1", "10.0.0.1");
	CHECK_EQ(claims, 1);
	CHECK(last_claim.port == 0 && ip_equal(&last_claim.address, &ours4) &&
	      memcmp(last_claim.mac, OTHER, 6) == 0);
	ns_in(0, OTHER, "2001:db8::1", "2001:db8::9");
	CHECK_EQ(claims, 2);
	CHECK(ip_equal(&last_claim.address, &ours6) && memcmp(last_claim.mac, OTHER, 6) == 0);
	na_in(0, PEER, "2001:db8::1", ND_OVERRIDE);
	CHECK_EQ(claims, 3);
	CHECK(memcmp(last_claim.mac, PEER, 6) == 0);
	CHECK_STATE("10.0.0.1", "none");
	CHECK_STATE("2001:db8::1", "none");
	stack_stop();
}

/* ---- what we believe ---- */

static void gratuitous(void)
{
	struct adjacency *adjacency;
	uint32_t generation, index;

	start();
	/* nobody asked: no entry */
	arp_in(0, ARP_REQUEST, PEER, "10.0.0.9", "10.0.0.9");
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.9");
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	na_in(0, PEER, "2001:db8::9", ND_OVERRIDE);
	na_in(0, PEER, "2001:db8::9", ND_SOLICITED);
	CHECK_STATE("10.0.0.9", "none");
	CHECK_STATE("2001:db8::9", "none");

	resolve(0, "10.0.0.9", 1);
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	adjacency = lookup(0, "10.0.0.9");
	index = adjacency->index;
	generation = net.generation;
	/* a second answer from another does not count, an announcement does: the same index, at once */
	arp_in(0, ARP_REPLY, OTHER, "10.0.0.9", "10.0.0.1");
	CHECK(memcmp(lookup(0, "10.0.0.9")->ether, PEER, 6) == 0);
	CHECK_STATE("10.0.0.9", "reachable");
	arp_in(0, ARP_REQUEST, OTHER, "10.0.0.9", "10.0.0.9");
	CHECK(memcmp(lookup(0, "10.0.0.9")->ether, OTHER, 6) == 0);
	CHECK_EQ(lookup(0, "10.0.0.9")->index, index);
	CHECK(net.adjacencies[index] == lookup(0, "10.0.0.9"));
	CHECK_EQ(net.generation, generation);
	CHECK_STATE("10.0.0.9", "stale");
	stack_stop();
}

static void permanent(void)
{
	union ip_addr a = ip("10.0.0.9"), own = ip("10.0.0.1");
	const uint8_t multicast[6] = {1, 0, 0x5e, 0, 0, 1};
	struct error error;

	start();
	resolve(0, "10.0.0.9", 1);
	CHECK_EQ(net_neighbour_apply(master, 1, 0, FAMILY_IPV4, &a, PEER, &error), -1);
	CHECK_EQ(net_neighbour_apply(master, 0, 0, FAMILY_IPV4, &a, multicast, &error), -1);
	CHECK_EQ(net_neighbour_apply(master, 0, 0, FAMILY_IPV4, &own, PEER, &error), -1);
	CHECK_EQ(net_neighbour_apply(master, 0, 9, FAMILY_IPV4, &a, PEER, &error), -1);
	CHECK_EQ(net_neighbour_apply(master, 0, 0, FAMILY_IPV4, &a, PEER, &error), 0);
	CHECK_EQ(done_count, 1);
	CHECK_STATE("10.0.0.9", "permanent");
	CHECK_EQ(net_neighbour_apply(master, 0, 0, FAMILY_IPV4, &a, OTHER, &error), -1);
	arp_in(0, ARP_REQUEST, OTHER, "10.0.0.9", "10.0.0.9");
	CHECK(memcmp(lookup(0, "10.0.0.9")->ether, PEER, 6) == 0);
	lookup(0, "10.0.0.9")->used = 1;
	run_until(now + 7200 * SECOND);
	CHECK_STATE("10.0.0.9", "permanent");
	CHECK_EQ(net_neighbour_apply(master, 1, 0, FAMILY_IPV4, &a, OTHER, &error), 0);
	CHECK(memcmp(lookup(0, "10.0.0.9")->ether, OTHER, 6) == 0);
	CHECK_EQ(net_neighbour_apply(master, 3, 0, FAMILY_IPV4, &a, OTHER, &error), 0);
	CHECK(lookup(0, "10.0.0.9") == NULL);
	CHECK_EQ(net_neighbour_apply(master, 3, 0, FAMILY_IPV4, &a, OTHER, &error), -1);
	stack_stop();
}

static void ports(void)
{
	const uint8_t mac[6] = {2, 9, 9, 9, 9, 9};
	uint32_t generation, index;

	start();
	resolve(0, "10.0.0.9", 1);
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	resolve(0, "10.0.0.10", 2);
	index = lookup(0, "10.0.0.9")->index;
	generation = net.generation;
	memcpy(net.ports[0].mac, mac, 6);
	net.ports[0].mtu = 9000;
	net_port_changed(master, 0, now);
	CHECK_EQ(lookup(0, "10.0.0.9")->index, index);
	CHECK(memcmp(lookup(0, "10.0.0.9")->ether + 6, mac, 6) == 0);
	CHECK_EQ(lookup(0, "10.0.0.9")->mtu, 9000);
	CHECK_EQ(net.generation, generation);
	net.ports[0].up = false;
	net_port_changed(master, 0, now);
	CHECK(lookup(0, "10.0.0.9") == NULL);
	CHECK_EQ(done_count, 2);
	CHECK_EQ(done[1].reason, DROP_UNRESOLVED);
	CHECK(net.generation != generation);
	stack_stop();
}

/* ---- limits ---- */

static void queues(void)
{
	const struct net_limits limits = {.unresolved_queue = 4, .unresolved_total = 10};

	stack_start(&limits);
	address_apply(0, "10.0.0.1/24", 0);
	for (uintptr_t i = 1; i <= 6; i++)
		resolve(0, "10.0.0.9", i);
	/* the oldest two went */
	CHECK_EQ(done_count, 2);
	CHECK(done[0].handle == 1 && done[1].handle == 2);
	CHECK_EQ(done[0].reason, DROP_NEIGHBOUR_QUEUE);
	for (uintptr_t i = 11; i <= 16; i++)
		resolve(0, "10.0.0.10", i);
	CHECK_EQ(done_count, 4);
	/* of all together there is room for two more */
	for (uintptr_t i = 21; i <= 24; i++)
		resolve(0, "10.0.0.11", i);
	CHECK_EQ(done_count, 6);
	CHECK(done[4].handle == 23 && done[5].handle == 24);
	arp_in(0, ARP_REPLY, PEER, "10.0.0.9", "10.0.0.1");
	CHECK_EQ(done_count, 10);
	CHECK(done[6].handle == 3 && done[6].adjacency != 0);
	/* what cannot be a neighbour */
	resolve(0, "224.0.0.1", 31);
	resolve(9, "10.0.0.9", 32);
	resolve(0, "::", 33);
	CHECK_EQ(done_count, 13);
	stack_stop();
	CHECK_EQ(done_count, 19); /* nothing is forgotten */
}

/* Somebody scans a network through us: those that are known stay. */
static void scans(void)
{
	const struct net_limits limits = {.max_neighbours = 100};
	struct neighbour_entry list[256];
	uint64_t cursor = 0;
	union ip_addr a;

	stack_start(&limits);
	address_apply(0, "10.0.0.1/16", 0);
	for (int i = 0; i < 30; i++) {
		char text[32];

		snprintf(text, sizeof(text), "10.0.0.%d", 10 + i);
		resolve(0, text, 1);
		arp_in(0, ARP_REPLY, PEER, text, "10.0.0.1");
	}
	CHECK_EQ(done_count, 30);
	/* long idle, but known */
	run_until(now + 200 * SECOND);
	CHECK_STATE("10.0.0.10", "stale");
	for (uint32_t i = 0; i < 20000; i++) {
		a = ip_from_v4(htonl(0x0a000100 + i));
		net_resolve(master, 0, FAMILY_IPV4, &a, (void *)(uintptr_t)2, now);
		if (i % 1000 == 0)
			run_until(now + 1000);
	}
	CHECK(net_neighbours_list(master, &cursor, list, 256) <= 100);
	CHECK(lookup(0, "10.0.0.10") != NULL && lookup(0, "10.0.0.39") != NULL);
	stack_stop();
	CHECK_EQ(done_count, 20030);
}

static void reenter(void)
{
	static int depth;

	if (depth++ < 3)
		resolve(1, "10.0.1.77", 1000 + (uintptr_t)depth);
}

/* Who gives up sends an ICMP error, which may need a neighbour itself. */
static void giving_up_may_ask(void)
{
	const struct net_limits limits = {.max_neighbours = 1};

	stack_start(&limits);
	on_give_up = reenter;
	resolve(0, "10.0.0.9", 1);
	resolve(0, "10.0.0.10", 2);
	resolve(0, "10.0.0.11", 3);
	run_until(now + 20 * SECOND);
	CHECK_EQ(done_count, 6);
	stack_stop();
	CHECK_EQ(done_count, 6);
}

/* ---- the workers' table against a list ---- */

static void table_model(void)
{
	static uint8_t macs[2][1024]; /* last byte of the MAC, 0: none */
	struct error error;

	stack_start(NULL);
	memset(macs, 0, sizeof(macs));
	for (int step = 0; step < 200000; step++) {
		uint16_t port = (uint16_t)(check_random() % 2);
		uint32_t number = (uint32_t)(check_random() % 1024);
		union ip_addr a = ip_from_v4(htonl(0x0a000000 + number + 1));
		uint8_t *known = &macs[port][number], mac[6] = {2, 0, 0, 0, 1, (uint8_t)(1 + step % 255)};
		struct adjacency *found;

		if (check_random() % 2) {
			CHECK_EQ(net_neighbour_apply(master, 2, port, FAMILY_IPV4, &a, mac, &error), 0);
			*known = mac[5];
		} else {
			CHECK_EQ(net_neighbour_apply(master, 3, port, FAMILY_IPV4, &a, mac, &error),
				 *known ? 0 : -1);
			*known = 0;
		}
		number = (uint32_t)(check_random() % 1024);
		a = ip_from_v4(htonl(0x0a000000 + number + 1));
		found = neighbour_lookup(&net, port, FAMILY_IPV4, &a);
		CHECK_EQ(found ? found->ether[5] : 0, macs[port][number]);
		if (found) {
			CHECK_EQ(found->port, port);
			CHECK(net.adjacencies[found->index] == found && found->index != 0);
		}
	}
	stack_stop();
}

/* ---- malformed ---- */

static void malformed_arp(void)
{
	struct arp_message message = {.operation = ARP_REQUEST,
				      .sender = ip("10.0.0.9"),
				      .target = ip("10.0.0.1")},
			   parsed;
	const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {{12, 0}, {15, 6}, {16, 9}, {18, 8}, {19, 16}, {21, 0}, {21, 3}, {22, 1}};
	uint8_t frame[ARP_FRAME_SIZE];

	start();
	memcpy(message.sender_mac, PEER, 6);
	arp_write(frame, MAC0, &message);
	CHECK(arp_parse(frame, sizeof(frame), &parsed));
	for (size_t length = 0; length < sizeof(frame); length++)
		CHECK(!arp_parse(frame, length, &parsed));
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		uint8_t before = frame[wrong[i].at];

		frame[wrong[i].at] = wrong[i].value;
		if (wrong[i].at == 22)
			frame[22] |= 1; /* a multicast sender */
		CHECK(!arp_parse(frame, sizeof(frame), &parsed));
		frame[wrong[i].at] = before;
	}
	memset(frame + 22, 0, 6);
	CHECK(!arp_parse(frame, sizeof(frame), &parsed));
	stack_stop();
}

/* Puts a right checksum in, so that the rule under test decides. */
static void resum(uint8_t *frame, size_t length)
{
	uint16_t sum;

	memset(frame + 56, 0, 2);
	sum = checksum_transport(FAMILY_IPV6, frame + 14, 58, frame + 54, length - 54);
	memcpy(frame + 56, &sum, 2);
}

static void malformed_nd(void)
{
	struct nd_message message = {.type = ND_SOLICITATION,
				     .has_mac = true,
				     .source = ip("fe80::9"),
				     .destination = ip("ff02::1:ff00:1"),
				     .target = ip("2001:db8::1")},
			  parsed;
	uint8_t frame[ND_FRAME_SIZE], copy[ND_FRAME_SIZE];
	size_t length;
	const struct {
		size_t at;
		uint8_t value;
	} wrong[] = {
	    {21, 254}, /* hop limit */
	    {55, 1}, /* code */
	    {62, 0xff}, /* target is multicast */
	    {79, 0}, /* option without length */
	    {79, 2}, /* option longer than the message */
	    {80, 1}, /* a multicast MAC */
	    {22, 0xff}, /* source is multicast */
	    {14, 0x40}, /* not version 6 */
	    {20, 6}, /* not ICMPv6 */
	    {54, 133}, /* router solicitation */
	};

	memcpy(message.mac, PEER, 6);
	length = nd_write(frame, PEER, MAC0, &message);
	CHECK_EQ(length, sizeof(frame));
	CHECK(nd_parse(frame, length, &parsed));
	for (size_t i = 0; i < length; i++)
		CHECK(!nd_parse(frame, i, &parsed));
	for (unsigned int i = 0; i < RTE_DIM(wrong); i++) {
		memcpy(copy, frame, length);
		copy[wrong[i].at] = wrong[i].value;
		resum(copy, length);
		CHECK(!nd_parse(copy, length, &parsed));
	}
	/* a wrong checksum, any bit */
	for (size_t bit = 22 * 8; bit < length * 8; bit++) {
		memcpy(copy, frame, length);
		copy[bit / 8] ^= (uint8_t)(1 << bit % 8);
		CHECK(!nd_parse(copy, length, &parsed));
	}
	/* without source: no MAC, and only to the solicited-node address */
	message.source = ip("::");
	CHECK(!nd_parse(frame, nd_write(frame, PEER, MAC0, &message), &parsed));
	message.has_mac = false;
	CHECK(nd_parse(frame, nd_write(frame, PEER, MAC0, &message), &parsed));
	message.destination = ip("2001:db8::1");
	CHECK(!nd_parse(frame, nd_write(frame, PEER, MAC0, &message), &parsed));
	/* an answer to all cannot be solicited */
	message = (struct nd_message){.type = ND_ADVERTISEMENT,
				      .flags = ND_SOLICITED,
				      .source = ip("fe80::9"),
				      .destination = ip("ff02::1"),
				      .target = ip("fe80::9")};
	CHECK(!nd_parse(frame, nd_write(frame, PEER, MAC0, &message), &parsed));
	message.flags = ND_OVERRIDE;
	CHECK(nd_parse(frame, nd_write(frame, PEER, MAC0, &message), &parsed));
}

/* Any bytes, most of them nearly right. */
static void random_frames(void)
{
	struct arp_message arp = {.operation = ARP_REPLY, .sender = ip("10.0.0.9"), .target = ip("10.0.0.1")};
	struct nd_message nd = {.type = ND_ADVERTISEMENT,
				.has_mac = true,
				.source = ip("2001:db8::9"),
				.destination = ip("ff02::1"),
				.target = ip("2001:db8::9")};
	uint8_t frame[256];

	start();
	memcpy(arp.sender_mac, PEER, 6);
	memcpy(nd.mac, PEER, 6);
	for (int i = 0; i < 200000; i++) {
		size_t length;

		if (check_random() % 2) {
			arp_write(frame, MAC0, &arp);
			length = ARP_FRAME_SIZE;
		} else {
			length = nd_write(frame, PEER, MAC0, &nd);
		}
		for (uint64_t changes = check_random() % 4; changes > 0; changes--)
			frame[check_random() % length] = (uint8_t)check_random();
		if (length > ARP_FRAME_SIZE && check_random() % 2)
			resum(frame, length);
		if (check_random() % 8 == 0)
			length = check_random() % (length + 1);
		if (check_random() % 16 == 0)
			resolve(0, check_random() % 2 ? "10.0.0.9" : "2001:db8::9", 1);
		net_input(master, (uint16_t)(check_random() % 3), frame, length, now);
		now += check_random() % 50;
		if (i % 64 == 0) {
			net_tick(master, now);
			sent_count = done_count = 0;
		}
	}
	stack_stop();
}

int main(void)
{
	RUN(life_of_arp);
	RUN(life_of_nd);
	RUN(no_answer);
	RUN(answers_arp);
	RUN(answers_nd);
	RUN(claims_are_told);
	RUN(gratuitous);
	RUN(permanent);
	RUN(ports);
	RUN(queues);
	RUN(scans);
	RUN(giving_up_may_ask);
	RUN(table_model);
	RUN(malformed_arp);
	RUN(malformed_nd);
	RUN(random_frames);
	return check_end();
}
