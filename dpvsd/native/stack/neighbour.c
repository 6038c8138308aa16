#include "neighbour.h"
#include "master.h"

/* ---- the workers' table ---- */

#define REMOVED ((struct adjacency *)1)

static uint64_t neighbour_hash(uint16_t port, enum family family, const union ip_addr *address)
{
	return ip_hash(address) + ((uint64_t)port << 8 | family) * 0x9e3779b97f4a7c15ull;
}

static inline bool adjacency_is(const struct adjacency *adjacency, uint16_t port, enum family family,
				const union ip_addr *address)
{
	return adjacency->port == port && adjacency->family == family &&
	       ip_equal(&adjacency->next_hop, address);
}

struct adjacency *neighbour_lookup(const struct net *net, uint16_t port, enum family family,
				   const union ip_addr *address)
{
	const struct neighbour_table *table = subscribe(net->neighbours);
	uint64_t at = neighbour_hash(port, family, address);

	if (!table)
		return NULL;
	for (;; at++) {
		struct adjacency *adjacency = subscribe(table->slots[at & table->mask]);

		if (!adjacency)
			return NULL;
		if (adjacency != REMOVED && adjacency_is(adjacency, port, family, address))
			return adjacency;
	}
}

/* The slot that holds it, or the empty one at which a search ends. */
static struct adjacency **slot_of(struct neighbour_table *table, const struct adjacency *wanted)
{
	uint64_t at = neighbour_hash(wanted->port, (enum family)wanted->family, &wanted->next_hop);

	for (;; at++) {
		struct adjacency **slot = &table->slots[at & table->mask];

		if (!*slot ||
		    (*slot != REMOVED &&
		     adjacency_is(*slot, wanted->port, (enum family)wanted->family, &wanted->next_hop)))
			return slot;
	}
}

/* Another table without removed slots and with room, published. */
static int rebuild_table(struct net_master *master)
{
	struct neighbour_table *old = master->net->neighbours, *table;
	uint32_t live = 0, size;

	for (uint32_t i = 0; old && i <= old->mask; i++)
		live += old->slots[i] && old->slots[i] != REMOVED;
	size = rte_align32pow2(RTE_MAX(live, 16u) * 4);
	table = memory_new(sizeof(*table) + size * sizeof(struct adjacency *));
	if (!table)
		return -1;
	table->mask = size - 1;
	for (uint32_t i = 0; old && i <= old->mask; i++)
		if (old->slots[i] && old->slots[i] != REMOVED) {
			*slot_of(table, old->slots[i]) = old->slots[i];
			table->used++;
		}
	publish(master->net->neighbours, table);
	rcu_free(old, memory_free);
	return 0;
}

/* ---- adjacencies ---- */

/* There is one: neighbours are fewer than adjacencies. */
static uint32_t take_index(struct neighbours *all)
{
	uint32_t index;

	if (all->unused_index < MAX_ADJACENCIES)
		return all->unused_index++;
	index = all->free_indices[all->free_first];
	all->free_first = (all->free_first + 1) % MAX_ADJACENCIES;
	all->free_count--;
	return index;
}

/* Publishes what the master knows about a neighbour, in place of what it knew before. */
static int adjacency_publish(struct net_master *master, struct neighbour *n)
{
	struct net *net = master->net;
	struct neighbours *all = &master->neighbours;
	struct neighbour_table *table = net->neighbours;
	struct adjacency *old = n->adjacency, *fresh = memory_new(sizeof(*fresh)), **slot;

	if (!fresh)
		return -1;
	if (!old && (table->used + 1) * 2 > table->mask + 1) {
		if (rebuild_table(master) < 0) {
			memory_free(fresh);
			return -1;
		}
		table = net->neighbours;
	}
	memcpy(fresh->ether, n->mac, 6);
	memcpy(fresh->ether + 6, net->ports[n->port].mac, 6);
	fresh->ether[12] = n->family == FAMILY_IPV6 ? 0x86 : 0x08;
	fresh->ether[13] = n->family == FAMILY_IPV6 ? 0xdd : 0x00;
	fresh->port = n->port;
	fresh->mtu = net->ports[n->port].mtu;
	fresh->family = n->family;
	fresh->next_hop = n->address;
	if (old) {
		fresh->index = old->index;
		fresh->used = __atomic_load_n(&old->used, __ATOMIC_RELAXED);
	} else {
		fresh->index = take_index(all);
		table->used++;
	}
	slot = slot_of(table, fresh);
	publish(*slot, fresh);
	publish(net->adjacencies[fresh->index], fresh);
	n->adjacency = fresh;
	rcu_free(old, memory_free);
	return 0;
}

