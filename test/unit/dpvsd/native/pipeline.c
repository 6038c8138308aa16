/* Whole directors of one to five workers in memory: packets go in at any worker, and come out where they
 * should, whatever RSS did. No ports, no threads; time stands still but for what a case advances. */
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

static void on_originate(void *context, enum family family, const uint8_t *bytes, size_t length)
{
	(void)context, (void)family;
	errors_sent++;
	memcpy(last_error, bytes, RTE_MIN(length, sizeof(last_error)));
}

static const struct pipeline_output output = {.originate = on_originate};

static union ip_addr v4(const char *text)
{
	unsigned int a, b, c, d;

	sscanf(text, "%u.%u.%u.%u", &a, &b, &c, &d);
	return ip_from_v4(rte_cpu_to_be_32(a << 24 | b << 16 | c << 8 | d));
}

static void add_address(const char *text, uint8_t prefix, uint16_t port)
{
	struct address a = {
	    .address = v4(text), .prefix = prefix, .family = FAMILY_IPV4, .port = port, .silent = 1};
	struct error error;

	if (net_address_apply(stack, 0, &a, 0, &error) < 0)
		CHECK(!"address");
}

static void add_neighbour(const char *text, uint16_t port, uint8_t last)
{
	uint8_t mac[6] = {2, 0, 0, 0, 1, last};
	union ip_addr a = v4(text);
	struct error error;

	if (net_neighbour_apply(stack, 0, port, FAMILY_IPV4, &a, mac, &error) < 0)
		CHECK(!"neighbour");
}

