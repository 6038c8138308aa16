/* Internet checksums (RFC 1071), whole and incremental (RFC 1624).
 *
 * A sum is a 64-bit accumulator of 32-bit words as they lie in memory: since 2^32 - 1 is a multiple of
 * 2^16 - 1, they fold to the same one's complement sum as 16-bit words would, and byte order takes care of
 * itself. Words that leave are added as their complement, words that come are added. One difference serves
 * every checksum that covers the same fields: a translation computes it once for addresses and ports.
 *
 *     uint64_t difference = checksum_replace32(0, old_address, new_address);
 *     ip->hdr_checksum = checksum_apply(ip->hdr_checksum, difference);
 *     difference = checksum_replace16(difference, old_port, new_port);
 *     udp->dgram_cksum = checksum_apply_udp(udp->dgram_cksum, difference);
 */
#ifndef DPVSHA_CHECKSUM_H
#define DPVSHA_CHECKSUM_H

#include "base.h"

/* The 16 bits of a sum, not yet complemented; 0 only for a sum of nothing but zeroes. */
static inline uint16_t checksum_fold(uint64_t sum)
{
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffffffff) + (sum >> 32);
	sum = (sum & 0xffff) + (sum >> 16);
	sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)sum;
}

/* What stands in the packet. */
static inline rte_be16_t checksum_finish(uint64_t sum)
{
	return (rte_be16_t)~checksum_fold(sum);
}

/* UDP writes a sum of 0 as its other representation, since 0 means "none" (RFC 768). */
static inline rte_be16_t checksum_finish_udp(uint64_t sum)
{
	rte_be16_t check = checksum_finish(sum);

	return check ? check : 0xffff;
}

/* ---- incremental (RFC 1624, equation 3: HC' = ~(~HC + ~m + m')) ---- */

/* A word that leaves, for a word that comes; both at even offsets of the packet. */
static inline uint64_t checksum_replace16(uint64_t difference, rte_be16_t old, rte_be16_t new)
{
	return difference + (uint16_t)~old + new;
}

static inline uint64_t checksum_replace32(uint64_t difference, uint32_t old, uint32_t new)
{
	return difference + (uint32_t)~old + new;
}

/* A whole 128-bit address for another. */
static inline uint64_t checksum_replace128(uint64_t difference, const union ip_addr *old,
					   const union ip_addr *new)
{
	for (unsigned int i = 0; i < 4; i++)
		difference = checksum_replace32(difference, old->w[i], new->w[i]);
	return difference;
}

/* Applies a difference to a checksum that stands in the packet (IP, TCP, ICMP). */
static inline rte_be16_t checksum_apply(rte_be16_t check, uint64_t difference)
{
	return checksum_finish(difference + (uint16_t)~check);
}

/* The same for UDP: "no checksum" stays so, and a sum of 0 is never written as "none". */
static inline rte_be16_t checksum_apply_udp(rte_be16_t check, uint64_t difference)
{
	return check ? checksum_finish_udp(difference + (uint16_t)~check) : 0;
}

/* One word changed, where there is nothing to share: a TTL, an MSS, a length. */
static inline rte_be16_t checksum_update16(rte_be16_t check, rte_be16_t old, rte_be16_t new)
{
	return checksum_apply(check, checksum_replace16(0, old, new));
}

static inline rte_be16_t checksum_update32(rte_be16_t check, uint32_t old, uint32_t new)
{
	return checksum_apply(check, checksum_replace32(0, old, new));
}

/* ---- whole ---- */

/* Adds `length` contiguous bytes (up to 2^32) that begin at an even offset; a last odd byte is padded with
 * zero. */
uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length);

/* Pseudo header of TCP, UDP (RFC 9293 3.1, RFC 768). `length` of transport header and payload, host order. */
static inline uint64_t checksum_pseudo4(uint32_t source, uint32_t destination, uint8_t protocol,
					uint16_t length)
{
	return (uint64_t)source + destination + rte_cpu_to_be_16(protocol) + rte_cpu_to_be_16(length);
}

/* Pseudo header of IPv6 for TCP, UDP, ICMPv6 (RFC 8200 8.1). */
static inline uint64_t checksum_pseudo6(const union ip_addr *source, const union ip_addr *destination,
					uint8_t protocol, uint32_t length)
{
	uint64_t sum = (uint64_t)rte_cpu_to_be_32(protocol) + rte_cpu_to_be_32(length);

	for (unsigned int i = 0; i < 4; i++)
		sum += (uint64_t)source->w[i] + destination->w[i];
	return sum;
}

/* Checksum of an IPv4 header of `length` bytes (20-60): what must stand in it when its checksum field is 0;
 * 0 when it is verified with its checksum in place and right. */
static inline rte_be16_t checksum_header(const void *header, size_t length)
{
	return checksum_finish(checksum_add(0, header, length));
}

/* Checksum of a TCP, UDP, ICMP or ICMPv6 message of `length` bytes at `l4` in the IP packet at `l3`, with the
 * pseudo header where the protocol has one. The same two uses as checksum_header. A UDP result of 0 is
 * written as 0xffff by who writes it. */
rte_be16_t checksum_transport(enum family family, const uint8_t *l3, uint8_t protocol, const uint8_t *l4,
			      size_t length);

#endif