static void adjacency_withdraw(struct net_master *master, struct neighbour *n)
{
	struct neighbours *all = &master->neighbours;
	struct adjacency *adjacency = n->adjacency;

	if (!adjacency)
		return;
	publish(*slot_of(master->net->neighbours, adjacency), REMOVED);
	publish(master->net->adjacencies[adjacency->index], (struct adjacency *)NULL);
	all->free_indices[(all->free_first + all->free_count) % MAX_ADJACENCIES] = adjacency->index;
	all->free_count++;
	n->adjacency = NULL;
	rcu_free(adjacency, memory_free);
	master->generation_due = true;
}

static bool take_used(const struct neighbour *n)
{
	if (!n->adjacency || !__atomic_load_n(&n->adjacency->used, __ATOMIC_RELAXED))
		return false;
	__atomic_store_n(&n->adjacency->used, 0, __ATOMIC_RELAXED);
	return true;
}

/* ---- packets that wait ---- */

static void give_up_all(struct net_master *master, struct neighbour *n, enum drop_reason reason)
{
	struct waiting *waiting;

	STAILQ_FOREACH(waiting, &n->queue, link)
	waiting->reason = reason;
	STAILQ_CONCAT(&master->neighbours.given_up, &n->queue);
	n->queued = 0;
}

static void release_all(struct net_master *master, struct neighbour *n)
{
	struct neighbours *all = &master->neighbours;
	struct waiting *waiting;

	while ((waiting = STAILQ_FIRST(&n->queue))) {
		STAILQ_REMOVE_HEAD(&n->queue, link);
		STAILQ_INSERT_TAIL(&all->free_waiting, waiting, link);
		master->output.release(master->output.context, waiting->handle, n->adjacency);
	}
	n->queued = 0;
}

static void give_up_oldest(struct net_master *master, struct neighbour *n)
{
	struct waiting *oldest = STAILQ_FIRST(&n->queue);

	STAILQ_REMOVE_HEAD(&n->queue, link);
	oldest->reason = DROP_NEIGHBOUR_QUEUE;
	STAILQ_INSERT_TAIL(&master->neighbours.given_up, oldest, link);
	n->queued--;
}

/* False when there is no record left: the packet does not wait. */
static bool enqueue(struct net_master *master, struct neighbour *n, void *handle)
{
	struct neighbours *all = &master->neighbours;
	struct waiting *waiting = STAILQ_FIRST(&all->free_waiting);

	if (!waiting)
		return false;
	STAILQ_REMOVE_HEAD(&all->free_waiting, link);
	waiting->handle = handle;
	STAILQ_INSERT_TAIL(&n->queue, waiting, link);
	/* RFC 4861 7.2.2: when the queue overflows, the oldest packet goes. */
	if (++n->queued > master->limits.unresolved_queue)
		give_up_oldest(master, n);
	return true;
}

void neighbours_settle(struct net_master *master)
{
	struct neighbours *all = &master->neighbours;
	struct waiting *waiting;

	/* give_up may call the stack, which ends here again: the outer call does the work. */
	if (all->giving_up)
		return;
	all->giving_up = true;
	while ((waiting = STAILQ_FIRST(&all->given_up))) {
		void *handle = waiting->handle;
		enum drop_reason reason = waiting->reason;

		STAILQ_REMOVE_HEAD(&all->given_up, link);
		STAILQ_INSERT_TAIL(&all->free_waiting, waiting, link);
		master->output.give_up(master->output.context, handle, reason);
	}
	all->giving_up = false;
}

