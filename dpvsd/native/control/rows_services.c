/* Virtual servers, their real servers, local addresses and lists. */
#include "rows.h"

static Dpvsha__Traffic *part_traffic(struct rows *rows, const struct traffic *traffic)
{
	Dpvsha__Traffic out = DPVSHA__TRAFFIC__INIT;

	out.connections = traffic->connections;
	out.in_packets = traffic->in_packets;
	out.out_packets = traffic->out_packets;
	out.in_bytes = traffic->in_bytes;
	out.out_bytes = traffic->out_bytes;
	return row_part(rows, &out, sizeof(out));
}

static Dpvsha__Rate *part_rate(struct rows *rows, const struct estimator *estimator)
{
	Dpvsha__Rate out = DPVSHA__RATE__INIT;
	struct traffic rate;

	estimator_rate(estimator, &rate);
	out.connections = rate.connections;
	out.in_packets = rate.in_packets;
	out.out_packets = rate.out_packets;
	out.in_bytes = rate.in_bytes;
	out.out_bytes = rate.out_bytes;
	return row_part(rows, &out, sizeof(out));
}

static Dpvsha__Service *part_service(struct rows *rows, const struct model_service *service)
{
	const struct service_config *config = &service->config;
	Dpvsha__Service out = DPVSHA__SERVICE__INIT;

	out.key = row_service_key(rows, &service->shared->key);
	out.scheduler = (char *)(uintptr_t)scheduler_name((enum scheduler)config->scheduler);
	out.persistence = config->persistence;
	out.persistence_prefix = config->persistence_prefix;
	out.one_packet = config->one_packet;
	out.syn_proxy = config->syn_proxy;
	out.expire_quiescent = config->expire_quiescent;
	out.quic = config->quic;
	out.connection_timeout = config->connection_timeout;
	out.proxy_protocol = (Dpvsha__ProxyProtocol)config->proxy_protocol;
	out.hash_target = (Dpvsha__HashTarget)config->hash_target;
	out.bps = config->bps;
	out.limit_proportion = config->limit_proportion;
	out.owner = (char *)(uintptr_t)config->owner;
	out.scheduler_flags = (char *)(uintptr_t)config->scheduler_flags;
	if (config->has_dest_check) {
		Dpvsha__DestCheck check = DPVSHA__DEST_CHECK__INIT;

		check.enabled = config->dest_check;
		check.down_retry = config->down_retry;
		check.up_confirm = config->up_confirm;
		check.down_wait = config->down_wait;
		check.inhibit_min = config->inhibit_min;
		check.inhibit_max = config->inhibit_max;
		out.dest_check = row_part(rows, &check, sizeof(check));
	}
	return row_part(rows, &out, sizeof(out));
}

static Dpvsha__Server *part_server(struct rows *rows, const struct model_server *server)
{
	Dpvsha__Server out = DPVSHA__SERVER__INIT;

	out.service = row_service_key(rows, &server->service_key);
	out.address = row_address(rows, (enum family)server->shared->family, &server->shared->address);
	out.port = rte_be_to_cpu_16(server->shared->port);
	out.forward = (Dpvsha__Forward)server->config.forward;
	out.weight = server->config.weight;
	out.upper_threshold = server->config.upper;
	out.lower_threshold = server->config.lower;
	out.inhibited = server->config.inhibited;
	out.owner = (char *)(uintptr_t)server->config.owner;
	return row_part(rows, &out, sizeof(out));
}

/* One worker's counts, or (worker 0) the sum. Those of one worker are since the server's place was first
 * used; zeroing concerns the sum. */
static void count_server(const struct rows *rows, const struct model_server *server, uint32_t worker,
			 struct server_count *count, struct traffic *traffic)
{
	const struct director *director = rows->model->director;

	if (worker > 0) {
		*count = director->workers[worker - 1]->servers[server->shared->index];
		*traffic = (struct traffic){count->connections, count->in_packets, count->out_packets,
					    count->in_bytes, count->out_bytes};
		return;
	}
	server_counted(rows->model, server, count);
	*traffic = (struct traffic){count->connections, count->in_packets, count->out_packets,
				    count->in_bytes, count->out_bytes};
	traffic_subtract(traffic, &server->base);
}

static void service_row(struct rows *rows, const struct model_service *service, uint32_t worker)
{
	static const Dpvsha__ServiceRow empty = DPVSHA__SERVICE_ROW__INIT;
	Dpvsha__ServiceRow *row = row_add(rows, worker, DPVSHA__ROW__ROW_SERVICE, &empty, sizeof(empty));
	struct traffic traffic = {0};

	if (!row)
		return;
	if (worker == 0) {
		service_traffic(rows->model, service, &traffic);
	} else {
		for (uint32_t i = 0; i < service->servers.used; i++) {
			struct server_count count;
			struct traffic one;

			if (!service->servers.places[i].item)
				continue;
			count_server(rows, service->servers.places[i].item, worker, &count, &one);
			traffic_add(&traffic, &one);
		}
	}
	row->service = part_service(rows, service);
	row->traffic = part_traffic(rows, &traffic);
	row->rate = worker ? NULL : part_rate(rows, &service->estimator);
	row->servers = service->servers.count;
}

static void server_row(struct rows *rows, const struct model_server *server, uint32_t worker)
{
	static const Dpvsha__ServerRow empty = DPVSHA__SERVER_ROW__INIT;
	Dpvsha__ServerRow *row = row_add(rows, worker, DPVSHA__ROW__ROW_SERVER, &empty, sizeof(empty));
	struct server_count count;
	struct traffic traffic;

	if (!row)
		return;
	count_server(rows, server, worker, &count, &traffic);
	row->server = part_server(rows, server);
	row->active = count.active;
	row->inactive = count.inactive;
	row->persistent = count.persistent;
	row->overloaded = __atomic_load_n(&server->shared->overloaded, __ATOMIC_RELAXED) != 0;
	row->traffic = part_traffic(rows, &traffic);
	row->rate = worker ? NULL : part_rate(rows, &server->estimator);
}

