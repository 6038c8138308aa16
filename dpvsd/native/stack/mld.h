/* Multicast listener discovery, as bytes: queries of version 1 (RFC 2710) and 2 (RFC 3810), and our reports
 * in either. */
#ifndef DPVSHA_MLD_H
#define DPVSHA_MLD_H

#include "net.h"

enum {
	MLD_RECORDS = 60, /* of one report: it fits into the least MTU of IPv6 */
	MLD_FRAME_SIZE = ETHER_SIZE + 40 + 8 + 8 + MLD_RECORDS * 20, /* at most */
	MLD_REPORT_V1 = 131,
	MLD_DONE_V1 = 132,
};

struct mld_query {
	union ip_addr group; /* zero: all */
	uint32_t delay_ms; /* answers may wait so long */
	uint8_t version;
	uint8_t robustness; /* 0: not said */
};

/* Kinds of records (RFC 3810 5.2.12) of a group that we listen to whatever its source, or do not any more. */
enum mld_kind {
	MLD_IS_MEMBER = 2, /* MODE_IS_EXCLUDE, of no source */
	MLD_LEAVES = 3, /* CHANGE_TO_INCLUDE_MODE, of no source */
	MLD_JOINS = 4, /* CHANGE_TO_EXCLUDE_MODE, of no source */
};

struct mld_record {
	enum mld_kind kind;
	union ip_addr group;
};

/* False for what is no query, and for whatever RFC 3810 5.1.14 and 6.2 tell to discard: source not
 * link-local, hop limit not 1, no router alert, wrong checksum or length. */
bool mld_query_parse(const uint8_t *frame, size_t length, struct mld_query *query);

/* A report of version 2 to ff02::16 of up to MLD_RECORDS records; its length. */
size_t mld_report_write(uint8_t frame[MLD_FRAME_SIZE], const uint8_t mac[6], const union ip_addr *source,
			const struct mld_record *records, size_t count);
/* Version 1: a report, to the group itself, or that the last listener has gone, to all routers; its length.
 */
size_t mld_v1_write(uint8_t frame[MLD_FRAME_SIZE], const uint8_t mac[6], const union ip_addr *source,
		    uint8_t type, const union ip_addr *group);

#endif
