#include "nd.h"
#include "../core/checksum.h"

#include <netinet/in.h>

#include <rte_ether.h>
#include <rte_ip.h>

enum {
	OPTION_SOURCE_MAC = 1,
	OPTION_TARGET_MAC = 2,
	HOP_LIMIT = 255,
	OPTIONS = 24, /* behind the fixed part of either message */
};

/* Fixed part of both messages. */
struct nd_header {
	uint8_t type, code;
	rte_be16_t checksum;
	uint8_t flags, reserved[3];
	uint8_t target[16];
};

struct nd_option {
	uint8_t type, units; /* of eight bytes */
	uint8_t mac[6];
};

struct nd_packet {
	struct rte_ether_hdr ether;
	struct rte_ipv6_hdr ip;
	struct nd_header nd;
	struct nd_option option;
};

_Static_assert(sizeof(struct nd_header) == OPTIONS, "options begin at 24");
_Static_assert(sizeof(struct nd_packet) == ND_FRAME_SIZE, "an ND frame has no padding");

union ip_addr nd_solicited_node(const union ip_addr *target)
{
	union ip_addr group = {.b = {0xff, 0x02, [11] = 1, [12] = 0xff}};

	memcpy(group.b + 13, target->b + 13, 3);
	return group;
}

void nd_multicast_mac(const union ip_addr *group, uint8_t mac[6])
{
	mac[0] = mac[1] = 0x33;
	memcpy(mac + 2, group->b + 12, 4);
}

/* Finds the MAC option of this type; false when the options are malformed (RFC 4861 4.6). */
static bool read_options(const uint8_t *options, size_t length, uint8_t wanted, struct nd_message *message)
{
	while (length > 0) {
		size_t size;

		if (length < 8)
			return false;
		size = (size_t)options[1] * 8;
		if (size == 0 || size > length)
			return false;
		if (options[0] == wanted && options[1] == 1) {
			memcpy(message->mac, options + 2, 6);
			if (!mac_is_host(message->mac))
				return false;
			message->has_mac = true;
		}
		options += size;
		length -= size;
	}
	return true;
}

bool nd_parse(const uint8_t *frame, size_t length, struct nd_message *message)
{
	struct nd_packet packet;
	size_t payload;
	bool solicitation, unspecified;
	union ip_addr group;

	memset(message, 0, sizeof(*message));
	if (length < offsetof(struct nd_packet, option))
		return false;
	memcpy(&packet, frame, offsetof(struct nd_packet, option));
	payload = rte_be_to_cpu_16(packet.ip.payload_len);
	if (packet.ether.ether_type != RTE_BE16(RTE_ETHER_TYPE_IPV6) || (frame[ETHER_SIZE] >> 4) != 6 ||
	    packet.ip.proto != IPPROTO_ICMPV6 || packet.ip.hop_limits != HOP_LIMIT || payload < OPTIONS ||
	    length < sizeof(packet.ether) + sizeof(packet.ip) + payload || packet.nd.code != 0)
		return false;
	if (packet.nd.type != ND_SOLICITATION && packet.nd.type != ND_ADVERTISEMENT)
		return false;
	if (checksum_transport(FAMILY_IPV6, frame + ETHER_SIZE, IPPROTO_ICMPV6, frame + ETHER_SIZE + 40,
			       payload) != 0)
		return false;

	solicitation = packet.nd.type == ND_SOLICITATION;
	message->type = packet.nd.type;
	message->flags = packet.nd.flags;
	memcpy(&message->source, frame + ETHER_SIZE + 8, 16);
	memcpy(&message->destination, frame + ETHER_SIZE + 24, 16);
	memcpy(&message->target, packet.nd.target, 16);
	if (message->target.b[0] == 0xff || message->source.b[0] == 0xff)
		return false;
	if (!read_options(frame + ETHER_SIZE + 40 + OPTIONS, payload - OPTIONS,
			  solicitation ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC, message))
		return false;

	unspecified = ip_is_zero(&message->source);
	if (!solicitation)
		return !unspecified &&
		       !(message->destination.b[0] == 0xff && (message->flags & ND_SOLICITED));
	group = nd_solicited_node(&message->target);
	return !unspecified || (!message->has_mac && ip_equal(&message->destination, &group));
}

size_t nd_write(uint8_t frame[ND_FRAME_SIZE], const uint8_t from[6], const uint8_t to[6],
		const struct nd_message *message)
{
	size_t payload = message->has_mac ? OPTIONS + sizeof(struct nd_option) : OPTIONS;
	struct nd_packet packet = {
	    .ether.ether_type = RTE_BE16(RTE_ETHER_TYPE_IPV6),
	    .ip.vtc_flow = RTE_BE32(6u << 28),
	    .ip.payload_len = rte_cpu_to_be_16((uint16_t)payload),
	    .ip.proto = IPPROTO_ICMPV6,
	    .ip.hop_limits = HOP_LIMIT,
	    .nd.type = message->type,
	    .nd.flags = message->flags,
	    .option.type = message->type == ND_SOLICITATION ? OPTION_SOURCE_MAC : OPTION_TARGET_MAC,
	    .option.units = 1,
	};
	uint8_t *ip = frame + ETHER_SIZE;
	rte_be16_t checksum;

	memcpy(&packet.ether.dst_addr, to, 6);
	memcpy(&packet.ether.src_addr, from, 6);
	memcpy(packet.nd.target, &message->target, 16);
	memcpy(packet.option.mac, message->mac, 6);
	memcpy(frame, &packet, ETHER_SIZE + 40 + payload);
	memcpy(ip + 8, &message->source, 16);
	memcpy(ip + 24, &message->destination, 16);
	checksum = checksum_transport(FAMILY_IPV6, ip, IPPROTO_ICMPV6, ip + 40, payload);
	memcpy(ip + 40 + offsetof(struct nd_header, checksum), &checksum, 2);
	return ETHER_SIZE + 40 + payload;
}
