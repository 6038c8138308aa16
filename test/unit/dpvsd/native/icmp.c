/* Echo replies and ICMP errors: every byte, against checksums computed by the plain loop of RFC 1071. */
#include "check.h"
#include "stack/net.h"

#include <arpa/inet.h>
#include <netinet/in.h>

static uint16_t naive_sum(const uint8_t *bytes, size_t length, uint32_t sum)
{
	for (size_t i = 0; i < length; i++) {
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
	}
	return (uint16_t)sum;
}

/* Whole sum of an ICMPv6 message with its pseudo header, 0xffff when right. */
static uint16_t sum6(const uint8_t *ip, size_t length)
{
	return naive_sum(ip + 40, length - 40, naive_sum(ip + 8, 32, (uint32_t)(length - 40) + 58));
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint8_t bytes[2048];

/* An IPv4 packet from 10.0.0.9 to 192.0.2.1. */
static struct packet packet4(uint8_t protocol, uint16_t length)
{
	const uint8_t addresses[] = {10, 0, 0, 9, 192, 0, 2, 1};

	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 0x45;
	put16(bytes + 2, length);
	bytes[8] = 1;
	bytes[9] = protocol;
	memcpy(bytes + 12, addresses, 8);
	put16(bytes + 10, (uint16_t)~naive_sum(bytes, 20, 0));
	for (unsigned int i = 20; i < length; i++)
		bytes[i] = (uint8_t)i;
	return (struct packet){.l3 = bytes,
			       .length = length,
			       .total = length,
			       .family = FAMILY_IPV4,
			       .protocol = protocol,
			       .l4 = 20};
}

static struct packet packet6(uint8_t protocol, uint16_t length)
{
	memset(bytes, 0, sizeof(bytes));
	bytes[0] = 0x60;
	put16(bytes + 4, length - 40u);
	bytes[6] = protocol;
	bytes[7] = 1;
	inet_pton(AF_INET6, "2001:db8::9", bytes + 8);
	inet_pton(AF_INET6, "2001:db8:1::1", bytes + 24);
	for (unsigned int i = 40; i < length; i++)
		bytes[i] = (uint8_t)i;
	return (struct packet){.l3 = bytes,
			       .length = length,
			       .total = length,
			       .family = FAMILY_IPV6,
			       .protocol = protocol,
			       .l4 = 40};
}

static struct packet echo4(uint16_t length)
{
	struct packet p = packet4(IPPROTO_ICMP, length);

	bytes[20] = 8;
	bytes[21] = 0;
	put16(bytes + 22, 0);
	put16(bytes + 22, (uint16_t)~naive_sum(bytes + 20, length - 20u, 0));
	return p;
}

static struct packet echo6(uint16_t length)
{
	struct packet p = packet6(IPPROTO_ICMPV6, length);

	bytes[40] = 128;
	bytes[41] = 0;
	put16(bytes + 42, 0);
	put16(bytes + 42, (uint16_t)~sum6(bytes, length));
	return p;
}

static void echo_ipv4(void)
{
	for (uint16_t length = 28; length < 1500; length += 7) {
		const uint8_t swapped[] = {192, 0, 2, 1, 10, 0, 0, 9};
		struct packet p = echo4(length);
		uint8_t before[2048];

		memcpy(before, bytes, length);
		CHECK(icmp_echo_reply(&p, 64));
		CHECK(memcmp(bytes + 12, swapped, 8) == 0);
		CHECK_EQ(bytes[8], 64);
		CHECK_EQ(bytes[20], 0);
		CHECK_EQ(naive_sum(bytes, 20, 0), 0xffff);
		CHECK_EQ(naive_sum(bytes + 20, length - 20u, 0), 0xffff);
		CHECK(memcmp(bytes + 24, before + 24, length - 24u) == 0);
	}
}

static void echo_ipv6(void)
{
	for (uint16_t length = 48; length < 1500; length += 7) {
		struct packet p = echo6(length);
		uint8_t before[2048];

		memcpy(before, bytes, length);
		CHECK(icmp_echo_reply(&p, 64));
		CHECK(memcmp(bytes + 8, before + 24, 16) == 0 && memcmp(bytes + 24, before + 8, 16) == 0);
		CHECK_EQ(bytes[7], 64);
		CHECK_EQ(bytes[40], 129);
		CHECK_EQ(sum6(bytes, length), 0xffff);
		CHECK(memcmp(bytes + 44, before + 44, length - 44u) == 0);
	}
}

static void no_echo(void)
{
	struct packet p = echo4(84);
	uint8_t before[84];

	/* a reply, a code, a piece, a broadcast, too short, another protocol: untouched */
	for (int i = 0; i < 6; i++) {
		p = echo4(84);
		if (i == 0)
			bytes[20] = 0;
		if (i == 1)
			bytes[21] = 1;
		if (i == 2)
			p.flags = PACKET_FRAGMENT;
		if (i == 3)
			p.flags = PACKET_L2_BROADCAST;
		if (i == 4)
			p.length = 27;
		if (i == 5)
			p.protocol = IPPROTO_UDP;
		memcpy(before, bytes, sizeof(before));
		CHECK(!icmp_echo_reply(&p, 64));
		CHECK(memcmp(before, bytes, sizeof(before)) == 0);
	}
	p = echo6(84);
	p.family = FAMILY_IPV4;
	CHECK(!icmp_echo_reply(&p, 64));
}

static const union ip_addr ROUTER4 = {.b = {10, 0, 0, 1}};
static const union ip_addr ROUTER6 = {.b = {0x20, 1, 0xd, 0xb8, [15] = 1}};

static void errors_ipv4(void)
{
	const struct {
		enum icmp_error_kind kind;
		uint8_t type, code;
	} kinds[] = {
	    {ICMP_ERROR_TTL, 11, 0}, {ICMP_ERROR_NO_ROUTE, 3, 0},    {ICMP_ERROR_HOST, 3, 1},
	    {ICMP_ERROR_PORT, 3, 3}, {ICMP_ERROR_PROHIBITED, 3, 13}, {ICMP_ERROR_TOO_BIG, 3, 4},
	};

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		for (uint16_t length = 28; length <= 1500; length += 92) {
			struct packet p = packet4(IPPROTO_UDP, length);
			const uint8_t addresses[] = {10, 0, 0, 1, 10, 0, 0, 9};
			uint8_t out[600];
			size_t wanted = length + 28 > 576 ? 576 : length + 28u, got;

			got = icmp_error_build(&p, kinds[i].kind, 1400, &ROUTER4, 64, out, sizeof(out));
			CHECK_EQ(got, wanted);
			CHECK_EQ(out[0], 0x45);
			CHECK_EQ(out[1], 0xc0); /* internetwork control */
			CHECK_EQ(out[2] << 8 | out[3], wanted);
			CHECK_EQ(out[8], 64);
			CHECK_EQ(out[9], IPPROTO_ICMP);
			CHECK(memcmp(out + 12, addresses, 8) == 0);
			CHECK_EQ(naive_sum(out, 20, 0), 0xffff);
			CHECK_EQ(out[20], kinds[i].type);
			CHECK_EQ(out[21], kinds[i].code);
			CHECK_EQ(naive_sum(out + 20, got - 20, 0), 0xffff);
			CHECK_EQ(out[24] << 8 | out[25], 0);
			CHECK_EQ(out[26] << 8 | out[27], kinds[i].kind == ICMP_ERROR_TOO_BIG ? 1400 : 0);
			CHECK(memcmp(out + 28, bytes, got - 28) == 0);
		}
}

static void errors_ipv6(void)
{
	const struct {
		enum icmp_error_kind kind;
		uint8_t type, code;
	} kinds[] = {
	    {ICMP_ERROR_TTL, 3, 0},  {ICMP_ERROR_NO_ROUTE, 1, 0},   {ICMP_ERROR_HOST, 1, 3},
	    {ICMP_ERROR_PORT, 1, 4}, {ICMP_ERROR_PROHIBITED, 1, 1}, {ICMP_ERROR_TOO_BIG, 2, 0},
	};

	for (unsigned int i = 0; i < RTE_DIM(kinds); i++)
		for (uint16_t length = 48; length <= 1500; length += 121) {
			struct packet p = packet6(IPPROTO_UDP, length);
			uint8_t out[1300];
			size_t wanted = length + 48 > 1280 ? 1280 : length + 48u, got;

			got = icmp_error_build(&p, kinds[i].kind, 1400, &ROUTER6, 64, out, sizeof(out));
			CHECK_EQ(got, wanted);
			CHECK_EQ(out[0], 0x6c);
			CHECK_EQ(out[1], 0);
			CHECK_EQ(out[4] << 8 | out[5], wanted - 40);
			CHECK_EQ(out[6], IPPROTO_ICMPV6);
			CHECK_EQ(out[7], 64);
			CHECK(memcmp(out + 8, ROUTER6.b, 16) == 0 && memcmp(out + 24, bytes + 8, 16) == 0);
			CHECK_EQ(out[40], kinds[i].type);
			CHECK_EQ(out[41], kinds[i].code);
			CHECK_EQ(sum6(out, got), 0xffff);
			CHECK_EQ(out[46] << 8 | out[47], kinds[i].kind == ICMP_ERROR_TOO_BIG ? 1400 : 0);
			CHECK(memcmp(out + 48, bytes, got - 48) == 0);
		}
}

static bool allowed4(unsigned int at, unsigned int value, uint8_t protocol)
{
	struct packet p = packet4(protocol, 60);

	bytes[at] = (uint8_t)value;
	return icmp_error_allowed(&p);
}

static bool allowed6(unsigned int at, unsigned int value, uint8_t protocol)
{
	struct packet p = packet6(protocol, 100);

	bytes[at] = (uint8_t)value;
	return icmp_error_allowed(&p);
}

static void not_about_everything(void)
{
	uint8_t out[1300];
	union ip_addr nowhere = {.q = {0, 0}};
	struct packet p;

	CHECK(allowed4(8, 1, IPPROTO_UDP));
	CHECK(!allowed4(12, 224, IPPROTO_UDP)); /* from multicast, nobody, loopback, class E */
	CHECK(!allowed4(12, 0, IPPROTO_UDP));
	CHECK(!allowed4(12, 127, IPPROTO_UDP));
	CHECK(!allowed4(12, 255, IPPROTO_UDP));
	CHECK(!allowed4(16, 239, IPPROTO_UDP)); /* to multicast, broadcast */
	CHECK(!allowed4(16, 255, IPPROTO_UDP));
	CHECK(!allowed4(7, 1, IPPROTO_UDP)); /* a later piece */
	CHECK(allowed4(6, 0x20, IPPROTO_UDP)); /* the first one */
	CHECK(!allowed4(0, 0x44, IPPROTO_UDP));
	CHECK(!allowed4(0, 0x65, IPPROTO_UDP));
	for (unsigned int type = 0; type < 256; type++)
		CHECK_EQ(allowed4(20, type, IPPROTO_ICMP),
			 !(type == 3 || type == 4 || type == 5 || type == 11 || type == 12));

	CHECK(allowed6(7, 1, IPPROTO_UDP));
	CHECK(!allowed6(8, 0xff, IPPROTO_UDP));
	CHECK(!allowed6(24, 0xff, IPPROTO_UDP));
	CHECK(!allowed6(0, 0x40, IPPROTO_UDP));
	for (unsigned int type = 0; type < 256; type++)
		CHECK_EQ(allowed6(40, type, IPPROTO_ICMPV6), type >= 128 && type != 137);
	p = packet6(IPPROTO_UDP, 100);
	memset(bytes + 8, 0, 16);
	CHECK(!icmp_error_allowed(&p));
	bytes[23] = 1;
	CHECK(!icmp_error_allowed(&p));

	/* behind extension headers: destination options, then an ICMPv6 error; a later piece */
	p = packet6(IPPROTO_DSTOPTS, 100);
	bytes[40] = IPPROTO_ICMPV6;
	bytes[41] = 1;
	bytes[56] = 1;
	CHECK(!icmp_error_allowed(&p));
	bytes[56] = 128;
	CHECK(icmp_error_allowed(&p));
	p = packet6(IPPROTO_FRAGMENT, 100);
	bytes[40] = IPPROTO_UDP;
	bytes[42] = bytes[43] = 0;
	CHECK(icmp_error_allowed(&p));
	bytes[43] = 8;
	CHECK(!icmp_error_allowed(&p));
	p = packet6(IPPROTO_HOPOPTS, 100);
	bytes[40] = IPPROTO_HOPOPTS;
	bytes[41] = 200;
	CHECK(!icmp_error_allowed(&p));

	p = packet4(IPPROTO_UDP, 60);
	p.flags = PACKET_L2_BROADCAST;
	CHECK(!icmp_error_allowed(&p));
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &ROUTER4, 64, out, sizeof(out)), 0);
	p.flags = 0;
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &nowhere, 64, out, sizeof(out)), 0);
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &ROUTER4, 64, out, 87), 0);
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &ROUTER4, 64, out, 88), 88);
	/* padding of the link is not repeated; a part of a longer packet is */
	p.length = 100;
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &ROUTER4, 64, out, sizeof(out)), 88);
	p.length = 40;
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_PORT, 0, &ROUTER4, 64, out, sizeof(out)), 68);
	for (uint16_t length = 0; length < 20; length++) {
		p.length = length;
		CHECK(!icmp_error_allowed(&p));
	}
	/* an MTU that no link may have is not told */
	p = packet6(IPPROTO_UDP, 100);
	CHECK_EQ(icmp_error_build(&p, ICMP_ERROR_TOO_BIG, 100, &ROUTER6, 64, out, sizeof(out)), 148);
	CHECK_EQ(out[46] << 8 | out[47], 1280);
}

int main(void)
{
	RUN(echo_ipv4);
	RUN(echo_ipv6);
	RUN(no_echo);
	RUN(errors_ipv4);
	RUN(errors_ipv6);
	RUN(not_about_everything);
	return check_end();
}
