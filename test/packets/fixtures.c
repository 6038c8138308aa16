/* Runs the fixture files of test/packets/fixtures: each builds a director of one worker and sends its packets
 * through pipeline_run(), one after the other. Verdict, bytes, ICMP errors and every counter must be as
 * written. README.md describes the format.
 *   build/native/test-fixtures [FILE...]     all files when none is named; from the repository's folder */
#include <glob.h>
#include <stdarg.h>

#include "check.h"
#include "director.h"

enum { MOST_COUNTERS = 256 };

static unsigned int step_line;
static char file_case[512]; /* "FILE STEP" */

/* The first fault of a step is its verdict; what else is wrong with it follows as remarks. */
static void __attribute__((format(printf, 1, 2))) complain(const char *format, ...)
{
	va_list arguments;

	if (check_failed)
		printf("# ");
	else
		printf("not ok %s: %s:%u: ", file_case, file_name, step_line);
	check_failed = 1;
	va_start(arguments, format);
	vprintf(format, arguments);
	va_end(arguments);
	printf("\n");
}

/* ---- a step ---- */

struct bytes {
	uint8_t data[MOST_BYTES];
	size_t length;
};

static struct step {
	bool open;
	char name[128];
	unsigned int wait;
	uint16_t port;
	enum family family; /* FAMILY_NONE: as the first byte says */
	uint16_t contiguous; /* 0: all */
	uint16_t flags;
	struct bytes in, out, error;
	struct bytes *filling;
	char fate[64];
	uint16_t out_port;
	uint8_t mac[6];
	union ip_addr next_hop;
	bool oversize;
	bool has_error;
	char counter_names[32][64];
	long counter_changes[32];
	unsigned int counters;
} step;

static const struct {
	const char *name;
	enum verdict verdict;
} verdicts[] = {
    {"forward", VERDICT_FORWARD}, {"unresolved", VERDICT_UNRESOLVED}, {"drop", VERDICT_DROP},
    {"kernel", VERDICT_KERNEL},	  {"master", VERDICT_MASTER},	      {"reassemble", VERDICT_REASSEMBLE},
};

/* Every counter there is, by name. */
struct counter {
	char name[64];
	uint64_t value;
};

static unsigned int read_counters(struct counter *out)
{
	unsigned int count = 0;
	const struct {
		const char *name;
		uint64_t value;
	} totals[] = {
	    {"in", view.counters.in},
	    {"forwarded", view.counters.forwarded},
	    {"kernel", view.counters.kernel},
	    {"local", view.counters.local},
	    {"held", view.counters.held},
	    {"originated", view.counters.originated},
	    {"handed_over", view.counters.handed_over},
	    {"taken_over", view.counters.taken_over},
	};

	for (unsigned int i = 0; i < RTE_DIM(totals); i++) {
		snprintf(out[count].name, sizeof(out[count].name), "%s", totals[i].name);
		out[count++].value = totals[i].value;
	}
	for (unsigned int i = 0; i < DROP_REASON_COUNT; i++) {
		snprintf(out[count].name, sizeof(out[count].name), "drop.%s", drop_reason_name[i]);
		out[count++].value = view.counters.drops[i];
	}
	for (unsigned int i = 1; i <= server_count; i++) {
		const struct server_count *n = &view.servers[i];
		const struct {
			const char *name;
			uint64_t value;
		} of_server[] = {
		    {"active", n->active},	   {"inactive", n->inactive},
		    {"persistent", n->persistent}, {"connections", n->connections},
		    {"in_packets", n->in_packets}, {"out_packets", n->out_packets},
		    {"in_bytes", n->in_bytes},	   {"out_bytes", n->out_bytes},
		};

		for (unsigned int j = 0; j < RTE_DIM(of_server) && count < MOST_COUNTERS; j++) {
			snprintf(out[count].name, sizeof(out[count].name), "%u.%s", i, of_server[j].name);
			out[count++].value = of_server[j].value;
		}
	}
	return count;
}

static void compare_counters(const struct counter *before, const struct counter *after, unsigned int count)
{

	for (unsigned int i = 0; i < step.counters; i++) {
		unsigned int known = 0;

		while (known < count && strcmp(after[known].name, step.counter_names[i]) != 0)
			known++;
		if (known == count)
			broken("no such counter");
	}
	for (unsigned int i = 0; i < count; i++) {
		long wanted = 0, got = (long)(after[i].value - before[i].value);

		for (unsigned int j = 0; j < step.counters; j++)
			if (strcmp(after[i].name, step.counter_names[j]) == 0)
				wanted += step.counter_changes[j];
		if (got == wanted)
			continue;
		complain("counter %s changed by %ld, not %ld", after[i].name, got, wanted);
	}
}