/* The service whose turn it is: the one that the stream is inside of, if it is still there, or the next. */
static struct model_service *current_service(struct stream *stream, struct rows *rows)
{
	const struct model *model = rows->model;
	struct model_service *service;
	uint64_t at = stream->at;

	if (stream->has_service) {
		service = stream->phase == 0 || stream->inside ? model_service_find(model, &stream->service)
							       : NULL;
		if (service && stream->inside && service->item.sequence != stream->at)
			service = NULL;
		stream->phase = 1;
		if (service && stream->owner[0] && strcmp(service->config.owner, stream->owner) != 0)
			service = NULL;
		if (service)
			stream->at = service->item.sequence;
		return service;
	}
	if (stream->inside) {
		at--;
		service = ordered_next(&model->services, &at);
		if (service && at == stream->at)
			return service;
		stream->inside = false;
		at = stream->at;
	}
	while ((service = ordered_next(&model->services, &at)))
		if (!stream->owner[0] || strcmp(service->config.owner, stream->owner) == 0)
			break;
	stream->at = at;
	return service;
}

/* First and last of the workers that are asked for; 0, 0: the sum of all. */
static void worker_range(const struct stream *stream, const struct rows *rows, uint32_t *first,
			 uint32_t *last)
{
	*first = *last = 0;
	if (!stream->per_worker)
		return;
	*first = stream->worker ? stream->worker : 1;
	*last = stream->worker ? stream->worker : rows->model->director->steering.workers;
	if (*last > rows->model->director->steering.workers)
		*last = *first - 1;
}

void rows_services(struct stream *stream, struct rows *rows)
{
	uint32_t first, last, each;

	worker_range(stream, rows, &first, &last);
	each = last + 1 - first;
	while (rows->count + each <= rows->room && !rows->failed) {
		struct model_service *service = current_service(stream, rows);
		struct model_server *server;

		if (!service || each == 0) {
			stream->done = true;
			return;
		}
		if (!stream->inside) {
			for (uint32_t worker = first; worker <= last; worker++)
				service_row(rows, service, worker);
			stream->inside = true;
			stream->inner = 0;
		}
		while (rows->count + each <= rows->room && !rows->failed) {
			server = ordered_next(&service->servers, &stream->inner);
			if (!server) {
				stream->inside = false;
				break;
			}
			for (uint32_t worker = first; worker <= last; worker++)
				server_row(rows, server, worker);
		}
	}
	/* A limit that leaves no room for all workers of one more. */
	if (stream->limit && rows->room < ROWS_A_PIECE)
		stream->done = true;
}

void rows_locals(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__LocalAddressRow empty = DPVSHA__LOCAL_ADDRESS_ROW__INIT;

	while (!rows_full(rows)) {
		struct model_service *service = current_service(stream, rows);
		const struct model_binding *binding;

		if (!service) {
			stream->done = true;
			return;
		}
		if (!stream->inside)
			stream->inner = 0;
		stream->inside = true;
		while (!rows_full(rows)) {
			Dpvsha__LocalAddress local = DPVSHA__LOCAL_ADDRESS__INIT;
			Dpvsha__LocalAddressRow *row;
			struct local_port_usage usage;

			binding = ordered_next(&service->bindings, &stream->inner);
			if (!binding) {
				stream->inside = false;
				break;
			}
			row = row_add(rows, 0, DPVSHA__ROW__ROW_LOCAL_ADDRESS, &empty, sizeof(empty));
			if (!row)
				return;
			const struct local_address *shared = binding->local->shared;

			local_port_usage(shared, &usage);
			local.service = row_service_key(rows, &service->shared->key);
			local.address = row_address(rows, (enum family)shared->family, &shared->address);
			local.device = row_text(rows, row_device(rows, shared->port));
			row->local = row_part(rows, &local, sizeof(local));
			row->port_conflicts = usage.misses;
			row->connections = usage.used;
			row->free_ports = usage.free;
		}
	}
}

void rows_lists(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__ListEntry empty = DPVSHA__LIST_ENTRY__INIT;

	while (!rows_full(rows)) {
		struct model_service *service = current_service(stream, rows);

		if (!service) {
			stream->done = true;
			return;
		}
		if (!stream->inside) {
			stream->inner = 0;
			stream->inside = true;
			stream->second = false;
		}
		while (!rows_full(rows)) {
			const struct ordered *order = stream->second ? &service->allow : &service->deny;
			const struct list_entry *entry = ordered_next(order, &stream->inner);
			Dpvsha__ListEntry *row;

			if (!entry && !stream->second) {
				stream->second = true;
				stream->inner = 0;
				continue;
			}
			if (!entry) {
				stream->inside = false;
				break;
			}
			row = row_add(rows, 0, DPVSHA__ROW__ROW_LIST_ENTRY, &empty, sizeof(empty));
			if (!row)
				return;
			row->service = row_service_key(rows, &service->shared->key);
			row->kind = entry->kind ? DPVSHA__LIST_KIND__LIST_ALLOW
						: DPVSHA__LIST_KIND__LIST_DENY;
			row->address = row_address(rows, (enum family)service->shared->key.family,
						   &entry->network.address);
			row->prefix = entry->network.prefix;
		}
	}
}
