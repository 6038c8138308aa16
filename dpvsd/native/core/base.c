#include "base.h"

#include <arpa/inet.h>
#include <pthread.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/random.h>

#include <rte_malloc.h>

void ip_mask(union ip_addr *address, unsigned int prefix)
{
	for (unsigned int i = 0; i < 16; i++) {
		unsigned int bits = prefix > i * 8 ? prefix - i * 8 : 0;

		if (bits < 8)
			address->b[i] &= (uint8_t)(0xff00 >> bits);
	}
}

const char *ip_text(enum family family, const union ip_addr *address)
{
	static _Thread_local char buffers[16][INET6_ADDRSTRLEN];
	static _Thread_local unsigned int next;
	char *text = buffers[next++ % RTE_DIM(buffers)];

	if (!inet_ntop(family == FAMILY_IPV6 ? AF_INET6 : AF_INET, address->b, text, INET6_ADDRSTRLEN))
		snprintf(text, INET6_ADDRSTRLEN, "?");
	return text;
}

int error_set(struct error *error, const char *code, const char *hint, const char *format, ...)
{
	va_list arguments;

	error->code = code;
	va_start(arguments, format);
	vsnprintf(error->text, sizeof(error->text), format, arguments);
	va_end(arguments);
	snprintf(error->hint, sizeof(error->hint), "%s", hint ? hint : "");
	return -1;
}

/* ---- memory ---- */

enum { MAX_RESERVATIONS = 512 };

bool memory_eal;

static struct memory_reservation reservations[MAX_RESERVATIONS];
static pthread_mutex_t reservations_lock = PTHREAD_MUTEX_INITIALIZER;

/* A free place in the list, NULL when it is full. Lock held. */
static struct memory_reservation *reservation_of(const void *memory)
{
	for (unsigned int i = 0; i < MAX_RESERVATIONS; i++)
		if (reservations[i].memory == memory)
			return &reservations[i];
	return NULL;
}

void *memory_reserve(const char *what, size_t bytes, int socket)
{
	struct memory_reservation *reservation;
	void *memory = NULL;
	bool eal = false;

	if (bytes == 0 || bytes > SIZE_MAX / 2)
		return NULL;
	pthread_mutex_lock(&reservations_lock);
	reservation = reservation_of(NULL);
	if (!reservation)
		goto out;
	if (memory_eal) {
		memory = rte_zmalloc_socket(what, bytes, RTE_CACHE_LINE_SIZE, socket);
		eal = memory != NULL;
	}
	if (!memory) {
		/* NUMA: pages come from the node of the thread that touches them first, its worker. */
		memory = mmap(NULL, bytes, PROT_READ | PROT_WRITE,
			      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
		if (memory == MAP_FAILED) {
			memory = NULL;
			goto out;
		}
		/* A wish: without it everything works, with more TLB misses. */
		(void)madvise(memory, bytes, MADV_HUGEPAGE);
	}
	reservation->memory = memory;
	reservation->bytes = bytes;
	reservation->socket = socket;
	reservation->eal = eal;
	snprintf(reservation->what, sizeof(reservation->what), "%s", what);
out:
	pthread_mutex_unlock(&reservations_lock);
	return memory;
}

void memory_release(void *memory)
{
	struct memory_reservation *reservation;

	if (!memory)
		return;
	pthread_mutex_lock(&reservations_lock);
	reservation = reservation_of(memory);
	if (reservation) {
		if (reservation->eal)
			rte_free(memory);
		else
			munmap(memory, reservation->bytes);
		memset(reservation, 0, sizeof(*reservation));
	}
	pthread_mutex_unlock(&reservations_lock);
}

size_t memory_reservations(struct memory_reservation *out, size_t max)
{
	size_t count = 0;

	pthread_mutex_lock(&reservations_lock);
	for (unsigned int i = 0; i < MAX_RESERVATIONS && count < max; i++)
		if (reservations[i].memory)
			out[count++] = reservations[i];
	pthread_mutex_unlock(&reservations_lock);
	return count;
}

void *memory_new(size_t bytes)
{
	size_t rounded = RTE_ALIGN_CEIL(bytes ? bytes : 1, (size_t)RTE_CACHE_LINE_SIZE);
	void *object;

	if (rounded < bytes)
		return NULL;
	object = aligned_alloc(RTE_CACHE_LINE_SIZE, rounded);
	if (object)
		memset(object, 0, rounded);
	return object;
}

void memory_free(void *object)
{
	free(object);
}

void (*rcu_defer)(void *object, void (*free_object)(void *));

void rcu_free(void *object, void (*free_object)(void *))
{
	if (!object)
		return;
	if (rcu_defer)
		rcu_defer(object, free_object);
	else
		free_object(object);
}

/* ---- hashing ---- */

/* Digits of pi: the fixed secret of tests. Odd, so that no multiplier is 0. */
uint64_t hash_secret[4] = {0x243f6a8885a308d3ull, 0x13198a2e03707345ull, 0xa4093822299f31d1ull,
			   0x082efa98ec4e6c89ull};

void hash_secret_randomise(void)
{
	uint64_t fresh[RTE_DIM(hash_secret)];

	/* 32 bytes come at once, or not at all before the kernel's generator is seeded. */
	if (getrandom(fresh, sizeof(fresh), 0) != (ssize_t)sizeof(fresh))
		return;
	for (unsigned int i = 0; i < RTE_DIM(hash_secret); i++)
		hash_secret[i] = fresh[i] | 1;
}
