#include "connect.h"

#include <netinet/in.h>

#include "parse.h"
#include "steer.h"
#include "tcp.h"

enum {
	TEMPLATE_RENEWAL_SECONDS = 60, /* a template lives at least as long as one of its connections (as in
					  LVS) */
	LOCAL_TRIES = 64, /* local addresses looked at for a free port */
	SECONDS_MAX = 31 * 24 * 3600,
};

static uint32_t ticks(uint32_t seconds)
{
	return RTE_MIN(RTE_MAX(seconds, 1u), (uint32_t)SECONDS_MAX) * TICKS_PER_SECOND;
}

/* Of what a local port is taken towards. Not of the server's own port: one that takes any port may meet
 * another, of one port, at the same address. */
static uint32_t destination_hash(const struct connection *c)
{
	union ip_addr address = connection_server_family(c) == FAMILY_IPV4 ? ip_from_v4(c->server4)
									   : c->server6;
	bool has_ports = c->protocol == IPPROTO_TCP || c->protocol == IPPROTO_UDP;

	return (
	    uint32_t)(mix64(ip_hash(&address), (has_ports ? (uint64_t)c->server_port : 0) ^ hash_secret[1]) >>
		      32);
}

/* ---- counting ---- */

void server_count_sum(const struct director *director, uint32_t server, struct server_count *sum)
{
	memset(sum, 0, sizeof(*sum));
	for (unsigned int i = 0; i < director->steering.workers; i++) {
		const struct server_count *count = &director->workers[i]->servers[server];

		sum->active += __atomic_load_n(&count->active, __ATOMIC_RELAXED);
		sum->inactive += __atomic_load_n(&count->inactive, __ATOMIC_RELAXED);
		sum->persistent += __atomic_load_n(&count->persistent, __ATOMIC_RELAXED);
		sum->connections += __atomic_load_n(&count->connections, __ATOMIC_RELAXED);
		sum->in_packets += __atomic_load_n(&count->in_packets, __ATOMIC_RELAXED);
		sum->out_packets += __atomic_load_n(&count->out_packets, __ATOMIC_RELAXED);
		sum->in_bytes += __atomic_load_n(&count->in_bytes, __ATOMIC_RELAXED);
		sum->out_bytes += __atomic_load_n(&count->out_bytes, __ATOMIC_RELAXED);
	}
}

void steering_divide(struct director *director, unsigned int workers)
{
	struct steering *s = &director->steering;

	s->workers = (uint16_t)workers;
	s->shares = (uint16_t)rte_align32pow2(workers);
	for (unsigned int w = 0; w < workers; w++)
		director->workers[w]->share_count = 0;
	for (unsigned int i = 0; i < s->shares; i++) {
		struct worker_view *view = director->workers[i % workers];

		s->owner[i] = (uint8_t)(i % workers);
		view->shares[view->share_count++] = (uint8_t)i;
	}
}

/* Thresholds count connections over all workers, and are only looked at when one begins or ends. */
static void threshold_begin(const struct director *director, struct server *server)
{
	struct server_count sum;

	server_count_sum(director, server->index, &sum);
	if (sum.active + sum.inactive >= server->upper)
		__atomic_store_n(&server->overloaded, 1, __ATOMIC_RELAXED);
}

static void threshold_end(const struct director *director, struct server *server)
{
	uint32_t lower = server->lower, upper = server->upper, now;
	struct server_count sum;

	server_count_sum(director, server->index, &sum);
	now = sum.active + sum.inactive;
	/* Without a lower threshold three quarters of the upper one, as LVS has it. */
	if (upper == 0 || (lower ? now < lower : now < upper - upper / 4))
		__atomic_store_n(&server->overloaded, 0, __ATOMIC_RELAXED);
}

/* ---- persistence ---- */

/* A template is a connection from port 0 of a client network to a service. Not to its number, which another
 * has when it is gone; one that comes back finds its clients again, as in LVS. */
