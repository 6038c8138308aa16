/* hostile DEVICE DESTINATION-MAC IPV4 IPV6 KIND COUNT [SEED]: frames that nobody honest sends, to an address
 * of the director's, as fast as the director's end takes them. Prints how many were sent. The same seed makes
 * the same frames. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { BURST = 32, ROOM = 1600, PACE_US = 150 };

static uint8_t vip4[4], vip6[16];
static uint64_t state = 1;

static uint32_t any(uint32_t below)
{
	state ^= state >> 12;
	state ^= state << 25;
	state ^= state >> 27;
	return (uint32_t)((state * 2685821657736338717ull) >> 32) % below;
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static uint32_t add(uint32_t sum, const uint8_t *bytes, int length)
{
	for (int i = 0; i < length; i++)
		sum += i % 2 ? bytes[i] : (uint32_t)bytes[i] << 8;
	return sum;
}

static void seal(uint8_t *at, uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	put16(at, ~sum & 0xffff);
}

/* ---- layers; each returns where the next begins ---- */

static uint8_t *ether(uint8_t *f, const uint8_t to[6], unsigned int type)
{
	memcpy(f, to, 6);
	memcpy(f + 6, (const uint8_t[]){2, 0, 0xba, 0xd0, 0, 1}, 6);
	put16(f + 12, type);
	return f + 14;
}

static uint8_t *ipv4(uint8_t *ip, uint8_t protocol, unsigned int payload, unsigned int pieces,
		     unsigned int id)
{
	memset(ip, 0, 20);
	ip[0] = 0x45;
	put16(ip + 2, 20 + payload);
	put16(ip + 4, id);
	put16(ip + 6, pieces);
	ip[8] = 64;
	ip[9] = protocol;
	/* 11.0.0.0/8: nobody of the lab. */
	ip[12] = 11;
	ip[13] = (uint8_t)any(256);
	ip[14] = (uint8_t)any(256);
	ip[15] = (uint8_t)(1 + any(250));
	memcpy(ip + 16, vip4, 4);
	seal(ip + 10, add(0, ip, 20));
	return ip + 20;
}

static uint8_t *ipv6(uint8_t *ip, uint8_t next, unsigned int payload)
{
	memset(ip, 0, 40);
	ip[0] = 0x60;
	put16(ip + 4, payload);
	ip[6] = next;
	ip[7] = 64;
	ip[8] = 0xfd;
	ip[9] = 0xbb;
	for (int i = 16; i < 24; i++)
		ip[i] = (uint8_t)any(256);
	memcpy(ip + 24, vip6, 16);
	return ip + 40;
}

static uint32_t pseudo6(const uint8_t *ip, uint8_t protocol, unsigned int length)
{
	return add(add(0, ip + 8, 32), (const uint8_t[]){0, protocol}, 2) + length;
}

/* A TCP SYN. */
static int tcp(uint8_t *l4, uint32_t pseudo)
{
	memset(l4, 0, 20);
	put16(l4, 1024 + any(60000));
	put16(l4 + 2, 80);
	put16(l4 + 4, any(65536));
	l4[12] = 0x50;
	l4[13] = 2;
	put16(l4 + 14, 65535);
	seal(l4 + 16, add(pseudo + 20 + 6, l4, 20));
	return 20;
}

/* ---- kinds; each fills a frame and returns its length ---- */

static int syn(uint8_t *f, const uint8_t to[6])
{
	uint8_t *ip, *l4;

	if (any(4) == 0) {
		ip = ether(f, to, ETH_P_IPV6);
		l4 = ipv6(ip, 6, 20);
		tcp(l4, add(0, ip + 8, 32));
		return 74;
	}
	ip = ether(f, to, ETH_P_IP);
	l4 = ipv4(ip, 6, 20, 0x4000, 0);
	tcp(l4, add(0, ip + 12, 8));
	return 54;
}

