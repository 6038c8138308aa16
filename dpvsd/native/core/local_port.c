#include "local_port.h"

enum {
	PORTS = 1 << 16,
	SHARES_MOST = 256,
};

/* One destination group's ports of one share, a bit each: port = bit * shares + share. A bit is set while its
 * port is in use, and so is a bit of `full` while all 64 of its word are. */
struct port_group {
	uint32_t cursor; /* the bit after the one that was taken last */
	uint32_t used;
	uint64_t *words;
	uint64_t full[LOCAL_PORT_WORDS / 64];
};

struct port_share {
	uint64_t misses;
	uint32_t words; /* of one group */
	uint32_t ports; /* of one group, that may be given out */
	struct port_group groups[LOCAL_PORT_GROUPS];
	uint64_t bits[];
};

static void set_bit(struct port_group *group, uint32_t bit)
{
	uint32_t word = bit / 64;

	group->words[word] |= 1ull << (bit % 64);
	if (group->words[word] == UINT64_MAX)
		group->full[word / 64] |= 1ull << (word % 64);
}

static struct port_share *share_new(uint16_t shares, uint16_t number, const union ip_addr *address)
{
	uint32_t words = LOCAL_PORT_WORDS / shares;
	struct port_share *share = memory_new(sizeof(*share) + (size_t)words * 8 * LOCAL_PORT_GROUPS);

	if (!share)
		return NULL;
	share->words = words;
	for (unsigned int g = 0; g < LOCAL_PORT_GROUPS; g++) {
		struct port_group *group = &share->groups[g];
		uint32_t bit = 0;

		group->words = &share->bits[(size_t)g * words];
		while (bit * shares + number < LOCAL_PORT_FIRST)
			set_bit(group, bit++);
		/* Words that do not exist are full. */
		for (uint32_t word = words; word < LOCAL_PORT_WORDS; word++)
			group->full[word / 64] |= 1ull << (word % 64);
		share->ports = words * 64 - bit;
		/* Not the same ports after each start: servers may still hold the old connections. */
		group->cursor = (uint32_t)(mix64(ip_hash(address) ^ number, hash_secret[g % 4] + g) %
					   (words * 64));
	}
	return share;
}

struct local_address *local_address_new(const union ip_addr *address, enum family family, uint16_t port,
					uint16_t shares)
{
	struct local_address *local;

	if (shares == 0 || shares > SHARES_MOST || (shares & (shares - 1)))
		return NULL;
	local = memory_new(sizeof(*local) + shares * sizeof(local->share[0]));
	if (!local)
		return NULL;
	local->address = *address;
	local->family = (uint8_t)family;
	local->port = port;
	local->shares = shares;
	for (uint16_t i = 0; i < shares; i++) {
		local->share[i] = share_new(shares, i, address);
		if (!local->share[i]) {
			local_address_free(local);
			return NULL;
		}
	}
	return local;
}

void local_address_free(struct local_address *local)
{
	if (!local)
		return;
	for (uint16_t i = 0; i < local->shares; i++)
		if (local->share[i])
			memory_free(local->share[i]);
	memory_free(local);
}

/* The first word from `from` on that is not full; LOCAL_PORT_WORDS when there is none. At most 16 steps. */
static uint32_t next_word(const struct port_group *group, uint32_t from)
{
	for (uint32_t i = from / 64; i < LOCAL_PORT_WORDS / 64; i++) {
		uint64_t open = ~group->full[i];

		if (i == from / 64)
			open &= UINT64_MAX << (from % 64);
		if (open)
			return i * 64 + (uint32_t)__builtin_ctzll(open);
	}
	return LOCAL_PORT_WORDS;
}

/* The first free bit from the cursor on, once around. Ports are so given out in a circle: the one that comes
 * next was given back before the circle came by, or not used at all. */
static int64_t next_bit(const struct port_group *group, uint32_t words)
{
	uint32_t word = group->cursor / 64;
	uint64_t free = ~group->words[word] & (UINT64_MAX << (group->cursor % 64));

	if (free)
		return word * 64 + (uint32_t)__builtin_ctzll(free);
	word = word + 1 < words ? next_word(group, word + 1) : LOCAL_PORT_WORDS;
	if (word == LOCAL_PORT_WORDS)
		word = next_word(group, 0);
	if (word == LOCAL_PORT_WORDS)
		return -1;
	return word * 64 + (uint32_t)__builtin_ctzll(~group->words[word]);
}

uint16_t local_port_take(struct local_address *local, uint16_t share_number, uint32_t destination_hash)
{
	struct port_share *share = local->share[share_number];
	struct port_group *group = &share->groups[destination_hash % LOCAL_PORT_GROUPS];
	int64_t bit = next_bit(group, share->words);

	if (unlikely(bit < 0)) {
		__atomic_store_n(&share->misses, share->misses + 1, __ATOMIC_RELAXED);
		return 0;
	}
	set_bit(group, (uint32_t)bit);
	group->cursor = (uint32_t)(bit + 1) % (share->words * 64);
	__atomic_store_n(&group->used, group->used + 1, __ATOMIC_RELAXED);
	return (uint16_t)(bit * local->shares + share_number);
}

void local_port_give(struct local_address *local, uint16_t port, uint32_t destination_hash)
{
	struct port_share *share = local->share[port & (local->shares - 1)];
	struct port_group *group = &share->groups[destination_hash % LOCAL_PORT_GROUPS];
	uint32_t bit = port / local->shares, word = bit / 64;
	uint64_t mask = 1ull << (bit % 64);

	if (port < LOCAL_PORT_FIRST || !(group->words[word] & mask))
		return;
	group->words[word] &= ~mask;
	group->full[word / 64] &= ~(1ull << (word % 64));
	__atomic_store_n(&group->used, group->used - 1, __ATOMIC_RELAXED);
}

void local_port_usage(const struct local_address *local, struct local_port_usage *usage)
{
	uint32_t ports = 0;

	memset(usage, 0, sizeof(*usage));
	for (uint16_t i = 0; i < local->shares; i++) {
		const struct port_share *share = local->share[i];

		ports += share->ports * LOCAL_PORT_GROUPS;
		usage->misses += __atomic_load_n(&share->misses, __ATOMIC_RELAXED);
		for (unsigned int g = 0; g < LOCAL_PORT_GROUPS; g++)
			usage->used += __atomic_load_n(&share->groups[g].used, __ATOMIC_RELAXED);
	}
	usage->free = ports - usage->used;
}
