#include "settings.h"

#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>

#include "log.h"

static const char *const tcp_names[TCP_STATE_COUNT] = {
    [TCP_NONE] = "none",	 [TCP_ESTABLISHED] = "established", [TCP_SYN_SENT] = "syn_sent",
    [TCP_SYN_RECV] = "syn_recv", [TCP_FIN_WAIT] = "fin_wait",	    [TCP_TIME_WAIT] = "time_wait",
    [TCP_CLOSE] = "close",	 [TCP_CLOSE_WAIT] = "close_wait",   [TCP_LAST_ACK] = "last_ack",
    [TCP_LISTEN] = "listen",	 [TCP_SYNACK] = "synack",	    [TCP_LAST] = "last",
};
static const char *const udp_names[UDP_STATE_COUNT] = {"oneway", "normal", "last"};

void settings_defaults(struct settings *s)
{
	static const uint32_t tcp[TCP_STATE_COUNT] = {
	    [TCP_NONE] = 2,	[TCP_ESTABLISHED] = 90, [TCP_SYN_SENT] = 3, [TCP_SYN_RECV] = 30,
	    [TCP_FIN_WAIT] = 7, [TCP_TIME_WAIT] = 7,	[TCP_CLOSE] = 3,    [TCP_CLOSE_WAIT] = 7,
	    [TCP_LAST_ACK] = 7, [TCP_LISTEN] = 120,	[TCP_SYNACK] = 30,  [TCP_LAST] = 2,
	};
	static const uint32_t udp[UDP_STATE_COUNT] = {
	    [UDP_ONE_WAY] = 300, [UDP_NORMAL] = 300, [UDP_LAST] = 3};

	memset(s, 0, sizeof(*s));
	snprintf(s->ipc, sizeof(s->ipc), "/var/run/dpvs.ipc");
	s->rx_burst = 32;
	s->pool_size = 65535;
	s->pool_cache = 256;
	s->connections = 2097152;
	s->unresolved_queue = 128;
	s->neighbour_timeout = 60;
	s->flow_rules = true;
	s->ttl = 64;
	s->uoa_max_trail = 3;
	memcpy(s->timeouts.tcp, tcp, sizeof(tcp));
	memcpy(s->timeouts.udp, udp, sizeof(udp));
	s->timeouts.icmp = 60;
	s->timeouts.connection_init = 3;
}

static bool number_in(const char *text, uint32_t low, uint32_t high, uint32_t *value)
{
	unsigned long long n;
	char *end;

	if (!isdigit((unsigned char)text[0]))
		return false;
	n = strtoull(text, &end, 10);
	if (*end != '\0' || n < low || n > high)
		return false;
	*value = (uint32_t)n;
	return true;
}

static bool copy_to(char *to, size_t size, const char *text)
{
	size_t length = strlen(text);

	if (length >= size)
		return false;
	memcpy(to, text, length + 1);
	return true;
}

static void remember(struct settings *s, const char *name, const char *value)
{
	struct setting_value *v = NULL, new;

	/* Longer than any item that may change while running. */
	if (!copy_to(new.name, sizeof(new.name), name) || !copy_to(new.value, sizeof(new.value), value))
		return;
	for (unsigned int i = 0; i < s->value_count; i++)
		if (strcmp(s->values[i].name, name) == 0)
			v = &s->values[i];
	if (v == NULL && s->value_count < RTE_DIM(s->values))
		v = &s->values[s->value_count++];
	if (v == NULL)
		return;
	*v = new;
}

uint32_t *settings_timeout(struct timeouts *timeouts, const char *name)
{
	if (strcmp(name, "conn.init_timeout") == 0)
		return &timeouts->connection_init;
	for (unsigned int i = 0; strncmp(name, "tcp.timeout.", 12) == 0 && i < TCP_STATE_COUNT; i++)
		if (strcmp(name + 12, tcp_names[i]) == 0)
			return &timeouts->tcp[i];
	for (unsigned int i = 0; strncmp(name, "udp.timeout.", 12) == 0 && i < UDP_STATE_COUNT; i++)
		if (strcmp(name + 12, udp_names[i]) == 0)
			return &timeouts->udp[i];
	return NULL;
}

