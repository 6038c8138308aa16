#include "groups.h"

#include <stdlib.h>

#include "../log.h"

enum { PIECE = 64 };

int groups_set_kernel(struct groups *groups, uint16_t port, const uint8_t (*macs)[6], uint32_t count,
		      struct error *error)
{
	struct port_groups *p = &groups->ports[port];
	struct rte_ether_addr *list;

	if (count > GROUPS_MAX)
		return error_set(error, "full", NULL, "%u multicast groups are more than a port holds (%d)",
				 count, GROUPS_MAX);
	list = calloc(count ? count : 1, sizeof(*list));
	if (list == NULL)
		return error_set(error, "full", NULL, "there is no memory for %u multicast groups", count);
	memcpy(list, macs, count * sizeof(*list));
	free(p->kernel);
	p->kernel = list;
	p->kernel_count = count;
	groups->changed = true;
	return 0;
}

static void add(struct port_groups *p, const uint8_t mac[6])
{
	for (uint32_t i = 0; i < p->count; i++)
		if (memcmp(&p->all[i].mac, mac, 6) == 0) {
			p->all[i].references++;
			return;
		}
	if (p->count == GROUPS_MAX)
		return;
	memcpy(&p->all[p->count].mac, mac, 6);
	p->all[p->count++].references = 1;
}

/* RFC 1112 6.4 and RFC 2464 7: all hosts of both families, and of each IPv6 address its solicited-node group
 * (RFC 4291 2.7.1). */
static void add_own(struct groups *groups, const struct net *net, const struct net_master *stack)
{
	static const uint8_t all4[6] = {0x01, 0x00, 0x5e, 0, 0, 1}, all6[6] = {0x33, 0x33, 0, 0, 0, 1};
	struct address piece[PIECE];
	uint64_t cursor = 0;
	size_t count;

	for (uint16_t port = 0; port < MAX_PORTS; port++) {
		const uint8_t *mac = net->ports[port].mac;

		if (net->ports[port].name[0] == '\0')
			continue;
		add(&groups->ports[port], all4);
		add(&groups->ports[port], all6);
		/* The link-local address, formed of the MAC. */
		add(&groups->ports[port], (const uint8_t[6]){0x33, 0x33, 0xff, mac[3], mac[4], mac[5]});
	}
	while ((count = net_addresses_list(stack, &cursor, piece, PIECE)) > 0)
		for (size_t i = 0; i < count; i++) {
			const uint8_t *b = piece[i].address.b;

			if (piece[i].family == FAMILY_IPV6)
				add(&groups->ports[piece[i].port],
				    (const uint8_t[6]){0x33, 0x33, 0xff, b[13], b[14], b[15]});
		}
}

/* Into the port's filter. A driver without one, or whose filter is too small, takes all multicast. */
static void fill_filter(struct port_groups *p, const struct port *port)
{
	static struct rte_ether_addr list[GROUPS_MAX];

	if (p->open)
		return;
	for (uint32_t i = 0; i < p->count; i++)
		list[i] = p->all[i].mac;
	if (p->count < GROUPS_MAX && rte_eth_dev_set_mc_addr_list(port->ethdev, list, p->count) == 0)
		return;
	p->open = true;
	if (rte_eth_allmulticast_enable(port->ethdev) == 0)
		log_line(LOG_INFORMATION, "port %s takes all multicast: its driver has no list of groups",
			 port->setting->name);
}

void groups_follow(struct groups *groups, struct port ports[], const struct net *net,
		   const struct net_master *stack)
{
	if (!groups->changed && groups->generation == net->generation)
		return;
	groups->changed = false;
	groups->generation = net->generation;
	for (uint16_t i = 0; i < MAX_PORTS; i++) {
		struct port_groups *p = &groups->ports[i];

		if (net->ports[i].name[0] == '\0')
			continue;
		if (p->all == NULL)
			p->all = calloc(GROUPS_MAX, sizeof(*p->all));
		if (p->all == NULL) {
			groups->changed = true;
			return;
		}
		p->count = 0;
		for (uint32_t k = 0; k < p->kernel_count; k++)
			add(p, p->kernel[k].addr_bytes);
	}
	add_own(groups, net, stack);
	for (uint16_t i = 0; i < MAX_PORTS; i++)
		if (net->ports[i].name[0] != '\0')
			fill_filter(&groups->ports[i], &ports[i]);
}