static void template_key(const struct service *service, const struct packet *p, struct flow_key *key)
{
	memset(key, 0, sizeof(*key));
	key->source = p->key.source;
	if (service->persistence_prefix)
		ip_mask(&key->source, service->persistence_prefix);
	key->destination = service->key.address;
	key->destination_port = service->key.port;
	key->protocol = service->key.protocol;
	key->family = p->family;
}

/* A stale server must not keep its clients: removed, or without weight where templates of such are to expire.
 */
static bool template_usable(const struct director *director, const struct server *server)
{
	if (server == NULL || (__atomic_load_n(&server->flags, __ATOMIC_RELAXED) & SERVER_REMOVED))
		return false;
	if (__atomic_load_n(&server->weight, __ATOMIC_RELAXED) > 0)
		return true;
	return !director->expire_quiescent && !(server->flags & SERVER_EXPIRE_QUIESCENT);
}

static void template_close(struct worker_view *view, uint32_t index)
{
	const struct connection *t = connection_at(view->templates, index);
	struct server_count *count = &view->servers[t->server];

	count->persistent--;
	connection_remove(view->templates, index);
}

/* `adjacency` of a template counts its connections: two 16-bit halves of one number. */
static uint32_t template_users(const struct connection *t)
{
	return (uint32_t)t->adjacency[1] << 16 | t->adjacency[0];
}

static void template_users_set(struct connection *t, uint32_t users)
{
	t->adjacency[0] = (uint16_t)users;
	t->adjacency[1] = (uint16_t)(users >> 16);
}

/* The server that this client keeps, and its template; NULL: none yet (*template CONN_NONE). */
static struct server *template_find(const struct director *director, struct worker_view *view,
				    const struct service *service, const struct packet *p, uint32_t *template)
{
	struct flow_key key;
	struct server *server;
	uint32_t found;

	template_key(service, p, &key);
	found = connection_find(view->templates, &key);
	*template = CONN_NONE;
	if (found == CONN_NONE)
		return NULL;
	server = subscribe(director->servers[connection_at(view->templates, found >> 1)->server]);
	if (!template_usable(director, server)) {
		/* It answers to nobody any more, and goes when its last connection has gone. */
		connection_retire(view->templates, found >> 1);
		connection_set_timeout(view->templates, found >> 1, 1, view->now);
		return NULL;
	}
	*template = found >> 1;
	return server;
}

static uint32_t template_open(struct worker_view *view, const struct service *service, const struct packet *p,
			      const struct server *server)
{
	uint32_t index = connection_take(view->templates);
	struct flow_key key;
	struct connection *t;

	if (index == CONN_NONE)
		return CONN_NONE;
	t = connection_at(view->templates, index);
	template_key(service, p, &key);
	t->families = (uint8_t)(p->family << 4 | p->family);
	t->protocol = key.protocol;
	t->virtual_port = key.destination_port;
	memset(&t->client6, 0, sizeof(union ip_addr) * 4);
	if (p->family == FAMILY_IPV4) {
		t->client4 = key.source.v4;
		t->virtual4 = key.destination.v4;
	} else {
		t->client6 = key.source;
		t->virtual6 = key.destination;
	}
	t->server = server->index;
	t->timeout = ticks(service->persistence);
	t->flags = CONNECTION_INDEXED_IN;
	if (connection_insert(view->templates, index, view->now) < 0) {
		connection_give(view->templates, index);
		return CONN_NONE;
	}
	view->servers[server->index].persistent++;
	return index;
}

/* ---- opening ---- */

/* Gives the connection a source towards its FullNAT server: one of the service's local addresses, in turn,
 * with a port of a share that this worker owns. */
static bool bind_local(struct worker_view *view, struct service *service, const struct server *server,
		       struct connection *c)
{
	const struct local_set *set = subscribe(service->locals);
	struct schedule_cursor *cursor = &view->cursors[service->index];
	uint32_t hash = destination_hash(c), tries;

