/* Whole directors of one to eight workers in memory, for tests: packets go in at any worker, and come out
 * where they should, whatever RSS did. No ports, no threads; time stands still but for what a case advances.
 */
#ifndef DPVSHA_TEST_WORKERS_H
#define DPVSHA_TEST_WORKERS_H

#include <netinet/in.h>

#include <rte_ip.h>
#include <rte_tcp.h>
#include <rte_udp.h>

#include "check.h"
#include "core/checksum.h"
#include "core/connect.h"
#include "core/pipeline.h"

enum {
	CLIENT_SIDE,
	SERVER_SIDE,
	SERVERS = 3,
	BUFFER = 2048,
	HEADROOM = 256,
	SYN = 2,
	ACK = 16,
	FIN = 1,
	RST = 4,
};

static struct director director;
static struct net net;
static struct net_master *stack;
static struct worker_view views[8];
static struct service *service;
static struct server servers[SERVERS];
static unsigned int errors_sent;
static uint8_t last_error[1500];

static inline void no_send(void *context, uint16_t port, const uint8_t *frame, size_t length)
{
	(void)context, (void)port, (void)frame, (void)length;
}

static inline void no_release(void *context, void *handle, const struct adjacency *adjacency)
{
	(void)context, (void)handle, (void)adjacency;
}

static inline void no_give_up(void *context, void *handle, enum drop_reason reason)
{
	(void)context, (void)handle, (void)reason;
}

static inline void on_originate(void *context, enum family family, const uint8_t *bytes, size_t length)
{
	(void)context, (void)family;
	errors_sent++;
	memcpy(last_error, bytes, RTE_MIN(length, sizeof(last_error)));
}

static const struct pipeline_output output __attribute__((unused)) = {.originate = on_originate};

static inline union ip_addr v4(const char *text)
{
	unsigned int a, b, c, d;

	sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d);
	return ip_from_v4(rte_cpu_to_be_32(a << 24 | b << 16 | c << 8 | d));
}

static inline void add_address(const char *text, uint8_t prefix, uint16_t port)
{
	struct address a = {
	    .address = v4(text), .prefix = prefix, .family = FAMILY_IPV4, .port = port, .silent = 1};
	struct error error;

	if (net_address_apply(stack, 0, &a, 0, &error) < 0)
		CHECK(!"address");
}

static inline void add_neighbour(const char *text, uint16_t port, uint8_t last)
{
	uint8_t mac[6] = {2, 0, 0, 0, 1, last};
	union ip_addr a = v4(text);
	struct error error;

	if (net_neighbour_apply(stack, 0, port, FAMILY_IPV4, &a, mac, &error) < 0)
		CHECK(!"neighbour");
}

