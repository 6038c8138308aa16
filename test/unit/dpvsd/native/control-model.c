/* The model of the configuration: random batches against a naive one, failing ones among them; what workers
 * see; servers and local addresses that are removed while in use; statistics. */
#include <time.h>

#include "control.h"

static struct model model;
static struct ops ops;
static struct error error;
static uint32_t failed;

static int apply(void)
{
	int result = model_apply(&model, ops.list, ops.count, false, &error, &failed);

	ops_clear(&ops);
	return result;
}

#define APPLY_OK()                                                                                           \
	do {                                                                                                 \
		int result_ = apply();                                                                       \
		if (result_ < 0)                                                                             \
			printf("operation %u: %s: %s\n", failed, error.code, error.text);                    \
		CHECK_EQ(result_, 0);                                                                        \
	} while (0)
#define APPLY_FAILS(wanted_code, wanted_index)                                                               \
	do {                                                                                                 \
		CHECK_EQ(apply(), -1);                                                                       \
		if (strcmp(error.code, wanted_code) != 0)                                                    \
			printf("%s: %s\n", error.code, error.text);                                          \
		CHECK(strcmp(error.code, wanted_code) == 0);                                                 \
		CHECK_EQ(failed, wanted_index);                                                              \
		CHECK(error.text[0] != 0);                                                                   \
	} while (0)

static struct fake *begin(void)
{
	struct fake *fake = fake_new();

	CHECK_EQ(model_init(&model, &fake->director, fake->stack, &fake->host), 0);
	ops_clear(&ops);
	return fake;
}

static void end(struct fake *fake)
{
	model_end(&model);
	fake_free(fake);
}

/* ---- random batches ---- */

enum { VIPS = 5, REALS = 5, LISTED = 4 };

static const char *const vip[VIPS] = {"10.9.0.1", "10.9.0.2", "10.9.0.3", "2001:db8::1", "2001:db8::2"};
static const char *const real[2][REALS] = {
    {"10.8.0.1", "10.8.0.2", "10.8.0.3", "10.8.0.4", "10.8.0.5"},
    {"2001:db8:8::1", "2001:db8:8::2", "2001:db8:8::3", "2001:db8:8::4", "2001:db8:8::5"}};
static const char *const lip[2][REALS] = {
    {"10.7.0.1", "10.7.0.2", "10.7.0.3", "10.7.0.4", "10.7.0.5"},
    {"2001:db8:7::1", "2001:db8:7::2", "2001:db8:7::3", "2001:db8:7::4", "2001:db8:7::5"}};
static const char *const listed[2][LISTED] = {
    {"10.1.0.0", "10.1.1.0", "10.1.1.7", "10.2.0.0"},
    {"2001:db8:1::", "2001:db8:1:1::", "2001:db8:1:1::7", "2001:db8:2::"}};
static const uint32_t listed_prefix[2][LISTED] = {{16, 24, 32, 15}, {48, 64, 128, 47}};
static const char *const schedulers[] = {"rr", "wrr", "wlc", "mh", "conhash", "sh"};

/* A naive configuration: arrays with a number that says in which order things were added. */
struct naive_server {
	uint32_t order;
	int forward;
	uint32_t weight, upper;
};
struct naive_service {
	uint32_t order;
	const char *scheduler;
	uint32_t persistence;
	struct naive_server servers[REALS];
	uint32_t locals[REALS];
	uint32_t lists[2][LISTED];
};
struct naive {
	uint32_t next;
	struct naive_service services[VIPS];
	uint32_t tcp;
	char setting[32];
	bool promiscuous;
	bool flows[REALS];
	bool addresses[REALS];
};

static int family6(int v)
{
	return v >= 3;
}

/* Applies the verb to something that has an order number; "" or the code of the error. */
static const char *naive_verb(struct naive *n, int verb, uint32_t *order)
{
	if (verb == VERB_ADD && *order)
		return "exists";
	if ((verb == VERB_EDIT || verb == VERB_DELETE) && !*order)
		return "not-found";
	if (verb == VERB_DELETE)
		*order = 0;
	else if (!*order)
		*order = ++n->next;
	return "";
}

static Dpvsha__ServiceKey *vip_key(int v)
{
	return key_of(&ops, v % 2 ? PROTO_TCP : PROTO_UDP, vip[v], 80);
}

static bool naive_local_used(const struct naive *n, int l)
{
	for (int v = 0; v < 3; v++)
		if (n->services[v].order && n->services[v].locals[l])
			return true;
	return false;
}

/* Adds one random operation to `ops`, and applies it to the naive configuration. */
static const char *random_operation(struct naive *n)
{
	int v = check_random() % VIPS, verb = check_random() % 4, r = check_random() % REALS,
	    six = family6(v);
	struct naive_service *service = &n->services[v];
	const char *code;

	/* Mostly what succeeds. */
	if (check_random() % 4)
		verb = VERB_PUT;
	switch (check_random() % 20) {
	case 0:
	case 1:
	case 2: {
		const char *scheduler = schedulers[check_random() % RTE_DIM(schedulers)];
		uint32_t persistence = check_random() % 3 * 50;
		bool was = service->order != 0;

		if (check_random() % 40 == 0)
			scheduler = "nonsense";
		op_service(&ops, verb, vip_key(v), scheduler)->persistence = persistence;
		code = naive_verb(n, verb, &service->order);
		if (*code)
			return code;
		if (verb == VERB_DELETE) {
			memset(service, 0, sizeof(*service));
			return "";
		}
		if (strcmp(scheduler, "nonsense") == 0) {
			if (!was)
				service->order = 0;
			return "invalid";
		}
		service->scheduler = scheduler;
		service->persistence = persistence;
		return "";
	}
	case 3:
	case 4:
	case 5:
	case 6:
	case 7:
	case 8:
	case 9: {
		int forward = check_random() % 30 ? (int)(check_random() % 3) : FORWARD_TUNNEL;
		uint32_t weight = check_random() % 4, upper = check_random() % 2 * 10;
		struct naive_server *server = &service->servers[r];

		op_server(&ops, verb, vip_key(v), real[six][r], 80, forward, weight)->upper_threshold = upper;
		if (!service->order)
			return "not-found";
		if (verb == VERB_ADD && server->order)
			return "exists";
		if ((verb == VERB_EDIT || verb == VERB_DELETE) && !server->order)
			return "not-found";
		if (verb == VERB_DELETE) {
			memset(server, 0, sizeof(*server));
			return "";
		}
		if (forward == FORWARD_TUNNEL)
			return "unsupported";
		(void)naive_verb(n, VERB_PUT, &server->order);
		server->forward = forward;
		server->weight = weight;
		server->upper = upper;
		return "";
	}
	case 10:
	case 11:
		op_local(&ops, verb, vip_key(v), lip[six][r], "dpdk0");
		if (!service->order)
			return "not-found";
		code = naive_verb(n, verb, &service->locals[r]);
		/* It brings its address along. */
		if (!*code && verb != VERB_DELETE && !six)
			n->addresses[r] = true;
		return code;
	case 12:
	case 13: {
		int kind = check_random() % 2, e = check_random() % LISTED;

		op_list(&ops, verb, vip_key(v), kind, listed[six][e], listed_prefix[six][e]);
		if (!service->order)
			return "not-found";
		return naive_verb(n, verb, &service->lists[kind][e]);
	}
	case 14: {
		uint32_t tcp = check_random() % 5 * 10;

		op_timeouts(&ops, tcp, 0, 0);
		if (tcp)
			n->tcp = tcp;
		return "";
	}
	case 15: {
		static const char *const values[] = {"a", "b", "c"};
		const char *value = values[check_random() % 3];
		bool unknown = check_random() % 10 == 0;

		op_setting(&ops, unknown ? "nothing" : "log_level", value);
		if (unknown)
			return "not-found";
		strcpy(n->setting, value);
		return "";
	}
	case 16: {
		bool on = check_random() % 2;

		op_link(&ops, "dpdk1")->promiscuous = on ? "on" : "off";
		n->promiscuous = on;
		return "";
	}
	case 17: {
		uint32_t there = n->flows[r];

		op_flow(&ops, verb, "dpdk0", real[0][r]);
		code = naive_verb(n, verb, &there);
		if (!*code)
			n->flows[r] = there != 0;
		return code;
	}
	case 18: {
		/* Also addresses that services may use as local ones. */
		uint32_t there = n->addresses[r];

		op_address(&ops, verb, lip[0][r], 32, "dpdk0");
		if (verb == VERB_DELETE && naive_local_used(n, r))
			return "busy";
		code = naive_verb(n, verb, &there);
		if (!*code)
			n->addresses[r] = there != 0;
		return code;
	}
	default: {
		static const int what[] = {DPVSHA__FLUSH__WHAT__SERVERS, DPVSHA__FLUSH__WHAT__LOCAL_ADDRESSES,
					   DPVSHA__FLUSH__WHAT__LIST_DENY_ENTRIES,
					   DPVSHA__FLUSH__WHAT__SERVICES};
		int w = what[check_random() % 4];
		bool all = check_random() % 3 == 0;

		op_flush(&ops, w, all ? NULL : vip_key(v), "");
		if (!all && !service->order)
			return "not-found";
		for (int i = 0; i < VIPS; i++) {
			struct naive_service *s = &n->services[i];

			if (!all && i != v)
				continue;
			if (w == DPVSHA__FLUSH__WHAT__SERVERS)
				memset(s->servers, 0, sizeof(s->servers));
			if (w == DPVSHA__FLUSH__WHAT__LOCAL_ADDRESSES)
				memset(s->locals, 0, sizeof(s->locals));
			if (w == DPVSHA__FLUSH__WHAT__LIST_DENY_ENTRIES)
				memset(s->lists[0], 0, sizeof(s->lists[0]));
			if (w == DPVSHA__FLUSH__WHAT__SERVICES)
				memset(s, 0, sizeof(*s));
		}
		return "";
	}
	}
}