/* Client network 10.1.0.0/16 behind port 0, servers 10.2.0.1-3 behind port 1, VIP 10.1.0.100:80. */
static void set_up(unsigned int workers, enum forward forward, uint8_t protocol, uint32_t flags,
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

static void tear_down(void)
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

static struct rte_ipv4_hdr *ip_of(struct sample *s)
{
	return (struct rte_ipv4_hdr *)(void *)s->p.l3;
}

static struct rte_tcp_hdr *tcp_of(struct sample *s)
{
	return (struct rte_tcp_hdr *)(void *)(s->p.l3 + (ip_of(s)->version_ihl & 15) * 4);
}

static void make(struct sample *s, uint16_t port, union ip_addr from, uint16_t from_port, union ip_addr to,
		 uint16_t to_port, uint8_t protocol, uint8_t tcp_flags, uint16_t payload)
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

static void from_client(struct sample *s, const char *client, uint16_t port, uint8_t tcp_flags)
{
	make(s, CLIENT_SIDE, v4(client), port, v4("10.1.0.100"), 80, service->key.protocol, tcp_flags, 10);
}

/* The server's answer to a packet that came out. */
static void answer(struct sample *s, const struct sample *to, uint8_t tcp_flags)
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

/* Goes in at one worker, and follows hand-overs to the end. */
static void pass(struct sample *s, unsigned int worker)
{
	for (s->steps = 1; s->steps <= 8; s->steps++) {
		s->p.verdict = VERDICT_NONE;
		pipeline_run(&director, &views[worker], &s->p, 1, &output);
		s->last = worker;
		if (s->p.verdict != VERDICT_HANDOVER)
			return;
		CHECK(s->p.owner != worker);
		worker = s->p.owner;
		s->p.flags = PACKET_HANDED_OVER;
		s->p.family = FAMILY_IPV4;
	}
	CHECK(!"ends somewhere");
}

static bool checksums_right(struct sample *s)
{
	struct rte_ipv4_hdr *ip = ip_of(s);
	unsigned int header = (ip->version_ihl & 15) * 4u;
	uint16_t total = rte_be_to_cpu_16(ip->total_length);

	return checksum_header(ip, header) == 0 &&
	       checksum_transport(FAMILY_IPV4, s->p.l3, ip->next_proto_id, s->p.l3 + header,
				  (size_t)(total - header)) == 0;
}

/* ---- cases ---- */

/* Wherever the reply comes in, it gets to the client: for every number of workers and each mode. */
static void replies_find_their_worker(enum forward forward, uint8_t protocol, uint32_t persistence)
{
	for (unsigned int workers = 1; workers <= 5 && !check_failed; workers++) {
		set_up(workers, forward, protocol, 0, persistence);
		for (unsigned int i = 0; i < 300 && !check_failed; i++) {
			char client[32];
			uint16_t port = (uint16_t)(2000 + i);
			struct sample request, reply;

			snprintf(client, sizeof(client), "10.1.0.%u", 1 + i % 2);
			from_client(&request, client, port, SYN);
			pass(&request, (unsigned int)(check_random() % workers));
			CHECK_EQ(request.p.verdict, VERDICT_FORWARD);
			CHECK(checksums_right(&request));
			if (check_failed)
				break;
			CHECK_EQ(request.p.port, SERVER_SIDE);
			answer(&reply, &request, SYN | ACK);
			pass(&reply, (unsigned int)(check_random() % workers));
			CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
			CHECK_EQ(reply.last, request.last);
			CHECK(reply.steps <= 2);
			CHECK_EQ(reply.p.port, CLIENT_SIDE);
			CHECK_EQ(ip_of(&reply)->src_addr, v4("10.1.0.100").v4);
			CHECK_EQ(ip_of(&reply)->dst_addr, v4(client).v4);
			CHECK_EQ(rte_be_to_cpu_16(tcp_of(&reply)->dst_port), port);
			CHECK_EQ(ip_of(&reply)->time_to_live, 63);
			CHECK(checksums_right(&reply));
		}
		tear_down();
	}
}

static void fullnat_replies_find_their_worker(void)
{
	replies_find_their_worker(FORWARD_FULLNAT, IPPROTO_TCP, 0);
	replies_find_their_worker(FORWARD_FULLNAT, IPPROTO_UDP, 0);
}

static void nat_replies_find_their_worker(void)
{
	replies_find_their_worker(FORWARD_NAT, IPPROTO_TCP, 0);
	replies_find_their_worker(FORWARD_NAT, IPPROTO_UDP, 0);
}

static void persistent_replies_find_their_worker(void)
{
	replies_find_their_worker(FORWARD_FULLNAT, IPPROTO_TCP, 60);
	replies_find_their_worker(FORWARD_NAT, IPPROTO_TCP, 60);
}

static uint32_t server_of(struct sample *s)
{
	return ip_of(s)->dst_addr;
}

/* One client keeps its server, from whatever port and at whatever worker. */
static void persistence_holds_over_workers(void)
{
	for (unsigned int workers = 1; workers <= 4 && !check_failed; workers++) {
		uint32_t kept = 0;

		set_up(workers, FORWARD_FULLNAT, IPPROTO_TCP, 0, 60);
		for (unsigned int i = 0; i < 50; i++) {
			struct sample s;

			from_client(&s, "10.1.0.1", (uint16_t)(3000 + i), SYN);
			pass(&s, (unsigned int)(check_random() % workers));
			CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
			if (i == 0)
				kept = server_of(&s);
			CHECK_EQ(server_of(&s), kept);
		}
		tear_down();
	}
}

static void template_ends_with_its_time(void)
{
	struct server_count sum;
	struct sample s;

	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 10);
	from_client(&s, "10.1.0.1", 3000, SYN);
	pass(&s, 0);
	server_count_sum(&director, 1, &sum);
	CHECK_EQ(sum.persistent, 1);
	for (unsigned int i = 0; i < 200 * TICKS_PER_SECOND; i++) {
		views[0].now++;
		connections_tick(&director, &views[0], 100);
	}
	server_count_sum(&director, 1, &sum);
	CHECK_EQ(sum.persistent, 0);
	CHECK_EQ(sum.inactive, 0);
	CHECK_EQ(connection_table_count(views[0].connections), 0);
	CHECK_EQ(connection_table_count(views[0].templates), 0);
	tear_down();
}