/* Client network 10.1.0.0/16 behind port 0, servers 10.2.0.1-3 behind port 1, VIP 10.1.0.100:80. */
static inline void set_up(unsigned int workers, enum forward forward, uint8_t protocol, uint32_t flags,
			  uint32_t persistence)
{
	struct net_output net_output = {.send = no_send, .release = no_release, .give_up = no_give_up};
	struct net_limits limits = {.unresolved_queue = 16, .reachable_ms = 1000, .max_neighbours = 1024};
	struct server *list[SERVERS];
	struct local_address *local = NULL;

	memset(&director, 0, sizeof(director));
	memset(&net, 0, sizeof(net));
	memset(views, 0, sizeof(views));
	memset(servers, 0, sizeof(servers));
	errors_sent = 0;
	for (unsigned int i = 0; i < 2; i++) {
		snprintf(net.ports[i].name, NAME_SIZE, "dpdk%u", i);
		net.ports[i].mac[0] = 2;
		net.ports[i].mac[5] = (uint8_t)(i + 1);
		net.ports[i].mtu = 1500;
		net.ports[i].up = true;
	}
	net.ttl = 64;
	stack = net_master_new(&net, &net_output, &limits);
	add_address("10.1.0.254", 16, CLIENT_SIDE);
	add_address("10.1.0.100", 32, CLIENT_SIDE);
	add_address("10.2.0.254", 24, SERVER_SIDE);
	add_neighbour("10.1.0.1", CLIENT_SIDE, 10);
	add_neighbour("10.1.0.2", CLIENT_SIDE, 11);
	director.net = &net;
	director.services = service_table_new(64);
	director.servers = calloc(64, sizeof(struct server *));
	director.timeouts = (struct timeouts){.udp = {60, 300, 3}, .icmp = 60, .connection_init = 3};
	for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
		director.timeouts.tcp[i] = 7;
	director.timeouts.tcp[TCP_ESTABLISHED] = 90;
	director.icmp_errors_per_second = 1000;
	for (unsigned int i = 0; i < workers; i++) {
		views[i].number = (uint16_t)i;
		views[i].connections = connection_table_new(1024, -1);
		views[i].templates = connection_table_new(256, -1);
		views[i].servers = calloc(64, sizeof(struct server_count));
		views[i].cursors = calloc(64, sizeof(struct schedule_cursor));
		views[i].now = 100;
		views[i].icmp_tokens = 100;
		views[i].icmp_refilled = 100;
		director.workers[i] = &views[i];
		connections_tick(&director, &views[i], 10);
	}
	steering_divide(&director, workers);

	service = memory_new(sizeof(*service));
	service->key = (struct service_key){.address = v4("10.1.0.100"),
					    .port = rte_cpu_to_be_16(80),
					    .protocol = protocol,
					    .family = FAMILY_IPV4};
	service->index = 1;
	service->flags = flags | (forward == FORWARD_NAT ? SERVICE_HAS_NAT : 0);
	service->persistence = persistence;
	for (unsigned int i = 0; i < SERVERS; i++) {
		char text[32];
		struct prefix_set set = {.bits = {persistence ? 1ull << 32 : 1}};

		snprintf(text, sizeof(text), "10.2.0.%u", i + 1);
		add_neighbour(text, SERVER_SIDE, (uint8_t)(i + 1));
		servers[i] = (struct server){.index = i + 1,
					     .service = 1,
					     .address = v4(text),
					     .port = rte_cpu_to_be_16(8080),
					     .family = FAMILY_IPV4,
					     .forward = (uint8_t)forward,
					     .weight = 1};
		director.servers[i + 1] = &servers[i];
		list[i] = &servers[i];
		if (forward == FORWARD_NAT)
			nat_server_put(director.services, FAMILY_IPV4, protocol, &servers[i].address,
				       servers[i].port, &set);
	}
	service->schedule = schedule_new(SCHEDULER_RR, 0, list, SERVERS);
	if (forward == FORWARD_FULLNAT) {
		union ip_addr a = v4("10.2.0.200");

		add_address("10.2.0.200", 32, SERVER_SIDE);
		local = local_address_new(&a, FAMILY_IPV4, SERVER_SIDE, director.steering.shares);
		service->locals = memory_new(sizeof(struct local_set) + sizeof(local));
		service->locals->count = 1;
		service->locals->addresses[0] = local;
		director.locals = local_table_new(&local, 1);
	}
	service_table_put(director.services, service);
}

static inline void tear_down(void)
{
	for (unsigned int i = 0; i < director.steering.workers; i++) {
		connection_table_free(views[i].connections);
		connection_table_free(views[i].templates);
		free(views[i].servers);
		free(views[i].cursors);
	}
	schedule_free(service->schedule);
	if (service->locals) {
		local_address_free(service->locals->addresses[0]);
		memory_free(service->locals);
		local_table_free(director.locals);
	}
	service_table_free(director.services);
	memory_free(service);
	free(director.servers);
	net_master_free(stack);
}

/* ---- packets ---- */

struct sample {
	uint8_t bytes[BUFFER];
	struct packet p;
	unsigned int steps; /* workers that it passed */
	unsigned int last; /* the one that decided */
};

static inline struct rte_ipv4_hdr *ip_of(struct sample *s)
{
	return (struct rte_ipv4_hdr *)(void *)s->p.l3;
}

static inline struct rte_tcp_hdr *tcp_of(struct sample *s)
{
	return (struct rte_tcp_hdr *)(void *)(s->p.l3 + (ip_of(s)->version_ihl & 15) * 4);
}

