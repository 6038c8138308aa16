/* Control traffic of an af_packet port, past its queues: a packet socket with a filter, read and written by
 * the twins' thread. The kernel gives it its own copy of each frame, so that a queue that a flood has filled
 * does not matter. */
#include "twin.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

enum {
	WIRE_BUFFER = 4 << 20,
	/* Lines of the filter. */
	DROP = 45,
	ACCEPT = 46,
};

/* Coarse: twin_wire_takes() has the last word. Frames to other hosts and those that leave are left out. Each
 * jump is written as the line it leads to, from the line it stands on. */
#define LINE(at, code, k, yes, no) [at] = BPF_JUMP(BPF_JMP | (code) | BPF_K, k, (yes) - (at)-1, (no) - (at)-1)
#define LOAD(at, size, k)	   [at] = BPF_STMT(BPF_LD | (size) | BPF_ABS, k)

/* By rows: packet type, Ethernet type, protocol of IPv4 with its ports, next header of IPv6 with its ports.
 */
static struct sock_filter control_filter[] = {
    LOAD(0, BPF_W, (uint32_t)(SKF_AD_OFF + SKF_AD_PKTTYPE)),
    LINE(1, BPF_JGT, PACKET_MULTICAST, DROP, 2),
    LOAD(2, BPF_H, 12),
    LINE(3, BPF_JEQ, ETH_P_ARP, ACCEPT, 4),
    LINE(4, BPF_JEQ, ETH_P_SLOW, ACCEPT, 5),
    LINE(5, BPF_JEQ, ETH_P_LLDP, ACCEPT, 6),
    LINE(6, BPF_JEQ, ETH_P_IP, 8, 7),
    LINE(7, BPF_JEQ, ETH_P_IPV6, 25, DROP),
    /* IPv4 */
    LOAD(8, BPF_B, 23),
    LINE(9, BPF_JEQ, 112, ACCEPT, 10),
    LINE(10, BPF_JEQ, 89, ACCEPT, 11),
    LINE(11, BPF_JEQ, IPPROTO_IGMP, ACCEPT, 12),
    LINE(12, BPF_JEQ, IPPROTO_PIM, ACCEPT, 13),
    LINE(13, BPF_JEQ, IPPROTO_AH, ACCEPT, 14),
    [14] = BPF_STMT(BPF_LDX | BPF_B | BPF_MSH, ETH_HLEN),
    LINE(15, BPF_JEQ, IPPROTO_TCP, 16, 20),
    [16] = BPF_STMT(BPF_LD | BPF_H | BPF_IND, ETH_HLEN),
    LINE(17, BPF_JEQ, 179, ACCEPT, 18),
    [18] = BPF_STMT(BPF_LD | BPF_H | BPF_IND, ETH_HLEN + 2),
    LINE(19, BPF_JEQ, 179, ACCEPT, DROP),
    LINE(20, BPF_JEQ, IPPROTO_UDP, 21, DROP),
    [21] = BPF_STMT(BPF_LD | BPF_H | BPF_IND, ETH_HLEN + 2),
    LINE(22, BPF_JEQ, 3784, ACCEPT, 23),
    LINE(23, BPF_JEQ, 3785, ACCEPT, 24),
    LINE(24, BPF_JEQ, 4784, ACCEPT, DROP),
    /* IPv6 */
    LOAD(25, BPF_B, 20),
    LINE(26, BPF_JEQ, 112, ACCEPT, 27),
    LINE(27, BPF_JEQ, 89, ACCEPT, 28),
    LINE(28, BPF_JEQ, IPPROTO_PIM, ACCEPT, 29),
    LINE(29, BPF_JEQ, IPPROTO_AH, ACCEPT, 30),
    LINE(30, BPF_JEQ, IPPROTO_HOPOPTS, ACCEPT, 31),
    LINE(31, BPF_JEQ, IPPROTO_ICMPV6, 32, 35),
    LOAD(32, BPF_B, ETH_HLEN + 40),
    LINE(33, BPF_JGE, 130, 34, DROP),
    LINE(34, BPF_JGT, 143, DROP, ACCEPT),
    LINE(35, BPF_JEQ, IPPROTO_TCP, 36, 40),
    LOAD(36, BPF_H, ETH_HLEN + 40),
    LINE(37, BPF_JEQ, 179, ACCEPT, 38),
    LOAD(38, BPF_H, ETH_HLEN + 42),
    LINE(39, BPF_JEQ, 179, ACCEPT, DROP),
    LINE(40, BPF_JEQ, IPPROTO_UDP, 41, DROP),
    LOAD(41, BPF_H, ETH_HLEN + 42),
    LINE(42, BPF_JEQ, 3784, ACCEPT, 43),
    LINE(43, BPF_JEQ, 3785, ACCEPT, 44),
    LINE(44, BPF_JEQ, 4784, ACCEPT, DROP),
    [DROP] = BPF_STMT(BPF_RET | BPF_K, 0),
    [ACCEPT] = BPF_STMT(BPF_RET | BPF_K, 0x40000),
};

const struct sock_fprog *twin_wire_filter(void)
{
	static const struct sock_fprog program = {.len = RTE_DIM(control_filter), .filter = control_filter};

	return &program;
}

int twin_wire_open(unsigned int device)
{
	struct sockaddr_ll address = {
	    .sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_ALL), .sll_ifindex = (int)device};
	int one = 1, size = WIRE_BUFFER, fd;

	/* Bound to no protocol until the filter stands: nothing else may come in first. */
	fd = socket(AF_PACKET, SOCK_RAW | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (fd < 0)
		return -1;
	if (setsockopt(fd, SOL_SOCKET, SO_ATTACH_FILTER, twin_wire_filter(), sizeof(struct sock_fprog)) < 0 ||
	    bind(fd, (struct sockaddr *)&address, sizeof(address)) < 0) {
		log_line(LOG_WARNING_LEVEL,
			 "control traffic has no socket of its own, it shares the workers' queues: %s",
			 strerror(errno));
		close(fd);
		return -1;
	}
	/* Both better, not necessary. */
	(void)setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &size, sizeof(size));
	(void)setsockopt(fd, SOL_PACKET, PACKET_IGNORE_OUTGOING, &one, sizeof(one));
	/* What it sends, the workers' sockets must not see. */
	(void)setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	return fd;
}
