#include "checksum.h"

#include <netinet/in.h>

uint64_t checksum_add(uint64_t sum, const void *bytes, size_t length)
{
	const uint8_t *at = bytes;
	uint32_t word;

	/* Plain 32-bit words into a 64-bit sum: no carries to look after, and the compiler makes vectors of
	 * it.
	 */
	for (; length >= 4; length -= 4, at += 4) {
		memcpy(&word, at, 4);
		sum += word;
	}
	word = 0;
	memcpy(&word, at, length);
	return sum + word;
}

rte_be16_t checksum_transport(enum family family, const uint8_t *l3, uint8_t protocol, const uint8_t *l4,
			      size_t length)
{
	uint64_t sum = 0;

	if (family == FAMILY_IPV6) {
		union ip_addr source, destination;

		memcpy(&source, l3 + 8, 16);
		memcpy(&destination, l3 + 24, 16);
		sum = checksum_pseudo6(&source, &destination, protocol, (uint32_t)length);
	} else if (protocol != IPPROTO_ICMP) {
		uint32_t source, destination;

		memcpy(&source, l3 + 12, 4);
		memcpy(&destination, l3 + 16, 4);
		sum = checksum_pseudo4(source, destination, protocol, (uint16_t)length);
	}
	return checksum_finish(checksum_add(sum, l4, length));
}
