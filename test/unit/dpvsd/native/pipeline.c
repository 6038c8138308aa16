/* What happens to packets in directors of one to five workers. */
#include "workers.h"

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

/* A segment to a port that nobody has is answered with a reset; whose sender is refused or late is told
 * nothing.
 */
static void closed_ports_are_reset(void)
{
	struct client_prefix everybody = {.prefix = 0};
	struct sample s;

	for (unsigned int workers = 1; workers <= 4; workers++) {
		set_up(workers, FORWARD_FULLNAT, IPPROTO_TCP, 0, 0);
		for (unsigned int i = 0; i < 200; i++) {
			unsigned int worker = (unsigned int)(check_random() % workers);

			make(&s, CLIENT_SIDE, v4("10.1.0.1"), 7000, v4("10.1.0.100"),
			     (uint16_t)(81 + check_random() % 60000), IPPROTO_TCP, SYN, 0);
			errors_sent = 0;
			pass(&s, worker);
			CHECK_EQ(s.p.reason, DROP_NO_SERVICE);
			CHECK_EQ(errors_sent, 1);
			CHECK_EQ(last_error[20 + 13], RST | ACK);
			CHECK_EQ(s.last, worker);
			views[worker].icmp_tokens++;
		}
		/* A server's late answer: its connection is over. */
		make(&s, SERVER_SIDE, v4("10.2.0.1"), 8080, v4("10.2.0.200"), 20000, IPPROTO_TCP, ACK, 10);
		errors_sent = 0;
		pass(&s, 0);
		CHECK_EQ(s.p.reason, DROP_NO_SERVICE);
		CHECK_EQ(errors_sent, 0);
		/* Local ports begin at 1024: this is none. */
		make(&s, SERVER_SIDE, v4("10.2.0.1"), 8080, v4("10.2.0.200"), 22, IPPROTO_TCP, SYN, 0);
		pass(&s, 0);
		CHECK_EQ(errors_sent, 1);

		/* As fast as ICMP errors may be sent, and no faster. */
		views[0].icmp_tokens = 3;
		errors_sent = 0;
		for (unsigned int i = 0; i < 10; i++) {
			make(&s, CLIENT_SIDE, v4("10.1.0.1"), 7000, v4("10.1.0.100"), 81, IPPROTO_TCP, SYN,
			     0);
			pass(&s, 0);
		}
		CHECK_EQ(errors_sent, 3);
		views[0].icmp_tokens = 100;

		director.drop_tcp_unknown = true;
		pass(&s, 0);
		CHECK_EQ(s.p.reason, DROP_NO_SERVICE);
		CHECK_EQ(errors_sent, 3);
		director.drop_tcp_unknown = false;

		service->deny = client_list_new(FAMILY_IPV4, &everybody, 1);
		from_client(&s, "10.1.0.1", 7000, SYN);
		pass(&s, 0);
		CHECK_EQ(s.p.reason, DROP_DENIED);
		CHECK_EQ(errors_sent, 3);
		client_list_free(service->deny);
		service->deny = NULL;
		tear_down();
	}
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
	RUN(closed_ports_are_reset);
	return check_end();
}
