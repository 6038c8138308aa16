#include "reset.h"

#include <netinet/in.h>

#include <rte_ip.h>
#include <rte_tcp.h>

#include "../stack/net.h"
#include "checksum.h"

static void write_ip(const struct packet *p, uint8_t ttl, uint8_t *buffer)
{
	uint16_t payload = sizeof(struct rte_tcp_hdr);

	if (p->family == FAMILY_IPV6) {
		memset(buffer, 0, 8);
		buffer[0] = 0x60;
		buffer[5] = (uint8_t)payload;
		buffer[6] = IPPROTO_TCP;
		buffer[7] = ttl;
		memcpy(buffer + 8, p->l3 + 24, 16);
		memcpy(buffer + 24, p->l3 + 8, 16);
	} else {
		struct rte_ipv4_hdr ip = {
		    .version_ihl = 0x45,
		    .total_length = rte_cpu_to_be_16((uint16_t)(sizeof(ip) + payload)),
		    /* Never cut: its identification has nothing to tell apart (RFC 6864 4.1). */
		    .fragment_offset = RTE_BE16(RTE_IPV4_HDR_DF_FLAG),
		    .time_to_live = ttl,
		    .next_proto_id = IPPROTO_TCP,
		};

		memcpy(&ip.src_addr, p->l3 + 16, 4);
		memcpy(&ip.dst_addr, p->l3 + 12, 4);
		ip.hdr_checksum = checksum_header(&ip, sizeof(ip));
		memcpy(buffer, &ip, sizeof(ip));
	}
}

size_t reset_build(const struct packet *p, uint8_t ttl, uint8_t buffer[RESET_MAX])
{
	size_t header = p->family == FAMILY_IPV6 ? 40 : 20;
	struct rte_tcp_hdr segment, reset = {.data_off = sizeof(reset) / 4 << 4};

	if (!icmp_error_allowed(p) || p->length < p->l4 + sizeof(segment))
		return 0;
	memcpy(&segment, p->l3 + p->l4, sizeof(segment));
	if (segment.tcp_flags & RTE_TCP_RST_FLAG)
		return 0;
	reset.src_port = segment.dst_port;
	reset.dst_port = segment.src_port;
	reset.tcp_flags = RTE_TCP_RST_FLAG;
	if (segment.tcp_flags & RTE_TCP_ACK_FLAG) {
		reset.sent_seq = segment.recv_ack;
	} else {
		uint32_t length = (uint32_t)(p->total - p->l4 - (segment.data_off >> 4) * 4);

		length += (segment.tcp_flags & RTE_TCP_SYN_FLAG) != 0;
		length += (segment.tcp_flags & RTE_TCP_FIN_FLAG) != 0;
		reset.recv_ack = rte_cpu_to_be_32(rte_be_to_cpu_32(segment.sent_seq) + length);
		reset.tcp_flags |= RTE_TCP_ACK_FLAG;
	}
	write_ip(p, ttl, buffer);
	memcpy(buffer + header, &reset, sizeof(reset));
	reset.cksum = checksum_transport((enum family)p->family, buffer, IPPROTO_TCP, buffer + header,
					 sizeof(reset));
	memcpy(buffer + header, &reset, sizeof(reset));
	return header + sizeof(reset);
}
