/* A port and its twin have one MAC address and one MTU, and the twin's administrative state is the port's.
 * Each side may be changed at any time, the twin by anybody and without asking. Both are compared with what
 * they agreed upon last: whichever differs from that was changed, and the other follows. Comparing them with
 * each other would not tell who has to follow; comparing the twin with how it was at the last look would
 * overlook a change that takes back what the port was told in between.
 *
 * When both changed since the last look the twin has the last word, unless the port was told by `dpip link
 * set`: that writes to the twin at once, and so comes behind whatever the kernel was told before it. */
#include "twin.h"

#include <errno.h>

#include "log.h"

static bool given(struct twin *twin, int reason, const char *what)
{
	/* One that is in another network namespace is given it when it comes back. */
	if (reason != 0 && reason != ENODEV && !twin->deaf) {
		twin->deaf = true;
		log_line(LOG_WARNING_LEVEL, "twin %s: the kernel refuses the port's %s: %s", twin->name, what,
			 strerror(reason));
	}
	return reason == 0;
}

void twin_dress(struct twin *twin, const struct net_port *net_port, uint32_t items)
{
	bool mac = (items & LINK_MAC) == 0, mtu = (items & LINK_MTU) == 0;
	struct twin_state now;

	if (!mac && given(twin, twin_device_set_mac(twin, net_port->mac), "MAC address")) {
		memcpy(twin->agreed.mac, net_port->mac, sizeof(twin->agreed.mac));
		mac = true;
	}
	if (!mtu && given(twin, twin_device_set_mtu(twin, net_port->mtu), "MTU")) {
		twin->agreed.mtu = net_port->mtu;
		mtu = true;
	}
	if (mac && mtu)
		twin->deaf = false;
	if (items & LINK_UP && twin_device_read(twin, &now))
		twin->agreed.up = now.up;
}

/* What of the port is not as it was agreed. */
static uint32_t port_differs(const struct twin *twin, const struct net_port *net_port)
{
	return (memcmp(net_port->mac, twin->agreed.mac, sizeof(twin->agreed.mac)) != 0 ? LINK_MAC : 0) |
	       (net_port->mtu != twin->agreed.mtu ? LINK_MTU : 0);
}

uint32_t twin_compare(struct twin *twin, const struct net_port *net_port, bool was_down,
		      struct link_change *change)
{
	struct twin_state now;

	memset(change, 0, sizeof(*change));
	if (!twin_device_read(twin, &now)) {
		/* Whoever takes a twin away has not pulled the cable. */
		if (!twin->agreed.up)
			change->what = LINK_UP;
		change->up = true;
		twin->agreed.up = true;
		return change->what;
	}
	if (memcmp(now.mac, twin->agreed.mac, sizeof(now.mac)) != 0)
		change->what |= LINK_MAC;
	if (now.mtu != twin->agreed.mtu)
		change->what |= LINK_MTU;
	if (now.up != twin->agreed.up || (was_down && now.up && net_port->stopped))
		change->what |= LINK_UP;
	memcpy(change->mac, now.mac, sizeof(change->mac));
	change->mtu = now.mtu;
	change->up = now.up;
	twin_dress(twin, net_port, port_differs(twin, net_port) & ~change->what);
	if (change->what & LINK_MAC)
		memcpy(twin->agreed.mac, now.mac, sizeof(now.mac));
	if (change->what & LINK_MTU)
		twin->agreed.mtu = now.mtu;
	twin->agreed.up = now.up;
	return change->what;
}

void twin_follow(struct twins *twins, uint16_t port, const struct net_port *net_port)
{
	struct twin *twin = &twins->twins[port];

	if (twin->queues == 0)
		return;
	twin_dress(twin, net_port, port_differs(twin, net_port));
	if (twin->carrier != net_port->up)
		twin_device_set_carrier(twin, net_port->up);
}