/* ---- states ---- */

static void enter(struct net_master *master, struct neighbour *n, enum neighbour_state state)
{
	struct neighbours *all = &master->neighbours;

	TAILQ_REMOVE(&all->states[n->state], n, link);
	all->state_counts[n->state]--;
	n->state = (uint8_t)state;
	TAILQ_INSERT_TAIL(&all->states[state], n, link);
	all->state_counts[state]++;
}

static void arm(struct net_master *master, struct neighbour *n, uint64_t due)
{
	timer_set(&master->timers, &n->timer, due);
}

static void enter_reachable(struct net_master *master, struct neighbour *n, uint64_t now)
{
	uint64_t base = master->limits.reachable_ms;

	enter(master, n, NEIGHBOUR_REACHABLE);
	/* RFC 4861 6.3.2: between half and one and a half of it, so that neighbours do not march in step. */
	arm(master, n, now + RTE_MAX(base / 2 + net_random(master) % (base + 1), 1u));
}

/* Stale ones are looked at together, once a period. */
static void arm_poll(struct net_master *master, struct neighbour *n, uint64_t now)
{
	arm(master, n, (now / POLL_MS + 1) * POLL_MS);
}

static void enter_stale(struct net_master *master, struct neighbour *n, uint64_t now)
{
	enter(master, n, NEIGHBOUR_STALE);
	(void)take_used(n);
	n->used = now;
	arm_poll(master, n, now);
}

static void ask(struct net_master *master, struct neighbour *n, uint64_t now)
{
	n->asked++;
	solicit(master, n, n->state == NEIGHBOUR_PROBE ? n->mac : NULL);
	arm(master, n, now + RETRANSMIT_MS);
}

static void start_asking(struct net_master *master, struct neighbour *n, enum neighbour_state state,
			 uint64_t now)
{
	enter(master, n, state);
	n->asked = 0;
	ask(master, n, now);
}

static void fail(struct net_master *master, struct neighbour *n, uint64_t now)
{
	enter(master, n, NEIGHBOUR_FAILED);
	adjacency_withdraw(master, n);
	give_up_all(master, n, DROP_UNRESOLVED);
	arm(master, n, now + master->limits.reachable_ms);
}

static void neighbour_remove(struct net_master *master, struct neighbour *n)
{
	struct neighbours *all = &master->neighbours;

	adjacency_withdraw(master, n);
	give_up_all(master, n, DROP_UNRESOLVED);
	TAILQ_REMOVE(&all->states[n->state], n, link);
	all->state_counts[n->state]--;
	registry_remove(&all->all, &n->entry);
	timers_unreserve(&master->timers, &n->timer);
	memory_free(n);
}

static void fire(void *context, struct timer *timer, uint64_t now)
{
	struct net_master *master = context;
	struct neighbour *n = container_of(timer, struct neighbour, timer);

	switch ((enum neighbour_state)n->state) {
	case NEIGHBOUR_INCOMPLETE:
		if (n->asked < MULTICAST_SOLICITATIONS)
			ask(master, n, now);
		else
			fail(master, n, now);
		break;
	case NEIGHBOUR_REACHABLE:
		enter_stale(master, n, now);
		break;
	case NEIGHBOUR_STALE:
		if (take_used(n)) {
			enter(master, n, NEIGHBOUR_DELAY);
			arm(master, n, now + DELAY_MS);
		} else if (now - n->used >= STALE_LIFETIME_MS) {
			neighbour_remove(master, n);
		} else {
			arm_poll(master, n, now);
		}
		break;
	case NEIGHBOUR_DELAY:
		start_asking(master, n, NEIGHBOUR_PROBE, now);
		break;
	case NEIGHBOUR_PROBE:
		if (n->asked < UNICAST_SOLICITATIONS)
			ask(master, n, now);
		else
			fail(master, n, now);
		break;
	case NEIGHBOUR_FAILED:
		neighbour_remove(master, n);
		break;
	case NEIGHBOUR_PERMANENT:
	case NEIGHBOUR_STATE_COUNT:
		break;
	}
}