/* The one whose order comes next after `after`. */
static int next_in_order(const uint32_t *first, size_t stride, int count, uint32_t after)
{
	int found = -1;

	for (int i = 0; i < count; i++) {
		uint32_t order = *(const uint32_t *)((const char *)first + (size_t)i * stride);

		if (order > after &&
		    (found < 0 || order < *(const uint32_t *)((const char *)first + (size_t)found * stride)))
			found = i;
	}
	return found;
}

static void naive_dump(const struct naive *n, struct text *text)
{
	uint32_t after = 0, inner;
	int v, i;

	text->length = 0;
	say(text, "");
	while ((v = next_in_order(&n->services[0].order, sizeof(n->services[0]), VIPS, after)) >= 0) {
		const struct naive_service *s = &n->services[v];
		uint32_t servers = 0;

		after = s->order;
		for (i = 0; i < REALS; i++)
			servers += s->servers[i].order != 0;
		say(text, "service %d/%s:80 %s persistence %u/0 ops 0 owner '' flags '' servers %u\n",
		    v % 2 ? PROTO_TCP : PROTO_UDP, vip[v], s->scheduler, s->persistence, servers);
		inner = 0;
		while ((i = next_in_order(&s->servers[0].order, sizeof(s->servers[0]), REALS, inner)) >= 0) {
			inner = s->servers[i].order;
			say(text,
			    "  server %s:80 forward %d weight %u upper %u lower 0 inhibited 0 owner ''\n",
			    real[family6(v)][i], s->servers[i].forward, s->servers[i].weight,
			    s->servers[i].upper);
		}
	}
	after = 0;
	while ((v = next_in_order(&n->services[0].order, sizeof(n->services[0]), VIPS, after)) >= 0) {
		after = n->services[v].order;
		inner = 0;
		while ((i = next_in_order(n->services[v].locals, sizeof(uint32_t), REALS, inner)) >= 0) {
			inner = n->services[v].locals[i];
			say(text, "local %d/%s:80 %s dpdk0\n", v % 2 ? PROTO_TCP : PROTO_UDP, vip[v],
			    lip[family6(v)][i]);
		}
	}
	after = 0;
	while ((v = next_in_order(&n->services[0].order, sizeof(n->services[0]), VIPS, after)) >= 0) {
		after = n->services[v].order;
		for (int kind = 0; kind < 2; kind++) {
			inner = 0;
			while ((i = next_in_order(n->services[v].lists[kind], sizeof(uint32_t), LISTED,
						  inner)) >= 0) {
				char address[INET6_ADDRSTRLEN];
				union ip_addr raw = {0};

				inner = n->services[v].lists[kind][i];
				inet_pton(family6(v) ? AF_INET6 : AF_INET, listed[family6(v)][i], raw.b);
				ip_mask(&raw, listed_prefix[family6(v)][i]);
				inet_ntop(family6(v) ? AF_INET6 : AF_INET, raw.b, address, sizeof(address));
				say(text, "list %d/%s:80 %d %s/%u\n", v % 2 ? PROTO_TCP : PROTO_UDP, vip[v],
				    kind, address, listed_prefix[family6(v)][i]);
			}
		}
	}
	say(text, "link dpdk0 mtu 1500 up 1 promisc 0\nlink dpdk1 mtu 1500 up 1 promisc %d\n",
	    n->promiscuous);
	say(text, "timeouts %u 7 300\n", n->tcp);
	say(text, "setting log_level %s\nsetting ip4.ttl 1\nsetting neigh.timeout 1\n", n->setting);
}

