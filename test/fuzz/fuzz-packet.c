/* The pipeline under packets that are nearly right. The input is a script: each step takes a packet of the
 * fixtures (test/packets/fixtures, read from the current folder) or bytes of its own, changes some bytes, and
 * sends it. After each packet what must always hold is checked: a verdict, counters that add up, checksums
 * that are exactly as right or wrong as they came, no byte written outside.
 *   build/native/fuzz-packet -max_total_time=60 [CORPUS] */
#include <glob.h>

#include "../packets/director.h"
#include "core/checksum.h"

enum {
	MOST_TEMPLATES = 512,
	MOST_STEPS = 48,
	LONGEST = 2048,
	LONG_SECONDS = 8,
};

static struct template
{
	uint16_t length;
	uint16_t port;
	uint8_t bytes[LONGEST];
}
templates[MOST_TEMPLATES];
static unsigned int template_count;

static void must(int condition, const char *what)
{
	if (condition)
		return;
	fprintf(stderr, "fuzz-packet: %s\n", what);
	abort();
}

/* ---- templates: every packet that goes in in a fixture, in order, and behind them those that come out ----
 */

static void keep(const uint8_t *bytes, size_t length, uint16_t port)
{
	struct template *t;

	if (length == 0 || template_count == MOST_TEMPLATES)
		return;
	t = &templates[template_count++];
	t->length = (uint16_t)length;
	t->port = port;
	memcpy(t->bytes, bytes, length);
}

static void load(const char *path, bool going_in)
{
	uint8_t bytes[LONGEST];
	size_t length = 0;
	char line[1024];
	uint16_t port = 0;
	bool wanted = false;
	FILE *file = fopen(path, "r");

	if (!file)
		return;
	while (fgets(line, sizeof(line), file)) {
		char *at;

		if (strtoul(line, &at, 16) == length && at == line + 4 && strncmp(at, "  ", 2) == 0) {
			for (char *end; length < LONGEST; at = end) {
				unsigned long byte = strtoul(at, &end, 16);

				if (end == at)
					break;
				bytes[length++] = (uint8_t)byte;
			}
			continue;
		}
		if (wanted)
			keep(bytes, length, port);
		length = 0;
		wanted = (strncmp(line, "in ", 3) == 0) == going_in;
		if (strncmp(line, "in ", 3) == 0)
			port = (uint16_t)atoi(line + 3);
		else if (strncmp(line, "forward ", 8) == 0)
			port = (uint16_t)!atoi(line + 8); /* as if it came back */
	}
	if (wanted)
		keep(bytes, length, port);
	fclose(file);
}

int LLVMFuzzerInitialize(int *count, char ***arguments);
int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerInitialize(int *count, char ***arguments)
{
	static struct local_address *kept[MOST_LOCALS];
	glob_t found = {0};

	kept_locals = kept;
	(void)count, (void)arguments;
	if (glob("test/packets/fixtures/*.txt", 0, NULL, &found) == 0)
		for (size_t i = 0; i < 2 * found.gl_pathc; i++)
			load(found.gl_pathv[i % found.gl_pathc], i < found.gl_pathc);
	globfree(&found);
	fprintf(stderr, "fuzz-packet: %u packets to begin with\n", template_count);
	return 0;
}

/* ---- the director of all fixtures at once ---- */

static void set_up(uint8_t choice)
{
	static const char *const lines[] = {
	    "port 0 mac 02:00:00:00:00:10 mtu 1500",
	    "port 1 mac 02:00:00:00:00:11 mtu 1400",
	    "address 10.1.0.254/24 0",
	    "address 10.1.0.100/32 0",
	    "address 10.2.0.254/24 1",
	    "address 10.2.0.200/32 1",
	    "address 2001:db8:1::fe/64 0",
	    "address 2001:db8:1::64/128 0",
	    "address 2001:db8:2::fe/64 1",
	    "address 2001:db8:2::c8/128 1",
	    "route 198.51.100.0/24 10.1.0.1 0",
	    "neighbour 10.1.0.9 0 02:00:00:00:01:09",
	    "neighbour 10.1.0.1 0 02:00:00:00:01:01",
	    "neighbour 10.2.0.1 1 02:00:00:00:02:01",
	    "neighbour 2001:db8:1::9 0 02:00:00:00:01:09",
	    "neighbour 2001:db8:2::1 1 02:00:00:00:02:01",
	};
	static const char *const modes[] = {"fullnat", "nat", "dr"};
	static const char *const services[] = {"tcp 10.1.0.100 80 rr",	   "udp 10.1.0.100 80 rr",
					       "icmp 10.1.0.100 0 rr",	   "tcp 2001:db8:1::64 80 rr",
					       "udp 2001:db8:1::64 80 rr", "icmpv6 2001:db8:1::64 0 rr"};
	char line[128];

	start();
	for (unsigned int i = 0; i < RTE_DIM(lines); i++) {
		snprintf(line, sizeof(line), "%s", lines[i]);
		read_setting(line);
	}
	for (unsigned int i = 0; i < RTE_DIM(services); i++) {
		bool six = strchr(services[i], ':') != NULL, ping = services[i][0] == 'i';
		const char *mode = modes[(choice + i) % 3];

		snprintf(line, sizeof(line), "service %s", services[i]);
		read_setting(line);
		snprintf(line, sizeof(line), "server %s %d %s", six ? "2001:db8:2::1" : "10.2.0.1",
			 ping ? 0 : 8080, mode);
		read_setting(line);
		if (strcmp(mode, "fullnat") == 0) {
			snprintf(line, sizeof(line), "local %s 1 any", six ? "2001:db8:2::c8" : "10.2.0.200");
			read_setting(line);
		}
	}
	/* Short lives, so that the end comes soon. */
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		director.timeouts.tcp[i] = i == TCP_ESTABLISHED ? LONG_SECONDS : 2;
	for (unsigned int i = 0; i < UDP_STATE_COUNT; i++)
		director.timeouts.udp[i] = 2;
	director.timeouts.icmp = 1;
	director.toa = choice & 8;
	net.forwarding4 = net.forwarding6 = !(choice & 16);
	net.ports[0].has_twin = choice & 32;
	if (choice & 64)
		director.steering.workers = 2;
}

