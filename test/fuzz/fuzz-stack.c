/* The stack under arbitrary frames and packets. The input is a script: each step takes a byte that says what
 * happens, and the bytes that it needs. What must hold is asserted; everything else is the sanitisers' work.
 *   build/native/fuzz-stack -max_total_time=60 [CORPUS] */
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/checksum.h"
#include "stack/net.h"

enum { FRAME = 1600, MOST_STEPS = 64 };

static struct net net;
static struct net_master *master;
static uint64_t now;
static unsigned long taken, let_go;

struct input {
	const uint8_t *bytes;
	size_t left;
};

static uint8_t next_byte(struct input *input)
{
	if (input->left == 0)
		return 0;
	input->left--;
	return *input->bytes++;
}

static void must(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz-stack: %s\n", what);
	abort();
}

/* A frame of ours must be well-formed, whatever it answers. */
static void on_send(void *context, uint16_t port, const uint8_t *frame, size_t length)
{
	(void)context;
	if (length >= 62 && frame[12] == 0x86 && frame[20] == 0) {
		must(length <= 1314 && frame[54] == 58 && frame[21] == 1, "a report of odd size");
		must(checksum_transport(FAMILY_IPV6, frame + 14, 58, frame + 62, length - 62) == 0,
		     "a report with a wrong checksum");
		return;
	}
	must(port < 2 && length >= 42 && length <= 128, "a frame of odd size");
	must(memcmp(frame + 6, net.ports[port].mac, 6) == 0, "a frame with another's MAC");
	if (frame[12] == 0x86)
		must(checksum_transport(FAMILY_IPV6, frame + 14, 58, frame + 54, length - 54) == 0,
		     "an ND message with a wrong checksum");
}

static void on_release(void *context, void *handle, const struct adjacency *adjacency)
{
	(void)context, (void)handle;
	must(mac_is_host(adjacency->ether), "an adjacency with the MAC of no host");
	must(net.adjacencies[adjacency->index] == adjacency, "an adjacency that is not published");
	let_go++;
}

static void on_give_up(void *context, void *handle, enum drop_reason reason)
{
	(void)context, (void)handle;
	must(reason == DROP_UNRESOLVED || reason == DROP_NEIGHBOUR_QUEUE, "an odd reason");
	let_go++;
}

static void add_address(const char *text, enum family family, uint8_t prefix, uint16_t port)
{
	struct address address = {.family = (uint8_t)family, .prefix = prefix, .port = port};
	struct error error;

	inet_pton(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, text, address.address.b);
	must(net_address_apply(master, 0, &address, now, &error) == 0, error.text);
}

static void start(void)
{
	static const struct net_output output = {
	    .send = on_send, .release = on_release, .give_up = on_give_up};
	static const struct net_limits limits = {
	    .unresolved_queue = 3, .unresolved_total = 8, .max_neighbours = 8};

	memset(&net, 0, offsetof(struct net, adjacencies));
	for (int i = 0; i < 2; i++) {
		snprintf(net.ports[i].name, NAME_SIZE, "dpdk%d", i);
		memcpy(net.ports[i].mac, (const uint8_t[]){2, 0, 0, 0, 0, (uint8_t)i}, 6);
		net.ports[i].mtu = 1500;
		net.ports[i].up = true;
	}
	now = 1000000;
	taken = let_go = 0;
	master = net_master_new(&net, &output, &limits);
	must(master != NULL, "no memory");
	add_address("10.0.0.1", FAMILY_IPV4, 24, 0);
	add_address("2001:db8::1", FAMILY_IPV6, 64, 0);
	add_address("10.0.1.1", FAMILY_IPV4, 24, 1);
}

/* Bytes of the input into exactly as much memory, so that a read beyond them is seen. */
static uint8_t *take_bytes(struct input *input, size_t *length)
{
	uint8_t *bytes;

	*length = next_byte(input) | (size_t)(next_byte(input) & 7) << 8;
	if (*length > input->left)
		*length = input->left;
	bytes = malloc(*length ? *length : 1);
	must(bytes != NULL, "no memory");
	memcpy(bytes, input->bytes, *length);
	input->bytes += *length;
	input->left -= *length;
	return bytes;
}