/* Does a worker find exactly what is configured? */
static void check_workers_view(const struct fake *fake, const struct naive *n)
{
	for (int v = 0; v < VIPS; v++) {
		const struct naive_service *s = &n->services[v];
		struct flow_key flow = {.family = family6(v) ? FAMILY_IPV6 : FAMILY_IPV4,
					.protocol = v % 2 ? PROTO_TCP : PROTO_UDP,
					.destination_port = htons(80)};
		struct service *service;
		uint32_t after = 0, at = 0;
		bool any_nat = false;
		int i;

		inet_pton(family6(v) ? AF_INET6 : AF_INET, vip[v], flow.destination.b);
		service = service_lookup(fake->director.services, &flow);
		CHECK_EQ(service != NULL, s->order != 0);
		if (!service || !s->order)
			continue;
		CHECK_EQ(service->persistence, s->persistence);
		CHECK(strcmp(scheduler_name((enum scheduler)service->schedule->scheduler), s->scheduler) ==
		      0);
		while ((i = next_in_order(&s->servers[0].order, sizeof(s->servers[0]), REALS, after)) >= 0) {
			const struct server *server = at < service->schedule->count
							  ? service->schedule->servers[at]
							  : NULL;
			union ip_addr address = {0};
			struct prefix_set set;

			after = s->servers[i].order;
			at++;
			CHECK(server != NULL);
			if (!server)
				return;
			inet_pton(family6(v) ? AF_INET6 : AF_INET, real[family6(v)][i], address.b);
			CHECK(ip_equal(&server->address, &address));
			CHECK_EQ(server->weight, s->servers[i].weight);
			CHECK_EQ(server->upper, s->servers[i].upper);
			CHECK_EQ(server->forward, s->servers[i].forward);
			CHECK_EQ(server->service, service->index);
			CHECK(!(server->flags & SERVER_REMOVED));
			CHECK(fake->director.servers[server->index] == server);
			if (server->forward == FORWARD_NAT) {
				unsigned int bit = s->persistence ? ip_bits((enum family)flow.family) : 0;

				any_nat = true;
				CHECK(nat_server_lookup(fake->director.services, (enum family)flow.family,
							flow.protocol, &address, server->port, &set));
				CHECK(set.bits[bit / 64] >> (bit % 64) & 1);
			}
		}
		CHECK_EQ(at, service->schedule->count);
		if (any_nat)
			CHECK(service->flags & SERVICE_HAS_NAT);
		after = at = 0;
		while ((i = next_in_order(s->locals, sizeof(uint32_t), REALS, after)) >= 0) {
			union ip_addr address = {0};

			after = s->locals[i];
			inet_pton(family6(v) ? AF_INET6 : AF_INET, lip[family6(v)][i], address.b);
			CHECK(service->locals && at < service->locals->count &&
			      ip_equal(&service->locals->addresses[at]->address, &address));
			CHECK(local_table_lookup(fake->director.locals, (enum family)flow.family, &address) ==
			      service->locals->addresses[at]);
			/* And it is an address of the device. */
			CHECK(address_lookup(&fake->net, (enum family)flow.family, &address) != NULL);
			at++;
		}
		CHECK_EQ(at, service->locals ? service->locals->count : 0);
		for (int kind = 0; kind < 2; kind++) {
			const struct client_list *list = kind ? service->allow : service->deny;
			bool any = false;

			for (i = 0; i < LISTED; i++) {
				union ip_addr address = {0};

				any |= s->lists[kind][i] != 0;
				if (!s->lists[kind][i])
					continue;
				inet_pton(family6(v) ? AF_INET6 : AF_INET, listed[family6(v)][i], address.b);
				CHECK(list && client_list_has(list, &address));
			}
			CHECK_EQ(list != NULL, any);
		}
	}
}

static void random_batches(void)
{
	static struct naive now, next;
	struct fake *fake = begin();
	struct text before = {0}, after = {0}, wanted = {0};
	uint32_t refused = 0, applied = 0;

	memset(&now, 0, sizeof(now));
	now.tcp = 90;
	strcpy(now.setting, "1");
	dump_all(&model, &before);
	for (int round = 0; round < 6000; round++) {
		uint32_t count = 1 + check_random() % 12, bad = UINT32_MAX;
		bool dry = check_random() % 10 == 0;
		uint64_t generation = model.generation;
		const char *code = "";

		next = now;
		for (uint32_t i = 0; i < count && bad == UINT32_MAX; i++) {
			code = random_operation(&next);
			if (*code)
				bad = i;
		}
		/* Whatever comes behind the bad one does not matter. */
		if (bad != UINT32_MAX && check_random() % 2)
			op_setting(&ops, "log_level", "never");
		int result = model_apply(&model, ops.list, ops.count, dry, &error, &failed);

		ops_clear(&ops);
		CHECK_EQ(result, bad == UINT32_MAX ? 0 : -1);
		if (result < 0) {
			CHECK_EQ(failed, bad);
			if (strcmp(error.code, code) != 0)
				printf("%s, not %s: %s\n", error.code, code, error.text);
			CHECK(strcmp(error.code, code) == 0);
			refused++;
		} else if (!dry) {
			now = next;
			applied++;
		}
		dump_all(&model, &after);
		if (result < 0 || dry) {
			if (strcmp(before.bytes, after.bytes) != 0)
				printf("--- before\n%s--- after a batch that %s\n%s", before.bytes,
				       dry ? "was dry" : "failed", after.bytes);
			CHECK(strcmp(before.bytes, after.bytes) == 0);
			CHECK_EQ(model.generation, generation);
		}
		naive_dump(&now, &wanted);
		if (strncmp(after.bytes, wanted.bytes, wanted.length) != 0)
			printf("--- got\n%s--- wanted\n%s", after.bytes, wanted.bytes);
		CHECK(strncmp(after.bytes, wanted.bytes, wanted.length) == 0);
		check_workers_view(fake, &now);
		for (int r = 0; r < REALS; r++) {
			union ip_addr address = {0};
			bool there = false;

			inet_pton(AF_INET, real[0][r], address.b);
			for (uint32_t i = 0; i < fake->flow_count; i++)
				there |= ip_equal(&fake->flows[i].address, &address);
			CHECK_EQ(there, now.flows[r]);
			inet_pton(AF_INET, lip[0][r], address.b);
			if (now.addresses[r])
				CHECK(address_lookup(&fake->net, FAMILY_IPV4, &address) != NULL);
		}
		/* Connections come to servers that are there, and end. */
		for (int i = 0; i < 3; i++) {
			uint32_t at = 1 + check_random() % 40;
			struct server_count *count = &fake->views[check_random() % WORKERS].servers[at];
			const struct server *server = fake->director.servers[at];

			if (count->active > 0 && check_random() % 2)
				count->active--;
			else if (server && !(server->flags & SERVER_REMOVED) && check_random() % 4 == 0)
				count->active++;
			count->in_packets += count->active;
		}
		if (check_random() % 5 == 0) {
			model.retire_due_ms = 0;
			model_tick(&model, (uint64_t)round * 50 + 1);
			/* What local addresses brought goes with them. */
			dump_all(&model, &after);
			for (int r = 0; r < REALS; r++) {
				union ip_addr address = {0};

				inet_pton(AF_INET, lip[0][r], address.b);
				if (naive_local_used(&now, r))
					continue;
				if (local_table_lookup(fake->director.locals, FAMILY_IPV4, &address)) {
					CHECK(0);
					break;
				}
				now.addresses[r] = address_lookup(&fake->net, FAMILY_IPV4, &address) != NULL;
			}
		}
		dump_all(&model, &before);
		/* An address that a local address brought is there for operations on addresses as well. */
		for (int r = 0; r < REALS; r++) {
			union ip_addr address = {0};

			inet_pton(AF_INET, lip[0][r], address.b);
			now.addresses[r] = address_lookup(&fake->net, FAMILY_IPV4, &address) != NULL;
		}
		if (check_failed)
			break;
	}
	printf("%u batches applied, %u refused\n", applied, refused);
	CHECK(applied > 500 && refused > 500);
	/* Nothing is left behind when all is taken away. */
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	APPLY_OK();
	for (int i = 0; i < WORKERS; i++)
		for (uint32_t at = 0; at < 100; at++)
			fake->views[i].servers[at].active = 0;
	model.retire_due_ms = 0;
	model_tick(&model, 1000000);
	CHECK_EQ(model.services.count, 0);
	CHECK_EQ(model.lingering.count, 0);
	CHECK_EQ(model.all_servers.count, 0);
	CHECK_EQ(model.locals.count, 0);
	CHECK_EQ(model.server_by_key.count, 0);
	CHECK_EQ(model.service_by_key.count, 0);
	CHECK_EQ(model.binding_by_key.count, 0);
	CHECK_EQ(model.entry_by_key.count, 0);
	CHECK_EQ(model.nat_by_endpoint.count, 0);
	CHECK_EQ(model.free_server_count, model.next_server - 1);
	CHECK_EQ(model.free_service_count, model.next_service);
	for (uint32_t i = 0; i < model.next_server; i++)
		CHECK(fake->director.servers[i] == NULL);
	free(before.bytes);
	free(after.bytes);
	free(wanted.bytes);
	end(fake);
}

