/* What virtual and real servers have counted: the workers' counters, which only grow, minus what they were
 * when the server came or was zeroed. */
#include "model.h"

void server_counted(const struct model *model, const struct model_server *server, struct server_count *sum)
{
	server_count_sum(model->director, server->shared->index, sum);
}

static void server_since(const struct model *model, const struct model_server *server,
			 const struct traffic *from, struct traffic *traffic)
{
	struct server_count sum;

	server_counted(model, server, &sum);
	*traffic = (struct traffic){sum.connections, sum.in_packets, sum.out_packets, sum.in_bytes,
				    sum.out_bytes};
	traffic_subtract(traffic, from);
}

void server_traffic(const struct model *model, const struct model_server *server, struct traffic *traffic)
{
	server_since(model, server, &server->base, traffic);
}

void service_traffic(const struct model *model, const struct model_service *service, struct traffic *traffic)
{
	const struct ordered *orders[] = {&service->servers, &service->lingering};

	*traffic = service->gone;
	for (size_t o = 0; o < RTE_DIM(orders); o++)
		for (uint32_t i = 0; i < orders[o]->used; i++) {
			const struct model_server *server = orders[o]->places[i].item;
			struct traffic own;

			if (!server)
				continue;
			server_since(model, server, &server->begun, &own);
			traffic_add(traffic, &own);
		}
	traffic_subtract(traffic, &service->base);
}

void service_zero(struct model *model, struct model_service *service)
{
	struct traffic traffic;
	uint64_t cursor = 0;
	struct model_server *server;

	service_traffic(model, service, &traffic);
	traffic_add(&service->base, &traffic);
	while ((server = ordered_next(&service->servers, &cursor))) {
		server_traffic(model, server, &traffic);
		traffic_add(&server->base, &traffic);
	}
}
