#include "arp.h"

#include <rte_arp.h>
#include <rte_ether.h>

struct arp_packet {
	struct rte_ether_hdr ether;
	struct rte_arp_hdr arp;
};

_Static_assert(sizeof(struct arp_packet) == ARP_FRAME_SIZE, "an ARP frame has no padding");

bool arp_parse(const uint8_t *frame, size_t length, struct arp_message *message)
{
	struct arp_packet packet;

	if (length < sizeof(packet))
		return false;
	memcpy(&packet, frame, sizeof(packet));
	if (packet.ether.ether_type != RTE_BE16(RTE_ETHER_TYPE_ARP) ||
	    packet.arp.arp_hardware != RTE_BE16(RTE_ARP_HRD_ETHER) ||
	    packet.arp.arp_protocol != RTE_BE16(RTE_ETHER_TYPE_IPV4) || packet.arp.arp_hlen != 6 ||
	    packet.arp.arp_plen != 4)
		return false;
	message->operation = rte_be_to_cpu_16(packet.arp.arp_opcode);
	if (message->operation != ARP_REQUEST && message->operation != ARP_REPLY)
		return false;
	memcpy(message->sender_mac, &packet.arp.arp_data.arp_sha, 6);
	memcpy(message->target_mac, &packet.arp.arp_data.arp_tha, 6);
	if (!mac_is_host(message->sender_mac))
		return false;
	message->sender = ip_from_v4(packet.arp.arp_data.arp_sip);
	message->target = ip_from_v4(packet.arp.arp_data.arp_tip);
	return true;
}

void arp_write(uint8_t frame[ARP_FRAME_SIZE], const uint8_t to[6], const struct arp_message *message)
{
	struct arp_packet packet = {
	    .ether.ether_type = RTE_BE16(RTE_ETHER_TYPE_ARP),
	    .arp.arp_hardware = RTE_BE16(RTE_ARP_HRD_ETHER),
	    .arp.arp_protocol = RTE_BE16(RTE_ETHER_TYPE_IPV4),
	    .arp.arp_hlen = 6,
	    .arp.arp_plen = 4,
	    .arp.arp_opcode = rte_cpu_to_be_16(message->operation),
	    .arp.arp_data.arp_sip = message->sender.v4,
	    .arp.arp_data.arp_tip = message->target.v4,
	};

	memcpy(&packet.ether.dst_addr, to, 6);
	memcpy(&packet.ether.src_addr, message->sender_mac, 6);
	memcpy(&packet.arp.arp_data.arp_sha, message->sender_mac, 6);
	memcpy(&packet.arp.arp_data.arp_tha, message->target_mac, 6);
	memcpy(frame, &packet, sizeof(packet));
}
