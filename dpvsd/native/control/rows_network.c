/* Addresses, routes, neighbours, links, multicast and flows. */
#include "rows.h"

enum { PIECE = 32 };

static bool is_here(const struct stream *stream, uint16_t port)
{
	return stream->port < 0 || stream->port == port;
}

static const char *scope_text(uint8_t scope)
{
	return scope == 253 ? "link" : scope == 254 ? "host" : "global";
}

static void address_row(struct rows *rows, const struct address *address)
{
	static const Dpvsha__AddressRow empty = DPVSHA__ADDRESS_ROW__INIT;
	Dpvsha__AddressRow *row = row_add(rows, 0, DPVSHA__ROW__ROW_ADDRESS, &empty, sizeof(empty));
	enum family family = (enum family)address->family;
	Dpvsha__Address out = DPVSHA__ADDRESS__INIT;
	const struct model_local *local;

	if (!row)
		return;
	out.address = row_address(rows, family, &address->address);
	out.prefix = address->prefix;
	out.device = row_text(rows, row_device(rows, address->port));
	if (!ip_is_zero(&address->broadcast))
		out.broadcast = row_address(rows, family, &address->broadcast);
	out.scope = (char *)(uintptr_t)scope_text(address->scope);
	out.valid_lifetime = address->valid_lifetime;
	out.preferred_lifetime = address->preferred_lifetime;
	out.sapool = address->sapool;
	out.owner = row_text(rows, address->owner);
	out.silent = address->silent;
	row->address = row_part(rows, &out, sizeof(out));
	local = model_local_find(rows->model, family, &address->address);
	if (local && local->shared->port == address->port) {
		struct local_port_usage usage;

		local_port_usage(local->shared, &usage);
		row->ports_used = usage.used;
		row->ports_free = usage.free;
		row->ports_missed = usage.misses;
	} else if (address->sapool) {
		row->ports_free = (65536 - LOCAL_PORT_FIRST) * LOCAL_PORT_GROUPS;
	}
}

void rows_addresses(struct stream *stream, struct rows *rows)
{
	struct address piece[PIECE];
	size_t count = net_addresses_list(rows->model->net, &stream->at, piece,
					  RTE_MIN((size_t)PIECE, rows->room));

	for (size_t i = 0; i < count; i++)
		if (is_here(stream, piece[i].port) &&
		    (!stream->owner[0] || strcmp(stream->owner, piece[i].owner) == 0))
			address_row(rows, &piece[i]);
	stream->done = count == 0;
}

static void route_row(struct rows *rows, const struct route *route)
{
	static const Dpvsha__Route empty = DPVSHA__ROUTE__INIT;
	Dpvsha__Route *row = row_add(rows, 0, DPVSHA__ROW__ROW_ROUTE, &empty, sizeof(empty));
	static const char *const scopes[] = {[ROUTE_LOCAL] = "host",
					     [ROUTE_LINK] = "link",
					     [ROUTE_GATEWAY] = "global",
					     [ROUTE_KERNEL] = "kni_host"};
	enum family family = (enum family)route->family;

	if (!row)
		return;
	if (route->prefix > 0 || !ip_is_zero(&route->destination))
		row->destination = row_address(rows, family, &route->destination);
	row->prefix = route->prefix;
	if (!ip_is_zero(&route->gateway))
		row->gateway = row_address(rows, family, &route->gateway);
	if (!ip_is_zero(&route->source))
		row->source = row_address(rows, family, &route->source);
	row->device = row_text(rows, row_device(rows, route->port));
	row->mtu = route->mtu;
	row->metric = route->origin == ROUTE_STATIC ? route->metric : 0;
	row->scope = (char *)(uintptr_t)(route->kind < RTE_DIM(scopes) ? scopes[route->kind] : "global");
	row->ipv6 = family == FAMILY_IPV6;
	row->origin = (char *)(uintptr_t)(route->automatic		? "auto"
					  : route->origin == ROUTE_TWIN ? "kernel"
									: "static");
}

void rows_routes(struct stream *stream, struct rows *rows)
{
	struct route piece[PIECE];
	size_t count = net_routes_list(rows->model->net, &stream->at, piece,
				       RTE_MIN((size_t)PIECE, rows->room));

	for (size_t i = 0; i < count; i++)
		if (is_here(stream, piece[i].port) && piece[i].origin != ROUTE_FLOW)
			route_row(rows, &piece[i]);
	stream->done = count == 0;
}

void rows_neighbours(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__Neighbour empty = DPVSHA__NEIGHBOUR__INIT;
	struct neighbour_entry piece[PIECE];
	size_t count = net_neighbours_list(rows->model->net, &stream->at, piece,
					   RTE_MIN((size_t)PIECE, rows->room));

	for (size_t i = 0; i < count; i++) {
		Dpvsha__Neighbour *row;

		if (!is_here(stream, piece[i].port))
			continue;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_NEIGHBOUR, &empty, sizeof(empty));
		if (!row)
			return;
		row->address = row_address(rows, (enum family)piece[i].family, &piece[i].address);
		row->device = row_text(rows, row_device(rows, piece[i].port));
		row->mac = row_bytes(rows, piece[i].mac, sizeof(piece[i].mac));
		row->state = (char *)(uintptr_t)piece[i].state;
		row->queued = piece[i].queued;
	}
	stream->done = count == 0;
}

