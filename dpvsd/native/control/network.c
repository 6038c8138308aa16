/* Addresses, routes and neighbours: they live in the stack; here are their operands, undoing, and what local
 * addresses need of them. */
#include "model.h"

#include <stdio.h>

/* The owner of an address that was added for a local address, and goes with it. */
static const char *const local_owner = "local-address";

enum { SCOPE_GLOBAL = 0, SCOPE_LINK = 253, SCOPE_HOST = 254 };

static int read_scope(const char *scope, uint8_t *out, struct error *error)
{
	if (!scope[0] || strcmp(scope, "global") == 0)
		*out = SCOPE_GLOBAL;
	else if (strcmp(scope, "link") == 0)
		*out = SCOPE_LINK;
	else if (strcmp(scope, "host") == 0)
		*out = SCOPE_HOST;
	else
		return error_set(error, "invalid", "host, link or global", "there is no scope '%.40s'",
				 scope);
	return 0;
}

int network_port_of(const struct model *model, enum family family, const union ip_addr *address)
{
	struct address found;

	for (int port = 0; port < MAX_PORTS; port++)
		if (model->director->net->ports[port].name[0] &&
		    net_address_find(model->net, (uint16_t)port, family, address, &found))
			return port;
	return -1;
}

/* Does the stack's operation, with a record of how to take it back. */
static int change_address(struct model *model, int verb, const struct address *address, struct error *error)
{
	struct address before;
	bool there = net_address_find(model->net, address->port, (enum family)address->family,
				      &address->address, &before);
	struct undo *undo = batch_undo(model, error);

	if (!undo)
		return -1;
	undo->kind = UNDO_ADDRESS;
	undo->net.verb = there ? VERB_PUT : VERB_DELETE;
	undo->net.address = there ? before : *address;
	if (net_address_apply(model->net, verb, address, model->now_ms, error) < 0) {
		model->batch.undo_count--;
		return -1;
	}
	return 0;
}

/* Whether a service uses it, and connections would break without it. */
static bool is_local_on(const struct model *model, uint16_t port, enum family family,
			const union ip_addr *address)
{
	const struct model_local *local = model_local_find(model, family, address);

	return local && local->users > 0 && local->shared->port == port;
}

int address_apply(struct model *model, int verb, const Dpvsha__Address *in, struct error *error)
{
	struct address address = {0}, before;
	enum family family;
	const char *owner = model_text(model, "owner", in->owner, error);
	int port;

	if (!owner || read_address(&in->address, "address", &family, &address.address, error) < 0 ||
	    read_scope(in->scope, &address.scope, error) < 0)
		return -1;
	if (strlen(owner) >= sizeof(address.owner))
		return error_set(error, "invalid", NULL, "owner '%s' has more than %zu characters", owner,
				 sizeof(address.owner) - 1);
	if (in->prefix > ip_bits(family))
		return error_set(error, "invalid", "at most 32 for IPv4, 128 for IPv6",
				 "prefix length %u of %s", in->prefix, ip_text(family, &address.address));
	if (in->broadcast.len > 0) {
		enum family other;

		if (read_address(&in->broadcast, "broadcast address", &other, &address.broadcast, error) < 0)
			return -1;
		if (other != family || family == FAMILY_IPV6)
			return error_set(error, "invalid", "leave the broadcast address away",
					 "%s cannot have this broadcast address",
					 ip_text(family, &address.address));
	}
	port = read_device(model, in->device, error);
	if (port < 0)
		return -1;
	address.port = (uint16_t)port;
	address.family = (uint8_t)family;
	address.sapool = in->sapool;
	address.silent = in->silent;
	address.valid_lifetime = in->valid_lifetime;
	address.preferred_lifetime = in->preferred_lifetime;
	snprintf(address.owner, sizeof(address.owner), "%s", owner);
	address.prefix = (uint8_t)in->prefix;
	if (verb == VERB_DELETE) {
		if (is_local_on(model, address.port, family, &address.address))
			return error_set(error, "busy", "take it away from them first (ipvsadm -Q)",
					 "%s is a local address of virtual servers",
					 ip_text(family, &address.address));
		return change_address(model, verb, &address, error);
	}
	if (address.prefix == 0)
		address.prefix = (uint8_t)ip_bits(family);
	if ((verb == VERB_PUT || verb == VERB_EDIT) && !address.valid_lifetime &&
	    !address.preferred_lifetime &&
	    net_address_find(model->net, address.port, family, &address.address, &before)) {
		address.added = before.added;
		if (memcmp(&address, &before, sizeof(address)) == 0)
			return 0;
	}
	return change_address(model, verb, &address, error);
}