/* ---- what may go wrong, and what is said ---- */

static Dpvsha__ServiceKey *web(void)
{
	return key_of(&ops, PROTO_TCP, "10.9.0.1", 80);
}

static void errors_name_operation_object_and_next_step(void)
{
	struct fake *fake = begin();

	op_service(&ops, VERB_ADD, web(), "rr");
	op_service(&ops, VERB_ADD, web(), "rr");
	APPLY_FAILS("exists", 1);
	CHECK(strstr(error.text, "tcp 10.9.0.1:80") != NULL);
	CHECK(error.hint[0] != 0);
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	APPLY_FAILS("not-found", 0);
	CHECK(strstr(error.hint, "ipvsadm -A") != NULL);
	op_service(&ops, VERB_ADD, web(), "lblc");
	APPLY_FAILS("invalid", 0);
	CHECK(strstr(error.hint, "conhash") != NULL);
	op_service(&ops, VERB_ADD, web(), "rr")->one_packet = true;
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, web(), "rr")->scheduler_flags = "sh-port";
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, web(), "rr")->owner = "a\nb";
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, web(), "rr")->persistence_prefix = 33;
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, key_of(&ops, 132, "10.9.0.1", 80), "rr");
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_ICMP, "10.9.0.1", 80), "rr");
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "nonsense", 80), "rr");
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, NULL, "rr");
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, web(), "rr")->key->fwmark = 3;
	APPLY_FAILS("unsupported", 0);
	op_service(&ops, 9, web(), "rr");
	APPLY_FAILS("invalid", 0);
	op(&ops, VERB_ADD, DPVSHA__OPERATION__OBJECT__NOT_SET, NULL);
	APPLY_FAILS("invalid", 0);
	op_service(&ops, VERB_ADD, web(), "wrr");
	APPLY_OK();
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_SNAT, 1);
	APPLY_FAILS("unsupported", 0);
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, 77, 1);
	APPLY_FAILS("invalid", 0);
	op_server(&ops, VERB_ADD, web(), "2001:db8::8", 80, FORWARD_NAT, 1);
	APPLY_FAILS("invalid", 0);
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 65536);
	APPLY_FAILS("invalid", 0);
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 65536, FORWARD_NAT, 1);
	APPLY_FAILS("invalid", 0);
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 1)->lower_threshold = 1;
	APPLY_FAILS("invalid", 0);
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "");
	APPLY_FAILS("invalid", 0);
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "eth0");
	APPLY_FAILS("not-found", 0);
	op_address(&ops, VERB_ADD, "10.7.0.1", 24, "dpdk1");
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "dpdk0");
	APPLY_FAILS("invalid", 1);
	op_list(&ops, VERB_ADD, web(), 0, "2001:db8::", 32);
	APPLY_FAILS("invalid", 0);
	op_list(&ops, VERB_ADD, web(), 0, "10.0.0.0", 33);
	APPLY_FAILS("invalid", 0);
	op_link(&ops, "dpdk0")->mtu = 9001;
	APPLY_FAILS("invalid", 0);
	op_link(&ops, "dpdk0")->promiscuous = "perhaps";
	APPLY_FAILS("invalid", 0);
	op_announce(&ops, "10.7.0.9", "dpdk0");
	APPLY_FAILS("not-found", 0);
	op_address(&ops, VERB_ADD, "10.7.0.9", 24, "dpdk0");
	op_announce(&ops, "10.7.0.9", "");
	APPLY_OK();
	end(fake);
}

static void a_switch_that_fails_undoes_the_batch(void)
{
	struct fake *fake = begin();
	struct text before = {0}, after = {0};

	dump_all(&model, &before);
	fake->refuse_links = true;
	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 1);
	op_setting(&ops, "log_level", "debug");
	op_flow(&ops, VERB_ADD, "dpdk0", "10.3.0.1");
	op_link(&ops, "dpdk0")->link = "down";
	op_setting(&ops, "ip4.ttl", "9");
	APPLY_FAILS("busy", 4);
	dump_all(&model, &after);
	CHECK(strcmp(before.bytes, after.bytes) == 0);
	CHECK_EQ(fake->flow_count, 0);
	fake->refuse_links = false;
	fake->refuse_settings = true;
	op_address(&ops, VERB_ADD, "10.3.0.1", 24, "dpdk0");
	op_neighbour(&ops, VERB_ADD, "10.3.0.9", "dpdk0", 1);
	op_route(&ops, VERB_ADD, "10.4.0.0", 16, "10.3.0.2", "");
	op_link(&ops, "dpdk0")->mtu = 2000;
	op_setting(&ops, "ip4.ttl", "9");
	APPLY_FAILS("busy", 4);
	dump_all(&model, &after);
	CHECK(strcmp(before.bytes, after.bytes) == 0);
	free(before.bytes);
	free(after.bytes);
	end(fake);
}

static void twins_are_looked_at_when_the_batch_stands(void)
{
	struct fake *fake = begin();

	op_twin_look(&ops, "dpdk0");
	op_twin_look(&ops, "dpdk1")->was_down = true;
	APPLY_OK();
	CHECK_EQ(fake->looks[0], 1);
	CHECK_EQ(fake->looks[1], 1);
	CHECK_EQ(fake->looks_down[0], 0);
	CHECK_EQ(fake->looks_down[1], 1);
	op_twin_look(&ops, "dpdk0");
	op_twin_look(&ops, "dpdk7");
	APPLY_FAILS("not-found", 1);
	CHECK_EQ(fake->looks[0], 1);
	end(fake);
}

static void network_objects_are_restored_as_they_were(void)
{
	struct fake *fake = begin();
	struct text before = {0}, after = {0};

	op_address(&ops, VERB_ADD, "10.3.0.1", 24, "dpdk0")->owner = "keepalived";
	op_address(&ops, VERB_ADD, "2001:db8:3::1", 64, "dpdk1");
	op_route(&ops, VERB_ADD, NULL, 0, "10.3.0.2", "");
	op_route(&ops, VERB_ADD, "10.4.0.0", 16, "10.3.0.3", "dpdk0")->mtu = 1400;
	op_neighbour(&ops, VERB_ADD, "10.3.0.9", "dpdk0", 1);
	APPLY_OK();
	dump_all(&model, &before);
	op_address(&ops, VERB_PUT, "10.3.0.1", 16, "dpdk0");
	op_route(&ops, VERB_PUT, "10.4.0.0", 16, "10.3.0.4", "dpdk0")->mtu = 1300;
	op_neighbour(&ops, VERB_PUT, "10.3.0.9", "dpdk0", 7);
	op_address(&ops, VERB_DELETE, "10.3.0.1", 0, "dpdk0");
	op_flush(&ops, DPVSHA__FLUSH__WHAT__ROUTES, NULL, "");
	op_flush(&ops, DPVSHA__FLUSH__WHAT__NEIGHBOURS, NULL, "dpdk0");
	op_flush(&ops, DPVSHA__FLUSH__WHAT__ADDRESSES, NULL, "");
	op_route(&ops, VERB_DELETE, "10.4.0.0", 16, NULL, "");
	APPLY_FAILS("not-found", 7);
	dump_all(&model, &after);
	if (strcmp(before.bytes, after.bytes) != 0)
		printf("--- before\n%s--- after\n%s", before.bytes, after.bytes);
	CHECK(strcmp(before.bytes, after.bytes) == 0);
	/* And a change alone, without anything that hides it. */
	op_route(&ops, VERB_EDIT, "10.4.0.0", 16, "10.3.0.4", "dpdk0")->mtu = 1300;
	op_neighbour(&ops, VERB_EDIT, "10.3.0.9", "dpdk0", 7);
	op_address(&ops, VERB_EDIT, "10.3.0.1", 20, "dpdk0");
	op_route(&ops, VERB_ADD, "10.4.0.0", 16, "10.3.0.4", "dpdk0");
	APPLY_FAILS("exists", 3);
	dump_all(&model, &after);
	CHECK(strcmp(before.bytes, after.bytes) == 0);
	op_flush(&ops, DPVSHA__FLUSH__WHAT__ROUTES, NULL, "");
	op_flush(&ops, DPVSHA__FLUSH__WHAT__NEIGHBOURS, NULL, "");
	op_flush(&ops, DPVSHA__FLUSH__WHAT__ADDRESSES, NULL, "dpdk0");
	APPLY_OK();
	dump_all(&model, &after);
	CHECK(strstr(after.bytes, "10.3.0") == NULL);
	CHECK(strstr(after.bytes, "2001:db8:3::1/64") != NULL);
	free(before.bytes);
	free(after.bytes);
	end(fake);
}