static void tcp_goes_through_its_states(void)
{
	static const struct {
		bool client;
		uint8_t flags;
		enum tcp_state state;
	} steps[] = {
	    {true, SYN, TCP_SYN_RECV},	       {false, SYN | ACK, TCP_SYN_RECV},
	    {true, ACK, TCP_ESTABLISHED},      {false, ACK, TCP_ESTABLISHED},
	    {true, FIN | ACK, TCP_CLOSE_WAIT}, {false, ACK, TCP_CLOSE_WAIT},
	    {false, FIN | ACK, TCP_LAST_ACK},  {true, ACK, TCP_CLOSE},
	};
	struct sample first, s;
	struct server_count sum;

	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
	for (unsigned int i = 0; i < RTE_DIM(steps); i++) {
		if (steps[i].client)
			from_client(&s, "10.1.0.1", 4000, steps[i].flags);
		else
			answer(&s, &first, steps[i].flags);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		if (i == 0)
			first = s;
		if (i == 0)
			first.p.l3 = first.bytes + (s.p.l3 - s.bytes);
		CHECK_EQ(connection_at(views[0].connections, s.p.found >> 1)->state, steps[i].state);
		server_count_sum(&director, 1, &sum);
		CHECK_EQ(sum.active, steps[i].state == TCP_ESTABLISHED);
		CHECK_EQ(sum.inactive, steps[i].state != TCP_ESTABLISHED);
	}
	/* The client uses its port again: another connection, the next server. */
	from_client(&s, "10.1.0.1", 4000, SYN);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK(server_of(&s) != server_of(&first));
	CHECK_EQ(connection_table_count(views[0].connections), 1);
	tear_down();
}

static void only_a_syn_opens(void)
{
	static const uint8_t flags[] = {ACK, RST, FIN | ACK, SYN | ACK, SYN | RST, 0, SYN | FIN};
	struct sample s;

	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
	for (unsigned int i = 0; i < RTE_DIM(flags); i++) {
		from_client(&s, "10.1.0.1", 4000, flags[i]);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_DROP);
		CHECK_EQ(s.p.reason, DROP_NO_CONNECTION);
	}
	tear_down();
}

static void removed_and_drained_servers(void)
{
	struct sample s;
	uint32_t chosen;

	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	chosen = connection_at(views[0].connections, s.p.found >> 1)->server;

	/* Without weight: what is open goes on, nothing new comes. */
	servers[chosen - 1].weight = 0;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	for (uint16_t i = 0; i < 20; i++) {
		from_client(&s, "10.1.0.1", (uint16_t)(5001 + i), 0);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		CHECK(connection_at(views[0].connections, s.p.found >> 1)->server != chosen);
	}
	/* Removed: silent; back again: goes on. */
	servers[chosen - 1].flags = SERVER_REMOVED;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_DROP);
	CHECK_EQ(s.p.reason, DROP_SERVER_GONE);
	servers[chosen - 1].flags = 0;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	/* expire-quiescent: another server at once. */
	servers[chosen - 1].flags = SERVER_EXPIRE_QUIESCENT;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK(connection_at(views[0].connections, s.p.found >> 1)->server != chosen);
	tear_down();
}

static void thresholds_hold_over_workers(void)
{
	struct sample s;
	unsigned int to_first = 0;

	set_up(3, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	servers[0].upper = 10;
	servers[0].lower = 5;
	for (uint16_t i = 0; i < 200; i++) {
		from_client(&s, "10.1.0.1", (uint16_t)(5000 + i), 0);
		pass(&s, (unsigned int)(check_random() % 3));
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		to_first += server_of(&s) == servers[0].address.v4;
	}
	CHECK_EQ(to_first, 10);
	CHECK_EQ(servers[0].overloaded, 1);
	for (unsigned int i = 0; i < 62 * TICKS_PER_SECOND; i++) {
		for (unsigned int w = 0; w < 3; w++) {
			views[w].now++;
			connections_tick(&director, &views[w], 1000);
		}
	}
	CHECK_EQ(servers[0].overloaded, 0);
	tear_down();
}

static void one_packet_is_scheduled_each_time(void)
{
	unsigned int seen[SERVERS] = {0};
	struct sample s, reply;

	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, SERVICE_ONE_PACKET, 0);
	for (unsigned int i = 0; i < 30; i++) {
		from_client(&s, "10.1.0.1", 5000, 0);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		seen[(rte_be_to_cpu_32(server_of(&s)) & 3) - 1]++;
		answer(&reply, &s, 0);
		pass(&reply, 0);
		CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
		CHECK_EQ(rte_be_to_cpu_16(tcp_of(&reply)->dst_port), 5000);
	}
	for (unsigned int i = 0; i < SERVERS; i++)
		CHECK_EQ(seen[i], 10);
	tear_down();
}

