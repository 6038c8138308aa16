/* A stack on two ports, with everything that it does written down. */
#ifndef DPVSHA_TEST_STACK_H
#define DPVSHA_TEST_STACK_H

#include <arpa/inet.h>

#include "check.h"
#include "stack/net.h"

enum { MOST_REPORTS = 256, MOST_FRAMES = 4096, MOST_HANDLES = 65536 };

struct sent_frame {
	uint16_t port;
	uint16_t length;
	uint8_t bytes[128];
};

struct sent_report {
	uint16_t port;
	uint16_t length;
	uint64_t at;
	uint8_t bytes[1400];
};

static struct net net;
static struct net_master *master;
static uint64_t now;
static struct sent_frame sent[MOST_FRAMES];
static unsigned int sent_count;
static struct sent_report reports[MOST_REPORTS];
static unsigned int report_count;
static struct {
	uintptr_t handle;
	uint32_t adjacency; /* index, 0: given up */
	enum drop_reason reason;
} done[MOST_HANDLES];
static unsigned int done_count;
static void (*on_give_up)(void);
static unsigned int claims; /* of addresses of ours by others */
static struct {
	uint16_t port;
	union ip_addr address;
	uint8_t mac[6];
} last_claim;

static const uint8_t MAC0[6] = {2, 0, 0, 0, 0, 0x10}, MAC1[6] = {2, 0, 0, 0, 0, 0x11},
		     PEER[6] = {2, 0xaa, 0xbb, 0xcc, 0xdd, 0xee}, OTHER[6] = {2, 1, 2, 3, 4, 5};

static union ip_addr ip(const char *text)
{
	union ip_addr address = {.q = {0, 0}};

	if (inet_pton(strchr(text, ':') ? AF_INET6 : AF_INET, text, address.b) != 1)
		abort();
	return address;
}

static enum family family_of(const char *text)
{
	return strchr(text, ':') ? FAMILY_IPV6 : FAMILY_IPV4;
}

/* Is it about multicast groups? Only MLD has a hop-by-hop header. Such frames are kept apart: they come with
 * every IPv6 address. */
static inline bool is_mld(const uint8_t *frame)
{
	return frame[12] == 0x86 && frame[13] == 0xdd && frame[14 + 6] == 0;
}

static void on_send(void *context, uint16_t port, const uint8_t *frame, size_t length)
{
	struct sent_frame *to = &sent[sent_count % MOST_FRAMES];

	(void)context;
	if (is_mld(frame)) {
		struct sent_report *report = &reports[report_count++ % MOST_REPORTS];

		if (length > sizeof(report->bytes))
			abort();
		report->port = port;
		report->length = (uint16_t)length;
		report->at = now;
		memcpy(report->bytes, frame, length);
		return;
	}
	if (length > sizeof(to->bytes))
		abort();
	to->port = port;
	to->length = (uint16_t)length;
	memcpy(to->bytes, frame, length);
	sent_count++;
}

static void on_release(void *context, void *handle, const struct adjacency *adjacency)
{
	(void)context;
	done[done_count].handle = (uintptr_t)handle;
	done[done_count++ % MOST_HANDLES].adjacency = adjacency->index;
}

static void on_give_up_handle(void *context, void *handle, enum drop_reason reason)
{
	(void)context;
	done[done_count].handle = (uintptr_t)handle;
	done[done_count].adjacency = 0;
	done[done_count++ % MOST_HANDLES].reason = reason;
	if (on_give_up)
		on_give_up();
}

static void on_claimed(void *context, uint16_t port, enum family family, const union ip_addr *address,
		       const uint8_t mac[6])
{
	(void)context, (void)family;
	claims++;
	last_claim.port = port;
	last_claim.address = *address;
	memcpy(last_claim.mac, mac, 6);
}

static inline void stack_start(const struct net_limits *limits)
{
	static const struct net_limits usual = {.reachable_ms = 60000};
	const struct net_output output = {
	    .send = on_send,
	    .release = on_release,
	    .give_up = on_give_up_handle,
	    .claimed = on_claimed,
	};

	memset(&net, 0, sizeof(net));
	for (int i = 0; i < 2; i++) {
		snprintf(net.ports[i].name, NAME_SIZE, "dpdk%d", i);
		memcpy(net.ports[i].mac, i ? MAC1 : MAC0, 6);
		net.ports[i].mtu = 1500;
		net.ports[i].up = true;
	}
	sent_count = done_count = report_count = claims = 0;
	on_give_up = NULL;
	now = 1000000;
	master = net_master_new(&net, &output, limits ? limits : &usual);
	if (!master)
		abort();
}

static inline void stack_stop(void)
{
	net_master_free(master);
	master = NULL;
}

/* "10.0.0.1/24" */
static inline struct address address_of(const char *text, uint16_t port)
{
	struct address address = {.port = port};
	char copy[64];
	char *slash;

	snprintf(copy, sizeof(copy), "%s", text);
	slash = strchr(copy, '/');
	if (slash)
		*slash = 0;
	address.address = ip(copy);
	address.family = (uint8_t)family_of(copy);
	address.prefix = (uint8_t)(slash ? atoi(slash + 1) : (int)ip_bits(family_of(copy)));
	return address;
}

static inline int address_apply(int verb, const char *text, uint16_t port)
{
	struct address address = address_of(text, port);
	struct error error;

	return net_address_apply(master, verb, &address, now, &error);
}

/* Runs all timers up to a moment, in order. */
static inline void run_until(uint64_t end)
{
	for (;;) {
		uint64_t next = net_tick(master, now);

		if (next > end)
			break;
		now = next > now ? next : now + 1;
	}
	now = end;
	net_tick(master, now);
}

#endif