/* Pieces that never become whole: first ones, later ones, ones that overlap, some beyond the end. */
static int fragment(uint8_t *f, const uint8_t to[6])
{
	unsigned int offset = any(4) == 0 ? 0 : any(8) == 0 ? 8190 : any(12) * 8, more = any(8) != 0;
	uint8_t *ip, *l4;

	if (any(2)) {
		ip = ether(f, to, ETH_P_IPV6);
		l4 = ipv6(ip, 44, 8 + 64);
		memset(ip + 16, 0, 7); /* few sources, so that pieces meet */
		memset(l4, 0, 8 + 64);
		l4[0] = 17;
		put16(l4 + 2, offset << 3 | more);
		put16(l4 + 6, any(3000));
		return 14 + 40 + 8 + 64;
	}
	ip = ether(f, to, ETH_P_IP);
	l4 = ipv4(ip, 17, 64, (more ? 0x2000 : 0) | offset, any(3000));
	memset(l4, 0, 64);
	ip[13] = ip[14] = 0;
	put16(ip + 10, 0);
	seal(ip + 10, add(0, ip, 20));
	return 14 + 20 + 64;
}

/* Whoever is on the link, asking for us. */
static int arp(uint8_t *f, const uint8_t to[6])
{
	uint8_t *a = ether(f, (const uint8_t[]){255, 255, 255, 255, 255, 255}, ETH_P_ARP);

	(void)to;
	memcpy(a, (const uint8_t[]){0, 1, 8, 0, 6, 4, 0, (uint8_t)(1 + any(2))}, 8);
	a[8] = f[6] = 2;
	for (int i = 1; i < 6; i++)
		a[8 + i] = f[6 + i] = (uint8_t)any(256);
	memcpy(a + 14, vip4, 4);
	a[17] = (uint8_t)(100 + any(130)); /* the lab's own hosts are below */
	memset(a + 18, 0, 6);
	memcpy(a + 24, vip4, 4);
	return 42;
}

static int nd(uint8_t *f, const uint8_t to[6])
{
	uint8_t *ip = ether(f, to, ETH_P_IPV6), *l4 = ipv6(ip, 58, 32);

	ip[7] = any(4) ? 255 : 64;
	memset(ip + 8, 0, 8);
	ip[8] = 0xfe;
	ip[9] = 0x80;
	memset(l4, 0, 32);
	l4[0] = any(8) ? 135 : 136;
	memcpy(l4 + 8, vip6, 16);
	l4[24] = 1;
	l4[25] = 1;
	l4[26] = 2;
	for (int i = 27; i < 32; i++)
		l4[i] = (uint8_t)any(256);
	seal(l4 + 2, add(pseudo6(ip, 58, 32), l4, 32));
	return 14 + 40 + 32;
}

/* Errors about connections that are not ours. */
static int icmp(uint8_t *f, const uint8_t to[6])
{
	uint8_t *ip, *l4;

	if (any(2)) {
		ip = ether(f, to, ETH_P_IPV6);
		l4 = ipv6(ip, 58, 8 + 40 + 20);
		memset(l4, 0, 8);
		l4[0] = (uint8_t)(1 + any(4));
		ipv6(l4 + 8, 6, 20);
		memcpy(l4 + 16, vip6, 16);
		tcp(l4 + 48, 0);
		seal(l4 + 2, add(pseudo6(ip, 58, 68), l4, 68));
		return 14 + 40 + 68;
	}
	ip = ether(f, to, ETH_P_IP);
	l4 = ipv4(ip, 1, 8 + 20 + 8, 0, 0);
	memset(l4, 0, 8);
	l4[0] = any(2) ? 3 : 11;
	l4[1] = (uint8_t)any(16);
	put16(l4 + 6, 1400);
	ipv4(l4 + 8, 6, 20, 0, 0);
	memcpy(l4 + 20, vip4, 4);
	put16(l4 + 28, 80);
	put16(l4 + 30, any(65536));
	seal(l4 + 2, add(0, l4, 36));
	return 14 + 20 + 36;
}