/* ---- what must hold ---- */

static uint64_t all_drops(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 0; i < DROP_REASON_COUNT; i++)
		sum += view.counters.drops[i];
	return sum;
}

/* Connections that the counters tell of. */
static uint64_t all_connections(void)
{
	uint64_t sum = 0;

	for (unsigned int i = 1; i <= server_count; i++)
		sum += (uint64_t)view.servers[i].active + view.servers[i].inactive;
	return sum;
}

/* 1 right, 0 wrong, -1: has none that could be told. Of a whole packet whose headers were parsed. */
static int transport_right(const uint8_t *l3, size_t total, uint8_t family, uint8_t protocol, size_t l4)
{
	if (protocol == IPPROTO_UDP) {
		size_t length = (size_t)l3[l4 + 4] << 8 | l3[l4 + 5];

		/* The sum covers the UDP length. */
		if ((l3[l4 + 6] | l3[l4 + 7]) == 0 || length != total - l4)
			return -1;
	} else if (protocol != IPPROTO_TCP) {
		return -1;
	}
	return checksum_transport((enum family)family, l3, protocol, l3 + l4, total - l4) == 0;
}

static void check_verdict(const struct packet *p, const uint8_t *before, size_t length, uint64_t drops)
{
	must(p->verdict != VERDICT_NONE, "no verdict");
	must(all_drops() - drops == (p->verdict == VERDICT_DROP), "drops do not add up");
	must(p->verdict != VERDICT_HANDOVER || (p->owner == 1 && director.steering.workers == 2),
	     "handed over to nobody");
	must(all_connections() == connection_table_count(view.connections), "connections do not add up");
	if (p->verdict != VERDICT_FORWARD && p->verdict != VERDICT_UNRESOLVED)
		return;
	must(p->verdict != VERDICT_FORWARD || p->adjacency != NULL, "forwarded to nobody");
	if (p->family == FAMILY_IPV4) {
		must(checksum_header(p->l3, (size_t)(p->l3[0] & 15) * 4) == 0, "IPv4 header checksum");
		must(((size_t)p->l3[2] << 8 | p->l3[3]) == p->total, "IPv4 total length");
	} else {
		must(((size_t)p->l3[4] << 8 | p->l3[5]) + 40 == p->total, "IPv6 payload length");
	}
	if (p->length == p->total && p->total <= length + 20) {
		int now = transport_right(p->l3, p->total, p->family, p->protocol, p->l4);
		size_t was_total = p->family == FAMILY_IPV4 ? (size_t)before[2] << 8 | before[3]
							    : ((size_t)before[4] << 8 | before[5]) + 40;
		int was = transport_right(before, was_total, p->family, p->protocol, p->l4);

		must(now == was, "a transport checksum became right or wrong");
	}
}

/* What the director says itself: an ICMP error, or a reset. */
static void check_originated(void)
{
	bool six = originated[0] >> 4 == 6;
	size_t header = six ? 40 : 20;
	uint8_t protocol = originated[six ? 6 : 9];

	if (originated_length == 0)
		return;
	must(protocol == (six ? IPPROTO_ICMPV6 : IPPROTO_ICMP) || protocol == IPPROTO_TCP,
	     "neither an ICMP error nor a reset");
	must(originated_length <= (protocol == IPPROTO_TCP ? header + 20
				   : six		   ? 1280
							   : 576),
	     "an ICMP error or reset that is too long");
	must(checksum_transport(six ? FAMILY_IPV6 : FAMILY_IPV4, originated, protocol, originated + header,
				originated_length - header) == 0,
	     "an ICMP error or reset with a wrong checksum");
	must(six || checksum_header(originated, 20) == 0, "an ICMP error or reset with a wrong header");
	must(protocol != IPPROTO_TCP || (originated[header + 13] & 4), "a segment that is no reset");
}

