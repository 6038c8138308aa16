// Peers of the health check benchmark: one TCP listener and one UDP socket stand for all of 127.0.0.0/8.
// Counts the checks that arrive and how regularly they come to each address, so that two checkers can be
// compared from outside, by the same ruler.
//
// usage: check-peers PORT PERIOD_MS    then on stdin: "reset", "report" (one JSON line), end of file to leave

#ifndef _GNU_SOURCE
#define _GNU_SOURCE
#endif
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { ADDRESSES = 1 << 20, LATEST = 20000 };

static double last[ADDRESSES];
static uint64_t late[LATEST + 1]; // by milliseconds later than one period after the one before
static uint64_t seen, measured;
static double started, period;

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec * 1e3 + t.tv_nsec / 1e6;
}

static void note(struct in_addr address)
{
	double time = now();
	double *before = &last[ntohl(address.s_addr) & (ADDRESSES - 1)];

	seen++;
	if (*before != 0) {
		double over = time - *before - period;

		late[over < 0 ? 0 : over > LATEST ? LATEST : (int)over]++;
		measured++;
	}
	*before = time;
}

static double quantile(double part)
{
	uint64_t sum = 0;

	for (int ms = 0; ms <= LATEST; ms++) {
		sum += late[ms];
		if (sum > 0 && sum >= part * measured)
			return ms + 1;
	}
	return 0;
}

// Connections stay until the checker ends them, as a server's would.
static void accept_all(int set, int listener)
{
	struct sockaddr_in own;
	socklen_t length;

	for (int count = 0; count < 256; count++) {
		int fd = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
		struct epoll_event event = {.events = EPOLLIN | EPOLLRDHUP, .data.fd = fd};

		if (fd < 0)
			return;
		length = sizeof(own);
		if (getsockname(fd, (struct sockaddr *)&own, &length) == 0)
			note(own.sin_addr);
		epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	}
}

static void answer_all(int fd)
{
	char data[2048], control[256];

	for (int count = 0; count < 256; count++) {
		struct sockaddr_in peer;
		struct iovec vector = {data, sizeof(data)};
		struct msghdr message = {.msg_name = &peer,
					 .msg_namelen = sizeof(peer),
					 .msg_iov = &vector,
					 .msg_iovlen = 1,
					 .msg_control = control,
					 .msg_controllen = sizeof(control)};
		ssize_t size = recvmsg(fd, &message, MSG_DONTWAIT);

		if (size < 0)
			return;
		for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c; c = CMSG_NXTHDR(&message, c))
			if (c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_PKTINFO) {
				struct in_pktinfo *info = (struct in_pktinfo *)CMSG_DATA(c);

				note(info->ipi_addr);
				// The reply leaves from the address that was asked.
				info->ipi_spec_dst = info->ipi_addr;
				info->ipi_ifindex = 0;
			}
		vector.iov_len = (size_t)size;
		if (sendmsg(fd, &message, MSG_DONTWAIT) < 0 && errno != EAGAIN && errno != ECONNREFUSED)
			perror("sendmsg");
	}
}

static int command(void)
{
	char line[64];

	if (!fgets(line, sizeof(line), stdin))
		return 0;
	if (!strncmp(line, "reset", 5)) {
		memset(late, 0, sizeof(late));
		memset(last, 0, sizeof(last));
		seen = measured = 0;
		started = now();
	} else if (!strncmp(line, "report", 6)) {
		printf("{\"checks\":%lu,\"milliseconds\":%.0f,\"p50\":%.0f,\"p99\":%.0f}\n",
		       (unsigned long)seen, now() - started, quantile(0.5), quantile(0.99));
		fflush(stdout);
	}
	return 1;
}

int main(int argc, char **argv)
{
	struct sockaddr_in address = {.sin_family = AF_INET};
	int one = 1, set = epoll_create1(0), big = 8 << 20;
	int listener = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK, 0),
	    udp = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK, 0);

	if (argc < 3)
		return 2;
	address.sin_port = htons((uint16_t)atoi(argv[1]));
	period = atof(argv[2]);
	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(udp, IPPROTO_IP, IP_PKTINFO, &one, sizeof(one));
	setsockopt(udp, SOL_SOCKET, SO_RCVBUFFORCE, &big, sizeof(big));
	if (bind(listener, (struct sockaddr *)&address, sizeof(address)) < 0 || listen(listener, 65535) < 0 ||
	    bind(udp, (struct sockaddr *)&address, sizeof(address)) < 0) {
		perror("check-peers");
		return 1;
	}
	for (int i = 0; i < 3; i++) {
		int fd = i == 0 ? 0 : i == 1 ? listener : udp;
		struct epoll_event event = {.events = EPOLLIN, .data.fd = fd};

		epoll_ctl(set, EPOLL_CTL_ADD, fd, &event);
	}
	started = now();
	puts("ready");
	fflush(stdout);
	for (;;) {
		struct epoll_event events[256];
		int count = epoll_wait(set, events, 256, -1);

		for (int i = 0; i < count; i++) {
			if (events[i].data.fd == listener)
				accept_all(set, listener);
			else if (events[i].data.fd == udp)
				answer_all(udp);
			else if (events[i].data.fd != 0)
				close(events[i].data.fd);
			else if (!command())
				return 0;
		}
	}
}