/* ---- entries ---- */

struct neighbour *neighbour_find(const struct net_master *master, uint16_t port, enum family family,
				 const union ip_addr *address)
{
	uint64_t hash = neighbour_hash(port, family, address);

	for (struct registry_entry *entry = registry_first(&master->neighbours.all, hash); entry;
	     entry = entry->chain) {
		struct neighbour *n = (struct neighbour *)entry;

		if (entry->hash == hash && n->port == port && n->family == family &&
		    ip_equal(&n->address, address))
			return n;
	}
	return NULL;
}

/* The entry that is missed least: one that failed, then the oldest question when questions take more than
 * half of the table (somebody scans a network through us), then the one that is stale for longest. NULL when
 * all are in use. */
static struct neighbour *least_useful(struct net_master *master)
{
	struct neighbours *all = &master->neighbours;
	struct neighbour *n;
	unsigned int looked = 0;

	n = TAILQ_FIRST(&all->states[NEIGHBOUR_FAILED]);
	if (n)
		return n;
	if (all->state_counts[NEIGHBOUR_INCOMPLETE] > master->limits.max_neighbours / 2)
		return TAILQ_FIRST(&all->states[NEIGHBOUR_INCOMPLETE]);
	TAILQ_FOREACH(n, &all->states[NEIGHBOUR_STALE], link)
	{
		if (!__atomic_load_n(&n->adjacency->used, __ATOMIC_RELAXED))
			return n;
		if (++looked == EVICTION_LOOKS)
			break;
	}
	return TAILQ_FIRST(&all->states[NEIGHBOUR_INCOMPLETE]);
}

static struct neighbour *neighbour_add(struct net_master *master, uint16_t port, enum family family,
				       const union ip_addr *address, enum neighbour_state state, bool evict)
{
	struct neighbours *all = &master->neighbours;
	struct neighbour *n;

	if (all->all.count >= master->limits.max_neighbours) {
		struct neighbour *victim = evict ? least_useful(master) : NULL;

		if (!victim)
			return NULL;
		neighbour_remove(master, victim);
	}
	n = memory_new(sizeof(*n));
	if (!n || timers_reserve(&master->timers) < 0) {
		memory_free(n);
		return NULL;
	}
	n->address = *address;
	n->port = port;
	n->family = (uint8_t)family;
	n->state = (uint8_t)state;
	n->timer.fire = fire;
	STAILQ_INIT(&n->queue);
	if (registry_add(&all->all, &n->entry, neighbour_hash(port, family, address)) < 0) {
		timers_unreserve(&master->timers, &n->timer);
		memory_free(n);
		return NULL;
	}
	TAILQ_INSERT_TAIL(&all->states[state], n, link);
	all->state_counts[state]++;
	return n;
}

static void set_mac(struct net_master *master, struct neighbour *n, const uint8_t mac[6], uint64_t now)
{
	memcpy(n->mac, mac, 6);
	n->confirmed = now;
	if (adjacency_publish(master, n) < 0)
		fail(master, n, now);
}

