/* Where two things meet that each work alone: servers of any port beside servers of one, one-packet
 * scheduling with NAT, persistence of services that come back, sizes of routes and of answers. */
#include "workers.h"

static struct server *second_service(const char *server_address, uint16_t service_port, uint16_t server_port,
				     struct service *other, uint32_t index)
{
	static struct server server;
	struct server *list[1] = {&server};

	server = servers[0];
	server.index = 40;
	server.service = index;
	server.address = v4(server_address);
	server.port = rte_cpu_to_be_16(server_port);
	director.servers[40] = &server;
	*other = *service;
	other->index = index;
	other->key.port = rte_cpu_to_be_16(service_port);
	other->schedule = schedule_new(SCHEDULER_RR, 0, list, 1);
	service_table_put(director.services, other);
	return &server;
}

/* A service of any port sends to 10.2.0.1 at the port that was asked for, another one to 10.2.0.1:8080: both
 * speak from one local address, and no two of their connections may look the same to the server. */
static void servers_of_any_port_share_local_ports(void)
{
	struct server *list[1] = {&servers[0]};
	static struct service *any;

	any = memory_new(sizeof(*any));
	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
	connection_table_free(views[0].connections);
	views[0].connections = connection_table_new(1 << 17, -1);
	second_service("10.2.0.1", 0, 0, any, 2);
	schedule_free(service->schedule);
	service->schedule = schedule_new(SCHEDULER_RR, 0, list, 1);
	for (unsigned int i = 0; i < 64000 && !check_failed; i++) {
		struct sample s[2], reply;

		make(&s[0], CLIENT_SIDE, v4("10.1.0.1"), (uint16_t)(1024 + i), v4("10.1.0.100"), 80,
		     IPPROTO_TCP, SYN, 0);
		make(&s[1], CLIENT_SIDE, v4("10.1.0.2"), (uint16_t)(1024 + i), v4("10.1.0.100"), 8080,
		     IPPROTO_TCP, SYN, 0);
		for (unsigned int k = 0; k < 2; k++) {
			pass(&s[k], 0);
			/* Together they have more than one port space to themselves at most: running out is
			 * allowed, mixing up is not. */
			if (s[k].p.verdict == VERDICT_DROP) {
				CHECK_EQ(s[k].p.reason, DROP_NO_LOCAL_PORT);
				continue;
			}
			CHECK_EQ(ip_of(&s[k])->dst_addr, v4("10.2.0.1").v4);
			CHECK_EQ(tcp_of(&s[k])->dst_port, rte_cpu_to_be_16(8080));
			answer(&reply, &s[k], SYN | ACK);
			pass(&reply, 0);
			CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
			CHECK_EQ(ip_of(&reply)->dst_addr, k ? v4("10.1.0.2").v4 : v4("10.1.0.1").v4);
			CHECK_EQ(rte_be_to_cpu_16(tcp_of(&reply)->dst_port), 1024 + i);
		}
	}
	tear_down();
	schedule_free(any->schedule);
	memory_free(any);
}

/* What local_port_take hands out for them comes back too. */
static void local_ports_of_any_port_come_back(void)
{
	struct local_port_usage usage;
	static struct service *any;
	struct sample s;

	any = memory_new(sizeof(*any));
	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
	second_service("10.2.0.1", 0, 0, any, 2);
	for (uint16_t i = 0; i < 500; i++) {
		make(&s, CLIENT_SIDE, v4("10.1.0.1"), 5000, v4("10.1.0.100"), (uint16_t)(2000 + i),
		     IPPROTO_TCP, SYN, 0);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	}
	local_port_usage(service->locals->addresses[0], &usage);
	CHECK_EQ(usage.used, 500);
	for (unsigned int i = 0; i < 20 * TICKS_PER_SECOND; i++) {
		views[0].now++;
		connections_tick(&director, &views[0], 1000);
	}
	local_port_usage(service->locals->addresses[0], &usage);
	CHECK_EQ(usage.used, 0);
	tear_down();
	schedule_free(any->schedule);
	memory_free(any);
}

/* Packets of one client port to a one-packet service with NAT: each goes to the next server, and no more
 * connections are kept than there are servers. */
