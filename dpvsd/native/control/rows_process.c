/* Threads, memory, time-outs and settings. */
#include "rows.h"

#include <stdio.h>

void rows_workers(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__WorkerRow empty = DPVSHA__WORKER_ROW__INIT;
	const struct control_host *host = &rows->model->host;
	const struct director *director = rows->model->director;

	while (!rows_full(rows)) {
		struct worker_info info = {0};
		Dpvsha__WorkerRow *row;

		if (!host->worker_info || !host->worker_info(host->context, (uint32_t)stream->at, &info)) {
			stream->done = true;
			return;
		}
		stream->at++;
		if (stream->per_worker && stream->worker && info.number != stream->worker - 1)
			continue;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_LCORE, &empty, sizeof(empty));
		if (!row)
			return;
		row->number = info.number;
		row->lcore = info.lcore;
		row->cpu = info.cpu;
		row->socket = info.socket;
		row->name = row_text(rows, info.name);
		row->role = row_text(rows, info.role ? info.role : "");
		row->loops = info.loops;
		row->busy_loops = info.busy_loops;
		row->sleeps = info.sleeps;
		row->rx_packets = info.rx_packets;
		row->tx_packets = info.tx_packets;
		row->cycles = info.cycles;
		row->busy_cycles = info.busy_cycles;
		row->bursts_full = info.bursts_full;
		row->queues = arena_take(rows->arena, sizeof(char *) * MAX_PORTS);
		for (uint32_t i = 0; row->queues && i < RTE_MIN(info.queues, (uint32_t)MAX_PORTS); i++)
			row->queues[row->n_queues++] = row_text(rows, info.queue[i]);
		if (info.role && strcmp(info.role, "worker") == 0 &&
		    info.number < director->steering.workers) {
			const struct worker_view *view = director->workers[info.number];

			row->connections = view->connections ? connection_table_count(view->connections) : 0;
			row->handed_over = __atomic_load_n(&view->counters.handed_over, __ATOMIC_RELAXED);
			row->taken_over = __atomic_load_n(&view->counters.taken_over, __ATOMIC_RELAXED);
		}
	}
}

void rows_timeouts(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__Timeouts empty = DPVSHA__TIMEOUTS__INIT;
	const struct timeouts *timeouts = &rows->model->director->timeouts;
	Dpvsha__Timeouts *row = row_add(rows, 0, DPVSHA__ROW__ROW_TIMEOUTS, &empty, sizeof(empty));

	stream->done = true;
	if (!row)
		return;
	row->tcp = timeouts->tcp[TCP_ESTABLISHED];
	row->tcp_fin = timeouts->tcp[TCP_FIN_WAIT];
	row->udp = timeouts->udp[UDP_NORMAL];
}

void rows_settings(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__Setting empty = DPVSHA__SETTING__INIT;
	const struct control_host *host = &rows->model->host;

	while (!rows_full(rows)) {
		char name[SETTING_NAME_SIZE], value[SETTING_VALUE_SIZE];
		Dpvsha__Setting *row;

		if (!host->setting_info ||
		    !host->setting_info(host->context, (uint32_t)stream->at, name, value)) {
			stream->done = true;
			return;
		}
		stream->at++;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_SETTING, &empty, sizeof(empty));
		if (!row)
			return;
		row->name = row_text(rows, name);
		row->value = row_text(rows, value);
	}
}

/* ---- memory: what the model knows of itself, then what the process adds ---- */

static bool own_memory(const struct model *model, uint32_t position, struct memory_info *info)
{
	const struct director *director = model->director;
	uint32_t tables = director->steering.workers;
	struct memory_reservation reservations[64];

	memset(info, 0, sizeof(*info));
	info->unit = "objects";
	if (position < 2 * tables) {
		const struct worker_view *view = director->workers[position / 2];
		const struct connection_table *table = position % 2 ? view->templates : view->connections;

		snprintf(info->name, sizeof(info->name), "%s-%u", position % 2 ? "templates" : "connections",
			 view->number);
		info->size = table ? connection_table_capacity(table) : 0;
		info->used = table ? connection_table_count(table) : 0;
		return true;
	}
	position -= 2 * tables;
	switch (position) {
	case 0:
		snprintf(info->name, sizeof(info->name), "services");
		info->size = MAX_SERVICES - 1;
		info->used = model->services.count;
		return true;
	case 1:
		snprintf(info->name, sizeof(info->name), "servers");
		info->size = MAX_SERVERS - 1;
		info->used = model->next_server - 1 - model->free_server_count;
		return true;
	case 2:
		snprintf(info->name, sizeof(info->name), "local-addresses");
		info->size = LOCALS_MAX;
		info->used = model->locals.count;
		return true;
	}
	position -= 3;
	if (position >= memory_reservations(reservations, RTE_DIM(reservations)))
		return false;
	snprintf(info->name, sizeof(info->name), "%s", reservations[position].what);
	info->size = info->used = reservations[position].bytes;
	info->unit = "bytes";
	return true;
}

void rows_memory(struct stream *stream, struct rows *rows)
{
	static const Dpvsha__MemoryRow empty = DPVSHA__MEMORY_ROW__INIT;
	const struct control_host *host = &rows->model->host;

	while (!rows_full(rows)) {
		struct memory_info info;
		Dpvsha__MemoryRow *row;

		if (stream->phase == 0 && !own_memory(rows->model, (uint32_t)stream->at, &info)) {
			stream->phase = 1;
			stream->at = 0;
		}
		if (stream->phase == 1 &&
		    (!host->memory_info || !host->memory_info(host->context, (uint32_t)stream->at, &info))) {
			stream->done = true;
			return;
		}
		stream->at++;
		row = row_add(rows, 0, DPVSHA__ROW__ROW_MEMORY, &empty, sizeof(empty));
		if (!row)
			return;
		row->name = row_text(rows, info.name);
		row->size = info.size;
		row->used = info.used;
		row->unit = row_text(rows, info.unit ? info.unit : "bytes");
	}
}
