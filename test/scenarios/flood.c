/* flood DEVICE DESTINATION-MAC SOURCE-IP DESTINATION-IP SECONDS: UDP datagrams as fast as they go, from many
 * source ports, past the sender's queueing. Prints how many frames were sent. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

enum { BURST = 64, FRAME = 64 };

static uint16_t sum_of(const uint8_t *bytes, int length)
{
	uint32_t sum = 0;

	for (int i = 0; i < length; i += 2)
		sum += (uint32_t)(bytes[i] << 8 | bytes[i + 1]);
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return htons((uint16_t)~sum);
}

int main(int argc, char **argv)
{
	static uint8_t frames[BURST][FRAME];
	struct mmsghdr messages[BURST] = {0};
	struct iovec pieces[BURST];
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_protocol = htons(ETH_P_IP), .sll_halen = 6};
	unsigned int mac[6];
	unsigned long long sent = 0;
	int fd = socket(AF_PACKET, SOCK_RAW, 0), one = 1;
	time_t end;

	if (argc != 6 || fd < 0 ||
	    sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
		return 2;
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &one, sizeof(one));
	for (int i = 0; i < BURST; i++) {
		uint8_t *f = frames[i];
		uint16_t sum;

		for (int k = 0; k < 6; k++)
			f[k] = to.sll_addr[k] = (uint8_t)mac[k];
		f[6] = 2;
		f[12] = 8;
		f[14] = 0x45;
		f[17] = FRAME - 14;
		f[22] = 64;
		f[23] = 17;
		inet_pton(AF_INET, argv[3], f + 26);
		inet_pton(AF_INET, argv[4], f + 30);
		sum = sum_of(f + 14, 20);
		memcpy(f + 24, &sum, 2);
		f[34] = (uint8_t)(40 + i);
		f[36] = 0x27;
		f[39] = FRAME - 34;
		pieces[i] = (struct iovec){.iov_base = f, .iov_len = FRAME};
		messages[i].msg_hdr = (struct msghdr){
		    .msg_name = &to, .msg_namelen = sizeof(to), .msg_iov = &pieces[i], .msg_iovlen = 1};
	}
	end = time(NULL) + atoi(argv[5]);
	while (time(NULL) < end) {
		int done = sendmmsg(fd, messages, BURST, 0);

		if (done > 0)
			sent += (unsigned long long)done;
	}
	printf("%llu\n", sent);
	return 0;
}
