/* Telling the network about addresses of ours: gratuitous ARP (RFC 5227 2.3) and unsolicited neighbour
 * advertisements (RFC 4861 7.2.6). */
#include "arp.h"
#include "master.h"
#include "nd.h"

enum {
	SPACING_US = 100, /* between two announcements: thousands of addresses must not flood switch or ring
			   */
	MAX_REPEAT = 1000,
};

static void announce_arp(struct net_master *master, const struct address *address)
{
	static const uint8_t broadcast[6] = {0xff, 0xff, 0xff, 0xff, 0xff, 0xff};
	uint8_t frame[ARP_FRAME_SIZE];
	struct arp_message message = {
	    .operation = ARP_REQUEST,
	    .sender = address->address,
	    .target = address->address,
	};

	memcpy(message.sender_mac, master->net->ports[address->port].mac, 6);
	arp_write(frame, broadcast, &message);
	net_send(master, address->port, frame, sizeof(frame));
}

static void announce_nd(struct net_master *master, const struct address *address)
{
	const uint8_t *mac = master->net->ports[address->port].mac;
	uint8_t frame[ND_FRAME_SIZE], group_mac[6];
	struct nd_message message = {
	    .type = ND_ADVERTISEMENT,
	    .flags = (uint8_t)(ND_OVERRIDE | (master->net->forwarding6 ? ND_ROUTER : 0)),
	    .has_mac = true,
	    .source = address->address,
	    .destination = {.b = {0xff, 0x02, [15] = 1}},
	    .target = address->address,
	};

	memcpy(message.mac, mac, 6);
	nd_multicast_mac(&message.destination, group_mac);
	net_send(master, address->port, frame, nd_write(frame, mac, group_mac, &message));
}

/* The next free moment, not before this one; milliseconds. */
static uint64_t reserve_moment(struct net_master *master, uint64_t wanted)
{
	uint64_t at = RTE_MAX(master->announce_at, wanted * 1000);

	master->announce_at = at + SPACING_US;
	return at / 1000;
}

void announce_start(struct net_master *master, struct own_address *own, uint32_t count, uint32_t interval_ms,
		    uint64_t now)
{
	own->announcements = RTE_MIN(RTE_MAX(count, 1u), (uint32_t)MAX_REPEAT);
	own->announce_interval_ms = RTE_MAX(interval_ms, 1u);
	timer_set(&master->timers, &own->announcing, reserve_moment(master, now));
}

void announce_fire(void *context, struct timer *timer, uint64_t now)
{
	struct net_master *master = context;
	struct own_address *own = container_of(timer, struct own_address, announcing);

	/* A port that comes up announces all of its addresses. */
	if (!master->net->ports[own->address.port].up) {
		own->announcements = 0;
		return;
	}
	if (own->address.family == FAMILY_IPV6)
		announce_nd(master, &own->address);
	else
		announce_arp(master, &own->address);
	if (--own->announcements > 0)
		timer_set(&master->timers, timer, now + own->announce_interval_ms);
}

int net_announce(struct net_master *master, const struct address *address, uint32_t repeat,
		 uint32_t interval_ms, uint64_t now_ms, struct error *error)
{
	enum family family = (enum family)address->family;
	struct own_address *own = NULL;

	master->now = now_ms;
	if (port_exists(master, address->port))
		own = own_address_find(master, address->port, family, &address->address);
	if (!own)
		return error_set(error, "not-found", "dpip addr show lists the addresses",
				 "no address %s on this device", ip_text(family, &address->address));
	announce_start(master, own, repeat, interval_ms, now_ms);
	return 0;
}