/* ---- steps ---- */

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

/* Puts the IPv4 header checksum right, so that what was changed behind it is looked at. */
static void mend(uint8_t *bytes, size_t length)
{
	size_t header = (size_t)(bytes[0] & 15) * 4;
	rte_be16_t sum;

	if (bytes[0] >> 4 != 4 || header < 20 || header > length)
		return;
	memset(bytes + 10, 0, 2);
	sum = checksum_header(bytes, header);
	memcpy(bytes + 10, &sum, 2);
}

static const struct template *next_template(struct input *input)
{
	unsigned int number = next_byte(input) | (unsigned int)(next_byte(input) & 1) << 8;

	return &templates[template_count ? number % template_count : 0];
}

static void send_packet(struct input *input, const struct template *template)
{
	const struct pipeline_output output = {.originate = on_originate};
	uint8_t flags = next_byte(input), changes = next_byte(input) & 7, before[LONGEST];
	uint64_t drops = all_drops();
	size_t length = template->length;
	struct packet p = {.port = template->port, .headroom = flags & 1 ? HEADROOM : 0};
	uint8_t *buffer;

	memcpy(before, template->bytes, length);
	for (; changes > 0 && length > 0; changes--) {
		size_t at = (next_byte(input) | (size_t)(next_byte(input) & 7) << 8) % length;

		before[at] ^= next_byte(input);
	}
	if (flags & 2 && length > 0)
		length = next_byte(input) % length;
	if (flags & 4)
		mend(before, length);
	buffer = malloc(p.headroom + length + 1);
	must(buffer != NULL, "no memory");
	/* Nothing readable behind the packet: it ends where the buffer does. */
	p.l3 = buffer + p.headroom + 1;
	memcpy(p.l3, before, length);
	p.total = (uint16_t)length;
	p.length = (uint16_t)(flags & 8 ? RTE_MIN(length, (size_t)flags * 4) : length);
	p.family = flags & 16 ? FAMILY_IPV6 : FAMILY_IPV4;
	if (!(flags & 32) && length > 0)
		p.family = before[0] >> 4 == 6 ? FAMILY_IPV6 : FAMILY_IPV4;
	p.flags = flags & 64 ? PACKET_L2_BROADCAST : 0;
	if (flags & 128)
		p.flags |= PACKET_REASSEMBLED;
	originated_length = 0;
	pipeline_run(&director, &view, &p, 1, &output);
	check_verdict(&p, before, length, drops);
	check_originated();
	free(buffer);
}

/* So many packets of a scene as they are, to come to what lies behind them. */
static void play(struct input *input, unsigned int count)
{
	const struct template *template = next_template(input);

	for (; count > 0 && template <templates + template_count; count--) {
		struct input nothing = {.left = 0};

		send_packet(&nothing, template ++);
	}
}

static void pass_time(unsigned int ticks)
{
	for (; ticks > 0; ticks--) {
		view.now++;
		connections_tick(&director, &view, TABLE_SIZE);
	}
}

/* When all have timed out, nothing is left: no connection, no count, no local port. */
static void check_end(void)
{
	pass_time(2 * LONG_SECONDS * TICKS_PER_SECOND);
	must(connection_table_count(view.connections) == 0, "a connection that does not end");
	must(all_connections() == 0, "a count that does not end");
	for (unsigned int i = 0; i < local_count; i++) {
		struct local_port_usage usage;

		local_port_usage(locals[i], &usage);
		must(usage.used == 0, "a local port that does not come back");
	}
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct input input = {.bytes = data, .left = size};

	set_up(next_byte(&input));
	for (int step = 0; step < MOST_STEPS && input.left; step++) {
		uint8_t what = next_byte(&input);

		if (what < 16)
			pass_time(what * TICKS_PER_SECOND);
		else if (what < 24)
			__atomic_store_n(&director.servers[1 + what % server_count]->flags,
					 next_byte(&input) & (SERVER_REMOVED | SERVER_EXPIRE_QUIESCENT),
					 __ATOMIC_RELAXED);
		else if (what < 32)
			director.servers[1 + what % server_count]->weight = next_byte(&input) & 1;
		else if (what < 64)
			play(&input, what & 15);
		else
			send_packet(&input, next_template(&input));
	}
	check_end();
	stop();
	return 0;
}
