/* The TAP devices themselves: made, taken over, dressed as their ports. */
#include "twin.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/if_tun.h>
#include <net/if.h>
#include <net/if_arp.h>
#include <stdio.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"

static void request_for(struct ifreq *ifr, const char *name)
{
	memset(ifr, 0, sizeof(*ifr));
	memcpy(ifr->ifr_name, name, strnlen(name, sizeof(ifr->ifr_name) - 1));
}

/* One question to the kernel about a device. */
static int ask(unsigned long request, struct ifreq *ifr)
{
	int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0), done, reason;

	if (fd < 0)
		return -1;
	done = ioctl(fd, request, ifr);
	reason = errno;
	close(fd);
	errno = reason;
	return done;
}

void twin_device_set_up(const struct twin *twin, bool up)
{
	struct ifreq ifr = {0};

	request_for(&ifr, twin->name);
	if (ask(SIOCGIFFLAGS, &ifr) < 0)
		return;
	if (up)
		ifr.ifr_flags |= IFF_UP;
	else
		ifr.ifr_flags &= ~IFF_UP;
	if (ask(SIOCSIFFLAGS, &ifr) < 0)
		log_line(LOG_WARNING_LEVEL, "twin %s: %s", twin->name, strerror(errno));
}

bool twin_device_read(const struct twin *twin, struct twin_state *now)
{
	struct ifreq ifr;

	request_for(&ifr, twin->name);
	if (ask(SIOCGIFHWADDR, &ifr) < 0)
		return false;
	memcpy(now->mac, ifr.ifr_hwaddr.sa_data, sizeof(now->mac));
	request_for(&ifr, twin->name);
	if (ask(SIOCGIFMTU, &ifr) < 0)
		return false;
	now->mtu = (uint16_t)ifr.ifr_mtu; /* a TAP has 65521 at most */
	request_for(&ifr, twin->name);
	if (ask(SIOCGIFFLAGS, &ifr) < 0)
		return false;
	now->up = (ifr.ifr_flags & IFF_UP) != 0;
	return true;
}

int twin_device_set_mac(const struct twin *twin, const uint8_t mac[6])
{
	struct ifreq ifr;

	request_for(&ifr, twin->name);
	/* Even the same one again would make the kernel forget its neighbours. */
	if (ask(SIOCGIFHWADDR, &ifr) == 0 && memcmp(ifr.ifr_hwaddr.sa_data, mac, 6) == 0)
		return 0;
	ifr.ifr_hwaddr.sa_family = ARPHRD_ETHER;
	memcpy(ifr.ifr_hwaddr.sa_data, mac, 6);
	return ask(SIOCSIFHWADDR, &ifr) < 0 ? errno : 0;
}

int twin_device_set_mtu(const struct twin *twin, uint16_t mtu)
{
	struct ifreq ifr;

	request_for(&ifr, twin->name);
	ifr.ifr_mtu = mtu;
	return ask(SIOCSIFMTU, &ifr) < 0 ? errno : 0;
}

static int tap_open(const char *name, bool multi_queue)
{
	struct ifreq ifr = {.ifr_flags = (short)(IFF_TAP | IFF_NO_PI | (multi_queue ? IFF_MULTI_QUEUE : 0))};
	int fd = open("/dev/net/tun", O_RDWR | O_NONBLOCK | O_CLOEXEC);

	if (fd < 0)
		return -1;
	memcpy(ifr.ifr_name, name, strnlen(name, sizeof(ifr.ifr_name) - 1));
	if (ioctl(fd, TUNSETIFF, &ifr) < 0 || ioctl(fd, TUNSETPERSIST, 1) < 0) {
		int reason = errno;

		close(fd);
		errno = reason;
		return -1;
	}
	return fd;
}

/* A switch of the kernel; that one is missing is no failure. */
static void set_sysctl(const char *family, const char *name, const char *item)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/proc/sys/net/%s/conf/%s/%s", family, name, item);
	fd = open(path, O_WRONLY | O_CLOEXEC);
	if (fd < 0)
		return;
	if (write(fd, "1", 1) < 0)
		log_line(LOG_INFORMATION, "%s: %s", path, strerror(errno));
	close(fd);
}

int twin_device_open(struct twin *twin, struct error *error)
{
	/* A TAP that somebody made without multi_queue is taken as it is. */
	bool multi_queue = true;

	for (twin->queues = 0; twin->queues < TWIN_QUEUES; twin->queues++) {
		int fd = tap_open(twin->name, multi_queue);

		if (fd < 0 && errno == EINVAL && twin->queues == 0) {
			multi_queue = false;
			fd = tap_open(twin->name, multi_queue);
		}
		if (fd < 0)
			return error_set(
			    error, "twin",
			    errno == ENOENT  ? "load the tun module (modprobe tun), or set `kni off`"
			    : errno == EBUSY ? "another process holds it: end it, or choose another kni_name"
					     : "start as root, or set `kni off`",
			    "kernel twin %s: %s", twin->name, strerror(errno));
		twin->fds[twin->queues] = fd;
		if (!multi_queue) {
			twin->queues++;
			break;
		}
	}
	twin->tap_fd = twin->fds[0];
	/* When the MAC address changes with the port's, neighbours of the kernel's addresses hear of it. */
	set_sysctl("ipv4", twin->name, "arp_notify");
	set_sysctl("ipv6", twin->name, "ndisc_notify");
	return 0;
}

void twin_device_set_carrier(struct twin *twin, bool carrier)
{
	unsigned int value = carrier;

	if (ioctl(twin->tap_fd, TUNSETCARRIER, &value) < 0)
		log_line(LOG_WARNING_LEVEL, "twin %s: link state: %s", twin->name, strerror(errno));
	twin->carrier = carrier;
}