int network_need_address(struct model *model, int port, enum family family, const union ip_addr *address,
			 struct error *error)
{
	struct address wanted = {.address = *address,
				 .port = (uint16_t)port,
				 .prefix = (uint8_t)ip_bits(family),
				 .family = (uint8_t)family,
				 .sapool = 1};

	if (network_port_of(model, family, address) >= 0)
		return 0;
	snprintf(wanted.owner, sizeof(wanted.owner), "%s", local_owner);
	return change_address(model, VERB_ADD, &wanted, error);
}

void network_drop_address(struct model *model, const struct local_address *local)
{
	struct address address;
	struct error error;

	if (net_address_find(model->net, local->port, (enum family)local->family, &local->address,
			     &address) &&
	    strcmp(address.owner, local_owner) == 0)
		(void)net_address_apply(model->net, VERB_DELETE, &address, model->now_ms, &error);
}

int route_apply(struct model *model, int verb, const Dpvsha__Route *in, struct error *error)
{
	struct route route = {0}, before;
	enum family family = in->ipv6 ? FAMILY_IPV6 : FAMILY_IPV4, other;
	struct undo *undo;
	bool there;
	int port = ROUTE_ANY_PORT;

	if (in->destination.len > 0 &&
	    read_address(&in->destination, "destination", &family, &route.destination, error) < 0)
		return -1;
	other = family;
	if (in->gateway.len > 0 && read_address(&in->gateway, "gateway", &other, &route.gateway, error) < 0)
		return -1;
	if (in->destination.len == 0 && in->gateway.len > 0)
		family = other; /* a default route is of its gateway's family */
	if (other != family)
		return error_set(error, "invalid", NULL,
				 "gateway %s is of another family than the destination",
				 ip_text(other, &route.gateway));
	if (in->source.len > 0) {
		if (read_address(&in->source, "source", &other, &route.source, error) < 0)
			return -1;
		if (other != family)
			return error_set(error, "invalid", NULL,
					 "source %s is of another family than the destination",
					 ip_text(other, &route.source));
	}
	if (in->prefix > ip_bits(family))
		return error_set(error, "invalid", "at most 32 for IPv4, 128 for IPv6",
				 "prefix length %u of %s", in->prefix, ip_text(family, &route.destination));
	if (in->mtu > 65535)
		return error_set(error, "invalid", "at most 65535", "an MTU of %u", in->mtu);
	if (in->tos)
		return error_set(error, "unsupported", "leave tos away",
				 "routes by type of service (%u) are not part of this version", in->tos);
	if (in->device[0]) {
		port = read_device(model, in->device, error);
		if (port < 0)
			return -1;
	}
	if (strcmp(in->scope, "kni_host") == 0)
		route.kind = ROUTE_KERNEL;
	else if (!in->scope[0] || strcmp(in->scope, "global") == 0 || strcmp(in->scope, "link") == 0)
		route.kind = ip_is_zero(&route.gateway) ? ROUTE_LINK : ROUTE_GATEWAY;
	else if (strcmp(in->scope, "host") == 0)
		route.kind = ROUTE_LOCAL;
	else
		return error_set(error, "invalid", "host, link, global or kni_host",
				 "there is no scope '%.40s'", in->scope);
	/* A route of the twin's addresses lies beside an operator's own for the same address. */
	route.origin = strcmp(in->origin, "kernel") == 0 ? ROUTE_TWIN : ROUTE_STATIC;
	if (route.origin == ROUTE_TWIN && route.kind != ROUTE_KERNEL)
		return error_set(error, "invalid", "use scope kni_host",
				 "only routes of scope kni_host come from the kernel");
	route.metric = route.origin == ROUTE_TWIN ? UINT32_MAX : in->metric;
	route.mtu = (uint16_t)in->mtu;
	route.port = (uint16_t)port;
	route.prefix = (uint8_t)in->prefix;
	route.family = (uint8_t)family;
	if (verb != VERB_DELETE && port == ROUTE_ANY_PORT && route.kind != ROUTE_GATEWAY)
		return error_set(error, "invalid", "name the device with dev", "route %s/%u has no device",
				 ip_text(family, &route.destination), route.prefix);
	there = net_route_find(model->net, &route, verb == VERB_DELETE, &before);
	undo = batch_undo(model, error);
	if (!undo)
		return -1;
	undo->kind = UNDO_ROUTE;
	undo->net.verb = there ? VERB_PUT : VERB_DELETE;
	undo->net.route = there ? before : route;
	if (net_route_apply(model->net, verb, &route, error) < 0) {
		model->batch.undo_count--;
		return -1;
	}
	/* Nothing changed: nothing to take back, and no new generation. */
	if (there && verb != VERB_DELETE && net_route_find(model->net, &route, false, &route) &&
	    memcmp(&route, &before, sizeof(route)) == 0)
		model->batch.undo_count--;
	return 0;
}