/* ---- servers that go while they are in use ---- */

static struct server_count *count_of(struct fake *fake, int worker, const struct server *server)
{
	return &fake->views[worker].servers[server->index];
}

static const struct server *first_server(const struct fake *fake)
{
	struct flow_key flow = {.family = FAMILY_IPV4, .protocol = PROTO_TCP, .destination_port = htons(80)};
	struct service *service;

	inet_pton(AF_INET, "10.9.0.1", flow.destination.b);
	service = service_lookup(fake->director.services, &flow);
	return service && service->schedule->count ? service->schedule->servers[0] : NULL;
}

static void tick(uint64_t now)
{
	model.retire_due_ms = 0;
	model_tick(&model, now);
}

static void removed_servers_stay_until_their_last_connection(void)
{
	struct fake *fake = begin();
	const struct server *server, *again;
	struct prefix_set set;
	uint32_t index;

	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 1);
	op_server(&ops, VERB_ADD, web(), "10.8.0.2", 80, FORWARD_NAT, 1);
	APPLY_OK();
	server = first_server(fake);
	index = server->index;
	count_of(fake, 1, server)->active = 1;
	op_server(&ops, VERB_DELETE, web(), "10.8.0.1", 80, 0, 0);
	APPLY_OK();
	tick(1000);
	CHECK(fake->director.servers[index] == server);
	CHECK(server->flags & SERVER_REMOVED);
	/* Its answers still find their way. */
	CHECK(nat_server_lookup(fake->director.services, FAMILY_IPV4, PROTO_TCP, &server->address,
				server->port, &set));
	/* Added again: the same one, its connections are its own again. */
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 7);
	APPLY_OK();
	CHECK(fake->director.servers[index] == server);
	CHECK(!(server->flags & SERVER_REMOVED));
	CHECK_EQ(server->weight, 7);
	CHECK_EQ(model.lingering.count, 0);
	/* The same when the whole service goes and returns, also within a batch. */
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	APPLY_OK();
	tick(2000);
	CHECK(server->flags & SERVER_REMOVED);
	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 1);
	APPLY_OK();
	again = first_server(fake);
	CHECK(again == server && again->index == index);
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	op_service(&ops, VERB_ADD, web(), "wlc");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_NAT, 1);
	APPLY_OK();
	CHECK(first_server(fake) == server && !(server->flags & SERVER_REMOVED));
	/* Its last connection ends. */
	op_server(&ops, VERB_DELETE, web(), "10.8.0.1", 80, 0, 0);
	APPLY_OK();
	union ip_addr address = server->address;

	tick(3000);
	CHECK(fake->director.servers[index] == server);
	fake->views[1].servers[index].active = 0;
	fake->views[0].servers[index].persistent = 1;
	tick(4000);
	CHECK(fake->director.servers[index] == server);
	fake->views[0].servers[index].persistent = 0;
	tick(5000);
	CHECK(fake->director.servers[index] == NULL);
	CHECK(!nat_server_lookup(fake->director.services, FAMILY_IPV4, PROTO_TCP, &address, htons(80), &set));
	end(fake);
}

/* Frees that wait for the workers. */
static struct {
	void *object;
	void (*free_object)(void *);
} waiting[4096];
static size_t waiting_count;

static void wait_for_workers(void *object, void (*free_object)(void *))
{
	waiting[waiting_count].object = object;
	waiting[waiting_count++].free_object = free_object;
}

static void workers_passed(void)
{
	for (size_t i = 0; i < waiting_count; i++)
		waiting[i].free_object(waiting[i].object);
	waiting_count = 0;
}

static void nothing_is_freed_before_the_workers_have_passed(void)
{
	struct fake *fake = begin();
	const struct server *server;
	struct schedule *schedule;
	struct flow_key flow = {.family = FAMILY_IPV4, .protocol = PROTO_TCP, .destination_port = htons(80)};
	struct service *service;

	rcu_defer = wait_for_workers;
	inet_pton(AF_INET, "10.9.0.1", flow.destination.b);
	op_service(&ops, VERB_ADD, web(), "wrr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 3);
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "dpdk0");
	APPLY_OK();
	service = service_lookup(fake->director.services, &flow);
	server = first_server(fake);
	schedule = service->schedule;
	/* A worker has read the schedule and picks from it while the master removes the server. */
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	APPLY_OK();
	tick(1000);
	CHECK_EQ(schedule->servers[0] == server, true);
	CHECK(fake->director.servers[server->index] == server);
	fake->views[0].servers[server->index].inactive = 1; /* the connection that was just opened */
	uint32_t index = server->index;

	workers_passed();
	tick(2000);
	CHECK(fake->director.servers[index] == server);
	fake->views[0].servers[index].inactive = 0;
	tick(3000);
	workers_passed();
	CHECK(fake->director.servers[index] == NULL);
	CHECK_EQ(model.free_server_count, 1);
	CHECK_EQ(model.free_service_count, 1);
	CHECK_EQ(model.locals.count, 0);
	rcu_defer = NULL;
	end(fake);
}

static void local_addresses_stay_until_their_ports_are_free(void)
{
	struct fake *fake = begin();
	struct local_address *local;
	union ip_addr address = {0};
	struct address found;
	uint16_t port;

	inet_pton(AF_INET, "10.7.0.1", address.b);
	op_service(&ops, VERB_ADD, web(), "rr");
	op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.2", 80), "rr");
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "dpdk0");
	op_local(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, "10.9.0.2", 80), "10.7.0.1", "");
	APPLY_OK();
	local = local_table_lookup(fake->director.locals, FAMILY_IPV4, &address);
	CHECK(local != NULL);
	CHECK_EQ(local->shares, 2);
	port = local_port_take(local, 1, 5);
	/* Nobody takes it away from under them. */
	op_address(&ops, VERB_DELETE, "10.7.0.1", 0, "dpdk0");
	APPLY_FAILS("busy", 0);
	op_flush(&ops, DPVSHA__FLUSH__WHAT__LOCAL_ADDRESSES, web(), "");
	APPLY_OK();
	tick(1000);
	CHECK(local_table_lookup(fake->director.locals, FAMILY_IPV4, &address) == local);
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	APPLY_OK();
	tick(2000);
	CHECK(local_table_lookup(fake->director.locals, FAMILY_IPV4, &address) == local);
	CHECK(net_address_find(fake->stack, 0, FAMILY_IPV4, &address, &found));
	local_port_give(local, port, 5);
	tick(3000);
	CHECK(local_table_lookup(fake->director.locals, FAMILY_IPV4, &address) == NULL);
	CHECK(!net_address_find(fake->stack, 0, FAMILY_IPV4, &address, &found));
	/* An operator's address stays. */
	op_address(&ops, VERB_ADD, "10.7.0.1", 24, "dpdk0");
	op_service(&ops, VERB_ADD, web(), "rr");
	op_local(&ops, VERB_ADD, web(), "10.7.0.1", "dpdk0");
	APPLY_OK();
	op_local(&ops, VERB_DELETE, web(), "10.7.0.1", "");
	APPLY_OK();
	tick(4000);
	CHECK(local_table_lookup(fake->director.locals, FAMILY_IPV4, &address) == NULL);
	CHECK(net_address_find(fake->stack, 0, FAMILY_IPV4, &address, &found));
	CHECK_EQ(found.prefix, 24);
	end(fake);
}