/* A local address is used up: named drop, nothing else breaks, and ports come back with the connections' end.
 */
static void local_ports_run_out_and_recover(void)
{
	struct local_port_usage usage;
	unsigned int forwarded = 0, refused = 0;
	struct sample s;

	set_up(2, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	for (unsigned int w = 0; w < 2; w++) {
		connection_table_free(views[w].connections);
		views[w].connections = connection_table_new(200000, -1);
		connections_tick(&director, &views[w], 10);
	}
	servers[1].weight = servers[2].weight = 0;
	for (uint32_t i = 0; i < 70000; i++) {
		char client[32];

		snprintf(client, sizeof(client), "10.1.0.%u", 1 + i / 60000);
		from_client(&s, client, (uint16_t)(1024 + i % 60000), 0);
		pass(&s, i % 2);
		if (s.p.verdict == VERDICT_FORWARD)
			forwarded++;
		else if (s.p.verdict == VERDICT_DROP && s.p.reason == DROP_NO_LOCAL_PORT)
			refused++;
	}
	CHECK_EQ(forwarded + refused, 70000);
	CHECK(forwarded > 64000 && forwarded <= 64512);
	local_port_usage(service->locals->addresses[0], &usage);
	CHECK_EQ(usage.used, forwarded);
	CHECK(usage.misses > 0);
	for (unsigned int i = 0; i < 62 * TICKS_PER_SECOND; i++) {
		for (unsigned int w = 0; w < 2; w++) {
			views[w].now++;
			connections_tick(&director, &views[w], 100000);
		}
	}
	local_port_usage(service->locals->addresses[0], &usage);
	CHECK_EQ(usage.used, 0);
	from_client(&s, "10.1.0.1", 1024, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	tear_down();
}

/* An ICMP error about a packet of ours finds the connection at any worker, and gets through translated. */
static void icmp_errors_find_their_connection(enum forward forward)
{
	for (unsigned int workers = 1; workers <= 4 && !check_failed; workers++) {
		set_up(workers, forward, IPPROTO_UDP, 0, 0);
		for (unsigned int i = 0; i < 40 && !check_failed; i++) {
			struct sample request, reply, error;
			struct packet *about = &request.p;
			uint8_t *icmp;
			bool at_server = i % 2;

			from_client(&request, "10.1.0.1", (uint16_t)(6000 + i), 0);
			pass(&request, (unsigned int)(check_random() % workers));
			answer(&reply, &request, 0);
			pass(&reply, (unsigned int)(check_random() % workers));
			CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
			/* A router behind the server side about the request, or behind the client side about
			 * the reply. */
			if (!at_server)
				about = &reply.p;
			make(&error, at_server ? SERVER_SIDE : CLIENT_SIDE,
			     v4(at_server ? "10.2.0.77" : "10.1.0.77"), 0, v4("0.0.0.0"), 0, IPPROTO_UDP, 0,
			     20);
			ip_of(&error)->next_proto_id = IPPROTO_ICMP;
			ip_of(&error)->dst_addr = ((struct rte_ipv4_hdr *)(void *)about->l3)->src_addr;
			ip_of(&error)->hdr_checksum = 0;
			ip_of(&error)->hdr_checksum = checksum_header(ip_of(&error), 20);
			icmp = error.p.l3 + 20;
			memset(icmp, 0, 8);
			icmp[0] = 3;
			icmp[1] = 1;
			memcpy(icmp + 8, about->l3, 28);
			error.p.total = error.p.length = 20 + 8 + 28;
			ip_of(&error)->total_length = rte_cpu_to_be_16(error.p.total);
			ip_of(&error)->hdr_checksum = 0;
			ip_of(&error)->hdr_checksum = checksum_header(ip_of(&error), 20);
			{
				rte_be16_t check = checksum_transport(FAMILY_IPV4, error.p.l3, IPPROTO_ICMP,
								      icmp, 36);

				memcpy(icmp + 2, &check, 2);
			}
			pass(&error, (unsigned int)(check_random() % workers));
			CHECK_EQ(error.p.verdict, VERDICT_FORWARD);
			if (check_failed)
				break;
			CHECK(checksums_right(&error));
			icmp = error.p.l3 + 20;
			if (at_server) {
				CHECK_EQ(error.p.port, CLIENT_SIDE);
				CHECK_EQ(ip_of(&error)->dst_addr, v4("10.1.0.1").v4);
				/* Quotes what the client had sent. */
				CHECK_EQ(icmp[8 + 20] << 8 | icmp[8 + 21], 6000 + (int)i);
				CHECK_EQ(icmp[8 + 22] << 8 | icmp[8 + 23], 80);
				CHECK_EQ(memcmp(icmp + 8 + 12, (uint8_t[]){10, 1, 0, 1, 10, 1, 0, 100}, 8),
					 0);
			} else {
				CHECK_EQ(error.p.port, SERVER_SIDE);
				CHECK_EQ(icmp[8 + 20] << 8 | icmp[8 + 21], 8080);
			}
			CHECK_EQ(checksum_header(icmp + 8, 20), 0);
		}
		tear_down();
	}
}

static void fullnat_icmp_errors(void)
{
	icmp_errors_find_their_connection(FORWARD_FULLNAT);
}

static void nat_icmp_errors(void)
{
	icmp_errors_find_their_connection(FORWARD_NAT);
}

static void ttl_and_size(void)
{
	struct sample s;

	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	from_client(&s, "10.1.0.1", 7000, 0);
	ip_of(&s)->time_to_live = 1;
	ip_of(&s)->hdr_checksum = 0;
	ip_of(&s)->hdr_checksum = checksum_header(ip_of(&s), 20);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_DROP);
	CHECK_EQ(s.p.reason, DROP_TTL);
	CHECK_EQ(errors_sent, 1);
	CHECK_EQ(last_error[20], 11);

	net.ports[SERVER_SIDE].mtu = 1000;
	net_port_changed(stack, SERVER_SIDE, 0);
	make(&s, CLIENT_SIDE, v4("10.1.0.1"), 7000, v4("10.1.0.100"), 80, IPPROTO_UDP, 0, 1200);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_DROP);
	CHECK_EQ(s.p.reason, DROP_TOO_BIG);
	CHECK_EQ(errors_sent, 2);
	CHECK_EQ(last_error[20] << 8 | last_error[21], 3 << 8 | 4);
	CHECK_EQ(last_error[26] << 8 | last_error[27], 1000);
	tear_down();
}

