/* A port and its twin, changed by turns and at once: they agree after each look, on what was told last. With
 * a TAP device in a network namespace of this process's own. */
#include "check.h"

#include <net/if.h>
#include <net/if_arp.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "log.h"
#include "twin.h"

enum { ROUNDS = 3000, MTU_LEAST = 1280, PORT_MTU_MOST = 1500 };

static struct twin twin;
static struct net_port port;
static int kernel = -1; /* a socket to ask the kernel by */

/* ---- the two who change things ---- */

static struct ifreq request(const char *name)
{
	struct ifreq ifr = {0};

	memcpy(ifr.ifr_name, name, strnlen(name, sizeof(ifr.ifr_name) - 1));
	return ifr;
}

static void kernel_mtu(uint16_t mtu)
{
	struct ifreq ifr = request(twin.name);

	ifr.ifr_mtu = mtu;
	CHECK_EQ(ioctl(kernel, SIOCSIFMTU, &ifr), 0);
}

static void kernel_mac(uint8_t last)
{
	struct ifreq ifr = request(twin.name);

	ifr.ifr_hwaddr = (struct sockaddr){.sa_family = ARPHRD_ETHER, .sa_data = {2, 0, 0, 0, 0, (char)last}};
	CHECK_EQ(ioctl(kernel, SIOCSIFHWADDR, &ifr), 0);
}

static void kernel_up(bool up)
{
	struct ifreq ifr = request(twin.name);

	CHECK_EQ(ioctl(kernel, SIOCGIFFLAGS, &ifr), 0);
	ifr.ifr_flags = (short)(up ? ifr.ifr_flags | IFF_UP : ifr.ifr_flags & ~IFF_UP);
	CHECK_EQ(ioctl(kernel, SIOCSIFFLAGS, &ifr), 0);
}

static void kernel_rename(const char *from, const char *to)
{
	struct ifreq ifr = request(from);

	snprintf(ifr.ifr_newname, sizeof(ifr.ifr_newname), "%s", to);
	CHECK_EQ(ioctl(kernel, SIOCSIFNAME, &ifr), 0);
}

static void dpip_mtu(uint16_t mtu)
{
	port.mtu = mtu;
	twin_dress(&twin, &port, LINK_MTU);
}

static void dpip_mac(uint8_t last)
{
	memcpy(port.mac, (const uint8_t[]){2, 0, 0, 0, 0, last}, sizeof(port.mac));
	twin_dress(&twin, &port, LINK_MAC);
}

static void dpip_up(bool up)
{
	port.stopped = !up;
	twin_dress(&twin, &port, LINK_UP);
}

/* As host_twin.c does it, with a driver that refuses large MTUs. */
static void look(bool was_down)
{
	struct link_change change;
	uint32_t what = twin_compare(&twin, &port, was_down, &change);

	if (what & LINK_MAC)
		memcpy(port.mac, change.mac, sizeof(port.mac));
	if (what & LINK_UP)
		port.stopped = !change.up;
	if (what & LINK_MTU && change.mtu <= PORT_MTU_MOST)
		port.mtu = change.mtu;
	else if (what & LINK_MTU)
		twin_dress(&twin, &port, LINK_MTU);
}

/* ---- what must come out ---- */

static void check_both(uint16_t mtu, uint8_t mac)
{
	struct twin_state now;

	CHECK(twin_device_read(&twin, &now));
	CHECK_EQ(now.mtu, mtu);
	CHECK_EQ(port.mtu, mtu);
	CHECK_EQ(now.mac[5], mac);
	CHECK_EQ(port.mac[5], mac);
}

static void begin(void)
{
	kernel_up(true);
	port = (struct net_port){.up = true, .has_twin = true};
	dpip_mtu(PORT_MTU_MOST);
	dpip_mac(1);
	twin.agreed.up = true;
	look(false);
	check_both(PORT_MTU_MOST, 1);
}

/* ---- cases ---- */

static void a_change_that_takes_back_another_is_followed(void)
{
	begin();
	dpip_mtu(1400);
	kernel_mtu(PORT_MTU_MOST);
	look(false);
	check_both(PORT_MTU_MOST, 1);
	dpip_mac(2);
	kernel_mac(1);
	look(false);
	check_both(PORT_MTU_MOST, 1);
	kernel_mtu(1400);
	dpip_mtu(PORT_MTU_MOST);
	look(false);
	check_both(PORT_MTU_MOST, 1);
	/* The port is taken down by dpip, and the twin down and up before anybody looks. */
	dpip_up(false);
	kernel_up(false);
	kernel_up(true);
	look(true);
	CHECK(!port.stopped);
}

