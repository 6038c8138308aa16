/* A director of one worker, built from the set-up lines of the fixture files (README.md). Shared by what runs
 * the fixtures and what fuzzes the pipeline. */
#ifndef DPVSHA_TEST_DIRECTOR_H
#define DPVSHA_TEST_DIRECTOR_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/connect.h"
#include "core/pipeline.h"

enum {
	MOST_BYTES = 4096,
	HEADROOM = 256,
	MOST_SERVICES = 16,
	MOST_SERVERS = 64,
	MOST_LOCALS = 8,
	TABLE_SIZE = 256,
	PORTS = 65536,
	ICMP_RATE = 1000,
};

/* ---- the director ---- */

static struct director director;
static struct net net;
static struct net_master *master;
static struct worker_view view;
static struct service *services[MOST_SERVICES];
static enum scheduler schedulers[MOST_SERVICES];
static unsigned int service_count, server_count;
static struct local_address *locals[MOST_LOCALS];
static unsigned int local_count;
/* Making a local address takes a millisecond: a fuzzer keeps those of earlier directors, whose ports all came
 * back. NULL: each director makes its own. */
static struct local_address **kept_locals;

static uint8_t originated[MOST_BYTES];
static size_t originated_length;

static void no_send(void *context, uint16_t port, const uint8_t *frame, size_t length)
{
	(void)context, (void)port, (void)frame, (void)length;
}

static void no_release(void *context, void *handle, const struct adjacency *adjacency)
{
	(void)context, (void)handle, (void)adjacency;
}

static void no_give_up(void *context, void *handle, enum drop_reason reason)
{
	(void)context, (void)handle, (void)reason;
}

static inline void on_originate(void *context, enum family family, const uint8_t *bytes, size_t length)
{
	(void)context, (void)family;
	memcpy(originated, bytes, RTE_MIN(length, sizeof(originated)));
	originated_length = length;
}

static void start(void)
{
	const struct net_output output = {.send = no_send, .release = no_release, .give_up = no_give_up};
	const struct net_limits limits = {.max_neighbours = 64};

	memset(&director, 0, sizeof(director));
	memset(&net, 0, sizeof(net));
	memset(&view, 0, sizeof(view));
	service_count = server_count = local_count = 0;
	master = net_master_new(&net, &output, &limits);
	net.ttl = 64;
	net.forwarding4 = net.forwarding6 = true;
	director.net = &net;
	director.services = service_table_new(MOST_SERVICES);
	director.servers = memory_new((MOST_SERVERS + 1) * sizeof(struct server *));
	director.icmp_errors_per_second = ICMP_RATE;
	/* The defaults of dpvs.conf. */
	director.timeouts = (struct timeouts){.udp = {300, 300, 3}, .icmp = 60, .connection_init = 3};
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		director.timeouts.tcp[i] = 7;
	director.timeouts.tcp[TCP_ESTABLISHED] = 90;
	view.connections = connection_table_new(TABLE_SIZE, 0);
	view.templates = connection_table_new(TABLE_SIZE, 0);
	view.servers = memory_new((MOST_SERVERS + 1) * sizeof(struct server_count));
	view.cursors = memory_new((MOST_SERVICES + 1) * sizeof(struct schedule_cursor));
	view.now = 1000;
	view.icmp_tokens = ICMP_RATE;
	view.icmp_refilled = view.now;
	director.workers[0] = &view;
	steering_divide(&director, 1);
}

static void stop(void)
{
	for (unsigned int i = 0; i < service_count; i++) {
		schedule_free(services[i]->schedule);
		memory_free(services[i]->locals);
		memory_free(services[i]);
	}
	for (unsigned int i = 1; i <= server_count; i++)
		memory_free(director.servers[i]);
	connection_table_free(view.connections);
	connection_table_free(view.templates);
	local_table_free(director.locals);
	for (unsigned int i = 0; i < local_count && !kept_locals; i++)
		local_address_free(locals[i]);
	service_table_free(director.services);
	memory_free(director.servers);
	memory_free(view.servers);
	memory_free(view.cursors);
	net_master_free(master);
}

/* ---- reading ---- */

static const char *file_name = "set-up";
static unsigned int line_number;

/* A line that makes no sense ends the whole program: nothing behind it would. */
static void broken(const char *what)
{
	printf("not ok %s: line %u: %s\n", file_name, line_number, what);
	exit(1);
}