/* ---- statistics ---- */

static struct traffic shown_service(void)
{
	struct traffic traffic;
	struct service_key key;

	read_service_key(web(), &key, &error);
	service_traffic(&model, model_service_find(&model, &key), &traffic);
	return traffic;
}

static void a_service_counts_what_its_servers_counted(void)
{
	struct fake *fake = begin();
	const struct server *server;

	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	op_server(&ops, VERB_ADD, web(), "10.8.0.2", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	server = first_server(fake);
	count_of(fake, 0, server)->connections = 10;
	count_of(fake, 1, server)->connections = 5;
	count_of(fake, 1, server)->in_bytes = 1000;
	CHECK_EQ(shown_service().connections, 15);
	CHECK_EQ(shown_service().in_bytes, 1000);
	/* A server goes: what it counted stays with the service; and what its last connections count. */
	count_of(fake, 0, server)->active = 1;
	uint32_t index = server->index;

	op_server(&ops, VERB_DELETE, web(), "10.8.0.1", 80, 0, 0);
	APPLY_OK();
	tick(1000);
	CHECK_EQ(shown_service().connections, 15);
	fake->views[0].servers[index].in_bytes += 500;
	CHECK_EQ(shown_service().in_bytes, 1500);
	fake->views[0].servers[index].active = 0;
	tick(2000);
	CHECK_EQ(shown_service().in_bytes, 1500);
	CHECK_EQ(shown_service().connections, 15);
	/* Another server gets the place, and begins at nothing. */
	op_server(&ops, VERB_ADD, web(), "10.8.0.3", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	CHECK(fake->director.servers[index] != NULL);
	CHECK_EQ(shown_service().connections, 15);
	fake->views[1].servers[index].connections += 2;
	CHECK_EQ(shown_service().connections, 17);
	/* Zero: by subtraction, the workers' counters stay as they are. */
	op_zero(&ops, NULL, "");
	APPLY_OK();
	CHECK_EQ(shown_service().connections, 0);
	CHECK_EQ(shown_service().in_bytes, 0);
	CHECK_EQ(fake->views[1].servers[index].connections, 7);
	fake->views[1].servers[index].connections += 3;
	CHECK_EQ(shown_service().connections, 3);
	op_zero(&ops, web(), "");
	op_zero(&ops, NULL, "dpdk1");
	APPLY_OK();
	CHECK_EQ(shown_service().connections, 0);
	CHECK_EQ(fake->zeroed[1], 1);
	/* A batch that fails zeroes nothing. */
	fake->views[1].servers[index].connections += 3;
	op_zero(&ops, web(), "");
	op_zero(&ops, key_of(&ops, PROTO_TCP, "10.9.0.9", 80), "");
	APPLY_FAILS("not-found", 1);
	CHECK_EQ(shown_service().connections, 3);
	end(fake);
}

static void rates_come_close_to_the_truth(void)
{
	struct fake *fake = begin();
	const struct server *server;
	struct traffic rate;

	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	server = first_server(fake);
	for (uint64_t now = 1000; now < 60000; now += 100) {
		count_of(fake, 0, server)->in_packets += 100; /* 1000 a second */
		count_of(fake, 1, server)->connections += 1; /* 10 a second */
		tick(now);
	}
	struct model_service *service = model.services.places[0].item;

	estimator_rate(&service->estimator, &rate);
	CHECK(rate.in_packets >= 980 && rate.in_packets <= 1020);
	CHECK(rate.connections >= 9 && rate.connections <= 11);
	estimator_rate(&((struct model_server *)service->servers.places[0].item)->estimator, &rate);
	CHECK(rate.in_packets >= 980 && rate.in_packets <= 1020);
	/* And fall when nothing comes. */
	for (uint64_t now = 60000; now < 120000; now += 500)
		tick(now);
	estimator_rate(&service->estimator, &rate);
	CHECK_EQ(rate.in_packets, 0);
	end(fake);
}

static void thresholds_take_effect_when_they_change(void)
{
	struct fake *fake = begin();
	const struct server *server;

	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	server = first_server(fake);
	count_of(fake, 0, server)->active = 6;
	count_of(fake, 1, server)->inactive = 6;
	op_server(&ops, VERB_EDIT, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1)->upper_threshold = 12;
	APPLY_OK();
	CHECK_EQ(server->overloaded, 1);
	op_server(&ops, VERB_EDIT, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1)->upper_threshold = 20;
	APPLY_OK();
	CHECK_EQ(server->overloaded, 0);
	op_server(&ops, VERB_EDIT, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1)->upper_threshold = 5;
	APPLY_OK();
	CHECK_EQ(server->overloaded, 1);
	op_server(&ops, VERB_EDIT, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	CHECK_EQ(server->overloaded, 0);
	end(fake);
}

/* ---- size and speed ---- */

/* Of this process: the machine has others. */
static double milliseconds(void)
{
	struct timespec now;

	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	return (double)now.tv_sec * 1e3 + (double)now.tv_nsec / 1e6;
}

static void ten_thousand_services(void)
{
	struct fake *fake = begin();
	char address[32], server[32];
	double from, load = 0, change = 0;

	for (int s = 0; s < 10000; s++) {
		snprintf(address, sizeof(address), "10.%d.%d.1", 100 + s / 250, s % 250);
		Dpvsha__ServiceKey *key = key_of(&ops, PROTO_TCP, address, 80);

		op_service(&ops, VERB_ADD, key, "wrr");
		for (int r = 0; r < 10; r++) {
			snprintf(server, sizeof(server), "172.16.%d.%d", s % 250, r + 1);
			op_server(&ops, VERB_ADD, key, server, 80, FORWARD_FULLNAT, (uint32_t)(r + 1));
		}
		if (s % 2000 == 1999) {
			from = milliseconds();
			APPLY_OK();
			load += milliseconds() - from;
		}
	}
	struct service *first = NULL;
	struct flow_key flow = {.family = FAMILY_IPV4, .protocol = PROTO_TCP, .destination_port = htons(80)};

	inet_pton(AF_INET, "10.100.0.1", flow.destination.b);
	first = service_lookup(fake->director.services, &flow);
	CHECK_EQ(first->schedule->count, 10);
	uint64_t serial = first->schedule->serial, born = first->schedule->born;

	for (int i = 0; i < 100; i++) {
		snprintf(address, sizeof(address), "10.100.%d.1", i);
		snprintf(server, sizeof(server), "172.16.%d.1", i % 250);
		op_server(&ops, VERB_EDIT, key_of(&ops, PROTO_TCP, address, 80), server, 80, FORWARD_FULLNAT,
			  50 + (uint32_t)i);
		from = milliseconds();
		APPLY_OK();
		change = RTE_MAX(change, milliseconds() - from);
	}
	CHECK(first->schedule->serial > serial);
	/* The same service: workers go on where they are. */
	CHECK_EQ(first->schedule->born, born);
	printf("10,000 services with 10 servers each: loaded in %.0f ms of CPU; a weight changed in at most "
	       "%.2f ms\n",
	       load, change);
	CHECK(load < 500);
	CHECK(change < 5);
	from = milliseconds();
	op_flush(&ops, DPVSHA__FLUSH__WHAT__SERVICES, NULL, "");
	APPLY_OK();
	printf("flushed in %.0f ms\n", milliseconds() - from);
	end(fake);
}

/* Where persistence changes packets are steered otherwise: workers have to know that connections may be
 * elsewhere. */
static void a_change_of_steering_is_remembered(void)
{
	struct fake *fake = begin();
	struct flow_key flow = {
	    .destination_port = RTE_BE16(80), .protocol = PROTO_TCP, .family = FAMILY_IPV4};
	const struct service *service;

	flow.destination = ip_from_v4(RTE_BE32(0x0a090001));
	op_service(&ops, VERB_ADD, web(), "rr")->persistence = 50;
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	APPLY_OK();
	service = service_lookup(fake->director.services, &flow);
	CHECK(service != NULL && !(service->flags & SERVICE_RESTEERED));
	op_service(&ops, VERB_EDIT, web(), "wlc")->persistence = 60;
	APPLY_OK();
	CHECK(!(service->flags & SERVICE_RESTEERED));
	op_service(&ops, VERB_EDIT, web(), "wlc");
	APPLY_OK();
	CHECK(service->flags & SERVICE_RESTEERED);
	op_service(&ops, VERB_EDIT, web(), "rr");
	APPLY_OK();
	CHECK(service->flags & SERVICE_RESTEERED);
	end(fake);
}

static void one_weight_costs_one_schedule(void)
{
	struct fake *fake = begin();
	struct schedule *before, *after;
	char address[32];

	for (int s = 0; s < 500; s++) {
		snprintf(address, sizeof(address), "10.%d.%d.1", s / 250, s % 250);
		op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, address, 80), "wrr");
		op_server(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, address, 80), "10.8.0.1", 80, FORWARD_DR,
			  1);
	}
	APPLY_OK();
	before = schedule_new(SCHEDULER_RR, 0, NULL, 0);
	op_server(&ops, VERB_EDIT, key_of(&ops, PROTO_TCP, "10.1.7.1", 80), "10.8.0.1", 80, FORWARD_DR, 2);
	APPLY_OK();
	after = schedule_new(SCHEDULER_RR, 0, NULL, 0);
	CHECK_EQ(after->serial - before->serial, 2); /* one in between */
	schedule_free(before);
	before = schedule_new(SCHEDULER_RR, 0, NULL, 0);
	/* The same again changes nothing, not even the generation. */
	uint64_t generation = model.generation;

	op_server(&ops, VERB_PUT, key_of(&ops, PROTO_TCP, "10.1.7.1", 80), "10.8.0.1", 80, FORWARD_DR, 2);
	op_service(&ops, VERB_PUT, key_of(&ops, PROTO_TCP, "10.1.7.1", 80), "wrr");
	APPLY_OK();
	CHECK_EQ(model.generation, generation);
	schedule_free(after);
	after = schedule_new(SCHEDULER_RR, 0, NULL, 0);
	CHECK_EQ(after->serial - before->serial, 1);
	schedule_free(before);
	schedule_free(after);
	end(fake);
}