/* A packet that was right until some of its bytes, its length or its frame changed. */
static int garbage(uint8_t *f, const uint8_t to[6])
{
	int length = any(3) == 0 ? fragment(f, to) : any(2) ? syn(f, to) : icmp(f, to);
	unsigned int changes = any(6);

	switch (any(6)) {
	case 0: /* IPv4 options, or an IPv6 extension header */
		if (f[12] == 8) {
			f[14] = (uint8_t)(0x45 + any(11));
		} else {
			static const uint8_t headers[] = {0, 43, 44, 50, 51, 59, 60, 135};

			f[20] = headers[any(8)];
		}
		break;
	case 1: /* a VLAN tag */
		memmove(f + 16, f + 12, (size_t)length - 12);
		put16(f + 12, any(2) ? ETH_P_8021Q : ETH_P_8021AD);
		put16(f + 14, any(65536));
		length += 4;
		break;
	case 2: /* cut short */
		length = 14 + (int)any((uint32_t)length - 13);
		break;
	case 3: /* whatever link protocol */
		put16(f + 12, any(65536));
		break;
	}
	while (changes-- > 0)
		f[14 + any(60)] = (uint8_t)any(256);
	if (f[12] == 8 && f[13] == 0 && any(2)) {
		put16(f + 24, 0);
		seal(f + 24, add(0, f + 14, (f[14] & 15) * 4));
	}
	return length < 60 && any(2) ? 60 : length;
}

static const struct {
	const char *name;
	int (*fill)(uint8_t *f, const uint8_t to[6]);
} kinds[] = {{"syn", syn}, {"fragment", fragment}, {"arp", arp},
	     {"nd", nd},   {"icmp", icmp},	   {"garbage", garbage}};

int main(int argc, char **argv)
{
	static uint8_t frames[BURST][ROOM];
	struct mmsghdr messages[BURST] = {0};
	struct iovec pieces[BURST];
	struct sockaddr_ll to = {.sll_family = AF_PACKET, .sll_halen = 6};
	int fd = socket(AF_PACKET, SOCK_RAW, 0);
	int (*fill)(uint8_t * f, const uint8_t mac[6]) = NULL;
	unsigned long long sent = 0, count;
	unsigned int mac[6];
	uint8_t bytes[6];

	if (argc < 7 || fd < 0 || inet_pton(AF_INET, argv[3], vip4) != 1 ||
	    inet_pton(AF_INET6, argv[4], vip6) != 1 ||
	    sscanf(argv[2], "%x:%x:%x:%x:%x:%x", &mac[0], &mac[1], &mac[2], &mac[3], &mac[4], &mac[5]) != 6)
		return 2;
	for (int i = 0; i < 6; i++)
		bytes[i] = (uint8_t)mac[i];
	for (unsigned int i = 0; i < sizeof(kinds) / sizeof(kinds[0]); i++)
		if (strcmp(kinds[i].name, argv[5]) == 0)
			fill = kinds[i].fill;
	to.sll_ifindex = (int)if_nametoindex(argv[1]);
	count = strtoull(argv[6], NULL, 10);
	state = argc > 7 ? strtoull(argv[7], NULL, 10) | 1 : 88172645463325252ull;
	if (fill == NULL || to.sll_ifindex == 0)
		return 2;
	while (sent < count) {
		unsigned int burst = count - sent < BURST ? (unsigned int)(count - sent) : BURST, at = 0;

		for (unsigned int i = 0; i < burst; i++) {
			int length = fill(frames[i], bytes);

			pieces[i] = (struct iovec){.iov_base = frames[i], .iov_len = (size_t)length};
			messages[i].msg_hdr = (struct msghdr){.msg_name = &to,
							      .msg_namelen = sizeof(to),
							      .msg_iov = &pieces[i],
							      .msg_iovlen = 1};
		}
		while (at < burst) {
			int done = sendmmsg(fd, messages + at, burst - at, 0);

			if (done < 0 && errno != ENOBUFS && errno != EINTR)
				return 3;
			if (done > 0)
				at += (unsigned int)done;
		}
		sent += burst;
		/* The wire is a queue of packets in the kernel: what does not fit there never reaches the
		 * director. */
		usleep(PACE_US);
	}
	printf("%llu\n", sent);
	return 0;
}
