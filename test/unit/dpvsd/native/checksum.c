/* Checksums against the 16-bit loop of RFC 1071, on random bytes and random changes. */
#include "check.h"
#include "core/checksum.h"

#include <arpa/inet.h>
#include <netinet/in.h>

/* As the RFC writes it: 16-bit words in network order, carries folded at the end. */
static uint16_t naive(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i + 1 < length; i += 2) {
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
		sum = (sum & 0xffff) + (sum >> 16);
	}
	if (length % 2)
		sum += (uint32_t)bytes[length - 1] << 8;
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return (uint16_t)~sum;
}

static void fill(uint8_t *bytes, size_t length)
{
	/* Runs of zeroes and ones too: that is where carries go wrong. */
	int kind = (int)(check_random() % 4);

	for (size_t i = 0; i < length; i++)
		bytes[i] = kind == 0 ? 0 : kind == 1 ? 0xff : (uint8_t)check_random();
}

static void rfc1071_example(void)
{
	const uint8_t bytes[] = {0x00, 0x01, 0xf2, 0x03, 0xf4, 0xf5, 0xf6, 0xf7};

	CHECK_EQ(ntohs(checksum_finish(checksum_add(0, bytes, sizeof(bytes)))), (uint16_t)~0xddf2);
}

static void whole_sums(void)
{
	uint8_t bytes[2048];

	for (int i = 0; i < 20000; i++) {
		size_t length = check_random() % sizeof(bytes);
		size_t offset = check_random() % 8;

		if (offset + length > sizeof(bytes))
			length = sizeof(bytes) - offset;
		fill(bytes, sizeof(bytes));
		CHECK_EQ(ntohs(checksum_finish(checksum_add(0, bytes + offset, length))),
			 naive(bytes + offset, length, 0));
	}
}

static void transport(void)
{
	uint8_t packet[40 + 256];

	for (int i = 0; i < 20000; i++) {
		bool six = check_random() & 1;
		const uint8_t protocols[] = {IPPROTO_TCP, IPPROTO_UDP, six ? IPPROTO_ICMPV6 : IPPROTO_ICMP};
		uint8_t protocol = protocols[check_random() % 3];
		size_t head = six ? 40 : 20, length = 8 + check_random() % 240;
		uint32_t pseudo = 0;
		uint8_t pseudo_bytes[40] = {0};

		fill(packet, sizeof(packet));
		if (six) {
			memcpy(pseudo_bytes, packet + 8, 32);
			pseudo_bytes[34] = (uint8_t)(length >> 8);
			pseudo_bytes[35] = (uint8_t)length;
			pseudo_bytes[39] = protocol;
			pseudo = (uint16_t)~naive(pseudo_bytes, 40, 0);
		} else if (protocol != IPPROTO_ICMP) {
			memcpy(pseudo_bytes, packet + 12, 8);
			pseudo_bytes[9] = protocol;
			pseudo_bytes[10] = (uint8_t)(length >> 8);
			pseudo_bytes[11] = (uint8_t)length;
			pseudo = (uint16_t)~naive(pseudo_bytes, 12, 0);
		}
		CHECK_EQ(ntohs(checksum_transport(six ? FAMILY_IPV6 : FAMILY_IPV4, packet, protocol,
						  packet + head, length)),
			 naive(packet + head, length, pseudo));
	}
}

