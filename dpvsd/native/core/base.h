/* What every file of the dataplane shares: addresses, errors, memory of the large tables. */
#ifndef DPVSHA_BASE_H
#define DPVSHA_BASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <rte_branch_prediction.h>
#include <rte_byteorder.h>
#include <rte_bitops.h> /* rte_align32pow2 of DPDK 24.11, which 22.11 has in rte_common.h */
#include <rte_common.h>

enum {
	MAX_WORKERS = 64,
	MAX_PORTS = 32,
	NAME_SIZE = 32, /* of a device, with its NUL */
};

enum family {
	FAMILY_NONE = 0,
	FAMILY_IPV4 = 4,
	FAMILY_IPV6 = 6,
};

/* An address of either family in network order. IPv4 stands in v4, with the other 12 bytes zero, so that
 * whole addresses compare and hash as two 64-bit words. The family is always known from elsewhere. */
union ip_addr {
	uint8_t b[16];
	rte_be32_t v4;
	uint32_t w[4];
	uint64_t q[2];
};

static inline bool ip_equal(const union ip_addr *a, const union ip_addr *b)
{
	return ((a->q[0] ^ b->q[0]) | (a->q[1] ^ b->q[1])) == 0;
}

static inline bool ip_is_zero(const union ip_addr *a)
{
	return (a->q[0] | a->q[1]) == 0;
}

static inline union ip_addr ip_from_v4(rte_be32_t v4)
{
	union ip_addr a = {.q = {0, 0}};

	a.v4 = v4;
	return a;
}

/* Bits of an address: 32 or 128. */
static inline unsigned int ip_bits(enum family family)
{
	return family == FAMILY_IPV6 ? 128 : 32;
}

/* The network part: all bits behind the first `prefix` become zero. */
void ip_mask(union ip_addr *address, unsigned int prefix);
/* Text of an address, "10.0.0.1" or "2001:db8::1", in a ring of static buffers of the calling thread (16 of
 * them). */
const char *ip_text(enum family family, const union ip_addr *address);

/* What a control operation answers when it refuses; the fields are those of Error in control.proto. */
struct error {
	const char *code;
	char text[240];
	char hint[160];
};

/* Fills in an error and returns -1. `code` is a literal. The hint may be NULL. */
int error_set(struct error *error, const char *code, const char *hint, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

/* Zeroed memory for tables that live as long as the process: hugepages of the EAL when it has them, otherwise
 * anonymous memory that is committed on first touch (transparent hugepages asked for). NULL when there is
 * none. */
void *memory_reserve(const char *what, size_t bytes, int socket);
/* Gives it back; for tests and for tables that are replaced. NULL is allowed. */
void memory_release(void *memory);
/* The process sets this once the EAL runs on hugepages: memory_reserve then takes from them. */
extern bool memory_eal;

/* What was reserved, for listings. */
struct memory_reservation {
	void *memory;
	size_t bytes;
	int socket;
	bool eal; /* from hugepages of the EAL */
	char what[NAME_SIZE];
};
size_t memory_reservations(struct memory_reservation *out, size_t max);

/* Small, zeroed, cache-line aligned objects of the control plane; never called on the packet path. NULL when
 * there is none. */
void *memory_new(size_t bytes);
void memory_free(void *object);

/* Calls free_object(object) once no worker can still hold a pointer to it. At once where there are no workers
 * (tests). Master only. */
void rcu_free(void *object, void (*free_object)(void *));
/* Installed by the process that has workers: keeps the object until every worker has passed a quiescent
 * state. NULL: at once. */
extern void (*rcu_defer)(void *object, void (*free_object)(void *));

/* Publishes a pointer to the workers: everything written before is visible to who reads it. */
#define publish(location, pointer) __atomic_store_n(&(location), (pointer), __ATOMIC_RELEASE)
/* Reads a published pointer. */
#define subscribe(location) __atomic_load_n(&(location), __ATOMIC_ACQUIRE)

/* A 64-bit mix with a secret, good enough that a client cannot aim at one bucket: 64x64 -> 128 multiply,
 * folded. */
static inline uint64_t mix64(uint64_t a, uint64_t b)
{
	unsigned __int128 product = (unsigned __int128)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

/* The secret of all hashes that clients can influence; random at start, fixed in tests. */
extern uint64_t hash_secret[4];
void hash_secret_randomise(void);

/* Hash of an address under the secret. */
static inline uint64_t ip_hash(const union ip_addr *a)
{
	return mix64(mix64(a->q[0] ^ hash_secret[0], a->q[1] ^ hash_secret[1]) ^ hash_secret[2],
		     hash_secret[3]);
}

#endif