/* Fuzzers rarely guess checksums: sometimes they are put right. */
static void mend_nd(uint8_t *frame, size_t length)
{
	uint16_t sum;

	if (length < 78)
		return;
	frame[12] = 0x86;
	frame[13] = 0xdd;
	frame[14] = 0x60;
	frame[18] = (uint8_t)((length - 54) >> 8);
	frame[19] = (uint8_t)(length - 54);
	frame[20] = 58;
	frame[21] = 255;
	frame[54] = 135 + (frame[54] & 1);
	frame[55] = 0;
	frame[56] = frame[57] = 0;
	sum = checksum_transport(FAMILY_IPV6, frame + 14, 58, frame + 54, length - 54);
	memcpy(frame + 56, &sum, 2);
}

static void frame_step(struct input *input, bool mend)
{
	uint16_t port = next_byte(input) % 3;
	size_t length;
	uint8_t *frame = take_bytes(input, &length);

	if (mend)
		mend_nd(frame, length);
	net_input(master, port, frame, length, now);
	free(frame);
}

static void resolve_step(struct input *input)
{
	uint8_t which = next_byte(input);
	enum family family = which & 1 ? FAMILY_IPV6 : FAMILY_IPV4;
	union ip_addr address = {.q = {0, 0}};

	inet_pton(which & 1 ? AF_INET6 : AF_INET, which & 1 ? "2001:db8::" : "10.0.0.0", address.b);
	address.b[which & 1 ? 15 : 3] = which >> 1;
	taken++;
	net_resolve(master, which >> 7, family, &address, (void *)taken, now);
}

static void icmp_step(struct input *input)
{
	enum icmp_error_kind kind = (enum icmp_error_kind)(next_byte(input) % 6);
	uint8_t out[1280];
	size_t length;
	uint8_t *bytes = take_bytes(input, &length);
	bool six = length && bytes[0] >> 4 == 6;
	struct packet p = {
	    .l3 = bytes,
	    .length = (uint16_t)length,
	    .total = (uint16_t)length,
	    .family = six ? FAMILY_IPV6 : FAMILY_IPV4,
	    .protocol = six ? 58 : 1,
	    .l4 = six ? 40 : 20,
	};
	union ip_addr source = {.b = {10, 0, 0, 1}};
	size_t built = icmp_error_build(&p, kind, 1400, &source, 64, out, sizeof(out));

	if (built && six)
		must(checksum_transport(FAMILY_IPV6, out, 58, out + 40, built - 40) == 0, "ICMPv6 checksum");
	else if (built)
		must(checksum_header(out, 20) == 0 &&
			 checksum_transport(FAMILY_IPV4, out, 1, out + 20, built - 20) == 0,
		     "ICMP checksum");
	must(!built || icmp_error_allowed(&p), "an error that is not allowed");
	icmp_echo_reply(&p, 64);
	free(bytes);
}

static void list_all(void)
{
	struct neighbour_entry entries[3];
	uint64_t cursor = 0;
	size_t count, all = 0;

	while ((count = net_neighbours_list(master, &cursor, entries, 3)))
		all += count;
	must(all <= 8, "more neighbours than allowed");
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.bytes = data, .left = size};

	start();
	for (int step = 0; step < MOST_STEPS && input.left; step++) {
		switch (next_byte(&input) % 6) {
		case 0:
			frame_step(&input, false);
			break;
		case 1:
			frame_step(&input, true);
			break;
		case 2:
			resolve_step(&input);
			break;
		case 3:
			now += (uint64_t)next_byte(&input) * 100;
			net_tick(master, now);
			break;
		case 4:
			icmp_step(&input);
			break;
		case 5:
			for (unsigned int i = 1; i < 64; i++)
				if (net.adjacencies[i])
					net.adjacencies[i]->used = 1;
			list_all();
			break;
		}
	}
	net_master_free(master);
	must(taken == let_go, "a packet that was neither released nor given up");
	return 0;
}