/* Fragments of one burst with a connection: a SYN and the packets behind it in one burst belong together. */
static void one_burst_holds_a_whole_connection(void)
{
	struct sample s[3];
	struct packet burst[3];

	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
	from_client(&s[0], "10.1.0.1", 8000, SYN);
	from_client(&s[1], "10.1.0.1", 8000, ACK);
	from_client(&s[2], "10.1.0.1", 8000, ACK | FIN);
	for (unsigned int i = 0; i < 3; i++)
		burst[i] = s[i].p;
	pipeline_run(&director, &views[0], burst, 3, &output);
	for (unsigned int i = 0; i < 3; i++)
		CHECK_EQ(burst[i].verdict, VERDICT_FORWARD);
	CHECK_EQ(burst[0].found, burst[2].found);
	CHECK_EQ(connection_table_count(views[0].connections), 1);
	tear_down();
}

int main(void)
{
	RUN(fullnat_replies_find_their_worker);
	RUN(nat_replies_find_their_worker);
	RUN(persistent_replies_find_their_worker);
	RUN(persistence_holds_over_workers);
	RUN(template_ends_with_its_time);
	RUN(tcp_goes_through_its_states);
	RUN(only_a_syn_opens);
	RUN(removed_and_drained_servers);
	RUN(thresholds_hold_over_workers);
	RUN(one_packet_is_scheduled_each_time);
	RUN(local_ports_run_out_and_recover);
	RUN(fullnat_icmp_errors);
	RUN(nat_icmp_errors);
	RUN(ttl_and_size);
	RUN(one_burst_holds_a_whole_connection);
	return check_end();
}