/* ---- listing ---- */

static void tables_may_change_while_they_are_listed(void)
{
	struct fake *fake = begin();
	Dpvsha__Get get = DPVSHA__GET__INIT;
	struct stream stream;
	struct arena arena;
	struct rows rows;
	char address[32];
	static uint32_t seen[1200];
	uint32_t services = 0;

	memset(seen, 0, sizeof(seen));
	for (int s = 0; s < 1000; s++) {
		snprintf(address, sizeof(address), "10.0.%d.%d", s / 250, s % 250 + 1);
		op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, address, (uint32_t)s + 1), "rr");
		op_server(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, address, (uint32_t)s + 1), "10.8.0.1", 80,
			  FORWARD_DR, 1);
	}
	APPLY_OK();
	get.table = DPVSHA__TABLE__TABLE_SERVICES;
	CHECK_EQ(stream_begin(&stream, &model, &get, &error), 0);
	arena_init(&arena, 16 << 20);
	for (int piece = 0; !stream.done; piece++) {
		arena_reset(&arena);
		rows = (struct rows){.arena = &arena, .model = &model};
		stream_next(&stream, &rows);
		for (size_t i = 0; i < rows.count; i++)
			if (rows.row[i]->row_case == DPVSHA__ROW__ROW_SERVICE) {
				services++;
				seen[rows.row[i]->service->service->key->port]++;
			}
		/* Meanwhile every third service goes, and others come. */
		for (int s = piece * 60; s < piece * 60 + 60 && s < 1000; s += 3) {
			snprintf(address, sizeof(address), "10.0.%d.%d", s / 250, s % 250 + 1);
			op_service(&ops, VERB_DELETE, key_of(&ops, PROTO_TCP, address, (uint32_t)s + 1),
				   "rr");
		}
		snprintf(address, sizeof(address), "10.1.0.%d", piece + 1);
		op_service(&ops, VERB_ADD, key_of(&ops, PROTO_TCP, address, 1100), "rr");
		APPLY_OK();
	}
	for (int s = 0; s < 1000; s++) {
		CHECK(seen[s + 1] <= 1);
		if (s % 3 != 0)
			CHECK_EQ(seen[s + 1], 1);
	}
	CHECK(services >= 666);
	/* A limit, an owner, one service. */
	struct text text = {0};

	get.limit = 7;
	CHECK_EQ(dump_get(&model, &get, &text), 7);
	get.limit = 0;
	get.owner = "keepalived";
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get.owner = "";
	get.service = key_of(&ops, PROTO_TCP, "10.0.0.2", 2);
	CHECK_EQ(dump_get(&model, &get, &text), 2);
	get.service = key_of(&ops, PROTO_TCP, "10.0.0.2", 3);
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get.service = NULL;
	get.per_worker = true;
	get.limit = 10;
	CHECK_EQ(dump_get(&model, &get, &text), 10);
	get.worker = 2;
	CHECK_EQ(dump_get(&model, &get, &text), 10);
	get.worker = 3;
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get = (Dpvsha__Get)DPVSHA__GET__INIT;
	get.table = 99;
	text.length = 0;
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	CHECK(strstr(text.bytes, "invalid") != NULL);
	free(text.bytes);
	arena_end(&arena);
	end(fake);
}