static void compare_bytes(const char *what, const uint8_t *got, size_t length, const struct bytes *wanted)
{
	size_t at = 0;

	while (at < length && at < wanted->length && got[at] == wanted->data[at])
		at++;
	if (at == length && at == wanted->length)
		return;
	if (at == length || at == wanted->length)
		complain("%s has %zu bytes, not %zu", what, length, wanted->length);
	else
		complain("%s: byte %zx is %02x, not %02x", what, at, got[at], wanted->data[at]);
	for (size_t i = 0; i < length && i < 128; i++)
		printf("%s%02x", i % 16 ? " " : "\n# ", got[i]);
	printf("\n");
}

static void compare_fate(const struct packet *p)
{
	enum verdict wanted = VERDICT_NONE;

	for (unsigned int i = 0; i < RTE_DIM(verdicts); i++)
		if (strncmp(step.fate, verdicts[i].name, strlen(verdicts[i].name)) == 0)
			wanted = verdicts[i].verdict;
	if (p->verdict != wanted) {
		complain("verdict %u%s%s, wanted: %s", p->verdict, p->verdict == VERDICT_DROP ? " " : "",
			 p->verdict == VERDICT_DROP ? drop_reason_name[p->reason] : "", step.fate);
		return;
	}
	switch (wanted) {
	case VERDICT_DROP:
		if (strcmp(step.fate + strlen("drop "), drop_reason_name[p->reason]) != 0) {
			complain("dropped as %s, not %s", drop_reason_name[p->reason],
				 step.fate + strlen("drop "));
		}
		return;
	case VERDICT_FORWARD:
		if (p->adjacency->port != step.out_port || memcmp(p->adjacency->ether, step.mac, 6) != 0 ||
		    memcmp(p->adjacency->ether + 6, net.ports[step.out_port].mac, 6) != 0 ||
		    p->adjacency->ether[12] != (p->family == FAMILY_IPV6 ? 0x86 : 0x08))
			complain("goes to another neighbour");
		if (((p->flags & PACKET_OVERSIZE) != 0) != step.oversize)
			complain("oversize or not");
		break;
	case VERDICT_UNRESOLVED:
		if (p->port != step.out_port || !ip_equal(&p->next_hop, &step.next_hop))
			complain("asks for another neighbour");
		break;
	case VERDICT_KERNEL:
		if (p->port != step.out_port)
			complain("goes to another port's twin");
		break;
	default:
		return;
	}
	compare_bytes("the packet", p->l3, p->total, &step.out);
}

static void run_step(void)
{
	static struct counter before[MOST_COUNTERS], after[MOST_COUNTERS];
	const struct pipeline_output output = {.originate = on_originate};
	unsigned int count;
	uint8_t *buffer;
	struct packet p = {0};

	if (!step.open)
		return;
	step.open = false;
	check_failed = 0;
	if (step.fate[0] == 0)
		broken("a step without fate");
	if (step.wait) {
		view.now += step.wait * TICKS_PER_SECOND;
		for (unsigned int i = 0; i < step.wait * TICKS_PER_SECOND + 1; i++)
			connections_tick(&director, &view, TABLE_SIZE);
	}
	/* Exactly as much memory as there are bytes, so that sanitisers see what reads beyond. */
	buffer = malloc(HEADROOM + step.in.length);
	if (!buffer)
		broken("no memory");
	memset(buffer, 0xa5, HEADROOM);
	memcpy(buffer + HEADROOM, step.in.data, step.in.length);
	p.l3 = buffer + HEADROOM;
	p.total = (uint16_t)step.in.length;
	p.length = step.contiguous ? step.contiguous : p.total;
	p.headroom = HEADROOM;
	p.port = step.port;
	p.flags = step.flags;
	p.family = (uint8_t)(step.family ? step.family : step.in.data[0] >> 4);

	originated_length = 0;
	count = read_counters(before);
	pipeline_run(&director, &view, &p, 1, &output);
	read_counters(after);
	compare_fate(&p);
	if (step.has_error || originated_length)
		compare_bytes("the ICMP error", originated, originated_length, &step.error);
	compare_counters(before, after, count);
	free(buffer);
	if (check_failed)
		check_failures++;
	else
		printf("ok %s\n", file_case);
}

/* ---- files ---- */