static inline void make(struct sample *s, uint16_t port, union ip_addr from, uint16_t from_port,
			union ip_addr to, uint16_t to_port, uint8_t protocol, uint8_t tcp_flags,
			uint16_t payload)
{
	uint16_t transport = protocol == IPPROTO_TCP ? 20 : 8, total = (uint16_t)(20 + transport + payload);
	struct rte_ipv4_hdr *ip;
	uint8_t *l4;

	memset(s, 0, sizeof(*s));
	s->p.l3 = s->bytes + HEADROOM;
	s->p.length = s->p.total = total;
	s->p.headroom = HEADROOM;
	s->p.port = port;
	s->p.family = FAMILY_IPV4;
	ip = ip_of(s);
	ip->version_ihl = 0x45;
	ip->total_length = rte_cpu_to_be_16(total);
	ip->time_to_live = 64;
	ip->next_proto_id = protocol;
	ip->src_addr = from.v4;
	ip->dst_addr = to.v4;
	ip->fragment_offset = rte_cpu_to_be_16(0x4000);
	ip->hdr_checksum = checksum_header(ip, 20);
	l4 = s->p.l3 + 20;
	l4[0] = (uint8_t)(from_port >> 8);
	l4[1] = (uint8_t)from_port;
	l4[2] = (uint8_t)(to_port >> 8);
	l4[3] = (uint8_t)to_port;
	for (unsigned int i = 0; i < payload; i++)
		l4[transport + i] = (uint8_t)i;
	if (protocol == IPPROTO_TCP) {
		struct rte_tcp_hdr *tcp = (struct rte_tcp_hdr *)(void *)l4;

		tcp->data_off = 0x50;
		tcp->tcp_flags = tcp_flags;
		tcp->cksum = checksum_transport(FAMILY_IPV4, s->p.l3, protocol, l4, (size_t)(total - 20));
	} else {
		struct rte_udp_hdr *udp = (struct rte_udp_hdr *)(void *)l4;

		udp->dgram_len = rte_cpu_to_be_16((uint16_t)(8 + payload));
		udp->dgram_cksum = checksum_transport(FAMILY_IPV4, s->p.l3, protocol, l4,
						      (size_t)(total - 20));
	}
}

static inline void from_client(struct sample *s, const char *client, uint16_t port, uint8_t tcp_flags)
{
	make(s, CLIENT_SIDE, v4(client), port, v4("10.1.0.100"), 80, service->key.protocol, tcp_flags, 10);
}

/* The server's answer to a packet that came out. */
static inline void answer(struct sample *s, const struct sample *to, uint8_t tcp_flags)
{
	static struct sample copy;
	struct rte_ipv4_hdr *ip;
	struct rte_tcp_hdr *tcp;

	copy = *to;
	copy.p.l3 = copy.bytes + (to->p.l3 - to->bytes);
	ip = ip_of(&copy);
	tcp = tcp_of(&copy);
	make(s, SERVER_SIDE, ip_from_v4(ip->dst_addr), rte_be_to_cpu_16(tcp->dst_port),
	     ip_from_v4(ip->src_addr), rte_be_to_cpu_16(tcp->src_port), ip->next_proto_id, tcp_flags, 10);
}

/* Goes in at one worker, and follows hand-overs to the end; `flags` of the packet stay with it on the way. */
static inline void pass_with(struct sample *s, unsigned int worker, uint16_t flags)
{
	s->p.tried = 0;
	for (s->steps = 1; s->steps <= 8; s->steps++) {
		s->p.verdict = VERDICT_NONE;
		pipeline_run(&director, &views[worker], &s->p, 1, &output);
		s->last = worker;
		if (s->p.verdict != VERDICT_HANDOVER)
			return;
		CHECK(s->p.owner != worker);
		worker = s->p.owner;
		s->p.flags = PACKET_HANDED_OVER | flags;
		s->p.family = FAMILY_IPV4;
	}
	CHECK(!"ends somewhere");
}

static inline void pass(struct sample *s, unsigned int worker)
{
	pass_with(s, worker, 0);
}

static inline bool checksums_right(struct sample *s)
{
	struct rte_ipv4_hdr *ip = ip_of(s);
	unsigned int header = (ip->version_ihl & 15) * 4u;
	uint16_t total = rte_be_to_cpu_16(ip->total_length);

	return checksum_header(ip, header) == 0 &&
	       checksum_transport(FAMILY_IPV4, s->p.l3, ip->next_proto_id, s->p.l3 + header,
				  (size_t)(total - header)) == 0;
}

#endif