/* 1: taken, 0: no such item, -1: the value is wrong. */
static int change(struct settings *s, const char *name, const char *value)
{
	uint32_t *timeout = settings_timeout(&s->timeouts, name);
	uint32_t n;

	if (timeout != NULL)
		return number_in(value, 1, 31 * 86400, timeout) ? 1 : -1;
	if (strcmp(name, "log_level") == 0)
		return log_level_set(value) ? 1 : -1;
	if (strcmp(name, "neigh.timeout") == 0)
		return number_in(value, 1, 3600, &s->neighbour_timeout) ? 1 : -1;
	if (strcmp(name, "udp.uoa_max_trail") == 0)
		return number_in(value, 0, 255, &s->uoa_max_trail) ? 1 : -1;
	if (strcmp(name, "ip4.ttl") == 0)
		return number_in(value, 1, 255, &s->ttl) ? 1 : -1;
	if (strcmp(name, "uoa.mode") == 0) {
		if (strcmp(value, "ipo") != 0 && strcmp(value, "opp") != 0)
			return -1;
		s->uoa_ipo = strcmp(value, "ipo") == 0;
		return 1;
	}
	n = UINT32_MAX;
	if (strcmp(name, "conn.expire_quiescent") == 0) {
		if (!number_in(value, 0, 1, &n))
			return -1;
		s->expire_quiescent = n;
		return 1;
	}
	if (strcmp(name, "udp.defence_drop") == 0) {
		if (!number_in(value, 0, 1, &n))
			return -1;
		s->drop_udp_unknown = n;
		return 1;
	}
	if (strcmp(name, "tcp.defence_drop") == 0) {
		if (!number_in(value, 0, 1, &n))
			return -1;
		s->drop_tcp_unknown = n;
		return 1;
	}
	if (strcmp(name, "ip4.forwarding") == 0) {
		if (!number_in(value, 0, 1, &n))
			return -1;
		s->forwarding4 = n;
		return 1;
	}
	if (strcmp(name, "ip6.forwarding") == 0) {
		if (!number_in(value, 0, 1, &n))
			return -1;
		s->forwarding6 = n;
		return 1;
	}
	return 0;
}

int settings_change(struct settings *s, const char *name, const char *value, struct error *error)
{
	switch (change(s, name, value)) {
	case 1:
		remember(s, name, value);
		return 0;
	case -1:
		return error_set(error, "invalid", "see docs/dpvs-conf.md for its range",
				 "setting %s: \"%s\" is not a value of it", name, value);
	default:
		return error_set(error, "unsupported", "restart dpvsd for items marked <init>",
				 "setting %s does not exist or is fixed once dpvsd runs", name);
	}
}

/* ---- lists ---- */

static int parse_port(struct settings *s, char *text)
{
	struct port_setting *port;
	char *save = NULL, *word = strtok_r(text, " ", &save), *value;
	uint32_t n;

	if (word == NULL || !number_in(word, s->port_count, s->port_count, &n) || n >= MAX_PORTS)
		return -1;
	port = &s->ports[s->port_count++];
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		value = strtok_r(NULL, " ", &save);
		if (value == NULL)
			return -1;
		if (strcmp(word, "name") == 0) {
			if (!copy_to(port->name, sizeof(port->name), value))
				return -1;
			continue;
		}
		if (strcmp(word, "vdev") == 0 || strcmp(word, "pci") == 0) {
			if (!copy_to(port->device, sizeof(port->device), value))
				return -1;
			continue;
		}
		if (strcmp(word, "kni") == 0) {
			if (!copy_to(port->twin, sizeof(port->twin), value))
				return -1;
			continue;
		}
		if (strcmp(word, "rss") == 0) {
			if (!copy_to(port->rss, sizeof(port->rss), value))
				return -1;
			continue;
		}
		if (!number_in(value, 0, 65535, &n))
			return -1;
		if (strcmp(word, "rxq") == 0)
			port->rx_queues = (uint16_t)n;
		else if (strcmp(word, "txq") == 0)
			port->tx_queues = (uint16_t)n;
		else if (strcmp(word, "rxd") == 0)
			port->rx_descriptors = (uint16_t)n;
		else if (strcmp(word, "txd") == 0)
			port->tx_descriptors = (uint16_t)n;
		else if (strcmp(word, "mtu") == 0)
			port->mtu = (uint16_t)n;
		else if (strcmp(word, "promisc") == 0)
			port->promiscuous = n;
		else if (strcmp(word, "allmulti") == 0)
			port->allmulticast = n;
		else
			return -1;
	}
	return port->name[0] && port->device[0] ? 0 : -1;
}

static int parse_worker(struct settings *s, char *text)
{
	struct worker_setting *worker;
	struct worker_queue *queue = NULL;
	char *save = NULL, *word = strtok_r(text, " ", &save), *value;
	uint32_t n;

	if (word == NULL || !number_in(word, s->worker_count, s->worker_count, &n) || n >= MAX_WORKERS)
		return -1;
	worker = &s->workers[s->worker_count++];
	while ((word = strtok_r(NULL, " ", &save)) != NULL) {
		value = strtok_r(NULL, " ", &save);
		if (value == NULL)
			return -1;
		if (strcmp(word, "name") == 0) {
			if (!copy_to(worker->name, sizeof(worker->name), value))
				return -1;
			continue;
		}
		if (!number_in(value, 0, 65535, &n))
			return -1;
		if (strcmp(word, "lcore") == 0) {
			worker->lcore = n;
		} else if (strcmp(word, "port") == 0) {
			if (n >= s->port_count || worker->queue_count == MAX_QUEUES_OF_WORKER)
				return -1;
			queue = &worker->queues[worker->queue_count++];
			*queue = (struct worker_queue){.port = (uint16_t)n, .rx = -1, .tx = -1};
		} else if (strcmp(word, "rxq") == 0 && queue != NULL) {
			queue->rx = (int)n;
		} else if (strcmp(word, "txq") == 0 && queue != NULL) {
			queue->tx = (int)n;
		} else {
			return -1;
		}
	}
	return 0;
}