static void one_packet_nat_keeps_one_way_back(void)
{
	struct sample s, reply;
	unsigned int seen[SERVERS] = {0};

	set_up(1, FORWARD_NAT, IPPROTO_UDP, SERVICE_ONE_PACKET, 0);
	for (unsigned int i = 0; i < 3000; i++) {
		from_client(&s, "10.1.0.1", 5000, 0);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		seen[rte_be_to_cpu_32(ip_of(&s)->dst_addr) % 256 - 1]++;
		answer(&reply, &s, 0);
		pass(&reply, 0);
		CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
		CHECK_EQ(ip_of(&reply)->src_addr, v4("10.1.0.100").v4);
	}
	for (unsigned int i = 0; i < SERVERS; i++)
		CHECK_EQ(seen[i], 1000);
	CHECK(connection_table_count(views[0].connections) <= SERVERS);
	tear_down();
}

/* With direct routing nothing comes back: nothing is kept. */
static void one_packet_direct_keeps_nothing(void)
{
	struct sample s;

	set_up(1, FORWARD_DR, IPPROTO_UDP, SERVICE_ONE_PACKET, 0);
	for (unsigned int i = 0; i < 3000; i++) {
		from_client(&s, "10.1.0.1", (uint16_t)(5000 + i), 0);
		pass(&s, 0);
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	}
	CHECK_EQ(connection_table_count(views[0].connections), 0);
	tear_down();
}

/* A service takes the number that another one had: the clients that stuck to a server of that one do not
 * stick to it here. And one that comes back under another number keeps its clients. */
static void persistence_belongs_to_the_service(void)
{
	struct service *other = memory_new(sizeof(*other));
	struct sample s;
	uint32_t kept;

	set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 300);
	from_client(&s, "10.1.0.1", 5000, SYN);
	pass(&s, 0);
	kept = ip_of(&s)->dst_addr;
	/* Both are removed and come back the other way round. */
	service_table_remove(director.services, &service->key);
	service->index = 2;
	service_table_put(director.services, service);
	for (unsigned int i = 0; i < SERVERS; i++)
		servers[i].service = 2;
	second_service("10.2.0.3", 90, 8090, other, 1);
	make(&s, CLIENT_SIDE, v4("10.1.0.1"), 5001, v4("10.1.0.100"), 90, IPPROTO_TCP, SYN, 0);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK_EQ(ip_of(&s)->dst_addr, v4("10.2.0.3").v4);
	CHECK_EQ(tcp_of(&s)->dst_port, rte_cpu_to_be_16(8090));
	for (unsigned int i = 0; i < 5; i++) {
		from_client(&s, "10.1.0.1", (uint16_t)(5002 + i), SYN);
		pass(&s, 0);
		CHECK_EQ(ip_of(&s)->dst_addr, kept);
	}
	tear_down();
	schedule_free(other->schedule);
	memory_free(other);
}

/* Persistence that ends or gets another netmask steers packets otherwise: connections of before go on,
 * wherever RSS puts their packets, and new ones are opened by the worker whose they are. */
static void connections_outlive_another_steering(enum forward forward, uint8_t protocol, uint8_t after)
{
	enum { CLIENTS = 40, WORKERS = 4 };
	static struct sample first[CLIENTS];

	set_up(WORKERS, forward, protocol, 0, 60);
	for (unsigned int i = 0; i < CLIENTS; i++) {
		from_client(&first[i], i % 2 ? "10.1.0.1" : "10.1.0.2", (uint16_t)(3000 + i), SYN);
		pass(&first[i], (unsigned int)(check_random() % WORKERS));
		CHECK_EQ(first[i].p.verdict, VERDICT_FORWARD);
	}
	service->persistence = after ? 60 : 0;
	service->persistence_prefix = after;
	service->flags |= SERVICE_RESTEERED;
	for (unsigned int i = 0; i < SERVERS && forward == FORWARD_NAT; i++) {
		struct prefix_set set = {.bits = {1ull << after}};

		nat_server_put(director.services, FAMILY_IPV4, protocol, &servers[i].address, servers[i].port,
			       &set);
	}
	for (unsigned int i = 0; i < CLIENTS && !check_failed; i++) {
		const char *client = i % 2 ? "10.1.0.1" : "10.1.0.2";
		struct sample s, reply;

		from_client(&s, client, (uint16_t)(3000 + i), ACK);
		pass(&s, (unsigned int)(check_random() % WORKERS));
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		CHECK_EQ(s.last, first[i].last);
		CHECK_EQ(ip_of(&s)->dst_addr, ip_of(&first[i])->dst_addr);
		answer(&reply, &first[i], ACK);
		pass(&reply, (unsigned int)(check_random() % WORKERS));
		CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
		CHECK_EQ(ip_of(&reply)->dst_addr, v4(client).v4);
		/* A new one of the same client, by its first two packets. */
		from_client(&s, client, (uint16_t)(9000 + i), SYN);
		pass(&s, (unsigned int)(check_random() % WORKERS));
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		first[i] = s;
		first[i].p.l3 = first[i].bytes + (s.p.l3 - s.bytes);
		from_client(&s, client, (uint16_t)(9000 + i), ACK);
		pass(&s, (unsigned int)(check_random() % WORKERS));
		CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		CHECK_EQ(s.last, first[i].last);
	}
	tear_down();
}