/* Random changes of 16-bit words, 32-bit words and addresses: the incremental checksum is the whole one. */
static void incremental(void)
{
	uint8_t bytes[64];

	for (int i = 0; i < 100000; i++) {
		uint16_t check, old16, new16;
		uint32_t old32, new32;
		union ip_addr old128, new128;
		uint64_t difference;

		fill(bytes, sizeof(bytes));
		bytes[1] |= 1; /* never all zero, as no packet is */
		check = htons(naive(bytes, sizeof(bytes), 0));

		memcpy(&old16, bytes + 6, 2);
		memcpy(&old32, bytes + 10, 4);
		memcpy(&old128, bytes + 32, 16);
		fill((uint8_t *)&new16, 2);
		fill((uint8_t *)&new32, 4);
		fill(new128.b, 16);
		memcpy(bytes + 6, &new16, 2);
		memcpy(bytes + 10, &new32, 4);
		memcpy(bytes + 32, &new128, 16);

		difference = checksum_replace16(0, old16, new16);
		difference = checksum_replace32(difference, old32, new32);
		difference = checksum_replace128(difference, &old128, &new128);
		CHECK_EQ(ntohs(checksum_apply(check, difference)), naive(bytes, sizeof(bytes), 0));

		memcpy(&old16, bytes + 2, 2);
		fill((uint8_t *)&new16, 2);
		memcpy(bytes + 2, &new16, 2);
		check = checksum_apply(check, difference);
		CHECK_EQ(ntohs(checksum_update16(check, old16, new16)), naive(bytes, sizeof(bytes), 0));
		check = checksum_update16(check, old16, new16);
		fill((uint8_t *)&old32, 4);
		memcpy(bytes + 10, &old32, 4);
		CHECK_EQ(ntohs(checksum_update32(check, new32, old32)), naive(bytes, sizeof(bytes), 0));
	}
}

static void udp_zero(void)
{
	/* No checksum stays none. */
	CHECK_EQ(checksum_apply_udp(0, checksum_replace32(0, 1, 2)), 0);
	for (uint32_t i = 0; i <= 0xffff; i++) {
		uint16_t check = checksum_apply_udp(0x1234, checksum_replace16(0, 0, (uint16_t)i));

		CHECK(check != 0);
		CHECK_EQ(check ^ 0, checksum_apply(0x1234, checksum_replace16(0, 0, (uint16_t)i))
					? checksum_apply(0x1234, checksum_replace16(0, 0, (uint16_t)i))
					: 0xffff);
	}
	CHECK_EQ(checksum_finish_udp(0xffff), 0xffff);
}

static void masks_and_text(void)
{
	union ip_addr a = ip_from_v4(htonl(0xc0a8ffff));

	ip_mask(&a, 20);
	CHECK_EQ(ntohl(a.v4), 0xc0a8f000);
	ip_mask(&a, 0);
	CHECK(ip_is_zero(&a));
	for (unsigned int prefix = 0; prefix <= 128; prefix++) {
		memset(&a, 0xff, sizeof(a));
		ip_mask(&a, prefix);
		for (unsigned int bit = 0; bit < 128; bit++)
			CHECK_EQ(a.b[bit / 8] >> (7 - bit % 8) & 1, bit < prefix);
	}
	inet_pton(AF_INET6, "2001:db8::1", &a);
	CHECK(strcmp(ip_text(FAMILY_IPV6, &a), "2001:db8::1") == 0);
	a = ip_from_v4(htonl(0x0a000001));
	CHECK(strcmp(ip_text(FAMILY_IPV4, &a), "10.0.0.1") == 0);
}

static void reservations(void)
{
	struct memory_reservation list[8];
	uint8_t *big = memory_reserve("test", 64 << 20, 0), *small;

	CHECK(big != NULL);
	CHECK_EQ(memory_reservations(list, 8), 1);
	CHECK(strcmp(list[0].what, "test") == 0);
	CHECK_EQ(list[0].bytes, 64 << 20);
	CHECK_EQ(big[0] | big[(64 << 20) - 1], 0);
	big[12345] = 1;
	memory_release(big);
	CHECK_EQ(memory_reservations(list, 8), 0);
	small = memory_new(100);
	CHECK_EQ((uintptr_t)small % RTE_CACHE_LINE_SIZE, 0);
	for (int i = 0; i < 100; i++)
		CHECK_EQ(small[i], 0);
	memory_free(small);
}

int main(void)
{
	RUN(rfc1071_example);
	RUN(whole_sums);
	RUN(transport);
	RUN(incremental);
	RUN(udp_zero);
	RUN(masks_and_text);
	RUN(reservations);
	return check_end();
}