/* RFC 4861 7.2.5, and what ARP says in the same words. */
void neighbour_learn(struct net_master *master, uint16_t port, enum family family,
		     const union ip_addr *address, const struct neighbour_news *news, uint64_t now)
{
	struct neighbour *n = neighbour_find(master, port, family, address);
	bool differs;

	if (!n) {
		if (!news->create || !news->has_mac)
			return;
		n = neighbour_add(master, port, family, address, NEIGHBOUR_STALE, false);
		if (!n)
			return;
		arm_poll(master, n, now);
		n->used = now;
		set_mac(master, n, news->mac, now);
		return;
	}
	if (n->state == NEIGHBOUR_PERMANENT)
		return;
	if (!n->adjacency) {
		if (!news->has_mac)
			return;
		set_mac(master, n, news->mac, now);
		if (!n->adjacency)
			return;
		if (news->solicited)
			enter_reachable(master, n, now);
		else
			enter_stale(master, n, now);
		release_all(master, n);
		return;
	}
	differs = news->has_mac && memcmp(n->mac, news->mac, 6) != 0;
	if (differs && !news->override) {
		if (n->state == NEIGHBOUR_REACHABLE)
			enter_stale(master, n, now);
		return;
	}
	if (differs)
		set_mac(master, n, news->mac, now);
	if (!n->adjacency)
		return;
	if (news->solicited) {
		n->confirmed = now;
		enter_reachable(master, n, now);
	} else if (differs) {
		enter_stale(master, n, now);
	}
}

void net_resolve(struct net_master *master, uint16_t port, enum family family, const union ip_addr *next_hop,
		 void *handle, uint64_t now_ms)
{
	enum drop_reason refused = DROP_UNRESOLVED;
	struct neighbour *n = NULL;

	master->now = now_ms;
	if (!port_exists(master, port) || (family != FAMILY_IPV4 && family != FAMILY_IPV6) ||
	    !ip_is_host(family, next_hop))
		goto refuse;
	refused = DROP_NEIGHBOUR_QUEUE;
	n = neighbour_find(master, port, family, next_hop);
	if (n && n->adjacency) {
		/* Answered while the packet was on its way to us. */
		__atomic_store_n(&n->adjacency->used, 1, __ATOMIC_RELAXED);
		if (handle)
			master->output.release(master->output.context, handle, n->adjacency);
		return;
	}
	if (!n) {
		n = neighbour_add(master, port, family, next_hop, NEIGHBOUR_INCOMPLETE, true);
		if (!n)
			goto refuse;
		start_asking(master, n, NEIGHBOUR_INCOMPLETE, now_ms);
	} else if (n->state == NEIGHBOUR_FAILED) {
		start_asking(master, n, NEIGHBOUR_INCOMPLETE, now_ms);
	}
	if (!handle || enqueue(master, n, handle))
		handle = NULL;
refuse:
	net_settle(master);
	if (handle)
		master->output.give_up(master->output.context, handle, refused);
}

int net_neighbour_apply(struct net_master *master, int verb, uint16_t port, enum family family,
			const union ip_addr *address, const uint8_t mac[6], struct error *error)
{
	const char *text = ip_text(family, address);
	struct neighbour *n;
	bool there;

	if (!port_exists(master, port))
		return error_set(error, "not-found", "dpip link show lists the devices",
				 "neighbour %s: no such device", text);
	n = neighbour_find(master, port, family, address);
	if (verb == VERB_DELETE) {
		if (!n)
			return error_set(error, "not-found", "dpip neigh show lists the neighbours",
					 "no neighbour %s on %s", text, master->net->ports[port].name);
		neighbour_remove(master, n);
		net_settle(master);
		return 0;
	}
	if ((family != FAMILY_IPV4 && family != FAMILY_IPV6) || !ip_is_host(family, address))
		return error_set(error, "invalid", NULL, "%s is not the address of a host", text);
	if (own_address_find(master, port, family, address))
		return error_set(error, "invalid", NULL, "%s is an address of our own", text);
	if (!mac_is_host(mac))
		return error_set(error, "invalid", NULL, "neighbour %s: not the MAC address of a host", text);
	/* What was learnt is in nobody's way. */
	there = n && n->state == NEIGHBOUR_PERMANENT;
	if (there && verb == VERB_ADD)
		return error_set(error, "exists", NULL, "neighbour %s on %s is there already", text,
				 master->net->ports[port].name);
	if (!there && verb == VERB_EDIT)
		return error_set(error, "not-found", "dpip neigh show lists the neighbours",
				 "no permanent neighbour %s on %s", text, master->net->ports[port].name);
	if (!n)
		n = neighbour_add(master, port, family, address, NEIGHBOUR_PERMANENT, true);
	if (!n)
		return error_set(error, "full", "raise the number of neighbours, or delete some",
				 "no room for neighbour %s", text);
	enter(master, n, NEIGHBOUR_PERMANENT);
	timer_cancel(&master->timers, &n->timer);
	set_mac(master, n, mac, master->now);
	if (!n->adjacency) {
		neighbour_remove(master, n);
		net_settle(master);
		return error_set(error, "full", NULL, "no memory for neighbour %s", text);
	}
	release_all(master, n);
	net_settle(master);
	return 0;
}

