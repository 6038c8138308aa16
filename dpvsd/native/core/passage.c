#include "passage.h"

#include <netinet/in.h>

#include "checksum.h"
#include "reset.h"

enum { ICMP_BUFFER = 1280 };

static bool icmp_token(const struct director *director, struct worker_view *view)
{
	uint32_t rate = director->icmp_errors_per_second, gone = view->now - view->icmp_refilled;

	if (gone > 0) {
		uint64_t more = (uint64_t)gone * rate / TICKS_PER_SECOND;

		view->icmp_tokens = (uint32_t)RTE_MIN(view->icmp_tokens + more, (uint64_t)rate);
		view->icmp_refilled = view->now;
	}
	if (view->icmp_tokens == 0)
		return false;
	view->icmp_tokens--;
	return true;
}

void send_error(const struct director *director, struct worker_view *view, const struct packet *p,
		enum icmp_error_kind kind, uint16_t mtu, const struct pipeline_output *output)
{
	uint8_t buffer[ICMP_BUFFER];
	struct next_hop_answer answer;
	union ip_addr source;
	size_t length;

	if (output == NULL || !icmp_error_allowed(p) || !icmp_token(director, view))
		return;
	memset(&answer, 0, sizeof(answer));
	next_hop_find(director->net, (enum family)p->family, &p->key.source, &answer);
	source = answer.source;
	/* A host speaks as the address that it was asked by; a router by that of the way back. */
	if (kind == ICMP_ERROR_PORT || ip_is_zero(&source)) {
		if (address_lookup(director->net, (enum family)p->family, &p->key.destination) == NULL &&
		    ip_is_zero(&source))
			return;
		if (kind == ICMP_ERROR_PORT || ip_is_zero(&source))
			source = p->key.destination;
	}
	length = icmp_error_build(p, kind, mtu, &source, director->net->ttl, buffer, sizeof(buffer));
	if (length == 0)
		return;
	view->counters.originated++;
	output->originate(output->context, (enum family)p->family, buffer, length);
}

bool send_reset(const struct director *director, struct worker_view *view, const struct packet *p,
		const struct pipeline_output *output)
{
	uint8_t buffer[RESET_MAX];
	size_t length;

	/* What is spread over several buffers was fragments: nobody connects like that. */
	if (output == NULL || p->length != p->total)
		return true;
	if (checksum_transport((enum family)p->family, p->l3, IPPROTO_TCP, p->l3 + p->l4,
			       (size_t)(p->total - p->l4)) != 0)
		return false;
	length = reset_build(p, director->net->ttl, buffer);
	if (length == 0 || !icmp_token(director, view))
		return true;
	view->counters.originated++;
	output->originate(output->context, (enum family)p->family, buffer, length);
	return true;
}

bool ttl_refused(const struct director *director, struct worker_view *view, struct packet *p,
		 const struct pipeline_output *output)
{
	send_error(director, view, p, ICMP_ERROR_TTL, 0, output);
	packet_drop(p, DROP_TTL);
	return false;
}

bool cut_to_fit(struct packet *p, uint16_t mtu)
{
	if (!(p->flags & PACKET_REASSEMBLED) && (p->family != FAMILY_IPV4 || p->l3[6] & 0x40))
		return false;
	p->flags |= PACKET_OVERSIZE;
	p->mtu = mtu;
	return true;
}

bool size_handled(const struct director *director, struct worker_view *view, struct packet *p, uint16_t mtu,
		  const struct pipeline_output *output)
{
	if (cut_to_fit(p, mtu))
		return true;
	send_error(director, view, p, ICMP_ERROR_TOO_BIG, mtu, output);
	packet_drop(p, DROP_TOO_BIG);
	return false;
}

bool next_hop_refused(const struct director *director, struct worker_view *view, struct packet *p,
		      enum next_hop found, const struct pipeline_output *output)
{
	if (found == NEXT_HOP_NO_ROUTE) {
		send_error(director, view, p, ICMP_ERROR_NO_ROUTE, 0, output);
		packet_drop(p, DROP_NO_ROUTE);
	} else {
		packet_drop(p, DROP_LOOP);
	}
	return false;
}