static void link_row(struct rows *rows, uint16_t port)
{
	static const Dpvsha__LinkRow empty = DPVSHA__LINK_ROW__INIT;
	static const Dpvsha__PortCounters none = DPVSHA__PORT_COUNTERS__INIT;
	const struct control_host *host = &rows->model->host;
	const struct net_port *net = &rows->model->director->net->ports[port];
	struct link_info info = {0};
	Dpvsha__LinkRow *row;

	if (host->link_info && !host->link_info(host->context, port, &info))
		memset(&info, 0, sizeof(info));
	row = row_add(rows, 0, DPVSHA__ROW__ROW_LINK, &empty, sizeof(empty));
	if (!row)
		return;
	row->device = row_text(rows, net->name);
	row->index = port + 1u;
	row->mac = row_bytes(rows, net->mac, sizeof(net->mac));
	row->mtu = net->mtu;
	row->up = net->up;
	row->rx_queues = info.rx_queues;
	row->tx_queues = info.tx_queues;
	row->socket = info.socket;
	row->speed = info.speed;
	row->full_duplex = info.full_duplex;
	row->autonegotiation = info.autonegotiation;
	row->promiscuous = info.promiscuous;
	row->allmulticast = info.allmulticast;
	row->forward2kni = info.forward2kni;
	row->lldp = info.lldp;
	row->driver = row_text(rows, info.driver);
	row->bus = row_text(rows, info.bus);
	row->twin = row_text(rows, info.twin);
	row->twin_kind = row_text(rows, info.twin_kind);
	row->offloads = arena_take(rows->arena, sizeof(char *) * RTE_DIM(info.offload));
	for (uint32_t i = 0; row->offloads && i < RTE_MIN(info.offloads, RTE_DIM(info.offload)); i++)
		row->offloads[row->n_offloads++] = row_text(rows, info.offload[i]);
	row->counters = row_part(rows, &none, sizeof(none));
	if (row->counters) {
		row->counters->rx_packets = info.counters.rx_packets;
		row->counters->tx_packets = info.counters.tx_packets;
		row->counters->rx_bytes = info.counters.rx_bytes;
		row->counters->tx_bytes = info.counters.tx_bytes;
		row->counters->rx_missed = info.counters.rx_missed;
		row->counters->rx_errors = info.counters.rx_errors;
		row->counters->tx_errors = info.counters.tx_errors;
		row->counters->rx_no_buffer = info.counters.rx_no_buffer;
		row->counters->tx_dropped = info.counters.tx_dropped;
	}
}

/* A few at a time, since asking a port may cost it something. */
void rows_links(struct stream *stream, struct rows *rows)
{
	for (int i = 0; i < 4 && !rows_full(rows); i++, stream->at++) {
		if (stream->at >= MAX_PORTS) {
			stream->done = true;
			return;
		}
		if (row_device(rows, (uint16_t)stream->at)[0] && is_here(stream, (uint16_t)stream->at))
			link_row(rows, (uint16_t)stream->at);
	}
	stream->done = stream->at >= MAX_PORTS;
}

/* `at` is the port, `inner` the position in its list. */
void rows_multicast(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__MulticastRow empty = DPVSHA__MULTICAST_ROW__INIT;
	const struct control_host *host = &rows->model->host;

	while (!rows_full(rows) && !stream->done) {
		struct multicast_info info;
		Dpvsha__MulticastRow *row;

		if (stream->at >= MAX_PORTS || !host->multicast_info) {
			stream->done = true;
			return;
		}
		if (!row_device(rows, (uint16_t)stream->at)[0] || !is_here(stream, (uint16_t)stream->at) ||
		    !host->multicast_info(host->context, (uint16_t)stream->at, (uint32_t)stream->inner,
					  &info)) {
			stream->at++;
			stream->inner = 0;
			continue;
		}
		stream->inner++;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_MULTICAST, &empty, sizeof(empty));
		if (!row)
			return;
		row->device = row_text(rows, row_device(rows, (uint16_t)stream->at));
		row->address = row_bytes(rows, info.mac, sizeof(info.mac));
		row->references = info.references;
	}
}

void rows_flows(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__Flow empty = DPVSHA__FLOW__INIT;
	const struct control_host *host = &rows->model->host;

	while (!rows_full(rows)) {
		struct flow_info info;
		Dpvsha__Flow *row;

		if (!host->flow_info || !host->flow_info(host->context, (uint32_t)stream->at, &info)) {
			stream->done = true;
			return;
		}
		stream->at++;
		if (!is_here(stream, info.port))
			continue;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_FLOW, &empty, sizeof(empty));
		if (!row)
			return;
		row->device = row_text(rows, row_device(rows, info.port));
		row->address = row_address(rows, (enum family)info.family, &info.address);
		row->hardware = info.hardware;
	}
}
