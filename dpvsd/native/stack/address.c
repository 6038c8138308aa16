#include "address.h"
#include "master.h"

enum { SECOND_MS = 1000 };

/* ---- the workers' table ---- */

static struct address_slot *slot_of(const struct address_table *table, enum family family,
				    const union ip_addr *address)
{
	uint32_t at = (uint32_t)(ip_hash(address) + (uint32_t)family) & table->mask;

	for (;; at = (at + 1) & table->mask) {
		const struct address_slot *slot = &table->slots[at];

		if (slot->family == 0 ||
		    (slot->family == (uint32_t)family && ip_equal(&slot->address, address)))
			return (struct address_slot *)slot;
	}
}

struct address_table *address_table_new(const struct address *const *addresses, uint32_t count)
{
	uint32_t size = rte_align32pow2(RTE_MAX(count, 4u) * 2);
	size_t slots = sizeof(struct address_table) + size * sizeof(struct address_slot);
	struct address_table *table = memory_new(slots + count * sizeof(struct address));

	if (!table)
		return NULL;
	table->mask = size - 1;
	table->entries = (struct address *)((char *)table + slots);
	for (uint32_t i = 0; i < count; i++) {
		struct address_slot *slot = slot_of(table, (enum family)addresses[i]->family,
						    &addresses[i]->address);

		if (slot->family)
			continue;
		slot->address = addresses[i]->address;
		slot->family = addresses[i]->family;
		slot->index = table->count;
		table->entries[table->count++] = *addresses[i];
	}
	return table;
}

void address_table_free(void *table)
{
	memory_free(table);
}

const struct address *address_lookup(const struct net *net, enum family family, const union ip_addr *address)
{
	const struct address_table *table = subscribe(net->addresses);
	const struct address_slot *slot;

	if (!table)
		return NULL;
	slot = slot_of(table, family, address);
	return slot->family ? &table->entries[slot->index] : NULL;
}

/* ---- the master's list ---- */

static uint64_t own_hash(uint16_t port, enum family family, const union ip_addr *address)
{
	return mix64(ip_hash(address) ^ ((uint64_t)port << 8 | family), hash_secret[0]);
}

struct own_address *own_address_find(const struct net_master *master, uint16_t port, enum family family,
				     const union ip_addr *address)
{
	uint64_t hash = own_hash(port, family, address);

	for (struct registry_entry *entry = registry_first(&master->addresses, hash); entry;
	     entry = entry->chain) {
		struct own_address *own = (struct own_address *)entry;

		if (entry->hash == hash && own->address.port == port && own->address.family == family &&
		    ip_equal(&own->address.address, address))
			return own;
	}
	return NULL;
}

struct own_address *own_address_next(const struct net_master *master, uint64_t *cursor)
{
	return (struct own_address *)registry_next(&master->addresses, cursor);
}

struct address_table *address_table_build(const struct net_master *master)
{
	const struct address **addresses = memory_new((master->addresses.count + 1) *
						      sizeof(struct address *));
	struct address_table *table;
	const struct own_address *own;
	uint64_t cursor = 0;
	uint32_t count = 0;

	if (!addresses)
		return NULL;
	while ((own = own_address_next(master, &cursor)))
		addresses[count++] = &own->address;
	table = address_table_new(addresses, count);
	memory_free(addresses);
	return table;
}

static void own_address_remove(struct net_master *master, struct own_address *own)
{
	membership_remove(master, &own->address);
	registry_remove(&master->addresses, &own->entry);
	timers_unreserve(&master->timers, &own->expiry);
	timers_unreserve(&master->timers, &own->announcing);
	memory_free(own);
	master->tables_changed = true;
	master->address_changes++;
}

/* The next moment at which a lifetime ends: preferred first, when it is the shorter one. */
static void arm_expiry(struct net_master *master, struct own_address *own, uint64_t now)
{
	uint64_t due = UINT64_MAX;

	if (own->address.valid_lifetime)
		due = own->address.added + (uint64_t)own->address.valid_lifetime * SECOND_MS;
	if (own->address.preferred_lifetime) {
		uint64_t preferred = own->address.added +
				     (uint64_t)own->address.preferred_lifetime * SECOND_MS;

		if (preferred > now)
			due = RTE_MIN(due, preferred);
	}
	if (due == UINT64_MAX)
		timer_cancel(&master->timers, &own->expiry);
	else
		timer_set(&master->timers, &own->expiry, RTE_MAX(due, now + 1));
}

static void expire(void *context, struct timer *timer, uint64_t now)
{
	struct net_master *master = context;
	struct own_address *own = container_of(timer, struct own_address, expiry);

	if (own->address.valid_lifetime &&
	    now >= own->address.added + (uint64_t)own->address.valid_lifetime * SECOND_MS) {
		own_address_remove(master, own);
		return;
	}
	master->tables_changed = true; /* no longer preferred as a source */
	arm_expiry(master, own, now);
}