static enum family read_address(const char *text, union ip_addr *address)
{
	enum family family = strchr(text, ':') ? FAMILY_IPV6 : FAMILY_IPV4;

	memset(address, 0, sizeof(*address));
	if (inet_pton(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, text, address->b) != 1)
		broken("no address");
	return family;
}

/* "10.0.0.0/24" */
static enum family read_prefix(char *text, union ip_addr *address, uint8_t *prefix)
{
	char *slash = strchr(text, '/');

	if (!slash)
		broken("no prefix length");
	*slash = 0;
	*prefix = (uint8_t)atoi(slash + 1);
	return read_address(text, address);
}

static void read_mac(const char *text, uint8_t mac[6])
{
	if (sscanf(text, "%hhx:%hhx:%hhx:%hhx:%hhx:%hhx", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4],
		   &mac[5]) != 6)
		broken("no MAC address");
}

static uint8_t read_protocol(const char *text)
{
	const struct {
		const char *name;
		uint8_t number;
	} names[] = {
	    {"tcp", IPPROTO_TCP}, {"udp", IPPROTO_UDP}, {"icmp", IPPROTO_ICMP}, {"icmpv6", IPPROTO_ICMPV6}};

	for (unsigned int i = 0; i < RTE_DIM(names); i++)
		if (strcmp(text, names[i].name) == 0)
			return names[i].number;
	broken("no protocol");
	return 0;
}

/* ---- set-up lines ---- */

static void refused_if(int result, const struct error *error)
{
	if (result < 0)
		broken(error->text);
}

static void set_port(char **word)
{
	unsigned int number = (unsigned int)atoi(word[1]);
	struct net_port *port = &net.ports[number % MAX_PORTS];

	snprintf(port->name, sizeof(port->name), "dpdk%u", number % MAX_PORTS);
	read_mac(word[3], port->mac);
	port->mtu = (uint16_t)atoi(word[5]);
	port->up = true;
	net_port_changed(master, (uint16_t)number, 0);
}

static void set_address(char **word)
{
	struct address address = {.port = (uint16_t)atoi(word[2]), .silent = 1};
	struct error error;

	address.family = (uint8_t)read_prefix(word[1], &address.address, &address.prefix);
	refused_if(net_address_apply(master, 0, &address, 0, &error), &error);
}

static void set_route(char **word)
{
	struct route route = {.port = (uint16_t)atoi(word[3]), .kind = ROUTE_GATEWAY};
	struct error error;

	route.family = (uint8_t)read_prefix(word[1], &route.destination, &route.prefix);
	if (strcmp(word[2], "kernel") == 0)
		route.kind = ROUTE_KERNEL;
	else
		read_address(word[2], &route.gateway);
	refused_if(net_route_apply(master, 0, &route, &error), &error);
}

static void set_neighbour(char **word)
{
	union ip_addr address;
	uint8_t mac[6];
	enum family family = read_address(word[1], &address);
	struct error error;

	read_mac(word[3], mac);
	refused_if(net_neighbour_apply(master, 0, (uint16_t)atoi(word[2]), family, &address, mac, &error),
		   &error);
}

static struct service *last_service(void)
{
	if (service_count == 0)
		broken("no service before");
	return services[service_count - 1];
}

static void set_service(char **word)
{
	struct service *service = memory_new(sizeof(*service));
	int scheduler = scheduler_by_name(word[4]);

	if (!service || scheduler < 0 || service_count == MOST_SERVICES)
		broken("no such service");
	service->key.protocol = read_protocol(word[1]);
	service->key.family = (uint8_t)read_address(word[2], &service->key.address);
	service->key.port = htons((uint16_t)atoi(word[3]));
	service->index = service_count;
	schedulers[service_count] = (enum scheduler)scheduler;
	services[service_count++] = service;
	service_table_put(director.services, service);
}

static void reschedule(struct service *service)
{
	struct server *servers[MOST_SERVERS];
	uint32_t count = 0;

	for (unsigned int i = 1; i <= server_count; i++)
		if (director.servers[i]->service == service->index)
			servers[count++] = director.servers[i];
	schedule_free(service->schedule);
	service->schedule = schedule_new(schedulers[service->index], 0, servers, count);
}

