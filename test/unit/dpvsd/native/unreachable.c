/* Who is told that a next hop does not answer. */
#include "check.h"
#include "../../../packets/director.h"
#include "core/checksum.h"
#include "core/unreachable.h"

static const char *const NETWORK[] = {
    "port 0 mac 02:00:00:00:00:10 mtu 1500",
    "port 1 mac 02:00:00:00:00:11 mtu 1500",
    "address 10.1.0.254/24 0",
    "address 10.1.0.100/32 0",
    "address 10.2.0.254/24 1",
    "address 2001:db8:1::fe/64 0",
    "neighbour 10.1.0.9 0 02:00:00:00:01:09",
    "neighbour 2001:db8:1::9 0 02:00:00:00:01:09",
    "service udp 10.1.0.100 80 rr",
    "server 10.2.0.7 8080 nat",
};

static uint8_t bytes[128];

static struct packet datagram(const char *from, const char *to, uint16_t port)
{
	bool six = strchr(from, ':') != NULL;
	size_t l4 = six ? 40 : 20, length = l4 + 8 + 20;
	union ip_addr source, destination;
	rte_be16_t sum;

	read_address(from, &source);
	read_address(to, &destination);
	memset(bytes, 0, sizeof(bytes));
	if (six) {
		bytes[0] = 0x60;
		bytes[5] = (uint8_t)(length - 40);
		bytes[6] = IPPROTO_UDP;
		bytes[7] = 63;
		memcpy(bytes + 8, source.b, 16);
		memcpy(bytes + 24, destination.b, 16);
	} else {
		bytes[0] = 0x45;
		bytes[3] = (uint8_t)length;
		bytes[8] = 63;
		bytes[9] = IPPROTO_UDP;
		memcpy(bytes + 12, source.b, 4);
		memcpy(bytes + 16, destination.b, 4);
		sum = checksum_header(bytes, 20);
		memcpy(bytes + 10, &sum, 2);
	}
	bytes[l4 + 1] = 9;
	bytes[l4 + 2] = (uint8_t)(port >> 8);
	bytes[l4 + 3] = (uint8_t)port;
	bytes[l4 + 5] = 28;
	return (struct packet){.l3 = bytes,
			       .length = (uint16_t)length,
			       .total = (uint16_t)length,
			       .family = six ? FAMILY_IPV6 : FAMILY_IPV4};
}

static size_t told(struct packet p, uint8_t *frame, uint16_t *port)
{
	return unreachable_frame(&director, &p, frame, port);
}

static void who_is_told(void)
{
	uint8_t frame[UNREACHABLE_FRAME_MAX];
	uint16_t port = 99;
	const uint8_t client[6] = {2, 0, 0, 0, 1, 9}, own[6] = {2, 0, 0, 0, 0, 0x10};
	char line[128];

	start();
	for (unsigned int i = 0; i < RTE_DIM(NETWORK); i++) {
		snprintf(line, sizeof(line), "%s", NETWORK[i]);
		read_setting(line);
	}
	/* a packet that was only routed, or directly routed: its sender */
	CHECK_EQ(told(datagram("10.1.0.9", "10.2.0.66", 53), frame, &port), 14 + 20 + 8 + 48);
	CHECK_EQ(port, 0);
	CHECK(memcmp(frame, client, 6) == 0 && memcmp(frame + 6, own, 6) == 0);
	CHECK(frame[12] == 0x08 && frame[14] == 0x45);
	CHECK_EQ(frame[34], 3);
	CHECK_EQ(frame[35], 1);
	CHECK(memcmp(frame + 42, bytes, 48) == 0);
	CHECK_EQ(frame[14 + 12] << 24 | frame[27] << 16 | frame[28] << 8 | frame[29], 0x0a0100fe);
	CHECK_EQ(told(datagram("2001:db8:1::9", "2001:db8:1::66", 53), frame, &port), 14 + 40 + 8 + 68);
	CHECK_EQ(frame[54], 1);
	CHECK_EQ(frame[55], 3);

	/* from an address of ours, FullNAT's for one; to a NAT server, whose address clients do not know */
	CHECK_EQ(told(datagram("10.1.0.100", "10.1.0.77", 53), frame, &port), 0);
	CHECK_EQ(told(datagram("10.1.0.9", "10.2.0.7", 8080), frame, &port), 0);
	CHECK(told(datagram("10.1.0.9", "10.2.0.7", 8081), frame, &port) != 0);
	/* a sender that cannot be reached either, and a broken packet */
	CHECK_EQ(told(datagram("10.1.0.10", "10.2.0.66", 53), frame, &port), 0);
	CHECK_EQ(told(datagram("192.0.2.1", "10.2.0.66", 53), frame, &port), 0);
	{
		struct packet p = datagram("10.1.0.9", "10.2.0.66", 53);

		bytes[9] = 77;
		CHECK_EQ(told(p, frame, &port), 0);
		p = datagram("10.1.0.9", "10.2.0.66", 53);
		p.length = p.total = 19;
		CHECK_EQ(told(p, frame, &port), 0);
	}
	stop();
}

int main(void)
{
	RUN(who_is_told);
	return check_end();
}
