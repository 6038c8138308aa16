/* Which worker a packet belongs to, where RSS cannot know it. Three kinds of packets have an owner that every
 * worker computes alike, so that any worker can hand them over without asking:
 *
 *  - to a local address: the owner of the share that the local port lies in;
 *  - of a service with NAT servers: by client address and port, since that is what both directions have in
 * common;
 *  - of a persistent service: by the client's network, so that one worker keeps its template.
 *
 * Other packets stay where RSS put them. */
#ifndef DPVSHA_STEER_H
#define DPVSHA_STEER_H

#include "director.h"

static inline uint16_t steer_share(const struct steering *s, rte_be16_t port)
{
	return rte_be_to_cpu_16(port) & (s->shares - 1);
}

static inline uint8_t steer_local_port(const struct steering *s, rte_be16_t port)
{
	return s->owner[steer_share(s, port)];
}

/* @param prefix persistence prefix over the client's address; 0: no persistence, by address and port */
static inline uint8_t steer_client(const struct steering *s, enum family family, const union ip_addr *client,
				   rte_be16_t port, unsigned int prefix)
{
	union ip_addr network = *client;
	uint64_t hash;

	if (prefix != 0 && prefix < ip_bits(family))
		ip_mask(&network, prefix);
	hash = ip_hash(&network);
	if (prefix == 0)
		hash = mix64(hash ^ hash_secret[0], (uint64_t)port ^ hash_secret[1]);
	return s->owner[(hash >> 32) & (s->shares - 1u)];
}

/* The prefix by which a service's packets are steered; -1: they are not. */
static inline int steer_prefix(const struct service *service)
{
	if (service->persistence)
		return service->persistence_prefix ? service->persistence_prefix
						   : (int)ip_bits((enum family)service->key.family);
	return service->flags & SERVICE_HAS_NAT ? 0 : -1;
}

#endif