	if (set == NULL || set->count == 0)
		return false;
	tries = RTE_MIN(set->count, (uint32_t)LOCAL_TRIES);
	for (uint32_t i = 0; i < tries; i++) {
		struct local_address *local = set->addresses[cursor->local++ % set->count];

		if (local->family != server->family) {
			if (tries < set->count)
				tries++;
			continue;
		}
		for (uint16_t s = 0; s < view->share_count; s++) {
			uint8_t share = view->shares[view->share_next++ % view->share_count];
			uint16_t port = local_port_take(local, share, hash);

			if (port == 0)
				continue;
			c->local_port = rte_cpu_to_be_16(port);
			if (server->family == FAMILY_IPV4)
				c->local4 = local->address.v4;
			else
				c->local6 = local->address;
			return true;
		}
	}
	return false;
}

static void release_local(const struct director *director, const struct connection *c)
{
	const struct local_table *locals = subscribe(director->locals);
	struct local_address *local;
	union ip_addr address;

	if (c->forward != FORWARD_FULLNAT || locals == NULL)
		return;
	address = connection_server_family(c) == FAMILY_IPV4 ? ip_from_v4(c->local4) : c->local6;
	local = local_table_lookup(locals, connection_server_family(c), &address);
	if (local != NULL)
		local_port_give(local, rte_be_to_cpu_16(c->local_port), destination_hash(c));
}

static bool client_admitted(const struct service *service, const struct packet *p)
{
	const struct client_list *deny = subscribe(service->deny), *allow = subscribe(service->allow);

	if (deny != NULL && client_list_has(deny, &p->key.source))
		return false;
	return allow == NULL || client_list_has(allow, &p->key.source);
}

/* Only what can be the beginning of a conversation may open a connection. */
static bool may_open(const struct packet *p)
{
	if (p->flags & (PACKET_ICMP_ERROR | PACKET_FRAGMENT))
		return false;
	switch (p->protocol) {
	case IPPROTO_TCP: {
		uint8_t flags = p->l3[p->l4 + 13];

		return (flags & (TCP_FLAG_SYN | TCP_FLAG_ACK | TCP_FLAG_RST | TCP_FLAG_FIN)) == TCP_FLAG_SYN;
	}
	case IPPROTO_UDP:
		return true;
	case IPPROTO_ICMP:
		return p->l3[p->l4] == ICMP4_ECHO;
	case IPPROTO_ICMPV6:
		return p->l3[p->l4] == ICMP6_ECHO;
	}
	return false;
}

static struct server *choose_server(const struct director *director, struct worker_view *view,
				    struct service *service, const struct packet *p, uint32_t *template)
{
	const struct schedule *schedule = subscribe(service->schedule);
	struct server *server;
	struct schedule_question question = {
	    .family = (enum family)p->family,
	    .client = &p->key.source,
	    .destination = &p->key.destination,
	    .client_port = p->key.source_port,
	    .destination_port = p->key.destination_port,
	    .counts = view->servers,
	    .worker = view->number,
	    .workers = director->steering.workers,
	};

	*template = CONN_NONE;
	if (service->persistence && view->templates != NULL) {
		server = template_find(director, view, service, p, template);
		if (server != NULL)
			return server;
	}
	if (schedule == NULL)
		return NULL;
	server = schedule_pick(schedule, &view->cursors[service->index], &question);
	if (server != NULL && service->persistence && view->templates != NULL)
		*template = template_open(view, service, p, server);
	return server;
}

/* A one-packet connection behind NAT is known by its way back alone, which the next packet of this client may
 * have as well: one record is enough for all of them. Takes `index` back when there is one already.
 * @return the connection that serves the packet */
