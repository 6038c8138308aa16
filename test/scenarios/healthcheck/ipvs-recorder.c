// Test only: a stand-in for the kernel's IPVS, preloaded into the real keepalived so that its checkers run
// where no ip_vs module is. Every change of the virtual server table that keepalived asks for is written as
// one line to the file named by IPVS_RECORD.
//
// Build: gcc -shared -fPIC -O1 -o ipvs-recorder.so ipvs-recorder.c -ldl

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/ip_vs.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static void record(const char *line)
{
	const char *path = getenv("IPVS_RECORD");
	int fd = path ? open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644) : -1;

	if (fd < 0)
		return;
	if (write(fd, line, strlen(line)) < 0)
		perror("IPVS_RECORD");
	close(fd);
}

static void service_text(const struct ip_vs_service_user *service, char *text, size_t size)
{
	char address[INET_ADDRSTRLEN];
	struct in_addr in = {.s_addr = service->addr};

	if (service->fwmark)
		snprintf(text, size, "fwm:%u", service->fwmark);
	else
		snprintf(text, size, "%s:%s:%u", service->protocol == IPPROTO_UDP ? "udp" : "tcp",
			 inet_ntop(AF_INET, &in, address, sizeof(address)), ntohs(service->port));
}

static int answer_set(int option, const void *value)
{
	const struct ip_vs_service_user *service = value;
	const struct ip_vs_dest_user *dest = (const void *)(service + 1);
	char name[64], line[256], address[INET_ADDRSTRLEN];
	struct in_addr in;

	switch (option) {
	case IP_VS_SO_SET_ADD:
	case IP_VS_SO_SET_EDIT:
	case IP_VS_SO_SET_DEL:
		service_text(service, name, sizeof(name));
		snprintf(line, sizeof(line), "%s service %s %s\n",
			 option == IP_VS_SO_SET_ADD    ? "add"
			 : option == IP_VS_SO_SET_EDIT ? "edit"
						       : "delete",
			 name, service->sched_name);
		break;
	case IP_VS_SO_SET_ADDDEST:
	case IP_VS_SO_SET_EDITDEST:
	case IP_VS_SO_SET_DELDEST:
		service_text(service, name, sizeof(name));
		in.s_addr = dest->addr;
		snprintf(line, sizeof(line), "%s server %s %s:%u %d\n",
			 option == IP_VS_SO_SET_ADDDEST	   ? "add"
			 : option == IP_VS_SO_SET_EDITDEST ? "edit"
							   : "delete",
			 name, inet_ntop(AF_INET, &in, address, sizeof(address)), ntohs(dest->port),
			 dest->weight);
		break;
	case IP_VS_SO_SET_FLUSH:
		snprintf(line, sizeof(line), "flush\n");
		break;
	default:
		return 0;
	}
	record(line);
	return 0;
}

int setsockopt(int fd, int level, int option, const void *value, socklen_t length)
{
	static int (*real)(int, int, int, const void *, socklen_t);

	if (level == IPPROTO_IP && option >= IP_VS_BASE_CTL && option <= IP_VS_SO_SET_MAX)
		return answer_set(option, value);
	if (!real)
		real = (int (*)(int, int, int, const void *, socklen_t))dlsym(RTLD_NEXT, "setsockopt");
	return real(fd, level, option, value, length);
}

int getsockopt(int fd, int level, int option, void *value, socklen_t *length)
{
	static int (*real)(int, int, int, void *, socklen_t *);

	if (level == IPPROTO_IP && option >= IP_VS_BASE_CTL && option <= IP_VS_SO_GET_MAX) {
		if (option == IP_VS_SO_GET_INFO) {
			struct ip_vs_getinfo *info = value;

			info->version = 0x010201;
			info->size = 4096;
			info->num_services = 0;
			return 0;
		}
		errno = ENOENT;
		return -1;
	}
	if (!real)
		real = (int (*)(int, int, int, void *, socklen_t *))dlsym(RTLD_NEXT, "getsockopt");
	return real(fd, level, option, value, length);
}