bool net_neighbour_find(const struct net_master *master, uint16_t port, enum family family,
			const union ip_addr *address, bool *permanent, uint8_t mac[6])
{
	const struct neighbour *n = neighbour_find(master, port, family, address);

	if (!n)
		return false;
	*permanent = n->state == NEIGHBOUR_PERMANENT;
	memcpy(mac, n->mac, 6);
	return true;
}

void neighbours_of_port_changed(struct net_master *master, uint16_t port, bool gone)
{
	uint64_t cursor = 0;
	struct neighbour *n;

	while ((n = (struct neighbour *)registry_next(&master->neighbours.all, &cursor))) {
		if (n->port != port)
			continue;
		if (gone && n->state != NEIGHBOUR_PERMANENT)
			neighbour_remove(master, n);
		else if (n->adjacency && adjacency_publish(master, n) < 0)
			fail(master, n, master->now);
	}
}

size_t net_neighbours_list(const struct net_master *master, uint64_t *cursor, struct neighbour_entry *out,
			   size_t max)
{
	static const char *const names[NEIGHBOUR_STATE_COUNT] = {
	    [NEIGHBOUR_INCOMPLETE] = "incomplete", [NEIGHBOUR_REACHABLE] = "reachable",
	    [NEIGHBOUR_STALE] = "stale",	   [NEIGHBOUR_DELAY] = "delay",
	    [NEIGHBOUR_PROBE] = "probe",	   [NEIGHBOUR_FAILED] = "failed",
	    [NEIGHBOUR_PERMANENT] = "permanent",
	};
	const struct neighbour *n;
	size_t count = 0;

	while (count < max &&
	       (n = (const struct neighbour *)registry_next(&master->neighbours.all, cursor))) {
		struct neighbour_entry *entry = &out[count++];

		*entry = (struct neighbour_entry){
		    .address = n->address,
		    .port = n->port,
		    .family = n->family,
		    .state = names[n->state],
		    .queued = n->queued,
		};
		if (n->adjacency)
			memcpy(entry->mac, n->mac, 6);
	}
	return count;
}

/* ---- the whole ---- */

int neighbours_init(struct net_master *master)
{
	struct neighbours *all = &master->neighbours;

	for (unsigned int i = 0; i < NEIGHBOUR_STATE_COUNT; i++)
		TAILQ_INIT(&all->states[i]);
	STAILQ_INIT(&all->free_waiting);
	STAILQ_INIT(&all->given_up);
	all->waiting = memory_new(master->limits.unresolved_total * sizeof(struct waiting));
	all->free_indices = memory_new(MAX_ADJACENCIES * sizeof(uint32_t));
	if (!all->waiting || !all->free_indices || rebuild_table(master) < 0)
		return -1;
	for (uint32_t i = 0; i < master->limits.unresolved_total; i++)
		STAILQ_INSERT_TAIL(&all->free_waiting, &all->waiting[i], link);
	all->unused_index = 1;
	return 0;
}

void neighbours_clear(struct net_master *master)
{
	struct neighbours *all = &master->neighbours;
	uint64_t cursor = 0;
	struct neighbour *n;

	while ((n = (struct neighbour *)registry_next(&all->all, &cursor)))
		neighbour_remove(master, n);
	neighbours_settle(master);
	registry_clear(&all->all);
	memory_free(all->waiting);
	memory_free(all->free_indices);
}