static uint32_t one_packet_shared(const struct director *director, struct worker_view *view, uint32_t index)
{
	struct connection *c = connection_at(view->connections, index), *there;
	struct flow_key back, asked, asked_before;
	uint32_t found;

	connection_key(c, DIRECTION_OUT, &back);
	found = connection_find(view->connections, &back);
	if (found == CONN_NONE)
		return index;
	there = connection_at(view->connections, found >> 1);
	if (!(there->flags & CONNECTION_ONE_PACKET)) {
		/* The way back is that of a lasting connection. */
		c->flags &= (uint16_t)~CONNECTION_INDEXED_OUT;
		return index;
	}
	connection_key(c, DIRECTION_IN, &asked);
	connection_key(there, DIRECTION_IN, &asked_before);
	if (there->server == c->server && memcmp(&asked, &asked_before, sizeof(asked)) == 0) {
		connection_give(view->connections, index);
		there->last_seen = view->now;
		return found >> 1;
	}
	/* The same client, by another virtual server: answers belong to what was asked last. */
	connection_close(director, view, found >> 1);
	return index;
}

uint32_t connection_open(const struct director *director, struct worker_view *view, struct service *service,
			 struct packet *p)
{
	struct server *server;
	struct connection *c;
	uint32_t index, template, seconds;

	if (!may_open(p)) {
		packet_drop(p, p->flags & PACKET_ICMP_ERROR ? DROP_ICMP_UNRELATED : DROP_NO_CONNECTION);
		return CONN_NONE;
	}
	if (!client_admitted(service, p)) {
		packet_drop(p, DROP_DENIED);
		return CONN_NONE;
	}
	server = choose_server(director, view, service, p, &template);
	if (server == NULL) {
		packet_drop(p, DROP_NO_SERVER);
		return CONN_NONE;
	}
	/* Tunnel and SNAT have their place here. NAT64 needs FullNAT between families. */
	if (server->forward > FORWARD_DR || server->family != p->family) {
		packet_drop(p, DROP_UNSUPPORTED);
		return CONN_NONE;
	}
	index = connection_take(view->connections);
	if (index == CONN_NONE) {
		packet_drop(p, DROP_CONNECTIONS_FULL);
		return CONN_NONE;
	}
	c = connection_at(view->connections, index);
	c->protocol = p->protocol;
	c->families = (uint8_t)(p->family << 4 | server->family);
	c->forward = server->forward;
	c->server = server->index;
	c->client_port = p->key.source_port;
	c->virtual_port = p->key.destination_port;
	/* A server of port 0 takes any port of a service that takes any port. */
	c->server_port = server->port ? server->port : p->key.destination_port;
	if (p->family == FAMILY_IPV4) {
		c->client4 = p->key.source.v4;
		c->virtual4 = p->key.destination.v4;
		c->server4 = server->address.v4;
	} else {
		c->client6 = p->key.source;
		c->virtual6 = p->key.destination;
		c->server6 = server->address;
	}
	c->flags = CONNECTION_INDEXED_IN | CONNECTION_INDEXED_OUT;
	switch (server->forward) {
	case FORWARD_FULLNAT:
		if (!bind_local(view, service, server, c)) {
			connection_give(view->connections, index);
			packet_drop(p, DROP_NO_LOCAL_PORT);
			return CONN_NONE;
		}
		if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
			c->server_port = c->local_port; /* one identifier on each side */
		break;
	case FORWARD_NAT:
		c->local_port = c->client_port;
		c->local4 = c->client4;
		c->local6 = c->client6;
		if (p->protocol == IPPROTO_ICMP || p->protocol == IPPROTO_ICMPV6)
			c->server_port = c->client_port;
		break;
	case FORWARD_DR:
		/* The server answers the client itself. */
		c->local_port = c->client_port;
		c->local4 = c->client4;
		c->local6 = c->client6;
		c->flags = CONNECTION_INDEXED_IN;
		break;
	}
	if ((service->flags & SERVICE_ONE_PACKET) && p->protocol == IPPROTO_UDP) {
		/* Each packet is scheduled anew; only the way back is remembered. */
		c->flags = (uint16_t)((c->flags & CONNECTION_INDEXED_OUT) | CONNECTION_ONE_PACKET);
		seconds = director->timeouts.udp[UDP_LAST];
		if (server->forward == FORWARD_NAT) {
			uint32_t shared = one_packet_shared(director, view, index);

			if (shared != index) {
				view->servers[server->index].connections++;
				return shared;
			}
		}
	} else {
		seconds = director->timeouts.connection_init;
	}
	c->timeout = ticks(seconds);
	if (connection_insert(view->connections, index, view->now) < 0) {
		release_local(director, c);
		connection_give(view->connections, index);
		packet_drop(p, DROP_CONNECTIONS_FULL);
		return CONN_NONE;
	}
	if (template != CONN_NONE) {
		struct connection *t = connection_at(view->templates, template);

		c->control = template;
		template_users_set(t, template_users(t) + 1);
		t->last_seen = view->now;
	}
	view->servers[server->index].inactive++;
	view->servers[server->index].connections++;
	if (server->upper)
		threshold_begin(director, server);
	return index;
}