/* Words, divided by blanks; %XX is a character in hexadecimal. */
static int parse_words(char *room, size_t size, char *list[], const char *text)
{
	unsigned int words = 0;
	size_t at = 0;

	while (*text != '\0') {
		if (words == COMMAND_WORDS)
			return -1;
		list[words++] = &room[at];
		for (; *text != '\0' && *text != ' '; text++) {
			char c = *text;

			if (at + 2 > size)
				return -1;
			if (c == '%') {
				char hex[3] = {text[1], text[1] ? text[2] : '\0', '\0'};

				if (!isxdigit((unsigned char)hex[0]) || !isxdigit((unsigned char)hex[1]))
					return -1;
				c = (char)strtol(hex, NULL, 16);
				text += 2;
			}
			room[at++] = c;
		}
		room[at++] = '\0';
		while (*text == ' ')
			text++;
	}
	return 0;
}

static int parse_line(struct settings *s, const char *name, char *value)
{
	static const struct {
		const char *name;
		size_t offset;
		uint32_t low, high;
	} numbers[] = {
	    {"rx_burst", offsetof(struct settings, rx_burst), 1, 1024},
	    {"pktpool.size", offsetof(struct settings, pool_size), 1023, 1u << 27},
	    {"pktpool.cache", offsetof(struct settings, pool_cache), 0, 8192},
	    {"conn.pool_size", offsetof(struct settings, connections), 1, 1u << 30},
	    {"neigh.unres_queue", offsetof(struct settings, unresolved_queue), 16, 8192},
	};
	static const struct {
		const char *name;
		size_t offset;
	} flags[] = {
	    {"daemon", offsetof(struct settings, daemon)},
	    {"sa_pool.flow_enable", offsetof(struct settings, flow_rules)},
	};
	uint32_t n;
	int done;

	if (strcmp(name, "ipc") == 0)
		return copy_to(s->ipc, sizeof(s->ipc), value) ? 0 : -1;
	if (strcmp(name, "pid") == 0)
		return copy_to(s->pid, sizeof(s->pid), value) ? 0 : -1;
	if (strcmp(name, "log_file") == 0)
		return copy_to(s->log_file, sizeof(s->log_file), value) ? 0 : -1;
	if (strcmp(name, "idle") == 0) {
		s->adaptive = strcmp(value, "adaptive") == 0;
		return s->adaptive || strcmp(value, "poll") == 0 ? 0 : -1;
	}
	if (strcmp(name, "twin_kind") == 0) {
		s->virtio_twins = strcmp(value, "virtio-user") == 0;
		return s->virtio_twins || strcmp(value, "tap") == 0 ? 0 : -1;
	}
	if (strcmp(name, "port") == 0)
		return parse_port(s, value);
	if (strcmp(name, "worker") == 0)
		return parse_worker(s, value);
	if (strcmp(name, "reload_command") == 0)
		return parse_words(s->reload, sizeof(s->reload), s->reload_words, value);
	if (strcmp(name, "twins_command") == 0)
		return parse_words(s->watcher, sizeof(s->watcher), s->watcher_words, value);
	for (unsigned int i = 0; i < RTE_DIM(numbers); i++)
		if (strcmp(name, numbers[i].name) == 0)
			return number_in(value, numbers[i].low, numbers[i].high,
					 (uint32_t *)(void *)((char *)s + numbers[i].offset))
				   ? 0
				   : -1;
	for (unsigned int i = 0; i < RTE_DIM(flags); i++) {
		if (strcmp(name, flags[i].name) != 0)
			continue;
		if (!number_in(value, 0, 1, &n))
			return -1;
		*(bool *)((char *)s + flags[i].offset) = n;
		return 0;
	}
	done = change(s, name, value);
	if (done == 1)
		remember(s, name, value);
	return done == 1 ? 0 : -1;
}

int settings_parse(struct settings *s, const char *text, struct error *error)
{
	char line[4096];
	unsigned int number = 0;

	while (*text != '\0') {
		size_t length = strcspn(text, "\n");
		char *value, shown[64];

		number++;
		if (length >= sizeof(line))
			return error_set(error, "invalid", NULL, "settings line %u is too long", number);
		memcpy(line, text, length);
		line[length] = '\0';
		text += length + (text[length] == '\n');
		if (line[0] == '\0')
			continue;
		snprintf(shown, sizeof(shown), "%.63s", line);
		value = strchr(line, ' ');
		if (value == NULL)
			value = line + length;
		else
			*value++ = '\0';
		if (parse_line(s, line, value) < 0)
			return error_set(
			    error, "invalid",
			    "launcher and native process must be of one version: run npm run build",
			    "settings line %u is not understood: %s", number, shown);
	}
	if (s->port_count == 0 || s->worker_count == 0)
		return error_set(error, "invalid", NULL, "the settings name no port or no worker");
	return 0;
}