/* "0010  0a 01 00 64 ..." */
static bool read_hex(char *line)
{
	char *at = line;
	unsigned int offset = (unsigned int)strtoul(line, &at, 16);

	if (at != line + 4 || at[0] != ' ' || at[1] != ' ' || !step.filling)
		return false;
	if (offset != step.filling->length)
		broken("wrong offset");
	while (*at) {
		char *end;
		unsigned long byte = strtoul(at, &end, 16);

		if (end == at)
			break;
		if (byte > 255 || step.filling->length == MOST_BYTES)
			broken("no byte, or too many");
		step.filling->data[step.filling->length++] = (uint8_t)byte;
		at = end;
	}
	return true;
}

static void read_input(char **word, int words)
{
	step.port = (uint16_t)atoi(word[1]);
	step.filling = &step.in;
	for (int i = 2; i < words; i++) {
		if (strcmp(word[i], "broadcast") == 0)
			step.flags |= PACKET_L2_BROADCAST;
		else if (strcmp(word[i], "family") == 0 && i + 1 < words)
			step.family = atoi(word[++i]) == 6 ? FAMILY_IPV6 : FAMILY_IPV4;
		else if (strcmp(word[i], "contiguous") == 0 && i + 1 < words)
			step.contiguous = (uint16_t)atoi(word[++i]);
		else
			broken("unknown property of a packet");
	}
}

static bool read_fate(const char *line, char **word, int words)
{
	bool known = false;

	for (unsigned int i = 0; i < RTE_DIM(verdicts); i++)
		known |= strcmp(word[0], verdicts[i].name) == 0;
	if (!known)
		return false;
	snprintf(step.fate, sizeof(step.fate), "%.63s", line);
	step.filling = &step.out;
	if (strcmp(word[0], "drop") != 0 && words > 1)
		step.out_port = (uint16_t)atoi(word[1]);
	if (strcmp(word[0], "forward") == 0 && words > 2) {
		read_mac(word[2], step.mac);
		step.oversize = words > 3 && strcmp(word[3], "oversize") == 0;
	}
	if (strcmp(word[0], "unresolved") == 0 && words > 2)
		read_address(word[2], &step.next_hop);
	return true;
}

static void read_step_line(char *line)
{
	char copy[1024], *word[16];
	int words = 0;

	snprintf(copy, sizeof(copy), "%s", line);
	for (char *at = strtok(copy, " "); at && words < 16; at = strtok(NULL, " "))
		word[words++] = at;
	if (words == 0)
		return;
	if (strcmp(word[0], "says") == 0)
		return;
	if (strcmp(word[0], "wait") == 0 && words == 2) {
		step.wait = (unsigned int)atoi(word[1]);
	} else if (strcmp(word[0], "in") == 0 && words >= 2) {
		read_input(word, words);
	} else if (strcmp(word[0], "error") == 0) {
		step.has_error = true;
		step.filling = &step.error;
	} else if (strcmp(word[0], "counter") == 0 && words == 3 && step.counters < 32) {
		snprintf(step.counter_names[step.counters], 64, "%.63s", word[1]);
		step.counter_changes[step.counters++] = atol(word[2]);
	} else if (!read_fate(line, word, words)) {
		broken("not understood");
	}
}

static void run_file(const char *path)
{
	char line[1024];
	FILE *file = fopen(path, "r");
	const char *slash = strrchr(path, '/');
	bool steps = false;

	file_name = slash ? slash + 1 : path;
	line_number = 0;
	file_case[0] = 0;
	if (!file)
		broken("cannot be read");
	start();
	memset(&step, 0, sizeof(step));
	while (fgets(line, sizeof(line), file)) {
		line_number++;
		line[strcspn(line, "\n")] = 0;
		if (line[0] == 0 || line[0] == '#')
			continue;
		if (strncmp(line, "step ", 5) == 0) {
			run_step();
			memset(&step, 0, sizeof(step));
			step.open = steps = true;
			step_line = line_number;
			snprintf(file_case, sizeof(file_case), "%.*s %.120s", (int)strcspn(file_name, "."),
				 file_name, line + 5);
			check_case = file_case;
		} else if (!steps) {
			read_setting(line);
		} else if (!read_hex(line)) {
			read_step_line(line);
		}
	}
	run_step();
	fclose(file);
	stop();
}

int main(int count, char **names)
{
	glob_t found = {0};

	for (int i = 1; i < count; i++)
		run_file(names[i]);
	if (count > 1)
		return check_end();
	if (glob("test/packets/fixtures/*.txt", 0, NULL, &found) != 0) {
		printf("not ok fixtures: no test/packets/fixtures/*.txt here; run it from the repository's "
		       "folder\n");
		return 1;
	}
	for (size_t i = 0; i < found.gl_pathc; i++)
		run_file(found.gl_pathv[i]);
	globfree(&found);
	return check_end();
}