void connection_close(const struct director *director, struct worker_view *view, uint32_t index)
{
	struct connection *c = connection_at(view->connections, index);
	struct server *server = subscribe(director->servers[c->server]);
	struct server_count *count = &view->servers[c->server];

	release_local(director, c);
	if (c->control != CONN_NONE) {
		struct connection *t = connection_at(view->templates, c->control);

		template_users_set(t, template_users(t) - 1);
	}
	connection_remove(view->connections, index);
	/* Last, since the master frees the server when it has no connections any more. */
	if (c->flags & CONNECTION_ACTIVE)
		__atomic_store_n(&count->active, count->active - 1, __ATOMIC_RELEASE);
	else
		__atomic_store_n(&count->inactive, count->inactive - 1, __ATOMIC_RELEASE);
	if (server != NULL && __atomic_load_n(&server->overloaded, __ATOMIC_RELAXED))
		threshold_end(director, server);
}

void connection_enter(const struct director *director, struct worker_view *view, uint32_t index,
		      uint8_t state)
{
	struct connection *c = connection_at(view->connections, index);
	struct server_count *count = &view->servers[c->server];
	const struct timeouts *timeouts = &director->timeouts;
	bool active, tcp = c->protocol == IPPROTO_TCP, udp = c->protocol == IPPROTO_UDP;
	uint32_t seconds, of_service = 0;

	c->state = state;
	active = tcp ? state == TCP_ESTABLISHED : udp && state == UDP_NORMAL;
	if (active != ((c->flags & CONNECTION_ACTIVE) != 0)) {
		count->active += active ? 1 : -1;
		count->inactive += active ? -1 : 1;
		c->flags ^= CONNECTION_ACTIVE;
	}
	if (active) {
		const struct server *server = subscribe(director->servers[c->server]);

		if (server != NULL)
			of_service = server->connection_timeout;
	}
	seconds = tcp ? timeouts->tcp[state] : udp ? timeouts->udp[state] : timeouts->icmp;
	connection_set_timeout(view->connections, index, ticks(of_service ? of_service : seconds), view->now);
}

/* ---- time ---- */

struct expiry {
	const struct director *director;
	struct worker_view *view;
};

static void expired(void *context, uint32_t index)
{
	struct expiry *e = context;

	connection_close(e->director, e->view, index);
}

static void template_expired(void *context, uint32_t index)
{
	struct expiry *e = context;
	struct connection *t = connection_at(e->view->templates, index);

	if (template_users(t) > 0) {
		t->last_seen = e->view->now;
		t->timeout = ticks(TEMPLATE_RENEWAL_SECONDS);
		return;
	}
	template_close(e->view, index);
}

void connections_tick(const struct director *director, struct worker_view *view, unsigned int budget)
{
	struct expiry e = {director, view};

	connection_expire(view->connections, view->now, budget, expired, &e);
	if (view->templates != NULL)
		connection_expire(view->templates, view->now, budget, template_expired, &e);
}