int neighbour_apply(struct model *model, int verb, const Dpvsha__Neighbour *in, struct error *error)
{
	union ip_addr address;
	enum family family;
	struct undo *undo;
	bool there, permanent = false;
	uint8_t mac[6] = {0}, before[6] = {0};
	int port;

	if (read_address(&in->address, "neighbour's address", &family, &address, error) < 0)
		return -1;
	port = read_device(model, in->device, error);
	if (port < 0)
		return -1;
	if (verb != VERB_DELETE) {
		if (in->mac.len != sizeof(mac))
			return error_set(error, "invalid", "a MAC address has 6 bytes",
					 "neighbour %s: a MAC address of %zu bytes",
					 ip_text(family, &address), in->mac.len);
		memcpy(mac, in->mac.data, sizeof(mac));
	}
	there = net_neighbour_find(model->net, (uint16_t)port, family, &address, &permanent, before);
	if (there && !permanent && verb == VERB_DELETE) {
		/* What was learnt cannot be given back: it goes when the batch is whole. */
		struct deferred *deferred = batch_defer(model, error);

		if (!deferred)
			return -1;
		deferred->kind = DEFERRED_FORGET;
		deferred->forget.port = (uint16_t)port;
		deferred->forget.family = (uint8_t)family;
		deferred->forget.address = address;
		return 0;
	}
	if (permanent && verb == VERB_PUT && memcmp(mac, before, sizeof(mac)) == 0)
		return 0;
	undo = batch_undo(model, error);
	if (!undo)
		return -1;
	undo->kind = UNDO_NEIGHBOUR;
	undo->net.verb = permanent ? VERB_PUT : VERB_DELETE;
	undo->net.neighbour = address;
	undo->net.port = (uint16_t)port;
	undo->net.family = (uint8_t)family;
	memcpy(undo->net.mac, before, sizeof(before));
	if (net_neighbour_apply(model->net, verb, (uint16_t)port, family, &address, mac, error) < 0) {
		model->batch.undo_count--;
		return -1;
	}
	return 0;
}

int announce_apply(struct model *model, int verb, const Dpvsha__Announce *in, struct error *error)
{
	struct deferred *deferred;
	union ip_addr address;
	enum family family;
	int port;

	if (verb != VERB_EDIT && verb != VERB_PUT)
		return error_set(error, "invalid", "use edit",
				 "an announcement is neither added nor deleted");
	if (read_address(&in->address, "address to announce", &family, &address, error) < 0)
		return -1;
	port = in->device[0] ? read_device(model, in->device, error)
			     : network_port_of(model, family, &address);
	if (in->device[0] && port < 0)
		return -1;
	struct address found;

	if (port < 0 || !net_address_find(model->net, (uint16_t)port, family, &address, &found))
		return error_set(error, "not-found", "dpip addr show lists the addresses",
				 "%s is no address of ours%s%.40s", ip_text(family, &address),
				 in->device[0] ? " on " : "", in->device);
	if (in->repeat > 100 || in->interval_ms > 3600 * 1000)
		return error_set(error, "invalid", "at most 100 times, an hour apart",
				 "%u announcements, %u ms apart", in->repeat, in->interval_ms);
	deferred = batch_defer(model, error);
	if (!deferred)
		return -1;
	deferred->kind = DEFERRED_ANNOUNCE;
	deferred->announce.address = found;
	deferred->announce.repeat = in->repeat;
	deferred->announce.interval_ms = in->interval_ms;
	return 0;
}