/* The service whose servers are being listed goes: the next one is listed from its head. */
static void a_service_goes_while_it_is_listed(void)
{
	struct fake *fake = begin();
	Dpvsha__Get get = DPVSHA__GET__INIT;
	struct stream stream;
	struct arena arena;
	struct rows rows;
	char address[32];
	uint32_t services = 0, servers_of_second = 0;

	for (int v = 1; v <= 2; v++) {
		snprintf(address, sizeof(address), "10.9.0.%d", v);
		Dpvsha__ServiceKey *key = key_of(&ops, PROTO_TCP, address, 80);

		op_service(&ops, VERB_ADD, key, "rr");
		for (int r = 1; r <= 250; r++) {
			snprintf(address, sizeof(address), "10.8.%d.%d", v, r);
			op_server(&ops, VERB_ADD, key, address, 80, FORWARD_DR, 1);
		}
	}
	APPLY_OK();
	arena_init(&arena, 16 << 20);
	CHECK_EQ(stream_begin(&stream, &model, &get, &error), 0);
	for (int piece = 0; !stream.done; piece++) {
		arena_reset(&arena);
		rows = (struct rows){.arena = &arena, .model = &model};
		stream_next(&stream, &rows);
		for (size_t i = 0; i < rows.count; i++) {
			services += rows.row[i]->row_case == DPVSHA__ROW__ROW_SERVICE;
			if (rows.row[i]->row_case == DPVSHA__ROW__ROW_SERVER)
				servers_of_second += rows.row[i]->server->server->address.data[2] == 2;
		}
		if (piece == 0) {
			op_service(&ops, VERB_DELETE, web(), "");
			APPLY_OK();
		}
	}
	CHECK_EQ(services, 2);
	CHECK_EQ(servers_of_second, 250);
	arena_end(&arena);
	end(fake);
}

/* Orders with holes, and undoing in reverse: against a plain array. */
static void orders(void)
{
	for (int round = 0; round < 200; round++) {
		struct ordered ordered = {0};
		static int items[100000];
		static bool there[100000];
		struct {
			uint64_t sequence;
			bool inserted;
		} done[64];
		uint64_t next = 0;

		memset(there, 0, sizeof(there));
		for (int batch = 0; batch < 40; batch++) {
			int steps = (int)(check_random() % 60);
			bool undo = check_random() % 2;

			for (int i = 0; i < steps; i++) {
				uint64_t at = next ? 1 + check_random() % next : 0;

				if (at && there[at] && check_random() % 2) {
					ordered_remove(&ordered, at);
					there[at] = false;
					done[i].sequence = at;
					done[i].inserted = false;
				} else {
					CHECK_EQ(ordered_reserve(&ordered, 1), 0);
					next++;
					ordered_insert(&ordered, next, &items[next]);
					there[next] = true;
					done[i].sequence = next;
					done[i].inserted = true;
				}
				CHECK(ordered.used <= ordered.room);
			}
			while (undo && steps-- > 0) {
				if (done[steps].inserted)
					ordered_remove(&ordered, done[steps].sequence);
				else
					ordered_insert(&ordered, done[steps].sequence,
						       &items[done[steps].sequence]);
				there[done[steps].sequence] = !done[steps].inserted;
				CHECK(ordered.used <= ordered.room);
			}
			uint64_t cursor = 0, wanted = 0;
			int *item;
			uint32_t count = 0;

			while ((item = ordered_next(&ordered, &cursor))) {
				for (wanted++; wanted <= next && !there[wanted]; wanted++)
					;
				CHECK_EQ(cursor, wanted);
				CHECK(item == &items[wanted]);
				count++;
			}
			CHECK_EQ(count, ordered.count);
			for (wanted++; wanted <= next; wanted++)
				CHECK(!there[wanted]);
		}
		ordered_end(&ordered);
	}
}

static void every_table_lists(void)
{
	struct fake *fake = begin();
	struct connection_table *connections = fake->views[1].connections;
	struct text text = {0};
	uint32_t index;

	op_service(&ops, VERB_ADD, web(), "rr");
	op_server(&ops, VERB_ADD, web(), "10.8.0.1", 80, FORWARD_FULLNAT, 1);
	op_flow(&ops, VERB_ADD, "dpdk1", "10.3.0.1");
	APPLY_OK();
	for (uint32_t i = 0; i < 3000; i++) {
		index = connection_take(connections);
		struct connection *c = connection_at(connections, index);

		c->protocol = PROTO_TCP;
		c->families = FAMILY_IPV4 << 4 | FAMILY_IPV4;
		c->client4 = htonl(0x01020300 + i);
		c->client_port = htons((uint16_t)(i + 1));
		inet_pton(AF_INET, "10.9.0.1", &c->virtual4);
		c->virtual_port = htons(80);
		c->state = TCP_ESTABLISHED;
		c->timeout = 100;
		c->server = 1;
		c->flags = CONNECTION_INDEXED_IN;
		c->control = CONN_NONE;
		CHECK_EQ(connection_insert(connections, index, 0), 0);
	}
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_CONNECTIONS, &text), 3000);
	Dpvsha__Get get = DPVSHA__GET__INIT;
	Dpvsha__ConnectionFilter filter = DPVSHA__CONNECTION_FILTER__INIT;

	get.table = DPVSHA__TABLE__TABLE_CONNECTIONS;
	filter.client_port = 17;
	get.connection = &filter;
	CHECK_EQ(dump_get(&model, &get, &text), 1);
	filter.client_port = 0;
	filter.client = bytes_of(&ops, "1.2.3.9");
	CHECK_EQ(dump_get(&model, &get, &text), 1);
	filter.client = bytes_of(&ops, "2001:db8::1");
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get.connection = NULL;
	get.service = web();
	CHECK_EQ(dump_get(&model, &get, &text), 3000);
	get.limit = 1001;
	CHECK_EQ(dump_get(&model, &get, &text), 1001);
	get.limit = 0;
	get.service = key_of(&ops, PROTO_UDP, "10.9.0.1", 80);
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get.service = NULL;
	get.per_worker = true;
	get.worker = 1;
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	get.worker = 2;
	CHECK_EQ(dump_get(&model, &get, &text), 3000);
	/* The others: rows, and no more than there are. */
	fake->views[0].counters.drops[DROP_NO_SERVICE] = 5;
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_COUNTERS, &text), 8 + DROP_REASON_COUNT);
	get = (Dpvsha__Get)DPVSHA__GET__INIT;
	get.table = DPVSHA__TABLE__TABLE_COUNTERS;
	get.per_worker = true;
	CHECK_EQ(dump_get(&model, &get, &text), 2 * (8 + DROP_REASON_COUNT));
	get.worker = 2;
	CHECK_EQ(dump_get(&model, &get, &text), 8 + DROP_REASON_COUNT);
	get.worker = 7;
	CHECK_EQ(dump_get(&model, &get, &text), 0);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_TEMPLATES, &text), 0);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_LINKS, &text), 2);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_WORKERS, &text), WORKERS + 1);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_TIMEOUTS, &text), 1);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_SETTINGS, &text), SETTINGS);
	CHECK(dump_table(&model, DPVSHA__TABLE__TABLE_MEMORY, &text) > 2 * WORKERS + 3);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_MULTICAST, &text), 2);
	CHECK_EQ(dump_table(&model, DPVSHA__TABLE__TABLE_FLOWS, &text), 1);
	free(text.bytes);
	end(fake);
}

int main(void)
{
	RUN(random_batches);
	RUN(errors_name_operation_object_and_next_step);
	RUN(a_switch_that_fails_undoes_the_batch);
	RUN(twins_are_looked_at_when_the_batch_stands);
	RUN(network_objects_are_restored_as_they_were);
	RUN(removed_servers_stay_until_their_last_connection);
	RUN(nothing_is_freed_before_the_workers_have_passed);
	RUN(local_addresses_stay_until_their_ports_are_free);
	RUN(a_service_counts_what_its_servers_counted);
	RUN(rates_come_close_to_the_truth);
	RUN(thresholds_take_effect_when_they_change);
	RUN(a_change_of_steering_is_remembered);
	RUN(one_weight_costs_one_schedule);
	RUN(tables_may_change_while_they_are_listed);
	RUN(a_service_goes_while_it_is_listed);
	RUN(orders);
	RUN(every_table_lists);
	RUN(ten_thousand_services);
	ops_end(&ops);
	return check_end();
}
