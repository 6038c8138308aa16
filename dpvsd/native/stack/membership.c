/* Telling switches and routers which multicast groups we listen to (RFC 3810): of each IPv6 address its
 * solicited-node group, without which a switch that snoops keeps neighbour solicitations from us. Groups of
 * the kernel twin are the kernel's to report. */
#include "master.h"
#include "mld.h"
#include "nd.h"

enum {
	ROBUSTNESS = 2, /* RFC 3810 9.1 */
	UNSOLICITED_INTERVAL_MS = 1000, /* 9.11 */
	OLD_QUERIER_MS = 125000, /* query interval (9.2): a querier of version 1 is believed for robustness
				    times this ... */
	OLD_QUERIER_MORE_MS = 10000, /* ... and its response interval (9.12) */
	PIECE_MS = 10, /* between two frames, or series of them, of many groups */
};

/* A group on a port. */
struct membership {
	struct registry_entry entry;
	union ip_addr group;
	uint32_t users; /* addresses; 0: has left, and is still to be told so */
	uint16_t port;
	uint8_t changes; /* how often the last change is still to be told */
	bool telling; /* now */
	bool asked; /* by a query that is not answered yet */
};

static uint64_t hash_of(uint16_t port, const union ip_addr *group)
{
	return mix64(ip_hash(group) ^ port, hash_secret[0]);
}

static struct membership *find(const struct net_master *master, uint16_t port, const union ip_addr *group)
{
	uint64_t hash = hash_of(port, group);

	for (struct registry_entry *entry = registry_first(&master->groups, hash); entry;
	     entry = entry->chain) {
		struct membership *m = (struct membership *)entry;

		if (entry->hash == hash && m->port == port && ip_equal(&m->group, group))
			return m;
	}
	return NULL;
}

static struct membership *next_of_port(const struct net_master *master, uint16_t port, uint64_t *cursor)
{
	struct membership *m;

	while ((m = (struct membership *)registry_next(&master->groups, cursor)))
		if (m->port == port)
			return m;
	return NULL;
}

/* Told behind this call, together with what else changes in it. */
static void changed(struct net_master *master, struct membership *m)
{
	m->changes = master->memberships[m->port].robustness;
	m->telling = true;
	timer_set(&master->timers, &master->memberships[m->port].telling, master->now);
}

static void join(struct net_master *master, uint16_t port, const union ip_addr *address)
{
	union ip_addr group = nd_solicited_node(address);
	struct membership *m = find(master, port, &group);

	if (!m) {
		m = memory_new(sizeof(*m));
		if (!m)
			return;
		m->group = group;
		m->port = port;
		if (registry_add(&master->groups, &m->entry, hash_of(port, &group)) < 0) {
			memory_free(m);
			return;
		}
	}
	if (m->users++ == 0)
		changed(master, m);
}

static void leave(struct net_master *master, uint16_t port, const union ip_addr *address)
{
	union ip_addr group = nd_solicited_node(address);
	struct membership *m = find(master, port, &group);

	if (m && m->users && --m->users == 0)
		changed(master, m);
}

void membership_add(struct net_master *master, const struct address *address)
{
	if (address->family == FAMILY_IPV6)
		join(master, address->port, &address->address);
}

void membership_remove(struct net_master *master, const struct address *address)
{
	if (address->family == FAMILY_IPV6)
		leave(master, address->port, &address->address);
}

void membership_port_changed(struct net_master *master, uint16_t port, bool went_up)
{
	struct port_membership *p = &master->memberships[port];
	const struct net_port *now = &master->net->ports[port];
	union ip_addr link_local = link_local_of(now->mac);
	struct membership *m;
	uint64_t cursor = 0;

	/* We answer for the address that the port forms of its MAC, too. */
	if (now->up && !ip_equal(&p->link_local, &link_local)) {
		if (!ip_is_zero(&p->link_local))
			leave(master, port, &p->link_local);
		p->link_local = link_local;
		join(master, port, &link_local);
	}
	if (!went_up)
		return;
	/* Whoever is at the other end may know nothing. */
	while ((m = next_of_port(master, port, &cursor)))
		changed(master, m);
}

/* ---- sending ---- */

static bool speaks_v1(const struct net_master *master, uint16_t port)
{
	return master->now < master->memberships[port].old_querier_until;
}

static void send_records(struct net_master *master, uint16_t port, const struct mld_record *records,
			 size_t count)
{
	const uint8_t *mac = master->net->ports[port].mac;
	union ip_addr source = link_local_of(mac);
	uint8_t frame[MLD_FRAME_SIZE];

	if (!speaks_v1(master, port)) {
		net_send(master, port, frame, mld_report_write(frame, mac, &source, records, count));
		return;
	}
	for (size_t i = 0; i < count; i++)
		net_send(master, port, frame,
			 mld_v1_write(frame, mac, &source,
				      records[i].kind == MLD_LEAVES ? MLD_DONE_V1 : MLD_REPORT_V1,
				      &records[i].group));
}