/* ---- flush ---- */

enum { FLUSH_PIECE = 64 };

static int flush_addresses(struct model *model, int port, struct error *error)
{
	struct address piece[FLUSH_PIECE];
	uint64_t cursor = 0;
	size_t count;

	while ((count = net_addresses_list(model->net, &cursor, piece, FLUSH_PIECE)) > 0)
		for (size_t i = 0; i < count; i++) {
			if (port >= 0 && piece[i].port != port)
				continue;
			/* Local addresses go with their services. */
			if (is_local_on(model, piece[i].port, (enum family)piece[i].family,
					&piece[i].address))
				continue;
			if (change_address(model, VERB_DELETE, &piece[i], error) < 0)
				return -1;
		}
	return 0;
}

static int flush_routes(struct model *model, int port, struct error *error)
{
	struct route piece[FLUSH_PIECE];
	uint64_t cursor = 0;
	size_t count;

	while ((count = net_routes_list(model->net, &cursor, piece, FLUSH_PIECE)) > 0)
		for (size_t i = 0; i < count; i++) {
			struct undo *undo;

			if (piece[i].automatic || piece[i].origin != ROUTE_STATIC ||
			    (port >= 0 && piece[i].port != port))
				continue;
			undo = batch_undo(model, error);
			if (!undo)
				return -1;
			undo->kind = UNDO_ROUTE;
			undo->net.verb = VERB_PUT;
			undo->net.route = piece[i];
			if (net_route_apply(model->net, VERB_DELETE, &piece[i], error) < 0) {
				model->batch.undo_count--;
				return -1;
			}
		}
	return 0;
}

static int flush_neighbours(struct model *model, int port, struct error *error)
{
	struct neighbour_entry piece[FLUSH_PIECE];
	uint64_t cursor = 0;
	size_t count;

	while ((count = net_neighbours_list(model->net, &cursor, piece, FLUSH_PIECE)) > 0)
		for (size_t i = 0; i < count; i++) {
			const char *device = model->director->net->ports[piece[i].port].name;
			Dpvsha__Neighbour neighbour = DPVSHA__NEIGHBOUR__INIT;

			if (port >= 0 && piece[i].port != port)
				continue;
			neighbour.address.data = piece[i].address.b;
			neighbour.address.len = ip_bits((enum family)piece[i].family) / 8;
			neighbour.device = (char *)(uintptr_t)device;
			if (neighbour_apply(model, VERB_DELETE, &neighbour, error) < 0)
				return -1;
		}
	return 0;
}

int network_flush(struct model *model, const Dpvsha__Flush *in, struct error *error)
{
	int port = -1;

	if (in->device[0]) {
		port = read_device(model, in->device, error);
		if (port < 0)
			return -1;
	}
	switch ((int)in->what) {
	case DPVSHA__FLUSH__WHAT__ADDRESSES:
		return flush_addresses(model, port, error);
	case DPVSHA__FLUSH__WHAT__ROUTES:
		return flush_routes(model, port, error);
	default:
		return flush_neighbours(model, port, error);
	}
}

void network_undo(struct model *model, const struct undo *undo)
{
	struct error error;
	int result = 0;

	switch (undo->kind) {
	case UNDO_ADDRESS: {
		struct address address = undo->net.address;

		if (undo->net.verb == VERB_DELETE)
			address.prefix = 0;
		result = net_address_apply(model->net, undo->net.verb, &address, model->now_ms, &error);
		break;
	}
	case UNDO_ROUTE:
		result = net_route_apply(model->net, undo->net.verb, &undo->net.route, &error);
		break;
	case UNDO_NEIGHBOUR:
		result = net_neighbour_apply(model->net, undo->net.verb, undo->net.port,
					     (enum family)undo->net.family, &undo->net.neighbour,
					     undo->net.mac, &error);
		break;
	default:
		break;
	}
	if (result < 0 && model->host.log) {
		char text[320];

		snprintf(text, sizeof(text), "taking back a batch that failed: %s", error.text);
		model->host.log(model->host.context, 3, text);
	}
}