static struct own_address *own_address_add(struct net_master *master, const struct address *address)
{
	struct own_address *own = memory_new(sizeof(*own));
	unsigned int reserved = 0;

	if (!own)
		return NULL;
	own->address = *address;
	own->expiry.fire = expire;
	own->announcing.fire = announce_fire;
	while (reserved < 2 && timers_reserve(&master->timers) == 0)
		reserved++;
	if (reserved == 2 &&
	    registry_add(&master->addresses, &own->entry,
			 own_hash(address->port, (enum family)address->family, &address->address)) == 0)
		return own;
	master->timers.reserved -= reserved;
	memory_free(own);
	return NULL;
}

static int check(const struct net_master *master, const struct address *address, struct error *error)
{
	enum family family = (enum family)address->family;

	if (family != FAMILY_IPV4 && family != FAMILY_IPV6)
		return error_set(error, "invalid", NULL, "the address has neither 4 nor 16 bytes");
	if (!port_exists(master, address->port))
		return error_set(error, "not-found", "dpip link show lists the devices",
				 "address %s: no such device", ip_text(family, &address->address));
	if (!ip_is_host(family, &address->address))
		return error_set(error, "invalid", NULL, "%s is not the address of a host",
				 ip_text(family, &address->address));
	if (address->prefix == 0 || address->prefix > ip_bits(family))
		return error_set(error, "invalid", NULL, "%s/%u: the prefix length must be 1-%u",
				 ip_text(family, &address->address), address->prefix, ip_bits(family));
	if (address->valid_lifetime && address->preferred_lifetime > address->valid_lifetime)
		return error_set(
		    error, "invalid", NULL, "%s: preferred lifetime %u s is longer than valid lifetime %u s",
		    ip_text(family, &address->address), address->preferred_lifetime, address->valid_lifetime);
	return 0;
}

int net_address_apply(struct net_master *master, int verb, const struct address *address, uint64_t now_ms,
		      struct error *error)
{
	enum family family = (enum family)address->family;
	struct own_address *own;
	bool fresh = false;

	master->now = now_ms;
	own = address->port < MAX_PORTS ? own_address_find(master, address->port, family, &address->address)
					: NULL;
	if (verb == VERB_DELETE) {
		if (!own)
			return error_set(error, "not-found", "dpip addr show lists the addresses",
					 "no address %s on this device", ip_text(family, &address->address));
		if (address->prefix && address->prefix != own->address.prefix)
			return error_set(error, "not-found", "dpip addr show lists the addresses",
					 "%s has prefix length %u on this device, not %u",
					 ip_text(family, &address->address), own->address.prefix,
					 address->prefix);
		own_address_remove(master, own);
		net_settle(master);
		return 0;
	}
	if (check(master, address, error) < 0)
		return -1;
	if (own && verb == VERB_ADD)
		return error_set(error, "exists", NULL, "%s is an address of %s already",
				 ip_text(family, &address->address), master->net->ports[address->port].name);
	if (!own && verb == VERB_EDIT)
		return error_set(error, "not-found", "dpip addr show lists the addresses",
				 "no address %s on %s", ip_text(family, &address->address),
				 master->net->ports[address->port].name);
	if (!own) {
		own = own_address_add(master, address);
		if (!own)
			return error_set(error, "full", NULL, "no memory for address %s",
					 ip_text(family, &address->address));
		membership_add(master, address);
		master->address_changes++;
		fresh = true;
	}
	own->address = *address;
	own->address.added = now_ms;
	arm_expiry(master, own, now_ms);
	master->tables_changed = true;
	if (fresh && !address->silent)
		announce_start(master, own, ANNOUNCE_COUNT, ANNOUNCE_INTERVAL_MS, now_ms);
	net_settle(master);
	return 0;
}

bool net_address_find(const struct net_master *master, uint16_t port, enum family family,
		      const union ip_addr *address, struct address *out)
{
	const struct own_address *own = own_address_find(master, port, family, address);

	if (own)
		*out = own->address;
	return own != NULL;
}

size_t net_addresses_list(const struct net_master *master, uint64_t *cursor, struct address *out, size_t max)
{
	const struct own_address *own;
	size_t count = 0;

	while (count < max && (own = own_address_next(master, cursor)))
		out[count++] = own->address;
	return count;
}

uint64_t net_address_changes(const struct net_master *master)
{
	return master->address_changes;
}

void own_addresses_clear(struct net_master *master)
{
	uint64_t cursor = 0;
	struct own_address *own;

	while ((own = own_address_next(master, &cursor)))
		memory_free(own);
	registry_clear(&master->addresses);
}