static void connections_outlive_persistence(void)
{
	for (unsigned int i = 0; i < 2; i++) {
		connections_outlive_another_steering(FORWARD_FULLNAT, i ? IPPROTO_UDP : IPPROTO_TCP, 0);
		connections_outlive_another_steering(FORWARD_FULLNAT, i ? IPPROTO_UDP : IPPROTO_TCP, 24);
		connections_outlive_another_steering(FORWARD_NAT, i ? IPPROTO_UDP : IPPROTO_TCP, 0);
		connections_outlive_another_steering(FORWARD_NAT, i ? IPPROTO_UDP : IPPROTO_TCP, 24);
	}
}

/* Datagrams of one flow come whole at one worker and in pieces at another: all of them get to one server, and
 * those that come where the connection is need no detour. */
static void flows_of_whole_and_cut_datagrams(void)
{
	for (unsigned int workers = 2; workers <= 5; workers++) {
		for (unsigned int cut_first = 0; cut_first < 2; cut_first++) {
			set_up(workers, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
			for (unsigned int i = 0; i < 60 && !check_failed; i++) {
				unsigned int whole = (unsigned int)(check_random() % workers);
				unsigned int cut = (unsigned int)(check_random() % workers);
				uint32_t server = 0;
				unsigned int opened = 0;

				for (unsigned int k = 0; k < 4; k++) {
					bool in_pieces = k % 2 != cut_first;
					struct sample s, reply;

					from_client(&s, "10.1.0.1", (uint16_t)(3000 + i), 0);
					s.p.flags = in_pieces ? PACKET_REASSEMBLED : 0;
					pass_with(&s, in_pieces ? cut : whole,
						  in_pieces ? PACKET_REASSEMBLED : 0);
					CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
					if (k == 0) {
						server = ip_of(&s)->dst_addr;
						opened = s.last;
						CHECK_EQ(opened, in_pieces ? cut : whole);
					}
					CHECK_EQ(ip_of(&s)->dst_addr, server);
					CHECK_EQ(s.last, opened);
					if (k != 0 && opened == (in_pieces ? cut : whole))
						CHECK_EQ(s.steps, 1);
					answer(&reply, &s, 0);
					pass(&reply, (unsigned int)(check_random() % workers));
					CHECK_EQ(reply.p.verdict, VERDICT_FORWARD);
				}
			}
			tear_down();
		}
	}
}

/* Where a port scatters the packets of a flow over the workers, SYNs sent again among them, there is one
 * connection all the same. */
static void flows_that_wander(void)
{
	for (unsigned int way = 0; way < 4; way++) {
		uint8_t protocol = way % 2 ? IPPROTO_UDP : IPPROTO_TCP;

		set_up(3, way / 2 ? FORWARD_DR : FORWARD_FULLNAT, protocol, 0, 0);
		director.flows_wander = true;
		for (unsigned int i = 0; i < 50 && !check_failed; i++) {
			uint32_t server = 0, connections = 0;

			for (unsigned int k = 0; k < 6; k++) {
				struct sample s;

				from_client(&s, "10.1.0.1", (uint16_t)(3000 + i), k < 2 ? SYN : ACK);
				pass(&s, (unsigned int)(check_random() % 3));
				CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
				const struct connection *c = connection_at(views[s.last].connections,
									   s.p.found >> 1);

				if (k == 0)
					server = c->server;
				CHECK_EQ(c->server, server);
			}
			for (unsigned int w = 0; w < 3; w++)
				connections += connection_table_count(views[w].connections);
			CHECK_EQ(connections, i + 1);
		}
		tear_down();
	}
}

/* Clients of one network share a server, under every netmask; those of others need not. */
static void persistence_by_network(void)
{
	for (unsigned int workers = 1; workers <= 3; workers++) {
		uint32_t kept[2] = {0, 0};

		set_up(workers, FORWARD_FULLNAT, IPPROTO_TCP, 0, 60);
		service->persistence_prefix = 25;
		for (unsigned int i = 0; i < 60; i++) {
			unsigned int half = i % 2;
			struct sample s;
			char client[32];

			snprintf(client, sizeof(client), "10.1.0.%u", half * 128 + 3 + i % 90);
			add_neighbour(client, CLIENT_SIDE, 10);
			from_client(&s, client, (uint16_t)(3000 + i), SYN);
			pass(&s, (unsigned int)(check_random() % workers));
			CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
			if (i < 2)
				kept[half] = ip_of(&s)->dst_addr;
			CHECK_EQ(ip_of(&s)->dst_addr, kept[half]);
		}
		if (workers == 1)
			CHECK(kept[0] != kept[1]);
		tear_down();
	}
}

static uint32_t timeout_of(struct sample *s)
{
	return connection_at(views[0].connections, s->p.found >> 1)->timeout / TICKS_PER_SECOND;
}

/* Every state has the time-out that bears its name; one of the service is for established connections. */
static void each_state_has_its_timeout(void)
{
	static const struct {
		bool client;
		uint8_t flags;
		enum tcp_state state;
	} client_first[] = {{true, SYN, TCP_SYN_RECV},	      {false, SYN | ACK, TCP_SYN_RECV},
			    {true, ACK, TCP_ESTABLISHED},     {true, FIN | ACK, TCP_CLOSE_WAIT},
			    {false, FIN | ACK, TCP_LAST_ACK}, {true, ACK, TCP_CLOSE}},
	  server_first[] = {{true, SYN, TCP_SYN_RECV},	      {true, ACK, TCP_ESTABLISHED},
			    {false, FIN | ACK, TCP_FIN_WAIT}, {true, FIN | ACK, TCP_TIME_WAIT},
			    {false, ACK, TCP_TIME_WAIT},      {false, RST, TCP_CLOSE}};
	struct sample s, reply, opened;

	for (unsigned int of_service = 0; of_service < 2; of_service++) {
		for (unsigned int way = 0; way < 2; way++) {
			set_up(1, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
			for (unsigned int i = 0; i < TCP_STATE_COUNT; i++)
				director.timeouts.tcp[i] = 100 + i;
			for (unsigned int i = 0; i < SERVERS; i++)
				servers[i].connection_timeout = of_service ? 555 : 0;
			for (unsigned int i = 0; i < RTE_DIM(client_first); i++) {
				uint8_t flags = way ? server_first[i].flags : client_first[i].flags;
				enum tcp_state state = way ? server_first[i].state : client_first[i].state;
				bool client = way ? server_first[i].client : client_first[i].client;
				struct sample *at = client ? &s : &reply;

				if (client)
					from_client(&s, "10.1.0.1", 5000, flags);
				else
					answer(&reply, &opened, flags);
				pass(at, 0);
				CHECK_EQ(at->p.verdict, VERDICT_FORWARD);
				if (i == 0) {
					opened = s;
					opened.p.l3 = opened.bytes + (s.p.l3 - s.bytes);
				}
				CHECK_EQ(connection_at(views[0].connections, at->p.found >> 1)->state, state);
				CHECK_EQ(timeout_of(at),
					 state == TCP_ESTABLISHED && of_service ? 555u : 100u + state);
			}
			tear_down();
		}
	}
	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	director.timeouts.udp[UDP_ONE_WAY] = 31;
	director.timeouts.udp[UDP_NORMAL] = 32;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(timeout_of(&s), 31);
	answer(&reply, &s, 0);
	pass(&reply, 0);
	CHECK_EQ(timeout_of(&reply), 32);
	tear_down();
	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, SERVICE_ONE_PACKET, 0);
	director.timeouts.udp[UDP_LAST] = 33;
	from_client(&s, "10.1.0.1", 5000, 0);
	pass(&s, 0);
	CHECK_EQ(timeout_of(&s), 33);
	tear_down();
	set_up(1, FORWARD_FULLNAT, IPPROTO_ICMP, 0, 0);
	service_table_remove(director.services, &service->key);
	service->key.port = 0;
	service_table_put(director.services, service);
	director.timeouts.icmp = 34;
	make(&s, CLIENT_SIDE, v4("10.1.0.1"), 0x0800, v4("10.1.0.100"), 0, IPPROTO_ICMP, 0, 10);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK_EQ(timeout_of(&s), 34);
	tear_down();
}

/* With a lower threshold a server that was full takes connections again when it has fewer than that. */
static void a_full_server_waits_for_its_lower_threshold(void)
{
	struct sample s;

	for (uint32_t lower = 0; lower <= 4; lower += 4) {
		uint32_t again = lower ? lower : 8 - 8 / 4;

		set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
		servers[0].upper = 8;
		servers[0].lower = lower;
		servers[1].weight = servers[2].weight = 0;
		for (uint16_t i = 0; i < 8; i++) {
			from_client(&s, "10.1.0.1", (uint16_t)(5000 + i), 0);
			pass(&s, 0);
			CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
		}
		for (uint32_t left = 8; left-- > 0;) {
			CHECK_EQ(servers[0].overloaded, left + 1 >= again);
			from_client(&s, "10.1.0.1", (uint16_t)(5000 + left), 0);
			pass(&s, 0);
			connection_close(&director, &views[0], s.p.found >> 1);
		}
		tear_down();
	}
}

/* What may be cut is cut to what the route takes, not only the port. */
static void pieces_fit_the_route(void)
{
	struct route route = {.destination = v4("10.2.0.0"),
			      .prefix = 24,
			      .kind = ROUTE_LINK,
			      .mtu = 700,
			      .port = SERVER_SIDE,
			      .family = FAMILY_IPV4,
			      .metric = 0};
	struct error error;
	struct sample s;

	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	CHECK_EQ(net_route_apply(stack, 2, &route, &error), 0);
	make(&s, CLIENT_SIDE, v4("10.1.0.1"), 7000, v4("10.1.0.100"), 80, IPPROTO_UDP, 0, 1200);
	ip_of(&s)->fragment_offset = 0;
	ip_of(&s)->hdr_checksum = 0;
	ip_of(&s)->hdr_checksum = checksum_header(ip_of(&s), 20);
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK(s.p.flags & PACKET_OVERSIZE);
	CHECK_EQ(s.p.mtu, 700);
	tear_down();
}

/* A ping that came in pieces is answered in pieces. */
static void a_long_ping_is_answered(void)
{
	struct sample s;
	struct rte_ipv4_hdr *ip;

	set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
	make(&s, CLIENT_SIDE, v4("10.1.0.1"), 0x0800, v4("10.1.0.254"), 0, IPPROTO_ICMP, 0, 1700);
	ip = ip_of(&s);
	ip->fragment_offset = 0;
	ip->hdr_checksum = 0;
	ip->hdr_checksum = checksum_header(ip, 20);
	memset(s.p.l3 + 22, 0, 2);
	s.p.flags = PACKET_REASSEMBLED;
	pass(&s, 0);
	CHECK_EQ(s.p.verdict, VERDICT_FORWARD);
	CHECK_EQ(s.p.l3[20], 0);
	CHECK(s.p.flags & PACKET_OVERSIZE);
	CHECK_EQ(s.p.mtu, 1500);
	tear_down();
}

/* What was put together must not be a piece itself. */
static void pieces_of_pieces_are_dropped(void)
{
	for (unsigned int again = 0; again < 2; again++) {
		struct sample s;

		set_up(1, FORWARD_FULLNAT, IPPROTO_UDP, 0, 0);
		from_client(&s, "10.1.0.1", 7000, 0);
		ip_of(&s)->fragment_offset = rte_cpu_to_be_16(0x2000);
		ip_of(&s)->hdr_checksum = 0;
		ip_of(&s)->hdr_checksum = checksum_header(ip_of(&s), 20);
		s.p.flags = again ? PACKET_REASSEMBLED : 0;
		pass_with(&s, 0, s.p.flags);
		CHECK_EQ(s.p.verdict, again ? VERDICT_DROP : VERDICT_REASSEMBLE);
		CHECK_EQ(views[0].counters.drops[DROP_FRAGMENT], again);
		tear_down();
	}
}

int main(void)
{
	RUN(servers_of_any_port_share_local_ports);
	RUN(local_ports_of_any_port_come_back);
	RUN(one_packet_nat_keeps_one_way_back);
	RUN(one_packet_direct_keeps_nothing);
	RUN(persistence_belongs_to_the_service);
	RUN(connections_outlive_persistence);
	RUN(flows_of_whole_and_cut_datagrams);
	RUN(flows_that_wander);
	RUN(persistence_by_network);
	RUN(each_state_has_its_timeout);
	RUN(a_full_server_waits_for_its_lower_threshold);
	RUN(pieces_fit_the_route);
	RUN(a_long_ping_is_answered);
	RUN(pieces_of_pieces_are_dropped);
	return check_end();
}
