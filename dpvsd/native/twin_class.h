/* Which frames are control traffic, and which of them need not pass a worker. Pure. */
#ifndef DPVSHA_TWIN_CLASS_H
#define DPVSHA_TWIN_CLASS_H

#include "stack/net.h"

enum twin_class {
	TWIN_CONTROL, /* ARP, ND, VRRP, OSPF, BFD, BGP, IGMP/MLD, PIM, LACP, LLDP */
	TWIN_BULK, /* everything else */
	TWIN_CLASSES,
};

/* Which class a frame is of, from its first bytes. */
enum twin_class twin_classify(const uint8_t *frame, unsigned int length);

/* Whether a control frame goes to the kernel whatever services there are: multicast, ARP, ND and MLD queries,
 * and what is addressed to the kernel. Not fragments, which belong together with others, nor what is on its
 * way through. Reads the tables that workers read. */
bool twin_wire_takes(const struct net *net, const uint8_t *frame, unsigned int length);

/* ARP, ND or an MLD query: the master wants it too. */
bool twin_is_neighbour_frame(const uint8_t *frame, unsigned int length);

#endif