static void a_change_of_one_item_does_not_take_back_another(void)
{
	begin();
	kernel_mac(7);
	dpip_mtu(1400);
	look(false);
	check_both(1400, 7);
	kernel_mtu(1300);
	dpip_mac(8);
	look(false);
	check_both(1300, 8);
	/* Nor does a port that loses its cable. */
	kernel_mtu(1350);
	kernel_mac(9);
	port.up = false;
	twin_follow(&(struct twins){.twins = {twin}}, 0, &port);
	look(false);
	check_both(1350, 9);
}

static void both_agree_on_the_last_change(void)
{
	uint16_t mtu = PORT_MTU_MOST;
	uint8_t mac = 1;
	bool up = true, was_down = false;

	begin();
	for (unsigned int round = 0; round < ROUNDS; round++) {
		unsigned int changes = 1 + (unsigned int)(check_random() % 6);

		for (unsigned int i = 0; i < changes; i++) {
			/* Few values, so that they come back often. */
			uint16_t new_mtu = (uint16_t)(MTU_LEAST + check_random() % 3);
			uint8_t new_mac = (uint8_t)(1 + check_random() % 3);
			bool by_kernel = check_random() % 2 == 0;

			switch (check_random() % 3) {
			case 0:
				(by_kernel ? kernel_mtu : dpip_mtu)(mtu = new_mtu);
				break;
			case 1:
				(by_kernel ? kernel_mac : dpip_mac)(mac = new_mac);
				break;
			default:
				if (!by_kernel)
					break;
				was_down |= up;
				kernel_up(up = !up);
			}
			if (check_random() % 8 == 0) {
				look(was_down);
				was_down = false;
			}
		}
		look(was_down);
		was_down = false;
		check_both(mtu, mac);
		CHECK_EQ(port.stopped, !up);
	}
}

static void what_dpip_says_of_the_link_last_holds(void)
{
	begin();
	kernel_up(false);
	dpip_up(true);
	look(false);
	CHECK(!port.stopped);
	kernel_up(true);
	look(false);
	dpip_up(false);
	look(false);
	CHECK(port.stopped);
	/* Its own loss of carrier is news of the twin, and none for the port. */
	look(false);
	CHECK(port.stopped);
}

static void what_the_driver_refuses_is_taken_back(void)
{
	begin();
	kernel_mtu(9000);
	kernel_mac(5);
	look(false);
	check_both(PORT_MTU_MOST, 5);
	kernel_mtu(1400);
	look(false);
	check_both(1400, 5);
}

static void what_the_kernel_refuses_is_said_once(void)
{
	char path[] = "/tmp/twin-log-XXXXXX", text[1024] = "";
	int fd = mkstemp(path);
	char *at;

	begin();
	log_open(path);
	port.mtu = 10; /* a TAP has 68 at least */
	for (unsigned int i = 0; i < 5; i++)
		look(false);
	log_open("/dev/stderr");
	CHECK(pread(fd, text, sizeof(text) - 1, 0) > 0);
	at = strstr(text, "refuses the port's MTU");
	CHECK(at != NULL);
	CHECK(at == NULL || strstr(at + 1, "refuses") == NULL);
	port.mtu = 1400;
	look(false);
	check_both(1400, 1);
	close(fd);
	unlink(path);
}

/* Moved to another namespace; here, to another name. */
static void a_twin_that_is_away_leaves_the_port_alone(void)
{
	begin();
	kernel_up(false);
	look(false);
	CHECK(port.stopped);
	kernel_rename("twin0", "away0");
	look(false);
	CHECK(!port.stopped);
	dpip_mtu(1400);
	dpip_mac(3);
	look(false);
	CHECK_EQ(port.mtu, 1400);
	kernel_rename("away0", "twin0");
	kernel_up(true);
	look(false);
	check_both(1400, 3);
	CHECK(!port.stopped);
}

int main(void)
{
	struct error error = {0};

	twin.wire_fd = -1;
	snprintf(twin.name, sizeof(twin.name), "twin0");
	kernel = unshare(CLONE_NEWNET) == 0 ? socket(AF_INET, SOCK_DGRAM, 0) : -1;
	if (kernel < 0 || twin_device_open(&twin, &error) < 0) {
		printf("skip twin-follow: needs root and /dev/net/tun: %s\n", error.text);
		return 0;
	}
	RUN(a_change_that_takes_back_another_is_followed);
	RUN(a_change_of_one_item_does_not_take_back_another);
	RUN(both_agree_on_the_last_change);
	RUN(what_dpip_says_of_the_link_last_holds);
	RUN(what_the_driver_refuses_is_taken_back);
	RUN(what_the_kernel_refuses_is_said_once);
	RUN(a_twin_that_is_away_leaves_the_port_alone);
	return check_end();
}