static void forget(struct net_master *master, struct membership *m)
{
	registry_remove(&master->groups, &m->entry);
	memory_free(m);
}

static void tell(void *context, struct timer *timer, uint64_t now)
{
	struct net_master *master = context;
	struct port_membership *p = container_of(timer, struct port_membership, telling);
	uint16_t port = (uint16_t)(p - master->memberships);
	struct mld_record records[MLD_RECORDS];
	bool again, more = false, another = false;
	struct membership *m;
	uint64_t cursor = 0;
	size_t count = 0;

	/* A port that comes up tells all. */
	if (!master->net->ports[port].up)
		return;
	again = p->repeat_at != 0 && now >= p->repeat_at;
	if (again)
		p->repeat_at = 0;
	while ((m = next_of_port(master, port, &cursor))) {
		m->telling |= again && m->changes > 0;
		if (m->telling && count < MLD_RECORDS) {
			records[count++] = (struct mld_record){.kind = m->users ? MLD_JOINS : MLD_LEAVES,
							       .group = m->group};
			m->telling = false;
			m->changes--;
		}
		more |= m->telling;
		another |= m->changes > 0;
		if (m->users == 0 && m->changes == 0)
			forget(master, m);
	}
	if (count > 0)
		send_records(master, port, records, count);
	if (another && p->repeat_at == 0)
		p->repeat_at = now + 1 + net_random(master) % UNSOLICITED_INTERVAL_MS;
	if (more)
		timer_set(&master->timers, timer, now + PIECE_MS);
	else if (another)
		timer_set(&master->timers, timer, p->repeat_at);
}

static void answer(void *context, struct timer *timer, uint64_t now)
{
	struct net_master *master = context;
	struct port_membership *p = container_of(timer, struct port_membership, answering);
	uint16_t port = (uint16_t)(p - master->memberships);
	struct mld_record records[MLD_RECORDS];
	struct membership *m;
	uint64_t cursor = 0;
	bool more = false;
	size_t count = 0;

	while ((m = next_of_port(master, port, &cursor))) {
		if (m->asked && m->users && count < MLD_RECORDS) {
			records[count++] = (struct mld_record){.kind = MLD_IS_MEMBER, .group = m->group};
			m->asked = false;
		}
		m->asked &= m->users != 0;
		more |= m->asked;
	}
	if (count > 0 && master->net->ports[port].up)
		send_records(master, port, records, count);
	if (more)
		timer_set(&master->timers, timer, now + PIECE_MS);
}

/* ---- being asked ---- */

bool membership_input(struct net_master *master, uint16_t port, const uint8_t *frame, size_t length)
{
	struct port_membership *p = &master->memberships[port];
	struct mld_query query;
	struct membership *m;
	uint64_t cursor = 0, due;
	bool all, any = false;

	if (!mld_query_parse(frame, length, &query))
		return false;
	if (query.robustness)
		p->robustness = query.robustness;
	if (query.version == 1)
		p->old_querier_until = master->now + (uint64_t)p->robustness * OLD_QUERIER_MS +
				       OLD_QUERIER_MORE_MS;
	all = ip_is_zero(&query.group);
	/* Of single sources nobody asks in vain: we listen to every one. */
	while ((m = next_of_port(master, port, &cursor)))
		if (m->users && (all || ip_equal(&m->group, &query.group)))
			m->asked = any = true;
	if (!any)
		return true;
	/* Together with what was asked before, when that is sooner. */
	due = master->now + net_random(master) % (query.delay_ms + 1);
	if (p->answering.position == 0 || p->answering.due > due)
		timer_set(&master->timers, &p->answering, due);
	return true;
}

/* ---- life ---- */

int memberships_init(struct net_master *master)
{
	for (unsigned int i = 0; i < MAX_PORTS; i++) {
		struct port_membership *p = &master->memberships[i];

		p->telling.fire = tell;
		p->answering.fire = answer;
		p->robustness = ROBUSTNESS;
		if (timers_reserve(&master->timers) < 0 || timers_reserve(&master->timers) < 0)
			return -1;
	}
	return 0;
}

void memberships_clear(struct net_master *master)
{
	struct registry_entry *entry;
	uint64_t cursor = 0;

	while ((entry = registry_next(&master->groups, &cursor)))
		memory_free(entry);
	registry_clear(&master->groups);
}