static void set_server(char **word)
{
	struct service *service = last_service();
	struct server *server = memory_new(sizeof(*server));

	if (!server || server_count == MOST_SERVERS)
		broken("too many servers");
	server->index = ++server_count;
	server->service = service->index;
	server->family = (uint8_t)read_address(word[1], &server->address);
	server->port = htons((uint16_t)atoi(word[2]));
	server->weight = 1;
	if (strcmp(word[3], "fullnat") == 0)
		server->forward = FORWARD_FULLNAT;
	else if (strcmp(word[3], "nat") == 0)
		server->forward = FORWARD_NAT;
	else if (strcmp(word[3], "dr") == 0)
		server->forward = FORWARD_DR;
	else
		broken("no forwarding mode");
	if (server->forward == FORWARD_NAT) {
		struct prefix_set prefixes = {.bits = {1}};

		service->flags |= SERVICE_HAS_NAT;
		nat_server_put(director.services, (enum family)server->family, service->key.protocol,
			       &server->address, server->port, &prefixes);
	}
	director.servers[server->index] = server;
	reschedule(service);
}

/* Leaves one port of a local address free, so that fixtures do not depend on the order in which ports are
 * given out: takes all, towards so many destinations that every group of them is met, and gives that one
 * back. */
static void leave_one_port(struct local_address *local, uint16_t wanted)
{
	for (uint32_t group = 0; group < 64 * LOCAL_PORT_GROUPS; group++) {
		uint32_t hash = group * 0x9e3779b9u;
		bool was_free = false;

		for (unsigned int i = 0; i < PORTS; i++) {
			uint16_t port = local_port_take(local, 0, hash);

			if (port == 0)
				break;
			was_free |= port == wanted;
		}
		if (was_free)
			local_port_give(local, wanted, hash);
		/* Otherwise the group was drained under another number. */
	}
}

static struct local_address *local_of(const union ip_addr *address, enum family family, uint16_t port)
{
	struct local_address *local;

	for (unsigned int i = 0; kept_locals && i < MOST_LOCALS && kept_locals[i]; i++)
		if (kept_locals[i]->family == family && ip_equal(&kept_locals[i]->address, address))
			return kept_locals[i];
	local = local_address_new(address, family, port, 1);
	for (unsigned int i = 0; kept_locals && i < MOST_LOCALS; i++)
		if (!kept_locals[i]) {
			kept_locals[i] = local;
			break;
		}
	return local;
}

static void set_local(char **word)
{
	struct service *service = last_service();
	struct local_set *set = memory_new(sizeof(*set) + sizeof(struct local_address *));
	union ip_addr address;
	enum family family = read_address(word[1], &address);

	if (!set || local_count == MOST_LOCALS)
		broken("too many local addresses");
	locals[local_count] = local_of(&address, family, (uint16_t)atoi(word[2]));
	set->count = 1;
	set->addresses[0] = locals[local_count++];
	if (strcmp(word[3], "any") != 0)
		leave_one_port(set->addresses[0], (uint16_t)atoi(word[3]));
	service->locals = set;
	local_table_free(director.locals);
	director.locals = local_table_new(locals, local_count);
}

static void set_switch(char **word)
{
	bool on = strcmp(word[1], "on") == 0;

	if (strcmp(word[0], "toa") == 0)
		director.toa = on;
	else
		net.forwarding4 = net.forwarding6 = on;
}

static void set_twin(char **word)
{
	net.ports[atoi(word[1]) % MAX_PORTS].has_twin = true;
}

static const struct {
	const char *name;
	int words;
	void (*apply)(char **word);
} settings[] = {
    {"port", 6, set_port},	     {"address", 3, set_address}, {"route", 4, set_route},
    {"neighbour", 4, set_neighbour}, {"service", 5, set_service}, {"server", 4, set_server},
    {"local", 4, set_local},	     {"toa", 2, set_switch},	  {"forwarding", 2, set_switch},
    {"twin", 2, set_twin},
};

/* Applies one line; it is taken to pieces. */
static void read_setting(char *line)
{
	char *word[16];
	int words = 0;

	for (char *at = strtok(line, " "); at && words < 16; at = strtok(NULL, " "))
		word[words++] = at;
	if (words == 0)
		return;
	for (unsigned int i = 0; i < RTE_DIM(settings); i++)
		if (strcmp(settings[i].name, word[0]) == 0 && settings[i].words == words) {
			settings[i].apply(word);
			return;
		}
	broken("not understood");
}

#endif
